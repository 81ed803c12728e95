/* Examples to tune on: which tokens they become, and which of them are learned. What a model is
 * tuned on must be what it is asked later, token for token. */
#include "run/examples.h"

#include <stdlib.h>
#include <string.h>

#include "data/shard.h"
#include "run/conversation.h"
#include "support/models.h"
#include "support/tokenizers.h"

#define TURNS                                                                                      \
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"     \
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"

static const char with_bos[] = "{{ bos_token }}" TURNS, without_bos[] = TURNS;
/* For a tokenizer whose only special tokens are <s> and </s>. */
static const char spaced[] =
    "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}";

struct fixture {
    struct model model;
    struct model_template template;
    struct examples examples;
    struct tok_scratch scratch;
    struct tok_ids ids;
    struct buffer stretches;
    struct error error;
};

static void set_up(struct fixture *f, const char *template, bool sentencepiece)
{
    *f = (struct fixture){.template = {"default", template}};
    struct model_chat *chat = &f->model.chat;
    if (sentencepiece) {
        json_t *golden = golden_json();
        golden_tokenizer("stories", golden, &f->model.tokenizer);
        json_decref(golden);
    } else {
        talking_tokenizer(&f->model.tokenizer);
    }
    f->model.has_tokenizer = true;
    chat->templates = &f->template;
    chat->template_count = template != NULL;
    chat->bos = "<s>";
    chat->eos = "</s>";
    assert_int_equal(examples_create(&f->model, "text", &f->examples, NULL), STATUS_OK);
}

static void tear_down(struct fixture *f)
{
    examples_free(&f->examples);
    tok_scratch_free(&f->scratch);
    tok_ids_free(&f->ids);
    buffer_free(&f->stretches);
    tok_free(&f->model.tokenizer);
}

static enum status encode(struct fixture *f, const char *text, bool record)
{
    struct document document = {.text = text, .length = strlen(text), .record = record};
    f->ids.count = 0;
    buffer_clear(&f->stretches);
    return example_encode(&f->examples, &f->scratch, &document, &f->ids, &f->stretches, &f->error);
}

static int64_t stretch_count(const struct fixture *f)
{
    return (int64_t)(f->stretches.length / sizeof(struct stretch));
}

static struct stretch stretch_at(const struct fixture *f, int64_t i)
{
    return ((const struct stretch *)(const void *)f->stretches.data)[i];
}

/* The text of ids, special tokens by name. */
static void check_text(const struct fixture *f, int64_t begin, int64_t end, const char *want)
{
    struct buffer text = {0};
    for (int64_t i = begin; i < end; i++) {
        const struct tok_piece *piece = &f->model.tokenizer.pieces[f->ids.items[i]];
        buffer_add(&text, piece->bytes, piece->length);
    }
    buffer_add(&text, "", 1);
    assert_string_equal(text.data, want);
    buffer_free(&text);
}

static int64_t count_of(const struct tok_ids *ids, int32_t token)
{
    int64_t count = 0;
    for (int64_t i = 0; i < ids->count; i++)
        count += ids->items[i] == token;
    return count;
}

static void texts_are_learned_behind_what_begins_them(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, NULL, false);
    const char *const same[] = {"Hi <s>", "{\"text\": \"Hi <s>\", \"other\": 1}"};
    for (int record = 0; record < 2; record++) {
        assert_int_equal(encode(&f, same[record], record), STATUS_OK);
        assert_int_equal(f.ids.count, 1 + 6 + 1); /* "<s>" in a text is text */
        assert_int_equal(f.ids.items[0], TALK_BOS);
        assert_int_equal(f.ids.items[7], TALK_FINAL);
        assert_int_equal(stretch_count(&f), 1);
        assert_int_equal(stretch_at(&f, 0).begin, 1);
        assert_int_equal(stretch_at(&f, 0).end, 8);
    }
    f.examples.field = "other";
    assert_int_equal(encode(&f, "{\"text\": 1, \"other\": \"x\"}", true), STATUS_OK);
    assert_int_equal(f.ids.count, 3);
    tear_down(&f);
}

static void completions_are_learned_and_prompts_are_not(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, NULL, false);
    assert_int_equal(encode(&f, "{\"prompt\": \"ab\", \"completion\": \" cd\"}", true), STATUS_OK);
    check_text(&f, 0, f.ids.count, "<s>ab cd</s>");
    assert_int_equal(stretch_count(&f), 1);
    check_text(&f, stretch_at(&f, 0).begin, stretch_at(&f, 0).end, " cd</s>");
    tear_down(&f);
}

