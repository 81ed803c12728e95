/* Linear layers over weights of any format; see weight/ops.h. */
#include <string.h>

#include "tensor/ops.h"
#include "weight/adapter.h"

#define COLUMN_PIECE 64 /* columns whose sums one piece of work makes */

struct linear_node {
    struct tape_node node;
    struct tensor *x, *residual;
    struct linear layer;
    const struct adapter *adapter; /* computed along; NULL: none */
    float *inner;                  /* of that */
};

struct column_job {
    const float *dy;
    float *gradient;
    int64_t rows, columns;
};

static void sum_columns(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const struct column_job *job = context;
    for (int64_t r = 0; r < job->rows; r++)
        for (int64_t j = begin; j < end; j++)
            job->gradient[j] += job->dy[r * job->columns + j];
}

static void bias_back(struct tape *tape, struct tensor *bias, const float *dy, int64_t rows)
{
    bool add;
    float *gradient = tape_gradient(tape, bias, &add);
    if (!gradient)
        return;
    struct column_job job = {dy, gradient, rows, tensor_count(bias)};
    if (!add)
        memset(gradient, 0, (size_t)job.columns * sizeof *gradient);
    thread_pool_for(tape->compute->pool, job.columns, COLUMN_PIECE, sum_columns, &job);
}

/* dx (+)= dy W, plus the share of an adapter, whose inner gradient is written to `inner`. */
static void input_back(struct tape *tape, const struct linear_node *n, const float *dy,
                       float *inner)
{
    bool add;
    float *gradient = tape_gradient(tape, n->x, &add);
    const struct weight *weight = n->layer.weight;
    struct gemm_low_rank change = {0};
    if (inner)
        change = adapter_backward(n->adapter, inner);
    if (!gradient && inner)
        adapter_inner_gradient(tape->compute, n->adapter, tensor_rows(n->x), dy, inner);
    if (gradient)
        gemm(tape->compute, &(struct gemm_call){
                                .m = tensor_rows(n->x),
                                .n = weight->columns,
                                .k = weight->rows,
                                .a = dy,
                                .a_stride = weight->rows,
                                .b = weight_matrix(weight, false),
                                .c = gradient,
                                .c_stride = weight->columns,
                                .add = add ? gradient : NULL,
                                .add_stride = weight->columns,
                                .change = inner ? &change : NULL,
                            });
}

/* dW (+)= dy' x. */
static void weight_back(struct tape *tape, const struct linear_node *n, const float *dy)
{
    bool add;
    struct weight *weight = n->layer.weight;
    float *gradient = tape_gradient(tape, &weight->tensor, &add);
    if (gradient)
        gemm(tape->compute, &(struct gemm_call){
                                .m = weight->rows,
                                .n = weight->columns,
                                .k = tensor_rows(n->x),
                                .a = dy,
                                .a_stride = weight->rows,
                                .a_transposed = true,
                                .b = gemm_matrix_f32(n->x->data, weight->columns, false),
                                .c = gradient,
                                .c_stride = weight->columns,
                                .add = add ? gradient : NULL,
                                .add_stride = weight->columns,
                            });
}

static void linear_back(struct tape *tape, struct tape_node *node)
{
    struct linear_node *n = (struct linear_node *)node;
    const float *dy = node->output->gradient;
    bias_back(tape, n->layer.bias, dy, tensor_rows(n->x));
    weight_back(tape, n, dy);
    size_t bytes =
        n->adapter ? (size_t)(tensor_rows(n->x) * n->adapter->a->rows) * sizeof(float) : 0;
    float *inner = n->adapter ? tape_take(tape, bytes) : NULL;
    input_back(tape, n, dy, inner);
    if (inner)
        adapter_weights_back(tape, n->adapter, tensor_rows(n->x), n->x->data, dy, n->inner, inner);
    tape_give(tape, inner, bytes);
    tape_hand_over(tape, node->output, n->residual);
}

/* out = rows W' + add + bias, plus a change of low rank or NULL. */
static void multiply_with(struct compute *compute, enum gemm_route route, const float *rows,
                          int64_t count, const struct weight *weight, const float *bias,
                          const float *add, const struct gemm_low_rank *change, float *out)
{
    if (count == 0)
        return;
    gemm(compute, &(struct gemm_call){
                      .m = count,
                      .n = weight->rows,
                      .k = weight->columns,
                      .a = rows,
                      .a_stride = weight->columns,
                      .b = weight_matrix(weight, true),
                      .c = out,
                      .c_stride = weight->rows,
                      .add = add,
                      .add_stride = weight->rows,
                      .bias = bias,
                      .route = route,
                      .change = change,
                  });
}

