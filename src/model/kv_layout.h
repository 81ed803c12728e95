/* Where things lie in the pages of a key/value cache; private to kv_cache.c and kv_attention.c. */
#ifndef MODEL_KV_LAYOUT_H
#define MODEL_KV_LAYOUT_H

#include "model/kv_cache.h"

#define KV_RUN 32 /* columns that share a scale in 8 bits */

static inline int64_t kv_runs(int64_t width)
{
    return (width + KV_RUN - 1) / KV_RUN;
}

size_t kv_part_bytes(enum kv_format format, int64_t heads, int64_t width);

static inline size_t kv_page_bytes(const struct kv_cache *cache)
{
    return 2 * (size_t)cache->layers * cache->part_bytes;
}

static inline unsigned char *kv_page(const struct kv_cache *cache, int32_t page)
{
    return cache->data + (size_t)page * kv_page_bytes(cache);
}

/* Keys (which 0) or values (1) of a layer in a page. */
static inline unsigned char *kv_part(const struct kv_cache *cache, int32_t page, int64_t layer,
                                     int which)
{
    return kv_page(cache, page) + (size_t)(2 * layer + which) * cache->part_bytes;
}

/* The scales behind the codes of a part: keys (heads, runs, KV_PAGE), values (heads, KV_PAGE,
 * runs).
 */
static inline float *kv_scales(const struct kv_cache *cache, unsigned char *part)
{
    return (float *)(void *)(part + cache->heads * cache->width * KV_PAGE);
}

#endif
