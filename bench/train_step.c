/* Times whole training steps of a Llama-style decoder: forward, backward, clipping, AdamW.
 *
 *   bench_train_step LAYERS WIDTH HEADS HIDDEN CONTEXT BATCH VOCABULARY f32|bf16 THREADS STEPS
 *
 * STEPS 0 makes one step for each line on standard input and answers it with the step's seconds, so
 * that two programs can take turns on a noisy machine. Between steps the matrix products of the
 * model's own shapes are timed too: the step is measured against the best of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "model/decoder.h"
#include "optim/optimizer.h"
#include "support.h"

#define TOKENS_ON_TAPE 1024 /* about; whole sequences */
#define SAMPLES_MOST 1000
#define PRODUCTS 12

struct product {
    int64_t m, n, k;
    bool a_transposed, b_transposed;
};

struct rates {
    struct product products[PRODUCTS];
    float *a, *b, *c;
    double seconds[2][PRODUCTS][SAMPLES_MOST]; /* by precision */
    int samples;
};

struct run {
    struct decoder_config config;
    int64_t batch, micro; /* sequences in a step, and on the tape at a time */
    int steps;
    struct compute compute;
    struct tape tape;
    struct decoder decoder;
    struct optimizer optimizer;
    int32_t *tokens; /* (batch, context + 1) shifted by one for targets */
    int32_t *targets;
    double first_loss, last_loss, peak;
    double seconds[SAMPLES_MOST];
    int done;
    struct rates rates;
};

static void *allocate(size_t bytes)
{
    struct error error;
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!memory)
        bench_require(error_no_memory(&error, bytes), &error);
    return memory;
}

static double one_step(struct run *run)
{
    double begin = bench_seconds(), sum = 0;
    int64_t length = run->config.context;
    for (int64_t at = 0; at < run->batch; at += run->micro) {
        int64_t count = run->batch - at < run->micro ? run->batch - at : run->micro;
        struct decoder_batch batch = {
            .batch = count, .length = length, .tokens = run->tokens + at * length};
        struct loss_target target = {.ids = run->targets + at * length,
                                     .scale = 1.0 / (double)(run->batch * length)};
        tape_reset(&run->tape);
        struct tensor *loss = decoder_loss(&run->decoder, &run->tape, &batch, &target);
        tape_backward(&run->tape, loss);
        struct error error;
        bench_require(tape_check(&run->tape, &error), &error);
        sum += (double)loss->data[0];
    }
    struct parameters *parameters = &run->decoder.parameters;
    double norm = optimizer_norm(&run->optimizer, &run->compute, parameters->gradients);
    optimizer_step(&run->optimizer, &run->compute, 3e-4, norm, parameters->gradients,
                   parameters->values);
    run->last_loss = sum;
    return bench_seconds() - begin;
}

static void create_optimizer(struct run *run)
{
    const struct parameters *parameters = &run->decoder.parameters;
    struct optimizer_span *spans = allocate((size_t)parameters->count * sizeof *spans);
    for (int i = 0; i < parameters->count; i++) {
        const struct parameter *p = &parameters->items[i];
        spans[i] = (struct optimizer_span){
            .offset = p->offset, .count = tensor_count(&p->weight.tensor), .decays = p->rank == 2};
    }
    struct optimizer_options options = {.kind = OPTIMIZER_ADAMW,
                                        .beta1 = 0.9,
                                        .beta2 = 0.95,
                                        .epsilon = 1e-8,
                                        .decay = 0.1,
                                        .clip = 1.0};
    struct error error;
    bench_require(optimizer_create(&options, spans, parameters->count, parameters->total,
                                   &run->optimizer, &error),
                  &error);
    free(spans);
}

/* Forward, input gradient and weight gradient of the decoder's four kinds of matrix. */
static void list_products(struct run *run)
{
    const struct decoder_config *c = &run->config;
    int64_t rows = run->micro * c->context, a = 0, b = 0, out = 0;
    const int64_t matrices[4][2] = {{c->width, c->width},
                                    {c->hidden, c->width},
                                    {c->width, c->hidden},
                                    {c->vocabulary, c->width}};
    for (int i = 0; i < 4; i++) {
        int64_t outputs = matrices[i][0], inputs = matrices[i][1];
        struct product *p = run->rates.products + 3 * i;
        p[0] = (struct product){rows, outputs, inputs, false, true};
        p[1] = (struct product){rows, inputs, outputs, false, false};
        p[2] = (struct product){outputs, inputs, rows, true, false};
    }
    for (int i = 0; i < PRODUCTS; i++) {
        const struct product *p = run->rates.products + i;
        a = p->m * p->k > a ? p->m * p->k : a;
        b = p->n * p->k > b ? p->n * p->k : b;
        out = p->m * p->n > out ? p->m * p->n : out;
    }
    struct random_address address = {.seed = 1, .purpose = RANDOM_TEST};
    run->rates.a = allocate((size_t)a * sizeof(float));
    run->rates.b = allocate((size_t)b * sizeof(float));
    run->rates.c = allocate((size_t)out * sizeof(float));
    random_fill_normal(address, 0, a, 1, run->rates.a);
    random_fill_normal(address, 0, b, 1, run->rates.b);
}

