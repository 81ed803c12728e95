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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_match_sums_in_double),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(stored_formats_multiply_like_their_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
