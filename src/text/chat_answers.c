/* See chat.h. Which stretches of a conversation's text the assistant says. Templates do not tell,
 * unless they have {% generation %}; so they are found by rendering parts of the conversation, and
 * copies of it with marks in the answers, and comparing. */
#include <stdlib.h>
#include <string.h>

#include "text/chat.h"
#include "text/chat_internal.h"

/* What no text and no template contains, and no template changes. */
#define MARK "adzeMARK7c3f1e9b"

struct finding {
    const struct jinja *template;
    const struct chat_options *options;
    json_t *messages;
    const char *text; /* all of the conversation */
    size_t length;
    struct buffer end; /* behind answers */
    struct jinja_ranges *answers;
    struct error *error;
};

static bool is_answer(const json_t *message)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    return role && strcmp(role, "assistant") == 0;
}

/* The first `count` messages rendered; an error only says that this tells nothing. */
static bool render_first(const struct finding *f, json_t *messages, size_t count, bool prompt,
                         struct buffer *text)
{
    struct error ignored;
    json_t *list = json_array();
    bool done = list != NULL;
    for (size_t i = 0; i < count; i++)
        done = done && json_array_append(list, json_array_get(messages, i)) == 0;
    buffer_clear(text);
    done = done && chat_render_list(f->template, list, f->options, prompt, text, NULL, &ignored) ==
                       STATUS_OK;
    json_decref(list);
    return done && text->data;
}

/* The end of answers. */

static json_t *message_of(const char *role, const char *content)
{
    return json_pack("{s:s, s:s}", "role", role, "content", content);
}

/* What follows MARK in a short conversation of `count` messages; NULL when nothing does. */
static const char *behind_mark(const struct finding *f, json_t *messages, size_t count, bool prompt,
                               struct buffer *text)
{
    if (!render_first(f, messages, count, prompt, text))
        return NULL;
    const char *found = strstr(text->data, MARK);
    return found ? found + strlen(MARK) : NULL;
}

/* Cuts what two texts begin with to whole tokens: none is begun without being ended. */
static size_t whole_tokens(const char *text, size_t length)
{
    static const char pairs[] = "<>[]{}";
    for (const char *pair = pairs; *pair; pair += 2)
        for (size_t i = length; i-- > 0 && text[i] != pair[1];)
            length = text[i] == pair[0] ? i : length;
    while (length > 0 && (text[length] & 0xc0) == 0x80) /* within a character */
        length--;
    return length;
}

static void find_turn_end(const struct finding *f, struct buffer *end)
{
    struct buffer last = {0}, more = {0};
    json_t *messages = json_array();
    json_array_append_new(messages, message_of("user", "a"));
    json_array_append_new(messages, message_of("assistant", MARK));
    json_array_append_new(messages, message_of("user", "b"));
    const char *a = behind_mark(f, messages, 2, false, &last);
    const char *b = behind_mark(f, messages, 3, false, &more);
    size_t length = 0;
    while (a && b && a[length] && a[length] == b[length])
        length++;
    length = a ? whole_tokens(a, b ? length : strlen(a)) : 0;
    while (length > 0 && strchr(" \t\r\n", a[length - 1]))
        length--;
    if (length > 0)
        buffer_add(end, a, length);
    json_decref(messages);
    buffer_free(&last);
    buffer_free(&more);
}

enum status chat_turn_end(const struct jinja *template, const struct chat_options *options,
                          struct buffer *text, struct error *error)
{
    const struct finding f = {.template = template, .options = options};
    find_turn_end(&f, text);
    return buffer_check(text, error);
}

/* Marks. */

/* A copy of the conversation in which every answer of plain text has a mark before or behind its
 * content; NULL for want of memory. */
static json_t *marked_copy(json_t *messages, bool before)
{
    json_t *copy = json_array();
    for (size_t i = 0; copy && i < json_array_size(messages); i++) {
        json_t *message = json_copy(json_array_get(messages, i));
        const json_t *content = json_object_get(message, "content");
        if (message && is_answer(message) && json_is_string(content)) {
            struct buffer text = {0};
            buffer_add_text(&text, before ? MARK : "");
            buffer_add(&text, json_string_value(content), json_string_length(content));
            buffer_add_text(&text, before ? "" : MARK);
            json_object_set_new(message, "content", json_stringn(text.data, text.length));
            buffer_free(&text);
        }
        if (!message || json_array_append_new(copy, message) != 0) {
            json_decref(copy);
            copy = NULL;
        }
    }
    return copy;
}

/* Places of marks, in the text without them: places[i] is that of answer i with text, in order.
 * NULL unless each shows once and nothing else changes. */
static size_t *places_of_marks(const struct finding *f, bool before, size_t *count)
{
    struct buffer text = {0};
    json_t *copy = marked_copy(f->messages, before);
    size_t most = json_array_size(f->messages), at = 0, taken = 0, wanted = 0;
    size_t *places = calloc(most + 1, sizeof *places);
    bool same = places && copy && render_first(f, copy, most, false, &text);
    for (size_t i = 0; i < most; i++) {
        const json_t *message = json_array_get(f->messages, i);
        wanted += is_answer(message) && json_is_string(json_object_get(message, "content"));
    }
    for (const char *p = text.data; same;) {
        const char *found = memmem(p, text.length - (size_t)(p - text.data), MARK, strlen(MARK));
        size_t length = found ? (size_t)(found - p) : text.length - (size_t)(p - text.data);
        same = at + length <= f->length && memcmp(f->text + at, p, length) == 0;
        at += length;
        if (!found)
            break;
        same = same && taken < most;
        if (same)
            places[taken++] = at;
        p = found + strlen(MARK);
    }
    same = same && at == f->length && taken == wanted;
    buffer_free(&text);
    json_decref(copy);
    if (!same) {
        free(places);
        return NULL;
    }
    *count = taken;
    return places;
}

