/* Adapter of the flover case. */
#include "run/slots.h"

#include <stdlib.h>

#include "cases/cases.h"

static int64_t *read_integers(const json_t *list)
{
    int64_t *values = malloc((json_array_size(list) + 1) * sizeof *values);
    for (size_t i = 0; values && i < json_array_size(list); i++)
        values[i] = json_integer_value(json_array_get(list, i));
    return values;
}

static json_t *reorder(const json_t *status, const json_t *cost)
{
    int64_t count = (int64_t)json_array_size(status), start;
    int64_t *taken = read_integers(status), *costs = cost ? read_integers(cost) : NULL;
    struct slot_move *moves = malloc((size_t)(count + 1) * sizeof *moves);
    json_t *list = json_array(), *out = json_object();
    int64_t moved = taken && moves ? slots_reorder(taken, costs, count, moves, &start) : -1;
    for (int64_t i = 0; i < moved; i++)
        json_array_append_new(
            list, json_pack("[I,I]", (json_int_t)moves[i].from, (json_int_t)moves[i].to));
    json_object_set_new(out, "start", json_integer(moved < 0 ? -1 : start));
    json_object_set_new(out, "moves", list);
    free(taken);
    free(costs);
    free(moves);
    return out;
}

static json_t *simulate(const json_t *input, struct error *error)
{
    const json_t *list = json_object_get(input, "requests");
    size_t count = json_array_size(list);
    struct slot_request *requests = calloc(count + 1, sizeof *requests);
    struct slot_run run = {0};
    json_t *admitted = json_array(), *finished = json_array(), *moves = json_array(), *out = NULL;
    int64_t tokens = 0;
    for (size_t i = 0; requests && i < count; i++) {
        const json_t *pair = json_array_get(list, i);
        requests[i].arrival = json_integer_value(json_array_get(pair, 0));
        requests[i].tokens = json_integer_value(json_array_get(pair, 1));
        tokens += requests[i].tokens;
    }
    if (requests && slots_simulate(json_integer_value(json_object_get(input, "slots")), requests,
                                   (int64_t)count, &run, error) == STATUS_OK) {
        for (size_t i = 0; i < count; i++) {
            json_array_append_new(admitted, json_integer(requests[i].admitted));
            json_array_append_new(finished, json_integer(requests[i].finished));
        }
        for (int64_t i = 0; i < run.event_count; i++)
            json_array_append_new(moves, json_pack("[I,I,I]", (json_int_t)run.events[i].step,
                                                   (json_int_t)run.events[i].move.from,
                                                   (json_int_t)run.events[i].move.to));
        out = json_pack("{s:O,s:O,s:O,s:I,s:I,s:I}", "admitted", admitted, "finished", finished,
                        "moves", moves, "peak", (json_int_t)run.peak, "steps",
                        (json_int_t)run.steps, "steps_sequential", (json_int_t)tokens);
    }
    json_decref(admitted);
    json_decref(finished);
    json_decref(moves);
    free(run.events);
    free(requests);
    return out;
}

json_t *case_flover(const json_t *input, struct error *error)
{
    const json_t *status = json_object_get(input, "status");
    const json_t *cost = json_object_get(input, "cost");
    const json_t *simulations = json_object_get(input, "simulations");
    json_t *plain = json_array(), *weighted = json_array(), *runs = json_array();
    for (size_t i = 0; i < json_array_size(status); i++) {
        const json_t *slots = json_array_get(status, i);
        json_array_append_new(plain, reorder(slots, NULL));
        json_array_append_new(weighted, reorder(slots, json_array_get(cost, i)));
    }
    for (size_t i = 0; i < json_array_size(simulations); i++)
        json_array_append_new(runs, simulate(json_array_get(simulations, i), error));
    return json_pack("{s:o,s:o,s:o}", "reorder", plain, "reorder_weighted", weighted, "simulations",
                     runs);
}
