/* See attention.h. Forward pass and tangent. One piece of work is one key/value head of one
 * sequence: its keys and values are packed once and serve every query head of the group. */
#include "tensor/attention.h"

#include <math.h>
#include <string.h>

#include "tensor/attention_tiles.h"

#define QUERY_BLOCK 256 /* queries that one piece of work takes where keys come from a source */

struct forward_job {
    const struct compute *compute;
    const struct attention_shape *shape;
    const float *q, *k, *v;
    const struct attention_source *source; /* instead of k and v */
    int64_t blocks;                        /* into which the queries of a head are cut */
    float *out, *log_sums;
};

/* The slab of keys at hand, and where its packed forms lie. */
struct forward_slab {
    int64_t b, kv_head;
    int64_t first, count;
    uint32_t *keys_across, *values_along, *queries, *weights, *space;
    float *scores;
    float *keys, *values; /* what a source has loaded */
};

/* Turns the visible part of a row of scores into weights, the rest of [begin, end) into zeros, and
 * brings the sums so far to the new maximum. `state` holds maximum and sum. */
static void soften_row(const struct forward_job *job, const struct forward_slab *slab, int64_t t,
                       int64_t begin, int64_t end, float *scores, float *out, float *state)
{
    const struct row_kernels *rows = job->compute->kernels;
    const struct attention_shape *shape = job->shape;
    int64_t from, to;
    attention_visible(shape, slab->b, t, &from, &to);
    from = from > slab->first ? from - slab->first : 0;
    to = to - slab->first < end ? to - slab->first : end;
    if (from >= to) {
        memset(scores + begin, 0, (size_t)(end - begin) * sizeof *scores);
        return;
    }
    memset(scores + begin, 0, (size_t)(from - begin) * sizeof *scores);
    memset(scores + to, 0, (size_t)(end - to) * sizeof *scores);
    attention_cap(job->compute, shape, to - from, scores + from);
    float slope = attention_slope(shape), most = rows->maximum(to - from, scores + from);
    if (most > state[0]) {
        float shrink = state[1] > 0 ? expf(slope * (state[0] - most)) : 0.0f;
        if (state[1] > 0)
            rows->scale(shape->head_width, shrink, out, out);
        state[1] *= shrink;
        state[0] = most;
    }
    state[1] += rows->exp_sum(to - from, scores + from, slope, state[0], scores + from);
}

static void forward_tile(const struct forward_job *job, const struct forward_slab *slab,
                         int64_t head, int64_t t, int64_t rows, float (*states)[2])
{
    const struct attention_shape *shape = job->shape;
    const struct gemm_kernels *kernels = attention_kernels(job->compute);
    int64_t stride = shape->heads * shape->head_width, width = shape->head_width, begin, end;
    attention_tile_range(shape, slab->b, t, t + rows, slab->first, slab->count, kernels->columns,
                         &begin, &end);
    if (begin == end)
        return;
    int64_t at = (slab->b * shape->queries + t) * stride + head * width;
    attention_pack_left(kernels, job->q + at, stride, rows, width, slab->queries);
    attention_multiply(kernels, &(struct attention_product){
                                    .a = slab->queries,
                                    .b = slab->keys_across,
                                    .panel_units = attention_units(kernels, width),
                                    .units = attention_units(kernels, width),
                                    .rows = rows,
                                    .first_column = begin,
                                    .columns = end,
                                    .c = slab->scores,
                                    .c_stride = GEMM_STRIDE,
                                });
    for (int64_t i = 0; i < rows; i++)
        soften_row(job, slab, t + i, begin, end, slab->scores + i * GEMM_STRIDE,
                   job->out + at + i * stride, states[i]);
    const uint32_t *weights =
        attention_left(job->compute, slab->scores + begin, rows, end - begin, false, slab->weights);
    attention_multiply(kernels, &(struct attention_product){
                                    .a = weights,
                                    .b = slab->values_along,
                                    .panel_units = attention_units(kernels, slab->count),
                                    .first_unit = begin / kernels->pair,
                                    .units = attention_units(kernels, end - begin),
                                    .rows = rows,
                                    .columns = width,
                                    .c = job->out + at,
                                    .c_stride = stride,
                                    .add = true,
                                });
}

