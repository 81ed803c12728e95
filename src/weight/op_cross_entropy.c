/* Softmax cross-entropy fused with the output projection; see weight/ops.h. A chunk of rows has
 * its logits made, turned into loss and gradient in place, and used up at once. */
#include <math.h>
#include <string.h>

#include "weight/ops.h"

#define LOGIT_VALUES ((int64_t)8 << 20) /* logits that exist at a time */
#define SLOPE_VALUES 1024

struct chunk_job {
    const struct compute *compute;
    const struct loss_target *target;
    const struct logit_head *head;
    int64_t begin, vocabulary;
    float *logits;
    const float *tangents;   /* of the logits, or NULL */
    double *losses, *slopes; /* per row of the chunk */
    bool gradient;
};

/* Turns finished logits y into exp(y - log_sum) - [y is the target's], times the slope of what
 * logit_finish did to them. */
static void loss_slopes(const struct chunk_job *job, float log_sum, int32_t id, float *logits)
{
    const struct row_kernels *kernels = job->compute->kernels;
    float cap = job->head->softcap, kept[SLOPE_VALUES];
    bool capped = cap > 0;
    for (int64_t at = 0; at < job->vocabulary; at += SLOPE_VALUES) {
        int64_t count = job->vocabulary - at < SLOPE_VALUES ? job->vocabulary - at : SLOPE_VALUES;
        if (capped)
            memcpy(kept, logits + at, (size_t)count * sizeof *kept);
        kernels->exp_sum(count, logits + at, 1.0f, log_sum, logits + at);
        if (id >= at && id < at + count)
            logits[id] -= 1.0f;
        for (int64_t j = 0; capped && j < count; j++)
            logits[at + j] *= 1.0f - kept[j] / cap * (kept[j] / cap);
    }
    if (job->head->scale != 1)
        kernels->scale(job->vocabulary, job->head->scale, logits, logits);
}

static void chunk_rows(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct chunk_job *job = context;
    const struct row_kernels *kernels = job->compute->kernels;
    for (int64_t i = begin; i < end; i++) {
        int64_t row = job->begin + i;
        float *logits = job->logits + i * job->vocabulary;
        float weight = job->target->weights ? job->target->weights[row] : 1.0f;
        job->losses[i] = job->slopes[i] = 0;
        if (job->target->losses)
            job->target->losses[row] = 0;
        if (weight == 0) {
            memset(logits, 0, (size_t)job->vocabulary * sizeof *logits);
            continue;
        }
        logit_finish(job->compute, job->head, logits);
        int32_t id = job->target->ids[row];
        float log_sum = kernels->log_sum_exp(job->vocabulary, logits);
        float loss = log_sum - logits[id];
        job->losses[i] = (double)weight * (double)loss;
        if (job->target->losses)
            job->target->losses[row] = loss;
        if (!job->gradient && !job->tangents)
            continue;
        loss_slopes(job, log_sum, id, logits);
        if (job->tangents)
            job->slopes[i] =
                (double)weight *
                (double)kernels->dot(job->vocabulary, logits, job->tangents + i * job->vocabulary);
        if (job->gradient)
            kernels->scale(job->vocabulary, (float)(job->target->scale * (double)weight), logits,
                           logits);
    }
}

/* Gradients of a chunk: dhidden = dlogits W, dW += dlogits' hidden. */
static void chunk_back(struct tape *tape, const struct linear *head, const float *logits,
                       const float *hidden, int64_t rows, float *hidden_gradient, bool hidden_add)
{
    const struct weight *weight = head->weight;
    if (hidden_gradient)
        gemm(tape->compute, &(struct gemm_call){
                                .m = rows,
                                .n = weight->columns,
                                .k = weight->rows,
                                .a = logits,
                                .a_stride = weight->rows,
                                .b = weight_matrix(weight, false),
                                .c = hidden_gradient,
                                .c_stride = weight->columns,
                                .add = hidden_add ? hidden_gradient : NULL,
                                .add_stride = weight->columns,
                            });
    bool add;
    float *gradient = tape_gradient(tape, &head->weight->tensor, &add);
    if (gradient)
        gemm(tape->compute, &(struct gemm_call){
                                .m = weight->rows,
                                .n = weight->columns,
                                .k = rows,
                                .a = logits,
                                .a_stride = weight->rows,
                                .a_transposed = true,
                                .b = gemm_matrix_f32(hidden, weight->columns, false),
                                .c = gradient,
                                .c_stride = weight->columns,
                                .add = add ? gradient : NULL,
                                .add_stride = weight->columns,
                            });
    gradient = tape_gradient(tape, head->bias, &add);
    if (gradient && !add)
        memset(gradient, 0, (size_t)weight->rows * sizeof *gradient);
    for (int64_t r = 0; gradient && r < rows; r++)
        tape->compute->kernels->axpy(weight->rows, 1.0f, logits + r * weight->rows, gradient);
}

