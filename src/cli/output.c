/* What commands say: results, progress, lines for people; see cli.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json_text.h"
#include "cli/cli.h"

void *cli_values(struct cli *cli, int index)
{
    return cli->values[index];
}

void cli_result_int(struct cli *cli, const char *key, int64_t value)
{
    json_object_set_new(cli->result, key, json_integer(value));
}

void cli_result_real(struct cli *cli, const char *key, double value)
{
    json_object_set_new(cli->result, key, json_real(value));
}

void cli_result_text(struct cli *cli, const char *key, const char *value)
{
    json_object_set_new(cli->result, key, json_name(value));
}

void cli_progress_end(struct cli *cli)
{
    if (cli->live)
        fputs("\r\033[K", stderr);
    cli->live = false;
}

static void say(struct cli *cli, const char *format, va_list values)
{
    char text[2048];
    cli_progress_end(cli);
    vsnprintf(text, sizeof text, format, values);
    for (char *c = text; *c; c++) /* names of files may hold what a terminal would obey */
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
    fprintf(stderr, "%s\n", text);
}

void cli_say(struct cli *cli, const char *format, ...)
{
    if (cli->common->quiet)
        return;
    va_list values;
    va_start(values, format);
    say(cli, format, values);
    va_end(values);
}

void cli_warn(struct cli *cli, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    say(cli, format, values);
    va_end(values);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

void cli_progress(struct cli *cli, const char *text, double done)
{
    if (cli->common->quiet)
        return;
    double time = now();
    if (isatty(STDERR_FILENO)) {
        if (time - cli->last_progress < 0.1 && done < 1)
            return;
        fprintf(stderr, "\r\033[K%s", text);
        fflush(stderr);
        cli->live = true;
    } else {
        if (time - cli->last_progress < 10)
            return;
        if (cli->last_progress > 0)
            fprintf(stderr, "%s\n", text);
    }
    cli->last_progress = time;
}

void cli_stage_progress(void *context, const char *what, double done)
{
    struct cli *cli = context;
    char text[160];
    snprintf(text, sizeof text, "%s: %s, %.0f %%", cli->command->name, what, done * 100);
    cli_progress(cli, text, done);
}

void cli_metric(struct cli *cli, const char *name, int64_t step, double value)
{
    struct error error;
    if (!cli->ledger || cli->figures_lost ||
        ledger_metric(cli->ledger, cli->run, name, step, value, &error) == STATUS_OK)
        return;
    cli->figures_lost = true;
    cli_warn(cli, "warning: %s; this run's figures are not recorded from here on", error.message);
}

void cli_output(struct cli *cli, const char *path)
{
    char *copy = strdup(path);
    if (copy && cli->outputs.count < 64)
        cli->outputs.paths[cli->outputs.count++] = copy;
    else
        free(copy);
}

enum status cli_check_output(struct cli *cli, const char *path, struct error *error)
{
    if (!path)
        return error_set(error, STATUS_USAGE, "%s: name the output with -o", cli->command->name);
    if (cli->common->force || cli->owned_outputs || !file_exists(path))
        return STATUS_OK;
    return error_set(error, STATUS_USAGE, "%s: already exists; --force overwrites it", path);
}

const char *cli_count(double value, char text[16])
{
    const char *const units[] = {"", "k", "M", "G", "T"};
    int unit = 0;
    while (value >= 1000 && unit < 4) {
        value /= 1000;
        unit++;
    }
    snprintf(text, 16, value >= 100 || unit == 0 ? "%.0f%s" : "%.1f%s", value, units[unit]);
    return text;
}

const char *cli_duration(double seconds, char text[32])
{
    long whole = (long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(text, 32, "%ld h %ld min", whole / 3600, whole % 3600 / 60);
    else if (whole >= 60)
        snprintf(text, 32, "%ld min %ld s", whole / 60, whole % 60);
    else
        snprintf(text, 32, "%ld s", whole);
    return text;
}

const char *cli_bytes(double bytes, char text[16])
{
    const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    int unit = 0;
    while (bytes >= 1000 && unit < 4) {
        bytes /= 1000;
        unit++;
    }
    snprintf(text, 16, bytes >= 100 || unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
    return text;
}
