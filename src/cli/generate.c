/* adze generate and adze perplexity: use and measure a model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "cli/commands.h"
#include "cli/generate.h"
#include "cli/talk.h"

static const struct option generate_table[] = {
    {"prompt", 'p', OPTION_TEXT, offsetof(struct generate_options, prompt), NULL, 0, 0, NULL,
     "TEXT", "text to continue; default: standard input"},
    {"data", 'd', OPTION_PATH, offsetof(struct generate_options, data), NULL, 0, 0, NULL, "FILE",
     "prompts as lines of JSON: {\"prompt\": ...} or {\"messages\": ...}; -: standard input"},
    {"output", 'o', OPTION_PATH, offsetof(struct generate_options, output), NULL, 0, 0, NULL,
     "FILE", "with -d: completions as lines of JSON; default: standard output"},
    {"tokens", 'n', OPTION_INT, offsetof(struct generate_options, tokens), "128", 1, 1e9, NULL,
     NULL, "most tokens to generate"},
    {"n", 0, OPTION_INT, offsetof(struct generate_options, n), "1", 1, 128, NULL, NULL,
     "completions of each prompt"},
    {"stop", 0, OPTION_LIST, offsetof(struct generate_options, stops), NULL, 0, 0, NULL, "TEXT",
     "text that ends a completion and is no part of it; may be given several times"},
    {"logprobs", 0, OPTION_INT, offsetof(struct generate_options, likely), "-1", -1,
     ENGINE_LIKELY_MOST, NULL, NULL,
     "with --json or -d: log-probabilities, also of that many likeliest tokens; -1: none"},
    {"ignore-end", 0, OPTION_FLAG, offsetof(struct generate_options, ignore_end), NULL, 0, 0, NULL,
     NULL, "go on behind the end-of-text token"},
    {"slots", 0, OPTION_INT, offsetof(struct generate_options, slots), "16", 1, 4096, NULL, NULL,
     "with -d: sequences that are generated at once"},
    {"unordered", 0, OPTION_FLAG, offsetof(struct generate_options, unordered), NULL, 0, 0, NULL,
     NULL, "with -d: write completions as they finish"},
    {"strict", 0, OPTION_FLAG, offsetof(struct generate_options, strict), NULL, 0, 0, NULL, NULL,
     "with -d: stop at the first bad line"},
    {.name = NULL},
};

/* A number of the preprocessor's as text. */
#define SAID(number) WRITTEN(number)
#define WRITTEN(number) #number

const struct option sampling_table[] = {
    {"temperature", 0, OPTION_REAL, offsetof(struct sampling_options, temperature),
     SAID(SAMPLING_TEMPERATURE), 0, 100, NULL, NULL, "0: always the likeliest token"},
    {"top-k", 0, OPTION_INT, offsetof(struct sampling_options, top_k), SAID(SAMPLING_TOP_K), 0, 1e9,
     NULL, NULL, "draw from that many likeliest tokens; 0: all"},
    {"top-p", 0, OPTION_REAL, offsetof(struct sampling_options, top_p), SAID(SAMPLING_TOP_P), 0, 1,
     NULL, NULL, "draw from the likeliest tokens of that total probability"},
    {"min-p", 0, OPTION_REAL, offsetof(struct sampling_options, min_p), SAID(SAMPLING_MIN_P), 0, 1,
     NULL, NULL, "least probability, as a part of the likeliest token's"},
    {"typical-p", 0, OPTION_REAL, offsetof(struct sampling_options, typical_p), "1", 0, 1, NULL,
     NULL, "draw from the most typical tokens of that total probability"},
    {"repetition-penalty", 0, OPTION_REAL, offsetof(struct sampling_options, repetition_penalty),
     "1", 0.01, 100, NULL, NULL, "above 1: tokens of late are less likely"},
    {"repetition-window", 0, OPTION_INT, offsetof(struct sampling_options, repetition_window),
     SAID(SAMPLING_WINDOW), 0, 1 << 20, NULL, "TOKENS", "tokens that count as of late"},
    {"presence-penalty", 0, OPTION_REAL, offsetof(struct sampling_options, presence_penalty), "0",
     -2, 2, NULL, NULL, "taken from the logits of tokens made before"},
    {"frequency-penalty", 0, OPTION_REAL, offsetof(struct sampling_options, frequency_penalty), "0",
     -2, 2, NULL, NULL, "the same, for each time they were made"},
    {"mirostat", 0, OPTION_INT, offsetof(struct sampling_options, mirostat), "0", 0, 2, NULL, NULL,
     "1 or 2: hold the surprise of tokens instead of cutting; 0: off"},
    {"mirostat-tau", 0, OPTION_REAL, offsetof(struct sampling_options, mirostat_surprise),
     SAID(SAMPLING_SURPRISE), 0, 100, NULL, "BITS", "surprise to hold"},
    {"mirostat-eta", 0, OPTION_REAL, offsetof(struct sampling_options, mirostat_rate),
     SAID(SAMPLING_RATE), 0, 1, NULL, NULL, "rate of learning how"},
    {.name = NULL},
};

