/* See training.h. */
#include "run/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MICRO_TOKENS 1024
/* Of a run on a budget of minutes: at least so many parts of a step are timed before it, for at
 * least that part of the budget; and the length is put right when these parts of it have passed. */
#define TRIAL_PARTS 3
#define TRIAL_SHARE 0.01
#define REPLANS 4
static const double replan_parts[REPLANS] = {0.05, 0.2, 0.5, 0.8};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int64_t micro_rows(const struct training_options *o)
{
    int64_t rows = o->micro_batch > 0 ? o->micro_batch : MICRO_TOKENS / o->window;
    rows = rows < 1 ? 1 : rows;
    return rows < o->batch ? rows : o->batch;
}

int64_t training_memory(const struct decoder_config *config, const struct training_options *options,
                        int threads)
{
    bool whole = options->adapters.rank == 0;
    int64_t values =
        whole ? decoder_count(config).parameters : adapters_values(&options->adapters, config);
    int64_t state =
        values * (int64_t)sizeof(float) + optimizer_bytes(options->optimizer.kind, values);
    int64_t widest = config->vocabulary > config->hidden ? config->vocabulary : config->hidden;
    int64_t panels = (int64_t)GEMM_DEPTH * widest * (int64_t)sizeof(float);
    panels = panels < (int64_t)GEMM_PANEL_BYTES ? panels : (int64_t)GEMM_PANEL_BYTES;
    int64_t scratch = panels + threads * (int64_t)COMPUTE_SCRATCH_BYTES / 2;
    int64_t rows = options->batch * options->window * 20;
    struct decoder_work work = {.batch = micro_rows(options),
                                .length = options->window,
                                .checkpoints = options->checkpoints,
                                .learned = options->learned,
                                .adapter_rank = options->adapters.rank,
                                .targets = options->adapters.targets,
                                .adapter_dropout = options->adapters.dropout > 0};
    return state + scratch + rows + decoder_activation_bytes(config, &work);
}

static enum status create_optimizer(struct training *t, struct error *error)
{
    const struct parameters *p = t->parameters;
    struct optimizer_span *spans = malloc((size_t)(p->count + 1) * sizeof *spans);
    if (!spans)
        return error_no_memory(error, (size_t)p->count * sizeof *spans);
    for (int i = 0; i < p->count; i++) {
        const struct parameter *item = &p->items[i];
        bool decays = item->kind == PARAMETER_MATRIX || item->kind == PARAMETER_EMBEDDING;
        spans[i] =
            (struct optimizer_span){item->offset, tensor_count(&item->weight.tensor), decays};
    }
    enum status status =
        optimizer_create(&t->options.optimizer, spans, p->count, p->total, &t->optimizer, error);
    free(spans);
    return status;
}

enum status training_create(struct training *t, struct error *error)
{
    int64_t count = t->options.batch * t->options.window;
    tape_init(&t->tape, t->compute);
    t->tape.seed = t->options.seed;
    t->rows = (struct mixture_rows){
        malloc((size_t)count * 4), malloc((size_t)count * 4), malloc((size_t)count * 4),
        malloc((size_t)count * 4), malloc((size_t)count * 4),
    };
    enum status status = STATUS_OK;
    if (!t->parameters)
        t->parameters = &t->model->decoder.parameters;
    t->model->decoder.checkpoints = t->options.checkpoints;
    if (!t->rows.tokens || !t->rows.targets || !t->rows.positions || !t->rows.segment_start ||
        !t->rows.weights)
        status = error_no_memory(error, (size_t)count * 20);
    if (status == STATUS_OK)
        status = parameters_train(t->parameters, error);
    if (status == STATUS_OK)
        status = create_optimizer(t, error);
    t->step = t->total_steps = 0;
    if (t->options.steps > 0)
        t->total_steps = t->options.steps;
    else if (t->options.tokens > 0)
        t->total_steps = (t->options.tokens + count - 1) / count;
    if (status != STATUS_OK)
        training_free(t);
    return status;
}

void training_free(struct training *t)
{
    tape_free(&t->tape);
    optimizer_free(&t->optimizer);
    free(t->rows.tokens);
    free(t->rows.targets);
    free(t->rows.positions);
    free(t->rows.segment_start);
    free(t->rows.weights);
    t->rows = (struct mixture_rows){0};
}

