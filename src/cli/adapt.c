/* adze adapt: the main job as a chain of this program's own commands. Each step is a run on the
 * ledger and is reused while nothing that it depends on has changed. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json_text.h"
#include "cli/adapt_steps.h"
#include "cli/commands.h"
#include "cli/stages.h"
#include "methods/select/select.h"
#include "run/report.h"

#define FINAL_SHARE                                                                                \
    0.5 /* of the time is for the model that is kept; the rest compares selections */

static const struct option table[] = {
    {"domain", 0, OPTION_LIST, offsetof(struct adapt_options, domain), NULL, 0, 0, NULL, "PATH",
     "text of the domain: files or folders"},
    {"pool", 0, OPTION_LIST, offsetof(struct adapt_options, pool), NULL, 0, 0, NULL, "PATH",
     "the corpus to choose further text from"},
    {"output", 'o', OPTION_PATH, offsetof(struct adapt_options, output), NULL, 0, 0, NULL, "FOLDER",
     "gets model.gguf, report.html, the model folder and the parts"},
    {"minutes", 0, OPTION_REAL, offsetof(struct adapt_options, minutes), "10", 0.05, 1e6, NULL,
     NULL, "time to train for, comparisons included"},
    {"steps", 'n', OPTION_INT, offsetof(struct adapt_options, steps), "0", 0, 1e12, NULL, NULL,
     "instead of --minutes: updates of the model; all comparisons together get as many"},
    {"method", 0, OPTION_TEXT, offsetof(struct adapt_options, method), "dsir", 0, 0, NULL, "NAME",
     "how text is chosen"},
    {"share", 0, OPTION_REAL, offsetof(struct adapt_options, share), "0.125", 0, 1, NULL, NULL,
     "part of the pool to choose"},
    {"chunk", 0, OPTION_INT, offsetof(struct adapt_options, chunk), "120", 0, 1e9, NULL, "WORDS",
     "length of the pieces that are chosen"},
    {"seeds", 0, OPTION_INT, offsetof(struct adapt_options, seeds), "2", 1, 16, NULL, NULL,
     "runs of each side of the comparison of selected and random text"},
    {"also", 0, OPTION_LIST, offsetof(struct adapt_options, also), NULL, 0, 0, NULL, "NAME=PATH",
     "measure on another domain, too, how much selection helps"},
    {"format", 'f', OPTION_CHOICE, offsetof(struct adapt_options, format), "q8_0", 0, 0,
     "q8_0|q4_0", NULL, "format of model.gguf; the report measures both"},
    {"base", 0, OPTION_PATH, offsetof(struct adapt_options, base), NULL, 0, 0, NULL, "MODEL",
     "continue from this model; without --pool it is tuned on the domain and exported"},
    {"field", 0, OPTION_TEXT, offsetof(struct adapt_options, field), "text", 0, 0, NULL, "NAME",
     "field of JSON records that holds the text"},
    {.name = NULL},
};

static const struct option shape_table[] = {
    {"layers", 0, OPTION_INT, offsetof(struct adapt_shape, layers), "4", 1, 4096, NULL, NULL,
     "layers"},
    {"width", 0, OPTION_INT, offsetof(struct adapt_shape, width), "192", 1, 131072, NULL, NULL,
     "width"},
    {"heads", 0, OPTION_INT, offsetof(struct adapt_shape, heads), "3", 1, 4096, NULL, NULL,
     "attention heads"},
    {"context", 'c', OPTION_INT, offsetof(struct adapt_shape, context), "256", 1, 1 << 24, NULL,
     "TOKENS", "context length"},
    {"vocabulary", 0, OPTION_INT, offsetof(struct adapt_shape, vocabulary), "4096", 257, 1 << 24,
     NULL, "TOKENS", "vocabulary"},
    {"batch", 'b', OPTION_INT, offsetof(struct adapt_shape, batch), "8", 1, 1e6, NULL, "ROWS",
     "rows of context tokens in an update"},
    {.name = NULL},
};

