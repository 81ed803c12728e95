/* adze train: from text to a model folder. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/stages.h"
#include "run/prepare.h"
#include "run/training.h"

struct train_data {
    struct option_list data, held;
    const char *field, *tokenizer, *base, *output;
    double held_out;
    int64_t vocabulary;
    bool resume, strict;
};

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

struct train_shape {
    const char *family;
    int64_t layers, width, heads, kv_heads, hidden, context;
    bool tied;
    double dropout;
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

struct train_run {
    int64_t steps, tokens, batch, micro_batch, evaluate_every, evaluate_tokens;
    double minutes, rate, warmup, final_rate, decay_part, weight_decay, beta1, beta2, epsilon;
    double momentum, clip, checkpoint_every;
    const char *schedule, *optimizer, *precision;
};

static const struct option run_table[] = {
    {"steps", 'n', OPTION_INT, offsetof(struct train_run, steps), "0", 0, 1e12, NULL, NULL,
     "updates; or give --tokens or --minutes"},
    {"tokens", 0, OPTION_INT, offsetof(struct train_run, tokens), "0", 0, 1e15, NULL, NULL,
     "tokens to train on"},
    {"minutes", 0, OPTION_REAL, offsetof(struct train_run, minutes), "0", 0, 1e6, NULL, NULL,
     "time to train for"},
    {"batch", 'b', OPTION_INT, offsetof(struct train_run, batch), "16", 1, 1e6, NULL, "ROWS",
     "rows of context tokens in an update"},
    {"micro-batch", 0, OPTION_INT, offsetof(struct train_run, micro_batch), "0", 0, 1e6, NULL,
     "ROWS", "rows worked on together; 0: about 1024 tokens"},
    {"rate", 0, OPTION_REAL, offsetof(struct train_run, rate), "0", 0, 100, NULL, NULL,
     "learning rate; 0: 0.003 * sqrt(128 / width), a tenth of it with --base"},
    {"schedule", 0, OPTION_CHOICE, offsetof(struct train_run, schedule), "cosine", 0, 0,
     "constant|cosine|linear|wsd", NULL, "course of the rate"},
    {"warmup", 0, OPTION_REAL, offsetof(struct train_run, warmup), "0.03", 0, 1, NULL, "SHARE",
     "part of the run in which the rate rises"},
    {"final-rate", 0, OPTION_REAL, offsetof(struct train_run, final_rate), "0.1", 0, 1, NULL,
     "SHARE", "rate at the end, as a part of the peak"},
    {"decay-part", 0, OPTION_REAL, offsetof(struct train_run, decay_part), "0.2", 0, 1, NULL,
     "SHARE", "part of the run in which wsd decays"},
    {"optimizer", 0, OPTION_CHOICE, offsetof(struct train_run, optimizer), "adamw", 0, 0,
     "adamw|sgd", NULL, "optimizer"},
    {"weight-decay", 0, OPTION_REAL, offsetof(struct train_run, weight_decay), "0.1", 0, 10, NULL,
     NULL, "decoupled decay of matrices, times the rate"},
    {"beta1", 0, OPTION_REAL, offsetof(struct train_run, beta1), "0.9", 0, 0.9999, NULL, NULL,
     "AdamW's first decay"},
    {"beta2", 0, OPTION_REAL, offsetof(struct train_run, beta2), "0.95", 0, 0.99999, NULL, NULL,
     "AdamW's second decay"},
    {"epsilon", 0, OPTION_REAL, offsetof(struct train_run, epsilon), "1e-8", 0, 1, NULL, NULL,
     "AdamW's epsilon"},
    {"momentum", 0, OPTION_REAL, offsetof(struct train_run, momentum), "0.9", 0, 0.9999, NULL, NULL,
     "SGD's momentum"},
    {"clip", 0, OPTION_REAL, offsetof(struct train_run, clip), "1", 0, 1e9, NULL, NULL,
     "largest norm of the gradient; 0: no clipping"},
    {"precision", 0, OPTION_CHOICE, offsetof(struct train_run, precision), "f32", 0, 0, "f32|bf16",
     NULL, "of matrix products; sums and state are f32"},
    {"evaluate-every", 0, OPTION_INT, offsetof(struct train_run, evaluate_every), "200", 0, 1e12,
     NULL, "STEPS", "evaluate every so many steps; 0: at the end only"},
    {"evaluate-tokens", 0, OPTION_INT, offsetof(struct train_run, evaluate_tokens), "50000", 0,
     1e15, NULL, "TOKENS", "held-out tokens evaluated each time; 0: all"},
    {"checkpoint-every", 0, OPTION_REAL, offsetof(struct train_run, checkpoint_every), "60", 0, 1e9,
     NULL, "SECONDS", "time between checkpoints"},
    {.name = NULL},
};

/* Everything that the command holds while it works. */
struct train {
    struct cli *cli;
    const struct train_data *data;
    const struct train_shape *shape;
    const struct train_run *run;
    struct model model;
    struct compute compute;
    struct mixture mixture;
    const char *names[MIXTURE_SOURCES];
    struct shard held[MIXTURE_SOURCES];
    int held_count;
    struct training training;
    char *settings;
    int lock;     /* on the output folder; -1: none */
    bool resumes; /* from a checkpoint that is there; what lies beside it is its data */
    struct evaluation evaluation;
    double loss_sum;
    int64_t loss_count;
};

