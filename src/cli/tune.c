/* adze tune: a model that is there, on the user's own text, prompts or conversations. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/train_job.h"
#include "file/adapters.h"
#include "file/families.h"

static const struct option data_table[] = {
    {"model", 'm', OPTION_PATH, offsetof(struct train_data, base), NULL, 0, 0, NULL, "MODEL",
     "the model to tune: a GGUF file of any format, or a folder"},
    {"data", 'd', OPTION_LIST, offsetof(struct train_data, data), NULL, 0, 0, NULL, "PATH",
     "text, or JSON lines with messages, prompt and completion, or text; path=weight"},
    {"held", 0, OPTION_LIST, offsetof(struct train_data, held), NULL, 0, 0, NULL, "PATH",
     "data to evaluate on, instead of a held-out part"},
    {"held-out", 0, OPTION_REAL, offsetof(struct train_data, held_out), "0.05", 0, 0.9, NULL,
     "SHARE", "part of the documents kept for evaluation"},
    {"field", 0, OPTION_TEXT, offsetof(struct train_data, field), "text", 0, 0, NULL, "NAME",
     "field of JSON records that holds plain text"},
    {"strict", 0, OPTION_FLAG, offsetof(struct train_data, strict), NULL, 0, 0, NULL, NULL,
     "stop at the first bad record"},
    {"output", 'o', OPTION_PATH, offsetof(struct train_data, output), NULL, 0, 0, NULL, "FOLDER",
     "gets the adapter, or the model; checkpoint and tokenized data beside it"},
    {"resume", 0, OPTION_FLAG, offsetof(struct train_data, resume), NULL, 0, 0, NULL, NULL,
     "go on from the output folder's checkpoint"},
    {.name = NULL},
};

struct tune_options {
    const char *method, *targets;
    int64_t rank, context;
    double alpha, dropout;
    bool rank_stabilized;
};

static const struct option tune_table[] = {
    {"method", 0, OPTION_CHOICE, offsetof(struct tune_options, method), "lora", 0, 0, "lora|full",
     NULL, "lora: small adapters on the frozen model; full: all weights, in f32"},
    {"rank", 'r', OPTION_INT, offsetof(struct tune_options, rank), "8", 1, 65536, NULL, NULL,
     "of the adapters"},
    {"alpha", 0, OPTION_REAL, offsetof(struct tune_options, alpha), "16", 1e-6, 1e9, NULL, NULL,
     "adapters count alpha / rank times"},
    {"rslora", 0, OPTION_FLAG, offsetof(struct tune_options, rank_stabilized), NULL, 0, 0, NULL,
     NULL, "alpha / sqrt(rank) times instead: for large ranks"},
    {"targets", 0, OPTION_TEXT, offsetof(struct tune_options, targets), "all-linear", 0, 0, NULL,
     "LAYERS", "query,key,value,output,gate,up,down, or all-linear"},
    {"dropout", 0, OPTION_REAL, offsetof(struct tune_options, dropout), "0", 0, 0.9, NULL, NULL,
     "dropout rate: of adapters, or in full tuning of the model"},
    {"context", 'c', OPTION_INT, offsetof(struct tune_options, context), "512", 2, 1 << 24, NULL,
     "TOKENS", "length of a row; at most the model's"},
    {.name = NULL},
};

static bool is_lora(const struct tune_options *o)
{
    return strcmp(o->method, "lora") == 0;
}

static enum status make_adapters(struct train *t, const struct tune_options *o, struct error *error)
{
    t->adapter_settings = (struct adapter_settings){.rank = o->rank,
                                                    .alpha = o->alpha,
                                                    .rank_stabilized = o->rank_stabilized,
                                                    .dropout = o->dropout};
    enum status status = adapters_parse_targets(o->targets, &t->adapter_settings.targets, error);
    if (status == STATUS_OK)
        status = adapters_create(&t->adapter_settings, &t->model.decoder, &t->adapters, error);
    if (status == STATUS_OK)
        status = adapters_declare_all(&t->adapters, &t->model.decoder, error);
    if (status == STATUS_OK)
        status = adapters_allocate(&t->adapters, error);
    if (status != STATUS_OK)
        return status;
    adapters_draw(&t->adapters, (uint64_t)t->cli->common->seed);
    adapters_attach(&t->adapters, &t->model.decoder, 1);
    return STATUS_OK;
}

static enum status load(struct train *t, const struct tune_options *o, struct error *error)
{
    enum status status = model_load(t->data->base, !is_lora(o), &t->model, error);
    if (status == STATUS_OK && !t->model.has_tokenizer)
        status = error_set(error, STATUS_FAILED, "%s: the model comes without a tokenizer",
                           t->data->base);
    if (status == STATUS_OK && is_lora(o))
        return make_adapters(t, o, error);
    if (status == STATUS_OK)
        t->model.decoder.config.dropout = o->dropout;
    if (status == STATUS_OK)
        status = huggingface_check_config(&t->model.decoder.config, t->data->base, error);
    return status;
}

static enum status prepare(struct train *t, struct error *error)
{
    const struct tune_options *o = cli_values(t->cli, 1);
    enum status status = train_check_resume(t, error);
    if (status == STATUS_OK)
        status = load(t, o, error);
    if (status == STATUS_OK)
        status = examples_create(&t->model, t->data->field, t->examples, error);
    if (status == STATUS_OK)
        status = file_make_folders(train_inside(t, "data"), error);
    if (status == STATUS_OK)
        status = file_lock_folder(t->data->output, &t->lock, error);
    if (status == STATUS_OK)
        train_clear_away(t);
    if (status == STATUS_OK)
        status = train_get_data(t, error);
    /* Now, not within the first step: what is mapped counts for the estimate of memory. */
    if (status == STATUS_OK)
        status = model_check_finite(&t->model, error);
    return status;
}

