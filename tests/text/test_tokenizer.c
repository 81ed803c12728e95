/* Byte-level BPE against a trainer and an encoder of the plainest kind. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "support/check.h"
#include "text/tokenizer_train.h"

static const char sample[] =
    "The cat sat on the mat. The cats sat on the mats; that's what they'd do, isn't it?\n\n"
    "  for (int i = 0; i < 100; i++)\n\tprintf(\"%d\\n\", i);\n"
    "Grüße aus Köln, naïve façade — 東京都 は 日本 の 首都 です。 🙂🙂 "
    "🇩🇪\r\n"
    "aaaaaaaaaaaaaaaaaaaaaaaa abababababababab 1234567890 12 345 ___ ### $$$\x01\x02\x7f\n"
    "The theater then gathered these other brothers there, whether they gathered or not.\n";

struct pair_count {
    int32_t left, right;
    int64_t count;
};

/* The merge that a naive trainer makes next: most frequent, ties to the smaller ids. */
static struct pair_count best_pair(int32_t **words, const int *lengths, const int64_t *counts,
                                   int word_count)
{
    static struct pair_count pairs[20000];
    int pair_count = 0;
    for (int w = 0; w < word_count; w++)
        for (int i = 0; i + 1 < lengths[w]; i++) {
            int p = 0;
            while (p < pair_count &&
                   (pairs[p].left != words[w][i] || pairs[p].right != words[w][i + 1]))
                p++;
            if (p == pair_count)
                pairs[pair_count++] = (struct pair_count){words[w][i], words[w][i + 1], 0};
            pairs[p].count += counts[w];
        }
    struct pair_count best = {0, 0, 0};
    for (int p = 0; p < pair_count; p++) {
        bool smaller =
            pairs[p].left != best.left ? pairs[p].left < best.left : pairs[p].right < best.right;
        if (pairs[p].count > best.count || (pairs[p].count == best.count && smaller))
            best = pairs[p];
    }
    return best;
}

static void train(struct tokenizer *tokenizer, int32_t vocabulary)
{
    struct tok_counter counter = {0};
    const char *const specials[] = {"<|endoftext|>"};
    struct tok_train_options options = {.vocabulary = vocabulary,
                                        .least_count = 1,
                                        .specials = specials,
                                        .special_count = 1,
                                        .eos = specials[0]};
    assert_int_equal(tok_count(&counter, sample, strlen(sample), NULL), STATUS_OK);
    assert_int_equal(tok_train(&counter, &options, tokenizer, NULL), STATUS_OK);
    tok_counter_free(&counter);
}

static void merges_equal_those_of_a_naive_trainer(void **state)
{
    (void)state;
    struct tokenizer t;
    struct tok_counter counter = {0};
    train(&t, 340);
    assert_int_equal(tok_count(&counter, sample, strlen(sample), NULL), STATUS_OK);
    int count = (int)counter.words.count;
    int32_t **words = calloc((size_t)count, sizeof *words);
    int *lengths = calloc((size_t)count, sizeof *lengths);
    int64_t *counts = calloc((size_t)count, sizeof *counts);
    for (int w = 0; w < count; w++) {
        lengths[w] = (int)counter.words.entries[w].length;
        counts[w] = counter.words.entries[w].value;
        words[w] = calloc((size_t)lengths[w] + 1, sizeof **words);
        for (int i = 0; i < lengths[w]; i++)
            words[w][i] = t.byte_ids[(unsigned char)counter.words.entries[w].key[i]];
    }
    assert_true(t.merge_count > 50);
    for (int m = 0; m < t.merge_count; m++) {
        struct pair_count best = best_pair(words, lengths, counts, count);
        assert_true(best.count >= 1);
        assert_int_equal(t.merge_order[m] >> 32, best.left);
        assert_int_equal(t.merge_order[m] & 0xffffffff, best.right);
        int32_t merged = (int32_t)(*number_table_find(&t.merges, t.merge_order[m]) & 0xffffffff);
        for (int w = 0; w < count; w++) {
            int out = 0;
            for (int i = 0; i < lengths[w]; i++) {
                bool here =
                    i + 1 < lengths[w] && words[w][i] == best.left && words[w][i + 1] == best.right;
                words[w][out++] = here ? merged : words[w][i];
                i += here;
            }
            lengths[w] = out;
        }
    }
    for (int w = 0; w < count; w++)
        free(words[w]);
    free(words);
    free(lengths);
    free(counts);
    tok_counter_free(&counter);
    tok_free(&t);
}

