/* The worker: the one thread that calls the engine. It takes calls over from HTTP's threads, keeps
 * the engine supplied with as many sequences as it can use soon, and turns what the engine tells
 * into answers. Sequences beyond that wait here, where they cost nothing but their tokens. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "run/embedding.h"
#include "serve/call.h"

#define OUT_MOST ((size_t)1 << 20) /* bytes of an answer that its client has not taken */
#define OUT_KEPT ((size_t)1 << 16) /* bytes taken before what is left is moved to the front */

double serve_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Both sides. */

struct call *serve_call(struct server *server, enum metrics_route route)
{
    struct call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->server = server;
    call->route = route;
    call->holders = 1;
    call->begun = serve_now();
    return call;
}

void serve_release(struct call *call)
{
    pthread_mutex_lock(&call->server->mutex);
    bool last = --call->holders == 0;
    call->server->body_bytes -= last ? call->charged : 0;
    pthread_mutex_unlock(&call->server->mutex);
    if (!last)
        return;
    for (int64_t i = 0; i < call->choice_count; i++) {
        buffer_free(&call->choices[i].text);
        json_decref(call->choices[i].log_probabilities);
        tool_reader_free(&call->choices[i].reader);
    }
    for (int64_t i = 0; call->prompts && i < call->request.prompt_count; i++)
        tok_ids_free(&call->prompts[i]);
    free(call->prompts);
    free(call->choices);
    json_decref(call->answer);
    serve_request_free(&call->request);
    buffer_free(&call->body);
    buffer_free(&call->out);
    free(call);
}

void serve_hand_over(struct call *call)
{
    struct server *server = call->server;
    call->holders++;
    call->next = server->calls;
    call->link = &server->calls;
    if (call->next)
        call->next->link = &call->next;
    server->calls = call;
    *server->last_handed = call;
    server->last_handed = &call->queued;
    server->sequences += call->choice_count;
    pthread_cond_signal(&server->wake);
}

void serve_stop(struct call *call, enum call_stop why)
{
    if (call->done || call->stop != CALL_GOES_ON)
        return;
    call->stop = why;
    call->server->stops = true;
    pthread_cond_signal(&call->server->wake);
}

void serve_resume(struct call *call)
{
    if (!call->suspended)
        return;
    call->suspended = false;
    MHD_resume_connection(call->connection);
}

/* Telling. */

/* Appends to what the client takes, under the mutex; the bytes are then given up. */
static void pass_on(struct call *call, struct buffer *piece)
{
    if (call->taken > OUT_KEPT && call->taken > call->out.length / 2) {
        call->out.length -= call->taken;
        memmove(call->out.data, call->out.data + call->taken, call->out.length);
        call->taken = 0;
    }
    buffer_add(&call->out, piece->data ? piece->data : "", piece->length);
    if (piece->failed || call->out.failed)
        serve_stop(call, CALL_NO_MEMORY);
    else if (call->request.stream && call->out.length - call->taken > OUT_MOST)
        serve_stop(call, CALL_TOO_SLOW);
    buffer_free(piece);
    serve_resume(call);
}

/* Why a call that was stopped has no whole answer. */
static void explain_stop(struct call *call)
{
    struct serve_refusal *r = &call->failure;
    if (call->stop == CALL_TIMED_OUT)
        serve_refuse(r, 504, NULL, "timeout", "the request took longer than %g s",
                     call->server->options.timeout);
    else if (call->stop == CALL_SHUT_DOWN)
        serve_refuse(r, 503, NULL, "shutting_down", "the server is shutting down");
    else if (call->stop == CALL_NO_MEMORY)
        serve_refuse(r, 500, NULL, NULL, "out of memory");
    else if (call->stop != CALL_GOES_ON)
        serve_refuse(r, 499, NULL, "client_closed_request", "the client did not take the answer");
}

/* All sequences of the call have ended: its answer is closed, and the worker lets go of it. */
static void finish(struct call *call)
{
    struct server *server = call->server;
    struct buffer piece = {0};
    pthread_mutex_lock(&server->mutex);
    explain_stop(call);
    pthread_mutex_unlock(&server->mutex);
    if (call->failure.status && call->request.stream)
        answer_fault(&call->failure, &piece);
    else if (call->request.stream)
        answer_close(call, &piece);
    else if (!call->failure.status)
        answer_whole(call, &piece);
    pthread_mutex_lock(&server->mutex);
    if (piece.failed)
        serve_refuse(&call->failure, 500, NULL, NULL, "out of memory");
    if (call->stop == CALL_CLIENT_LEFT)
        server->metrics.canceled++;
    histogram_add(&server->metrics.request, serve_now() - call->begun);
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    call->done = true;
    pass_on(call, &piece);
    pthread_mutex_unlock(&server->mutex);
    serve_release(call);
}

