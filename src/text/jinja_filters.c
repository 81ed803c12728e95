/* The filters of Jinja that work on single values. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja_tree.h"
#include "text/jinja_words.h"
#include "text/unicode.h"

#define FILTER(name)                                                                               \
    static struct jinja_value name(struct jinja_run *run, struct jinja_value input,                \
                                   const struct jinja_arguments *arguments)

static struct jinja_value argument_or(struct jinja_run *run,
                                      const struct jinja_arguments *arguments, size_t index,
                                      const char *name, struct jinja_value fallback)
{
    struct jinja_value value = jinja_argument(run, arguments, index, name);
    return value.type == JINJA_UNDEFINED ? fallback : value;
}

/* Texts. */

FILTER(filter_upper)
{
    (void)arguments;
    return jinja_change_case(run, jinja_string(run, input), JINJA_UPPER);
}

FILTER(filter_lower)
{
    (void)arguments;
    return jinja_change_case(run, jinja_string(run, input), JINJA_LOWER);
}

FILTER(filter_title)
{
    (void)arguments;
    return jinja_change_case(run, jinja_string(run, input), JINJA_TITLE_FILTER);
}

FILTER(filter_capitalize)
{
    (void)arguments;
    return jinja_change_case(run, jinja_string(run, input), JINJA_CAPITALIZED);
}

FILTER(filter_center)
{
    return jinja_center(run, jinja_string(run, input), arguments);
}

FILTER(filter_trim)
{
    struct jinja_value set = argument_or(run, arguments, 0, "chars", jinja_none());
    if (set.type != JINJA_TEXT && set.type != JINJA_NONE)
        return jinja_fail(run, "trim wants a text, not %s", jinja_type_name(set));
    return jinja_strip(run, jinja_string(run, input), set, true, true);
}

FILTER(filter_replace)
{
    struct jinja_value old = jinja_argument(run, arguments, 0, "old");
    struct jinja_value new = jinja_argument(run, arguments, 1, "new");
    struct jinja_value count = argument_or(run, arguments, 2, "count", jinja_none());
    if (!jinja_check_arguments(run, "replace", arguments, 2, 3, "old new count"))
        return jinja_none();
    if (count.type != JINJA_NONE && count.type != JINJA_INT)
        return jinja_fail(run, "argument 'count' must be an integer");
    return jinja_replace(run, jinja_string(run, input), jinja_string(run, old),
                         jinja_string(run, new), count.type == JINJA_INT ? count.integer : -1);
}

FILTER(filter_string)
{
    (void)arguments;
    return jinja_string(run, input);
}

FILTER(filter_safe)
{
    (void)arguments;
    struct jinja_value text = jinja_string(run, input);
    text.mark = 1;
    return text;
}

FILTER(filter_escape)
{
    (void)arguments;
    static const struct {
        char character;
        const char *escape;
    } escapes[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'\'', "&#39;"}, {'"', "&#34;"}};
    struct jinja_value text = jinja_string(run, input);
    struct buffer out = {0};
    if (text.type == JINJA_TEXT && text.mark)
        return text;
    jinja_charge(run, text.length / 8);
    for (size_t at = 0; at < text.length && !run->failed; at++) {
        const char *escape = NULL;
        for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++)
            escape = escapes[i].character == text.text[at] ? escapes[i].escape : escape;
        if (escape)
            buffer_add_text(&out, escape);
        else
            buffer_add(&out, text.text + at, 1);
    }
    text = jinja_take(run, &out);
    text.mark = 1;
    return text;
}

FILTER(filter_indent)
{
    struct jinja_value width = argument_or(run, arguments, 0, "width", jinja_int(4));
    bool first = jinja_argument_bool(run, arguments, 1, "first", false);
    bool blank = jinja_argument_bool(run, arguments, 2, "blank", false);
    struct buffer out = {0};
    if (input.type != JINJA_TEXT)
        return jinja_fail(run, "indent wants a text, not %s", jinja_type_name(input));
    struct jinja_value indent =
        width.type == JINJA_TEXT ? width : jinja_binary(run, '*', jinja_literal(" "), width);
    struct jinja_list lines = jinja_lines(run, jinja_join(run, input, jinja_literal("\n")), false);
    for (size_t i = 0; i < lines.count && !run->failed; i++) {
        if (i)
            buffer_add_text(&out, "\n");
        if (i ? blank || lines.items[i].length : first)
            jinja_print(run, indent, &out);
        jinja_print(run, lines.items[i], &out);
    }
    return jinja_take(run, &out);
}

