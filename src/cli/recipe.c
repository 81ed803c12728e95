/* adze run: a chain of commands from a YAML recipe. Each step is a command of this program with its
 * options; all are checked before the first one runs, and steps whose inputs have not changed are
 * not run again. */
#include "cli/recipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/file.h"
#include "cli/commands.h"

#define STEPS_MOST 256
#define WORDS_MOST 256
#define RECIPE_LIMIT ((uint64_t)4 << 20)

struct step {
    const char *command;
    long line;
    char *words[WORDS_MOST]; /* as on a command line */
    long lines[WORDS_MOST];
    int count;
};

struct recipe {
    const char *path;
    struct arena *arena;
    yaml_document_t document;
    struct step *steps;
    int count;
    struct error *error;
};

static enum status refuse(const struct recipe *r, const yaml_node_t *node, const char *what)
{
    return error_set(r->error, STATUS_FAILED, "%s:%lu: %s", r->path,
                     (unsigned long)(node ? node->start_mark.line + 1 : 1), what);
}

static const char *scalar(const struct recipe *r, const yaml_node_t *node)
{
    if (!node || node->type != YAML_SCALAR_NODE)
        return NULL;
    return arena_strndup(r->arena, (const char *)node->data.scalar.value, node->data.scalar.length);
}

static enum status add_word(struct recipe *r, struct step *step, const yaml_node_t *node,
                            const char *name, const char *value)
{
    struct buffer word = {0};
    if (step->count + 2 > WORDS_MOST)
        return refuse(r, node, "too many options in one step");
    if (strcmp(name, "arguments") == 0)
        buffer_add_text(&word, value);
    else
        buffer_printf(&word, "--%s=%s", name, value);
    step->words[step->count] = word.data ? arena_strdup(r->arena, word.data) : NULL;
    step->lines[step->count++] = (long)node->start_mark.line + 1;
    buffer_free(&word);
    return step->words[step->count - 1] ? STATUS_OK : error_no_memory(r->error, 0);
}

static enum status read_option(struct recipe *r, struct step *step, const yaml_node_pair_t *pair)
{
    yaml_node_t *key = yaml_document_get_node(&r->document, pair->key);
    yaml_node_t *value = yaml_document_get_node(&r->document, pair->value);
    const char *name = scalar(r, key);
    if (!name)
        return refuse(r, key, "an option's name must be a word");
    if (value->type == YAML_SCALAR_NODE)
        return add_word(r, step, value, name, scalar(r, value));
    if (value->type != YAML_SEQUENCE_NODE)
        return refuse(r, value, "an option's value must be a text or a list");
    enum status status = STATUS_OK;
    for (yaml_node_item_t *item = value->data.sequence.items.start;
         item < value->data.sequence.items.top && status == STATUS_OK; item++) {
        yaml_node_t *node = yaml_document_get_node(&r->document, *item);
        const char *text = scalar(r, node);
        status =
            text ? add_word(r, step, node, name, text) : refuse(r, node, "a list must hold texts");
    }
    return status;
}

static enum status read_step(struct recipe *r, yaml_node_t *node)
{
    if (node->type != YAML_MAPPING_NODE ||
        node->data.mapping.pairs.top - node->data.mapping.pairs.start != 1)
        return refuse(r, node, "a step must be one command with its options, like 'train: {...}'");
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    yaml_node_t *options = yaml_document_get_node(&r->document, pair->value);
    if (r->count == STEPS_MOST)
        return refuse(r, node, "too many steps");
    struct step *step = &r->steps[r->count++];
    step->command = scalar(r, yaml_document_get_node(&r->document, pair->key));
    step->line = (long)node->start_mark.line + 1;
    if (!step->command)
        return refuse(r, node, "a step must begin with the name of a command");
    /* "tokenizer train" is two words on a command line. */
    char *copy = arena_strdup(r->arena, step->command), *rest = NULL;
    for (char *word = copy ? strtok_r(copy, " ", &rest) : NULL; word;
         word = strtok_r(NULL, " ", &rest)) {
        step->lines[step->count] = step->line;
        step->words[step->count++] = word;
    }
    if (options->type == YAML_SCALAR_NODE && options->data.scalar.length == 0)
        return STATUS_OK;
    if (options->type != YAML_MAPPING_NODE)
        return refuse(r, options, "a step's options must be names with values");
    enum status status = STATUS_OK;
    for (pair = options->data.mapping.pairs.start;
         pair < options->data.mapping.pairs.top && status == STATUS_OK; pair++)
        status = read_option(r, step, pair);
    return status;
}

static enum status read_steps(struct recipe *r)
{
    yaml_node_t *root = yaml_document_get_root_node(&r->document), *steps = NULL;
    if (!root || root->type != YAML_MAPPING_NODE)
        return refuse(r, root, "a recipe must have a list of 'steps'");
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = yaml_document_get_node(&r->document, pair->key);
        const char *name = scalar(r, key);
        if (name && strcmp(name, "steps") == 0)
            steps = yaml_document_get_node(&r->document, pair->value);
        else if (!name || strcmp(name, "description") != 0)
            return refuse(r, key, "only 'description' and 'steps' may stand here");
    }
    if (!steps || steps->type != YAML_SEQUENCE_NODE)
        return refuse(r, root, "a recipe must have a list of 'steps'");
    enum status status = STATUS_OK;
    for (yaml_node_item_t *item = steps->data.sequence.items.start;
         item < steps->data.sequence.items.top && status == STATUS_OK; item++)
        status = read_step(r, yaml_document_get_node(&r->document, *item));
    if (status == STATUS_OK && r->count == 0)
        status = refuse(r, steps, "the list of steps is empty");
    return status;
}

