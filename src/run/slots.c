/* See slots.h. */
#include "run/slots.h"

int64_t slots_reorder(const int64_t *taken, const int64_t *cost, int64_t count,
                      struct slot_move *moves, int64_t *start)
{
    int64_t active = 0, total = 0, inside = 0, best = 0, most = -1, moved = 0;
    for (int64_t i = 0; i < count; i++)
        if (taken[i] >= 0) {
            active++;
            total += cost ? cost[i] : 1;
        }
    *start = 0;
    if (active == 0)
        return 0;
    for (int64_t end = 0; end < count; end++) { /* the window (end - active, end] slides */
        if (taken[end] >= 0)
            inside += cost ? cost[end] : 1;
        int64_t gone = end - active;
        if (gone >= 0 && taken[gone] >= 0)
            inside -= cost ? cost[gone] : 1;
        if (gone >= -1 && inside > most) {
            most = inside;
            best = gone + 1;
        }
    }
    *start = best;
    if (most == total)
        return 0;
    int64_t to = best;
    for (int64_t from = 0; from < count; from++) {
        if (taken[from] < 0 || (from >= best && from < best + active))
            continue;
        while (taken[to] >= 0)
            to++;
        moves[moved++] = (struct slot_move){from, to++};
    }
    return moved;
}

int64_t slots_admit(int64_t count, int64_t first, int64_t end)
{
    if (first == end)
        return count > 0 ? 0 : -1;
    if (end < count)
        return end;
    return first - 1; /* -1: all are taken */
}
