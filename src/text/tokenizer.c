/* See tokenizer.h. Building, look-ups and decoding; encoding is in encode.c. */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

enum status tok_ids_add(struct tok_ids *ids, const int32_t *items, int64_t count,
                        struct error *error)
{
    if (ids->count + count > ids->capacity) {
        int64_t capacity = (ids->count + count) * 2 + 64;
        int32_t *grown = realloc(ids->items, (size_t)capacity * sizeof *grown);
        if (!grown)
            return error_no_memory(error, (size_t)capacity * sizeof *grown);
        ids->items = grown;
        ids->capacity = capacity;
    }
    if (count > 0)
        memcpy(ids->items + ids->count, items, (size_t)count * sizeof *items);
    ids->count += count;
    return STATUS_OK;
}

void tok_ids_free(struct tok_ids *ids)
{
    free(ids->items);
    *ids = (struct tok_ids){0};
}

void tok_free(struct tokenizer *t)
{
    free(t->pieces);
    free(t->special_by_length);
    free(t->merge_order);
    table_free(&t->ids);
    table_free(&t->specials);
    number_table_free(&t->merges);
    split_free(t->split);
    arena_free(&t->arena);
    *t = (struct tokenizer){0};
}

enum status tok_begin(struct tokenizer *t, int32_t count, const char *pattern, struct error *error)
{
    *t = (struct tokenizer){.bos = -1, .eos = -1};
    t->pieces = calloc((size_t)count + 1, sizeof *t->pieces);
    if (!t->pieces)
        return error_no_memory(error, (size_t)count * sizeof *t->pieces);
    t->count = count;
    enum status status = split_create(pattern, &t->split, error);
    if (status != STATUS_OK)
        tok_free(t);
    return status;
}

enum status tok_set_piece(struct tokenizer *t, int32_t id, const char *bytes, size_t length,
                          bool special, struct error *error)
{
    if (id < 0 || id >= t->count)
        return error_set(error, STATUS_FAILED, "token id %d is outside 0 to %d", (int)id,
                         (int)t->count - 1);
    char *copy = arena_strndup(&t->arena, bytes, length);
    if (!copy || length > UINT32_MAX)
        return error_no_memory(error, length);
    t->pieces[id] = (struct tok_piece){copy, (uint32_t)length, special, true};
    struct table *table = special ? &t->specials : &t->ids;
    int64_t *value = table_put(table, bytes, length, id);
    return value ? STATUS_OK : error_no_memory(error, length);
}

enum status tok_add_merge(struct tokenizer *t, int32_t left, int32_t right, int32_t merged,
                          struct error *error)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    if ((t->merge_count & (t->merge_count + 1)) == 0) {
        size_t capacity = (size_t)(t->merge_count + 1) * 2;
        uint64_t *grown = realloc(t->merge_order, capacity * sizeof *grown);
        if (!grown)
            return error_no_memory(error, capacity * sizeof *grown);
        t->merge_order = grown;
    }
    int64_t value = (int64_t)t->merge_count << 32 | merged;
    int64_t *slot = number_table_put(&t->merges, key, value);
    if (!slot)
        return error_no_memory(error, sizeof key);
    t->merge_order[t->merge_count++] = key;
    return STATUS_OK;
}

static int longer_first(const void *a, const void *b, void *context)
{
    const struct tokenizer *t = context;
    const struct tok_piece *x = &t->pieces[*(const int32_t *)a],
                           *y = &t->pieces[*(const int32_t *)b];
    if (x->length != y->length)
        return x->length < y->length ? 1 : -1;
    return memcmp(x->bytes, y->bytes, x->length);
}

enum status tok_finish(struct tokenizer *t, const char *name, struct error *error)
{
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        int64_t *id = table_find(&t->ids, &c, 1);
        if (!id)
            return error_set(error, STATUS_FAILED,
                             "%s: no token for byte 0x%02x, so not every text could be encoded",
                             name, byte);
        t->byte_ids[byte] = (int32_t)*id;
    }
    t->special_by_length = malloc(((size_t)t->specials.count + 1) * sizeof *t->special_by_length);
    if (!t->special_by_length)
        return error_no_memory(error, t->specials.count * sizeof *t->special_by_length);
    for (uint32_t i = 0; i < t->specials.count; i++) {
        if (t->specials.entries[i].length == 0)
            return error_set(error, STATUS_FAILED, "%s: special token %d is empty", name,
                             (int)t->specials.entries[i].value);
        t->special_by_length[t->special_count++] = (int32_t)t->specials.entries[i].value;
        t->special_starts[(unsigned char)t->specials.entries[i].key[0]] = true;
    }
    qsort_r(t->special_by_length, (size_t)t->special_count, sizeof *t->special_by_length,
            longer_first, t);
    return STATUS_OK;
}

int32_t tok_special(const struct tokenizer *t, const char *name)
{
    int64_t *id = table_find(&t->specials, name, strlen(name));
    return id ? (int32_t)*id : -1;
}

void tok_decode(const struct tokenizer *t, const int32_t *ids, int64_t count, bool specials,
                struct buffer *text)
{
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] < 0 || ids[i] >= t->count)
            continue;
        const struct tok_piece *piece = &t->pieces[ids[i]];
        if (piece->defined && (specials || !piece->special))
            buffer_add(text, piece->bytes, piece->length);
    }
}
