/* See stages.h. */
#include "cli/stages.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "run/prepare.h"

const struct option model_table[] = {
    {"model", 'm', OPTION_PATH, offsetof(struct model_options, model), NULL, 0, 0, NULL, "MODEL",
     "a GGUF file, or a folder with config.json and model.safetensors"},
    {"precision", 0, OPTION_CHOICE, offsetof(struct model_options, precision), "int8", 0, 0,
     "int8|bf16|f32", NULL,
     "of matrix products; int8 rounds what meets quantized weights to 8 bits in blocks; f32: "
     "exact"},
    {"adapter", 0, OPTION_LIST, offsetof(struct model_options, adapters), NULL, 0, 0, NULL,
     "PATH[=X]", "put a LoRA on the model (PEFT folder or GGUF), X times as strong"},
    {.name = NULL},
};

const struct option model_path_table[] = {
    {"model", 'm', OPTION_PATH, offsetof(struct model_options, model), NULL, 0, 0, NULL, "MODEL",
     "a GGUF file, or a folder with config.json and model.safetensors"},
    {.name = NULL},
};

/* One of --adapter, onto the model. */
static enum status put_adapter(struct loaded *loaded, const char *text, struct error *error)
{
    struct model *model = &loaded->model;
    struct adapters *adapters = &loaded->adapters[loaded->adapter_count];
    double strength = 1;
    char *path = strdup(text), *equals = path ? strrchr(path, '=') : NULL;
    if (!path)
        return error_no_memory(error, strlen(text));
    if (equals && !file_exists(path)) {
        *equals = 0;
        if (!option_parse_real(equals + 1, &strength)) {
            free(path);
            return error_set(error, STATUS_USAGE, "'%s' ends in no strength", text);
        }
    }
    enum status status = adapters_load(path, &model->decoder, adapters, error);
    if (status == STATUS_OK) {
        adapters_attach(adapters, &model->decoder, strength);
        loaded->adapter_count++;
    }
    free(path);
    return status;
}

enum status loaded_put_adapters(struct loaded *loaded, const struct option_list *list,
                                struct error *error)
{
    if (list->count == 0)
        return STATUS_OK;
    loaded->adapters = calloc((size_t)list->count, sizeof *loaded->adapters);
    enum status status =
        loaded->adapters ? STATUS_OK
                         : error_no_memory(error, (size_t)list->count * sizeof *loaded->adapters);
    for (int64_t i = 0; i < list->count && status == STATUS_OK; i++)
        status = put_adapter(loaded, list->items[i], error);
    return status;
}

enum status loaded_open(struct cli *cli, const struct model_options *options, bool train,
                        struct loaded *loaded, struct error *error)
{
    *loaded = (struct loaded){0};
    if (!options->model)
        return error_set(error, STATUS_USAGE, "%s: name the model with -m", cli->command->name);
    const char *wish = options->precision ? options->precision : "f32";
    enum matmul_precision precision = strcmp(wish, "bf16") == 0   ? MATMUL_BF16
                                      : strcmp(wish, "int8") == 0 ? MATMUL_INT8
                                                                  : MATMUL_F32;
    enum status status =
        compute_create((int)cli->common->threads, precision, &loaded->compute, error);
    if (status != STATUS_OK)
        return status;
    tape_init(&loaded->tape, &loaded->compute);
    status = model_load(options->model, train, &loaded->model, error);
    if (status == STATUS_OK)
        status = loaded_put_adapters(loaded, &options->adapters, error);
    if (status != STATUS_OK)
        loaded_close(loaded);
    return status;
}

void loaded_close(struct loaded *loaded)
{
    tape_free(&loaded->tape);
    for (int64_t i = 0; i < loaded->adapter_count; i++)
        adapters_free(&loaded->adapters[i]);
    free(loaded->adapters);
    model_free(&loaded->model);
    compute_free(&loaded->compute);
}

bool stage_is_gguf(const char *path)
{
    size_t length = strlen(path);
    return length > 5 && strcmp(path + length - 5, ".gguf") == 0;
}

void stage_report_bad(struct cli *cli, const struct corpus_counts *counts)
{
    struct buffer text = {0};
    corpus_describe_bad(counts, &text);
    if (text.length > 0)
        cli_warn(cli, "%s: skipped %s", cli->command->name, text.data);
    buffer_free(&text);
}

