/* Ops over chosen rows, of which a mixture of experts is made: a router's choice, the rows that go
 * to an expert, and the sum of what the experts give back. */
#include <math.h>
#include <string.h>

#include "tensor/ops.h"

/* Choice. */

struct route_node {
    struct tape_node node;
    struct tensor *logits;
    const int32_t *chosen;
    float *shares; /* (rows, E): softmax over all */
    int64_t used;
    bool whole;
};

/* The `used` largest of a row, falling; ties go to the lower index. */
static void choose_largest(const float *values, int64_t count, int64_t used, int32_t *chosen)
{
    for (int64_t k = 0; k < used; k++) {
        int32_t best = -1;
        for (int32_t e = 0; e < count; e++) {
            bool taken = false;
            for (int64_t i = 0; i < k && !taken; i++)
                taken = chosen[i] == e;
            if (!taken && (best < 0 || values[e] > values[best]))
                best = e;
        }
        chosen[k] = best;
    }
}

static double chosen_share(const float *shares, const int32_t *chosen, int64_t used)
{
    double sum = 0;
    for (int64_t k = 0; k < used; k++)
        sum += (double)shares[chosen[k]];
    return sum;
}

/* d logit_j = s_j (d s_j - sum_i d s_i s_i), where d s is that of the chosen shares: d w as it is,
 * or of w = s / sum s: (d w - sum_i d w_i w_i) / sum s. */
static void route_back(struct tape *tape, struct tape_node *node)
{
    struct route_node *n = (struct route_node *)node;
    int64_t rows = tensor_rows(n->logits), experts = tensor_columns(n->logits);
    bool add;
    float *gradient = tape_gradient(tape, n->logits, &add);
    if (!gradient)
        return;
    for (int64_t r = 0; r < rows; r++) {
        const int32_t *chosen = n->chosen + r * n->used;
        const float *shares = n->shares + r * experts;
        const float *dw = node->output->gradient + r * n->used;
        const float *w = node->output->data + r * n->used;
        double sum = n->whole ? chosen_share(shares, chosen, n->used) : 1, level = 0, along = 0;
        for (int64_t k = 0; n->whole && k < n->used; k++)
            level += (double)dw[k] * (double)w[k];
        for (int64_t k = 0; k < n->used; k++)
            along += ((double)dw[k] - level) / sum * (double)shares[chosen[k]];
        float *out = gradient + r * experts;
        for (int64_t j = 0; j < experts; j++)
            out[j] = (add ? out[j] : 0.0f) - (float)((double)shares[j] * along);
        for (int64_t k = 0; k < n->used; k++)
            out[chosen[k]] += (float)((double)shares[chosen[k]] * ((double)dw[k] - level) / sum);
    }
}

/* The chosen weights along tangents of the logits. */
static void route_tangent(const struct route_node *n, const struct tensor *out)
{
    int64_t rows = tensor_rows(n->logits), experts = tensor_columns(n->logits);
    for (int64_t r = 0; r < rows; r++) {
        const float *shares = n->shares + r * experts, *dl = n->logits->tangent + r * experts;
        const int32_t *chosen = n->chosen + r * n->used;
        double mean = 0, level = 0, sum = chosen_share(shares, chosen, n->used);
        for (int64_t j = 0; j < experts; j++)
            mean += (double)shares[j] * (double)dl[j];
        for (int64_t k = 0; k < n->used; k++)
            level += (double)shares[chosen[k]] * ((double)dl[chosen[k]] - mean);
        for (int64_t k = 0; k < n->used; k++) {
            double slope = (double)shares[chosen[k]] * ((double)dl[chosen[k]] - mean);
            double w = (double)out->data[r * n->used + k];
            out->tangent[r * n->used + k] = (float)(n->whole ? (slope - w * level) / sum : slope);
        }
    }
}

struct tensor *op_route(struct tape *tape, struct tensor *logits, int64_t used, bool whole,
                        int32_t *chosen)
{
    if (!logits)
        return NULL;
    int64_t rows = tensor_rows(logits), experts = tensor_columns(logits);
    int64_t shape[] = {rows, used};
    struct tensor *out = tape_tensor(tape, 2, shape);
    struct route_node plain = {.logits = logits, .chosen = chosen, .used = used, .whole = whole};
    plain.shares = tape_alloc(tape, (size_t)(rows * experts) * sizeof *plain.shares);
    if (!out || !plain.shares)
        return NULL;
    const struct row_kernels *kernels = tape->compute->kernels;
    for (int64_t r = 0; r < rows; r++) {
        const float *row = logits->data + r * experts;
        float *shares = plain.shares + r * experts;
        kernels->exp_sum(experts, row, 1.0f, kernels->log_sum_exp(experts, row), shares);
        choose_largest(row, experts, used, chosen + r * used);
        double sum = whole ? chosen_share(shares, chosen + r * used, used) : 1;
        for (int64_t k = 0; k < used; k++)
            out->data[r * used + k] = (float)((double)shares[chosen[r * used + k]] / sum);
    }
    const struct tensor *const inputs[] = {logits};
    if (tape_carries(tape, inputs, 1) && tape_tangent(tape, out))
        route_tangent(&plain, out);
    if (tape_records(tape, inputs, 1)) {
        struct route_node *n = tape_push(tape, sizeof *n, out, route_back);
        if (!n)
            return NULL;
        plain.node = n->node;
        *n = plain;
    }
    return out;
}

/* Rows by number. */

struct gather_node {
    struct tape_node node;
    struct tensor *x;
    const int32_t *rows;
};

