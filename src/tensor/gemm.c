/* See gemm.h. For each block of columns and each slab of K, the threads first pack the slab of B
 * into panels that all share, then take blocks of rows of C: each copies its block of A next to
 * the processor and runs the tile kernel over the panels (after Goto and van de Geijn 2008). */
#include "tensor/gemm.h"

#include <string.h>

#define COLUMN_BLOCK 2048 /* of C, for which panels of B exist at a time */
#define ROW_BLOCK 168     /* largest block of rows of A: 12 tiles of 14, 28 of 6, 42 of 4 */
#define STRIP 256         /* columns of an untransposed B that are unpacked together */
#define SMALL_ROWS 4      /* up to here a product is many dot products */
#define DOT_COLUMNS 12    /* columns that are done together; whole DOTS_COLUMNS */
#define DOT_WORK 200000   /* multiplications in a piece of such a product */

struct gemm_job {
    const struct compute *compute;
    const struct gemm_kernels *kernels;
    const struct gemm_call *call;
    int64_t column, columns; /* block of C's columns */
    int64_t depth, values;   /* first value along K of the slab, and how many */
    int64_t units;           /* of the slab */
    int64_t row_block;
    bool first; /* slab of K */
};

struct gemm_matrix gemm_matrix_f32(const float *data, int64_t stride, bool transposed)
{
    return (struct gemm_matrix){
        .type = GEMM_F32, .data = data, .stride = stride, .transposed = transposed};
}

/* Values [begin, begin + count) of a stored row as f32: in place, or written to `space`. */
static const float *stored_row(const struct compute *compute, const struct gemm_matrix *b,
                               int64_t row, int64_t begin, int64_t count, float *space)
{
    if (b->unpack) {
        b->unpack(compute, b->context, row, begin, count, space);
        return space;
    }
    if (b->type == GEMM_F32)
        return (const float *)b->data + row * b->stride + begin;
    const uint16_t *from = (const uint16_t *)b->data + row * b->stride + begin;
    if (b->type == GEMM_BF16)
        compute->kernels->widen_bfloat(count, from, space);
    else
        compute->kernels->widen_half(count, from, space);
    return space;
}

static uint32_t *panel_of(const struct gemm_job *job, int64_t column)
{
    return (uint32_t *)job->compute->panels + column * job->units;
}

/* Panels of a B stored as (N, K): rows are turned into units, then transposed. */
static void pack_transposed(void *context, int64_t begin, int64_t end, int thread)
{
    const struct gemm_job *job = context;
    const struct gemm_kernels *kernels = job->kernels;
    uint32_t *rows = compute_scratch(job->compute, thread);
    float *space = (float *)(rows + GEMM_COLUMNS_MOST * GEMM_STRIDE);
    bool direct =
        job->call->b.type == GEMM_F32 && !job->call->b.unpack && kernels == job->compute->gemm_f32;
    for (int64_t panel = begin; panel < end; panel++) {
        int64_t first = panel * kernels->columns;
        int64_t left = job->columns - first;
        int count = left < kernels->columns ? (int)left : kernels->columns;
        if (direct) {
            const float *from = (const float *)job->call->b.data +
                                (job->column + first) * job->call->b.stride + job->depth;
            kernels->transpose(from, job->call->b.stride, count, job->units, panel_of(job, first));
            continue;
        }
        for (int i = 0; i < count; i++)
            kernels->pack_row(stored_row(job->compute, &job->call->b, job->column + first + i,
                                         job->depth, job->values, space),
                              job->values, rows + i * GEMM_STRIDE);
        kernels->transpose(rows, GEMM_STRIDE, count, job->units, panel_of(job, first));
    }
}

/* One unit row of a strip into its panels, the missing columns of the last one set to 0. */
static void spread(const struct gemm_job *job, int64_t first, int64_t count, int64_t unit,
                   const uint32_t *units)
{
    int64_t width = job->kernels->columns;
    for (int64_t j = 0; j < count; j += width) {
        uint32_t *to = panel_of(job, first + j) + unit * width;
        int64_t part = count - j < width ? count - j : width;
        gemm_copy(to, units + j, part);
        if (part < width)
            memset(to + part, 0, (size_t)(width - part) * sizeof *to);
    }
}

