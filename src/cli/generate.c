/* adze generate and adze perplexity: use and measure a model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "cli/commands.h"
#include "cli/stages.h"
#include "run/engine.h"

struct prompt_options {
    const char *prompt;
    int64_t tokens;
    bool ignore_end;
};

static const struct option prompt_table[] = {
    {"prompt", 'p', OPTION_TEXT, offsetof(struct prompt_options, prompt), NULL, 0, 0, NULL, "TEXT",
     "text to continue; default: standard input"},
    {"tokens", 'n', OPTION_INT, offsetof(struct prompt_options, tokens), "128", 1, 1e9, NULL, NULL,
     "most tokens to generate"},
    {"ignore-end", 0, OPTION_FLAG, offsetof(struct prompt_options, ignore_end), NULL, 0, 0, NULL,
     NULL, "go on behind the end-of-text token"},
    {.name = NULL},
};

static const struct option sampling_table[] = {
    {"temperature", 0, OPTION_REAL, offsetof(struct sampling_options, temperature), "0.8", 0, 100,
     NULL, NULL, "0: always the likeliest token"},
    {"top-k", 0, OPTION_INT, offsetof(struct sampling_options, top_k), "40", 0, 1e9, NULL, NULL,
     "draw from that many likeliest tokens; 0: all"},
    {"top-p", 0, OPTION_REAL, offsetof(struct sampling_options, top_p), "0.95", 0, 1, NULL, NULL,
     "draw from the likeliest tokens of that total probability"},
    {"min-p", 0, OPTION_REAL, offsetof(struct sampling_options, min_p), "0.05", 0, 1, NULL, NULL,
     "least probability, as a part of the likeliest token's"},
    {"repetition-penalty", 0, OPTION_REAL, offsetof(struct sampling_options, repetition_penalty),
     "1", 0.01, 100, NULL, NULL, "above 1: tokens of late are less likely"},
    {"repetition-window", 0, OPTION_INT, offsetof(struct sampling_options, repetition_window), "64",
     0, 1e6, NULL, "TOKENS", "tokens that count as of late"},
    {.name = NULL},
};

/* What is being made: printed as it comes, and kept for the result. */
struct made {
    bool print;
    struct tok_ids ids;
    struct buffer text;
    struct engine_result result;
};

static void show(struct made *made, const char *text, size_t length)
{
    buffer_add(&made->text, text, length);
    if (!made->print || length == 0)
        return;
    fwrite(text, 1, length, stdout);
    fflush(stdout);
}

static bool on_token(void *context, const struct engine_token *token)
{
    struct made *made = context;
    struct error ignored; /* seen by the caller: the list is short */
    show(made, token->text, token->length);
    return tok_ids_add(&made->ids, &token->token, 1, &ignored) == STATUS_OK && !cli_stop;
}

static void on_end(void *context, const struct engine_result *result)
{
    show(context, result->text, result->length);
}

static enum status read_prompt(const struct prompt_options *o, struct buffer *prompt,
                               struct error *error)
{
    char part[65536];
    size_t count;
    if (o->prompt)
        buffer_add_text(prompt, o->prompt);
    else
        while ((count = fread(part, 1, sizeof part, stdin)) > 0)
            buffer_add(prompt, part, count);
    return buffer_check(prompt, error);
}

static enum status encode_prompt(const struct loaded *loaded, const struct buffer *prompt,
                                 struct tok_ids *ids, struct error *error)
{
    struct tok_scratch scratch = {0};
    const struct tokenizer *t = &loaded->model.tokenizer;
    enum status status = STATUS_OK;
    bool alone = prompt->length == 0 && t->before.count == 0;
    if (alone && t->eos >= 0) /* documents begin behind the end of another */
        status = tok_ids_add(ids, &t->eos, 1, error);
    if (status == STATUS_OK)
        status = tok_encode_model(t, &scratch, prompt->data ? prompt->data : "", prompt->length,
                                  true, true, ids, error);
    tok_scratch_free(&scratch);
    return status;
}

