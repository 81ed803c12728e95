/* See int8_product.h. Rows of activations are rounded once for each call. With few of them each
 * thread streams its share of the weights; with many it unpacks a pair of panels into its scratch
 * memory and multiplies all rows with it, a slab of K at a time so that the panels stay next to the
 * processor. */
#include "weight/int8_product.h"

#include <string.h>

#define SLAB 2048                       /* values of K; whole blocks of every format */
#define PIECE_BYTES ((int64_t)12 << 10) /* of weights, that are worth handing to a thread */
#define PIECES 4                        /* for each thread, to share out evenly */
#define SUMS_ROWS 1024                  /* most rows of activations at a time */

struct int8_job {
    const struct compute *compute;
    const struct int8_kernels *kernels;
    const struct int8_layout *layout;
    const struct gemm_call *call;
    const struct weight *weight;
    int64_t weight_bytes; /* of a row */
    unsigned char *rows;  /* rounded */
    int64_t row_bytes;
    bool owner;           /* of the place where they are; else another call's serve */
    int64_t first, count; /* rows of the call that are done now */
};

const struct int8_kernels *int8_kernels_for(const struct cpu *cpu)
{
#if defined(__x86_64__)
    if (cpu->level == CPU_AVX512)
        return cpu->vnni ? &int8_kernels_vnni : &int8_kernels_avx512;
    if (cpu->level == CPU_AVX2)
        return &int8_kernels_avx2;
#endif
    return &int8_kernels_baseline;
}

static void round_rows(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct int8_job *job = context;
    for (int64_t i = begin; i < end; i++)
        job->kernels->quantize(job->layout, job->call->a + (job->first + i) * job->call->a_stride,
                               job->call->k, job->rows + i * job->row_bytes);
}

/* `lanes` rows of the weight from `row` on; where the weight ends before, a copy in `space` with
 * rows of zeros below. */
static const unsigned char *weight_rows(const struct int8_job *job, int64_t row,
                                        unsigned char *space)
{
    const unsigned char *at = (const unsigned char *)job->weight->data + row * job->weight_bytes;
    int64_t left = job->call->n - row, lanes = job->kernels->lanes;
    if (left >= lanes)
        return at;
    memcpy(space, at, (size_t)(left * job->weight_bytes));
    memset(space + left * job->weight_bytes, 0, (size_t)((lanes - left) * job->weight_bytes));
    return space;
}

/* Sums of one row into C, with add and bias. */
static void store(const struct gemm_call *call, int64_t row, int64_t column, int64_t count,
                  const float *sums)
{
    float *c = call->c + row * call->c_stride + column;
    const float *add = call->add ? call->add + row * call->add_stride + column : NULL;
    const float *bias = call->bias ? call->bias + column : NULL;
    for (int64_t j = 0; j < count; j++) {
        float value = bias ? sums[j] + bias[j] : sums[j];
        c[j] = add ? value + add[j] : value;
    }
}

/* Calls that are done together: their outputs, `width` at a time, one call after the other. */
struct int8_together {
    struct int8_job *jobs;
    int count;
    int64_t width;
    void (*multiply)(const struct int8_job *job, int64_t begin, int64_t end, int thread);
};

static int64_t groups_of(const struct int8_job *job, int64_t width)
{
    return (job->call->n + width - 1) / width;
}

static void multiply_together(void *context, int64_t begin, int64_t end, int thread)
{
    const struct int8_together *together = context;
    int64_t first = 0;
    for (int i = 0; i < together->count && first < end; i++) {
        int64_t groups = groups_of(&together->jobs[i], together->width);
        int64_t from = begin > first ? begin - first : 0;
        int64_t to = end - first < groups ? end - first : groups;
        if (from < to)
            together->multiply(&together->jobs[i], from, to, thread);
        first += groups;
    }
}

