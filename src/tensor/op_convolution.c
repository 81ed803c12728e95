/* Depthwise causal convolution over tokens; see delta.h. The kernel is a few values for each
 * column, so rows are multiplied and added as they stand. */
#include "tensor/delta.h"

#include <string.h>

#define GRAIN 16 /* tokens in one piece of work */

struct convolution_node {
    struct tape_node node;
    struct delta_shape shape;
    struct tensor *x, *kernel;
};

struct convolution_job {
    const struct convolution_node *n;
    const float *x, *kernel; /* forward: one of them may be a tangent */
    float *out;
    const float *dy;
    float *dx, *dkernel;
};

/* First token that token t of a sequence sees. */
static int64_t first_of(const struct delta_shape *s, int64_t b, int64_t t, int64_t width)
{
    int64_t first = t - width + 1 > 0 ? t - width + 1 : 0;
    int64_t own = s->segment_start ? s->segment_start[b * s->length + t] : 0;
    return own > first ? own : first;
}

static void forward_tokens(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct convolution_job *job = context;
    const struct delta_shape *s = &job->n->shape;
    int64_t columns = tensor_columns(job->n->x), width = s->kernel;
    for (int64_t i = begin; i < end; i++) {
        int64_t b = i / s->length, t = i % s->length;
        float *out = job->out + i * columns;
        for (int64_t from = first_of(s, b, t, width); from <= t; from++) {
            const float *x = job->x + (b * s->length + from) * columns;
            const float *kernel = job->kernel + width - 1 - (t - from);
            for (int64_t c = 0; c < columns; c++)
                out[c] += kernel[c * width] * x[c];
        }
    }
}

/* Columns are divided: a kernel's gradient is a sum over all tokens. */
static void backward_columns(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct convolution_job *job = context;
    const struct delta_shape *s = &job->n->shape;
    int64_t columns = tensor_columns(job->n->x), width = s->kernel;
    const float *values = job->n->x->data, *kernel = job->n->kernel->data;
    for (int64_t i = 0; i < s->batch * s->length; i++) {
        int64_t b = i / s->length, t = i % s->length;
        const float *dy = job->dy + i * columns;
        for (int64_t from = first_of(s, b, t, width); from <= t; from++) {
            int64_t at = (b * s->length + from) * columns, j = width - 1 - (t - from);
            for (int64_t c = begin; c < end; c++) {
                if (job->dx)
                    job->dx[at + c] += kernel[c * width + j] * dy[c];
                if (job->dkernel)
                    job->dkernel[c * width + j] += values[at + c] * dy[c];
            }
        }
    }
}

static void convolution_back(struct tape *tape, struct tape_node *node)
{
    struct convolution_node *n = (struct convolution_node *)node;
    struct convolution_job job = {.n = n, .dy = node->output->gradient};
    bool add;
    job.dx = tape_gradient(tape, n->x, &add);
    if (job.dx && !add)
        memset(job.dx, 0, (size_t)tensor_count(n->x) * sizeof *job.dx);
    job.dkernel = tape_gradient(tape, n->kernel, &add);
    if (job.dkernel && !add)
        memset(job.dkernel, 0, (size_t)tensor_count(n->kernel) * sizeof *job.dkernel);
    thread_pool_for(tape->compute->pool, tensor_columns(n->x), 64, backward_columns, &job);
}

struct tensor *op_causal_convolution(struct tape *tape, const struct delta_shape *shape,
                                     struct tensor *x, struct tensor *kernel)
{
    struct tensor *out = x ? tape_tensor_like(tape, x) : NULL;
    if (!out)
        return NULL;
    struct convolution_node plain = {.shape = *shape, .x = x, .kernel = kernel};
    struct convolution_job job = {
        .n = &plain, .x = x->data, .kernel = kernel->data, .out = out->data};
    int64_t tokens = shape->batch * shape->length;
    memset(out->data, 0, (size_t)tensor_count(out) * sizeof *out->data);
    thread_pool_for(tape->compute->pool, tokens, GRAIN, forward_tokens, &job);
    const struct tensor *const inputs[] = {x, kernel};
    if (tape_carries(tape, inputs, 2) && tape_tangent(tape, out)) {
        memset(out->tangent, 0, (size_t)tensor_count(out) * sizeof *out->tangent);
        job.out = out->tangent;
        for (int which = 0; which < 2; which++) {
            job.x = which ? x->data : x->tangent;
            job.kernel = which ? kernel->tangent : kernel->data;
            if (job.x && job.kernel)
                thread_pool_for(tape->compute->pool, tokens, GRAIN, forward_tokens, &job);
        }
    }
    if (tape_records(tape, inputs, 2)) {
        struct convolution_node *n = tape_push(tape, sizeof *n, out, convolution_back);
        if (!n)
            return NULL;
        plain.node = n->node;
        *n = plain;
    }
    return out;
}

void causal_convolution_continue(const struct delta_shape *shape, const float *x, int64_t columns,
                                 const float *kernel, float *state, float *out)
{
    int64_t width = shape->kernel, length = shape->length, before = width - 1;
    memset(out, 0, (size_t)(length * columns) * sizeof *out);
    for (int64_t t = 0; t < length; t++)
        for (int64_t j = 0; j < width; j++) {
            int64_t from = t - before + j;
            const float *row = from < 0 ? state + (before + from) * columns : x + from * columns;
            for (int64_t c = 0; c < columns; c++)
                out[t * columns + c] += kernel[c * width + j] * row[c];
        }
    int64_t kept = length < before ? before - length : 0; /* of the state, moved to its front */
    memmove(state, state + (before - kept) * columns, (size_t)(kept * columns) * sizeof *state);
    memcpy(state + kept * columns, x + (length - (before - kept)) * columns,
           (size_t)((before - kept) * columns) * sizeof *state);
}
