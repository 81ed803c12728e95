/* See chat.h. What surrounds a template: its variables, and continuing the last message. */
#include "text/chat.h"

#include <string.h>

#include "text/chat_internal.h"
#include "text/jinja_value.h"
#include "text/unicode.h"

/* As transformers has it: ends in a space, so that templates that trim show themselves. */
#define CONTINUE_MARK "CONTINUE_FINAL_MESSAGE_TAG "

static const char *const reasoning_names[] = {"reasoning_content", "thinking", "reasoning"};

/* A message as templates get it: a copy without nulls. New reference, or NULL. */
static json_t *normalized_message(const json_t *message)
{
    json_t *copy = json_object(), *object = (json_t *)(uintptr_t)message, *value;
    const char *key;
    bool done = copy != NULL;
    json_t *reasoning = NULL;
    for (size_t i = 0; i < 3 && !reasoning; i++) {
        reasoning = json_object_get(object, reasoning_names[i]);
        reasoning = json_is_null(reasoning) ? NULL : reasoning;
    }
    if (reasoning && !json_object_get(object, "thinking"))
        done = done && json_object_set(copy, "thinking", reasoning) == 0;
    json_object_foreach(object, key, value)
    {
        if (!json_is_null(value))
            done = done && json_object_set(copy, key, value) == 0;
    }
    if (reasoning)
        done = done && json_object_set(copy, "reasoning_content", reasoning) == 0 &&
               (json_object_get(copy, "thinking") ||
                json_object_set(copy, "thinking", reasoning) == 0);
    if (!done)
        json_decref(copy);
    return done ? copy : NULL;
}

enum status chat_normalize(const json_t *messages, const char *name, json_t **list,
                           struct error *error)
{
    *list = NULL;
    if (!json_is_array(messages) || json_array_size(messages) == 0)
        return error_set(error, STATUS_FAILED, "%s: there are no messages", name);
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (!json_is_object(json_array_get(messages, i)))
            return error_set(error, STATUS_FAILED, "%s: message %zu is no object", name, i + 1);
    *list = json_array();
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (!*list ||
            json_array_append_new(*list, normalized_message(json_array_get(messages, i))) != 0) {
            json_decref(*list);
            *list = NULL;
            return error_no_memory(error, 256);
        }
    return STATUS_OK;
}

/* The variables of a rendering, over normalized messages; new reference, or NULL. */
static json_t *make_variables(json_t *messages, const struct chat_options *o, bool prompt)
{
    const struct {
        const char *name, *value;
    } tokens[] = {{"bos_token", o->bos},
                  {"eos_token", o->eos},
                  {"unk_token", o->unknown},
                  {"pad_token", o->pad}};
    json_t *variables = json_object();
    bool done = variables != NULL;
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        if (tokens[i].value)
            done = done && json_object_set_new(variables, tokens[i].name,
                                               json_string(tokens[i].value)) == 0;
    if (o->extra)
        done = done && json_object_update(variables, (json_t *)(uintptr_t)o->extra) == 0;
    json_t *tools = o->tools ? json_incref((json_t *)(uintptr_t)o->tools) : json_null();
    json_t *documents = o->documents ? json_incref((json_t *)(uintptr_t)o->documents) : json_null();
    done = json_object_set_new(variables, "tools", tools) == 0 && done;
    done = json_object_set_new(variables, "documents", documents) == 0 && done;
    done = json_object_set(variables, "messages", messages) == 0 && done;
    done =
        json_object_set_new(variables, "add_generation_prompt", json_boolean(prompt)) == 0 && done;
    if (!done)
        json_decref(variables);
    return done ? variables : NULL;
}

enum status chat_render_list(const struct jinja *template, json_t *messages,
                             const struct chat_options *options, bool prompt, struct buffer *text,
                             struct jinja_ranges *ranges, struct error *error)
{
    json_t *variables = make_variables(messages, options, prompt);
    if (!variables)
        return error_no_memory(error, 256);
    enum status status = jinja_render(template, variables, options->now, text, ranges, error);
    json_decref(variables);
    return status;
}

/* Continuing the last message. */

