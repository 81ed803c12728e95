/* adze train: from text to a model folder. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/train_job.h"

static const struct option data_table[] = {
    {"data", 'd', OPTION_LIST, offsetof(struct train_data, data), NULL, 0, 0, NULL, "PATH",
     "training text: files or folders, path=weight or path=first:last weight"},
    {"held", 0, OPTION_LIST, offsetof(struct train_data, held), NULL, 0, 0, NULL, "PATH",
     "text to evaluate on, instead of a held-out part of the data"},
    {"held-out", 0, OPTION_REAL, offsetof(struct train_data, held_out), "0.02", 0, 0.9, NULL,
     "SHARE", "part of the documents kept for evaluation"},
    {"field", 0, OPTION_TEXT, offsetof(struct train_data, field), "text", 0, 0, NULL, "NAME",
     "field of JSON records that holds the text"},
    {"strict", 0, OPTION_FLAG, offsetof(struct train_data, strict), NULL, 0, 0, NULL, NULL,
     "stop at the first bad record"},
    {"tokenizer", 0, OPTION_PATH, offsetof(struct train_data, tokenizer), NULL, 0, 0, NULL, "FILE",
     "tokenizer.json; default: the base's, or one learned from the data"},
    {"vocabulary", 0, OPTION_INT, offsetof(struct train_data, vocabulary), "8192", 257, 1 << 24,
     NULL, "TOKENS", "size of a tokenizer that is learned"},
    {"base", 0, OPTION_PATH, offsetof(struct train_data, base), NULL, 0, 0, NULL, "MODEL",
     "continue from this model instead of random values"},
    {"output", 'o', OPTION_PATH, offsetof(struct train_data, output), NULL, 0, 0, NULL, "FOLDER",
     "the new model, its checkpoint and its tokenized data"},
    {"resume", 0, OPTION_FLAG, offsetof(struct train_data, resume), NULL, 0, 0, NULL, NULL,
     "go on from the output folder's checkpoint"},
    {.name = NULL},
};

static const struct option shape_table[] = {
    {"family", 0, OPTION_CHOICE, offsetof(struct train_shape, family), "llama", 0, 0, "llama|gpt2",
     NULL, "kind of decoder"},
    {"layers", 0, OPTION_INT, offsetof(struct train_shape, layers), "4", 1, 4096, NULL, NULL,
     "layers"},
    {"width", 0, OPTION_INT, offsetof(struct train_shape, width), "256", 1, 131072, NULL, NULL,
     "width of the residual stream"},
    {"heads", 0, OPTION_INT, offsetof(struct train_shape, heads), "4", 1, 4096, NULL, NULL,
     "attention heads"},
    {"kv-heads", 0, OPTION_INT, offsetof(struct train_shape, kv_heads), "0", 0, 4096, NULL, NULL,
     "key/value heads; 0: as many as heads"},
    {"hidden", 0, OPTION_INT, offsetof(struct train_shape, hidden), "0", 0, 1 << 20, NULL, NULL,
     "width of the feed-forward layer; 0: by family"},
    {"context", 'c', OPTION_INT, offsetof(struct train_shape, context), "256", 1, 1 << 24, NULL,
     "TOKENS", "context length"},
    {"tied", 0, OPTION_FLAG, offsetof(struct train_shape, tied), NULL, 0, 0, NULL, NULL,
     "output projection shares the embedding (GPT-2: always)"},
    {"dropout", 0, OPTION_REAL, offsetof(struct train_shape, dropout), "0", 0, 0.9, NULL, NULL,
     "dropout rate"},
    {.name = NULL},
};

static enum status get_tokenizer(struct train *t, struct error *error)
{
    char *path = train_inside(t, "tokenizer.json");
    if (!path)
        return error_no_memory(error, 0);
    if (t->model.has_tokenizer && !t->data->tokenizer)
        return STATUS_OK; /* the base's */
    tok_free(&t->model.tokenizer);
    enum status status;
    if (t->data->tokenizer) {
        status = tok_load(t->data->tokenizer, &t->model.tokenizer, error);
    } else if (t->resumes && file_exists(path)) {
        status = tok_load(path, &t->model.tokenizer, error);
    } else {
        struct prepare_job job = {.paths = t->names,
                                  .path_count = t->mixture.count,
                                  .corpus = {t->data->field, t->data->strict, &cli_stop},
                                  .threads = t->compute.pool,
                                  .progress = cli_stage_progress,
                                  .context = t->cli};
        struct prepare_result result;
        status = prepare_tokenizer(&job, (int32_t)t->data->vocabulary, &t->model.tokenizer, &result,
                                   error);
        if (status == STATUS_OK)
            cli_say(t->cli, "tokenizer: %d tokens learned from %.1f MB of text",
                    (int)t->model.tokenizer.count, (double)result.counts.bytes / 1e6);
    }
    t->model.has_tokenizer = status == STATUS_OK;
    return status == STATUS_OK ? tok_save(&t->model.tokenizer, path, error) : status;
}

