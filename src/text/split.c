/* See split.h. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/split.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

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
    int number;
    PCRE2_SIZE offset;
    split->code =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &number, &offset, NULL);
    if (!split->code) {
        PCRE2_UCHAR text[200];
        pcre2_get_error_message(number, text, sizeof text);
        split_free(split);
        return error_set(error, STATUS_FAILED, "pre-tokenizer pattern, character %llu: %s",
                         (unsigned long long)offset, (const char *)text);
    }
    pcre2_jit_compile(split->code, PCRE2_JIT_COMPLETE); /* optional; matching works without */
    *result = split;
    return STATUS_OK;
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

bool split_is_literal(const struct split_pattern *split)
{
    return split->literal;
}

static bool find_expression(const struct split_pattern *split, const struct split_room *room,
                            const char *text, size_t length, size_t at, size_t *begin, size_t *end)
{
    while (at < length) {
        if (pcre2_match(split->code, (PCRE2_SPTR)text, length, at, 0, room->match, NULL) < 0)
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
