/* Products with activations rounded to 8 bits, against sums in double precision over the same
 * rounded activations, and what must not change their bits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "weight/formats.h"
#include "weight/int8_product.h"

#define FIRST_BLOCK_FORMAT 3

struct product {
    struct weight weight;
    unsigned char *blocks;
    float *x, *add, *bias, *y;
    int64_t m, n, k;
};

static void product_make(const struct weight_format *format, int64_t m, int64_t n, int64_t k,
                         struct product *p)
{
    *p = (struct product){.m = m, .n = n, .k = k};
    float *values = check_normal(3, n * k, 0.1);
    p->blocks = malloc((size_t)(n * k / format->block) * format->block_bytes);
    format->pack(values, n * k, p->blocks);
    free(values);
    p->weight = (struct weight){.format = format, .rows = n, .columns = k, .data = p->blocks};
    p->x = check_normal(4, m * k, 2);
    p->add = check_normal(5, m * n, 1);
    p->bias = check_normal(6, n, 1);
    p->y = malloc((size_t)(m * n) * sizeof *p->y);
}

static void product_free(struct product *p)
{
    free(p->blocks);
    free(p->x);
    free(p->add);
    free(p->bias);
    free(p->y);
}

/* Rows [first, first + m) of the product. */
static void product_run(const struct compute *compute, const struct product *p, int64_t first,
                        int64_t m)
{
    gemm(compute, &(struct gemm_call){.m = m,
                                      .n = p->n,
                                      .k = p->k,
                                      .a = p->x + first * p->k,
                                      .a_stride = p->k,
                                      .b = weight_matrix(&p->weight, true),
                                      .c = p->y + first * p->n,
                                      .c_stride = p->n,
                                      .add = p->add + first * p->n,
                                      .add_stride = p->n,
                                      .bias = p->bias});
}