/* Applies merges one after the other, in the order in which they were learned. */
static int naive_encode(const struct tokenizer *t, const char *word, size_t length, int32_t *ids)
{
    int count = (int)length;
    for (int i = 0; i < count; i++)
        ids[i] = t->byte_ids[(unsigned char)word[i]];
    for (;;) {
        int64_t best = INT64_MAX;
        int at = -1;
        for (int i = 0; i + 1 < count; i++) {
            int64_t *rank = number_table_find(&t->merges, (uint64_t)(uint32_t)ids[i] << 32 |
                                                              (uint32_t)ids[i + 1]);
            if (rank && *rank < best) {
                best = *rank;
                at = i;
            }
        }
        if (at < 0)
            return count;
        ids[at] = (int32_t)(best & 0xffffffff);
        memmove(ids + at + 1, ids + at + 2, (size_t)(count - at - 2) * sizeof *ids);
        count--;
    }
}

static void words_of_every_length_encode_like_the_naive_way(void **state)
{
    (void)state;
    struct tokenizer t;
    struct tok_scratch scratch = {0};
    train(&t, 400);
    for (int length = 1; length < 300; length += length < 70 ? 1 : 23)
        for (uint32_t variant = 0; variant < 4; variant++) {
            char word[300];
            int32_t want[300];
            struct random_address address = {1, RANDOM_TEST, (uint32_t)length, variant};
            for (int i = 0; i < length; i++) /* one word of letters that merge a lot */
                word[i] = "aaabthes"[random_word(address, (uint64_t)i) % (variant + 5)];
            struct tok_ids got = {0};
            assert_int_equal(tok_encode(&t, &scratch, word, (size_t)length, false, &got, NULL),
                             STATUS_OK);
            int count = naive_encode(&t, word, (size_t)length, want);
            assert_int_equal(got.count, count);
            assert_memory_equal(got.items, want, (size_t)count * sizeof *want);
            tok_ids_free(&got);
        }
    tok_scratch_free(&scratch);
    tok_free(&t);
}

static void any_bytes_survive_the_round_trip(void **state)
{
    (void)state;
    struct tokenizer t;
    struct tok_scratch scratch = {0};
    train(&t, 400);
    for (uint32_t round = 0; round < 300; round++) {
        char text[200];
        struct random_address address = {2, RANDOM_TEST, round, 0};
        size_t length = random_word(address, 1000) % sizeof text;
        for (size_t i = 0; i < length; i++) {
            uint32_t word = random_word(address, i);
            text[i] = round % 2 ? (char)word : sample[word % (sizeof sample - 1)];
        }
        struct tok_ids ids = {0};
        struct buffer back = {0};
        assert_int_equal(tok_encode(&t, &scratch, text, length, false, &ids, NULL), STATUS_OK);
        tok_decode(&t, ids.items, ids.count, true, &back);
        assert_int_equal(back.length, length);
        if (length > 0)
            assert_memory_equal(back.data, text, length);
        tok_ids_free(&ids);
        buffer_free(&back);
    }
    tok_scratch_free(&scratch);
    tok_free(&t);
}

static void special_tokens_are_found_only_when_asked_for(void **state)
{
    (void)state;
    struct tokenizer t;
    struct tok_scratch scratch = {0};
    struct tok_ids with = {0}, without = {0};
    struct buffer text = {0};
    const char prompt[] = "one<|endoftext|>two";
    train(&t, 300);
    assert_int_equal(tok_encode(&t, &scratch, prompt, strlen(prompt), true, &with, NULL),
                     STATUS_OK);
    assert_int_equal(tok_encode(&t, &scratch, prompt, strlen(prompt), false, &without, NULL),
                     STATUS_OK);
    int found = 0;
    for (int64_t i = 0; i < with.count; i++)
        found += with.items[i] == t.eos;
    assert_int_equal(found, 1);
    for (int64_t i = 0; i < without.count; i++)
        assert_int_not_equal(without.items[i], t.eos);
    tok_decode(&t, with.items, with.count, false, &text);
    assert_string_equal(text.data, "onetwo");
    buffer_free(&text);
    tok_ids_free(&with);
    tok_ids_free(&without);
    tok_scratch_free(&scratch);
    tok_free(&t);
}

