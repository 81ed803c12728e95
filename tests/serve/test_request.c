/* Bodies of requests: what is read out of good ones, and that every bad one is refused by name. */
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "run/suggestion.h"
#include "serve/request.h"
#include <stdio.h>

#include "support/check.h"

#define VOCABULARY 1000

static bool try_read(enum serve_kind kind, const char *body, size_t length,
                     struct serve_request *request, struct serve_refusal *refusal)
{
    *refusal = (struct serve_refusal){0};
    const struct serve_terms terms = {VOCABULARY, sampling_open};
    return serve_request_read(kind, body, length, &terms, request, refusal);
}

static void good(enum serve_kind kind, const char *body, struct serve_request *request)
{
    struct serve_refusal refusal;
    bool read = try_read(kind, body, strlen(body), request, &refusal);
    if (!read)
        print_error("%s: %s\n", body, refusal.message);
    assert_true(read);
}

static void test_defaults_are_those_of_the_api(void **state)
{
    struct serve_request r;
    (void)state;
    good(SERVE_COMPLETION, "{\"prompt\":\"a\"}", &r);
    assert_int_equal(r.prompt_count, 1);
    assert_string_equal(r.prompts[0].text, "a");
    assert_int_equal(r.most_tokens, 16);
    assert_int_equal(r.n, 1);
    assert_true(r.sampling.temperature == 1 && r.sampling.top_p == 1 && !r.seeded);
    assert_false(r.stream || r.echo || r.log_probabilities || r.usage);
    serve_request_free(&r);
    good(SERVE_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", &r);
    assert_int_equal(r.most_tokens, -1);
    serve_request_free(&r);
}

static void test_what_is_not_said_is_as_the_terms_say(void **state)
{
    static const char body[] = "{\"prompt\":\"a\",\"top_k\":3,\"min_p\":null}";
    const struct serve_terms terms = {VOCABULARY, sampling_usual};
    struct serve_refusal refusal = {0};
    struct serve_request r;
    (void)state;
    assert_true(serve_request_read(SERVE_COMPLETION, body, strlen(body), &terms, &r, &refusal));
    struct sampling_options wanted = sampling_usual;
    wanted.top_k = 3;
    assert_memory_equal(&r.sampling, &wanted, sizeof wanted);
    serve_request_free(&r);
}

static void test_every_form_of_prompt_is_read(void **state)
{
    struct serve_request r;
    (void)state;
    good(SERVE_COMPLETION, "{\"prompt\":[\"a\",\"b\\u0000c\"]}", &r);
    assert_int_equal(r.prompt_count, 2);
    assert_int_equal(r.prompts[1].length, 3);
    serve_request_free(&r);
    good(SERVE_COMPLETION, "{\"prompt\":[1,2,999]}", &r);
    assert_int_equal(r.prompt_count, 1);
    assert_int_equal(r.prompts[0].count, 3);
    assert_int_equal(r.prompts[0].ids[2], 999);
    serve_request_free(&r);
    good(SERVE_COMPLETION, "{\"prompt\":[[1],[2,3]]}", &r);
    assert_int_equal(r.prompt_count, 2);
    assert_int_equal(r.prompts[1].ids[1], 3);
    serve_request_free(&r);
}

static void test_all_options_are_read(void **state)
{
    struct serve_request r;
    (void)state;
    good(SERVE_COMPLETION,
         "{\"prompt\":\"a\",\"max_tokens\":0,\"n\":3,\"best_of\":3,\"stop\":[\"x\",\"yz\"],"
         "\"logprobs\":5,\"echo\":true,\"seed\":-7,\"temperature\":0.5,\"top_p\":0,\"top_k\":-1,"
         "\"min_p\":0.1,\"presence_penalty\":-2,\"frequency_penalty\":2,\"repetition_penalty\":1.1,"
         "\"logit_bias\":{\"5\":-100,\"6\":1.5},\"stream\":true,"
         "\"stream_options\":{\"include_usage\":true},\"ignore_eos\":true,\"suffix\":null}",
         &r);
    assert_int_equal(r.most_tokens, 0);
    assert_int_equal(r.n, 3);
    assert_int_equal(r.stop_count, 2);
    assert_string_equal(r.stops[1], "yz");
    assert_true(r.log_probabilities && r.likely == 5 && r.echo && r.seeded && r.stream && r.usage);
    assert_true(r.sampling.seed == (uint64_t)-7 && r.ignore_end);
    assert_true(r.sampling.top_p > 0 && r.sampling.top_p < 1e-6 && r.sampling.top_k == 0);
    assert_int_equal(r.bias_count, 2);
    assert_true(r.biases[0].token == 5 && r.biases[0].bias == -100);
    serve_request_trim(&r); /* what is still needed stays */
    assert_string_equal(r.stops[1], "yz");
    assert_string_equal(r.prompts[0].text, "a");
    assert_int_equal(json_object_size(r.body), 2);
    serve_request_free(&r);
}

static void test_parts_of_a_message_become_one_text(void **state)
{
    struct serve_request r;
    (void)state;
    good(SERVE_CHAT,
         "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
         "{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":\"assistant\",\"content\":null}],"
         "\"tools\":[{\"type\":\"function\"}],\"max_completion_tokens\":9,\"logprobs\":true,"
         "\"top_logprobs\":2}",
         &r);
    const json_t *content = json_object_get(json_array_get(r.messages, 0), "content");
    assert_string_equal(json_string_value(content), "a\nb");
    assert_int_equal(json_array_size(r.messages), 2);
    assert_non_null(r.tools);
    assert_true(r.most_tokens == 9 && r.log_probabilities && r.likely == 2 && !r.one_call);
    serve_request_free(&r);
    good(SERVE_CHAT,
         "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tools\":[{}],\"tool_choice\":"
         "\"none\",\"parallel_tool_calls\":false}",
         &r);
    assert_true(!r.tools && r.one_call);
    serve_request_free(&r);
}

struct bad_body {
    enum serve_kind kind;
    const char *body, *parameter;
};

static const struct bad_body bad_bodies[] = {
    {SERVE_COMPLETION, "", ""},
    {SERVE_COMPLETION, "{", ""},
    {SERVE_COMPLETION, "[]", ""},
    {SERVE_COMPLETION, "{\"prompt\":\"\xff\"}", ""},
    {SERVE_COMPLETION, "{\"prompt\":\"\xed\xa0\x80\"}", ""},
    {SERVE_COMPLETION, "{\"prompt\":\"a\"} x", ""},
    {SERVE_COMPLETION, "{}", "prompt"},
    {SERVE_COMPLETION, "{\"prompt\":null}", "prompt"},
    {SERVE_COMPLETION, "{\"prompt\":[]}", "prompt"},
    {SERVE_COMPLETION, "{\"prompt\":3}", "prompt"},
    {SERVE_COMPLETION, "{\"prompt\":{}}", "prompt"},
    {SERVE_COMPLETION, "{\"prompt\":[1,\"a\"]}", "prompt"},
    {SERVE_COMPLETION, "{\"prompt\":[\"a\",[1]]}", "prompt"},
    {SERVE_COMPLETION, "{\"prompt\":[[1],2]}", "prompt"},
    {SERVE_COMPLETION, "{\"prompt\":[1000]}", "prompt"},
    {SERVE_COMPLETION, "{\"prompt\":[-1]}", "prompt"},
    {SERVE_COMPLETION, "{\"prompt\":[1.5]}", "prompt"},
    {SERVE_COMPLETION, "{\"prompt\":[1e300]}", "prompt"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"max_tokens\":-1}", "max_tokens"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"max_tokens\":1e99}", "max_tokens"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"max_tokens\":\"9\"}", "max_tokens"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"n\":0}", "n"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"n\":129}", "n"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"n\":1,\"best_of\":2}", "best_of"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"temperature\":-1}", "temperature"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"temperature\":true}", "temperature"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"top_p\":1.1}", "top_p"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"top_k\":-2}", "top_k"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"presence_penalty\":3}", "presence_penalty"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"stop\":[\"\"]}", "stop"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"stop\":[1]}", "stop"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"stop\":\"a\\u0000b\"}", "stop"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"logprobs\":21}", "logprobs"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"stream\":1}", "stream"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"stream_options\":[]}", "stream_options"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"seed\":1.5}", "seed"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"seed\":99999999999999999999}", ""},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"suffix\":\"b\"}", "suffix"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"logit_bias\":{\"x\":1}}", "logit_bias"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"logit_bias\":{\"\":1}}", "logit_bias"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"logit_bias\":{\"1\":101}}", "logit_bias"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"logit_bias\":{\"1000\":1}}", "logit_bias"},
    {SERVE_COMPLETION, "{\"prompt\":\"a\",\"logit_bias\":[1]}", "logit_bias"},
    {SERVE_CHAT, "{\"messages\":[]}", "messages"},
    {SERVE_CHAT, "{\"messages\":[1]}", "messages"},
    {SERVE_CHAT, "{\"messages\":[{\"content\":\"a\"}]}", "messages"},
    {SERVE_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":5}]}", "messages"},
    {SERVE_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
     "messages"},
    {SERVE_CHAT, "{\"messages\":[{\"role\":\"user\"}],\"tools\":{}}", "tools"},
    {SERVE_CHAT, "{\"messages\":[{\"role\":\"user\"}],\"top_logprobs\":1}", "top_logprobs"},
    {SERVE_CHAT, "{\"messages\":[{\"role\":\"user\"}],\"max_tokens\":0}", "max_tokens"},
    {SERVE_CHAT, "{\"messages\":[{\"role\":\"user\"}],\"response_format\":{\"type\":\"json\"}}",
     "response_format"},
    {SERVE_CHAT, "{\"messages\":[{\"role\":\"user\"}],\"tool_choice\":\"required\"}",
     "tool_choice"},
    {SERVE_CHAT,
     "{\"messages\":[{\"role\":\"user\"}],\"tool_choice\":{\"type\":\"function\",\"function\":"
     "{\"name\":\"a\"}}}",
     "tool_choice"},
    {SERVE_CHAT, "{\"messages\":[{\"role\":\"user\"}],\"parallel_tool_calls\":1}",
     "parallel_tool_calls"},
    {SERVE_EMBEDDING, "{\"input\":[]}", "input"},
    {SERVE_EMBEDDING, "{\"input\":\"a\",\"encoding_format\":\"hex\"}", "encoding_format"},
    {SERVE_EMBEDDING, "{\"input\":\"a\",\"dimensions\":3}", "dimensions"},
    {SERVE_TOKENIZE, "{}", "prompt"},
    {SERVE_TOKENIZE, "{\"prompt\":[1]}", "prompt"},
    {SERVE_DETOKENIZE, "{\"tokens\":\"a\"}", "tokens"},
    {SERVE_DETOKENIZE, "{\"tokens\":[1000]}", "tokens"},
};