struct bias_options {
    struct option_list biases;
};

static const struct option bias_table[] = {
    {"logit-bias", 0, OPTION_LIST, offsetof(struct bias_options, biases), NULL, 0, 0, NULL,
     "ID=BIAS", "added to the logit of a token; may be given several times"},
    {.name = NULL},
};

/* The options as the server's clients would write them. */

static enum status put_biases(const struct option_list *list, json_t *defaults, struct error *error)
{
    json_t *map = json_object();
    json_object_set_new(defaults, "logit_bias", map);
    for (int64_t i = 0; i < list->count; i++) {
        const char *equals = strchr(list->items[i], '=');
        double bias;
        char id[24];
        if (!equals || equals - list->items[i] >= (ptrdiff_t)sizeof id ||
            !option_parse_real(equals + 1, &bias))
            return error_set(error, STATUS_USAGE, "--logit-bias %s: write ID=BIAS, as in 17=-100",
                             list->items[i]);
        snprintf(id, sizeof id, "%.*s", (int)(equals - list->items[i]), list->items[i]);
        json_object_set_new(map, id, json_real(bias));
    }
    return STATUS_OK;
}

enum status generate_defaults(const struct generate_options *o, const struct sampling_options *s,
                              uint64_t seed, json_t **defaults, struct error *error)
{
    json_t *stops = json_array();
    for (int64_t i = 0; i < o->stops.count; i++)
        json_array_append_new(stops, json_name(o->stops.items[i]));
    /* Off and on have one value each here, where the options also take 0 for off. */
    double top_p = s->top_p > 0 ? s->top_p : 1;
    *defaults = json_pack("{s:I,s:I,s:o,s:b,s:f,s:I,s:f,s:f,s:f,s:f,s:I,s:f,s:f,s:I,s:f,s:f,s:I}",
                          "max_tokens", (json_int_t)o->tokens, "n", (json_int_t)o->n, "stop", stops,
                          "ignore_eos", o->ignore_end, "temperature", s->temperature, "top_k",
                          (json_int_t)s->top_k, "top_p", top_p, "min_p", s->min_p, "typical_p",
                          s->typical_p, "repetition_penalty", s->repetition_penalty,
                          "repetition_window", (json_int_t)s->repetition_window, "presence_penalty",
                          s->presence_penalty, "frequency_penalty", s->frequency_penalty,
                          "mirostat", (json_int_t)s->mirostat, "mirostat_tau", s->mirostat_surprise,
                          "mirostat_eta", s->mirostat_rate, "seed", (json_int_t)seed);
    if (!*defaults)
        return error_no_memory(error, 4096);
    if (o->likely >= 0)
        json_object_set_new(*defaults, "logprobs", json_integer(o->likely));
    return put_biases(&o->biases, *defaults, error);
}

/* Completions. */

static void show(struct completion *made, const char *text, size_t length)
{
    buffer_add(&made->text, text, length);
    if (!made->print || length == 0)
        return;
    fwrite(text, 1, length, stdout);
    fflush(stdout);
}

static json_t *token_json(const struct completion *made, int32_t id, float log_probability)
{
    struct buffer text = {0};
    bool started = true;
    tok_decode_next(made->tokenizer, &id, 1, true, &started, &text);
    json_t *object = json_pack("{s:i,s:o,s:f}", "id", (int)id, "token",
                               json_text(text.data ? text.data : "", text.length), "logprob",
                               (double)log_probability);
    buffer_free(&text);
    return object;
}

bool completion_token(void *context, const struct engine_token *token)
{
    struct completion *made = context;
    struct error ignored; /* seen by the caller: the list is short */
    if (token->of_prompt)
        return true;
    show(made, token->text, token->length);
    if (made->log_probabilities) {
        json_t *top = json_array();
        json_t *object = token_json(made, token->token, token->log_probability);
        for (int64_t i = 0; i < token->likely_count; i++)
            json_array_append_new(
                top, token_json(made, token->likely[i].token, token->likely[i].log_probability));
        if (token->likely_count > 0)
            json_object_set(object, "top", top);
        json_decref(top);
        if (!made->logprobs)
            made->logprobs = json_array();
        json_array_append_new(made->logprobs, object);
    }
    return tok_ids_add(&made->ids, &token->token, 1, &ignored) == STATUS_OK && !cli_stop;
}

