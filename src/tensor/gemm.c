/* See gemm.h. For each block of columns and each slab of K, the threads first pack the slab of B
 * into panels that all share, then take blocks of rows of C: each copies its block of A next to
 * the processor and runs the tile kernel over the panels (after Goto and van de Geijn 2008). */
#include "tensor/gemm.h"

#include <string.h>

#define ROW_BLOCK 168   /* largest block of rows of A: 12 tiles of 14, 28 of 6, 42 of 4 */
#define STRIP 256       /* columns of an untransposed B that are unpacked together */
#define ROWS_AHEAD 4    /* whose parts are asked for while a row is packed */
#define SMALL_ROWS 4    /* up to here a product is many dot products */
#define DOT_COLUMNS 12  /* columns whose dots are made together; whole DOTS_COLUMNS */
#define DOT_WORK 200000 /* multiplications in a piece of such a product */

struct gemm_job {
    const struct compute *compute;
    const struct gemm_kernels *kernels;
    const struct gemm_call *call;
    int64_t column, columns; /* block of C's columns */
    int64_t depth, values;   /* first value along K of the slab, and how many */
    int64_t units;           /* of the slab */
    int64_t panel_units;     /* the same, with those of a change of low rank behind the last slab */
    int64_t row_block;
    bool first, last; /* slab of K */
};

