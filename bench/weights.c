/* Times products over weights of every format: decode (one row of activations, weights streamed
 * from memory) as a share of the bandwidth of plain reading, and prefill (512 rows) as a share of
 * the processor's peak in products of bytes, both measured in the same rounds.
 *
 *   bench_weights THREADS ROUNDS [FORMAT...]
 *
 * The matrix is a feed-forward one of a model with 1.1e9 parameters. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "support.h"
#include "weight/formats.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define N ((int64_t)5632)
#define K ((int64_t)2048)
#define M ((int64_t)512)
#define STREAM ((int64_t)256 << 20) /* bytes of weights for decode, far beyond any cache */
#define ROUNDS_MOST 100
#define PEAK_STEPS 200000

struct bench {
    struct compute compute;
    unsigned char *memory; /* STREAM bytes and the largest matrix */
    float *x, *y;
};

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512vnni"))) static void peak_vnni(void *context, int64_t begin,
                                                                    int64_t end, int thread)
{
    (void)end;
    struct bench *bench = context;
    __m512i sums[16], a = _mm512_set1_epi32((int)begin), b = _mm512_set1_epi32(thread);
    for (int i = 0; i < 16; i++)
        sums[i] = _mm512_setzero_si512();
    for (int64_t step = 0; step < PEAK_STEPS; step++) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
        __asm__ volatile("" : "+v"(a), "+v"(b));
    }
    for (int i = 1; i < 16; i++)
        sums[0] = _mm512_add_epi32(sums[0], sums[i]);
    _mm512_storeu_si512(bench->y + 16 * thread, sums[0]);
}
#endif

/* Operations a second, two for each product; 0 where the instruction is missing. */
static double peak_rate(struct bench *bench)
{
#if defined(__x86_64__)
    if (!bench->compute.cpu.vnni)
        return 0;
    int threads = thread_pool_size(bench->compute.pool);
    double begin = bench_seconds();
    thread_pool_for(bench->compute.pool, threads, 1, peak_vnni, bench);
    return 2.0 * 64 * 16 * PEAK_STEPS * threads / (bench_seconds() - begin);
#else
    return 0;
#endif
}

/* rows x W', or with `back` rows x W: seconds. */
static double multiply(struct bench *bench, const struct weight *weight, int64_t rows, bool back)
{
    double begin = bench_seconds();
    gemm(&bench->compute, &(struct gemm_call){.m = rows,
                                              .n = back ? K : N,
                                              .k = back ? N : K,
                                              .a = back ? bench->y : bench->x,
                                              .a_stride = back ? N : K,
                                              .b = weight_matrix(weight, !back),
                                              .c = back ? bench->x : bench->y,
                                              .c_stride = back ? K : N});
    return bench_seconds() - begin;
}

/* Fills memory with copies of a packed matrix; returns its bytes. */
static int64_t fill(struct bench *bench, const struct weight_format *format)
{
    const int64_t rows = 32;
    int64_t bytes = N * K / format->block * (int64_t)format->block_bytes;
    float *values = malloc((size_t)(rows * K) * sizeof *values);
    if (!values)
        exit(1);
    random_fill_normal((struct random_address){.seed = 1, .purpose = RANDOM_TEST}, 0, rows * K,
                       0.02f, values);
    format->pack(values, rows * K, bench->memory);
    int64_t noise = bytes / N * rows;
    for (int64_t at = noise; at < STREAM + bytes; at += noise)
        memcpy(bench->memory + at, bench->memory,
               (size_t)(STREAM + bytes - at < noise ? STREAM + bytes - at : noise));
    free(values);
    return bytes;
}

static void fill_rows(struct bench *bench)
{
    random_fill_normal((struct random_address){.seed = 2, .purpose = RANDOM_TEST}, 0, M * K, 1,
                       bench->x);
}

static void measure(struct bench *bench, const struct weight_format *format, int rounds)
{
    int64_t bytes = fill(bench, format);
    struct weight weight = {.format = format, .rows = N, .columns = K};
    double decode[ROUNDS_MOST], decode_share[ROUNDS_MOST], prefill[ROUNDS_MOST];
    double prefill_share[ROUNDS_MOST], read[ROUNDS_MOST], peak[ROUNDS_MOST];
    double input[ROUNDS_MOST]; /* gradient of the input, in f32 */
    for (int round = 0; round < rounds; round++) {
        double seconds = 0;
        read[round] =
            bench_read_rate(bench->compute.pool, &(struct bench_span){bench->memory, STREAM}, 1);
        int64_t at = 0;
        for (; at < STREAM; at += bytes) {
            weight.data = bench->memory + at;
            seconds += multiply(bench, &weight, 1, false);
        }
        decode[round] = (double)at / seconds;
        decode_share[round] = decode[round] / read[round];
        peak[round] = peak_rate(bench);
        weight.data = bench->memory;
        const double work = 2.0 * (double)M * (double)N * (double)K;
        prefill[round] = work / multiply(bench, &weight, M, false);
        memset(bench->y, 0, (size_t)(M * N) * sizeof *bench->y); /* values that stay finite */
        input[round] = work / multiply(bench, &weight, M, true);
        fill_rows(bench);
        prefill_share[round] = peak[round] > 0 ? prefill[round] / peak[round] : 0;
    }
    printf("{\"format\": \"%s\", \"read_gb\": %.2f, \"decode_gb\": %.2f, \"decode_share\": %.3f, "
           "\"peak_gop\": %.0f, \"prefill_gop\": %.0f, \"prefill_share\": %.3f, "
           "\"input_gradient_gop\": %.0f}\n",
           format->name, bench_median(read, rounds) * 1e-9, bench_median(decode, rounds) * 1e-9,
           bench_median(decode_share, rounds), bench_median(peak, rounds) * 1e-9,
           bench_median(prefill, rounds) * 1e-9, bench_median(prefill_share, rounds),
           bench_median(input, rounds) * 1e-9);
    fflush(stdout);
}

int main(int count, char **arguments)
{
    if (count < 3) {
        fprintf(stderr, "usage: %s THREADS ROUNDS [FORMAT...]\n", arguments[0]);
        return 2;
    }
    struct error error;
    struct bench bench = {0};
    int rounds = (int)bench_number(arguments[2], "rounds", 1);
    rounds = rounds < ROUNDS_MOST ? rounds : ROUNDS_MOST;
    bench_require(compute_create((int)bench_number(arguments[1], "threads", 1), MATMUL_INT8,
                                 &bench.compute, &error),
                  &error);
    size_t bytes = (size_t)STREAM + (size_t)(N * K) * sizeof(float);
    bench.memory = aligned_alloc(4096, bytes);
    bench.x = malloc((size_t)(M * K) * sizeof(float));
    bench.y = malloc((size_t)(M * N) * sizeof(float));
    if (!bench.memory || !bench.x || !bench.y)
        bench_require(error_no_memory(&error, bytes), &error);
    memset(bench.memory, 0, bytes);
    fill_rows(&bench);
    for (int i = 1; weight_formats[i]; i++) {
        bool wanted = count == 3;
        for (int j = 3; j < count; j++)
            wanted |= strcmp(arguments[j], weight_formats[i]->name) == 0;
        if (wanted)
            measure(&bench, weight_formats[i], rounds);
    }
    compute_free(&bench.compute);
    free(bench.memory);
    free(bench.x);
    free(bench.y);
    return 0;
}
