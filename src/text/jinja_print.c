/* Values of Jinja templates as text: as Python prints them, and as JSON the way transformers' own
 * tojson writes it (not escaped for HTML, ", " and ": " as separators). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "text/jinja_tree.h"
#include "text/unicode.h"

/* White space as Python's str.isspace has it. */
bool jinja_is_space(uint32_t point)
{
    return (point >= 9 && point <= 13) || (point >= 28 && point <= 32) || point == 0x85 ||
           point == 0xa0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200a) ||
           point == 0x2028 || point == 0x2029 || point == 0x202f || point == 0x205f ||
           point == 0x3000;
}

size_t jinja_characters(const char *text, size_t length)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += (text[i] & 0xc0) != 0x80;
    return count;
}

size_t jinja_offset(const char *text, size_t length, size_t index)
{
    size_t at = 0;
    while (at < length && index > 0) {
        for (at++; at < length && (text[at] & 0xc0) == 0x80;)
            at++;
        index--;
    }
    return at;
}

/* The fewest digits that give the same number back, as Python's repr. */
void jinja_print_real(double value, struct buffer *out)
{
    char digits[40], *mark;
    if (!isfinite(value)) {
        buffer_add_text(out, isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return;
    }
    for (int precision = 0; precision < 17; precision++) {
        snprintf(digits, sizeof digits, "%.*e", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    mark = strchr(digits, 'e');
    int exponent = mark ? atoi(mark + 1) : 0, places;
    if (exponent < -4 || exponent >= 16) {
        buffer_add_text(out, digits);
        return;
    }
    places = mark ? (int)(mark - digits) - (digits[0] == '-') - 2 - exponent : 0;
    buffer_printf(out, "%.*f", places > 1 ? places : 1, value);
}

static bool is_printable(uint32_t point)
{
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)point);
    return point == ' ' ||
           !(c == UTF8PROC_CATEGORY_CC || c == UTF8PROC_CATEGORY_CF || c == UTF8PROC_CATEGORY_CS ||
             c == UTF8PROC_CATEGORY_CO || c == UTF8PROC_CATEGORY_CN || c == UTF8PROC_CATEGORY_ZL ||
             c == UTF8PROC_CATEGORY_ZP || c == UTF8PROC_CATEGORY_ZS);
}

static void repr_text(struct jinja_run *run, struct jinja_value value, struct buffer *out)
{
    bool single = value.length && memchr(value.text, '\'', value.length) != NULL;
    bool twice = value.length && memchr(value.text, '"', value.length) != NULL;
    char quote = single && !twice ? '"' : '\'';
    jinja_charge(run, value.length / 16);
    buffer_add(out, &quote, 1);
    for (size_t at = 0, width; at < value.length; at += width) {
        uint32_t point = 0;
        width = unicode_decode(value.text + at, value.length - at, &point);
        if (width == 0)
            break;
        if (point == '\\' || point == (unsigned char)quote)
            buffer_printf(out, "\\%c", (int)point);
        else if (point == '\n' || point == '\r' || point == '\t')
            buffer_add_text(out, point == '\n' ? "\\n" : point == '\r' ? "\\r" : "\\t");
        else if (is_printable(point))
            buffer_add(out, value.text + at, width);
        else
            buffer_printf(out,
                          point < 0x100     ? "\\x%02x"
                          : point < 0x10000 ? "\\u%04x"
                                            : "\\U%08x",
                          point);
    }
    buffer_add(out, &quote, 1);
}

static bool fits(struct jinja_run *run, const struct buffer *out)
{
    if (out->length > JINJA_OUTPUT_MOST)
        jinja_fail(run, "the template makes a text of more than %zu bytes", JINJA_OUTPUT_MOST);
    return !run->failed;
}

static void repr_list(struct jinja_run *run, const struct jinja_list *list, const char *around,
                      struct buffer *out)
{
    buffer_add(out, around, 1);
    for (size_t i = 0; i < list->count && fits(run, out); i++) {
        buffer_add_text(out, i ? ", " : "");
        jinja_repr(run, list->items[i], out);
    }
    if (around[0] == '(' && list->count == 1)
        buffer_add_text(out, ",");
    buffer_add(out, around + 1, 1);
}

static void repr_map(struct jinja_run *run, const struct jinja_map *map, struct buffer *out)
{
    buffer_add_text(out, "{");
    for (size_t i = 0; i < map->count && fits(run, out); i++) {
        buffer_add_text(out, i ? ", " : "");
        jinja_repr(run, map->keys[i], out);
        buffer_add_text(out, ": ");
        jinja_repr(run, map->values[i], out);
    }
    buffer_add_text(out, "}");
}

static void repr_view(struct jinja_run *run, struct jinja_value value, struct buffer *out)
{
    const struct jinja_view *view = value.view;
    if (view->kind == JINJA_RANGE) {
        buffer_printf(out, "range(%lld, %lld", (long long)view->start, (long long)view->stop);
        if (view->step != 1)
            buffer_printf(out, ", %lld", (long long)view->step);
        buffer_add_text(out, ")");
    } else if (view->kind == JINJA_GENERATOR) {
        buffer_add_text(out, "<generator object>");
    } else {
        buffer_printf(out, "%s(", jinja_type_name(value));
        repr_list(run, &view->list, "[]", out);
        buffer_add_text(out, ")");
    }
}

/* All but texts and what contains others. */
static void print_plain(struct jinja_value value, struct buffer *out)
{
    if (value.type == JINJA_NONE)
        buffer_add_text(out, "None");
    else if (value.type == JINJA_BOOL)
        buffer_add_text(out, value.boolean ? "True" : "False");
    else if (value.type == JINJA_INT)
        buffer_printf(out, "%lld", (long long)value.integer);
    else if (value.type == JINJA_REAL)
        jinja_print_real(value.real, out);
    else if (value.type == JINJA_MACRO)
        buffer_printf(out, "<Macro '%.*s'>", (int)value.macro->node->value.length,
                      value.macro->node->value.text);
    else if (value.type == JINJA_LOOP)
        buffer_printf(out, "<LoopContext %zu/%zu>", value.loop->index + 1, value.loop->list.count);
    else if (value.type == JINJA_UNDEFINED)
        buffer_add_text(out, "Undefined");
    else
        buffer_printf(out, "<%s>", jinja_type_name(value));
}

void jinja_repr(struct jinja_run *run, struct jinja_value value, struct buffer *out)
{
    if (!jinja_enter(run))
        return;
    if (value.type == JINJA_TEXT) {
        repr_text(run, value, out);
    } else if (value.type == JINJA_LIST) {
        repr_list(run, value.list, "[]", out);
    } else if (value.type == JINJA_TUPLE) {
        repr_list(run, value.list, "()", out);
    } else if (value.type == JINJA_MAP) {
        repr_map(run, value.map, out);
    } else if (value.type == JINJA_NAMESPACE) {
        buffer_add_text(out, "<Namespace ");
        repr_map(run, value.map, out);
        buffer_add_text(out, ">");
    } else if (value.type == JINJA_VIEW) {
        repr_view(run, value, out);
    } else {
        print_plain(value, out);
    }
    run->depth--;
    fits(run, out);
}

void jinja_print(struct jinja_run *run, struct jinja_value value, struct buffer *out)
{
    if (run->failed)
        return;
    if (value.type == JINJA_TEXT) {
        if (!jinja_charge(run, value.length / 64))
            return;
        buffer_add(out, value.text, value.length);
        fits(run, out);
    } else if (value.type != JINJA_UNDEFINED) {
        jinja_repr(run, value, out);
    }
}

struct jinja_value jinja_string(struct jinja_run *run, struct jinja_value value)
{
    struct buffer text = {0};
    if (value.type == JINJA_TEXT)
        return value;
    if (value.type == JINJA_UNDEFINED)
        return jinja_literal("");
    jinja_print(run, value, &text);
    return jinja_take(run, &text);
}

/* JSON. */

static void json_point(uint32_t point, struct buffer *out)
{
    if (point >= 0x10000)
        buffer_printf(out, "\\u%04x\\u%04x", 0xd800 + ((point - 0x10000) >> 10),
                      0xdc00 + ((point - 0x10000) & 0x3ff));
    else
        buffer_printf(out, "\\u%04x", point);
}

static void write_string(struct jinja_run *run, struct jinja_value value, bool ascii,
                         struct buffer *out)
{
    static const char escapes[] = "\"\"\\\\\nn\rr\tt\ff\bb";
    jinja_charge(run, value.length / 16);
    buffer_add_text(out, "\"");
    for (size_t at = 0, width; at < value.length; at += width) {
        uint32_t point = 0;
        width = unicode_decode(value.text + at, value.length - at, &point);
        if (width == 0)
            break;
        const char *escape = NULL;
        for (const char *pair = escapes; *pair && point < 128 && !escape; pair += 2)
            escape = *pair == (char)point ? pair : NULL;
        if (escape)
            buffer_printf(out, "\\%c", escape[1]);
        else if (point < 0x20 || (ascii && point > 0x7e))
            json_point(point, out);
        else
            buffer_add(out, value.text + at, width);
    }
    buffer_add_text(out, "\"");
    fits(run, out);
}

/* In front of an item, of `level` levels, and of a closing bracket. */
static void json_break(struct jinja_run *run, const struct jinja_json_style *style, int level,
                       struct buffer *out)
{
    if (style->indent.type == JINJA_NONE || !fits(run, out))
        return;
    buffer_add_text(out, "\n");
    for (int i = 0; i < level && fits(run, out); i++) {
        if (style->indent.type == JINJA_TEXT)
            buffer_add(out, style->indent.text, style->indent.length);
        else
            for (int64_t j = 0; j < jinja_integer(style->indent) && fits(run, out); j++)
                buffer_add_text(out, " ");
    }
}

static void json_list(struct jinja_run *run, const struct jinja_list *list,
                      const struct jinja_json_style *style, int level, struct buffer *out)
{
    buffer_add_text(out, "[");
    for (size_t i = 0; i < list->count && fits(run, out); i++) {
        if (i)
            buffer_add(out, style->item, style->item_length);
        json_break(run, style, level + 1, out);
        jinja_to_json(run, list->items[i], style, level + 1, out);
    }
    if (list->count)
        json_break(run, style, level, out);
    buffer_add_text(out, "]");
}

static void json_key(struct jinja_run *run, struct jinja_value key,
                     const struct jinja_json_style *style, struct buffer *out)
{
    if (key.type == JINJA_TEXT) {
        write_string(run, key, style->ascii, out);
    } else if (key.type == JINJA_NONE || jinja_is_number(key)) {
        buffer_add_text(out, "\"");
        jinja_to_json(run, key, style, 0, out);
        buffer_add_text(out, "\"");
    } else {
        jinja_fail(run, "a key of type %s cannot be written as JSON", jinja_type_name(key));
    }
}

/* The map's places in the order of their keys. */
static bool sort_keys(struct jinja_run *run, const struct jinja_map *map, size_t *order)
{
    for (size_t i = 0; i < map->count && !run->failed; i++) {
        size_t at = i;
        for (; at > 0 && !run->failed &&
               jinja_compare(run, map->keys[order[at - 1]], map->keys[i]) > 0;
             at--)
            order[at] = order[at - 1];
        order[at] = i;
        jinja_charge(run, i - at);
    }
    return !run->failed;
}

static void json_map(struct jinja_run *run, const struct jinja_map *map,
                     const struct jinja_json_style *style, int level, struct buffer *out)
{
    size_t *order = NULL;
    if (style->sort && map->count) {
        order = jinja_alloc(run, map->count * sizeof *order);
        if (!order || !sort_keys(run, map, order))
            return;
    }
    buffer_add_text(out, "{");
    for (size_t i = 0; i < map->count && fits(run, out); i++) {
        size_t at = order ? order[i] : i;
        if (i)
            buffer_add(out, style->item, style->item_length);
        json_break(run, style, level + 1, out);
        json_key(run, map->keys[at], style, out);
        buffer_add(out, style->pair, style->pair_length);
        jinja_to_json(run, map->values[at], style, level + 1, out);
    }
    if (map->count)
        json_break(run, style, level, out);
    buffer_add_text(out, "}");
}

void jinja_to_json(struct jinja_run *run, struct jinja_value value,
                   const struct jinja_json_style *style, int level, struct buffer *out)
{
    if (!jinja_enter(run))
        return;
    if (value.type == JINJA_TEXT)
        write_string(run, value, style->ascii, out);
    else if (value.type == JINJA_LIST || value.type == JINJA_TUPLE)
        json_list(run, value.list, style, level, out);
    else if (value.type == JINJA_MAP)
        json_map(run, value.map, style, level, out);
    else if (value.type == JINJA_NONE)
        buffer_add_text(out, "null");
    else if (value.type == JINJA_BOOL)
        buffer_add_text(out, value.boolean ? "true" : "false");
    else if (value.type == JINJA_REAL && !isfinite(value.real))
        buffer_add_text(out, isnan(value.real) ? "NaN" : value.real < 0 ? "-Infinity" : "Infinity");
    else if (value.type == JINJA_INT || value.type == JINJA_REAL)
        print_plain(value, out);
    else
        jinja_fail(run, "a value of type %s cannot be written as JSON", jinja_type_name(value));
    run->depth--;
    fits(run, out);
}
