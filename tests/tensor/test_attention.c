/* Attention in tiles against softmax written out in double precision, under every mask. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "tensor/ops.h"

static void reference_row(const struct attention_shape *s, const double *const *in, int64_t b,
                          int64_t h, int64_t t, double *out)
{
    int64_t width = s->head_width, kv = h / (s->heads / s->kv_heads), begin, end;
    const double *q = in[0] + ((b * s->queries + t) * s->heads + h) * width;
    double *y = out + ((b * s->queries + t) * s->heads + h) * width, sum = 0;
    memset(y, 0, (size_t)width * sizeof *y);
    attention_visible(s, b, t, &begin, &end);
    double *weights = malloc((size_t)(s->keys + 1) * sizeof *weights);
    for (int64_t j = begin; j < end; j++) {
        const double *k = in[1] + ((b * s->keys + j) * s->kv_heads + kv) * width;
        double score = 0;
        for (int64_t d = 0; d < width; d++)
            score += q[d] * k[d];
        score *= s->scale;
        score = s->softcap > 0 ? s->softcap * tanh(score / s->softcap) : score;
        weights[j] = exp(score);
        sum += weights[j];
    }
    for (int64_t j = begin; j < end; j++)
        for (int64_t d = 0; d < width; d++)
            y[d] += weights[j] / sum * in[2][((b * s->keys + j) * s->kv_heads + kv) * width + d];
    free(weights);
}

static void reference(const void *argument, const double *const *in, double *out)
{
    const struct attention_shape *s = argument;
    for (int64_t b = 0; b < s->batch; b++)
        for (int64_t h = 0; h < s->heads; h++)
            for (int64_t t = 0; t < s->queries; t++)
                reference_row(s, in, b, h, t, out);
}

static struct tensor *build(struct tape *tape, const void *argument, struct tensor *const *in)
{
    return op_attention(tape, in[0], in[1], in[2], argument);
}

static void check_shape(struct compute *compute, const struct attention_shape *s)
{
    check_op(compute, &(struct check_op){
                          .name = "attention",
                          .inputs = 3,
                          .counts = {s->batch * s->queries * s->heads * s->head_width,
                                     s->batch * s->keys * s->kv_heads * s->head_width,
                                     s->batch * s->keys * s->kv_heads * s->head_width},
                          .outputs = s->batch * s->queries * s->heads * s->head_width,
                          .reference = reference,
                          .build = build,
                          .shape = s,
                          .tolerance = compute->precision == MATMUL_BF16 ? 2e-2 : 0,
                      });
}

static void test_shapes(struct compute *compute)
{
    const struct attention_shape shapes[] = {
        {1, 1, 1, 1, 1, 2, .scale = 1, .causal = true},
        {2, 5, 5, 2, 1, 6, .scale = 0.4f, .causal = true},
        {1, 33, 33, 3, 3, 17, .scale = 0.3f, .causal = true},
        {2, 20, 20, 4, 2, 8, .scale = 0.3f},
        {1, 7, 40, 2, 2, 16, .scale = 0.2f, .causal = true, .offset = 33},
        {1, 31, 31, 2, 1, 10, .scale = 0.3f, .causal = true, .window = 6},
        {2, 21, 21, 2, 1, 10, .scale = 0.9f, .softcap = 1.5f, .causal = true},
    };
    /* Of a single key the gradients of the scores are 0: no place for a relative tolerance. */
    for (size_t i = compute->precision == MATMUL_BF16; i < sizeof shapes / sizeof *shapes; i++)
        check_shape(compute, &shapes[i]);
}

/* Documents of 1, 2, 3, ... tokens packed into each row; lengths that cut the second row. */
static void test_masks(struct compute *compute)
{
    int32_t start[2 * 45], lengths[2] = {45, 29};
    for (int b = 0; b < 2; b++) {
        int begin = 0, size = 1 + b;
        for (int t = 0; t < 45; t++) {
            if (t == begin + size) {
                begin = t;
                size++;
            }
            start[b * 45 + t] = begin;
        }
    }
    struct attention_shape packed = {
        2, 45, 45, 2, 2, 12, .scale = 0.3f, .causal = true, .segment_start = start};
    check_shape(compute, &packed);
    packed.segment_start = NULL;
    packed.lengths = lengths;
    packed.causal = false;
    check_shape(compute, &packed);
}

static void attention_matches_its_definition(void **state)
{
    (void)state;
    check_levels(test_shapes);
    check_levels(test_masks);
}

static void test_rounded(struct compute *compute)
{
    compute->precision = MATMUL_BF16;
    test_shapes(compute);
    test_masks(compute);
}

/* Operands of bfloat16 have 8 bits: with them the results are nearly the same. */
static void attention_in_bfloat_is_close(void **state)
{
    (void)state;
    check_levels(test_rounded);
}

/* More keys than a slab: the online softmax has to join slabs. */
static void long_sequences_match(void **state)
{
    (void)state;
    struct compute compute;
    assert_int_equal(compute_create(2, MATMUL_F32, &compute, NULL), STATUS_OK);
    struct attention_shape s = {
        1, 70, 1100, 2, 1, 8, .scale = 0.5f, .causal = true, .offset = 1030};
    check_shape(&compute, &s);
    s.window = 300;
    check_shape(&compute, &s);
    s.softcap = 2;
    check_shape(&compute, &s);
    s = (struct attention_shape){1, 9, 300, 1, 1, 200, .scale = 0.1f, .causal = false};
    check_shape(&compute, &s);
    compute.precision = MATMUL_BF16;
    s = (struct attention_shape){
        1, 71, 1101, 2, 1, 10, .scale = 0.3f, .causal = true, .offset = 1030};
    check_shape(&compute, &s);
    compute_free(&compute);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_matches_its_definition),
        cmocka_unit_test(attention_in_bfloat_is_close),
        cmocka_unit_test(long_sequences_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
