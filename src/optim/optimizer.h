/* Optimizers over the flat arrays of parameters. A step measures the gradient's norm, clips, and
 * updates, piece by piece on all threads; pieces are fixed, so that results do not depend on the
 * number of threads. */
#ifndef OPTIM_OPTIMIZER_H
#define OPTIM_OPTIMIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "tensor/compute.h"

enum optimizer_kind {
    OPTIMIZER_ADAMW, /* decoupled weight decay; Loshchilov and Hutter 2019 */
    OPTIMIZER_SGD,   /* with momentum; decay decoupled as well */
};

struct optimizer_options {
    enum optimizer_kind kind;
    double beta1, beta2, epsilon; /* AdamW */
    double momentum;              /* SGD */
    double decay;                 /* weight decay, times the learning rate, per update */
    double clip;                  /* largest norm of the gradient; 0: no clipping */
};

/* A run of values that decay or do not: norms and biases do not. */
struct optimizer_span {
    int64_t offset, count;
    bool decays;
};

struct optimizer {
    struct optimizer_options options;
    float *first, *second; /* moments, (total); SGD has no second */
    int64_t total;
    int64_t updates; /* done so far */
    struct optimizer_span *pieces;
    int64_t piece_count;
    double *partial;
};

/* Moments start at 0. `total` is the length of the flat arrays. */
enum status optimizer_create(const struct optimizer_options *options,
                             const struct optimizer_span *spans, int64_t span_count, int64_t total,
                             struct optimizer *optimizer, struct error *error);
void optimizer_free(struct optimizer *optimizer);

/* Norm of all gradients. */
double optimizer_norm(struct optimizer *optimizer, const struct compute *compute,
                      const float *gradients);

/* One update at the given rate from gradients whose norm is `norm`; sets the gradients to 0. */
void optimizer_step(struct optimizer *optimizer, const struct compute *compute, double rate,
                    double norm, float *gradients, float *values);

/* Bytes of state for `total` values. */
int64_t optimizer_bytes(enum optimizer_kind kind, int64_t total);

#endif
