/* Attention over the pages of a key/value cache; see kv_cache.h. A single query's keys are cut into
 * pieces of a fixed number of pages; each piece makes a softmax of its own, and the pieces are
 * joined in their order. So many threads share a long context, and none of it depends on how many.
 */
#include <math.h>
#include <string.h>

#include "model/kv_layout.h"

#define PIECE_PAGES 8 /* 256 tokens */

/* A head's keys (D, KV_PAGE) or values (KV_PAGE, D) of a page as f32, in place or in `space`. */
static const float *widen(const struct compute *compute, const struct kv_cache *cache,
                          unsigned char *part, int64_t head, bool keys, float *space)
{
    int64_t width = cache->width, count = width * KV_PAGE, first = head * count;
    if (cache->format == KV_F32)
        return (const float *)(void *)part + first;
    if (cache->format == KV_F16) {
        compute->kernels->widen_half(count, (const uint16_t *)(void *)part + first, space);
        return space;
    }
    int64_t runs = kv_runs(width);
    const float *scales = kv_scales(cache, part) + head * runs * KV_PAGE;
    const int8_t *codes = (const int8_t *)part + first;
    if (keys) {
        for (int64_t d = 0; d < width; d++)
            compute->kernels->widen_scaled(KV_PAGE, codes + d * KV_PAGE,
                                           scales + d / KV_RUN * KV_PAGE, space + d * KV_PAGE);
        return space;
    }
    for (int64_t t = 0; t < KV_PAGE; t++)
        for (int64_t run = 0; run < runs; run++) {
            int64_t at = t * width + run * KV_RUN;
            int64_t wide = width - run * KV_RUN < KV_RUN ? width - run * KV_RUN : KV_RUN;
            compute->kernels->widen_bytes(wide, codes + at, scales[t * runs + run], space + at);
        }
    return space;
}

struct single_job {
    const struct compute *compute;
    const struct kv_cache *cache;
    const struct attention_shape *shape;
    const struct kv_query *queries;
    int64_t layer, count, pieces; /* pieces: of the longest sequence */
    float *space;                 /* (queries, pieces, heads, 2 + D): maximum, sum, mixture */
};

static int64_t piece_floats(const struct attention_shape *shape)
{
    return shape->heads * (2 + shape->head_width);
}

/* First key that the query sees. */
static int64_t first_key(const struct attention_shape *shape, const struct kv_query *query)
{
    return shape->window > 0 && query->keys > shape->window ? query->keys - shape->window : 0;
}

/* Scores of a page's tokens [begin, end) for one query head; the rest is never looked at. */
static void page_scores(const struct single_job *job, const float *q, const float *keys,
                        int64_t begin, int64_t end, float *scores)
{
    const struct attention_shape *shape = job->shape;
    const struct row_kernels *kernels = job->compute->kernels;
    kernels->key_scores(shape->head_width, q, keys, scores);
    kernels->scale(KV_PAGE, shape->scale, scores, scores);
    if (shape->softcap > 0)
        kernels->softcap(end - begin, shape->softcap, scores + begin, scores + begin);
}

/* One piece of one query for one key/value head: keys first, then a softmax a query head, then the
 * mixture of values. */
static void run_piece(const struct single_job *job, const struct kv_query *query, int64_t kv_head,
                      int64_t piece, float *results, float *scratch)
{
    const struct attention_shape *shape = job->shape;
    const struct row_kernels *kernels = job->compute->kernels;
    int64_t width = shape->head_width, group = shape->heads / shape->kv_heads;
    int64_t low = first_key(shape, query), page = piece * PIECE_PAGES;
    int64_t last = page + PIECE_PAGES, all = kv_pages_for(query->keys);
    last = last < all ? last : all;
    float *space = scratch, *scores = scratch + width * KV_PAGE;
    int64_t span = PIECE_PAGES * KV_PAGE, base = page * KV_PAGE;
    int64_t begin = low > base ? low - base : 0;
    int64_t end = query->keys - base < span ? query->keys - base : span;
    for (int64_t p = page; p < last; p++) {
        int64_t from = p * KV_PAGE - base, first = begin > from ? begin - from : 0;
        int64_t count = end - from < KV_PAGE ? end - from : KV_PAGE;
        if (first >= count)
            continue;
        unsigned char *part = kv_part(job->cache, query->sequence->pages[p], job->layer, 0);
        const float *keys = widen(job->compute, job->cache, part, kv_head, true, space);
        for (int64_t g = 0; g < group; g++)
            page_scores(job, query->q + (kv_head * group + g) * width, keys, first, count,
                        scores + g * span + from);
    }
    for (int64_t g = 0; g < group; g++) {
        float *row = scores + g * span, *out = results + (kv_head * group + g) * (2 + width);
        memset(out + 2, 0, (size_t)width * sizeof *out);
        out[0] = -INFINITY;
        out[1] = 0;
        if (begin >= end)
            continue;
        out[0] = kernels->maximum(end - begin, row + begin);
        out[1] = kernels->exp_sum(end - begin, row + begin, 1.0f, out[0], row + begin);
    }
    for (int64_t p = page; p < last; p++) {
        int64_t from = p * KV_PAGE - base, first = begin > from ? begin - from : 0;
        int64_t count = end - from < KV_PAGE ? end - from : KV_PAGE;
        if (first >= count)
            continue;
        unsigned char *part = kv_part(job->cache, query->sequence->pages[p], job->layer, 1);
        const float *values = widen(job->compute, job->cache, part, kv_head, false, space);
        for (int64_t g = 0; g < group; g++)
            kernels->mix_rows(count - first, width, scores + g * span + from + first,
                              values + first * width,
                              results + (kv_head * group + g) * (2 + width) + 2);
    }
}

