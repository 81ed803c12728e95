/* A growing byte buffer, for text that is put together and for files read whole. */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stdarg.h>
#include <stddef.h>

#include "base/error.h"

/* Zero-initialize to use. `data` always has a 0 behind `length` once anything was added. The first
 * failed allocation sets `failed`; later calls do nothing, so that it is checked once at the end.
 */
struct buffer {
    char *data;
    size_t length;
    size_t capacity;
    int failed;
};

void buffer_add(struct buffer *buffer, const void *bytes, size_t length);
void buffer_add_text(struct buffer *buffer, const char *text);
void buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Room for `extra` more bytes (and the 0); false when out of memory. */
int buffer_reserve(struct buffer *buffer, size_t extra);
void buffer_clear(struct buffer *buffer); /* keeps the memory */
void buffer_free(struct buffer *buffer);
/* STATUS_NO_MEMORY when any addition failed. */
enum status buffer_check(const struct buffer *buffer, struct error *error);

#endif
