/* adze completion: what shells offer behind a Tab, made from the tables. Bash and zsh share one
 * function, which zsh calls through its emulation of bash's completion; so it uses no name that is
 * special there, such as words or options. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "methods/select/select.h"
#include "methods/shrink/shrink.h"

static const struct option no_options[] = {{.name = NULL}};

/* What a value, or a command's arguments, are. */
enum kind { KIND_NONE, KIND_VALUE, KIND_FILE, KIND_WORDS };

/* Appends the words that an option may have as its value, with a blank behind each; none when it is
 * no choice. */
static void option_words(struct buffer *out, const struct command *command,
                         const struct option *option)
{
    if (option->type == OPTION_CHOICE) {
        for (const char *at = option->choices; *at; at += strspn(at, "|")) {
            size_t width = strcspn(at, "|");
            buffer_printf(out, "%.*s ", (int)width, at);
            at += width;
        }
    } else if (strcmp(option->name, "method") == 0 && command == &command_shrink) {
        for (int i = 0; shrink_methods[i]; i++)
            buffer_printf(out, "%s ", shrink_methods[i]->name);
    } else if (strcmp(option->name, "method") == 0) {
        for (int i = 0; select_methods[i]; i++)
            buffer_printf(out, "%s ", select_methods[i]->name);
    }
}

static enum kind option_kind(const struct option *option)
{
    const char *unit = option->unit ? option->unit : "";
    if (option->type == OPTION_FLAG)
        return KIND_NONE;
    if (option->type == OPTION_CHOICE || strcmp(option->name, "method") == 0)
        return KIND_WORDS;
    return option->type == OPTION_PATH || strstr(unit, "PATH") || strstr(unit, "FILE") ? KIND_FILE
                                                                                       : KIND_VALUE;
}

static enum kind argument_kind(const struct command *command)
{
    const char *name = command->arguments;
    if (!*name)
        return KIND_NONE;
    if (strcmp(name, "SHELL") == 0)
        return KIND_WORDS;
    return strstr(name, "RUN") || strncmp(name, "ID", 2) == 0 ? KIND_VALUE : KIND_FILE;
}

/* Words that begin commands, or the second words of those that begin with `first`; each once. */
static void command_words(struct buffer *out, const char *first)
{
    size_t length = first ? strlen(first) : 0;
    for (int i = 0; cli_commands[i]; i++) {
        const char *name = cli_commands[i]->name;
        size_t width = strcspn(name, " ");
        if (first && width == length && strncmp(name, first, length) == 0 && name[length])
            buffer_printf(out, "%s ", name + length + 1);
        else if (!first && (i == 0 || strncmp(cli_commands[i - 1]->name, name, width) != 0 ||
                            strcspn(cli_commands[i - 1]->name, " ") != width))
            buffer_printf(out, "%.*s ", (int)width, name);
    }
}

/* Calls `visit` with each first word that has second words, and these. */
static void for_families(struct buffer *out, const char *format)
{
    for (int i = 0; cli_commands[i]; i++) {
        const char *name = cli_commands[i]->name;
        char first[32];
        struct buffer seconds = {0};
        if (!strchr(name, ' ') ||
            (i > 0 && strchr(cli_commands[i - 1]->name, ' ') &&
             strncmp(cli_commands[i - 1]->name, name, strcspn(name, " ")) == 0))
            continue;
        snprintf(first, sizeof first, "%.*s", (int)strcspn(name, " "), name);
        command_words(&seconds, first);
        buffer_printf(out, format, first, seconds.data ? seconds.data : "");
        out->failed |= seconds.failed;
        buffer_free(&seconds);
    }
}

/* Bash and zsh. */

struct completion {
    struct buffer *out;
    int words; /* of the commands that are written now */
};

/* "      --format|-f) kind=words choices="f32 f16 " ;;", and one line for all options with files,
 * one for all with other values. */