FILTER(filter_truncate)
{
    int64_t length = jinja_argument_int(run, arguments, 0, "length", 255);
    bool kill = jinja_argument_bool(run, arguments, 1, "killwords", false);
    struct jinja_value end = argument_or(run, arguments, 2, "end", jinja_literal("..."));
    int64_t leeway = jinja_argument_int(run, arguments, 3, "leeway", 5);
    if (run->failed || input.type != JINJA_TEXT || end.type != JINJA_TEXT)
        return jinja_fail(run, "truncate wants a text");
    int64_t tail = (int64_t)jinja_characters(end.text, end.length);
    jinja_charge(run, input.length / 32);
    if (length < tail || leeway < 0)
        return jinja_fail(run, "truncate wants a length of at least that of its end");
    if (leeway < INT64_MAX - length &&
        (int64_t)jinja_characters(input.text, input.length) <= length + leeway)
        return input;
    size_t cut = jinja_offset(input.text, input.length, (size_t)(length - tail));
    size_t space = cut;
    while (!kill && space > 0 && input.text[space - 1] != ' ')
        space--;
    cut = !kill && space > 0 ? space - 1 : cut;
    return jinja_join(run, jinja_slice_of(input.text, cut), end);
}

FILTER(filter_wordcount)
{
    (void)arguments;
    struct jinja_value text = jinja_string(run, input);
    int64_t count = 0;
    bool inside = false;
    jinja_charge(run, text.length / 8);
    for (size_t at = 0, width; at < text.length && !run->failed; at += width) {
        uint32_t point = 0;
        width = unicode_decode(text.text + at, text.length - at, &point);
        if (width == 0)
            break;
        bool word = unicode_is_word(point);
        count += word && !inside;
        inside = word;
    }
    return jinja_int(count);
}

FILTER(filter_urlencode)
{
    (void)arguments;
    struct jinja_value text = jinja_string(run, input);
    struct buffer out = {0};
    jinja_charge(run, text.length / 8);
    for (size_t at = 0; at < text.length && !run->failed; at++) {
        unsigned char c = (unsigned char)text.text[at];
        bool plain = c < 128 && c && (isalnum(c) || strchr("_.-~/", c));
        if (plain)
            buffer_add(&out, text.text + at, 1);
        else
            buffer_printf(&out, "%%%02X", c);
    }
    return jinja_take(run, &out);
}

FILTER(filter_format)
{
    struct jinja_value values;
    if (arguments->items.count && arguments->named.count)
        return jinja_fail(run, "format takes values with names or without");
    values = arguments->named.count ? jinja_map_value(run, arguments->named)
                                    : jinja_list_value(run, JINJA_TUPLE, arguments->items);
    return run->failed ? values : jinja_percent(run, jinja_string(run, input), values);
}

/* Numbers. */

/* A text as a number; underscores between digits are dropped. Returns NULL when it is too long. */
static const char *plain_number(struct jinja_run *run, struct jinja_value text, char out[128])
{
    size_t length = 0;
    text = jinja_strip(run, text, jinja_none(), true, true);
    for (size_t i = 0; i < text.length; i++) {
        bool joins = text.text[i] == '_' && i > 0 && isalnum((unsigned char)text.text[i - 1]) &&
                     i + 1 < text.length && isalnum((unsigned char)text.text[i + 1]);
        if (length + 1 >= 128 || !text.text[i])
            return NULL;
        if (!joins)
            out[length++] = text.text[i];
    }
    out[length] = 0;
    return length ? out : NULL;
}

static bool text_to_real(struct jinja_run *run, struct jinja_value text, double *value)
{
    char room[128], *end;
    const char *number = plain_number(run, text, room);
    if (!number || strpbrk(number, "xXpP("))
        return false;
    *value = strtod(number, &end);
    return !*end;
}

