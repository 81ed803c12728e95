/* Tables, top-k, arenas, threads, half precision. */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/half.h"
#include "base/random.h"
#include "base/table.h"
#include "base/threads.h"
#include "base/topk.h"
#include "support/check.h"

static void tables_keep_keys_values_and_order(void **state)
{
    (void)state;
    struct table t = {0};
    struct number_table n = {0};
    assert_null(table_find(&t, "x", 1));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 5000; i++) {
            char key[32];
            int length = snprintf(key, sizeof key, "key %d", i);
            *table_put(&t, key, (size_t)length, 0) += i;
            *number_table_put(&n, (uint64_t)i * 0x100000001u, 0) += i;
        }
    }
    assert_int_equal(t.count, 5000);
    assert_int_equal(n.count, 5000);
    for (int i = 0; i < 5000; i++) {
        char key[32];
        int length = snprintf(key, sizeof key, "key %d", i);
        assert_int_equal(*table_find(&t, key, (size_t)length), 2 * i);
        assert_string_equal(t.entries[i].key, key);
        assert_int_equal(*number_table_find(&n, (uint64_t)i * 0x100000001u), 2 * i);
    }
    assert_null(table_find(&t, "key", 3));
    assert_null(number_table_find(&n, 7));
    assert_non_null(table_put(&t, "", 0, 9));
    assert_int_equal(*table_find(&t, "", 0), 9);
    table_clear(&t);
    assert_null(table_find(&t, "key 1", 5));
    table_free(&t);
    number_table_free(&n);
}

static int by_key(const void *a, const void *b)
{
    const struct topk_item *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? 1 : -1;
    return x->index < y->index ? -1 : 1;
}

static void topk_equals_sorting(void **state)
{
    (void)state;
    for (int64_t count = 0; count < 300; count = count * 2 + 1)
        for (int64_t k = 0; k < 40; k = k * 3 + 1) {
            struct topk_item all[300];
            struct topk top;
            assert_int_equal(topk_create(&top, k, NULL), STATUS_OK);
            for (int64_t i = 0; i < count; i++) { /* few distinct keys: many ties */
                struct random_address address = {1, RANDOM_TEST, (uint32_t)count, (uint32_t)k};
                all[i] = (struct topk_item){random_word(address, (uint64_t)i) % 10, i};
                topk_offer(&top, all[i].key, i);
            }
            qsort(all, (size_t)count, sizeof *all, by_key);
            topk_sort(&top);
            assert_int_equal(top.count, k < count ? k : count);
            for (int64_t i = 0; i < top.count; i++)
                assert_int_equal(top.items[i].index, all[i].index);
            topk_free(&top);
        }
}

static void arenas_align_rewind_and_keep_their_blocks(void **state)
{
    (void)state;
    struct arena a = {.block_bytes = 4096};
    unsigned char *first = arena_alloc(&a, 100);
    memset(first, 7, 100);
    struct arena_mark mark = arena_save(&a);
    for (int i = 0; i < 50; i++) {
        size_t bytes = (size_t)i * 97;
        unsigned char *piece = arena_alloc(&a, bytes);
        assert_int_equal((uintptr_t)piece % ARENA_ALIGNMENT, 0);
        memset(piece, i, bytes);
        assert_string_equal(arena_strdup(&a, "text"), "text");
    }
    size_t peak = a.peak;
    arena_rewind(&a, mark);
    assert_ptr_equal(arena_alloc(&a, 1), first + 128);
    assert_int_equal(first[99], 7);
    assert_int_equal(a.peak, peak);
    assert_null(arena_alloc(&a, SIZE_MAX - 10));
    assert_null(arena_calloc(&a, SIZE_MAX / 2, 3));
    arena_free(&a);
}

struct counting {
    atomic_int seen[1000];
};

static void count_piece(void *context, int64_t begin, int64_t end, int thread)
{
    struct counting *c = context;
    assert_true(thread >= 0 && thread < 5);
    for (int64_t i = begin; i < end; i++)
        atomic_fetch_add(&c->seen[i], 1);
}

static void every_piece_is_done_exactly_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        struct thread_pool *pool;
        struct counting *c = calloc(1, sizeof *c);
        assert_int_equal(thread_pool_create(threads, &pool, NULL), STATUS_OK);
        assert_int_equal(thread_pool_size(pool), threads);
        int rounds = 0;
        for (int64_t count = 0; count <= 1000; count += 111)
            for (int64_t grain = 1; grain < 300; grain = grain * 5 + 2, rounds++)
                thread_pool_for(pool, count, grain, count_piece, c);
        assert_int_equal(c->seen[0], rounds - rounds / 10); /* all but those of count 0 */
        assert_int_equal(c->seen[998], rounds / 10);
        assert_int_equal(c->seen[999], 0);
        thread_pool_free(pool);
        free(c);
    }
}

static void halves_convert_like_the_definition(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) { /* every half survives, NaN stays NaN */
        float value = half_to_float((uint16_t)h);
        int exponent = (int)(h >> 10 & 31), mantissa = (int)(h & 1023);
        if (exponent == 31) {
            assert_true(mantissa ? isnan(value) : isinf(value));
            continue;
        }
        double want = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
        assert_true((double)value == (h & 0x8000 ? -want : want));
        assert_int_equal(half_from_float(value), h);
    }
    for (uint32_t i = 0; i < 200000; i++) { /* nearest, ties to even */
        struct random_address address = {2, RANDOM_TEST, 0, 0};
        float value = half_float_of_bits(random_word(address, i));
        if (isnan(value) || fabsf(value) >= 65520)
            continue;
        uint16_t half = half_from_float(value);
        double error = fabs((double)half_to_float(half) - (double)value);
        for (int step = -1; step <= 1; step += 2) {
            uint16_t next = (uint16_t)(half + step);
            if ((next & 0x7c00) == 0x7c00 || (next ^ half) & 0x8000)
                continue;
            double other = fabs((double)half_to_float(next) - (double)value);
            assert_true(error < other || (error == other && half % 2 == 0));
        }
        float back = bfloat_to_float(bfloat_from_float(value));
        assert_true(fabs((double)back - (double)value) <= fabs((double)value) / 256 + 1e-38);
    }
    assert_int_equal(half_from_float(1e6f), 0x7c00);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_keep_keys_values_and_order),
        cmocka_unit_test(topk_equals_sorting),
        cmocka_unit_test(arenas_align_rewind_and_keep_their_blocks),
        cmocka_unit_test(every_piece_is_done_exactly_once),
        cmocka_unit_test(halves_convert_like_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
