/* The safetensors format: 8 bytes with the header's length, a JSON header {name: {dtype, shape,
 * data_offsets}, "__metadata__": {text: text}}, then the tensors. Read by mapping; every size is
 * held against the file's real length before use. */
#ifndef FILE_SAFETENSORS_H
#define FILE_SAFETENSORS_H

#include <jansson.h>
#include <signal.h>
#include <stdint.h>

#include "base/file.h"
#include "base/table.h"
#include "weight/weight.h"

#define SAFETENSORS_RANK 8

struct safetensors_entry {
    const char *name;
    char type[8];                       /* "F32", "BF16", ... */
    const struct weight_format *format; /* NULL when adze has no such format */
    int rank;
    int64_t shape[SAFETENSORS_RANK]; /* outermost first */
    const void *data;
    size_t bytes;
};

struct safetensors {
    char *path;
    struct file_map map;
    struct safetensors_entry *entries;
    int64_t count;
    struct table names; /* name -> entry */
    json_t *metadata;   /* object of texts, or NULL */
};

enum status safetensors_open(const char *path, struct safetensors *file, struct error *error);
void safetensors_close(struct safetensors *file);
/* NULL when there is none of that name. */
const struct safetensors_entry *safetensors_find(const struct safetensors *file, const char *name);

/* Writes a file atomically. Entries need name, format, rank, shape and data; their bytes follow.
 * When *stop (NULL: never) is not 0 before the end, it ends with STATUS_INTERRUPTED and leaves no
 * file. */
enum status safetensors_write(const char *path, const struct safetensors_entry *entries,
                              int64_t count, json_t *metadata, const volatile sig_atomic_t *stop,
                              struct error *error);

#endif