/* Every option of a step is tried on the command's tables, with its line for the message. */
static enum status check_step(const struct recipe *r, const struct step *step)
{
    struct cli trial = {0};
    const char *method = NULL;
    for (int i = 0; cli_commands[i]; i++)
        if (strcmp(cli_commands[i]->name, step->command) == 0)
            trial.command = cli_commands[i];
    if (!trial.command || trial.command == &command_run)
        return error_set(r->error, STATUS_USAGE, "%s:%ld: there is no command '%s' for a recipe",
                         r->path, step->line, step->command);
    for (int i = 0; i < step->count; i++)
        if (strncmp(step->words[i], "--method=", 9) == 0)
            method = step->words[i] + 9;
    if (!method)
        for (int j = 0; j < CLI_TABLES && trial.command->tables[j].options; j++)
            for (const struct option *o = trial.command->tables[j].options; o->name; o++)
                if (strcmp(o->name, "method") == 0)
                    method = o->fallback;
    enum status status = cli_make_options(&trial, method, r->error);
    if (status != STATUS_OK)
        error_prefix(r->error, "%s:%ld", r->path, step->line);
    for (int i = 0; i < step->count && status == STATUS_OK; i++) {
        if (strncmp(step->words[i], "--", 2) != 0)
            continue;
        char where[512], *name = arena_strdup(r->arena, step->words[i] + 2);
        char *value = name ? strchr(name, '=') : NULL;
        if (!value)
            continue; /* among the arguments, which are checked when the step runs */
        *value = 0;
        snprintf(where, sizeof where, "%.400s:%ld", r->path, step->lines[i]);
        status = option_assign(&trial.options, name, value + 1, where, r->error);
    }
    arena_free(&trial.arena);
    return status;
}

static enum status load_recipe(struct recipe *r)
{
    struct buffer text = {0};
    yaml_parser_t parser;
    enum status status = file_read(r->path, RECIPE_LIMIT, &text, r->error);
    if (status != STATUS_OK) {
        buffer_free(&text);
        return status;
    }
    yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.data ? text.data : ""),
                                 text.length);
    if (!yaml_parser_load(&parser, &r->document)) {
        status = error_set(r->error, STATUS_FAILED, "%s:%lu: %s", r->path,
                           (unsigned long)parser.problem_mark.line + 1,
                           parser.problem ? parser.problem : "not YAML");
        yaml_parser_delete(&parser);
        buffer_free(&text);
        return status;
    }
    status = read_steps(r);
    yaml_document_delete(&r->document);
    yaml_parser_delete(&parser);
    buffer_free(&text);
    for (int i = 0; i < r->count && status == STATUS_OK; i++)
        status = check_step(r, &r->steps[i]);
    return status;
}

enum status recipe_check(const char *path, struct error *error)
{
    struct arena arena = {0};
    struct recipe recipe = {.path = path, .arena = &arena, .error = error};
    recipe.steps = arena_calloc(&arena, STEPS_MOST, sizeof *recipe.steps);
    enum status status =
        recipe.steps ? load_recipe(&recipe) : error_no_memory(error, sizeof *recipe.steps);
    arena_free(&arena);
    return status;
}

static enum status run(struct cli *cli, struct error *error)
{
    struct recipe recipe = {.path = cli->arguments.items[0], .arena = &cli->arena, .error = error};
    recipe.steps = arena_calloc(&cli->arena, STEPS_MOST, sizeof *recipe.steps);
    if (!recipe.steps)
        return error_no_memory(error, STEPS_MOST * sizeof *recipe.steps);
    enum status status = load_recipe(&recipe);
    char *whole = status == STATUS_OK ? realpath(recipe.path, NULL) : NULL;
    cli->recipe = whole;
    if (status == STATUS_OK && !whole)
        return error_set_errno(error, errno, "%s", recipe.path);
    json_t *runs = json_array();
    for (int i = 0; i < recipe.count && status == STATUS_OK; i++) {
        struct step *step = &recipe.steps[i];
        json_t *result = NULL;
        if (cli_stop) {
            status = error_set(error, STATUS_INTERRUPTED,
                               "stopped; the same command goes on with what is left to do");
            break;
        }
        cli_say(cli, "step %d of %d: %s", i + 1, recipe.count, step->command);
        struct error failure = {.status = STATUS_FAILED, .message = "the step failed"};
        if (cli_dispatch(step->count, step->words, cli, &result, &failure) != 0)
            status = error_set(error, failure.status, "%s:%ld: step %d (%s): %s", recipe.path,
                               step->line, i + 1, step->command, failure.message);
        else
            json_array_append(runs, result);
        json_decref(result);
    }
    json_object_set_new(cli->result, "steps", runs);
    cli->recipe = NULL;
    free(whole);
    return status;
}

static const struct option no_options[] = {{.name = NULL}};

const struct command command_run = {
    .name = "run",
    .arguments = "RECIPE.yaml",
    .summary = "Run a chain of commands from a YAML recipe",
    .detail = "A recipe has 'steps', a list of commands with their options. Steps whose options "
              "and\ninput files are unchanged since they last ran are not run again. The others "
              "overwrite what\nthey have made before; what the recipe has not made, or somebody "
              "has changed since, stays\nuntil --force is given.",
    .example = "adze run recipe.yaml",
    .tables = {{NULL, no_options, 1}},
    .least = 1,
    .most = 1,
    .run = run,
};
