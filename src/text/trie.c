/* See trie.h. */
#include "text/trie.h"

#include <stdlib.h>

/* A new node's number, or 0 when out of memory. */
static int32_t add_node(struct trie *trie)
{
    if (trie->count + 1 >= trie->capacity) {
        if (trie->capacity > INT32_MAX / 2 - 64)
            return 0;
        int32_t capacity = trie->capacity * 2 + 64;
        int32_t *grown = realloc(trie->values, (size_t)capacity * sizeof *grown);
        if (!grown)
            return 0;
        trie->values = grown;
        trie->capacity = capacity;
    }
    if (trie->count == 0)
        trie->values[trie->count++] = -1; /* the root */
    trie->values[trie->count] = -1;
    return trie->count++;
}

bool trie_put(struct trie *trie, const char *bytes, size_t length, int32_t value)
{
    int32_t node = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        int32_t next = trie_step(trie, node, byte);
        if (next == 0) {
            next = add_node(trie);
            if (next == 0)
                return false;
            if (node == 0)
                trie->root[byte] = next;
            else if (!number_table_put(&trie->edges, (uint64_t)node << 8 | byte, next))
                return false;
        }
        node = next;
    }
    if (node != 0 && trie->values[node] < 0)
        trie->values[node] = value;
    return true;
}

void trie_free(struct trie *trie)
{
    number_table_free(&trie->edges);
    free(trie->values);
    *trie = (struct trie){0};
}
