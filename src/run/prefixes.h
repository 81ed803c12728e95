/* Beginnings that sequences share: whole pages of the key/value cache, found by the tokens that led
 * to them. A page is kept after its sequence has ended, until its room is needed. Only pages of
 * prompts enter, whose values are the same bits for everybody who would compute them. */
#ifndef RUN_PREFIXES_H
#define RUN_PREFIXES_H

#include "model/kv_cache.h"

struct prefix_page;

struct prefixes {
    struct kv_cache *cache;
    struct prefix_page *pages; /* by number of the cache's page */
    int32_t *heads, *next;     /* hash chains of pages; -1 ends */
    int64_t buckets, kept;
    uint64_t serial, clock;
};

/* Over a cache, which must outlive it. Free with prefixes_free before the cache. */
enum status prefixes_create(struct kv_cache *cache, struct prefixes *prefixes, struct error *error);
void prefixes_free(struct prefixes *prefixes);

/* Lets the empty sequence begin with the pages that are known for these tokens, at most `count` of
 * them; `kind` tells apart what would give other values for the same tokens. */
enum status prefixes_find(struct prefixes *prefixes, uint64_t kind, const int32_t *tokens,
                          int64_t count, struct kv_sequence *sequence, struct error *error);
/* Makes the sequence's first whole pages, up to `count` tokens, known. */
void prefixes_add(struct prefixes *prefixes, uint64_t kind, const int32_t *tokens, int64_t count,
                  const struct kv_sequence *sequence);
/* Gives pages up that nobody uses, those longest unused first, until `pages` are free or no more
 * can be had; returns whether they are. */
bool prefixes_make_room(struct prefixes *prefixes, int64_t pages);

#endif
