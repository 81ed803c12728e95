/* Arenas: bump allocation in chained blocks, freed or rewound all at once. Training steps, parsers
 * and requests each live in one, so that steady-state work allocates nothing and nothing leaks. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/error.h"

#define ARENA_ALIGNMENT 64 /* one cache line, and the widest vector register */

struct arena_block;

/* Zero-initialize to use; blocks are taken from malloc when first needed. */
struct arena {
    struct arena_block *first;
    struct arena_block *current;
    size_t block_bytes; /* least size of a new block; 0 means 1 MiB */
    size_t used;        /* bytes handed out since the last reset, padding included */
    size_t peak;        /* largest `used` ever seen */
};

struct arena_mark {
    struct arena_block *block;
    size_t offset;
    size_t used;
};

/* Returns `bytes` of uninitialized memory aligned to ARENA_ALIGNMENT, or NULL when out of memory.
 * Valid until the arena is rewound past it. 0 bytes gives a valid pointer. */
void *arena_alloc(struct arena *arena, size_t bytes);

/* Same for count * size, zeroed; NULL also when the product overflows. */
void *arena_calloc(struct arena *arena, size_t count, size_t size);

/* Copies of a string / of the first `length` bytes with a terminating 0, not aligned; NULL when out
 * of memory. */
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t length);

struct arena_mark arena_save(const struct arena *arena);
void arena_rewind(struct arena *arena, struct arena_mark mark);
void arena_reset(struct arena *arena); /* keeps the blocks */
void arena_free(struct arena *arena);  /* gives the blocks back; the arena is usable again */

#endif
