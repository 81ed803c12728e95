/* Prefix trees of byte strings: all pieces that start at a place in a text are found in one walk.
 */
#ifndef TEXT_TRIE_H
#define TEXT_TRIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/table.h"

/* Zero-initialize to use. Node 0 is the root. */
struct trie {
    int32_t root[256];         /* the root's children, 0: none */
    struct number_table edges; /* node << 8 | byte -> child */
    int32_t *values;           /* of each node, -1: none */
    int32_t count, capacity;
};

/* Puts a string that is not empty; the first value of a string stays. False when out of memory. */
bool trie_put(struct trie *trie, const char *bytes, size_t length, int32_t value);
void trie_free(struct trie *trie);

/* The child of a node by a byte, or 0. */
static inline int32_t trie_step(const struct trie *trie, int32_t node, unsigned char byte)
{
    if (node == 0)
        return trie->root[byte];
    int64_t *child = number_table_find(&trie->edges, (uint64_t)node << 8 | byte);
    return child ? (int32_t)*child : 0;
}

#endif
