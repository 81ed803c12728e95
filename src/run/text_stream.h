/* The text of tokens that come one by one, handed on as soon as it may be: whole characters only,
 * and nothing that may yet turn out to be a stop string. */
#ifndef RUN_TEXT_STREAM_H
#define RUN_TEXT_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "text/tokenizer.h"

/* Zero-initialize, set what is above the line; free with text_stream_free. */
struct text_stream {
    const struct tokenizer *tokenizer;
    char *const *stops; /* not empty strings */
    int64_t stop_count;
    bool specials;        /* special tokens have text too */
    const int32_t *shown; /* those that have it all the same */
    int64_t shown_count;
    bool started; /* true when the tokens continue a text */

    struct buffer text;
    size_t told; /* bytes handed on */
    bool stopped;
};
void text_stream_free(struct text_stream *stream);

/* Takes a token; *text and *length receive what may be handed on now, possibly nothing. When a stop
 * string has come, `stopped` is set: what stands before it is handed on, it and the rest dropped.
 */
enum status text_stream_add(struct text_stream *stream, int32_t token, const char **text,
                            size_t *length, struct error *error);
/* What was held back, once no more tokens come. */
void text_stream_finish(struct text_stream *stream, const char **text, size_t *length);

/* Bytes at the end of `text` that begin a character of UTF-8 without completing it. */
size_t text_incomplete(const char *text, size_t length);

#endif
