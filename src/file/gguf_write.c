/* See gguf.h. Writing: header and lists are put together in memory, data are streamed. */
#include <string.h>

#include "file/gguf.h"

#define ALIGNMENT 32

enum status gguf_writer_open(struct gguf_writer *writer, const char *path, struct error *error)
{
    *writer = (struct gguf_writer){0};
    return file_writer_open(&writer->file, path, error);
}

static void put_u32(struct buffer *out, uint32_t value)
{
    buffer_add(out, &value, sizeof value);
}

static void put_u64(struct buffer *out, uint64_t value)
{
    buffer_add(out, &value, sizeof value);
}

static void put_string(struct buffer *out, const char *bytes, size_t length)
{
    put_u64(out, length);
    buffer_add(out, bytes, length);
}

static void put_key(struct gguf_writer *writer, const char *key, enum gguf_type type)
{
    put_string(&writer->keys, key, strlen(key));
    put_u32(&writer->keys, type);
    writer->key_count++;
}

void gguf_put_u32(struct gguf_writer *writer, const char *key, uint32_t value)
{
    put_key(writer, key, GGUF_U32);
    put_u32(&writer->keys, value);
}

void gguf_put_f32(struct gguf_writer *writer, const char *key, float value)
{
    put_key(writer, key, GGUF_F32);
    buffer_add(&writer->keys, &value, sizeof value);
}

void gguf_put_bool(struct gguf_writer *writer, const char *key, bool value)
{
    put_key(writer, key, GGUF_BOOL);
    uint8_t byte = value;
    buffer_add(&writer->keys, &byte, 1);
}

void gguf_put_text(struct gguf_writer *writer, const char *key, const char *value)
{
    put_key(writer, key, GGUF_STRING);
    put_string(&writer->keys, value, strlen(value));
}

void gguf_put_array(struct gguf_writer *writer, const char *key, enum gguf_type type,
                    uint64_t count)
{
    put_key(writer, key, GGUF_ARRAY);
    put_u32(&writer->keys, type);
    put_u64(&writer->keys, count);
}

void gguf_item_text(struct gguf_writer *writer, const char *bytes, size_t length)
{
    put_string(&writer->keys, bytes, length);
}

void gguf_item_i32(struct gguf_writer *writer, int32_t value)
{
    buffer_add(&writer->keys, &value, sizeof value);
}

void gguf_put_tensor(struct gguf_writer *writer, const char *name, int rank, const int64_t *shape,
                     const struct weight_format *format)
{
    uint64_t blocks = 1;
    put_string(&writer->tensors, name, strlen(name));
    put_u32(&writer->tensors, (uint32_t)rank);
    for (int i = rank - 1; i >= 0; i--) {
        put_u64(&writer->tensors, (uint64_t)shape[i]);
        blocks *= (uint64_t)shape[i];
    }
    put_u32(&writer->tensors, (uint32_t)format->gguf_type);
    put_u64(&writer->tensors, writer->offset);
    uint64_t bytes = blocks / (uint64_t)format->block * format->block_bytes;
    writer->offset += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    writer->tensor_count++;
}

static void pad(struct gguf_writer *writer, uint64_t position)
{
    const char zeros[ALIGNMENT] = {0};
    fwrite(zeros, 1, (ALIGNMENT - position % ALIGNMENT) % ALIGNMENT, writer->file.stream);
}

void gguf_writer_begin_data(struct gguf_writer *writer)
{
    struct buffer head = {0};
    buffer_add(&head, "GGUF", 4);
    put_u32(&head, 3);
    put_u64(&head, writer->tensor_count);
    put_u64(&head, writer->key_count);
    fwrite(head.data, 1, head.length, writer->file.stream);
    if (writer->keys.length)
        fwrite(writer->keys.data, 1, writer->keys.length, writer->file.stream);
    if (writer->tensors.length)
        fwrite(writer->tensors.data, 1, writer->tensors.length, writer->file.stream);
    pad(writer, head.length + writer->keys.length + writer->tensors.length);
    writer->keys.failed |= head.failed;
    buffer_free(&head);
}

void gguf_write_data(struct gguf_writer *writer, const void *data, size_t bytes)
{
    fwrite(data, 1, bytes, writer->file.stream);
    writer->written += bytes;
}

void gguf_end_tensor(struct gguf_writer *writer)
{
    pad(writer, writer->written);
    writer->written = 0;
}

enum status gguf_writer_close(struct gguf_writer *writer, struct error *error)
{
    enum status status = buffer_check(&writer->keys, error);
    if (status == STATUS_OK)
        status = buffer_check(&writer->tensors, error);
    if (status != STATUS_OK) {
        gguf_writer_abort(writer);
        return status;
    }
    buffer_free(&writer->keys);
    buffer_free(&writer->tensors);
    return file_writer_commit(&writer->file, error);
}

void gguf_writer_abort(struct gguf_writer *writer)
{
    buffer_free(&writer->keys);
    buffer_free(&writer->tensors);
    file_writer_abort(&writer->file);
}
