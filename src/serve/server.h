/* The HTTP server: an API in the form of OpenAI's over the generation engine, and a page to talk to
 * the model. docs/server.md says what it answers. */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "run/engine.h"

struct server_options {
    const char *host; /* name or address to listen at */
    int64_t port;     /* 0: any that is free */
    const char *const *keys;
    int64_t key_count;
    const char *alias;           /* the model's name; NULL: its file's */
    const char *const *adapters; /* paths of what was put on the model, to be told */
    int64_t adapter_count;
    struct engine_options engine;
    struct sampling_options sampling; /* where requests say nothing */
    int64_t queue;                    /* sequences that may wait beside those at work */
    double timeout;                   /* seconds for a request; 0: none */
    double patience;    /* seconds for a client to send a request, or to take a part of an answer */
    double grace;       /* seconds for requests at work once the server is to stop */
    int64_t body_limit; /* bytes */
    int64_t bodies_limit;     /* bytes of all requests that are being sent, wait or are at work */
    int64_t prompt_limit;     /* tokens; 0: the context */
    int64_t connections;      /* at once; 0: what slots and queue need */
    int64_t connections_each; /* from one address; 0: no limit */
};

struct server;

/* Starts to listen and to answer. The model and the compute must outlive the server and be left
 * alone by the caller; options are copied, but not what they point to. */
enum status server_create(struct model *model, struct compute *compute,
                          const struct server_options *options, struct server **server,
                          struct error *error);
/* The port that it listens at. */
int server_port(const struct server *server);
/* Works until *stop is set; then takes no new requests, finishes those at work within the grace,
 * and returns. */
void server_run(struct server *server, const volatile sig_atomic_t *stop);
void server_free(struct server *server);

#endif