static void run_pieces(void *context, int64_t begin, int64_t end, int thread)
{
    const struct single_job *job = context;
    int64_t heads = job->shape->kv_heads;
    float *scratch = compute_scratch(job->compute, thread);
    for (int64_t i = begin; i < end; i++) {
        int64_t head = i % heads, piece = i / heads % job->pieces, at = i / heads / job->pieces;
        if (piece * PIECE_PAGES * KV_PAGE < job->queries[at].keys)
            run_piece(job, &job->queries[at], head, piece,
                      job->space + (at * job->pieces + piece) * piece_floats(job->shape), scratch);
    }
}

/* Joins the pieces of one query head. */
static void join_pieces(const struct single_job *job, int64_t at, int64_t head)
{
    const struct kv_query *query = &job->queries[at];
    int64_t width = job->shape->head_width, stride = piece_floats(job->shape);
    int64_t pieces = (kv_pages_for(query->keys) + PIECE_PAGES - 1) / PIECE_PAGES;
    const float *parts = job->space + at * job->pieces * stride + head * (2 + width);
    float most = -INFINITY, sum = 0, *out = query->out + head * width;
    for (int64_t p = 0; p < pieces; p++)
        most = fmaxf(most, parts[p * stride]);
    memset(out, 0, (size_t)width * sizeof *out);
    for (int64_t p = 0; p < pieces; p++) {
        const float *part = parts + p * stride;
        float weight = part[1] > 0 ? expf(part[0] - most) : 0;
        sum += weight * part[1];
        job->compute->kernels->axpy(width, weight, part + 2, out);
    }
    job->compute->kernels->scale(width, sum > 0 ? 1.0f / sum : 0.0f, out, out);
}

static int64_t most_pieces(const struct kv_query *queries, int64_t count)
{
    int64_t most = 1;
    for (int64_t i = 0; i < count; i++) {
        int64_t pieces = (kv_pages_for(queries[i].keys) + PIECE_PAGES - 1) / PIECE_PAGES;
        most = pieces > most ? pieces : most;
    }
    return most;
}

int64_t kv_attend_space(const struct attention_shape *shape, const struct kv_query *queries,
                        int64_t count)
{
    return count * most_pieces(queries, count) * piece_floats(shape);
}

void kv_attend(const struct compute *compute, const struct kv_cache *cache, int64_t layer,
               const struct attention_shape *shape, const struct kv_query *queries, int64_t count,
               float *space)
{
    struct single_job job = {
        compute, cache, shape, queries, layer, count, most_pieces(queries, count), space};
    int64_t items = count * job.pieces * shape->kv_heads;
    /* Short contexts are not worth the hand-over. */
    int64_t work = PIECE_PAGES * KV_PAGE * shape->head_width * shape->heads / shape->kv_heads;
    int64_t grain = job.pieces == 1 && count == 1 ? items : 60000 / work + 1;
    thread_pool_for(compute->pool, items, grain, run_pieces, &job);
    for (int64_t i = 0; i < count; i++)
        for (int64_t head = 0; head < shape->heads; head++)
            join_pieces(&job, i, head);
}

/* Several queries of one sequence. */

struct rows_source {
    const struct compute *compute;
    const struct kv_cache *cache;
    const struct kv_sequence *sequence;
    int64_t layer;
};

/* Pages turned into rows. */
static void load_rows(const void *context, int64_t kv_head, int64_t first, int64_t count,
                      float *keys, float *values)
{
    const struct rows_source *s = context;
    int64_t width = s->cache->width;
    float space[ATTENTION_HEAD_WIDTH_MOST * KV_PAGE];
    for (int64_t token = first; token < first + count;) {
        int64_t at = token % KV_PAGE, left = first + count - token;
        int64_t part = KV_PAGE - at < left ? KV_PAGE - at : left;
        int32_t page = s->sequence->pages[token / KV_PAGE];
        const float *wide =
            widen(s->compute, s->cache, kv_part(s->cache, page, s->layer, 0), kv_head, true, space);
        float *to = keys + (token - first) * width;
        for (int64_t i = 0; i < part; i++)
            for (int64_t d = 0; d < width; d++)
                to[i * width + d] = wide[d * KV_PAGE + at + i];
        wide = widen(s->compute, s->cache, kv_part(s->cache, page, s->layer, 1), kv_head, false,
                     space);
        memcpy(values + (token - first) * width, wide + at * width,
               (size_t)(part * width) * sizeof *values);
        token += part;
    }
}

void kv_attend_rows(const struct compute *compute, const struct kv_cache *cache, int64_t layer,
                    const struct attention_shape *shape, const struct kv_sequence *sequence,
                    const float *q, int64_t count, float *out)
{
    struct rows_source context = {compute, cache, sequence, layer};
    struct attention_source source = {load_rows, &context};
    struct attention_shape own = *shape;
    own.batch = 1;
    own.queries = count;
    own.offset = sequence->length;
    own.keys = sequence->length + count;
    own.causal = true;
    own.segment_start = NULL;
    own.lengths = NULL;
    attention_forward_from(compute, &own, q, &source, out);
}
