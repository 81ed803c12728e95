/* Calls of tools in answers: every form is read as the templates write it, however the answer is
 * cut into pieces, and what is no call stays text to the byte. */
#include "text/tool_calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "support/check.h"
#include "support/models.h"
#include "text/chat.h"

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"description\":\"of a place\","
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"days\":"
    "{\"type\":\"integer\"},\"units\":{\"type\":[\"string\",\"null\"]},\"at\":{\"type\":"
    "\"object\"}}}}}]";

struct answer {
    char *text, *calls;
};

static void answer_free(struct answer *answer)
{
    free(answer->text);
    free(answer->calls);
}

/* Reads an answer in pieces of at most `most` bytes. */
static struct answer read_pieces(enum tool_form form, bool thinking, const char *bytes,
                                 size_t length, size_t most)
{
    json_t *tools = json_loads(tools_text, 0, NULL);
    struct tool_reader reader = {.form = form, .tools = tools, .thinking = thinking};
    struct buffer text = {0};
    for (size_t at = 0; at < length; at += most) {
        size_t size = length - at < most ? length - at : most;
        char *exact = malloc(size); /* so that a sanitizer sees the end */
        memcpy(exact, bytes + at, size);
        tool_reader_add(&reader, exact, size, &text);
        free(exact);
    }
    tool_reader_finish(&reader, &text);
    assert_false(reader.failed || text.failed);
    buffer_add_text(&text, "");
    struct answer answer = {.text = text.data,
                            .calls = reader.calls ? json_dumps(reader.calls, JSON_COMPACT)
                                                  : strdup("[]")};
    tool_reader_free(&reader);
    json_decref(tools);
    return answer;
}

struct form_case {
    enum tool_form form;
    const char *answer, *text, *calls; /* calls NULL: there are none, and the text is the answer */
};

#define ONE "[{\"name\":\"weather\",\"arguments\":\"{\\\"city\\\": \\\"Ulm\\\"}\"}]"
#define TWO                                                                                        \
    "[{\"name\":\"weather\",\"arguments\":\"{\\\"city\\\": \\\"Ulm\\\"}\"},"                       \
    "{\"name\":\"now\",\"arguments\":\"{}\"}]"
#define OBJECT "{\"name\": \"weather\", \"arguments\": {\"city\": \"Ulm\"}}"

