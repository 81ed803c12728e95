/* A client for tests of the server: many connections at once from one thread, which a shell cannot
 * hold. Compiled as build/serve_client.
 *
 *   serve_client flood PORT COUNT BODY
 *       COUNT requests at once; prints how many answers there were of each status, and how many
 *       different texts
 *   serve_client drip PORT COUNT PART
 *       COUNT connections that send a byte of a header, or of a body, each half second; prints the
 *       seconds until the last is closed
 *   serve_client soak PORT CLIENTS SECONDS
 *       CLIENTS that ask for texts and chats, half and half, stream, and leave at random; every
 *       answer is compared with the one got alone. A model without a template is asked for texts */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/random.h"

#define BODIES 64
#define COMPLETIONS "/v1/completions"
#define CHATS "/v1/chat/completions"
#define PATIENCE 300.0 /* seconds for one answer */

struct client {
    int descriptor; /* -1: idle */
    int body;
    bool stream;
    size_t leave; /* after that many bytes; 0: not at all */
    double begun;
    struct buffer request, answer;
    size_t sent;
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static uint64_t draw(uint64_t *element, uint64_t bound)
{
    return random_below((struct random_address){11, RANDOM_TEST, 1, 0}, (*element)++, bound);
}

static int open_connection(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    if (descriptor < 0 || connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
        fprintf(stderr, "serve_client: %s\n", strerror(errno));
        exit(1);
    }
    fcntl(descriptor, F_SETFL, O_NONBLOCK);
    return descriptor;
}

static void ask(struct client *client, int port, const char *path, const char *body)
{
    buffer_clear(&client->request);
    buffer_clear(&client->answer);
    buffer_printf(&client->request,
                  "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                  "Content-Length: %zu\r\n\r\n%s",
                  path, strlen(body), body);
    client->descriptor = open_connection(port);
    client->sent = 0;
    client->begun = now();
}

static void hang_up(struct client *client)
{
    close(client->descriptor);
    client->descriptor = -1;
}

/* Sends and receives what is possible; true when the answer is whole or the server hung up. */
static bool move(struct client *client, short events)
{
    char part[16384];
    ssize_t count;
    if (events & POLLOUT && client->sent < client->request.length) {
        count = send(client->descriptor, client->request.data + client->sent,
                     client->request.length - client->sent, MSG_NOSIGNAL);
        client->sent += count > 0 ? (size_t)count : 0;
    }
    if (!(events & (POLLIN | POLLHUP | POLLERR)))
        return false;
    while ((count = recv(client->descriptor, part, sizeof part, 0)) > 0)
        buffer_add(&client->answer, part, (size_t)count);
    return count == 0 || (errno != EAGAIN && errno != EINTR);
}

static void poll_all(struct client *clients, struct pollfd *polls, int count)
{
    for (int i = 0; i < count; i++)
        polls[i] = (struct pollfd){
            .fd = clients[i].descriptor,
            .events = (short)(POLLIN | (clients[i].sent < clients[i].request.length ? POLLOUT : 0)),
        };
    poll(polls, (nfds_t)count, 100);
}

static int status_of(const struct client *client)
{
    const char *answer = client->answer.data;
    return client->answer.length > 12 && strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9)
                                                                              : 0;
}

/* What a choice of an answer or event says: the text of a completion, the content of a chat. */
static const char *piece_of(const json_t *choice)
{
    const json_t *text = json_object_get(choice, "text");
    const json_t *message = json_object_get(choice, "message");
    message = message ? message : json_object_get(choice, "delta");
    return json_string_value(text ? text : json_object_get(message, "content"));
}

