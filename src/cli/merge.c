/* adze merge: folds adapters into a model. */
#include <string.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/stages.h"
#include "methods/shrink/rtn.h"
#include "weight/formats.h"

struct merge_options {
    struct option_list adapters;
    const char *output, *format;
};

static const struct option table[] = {
    {"adapter", 'a', OPTION_LIST, offsetof(struct merge_options, adapters), NULL, 0, 0, NULL,
     "PATH[=X]", "the LoRA (PEFT folder or GGUF), X times as strong; several add up"},
    {"output", 'o', OPTION_PATH, offsetof(struct merge_options, output), NULL, 0, 0, NULL, "PATH",
     "FILE.gguf, or a folder for config.json and model.safetensors"},
    {"format", 'f', OPTION_CHOICE, offsetof(struct merge_options, format), "as-base", 0, 0,
     "as-base|f32|" MIX_NAMES, NULL, "of the changed matrices in a GGUF file; as-base: their own"},
    {.name = NULL},
};

static enum status merge(struct loaded *loaded, const struct merge_options *o, bool gguf,
                         struct error *error)
{
    struct model *model = &loaded->model;
    bool own = strcmp(o->format, "as-base") == 0, plain = strcmp(o->format, "f32") == 0;
    struct shrink_result shrunk;
    if (!own && !plain && !gguf)
        return error_set(error, STATUS_USAGE, "--format %s needs an output named *.gguf",
                         o->format);
    /* In a folder all is f32, so nothing need be rounded on the way. */
    enum status status = adapters_merge(&model->decoder, own && gguf ? NULL : &weight_f32,
                                        &model->owned, model->stop, error);
    if (status == STATUS_OK && !own && !plain)
        status = rtn_pack(model, &loaded->compute, mix_by_name(o->format), NULL, &shrunk, error);
    if (status == STATUS_OK && gguf)
        return model_save_gguf(model, o->output, NULL, "adze", error);
    return status == STATUS_OK ? model_save_folder(model, o->output, error) : status;
}

static enum status run(struct cli *cli, struct error *error)
{
    const struct merge_options *o = cli_values(cli, 1);
    struct loaded loaded;
    if (o->adapters.count == 0)
        return error_set(error, STATUS_USAGE, "merge: name the adapter with -a");
    enum status status = cli_check_output(cli, o->output, error);
    if (status == STATUS_OK)
        status = loaded_open(cli, cli_values(cli, 0), false, &loaded, error);
    if (status != STATUS_OK)
        return status;
    loaded.model.stop = &cli_stop;
    status = loaded_put_adapters(&loaded, &o->adapters, error);
    if (status == STATUS_OK)
        status = merge(&loaded, o, stage_is_gguf(o->output), error);
    loaded_close(&loaded);
    if (status == STATUS_OK) {
        cli_result_text(cli, "output", o->output);
        cli_output(cli, o->output);
        cli_say(cli, "written: %s", o->output);
    }
    return status;
}

const struct command command_merge = {
    .name = "merge",
    .arguments = "",
    .summary = "Fold adapters into a model, in the model's own format",
    .example = "adze merge -m model.gguf -a adapter -o tuned.gguf",
    .tables = {{"Model", model_path_table, sizeof(struct model_options)},
               {"Merging", table, sizeof(struct merge_options)}},
    .records = true,
    .run = run,
};
