/* The ops that multiply with a weight. Weights may be stored in any format; gradients go to f32
 * weights only, and through frozen ones to the input. */
#ifndef WEIGHT_OPS_H
#define WEIGHT_OPS_H

#include <stdint.h>

#include "tensor/tape.h"
#include "weight/weight.h"

/* A change of low rank on a linear layer (LoRA, Hu et al. 2021): y += scale * (drop(x) A') B'. */
struct adapter {
    struct weight *a; /* (r, I) */
    struct weight *b; /* (O, r) */
    float scale;
    float dropout;              /* of the adapter's input, while training */
    const struct adapter *next; /* a further one on the same layer, or NULL */
};

/* A linear layer: a weight, perhaps a bias (O), perhaps adapters. */
struct linear {
    struct weight *weight;
    struct tensor *bias;
    const struct adapter *adapter;
};

/* y = x W' + bias + residual, plus what the adapters add; x (..., I) -> y (..., O). `residual`,
 * NULL or of y's shape, is the stream that the layer's result is added to: fused, since the sum
 * then costs nothing. */
struct tensor *op_linear(struct tape *tape, struct tensor *x, const struct linear *layer,
                         struct tensor *residual);

/* y + what `adapter` adds for the input x. In place: the op that made y must not need it. */
struct tensor *op_adapter(struct tape *tape, struct tensor *x, struct tensor *y,
                          const struct adapter *adapter);

/* Several linear layers over one input: out[i] = op_linear(x, layers[i]), without residual; at most
 * GEMM_GROUP_MOST. In generation their products are made together. False on failure. */
bool op_linear_group(struct tape *tape, struct tensor *x, const struct linear *const *layers,
                     int count, struct tensor **out);

/* Rows `ids` (batch, length) of a table (V, C) -> (batch, length, C). Each id must be in
 * [0, V). `sum`, NULL or (batch, length, C), is added. */
struct tensor *op_embedding(struct tape *tape, struct weight *table, const int32_t *ids,
                            int64_t batch, int64_t length, struct tensor *sum);

/* The output projection: logits = c tanh(scale (h W' + bias) / c), or without the cap when c is 0.
 */
struct logit_head {
    struct linear linear;
    float scale, softcap;
};

/* What to predict at each row of the hidden states. */
struct loss_target {
    const int32_t *ids;   /* (rows), each in [0, V); ignored where the weight is 0 */
    const float *weights; /* (rows), or NULL for 1 everywhere */
    double scale;  /* the loss is scale * sum of weight * nats; 1 / sum of weights for a mean */
    float *losses; /* (rows) or NULL: receives each row's nats, unweighted, 0 where weight 0 */
};

/* Softmax cross-entropy fused with the output projection, in chunks of rows: the logits of the
 * whole batch never exist at once. hidden (..., C), head (V, C). Returns one value. When the tape
 * records, the gradients of head and hidden are made in the same pass, for a gradient of 1 at the
 * loss: it must be what tape_backward starts from, other terms go into `scale` and `weights`. */
struct tensor *op_cross_entropy(struct tape *tape, struct tensor *hidden,
                                const struct logit_head *head, const struct loss_target *target);

/* Rows whose logits exist at a time, of `rows` in all: a power of two, so that a smaller last batch
 * finds the buffers of the others. */
int64_t cross_entropy_chunk(int64_t rows, int64_t vocabulary);

/* Forward mode of a linear layer: out (rows, O) = x' W' + x dW' + bias' + add; x_tangent and add
 * may be NULL, and the layer's tangents zero. */
void linear_tangent(struct compute *compute, const float *x, const float *x_tangent, int64_t rows,
                    const struct linear *layer, const float *add, float *out);

/* out (rows, O) = x (rows, I) W' + bias + add in a step of generation, where `tape` says which rows
 * are single tokens: those have kernels of their own. bias and add may be NULL. */
void linear_step(const struct tape *tape, const float *x, int64_t rows, const struct weight *weight,
                 const float *bias, const float *add, float *out);

/* out (rows, O) = x (rows, I) W' + bias, outside of any tape. */
void linear_rows(struct compute *compute, const float *x, int64_t rows, const struct linear *layer,
                 float *out);

/* Scale and cap of one row of raw logits, in place. */
void logit_finish(const struct compute *compute, const struct logit_head *head, float *logits);

/* Logits of the rows [begin, begin + count) of hidden (..., C), written to out (count, V). No
 * gradients. */
void linear_logits(struct compute *compute, const struct tensor *hidden, int64_t begin,
                   int64_t count, const struct logit_head *head, float *out);

/* Logits of hidden states (rows, C), each the same bits whatever other rows there are. */
void linear_single_logits(struct compute *compute, const float *hidden, int64_t rows,
                          const struct logit_head *head, float *out);

#endif
