/* See kv_cache.h: pages and sequences, and how values are written. Reading is in kv_attention.c. */
#include "model/kv_cache.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/half.h"
#include "model/kv_layout.h"

#define STORE_ROWS 32 /* tokens in one piece of work */

size_t kv_part_bytes(enum kv_format format, int64_t heads, int64_t width)
{
    size_t values = (size_t)(heads * width * KV_PAGE);
    if (format == KV_F32)
        return values * sizeof(float);
    if (format == KV_F16)
        return values * sizeof(uint16_t);
    return values + (size_t)(heads * kv_runs(width) * KV_PAGE) * sizeof(float);
}

size_t kv_token_bytes(const struct decoder_config *config, enum kv_format format)
{
    return 2 * (size_t)decoder_attention_layers(config, config->layers) *
           kv_part_bytes(format, config->kv_heads, config->head_width) / KV_PAGE;
}

int64_t kv_pages_for(int64_t tokens)
{
    return (tokens + KV_PAGE - 1) / KV_PAGE;
}

enum status kv_cache_create(const struct decoder_config *config, enum kv_format format,
                            int64_t tokens, struct kv_cache *cache, struct error *error)
{
    *cache = (struct kv_cache){.format = format,
                               .layers = decoder_attention_layers(config, config->layers),
                               .state_values = decoder_state_values(config),
                               .heads = config->kv_heads,
                               .width = config->head_width,
                               .pages = kv_pages_for(tokens)};
    cache->part_bytes = kv_part_bytes(format, cache->heads, cache->width);
    size_t bytes;
    if (cache->pages < 1 || cache->pages > INT32_MAX ||
        __builtin_mul_overflow((size_t)cache->pages, kv_page_bytes(cache), &bytes))
        return error_set(error, STATUS_USAGE, "a cache of %lld tokens makes no sense",
                         (long long)tokens);
    int no_file = -1;
    cache->data = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, no_file, 0);
    if (cache->data == MAP_FAILED)
        cache->data = NULL;
    cache->free_pages = malloc((size_t)cache->pages * sizeof *cache->free_pages);
    cache->holders = calloc((size_t)cache->pages, sizeof *cache->holders);
    if (!cache->data || !cache->free_pages || !cache->holders) {
        kv_cache_free(cache);
        return error_no_memory(error, bytes);
    }
    for (int64_t i = cache->pages - 1; i >= 0; i--)
        cache->free_pages[cache->free_count++] = (int32_t)i;
    return STATUS_OK;
}

void kv_cache_free(struct kv_cache *cache)
{
    if (cache->data)
        munmap(cache->data, (size_t)cache->pages * kv_page_bytes(cache));
    free(cache->free_pages);
    free(cache->holders);
    *cache = (struct kv_cache){0};
}

void kv_page_hold(struct kv_cache *cache, int32_t page)
{
    cache->holders[page]++;
}

void kv_page_release(struct kv_cache *cache, int32_t page)
{
    if (--cache->holders[page] == 0)
        cache->free_pages[cache->free_count++] = page;
}

static int32_t take_page(struct kv_cache *cache)
{
    int32_t page = cache->free_pages[--cache->free_count];
    cache->holders[page] = 1;
    return page;
}

static enum status grow_list(struct kv_sequence *sequence, int64_t pages, struct error *error)
{
    if (pages <= sequence->page_room)
        return STATUS_OK;
    int64_t room = pages + pages / 2 + 4;
    int32_t *list = realloc(sequence->pages, (size_t)room * sizeof *list);
    if (!list)
        return error_no_memory(error, (size_t)room * sizeof *list);
    sequence->pages = list;
    sequence->page_room = room;
    return STATUS_OK;
}

enum status kv_sequence_adopt(struct kv_sequence *sequence, int32_t page, struct error *error)
{
    enum status status = grow_list(sequence, sequence->page_count + 1, error);
    if (status == STATUS_OK)
        sequence->pages[sequence->page_count++] = page;
    return status;
}

enum status kv_sequence_reserve(struct kv_cache *cache, struct kv_sequence *sequence, int64_t count,
                                struct error *error)
{
    int64_t whole = sequence->length / KV_PAGE, more;
    bool partial = sequence->length % KV_PAGE != 0 && count > 0;
    bool shared = partial && cache->holders[sequence->pages[whole]] > 1;
    more = kv_pages_for(sequence->length + count) - sequence->page_count;
    more = more > 0 ? more : 0;
    if (more + shared > cache->free_count)
        return error_set(
            error, STATUS_NO_MEMORY,
            "the key/value cache is full: %lld of %lld pages are free, %lld are needed",
            (long long)cache->free_count, (long long)cache->pages, (long long)(more + shared));
    enum status status = grow_list(sequence, sequence->page_count + more, error);
    if (status == STATUS_OK && cache->state_values > 0 && !sequence->state) {
        sequence->state = calloc((size_t)cache->state_values, sizeof *sequence->state);
        if (!sequence->state)
            status = error_no_memory(error, (size_t)cache->state_values * sizeof(float));
    }
    if (status != STATUS_OK)
        return status;
    if (shared) {
        int32_t old = sequence->pages[whole], own = take_page(cache);
        memcpy(kv_page(cache, own), kv_page(cache, old), kv_page_bytes(cache));
        kv_page_release(cache, old);
        sequence->pages[whole] = own;
    }
    for (int64_t i = 0; i < more; i++)
        sequence->pages[sequence->page_count++] = take_page(cache);
    return STATUS_OK;
}

