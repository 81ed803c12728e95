/* Slots of requests that are decoded together, after Flover (Yao et al. 2023): requests join and
 * leave at any step, and those at work stand in one window of neighboring slots, so that a step
 * runs over consecutive rows. When one leaves from the middle, the fewest others are moved. */
#ifndef RUN_SLOTS_H
#define RUN_SLOTS_H

#include <stdint.h>

#include "base/error.h"

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

/* What would happen: requests arrive in steps, each makes a token a step from the step on in which
 * it is admitted, and leaves when it has made all; unit costs. Several may enter in one step. */
struct slot_request {
    int64_t arrival, tokens;    /* given; in order of arrival, tokens at least 1 */
    int64_t admitted, finished; /* found: steps */
};
struct slot_event {
    int64_t step;
    struct slot_move move;
};
struct slot_run {
    struct slot_event *events; /* malloc'ed; the caller's to free */
    int64_t event_count, peak, steps;
};
enum status slots_simulate(int64_t slots, struct slot_request *requests, int64_t count,
                           struct slot_run *run, struct error *error);

#endif