/* A part of a right-hand operand that is packed, and where its panels go. */
struct packing {
    const struct compute *compute;
    const struct gemm_kernels *kernels;
    const struct gemm_matrix *b;
    int64_t column, columns, depth, values, units;
    uint32_t *panels;
    int64_t panel_units; /* of a panel; `units` of them are written */
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

static uint32_t *panel_of(const struct packing *p, int64_t column)
{
    return p->panels + column * p->panel_units;
}

/* Asks for the part of a stored row that is wanted soon. The processor sees no pattern in parts of
 * rows that lie apart. */
static void prefetch_row(const struct gemm_matrix *b, int64_t row, int64_t begin, int64_t count)
{
    if (b->unpack || b->type == GEMM_F32)
        return;
    const uint16_t *at = (const uint16_t *)b->data + row * b->stride + begin;
    for (int64_t i = 0; i < count; i += 32)
        __builtin_prefetch(at + i);
}

/* Panels of a B stored as (N, K): rows are turned into units, then transposed. */
static void pack_transposed(void *context, int64_t begin, int64_t end, int thread)
{
    const struct packing *p = context;
    const struct gemm_kernels *kernels = p->kernels;
    uint32_t *rows = compute_scratch(p->compute, thread);
    float *space = (float *)(rows + GEMM_COLUMNS_MOST * GEMM_STRIDE);
    bool direct = p->b->type == GEMM_F32 && !p->b->unpack && kernels == p->compute->gemm_f32;
    for (int64_t panel = begin; panel < end; panel++) {
        int64_t first = panel * kernels->columns;
        int64_t left = p->columns - first;
        int count = left < kernels->columns ? (int)left : kernels->columns;
        if (direct) {
            const float *from =
                (const float *)p->b->data + (p->column + first) * p->b->stride + p->depth;
            kernels->transpose(from, p->b->stride, count, p->units, panel_of(p, first));
            continue;
        }
        for (int i = 0; i < count; i++) {
            int64_t row = p->column + first + i;
            if (first + i + ROWS_AHEAD < p->columns)
                prefetch_row(p->b, row + ROWS_AHEAD, p->depth, p->values);
            kernels->pack_row(stored_row(p->compute, p->b, row, p->depth, p->values, space),
                              p->values, rows + i * GEMM_STRIDE);
        }
        kernels->transpose(rows, GEMM_STRIDE, count, p->units, panel_of(p, first));
    }
}

/* One unit row of a strip into its panels, the missing columns of the last one set to 0. */
static void spread(const struct packing *p, int64_t first, int64_t count, int64_t unit,
                   const uint32_t *units)
{
    int64_t width = p->kernels->columns;
    for (int64_t j = 0; j < count; j += width) {
        uint32_t *to = panel_of(p, first + j) + unit * width;
        int64_t part = count - j < width ? count - j : width;
        gemm_copy(to, units + j, part);
        if (part < width)
            memset(to + part, 0, (size_t)(width - part) * sizeof *to);
    }
}

/* Panels of a B stored as (K, N), strip by strip. */
static void pack_straight(void *context, int64_t begin, int64_t end, int thread)
{
    const struct packing *p = context;
    const struct gemm_kernels *kernels = p->kernels;
    uint32_t *units = compute_scratch(p->compute, thread);
    float *space = (float *)(units + STRIP), *second_space = space + STRIP;
    bool plain = kernels == p->compute->gemm_f32; /* values are units as they stand */
    for (int64_t strip = begin; strip < end; strip++) {
        int64_t first = strip * STRIP;
        int64_t count = p->columns - first < STRIP ? p->columns - first : STRIP;
        for (int64_t unit = 0; unit < p->units; unit++) {
            int64_t row = p->depth + unit * kernels->pair;
            const float *values =
                stored_row(p->compute, p->b, row, p->column + first, count, space);
            if (kernels->pair == 2) {
                bool paired = unit * 2 + 1 < p->values;
                const float *second = paired ? stored_row(p->compute, p->b, row + 1,
                                                          p->column + first, count, second_space)
                                             : NULL;
                kernels->pack_pair(values, second, count, units);
            } else if (!plain) {
                kernels->pack_row(values, count, units);
            }
            spread(p, first, count, unit, plain ? (const uint32_t *)(const void *)values : units);
        }
    }
}

static void pack_b(struct packing *p)
{
    struct thread_pool *pool = p->compute->pool;
    if (p->b->transposed)
        thread_pool_for(pool, (p->columns + p->kernels->columns - 1) / p->kernels->columns, 2,
                        pack_transposed, p);
    else
        thread_pool_for(pool, (p->columns + STRIP - 1) / STRIP, 1, pack_straight, p);
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

/* Rows [begin, end) of the block times the panels of `columns` columns. `add` and `c` start at the
 * block's first row and column. */
static void multiply_panels(const struct gemm_job *job, const uint32_t *block, int64_t rows,
                            const uint32_t *panels, int64_t units, int64_t columns,
                            const float *add, int64_t add_stride, const float *bias, float *c,
                            int64_t c_stride)
{
    const struct gemm_kernels *kernels = job->kernels;
    struct gemm_tile tile = {.units = units,
                             .a_step = GEMM_STRIDE,
                             .b_step = kernels->columns,
                             .c_stride = c_stride,
                             .add_stride = add_stride,
                             .a_transposed = job->call->a_transposed};
    for (int64_t j = 0; j < columns; j += kernels->columns) {
        tile.columns = (int)(columns - j < kernels->columns ? columns - j : kernels->columns);
        tile.b = panels + j * job->panel_units;
        tile.bias = bias ? bias + j : NULL;
        for (int64_t i = 0; i < rows; i += kernels->rows) {
            tile.rows = (int)(rows - i < kernels->rows ? rows - i : kernels->rows);
            tile.a = block + i * (tile.a_transposed ? 1 : GEMM_STRIDE);
            tile.c = c + i * c_stride + j;
            tile.add = add ? add + i * add_stride + j : NULL;
            kernels->multiply(&tile);
        }
    }
}

/* The panels of a change's first matrix lie behind those of B. */
static uint32_t *change_panels(const struct gemm_job *job)
{
    int64_t width = job->kernels->columns;
    return (uint32_t *)job->compute->panels +
           (job->columns + width - 1) / width * width * job->panel_units;
}

/* The share of a change of low rank in a block of rows: its inner values, and behind the last slab
 * of K those as further units of A. */
static void change_rows(const struct gemm_job *job, int64_t begin, int64_t end, uint32_t *block)
{
    const struct gemm_low_rank *change = job->call->change;
    int64_t rank = change->rank, rows = end - begin;
    float *inner = change->inner + begin * rank;
    if (job->column == 0)
        multiply_panels(job, block, rows, change_panels(job), job->units, rank,
                        job->first ? NULL : inner, rank, NULL, inner, rank);
    if (!job->last)
        return;
    if (job->column == 0)
        job->compute->kernels->scale(rows * rank, change->scale, inner, inner);
    for (int64_t i = 0; i < rows; i++)
        job->kernels->pack_row(inner + i * rank, rank, block + i * GEMM_STRIDE + job->units);
}

static void multiply_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const struct gemm_job *job = context;
    const struct gemm_call *call = job->call;
    uint32_t *block = compute_scratch(job->compute, thread);
    pack_a(job, begin, end - begin, block);
    if (call->change)
        change_rows(job, begin, end, block);
    float *c = call->c + begin * call->c_stride + job->column;
    const float *add = c, *bias = NULL;
    int64_t add_stride = call->c_stride;
    if (job->first) {
        add_stride = call->add_stride;
        add = call->add ? call->add + begin * add_stride + job->column : NULL;
        bias = call->bias ? call->bias + job->column : NULL;
    }
    multiply_panels(job, block, end - begin, (const uint32_t *)job->compute->panels,
                    job->panel_units, job->columns, add, add_stride, bias, c, call->c_stride);
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

static int64_t units_of(const struct gemm_kernels *kernels, int64_t values)
{
    return (values + kernels->pair - 1) / kernels->pair;
}

static void pack_slab(const struct gemm_job *job)
{
    const struct gemm_low_rank *change = job->call->change;
    struct packing b = {.compute = job->compute,
                        .kernels = job->kernels,
                        .b = &job->call->b,
                        .column = job->column,
                        .columns = job->columns,
                        .depth = job->depth,
                        .values = job->values,
                        .units = job->units,
                        .panels = (uint32_t *)job->compute->panels,
                        .panel_units = job->panel_units};
    pack_b(&b);
    if (change && job->column == 0) {
        struct packing first = b;
        first.b = &change->first;
        first.columns = change->rank;
        first.panels = change_panels(job);
        pack_b(&first);
    }
    if (change && job->last) {
        struct packing second = b;
        second.b = &change->second;
        second.depth = 0;
        second.values = change->rank;
        second.units = job->panel_units - job->units;
        second.panels += job->units * job->kernels->columns;
        pack_b(&second);
    }
}

/* The product in tiles: all slabs of K for one block of columns after the other. */
static void multiply_tiles(const struct compute *compute, const struct gemm_call *call,
                           const struct gemm_kernels *kernels)
{
    struct gemm_job job = {.compute = compute, .kernels = kernels, .call = call};
    int64_t change_units = call->change ? units_of(kernels, call->change->rank) : 0;
    int64_t most = (GEMM_DEPTH - (change_units + 15) / 16 * 16) * kernels->pair;
    int64_t slabs = (call->k + most - 1) / most;
    int64_t slab = ((call->k + slabs - 1) / slabs + 15) / 16 * 16;
    job.row_block = choose_row_block(&job);
    for (job.column = 0; job.column < call->n; job.column += GEMM_COLUMN_BLOCK) {
        int64_t left = call->n - job.column;
        job.columns = left < GEMM_COLUMN_BLOCK ? left : GEMM_COLUMN_BLOCK;
        for (job.depth = 0; job.depth < call->k; job.depth += slab) {
            job.values = call->k - job.depth < slab ? call->k - job.depth : slab;
            job.first = job.depth == 0;
            job.last = job.depth + job.values == call->k;
            job.units = units_of(kernels, job.values);
            job.panel_units = job.units + (job.last ? change_units : 0);
            pack_slab(&job);
            thread_pool_for(compute->pool, call->m, job.row_block, multiply_rows, &job);
        }
    }
}

/* A change of low rank on its own, where the product with B is not made in tiles. */
static void change_apart(const struct compute *compute, const struct gemm_call *call)
{
    const struct gemm_low_rank *change = call->change;
    struct gemm_call plain = *call, first = *call, second = *call;
    plain.change = first.change = second.change = NULL;
    gemm(compute, &plain);
    first.n = first.c_stride = change->rank;
    first.b = change->first;
    first.c = change->inner;
    first.add = first.bias = NULL;
    gemm(compute, &first);
    int64_t count = call->m * change->rank;
    compute->kernels->scale(count, change->scale, change->inner, change->inner);
    second.k = second.a_stride = change->rank;
    second.a = change->inner;
    second.b = change->second;
    second.add = call->c;
    second.add_stride = call->c_stride;
    second.bias = NULL;
    gemm(compute, &second);
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
    bool rounded = rounds_to_bfloat(compute, call);
    bool dots =
        call->route == GEMM_DOTS || (call->route == GEMM_ANY && call->m <= SMALL_ROWS && !rounded);
    bool whole = compute->precision == MATMUL_INT8 && call->b.multiply;
    if (call->change && (call->k == 0 || dots || whole || call->change->rank > GEMM_RANK_MOST)) {
        change_apart(compute, call);
        return;
    }
    if (call->k == 0) {
        gemm_empty(call);
        return;
    }
    if (whole && call->b.multiply(compute, call, 1))
        return;
    if (dots && call->b.transposed && !call->a_transposed) {
        struct dot_job job = {compute, call};
        /* A piece must be worth the hand-over: some 10 us. */
        int64_t grain = DOT_WORK / (call->k * call->m) + 1;
        grain = (grain + DOT_COLUMNS - 1) / DOT_COLUMNS * DOT_COLUMNS;
        thread_pool_for(compute->pool, call->n, grain, dot_columns, &job);
        return;
    }
    multiply_tiles(compute, call, rounded ? compute->gemm_bf16 : compute->gemm_f32);
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
