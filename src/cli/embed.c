/* adze embed: texts as vectors, a line of JSON for each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json_text.h"
#include "cli/commands.h"
#include "cli/stages.h"
#include "data/stream.h"
#include "run/embedding.h"
#include "serve/prompt.h"

#define LINE_MOST ((size_t)64 << 20)

struct embed_options {
    const char *prompt, *data, *output, *field;
    bool strict;
};

static const struct option embed_table[] = {
    {"prompt", 'p', OPTION_TEXT, offsetof(struct embed_options, prompt), NULL, 0, 0, NULL, "TEXT",
     "text to embed"},
    {"data", 'd', OPTION_PATH, offsetof(struct embed_options, data), "-", 0, 0, NULL, "FILE",
     "texts, one a line, or lines of JSON; -: standard input"},
    {"output", 'o', OPTION_PATH, offsetof(struct embed_options, output), NULL, 0, 0, NULL, "FILE",
     "embeddings as lines of JSON; default: standard output"},
    {"field", 0, OPTION_TEXT, offsetof(struct embed_options, field), "text", 0, 0, NULL, "NAME",
     "field of JSON lines that holds the text"},
    {"strict", 0, OPTION_FLAG, offsetof(struct embed_options, strict), NULL, 0, 0, NULL, NULL,
     "stop at the first bad line"},
    {.name = NULL},
};

struct embedder {
    struct cli *cli;
    struct loaded *loaded;
    const struct embed_options *options;
    FILE *out;
    float *values;
    int64_t done, failed;
    char first_problem[640];
};

static enum status write_vector(struct embedder *e, json_t *object, struct error *error)
{
    int64_t width = decoder_embedding_width(&e->loaded->model.decoder.config);
    json_t *vector = json_array();
    for (int64_t i = 0; i < width; i++)
        json_array_append_new(vector, json_real((double)e->values[i]));
    json_object_set_new(object, "embedding", vector);
    int failed = json_dumpf(object, e->out, JSON_COMPACT | JSON_REAL_PRECISION(9));
    failed |= fputc('\n', e->out) == EOF;
    return failed ? error_set(error, STATUS_FAILED, "an embedding cannot be written") : STATUS_OK;
}

/* Embeds a text; `id` may be NULL. */
static enum status embed(struct embedder *e, const char *text, size_t length, json_t *id,
                         struct error *error)
{
    const struct model *model = &e->loaded->model;
    struct serve_prompt prompt = {.text = text, .length = length};
    struct tok_ids ids = {0};
    enum status status = serve_encode(model, &prompt, AROUND_WHOLE, &ids, error);
    if (status == STATUS_OK)
        status = embed_tokens(&e->loaded->model.decoder, &e->loaded->tape, ids.items, ids.count,
                              e->values, error);
    json_t *object = json_pack("{s:I,s:I}", "index", (json_int_t)(e->done + e->failed), "tokens",
                               (json_int_t)ids.count);
    if (id)
        json_object_set(object, "id", id);
    if (status == STATUS_OK)
        status = write_vector(e, object, error);
    e->done += status == STATUS_OK;
    json_decref(object);
    tok_ids_free(&ids);
    return status;
}

/* A line is an object with the field, or the text itself. */
static enum status embed_line(struct embedder *e, const struct buffer *line, struct error *error)
{
    const char *field = e->options->field;
    if (line->data[0] != '{')
        return embed(e, line->data, line->length, NULL, error);
    json_error_t fault;
    json_t *object = json_loadb(line->data, line->length, JSON_ALLOW_NUL, &fault);
    const json_t *text = json_object_get(object, field);
    enum status status;
    if (json_is_string(text))
        status = embed(e, json_string_value(text), json_string_length(text),
                       json_object_get(object, "id"), error);
    else
        status =
            error_set(error, STATUS_FAILED, object ? "without the %s field" : "bad JSON", field);
    json_decref(object);
    return status;
}