static void multiply_by(struct compute *compute, enum gemm_route route, const float *rows,
                        int64_t count, const struct weight *weight, const float *bias,
                        const float *add, float *out)
{
    multiply_with(compute, route, rows, count, weight, bias, add, NULL, out);
}

static void multiply(struct compute *compute, const float *rows, int64_t count,
                     const struct weight *weight, const float *bias, const float *add, float *out)
{
    multiply_by(compute, GEMM_ANY, rows, count, weight, bias, add, out);
}

void linear_step(const struct tape *tape, const float *x, int64_t rows, const struct weight *weight,
                 const float *bias, const float *add, float *out)
{
    int64_t singles = tape->singles < rows ? tape->singles : rows;
    multiply_by(tape->compute, GEMM_DOTS, x, singles, weight, bias, add, out);
    multiply_by(tape->compute, GEMM_TILES, x + singles * weight->columns, rows - singles, weight,
                bias, add ? add + singles * weight->rows : NULL, out + singles * weight->rows);
}

/* y' = x' W' + x dW' + bias' + residual'. */
void linear_tangent(struct compute *compute, const float *x, const float *x_tangent, int64_t rows,
                    const struct linear *layer, const float *add, float *out)
{
    struct weight direction =
        weight_over_f32(layer->weight->tensor.tangent, layer->weight->rows, layer->weight->columns);
    if (add)
        memcpy(out, add, (size_t)(rows * layer->weight->rows) * sizeof *out);
    else
        memset(out, 0, (size_t)(rows * layer->weight->rows) * sizeof *out);
    if (x_tangent)
        multiply(compute, x_tangent, rows, layer->weight, NULL, out, out);
    if (direction.data)
        multiply(compute, x, rows, &direction, NULL, out, out);
    if (layer->bias && layer->bias->tangent)
        for (int64_t r = 0; r < rows; r++)
            compute->kernels->axpy(layer->weight->rows, 1.0f, layer->bias->tangent,
                                   out + r * layer->weight->rows);
}

/* The layer's adapter, when it is the only one and sees just what the layer sees: then it is
 * computed along. */
static const struct adapter *shared_adapter(const struct tape *tape, const struct linear *layer)
{
    const struct adapter *adapter = layer->adapter;
    bool plain = !tape->stepping && !tape->forward_mode && adapter && !adapter->next &&
                 adapter->a->rows <= GEMM_RANK_MOST;
    return plain && !(tape->training && adapter->dropout > 0) ? adapter : NULL;
}

static struct tensor *apply_adapters(struct tape *tape, struct tensor *x, struct tensor *y,
                                     const struct linear *layer)
{
    for (const struct adapter *adapter = layer->adapter; adapter; adapter = adapter->next)
        y = op_adapter(tape, op_dropout(tape, x, (double)adapter->dropout), y, adapter);
    return y;
}

struct tensor *op_linear(struct tape *tape, struct tensor *x, const struct linear *layer,
                         struct tensor *residual)
{
    if (!x)
        return NULL;
    int64_t shape[TENSOR_RANK];
    memcpy(shape, x->shape, sizeof shape);
    shape[x->rank - 1] = layer->weight->rows;
    struct tensor *y = tape_tensor(tape, x->rank, shape);
    if (!y)
        return NULL;
    const float *bias = layer->bias ? layer->bias->data : NULL;
    const float *add = residual ? residual->data : NULL;
    const struct adapter *shared = shared_adapter(tape, layer);
    int64_t rows = tensor_rows(x);
    float *inner =
        shared ? tape_alloc(tape, (size_t)(rows * shared->a->rows) * sizeof *inner) : NULL;
    if (shared && !inner)
        return NULL;
    struct gemm_low_rank change = {0};
    if (shared)
        change = adapter_forward(shared, inner);
    if (tape->stepping)
        linear_step(tape, x->data, rows, layer->weight, bias, add, y->data);
    else
        multiply_with(tape->compute, GEMM_ANY, x->data, rows, layer->weight, bias, add,
                      shared ? &change : NULL, y->data);
    const struct tensor *const inputs[] = {x,
                                           &layer->weight->tensor,
                                           layer->bias,
                                           residual,
                                           shared ? &shared->a->tensor : NULL,
                                           shared ? &shared->b->tensor : NULL};
    if (tape_carries(tape, inputs, 4) && tape_tangent(tape, y))
        linear_tangent(tape->compute, x->data, x->tangent, tensor_rows(x), layer,
                       residual ? residual->tangent : NULL, y->tangent);
    if (tape_records(tape, inputs, 6)) {
        struct linear_node *n = tape_push(tape, sizeof *n, y, linear_back);
        if (!n)
            return NULL;
        n->x = x;
        n->residual = residual;
        n->layer = *layer;
        n->adapter = shared;
        n->inner = inner;
    }
    return shared ? y : apply_adapters(tape, x, y, layer);
}

