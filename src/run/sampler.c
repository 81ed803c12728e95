/* See sampler.h. Only what the cuts can reach is sorted: vocabularies are large, and what is drawn
 * comes from a few. */
#include "run/sampler.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

#define RUN 64           /* logits looked at together */
#define LEAST_NATS 40.0f /* below the best after scaling, a token cannot be drawn */

struct sampler_candidate {
    float logit;
    float weight; /* exp(logit - largest), later also probability */
    float order;  /* what is sorted by */
    int32_t id;
};

enum status sampler_create(const struct sampling_options *options, int64_t vocabulary,
                           struct sampler *sampler, struct error *error)
{
    *sampler = (struct sampler){.options = *options, .vocabulary = vocabulary};
    sampler->limit = 2 * options->mirostat_surprise;
    sampler->candidates = malloc((size_t)vocabulary * sizeof *sampler->candidates);
    if (!sampler->candidates)
        return error_no_memory(error, (size_t)vocabulary * sizeof *sampler->candidates);
    return STATUS_OK;
}

void sampler_free(struct sampler *sampler)
{
    free(sampler->candidates);
    sampler->candidates = NULL;
}

/* Penalties. */

/* Marks the tokens from `first` on as not seen, in the room of the candidates, which are made
 * later. So a window takes as long as it has tokens, and a client cannot stall others by a long
 * one. */
static void forget(struct sampler *s, const int32_t *tokens, int64_t first, int64_t count)
{
    for (int64_t i = first; i < count; i++)
        if (tokens[i] >= 0 && tokens[i] < s->vocabulary)
            s->candidates[tokens[i]].id = 0;
}

/* Whether the token comes for the first time since `forget`. */
static bool is_new(struct sampler *s, int32_t token)
{
    return s->candidates[token].id++ == 0;
}

/* Each token of the window is punished once, however often it came. */
static void punish_repetition(struct sampler *s, float *logits, const int32_t *tokens,
                              int64_t count)
{
    int64_t window = s->options.repetition_window, first = count > window ? count - window : 0;
    float penalty = (float)s->options.repetition_penalty;
    forget(s, tokens, first, count);
    for (int64_t i = first; i < count; i++) {
        if (tokens[i] < 0 || tokens[i] >= s->vocabulary || !is_new(s, tokens[i]))
            continue;
        float *logit = &logits[tokens[i]];
        *logit = *logit > 0 ? *logit / penalty : *logit * penalty;
    }
}

static void punish_made(struct sampler *s, float *logits, const int32_t *tokens, int64_t count,
                        int64_t prompt)
{
    forget(s, tokens, prompt, count);
    for (int64_t i = prompt; i < count; i++) {
        if (tokens[i] < 0 || tokens[i] >= s->vocabulary)
            continue;
        logits[tokens[i]] -= (float)s->options.frequency_penalty;
        if (is_new(s, tokens[i]))
            logits[tokens[i]] -= (float)s->options.presence_penalty;
    }
}

static void adjust(struct sampler *s, float *logits, const int32_t *tokens, int64_t count,
                   int64_t prompt)
{
    const struct sampling_options *o = &s->options;
    for (int64_t i = 0; i < s->bias_count; i++)
        if (s->biases[i].token >= 0 && s->biases[i].token < s->vocabulary)
            logits[s->biases[i].token] += s->biases[i].bias;
    if (o->repetition_penalty > 0 && o->repetition_penalty != 1)
        punish_repetition(s, logits, tokens, count);
    if (o->presence_penalty != 0 || o->frequency_penalty != 0)
        punish_made(s, logits, tokens, count, prompt);
}

/* Candidates. */

static int by_order(const void *a, const void *b)
{
    const struct sampler_candidate *x = a, *y = b;
    if (x->order != y->order)
        return x->order < y->order ? 1 : -1;
    return x->id - y->id;
}

static void sort(struct sampler *s, int64_t count)
{
    qsort(s->candidates, (size_t)count, sizeof *s->candidates, by_order);
}

/* All tokens within `nats` of the best after scaling, unsorted, weighed. */
static int64_t collect(struct sampler *s, const float *logits, float most, float nats)
{
    float scale = (float)fmax(s->options.temperature, 1e-3), least = most - nats * scale;
    int64_t count = 0;
    for (int64_t i = 0; i < s->vocabulary; i++)
        if (logits[i] >= least) {
            float weight = expf((logits[i] - most) / scale);
            s->candidates[count++] =
                (struct sampler_candidate){logits[i], weight, logits[i], (int32_t)i};
        }
    return count;
}

/* The k first in falling order of weight, without sorting the others: a quickselect that leaves
 * them behind. */
static void bring_forward(struct sampler *s, int64_t count, int64_t k)
{
    struct sampler_candidate *c = s->candidates;
    int64_t low = 0, high = count - 1;
    while (low < high) {
        struct sampler_candidate pivot = c[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (by_order(&c[i], &pivot) < 0)
                i++;
            while (by_order(&c[j], &pivot) > 0)
                j--;
            if (i <= j) {
                struct sampler_candidate swap = c[i];
                c[i++] = c[j];
                c[j--] = swap;
            }
        }
        if (k - 1 <= j)
            high = j;
        else if (k - 1 >= i)
            low = i;
        else
            return;
    }
}

static double total_weight(const struct sampler *s, int64_t count)
{
    double total = 0;
    for (int64_t i = 0; i < count; i++)
        total += (double)s->candidates[i].weight;
    return total;
}

