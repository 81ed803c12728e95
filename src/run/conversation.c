/* See conversation.h. */
#include "run/conversation.h"

#include <string.h>
#include <time.h>

#include "base/json_text.h"

enum status conversation_open(const struct model *model, const char *name, const char *source,
                              struct conversation *c, struct error *error)
{
    const char *path = model->path ? model->path : "the model";
    char label[256];
    *c = (struct conversation){.model = model};
    if (!model->has_tokenizer)
        return error_set(error, STATUS_FAILED, "%s: the model comes without a tokenizer", path);
    if (!source)
        source = model_chat_template(model, name);
    if (!source)
        return error_set(error, STATUS_FAILED, "%s: the model has no chat template%s%.100s", path,
                         name ? " " : "", name ? name : "");
    const char *slash = strrchr(path, '/');
    snprintf(label, sizeof label, "chat template of %.200s", slash && slash[1] ? slash + 1 : path);
    return jinja_parse(source, strlen(source), label, &c->template, error);
}

void conversation_free(struct conversation *c)
{
    jinja_free(&c->template);
    tok_scratch_free(&c->scratch);
    *c = (struct conversation){0};
}

void conversation_options(const struct conversation *c, struct chat_options *options)
{
    const struct model_chat *chat = &c->model->chat;
    options->bos = chat->bos;
    options->eos = chat->eos;
    options->unknown = chat->unknown;
    options->pad = chat->pad;
    options->now = (int64_t)time(NULL);
}

enum status conversation_encode(struct conversation *c, const json_t *messages,
                                const struct chat_options *options, struct tok_ids *ids,
                                struct buffer *text, struct error *error)
{
    struct buffer own = {0}, *out = text ? text : &own;
    size_t begin = out->length;
    enum status status = chat_render(&c->template, messages, options, out, error);
    if (status == STATUS_OK)
        status = tok_encode(&c->model->tokenizer, &c->scratch, out->data ? out->data + begin : "",
                            out->length - begin, true, ids, error);
    buffer_free(&own);
    return status;
}

json_t *conversation_message(const char *role, const char *content, size_t length)
{
    json_t *message = json_object(), *text = json_text(content, length);
    if (message && text && json_object_set_new(message, "role", json_string(role)) == 0 &&
        json_object_set(message, "content", text) == 0) {
        json_decref(text);
        return message;
    }
    json_decref(message);
    json_decref(text);
    return NULL;
}
