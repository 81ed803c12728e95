/* HTTP, by libmicrohttpd: a few threads poll all connections (epoll), and a connection that waits
 * for the engine is suspended. So ten thousand waiting clients take file descriptors and a little
 * memory each, where a thread for each connection would take as many stacks, and none of them can
 * keep another waiting.
 *
 * What the library does not do is done in http_watch: it looks whether clients of suspended
 * connections have left, closes connections that do not send a whole request in time, however
 * often they send a byte, and ends requests that take too long. */
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "serve/call.h"

#define HTTP_THREADS 2
#define HEADER_MOST 16384 /* bytes of a request's line and headers */

/* The routes. */

struct route {
    const char *path;
    enum metrics_route name;
    bool post, open;                                       /* open: needs no key */
    void (*answer)(struct call *call, struct buffer *out); /* NULL: by the engine */
};

static const struct route routes[] = {
    {"/v1/completions", ROUTE_COMPLETIONS, true, false, NULL},
    {"/v1/chat/completions", ROUTE_CHAT, true, false, NULL},
    {"/v1/embeddings", ROUTE_EMBEDDINGS, true, false, NULL},
    {"/tokenize", ROUTE_TOKENIZE, true, false, route_tokenize},
    {"/detokenize", ROUTE_DETOKENIZE, true, false, route_detokenize},
    {"/v1/models", ROUTE_MODELS, false, false, route_models},
    {"/stats", ROUTE_STATS, false, false, route_stats},
    {"/metrics", ROUTE_METRICS, false, false, route_metrics},
    {"/health", ROUTE_HEALTH, false, true, route_health},
    {"/", ROUTE_PAGE, false, true, NULL},
};

static const struct route *find_route(const char *path)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (strcmp(path, routes[i].path) == 0)
            return &routes[i];
    return NULL;
}

static const struct route *route_of(const struct call *call)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (routes[i].name == call->route)
            return &routes[i];
    return NULL;
}

/* Who may ask. */

static const char *header(const struct call *call, const char *name)
{
    return MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, name);
}

/* All keys are looked at, and hashes compared in constant time: how long it takes tells nothing. */
static bool has_key(const struct call *call)
{
    const struct server *s = call->server;
    const char *value = header(call, MHD_HTTP_HEADER_AUTHORIZATION);
    unsigned char hash[32];
    int found = 0;
    if (s->options.key_count == 0)
        return true;
    if (!value || strncasecmp(value, "Bearer ", 7) != 0)
        return false;
    SHA256((const unsigned char *)value + 7, strlen(value + 7), hash);
    for (int64_t i = 0; i < s->options.key_count; i++)
        found |= CRYPTO_memcmp(hash, s->keys[i], sizeof hash) == 0;
    return found;
}

static bool is_local(const char *host)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length = strlen(names[i]);
        if (strncasecmp(host, names[i], length) == 0 && (!host[length] || host[length] == ':'))
            return true;
    }
    return false;
}

/* A browser says which page a request comes from. Pages of other sites must not use the server of
 * the person who looks at them; without keys, not even under a name made to point here. */
static bool foreign_page(const struct call *call)
{
    const struct server *s = call->server;
    const char *origin = header(call, "Origin"), *host = header(call, MHD_HTTP_HEADER_HOST);
    const char *place = origin ? strstr(origin, "://") : NULL;
    if (!origin)
        return false;
    if (!place || !host || strcmp(place + 3, host) != 0)
        return true;
    return s->options.key_count == 0 && is_local(s->options.host) && !is_local(host);
}

/* Answers. */

static void add_headers(struct MHD_Response *response, const char *type)
{
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
}

static void count_answer(struct call *call, int status)
{
    pthread_mutex_lock(&call->server->mutex);
    metrics_answer(&call->server->metrics, call->route, status);
    pthread_mutex_unlock(&call->server->mutex);
}

static enum MHD_Result send_response(struct call *call, int status, struct MHD_Response *response)
{
    if (!response)
        return MHD_NO;
    if (status == 401)
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    if (status == 405)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW,
                                route_of(call)->post ? "POST" : "GET, HEAD");
    if (status == 429 || status == 503)
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (status == 503)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result result = MHD_queue_response(call->connection, (unsigned)status, response);
    MHD_destroy_response(response);
    count_answer(call, status);
    return result;
}