static const struct form_case cases[] = {
    {TOOL_FORM_TAGS, "<tool_call>\n" OBJECT "\n</tool_call>", "", ONE},
    {TOOL_FORM_TAGS, "  Let me see.\n\n<tool_call>" OBJECT "</tool_call>\n", "  Let me see.", ONE},
    {TOOL_FORM_TAGS, "<tool_call>" OBJECT "</tool_call>\n<tool_call>{\"name\":\"now\"}</tool_call>",
     "", TWO},
    {TOOL_FORM_TAGS, "<tool_call>[" OBJECT ",{\"name\":\"now\",\"arguments\":{}}]</tool_call>", "",
     TWO},
    {TOOL_FORM_TAGS, "<tool_call>" OBJECT, "", ONE}, /* ended instead of closed */
    {TOOL_FORM_TAGS, "a <tool_call>" OBJECT "</tool_call> b", "a b", ONE},
    {TOOL_FORM_TAGS, "<tool_call>{\"type\":\"function\",\"function\":" OBJECT "}</tool_call>", "",
     ONE},
    {TOOL_FORM_TAGS,
     "<tool_call>{\"name\":\"weather\",\"arguments\":\"{\\\"city\\\": \\\"Ulm\\\"}\"}</tool_call>",
     "", ONE},
    {TOOL_FORM_TAGS,
     "<tool_call>{\"name\":\"now\",\"arguments\":{\"a\":\"</tool_call>\",\"b\":[0.1,1e5]}}"
     "</tool_call>",
     "",
     "[{\"name\":\"now\",\"arguments\":\"{\\\"a\\\":\\\"</tool_call>\\\",\\\"b\\\":[0.1,1e5]}\"}]"},
    {TOOL_FORM_TAGS, /* escaped quotes, brackets and commas inside texts */
     "<tool_call>{\"name\":\"now\",\"arguments\":{\"a\":\"\\\"}, \\\\\",\"b\":1}}</tool_call>", "",
     "[{\"name\":\"now\",\"arguments\":\"{\\\"a\\\":\\\"\\\\\\\"}, \\\\\\\\\\\",\\\"b\\\":1}\"}]"},
    {TOOL_FORM_TAGS, "<think>I could say <tool_call>" OBJECT "</tool_call>.</think>\nNo.",
     "<think>I could say <tool_call>" OBJECT "</tool_call>.</think>\nNo.", NULL},
    {TOOL_FORM_TAGS, "<think>a</think>\n\n<tool_call>" OBJECT "</tool_call>", "<think>a</think>",
     ONE},
    {TOOL_FORM_FUNCTIONS,
     "<tool_call>\n<function=weather>\n<parameter=city>\nUlm\n</parameter>\n</function>\n"
     "</tool_call>",
     "", ONE},
    {TOOL_FORM_FUNCTIONS,
     "Yes.\n<function=weather>\n<parameter=days>\n3\n</parameter>\n<parameter=units>\nnull\n"
     "</parameter>\n<parameter=at>\n{\"x\": 0.1}\n</parameter>\n<parameter=new>\n5 \"a\"\n\n"
     "</parameter>\n</function>",
     "Yes.",
     "[{\"name\":\"weather\",\"arguments\":\"{\\\"days\\\": 3, \\\"units\\\": \\\"null\\\", "
     "\\\"at\\\": {\\\"x\\\": 0.1}, \\\"new\\\": \\\"5 \\\\\\\"a\\\\\\\"\\\\n\\\"}\"}]"},
    {TOOL_FORM_FUNCTIONS, "<function=weather>{\"city\": \"Ulm\"}</function>", "", ONE},
    {TOOL_FORM_FUNCTIONS, "<tool_call>" OBJECT "</tool_call>", "", ONE},
    {TOOL_FORM_BARE, "{\"name\": \"weather\", \"parameters\": {\"city\": \"Ulm\"}}", "", ONE},
    {TOOL_FORM_BARE, "\n<|python_tag|>" OBJECT "; {\"name\": \"now\", \"parameters\": {}}", "",
     TWO},
    {TOOL_FORM_BARE, "<|python_tag|>weather.call(city=\"Ulm\")", "", ONE},
    {TOOL_FORM_BARE, "{\"name\": \"nobody\", \"parameters\": {}}",
     "{\"name\": \"nobody\", \"parameters\": {}}", NULL}, /* an answer in JSON */
    {TOOL_FORM_BARE, "See {\"name\": \"weather\", \"parameters\": {}}",
     "See {\"name\": \"weather\", \"parameters\": {}}", NULL},
    {TOOL_FORM_MISTRAL, "[TOOL_CALLS][" OBJECT ", {\"name\": \"now\", \"arguments\": {}}]", "",
     TWO},
    {TOOL_FORM_MISTRAL, "[TOOL_CALLS]weather[ARGS]{\"city\": \"Ulm\"}[TOOL_CALLS]now{}", "", TWO},
    {TOOL_FORM_MISTRAL, "[TOOL_CALLS]weather[CALL_ID]123456789[ARGS]{\"city\": \"Ulm\"}", "", ONE},
    {TOOL_FORM_LIST, "<|tool_call|>[" OBJECT "]<|/tool_call|>", "", ONE},
    {TOOL_FORM_LIST, "<|tool_call|>[" OBJECT "]", "", ONE},
    {TOOL_FORM_LIST,
     "<|tool_call|>[{\"function\":{\"name\":\"now\",\"arguments\":\"{\\\"a\\\":\\\"]}\\\"}\"}},"
     "{\"name\":\"now\",\"arguments\":{\"b\":\"\\\"]\"}}]<|/tool_call|>",
     "",
     "[{\"name\":\"now\",\"arguments\":\"{\\\"a\\\":\\\"]}\\\"}\"},"
     "{\"name\":\"now\",\"arguments\":\"{\\\"b\\\":\\\"\\\\\\\"]\\\"}\"}]"},
    {TOOL_FORM_LIST, /* a name that is none, with a quote in it */
     "<|tool_call|>[{\"function\":{\"name\":\"f\\\":1}\"}}]<|/tool_call|>", NULL, NULL},
    {TOOL_FORM_LIST, "<tool_call>" OBJECT "</tool_call>\n", "", ONE},
    {TOOL_FORM_LIST, "functools[" OBJECT "]", "", ONE},
    {TOOL_FORM_DEEPSEEK,
     "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{\"city\":"
     " "
     "\"Ulm\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜>"
     "<｜tool▁calls▁end｜>",
     "", TWO},
    /* what is no call */
    {TOOL_FORM_TAGS, "Say <tool_call> to call.", NULL, NULL},
    {TOOL_FORM_TAGS, "<tool_call>{\"name\": \"weather\"", NULL, NULL},
    {TOOL_FORM_TAGS, "<tool_call>{\"name\": \"weather\"} x</tool_call>", NULL, NULL},
    {TOOL_FORM_TAGS, "<tool_call>{\"name\": 5}</tool_call> \n", NULL, NULL},
    {TOOL_FORM_TAGS, "<tool_call>{\"name\": \"\"}</tool_call>", NULL, NULL},
    {TOOL_FORM_TAGS, "<tool_call>{\"name\": \"a b\"}</tool_call>", NULL, NULL},
    {TOOL_FORM_TAGS, "<tool_call>{\"name\": \"a\", \"arguments\": [1]}</tool_call>", NULL, NULL},
    {TOOL_FORM_TAGS, "<tool_call>{\"name\": \"a\", \"arguments\": \"[1]\"}</tool_call>", NULL,
     NULL},
    {TOOL_FORM_TAGS, "<tool_call>[]</tool_call>", NULL, NULL},
    {TOOL_FORM_TAGS, "<tool_call></tool_call>", NULL, NULL},
    {TOOL_FORM_TAGS, "a < b <tool", NULL, NULL},
    {TOOL_FORM_TAGS, "<think>never closed <tool_call>" OBJECT "</tool_call>", NULL, NULL},
    {TOOL_FORM_FUNCTIONS, "<function=weather>\n<parameter=city>Ulm</function>", NULL, NULL},
    {TOOL_FORM_FUNCTIONS, "<function=>\n</function>", NULL, NULL},
    {TOOL_FORM_BARE, "<|python_tag|>print(1)", NULL, NULL},
    {TOOL_FORM_BARE, "<|python_tag|>weather.call(city=Ulm)", NULL, NULL},
    {TOOL_FORM_BARE, "{\"a\": 1}\n", NULL, NULL},
    {TOOL_FORM_MISTRAL, "[TOOL_CALLS]", NULL, NULL},
    {TOOL_FORM_MISTRAL, "[TOOL_CALLS]weather(1)", NULL, NULL},
    {TOOL_FORM_LIST, "<|tool_call|>none", NULL, NULL},
    {TOOL_FORM_DEEPSEEK, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function", NULL, NULL},
    {TOOL_FORM_NONE, "<tool_call>" OBJECT "</tool_call>", NULL, NULL},
};

static void test_every_form_is_read_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct form_case *c = &cases[i];
        size_t length = strlen(c->answer);
        for (size_t most = 1; most <= length; most++) {
            struct answer a = read_pieces(c->form, false, c->answer, length, most);
            if (strcmp(a.text, c->text ? c->text : c->answer) != 0 ||
                strcmp(a.calls, c->calls ? c->calls : "[]") != 0) {
                print_error("%s\n  text  %s\n  calls %s\n", c->answer, a.text, a.calls);
                fail();
            }
            answer_free(&a);
        }
    }
}

