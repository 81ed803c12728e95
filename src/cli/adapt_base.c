/* adze adapt with a base and no pool: the domain's text is what there is to learn from. The base is
 * tuned on it, by adapters when it is quantized or large, what was learned is folded in and
 * exported in the base's own format, and before and after are measured on the domain's held-out
 * text and on other text, where something may be lost. */
#include <string.h>

#include "cli/adapt_steps.h"
#include "cli/stages.h"

#define FULL_PARAMETERS 50000000 /* more are tuned by adapters */

/* Whether any matrix of the base is in a format that cannot be trained, or there are many. */
static enum status wants_adapters(const struct adapt *a, bool *adapters)
{
    struct model model;
    enum status status = model_load(a->o->base, false, &model, a->error);
    if (status != STATUS_OK)
        return status;
    *adapters = decoder_count(&model.decoder.config).parameters > FULL_PARAMETERS;
    for (int i = 0; i < model.decoder.parameters.count; i++)
        if (model.decoder.parameters.items[i].weight.format->block > 1)
            *adapters = true;
    if (!model.has_tokenizer)
        status = error_set(a->error, STATUS_FAILED, "%s: the model comes without a tokenizer",
                           a->o->base);
    model_free(&model);
    return status;
}

/* Bits per byte of a model on a text; added to the list of `when`. */
static enum status measure(struct adapt *a, const char *model, const char *name, const char *path,
                           const char *when)
{
    struct line line = adapt_start(a, "perplexity");
    char what[256];
    json_t *result = NULL;
    line_add(&line, "--model=%s", model);
    line_add(&line, "--data=%s", path);
    line_add(&line, "--field=%s", a->o->field);
    line_add(&line, "--context=%lld", (long long)a->shape->context);
    snprintf(what, sizeof what, "measuring the %s on %s",
             strcmp(when, "before") == 0 ? "base" : "new model", adapt_domain(a, name));
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
    enum status status = measure(a, model, "domain", held, when);
    for (int64_t i = 0; i < a->o->also.count && status == STATUS_OK; i++) {
        char *name = arena_strdup(&a->cli->arena, a->o->also.items[i]);
        char *equals = name ? strchr(name, '=') : NULL;
        if (!equals)
            return error_no_memory(a->error, 0);
        *equals = 0;
        status = measure(a, model, name, equals + 1, when);
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

/* model.gguf, in the base's own formats, or in the chosen one when the whole was tuned. */
static enum status ship(struct adapt *a, bool adapters)
{
    struct line line = adapt_start(a, "export");
    json_t *result = NULL;
    line_add(&line, "--model=%s", adapters ? a->o->base : adapt_at(a, "tuned"));
    if (adapters)
        line_add(&line, "--adapter=%s", adapt_at(a, "tuned"));
    else
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
    bool adapters = true;
    json_object_set_new(a->cli->result, "texts", json_array());
    enum status status = wants_adapters(a, &adapters);
    if (status == STATUS_OK)
        status = adapt_split_domain(a, "domain", &a->o->domain, &sample, &held);
    if (status == STATUS_OK)
        status = measure_all(a, a->o->base, held, "before");
    if (status == STATUS_OK)
        status = tune(a, adapters, sample, held);
    if (status == STATUS_OK)
        status = ship(a, adapters);
    if (status == STATUS_OK)
        status = measure_all(a, adapt_at(a, "model.gguf"), held, "after");
    cli_result_text(a->cli, "tuning", adapters ? "lora" : "full");
    return status == STATUS_OK ? adapt_sample_texts(a) : status;
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
        cli_say(cli, "%s: %.4f bits per byte before, %.4f after (%+.1f %%)",
                own && strcmp(name, "domain") == 0 ? own : name, before, after,
                100 * (after / before - 1));
    }
}