static bool text_to_int(struct jinja_run *run, struct jinja_value text, int64_t base,
                        int64_t *value)
{
    char room[128], *end;
    const char *number = plain_number(run, text, room), *digits = number;
    if (!number || base < 0 || base == 1 || base > 36)
        return false;
    digits += *digits == '-' || *digits == '+';
    if (!isalnum((unsigned char)*digits))
        return false;
    char kind = (char)tolower((unsigned char)digits[*digits == '0']);
    int64_t own = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    bool prefixed = *digits == '0' && own != 10 && (base == own || base == 0);
    char *plain = room + (digits - number);
    if (prefixed)
        memmove(plain, plain + 2, strlen(plain + 2) + 1);
    if (prefixed && !isalnum((unsigned char)*plain))
        return false;
    *value = strtoll(room, &end, (int)(prefixed ? own : base == 0 ? 10 : base));
    return !*end && *value != INT64_MAX && *value != INT64_MIN;
}

FILTER(filter_int)
{
    struct jinja_value fallback = argument_or(run, arguments, 0, "default", jinja_int(0));
    int64_t base = jinja_argument_int(run, arguments, 1, "base", 10), value;
    double real;
    if (input.type == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, input);
    if (jinja_is_number(input))
        return input.type == JINJA_REAL && isnan(input.real)
                   ? fallback
                   : jinja_int(jinja_truncated(run, input));
    if (input.type != JINJA_TEXT)
        return fallback;
    if (text_to_int(run, input, base, &value))
        return jinja_int(value);
    if (text_to_real(run, input, &real) && isfinite(real))
        return jinja_int(jinja_truncated(run, jinja_real(real)));
    return fallback;
}

FILTER(filter_float)
{
    struct jinja_value fallback = argument_or(run, arguments, 0, "default", jinja_real(0));
    double real;
    if (input.type == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, input);
    if (jinja_is_number(input))
        return jinja_real(jinja_number(input));
    return input.type == JINJA_TEXT && text_to_real(run, input, &real) ? jinja_real(real)
                                                                       : fallback;
}

FILTER(filter_abs)
{
    (void)arguments;
    if (input.type == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, input);
    if (!jinja_is_number(input))
        return jinja_fail(run, "abs wants a number, not %s", jinja_type_name(input));
    if (input.type == JINJA_REAL)
        return jinja_real(fabs(input.real));
    return jinja_integer(input) < 0 ? jinja_binary(run, '-', jinja_int(0), input)
                                    : jinja_int(jinja_integer(input));
}

/* To `places` decimals, by the decimal expansion, halves to even, as Python's round(). */
static double round_places(double value, int64_t places)
{
    char text[420];
    if (!isfinite(value) || places > 100)
        return value;
    if (places < 0) {
        double unit = pow(10, (double)(places < -400 ? 400 : -places));
        return isfinite(unit) ? nearbyint(value / unit) * unit : 0;
    }
    snprintf(text, sizeof text, "%.*f", (int)(places < 60 ? places : 60), value);
    return strtod(text, NULL);
}

FILTER(filter_round)
{
    int64_t places = jinja_argument_int(run, arguments, 0, "precision", 0);
    struct jinja_value method = argument_or(run, arguments, 1, "method", jinja_literal("common"));
    if (input.type == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, input);
    if (!jinja_is_number(input))
        return jinja_fail(run, "round wants a number, not %s", jinja_type_name(input));
    if (jinja_is_text(method, "common")) {
        if (input.type == JINJA_REAL)
            return jinja_real(round_places(input.real, places));
        return places >= 0 ? jinja_int(jinja_integer(input))
                           : jinja_int(jinja_truncated(
                                 run, jinja_real(round_places(jinja_number(input), places))));
    }
    bool up = jinja_is_text(method, "ceil");
    if (!up && !jinja_is_text(method, "floor"))
        return jinja_fail(run, "round goes by common, ceil or floor");
    double unit = pow(10, (double)places), scaled = jinja_number(input) * unit;
    return jinja_real((up ? ceil(scaled) : floor(scaled)) / unit);
}

/* All kinds. */

FILTER(filter_default)
{
    struct jinja_value other = argument_or(run, arguments, 0, "default_value", jinja_literal(""));
    bool boolean = jinja_argument_bool(run, arguments, 1, "boolean", false);
    bool missing = input.type == JINJA_UNDEFINED || (boolean && !jinja_truth(run, input));
    return missing ? other : input;
}

