/* The program's entry: Ctrl-C, and over to the dispatcher. */
#include <signal.h>
#include <unistd.h>

#include "cli/cli.h"

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
