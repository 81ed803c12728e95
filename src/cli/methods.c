/* adze methods, manual and completion: what is made from the tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/commands.h"
#include "methods/select/select.h"
#include "methods/shrink/shrink.h"

static const struct option no_options[] = {{.name = NULL}};

static void add_method(struct cli *cli, json_t *list, const char *stage, const char *name,
                       const char *title, const char *citation)
{
    json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s}", "stage", stage, "name", name,
                                          "title", title, "citation", citation));
    if (!cli->common->json)
        printf("%-8s %-10s %s\n%-20s%s\n", stage, name, title, "", citation);
}

static enum status run_methods(struct cli *cli, struct error *error)
{
    (void)error;
    json_t *list = json_array();
    for (int i = 0; select_methods[i]; i++)
        add_method(cli, list, "select", select_methods[i]->name, select_methods[i]->title,
                   select_methods[i]->citation);
    for (int i = 0; shrink_methods[i]; i++)
        add_method(cli, list, "shrink", shrink_methods[i]->name, shrink_methods[i]->title,
                   shrink_methods[i]->citation);
    add_method(cli, list, "tune", "lora", "Low-rank adapters on a frozen model of any format",
               "Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021");
    add_method(cli, list, "tune", "full", "All weights, in f32", "-");
    json_object_set_new(cli->result, "methods", list);
    return STATUS_OK;
}

/* Calls `visit` for each command with its options made, those of its default method included. */
static enum status for_commands(enum status (*visit)(void *, const struct command *,
                                                     struct option_set *, struct error *),
                                void *context, struct error *error)
{
    enum status status = STATUS_OK;
    for (int i = 0; cli_commands[i] && status == STATUS_OK; i++) {
        struct cli other = {.command = cli_commands[i]};
        const char *method = NULL;
        for (int j = 0; j < CLI_TABLES && other.command->tables[j].options; j++)
            for (const struct option *o = other.command->tables[j].options; o->name; o++)
                if (strcmp(o->name, "method") == 0)
                    method = o->fallback;
        status = cli_make_options(&other, method, error);
        if (status == STATUS_OK)
            status = visit(context, cli_commands[i], &other.options, error);
        arena_free(&other.arena);
    }
    return status;
}

static enum status write_page(void *context, const struct command *command,
                              struct option_set *options, struct error *error)
{
    const char *folder = context;
    struct buffer page = {0}, path = {0};
    cli_man_page(command, options, &page);
    buffer_printf(&path, "%s/adze-%s.1", folder, command->name);
    enum status status = buffer_check(&path, error);
    for (size_t i = strlen(folder); status == STATUS_OK && i < path.length; i++)
        if (path.data[i] == ' ')
            path.data[i] = '-';
    if (status == STATUS_OK)
        status = buffer_check(&page, error);
    if (status == STATUS_OK)
        status = file_write_atomic(path.data, page.data, page.length, error);
    buffer_free(&page);
    buffer_free(&path);
    return status;
}

static enum status write_overview(const char *folder, struct error *error)
{
    struct buffer page = {0}, path = {0};
    buffer_add_text(&page, ".TH ADZE 1 \"\" \"adze\" \"User Commands\"\n.SH NAME\nadze \\- make a "
                           "language model yours\n.SH SYNOPSIS\n.B adze\nCOMMAND [options]\n.SH "
                           "COMMANDS\n");
    for (int i = 0; cli_commands[i]; i++)
        buffer_printf(&page, ".TP\n.B %s\n%s.\n", cli_commands[i]->name, cli_commands[i]->summary);
    buffer_add_text(&page, ".SH ENVIRONMENT\n.TP\n.B ADZE_LEDGER\nThe ledger's file.\n.TP\n.B "
                           "ADZE_CPU\nbaseline, avx2, avx512 or full: the most that is used of the "
                           "processor.\n");
    buffer_printf(&path, "%s/adze.1", folder);
    enum status status = buffer_check(&page, error);
    if (status == STATUS_OK)
        status = file_write_atomic(path.data, page.data, page.length, error);
    buffer_free(&page);
    buffer_free(&path);
    return status;
}

static enum status run_manual(struct cli *cli, struct error *error)
{
    const char *folder = cli->arguments.items[0];
    enum status status = file_make_folders(folder, error);
    if (status == STATUS_OK)
        status = write_overview(folder, error);
    return status == STATUS_OK ? for_commands(write_page, (void *)(uintptr_t)folder, error)
                               : status;
}

/* Completion: a shell function with a case for each command, those of two words first, as
 * "runs export" begins like "runs". */

struct completion {
    struct buffer *out;
    int words; /* of the commands that are completed now */
};

