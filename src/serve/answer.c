/* What answers look like: OpenAI's layouts for completions, chats and embeddings, whole and as
 * server-sent events. An answer that streams says the same as a whole one in pieces: both tell what
 * a choice has gathered since it last told something. */
#include <math.h>
#include <openssl/evp.h>
#include <string.h>
#include <xxhash.h>

#include "base/json_text.h"
#include "serve/call.h"

/* JSON has no infinity. */
#define LEAST_LOG_PROBABILITY (-9999.0)

static int put(const char *bytes, size_t length, void *out)
{
    buffer_add(out, bytes, length);
    return ((struct buffer *)out)->failed ? -1 : 0;
}

void answer_json(json_t *value, struct buffer *out)
{
    if (!value || json_dump_callback(value, put, out, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0)
        out->failed = 1;
    json_decref(value);
}

static void put_event(json_t *value, struct buffer *out)
{
    buffer_add_text(out, "data: ");
    answer_json(value, out);
    buffer_add_text(out, "\n\n");
}

/* Tokens and their log-probabilities. */

static json_t *log_probability(float value)
{
    double number = (double)value;
    return json_real(isfinite(number) ? number : LEAST_LOG_PROBABILITY);
}

static void decode_one(const struct call *call, int32_t token, struct buffer *text)
{
    bool started = true;
    buffer_clear(text);
    tok_decode_next(&call->server->model->tokenizer, &token, 1, true, &started, text);
    buffer_add_text(text, "");
}

/* A token's name in the classic layout: parts of characters as "bytes:\xe2\x82". */
static json_t *classic_name(const struct buffer *text)
{
    struct buffer name = {0};
    json_t *plain = json_stringn(text->data, text->length);
    if (plain)
        return plain;
    buffer_add_text(&name, "bytes:");
    for (size_t i = 0; i < text->length; i++)
        buffer_printf(&name, "\\x%02x", (unsigned char)text->data[i]);
    plain = name.failed ? NULL : json_string(name.data);
    buffer_free(&name);
    return plain;
}

static int64_t characters(const struct buffer *text)
{
    int64_t count = 0;
    for (size_t i = 0; i < text->length; i++)
        count += ((unsigned char)text->data[i] & 0xc0) != 0x80;
    return count;
}

/* {name: log-probability}: the likeliest tokens, and the one that came. */
static json_t *classic_top(const struct call *call, const struct engine_token *token)
{
    struct buffer text = {0};
    json_t *top = json_object();
    for (int64_t i = 0; top && i <= token->likely_count; i++) {
        bool own = i == token->likely_count;
        decode_one(call, own ? token->token : token->likely[i].token, &text);
        json_t *name = text.failed ? NULL : classic_name(&text);
        const char *key = json_string_value(name);
        if (key && !json_object_get(top, key)) /* of several with one name the likeliest */
            json_object_set_new(
                top, key,
                log_probability(own ? token->log_probability : token->likely[i].log_probability));
        json_decref(name);
    }
    buffer_free(&text);
    return top;
}

static bool add_classic(struct choice *choice, const struct engine_token *token)
{
    bool first = token->of_prompt && choice->characters == 0 && !choice->log_probabilities;
    const struct tokenizer *t = &choice->call->server->model->tokenizer;
    /* The model's vocabulary may go on behind the tokenizer's. */
    bool shown = token->token < t->count && !t->pieces[token->token].special;
    json_t *lists = choice->log_probabilities;
    struct buffer text = {0};
    if (!lists)
        lists = choice->log_probabilities = json_pack(
            "{s:[],s:[],s:[],s:[]}", "tokens", "token_logprobs", "top_logprobs", "text_offset");
    decode_one(choice->call, token->token, &text);
    json_t *name = text.failed ? NULL : classic_name(&text);
    bool fine =
        lists && name && json_array_append_new(json_object_get(lists, "tokens"), name) == 0 &&
        json_array_append_new(json_object_get(lists, "token_logprobs"),
                              first ? json_null() : log_probability(token->log_probability)) == 0 &&
        json_array_append_new(json_object_get(lists, "top_logprobs"),
                              first ? json_null() : classic_top(choice->call, token)) == 0 &&
        json_array_append_new(json_object_get(lists, "text_offset"),
                              json_integer(choice->characters)) == 0;
    choice->characters += shown ? characters(&text) : 0;
    buffer_free(&text);
    return fine;
}

/* {"token", "logprob", "bytes"} */
static json_t *chat_item(const struct call *call, int32_t token, float probability)
{
    struct buffer text = {0};
    json_t *bytes = json_array();
    decode_one(call, token, &text);
    for (size_t i = 0; bytes && i < text.length; i++)
        json_array_append_new(bytes, json_integer((unsigned char)text.data[i]));
    json_t *item = text.failed
                       ? NULL
                       : json_pack("{s:o,s:o,s:o}", "token", json_text(text.data, text.length),
                                   "logprob", log_probability(probability), "bytes", bytes);
    if (text.failed)
        json_decref(bytes);
    buffer_free(&text);
    return item;
}

static bool add_chat(struct choice *choice, const struct engine_token *token)
{
    const struct call *call = choice->call;
    json_t *top = json_array();
    if (!choice->log_probabilities)
        choice->log_probabilities = json_pack("{s:[]}", "content");
    for (int64_t i = 0; top && i < token->likely_count; i++)
        json_array_append_new(
            top, chat_item(call, token->likely[i].token, token->likely[i].log_probability));
    json_t *item = chat_item(call, token->token, token->log_probability);
    if (!item || !top || json_object_set_new(item, "top_logprobs", top) != 0) {
        json_decref(item);
        return false;
    }
    return json_array_append_new(json_object_get(choice->log_probabilities, "content"), item) == 0;
}

bool answer_token(struct choice *choice, const struct engine_token *token)
{
    const struct call *call = choice->call;
    tool_reader_add(&choice->reader, token->text, token->length, &choice->text);
    if (choice->text.failed || choice->reader.failed)
        return false;
    if (!call->request.log_probabilities)
        return true;
    return call->route == ROUTE_CHAT ? add_chat(choice, token) : add_classic(choice, token);
}

void answer_end(struct choice *choice, const char *text, size_t length)
{
    tool_reader_add(&choice->reader, text, length, &choice->text);
    tool_reader_finish(&choice->reader, &choice->text);
    if (choice->reader.failed)
        choice->text.failed = 1;
}

/* Calls of tools. */

static int64_t count_calls(const struct choice *choice)
{
    int64_t count = (int64_t)json_array_size(choice->reader.calls);
    return choice->call->request.one_call && count > 1 ? 1 : count;
}

/* Nine letters and digits, which is what Mistral's templates want, and so fits all. */
static void draw_call_id(const struct choice *choice, int64_t index, char id[10])
{
    static const char signs[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const char *name = choice->call->id;
    uint64_t seed = (uint64_t)choice->index * TOOL_CALLS_MOST + (uint64_t)index;
    uint64_t number = XXH3_64bits_withSeed(name, strlen(name), seed);
    for (int i = 0; i < 9; i++, number /= 62)
        id[i] = signs[number % 62];
    id[9] = 0;
}

/* The calls that were not told yet, which are then told. With their places, as in a stream. */
static json_t *take_calls(struct choice *choice, bool places)
{
    json_t *list = json_array();
    for (; choice->calls_told < count_calls(choice); choice->calls_told++) {
        const json_t *call = json_array_get(choice->reader.calls, (size_t)choice->calls_told);
        char id[10];
        draw_call_id(choice, choice->calls_told, id);
        json_t *item = json_pack("{s:s,s:s,s:{s:O,s:O}}", "id", id, "type", "function", "function",
                                 "name", json_object_get(call, "name"), "arguments",
                                 json_object_get(call, "arguments"));
        if (item && places)
            json_object_set_new(item, "index", json_integer(choice->calls_told));
        if (json_array_append_new(list, item) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* Pieces. */

static const char *end_word(const struct choice *choice)
{
    return choice->end == ENGINE_LENGTH ? "length"
           : count_calls(choice) > 0    ? "tool_calls"
                                        : "stop";
}

/* What a choice has to tell, which is then told. */
static json_t *take_text(struct choice *choice)
{
    json_t *text = json_text(choice->text.data ? choice->text.data : "", choice->text.length);
    buffer_clear(&choice->text);
    return text;
}

static json_t *take_log_probabilities(struct choice *choice)
{
    json_t *lists = choice->log_probabilities;
    choice->log_probabilities = NULL;
    return lists ? lists : json_null();
}

static json_t *answer_head(const struct call *call, const char *object)
{
    return json_pack("{s:s,s:s,s:I,s:s}", "id", call->id, "object", object, "created",
                     (json_int_t)call->created, "model", call->server->options.alias);
}

static json_t *usage(const struct call *call)
{
    int64_t prompt = 0, shared = 0, made = 0;
    for (int64_t i = 0; i < call->choice_count; i++) {
        const struct choice *choice = &call->choices[i];
        bool first = i % call->request.n == 0; /* a prompt counts once */
        prompt += first ? choice->prompt_tokens : 0;
        shared += first ? choice->shared_tokens : 0;
        made += choice->made_tokens;
    }
    return json_pack("{s:I,s:I,s:I,s:{s:I}}", "prompt_tokens", (json_int_t)prompt,
                     "completion_tokens", (json_int_t)made, "total_tokens",
                     (json_int_t)(prompt + made), "prompt_tokens_details", "cached_tokens",
                     (json_int_t)shared);
}

static void put_chunk(const struct call *call, json_t *choices, json_t *numbers, struct buffer *out)
{
    json_t *chunk =
        answer_head(call, call->route == ROUTE_CHAT ? "chat.completion.chunk" : "text_completion");
    bool fine = chunk && choices && json_object_set_new(chunk, "choices", choices) == 0;
    if (!fine)
        out->failed = 1;
    if (fine && call->request.usage)
        json_object_set_new(chunk, "usage", numbers ? numbers : json_null());
    put_event(chunk, out);
}

static void put_delta(struct choice *choice, json_t *delta, json_t *log_probabilities,
                      const char *reason, struct buffer *out)
{
    put_chunk(choice->call,
              json_pack("[{s:I,s:o,s:o,s:s?}]", "index", (json_int_t)choice->index, "delta", delta,
                        "logprobs", log_probabilities, "finish_reason", reason),
              NULL, out);
}

static void chat_piece(struct choice *choice, bool end, struct buffer *out)
{
    if (!choice->opened)
        put_delta(choice, json_pack("{s:s,s:s}", "role", "assistant", "content", ""), json_null(),
                  NULL, out);
    choice->opened = true;
    if (choice->text.length > 0 || (end && choice->log_probabilities))
        put_delta(choice, json_pack("{s:o}", "content", take_text(choice)),
                  take_log_probabilities(choice), NULL, out);
    if (choice->calls_told < count_calls(choice))
        put_delta(choice, json_pack("{s:o}", "tool_calls", take_calls(choice, true)), json_null(),
                  NULL, out);
    if (end)
        put_delta(choice, json_object(), json_null(), end_word(choice), out);
}

void answer_piece(struct choice *choice, bool end, struct buffer *out)
{
    if (choice->call->route == ROUTE_CHAT) {
        chat_piece(choice, end, out);
        return;
    }
    if (choice->text.length == 0 && !end)
        return;
    put_chunk(choice->call,
              json_pack("[{s:I,s:o,s:o,s:s?}]", "index", (json_int_t)choice->index, "text",
                        take_text(choice), "logprobs", take_log_probabilities(choice),
                        "finish_reason", end ? end_word(choice) : NULL),
              NULL, out);
}

void answer_close(struct call *call, struct buffer *out)
{
    if (call->request.usage)
        put_chunk(call, json_array(), usage(call), out);
    buffer_add_text(out, "data: [DONE]\n\n");
}

void answer_fault(const struct serve_refusal *refusal, struct buffer *out)
{
    put_event(serve_refusal_json(refusal), out);
}

/* Whole answers. */

static json_t *whole_message(struct choice *choice)
{
    bool called = count_calls(choice) > 0;
    json_t *text = called && choice->text.length == 0 ? json_null() : take_text(choice);
    json_t *message = json_pack("{s:s,s:o}", "role", "assistant", "content", text);
    if (message && called &&
        json_object_set_new(message, "tool_calls", take_calls(choice, false))) {
        json_decref(message);
        return NULL;
    }
    return message;
}

static json_t *whole_choice(struct choice *choice)
{
    json_t *lists = take_log_probabilities(choice);
    if (choice->call->route == ROUTE_CHAT)
        return json_pack("{s:I,s:o,s:o,s:s}", "index", (json_int_t)choice->index, "message",
                         whole_message(choice), "logprobs", lists, "finish_reason",
                         end_word(choice));
    json_t *text = take_text(choice);
    return json_pack("{s:I,s:o,s:o,s:s}", "index", (json_int_t)choice->index, "text", text,
                     "logprobs", lists, "finish_reason", end_word(choice));
}

static json_t *whole_embeddings(struct call *call)
{
    json_int_t tokens = 0;
    for (int64_t i = 0; i < call->request.prompt_count; i++)
        tokens += call->prompts[i].count;
    return json_pack("{s:s,s:O,s:s,s:{s:I,s:I}}", "object", "list", "data", call->answer, "model",
                     call->server->options.alias, "usage", "prompt_tokens", tokens, "total_tokens",
                     tokens);
}

void answer_whole(struct call *call, struct buffer *out)
{
    if (call->route == ROUTE_EMBEDDINGS) {
        answer_json(whole_embeddings(call), out);
        return;
    }
    json_t *choices = json_array(), *numbers = usage(call);
    json_t *answer =
        answer_head(call, call->route == ROUTE_CHAT ? "chat.completion" : "text_completion");
    bool fine = choices && numbers && answer;
    for (int64_t i = 0; i < call->choice_count && fine; i++)
        fine = json_array_append_new(choices, whole_choice(&call->choices[i])) == 0;
    if (!fine || json_object_set(answer, "choices", choices) != 0 ||
        json_object_set(answer, "usage", numbers) != 0)
        out->failed = 1;
    json_decref(choices);
    json_decref(numbers);
    answer_json(answer, out);
}

/* Embeddings. */

static json_t *base64(const float *values, int64_t width)
{
    size_t bytes = (size_t)width * sizeof *values;
    struct buffer text = {0};
    if (!buffer_reserve(&text, (bytes + 2) / 3 * 4 + 1))
        return NULL;
    int length =
        EVP_EncodeBlock((unsigned char *)text.data, (const unsigned char *)values, (int)bytes);
    json_t *result = json_stringn(text.data, (size_t)length);
    buffer_free(&text);
    return result;
}

bool answer_embedding(struct call *call, int64_t index, const float *values, int64_t width)
{
    json_t *vector = call->request.base64 ? base64(values, width) : json_array();
    for (int64_t i = 0; vector && !call->request.base64 && i < width; i++)
        json_array_append_new(vector, json_real(isfinite(values[i]) ? (double)values[i] : 0));
    if (!call->answer)
        call->answer = json_array();
    return vector && json_array_append_new(
                         call->answer, json_pack("{s:s,s:I,s:o}", "object", "embedding", "index",
                                                 (json_int_t)index, "embedding", vector)) == 0;
}
