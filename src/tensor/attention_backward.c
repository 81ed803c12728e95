/* Backward pass of attention: the weights of a block of queries are made again from the saved log
 * sums, then five products give the gradients. One piece of work is one key/value head of one
 * sequence, so no two threads add to the same gradient. */
#include <string.h>

#include "tensor/attention_tiles.h"

#define BLOCK_TILES 4 /* query tiles in a block */

struct backward_job {
    const struct compute *compute;
    const struct attention_shape *shape;
    const struct attention_gradients *g;
};

/* The slab of keys at hand and all packed forms; each of keys, values, queries (q) and output
 * gradients (o) in those that its products need. */
struct backward_slab {
    int64_t b, kv_head, first, count;
    uint32_t *keys_across, *keys_along, *values_across;
    uint32_t *q_left, *q_along, *o_left, *o_along;
    float *weights, *slopes; /* (block rows, GEMM_STRIDE) */
    uint32_t *left, *space;  /* either of those as a left operand; rows that are being packed */
};

static void pack_slab(const struct backward_job *job, struct backward_slab *slab)
{
    const struct attention_shape *shape = job->shape;
    const struct gemm_kernels *kernels = attention_kernels(job->compute);
    int64_t width = shape->head_width, stride = shape->kv_heads * width;
    int64_t at = (slab->b * shape->keys + slab->first) * stride + slab->kv_head * width;
    attention_pack_across(kernels, job->g->k + at, stride, slab->count, width, slab->keys_across,
                          slab->space);
    attention_pack_along(kernels, job->g->k + at, stride, slab->count, width, slab->keys_along,
                         slab->space);
    attention_pack_across(kernels, job->g->v + at, stride, slab->count, width, slab->values_across,
                          slab->space);
}

/* weights = exp(scale * scores - log sum), slopes = weights * (slopes - delta) * scale, the latter
 * times the cap's slope; both 0 where the query does not look. */
static void make_row(const struct backward_job *job, const struct backward_slab *slab, int64_t head,
                     int64_t t, int64_t begin, int64_t end, float *weights, float *slopes)
{
    const struct attention_shape *shape = job->shape;
    const struct row_kernels *rows = job->compute->kernels;
    int64_t from, to, width = shape->head_width;
    attention_visible(shape, slab->b, t, &from, &to);
    from = from > slab->first + begin ? from - slab->first : begin;
    to = to - slab->first < end ? to - slab->first : end;
    if (from >= to)
        from = to = begin;
    for (int64_t j = begin; j < from; j++)
        weights[j] = slopes[j] = 0;
    for (int64_t j = to; j < end; j++)
        weights[j] = slopes[j] = 0;
    int64_t at = (slab->b * shape->queries + t) * shape->heads * width + head * width;
    float delta = rows->dot(width, job->g->out_gradient + at, job->g->out + at);
    float log_sum = job->g->log_sums[(slab->b * shape->heads + head) * shape->queries + t];
    float slope = attention_slope(shape), bend = shape->softcap > 0 ? 1.0f / shape->softcap : 0.0f;
    attention_cap(job->compute, shape, to - from, weights + from);
    for (int64_t j = from; j < to; j++) {
        float part = weights[j] * bend;
        slopes[j] = (slopes[j] - delta) * shape->scale * (1.0f - part * part);
    }
    rows->exp_sum(to - from, weights + from, slope, log_sum / slope, weights + from);
    rows->multiply(to - from, weights + from, slopes + from, slopes + from);
}

/* Adds the block's share to the gradients of keys and values: left' x right. */
static void add_to_keys(const struct backward_job *job, const struct backward_slab *slab,
                        int64_t rows, int64_t begin, int64_t end, const float *left,
                        const uint32_t *right, float *gradient)
{
    const struct attention_shape *shape = job->shape;
    const struct gemm_kernels *kernels = attention_kernels(job->compute);
    int64_t width = shape->head_width, stride = shape->kv_heads * width;
    int64_t at = (slab->b * shape->keys + slab->first + begin) * stride + slab->kv_head * width;
    const uint32_t *turned =
        attention_left(job->compute, left + begin, rows, end - begin, true, slab->left);
    attention_multiply(kernels, &(struct attention_product){
                                    .a = turned,
                                    .a_transposed = true,
                                    .b = right,
                                    .panel_units = attention_units(kernels, rows),
                                    .units = attention_units(kernels, rows),
                                    .rows = end - begin,
                                    .columns = width,
                                    .c = gradient + at,
                                    .c_stride = stride,
                                    .add = true,
                                });
}

static void make_scores(const struct backward_job *job, int64_t rows, int64_t begin, int64_t end,
                        const uint32_t *left, const uint32_t *across, float *scores)
{
    const struct gemm_kernels *kernels = attention_kernels(job->compute);
    int64_t units = attention_units(kernels, job->shape->head_width);
    attention_multiply(kernels, &(struct attention_product){
                                    .a = left,
                                    .b = across,
                                    .panel_units = units,
                                    .units = units,
                                    .rows = rows,
                                    .first_column = begin,
                                    .columns = end,
                                    .c = scores,
                                    .c_stride = GEMM_STRIDE,
                                });
}

