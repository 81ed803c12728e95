/* See table.h. */
#include "base/table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/pages.h"

#define QUICK_SLOTS                                                                                \
    32768 /* up to here a table grows faster: moving it costs more than its room                   \
           */

static uint32_t hash_bytes(const void *key, size_t length)
{
    uint64_t hash = XXH3_64bits(key, length);
    return (uint32_t)(hash ^ hash >> 32);
}

/* Keys are short as a rule: a call of memcmp would cost more than the comparison. */
static bool same_bytes(const char *a, const char *b, size_t length)
{
    uint64_t x, y;
    for (; length >= 8; length -= 8, a += 8, b += 8) {
        memcpy(&x, a, 8);
        memcpy(&y, b, 8);
        if (x != y)
            return false;
    }
    for (size_t i = 0; i < length; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

static uint32_t find_slot(const struct table *table, const void *key, size_t length, uint32_t hash)
{
    uint32_t mask = table->slot_count - 1, slot = hash & mask;
    for (;; slot = (slot + 1) & mask) {
        uint32_t index = table->slots[slot];
        if (index == 0)
            return slot;
        const struct table_entry *entry = &table->entries[index - 1];
        if (entry->hash == hash && entry->length == length && same_bytes(entry->key, key, length))
            return slot;
    }
}

int64_t *table_find(const struct table *table, const void *key, size_t length)
{
    if (table->count == 0)
        return NULL;
    uint32_t index = table->slots[find_slot(table, key, length, hash_bytes(key, length))];
    return index ? &table->entries[index - 1].value : NULL;
}

static int grow(struct table *table)
{
    uint32_t slot_count = table->slot_count ? table->slot_count * 2 : 64;
    uint32_t capacity = slot_count / 2;
    if (slot_count < table->slot_count)
        return 0;
    struct table_entry *entries = realloc(table->entries, capacity * sizeof *entries);
    if (!entries)
        return 0;
    table->entries = entries;
    table->capacity = capacity;
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    if (!slots)
        return 0;
    free(table->slots);
    table->slots = slots;
    table->slot_count = slot_count;
    for (uint32_t i = 0; i < table->count; i++) {
        uint32_t slot = entries[i].hash & (slot_count - 1);
        while (slots[slot])
            slot = (slot + 1) & (slot_count - 1);
        slots[slot] = i + 1;
    }
    return 1;
}

int64_t *table_put(struct table *table, const void *key, size_t length, int64_t initial)
{
    uint32_t hash = hash_bytes(key, length);
    if (table->slot_count) {
        uint32_t index = table->slots[find_slot(table, key, length, hash)];
        if (index)
            return &table->entries[index - 1].value;
    }
    if (length > UINT32_MAX || (table->count == table->capacity && !grow(table)))
        return NULL;
    uint32_t slot = find_slot(table, key, length, hash);
    char *copy = arena_strndup(&table->keys, key, length);
    if (!copy)
        return NULL;
    table->entries[table->count] = (struct table_entry){copy, (uint32_t)length, hash, initial};
    table->slots[slot] = ++table->count;
    return &table->entries[table->count - 1].value;
}

void table_clear(struct table *table)
{
    table->count = 0;
    if (table->slots)
        memset(table->slots, 0, table->slot_count * sizeof *table->slots);
    arena_reset(&table->keys);
}

void table_free(struct table *table)
{
    free(table->entries);
    free(table->slots);
    arena_free(&table->keys);
    *table = (struct table){0};
}

static uint64_t mix(uint64_t key)
{
    key ^= key >> 31;
    key *= 0x9e3779b97f4a7c15u;
    return key ^ key >> 29;
}

static uint64_t number_slot(const struct number_table *table, uint64_t key)
{
    uint64_t mask = table->slot_count - 1, slot = mix(key) & mask;
    while (table->slots[slot].key != key && table->slots[slot].key != UINT64_MAX)
        slot = (slot + 1) & mask;
    return slot;
}

int64_t *number_table_find(const struct number_table *table, uint64_t key)
{
    if (table->count == 0)
        return NULL;
    struct number_entry *entry = &table->slots[number_slot(table, key)];
    return entry->key == key ? &entry->value : NULL;
}

static int number_grow(struct number_table *table)
{
    uint64_t times = table->slot_count < QUICK_SLOTS ? 8 : 2;
    struct number_table bigger = {.slot_count = table->slot_count ? table->slot_count * times : 64,
                                  .count = table->count};
    bigger.slots = pages_take(bigger.slot_count * sizeof *bigger.slots);
    if (!bigger.slots)
        return 0;
    memset(bigger.slots, 0xff, bigger.slot_count * sizeof *bigger.slots);
    for (uint64_t i = 0; i < table->slot_count; i++)
        if (table->slots[i].key != UINT64_MAX)
            bigger.slots[number_slot(&bigger, table->slots[i].key)] = table->slots[i];
    number_table_free(table);
    *table = bigger;
    return 1;
}

int64_t *number_table_put(struct number_table *table, uint64_t key, int64_t initial)
{
    if (table->count * 2 >= table->slot_count && !number_grow(table))
        return NULL;
    struct number_entry *entry = &table->slots[number_slot(table, key)];
    if (entry->key != key) {
        *entry = (struct number_entry){key, initial};
        table->count++;
    }
    return &entry->value;
}

void number_table_free(struct number_table *table)
{
    free(table->slots);
    *table = (struct number_table){0};
}
