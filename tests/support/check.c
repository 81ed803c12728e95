/* See check.h. */
#include "support/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

#define PROBES 24 /* input values per array whose derivative is taken */

float *check_normal(uint32_t stream, int64_t count, double scale)
{
    float *values = malloc((size_t)(count + 1) * sizeof *values);
    assert_non_null(values);
    random_fill_normal((struct random_address){7, RANDOM_TEST, 0, stream}, 0, count, (float)scale,
                       values);
    return values;
}

void check_close(const char *what, const float *got, const double *want, int64_t count,
                 double tolerance, double least)
{
    double size = least;
    for (int64_t i = 0; i < count; i++)
        size = fmax(size, fabs(want[i]));
    for (int64_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - want[i]) <= tolerance * size))
            fail_msg("%s: value %lld is %.9g, should be %.9g (largest %.3g)", what, (long long)i,
                     (double)got[i], want[i], size);
}

/* loss = sum of weight * y, so that any output gradient can be put in. */
struct weigh_node {
    struct tape_node node;
    struct tensor *y;
    const float *weights;
};

static void weigh_back(struct tape *tape, struct tape_node *node)
{
    struct weigh_node *n = (struct weigh_node *)node;
    bool add;
    float *gradient = tape_gradient(tape, n->y, &add);
    for (int64_t i = 0; gradient && i < tensor_count(n->y); i++)
        gradient[i] = (add ? gradient[i] : 0) + n->weights[i] * node->output->gradient[0];
}

static struct tensor *weigh(struct tape *tape, struct tensor *y, const float *weights)
{
    struct tensor *loss = tape_tensor(tape, 0, NULL);
    assert_non_null(loss);
    loss->data[0] = 0;
    struct weigh_node *n = tape_push(tape, sizeof *n, loss, weigh_back);
    assert_non_null(n);
    n->y = y;
    n->weights = weights;
    return loss;
}

struct check_state {
    const struct check_op *op;
    float *values[CHECK_INPUTS], *directions[CHECK_INPUTS], *gradients[CHECK_INPUTS];
    double *wide[CHECK_INPUTS];
    float *weights;
    double *output, *other;
};

static double weighted(const struct check_state *s, const double *output)
{
    double sum = 0;
    for (int64_t i = 0; i < s->op->outputs; i++)
        sum += (double)s->weights[i] * output[i];
    return sum;
}

static double reference_loss(const struct check_state *s)
{
    s->op->reference(s->op->shape, (const double *const *)s->wide, s->other);
    return weighted(s, s->other);
}

static void make_state(const struct check_op *op, struct check_state *s)
{
    *s = (struct check_state){.op = op};
    for (int i = 0; i < op->inputs; i++) {
        double scale = op->scales[i] > 0 ? op->scales[i] : 1;
        s->values[i] = check_normal(10 + (uint32_t)i, op->counts[i], scale);
        s->directions[i] = check_normal(20 + (uint32_t)i, op->counts[i], 1);
        s->gradients[i] = check_normal(30 + (uint32_t)i, op->counts[i], 1);
        s->wide[i] = malloc((size_t)(op->counts[i] + 1) * sizeof(double));
        for (int64_t j = 0; j < op->counts[i]; j++)
            s->wide[i][j] = s->values[i][j];
    }
    s->weights = check_normal(40, op->outputs, 1);
    s->output = malloc((size_t)op->outputs * sizeof(double));
    s->other = malloc((size_t)op->outputs * sizeof(double));
    op->reference(op->shape, (const double *const *)s->wide, s->output);
}

static void free_state(struct check_state *s)
{
    for (int i = 0; i < s->op->inputs; i++) {
        free(s->values[i]);
        free(s->directions[i]);
        free(s->gradients[i]);
        free(s->wide[i]);
    }
    free(s->weights);
    free(s->output);
    free(s->other);
}

static void wrap_inputs(const struct check_state *s, struct tensor *tensors, struct tensor **inputs,
                        float **copies)
{
    for (int i = 0; i < s->op->inputs; i++) {
        size_t bytes = (size_t)(s->op->counts[i] + 1) * sizeof(float);
        copies[i] = memcpy(malloc(bytes), s->values[i], bytes);
        tensors[i] = (struct tensor){.rank = 1, .shape = {s->op->counts[i]}, .data = copies[i]};
        inputs[i] = &tensors[i];
    }
}

