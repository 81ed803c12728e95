/* Jinja's source to tokens, with the white-space rules of trim_blocks and lstrip_blocks: a line
 * break right behind a block or comment goes away, and so do spaces before one that stands first on
 * its line; '-' takes all white space, '+' none. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja_tree.h"
#include "text/unicode.h"

struct scanner {
    const char *at, *end; /* of the source with its line breaks made \n */
    const char *name;
    struct arena *arena;
    struct jinja_token *tokens;
    size_t count, capacity;
    int line;
    bool line_starts; /* what came last ended a line */
    struct error *error;
    enum status status;
};

static bool fail(struct scanner *s, const char *cause)
{
    if (s->status == STATUS_OK)
        s->status = error_set(s->error, STATUS_FAILED, "%s: line %d: %s", s->name, s->line, cause);
    return false;
}

static struct jinja_token *add(struct scanner *s, enum jinja_token_kind kind)
{
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 64;
        struct jinja_token *more = arena_alloc(s->arena, capacity * sizeof *more);
        if (!more) {
            s->status = error_no_memory(s->error, capacity * sizeof *more);
            return NULL;
        }
        if (s->count)
            memcpy(more, s->tokens, s->count * sizeof *more);
        s->tokens = more;
        s->capacity = capacity;
    }
    struct jinja_token *token = &s->tokens[s->count++];
    *token = (struct jinja_token){.kind = kind, .line = s->line};
    return token;
}

static bool looking_at(const struct scanner *s, const char *at, const char *text)
{
    size_t length = strlen(text);
    return (size_t)(s->end - at) >= length && memcmp(at, text, length) == 0;
}

/* Bytes of the white-space character at `at`, or 0. */
static size_t space_at(const struct scanner *s, const char *at)
{
    uint32_t point;
    size_t width = at < s->end ? unicode_decode(at, (size_t)(s->end - at), &point) : 0;
    return width > 0 && jinja_is_space(point) ? width : 0;
}

static void move_to(struct scanner *s, const char *at)
{
    for (; s->at < at; s->at++)
        s->line += *s->at == '\n';
}

static void skip_spaces(struct scanner *s)
{
    size_t width;
    while ((width = space_at(s, s->at)) > 0)
        move_to(s, s->at + width);
}

/* Behind a tag: '-' takes all white space, a block or comment else one line break. */
static void pass_tag_end(struct scanner *s, char sign, size_t length, bool trims)
{
    move_to(s, s->at + length);
    if (sign == '-')
        skip_spaces(s);
    else if (trims && sign != '+' && s->at < s->end && *s->at == '\n')
        move_to(s, s->at + 1);
    s->line_starts = s->at[-1] == '\n';
}

static const char *strip_back(const char *begin, const char *end)
{
    while (end > begin) {
        const char *last = end - 1;
        uint32_t point;
        while (last > begin && (*last & 0xc0) == 0x80)
            last--;
        if (unicode_decode(last, (size_t)(end - last), &point) == 0 || !jinja_is_space(point))
            break;
        end = last;
    }
    return end;
}

static void add_text(struct scanner *s, const char *begin, const char *end)
{
    struct jinja_token *token = end > begin ? add(s, TOKEN_TEXT) : NULL;
    if (token)
        token->value = jinja_slice_of(begin, (size_t)(end - begin));
}

/* The text before a tag at `tag` whose sign is `sign`; s->at is then at the tag. */
static void take_text(struct scanner *s, const char *tag, char sign, bool strips)
{
    const char *begin = s->at, *end = tag;
    if (sign == '-') {
        end = strip_back(begin, end);
    } else if (strips && sign != '+') {
        const char *line = end;
        while (line > begin && line[-1] != '\n')
            line--;
        if ((line > begin || s->line_starts) && strip_back(line, end) == line)
            end = line;
    }
    add_text(s, begin, end);
    move_to(s, tag);
}

