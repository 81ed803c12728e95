/* What tests share: random values, comparison of f32 results with double references, and the
 * checks of an op against its reference, its gradients against central differences of the
 * reference, and its tangent likewise. */
#ifndef SUPPORT_CHECK_H
#define SUPPORT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tensor/tape.h"

/* Normal values times scale, from `stream`. Free with free. */
float *check_normal(uint32_t stream, int64_t count, double scale);

/* Fails unless |got - want| <= tolerance * max(largest |want|, floor) everywhere. */
void check_close(const char *what, const float *got, const double *want, int64_t count,
                 double tolerance, double least);

#define CHECK_INPUTS 6

/* An op under test: `inputs` f32 arrays in, one array out. `reference` computes the output in
 * double; `build` runs the op on the tape over tensors that wrap the inputs. */
struct check_op {
    const char *name;
    int inputs;
    int64_t counts[CHECK_INPUTS];
    double scales[CHECK_INPUTS]; /* of the random values; 0: 1 */
    int64_t outputs;
    void (*reference)(const void *shape, const double *const *inputs, double *output);
    struct tensor *(*build)(struct tape *tape, const void *shape, struct tensor *const *inputs);
    const void *shape;
    double tolerance; /* of values and gradients; 0: 1e-4 */
};

/* Runs value, gradient (with and without a gradient to add to) and tangent checks. */
void check_op(struct compute *compute, const struct check_op *op);

/* Calls `test` with a compute on each CPU level that this machine has, 1 and 3 threads. */
void check_levels(void (*test)(struct compute *compute));

#endif
