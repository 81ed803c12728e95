/* See engine.h. */
#include "run/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/topk.h"
#include "run/prefixes.h"
#include "run/slots.h"
#include "run/text_stream.h"

#define CHUNK_USUAL 512
#define KEPT_MOST 64                  /* answers that wait to be computed again */
#define CACHE_MOST ((int64_t)1 << 20) /* tokens, when nobody says how many */

/* A request at work or waiting. */
struct engine_job {
    struct engine_job *next; /* in the queue */
    int64_t id;
    struct engine_request request; /* pointing to copies */
    struct arena arena;            /* that hold them */
    struct tok_ids tokens;         /* prompt, then what was made */
    int64_t made, shared;
    struct kv_sequence sequence;
    int64_t pages; /* that it may need in all */
    bool beyond, canceled, ended;
    bool kept, known; /* an answer that is computed again; that has been */
    struct sampler sampler;
    struct text_stream stream;
    double submitted, started, prompted;
};

struct engine {
    struct model *model;
    struct engine_options options;
    struct tape tape;
    struct kv_cache cache;
    struct prefixes prefixes;
    struct engine_job **slots;
    int64_t first, end; /* window of slots at work */
    struct engine_job *queue, **queue_end;
    struct engine_job *kept; /* answers to be computed again, the last one first */
    int64_t kept_count, kept_working;
    struct decoder_run *runs;
    struct engine_job **run_jobs, **prompts;
    struct slot_move *moves;
    int64_t *taken;
    float *logits;
    int64_t logit_rows;
    int64_t next_id;
    struct engine_counts counts;
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Creating. */

enum status engine_create(struct model *model, struct compute *compute,
                          const struct engine_options *options, struct engine **result,
                          struct error *error)
{
    struct engine *e = calloc(1, sizeof *e);
    *result = NULL;
    if (!e)
        return error_no_memory(error, sizeof *e);
    const struct decoder_config *c = &model->decoder.config;
    e->model = model;
    e->options = *options;
    e->queue_end = &e->queue;
    struct engine_options *o = &e->options;
    o->context = o->context > 0 && o->context < c->context ? o->context : c->context;
    o->chunk = o->chunk > 0 ? o->chunk : CHUNK_USUAL;
    if (o->cache_tokens == 0)
        o->cache_tokens = o->slots > CACHE_MOST / o->context ? CACHE_MOST : o->slots * o->context;
    if (decoder_state_values(c) > 0)
        o->share_prefixes = false; /* pages alone are no beginning then */
    tape_init(&e->tape, compute);
    size_t slots = (size_t)o->slots;
    e->slots = calloc(slots, sizeof(struct engine_job *));
    e->runs = malloc(slots * sizeof *e->runs);
    e->run_jobs = malloc(slots * sizeof(struct engine_job *));
    e->prompts = malloc(slots * sizeof(struct engine_job *));
    e->moves = malloc(slots * sizeof *e->moves);
    e->taken = malloc(slots * sizeof *e->taken);
    enum status status = STATUS_OK;
    if (!e->slots || !e->runs || !e->run_jobs || !e->prompts || !e->moves || !e->taken)
        status = error_no_memory(error, slots * 100);
    if (status == STATUS_OK)
        status = kv_cache_create(c, o->kv_format, o->cache_tokens, &e->cache, error);
    if (status == STATUS_OK)
        status = prefixes_create(&e->cache, &e->prefixes, error);
    if (status == STATUS_OK)
        *result = e;
    else
        engine_free(e);
    return status;
}

static void free_job(struct engine *e, struct engine_job *job)
{
    kv_sequence_clear(&e->cache, &job->sequence);
    sampler_free(&job->sampler);
    text_stream_free(&job->stream);
    tok_ids_free(&job->tokens);
    arena_free(&job->arena);
    free(job);
}

static void end_job(struct engine *e, struct engine_job *job, enum engine_end end,
                    const char *message)
{
    const struct engine_request *r = &job->request;
    double time = now(), started = job->started > 0 ? job->started : time;
    struct engine_result result = {
        .end = end,
        .prompt_tokens = r->prompt_count,
        .shared_tokens = job->shared,
        .made_tokens = job->made,
        .wait_seconds = started - job->submitted,
        .prompt_seconds = (job->prompted > 0 ? job->prompted : time) - started,
        .seconds = time - job->submitted,
        .text = "",
        .message = message,
    };
    job->ended = true;
    if (job->kept) {
        job->known = true;
        return;
    }
    e->counts.ended++;
    job->request.keep = r->keep && (end == ENGINE_STOPPED || end == ENGINE_LENGTH);
    if (!job->stream.stopped)
        text_stream_finish(&job->stream, &result.text, &result.length);
    if (r->on_end)
        r->on_end(r->context, &result);
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    while (e->queue) {
        struct engine_job *job = e->queue;
        e->queue = job->next;
        end_job(e, job, ENGINE_CANCELED, NULL);
        free_job(e, job);
    }
    for (int64_t i = e->first; i < e->end; i++) {
        end_job(e, e->slots[i], ENGINE_CANCELED, NULL);
        free_job(e, e->slots[i]);
    }
    while (e->kept) {
        struct engine_job *job = e->kept;
        e->kept = job->next;
        free_job(e, job);
    }
    prefixes_free(&e->prefixes);
    kv_cache_free(&e->cache);
    tape_free(&e->tape);
    free(e->slots);
    free(e->runs);
    free(e->run_jobs);
    free(e->prompts);
    free(e->moves);
    free(e->taken);
    free(e->logits);
    free(e);
}

/* Requests. */

static enum status check_request(const struct engine *e, const struct engine_request *r,
                                 struct error *error)
{
    int64_t vocabulary = e->model->decoder.config.vocabulary;
    if (r->prompt_count < 1)
        return error_set(error, STATUS_USAGE, "the prompt is empty");
    if (r->prompt_count > e->options.context)
        return error_set(error, STATUS_FAILED,
                         "the prompt of %lld tokens is longer than the context of %lld",
                         (long long)r->prompt_count, (long long)e->options.context);
    for (int64_t i = 0; i < r->prompt_count; i++)
        if (r->prompt[i] < 0 || r->prompt[i] >= vocabulary)
            return error_set(error, STATUS_USAGE,
                             "token %lld of the prompt, %ld, is none of the "
                             "vocabulary's %lld",
                             (long long)i, (long)r->prompt[i], (long long)vocabulary);
    if (kv_pages_for(r->prompt_count) > e->cache.pages)
        return error_set(error, STATUS_FAILED,
                         "the prompt of %lld tokens does not fit the key/value cache of %lld",
                         (long long)r->prompt_count, (long long)(e->cache.pages * KV_PAGE));
    return STATUS_OK;
}

/* Copies what the request points to. */
static bool copy_request(struct engine_job *job, const struct engine_request *r)
{
    struct token_bias *biases =
        arena_calloc(&job->arena, (size_t)r->bias_count + 1, sizeof *biases);
    char **stops = arena_calloc(&job->arena, (size_t)r->stop_count + 1, sizeof *stops);
    int32_t *shown = arena_calloc(&job->arena, (size_t)r->shown_count + 1, sizeof *shown);
    if (!biases || !stops || !shown)
        return false;
    job->request = *r;
    job->request.stop_count = 0;
    for (int64_t i = 0; i < r->stop_count; i++) {
        if (!*r->stops[i])
            continue;
        char *copy = arena_strdup(&job->arena, r->stops[i]);
        if (!copy)
            return false;
        stops[job->request.stop_count++] = copy;
    }
    if (r->bias_count > 0)
        memcpy(biases, r->biases, (size_t)r->bias_count * sizeof *biases);
    if (r->shown_count > 0)
        memcpy(shown, r->shown, (size_t)r->shown_count * sizeof *shown);
    job->request.biases = biases;
    job->request.shown = job->stream.shown = shown;
    job->stream.shown_count = r->shown_count;
    job->request.stops = (const char *const *)stops;
    job->stream.stops = stops;
    job->stream.stop_count = job->request.stop_count;
    return true;
}

enum status engine_submit(struct engine *e, const struct engine_request *r, int64_t *id,
                          struct error *error)
{
    enum status status = check_request(e, r, error);
    if (status != STATUS_OK)
        return status;
    struct engine_job *job = calloc(1, sizeof *job);
    if (!job || !copy_request(job, r)) {
        if (job)
            arena_free(&job->arena);
        free(job);
        return error_no_memory(error, sizeof *job);
    }
    const struct decoder_config *c = &e->model->decoder.config;
    int64_t longest = r->prompt_count + r->most_tokens;
    longest = longest < e->options.context ? longest : e->options.context;
    job->pages = kv_pages_for(longest);
    job->pages = job->pages < e->cache.pages ? job->pages : e->cache.pages;
    job->beyond = c->rope.scaling == ROPE_SCALING_LONG && longest > c->rope.first_context;
    job->request.likely = r->likely < ENGINE_LIKELY_MOST ? r->likely : ENGINE_LIKELY_MOST;
    job->stream.tokenizer = e->model->has_tokenizer ? &e->model->tokenizer : NULL;
    job->stream.specials = r->specials;
    job->stream.started = r->continues;
    job->id = ++e->next_id;
    job->submitted = now();
    status = tok_ids_add(&job->tokens, r->prompt, r->prompt_count, error);
    if (status == STATUS_OK)
        status = sampler_create(&r->sampling, c->vocabulary, &job->sampler, error);
    if (status != STATUS_OK) {
        free_job(e, job);
        return status;
    }
    job->sampler.biases = job->request.biases;
    job->sampler.bias_count = job->request.bias_count;
    *e->queue_end = job;
    e->queue_end = &job->next;
    e->counts.waiting++;
    if (id)
        *id = job->id;
    return STATUS_OK;
}

void engine_cancel(struct engine *e, int64_t id)
{
    for (struct engine_job *job = e->queue; job; job = job->next)
        job->canceled |= job->id == id;
    for (int64_t i = e->first; i < e->end; i++)
        e->slots[i]->canceled |= e->slots[i]->id == id;
}

/* Admission: first come, first served. */

static void drop_canceled(struct engine *e)
{
    for (struct engine_job **link = &e->queue; *link;) {
        struct engine_job *job = *link;
        if (!job->canceled) {
            link = &job->next;
            continue;
        }
        *link = job->next;
        e->counts.waiting--;
        end_job(e, job, ENGINE_CANCELED, NULL);
        free_job(e, job);
    }
    e->queue_end = &e->queue;
    while (*e->queue_end)
        e->queue_end = &(*e->queue_end)->next;
    for (int64_t i = e->first; i < e->end; i++)
        if (e->slots[i]->canceled && !e->slots[i]->ended)
            end_job(e, e->slots[i], ENGINE_CANCELED, NULL);
}

/* Pages that the requests at work may still ask for. */
static int64_t promised_pages(const struct engine *e)
{
    int64_t pages = 0;
    for (int64_t i = e->first; i < e->end; i++)
        pages += e->slots[i]->pages - e->slots[i]->sequence.page_count;
    return pages;
}

/* Lets the request begin with what is known of its prompt; its last token is always computed, since
 * its logits are wanted. */
static void share_prefix(struct engine *e, struct engine_job *job)
{
    if (!e->options.share_prefixes || job->request.prompt_log_probabilities)
        return;
    struct error ignored; /* without memory for a list of pages nothing is shared */
    prefixes_find(&e->prefixes, job->beyond, job->tokens.items, job->request.prompt_count - 1,
                  &job->sequence, &ignored);
    job->shared = job->sequence.length;
}

/* Puts a job at work; false when it has to wait for a slot or for pages. */
static bool begin_job(struct engine *e, struct engine_job *job)
{
    int64_t slot = slots_admit(e->options.slots, e->first, e->end);
    if (slot < 0)
        return false;
    share_prefix(e, job);
    int64_t needed = promised_pages(e) + job->pages - job->sequence.page_count;
    if (!prefixes_make_room(&e->prefixes, needed)) {
        kv_sequence_truncate(&e->cache, &job->sequence, 0);
        return false;
    }
    job->started = now();
    e->slots[slot] = job;
    if (e->first == e->end)
        e->first = e->end = slot;
    e->first = slot < e->first ? slot : e->first;
    e->end = slot >= e->end ? slot + 1 : e->end;
    return true;
}

static void admit(struct engine *e)
{
    while (e->queue) {
        struct engine_job *job = e->queue;
        if (!begin_job(e, job))
            return;
        e->queue = job->next;
        if (!e->queue)
            e->queue_end = &e->queue;
        job->next = NULL;
        e->counts.waiting--;
        e->counts.working++;
        e->counts.prompt_tokens += job->request.prompt_count;
        e->counts.shared_tokens += job->shared;
    }
}

/* Answers that are computed again as prompts. */

static void drop_oldest_kept(struct engine *e)
{
    struct engine_job **link = &e->kept;
    while ((*link)->next)
        link = &(*link)->next;
    free_job(e, *link);
    *link = NULL;
    e->kept_count--;
}

/* Takes a job over that has ended, as a request for its tokens' whole pages that tells nobody.
 * False when there is nothing to gain. */
static bool keep_job(struct engine *e, struct engine_job *job)
{
    int64_t whole = job->tokens.count < e->options.context ? job->tokens.count : e->options.context;
    whole = whole / KV_PAGE * KV_PAGE;
    bool gains = job->kept ? !job->known : whole > job->request.prompt_count / KV_PAGE * KV_PAGE;
    if (!e->options.share_prefixes || !job->request.keep || !gains ||
        kv_pages_for(whole) > e->cache.pages)
        return false;
    kv_sequence_clear(&e->cache, &job->sequence);
    sampler_free(&job->sampler);
    text_stream_free(&job->stream);
    job->stream = (struct text_stream){0};
    job->tokens.count = whole;
    job->request = (struct engine_request){.prompt_count = whole, .keep = true};
    job->pages = kv_pages_for(whole);
    job->made = 0;
    job->canceled = job->ended = false;
    job->kept = true;
    job->id = ++e->next_id; /* nobody's, to be canceled by */
    if (e->kept_count == KEPT_MOST)
        drop_oldest_kept(e);
    job->next = e->kept;
    e->kept = job;
    e->kept_count++;
    return true;
}

/* Kept answers work one by one while nothing else does. When something comes they end, to go on
 * later; the pages that they have computed are known then. */
static void turn_to_kept(struct engine *e)
{
    bool others = e->queue || e->end - e->first > e->kept_working;
    struct engine_job *job = e->kept;
    for (int64_t i = e->first; i < e->end && others; i++)
        e->slots[i]->ended |= e->slots[i]->kept;
    if (others || !job || e->kept_working > 0)
        return;
    e->kept = job->next;
    e->kept_count--;
    job->next = NULL;
    if (begin_job(e, job))
        e->kept_working++;
    else
        free_job(e, job);
}

/* Leaving. */

static void evict(struct engine *e)
{
    int64_t left = 0, start;
    for (int64_t i = 0; i < e->options.slots; i++) {
        struct engine_job *job = i >= e->first && i < e->end ? e->slots[i] : NULL;
        if (job && job->ended) {
            *(job->kept ? &e->kept_working : &e->counts.working) -= 1;
            if (!keep_job(e, job))
                free_job(e, job);
            job = NULL;
            left++;
        }
        e->slots[i] = job;
        e->taken[i] = job ? job->id : -1;
    }
    if (left == 0)
        return;
    int64_t count = slots_reorder(e->taken, NULL, e->options.slots, e->moves, &start);
    for (int64_t i = 0; i < count; i++) {
        e->slots[e->moves[i].to] = e->slots[e->moves[i].from];
        e->slots[e->moves[i].from] = NULL;
    }
    e->counts.moves += count;
    e->first = start;
    e->end = start + e->counts.working + e->kept_working;
}

/* Building a step. */

static bool is_single(const struct engine_job *job)
{
    return job->made > 0;
}

static int64_t piece_of(const struct engine *e, const struct engine_job *job)
{
    int64_t left = job->request.prompt_count - job->sequence.length;
    return left < e->options.chunk ? left : e->options.chunk;
}

static void add_run(struct engine *e, int64_t *count, struct engine_job *job, int64_t piece)
{
    bool last = job->sequence.length + piece == job->tokens.count;
    int64_t outputs = job->request.prompt_log_probabilities && !is_single(job) ? piece : last;
    e->run_jobs[*count] = job;
    e->runs[(*count)++] = (struct decoder_run){
        .sequence = &job->sequence,
        .tokens = job->tokens.items + job->sequence.length,
        .count = piece,
        .single = is_single(job),
        .outputs = outputs,
        .beyond = job->beyond,
    };
}

/* Of the prompts that wait, those packed into the row of the one that came first. */
static enum status add_prompts(struct engine *e, int64_t *count, struct error *error)
{
    int64_t waiting = 0, oldest = 0, row = 0;
    for (int64_t i = e->first; i < e->end; i++) {
        struct engine_job *job = e->slots[i];
        if (is_single(job))
            continue;
        e->taken[waiting] = piece_of(e, job);
        e->prompts[waiting] = job;
        oldest = job->id < e->prompts[oldest]->id ? waiting : oldest;
        waiting++;
    }
    if (waiting == 0)
        return STATUS_OK;
    struct packing packing;
    enum status status =
        packing_make(e->taken, waiting, e->options.chunk, e->options.packing, &packing, error);
    if (status != STATUS_OK)
        return status;
    for (int64_t r = 0; r < packing.rows; r++)
        for (int64_t i = packing.begin[r]; i < packing.begin[r + 1]; i++)
            row = packing.order[i] == oldest ? r : row;
    for (int64_t i = packing.begin[row]; i < packing.begin[row + 1]; i++) {
        struct engine_job *job = e->prompts[packing.order[i]];
        add_run(e, count, job, piece_of(e, job));
    }
    packing_free(&packing);
    return STATUS_OK;
}

/* The runs of a step; their pages are reserved. */
static enum status build_step(struct engine *e, int64_t *count, int64_t *outputs,
                              struct error *error)
{
    *count = *outputs = 0;
    for (int64_t beyond = 0; beyond < 2; beyond++) /* each kind of rotation together */
        for (int64_t i = e->first; i < e->end; i++)
            if (is_single(e->slots[i]) && e->slots[i]->beyond == beyond)
                add_run(e, count, e->slots[i], 1);
    enum status status = add_prompts(e, count, error);
    for (int64_t i = 0; i < *count && status == STATUS_OK; i++) {
        *outputs += e->runs[i].outputs;
        status = kv_sequence_reserve(&e->cache, e->runs[i].sequence, e->runs[i].count, error);
    }
    if (status != STATUS_OK || *outputs == 0 || *outputs <= e->logit_rows)
        return status;
    size_t bytes = (size_t)(*outputs * e->model->decoder.config.vocabulary) * sizeof(float);
    float *logits = realloc(e->logits, bytes);
    if (!logits)
        return error_no_memory(error, bytes);
    e->logits = logits;
    e->logit_rows = *outputs;
    return STATUS_OK;
}

/* Telling. */

/* Log-probability of a token and the likeliest ones, from untouched logits. */
static void describe(const struct engine *e, const struct engine_job *job, const float *logits,
                     struct engine_token *token, struct engine_likely *likely)
{
    int64_t vocabulary = e->model->decoder.config.vocabulary;
    float sum = e->tape.compute->kernels->log_sum_exp(vocabulary, logits);
    struct topk_item items[ENGINE_LIKELY_MOST];
    struct topk top = {.items = items, .limit = job->request.likely};
    for (int64_t i = 0; top.limit > 0 && i < vocabulary; i++)
        topk_offer(&top, (double)logits[i], i);
    if (top.limit > 0)
        topk_sort(&top);
    for (int64_t i = 0; i < top.count; i++)
        likely[i] = (struct engine_likely){(int32_t)items[i].index, (float)items[i].key - sum};
    token->log_probability = logits[token->token] - sum;
    token->likely = likely;
    token->likely_count = top.count;
}

static bool tell(const struct engine_job *job, const struct engine_token *token)
{
    return !job->request.on_token || job->request.on_token(job->request.context, token);
}

/* Tokens of the prompt that this piece has computed logits before. */
static bool tell_prompt(const struct engine *e, const struct engine_job *job, int64_t first,
                        int64_t count, const float *logits)
{
    struct engine_likely likely[ENGINE_LIKELY_MOST];
    int64_t vocabulary = e->model->decoder.config.vocabulary;
    if (first == 0) {
        struct engine_token begin = {.token = job->tokens.items[0], .of_prompt = true, .text = ""};
        if (!tell(job, &begin))
            return false;
    }
    for (int64_t i = 0; i < count && first + i + 1 < job->request.prompt_count; i++) {
        struct engine_token token = {
            .token = job->tokens.items[first + i + 1], .of_prompt = true, .text = ""};
        describe(e, job, logits + i * vocabulary, &token, likely);
        if (!tell(job, &token))
            return false;
    }
    return true;
}

/* Draws the next token of a request and says so; ends the request where it ends. */
static void make_token(struct engine *e, struct engine_job *job, float *logits)
{
    const struct engine_request *r = &job->request;
    struct engine_likely likely[ENGINE_LIKELY_MOST];
    struct engine_token told = {.text = ""};
    struct error error = {0};
    if (job->made == 0)
        job->prompted = now();
    if (job->made >= r->most_tokens) {
        end_job(e, job, ENGINE_LENGTH, NULL);
        return;
    }
    float *raw = NULL;
    size_t bytes = (size_t)e->model->decoder.config.vocabulary * sizeof *raw;
    struct arena_mark mark = arena_save(&e->tape.activations);
    if (r->log_probabilities && (raw = tape_alloc(&e->tape, bytes)))
        memcpy(raw, logits, bytes);
    told.token =
        sampler_draw(&job->sampler, logits, job->tokens.items, job->tokens.count, r->prompt_count);
    if (raw)
        describe(e, job, raw, &told, likely);
    arena_rewind(&e->tape.activations, mark);
    enum status status = tok_ids_add(&job->tokens, &told.token, 1, &error);
    job->made++;
    e->counts.made_tokens++;
    bool ends = !r->ignore_end && e->model->has_tokenizer && model_is_end(e->model, told.token);
    if (status == STATUS_OK && job->stream.tokenizer && !ends)
        status = text_stream_add(&job->stream, told.token, &told.text, &told.length, &error);
    bool wanted = tell(job, &told);
    if (status != STATUS_OK)
        end_job(e, job, ENGINE_FAILED, error.message);
    else if (!wanted)
        end_job(e, job, ENGINE_CANCELED, NULL);
    else if (ends || job->stream.stopped)
        end_job(e, job, ENGINE_STOPPED, NULL);
    else if (job->made >= r->most_tokens || job->tokens.count > e->options.context ||
             kv_pages_for(job->tokens.count) > job->pages)
        end_job(e, job, ENGINE_LENGTH, NULL);
}

static void take_results(struct engine *e, int64_t count)
{
    int64_t vocabulary = e->model->decoder.config.vocabulary;
    float *logits = e->logits;
    for (int64_t i = 0; i < count; i++) {
        struct engine_job *job = e->run_jobs[i];
        const struct decoder_run *run = &e->runs[i];
        int64_t first = job->sequence.length - run->count;
        bool wanted = true;
        e->counts.kept_tokens += job->kept ? run->count : 0;
        if (!run->single && job->request.prompt_log_probabilities)
            wanted = tell_prompt(e, job, first, run->count, logits);
        if (!run->single && e->options.share_prefixes)
            prefixes_add(&e->prefixes, job->beyond, job->tokens.items, job->sequence.length,
                         &job->sequence);
        if (!wanted)
            end_job(e, job, ENGINE_CANCELED, NULL);
        else if (job->sequence.length == job->tokens.count)
            make_token(e, job, logits + (run->outputs - 1) * vocabulary);
        logits += run->outputs * vocabulary;
    }
}

bool engine_step(struct engine *e)
{
    drop_canceled(e);
    turn_to_kept(e);
    evict(e);
    admit(e);
    int64_t count, outputs;
    struct error error = {0};
    if (e->first == e->end)
        return e->queue || e->kept;
    enum status status = build_step(e, &count, &outputs, &error);
    if (status == STATUS_OK)
        status = decoder_step(&e->model->decoder, &e->tape, &e->cache, e->runs, count, e->logits,
                              NULL, &error);
    if (status == STATUS_OK)
        take_results(e, count);
    for (int64_t i = 0; i < count && status != STATUS_OK; i++)
        end_job(e, e->run_jobs[i], ENGINE_FAILED, error.message);
    tape_reset(&e->tape);
    e->counts.steps++;
    evict(e);
    return e->first != e->end || e->queue || e->kept;
}

void engine_run(struct engine *e)
{
    while (engine_step(e))
        continue;
}

struct engine_counts engine_count(const struct engine *e)
{
    struct engine_counts counts = e->counts;
    counts.cache_pages = e->cache.pages;
    counts.free_pages = e->cache.free_count;
    counts.shared_pages = e->prefixes.kept;
    return counts;
}

int64_t engine_context(const struct engine *e)
{
    return e->options.context;
}

/* Keeps the result of a single request, and passes it on. */
struct single_end {
    const struct engine_request *request;
    struct engine_result result;
    struct error error;
};

static bool pass_token(void *context, const struct engine_token *token)
{
    const struct engine_request *r = ((struct single_end *)context)->request;
    return !r->on_token || r->on_token(r->context, token);
}

static void keep_end(void *context, const struct engine_result *result)
{
    struct single_end *single = context;
    single->result = *result;
    if (result->message)
        error_set(&single->error, STATUS_FAILED, "%s", result->message);
    single->result.text = "";
    single->result.length = 0;
    single->result.message = NULL;
    if (single->request->on_end)
        single->request->on_end(single->request->context, result);
}

enum status engine_complete(struct model *model, struct compute *compute,
                            const struct engine_request *request, struct engine_result *result,
                            struct error *error)
{
    struct single_end single = {.request = request};
    struct engine_request own = *request;
    own.on_token = pass_token;
    own.on_end = keep_end;
    own.context = &single;
    int64_t longest = request->prompt_count + request->most_tokens;
    struct engine_options options = {.slots = 1, .context = longest > 0 ? longest : 1};
    struct engine *engine;
    enum status status = engine_create(model, compute, &options, &engine, error);
    if (status != STATUS_OK)
        return status;
    status = engine_submit(engine, &own, NULL, error);
    if (status == STATUS_OK)
        engine_run(engine);
    engine_free(engine);
    *result = single.result;
    if (status == STATUS_OK && result->end == ENGINE_FAILED)
        status = error_set(error, STATUS_FAILED, "%s", single.error.message);
    return status;
}
