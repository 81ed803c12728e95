/* See experts.h. It is made of ops over rows (tensor/op_rows.c) and of ordinary linear layers, so
 * that any weight format and gradients come with them. */
#include "model/experts.h"

#include <string.h>

/* Which rows go to which expert, and where among its rows they stand. */
struct dispatch {
    int32_t *chosen, *place; /* (rows, used) */
    int32_t *rows;           /* by expert, ascending */
    int64_t *begin;          /* (experts + 1) */
};

static bool allocate_dispatch(struct tape *tape, int64_t rows, int64_t used, int64_t experts,
                              struct dispatch *d)
{
    size_t bytes = (size_t)(rows * used) * sizeof(int32_t);
    d->chosen = tape_alloc(tape, bytes);
    d->place = tape_alloc(tape, bytes);
    d->rows = tape_alloc(tape, bytes);
    d->begin = tape_alloc(tape, (size_t)(experts + 1) * sizeof *d->begin);
    return d->chosen && d->place && d->rows && d->begin;
}

static void sort_rows(int64_t rows, int64_t used, int64_t experts, struct dispatch *d)
{
    memset(d->begin, 0, (size_t)(experts + 1) * sizeof *d->begin);
    for (int64_t i = 0; i < rows * used; i++)
        d->place[i] = (int32_t)d->begin[d->chosen[i] + 1]++;
    for (int64_t e = 0; e < experts; e++)
        d->begin[e + 1] += d->begin[e];
    for (int64_t i = 0; i < rows * used; i++)
        d->rows[d->begin[d->chosen[i]] + d->place[i]] = (int32_t)(i / used);
}

/* Rows that stand for single tokens: those below `singles`, which come first. */
static int64_t single_rows(const int32_t *rows, int64_t count, int64_t singles)
{
    int64_t found = 0;
    while (found < count && rows[found] < singles)
        found++;
    return found;
}

static struct tensor *run_expert(struct decoder *decoder, struct tape *tape,
                                 const struct decoder_layer *layer, int64_t expert,
                                 struct tensor *x)
{
    enum activation f = decoder_activation(decoder->config.mlp);
    const struct linear *const inputs[] = {&layer->expert_ups[expert],
                                           &layer->expert_gates[expert]};
    struct tensor *made[2];
    if (!op_linear_group(tape, x, inputs, 2, made))
        return NULL;
    return op_linear(tape, op_gated(tape, f, made[1], made[0]), &layer->expert_downs[expert], NULL);
}

struct tensor *experts_feed(struct decoder *decoder, struct tape *tape, int64_t index,
                            struct tensor *x)
{
    const struct decoder_config *c = &decoder->config;
    const struct decoder_layer *layer = &decoder->layers[index];
    struct tensor *logits = op_linear(tape, x, &layer->router, NULL);
    if (!logits)
        return NULL;
    int64_t rows = tensor_rows(x), used = c->experts_used, singles = tape->singles;
    struct dispatch d;
    struct tensor **parts = tape_alloc(tape, (size_t)c->experts * sizeof(struct tensor *));
    if (!parts || !allocate_dispatch(tape, rows, used, c->experts, &d))
        return NULL;
    struct tensor *weights = op_route(tape, logits, used, c->experts_whole, d.chosen);
    if (!weights)
        return NULL;
    sort_rows(rows, used, c->experts, &d);
    for (int64_t e = 0; e < c->experts; e++) {
        const int32_t *own = d.rows + d.begin[e];
        int64_t count = d.begin[e + 1] - d.begin[e];
        parts[e] = NULL;
        if (count == 0)
            continue;
        tape->singles = single_rows(own, count, singles);
        parts[e] = run_expert(decoder, tape, layer, e, op_gather_rows(tape, x, own, count));
        tape->singles = singles;
        if (!parts[e])
            return NULL;
    }
    struct tensor *out = op_mix_rows(tape, weights, parts, c->experts, d.chosen, d.place);
    return out ? op_view(tape, out, x->rank, x->shape) : NULL;
}