/* The base's decoder, with what may be chosen anew. */
static enum status take_base(struct train *t, struct error *error)
{
    struct decoder_config *c = &t->model.decoder.config;
    c->dropout = t->shape->dropout;
    if (t->model.tokenizer.count > c->vocabulary)
        return error_set(error, STATUS_FAILED,
                         "%s: has %lld tokens, the tokenizer %d: it is not this model's",
                         t->data->base, (long long)c->vocabulary, (int)t->model.tokenizer.count);
    return huggingface_check_config(c, t->data->base, error);
}

static enum status make_model(struct train *t, struct error *error)
{
    const struct train_shape *s = t->shape;
    if (t->data->base)
        return take_base(t, error);
    struct decoder_config c = strcmp(s->family, "gpt2") == 0
                                  ? decoder_config_gpt2(t->model.tokenizer.count, s->context,
                                                        s->width, s->layers, s->heads)
                                  : decoder_config_llama(t->model.tokenizer.count, s->context,
                                                         s->width, s->layers, s->heads);
    c.kv_heads = s->kv_heads > 0 ? s->kv_heads : s->heads;
    c.hidden = s->hidden > 0 ? s->hidden : c.hidden;
    c.tied = c.tied || s->tied;
    c.dropout = s->dropout;
    if (t->model.tokenizer.before.count > 0)
        c.bos_token = t->model.tokenizer.before.ids[0];
    c.eos_token = t->model.tokenizer.eos;
    enum status status = decoder_config_check(&c, "train", error);
    if (status == STATUS_OK)
        status = huggingface_check_config(&c, "train", error);
    if (status == STATUS_OK)
        status =
            decoder_create_random(&c, (uint64_t)t->cli->common->seed, &t->model.decoder, error);
    return status;
}

static enum status prepare(struct train *t, struct error *error)
{
    enum status status = train_check_resume(t, error);
    if (status == STATUS_OK)
        status = t->data->base ? model_load(t->data->base, true, &t->model, error) : STATUS_OK;
    if (status == STATUS_OK)
        status = file_make_folders(train_inside(t, "data"), error);
    if (status == STATUS_OK)
        status = file_lock_folder(t->data->output, &t->lock, error);
    if (status == STATUS_OK)
        status = get_tokenizer(t, error);
    if (status == STATUS_OK)
        status = make_model(t, error);
    if (status == STATUS_OK)
        train_clear_away(t);
    return status == STATUS_OK ? train_get_data(t, error) : status;
}

static void conclude(struct train *t)
{
    char duration[32];
    cli_result_text(t->cli, "model", t->data->output);
    if (t->held_count > 0)
        stage_record_evaluation(t->cli, &t->evaluation);
    /* The folder as a whole is not hashed: the checkpoint in it is large and no result. */
    const char *const parts[] = {"model.safetensors", "config.json", "tokenizer.json"};
    for (int i = 0; i < 3; i++)
        cli_output(t->cli, train_inside(t, parts[i]));
    cli_say(t->cli, "trained for %s; the model is in %s",
            cli_duration(json_real_value(json_object_get(t->cli->result, "seconds")), duration),
            t->data->output);
}

/* Options that say the same thing twice, or what something else decides. */
static enum status check_contradictions(struct train *t, struct error *error)
{
    const struct option_set *set = &t->cli->options;
    const char *const of_base[] = {"family",   "layers", "width", "heads",
                                   "kv-heads", "hidden", "tied",  NULL};
    for (int i = 0; t->data->base && of_base[i]; i++)
        if (option_given(set, of_base[i]))
            return error_set(error, STATUS_USAGE,
                             "train: --%s is decided by --base, give one of the two", of_base[i]);
    if (option_given(set, "vocabulary") && (t->data->tokenizer || t->data->base))
        return error_set(error, STATUS_USAGE,
                         "train: --vocabulary is decided by --%s, give one of the two",
                         t->data->tokenizer ? "tokenizer" : "base");
    if (t->shape->width % t->shape->heads != 0)
        return error_set(error, STATUS_USAGE, "train: width %lld is no multiple of %lld heads",
                         (long long)t->shape->width, (long long)t->shape->heads);
    return train_check_budget(t, error);
}

static enum status save(struct train *t, struct error *error)
{
    return model_save_folder(&t->model, t->data->output, error);
}

static enum status run(struct cli *cli, struct error *error)
{
    static const struct train_stages stages = {check_contradictions, prepare, save, conclude};
    struct train t = {.cli = cli,
                      .data = cli_values(cli, 0),
                      .shape = cli_values(cli, 1),
                      .run = cli_values(cli, 2)};
    return train_job(&t, &stages, error);
}

const struct command command_train = {
    .name = "train",
    .arguments = "",
    .summary = "Train a model on text, from nothing or from a base",
    .detail = "Text is tokenized into the output folder, a part is held out for evaluation, and "
              "the\nmodel is written as a Hugging Face folder. Ctrl-C saves a checkpoint; --resume "
              "goes\non from it, bit for bit.",
    .example = "adze train -d docs/ --minutes 5 -o model",
    .tables = {{"Data", data_table, sizeof(struct train_data)},
               {"Model", shape_table, sizeof(struct train_shape)},
               {"Training", train_run_table, sizeof(struct train_run)}},
    .records = true,
    .run = run,
};
