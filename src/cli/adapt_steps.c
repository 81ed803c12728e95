/* See adapt_steps.h. */
#include "cli/adapt_steps.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void line_add(struct line *line, const char *format, ...)
{
    char text[4096];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    char *copy = arena_strdup(line->arena, text);
    if (copy && line->count < 256)
        line->words[line->count++] = copy;
}

void line_add_list(struct line *line, const char *name, const struct option_list *list)
{
    for (int64_t i = 0; i < list->count; i++)
        line_add(line, "--%s=%s", name, list->items[i]);
}

/* A path in the output folder, in the command's arena. */
char *adapt_at(struct adapt *a, const char *format, ...)
{
    char name[1024], path[4096];
    va_list values;
    va_start(values, format);
    vsnprintf(name, sizeof name, format, values);
    va_end(values);
    snprintf(path, sizeof path, "%s/%s", a->o->output, name);
    return arena_strdup(&a->cli->arena, path);
}

const char *adapt_domain_name(struct adapt *a)
{
    static const char unnamed[] = "your domain";
    char *path =
        a->o->domain.count == 1 ? arena_strdup(&a->cli->arena, a->o->domain.items[0]) : NULL;
    if (!path)
        return unnamed;
    for (size_t length = strlen(path); length > 1 && path[length - 1] == '/'; length--)
        path[length - 1] = 0;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    bool taken = strcmp(name, "domain") == 0;
    for (int64_t i = 0; i < a->o->also.count; i++) {
        size_t length = strcspn(a->o->also.items[i], "=");
        taken |= strlen(name) == length && strncmp(name, a->o->also.items[i], length) == 0;
    }
    return taken || !*name || strspn(name, ".") == strlen(name) ? unnamed : name;
}

const char *adapt_domain(struct adapt *a, const char *name)
{
    const char *own = adapt_domain_name(a);
    struct buffer text = {0};
    if (strcmp(name, "domain") == 0 && strcmp(own, "your domain") == 0)
        return own;
    buffer_printf(&text, "domain '%.100s'", strcmp(name, "domain") == 0 ? own : name);
    const char *copy = text.data ? arena_strdup(&a->cli->arena, text.data) : NULL;
    buffer_free(&text);
    return copy ? copy : "a domain";
}

struct line adapt_start(struct adapt *a, const char *command)
{
    struct line line = {.arena = &a->cli->arena};
    char copy[64], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", command);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        line_add(&line, "%s", word);
    return line;
}

/* Runs a step; its result is a new reference. Outputs of earlier attempts are overwritten: they are
 * in this command's own folder. */
enum status adapt_step(struct adapt *a, struct line *line, const char *what, json_t **result)
{
    json_t *mine = NULL;
    if (cli_stop)
        return error_set(a->error, STATUS_INTERRUPTED,
                         "stopped; the same command goes on with what is left to do");
    cli_say(a->cli, "%s", what);
    struct error failure = {.status = STATUS_FAILED, .message = "the step failed"};
    if (cli_dispatch(line->count, line->words, a->cli, &mine, &failure) != 0)
        return error_set(a->error, failure.status, "%s: %s", what, failure.message);
    json_array_append_new(
        a->stages, json_pack("{s:s,s:O}", "what", what, "run", json_object_get(mine, "run")));
    if (result)
        *result = mine;
    else
        json_decref(mine);
    return STATUS_OK;
}

/* A step that makes `output`, unless an unchanged earlier run has made it. */
enum status adapt_make(struct adapt *a, struct line *line, const char *output, const char *what,
                       json_t **result)
{
    line_add(line, "--output=%s", output);
    return adapt_step(a, line, what, result);
}

double adapt_real_of(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* Splits a domain into the sample that selection and training see, and the held-out part. */
enum status adapt_split_domain(struct adapt *a, const char *name, const struct option_list *paths,
                               char **sample, char **held)
{
    struct line line = adapt_start(a, "split");
    char what[256];
    char *folder = adapt_at(a, "parts/%s", name);
    line_add_list(&line, "data", paths);
    line_add(&line, "--chunk=%lld", (long long)a->o->chunk);
    line_add(&line, "--field=%s", a->o->field);
    line_add(&line, "--held-out=0.3");
    snprintf(what, sizeof what, "splitting %s into a sample and a held-out part",
             adapt_domain(a, name));
    *sample = adapt_at(a, "parts/%s/train.jsonl", name);
    *held = adapt_at(a, "parts/%s/held-out.jsonl", name);
    return adapt_make(a, &line, folder, what, NULL);
}

enum status adapt_sample_texts(struct adapt *a)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < 3 && status == STATUS_OK; i++) {
        struct line line = adapt_start(a, "generate");
        json_t *result = NULL;
        line_add(&line, "--model=%s", adapt_at(a, "model.gguf"));
        line_add(&line, "--prompt=");
        line_add(&line, "--tokens=120");
        line_add(&line, "--seed=%lld", (long long)a->cli->common->seed + i);
        line_add(&line, "--repetition-penalty=1.1");
        status = adapt_step(a, &line, "writing a sample", &result);
        if (status == STATUS_OK)
            json_array_append(a->samples, json_object_get(result, "text"));
        json_decref(result);
    }
    return status;
}
