/* Slots of requests that are decoded together, after Flover (Yao et al. 2023): requests join and
 * leave at any step, and those at work stand in one window of neighboring slots, so that a step
 * runs over consecutive rows. When one leaves from the middle, the fewest others are moved. */
#ifndef RUN_SLOTS_H
#define RUN_SLOTS_H

#include <stdint.h>

struct slot_move {
    int64_t from, to;
};

/* Chooses the window of as many consecutive slots as are taken that leaves the least cost outside,
 * leftmost on ties, and lists the moves into it: free slots inside, ascending, receive taken slots
 * outside, ascending. `taken[i]` is negative for a free slot; `cost`, NULL for 1 each, is that of
 * moving what is in it. `moves` has room for `count`; returns how many there are. *start receives
 * the window's first slot, 0 when none is taken. */
int64_t slots_reorder(const int64_t *taken, const int64_t *cost, int64_t count,
                      struct slot_move *moves, int64_t *start);

/* The slot for a new request among `count`, of which the window [first, end) is taken: behind it,
 * else before it; slot 0 when the window is empty; -1 when all are taken. */
int64_t slots_admit(int64_t count, int64_t first, int64_t end);

#endif