static enum status note_problem(struct embedder *e, struct error *error)
{
    if (!*e->first_problem)
        snprintf(e->first_problem, sizeof e->first_problem, "%s:%lld: %.500s", e->options->data,
                 (long long)(e->done + e->failed + 1), error->message);
    if (e->options->strict)
        return error_set(error, STATUS_FAILED, "%s", e->first_problem);
    json_t *object = json_pack("{s:I,s:o}", "index", (json_int_t)(e->done + e->failed), "error",
                               json_text(error->message, strlen(error->message)));
    e->failed++;
    json_dumpf(object, e->out, JSON_COMPACT);
    fputc('\n', e->out);
    json_decref(object);
    return STATUS_OK;
}

static enum status embed_file(struct embedder *e, struct error *error)
{
    struct buffer line = {0};
    struct stream *stream;
    bool ended = false;
    size_t length;
    enum status status = stream_open(e->options->data, &stream, error);
    if (status != STATUS_OK)
        return status;
    while (status == STATUS_OK) {
        buffer_clear(&line);
        status = stream_line(stream, LINE_MOST, &line, &length, &ended, error);
        if (status != STATUS_OK || ended)
            break;
        if (length == 0)
            continue;
        status = length == SIZE_MAX
                     ? error_set(error, STATUS_FAILED, "longer than %zu bytes", LINE_MOST)
                     : embed_line(e, &line, error);
        if (status == STATUS_FAILED)
            status = note_problem(e, error);
        if (status == STATUS_OK && cli_stop)
            status = error_set(error, STATUS_INTERRUPTED, "stopped after %lld texts",
                               (long long)e->done);
    }
    stream_close(stream);
    buffer_free(&line);
    return status;
}

static enum status run_embedder(struct embedder *e, struct error *error)
{
    const struct embed_options *o = e->options;
    struct file_writer writer = {0};
    enum status status = o->output ? cli_check_output(e->cli, o->output, error) : STATUS_OK;
    if (status == STATUS_OK && o->output)
        status = file_writer_open(&writer, o->output, error);
    if (status == STATUS_OK && o->output)
        e->out = writer.stream;
    if (status == STATUS_OK)
        status =
            o->prompt ? embed(e, o->prompt, strlen(o->prompt), NULL, error) : embed_file(e, error);
    if (status == STATUS_OK && o->output)
        status = file_writer_commit(&writer, error);
    if (o->output)
        file_writer_abort(&writer);
    if (status == STATUS_OK && !o->output)
        e->cli->common->json = false; /* standard output has the embeddings */
    cli_result_int(e->cli, "texts", e->done);
    cli_result_int(e->cli, "failed_texts", e->failed);
    if (status == STATUS_OK && e->failed > 0 && e->done == 0)
        return error_set(error, STATUS_FAILED, "embed: all %lld lines failed; first: %s",
                         (long long)e->failed, e->first_problem);
    if (status == STATUS_OK && e->failed > 0)
        cli_warn(e->cli, "embed: %lld lines failed; first: %s", (long long)e->failed,
                 e->first_problem);
    return status;
}

static enum status run_embed(struct cli *cli, struct error *error)
{
    struct loaded loaded;
    struct embedder e = {
        .cli = cli, .loaded = &loaded, .options = cli_values(cli, 1), .out = stdout};
    enum status status = loaded_open(cli, cli_values(cli, 0), false, &loaded, error);
    if (status != STATUS_OK)
        return status;
    if (!loaded.model.has_tokenizer)
        status = error_set(error, STATUS_FAILED, "%s: the model comes without a tokenizer",
                           loaded.model.path);
    size_t bytes = (size_t)decoder_embedding_width(&loaded.model.decoder.config) * sizeof *e.values;
    if (status == STATUS_OK && !(e.values = malloc(bytes)))
        status = error_no_memory(error, bytes);
    if (status == STATUS_OK)
        status = run_embedder(&e, error);
    free(e.values);
    loaded_close(&loaded);
    return status;
}

const struct command command_embed = {
    .name = "embed",
    .arguments = "",
    .summary = "Turn texts into vectors: the mean of their last hidden states",
    .example = "adze embed -m model.gguf -p 'The kernel'",
    .tables = {{"Model", model_table, sizeof(struct model_options)},
               {"Texts", embed_table, sizeof(struct embed_options)}},
    .run = run_embed,
};