static char *inside(struct train *t, const char *name)
{
    struct buffer path = {0};
    buffer_printf(&path, "%s/%s", t->data->output, name);
    char *copy = path.data ? arena_strdup(&t->cli->arena, path.data) : NULL;
    buffer_free(&path);
    return copy;
}

static enum status get_tokenizer(struct train *t, struct error *error)
{
    char *path = inside(t, "tokenizer.json");
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

/* "path", "path=0.5", "path=0.5:0.1": the path, and the weights of its source. */
static enum status parse_sources(struct train *t, struct error *error)
{
    const struct option_list *list = &t->data->data;
    if (list->count == 0)
        return error_set(error, STATUS_USAGE, "train: name the training text with -d");
    if (list->count > MIXTURE_SOURCES)
        return error_set(error, STATUS_USAGE, "train: more than %d sources", MIXTURE_SOURCES);
    for (int64_t i = 0; i < list->count; i++) {
        char *path = arena_strdup(&t->cli->arena, list->items[i]);
        struct mixture_source *source = &t->mixture.sources[t->mixture.count];
        source->weight = source->final_weight = 1;
        char *equals = path ? strrchr(path, '=') : NULL;
        if (equals && !file_exists(path)) {
            char *end;
            *equals = 0;
            source->weight = source->final_weight = strtod(equals + 1, &end);
            if (*end == ':')
                source->final_weight = strtod(end + 1, &end);
            if (*end || end == equals + 1)
                return error_set(error, STATUS_USAGE, "train: '%s' ends in no weight",
                                 list->items[i]);
        }
        if (!path)
            return error_no_memory(error, 0);
        if (!(isfinite(source->weight) && source->weight >= 0 && isfinite(source->final_weight) &&
              source->final_weight >= 0))
            return error_set(error, STATUS_USAGE,
                             "train: the weight in '%s' must be a number from 0 up",
                             list->items[i]);
        t->names[t->mixture.count++] = path;
    }
    return STATUS_OK;
}

static enum status open_shard(struct train *t, const char *path, const char *name,
                              struct shard *shard, struct error *error)
{
    enum status status = shard_open(path, shard, error);
    if (status == STATUS_OK &&
        shard->tokenizer_hash != prepare_tokenizer_hash(&t->model.tokenizer)) {
        shard_close(shard);
        status = error_set(error, STATUS_FAILED, "%s: was tokenized with another tokenizer", name);
    }
    return status;
}

/* Tokenizes a source into the output folder, unless it is a shard or a resumed run has it. */
static enum status get_shard(struct train *t, int index, struct error *error)
{
    char name[64], held_name[64];
    snprintf(name, sizeof name, "data/train-%d.tokens", index);
    snprintf(held_name, sizeof held_name, "data/held-out-%d.tokens", index);
    char *path = inside(t, name), *held_path = inside(t, held_name);
    if (!path || !held_path)
        return error_no_memory(error, 0);
    const char *source = t->names[index];
    size_t length = strlen(source);
    bool ready = length > 7 && strcmp(source + length - 7, ".tokens") == 0;
    double share = t->data->held.count == 0 && !ready ? t->data->held_out : 0;
    enum status status = STATUS_OK;
    if (ready) {
        path = (char *)(uintptr_t)source;
    } else if (!(t->resumes && file_exists(path) && (share <= 0 || file_exists(held_path)))) {
        struct prepare_job job = {.paths = &source,
                                  .path_count = 1,
                                  .corpus = {t->data->field, t->data->strict, &cli_stop},
                                  .threads = t->compute.pool,
                                  .progress = cli_stage_progress,
                                  .context = t->cli};
        struct prepare_result result;
        status = prepare_shards(&job, &t->model.tokenizer, path, held_path, share,
                                (uint64_t)t->cli->common->seed, &result, error);
        stage_report_bad(t->cli, &result.counts);
    }
    if (status == STATUS_OK)
        status = open_shard(t, path, source, &t->mixture.sources[index].shard, error);
    if (status == STATUS_OK && share > 0) {
        status = open_shard(t, held_path, source, &t->held[t->held_count], error);
        if (status == STATUS_OK && t->held[t->held_count].tokens < 2)
            shard_close(&t->held[t->held_count]);
        else if (status == STATUS_OK)
            t->held_count++;
    }
    return status;
}

static enum status get_held(struct train *t, struct error *error)
{
    if (t->data->held.count == 0)
        return STATUS_OK;
    char *path = inside(t, "data/held-out.tokens");
    if (!path)
        return error_no_memory(error, 0);
    struct prepare_job job = {.paths = t->data->held.items,
                              .path_count = t->data->held.count,
                              .corpus = {t->data->field, t->data->strict, &cli_stop},
                              .threads = t->compute.pool,
                              .progress = cli_stage_progress,
                              .context = t->cli};
    struct prepare_result result;
    enum status status =
        prepare_shards(&job, &t->model.tokenizer, path, NULL, 0, 0, &result, error);
    stage_report_bad(t->cli, &result.counts);
    if (status == STATUS_OK)
        status = open_shard(t, path, path, &t->held[0], error);
    if (status == STATUS_OK && t->held[0].tokens < 2)
        status =
            error_set(error, STATUS_FAILED, "%s: no text to evaluate on", t->data->held.items[0]);
    t->held_count = status == STATUS_OK;
    return status;
}

static void warn_no_held(struct train *t)
{
    if (t->held_count == 0 && t->data->held_out > 0)
        cli_warn(t->cli,
                 "train: no document falls into the held-out part, so nothing is evaluated; a "
                 "larger --held-out, or --held with other text, would change that");
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
    c.eos_token = t->model.tokenizer.eos;
    enum status status = decoder_config_check(&c, "train", error);
    if (status == STATUS_OK)
        status = huggingface_check_config(&c, "train", error);
    if (status == STATUS_OK)
        status =
            decoder_create_random(&c, (uint64_t)t->cli->common->seed, &t->model.decoder, error);
    return status;
}

/* Everything that shapes the result, so that a resumed run can be held to it. */
static json_t *shaping_options(const struct train *t)
{
    json_t *all = option_values(&t->cli->options);
    const char *const harmless[] = {
        "threads", "json",   "force",  "quiet",       "ledger",
        "resume",  "output", "strict", "micro-batch", "checkpoint-every"};
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        json_object_del(all, harmless[i]);
    return all;
}

static enum status make_settings(struct train *t, struct error *error)
{
    json_t *all = shaping_options(t);
    for (int i = 0; i < t->mixture.count; i++) {
        char key[32];
        snprintf(key, sizeof key, "tokens of source %d", i + 1);
        json_object_set_new(all, key, json_integer(t->mixture.sources[i].shard.tokens));
    }
    t->settings = all ? json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(all);
    return t->settings ? STATUS_OK : error_no_memory(error, 4096);
}

/* Holds the options to those of the checkpoint, if there is one, before anything is touched. */
static enum status check_resume(struct train *t, struct error *error)
{
    char *checkpoint = inside(t, "checkpoint.safetensors");
    if (!t->data->resume || !checkpoint || !file_exists(checkpoint))
        return checkpoint ? STATUS_OK : error_no_memory(error, 0);
    json_t *all = shaping_options(t);
    char *settings = all ? json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    enum status status = settings ? training_checkpoint_fits(checkpoint, settings, error)
                                  : error_no_memory(error, 4096);
    t->resumes = status == STATUS_OK;
    free(settings);
    json_decref(all);
    return status;
}

static struct training_options make_options(const struct train *t)
{
    const struct train_run *r = t->run;
    const struct decoder_config *c = &t->model.decoder.config;
    double rate = r->rate;
    if (rate == 0) {
        rate = 0.003 * sqrt(128.0 / (double)c->width);
        rate *= t->data->base ? 0.1 : 1;
    }
    return (struct training_options){
        .batch = r->batch,
        .micro_batch = r->micro_batch,
        .window = t->mixture.window,
        .steps = r->steps,
        .tokens = r->tokens,
        .minutes = r->minutes,
        .optimizer = {.kind = strcmp(r->optimizer, "sgd") == 0 ? OPTIMIZER_SGD : OPTIMIZER_ADAMW,
                      .beta1 = r->beta1,
                      .beta2 = r->beta2,
                      .epsilon = r->epsilon,
                      .momentum = r->momentum,
                      .decay = r->weight_decay,
                      .clip = r->clip},
        .schedule = {.kind = (enum schedule_kind)schedule_kind_by_name(r->schedule),
                     .peak = rate,
                     .floor_ratio = r->final_rate,
                     .decay_fraction = r->decay_part},
        .warmup_share = r->warmup,
        .seed = (uint64_t)t->cli->common->seed,
        .evaluate_every = r->evaluate_every,
        .evaluate_tokens = r->evaluate_tokens,
        .checkpoint_seconds = r->checkpoint_every,
        .settings = t->settings,
    };
}

static void on_step(void *context, const struct training_report *r)
{
    struct train *t = context;
    char text[256], tokens[16], left[32];
    snprintf(text, sizeof text, "step %lld of %lld  loss %.3f  rate %.2g  %s tokens/s  %s left",
             (long long)r->step, (long long)r->total_steps, r->loss, r->rate,
             cli_count(r->tokens_per_second, tokens), cli_duration(r->seconds_left, left));
    cli_progress(t->cli, text, (double)r->step / (double)r->total_steps);
    t->loss_sum += r->loss;
    t->loss_count++;
    /* About 200 points are enough for a curve. */
    int64_t every = r->total_steps / 200 > 1 ? r->total_steps / 200 : 1;
    if (r->step % every == 0 || r->step == r->total_steps) {
        cli_metric(t->cli, "loss", r->step, t->loss_sum / (double)t->loss_count);
        cli_metric(t->cli, "gradient norm", r->step, r->norm);
        cli_metric(t->cli, "rate", r->step, r->rate);
        cli_metric(t->cli, "tokens per second", r->step, r->tokens_per_second);
        t->loss_sum = 0;
        t->loss_count = 0;
    }
}

static void on_evaluation(void *context, int64_t step, const struct evaluation *e)
{
    struct train *t = context;
    t->evaluation = *e;
    cli_metric(t->cli, "held-out loss", step, e->loss);
    cli_metric(t->cli, "held-out bits per byte", step, e->bits_per_byte);
    cli_say(t->cli, "step %lld: held-out loss %.4f, perplexity %.2f, %.4f bits per byte",
            (long long)step, e->loss, e->perplexity, e->bits_per_byte);
}

static enum status announce(struct train *t, struct error *error)
{
    const struct decoder_config *c = &t->model.decoder.config;
    char count[16], memory[16], have[16];
    double need =
        stage_memory_resident() +
        (double)training_memory(c, &t->training.options, thread_pool_size(t->compute.pool));
    double available = stage_memory_available();
    cli_result_int(t->cli, "parameters", decoder_count(c).parameters);
    cli_result_real(t->cli, "estimated_memory", need);
    cli_result_real(t->cli, "flops_per_token", decoder_training_flops(c, t->mixture.window));
    cli_say(t->cli, "%s parameters; needs about %s of memory; %s; %d threads",
            cli_count((double)decoder_count(c).parameters, count), cli_bytes(need, memory),
            cpu_describe(&t->compute.cpu), thread_pool_size(t->compute.pool));
    if (available > 0 && need > available)
        return error_set(error, STATUS_FAILED,
                         "training needs about %s of memory, only %s are free; a smaller "
                         "--micro-batch, --width or --layers needs less",
                         memory, cli_bytes(available, have));
    return STATUS_OK;
}

/* Of killed runs: what they were writing, when this one goes on from their checkpoint; and a
 * checkpoint, when it does not, lest this run, killed in turn, be taken up from there. */
static void clear_away(struct train *t)
{
    const char *const files[] = {"checkpoint.safetensors", "model.safetensors", "config.json",
                                 "generation_config.json", "tokenizer.json",    NULL};
    char names[2 * MIXTURE_SOURCES + 1][32];
    const char *shards[2 * MIXTURE_SOURCES + 2] = {"held-out.tokens"};
    for (int i = 0; i < 2 * t->mixture.count; i++) {
        snprintf(names[i], sizeof names[i], "%s-%d.tokens", i % 2 ? "held-out" : "train", i / 2);
        shards[i + 1] = names[i];
    }
    file_remove_leftovers(t->data->output, files);
    file_remove_leftovers(inside(t, "data"), shards);
    if (!t->resumes)
        unlink(inside(t, "checkpoint.safetensors"));
}

static enum status prepare(struct train *t, struct error *error)
{
    enum status status = check_resume(t, error);
    if (status == STATUS_OK)
        status = t->data->base ? model_load(t->data->base, true, &t->model, error) : STATUS_OK;
    if (status == STATUS_OK)
        status = file_make_folders(inside(t, "data"), error);
    if (status == STATUS_OK)
        status = file_lock_folder(t->data->output, &t->lock, error);
    if (status == STATUS_OK)
        status = get_tokenizer(t, error);
    if (status == STATUS_OK)
        status = make_model(t, error);
    if (status == STATUS_OK)
        clear_away(t);
    for (int i = 0; i < t->mixture.count && status == STATUS_OK; i++)
        status = get_shard(t, i, error);
    if (status == STATUS_OK)
        status = get_held(t, error);
    if (status == STATUS_OK)
        warn_no_held(t);
    int64_t context = t->model.decoder.config.context;
    t->mixture.window = t->shape->context < context ? t->shape->context : context;
    t->mixture.seed = (uint64_t)t->cli->common->seed;
    if (status == STATUS_OK)
        status = mixture_check(&t->mixture, t->names, error);
    if (status == STATUS_OK)
        status = make_settings(t, error);
    return status;
}

static enum status run_training(struct train *t, struct error *error)
{
    struct training *training = &t->training;
    *training = (struct training){
        .model = &t->model,
        .compute = &t->compute,
        .mixture = &t->mixture,
        .held_out = t->held,
        .held_count = t->held_count,
        .options = make_options(t),
        .checkpoint = inside(t, "checkpoint.safetensors"),
        .stop = &cli_stop,
        .on_step = on_step,
        .on_evaluation = on_evaluation,
        .context = t,
    };
    stage_memory_reset();
    enum status status = announce(t, error);
    if (status == STATUS_OK)
        status = training_create(training, error);
    if (status != STATUS_OK)
        return status;
    if (t->resumes) {
        status = training_resume(training, error);
        if (status == STATUS_OK)
            cli_say(t->cli, "going on from step %lld of %lld", (long long)training->step,
                    (long long)training->total_steps);
    }
    if (status == STATUS_OK)
        status = training_run(training, error);
    if (status == STATUS_INTERRUPTED)
        error_set(error, status, "stopped at step %lld; the same command%s goes on from there",
                  (long long)training->step, t->cli->parent ? "" : " with --resume");
    else if (status == STATUS_OK)
        status = model_save_folder(&t->model, t->data->output, error);
    double seconds = training->seconds > 0 ? training->seconds : 1;
    cli_result_int(t->cli, "steps", training->step);
    cli_result_int(t->cli, "tokens",
                   training->step * training->options.batch * training->options.window);
    cli_result_real(t->cli, "seconds", training->seconds);
    cli_result_real(
        t->cli, "tokens_per_second",
        (double)(training->steps_here * training->options.batch * training->options.window) /
            seconds);
    cli_result_real(t->cli, "peak_memory", stage_memory_peak());
    training_free(training);
    return status;
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
        cli_output(t->cli, inside(t, parts[i]));
    cli_say(t->cli, "trained for %s; the model is in %s",
            cli_duration(json_real_value(json_object_get(t->cli->result, "seconds")), duration),
            t->data->output);
}

/* Options that say the same thing twice, or what something else decides. */
static enum status check_contradictions(const struct train *t, struct error *error)
{
    const struct option_set *set = &t->cli->options;
    const char *const of_base[] = {"family",   "layers", "width", "heads",
                                   "kv-heads", "hidden", "tied",  NULL};
    int budgets = (t->run->steps > 0) + (t->run->tokens > 0) + (t->run->minutes > 0);
    if (budgets != 1)
        return error_set(error, STATUS_USAGE,
                         "train: give one of --steps, --tokens and --minutes%s",
                         budgets > 1 ? ", not several" : "");
    for (int i = 0; t->data->base && of_base[i]; i++)
        if (option_given(set, of_base[i]))
            return error_set(error, STATUS_USAGE,
                             "train: --%s is decided by --base, give one of the two", of_base[i]);
    if (option_given(set, "vocabulary") && (t->data->tokenizer || t->data->base))
        return error_set(error, STATUS_USAGE,
                         "train: --vocabulary is decided by --%s, give one of the two",
                         t->data->tokenizer ? "tokenizer" : "base");
    if (option_given(set, "held-out") && t->data->held.count > 0)
        return error_set(error, STATUS_USAGE, "train: give --held or --held-out, not both");
    if (t->shape->width % t->shape->heads != 0)
        return error_set(error, STATUS_USAGE, "train: width %lld is no multiple of %lld heads",
                         (long long)t->shape->width, (long long)t->shape->heads);
    return STATUS_OK;
}

/* Before the output folder is made, which would then be in the way of the next try. */
static enum status check_sources(const struct train *t, struct error *error)
{
    for (int i = 0; i < t->mixture.count; i++)
        if (!file_exists(t->names[i]))
            return error_set_errno(error, errno, "%s", t->names[i]);
    for (int64_t i = 0; i < t->data->held.count; i++)
        if (!file_exists(t->data->held.items[i]))
            return error_set_errno(error, errno, "%s", t->data->held.items[i]);
    if (t->data->tokenizer && !file_exists(t->data->tokenizer))
        return error_set_errno(error, errno, "%s", t->data->tokenizer);
    return STATUS_OK;
}

static enum status run(struct cli *cli, struct error *error)
{
    struct train t = {.cli = cli,
                      .data = cli_values(cli, 0),
                      .shape = cli_values(cli, 1),
                      .run = cli_values(cli, 2),
                      .lock = -1};
    t.model.tokenizer.bos = t.model.tokenizer.eos = -1;
    enum status status = check_contradictions(&t, error);
    if (status == STATUS_OK)
        status = parse_sources(&t, error);
    if (status == STATUS_OK && (!t.data->resume || !t.data->output))
        status = cli_check_output(cli, t.data->output, error);
    if (status == STATUS_OK)
        status = check_sources(&t, error);
    if (status == STATUS_OK)
        status = compute_create((int)cli->common->threads,
                                strcmp(t.run->precision, "bf16") == 0 ? MATMUL_BF16 : MATMUL_F32,
                                &t.compute, error);
    if (status != STATUS_OK)
        return status;
    status = prepare(&t, error);
    if (status == STATUS_INTERRUPTED)
        error_set(error, status, "stopped before the first step; the same command%s goes on",
                  cli->parent ? "" : " with --resume");
    if (status == STATUS_OK)
        status = run_training(&t, error);
    if (status == STATUS_OK)
        conclude(&t);
    for (int i = 0; i < t.mixture.count; i++)
        shard_close(&t.mixture.sources[i].shard);
    for (int i = 0; i < t.held_count; i++)
        shard_close(&t.held[i]);
    if (t.lock >= 0)
        close(t.lock);
    free(t.settings);
    model_free(&t.model);
    compute_free(&t.compute);
    return status;
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
               {"Training", run_table, sizeof(struct train_run)}},
    .records = true,
    .run = run,
};
