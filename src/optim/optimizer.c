/* See optimizer.h. */
#include "optim/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 32768 /* values; a multiple of a cache line */

int64_t optimizer_bytes(enum optimizer_kind kind, int64_t total)
{
    return (kind == OPTIMIZER_ADAMW ? 2 : 1) * total * (int64_t)sizeof(float);
}

static float *zeroed(int64_t count)
{
    size_t bytes = ((size_t)count * sizeof(float) + 63) / 64 * 64 + 64;
    float *values = aligned_alloc(64, bytes);
    if (values)
        memset(values, 0, bytes);
    return values;
}

static enum status cut_pieces(struct optimizer *o, const struct optimizer_span *spans,
                              int64_t span_count, struct error *error)
{
    int64_t count = 0;
    for (int64_t i = 0; i < span_count; i++)
        count += (spans[i].count + PIECE - 1) / PIECE;
    o->pieces = malloc((size_t)(count + 1) * sizeof *o->pieces);
    o->partial = malloc((size_t)(count + 1) * sizeof *o->partial);
    if (!o->pieces || !o->partial)
        return error_no_memory(error, (size_t)count * sizeof *o->pieces);
    for (int64_t i = 0; i < span_count; i++)
        for (int64_t at = 0; at < spans[i].count; at += PIECE) {
            int64_t left = spans[i].count - at;
            o->pieces[o->piece_count++] = (struct optimizer_span){
                spans[i].offset + at, left < PIECE ? left : PIECE, spans[i].decays};
        }
    return STATUS_OK;
}

enum status optimizer_create(const struct optimizer_options *options,
                             const struct optimizer_span *spans, int64_t span_count, int64_t total,
                             struct optimizer *o, struct error *error)
{
    *o = (struct optimizer){.options = *options, .total = total};
    o->first = zeroed(total);
    if (options->kind == OPTIMIZER_ADAMW)
        o->second = zeroed(total);
    enum status status = STATUS_OK;
    if (!o->first || (options->kind == OPTIMIZER_ADAMW && !o->second))
        status = error_no_memory(error, (unsigned long long)optimizer_bytes(options->kind, total));
    if (status == STATUS_OK)
        status = cut_pieces(o, spans, span_count, error);
    if (status != STATUS_OK)
        optimizer_free(o);
    return status;
}

void optimizer_free(struct optimizer *o)
{
    free(o->first);
    free(o->second);
    free(o->pieces);
    free(o->partial);
    *o = (struct optimizer){0};
}

struct step_job {
    struct optimizer *o;
    const struct compute *compute;
    struct adamw_update update;
    float *gradients, *values;
};

static void square_pieces(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    struct step_job *job = context;
    for (int64_t i = begin; i < end; i++)
        job->o->partial[i] = job->compute->kernels->sum_squares(
            job->o->pieces[i].count, job->gradients + job->o->pieces[i].offset);
}

double optimizer_norm(struct optimizer *o, const struct compute *compute, const float *gradients)
{
    struct step_job job = {.o = o, .compute = compute, .gradients = (float *)gradients};
    thread_pool_for(compute->pool, o->piece_count, 4, square_pieces, &job);
    double sum = 0;
    for (int64_t i = 0; i < o->piece_count; i++)
        sum += o->partial[i];
    return sqrt(sum);
}

static void update_pieces(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    struct step_job *job = context;
    struct optimizer *o = job->o;
    for (int64_t i = begin; i < end; i++) {
        const struct optimizer_span *piece = &o->pieces[i];
        struct adamw_update update = job->update;
        update.decay = piece->decays ? update.decay : 0.0f;
        float *gradient = job->gradients + piece->offset, *values = job->values + piece->offset;
        if (o->options.kind == OPTIMIZER_ADAMW)
            job->compute->kernels->adamw(piece->count, &update, gradient, o->first + piece->offset,
                                         o->second + piece->offset, values);
        else
            job->compute->kernels->momentum(piece->count, update.rate, (float)o->options.momentum,
                                            update.decay, update.gradient_scale, gradient,
                                            o->first + piece->offset, values);
        memset(gradient, 0, (size_t)piece->count * sizeof *gradient);
    }
}

void optimizer_step(struct optimizer *o, const struct compute *compute, double rate, double norm,
                    float *gradients, float *values)
{
    const struct optimizer_options *options = &o->options;
    double clip = options->clip > 0 && norm > options->clip ? options->clip / norm : 1.0;
    double t = (double)++o->updates;
    struct step_job job = {.o = o, .compute = compute, .gradients = gradients, .values = values};
    job.update = (struct adamw_update){
        .rate = (float)rate,
        .beta1 = (float)options->beta1,
        .beta2 = (float)options->beta2,
        .epsilon = (float)options->epsilon,
        .decay = (float)(rate * options->decay),
        .correction1 = (float)(1 / (1 - pow(options->beta1, t))),
        .correction2 = (float)(1 / sqrt(1 - pow(options->beta2, t))),
        .gradient_scale = (float)clip,
    };
    thread_pool_for(compute->pool, o->piece_count, 4, update_pieces, &job);
}