static void write_values(struct buffer *out, const struct command *command,
                         const struct option_set *set)
{
    struct buffer others[2] = {{0}, {0}}; /* KIND_VALUE, KIND_FILE */
    for (int g = 0; g < set->count; g++)
        for (const struct option *o = set->groups[g].table; o->name; o++) {
            enum kind kind = option_kind(o);
            if (kind == KIND_NONE)
                continue;
            struct buffer *pattern = kind == KIND_WORDS ? out : &others[kind - KIND_VALUE];
            buffer_printf(pattern, "%s--%s", kind == KIND_WORDS ? "      " : "|", o->name);
            if (o->letter)
                buffer_printf(pattern, "|-%c", o->letter);
            if (kind == KIND_WORDS) {
                buffer_add_text(out, ") kind=words choices=\"");
                option_words(out, command, o);
                buffer_add_text(out, "\" ;;\n");
            }
        }
    for (int i = 0; i < 2; i++) {
        if (others[i].data)
            buffer_printf(out, "      %s) kind=%s ;;\n", others[i].data + 1, i ? "files" : "value");
        out->failed |= others[i].failed;
        buffer_free(&others[i]);
    }
}

static enum status write_case(void *context, const struct command *command, struct option_set *set,
                              struct error *error)
{
    static const char *const rests[] = {[KIND_NONE] = "flags",
                                        [KIND_VALUE] = "value",
                                        [KIND_FILE] = "files",
                                        [KIND_WORDS] = "shells"};
    const struct completion *part = context;
    struct buffer *out = part->out;
    (void)error;
    if ((strchr(command->name, ' ') ? 2 : 1) != part->words)
        return STATUS_OK;
    buffer_printf(out, "    \"%s \"*) rest=%s flags=\"", command->name,
                  rests[argument_kind(command)]);
    for (int g = 0; g < set->count; g++)
        for (const struct option *o = set->groups[g].table; o->name; o++)
            buffer_printf(out, "--%s ", o->name);
    buffer_add_text(out, "--help\"\n    case \"$before\" in\n");
    write_values(out, command, set);
    buffer_add_text(out, "    esac ;;\n");
    return STATUS_OK;
}

/* A case for each command, those of two words first, as "runs export" begins like "runs". */
static enum status write_function(struct buffer *out, const char *name, struct error *error)
{
    enum status status = STATUS_OK;
    buffer_printf(
        out,
        "%s() {\n"
        "  local word=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
        "  local first=1 kind=\"\" rest=\"\" flags=\"\" choices=\"\" verb=\"\"\n"
        "  COMPREPLY=()\n"
        "  if [ \"$word\" = \"=\" ]; then word=\"\"\n"
        "  elif [ \"$before\" = \"=\" ]; then before=\"${COMP_WORDS[COMP_CWORD-2]}\"; fi\n"
        "  if [ \"${COMP_WORDS[1]}\" = help ] && [ \"$COMP_CWORD\" -gt 1 ]; then first=2; "
        "fi\n"
        "  if [ \"$COMP_CWORD\" -gt $((first + 1)) ]; then "
        "verb=\"${COMP_WORDS[first+1]}\"; fi\n"
        "  if [ \"$COMP_CWORD\" = \"$first\" ]; then\n"
        "    kind=words choices=\"",
        name);
    command_words(out, NULL);
    buffer_add_text(out, "help\"\n"
                         "    case \"$word\" in -*) choices=\"--help --version\" ;; esac\n"
                         "  elif [ \"$COMP_CWORD\" = $((first + 1)) ]; then\n"
                         "    case \"${COMP_WORDS[first]}\" in\n");
    for_families(out, "    %s) choices=\"%s\" ;;\n");
    buffer_add_text(out, "    esac\n  fi\n"
                         "  if [ \"$first\" = 2 ]; then kind=words\n"
                         "  elif [ -z \"$kind\" ]; then\n"
                         "    case \"${COMP_WORDS[1]} $verb \" in\n");
    for (int words = 2; words > 0 && status == STATUS_OK; words--) {
        struct completion part = {out, words};
        status = cli_for_commands(write_case, &part, error);
    }
    buffer_add_text(out, "    esac\n  fi\n"
                         "  if [ -z \"$kind\" ]; then\n"
                         "    case \"$word$rest\" in\n"
                         "    -*) choices=\"$flags\" ;;\n"
                         "    *flags) choices=\"$choices $flags\" ;;\n"
                         "    *shells) choices=\"bash zsh fish\" ;;\n"
                         "    *) kind=\"$rest\" ;;\n"
                         "    esac\n  fi\n"
                         "  if [ \"$kind\" = files ]; then\n"
                         "    compopt -o filenames 2>/dev/null\n"
                         "    local IFS=$'\\n'\n"
                         "    COMPREPLY=($(compgen -f -- \"$word\"))\n"
                         "  elif [ \"$kind\" != value ]; then\n"
                         "    COMPREPLY=($(compgen -W \"$choices\" -- \"$word\"))\n"
                         "  fi\n}\n");
    return status;
}

