/* Tokenizers survive the way through GGUF: from tokenizer.json or tokenizer.model into a GGUF file
 * and out again as tokenizer.json, no id changes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file/model.h"
#include "support/check.h"
#include "support/tokenizers.h"

static void write_gguf(const struct tokenizer *t, const char *path)
{
    struct gguf_writer writer;
    assert_int_equal(gguf_writer_open(&writer, path, NULL), STATUS_OK);
    gguf_put_text(&writer, "general.architecture", "llama");
    assert_int_equal(gguf_put_tokenizer(&writer, t, t->count + 3, NULL), STATUS_OK);
    gguf_writer_begin_data(&writer);
    assert_int_equal(gguf_writer_close(&writer, NULL), STATUS_OK);
}

static bool has_key(const char *path, const char *key)
{
    struct gguf file;
    assert_int_equal(gguf_open(path, &file, NULL), STATUS_OK);
    bool there = gguf_find(&file, key) != NULL;
    gguf_close(&file);
    return there;
}

static void check_way(const char *name, const json_t *golden, const char *path)
{
    struct tokenizer t, read, again;
    struct buffer json = {0};
    struct error error = {0};
    golden_tokenizer(name, golden, &t);
    write_gguf(&t, path);
    if (model_load_tokenizer(path, &read, &error) != STATUS_OK)
        fail_msg("%s: %s", name, error.message);
    golden_check(&read, golden, name);
    assert_int_equal(read.bos, t.bos >= 0 || t.kind != TOK_BYTE_BPE ? t.bos : t.eos);
    assert_int_equal(read.eos, t.eos);
    assert_int_equal(read.space_in_front, t.space_in_front);
    assert_int_equal(tok_write(&read, &json, NULL), STATUS_OK);
    assert_int_equal(tok_parse(json.data, json.length, name, &again, NULL), STATUS_OK);
    if (strcmp(name, "english") != 0) /* its rules apply in another way there */
        golden_check(&again, golden, name);
    buffer_free(&json);
    tok_free(&t);
    tok_free(&read);
    tok_free(&again);
}

static void the_way_through_gguf_changes_no_id(void **state)
{
    (void)state;
    json_t *golden = golden_json(), *entry;
    const char *name;
    char folder[] = "/tmp/adze-gguf-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/t.gguf", folder);
    json_object_foreach(json_object_get(golden, "tokenizers"), name, entry)
    {
        check_way(name, golden, path);
        bool whole = has_key(path, "tokenizer.huggingface.json");
        static const char *const more[] = {"phi3", "llama2", "stripping", "unigram", "gemma"};
        bool wanted = false; /* what llama.cpp's keys cannot say; llama2 was cut down unevenly */
        for (int i = 0; i < 5; i++)
            wanted = wanted || strcmp(name, more[i]) == 0;
        if (whole != wanted)
            fail_msg("%s: a copy of tokenizer.json is %s", name, whole ? "there" : "missing");
    }
    assert_int_equal(file_remove_tree(folder, NULL), STATUS_OK);
    json_decref(golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_way_through_gguf_changes_no_id)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
