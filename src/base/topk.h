/* The k largest of a stream of keys, ties going to the lower index. */
#ifndef BASE_TOPK_H
#define BASE_TOPK_H

#include <stdint.h>

#include "base/error.h"

struct topk_item {
    double key;
    int64_t index;
};

/* A heap whose root is the least of those kept. */
struct topk {
    struct topk_item *items;
    int64_t count, limit;
};

enum status topk_create(struct topk *top, int64_t limit, struct error *error);
void topk_offer(struct topk *top, double key, int64_t index);
/* Sorts: largest key first, ties by lower index. Nothing may be offered afterwards. */
void topk_sort(struct topk *top);
void topk_free(struct topk *top);

#endif