static void test_bad_bodies_are_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_bodies / sizeof *bad_bodies; i++) {
        const struct bad_body *b = &bad_bodies[i];
        struct serve_request request;
        struct serve_refusal refusal;
        if (try_read(b->kind, b->body, strlen(b->body), &request, &refusal)) {
            print_error("taken: %s\n", b->body);
            fail();
        }
        assert_int_equal(refusal.status, 400);
        assert_string_equal(refusal.parameter, b->parameter);
        assert_true(*refusal.message);
        json_t *answer = serve_refusal_json(&refusal);
        const json_t *error = json_object_get(answer, "error");
        assert_true(json_is_string(json_object_get(error, "message")));
        assert_string_equal(json_string_value(json_object_get(error, "type")),
                            "invalid_request_error");
        json_decref(answer);
    }
}

/* The next whole number below a bound. */
static size_t draw(uint64_t *element, uint64_t bound)
{
    return random_below((struct random_address){7, RANDOM_TEST, 0, 0}, (*element)++, bound);
}

/* Good bodies with bytes changed, cut, doubled: each is taken or refused with 400. */
static void test_damaged_bodies_are_taken_or_refused(void **state)
{
    static const char *const seeds[] = {
        "{\"prompt\":[\"a\",\"b\"],\"n\":2,\"stop\":[\"x\"],\"logit_bias\":{\"5\":1},\"seed\":1}",
        ("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}],"
         "\"stream_options\":{\"include_usage\":true},\"tools\":[{}]}"),
        "{\"input\":[[1,2],[3]],\"encoding_format\":\"base64\",\"tokens\":[1,2]}",
    };
    uint64_t element = 0;
    int taken = 0, refused = 0;
    (void)state;
    for (uint64_t trial = 0; trial < 30000; trial++) {
        const char *seed = seeds[trial % 3];
        size_t length = strlen(seed);
        char *body = malloc(length * 2 + 1);
        memcpy(body, seed, length);
        for (uint64_t edits = 1 + draw(&element, 3); edits > 0 && length > 0; edits--) {
            size_t at = draw(&element, length);
            switch (draw(&element, 4)) {
            case 0:
                body[at] = (char)draw(&element, 256);
                break;
            case 1:
                body[at] = "{}[]\",:0-9e.\\untf"[draw(&element, 17)];
                break;
            case 2:
                memmove(body + at, body + at + 1, length - at - 1);
                length--;
                break;
            default:
                length = length > 1 ? at : length;
            }
        }
        struct serve_request request;
        struct serve_refusal refusal;
        char *exact = malloc(length + 1); /* so that a sanitizer sees the end */
        memcpy(exact, body, length);
        if (try_read((enum serve_kind)(trial / 3 % 5), exact, length, &request, &refusal)) {
            serve_request_free(&request);
            taken++;
        } else {
            assert_int_equal(refusal.status, 400);
            refused++;
        }
        free(exact);
        free(body);
    }
    assert_true(taken > 50 && refused > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_those_of_the_api),
        cmocka_unit_test(test_what_is_not_said_is_as_the_terms_say),
        cmocka_unit_test(test_every_form_of_prompt_is_read),
        cmocka_unit_test(test_all_options_are_read),
        cmocka_unit_test(test_parts_of_a_message_become_one_text),
        cmocka_unit_test(test_bad_bodies_are_refused_by_name),
        cmocka_unit_test(test_damaged_bodies_are_taken_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