/* Panels of a B stored as (K, N), strip by strip. */
static void pack_straight(void *context, int64_t begin, int64_t end, int thread)
{
    const struct gemm_job *job = context;
    const struct gemm_kernels *kernels = job->kernels;
    uint32_t *units = compute_scratch(job->compute, thread);
    float *space = (float *)(units + STRIP), *second_space = space + STRIP;
    bool plain = kernels == job->compute->gemm_f32; /* values are units as they stand */
    for (int64_t strip = begin; strip < end; strip++) {
        int64_t first = strip * STRIP;
        int64_t count = job->columns - first < STRIP ? job->columns - first : STRIP;
        for (int64_t unit = 0; unit < job->units; unit++) {
            int64_t row = job->depth + unit * kernels->pair;
            const float *values =
                stored_row(job->compute, &job->call->b, row, job->column + first, count, space);
            if (kernels->pair == 2) {
                bool paired = unit * 2 + 1 < job->values;
                const float *second = paired ? stored_row(job->compute, &job->call->b, row + 1,
                                                          job->column + first, count, second_space)
                                             : NULL;
                kernels->pack_pair(values, second, count, units);
            } else if (!plain) {
                kernels->pack_row(values, count, units);
            }
            spread(job, first, count, unit, plain ? (const uint32_t *)(const void *)values : units);
        }
    }
}

/* A block of A: its rows (or, transposed, its rows of K) as units, GEMM_STRIDE apart. */
static void pack_a(const struct gemm_job *job, int64_t row, int64_t rows, uint32_t *block)
{
    const struct gemm_call *call = job->call;
    const struct gemm_kernels *kernels = job->kernels;
    if (!call->a_transposed) {
        for (int64_t i = 0; i < rows; i++)
            kernels->pack_row(call->a + (row + i) * call->a_stride + job->depth, job->values,
                              block + i * GEMM_STRIDE);
        return;
    }
    for (int64_t unit = 0; unit < job->units; unit++) {
        const float *from = call->a + (job->depth + unit * kernels->pair) * call->a_stride + row;
        uint32_t *to = block + unit * GEMM_STRIDE;
        if (kernels->pair == 2)
            kernels->pack_pair(from, unit * 2 + 1 < job->values ? from + call->a_stride : NULL,
                               rows, to);
        else
            kernels->pack_row(from, rows, to);
    }
}

static void multiply_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const struct gemm_job *job = context;
    const struct gemm_call *call = job->call;
    const struct gemm_kernels *kernels = job->kernels;
    uint32_t *block = compute_scratch(job->compute, thread);
    pack_a(job, begin, end - begin, block);
    struct gemm_tile tile = {
        .units = job->units, .c_stride = call->c_stride, .a_transposed = call->a_transposed};
    const float *add = job->first ? call->add : call->c;
    int64_t add_stride = job->first ? call->add_stride : call->c_stride;
    for (int64_t j = 0; j < job->columns; j += kernels->columns) {
        int64_t column = job->column + j;
        tile.columns =
            (int)(job->columns - j < kernels->columns ? job->columns - j : kernels->columns);
        tile.b = panel_of(job, j);
        tile.bias = job->first && call->bias ? call->bias + column : NULL;
        tile.add_stride = add_stride;
        for (int64_t i = begin; i < end; i += kernels->rows) {
            tile.rows = (int)(end - i < kernels->rows ? end - i : kernels->rows);
            tile.a = block + (i - begin) * (call->a_transposed ? 1 : GEMM_STRIDE);
            tile.c = call->c + i * call->c_stride + column;
            tile.add = add ? add + i * add_stride + column : NULL;
            kernels->multiply(&tile);
        }
    }
}

