/* adze tokenizer: train, encode, decode. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/stages.h"
#include "file/model.h"
#include "run/prepare.h"

struct tokenizer_options {
    struct option_list data;
    const char *output, *field, *tokenizer, *prompt;
    int64_t vocabulary;
    bool strict, model_tokens;
};

#define DATA_OPTION                                                                                \
    {                                                                                              \
        "data", 'd', OPTION_LIST, offsetof(struct tokenizer_options, data), NULL, 0, 0, NULL,      \
            "PATH", "text: files or folders"                                                       \
    }
#define FIELD_OPTION                                                                               \
    {                                                                                              \
        "field", 0, OPTION_TEXT, offsetof(struct tokenizer_options, field), "text", 0, 0, NULL,    \
            "NAME", "field of JSON records that holds the text"                                    \
    }
#define STRICT_OPTION                                                                              \
    {                                                                                              \
        "strict", 0, OPTION_FLAG, offsetof(struct tokenizer_options, strict), NULL, 0, 0, NULL,    \
            NULL, "stop at the first bad record"                                                   \
    }
#define TOKENIZER_OPTION                                                                           \
    {                                                                                              \
        "tokenizer", 'm', OPTION_PATH, offsetof(struct tokenizer_options, tokenizer), NULL, 0, 0,  \
            NULL, "PATH", "tokenizer.json, tokenizer.model, GGUF file or model folder"             \
    }

static const struct option train_table[] = {
    DATA_OPTION,
    {"vocabulary", 'n', OPTION_INT, offsetof(struct tokenizer_options, vocabulary), "8192", 257,
     1 << 24, NULL, "TOKENS", "ids in all, bytes and the end-of-text token included"},
    {"output", 'o', OPTION_PATH, offsetof(struct tokenizer_options, output), NULL, 0, 0, NULL,
     "FILE", "tokenizer.json, as Hugging Face's tokenizers reads it"},
    FIELD_OPTION,
    STRICT_OPTION,
    {.name = NULL},
};

static const struct option encode_table[] = {
    TOKENIZER_OPTION,
    {"prompt", 'p', OPTION_TEXT, offsetof(struct tokenizer_options, prompt), NULL, 0, 0, NULL,
     "TEXT", "print the ids of this text; default: of standard input"},
    {"model-tokens", 0, OPTION_FLAG, offsetof(struct tokenizer_options, model_tokens), NULL, 0, 0,
     NULL, NULL, "with the tokens that the model expects around a text"},
    DATA_OPTION,
    {"output", 'o', OPTION_PATH, offsetof(struct tokenizer_options, output), NULL, 0, 0, NULL,
     "FILE", "tokenize --data into this shard, which 'adze train -d' takes"},
    FIELD_OPTION,
    STRICT_OPTION,
    {.name = NULL},
};

static const struct option decode_table[] = {
    TOKENIZER_OPTION,
    {.name = NULL},
};

static struct prepare_job make_job(struct cli *cli, const struct tokenizer_options *o,
                                   struct thread_pool *threads)
{
    return (struct prepare_job){.paths = o->data.items,
                                .path_count = o->data.count,
                                .corpus = {o->field, o->strict, &cli_stop},
                                .threads = threads,
                                .progress = cli_stage_progress,
                                .context = cli};
}

static enum status run_train(struct cli *cli, struct error *error)
{
    const struct tokenizer_options *o = cli_values(cli, 0);
    struct thread_pool *threads;
    struct tokenizer tokenizer = {0};
    struct prepare_result result = {0};
    if (o->data.count == 0)
        return error_set(error, STATUS_USAGE, "tokenizer train: name the text with -d");
    enum status status = cli_check_output(cli, o->output, error);
    if (status == STATUS_OK)
        status = thread_pool_create((int)cli->common->threads, &threads, error);
    if (status != STATUS_OK)
        return status;
    struct prepare_job job = make_job(cli, o, threads);
    status = prepare_tokenizer(&job, (int32_t)o->vocabulary, &tokenizer, &result, error);
    stage_report_bad(cli, &result.counts);
    if (status == STATUS_OK)
        status = tok_save(&tokenizer, o->output, error);
    if (status == STATUS_OK) {
        cli_result_int(cli, "vocabulary", tokenizer.count);
        cli_result_int(cli, "bytes", result.counts.bytes);
        cli_say(cli, "%d tokens learned from %lld documents, %.1f MB", (int)tokenizer.count,
                (long long)result.counts.documents, (double)result.counts.bytes / 1e6);
        cli_output(cli, o->output);
    }
    tok_free(&tokenizer);
    thread_pool_free(threads);
    return status;
}

static enum status encode_shard(struct cli *cli, const struct tokenizer_options *o,
                                const struct tokenizer *tokenizer, struct error *error)
{
    struct thread_pool *threads;
    struct prepare_result result = {0};
    if (o->data.count == 0)
        return error_set(error, STATUS_USAGE, "tokenizer encode: name the text with -d");
    enum status status = cli_check_output(cli, o->output, error);
    if (status == STATUS_OK)
        status = thread_pool_create((int)cli->common->threads, &threads, error);
    if (status != STATUS_OK)
        return status;
    struct prepare_job job = make_job(cli, o, threads);
    status = prepare_shards(&job, tokenizer, o->output, NULL, 0, 0, &result, error);
    stage_report_bad(cli, &result.counts);
    thread_pool_free(threads);
    if (status != STATUS_OK)
        return status;
    cli_result_int(cli, "tokens", result.tokens);
    cli_result_int(cli, "documents", result.counts.documents);
    cli_result_int(cli, "bytes", result.counts.bytes);
    cli_say(cli, "%lld tokens from %lld documents (%.2f bytes a token)", (long long)result.tokens,
            (long long)result.counts.documents,
            (double)result.counts.bytes / (double)(result.tokens ? result.tokens : 1));
    cli_output(cli, o->output);
    return STATUS_OK;
}

static enum status read_stdin(struct buffer *text, struct error *error)
{
    char part[65536];
    size_t count;
    while ((count = fread(part, 1, sizeof part, stdin)) > 0)
        buffer_add(text, part, count);
    return buffer_check(text, error);
}

static enum status encode_text(struct cli *cli, const struct tokenizer_options *o,
                               const struct tokenizer *tokenizer, struct error *error)
{
    struct buffer text = {0};
    struct tok_scratch scratch = {0};
    struct tok_ids ids = {0};
    enum status status = STATUS_OK;
    if (o->prompt)
        buffer_add_text(&text, o->prompt);
    else
        status = read_stdin(&text, error);
    const char *bytes = text.data ? text.data : "";
    if (status == STATUS_OK && o->model_tokens)
        status =
            tok_encode_model(tokenizer, &scratch, bytes, text.length, true, false, &ids, error);
    else if (status == STATUS_OK)
        status = tok_encode(tokenizer, &scratch, bytes, text.length, true, &ids, error);
    json_t *list = json_array();
    for (int64_t i = 0; i < ids.count; i++) {
        json_array_append_new(list, json_integer(ids.items[i]));
        if (!cli->common->json)
            printf("%s%d", i ? " " : "", (int)ids.items[i]);
    }
    if (!cli->common->json)
        putchar('\n');
    json_object_set_new(cli->result, "token_ids", list);
    buffer_free(&text);
    tok_scratch_free(&scratch);
    tok_ids_free(&ids);
    return status;
}

static enum status load(const struct tokenizer_options *o, const char *command,
                        struct tokenizer *tokenizer, struct error *error)
{
    if (!o->tokenizer)
        return error_set(error, STATUS_USAGE, "%s: name the tokenizer with -m", command);
    return model_load_tokenizer(o->tokenizer, tokenizer, error);
}

static enum status run_encode(struct cli *cli, struct error *error)
{
    const struct tokenizer_options *o = cli_values(cli, 0);
    struct tokenizer tokenizer;
    enum status status = load(o, "tokenizer encode", &tokenizer, error);
    if (status != STATUS_OK)
        return status;
    status = o->output ? encode_shard(cli, o, &tokenizer, error)
                       : encode_text(cli, o, &tokenizer, error);
    tok_free(&tokenizer);
    return status;
}

static enum status run_decode(struct cli *cli, struct error *error)
{
    const struct tokenizer_options *o = cli_values(cli, 0);
    struct tokenizer tokenizer;
    enum status status = load(o, "tokenizer decode", &tokenizer, error);
    if (status != STATUS_OK)
        return status;
    struct buffer text = {0};
    bool started = false;
    for (int64_t i = 0; i < cli->arguments.count && status == STATUS_OK; i++) {
        int64_t value;
        if (!option_parse_int(cli->arguments.items[i], &value) || value < 0 ||
            value >= tokenizer.count) {
            status = error_set(error, STATUS_USAGE, "'%s' is no id of this tokenizer",
                               cli->arguments.items[i]);
            break;
        }
        int32_t id = (int32_t)value;
        tok_decode_next(&tokenizer, &id, 1, true, &started, &text);
    }
    if (status == STATUS_OK && !cli->common->json && text.length > 0)
        fwrite(text.data, 1, text.length, stdout);
    json_object_set_new(cli->result, "text", json_stringn(text.data ? text.data : "", text.length));
    buffer_free(&text);
    tok_free(&tokenizer);
    return status;
}

const struct command command_tokenizer_train = {
    .name = "tokenizer train",
    .arguments = "",
    .summary = "Learn a byte-level BPE tokenizer from text",
    .example = "adze tokenizer train -d docs/ -n 8192 -o tokenizer.json",
    .tables = {{"Tokenizer", train_table, sizeof(struct tokenizer_options)}},
    .records = true,
    .run = run_train,
};

const struct command command_tokenizer_encode = {
    .name = "tokenizer encode",
    .arguments = "",
    .summary = "Turn text into token ids, or a corpus into a shard of them",
    .example = "adze tokenizer encode -m tokenizer.json -p 'Hello, world'",
    .tables = {{"Tokenizer", encode_table, sizeof(struct tokenizer_options)}},
    .run = run_encode,
};

const struct command command_tokenizer_decode = {
    .name = "tokenizer decode",
    .arguments = "ID...",
    .summary = "Turn token ids into text",
    .example = "adze tokenizer decode -m tokenizer.json 72 301 11",
    .tables = {{"Tokenizer", decode_table, sizeof(struct tokenizer_options)}},
    .least = 1,
    .most = 1 << 20,
    .run = run_decode,
};
