/* RMS norm and layer norm: one op, since RMS norm is layer norm with the mean and bias left out. */
#include <math.h>
#include <string.h>

#include "tensor/ops.h"

#define ROW_BLOCKS 16 /* fixed, so that sums over rows do not depend on the threads */

struct norm_node {
    struct tape_node node;
    struct tensor *x, *weight, *bias;
    float *mean, *inverse; /* per row; mean NULL for RMS norm */
};

struct norm_job {
    const struct compute *compute;
    const struct norm_node *n;
    float epsilon;
    float *y;
    const float *dy;
    float *dx;
    bool add;
    float *partial; /* (ROW_BLOCKS, 2, C): sums for weight and bias */
    int64_t rows, columns;
};

static struct norm_row row_of(const struct norm_node *n, int64_t row, int64_t columns)
{
    return (struct norm_row){
        .x = n->x->data + row * columns,
        .weight = n->weight->data,
        .mean = n->mean ? n->mean[row] : 0.0f,
        .inverse = n->inverse[row],
        .centered = n->mean != NULL,
    };
}

static void forward_rows(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    struct norm_job *job = context;
    const struct row_kernels *kernels = job->compute->kernels;
    const struct norm_node *n = job->n;
    int64_t columns = job->columns;
    for (int64_t r = begin; r < end; r++) {
        const float *x = n->x->data + r * columns;
        double mean = 0, square = 0;
        if (n->mean) {
            mean = kernels->sum(columns, x) / (double)columns;
            for (int64_t j = 0; j < columns; j++)
                square += (x[j] - mean) * (x[j] - mean);
            n->mean[r] = (float)mean;
        } else {
            square = kernels->sum_squares(columns, x);
        }
        n->inverse[r] = (float)(1.0 / sqrt(square / (double)columns + (double)job->epsilon));
        struct norm_row row = row_of(n, r, columns);
        kernels->norm(columns, &row, n->bias ? n->bias->data : NULL, job->y + r * columns);
    }
}

static void backward_blocks(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    struct norm_job *job = context;
    int64_t columns = job->columns;
    for (int64_t block = begin; block < end; block++) {
        float *weight = job->partial ? job->partial + block * 2 * columns : NULL;
        float *bias = weight && job->n->bias ? weight + columns : NULL;
        if (weight)
            memset(weight, 0, (size_t)(2 * columns) * sizeof *weight);
        int64_t first = job->rows * block / ROW_BLOCKS;
        for (int64_t r = first; r < job->rows * (block + 1) / ROW_BLOCKS; r++) {
            struct norm_row row = row_of(job->n, r, columns);
            job->compute->kernels->norm_backward(columns, &row, job->dy + r * columns,
                                                 job->dx ? job->dx + r * columns : NULL, job->add,
                                                 weight, bias);
        }
    }
}

static void add_partials(const struct norm_job *job, int64_t which, float *gradient, bool add)
{
    if (!add)
        memset(gradient, 0, (size_t)job->columns * sizeof *gradient);
    for (int64_t block = 0; block < ROW_BLOCKS; block++)
        job->compute->kernels->axpy(job->columns, 1.0f,
                                    job->partial + (block * 2 + which) * job->columns, gradient);
}

static void norm_back(struct tape *tape, struct tape_node *node)
{
    struct norm_node *n = (struct norm_node *)node;
    struct norm_job job = {.compute = tape->compute, .n = n};
    job.rows = tensor_rows(n->x);
    job.columns = tensor_columns(n->x);
    job.dy = node->output->gradient;
    job.dx = tape_gradient(tape, n->x, &job.add);
    bool weight_add, bias_add;
    float *weight = tape_gradient(tape, n->weight, &weight_add);
    float *bias = tape_gradient(tape, n->bias, &bias_add);
    size_t bytes = (size_t)(ROW_BLOCKS * 2 * job.columns) * sizeof(float);
    if (weight || bias) {
        job.partial = tape_take(tape, bytes);
        if (!job.partial)
            return;
    }
    thread_pool_for(tape->compute->pool, ROW_BLOCKS, 1, backward_blocks, &job);
    if (weight)
        add_partials(&job, 0, weight, weight_add);
    if (bias)
        add_partials(&job, 1, bias, bias_add);
    tape_give(tape, job.partial, bytes);
}

/* With u = (x - mean) * inverse: u' = inverse * (x' - mean(x') [centered] - u mean(u x')),
 * y' = u' weight + u weight' + bias'. */
static void norm_tangent(const struct norm_node *n, int64_t rows, int64_t columns, float *out)
{
    const float *w = n->weight->data, *dw = n->weight->tangent;
    const float *db = n->bias ? n->bias->tangent : NULL;
    for (int64_t r = 0; r < rows; r++) {
        struct norm_row row = row_of(n, r, columns);
        const float *dx = n->x->tangent ? n->x->tangent + r * columns : NULL;
        double level = 0, along = 0;
        for (int64_t j = 0; dx && j < columns; j++) {
            level += dx[j];
            along += (double)dx[j] * (double)(row.x[j] - row.mean) * (double)row.inverse;
        }
        level = row.centered ? level / (double)columns : 0;
        along /= (double)columns;
        for (int64_t j = 0; j < columns; j++) {
            double u = (double)(row.x[j] - row.mean) * (double)row.inverse;
            double du = dx ? (double)row.inverse * (dx[j] - level - u * along) : 0;
            out[r * columns + j] = (float)(du * w[j] + (dw ? u * dw[j] : 0) + (db ? db[j] : 0));
        }
    }
}

static struct tensor *norm_op(struct tape *tape, struct tensor *x, struct tensor *weight,
                              struct tensor *bias, float epsilon, bool centered)
{
    if (!x)
        return NULL;
    int64_t rows = tensor_rows(x), columns = tensor_columns(x);
    struct tensor *y = tape_tensor_like(tape, x);
    struct norm_node plain = {.x = x, .weight = weight, .bias = bias};
    plain.inverse = tape_alloc(tape, (size_t)rows * sizeof(float));
    if (centered)
        plain.mean = tape_alloc(tape, (size_t)rows * sizeof(float));
    if (!y || !plain.inverse || (centered && !plain.mean))
        return NULL;
    struct norm_job job = {.compute = tape->compute,
                           .n = &plain,
                           .epsilon = epsilon,
                           .y = y->data,
                           .rows = rows,
                           .columns = columns};
    thread_pool_for(tape->compute->pool, rows, 32, forward_rows, &job);
    const struct tensor *const inputs[] = {x, weight, bias};
    if (tape_carries(tape, inputs, 3) && tape_tangent(tape, y))
        norm_tangent(&plain, rows, columns, y->tangent);
    if (tape_records(tape, inputs, 3)) {
        struct norm_node *n = tape_push(tape, sizeof *n, y, norm_back);
        if (!n)
            return NULL;
        plain.node = n->node;
        *n = plain;
    }
    return y;
}

struct tensor *op_rms_norm(struct tape *tape, struct tensor *x, struct tensor *weight,
                           float epsilon)
{
    return norm_op(tape, x, weight, NULL, epsilon, false);
}

struct tensor *op_layer_norm(struct tape *tape, struct tensor *x, struct tensor *weight,
                             struct tensor *bias, float epsilon)
{
    return norm_op(tape, x, weight, bias, epsilon, true);
}
