/* adze runs: what the ledger knows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/commands.h"

struct export_options {
    const char *format, *output;
};

static const struct option no_options[] = {{.name = NULL}};

static const struct option export_table[] = {
    {"format", 0, OPTION_CHOICE, offsetof(struct export_options, format), "csv", 0, 0, "csv|jsonl",
     NULL, "csv: a row for each figure; jsonl: a line for each run"},
    {"output", 'o', OPTION_PATH, offsetof(struct export_options, output), NULL, 0, 0, NULL, "FILE",
     "default: standard output"},
    {.name = NULL},
};

static enum status open_existing(struct cli *cli, struct ledger **ledger, struct error *error)
{
    *ledger = NULL;
    if (!file_exists(cli->common->ledger))
        return error_set(error, STATUS_FAILED, "%s: no ledger here yet; --ledger names another",
                         cli->common->ledger);
    return ledger_open(cli->common->ledger, ledger, error);
}

static enum status read_run(struct ledger *ledger, const char *text, json_t **run,
                            struct error *error)
{
    int64_t id;
    *run = NULL;
    if (!option_parse_int(text, &id) || id < 1)
        return error_set(error, STATUS_USAGE, "'%s' is no number of a run", text);
    return ledger_read(ledger, id, run, error);
}

static const char *text_of(const json_t *run, const char *key)
{
    const char *text = json_string_value(json_object_get(run, key));
    return text ? text : "";
}

/* The last value of a figure, NaN when the run has none. */
static double last_value(const json_t *run, const char *name)
{
    const json_t *list = json_object_get(json_object_get(run, "metrics"), name);
    size_t count = json_array_size(list);
    if (count == 0)
        return NAN;
    return json_number_value(json_array_get(json_array_get(list, count - 1), 1));
}

static void print_run(const json_t *run)
{
    double bits = last_value(run, "held-out bits per byte");
    char figure[32] = "-";
    if (!isnan(bits))
        snprintf(figure, sizeof figure, "%.4f", bits);
    printf("%5lld  %-18s %-8s %-20s %9.1f s  %s\n",
           (long long)json_integer_value(json_object_get(run, "id")), text_of(run, "command"),
           text_of(run, "status"), text_of(run, "started"),
           json_number_value(json_object_get(run, "seconds")), figure);
}

static enum status run_list(struct cli *cli, struct error *error)
{
    struct ledger *ledger;
    int64_t *ids = NULL, count = 0;
    enum status status = open_existing(cli, &ledger, error);
    if (status == STATUS_OK)
        status = ledger_list(ledger, &ids, &count, error);
    json_t *list = json_array();
    if (status == STATUS_OK && !cli->common->json)
        printf("%5s  %-18s %-8s %-20s %11s  %s\n", "run", "command", "status", "started", "time",
               "bits per byte");
    for (int64_t i = 0; i < count && status == STATUS_OK; i++) {
        json_t *run;
        status = ledger_read(ledger, ids[i], &run, error);
        if (status != STATUS_OK)
            break;
        if (!cli->common->json)
            print_run(run);
        json_object_del(run, "metrics");
        json_array_append_new(list, run);
    }
    json_object_set_new(cli->result, "runs", list);
    free(ids);
    ledger_close(ledger);
    return status;
}

static void print_object(const char *title, const json_t *object)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object) || json_object_size(object) == 0)
        return;
    printf("%s\n", title);
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6) | JSON_COMPACT);
        if (!json_is_null(value) && text && strlen(text) < 400)
            printf("  %-22s %s\n", key, text);
        free(text);
    }
}

static void print_files(const char *title, const json_t *files)
{
    if (json_array_size(files) > 0)
        printf("%s\n", title);
    for (size_t i = 0; i < json_array_size(files); i++)
        printf("  %s  %s\n", text_of(json_array_get(files, i), "hash"),
               text_of(json_array_get(files, i), "path"));
}

static enum status run_show(struct cli *cli, struct error *error)
{
    struct ledger *ledger;
    json_t *run = NULL;
    enum status status = open_existing(cli, &ledger, error);
    if (status == STATUS_OK)
        status = read_run(ledger, cli->arguments.items[0], &run, error);
    ledger_close(ledger);
    if (status != STATUS_OK)
        return status;
    if (!cli->common->json) {
        const char *key;
        json_t *value;
        print_run(run);
        if (*text_of(run, "error"))
            printf("error: %s\n", text_of(run, "error"));
        print_object("options", json_object_get(run, "options"));
        print_object("result", json_object_get(run, "result"));
        print_files("inputs", json_object_get(run, "inputs"));
        print_files("outputs", json_object_get(run, "outputs"));
        printf("figures (last value, number of points)\n");
        json_object_foreach(json_object_get(run, "metrics"), key, value) printf(
            "  %-24s %.6g  (%lld)\n", key, last_value(run, key), (long long)json_array_size(value));
    }
    json_object_update(cli->result, run);
    json_decref(run);
    return STATUS_OK;
}

/* A value as JSON, its numbers with the fewest digits that read back the same; free it. */
static char *shortest_json(const json_t *value)
{
    char *text = NULL;
    bool same = false;
    for (size_t digits = 15; value && digits <= 17 && !same; digits++) {
        free(text);
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
        json_t *back = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
        same = json_equal(value, back);
        json_decref(back);
    }
    return text;
}

