/* A request on its way through the server, and the server's own state; private to this room.
 *
 * Two sides hold a call: HTTP (http.c), on libmicrohttpd's threads, and the worker (worker.c), the
 * one thread that drives the engine. What both touch is guarded by the server's one mutex: it is
 * held for the copying of bytes and the linking of lists, never while anything is computed. The
 * worker puts bytes into `out`; HTTP takes them from there, and sleeps (its connection is
 * suspended) while there are none. */
#ifndef SERVE_CALL_H
#define SERVE_CALL_H

#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>

#include "serve/metrics.h"
#include "serve/prompt.h"
#include "serve/request.h"
#include "serve/server.h"

struct server;
struct call;

/* A connection, for limits that libmicrohttpd does not know. */
struct connection_note {
    struct connection_note *next, **link;
    int descriptor;
    double since; /* when it began to owe us a whole request */
    bool busy;    /* it does not: an answer is being made or sent */
};

/* One sequence of the engine: choice `index` of an answer. The worker's alone, once handed over. */
struct choice {
    struct call *call;
    int64_t index, prompt;
    int64_t engine_id; /* 0: not with the engine */
    bool ended, opened;
    enum engine_end end;
    int64_t prompt_tokens, shared_tokens, made_tokens;
    struct tool_reader reader; /* that takes calls of tools out of the text */
    int64_t calls_told;
    struct buffer text;        /* not told yet: all of it when the answer does not stream */
    int64_t characters;        /* of the text before the next token, for text_offset */
    json_t *log_probabilities; /* of tokens not told yet, in the layout of the route; or NULL */
};

enum call_stop {
    CALL_GOES_ON,
    CALL_CLIENT_LEFT,
    CALL_TOO_SLOW, /* the client does not take its answer */
    CALL_TIMED_OUT,
    CALL_SHUT_DOWN,
    CALL_NO_MEMORY,
};

struct call {
    struct server *server;
    enum metrics_route route;
    /* HTTP's side. */
    struct MHD_Connection *connection;
    struct connection_note *note;
    struct buffer body;
    bool too_large, whole;
    int64_t charged; /* bytes of the body that count in the server's body_bytes */
    struct serve_refusal refusal;
    /* Written before the call is handed over, then only read. */
    struct serve_request request;
    struct tok_ids *prompts;
    char id[48];
    int64_t created; /* seconds since 1970 */
    double begun, deadline;
    /* The worker's. */
    struct choice *choices;
    int64_t choice_count, given, ended; /* given to the engine or given up */
    json_t *answer;                     /* embeddings made so far */
    bool told_first, stopped;
    /* Under the server's mutex. */
    struct call *next, **link; /* in the list of all that the worker holds */
    struct call *queued;       /* in the queue of those handed over */
    int holders;
    bool suspended, done;
    enum call_stop stop;
    struct serve_refusal failure; /* of the work; an answer that streams ends with it */
    struct buffer out;
    size_t taken;
};

struct server {
    struct server_options options;
    struct model *model;
    struct compute *compute;
    struct engine *engine;
    struct tape tape; /* for embeddings */
    int64_t context, prompt_most, cache_tokens;
    json_t *card;              /* what the model is */
    unsigned char (*keys)[32]; /* SHA-256 */
    struct MHD_Daemon *daemon;
    int listener, port;
    double started;
    int64_t created; /* seconds since 1970 */
    pthread_t thread;
    bool thread_runs;
    /* The worker's: calls whose choices are not all with the engine, in order. */
    struct call *first_waiting, **last_waiting;
    int64_t with_engine;
    /* Under the mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct call *handed, **last_handed;
    struct call *calls; /* all that the worker holds */
    struct connection_note *connections;
    int64_t connection_count, sequences, working; /* sequences: not ended */
    int64_t body_bytes;                           /* of all calls there are */
    bool draining, stopping, stops;               /* stops: some call has to be stopped */
    struct engine_counts counts;
    struct metrics metrics;
};

double serve_now(void);

/* A call for the route; NULL when out of memory. Released by serve_release, once for each holder.
 */
struct call *serve_call(struct server *server, enum metrics_route route);
void serve_release(struct call *call);

/* worker.c. The thread: runs until server->stopping. */
void *serve_work(void *server);
/* Hands a call over that is complete, under the mutex. */
void serve_hand_over(struct call *call);
/* Asks for a call's end, under the mutex. */
void serve_stop(struct call *call, enum call_stop why);
/* Wakes the HTTP side of a call, under the mutex. */
void serve_resume(struct call *call);

/* answer.c: what an answer looks like; called by the worker, without the mutex. */

/* Remembers a token of a choice; false when out of memory. */
bool answer_token(struct choice *choice, const struct engine_token *token);
/* Remembers the last text of a choice. */
void answer_end(struct choice *choice, const char *text, size_t length);
/* The next piece of an answer that streams, appended to `out` as an event: what is untold of the
 * choice, or its end. */
void answer_piece(struct choice *choice, bool end, struct buffer *out);
/* Closes an answer that streams: usage when asked for, then the end mark. */
void answer_close(struct call *call, struct buffer *out);
/* A whole answer. */
void answer_whole(struct call *call, struct buffer *out);
/* An error within an answer that streams. */
void answer_fault(const struct serve_refusal *refusal, struct buffer *out);
/* Adds the embedding of input `index`; false when out of memory. */
bool answer_embedding(struct call *call, int64_t index, const float *values, int64_t width);
/* Appends a JSON value, which is given up. */
void answer_json(json_t *value, struct buffer *out);

/* http.c. */
enum status http_start(struct server *server, struct error *error);
void http_stop(struct server *server);
/* Looks after clients that have left, are late or too slow: to be called several times a second. */
void http_watch(struct server *server);

/* routes.c: what needs no engine. Fill `out`, or the call's refusal. */
void route_models(struct call *call, struct buffer *out);
void route_stats(struct call *call, struct buffer *out);
void route_metrics(struct call *call, struct buffer *out);
void route_health(struct call *call, struct buffer *out);
void route_tokenize(struct call *call, struct buffer *out);
void route_detokenize(struct call *call, struct buffer *out);
/* Reads the body of a call for the engine: tokens of every prompt, checked against all limits. */
bool route_prepare(struct call *call);
/* What the model is, for /stats and /v1/models; NULL when out of memory. */
json_t *route_card(const struct server *server);

/* The page, made from page.html by the build. */
extern const unsigned char serve_page[];
extern const size_t serve_page_length;

#endif
