/* See prefixes.h. A page is known by the serial number of the page before it and its own tokens, so
 * that equal tokens behind different beginnings are different pages, and no hash is trusted. */
#include "run/prefixes.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct prefix_page {
    uint64_t serial; /* 0: not known */
    uint64_t before; /* serial of the page before it, or the kind */
    uint64_t used;
    int32_t tokens[KV_PAGE];
};

enum status prefixes_create(struct kv_cache *cache, struct prefixes *p, struct error *error)
{
    *p = (struct prefixes){.cache = cache, .buckets = 1};
    while (p->buckets < cache->pages)
        p->buckets *= 2;
    p->pages = calloc((size_t)cache->pages, sizeof *p->pages);
    p->next = malloc((size_t)cache->pages * sizeof *p->next);
    p->heads = malloc((size_t)p->buckets * sizeof *p->heads);
    if (!p->pages || !p->next || !p->heads) {
        prefixes_free(p);
        return error_no_memory(error, (size_t)cache->pages * sizeof *p->pages);
    }
    for (int64_t i = 0; i < p->buckets; i++)
        p->heads[i] = -1;
    p->serial = (uint64_t)1 << 32; /* above every kind */
    return STATUS_OK;
}

void prefixes_free(struct prefixes *p)
{
    for (int64_t i = 0; p->pages && p->next && p->heads && i < p->cache->pages; i++)
        if (p->pages[i].serial)
            kv_page_release(p->cache, (int32_t)i);
    free(p->pages);
    free(p->next);
    free(p->heads);
    *p = (struct prefixes){0};
}

static int64_t bucket_of(const struct prefixes *p, uint64_t before, const int32_t *tokens)
{
    return (int64_t)(XXH3_64bits_withSeed(tokens, KV_PAGE * sizeof *tokens, before) &
                     (uint64_t)(p->buckets - 1));
}

static int32_t find_page(const struct prefixes *p, uint64_t before, const int32_t *tokens)
{
    for (int32_t i = p->heads[bucket_of(p, before, tokens)]; i >= 0; i = p->next[i])
        if (p->pages[i].before == before &&
            memcmp(p->pages[i].tokens, tokens, sizeof p->pages[i].tokens) == 0)
            return i;
    return -1;
}

enum status prefixes_find(struct prefixes *p, uint64_t kind, const int32_t *tokens, int64_t count,
                          struct kv_sequence *sequence, struct error *error)
{
    uint64_t before = kind;
    enum status status = STATUS_OK;
    for (int64_t at = 0; at + KV_PAGE <= count && status == STATUS_OK; at += KV_PAGE) {
        int32_t page = find_page(p, before, tokens + at);
        if (page < 0)
            break;
        status = kv_sequence_adopt(sequence, page, error);
        if (status != STATUS_OK)
            break;
        kv_page_hold(p->cache, page);
        sequence->length += KV_PAGE;
        p->pages[page].used = ++p->clock;
        before = p->pages[page].serial;
    }
    return status;
}

void prefixes_add(struct prefixes *p, uint64_t kind, const int32_t *tokens, int64_t count,
                  const struct kv_sequence *sequence)
{
    uint64_t before = kind;
    for (int64_t at = 0; at + KV_PAGE <= count; at += KV_PAGE) {
        int32_t page = find_page(p, before, tokens + at);
        if (page < 0) {
            page = sequence->pages[at / KV_PAGE];
            struct prefix_page *entry = &p->pages[page];
            if (entry->serial) /* known behind another beginning: cannot be, but would do harm */
                return;
            int64_t bucket = bucket_of(p, before, tokens + at);
            entry->serial = ++p->serial;
            entry->before = before;
            memcpy(entry->tokens, tokens + at, sizeof entry->tokens);
            p->next[page] = p->heads[bucket];
            p->heads[bucket] = page;
            p->kept++;
            kv_page_hold(p->cache, page);
        }
        p->pages[page].used = ++p->clock;
        before = p->pages[page].serial;
    }
}

static void forget(struct prefixes *p, int32_t page)
{
    struct prefix_page *entry = &p->pages[page];
    int32_t *link = &p->heads[bucket_of(p, entry->before, entry->tokens)];
    while (*link != page)
        link = &p->next[*link];
    *link = p->next[page];
    entry->serial = 0;
    p->kept--;
    kv_page_release(p->cache, page);
}

static bool is_idle(const struct prefixes *p, int64_t page)
{
    return p->pages[page].serial && p->cache->holders[page] == 1;
}

bool prefixes_make_room(struct prefixes *p, int64_t pages)
{
    while (p->cache->free_count < pages) {
        int64_t oldest = -1;
        for (int64_t i = 0; i < p->cache->pages; i++)
            if (is_idle(p, i) && (oldest < 0 || p->pages[i].used < p->pages[oldest].used))
                oldest = i;
        if (oldest < 0)
            return false;
        forget(p, (int32_t)oldest);
    }
    return true;
}
