/* Keys and values of many sequences, in pages of KV_PAGE tokens, so that a sequence grows without
 * being copied and none reserves what it does not use (Kwon et al. 2023, "PagedAttention"). Pages
 * are counted: sequences that begin alike share them, and a page that somebody else holds is never
 * written. Values are kept as f16, f32, or 8-bit codes with a scale for each token and 32 columns.
 *
 * In a page of a layer the keys of a head lie side by side, (D, KV_PAGE): the scores of all of them
 * come from one pass of vector instructions without sums across a register. */
#ifndef MODEL_KV_CACHE_H
#define MODEL_KV_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/config.h"
#include "tensor/attention.h"

#define KV_PAGE KEY_LANES

enum kv_format { KV_F16, KV_F32, KV_Q8_0 };

struct kv_cache {
    enum kv_format format;
    int64_t layers, heads, width; /* those with attention; key/value heads and their width D */
    int64_t state_values;         /* that a sequence has beside its pages: of the delta rule */
    int64_t pages;
    size_t part_bytes;   /* keys, or values, of one page in one layer */
    unsigned char *data; /* (pages, layers, 2, part_bytes); memory is taken when touched */
    int32_t *free_pages;
    int64_t free_count;
    int32_t *holders; /* of each page */
};

/* A sequence: the pages that hold its tokens. Zero-initialize; free with kv_sequence_clear. */
struct kv_sequence {
    int32_t *pages;
    int64_t page_count, page_room;
    int64_t length; /* tokens whose keys and values are there */
    float *state;   /* of the layers of the delta rule; it cannot be cut, forked or shared */
};

/* Room for `tokens` tokens in all; in whole pages. Free with kv_cache_free. */
enum status kv_cache_create(const struct decoder_config *config, enum kv_format format,
                            int64_t tokens, struct kv_cache *cache, struct error *error);
void kv_cache_free(struct kv_cache *cache);
/* Bytes that a token takes. */
size_t kv_token_bytes(const struct decoder_config *config, enum kv_format format);
/* Pages that `tokens` tokens need. */
int64_t kv_pages_for(int64_t tokens);

/* Takes the pages that `count` further tokens need; fails, taking none, when they are not there. A
 * last page that others hold too is copied first. */
enum status kv_sequence_reserve(struct kv_cache *cache, struct kv_sequence *sequence, int64_t count,
                                struct error *error);
/* Makes `to`, which is empty, a sequence that begins with the first `length` tokens of `from`. */
enum status kv_sequence_fork(struct kv_cache *cache, const struct kv_sequence *from, int64_t length,
                             struct kv_sequence *to, struct error *error);
/* Shortens the sequence and gives back the pages that it no longer needs. With a state it may only
 * be cut to nothing. */
void kv_sequence_truncate(struct kv_cache *cache, struct kv_sequence *sequence, int64_t length);
void kv_sequence_clear(struct kv_cache *cache, struct kv_sequence *sequence);

/* Adds a holder to a page, or takes one away; a page without holders is free. */
void kv_page_hold(struct kv_cache *cache, int32_t page);
void kv_page_release(struct kv_cache *cache, int32_t page);
/* Appends a page, which the caller holds for the sequence, to an empty or whole-paged sequence. */
enum status kv_sequence_adopt(struct kv_sequence *sequence, int32_t page, struct error *error);

/* Writes keys and values (count, heads * D) behind the sequence's `length` tokens, for which pages
 * must have been reserved. The length stays; the caller raises it after the last layer. */
void kv_store(const struct compute *compute, struct kv_cache *cache, int64_t layer,
              const struct kv_sequence *sequence, const float *keys, const float *values,
              int64_t count);

/* A query at the end of a sequence: attention of single tokens, one of each sequence. */
struct kv_query {
    const struct kv_sequence *sequence;
    int64_t keys;   /* visible: the sequence's tokens and this one */
    const float *q; /* (heads of queries * D) */
    float *out;     /* same */
};

/* Attention of `count` single queries, with shape's heads, scale, softcap and window. `space` holds
 * kv_attend_space floats. A query's result does not depend on the others or on the threads. */
void kv_attend(const struct compute *compute, const struct kv_cache *cache, int64_t layer,
               const struct attention_shape *shape, const struct kv_query *queries, int64_t count,
               float *space);
int64_t kv_attend_space(const struct attention_shape *shape, const struct kv_query *queries,
                        int64_t count);

/* Attention of further queries (count, heads * D) of one sequence, behind its `length` tokens. */
void kv_attend_rows(const struct compute *compute, const struct kv_cache *cache, int64_t layer,
                    const struct attention_shape *shape, const struct kv_sequence *sequence,
                    const float *q, int64_t count, float *out);

#endif
