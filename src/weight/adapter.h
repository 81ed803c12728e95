/* The parts of an adapter's gradients that the adapter's own op and the linear op share: the latter
 * has both products with the low-rank factors made along with those of its weight. Private to the
 * ops. */
#ifndef WEIGHT_ADAPTER_H
#define WEIGHT_ADAPTER_H

#include "weight/ops.h"

/* What an adapter adds to y = x W': scale (x A') B', with `inner` (rows, r) = scale x A'. */
struct gemm_low_rank adapter_forward(const struct adapter *adapter, float *inner);
/* What it adds to dx = dy W: scale (dy B) A, with `inner` (rows, r) = scale dy B, the gradient of
 * x A'. */
struct gemm_low_rank adapter_backward(const struct adapter *adapter, float *inner);

/* That gradient alone. */
void adapter_inner_gradient(struct compute *compute, const struct adapter *adapter, int64_t rows,
                            const float *dy, float *inner_gradient);

/* Gradients of A and B from a layer's input x (rows, I), its output's gradient dy (rows, O), and
 * the inner values of both directions. */
void adapter_weights_back(struct tape *tape, const struct adapter *adapter, int64_t rows,
                          const float *x, const float *dy, const float *inner,
                          const float *inner_gradient);

#endif