static void gather_into(const struct gather_node *n, int64_t count, const float *from, float *to)
{
    int64_t columns = tensor_columns(n->x);
    for (int64_t i = 0; i < count; i++)
        memcpy(to + i * columns, from + n->rows[i] * columns, (size_t)columns * sizeof *to);
}

static void gather_back(struct tape *tape, struct tape_node *node)
{
    struct gather_node *n = (struct gather_node *)node;
    int64_t columns = tensor_columns(n->x), count = tensor_rows(node->output);
    bool add;
    float *gradient = tape_gradient(tape, n->x, &add);
    if (gradient && !add)
        memset(gradient, 0, (size_t)tensor_count(n->x) * sizeof *gradient);
    for (int64_t i = 0; gradient && i < count; i++)
        tape->compute->kernels->axpy(columns, 1.0f, node->output->gradient + i * columns,
                                     gradient + n->rows[i] * columns);
}

struct tensor *op_gather_rows(struct tape *tape, struct tensor *x, const int32_t *rows,
                              int64_t count)
{
    if (!x)
        return NULL;
    int64_t shape[] = {count, tensor_columns(x)};
    struct tensor *out = tape_tensor(tape, 2, shape);
    struct gather_node plain = {.x = x, .rows = rows};
    if (!out)
        return NULL;
    gather_into(&plain, count, x->data, out->data);
    const struct tensor *const inputs[] = {x};
    if (tape_carries(tape, inputs, 1) && tape_tangent(tape, out))
        gather_into(&plain, count, x->tangent, out->tangent);
    if (tape_records(tape, inputs, 1)) {
        struct gather_node *n = tape_push(tape, sizeof *n, out, gather_back);
        if (!n)
            return NULL;
        plain.node = n->node;
        *n = plain;
    }
    return out;
}

/* Weighted sums. */

struct mix_node {
    struct tape_node node;
    struct tensor *weights;
    struct tensor *const *parts;
    const int32_t *part, *place; /* (rows, used) */
};

/* out = sum over k of w_k parts[part_k][place_k], in the order of k: for any number of threads and
 * whatever other rows there are the same bits. */
static void mix_row(const struct compute *compute, const struct mix_node *n, int64_t r,
                    const float *weights, bool tangents, float *out)
{
    int64_t used = tensor_columns(n->weights), columns = tensor_columns(n->parts[n->part[0]]);
    for (int64_t k = 0; k < used; k++) {
        const struct tensor *part = n->parts[n->part[r * used + k]];
        const float *values = tangents ? part->tangent : part->data;
        if (values)
            compute->kernels->axpy(columns, weights[r * used + k],
                                   values + n->place[r * used + k] * columns, out);
    }
}

static void mix_back(struct tape *tape, struct tape_node *node)
{
    struct mix_node *n = (struct mix_node *)node;
    const struct row_kernels *kernels = tape->compute->kernels;
    int64_t rows = tensor_rows(n->weights), used = tensor_columns(n->weights);
    int64_t columns = tensor_columns(node->output);
    const float *dy = node->output->gradient;
    bool weights_add;
    float *weights = tape_gradient(tape, n->weights, &weights_add);
    for (int64_t i = 0; i < rows * used; i++) {
        struct tensor *part = n->parts[n->part[i]];
        const float *d = dy + i / used * columns;
        float slope = kernels->dot(columns, d, part->data + n->place[i] * columns);
        if (weights)
            weights[i] = (weights_add ? weights[i] : 0.0f) + slope;
        bool add;
        float *gradient = tape_gradient(tape, part, &add);
        if (gradient && !add)
            memset(gradient, 0, (size_t)tensor_count(part) * sizeof *gradient);
        if (gradient)
            kernels->axpy(columns, n->weights->data[i], d, gradient + n->place[i] * columns);
    }
}

struct tensor *op_mix_rows(struct tape *tape, struct tensor *weights, struct tensor *const *parts,
                           int64_t part_count, const int32_t *part, const int32_t *place)
{
    int64_t rows = tensor_rows(weights);
    int64_t shape[] = {rows, tensor_columns(parts[part[0]])};
    struct tensor *out = tape_tensor(tape, 2, shape);
    if (!out)
        return NULL;
    struct mix_node plain = {.weights = weights, .parts = parts, .part = part, .place = place};
    memset(out->data, 0, (size_t)tensor_count(out) * sizeof *out->data);
    bool records = false, carries = weights->tangent != NULL;
    for (int64_t r = 0; r < rows; r++)
        mix_row(tape->compute, &plain, r, weights->data, false, out->data + r * shape[1]);
    for (int64_t i = -1; i < part_count; i++) {
        const struct tensor *const input[] = {i < 0 ? weights : parts[i]};
        if (input[0]) {
            records = records || tape_records(tape, input, 1);
            carries = carries || tape_carries(tape, input, 1);
        }
    }
    if (tape->forward_mode && carries && tape_tangent(tape, out)) {
        memset(out->tangent, 0, (size_t)tensor_count(out) * sizeof *out->tangent);
        for (int64_t r = 0; r < rows; r++) {
            if (weights->tangent)
                mix_row(tape->compute, &plain, r, weights->tangent, false,
                        out->tangent + r * shape[1]);
            mix_row(tape->compute, &plain, r, weights->data, true, out->tangent + r * shape[1]);
        }
    }
    if (records) {
        struct mix_node *n = tape_push(tape, sizeof *n, out, mix_back);
        if (!n)
            return NULL;
        plain.node = n->node;
        *n = plain;
    }
    return out;
}
