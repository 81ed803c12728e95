/* adze convert and adze export: models between file formats, and proof that what was written is
 * what there was. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/stages.h"
#include "methods/shrink/rtn.h"
#include "run/difference.h"
#include "weight/formats.h"

struct convert_options {
    const char *output, *format;
    bool no_verify;
};

static const struct option convert_table[] = {
    {"output", 'o', OPTION_PATH, offsetof(struct convert_options, output), NULL, 0, 0, NULL, "PATH",
     "FILE.gguf, or a folder for config.json and model.safetensors"},
    {"format", 'f', OPTION_CHOICE, offsetof(struct convert_options, format), "f32", 0, 0,
     "f32|" MIX_NAMES, NULL, "of the matrices in a GGUF file; f32: as they are"},
    {"no-verify", 0, OPTION_FLAG, offsetof(struct convert_options, no_verify), NULL, 0, 0, NULL,
     NULL, "do not read the result back and compare"},
    {.name = NULL},
};

struct export_options {
    const char *output, *format, *prompts;
    int64_t tokens;
};

static const struct option export_table[] = {
    {"output", 'o', OPTION_PATH, offsetof(struct export_options, output), NULL, 0, 0, NULL, "PATH",
     "FILE.gguf, or a folder for config.json and model.safetensors"},
    {"format", 'f', OPTION_CHOICE, offsetof(struct export_options, format), "f32", 0, 0,
     "f32|" MIX_NAMES, NULL, "of the matrices in a GGUF file; f32: as they are"},
    {"prompts", 0, OPTION_PATH, offsetof(struct export_options, prompts), NULL, 0, 0, NULL, "FILE",
     "texts, one a line, whose greedy answers are compared; default: eight of adze's own"},
    {"tokens", 'n', OPTION_INT, offsetof(struct export_options, tokens), "32", 1, 1e6, NULL, NULL,
     "tokens of an answer"},
    {.name = NULL},
};

static const char *const usual_prompts[] = {
    "The capital of France is",
    "Once upon a time",
    "def fibonacci(n):",
    "1, 2, 3, 4,",
    "Dear Sir or Madam,",
    "In the beginning",
    "Question: What is the boiling point of water?\nAnswer:",
    "Die Katze sitzt auf",
};

#define MUCH_DIVERGENCE 0.05 /* nats: several times what shrinking a model to 4 bits costs */

/* What is written, where to, and by which prompts it is tried. */
struct job {
    const char *output, *format;
    const char *const *prompts;
    int64_t prompt_count, tokens;
};

/* Writes the model of `path`, adapters folded in. */
static enum status write_model(struct cli *cli, const struct model_options *source,
                               const struct job *job, struct error *error)
{
    bool gguf = stage_is_gguf(job->output);
    const struct weight_format *format = weight_format_by_name(job->format);
    bool packs = !format || format->block > 1;
    struct loaded loaded;
    struct shrink_result shrunk;
    if (packs && !gguf)
        return error_set(error, STATUS_USAGE, "--format %s needs an output named *.gguf",
                         job->format);
    enum status status = loaded_open(cli, source, false, &loaded, error);
    if (status != STATUS_OK)
        return status;
    struct model *model = &loaded.model;
    model->stop = &cli_stop;
    if (loaded.adapter_count > 0)
        status = adapters_merge(&model->decoder, gguf && !packs ? NULL : &weight_f32, &model->owned,
                                model->stop, error);
    if (status == STATUS_OK && packs)
        status = rtn_pack(model, &loaded.compute, mix_by_name(job->format), NULL, &shrunk, error);
    if (status == STATUS_OK && gguf)
        status = model_save_gguf(model, job->output, packs ? NULL : format, "adze", error);
    else if (status == STATUS_OK)
        status = model_save_folder(model, job->output, error);
    loaded_close(&loaded);
    return status;
}

/* Says what has lost precision, and how much that matters. Adapters that were folded in change the
 * rounding of products even where no tensor has lost any. */
