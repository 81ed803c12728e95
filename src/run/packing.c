/* See packing.h. */
#include "run/packing.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MOST 2000000 /* of the search for an exact packing */

struct prompt {
    int64_t length, index;
};

static int longest_first(const void *a, const void *b)
{
    const struct prompt *x = a, *y = b;
    if (x->length != y->length)
        return x->length < y->length ? 1 : -1;
    return x->index < y->index ? -1 : 1;
}

/* Puts prompts, longest first, into rows; returns how many rows there are. */
static int64_t place(const struct prompt *prompts, int64_t count, int64_t capacity,
                     enum packing_rule rule, int64_t *row_of, int64_t *loads)
{
    int64_t rows = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t best = -1;
        for (int64_t r = 0; r < rows; r++) {
            if (loads[r] + prompts[i].length > capacity)
                continue;
            if (best < 0 || (rule == PACKING_EMPTIEST && loads[r] < loads[best]))
                best = r;
            if (rule == PACKING_FIRST)
                break;
        }
        if (best < 0) {
            best = rows++;
            loads[best] = 0;
        }
        loads[best] += prompts[i].length;
        row_of[i] = best;
    }
    return rows;
}

/* Depth-first: the next prompt goes into each open row of a load not yet tried, or a new one. */
struct search {
    const struct prompt *prompts;
    int64_t count, capacity, best, least, nodes;
    int64_t row[PACKING_EXACT_MOST], best_row[PACKING_EXACT_MOST], loads[PACKING_EXACT_MOST];
    int64_t left[PACKING_EXACT_MOST + 1]; /* tokens of the prompts from here on */
};

static void descend(struct search *s, int64_t at, int64_t rows)
{
    if (s->best == s->least || ++s->nodes > NODES_MOST)
        return;
    if (at == s->count) {
        s->best = rows;
        memcpy(s->best_row, s->row, sizeof s->row);
        return;
    }
    int64_t room = 0;
    for (int64_t r = 0; r < rows; r++)
        room += s->capacity - s->loads[r];
    int64_t more = s->left[at] > room ? (s->left[at] - room + s->capacity - 1) / s->capacity : 0;
    if (rows + more >= s->best)
        return;
    for (int64_t r = 0; r <= rows && r < s->best - 1; r++) {
        bool tried = false;
        for (int64_t q = 0; q < r && r < rows && !tried; q++)
            tried = s->loads[q] == s->loads[r];
        int64_t load = r < rows ? s->loads[r] : 0;
        if (tried || load + s->prompts[at].length > s->capacity)
            continue;
        s->loads[r] = load + s->prompts[at].length;
        s->row[at] = r;
        descend(s, at + 1, r < rows ? rows : rows + 1);
        s->loads[r] = load;
    }
}

static int64_t place_exactly(const struct prompt *prompts, int64_t count, int64_t capacity,
                             int64_t *row_of, int64_t *loads)
{
    int64_t emptiest = place(prompts, count, capacity, PACKING_EMPTIEST, row_of, loads);
    int64_t first = place(prompts, count, capacity, PACKING_FIRST, row_of, loads);
    int64_t rows =
        emptiest < first ? place(prompts, count, capacity, PACKING_EMPTIEST, row_of, loads) : first;
    if (count > PACKING_EXACT_MOST)
        return rows;
    struct search search = {.prompts = prompts, .count = count, .capacity = capacity, .best = rows};
    for (int64_t i = count - 1; i >= 0; i--)
        search.left[i] = search.left[i + 1] + prompts[i].length;
    search.least = (search.left[0] + capacity - 1) / capacity;
    memcpy(search.best_row, row_of, (size_t)count * sizeof *row_of);
    descend(&search, 0, 0);
    memcpy(row_of, search.best_row, (size_t)count * sizeof *row_of);
    memset(loads, 0, (size_t)search.best * sizeof *loads);
    for (int64_t i = 0; i < count; i++)
        loads[row_of[i]] += prompts[i].length;
    return search.best;
}

enum status packing_make(const int64_t *lengths, int64_t count, int64_t capacity,
                         enum packing_rule rule, struct packing *packing, struct error *error)
{
    *packing = (struct packing){0};
    size_t room = (size_t)count + 1;
    struct prompt *prompts = malloc(room * sizeof *prompts);
    int64_t *row_of = malloc(room * sizeof *row_of);
    packing->order = malloc(room * sizeof *packing->order);
    packing->begin = calloc(room, sizeof *packing->begin);
    packing->loads = calloc(room, sizeof *packing->loads);
    enum status status = STATUS_OK;
    if (!prompts || !row_of || !packing->order || !packing->begin || !packing->loads)
        status = error_no_memory(error, room * 5 * sizeof *row_of);
    for (int64_t i = 0; i < count && status == STATUS_OK; i++) {
        if (lengths[i] < 1 || lengths[i] > capacity)
            status = error_set(error, STATUS_USAGE,
                               "a prompt of %lld tokens cannot be packed into rows of %lld",
                               (long long)lengths[i], (long long)capacity);
        prompts[i] = (struct prompt){lengths[i], i};
    }
    if (status == STATUS_OK) {
        qsort(prompts, (size_t)count, sizeof *prompts, longest_first);
        packing->rows = rule == PACKING_EXACT
                            ? place_exactly(prompts, count, capacity, row_of, packing->loads)
                            : place(prompts, count, capacity, rule, row_of, packing->loads);
        int64_t at = 0;
        for (int64_t r = 0; r < packing->rows; r++) {
            packing->begin[r] = at;
            for (int64_t i = 0; i < count; i++)
                if (row_of[i] == r)
                    packing->order[at++] = prompts[i].index;
        }
        packing->begin[packing->rows] = at;
    } else {
        packing_free(packing);
    }
    free(prompts);
    free(row_of);
    return status;
}

void packing_free(struct packing *packing)
{
    free(packing->order);
    free(packing->begin);
    free(packing->loads);
    *packing = (struct packing){0};
}