/* The bytes go over to the library. */
static enum MHD_Result send_buffer(struct call *call, int status, const char *type,
                                   struct buffer *out)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(out->length, out->data, MHD_RESPMEM_MUST_FREE);
    if (response)
        add_headers(response, type);
    else
        buffer_free(out);
    *out = (struct buffer){0};
    return send_response(call, status, response);
}

static enum MHD_Result send_refusal(struct call *call, const struct serve_refusal *refusal)
{
    struct buffer out = {0};
    answer_json(serve_refusal_json(refusal), &out);
    if (!out.failed)
        return send_buffer(call, refusal->status, "application/json", &out);
    buffer_free(&out);
    return MHD_NO;
}

static enum MHD_Result send_page(struct call *call)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        serve_page_length, (void *)serve_page, MHD_RESPMEM_PERSISTENT);
    if (response) {
        add_headers(response, "text/html; charset=utf-8");
        MHD_add_response_header(response, "Content-Security-Policy",
                                "default-src 'none'; script-src 'unsafe-inline'; style-src "
                                "'unsafe-inline'; connect-src 'self'; img-src data:; "
                                "frame-ancestors 'none'; base-uri 'none'; form-action 'none'");
    }
    return send_response(call, 200, response);
}

/* What the worker has made, for an answer that streams. The connection sleeps while there is
 * nothing; the worker wakes it. */
static ssize_t read_out(void *context, uint64_t position, char *bytes, size_t most)
{
    struct call *call = context;
    ssize_t result = 0;
    (void)position;
    pthread_mutex_lock(&call->server->mutex);
    size_t left = call->out.length - call->taken;
    if (call->out.failed || call->stop == CALL_CLIENT_LEFT || call->stop == CALL_TOO_SLOW) {
        result = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (left > 0) {
        left = left < most ? left : most;
        memcpy(bytes, call->out.data + call->taken, left);
        call->taken += left;
        result = (ssize_t)left;
    } else if (call->done) {
        result = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        call->suspended = true;
        MHD_suspend_connection(call->connection);
    }
    pthread_mutex_unlock(&call->server->mutex);
    return result;
}

static enum MHD_Result send_stream(struct call *call)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, read_out, call, NULL);
    if (response) {
        add_headers(response, "text/event-stream; charset=utf-8");
        MHD_add_response_header(response, "X-Accel-Buffering", "no");
    }
    return send_response(call, 200, response);
}

/* The answer of a call that the worker has let go of. */
static enum MHD_Result send_done(struct call *call)
{
    pthread_mutex_lock(&call->server->mutex);
    struct buffer out = call->out;
    call->out = (struct buffer){0};
    pthread_mutex_unlock(&call->server->mutex);
    if (out.failed)
        serve_refuse(&call->failure, 500, NULL, NULL, "out of memory");
    if (!call->failure.status)
        return send_buffer(call, 200, "application/json", &out);
    buffer_free(&out);
    return send_refusal(call, &call->failure);
}

/* Requests. */

/* Hands a call to the worker, unless there is too much to do. */
static void hand_over(struct call *call)
{
    struct server *s = call->server;
    const struct server_options *o = &s->options;
    pthread_mutex_lock(&s->mutex);
    if (s->draining)
        serve_refuse(&call->refusal, 503, NULL, "shutting_down", "the server is shutting down");
    else if (s->sequences > 0 && s->sequences + call->choice_count > o->engine.slots + o->queue)
        serve_refuse(&call->refusal, 429, NULL, "queue_full",
                     "the queue is full: %lld sequences are at work or wait; try again later",
                     (long long)s->sequences);
    if (!call->refusal.status) {
        call->deadline = o->timeout > 0 ? call->begun + o->timeout : 0;
        serve_hand_over(call);
        call->suspended = !call->request.stream;
        if (call->suspended)
            MHD_suspend_connection(call->connection);
    }
    pthread_mutex_unlock(&s->mutex);
}

/* A whole request is there. */
static enum MHD_Result answer(struct call *call)
{
    const struct route *route = route_of(call);
    struct buffer out = {0};
    if (call->too_large)
        serve_refuse(&call->refusal, 413, NULL, "body_too_large",
                     "the body has more than %lld bytes",
                     (long long)call->server->options.body_limit);
    if (!call->refusal.status && call->route == ROUTE_PAGE)
        return send_page(call);
    if (!call->refusal.status && !route->answer) {
        if (route_prepare(call))
            hand_over(call);
        if (!call->refusal.status)
            return call->request.stream ? send_stream(call) : MHD_YES;
    } else if (!call->refusal.status) {
        route->answer(call, &out);
        if (out.failed)
            serve_refuse(&call->refusal, 500, NULL, NULL, "out of memory");
    }
    if (call->refusal.status) {
        buffer_free(&out);
        return send_refusal(call, &call->refusal);
    }
    return send_buffer(
        call, 200, call->route == ROUTE_METRICS ? "text/plain; version=0.0.4" : "application/json",
        &out);
}