static void multiply_groups(const struct int8_job *job, int64_t begin, int64_t end, int thread)
{
    const struct gemm_call *call = job->call;
    const int64_t lanes = job->kernels->lanes;
    float sums[INT8_FEW * INT8_LANES_MOST];
    for (int64_t group = begin; group < end; group++) {
        int64_t column = group * lanes, left = call->n - column;
        struct int8_few few = {
            .weights = weight_rows(job, column, compute_scratch(job->compute, thread)),
            .stride = job->weight_bytes,
            .depth = call->k,
            .rows = job->rows,
            .row_stride = job->row_bytes,
            .row_count = (int)call->m,
            .out = sums,
        };
        job->kernels->multiply_few[job->weight->format->code](&few);
        for (int64_t i = 0; i < call->m; i++)
            store(call, i, column, left < lanes ? left : lanes, sums + i * lanes);
    }
}

/* Scratch memory of a thread: sums, a pair of panels, copied rows of weights. */
static int64_t panel_bytes(const struct int8_job *job)
{
    return int8_record_bytes(job->layout, job->kernels->lanes) *
           (job->call->k / job->layout->block);
}

static bool fits(const struct int8_job *job)
{
    int64_t lanes = job->kernels->lanes;
    int64_t scratch = SUMS_ROWS * 2 * lanes * 4 + 2 * panel_bytes(job) + lanes * job->weight_bytes;
    return scratch <= (int64_t)COMPUTE_SCRATCH_BYTES &&
           job->row_bytes * INT8_FEW * GEMM_GROUP_MOST <= (int64_t)GEMM_PANEL_BYTES;
}

/* All rows times one pair of panels, for columns from `column` on. */
static void multiply_panels(const struct int8_job *job, const unsigned char *const *panels,
                            int64_t column, float *sums)
{
    const struct int8_kernels *kernels = job->kernels;
    const struct gemm_call *call = job->call;
    const int64_t width = 2 * kernels->lanes, left = call->n - column;
    for (int64_t begin = 0; begin < call->k; begin += SLAB)
        for (int64_t i = 0; i < job->count; i += kernels->tile_rows) {
            int64_t rows = job->count - i, row = job->first + i;
            struct int8_tile tile = {
                .panels = {panels[0], panels[1]},
                .rows = job->rows + i * job->row_bytes,
                .row_stride = job->row_bytes,
                .row_count = (int)(rows < kernels->tile_rows ? rows : kernels->tile_rows),
                .depth = call->k,
                .begin = begin,
                .end = call->k - begin < SLAB ? call->k : begin + SLAB,
                .sums = sums + i * width,
                .columns = (int)(left < width ? left : width),
                .c = call->c + row * call->c_stride + column,
                .c_stride = call->c_stride,
                .add = call->add ? call->add + row * call->add_stride + column : NULL,
                .add_stride = call->add_stride,
                .bias = call->bias ? call->bias + column : NULL,
            };
            kernels->multiply_tile[job->weight->format->code](&tile);
        }
}

/* Pairs of groups of outputs. */
static void multiply_pairs(const struct int8_job *job, int64_t begin, int64_t end, int thread)
{
    const int64_t lanes = job->kernels->lanes, bytes = panel_bytes(job);
    float *sums = compute_scratch(job->compute, thread);
    unsigned char *memory = (unsigned char *)(sums + SUMS_ROWS * 2 * lanes);
    for (int64_t pair = begin; pair < end; pair++) {
        int64_t column = pair * 2 * lanes, left = job->call->n - column;
        const unsigned char *panels[2] = {memory, memory};
        for (int p = 0; p < 2 && left > p * lanes; p++) {
            panels[p] = memory + p * bytes;
            job->kernels->pack[job->weight->format->code](
                weight_rows(job, column + p * lanes, memory + 2 * bytes), job->weight_bytes,
                job->call->k, memory + p * bytes);
        }
        multiply_panels(job, panels, column, sums);
    }
}

static bool same_layout(const struct int8_layout *a, const struct int8_layout *b)
{
    return a->block == b->block && a->sub == b->sub && a->offset == b->offset &&
           a->minima == b->minima && a->negative == b->negative;
}

