/* What an adapter of low rank adds to a linear layer; see weight/ops.h. It works upon the layer's
 * output in place, behind the product with the frozen weight, which therefore knows nothing of it:
 * a 4-bit matrix is tuned by the same few lines as any other. */
#include "weight/ops.h"

struct adapter_node {
    struct tape_node node;
    struct tensor *x, *y;
    const struct adapter *adapter;
    const float *inner; /* scale * x A' (rows, r) */
};

/* c (m, n) = a b, added to c when `add`. */
static void product(struct compute *compute, int64_t m, int64_t n, int64_t k, const float *a,
                    bool a_transposed, struct gemm_matrix b, float *c, bool add)
{
    gemm(compute, &(struct gemm_call){
                      .m = m,
                      .n = n,
                      .k = k,
                      .a = a,
                      .a_stride = a_transposed ? m : k,
                      .a_transposed = a_transposed,
                      .b = b,
                      .c = c,
                      .c_stride = n,
                      .add = add ? c : NULL,
                      .add_stride = n,
                  });
}

/* dB (+)= dy' h, dh = scale dy B, dA (+)= dh' x, dx (+)= dh A, where h = scale x A'. */
static void adapter_back(struct tape *tape, struct tape_node *node)
{
    struct adapter_node *n = (struct adapter_node *)node;
    struct compute *compute = tape->compute;
    struct weight *a = n->adapter->a, *b = n->adapter->b;
    int64_t rows = tensor_rows(n->x), rank = a->rows;
    const float *dy = node->output->gradient;
    size_t bytes = (size_t)(rows * rank) * sizeof(float);
    float *inner = tape_take(tape, bytes), *gradient;
    bool add;
    if (!inner)
        return;
    gradient = tape_gradient(tape, &b->tensor, &add);
    if (gradient)
        product(compute, b->rows, rank, rows, dy, true, gemm_matrix_f32(n->inner, rank, false),
                gradient, add);
    product(compute, rows, rank, b->rows, dy, false, weight_matrix(b, false), inner, false);
    compute->kernels->scale(rows * rank, n->adapter->scale, inner, inner);
    gradient = tape_gradient(tape, &a->tensor, &add);
    if (gradient)
        product(compute, rank, a->columns, rows, inner, true,
                gemm_matrix_f32(n->x->data, a->columns, false), gradient, add);
    gradient = tape_gradient(tape, n->x, &add);
    if (gradient)
        product(compute, rows, a->columns, rank, inner, false, weight_matrix(a, false), gradient,
                add);
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
        product(tape->compute, rows, adapter->b->rows, rank, inner, false,
                weight_matrix(adapter->b, true), y->data, true);
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
