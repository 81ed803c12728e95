/* See json_field.h. A recursive descent over the bytes; texts other than the field's are checked
 * and skipped. */
#include "base/json_field.h"

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <utf8proc.h>

#define DEPTH_MOST 512

struct scan {
    const char *at, *end;
};

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits behind \u. */
static bool read_unit(struct scan *s, uint32_t *unit)
{
    if (s->end - s->at < 4)
        return false;
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(*s->at++);
        if (digit < 0)
            return false;
        *unit = *unit * 16 + (uint32_t)digit;
    }
    return true;
}

/* The digits of one escape, or of the two that make a pair. */
static bool read_unicode_escape(struct scan *s, char **out)
{
    uint32_t point, low;
    if (!read_unit(s, &point) || (point >= 0xdc00 && point < 0xe000))
        return false;
    if (point >= 0xd800 && point < 0xdc00) {
        if (s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u')
            return false;
        s->at += 2;
        if (!read_unit(s, &low) || low < 0xdc00 || low >= 0xe000)
            return false;
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    }
    if (*out)
        *out += utf8proc_encode_char((utf8proc_int32_t)point, (utf8proc_uint8_t *)*out);
    return true;
}

/* An escape, behind its backslash; `out` may be NULL. */
static bool read_escape(struct scan *s, char **out)
{
    if (s->at == s->end)
        return false;
    char c = *s->at++, value = c;
    switch (c) {
    case 'n':
        value = '\n';
        break;
    case 't':
        value = '\t';
        break;
    case 'r':
        value = '\r';
        break;
    case 'b':
        value = '\b';
        break;
    case 'f':
        value = '\f';
        break;
    case '"':
    case '\\':
    case '/':
        break;
    default:
        return c == 'u' && read_unicode_escape(s, out);
    }
    if (*out)
        *(*out)++ = value;
    return true;
}

/* Copies the run of plain ASCII at the scan's place: eight bytes at a time while none is a quote, a
 * backslash, a control character or beyond ASCII. What is copied too much is overwritten later. */
static void read_plain(struct scan *s, char **out)
{
    const uint64_t ones = 0x0101010101010101u, tops = ones << 7;
    const char *at = s->at;
    while (s->end - at >= 8) {
        uint64_t raw;
        memcpy(&raw, at, sizeof raw);
        uint64_t word = le64toh(raw), quote = word ^ ones * '"', slash = word ^ ones * '\\';
        uint64_t special = ((word - ones * 0x20) | (quote - ones) | (slash - ones) | word) & tops;
        int run = special ? __builtin_ctzll(special) / 8 : 8;
        if (*out) {
            memcpy(*out, &raw, sizeof raw);
            *out += run;
        }
        at += run;
        if (run < 8)
            break;
    }
    while (at < s->end && *at != '"' && *at != '\\' && *at >= 0x20 && *at < 0x7f) {
        if (*out)
            *(*out)++ = *at;
        at++;
    }
    s->at = at;
}

/* A text, behind its opening quote, unescaped to *out unless that is NULL. */
static bool read_text(struct scan *s, char **out)
{
    for (;;) {
        read_plain(s, out);
        if (s->at == s->end || (unsigned char)*s->at < 0x20)
            return false;
        if (*s->at == '"') {
            s->at++;
            return true;
        }
        if (*s->at == '\\') {
            s->at++;
            if (!read_escape(s, out))
                return false;
            continue;
        }
        utf8proc_int32_t point;
        utf8proc_ssize_t width =
            utf8proc_iterate((const utf8proc_uint8_t *)s->at, s->end - s->at, &point);
        if (width <= 0)
            return false;
        if (*out) {
            memcpy(*out, s->at, (size_t)width);
            *out += width;
        }
        s->at += width;
    }
}

static bool skip_digits(struct scan *s)
{
    const char *start = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > start;
}

static bool skip_number(struct scan *s)
{
    if (s->at < s->end && *s->at == '-')
        s->at++;
    bool zero = s->at < s->end && *s->at == '0';
    const char *start = s->at;
    if (!skip_digits(s) || (zero && s->at - start > 1))
        return false;
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (!skip_digits(s))
            return false;
    }
    if (s->at < s->end && (*s->at | 0x20) == 'e') {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        return skip_digits(s);
    }
    return true;
}

