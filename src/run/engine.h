/* The generation engine: many requests at once over one model, for the command line, the server and
 * the methods. Requests join and leave at any step; a step computes one token of every request that
 * generates, and beside them a bounded piece of the prompts that wait (slots.h, packing.h). What a
 * request gets does not depend on its company, bit for bit: single tokens and pieces of prompts are
 * each computed by kernels whose result for a row is the same whatever other rows there are.
 *
 * Keys and values of made tokens come from the kernels of single tokens and so are other bits than
 * those of the same tokens in a prompt. They are therefore not shared: what a request gets would
 * depend on who came before. Answers that are likely to be part of a later prompt, as in a
 * conversation, are computed again as a prompt while there is nothing else to do (`keep`), and give
 * way at once when there is.
 *
 * One thread calls all functions of an engine; callbacks are made from within engine_step. */
#ifndef RUN_ENGINE_H
#define RUN_ENGINE_H

#include "file/model.h"
#include "model/kv_cache.h"
#include "run/packing.h"
#include "run/sampler.h"
#include "tensor/tape.h"

struct engine_options {
    int64_t slots;        /* requests at work at once */
    int64_t context;      /* longest sequence; 0: the model's */
    int64_t cache_tokens; /* room for keys and values of all of them; 0: slots * context, at most
                             2^20 */
    int64_t chunk;        /* tokens of prompts in a step; 0: 512 */
    enum kv_format kv_format;
    enum packing_rule packing;
    bool share_prefixes; /* prompts that begin alike are computed once */
};

enum engine_end { ENGINE_STOPPED, ENGINE_LENGTH, ENGINE_CANCELED, ENGINE_FAILED };

struct engine_likely {
    int32_t token;
    float log_probability; /* nats */
};

/* What the owner of a request is told of a token. */
struct engine_token {
    int32_t token;
    bool of_prompt;
    float log_probability;              /* when asked for; 0 for a prompt's first token */
    const struct engine_likely *likely; /* the likeliest at this place, falling */
    int64_t likely_count;
    const char *text; /* what may be shown now, of this and of tokens before it */
    size_t length;
};

struct engine_result {
    enum engine_end end;
    int64_t prompt_tokens, shared_tokens, made_tokens;
    double wait_seconds, prompt_seconds, seconds; /* in the queue, on the prompt, in all */
    const char *text;                             /* what was still held back */
    size_t length;
    const char *message; /* ENGINE_FAILED */
};

#define ENGINE_LIKELY_MOST 20

/* A request; everything it points to is copied, except `context`. */
struct engine_request {
    const int32_t *prompt;
    int64_t prompt_count;
    struct sampling_options sampling;
    const struct token_bias *biases;
    int64_t bias_count;
    const char *const *stops; /* texts that end it, and are not part of it */
    int64_t stop_count;
    int64_t most_tokens;           /* may be 0: the prompt alone is computed */
    bool log_probabilities;        /* of made tokens */
    bool prompt_log_probabilities; /* the prompt's tokens are told, too */
    int64_t likely;                /* alternatives told with them, at most ENGINE_LIKELY_MOST */
    bool ignore_end;               /* go on behind the token that ends a text */
    bool specials;                 /* special tokens have text */
    const int32_t *shown;          /* those that have it all the same */
    int64_t shown_count;
    bool continues; /* the prompt is the middle of a text: no space is dropped */
    bool keep;      /* a later prompt is likely to begin with this one and what was made of it: see
                       above; nothing without share_prefixes */
    /* May return false to cancel. May be NULL. */
    bool (*on_token)(void *context, const struct engine_token *token);
    /* Told once, last. May be NULL. */
    void (*on_end)(void *context, const struct engine_result *result);
    void *context;
};

struct engine_counts {
    int64_t waiting, working;
    int64_t cache_pages, free_pages, shared_pages;
    int64_t steps, prompt_tokens, shared_tokens, made_tokens, moves, ended;
    int64_t kept_tokens; /* of answers, computed again as prompts */
};

struct engine;

/* Over a model and a compute, which must outlive it. Free with engine_free, which cancels all. */
enum status engine_create(struct model *model, struct compute *compute,
                          const struct engine_options *options, struct engine **engine,
                          struct error *error);
void engine_free(struct engine *engine);

/* Queues a request. *id, which may be NULL, names it for engine_cancel. Fails, telling nobody, when
 * the request can never be served: an empty prompt, tokens outside the vocabulary, a prompt longer
 * than the context or the cache. */
enum status engine_submit(struct engine *engine, const struct engine_request *request, int64_t *id,
                          struct error *error);
/* The request ends before the next step; nothing happens when it has ended. */
void engine_cancel(struct engine *engine, int64_t id);
/* One step. False when there is nothing to do; answers to be kept are something, which the counts
 * of waiting and working requests leave out. */
bool engine_step(struct engine *engine);
/* Steps until nothing is left to do. */
void engine_run(struct engine *engine);

/* One request from beginning to end, on an engine of its own. `result` receives what on_end would
 * be told, without texts. */
enum status engine_complete(struct model *model, struct compute *compute,
                            const struct engine_request *request, struct engine_result *result,
                            struct error *error);

struct engine_counts engine_count(const struct engine *engine);
int64_t engine_context(const struct engine *engine);

#endif
