/* See request.h. */
#include "serve/request.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "run/engine.h"

#define WHOLE_MOST 9007199254740992.0 /* 2^53: whole numbers that JSON carries exactly */

void serve_refuse(struct serve_refusal *r, int status, const char *parameter, const char *code,
                  const char *format, ...)
{
    va_list list;
    if (r->status)
        return;
    va_start(list, format);
    vsnprintf(r->message, sizeof r->message, format, list);
    va_end(list);
    snprintf(r->parameter, sizeof r->parameter, "%s", parameter ? parameter : "");
    r->status = status;
    r->code = code;
    r->type = status == 401   ? "authentication_error"
              : status == 429 ? "rate_limit_error"
              : status >= 500 ? "server_error"
                              : "invalid_request_error";
}

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

json_t *serve_refusal_json(const struct serve_refusal *r)
{
    json_t *message = json_text(r->message, strlen(r->message)); /* may quote the body */
    return json_pack("{s:{s:o,s:s,s:o,s:o}}", "error", "message", message, "type", r->type, "param",
                     text_or_null(r->parameter), "code", text_or_null(r->code));
}

/* Reading fields. The first fault is kept, and later ones change nothing. */

struct reader {
    struct serve_request *request;
    struct serve_refusal *refusal;
    const struct serve_terms *terms;
};

static void wrong(struct reader *r, const char *field, const char *must)
{
    serve_refuse(r->refusal, 400, field, NULL, "'%s' must be %s", field, must);
}

static void no_memory(struct reader *r)
{
    serve_refuse(r->refusal, 500, NULL, NULL, "out of memory");
}

/* The field, or NULL when it is missing or null. */
static const json_t *field(const struct reader *r, const char *name)
{
    const json_t *value = json_object_get(r->request->body, name);
    return json_is_null(value) ? NULL : value;
}

static bool flag(struct reader *r, const char *name, bool fallback)
{
    const json_t *value = field(r, name);
    if (!value)
        return fallback;
    if (!json_is_boolean(value))
        wrong(r, name, "true or false");
    return json_is_true(value);
}

static double real(struct reader *r, const char *name, double fallback, double least, double most)
{
    const json_t *value = field(r, name);
    double number = json_number_value(value);
    if (!value)
        return fallback;
    if (json_is_number(value) && number >= least && number <= most)
        return number;
    serve_refuse(r->refusal, 400, name, NULL, "'%s' must be a number from %g to %g", name, least,
                 most);
    return fallback;
}

static bool whole(const json_t *value, int64_t *number)
{
    double real_value = json_real_value(value);
    if (json_is_integer(value)) {
        *number = json_integer_value(value);
        return true;
    }
    if (!json_is_real(value) || fabs(real_value) > WHOLE_MOST || real_value != floor(real_value))
        return false;
    *number = (int64_t)real_value;
    return true;
}

static int64_t integer(struct reader *r, const char *name, int64_t fallback, int64_t least,
                       int64_t most)
{
    const json_t *value = field(r, name);
    int64_t number = fallback;
    if (!value)
        return fallback;
    if (whole(value, &number) && number >= least && number <= most)
        return number;
    serve_refuse(r->refusal, 400, name, NULL, "'%s' must be a whole number from %lld to %lld", name,
                 (long long)least, (long long)most);
    return fallback;
}

/* A field that may be there only with a value that changes nothing. */
static void unsupported(struct reader *r, const char *name, const char *why)
{
    const json_t *value = field(r, name);
    bool empty = !value || (json_is_string(value) && json_string_length(value) == 0) ||
                 (json_is_array(value) && json_array_size(value) == 0);
    if (!empty)
        serve_refuse(r->refusal, 400, name, "unsupported_parameter", "'%s' is not supported: %s",
                     name, why);
}

/* Prompts. */

static bool read_ids(struct reader *r, const char *name, const json_t *list,
                     struct serve_prompt *prompt)
{
    size_t count = json_array_size(list);
    int32_t *ids = arena_calloc(&r->request->arena, count, sizeof *ids);
    if (!ids) {
        no_memory(r);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        int64_t id;
        if (!whole(json_array_get(list, i), &id) || id < 0 || id >= r->terms->vocabulary) {
            serve_refuse(r->refusal, 400, name, NULL,
                         "'%s': item %zu is no token id from 0 to %lld", name, i,
                         (long long)r->terms->vocabulary - 1);
            return false;
        }
        ids[i] = (int32_t)id;
    }
    *prompt = (struct serve_prompt){.ids = ids, .count = (int64_t)count};
    return true;
}

