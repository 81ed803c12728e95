/* Every op of the decoder against its definition in double precision: values, gradients against
 * central differences, tangents; over odd shapes, on every CPU level. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "tensor/ops.h"
#include "weight/ops.h"

struct shape {
    int64_t rows, columns, outputs;
    bool flag, residual;
    int variant;
};

static struct tensor *as_matrix(struct tensor *t, int64_t rows, int64_t columns)
{
    t->rank = 2;
    t->shape[0] = rows;
    t->shape[1] = columns;
    return t;
}

/* Norms. */

static void norm_reference(const void *argument, const double *const *in, double *out)
{
    const struct shape *s = argument;
    for (int64_t r = 0; r < s->rows; r++) {
        const double *x = in[0] + r * s->columns;
        double mean = 0, square = 0;
        for (int64_t j = 0; s->flag && j < s->columns; j++)
            mean += x[j] / (double)s->columns;
        for (int64_t j = 0; j < s->columns; j++)
            square += (x[j] - mean) * (x[j] - mean) / (double)s->columns;
        for (int64_t j = 0; j < s->columns; j++)
            out[r * s->columns + j] =
                (x[j] - mean) / sqrt(square + 1e-5) * in[1][j] + (s->flag ? in[2][j] : 0);
    }
}

static struct tensor *norm_build(struct tape *tape, const void *argument, struct tensor *const *in)
{
    const struct shape *s = argument;
    struct tensor *x = as_matrix(in[0], s->rows, s->columns);
    return s->flag ? op_layer_norm(tape, x, in[1], in[2], 1e-5f)
                   : op_rms_norm(tape, x, in[1], 1e-5f);
}

static void test_norms(struct compute *compute)
{
    const int64_t sizes[][2] = {{1, 1}, {3, 7}, {5, 16}, {33, 48}, {70, 131}};
    for (int i = 0; i < 5; i++)
        for (int flag = 0; flag < 2; flag++) {
            if (flag && sizes[i][1] == 1)
                continue; /* layer norm of one value is constant */
            struct shape s = {.rows = sizes[i][0], .columns = sizes[i][1], .flag = flag};
            check_op(compute,
                     &(struct check_op){.name = flag ? "layer norm" : "rms norm",
                                        .inputs = flag ? 3 : 2,
                                        .counts = {s.rows * s.columns, s.columns, s.columns},
                                        .outputs = s.rows * s.columns,
                                        .reference = norm_reference,
                                        .build = norm_build,
                                        .shape = &s});
        }
}

/* Linear. */

static void linear_reference(const void *argument, const double *const *in, double *out)
{
    const struct shape *s = argument;
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t o = 0; o < s->outputs; o++) {
            double sum = s->flag ? in[2][o] : 0;
            for (int64_t j = 0; j < s->columns; j++)
                sum += in[0][r * s->columns + j] * in[1][o * s->columns + j];
            if (s->residual)
                sum += in[3][r * s->outputs + o];
            out[r * s->outputs + o] = sum;
        }
}

static struct tensor *linear_build(struct tape *tape, const void *argument,
                                   struct tensor *const *in)
{
    const struct shape *s = argument;
    struct weight *weight = tape_alloc(tape, sizeof *weight);
    *weight = weight_over_f32(in[1]->data, s->outputs, s->columns);
    /* The test looks at in[1], the op at the weight's own tensor: they share the gradient. */
    weight->tensor = *as_matrix(in[1], s->outputs, s->columns);
    if (in[1]->trains && !in[1]->gradient) {
        in[1]->gradient = tape_alloc(tape, (size_t)tensor_count(in[1]) * sizeof(float));
        memset(in[1]->gradient, 0, (size_t)tensor_count(in[1]) * sizeof(float));
        weight->tensor.gradient = in[1]->gradient;
    }
    struct linear layer = {.weight = weight, .bias = s->flag ? in[2] : NULL};
    struct tensor *residual = s->residual ? as_matrix(in[3], s->rows, s->outputs) : NULL;
    return op_linear(tape, as_matrix(in[0], s->rows, s->columns), &layer, residual);
}

static void test_linear(struct compute *compute)
{
    const int64_t sizes[][3] = {{1, 1, 1}, {2, 5, 3}, {7, 33, 17}, {15, 64, 31}, {40, 70, 129}};
    for (int i = 0; i < 5; i++)
        for (int form = 0; form < 2; form++) {
            struct shape s = {.rows = sizes[i][0],
                              .columns = sizes[i][1],
                              .outputs = sizes[i][2],
                              .flag = form == 1,
                              .residual = form == 1};
            check_op(compute,
                     &(struct check_op){.name = "linear",
                                        .inputs = form ? 4 : 2,
                                        .counts = {s.rows * s.columns, s.outputs * s.columns,
                                                   s.outputs, s.rows * s.outputs},
                                        .outputs = s.rows * s.outputs,
                                        .reference = linear_reference,
                                        .build = linear_build,
                                        .shape = &s});
        }
}

