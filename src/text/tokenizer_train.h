/* Learning a byte-level BPE tokenizer: words are counted on any number of threads, then the most
 * frequent pair of neighbors is merged again and again (Sennrich et al. 2016, algorithm 1). Ties go
 * to the pair of smaller ids, as in Hugging Face's trainer, whose merges these equal. */
#ifndef TEXT_TOKENIZER_TRAIN_H
#define TEXT_TOKENIZER_TRAIN_H

#include "text/tokenizer.h"

/* Counts words. One a thread; zero-initialize. */
struct tok_counter {
    struct table words; /* word -> how often */
    struct split_pattern *split;
};
enum status tok_count(struct tok_counter *counter, const char *text, size_t length,
                      struct error *error);
/* Adds the counts of `other`, and empties it. */
enum status tok_counter_merge(struct tok_counter *counter, struct tok_counter *other,
                              struct error *error);
void tok_counter_free(struct tok_counter *counter);

struct tok_train_options {
    int32_t vocabulary;          /* ids in all: specials, 256 bytes, merges */
    int64_t least_count;         /* pairs that are rarer are not merged; at least 1 */
    const char *const *specials; /* names; they take the first ids */
    int32_t special_count;
    const char *eos; /* which of them ends a document, or NULL */
    /* Called now and then with the number of ids so far; NULL allowed. */
    void (*progress)(void *context, int32_t done, int32_t total);
    void *context;
};

/* Learns merges until the vocabulary is full or no pair is frequent enough. Free with tok_free. */
enum status tok_train(const struct tok_counter *counter, const struct tok_train_options *options,
                      struct tokenizer *tokenizer, struct error *error);

#endif
