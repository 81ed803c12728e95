/* The row kernels, written once. A file per instruction set defines SUFFIX and includes this; the
 * loops are shaped for the compiler to make vector code of them. */
#include <math.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "base/half.h"
#include "tensor/kernels/row_kernels.h"

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define LANES 16
#define STREAM_AHEAD 4096 /* bytes */

typedef float wide_f32 __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
/* Functions of single values work on whole registers: their width changes no result, and wider
 * vectors are taken apart badly where they are compared. */
#if defined(__AVX512F__)
#define NATIVE 16
#elif defined(__AVX2__)
#define NATIVE 8
#else
#define NATIVE 4
#endif

typedef float lanes_f32 __attribute__((vector_size(4 * NATIVE), aligned(4), may_alias));
typedef int32_t lanes_i32 __attribute__((vector_size(4 * NATIVE), aligned(4), may_alias));
#define VECTOR static inline __attribute__((always_inline)) lanes_f32

VECTOR load(const float *x)
{
    return *(const lanes_f32 *)x;
}

/* The last values of a row: fewer than NATIVE, the missing ones 0. */
VECTOR load_rest(const float *x, int64_t count)
{
    float values[NATIVE] = {0};
    for (int64_t i = 0; i < count; i++)
        values[i] = x[i];
    return load(values);
}

static inline void store_rest(float *y, lanes_f32 v, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = v[i];
}

/* Where the mask is set a, elsewhere b. */
VECTOR choose(lanes_i32 mask, lanes_f32 a, lanes_f32 b)
{
    return (lanes_f32)((mask & (lanes_i32)a) | (~mask & (lanes_i32)b));
}

static inline float wide_sum(wide_f32 v)
{
    float half[8], quarter[4];
    for (int i = 0; i < 8; i++)
        half[i] = v[i] + v[i + 8];
    for (int i = 0; i < 4; i++)
        quarter[i] = half[i] + half[i + 4];
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

/* The last products of a dot product. Never inlined, so that each kind of dot makes the same sums:
 * the compiler may fuse a multiplication and an addition, or not. */
static __attribute__((noinline)) float dot_rest(int64_t n, const float *x, const float *y)
{
    float rest = 0;
    for (int64_t i = 0; i < n; i++)
        rest += x[i] * y[i];
    return rest;
}

static float dot(int64_t n, const float *x, const float *y)
{
    wide_f32 a = {0}, b = {0}, c = {0}, d = {0};
    int64_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        a += *(const wide_f32 *)(x + i) * *(const wide_f32 *)(y + i);
        b += *(const wide_f32 *)(x + i + LANES) * *(const wide_f32 *)(y + i + LANES);
        c += *(const wide_f32 *)(x + i + 2 * LANES) * *(const wide_f32 *)(y + i + 2 * LANES);
        d += *(const wide_f32 *)(x + i + 3 * LANES) * *(const wide_f32 *)(y + i + 3 * LANES);
    }
    for (; i + LANES <= n; i += LANES)
        a += *(const wide_f32 *)(x + i) * *(const wide_f32 *)(y + i);
    float rest = i < n ? dot_rest(n - i, x + i, y + i) : 0;
    return wide_sum((a + b) + (c + d)) + rest;
}

/* 16 stored values as f32. */
static inline void wide_of_bfloats(const uint16_t *x, wide_f32 *out)
{
    typedef uint16_t wide_u16 __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
    typedef uint32_t wide_u32 __attribute__((vector_size(4 * LANES)));
    *out = (wide_f32)(__builtin_convertvector(*(const wide_u16 *)x, wide_u32) << 16);
}

static inline void wide_of_halves(const uint16_t *x, wide_f32 *out)
{
#if defined(__AVX512F__)
    *out = (wide_f32)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)x));
#elif defined(__F16C__)
    __m256 parts[2] = {_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)x)),
                       _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + 8)))};
    memcpy(out, parts, sizeof *out);
#else
    float values[LANES];
    for (int i = 0; i < LANES; i++)
        values[i] = half_to_float(x[i]);
    memcpy(out, values, sizeof *out);
