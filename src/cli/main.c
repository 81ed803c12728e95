/* The program's entry: signals, standard streams, and over to the dispatcher. */
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "cli/cli.h"

/* The first Ctrl-C, kill or loss of the terminal asks for a tidy end, a second one ends at once. */
static void on_interrupt(int number)
{
    if (cli_stop)
        _exit(130);
    cli_stop = number;
}

/* A mapped file that has become shorter while it was read, or a disk that fails under it. */
static void on_bus_error(int number)
{
    (void)number;
    static const char message[] =
        "adze: a file was cut short, or could not be read, while in use\n";
    ssize_t written = write(STDERR_FILENO, message, sizeof message - 1);
    (void)written;
    _exit(1);
}

/* A stream that was closed by the caller must not be taken by the next file that is opened, into
 * which messages would then be written. It becomes one that refuses to be written to. */
static void hold_streams(void)
{
    int descriptor;
    do
        descriptor = open("/dev/null", O_RDONLY);
    while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    if (descriptor > STDERR_FILENO)
        close(descriptor);
}

int main(int count, char **arguments)
{
    struct sigaction action = {.sa_handler = on_interrupt}, bus = {.sa_handler = on_bus_error};
    struct sigaction before;
    hold_streams();
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, NULL, &before);
    if (before.sa_handler != SIG_IGN) /* else nohup wants it so */
        sigaction(SIGHUP, &action, NULL);
    sigaction(SIGBUS, &bus, NULL);
    return cli_dispatch(count - 1, arguments + 1, NULL, NULL, NULL);
}
