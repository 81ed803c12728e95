/* Arithmetic of Jinja templates, as Python's, with integers of 64 bits; and the functions that
 * every template knows. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "text/jinja_tree.h"

static struct jinja_value too_large(struct jinja_run *run)
{
    return jinja_fail(run, "an integer is too large");
}

static struct jinja_value power(struct jinja_run *run, int64_t base, int64_t exponent)
{
    int64_t result = 1;
    if (exponent < 0 && base == 0)
        return jinja_fail(run, "division by zero");
    if (exponent < 0)
        return jinja_real(pow((double)base, (double)exponent));
    if (base == 0 || base == 1 || exponent == 0)
        return jinja_int(exponent == 0 ? 1 : base);
    if (base == -1)
        return jinja_int(exponent % 2 ? -1 : 1);
    for (; exponent > 0; exponent--)
        if (__builtin_mul_overflow(result, base, &result))
            return too_large(run);
    return jinja_int(result);
}

static struct jinja_value whole(struct jinja_run *run, int op, int64_t a, int64_t b)
{
    int64_t result = 0;
    bool over = false;
    switch (op) {
    case '+':
        over = __builtin_add_overflow(a, b, &result);
        break;
    case '-':
        over = __builtin_sub_overflow(a, b, &result);
        break;
    case '*':
        over = __builtin_mul_overflow(a, b, &result);
        break;
    case JINJA_POWER:
        return power(run, a, b);
    default:
        if (b == 0)
            return jinja_fail(run, "division by zero");
        if (op == '/')
            return jinja_real((double)a / (double)b);
        over = a == INT64_MIN && b == -1;
        if (!over) {
            int64_t rest = a % b;
            bool below = rest != 0 && (rest < 0) != (b < 0);
            result = op == '%' ? rest + (below ? b : 0) : a / b - below;
        }
        break;
    }
    return over ? too_large(run) : jinja_int(result);
}

static struct jinja_value real(struct jinja_run *run, int op, double a, double b)
{
    switch (op) {
    case '+':
        return jinja_real(a + b);
    case '-':
        return jinja_real(a - b);
    case '*':
        return jinja_real(a * b);
    case JINJA_POWER:
        return jinja_real(pow(a, b));
    default:
        break;
    }
    if (b == 0)
        return jinja_fail(run, "division by zero");
    if (op == '/')
        return jinja_real(a / b);
    double rest = fmod(a, b);
    rest += rest != 0 && (rest < 0) != (b < 0) ? b : 0;
    return jinja_real(op == '%' ? rest : floor((a - rest) / b + 0.5));
}

static struct jinja_value repeat(struct jinja_run *run, struct jinja_value value, int64_t count)
{
    count = count < 0 ? 0 : count;
    if (value.type != JINJA_TEXT) {
        struct jinja_list list = {0};
        for (int64_t i = 0; i < count && value.list->count && !run->failed; i++)
            for (size_t j = 0; j < value.list->count && !run->failed; j++)
                jinja_list_add(run, &list, value.list->items[j]);
        return jinja_list_value(run, (enum jinja_type)value.type, list);
    }
    if (value.length == 0 || count == 0)
        return jinja_literal("");
    if ((uint64_t)count > JINJA_MEMORY_MOST / value.length)
        return jinja_fail(run, "the template takes more than %zu bytes of memory",
                          JINJA_MEMORY_MOST);
    char *text = jinja_alloc(run, (size_t)count * value.length);
    for (int64_t i = 0; text && i < count; i++)
        memcpy(text + (size_t)i * value.length, value.text, value.length);
    return text ? jinja_slice_of(text, (size_t)count * value.length) : jinja_none();
}

static bool is_list(struct jinja_value value)
{
    return value.type == JINJA_LIST || value.type == JINJA_TUPLE;
}

static struct jinja_value joined_lists(struct jinja_run *run, struct jinja_value a,
                                       struct jinja_value b)
{
    struct jinja_list list = *a.list;
    list.capacity = list.count;
    for (size_t i = 0; i < b.list->count && !run->failed; i++)
        jinja_list_add(run, &list, b.list->items[i]);
    return jinja_list_value(run, (enum jinja_type)a.type, list);
}

static const char *op_name(int op, char text[3])
{
    text[0] = (char)(op > 255 ? op >> 8 : op);
    text[1] = (char)(op > 255 ? op : 0);
    text[2] = 0;
    return text;
}

struct jinja_value jinja_binary(struct jinja_run *run, int op, struct jinja_value a,
                                struct jinja_value b)
{
    char name[3];
    bool counts = b.type == JINJA_INT || b.type == JINJA_BOOL;
    if (a.type == JINJA_UNDEFINED || b.type == JINJA_UNDEFINED) {
        if (op != '%' || a.type != JINJA_TEXT)
            return jinja_fail_undefined(run, a.type == JINJA_UNDEFINED ? a : b);
    }
    if (jinja_is_number(a) && jinja_is_number(b)) {
        if (a.type == JINJA_REAL || b.type == JINJA_REAL)
            return real(run, op, jinja_number(a), jinja_number(b));
        return whole(run, op, jinja_integer(a), jinja_integer(b));
    }
    if (op == '+' && a.type == JINJA_TEXT && b.type == JINJA_TEXT)
        return jinja_join(run, a, b);
    if (op == '+' && is_list(a) && a.type == b.type)
        return joined_lists(run, a, b);
    if (op == '*' && (a.type == JINJA_TEXT || is_list(a)) && counts)
        return repeat(run, a, jinja_integer(b));
    if (op == '*' && (b.type == JINJA_TEXT || is_list(b)) &&
        (a.type == JINJA_INT || a.type == JINJA_BOOL))
        return repeat(run, b, jinja_integer(a));
    if (op == '%' && a.type == JINJA_TEXT)
        return jinja_percent(run, a, b);
    return jinja_fail(run, "'%s' does not go with values of types %s and %s", op_name(op, name),
                      jinja_type_name(a), jinja_type_name(b));
}

/* Arguments. */

