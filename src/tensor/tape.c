/* See tape.h. Gradient buffers of activations are born at the last consumer's backward and die
 * after the producer's, so a handful of buffers serves the whole pass. */
#include "tensor/tape.h"

#include <string.h>

struct tape_free_buffer {
    struct tape_free_buffer *next;
};

void tape_init(struct tape *tape, struct compute *compute)
{
    *tape = (struct tape){.compute = compute};
    tape->activations.block_bytes = (size_t)16 << 20;
    tape->buffers.block_bytes = (size_t)4 << 20;
}

void tape_free(struct tape *tape)
{
    arena_free(&tape->activations);
    arena_free(&tape->buffers);
    tape->last = NULL;
    memset(tape->free_lists, 0, sizeof tape->free_lists);
    memset(tape->free_sizes, 0, sizeof tape->free_sizes);
}

void tape_reset(struct tape *tape)
{
    arena_reset(&tape->activations);
    tape->last = NULL;
    tape->ops = 0;
    tape->status = STATUS_OK;
}

enum status tape_check(const struct tape *tape, struct error *error)
{
    if (tape->status != STATUS_OK && error)
        *error = tape->error;
    return tape->status;
}

static void tape_fail(struct tape *tape, size_t bytes)
{
    if (tape->status == STATUS_OK)
        tape->status = error_no_memory(&tape->error, bytes);
}

void *tape_alloc(struct tape *tape, size_t bytes)
{
    void *result = tape->status == STATUS_OK ? arena_alloc(&tape->activations, bytes) : NULL;
    if (!result)
        tape_fail(tape, bytes);
    return result;
}

struct tensor *tape_tensor(struct tape *tape, int rank, const int64_t *shape)
{
    struct tensor *tensor = tape_alloc(tape, sizeof *tensor);
    if (!tensor)
        return NULL;
    *tensor = (struct tensor){.rank = rank};
    for (int i = 0; i < rank; i++)
        tensor->shape[i] = shape[i];
    tensor->data = tape_alloc(tape, (size_t)tensor_count(tensor) * sizeof(float));
    return tensor->data ? tensor : NULL;
}

struct tensor *tape_tensor_like(struct tape *tape, const struct tensor *like)
{
    return tape_tensor(tape, like->rank, like->shape);
}

void *tape_push(struct tape *tape, size_t bytes, struct tensor *output,
                void (*backward)(struct tape *, struct tape_node *))
{
    struct tape_node *node = tape_alloc(tape, bytes);
    if (!node)
        return NULL;
    memset(node, 0, bytes);
    node->previous = tape->last;
    node->backward = backward;
    node->output = output;
    output->trains = true;
    tape->last = node;
    return node;
}

bool tape_records(const struct tape *tape, const struct tensor *const *inputs, int count)
{
    if (!tape->recording)
        return false;
    for (int i = 0; i < count; i++)
        if (inputs[i] && inputs[i]->trains)
            return true;
    return false;
}

bool tape_carries(const struct tape *tape, const struct tensor *const *inputs, int count)
{
    if (!tape->forward_mode)
        return false;
    for (int i = 0; i < count; i++)
        if (inputs[i] && inputs[i]->tangent)
            return true;
    return false;
}

float *tape_tangent(struct tape *tape, struct tensor *tensor)
{
    tensor->tangent = tape_alloc(tape, (size_t)tensor_count(tensor) * sizeof(float));
    return tensor->tangent;
}

/* Sizes are rounded to cache lines; the few distinct sizes of a model share sixteen lists. */
static int find_list(struct tape *tape, size_t bytes)
{
    int lists = (int)(sizeof tape->free_sizes / sizeof *tape->free_sizes);
    for (int i = 0; i < lists; i++) {
        if (tape->free_sizes[i] == bytes)
            return i;
        if (tape->free_sizes[i] == 0) {
            tape->free_sizes[i] = bytes;
            return i;
        }
    }
    return -1;
}

static size_t round_size(size_t bytes)
{
    size_t unit = bytes > 65536 ? 65536 : 4096;
    return bytes ? (bytes + unit - 1) / unit * unit : unit;
}

