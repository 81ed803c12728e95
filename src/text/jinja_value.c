/* See jinja_value.h: memory, limits, and the making and comparing of values. */
#include "text/jinja_value.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PIECE ((size_t)64 << 10)
#define JSON_DEPTH_MOST 100

struct jinja_value jinja_fail(struct jinja_run *run, const char *format, ...)
{
    char cause[512];
    va_list list;
    va_start(list, format);
    vsnprintf(cause, sizeof cause, format, list);
    va_end(list);
    for (char *c = cause; *c; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    if (!run->failed)
        run->status =
            error_set(run->error, STATUS_FAILED, "%s: line %d: %s", run->name, run->line, cause);
    run->failed = true;
    return jinja_none();
}

struct jinja_value jinja_fail_undefined(struct jinja_run *run, struct jinja_value value)
{
    int length = (int)(value.length < 200 ? value.length : 200);
    if (value.mark == JINJA_NO_REASON)
        return jinja_fail(run, "%.*s", length, value.text);
    return jinja_fail(
        run, value.mark == JINJA_NO_MEMBER ? "there is no member '%.*s'" : "'%.*s' is undefined",
        length, value.text);
}

bool jinja_charge(struct jinja_run *run, size_t steps)
{
    run->steps += steps;
    if (run->steps > JINJA_STEPS_MOST)
        jinja_fail(run, "the template takes more than %d steps", JINJA_STEPS_MOST);
    return !run->failed;
}

bool jinja_enter(struct jinja_run *run)
{
    if (run->depth >= JINJA_DEPTH_MOST)
        jinja_fail(run, "calls, expressions or values are nested too deep");
    if (run->failed || !jinja_charge(run, 1))
        return false;
    run->depth++;
    return true;
}

void *jinja_alloc(struct jinja_run *run, size_t bytes)
{
    bytes = (bytes + 7) & ~(size_t)7;
    if (bytes > JINJA_MEMORY_MOST || run->memory > JINJA_MEMORY_MOST - bytes)
        jinja_fail(run, "the template takes more than %zu bytes of memory", JINJA_MEMORY_MOST);
    if (run->failed || !jinja_charge(run, bytes / 64))
        return NULL;
    run->memory += bytes;
    char *memory = run->free;
    if (bytes <= run->left) {
        run->free += bytes;
        run->left -= bytes;
        return memory;
    }
    bool own = bytes > PIECE / 4;
    memory = arena_alloc(&run->arena, own ? bytes : PIECE);
    if (!memory) {
        jinja_fail(run, "out of memory");
        return NULL;
    }
    if (!own) {
        run->free = memory + bytes;
        run->left = PIECE - bytes;
    }
    return memory;
}

/* Making. */

struct jinja_value jinja_undefined(const char *name, size_t length, enum jinja_missing missing)
{
    return (struct jinja_value){.type = JINJA_UNDEFINED,
                                .mark = (uint8_t)missing,
                                .length = (uint32_t)length,
                                .text = name};
}

struct jinja_value jinja_none(void)
{
    return (struct jinja_value){.type = JINJA_NONE};
}

struct jinja_value jinja_bool(bool value)
{
    return (struct jinja_value){.type = JINJA_BOOL, .boolean = value};
}

struct jinja_value jinja_int(int64_t value)
{
    return (struct jinja_value){.type = JINJA_INT, .integer = value};
}

struct jinja_value jinja_real(double value)
{
    return (struct jinja_value){.type = JINJA_REAL, .real = value};
}

struct jinja_value jinja_slice_of(const char *text, size_t length)
{
    return (struct jinja_value){.type = JINJA_TEXT, .length = (uint32_t)length, .text = text};
}

struct jinja_value jinja_literal(const char *text)
{
    return jinja_slice_of(text, strlen(text));
}

struct jinja_value jinja_text(struct jinja_run *run, const char *text, size_t length)
{
    char *copy = jinja_alloc(run, length);
    if (!copy)
        return jinja_none();
    if (length)
        memcpy(copy, text, length);
    return jinja_slice_of(copy, length);
}

struct jinja_value jinja_take(struct jinja_run *run, struct buffer *buffer)
{
    struct jinja_value value = jinja_none();
    if (buffer->failed)
        jinja_fail(run, "out of memory");
    else
        value = jinja_text(run, buffer->data ? buffer->data : "", buffer->length);
    buffer_free(buffer);
    return value;
}

/* The first join takes twice the room that it needs, so that texts put together piece by piece
 * cost time in proportion to their length. */
struct jinja_value jinja_join(struct jinja_run *run, struct jinja_value a, struct jinja_value b)
{
    size_t length = (size_t)a.length + b.length;
    if (b.length == 0 || a.length == 0)
        return b.length == 0 ? a : b;
    if (run->growing != a.text + a.length || run->growing_left < b.length) {
        char *memory = jinja_alloc(run, 2 * length);
        if (!memory)
            return jinja_none();
        memcpy(memory, a.text, a.length);
        a.text = memory;
        run->growing = memory + a.length;
        run->growing_left = 2 * length - a.length;
    }
    memcpy(run->growing, b.text, b.length);
    run->growing += b.length;
    run->growing_left -= b.length;
    jinja_charge(run, b.length / 64);
    return jinja_slice_of(a.text, length);
}

struct jinja_value jinja_list_value(struct jinja_run *run, enum jinja_type type,
                                    struct jinja_list list)
{
    struct jinja_list *copy = jinja_alloc(run, sizeof *copy);
    if (!copy)
        return jinja_none();
    *copy = list;
    return (struct jinja_value){.type = (uint8_t)type, .list = copy};
}

struct jinja_value jinja_view_value(struct jinja_run *run, enum jinja_view_kind kind,
                                    struct jinja_list list)
{
    struct jinja_view *view = jinja_alloc(run, sizeof *view);
    if (!view)
        return jinja_none();
    *view = (struct jinja_view){.kind = kind, .list = list};
    return (struct jinja_value){.type = JINJA_VIEW, .view = view};
}

struct jinja_value jinja_map_value(struct jinja_run *run, struct jinja_map map)
{
    struct jinja_map *copy = jinja_alloc(run, sizeof *copy);
    if (!copy)
        return jinja_none();
    *copy = map;
    return (struct jinja_value){.type = JINJA_MAP, .map = copy};
}

static struct jinja_value *more_values(struct jinja_run *run, struct jinja_value *old, size_t count,
                                       size_t capacity)
{
    struct jinja_value *more = jinja_alloc(run, capacity * sizeof *more);
    if (more && count)
        memcpy(more, old, count * sizeof *more);
    return more;
}

bool jinja_list_add(struct jinja_run *run, struct jinja_list *list, struct jinja_value item)
{
    if (list->count >= list->capacity) {
        size_t capacity = list->count ? 2 * list->count : 4;
        struct jinja_value *more = more_values(run, list->items, list->count, capacity);
        if (!more)
            return false;
        list->items = more;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
    return !run->failed;
}

struct jinja_value *jinja_map_find(struct jinja_run *run, const struct jinja_map *map,
                                   struct jinja_value key)
{
    jinja_charge(run, map->count / 8);
    for (size_t i = 0; i < map->count && !run->failed; i++)
        if (jinja_equal(run, map->keys[i], key))
            return &map->values[i];
    return NULL;
}

struct jinja_value *jinja_map_text(struct jinja_run *run, const struct jinja_map *map,
                                   const char *key)
{
    return jinja_map_find(run, map, jinja_literal(key));
}

bool jinja_map_set(struct jinja_run *run, struct jinja_map *map, struct jinja_value key,
                   struct jinja_value value)
{
    struct jinja_value *found = jinja_map_find(run, map, key);
    if (run->failed)
        return false;
    if (key.type == JINJA_LIST || key.type == JINJA_MAP) {
        jinja_fail(run, "a %s cannot be a key", jinja_type_name(key));
        return false;
    }
    if (found) {
        *found = value;
        return true;
    }
    if (map->count >= map->capacity) {
        size_t capacity = map->count ? 2 * map->count : 4;
        struct jinja_value *keys = more_values(run, map->keys, map->count, capacity);
        struct jinja_value *values = more_values(run, map->values, map->count, capacity);
        if (!keys || !values)
            return false;
        map->keys = keys;
        map->values = values;
        map->capacity = capacity;
    }
    map->keys[map->count] = key;
    map->values[map->count++] = value;
    return true;
}

static struct jinja_value of_json(struct jinja_run *run, const json_t *json, int depth)
{
    if (depth > JSON_DEPTH_MOST)
        return jinja_fail(run, "the messages or other variables are nested too deep");
    if (json_is_string(json))
        return jinja_text(run, json_string_value(json), json_string_length(json));
    if (json_is_integer(json))
        return jinja_int(json_integer_value(json));
    if (json_is_real(json))
        return jinja_real(json_real_value(json));
    if (json_is_boolean(json))
        return jinja_bool(json_is_true(json));
    if (json_is_array(json)) {
        struct jinja_list list = {0};
        for (size_t i = 0; i < json_array_size(json) && !run->failed; i++)
            jinja_list_add(run, &list, of_json(run, json_array_get(json, i), depth + 1));
        return jinja_list_value(run, JINJA_LIST, list);
    }
    if (json_is_object(json)) {
        struct jinja_map map = {0};
        json_t *object = (json_t *)(uintptr_t)json;
        for (void *at = json_object_iter(object); at && !run->failed;
             at = json_object_iter_next(object, at)) {
            const char *key = json_object_iter_key(at);
            struct jinja_value name = jinja_text(run, key, strlen(key));
            jinja_map_set(run, &map, name, of_json(run, json_object_iter_value(at), depth + 1));
        }
        return jinja_map_value(run, map);
    }
    return jinja_none();
}

struct jinja_value jinja_of_json(struct jinja_run *run, const json_t *json)
{
    return of_json(run, json, 0);
}

/* Asking. */

bool jinja_is_text(struct jinja_value value, const char *text)
{
    return value.type == JINJA_TEXT && value.length == strlen(text) &&
           memcmp(value.text, text, value.length) == 0;
}

bool jinja_is_number(struct jinja_value value)
{
    return value.type == JINJA_BOOL || value.type == JINJA_INT || value.type == JINJA_REAL;
}

int64_t jinja_integer(struct jinja_value value)
{
    return value.type == JINJA_BOOL ? value.boolean : value.integer;
}

double jinja_number(struct jinja_value value)
{
    return value.type == JINJA_REAL ? value.real : (double)jinja_integer(value);
}

int64_t jinja_truncated(struct jinja_run *run, struct jinja_value value)
{
    if (value.type != JINJA_REAL)
        return jinja_integer(value);
    if (!(value.real > -9.2e18 && value.real < 9.2e18)) {
        jinja_fail(run, "a number is too large for an integer");
        return 0;
    }
    return (int64_t)value.real;
}

const char *jinja_type_name(struct jinja_value value)
{
    static const char *const names[] = {
        "Undefined", "NoneType", "bool",      "int",   "float",    "str",    "list",       "tuple",
        "dict",      "view",     "Namespace", "Macro", "function", "method", "LoopContext"};
    static const char *const views[] = {"dict_keys", "dict_values", "dict_items", "range",
                                        "generator"};
    return value.type == JINJA_VIEW ? views[value.view->kind] : names[value.type];
}

int64_t jinja_length(const struct jinja_run *run, struct jinja_value value)
{
    (void)run;
    switch (value.type) {
    case JINJA_UNDEFINED:
        return 0;
    case JINJA_TEXT:
        return (int64_t)jinja_characters(value.text, value.length);
    case JINJA_LIST:
    case JINJA_TUPLE:
        return (int64_t)value.list->count;
    case JINJA_MAP:
        return (int64_t)value.map->count;
    case JINJA_VIEW:
        return value.view->kind == JINJA_GENERATOR ? -1 : (int64_t)value.view->list.count;
    case JINJA_LOOP:
        return (int64_t)value.loop->list.count;
    default:
        return -1;
    }
}

bool jinja_truth(struct jinja_run *run, struct jinja_value value)
{
    if (value.type == JINJA_UNDEFINED || value.type == JINJA_NONE)
        return false;
    if (jinja_is_number(value))
        return jinja_number(value) != 0;
    if (value.type == JINJA_TEXT)
        return value.length > 0;
    return jinja_length(run, value) != 0;
}

static bool lists_equal(struct jinja_run *run, const struct jinja_list *a,
                        const struct jinja_list *b)
{
    bool equal = a->count == b->count;
    for (size_t i = 0; equal && i < a->count; i++)
        equal = jinja_equal(run, a->items[i], b->items[i]);
    return equal;
}

static bool maps_equal(struct jinja_run *run, const struct jinja_map *a, const struct jinja_map *b)
{
    bool equal = a->count == b->count;
    for (size_t i = 0; equal && i < a->count; i++) {
        const struct jinja_value *other = jinja_map_find(run, b, a->keys[i]);
        equal = other && jinja_equal(run, a->values[i], *other);
    }
    return equal;
}

bool jinja_equal(struct jinja_run *run, struct jinja_value a, struct jinja_value b)
{
    if (jinja_is_number(a) && jinja_is_number(b)) {
        bool whole = a.type != JINJA_REAL && b.type != JINJA_REAL;
        return whole ? jinja_integer(a) == jinja_integer(b) : jinja_number(a) == jinja_number(b);
    }
    if (a.type != b.type)
        return false;
    if (a.type == JINJA_UNDEFINED || a.type == JINJA_NONE)
        return true;
    if (a.type == JINJA_TEXT) {
        if (a.length != b.length || (a.length > 256 && !jinja_charge(run, a.length / 256)))
            return false;
        return a.length == 0 || memcmp(a.text, b.text, a.length) == 0;
    }
    if (a.type != JINJA_LIST && a.type != JINJA_TUPLE && a.type != JINJA_MAP)
        return a.list == b.list; /* the same object */
    if (!jinja_enter(run))
        return false;
    bool equal =
        a.type == JINJA_MAP ? maps_equal(run, a.map, b.map) : lists_equal(run, a.list, b.list);
    run->depth--;
    return equal;
}

static int order(double a, double b)
{
    return (a > b) - (a < b);
}

int jinja_compare(struct jinja_run *run, struct jinja_value a, struct jinja_value b)
{
    if (jinja_is_number(a) && jinja_is_number(b)) {
        if (a.type == JINJA_REAL || b.type == JINJA_REAL)
            return order(jinja_number(a), jinja_number(b));
        int64_t x = jinja_integer(a), y = jinja_integer(b);
        return (x > y) - (x < y);
    }
    if (a.type == JINJA_TEXT && b.type == JINJA_TEXT) {
        size_t least = a.length < b.length ? a.length : b.length;
        int sign = least && jinja_charge(run, 1 + least / 256) ? memcmp(a.text, b.text, least) : 0;
        return sign ? sign : order(a.length, b.length);
    }
    if (a.type == b.type && (a.type == JINJA_LIST || a.type == JINJA_TUPLE)) {
        const struct jinja_list *x = a.list, *y = b.list;
        int sign = 0;
        if (!jinja_enter(run))
            return 0;
        for (size_t i = 0; sign == 0 && i < x->count && i < y->count && !run->failed; i++)
            if (!jinja_equal(run, x->items[i], y->items[i]))
                sign = jinja_compare(run, x->items[i], y->items[i]);
        run->depth--;
        return sign ? sign : order((double)x->count, (double)y->count);
    }
    if (a.type == JINJA_UNDEFINED || b.type == JINJA_UNDEFINED)
        jinja_fail_undefined(run, a.type == JINJA_UNDEFINED ? a : b);
    jinja_fail(run, "values of types %s and %s have no order", jinja_type_name(a),
               jinja_type_name(b));
    return 0;
}

bool jinja_contains(struct jinja_run *run, struct jinja_value container, struct jinja_value item)
{
    if (container.type == JINJA_TEXT) {
        if (item.type != JINJA_TEXT) {
            if (item.type == JINJA_UNDEFINED)
                jinja_fail_undefined(run, item);
            jinja_fail(run, "'in' of a text wants a text, not %s", jinja_type_name(item));
            return false;
        }
        jinja_charge(run, container.length / 64);
        return item.length == 0 ||
               memmem(container.text, container.length, item.text, item.length) != NULL;
    }
    if (container.type == JINJA_MAP || container.type == JINJA_NAMESPACE)
        return jinja_map_find(run, container.map, item) != NULL;
    struct jinja_list list;
    if (!jinja_items(run, container, &list) || !jinja_charge(run, list.count / 4))
        return false;
    for (size_t i = 0; i < list.count && !run->failed; i++)
        if (jinja_equal(run, list.items[i], item))
            return true;
    return false;
}

bool jinja_items(struct jinja_run *run, struct jinja_value value, struct jinja_list *list)
{
    *list = (struct jinja_list){0};
    if (value.type == JINJA_LIST || value.type == JINJA_TUPLE) {
        *list = *value.list;
    } else if (value.type == JINJA_MAP) {
        *list = (struct jinja_list){value.map->keys, value.map->count, value.map->count};
    } else if (value.type == JINJA_VIEW) {
        if (!value.view->spent)
            *list = value.view->list;
        value.view->spent = value.view->kind == JINJA_GENERATOR;
    } else if (value.type == JINJA_TEXT) {
        for (size_t at = 0, width; at < value.length && !run->failed; at += width) {
            width = jinja_offset(value.text + at, value.length - at, 1);
            jinja_list_add(run, list, jinja_slice_of(value.text + at, width));
        }
    } else if (value.type != JINJA_UNDEFINED) {
        jinja_fail(run, "a value of type %s cannot be gone through", jinja_type_name(value));
    }
    list->capacity = list->count; /* adding to it copies it first */
    return !run->failed;
}
