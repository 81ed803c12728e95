/* See tool_parse.h. Arguments are kept as the model wrote them, and not read and written again:
 * numbers stay the numbers that they are. */
#include "text/tool_parse.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"

#define ARGUMENTS_OPEN "[ARGS]"
#define ID_OPEN "[CALL_ID]"
#define DEEP_BEGIN "<｜tool▁call▁begin｜>"
#define DEEP_SEPARATOR "<｜tool▁sep｜>"
#define DEEP_END "<｜tool▁call▁end｜>"

/* Bytes. */

static void skip_space(struct tool_text *t)
{
    while (t->at < t->end && strchr(" \t\r\n", *t->at) && *t->at)
        t->at++;
}

static bool take(struct tool_text *t, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(t->end - t->at) < length || memcmp(t->at, word, length) != 0)
        return false;
    t->at += length;
    return true;
}

static bool sees(const struct tool_text *t, const char *bytes)
{
    return t->at < t->end && *t->at && strchr(bytes, *t->at);
}

/* All up to a word, which is taken too. */
static bool take_until(struct tool_text *t, const char *word, const char **begin, size_t *length)
{
    if (t->at >= t->end)
        return false;
    const char *found = memmem(t->at, (size_t)(t->end - t->at), word, strlen(word));
    if (!found)
        return false;
    *begin = t->at;
    *length = (size_t)(found - t->at);
    t->at = found + strlen(word);
    return true;
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("_-.:/", c)) || (c & 0x80);
}

static bool is_name(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!is_name_byte(name[i]))
            return false;
    return length > 0 && length <= TOOL_NAME_MOST;
}

/* Calls. */

static const json_t *find_tool(const json_t *tools, const char *name)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *tool = json_array_get(tools, i);
        const json_t *function = json_object_get(tool, "function");
        const char *own = json_string_value(json_object_get(function ? function : tool, "name"));
        if (own && strcmp(own, name) == 0)
            return function ? function : tool;
    }
    return NULL;
}

static bool add_call(struct tool_text *t, const char *name, size_t length, const char *arguments,
                     size_t size)
{
    json_t *own = is_name(name, length) ? json_stringn(name, length) : NULL;
    bool fine = own && json_array_size(t->calls) < TOOL_CALLS_MOST &&
                (!t->known_only || find_tool(t->tools, json_string_value(own)));
    json_t *text = fine ? json_stringn(arguments, size) : NULL;
    json_t *call = text ? json_pack("{s:O,s:O}", "name", own, "arguments", text) : NULL;
    if (fine && (!call || json_array_append(t->calls, call) != 0)) {
        t->failed = true;
        fine = false;
    }
    json_decref(call);
    json_decref(text);
    json_decref(own);
    return fine;
}

/* JSON. */

/* A JSON value; *begin and *length receive its text. New reference, or NULL. */
static json_t *take_json(struct tool_text *t, const char **begin, size_t *length)
{
    json_error_t fault;
    skip_space(t);
    json_t *value = json_loadb(t->at, (size_t)(t->end - t->at),
                               JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &fault);
    *begin = t->at;
    *length = value ? (size_t)fault.position : 0;
    t->at += *length;
    return value;
}

/* Behind a value that is known to be JSON, up to the comma or bracket that follows it. */
static const char *behind_value(const char *at)
{
    int depth = 0;
    for (bool quoted = false;; at++) {
        if (quoted) {
            if (*at == '\\')
                at++;
            else
                quoted = *at != '"';
        } else if (*at == '"') {
            quoted = true;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            if (depth-- == 0)
                return at;
        } else if (*at == ',' && depth == 0) {
            return at;
        }
    }
}

/* The text of a member of an object whose text begins at `at` and is known to be JSON, without the
 * space around it; the last of that name, as jansson has it. False when there is none. `key` has no
 * characters that JSON escapes. */
static bool find_member(const char *at, const char *key, const char **begin, size_t *length)
{
    bool found = false;
    size_t size = strlen(key);
    for (at++; *at != '}';) {
        at += strspn(at, " \t\r\n,");
        if (*at == '}')
            break;
        bool same = strncmp(at + 1, key, size) == 0 && at[size + 1] == '"';
        for (at++; *at != '"'; at++)
            at += *at == '\\';
        at += 1 + strspn(at + 1, " \t\r\n:");
        const char *end = behind_value(at), *last = end;
        while (strchr(" \t\r\n", last[-1]))
            last--;
        if (same) {
            *begin = at;
            *length = (size_t)(last - at);
            found = true;
        }
        at = end;
    }
    return found;
}

static bool is_object(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);
    bool object = json_is_object(value);
    json_decref(value);
    return object;
}