static enum status choose(struct adapt *a, const char *method, const char *name, const char *sample,
                          char **output)
{
    struct line line = adapt_start(a, "select");
    char what[256];
    json_t *result = NULL;
    *output = adapt_at(a, "parts/selected-%s.jsonl", name);
    line_add_list(&line, "pool", &a->o->pool);
    line_add(&line, "--method=%s", method);
    line_add(&line, "--share=%g", a->o->share);
    line_add(&line, "--chunk=%lld", (long long)a->o->chunk);
    line_add(&line, "--field=%s", a->o->field);
    if (strcmp(method, "dsir") == 0)
        line_add(&line, "--min-words=%lld", (long long)(a->o->chunk * 3 / 4));
    if (sample)
        line_add(&line, "--target=%s", sample);
    if (sample)
        snprintf(what, sizeof what, "selecting pool text for %s by %s", adapt_domain(a, name),
                 method);
    else
        snprintf(what, sizeof what, "choosing pool text at random");
    enum status status = adapt_make(a, &line, *output, what, &result);
    if (status == STATUS_OK) {
        json_object_set_new(result, "domain", json_string(name));
        json_array_append(a->selections, result);
    }
    json_decref(result);
    return status;
}

static void add_shape(struct adapt *a, struct line *line)
{
    const struct adapt_shape *s = a->shape;
    if (a->o->base) {
        line_add(line, "--base=%s", a->o->base);
    } else {
        line_add(line, "--tokenizer=%s", adapt_at(a, "parts/tokenizer.json"));
        line_add(line, "--layers=%lld", (long long)s->layers);
        line_add(line, "--width=%lld", (long long)s->width);
        line_add(line, "--heads=%lld", (long long)s->heads);
    }
    line_add(line, "--context=%lld", (long long)s->context);
    line_add(line, "--batch=%lld", (long long)s->batch);
    line_add(line, "--evaluate-tokens=0");
}

static void describe_trial(struct adapt *a, char what[256], const char *method, const char *domain,
                           int64_t seed)
{
    snprintf(what, 256, "comparison: %s text, %s, seed %lld", method, adapt_domain(a, domain),
             (long long)seed);
}

/* One run of the comparison: trains on a selection, evaluates on the domain's held-out text. */
static enum status trial(struct adapt *a, const char *domain, const char *method,
                         const char *selection, const char *held, int64_t seed)
{
    struct line line = adapt_start(a, "train");
    char what[256];
    json_t *result = NULL;
    line_add(&line, "--data=%s", selection);
    line_add(&line, "--held=%s", held);
    add_shape(a, &line);
    if (a->steps > 0)
        line_add(&line, "--steps=%lld", (long long)a->steps);
    else
        line_add(&line, "--minutes=%g", a->minutes);
    line_add(&line, "--evaluate-every=0");
    line_add(&line, "--seed=%lld", (long long)seed);
    describe_trial(a, what, method, domain, seed);
    enum status status =
        adapt_make(a, &line, adapt_at(a, "parts/trial-%s-%s-%lld", domain, method, (long long)seed),
                   what, &result);
    if (status == STATUS_OK) {
        a->steps = json_integer_value(json_object_get(result, "steps"));
        json_array_append_new(a->trials,
                              json_pack("{s:s,s:s,s:I,s:f,s:f,s:I,s:O}", "domain", domain, "method",
                                        method, "seed", (json_int_t)seed, "bits_per_byte",
                                        adapt_real_of(result, "bits_per_byte"), "perplexity",
                                        adapt_real_of(result, "perplexity"), "tokens",
                                        json_integer_value(json_object_get(result, "tokens")),
                                        "run", json_object_get(result, "run")));
    }
    json_decref(result);
    return status;
}

