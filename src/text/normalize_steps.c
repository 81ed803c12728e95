/* See normalize_steps.h. */
#include "text/normalize_steps.h"

#include <stdlib.h>
#include <utf8proc.h>

#include "text/unicode.h"

/* Characters brought into form in one go: cut at the first good place, or anywhere. */
#define RUN_LEAST 32
#define RUN_MOST 128

/* Whether nothing before this character ever joins it or changes place with it, in any form. */
static bool starts_afresh(uint32_t point)
{
    if (point < 0x300)
        return true;
    const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)point);
    bool jamo = (point >= 0x1160 && point <= 0x11ff) || (point >= 0x3130 && point <= 0x318f) ||
                (point >= 0xff00 && point <= 0xffef);
    return property->combining_class == 0 && !jamo && property->category != UTF8PROC_CATEGORY_MN &&
           property->category != UTF8PROC_CATEGORY_MC;
}

/* Valid UTF-8, at most RUN_MOST characters: reordering marks takes quadratic time. */
static void form_of_run(utf8proc_option_t options, const char *text, size_t length,
                        struct buffer *out)
{
    utf8proc_uint8_t *result = NULL;
    utf8proc_ssize_t bytes =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length, &result, options);
    if (bytes >= 0)
        buffer_add(out, result, (size_t)bytes);
    else
        out->failed = 1;
    free(result);
}

/* End of the stretch from `at` that is brought into form in one go. */
static size_t run_end(const char *text, size_t length, size_t at)
{
    uint32_t point;
    for (int characters = 0; at < length; characters++) {
        size_t width = unicode_decode(text + at, length - at, &point);
        if (width == 0 || characters >= RUN_MOST ||
            (characters > 0 && (point < 0x80 || characters >= RUN_LEAST) && starts_afresh(point)))
            return at;
        at += width;
    }
    return at;
}

void normalize_form(enum normalize_form form, const char *text, size_t length, struct buffer *out)
{
    utf8proc_option_t options = UTF8PROC_STABLE;
    options |=
        form == NORMALIZE_NFC || form == NORMALIZE_NFKC ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
    if (form == NORMALIZE_NFKC || form == NORMALIZE_NFKD)
        options |= UTF8PROC_COMPAT;
    for (size_t at = 0; at < length;) {
        size_t end = at;
        while (end < length && (unsigned char)text[end] < 0x80)
            end++; /* every form leaves ASCII as it is */
        if (end > at && end < length)
            end--; /* but the last one may take a mark */
        buffer_add(out, text + at, end - at);
        at = end;
        if (at < length) {
            end = run_end(text, length, at);
            if (end > at)
                form_of_run(options, text + at, end - at, out);
            else
                buffer_add(out, text + end++, 1);
            at = end;
        }
    }
}

static void add_point(uint32_t point, struct buffer *out)
{
    char bytes[4];
    buffer_add(out, bytes, unicode_encode(point, bytes));
}

void normalize_lowercase(const char *text, size_t length, struct buffer *out)
{
    for (size_t at = 0; at < length;) {
        uint32_t point;
        size_t width = unicode_decode(text + at, length - at, &point);
        if (width == 0)
            buffer_add(out, text + at, 1);
        else if (point == 0x130) /* the only one that becomes two */
            buffer_add(out, "i\xcc\x87", 3);
        else
            add_point((uint32_t)utf8proc_tolower((utf8proc_int32_t)point), out);
        at += width ? width : 1;
    }
}

void normalize_drop_marks(const char *text, size_t length, bool nonspacing, struct buffer *out)
{
    for (size_t at = 0; at < length;) {
        uint32_t point;
        size_t width = unicode_decode(text + at, length - at, &point), bytes = width ? width : 1;
        utf8proc_category_t category =
            width ? utf8proc_category((utf8proc_int32_t)point) : UTF8PROC_CATEGORY_CN;
        bool mark =
            category == UTF8PROC_CATEGORY_MN ||
            (!nonspacing && (category == UTF8PROC_CATEGORY_MC || category == UTF8PROC_CATEGORY_ME));
        if (!mark)
            buffer_add(out, text + at, bytes);
        at += bytes;
    }
}

void normalize_strip(const char *text, size_t length, bool left, bool right, struct buffer *out)
{
    size_t begin = 0, end = length, width = 1;
    while (left && begin < end && unicode_class(text + begin, end - begin, &width) == CHAR_SPACE)
        begin += width;
    size_t last = begin; /* end of the last character that is no white space */
    for (size_t at = begin; right && at < end; at += width)
        if (unicode_class(text + at, end - at, &width) != CHAR_SPACE)
            last = at + width;
    buffer_add(out, text + begin, (right ? last : end) - begin);
}

void normalize_nmt(const char *text, size_t length, struct buffer *out)
{
    for (size_t at = 0; at < length;) {
        uint32_t p;
        size_t width = unicode_decode(text + at, length - at, &p), bytes = width ? width : 1;
        bool gone = width && ((p >= 1 && p <= 8) || p == 0xb || (p >= 0xe && p <= 0x1f) ||
                              p == 0x7f || p == 0x8f || p == 0x9f);
        bool space = width && (p == 9 || p == 10 || p == 12 || p == 13 || p == 0x1680 ||
                               (p >= 0x200b && p <= 0x200f) || p == 0x2028 || p == 0x2029 ||
                               p == 0x2581 || p == 0xfeff || p == 0xfffd);
        if (space)
            buffer_add(out, " ", 1);
        else if (!gone)
            buffer_add(out, text + at, bytes);
        at += bytes;
    }
}
