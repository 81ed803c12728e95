/* See train_job.h. */
#include "cli/train_job.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

#define FEW_STEPS 3 /* updates in a budget of minutes that are worth a word */

const struct option train_run_table[] = {
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
     "learning rate; 0: 0.003 * sqrt(128 / width), a tenth of it for a model that was trained "
     "before, 0.0005 for adapters"},
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
    {"checkpoint-layers", 0, OPTION_FLAG, offsetof(struct train_run, checkpoint_layers), NULL, 0, 0,
     NULL, NULL,
     "keep only the inputs of layers: less memory, a third more time; default: when "
     "memory is short"},
    {"checkpoint-every", 0, OPTION_REAL, offsetof(struct train_run, checkpoint_every), "60", 0, 1e9,
     NULL, "SECONDS", "time between checkpoints"},
    {.name = NULL},
};

char *train_inside(struct train *t, const char *name)
{
    struct buffer path = {0};
    buffer_printf(&path, "%s/%s", t->data->output, name);
    char *copy = path.data ? arena_strdup(&t->cli->arena, path.data) : NULL;
    buffer_free(&path);
    return copy;
}

/* "path", "path=0.5", "path=0.5:0.1": the sources of the mixture. */
static enum status parse_sources(struct train *t, struct error *error)
{
    const struct option_list *list = &t->data->data;
    if (list->count == 0)
        return error_set(error, STATUS_USAGE, "name the training text with -d");
    if (list->count > MIXTURE_SOURCES)
        return error_set(error, STATUS_USAGE, "more than %d sources", MIXTURE_SOURCES);
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
                return error_set(error, STATUS_USAGE, "'%s' ends in no weight", list->items[i]);
        }
        if (!path)
            return error_no_memory(error, 0);
        if (!(isfinite(source->weight) && source->weight >= 0 && isfinite(source->final_weight) &&
              source->final_weight >= 0))
            return error_set(error, STATUS_USAGE, "the weight in '%s' must be a number from 0 up",
                             list->items[i]);
        t->names[t->mixture.count++] = path;
    }
    return STATUS_OK;
}

static struct prepare_job make_job(struct train *t, const char *const *paths, int64_t count)
{
    return (struct prepare_job){
        .paths = paths,
        .path_count = count,
        .corpus = {t->examples ? "" : t->data->field, t->data->strict, &cli_stop},
        .examples = t->examples,
        .threads = t->compute.pool,
        .progress = cli_stage_progress,
        .context = t->cli};
}

static void report_bad(struct train *t, const struct prepare_result *result)
{
    stage_report_bad(t->cli, &result->counts);
    if (result->bad_examples > 0)
        cli_warn(t->cli, "%s: skipped %lld records that are no examples; first: %s",
                 t->cli->command->name, (long long)result->bad_examples, result->first_bad);
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
    if (status == STATUS_OK && shard->stretches > 0)
        status = shard_pack(shard, t->mixture.window, error);
    return status;
}

/* Tokenizes a source into the output folder, unless it is a shard or a resumed run has it. */
static enum status get_shard(struct train *t, int index, struct error *error)
{
    char name[64], held_name[64];
    snprintf(name, sizeof name, "data/train-%d.tokens", index);
    snprintf(held_name, sizeof held_name, "data/held-out-%d.tokens", index);
    char *path = train_inside(t, name), *held_path = train_inside(t, held_name);
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
        struct prepare_job job = make_job(t, &source, 1);
        struct prepare_result result;
        status = prepare_shards(&job, &t->model.tokenizer, path, held_path, share,
                                (uint64_t)t->cli->common->seed, &result, error);
        report_bad(t, &result);
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
    char *path = train_inside(t, "data/held-out.tokens");
    if (!path)
        return error_no_memory(error, 0);
    struct prepare_job job = make_job(t, t->data->held.items, t->data->held.count);
    struct prepare_result result;
    enum status status =
        prepare_shards(&job, &t->model.tokenizer, path, NULL, 0, 0, &result, error);
    report_bad(t, &result);
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
                 "%s: no document falls into the held-out part, so nothing is evaluated; a larger "
                 "--held-out, --held with other text, or pieces (adze split --chunk) would change "
                 "that",
                 t->cli->command->name);
}

