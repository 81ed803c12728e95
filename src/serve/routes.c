/* The routes that need no step of the engine, and the way of a body to the tokens that the engine
 * takes. All of it runs on HTTP's threads: the tokenizer and the model are only read. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "base/json_text.h"
#include "serve/call.h"

/* What the model is. */

static const char *usual_format(const struct model *model)
{
    const struct parameters *p = &model->decoder.parameters;
    const char *name = "f32";
    int64_t most = 0;
    for (int i = 0; i < p->count; i++) { /* of the format that most values are in */
        int64_t values = 0;
        for (int j = 0; j < p->count; j++)
            if (p->items[j].weight.format == p->items[i].weight.format)
                values += p->items[j].weight.rows * p->items[j].weight.columns;
        if (values > most) {
            most = values;
            name = p->items[i].weight.format->name;
        }
    }
    return name;
}

/* The names of the adapters' files, without their folders. */
static json_t *adapter_names(const struct server_options *o)
{
    json_t *names = json_array();
    for (int64_t i = 0; names && i < o->adapter_count; i++) {
        const char *slash = strrchr(o->adapters[i], '/');
        json_array_append_new(names, json_name(slash && slash[1] ? slash + 1 : o->adapters[i]));
    }
    return names;
}

json_t *route_card(const struct server *server)
{
    const struct decoder_config *c = &server->model->decoder.config;
    const struct sampling_options *d = &server->options.sampling;
    return json_pack("{s:s,s:o,s:s,s:I,s:s,s:I,s:I,s:I,s:I,s:b,s:b,s:{s:f,s:I,s:f,s:f,s:f}}",
                     "name", server->options.alias, "adapters", adapter_names(&server->options),
                     "family", c->family, "parameters", (json_int_t)decoder_count(c).parameters,
                     "format", usual_format(server->model), "layers", (json_int_t)c->layers,
                     "width", (json_int_t)c->width, "context", (json_int_t)server->context,
                     "vocabulary", (json_int_t)c->vocabulary, "chat", serve_can_chat(server->model),
                     "text", !c->bidirectional, "sampling", "temperature", d->temperature, "top_k",
                     (json_int_t)d->top_k, "top_p", d->top_p, "min_p", d->min_p,
                     "repetition_penalty", d->repetition_penalty);
}

void route_models(struct call *call, struct buffer *out)
{
    const struct server *s = call->server;
    answer_json(json_pack("{s:s,s:[{s:s,s:s,s:I,s:s,s:O}]}", "object", "list", "data", "id",
                          s->options.alias, "object", "model", "created", (json_int_t)s->created,
                          "owned_by", "adze", "meta", s->card),
                out);
}

/* Under the mutex. */
static struct metrics_state now_state(const struct server *s)
{
    return (struct metrics_state){
        .waiting = s->sequences > s->working ? s->sequences - s->working : 0,
        .working = s->working,
        .connections = s->connection_count,
        .body_bytes = s->body_bytes,
        .engine = s->counts,
    };
}

void route_stats(struct call *call, struct buffer *out)
{
    struct server *s = call->server;
    pthread_mutex_lock(&s->mutex);
    struct metrics_state state = now_state(s);
    bool draining = s->draining;
    pthread_mutex_unlock(&s->mutex);
    const struct engine_counts *e = &state.engine;
    json_t *cache = json_pack("{s:I,s:I,s:I,s:i}", "pages", (json_int_t)e->cache_pages, "free",
                              (json_int_t)e->free_pages, "shared", (json_int_t)e->shared_pages,
                              "page_tokens", (int)KV_PAGE);
    json_t *tokens = json_pack("{s:I,s:I,s:I}", "prompt", (json_int_t)e->prompt_tokens, "shared",
                               (json_int_t)e->shared_tokens, "made", (json_int_t)e->made_tokens);
    answer_json(json_pack("{s:O,s:f,s:b,s:I,s:I,s:I,s:I,s:I,s:o,s:o}", "model", s->card, "seconds",
                          serve_now() - s->started, "draining", draining, "working",
                          (json_int_t)state.working, "slots", (json_int_t)s->options.engine.slots,
                          "waiting", (json_int_t)state.waiting, "queue",
                          (json_int_t)s->options.queue, "connections",
                          (json_int_t)state.connections, "cache", cache, "tokens", tokens),
                out);
}

void route_metrics(struct call *call, struct buffer *out)
{
    struct server *s = call->server;
    pthread_mutex_lock(&s->mutex);
    struct metrics metrics = s->metrics;
    struct metrics_state state = now_state(s);
    pthread_mutex_unlock(&s->mutex);
    metrics_write(&metrics, &state, out);
}

void route_health(struct call *call, struct buffer *out)
{
    struct server *s = call->server;
    pthread_mutex_lock(&s->mutex);
    bool draining = s->draining;
    pthread_mutex_unlock(&s->mutex);
    if (draining)
        serve_refuse(&call->refusal, 503, NULL, "shutting_down", "the server is shutting down");
    else
        answer_json(json_pack("{s:s}", "status", "ok"), out);
}

/* Texts and tokens. */

static bool read_body(struct call *call, enum serve_kind kind)
{
    const struct serve_terms terms = {.vocabulary = call->server->model->decoder.config.vocabulary,
                                      .sampling = call->server->options.sampling};
    return serve_request_read(kind, call->body.data, call->body.length, &terms, &call->request,
                              &call->refusal);
}

