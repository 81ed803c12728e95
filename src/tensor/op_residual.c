/* Sums, scales, views and dropout: what happens on the residual stream. */
#include <string.h>

#include "base/random.h"
#include "tensor/ops.h"

#define GRAIN 16384 /* values in one piece of work; a multiple of 4 */

struct add_node {
    struct tape_node node;
    struct tensor *a, *b;
};

struct add_job {
    const struct compute *compute;
    const float *a, *b;
    float *out;
};

static void add_run(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct add_job *job = context;
    job->compute->kernels->add(end - begin, job->a + begin, job->b + begin, job->out + begin);
}

static void add_back(struct tape *tape, struct tape_node *node)
{
    struct add_node *n = (struct add_node *)node;
    bool add;
    float *a = tape_gradient(tape, n->a, &add);
    if (a && add)
        tape->compute->kernels->axpy(tensor_count(n->a), 1.0f, node->output->gradient, a);
    else if (a)
        memcpy(a, node->output->gradient, (size_t)tensor_count(n->a) * sizeof *a);
    tape_hand_over(tape, node->output, n->b);
}

struct tensor *op_add(struct tape *tape, struct tensor *a, struct tensor *b)
{
    struct tensor *out = a && b ? tape_tensor_like(tape, a) : NULL;
    if (!out)
        return NULL;
    struct add_job job = {tape->compute, a->data, b->data, out->data};
    thread_pool_for(tape->compute->pool, tensor_count(out), GRAIN, add_run, &job);
    const struct tensor *const inputs[] = {a, b};
    if (tape_carries(tape, inputs, 2) && tape_tangent(tape, out))
        for (int64_t i = 0; i < tensor_count(out); i++)
            out->tangent[i] = (a->tangent ? a->tangent[i] : 0) + (b->tangent ? b->tangent[i] : 0);
    if (tape_records(tape, inputs, 2)) {
        struct add_node *n = tape_push(tape, sizeof *n, out, add_back);
        if (!n)
            return NULL;
        n->a = a;
        n->b = b;
    }
    return out;
}

struct scale_node {
    struct tape_node node;
    struct tensor *x;
    float factor;
};

struct scale_job {
    const struct compute *compute;
    const float *in;
    float *out;
    float factor;
    bool add;
};

static void scale_run(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct scale_job *job = context;
    if (job->add)
        job->compute->kernels->axpy(end - begin, job->factor, job->in + begin, job->out + begin);
    else
        job->compute->kernels->scale(end - begin, job->factor, job->in + begin, job->out + begin);
}

static void scale_back(struct tape *tape, struct tape_node *node)
{
    struct scale_node *n = (struct scale_node *)node;
    struct scale_job job = {
        .compute = tape->compute, .in = node->output->gradient, .factor = n->factor};
    job.out = tape_gradient(tape, n->x, &job.add);
    if (job.out)
        thread_pool_for(tape->compute->pool, tensor_count(n->x), GRAIN, scale_run, &job);
}

struct tensor *op_scale(struct tape *tape, struct tensor *x, double factor)
{
    struct tensor *y = x ? tape_tensor_like(tape, x) : NULL;
    if (!y)
        return NULL;
    struct scale_job job = {tape->compute, x->data, y->data, (float)factor, false};
    thread_pool_for(tape->compute->pool, tensor_count(y), GRAIN, scale_run, &job);
    const struct tensor *const inputs[] = {x};
    if (tape_carries(tape, inputs, 1) && tape_tangent(tape, y)) {
        job.in = x->tangent;
        job.out = y->tangent;
        thread_pool_for(tape->compute->pool, tensor_count(y), GRAIN, scale_run, &job);
    }
    if (tape_records(tape, inputs, 1)) {
        struct scale_node *n = tape_push(tape, sizeof *n, y, scale_back);
        if (!n)
            return NULL;
        n->x = x;
        n->factor = (float)factor;
    }
    return y;
}

struct view_node {
    struct tape_node node;
    struct tensor *x;
};

static void view_back(struct tape *tape, struct tape_node *node)
{
    struct view_node *n = (struct view_node *)node;
    tape_hand_over(tape, node->output, n->x);
}

struct tensor *op_view(struct tape *tape, struct tensor *x, int rank, const int64_t *shape)
{
    struct tensor *y = x ? tape_alloc(tape, sizeof *y) : NULL;
    if (!y)
        return NULL;
    *y = (struct tensor){.rank = rank, .data = x->data, .tangent = x->tangent};
    memcpy(y->shape, shape, (size_t)rank * sizeof *shape);
    const struct tensor *const inputs[] = {x};
    if (tape_records(tape, inputs, 1)) {
        struct view_node *n = tape_push(tape, sizeof *n, y, view_back);
        if (!n)
            return NULL;
        n->x = x;
    }
    return y;
}

struct dropout_node {
    struct tape_node node;
    struct tensor *x;
    struct random_address address;
    double rate;
};

struct dropout_job {
    const struct dropout_node *n;
    const float *in;
    float *out;
    bool add;
};

static void dropout_run(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct dropout_job *job = context;
    float keep = (float)(1.0 / (1.0 - job->n->rate));
    uint32_t limit = (uint32_t)(job->n->rate * 4294967296.0);
    for (int64_t i = begin; i < end; i += 4) {
        uint32_t words[4];
        random_block(job->n->address, (uint64_t)i / 4, words);
        for (int64_t j = i; j < i + 4 && j < end; j++) {
            float value = words[j - i] < limit ? 0.0f : keep * job->in[j];
            job->out[j] = (job->add ? job->out[j] : 0.0f) + value;
        }
    }
}

static void dropout_back(struct tape *tape, struct tape_node *node)
{
    struct dropout_node *n = (struct dropout_node *)node;
    struct dropout_job job = {.n = n, .in = node->output->gradient};
    job.out = tape_gradient(tape, n->x, &job.add);
    if (job.out)
        thread_pool_for(tape->compute->pool, tensor_count(n->x), GRAIN, dropout_run, &job);
}

struct tensor *op_dropout(struct tape *tape, struct tensor *x, double rate)
{
    if (!x || !tape->training || rate <= 0)
        return x;
    struct tensor *y = tape_tensor_like(tape, x);
    if (!y)
        return NULL;
    struct dropout_node plain = {
        .x = x, .address = {tape->seed, RANDOM_DROPOUT, tape->step, tape->ops++}, .rate = rate};
    struct dropout_job job = {.n = &plain, .in = x->data, .out = y->data};
    thread_pool_for(tape->compute->pool, tensor_count(y), GRAIN, dropout_run, &job);
    const struct tensor *const inputs[] = {x};
    if (tape_carries(tape, inputs, 1) && tape_tangent(tape, y)) {
        job.in = x->tangent;
        job.out = y->tangent;
        thread_pool_for(tape->compute->pool, tensor_count(y), GRAIN, dropout_run, &job);
    }
    if (tape_records(tape, inputs, 1)) {
        struct dropout_node *n = tape_push(tape, sizeof *n, y, dropout_back);
        if (!n)
            return NULL;
        plain.node = n->node;
        *n = plain;
    }
    return y;
}
