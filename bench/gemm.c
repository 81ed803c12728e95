/* Times matrix products of a decoder's shapes against oneDNN and OpenBLAS, where they were found.
 *
 *   OMP_NUM_THREADS=2 bench_gemm THREADS ROUNDS
 *
 * Each round gives every side its turn on every shape. The three forms are those of training:
 * forward (B stored as N x K), gradient of the input (B as K x N), gradient of the weight (A as
 * K x M). In bf16 adze rounds f32 operands as it goes, since that is how its ops see them; oneDNN
 * is handed bf16 operands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/half.h"
#include "base/random.h"
#include "support.h"
#include "tensor/gemm.h"
#ifdef HAVE_DNNL
#include <dnnl.h>
#endif
#ifdef HAVE_OPENBLAS
#include <cblas.h>
#endif

#define LARGEST ((int64_t)4096 * 8192)
#define ROUNDS_MOST 100
#define PAUSE_NANOSECONDS 30000000 /* for the other side's threads to fall asleep */

struct product {
    int64_t m, n, k;
    bool a_transposed, b_transposed;
};

struct bench {
    struct compute compute;
    float *a, *b, *c;
    uint16_t *a_bfloat, *b_bfloat;
    int rounds;
#ifdef HAVE_DNNL
    dnnl_engine_t engine;
    dnnl_stream_t stream;
#endif
};

enum side { ADZE_F32, DNNL_F32, OPENBLAS_F32, ADZE_BF16, DNNL_BF16, SIDES };

static void multiply_adze(struct bench *bench, const struct product *p, bool bfloat)
{
    bench->compute.precision = bfloat ? MATMUL_BF16 : MATMUL_F32;
    gemm(&bench->compute,
         &(struct gemm_call){
             .m = p->m,
             .n = p->n,
             .k = p->k,
             .a = bench->a,
             .a_stride = p->a_transposed ? p->m : p->k,
             .a_transposed = p->a_transposed,
             .b = gemm_matrix_f32(bench->b, p->b_transposed ? p->k : p->n, p->b_transposed),
             .c = bench->c,
             .c_stride = p->n,
         });
}

#ifdef HAVE_DNNL
struct dnnl_product {
    dnnl_primitive_t primitive;
    dnnl_memory_t a, b, c;
    bool usable;
};

static void describe(dnnl_memory_desc_t *out, int64_t rows, int64_t columns, bool transposed,
                     dnnl_data_type_t type)
{
    dnnl_dims_t sizes = {rows, columns};
    dnnl_dims_t strides = {transposed ? 1 : columns, transposed ? rows : 1};
    dnnl_memory_desc_init_by_strides(out, 2, sizes, type, strides);
}

static struct dnnl_product dnnl_prepare(struct bench *bench, const struct product *p, bool bfloat)
{
    struct dnnl_product product = {0};
    dnnl_data_type_t type = bfloat ? dnnl_bf16 : dnnl_f32;
    dnnl_memory_desc_t a, b, c;
    describe(&a, p->m, p->k, p->a_transposed, type);
    describe(&b, p->k, p->n, p->b_transposed, type);
    describe(&c, p->m, p->n, false, dnnl_f32);
    dnnl_matmul_desc_t description;
    dnnl_primitive_desc_t chosen;
    if (dnnl_matmul_desc_init(&description, &a, &b, NULL, &c) != dnnl_success ||
        dnnl_primitive_desc_create(&chosen, &description, NULL, bench->engine, NULL) !=
            dnnl_success)
        return product;
    product.usable = dnnl_primitive_create(&product.primitive, chosen) == dnnl_success;
    dnnl_primitive_desc_destroy(chosen);
    dnnl_memory_create(&product.a, &a, bench->engine,
                       bfloat ? (void *)bench->a_bfloat : (void *)bench->a);
    dnnl_memory_create(&product.b, &b, bench->engine,
                       bfloat ? (void *)bench->b_bfloat : (void *)bench->b);
    dnnl_memory_create(&product.c, &c, bench->engine, bench->c);
    return product;
}

static void dnnl_release(struct dnnl_product *product)
{
    if (!product->usable)
        return;
    dnnl_primitive_destroy(product->primitive);
    dnnl_memory_destroy(product->a);
    dnnl_memory_destroy(product->b);
    dnnl_memory_destroy(product->c);
}

static void multiply_dnnl(struct bench *bench, const struct dnnl_product *product)
{
    dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, product->a}, {DNNL_ARG_WEIGHTS, product->b}, {DNNL_ARG_DST, product->c}};
    dnnl_primitive_execute(product->primitive, bench->stream, 3, arguments);
    dnnl_stream_wait(bench->stream);
}
#endif

#ifdef HAVE_OPENBLAS
static void multiply_openblas(struct bench *bench, const struct product *p)
{
    cblas_sgemm(CblasRowMajor, p->a_transposed ? CblasTrans : CblasNoTrans,
                p->b_transposed ? CblasTrans : CblasNoTrans, (int)p->m, (int)p->n, (int)p->k, 1,
                bench->a, (int)(p->a_transposed ? p->m : p->k), bench->b,
                (int)(p->b_transposed ? p->k : p->n), 0, bench->c, (int)p->n);
}
#endif