/* Activations. */

static double gelu_exact(double x)
{
    return 0.5 * x * (1 + erf(x / sqrt(2)));
}

static double gelu_tanh(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* Variants 0 to 4: the activations; 5 to 9: the same as gates; then a sum, a scale, a view. */
enum { ACTIVATIONS = 5, VARIANT_ADD = 2 * ACTIVATIONS, VARIANT_SCALE, VARIANT_VIEW, VARIANTS };

static double activation_of(enum activation f, double x)
{
    const double values[] = {
        [ACTIVATION_SILU] = x * sigmoid(x),    [ACTIVATION_GELU] = gelu_exact(x),
        [ACTIVATION_GELU_TANH] = gelu_tanh(x), [ACTIVATION_RELU] = x > 0 ? x : 0,
        [ACTIVATION_SIGMOID] = sigmoid(x),
    };
    return values[f];
}

static void activation_reference(const void *argument, const double *const *in, double *out)
{
    const struct shape *s = argument;
    for (int64_t i = 0; i < s->rows * s->columns; i++) {
        double x = in[0][i];
        if (s->variant < VARIANT_ADD)
            out[i] = activation_of((enum activation)(s->variant % ACTIVATIONS), x) *
                     (s->variant < ACTIVATIONS ? 1 : in[1][i]);
        else
            out[i] = s->variant == VARIANT_ADD     ? x + in[1][i]
                     : s->variant == VARIANT_SCALE ? -1.75 * x
                                                   : activation_of(ACTIVATION_SILU, x);
    }
}

static struct tensor *activation_build(struct tape *tape, const void *argument,
                                       struct tensor *const *in)
{
    const struct shape *s = argument;
    if (s->variant < ACTIVATIONS)
        return op_activate(tape, (enum activation)s->variant, in[0]);
    if (s->variant < VARIANT_ADD)
        return op_gated(tape, (enum activation)(s->variant - ACTIVATIONS), in[0], in[1]);
    if (s->variant == VARIANT_ADD)
        return op_add(tape, in[0], in[1]);
    if (s->variant == VARIANT_SCALE)
        return op_scale(tape, in[0], -1.75);
    int64_t shape[] = {1, tensor_count(in[0])};
    struct tensor *view = op_view(tape, op_activate(tape, ACTIVATION_SILU, in[0]), 2, shape);
    return op_view(tape, view, 1, shape + 1);
}

static void test_activations(struct compute *compute)
{
    for (int variant = 0; variant < VARIANTS; variant++)
        for (int64_t count = 1; count < 9000; count = count * 3 + 10) {
            struct shape s = {.rows = 1, .columns = count, .variant = variant};
            bool two = variant >= ACTIVATIONS && variant <= VARIANT_ADD;
            check_op(compute, &(struct check_op){.name = "activation",
                                                 .inputs = two ? 2 : 1,
                                                 .counts = {count, count},
                                                 .scales = {2},
                                                 .outputs = count,
                                                 .reference = activation_reference,
                                                 .build = activation_build,
                                                 .shape = &s});
        }
}

/* Rotary positions: 2 heads of width `outputs`, of which `variant` values are rotated, rows at
 * positions 3, 2, 1, 0, 3, ... */

static void rope_reference(const void *argument, const double *const *in, double *out)
{
    const struct shape *s = argument;
    int64_t width = s->outputs, half = s->variant / 2;
    memcpy(out, in[0], (size_t)(s->rows * s->columns) * sizeof *out);
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t h = 0; h < 2; h++)
            for (int64_t j = 0; j < half; j++) {
                double angle = (double)(3 - r % 4) * pow(100, -(double)j / (double)half);
                int64_t at = r * 2 * width + h * width + j;
                double a = in[0][at], b = in[0][at + half];
                out[at] = a * cos(angle) - b * sin(angle);
                out[at + half] = b * cos(angle) + a * sin(angle);
            }
}

static struct tensor *rope_build(struct tape *tape, const void *argument, struct tensor *const *in)
{
    const struct shape *s = argument;
    int64_t half = s->variant / 2;
    float *cosines = tape_alloc(tape, (size_t)(4 * half) * sizeof(float));
    float *sines = tape_alloc(tape, (size_t)(4 * half) * sizeof(float));
    int32_t *position = tape_alloc(tape, (size_t)s->rows * sizeof(int32_t));
    struct rope_table *table = tape_alloc(tape, sizeof *table);
    for (int64_t i = 0; i < 4 * half; i++) {
        double angle = (double)(i / half) * pow(100, -(double)(i % half) / (double)half);
        cosines[i] = (float)cos(angle);
        sines[i] = (float)sin(angle);
    }
    for (int64_t r = 0; r < s->rows; r++)
        position[r] = (int32_t)(3 - r % 4);
    *table = (struct rope_table){cosines, sines, 4, s->outputs, s->variant};
    return op_rope(tape, as_matrix(in[0], s->rows, 2 * s->outputs), 2, position, table);
}

