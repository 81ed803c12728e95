/* See gguf.h. Reading. */
#include "file/gguf.h"

#include <stdlib.h>
#include <string.h>

#define KEYS_MOST ((uint64_t)1 << 20)
#define TENSORS_MOST ((uint64_t)1 << 20)

static const size_t type_bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/* A place in the mapping; `failed` once something did not fit. */
struct cursor {
    const unsigned char *data;
    uint64_t length, at;
    bool failed;
};

static const unsigned char *take(struct cursor *c, uint64_t bytes)
{
    if (c->failed || bytes > c->length - c->at) {
        c->failed = true;
        return NULL;
    }
    const unsigned char *result = c->data + c->at;
    c->at += bytes;
    return result;
}

static uint32_t take_u32(struct cursor *c)
{
    uint32_t value = 0;
    const unsigned char *from = take(c, sizeof value);
    if (from)
        memcpy(&value, from, sizeof value);
    return value;
}

static uint64_t take_u64(struct cursor *c)
{
    uint64_t value = 0;
    const unsigned char *from = take(c, sizeof value);
    if (from)
        memcpy(&value, from, sizeof value);
    return value;
}

static struct gguf_string take_string(struct cursor *c)
{
    struct gguf_string text = {0};
    text.length = take_u64(c);
    text.bytes = (const char *)take(c, text.length);
    return text;
}

static enum status damaged(const struct gguf *file, const struct cursor *c, const char *what,
                           struct error *error)
{
    return error_set(error, STATUS_FAILED, "%s: damaged GGUF at byte %llu: %s", file->path,
                     (unsigned long long)c->at, what);
}

static enum status read_array(struct gguf *file, struct cursor *c, struct gguf_value *value,
                              struct error *error)
{
    value->item_type = (enum gguf_type)take_u32(c);
    value->count = take_u64(c);
    if (c->failed || value->item_type > GGUF_F64 || value->item_type == GGUF_ARRAY)
        return damaged(file, c, "an array of an unknown type", error);
    if (value->item_type != GGUF_STRING) {
        uint64_t bytes;
        if (__builtin_mul_overflow(value->count, type_bytes[value->item_type], &bytes))
            return damaged(file, c, "an array that is too long", error);
        value->data = take(c, bytes);
        return c->failed ? damaged(file, c, "an array longer than the file", error) : STATUS_OK;
    }
    if (value->count > (c->length - c->at) / 8)
        return damaged(file, c, "an array longer than the file", error);
    value->strings = arena_calloc(&file->arena, value->count + 1, sizeof *value->strings);
    if (!value->strings)
        return error_no_memory(error, value->count * sizeof *value->strings);
    for (uint64_t i = 0; i < value->count; i++)
        value->strings[i] = take_string(c);
    return c->failed ? damaged(file, c, "a text longer than the file", error) : STATUS_OK;
}