static enum status weigh_loss(struct cli *cli, struct loaded *before, struct model *after,
                              const struct answers *answers, const json_t *tensors,
                              struct error *error)
{
    struct divergence d;
    enum status status = difference_divergence_rows(
        &before->model.decoder, &after->decoder, &before->compute, answers->ids, answers->counts,
        answers->prompts, before->model.stop, &d, error);
    if (status != STATUS_OK)
        return status;
    cli_result_real(cli, "mean_divergence", d.mean);
    cli_result_real(cli, "top_agreement", d.agreement);
    json_object_set(cli->result, "lossy_tensors", (json_t *)(uintptr_t)tensors);
    double worst = 0;
    const char *name = "";
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *tensor = json_array_get(tensors, i);
        double relative = json_number_value(json_object_get(tensor, "relative"));
        if (relative > worst) {
            worst = relative;
            name = json_string_value(json_object_get(tensor, "tensor"));
        }
    }
    if (json_array_size(tensors) > 0)
        cli_say(cli, "%zu tensors lost precision, most of all %s (relative error %.2g)",
                json_array_size(tensors), name, worst);
    else
        cli_say(cli, "no tensor lost precision");
    cli_say(cli, "over the answers, mean divergence %.3g nats, the same likeliest token in %.1f %%",
            d.mean, 100 * d.agreement);
    if (before->adapter_count > 0 && d.mean > MUCH_DIVERGENCE)
        cli_say(cli, "what the adapters add is smaller than the steps of this format: a finer one "
                     "(--format q8_0, f16) keeps it, and so do the adapters beside the base");
    return STATUS_OK;
}

/* Template, ends and special tokens: differences are failures. */
static enum status check_use(struct cli *cli, const struct job *job, const struct model *before,
                             const struct model *after, struct error *error)
{
    json_t *list = json_array();
    enum status status = difference_in_use(before, after, list, error);
    const char *field = json_string_value(json_object_get(json_array_get(list, 0), "field"));
    if (status == STATUS_OK && field) {
        char *a = json_dumps(json_object_get(json_array_get(list, 0), "a"), JSON_ENCODE_ANY);
        char *b = json_dumps(json_object_get(json_array_get(list, 0), "b"), JSON_ENCODE_ANY);
        json_object_set(cli->result, "differences", list);
        status = error_set(error, STATUS_FAILED,
                           "%s: its %s came out otherwise than in the source: %.60s was %.60s",
                           job->output, field, b ? b : "", a ? a : "");
        free(a);
        free(b);
    }
    json_decref(list);
    return status;
}

static enum status verify_answers(struct cli *cli, const struct job *job, struct loaded *before,
                                  struct model *after, struct error *error)
{
    struct answers answers = {0};
    json_t *tensors = json_array();
    enum status status = difference_tensors(&before->model.decoder, &after->decoder,
                                            before->model.stop, tensors, error);
    bool lossy = json_array_size(tensors) > 0 || before->adapter_count > 0;
    if (status == STATUS_OK && before->model.has_tokenizer)
        status = difference_answers(&before->model, after, &before->compute, job->prompts,
                                    job->prompt_count, job->tokens, &answers, error);
    if (status == STATUS_OK && before->model.has_tokenizer) {
        cli_result_int(cli, "answers", answers.prompts);
        cli_result_int(cli, "equal_answers", answers.equal);
        cli_say(cli, "read back: %lld of %lld greedy answers are the same token for token",
                (long long)answers.equal, (long long)answers.prompts);
    }
    if (status == STATUS_OK && lossy && answers.ids)
        status = weigh_loss(cli, before, after, &answers, tensors, error);
    else if (status == STATUS_OK && answers.equal < answers.prompts)
        status = error_set(error, STATUS_FAILED,
                           "%s: holds the same values, yet %lld of %lld greedy answers differ",
                           job->output, (long long)(answers.prompts - answers.equal),
                           (long long)answers.prompts);
    free(answers.ids);
    free(answers.counts);
    json_decref(tensors);
    return status;
}

static enum status verify(struct cli *cli, const struct model_options *source,
                          const struct job *job, struct error *error)
{
    struct loaded before;
    struct model after;
    enum status status = loaded_open(cli, source, false, &before, error);
    if (status != STATUS_OK)
        return status;
    before.model.stop = &cli_stop;
    status = model_load(job->output, false, &after, error);
    if (status == STATUS_OK) {
        status = check_use(cli, job, &before.model, &after, error);
        if (status == STATUS_OK)
            status = verify_answers(cli, job, &before, &after, error);
        model_free(&after);
    }
    loaded_close(&before);
    return status;
}

