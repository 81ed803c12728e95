/* Help texts and manual pages, made from the command tables. */
#include <string.h>

#include "cli/cli.h"

void cli_help_all(struct buffer *out)
{
    buffer_add_text(out, "adze makes a language model yours: it chooses data, trains, shrinks, "
                         "evaluates and runs\nmodels on an ordinary machine.\n\n"
                         "Usage: adze COMMAND [options]\n\nCommands:\n");
    for (int i = 0; cli_commands[i]; i++)
        buffer_printf(out, "  %-18s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
    buffer_add_text(out, "\n'adze COMMAND --help' explains a command. The main job:\n\n"
                         "  adze adapt --domain docs/ --pool corpus.jsonl -o my-model\n");
}

bool cli_help_family(const char *word, struct buffer *out)
{
    size_t length = strlen(word);
    bool any = false;
    for (int i = 0; cli_commands[i]; i++) {
        const char *name = cli_commands[i]->name;
        if (strncmp(name, word, length) != 0 || (name[length] != ' ' && name[length] != 0))
            continue;
        if (!any)
            buffer_printf(out, "Commands:\n");
        buffer_printf(out, "  adze %-18s %s\n", name, cli_commands[i]->summary);
        any = true;
    }
    return any;
}

void cli_help_command(const struct command *command, struct option_set *options, struct buffer *out)
{
    buffer_printf(out, "Usage: adze %s [options]%s%s\n\n%s.\n", command->name,
                  *command->arguments ? " " : "", command->arguments, command->summary);
    if (command->detail)
        buffer_printf(out, "%s\n", command->detail);
    if (!options->groups[0].title && options->groups[0].length > 0)
        buffer_add_text(out, "\n");
    option_help(options, out);
    if (command->example)
        buffer_printf(out, "\nExample:\n  %s\n", command->example);
}

/* Text with what roff takes for its own escaped. */
static void roff_text(struct buffer *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bool start = i == 0 || text[i - 1] == '\n';
        if (text[i] == '\\')
            buffer_add_text(out, "\\e");
        else if (text[i] == '-')
            buffer_add_text(out, "\\-");
        else if (start && (text[i] == '.' || text[i] == '\''))
            buffer_printf(out, "\\&%c", text[i]);
        else
            buffer_add(out, &text[i], 1);
    }
}

void cli_man_page(const struct command *command, struct option_set *options, struct buffer *out)
{
    char name[64];
    snprintf(name, sizeof name, "adze-%s", command->name);
    for (char *c = name; *c; c++)
        *c = *c == ' ' ? '-' : *c;
    buffer_printf(out, ".TH %s 1 \"\" \"adze\" \"User Commands\"\n.SH NAME\n", name);
    roff_text(out, name, strlen(name));
    buffer_add_text(out, " \\- ");
    roff_text(out, command->summary, strlen(command->summary));
    buffer_printf(out, "\n.SH SYNOPSIS\n.B adze %s\n[options] ", command->name);
    roff_text(out, command->arguments, strlen(command->arguments));
    buffer_add_text(out, "\n.SH DESCRIPTION\n");
    roff_text(out, command->summary, strlen(command->summary));
    buffer_add_text(out, ".\n");
    if (command->detail)
        roff_text(out, command->detail, strlen(command->detail));
    buffer_add_text(out, "\n.SH OPTIONS\n.nf\n");
    struct buffer help = {0};
    option_help(options, &help);
    if (help.data)
        roff_text(out, help.data, help.length);
    out->failed |= help.failed;
    buffer_free(&help);
    buffer_add_text(out, ".fi\n");
    if (command->example) {
        buffer_add_text(out, ".SH EXAMPLE\n.nf\n");
        roff_text(out, command->example, strlen(command->example));
        buffer_add_text(out, "\n.fi\n");
    }
    buffer_add_text(out, ".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage.\n");
}
