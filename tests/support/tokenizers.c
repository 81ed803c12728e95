/* See tokenizers.h. */
#include "support/tokenizers.h"

#include <string.h>
#include <zlib.h>

#include "support/check.h"

void golden_read(const char *name, struct buffer *bytes)
{
    char path[512], part[65536];
    int count;
    snprintf(path, sizeof path, "%s/golden/tokenizers/%s.gz", TEST_ROOT, name);
    gzFile file = gzopen(path, "rb");
    assert_non_null(file);
    while ((count = gzread(file, part, sizeof part)) > 0)
        buffer_add(bytes, part, (size_t)count);
    assert_int_equal(count, 0);
    gzclose(file);
    assert_int_equal(buffer_check(bytes, NULL), STATUS_OK);
}

json_t *golden_json(void)
{
    struct buffer text = {0};
    golden_read("golden.json", &text);
    json_t *json = json_loadb(text.data, text.length, JSON_ALLOW_NUL, NULL);
    assert_non_null(json);
    buffer_free(&text);
    return json;
}

void golden_tokenizer(const char *name, const json_t *golden, struct tokenizer *tokenizer)
{
    struct buffer bytes = {0};
    struct error error = {0};
    const json_t *entry = json_object_get(json_object_get(golden, "tokenizers"), name);
    bool json = strcmp(json_string_value(json_object_get(entry, "file")), "json") == 0;
    golden_read(name, &bytes);
    enum status status =
        json ? tok_parse(bytes.data, bytes.length, name, tokenizer, &error)
             : tok_parse_sentencepiece(bytes.data, bytes.length, name, tokenizer, &error);
    if (status != STATUS_OK)
        fail_msg("%s: %s", name, error.message);
    buffer_free(&bytes);
}

static void compare(const struct tok_ids *got, const json_t *want, const char *name,
                    const char *text)
{
    bool equal = (size_t)got->count == json_array_size(want);
    for (int64_t i = 0; equal && i < got->count; i++)
        equal = got->items[i] == json_integer_value(json_array_get(want, (size_t)i));
    if (!equal)
        fail_msg("%s: other ids for '%s'", name, text);
}

void golden_check(const struct tokenizer *t, const json_t *golden, const char *name)
{
    const json_t *texts = json_object_get(golden, "texts");
    const json_t *entry = json_object_get(json_object_get(golden, "tokenizers"), name);
    const json_t *ids = json_object_get(entry, "ids"), *model = json_object_get(entry, "model");
    struct tok_scratch scratch = {0};
    assert_true(json_array_size(texts) > 100 && json_array_size(ids) == json_array_size(texts));
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i);
        const char *bytes = json_string_value(text);
        size_t length = json_string_length(text);
        struct tok_ids got = {0}, around = {0};
        if (json_is_null(json_array_get(ids, i)))
            continue; /* not asked */
        assert_int_equal(tok_encode(t, &scratch, bytes, length, true, &got, NULL), STATUS_OK);
        compare(&got, json_array_get(ids, i), name, bytes);
        if (i < json_array_size(model)) {
            assert_int_equal(
                tok_encode_model(t, &scratch, bytes, length, true, false, &around, NULL),
                STATUS_OK);
            compare(&around, json_array_get(model, i), name, bytes);
        }
        tok_ids_free(&got);
        tok_ids_free(&around);
    }
    tok_scratch_free(&scratch);
}

void talking_tokenizer(struct tokenizer *t)
{
    static const char *const specials[] = {"<s>", "<|im_start|>", "<|im_end|>", "<|eom|>", "</s>"};
    assert_int_equal(tok_begin(t, TOK_BYTE_BPE, TALK_TOKENS, NULL), STATUS_OK);
    for (int32_t i = 0; i < TALK_BOS; i++) {
        char byte = (char)i;
        assert_int_equal(tok_set_piece(t, i, &byte, 1, TOK_NORMAL, NULL), STATUS_OK);
    }
    for (int32_t i = 0; i < 5; i++)
        assert_int_equal(
            tok_set_piece(t, TALK_BOS + i, specials[i], strlen(specials[i]), TOK_CONTROL, NULL),
            STATUS_OK);
    assert_int_equal(tok_set_gpt2(t, NULL), STATUS_OK);
    t->bos = TALK_BOS;
    t->eos = TALK_FINAL;
    assert_int_equal(tok_finish(t, "test", NULL), STATUS_OK);
    assert_int_equal(tok_set_around(t, TALK_BOS, -1, NULL), STATUS_OK);
}
