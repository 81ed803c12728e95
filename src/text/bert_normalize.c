/* BERT's normalizer: control characters go, white space becomes spaces, Chinese characters stand
 * alone, accents go, capitals become small. */
#include <utf8proc.h>

#include "text/normalize_steps.h"
#include "text/unicode.h"

static bool is_control(uint32_t point)
{
    if (point == '\t' || point == '\n' || point == '\r')
        return false;
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
    return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
           category == UTF8PROC_CATEGORY_CO || category == UTF8PROC_CATEGORY_CS;
}

/* The blocks that Hugging Face's tokenizers takes, which differ from Unicode's in one place. */
static bool is_chinese(uint32_t point)
{
    return (point >= 0x4e00 && point <= 0x9fff) || (point >= 0x3400 && point <= 0x4dbf) ||
           (point >= 0x20000 && point <= 0x2a6df) || (point >= 0x2a700 && point <= 0x2b73f) ||
           (point >= 0x2b740 && point <= 0x2b81f) || (point >= 0x2b920 && point <= 0x2ceaf) ||
           (point >= 0xf900 && point <= 0xfaff) || (point >= 0x2f800 && point <= 0x2fa1f);
}

void normalize_bert(const struct bert_rules *rules, const char *text, size_t length,
                    struct buffer *out)
{
    struct buffer clean = {0}, bare = {0};
    for (size_t at = 0; at < length;) {
        uint32_t point;
        size_t width = unicode_decode(text + at, length - at, &point);
        const char *character = text + at;
        at += width ? width : 1;
        if (width == 0)
            point = 0xfffd;
        if (rules->clean && (point == 0 || point == 0xfffd || is_control(point)))
            continue;
        bool chinese = rules->chinese && is_chinese(point);
        if (chinese)
            buffer_add(&clean, " ", 1);
        if (rules->clean && unicode_is_space(point))
            buffer_add(&clean, " ", 1);
        else
            buffer_add(&clean, character, width ? width : 1);
        if (chinese)
            buffer_add(&clean, " ", 1);
    }
    struct buffer *last = &clean;
    if (rules->accents) {
        normalize_form(NORMALIZE_NFD, clean.data, clean.length, out);
        normalize_drop_marks(out->data, out->length, true, &bare);
        last = &bare;
        buffer_clear(out);
    }
    if (rules->lowercase)
        normalize_lowercase(last->data, last->length, out);
    else
        buffer_add(out, last->data, last->length);
    out->failed |= clean.failed | bare.failed;
    buffer_free(&clean);
    buffer_free(&bare);
}