static void test_a_thought_that_the_prompt_began_calls_nothing(void **state)
{
    static const char answer[] = "so <tool_call>" OBJECT "</tool_call>\n</think>\n\n<tool_call>"
                                 "{\"name\": \"now\"}</tool_call>";
    (void)state;
    struct answer a = read_pieces(TOOL_FORM_TAGS, true, answer, strlen(answer), 3);
    assert_string_equal(a.text, "so <tool_call>" OBJECT "</tool_call>\n</think>");
    assert_string_equal(a.calls, "[{\"name\":\"now\",\"arguments\":\"{}\"}]");
    answer_free(&a);
}

/* The published templates: the form of each, and the way back from what it writes. */

struct template_case {
    const char *name;
    enum tool_form form;
    bool taken, written; /* tools are taken; calls of a message are written */
};

static const struct template_case templates[] = {
    {"HuggingFaceTB-SmolLM3-3B", TOOL_FORM_NONE, false, false},
    {"Qwen-Qwen2.5-7B-Instruct", TOOL_FORM_TAGS, true, true},
    {"Qwen-Qwen3-0.6B", TOOL_FORM_TAGS, true, true},
    {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", TOOL_FORM_DEEPSEEK, false, true},
    {"google-gemma-2-2b-it", TOOL_FORM_NONE, false, false},
    {"ibm-granite-granite-3.3-2B-Instruct", TOOL_FORM_LIST, true, false},
    {"meta-llama-Llama-3.1-8B-Instruct", TOOL_FORM_BARE, true, true},
    {"meta-llama-Llama-3.2-3B-Instruct", TOOL_FORM_BARE, true, true},
    {"microsoft-Phi-3.5-mini-instruct", TOOL_FORM_NONE, false, false},
    {"mistralai-Mistral-Nemo-Instruct-2407", TOOL_FORM_MISTRAL, true, true},
};

/* What the answer begins with. */
static const char *const begins[] = {
    [TOOL_FORM_TAGS] = "<tool_call>\n{\"name\": \"weather",
    [TOOL_FORM_BARE] = "{\"name\": \"weather\", \"parameters\": {\"city",
    [TOOL_FORM_MISTRAL] = "[TOOL_CALLS]",
    [TOOL_FORM_DEEPSEEK] = "<｜tool▁calls▁begin｜>",
};

static void check_way_back(const struct template_case *t, const struct buffer *source)
{
    static const char messages_text[] =
        "[{\"role\":\"user\",\"content\":\"Rain?\"},{\"role\":\"assistant\",\"content\":\"\","
        "\"tool_calls\":[{\"id\":\"abcdefghi\",\"type\":\"function\",\"function\":{\"name\":"
        "\"weather\",\"arguments\":{\"city\": \"\\u00dclm \\\"<\\\"\",\"days\":0.1}}}]}]";
    json_t *messages = json_loads(messages_text, 0, NULL), *calls = NULL;
    json_t *wanted = json_object_get(
        json_object_get(
            json_array_get(json_object_get(json_array_get(messages, 1), "tool_calls"), 0),
            "function"),
        "arguments");
    json_t *tools = json_loads(tools_text, 0, NULL);
    struct jinja jinja;
    struct error error;
    struct buffer text = {0};
    struct chat_options options = {.tools = t->taken ? tools : NULL, .bos = "", .eos = "</s>"};
    assert_int_equal(jinja_parse(source->data, source->length, t->name, &jinja, &error), STATUS_OK);
    assert_int_equal(chat_render(&jinja, messages, &options, &text, &error), STATUS_OK);
    char *answer = strdup(strstr(text.data, begins[t->form]));
    static const char *const ends[] = {"<|im_end|>", "<|eot_id|>", "<｜end▁of▁sentence｜>", "</s>"};
    for (int i = 0; i < 4; i++) {
        char *end = strstr(answer, ends[i]);
        if (end)
            *end = 0;
    }
    struct answer a = read_pieces(t->form, false, answer, strlen(answer), 2);
    calls = json_loads(a.calls, 0, NULL);
    if (json_array_size(calls) != 1) {
        print_error("%s: no call in: %s\n", t->name, answer);
        fail();
    }
    const json_t *call = json_array_get(calls, 0);
    json_t *arguments = json_loads(json_string_value(json_object_get(call, "arguments")), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(call, "name")), "weather");
    assert_true(json_equal(arguments, wanted));
    json_decref(arguments);
    json_decref(calls);
    json_decref(messages);
    json_decref(tools);
    answer_free(&a);
    free(answer);
    buffer_free(&text);
    jinja_free(&jinja);
}

