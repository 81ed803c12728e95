/* Hashed n-grams: buckets as published, words as the card of DSIR defines them. */
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "support/check.h"
#include "text/ngrams.h"

static void buckets_are_sha256_modulo_their_number(void **state)
{
    (void)state;
    struct ngram_hasher h;
    ngram_hasher_init(&h, 2, 10000);
    assert_int_equal(ngram_bucket(&h, "alice", 5), 6720);
    assert_int_equal(ngram_bucket(&h, "alice went", 10), 114);
    ngram_hasher_free(&h);
}

/* All paddings: the remainder is taken byte by byte of the digest that the library makes. */
static void texts_of_every_length_hash_alike(void **state)
{
    (void)state;
    const int64_t buckets[] = {16, 10000, 9973, 1 << 24};
    char text[200];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7 + 1);
    for (int b = 0; b < 4; b++) {
        struct ngram_hasher h;
        ngram_hasher_init(&h, 2, buckets[b]);
        for (size_t length = 0; length <= sizeof text; length++) {
            unsigned char digest[SHA256_DIGEST_LENGTH];
            SHA256((const unsigned char *)text, length, digest);
            int64_t rest = 0;
            for (size_t i = 0; i < sizeof digest; i++)
                rest = (rest * 256 + digest[i]) % buckets[b];
            assert_int_equal(ngram_bucket(&h, text, length), rest);
        }
        ngram_hasher_free(&h);
    }
}

/* The n-grams of `text` are those of the words in `expected`, which are joined by single spaces. */
static void check_words(const char *text, const char *expected)
{
    struct ngram_hasher h;
    struct ngram_list list = {0};
    int64_t words, count = 0;
    ngram_hasher_init(&h, 1, 1 << 24);
    assert_int_equal(ngram_hash(&h, text, strlen(text), &list, &words, NULL), STATUS_OK);
    char copy[256], *rest = NULL;
    strcpy(copy, expected);
    for (char *word = strtok_r(copy, " ", &rest); word;
         word = strtok_r(NULL, " ", &rest), count++) {
        if (count >= words || list.items[count] != ngram_bucket(&h, word, strlen(word)))
            fail_msg("'%s': word %d is not '%s'", text, (int)count, word);
    }
    assert_int_equal(words, count);
    free(list.items);
    ngram_hasher_free(&h);
}

static void words_are_runs_of_letters_or_of_other_marks(void **state)
{
    (void)state;
    check_words("The cat sat on the mat.", "the cat sat on the mat .");
    check_words("Stock prices fell 3% today!", "stock prices fell 3 % today !");
    check_words("snake_case a--b  ...x", "snake_case a -- b ... x");
    check_words("Straße NAÏVE Ὀδυσσεύς ΟΔΟΣ", "straße naïve ὀδυσσεύς οδος");
    check_words("İstanbul", "i \xcc\x87 stanbul"); /* the dot is a mark, no letter */
    check_words("Σ ΣΑΣ ΑΣ.", "σ σας ας .");
    check_words("Ⅷ ٣٤ 東京", "ⅷ ٣٤ 東京");
    check_words("a\x1c"
                "b\xc2\xa0"
                "c",
                "a b c");
    check_words("", "");
}

static void pairs_come_behind_single_words(void **state)
{
    (void)state;
    struct ngram_hasher h;
    struct ngram_list list = {0};
    int64_t words;
    const char *const want[] = {"a",     "dog", ",",       "a",      "a dog",
                                "dog ,", ", a", "a dog ,", "dog , a"};
    ngram_hasher_init(&h, 3, 1000);
    for (int again = 0; again < 2; again++) { /* remembered n-grams give the same */
        list.count = 0;
        assert_int_equal(ngram_hash(&h, "A dog, a", 8, &list, &words, NULL), STATUS_OK);
        assert_int_equal(list.count, 9);
        for (int i = 0; i < 9; i++)
            assert_int_equal(list.items[i], ngram_bucket(&h, want[i], strlen(want[i])));
    }
    free(list.items);
    ngram_hasher_free(&h);
}

/* Words of 1 to 40 letters, far more than fit the tables' first size, met again and again. */
static void remembered_ngrams_are_those_written_out(void **state)
{
    (void)state;
    enum { TEXTS = 40, WORDS = 4000, LONGEST = 40 };
    struct ngram_hasher h;
    struct ngram_list list = {0};
    ngram_hasher_init(&h, 2, 1 << 24);
    char *text = malloc(WORDS * (LONGEST + 1) + 1);
    size_t *ends = malloc(WORDS * sizeof *ends);
    for (uint32_t t = 0; t < TEXTS; t++) {
        struct random_address address = {5, RANDOM_TEST, 0, 0};
        size_t length = 0;
        for (int w = 0; w < WORDS; w++) { /* about half of them rare, the others frequent */
            uint64_t rank = random_below(address, t * WORDS + w, w % 2 ? 300 : 1000000);
            size_t width = 1 + rank % LONGEST;
            char word[64];
            snprintf(word, sizeof word, "%llx%040llx", (unsigned long long)rank,
                     (unsigned long long)rank * 977);
            memcpy(text + length, word, width);
            length += width;
            ends[w] = length;
            text[length++] = ' ';
        }
        int64_t words;
        list.count = 0;
        assert_int_equal(ngram_hash(&h, text, length, &list, &words, NULL), STATUS_OK);
        assert_int_equal(words, WORDS);
        assert_int_equal(list.count, 2 * WORDS - 1);
        for (int n = 1; n <= 2; n++)
            for (int w = 0; w + n <= WORDS; w++) {
                size_t begin = w ? ends[w - 1] + 1 : 0;
                assert_int_equal(list.items[(n - 1) * WORDS + w],
                                 ngram_bucket(&h, text + begin, ends[w + n - 1] - begin));
            }
    }
    free(text);
    free(ends);
    free(list.items);
    ngram_hasher_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_sha256_modulo_their_number),
        cmocka_unit_test(texts_of_every_length_hash_alike),
        cmocka_unit_test(remembered_ngrams_are_those_written_out),
        cmocka_unit_test(words_are_runs_of_letters_or_of_other_marks),
        cmocka_unit_test(pairs_come_behind_single_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