/* The random side of another domain: the first domain's random model, measured on its text. */
static enum status measure_random(struct adapt *a, const char *domain, const char *held)
{
    struct line line = adapt_start(a, "perplexity");
    char what[256];
    json_t *result = NULL;
    line_add(&line, "--model=%s",
             adapt_at(a, "parts/trial-domain-random-%lld", (long long)a->cli->common->seed));
    line_add(&line, "--data=%s", held);
    line_add(&line, "--context=%lld", (long long)a->shape->context);
    describe_trial(a, what, "random", domain, a->cli->common->seed);
    enum status status = adapt_step(a, &line, what, &result);
    if (status == STATUS_OK)
        json_array_append_new(a->trials,
                              json_pack("{s:s,s:s,s:I,s:f,s:f,s:O}", "domain", domain, "method",
                                        "random", "seed", (json_int_t)a->cli->common->seed,
                                        "bits_per_byte", adapt_real_of(result, "bits_per_byte"),
                                        "perplexity", adapt_real_of(result, "perplexity"), "run",
                                        json_object_get(result, "run")));
    json_decref(result);
    return status;
}

static enum status learn_tokenizer(struct adapt *a, const char *sample, const char *selected,
                                   const char *random)
{
    if (a->o->base)
        return STATUS_OK;
    struct line line = adapt_start(a, "tokenizer train");
    line_add(&line, "--data=%s", sample);
    line_add(&line, "--data=%s", selected);
    line_add(&line, "--data=%s", random);
    line_add(&line, "--vocabulary=%lld", (long long)a->shape->vocabulary);
    return adapt_make(a, &line, adapt_at(a, "parts/tokenizer.json"), "learning a tokenizer", NULL);
}

static enum status train_final(struct adapt *a, const char *sample, const char *selected,
                               const char *held, json_t **result)
{
    struct line line = adapt_start(a, "train");
    line_add(&line, "--data=%s", selected);
    line_add(&line, "--data=%s", sample);
    line_add(&line, "--held=%s", held);
    add_shape(a, &line);
    if (a->o->steps > 0)
        line_add(&line, "--steps=%lld", (long long)a->o->steps);
    else
        line_add(&line, "--minutes=%g", a->o->minutes * FINAL_SHARE);
    line_add(&line, "--evaluate-every=150");
    return adapt_make(a, &line, adapt_at(a, "model"),
                      "training the model on selected and domain text", result);
}

/* How fast a model writes, in tokens a second. */
static enum status time_model(struct adapt *a, const char *model, double *speed)
{
    struct line line = adapt_start(a, "generate");
    json_t *result = NULL;
    line_add(&line, "--model=%s", model);
    line_add(&line, "--prompt=%s", "The");
    line_add(&line, "--tokens=100"); /* fits every context that adapt trains by default */
    line_add(&line, "--ignore-end");
    enum status status = adapt_step(a, &line, "timing it", &result);
    *speed = adapt_real_of(result, "tokens_per_second");
    json_decref(result);
    return status;
}

/* The model as it was trained, for comparison with what is made of it. */
static enum status measure_trained(struct adapt *a, const json_t *final)
{
    double speed;
    uint64_t bytes = 0;
    enum status status = file_size(adapt_at(a, "model/model.safetensors"), &bytes, a->error);
    if (status == STATUS_OK)
        status = time_model(a, adapt_at(a, "model"), &speed);
    if (status == STATUS_OK)
        json_array_append_new(
            a->formats, json_pack("{s:s,s:I,s:f,s:f,s:f,s:f}", "format", "f32", "file_bytes",
                                  (json_int_t)bytes, "bits_per_weight", 32.0, "bits_per_byte",
                                  adapt_real_of(final, "bits_per_byte"), "perplexity",
                                  adapt_real_of(final, "perplexity"), "tokens_per_second", speed));
    return status;
}