static void finish_tile(const struct forward_job *job, int64_t b, int64_t head, int64_t t,
                        int64_t rows, float (*states)[2])
{
    const struct attention_shape *shape = job->shape;
    int64_t stride = shape->heads * shape->head_width, width = shape->head_width;
    for (int64_t i = 0; i < rows; i++) {
        float *out = job->out + (b * shape->queries + t + i) * stride + head * width;
        if (states[i][1] > 0)
            job->compute->kernels->scale(width, 1.0f / states[i][1], out, out);
        if (job->log_sums)
            job->log_sums[(b * shape->heads + head) * shape->queries + t + i] =
                states[i][1] > 0 ? attention_slope(shape) * states[i][0] + logf(states[i][1])
                                 : 0.0f;
    }
}

static void pack_slab(const struct forward_job *job, struct forward_slab *slab)
{
    const struct attention_shape *shape = job->shape;
    const struct gemm_kernels *kernels = attention_kernels(job->compute);
    int64_t width = shape->head_width, stride = shape->kv_heads * width;
    int64_t at = (slab->b * shape->keys + slab->first) * stride + slab->kv_head * width;
    const float *keys = job->source ? NULL : job->k + at;
    const float *values = job->source ? NULL : job->v + at;
    if (job->source) {
        job->source->load(job->source->context, slab->kv_head, slab->first, slab->count, slab->keys,
                          slab->values);
        keys = slab->keys;
        values = slab->values;
        stride = width;
    }
    attention_pack_across(kernels, keys, stride, slab->count, width, slab->keys_across,
                          slab->space);
    attention_pack_along(kernels, values, stride, slab->count, width, slab->values_along,
                         slab->space);
}

/* Queries [begin, end) of all query heads of one key/value head. With several slabs the tile's sums
 * stay in `out`, and its maxima and sums are made again from slab to slab by walking the slabs
 * innermost. */
static void forward_group(const struct forward_job *job, struct forward_slab *slab, int64_t begin_t,
                          int64_t end_t)
{
    const struct attention_shape *shape = job->shape;
    int64_t tile = attention_kernels(job->compute)->rows, group = shape->heads / shape->kv_heads;
    int64_t most = attention_slab(shape), stride = shape->heads * shape->head_width;
    bool single = shape->keys <= most;
    slab->first = 0;
    slab->count = single ? shape->keys : most;
    if (single)
        pack_slab(job, slab);
    /* With several slabs, tiles are taken 64 at a time, so that packing is shared by them. */
    int64_t batch_rows = 64 * tile;
    for (int64_t g = 0; g < group; g++) {
        int64_t head = slab->kv_head * group + g;
        for (int64_t t0 = begin_t; t0 < end_t; t0 += batch_rows) {
            int64_t t1 = t0 + batch_rows < end_t ? t0 + batch_rows : end_t;
            float states[64 * GEMM_ROWS_MOST][2] = {{0}};
            for (int64_t t = t0; t < t1; t++) {
                states[t - t0][0] = -INFINITY;
                states[t - t0][1] = 0;
                memset(job->out + (slab->b * shape->queries + t) * stride +
                           head * shape->head_width,
                       0, (size_t)shape->head_width * sizeof(float));
            }
            for (slab->first = 0; slab->first < shape->keys; slab->first += most) {
                int64_t left = shape->keys - slab->first, begin, end;
                slab->count = left < most ? left : most;
                attention_tile_range(shape, slab->b, t0, t1, slab->first, slab->count, 1, &begin,
                                     &end);
                if (begin == end)
                    continue;
                if (!single)
                    pack_slab(job, slab);
                for (int64_t t = t0; t < t1; t += tile)
                    forward_tile(job, slab, head, t, t1 - t < tile ? t1 - t : tile,
                                 states + (t - t0));
            }
            finish_tile(job, slab->b, head, t0, t1 - t0, states);
        }
    }
}

static void forward_pieces(void *context, int64_t begin, int64_t end, int thread)
{
    const struct forward_job *job = context;
    const struct attention_shape *shape = job->shape;
    int64_t columns = attention_kernels(job->compute)->columns;
    int64_t keys = attention_round_up(attention_slab(shape), columns);
    int64_t width = attention_round_up(shape->head_width, columns);
    struct forward_slab slab;
    slab.keys_across = compute_scratch(job->compute, thread);
    slab.values_along = slab.keys_across + keys * shape->head_width;
    slab.queries = slab.values_along + keys * width;
    slab.weights = slab.queries + GEMM_ROWS_MOST * GEMM_STRIDE;
    slab.space = slab.weights + GEMM_ROWS_MOST * GEMM_STRIDE;
    slab.scores = (float *)(slab.space + GEMM_COLUMNS_MOST * GEMM_STRIDE);
    slab.keys = slab.scores + GEMM_ROWS_MOST * GEMM_STRIDE;
    slab.values = slab.keys + attention_slab(shape) * shape->head_width;
    for (int64_t i = begin; i < end; i++) {
        int64_t block = i % job->blocks, head = i / job->blocks;
        slab.b = head / shape->kv_heads;
        slab.kv_head = head % shape->kv_heads;
        forward_group(job, &slab, shape->queries * block / job->blocks,
                      shape->queries * (block + 1) / job->blocks);
    }
}