void completion_end(void *context, const struct engine_result *result)
{
    struct completion *made = context;
    show(made, result->text, result->length);
    made->result = *result;
    made->result.text = "";
    made->result.length = 0;
    made->ended = true;
    if (result->end == ENGINE_FAILED)
        snprintf(made->problem, sizeof made->problem, "%s", result->message);
}

void completion_json(const struct completion *made, json_t *object)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < made->ids.count; i++)
        json_array_append_new(list, json_integer(made->ids.items[i]));
    json_object_set_new(object, "text",
                        json_text(made->text.data ? made->text.data : "", made->text.length));
    json_object_set_new(object, "token_ids", list);
    json_object_set_new(object, "finish_reason",
                        json_string(made->result.end == ENGINE_STOPPED ? "stop" : "length"));
    json_object_set_new(object, "prompt_tokens", json_integer(made->result.prompt_tokens));
    if (made->logprobs)
        json_object_set(object, "logprobs", made->logprobs);
}

void completion_free(struct completion *made)
{
    tok_ids_free(&made->ids);
    buffer_free(&made->text);
    json_decref(made->logprobs);
}

/* One prompt. */

static enum status read_prompt(const struct generate_options *o, struct buffer *prompt,
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

static void report(struct cli *cli, struct completion *made, int64_t wanted, int64_t context)
{
    const struct engine_result *r = &made->result;
    double rate = talk_rate(r);
    completion_json(made, cli->result);
    cli_result_real(cli, "prompt_seconds", r->prompt_seconds);
    cli_result_real(cli, "tokens_per_second", rate);
    if (made->print)
        putchar('\n');
    cli_say(cli, "%lld tokens, %.1f a second", (long long)r->made_tokens, rate);
    if (r->end == ENGINE_LENGTH && r->made_tokens < wanted)
        cli_say(cli, "the context of %lld tokens is full", (long long)context);
}

/* The prompt as a user's message. */
static enum status encode_message(struct loaded *loaded, const struct talk_options *o,
                                  const struct buffer *prompt, struct tok_ids *ids,
                                  struct error *error)
{
    struct conversation talk;
    struct chat_options chat = {.add_generation_prompt = true};
    json_t *extra, *messages = json_array();
    enum status status = talk_open(&loaded->model, o, &talk, &extra, error);
    if (o->system)
        json_array_append_new(messages,
                              conversation_message("system", o->system, strlen(o->system)));
    json_array_append_new(
        messages, conversation_message("user", prompt->data ? prompt->data : "", prompt->length));
    if (status == STATUS_OK && !messages)
        status = error_no_memory(error, 64);
    if (status == STATUS_OK) {
        conversation_options(&talk, &chat);
        chat.extra = extra;
        status = conversation_encode(&talk, messages, &chat, ids, NULL, error);
    }
    json_decref(messages);
    json_decref(extra);
    conversation_free(&talk);
    return status;
}

/* Several completions of a prompt: one after another, each with its seed. */
static enum status make_completions(struct cli *cli, struct loaded *loaded,
                                    const struct serve_request *q, const struct buffer *prompt,
                                    const struct tok_ids *ids, struct error *error)
{
    bool chat = ((const struct talk_options *)cli_values(cli, 4))->chat;
    json_t *choices = json_array();
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < q->n && status == STATUS_OK; i++) {
        struct completion made = {.tokenizer = &loaded->model.tokenizer,
                                  .print = !cli->common->json && !cli->parent,
                                  .log_probabilities = q->log_probabilities};
        struct engine_request request =
            serve_request_engine(q, ids, i, loaded->model.decoder.config.context);
        request.on_token = completion_token;
        request.on_end = completion_end;
        request.context = &made;
        request.continues = !chat;
        if (made.print && prompt->length > 0 && !chat)
            fwrite(prompt->data, 1, prompt->length, stdout);
        status = engine_complete(&loaded->model, &loaded->compute, &request, &made.result, error);
        if (status == STATUS_OK)
            status = buffer_check(&made.text, error);
        if (status == STATUS_OK && q->n > 1) {
            json_t *object = json_object();
            completion_json(&made, object);
            json_array_append_new(choices, object);
        }
        if (status == STATUS_OK)
            report(cli, &made, q->most_tokens, loaded->model.decoder.config.context);
        completion_free(&made);
    }
    if (status == STATUS_OK && q->n > 1)
        json_object_set(cli->result, "choices", choices);
    json_decref(choices);
    return status;
}