FILTER(filter_length)
{
    (void)arguments;
    int64_t length = jinja_length(run, input);
    jinja_charge(run, input.type == JINJA_TEXT ? input.length / 64 : 0);
    return length < 0 ? jinja_fail(run, "a value of type %s has no length", jinja_type_name(input))
                      : jinja_int(length);
}

static bool read_separators(struct jinja_run *run, struct jinja_value pair,
                            struct jinja_json_style *style)
{
    struct jinja_list list;
    if (pair.type == JINJA_NONE)
        return true;
    if (!jinja_items(run, pair, &list) || list.count != 2 || list.items[0].type != JINJA_TEXT ||
        list.items[1].type != JINJA_TEXT) {
        jinja_fail(run, "tojson wants two texts as separators");
        return false;
    }
    style->item = list.items[0].text;
    style->item_length = list.items[0].length;
    style->pair = list.items[1].text;
    style->pair_length = list.items[1].length;
    return true;
}

FILTER(filter_tojson)
{
    struct jinja_json_style style = {
        .item = ", ", .item_length = 2, .pair = ": ", .pair_length = 2};
    struct buffer out = {0};
    if (!jinja_check_arguments(run, "tojson", arguments, 0, 4,
                               "ensure_ascii indent separators sort_keys"))
        return jinja_none();
    style.ascii = jinja_argument_bool(run, arguments, 0, "ensure_ascii", false);
    style.indent = argument_or(run, arguments, 1, "indent", jinja_none());
    if (style.indent.type != JINJA_NONE)
        style.item_length = 1; /* without the space */
    if (!read_separators(run, argument_or(run, arguments, 2, "separators", jinja_none()), &style))
        return jinja_none();
    style.sort = jinja_argument_bool(run, arguments, 3, "sort_keys", false);
    bool indents = style.indent.type == JINJA_NONE || style.indent.type == JINJA_TEXT ||
                   style.indent.type == JINJA_INT || style.indent.type == JINJA_BOOL;
    if (!indents)
        return jinja_fail(run, "tojson wants a number or a text as its indent");
    if (input.type == JINJA_UNDEFINED)
        return jinja_fail_undefined(run, input);
    jinja_to_json(run, input, &style, 0, &out);
    return jinja_take(run, &out);
}

FILTER(filter_attr)
{
    struct jinja_value name = jinja_argument(run, arguments, 0, "name");
    if (name.type != JINJA_TEXT)
        return jinja_fail(run, "attr wants the name of a member");
    if (input.type == JINJA_MAP && !jinja_find_function(jinja_map_methods, name))
        return jinja_undefined(name.text, name.length, JINJA_NO_MEMBER);
    return jinja_attribute(run, input, name);
}

const struct jinja_function jinja_text_filters[] = {
    {"upper", filter_upper},
    {"lower", filter_lower},
    {"title", filter_title},
    {"capitalize", filter_capitalize},
    {"center", filter_center},
    {"trim", filter_trim},
    {"replace", filter_replace},
    {"string", filter_string},
    {"safe", filter_safe},
    {"escape", filter_escape},
    {"e", filter_escape},
    {"forceescape", filter_escape},
    {"indent", filter_indent},
    {"truncate", filter_truncate},
    {"wordcount", filter_wordcount},
    {"urlencode", filter_urlencode},
    {"format", filter_format},
    {"int", filter_int},
    {"float", filter_float},
    {"abs", filter_abs},
    {"round", filter_round},
    {"default", filter_default},
    {"d", filter_default},
    {"length", filter_length},
    {"count", filter_length},
    {"tojson", filter_tojson},
    {"attr", filter_attr},
    {NULL, NULL},
};

struct jinja_value jinja_apply_filter(struct jinja_run *run, struct jinja_value name,
                                      struct jinja_value input,
                                      const struct jinja_arguments *arguments)
{
    const struct jinja_function *filter = jinja_find_function(jinja_text_filters, name);
    if (!filter)
        filter = jinja_find_function(jinja_list_filters, name);
    if (!filter)
        return jinja_fail(run, "there is no filter '%.*s'",
                          (int)(name.type == JINJA_TEXT ? name.length % 100 : 0),
                          name.type == JINJA_TEXT ? name.text : "");
    if (!jinja_enter(run))
        return jinja_none();
    struct jinja_value value = filter->call(run, input, arguments);
    run->depth--;
    return value;
}