/* The adapter in PEFT's layout and as GGUF, or the whole model. */
static enum status save(struct train *t, struct error *error)
{
    const struct tune_options *o = cli_values(t->cli, 1);
    const char *output = t->data->output;
    if (!is_lora(o)) {
        t->model.decoder.config.dropout = 0;
        return model_save_folder(&t->model, output, error);
    }
    const struct family *family = family_by_name(t->model.decoder.config.family);
    struct decoder *decoder = &t->model.decoder;
    enum status status = adapters_save(&t->adapters, decoder, t->data->base, output, error);
    char *gguf = train_inside(t, "adapter.gguf");
    if (status == STATUS_OK && family->gguf && family->arch)
        status = gguf ? adapters_save(&t->adapters, decoder, t->data->base, gguf, error)
                      : error_no_memory(error, 0);
    return status;
}

static void conclude(struct train *t)
{
    const struct tune_options *o = cli_values(t->cli, 1);
    char duration[32];
    const char *const adapter[] = {"adapter_model.safetensors", "adapter_config.json",
                                   "adapter.gguf"};
    const char *const model[] = {"model.safetensors", "config.json", "tokenizer.json"};
    cli_result_text(t->cli, is_lora(o) ? "adapter" : "model", t->data->output);
    if (t->held_count > 0)
        stage_record_evaluation(t->cli, &t->evaluation);
    for (int i = 0; i < 3; i++) {
        char *path = train_inside(t, is_lora(o) ? adapter[i] : model[i]);
        if (path && file_exists(path))
            cli_output(t->cli, path);
    }
    cli_say(t->cli, "tuned for %s; the %s is in %s",
            cli_duration(json_real_value(json_object_get(t->cli->result, "seconds")), duration),
            is_lora(o) ? "adapter" : "model", t->data->output);
}

static enum status check_options(struct train *t, struct error *error)
{
    const struct tune_options *o = cli_values(t->cli, 1);
    static const char *const of_lora[] = {"rank", "alpha", "rslora", "targets", NULL};
    if (!t->data->base)
        return error_set(error, STATUS_USAGE, "tune: name the model with -m");
    for (int i = 0; !is_lora(o) && of_lora[i]; i++)
        if (option_given(&t->cli->options, of_lora[i]))
            return error_set(error, STATUS_USAGE, "tune: --%s is for --method lora", of_lora[i]);
    if (!file_exists(t->data->base))
        return error_set_errno(error, errno, "%s", t->data->base);
    return train_check_budget(t, error);
}

static enum status run(struct cli *cli, struct error *error)
{
    static const struct train_stages stages = {check_options, prepare, save, conclude};
    const struct tune_options *o = cli_values(cli, 1);
    struct train_shape shape = {.context = o->context, .dropout = o->dropout};
    struct examples examples = {0};
    struct train t = {.cli = cli,
                      .data = cli_values(cli, 0),
                      .shape = &shape,
                      .run = cli_values(cli, 2),
                      .examples = &examples};
    enum status status = train_job(&t, &stages, error);
    examples_free(&examples);
    return status;
}

const struct command command_tune = {
    .name = "tune",
    .arguments = "",
    .summary = "Tune a model on your text, prompts or conversations",
    .detail = "Conversations go through the model's own chat template, and only the assistant's "
              "turns are\nlearned. Adapters are written in PEFT's layout and as GGUF; 'adze "
              "merge' folds them in.\nCtrl-C saves a checkpoint; --resume goes on from it, bit "
              "for bit.",
    .example = "adze tune -m model.gguf -d chats.jsonl --steps 200 -o adapter",
    .tables = {{"Data", data_table, sizeof(struct train_data)},
               {"Tuning", tune_table, sizeof(struct tune_options)},
               {"Training", train_run_table, sizeof(struct train_run)}},
    .records = true,
    .run = run,
};