/* What is written before a Ctrl-C is whole, and stays: but the reader must know that it is
 * unproven. */
static enum status prove(struct cli *cli, const struct model_options *source, const struct job *job,
                         struct error *error)
{
    enum status status = verify(cli, source, job, error);
    if (status != STATUS_INTERRUPTED)
        return status;
    return error_set(error, status, "stopped while comparing: %s is whole, but not proven",
                     job->output);
}

static enum status write_and_verify(struct cli *cli, const struct model_options *source,
                                    const struct job *job, bool verifies, struct error *error)
{
    struct model_options exact = *source; /* answers are compared bit for bit */
    exact.precision = "f32";
    enum status status = cli_check_output(cli, job->output, error);
    if (status == STATUS_OK)
        status = write_model(cli, &exact, job, error);
    if (status == STATUS_OK) {
        cli_result_text(cli, "output", job->output);
        cli_say(cli, "written: %s", job->output);
    }
    if (status == STATUS_OK && verifies)
        status = prove(cli, &exact, job, error);
    if (status == STATUS_OK)
        cli_output(cli, job->output);
    return status;
}

static enum status run_convert(struct cli *cli, struct error *error)
{
    const struct convert_options *o = cli_values(cli, 1);
    struct job job = {.output = o->output,
                      .format = o->format,
                      .prompts = usual_prompts,
                      .prompt_count = sizeof usual_prompts / sizeof *usual_prompts,
                      .tokens = 16};
    return write_and_verify(cli, cli_values(cli, 0), &job, !o->no_verify, error);
}

const struct command command_convert = {
    .name = "convert",
    .arguments = "",
    .summary = "Write a model as GGUF or as a Hugging Face folder",
    .detail = "The result is read back and compared, as export does it.",
    .example = "adze convert -m model -o model-f16.gguf --format f16",
    .tables = {{"Model", model_path_table, sizeof(struct model_options)},
               {"Output", convert_table, sizeof(struct convert_options)}},
    .records = true,
    .run = run_convert,
};

/* Lines of a file, in the command's arena. */
static enum status read_prompts(struct cli *cli, const char *path, struct job *job,
                                struct error *error)
{
    struct buffer text = {0};
    enum status status = file_read(path, (uint64_t)1 << 24, &text, error);
    buffer_add(&text, "", 1);
    if (status == STATUS_OK)
        status = buffer_check(&text, error);
    char *copy = status == STATUS_OK ? arena_strdup(&cli->arena, text.data) : NULL;
    const char **lines = copy ? arena_calloc(&cli->arena, text.length + 1, sizeof *lines) : NULL;
    buffer_free(&text);
    if (status == STATUS_OK && !lines)
        return error_no_memory(error, 0);
    char *rest = NULL;
    job->prompt_count = 0;
    for (char *line = copy ? strtok_r(copy, "\r\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\r\n", &rest))
        lines[job->prompt_count++] = line;
    job->prompts = lines;
    if (status == STATUS_OK && job->prompt_count == 0)
        status = error_set(error, STATUS_FAILED, "%s: there are no prompts in it", path);
    return status;
}

static enum status run_export(struct cli *cli, struct error *error)
{
    const struct export_options *o = cli_values(cli, 1);
    struct job job = {.output = o->output,
                      .format = o->format,
                      .prompts = usual_prompts,
                      .prompt_count = sizeof usual_prompts / sizeof *usual_prompts,
                      .tokens = o->tokens};
    enum status status = o->prompts ? read_prompts(cli, o->prompts, &job, error) : STATUS_OK;
    return status == STATUS_OK ? write_and_verify(cli, cli_values(cli, 0), &job, true, error)
                               : status;
}

const struct command command_export = {
    .name = "export",
    .arguments = "",
    .summary = "Write a model to be used elsewhere, and prove that it is the same",
    .detail = "Weights, tokenizer, chat template, special tokens and generation defaults are "
              "written, read\nback and compared: greedy answers must be the same token for token, "
              "or what lost precision\nis named. A template, beginning or end that came out "
              "otherwise is a failure.",
    .example = "adze export -m model --adapter adapter -o tuned.gguf --format q8_0",
    .tables = {{"Model", model_table, sizeof(struct model_options)},
               {"Output", export_table, sizeof(struct export_options)}},
    .records = true,
    .run = run_export,
};
