/* The row kernels, written once. A file per instruction set defines SUFFIX and includes this; the
 * loops are shaped for the compiler to make vector code of them. */
#include <math.h>

#include "base/half.h"
#include "tensor/kernels/row_kernels.h"

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define LANES 16

typedef float wide_f32 __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static inline float wide_sum(wide_f32 v)
{
    float half[8], quarter[4];
    for (int i = 0; i < 8; i++)
        half[i] = v[i] + v[i + 8];
    for (int i = 0; i < 4; i++)
        quarter[i] = half[i] + half[i + 4];
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
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
    float rest = 0;
    for (; i < n; i++)
        rest += x[i] * y[i];
    return wide_sum((a + b) + (c + d)) + rest;
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
 * result is 0, above 88.7 infinity; NaN stays NaN. */
static inline float exp_lane(float x)
{
    float bounded = x < -87.3f ? -87.3f : x;
    bounded = bounded > 88.8f ? 88.8f : bounded;
    float scaled = bounded * 1.44269504f;
    int32_t n = (int32_t)(scaled + (scaled < 0 ? -0.5f : 0.5f));
    float whole = (float)n;
    float r = bounded - whole * 0.693359375f;
    r = r + whole * 2.12194440e-4f;
    float p = 1.3981999507e-3f + r * 1.9875691500e-4f;
    p = 8.3334519073e-3f + r * p;
    p = 4.1665795894e-2f + r * p;
    p = 1.6666665459e-1f + r * p;
    p = 5.0000001201e-1f + r * p;
    p = 1.0f + r + r * r * p;
    /* In two factors, so that 2^128 does not overflow the exponent field too early. */
    int32_t upper = n / 2, lower = n - upper;
    p = p * half_float_of_bits((uint32_t)(upper + 127) << 23);
    p = p * half_float_of_bits((uint32_t)(lower + 127) << 23);
    return x < -87.3f ? 0.0f : p;
}

static float exp_sum(int64_t n, const float *x, float a, float shift, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = exp_lane(a * (x[i] - shift));
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

static inline float sigmoid_lane(float x)
{
    return 1.0f / (1.0f + exp_lane(-x));
}

static void swiglu(int64_t n, const float *gate, const float *up, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = gate[i] * sigmoid_lane(gate[i]) * up[i];
}

static void swiglu_backward(int64_t n, const float *gate, const float *up, const float *dy,
                            float *gate_gradient, float *up_gradient, bool adds)
{
    if (!adds)
        for (int64_t i = 0; i < n; i++) {
            float s = sigmoid_lane(gate[i]), g = gate[i], d = dy[i], u = up[i];
            up_gradient[i] = d * g * s;
            gate_gradient[i] = d * u * s * (1.0f + g * (1.0f - s));
        }
    else
        for (int64_t i = 0; i < n; i++) {
            float s = sigmoid_lane(gate[i]), g = gate[i], d = dy[i], u = up[i];
            up_gradient[i] += d * g * s;
            gate_gradient[i] += d * u * s * (1.0f + g * (1.0f - s));
        }
}

/* The normal distribution function: Abramowitz and Stegun 7.1.26, from the small tail, so that it
 * stays accurate for negative x. `density` is exp(-x^2 / 2). */
static inline float normal_lane(float x, float density)
{
    float z = fabsf(x) * 0.70710678f;
    float t = 1.0f / (1.0f + 0.3275911f * z);
    float p = -1.453152027f + t * 1.061405429f;
    p = 1.421413741f + t * p;
    p = -0.284496736f + t * p;
    p = 0.254829592f + t * p;
    float tail = 0.5f * t * p * density;
    return x < 0 ? tail : 1.0f - tail;
}

static inline float gelu_lane(bool tanh_form, float x)
{
    if (tanh_form) /* x/2 (1 + tanh(u)) = x sigmoid(2 u) */
        return x * sigmoid_lane(1.59576912f * (x + 0.044715f * x * x * x));
    return x * normal_lane(x, exp_lane(-0.5f * x * x));
}

static inline float gelu_slope_lane(bool tanh_form, float x)
{
    if (tanh_form) {
        float s = sigmoid_lane(1.59576912f * (x + 0.044715f * x * x * x));
        return s + x * s * (1.0f - s) * 1.59576912f * (1.0f + 0.134145f * x * x);
    }
    float density = exp_lane(-0.5f * x * x);
    return normal_lane(x, density) + x * density * 0.39894228f;
}

static void gelu(int64_t n, bool tanh_form, const float *x, float *y)
{
    if (tanh_form)
        for (int64_t i = 0; i < n; i++)
            y[i] = gelu_lane(true, x[i]);
    else
        for (int64_t i = 0; i < n; i++)
            y[i] = gelu_lane(false, x[i]);
}

static void gelu_backward(int64_t n, bool tanh_form, const float *x, const float *dy, float *dx,
                          bool adds)
{
    float slope[256];
    for (int64_t i = 0; i < n; i += 256) {
        int64_t count = n - i < 256 ? n - i : 256;
        if (tanh_form)
            for (int64_t j = 0; j < count; j++)
                slope[j] = gelu_slope_lane(true, x[i + j]);
        else
            for (int64_t j = 0; j < count; j++)
                slope[j] = gelu_slope_lane(false, x[i + j]);
        for (int64_t j = 0; j < count; j++)
            dx[i + j] = (adds ? dx[i + j] : 0.0f) + dy[i + j] * slope[j];
    }
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

static void widen_bfloat(int64_t n, const uint16_t *x, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = bfloat_to_float(x[i]);
}

static void widen_half(int64_t n, const uint16_t *x, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = half_to_float(x[i]);
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
    .swiglu = swiglu,
    .swiglu_backward = swiglu_backward,
    .gelu = gelu,
    .gelu_backward = gelu_backward,
    .rotate = rotate,
    .adamw = adamw,
    .momentum = momentum,
    .widen_bfloat = widen_bfloat,
    .widen_half = widen_half,
};