static bool read_prompt(struct reader *r, const char *name, const json_t *value,
                        struct serve_prompt *prompt)
{
    if (json_is_array(value))
        return read_ids(r, name, value, prompt);
    *prompt = (struct serve_prompt){.text = json_string_value(value),
                                    .length = json_string_length(value)};
    if (!prompt->text)
        wrong(r, name, "a text, a list of texts, a list of token ids, or a list of such lists");
    return prompt->text;
}

/* A text, a list of texts, of token ids, or of lists of token ids. */
static void read_prompts(struct reader *r, const char *name)
{
    struct serve_request *q = r->request;
    const json_t *value = field(r, name);
    const json_t *first = json_array_get(value, 0);
    bool many = json_is_string(first) || json_is_array(first);
    size_t count = many ? json_array_size(value) : 1;
    if (!value || (json_is_array(value) && !first)) {
        serve_refuse(r->refusal, 400, name, NULL, "'%s' is %s", name, value ? "empty" : "missing");
        return;
    }
    if (count > SERVE_SEQUENCES_MOST) {
        serve_refuse(r->refusal, 400, name, NULL, "'%s' has %zu items; at most %d are taken", name,
                     count, SERVE_SEQUENCES_MOST);
        return;
    }
    q->prompts = arena_calloc(&q->arena, count, sizeof *q->prompts);
    if (!q->prompts) {
        no_memory(r);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *item = many ? json_array_get(value, i) : value;
        if (many && json_is_string(item) != json_is_string(first)) {
            wrong(r, name, "of one kind throughout");
            return;
        }
        if (!read_prompt(r, name, item, &q->prompts[i]))
            return;
        q->prompt_count++;
    }
}

/* Messages of a chat. */

/* The texts of content parts, a line each. */
static json_t *join_parts(struct reader *r, const json_t *parts)
{
    struct buffer text = {0};
    json_t *part, *joined = NULL;
    size_t i;
    json_array_foreach((json_t *)parts, i, part)
    {
        const char *type = json_string_value(json_object_get(part, "type"));
        const json_t *content = json_object_get(part, "text");
        if (!type || strcmp(type, "text") != 0 || !json_is_string(content)) {
            serve_refuse(r->refusal, 400, "messages", NULL,
                         "a part of a message's content is no {\"type\": \"text\", \"text\": ...}: "
                         "this model takes text only");
            buffer_free(&text);
            return NULL;
        }
        if (i > 0)
            buffer_add_text(&text, "\n");
        buffer_add(&text, json_string_value(content), json_string_length(content));
    }
    if (buffer_check(&text, NULL) == STATUS_OK)
        joined = json_stringn(text.data ? text.data : "", text.length);
    if (!joined)
        no_memory(r);
    buffer_free(&text);
    return joined;
}

static json_t *read_message(struct reader *r, const json_t *message)
{
    const json_t *content = json_object_get(message, "content");
    if (!json_is_string(json_object_get(message, "role"))) {
        serve_refuse(r->refusal, 400, "messages", NULL,
                     "a message must be an object with a text 'role'");
        return NULL;
    }
    json_t *copy = json_copy((json_t *)message), *joined = NULL;
    if (!copy) {
        no_memory(r);
    } else if (json_is_array(content)) {
        joined = join_parts(r, content);
        if (joined && json_object_set_new(copy, "content", joined) != 0)
            no_memory(r);
    } else if (content && !json_is_string(content) && !json_is_null(content)) {
        serve_refuse(r->refusal, 400, "messages", NULL,
                     "a message's 'content' must be a text or a list of parts");
    }
    return copy;
}

static void read_messages(struct reader *r)
{
    const json_t *list = field(r, "messages");
    json_t *message;
    size_t i;
    if (!json_is_array(list) || json_array_size(list) == 0) {
        wrong(r, "messages", "a list of at least one message");
        return;
    }
    r->request->messages = json_array();
    if (!r->request->messages)
        no_memory(r);
    json_array_foreach((json_t *)list, i, message)
    {
        json_t *copy = r->refusal->status ? NULL : read_message(r, message);
        if (!copy)
            return;
        if (json_array_append_new(r->request->messages, copy) != 0)
            no_memory(r);
    }
}

