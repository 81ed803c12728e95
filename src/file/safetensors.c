/* See safetensors.h. */
#include "file/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "weight/formats.h"

#define HEADER_LIMIT ((uint64_t)256 << 20)

static const struct {
    const char *type;
    size_t bytes;
    const struct weight_format *format;
} types[] = {
    {"F32", 4, &weight_f32}, {"F16", 2, &weight_f16}, {"BF16", 2, &weight_bf16}, {"F64", 8, NULL},
    {"I64", 8, NULL},        {"I32", 4, NULL},        {"I16", 2, NULL},          {"I8", 1, NULL},
    {"U8", 1, NULL},         {"BOOL", 1, NULL},       {"U16", 2, NULL},          {"U32", 4, NULL},
    {"U64", 8, NULL},
};
#define TYPE_COUNT (sizeof types / sizeof *types)

void safetensors_close(struct safetensors *file)
{
    file_map_close(&file->map);
    table_free(&file->names);
    json_decref(file->metadata);
    free(file->entries);
    free(file->path);
    *file = (struct safetensors){0};
}

const struct safetensors_entry *safetensors_find(const struct safetensors *file, const char *name)
{
    const int64_t *index = table_find(&file->names, name, strlen(name));
    return index ? &file->entries[*index] : NULL;
}

/* Bytes that the shape needs; false when that overflows. */
static bool needed_bytes(const struct safetensors_entry *entry, size_t item, size_t *bytes)
{
    *bytes = item;
    for (int i = 0; i < entry->rank; i++)
        if (__builtin_mul_overflow(*bytes, (size_t)entry->shape[i], bytes))
            return false;
    return true;
}

static const char *read_shape(const json_t *value, struct safetensors_entry *entry)
{
    const json_t *shape = json_object_get(value, "shape");
    if (!json_is_array(shape) || json_array_size(shape) > SAFETENSORS_RANK)
        return "no usable shape";
    entry->rank = (int)json_array_size(shape);
    for (int i = 0; i < entry->rank; i++) {
        const json_t *axis = json_array_get(shape, (size_t)i);
        if (!json_is_integer(axis) || json_integer_value(axis) < 0)
            return "no usable shape";
        entry->shape[i] = json_integer_value(axis);
    }
    return NULL;
}

/* NULL, or what is wrong with the entry. */
static const char *read_entry(const json_t *value, const unsigned char *data, uint64_t length,
                              struct safetensors_entry *entry)
{
    const char *type = json_string_value(json_object_get(value, "dtype"));
    const json_t *offsets = json_object_get(value, "data_offsets");
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (!type || strlen(type) >= sizeof entry->type)
        return "no usable dtype";
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return "no usable data_offsets";
    const char *problem = read_shape(value, entry);
    if (problem)
        return problem;
    json_int_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin || (uint64_t)end > length)
        return "its data lie outside the file";
    snprintf(entry->type, sizeof entry->type, "%s", type);
    entry->data = data + begin;
    entry->bytes = (size_t)(end - begin);
    size_t known = 0, needed;
    while (known < TYPE_COUNT && strcmp(types[known].type, type) != 0)
        known++;
    if (known == TYPE_COUNT)
        return NULL; /* a type of the future: kept, but not usable */
    entry->format = types[known].format;
    if (!needed_bytes(entry, types[known].bytes, &needed) || needed != entry->bytes)
        return "its shape does not fit its data";
    return NULL;
}

/* Where a tensor's bytes lie. */
struct extent {
    const char *begin, *end, *name;
};

