/* See talk.h. */
#include "cli/talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

const struct option talk_table[] = {
    {"chat", 0, OPTION_FLAG, offsetof(struct talk_options, chat), NULL, 0, 0, NULL, NULL,
     "the prompt is a message; put it as the model's chat template does"},
    {"system", 0, OPTION_TEXT, offsetof(struct talk_options, system), NULL, 0, 0, NULL, "TEXT",
     "system prompt; default: the template's"},
    {"chat-value", 0, OPTION_LIST, offsetof(struct talk_options, values), NULL, 0, 0, NULL,
     "KEY=JSON", "a value for the template, as enable_thinking=false"},
    {"chat-template", 0, OPTION_TEXT, offsetof(struct talk_options, template), NULL, 0, 0, NULL,
     "NAME", "one of the model's templates, or a file with one; default: default"},
    {.name = NULL},
};

static enum status read_values(const struct option_list *values, json_t **extra,
                               struct error *error)
{
    *extra = json_object();
    if (!*extra)
        return error_no_memory(error, 64);
    for (int64_t i = 0; i < values->count; i++) {
        const char *item = values->items[i], *equal = strchr(item, '=');
        if (!equal || equal == item)
            return error_set(error, STATUS_USAGE, "--chat-value: '%.100s' is not KEY=JSON", item);
        json_t *value = json_loads(equal + 1, JSON_DECODE_ANY, NULL);
        if (!value) /* plain words need no quotes */
            value = json_string(equal + 1);
        char *key = strndup(item, (size_t)(equal - item));
        int failed = !key || !value || json_object_set(*extra, key, value) != 0;
        json_decref(value);
        free(key);
        if (failed)
            return error_set(error, STATUS_USAGE, "--chat-value: '%.100s' is not UTF-8", item);
    }
    return STATUS_OK;
}

/* The text of the file that --chat-template names, unless it is a name of the model's. */
static enum status read_template(const struct model *model, const char *name, struct buffer *source,
                                 bool *file, struct error *error)
{
    *file = name && !model_chat_template(model, name) && file_exists(name);
    return *file ? file_read(name, JINJA_SOURCE_MOST, source, error) : STATUS_OK;
}

enum status talk_open(const struct model *model, const struct talk_options *o,
                      struct conversation *conversation, json_t **extra, struct error *error)
{
    struct buffer source = {0};
    bool file;
    enum status status = read_template(model, o->template, &source, &file, error);
    *extra = NULL;
    *conversation = (struct conversation){0};
    if (status == STATUS_OK)
        status =
            conversation_open(model, o->template, file ? (source.data ? source.data : "") : NULL,
                              conversation, error);
    if (status == STATUS_OK)
        status = read_values(&o->values, extra, error);
    buffer_free(&source);
    return status;
}

enum status talk_put_template(struct model *model, const char *name, struct error *error)
{
    struct conversation trial = {0};
    struct buffer source = {0};
    bool file;
    if (!name)
        return STATUS_OK;
    enum status status = read_template(model, name, &source, &file, error);
    const char *text = file ? (source.data ? source.data : "") : model_chat_template(model, name);
    if (status == STATUS_OK) /* what cannot be parsed is told now, not to clients */
        status = conversation_open(model, name, text, &trial, error);
    if (status == STATUS_OK)
        status = model_put_chat_template(model, text, error);
    conversation_free(&trial);
    buffer_free(&source);
    return status;
}

struct sampling_options talk_sampling(struct cli *cli, const struct sampling_options *given,
                                      const struct model *model)
{
    struct sampling_options s = *given;
    sampling_suggest(model, &s);
    const struct {
        const char *option;
        double *own, said;
    } reals[] = {{"temperature", &s.temperature, given->temperature},
                 {"top-p", &s.top_p, given->top_p},
                 {"min-p", &s.min_p, given->min_p},
                 {"repetition-penalty", &s.repetition_penalty, given->repetition_penalty}};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        if (option_given(&cli->options, reals[i].option))
            *reals[i].own = reals[i].said;
    if (option_given(&cli->options, "top-k"))
        s.top_k = given->top_k;
    s.seed = (uint64_t)cli->common->seed;
    return s;
}

static void show(struct made *made, const char *text, size_t length)
{
    buffer_add(&made->text, text, length);
    if (!made->print || length == 0)
        return;
    fwrite(text, 1, length, stdout);
    fflush(stdout);
}

bool talk_token(void *context, const struct engine_token *token)
{
    struct made *made = context;
    struct error ignored; /* seen by the caller: the list is short */
    show(made, token->text, token->length);
    return tok_ids_add(&made->ids, &token->token, 1, &ignored) == STATUS_OK && !cli_stop;
}

void talk_end(void *context, const struct engine_result *result)
{
    struct made *made = context;
    show(made, result->text, result->length);
    made->result = *result;
    made->result.text = "";
    made->result.length = 0;
}

void talk_clear(struct made *made)
{
    made->ids.count = 0;
    buffer_clear(&made->text);
    made->result = (struct engine_result){0};
}

void talk_free(struct made *made)
{
    tok_ids_free(&made->ids);
    buffer_free(&made->text);
}

double talk_rate(const struct engine_result *r)
{
    double seconds = r->seconds - r->wait_seconds - r->prompt_seconds;
    return seconds > 0 && r->made_tokens > 1 ? (double)(r->made_tokens - 1) / seconds : 0;
}
