/* Documents as a selector wants them: cut to about equal length and without exact duplicates. Two
 * texts are duplicates when they differ in case and white space only. */
#ifndef DATA_CHUNKS_H
#define DATA_CHUNKS_H

#include "base/table.h"
#include "data/corpus.h"

struct chunk_options {
    struct corpus_options corpus;
    int64_t words; /* cut documents into pieces of that many words; 0: leave them whole */
    bool dedup;
};

struct chunks {
    struct chunk_options options;
    struct corpus *corpus;
    struct document *items;
    int64_t count, capacity;
    int64_t next_index;
    struct number_table seen;
    int64_t duplicates, dropped; /* dropped: rests of less than half the length */
};

/* As corpus_open and corpus_next; the index counts the pieces that are handed out, from 0. Texts of
 * pieces are not terminated by a 0. */
enum status chunks_open(const char *const *paths, int64_t count,
                        const struct chunk_options *options, struct chunks *chunks,
                        struct error *error);
enum status chunks_next(struct chunks *chunks, struct thread_pool *pool,
                        const struct document **documents, int64_t *count, struct error *error);
void chunks_close(struct chunks *chunks);

#endif