static void read_chat(struct reader *r)
{
    struct serve_request *q = r->request;
    const json_t *format = json_object_get(field(r, "response_format"), "type");
    const json_t *choice = field(r, "tool_choice");
    const char *chosen = json_string_value(choice);
    read_messages(r);
    q->tools = field(r, "tools");
    if (q->tools && !json_is_array(q->tools))
        wrong(r, "tools", "a list");
    if (json_array_size(q->tools) == 0 || (chosen && strcmp(chosen, "none") == 0))
        q->tools = NULL;
    if (choice && (!chosen || (strcmp(chosen, "auto") != 0 && strcmp(chosen, "none") != 0)))
        serve_refuse(r->refusal, 400, "tool_choice", "unsupported_parameter",
                     "'tool_choice' may be \"auto\" or \"none\": a call cannot be forced");
    q->one_call = !flag(r, "parallel_tool_calls", true);
    if (field(r, "response_format") &&
        (!json_is_string(format) || strcmp(json_string_value(format), "text") != 0))
        serve_refuse(r->refusal, 400, "response_format", "unsupported_parameter",
                     "'response_format' may be {\"type\": \"text\"} only");
    unsupported(r, "functions", "use 'tools'");
    q->template = field(r, "chat_template_kwargs");
    if (q->template && !json_is_object(q->template))
        wrong(r, "chat_template_kwargs", "an object");
    q->goes_on = flag(r, "continue_final_message", false);
    q->open = flag(r, "add_generation_prompt", !q->goes_on);
    q->prompts = arena_calloc(&q->arena, 1, sizeof *q->prompts);
    q->prompt_count = 1;
    if (!q->prompts)
        no_memory(r);
    q->log_probabilities = flag(r, "logprobs", false);
    q->likely = integer(r, "top_logprobs", 0, 0, ENGINE_LIKELY_MOST);
    if (q->likely > 0 && !q->log_probabilities)
        serve_refuse(r->refusal, 400, "top_logprobs", NULL, "'top_logprobs' needs 'logprobs'");
    q->most_tokens = integer(r, "max_tokens", -1, 1, INT32_MAX);
    q->most_tokens = integer(r, "max_completion_tokens", q->most_tokens, 1, INT32_MAX);
}

static void read_completion(struct reader *r)
{
    struct serve_request *q = r->request;
    read_prompts(r, "prompt");
    q->echo = flag(r, "echo", false);
    q->log_probabilities = field(r, "logprobs") != NULL;
    if (json_is_false(field(r, "logprobs")))
        q->log_probabilities = false;
    else
        q->likely = integer(r, "logprobs", 0, 0, ENGINE_LIKELY_MOST);
    q->most_tokens = integer(r, "max_tokens", 16, 0, INT32_MAX);
    q->special = flag(r, "add_special_tokens", true);
    unsupported(r, "suffix", "models are asked to continue a text only");
}

/* Sampling, for both kinds of generation. */

static void read_stops(struct reader *r)
{
    struct serve_request *q = r->request;
    const json_t *value = field(r, "stop");
    size_t count = json_is_array(value) ? json_array_size(value) : value ? 1 : 0;
    if (count > SERVE_STOPS_MOST) {
        serve_refuse(r->refusal, 400, "stop", NULL, "'stop' has %zu texts; at most %d are taken",
                     count, SERVE_STOPS_MOST);
        return;
    }
    q->stops = arena_calloc(&q->arena, count + 1, sizeof *q->stops);
    if (!q->stops) {
        no_memory(r);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        const char *text = json_string_value(item);
        if (!text || !*text || strlen(text) != json_string_length(item)) {
            wrong(r, "stop", "a text, or a list of texts, none empty and without zero bytes");
            return;
        }
        q->stops[q->stop_count++] = text;
    }
}