static void test_calls_that_templates_write_are_read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
        const struct template_case *t = &templates[i];
        char path[512];
        snprintf(path, sizeof path, TEST_ROOT "/golden/templates/%s.jinja", t->name);
        struct buffer source = models_read(path);
        assert_int_equal(tool_form_of(source.data), t->form);
        assert_int_equal(tool_form_taken(source.data), t->taken);
        if (t->written)
            check_way_back(t, &source);
        buffer_free(&source);
    }
}

/* Damaged answers: nothing is lost, and the cuts change nothing. */

static size_t draw(uint64_t *element, uint64_t bound)
{
    return random_below((struct random_address){9, RANDOM_TEST, 0, 0}, (*element)++, bound);
}

static void damage(char *answer, size_t *length, uint64_t *element)
{
    for (size_t edits = 1 + draw(element, 3); edits > 0 && *length > 1; edits--) {
        size_t at = draw(element, *length);
        if (draw(element, 2)) {
            answer[at] = "{}[]\",:<>/=\\\n e"[draw(element, 15)];
        } else {
            memmove(answer + at, answer + at + 1, *length - at - 1);
            (*length)--;
        }
    }
}

static void test_damaged_calls_lose_nothing(void **state)
{
    uint64_t element = 0;
    int none = 0, some = 0;
    (void)state;
    for (int trial = 0; trial < 20000; trial++) {
        const struct form_case *c = &cases[(size_t)trial % (sizeof cases / sizeof *cases)];
        size_t length = strlen(c->answer);
        char *answer = strdup(c->answer);
        damage(answer, &length, &element);
        struct answer a = read_pieces(c->form, false, answer, length, length);
        struct answer b = read_pieces(c->form, false, answer, length, 1 + draw(&element, 9));
        assert_string_equal(a.text, b.text);
        assert_string_equal(a.calls, b.calls);
        bool empty = strcmp(a.calls, "[]") == 0;
        if (empty) {
            assert_int_equal(strlen(a.text), length);
            assert_memory_equal(a.text, answer, length);
        }
        none += empty;
        some += !empty;
        answer_free(&a);
        answer_free(&b);
        free(answer);
    }
    assert_true(none > 5000 && some > 1000);
}

