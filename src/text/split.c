/* See split.h. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/split.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "text/unicode.h"

struct split_pattern {
    char *text;
    size_t (*scan)(const char *text, size_t length, size_t at); /* NULL: use the expression */
    pcre2_code *code;
};

static size_t run_of(const char *text, size_t length, size_t at, enum char_class class)
{
    size_t width;
    while (at < length && unicode_class(text + at, length - at, &width) == class)
        at += width;
    return at;
}

/* Length of 's 't 're 've 'm 'll 'd at text[0], or 0. */
static size_t contraction(const char *text, size_t length)
{
    if (length < 2 || text[0] != '\'')
        return 0;
    if (strchr("stmd", text[1]) && text[1])
        return 2;
    if (length >= 3 && ((text[1] == 'r' && text[2] == 'e') || (text[1] == 'v' && text[2] == 'e') ||
                        (text[1] == 'l' && text[2] == 'l')))
        return 3;
    return 0;
}

static size_t scan_gpt2(const char *text, size_t length, size_t at)
{
    size_t short_word = contraction(text + at, length - at);
    if (short_word)
        return at + short_word;
    size_t start = at + (text[at] == ' ' && at + 1 < length), width;
    enum char_class class = unicode_class(text + start, length - start, &width);
    if (class != CHAR_SPACE)
        return run_of(text, length, start + width, class);
    /* White space: all of it at the end of the text, else all but the last character, which may
     * open the next word; a single one stands alone. */
    size_t last = at, end = at;
    while (end < length && unicode_class(text + end, length - end, &width) == CHAR_SPACE) {
        last = end;
        end += width;
    }
    return end == length || last == at ? end : last;
}

enum status split_create(const char *pattern, struct split_pattern **result, struct error *error)
{
    *result = NULL;
    struct split_pattern *split = calloc(1, sizeof *split);
    if (!split || !(split->text = strdup(pattern))) {
        free(split);
        return error_no_memory(error, strlen(pattern));
    }
    if (strcmp(pattern, SPLIT_GPT2) == 0) {
        split->scan = scan_gpt2;
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

size_t split_next(struct split_pattern *split, const char *text, size_t length, size_t at)
{
    if (split->scan)
        return split->scan(text, length, at);
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    if (!match)
        return length;
    int found = pcre2_match(split->code, (PCRE2_SPTR)text, length, at, 0, match, NULL);
    size_t begin = length, end = length;
    if (found > 0) {
        begin = pcre2_get_ovector_pointer(match)[0];
        end = pcre2_get_ovector_pointer(match)[1];
    }
    pcre2_match_data_free(match);
    if (begin > at)
        return begin;
    return end > at ? end : at + 1;
}