static void set_busy(struct call *call, bool busy)
{
    pthread_mutex_lock(&call->server->mutex);
    if (call->note) {
        call->note->busy = busy;
        call->note->since = serve_now();
    }
    pthread_mutex_unlock(&call->server->mutex);
}

/* Bodies. All together are bounded, since memory is: by themselves, as many clients as may connect
 * could send the largest body each. */

static void refuse_bytes(struct call *call)
{
    buffer_free(&call->body);
    pthread_mutex_lock(&call->server->mutex);
    call->server->body_bytes -= call->charged;
    call->charged = 0;
    pthread_mutex_unlock(&call->server->mutex);
    serve_refuse(&call->refusal, 503, NULL, "overloaded",
                 "too many bytes of requests are being sent or wait; try again later");
}

/* Whether so many bytes more are within the bound of all bodies; then they count. */
static bool charge(struct call *call, size_t length, bool count)
{
    struct server *s = call->server;
    pthread_mutex_lock(&s->mutex);
    bool fits = (int64_t)length <= s->options.bodies_limit - s->body_bytes;
    if (fits && count) {
        s->body_bytes += (int64_t)length;
        call->charged += (int64_t)length;
    }
    pthread_mutex_unlock(&s->mutex);
    return fits;
}

/* The rest of a body that is refused is read and forgotten: the client is not listening yet. */
static void take_body(struct call *call, const char *bytes, size_t length)
{
    call->too_large =
        call->too_large || call->body.length + length > (size_t)call->server->options.body_limit;
    if (call->too_large || call->refusal.status)
        return;
    if (charge(call, length, true))
        buffer_add(&call->body, bytes, length);
    else
        refuse_bytes(call);
}

/* What the headers say of the body's length. */
struct lengths {
    const char *first;
    bool other, chunked; /* a further length that differs; a coding */
};

static enum MHD_Result note_length(void *context, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    struct lengths *lengths = context;
    (void)kind;
    value = value ? value : "";
    if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0)
        lengths->chunked = true;
    if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) != 0)
        return MHD_YES;
    lengths->other = lengths->other || (lengths->first && strcmp(lengths->first, value) != 0);
    lengths->first = lengths->first ? lengths->first : value;
    return MHD_YES;
}

/* Headers that say the body's length in two ways, which the library does not mind. A proxy may
 * believe the other one, and then take bytes of one client for a request of the next. */
static bool two_lengths(const struct call *call)
{
    struct lengths lengths = {NULL, false, false};
    MHD_get_connection_values(call->connection, MHD_HEADER_KIND, note_length, &lengths);
    return lengths.other || (lengths.first && lengths.chunked);
}

/* The line and the headers are there: what can be refused without the body is. */
static struct call *begin(struct server *server, struct MHD_Connection *connection,
                          const char *path, const char *method)
{
    const struct route *route = find_route(path);
    struct call *call = serve_call(server, route ? route->name : ROUTE_OTHER);
    if (!call)
        return NULL;
    call->connection = connection;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    call->note = info ? info->socket_context : NULL;
    const char *length = header(call, MHD_HTTP_HEADER_CONTENT_LENGTH);
    bool get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (two_lengths(call))
        serve_refuse(&call->refusal, 400, NULL, "two_lengths",
                     "the headers give two lengths of the body");
    else if (!route)
        serve_refuse(&call->refusal, 404, NULL, "not_found", "there is nothing at this path");
    else if (route->post ? strcmp(method, "POST") != 0 : !get)
        serve_refuse(&call->refusal, 405, NULL, "method_not_allowed", "%s takes %s only",
                     route->path, route->post ? "POST" : "GET");
    else if (foreign_page(call))
        serve_refuse(&call->refusal, 403, NULL, "foreign_origin",
                     "pages of other sites may not use this server");
    else if (!route->open && !has_key(call))
        serve_refuse(&call->refusal, 401, NULL, "invalid_api_key",
                     "a valid key is needed: 'Authorization: Bearer KEY'");
    else if (length && strtoll(length, NULL, 10) > server->options.body_limit)
        call->too_large = true;
    else if (length && !charge(call, strtoull(length, NULL, 10), false))
        refuse_bytes(call);
    return call;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *bytes, size_t *length, void **state)
{
    struct server *server = context;
    struct call *call = *state;
    (void)version;
    if (!call) {
        *state = call = begin(server, connection, path, method);
        if (!call)
            return MHD_NO;
        return call->refusal.status || call->too_large ? answer(call) : MHD_YES;
    }
    if (*length > 0) {
        take_body(call, bytes, *length);
        *length = 0;
        return call->body.failed ? MHD_NO : MHD_YES;
    }
    if (!call->whole) {
        call->whole = true;
        set_busy(call, true);
        return answer(call);
    }
    pthread_mutex_lock(&server->mutex);
    bool done = call->done;
    pthread_mutex_unlock(&server->mutex);
    return done ? send_done(call) : MHD_YES;
}

