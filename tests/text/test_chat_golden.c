/* Chat templates and small templates give the text that transformers' renderer gives, or fail where
 * it fails: ten published templates over many conversations, and a grid of expressions and
 * statements (tests/golden/templates, with the scripts that made the figures). */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "base/file.h"
#include "support/check.h"
#include "text/chat.h"

#define GOLDEN TEST_ROOT "/golden/templates/"

static json_t *load(const char *name)
{
    char path[512], part[65536];
    struct buffer text = {0};
    int count;
    snprintf(path, sizeof path, GOLDEN "%s.json.gz", name);
    gzFile file = gzopen(path, "rb");
    assert_non_null(file);
    while ((count = gzread(file, part, sizeof part)) > 0)
        buffer_add(&text, part, (size_t)count);
    gzclose(file);
    json_t *root = json_loadb(text.data, text.length, JSON_DECODE_ANY, NULL);
    buffer_free(&text);
    assert_non_null(root);
    return root;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* "2025-03-09 14:05:06", local time. */
static int64_t time_of(const json_t *root)
{
    struct tm tm = {.tm_isdst = -1};
    assert_non_null(strptime(text_of(root, "now"), "%Y-%m-%d %H:%M:%S", &tm));
    return mktime(&tm);
}

/* Whether the outcome is the reference's; says so otherwise. */
static bool agrees(const json_t *wanted, enum status status, const struct buffer *text,
                   const struct error *error, const char *what)
{
    const char *want = text_of(wanted, "text");
    const char *got = status == STATUS_OK ? (text->data ? text->data : "") : NULL;
    if (!want && !got)
        return strchr(error->message, '\n') == NULL && error->message[0];
    bool same = want && got && strcmp(want, got) == 0;
    if (!same)
        print_error("%s\n  want %s\n  got  %s\n", what, want ? want : text_of(wanted, "error"),
                    got ? got : error->message);
    return same;
}

static void small_templates_are_rendered_like_the_reference(void **state)
{
    (void)state;
    json_t *root = load("grid"), *one;
    size_t index, wrong = 0;
    json_array_foreach(json_object_get(root, "cases"), index, one)
    {
        const char *source = text_of(one, "source");
        struct jinja jinja;
        struct buffer text = {0};
        struct error error = {0};
        enum status status = jinja_parse(source, strlen(source), "template", &jinja, &error);
        if (status == STATUS_OK)
            status = jinja_render(&jinja, json_object_get(root, "variables"), time_of(root), &text,
                                  NULL, &error);
        wrong += !agrees(one, status, &text, &error, source);
        jinja_free(&jinja);
        buffer_free(&text);
    }
    assert_true(index > 700);
    assert_int_equal(wrong, 0);
    json_decref(root);
}

static void load_template(const char *name, struct jinja *jinja)
{
    char path[512];
    struct buffer source = {0};
    snprintf(path, sizeof path, GOLDEN "%s.jinja", name);
    assert_int_equal(file_read(path, 0, &source, NULL), STATUS_OK);
    assert_int_equal(jinja_parse(source.data, source.length, name, jinja, NULL), STATUS_OK);
    buffer_free(&source);
}

static struct chat_options options_of(const json_t *root, json_t *options)
{
    const json_t *tokens = json_object_get(root, "tokens");
    struct chat_options o = {.tools = json_object_get(options, "tools"),
                             .documents = json_object_get(options, "documents"),
                             .extra = options,
                             .bos = text_of(tokens, "bos_token"),
                             .eos = text_of(tokens, "eos_token"),
                             .unknown = text_of(tokens, "unk_token"),
                             .now = time_of(root)};
    o.add_generation_prompt = json_is_true(json_object_get(options, "add_generation_prompt"));
    o.continue_final_message = json_is_true(json_object_get(options, "continue_final_message"));
    return o;
}

static void published_templates_are_rendered_like_the_reference(void **state)
{
    (void)state;
    json_t *root = load("chats"), *one;
    size_t index, wrong = 0;
    char *loaded = NULL;
    struct jinja jinja = {0};
    json_array_foreach(json_object_get(root, "cases"), index, one)
    {
        const char *name = text_of(one, "template");
        if (!loaded || strcmp(loaded, name) != 0) {
            jinja_free(&jinja);
            load_template(name, &jinja);
            free(loaded);
            loaded = strdup(name);
        }
        json_t *options = json_object_get(one, "options");
        struct chat_options o = options_of(root, options);
        const json_t *conversations = json_object_get(root, "conversations");
        struct buffer text = {0};
        struct error error = {0};
        char *described = json_dumps(options, 0), what[1024];
        enum status status =
            chat_render(&jinja, json_object_get(conversations, text_of(one, "conversation")), &o,
                        &text, &error);
        snprintf(what, sizeof what, "%s, %s, %s", name, text_of(one, "conversation"), described);
        wrong += !agrees(one, status, &text, &error, what);
        free(described);
        buffer_free(&text);
    }
    assert_true(index > 1500);
    assert_int_equal(wrong, 0);
    jinja_free(&jinja);
    free(loaded);
    json_decref(root);
}

static void marked_answers_are_those_of_the_reference(void **state)
{
    (void)state;
    json_t *root = load("ranges"), *chats = load("chats"), *one;
    const char *source = text_of(root, "source");
    struct jinja jinja;
    size_t index;
    assert_int_equal(jinja_parse(source, strlen(source), "marked", &jinja, NULL), STATUS_OK);
    json_array_foreach(json_object_get(root, "cases"), index, one)
    {
        struct chat_options o = {.bos = "<s>"};
        struct buffer text = {0};
        struct jinja_ranges answers = {0};
        const json_t *wanted = json_object_get(one, "ranges");
        const json_t *messages =
            json_object_get(json_object_get(chats, "conversations"), text_of(one, "conversation"));
        assert_int_equal(chat_render_answers(&jinja, messages, &o, &text, &answers, NULL),
                         STATUS_OK);
        assert_string_equal(text.data, text_of(one, "text"));
        assert_int_equal(answers.count, json_array_size(wanted));
        for (size_t i = 0; i < answers.count; i++) {
            const json_t *pair = json_array_get(wanted, i); /* in characters */
            size_t begin = 0, end = 0;
            for (size_t at = 0; at < answers.items[i].end; at++) {
                bool first = (text.data[at] & 0xc0) != 0x80;
                begin += first && at < answers.items[i].begin;
                end += first;
            }
            assert_int_equal(begin, json_integer_value(json_array_get(pair, 0)));
            assert_int_equal(end, json_integer_value(json_array_get(pair, 1)));
        }
        free(answers.items);
        buffer_free(&text);
    }
    assert_true(index > 3);
    jinja_free(&jinja);
    json_decref(root);
    json_decref(chats);
}

/* What each of the ten puts behind an answer. */
static const struct {
    const char *template, *end;
} ends[] = {
    {"HuggingFaceTB-SmolLM3-3B", "<|im_end|>"},
    {"Qwen-Qwen2.5-7B-Instruct", "<|im_end|>"},
    {"Qwen-Qwen3-0.6B", "<|im_end|>"},
    {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "<｜end▁of▁sentence｜>"},
    {"google-gemma-2-2b-it", "<end_of_turn>"},
    {"ibm-granite-granite-3.3-2B-Instruct", "<|end_of_text|>"},
    {"meta-llama-Llama-3.1-8B-Instruct", "<|eot_id|>"},
    {"meta-llama-Llama-3.2-3B-Instruct", "<|eot_id|>"},
    {"microsoft-Phi-3.5-mini-instruct", "<|end|>"},
    {"mistralai-Mistral-Nemo-Instruct-2407", "</s>"},
};

/* The answers are the contents of the assistant's messages in order, each with its end, and
 * nothing of what others say. */
static void check_answers(const struct jinja *jinja, const char *end, const json_t *messages,
                          const struct chat_options *o)
{
    struct buffer text = {0}, plain = {0};
    struct jinja_ranges answers = {0};
    struct error error = {0};
    size_t seen = 0;
    enum status status = chat_render_answers(jinja, messages, o, &text, &answers, &error);
    if (status != STATUS_OK)
        print_error("%s\n", error.message);
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(chat_render(jinja, messages, o, &plain, NULL), STATUS_OK);
    assert_string_equal(plain.data, text.data);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        if (strcmp(text_of(message, "role"), "assistant") != 0)
            continue;
        assert_true(seen < answers.count);
        const struct jinja_range *r = &answers.items[seen++];
        size_t length = r->end - r->begin, tail = strlen(end);
        const char *content = strstr(text_of(message, "content"), "</think>");
        content = content ? content + strlen("</think>\n\n") : text_of(message, "content");
        content += strspn(content, "\n ");
        size_t body = strlen(content);
        while (body > 0 && strchr("\n ", content[body - 1]))
            body--;
        assert_true(length >= tail);
        assert_memory_equal(text.data + r->end - tail, end, tail);
        assert_non_null(memmem(text.data + r->begin, length, content, body));
        assert_null(memmem(text.data + r->begin, length, "Hello!", 6));
        assert_null(memmem(text.data + r->begin, length - tail, end, tail));
    }
    assert_int_equal(seen, answers.count);
    free(answers.items);
    buffer_free(&text);
    buffer_free(&plain);
}

