/* The scanner written out for GPT-2's pattern cuts where its regular expression cuts. */
#include <string.h>

#include "base/random.h"
#include "support/check.h"
#include "text/split.h"

static const char *const pieces[] = {
    "a",   "Z",  "ß",    "日",       "é",
    "1",   "٣",  "Ⅷ",    " ",        "  ",
    "\n",  "\t", "\r\n", "\xc2\xa0", "\xe3\x80\x80",
    "'",   "'s", "'t",   "'re",      "'ve",
    "'ll", "'d", "'M",   "’",        "!",
    "_",   "#$", "🙂", "\x01",     "\xcc\x81",
    "-",
};

static void compare(struct split_pattern *fast, struct split_pattern *plain, const char *text,
                    size_t length)
{
    for (size_t at = 0; at < length;) {
        size_t a = split_next(fast, text, length, at), b = split_next(plain, text, length, at);
        if (a != b)
            fail_msg("'%.*s' at %zu: %zu instead of %zu", (int)length, text, at, a, b);
        assert_true(a > at && a <= length);
        at = a;
    }
}

static void the_scanner_equals_the_expression(void **state)
{
    (void)state;
    struct split_pattern *fast, *plain;
    assert_int_equal(split_create(SPLIT_GPT2, &fast, NULL), STATUS_OK);
    assert_int_equal(split_create("(?:" SPLIT_GPT2 ")", &plain, NULL), STATUS_OK);
    for (uint32_t round = 0; round < 4000; round++) {
        char text[256] = "";
        struct random_address address = {3, RANDOM_TEST, round, 0};
        uint32_t count = 1 + random_word(address, 100) % 16;
        for (uint32_t i = 0; i < count; i++)
            strcat(text, pieces[random_word(address, i) % (sizeof pieces / sizeof *pieces)]);
        compare(fast, plain, text, strlen(text));
    }
    split_free(fast);
    split_free(plain);
}

static void any_bytes_are_covered(void **state)
{
    (void)state;
    const char *const patterns[] = {SPLIT_GPT2, "(?:" SPLIT_GPT2 ")", "[0-9]", "x*"};
    for (int p = 0; p < 4; p++) {
        struct split_pattern *split;
        assert_int_equal(split_create(patterns[p], &split, NULL), STATUS_OK);
        for (uint32_t round = 0; round < 300; round++) {
            char text[64];
            struct random_address address = {4, RANDOM_TEST, round, 0};
            for (size_t i = 0; i < sizeof text; i++)
                text[i] = (char)random_word(address, i);
            for (size_t at = 0; at < sizeof text;) {
                size_t end = split_next(split, text, sizeof text, at);
                assert_true(end > at && end <= sizeof text);
                at = end;
            }
        }
        split_free(split);
    }
}

static void a_broken_pattern_is_refused(void **state)
{
    (void)state;
    struct split_pattern *split;
    struct error error;
    assert_int_equal(split_create("(", &split, &error), STATUS_FAILED);
    assert_non_null(strstr(error.message, "character 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_scanner_equals_the_expression),
        cmocka_unit_test(any_bytes_are_covered),
        cmocka_unit_test(a_broken_pattern_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
