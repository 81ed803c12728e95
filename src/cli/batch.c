/* adze generate with a file of prompts: thousands of them through one engine. A line is the body of
 * a request as the server takes it; what it leaves out is said by the options. Lines are read as
 * there is room, so memory does not grow with the file; those that are done wait for the ones
 * before them, unless order does not matter. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json_text.h"
#include "cli/generate.h"
#include "data/stream.h"
#include "run/suggestion.h"

#define LINE_MOST ((size_t)64 << 20)
#define LINES_WAITING 1024 /* done, for the lines before them */
#define SEEDS_APART 65536  /* between lines: choices of one line count up from its seed */

struct line {
    struct line *next;
    int64_t index;
    json_t *id; /* the line's own, or NULL */
    struct serve_request request;
    struct tok_ids prompt;
    struct completion *completions;
    char problem[1024];
};

struct batch {
    struct cli *cli;
    struct loaded *loaded;
    const struct generate_options *options;
    json_t *defaults;
    struct engine *engine;
    struct stream *stream;
    FILE *out;
    struct line *first, **last;
    int64_t read, open, done, failed;
    char first_problem[1100];
};

static void free_line(struct line *line)
{
    for (int64_t i = 0; line->completions && i < line->request.n; i++)
        completion_free(&line->completions[i]);
    free(line->completions);
    serve_request_free(&line->request);
    tok_ids_free(&line->prompt);
    json_decref(line->id);
    free(line);
}

static bool is_done(const struct line *line)
{
    for (int64_t i = 0; line->completions && i < line->request.n; i++)
        if (!line->completions[i].ended)
            return false;
    return true;
}

/* Reading. */

/* The line's fields over the options'. */
static json_t *merge(const struct batch *b, struct line *line, const char *text, size_t length)
{
    json_error_t fault;
    json_t *own = json_loadb(text, length, JSON_ALLOW_NUL, &fault), *body;
    if (!json_is_object(own)) {
        snprintf(line->problem, sizeof line->problem, "no JSON object: %s",
                 own ? "another value" : fault.text);
        json_decref(own);
        return NULL;
    }
    body = json_copy(b->defaults);
    json_int_t seed = json_integer_value(json_object_get(body, "seed"));
    json_object_set_new(body, "seed", json_integer(seed + line->index * SEEDS_APART));
    json_object_update(body, own);
    line->id = json_incref(json_object_get(own, "id"));
    json_decref(own);
    if (json_object_get(body, "messages") && !json_object_get(body, "prompt")) {
        json_t *count = json_object_get(body, "logprobs"); /* a chat has two fields for it */
        if (json_is_integer(count)) {
            json_object_set(body, "top_logprobs", count);
            json_object_set_new(body, "logprobs", json_true());
        }
    }
    return body;
}

static bool read_request(struct batch *b, struct line *line, const char *text, size_t length)
{
    const struct model *model = &b->loaded->model;
    struct serve_refusal refusal = {0};
    struct error error = {0};
    json_t *body = merge(b, line, text, length);
    if (!body)
        return false;
    bool chat = !json_object_get(body, "prompt") && json_object_get(body, "messages");
    const struct serve_terms terms = {model->decoder.config.vocabulary, sampling_usual};
    bool fine = serve_request_take(chat ? SERVE_CHAT : SERVE_COMPLETION, body, &terms,
                                   &line->request, &refusal);
    json_decref(body);
    enum status status = STATUS_OK;
    if (fine && line->request.prompt_count != 1)
        status = error_set(&error, STATUS_FAILED, "a line has one prompt");
    if (fine && status == STATUS_OK)
        status = serve_encode_request(model, &line->request, 0, &line->prompt, &error);
    if (!fine || status != STATUS_OK)
        snprintf(line->problem, sizeof line->problem, "%s", fine ? error.message : refusal.message);
    return fine && status == STATUS_OK;
}

static enum status submit(struct batch *b, struct line *line, struct error *error)
{
    int64_t n = line->request.n;
    line->completions = calloc((size_t)n, sizeof *line->completions);
    if (!line->completions)
        return error_no_memory(error, (size_t)n * sizeof *line->completions);
    for (int64_t i = 0; i < n; i++) {
        struct completion *completion = &line->completions[i];
        struct engine_request request =
            serve_request_engine(&line->request, &line->prompt, i, engine_context(b->engine));
        completion->tokenizer = &b->loaded->model.tokenizer;
        completion->log_probabilities = line->request.log_probabilities;
        request.on_token = completion_token;
        request.on_end = completion_end;
        request.context = completion;
        struct error refused;
        if (engine_submit(b->engine, &request, NULL, &refused) == STATUS_OK)
            continue;
        completion->ended = true;
        snprintf(line->problem, sizeof line->problem, "%s", refused.message);
    }
    return STATUS_OK;
}

/* The next line that is not empty; *ended when there is none. */
static enum status read_line(struct batch *b, bool *ended, struct error *error)
{
    struct buffer text = {0};
    size_t length = 0;
    enum status status;
    do {
        buffer_clear(&text);
        status = stream_line(b->stream, LINE_MOST, &text, &length, ended, error);
    } while (status == STATUS_OK && !*ended && length == 0);
    struct line *line = status == STATUS_OK && !*ended ? calloc(1, sizeof *line) : NULL;
    if (line) {
        line->index = b->read++;
        *b->last = line;
        b->last = &line->next;
        b->open++;
        if (length == SIZE_MAX)
            snprintf(line->problem, sizeof line->problem, "longer than %zu bytes", LINE_MOST);
        else if (read_request(b, line, text.data, length))
            status = submit(b, line, error);
    } else if (status == STATUS_OK && !*ended) {
        status = error_no_memory(error, sizeof *line);
    }
    buffer_free(&text);
    return status;
}