static void test_rope(struct compute *compute)
{
    for (int64_t rows = 1; rows < 80; rows = rows * 4 + 1)
        for (int64_t width = 2; width < 70; width = width * 3 + 4) {
            int rotated = (int)(rows % 2 ? width : (width / 2 + 1) / 2 * 2);
            struct shape s = {
                .rows = rows, .columns = 2 * width, .outputs = width, .variant = rotated};
            check_op(compute, &(struct check_op){.name = "rope",
                                                 .inputs = 1,
                                                 .counts = {rows * 2 * width},
                                                 .outputs = rows * 2 * width,
                                                 .reference = rope_reference,
                                                 .build = rope_build,
                                                 .shape = &s});
        }
}

/* Embedding: ids 0, 3, 6, ... modulo the table's rows, so that some repeat. */

static void embedding_reference(const void *argument, const double *const *in, double *out)
{
    const struct shape *s = argument;
    for (int64_t i = 0; i < s->rows * s->columns; i++)
        out[i] = in[0][i / s->columns * 3 % s->outputs * s->columns + i % s->columns] + in[1][i];
}

static struct tensor *embedding_build(struct tape *tape, const void *argument,
                                      struct tensor *const *in)
{
    const struct shape *s = argument;
    struct weight *table = tape_alloc(tape, sizeof *table);
    int32_t *ids = tape_alloc(tape, (size_t)s->rows * sizeof *ids);
    for (int64_t i = 0; i < s->rows; i++)
        ids[i] = (int32_t)(i * 3 % s->outputs);
    *table = weight_over_f32(in[0]->data, s->outputs, s->columns);
    table->tensor = *as_matrix(in[0], s->outputs, s->columns);
    if (in[0]->trains && !in[0]->gradient) {
        in[0]->gradient = tape_alloc(tape, (size_t)tensor_count(in[0]) * sizeof(float));
        memset(in[0]->gradient, 0, (size_t)tensor_count(in[0]) * sizeof(float));
        table->tensor.gradient = in[0]->gradient;
    }
    return op_embedding(tape, table, ids, 1, s->rows, as_matrix(in[1], s->rows, s->columns));
}

static void test_embedding(struct compute *compute)
{
    for (int64_t rows = 1; rows < 100; rows = rows * 5 + 2)
        for (int64_t columns = 1; columns < 200; columns = columns * 8 + 3) {
            struct shape s = {.rows = rows, .columns = columns, .outputs = 11};
            check_op(compute, &(struct check_op){.name = "embedding",
                                                 .inputs = 2,
                                                 .counts = {11 * columns, rows * columns},
                                                 .outputs = rows * columns,
                                                 .reference = embedding_reference,
                                                 .build = embedding_build,
                                                 .shape = &s});
        }
}

/* Cross-entropy: row r predicts 5 r modulo V, with weight 0 on every third row. With `flag` the
 * logits are scaled and capped. */

static void loss_reference(const void *argument, const double *const *in, double *out)
{
    const struct shape *s = argument;
    out[0] = 0;
    double *logits = malloc((size_t)s->outputs * sizeof *logits);
    for (int64_t r = 0; r < s->rows; r++) {
        double sum = 0, weight = r % 3 == 2 ? 0 : 0.5 + (double)(r % 2);
        for (int64_t o = 0; o < s->outputs; o++) {
            logits[o] = 0;
            for (int64_t j = 0; j < s->columns; j++)
                logits[o] += in[0][r * s->columns + j] * in[1][o * s->columns + j];
            if (s->flag)
                logits[o] = 3 * tanh(0.7 * logits[o] / 3);
            sum += exp(logits[o]);
        }
        out[0] += 0.25 * weight * (log(sum) - logits[r * 5 % s->outputs]);
    }
    free(logits);
}