/* Blocks small enough that every thread gets several, large enough to pay for their packing. */
static int64_t choose_row_block(const struct gemm_job *job)
{
    int64_t threads = thread_pool_size(job->compute->pool), tile = job->kernels->rows;
    int64_t block = job->call->m / (threads * 8) / tile * tile;
    if (block < 2 * tile)
        block = 2 * tile;
    return block < ROW_BLOCK ? block : ROW_BLOCK / tile * tile;
}

struct dot_job {
    const struct compute *compute;
    const struct gemm_call *call;
};

/* Dot products of `count` values of `rows` rows of A, from `first` on, with a few stored rows of
 * B. */
static void stored_dots(const struct dot_job *job, int64_t column, int64_t begin, int64_t count,
                        const float *unpacked, int64_t first, struct dots_call *dots)
{
    const struct gemm_call *call = job->call;
    const struct row_kernels *kernels = job->compute->kernels;
    dots->x = call->a + first * call->a_stride + begin;
    dots->x_stride = call->a_stride;
    dots->y_stride = unpacked ? count : call->b.stride;
    dots->y = unpacked;
    if (!unpacked && call->b.type == GEMM_F32)
        dots->y = (const float *)call->b.data + column * call->b.stride + begin;
    else if (!unpacked)
        dots->y = (const uint16_t *)call->b.data + column * call->b.stride + begin;
    if (unpacked || call->b.type == GEMM_F32)
        kernels->dots(count, dots);
    else if (call->b.type == GEMM_BF16)
        kernels->dots_bfloat(count, dots);
    else
        kernels->dots_half(count, dots);
}

/* Sums into C: with add and bias in the first pass along K, to what is there in the others. */
static void store_dots(const struct gemm_call *call, int64_t row, int64_t column, bool first,
                       const struct dots_call *dots)
{
    for (int r = 0; r < dots->rows; r++)
        for (int j = 0; j < dots->columns; j++) {
            float *c = call->c + (row + r) * call->c_stride + column + j;
            float sum = dots->out[r][j];
            if (!first)
                sum += *c;
            else if (call->add)
                sum += call->add[(row + r) * call->add_stride + column + j];
            if (first && call->bias)
                sum += call->bias[column + j];
            *c = sum;
        }
}

/* How many of the rows that are left to take together: no single one at the end. */
static int dot_rows(int64_t left)
{
    if (left == DOTS_ROWS + 1)
        return DOTS_ROWS - 1;
    return (int)(left < DOTS_ROWS ? left : DOTS_ROWS);
}

/* Columns [begin, end) for all rows. Stored rows of B come from memory once, and stay beside the
 * processor for the further rows of A. */
static void dot_block(const struct dot_job *job, int64_t begin, int64_t end, float *space)
{
    const struct gemm_call *call = job->call;
    const int64_t most = (int64_t)(COMPUTE_SCRATCH_BYTES / sizeof(float)) / DOT_COLUMNS;
    for (int64_t depth = 0; depth < call->k; depth += most) {
        int64_t count = call->k - depth < most ? call->k - depth : most;
        for (int64_t j = begin; call->b.unpack && j < end; j++)
            call->b.unpack(job->compute, call->b.context, j, depth, count,
                           space + (j - begin) * count);
        struct dots_call dots;
        for (int64_t row = 0; row < call->m; row += dots.rows) {
            dots.streamed = row == 0 && !call->b.unpack;
            dots.rows = dot_rows(call->m - row);
            for (int64_t column = begin; column < end; column += dots.columns) {
                dots.columns = (int)(end - column < DOTS_COLUMNS ? end - column : DOTS_COLUMNS);
                stored_dots(job, column, depth, count,
                            call->b.unpack ? space + (column - begin) * count : NULL, row, &dots);
                store_dots(call, row, column, depth == 0, &dots);
            }
        }
    }
}