/* Half a million bytes that make a reader look back, one by one: with work that grows as the square
 * this would take minutes. */
static void test_work_is_linear(void **state)
{
    static const char *const parts[] = {" ",
                                        "<",
                                        "<tool_call",
                                        "<tool_call>{\"",
                                        "<tool_call>[[",
                                        "<tool_call>{}</tool_call>",
                                        "\n<function=a>",
                                        "<think>"};
    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct buffer answer = {0};
        while (answer.length < 500000)
            buffer_add_text(&answer, parts[i]);
        struct answer a = read_pieces(TOOL_FORM_FUNCTIONS, false, answer.data, answer.length, 1);
        assert_string_equal(a.text, answer.data);
        answer_free(&a);
        buffer_free(&answer);
    }
}

static void test_no_call_is_longer_than_the_bound(void **state)
{
    struct buffer answer = {0};
    (void)state;
    buffer_add_text(&answer, "<tool_call>{\"name\":\"a\",\"arguments\":{\"b\":\"");
    while (answer.length < TOOL_TEXT_MOST + 10)
        buffer_add_text(&answer, "x");
    buffer_add_text(&answer, "\"}}</tool_call>");
    struct answer a = read_pieces(TOOL_FORM_TAGS, false, answer.data, answer.length, 1000);
    assert_string_equal(a.text, answer.data);
    answer_free(&a);
    buffer_clear(&answer);
    for (int i = 0; i < TOOL_CALLS_MOST + 2; i++)
        buffer_add_text(&answer, "<tool_call>{\"name\":\"a\"}</tool_call>");
    a = read_pieces(TOOL_FORM_TAGS, false, answer.data, answer.length, 1000);
    json_t *calls = json_loads(a.calls, 0, NULL);
    assert_int_equal(json_array_size(calls), TOOL_CALLS_MOST);
    assert_string_equal(
        a.text, "<tool_call>{\"name\":\"a\"}</tool_call><tool_call>{\"name\":\"a\"}</tool_call>");
    json_decref(calls);
    answer_free(&a);
    buffer_free(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_form_is_read_however_it_is_cut),
        cmocka_unit_test(test_a_thought_that_the_prompt_began_calls_nothing),
        cmocka_unit_test(test_calls_that_templates_write_are_read_back),
        cmocka_unit_test(test_damaged_calls_lose_nothing),
        cmocka_unit_test(test_work_is_linear),
        cmocka_unit_test(test_no_call_is_longer_than_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