/* Shrinks, measures file, quality and speed; the chosen format becomes model.gguf. */
static enum status shrink(struct adapt *a, const char *format, const char *held)
{
    struct line line = adapt_start(a, "shrink"), measure = adapt_start(a, "perplexity");
    double speed = 0;
    char what[128], *file = adapt_at(a, "parts/model-%s.gguf", format);
    json_t *shrunk = NULL, *measured = NULL;
    if (strcmp(format, a->o->format) == 0)
        file = adapt_at(a, "model.gguf");
    line_add(&line, "--model=%s", adapt_at(a, "model"));
    line_add(&line, "--method=rtn");
    line_add(&line, "--format=%s", format);
    snprintf(what, sizeof what, "shrinking to %s", format);
    enum status status = adapt_make(a, &line, file, what, &shrunk);
    line_add(&measure, "--model=%s", file);
    line_add(&measure, "--data=%s", held);
    line_add(&measure, "--context=%lld", (long long)a->shape->context);
    if (status == STATUS_OK)
        status = adapt_step(a, &measure, "measuring it", &measured);
    if (status == STATUS_OK)
        status = time_model(a, file, &speed);
    if (status == STATUS_OK)
        json_array_append_new(a->formats,
                              json_pack("{s:s,s:I,s:f,s:f,s:f,s:f}", "format", format, "file_bytes",
                                        json_integer_value(json_object_get(shrunk, "file_bytes")),
                                        "bits_per_weight", adapt_real_of(shrunk, "bits_per_weight"),
                                        "bits_per_byte", adapt_real_of(measured, "bits_per_byte"),
                                        "perplexity", adapt_real_of(measured, "perplexity"),
                                        "tokens_per_second", speed));
    json_decref(shrunk);
    json_decref(measured);
    return status;
}

/* Mean bits per byte of a method's runs on a domain. */
static double mean_bits(const struct adapt *a, const char *domain, const char *method)
{
    double sum = 0, count = 0;
    for (size_t i = 0; i < json_array_size(a->trials); i++) {
        const json_t *t = json_array_get(a->trials, i);
        if (strcmp(json_string_value(json_object_get(t, "domain")), domain) == 0 &&
            strcmp(json_string_value(json_object_get(t, "method")), method) == 0) {
            sum += adapt_real_of(t, "bits_per_byte");
            count++;
        }
    }
    return count > 0 ? sum / count : NAN;
}

/* Other domains: selection for each, one run; "name=path". */
static enum status other_domains(struct adapt *a)
{
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < a->o->also.count && status == STATUS_OK; i++) {
        char *name = arena_strdup(&a->cli->arena, a->o->also.items[i]);
        char *equals = name ? strchr(name, '=') : NULL, *sample = NULL, *held = NULL,
             *selected = NULL;
        if (!equals)
            return error_no_memory(a->error, 0);
        *equals = 0;
        const char *path = equals + 1;
        struct option_list paths = {&path, 1};
        status = adapt_split_domain(a, name, &paths, &sample, &held);
        if (status == STATUS_OK)
            status = choose(a, a->o->method, name, sample, &selected);
        if (status == STATUS_OK)
            status = trial(a, name, a->o->method, selected, held, a->cli->common->seed);
        if (status == STATUS_OK)
            status = measure_random(a, name, held);
    }
    return status;
}