/* Derivatives of a few values of each input by central differences of the reference. */
static void check_gradients(struct compute *compute, struct check_state *s, bool parameters)
{
    const struct check_op *op = s->op;
    double tolerance = op->tolerance > 0 ? op->tolerance : 1e-4;
    struct tensor tensors[CHECK_INPUTS], *inputs[CHECK_INPUTS];
    float *copies[CHECK_INPUTS], *gradients[CHECK_INPUTS];
    wrap_inputs(s, tensors, inputs, copies);
    struct tape tape;
    tape_init(&tape, compute);
    tape.recording = true;
    for (int i = 0; i < op->inputs; i++) {
        size_t bytes = (size_t)(op->counts[i] + 1) * sizeof(float);
        gradients[i] = memcpy(malloc(bytes), s->gradients[i], bytes);
        tensors[i].trains = true;
        tensors[i].parameter = parameters;
        tensors[i].gradient = parameters ? gradients[i] : NULL;
    }
    struct tensor *y = op->build(&tape, op->shape, inputs);
    assert_non_null(y);
    assert_int_equal(tensor_count(y), op->outputs);
    check_close(op->name, y->data, s->output, op->outputs, tolerance, 1e-3);
    tape_backward(&tape, op->outputs == 1 ? y : weigh(&tape, y, s->weights));
    assert_int_equal(tape_check(&tape, NULL), STATUS_OK);
    double factor = op->outputs == 1 ? 1 / (double)s->weights[0] : 1;
    for (int i = 0; i < op->inputs; i++) {
        double want[PROBES];
        float got[PROBES];
        int probes = 0;
        int64_t step = op->counts[i] / PROBES + 1;
        for (int64_t j = 0; j < op->counts[i] && probes < PROBES; j += step, probes++) {
            double at = s->wide[i][j], size = 1e-5 * fmax(1, fabs(at));
            s->wide[i][j] = at + size;
            double up = reference_loss(s);
            s->wide[i][j] = at - size;
            double down = reference_loss(s);
            s->wide[i][j] = at;
            want[probes] = (up - down) / (2 * size) * factor;
            got[probes] = tensors[i].gradient[j] - (parameters ? s->gradients[i][j] : 0);
        }
        char what[96];
        snprintf(what, sizeof what, "%s, gradient of input %d", op->name, i);
        /* Adding to numbers around 1 costs digits of small gradients. */
        check_close(what, got, want, probes, tolerance, parameters ? 0.1 : 1e-2);
    }
    tape_free(&tape);
    for (int i = 0; i < op->inputs; i++) {
        free(copies[i]);
        free(gradients[i]);
    }
}

static void check_tangent(struct compute *compute, struct check_state *s)
{
    const struct check_op *op = s->op;
    struct tensor tensors[CHECK_INPUTS], *inputs[CHECK_INPUTS];
    float *copies[CHECK_INPUTS];
    wrap_inputs(s, tensors, inputs, copies);
    struct tape tape;
    tape_init(&tape, compute);
    tape.forward_mode = true;
    for (int i = 0; i < op->inputs; i++) {
        size_t bytes = (size_t)(op->counts[i] + 1) * sizeof(float);
        tensors[i].tangent = memcpy(tape_alloc(&tape, bytes), s->directions[i], bytes);
    }
    struct tensor *y = op->build(&tape, op->shape, inputs);
    assert_non_null(y);
    assert_non_null(y->tangent);
    double *want = malloc((size_t)op->outputs * sizeof *want), size = 1e-5;
    for (int sign = 1; sign >= -1; sign -= 2) {
        for (int i = 0; i < op->inputs; i++)
            for (int64_t j = 0; j < op->counts[i]; j++)
                s->wide[i][j] = s->values[i][j] + sign * size * s->directions[i][j];
        op->reference(op->shape, (const double *const *)s->wide, s->other);
        for (int64_t k = 0; k < op->outputs; k++)
            want[k] = sign > 0 ? s->other[k] : (want[k] - s->other[k]) / (2 * size);
    }
    for (int i = 0; i < op->inputs; i++)
        for (int64_t j = 0; j < op->counts[i]; j++)
            s->wide[i][j] = s->values[i][j];
    char what[96];
    snprintf(what, sizeof what, "%s, tangent", op->name);
    check_close(what, y->tangent, want, op->outputs, op->tolerance > 0 ? op->tolerance : 1e-4,
                1e-2);
    free(want);
    tape_free(&tape);
    for (int i = 0; i < op->inputs; i++)
        free(copies[i]);
}

void check_op(struct compute *compute, const struct check_op *op)
{
    struct check_state state;
    make_state(op, &state);
    check_gradients(compute, &state, false);
    check_gradients(compute, &state, true);
    check_tangent(compute, &state);
    free_state(&state);
}

void check_levels(void (*test)(struct compute *compute))
{
    const char *const levels[] = {"baseline", "avx2", "avx512", "full"};
    for (int i = 0; i < 4; i++) {
        setenv("ADZE_CPU", levels[i], 1);
        for (int threads = 1; threads <= 3; threads += 2) {
            struct compute compute;
            assert_int_equal(compute_create(threads, MATMUL_F32, &compute, NULL), STATUS_OK);
            test(&compute);
            compute_free(&compute);
        }
    }
    unsetenv("ADZE_CPU");
}