struct jinja_value jinja_argument(struct jinja_run *run, const struct jinja_arguments *arguments,
                                  size_t index, const char *name)
{
    if (index < arguments->items.count)
        return arguments->items.items[index];
    struct jinja_value *found = name ? jinja_map_text(run, &arguments->named, name) : NULL;
    return found ? *found : jinja_undefined("", 0, JINJA_NO_REASON);
}

int64_t jinja_argument_int(struct jinja_run *run, const struct jinja_arguments *arguments,
                           size_t index, const char *name, int64_t fallback)
{
    struct jinja_value value = jinja_argument(run, arguments, index, name);
    if (value.type == JINJA_UNDEFINED)
        return fallback;
    if (value.type != JINJA_INT && value.type != JINJA_BOOL) {
        jinja_fail(run, "argument '%s' must be an integer, not %s", name ? name : "",
                   jinja_type_name(value));
        return fallback;
    }
    return jinja_integer(value);
}

bool jinja_argument_bool(struct jinja_run *run, const struct jinja_arguments *arguments,
                         size_t index, const char *name, bool fallback)
{
    struct jinja_value value = jinja_argument(run, arguments, index, name);
    return value.type == JINJA_UNDEFINED ? fallback : jinja_truth(run, value);
}

static bool has_word(const char *words, struct jinja_value word)
{
    for (const char *at = words; *at;) {
        size_t length = strcspn(at, " ");
        if (word.type == JINJA_TEXT && length == word.length && memcmp(at, word.text, length) == 0)
            return true;
        at += length + (at[length] == ' ');
    }
    return false;
}

bool jinja_check_arguments(struct jinja_run *run, const char *what,
                           const struct jinja_arguments *arguments, size_t least, size_t most,
                           const char *names)
{
    size_t count = arguments->items.count + arguments->named.count;
    if (count < least || count > most)
        jinja_fail(run, "%s takes %zu to %zu arguments, not %zu", what, least, most, count);
    for (size_t i = 0; i < arguments->named.count && !run->failed; i++)
        if (!has_word(names, arguments->named.keys[i]))
            jinja_fail(run, "%s has no argument of the name given", what);
    return !run->failed;
}

const struct jinja_function *jinja_find_function(const struct jinja_function *table,
                                                 struct jinja_value name)
{
    for (; table->name; table++)
        if (jinja_is_text(name, table->name))
            return table;
    return NULL;
}

/* Functions that every template knows. */

