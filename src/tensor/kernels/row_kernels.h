/* Kernels over rows of values, one table per instruction set. They are plain C in one template,
 * compiled once per set; sums keep 16 partial sums in a fixed order, so that their bits depend on
 * the instruction set alone. */
#ifndef TENSOR_KERNELS_ROW_KERNELS_H
#define TENSOR_KERNELS_ROW_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

/* One row of a norm: y = (x - mean) * inverse * weight + bias. */
struct norm_row {
    const float *x;
    const float *weight;
    float mean, inverse; /* mean is 0 for RMS norm */
    bool centered;       /* layer norm: the mean depends on x */
};

/* Functions of one value. GELU is x Phi(x), exact or by GPT-2's tanh approximation; SiLU x times
 * the sigmoid of x. */
enum activation {
    ACTIVATION_SILU,
    ACTIVATION_GELU,
    ACTIVATION_GELU_TANH,
    ACTIVATION_RELU,
    ACTIVATION_SIGMOID,
};

/* One AdamW update of a run of values (Loshchilov and Hutter 2019). */
struct adamw_update {
    float rate; /* learning rate */
    float beta1, beta2;
    float epsilon;
    float decay;          /* rate * weight decay */
    float correction1;    /* 1 / (1 - beta1^t) */
    float correction2;    /* 1 / sqrt(1 - beta2^t) */
    float gradient_scale; /* of clipping and averaging */
};

#define KEY_LANES 32
#define DOTS_ROWS 3
#define DOTS_COLUMNS 4

/* Strides are in values. */
struct dots_call {
    const float *x;
    const void *y;
    int64_t x_stride, y_stride;
    bool streamed;                      /* y comes from memory, and what lies behind it follows */
    int rows, columns;                  /* at most DOTS_ROWS, DOTS_COLUMNS */
    float out[DOTS_ROWS][DOTS_COLUMNS]; /* result */
};

struct row_kernels {
    float (*dot)(int64_t n, const float *x, const float *y);
    /* Dot products of a few x with a few y, each of which is the same bits whatever the others are.
     * y is stored as f32, or as bfloat16 or f16, which are widened as they are read. */
    void (*dots)(int64_t n, struct dots_call *call);
    void (*dots_bfloat)(int64_t n, struct dots_call *call);
    void (*dots_half)(int64_t n, struct dots_call *call);
    double (*sum_squares)(int64_t n, const float *x);
    float (*sum)(int64_t n, const float *x);
    float (*maximum)(int64_t n, const float *x);                 /* n > 0 */
    void (*axpy)(int64_t n, float a, const float *x, float *y);  /* y += a x */
    void (*scale)(int64_t n, float a, const float *x, float *y); /* y = a x; x may be y */
    void (*add)(int64_t n, const float *x, const float *y, float *out);
    void (*multiply)(int64_t n, const float *x, const float *y, float *out);

    /* y = exp(a (x - shift)), in place allowed; returns the sum. */
    float (*exp_sum)(int64_t n, const float *x, float a, float shift, float *y);
    /* log(sum(exp(x))). */
    float (*log_sum_exp)(int64_t n, const float *x);

    void (*norm)(int64_t n, const struct norm_row *row, const float *bias, float *y);
    /* dx (+)= gradient; weight and bias gradients are added, either may be NULL, so may dx. */
    void (*norm_backward)(int64_t n, const struct norm_row *row, const float *dy, float *dx,
                          bool add, float *weight_gradient, float *bias_gradient);

    /* y = f(x), and its gradient, overwritten or added to. */
    void (*activate)(int64_t n, enum activation f, const float *x, float *y);
    void (*activate_backward)(int64_t n, enum activation f, const float *x, const float *dy,
                              float *dx, bool add);
    /* out = f(gate) * up; and its gradients, overwritten or added to. */
    void (*gated)(int64_t n, enum activation f, const float *gate, const float *up, float *out);
    void (*gated_backward)(int64_t n, enum activation f, const float *gate, const float *up,
                           const float *dy, float *gate_gradient, float *up_gradient, bool add);
    /* y = cap tanh(x / cap); in place allowed. Its slope is 1 - (y / cap)^2. */
    void (*softcap)(int64_t n, float cap, const float *x, float *y);

    /* Rotates pairs (x[j], x[j + half]) by angles given as cosine and sine; sign -1 turns back. */
    void (*rotate)(int64_t half, const float *cosines, const float *sines, float sign, float *x);

    void (*adamw)(int64_t n, const struct adamw_update *update, const float *gradient, float *first,
                  float *second, float *values);
    /* velocity = momentum velocity + scale g; values -= rate velocity + decay values. */
    void (*momentum)(int64_t n, float rate, float momentum, float decay, float scale,
                     const float *gradient, float *velocity, float *values);

    /* For caches of keys, which keep KEY_LANES of them side by side: scores[i] = sum over d of
     * query[d] keys[d * KEY_LANES + i]. */
    void (*key_scores)(int64_t width, const float *query, const float *keys, float *scores);
    /* out += sum over i < count of weights[i] rows[i * width ...]. */
    void (*mix_rows)(int64_t count, int64_t width, const float *weights, const float *rows,
                     float *out);
    /* y = scale codes. */
    void (*widen_bytes)(int64_t n, const int8_t *codes, float scale, float *y);
    /* y[i] = scales[i] codes[i]. */
    void (*widen_scaled)(int64_t n, const int8_t *codes, const float *scales, float *y);

    void (*widen_bfloat)(int64_t n, const uint16_t *x, float *y);
    void (*widen_half)(int64_t n, const uint16_t *x, float *y);
    void (*narrow_half)(int64_t n, const float *x, uint16_t *y);
};

extern const struct row_kernels row_kernels_baseline;
#if defined(__x86_64__)
extern const struct row_kernels row_kernels_avx2, row_kernels_avx512;
#endif

#endif
