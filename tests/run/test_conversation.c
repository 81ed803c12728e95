/* What a model's files say about conversations: which templates there are, which tokens end an
 * answer, what begins a prompt. Lost templates, doubled beginnings and wrong ends are how most
 * exports break. */
#include "run/conversation.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "run/engine.h"
#include "run/suggestion.h"
#include "support/models.h"
#include "support/tokenizers.h"

static const char template[] =
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

static void make_model(struct model *model)
{
    struct decoder_config config = decoder_config_llama(TALK_TOKENS, 64, 32, 1, 2);
    config.bos_token = TALK_BOS;
    config.eos_token = TALK_FINAL;
    *model = (struct model){0};
    assert_int_equal(decoder_create_random(&config, 9, &model->decoder, NULL), STATUS_OK);
    talking_tokenizer(&model->tokenizer);
    model->has_tokenizer = true;
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char *path = file_join(folder, name);
    models_write(path, text, strlen(text));
    free(path);
}

static bool has_end(const struct model *model, int32_t token)
{
    return model_is_end(model, token);
}

/* A folder with everything that says something. */
static void make_folder(const char *folder)
{
    struct model model;
    make_model(&model);
    assert_int_equal(model_save_folder(&model, folder, NULL), STATUS_OK);
    model_free(&model);
    write_file(folder, "generation_config.json",
               "{\"temperature\": 0.5, \"top_k\": 7, \"top_p\": 0.95, \"min_p\": 7, "
               "\"repetition_penalty\": 1.1, \"eos_token_id\": [260, 259], \"x\": [1]}");
    write_file(
        folder, "tokenizer_config.json",
        "{\"bos_token\": {\"content\": \"<s>\"}, \"eos_token\": \"</s>\", \"pad_token\": null,"
        " \"own\": 1, \"chat_template\": [{\"name\": \"default\", \"template\": \"old\"}, "
        "{\"name\": \"tool_use\", \"template\": \"tools: {{ tools }}\"}]}");
    write_file(folder, "chat_template.jinja", template);
}

static void check_chat(const struct model *model)
{
    assert_string_equal(model_chat_template(model, NULL), template);
    assert_string_equal(model_chat_template(model, "tool_use"), "tools: {{ tools }}");
    assert_null(model_chat_template(model, "other"));
    assert_string_equal(model->chat.bos, "<s>");
    assert_string_equal(model->chat.eos, "</s>");
    assert_null(model->chat.pad);
    assert_true(has_end(model, TALK_FINAL));    /* config.json */
    assert_true(has_end(model, TALK_CALL_END)); /* generation_config.json */
    assert_true(has_end(model, TALK_END));      /* what the template puts behind answers */
    assert_false(has_end(model, TALK_START));
    assert_false(has_end(model, TALK_BOS));
    assert_false(has_end(model, 3));
    const json_t *generation = model->chat.generation;
    assert_true(json_real_value(json_object_get(generation, "temperature")) == 0.5);
    assert_int_equal(json_integer_value(json_object_get(generation, "top_k")), 7);
    assert_true(json_is_array(json_object_get(generation, "x")));
}

/* What the model suggests, and what it leaves open or suggests out of range. */
static void check_suggestions(const struct model *model)
{
    struct sampling_options wanted = sampling_usual, s = sampling_usual;
    wanted.temperature = 0.5;
    wanted.top_k = 7;
    wanted.top_p = 0.95;
    wanted.repetition_penalty = 1.1;
    sampling_suggest(model, &s);
    assert_memory_equal(&s, &wanted, sizeof s);
}

/* Files of other programs have what a model suggests under keys of its own alone. */
static void suggested_sampling_is_found_in_folders_and_gguf(void **state)
{
    (void)state;
    struct models_folder folder;
    struct model model;
    models_folder_make(&folder);
    char *first = models_path(folder.path, "first", NULL);
    char *gguf = models_path(folder.path, "model.gguf", NULL);
    make_folder(first);
    assert_int_equal(model_load(first, false, &model, NULL), STATUS_OK);
    check_suggestions(&model);
    assert_int_equal(model_save_gguf(&model, gguf, NULL, "test", NULL), STATUS_OK);
    model_free(&model);
    assert_int_equal(model_load(gguf, false, &model, NULL), STATUS_OK);
    check_suggestions(&model);
    model_free(&model);
    struct buffer bytes = models_read(gguf);
    char *own = memmem(bytes.data, bytes.length, "adze.generation_config", 22);
    assert_non_null(own);
    memcpy(own, "else", 4);
    models_write(gguf, bytes.data, bytes.length);
    buffer_free(&bytes);
    assert_int_equal(model_load(gguf, false, &model, NULL), STATUS_OK);
    assert_null(json_object_get(model.chat.generation, "x"));
    check_suggestions(&model);
    model_free(&model);
    free(first);
    free(gguf);
    models_folder_remove(&folder);
}

