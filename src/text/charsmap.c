/* See charsmap.h. Every step in the trie is checked against its size, so that no file can lead out
 * of it. */
#include "text/charsmap.h"

#include <string.h>
#include <utf8proc.h>

#include "text/unicode.h"

#define GRAPHEME_BYTES 6 /* groups shorter than this are looked up as a whole */

static uint32_t number_at(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

enum status charsmap_open(const void *bytes, size_t length, const char *name, struct charsmap *map,
                          struct error *error)
{
    const unsigned char *data = bytes;
    uint32_t trie = length >= 4 ? number_at(data) : 0;
    if (length < 8 || trie < 4 || trie % 4 != 0 || trie >= length - 4 || data[length - 1] != 0)
        return error_set(error, STATUS_FAILED, "%s: the table of normalization rules is damaged",
                         name);
    *map = (struct charsmap){data + 4, trie / 4, (const char *)data + 4 + trie, length - 4 - trie};
    return STATUS_OK;
}

static uint32_t unit_at(const struct charsmap *map, uint64_t index)
{
    return index < map->unit_count ? number_at(map->units + 4 * index) : 0;
}

static uint32_t offset_of(uint32_t unit)
{
    return (unit >> 10) << ((unit & 0x200) >> 6);
}

/* The replacement of the longest (or the shortest) rule that starts at text[0], with the length of
 * what it replaces; NULL when there is none. */
static const char *find_rule(const struct charsmap *map, bool longest, const char *text,
                             size_t length, size_t *matched)
{
    const char *found = NULL;
    uint64_t node = offset_of(unit_at(map, 0));
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        node ^= byte;
        uint32_t unit = unit_at(map, node);
        if ((unit & 0x800000ff) != byte || node >= map->unit_count)
            break;
        node ^= offset_of(unit);
        if ((unit >> 8 & 1) == 0)
            continue;
        uint32_t at = unit_at(map, node) & 0x7fffffff;
        if (at < map->text_bytes) {
            found = map->texts + at;
            *matched = i + 1;
        }
        if (found && !longest)
            break;
    }
    return found;
}

static void apply_longest(const struct charsmap *map, const char *text, size_t length,
                          struct buffer *out)
{
    for (size_t at = 0; at < length;) {
        size_t width = unicode_width(text + at, length - at), matched;
        const char *rule = find_rule(map, true, text + at, length - at, &matched);
        if (rule) {
            buffer_add_text(out, rule);
            width = matched;
        } else {
            buffer_add(out, text + at, width);
        }
        at += width;
    }
}

/* Characters are seen as one where Unicode allows no break between them. */
static size_t grapheme_end(const char *text, size_t length, size_t at)
{
    uint32_t before, point;
    utf8proc_int32_t state = 0;
    size_t width = unicode_decode(text + at, length - at, &before);
    if (width == 0)
        return at + 1;
    for (at += width; at < length; at += width, before = point) {
        width = unicode_decode(text + at, length - at, &point);
        if (width == 0 || utf8proc_grapheme_break_stateful((utf8proc_int32_t)before,
                                                           (utf8proc_int32_t)point, &state))
            break;
    }
    return at;
}

static void apply_shortest(const struct charsmap *map, const char *text, size_t length,
                           struct buffer *out)
{
    size_t matched;
    for (size_t at = 0; at < length;) {
        size_t end = grapheme_end(text, length, at);
        const char *rule =
            end - at < GRAPHEME_BYTES ? find_rule(map, false, text + at, end - at, &matched) : NULL;
        if (rule) {
            buffer_add_text(out, rule);
            at = end;
        }
        while (at < end) {
            size_t width = unicode_width(text + at, end - at);
            rule = find_rule(map, false, text + at, width, &matched);
            if (rule)
                buffer_add_text(out, rule);
            else
                buffer_add(out, text + at, width);
            at += width;
        }
    }
}

void charsmap_apply(const struct charsmap *map, bool longest, const char *text, size_t length,
                    struct buffer *out)
{
    if (longest)
        apply_longest(map, text, length, out);
    else
        apply_shortest(map, text, length, out);
}
