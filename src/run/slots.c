/* See slots.h. */
#include "run/slots.h"

#include <stdlib.h>

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

struct simulation {
    struct slot_request *requests;
    int64_t count, slots, next, first, end, room;
    int64_t *taken, *left; /* by slot: request or -1; by request: tokens to make */
    struct slot_move *moves;
};

static void admit_arrived(struct simulation *s, int64_t step)
{
    while (s->next < s->count && s->requests[s->next].arrival <= step) {
        int64_t slot = slots_admit(s->slots, s->first, s->end);
        if (slot < 0)
            return;
        if (s->first == s->end)
            s->first = s->end = slot;
        s->first = slot < s->first ? slot : s->first;
        s->end = slot >= s->end ? slot + 1 : s->end;
        s->requests[s->next].admitted = step;
        s->taken[slot] = s->next++;
    }
}

/* Requests that have made all their tokens leave; returns how many. */
static int64_t leave(struct simulation *s, int64_t time)
{
    int64_t gone = 0;
    for (int64_t i = s->first; i < s->end; i++) {
        int64_t r = s->taken[i];
        if (--s->left[r] > 0)
            continue;
        s->requests[r].finished = time;
        s->taken[i] = -1;
        gone++;
    }
    return gone;
}

static enum status close_gaps(struct simulation *s, int64_t time, struct slot_run *run,
                              struct error *error)
{
    int64_t working = 0, start;
    for (int64_t i = 0; i < s->slots; i++)
        working += s->taken[i] >= 0;
    int64_t count = slots_reorder(s->taken, NULL, s->slots, s->moves, &start);
    if (run->event_count + count > s->room) {
        int64_t room = 2 * (run->event_count + count);
        struct slot_event *more = realloc(run->events, (size_t)room * sizeof *more);
        if (!more)
            return error_no_memory(error, (size_t)room * sizeof *more);
        run->events = more;
        s->room = room;
    }
    for (int64_t i = 0; i < count; i++) {
        s->taken[s->moves[i].to] = s->taken[s->moves[i].from];
        s->taken[s->moves[i].from] = -1;
        run->events[run->event_count++] = (struct slot_event){time, s->moves[i]};
    }
    s->first = start;
    s->end = start + working;
    return STATUS_OK;
}

enum status slots_simulate(int64_t slots, struct slot_request *requests, int64_t count,
                           struct slot_run *run, struct error *error)
{
    struct simulation s = {.requests = requests, .count = count, .slots = slots};
    *run = (struct slot_run){0};
    s.taken = malloc((size_t)(slots + 1) * sizeof *s.taken);
    s.left = malloc((size_t)(count + 1) * sizeof *s.left);
    s.moves = malloc((size_t)(slots + 1) * sizeof *s.moves);
    enum status status = STATUS_OK;
    if (!s.taken || !s.left || !s.moves)
        status = error_no_memory(error, (size_t)(slots + count) * sizeof *s.left);
    for (int64_t i = 0; i < slots && status == STATUS_OK; i++)
        s.taken[i] = -1;
    for (int64_t i = 0; i < count && status == STATUS_OK; i++)
        s.left[i] = requests[i].tokens;
    for (int64_t step = 0; status == STATUS_OK && (s.next < count || s.first < s.end); step++) {
        admit_arrived(&s, step);
        run->peak = s.end - s.first > run->peak ? s.end - s.first : run->peak;
        if (leave(&s, step + 1) > 0)
            status = close_gaps(&s, step + 1, run, error);
        run->steps = step + 1;
    }
    free(s.taken);
    free(s.left);
    free(s.moves);
    return status;
}
