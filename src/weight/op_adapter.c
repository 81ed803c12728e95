/* What an adapter of low rank adds to a linear layer; see weight/ops.h. The op works upon the
 * layer's output in place, behind the product with the frozen weight, which knows nothing of it: it
 * serves all cases, such as dropout of its input, several adapters, and generation. A single
 * adapter that shares the layer's input is computed along with the layer's products instead
 * (op_linear.c). */
#include "weight/adapter.h"

struct adapter_node {
    struct tape_node node;
    struct tensor *x, *y;
    const struct adapter *adapter;
    const float *inner; /* scale * x A' (rows, r) */
};

/* c (m, n) = a b, added to c when `add`. */
static void product(struct compute *compute, int64_t m, int64_t n, int64_t k, const float *a,
                    struct gemm_matrix b, float *c, bool add)
{
    gemm(compute, &(struct gemm_call){
                      .m = m,
                      .n = n,
                      .k = k,
                      .a = a,
                      .a_stride = k,
                      .b = b,
                      .c = c,
                      .c_stride = n,
                      .add = add ? c : NULL,
                      .add_stride = n,
                  });
}

struct gemm_low_rank adapter_forward(const struct adapter *adapter, float *inner)
{
    return (struct gemm_low_rank){.rank = adapter->a->rows,
                                  .first = weight_matrix(adapter->a, true),
                                  .second = weight_matrix(adapter->b, true),
                                  .scale = adapter->scale,
                                  .inner = inner};
}

struct gemm_low_rank adapter_backward(const struct adapter *adapter, float *inner)
{
    return (struct gemm_low_rank){.rank = adapter->a->rows,
                                  .first = weight_matrix(adapter->b, false),
                                  .second = weight_matrix(adapter->a, false),
                                  .scale = adapter->scale,
                                  .inner = inner};
}

/* dB (+)= dy' h, made as (h' dy)'. */
static void outer_back(struct tape *tape, const struct adapter *adapter, int64_t rows,
                       const float *dy, const float *inner)
{
    bool add;
    int64_t outputs = adapter->b->rows, rank = adapter->b->columns;
    size_t bytes = (size_t)(outputs * rank) * sizeof(float);
    float *gradient = tape_gradient(tape, &adapter->b->tensor, &add);
    float *turned = gradient ? tape_take(tape, bytes) : NULL;
    if (!turned)
        return;
    gemm_narrow(tape->compute, rank, outputs, rows, inner, dy, turned, NULL);
    for (int64_t j = 0; j < outputs; j++)
        for (int64_t i = 0; i < rank; i++)
            gradient[j * rank + i] =
                turned[i * outputs + j] + (add ? gradient[j * rank + i] : 0.0f);
    tape_give(tape, turned, bytes);
}

void adapter_weights_back(struct tape *tape, const struct adapter *adapter, int64_t rows,
                          const float *x, const float *dy, const float *inner,
                          const float *inner_gradient)
{
    bool add;
    outer_back(tape, adapter, rows, dy, inner);
    float *gradient = tape_gradient(tape, &adapter->a->tensor, &add);
    if (gradient)
        gemm_narrow(tape->compute, adapter->a->rows, adapter->a->columns, rows, inner_gradient, x,
                    gradient, add ? gradient : NULL);
}

void adapter_inner_gradient(struct compute *compute, const struct adapter *adapter, int64_t rows,
                            const float *dy, float *inner_gradient)
{
    int64_t rank = adapter->a->rows;
    product(compute, rows, rank, adapter->b->rows, dy, weight_matrix(adapter->b, false),
            inner_gradient, false);
    compute->kernels->scale(rows * rank, adapter->scale, inner_gradient, inner_gradient);
}

/* dB (+)= dy' h, dh = scale dy B, dA (+)= dh' x, dx (+)= dh A, where h = scale x A'. */
static void adapter_back(struct tape *tape, struct tape_node *node)
{
    struct adapter_node *n = (struct adapter_node *)node;
    struct compute *compute = tape->compute;
    const struct weight *a = n->adapter->a;
    int64_t rows = tensor_rows(n->x), rank = a->rows;
    const float *dy = node->output->gradient;
    size_t bytes = (size_t)(rows * rank) * sizeof(float);
    float *inner = tape_take(tape, bytes);
    bool add;
    if (!inner)
        return;
    adapter_inner_gradient(compute, n->adapter, rows, dy, inner);
    adapter_weights_back(tape, n->adapter, rows, n->x->data, dy, n->inner, inner);
    float *gradient = tape_gradient(tape, n->x, &add);
    if (gradient)
        product(compute, rows, a->columns, rank, inner, weight_matrix(a, false), gradient, add);
    tape_give(tape, inner, bytes);
    tape_hand_over(tape, node->output, n->y);
}

/* y' += scale ((x' A' + x dA') B' + x A' dB'). */
static bool adapter_tangent(struct tape *tape, const struct tensor *x, struct tensor *out,
                            const struct adapter *adapter, const float *inner)
{
    struct compute *compute = tape->compute;
    int64_t rows = tensor_rows(x), rank = adapter->a->rows;
    const struct linear first = {.weight = adapter->a}, second = {.weight = adapter->b};
    float *change = tape_alloc(tape, (size_t)(rows * rank) * sizeof *change);
    if (!change)
        return false;
    linear_tangent(compute, x->data, x->tangent, rows, &first, NULL, change);
    compute->kernels->scale(rows * rank, adapter->scale, change, change);
    float *sum = tape_alloc(tape, (size_t)(rows * adapter->b->rows) * sizeof *sum);
    if (!sum)
        return false;
    linear_tangent(compute, inner, change, rows, &second, out->tangent, sum);
    out->tangent = sum;
    return true;
}

struct tensor *op_adapter(struct tape *tape, struct tensor *x, struct tensor *y,
                          const struct adapter *adapter)
{
    struct tensor *out = x && y ? tape_alloc(tape, sizeof *out) : NULL;
    if (!out)
        return NULL;
    int64_t rows = tensor_rows(x), rank = adapter->a->rows;
    float *inner = tape_alloc(tape, (size_t)(rows * rank) * sizeof *inner);
    if (!inner)
        return NULL;
    *out = (struct tensor){.rank = y->rank, .data = y->data, .tangent = y->tangent};
    for (int i = 0; i < y->rank; i++)
        out->shape[i] = y->shape[i];
    if (tape->stepping) {
        linear_step(tape, x->data, rows, adapter->a, NULL, NULL, inner);
    } else {
        const struct linear first = {.weight = adapter->a};
        linear_rows(tape->compute, x->data, rows, &first, inner);
    }
    tape->compute->kernels->scale(rows * rank, adapter->scale, inner, inner);
    if (tape->stepping)
        linear_step(tape, inner, rows, adapter->b, NULL, y->data, y->data);
    else
        product(tape->compute, rows, adapter->b->rows, rank, inner, weight_matrix(adapter->b, true),
                y->data, true);
    const struct tensor *const inputs[] = {x, y, &adapter->a->tensor, &adapter->b->tensor};
    if (tape_carries(tape, inputs, 4) && !adapter_tangent(tape, x, out, adapter, inner))
        return NULL;
    if (tape_records(tape, inputs, 4)) {
        struct adapter_node *n = tape_push(tape, sizeof *n, out, adapter_back);
        if (!n)
            return NULL;
        n->x = x;
        n->y = y;
        n->adapter = adapter;
        n->inner = inner;
    }
    return out;
}
