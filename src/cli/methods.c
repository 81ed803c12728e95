/* adze methods and manual: what is made from the tables. */
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

enum status cli_for_commands(enum status (*visit)(void *, const struct command *,
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
    return status == STATUS_OK ? cli_for_commands(write_page, (void *)(uintptr_t)folder, error)
                               : status;
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