static struct tensor *loss_build(struct tape *tape, const void *argument, struct tensor *const *in)
{
    const struct shape *s = argument;
    struct weight *weight = tape_alloc(tape, sizeof *weight);
    int32_t *ids = tape_alloc(tape, (size_t)s->rows * sizeof *ids);
    float *weights = tape_alloc(tape, (size_t)s->rows * sizeof *weights);
    for (int64_t r = 0; r < s->rows; r++) {
        ids[r] = (int32_t)(r * 5 % s->outputs);
        weights[r] = r % 3 == 2 ? 0.0f : 0.5f + (float)(r % 2);
    }
    *weight = weight_over_f32(in[1]->data, s->outputs, s->columns);
    weight->tensor = *as_matrix(in[1], s->outputs, s->columns);
    if (in[1]->trains && !in[1]->gradient) {
        in[1]->gradient = tape_alloc(tape, (size_t)tensor_count(in[1]) * sizeof(float));
        memset(in[1]->gradient, 0, (size_t)tensor_count(in[1]) * sizeof(float));
        weight->tensor.gradient = in[1]->gradient;
    }
    struct logit_head head = {{.weight = weight}, s->flag ? 0.7f : 1.0f, s->flag ? 3.0f : 0.0f};
    struct loss_target target = {.ids = ids, .weights = weights, .scale = 0.25};
    return op_cross_entropy(tape, as_matrix(in[0], s->rows, s->columns), &head, &target);
}

static void test_cross_entropy(struct compute *compute)
{
    const int64_t sizes[][3] = {{1, 1, 2}, {3, 7, 5}, {17, 19, 33}, {66, 20, 300}, {5, 6, 2100}};
    for (int i = 0; i < 10; i++) {
        struct shape s = {.rows = sizes[i / 2][0],
                          .columns = sizes[i / 2][1],
                          .outputs = sizes[i / 2][2],
                          .flag = i % 2};
        check_op(compute, &(struct check_op){.name = "cross-entropy",
                                             .inputs = 2,
                                             .counts = {s.rows * s.columns, s.outputs * s.columns},
                                             .outputs = 1,
                                             .reference = loss_reference,
                                             .build = loss_build,
                                             .shape = &s});
    }
}

static void loss_in_chunks_equals_loss_at_once(void **state)
{
    (void)state;
    /* 3 million logits a row force several chunks of 64 rows. */
    struct compute compute;
    assert_int_equal(compute_create(0, MATMUL_F32, &compute, NULL), STATUS_OK);
    int64_t rows = 130, vocabulary = 140000, columns = 4;
    float *hidden = check_normal(1, rows * columns, 1);
    float *matrix = check_normal(2, vocabulary * columns, 1);
    struct weight weight = weight_over_f32(matrix, vocabulary, columns);
    struct logit_head head = {{.weight = &weight}, 1, 0};
    int32_t *ids = calloc((size_t)rows, sizeof *ids);
    struct loss_target target = {.ids = ids, .scale = 1};
    struct tape tape;
    tape_init(&tape, &compute);
    struct tensor x = {.rank = 2, .shape = {rows, columns}, .data = hidden};
    float whole = op_cross_entropy(&tape, &x, &head, &target)->data[0];
    double sum = 0;
    for (int64_t r = 0; r < rows; r++) {
        struct tensor one = {.rank = 2, .shape = {1, columns}, .data = hidden + r * columns};
        sum += op_cross_entropy(&tape, &one, &head, &target)->data[0];
    }
    assert_true(fabs(sum - whole) < 1e-5 * sum);
    tape_free(&tape);
    compute_free(&compute);
    free(ids);
    free(hidden);
    free(matrix);
}

static void dropout_drops_at_its_rate_and_keeps_the_mean(void **state)
{
    (void)state;
    struct compute compute;
    assert_int_equal(compute_create(2, MATMUL_F32, &compute, NULL), STATUS_OK);
    struct tape tape;
    tape_init(&tape, &compute);
    tape.training = tape.recording = true;
    int64_t count = 100003;
    float *values = malloc((size_t)count * sizeof *values);
    for (int64_t i = 0; i < count; i++)
        values[i] = 1;
    struct tensor x = {.rank = 1, .shape = {count}, .data = values, .trains = true};
    struct tensor *y = op_dropout(&tape, &x, 0.25), *z = op_dropout(&tape, &x, 0.25);
    int64_t zeros = 0, same = 0;
    for (int64_t i = 0; i < count; i++) {
        assert_true(y->data[i] == 0 || fabsf(y->data[i] - 4.0f / 3) < 1e-6f);
        zeros += y->data[i] == 0;
        same += (y->data[i] == 0) == (z->data[i] == 0);
    }
    assert_true(llabs(zeros - count / 4) < 1000);
    assert_true(llabs(same - count * 10 / 16) < 1000); /* independent masks */
    tape_free(&tape);
    compute_free(&compute);
    free(values);
}

static void ops_match_their_definitions(void **state)
{
    (void)state;
    check_levels(test_norms);
    check_levels(test_linear);
    check_levels(test_activations);
    check_levels(test_rope);
    check_levels(test_embedding);
    check_levels(test_cross_entropy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ops_match_their_definitions),
        cmocka_unit_test(loss_in_chunks_equals_loss_at_once),
        cmocka_unit_test(dropout_drops_at_its_rate_and_keeps_the_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
