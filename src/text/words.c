/* See words.h. Each byte of the lowered text has two marks, in bit sets; words begin and end where
 * the marks change, so that finding them takes a step for each word instead of one for each byte.
 */
#include "text/words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/cpu.h"
#include "text/unicode.h"

#define BLOCK 64

void words_init(struct words *words)
{
    *words = (struct words){.mark = word_marks_baseline};
#if defined(__x86_64__)
    if (cpu_detect().level >= CPU_AVX2)
        words->mark = word_marks_avx2;
#endif
}

void words_free(struct words *words)
{
    buffer_free(&words->lower);
    free(words->items);
    free(words->marks);
    *words = (struct words){0};
}

/* Lowercasing of the characters beyond ASCII. */

static bool is_cased(uint32_t point)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
    return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
           category == UTF8PROC_CATEGORY_LT;
}

static bool is_case_ignorable(uint32_t point)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
    return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME ||
           category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_LM ||
           category == UTF8PROC_CATEGORY_SK || point == '\'' || point == '.' || point == ':' ||
           point == 0xb7 || point == 0x2019;
}

/* A capital sigma ends a word when a cased letter stands before it and none behind it. */
static bool is_final_sigma(const char *text, size_t length, size_t at)
{
    uint32_t point = 0;
    size_t begin = at;
    bool before = false;
    while (begin > 0) {
        do
            begin--;
        while (begin > 0 && ((unsigned char)text[begin] & 0xc0) == 0x80);
        if (unicode_decode(text + begin, length - begin, &point) == 0 ||
            !is_case_ignorable(point)) {
            before = is_cased(point);
            break;
        }
    }
    size_t end = at + 2;
    while (before && end < length) {
        size_t width = unicode_decode(text + end, length - end, &point);
        if (width == 0)
            break;
        if (!is_case_ignorable(point))
            return !is_cased(point);
        end += width;
    }
    return before;
}

static void add_lower(struct buffer *out, const char *text, size_t length, size_t at,
                      uint32_t point)
{
    char bytes[4];
    if (point == 0x130) { /* capital I with dot: i and a combining dot */
        buffer_add(out, "i\xcc\x87", 3);
        return;
    }
    if (point == 0x3a3)
        point = is_final_sigma(text, length, at) ? 0x3c2 : 0x3c3;
    else
        point = (uint32_t)utf8proc_tolower((utf8proc_int32_t)point);
    buffer_add(out, bytes, unicode_encode(point, bytes));
}

/* Whether a block is ASCII; it is lowered to `out` in any case. */
static bool lower_block(const char *text, char *out)
{
    unsigned char all = 0;
    for (int i = 0; i < BLOCK; i++) {
        unsigned char c = (unsigned char)text[i];
        all |= c;
        out[i] = (char)(c | (c - (unsigned)'A' < 26) << 5);
    }
    return all < 0x80;
}

/* The characters that begin in text[at .. end); where the first one behind begins. */
static size_t lower_characters(const char *text, size_t length, size_t at, size_t end,
                               struct buffer *out)
{
    while (at < end) {
        uint32_t point;
        size_t width = unicode_decode(text + at, length - at, &point);
        if (width == 0)
            buffer_add(out, "\xef\xbf\xbd", 3);
        else
            add_lower(out, text, length, at, point);
        at += width ? width : 1;
    }
    return at;
}

static enum status lower_text(const char *text, size_t length, struct buffer *out,
                              struct error *error)
{
    buffer_clear(out);
    for (size_t at = 0; at < length;) {
        size_t rest = length - at;
        if (rest < BLOCK) {
            at = lower_characters(text, length, at, length, out);
        } else if (buffer_reserve(out, BLOCK) && lower_block(text + at, out->data + out->length)) {
            out->length += BLOCK;
            at += BLOCK;
        } else {
            at = lower_characters(text, length, at, at + BLOCK, out);
        }
    }
    if (buffer_reserve(out, WORDS_PADDING))
        memset(out->data + out->length, ' ', WORDS_PADDING);
    return buffer_check(out, error);
}

/* Marks the characters beyond ASCII, which the blocks' marks leave out. */
static void mark_beyond(struct words *words)
{
    const char *text = words->lower.data;
    size_t length = words->lower.length, width;
    for (size_t at = 0; at < length; at += width) {
        uint64_t eight;
        memcpy(&eight, text + at, sizeof eight);
        width = 8;
        if ((eight & 0x8080808080808080u) == 0)
            continue;
        enum char_class class = unicode_class(text + at, length - at, &width);
        for (size_t i = at; (unsigned char)text[at] >= 0x80 && i < at + width; i++) {
            struct word_marks *marks = &words->marks[i / BLOCK];
            uint64_t bit = (uint64_t)1 << i % BLOCK;
            if (class == CHAR_LETTER || class == CHAR_NUMBER)
                marks->letters |= bit;
            else if (class == CHAR_SPACE)
                marks->spaces |= bit;
        }
    }
}

/* Room for the words that may begin in one block. */
static bool make_room(struct words *words, int64_t begun)
{
    if (words->capacity - begun >= BLOCK)
        return true;
    int64_t capacity = words->capacity * 2 + 16 * BLOCK;
    struct word *grown = realloc(words->items, (size_t)capacity * sizeof *grown);
    if (!grown)
        return false;
    words->items = grown;
    words->capacity = capacity;
    return true;
}

/* A run begins where the marks differ from those of the byte before, unless it is white space, and
 * there ends what was before. The text's padding ends its last word. */
static enum status find_words(struct words *words, size_t blocks, struct error *error)
{
    struct word_marks before = {0, 1}; /* of the last byte, in the lowest bits */
    int64_t begun = words->count = 0;
    for (size_t b = 0; b < blocks; b++) {
        if (!make_room(words, begun))
            return error_no_memory(error, (size_t)begun * 2 * sizeof *words->items);
        struct word_marks at = words->marks[b];
        struct word_marks last = {at.letters << 1 | before.letters, at.spaces << 1 | before.spaces};
        uint64_t edges = (at.letters ^ last.letters) | (at.spaces ^ last.spaces);
        uint32_t offset = (uint32_t)b * BLOCK;
        for (uint64_t begins = edges & ~at.spaces; begins; begins &= begins - 1)
            words->items[begun++].begin = offset + (uint32_t)__builtin_ctzll(begins);
        for (uint64_t ends = edges & ~last.spaces; ends; ends &= ends - 1) {
            struct word *word = &words->items[words->count++];
            word->length = offset + (uint32_t)__builtin_ctzll(ends) - word->begin;
        }
        before = (struct word_marks){at.letters >> (BLOCK - 1), at.spaces >> (BLOCK - 1)};
    }
    return STATUS_OK;
}

enum status words_cut(struct words *words, const char *text, size_t length, struct error *error)
{
    enum status status = lower_text(text, length, &words->lower, error);
    if (status != STATUS_OK)
        return status;
    size_t blocks = words->lower.length / BLOCK + 1; /* the padding's begin with it */
    if (words->lower.length > UINT32_MAX - BLOCK)
        return error_set(error, STATUS_FAILED,
                         "a text of %zu bytes is too long to be cut into words", length);
    if (blocks > words->mark_capacity) {
        struct word_marks *grown = realloc(words->marks, blocks * 2 * sizeof *grown);
        if (!grown)
            return error_no_memory(error, blocks * 2 * sizeof *grown);
        words->marks = grown;
        words->mark_capacity = blocks * 2;
    }
    words->mark(words->lower.data, blocks, words->marks);
    mark_beyond(words);
    return find_words(words, blocks, error);
}
