/* adze convert and adze info: models between file formats, and what a file holds. */
#include <string.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/stages.h"
#include "methods/shrink/rtn.h"
#include "weight/formats.h"

struct convert_options {
    const char *output, *format;
};

static const struct option convert_table[] = {
    {"output", 'o', OPTION_PATH, offsetof(struct convert_options, output), NULL, 0, 0, NULL, "PATH",
     "FILE.gguf, or a folder for config.json and model.safetensors"},
    {"format", 'f', OPTION_CHOICE, offsetof(struct convert_options, format), "f32", 0, 0,
     "f32|" MIX_NAMES, NULL, "of the matrices in a GGUF file; f32: as they are"},
    {.name = NULL},
};

static enum status run_convert(struct cli *cli, struct error *error)
{
    const struct convert_options *o = cli_values(cli, 1);
    struct loaded loaded;
    enum status status = cli_check_output(cli, o->output, error);
    if (status == STATUS_OK)
        status = loaded_open(cli, cli_values(cli, 0), false, &loaded, error);
    if (status != STATUS_OK)
        return status;
    size_t length = strlen(o->output);
    bool gguf = length > 5 && strcmp(o->output + length - 5, ".gguf") == 0;
    const struct weight_format *format = weight_format_by_name(o->format);
    bool packs = !format || format->block > 1;
    struct shrink_result shrunk;
    if (packs && !gguf)
        status =
            error_set(error, STATUS_USAGE, "--format %s needs an output named *.gguf", o->format);
    else if (packs)
        status =
            rtn_pack(&loaded.model, &loaded.compute, mix_by_name(o->format), NULL, &shrunk, error);
    if (status == STATUS_OK && gguf)
        status = model_save_gguf(&loaded.model, o->output, packs ? NULL : format, "adze", error);
    else if (status == STATUS_OK)
        status = model_save_folder(&loaded.model, o->output, error);
    loaded_close(&loaded);
    if (status == STATUS_OK) {
        cli_result_text(cli, "output", o->output);
        cli_output(cli, o->output);
        cli_say(cli, "written: %s", o->output);
    }
    return status;
}

const struct command command_convert = {
    .name = "convert",
    .arguments = "",
    .summary = "Write a model as GGUF or as a Hugging Face folder",
    .example = "adze convert -m model -o model-f16.gguf --format f16",
    .tables = {{"Model", model_path_table, sizeof(struct model_options)},
               {"Output", convert_table, sizeof(struct convert_options)}},
    .records = true,
    .run = run_convert,
};

static void describe_formats(struct cli *cli, const struct model *model)
{
    json_t *formats = json_object();
    int64_t bytes = 0;
    for (int i = 0; i < model->decoder.parameters.count; i++) {
        const struct weight *w = &model->decoder.parameters.items[i].weight;
        const char *name = w->format->name;
        json_int_t count = json_integer_value(json_object_get(formats, name));
        json_object_set_new(formats, name, json_integer(count + 1));
        bytes += w->rows * (w->columns / w->format->block) * (int64_t)w->format->block_bytes;
    }
    json_object_set_new(cli->result, "tensors", formats);
    cli_result_int(cli, "weight_bytes", bytes);
}

static void describe_chat(struct cli *cli, const struct model *model)
{
    const struct model_chat *chat = &model->chat;
    json_t *names = json_array(), *ends = json_array();
    for (int i = 0; i < chat->template_count; i++)
        json_array_append_new(names, json_name(chat->templates[i].name));
    for (int32_t id = 0; model->has_tokenizer && id < model->tokenizer.count; id++)
        if (model_is_end(model, id))
            json_array_append_new(ends, json_integer(id));
    json_object_set_new(cli->result, "chat_templates", names);
    json_object_set_new(cli->result, "end_tokens", ends);
}

static enum status run_info(struct cli *cli, struct error *error)
{
    struct model_options options = {cli->arguments.items[0], "f32"};
    struct loaded loaded;
    enum status status = loaded_open(cli, &options, false, &loaded, error);
    if (status != STATUS_OK)
        return status;
    const struct decoder_config *c = &loaded.model.decoder.config;
    char count[16];
    cli_result_text(cli, "family", c->family);
    cli_result_int(cli, "parameters", decoder_count(c).parameters);
    cli_result_int(cli, "layers", c->layers);
    cli_result_int(cli, "width", c->width);
    cli_result_int(cli, "heads", c->heads);
    cli_result_int(cli, "kv_heads", c->kv_heads);
    cli_result_int(cli, "head_width", c->head_width);
    cli_result_int(cli, "hidden", c->hidden);
    cli_result_int(cli, "context", c->context);
    cli_result_int(cli, "vocabulary", c->vocabulary);
    json_object_set_new(cli->result, "tied", json_boolean(c->tied));
    json_object_set_new(cli->result, "tokenizer", json_boolean(loaded.model.has_tokenizer));
    describe_chat(cli, &loaded.model);
    describe_formats(cli, &loaded.model);
    if (!cli->common->json) {
        char size[16];
        printf("%s: %s decoder, %s parameters, %s of weights\n", cli->arguments.items[0], c->family,
               cli_count((double)decoder_count(c).parameters, count),
               cli_bytes((double)json_integer_value(json_object_get(cli->result, "weight_bytes")),
                         size));
        printf("  %lld layers, width %lld, %lld heads (%lld for keys and values), feed-forward "
               "%lld\n  context %lld, vocabulary %lld%s, %s tokenizer%s\n  tensors:",
               (long long)c->layers, (long long)c->width, (long long)c->heads,
               (long long)c->kv_heads, (long long)c->hidden, (long long)c->context,
               (long long)c->vocabulary, c->tied ? " (tied)" : "",
               loaded.model.has_tokenizer ? "with its" : "without",
               loaded.model.chat.template_count ? " and chat template" : "");
        const char *name;
        json_t *value;
        json_object_foreach(json_object_get(cli->result, "tensors"), name, value)
            printf(" %lld x %s", (long long)json_integer_value(value), name);
        putchar('\n');
    }
    loaded_close(&loaded);
    return STATUS_OK;
}

static const struct option no_options[] = {{.name = NULL}};

const struct command command_info = {
    .name = "info",
    .arguments = "MODEL",
    .summary = "Say what a model file or folder holds",
    .example = "adze info model.gguf",
    .tables = {{NULL, no_options, 1}},
    .least = 1,
    .most = 1,
    .run = run_info,
};
