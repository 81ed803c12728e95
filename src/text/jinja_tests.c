/* The tests of Jinja: what stands behind "is". */
#include <math.h>
#include <string.h>
#include <utf8proc.h>

#include "text/jinja_tree.h"
#include "text/unicode.h"

enum question {
    IS_BOOLEAN,
    IS_CALLABLE,
    IS_DEFINED,
    IS_DIVISIBLE,
    IS_EQUAL,
    IS_ESCAPED,
    IS_EVEN,
    IS_FALSE,
    IS_FILTER,
    IS_FLOAT,
    IS_AT_LEAST,
    IS_ABOVE,
    IS_IN,
    IS_INTEGER,
    IS_ITERABLE,
    IS_AT_MOST,
    IS_LOWER,
    IS_BELOW,
    IS_MAPPING,
    IS_UNEQUAL,
    IS_NONE,
    IS_NUMBER,
    IS_ODD,
    IS_SAME,
    IS_SEQUENCE,
    IS_STRING,
    IS_TEST,
    IS_TRUE,
    IS_UNDEFINED,
    IS_UPPER,
};

static const struct {
    const char *name;
    enum question question;
    int arguments;
} tests[] = {
    {"boolean", IS_BOOLEAN, 0}, {"callable", IS_CALLABLE, 0},
    {"defined", IS_DEFINED, 0}, {"divisibleby", IS_DIVISIBLE, 1},
    {"eq", IS_EQUAL, 1},        {"equalto", IS_EQUAL, 1},
    {"==", IS_EQUAL, 1},        {"escaped", IS_ESCAPED, 0},
    {"even", IS_EVEN, 0},       {"false", IS_FALSE, 0},
    {"filter", IS_FILTER, 0},   {"float", IS_FLOAT, 0},
    {"ge", IS_AT_LEAST, 1},     {">=", IS_AT_LEAST, 1},
    {"gt", IS_ABOVE, 1},        {"greaterthan", IS_ABOVE, 1},
    {">", IS_ABOVE, 1},         {"in", IS_IN, 1},
    {"integer", IS_INTEGER, 0}, {"iterable", IS_ITERABLE, 0},
    {"le", IS_AT_MOST, 1},      {"<=", IS_AT_MOST, 1},
    {"lower", IS_LOWER, 0},     {"lt", IS_BELOW, 1},
    {"lessthan", IS_BELOW, 1},  {"<", IS_BELOW, 1},
    {"mapping", IS_MAPPING, 0}, {"ne", IS_UNEQUAL, 1},
    {"!=", IS_UNEQUAL, 1},      {"none", IS_NONE, 0},
    {"number", IS_NUMBER, 0},   {"odd", IS_ODD, 0},
    {"sameas", IS_SAME, 1},     {"sequence", IS_SEQUENCE, 0},
    {"string", IS_STRING, 0},   {"test", IS_TEST, 0},
    {"true", IS_TRUE, 0},       {"undefined", IS_UNDEFINED, 0},
    {"upper", IS_UPPER, 0},
};

static bool rest_is(struct jinja_run *run, struct jinja_value a, struct jinja_value divisor,
                    int64_t wanted)
{
    struct jinja_value rest = jinja_binary(run, '%', a, divisor);
    return !run->failed && jinja_is_number(rest) && jinja_number(rest) == (double)wanted;
}

/* Whether all letters are of this case, and there are some. */
static bool is_case(struct jinja_value value, bool upper)
{
    bool some = false;
    for (size_t at = 0, width; at < value.length; at += width) {
        uint32_t point;
        width = unicode_decode(value.text + at, value.length - at, &point);
        if (width == 0)
            return false;
        utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
        if (category == (upper ? UTF8PROC_CATEGORY_LL : UTF8PROC_CATEGORY_LU) ||
            category == UTF8PROC_CATEGORY_LT)
            return false;
        some |= category == (upper ? UTF8PROC_CATEGORY_LU : UTF8PROC_CATEGORY_LL);
    }
    return some;
}

static bool is_same(struct jinja_value a, struct jinja_value b)
{
    if (a.type != b.type)
        return false;
    if (a.type == JINJA_NONE)
        return true;
    if (a.type == JINJA_BOOL)
        return a.boolean == b.boolean;
    return a.list == b.list && (a.type != JINJA_TEXT || a.length == b.length);
}

