/* See prompt.h. */
#include "serve/prompt.h"

#include <string.h>

#include "run/conversation.h"

bool serve_can_chat(const struct model *model)
{
    return model_chat_template(model, NULL) != NULL;
}

/* Calls of tools in messages. Clients send the arguments as a text of JSON and no content; some
 * templates want an object, others a text, and some fail without a content. */

/* A copy of a message's calls in which arguments are objects; NULL for want of memory. */
static json_t *calls_with_objects(json_t *calls)
{
    json_t *copy = json_deep_copy(calls), *call;
    size_t i;
    json_array_foreach(copy, i, call)
    {
        json_t *function = json_object_get(call, "function");
        const json_t *text = json_object_get(function, "arguments");
        json_t *object = json_is_string(text)
                             ? json_loadb(json_string_value(text), json_string_length(text),
                                          JSON_ALLOW_NUL, NULL)
                             : NULL;
        if (json_is_object(object))
            json_object_set(function, "arguments", object);
        json_decref(object);
    }
    return copy;
}

/* The messages with arguments as objects, or as they came; and with empty contents beside calls, or
 * none. New reference, NULL for want of memory. */
static json_t *adapt_messages(json_t *messages, bool objects, bool contents)
{
    json_t *list = json_array(), *message;
    bool done = list;
    size_t i;
    json_array_foreach(messages, i, message)
    {
        json_t *copy = json_copy(message), *calls = json_object_get(message, "tool_calls");
        if (copy && json_is_array(calls) && objects)
            done = json_object_set_new(copy, "tool_calls", calls_with_objects(calls)) == 0 && done;
        if (copy && json_array_size(calls) > 0 && contents &&
            !json_is_string(json_object_get(message, "content")))
            done = json_object_set_new(copy, "content", json_string("")) == 0 && done;
        done = json_array_append_new(list, copy) == 0 && done;
    }
    if (!done)
        json_decref(list);
    return done ? list : NULL;
}

static bool has_calls(const json_t *messages)
{
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (json_array_size(json_object_get(json_array_get(messages, i), "tool_calls")) > 0)
            return true;
    return false;
}

/* Tries the forms of messages with calls in turn, those that most templates take first. The error
 * is that of the first. */
static enum status encode_messages(struct conversation *talk, const struct serve_request *q,
                                   const struct chat_options *options, struct tok_ids *ids,
                                   struct buffer *text, struct error *error)
{
    int forms = has_calls(q->messages) ? 4 : 1;
    enum status status = STATUS_FAILED;
    for (int form = 0; form < forms && status == STATUS_FAILED; form++) {
        struct error own;
        json_t *messages = adapt_messages(q->messages, form < 2, form % 2);
        buffer_clear(text);
        status = messages ? conversation_encode(talk, messages, options, ids, text, &own)
                          : error_no_memory(&own, 4096);
        json_decref(messages);
        if (status != STATUS_OK && (form == 0 || status == STATUS_NO_MEMORY))
            *error = own;
    }
    return status;
}

/* What is to be known for reading calls out of the answer: their form, the tokens that mark them,
 * and whether the prompt ends in a thought. */
static enum status prepare_calls(const struct model *model, struct serve_request *q,
                                 const char *source, const struct buffer *text, struct error *error)
{
    static const char thought[] = "<think>";
    size_t length = text->length;
    q->form = tool_form_of(source);
    const char *const *marks = tool_form_marks(q->form);
    while (length > 0 && strchr(" \n", text->data[length - 1]))
        length--;
    q->thinking = length >= strlen(thought) &&
                  memcmp(text->data + length - strlen(thought), thought, strlen(thought)) == 0;
    for (q->shown_count = 0; marks[q->shown_count];)
        q->shown_count++;
    q->shown = arena_calloc(&q->arena, (size_t)q->shown_count + 1, sizeof *q->shown);
    if (!q->shown)
        return error_no_memory(error, 64);
    for (int64_t i = 0; i < q->shown_count; i++)
        q->shown[i] =
            tok_special(&model->tokenizer, marks[i]); /* -1, no token, when there is none */
    return STATUS_OK;
}

/* As in transformers: a template of that name is for conversations with tools. */
static const char *template_name(const struct model *model, const struct serve_request *q)
{
    return q->tools && model_chat_template(model, "tool_use") ? "tool_use" : NULL;
}

bool serve_takes_tools(const struct model *model, const struct serve_request *q)
{
    return !q->tools || tool_form_taken(model_chat_template(model, template_name(model, q)));
}

/* The template is parsed for each request: that takes less than the tokenizer, and shares nothing
 * between threads. */
static enum status encode_chat(const struct model *model, struct serve_request *q,
                               struct tok_ids *ids, struct error *error)
{
    struct conversation talk;
    struct buffer text = {0};
    struct chat_options options = {.tools = q->tools,
                                   .extra = q->template,
                                   .add_generation_prompt = q->open,
                                   .continue_final_message = q->goes_on};
    const char *name = template_name(model, q);
    const char *source = model_chat_template(model, name);
    enum status status = conversation_open(model, name, NULL, &talk, error);
    if (status == STATUS_OK && !serve_takes_tools(model, q))
        status = error_set(error, STATUS_FAILED, "%s: it takes no tools", talk.template.name);
    if (status == STATUS_OK) {
        conversation_options(&talk, &options);
        status = encode_messages(&talk, q, &options, ids, &text, error);
    }
    if (status == STATUS_OK && q->tools)
        status = prepare_calls(model, q, source, &text, error);
    buffer_free(&text);
    conversation_free(&talk);
    return status;
}

enum status serve_encode_text(const struct model *model, const struct serve_prompt *prompt,
                              enum serve_around around, struct tok_ids *ids, struct error *error)
{
    struct tok_scratch scratch = {0};
    const struct tokenizer *t = &model->tokenizer;
    enum status status =
        around == AROUND_NOTHING
            ? tok_encode(t, &scratch, prompt->text, prompt->length, true, ids, error)
            : tok_encode_model(t, &scratch, prompt->text, prompt->length, true,
                               around == AROUND_OPEN, ids, error);
    tok_scratch_free(&scratch);
    return status;
}

enum status serve_encode(const struct model *model, const struct serve_prompt *prompt,
                         enum serve_around around, struct tok_ids *ids, struct error *error)
{
    const struct tokenizer *t = &model->tokenizer;
    if (!prompt->text)
        return tok_ids_add(ids, prompt->ids, prompt->count, error);
    if (prompt->length == 0 && t->before.count == 0 && t->eos >= 0)
        return tok_ids_add(ids, &t->eos, 1, error);
    return serve_encode_text(model, prompt, around, ids, error);
}

enum status serve_encode_request(const struct model *model, struct serve_request *q, int64_t index,
                                 struct tok_ids *ids, struct error *error)
{
    if (q->kind == SERVE_CHAT)
        return encode_chat(model, q, ids, error);
    enum serve_around around = q->kind == SERVE_EMBEDDING ? AROUND_WHOLE
                               : q->special               ? AROUND_OPEN
                                                          : AROUND_NOTHING;
    return serve_encode(model, &q->prompts[index], around, ids, error);
}
