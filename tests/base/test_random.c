/* Random numbers by address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/random.h"

/* Known answer of Philox4x32-10 from the paper's reference vectors (counter and key all ones). */
static void block_matches_the_published_vectors(void **state)
{
    struct random_address address = {UINT64_MAX, 0xffffffu, UINT32_MAX, UINT32_MAX};
    uint32_t words[4];
    random_block(address, UINT64_MAX, words);
    assert_int_equal(words[0], 0x408f276d);
    assert_int_equal(words[1], 0x41c83b0e);
    assert_int_equal(words[2], 0xa20bc7c6);
    assert_int_equal(words[3], 0x6d5451fd);
}

static void filling_in_pieces_gives_the_same_normals(void **state)
{
    struct random_address address = {7, RANDOM_TEST, 3, 9};
    float whole[100], piece[100];
    random_fill_normal(address, 0, 100, 1.0f, whole);
    random_fill_normal(address, 13, 50, 1.0f, piece);
    for (int i = 0; i < 50; i++) {
        assert_true(piece[i] == whole[13 + i]);
        assert_true(whole[13 + i] == (float)random_normal(address, 13 + (uint64_t)i));
    }
}

static void shuffling_reaches_every_element_once(void **state)
{
    const uint64_t counts[] = {1, 2, 3, 5, 16, 17, 1000};
    struct random_address address = {1, RANDOM_SHUFFLE, 0, 0};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        int seen[1000] = {0};
        for (uint64_t i = 0; i < counts[c]; i++) {
            uint64_t at = random_shuffle(address, i, counts[c]);
            assert_true(at < counts[c]);
            seen[at]++;
        }
        for (uint64_t i = 0; i < counts[c]; i++)
            assert_int_equal(seen[i], 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(block_matches_the_published_vectors),
        cmocka_unit_test(filling_in_pieces_gives_the_same_normals),
        cmocka_unit_test(shuffling_reaches_every_element_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
