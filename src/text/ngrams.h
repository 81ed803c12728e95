/* Hashed word n-grams: the features by which selectors compare texts. Words are maximal runs of
 * letters, numbers and underscores, or of other visible characters, after lowercasing by the full
 * Unicode mapping. A bucket is the SHA-256 of the n-gram's words, joined by single spaces, read as
 * a big-endian number modulo the number of buckets (Xie et al., DSIR, 2023). */
#ifndef TEXT_NGRAMS_H
#define TEXT_NGRAMS_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/table.h"

/* Turns texts into lists of buckets. One a thread: it remembers n-grams that it has met. */
struct ngram_hasher {
    int most; /* n-grams of 1 .. most words */
    int64_t buckets;
    struct table words;              /* word -> its number */
    struct number_table short_words; /* the same for few bytes, as a number */
    struct number_table pairs;       /* two word numbers -> bucket */
    uint32_t *word_buckets;
    uint32_t word_capacity;
    struct buffer lower, joined;
    uint32_t *numbers; /* of the text's words */
    size_t number_capacity;
};

/* Nothing is allocated yet. Free with ngram_hasher_free. */
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
int64_t ngram_bucket(struct ngram_hasher *hasher, const char *ngram, size_t length);

#endif