static enum status write_bash(struct buffer *out, struct error *error)
{
    enum status status = write_function(out, "_adze", error);
    buffer_add_text(out, "complete -F _adze adze\n");
    return status;
}

/* Zsh takes the file itself for the function _adze and runs it at the first Tab, which is to be
 * answered, too; sourced as any other file, it only makes the function known. */
static enum status write_zsh(struct buffer *out, struct error *error)
{
    buffer_add_text(out, "#compdef adze\nautoload -U +X bashcompinit && bashcompinit\n");
    enum status status = write_function(out, "_adze_words", error);
    buffer_add_text(out, "_adze() {\n  _bash_complete -F _adze_words\n}\n"
                         "if [ \"${funcstack[1]}\" = _adze ]; then\n  _adze \"$@\"\n"
                         "else\n  compdef _adze adze\nfi\n");
    return status;
}

/* Fish. */

static void fish_text(struct buffer *out, const char *text)
{
    for (; *text; text++)
        buffer_printf(out, strchr("'\\", *text) ? "\\%c" : "%c", *text);
}

static enum status write_fish_command(void *context, const struct command *command,
                                      struct option_set *set, struct error *error)
{
    struct buffer *out = context;
    (void)error;
    if (argument_kind(command) != KIND_FILE)
        buffer_printf(out, "complete -c adze -n '__adze_at %s' -f%s\n", command->name,
                      argument_kind(command) == KIND_WORDS ? " -a 'bash zsh fish'" : "");
    for (int g = 0; g < set->count; g++)
        for (const struct option *o = set->groups[g].table; o->name; o++) {
            enum kind kind = option_kind(o);
            buffer_printf(out, "complete -c adze -n '__adze_at %s' -l %s", command->name, o->name);
            if (o->letter)
                buffer_printf(out, " -s %c", o->letter);
            buffer_add_text(out, " -d '");
            fish_text(out, o->help);
            buffer_add_text(out, kind == KIND_FILE ? "' -r -F" : kind == KIND_NONE ? "'" : "' -x");
            if (kind == KIND_WORDS) {
                buffer_add_text(out, " -a '");
                option_words(out, command, o);
                buffer_add_text(out, "'");
            }
            buffer_add_text(out, "\n");
        }
    return STATUS_OK;
}

static enum status write_fish(struct buffer *out, struct error *error)
{
    buffer_add_text(out, "function __adze_at # whether the command line holds this command\n"
                         "    set -l given (commandline -opc)\n"
                         "    test \"$given[2]\" = \"$argv[1]\"\n"
                         "    and test (count $argv) = 1 -o \"$given[3]\" = \"$argv[2]\"\n"
                         "end\n"
                         "function __adze_first # whether it holds just as many words\n"
                         "    test (count (commandline -opc)) = $argv[1]\n"
                         "end\n"
                         "complete -c adze -n '__adze_first 1' -f -a '");
    command_words(out, NULL);
    buffer_add_text(out, "help'\ncomplete -c adze -n '__adze_first 1' -l help\n"
                         "complete -c adze -n '__adze_first 1' -l version\n"
                         "complete -c adze -n '__adze_at help' -f\n"
                         "complete -c adze -n '__adze_first 2; and __adze_at help' -a '");
    command_words(out, NULL);
    buffer_add_text(out, "'\n");
    for_families(out, "complete -c adze -n '__adze_first 2; and __adze_at %s' -f -a '%s'\n");
    return cli_for_commands(write_fish_command, out, error);
}

static enum status run_completion(struct cli *cli, struct error *error)
{
    static const struct {
        const char *name;
        enum status (*write)(struct buffer *, struct error *);
    } shells[] = {{"bash", write_bash}, {"zsh", write_zsh}, {"fish", write_fish}};
    const char *shell = cli->arguments.items[0];
    struct buffer out = {0};
    int which = 0;
    while (which < 3 && strcmp(shells[which].name, shell) != 0)
        which++;
    if (which == 3)
        return error_set(error, STATUS_USAGE,
                         "completion is there for bash, zsh and fish, not '%s'", shell);
    enum status status = shells[which].write(&out, error);
    if (status == STATUS_OK)
        status = buffer_check(&out, error);
    if (status == STATUS_OK)
        fwrite(out.data, 1, out.length, stdout);
    buffer_free(&out);
    return status;
}

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
