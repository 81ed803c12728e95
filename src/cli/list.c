/* The list of commands, in the order of --help. */
#include "cli/commands.h"

const struct command *const cli_commands[] = {
    &command_adapt,
    &command_run,
    &command_split,
    &command_select,
    &command_tokenizer_train,
    &command_tokenizer_encode,
    &command_tokenizer_decode,
    &command_train,
    &command_shrink,
    &command_convert,
    &command_info,
    &command_generate,
    &command_perplexity,
    &command_embed,
    &command_serve,
    &command_runs,
    &command_runs_show,
    &command_runs_compare,
    &command_runs_export,
    &command_report,
    &command_methods,
    &command_manual,
    &command_completion,
    NULL,
};