static bool skip_word(struct scan *s, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(s->end - s->at) < length || memcmp(s->at, word, length) != 0)
        return false;
    s->at += length;
    return true;
}

static bool skip_value(struct scan *s, int depth);

/* Members of an object or items of an array, behind the opening bracket. */
static bool skip_members(struct scan *s, bool object, int depth)
{
    char *nothing = NULL, close = object ? '}' : ']';
    skip_space(s);
    if (s->at < s->end && *s->at == close) {
        s->at++;
        return true;
    }
    for (;;) {
        skip_space(s);
        if (object) {
            if (s->at == s->end || *s->at++ != '"' || !read_text(s, &nothing))
                return false;
            skip_space(s);
            if (s->at == s->end || *s->at++ != ':')
                return false;
        }
        if (!skip_value(s, depth))
            return false;
        skip_space(s);
        if (s->at == s->end)
            return false;
        char c = *s->at++;
        if (c == close)
            return true;
        if (c != ',')
            return false;
    }
}

static bool skip_value(struct scan *s, int depth)
{
    char *nothing = NULL;
    skip_space(s);
    if (s->at == s->end || depth >= DEPTH_MOST)
        return false;
    switch (*s->at) {
    case '"':
        s->at++;
        return read_text(s, &nothing);
    case '{':
    case '[':
        s->at++;
        return skip_members(s, s->at[-1] == '{', depth + 1);
    case 't':
        return skip_word(s, "true");
    case 'f':
        return skip_word(s, "false");
    case 'n':
        return skip_word(s, "null");
    default:
        return skip_number(s);
    }
}

/* A key, behind its opening quote: whether it is `field`, unescaped to `space` to be compared. */
static bool read_key(struct scan *s, const char *field, char *space, bool *same)
{
    char *end = space;
    if (!read_text(s, &end))
        return false;
    *same = (size_t)(end - space) == strlen(field) && memcmp(space, field, strlen(field)) == 0;
    return true;
}

/* One member; *out_length is SIZE_MAX while no text was found, and the last one found counts. Keys
 * go behind the text: both are no longer than what they were read from, so the room suffices. */
static bool read_member(struct scan *s, const char *field, char *out, size_t *out_length)
{
    bool same;
    skip_space(s);
    if (s->at == s->end || *s->at++ != '"' ||
        !read_key(s, field, out + (*out_length == SIZE_MAX ? 0 : *out_length), &same))
        return false;
    skip_space(s);
    if (s->at == s->end || *s->at++ != ':')
        return false;
    skip_space(s);
    if (!same)
        return skip_value(s, 1);
    *out_length = SIZE_MAX;
    if (s->at == s->end || *s->at != '"')
        return skip_value(s, 1);
    s->at++;
    char *end = out;
    if (!read_text(s, &end))
        return false;
    *out_length = (size_t)(end - out);
    return true;
}

enum json_field json_field_text(const char *record, size_t length, const char *field, char *out,
                                size_t *out_length)
{
    struct scan s = {record, record + length};
    size_t found = SIZE_MAX;
    skip_space(&s);
    if (s.at == s.end || *s.at++ != '{')
        return JSON_FIELD_BROKEN;
    skip_space(&s);
    bool more = s.at < s.end && *s.at != '}';
    if (!more && s.at < s.end)
        s.at++;
    while (more) {
        if (!read_member(&s, field, out, &found))
            return JSON_FIELD_BROKEN;
        skip_space(&s);
        if (s.at == s.end || (*s.at != ',' && *s.at != '}'))
            return JSON_FIELD_BROKEN;
        more = *s.at++ == ',';
    }
    skip_space(&s);
    if (s.at != s.end || s.at[-1] == '{')
        return JSON_FIELD_BROKEN;
    if (found == SIZE_MAX)
        return JSON_FIELD_MISSING;
    out[found] = 0;
    *out_length = found;
    return JSON_FIELD_FOUND;
}