static void report(struct cli *cli, struct made *made, int64_t wanted)
{
    const struct engine_result *r = &made->result;
    json_t *list = json_array();
    for (int64_t i = 0; i < made->ids.count; i++)
        json_array_append_new(list, json_integer(made->ids.items[i]));
    double seconds = r->seconds - r->wait_seconds - r->prompt_seconds;
    double rate = seconds > 0 && r->made_tokens > 1 ? (double)(r->made_tokens - 1) / seconds : 0;
    const char *text = made->text.data ? made->text.data : "";
    json_object_set_new(cli->result, "text", json_text(text, made->text.length));
    json_object_set_new(cli->result, "token_ids", list);
    cli_result_text(cli, "finish_reason", r->end == ENGINE_STOPPED ? "stop" : "length");
    cli_result_int(cli, "prompt_tokens", r->prompt_tokens);
    cli_result_real(cli, "prompt_seconds", r->prompt_seconds);
    cli_result_real(cli, "tokens_per_second", rate);
    if (made->print)
        putchar('\n');
    cli_say(cli, "%lld tokens, %.1f a second", (long long)r->made_tokens, rate);
    if (r->end == ENGINE_LENGTH && r->made_tokens < wanted)
        cli_say(cli, "the context of %lld tokens is full",
                (long long)(r->prompt_tokens + r->made_tokens));
}

static enum status run_generate(struct cli *cli, struct error *error)
{
    const struct prompt_options *o = cli_values(cli, 1);
    struct made made = {.print = !cli->common->json && !cli->parent};
    struct engine_request request = {.sampling = *(struct sampling_options *)cli_values(cli, 2),
                                     .most_tokens = o->tokens,
                                     .ignore_end = o->ignore_end,
                                     .continues = true,
                                     .on_token = on_token,
                                     .on_end = on_end,
                                     .context = &made};
    struct loaded loaded;
    struct buffer prompt = {0};
    struct tok_ids ids = {0};
    enum status status = loaded_open(cli, cli_values(cli, 0), false, &loaded, error);
    if (status != STATUS_OK)
        return status;
    request.sampling.seed = (uint64_t)cli->common->seed;
    if (!loaded.model.has_tokenizer)
        status = error_set(error, STATUS_FAILED, "%s: the model comes without a tokenizer",
                           loaded.model.path);
    if (status == STATUS_OK)
        status = read_prompt(o, &prompt, error);
    if (status == STATUS_OK)
        status = encode_prompt(&loaded, &prompt, &ids, error);
    if (status == STATUS_OK && made.print && prompt.length > 0)
        fwrite(prompt.data, 1, prompt.length, stdout);
    request.prompt = ids.items;
    request.prompt_count = ids.count;
    if (status == STATUS_OK)
        status = engine_complete(&loaded.model, &loaded.compute, &request, &made.result, error);
    if (status == STATUS_OK)
        status = buffer_check(&made.text, error);
    if (status == STATUS_OK)
        report(cli, &made, o->tokens);
    tok_ids_free(&made.ids);
    buffer_free(&made.text);
    tok_ids_free(&ids);
    buffer_free(&prompt);
    loaded_close(&loaded);
    return status;
}

const struct command command_generate = {
    .name = "generate",
    .arguments = "",
    .summary = "Continue a text",
    .example = "adze generate -m model.gguf -p 'The kernel' -n 100",
    .tables = {{"Model", model_table, sizeof(struct model_options)},
               {"Generation", prompt_table, sizeof(struct prompt_options)},
               {"Sampling", sampling_table, sizeof(struct sampling_options)}},
    .run = run_generate,
};

struct perplexity_options {
    struct option_list data;
    const char *field, *reference;
    int64_t window, tokens;
    bool strict;
};