static enum status read_keys(struct gguf *file, struct cursor *c, struct error *error)
{
    file->values = arena_calloc(&file->arena, (size_t)file->key_count + 1, sizeof *file->values);
    if (!file->values)
        return error_no_memory(error, (size_t)file->key_count * sizeof *file->values);
    for (int64_t i = 0; i < file->key_count; i++) {
        struct gguf_string key = take_string(c);
        struct gguf_value *value = &file->values[i];
        value->type = (enum gguf_type)take_u32(c);
        if (c->failed || value->type > GGUF_F64)
            return damaged(file, c, "a key of an unknown type", error);
        enum status status = STATUS_OK;
        if (value->type == GGUF_ARRAY) {
            status = read_array(file, c, value, error);
        } else if (value->type == GGUF_STRING) {
            value->strings = arena_calloc(&file->arena, 1, sizeof *value->strings);
            if (!value->strings)
                return error_no_memory(error, sizeof *value->strings);
            value->strings[0] = take_string(c);
            value->count = 1;
        } else {
            value->data = take(c, type_bytes[value->type]);
        }
        if (status == STATUS_OK && c->failed)
            status = damaged(file, c, "a value longer than the file", error);
        if (status == STATUS_OK && table_find(&file->keys, key.bytes, key.length))
            status = damaged(file, c, "two values for the same key", error);
        if (status == STATUS_OK && !table_put(&file->keys, key.bytes, key.length, i))
            status = error_no_memory(error, key.length);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status read_tensor(struct gguf *file, struct cursor *c, struct gguf_tensor *tensor,
                               uint64_t *offset, struct error *error)
{
    struct gguf_string name = take_string(c);
    uint32_t rank = take_u32(c);
    if (c->failed || rank > GGUF_RANK)
        return damaged(file, c, "a tensor of unknown rank", error);
    tensor->rank = (int)rank;
    uint64_t count = 1;
    for (uint32_t i = 0; i < GGUF_RANK; i++) {
        uint64_t axis = i < rank ? take_u64(c) : 1;
        if (axis > INT64_MAX || __builtin_mul_overflow(count, axis, &count))
            return damaged(file, c, "a tensor that is too large", error);
        tensor->shape[i] = (int64_t)axis;
    }
    tensor->type = (int32_t)take_u32(c);
    *offset = take_u64(c);
    if (c->failed)
        return damaged(file, c, "cut off in the list of tensors", error);
    tensor->format = weight_format_by_gguf_type(tensor->type);
    if (tensor->format) {
        uint64_t block = (uint64_t)tensor->format->block;
        if ((uint64_t)tensor->shape[0] % block != 0)
            return damaged(file, c, "a row that is no whole number of blocks", error);
        uint64_t bytes;
        if (__builtin_mul_overflow(count / block, tensor->format->block_bytes, &bytes))
            return damaged(file, c, "a tensor that is too large", error);
        tensor->bytes = bytes;
    }
    if (table_find(&file->names, name.bytes, name.length))
        return damaged(file, c, "two tensors of the same name", error);
    if (!table_put(&file->names, name.bytes, name.length, tensor - file->tensors))
        return error_no_memory(error, name.length);
    tensor->name = file->names.entries[file->names.count - 1].key;
    return STATUS_OK;
}

static enum status read_tensors(struct gguf *file, struct cursor *c, struct error *error)
{
    size_t count = (size_t)file->tensor_count;
    file->tensors = arena_calloc(&file->arena, count + 1, sizeof *file->tensors);
    uint64_t *offsets = arena_calloc(&file->arena, count + 1, sizeof *offsets);
    if (!file->tensors || !offsets)
        return error_no_memory(error, count * sizeof *file->tensors);
    for (size_t i = 0; i < count; i++) {
        enum status status = read_tensor(file, c, &file->tensors[i], &offsets[i], error);
        if (status != STATUS_OK)
            return status;
    }
    uint64_t base = (c->at + file->alignment - 1) / file->alignment * file->alignment;
    for (size_t i = 0; i < count; i++) {
        struct gguf_tensor *tensor = &file->tensors[i];
        uint64_t room = base <= c->length ? c->length - base : 0;
        if (offsets[i] % file->alignment != 0 || offsets[i] > room ||
            tensor->bytes > room - offsets[i])
            return error_set(error, STATUS_FAILED,
                             "%s: damaged GGUF: the data of tensor '%.80s' lie outside the file",
                             file->path, tensor->name);
        tensor->data = file->map.data + base + offsets[i];
    }
    return STATUS_OK;
}

static enum status read_file(struct gguf *file, struct error *error)
{
    struct cursor c = {file->map.data, file->map.length, 0, false};
    const unsigned char *magic = take(&c, 4);
    if (!magic || memcmp(magic, "GGUF", 4) != 0)
        return error_set(error, STATUS_FAILED, "%s: not a GGUF file", file->path);
    uint32_t version = take_u32(&c);
    uint64_t tensors = take_u64(&c), keys = take_u64(&c);
    if (!c.failed && version != 2 && version != 3)
        return error_set(error, STATUS_FAILED, "%s: GGUF version %u is not supported", file->path,
                         version);
    if (c.failed || tensors > TENSORS_MOST || keys > KEYS_MOST ||
        (tensors + keys) * 12 > file->map.length)
        return damaged(file, &c, "more keys or tensors than the file can hold", error);
    file->tensor_count = (int64_t)tensors;
    file->key_count = (int64_t)keys;
    enum status status = read_keys(file, &c, error);
    if (status != STATUS_OK)
        return status;
    int64_t alignment = 32;
    gguf_get_int(file, "general.alignment", &alignment);
    if (alignment < 1 || alignment > 1 << 20 || (alignment & (alignment - 1)) != 0)
        return damaged(file, &c, "an alignment that is no power of two", error);
    file->alignment = (uint64_t)alignment;
    return read_tensors(file, &c, error);
}

enum status gguf_open(const char *path, struct gguf *file, struct error *error)
{
    *file = (struct gguf){.path = strdup(path)};
    if (!file->path)
        return error_no_memory(error, strlen(path));
    enum status status = file_map_open(path, &file->map, error);
    if (status == STATUS_OK)
        status = read_file(file, error);
    if (status != STATUS_OK)
        gguf_close(file);
    return status;
}

void gguf_close(struct gguf *file)
{
    file_map_close(&file->map);
    table_free(&file->keys);
    table_free(&file->names);
    arena_free(&file->arena);
    free(file->path);
    *file = (struct gguf){0};
}

const struct gguf_value *gguf_find(const struct gguf *file, const char *key)
{
    const int64_t *index = table_find(&file->keys, key, strlen(key));
    return index ? &file->values[*index] : NULL;
}

const struct gguf_tensor *gguf_tensor_find(const struct gguf *file, const char *name)
{
    const int64_t *index = table_find(&file->names, name, strlen(name));
    return index ? &file->tensors[*index] : NULL;
}

/* The number at `data`, of which integers keep all their bits in *whole. */
static bool read_number(enum gguf_type type, const unsigned char *data, int64_t *whole,
                        double *real)
{
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        int64_t i64;
        float f32;
        double f64;
    } value;
    if (type > GGUF_F64 || type_bytes[type] == 0)
        return false;
    memcpy(&value, data, type_bytes[type]);
    *whole = 0;
    switch (type) {
    case GGUF_F32:
        *real = (double)value.f32;
        return true;
    case GGUF_F64:
        *real = value.f64;
        return true;
    case GGUF_U8:
    case GGUF_BOOL:
        *whole = value.u8;
        break;
    case GGUF_I8:
        *whole = (int64_t)value.i8;
        break;
    case GGUF_U16:
        *whole = value.u16;
        break;
    case GGUF_I16:
        *whole = value.i16;
        break;
    case GGUF_U32:
        *whole = value.u32;
        break;
    case GGUF_I32:
        *whole = value.i32;
        break;
    default:
        *whole = value.i64;
    }
    *real = (double)*whole;
    return true;
}

bool gguf_get_int(const struct gguf *file, const char *key, int64_t *result)
{
    const struct gguf_value *value = gguf_find(file, key);
    double real;
    int64_t whole;
    if (!value || value->type == GGUF_F32 || value->type == GGUF_F64 || !value->data ||
        value->type == GGUF_ARRAY || !read_number(value->type, value->data, &whole, &real))
        return false;
    *result = whole;
    return true;
}

bool gguf_get_real(const struct gguf *file, const char *key, double *result)
{
    const struct gguf_value *value = gguf_find(file, key);
    int64_t whole;
    return value && value->data && value->type != GGUF_ARRAY &&
           read_number(value->type, value->data, &whole, result);
}

bool gguf_get_bool(const struct gguf *file, const char *key, bool *result)
{
    int64_t whole;
    const struct gguf_value *value = gguf_find(file, key);
    if (!value || value->type != GGUF_BOOL || !gguf_get_int(file, key, &whole))
        return false;
    *result = whole != 0;
    return true;
}

const char *gguf_get_text(struct gguf *file, const char *key)
{
    const struct gguf_value *value = gguf_find(file, key);
    if (!value || value->type != GGUF_STRING)
        return NULL;
    return arena_strndup(&file->arena, value->strings[0].bytes, value->strings[0].length);
}

double gguf_array_item(const struct gguf_value *array, uint64_t index)
{
    int64_t whole;
    double real = 0;
    if (array->type == GGUF_ARRAY && index < array->count && array->item_type != GGUF_STRING)
        read_number(array->item_type, array->data + index * type_bytes[array->item_type], &whole,
                    &real);
    return real;
}
