/* Matrix products against sums in double precision, over shapes around every tile border, in both
 * precisions; and the promise that threads never change a bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "support/check.h"
#include "tensor/gemm.h"

struct product {
    int64_t m, n, k;
    bool a_transposed, b_transposed, extras;
};

static float rounded(const struct compute *compute, float value)
{
    return compute->precision == MATMUL_BF16 ? bfloat_to_float(bfloat_from_float(value)) : value;
}

static void run(struct compute *compute, const struct product *p, float *c)
{
    float *a = check_normal(1, p->m * p->k, 1), *b = check_normal(2, p->n * p->k, 1);
    float *add = check_normal(3, p->m * p->n, 1), *bias = check_normal(4, p->n, 1);
    double *want = malloc((size_t)(p->m * p->n) * sizeof *want);
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++) {
            double sum = p->extras ? (double)add[i * p->n + j] + (double)bias[j] : 0;
            for (int64_t l = 0; l < p->k; l++)
                sum += (double)rounded(compute, a[p->a_transposed ? l * p->m + i : i * p->k + l]) *
                       (double)rounded(compute, b[p->b_transposed ? j * p->k + l : l * p->n + j]);
            want[i * p->n + j] = sum;
        }
    struct gemm_call call = {
        .m = p->m, .n = p->n, .k = p->k, .a = a, .a_transposed = p->a_transposed, .c = c};
    call.a_stride = p->a_transposed ? p->m : p->k;
    call.b = gemm_matrix_f32(b, p->b_transposed ? p->k : p->n, p->b_transposed);
    call.c_stride = call.add_stride = p->n;
    if (p->extras) {
        call.add = add;
        call.bias = bias;
    }
    gemm(compute, &call);
    check_close("gemm", c, want, p->m * p->n, 2e-6 * sqrt((double)p->k + 10), 1);
    free(a);
    free(b);
    free(add);
    free(bias);
    free(want);
}

static void test_products(struct compute *compute)
{
    const int64_t sizes[][3] = {{1, 1, 1},     {3, 5, 0},      {4, 33, 7},
                                {5, 31, 2},    {14, 32, 16},   {15, 33, 17},
                                {29, 65, 513}, {43, 17, 1030}, {200, 300, 40}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int form = 0; form < 8; form++) {
            struct product p = {sizes[i][0],    sizes[i][1],    sizes[i][2],
                                (form & 1) > 0, (form & 2) > 0, (form & 4) > 0};
            float *c = check_normal(9, p.m * p.n, 1);
            compute->precision = MATMUL_F32;
            run(compute, &p, c);
            compute->precision = MATMUL_BF16;
            run(compute, &p, c);
            free(c);
        }
}

static void products_match_sums_in_double(void **state)
{
    (void)state;
    check_levels(test_products);
}

static void threads_do_not_change_a_bit(void **state)
{
    (void)state;
    struct product p = {333, 2100, 700, false, true, true};
    float *c[3];
    for (int i = 0; i < 3; i++) {
        struct compute compute;
        assert_int_equal(compute_create(1 + 2 * i, MATMUL_F32, &compute, NULL), STATUS_OK);
        c[i] = check_normal(9, p.m * p.n, 1);
        run(&compute, &p, c[i]);
        compute_free(&compute);
    }
    for (int i = 1; i < 3; i++)
        assert_memory_equal(c[0], c[i], (size_t)(p.m * p.n) * sizeof(float));
    for (int i = 0; i < 3; i++)
        free(c[i]);
}

static void unpack_halves(const struct compute *compute, const void *context, int64_t row,
                          int64_t begin, int64_t count, float *out)
{
    const uint16_t *from = (const uint16_t *)context + row * 70 + begin;
    for (int64_t i = 0; i < count; i++)
        out[i] = half_to_float(from[i]);
}

/* bf16, f16 and rows behind a function give what their f32 values give. */
static void test_storage(struct compute *compute)
{
    enum { M = 37, N = 45, K = 70 };
    float *b = check_normal(2, N * K, 1);
    uint16_t stored[N * K];
    for (int form = 0; form < 12; form++) {
        const int rows = form < 6 ? M : 3; /* those of a few are done in another way */
        for (int i = 0; i < N * K; i++) {
            stored[i] = form % 6 < 2 ? bfloat_from_float(b[i]) : half_from_float(b[i]);
            b[i] = form % 6 < 2 ? bfloat_to_float(stored[i]) : half_to_float(stored[i]);
        }
        bool transposed = form % 2;
        struct gemm_call call = {.m = rows, .n = transposed ? N : K, .k = transposed ? K : N};
        call.a_stride = call.k;
        call.c_stride = call.n;
        float *x = check_normal(1, M * K, 1), *y = malloc(M * K * sizeof *y),
              *z = malloc(M * K * sizeof *z);
        call.a = x;
        call.b = gemm_matrix_f32(b, K, transposed);
        call.c = y;
        gemm(compute, &call);
        call.b = (struct gemm_matrix){.type = form % 6 < 2 ? GEMM_BF16 : GEMM_F16,
                                      .data = stored,
                                      .stride = K,
                                      .transposed = transposed};
        if (form % 6 >= 4) {
            call.b.unpack = unpack_halves;
            call.b.context = stored;
        }
        call.c = z;
        gemm(compute, &call);
        assert_memory_equal(y, z, (size_t)(call.m * call.n) * sizeof(float));
        free(x);
        free(y);
        free(z);
    }
    free(b);
}