static void saving_and_loading_changes_nothing(void **state)
{
    (void)state;
    struct tokenizer t, again;
    struct tok_scratch a = {0}, b = {0};
    struct tok_ids x = {0}, y = {0};
    char path[] = "/tmp/adze-tokenizer-XXXXXX";
    assert_true(mkstemp(path) >= 0);
    train(&t, 400);
    assert_int_equal(tok_save(&t, path, NULL), STATUS_OK);
    assert_int_equal(tok_load(path, &again, NULL), STATUS_OK);
    assert_int_equal(again.eos, t.eos);
    assert_int_equal(again.count, t.count);
    assert_int_equal(tok_encode(&t, &a, sample, strlen(sample), true, &x, NULL), STATUS_OK);
    assert_int_equal(tok_encode(&again, &b, sample, strlen(sample), true, &y, NULL), STATUS_OK);
    assert_int_equal(x.count, y.count);
    assert_memory_equal(x.items, y.items, (size_t)x.count * sizeof *x.items);
    remove(path);
    tok_ids_free(&x);
    tok_ids_free(&y);
    tok_scratch_free(&a);
    tok_scratch_free(&b);
    tok_free(&t);
    tok_free(&again);
}

static void refuse(const char *json, const char *why)
{
    struct tokenizer t;
    struct error error = {0};
    assert_int_equal(tok_parse(json, strlen(json), "t.json", &t, &error), STATUS_FAILED);
    if (!strstr(error.message, "t.json") || !strstr(error.message, why))
        fail_msg("'%s' should name t.json and say: %s", error.message, why);
}

static void broken_tokenizers_are_refused_with_the_cause(void **state)
{
    (void)state;
    const char *byte_level = "\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, ";
    char text[512];
    refuse("{\"model\": ", "t.json:1");
    refuse("[]", "no BPE, Unigram or WordPiece model");
    refuse("{\"model\": {\"type\": \"Unigram\", \"vocab\": {}, \"merges\": []}}",
           "no BPE, Unigram or WordPiece model");
    refuse("{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}, "
           "\"normalizer\": {\"type\": \"Magic\"}}",
           "normalizer 'Magic'");
    refuse("{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}, "
           "\"pre_tokenizer\": {\"type\": \"Magic\"}}",
           "pre-tokenizer 'Magic'");
    refuse("{\"model\": {\"vocab\": {}, \"merges\": []}}", "vocabulary is empty");
    snprintf(text, sizeof text, "{%s\"model\": {\"vocab\": {\"a\": -1}, \"merges\": []}}",
             byte_level);
    refuse(text, "no usable id");
    snprintf(text, sizeof text, "{%s\"model\": {\"vocab\": {\"a\": 99999999999}, \"merges\": []}}",
             byte_level);
    refuse(text, "no usable id");
    snprintf(text, sizeof text, "{%s\"model\": {\"vocab\": {\"a\": 0, \"b\": 0}, \"merges\": []}}",
             byte_level);
    refuse(text, "token \"b\" has the id 0 of another");
    snprintf(text, sizeof text, "{%s\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [\"a b\"]}}",
             byte_level);
    refuse(text, "merge 0");
    snprintf(text, sizeof text, "{%s\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}}",
             byte_level);
    refuse(text, "no token for byte");
    snprintf(text, sizeof text,
             "{%s\"added_tokens\": [{\"id\": 3}], \"model\": {\"vocab\": {}, \"merges\": []}}",
             byte_level);
    refuse(text, "added token 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_equal_those_of_a_naive_trainer),
        cmocka_unit_test(words_of_every_length_encode_like_the_naive_way),
        cmocka_unit_test(any_bytes_survive_the_round_trip),
        cmocka_unit_test(special_tokens_are_found_only_when_asked_for),
        cmocka_unit_test(saving_and_loading_changes_nothing),
        cmocka_unit_test(broken_tokenizers_are_refused_with_the_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