/* Everything that shapes the result, so that a resumed run can be held to it. */
static json_t *shaping_options(const struct train *t)
{
    json_t *all = option_values(&t->cli->options);
    const char *const harmless[] = {
        "threads",          "json",   "force",  "quiet",       "ledger",
        "resume",           "output", "strict", "micro-batch", "checkpoint-every",
        "checkpoint-layers"};
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

enum status train_get_data(struct train *t, struct error *error)
{
    int64_t context = t->model.decoder.config.context;
    t->mixture.window = t->shape->context < context ? t->shape->context : context;
    t->mixture.seed = (uint64_t)t->cli->common->seed;
    enum status status = STATUS_OK;
    for (int i = 0; i < t->mixture.count && status == STATUS_OK; i++)
        status = get_shard(t, i, error);
    if (status == STATUS_OK)
        status = get_held(t, error);
    if (status == STATUS_OK)
        warn_no_held(t);
    if (status == STATUS_OK)
        status = mixture_check(&t->mixture, t->names, error);
    if (status == STATUS_OK)
        status = make_settings(t, error);
    return status;
}

enum status train_check_resume(struct train *t, struct error *error)
{
    char *checkpoint = train_inside(t, "checkpoint.safetensors");
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

/* Of the tokens of a row, the part that has a loss; of the source where it is most. */
static double learned_part(const struct train *t)
{
    double most = 0;
    for (int i = 0; i < t->mixture.count; i++) {
        const struct shard *shard = &t->mixture.sources[i].shard;
        double tokens = 0;
        if (shard->stretches == 0)
            return 0;
        for (int64_t j = 0; j < shard->stretches; j++)
            tokens += (double)(shard->stretch_bounds[2 * j + 1] - shard->stretch_bounds[2 * j]);
        double part = tokens / (double)(shard->row_count * t->mixture.window);
        most = part > most ? part : most;
    }
    return most;
}

static struct training_options make_options(const struct train *t)
{
    const struct train_run *r = t->run;
    const struct decoder_config *c = &t->model.decoder.config;
    double rate = r->rate;
    if (rate == 0 && t->adapter_settings.rank > 0) {
        rate = 0.0005;
    } else if (rate == 0) {
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
        .checkpoints = t->checkpoints,
        .learned = learned_part(t),
        .adapters = t->adapter_settings,
    };
}

static void on_step(void *context, const struct training_report *r)
{
    struct train *t = context;
    char text[256], tokens[16], left[32];
    snprintf(text, sizeof text, "step %lld of %lld  loss %.3f  rate %.2g  %s tokens/s  %s left",
             (long long)r->step, (long long)r->total_steps, r->loss, r->rate,
             cli_count(r->tokens_per_second, tokens), cli_duration(r->seconds_left, left));
    if (r->step == 1 && t->run->minutes > 0 && r->total_steps <= FEW_STEPS)
        cli_say(t->cli,
                "only %lld update%s of %lld tokens: no more fit into %g minutes; a smaller --batch "
                "makes more of them",
                (long long)r->total_steps, r->total_steps == 1 ? "" : "s", (long long)r->tokens,
                t->run->minutes);
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

/* What the trainer needs beside what the process has; less when layers keep their inputs only,
 * which is chosen where the user has not and memory is short. */
static double needed_memory(struct train *t, double available)
{
    const struct decoder_config *c = &t->model.decoder.config;
    struct training_options *o = &t->training.options;
    int threads = thread_pool_size(t->compute.pool);
    double resident = stage_memory_resident();
    double need = resident + (double)training_memory(c, o, threads);
    bool chosen = option_given(&t->cli->options, "checkpoint-layers");
    if (!chosen && available > 0 && need - resident > 0.9 * available) {
        o->checkpoints = t->checkpoints = true;
        need = resident + (double)training_memory(c, o, threads);
        cli_say(t->cli,
                "memory is short: layers keep their inputs only, which makes a step a third "
                "slower");
    }
    return need;
}

static enum status announce(struct train *t, struct error *error)
{
    const struct decoder_config *c = &t->model.decoder.config;
    char count[16], trained[16], memory[16], have[16];
    double available = stage_memory_available(), need = needed_memory(t, available);
    int64_t adapted = adapters_values(&t->adapter_settings, c);
    cli_result_int(t->cli, "parameters", decoder_count(c).parameters);
    if (t->adapter_settings.rank > 0)
        cli_result_int(t->cli, "adapter_parameters", adapted);
    cli_result_real(t->cli, "estimated_memory", need);
    cli_result_real(t->cli, "flops_per_token", decoder_training_flops(c, t->mixture.window));
    cli_say(t->cli, "%s parameters%s%s; needs about %s of memory; %s; %d threads",
            cli_count((double)decoder_count(c).parameters, count),
            t->adapter_settings.rank > 0 ? ", and of adapters " : "",
            t->adapter_settings.rank > 0 ? cli_count((double)adapted, trained) : "",
            cli_bytes(need, memory), cpu_describe(&t->compute.cpu),
            thread_pool_size(t->compute.pool));
    if (available > 0 && need > available + stage_memory_resident())
        return error_set(error, STATUS_FAILED,
                         "training needs about %s of memory, only %s are free; a smaller "
                         "--micro-batch, --width or --layers needs less",
                         memory, cli_bytes(available, have));
    return STATUS_OK;
}

void train_clear_away(struct train *t)
{
    const char *const files[] = {"checkpoint.safetensors",
                                 "model.safetensors",
                                 "config.json",
                                 "generation_config.json",
                                 "tokenizer.json",
                                 "tokenizer_config.json",
                                 "chat_template.jinja",
                                 "adapter_config.json",
                                 "adapter_model.safetensors",
                                 "adapter.gguf",
                                 NULL};
    char names[2 * MIXTURE_SOURCES + 1][32];
    const char *shards[2 * MIXTURE_SOURCES + 2] = {"held-out.tokens"};
    for (int i = 0; i < 2 * t->mixture.count; i++) {
        snprintf(names[i], sizeof names[i], "%s-%d.tokens", i % 2 ? "held-out" : "train", i / 2);
        shards[i + 1] = names[i];
    }
    file_remove_leftovers(t->data->output, files);
    file_remove_leftovers(train_inside(t, "data"), shards);
    if (!t->resumes)
        unlink(train_inside(t, "checkpoint.safetensors"));
}

/* Trains to the end, and records figures. */
static enum status train(struct train *t, struct error *error)
{
    struct training *training = &t->training;
    *training = (struct training){
        .model = &t->model,
        .parameters = t->adapter_settings.rank > 0 ? &t->adapters.parameters : NULL,
        .compute = &t->compute,
        .mixture = &t->mixture,
        .held_out = t->held,
        .held_count = t->held_count,
        .options = make_options(t),
        .checkpoint = train_inside(t, "checkpoint.safetensors"),
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
    if (status == STATUS_OK && training->total_steps == 0)
        cli_progress(t->cli, "timing the first steps, to see how many fit", 0);
    t->began = status == STATUS_OK;
    if (status == STATUS_OK)
        status = training_run(training, error);
    if (status == STATUS_INTERRUPTED)
        error_set(error, status, "stopped at step %lld; the same command%s goes on from there",
                  (long long)training->step, t->cli->parent ? "" : " with --resume");
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

/* Before the output folder is made, which would then be in the way of the next try: whether all
 * files are there. */
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

enum status train_check_budget(const struct train *t, struct error *error)
{
    const char *name = t->cli->command->name;
    int budgets = (t->run->steps > 0) + (t->run->tokens > 0) + (t->run->minutes > 0);
    if (budgets != 1)
        return error_set(error, STATUS_USAGE, "%s: give one of --steps, --tokens and --minutes%s",
                         name, budgets > 1 ? ", not several" : "");
    if (option_given(&t->cli->options, "held-out") && t->data->held.count > 0)
        return error_set(error, STATUS_USAGE, "%s: give --held or --held-out, not both", name);
    return STATUS_OK;
}

/* Refuses to overwrite, and names --resume where an unfinished run can be gone on from. */
static enum status check_output(struct train *t, struct error *error)
{
    const char *output = t->data->output;
    if (t->data->resume && output)
        return STATUS_OK;
    enum status status = cli_check_output(t->cli, output, error);
    if (status == STATUS_OK || !output)
        return status;
    const char *checkpoint = train_inside(t, "checkpoint.safetensors");
    const char *model = train_inside(t, "model.safetensors");
    const char *adapter = train_inside(t, "adapter_model.safetensors");
    int64_t step, total;
    if (!checkpoint || !model || !adapter || !file_exists(checkpoint) ||
        training_checkpoint_progress(checkpoint, &step, &total, NULL) != STATUS_OK)
        return status;
    if (step < total || !(file_exists(model) || file_exists(adapter)))
        error_set(error, status,
                  "%s: already exists with a checkpoint at step %lld; --resume goes on from it, "
                  "--force overwrites it",
                  output, (long long)step);
    return status;
}

/* A run that fails before it trains leaves nothing in the way of the next try: the folder goes that
 * it has made and holds, and that has no checkpoint. */
static void take_back(struct train *t)
{
    const char *checkpoint = train_inside(t, "checkpoint.safetensors");
    struct error ignored; /* the run has failed already, and that is what is told */
    if (t->fresh && !t->began && t->lock >= 0 && checkpoint && !file_exists(checkpoint))
        file_remove_tree(t->data->output, &ignored);
}

/* Frees everything but the examples. */
static void close_job(struct train *t)
{
    for (int i = 0; i < t->mixture.count; i++)
        shard_close(&t->mixture.sources[i].shard);
    for (int i = 0; i < t->held_count; i++)
        shard_close(&t->held[i]);
    if (t->lock >= 0)
        close(t->lock);
    adapters_free(&t->adapters);
    free(t->settings);
    model_free(&t->model);
    compute_free(&t->compute);
}

enum status train_job(struct train *t, const struct train_stages *stages, struct error *error)
{
    struct cli *cli = t->cli;
    bool bf16 = strcmp(t->run->precision, "bf16") == 0;
    t->lock = -1;
    t->checkpoints = t->run->checkpoint_layers;
    t->model.tokenizer.bos = t->model.tokenizer.eos = -1;
    enum status status = stages->check(t, error);
    if (status == STATUS_OK)
        status = parse_sources(t, error);
    if (status == STATUS_OK)
        status = check_output(t, error);
    if (status == STATUS_OK)
        status = check_sources(t, error);
    if (status == STATUS_OK)
        status = compute_create((int)cli->common->threads, bf16 ? MATMUL_BF16 : MATMUL_F32,
                                &t->compute, error);
    if (status != STATUS_OK)
        return status;
    t->fresh = !file_exists(t->data->output);
    status = stages->prepare(t, error);
    if (status == STATUS_INTERRUPTED)
        error_set(error, status, "stopped before the first step; the same command%s goes on",
                  cli->parent ? "" : " with --resume");
    if (status == STATUS_OK)
        status = train(t, error);
    if (status == STATUS_OK)
        status = stages->save(t, error);
    if (status == STATUS_OK)
        stages->conclude(t);
    else if (status != STATUS_INTERRUPTED) /* then its data is used by the run that goes on */
        take_back(t);
    close_job(t);
    return status;
}
