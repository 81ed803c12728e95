/* See cli.h. Finding the command, its options, the ledger's entry around its run. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/buffer.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/json_text.h"

#define VERSION "0.1.0"

volatile sig_atomic_t cli_stop;

static const struct option common_table[] = {
    {"threads", 't', OPTION_INT, offsetof(struct common_options, threads), "0", 0, 4096, NULL, NULL,
     "threads; 0: all cores"},
    {"seed", 's', OPTION_INT, offsetof(struct common_options, seed), "1", 0, 9e15, NULL, NULL,
     "seed of all random choices"},
    {"json", 0, OPTION_FLAG, offsetof(struct common_options, json), NULL, 0, 0, NULL, NULL,
     "print the result as JSON on standard output"},
    {"force", 0, OPTION_FLAG, offsetof(struct common_options, force), NULL, 0, 0, NULL, NULL,
     "overwrite existing outputs, run again what is unchanged"},
    {"quiet", 'q', OPTION_FLAG, offsetof(struct common_options, quiet), NULL, 0, 0, NULL, NULL,
     "no progress, no summary"},
    {"ledger", 0, OPTION_PATH, offsetof(struct common_options, ledger), "adze.sqlite", 0, 0, NULL,
     "FILE", "where runs are recorded; ADZE_LEDGER sets another default"},
    {.name = NULL},
};

/* Finding the command: one word, or two for commands with a second verb. */
static const struct command *find_command(int count, char **arguments, int *used)
{
    const struct command *found = NULL;
    *used = 0;
    for (int i = 0; cli_commands[i]; i++) {
        const char *name = cli_commands[i]->name, *gap = strchr(name, ' ');
        if (!gap && strcmp(name, arguments[0]) == 0) {
            if (*used < 1)
                found = cli_commands[i], *used = 1;
        } else if (gap && count > 1 && strlen(arguments[0]) == (size_t)(gap - name) &&
                   strncmp(name, arguments[0], (size_t)(gap - name)) == 0 &&
                   strcmp(gap + 1, arguments[1]) == 0) {
            found = cli_commands[i];
            *used = 2;
        }
    }
    return found;
}

static const char *next_command(void *context, int index)
{
    (void)context;
    return cli_commands[index] ? cli_commands[index]->name : NULL;
}

enum status cli_make_options(struct cli *cli, const char *method, struct error *error)
{
    const struct command *command = cli->command;
    cli->options = (struct option_set){.arena = &cli->arena};
    enum status status = STATUS_OK;
    for (int i = 0; i < CLI_TABLES && command->tables[i].options && status == STATUS_OK; i++) {
        cli->values[i] = arena_calloc(&cli->arena, 1, command->tables[i].size);
        if (!cli->values[i])
            return error_no_memory(error, command->tables[i].size);
        status = option_add(&cli->options, command->tables[i].title, command->tables[i].options,
                            cli->values[i], error);
    }
    struct cli_table table = {0};
    if (status == STATUS_OK && method && command->method_table) {
        if (!command->method_table(method, &table))
            return error_set(error, STATUS_USAGE,
                             "there is no method '%s' for %s; 'adze methods' lists them", method,
                             command->name);
        if (table.options) {
            cli->method_values = arena_calloc(&cli->arena, 1, table.size);
            if (!cli->method_values)
                return error_no_memory(error, table.size);
            status =
                option_add(&cli->options, table.title, table.options, cli->method_values, error);
        }
    }
    cli->common = arena_calloc(&cli->arena, 1, sizeof *cli->common);
    if (!cli->common)
        return error_no_memory(error, sizeof *cli->common);
    if (status == STATUS_OK)
        status = option_add(&cli->options, "General", common_table, cli->common, error);
    if (status == STATUS_OK && getenv("ADZE_LEDGER"))
        cli->common->ledger = getenv("ADZE_LEDGER");
    return status;
}

/* The word behind --method, so that its options are known before parsing. */
static const char *find_method(const struct command *command, int count, char **arguments)
{
    const char *method = NULL;
    for (int i = 0; i < CLI_TABLES && command->tables[i].options; i++)
        for (const struct option *o = command->tables[i].options; o->name; o++)
            if (strcmp(o->name, "method") == 0)
                method = o->fallback;
    for (int i = 0; i < count; i++) {
        if (strcmp(arguments[i], "--") == 0)
            break;
        if (strncmp(arguments[i], "--method=", 9) == 0)
            method = arguments[i] + 9;
        else if (strcmp(arguments[i], "--method") == 0 && i + 1 < count)
            method = arguments[i + 1];
    }
    return method;
}

