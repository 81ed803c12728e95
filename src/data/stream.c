/* See stream.h. zlib reads plain files as well as gzip ones, concatenated members included. */
#include "data/stream.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define WINDOW ((size_t)1 << 18)

struct stream {
    char *path;
    gzFile gzip; /* plain and gzip */
    FILE *file;  /* zstd */
    ZSTD_DStream *zstd;
    unsigned char *packed; /* zstd input */
    ZSTD_inBuffer input;
    size_t frame; /* what the decoder still expects; 0 between frames */
    char *window;
    size_t begin, end;
    bool ended;
};

static bool is_zstd(const char *path)
{
    unsigned char start[4];
    FILE *file = fopen(path, "rb");
    bool result =
        file && fread(start, 1, 4, file) == 4 && memcmp(start, "\x28\xb5\x2f\xfd", 4) == 0;
    if (file)
        fclose(file);
    return result;
}

enum status stream_open(const char *path, struct stream **result, struct error *error)
{
    *result = NULL;
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream || !(stream->path = strdup(path)) || !(stream->window = malloc(WINDOW))) {
        stream_close(stream);
        return error_no_memory(error, WINDOW);
    }
    errno = 0;
    if (strcmp(path, "-") == 0) {
        int input = dup(STDIN_FILENO);
        stream->gzip = input >= 0 ? gzdopen(input, "rb") : NULL;
        if (!stream->gzip && input >= 0)
            close(input);
    } else if (is_zstd(path)) {
        stream->file = fopen(path, "rb");
        stream->zstd = ZSTD_createDStream();
        stream->packed = malloc(WINDOW);
    } else {
        stream->gzip = gzopen(path, "rb");
    }
    if (stream->gzip)
        gzbuffer(stream->gzip, WINDOW);
    if ((stream->file && (!stream->zstd || !stream->packed)) || (!stream->file && !stream->gzip)) {
        int number = errno ? errno : ENOMEM;
        stream_close(stream);
        return error_set_errno(error, number, "%s", path);
    }
    *result = stream;
    return STATUS_OK;
}

void stream_close(struct stream *stream)
{
    if (!stream)
        return;
    if (stream->gzip)
        gzclose(stream->gzip);
    if (stream->file)
        fclose(stream->file);
    ZSTD_freeDStream(stream->zstd);
    free(stream->packed);
    free(stream->window);
    free(stream->path);
    free(stream);
}

static enum status fill_zstd(struct stream *stream, struct error *error)
{
    ZSTD_outBuffer output = {stream->window, WINDOW, 0};
    while (output.pos == 0) {
        if (stream->input.pos == stream->input.size) {
            stream->input = (ZSTD_inBuffer){stream->packed, 0, 0};
            stream->input.size = fread(stream->packed, 1, WINDOW, stream->file);
            if (ferror(stream->file))
                return error_set_errno(error, errno, "%s", stream->path);
            if (stream->input.size == 0) {
                stream->ended = true;
                if (stream->frame == 0)
                    return STATUS_OK;
                return error_set(error, STATUS_FAILED, "%s: truncated zstd data", stream->path);
            }
        }
        stream->frame = ZSTD_decompressStream(stream->zstd, &output, &stream->input);
        if (ZSTD_isError(stream->frame)) {
            stream->ended = true;
            return error_set(error, STATUS_FAILED, "%s: broken zstd data: %s", stream->path,
                             ZSTD_getErrorName(stream->frame));
        }
    }
    stream->end = output.pos;
    return STATUS_OK;
}

static enum status fill_gzip(struct stream *stream, struct error *error)
{
    int count = gzread(stream->gzip, stream->window, (unsigned)WINDOW), number = Z_OK;
    if (count > 0) {
        stream->end = (size_t)count;
        return STATUS_OK;
    }
    stream->ended = true;
    const char *message = gzerror(stream->gzip, &number);
    if (number == Z_ERRNO)
        return error_set_errno(error, errno, "%s", stream->path);
    if (number == Z_BUF_ERROR)
        return error_set(error, STATUS_FAILED, "%s: truncated gzip data", stream->path);
    if (number != Z_OK && number != Z_STREAM_END)
        return error_set(error, STATUS_FAILED, "%s: broken gzip data: %s", stream->path, message);
    return STATUS_OK;
}

/* Makes the window non-empty unless the end is reached. */
static enum status fill(struct stream *stream, struct error *error)
{
    if (stream->begin < stream->end || stream->ended)
        return STATUS_OK;
    stream->begin = stream->end = 0;
    return stream->file ? fill_zstd(stream, error) : fill_gzip(stream, error);
}

enum status stream_read(struct stream *stream, size_t count, struct buffer *out, bool *ended,
                        struct error *error)
{
    *ended = false;
    while (count > 0) {
        enum status status = fill(stream, error);
        if (status != STATUS_OK)
            return status;
        size_t part = stream->end - stream->begin;
        if (part == 0) {
            *ended = true;
            break;
        }
        part = part < count ? part : count;
        buffer_add(out, stream->window + stream->begin, part);
        stream->begin += part;
        count -= part;
    }
    return buffer_check(out, error);
}

enum status stream_line(struct stream *stream, size_t limit, struct buffer *out, size_t *length,
                        bool *ended, struct error *error)
{
    size_t start = out->length;
    bool any = false, too_long = false;
    *ended = false;
    for (;;) {
        enum status status = fill(stream, error);
        if (status != STATUS_OK)
            return status;
        size_t part = stream->end - stream->begin;
        if (part == 0) {
            *ended = !any;
            break;
        }
        any = true;
        const char *from = stream->window + stream->begin, *stop = memchr(from, '\n', part);
        size_t take = stop ? (size_t)(stop - from) : part;
        too_long = too_long || out->length - start + take > limit;
        if (!too_long)
            buffer_add(out, from, take);
        stream->begin += take + (stop ? 1 : 0);
        if (stop)
            break;
    }
    if (too_long)
        out->length = start;
    else if (out->length > start && out->data[out->length - 1] == '\r')
        out->length--;
    *length = too_long ? SIZE_MAX : out->length - start;
    return buffer_check(out, error);
}