static void sample_products(struct run *run)
{
    struct rates *rates = &run->rates;
    struct compute compute = run->compute;
    for (int precision = 0; precision < 2; precision++) {
        compute.precision = precision ? MATMUL_BF16 : MATMUL_F32;
        for (int i = 0; i < PRODUCTS; i++) {
            const struct product *p = rates->products + i;
            double begin = bench_seconds();
            gemm(&compute,
                 &(struct gemm_call){
                     .m = p->m,
                     .n = p->n,
                     .k = p->k,
                     .a = rates->a,
                     .a_stride = p->a_transposed ? p->m : p->k,
                     .a_transposed = p->a_transposed,
                     .b = gemm_matrix_f32(rates->b, p->b_transposed ? p->k : p->n, p->b_transposed),
                     .c = rates->c,
                     .c_stride = p->n,
                 });
            rates->seconds[precision][i][rates->samples] = bench_seconds() - begin;
        }
    }
    rates->samples++;
}

/* The best rate of any of the products, each by its median time. */
static double best_rate(struct rates *rates, int precision)
{
    double best = 0;
    for (int i = 0; i < PRODUCTS; i++) {
        const struct product *p = rates->products + i;
        double rate = 2e-9 * (double)p->m * (double)p->n * (double)p->k /
                      bench_median(rates->seconds[precision][i], rates->samples);
        best = rate > best ? rate : best;
    }
    return best;
}

static void read_arguments(struct run *run, char **arguments)
{
    const char *names[] = {"layers", "width", "heads", "hidden", "context", "batch", "vocabulary"};
    int64_t values[7];
    for (int i = 0; i < 7; i++)
        values[i] = bench_number(arguments[i], names[i], 1);
    run->config = decoder_config_llama(values[6], values[4], values[1], values[0], values[2]);
    run->config.hidden = values[3];
    run->batch = values[5];
    run->micro = TOKENS_ON_TAPE / values[4] > 1 ? TOKENS_ON_TAPE / values[4] : 1;
    run->micro = run->micro < run->batch ? run->micro : run->batch;
    run->steps = (int)bench_number(arguments[9], "steps", 0);
    if (run->steps > SAMPLES_MOST)
        run->steps = SAMPLES_MOST;
    struct error error;
    bench_require(decoder_config_check(&run->config, "arguments", &error), &error);
    enum matmul_precision precision = strcmp(arguments[7], "bf16") == 0 ? MATMUL_BF16 : MATMUL_F32;
    bench_require(compute_create((int)bench_number(arguments[8], "threads", 0), precision,
                                 &run->compute, &error),
                  &error);
}

static void create(struct run *run)
{
    struct error error;
    tape_init(&run->tape, &run->compute);
    run->tape.recording = run->tape.training = true;
    bench_require(decoder_create_random(&run->config, 1, &run->decoder, &error), &error);
    bench_require(parameters_train(&run->decoder.parameters, &error), &error);
    create_optimizer(run);
    int64_t count = run->batch * run->config.context;
    run->tokens = allocate((size_t)(count + 1) * sizeof *run->tokens);
    run->targets = run->tokens + 1;
    struct random_address address = {.seed = 1, .purpose = RANDOM_TEST};
    for (int64_t i = 0; i <= count; i++)
        run->tokens[i] =
            (int32_t)random_below(address, (uint64_t)i, (uint64_t)run->config.vocabulary);
    one_step(run);
    run->first_loss = run->last_loss;
    run->peak = bench_peak_mebibytes();
    list_products(run);
}

static void timed_step(struct run *run, bool answers)
{
    double seconds = one_step(run);
    run->seconds[run->done++] = seconds;
    sample_products(run);
    if (answers) {
        printf("{\"seconds\": %.6f}\n", seconds);
        fflush(stdout);
    }
}

static void report(struct run *run)
{
    double tokens = (double)(run->batch * run->config.context);
    double flops = tokens * decoder_training_flops(&run->config, run->config.context);
    double seconds = bench_median(run->seconds, run->done);
    printf("{\"parameters\": %lld, \"threads\": %d, \"steps\": %d, \"seconds\": %.6f, "
           "\"tokens_per_second\": %.1f, \"peak_mib\": %.1f, \"gflops\": %.2f, "
           "\"best_f32_product_gflops\": %.2f, \"best_bf16_product_gflops\": %.2f, "
           "\"first_loss\": %.5f, \"last_loss\": %.5f}\n",
           (long long)decoder_count(&run->config).parameters, thread_pool_size(run->compute.pool),
           run->done, seconds, tokens / seconds, run->peak, flops * 1e-9 / seconds,
           best_rate(&run->rates, 0), best_rate(&run->rates, 1), run->first_loss, run->last_loss);
}

int main(int count, char **arguments)
{
    if (count != 11) {
        fprintf(stderr,
                "usage: %s LAYERS WIDTH HEADS HIDDEN CONTEXT BATCH VOCABULARY f32|bf16 "
                "THREADS STEPS\n",
                arguments[0]);
        return 2;
    }
    struct run *run = allocate(sizeof *run);
    memset(run, 0, sizeof *run);
    read_arguments(run, arguments + 1);
    create(run);
    for (int i = 0; i < run->steps; i++)
        timed_step(run, false);
    if (run->steps == 0) {
        char line[64];
        puts("{\"ready\": true}");
        fflush(stdout);
        while (run->done < SAMPLES_MOST && fgets(line, sizeof line, stdin))
            timed_step(run, true);
    }
    if (run->done > 0)
        report(run);
    free(run->rates.a);
    free(run->rates.b);
    free(run->rates.c);
    free(run->tokens);
    optimizer_free(&run->optimizer);
    decoder_free(&run->decoder);
    tape_free(&run->tape);
    compute_free(&run->compute);
    free(run);
    return 0;
}