static enum status run_chain(struct adapt *a)
{
    char *sample = NULL, *held = NULL, *selected = NULL, *random = NULL;
    json_t *final = NULL;
    int64_t runs = 2 * a->o->seeds + a->o->also.count;
    a->minutes = a->o->minutes * (1 - FINAL_SHARE) / (double)runs;
    a->steps = (a->o->steps + runs - 1) / runs;
    enum status status = adapt_split_domain(a, "domain", &a->o->domain, &sample, &held);
    if (status == STATUS_OK)
        status = choose(a, a->o->method, "domain", sample, &selected);
    if (status == STATUS_OK)
        status = choose(a, "random", "random", NULL, &random);
    if (status == STATUS_OK)
        status = learn_tokenizer(a, sample, selected, random);
    for (int64_t i = 0; i < a->o->seeds && status == STATUS_OK; i++) {
        int64_t seed = a->cli->common->seed + i;
        status = trial(a, "domain", a->o->method, selected, held, seed);
        if (status == STATUS_OK)
            status = trial(a, "domain", "random", random, held, seed);
    }
    if (status == STATUS_OK)
        status = other_domains(a);
    if (status == STATUS_OK)
        status = train_final(a, sample, selected, held, &final);
    if (status == STATUS_OK) {
        json_object_set(a->cli->result, "final", final);
        status = measure_trained(a, final);
    }
    json_decref(final);
    if (status == STATUS_OK)
        status = shrink(a, "q8_0", held);
    if (status == STATUS_OK)
        status = shrink(a, "q4_0", held);
    return status == STATUS_OK ? adapt_sample_texts(a) : status;
}

static void fill_result(struct adapt *a)
{
    json_t *result = a->cli->result;
    json_object_set(result, "samples", a->samples);
    json_object_set(result, "stages", a->stages);
    json_object_set_new(result, "domain_name", json_name(adapt_domain_name(a)));
    if (json_object_get(result, "texts"))
        return; /* nothing was selected */
    json_object_set(result, "trials", a->trials);
    json_object_set(result, "formats", a->formats);
    json_object_set(result, "selections", a->selections);
    cli_result_text(a->cli, "method", a->o->method);
    cli_result_text(a->cli, "chosen_format", a->o->format);
    cli_result_int(a->cli, "trial_steps", a->steps);
    cli_result_real(a->cli, "selected_bits_per_byte", mean_bits(a, "domain", a->o->method));
    cli_result_real(a->cli, "random_bits_per_byte", mean_bits(a, "domain", "random"));
}

/* The page reads the ledger, so the result is put there before the run has ended. */
static enum status write_report(struct adapt *a)
{
    enum status status =
        ledger_finish(a->cli->ledger, a->cli->run, "done", a->cli->result, NULL, a->error);
    if (status == STATUS_OK)
        status = report_write(a->cli->ledger, a->cli->run, adapt_at(a, "report.html"), a->error);
    if (status != STATUS_OK)
        return status;
    cli_output(a->cli, adapt_at(a, "model.gguf"));
    cli_output(a->cli, adapt_at(a, "report.html"));
    return STATUS_OK;
}

static void show(struct cli *cli)
{
    const struct adapt_options *o = cli_values(cli, 0);
    if (json_object_get(cli->result, "texts")) {
        adapt_base_show(cli);
        cli_say(cli, "report: %s/report.html", o->output);
        cli_say(cli, "model:  %s/model.gguf", o->output);
        return;
    }
    double selected = adapt_real_of(cli->result, "selected_bits_per_byte");
    double random = adapt_real_of(cli->result, "random_bits_per_byte");
    cli_say(cli,
            "held-out bits per byte at equal tokens: %.3f on selected text, %.3f on random "
            "text (%+.1f %%)",
            selected, random, 100 * (selected / random - 1));
    cli_say(cli, "report: %s/report.html", o->output);
    cli_say(cli, "model:  %s/model.gguf", o->output);
}