static void templates_and_ends_survive_folders_and_gguf(void **state)
{
    (void)state;
    struct models_folder folder;
    struct model model;
    models_folder_make(&folder);
    char *first = models_path(folder.path, "first", NULL);
    char *gguf = models_path(folder.path, "model.gguf", NULL);
    char *second = models_path(folder.path, "second", NULL);
    char *config = models_path(folder.path, "second", "tokenizer_config.json");
    make_folder(first);
    assert_int_equal(model_load(first, false, &model, NULL), STATUS_OK);
    check_chat(&model);
    assert_int_equal(model_save_folder(&model, second, NULL), STATUS_OK);
    json_t *saved = json_load_file(config, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(saved, "own")), 1);
    json_decref(saved);
    assert_int_equal(model_save_gguf(&model, gguf, NULL, "test", NULL), STATUS_OK);
    model_free(&model);

    assert_int_equal(model_load(gguf, false, &model, NULL), STATUS_OK);
    check_chat(&model);
    assert_int_equal(model_save_folder(&model, first, NULL), STATUS_OK);
    model_free(&model);
    assert_int_equal(model_load(first, false, &model, NULL), STATUS_OK);
    check_chat(&model);
    model_free(&model);
    assert_int_equal(model_load(second, false, &model, NULL), STATUS_OK);
    check_chat(&model);
    model_free(&model);

    free(first);
    free(gguf);
    free(second);
    free(config);
    models_folder_remove(&folder);
}

/* A template of another model that lay in the folder does not stay. */
static void a_model_without_template_leaves_none(void **state)
{
    (void)state;
    struct models_folder folder;
    struct model model;
    models_folder_make(&folder);
    make_folder(folder.path);
    make_model(&model);
    assert_int_equal(model_save_folder(&model, folder.path, NULL), STATUS_OK);
    model_free(&model);
    assert_int_equal(model_load(folder.path, false, &model, NULL), STATUS_OK);
    assert_null(model_chat_template(&model, NULL));
    assert_int_equal(model.chat.end_count, 0);
    struct conversation talk;
    struct error error = {0};
    assert_int_equal(conversation_open(&model, NULL, NULL, &talk, &error), STATUS_FAILED);
    assert_non_null(strstr(error.message, "no chat template"));
    conversation_free(&talk);
    model_free(&model);
    models_folder_remove(&folder);
}

static void files_that_lie_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *cause;
    } cases[] = {
        {"tokenizer_config.json", "{\"chat_template\":", "tokenizer_config.json"},
        {"generation_config.json", "[1]", "not a JSON object"},
        {"chat_template.json", "nothing", "chat_template.json"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct models_folder folder;
        struct model model;
        struct error error = {0};
        models_folder_make(&folder);
        make_folder(folder.path);
        write_file(folder.path, cases[i].name, cases[i].text);
        assert_int_equal(model_load(folder.path, false, &model, &error), STATUS_FAILED);
        assert_non_null(strstr(error.message, cases[i].cause));
        models_folder_remove(&folder);
    }
    struct models_folder folder;
    struct model model;
    models_folder_make(&folder);
    make_folder(folder.path);
    write_file(folder.path, "generation_config.json",
               "{\"eos_token_id\": [-1, 99999999999, \"x\", 261, null, [3]]}");
    write_file(folder.path, "chat_template.jinja", "{% broken");
    write_file(folder.path, "tokenizer_config.json", "{\"chat_template\": [3, {\"name\": 4}]}");
    assert_int_equal(model_load(folder.path, false, &model, NULL), STATUS_OK);
    assert_int_equal(model.chat.end_count, 0);
    model_free(&model);
    models_folder_remove(&folder);
}

static json_t *conversation_of(const char *text)
{
    json_t *messages = json_array();
    json_array_append_new(messages, conversation_message("user", text, strlen(text)));
    return messages;
}

