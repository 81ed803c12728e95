/* See unicode.h. */
#include "text/unicode.h"

#include <string.h>
#include <utf8proc.h>

size_t unicode_decode(const char *text, size_t length, uint32_t *point)
{
    unsigned char first = (unsigned char)text[0];
    if (first < 0x80) {
        *point = first;
        return 1;
    }
    utf8proc_int32_t code;
    utf8proc_ssize_t limit = length < 4 ? (utf8proc_ssize_t)length : 4;
    utf8proc_ssize_t width = utf8proc_iterate((const utf8proc_uint8_t *)text, limit, &code);
    if (width <= 0)
        return 0;
    *point = (uint32_t)code;
    return (size_t)width;
}

size_t unicode_encode(uint32_t point, char bytes[4])
{
    return (size_t)utf8proc_encode_char((utf8proc_int32_t)point, (utf8proc_uint8_t *)bytes);
}

static enum char_class wide_class(uint32_t point)
{
    switch (utf8proc_category((utf8proc_int32_t)point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return CHAR_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return CHAR_NUMBER;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return CHAR_SPACE;
    default:
        return point == 0x85 ? CHAR_SPACE : CHAR_OTHER;
    }
}

enum char_class unicode_class(const char *text, size_t length, size_t *width)
{
    unsigned char first = (unsigned char)text[0];
    *width = 1;
    if (first < 0x80) {
        if ((first | 0x20) >= 'a' && (first | 0x20) <= 'z')
            return CHAR_LETTER;
        if (first >= '0' && first <= '9')
            return CHAR_NUMBER;
        return first == ' ' || (first >= 9 && first <= 13) ? CHAR_SPACE : CHAR_OTHER;
    }
    uint32_t point;
    size_t bytes = unicode_decode(text, length, &point);
    if (bytes == 0)
        return CHAR_OTHER;
    *width = bytes;
    return wide_class(point);
}

size_t unicode_width(const char *text, size_t length)
{
    uint32_t point;
    size_t width = unicode_decode(text, length, &point);
    return width ? width : 1;
}

bool unicode_is_space(uint32_t point)
{
    if (point < 0x80)
        return point == ' ' || (point >= 9 && point <= 13);
    return wide_class(point) == CHAR_SPACE;
}

bool unicode_is_word(uint32_t point)
{
    switch (utf8proc_category((utf8proc_int32_t)point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return point == 0x200c || point == 0x200d;
    }
}

void unicode_mark_spaces(const char *text, size_t length, struct buffer *out)
{
    for (size_t at = 0; at < length;) {
        const char *space = memchr(text + at, ' ', length - at);
        size_t end = space ? (size_t)(space - text) : length;
        buffer_add(out, text + at, end - at);
        if (space)
            buffer_add_text(out, UNICODE_SPACE_MARK);
        at = end + 1;
    }
}

void unicode_unmark_spaces(const char *text, size_t length, struct buffer *out)
{
    const char *mark = UNICODE_SPACE_MARK;
    size_t width = strlen(mark);
    for (size_t at = 0; at < length;) {
        const char *found = memmem(text + at, length - at, mark, width);
        size_t end = found ? (size_t)(found - text) : length;
        buffer_add(out, text + at, end - at);
        if (found)
            buffer_add(out, " ", 1);
        at = found ? end + width : length;
    }
}

/* Printable Latin-1 bytes stand for themselves; the other 68, in order, for U+0100 and on. */
static int stands_for_itself(int byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

uint32_t unicode_of_byte(unsigned char byte)
{
    if (stands_for_itself(byte))
        return byte;
    if (byte <= 32)
        return 256u + byte;
    return byte == 173 ? 256u + 67 : 256u + 33 + (byte - 127u);
}

int unicode_to_byte(uint32_t point)
{
    if (point < 256)
        return stands_for_itself((int)point) ? (int)point : -1;
    if (point <= 256 + 32)
        return (int)point - 256;
    if (point <= 256 + 66)
        return (int)point - 256 - 33 + 127;
    return point == 256 + 67 ? 173 : -1;
}

bool unicode_add_bytes(const char *text, size_t length, struct buffer *bytes)
{
    for (size_t at = 0; at < length;) {
        uint32_t point;
        size_t width = unicode_decode(text + at, length - at, &point);
        int byte = width ? unicode_to_byte(point) : -1;
        if (byte < 0)
            return false;
        char c = (char)byte;
        buffer_add(bytes, &c, 1);
        at += width;
    }
    return true;
}