/* The content of the last message, or of the last of its parts that has text. Borrowed. */
static json_t *last_text(json_t *messages, json_t **holder, const char **key)
{
    json_t *message = json_array_get(messages, json_array_size(messages) - 1);
    json_t *content = json_object_get(message, "content");
    *holder = message;
    *key = "content";
    for (size_t i = json_array_size(content); json_is_array(content) && i-- > 0;) {
        *holder = json_array_get(content, i);
        *key = "text";
        if (json_object_get(*holder, "text"))
            return json_object_get(*holder, "text");
    }
    return json_is_string(content) ? content : NULL;
}

static json_t *with_mark(const char *text)
{
    struct buffer marked = {0};
    buffer_add_text(&marked, text);
    buffer_add_text(&marked, CONTINUE_MARK);
    json_t *value = marked.failed ? NULL : json_stringn(marked.data, marked.length);
    buffer_free(&marked);
    return value;
}

static size_t trimmed_end(const char *text, size_t begin, size_t end)
{
    while (end > begin) {
        size_t last = end - 1;
        uint32_t point;
        while (last > begin && (text[last] & 0xc0) == 0x80)
            last--;
        if (unicode_decode(text + last, end - last, &point) == 0 || !jinja_is_space(point))
            break;
        end = last;
    }
    return end;
}

/* The place of the mark without its space, the last if there are several; or `length`. */
static size_t find_mark(const char *text, size_t begin, size_t length)
{
    size_t size = sizeof CONTINUE_MARK - 2;
    for (size_t at = length; at-- > begin;)
        if (length - at >= size && memcmp(text + at, CONTINUE_MARK, size) == 0)
            return at;
    return length;
}

static enum status cut_at_mark(const char *name, const char *content, size_t begin,
                               struct buffer *text, struct error *error)
{
    size_t at = text->data ? find_mark(text->data, begin, text->length) : text->length;
    size_t length = strlen(content), first = 0, last = trimmed_end(content, 0, length);
    uint32_t point;
    for (size_t width; first < last; first += width)
        if ((width = unicode_decode(content + first, last - first, &point)) == 0 ||
            !jinja_is_space(point))
            break;
    if (at == text->length || (last > first && !memmem(text->data + begin, text->length - begin,
                                                       content + first, last - first)))
        return error_set(error, STATUS_FAILED,
                         "%s: the template changes the last message, so it cannot be continued",
                         name);
    bool spaced = text->length - at >= sizeof CONTINUE_MARK - 1 &&
                  text->data[at + sizeof CONTINUE_MARK - 2] == ' ';
    text->length = spaced ? at : trimmed_end(text->data, begin, at);
    text->data[text->length] = 0;
    return STATUS_OK;
}

static enum status render_continued(const struct jinja *template, json_t *messages,
                                    const struct chat_options *options, struct buffer *text,
                                    struct error *error)
{
    json_t *holder;
    const char *key;
    json_t *content = last_text(messages, &holder, &key);
    size_t begin = text->length;
    if (!json_is_string(content))
        return error_set(error, STATUS_FAILED, "%s: the last message has no text to be continued",
                         template->name);
    json_incref(content);
    json_t *list = json_deep_copy(messages);
    bool marked = list && last_text(list, &holder, &key) &&
                  json_object_set_new(holder, key, with_mark(json_string_value(content))) == 0;
    enum status status = marked
                             ? chat_render_list(template, list, options, false, text, NULL, error)
                             : error_no_memory(error, 256);
    if (status == STATUS_OK)
        status = cut_at_mark(template->name, json_string_value(content), begin, text, error);
    json_decref(list);
    json_decref(content);
    return status;
}

enum status chat_render(const struct jinja *template, const json_t *messages,
                        const struct chat_options *options, struct buffer *text,
                        struct error *error)
{
    json_t *list;
    if (options->continue_final_message && options->add_generation_prompt)
        return error_set(error, STATUS_USAGE,
                         "a message can be continued or a new one begun, not both");
    enum status status = chat_normalize(messages, template->name, &list, error);
    if (status != STATUS_OK)
        return status;
    if (options->continue_final_message)
        status = render_continued(template, list, options, text, error);
    else
        status = chat_render_list(template, list, options, options->add_generation_prompt, text,
                                  NULL, error);
    json_decref(list);
    return status;
}
