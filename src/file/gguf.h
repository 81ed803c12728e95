/* GGUF version 3, the container: typed key-value pairs, then tensors. What the keys mean for a
 * model is in gguf_model. Read by mapping; hostile counts, lengths and offsets are refused before
 * anything is allocated or read by them. */
#ifndef FILE_GGUF_H
#define FILE_GGUF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/table.h"
#include "weight/weight.h"

#define GGUF_RANK 4

enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
};

struct gguf_string {
    const char *bytes; /* in the mapping, not terminated */
    uint64_t length;
};

struct gguf_value {
    enum gguf_type type;
    enum gguf_type item_type;    /* of an array */
    uint64_t count;              /* items of an array */
    const unsigned char *data;   /* the value, or the array's first item */
    struct gguf_string *strings; /* of a string array */
};

struct gguf_tensor {
    const char *name;
    int rank;
    int64_t shape[GGUF_RANK];           /* innermost first, as in the file */
    int32_t type;                       /* ggml's number */
    const struct weight_format *format; /* NULL: adze has no such format yet */
    const void *data;
    size_t bytes; /* 0 when the format is unknown */
};

struct gguf {
    char *path;
    struct file_map map;
    struct arena arena;
    struct table keys; /* name -> value */
    struct gguf_value *values;
    struct table names; /* name -> tensor */
    struct gguf_tensor *tensors;
    int64_t tensor_count, key_count;
    uint64_t alignment;
};

enum status gguf_open(const char *path, struct gguf *file, struct error *error);
void gguf_close(struct gguf *file);

const struct gguf_value *gguf_find(const struct gguf *file, const char *key);
const struct gguf_tensor *gguf_tensor_find(const struct gguf *file, const char *name);
/* The value of a key as a number or text; false when it is missing or of another type. Numbers of
 * any width are accepted; a text is copied to the file's arena with a terminating 0. */
bool gguf_get_int(const struct gguf *file, const char *key, int64_t *value);
bool gguf_get_real(const struct gguf *file, const char *key, double *value);
bool gguf_get_bool(const struct gguf *file, const char *key, bool *value);
const char *gguf_get_text(struct gguf *file, const char *key);
/* Item `index` of a numeric array, converted. */
double gguf_array_item(const struct gguf_value *array, uint64_t index);

/* Writing: put keys, declare tensors, then write their data in the same order. */
struct gguf_writer {
    struct file_writer file;
    struct buffer keys, tensors;
    uint64_t key_count, tensor_count, offset;
    uint64_t written;
};

enum status gguf_writer_open(struct gguf_writer *writer, const char *path, struct error *error);
void gguf_put_u32(struct gguf_writer *writer, const char *key, uint32_t value);
void gguf_put_f32(struct gguf_writer *writer, const char *key, float value);
void gguf_put_bool(struct gguf_writer *writer, const char *key, bool value);
void gguf_put_text(struct gguf_writer *writer, const char *key, const char *value);
/* Begins an array; its `count` items follow, by gguf_item_*. */
void gguf_put_array(struct gguf_writer *writer, const char *key, enum gguf_type type,
                    uint64_t count);
void gguf_item_text(struct gguf_writer *writer, const char *bytes, size_t length);
void gguf_item_i32(struct gguf_writer *writer, int32_t value);
/* `shape` is outermost first. */
void gguf_put_tensor(struct gguf_writer *writer, const char *name, int rank, const int64_t *shape,
                     const struct weight_format *format);
/* Writes everything declared so far; data follow by gguf_write_data, tensor by tensor. */
void gguf_writer_begin_data(struct gguf_writer *writer);
void gguf_write_data(struct gguf_writer *writer, const void *data, size_t bytes);
/* Pads behind the last piece of a tensor's data. */
void gguf_end_tensor(struct gguf_writer *writer);
enum status gguf_writer_close(struct gguf_writer *writer, struct error *error);
void gguf_writer_abort(struct gguf_writer *writer);

#endif