static void note_first(struct call *call)
{
    struct server *server = call->server;
    if (call->told_first)
        return;
    call->told_first = true;
    pthread_mutex_lock(&server->mutex);
    histogram_add(&server->metrics.first_token, serve_now() - call->begun);
    pthread_mutex_unlock(&server->mutex);
}

static void tell(struct choice *choice, bool end)
{
    struct call *call = choice->call;
    struct buffer piece = {0};
    answer_piece(choice, end, &piece);
    if (piece.length == 0 && !piece.failed)
        return;
    pthread_mutex_lock(&call->server->mutex);
    pass_on(call, &piece);
    pthread_mutex_unlock(&call->server->mutex);
}

static bool on_token(void *context, const struct engine_token *token)
{
    struct choice *choice = context;
    struct call *call = choice->call;
    if (!token->of_prompt)
        note_first(call);
    if (!answer_token(choice, token)) {
        serve_refuse(&call->failure, 500, NULL, NULL, "out of memory");
        return false;
    }
    if (call->request.stream)
        tell(choice, false);
    return true;
}

/* A sequence has ended, with the engine or before it got there. */
static void end_choice(struct choice *choice)
{
    struct call *call = choice->call;
    choice->ended = true;
    call->ended++;
    pthread_mutex_lock(&call->server->mutex);
    call->server->sequences--;
    pthread_mutex_unlock(&call->server->mutex);
    if (call->ended == call->choice_count)
        finish(call);
}

static void on_end(void *context, const struct engine_result *result)
{
    struct choice *choice = context;
    struct call *call = choice->call;
    choice->end = result->end;
    choice->prompt_tokens = result->prompt_tokens;
    choice->shared_tokens = result->shared_tokens;
    choice->made_tokens = result->made_tokens;
    answer_end(choice, result->text, result->length);
    if (result->end == ENGINE_FAILED)
        serve_refuse(&call->failure, 500, NULL, NULL, "%s", result->message);
    else if (result->end != ENGINE_CANCELED && call->request.stream)
        tell(choice, true);
    call->server->with_engine--;
    end_choice(choice);
}

/* Giving work to the engine. */

/* The text of the prompt that an answer begins with. */
static void put_echo(struct choice *choice)
{
    const struct call *call = choice->call;
    const struct serve_prompt *prompt = &call->request.prompts[choice->prompt];
    if (!call->request.echo)
        return;
    if (prompt->text)
        buffer_add(&choice->text, prompt->text, prompt->length);
    else
        tok_decode(&call->server->model->tokenizer, prompt->ids, prompt->count, true,
                   &choice->text);
}

static enum status submit(struct choice *choice, struct error *error)
{
    const struct call *call = choice->call;
    const struct serve_request *q = &call->request;
    struct engine_request request = serve_request_engine(
        q, &call->prompts[choice->prompt], choice->index % q->n, call->server->context);
    request.on_token = on_token;
    request.on_end = on_end;
    request.context = choice;
    request.keep = q->kind == SERVE_CHAT && q->n == 1;
    put_echo(choice);
    return engine_submit(call->server->engine, &request, &choice->engine_id, error);
}

static void give_choice(struct call *call)
{
    struct choice *choice = &call->choices[call->given++];
    struct error error;
    call->server->with_engine++;
    if (submit(choice, &error) == STATUS_OK)
        return;
    call->server->with_engine--;
    serve_refuse(&call->failure, error.status == STATUS_NO_MEMORY ? 500 : 400, "prompt", NULL, "%s",
                 error.message);
    end_choice(choice);
}

