/* From text to what the trainer reads: a tokenizer learned from a corpus, and shards of ids. */
#ifndef RUN_PREPARE_H
#define RUN_PREPARE_H

#include "data/corpus.h"
#include "run/examples.h"
#include "text/tokenizer_train.h"

struct prepare_job {
    const char *const *paths;
    int64_t path_count;
    struct corpus_options corpus;    /* with examples, its field must be "" */
    const struct examples *examples; /* NULL: documents are texts to learn as a whole */
    struct thread_pool *threads;
    void (*progress)(void *context, const char *what, double done);
    void *context;
};

struct prepare_result {
    struct corpus_counts counts;
    int64_t tokens, held_tokens; /* ids written to the first and to the second shard */
    int64_t bad_examples;        /* records that were skipped because they are no examples */
    char first_bad[256];         /* what was wrong with the first of them */
};

/* Counts words on all threads and learns merges; the end-of-text token is "<|endoftext|>". */
enum status prepare_tokenizer(const struct prepare_job *job, int32_t vocabulary,
                              struct tokenizer *tokenizer, struct prepare_result *result,
                              struct error *error);

/* Tokenizes a corpus into a shard; documents of the held-out share go to a second shard, whose path
 * may be NULL when the share is 0. */
enum status prepare_shards(const struct prepare_job *job, const struct tokenizer *tokenizer,
                           const char *path, const char *held_path, double held_share,
                           uint64_t seed, struct prepare_result *result, struct error *error);

/* A hash that tells tokenizers apart: two with the same pieces and merges have the same. */
uint64_t prepare_tokenizer_hash(const struct tokenizer *tokenizer);

#endif