/* The gradients of `count` rows from `row` on, added; `scale` makes a mean of the whole batch. */
static enum status part_gradients(struct training *t, int64_t row, int64_t count, double scale,
                                  double *loss, struct error *error)
{
    int64_t at = row * t->options.window;
    struct decoder_batch batch = {count, t->options.window, t->rows.tokens + at,
                                  t->rows.positions + at, t->rows.segment_start + at};
    struct loss_target target = {
        .ids = t->rows.targets + at, .weights = t->rows.weights + at, .scale = scale};
    uint32_t ops = t->tape.ops; /* dropout masks go on counting through the parts */
    tape_reset(&t->tape);
    t->tape.ops = row == 0 ? 0 : ops;
    t->tape.recording = t->tape.training = true;
    t->tape.step = (uint32_t)t->step;
    struct tensor *part = decoder_loss(&t->model->decoder, &t->tape, &batch, &target);
    tape_backward(&t->tape, part);
    enum status status = tape_check(&t->tape, error);
    if (status == STATUS_OK)
        *loss += (double)part->data[0];
    return status;
}

static bool stopped(const struct training *t)
{
    return t->stop && *t->stop;
}

enum status training_gradients(struct training *t, double *loss, struct error *error)
{
    const struct training_options *o = &t->options;
    int64_t micro = micro_rows(o);
    double weight = 0;
    *loss = 0;
    for (int64_t i = 0; i < o->batch * o->window; i++)
        weight += (double)t->rows.weights[i];
    for (int64_t row = 0; row < o->batch; row += micro) {
        int64_t count = o->batch - row < micro ? o->batch - row : micro;
        if (stopped(t))
            return error_set(error, STATUS_INTERRUPTED, "stopped within a step");
        enum status status =
            part_gradients(t, row, count, weight > 0 ? 1 / weight : 0, loss, error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* The place where gradients of several processes will be summed: behind this function they are the
 * whole batch's. */
static enum status step_gradients(struct training *t, double *loss, double *norm,
                                  struct error *error)
{
    enum status status = mixture_next(t->mixture, t->options.batch, &t->rows, error);
    if (status == STATUS_OK)
        status = training_gradients(t, loss, error);
    if (status == STATUS_OK)
        *norm = optimizer_norm(&t->optimizer, t->compute, t->parameters->gradients);
    return status;
}

/* Of the evaluation at the end, which belongs to the budget: reading a token takes about a third of
 * learning from it. */
static double evaluation_seconds(const struct training *t, double seconds_per_step)
{
    int64_t tokens = 0, most = t->options.evaluate_tokens;
    for (int i = 0; i < t->held_count; i++)
        tokens += most > 0 && most < t->held_out[i].tokens ? most : t->held_out[i].tokens;
    return (double)tokens / (double)(t->options.batch * t->options.window) * seconds_per_step / 3;
}

/* Steps that fit the minutes: some parts of steps are run and forgotten, all but the first timed.
 */
static enum status plan_minutes(struct training *t, struct error *error)
{
    struct parameters *p = t->parameters;
    int64_t timed = -1, row = 0, micro = micro_rows(&t->options), batch = t->options.batch;
    double start = now(), mark = start, budget = t->options.minutes * 60, loss = 0;
    enum status status = mixture_next(t->mixture, batch, &t->rows, error);
    while (status == STATUS_OK && (timed < TRIAL_PARTS || now() - start < TRIAL_SHARE * budget)) {
        mark = timed == 0 ? now() : mark;
        row = row + micro <= batch ? row : 0;
        status = stopped(t) ? error_set(error, STATUS_INTERRUPTED, "stopped before the first step")
                            : part_gradients(t, row, micro, 0, &loss, error);
        row += micro;
        timed++;
    }
    memset(p->gradients, 0, (size_t)p->total * sizeof *p->gradients);
    mixture_seek(t->mixture, 0);
    if (status != STATUS_OK)
        return status;
    double parts = (double)batch / (double)micro;
    double seconds = (now() - mark) / (double)timed * parts * 1.06; /* with the update itself */
    double left = budget - (now() - start) - evaluation_seconds(t, seconds);
    t->total_steps = left > seconds ? (int64_t)(left / seconds) : 1;
    return status;
}

static void set_schedule(struct training *t)
{
    t->options.schedule.total = (double)t->total_steps;
    t->options.schedule.warmup = ceil(t->options.warmup_share * (double)t->total_steps);
    t->mixture->total_rows = t->total_steps * t->options.batch;
}

static enum status evaluate_now(struct training *t, struct error *error)
{
    if (t->held_count == 0)
        return STATUS_OK;
    const struct tokenizer *tokenizer = t->model->has_tokenizer ? &t->model->tokenizer : NULL;
    struct evaluation sum = {0};
    enum status status = STATUS_OK;
    for (int i = 0; i < t->held_count && status == STATUS_OK; i++) {
        struct evaluation part;
        struct mixture_reading reading = {.window = t->options.window,
                                          .most_tokens = t->options.evaluate_tokens};
        status = evaluate_shard(&t->model->decoder, tokenizer, &t->tape, &t->held_out[i], &reading,
                                t->stop, &part, error);
        sum.nats += part.nats;
        sum.tokens += part.tokens;
        sum.bytes += part.bytes;
    }
    evaluation_finish(&sum);
    t->last_evaluation = sum;
    if (status == STATUS_OK && t->on_evaluation)
        t->on_evaluation(t->context, t->step, &t->last_evaluation);
    return status;
}

static enum status diverged(const struct training *t, double loss, double rate, struct error *error)
{
    return error_set(error, STATUS_FAILED,
                     "training broke down at step %lld: %s is not a number (learning rate %.3g); "
                     "try a lower --rate, a longer --warmup or a smaller --clip",
                     (long long)t->step + 1, isfinite(loss) ? "the gradient" : "the loss", rate);
}

/* One update; times and tells. */
static enum status one_step(struct training *t, double *smoothed, struct error *error)
{
    double start = now(), loss, norm;
    double rate = schedule_rate(&t->options.schedule, (double)t->step);
    enum status status = step_gradients(t, &loss, &norm, error);
    if (status != STATUS_OK)
        return status;
    if (!isfinite(loss) || !isfinite(norm))
        return diverged(t, loss, rate, error);
    struct parameters *p = t->parameters;
    optimizer_step(&t->optimizer, t->compute, rate, norm, p->gradients, p->values);
    t->step++;
    t->steps_here++;
    double seconds = now() - start;
    t->seconds += seconds;
    *smoothed = *smoothed > 0 ? 0.9 * *smoothed + 0.1 * seconds : seconds;
    if (t->on_step) {
        struct training_report report = {
            .step = t->step,
            .total_steps = t->total_steps,
            .tokens = t->step * t->options.batch * t->options.window,
            .loss = loss,
            .norm = norm,
            .rate = rate,
            .tokens_per_second = (double)(t->options.batch * t->options.window) / *smoothed,
            .seconds_left = (double)(t->total_steps - t->step) * *smoothed,
        };
        t->on_step(t->context, &report);
    }
    return STATUS_OK;
}

/* Whether the model is to be evaluated after the step just done, which is not the last. */
static bool evaluation_due(const struct training *t)
{
    return t->step > 0 && t->step < t->total_steps && t->options.evaluate_every > 0 &&
           t->step % t->options.evaluate_every == 0;
}

static enum status stop_here(struct training *t, struct error *error)
{
    enum status status = t->checkpoint ? training_checkpoint(t, error) : STATUS_OK;
    return status == STATUS_OK
               ? error_set(error, STATUS_INTERRUPTED, "stopped at step %lld", (long long)t->step)
               : status;
}

/* A run on a budget of minutes gets as many steps as its pace so far, evaluations included, lets
 * hope for. A run that was resumed keeps its length, as others would have it. */
static void replan_minutes(struct training *t, double start, int *replans)
{
    double budget = t->options.minutes * 60, passed = now() - start;
    if (*replans >= REPLANS || passed < replan_parts[*replans] * budget || t->steps_here < 2)
        return;
    while (*replans < REPLANS && passed >= replan_parts[*replans] * budget)
        (*replans)++;
    double pace = passed / (double)t->steps_here, seconds = t->seconds / (double)t->steps_here;
    double left = (budget - passed - evaluation_seconds(t, seconds)) / pace;
    t->total_steps = t->step + (int64_t)(left > 1 ? left : 1);
    set_schedule(t);
}

enum status training_run(struct training *t, struct error *error)
{
    enum status status = STATUS_OK;
    double start = now();
    int replans = REPLANS;
    if (t->total_steps == 0) {
        status = plan_minutes(t, error);
        if (status == STATUS_INTERRUPTED)
            return stop_here(t, error);
        replans = 0;
    }
    set_schedule(t);
    double smoothed = 0, saved = now();
    if (status == STATUS_OK && evaluation_due(t)) /* resumed where an evaluation was stopped */
        status = evaluate_now(t, error);
    while (status == STATUS_OK && t->step < t->total_steps) {
        status = stopped(t) ? error_set(error, STATUS_INTERRUPTED, "stopped")
                            : one_step(t, &smoothed, error);
        if (status == STATUS_INTERRUPTED)
            return stop_here(t, error);
        replan_minutes(t, start, &replans);
        bool last = t->step == t->total_steps;
        if (status == STATUS_OK && evaluation_due(t))
            status = evaluate_now(t, error);
        if (status == STATUS_INTERRUPTED)
            return stop_here(t, error);
        if (status == STATUS_OK && t->checkpoint &&
            (last || now() - saved >= t->options.checkpoint_seconds)) {
            status = training_checkpoint(t, error);
            saved = now();
        }
    }
    return status == STATUS_OK ? evaluate_now(t, error) : status;
}
