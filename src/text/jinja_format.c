/* Python's two ways to put values into a text, "%s" % x and "{}".format(x), as far as templates
 * use them: conversions, widths, precisions, positions and names. */
#include <stdio.h>
#include <string.h>

#include "text/jinja_tree.h"

struct specification {
    bool left, zero, plus, space, alternate, center;
    char fill[5];
    int width, precision; /* -1: none */
    char kind;
};

#define WIDTH_MOST 10000

static int read_number(const char **at, const char *end)
{
    int value = -1;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++)
        if (value < WIDTH_MOST)
            value = (value < 0 ? 0 : value) * 10 + (**at - '0');
    return value;
}

/* The text of a value, padded to the width; `number` says where padding goes. */
static void add_padded(const struct specification *s, const char *text, size_t length, bool number,
                       struct buffer *out)
{
    int64_t missing = (int64_t)s->width - (int64_t)jinja_characters(text, length);
    int64_t front = s->center ? missing / 2 : s->left ? 0 : number ? missing : 0;
    if (!s->left && !s->center && s->zero && number && length && (*text == '-' || *text == '+')) {
        buffer_add(out, text++, 1);
        length--;
    }
    for (int64_t i = 0; i < front; i++)
        buffer_add_text(out, s->zero && number ? "0" : s->fill);
    buffer_add(out, text, length);
    for (int64_t i = front; i < missing; i++)
        buffer_add_text(out, s->fill);
}

static void add_number(struct jinja_run *run, const struct specification *s,
                       struct jinja_value value, struct buffer *out)
{
    char pattern[16], text[800];
    int precision = s->precision < 0 ? 6 : s->precision < 300 ? s->precision : 300;
    const char *sign = s->plus ? "+" : s->space ? " " : "";
    bool real = strchr("feEgGF%", s->kind) != NULL;
    if (!jinja_is_number(value)) {
        jinja_fail(run, "%%%c wants a number, not %s", s->kind, jinja_type_name(value));
        return;
    }
    if (real) {
        double number = jinja_number(value) * (s->kind == '%' ? 100 : 1);
        snprintf(pattern, sizeof pattern, "%%%s.*%c", sign, s->kind == '%' ? 'f' : s->kind);
        int length = snprintf(text, sizeof text, pattern, precision, number);
        if (s->kind == '%' && length > 0 && (size_t)length + 1 < sizeof text)
            memcpy(text + length, "%", 2);
    } else {
        int64_t number = jinja_truncated(run, value);
        bool hex = s->kind == 'x' || s->kind == 'X' || s->kind == 'o';
        uint64_t size = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
        snprintf(pattern, sizeof pattern, "%%s%%ll%c", hex ? s->kind : 'u');
        snprintf(text, sizeof text, pattern, number < 0 ? "-" : sign, (unsigned long long)size);
    }
    add_padded(s, text, strlen(text), true, out);
}

static void add_text(struct jinja_run *run, const struct specification *s, struct jinja_value value,
                     bool repr, struct buffer *out)
{
    struct buffer text = {0};
    if (repr)
        jinja_repr(run, value, &text);
    else
        jinja_print(run, value, &text);
    size_t length = text.length;
    if (s->precision >= 0 && text.data)
        length = jinja_offset(text.data, length, (size_t)s->precision);
    out->failed |= text.failed;
    if (!text.failed)
        add_padded(s, text.data ? text.data : "", length, false, out);
    buffer_free(&text);
}

/* "%...": the flags, width, precision and kind at *at. */
static bool read_percent(struct jinja_run *run, const char **at, const char *end,
                         struct specification *s)
{
    *s = (struct specification){.fill = " ", .precision = -1};
    for (; *at < end && **at && strchr("-0+ #", **at); (*at)++) {
        s->left |= **at == '-';
        s->zero |= **at == '0';
        s->plus |= **at == '+';
        s->space |= **at == ' ';
    }
    s->width = read_number(at, end);
    if (*at < end && **at == '.') {
        (*at)++;
        s->precision = read_number(at, end);
        s->precision = s->precision < 0 ? 0 : s->precision;
    }
    if (s->width > WIDTH_MOST || *at >= end || !**at || !strchr("sradiufFeEgGxXoc", **at)) {
        jinja_fail(run, "a format is incomplete or unknown");
        return false;
    }
    s->kind = *(*at)++;
    return true;
}

static struct jinja_value named_value(struct jinja_run *run, struct jinja_value values,
                                      const char **at, const char *end)
{
    const char *begin = ++*at, *close = memchr(begin, ')', (size_t)(end - begin));
    struct jinja_value *found = NULL;
    if (close && values.type == JINJA_MAP)
        found = jinja_map_find(run, values.map, jinja_slice_of(begin, (size_t)(close - begin)));
    if (!found)
        return jinja_fail(run, "a format names a value that is not there");
    *at = close + 1;
    return *found;
}

struct jinja_value jinja_percent(struct jinja_run *run, struct jinja_value format,
                                 struct jinja_value values)
{
    struct jinja_list list = {&values, 1, 1};
    struct buffer out = {0};
    struct specification s;
    size_t taken = 0;
    bool named = false;
    const char *at = format.text, *end = at + format.length;
    if (values.type == JINJA_TUPLE)
        list = *values.list;
    while (at < end && !run->failed) {
        struct jinja_value value = jinja_none();
        jinja_charge(run, 1);
        if (*at != '%' || (at + 1 < end && at[1] == '%')) {
            buffer_add(&out, at, 1);
            at += *at == '%' ? 2 : 1;
            continue;
        }
        at++;
        if (at < end && *at == '(') {
            value = named_value(run, values, &at, end);
            named = true;
        } else if (taken >= list.count) {
            jinja_fail(run, "there are not enough values for the format");
        } else {
            value = list.items[taken++];
        }
        if (run->failed || !read_percent(run, &at, end, &s))
            break;
        if (strchr("sra", s.kind))
            add_text(run, &s, value, s.kind != 's', &out);
        else if (s.kind == 'c' && value.type == JINJA_TEXT)
            add_text(run, &s, value, false, &out);
        else
            add_number(run, &s, value, &out);
    }
    if (!run->failed && !named && taken < list.count && values.type != JINJA_MAP)
        jinja_fail(run, "there are too many values for the format");
    return jinja_take(run, &out);
}

