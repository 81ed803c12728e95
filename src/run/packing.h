/* Prompts of different lengths packed into rows without padding, after Prepacking (Zhao et al.
 * 2024): the engine computes them behind one another, each attending to itself alone, and takes
 * them row by row so that a step's memory is bounded. */
#ifndef RUN_PACKING_H
#define RUN_PACKING_H

#include <stdint.h>

#include "base/error.h"

enum packing_rule {
    PACKING_EMPTIEST, /* longest first, each into the emptiest row where it fits */
    PACKING_FIRST,    /* longest first, each into the first row where it fits */
    PACKING_EXACT,    /* as few rows as possible, by branch and bound; at most PACKING_EXACT_MOST */
};

#define PACKING_EXACT_MOST 64

/* The row that each of `count` prompts goes into. Arrays are malloc'ed; free with packing_free. */
struct packing {
    int64_t *order; /* prompts in the order of placing, row by row */
    int64_t *begin; /* (rows + 1): where each row begins in `order` */
    int64_t *loads; /* (rows): tokens */
    int64_t rows;
};

/* Lengths are at least 1 and at most `capacity`. Equal lengths keep their order. An exact packing
 * that takes too long falls back to the better of the other two. */
enum status packing_make(const int64_t *lengths, int64_t count, int64_t capacity,
                         enum packing_rule rule, struct packing *packing, struct error *error);
void packing_free(struct packing *packing);

#endif