/* The tag '{% raw %}' or '{% endraw %}' at `at`: its length, or 0; its signs. */
static size_t raw_tag(const struct scanner *s, const char *at, const char *word, char *first,
                      char *last)
{
    const char *p = at + 2;
    size_t width;
    *first = *last = 0;
    if (!looking_at(s, at, "{%"))
        return 0;
    if (p < s->end && (*p == '-' || *p == '+'))
        *first = *p++;
    while ((width = space_at(s, p)) > 0)
        p += width;
    if (!looking_at(s, p, word))
        return 0;
    p += strlen(word);
    while ((width = space_at(s, p)) > 0)
        p += width;
    if (p < s->end && (*p == '-' || (*p == '+' && word[0] == 'e')))
        *last = *p++;
    return looking_at(s, p, "%}") ? (size_t)(p + 2 - at) : 0;
}

static bool scan_raw(struct scanner *s)
{
    char first, last;
    size_t length = 0;
    const char *p = s->at;
    while (p < s->end && (length = raw_tag(s, p, "endraw", &first, &last)) == 0)
        p++;
    if (p >= s->end)
        return s->at == s->end || fail(s, "{% raw %} is never closed");
    take_text(s, p, first, true);
    pass_tag_end(s, last, length, true);
    return true;
}

static bool scan_comment(struct scanner *s)
{
    const char *begin = s->at, *p = begin;
    while (p < s->end && !looking_at(s, p, "#}"))
        p++;
    if (p >= s->end)
        return fail(s, "a comment is never closed");
    char sign = p > begin && (p[-1] == '-' || p[-1] == '+') ? p[-1] : 0;
    pass_tag_end(s, sign, (size_t)(p + 2 - begin), true);
    return true;
}

/* Inside tags. */

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits with single underscores between them. */
static const char *skip_digits(const struct scanner *s, const char *p)
{
    while (p < s->end && (is_digit(*p) || (*p == '_' && p + 1 < s->end && is_digit(p[1]))))
        p++;
    return p;
}

static bool number_of(struct scanner *s, const char *end, bool real, struct jinja_value *value)
{
    char text[400];
    size_t length = 0;
    for (const char *p = s->at; p < end; p++) {
        if (length + 1 >= sizeof text)
            return fail(s, "a number is too long");
        if (*p != '_')
            text[length++] = *p;
    }
    text[length] = 0;
    errno = 0;
    if (real) {
        *value = jinja_real(strtod(text, NULL));
        return true;
    }
    char kind = length > 1 ? (char)(text[1] | 0x20) : 0;
    int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    *value = jinja_int(strtoll(text + (base == 10 ? 0 : 2), NULL, base));
    return errno == 0 || fail(s, "a number is too large");
}

static bool is_digit_of(char c, char kind)
{
    char small = (char)(c | 0x20);
    return kind == 'x' ? is_digit(c) || (small >= 'a' && small <= 'f')
                       : c >= '0' && c <= (kind == 'o' ? '7' : '1');
}

static bool scan_number(struct scanner *s)
{
    const char *p = s->at;
    bool real = false, member = s->at[-1] == '.';
    char kind = p + 1 < s->end ? (char)(p[1] | 0x20) : 0;
    if (*p == '0' && (kind == 'x' || kind == 'o' || kind == 'b') && p + 2 < s->end &&
        is_digit_of(p[2], kind)) {
        for (p += 2; p < s->end && (is_digit_of(*p, kind) || *p == '_'); p++)
            continue;
    } else {
        p = skip_digits(s, p);
        if (!member && p + 1 < s->end && *p == '.' && is_digit(p[1])) {
            real = true;
            p = skip_digits(s, p + 1);
        }
        if (!member && p + 1 < s->end && (*p | 0x20) == 'e') {
            const char *q = p + 1;
            q += *q == '+' || *q == '-';
            if (q < s->end && is_digit(*q)) {
                real = true;
                p = skip_digits(s, q);
            }
        }
    }
    struct jinja_token *token = add(s, TOKEN_CONSTANT);
    bool done = token && number_of(s, p, real, &token->value);
    s->at = p;
    return done;
}