static void backward_block(const struct backward_job *job, const struct backward_slab *slab,
                           int64_t head, int64_t t, int64_t rows)
{
    const struct attention_shape *shape = job->shape;
    const struct attention_gradients *g = job->g;
    const struct gemm_kernels *kernels = attention_kernels(job->compute);
    int64_t width = shape->head_width, stride = shape->heads * width, begin, end;
    attention_tile_range(shape, slab->b, t, t + rows, slab->first, slab->count, kernels->columns,
                         &begin, &end);
    if (begin == end)
        return;
    int64_t at = (slab->b * shape->queries + t) * stride + head * width;
    attention_pack_left(kernels, g->q + at, stride, rows, width, slab->q_left);
    attention_pack_left(kernels, g->out_gradient + at, stride, rows, width, slab->o_left);
    make_scores(job, rows, begin, end, slab->q_left, slab->keys_across, slab->weights);
    make_scores(job, rows, begin, end, slab->o_left, slab->values_across, slab->slopes);
    for (int64_t i = 0; i < rows; i++)
        make_row(job, slab, head, t + i, begin, end, slab->weights + i * GEMM_STRIDE,
                 slab->slopes + i * GEMM_STRIDE);
    if (g->q_gradient) {
        const uint32_t *slopes = attention_left(job->compute, slab->slopes + begin, rows,
                                                end - begin, false, slab->left);
        attention_multiply(kernels, &(struct attention_product){
                                        .a = slopes,
                                        .b = slab->keys_along,
                                        .panel_units = attention_units(kernels, slab->count),
                                        .first_unit = begin / kernels->pair,
                                        .units = attention_units(kernels, end - begin),
                                        .rows = rows,
                                        .columns = width,
                                        .c = g->q_gradient + at,
                                        .c_stride = stride,
                                        .add = true,
                                    });
    }
    if (g->k_gradient) {
        attention_pack_along(kernels, g->q + at, stride, rows, width, slab->q_along, slab->space);
        add_to_keys(job, slab, rows, begin, end, slab->slopes, slab->q_along, g->k_gradient);
    }
    if (g->v_gradient) {
        attention_pack_along(kernels, g->out_gradient + at, stride, rows, width, slab->o_along,
                             slab->space);
        add_to_keys(job, slab, rows, begin, end, slab->weights, slab->o_along, g->v_gradient);
    }
}

/* Zeroes columns [first, first + width) of `rows` rows. */
static void clear(float *gradient, bool add, int64_t rows, int64_t stride, int64_t first,
                  int64_t width)
{
    if (!gradient || add)
        return;
    for (int64_t i = 0; i < rows; i++)
        memset(gradient + i * stride + first, 0, (size_t)width * sizeof *gradient);
}

static void backward_group(const struct backward_job *job, struct backward_slab *slab)
{
    const struct attention_shape *shape = job->shape;
    const struct attention_gradients *g = job->g;
    int64_t width = shape->head_width, group = shape->heads / shape->kv_heads;
    int64_t kv_stride = shape->kv_heads * width, stride = shape->heads * width;
    int64_t kv_base = slab->b * shape->keys * kv_stride, base = slab->b * shape->queries * stride;
    clear(g->k_gradient ? g->k_gradient + kv_base : NULL, g->k_add, shape->keys, kv_stride,
          slab->kv_head * width, width);
    clear(g->v_gradient ? g->v_gradient + kv_base : NULL, g->v_add, shape->keys, kv_stride,
          slab->kv_head * width, width);
    clear(g->q_gradient ? g->q_gradient + base : NULL, g->q_add, shape->queries, stride,
          slab->kv_head * group * width, group * width);
    int64_t most = attention_slab(shape),
            block = BLOCK_TILES * attention_kernels(job->compute)->rows;
    for (slab->first = 0; slab->first < shape->keys; slab->first += most) {
        slab->count = shape->keys - slab->first < most ? shape->keys - slab->first : most;
        pack_slab(job, slab);
        for (int64_t head = slab->kv_head * group; head < (slab->kv_head + 1) * group; head++)
            for (int64_t t = 0; t < shape->queries; t += block)
                backward_block(job, slab, head, t,
                               shape->queries - t < block ? shape->queries - t : block);
    }
}

static void backward_pieces(void *context, int64_t begin, int64_t end, int thread)
{
    const struct backward_job *job = context;
    const struct attention_shape *shape = job->shape;
    const struct gemm_kernels *kernels = attention_kernels(job->compute);
    int64_t keys = attention_round_up(attention_slab(shape), kernels->columns);
    int64_t width = attention_round_up(shape->head_width, kernels->columns);
    int64_t rows = BLOCK_TILES * kernels->rows;
    struct backward_slab slab;
    slab.keys_across = compute_scratch(job->compute, thread);
    slab.keys_along = slab.keys_across + keys * width;
    slab.values_across = slab.keys_along + keys * width;
    slab.q_left = slab.values_across + keys * width;
    slab.o_left = slab.q_left + rows * GEMM_STRIDE;
    slab.q_along = slab.o_left + rows * GEMM_STRIDE;
    slab.o_along = slab.q_along + rows * width;
    slab.left = slab.o_along + rows * width;
    slab.space = slab.left + rows * GEMM_STRIDE;
    slab.weights = (float *)(slab.space + GEMM_COLUMNS_MOST * GEMM_STRIDE);
    slab.slopes = slab.weights + rows * GEMM_STRIDE;
    for (int64_t i = begin; i < end; i++) {
        slab.b = i / shape->kv_heads;
        slab.kv_head = i % shape->kv_heads;
        backward_group(job, &slab);
    }
}

void attention_backward(const struct compute *compute, const struct attention_shape *shape,
                        const struct attention_gradients *gradients)
{
    struct backward_job job = {compute, shape, gradients};
    thread_pool_for(compute->pool, shape->batch * shape->kv_heads, 1, backward_pieces, &job);
}
