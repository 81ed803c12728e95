/* See text_stream.h. */
#include "run/text_stream.h"

#include <string.h>

void text_stream_free(struct text_stream *stream)
{
    buffer_free(&stream->text);
}

size_t text_incomplete(const char *text, size_t length)
{
    for (size_t back = 1; back <= 3 && back <= length; back++) {
        unsigned char byte = (unsigned char)text[length - back];
        if (byte < 0x80)
            return 0;
        if (byte >= 0xc0) {
            size_t needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
            return needs > back && byte < 0xf8 ? back : 0;
        }
    }
    return 0;
}

/* Bytes at the end of the text that are the beginning of a stop string. */
static size_t begun_stop(const struct text_stream *s)
{
    size_t most = 0, left = s->text.length - s->told;
    for (int64_t i = 0; i < s->stop_count; i++) {
        size_t length = strlen(s->stops[i]), part = length - 1 < left ? length - 1 : left;
        for (; part > most; part--)
            if (memcmp(s->text.data + s->text.length - part, s->stops[i], part) == 0) {
                most = part;
                break;
            }
    }
    return most;
}

/* Where the first stop string begins in what has not been handed on; SIZE_MAX: nowhere. */
static size_t find_stop(const struct text_stream *s)
{
    size_t first = SIZE_MAX;
    for (int64_t i = 0; i < s->stop_count; i++) {
        const char *at = memmem(s->text.data + s->told, s->text.length - s->told, s->stops[i],
                                strlen(s->stops[i]));
        if (at && (size_t)(at - s->text.data) < first)
            first = (size_t)(at - s->text.data);
    }
    return first;
}

static void hand_on(struct text_stream *s, size_t end, const char **text, size_t *length)
{
    *text = s->text.data ? s->text.data + s->told : "";
    *length = end - s->told;
    s->told = end;
}

enum status text_stream_add(struct text_stream *s, int32_t token, const char **text, size_t *length,
                            struct error *error)
{
    *text = "";
    *length = 0;
    bool shown = s->specials;
    for (int64_t i = 0; i < s->shown_count; i++)
        shown |= s->shown[i] == token;
    tok_decode_next(s->tokenizer, &token, 1, shown, &s->started, &s->text);
    enum status status = buffer_check(&s->text, error);
    if (status != STATUS_OK || s->text.length == s->told)
        return status;
    size_t stop = find_stop(s);
    if (stop != SIZE_MAX) {
        s->stopped = true;
        s->text.length = stop;
        hand_on(s, stop, text, length);
        return STATUS_OK;
    }
    size_t held = begun_stop(s);
    size_t cut = text_incomplete(s->text.data + s->told, s->text.length - s->told);
    hand_on(s, s->text.length - (held > cut ? held : cut), text, length);
    return STATUS_OK;
}

void text_stream_finish(struct text_stream *s, const char **text, size_t *length)
{
    hand_on(s, s->text.length, text, length);
}
