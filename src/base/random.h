/* Random numbers by address: a draw is a pure function of (seed, purpose, step, stream, element),
 * so that threads, shards and the order of work never change a result, and any block of any tensor
 * can be made again without storing it. The generator is Philox 4x32 with 10 rounds (Salmon et
 * al., "Parallel random numbers: as easy as 1, 2, 3", 2011). */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdint.h>

/* What the numbers are for. Two purposes never share a draw. Append only: files depend on it. */
enum random_purpose {
    RANDOM_INIT = 1,   /* initial weights */
    RANDOM_DROPOUT,    /* dropout masks */
    RANDOM_SHUFFLE,    /* order of documents and windows */
    RANDOM_MIXTURE,    /* which source comes next */
    RANDOM_SPLIT,      /* held-out splits */
    RANDOM_SELECT,     /* Gumbel noise of selectors, random selection */
    RANDOM_SAMPLE,     /* token sampling */
    RANDOM_PROJECTION, /* random projections of gradients */
    RANDOM_DIRECTION,  /* directions of zeroth-order methods */
    RANDOM_BOOTSTRAP,  /* resampling for intervals */
    RANDOM_TEST,       /* tests and benchmarks */
    RANDOM_ADAPTER,    /* initial values of adapters */
};

struct random_address {
    uint64_t seed;
    uint32_t purpose; /* enum random_purpose */
    uint32_t step;
    uint32_t stream; /* tensor, document, sequence: whatever tells parallel streams apart */
};

/* Four 32-bit words: block `block` of the stream. Element e lives in word e % 4 of block e / 4. */
void random_block(struct random_address address, uint64_t block, uint32_t words[4]);

uint32_t random_word(struct random_address address, uint64_t element);
/* (word + 0.5) / 2^32: uniform in the open interval (0, 1). */
double random_uniform(struct random_address address, uint64_t element);
/* -ln(-ln u). */
double random_gumbel(struct random_address address, uint64_t element);
/* Uniform integer in [0, bound), bound > 0; the bias of at most bound / 2^64 is ignored. Uses its
 * own pair of words: elements of random_below and of the others overlap. */
uint64_t random_below(struct random_address address, uint64_t element, uint64_t bound);
/* Standard normal by Box-Muller: element 2i takes the cosine, 2i+1 the sine of uniforms 2i, 2i+1.
 */
double random_normal(struct random_address address, uint64_t element);
/* out[i] = random_normal(address, first + i) * scale, for i in [0, count); any `first`. */
void random_fill_normal(struct random_address address, uint64_t first, int64_t count, float scale,
                        float *out);
/* Element `index` of a permutation of 0..count-1 that is never written out: a Feistel network over
 * the next power of 4, walked until it lands inside. */
uint64_t random_shuffle(struct random_address address, uint64_t index, uint64_t count);

#endif