/* An escape of Python's strings at `p`, behind the backslash. */
static const char *scan_escape(struct scanner *s, const char *p, const char *end,
                               struct buffer *out)
{
    static const char plain[] = "n\nt\tr\r\\\\'\'\"\"a\ab\bf\fv\v";
    for (const char *pair = plain; *pair; pair += 2)
        if (*p == *pair) {
            buffer_add(out, pair + 1, 1);
            return p + 1;
        }
    if (*p == '\n')
        return p + 1;
    bool octal = *p >= '0' && *p <= '7';
    int digits = octal ? 3 : *p == 'x' ? 2 : *p == 'u' ? 4 : *p == 'U' ? 8 : 0, got = 0;
    uint64_t point = 0;
    if (digits == 0) { /* as it stands */
        buffer_add(out, "\\", 1);
        return p;
    }
    const char *q = octal ? p : p + 1;
    for (; got < digits && q < end && is_digit_of(*q, octal ? 'o' : 'x'); got++, q++)
        point =
            point * (octal ? 8 : 16) + (uint64_t)(is_digit(*q) ? *q - '0' : (*q | 0x20) - 'a' + 10);
    if ((!octal && got < digits) || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) {
        fail(s, "a string has an escape that is no character");
        return NULL;
    }
    char bytes[4];
    buffer_add(out, bytes, unicode_encode((uint32_t)point, bytes));
    return q;
}

static bool scan_string(struct scanner *s)
{
    char quote = *s->at;
    const char *begin = s->at + 1, *end = begin;
    bool escapes = false;
    for (; end < s->end && *end != quote; end++)
        if (*end == '\\') {
            escapes = true;
            end += end + 1 < s->end;
        }
    if (end >= s->end)
        return fail(s, "a string is never closed");
    struct jinja_token *token = add(s, TOKEN_STRING);
    if (!token)
        return false;
    if (!escapes) {
        token->value = jinja_slice_of(begin, (size_t)(end - begin));
    } else {
        struct buffer text = {0};
        for (const char *p = begin; p && p < end;)
            if (*p == '\\')
                p = scan_escape(s, p + 1, end, &text);
            else
                buffer_add(&text, p++, 1);
        char *copy = arena_strndup(s->arena, text.data ? text.data : "", text.length);
        if (s->status == STATUS_OK && (!copy || text.failed))
            s->status = error_no_memory(s->error, text.length);
        if (copy)
            token->value = jinja_slice_of(copy, text.length);
        buffer_free(&text);
    }
    move_to(s, end + 1);
    return s->status == STATUS_OK;
}

static bool scan_sign(struct scanner *s)
{
    static const char *const pairs[] = {"//", "**", "==", "!=", ">=", "<="};
    int op = 0;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (looking_at(s, s->at, pairs[i]))
            op = (unsigned char)pairs[i][0] << 8 | (unsigned char)pairs[i][1];
    if (!op && strchr("+-/*%~[](){}><=.:|,;", *s->at))
        op = (unsigned char)*s->at;
    if (!op || !*s->at)
        return fail(s, "there is a character that has no meaning here");
    struct jinja_token *token = add(s, TOKEN_SIGN);
    if (!token)
        return false;
    token->op = op;
    s->at += op > 255 ? 2 : 1;
    return true;
}

/* The end of the tag at s->at, if it is there: passes it. */
static bool scan_tag_end(struct scanner *s, bool block)
{
    const char *close = block ? "%}" : "}}";
    char sign = *s->at == '-' || (block && *s->at == '+') ? *s->at : 0;
    if (!looking_at(s, s->at + (sign != 0), close) ||
        !add(s, block ? TOKEN_BLOCK_END : TOKEN_OUT_END))
        return false;
    pass_tag_end(s, sign, sign ? 3 : 2, block);
    return true;
}

