/* Tokenizers: bytes to ids and back. Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019):
 * text is cut into words by a pattern, each word starts as single bytes, and the learned merges are
 * applied in the order in which they were learned. Any bytes survive the round trip. */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/table.h"
#include "text/split.h"

struct tok_piece {
    const char *bytes;
    uint32_t length;
    bool special; /* found in text before anything else, and left out of decoded text on request */
    bool defined; /* false: a hole in the ids */
};

struct tokenizer {
    struct arena arena; /* pieces and names */
    struct tok_piece *pieces;
    int32_t count;    /* ids are 0 .. count-1 */
    struct table ids; /* bytes of a piece -> id; specials are not in it */
    struct table specials;
    int32_t *special_by_length; /* special ids, longest first */
    int32_t special_count;
    bool special_starts[256]; /* first bytes of specials */
    int32_t byte_ids[256];
    struct number_table merges; /* left id << 32 | right id -> rank << 32 | merged id */
    uint64_t *merge_order;      /* the merges' keys by rank */
    int32_t merge_count;
    struct split_pattern *split;
    bool whole_words;  /* a word that is a piece is taken as it is ("ignore_merges") */
    bool prefix_space; /* a space is put before the text */
    int32_t bos, eos;  /* ids, or -1; eos ends documents */
};

/* An array of ids that grows. Zero-initialize; free with tok_ids_free. */
struct tok_ids {
    int32_t *items;
    int64_t count, capacity;
};
enum status tok_ids_add(struct tok_ids *ids, const int32_t *items, int64_t count,
                        struct error *error);
void tok_ids_free(struct tok_ids *ids);

/* What encoding needs beside the tokenizer: a memory of words and room to merge in. One a thread.
 * Zero-initialize; free with tok_scratch_free. */
struct tok_scratch {
    struct table words; /* word -> index of its ids << 8 | their count, for words up to 255 ids */
    struct tok_ids word_ids;
    int32_t *nodes;
    uint64_t *heap;
    size_t node_capacity;
};
void tok_scratch_free(struct tok_scratch *scratch);

/* Appends the ids of the text. With `specials`, names of special tokens in the text become their
 * ids; without, they are ordinary text. */
enum status tok_encode(const struct tokenizer *tokenizer, struct tok_scratch *scratch,
                       const char *text, size_t length, bool specials, struct tok_ids *ids,
                       struct error *error);

/* Appends the bytes of the ids; unknown ids and, unless wanted, special tokens add nothing. */
void tok_decode(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count, bool specials,
                struct buffer *text);

/* Reads a Hugging Face tokenizer.json (byte-level BPE). Free with tok_free. */
enum status tok_load(const char *path, struct tokenizer *tokenizer, struct error *error);
/* Same from memory; `name` is for messages. */
enum status tok_parse(const char *json, size_t length, const char *name,
                      struct tokenizer *tokenizer, struct error *error);
/* Writes a tokenizer.json that Hugging Face's tokenizers reads, replacing what is there. */
enum status tok_save(const struct tokenizer *tokenizer, const char *path, struct error *error);
void tok_free(struct tokenizer *tokenizer);

/* For builders: starts an empty tokenizer of `count` ids; sets pieces; adds merges in order; then
 * tok_finish makes the look-ups and checks that all bytes are there. */
enum status tok_begin(struct tokenizer *tokenizer, int32_t count, const char *pattern,
                      struct error *error);
enum status tok_set_piece(struct tokenizer *tokenizer, int32_t id, const char *bytes, size_t length,
                          bool special, struct error *error);
enum status tok_add_merge(struct tokenizer *tokenizer, int32_t left, int32_t right, int32_t merged,
                          struct error *error);
enum status tok_finish(struct tokenizer *tokenizer, const char *name, struct error *error);

/* The id of a special token by its name, or -1. */
int32_t tok_special(const struct tokenizer *tokenizer, const char *name);

#endif