static enum status complete_bash(void *context, const struct command *command,
                                 struct option_set *options, struct error *error)
{
    (void)error;
    const struct completion *part = context;
    struct buffer *out = part->out;
    if ((strchr(command->name, ' ') ? 2 : 1) != part->words)
        return STATUS_OK;
    buffer_printf(out, "    \"%s \"*) options=\"", command->name);
    for (int g = 0; g < options->count; g++)
        for (const struct option *o = options->groups[g].table; o->name; o++)
            buffer_printf(out, "--%s ", o->name);
    buffer_add_text(out, "--help\" ;;\n");
    return STATUS_OK;
}

static enum status complete_fish(void *context, const struct command *command,
                                 struct option_set *options, struct error *error)
{
    (void)error;
    struct buffer *out = context;
    const char *gap = strchr(command->name, ' ');
    int first = gap ? (int)(gap - command->name) : (int)strlen(command->name);
    for (int g = 0; g < options->count; g++)
        for (const struct option *o = options->groups[g].table; o->name; o++)
            buffer_printf(out, "complete -c adze -n '__fish_seen_subcommand_from %.*s' -l %s\n",
                          first, command->name, o->name);
    return STATUS_OK;
}

static void list_words(struct buffer *out)
{
    for (int i = 0; cli_commands[i]; i++) {
        const char *name = cli_commands[i]->name, *gap = strchr(name, ' ');
        if (!gap)
            buffer_printf(out, "%s ", name);
        else if (i == 0 || strncmp(cli_commands[i - 1]->name, name, (size_t)(gap - name)) != 0)
            buffer_printf(out, "%.*s ", (int)(gap - name), name);
    }
}

static enum status run_completion(struct cli *cli, struct error *error)
{
    const char *shell = cli->arguments.items[0];
    struct buffer out = {0};
    enum status status;
    if (strcmp(shell, "fish") == 0) {
        buffer_add_text(&out, "complete -c adze -n __fish_use_subcommand -f -a '");
        list_words(&out);
        buffer_add_text(&out, "'\n");
        status = for_commands(complete_fish, &out, error);
    } else if (strcmp(shell, "bash") == 0 || strcmp(shell, "zsh") == 0) {
        if (shell[0] == 'z')
            buffer_add_text(&out, "#compdef adze\nautoload -U +X bashcompinit && bashcompinit\n");
        buffer_add_text(&out, "_adze() {\n  local word=\"${COMP_WORDS[COMP_CWORD]}\" options=\"\"\n"
                              "  if [ \"$COMP_CWORD\" = 1 ]; then options=\"");
        list_words(&out);
        buffer_add_text(&out, "\"\n  else\n  case \"$COMP_CWORD ${COMP_WORDS[1]}\" in\n"
                              "    \"2 tokenizer\") options=\"train encode decode\" ;;\n"
                              "    \"2 runs\") options=\"show compare export\" ;;\n  esac\n"
                              "  case \"$word\" in -*)\n"
                              "  case \"${COMP_WORDS[1]} ${COMP_WORDS[2]} \" in\n");
        for (int words = 2; words > 0 && (words == 2 || status == STATUS_OK); words--) {
            struct completion part = {&out, words};
            status = for_commands(complete_bash, &part, error);
        }
        buffer_add_text(&out, "  esac ;; esac\n  fi\n"
                              "  COMPREPLY=($(compgen -W \"$options\" -- \"$word\") "
                              "$(compgen -f -- \"$word\"))\n}\ncomplete -F _adze adze\n");
    } else {
        status = error_set(error, STATUS_USAGE,
                           "completion is there for bash, zsh and fish, not '%s'", shell);
    }
    if (status == STATUS_OK)
        status = buffer_check(&out, error);
    if (status == STATUS_OK)
        fwrite(out.data, 1, out.length, stdout);
    buffer_free(&out);
    return status;
}

const struct command command_methods = {
    .name = "methods",
    .arguments = "",
    .summary = "List the methods behind the stages",
    .example = "adze methods",
    .tables = {{NULL, no_options, 1}},
    .run = run_methods,
};

const struct command command_manual = {
    .name = "manual",
    .arguments = "FOLDER",
    .summary = "Write the manual pages into a folder",
    .example = "adze manual man1",
    .tables = {{NULL, no_options, 1}},
    .least = 1,
    .most = 1,
    .run = run_manual,
};

const struct command command_completion = {
    .name = "completion",
    .arguments = "SHELL",
    .summary = "Print completions for bash, zsh or fish",
    .example = "adze completion bash > /etc/bash_completion.d/adze",
    .tables = {{NULL, no_options, 1}},
    .least = 1,
    .most = 1,
    .run = run_completion,
};