static const struct option perplexity_table[] = {
    {"data", 'd', OPTION_LIST, offsetof(struct perplexity_options, data), NULL, 0, 0, NULL, "PATH",
     "text to predict: files or folders"},
    {"context", 'c', OPTION_INT, offsetof(struct perplexity_options, window), "0", 0, 1 << 24, NULL,
     "TOKENS", "length of a window; 0: the model's context"},
    {"evaluate-tokens", 0, OPTION_INT, offsetof(struct perplexity_options, tokens), "0", 0, 1e15,
     NULL, "TOKENS", "evaluate that many tokens, spread evenly; 0: all"},
    {"field", 0, OPTION_TEXT, offsetof(struct perplexity_options, field), "text", 0, 0, NULL,
     "NAME", "field of JSON records that holds the text"},
    {"reference", 0, OPTION_PATH, offsetof(struct perplexity_options, reference), NULL, 0, 0, NULL,
     "MODEL", "measure the Kullback-Leibler divergence from this model's predictions, too"},
    {"strict", 0, OPTION_FLAG, offsetof(struct perplexity_options, strict), NULL, 0, 0, NULL, NULL,
     "stop at the first bad record"},
    {.name = NULL},
};

static void show_perplexity(struct cli *cli)
{
    const json_t *r = cli->result;
    if (!cli->common->json)
        printf("loss %.4f nats per token, perplexity %.3f, %.4f bits per byte (%lld tokens, %lld "
               "bytes)\n",
               json_number_value(json_object_get(r, "loss")),
               json_number_value(json_object_get(r, "perplexity")),
               json_number_value(json_object_get(r, "bits_per_byte")),
               (long long)json_integer_value(json_object_get(r, "evaluated_tokens")),
               (long long)json_integer_value(json_object_get(r, "evaluated_bytes")));
    if (!cli->common->json && json_object_get(r, "mean_divergence"))
        printf(
            "divergence from the reference: mean %.5f nats, median %.5f, 90 %% %.5f, 99 %% %.5f, "
            "largest %.4f; the same likeliest token in %.2f %%; the reference's loss %.4f\n",
            json_number_value(json_object_get(r, "mean_divergence")),
            json_number_value(json_object_get(r, "median_divergence")),
            json_number_value(json_object_get(r, "divergence_90")),
            json_number_value(json_object_get(r, "divergence_99")),
            json_number_value(json_object_get(r, "largest_divergence")),
            100 * json_number_value(json_object_get(r, "top_agreement")),
            json_number_value(json_object_get(r, "reference_loss")));
}

static void record_divergence(struct cli *cli, const struct divergence *d)
{
    cli_result_real(cli, "mean_divergence", d->mean);
    cli_result_real(cli, "median_divergence", d->median);
    cli_result_real(cli, "divergence_90", d->p90);
    cli_result_real(cli, "divergence_99", d->p99);
    cli_result_real(cli, "largest_divergence", d->largest);
    cli_result_real(cli, "top_agreement", d->agreement);
    cli_result_real(cli, "reference_loss", d->loss_a);
    cli_metric(cli, "mean divergence", -1, d->mean);
}

static enum status run_perplexity(struct cli *cli, struct error *error)
{
    const struct perplexity_options *o = cli_values(cli, 1);
    struct loaded loaded;
    if (o->data.count == 0)
        return error_set(error, STATUS_USAGE, "perplexity: name the text with -d");
    enum status status = loaded_open(cli, cli_values(cli, 0), false, &loaded, error);
    if (status != STATUS_OK)
        return status;
    struct corpus_options corpus = {o->field, o->strict, &cli_stop};
    struct evaluation e;
    struct model reference = {0};
    struct divergence divergence;
    if (o->reference)
        status = model_load(o->reference, false, &reference, error);
    if (status == STATUS_OK)
        status = stage_evaluate(cli, &loaded, &o->data, &corpus, o->window, o->tokens,
                                o->reference ? &reference : NULL, &e, &divergence, error);
    if (status == STATUS_OK)
        stage_record_evaluation(cli, &e);
    if (status == STATUS_OK && o->reference)
        record_divergence(cli, &divergence);
    model_free(&reference);
    loaded_close(&loaded);
    return status;
}

const struct command command_perplexity = {
    .name = "perplexity",
    .arguments = "",
    .summary = "Measure how well a model predicts text",
    .example = "adze perplexity -m model.gguf -d held-out.jsonl",
    .tables = {{"Model", model_table, sizeof(struct model_options)},
               {"Text", perplexity_table, sizeof(struct perplexity_options)}},
    .records = true,
    .run = run_perplexity,
    .show = show_perplexity,
};