/* The text of an answer that came whole or in chunks of events; NULL when it has none. */
static char *text_of(const struct client *client)
{
    struct buffer text = {0};
    const char *at = client->answer.data;
    bool whole = false;
    while (at && (at = strstr(at, client->stream ? "data: " : "\r\n\r\n"))) {
        at += client->stream ? 6 : 4;
        whole = whole || strncmp(at, "[DONE]", 6) == 0;
        json_t *event = *at == '{' ? json_loads(at, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
        const json_t *choice = json_array_get(json_object_get(event, "choices"), 0);
        const char *piece = piece_of(choice);
        if (piece)
            buffer_add_text(&text, piece);
        whole = whole || (piece && !client->stream);
        json_decref(event);
    }
    if (!whole) {
        buffer_free(&text);
        return NULL;
    }
    return text.data;
}

/* flood */

static int flood(int port, int count, const char *body)
{
    struct client *clients = calloc((size_t)count, sizeof *clients);
    struct pollfd *polls = calloc((size_t)count, sizeof *polls);
    int statuses[600] = {0}, left = count, different = 0;
    char *first = NULL;
    for (int i = 0; i < count; i++) {
        ask(&clients[i], port, COMPLETIONS, body);
        move(&clients[i], POLLOUT);
    }
    for (double begun = now(); left > 0 && now() - begun < PATIENCE;) {
        poll_all(clients, polls, count);
        for (int i = 0; i < count; i++) {
            if (clients[i].descriptor < 0 || !move(&clients[i], polls[i].revents))
                continue;
            int status = status_of(&clients[i]);
            statuses[status < 600 ? status : 0]++;
            char *text = status == 200 ? text_of(&clients[i]) : NULL;
            if (status == 200 && (!text || (first && strcmp(text, first) != 0)))
                different++;
            if (first)
                free(text);
            else
                first = text;
            buffer_free(&clients[i].answer);
            hang_up(&clients[i]);
            left--;
        }
    }
    for (int i = 0; i < 600; i++)
        if (statuses[i] > 0)
            printf("%d: %d\n", i, statuses[i]);
    printf("unanswered: %d\ndifferent: %d\n", left, different);
    free(first);
    for (int i = 0; i < count; i++) {
        buffer_free(&clients[i].request);
        buffer_free(&clients[i].answer);
    }
    free(clients);
    free(polls);
    return 0;
}

/* drip */

static int drip(int port, int count, const char *part)
{
    static const char *const header =
        "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n";
    bool body = strcmp(part, "body") == 0;
    const char *line = body ? "{" : "GET /health HTTP/1.1\r\nHost: a\r\nX: ";
    int *descriptors = calloc((size_t)count, sizeof *descriptors), left = count;
    double begun = now();
    for (int i = 0; i < count; i++) {
        descriptors[i] = open_connection(port);
        if (body && send(descriptors[i], header, strlen(header), MSG_NOSIGNAL) < 0)
            exit(1);
    }
    for (size_t sent = 0; left > 0 && now() - begun < PATIENCE; sent++) {
        char byte = sent < strlen(line) ? line[sent] : 'x', answer[64];
        for (int i = 0; i < count; i++) {
            if (descriptors[i] < 0)
                continue;
            bool gone = send(descriptors[i], &byte, 1, MSG_NOSIGNAL) < 0 && errno != EAGAIN;
            gone = gone || recv(descriptors[i], answer, sizeof answer, 0) == 0;
            if (gone) {
                close(descriptors[i]);
                descriptors[i] = -1;
                left--;
            }
        }
        usleep(500000);
    }
    free(descriptors);
    printf("open: %d\nseconds: %.1f\n", left, now() - begun);
    return 0;
}

/* soak */

struct soak {
    int port, count;
    bool chats; /* every second body is a chat */
    char *bodies[BODIES][2], *texts[BODIES];
    int64_t right, right_chats, wrong, left, refused;
};

static const char *path_of(const struct soak *soak, int body)
{
    return soak->chats && body % 2 ? CHATS : COMPLETIONS;
}

static void put_words(struct buffer *out, uint64_t *element, int count)
{
    for (int w = 0; w < count; w++)
        buffer_printf(out, "%s%c%llu", w ? " " : "", (char)('a' + (int)draw(element, 26)),
                      (unsigned long long)draw(element, 50));
}

/* A conversation that the user has the last word in, with a system's word before some. */
static void put_messages(struct buffer *out, uint64_t *element, int count)
{
    bool system = draw(element, 2);
    for (int m = 0; m < count; m++) {
        bool user = (count - m) % 2;
        buffer_printf(out, "%s{\"role\":\"%s\",\"content\":\"", m ? "," : "",
                      user               ? "user"
                      : m == 0 && system ? "system"
                                         : "assistant");
        put_words(out, element, 1 + (int)draw(element, 30));
        buffer_add_text(out, "\"}");
    }
}

static void make_bodies(struct soak *soak, uint64_t *element)
{
    for (int i = 0; i < BODIES; i++) {
        struct buffer prompt = {0};
        bool chat = strcmp(path_of(soak, i), CHATS) == 0;
        if (chat)
            put_messages(&prompt, element, 1 + (int)draw(element, 6));
        else
            put_words(&prompt, element, 1 + (int)draw(element, i % 4 == 0 ? 200 : 20));
        for (int stream = 0; stream < 2; stream++) {
            struct buffer body = {0};
            buffer_printf(&body,
                          "{\"%s%s%s,\"max_tokens\":%d,\"seed\":%d,\"temperature\":%s,"
                          "\"stream\":%s}",
                          chat ? "messages\":[" : "prompt\":\"", prompt.data, chat ? "]" : "\"",
                          1 + (i * 7) % 64, i, i % 3 ? "0.8" : "0", stream ? "true" : "false");
            soak->bodies[i][stream] = body.data;
        }
        buffer_free(&prompt);
    }
}

static void ask_alone(struct client *client, int port, const char *path, const char *body)
{
    struct pollfd one;
    ask(client, port, path, body);
    do
        poll_all(client, &one, 1);
    while (!move(client, one.revents));
    hang_up(client);
}

/* Whether the model has a template to chat by. */
static bool can_chat(int port)
{
    struct client client = {.descriptor = -1};
    ask_alone(&client, port, CHATS,
              "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_tokens\":1}");
    bool can = status_of(&client) != 501;
    buffer_free(&client.request);
    buffer_free(&client.answer);
    return can;
}

static void get_alone(struct soak *soak)
{
    struct client client = {.descriptor = -1};
    for (int i = 0; i < BODIES; i++) {
        ask_alone(&client, soak->port, path_of(soak, i), soak->bodies[i][0]);
        soak->texts[i] = text_of(&client);
        if (!soak->texts[i]) {
            fprintf(stderr, "serve_client: no answer: %s\n", client.answer.data);
            exit(1);
        }
    }
    buffer_free(&client.request);
    buffer_free(&client.answer);
}

static void judge(struct soak *soak, const struct client *client)
{
    int status = status_of(client);
    if (status == 429) {
        soak->refused++;
        return;
    }
    char *text = status == 200 ? text_of(client) : NULL;
    bool right = text && strcmp(text, soak->texts[client->body]) == 0;
    soak->right += right;
    soak->right_chats += right && strcmp(path_of(soak, client->body), CHATS) == 0;
    soak->wrong += !right;
    if (!right && soak->wrong <= 3)
        fprintf(stderr, "wrong (body %d, stream %d): wanted '%s', got: %s\n", client->body,
                client->stream, soak->texts[client->body],
                client->answer.data ? client->answer.data : "nothing");
    free(text);
}

static int run_soak(int port, int count, double seconds)
{
    struct soak soak = {.port = port, .count = count, .chats = can_chat(port)};
    struct client *clients = calloc((size_t)count, sizeof *clients);
    struct pollfd *polls = calloc((size_t)count, sizeof *polls);
    uint64_t element = 0;
    int active = 0;
    make_bodies(&soak, &element);
    get_alone(&soak);
    for (int i = 0; i < count; i++)
        clients[i].descriptor = -1;
    double until = now() + seconds;
    do {
        for (int i = 0; i < count && now() < until; i++) {
            struct client *c = &clients[i];
            if (c->descriptor >= 0)
                continue;
            c->body = (int)draw(&element, BODIES);
            c->stream = draw(&element, 2);
            c->leave = draw(&element, 6) == 0 ? 1 + draw(&element, 2000) : 0;
            ask(c, port, path_of(&soak, c->body), soak.bodies[c->body][c->stream]);
            active++;
        }
        poll_all(clients, polls, count);
        for (int i = 0; i < count; i++) {
            struct client *c = &clients[i];
            if (c->descriptor < 0)
                continue;
            bool whole = move(c, polls[i].revents);
            /* Some leave after some bytes; of those that get none before the end, after a while. */
            bool leaves = c->leave > 0 && (c->answer.length >= c->leave ||
                                           now() - c->begun > (double)c->leave / 4000);
            if (whole && !leaves)
                judge(&soak, c);
            soak.left += leaves;
            if (whole || leaves) {
                hang_up(c);
                active--;
            }
        }
    } while (now() < until || (active > 0 && now() < until + PATIENCE));
    printf("right: %lld, of these chats: %lld\nwrong: %lld\nleft: %lld\nrefused: %lld\nunanswered: "
           "%d\n",
           (long long)soak.right, (long long)soak.right_chats, (long long)soak.wrong,
           (long long)soak.left, (long long)soak.refused, active);
    return soak.wrong > 0 || active > 0;
}

int main(int count, char **arguments)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    const char *what = count > 1 ? arguments[1] : "";
    if (strcmp(what, "flood") == 0 && count == 5)
        return flood(atoi(arguments[2]), atoi(arguments[3]), arguments[4]);
    if (strcmp(what, "drip") == 0 && count == 5)
        return drip(atoi(arguments[2]), atoi(arguments[3]), arguments[4]);
    if (strcmp(what, "soak") == 0 && count == 5)
        return run_soak(atoi(arguments[2]), atoi(arguments[3]), atof(arguments[4]));
    fprintf(stderr, "serve_client: see the beginning of tests/serve/client.c\n");
    return 2;
}