void *tape_take(struct tape *tape, size_t bytes)
{
    size_t size = round_size(bytes);
    int list = find_list(tape, size);
    if (list >= 0 && tape->free_lists[list]) {
        struct tape_free_buffer *buffer = tape->free_lists[list];
        tape->free_lists[list] = buffer->next;
        return buffer;
    }
    /* More than sixteen sizes: such a buffer lives until the reset. */
    struct arena *arena = list >= 0 ? &tape->buffers : &tape->activations;
    void *result = tape->status == STATUS_OK ? arena_alloc(arena, size) : NULL;
    if (!result)
        tape_fail(tape, size);
    return result;
}

void tape_give(struct tape *tape, void *memory, size_t bytes)
{
    int list = memory ? find_list(tape, round_size(bytes)) : -1;
    if (list < 0)
        return;
    struct tape_free_buffer *buffer = memory;
    buffer->next = tape->free_lists[list];
    tape->free_lists[list] = buffer;
}

static size_t gradient_bytes(const struct tensor *tensor)
{
    return (size_t)tensor_count(tensor) * sizeof(float);
}

float *tape_gradient(struct tape *tape, struct tensor *tensor, bool *add)
{
    *add = true;
    if (!tensor || !tensor->trains)
        return NULL;
    if (!tensor->gradient) {
        *add = false;
        tensor->gradient = tape_take(tape, gradient_bytes(tensor));
    }
    return tensor->gradient;
}

void tape_hand_over(struct tape *tape, struct tensor *from, struct tensor *to)
{
    if (!to || !to->trains || !from->gradient)
        return;
    if (!to->gradient) {
        to->gradient = from->gradient;
        from->gradient = NULL;
        return;
    }
    tape->compute->kernels->axpy(tensor_count(to), 1.0f, from->gradient, to->gradient);
}

/* Runs the nodes behind `until`, the last first. */
static void walk_back(struct tape *tape, const struct tape_node *until)
{
    while (tape->last != until) {
        struct tape_node *node = tape->last;
        struct tensor *output = node->output;
        tape->last = node->previous;
        if (output->gradient && tape->status == STATUS_OK)
            node->backward(tape, node);
        if (output->gradient && !output->parameter) {
            tape_give(tape, output->gradient, gradient_bytes(output));
            output->gradient = NULL;
        }
    }
}

void tape_backward(struct tape *tape, struct tensor *loss)
{
    if (tape->status != STATUS_OK || !loss)
        return;
    bool add;
    float *seed = tape_gradient(tape, loss, &add);
    if (!seed)
        return;
    *seed = 1.0f;
    walk_back(tape, NULL);
}

struct checkpoint_node {
    struct tape_node node;
    tape_function *function;
    void *context;
    struct tensor *x;
    uint32_t ops; /* where the function's dropout began to count */
};

static void checkpoint_back(struct tape *tape, struct tape_node *node)
{
    struct checkpoint_node *n = (struct checkpoint_node *)node;
    const struct tape_node *until = tape->last;
    struct arena_mark mark = arena_save(&tape->activations);
    uint32_t ops = tape->ops;
    tape->ops = n->ops;
    struct tensor *again = n->function(n->context, tape, n->x);
    tape->ops = ops;
    if (again && again->trains) {
        again->gradient = node->output->gradient;
        node->output->gradient = NULL;
        walk_back(tape, until);
    }
    arena_rewind(&tape->activations, mark);
}

struct tensor *tape_checkpoint(struct tape *tape, tape_function *function, void *context,
                               struct tensor *x)
{
    bool recording = tape->recording;
    struct tensor *y = x ? tape_tensor_like(tape, x) : NULL;
    struct checkpoint_node *n = NULL;
    if (y && recording)
        n = tape_push(tape, sizeof *n, y, checkpoint_back);
    if (!y || (recording && !n))
        return NULL;
    if (n) {
        n->function = function;
        n->context = context;
        n->x = x;
        n->ops = tape->ops;
    }
    struct arena_mark mark = arena_save(&tape->activations);
    tape->recording = false;
    const struct tensor *made = function(context, tape, x);
    tape->recording = recording;
    if (made)
        memcpy(y->data, made->data, (size_t)tensor_count(y) * sizeof *y->data);
    arena_rewind(&tape->activations, mark);
    return made ? y : NULL;
}
