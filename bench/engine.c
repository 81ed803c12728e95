/* Times the generation engine over any model: one command a line on standard input, one JSON object
 * with its seconds a line on standard output, so that it can take turns with another program.
 *
 *   bench_engine MODEL f32|bf16|int8 THREADS
 *
 *   prompts L,L,...      prompts of these lengths, computed together; nothing is generated
 *   requests R P N       R prompts of P tokens at once, each followed by N generated tokens
 *   read                 plain reading of all matrices that a token is multiplied with
 *
 * Tokens are random and alike from turn to turn; the end of a text is passed over. An engine serves
 * all commands that ask for the same room, as a server's does; only the first of them takes memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "run/engine.h"
#include "support.h"

#define PROMPTS_MOST 256
#define READ_SECONDS 0.7

struct bench {
    struct compute compute;
    struct model model;
    struct engine *engine; /* kept for commands that ask for the same room */
    struct engine_options options;
    double first; /* when the first token had been made; 0 before */
};

static bool note_first(void *context, const struct engine_token *token)
{
    struct bench *bench = context;
    (void)token;
    if (bench->first <= 0)
        bench->first = bench_seconds();
    return true;
}

static void submit(struct bench *bench, int64_t index, int64_t length, int64_t made)
{
    struct error error;
    int32_t *tokens = malloc((size_t)length * sizeof *tokens);
    if (!tokens) {
        bench_require(error_no_memory(&error, (size_t)length * 4), &error);
        return;
    }
    for (int64_t i = 0; i < length; i++)
        tokens[i] =
            (int32_t)random_below((struct random_address){1, RANDOM_TEST, 0, (uint32_t)index},
                                  (uint64_t)i, (uint64_t)bench->model.decoder.config.vocabulary);
    struct engine_request request = {
        .prompt = tokens,
        .prompt_count = length,
        .sampling = {.temperature = 0},
        .most_tokens = made,
        .ignore_end = true,
        .on_token = note_first,
        .context = bench,
    };
    bench_require(engine_submit(bench->engine, &request, NULL, &error), &error);
    free(tokens);
}

static void make_engine(struct bench *bench, struct engine_options options)
{
    struct error error;
    const struct engine_options *o = &bench->options;
    if (bench->engine && o->slots == options.slots && o->context == options.context &&
        o->cache_tokens == options.cache_tokens)
        return;
    engine_free(bench->engine);
    bench->options = options;
    bench_require(engine_create(&bench->model, &bench->compute, &options, &bench->engine, &error),
                  &error);
}

/* All prompts at once, each followed by `made` tokens. */
static void run(struct bench *bench, const int64_t *lengths, int64_t count, int64_t made)
{
    int64_t longest = 0, all = 0;
    for (int64_t i = 0; i < count; i++) {
        longest = lengths[i] > longest ? lengths[i] : longest;
        all += kv_pages_for(lengths[i] + made) * KV_PAGE;
    }
    make_engine(bench, (struct engine_options){
                           .slots = count, .context = longest + made, .cache_tokens = all});
    for (int64_t i = 0; i < count; i++)
        submit(bench, i, lengths[i], made);
    bench->first = 0;
    double begin = bench_seconds();
    engine_run(bench->engine);
    double end = bench_seconds();
    printf("{\"seconds\": %.6f, \"first\": %.6f}\n", end - begin,
           (bench->first > 0 ? bench->first : end) - begin);
    fflush(stdout);
}

static void run_prompts(struct bench *bench, char *list)
{
    int64_t lengths[PROMPTS_MOST], count = 0;
    for (char *word = strtok(list, ","); word && count < PROMPTS_MOST; word = strtok(NULL, ","))
        lengths[count++] = bench_number(word, "length", 1);
    run(bench, lengths, count, 0);
}

static void run_requests(struct bench *bench, const char *requests, const char *prompt,
                         const char *made)
{
    int64_t lengths[PROMPTS_MOST], count = bench_number(requests, "requests", 1);
    for (int64_t i = 0; i < count && i < PROMPTS_MOST; i++)
        lengths[i] = bench_number(prompt, "prompt", 1);
    run(bench, lengths, count < PROMPTS_MOST ? count : PROMPTS_MOST,
        bench_number(made, "tokens", 0));
}

/* All that a step reads, in the order of the file, by all threads, and nothing but that: the least
 * time that a token can take, as the mean of a while, since memory is shared with other machines.
 */
static void run_read(const struct bench *bench)
{
    const struct parameters *p = &bench->model.decoder.parameters;
    struct bench_span *spans = malloc((size_t)p->count * sizeof *spans);
    double bytes = 0;
    int count = 0;
    if (!spans) {
        struct error error;
        bench_require(error_no_memory(&error, (size_t)p->count * sizeof *spans), &error);
        return;
    }
    for (int i = 0; i < p->count; i++) {
        const struct weight *weight = &p->items[i].weight;
        bool used = weight != bench->model.decoder.embedding || bench->model.decoder.config.tied;
        if (!used || weight_bytes(weight) < 1 << 16)
            continue;
        spans[count++] = (struct bench_span){weight->data, weight_bytes(weight)};
        bytes += (double)weight_bytes(weight);
    }
    double seconds = 0;
    int passes = 0;
    for (; seconds < READ_SECONDS; passes++)
        seconds += bytes / bench_read_rate(bench->compute.pool, spans, count);
    free(spans);
    printf("{\"seconds\": %.6f, \"gigabytes\": %.6f}\n", seconds / passes, 1e-9 * bytes);
    fflush(stdout);
}

int main(int count, char **words)
{
    static struct bench bench;
    struct error error;
    char line[4096], a[16], b[16], c[16];
    if (count != 4) {
        fprintf(stderr, "usage: bench_engine MODEL f32|bf16|int8 THREADS\n");
        return 2;
    }
    enum matmul_precision precision = strcmp(words[2], "int8") == 0   ? MATMUL_INT8
                                      : strcmp(words[2], "bf16") == 0 ? MATMUL_BF16
                                                                      : MATMUL_F32;
    bench_require(compute_create((int)bench_number(words[3], "threads", 1), precision,
                                 &bench.compute, &error),
                  &error);
    double begin = bench_seconds();
    bench_require(model_load(words[1], false, &bench.model, &error), &error);
    printf("{\"ready\": true, \"load_seconds\": %.6f}\n", bench_seconds() - begin);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "prompts ", 8) == 0)
            run_prompts(&bench, line + 8);
        else if (strcmp(line, "read") == 0)
            run_read(&bench);
        else if (sscanf(line, "requests %15s %15s %15s", a, b, c) == 3)
            run_requests(&bench, a, b, c);
        else
            fprintf(stderr, "unknown command: %s\n", line);
    }
    printf("{\"peak_mebibytes\": %.1f}\n", bench_peak_mebibytes());
    engine_free(bench.engine);
    model_free(&bench.model);
    compute_free(&bench.compute);
    return 0;
}