#define TALK                                                                                       \
    "{\"messages\": [{\"role\": \"system\", \"content\": \"be kind\"},"                            \
    "{\"role\": \"user\", \"content\": \"the cat\"},"                                              \
    "{\"role\": \"assistant\", \"content\": \"sees it\"},"                                         \
    "{\"role\": \"user\", \"content\": \"and now\"},"                                              \
    "{\"role\": \"assistant\", \"content\": \"no more\"}]}"

static void only_what_the_assistant_says_is_learned(void **state)
{
    (void)state;
    for (int variant = 0; variant < 2; variant++) {
        struct fixture f;
        set_up(&f, variant ? without_bos : with_bos, false);
        assert_int_equal(encode(&f, TALK, true), STATUS_OK);
        assert_int_equal(count_of(&f.ids, TALK_BOS), variant == 0);
        assert_int_equal(stretch_count(&f), 2);
        check_text(&f, stretch_at(&f, 0).begin, stretch_at(&f, 0).end, "sees it<|im_end|>");
        check_text(&f, stretch_at(&f, 1).begin, stretch_at(&f, 1).end, "no more<|im_end|>");
        tear_down(&f);
    }
}

/* The first `count` messages as the model would be asked. */
static void ask(const struct fixture *f, const json_t *messages, size_t count, bool open,
                struct tok_ids *ids)
{
    struct conversation talk;
    struct chat_options options = {.add_generation_prompt = open};
    json_t *part = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append(part, json_array_get(messages, i));
    assert_int_equal(conversation_open(&f->model, NULL, NULL, &talk, NULL), STATUS_OK);
    conversation_options(&talk, &options);
    assert_int_equal(conversation_encode(&talk, part, &options, ids, NULL, NULL), STATUS_OK);
    conversation_free(&talk);
    json_decref(part);
}

static void an_example_is_what_the_model_is_asked(void **state)
{
    (void)state;
    const char *const templates[] = {with_bos, without_bos, spaced};
    json_t *record = json_loads(TALK, 0, NULL);
    const json_t *messages = json_object_get(record, "messages");
    for (int variant = 0; variant < 3; variant++) {
        struct fixture f;
        struct tok_ids whole = {0};
        set_up(&f, templates[variant], variant == 2);
        assert_int_equal(encode(&f, TALK, true), STATUS_OK);
        ask(&f, messages, 5, false, &whole);
        assert_int_equal(f.ids.count, whole.count);
        assert_memory_equal(f.ids.items, whole.items, (size_t)whole.count * sizeof *whole.items);
        assert_int_equal(stretch_count(&f), 2);
        for (int64_t i = 0; i < 2; i++) {
            struct tok_ids prompt = {0};
            ask(&f, messages, 2 + 2 * (size_t)i, true, &prompt);
            assert_int_equal(stretch_at(&f, i).begin, prompt.count);
            assert_memory_equal(f.ids.items, prompt.items,
                                (size_t)prompt.count * sizeof *prompt.items);
            tok_ids_free(&prompt);
        }
        if (variant == 2) { /* SentencePiece: one beginning, and the end is learned */
            assert_int_equal(count_of(&f.ids, f.model.tokenizer.bos), 1);
            assert_int_equal(f.ids.items[stretch_at(&f, 1).end - 1], f.model.tokenizer.eos);
        }
        tok_ids_free(&whole);
        tear_down(&f);
    }
    json_decref(record);
}

static void records_that_are_no_examples_say_why(void **state)
{
    (void)state;
    static const struct {
        const char *template, *record, *cause;
    } cases[] = {
        {with_bos, "{\"nothing\": 1}", "neither 'messages'"},
        {with_bos, "{\"text\": 3}", "neither 'messages'"},
        {with_bos, "{\"prompt\": \"a\", \"completion\": 1}", "neither 'messages'"},
        {with_bos, "[1, 2]", "neither 'messages'"},
        {with_bos, "no JSON", "neither 'messages'"},
        {NULL, TALK, "no usable chat template"},
        {"{% broken", TALK, "no usable chat template"},
        {with_bos, "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}", "says nothing"},
        {"{{ raise_exception('not so') }}", TALK, "not so"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        set_up(&f, cases[i].template, false);
        assert_int_equal(encode(&f, cases[i].record, true), STATUS_FAILED);
        models_check_message(&f.error, cases[i].cause);
        tear_down(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_learned_behind_what_begins_them),
        cmocka_unit_test(completions_are_learned_and_prompts_are_not),
        cmocka_unit_test(only_what_the_assistant_says_is_learned),
        cmocka_unit_test(an_example_is_what_the_model_is_asked),
        cmocka_unit_test(records_that_are_no_examples_say_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