static void compare_options(const json_t *a, const json_t *b, bool print, json_t *out)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)a, key, value)
    {
        const json_t *other = json_object_get(b, key);
        if (other && json_equal(value, other))
            continue;
        char *x = shortest_json(value), *y = shortest_json(other);
        if (print)
            printf("  %-24s %-24s %s\n", key, x ? x : "-", y ? y : "-");
        json_object_set_new(out, key, json_pack("[O,O?]", value, other));
        free(x);
        free(y);
    }
}

static enum status run_compare(struct cli *cli, struct error *error)
{
    struct ledger *ledger;
    json_t *a = NULL, *b = NULL, *options = json_object(), *figures = json_object(), *value;
    const char *key;
    bool print = !cli->common->json;
    enum status status = open_existing(cli, &ledger, error);
    if (status == STATUS_OK)
        status = read_run(ledger, cli->arguments.items[0], &a, error);
    if (status == STATUS_OK)
        status = read_run(ledger, cli->arguments.items[1], &b, error);
    ledger_close(ledger);
    if (status == STATUS_OK) {
        if (print)
            printf("%-26s run %-20s run %s\n", "options that differ", cli->arguments.items[0],
                   cli->arguments.items[1]);
        compare_options(json_object_get(a, "options"), json_object_get(b, "options"), print,
                        options);
        if (print)
            printf("figures, last values\n");
        json_object_foreach(json_object_get(a, "metrics"), key, value)
        {
            double x = last_value(a, key), y = last_value(b, key);
            if (isnan(y))
                continue;
            if (print)
                printf("  %-24s %-14.6g %-14.6g %+.6g\n", key, x, y, y - x);
            json_object_set_new(figures, key, json_pack("[f,f]", x, y));
        }
        json_object_set(cli->result, "options", options);
        json_object_set(cli->result, "figures", figures);
    }
    json_decref(options);
    json_decref(figures);
    json_decref(a);
    json_decref(b);
    return status;
}

/* A row a figure: run, command, status, started, name, step, value. No field needs quoting but
 * names, which hold no quotes. */
static void export_csv(FILE *out, const json_t *run)
{
    const char *name;
    json_t *list, *point;
    size_t i;
    json_object_foreach(json_object_get(run, "metrics"), name, list)
        json_array_foreach(list, i, point)
            fprintf(out, "%lld,%s,%s,%s,\"%s\",%lld,%.9g\n",
                    (long long)json_integer_value(json_object_get(run, "id")),
                    text_of(run, "command"), text_of(run, "status"), text_of(run, "started"), name,
                    (long long)json_integer_value(json_array_get(point, 0)),
                    json_number_value(json_array_get(point, 1)));
}

static enum status export_all(const struct export_options *o, struct ledger *ledger, FILE *out,
                              struct error *error)
{
    int64_t *ids = NULL, count = 0;
    enum status status = ledger_list(ledger, &ids, &count, error);
    bool csv = strcmp(o->format, "csv") == 0;
    if (csv)
        fprintf(out, "run,command,status,started,figure,step,value\n");
    for (int64_t i = 0; i < count && status == STATUS_OK; i++) {
        json_t *run;
        status = ledger_read(ledger, ids[i], &run, error);
        if (status != STATUS_OK)
            break;
        if (csv) {
            export_csv(out, run);
        } else {
            json_dumpf(run, out, JSON_COMPACT);
            fputc('\n', out);
        }
        json_decref(run);
    }
    free(ids);
    return status;
}

static enum status run_export(struct cli *cli, struct error *error)
{
    const struct export_options *o = cli_values(cli, 0);
    struct ledger *ledger;
    struct file_writer writer = {0};
    enum status status = open_existing(cli, &ledger, error);
    if (status == STATUS_OK && o->output)
        status = cli_check_output(cli, o->output, error);
    if (status == STATUS_OK && o->output)
        status = file_writer_open(&writer, o->output, error);
    if (status == STATUS_OK)
        status = export_all(o, ledger, o->output ? writer.stream : stdout, error);
    if (o->output && status == STATUS_OK)
        status = file_writer_commit(&writer, error);
    else if (o->output)
        file_writer_abort(&writer);
    ledger_close(ledger);
    return status;
}

const struct command command_runs = {
    .name = "runs",
    .arguments = "",
    .summary = "List the runs on the ledger",
    .example = "adze runs",
    .tables = {{NULL, no_options, 1}},
    .run = run_list,
};

const struct command command_runs_show = {
    .name = "runs show",
    .arguments = "RUN",
    .summary = "Show one run: options, result, files, figures",
    .example = "adze runs show 3",
    .tables = {{NULL, no_options, 1}},
    .least = 1,
    .most = 1,
    .run = run_show,
};

const struct command command_runs_compare = {
    .name = "runs compare",
    .arguments = "RUN RUN",
    .summary = "Compare two runs: options that differ, figures side by side",
    .example = "adze runs compare 3 4",
    .tables = {{NULL, no_options, 1}},
    .least = 2,
    .most = 2,
    .run = run_compare,
};

const struct command command_runs_export = {
    .name = "runs export",
    .arguments = "",
    .summary = "Write all runs as CSV or JSON lines",
    .example = "adze runs export --format csv -o runs.csv",
    .tables = {{NULL, export_table, sizeof(struct export_options)}},
    .run = run_export,
};
