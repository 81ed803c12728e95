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

static void permutation_is_a_permutation(void **state)
{
    struct random_address address = {1, RANDOM_SHUFFLE, 0, 0};
    int64_t order[1000];
    int seen[1000] = {0};
    random_permutation(address, 1000, order);
    for (int i = 0; i < 1000; i++)
        seen[order[i]]++;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(seen[i], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(block_matches_the_published_vectors),
        cmocka_unit_test(filling_in_pieces_gives_the_same_normals),
        cmocka_unit_test(permutation_is_a_permutation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
