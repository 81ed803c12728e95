/* See arena.h. Blocks are kept in a list in the order in which they were made; rewinding moves
 * `current` back and leaves later blocks in place for the next round. */
#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/pages.h"

#define LARGE ((size_t)4 << 20)

struct arena_block {
    struct arena_block *next;
    size_t capacity;
    size_t offset;
    unsigned char *data;
};

static size_t round_up(size_t bytes)
{
    return (bytes + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
}

/* A block that one large piece fills lies on huge pages where the system has them: it is taken in
 * fewer steps, and costs less to walk through. */
static struct arena_block *block_create(size_t capacity, bool filled)
{
    struct arena_block *block = malloc(sizeof *block);
    if (!block)
        return NULL;
    block->data = aligned_alloc(ARENA_ALIGNMENT, capacity);
    if (!block->data) {
        free(block);
        return NULL;
    }
    if (filled && capacity >= LARGE)
        pages_hint(block->data, capacity);
    block->next = NULL;
    block->capacity = capacity;
    block->offset = 0;
    return block;
}

/* Moves to a block with room for `bytes`: one that is left from an earlier round, or a new one at
 * the end of the list. */
static struct arena_block *next_block(struct arena *arena, size_t bytes)
{
    struct arena_block *block = arena->current ? arena->current->next : arena->first;
    for (; block; block = block->next) {
        block->offset = 0;
        if (block->capacity >= bytes)
            break;
    }
    if (!block) {
        size_t least = arena->block_bytes ? arena->block_bytes : (size_t)1 << 20;
        block = block_create(round_up(bytes > least ? bytes : least), bytes >= least);
        if (!block)
            return NULL;
        struct arena_block **link = arena->current ? &arena->current->next : &arena->first;
        while (*link)
            link = &(*link)->next;
        *link = block;
    }
    arena->current = block;
    return block;
}

/* `alignment` is 1 or ARENA_ALIGNMENT. */
static void *take(struct arena *arena, size_t bytes, size_t alignment)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    struct arena_block *block = arena->current;
    size_t begin = block ? (block->offset + alignment - 1) & ~(alignment - 1) : 0;
    if (!block || begin > block->capacity || block->capacity - begin < bytes) {
        block = next_block(arena, bytes);
        if (!block)
            return NULL;
        begin = 0;
    }
    arena->used += begin + bytes - block->offset;
    block->offset = begin + bytes;
    if (arena->used > arena->peak)
        arena->peak = arena->used;
    return block->data + begin;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    return bytes > SIZE_MAX / 2 ? NULL : take(arena, round_up(bytes ? bytes : 1), ARENA_ALIGNMENT);
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *result = arena_alloc(arena, bytes);
    if (result)
        memset(result, 0, bytes);
    return result;
}

char *arena_strndup(struct arena *arena, const char *text, size_t length)
{
    char *copy = length < SIZE_MAX ? take(arena, length + 1, 1) : NULL;
    if (!copy)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    return arena_strndup(arena, text, strlen(text));
}

struct arena_mark arena_save(const struct arena *arena)
{
    struct arena_mark mark = {arena->current, arena->current ? arena->current->offset : 0,
                              arena->used};
    return mark;
}

void arena_rewind(struct arena *arena, struct arena_mark mark)
{
    arena->current = mark.block;
    if (mark.block)
        mark.block->offset = mark.offset;
    arena->used = mark.used;
}

void arena_reset(struct arena *arena)
{
    arena_rewind(arena, (struct arena_mark){0});
}

void arena_free(struct arena *arena)
{
    struct arena_block *block = arena->first;
    while (block) {
        struct arena_block *next = block->next;
        free(block->data);
        free(block);
        block = next;
    }
    arena->first = arena->current = NULL;
    arena->used = 0;
}
