/* Rows of a table by id, and the scatter back; see weight/ops.h. */
#include <string.h>

#include "weight/ops.h"

#define COLUMN_PIECE 64 /* columns whose gradients one piece of work makes */

struct embedding_node {
    struct tape_node node;
    struct weight *table;
    const int32_t *ids;
    int64_t count;
    struct tensor *sum;
};

struct embedding_job {
    const struct compute *compute;
    const struct weight *table;
    const int32_t *ids;
    const float *sum;
    float *out;
    const float *dy;
    float *gradient;
    int64_t count;
};

static void gather(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct embedding_job *job = context;
    int64_t width = job->table->columns;
    for (int64_t i = begin; i < end; i++) {
        weight_unpack_row(job->table, job->ids[i], 0, width, job->out + i * width);
        if (job->sum)
            job->compute->kernels->axpy(width, 1.0f, job->sum + i * width, job->out + i * width);
    }
}

/* Each piece owns some columns and walks all ids in order, so that sums keep their order. */
static void scatter(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct embedding_job *job = context;
    int64_t width = job->table->columns;
    for (int64_t i = 0; i < job->count; i++)
        job->compute->kernels->axpy(end - begin, 1.0f, job->dy + i * width + begin,
                                    job->gradient + job->ids[i] * width + begin);
}

static void embedding_back(struct tape *tape, struct tape_node *node)
{
    struct embedding_node *n = (struct embedding_node *)node;
    bool add;
    float *gradient = tape_gradient(tape, &n->table->tensor, &add);
    if (gradient) {
        if (!add)
            memset(gradient, 0, (size_t)tensor_count(&n->table->tensor) * sizeof *gradient);
        struct embedding_job job = {.compute = tape->compute,
                                    .table = n->table,
                                    .ids = n->ids,
                                    .dy = node->output->gradient,
                                    .gradient = gradient,
                                    .count = n->count};
        thread_pool_for(tape->compute->pool, n->table->columns, COLUMN_PIECE, scatter, &job);
    }
    tape_hand_over(tape, node->output, n->sum);
}

static void embedding_tangent(const struct weight *table, const int32_t *ids, int64_t count,
                              const struct tensor *sum, float *out)
{
    int64_t width = table->columns;
    for (int64_t i = 0; i < count * width; i++)
        out[i] = (table->tensor.tangent ? table->tensor.tangent[ids[i / width] * width + i % width]
                                        : 0.0f) +
                 (sum && sum->tangent ? sum->tangent[i] : 0.0f);
}

struct tensor *op_embedding(struct tape *tape, struct weight *table, const int32_t *ids,
                            int64_t batch, int64_t length, struct tensor *sum)
{
    int64_t shape[] = {batch, length, table->columns}, count = batch * length;
    struct tensor *y = tape_tensor(tape, 3, shape);
    if (!y)
        return NULL;
    struct embedding_job job = {.compute = tape->compute,
                                .table = table,
                                .ids = ids,
                                .sum = sum ? sum->data : NULL,
                                .out = y->data};
    thread_pool_for(tape->compute->pool, count, 64, gather, &job);
    const struct tensor *const inputs[] = {&table->tensor, sum};
    if (tape_carries(tape, inputs, 2) && tape_tangent(tape, y))
        embedding_tangent(table, ids, count, sum, y->tangent);
    if (tape_records(tape, inputs, 2)) {
        struct embedding_node *n = tape_push(tape, sizeof *n, y, embedding_back);
        if (!n)
            return NULL;
        n->table = table;
        n->ids = ids;
        n->count = count;
        n->sum = sum;
    }
    return y;
}
