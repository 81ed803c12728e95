/* adze adapt with a base and no pool: the domain's text is what there is to learn from. The base is
 * tuned on it, by adapters when it is quantized or large, what was learned is folded in and
 * exported, and before and after are measured on the domain's held-out text and on other text,
 * where something may be lost.
 *
 * A base of fewer than 8 bits a weight is exported in q8_0: what adapters add is smaller than the
 * steps of such a format, so rounding to it again gives back the base (docs/evidence-tuning.md). */
#include <string.h>

#include "cli/adapt_steps.h"
#include "cli/stages.h"

#define FULL_PARAMETERS 50000000 /* more are tuned by adapters */

#define FINE_BYTES 34 /* of 32 weights, as in q8_0: fine enough for what adapters add */

struct tuning {
    bool adapters; /* a matrix of the base is in a format that cannot be trained, or there are many
                    */
    bool coarse;   /* a matrix has fewer than 8 bits a weight */
};

static enum status choose_tuning(const struct adapt *a, struct tuning *tuning)
{
    struct model model;
    enum status status = model_load(a->o->base, false, &model, a->error);
    if (status != STATUS_OK)
        return status;
    tuning->adapters = decoder_count(&model.decoder.config).parameters > FULL_PARAMETERS;
    tuning->coarse = false;
    for (int i = 0; i < model.decoder.parameters.count; i++) {
        const struct weight_format *format = model.decoder.parameters.items[i].weight.format;
        tuning->adapters = tuning->adapters || format->block > 1;
        tuning->coarse =
            tuning->coarse || format->block_bytes * 32 < (size_t)format->block * FINE_BYTES;
    }
    if (!model.has_tokenizer)
        status = error_set(a->error, STATUS_FAILED, "%s: the model comes without a tokenizer",
                           a->o->base);
    model_free(&model);
    return status;
}

/* Bits per byte of a model on a text, with an adapter or without (NULL); added to the list of
 * `when`, which is "before", "tuned" or "after". */
static enum status measure(struct adapt *a, const char *model, const char *adapter,
                           const char *name, const char *path, const char *when)
{
    struct line line = adapt_start(a, "perplexity");
    char what[256];
    json_t *result = NULL;
    line_add(&line, "--model=%s", model);
    if (adapter)
        line_add(&line, "--adapter=%s", adapter);
    line_add(&line, "--data=%s", path);
    line_add(&line, "--field=%s", a->o->field);
    line_add(&line, "--context=%lld", (long long)a->shape->context);
    snprintf(what, sizeof what, "measuring the %s on %s",
             strcmp(when, "before") == 0  ? "base"
             : strcmp(when, "tuned") == 0 ? "tuned model"
                                          : "new model",
             adapt_domain(a, name));
    enum status status = adapt_step(a, &line, what, &result);
    if (status == STATUS_OK) {
        json_t *texts = json_object_get(a->cli->result, "texts"), *text = NULL;
        size_t index;
        json_t *item;
        json_array_foreach(texts, index, item)
        {
            if (strcmp(json_string_value(json_object_get(item, "name")), name) == 0)
                text = item;
        }
        if (!text) {
            text = json_pack("{s:s}", "name", name);
            json_array_append_new(texts, text);
        }
        json_object_set(text, when, json_object_get(result, "bits_per_byte"));
    }
    json_decref(result);
    return status;
}

/* The domain's held-out text, and every other text. */
static enum status measure_all(struct adapt *a, const char *model, const char *held,
                               const char *when)
{
    enum status status = measure(a, model, NULL, "domain", held, when);
    for (int64_t i = 0; i < a->o->also.count && status == STATUS_OK; i++) {
        char *name = arena_strdup(&a->cli->arena, a->o->also.items[i]);
        char *equals = name ? strchr(name, '=') : NULL;
        if (!equals)
            return error_no_memory(a->error, 0);
        *equals = 0;
        status = measure(a, model, NULL, name, equals + 1, when);
    }
    return status;
}

