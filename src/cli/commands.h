/* All commands; the list is in main.c. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/cli.h"

extern const struct command command_adapt, command_run;
extern const struct command command_split, command_select;
extern const struct command command_tokenizer_train, command_tokenizer_encode,
    command_tokenizer_decode;
extern const struct command command_train, command_tune, command_merge, command_shrink;
extern const struct command command_convert, command_export, command_info, command_diff;
extern const struct command command_generate, command_chat, command_perplexity, command_embed,
    command_serve;
extern const struct command command_runs, command_runs_show, command_runs_compare,
    command_runs_export;
extern const struct command command_report, command_methods;
extern const struct command command_manual, command_completion;

/* Calls `visit` for each command with its options made, those of its default method included. */
enum status cli_for_commands(enum status (*visit)(void *, const struct command *,
                                                  struct option_set *, struct error *),
                             void *context, struct error *error);

#endif
