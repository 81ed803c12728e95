/* Vocabulary, merges and ids equal those of Hugging Face's tokenizers (tests/golden/tokenizer, with
 * the script that made them), on text of many scripts, white space, control characters and emoji.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "support/check.h"
#include "text/tokenizer_train.h"

#define GOLDEN TEST_ROOT "/golden/tokenizer/"

static void read(const char *path, struct buffer *text)
{
    assert_int_equal(file_read(path, 0, text, NULL), STATUS_OK);
}

static void learned_and_applied_like_the_reference(void **state)
{
    (void)state;
    struct buffer text = {0}, torture = {0}, back = {0};
    struct tok_counter counter = {0};
    struct tokenizer t;
    const char *const specials[] = {"<|endoftext|>"};
    struct tok_train_options options = {.vocabulary = 600,
                                        .least_count = 2,
                                        .specials = specials,
                                        .special_count = 1,
                                        .eos = specials[0]};
    read(GOLDEN "text.txt", &text);
    read(GOLDEN "torture.txt", &torture);
    assert_int_equal(tok_count(&counter, text.data, text.length, NULL), STATUS_OK);
    assert_int_equal(tok_train(&counter, &options, &t, NULL), STATUS_OK);

    char path[] = "/tmp/adze-golden-XXXXXX";
    assert_true(mkstemp(path) >= 0);
    assert_int_equal(tok_save(&t, path, NULL), STATUS_OK);
    json_t *saved = json_load_file(path, 0, NULL),
           *want = json_load_file(GOLDEN "expected.json", 0, NULL);
    assert_int_equal(file_remove_tree(path, NULL), STATUS_OK);
    const json_t *model = json_object_get(saved, "model");
    assert_true(json_equal(json_object_get(model, "vocab"), json_object_get(want, "vocab")));
    assert_true(json_equal(json_object_get(model, "merges"), json_object_get(want, "merges")));

    struct tok_scratch scratch = {0};
    struct tok_ids ids = {0};
    const json_t *expected = json_object_get(want, "ids");
    assert_int_equal(tok_encode(&t, &scratch, torture.data, torture.length, true, &ids, NULL),
                     STATUS_OK);
    assert_int_equal(ids.count, json_array_size(expected));
    for (int64_t i = 0; i < ids.count; i++)
        assert_int_equal(ids.items[i], json_integer_value(json_array_get(expected, (size_t)i)));
    tok_decode(&t, ids.items, ids.count, true, &back);
    assert_int_equal(back.length, torture.length);
    assert_memory_equal(back.data, torture.data, back.length);

    json_decref(saved);
    json_decref(want);
    tok_ids_free(&ids);
    tok_scratch_free(&scratch);
    tok_counter_free(&counter);
    tok_free(&t);
    buffer_free(&text);
    buffer_free(&torture);
    buffer_free(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(learned_and_applied_like_the_reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
