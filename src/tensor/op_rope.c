/* Rotary positions (Su et al. 2021), in place: a rotation's backward is the rotation back, so
 * nothing needs to be kept. */
#include "tensor/ops.h"

struct rope_node {
    struct tape_node node;
    struct tensor *x;
    const int32_t *position;
    const struct rope_table *table;
    int64_t heads;
};

struct rope_job {
    const struct compute *compute;
    const struct rope_table *table;
    const int32_t *position;
    float *values;
    int64_t heads;
    float sign;
};

static void rotate_rows(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct rope_job *job = context;
    int64_t half = job->table->width / 2, width = job->table->head_width;
    for (int64_t r = begin; r < end; r++) {
        const float *cosines = job->table->cosines + job->position[r] * half;
        const float *sines = job->table->sines + job->position[r] * half;
        for (int64_t h = 0; h < job->heads; h++)
            job->compute->kernels->rotate(half, cosines, sines, job->sign,
                                          job->values + (r * job->heads + h) * width);
    }
}

static void rotate_all(const struct compute *compute, const struct rope_node *n, float *values,
                       float sign)
{
    struct rope_job job = {compute, n->table, n->position, values, n->heads, sign};
    int64_t rows = tensor_count(n->x) / (n->heads * n->table->head_width);
    thread_pool_for(compute->pool, rows, 32, rotate_rows, &job);
}

static void rope_back(struct tape *tape, struct tape_node *node)
{
    struct rope_node *n = (struct rope_node *)node;
    rotate_all(tape->compute, n, node->output->gradient, -1.0f);
    tape_hand_over(tape, node->output, n->x);
}

struct tensor *op_rope(struct tape *tape, struct tensor *x, int64_t heads, const int32_t *position,
                       const struct rope_table *table)
{
    struct tensor *y = x ? tape_alloc(tape, sizeof *y) : NULL;
    if (!y)
        return NULL;
    *y = (struct tensor){.rank = x->rank, .data = x->data, .tangent = x->tangent};
    for (int i = 0; i < x->rank; i++)
        y->shape[i] = x->shape[i];
    struct rope_node plain = {.x = x, .position = position, .table = table, .heads = heads};
    rotate_all(tape->compute, &plain, y->data, 1.0f);
    if (tape->forward_mode && y->tangent)
        rotate_all(tape->compute, &plain, y->tangent, 1.0f);
    const struct tensor *const inputs[] = {x};
    if (tape_records(tape, inputs, 1)) {
        struct rope_node *n = tape_push(tape, sizeof *n, y, rope_back);
        if (!n)
            return NULL;
        plain.node = n->node;
        *n = plain;
    }
    return y;
}