void attention_forward(const struct compute *compute, const struct attention_shape *shape,
                       const float *q, const float *k, const float *v, float *out, float *log_sums)
{
    struct forward_job job = {compute, shape, q, k, v, NULL, 1, out, log_sums};
    /* A few queries against a short cache are not worth the hand-over. */
    int64_t work =
        shape->queries * shape->keys * shape->head_width * shape->heads / shape->kv_heads;
    thread_pool_for(compute->pool, shape->batch * shape->kv_heads, 100000 / (work + 1) + 1,
                    forward_pieces, &job);
}

void attention_forward_from(const struct compute *compute, const struct attention_shape *shape,
                            const float *q, const struct attention_source *source, float *out)
{
    struct forward_job job = {compute, shape, q, NULL, NULL, source, 1, out, NULL};
    job.blocks = (shape->queries + QUERY_BLOCK - 1) / QUERY_BLOCK;
    thread_pool_for(compute->pool, shape->kv_heads * job.blocks, 1, forward_pieces, &job);
}

/* Forward mode. */

struct tangent_job {
    const struct compute *compute;
    const struct attention_shape *shape;
    const struct attention_tangents *in;
    float *out;
};

/* With weights p and score tangents s': out' = sum_j p_j (v'_j + (s'_j - sum_i p_i s'_i) v_j). */
static void tangent_row(const struct tangent_job *job, int64_t b, int64_t head, int64_t t)
{
    const struct attention_shape *shape = job->shape;
    const struct row_kernels *rows = job->compute->kernels;
    const struct attention_tangents *in = job->in;
    int64_t width = shape->head_width, kv_stride = shape->kv_heads * width;
    int64_t at = (b * shape->queries + t) * shape->heads * width + head * width;
    int64_t kv_at = b * shape->keys * kv_stride + head / (shape->heads / shape->kv_heads) * width;
    float *out = job->out + at;
    memset(out, 0, (size_t)width * sizeof *out);
    int64_t begin, end;
    attention_visible(shape, b, t, &begin, &end);
    double most = -INFINITY, sum = 0, mean = 0;
    for (int pass = 0; pass < 3; pass++) {
        for (int64_t j = begin; j < end; j++) {
            const float *k = in->k + kv_at + j * kv_stride;
            double score = shape->scale * (double)rows->dot(width, in->q + at, k), slope = 0;
            double bend = shape->softcap > 0 ? tanh(score / (double)shape->softcap) : 0;
            score = shape->softcap > 0 ? (double)shape->softcap * bend : score;
            if (pass == 0) {
                most = fmax(most, score);
                continue;
            }
            if (in->q_tangent)
                slope += shape->scale * (double)rows->dot(width, in->q_tangent + at, k);
            if (in->k_tangent)
                slope += shape->scale * (double)rows->dot(width, in->q + at,
                                                          in->k_tangent + kv_at + j * kv_stride);
            slope *= 1 - bend * bend;
            double weight = exp(score - most);
            if (pass == 1) {
                sum += weight;
                mean += weight * slope;
                continue;
            }
            weight /= sum;
            rows->axpy(width, (float)(weight * (slope - mean / sum)), in->v + kv_at + j * kv_stride,
                       out);
            if (in->v_tangent)
                rows->axpy(width, (float)weight, in->v_tangent + kv_at + j * kv_stride, out);
        }
    }
}

static void tangent_pieces(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct tangent_job *job = context;
    const struct attention_shape *shape = job->shape;
    for (int64_t i = begin; i < end; i++) {
        int64_t t = i % shape->queries, head = i / shape->queries % shape->heads;
        tangent_row(job, i / shape->queries / shape->heads, head, t);
    }
}

void attention_tangent(const struct compute *compute, const struct attention_shape *shape,
                       const struct attention_tangents *tangents, float *out_tangent)
{
    struct tangent_job job = {compute, shape, tangents, out_tangent};
    thread_pool_for(compute->pool, shape->batch * shape->heads * shape->queries, 16, tangent_pieces,
                    &job);
}