static struct jinja_value call_range(struct jinja_run *run, struct jinja_value input,
                                     const struct jinja_arguments *arguments)
{
    (void)input;
    struct jinja_list list = {0};
    if (!jinja_check_arguments(run, "range", arguments, 1, 3, ""))
        return jinja_none();
    bool pair = arguments->items.count > 1;
    int64_t start = pair ? jinja_argument_int(run, arguments, 0, NULL, 0) : 0;
    int64_t stop = jinja_argument_int(run, arguments, pair ? 1 : 0, NULL, 0);
    int64_t step = jinja_argument_int(run, arguments, 2, NULL, 1), span;
    if (step == 0)
        return jinja_fail(run, "the step of range() must not be 0");
    if (__builtin_sub_overflow(stop, start, &span) || span == INT64_MIN || step == INT64_MIN ||
        span / step >= JINJA_RANGE_MOST + (span % step == 0))
        return jinja_fail(run, "range() gives more than %d items", JINJA_RANGE_MOST);
    for (int64_t i = start; (step > 0 ? i < stop : i > stop) && !run->failed;) {
        jinja_list_add(run, &list, jinja_int(i));
        if (__builtin_add_overflow(i, step, &i))
            break;
    }
    struct jinja_value value = jinja_view_value(run, JINJA_RANGE, list);
    if (!run->failed) {
        value.view->start = start;
        value.view->stop = stop;
        value.view->step = step;
    }
    return value;
}

/* dict(...) and namespace(...): of a dict or of pairs, and of named values. */
static bool fill_map(struct jinja_run *run, const struct jinja_arguments *arguments,
                     struct jinja_map *map)
{
    struct jinja_list pairs, pair;
    if (arguments->items.count > 1)
        jinja_fail(run, "dict and namespace take one argument without a name");
    if (!run->failed && arguments->items.count == 1) {
        struct jinja_value from = arguments->items.items[0];
        bool is_map = from.type == JINJA_MAP;
        for (size_t i = 0; is_map && i < from.map->count && !run->failed; i++)
            jinja_map_set(run, map, from.map->keys[i], from.map->values[i]);
        if (!is_map && jinja_items(run, from, &pairs))
            for (size_t i = 0; i < pairs.count && !run->failed; i++) {
                if (!jinja_items(run, pairs.items[i], &pair) || pair.count != 2)
                    jinja_fail(run, "a dict is made of pairs");
                else
                    jinja_map_set(run, map, pair.items[0], pair.items[1]);
            }
    }
    for (size_t i = 0; i < arguments->named.count && !run->failed; i++)
        jinja_map_set(run, map, arguments->named.keys[i], arguments->named.values[i]);
    return !run->failed;
}

static struct jinja_value call_dict(struct jinja_run *run, struct jinja_value input,
                                    const struct jinja_arguments *arguments)
{
    (void)input;
    struct jinja_map map = {0};
    return fill_map(run, arguments, &map) ? jinja_map_value(run, map) : jinja_none();
}

static struct jinja_value call_namespace(struct jinja_run *run, struct jinja_value input,
                                         const struct jinja_arguments *arguments)
{
    struct jinja_value value = call_dict(run, input, arguments);
    for (size_t i = 0; !run->failed && i < value.map->count; i++)
        if (value.map->keys[i].type == JINJA_TEXT && value.map->keys[i].length &&
            value.map->keys[i].text[0] == '_')
            return jinja_fail(run, "members of namespaces may not begin with '_'");
    value.type = run->failed ? JINJA_NONE : JINJA_NAMESPACE;
    return value;
}

static struct jinja_value call_raise(struct jinja_run *run, struct jinja_value input,
                                     const struct jinja_arguments *arguments)
{
    (void)input;
    struct jinja_value cause = jinja_string(run, jinja_argument(run, arguments, 0, "message"));
    return jinja_fail(run, "%.*s", (int)(cause.length < 400 ? cause.length : 400), cause.text);
}

static struct jinja_value call_strftime(struct jinja_run *run, struct jinja_value input,
                                        const struct jinja_arguments *arguments)
{
    (void)input;
    struct jinja_value format = jinja_argument(run, arguments, 0, "format");
    char pattern[256], text[1024];
    struct tm local;
    time_t now = (time_t)run->now;
    if (format.type != JINJA_TEXT || format.length >= sizeof pattern)
        return jinja_fail(run, "strftime_now wants a format of less than %zu bytes",
                          sizeof pattern);
    memcpy(pattern, format.text, format.length);
    pattern[format.length] = 0;
    if (!localtime_r(&now, &local))
        return jinja_fail(run, "the time has no date");
    return jinja_text(run, text, strftime(text, sizeof text, pattern, &local));
}

const struct jinja_function jinja_globals[] = {
    {"range", call_range},           {"dict", call_dict},
    {"namespace", call_namespace},   {"raise_exception", call_raise},
    {"strftime_now", call_strftime}, {NULL, NULL},
};
