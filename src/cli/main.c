/* The program's entry: the list of commands, Ctrl-C, and over to the dispatcher. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

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

/* The first Ctrl-C asks for a tidy end, a second one ends at once. */
static void on_interrupt(int number)
{
    (void)number;
    if (cli_stop)
        _exit(130);
    cli_stop = 1;
}

int main(int count, char **arguments)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return cli_dispatch(count - 1, arguments + 1, NULL, NULL);
}