/* False when the side is not there. `prepared` holds oneDNN's products in f32 and bf16. */
static bool multiply(struct bench *bench, const struct product *p, enum side side,
                     const void *prepared)
{
    if (side == ADZE_F32 || side == ADZE_BF16) {
        multiply_adze(bench, p, side == ADZE_BF16);
        return true;
    }
#ifdef HAVE_DNNL
    if (side == DNNL_F32 || side == DNNL_BF16) {
        const struct dnnl_product *product =
            (const struct dnnl_product *)prepared + (side == DNNL_BF16);
        if (product->usable)
            multiply_dnnl(bench, product);
        return product->usable;
    }
#endif
#ifdef HAVE_OPENBLAS
    if (side == OPENBLAS_F32) {
        multiply_openblas(bench, p);
        return true;
    }
#endif
    return false;
}

static void measure(struct bench *bench, const struct product *p, const char *form)
{
    const char *names[] = {"adze_f32", "onednn_f32", "openblas_f32", "adze_bf16", "onednn_bf16"};
    double rates[SIDES][ROUNDS_MOST];
    bool there[SIDES];
    const void *prepared = NULL;
#ifdef HAVE_DNNL
    struct dnnl_product products[2] = {dnnl_prepare(bench, p, false), dnnl_prepare(bench, p, true)};
    prepared = products;
#endif
    for (int round = 0; round < bench->rounds; round++)
        for (int side = 0; side < SIDES; side++) {
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_NANOSECONDS}, NULL);
            there[side] = multiply(bench, p, (enum side)side, prepared);
            if (!there[side])
                continue;
            double begin = bench_seconds();
            multiply(bench, p, (enum side)side, prepared);
            rates[side][round] =
                2e-9 * (double)p->m * (double)p->n * (double)p->k / (bench_seconds() - begin);
        }
#ifdef HAVE_DNNL
    dnnl_release(&products[0]);
    dnnl_release(&products[1]);
#endif
    printf("{\"m\": %lld, \"n\": %lld, \"k\": %lld, \"form\": \"%s\"", (long long)p->m,
           (long long)p->n, (long long)p->k, form);
    for (int side = 0; side < SIDES; side++)
        if (there[side])
            printf(", \"%s\": %.1f", names[side], bench_median(rates[side], bench->rounds));
    puts("}");
    fflush(stdout);
}

static void create(struct bench *bench, int threads)
{
    struct error error;
    bench_require(compute_create(threads, MATMUL_F32, &bench->compute, &error), &error);
    size_t bytes = (size_t)LARGEST * sizeof(float);
    bench->a = aligned_alloc(64, bytes);
    bench->b = aligned_alloc(64, bytes);
    bench->c = aligned_alloc(64, bytes);
    bench->a_bfloat = aligned_alloc(64, bytes / 2);
    bench->b_bfloat = aligned_alloc(64, bytes / 2);
    if (!bench->a || !bench->b || !bench->c || !bench->a_bfloat || !bench->b_bfloat)
        bench_require(error_no_memory(&error, bytes), &error);
    /* A block of noise, repeated: its making would take longer than the measurement. */
    struct random_address address = {.seed = 1, .purpose = RANDOM_TEST};
    const int64_t noise = 1 << 20;
    random_fill_normal(address, 0, noise, 1, bench->a);
    for (int64_t i = 0; i < LARGEST; i++) {
        bench->a[i] = bench->b[i] = bench->a[i % noise];
        bench->a_bfloat[i] = bench->b_bfloat[i] = bfloat_from_float(bench->a[i]);
    }
#ifdef HAVE_DNNL
    dnnl_engine_create(&bench->engine, dnnl_cpu, 0);
    dnnl_stream_create(&bench->stream, bench->engine, dnnl_stream_default_flags);
#endif
#ifdef HAVE_OPENBLAS
    openblas_set_num_threads(threads);
#endif
}

int main(int count, char **arguments)
{
    if (count != 3) {
        fprintf(stderr, "usage: %s THREADS ROUNDS\n", arguments[0]);
        return 2;
    }
    struct bench bench = {.rounds = (int)bench_number(arguments[2], "rounds", 1)};
    bench.rounds = bench.rounds < ROUNDS_MOST ? bench.rounds : ROUNDS_MOST;
    create(&bench, (int)bench_number(arguments[1], "threads", 1));
    const int64_t rows[] = {4096, 1024}, columns[] = {384, 1024, 8192}, depths[] = {384, 1024};
    const char *forms[] = {"forward", "input gradient", "weight gradient"};
    for (int r = 0; r < 2; r++)
        for (int c = 0; c < 3; c++)
            for (int d = 0; d < 2; d++)
                for (int form = 0; form < 3; form++) {
                    struct product p = {rows[r], columns[c], depths[d], form == 2, form == 0};
                    measure(&bench, &p, forms[form]);
                }
#ifdef HAVE_DNNL
    dnnl_stream_destroy(bench.stream);
    dnnl_engine_destroy(bench.engine);
#endif
    compute_free(&bench.compute);
    free(bench.a);
    free(bench.b);
    free(bench.c);
    free(bench.a_bfloat);
    free(bench.b_bfloat);
    return 0;
}
