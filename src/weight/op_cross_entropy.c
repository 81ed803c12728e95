/* Softmax cross-entropy fused with the output projection; see weight/ops.h. A chunk of rows has
 * its logits made, turned into loss and gradient in place, and used up at once. Rows that do not
 * count have no logits: the others are first copied together. */
#include <math.h>
#include <string.h>

#include "weight/ops.h"

#define SLOPE_VALUES 1024
#define SUM_VALUES 256 /* exponentials that are summed up before the whole, as in log_sum_exp */

struct chunk_job {
    const struct compute *compute;
    const struct loss_target *target;
    const struct logit_head *head;
    const int64_t *chosen; /* rows that count, of the chunk; NULL: they lie side by side */
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

/* The usual case: the exponentials of the loss become the gradient, times `factor`. Returns the
 * logarithm of their sum. */
static float loss_and_gradient(const struct chunk_job *job, int32_t id, float factor, float *logits)
{
    const struct row_kernels *kernels = job->compute->kernels;
    float most = kernels->maximum(job->vocabulary, logits), total = 0;
    int64_t at = 0;
    do {
        int64_t left = job->vocabulary - at, count = left < SUM_VALUES ? left : SUM_VALUES;
        total += kernels->exp_sum(count, logits + at, 1.0f, most, logits + at);
        at += SUM_VALUES;
    } while (at < job->vocabulary);
    factor *= job->head->scale;
    kernels->scale(job->vocabulary, factor / total, logits, logits);
    logits[id] -= factor;
    return most + logf(total);
}

static void chunk_rows(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct chunk_job *job = context;
    const struct row_kernels *kernels = job->compute->kernels;
    for (int64_t i = begin; i < end; i++) {
        int64_t row = job->chosen ? job->chosen[i] : job->begin + i;
        float *logits = job->logits + i * job->vocabulary;
        float weight = job->target->weights ? job->target->weights[row] : 1.0f;
        job->slopes[i] = 0;
        logit_finish(job->compute, job->head, logits);
        int32_t id = job->target->ids[row];
        float factor = (float)(job->target->scale * (double)weight), picked = logits[id];
        bool plain = job->gradient && !job->tangents && job->head->softcap == 0;
        float log_sum = plain ? loss_and_gradient(job, id, factor, logits)
                              : kernels->log_sum_exp(job->vocabulary, logits);
        float loss = log_sum - picked;
        job->losses[i] = (double)weight * (double)loss;
        if (job->target->losses)
            job->target->losses[row] = loss;
        if (plain || (!job->gradient && !job->tangents))
            continue;
        loss_slopes(job, log_sum, id, logits);
        if (job->tangents)
            job->slopes[i] =
                (double)weight *
                (double)kernels->dot(job->vocabulary, logits, job->tangents + i * job->vocabulary);
        if (job->gradient)
            kernels->scale(job->vocabulary, factor, logits, logits);
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

/* What the work on all chunks needs. */
struct chunks {
    struct chunk_job job;
    int64_t most;    /* rows of a chunk */
    int64_t *chosen; /* (count) rows that count; NULL: all do */
    int64_t count;
    float *gathered, *changes; /* (most, C): rows of hidden, and their gradient */
    float *tangents, *hidden_tangents;
    bool records, carries;
};

int64_t cross_entropy_chunk(int64_t rows, int64_t vocabulary)
{
    const int64_t values = (int64_t)32 << 20; /* logits that exist at a time */
    int64_t most = 64;
    while (most < rows && 2 * most * vocabulary <= values)
        most *= 2;
    return most;
}

/* Which rows count. */
static bool choose_rows(struct tape *tape, const struct loss_target *target, int64_t rows,
                        struct chunks *c)
{
    c->count = rows;
    if (target->losses)
        memset(target->losses, 0, (size_t)rows * sizeof *target->losses);
    for (int64_t i = 0; target->weights && i < rows; i++)
        c->count -= target->weights[i] == 0;
    if (c->count == rows)
        return true;
    int64_t at = 0;
    c->chosen = tape_alloc(tape, (size_t)(c->count + 1) * sizeof *c->chosen);
    for (int64_t i = 0; c->chosen && i < rows; i++)
        if (target->weights[i] != 0)
            c->chosen[at++] = i;
    return c->chosen != NULL;
}

static const float *gather_rows(const int64_t *chosen, int64_t count, int64_t columns,
                                const float *from, float *to)
{
    for (int64_t i = 0; i < count; i++)
        memcpy(to + i * columns, from + chosen[i] * columns, (size_t)columns * sizeof *to);
    return to;
}

/* Loss of the chosen rows [begin, begin + count) and their gradients. */
static void run_chunk(struct tape *tape, struct chunks *c, struct tensor *hidden, int64_t begin,
                      int64_t count, float *gradient, bool hidden_add)
{
    struct chunk_job *job = &c->job;
    const struct linear *linear = &job->head->linear;
    int64_t columns = tensor_columns(hidden);
    const float *x = hidden->data + begin * columns;
    const float *x_tangent = hidden->tangent ? hidden->tangent + begin * columns : NULL;
    job->begin = begin;
    job->chosen = c->chosen ? c->chosen + begin : NULL;
    if (c->chosen)
        x = gather_rows(job->chosen, count, columns, hidden->data, c->gathered);
    if (c->chosen && x_tangent)
        x_tangent = gather_rows(job->chosen, count, columns, hidden->tangent, c->hidden_tangents);
    linear_rows(tape->compute, x, count, linear, job->logits);
    if (c->carries)
        linear_tangent(tape->compute, x, x_tangent, count, linear, NULL, c->tangents);
    job->tangents = c->tangents;
    thread_pool_for(tape->compute->pool, count, 4, chunk_rows, job);
    if (!c->records)
        return;
    float *to = gradient && c->chosen ? c->changes : gradient ? gradient + begin * columns : NULL;
    chunk_back(tape, linear, job->logits, x, count, to, !c->chosen && hidden_add);
    for (int64_t i = 0; to && c->chosen && i < count; i++)
        tape->compute->kernels->axpy(columns, 1.0f, to + i * columns,
                                     gradient + job->chosen[i] * columns);
}

static bool run_chunks(struct tape *tape, struct tensor *hidden, const struct logit_head *head,
                       const struct loss_target *target, struct chunks *c, struct loss_sums *sums)
{
    int64_t rows = tensor_rows(hidden), columns = tensor_columns(hidden);
    int64_t vocabulary = head->linear.weight->rows;
    c->most = cross_entropy_chunk(rows, vocabulary);
    if (!choose_rows(tape, target, rows, c))
        return false;
    size_t bytes = (size_t)(c->most * vocabulary) * sizeof(float);
    size_t row_bytes = (size_t)c->most * 2 * sizeof(double);
    size_t part = c->chosen ? (size_t)(c->most * columns) * sizeof(float) : 0;
    c->job = (struct chunk_job){.compute = tape->compute,
                                .target = target,
                                .head = head,
                                .vocabulary = vocabulary,
                                .gradient = c->records};
    c->job.logits = tape_take(tape, bytes);
    c->job.losses = tape_take(tape, row_bytes);
    c->job.slopes = c->job.losses ? c->job.losses + c->most : NULL;
    c->tangents = c->carries ? tape_take(tape, bytes) : NULL;
    c->gathered = part ? tape_take(tape, part) : NULL;
    c->changes = part && c->records ? tape_take(tape, part) : NULL;
    c->hidden_tangents = part && c->carries ? tape_take(tape, part) : NULL;
    bool hidden_add = true;
    float *gradient = c->records ? tape_gradient(tape, hidden, &hidden_add) : NULL;
    if (gradient && c->chosen && !hidden_add)
        memset(gradient, 0, (size_t)(rows * columns) * sizeof *gradient);
    for (int64_t begin = 0; tape->status == STATUS_OK && begin < c->count; begin += c->most) {
        int64_t count = c->count - begin < c->most ? c->count - begin : c->most;
        run_chunk(tape, c, hidden, begin, count, gradient, hidden_add);
        for (int64_t i = 0; i < count; i++) {
            sums->loss += c->job.losses[i];
            sums->slope += c->job.slopes[i];
        }
    }
    tape_give(tape, c->hidden_tangents, part);
    tape_give(tape, c->changes, part);
    tape_give(tape, c->gathered, part);
    tape_give(tape, c->tangents, bytes);
    tape_give(tape, c->job.losses, row_bytes);
    tape_give(tape, c->job.logits, bytes);
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
    struct chunks chunks = {.records = records, .carries = carries};
    if (!run_chunks(tape, hidden, head, target, &chunks, &sums))
        return NULL;
    loss->data[0] = (float)(target->scale * sums.loss);
    if (carries && tape_tangent(tape, loss))
        loss->tangent[0] = (float)(target->scale * sums.slope);
    if (records && !tape_push(tape, sizeof(struct tape_node), loss, nothing_back))
        return NULL;
    return loss;
}