/* Writing. */

static enum status write_object(struct batch *b, const struct line *line, json_t *object,
                                struct error *error)
{
    json_object_set_new(object, "index", json_integer(line->index));
    if (line->id)
        json_object_set(object, "id", line->id);
    int failed = json_dumpf(object, b->out, JSON_COMPACT | JSON_REAL_PRECISION(9));
    failed |= fputc('\n', b->out) == EOF;
    json_decref(object);
    return failed ? error_set(error, STATUS_FAILED, "a completion cannot be written") : STATUS_OK;
}

static enum status write_problem(struct batch *b, const struct line *line, struct error *error)
{
    b->failed++;
    if (!*b->first_problem)
        snprintf(b->first_problem, sizeof b->first_problem, "line %lld: %s",
                 (long long)line->index + 1, line->problem);
    if (b->options->strict)
        return error_set(error, STATUS_FAILED, "%s: %.900s", b->options->data, b->first_problem);
    return write_object(
        b, line, json_pack("{s:o}", "error", json_text(line->problem, strlen(line->problem))),
        error);
}

static enum status write_line(struct batch *b, struct line *line, struct error *error)
{
    enum status status = STATUS_OK;
    for (int64_t i = 0; line->completions && i < line->request.n && !*line->problem; i++)
        if (*line->completions[i].problem)
            snprintf(line->problem, sizeof line->problem, "%s", line->completions[i].problem);
    if (*line->problem)
        return write_problem(b, line, error);
    for (int64_t i = 0; i < line->request.n && status == STATUS_OK; i++) {
        json_t *object = json_object();
        completion_json(&line->completions[i], object);
        if (line->request.n > 1)
            json_object_set_new(object, "choice", json_integer(i));
        status = write_object(b, line, object, error);
    }
    return status;
}

/* Writes what is done: in order the lines up to the first that is not, else all that are. */
static enum status write_done(struct batch *b, struct error *error)
{
    enum status status = STATUS_OK;
    for (struct line **link = &b->first; *link && status == STATUS_OK;) {
        struct line *line = *link;
        if (!is_done(line)) {
            if (!b->options->unordered)
                break;
            link = &line->next;
            continue;
        }
        status = write_line(b, line, error);
        *link = line->next;
        if (b->last == &line->next)
            b->last = link;
        free_line(line);
        b->open--;
        b->done++;
    }
    return status;
}

static enum status run_batch(struct batch *b, struct error *error)
{
    bool ended = false;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && (!ended || b->first)) {
        while (status == STATUS_OK && !ended && b->open < LINES_WAITING) {
            struct engine_counts counts = engine_count(b->engine);
            if (counts.waiting >= b->options->slots)
                break;
            status = read_line(b, &ended, error);
        }
        engine_step(b->engine);
        if (status == STATUS_OK)
            status = write_done(b, error);
        if (status == STATUS_OK && cli_stop)
            status = error_set(error, STATUS_INTERRUPTED, "stopped after %lld lines",
                               (long long)b->done);
        char text[64];
        snprintf(text, sizeof text, "%lld lines", (long long)b->done);
        cli_progress(b->cli, text, 0);
    }
    return status;
}

static void report(struct batch *b)
{
    struct engine_counts counts = engine_count(b->engine);
    cli_result_int(b->cli, "lines", b->read);
    cli_result_int(b->cli, "failed_lines", b->failed);
    cli_result_int(b->cli, "prompt_tokens", counts.prompt_tokens);
    cli_result_int(b->cli, "shared_tokens", counts.shared_tokens);
    cli_result_int(b->cli, "made_tokens", counts.made_tokens);
    cli_progress_end(b->cli);
    cli_say(b->cli, "%lld lines, %lld tokens made", (long long)b->read,
            (long long)counts.made_tokens);
    if (b->failed > 0 && b->failed < b->read)
        cli_warn(b->cli, "generate: %lld lines failed; first: %s: %s", (long long)b->failed,
                 b->options->data, b->first_problem);
}

enum status generate_batch(struct cli *cli, struct loaded *loaded,
                           const struct generate_options *options, json_t *defaults,
                           struct error *error)
{
    struct batch b = {.cli = cli,
                      .loaded = loaded,
                      .options = options,
                      .defaults = defaults,
                      .out = stdout,
                      .last = &b.first};
    struct engine_options engine = {.slots = options->slots, .share_prefixes = true};
    struct file_writer writer = {0};
    enum status status = stream_open(options->data, &b.stream, error);
    if (status == STATUS_OK)
        status = engine_create(&loaded->model, &loaded->compute, &engine, &b.engine, error);
    if (status == STATUS_OK && options->output)
        status = cli_check_output(cli, options->output, error);
    if (status == STATUS_OK && options->output)
        status = file_writer_open(&writer, options->output, error);
    if (status == STATUS_OK && options->output)
        b.out = writer.stream;
    if (status == STATUS_OK)
        status = run_batch(&b, error);
    if (status == STATUS_OK)
        report(&b);
    if (status == STATUS_OK && options->output)
        status = file_writer_commit(&writer, error);
    if (options->output)
        file_writer_abort(&writer);
    if (status == STATUS_OK && !options->output)
        cli->common->json = false; /* standard output has the completions */
    if (status == STATUS_OK && b.failed > 0 && b.failed == b.read)
        status =
            error_set(error, STATUS_FAILED, "generate: all %lld lines failed; first: %s: %.900s",
                      (long long)b.failed, options->data, b.first_problem);
    engine_free(b.engine);
    while (b.first) {
        struct line *line = b.first;
        b.first = line->next;
        free_line(line);
    }
    stream_close(b.stream);
    return status;
}
