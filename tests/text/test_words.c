/* Cutting texts into words: the marks of every processor level, and words beside a plain reading of
 * the text, character by character. */
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/random.h"
#include "support/check.h"
#include "text/unicode.h"
#include "text/words.h"

static void levels_mark_the_same(void **state)
{
    (void)state;
#if defined(__x86_64__)
    if (cpu_detect().level < CPU_AVX2)
        skip();
    struct random_address address = {7, RANDOM_TEST, 0, 0};
    char bytes[64 * 64];
    struct word_marks want[64], got[64];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i < 1024 ? i : random_word(address, i));
    word_marks_baseline(bytes, 64, want);
    word_marks_avx2(bytes, 64, got);
    assert_memory_equal(want, got, sizeof want);
#else
    skip();
#endif
}

/* Characters and their lower case. */
static const char *const palette[][2] = {
    {"A", "a"},
    {"b", "b"},
    {"Z", "z"},
    {"0", "0"},
    {"9", "9"},
    {"_", "_"},
    {" ", " "},
    {" ", " "},
    {"\n", "\n"},
    {"\x1c", "\x1c"},
    {".", "."},
    {"-", "-"},
    {"@", "@"},
    {"[", "["},
    {"`", "`"},
    {"{", "{"},
    {"\x7f", "\x7f"},
    {"\x01", "\x01"},
    {"É", "é"},
    {"ß", "ß"},
    {"\xc2\xa0", "\xc2\xa0"},
    {"東", "東"},
    {"İ", "i\xcc\x87"},
    {"Ⱥ", "ⱥ"},
    {"\xff", "\xef\xbf\xbd"},
    {"—", "—"},
    {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
    {"𝐀", "𝐀"},
};

static int class_of(const char *text, size_t length, size_t *width)
{
    unsigned char c = (unsigned char)text[0];
    enum char_class class = unicode_class(text, length, width);
    if (c == '_' || class == CHAR_LETTER || class == CHAR_NUMBER)
        return 2;
    return class == CHAR_SPACE || (c >= 0x1c && c <= 0x1f);
}

static void check_cut(struct words *words, const char *text, size_t length, const char *lower,
                      size_t lower_length)
{
    assert_int_equal(words_cut(words, text, length, NULL), STATUS_OK);
    assert_int_equal(words->lower.length, lower_length);
    assert_memory_equal(words->lower.data, lower, lower_length);
    int64_t count = 0;
    for (size_t at = 0, width; at < lower_length;) {
        size_t begin = at;
        int class = class_of(lower + at, lower_length - at, &width);
        while (at < lower_length && class_of(lower + at, lower_length - at, &width) == class)
            at += width;
        if (class == 1)
            continue;
        assert_true(count < words->count);
        assert_int_equal(words->items[count].begin, begin);
        assert_int_equal(words->items[count].length, at - begin);
        count++;
    }
    assert_int_equal(words->count, count);
}

static void words_are_those_of_a_plain_reading(void **state)
{
    (void)state;
    const char *const levels[] = {"baseline", "full"};
    for (int level = 0; level < 2; level++) {
        setenv("ADZE_CPU", levels[level], 1);
        struct words words;
        words_init(&words);
        unsetenv("ADZE_CPU");
        for (uint32_t round = 0; round < 3000; round++) {
            struct random_address address = {11, RANDOM_TEST, round, 0};
            uint64_t kinds = round % 3 == 0 ? 18 : sizeof palette / sizeof *palette;
            char text[2048] = "", lower[2048] = "";
            for (uint64_t i = 0; i < round % 300; i++) {
                /* now and then runs of one character, longer than a block */
                uint64_t which = random_below(address, round % 5 == 0 ? i / 100 : i, kinds);
                strcat(text, palette[which][0]);
                strcat(lower, palette[which][1]);
            }
            check_cut(&words, text, strlen(text), lower, strlen(lower));
        }
        words_free(&words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_mark_the_same),
        cmocka_unit_test(words_are_those_of_a_plain_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