static enum status tune(struct adapt *a, bool adapters, const char *sample, const char *held)
{
    struct line line = adapt_start(a, "tune");
    json_t *result = NULL;
    line_add(&line, "--model=%s", a->o->base);
    line_add(&line, "--method=%s", adapters ? "lora" : "full");
    line_add(&line, "--data=%s", sample);
    line_add(&line, "--held=%s", held);
    line_add(&line, "--context=%lld", (long long)a->shape->context);
    line_add(&line, "--batch=%lld", (long long)a->shape->batch);
    if (a->o->steps > 0)
        line_add(&line, "--steps=%lld", (long long)a->o->steps);
    else
        line_add(&line, "--minutes=%g", a->o->minutes);
    enum status status = adapt_make(
        a, &line, adapt_at(a, "tuned"),
        adapters ? "tuning adapters on the domain" : "tuning the model on the domain", &result);
    if (status == STATUS_OK)
        json_object_set(a->cli->result, "final", result);
    json_decref(result);
    return status;
}

/* model.gguf. By adapters: in the base's own formats where these are fine enough. */
static enum status ship(struct adapt *a, const struct tuning *tuning)
{
    struct line line = adapt_start(a, "export");
    json_t *result = NULL;
    bool chosen = option_given(&a->cli->options, "format");
    line_add(&line, "--model=%s", tuning->adapters ? a->o->base : adapt_at(a, "tuned"));
    if (tuning->adapters)
        line_add(&line, "--adapter=%s", adapt_at(a, "tuned"));
    if (!tuning->adapters || chosen || tuning->coarse)
        line_add(&line, "--format=%s", a->o->format);
    enum status status = adapt_make(a, &line, adapt_at(a, "model.gguf"),
                                    "exporting it, and reading it back", &result);
    if (status == STATUS_OK)
        json_object_set(a->cli->result, "export", result);
    json_decref(result);
    return status;
}

enum status adapt_base_chain(struct adapt *a)
{
    char *sample = NULL, *held = NULL;
    struct tuning tuning;
    json_object_set_new(a->cli->result, "texts", json_array());
    enum status status = choose_tuning(a, &tuning);
    if (status == STATUS_OK)
        status = adapt_split_domain(a, "domain", &a->o->domain, &sample, &held);
    if (status == STATUS_OK)
        status = measure_all(a, a->o->base, held, "before");
    if (status == STATUS_OK)
        status = tune(a, tuning.adapters, sample, held);
    const char *tuned = adapt_at(a, "tuned");
    if (status == STATUS_OK)
        status = measure(a, tuning.adapters ? a->o->base : tuned, tuning.adapters ? tuned : NULL,
                         "domain", held, "tuned");
    if (status == STATUS_OK)
        status = ship(a, &tuning);
    if (status == STATUS_OK)
        status = measure_all(a, adapt_at(a, "model.gguf"), held, "after");
    if (status != STATUS_OK)
        return status;
    cli_result_text(a->cli, "tuning", tuning.adapters ? "lora" : "full");
    if (tuning.adapters && tuning.coarse && !option_given(&a->cli->options, "format"))
        cli_say(a->cli,
                "the base's formats are too coarse for what adapters add: model.gguf is in %s; "
                "--format has others",
                a->o->format);
    return adapt_sample_texts(a);
}

void adapt_base_show(struct cli *cli)
{
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(cli->result, "texts"), index, item)
    {
        double before = adapt_real_of(item, "before"), after = adapt_real_of(item, "after");
        const char *name = json_string_value(json_object_get(item, "name"));
        const char *own = json_string_value(json_object_get(cli->result, "domain_name"));
        char tuned[64] = "";
        if (json_object_get(item, "tuned"))
            snprintf(tuned, sizeof tuned, "%.4f tuned, ", adapt_real_of(item, "tuned"));
        cli_say(cli, "%s: %.4f bits per byte before, %s%.4f in the new file (%+.1f %%)",
                own && strcmp(name, "domain") == 0 ? own : name, before, tuned, after,
                100 * (after / before - 1));
    }
}