/* {"name": ..., "arguments" or "parameters": ...}, or that under "function". */
static bool add_object(struct tool_text *t, const json_t *object, const char *text)
{
    const char *keys[] = {"arguments", "parameters"}, *begin = "{}";
    const json_t *inner = json_object_get(object, "function");
    size_t length = 2;
    if (json_is_object(inner)) {
        if (!find_member(text, "function", &text, &length))
            return false;
        object = inner;
        length = 2;
    }
    const json_t *name = json_object_get(object, "name");
    for (int i = 0; i < 2; i++) {
        const json_t *value = json_object_get(object, keys[i]);
        if (!value)
            continue;
        if (json_is_string(value) && is_object(json_string_value(value))) {
            begin = json_string_value(value);
            length = json_string_length(value);
        } else if (!json_is_object(value) || !find_member(text, keys[i], &begin, &length)) {
            return false;
        }
        break;
    }
    return json_is_string(name) &&
           add_call(t, json_string_value(name), json_string_length(name), begin, length);
}

/* The text of each item of an array that is known to be JSON. */
static bool add_array(struct tool_text *t, const json_t *array, const char *text)
{
    bool fine = json_array_size(array) > 0;
    const char *at = text + 1;
    for (size_t i = 0; i < json_array_size(array) && fine; i++) {
        const json_t *item = json_array_get(array, i);
        at += strspn(at, " \t\r\n,");
        fine = json_is_object(item) && add_object(t, item, at);
        at = behind_value(at);
    }
    return fine;
}

/* A call, or a list of calls. */
static bool take_calls(struct tool_text *t)
{
    const char *begin;
    size_t length;
    skip_space(t);
    if (!sees(t, "{["))
        return false;
    json_t *value = take_json(t, &begin, &length);
    bool fine = json_is_array(value) ? add_array(t, value, begin)
                                     : json_is_object(value) && add_object(t, value, begin);
    json_decref(value);
    return fine;
}

/* A JSON object that is the arguments of a function. */
static bool take_arguments(struct tool_text *t, const char *name, size_t length)
{
    const char *begin;
    size_t size;
    skip_space(t);
    if (!sees(t, "{"))
        return false;
    json_t *value = take_json(t, &begin, &size);
    bool fine = value && add_call(t, name, length, begin, size);
    json_decref(value);
    return fine;
}

/* Calls one behind another, to the end. */
static bool all_calls(struct tool_text *t)
{
    bool fine = take_calls(t);
    for (skip_space(t); fine && t->at < t->end; skip_space(t)) {
        if (sees(t, ";,"))
            t->at++;
        fine = take_calls(t);
    }
    return fine;
}

/* <function=NAME>. */

/* Whether a schema lets a value be a text. */
static bool may_be_text(const json_t *schema)
{
    const json_t *type = json_object_get(schema, "type");
    const char *one = json_string_value(type);
    for (size_t i = 0; i < json_array_size(type); i++) {
        const char *word = json_string_value(json_array_get(type, i));
        if (word && strcmp(word, "string") == 0)
            return true;
    }
    return !schema || (one && strcmp(one, "string") == 0);
}

static bool is_json(const char *text, size_t length)
{
    json_t *value = json_loadb(text, length, JSON_DECODE_ANY, NULL);
    bool fine = value;
    json_decref(value);
    return fine;
}

static bool put_text(struct tool_text *t, const char *text, size_t length, struct buffer *out)
{
    json_t *value = json_text(text, length);
    char *written = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    if (written)
        buffer_add_text(out, written);
    t->failed |= !written;
    free(written);
    json_decref(value);
    return !t->failed;
}

/* <parameter=KEY>VALUE</parameter>: a value is text, unless the function wants something else and
 * the value is that. A line break on each side belongs to the form. */
static bool take_parameter(struct tool_text *t, const json_t *properties, struct buffer *out)
{
    const char *key, *value;
    size_t length, size;
    if (!take_until(t, ">", &key, &length) || !is_name(key, length) ||
        !take_until(t, "</parameter>", &value, &size))
        return false;
    if (size > 0 && *value == '\n') {
        value++;
        size--;
    }
    size -= size > 0 && value[size - 1] == '\n';
    const json_t *schema = json_object_getn(properties, key, length);
    if (!put_text(t, key, length, out))
        return false;
    buffer_add_text(out, ": ");
    if (may_be_text(schema) || !is_json(value, size))
        return put_text(t, value, size, out);
    buffer_add(out, value, size);
    return true;
}

static bool take_function(struct tool_text *t)
{
    struct buffer arguments = {0};
    const char *name;
    char own[TOOL_NAME_MOST + 1];
    size_t length;
    if (!take(t, "<function=") || !take_until(t, ">", &name, &length) || !is_name(name, length))
        return false;
    memcpy(own, name, length);
    own[length] = 0;
    skip_space(t);
    if (sees(t, "{")) {
        bool fine = take_arguments(t, name, length);
        skip_space(t);
        take(t, "</function>");
        return fine;
    }
    const json_t *properties =
        json_object_get(json_object_get(find_tool(t->tools, own), "parameters"), "properties");
    bool fine = true;
    buffer_add_text(&arguments, "{");
    for (int i = 0; fine && take(t, "<parameter="); i++) {
        buffer_add_text(&arguments, i > 0 ? ", " : "");
        fine = take_parameter(t, properties, &arguments);
        skip_space(t);
    }
    buffer_add_text(&arguments, "}");
    take(t, "</function>");
    t->failed |= arguments.failed;
    fine = fine && !t->failed && add_call(t, name, length, arguments.data, arguments.length);
    buffer_free(&arguments);
    return fine;
}

