/* Products with few rows in C and a long sum; see gemm.h. The tile kernels read B with its own
 * stride, so only its last columns, which do not fill a tile, are copied. */
#include "tensor/gemm.h"

#define PIECE 4  /* tiles of columns in a piece of work */
#define DEPTH 64 /* units of K at a time, while the next ones are on their way */

struct narrow_job {
    const struct compute *compute;
    int64_t m, n, k;
    const float *a, *b, *add;
    float *c;
};

/* A tile's rows of B lie far apart: no processor foresees them all. */
static void fetch(const float *b, int64_t stride, int64_t units, int columns)
{
    for (int64_t unit = 0; unit < units; unit++)
        for (int j = 0; j < columns; j += 16)
            __builtin_prefetch(b + unit * stride + j);
}

/* Columns [first, first + columns) of C, in steps along K. */
static void multiply_columns(const struct narrow_job *job, int64_t first, int columns, float *panel)
{
    const struct gemm_kernels *kernels = job->compute->gemm_f32;
    bool whole = columns == kernels->columns;
    struct gemm_tile tile = {.columns = columns,
                             .a_step = job->m,
                             .b_step = whole ? job->n : kernels->columns,
                             .c_stride = job->n,
                             .add_stride = job->n,
                             .a_transposed = true};
    for (int64_t depth = 0; depth < job->k; depth += DEPTH) {
        const float *b = job->b + depth * job->n + first;
        int64_t left = job->k - depth;
        tile.units = left < DEPTH ? left : DEPTH;
        fetch(b + tile.units * job->n, job->n, left < 2 * DEPTH ? left - tile.units : DEPTH,
              columns);
        for (int64_t unit = 0; !whole && unit < tile.units; unit++)
            for (int j = 0; j < kernels->columns; j++)
                panel[unit * kernels->columns + j] = j < columns ? b[unit * job->n + j] : 0.0f;
        tile.b = whole ? b : panel;
        for (int64_t i = 0; i < job->m; i += kernels->rows) {
            tile.rows = (int)(job->m - i < kernels->rows ? job->m - i : kernels->rows);
            tile.a = job->a + depth * job->m + i;
            tile.c = job->c + i * job->n + first;
            tile.add = depth > 0 ? tile.c : job->add ? job->add + i * job->n + first : NULL;
            kernels->multiply(&tile);
        }
    }
}

static void multiply_pieces(void *context, int64_t begin, int64_t end, int thread)
{
    const struct narrow_job *job = context;
    int64_t width = job->compute->gemm_f32->columns;
    for (int64_t j = begin * width; j < end * width && j < job->n; j += width)
        multiply_columns(job, j, (int)(job->n - j < width ? job->n - j : width),
                         compute_scratch(job->compute, thread));
}

void gemm_narrow(const struct compute *compute, int64_t m, int64_t n, int64_t k, const float *a,
                 const float *b, float *c, const float *add)
{
    struct narrow_job job = {compute, m, n, k, a, b, add, c};
    int64_t width = compute->gemm_f32->columns;
    thread_pool_for(compute->pool, (n + width - 1) / width, PIECE, multiply_pieces, &job);
}
