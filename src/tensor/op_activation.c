/* Functions of single values, alone or as a gate: the feed-forward layer's nonlinearities, gates
 * of token mixers. */
#include <string.h>

#include "tensor/ops.h"

#define GRAIN 8192 /* values in one piece of work */

struct activation_node {
    struct tape_node node;
    struct tensor *x, *up; /* up: NULL without a gate, else x is the gate */
    enum activation f;
};

struct activation_job {
    const struct compute *compute;
    const struct activation_node *n;
    float *y;
    const float *dy;
    float *dx, *dup;
    bool add;
};

static void forward_run(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct activation_job *job = context;
    const struct activation_node *n = job->n;
    if (n->up)
        job->compute->kernels->gated(end - begin, n->f, n->x->data + begin, n->up->data + begin,
                                     job->y + begin);
    else
        job->compute->kernels->activate(end - begin, n->f, n->x->data + begin, job->y + begin);
}

static void backward_run(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct activation_job *job = context;
    const struct activation_node *n = job->n;
    if (n->up)
        job->compute->kernels->gated_backward(end - begin, n->f, n->x->data + begin,
                                              n->up->data + begin, job->dy + begin, job->dx + begin,
                                              job->dup + begin, job->add);
    else
        job->compute->kernels->activate_backward(end - begin, n->f, n->x->data + begin,
                                                 job->dy + begin, job->dx + begin, job->add);
}

static void activate_back(struct tape *tape, struct tape_node *node)
{
    struct activation_node *n = (struct activation_node *)node;
    struct activation_job job = {.compute = tape->compute, .n = n, .dy = node->output->gradient};
    job.dx = tape_gradient(tape, n->x, &job.add);
    if (job.dx)
        thread_pool_for(tape->compute->pool, tensor_count(n->x), GRAIN, backward_run, &job);
}

static void merge(struct tape *tape, const float *share, struct tensor *tensor, bool add)
{
    if (add)
        tape->compute->kernels->axpy(tensor_count(tensor), 1.0f, share, tensor->gradient);
    else
        memcpy(tensor->gradient, share, (size_t)tensor_count(tensor) * sizeof *share);
}

/* Gate and up are made for this op alone, so as a rule neither has a gradient yet; the kernel
 * writes both at once, and where only one is wanted the other goes to memory that is given back. */
static void gated_back(struct tape *tape, struct tape_node *node)
{
    struct activation_node *n = (struct activation_node *)node;
    struct activation_job job = {.compute = tape->compute, .n = n, .dy = node->output->gradient};
    size_t bytes = (size_t)tensor_count(n->x) * sizeof(float);
    bool gate_add, up_add;
    float *gate = tape_gradient(tape, n->x, &gate_add), *up = tape_gradient(tape, n->up, &up_add);
    bool direct = gate && up && gate_add == up_add;
    job.add = direct && gate_add;
    job.dx = direct ? gate : tape_take(tape, bytes);
    job.dup = direct ? up : tape_take(tape, bytes);
    if (!job.dx || !job.dup)
        return;
    thread_pool_for(tape->compute->pool, tensor_count(n->x), GRAIN, backward_run, &job);
    if (direct)
        return;
    if (gate)
        merge(tape, job.dx, n->x, gate_add);
    if (up)
        merge(tape, job.dup, n->up, up_add);
    tape_give(tape, job.dx, bytes);
    tape_give(tape, job.dup, bytes);
}

/* The tangent is the gradient rule with the direction in place of the output's gradient. */
static void activation_tangent(struct tape *tape, const struct activation_node *n,
                               struct tensor *out)
{
    int64_t count = tensor_count(out);
    const struct row_kernels *kernels = tape->compute->kernels;
    size_t bytes = (size_t)count * sizeof(float);
    memset(out->tangent, 0, bytes);
    if (!n->up) {
        kernels->activate_backward(count, n->f, n->x->data, n->x->tangent, out->tangent, false);
        return;
    }
    float *gate = tape_take(tape, bytes), *up = tape_take(tape, bytes),
          *ones = tape_take(tape, bytes);
    if (gate && up && ones) {
        for (int64_t i = 0; i < count; i++)
            ones[i] = 1.0f;
        kernels->gated_backward(count, n->f, n->x->data, n->up->data, ones, gate, up, false);
        for (int64_t i = 0; i < count; i++)
            out->tangent[i] = (n->x->tangent ? gate[i] * n->x->tangent[i] : 0) +
                              (n->up->tangent ? up[i] * n->up->tangent[i] : 0);
    }
    tape_give(tape, gate, bytes);
    tape_give(tape, up, bytes);
    tape_give(tape, ones, bytes);
}

static struct tensor *activation_op(struct tape *tape, const struct activation_node *plain,
                                    void (*backward)(struct tape *, struct tape_node *))
{
    struct tensor *y = tape_tensor_like(tape, plain->x);
    if (!y)
        return NULL;
    struct activation_job job = {.compute = tape->compute, .n = plain, .y = y->data};
    thread_pool_for(tape->compute->pool, tensor_count(y), GRAIN, forward_run, &job);
    const struct tensor *const inputs[] = {plain->x, plain->up};
    if (tape_carries(tape, inputs, 2) && tape_tangent(tape, y))
        activation_tangent(tape, plain, y);
    if (tape_records(tape, inputs, 2)) {
        struct activation_node *n = tape_push(tape, sizeof *n, y, backward);
        if (!n)
            return NULL;
        struct tape_node head = n->node;
        *n = *plain;
        n->node = head;
    }
    return y;
}

struct tensor *op_gated(struct tape *tape, enum activation f, struct tensor *gate,
                        struct tensor *up)
{
    struct activation_node plain = {.x = gate, .up = up, .f = f};
    return gate && up ? activation_op(tape, &plain, gated_back) : NULL;
}

struct tensor *op_activate(struct tape *tape, enum activation f, struct tensor *x)
{
    struct activation_node plain = {.x = x, .f = f};
    return x ? activation_op(tape, &plain, activate_back) : NULL;
}