/* The answer was sent, or cannot be any more. */
static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct call *call = *state;
    (void)context, (void)connection, (void)code;
    if (!call)
        return;
    *state = NULL;
    set_busy(call, false);
    pthread_mutex_lock(&call->server->mutex);
    call->suspended = false;
    call->note = NULL;
    if (call->holders > 1)
        serve_stop(call, CALL_CLIENT_LEFT);
    pthread_mutex_unlock(&call->server->mutex);
    serve_release(call);
}

/* Connections. */

static void on_connection(void *context, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
    struct server *server = context;
    struct connection_note *note = *state;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *state = note = calloc(1, sizeof *note);
        if (!note || !info)
            return;
        note->descriptor = info->connect_fd;
        note->since = serve_now();
        pthread_mutex_lock(&server->mutex);
        note->next = server->connections;
        note->link = &server->connections;
        if (note->next)
            note->next->link = &note->next;
        server->connections = note;
        server->connection_count++;
        pthread_mutex_unlock(&server->mutex);
    } else if (note) {
        pthread_mutex_lock(&server->mutex);
        if (note->link) {
            *note->link = note->next;
            if (note->next)
                note->next->link = note->link;
            server->connection_count--;
        }
        pthread_mutex_unlock(&server->mutex);
        free(note);
        *state = NULL;
    }
}

/* Under the mutex. A suspended connection is not polled by the library, so that its end would be
 * seen only when there is something to send. A client that shuts its side down counts as gone. */
static void watch_calls(struct server *server, double time)
{
    for (struct call *call = server->calls; call; call = call->next) {
        if (call->deadline > 0 && time > call->deadline)
            serve_stop(call, CALL_TIMED_OUT);
        if (!call->suspended || !call->note)
            continue;
        struct pollfd poll_one = {.fd = call->note->descriptor, .events = POLLRDHUP};
        if (poll(&poll_one, 1, 0) > 0 && poll_one.revents & (POLLRDHUP | POLLHUP | POLLERR))
            serve_stop(call, CALL_CLIENT_LEFT);
    }
}

void http_watch(struct server *server)
{
    double time = serve_now();
    pthread_mutex_lock(&server->mutex);
    watch_calls(server, time);
    for (struct connection_note *note = server->connections; note; note = note->next)
        if (!note->busy && time - note->since > server->options.patience) {
            shutdown(note->descriptor, SHUT_RDWR);
            note->since = time;
        }
    pthread_mutex_unlock(&server->mutex);
}

enum status http_start(struct server *server, struct error *error)
{
    const struct server_options *o = &server->options;
    unsigned patience = o->patience < 1 ? 1 : (unsigned)o->patience;
    struct MHD_OptionItem items[] = {
        {MHD_OPTION_LISTEN_SOCKET, server->listener, NULL},
        {MHD_OPTION_THREAD_POOL_SIZE, HTTP_THREADS, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)o->connections, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, patience, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, 2 * HEADER_MOST, NULL},
        {MHD_OPTION_PER_IP_CONNECTION_LIMIT, (intptr_t)o->connections_each, NULL},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, server},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, server},
        {MHD_OPTION_END, 0, NULL},
    };
    server->daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
                         on_request, server, MHD_OPTION_ARRAY, items, MHD_OPTION_END);
    if (!server->daemon)
        return error_set(error, STATUS_FAILED, "%s:%d: the HTTP server cannot be started", o->host,
                         server->port);
    server->listener = -1; /* the library's from here on */
    return STATUS_OK;
}

void http_stop(struct server *server)
{
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
}