static bool scan_inside(struct scanner *s, bool block)
{
    int open = 0;
    while (s->status == STATUS_OK) {
        skip_spaces(s);
        if (s->at >= s->end)
            return fail(s, block ? "a {% is never closed" : "a {{ is never closed");
        if (open == 0 && scan_tag_end(s, block))
            return true;
        char c = *s->at;
        if (s->status != STATUS_OK)
            return false;
        if (is_digit(c)) {
            scan_number(s);
        } else if (is_name_start(c)) {
            const char *p = s->at;
            while (p < s->end && (is_name_start(*p) || is_digit(*p)))
                p++;
            struct jinja_token *token = add(s, TOKEN_NAME);
            if (token)
                token->value = jinja_slice_of(s->at, (size_t)(p - s->at));
            s->at = p;
        } else if (c == '\'' || c == '"') {
            scan_string(s);
        } else {
            open += c == '(' || c == '[' || c == '{';
            open -= (c == ')' || c == ']' || c == '}') && open > 0;
            scan_sign(s);
        }
    }
    return false;
}

static const char *find_tag(const struct scanner *s)
{
    const char *p = s->at;
    while (p + 1 < s->end && !(p[0] == '{' && (p[1] == '{' || p[1] == '%' || p[1] == '#')))
        p++;
    return p + 1 < s->end ? p : s->end;
}

static bool scan_tag(struct scanner *s, const char *tag)
{
    char first = 0, last;
    size_t raw = raw_tag(s, tag, "raw", &first, &last);
    if (raw == 0 && tag + 2 < s->end && (tag[2] == '-' || tag[2] == '+'))
        first = tag[2];
    take_text(s, tag, first, tag[1] != '{');
    if (raw > 0) {
        pass_tag_end(s, last, raw, false);
        return scan_raw(s);
    }
    s->at += first ? 3 : 2;
    if (tag[1] == '#')
        return scan_comment(s);
    bool block = tag[1] == '%';
    return add(s, block ? TOKEN_BLOCK_BEGIN : TOKEN_OUT_BEGIN) && scan_inside(s, block);
}

/* A copy with every line break as \n, and without the one at the end. */
static char *normalized(const char *source, size_t *length, struct arena *arena)
{
    char *copy = arena_alloc(arena, *length + 1);
    size_t out = 0;
    for (size_t i = 0; copy && i < *length; i++) {
        bool pair = source[i] == '\r' && i + 1 < *length && source[i + 1] == '\n';
        if (!pair)
            copy[out++] = source[i] == '\r' ? '\n' : source[i];
    }
    if (copy) {
        out -= out > 0 && copy[out - 1] == '\n';
        copy[out] = 0;
    }
    *length = out;
    return copy;
}

static bool is_utf8(const char *text, size_t length)
{
    uint32_t point;
    for (size_t at = 0, width; at < length; at += width)
        if ((width = unicode_decode(text + at, length - at, &point)) == 0)
            return false;
    return true;
}

enum status jinja_scan(const char *source, size_t length, const char *name, struct arena *arena,
                       struct jinja_token **tokens, struct error *error)
{
    if (length > JINJA_SOURCE_MOST)
        return error_set(error, STATUS_FAILED, "%s: the template is longer than %zu bytes", name,
                         JINJA_SOURCE_MOST);
    if (!is_utf8(source, length))
        return error_set(error, STATUS_FAILED, "%s: the template is not UTF-8", name);
    char *copy = normalized(source, &length, arena);
    if (!copy)
        return error_no_memory(error, length);
    struct scanner s = {.at = copy,
                        .end = copy + length,
                        .name = name,
                        .arena = arena,
                        .line = 1,
                        .line_starts = true,
                        .error = error,
                        .status = STATUS_OK};
    while (s.status == STATUS_OK && s.at < s.end) {
        const char *tag = find_tag(&s);
        if (tag < s.end) {
            scan_tag(&s, tag);
        } else {
            add_text(&s, s.at, s.end);
            move_to(&s, s.end);
        }
    }
    add(&s, TOKEN_END);
    *tokens = s.tokens;
    return s.status;
}