static bool wants_help(int count, char **arguments)
{
    for (int i = 0; i < count && strcmp(arguments[i], "--") != 0; i++)
        if (strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-h") == 0)
            return true;
    return false;
}

/* The key by which a run is found again: command, options, input contents. */

struct key_state {
    struct cli *cli;
    struct buffer text;
    enum status status;
    struct error *error;
};

static void key_input(struct key_state *k, const char *path, bool record)
{
    char hash[33] = "", plain[4096];
    snprintf(plain, sizeof plain, "%s", path);
    if (!file_exists(plain)) { /* a weight or a name may stand with a path: "path=0.5" */
        char *equals = strrchr(plain, '=');
        if (equals)
            *equals = 0;
    }
    if (!file_exists(plain) || k->status != STATUS_OK)
        return;
    k->status = ledger_hash_path(plain, hash, k->error);
    if (record && k->status == STATUS_OK)
        k->status = ledger_file(k->cli->ledger, k->cli->run, false, plain, hash, k->error);
    buffer_printf(&k->text, "%s=%s\n", plain, hash);
}

/* Calls key_input for every input that the options name. Outputs and the ledger are no inputs. */
static void for_inputs(struct key_state *k, bool record)
{
    const struct option_set *set = &k->cli->options;
    for (int g = 0; g < set->count; g++)
        for (const struct option *o = set->groups[g].table; o->name; o++) {
            const char *field = (const char *)set->groups[g].target + o->offset;
            if (strcmp(o->name, "output") == 0 || strcmp(o->name, "ledger") == 0)
                continue;
            if (o->type == OPTION_PATH && *(const char *const *)field)
                key_input(k, *(const char *const *)field, record);
            if (o->type == OPTION_LIST && o->unit && strcmp(o->unit, "PATH") == 0) {
                const struct option_list *list = (const struct option_list *)field;
                for (int64_t i = 0; i < list->count; i++)
                    key_input(k, list->items[i], record);
            }
        }
    for (int64_t i = 0; i < k->cli->arguments.count; i++)
        key_input(k, k->cli->arguments.items[i], record);
}

static enum status make_key(struct cli *cli, json_t *options, char key[33], struct error *error)
{
    struct key_state k = {.cli = cli, .error = error};
    json_t *shaping = json_copy(options); /* what cannot change a result is left out */
    const char *const harmless[] = {"threads", "json", "force", "quiet", "ledger", "resume"};
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        json_object_del(shaping, harmless[i]);
    char *text = json_dumps(shaping, JSON_COMPACT | JSON_SORT_KEYS);
    buffer_printf(&k.text, "%s\n%s\n%s\n", VERSION, cli->command->name, text ? text : "");
    for (int64_t i = 0; i < cli->arguments.count; i++)
        buffer_printf(&k.text, "%s\n", cli->arguments.items[i]);
    for_inputs(&k, false);
    free(text);
    json_decref(shaping);
    if (k.status == STATUS_OK)
        k.status = buffer_check(&k.text, error);
    if (k.status == STATUS_OK) {
        XXH128_hash_t hash = XXH3_128bits(k.text.data, k.text.length);
        snprintf(key, 33, "%016llx%016llx", (unsigned long long)hash.high64,
                 (unsigned long long)hash.low64);
    }
    buffer_free(&k.text);
    return k.status;
}

/* The interrupted run of this very key, if it was the last to write to this output: what it has
 * left there can be gone on from, which a step of a chain does without being told. */
static enum status find_interrupted(struct cli *cli, const json_t *options, const char *key,
                                    int64_t *before, struct error *error)
{
    const char *output = json_string_value(json_object_get(options, "output"));
    bool unfinished = false;
    *before = 0;
    if (!output || !json_object_get(options, "resume") || cli->common->force)
        return STATUS_OK;
    enum status status =
        ledger_newest(cli->ledger, cli->command->name, output, key, before, &unfinished, error);
    if (status == STATUS_OK && unfinished && cli->parent && file_exists(output))
        status = option_assign(&cli->options, "resume", "true", "chain", error);
    if (!unfinished || !option_given(&cli->options, "resume"))
        *before = 0;
    return status;
}

/* A step of a recipe may make again what it has made before, as long as nobody has changed that.
 * The recipe is noted among the options, so that later runs of it know their outputs. */
static enum status find_own_output(struct cli *cli, json_t *options, struct error *error)
{
    const char *output = json_string_value(json_object_get(options, "output"));
    const char *recipe = cli->parent ? cli->parent->recipe : NULL;
    bool made = false;
    if (!recipe)
        return STATUS_OK;
    if (json_object_set_new(options, "recipe", json_name(recipe)) != 0)
        return error_no_memory(error, strlen(recipe));
    if (!output || !file_exists(output))
        return STATUS_OK;
    enum status status = ledger_made(cli->ledger, cli->command->name, output, recipe, &made, error);
    cli->owned_outputs = cli->owned_outputs || made;
    return status;
}

static enum status record_new(struct cli *cli, json_t *options, const char *key,
                              struct error *error)
{
    int64_t before;
    enum status status = find_interrupted(cli, options, key, &before, error);
    if (status == STATUS_OK)
        status = find_own_output(cli, options, error);
    if (status == STATUS_OK)
        status = ledger_begin(cli->ledger, cli->command->name, options, key, cli->common->seed,
                              cli->parent ? cli->parent->run : 0, &cli->run, error);
    if (status == STATUS_OK && before > 0)
        status = ledger_take_over(cli->ledger, before, cli->run, error);
    struct key_state k = {.cli = cli, .error = error, .status = status};
    for_inputs(&k, true);
    buffer_free(&k.text);
    return k.status;
}

/* Opens the ledger, looks for a run to reuse, begins a new one. */
static enum status begin_run(struct cli *cli, struct error *error)
{
    char key[33];
    json_t *options = option_values(&cli->options);
    enum status status = options ? STATUS_OK : error_no_memory(error, 4096);
    if (status == STATUS_OK)
        status = ledger_open(cli->common->ledger, &cli->ledger, error);
    if (status == STATUS_OK)
        status = make_key(cli, options, key, error);
    int64_t before = 0;
    json_t *result = NULL;
    if (status == STATUS_OK && !cli->common->force)
        status = ledger_reusable(cli->ledger, key, &before, &result, error);
    if (status == STATUS_OK && before > 0) {
        cli->reused = true;
        cli->run = before;
        json_decref(cli->result);
        cli->result = result ? result : json_object();
        cli_say(cli, "%s: nothing has changed since run %lld, its result is used",
                cli->command->name, (long long)before);
    } else if (status == STATUS_OK) {
        status = record_new(cli, options, key, error);
    }
    json_decref(options);
    return status;
}

static void end_run(struct cli *cli, enum status status, const struct error *error)
{
    struct error other;
    enum status recorded = STATUS_OK;
    for (int i = 0; i < cli->outputs.count; i++) {
        char hash[33] = "";
        if (status == STATUS_OK)
            recorded = ledger_hash_path(cli->outputs.paths[i], hash, &other);
        if (status == STATUS_OK && recorded == STATUS_OK)
            recorded =
                ledger_file(cli->ledger, cli->run, true, cli->outputs.paths[i], hash, &other);
    }
    const char *word = status == STATUS_OK            ? "done"
                       : status == STATUS_INTERRUPTED ? "stopped"
                                                      : "failed";
    if (recorded == STATUS_OK)
        recorded = ledger_finish(cli->ledger, cli->run, word, cli->result,
                                 status == STATUS_OK ? NULL : error->message, &other);
    if (recorded != STATUS_OK)
        fprintf(stderr, "adze: %s\n", other.message);
}

static enum status run_command(struct cli *cli, struct error *error)
{
    const struct command *command = cli->command;
    enum status status = STATUS_OK;
    if (cli->arguments.count < command->least || cli->arguments.count > command->most)
        return error_set(error, STATUS_USAGE, "%s: %s; usage: adze %s [options]%s%s", command->name,
                         cli->arguments.count < command->least ? "an argument is missing"
                                                               : "too many arguments",
                         command->name, *command->arguments ? " " : "", command->arguments);
    if (command->records)
        status = begin_run(cli, error);
    if (status == STATUS_OK && !cli->reused) {
        status = command->run(cli, error);
        cli_progress_end(cli);
        if (cli->ledger)
            end_run(cli, status, error);
    }
    if (status == STATUS_OK && command->show && !cli->parent)
        command->show(cli);
    return status;
}

static int finish(struct cli *cli, enum status status, const struct error *error, json_t **result,
                  struct error *failure)
{
    cli_progress_end(cli);
    if (status == STATUS_OK && cli->common->json && !cli->parent) {
        json_dumpf(cli->result, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
    }
    if (status == STATUS_OK && (fflush(stdout) != 0 || ferror(stdout))) {
        fprintf(stderr, "adze: cannot write to standard output\n");
        status = STATUS_FAILED;
    } else if (status != STATUS_OK && failure) {
        *failure = *error;
        failure->status = status;
    } else if (status != STATUS_OK) {
        fprintf(stderr, "adze: %s\n", error->message);
    }
    if (status == STATUS_OK && result) {
        *result = json_incref(cli->result);
        json_object_set_new(*result, "run", json_integer(cli->run));
    }
    for (int i = 0; i < cli->outputs.count; i++)
        free(cli->outputs.paths[i]);
    json_decref(cli->result);
    ledger_close(cli->ledger);
    arena_free(&cli->arena);
    return status == STATUS_OK ? 0 : status == STATUS_USAGE ? 2 : 1;
}

static int print_buffer(struct buffer *text)
{
    int failed = buffer_check(text, NULL) != STATUS_OK ||
                 fwrite(text->data, 1, text->length, stdout) != text->length || fflush(stdout) != 0;
    buffer_free(text);
    return failed;
}

static int unknown_command(const char *word)
{
    const char *nearest = option_nearest(word, next_command, NULL);
    if (word[0] == '-' && word[1])
        fprintf(stderr, "adze: '%s' stands before the command; options stand behind it\n", word);
    else if (nearest)
        fprintf(stderr, "adze: there is no command '%s'; did you mean '%s'?\n", word, nearest);
    else
        fprintf(stderr, "adze: there is no command '%s'; 'adze --help' lists them\n", word);
    return 2;
}

static int check_environment(void)
{
    const char *level = getenv("ADZE_CPU");
    const char *const known[] = {"baseline", "avx2", "avx512", "full"};
    bool fine = !level;
    for (int i = 0; i < 4 && !fine; i++)
        fine = strcmp(level, known[i]) == 0;
    if (!fine)
        fprintf(stderr, "adze: ADZE_CPU is '%s'; known are baseline, avx2, avx512 and full\n",
                level);
    return fine ? 0 : 2;
}

/* What a step takes over from the command that it is part of. */
static void inherit(struct cli *cli)
{
    const struct common_options *from = cli->parent->common;
    struct common_options *to = cli->common;
    if (!option_given(&cli->options, "ledger"))
        to->ledger = from->ledger;
    if (!option_given(&cli->options, "threads"))
        to->threads = from->threads;
    if (!option_given(&cli->options, "seed"))
        to->seed = from->seed;
    to->quiet = to->quiet || from->quiet;
    to->force = to->force || from->force;
    to->json = false;
    cli->owned_outputs = cli->parent->owned_outputs;
}

int cli_dispatch(int count, char **arguments, const struct cli *parent, json_t **result,
                 struct error *failure)
{
    struct buffer text = {0};
    if (result)
        *result = NULL;
    if (count == 0 || strcmp(arguments[0], "--help") == 0 || strcmp(arguments[0], "-h") == 0 ||
        (strcmp(arguments[0], "help") == 0 && count == 1)) {
        cli_help_all(&text);
        return print_buffer(&text);
    }
    if (strcmp(arguments[0], "--version") == 0) {
        struct cpu cpu = cpu_detect();
        buffer_printf(&text, "adze %s (%s)\n", VERSION, cpu_describe(&cpu));
        return print_buffer(&text);
    }
    bool asked = strcmp(arguments[0], "help") == 0; /* "help train" is "train --help" */
    count -= asked;
    arguments += asked;
    int used;
    struct cli cli = {.result = json_object(), .parent = parent};
    cli.command = find_command(count, arguments, &used);
    if (!cli.command || check_environment() != 0) {
        json_decref(cli.result);
        if (cli.command || !cli_help_family(arguments[0], &text))
            return cli.command ? 2 : unknown_command(arguments[0]);
        return print_buffer(&text) | (asked || wants_help(count, arguments) ? 0 : 2);
    }
    struct error error = {0};
    count -= used;
    arguments += used;
    struct common_options none = {0};
    cli.common = &none;
    bool help = asked || wants_help(count, arguments);
    enum status status = cli_make_options(&cli, find_method(cli.command, count, arguments), &error);
    if (status == STATUS_OK && help) {
        cli_help_command(cli.command, &cli.options, &text);
        return print_buffer(&text) | finish(&cli, STATUS_OK, NULL, NULL, NULL);
    }
    if (status == STATUS_OK)
        status = option_parse(&cli.options, count, arguments, &cli.arguments, &error);
    if (status == STATUS_OK && parent)
        inherit(&cli);
    if (status == STATUS_OK)
        status = run_command(&cli, &error);
    else
        cli.common = &none;
    return finish(&cli, status, &error, result, failure);
}
