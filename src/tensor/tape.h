/* The tape: define-by-run reverse mode on arenas. An op computes its output at once and, when the
 * tape records, leaves a node that knows how to carry the output's gradient to its inputs. With
 * `forward_mode` on, an op also computes the output's tangent from its inputs' tangents, so a
 * Jacobian-vector product is one forward pass. Nothing is allocated in a steady-state step:
 * activations live in an arena that is reset each step, gradients in a recycler that hands buffers
 * of the same size out again.
 *
 * Errors are sticky: the first failure (out of memory) is kept on the tape, ops given NULL return
 * NULL, and the caller asks once per step with tape_check. */
#ifndef TENSOR_TAPE_H
#define TENSOR_TAPE_H

#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "tensor/compute.h"
#include "tensor/tensor.h"

struct tape;

/* An op embeds this at the start of its own record, allocated with tape_push. */
struct tape_node {
    struct tape_node *previous;
    void (*backward)(struct tape *tape, struct tape_node *node);
    struct tensor *output;
};

struct tape_free_buffer;

struct tape {
    struct compute *compute;
    bool recording;    /* leave nodes for backward */
    bool forward_mode; /* carry tangents */
    bool training;     /* dropout is active */
    bool stepping;     /* linear layers give a row the same bits whatever other rows there are */
    int64_t singles;   /* then: leading rows of the input that stand for single tokens */
    uint64_t seed;     /* of dropout masks */
    uint32_t step;
    uint32_t ops; /* dropout ops so far in this step: their stream numbers */
    struct tape_node *last;
    struct arena activations;
    struct arena buffers;                    /* backing of the gradient recycler, never rewound */
    struct tape_free_buffer *free_lists[16]; /* by size */
    size_t free_sizes[16];
    enum status status;
    struct error error;
};

/* A tape over `compute`, which must outlive it. Nothing is allocated yet. */
void tape_init(struct tape *tape, struct compute *compute);
void tape_free(struct tape *tape);

/* Forgets everything computed since the last reset; keeps the memory, clears the error. */
void tape_reset(struct tape *tape);

/* The first error since the last reset, or STATUS_OK. */
enum status tape_check(const struct tape *tape, struct error *error);

/* Runs all nodes backwards from `loss` (one value), whose gradient is set to 1. Gradients are
 * added to those of parameters (tensors with `parameter` set). */
void tape_backward(struct tape *tape, struct tensor *loss);

/* A part of a network as a function from its input to its output, of equal shapes. */
typedef struct tensor *tape_function(void *context, struct tape *tape, struct tensor *x);

/* function(x), of whose inside nothing is kept: backward computes it again (Chen et al. 2016), with
 * the same bits. `context` must live until then. Without recording it is merely a function whose
 * memory is handed back. */
struct tensor *tape_checkpoint(struct tape *tape, tape_function *function, void *context,
                               struct tensor *x);

/* For op writers. */

/* A new activation of the given shape (outermost first), uninitialized; NULL on failure. */
struct tensor *tape_tensor(struct tape *tape, int rank, const int64_t *shape);
/* Same shape as `like`. */
struct tensor *tape_tensor_like(struct tape *tape, const struct tensor *like);
/* Activation memory that lives until the reset; NULL on failure (kept on the tape). */
void *tape_alloc(struct tape *tape, size_t bytes);
/* Records a node of `bytes` (an op's struct that starts with struct tape_node) for `output` and
 * marks the output as training. Call only when tape_records says so. NULL on failure. */
void *tape_push(struct tape *tape, size_t bytes, struct tensor *output,
                void (*backward)(struct tape *, struct tape_node *));
/* Whether an op with these inputs (NULLs allowed) must record itself. */
bool tape_records(const struct tape *tape, const struct tensor *const *inputs, int count);
/* Whether any of the inputs has a tangent to carry on. */
bool tape_carries(const struct tape *tape, const struct tensor *const *inputs, int count);
/* The tangent buffer of an output, allocated; NULL on failure. */
float *tape_tangent(struct tape *tape, struct tensor *tensor);

/* The gradient buffer of an op's input. *add tells whether it holds a gradient already, to which
 * the op must add; otherwise its content is garbage, which the op must overwrite. NULL when the
 * input wants no gradient (or is NULL), or on failure. */
float *tape_gradient(struct tape *tape, struct tensor *tensor, bool *add);
/* Hands the gradient of `from` (which is done with it) over to `to`: moved when `to` has none,
 * else added. The cheap backward of residual sums and in-place ops. */
void tape_hand_over(struct tape *tape, struct tensor *from, struct tensor *to);

/* A temporary of `bytes` from the recycler, and its return. */
void *tape_take(struct tape *tape, size_t bytes);
void tape_give(struct tape *tape, void *buffer, size_t bytes);

#endif