static void dot_columns(void *context, int64_t begin, int64_t end, int thread)
{
    const struct dot_job *job = context;
    for (int64_t column = begin; column < end; column += DOT_COLUMNS)
        dot_block(job, column, column + DOT_COLUMNS < end ? column + DOT_COLUMNS : end,
                  compute_scratch(job->compute, thread));
}

static void gemm_slab(struct gemm_job *job)
{
    struct thread_pool *pool = job->compute->pool;
    job->units = (job->values + job->kernels->pair - 1) / job->kernels->pair;
    if (job->call->b.transposed)
        thread_pool_for(pool, (job->columns + job->kernels->columns - 1) / job->kernels->columns, 2,
                        pack_transposed, job);
    else
        thread_pool_for(pool, (job->columns + STRIP - 1) / STRIP, 1, pack_straight, job);
    thread_pool_for(pool, job->call->m, job->row_block, multiply_rows, job);
}

/* An empty sum: what is left is add and bias. */
static void gemm_empty(const struct gemm_call *call)
{
    for (int64_t i = 0; i < call->m; i++)
        for (int64_t j = 0; j < call->n; j++)
            call->c[i * call->c_stride + j] =
                (call->add ? call->add[i * call->add_stride + j] : 0.0f) +
                (call->bias ? call->bias[j] : 0.0f);
}

/* MATMUL_INT8 makes large products over 16-bit weights in bfloat16 where that is faster. */
static bool rounds_to_bfloat(const struct compute *compute, const struct gemm_call *call)
{
    if (compute->precision != MATMUL_INT8)
        return compute->precision == MATMUL_BF16;
    bool large = call->route == GEMM_TILES || (call->route == GEMM_ANY && call->m > SMALL_ROWS);
    return compute->cpu.bf16 && large && call->b.type != GEMM_F32 && !call->b.unpack;
}

void gemm(const struct compute *compute, const struct gemm_call *call)
{
    if (call->k == 0) {
        gemm_empty(call);
        return;
    }
    if (compute->precision == MATMUL_INT8 && call->b.multiply && call->b.multiply(compute, call, 1))
        return;
    bool rounded = rounds_to_bfloat(compute, call);
    bool dots =
        call->route == GEMM_DOTS || (call->route == GEMM_ANY && call->m <= SMALL_ROWS && !rounded);
    if (dots && call->b.transposed && !call->a_transposed) {
        struct dot_job job = {compute, call};
        /* A piece must be worth the hand-over: some 10 us. */
        int64_t grain = DOT_WORK / (call->k * call->m) + 1;
        grain = (grain + DOT_COLUMNS - 1) / DOT_COLUMNS * DOT_COLUMNS;
        thread_pool_for(compute->pool, call->n, grain, dot_columns, &job);
        return;
    }
    struct gemm_job job = {.compute = compute, .call = call};
    job.kernels = rounded ? compute->gemm_bf16 : compute->gemm_f32;
    job.row_block = choose_row_block(&job);
    int64_t most = (int64_t)GEMM_DEPTH * job.kernels->pair;
    int64_t slabs = (call->k + most - 1) / most;
    int64_t slab = ((call->k + slabs - 1) / slabs + 15) / 16 * 16;
    for (job.column = 0; job.column < call->n; job.column += COLUMN_BLOCK) {
        job.columns = call->n - job.column < COLUMN_BLOCK ? call->n - job.column : COLUMN_BLOCK;
        for (job.depth = 0; job.depth < call->k; job.depth += slab) {
            job.values = call->k - job.depth < slab ? call->k - job.depth : slab;
            job.first = job.depth == 0;
            gemm_slab(&job);
        }
    }
}

void gemm_group(const struct compute *compute, const struct gemm_call *calls, int count)
{
    bool together = compute->precision == MATMUL_INT8 && calls[0].k > 0 && calls[0].b.multiply;
    for (int i = 1; i < count; i++)
        together = together && calls[i].b.multiply == calls[0].b.multiply;
    if (together && calls[0].b.multiply(compute, calls, count))
        return;
    for (int i = 0; i < count; i++)
        gemm(compute, &calls[i]);
}