static enum status generate_one(struct cli *cli, struct loaded *loaded,
                                const struct generate_options *o, json_t *defaults,
                                struct error *error)
{
    struct buffer prompt = {0};
    struct tok_ids ids = {0};
    struct serve_request q = {0};
    struct serve_refusal refusal = {0};
    const struct serve_terms terms = {loaded->model.decoder.config.vocabulary, sampling_usual};
    json_object_set_new(defaults, "prompt", json_string("")); /* its bytes need not be UTF-8 */
    enum status status = read_prompt(o, &prompt, error);
    if (status == STATUS_OK &&
        !serve_request_take(SERVE_COMPLETION, defaults, &terms, &q, &refusal))
        status = error_set(error, STATUS_USAGE, "generate: %s", refusal.message);
    struct serve_prompt text = {.text = prompt.data ? prompt.data : "", .length = prompt.length};
    const struct talk_options *talk = cli_values(cli, 4);
    if (status == STATUS_OK && talk->chat)
        status = encode_message(loaded, talk, &prompt, &ids, error);
    else if (status == STATUS_OK)
        status = serve_encode(&loaded->model, &text, AROUND_OPEN, &ids, error);
    if (status == STATUS_OK)
        status = make_completions(cli, loaded, &q, &prompt, &ids, error);
    serve_request_free(&q);
    tok_ids_free(&ids);
    buffer_free(&prompt);
    return status;
}

static enum status run_generate(struct cli *cli, struct error *error)
{
    struct generate_options *o = cli_values(cli, 1);
    const struct talk_options *talk = cli_values(cli, 4);
    struct sampling_options sampling = *(struct sampling_options *)cli_values(cli, 2);
    struct loaded loaded;
    json_t *defaults = NULL;
    if (o->data && o->prompt)
        return error_set(error, STATUS_USAGE, "generate: -p or -d, not both");
    if (o->output && !o->data)
        return error_set(error, STATUS_USAGE, "generate: -o needs prompts from a file, with -d");
    if (o->data && talk->chat)
        return error_set(error, STATUS_USAGE,
                         "generate: with -d a line with messages is a chat, without --chat");
    o->biases = ((const struct bias_options *)cli_values(cli, 3))->biases;
    enum status status = loaded_open(cli, cli_values(cli, 0), false, &loaded, error);
    if (status != STATUS_OK)
        return status;
    if (!loaded.model.has_tokenizer)
        status = error_set(error, STATUS_FAILED, "%s: the model comes without a tokenizer",
                           loaded.model.path);
    if (status == STATUS_OK) {
        sampling = talk_sampling(cli, &sampling, &loaded.model);
        status = generate_defaults(o, &sampling, (uint64_t)cli->common->seed, &defaults, error);
    }
    if (status == STATUS_OK && o->data)
        status = generate_batch(cli, &loaded, o, defaults, error);
    else if (status == STATUS_OK)
        status = generate_one(cli, &loaded, o, defaults, error);
    json_decref(defaults);
    loaded_close(&loaded);
    return status;
}

const struct command command_generate = {
    .name = "generate",
    .arguments = "",
    .summary = "Continue a text, or thousands of them",
    .detail = "Sampling that is not given is as the model suggests it.",
    .example = "adze generate -m model.gguf -p 'The kernel' -n 100",
    .tables = {{"Model", model_table, sizeof(struct model_options)},
               {"Generation", generate_table, sizeof(struct generate_options)},
               {"Sampling", sampling_table, sizeof(struct sampling_options)},
               {NULL, bias_table, sizeof(struct bias_options)},
               {"Chat", talk_table, sizeof(struct talk_options)}},
    .run = run_generate,
};

struct perplexity_options {
    struct option_list data;
    const char *field, *reference;
    int64_t window, tokens;
    bool strict, second_half;
};

static const struct option perplexity_table[] = {
    {"data", 'd', OPTION_LIST, offsetof(struct perplexity_options, data), NULL, 0, 0, NULL, "PATH",
     "text to predict: files or folders"},
    {"context", 'c', OPTION_INT, offsetof(struct perplexity_options, window), "0", 0, 1 << 24, NULL,
     "TOKENS", "length of a window; 0: the model's context"},
    {"evaluate-tokens", 0, OPTION_INT, offsetof(struct perplexity_options, tokens), "0", 0, 1e15,
     NULL, "TOKENS", "evaluate that many tokens, spread evenly; 0: all"},
    {"second-half", 0, OPTION_FLAG, offsetof(struct perplexity_options, second_half), NULL, 0, 0,
     NULL, NULL,
     "count tokens that have at least half a window before them, as llama.cpp does; only whole "
     "windows, of which each begins as a text"},
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
    struct mixture_reading reading = {
        .window = o->window, .most_tokens = o->tokens, .second_half = o->second_half};
    struct evaluation e;
    struct model reference = {0};
    struct divergence divergence;
    if (o->reference)
        status = model_load(o->reference, false, &reference, error);
    if (status == STATUS_OK)
        status = stage_evaluate(cli, &loaded, &o->data, &corpus, reading,
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