static void read_biases(struct reader *r)
{
    struct serve_request *q = r->request;
    const json_t *map = field(r, "logit_bias");
    const char *key;
    json_t *value;
    if (!map)
        return;
    if (!json_is_object(map)) {
        wrong(r, "logit_bias", "an object from token ids to numbers");
        return;
    }
    q->biases = arena_calloc(&q->arena, json_object_size(map) + 1, sizeof *q->biases);
    if (!q->biases) {
        no_memory(r);
        return;
    }
    json_object_foreach((json_t *)map, key, value)
    {
        char *end;
        long long id = strtoll(key, &end, 10);
        double bias = json_number_value(value);
        if (*end || end == key || id < 0 || id >= r->terms->vocabulary || !json_is_number(value) ||
            bias < -100 || bias > 100) {
            serve_refuse(r->refusal, 400, "logit_bias", NULL,
                         "'logit_bias' must map token ids from 0 to %lld to numbers from -100 to "
                         "100",
                         (long long)r->terms->vocabulary - 1);
            return;
        }
        q->biases[q->bias_count++] = (struct token_bias){(int32_t)id, (float)bias};
    }
}

static void read_sampling(struct reader *r)
{
    struct serve_request *q = r->request;
    struct sampling_options *s = &q->sampling;
    const struct sampling_options *d = &r->terms->sampling;
    s->temperature = real(r, "temperature", d->temperature, 0, 100);
    s->top_p = real(r, "top_p", d->top_p, 0, 1);
    if (s->top_p == 0) /* the sampler takes 0 as off; here it is the narrowest cut */
        s->top_p = 1e-9;
    s->top_k = integer(r, "top_k", d->top_k, -1, INT32_MAX);
    s->top_k = s->top_k < 0 ? 0 : s->top_k;
    s->min_p = real(r, "min_p", d->min_p, 0, 1);
    s->typical_p = real(r, "typical_p", d->typical_p, 0, 1);
    s->presence_penalty = real(r, "presence_penalty", d->presence_penalty, -2, 2);
    s->frequency_penalty = real(r, "frequency_penalty", d->frequency_penalty, -2, 2);
    s->repetition_penalty = real(r, "repetition_penalty", d->repetition_penalty, 0.01, 100);
    s->repetition_window = integer(r, "repetition_window", d->repetition_window, 0, 1 << 20);
    s->mirostat = integer(r, "mirostat", d->mirostat, 0, 2);
    s->mirostat_surprise = real(r, "mirostat_tau", d->mirostat_surprise, 0, 100);
    s->mirostat_rate = real(r, "mirostat_eta", d->mirostat_rate, 0, 1);
    q->seeded = field(r, "seed") != NULL;
    s->seed = (uint64_t)integer(r, "seed", 0, INT64_MIN, INT64_MAX);
}

static void read_generation(struct reader *r)
{
    struct serve_request *q = r->request;
    const json_t *options = field(r, "stream_options");
    const json_t *usage = json_object_get(options, "include_usage");
    q->special = true;
    if (q->kind == SERVE_CHAT)
        read_chat(r);
    else
        read_completion(r);
    q->n = integer(r, "n", 1, 1, 128);
    if (integer(r, "best_of", q->n, 1, 128) != q->n)
        serve_refuse(r->refusal, 400, "best_of", "unsupported_parameter",
                     "'best_of' must equal 'n': answers are not ranked");
    if (q->prompt_count * q->n > SERVE_SEQUENCES_MOST)
        serve_refuse(r->refusal, 400, "n", NULL, "prompts times 'n' may be at most %d",
                     SERVE_SEQUENCES_MOST);
    q->stream = flag(r, "stream", false);
    if (options && (!json_is_object(options) || (usage && !json_is_boolean(usage))))
        wrong(r, "stream_options", "an object whose 'include_usage' is true or false");
    q->usage = json_is_true(usage);
    q->ignore_end = flag(r, "ignore_eos", false);
    read_sampling(r);
    read_stops(r);
    read_biases(r);
}

static void read_embedding(struct reader *r)
{
    const json_t *format = field(r, "encoding_format");
    const char *name = json_string_value(format);
    read_prompts(r, "input");
    r->request->n = 1;
    r->request->special = true;
    r->request->base64 = name && strcmp(name, "base64") == 0;
    if (format && !r->request->base64 && (!name || strcmp(name, "float") != 0))
        wrong(r, "encoding_format", "\"float\" or \"base64\"");
    unsupported(r, "dimensions", "embeddings have the model's width");
}

