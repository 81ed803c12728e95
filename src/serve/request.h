/* What a client asks for, read out of the JSON body of a request. Nothing here knows of HTTP or of
 * the engine: bodies come from strangers, so reading them is a function that tests and the fuzzer
 * call by themselves. Every value is checked for type and range, and what the server would have to
 * ignore although it changes the answer is refused by name. */
#ifndef SERVE_REQUEST_H
#define SERVE_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "run/engine.h"
#include "text/tool_calls.h"

enum serve_kind {
    SERVE_COMPLETION,
    SERVE_CHAT,
    SERVE_EMBEDDING,
    SERVE_TOKENIZE,
    SERVE_DETOKENIZE,
};

#define SERVE_SEQUENCES_MOST 4096 /* prompts * n of one request */
#define SERVE_STOPS_MOST 16

/* An answer that says what is wrong, in OpenAI's form. */
struct serve_refusal {
    int status; /* of HTTP; 0: nothing is wrong */
    char message[512];
    char parameter[64]; /* field that is at fault, or "" */
    const char *type, *code;
};
/* Fills the refusal unless it holds one already. `parameter` and `code` may be NULL. */
void serve_refuse(struct serve_refusal *refusal, int status, const char *parameter,
                  const char *code, const char *format, ...) __attribute__((format(printf, 5, 6)));
/* {"error": {...}}; new reference, NULL when out of memory. */
json_t *serve_refusal_json(const struct serve_refusal *refusal);

struct serve_prompt {
    const char *text; /* NULL: ids */
    size_t length;
    const int32_t *ids;
    int64_t count;
};

struct serve_request {
    enum serve_kind kind;
    struct arena arena; /* all lists */
    json_t *body;       /* texts point into it */
    struct serve_prompt *prompts;
    int64_t prompt_count;
    json_t *messages;    /* of a chat, its one prompt: contents are texts or null; owned */
    const json_t *tools; /* a list, or NULL */
    bool one_call;       /* of the calls of tools in an answer the first is told alone */
    enum tool_form form; /* of calls; this and what follows is found with the prompt's tokens */
    bool thinking;       /* the prompt begins a thought */
    int32_t *shown;      /* special tokens that calls are marked with */
    int64_t shown_count;
    const json_t *template; /* further variables of the chat template, or NULL */
    struct sampling_options sampling;
    bool seeded;
    struct token_bias *biases;
    int64_t bias_count;
    const char **stops;
    int64_t stop_count;
    int64_t n, most_tokens; /* -1: as many as there is room for */
    bool stream, usage, echo, log_probabilities, ignore_end;
    int64_t likely;
    bool base64, special; /* embeddings; tokens around a text */
    bool open, goes_on;   /* of a chat: an answer is begun; the last message is gone on with */
};

/* What a body is read with: token ids are below `vocabulary`, and `sampling` is what the body
 * leaves out of it. */
struct serve_terms {
    int64_t vocabulary;
    struct sampling_options sampling;
};

/* Reads a body of `length` bytes. On failure fills the refusal and leaves nothing to free; else
 * free with serve_request_free. */
bool serve_request_read(enum serve_kind kind, const char *body, size_t length,
                        const struct serve_terms *terms, struct serve_request *request,
                        struct serve_refusal *refusal);
/* The same for an object that was read already; a reference is kept. */
bool serve_request_take(enum serve_kind kind, json_t *body, const struct serve_terms *terms,
                        struct serve_request *request, struct serve_refusal *refusal);
/* Gives up what is not needed once the prompts are tokens: a body may hold much that nobody asked
 * for, and requests may wait in numbers. Only stops, tools that may be called, and prompts that are
 * echoed, stay. */
void serve_request_trim(struct serve_request *request);
void serve_request_free(struct serve_request *request);

/* What the engine is asked for choice `choice` of a prompt: without callbacks, pointing into the
 * request and to `prompt`. No more tokens than the context are asked for. */
struct engine_request serve_request_engine(const struct serve_request *request,
                                           const struct tok_ids *prompt, int64_t choice,
                                           int64_t context);

#endif