/* Gives each call its place for rounded rows; calls that want them in the same form share one.
 * Returns the bytes of a row of all of them together. Marks those that own their place. */
static int64_t share_rows(struct int8_job *jobs, int count, int64_t rows)
{
    unsigned char *place = jobs[0].compute->panels;
    int64_t bytes = 0;
    for (int i = 0; i < count; i++) {
        int same = 0;
        while (!same_layout(jobs[same].layout, jobs[i].layout))
            same++;
        jobs[i].owner = same == i;
        jobs[i].rows = jobs[i].owner ? place + bytes * rows : jobs[same].rows;
        bytes += jobs[i].owner ? jobs[i].row_bytes : 0;
    }
    return bytes;
}

static void run_few(struct int8_job *jobs, int count)
{
    const struct thread_pool *pool = jobs[0].compute->pool;
    int64_t groups = 0, bytes = 0, lanes = jobs[0].kernels->lanes;
    share_rows(jobs, count, jobs[0].call->m);
    for (int i = 0; i < count; i++) {
        groups += groups_of(&jobs[i], lanes);
        bytes += jobs[i].call->n * jobs[i].weight_bytes;
        if (jobs[i].owner)
            round_rows(&jobs[i], 0, jobs[i].call->m, 0);
    }
    int64_t least = PIECE_BYTES * groups / (bytes + groups + 1) + 1;
    int64_t grain = groups / (PIECES * thread_pool_size(pool)) + 1;
    struct int8_together few = {jobs, count, lanes, multiply_groups};
    thread_pool_for(jobs[0].compute->pool, groups, grain > least ? grain : least, multiply_together,
                    &few);
}

static void run_many(struct int8_job *jobs, int count)
{
    struct thread_pool *pool = jobs[0].compute->pool;
    struct int8_together many = {jobs, count, 2 * jobs[0].kernels->lanes, multiply_pairs};
    int64_t pairs = 0, m = jobs[0].call->m;
    int64_t most = (int64_t)GEMM_PANEL_BYTES / share_rows(jobs, count, 0);
    most = most < SUMS_ROWS ? most : SUMS_ROWS;
    int64_t parts = (m + most - 1) / most, step = (m + parts - 1) / parts;
    share_rows(jobs, count, step);
    for (int i = 0; i < count; i++)
        pairs += groups_of(&jobs[i], many.width);
    for (int64_t first = 0; first < m; first += step) {
        for (int i = 0; i < count; i++) {
            jobs[i].first = first;
            jobs[i].count = m - first < step ? m - first : step;
            if (jobs[i].owner)
                thread_pool_for(pool, jobs[i].count, 8, round_rows, &jobs[i]);
        }
        thread_pool_for(pool, pairs, 1, multiply_together, &many);
    }
}

/* False when the call is none of those that can be done here. */
static bool prepare(const struct compute *compute, const struct gemm_call *call,
                    struct int8_job *job)
{
    const struct weight *weight = call->b.context;
    *job = (struct int8_job){.compute = compute,
                             .kernels = int8_kernels_for(&compute->cpu),
                             .call = call,
                             .weight = weight};
    job->layout = &job->kernels->layouts[weight->format->code];
    if (!call->b.transposed || call->a_transposed || job->layout->block == 0)
        return false;
    job->weight_bytes = call->k / weight->format->block * (int64_t)weight->format->block_bytes;
    job->row_bytes = (int8_row_bytes(job->layout, call->k) + 63) / 64 * 64;
    return fits(job);
}

bool int8_product(const struct compute *compute, const struct gemm_call *calls, int count)
{
    struct int8_job jobs[GEMM_GROUP_MOST];
    if (count < 1)
        return true;
    for (int i = 0; i < count; i++)
        if (!prepare(compute, &calls[i], &jobs[i]))
            return false;
    if (calls[0].m <= INT8_FEW)
        run_few(jobs, count);
    else
        run_many(jobs, count);
    return true;
}