static void answers_are_found_in_templates_without_marks(void **state)
{
    (void)state;
    static const char *const names[] = {"two", "four", "ends", "ends_long", "think", "long"};
    json_t *root = load("chats");
    for (size_t t = 0; t < sizeof ends / sizeof *ends; t++) {
        struct jinja jinja;
        struct buffer end = {0};
        json_t *extra = json_pack("{s:s}", "date_string", "1 Jan 2025");
        struct chat_options o = options_of(root, extra);
        load_template(ends[t].template, &jinja);
        assert_int_equal(chat_turn_end(&jinja, &o, &end, NULL), STATUS_OK);
        assert_non_null(end.data);
        assert_string_equal(end.data, ends[t].end);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            const json_t *messages =
                json_object_get(json_object_get(root, "conversations"), names[i]);
            bool system = strcmp(text_of(json_array_get(messages, 0), "role"), "system") == 0;
            if (!system || !strstr(ends[t].template, "gemma"))
                check_answers(&jinja, ends[t].end, messages, &o);
        }
        buffer_free(&end);
        json_decref(extra);
        jinja_free(&jinja);
    }
    json_decref(root);
}

/* A call of tools is an answer, too. */
static void calls_are_answers(void **state)
{
    (void)state;
    json_t *root = load("chats"), *messages;
    struct jinja jinja;
    struct buffer text = {0};
    struct jinja_ranges answers = {0};
    struct chat_options o = options_of(root, NULL);
    messages = json_object_get(json_object_get(root, "conversations"), "call_done");
    load_template("Qwen-Qwen2.5-7B-Instruct", &jinja);
    assert_int_equal(chat_render_answers(&jinja, messages, &o, &text, &answers, NULL), STATUS_OK);
    assert_int_equal(answers.count, 2);
    static const char first[] =
        "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": "
        "\"Köln\", \"days\": 3}}\n</tool_call><|im_end|>";
    assert_int_equal(answers.items[0].end - answers.items[0].begin, sizeof first - 1);
    assert_memory_equal(text.data + answers.items[0].begin, first, sizeof first - 1);
    free(answers.items);
    buffer_free(&text);
    jinja_free(&jinja);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_templates_are_rendered_like_the_reference),
        cmocka_unit_test(published_templates_are_rendered_like_the_reference),
        cmocka_unit_test(marked_answers_are_those_of_the_reference),
        cmocka_unit_test(answers_are_found_in_templates_without_marks),
        cmocka_unit_test(calls_are_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
