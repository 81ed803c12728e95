/* Hash tables with open addressing: from byte strings, and from 64-bit keys, to 64-bit values. The
 * order of insertion is kept, so that walking a table gives the same order on every run. */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

struct table_entry {
    const char *key; /* owned by the table, with a terminating 0 behind it */
    uint32_t length;
    uint32_t hash;
    int64_t value;
};

/* Zero-initialize to use; entries[0 .. count) are in order of insertion. */
struct table {
    struct table_entry *entries;
    uint32_t *slots; /* entry index + 1, 0 for free */
    uint32_t count, capacity, slot_count;
    struct arena keys;
};

/* The value at `key`, or NULL when it is not there. Valid until the next insertion. */
int64_t *table_find(const struct table *table, const void *key, size_t length);
/* The value at `key`, inserted as `initial` when it was not there; NULL when out of memory. */
int64_t *table_put(struct table *table, const void *key, size_t length, int64_t initial);
void table_clear(struct table *table); /* keeps the memory */
void table_free(struct table *table);

/* Keys of 64 bits; UINT64_MAX is no key. Zero-initialize to use. */
struct number_entry {
    uint64_t key;
    int64_t value;
};
struct number_table {
    struct number_entry *slots;
    uint64_t slot_count, count;
};
int64_t *number_table_find(const struct number_table *table, uint64_t key);
int64_t *number_table_put(struct number_table *table, uint64_t key, int64_t initial);
void number_table_free(struct number_table *table);

#endif
