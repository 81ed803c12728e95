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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_templates_are_rendered_like_the_reference),
        cmocka_unit_test(published_templates_are_rendered_like_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