static void stored_formats_multiply_like_their_values(void **state)
{
    (void)state;
    check_levels(test_storage);
}

/* Sum over K of A times a matrix stored as (K, N) or, transposed, as (N, K), operands rounded. */
static double dot_stored(const struct compute *compute, const float *a, const float *b, int64_t k,
                         int64_t n, int64_t column, bool transposed)
{
    double sum = 0;
    for (int64_t l = 0; l < k; l++)
        sum += (double)rounded(compute, a[l]) *
               (double)rounded(compute, b[transposed ? column * k + l : l * n + column]);
    return sum;
}

/* C = A B + add + bias + scale (A first) second: the inner values against sums in double, the
 * result against sums with the inner values that were found. */
static void run_change(struct compute *compute, const int64_t *sizes, bool transposed, float *c,
                       float *inner)
{
    const int64_t m = sizes[0], n = sizes[1], k = sizes[2], rank = sizes[3];
    float *a = check_normal(1, m * k, 1), *b = check_normal(2, n * k, 1);
    float *add = check_normal(3, m * n, 1), *bias = check_normal(4, n, 1);
    float *first = check_normal(5, k * rank, 1), *second = check_normal(6, rank * n, 1);
    struct gemm_low_rank change = {
        .rank = rank,
        .first = gemm_matrix_f32(first, transposed ? k : rank, transposed),
        .second = gemm_matrix_f32(second, transposed ? rank : n, transposed),
        .scale = 0.25f,
        .inner = inner};
    gemm(compute, &(struct gemm_call){.m = m,
                                      .n = n,
                                      .k = k,
                                      .a = a,
                                      .a_stride = k,
                                      .b = gemm_matrix_f32(b, transposed ? k : n, transposed),
                                      .c = c,
                                      .c_stride = n,
                                      .add = add,
                                      .add_stride = n,
                                      .bias = bias,
                                      .change = &change});
    double *want = malloc((size_t)(m * (n + rank)) * sizeof *want), *inner_want = want + m * n;
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < rank; j++)
            inner_want[i * rank + j] =
                0.25 * dot_stored(compute, a + i * k, first, k, rank, j, transposed);
        for (int64_t j = 0; j < n; j++)
            want[i * n + j] = (double)add[i * n + j] + (double)bias[j] +
                              dot_stored(compute, a + i * k, b, k, n, j, transposed) +
                              dot_stored(compute, inner + i * rank, second, rank, n, j, transposed);
    }
    check_close("inner values", inner, inner_want, m * rank, 2e-6 * sqrt((double)k + 10), 1);
    check_close("changed product", c, want, m * n, 2e-6 * sqrt((double)k + 10), 1);
    free(a);
    free(b);
    free(add);
    free(bias);
    free(first);
    free(second);
    free(want);
}

