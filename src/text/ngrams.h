/* Hashed word n-grams: the features by which selectors compare texts. A bucket is the SHA-256 of
 * the n-gram's words, joined by single spaces, read as a big-endian number modulo the number of
 * buckets (Xie et al., DSIR, 2023). Words are those of words.h. */
#ifndef TEXT_NGRAMS_H
#define TEXT_NGRAMS_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/table.h"
#include "text/words.h"

/* Words of few bytes, as two numbers, and their numbers among all words; `high` is 0 where a slot
 * is free. */
struct short_words {
    struct short_word {
        uint64_t low, high;
        uint32_t number;
    } * slots;
    uint64_t slot_count, count;
    int shift;
};

/* Pairs of words and their buckets, packed into one number each. */
struct pairs {
    uint64_t *slots;
    uint64_t slot_count, count;
    int shift;
};

/* Turns texts into lists of buckets. One a thread: it remembers n-grams that it has met. */
struct ngram_hasher {
    int most; /* n-grams of 1 .. most words */
    uint64_t buckets;
    uint64_t powers[8]; /* of 2^32, the highest first, modulo `buckets` */
    struct words text;  /* of the text at hand */
    struct short_words short_words;
    struct table long_words; /* word -> its number */
    struct pairs pairs;
    uint32_t *word_buckets; /* by number */
    uint32_t word_count, word_capacity;
    struct buffer joined;
    uint32_t *numbers; /* of the text's words */
    int64_t number_capacity;
};

/* `buckets` are at most 2^24. Nothing is allocated yet. Free with ngram_hasher_free. */
void ngram_hasher_init(struct ngram_hasher *hasher, int most, int64_t buckets);
void ngram_hasher_free(struct ngram_hasher *hasher);

/* A growing list of buckets. Free with free(list.items). */
struct ngram_list {
    uint32_t *items;
    int64_t count, capacity;
};

/* Appends the buckets of all n-grams of the text; *words is the number of its words. */
enum status ngram_hash(struct ngram_hasher *hasher, const char *text, size_t length,
                       struct ngram_list *list, int64_t *words, struct error *error);

/* The bucket of one n-gram written out. */
int64_t ngram_bucket(const struct ngram_hasher *hasher, const char *ngram, size_t length);

#endif