void route_tokenize(struct call *call, struct buffer *out)
{
    struct tok_ids ids = {0};
    struct error error;
    if (!read_body(call, SERVE_TOKENIZE))
        return;
    const struct serve_prompt *prompt = &call->request.prompts[0];
    json_t *list = json_array();
    if (serve_encode_text(call->server->model, prompt,
                          call->request.special ? AROUND_OPEN : AROUND_NOTHING, &ids,
                          &error) != STATUS_OK)
        serve_refuse(&call->refusal, 500, NULL, NULL, "%s", error.message);
    for (int64_t i = 0; i < ids.count; i++)
        json_array_append_new(list, json_integer(ids.items[i]));
    answer_json(json_pack("{s:o,s:I,s:I}", "tokens", list, "count", (json_int_t)ids.count,
                          "max_model_len", (json_int_t)call->server->context),
                out);
    tok_ids_free(&ids);
}

void route_detokenize(struct call *call, struct buffer *out)
{
    struct buffer text = {0};
    if (!read_body(call, SERVE_DETOKENIZE))
        return;
    const struct serve_prompt *prompt = &call->request.prompts[0];
    tok_decode(&call->server->model->tokenizer, prompt->ids, prompt->count, true, &text);
    json_t *value = text.failed ? NULL : json_text(text.data ? text.data : "", text.length);
    answer_json(json_pack("{s:O,s:o}", "prompt", value, "content", value), out);
    buffer_free(&text);
}

/* Work for the engine. */

static bool check_length(struct call *call, int64_t count, const char *parameter)
{
    const struct server *s = call->server;
    if (count < 1)
        serve_refuse(&call->refusal, 400, parameter, NULL, "'%s' is empty", parameter);
    else if (count > s->prompt_most)
        serve_refuse(&call->refusal, 400, parameter, "context_length_exceeded",
                     "'%s' has %lld tokens; this server takes at most %lld", parameter,
                     (long long)count, (long long)s->prompt_most);
    return call->refusal.status == 0;
}

static bool encode_prompts(struct call *call, const char *parameter)
{
    struct serve_request *q = &call->request;
    struct error error;
    call->prompts = calloc((size_t)q->prompt_count, sizeof *call->prompts);
    if (!call->prompts)
        serve_refuse(&call->refusal, 500, NULL, NULL, "out of memory");
    for (int64_t i = 0; i < q->prompt_count && !call->refusal.status; i++) {
        enum status status =
            serve_encode_request(call->server->model, q, i, &call->prompts[i], &error);
        if (status != STATUS_OK)
            serve_refuse(&call->refusal, status == STATUS_NO_MEMORY ? 500 : 400, parameter, NULL,
                         "%s", error.message);
        else
            check_length(call, call->prompts[i].count, parameter);
    }
    return call->refusal.status == 0;
}

/* A name for the answer, and a seed when the client has none; neither can be guessed. */
static void draw_name(struct call *call)
{
    uint64_t numbers[3] = {0};
    if (getrandom(numbers, sizeof numbers, 0) != (ssize_t)sizeof numbers)
        numbers[0] = (uint64_t)(serve_now() * 1e9) ^ (uint64_t)(uintptr_t)call;
    snprintf(call->id, sizeof call->id, "%s-%016llx%08llx",
             call->route == ROUTE_CHAT ? "chatcmpl" : "cmpl", (unsigned long long)numbers[0],
             (unsigned long long)(numbers[1] >> 32));
    if (!call->request.seeded)
        call->request.sampling.seed = numbers[2];
}

/* Whether the model can do what the route is for. */
static bool can_answer(struct call *call)
{
    const struct model *model = call->server->model;
    if (call->route != ROUTE_EMBEDDINGS && model->decoder.config.bidirectional)
        serve_refuse(&call->refusal, 501, NULL, "no_generation",
                     "the model is an encoder: it makes embeddings and no text");
    else if (call->route == ROUTE_CHAT && !serve_can_chat(model))
        serve_refuse(&call->refusal, 501, NULL, "no_chat_template",
                     "the model comes without a chat template; use /v1/completions");
    return call->refusal.status == 0;
}

/* Whether a chat's template takes the tools that come with it. */
static bool can_call(struct call *call)
{
    if (!serve_takes_tools(call->server->model, &call->request))
        serve_refuse(&call->refusal, 400, "tools", NULL, "%s: its chat template takes no tools",
                     call->server->model->path);
    return call->refusal.status == 0;
}

bool route_prepare(struct call *call)
{
    struct serve_request *q = &call->request;
    bool chat = call->route == ROUTE_CHAT, embedding = call->route == ROUTE_EMBEDDINGS;
    enum serve_kind kind = chat ? SERVE_CHAT : embedding ? SERVE_EMBEDDING : SERVE_COMPLETION;
    const char *parameter = chat ? "messages" : embedding ? "input" : "prompt";
    if (!read_body(call, kind) || !can_answer(call) || !can_call(call) ||
        !encode_prompts(call, parameter))
        return false;
    serve_request_trim(q);
    buffer_free(&call->body);
    int64_t count = q->prompt_count * q->n;
    call->choices = calloc((size_t)count, sizeof *call->choices);
    if (!call->choices) {
        serve_refuse(&call->refusal, 500, NULL, NULL, "out of memory");
        return false;
    }
    for (int64_t i = 0; i < count; i++)
        call->choices[i] = (struct choice){
            .call = call,
            .index = i,
            .prompt = i / q->n,
            .reader = {.form = q->form, .tools = q->tools, .thinking = q->thinking}};
    call->choice_count = count;
    call->created = (int64_t)time(NULL);
    draw_name(call);
    return true;
}
