/* Bytes from a file, plain, gzip or zstd by its first bytes, through a window of fixed size. */
#ifndef DATA_STREAM_H
#define DATA_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

struct stream;

/* "-" is standard input, plain or gzip. */
enum status stream_open(const char *path, struct stream **stream, struct error *error);
void stream_close(struct stream *stream);

/* Appends up to `count` bytes; fewer only at the end of the file (*ended). */
enum status stream_read(struct stream *stream, size_t count, struct buffer *out, bool *ended,
                        struct error *error);

/* Appends the next line without its end. A line of more than `limit` bytes is skipped and *length
 * set to SIZE_MAX; *ended when there was no further line. */
enum status stream_line(struct stream *stream, size_t limit, struct buffer *out, size_t *length,
                        bool *ended, struct error *error);

#endif