/* The smallest set of the first whose share of all weight reaches `share`. */
static int64_t cut_mass(const struct sampler *s, int64_t count, double share)
{
    double total = total_weight(s, count), sum = 0;
    int64_t kept = 0;
    while (kept < count && (kept == 0 || sum < share * total))
        sum += (double)s->candidates[kept++].weight;
    return kept;
}

/* The tokens whose surprise is nearest to what is expected, up to their share of the mass. */
static int64_t cut_typical(struct sampler *s, int64_t count)
{
    double total = total_weight(s, count), entropy = 0;
    for (int64_t i = 0; i < count; i++) {
        double p = (double)s->candidates[i].weight / total;
        entropy -= p > 0 ? p * log(p) : 0;
    }
    for (int64_t i = 0; i < count; i++) {
        double p = (double)s->candidates[i].weight / total;
        s->candidates[i].order = (float)-fabs(-log(p) - entropy);
    }
    sort(s, count);
    return cut_mass(s, count, s->options.typical_p);
}

/* Those that have a part of the likeliest one's weight, which typical_p may have left out: of the
 * ones that are left, so one always stays. */
static int64_t cut_weak(struct sampler *s, int64_t count, double part)
{
    double most = 0;
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i++)
        most = fmax(most, (double)s->candidates[i].weight);
    for (int64_t i = 0; i < count; i++)
        if ((double)s->candidates[i].weight >= part * most)
            s->candidates[kept++] = s->candidates[i];
    return kept;
}

static bool on(double share)
{
    return share > 0 && share < 1;
}

/* Candidates that the options leave, weighed; sorted only as far as the cuts need it. */
static int64_t choose(struct sampler *s, const float *logits, float most)
{
    const struct sampling_options *o = &s->options;
    int64_t count = collect(s, logits, most, LEAST_NATS);
    if (o->top_k > 0 && o->top_k < count) {
        bring_forward(s, count, o->top_k);
        count = o->top_k;
    }
    if (on(o->typical_p))
        count = cut_typical(s, count);
    if (o->min_p > 0)
        count = cut_weak(s, count, o->min_p);
    for (int64_t i = 0; i < count; i++)
        s->candidates[i].order = s->candidates[i].logit;
    if (!on(o->top_p))
        return count;
    sort(s, count);
    return cut_mass(s, count, o->top_p);
}

static int32_t draw(struct sampler *s, int64_t count)
{
    struct random_address address = {s->options.seed, RANDOM_SAMPLE, 0, 0};
    double left = total_weight(s, count) * random_uniform(address, (uint64_t)s->drawn++);
    for (int64_t i = 0; i + 1 < count; i++) {
        left -= (double)s->candidates[i].weight;
        if (left < 0)
            return s->candidates[i].id;
    }
    return count > 0 ? s->candidates[count - 1].id : 0;
}

/* Mirostat (Basu et al. 2021): keeps the surprise of what is drawn at tau by a limit that learns.
 * Version 1 turns the limit into a k by the slope of Zipf's law among the first 100 tokens (its
 * algorithm 1); version 2 cuts what is more surprising than the limit (algorithm 2). */
static int64_t mirostat_k(const struct sampler *s, int64_t count)
{
    double top = 0, bottom = 0;
    int64_t first = count < 100 ? count : 100;
    for (int64_t i = 0; i + 1 < first; i++) {
        double t = log((double)(i + 2) / (double)(i + 1));
        double b = log((double)s->candidates[i].weight / (double)s->candidates[i + 1].weight);
        top += t * b;
        bottom += t * t;
    }
    double slope = bottom > 0 ? top / bottom : 1, epsilon = slope - 1;
    double k = epsilon == 0
                   ? (double)count
                   : pow(epsilon * pow(2, s->limit) / (1 - pow((double)s->vocabulary, -epsilon)),
                         1 / slope);
    return k < 1 || !isfinite(k) ? 1 : k > (double)count ? count : (int64_t)round(k);
}

static int32_t draw_mirostat(struct sampler *s, const float *logits, float most)
{
    int64_t count = collect(s, logits, most, LEAST_NATS), kept = 1;
    double total = total_weight(s, count);
    sort(s, count);
    if (s->options.mirostat == 1)
        kept = mirostat_k(s, count);
    else
        while (kept < count && -log2((double)s->candidates[kept].weight / total) <= s->limit)
            kept++;
    double share = total_weight(s, kept);
    int32_t token = draw(s, kept);
    for (int64_t i = 0; i < kept; i++)
        if (s->candidates[i].id == token) {
            double surprise = -log2((double)s->candidates[i].weight / share);
            s->limit -= s->options.mirostat_rate * (surprise - s->options.mirostat_surprise);
        }
    return token;
}

/* The first of the largest. Maxima of short runs, which the compiler makes without branches, say
 * which run is worth a look. */
static int32_t likeliest(const float *logits, int64_t count)
{
    int64_t best = 0;
    for (int64_t begin = 0; begin < count; begin += RUN) {
        int64_t end = begin + RUN < count ? begin + RUN : count;
        int larger = 0;
        for (int64_t i = begin; i < end; i++)
            larger |= logits[i] > logits[best];
        for (int64_t i = begin; larger && i < end; i++)
            if (logits[i] > logits[best])
                best = i;
    }
    return (int32_t)best;
}

int32_t sampler_draw(struct sampler *s, float *logits, const int32_t *tokens, int64_t count,
                     int64_t prompt)
{
    adjust(s, logits, tokens, count, prompt);
    int32_t best = likeliest(logits, s->vocabulary);
    if (s->options.temperature <= 0 || !isfinite(logits[best]))
        return best;
    if (s->options.mirostat > 0)
        return draw_mirostat(s, logits, logits[best]);
    return draw(s, choose(s, logits, logits[best]));
}