/* str.format. */

/* The value that a field names: "", "0", "name", with ".member" and "[index]" behind. */
static struct jinja_value field_value(struct jinja_run *run, const char **at, const char *end,
                                      const struct jinja_arguments *arguments, size_t *next)
{
    const char *begin = *at;
    struct jinja_value value;
    int64_t index = 0;
    bool digits = true;
    for (; *at < end && **at && !strchr(".[:!}", **at); (*at)++) {
        digits &= **at >= '0' && **at <= '9';
        index = digits && index < 10000 ? index * 10 + (**at - '0') : index;
    }
    size_t length = (size_t)(*at - begin);
    if (digits) {
        size_t place = length ? (size_t)index : (*next)++;
        if (place >= arguments->items.count)
            return jinja_fail(run, "there are not enough values for the format");
        value = arguments->items.items[place];
    } else {
        struct jinja_value *found =
            jinja_map_find(run, &arguments->named, jinja_slice_of(begin, length));
        if (!found)
            return jinja_fail(run, "a format names a value that is not there");
        value = *found;
    }
    while (*at < end && (**at == '.' || **at == '[') && !run->failed) {
        bool item = *(*at)++ == '[';
        begin = *at;
        digits = item;
        index = 0;
        for (; *at < end && **at && !strchr(item ? "]" : ".[:!}", **at); (*at)++) {
            digits &= **at >= '0' && **at <= '9';
            index = digits && index < 10000000 ? index * 10 + (**at - '0') : index;
        }
        struct jinja_value key = jinja_slice_of(begin, (size_t)(*at - begin));
        value = item ? jinja_item(run, value, digits ? jinja_int(index) : key)
                     : jinja_attribute(run, value, key);
        *at += item && *at < end;
    }
    return value;
}

/* ":...": fill, alignment, sign, width, precision, kind. */
static bool read_specification(struct jinja_run *run, const char **at, const char *end,
                               struct specification *s, char *align)
{
    size_t width = *at < end ? jinja_offset(*at, (size_t)(end - *at), 1) : 0;
    *align = 0;
    if (width && *at + width < end && (*at)[width] && strchr("<>^=", (*at)[width]) && width < 5) {
        memcpy(s->fill, *at, width);
        s->fill[width] = 0;
        *align = (*at)[width];
        *at += width + 1;
    } else if (*at < end && **at && strchr("<>^=", **at)) {
        *align = *(*at)++;
    }
    if (*at < end && (**at == '+' || **at == ' ' || **at == '-')) {
        s->plus = **at == '+';
        s->space = **at == ' ';
        (*at)++;
    }
    if (*at < end && **at == '0') {
        s->zero = !*align;
        (*at)++;
    }
    s->width = read_number(at, end);
    if (*at < end && **at == '.') {
        (*at)++;
        s->precision = read_number(at, end);
    }
    if (*at < end && **at && strchr("sdfFeEgGxXo%", **at))
        s->kind = *(*at)++;
    if (s->width > WIDTH_MOST || *at >= end || **at != '}')
        jinja_fail(run, "a format is incomplete or unknown");
    return !run->failed;
}

static void format_field(struct jinja_run *run, const char **at, const char *end,
                         const struct jinja_arguments *arguments, size_t *next, struct buffer *out)
{
    struct specification s = {.fill = " ", .precision = -1};
    char align = 0, convert = 0;
    struct jinja_value value = field_value(run, at, end, arguments, next);
    if (run->failed)
        return;
    if (*at + 1 < end && **at == '!') {
        convert = (*at)[1];
        *at += 2;
    }
    if (*at < end && **at == ':')
        (*at)++;
    if (!read_specification(run, at, end, &s, &align))
        return;
    (*at)++;
    bool number = jinja_is_number(value) && value.type != JINJA_BOOL && !convert;
    s.left = align == '<';
    s.center = align == '^';
    if (number && s.kind && s.kind != 's') {
        add_number(run, &s, value, out);
    } else if (s.kind && s.kind != 's') {
        jinja_fail(run, "a format of numbers is given a value of type %s", jinja_type_name(value));
    } else if (number || align == '>') {
        struct buffer text = {0};
        jinja_print(run, value, &text);
        if (!text.failed)
            add_padded(&s, text.data ? text.data : "", text.length, true, out);
        buffer_free(&text);
    } else {
        add_text(run, &s, value, convert == 'r', out);
    }
}

struct jinja_value jinja_format(struct jinja_run *run, struct jinja_value format,
                                const struct jinja_arguments *arguments)
{
    struct buffer out = {0};
    size_t next = 0;
    const char *at = format.text, *end = at + format.length;
    while (at < end && !run->failed) {
        bool twice = at + 1 < end && at[1] == *at;
        jinja_charge(run, 1);
        if (*at == '{' && !twice) {
            at++;
            format_field(run, &at, end, arguments, &next, &out);
        } else if (*at == '}' && !twice) {
            jinja_fail(run, "a format has a '}' without a '{'");
        } else {
            buffer_add(&out, at, 1);
            at += *at == '{' || *at == '}' ? 2 : 1;
        }
    }
    return jinja_take(run, &out);
}
