/* adze report: a page about a run. */
#include "run/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/commands.h"

struct report_options {
    const char *output;
};

static const struct option table[] = {
    {"output", 'o', OPTION_PATH, offsetof(struct report_options, output), "report.html", 0, 0, NULL,
     "FILE", "the page; one that adze has made is made again"},
    {.name = NULL},
};

/* The run that is asked for, or the latest; it is there. */
static enum status find_run(struct cli *cli, struct ledger *ledger, int64_t *id,
                            struct error *error)
{
    int64_t *ids = NULL, count = 0;
    json_t *found = NULL;
    enum status status;
    if (cli->arguments.count > 0) {
        const char *text = cli->arguments.items[0];
        if (!option_parse_int(text, id) || *id < 1)
            return error_set(error, STATUS_USAGE, "'%s' is no number of a run", text);
        status = ledger_read(ledger, *id, &found, error);
        json_decref(found);
        return status;
    }
    status = ledger_list(ledger, &ids, &count, error);
    if (status == STATUS_OK && count == 0)
        status = error_set(error, STATUS_FAILED, "%s: the ledger is empty", cli->common->ledger);
    *id = count > 0 ? ids[count - 1] : 0;
    free(ids);
    return status;
}

static enum status run(struct cli *cli, struct error *error)
{
    const struct report_options *o = cli_values(cli, 0);
    struct ledger *ledger = NULL;
    int64_t id = 0;
    if (!file_exists(cli->common->ledger))
        return error_set(error, STATUS_FAILED, "%s: no ledger here yet; --ledger names another",
                         cli->common->ledger);
    enum status status = ledger_open(cli->common->ledger, &ledger, error);
    if (status == STATUS_OK)
        status = find_run(cli, ledger, &id, error);
    if (status == STATUS_OK && !report_is_page(o->output))
        status = cli_check_output(cli, o->output, error);
    if (status == STATUS_OK)
        status = report_write(ledger, id, o->output, error);
    if (status == STATUS_OK)
        cli_say(cli, "written: %s", o->output);
    cli_result_text(cli, "output", o->output);
    ledger_close(ledger);
    return status;
}

const struct command command_report = {
    .name = "report",
    .arguments = "[RUN]",
    .summary = "Write an HTML page about a run, by default the latest",
    .example = "adze report 12 -o report.html",
    .tables = {{NULL, table, sizeof(struct report_options)}},
    .least = 0,
    .most = 1,
    .run = run,
};