#endif
}

enum stored { STORED_FLOAT, STORED_BFLOAT, STORED_HALF };
#define FORCED static inline __attribute__((always_inline))

FORCED void stored_wide(enum stored type, const void *y, int64_t at, wide_f32 *out)
{
    if (type == STORED_FLOAT)
        *out = *(const wide_f32 *)((const float *)y + at);
    else if (type == STORED_BFLOAT)
        wide_of_bfloats((const uint16_t *)y + at, out);
    else
        wide_of_halves((const uint16_t *)y + at, out);
}

FORCED float stored_value(enum stored type, const void *y, int64_t at)
{
    return type == STORED_FLOAT    ? ((const float *)y)[at]
           : type == STORED_BFLOAT ? bfloat_to_float(((const uint16_t *)y)[at])
                                   : half_to_float(((const uint16_t *)y)[at]);
}

/* sums[r][c][part] += the products of LANES values from `at` on. */
FORCED void dots_add(enum stored type, int rows, int columns, const struct dots_call *call,
                     int64_t at, int part, wide_f32 (*sums)[DOTS_COLUMNS][2])
{
    wide_f32 wide[DOTS_COLUMNS];
#pragma GCC unroll 4
    for (int c = 0; c < columns; c++)
        stored_wide(type, call->y, c * call->y_stride + at, &wide[c]);
#pragma GCC unroll 3
    for (int r = 0; r < rows; r++) {
        wide_f32 x = *(const wide_f32 *)(call->x + r * call->x_stride + at);
#if defined(__AVX512F__)
        __asm__("" : "+v"(x)); /* read once, not in each product */
#endif
#pragma GCC unroll 4
        for (int c = 0; c < columns; c++)
            sums[r][c][part] += x * wide[c];
    }
}

/* Stored rows come from memory one block behind the other: what lies behind this block is
 * prefetched, a share in each step. */
FORCED void dots_block(enum stored type, int rows, int columns, int64_t n, struct dots_call *call)
{
    const int64_t bytes = type == STORED_FLOAT ? 4 : 2;
    uintptr_t ahead = (uintptr_t)call->y + (uintptr_t)(columns * call->y_stride * bytes);
    wide_f32 sums[DOTS_ROWS][DOTS_COLUMNS][2] = {0};
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES, ahead += (uintptr_t)(2 * LANES * bytes * columns)) {
        for (int64_t line = 0; call->streamed && line < 2 * LANES * bytes * columns; line += 64)
            __builtin_prefetch((const void *)(ahead + (uintptr_t)line));
        dots_add(type, rows, columns, call, i, 0, sums);
        dots_add(type, rows, columns, call, i + LANES, 1, sums);
    }
    if (i + LANES <= n) {
        dots_add(type, rows, columns, call, i, 0, sums);
        i += LANES;
    }
#pragma GCC unroll 4
    for (int c = 0; c < columns; c++) {
        float last[LANES];
        for (int64_t j = i; j < n; j++)
            last[j - i] = stored_value(type, call->y, c * call->y_stride + j);
#pragma GCC unroll 3
        for (int r = 0; r < rows; r++) {
            float rest = i < n ? dot_rest(n - i, call->x + r * call->x_stride + i, last) : 0;
            call->out[r][c] = wide_sum(sums[r][c][0] + sums[r][c][1]) + rest;
        }
    }
}

/* Where there are registers for the sums of many, a value that was read serves several. A single
 * row takes its columns one by one, which is how they lie in memory. */
FORCED void dots_of(enum stored type, int64_t n, struct dots_call *call)
{
#if defined(__AVX512F__)
    if (call->columns == DOTS_COLUMNS && call->rows == DOTS_ROWS) {
        dots_block(type, DOTS_ROWS, DOTS_COLUMNS, n, call);
        return;
    }
    if (call->columns == DOTS_COLUMNS && call->rows == DOTS_ROWS - 1) {
        dots_block(type, DOTS_ROWS - 1, DOTS_COLUMNS, n, call);
        return;
    }
#endif
    struct dots_call one = *call;
    for (int r = 0; r < call->rows; r++)
        for (int c = 0; c < call->columns; c++) {
            one.x = call->x + r * call->x_stride;
            one.y = (const char *)call->y + c * call->y_stride * (type == STORED_FLOAT ? 4 : 2);
            dots_block(type, 1, 1, n, &one);
            call->out[r][c] = one.out[0][0];
        }
}