static int by_place(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

/* No two tensors may share bytes: what is written to one must not show in another. */
static enum status check_overlaps(const struct safetensors *file, struct error *error)
{
    size_t count = (size_t)file->count;
    struct extent *extents = malloc((count + 1) * sizeof *extents);
    if (!extents)
        return error_no_memory(error, count * sizeof *extents);
    for (size_t i = 0; i < count; i++) {
        const struct safetensors_entry *entry = &file->entries[i];
        const char *begin = entry->data;
        extents[i] = (struct extent){begin, begin + entry->bytes, entry->name};
    }
    qsort(extents, count, sizeof *extents, by_place);
    enum status status = STATUS_OK;
    const struct extent *furthest = extents; /* ends last of those so far */
    for (size_t i = 1; i < count && status == STATUS_OK; i++) {
        if (extents[i].end > extents[i].begin && furthest->end > extents[i].begin)
            status = error_set(error, STATUS_FAILED, "%s: tensors '%.80s' and '%.80s' overlap",
                               file->path, furthest->name, extents[i].name);
        if (extents[i].end > furthest->end)
            furthest = &extents[i];
    }
    free(extents);
    return status;
}

static enum status read_header(struct safetensors *file, json_t *root, uint64_t header,
                               struct error *error)
{
    const unsigned char *data = file->map.data + 8 + header;
    uint64_t length = file->map.length - 8 - header;
    const char *name;
    json_t *value;
    file->entries = calloc(json_object_size(root) + 1, sizeof *file->entries);
    if (!file->entries)
        return error_no_memory(error, json_object_size(root) * sizeof *file->entries);
    json_object_foreach(root, name, value)
    {
        if (strcmp(name, "__metadata__") == 0) {
            if (!json_is_object(value))
                return error_set(error, STATUS_FAILED, "%s: its __metadata__ are no object",
                                 file->path);
            file->metadata = json_incref(value);
            continue;
        }
        struct safetensors_entry *entry = &file->entries[file->count];
        const char *problem = read_entry(value, data, length, entry);
        if (problem)
            return error_set(error, STATUS_FAILED, "%s: tensor '%.80s': %s", file->path, name,
                             problem);
        if (!table_put(&file->names, name, strlen(name), file->count))
            return error_no_memory(error, strlen(name));
        entry->name = file->names.entries[file->names.count - 1].key;
        file->count++;
    }
    return check_overlaps(file, error);
}

enum status safetensors_open(const char *path, struct safetensors *file, struct error *error)
{
    *file = (struct safetensors){.path = strdup(path)};
    if (!file->path)
        return error_no_memory(error, strlen(path));
    enum status status = file_map_open(path, &file->map, error);
    uint64_t header = 0;
    if (status == STATUS_OK && file->map.length >= 8)
        memcpy(&header, file->map.data, 8);
    if (status == STATUS_OK &&
        (file->map.length < 8 || header > HEADER_LIMIT || header > file->map.length - 8))
        status = error_set(error, STATUS_FAILED,
                           "%s: not a safetensors file, or cut off inside its header", path);
    json_t *root = NULL;
    json_error_t problem;
    if (status == STATUS_OK) {
        root =
            json_loadb((const char *)file->map.data + 8, header, JSON_REJECT_DUPLICATES, &problem);
        if (!json_is_object(root))
            status = error_set(error, STATUS_FAILED, "%s: broken header: %s", path,
                               root ? "not an object" : problem.text);
    }
    if (status == STATUS_OK)
        status = read_header(file, root, header, error);
    json_decref(root);
    if (status != STATUS_OK)
        safetensors_close(file);
    return status;
}

static const char *type_name(const struct weight_format *format)
{
    for (size_t i = 0; i < TYPE_COUNT; i++)
        if (types[i].format == format)
            return types[i].type;
    return NULL;
}

static size_t entry_bytes(const struct safetensors_entry *entry)
{
    size_t bytes = entry->format->block_bytes;
    for (int i = 0; i < entry->rank; i++)
        bytes *= (size_t)entry->shape[i];
    return bytes;
}

static char *make_header(const struct safetensors_entry *entries, int64_t count, json_t *metadata)
{
    json_t *root = json_object();
    if (metadata)
        json_object_set(root, "__metadata__", metadata);
    size_t offset = 0;
    for (int64_t i = 0; i < count; i++) {
        json_t *shape = json_array();
        for (int j = 0; j < entries[i].rank; j++)
            json_array_append_new(shape, json_integer(entries[i].shape[j]));
        size_t end = offset + entry_bytes(&entries[i]);
        json_object_set_new(root, entries[i].name,
                            json_pack("{s:s,s:o,s:[I,I]}", "dtype", type_name(entries[i].format),
                                      "shape", shape, "data_offsets", (json_int_t)offset,
                                      (json_int_t)end));
        offset = end;
    }
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return text;
}

enum status safetensors_write(const char *path, const struct safetensors_entry *entries,
                              int64_t count, json_t *metadata, const volatile sig_atomic_t *stop,
                              struct error *error)
{
    char *header = make_header(entries, count, metadata);
    if (!header)
        return error_no_memory(error, (size_t)count * 100);
    struct file_writer writer;
    enum status status = file_writer_open(&writer, path, error);
    if (status == STATUS_OK) {
        uint64_t length = (strlen(header) + 7) / 8 * 8;
        fwrite(&length, sizeof length, 1, writer.stream);
        fprintf(writer.stream, "%-*s", (int)length, header);
        for (int64_t i = 0; i < count && !(stop && *stop); i++)
            fwrite(entries[i].data, 1, entry_bytes(&entries[i]), writer.stream);
        if (stop && *stop) {
            file_writer_abort(&writer);
            status = error_set(error, STATUS_INTERRUPTED,
                               "stopped while writing %s: nothing of it is left", path);
        } else {
            status = file_writer_commit(&writer, error);
        }
    }
    free(header);
    return status;
}