/* Ranges. */

static bool add_range(struct jinja_ranges *ranges, size_t begin, size_t end)
{
    if (ranges->count == ranges->capacity) {
        size_t capacity = 2 * ranges->capacity + 8;
        struct jinja_range *more = realloc(ranges->items, capacity * sizeof *more);
        if (!more)
            return false;
        ranges->items = more;
        ranges->capacity = capacity;
    }
    ranges->items[ranges->count++] = (struct jinja_range){begin, end};
    return true;
}

/* As far as the generation prompt of message `index` is what the conversation has there. Templates
 * differ in it where they leave thoughts out of earlier answers. */
static bool common_prompt(const struct finding *f, size_t index, const struct buffer *prompt,
                          size_t *begin)
{
    struct buffer text = {0};
    size_t common = 0;
    while (common < prompt->length && common < f->length && prompt->data[common] == f->text[common])
        common++;
    common = whole_tokens(f->text, common);
    bool found = render_first(f, f->messages, index, false, &text) && text.length < common &&
                 memcmp(text.data, f->text, text.length) == 0;
    *begin = common;
    buffer_free(&text);
    return found;
}

/* Where the answer of message `index` begins; false when that cannot be told. */
static bool find_begin(const struct finding *f, size_t index, const size_t *mark, size_t least,
                       size_t *begin)
{
    struct buffer text = {0};
    bool prompted = index > 0 && render_first(f, f->messages, index, true, &text);
    bool found = prompted && text.length >= least && text.length <= f->length &&
                 memcmp(text.data, f->text, text.length) == 0;
    *begin = text.length;
    if (!found && mark && *mark >= least) {
        *begin = *mark;
        found = true;
    }
    if (!found && prompted)
        found = common_prompt(f, index, &text, begin) && *begin >= least;
    buffer_free(&text);
    return found;
}

/* Where it ends: behind the next text that ends answers, or with the conversation so far. */
static bool find_end(const struct finding *f, size_t index, size_t from, size_t *end)
{
    struct buffer text = {0};
    const char *found = NULL;
    if (f->end.length)
        found = memmem(f->text + from, f->length - from, f->end.data, f->end.length);
    *end = found ? (size_t)(found - f->text) + f->end.length : f->length;
    if (found || index + 1 == json_array_size(f->messages))
        return true;
    bool known = render_first(f, f->messages, index + 1, false, &text) && text.length >= from &&
                 text.length <= f->length && memcmp(text.data, f->text, text.length) == 0;
    *end = known ? text.length : f->length;
    buffer_free(&text);
    return known;
}

static enum status find_all(struct finding *f)
{
    size_t before_count = 0, behind_count = 0, seen = 0, least = 0;
    size_t *before = places_of_marks(f, true, &before_count);
    size_t *behind = places_of_marks(f, false, &behind_count);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < json_array_size(f->messages) && status == STATUS_OK; i++) {
        const json_t *message = json_array_get(f->messages, i);
        size_t begin, end = 0;
        if (!is_answer(message))
            continue;
        bool plain = json_is_string(json_object_get(message, "content"));
        size_t *mark = plain && before ? &before[seen] : NULL;
        bool known = find_begin(f, i, mark, least, &begin);
        size_t from = plain && behind && behind[seen] >= begin ? behind[seen] : begin;
        known = known && find_end(f, i, from, &end);
        seen += plain;
        least = end;
        if (!known)
            status = error_set(f->error, STATUS_FAILED,
                               "%s: where the answer in message %zu is cannot be told from the "
                               "template",
                               f->template->name, i + 1);
        else if (!add_range(f->answers, begin, end))
            status = error_no_memory(f->error, sizeof begin);
    }
    free(before);
    free(behind);
    return status;
}

enum status chat_render_answers(const struct jinja *template, const json_t *messages,
                                const struct chat_options *options, struct buffer *text,
                                struct jinja_ranges *answers, struct error *error)
{
    json_t *list;
    size_t begin = text->length;
    enum status status = chat_normalize(messages, template->name, &list, error);
    if (status != STATUS_OK)
        return status;
    answers->count = 0;
    answers->lost = 0;
    status = chat_render_list(template, list, options, false, text, answers, error);
    if (status == STATUS_OK && (!template->generation || answers->lost)) {
        struct finding f = {.template = template,
                            .options = options,
                            .messages = list,
                            .text = text->data ? text->data + begin : "",
                            .length = text->length - begin,
                            .answers = answers,
                            .error = error};
        answers->count = 0;
        find_turn_end(&f, &f.end);
        status = find_all(&f);
        buffer_free(&f.end);
    }
    json_decref(list);
    return status;
}
