/* See topk.h. */
#include "base/topk.h"

#include <stdlib.h>

/* Whether a ranks below b. */
static int below(const struct topk_item *a, const struct topk_item *b)
{
    return a->key != b->key ? a->key < b->key : a->index > b->index;
}

enum status topk_create(struct topk *top, int64_t limit, struct error *error)
{
    *top = (struct topk){.limit = limit};
    top->items = malloc(((size_t)limit + 1) * sizeof *top->items);
    return top->items ? STATUS_OK : error_no_memory(error, (size_t)limit * sizeof *top->items);
}

static void sift_down(struct topk *top)
{
    struct topk_item item = top->items[0];
    int64_t at = 0;
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= top->count)
            break;
        if (child + 1 < top->count && below(&top->items[child + 1], &top->items[child]))
            child++;
        if (!below(&top->items[child], &item))
            break;
        top->items[at] = top->items[child];
        at = child;
    }
    top->items[at] = item;
}

void topk_offer(struct topk *top, double key, int64_t index)
{
    struct topk_item item = {key, index};
    if (top->limit == 0)
        return;
    if (top->count == top->limit) {
        if (below(&top->items[0], &item)) {
            top->items[0] = item;
            sift_down(top);
        }
        return;
    }
    int64_t at = top->count++;
    while (at > 0 && below(&item, &top->items[(at - 1) / 2])) {
        top->items[at] = top->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    top->items[at] = item;
}

static int compare(const void *a, const void *b)
{
    if (below(a, b))
        return 1;
    return below(b, a) ? -1 : 0;
}

void topk_sort(struct topk *top)
{
    qsort(top->items, (size_t)top->count, sizeof *top->items, compare);
}

void topk_free(struct topk *top)
{
    free(top->items);
    *top = (struct topk){0};
}
