/* See split.h. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/split.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "text/scanners.h"

struct split_pattern {
    char *text;
    size_t length;
    bool literal, digit;
    scan_function *scan; /* NULL: use the expression */
    pcre2_code *code;
};

enum status split_room_prepare(struct split_room *room, struct error *error)
{
    if (!room->match)
        room->match = pcre2_match_data_create(1, NULL);
    return room->match ? STATUS_OK : error_no_memory(error, 64);
}

void split_room_free(struct split_room *room)
{
    pcre2_match_data_free(room->match);
    room->match = NULL;
}

#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
#define SPACE "\\t-\\r\\x{85}\\p{Z}"

/* What a class by one letter is in Oniguruma, for which the patterns are written, where PCRE2 has
 * something else in it; NULL: the same. */
static const char *letter_class(char letter, bool inside)
{
    switch (letter) {
    case 'w':
        return inside ? WORD : "[" WORD "]";
    case 'W':
        return inside ? NULL : "[^" WORD "]";
    case 's':
        return inside ? SPACE : "[" SPACE "]";
    case 'S':
        return inside ? NULL : "[^" SPACE "]";
    case 'b':
        return inside ? NULL : "(?:(?<=[" WORD "])(?![" WORD "])|(?<![" WORD "])(?=[" WORD "]))";
    default:
        return NULL;
    }
}

/* The expression as PCRE2 takes it. */
static enum status translate(const char *pattern, struct buffer *out, struct error *error)
{
    bool inside = false;
    for (const char *at = pattern; *at; at++) {
        const char *class = *at == '\\' ? letter_class(at[1], inside) : NULL;
        size_t width = *at == '\\' && at[1] ? 2 : 1;
        if (inside && at[0] == '&' && at[1] == '&')
            return error_set(error, STATUS_FAILED,
                             "pre-tokenizer pattern, character %llu: '&&' is not supported",
                             (unsigned long long)(at - pattern));
        if (class)
            buffer_add_text(out, class);
        else
            buffer_add(out, at, width);
        if (width == 1 && *at == '[' && !inside) {
            inside = true;
            if (at[1] == '^')
                buffer_add(out, ++at, 1);
        } else if (width == 1 && *at == ']') {
            inside = false;
        }
        at += width - 1;
    }
    return buffer_check(out, error);
}

static enum status compile(struct split_pattern *split, struct error *error)
{
    struct buffer text = {0};
    int number;
    PCRE2_SIZE offset;
    enum status status = translate(split->text, &text, error);
    if (status == STATUS_OK) {
        split->code =
            pcre2_compile((PCRE2_SPTR)(text.data ? text.data : ""), text.length,
                          PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_MULTILINE,
                          &number, &offset, NULL);
        if (!split->code) {
            PCRE2_UCHAR message[200];
            pcre2_get_error_message(number, message, sizeof message);
            status = error_set(error, STATUS_FAILED, "pre-tokenizer pattern, character %llu: %s",
                               (unsigned long long)offset, (const char *)message);
        }
    }
    if (status == STATUS_OK)
        pcre2_jit_compile(split->code, PCRE2_JIT_COMPLETE); /* optional; it works without */
    buffer_free(&text);
    return status;
}

enum status split_create(const char *pattern, bool literal, bool scanners,
                         struct split_pattern **result, struct error *error)
{
    *result = NULL;
    struct split_pattern *split = calloc(1, sizeof *split);
    if (!split || !(split->text = strdup(pattern))) {
        free(split);
        return error_no_memory(error, strlen(pattern));
    }
    split->length = strlen(pattern);
    split->literal = literal;
    split->scan = scanners && !literal ? scanner_find(pattern) : NULL;
    split->digit = scanners && !literal && strcmp(pattern, SPLIT_DIGIT) == 0;
    if (split->scan || split->digit || literal) {
        *result = split;
        return STATUS_OK;
    }
    enum status status = compile(split, error);
    if (status == STATUS_OK)
        *result = split;
    else
        split_free(split);
    return status;
}

void split_free(struct split_pattern *split)
{
    if (!split)
        return;
    pcre2_code_free(split->code);
    free(split->text);
    free(split);
}

const char *split_text(const struct split_pattern *split)
{
    return split->text;
}

split_scanner *split_scan(const struct split_pattern *split)
{
    return split->scan;
}

bool split_is_literal(const struct split_pattern *split)
{
    return split->literal;
}

static bool find_expression(const struct split_pattern *split, const struct split_room *room,
                            const char *text, size_t length, size_t at, size_t *begin, size_t *end)
{
    while (at < length) {
        int found = pcre2_match(split->code, (PCRE2_SPTR)text, length, at, 0, room->match, NULL);
        if (found == PCRE2_ERROR_JIT_STACKLIMIT) /* a very long word */
            found = pcre2_match(split->code, (PCRE2_SPTR)text, length, at, PCRE2_NO_JIT,
                                room->match, NULL);
        if (found < 0)
            return false;
        const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(room->match);
        *begin = ends[0];
        *end = ends[1];
        if (*end > *begin)
            return true;
        at = *begin + 1; /* an empty match cuts nothing */
    }
    return false;
}

bool split_find(const struct split_pattern *split, const struct split_room *room, const char *text,
                size_t length, size_t at, size_t *begin, size_t *end)
{
    if (at >= length)
        return false;
    if (split->scan) {
        *begin = at;
        *end = split->scan(text, length, at);
        return true;
    }
    if (split->literal) {
        const char *found =
            split->length ? memmem(text + at, length - at, split->text, split->length) : NULL;
        *begin = found ? (size_t)(found - text) : length;
        *end = *begin + split->length;
        return found != NULL;
    }
    if (!split->digit)
        return find_expression(split, room, text, length, at, begin, end);
    for (*begin = at; *begin < length; (*begin)++) {
        *end = scan_digit(text, length, *begin);
        if (*end > *begin)
            return true;
    }
    return false;
}

size_t split_next(const struct split_pattern *split, const struct split_room *room,
                  const char *text, size_t length, size_t at)
{
    if (split->scan)
        return split->scan(text, length, at);
    size_t begin, end;
    if (!split_find(split, room, text, length, at, &begin, &end))
        return length;
    return begin > at ? begin : end;
}