/* Texts for one tokenization, under the names that other servers give the field. */
static void read_tokenize(struct reader *r)
{
    const char *name = field(r, "prompt") ? "prompt" : field(r, "content") ? "content" : "text";
    const json_t *value = field(r, name);
    if (!json_is_string(value)) {
        serve_refuse(r->refusal, 400, "prompt", NULL, "'prompt' must be a text");
        return;
    }
    read_prompts(r, name);
    r->request->special = flag(r, "add_special_tokens", name[0] == 'p');
    r->request->special = flag(r, "add_special", r->request->special);
}

static void read_detokenize(struct reader *r)
{
    const json_t *value = field(r, "tokens");
    struct serve_request *q = r->request;
    if (!json_is_array(value)) {
        wrong(r, "tokens", "a list of token ids");
        return;
    }
    q->prompts = arena_calloc(&q->arena, 1, sizeof *q->prompts);
    if (!q->prompts)
        no_memory(r);
    else if (read_ids(r, "tokens", value, q->prompts))
        q->prompt_count = 1;
}

bool serve_request_take(enum serve_kind kind, json_t *body, const struct serve_terms *terms,
                        struct serve_request *request, struct serve_refusal *refusal)
{
    struct reader r = {request, refusal, terms};
    *request = (struct serve_request){.kind = kind, .body = json_incref(body)};
    request->arena.block_bytes = 1024;
    if (!json_is_object(body))
        serve_refuse(refusal, 400, NULL, NULL, "the body must be a JSON object");
    else if (kind == SERVE_EMBEDDING)
        read_embedding(&r);
    else if (kind == SERVE_TOKENIZE)
        read_tokenize(&r);
    else if (kind == SERVE_DETOKENIZE)
        read_detokenize(&r);
    else
        read_generation(&r);
    if (refusal->status)
        serve_request_free(request);
    return refusal->status == 0;
}

bool serve_request_read(enum serve_kind kind, const char *body, size_t length,
                        const struct serve_terms *terms, struct serve_request *request,
                        struct serve_refusal *refusal)
{
    json_error_t fault;
    json_t *object = json_loadb(body ? body : "", length, JSON_ALLOW_NUL, &fault);
    if (!object) {
        serve_refuse(refusal, 400, NULL, NULL, "the body is no JSON: %s (line %d, column %d)",
                     fault.text, fault.line, fault.column);
        return false;
    }
    bool read = serve_request_take(kind, object, terms, request, refusal);
    json_decref(object);
    return read;
}

struct engine_request serve_request_engine(const struct serve_request *q,
                                           const struct tok_ids *prompt, int64_t choice,
                                           int64_t context)
{
    struct engine_request request = {
        .prompt = prompt->items,
        .prompt_count = prompt->count,
        .sampling = q->sampling,
        .biases = q->biases,
        .bias_count = q->bias_count,
        .stops = q->stops,
        .stop_count = q->stop_count,
        .most_tokens = q->most_tokens < 0 || q->most_tokens > context ? context : q->most_tokens,
        .log_probabilities = q->log_probabilities,
        .prompt_log_probabilities = q->log_probabilities && q->echo,
        .likely = q->likely,
        .ignore_end = q->ignore_end,
        .continues = q->kind == SERVE_COMPLETION,
        .shown = q->shown,
        .shown_count = q->shown_count,
    };
    request.sampling.seed += (uint64_t)choice;
    return request;
}

void serve_request_trim(struct serve_request *q)
{
    json_t *kept = json_object();
    if (!kept) /* then all of it stays */
        return;
    json_object_set(kept, "stop", json_object_get(q->body, "stop"));
    if (q->form != TOOL_FORM_NONE && q->tools)
        json_object_set(kept, "tools", (json_t *)(uintptr_t)q->tools);
    if (q->echo)
        json_object_set(kept, "prompt", json_object_get(q->body, "prompt"));
    for (int64_t i = 0; i < q->prompt_count && !q->echo; i++)
        q->prompts[i].text = NULL;
    json_decref(q->messages);
    json_decref(q->body);
    q->body = kept;
    q->messages = NULL;
    q->template = NULL;
    q->tools = json_object_get(kept, "tools");
}

void serve_request_free(struct serve_request *request)
{
    json_decref(request->messages);
    json_decref(request->body);
    arena_free(&request->arena);
    *request = (struct serve_request){0};
}
