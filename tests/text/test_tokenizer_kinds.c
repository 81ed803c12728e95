/* All kinds of tokenizers give the ids of Hugging Face's tokenizers and of SentencePiece
 * (tests/golden/tokenizers), also after they were written and read again; what they decode to is
 * what the reference decodes to; and text survives where a kind can promise it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "support/check.h"
#include "support/tokenizers.h"
#include "text/unicode.h"

static void ids_equal_the_references(void **state)
{
    (void)state;
    json_t *golden = golden_json(), *entry;
    const char *name;
    json_object_foreach(json_object_get(golden, "tokenizers"), name, entry)
    {
        struct tokenizer t;
        golden_tokenizer(name, golden, &t);
        golden_check(&t, golden, name);
        tok_free(&t);
    }
    json_decref(golden);
}

static void writing_and_reading_changes_no_id(void **state)
{
    (void)state;
    json_t *golden = golden_json(), *entry;
    const char *name;
    json_object_foreach(json_object_get(golden, "tokenizers"), name, entry)
    {
        struct tokenizer t, again;
        struct buffer json = {0};
        if (strcmp(name, "english") == 0)
            continue; /* its rules apply in another way in a tokenizer.json: see charsmap.h */
        golden_tokenizer(name, golden, &t);
        assert_int_equal(tok_write(&t, &json, NULL), STATUS_OK);
        assert_int_equal(tok_parse(json.data, json.length, name, &again, NULL), STATUS_OK);
        golden_check(&again, golden, name);
        buffer_free(&json);
        tok_free(&t);
        tok_free(&again);
    }
    json_decref(golden);
}

static void decode_ids(const struct tokenizer *t, const json_t *list, bool whole,
                       struct buffer *text)
{
    bool started = false;
    int32_t ids[4096];
    int64_t count = (int64_t)json_array_size(list);
    assert_true(count <= 4096);
    for (int64_t i = 0; i < count; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    if (whole)
        tok_decode(t, ids, count, false, text);
    for (int64_t i = 0; i < count && !whole; i++)
        tok_decode_next(t, ids + i, 1, false, &started, text);
}

static void decoding_equals_the_reference_at_once_and_bit_by_bit(void **state)
{
    (void)state;
    json_t *golden = golden_json(), *entry;
    const char *name;
    json_object_foreach(json_object_get(golden, "tokenizers"), name, entry)
    {
        struct tokenizer t;
        struct buffer whole = {0}, bits = {0};
        const json_t *decoded = json_object_get(entry, "decoded");
        golden_tokenizer(name, golden, &t);
        for (size_t i = 0; i < json_array_size(decoded); i++) {
            const json_t *want = json_array_get(decoded, i);
            const json_t *ids = json_array_get(json_object_get(entry, "ids"), i);
            buffer_clear(&whole);
            buffer_clear(&bits);
            buffer_add(&whole, "", 0);
            decode_ids(&t, ids, true, &whole);
            decode_ids(&t, ids, false, &bits);
            if (whole.length != json_string_length(want) ||
                memcmp(whole.data, json_string_value(want), whole.length) != 0)
                fail_msg("%s: '%s' instead of '%s'", name, whole.data, json_string_value(want));
            assert_int_equal(bits.length, whole.length);
            assert_true(whole.length == 0 || memcmp(bits.data, whole.data, whole.length) == 0);
        }
        buffer_free(&whole);
        buffer_free(&bits);
        tok_free(&t);
    }
    json_decref(golden);
}

/* Random bytes, or random characters of all planes. */
static size_t random_text(uint32_t round, bool characters, char *text, size_t room)
{
    struct random_address address = {7, RANDOM_TEST, round, characters};
    size_t length = 0, wanted = random_word(address, 0) % (room - 4);
    for (uint32_t i = 1; length < wanted; i++) {
        uint32_t word = random_word(address, i), point = (word >> 3) % 0x110000;
        if ((word & 7) < 4)
            point %= 0x250;
        if ((point >= 0xd800 && point < 0xe000) || point == 0x2581)
            point = ' '; /* no characters; and the mark, which decodes as a space */
        if (characters)
            length += unicode_encode(point, text + length);
        else
            text[length++] = (char)word;
    }
    return length;
}

static void any_text_survives_where_bytes_have_tokens(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2",   "llama3",  "smollm", "tekken",
                                        "llama2", "stories", "gemma"};
    json_t *golden = golden_json();
    for (int i = 0; i < 7; i++) {
        struct tokenizer t;
        struct tok_scratch scratch = {0};
        golden_tokenizer(names[i], golden, &t);
        for (uint32_t round = 0; round < 400; round++) {
            char text[300];
            size_t length = random_text(round, round % 2 == 0, text, sizeof text);
            struct tok_ids ids = {0};
            struct buffer back = {0};
            if (strcmp(names[i], "stories") == 0 && memchr(text, ' ', length))
                continue; /* its model takes white space away, as it was trained */
            assert_int_equal(tok_encode(&t, &scratch, text, length, false, &ids, NULL), STATUS_OK);
            tok_decode(&t, ids.items, ids.count, true, &back);
            if (back.length != length || (length && memcmp(back.data, text, length) != 0))
                fail_msg("%s: round %u: %zu bytes became %zu", names[i], round, length,
                         back.length);
            tok_ids_free(&ids);
            buffer_free(&back);
        }
        tok_scratch_free(&scratch);
        tok_free(&t);
    }
    json_decref(golden);
}