static void test_changes(struct compute *compute)
{
    /* m, n, k, rank: around tiles, slabs of K, blocks of columns, and the largest rank. */
    const int64_t sizes[][4] = {{1, 1, 1, 1},      {3, 40, 7, 2},       {5, 31, 2, 3},
                                {15, 33, 17, 8},   {29, 65, 513, 5},    {43, 70, 1030, 16},
                                {31, 2100, 40, 8}, {9, 2080, 1100, 33}, {20, 48, 900, 64},
                                {20, 48, 70, 65}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int form = 0; form < 4; form++) {
            float *c = malloc((size_t)(sizes[i][0] * sizes[i][1]) * sizeof *c);
            float *inner = malloc((size_t)(sizes[i][0] * sizes[i][3]) * sizeof *inner);
            compute->precision = form & 2 ? MATMUL_BF16 : MATMUL_F32;
            run_change(compute, sizes[i], form & 1, c, inner);
            free(c);
            free(inner);
        }
}

static void changes_of_low_rank_come_along(void **state)
{
    (void)state;
    check_levels(test_changes);
}

static void threads_change_no_bit_of_changes(void **state)
{
    (void)state;
    const int64_t sizes[] = {333, 2100, 1200, 8};
    size_t count = (size_t)(sizes[0] * (sizes[1] + sizes[3]));
    float *c[3];
    for (int i = 0; i < 3; i++) {
        struct compute compute;
        assert_int_equal(compute_create(1 + 2 * i, MATMUL_BF16, &compute, NULL), STATUS_OK);
        c[i] = malloc(count * sizeof(float));
        run_change(&compute, sizes, true, c[i], c[i] + sizes[0] * sizes[1]);
        compute_free(&compute);
    }
    for (int i = 1; i < 3; i++)
        assert_memory_equal(c[0], c[i], count * sizeof(float));
    for (int i = 0; i < 3; i++)
        free(c[i]);
}

static void test_narrow(struct compute *compute)
{
    const int64_t sizes[][3] = {
        {1, 1, 1}, {8, 576, 512}, {5, 33, 7}, {16, 70, 1100}, {17, 130, 64}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int adds = 0; adds < 2; adds++) {
            int64_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
            float *a = check_normal(1, m * k, 1), *b = check_normal(2, n * k, 1);
            float *c = check_normal(3, m * n, 1);
            double *want = malloc((size_t)(m * n) * sizeof *want);
            for (int64_t r = 0; r < m; r++)
                for (int64_t j = 0; j < n; j++) {
                    want[r * n + j] = adds ? (double)c[r * n + j] : 0;
                    for (int64_t l = 0; l < k; l++)
                        want[r * n + j] += (double)a[l * m + r] * (double)b[l * n + j];
                }
            compute->precision = adds ? MATMUL_BF16 : MATMUL_F32; /* no matter */
            gemm_narrow(compute, m, n, k, a, b, c, adds ? c : NULL);
            check_close("narrow product", c, want, m * n, 2e-6 * sqrt((double)k + 10), 1);
            free(a);
            free(b);
            free(c);
            free(want);
        }
}

static void narrow_products_match_sums_in_double(void **state)
{
    (void)state;
    check_levels(test_narrow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_match_sums_in_double),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(stored_formats_multiply_like_their_values),
        cmocka_unit_test(changes_of_low_rank_come_along),
        cmocka_unit_test(threads_change_no_bit_of_changes),
        cmocka_unit_test(narrow_products_match_sums_in_double),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
