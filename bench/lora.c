/* Times whole steps of tuning by adapters: forward, backward, clipping, AdamW, over a frozen model
 * in whatever format its file has.
 *
 *   bench_lora MODEL f32|bf16 RANK CONTEXT BATCH MICRO THREADS STEPS
 *
 * All linear layers have adapters. MICRO is the number of rows on the tape at a time. STEPS 0 makes
 * one step for each line on standard input and answers it with the step's seconds, so that two
 * programs can take turns on a noisy machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "file/model.h"
#include "model/adapters.h"
#include "optim/optimizer.h"
#include "support.h"

#define SAMPLES_MOST 1000

struct run {
    struct model model;
    struct adapters adapters;
    struct compute compute;
    struct tape tape;
    struct optimizer optimizer;
    int64_t context, batch, micro;
    int32_t *tokens; /* (batch * context + 1) */
    double first_loss, last_loss, seconds[SAMPLES_MOST];
    int done;
};

static double one_step(struct run *run)
{
    double begin = bench_seconds(), sum = 0;
    struct error error;
    for (int64_t at = 0; at < run->batch; at += run->micro) {
        int64_t count = run->batch - at < run->micro ? run->batch - at : run->micro;
        const int32_t *tokens = run->tokens + at * run->context;
        struct decoder_batch batch = {.batch = count, .length = run->context, .tokens = tokens};
        struct loss_target target = {.ids = tokens + 1,
                                     .scale = 1.0 / (double)(run->batch * run->context)};
        tape_reset(&run->tape);
        run->tape.recording = true;
        struct tensor *loss = decoder_loss(&run->model.decoder, &run->tape, &batch, &target);
        tape_backward(&run->tape, loss);
        bench_require(tape_check(&run->tape, &error), &error);
        sum += (double)loss->data[0];
    }
    struct parameters *p = &run->adapters.parameters;
    double norm = optimizer_norm(&run->optimizer, &run->compute, p->gradients);
    optimizer_step(&run->optimizer, &run->compute, 3e-4, norm, p->gradients, p->values);
    run->last_loss = sum;
    return bench_seconds() - begin;
}

static void timed_step(struct run *run)
{
    double seconds = one_step(run);
    if (run->done < SAMPLES_MOST)
        run->seconds[run->done++] = seconds;
}

static void set_up(struct run *run, char **words)
{
    struct error error;
    enum matmul_precision precision = strcmp(words[2], "bf16") == 0 ? MATMUL_BF16 : MATMUL_F32;
    struct adapter_settings settings = {
        .rank = bench_number(words[3], "rank", 1), .alpha = 16, .targets = (1U << LINEARS) - 1};
    run->context = bench_number(words[4], "context", 2);
    run->batch = bench_number(words[5], "batch", 1);
    run->micro = bench_number(words[6], "micro", 1);
    int threads = (int)bench_number(words[7], "threads", 1);
    bench_require(compute_create(threads, precision, &run->compute, &error), &error);
    tape_init(&run->tape, &run->compute);
    bench_require(model_load(words[1], false, &run->model, &error), &error);
    struct decoder *decoder = &run->model.decoder;
    bench_require(adapters_create(&settings, decoder, &run->adapters, &error), &error);
    bench_require(adapters_declare_all(&run->adapters, decoder, &error), &error);
    bench_require(adapters_allocate(&run->adapters, &error), &error);
    adapters_draw(&run->adapters, 1);
    adapters_attach(&run->adapters, decoder, 1);
    struct parameters *p = &run->adapters.parameters;
    bench_require(parameters_train(p, &error), &error);
    struct optimizer_options options = {
        .kind = OPTIMIZER_ADAMW, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .clip = 1};
    struct optimizer_span span = {0, p->total, true};
    bench_require(optimizer_create(&options, &span, 1, p->total, &run->optimizer, &error), &error);
    int64_t count = run->batch * run->context + 1;
    run->tokens = malloc((size_t)count * sizeof *run->tokens);
    if (!run->tokens)
        bench_require(error_no_memory(&error, (size_t)count * 4), &error);
    for (int64_t i = 0; i < count; i++)
        run->tokens[i] = (int32_t)random_below((struct random_address){1, RANDOM_TEST, 0, 0},
                                               (uint64_t)i, (uint64_t)decoder->config.vocabulary);
}

int main(int count, char **words)
{
    static struct run run;
    if (count != 9) {
        fprintf(stderr,
                "usage: bench_lora MODEL f32|bf16 RANK CONTEXT BATCH MICRO THREADS STEPS\n");
        return 2;
    }
    set_up(&run, words);
    int64_t steps = bench_number(words[8], "steps", 0);
    one_step(&run); /* the first takes the memory */
    run.first_loss = run.last_loss;
    char line[64];
    if (steps == 0) {
        printf("{\"ready\": true}\n");
        fflush(stdout);
    }
    for (int64_t i = 0; i < steps; i++)
        timed_step(&run);
    while (steps == 0 && fgets(line, sizeof line, stdin)) {
        timed_step(&run);
        printf("{\"seconds\": %.6f}\n", run.seconds[run.done - 1]);
        fflush(stdout);
    }
    double median = run.done > 0 ? bench_median(run.seconds, run.done) : 0;
    printf("{\"seconds\": %.6f, \"tokens_per_second\": %.1f, \"peak_mebibytes\": %.0f, "
           "\"first_loss\": %.4f, \"last_loss\": %.4f}\n",
           median, median > 0 ? (double)(run.batch * run.context) / median : 0,
           bench_peak_mebibytes(), run.first_loss, run.last_loss);
    return 0;
}
