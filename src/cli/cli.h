/* The command line. A command is data (name, options, text) and a function; parsing, help, ledger,
 * reuse, progress and error lines are done here, the same for every command. Only this room prints
 * and decides about exit codes. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/options.h"
#include "base/threads.h"
#include "run/ledger.h"

#define CLI_TABLES 6

struct cli;

struct cli_table {
    const char *title;
    const struct option *options;
    size_t size; /* of the struct that the options fill */
};

struct command {
    const char *name;      /* "train", or "tokenizer train" */
    const char *arguments; /* "[RUN]" or "" */
    const char *summary;   /* one line */
    const char *detail;    /* a paragraph for --help and the man page, or NULL */
    const char *example;   /* a line that runs */
    struct cli_table tables[CLI_TABLES];
    int least, most; /* positional arguments */
    bool records;    /* its runs are on the ledger */
    /* Options of the method named by --method; false when there is no such method. */
    bool (*method_table)(const char *method, struct cli_table *table);
    enum status (*run)(struct cli *cli, struct error *error);
    /* Says for people what the result holds, also when it is that of an earlier run; NULL: nothing.
     */
    void (*show)(struct cli *cli);
};

/* Options that every command has. */
struct common_options {
    int64_t threads, seed;
    bool json, force, quiet;
    const char *ledger;
};

struct cli {
    const struct command *command;
    struct arena arena;
    struct option_set options;
    void *values[CLI_TABLES + 2]; /* structs of the command's tables, in order */
    void *method_values;
    struct option_list arguments;
    struct common_options *common;
    json_t *result;        /* what --json prints and the ledger keeps */
    struct ledger *ledger; /* NULL when the command does not record */
    int64_t run;
    const struct cli *parent; /* command that this is a step of, or NULL */
    bool reused;
    const char *recipe; /* whole path of the recipe whose steps this runs, or NULL */
    bool owned_outputs; /* a chain in its own folder: its steps may overwrite */
    bool figures_lost;  /* the ledger takes none any more, and that has been said */
    bool live;          /* a progress line stands on the terminal */
    double last_progress;
    struct list_of_paths {
        char *paths[64];
        int count;
    } outputs;
};

/* Every command, ended by a NULL. */
extern const struct command *const cli_commands[];

/* Set by Ctrl-C and the like, to the signal's number. */
extern volatile sig_atomic_t cli_stop;

/* Runs a command line (without the program's name); returns the exit code. A step of `parent`
 * (NULL: none) inherits its general options. When `result` is not NULL it receives the command's
 * result with the number of its run, a new reference. When `failure` is not NULL it receives the
 * line that says what went wrong, which is otherwise printed. */
int cli_dispatch(int count, char **arguments, const struct cli *parent, json_t **result,
                 struct error *failure);

/* What commands use. */

/* Adds to the result. */
void cli_result_int(struct cli *cli, const char *key, int64_t value);
void cli_result_real(struct cli *cli, const char *key, double value);
void cli_result_text(struct cli *cli, const char *key, const char *value);
/* A line for people, on stderr; nothing with --quiet or --json. */
void cli_say(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line that --quiet does not silence. */
void cli_warn(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A live line on a terminal; in a log a plain line now and then. `done` in [0, 1]. */
void cli_progress(struct cli *cli, const char *text, double done);
/* As the progress callbacks of stages want it: context is the cli. */
void cli_stage_progress(void *context, const char *what, double done);
/* Ends the live line. */
void cli_progress_end(struct cli *cli);
/* A figure for the ledger; step -1: of the whole run. */
void cli_metric(struct cli *cli, const char *name, int64_t step, double value);
/* A file or folder that the command has made: hashed into the ledger when the run ends. */
void cli_output(struct cli *cli, const char *path);
/* Refuses to overwrite `path` without --force; steps of a chain may overwrite their own. */
enum status cli_check_output(struct cli *cli, const char *path, struct error *error);
/* The values of table `index`. */
void *cli_values(struct cli *cli, int index);

/* "1.5k", "16.9M": a count for people, in a buffer of 16. */
const char *cli_count(double value, char text[16]);
/* "3 min 20 s". */
const char *cli_duration(double seconds, char text[32]);
/* "12.3 MB". */
const char *cli_bytes(double bytes, char text[16]);

/* Pages made from the command tables. */
void cli_help_all(struct buffer *out);
/* The commands that begin with this word, "tokenizer train" and so on; false when there are none.
 */
bool cli_help_family(const char *word, struct buffer *out);
void cli_help_command(const struct command *command, struct option_set *options,
                      struct buffer *out);
void cli_man_page(const struct command *command, struct option_set *options, struct buffer *out);
/* Builds the option set of a command, with `method` when it takes one. */
enum status cli_make_options(struct cli *cli, const char *method, struct error *error);

#endif
