/* Attention on the tape; the work is in attention.c and attention_backward.c. */
#include "tensor/ops.h"

struct attention_node {
    struct tape_node node;
    struct tensor *q, *k, *v;
    struct attention_shape shape;
    float *log_sums;
};

static void attention_back(struct tape *tape, struct tape_node *node)
{
    struct attention_node *n = (struct attention_node *)node;
    struct attention_gradients g = {
        .q = n->q->data,
        .k = n->k->data,
        .v = n->v->data,
        .out = node->output->data,
        .log_sums = n->log_sums,
        .out_gradient = node->output->gradient,
    };
    g.q_gradient = tape_gradient(tape, n->q, &g.q_add);
    g.k_gradient = tape_gradient(tape, n->k, &g.k_add);
    g.v_gradient = tape_gradient(tape, n->v, &g.v_add);
    if (tape->status == STATUS_OK)
        attention_backward(tape->compute, &n->shape, &g);
}

struct tensor *op_attention(struct tape *tape, struct tensor *q, struct tensor *k, struct tensor *v,
                            const struct attention_shape *shape)
{
    if (!q || !k || !v)
        return NULL;
    struct tensor *out = tape_tensor_like(tape, q);
    if (!out)
        return NULL;
    const struct tensor *const inputs[] = {q, k, v};
    float *log_sums = NULL;
    if (tape_records(tape, inputs, 3)) {
        log_sums = tape_alloc(tape, (size_t)(shape->batch * shape->heads * shape->queries) *
                                        sizeof(float));
        struct attention_node *n = tape_push(tape, sizeof *n, out, attention_back);
        if (!log_sums || !n)
            return NULL;
        n->q = q;
        n->k = k;
        n->v = v;
        n->shape = *shape;
        n->log_sums = log_sums;
    }
    attention_forward(tape->compute, shape, q->data, k->data, v->data, out->data, log_sums);
    if (tape_carries(tape, inputs, 3) && tape_tangent(tape, out)) {
        struct attention_tangents in = {q->data,    k->data,    v->data,
                                        q->tangent, k->tangent, v->tangent};
        attention_tangent(tape->compute, shape, &in, out->tangent);
    }
    return out;
}