/* A scratch file for tokenized text, unlinked by the caller. */
static enum status scratch_path(char *path, size_t size, struct error *error)
{
    const char *folder = getenv("TMPDIR");
    snprintf(path, size, "%s/adze-XXXXXX", folder && *folder ? folder : "/tmp");
    int descriptor = mkstemp(path);
    if (descriptor < 0)
        return error_set(error, STATUS_FAILED, "%s: cannot make a scratch file", path);
    close(descriptor);
    return STATUS_OK;
}

enum status stage_evaluate(struct cli *cli, struct loaded *loaded, const struct option_list *paths,
                           const struct corpus_options *corpus, struct mixture_reading reading,
                           struct model *reference, struct evaluation *result,
                           struct divergence *divergence, struct error *error)
{
    char scratch[4096];
    if (!loaded->model.has_tokenizer)
        return error_set(error, STATUS_FAILED, "%s: the model comes without a tokenizer",
                         loaded->model.path);
    enum status status = scratch_path(scratch, sizeof scratch, error);
    if (status != STATUS_OK)
        return status;
    struct prepare_job job = {.paths = paths->items,
                              .path_count = paths->count,
                              .corpus = *corpus,
                              .threads = loaded->compute.pool,
                              .progress = cli_stage_progress,
                              .context = cli};
    struct prepare_result prepared;
    struct shard shard = {0};
    status = prepare_shards(&job, &loaded->model.tokenizer, scratch, NULL, 0, 0, &prepared, error);
    stage_report_bad(cli, &prepared.counts);
    if (status == STATUS_OK)
        status = shard_open(scratch, &shard, error);
    if (status == STATUS_OK && shard.tokens < 2)
        status = error_set(error, STATUS_FAILED, "%s: no text to evaluate on", paths->items[0]);
    int64_t context = loaded->model.decoder.config.context;
    const struct tok_around *before = &loaded->model.tokenizer.before;
    reading.window = reading.window > 0 && reading.window < context ? reading.window : context;
    reading.begin = before->count > 0 ? before->ids[0] : -1;
    if (status == STATUS_OK && mixture_reading_count(&shard, &reading) < 1)
        status = error_set(error, STATUS_FAILED,
                           "%s: only %lld tokens of text, fewer than a window of %lld",
                           paths->items[0], (long long)shard.tokens, (long long)reading.window);
    if (status == STATUS_OK)
        status = evaluate_shard(&loaded->model.decoder, &loaded->model.tokenizer, &loaded->tape,
                                &shard, &reading, &cli_stop, result, error);
    if (status == STATUS_OK && reference)
        status =
            difference_divergence(&reference->decoder, &loaded->model.decoder, &loaded->compute,
                                  &shard, &reading, &cli_stop, divergence, error);
    shard_close(&shard);
    unlink(scratch);
    return status;
}

void stage_record_evaluation(struct cli *cli, const struct evaluation *e)
{
    cli_result_real(cli, "loss", e->loss);
    cli_result_real(cli, "perplexity", e->perplexity);
    cli_result_real(cli, "bits_per_byte", e->bits_per_byte);
    cli_result_int(cli, "evaluated_tokens", e->tokens);
    cli_result_int(cli, "evaluated_bytes", e->bytes);
    cli_metric(cli, "held-out bits per byte", -1, e->bits_per_byte);
    cli_metric(cli, "held-out loss", -1, e->loss);
}

static double read_field(const char *path, const char *field)
{
    char line[256];
    double kilobytes = 0;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, field, strlen(field)) == 0)
            kilobytes = strtod(line + strlen(field), NULL);
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

double stage_memory_available(void)
{
    return read_field("/proc/meminfo", "MemAvailable:");
}

double stage_memory_resident(void)
{
    return read_field("/proc/self/status", "VmRSS:");
}

double stage_memory_peak(void)
{
    return read_field("/proc/self/status", "VmHWM:");
}

void stage_memory_reset(void)
{
    malloc_trim(0);
    FILE *file = fopen("/proc/self/clear_refs", "w"); /* 5: forget the peak; a hint, no more */
    if (file) {
        fputs("5", file);
        fclose(file);
    }
}
