/* See scanners.h. Tests hold each scanner to its expression under PCRE2. */
#include "text/scanners.h"

#include <stdbool.h>
#include <string.h>

#include "text/split.h"
#include "text/unicode.h"

static size_t run_of(const char *text, size_t length, size_t at, enum char_class class)
{
    size_t width;
    while (at < length && unicode_class(text + at, length - at, &width) == class)
        at += width;
    return at;
}

/* White space that no word takes: all of it at the end of the text, else all but the last
 * character, which may open the next word; a single one stands alone. */
static size_t scan_space(const char *text, size_t length, size_t at)
{
    size_t last = at, end = at, width;
    while (end < length && unicode_class(text + end, length - end, &width) == CHAR_SPACE) {
        last = end;
        end += width;
    }
    return end == length || last == at ? end : last;
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
    return scan_space(text, length, at);
}

/* The same in any case; the long s (U+017F) is an s, too. */
static size_t cased_contraction(const char *text, size_t length)
{
    if (length < 2 || text[0] != '\'')
        return 0;
    int first = text[1] | 0x20, second = length > 2 ? text[2] | 0x20 : 0;
    if (first == 's' || first == 't' || first == 'm' || first == 'd')
        return 2;
    if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
        (first == 'l' && second == 'l'))
        return 3;
    return length > 2 && memcmp(text + 1, "\xc5\xbf", 2) == 0 ? 3 : 0;
}

static bool is_line_end(char c)
{
    return c == '\r' || c == '\n';
}

static size_t line_ends(const char *text, size_t length, size_t at)
{
    while (at < length && is_line_end(text[at]))
        at++;
    return at;
}

/* White space with line ends in it reaches to the last of them. */
static size_t scan_lines(const char *text, size_t length, size_t at)
{
    size_t end = at, after = 0, width;
    while (end < length && unicode_class(text + end, length - end, &width) == CHAR_SPACE) {
        if (is_line_end(text[end]))
            after = end + 1;
        end += width;
    }
    return after ? after : scan_space(text, length, at);
}

static size_t scan_words(const char *text, size_t length, size_t at, int digits)
{
    size_t width, next;
    enum char_class class = unicode_class(text + at, length - at, &width);
    if (class == CHAR_LETTER)
        return run_of(text, length, at + width, CHAR_LETTER);
    if (class == CHAR_NUMBER) {
        for (int i = 0; i < digits && at < length; i++) {
            if (unicode_class(text + at, length - at, &width) != CHAR_NUMBER)
                break;
            at += width;
        }
        return at;
    }
    size_t short_word = cased_contraction(text + at, length - at);
    if (short_word)
        return at + short_word;
    size_t start = at + width;
    if (start < length && !is_line_end(text[at]) &&
        unicode_class(text + start, length - start, &next) == CHAR_LETTER)
        return run_of(text, length, start + next, CHAR_LETTER);
    if (text[at] == ' ' && start < length &&
        unicode_class(text + start, length - start, &next) == CHAR_OTHER)
        class = CHAR_OTHER;
    if (class == CHAR_OTHER)
        return line_ends(text, length, run_of(text, length, start, CHAR_OTHER));
    return scan_lines(text, length, at);
}

static size_t scan_llama3(const char *text, size_t length, size_t at)
{
    return scan_words(text, length, at, 3);
}

static size_t scan_qwen2(const char *text, size_t length, size_t at)
{
    return scan_words(text, length, at, 1);
}

size_t scan_digit(const char *text, size_t length, size_t at)
{
    size_t width;
    return unicode_class(text + at, length - at, &width) == CHAR_NUMBER ? at + width : at;
}

scan_function *scanner_find(const char *pattern)
{
    if (strcmp(pattern, SPLIT_GPT2) == 0)
        return scan_gpt2;
    if (strcmp(pattern, SPLIT_LLAMA3) == 0)
        return scan_llama3;
    return strcmp(pattern, SPLIT_QWEN2) == 0 ? scan_qwen2 : NULL;
}