/* The work was done on the way forward. */
static void nothing_back(struct tape *tape, struct tape_node *node)
{
    (void)tape;
    (void)node;
}

struct loss_sums {
    double loss, slope;
};

static bool run_chunks(struct tape *tape, struct tensor *hidden, const struct logit_head *head,
                       const struct loss_target *target, bool records, bool carries,
                       struct loss_sums *sums)
{
    const struct linear *linear = &head->linear;
    int64_t rows = tensor_rows(hidden), columns = tensor_columns(hidden);
    int64_t vocabulary = linear->weight->rows, most = LOGIT_VALUES / vocabulary;
    most = most < 64 ? 64 : most;
    most = most < rows ? most : rows;
    /* Buffers for a power of two of rows: a smaller last batch finds those of the others. */
    int64_t room = 1;
    while (room < most)
        room *= 2;
    size_t bytes = (size_t)(room * vocabulary) * sizeof(float);
    size_t row_bytes = (size_t)room * 2 * sizeof(double);
    struct chunk_job job = {.compute = tape->compute,
                            .target = target,
                            .head = head,
                            .vocabulary = vocabulary,
                            .gradient = records};
    job.logits = tape_take(tape, bytes);
    job.losses = tape_take(tape, row_bytes);
    job.slopes = job.losses ? job.losses + most : NULL;
    float *tangents = carries ? tape_take(tape, bytes) : NULL;
    bool hidden_add = true;
    float *gradient = records ? tape_gradient(tape, hidden, &hidden_add) : NULL;
    for (int64_t begin = 0; tape->status == STATUS_OK && begin < rows; begin += most) {
        int64_t count = rows - begin < most ? rows - begin : most;
        const float *x = hidden->data + begin * columns;
        linear_rows(tape->compute, x, count, linear, job.logits);
        if (carries)
            linear_tangent(tape->compute, x,
                           hidden->tangent ? hidden->tangent + begin * columns : NULL, count,
                           linear, NULL, tangents);
        job.begin = begin;
        job.tangents = tangents;
        thread_pool_for(tape->compute->pool, count, 4, chunk_rows, &job);
        for (int64_t i = 0; i < count; i++) {
            sums->loss += job.losses[i];
            sums->slope += job.slopes[i];
        }
        if (records)
            chunk_back(tape, linear, job.logits, x, count,
                       gradient ? gradient + begin * columns : NULL, hidden_add);
    }
    tape_give(tape, tangents, bytes);
    tape_give(tape, job.losses, row_bytes);
    tape_give(tape, job.logits, bytes);
    return tape->status == STATUS_OK;
}

struct tensor *op_cross_entropy(struct tape *tape, struct tensor *hidden,
                                const struct logit_head *head, const struct loss_target *target)
{
    struct tensor *loss = hidden ? tape_tensor(tape, 0, NULL) : NULL;
    if (!loss)
        return NULL;
    const struct tensor *const inputs[] = {hidden, &head->linear.weight->tensor, head->linear.bias};
    bool records = tape_records(tape, inputs, 3), carries = tape_carries(tape, inputs, 3);
    struct loss_sums sums = {0, 0};
    if (!run_chunks(tape, hidden, head, target, records, carries, &sums))
        return NULL;
    loss->data[0] = (float)(target->scale * sums.loss);
    if (carries && tape_tangent(tape, loss))
        loss->tangent[0] = (float)(target->scale * sums.slope);
    if (records && !tape_push(tape, sizeof(struct tape_node), loss, nothing_back))
        return NULL;
    return loss;
}