/* The names of other domains become names of files. */
static enum status check_also(const struct adapt_options *o, struct error *error)
{
    for (int64_t i = 0; i < o->also.count; i++) {
        const char *item = o->also.items[i];
        size_t length = strcspn(item, "=");
        if (length == 0 || item[length] != '=' || !item[length + 1])
            return error_set(error, STATUS_USAGE, "adapt: --also wants NAME=PATH, not '%s'", item);
        if (length > 60 || item[0] == '.' || memchr(item, '/', length))
            return error_set(error, STATUS_USAGE,
                             "adapt: --also '%s': the name must be a short one, without slashes",
                             item);
        bool twice = length == 6 && strncmp(item, "domain", 6) == 0;
        for (int64_t j = 0; j < i; j++)
            twice = twice || strncmp(o->also.items[j], item, length + 1) == 0;
        if (twice || (length == 6 && strncmp(item, "random", 6) == 0))
            return error_set(error, STATUS_USAGE, "adapt: --also '%s': the name is taken", item);
        if (!file_exists(item + length + 1))
            return error_set_errno(error, errno, "%s", item + length + 1);
    }
    return STATUS_OK;
}

/* What would otherwise come out only after many minutes. */
static enum status check_options(const struct cli *cli, const struct adapt_options *o,
                                 struct error *error)
{
    const char *const of_base[] = {"layers", "width", "heads", "vocabulary", NULL};
    const struct option_list *const lists[] = {&o->domain, &o->pool};
    if (o->domain.count == 0 || (o->pool.count == 0 && !o->base))
        return error_set(error, STATUS_USAGE,
                         "adapt: name the domain's text with --domain and the corpus to choose "
                         "from with --pool, or a model to tune with --base");
    if (!o->output)
        return error_set(error, STATUS_USAGE, "adapt: name the output folder with -o");
    if (o->steps > 0 && option_given(&cli->options, "minutes"))
        return error_set(error, STATUS_USAGE, "adapt: give --steps or --minutes, not both");
    if (!select_method_by_name(o->method))
        return error_set(error, STATUS_USAGE,
                         "adapt: there is no method '%s' to select by; 'adze methods' lists them",
                         o->method);
    for (int i = 0; o->base && of_base[i]; i++)
        if (option_given(&cli->options, of_base[i]))
            return error_set(error, STATUS_USAGE,
                             "adapt: --%s is decided by --base, give one of the two", of_base[i]);
    for (int l = 0; l < 2; l++)
        for (int64_t i = 0; i < lists[l]->count; i++)
            if (!file_exists(lists[l]->items[i]))
                return error_set_errno(error, errno, "%s", lists[l]->items[i]);
    return check_also(o, error);
}

static enum status run(struct cli *cli, struct error *error)
{
    struct adapt a = {.cli = cli,
                      .o = cli_values(cli, 0),
                      .shape = cli_values(cli, 1),
                      .error = error,
                      .trials = json_array(),
                      .formats = json_array(),
                      .samples = json_array(),
                      .selections = json_array(),
                      .stages = json_array()};
    enum status status = check_options(cli, a.o, error);
    if (status == STATUS_OK)
        status = file_make_folders(adapt_at(&a, "parts"), error);
    cli->owned_outputs = true;
    if (status == STATUS_OK)
        status = a.o->pool.count > 0 ? run_chain(&a) : adapt_base_chain(&a);
    if (status == STATUS_OK) {
        fill_result(&a);
        status = write_report(&a);
    }
    json_decref(a.trials);
    json_decref(a.formats);
    json_decref(a.samples);
    json_decref(a.selections);
    json_decref(a.stages);
    return status;
}

const struct command command_adapt = {
    .name = "adapt",
    .arguments = "",
    .summary = "The main job: from text of a domain and a corpus to a model that is good at it",
    .detail =
        "Selects the pool's text that resembles the domain, compares training on it with "
        "training\non random text, trains a model on selected and domain text, shrinks it, "
        "measures\neverything on held-out domain text, and writes model.gguf and report.html. With "
        "--base and\nno pool, the base is tuned on the domain, by adapters when it is quantized or "
        "large.",
    .example = "adze adapt --domain docs/ --pool corpus.jsonl --minutes 10 -o my-model",
    .tables = {{"Job", table, sizeof(struct adapt_options)},
               {"Model", shape_table, sizeof(struct adapt_shape)}},
    .records = true,
    .run = run,
    .show = show,
};