static bool all_functions(struct tool_text *t)
{
    bool fine = true;
    do {
        skip_space(t);
        fine = take_function(t);
        skip_space(t);
    } while (fine && t->at < t->end);
    return fine;
}

/* The other forms. */

/* NAME[CALL_ID]...[ARGS]{...}, and further ones behind another [TOOL_CALLS]. */
static bool all_mistral(struct tool_text *t)
{
    bool fine = true;
    skip_space(t);
    if (sees(t, "[{"))
        return all_calls(t);
    do {
        skip_space(t);
        const char *name = t->at, *ignored;
        size_t size;
        while (t->at < t->end && is_name_byte(*t->at))
            t->at++;
        size_t length = (size_t)(t->at - name);
        if (take(t, ID_OPEN))
            fine = take_until(t, ARGUMENTS_OPEN, &ignored, &size);
        else
            take(t, ARGUMENTS_OPEN);
        fine = fine && take_arguments(t, name, length);
        skip_space(t);
    } while (fine && take(t, "[TOOL_CALLS]"));
    return fine;
}

static bool all_listed(struct tool_text *t)
{
    take(t, "functools");
    if (!take_calls(t))
        return false;
    skip_space(t);
    if (!take(t, "<|/tool_call|>"))
        take(t, "</tool_call>");
    return true;
}

/* A call in the words of R1: "function", sep, NAME, a line of JSON in a fence; or of V3.1: NAME,
 * sep, JSON. */
static bool take_deepseek(struct tool_text *t)
{
    const char *name;
    size_t length;
    if (!take(t, DEEP_BEGIN) || !take_until(t, DEEP_SEPARATOR, &name, &length))
        return false;
    bool fenced = !sees(t, "{");
    if (fenced && !take_until(t, "\n", &name, &length))
        return false;
    skip_space(t);
    fenced = fenced && take(t, "```json");
    bool fine = take_arguments(t, name, length);
    skip_space(t);
    fine = fine && (!fenced || take(t, "```"));
    skip_space(t);
    return fine && take(t, DEEP_END);
}

static bool all_deepseek(struct tool_text *t)
{
    bool fine = true;
    do {
        skip_space(t);
        fine = take_deepseek(t);
        skip_space(t);
    } while (fine && t->at < t->end);
    return fine;
}

/* NAME.call(KEY=VALUE, ...) */
static bool take_python(struct tool_text *t)
{
    const char *name, *value;
    size_t length, size;
    struct buffer arguments = {0};
    if (!take_until(t, ".call(", &name, &length))
        return false;
    bool fine = true;
    buffer_add_text(&arguments, "{");
    skip_space(t);
    for (bool first = true; fine && t->at < t->end && *t->at != ')'; first = false) {
        const char *key;
        fine = first || take(t, ",");
        skip_space(t);
        fine = fine && take_until(t, "=", &key, &size) && is_name(key, size);
        if (!fine)
            break;
        buffer_add_text(&arguments, first ? "" : ", ");
        put_text(t, key, size, &arguments);
        buffer_add_text(&arguments, ": ");
        json_t *read = take_json(t, &value, &size);
        fine = read;
        json_decref(read);
        buffer_add(&arguments, value, size);
        skip_space(t);
    }
    buffer_add_text(&arguments, "}");
    t->failed |= arguments.failed;
    fine = fine && take(t, ")") && !t->failed &&
           add_call(t, name, length, arguments.data, arguments.length);
    buffer_free(&arguments);
    return fine;
}

static bool all_bare(struct tool_text *t)
{
    skip_space(t);
    if (!sees(t, "{["))
        return take_python(t);
    return all_calls(t);
}

bool tool_parse(enum tool_form form, struct tool_text *t)
{
    bool fine = false;
    skip_space(t);
    switch (form) {
    case TOOL_FORM_TAGS:
    case TOOL_FORM_FUNCTIONS:
        fine = sees(t, "<") ? all_functions(t) : all_calls(t);
        break;
    case TOOL_FORM_BARE:
        fine = all_bare(t);
        break;
    case TOOL_FORM_MISTRAL:
        fine = all_mistral(t);
        break;
    case TOOL_FORM_LIST:
        fine = all_listed(t);
        break;
    case TOOL_FORM_DEEPSEEK:
        fine = all_deepseek(t);
        break;
    case TOOL_FORM_NONE:
        break;
    }
    skip_space(t);
    return fine && t->at == t->end;
}