static bool is_iterable(struct jinja_value v)
{
    return v.type == JINJA_UNDEFINED || v.type == JINJA_TEXT || v.type == JINJA_LIST ||
           v.type == JINJA_TUPLE || v.type == JINJA_MAP || v.type == JINJA_VIEW ||
           v.type == JINJA_LOOP;
}

/* Questions about the type alone. */
static bool is_of_type(enum question question, struct jinja_value v)
{
    switch (question) {
    case IS_BOOLEAN:
        return v.type == JINJA_BOOL;
    case IS_TRUE:
        return v.type == JINJA_BOOL && v.boolean;
    case IS_FALSE:
        return v.type == JINJA_BOOL && !v.boolean;
    case IS_CALLABLE: /* an undefined value has a method that fails when called */
        return v.type >= JINJA_MACRO || v.type == JINJA_UNDEFINED;
    case IS_DEFINED:
        return v.type != JINJA_UNDEFINED;
    case IS_UNDEFINED:
        return v.type == JINJA_UNDEFINED;
    case IS_ESCAPED:
        return v.type == JINJA_TEXT && v.mark;
    case IS_FLOAT:
        return v.type == JINJA_REAL;
    case IS_INTEGER:
        return v.type == JINJA_INT;
    case IS_NUMBER:
        return jinja_is_number(v);
    case IS_MAPPING:
        return v.type == JINJA_MAP;
    case IS_NONE:
        return v.type == JINJA_NONE;
    case IS_STRING:
        return v.type == JINJA_TEXT;
    case IS_ITERABLE:
        return is_iterable(v);
    case IS_SEQUENCE:
        return v.type == JINJA_TEXT || v.type == JINJA_LIST || v.type == JINJA_TUPLE ||
               v.type == JINJA_MAP || v.type == JINJA_UNDEFINED ||
               (v.type == JINJA_VIEW && v.view->kind == JINJA_RANGE);
    default:
        return false;
    }
}

static bool is_known_test(struct jinja_value name)
{
    bool found = false;
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        found |= jinja_is_text(name, tests[i].name);
    return found;
}

static bool answer(struct jinja_run *run, enum question question, struct jinja_value v,
                   struct jinja_value other)
{
    switch (question) {
    case IS_DIVISIBLE:
        return rest_is(run, v, other, 0);
    case IS_EVEN:
    case IS_ODD:
        return rest_is(run, v, jinja_int(2), question == IS_ODD);
    case IS_EQUAL:
        return jinja_equal(run, v, other);
    case IS_UNEQUAL:
        return !jinja_equal(run, v, other);
    case IS_AT_LEAST:
        return jinja_compare(run, v, other) >= 0;
    case IS_ABOVE:
        return jinja_compare(run, v, other) > 0;
    case IS_AT_MOST:
        return jinja_compare(run, v, other) <= 0;
    case IS_BELOW:
        return jinja_compare(run, v, other) < 0;
    case IS_IN:
        return jinja_contains(run, other, v);
    case IS_SAME:
        return is_same(v, other);
    case IS_FILTER:
        return jinja_find_function(jinja_text_filters, v) ||
               jinja_find_function(jinja_list_filters, v);
    case IS_TEST:
        return is_known_test(v);
    case IS_LOWER:
    case IS_UPPER:
        return is_case(jinja_string(run, v), question == IS_UPPER);
    default:
        return is_of_type(question, v);
    }
}

bool jinja_apply_test(struct jinja_run *run, struct jinja_value name, struct jinja_value input,
                      const struct jinja_arguments *arguments)
{
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (!jinja_is_text(name, tests[i].name))
            continue;
        size_t count = (size_t)tests[i].arguments;
        if (!jinja_check_arguments(run, tests[i].name, arguments, count, count, "other value num"))
            return false;
        struct jinja_value other = arguments->items.count   ? arguments->items.items[0]
                                   : arguments->named.count ? arguments->named.values[0]
                                                            : jinja_none();
        return answer(run, tests[i].question, input, other) && !run->failed;
    }
    jinja_fail(run, "there is no test '%.*s'",
               (int)(name.type == JINJA_TEXT ? name.length % 100 : 0),
               name.type == JINJA_TEXT ? name.text : "");
    return false;
}
