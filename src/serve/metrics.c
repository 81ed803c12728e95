/* See metrics.h. Names follow Prometheus's rules: base units, and _total for what only grows. */
#include "serve/metrics.h"

#include <inttypes.h>

static const int statuses[METRICS_STATUSES] = {200, 400, 401, 403, 404, 405, 408,
                                               413, 429, 499, 500, 501, 503, 504};
static const double bounds[METRICS_BOUNDS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                              0.5,   1,      2.5,   5,    10,    30,   60};
static const char *const routes[ROUTES] = {
    "/v1/completions", "/v1/chat/completions",
    "/v1/embeddings",  "/tokenize",
    "/detokenize",     "/v1/models",
    "/health",         "/metrics",
    "/stats",          "/",
    "other",
};

void histogram_add(struct histogram *h, double seconds)
{
    int i = 0;
    while (i < METRICS_BOUNDS && seconds > bounds[i])
        i++;
    h->buckets[i]++;
    h->sum += seconds;
}

void metrics_answer(struct metrics *metrics, enum metrics_route route, int status)
{
    int other = 0;
    for (int i = 0; i < METRICS_STATUSES; i++) {
        if (statuses[i] == status) {
            metrics->requests[route][i]++;
            return;
        }
        other = statuses[i] == 500 ? i : other;
    }
    metrics->requests[route][other]++;
}

static void head(struct buffer *text, const char *name, const char *type, const char *help)
{
    buffer_printf(text, "# HELP adze_%s %s\n# TYPE adze_%s %s\n", name, help, name, type);
}

static void number(struct buffer *text, const char *name, const char *type, const char *help,
                   int64_t value)
{
    head(text, name, type, help);
    buffer_printf(text, "adze_%s %" PRId64 "\n", name, value);
}

static void durations(struct buffer *text, const char *name, const char *help,
                      const struct histogram *h)
{
    uint64_t total = 0;
    head(text, name, "histogram", help);
    for (int i = 0; i < METRICS_BOUNDS; i++) {
        total += h->buckets[i];
        buffer_printf(text, "adze_%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, bounds[i], total);
    }
    total += h->buckets[METRICS_BOUNDS];
    buffer_printf(text,
                  "adze_%s_bucket{le=\"+Inf\"} %" PRIu64 "\nadze_%s_sum %.6f\nadze_%s_count "
                  "%" PRIu64 "\n",
                  name, total, name, h->sum, name, total);
}

void metrics_write(const struct metrics *m, const struct metrics_state *s, struct buffer *text)
{
    const struct engine_counts *e = &s->engine;
    head(text, "requests_total", "counter", "Requests answered, by route and status of HTTP.");
    for (int route = 0; route < ROUTES; route++)
        for (int i = 0; i < METRICS_STATUSES; i++)
            if (m->requests[route][i] > 0)
                buffer_printf(text, "adze_requests_total{route=\"%s\",status=\"%d\"} %" PRIu64 "\n",
                              routes[route], statuses[i], m->requests[route][i]);
    number(text, "connections", "gauge", "Open connections.", s->connections);
    number(text, "body_bytes", "gauge",
           "Bytes of requests that are being sent, wait or are at work.", s->body_bytes);
    number(text, "queue_sequences", "gauge", "Sequences that wait for a slot.", s->waiting);
    number(text, "working_sequences", "gauge", "Sequences at work.", s->working);
    number(text, "prompt_tokens_total", "counter", "Tokens of prompts taken in.", e->prompt_tokens);
    number(text, "shared_tokens_total", "counter", "Of these, found in the cache.",
           e->shared_tokens);
    number(text, "made_tokens_total", "counter", "Tokens generated.", e->made_tokens);
    number(text, "kept_tokens_total", "counter",
           "Tokens of answers computed again as prompts, for what follows them.", e->kept_tokens);
    number(text, "embedded_tokens_total", "counter", "Tokens of texts embedded.",
           (int64_t)m->embedded);
    number(text, "canceled_total", "counter", "Requests whose client left before the end.",
           (int64_t)m->canceled);
    number(text, "cache_pages", "gauge", "Pages of the key/value cache.", e->cache_pages);
    number(text, "cache_pages_used", "gauge", "Pages that are not free.",
           e->cache_pages - e->free_pages);
    number(text, "cache_pages_shared", "gauge", "Pages kept for prompts that begin alike.",
           e->shared_pages);
    number(text, "steps_total", "counter", "Steps of the engine.", e->steps);
    durations(text, "step_seconds", "Duration of a step of the engine.", &m->step);
    durations(text, "first_token_seconds", "From a request to its first token.", &m->first_token);
    durations(text, "request_seconds", "From a request to the end of its answer.", &m->request);
}
