/* Optimizers against their formulas in double precision; schedules at their corners. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "support/check.h"

enum { TOTAL = 40000, SPLIT = 35000, STEPS = 12 };

struct reference {
    double *values, *first, *second;
};

static double gradient_at(int step, int i)
{
    return sin(0.1 * i + step) * (i % 7);
}

static void reference_step(struct reference *r, const struct optimizer_options *o, double rate,
                           int step)
{
    double norm = 0;
    for (int i = 0; i < TOTAL; i++)
        norm += gradient_at(step, i) * gradient_at(step, i);
    double clip = o->clip > 0 && sqrt(norm) > o->clip ? o->clip / sqrt(norm) : 1;
    for (int i = 0; i < TOTAL; i++) {
        double g = gradient_at(step, i) * clip, decay = i < SPLIT ? rate * o->decay : 0;
        if (o->kind == OPTIMIZER_SGD) {
            r->first[i] = o->momentum * r->first[i] + g;
            r->values[i] -= rate * r->first[i] + decay * r->values[i];
            continue;
        }
        r->first[i] = o->beta1 * r->first[i] + (1 - o->beta1) * g;
        r->second[i] = o->beta2 * r->second[i] + (1 - o->beta2) * g * g;
        double m = r->first[i] / (1 - pow(o->beta1, step + 1));
        double v = r->second[i] / (1 - pow(o->beta2, step + 1));
        r->values[i] = r->values[i] * (1 - decay) - rate * m / (sqrt(v) + o->epsilon);
    }
}

static void compare(struct compute *compute, const struct optimizer_options *options)
{
    const struct optimizer_span spans[] = {{0, SPLIT, true}, {SPLIT, TOTAL - SPLIT, false}};
    struct optimizer o;
    struct reference r = {calloc(TOTAL, sizeof(double)), calloc(TOTAL, sizeof(double)),
                          calloc(TOTAL, sizeof(double))};
    float *values = check_normal(1, TOTAL, 1), *gradients = calloc(TOTAL, sizeof *gradients);
    assert_int_equal(optimizer_create(options, spans, 2, TOTAL, &o, NULL), STATUS_OK);
    for (int i = 0; i < TOTAL; i++)
        r.values[i] = (double)values[i];
    for (int step = 0; step < STEPS; step++) {
        double rate = 0.01 / (step + 1);
        for (int i = 0; i < TOTAL; i++)
            gradients[i] = (float)gradient_at(step, i);
        double norm = optimizer_norm(&o, compute, gradients);
        optimizer_step(&o, compute, rate, norm, gradients, values);
        reference_step(&r, options, rate, step);
        for (int i = 0; i < TOTAL; i++)
            assert_true(gradients[i] == 0);
    }
    check_close("optimizer", values, r.values, TOTAL, 2e-6, 1);
    optimizer_free(&o);
    free(values);
    free(gradients);
    free(r.values);
    free(r.first);
    free(r.second);
}

static void test_level(struct compute *compute)
{
    compare(compute, &(struct optimizer_options){OPTIMIZER_ADAMW, 0.9, 0.95, 1e-8, 0, 0.1, 1});
    compare(compute, &(struct optimizer_options){OPTIMIZER_ADAMW, 0.8, 0.999, 1e-3, 0, 0, 0});
    compare(compute, &(struct optimizer_options){OPTIMIZER_SGD, 0, 0, 0, 0.9, 0.01, 5});
}

static void updates_follow_their_formulas(void **state)
{
    (void)state;
    check_levels(test_level);
}

static void schedules_rise_hold_and_fall(void **state)
{
    (void)state;
    struct schedule s = {
        .peak = 1, .floor_ratio = 0.1, .warmup = 10, .decay_fraction = 0.2, .total = 110};
    for (int kind = SCHEDULE_CONSTANT; kind <= SCHEDULE_WSD; kind++) {
        s.kind = (enum schedule_kind)kind;
        assert_true(fabs(schedule_rate(&s, 0) - 0.1) < 1e-12);
        assert_true(fabs(schedule_rate(&s, 9) - 1) < 1e-12);
        assert_true(fabs(schedule_rate(&s, 10) - 1) < 1e-12);
        double last = 2;
        for (int step = 10; step <= 110; step++) {
            double rate = schedule_rate(&s, step);
            assert_true(rate <= last && rate >= 0.1 - 1e-12);
            last = rate;
        }
        assert_true(fabs(last - (kind == SCHEDULE_CONSTANT ? 1 : 0.1)) < 1e-12);
    }
    s.kind = SCHEDULE_COSINE;
    assert_true(fabs(schedule_rate(&s, 60) - 0.55) < 1e-12);
    s.kind = SCHEDULE_LINEAR;
    assert_true(fabs(schedule_rate(&s, 35) - 0.775) < 1e-12);
    s.kind = SCHEDULE_WSD;
    assert_true(schedule_rate(&s, 87) == 1 && schedule_rate(&s, 99) < 1);
    assert_int_equal(schedule_kind_by_name("wsd"), SCHEDULE_WSD);
    assert_int_equal(schedule_kind_by_name("nothing"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(updates_follow_their_formulas),
        cmocka_unit_test(schedules_rise_hold_and_fall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
