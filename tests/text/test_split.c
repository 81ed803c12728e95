/* The scanners that are written out cut where their regular expressions cut. */
#include <string.h>

#include "base/random.h"
#include "support/check.h"
#include "text/split.h"

static const char *const pieces[] = {
    "a",
    "Z",
    "ß",
    "日",
    "é",
    "1",
    "٣",
    "Ⅷ",
    " ",
    "  ",
    "\n",
    "\t",
    "\r\n",
    "\xc2\xa0",
    "\xe3\x80\x80",
    "'",
    "'s",
    "'t",
    "'re",
    "'ve",
    "'ll",
    "'d",
    "'M",
    "’",
    "!",
    "_",
    "#$",
    "🙂",
    "\x01",
    "\xcc\x81",
    "-",
    "'S",
    "'LL",
    "'\xc5\xbf",
    "\xc2\x85",
    "\n\n",
    "\xe2\x80\xa8",
};

static void compare(const struct split_pattern *fast, const struct split_pattern *plain,
                    const struct split_room *room, const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        size_t a = split_next(fast, room, text, length, at),
               b = split_next(plain, room, text, length, at);
        if (a != b)
            fail_msg("'%.*s' at %zu: %zu instead of %zu", (int)length, text, at, a, b);
        assert_true(a > at && a <= length);
        at = a;
    }
}

static void scanners_equal_their_expressions(void **state)
{
    (void)state;
    const char *const patterns[] = {SPLIT_GPT2, SPLIT_LLAMA3, SPLIT_QWEN2, SPLIT_DIGIT};
    struct split_room room = {0};
    assert_int_equal(split_room_prepare(&room, NULL), STATUS_OK);
    for (uint32_t p = 0; p < 4; p++) {
        struct split_pattern *fast, *plain;
        assert_int_equal(split_create(patterns[p], false, true, &fast, NULL), STATUS_OK);
        assert_int_equal(split_create(patterns[p], false, false, &plain, NULL), STATUS_OK);
        for (uint32_t round = 0; round < 4000; round++) {
            char text[256] = "";
            struct random_address address = {3, RANDOM_TEST, round, p};
            uint32_t count = 1 + random_word(address, 100) % 16;
            for (uint32_t i = 0; i < count; i++)
                strcat(text, pieces[random_word(address, i) % (sizeof pieces / sizeof *pieces)]);
            compare(fast, plain, &room, text, strlen(text));
        }
        split_free(fast);
        split_free(plain);
    }
    split_room_free(&room);
}

static void any_bytes_are_covered(void **state)
{
    (void)state;
    const char *const patterns[] = {SPLIT_GPT2,  "(?:" SPLIT_GPT2 ")", "[0-9]",    "x*",
                                    SPLIT_QWEN2, SPLIT_LLAMA3,         SPLIT_DIGIT};
    struct split_room room = {0};
    assert_int_equal(split_room_prepare(&room, NULL), STATUS_OK);
    for (int p = 0; p < 7; p++) {
        struct split_pattern *split;
        assert_int_equal(split_create(patterns[p], false, true, &split, NULL), STATUS_OK);
        for (uint32_t round = 0; round < 300; round++) {
            char text[64];
            struct random_address address = {4, RANDOM_TEST, round, 0};
            for (size_t i = 0; i < sizeof text; i++)
                text[i] = (char)random_word(address, i);
            for (size_t at = 0; at < sizeof text;) {
                size_t end = split_next(split, &room, text, sizeof text, at);
                assert_true(end > at && end <= sizeof text);
                at = end;
            }
        }
        split_free(split);
    }
    split_room_free(&room);
}

static void a_broken_pattern_is_refused(void **state)
{
    (void)state;
    struct split_pattern *split;
    struct error error;
    assert_int_equal(split_create("(", false, true, &split, &error), STATUS_FAILED);
    assert_non_null(strstr(error.message, "character 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scanners_equal_their_expressions),
        cmocka_unit_test(any_bytes_are_covered),
        cmocka_unit_test(a_broken_pattern_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