static void what_begins_a_text_is_put_once(void **state)
{
    (void)state;
    json_t *golden = golden_json();
    struct tokenizer t;
    struct tok_scratch scratch = {0};
    struct tok_ids plain = {0}, named = {0}, twice = {0}, off = {0};
    golden_tokenizer("llama2", golden, &t);
    assert_int_equal(t.before.count, 1);
    assert_int_equal(tok_encode_model(&t, &scratch, "a b", 3, true, true, &plain, NULL), STATUS_OK);
    assert_int_equal(tok_encode_model(&t, &scratch, "<s>a b", 6, true, true, &named, NULL),
                     STATUS_OK);
    assert_int_equal(tok_encode_model(&t, &scratch, "<s><s>", 6, true, true, &twice, NULL),
                     STATUS_OK);
    assert_int_equal(tok_encode_model(&t, &scratch, "<s>a b", 6, false, true, &off, NULL),
                     STATUS_OK);
    assert_int_equal(plain.items[0], t.bos);
    assert_int_equal(plain.count, named.count);
    assert_memory_equal(plain.items, named.items, (size_t)plain.count * sizeof *plain.items);
    assert_int_equal(twice.count, 2); /* the user's own two stay */
    assert_int_equal(off.items[0], t.bos);
    assert_true(off.count > plain.count && off.items[1] != t.bos);
    tok_ids_free(&plain);
    tok_ids_free(&named);
    tok_ids_free(&twice);
    tok_ids_free(&off);
    tok_scratch_free(&scratch);
    tok_free(&t);
    json_decref(golden);
}

static void every_cut_of_a_sentencepiece_file_is_refused(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    golden_read("stories", &bytes);
    for (size_t length = 0; length < bytes.length; length += length < 100 ? 1 : 97) {
        struct tokenizer t;
        struct error error = {0};
        char *part = malloc(length + 1);
        assert_non_null(part);
        memcpy(part, bytes.data, length);
        if (tok_parse_sentencepiece(part, length, "cut.model", &t, &error) == STATUS_OK)
            tok_free(&t); /* a message may end between two fields */
        else
            assert_non_null(strstr(error.message, "cut.model"));
        free(part);
    }
    buffer_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_equal_the_references),
        cmocka_unit_test(writing_and_reading_changes_no_id),
        cmocka_unit_test(decoding_equals_the_reference_at_once_and_bit_by_bit),
        cmocka_unit_test(any_text_survives_where_bytes_have_tokens),
        cmocka_unit_test(what_begins_a_text_is_put_once),
        cmocka_unit_test(every_cut_of_a_sentencepiece_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
