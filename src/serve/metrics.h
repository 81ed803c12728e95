/* What the server counts, and its text in the form that Prometheus reads. */
#ifndef SERVE_METRICS_H
#define SERVE_METRICS_H

#include <stdint.h>

#include "base/buffer.h"
#include "run/engine.h"

enum metrics_route {
    ROUTE_COMPLETIONS,
    ROUTE_CHAT,
    ROUTE_EMBEDDINGS,
    ROUTE_TOKENIZE,
    ROUTE_DETOKENIZE,
    ROUTE_MODELS,
    ROUTE_HEALTH,
    ROUTE_METRICS,
    ROUTE_STATS,
    ROUTE_PAGE,
    ROUTE_OTHER,
    ROUTES
};

#define METRICS_STATUSES 14
#define METRICS_BOUNDS 15

/* Durations in seconds; bucket i counts those up to bound i, the last one all others. */
struct histogram {
    uint64_t buckets[METRICS_BOUNDS + 1];
    double sum;
};
void histogram_add(struct histogram *histogram, double seconds);

struct metrics {
    uint64_t requests[ROUTES][METRICS_STATUSES];
    struct histogram step, first_token, request;
    uint64_t canceled; /* by clients that left */
    uint64_t embedded; /* tokens of embeddings */
};
/* Counts an answer; a status that is not listed counts as 500. */
void metrics_answer(struct metrics *metrics, enum metrics_route route, int status);

/* What is true just now, beside the counts. */
struct metrics_state {
    int64_t waiting, working, connections, body_bytes;
    struct engine_counts engine;
};
void metrics_write(const struct metrics *metrics, const struct metrics_state *state,
                   struct buffer *text);

#endif
