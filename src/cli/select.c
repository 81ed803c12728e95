/* adze select: choose documents of a pool. */
#include <string.h>

#include "cli/commands.h"
#include "cli/stages.h"
#include "methods/select/select.h"

struct select_options {
    struct option_list pool, target;
    const char *method, *output, *field;
    int64_t count, chunk;
    double share;
    bool keep_duplicates, strict;
};

static const struct option table[] = {
    {"pool", 'd', OPTION_LIST, offsetof(struct select_options, pool), NULL, 0, 0, NULL, "PATH",
     "documents to choose from: files or folders"},
    {"target", 0, OPTION_LIST, offsetof(struct select_options, target), NULL, 0, 0, NULL, "PATH",
     "a sample of the domain"},
    {"method", 0, OPTION_TEXT, offsetof(struct select_options, method), "dsir", 0, 0, NULL, "NAME",
     "how to choose: dsir or random"},
    {"output", 'o', OPTION_PATH, offsetof(struct select_options, output), NULL, 0, 0, NULL, "FILE",
     "JSON lines of what was chosen"},
    {"count", 'n', OPTION_INT, offsetof(struct select_options, count), "0", 0, 1e12, NULL,
     "DOCUMENTS", "how many to choose; 0: by --share"},
    {"share", 0, OPTION_REAL, offsetof(struct select_options, share), "0.125", 0, 1, NULL, NULL,
     "part of the pool to choose"},
    {"chunk", 0, OPTION_INT, offsetof(struct select_options, chunk), "0", 0, 1e9, NULL, "WORDS",
     "cut documents into pieces of that many words first; 0: leave them whole"},
    {"keep-duplicates", 0, OPTION_FLAG, offsetof(struct select_options, keep_duplicates), NULL, 0,
     0, NULL, NULL, "do not drop exact duplicates before choosing"},
    {"field", 0, OPTION_TEXT, offsetof(struct select_options, field), "text", 0, 0, NULL, "NAME",
     "field of JSON records that holds the text"},
    {"strict", 0, OPTION_FLAG, offsetof(struct select_options, strict), NULL, 0, 0, NULL, NULL,
     "stop at the first bad record"},
    {.name = NULL},
};

static bool method_table(const char *name, struct cli_table *out)
{
    const struct select_method *method = select_method_by_name(name);
    if (method)
        *out = (struct cli_table){method->name, method->options, method->options_size};
    return method != NULL;
}

static void report(struct cli *cli, const struct select_options *o,
                   const struct select_result *result)
{
    const char *key;
    json_t *value;
    cli_result_text(cli, "method", o->method);
    cli_result_int(cli, "pool_documents", result->pool_documents);
    cli_result_int(cli, "pool_bytes", result->pool_bytes);
    cli_result_int(cli, "duplicates", result->duplicates);
    cli_result_int(cli, "eligible", result->eligible);
    cli_result_int(cli, "selected", result->chosen.count);
    cli_result_text(cli, "output", o->output);
    json_object_foreach(result->metrics, key, value)
    {
        json_object_set(cli->result, key, value);
        cli_metric(cli, key, -1, json_number_value(value));
    }
    cli_say(cli, "selected %lld of %lld documents (%lld eligible, %lld duplicates dropped)",
            (long long)result->chosen.count, (long long)result->pool_documents,
            (long long)result->eligible, (long long)result->duplicates);
    if (json_object_get(result->metrics, "kl_reduction"))
        cli_say(cli, "KL reduction towards the target: %.3f nats (pool %.3f, selection %.3f)",
                json_number_value(json_object_get(result->metrics, "kl_reduction")),
                json_number_value(json_object_get(result->metrics, "kl_pool")),
                json_number_value(json_object_get(result->metrics, "kl_selected")));
    if (result->warning[0]) {
        cli_warn(cli, "warning: %s", result->warning);
        cli_result_text(cli, "warning", result->warning);
    }
}

static enum status run(struct cli *cli, struct error *error)
{
    const struct select_options *o = cli_values(cli, 0);
    struct thread_pool *threads;
    if (o->pool.count == 0)
        return error_set(error, STATUS_USAGE, "select: name the pool with -d");
    if (o->count > 0 && option_given(&cli->options, "share"))
        return error_set(error, STATUS_USAGE, "select: give --count or --share, not both");
    enum status status = cli_check_output(cli, o->output, error);
    if (status == STATUS_OK)
        status = thread_pool_create((int)cli->common->threads, &threads, error);
    if (status != STATUS_OK)
        return status;
    struct select_job job = {
        .pool_paths = o->pool.items,
        .pool_count = o->pool.count,
        .target_paths = o->target.items,
        .target_count = o->target.count,
        .chunks = {{o->field, o->strict, &cli_stop}, o->chunk, !o->keep_duplicates},
        .count = o->count,
        .share = o->share,
        .seed = (uint64_t)cli->common->seed,
        .threads = threads,
        .progress = cli_stage_progress,
        .context = cli,
    };
    struct select_result result;
    status = select_run(select_method_by_name(o->method), &job, cli->method_values, o->output,
                        &result, error);
    thread_pool_free(threads);
    if (status != STATUS_OK)
        return status;
    stage_report_bad(cli, &result.counts);
    report(cli, o, &result);
    cli_output(cli, o->output);
    select_result_free(&result);
    return STATUS_OK;
}

const struct command command_select = {
    .name = "select",
    .arguments = "",
    .summary = "Choose the documents of a pool that are worth training on",
    .detail = "Documents are cut and deduplicated as asked, scored by the method, and written as "
              "JSON\nlines with their scores. 'adze methods' lists the methods.",
    .example = "adze select -d corpus.jsonl --target docs/ --share 0.1 -o selected.jsonl",
    .tables = {{"Data", table, sizeof(struct select_options)}},
    .records = true,
    .method_table = method_table,
    .run = run,
};