/* One input of a call for embeddings: between two steps, so that generation goes on beside it. */
static void give_embedding(struct call *call)
{
    struct server *server = call->server;
    struct choice *choice = &call->choices[call->given++];
    const struct tok_ids *prompt = &call->prompts[choice->prompt];
    int64_t width = decoder_embedding_width(&server->model->decoder.config);
    float *values = malloc((size_t)width * sizeof *values);
    struct error error;
    enum status status = values ? STATUS_OK : error_no_memory(&error, (size_t)width * 4);
    if (status == STATUS_OK)
        status = embed_tokens(&server->model->decoder, &server->tape, prompt->items, prompt->count,
                              values, &error);
    if (status == STATUS_OK && !answer_embedding(call, choice->index, values, width))
        status = error_no_memory(&error, (size_t)width * 4);
    free(values);
    if (status != STATUS_OK)
        serve_refuse(&call->failure, 500, NULL, NULL, "%s", error.message);
    pthread_mutex_lock(&server->mutex);
    server->metrics.embedded += (uint64_t)prompt->count;
    pthread_mutex_unlock(&server->mutex);
    end_choice(choice);
}

static void append_waiting(struct server *server, struct call *call)
{
    call->queued = NULL;
    *server->last_waiting = call;
    server->last_waiting = &call->queued;
}

static void pop_waiting(struct server *server)
{
    server->first_waiting = server->first_waiting->queued;
    if (!server->first_waiting)
        server->last_waiting = &server->first_waiting;
}

/* First come, first served; calls for embeddings take turns with the others. A call may be gone
 * once its last choice was given. */
static void give(struct server *server)
{
    int64_t most = 2 * server->options.engine.slots;
    while (server->first_waiting && server->with_engine < most) {
        struct call *call = server->first_waiting;
        bool last = call->given + 1 == call->choice_count;
        if (call->route == ROUTE_EMBEDDINGS) {
            pop_waiting(server);
            if (!last)
                append_waiting(server, call);
            give_embedding(call);
            return;
        }
        if (last)
            pop_waiting(server);
        give_choice(call);
    }
}

/* Ends what has been stopped: with the engine at its next step, what waits here at once. */
static void take_stops(struct server *server)
{
    pthread_mutex_lock(&server->mutex);
    server->stops = false;
    for (struct call *call = server->calls; call; call = call->next) {
        if (call->stop == CALL_GOES_ON || call->stopped)
            continue;
        call->stopped = true;
        for (int64_t i = 0; i < call->given; i++)
            if (!call->choices[i].ended && call->choices[i].engine_id > 0)
                engine_cancel(server->engine, call->choices[i].engine_id);
    }
    pthread_mutex_unlock(&server->mutex);
    struct call *waiting = server->first_waiting;
    server->first_waiting = NULL;
    server->last_waiting = &server->first_waiting;
    while (waiting) {
        struct call *call = waiting;
        waiting = call->queued;
        if (!call->stopped) {
            append_waiting(server, call);
            continue;
        }
        for (int64_t left = call->choice_count - call->given; left > 0; left--) {
            struct choice *choice = &call->choices[call->given++];
            choice->end = ENGINE_CANCELED;
            end_choice(choice);
        }
    }
}

/* Waits for work when there is none; false when the server ends. */
static bool take_calls(struct server *server, bool busy)
{
    pthread_mutex_lock(&server->mutex);
    server->counts = engine_count(server->engine);
    server->working = server->counts.working;
    while (!busy && !server->handed && !server->stops && !server->stopping)
        pthread_cond_wait(&server->wake, &server->mutex);
    struct call *handed = server->handed;
    bool stops = server->stops, goes_on = !server->stopping;
    server->handed = NULL;
    server->last_handed = &server->handed;
    pthread_mutex_unlock(&server->mutex);
    while (handed) {
        struct call *call = handed;
        handed = call->queued;
        append_waiting(server, call);
    }
    if (stops)
        take_stops(server);
    return goes_on;
}

void *serve_work(void *context)
{
    struct server *server = context;
    bool busy = false;
    while (take_calls(server, busy)) {
        give(server);
        double begun = serve_now();
        int64_t steps = engine_count(server->engine).steps;
        busy = engine_step(server->engine);
        if (engine_count(server->engine).steps > steps) {
            pthread_mutex_lock(&server->mutex);
            histogram_add(&server->metrics.step, serve_now() - begun);
            pthread_mutex_unlock(&server->mutex);
        }
        busy = busy || server->first_waiting;
    }
    pthread_mutex_lock(&server->mutex);
    for (struct call *call = server->calls; call; call = call->next)
        serve_stop(call, CALL_SHUT_DOWN);
    pthread_mutex_unlock(&server->mutex);
    take_stops(server);
    engine_free(server->engine); /* which ends what is at work */
    server->engine = NULL;
    return NULL;
}