/* What the product of the rounded row is exactly, and how large the terms of its sum are. */
static double exact(const struct product *p, const int8_t *codes, const float *scales, int block,
                    const float *values, double *size)
{
    double sum = 0;
    *size = 0;
    for (int64_t i = 0; i < p->k; i++) {
        double term = (double)values[i] * codes[i] * (double)scales[i / block];
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

static void check_product(const struct compute *compute, const struct product *p, bool random)
{
    const struct int8_kernels *kernels = int8_kernels_for(&compute->cpu);
    const struct int8_layout *layout = &kernels->layouts[p->weight.format->code];
    unsigned char *row = aligned_alloc(64, (size_t)int8_row_bytes(layout, p->k) / 64 * 64 + 64);
    float *values = malloc((size_t)(p->n * p->k) * sizeof *values);
    p->weight.format->unpack(p->blocks, p->n * p->k, values);
    for (int64_t i = 0; i < p->m; i++) {
        double error = 0, norm = 0;
        kernels->quantize(layout, p->x + i * p->k, p->k, row);
        for (int64_t j = 0; j < p->n; j++) {
            double size, full = 0, got = (double)p->y[i * p->n + j];
            double rest = (double)p->add[i * p->n + j] + (double)p->bias[j];
            double want = exact(p, (int8_t *)row, (float *)(row + p->k), layout->block,
                                values + j * p->k, &size);
            if (!(fabs(got - want - rest) <= 4e-7 * (size + fabs(rest) + fabs(want))))
                fail_msg("%s, %lld x %lld x %lld at %lld, %lld: %.9g instead of %.9g",
                         p->weight.format->name, (long long)p->m, (long long)p->n, (long long)p->k,
                         (long long)i, (long long)j, got, want + rest);
            for (int64_t t = 0; t < p->k; t++)
                full += (double)p->x[i * p->k + t] * (double)values[j * p->k + t];
            error += pow(got - rest - full, 2);
            norm += full * full;
        }
        assert_true(error <= 1e-3 * norm || p->n < 8 || !random); /* of unrounded activations */
    }
    free(values);
    free(row);
}

static void products_are_exact_but_for_the_rounding_of_activations(struct compute *compute)
{
    const int64_t rows[] = {1, 2, 3, 4, 5, 16, 17, 33}, outputs[] = {1, 31, 32, 67};
    compute->precision = MATMUL_INT8;
    for (int f = FIRST_BLOCK_FORMAT; weight_formats[f]; f++)
        for (int r = 0; r < 8; r++)
            for (int o = 0; o < 4; o++) {
                const int64_t depth =
                    weight_formats[f]->block == 32 ? 32 * (r * 5 % 36 + 1) : 256 * (r * 2 % 5 + 1);
                struct product p;
                product_make(weight_formats[f], rows[r], outputs[o], depth, &p);
                product_run(compute, &p, 0, p.m);
                check_product(compute, &p, true);
                product_free(&p);
            }
}

static void products_on_every_level(void **state)
{
    (void)state;
    check_levels(products_are_exact_but_for_the_rounding_of_activations);
}

/* A row alone, among a few, or in the whole: the same bits. Also for other numbers of threads. */
static void a_row_does_not_depend_on_its_neighbors(struct compute *compute)
{
    compute->precision = MATMUL_INT8;
    for (int f = FIRST_BLOCK_FORMAT; weight_formats[f]; f++) {
        struct product p;
        product_make(weight_formats[f], 37, 99, 1536, &p);
        product_run(compute, &p, 0, p.m);
        size_t bytes = (size_t)(p.m * p.n) * sizeof *p.y;
        float *whole = malloc(bytes);
        memcpy(whole, p.y, bytes);
        for (int64_t piece = 1; piece < 20; piece += piece < 5 ? 1 : 6) {
            memset(p.y, 0, bytes);
            for (int64_t first = 0; first < p.m; first += piece)
                product_run(compute, &p, first, p.m - first < piece ? p.m - first : piece);
            if (memcmp(p.y, whole, bytes) != 0)
                fail_msg("%s: other bits in pieces of %lld rows", weight_formats[f]->name,
                         (long long)piece);
        }
        struct compute alone;
        assert_int_equal(compute_create(1, MATMUL_INT8, &alone, NULL), STATUS_OK);
        memset(p.y, 0, bytes);
        product_run(&alone, &p, 0, p.m);
        assert_memory_equal(p.y, whole, bytes);
        compute_free(&alone);
        free(whole);
        product_free(&p);
    }
}

static void neighbors_on_every_level(void **state)
{
    (void)state;
    check_levels(a_row_does_not_depend_on_its_neighbors);
}

/* Blocks of extreme codes (all bits set, only sign bits, alternating) times activations of extreme
 * codes: where an instruction saturated, a product would be wrong by far. */
static void extreme_codes_do_not_saturate(struct compute *compute)
{
    const unsigned char patterns[] = {0xff, 0x80, 0x7f, 0x00, 0xf0};
    enum { N = 35, K = 512 };
    compute->precision = MATMUL_INT8;
    for (int f = FIRST_BLOCK_FORMAT; weight_formats[f]; f++)
        for (int pattern = 0; pattern < 5; pattern++)
            for (int64_t m = 4; m <= 7; m += 3) {
                const struct weight_format *format = weight_formats[f];
                struct product p;
                product_make(format, m, N, K, &p);
                unsigned char *block = malloc(format->block_bytes), *at = p.blocks;
                for (int64_t b = 0; b < N * K / format->block; b++, at += format->block_bytes) {
                    memcpy(block, at, format->block_bytes);
                    memset(at, patterns[pattern], format->block_bytes);
                    /* The f16 fields stay: at the start, but in q2_K, q3_K and q6_K at the end. */
                    bool last =
                        format == &weight_q2_k || format == &weight_q3_k || format == &weight_q6_k;
                    bool two = format == &weight_q4_1 || format == &weight_q5_1 ||
                               format == &weight_q2_k || format == &weight_q4_k ||
                               format == &weight_q5_k;
                    size_t fields = two ? 4 : 2, begin = last ? format->block_bytes - fields : 0;
                    memcpy(at + begin, block + begin, fields);
                }
                for (int64_t i = 0; i < m * K; i++)
                    p.x[i] = i / K % 3 == 0 ? 1.0f : i / K % 3 == 1 ? -1.0f : i % 2 ? 1.0f : -1.0f;
                product_run(compute, &p, 0, m);
                check_product(compute, &p, false);
                free(block);
                product_free(&p);
            }
}

static void extreme_codes_on_every_level(void **state)
{
    (void)state;
    check_levels(extreme_codes_do_not_saturate);
}

static void broken_values_show_and_tiny_ones_do_not(struct compute *compute)
{
    const float odd[] = {NAN, INFINITY, -INFINITY, 1e-42f};
    compute->precision = MATMUL_INT8;
    for (int f = FIRST_BLOCK_FORMAT; weight_formats[f]; f++)
        for (int k = 0; k < 4; k++)
            for (int64_t m = 1; m < 8; m += 6) {
                struct product p;
                product_make(weight_formats[f], m, 20, 512, &p);
                for (int64_t i = 0; i < 512; i++)
                    p.x[i] = i == 300 || k == 3 ? odd[k] : p.x[i];
                product_run(compute, &p, 0, m);
                for (int64_t j = 0; j < 20; j++) {
                    float plain = p.add[j] + p.bias[j];
                    assert_true(k < 3 ? isnan(p.y[j]) : fabsf(p.y[j] - plain) < 1e-6f);
                    assert_true(m == 1 || isfinite(p.y[20 + j]));
                }
                product_free(&p);
            }
}

static void broken_values_on_every_level(void **state)
{
    (void)state;
    check_levels(broken_values_show_and_tiny_ones_do_not);
}

/* C may be what is added to, as in a residual stream. */
static void results_may_be_added_in_place(void **state)
{
    (void)state;
    struct compute compute;
    assert_int_equal(compute_create(2, MATMUL_INT8, &compute, NULL), STATUS_OK);
    for (int64_t m = 1; m < 10; m += 8) {
        struct product p;
        product_make(&weight_q4_k, m, 50, 256, &p);
        product_run(&compute, &p, 0, m);
        float *in_place = malloc((size_t)(m * 50) * sizeof *in_place), *want = p.y;
        memcpy(in_place, p.add, (size_t)(m * 50) * sizeof *in_place);
        free(p.add);
        p.y = p.add = in_place;
        product_run(&compute, &p, 0, m);
        assert_memory_equal(in_place, want, (size_t)(m * 50) * sizeof *in_place);
        free(want);
        p.add = NULL;
        product_free(&p);
    }
    compute_free(&compute);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_on_every_level),
        cmocka_unit_test(neighbors_on_every_level),
        cmocka_unit_test(extreme_codes_on_every_level),
        cmocka_unit_test(broken_values_on_every_level),
        cmocka_unit_test(results_may_be_added_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
