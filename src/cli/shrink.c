/* adze shrink: a model in fewer bits. */
#include <string.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/stages.h"
#include "methods/shrink/shrink.h"

struct shrink_options {
    const char *method, *output;
};

static const struct option table[] = {
    {"method", 0, OPTION_TEXT, offsetof(struct shrink_options, method), "rtn", 0, 0, NULL, "NAME",
     "how to shrink: rtn"},
    {"output", 'o', OPTION_PATH, offsetof(struct shrink_options, output), NULL, 0, 0, NULL, "FILE",
     "the smaller model, a GGUF file"},
    {.name = NULL},
};

static bool method_table(const char *name, struct cli_table *out)
{
    const struct shrink_method *method = shrink_method_by_name(name);
    if (method)
        *out = (struct cli_table){method->name, method->options, method->options_size};
    return method != NULL;
}

static enum status shrink_and_save(struct cli *cli, const struct shrink_options *o,
                                   struct loaded *loaded, struct error *error)
{
    struct shrink_result result;
    uint64_t file_bytes = 0;
    char before[16], after[16];
    enum status status = shrink_method_by_name(o->method)->run(&loaded->model, &loaded->compute,
                                                               cli->method_values, &result, error);
    if (status == STATUS_OK)
        status = model_save_gguf(&loaded->model, o->output, NULL, "adze", error);
    if (status == STATUS_OK)
        status = file_size(o->output, &file_bytes, error);
    if (status != STATUS_OK)
        return status;
    cli_result_int(cli, "weight_bytes_before", result.bytes_before);
    cli_result_int(cli, "weight_bytes", result.bytes_after);
    cli_result_int(cli, "file_bytes", (int64_t)file_bytes);
    cli_result_real(cli, "bits_per_weight", result.bits_per_weight);
    cli_result_real(cli, "relative_error", result.relative_error);
    cli_result_text(cli, "output", o->output);
    cli_metric(cli, "bits per weight", -1, result.bits_per_weight);
    cli_say(cli, "%s -> %s of weights, %.2f bits a weight, relative error %.4f",
            cli_bytes((double)result.bytes_before, before),
            cli_bytes((double)result.bytes_after, after), result.bits_per_weight,
            result.relative_error);
    if (result.kept > 0)
        cli_warn(cli,
                 "warning: %lld matrices were left as they are: their rows are no whole blocks",
                 (long long)result.kept);
    cli_output(cli, o->output);
    return STATUS_OK;
}

static enum status run(struct cli *cli, struct error *error)
{
    const struct model_options *model = cli_values(cli, 0);
    const struct shrink_options *o = cli_values(cli, 1);
    struct loaded loaded;
    enum status status = cli_check_output(cli, o->output, error);
    if (status == STATUS_OK)
        status = loaded_open(cli, model, false, &loaded, error);
    if (status != STATUS_OK)
        return status;
    loaded.model.stop = &cli_stop;
    status = shrink_and_save(cli, o, &loaded, error);
    loaded_close(&loaded);
    return status;
}

const struct command command_shrink = {
    .name = "shrink",
    .arguments = "",
    .summary = "Store a model's weights in fewer bits, as a GGUF file",
    .example = "adze shrink -m model --format q4_0 -o model.gguf",
    .tables = {{"Model", model_path_table, sizeof(struct model_options)},
               {"Shrinking", table, sizeof(struct shrink_options)}},
    .records = true,
    .method_table = method_table,
    .run = run,
};