enum status kv_sequence_fork(struct kv_cache *cache, const struct kv_sequence *from, int64_t length,
                             struct kv_sequence *to, struct error *error)
{
    int64_t pages = kv_pages_for(length);
    enum status status = grow_list(to, pages, error);
    for (int64_t i = 0; i < pages && status == STATUS_OK; i++) {
        kv_page_hold(cache, from->pages[i]);
        to->pages[to->page_count++] = from->pages[i];
    }
    to->length = status == STATUS_OK ? length : 0;
    return status;
}

void kv_sequence_truncate(struct kv_cache *cache, struct kv_sequence *sequence, int64_t length)
{
    int64_t pages = kv_pages_for(length);
    while (sequence->page_count > pages)
        kv_page_release(cache, sequence->pages[--sequence->page_count]);
    sequence->length = length;
    if (length == 0) {
        free(sequence->state);
        sequence->state = NULL;
    }
}

void kv_sequence_clear(struct kv_cache *cache, struct kv_sequence *sequence)
{
    kv_sequence_truncate(cache, sequence, 0);
    free(sequence->pages);
    *sequence = (struct kv_sequence){0};
}

/* Writing. */

static float scale_of(const float *values, int64_t count)
{
    float most = 0;
    for (int64_t i = 0; i < count; i++)
        most = fmaxf(most, fabsf(values[i]));
    return most / 127.0f;
}

static int8_t code_of(float value, float scale)
{
    return (int8_t)(scale > 0 ? lrintf(value / scale) : 0);
}

struct store_job {
    const struct compute *compute;
    struct kv_cache *cache;
    const struct kv_sequence *sequence;
    int64_t layer;
    const float *keys, *values;
};

/* Token `at` of a page: its values lie KV_PAGE apart in keys, side by side in values. */
static void store_head(const struct store_job *job, unsigned char *part, int64_t head, int64_t at,
                       bool keys, const float *values)
{
    const struct kv_cache *cache = job->cache;
    int64_t width = cache->width, step = keys ? KV_PAGE : 1;
    int64_t first = head * width * KV_PAGE + (keys ? at : at * width);
    if (cache->format == KV_F32) {
        for (int64_t d = 0; d < width; d++)
            ((float *)(void *)part)[first + d * step] = values[d];
        return;
    }
    if (cache->format == KV_F16) {
        uint16_t halves[ATTENTION_HEAD_WIDTH_MOST];
        job->compute->kernels->narrow_half(width, values, halves);
        for (int64_t d = 0; d < width; d++)
            ((uint16_t *)(void *)part)[first + d * step] = halves[d];
        return;
    }
    int64_t runs = kv_runs(width);
    float *scales = kv_scales(cache, part) + head * runs * KV_PAGE;
    for (int64_t run = 0; run < runs; run++) {
        int64_t begin = run * KV_RUN, count = width - begin < KV_RUN ? width - begin : KV_RUN;
        float scale = scale_of(values + begin, count);
        scales[keys ? run * KV_PAGE + at : at * runs + run] = scale;
        for (int64_t d = begin; d < begin + count; d++)
            ((int8_t *)part)[first + d * step] = code_of(values[d], scale);
    }
}

static void store_rows(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct store_job *job = context;
    const struct kv_cache *cache = job->cache;
    int64_t row = cache->heads * cache->width;
    for (int64_t i = begin; i < end; i++) {
        int64_t token = job->sequence->length + i;
        int32_t page = job->sequence->pages[token / KV_PAGE];
        unsigned char *part = kv_part(cache, page, job->layer, 0);
        for (int64_t head = 0; head < cache->heads; head++) {
            int64_t from = i * row + head * cache->width;
            store_head(job, part, head, token % KV_PAGE, true, job->keys + from);
            store_head(job, part + cache->part_bytes, head, token % KV_PAGE, false,
                       job->values + from);
        }
    }
}

void kv_store(const struct compute *compute, struct kv_cache *cache, int64_t layer,
              const struct kv_sequence *sequence, const float *keys, const float *values,
              int64_t count)
{
    struct store_job job = {compute, cache, sequence, layer, keys, values};
    thread_pool_for(compute->pool, count, STORE_ROWS, store_rows, &job);
}
