/* See server.h. */
#include <errno.h>
#include <netdb.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "serve/call.h"

#define BACKLOG 1024
#define SPARE_CONNECTIONS 256 /* beside those that slots and queue need */
#define SPARE_DESCRIPTORS 64
#define WATCH_SECONDS 0.1
#define FLUSH_SECONDS 2.0 /* for the last bytes of answers when the server ends */

/* Listening. */

static int try_listen(const struct addrinfo *address, int *number)
{
    int one = 1,
        handle = socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                        address->ai_protocol);
    if (handle >= 0) {
        setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(handle, address->ai_addr, address->ai_addrlen) == 0 &&
            listen(handle, BACKLOG) == 0)
            return handle;
    }
    *number = errno;
    if (handle >= 0)
        close(handle);
    return -1;
}

static enum status listen_at(struct server *s, struct error *error)
{
    char port[16];
    struct addrinfo wish = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    int number = 0;
    snprintf(port, sizeof port, "%d", (int)s->options.port);
    int code = getaddrinfo(s->options.host, port, &wish, &found);
    if (code != 0)
        return error_set(error, STATUS_FAILED, "%s: %s", s->options.host, gai_strerror(code));
    for (struct addrinfo *a = found; a && s->listener < 0; a = a->ai_next)
        s->listener = try_listen(a, &number);
    freeaddrinfo(found);
    if (s->listener < 0)
        return error_set_errno(error, number, "%s:%s: cannot listen", s->options.host, port);
    struct sockaddr_storage own = {0};
    socklen_t length = sizeof own;
    if (getsockname(s->listener, (struct sockaddr *)&own, &length) == 0 &&
        getnameinfo((struct sockaddr *)&own, length, NULL, 0, port, sizeof port, NI_NUMERICSERV) ==
            0)
        s->port = (int)strtol(port, NULL, 10);
    return STATUS_OK;
}

/* Every connection is a file descriptor: as many as the system lets this process have. */
static void bound_connections(struct server_options *o)
{
    struct rlimit limit;
    if (o->connections == 0)
        o->connections = o->engine.slots + o->queue + SPARE_CONNECTIONS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur > 2 * SPARE_DESCRIPTORS &&
        o->connections > (int64_t)limit.rlim_cur - SPARE_DESCRIPTORS)
        o->connections = (int64_t)limit.rlim_cur - SPARE_DESCRIPTORS;
}

/* Starting. */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static enum status set_keys(struct server *s, struct error *error)
{
    size_t count = (size_t)s->options.key_count;
    if (count == 0)
        return STATUS_OK;
    s->keys = calloc(count, sizeof *s->keys);
    if (!s->keys)
        return error_no_memory(error, count * sizeof *s->keys);
    for (size_t i = 0; i < count; i++)
        SHA256((const unsigned char *)s->options.keys[i], strlen(s->options.keys[i]), s->keys[i]);
    return STATUS_OK;
}

static enum status start_engine(struct server *s, struct error *error)
{
    const struct engine_options *o = &s->options.engine;
    enum status status = engine_create(s->model, s->compute, o, &s->engine, error);
    if (status != STATUS_OK)
        return status;
    s->counts = engine_count(s->engine);
    s->context = engine_context(s->engine);
    s->cache_tokens = s->counts.cache_pages * KV_PAGE;
    s->prompt_most = s->context < s->cache_tokens ? s->context : s->cache_tokens - 1;
    if (s->options.prompt_limit > 0 && s->options.prompt_limit < s->prompt_most)
        s->prompt_most = s->options.prompt_limit;
    s->card = route_card(s);
    return s->card ? STATUS_OK : error_no_memory(error, 1024);
}

enum status server_create(struct model *model, struct compute *compute,
                          const struct server_options *options, struct server **result,
                          struct error *error)
{
    struct server *s = calloc(1, sizeof *s);
    *result = NULL;
    if (!s)
        return error_no_memory(error, sizeof *s);
    s->options = *options;
    s->model = model;
    s->compute = compute;
    s->listener = -1;
    s->last_handed = &s->handed;
    s->last_waiting = &s->first_waiting;
    s->started = serve_now();
    s->created = (int64_t)time(NULL);
    if (!s->options.alias)
        s->options.alias = base_name(model->path);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->wake, NULL);
    tape_init(&s->tape, compute);
    bound_connections(&s->options);
    enum status status = STATUS_OK;
    if (!model->has_tokenizer)
        status =
            error_set(error, STATUS_FAILED, "%s: the model comes without a tokenizer", model->path);
    if (status == STATUS_OK)
        status = listen_at(s, error);
    if (status == STATUS_OK)
        status = set_keys(s, error);
    if (status == STATUS_OK)
        status = start_engine(s, error);
    if (status == STATUS_OK) {
        s->thread_runs = pthread_create(&s->thread, NULL, serve_work, s) == 0;
        status = s->thread_runs ? http_start(s, error)
                                : error_set(error, STATUS_FAILED, "no thread can be started");
    }
    if (status == STATUS_OK)
        *result = s;
    else
        server_free(s);
    return status;
}

int server_port(const struct server *server)
{
    return server->port;
}

/* Running and ending. */

static void pause_a_while(void)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)(WATCH_SECONDS * 1e9)}, NULL);
}

static bool has_calls(struct server *s)
{
    pthread_mutex_lock(&s->mutex);
    bool any = s->calls != NULL;
    pthread_mutex_unlock(&s->mutex);
    return any;
}

/* Whether an answer is being sent. */
static bool has_busy(struct server *s)
{
    bool any = false;
    pthread_mutex_lock(&s->mutex);
    for (const struct connection_note *note = s->connections; note; note = note->next)
        any |= note->busy;
    pthread_mutex_unlock(&s->mutex);
    return any;
}

/* The worker ends every call that is left, and so wakes every connection. */
static void end_worker(struct server *s)
{
    if (!s->thread_runs)
        return;
    pthread_mutex_lock(&s->mutex);
    s->draining = s->stopping = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
    s->thread_runs = false;
}

void server_run(struct server *s, const volatile sig_atomic_t *stop)
{
    while (!*stop) {
        http_watch(s);
        pause_a_while();
    }
    pthread_mutex_lock(&s->mutex);
    s->draining = true;
    pthread_mutex_unlock(&s->mutex);
    double until = serve_now() + s->options.grace;
    while (has_calls(s) && serve_now() < until) {
        http_watch(s);
        pause_a_while();
    }
    end_worker(s);
    until = serve_now() + FLUSH_SECONDS;
    while (has_busy(s) && serve_now() < until)
        pause_a_while();
}

void server_free(struct server *s)
{
    if (!s)
        return;
    end_worker(s);
    http_stop(s);
    if (s->listener >= 0)
        close(s->listener);
    engine_free(s->engine);
    tape_free(&s->tape);
    json_decref(s->card);
    free(s->keys);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}