/* The single tokens of a step, by all layers together; the rest one by one. */
static void multiply_group(const struct tape *tape, const struct tensor *x,
                           const struct linear *const *layers, int count, struct tensor **out)
{
    int64_t rows = tensor_rows(x), columns = tensor_columns(x);
    int64_t singles = tape->singles < rows ? tape->singles : rows;
    for (int rest = 0; rest < 2; rest++) {
        int64_t first = rest ? singles : 0, m = rest ? rows - singles : singles;
        struct gemm_call calls[GEMM_GROUP_MOST] = {0};
        for (int i = 0; i < count; i++)
            calls[i] = (struct gemm_call){
                .m = m,
                .n = layers[i]->weight->rows,
                .k = columns,
                .a = x->data + first * columns,
                .a_stride = columns,
                .b = weight_matrix(layers[i]->weight, true),
                .c = out[i]->data + first * layers[i]->weight->rows,
                .c_stride = layers[i]->weight->rows,
                .bias = layers[i]->bias ? layers[i]->bias->data : NULL,
                .route = rest ? GEMM_TILES : GEMM_DOTS,
            };
        if (m > 0)
            gemm_group(tape->compute, calls, count);
    }
}

bool op_linear_group(struct tape *tape, struct tensor *x, const struct linear *const *layers,
                     int count, struct tensor **out)
{
    bool plain = tape->stepping && !tape->recording && !tape->forward_mode;
    for (int i = 0; i < count; i++) {
        if (plain && x) {
            int64_t shape[TENSOR_RANK];
            memcpy(shape, x->shape, sizeof shape);
            shape[x->rank - 1] = layers[i]->weight->rows;
            out[i] = tape_tensor(tape, x->rank, shape);
        } else {
            out[i] = op_linear(tape, x, layers[i], NULL);
        }
        if (!out[i])
            return false;
    }
    if (plain && x) {
        multiply_group(tape, x, layers, count, out);
        for (int i = 0; i < count; i++)
            out[i] = apply_adapters(tape, x, out[i], layers[i]);
    }
    for (int i = 0; i < count; i++)
        if (!out[i])
            return false;
    return true;
}

void logit_finish(const struct compute *compute, const struct logit_head *head, float *logits)
{
    int64_t count = head->linear.weight->rows;
    if (head->scale != 1)
        compute->kernels->scale(count, head->scale, logits, logits);
    if (head->softcap > 0)
        compute->kernels->softcap(count, head->softcap, logits, logits);
}

void linear_rows(struct compute *compute, const float *x, int64_t rows, const struct linear *layer,
                 float *out)
{
    multiply(compute, x, rows, layer->weight, layer->bias ? layer->bias->data : NULL, NULL, out);
}

void linear_single_logits(struct compute *compute, const float *hidden, int64_t rows,
                          const struct logit_head *head, float *out)
{
    const struct linear *linear = &head->linear;
    multiply_by(compute, GEMM_DOTS, hidden, rows, linear->weight,
                linear->bias ? linear->bias->data : NULL, NULL, out);
    for (int64_t i = 0; i < rows; i++)
        logit_finish(compute, head, out + i * linear->weight->rows);
}

void linear_logits(struct compute *compute, const struct tensor *hidden, int64_t begin,
                   int64_t count, const struct logit_head *head, float *out)
{
    const struct linear *linear = &head->linear;
    linear_rows(compute, hidden->data + begin * linear->weight->columns, count, linear, out);
    for (int64_t i = 0; i < count; i++)
        logit_finish(compute, head, out + i * linear->weight->rows);
}