static void dots(int64_t n, struct dots_call *call)
{
    dots_of(STORED_FLOAT, n, call);
}

static void dots_bfloat(int64_t n, struct dots_call *call)
{
    dots_of(STORED_BFLOAT, n, call);
}

static void dots_half(int64_t n, struct dots_call *call)
{
    dots_of(STORED_HALF, n, call);
}

static float sum(int64_t n, const float *x)
{
    wide_f32 a = {0}, b = {0};
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        a += *(const wide_f32 *)(x + i);
        b += *(const wide_f32 *)(x + i + LANES);
    }
    float rest = 0;
    for (; i < n; i++)
        rest += x[i];
    return wide_sum(a + b) + rest;
}

static double sum_squares(int64_t n, const float *x)
{
    double partial[LANES] = {0}, total = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++)
            partial[j] += (double)x[i + j] * (double)x[i + j];
    for (int j = 0; j < LANES; j++)
        total += partial[j];
    for (; i < n; i++)
        total += (double)x[i] * (double)x[i];
    return total;
}

static float maximum(int64_t n, const float *x)
{
    float partial[LANES], most = x[0];
    int64_t i = 0;
    if (n >= LANES) {
        for (int j = 0; j < LANES; j++)
            partial[j] = x[j];
        for (i = LANES; i + LANES <= n; i += LANES)
            for (int j = 0; j < LANES; j++)
                partial[j] = x[i + j] > partial[j] ? x[i + j] : partial[j];
        for (int j = 0; j < LANES; j++)
            most = partial[j] > most ? partial[j] : most;
    }
    for (; i < n; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

static void axpy(int64_t n, float a, const float *restrict x, float *restrict y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

static void scale(int64_t n, float a, const float *x, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = a * x[i];
}

static void add(int64_t n, const float *x, const float *y, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = x[i] + y[i];
}

static void multiply(int64_t n, const float *x, const float *y, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = x[i] * y[i];
}

/* exp by 2^n * exp(r), |r| <= ln(2) / 2, a polynomial of degree 6; about 1 ulp. Below -87.3 the
 * result is 0, above 88.7 infinity; NaN stays NaN. Written in vectors because the compiler makes
 * branches of the bounds in a loop over single values, and then no vector code. */
VECTOR exp_lanes(lanes_f32 x)
{
    lanes_f32 zero = {0}, least = zero - 87.3f, most = zero + 88.8f;
    lanes_i32 none = x < least;
    lanes_f32 bounded = choose(none, least, x);
    bounded = choose(bounded > most, most, bounded);
    lanes_f32 scaled = bounded * 1.44269504f;
    lanes_i32 n = __builtin_convertvector(scaled + choose(scaled < zero, zero - 0.5f, zero + 0.5f),
                                          lanes_i32);
    lanes_f32 whole = __builtin_convertvector(n, lanes_f32);
    lanes_f32 r = bounded - whole * 0.693359375f;
    r = r + whole * 2.12194440e-4f;
    lanes_f32 p = 1.3981999507e-3f + r * 1.9875691500e-4f;
    p = 8.3334519073e-3f + r * p;
    p = 4.1665795894e-2f + r * p;
    p = 1.6666665459e-1f + r * p;
    p = 5.0000001201e-1f + r * p;
    p = 1.0f + r + r * r * p;
    /* In two factors, so that 2^128 does not overflow the exponent field too early. */
    lanes_i32 upper = n >> 1, lower = n - upper;
    p = p * (lanes_f32)((upper + 127) << 23);
    p = p * (lanes_f32)((lower + 127) << 23);
    return (lanes_f32)(~none & (lanes_i32)p);
}

static float exp_sum(int64_t n, const float *x, float a, float shift, float *y)
{
    int64_t i = 0;
    for (; i + NATIVE <= n; i += NATIVE)
        *(lanes_f32 *)(y + i) = exp_lanes(a * (load(x + i) - shift));
    if (i < n)
        store_rest(y + i, exp_lanes(a * (load_rest(x + i, n - i) - shift)), n - i);
    return sum(n, y);
}

static float log_sum_exp(int64_t n, const float *x)
{
    float most = maximum(n, x), total = 0, part[256];
    for (int64_t i = 0; i < n; i += 256) {
        int64_t count = n - i < 256 ? n - i : 256;
        total += exp_sum(count, x + i, 1.0f, most, part);
    }
    return most + logf(total);
}

static void norm(int64_t n, const struct norm_row *row, const float *bias, float *y)
{
    const float *x = row->x, *weight = row->weight;
    float mean = row->mean, inverse = row->inverse;
    if (bias)
        for (int64_t i = 0; i < n; i++)
            y[i] = (x[i] - mean) * inverse * weight[i] + bias[i];
    else
        for (int64_t i = 0; i < n; i++)
            y[i] = (x[i] - mean) * inverse * weight[i];
}

/* With u = (x - mean) * inverse and g = weight * dy:
 * dx = inverse * (g - mean(g) [centered] - u * mean(g * u)). */
static void norm_backward(int64_t n, const struct norm_row *row, const float *dy, float *dx,
                          bool adds, float *weight_gradient, float *bias_gradient)
{
    const float *x = row->x, *weight = row->weight;
    float mean = row->mean, inverse = row->inverse;
    if (weight_gradient)
        for (int64_t i = 0; i < n; i++)
            weight_gradient[i] += dy[i] * ((x[i] - mean) * inverse);
    if (bias_gradient)
        for (int64_t i = 0; i < n; i++)
            bias_gradient[i] += dy[i];
    if (!dx)
        return;
    wide_f32 along = {0}, level = {0};
    int64_t i = 0;
    float along_rest = 0, level_rest = 0;
    for (; i + LANES <= n; i += LANES) {
        wide_f32 g = *(const wide_f32 *)(weight + i) * *(const wide_f32 *)(dy + i);
        along += g * (*(const wide_f32 *)(x + i) - mean);
        level += g;
    }
    for (; i < n; i++) {
        along_rest += weight[i] * dy[i] * (x[i] - mean);
        level_rest += weight[i] * dy[i];
    }
    float count = (float)n;
    float slope = (wide_sum(along) + along_rest) * inverse * inverse / count;
    float offset = row->centered ? (wide_sum(level) + level_rest) / count : 0.0f;
    if (adds)
        for (i = 0; i < n; i++)
            dx[i] += inverse * (weight[i] * dy[i] - offset - (x[i] - mean) * slope);
    else
        for (i = 0; i < n; i++)
            dx[i] = inverse * (weight[i] * dy[i] - offset - (x[i] - mean) * slope);
}

VECTOR sigmoid_lanes(lanes_f32 x)
{
    return 1.0f / (1.0f + exp_lanes(-x));
}

/* The normal distribution function: Abramowitz and Stegun 7.1.26, from the small tail, so that it
 * stays accurate for negative x. `density` is exp(-x^2 / 2). */
VECTOR normal_lanes(lanes_f32 x, lanes_f32 density)
{
    lanes_f32 zero = {0};
    lanes_f32 z = (lanes_f32)((lanes_i32)x & 0x7fffffff) * 0.70710678f;
    lanes_f32 t = 1.0f / (1.0f + 0.3275911f * z);
    lanes_f32 p = -1.453152027f + t * 1.061405429f;
    p = 1.421413741f + t * p;
    p = -0.284496736f + t * p;
    p = 0.254829592f + t * p;
    lanes_f32 tail = 0.5f * t * p * density;
    return choose(x < zero, tail, 1.0f - tail);
}

VECTOR gelu_lanes(bool tanh_form, lanes_f32 x)
{
    if (tanh_form) /* x/2 (1 + tanh(u)) = x sigmoid(2 u) */
        return x * sigmoid_lanes(1.59576912f * (x + 0.044715f * x * x * x));
    return x * normal_lanes(x, exp_lanes(-0.5f * x * x));
}

VECTOR gelu_slope_lanes(bool tanh_form, lanes_f32 x)
{
    if (tanh_form) {
        lanes_f32 s = sigmoid_lanes(1.59576912f * (x + 0.044715f * x * x * x));
        return s + x * s * (1.0f - s) * 1.59576912f * (1.0f + 0.134145f * x * x);
    }
    lanes_f32 density = exp_lanes(-0.5f * x * x);
    return normal_lanes(x, density) + x * density * 0.39894228f;
}

VECTOR activate_lanes(enum activation f, lanes_f32 x)
{
    switch (f) {
    case ACTIVATION_SILU:
        return x * sigmoid_lanes(x);
    case ACTIVATION_GELU:
        return gelu_lanes(false, x);
    case ACTIVATION_GELU_TANH:
        return gelu_lanes(true, x);
    case ACTIVATION_RELU:
        return (lanes_f32)(~(x <= 0.0f) & (lanes_i32)x); /* NaN stays NaN */
    case ACTIVATION_SIGMOID:
        break;
    }
    return sigmoid_lanes(x);
}

VECTOR slope_lanes(enum activation f, lanes_f32 x)
{
    lanes_f32 s = sigmoid_lanes(x);
    switch (f) {
    case ACTIVATION_SILU:
        return s * (1.0f + x * (1.0f - s));
    case ACTIVATION_GELU:
        return gelu_slope_lanes(false, x);
    case ACTIVATION_GELU_TANH:
        return gelu_slope_lanes(true, x);
    case ACTIVATION_RELU:
        return (lanes_f32)(~(x <= 0.0f) & (lanes_i32)(x * 0.0f + 1.0f));
    case ACTIVATION_SIGMOID:
        break;
    }
    return s * (1.0f - s);
}

/* Each loop is made once for every function, so that none of them asks which one within it. */
#define FOR_ACTIVATION(f, body)                                                                    \
    switch (f) {                                                                                   \
    case ACTIVATION_SILU:                                                                          \
        body(ACTIVATION_SILU);                                                                     \
        break;                                                                                     \
    case ACTIVATION_GELU:                                                                          \
        body(ACTIVATION_GELU);                                                                     \
        break;                                                                                     \
    case ACTIVATION_GELU_TANH:                                                                     \
        body(ACTIVATION_GELU_TANH);                                                                \
        break;                                                                                     \
    case ACTIVATION_RELU:                                                                          \
        body(ACTIVATION_RELU);                                                                     \
        break;                                                                                     \
    case ACTIVATION_SIGMOID:                                                                       \
        body(ACTIVATION_SIGMOID);                                                                  \
        break;                                                                                     \
    }

static inline __attribute__((always_inline)) void activate_all(int64_t n, enum activation f,
                                                               const float *x, float *y)
{
    int64_t i = 0;
    for (; i + NATIVE <= n; i += NATIVE)
        *(lanes_f32 *)(y + i) = activate_lanes(f, load(x + i));
    if (i < n)
        store_rest(y + i, activate_lanes(f, load_rest(x + i, n - i)), n - i);
}

static void activate(int64_t n, enum activation f, const float *x, float *y)
{
#define BODY(kind) activate_all(n, kind, x, y)
    FOR_ACTIVATION(f, BODY)
#undef BODY
}

static inline __attribute__((always_inline)) void
activate_all_backward(int64_t n, enum activation f, const float *x, const float *dy, float *dx,
                      bool adds)
{
    int64_t i = 0;
    for (; i + NATIVE <= n; i += NATIVE) {
        lanes_f32 slope = load(dy + i) * slope_lanes(f, load(x + i));
        if (adds)
            slope += load(dx + i);
        *(lanes_f32 *)(dx + i) = slope;
    }
    if (i < n) {
        lanes_f32 slope = load_rest(dy + i, n - i) * slope_lanes(f, load_rest(x + i, n - i));
        if (adds)
            slope += load_rest(dx + i, n - i);
        store_rest(dx + i, slope, n - i);
    }
}

static void activate_backward(int64_t n, enum activation f, const float *x, const float *dy,
                              float *dx, bool adds)
{
#define BODY(kind) activate_all_backward(n, kind, x, dy, dx, adds)
    FOR_ACTIVATION(f, BODY)
#undef BODY
}

static inline __attribute__((always_inline)) void
gated_all(int64_t n, enum activation f, const float *gate, const float *up, float *out)
{
    int64_t i = 0;
    for (; i + NATIVE <= n; i += NATIVE)
        *(lanes_f32 *)(out + i) = activate_lanes(f, load(gate + i)) * load(up + i);
    if (i < n)
        store_rest(out + i,
                   activate_lanes(f, load_rest(gate + i, n - i)) * load_rest(up + i, n - i), n - i);
}

static void gated(int64_t n, enum activation f, const float *gate, const float *up, float *out)
{
#define BODY(kind) gated_all(n, kind, gate, up, out)
    FOR_ACTIVATION(f, BODY)
#undef BODY
}

static inline __attribute__((always_inline)) void
gated_all_backward(int64_t n, enum activation f, const float *gate, const float *up,
                   const float *dy, float *gate_gradient, float *up_gradient, bool adds)
{
    int64_t i = 0;
    for (; i + NATIVE <= n; i += NATIVE) {
        lanes_f32 g = load(gate + i), d = load(dy + i);
        lanes_f32 slope = d * load(up + i) * slope_lanes(f, g), share = d * activate_lanes(f, g);
        if (adds) {
            slope += load(gate_gradient + i);
            share += load(up_gradient + i);
        }
        *(lanes_f32 *)(gate_gradient + i) = slope;
        *(lanes_f32 *)(up_gradient + i) = share;
    }
    if (i < n) {
        lanes_f32 g = load_rest(gate + i, n - i), d = load_rest(dy + i, n - i);
        lanes_f32 slope = d * load_rest(up + i, n - i) * slope_lanes(f, g);
        lanes_f32 share = d * activate_lanes(f, g);
        if (adds) {
            slope += load_rest(gate_gradient + i, n - i);
            share += load_rest(up_gradient + i, n - i);
        }
        store_rest(gate_gradient + i, slope, n - i);
        store_rest(up_gradient + i, share, n - i);
    }
}

static void gated_backward(int64_t n, enum activation f, const float *gate, const float *up,
                           const float *dy, float *gate_gradient, float *up_gradient, bool adds)
{
#define BODY(kind) gated_all_backward(n, kind, gate, up, dy, gate_gradient, up_gradient, adds)
    FOR_ACTIVATION(f, BODY)
#undef BODY
}

/* tanh(u) = 2 sigmoid(2 u) - 1. */
static void softcap(int64_t n, float cap, const float *x, float *y)
{
    float twice = 2.0f / cap;
    int64_t i = 0;
    for (; i + NATIVE <= n; i += NATIVE)
        *(lanes_f32 *)(y + i) = cap * (2.0f * sigmoid_lanes(twice * load(x + i)) - 1.0f);
    if (i < n)
        store_rest(y + i, cap * (2.0f * sigmoid_lanes(twice * load_rest(x + i, n - i)) - 1.0f),
                   n - i);
}

static void rotate(int64_t half, const float *cosines, const float *sines, float sign, float *x)
{
    float *restrict low = x, *restrict high = x + half;
    for (int64_t j = 0; j < half; j++) {
        float a = low[j], b = high[j], s = sign * sines[j];
        low[j] = a * cosines[j] - b * s;
        high[j] = b * cosines[j] + a * s;
    }
}

static void adamw(int64_t n, const struct adamw_update *u, const float *restrict gradient,
                  float *restrict first, float *restrict second, float *restrict values)
{
    float beta1 = u->beta1, beta2 = u->beta2, rate = u->rate * u->correction1;
    float keep = 1.0f - u->decay, correction2 = u->correction2, epsilon = u->epsilon;
    float gradient_scale = u->gradient_scale;
    for (int64_t i = 0; i < n; i++) {
        float g = gradient[i] * gradient_scale;
        float m = beta1 * first[i] + (1.0f - beta1) * g;
        float v = beta2 * second[i] + (1.0f - beta2) * g * g;
        first[i] = m;
        second[i] = v;
        values[i] = values[i] * keep - rate * m / (sqrtf(v) * correction2 + epsilon);
    }
}

static void momentum(int64_t n, float rate, float beta, float decay, float gradient_scale,
                     const float *restrict gradient, float *restrict velocity,
                     float *restrict values)
{
    for (int64_t i = 0; i < n; i++) {
        velocity[i] = beta * velocity[i] + gradient_scale * gradient[i];
        values[i] -= rate * velocity[i] + decay * values[i];
    }
}

static void key_scores(int64_t width, const float *query, const float *keys, float *scores)
{
    lanes_f32 sums[KEY_LANES / NATIVE] = {0};
    for (int64_t d = 0; d < width; d++, keys += KEY_LANES)
        for (int i = 0; i < KEY_LANES / NATIVE; i++)
            sums[i] += query[d] * load(keys + i * NATIVE);
    for (int i = 0; i < KEY_LANES / NATIVE; i++)
        *(lanes_f32 *)(scores + i * NATIVE) = sums[i];
}

static void mix_rows(int64_t count, int64_t width, const float *weights, const float *rows,
                     float *out)
{
    int64_t j = 0;
    for (; j + 2 * NATIVE <= width; j += 2 * NATIVE) {
        lanes_f32 low = load(out + j), high = load(out + j + NATIVE);
        for (int64_t i = 0; i < count; i++) {
            low += weights[i] * load(rows + i * width + j);
            high += weights[i] * load(rows + i * width + j + NATIVE);
        }
        *(lanes_f32 *)(out + j) = low;
        *(lanes_f32 *)(out + j + NATIVE) = high;
    }
    for (; j < width; j++) {
        float sum = out[j];
        for (int64_t i = 0; i < count; i++)
            sum += weights[i] * rows[i * width + j];
        out[j] = sum;
    }
}

static void widen_bytes(int64_t n, const int8_t *codes, float scale, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = scale * (float)codes[i];
}

static void widen_scaled(int64_t n, const int8_t *codes, const float *scales, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = scales[i] * (float)codes[i];
}

static void widen_bfloat(int64_t n, const uint16_t *x, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = bfloat_to_float(x[i]);
}

static void widen_half(int64_t n, const uint16_t *x, float *y)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        wide_of_halves(x + i, (wide_f32 *)(y + i));
    for (; i < n; i++)
        y[i] = half_to_float(x[i]);
}

static void narrow_half(int64_t n, const float *x, uint16_t *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = half_from_float(x[i]);
}

const struct row_kernels JOIN(row_kernels_, SUFFIX) = {
    .dot = dot,
    .sum_squares = sum_squares,
    .sum = sum,
    .maximum = maximum,
    .axpy = axpy,
    .scale = scale,
    .add = add,
    .multiply = multiply,
    .exp_sum = exp_sum,
    .log_sum_exp = log_sum_exp,
    .norm = norm,
    .norm_backward = norm_backward,
    .activate = activate,
    .activate_backward = activate_backward,
    .gated = gated,
    .gated_backward = gated_backward,
    .softcap = softcap,
    .rotate = rotate,
    .adamw = adamw,
    .momentum = momentum,
    .key_scores = key_scores,
    .mix_rows = mix_rows,
    .widen_bytes = widen_bytes,
    .widen_scaled = widen_scaled,
    .dots = dots,
    .dots_bfloat = dots_bfloat,
    .dots_half = dots_half,
    .widen_bfloat = widen_bfloat,
    .widen_half = widen_half,
    .narrow_half = narrow_half,
};