static int64_t count_of(const struct tok_ids *ids, int32_t token)
{
    int64_t count = 0;
    for (int64_t i = 0; i < ids->count; i++)
        count += ids->items[i] == token;
    return count;
}

static void no_beginning_is_doubled(void **state)
{
    (void)state;
    static const char without[] = "{% for m in messages %}{{ m.content }}{% endfor %}";
    const char *const sources[] = {template, without};
    struct model model;
    make_model(&model);
    model.chat.bos = "<s>";
    for (int i = 0; i < 2; i++) {
        struct conversation talk;
        struct chat_options options = {.add_generation_prompt = true};
        struct tok_ids ids = {0}, again = {0};
        struct buffer text = {0};
        json_t *messages = conversation_of("Hi there");
        assert_int_equal(conversation_open(&model, NULL, sources[i], &talk, NULL), STATUS_OK);
        conversation_options(&talk, &options);
        assert_int_equal(conversation_encode(&talk, messages, &options, &ids, &text, NULL),
                         STATUS_OK);
        assert_int_equal(count_of(&ids, TALK_BOS), i == 0);
        assert_int_equal(ids.items[0] == TALK_BOS, i == 0);
        assert_int_equal(count_of(&ids, TALK_START), i == 0 ? 2 : 0);
        /* Who takes the text as any other prompt has one, too. */
        assert_int_equal(tok_encode_model(&model.tokenizer, &talk.scratch, text.data, text.length,
                                          true, true, &again, NULL),
                         STATUS_OK);
        assert_int_equal(count_of(&again, TALK_BOS), 1);
        json_decref(messages);
        tok_ids_free(&ids);
        tok_ids_free(&again);
        buffer_free(&text);
        conversation_free(&talk);
    }
    model_free(&model);
}

struct answered {
    int64_t tokens;
    struct buffer text;
    enum engine_end end;
};

static bool on_token(void *context, const struct engine_token *token)
{
    struct answered *a = context;
    a->tokens++;
    buffer_add(&a->text, token->text, token->length);
    return true;
}

static void on_end(void *context, const struct engine_result *result)
{
    struct answered *a = context;
    buffer_add(&a->text, result->text, result->length);
    a->end = result->end;
}

static void every_end_ends_an_answer(void **state)
{
    (void)state;
    struct model model;
    struct compute compute;
    const int32_t prompt[] = {TALK_BOS, 3, 4};
    assert_int_equal(compute_create(1, MATMUL_F32, &compute, NULL), STATUS_OK);
    make_model(&model);
    model.chat.ends[0] = TALK_END;
    model.chat.ends[1] = TALK_CALL_END;
    model.chat.end_count = 2;
    for (int32_t token = TALK_START; token <= TALK_FINAL; token++) {
        struct answered answered = {0};
        struct token_bias bias = {token, 1000};
        struct engine_result result;
        struct engine_request request = {.prompt = prompt,
                                         .prompt_count = 3,
                                         .biases = &bias,
                                         .bias_count = 1,
                                         .most_tokens = 5,
                                         .on_token = on_token,
                                         .on_end = on_end,
                                         .context = &answered};
        assert_int_equal(engine_complete(&model, &compute, &request, &result, NULL), STATUS_OK);
        bool ends = token != TALK_START;
        assert_int_equal(answered.end, ends ? ENGINE_STOPPED : ENGINE_LENGTH);
        assert_int_equal(answered.tokens, ends ? 1 : 5);
        assert_int_equal(answered.text.length, 0);
        buffer_free(&answered.text);
    }
    model_free(&model);
    compute_free(&compute);
}

static void bytes_that_are_no_text_become_messages(void **state)
{
    (void)state;
    json_t *message = conversation_message("user", "a\xff", 2);
    assert_string_equal(json_string_value(json_object_get(message, "content")), "a\xef\xbf\xbd");
    json_decref(message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_and_ends_survive_folders_and_gguf),
        cmocka_unit_test(suggested_sampling_is_found_in_folders_and_gguf),
        cmocka_unit_test(a_model_without_template_leaves_none),
        cmocka_unit_test(files_that_lie_are_refused),
        cmocka_unit_test(no_beginning_is_doubled),
        cmocka_unit_test(every_end_ends_an_answer),
        cmocka_unit_test(bytes_that_are_no_text_become_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
