/* Adapters of low rank: the op against a reference in double precision over frozen weights of
 * several formats, and the whole decoder with them: what is kept or computed again changes no bit,
 * and what is merged is what was attached. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "model/adapters.h"
#include "support/check.h"
#include "weight/formats.h"

/* The op. */

struct shape {
    int64_t rows, columns, outputs, rank;
    struct weight weight; /* frozen */
    const float *values;  /* the same, unpacked */
    int adapters;         /* into which the change is cut: one is computed along with the layer */
};

static void adapter_reference(const void *argument, const double *const *in, double *out)
{
    const struct shape *s = argument;
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t o = 0; o < s->outputs; o++) {
            double sum = in[3][r * s->outputs + o];
            for (int64_t j = 0; j < s->columns; j++) {
                double w = (double)s->values[o * s->columns + j];
                for (int64_t k = 0; k < s->rank; k++)
                    w += 0.75 * in[2][o * s->rank + k] * in[1][k * s->columns + j];
                sum += in[0][r * s->columns + j] * w;
            }
            out[r * s->outputs + o] = sum;
        }
}

static struct tensor *as_matrix(struct tensor *t, int64_t rows, int64_t columns)
{
    t->rank = 2;
    t->shape[0] = rows;
    t->shape[1] = columns;
    return t;
}

/* A weight over a tensor of the test, with a gradient of its own that both share. */
static struct weight *trained(struct tape *tape, struct tensor *t, int64_t rows, int64_t columns)
{
    struct weight *weight = tape_alloc(tape, sizeof *weight);
    *weight = weight_over_f32(t->data, rows, columns);
    if (t->trains && !t->gradient) {
        t->gradient = tape_alloc(tape, (size_t)(rows * columns) * sizeof(float));
        memset(t->gradient, 0, (size_t)(rows * columns) * sizeof(float));
    }
    weight->tensor = *as_matrix(t, rows, columns);
    return weight;
}

static struct tensor *adapter_build(struct tape *tape, const void *argument,
                                    struct tensor *const *in)
{
    const struct shape *s = argument;
    struct adapter *adapter = tape_alloc(tape, 2 * sizeof *adapter);
    adapter[0] = (struct adapter){.a = trained(tape, in[1], s->rank, s->columns),
                                  .b = trained(tape, in[2], s->outputs, s->rank),
                                  .scale = 0.75f / (float)s->adapters};
    adapter[1] = adapter[0];
    adapter[0].next = s->adapters > 1 ? &adapter[1] : NULL;
    struct weight *weight = tape_alloc(tape, sizeof *weight);
    *weight = s->weight;
    struct linear layer = {.weight = weight, .adapter = adapter};
    return op_linear(tape, as_matrix(in[0], s->rows, s->columns), &layer,
                     as_matrix(in[3], s->rows, s->outputs));
}

static void test_op(struct compute *compute)
{
    const struct weight_format *const formats[] = {&weight_f32, &weight_bf16, &weight_q4_1,
                                                   &weight_q8_0};
    const int64_t sizes[][3] = {{1, 1, 1}, {3, 7, 2}, {15, 31, 8}, {40, 70, 5}};
    for (int f = 0; f < 4; f++)
        for (int i = 0; i < 8; i++) {
            struct shape s = {.rows = sizes[i / 2][0],
                              .columns = 64,
                              .outputs = sizes[i / 2][1],
                              .rank = sizes[i / 2][2],
                              .adapters = 1 + i % 2};
            float *values = check_normal(77, s.outputs * s.columns, 0.5);
            unsigned char *packed = malloc((size_t)(s.outputs * s.columns) * 4);
            formats[f]->pack(values, s.outputs * s.columns, packed);
            formats[f]->unpack(packed, s.outputs * s.columns, values);
            s.weight = weight_over_f32(values, s.outputs, s.columns);
            s.weight.format = formats[f];
            s.weight.data = packed;
            s.weight.tensor.data = NULL;
            s.values = values;
            check_op(compute, &(struct check_op){.name = "adapter",
                                                 .inputs = 4,
                                                 .counts = {s.rows * s.columns, s.rank * s.columns,
                                                            s.outputs * s.rank, s.rows * s.outputs},
                                                 .outputs = s.rows * s.outputs,
                                                 .reference = adapter_reference,
                                                 .build = adapter_build,
                                                 .shape = &s});
            free(packed);
            free(values);
        }
}

static void op_matches_the_reference_over_frozen_weights(void **state)
{
    (void)state;
    check_levels(test_op);
}

enum { FROZEN_ROWS = 37, FROZEN_COLUMNS = 64, FROZEN_OUTPUTS = 45, FROZEN_RANK = 4 };

/* Gradients of A and B, behind one another, where the layer's input wants one or does not. */
static void factor_gradients(struct compute *compute, bool input_trains, float *gradients)
{
    float *x = check_normal(1, FROZEN_ROWS * FROZEN_COLUMNS, 1);
    float *w = check_normal(2, FROZEN_OUTPUTS * FROZEN_COLUMNS, 1);
    float *a = check_normal(3, FROZEN_RANK * FROZEN_COLUMNS, 1);
    float *b = check_normal(4, FROZEN_OUTPUTS * FROZEN_RANK, 1);
    struct weight weight = weight_over_f32(w, FROZEN_OUTPUTS, FROZEN_COLUMNS);
    struct weight first = weight_over_f32(a, FROZEN_RANK, FROZEN_COLUMNS);
    struct weight second = weight_over_f32(b, FROZEN_OUTPUTS, FROZEN_RANK);
    memset(gradients, 0, (FROZEN_RANK * (FROZEN_COLUMNS + FROZEN_OUTPUTS)) * sizeof *gradients);
    first.tensor.trains = first.tensor.parameter = true;
    second.tensor.trains = second.tensor.parameter = true;
    first.tensor.gradient = gradients;
    second.tensor.gradient = gradients + FROZEN_RANK * FROZEN_COLUMNS;
    struct tensor input = {.rank = 2, .shape = {FROZEN_ROWS, FROZEN_COLUMNS}, .data = x};
    input.trains = input_trains;
    struct adapter adapter = {.a = &first, .b = &second, .scale = 2};
    struct linear layer = {.weight = &weight, .adapter = &adapter};
    int32_t ids[FROZEN_ROWS];
    for (int i = 0; i < FROZEN_ROWS; i++)
        ids[i] = i;
    struct loss_target target = {.ids = ids, .scale = 1};
    float *identity = calloc(FROZEN_OUTPUTS * FROZEN_OUTPUTS, sizeof *identity);
    for (int i = 0; i < FROZEN_OUTPUTS; i++)
        identity[i * FROZEN_OUTPUTS + i] = 0.1f;
    struct weight table = weight_over_f32(identity, FROZEN_OUTPUTS, FROZEN_OUTPUTS);
    struct logit_head head = {.linear.weight = &table, .scale = 1};
    struct tape tape;
    tape_init(&tape, compute);
    tape.recording = true;
    struct tensor *y = op_linear(&tape, &input, &layer, NULL);
    tape_backward(&tape, op_cross_entropy(&tape, y, &head, &target));
    assert_int_equal(tape_check(&tape, NULL), STATUS_OK);
    tape_free(&tape);
    free(identity);
    free(x);
    free(w);
    free(a);
    free(b);
}

static void test_frozen_input(struct compute *compute)
{
    enum { COUNT = FROZEN_RANK * (FROZEN_COLUMNS + FROZEN_OUTPUTS) };
    float with[COUNT], without[COUNT];
    double want[COUNT], size = 0;
    factor_gradients(compute, true, with);
    factor_gradients(compute, false, without);
    for (int i = 0; i < COUNT; i++) {
        want[i] = (double)with[i];
        size += fabs(want[i]);
    }
    assert_true(size > 1);
    check_close("gradients below a frozen input", without, want, COUNT, 1e-5, 1e-3);
}

static void factors_train_where_the_input_does_not(void **state)
{
    (void)state;
    check_levels(test_frozen_input);
}

/* The decoder. */

enum { VOCABULARY = 50, WINDOW = 16, ROWS = 3 };

struct fixture {
    struct compute compute;
    struct tape tape;
    struct decoder decoder;
    struct adapters adapters;
    int32_t tokens[ROWS * WINDOW], targets[ROWS * WINDOW];
    float weights[ROWS * WINDOW];
};

static void set_up(struct fixture *f, bool gpt2)
{
    *f = (struct fixture){0};
    assert_int_equal(compute_create(2, MATMUL_F32, &f->compute, NULL), STATUS_OK);
    tape_init(&f->tape, &f->compute);
    struct decoder_config config = gpt2 ? decoder_config_gpt2(VOCABULARY, WINDOW, 32, 3, 4)
                                        : decoder_config_llama(VOCABULARY, WINDOW, 32, 3, 4);
    config.dropout = 0.2;
    assert_int_equal(decoder_create_random(&config, 5, &f->decoder, NULL), STATUS_OK);
    struct adapter_settings settings = {
        .rank = 4, .alpha = 8, .dropout = 0.3, .targets = (1U << LINEARS) - 1};
    assert_int_equal(adapters_create(&settings, &f->decoder, &f->adapters, NULL), STATUS_OK);
    assert_int_equal(adapters_declare_all(&f->adapters, &f->decoder, NULL), STATUS_OK);
    assert_int_equal(adapters_allocate(&f->adapters, NULL), STATUS_OK);
    adapters_draw(&f->adapters, 3);
    for (int i = 0; i < ROWS * WINDOW; i++) {
        f->tokens[i] = i * 7 % VOCABULARY;
        f->targets[i] = (i * 11 + 3) % VOCABULARY;
        f->weights[i] = i % 3 == 0 ? 0 : 1;
    }
}

static void tear_down(struct fixture *f)
{
    decoder_free(&f->decoder);
    adapters_free(&f->adapters);
    tape_free(&f->tape);
    compute_free(&f->compute);
}

static float run(struct fixture *f, bool trains)
{
    struct decoder_batch batch = {.batch = ROWS, .length = WINDOW, .tokens = f->tokens};
    struct loss_target target = {.ids = f->targets, .weights = f->weights, .scale = 0.03};
    tape_reset(&f->tape);
    f->tape.recording = f->tape.training = trains;
    struct tensor *loss = decoder_loss(&f->decoder, &f->tape, &batch, &target);
    assert_non_null(loss);
    if (trains)
        tape_backward(&f->tape, loss);
    assert_int_equal(tape_check(&f->tape, NULL), STATUS_OK);
    return loss->data[0];
}

/* Gradients with and without checkpoints, of the model itself or of its adapters. */
static void check_checkpoints(bool gpt2, bool adapted)
{
    struct fixture f;
    set_up(&f, gpt2);
    struct parameters *p = adapted ? &f.adapters.parameters : &f.decoder.parameters;
    assert_int_equal(parameters_train(p, NULL), STATUS_OK);
    if (adapted)
        adapters_attach(&f.adapters, &f.decoder, 1);
    for (int i = 0; adapted && i < f.adapters.count; i++)
        random_fill_normal((struct random_address){1, RANDOM_TEST, 0, (uint32_t)i}, 0,
                           tensor_count(&f.adapters.items[i].adapter.b->tensor), 0.1f,
                           f.adapters.items[i].adapter.b->tensor.data);
    size_t bytes = (size_t)p->total * sizeof(float);
    float kept = run(&f, true);
    float *gradients = malloc(bytes);
    memcpy(gradients, p->gradients, bytes);
    memset(p->gradients, 0, bytes);
    size_t whole = f.tape.activations.peak;
    tape_free(&f.tape);
    tape_init(&f.tape, &f.compute);
    f.decoder.checkpoints = true;
    float again = run(&f, true);
    double norm = 0;
    for (int64_t i = 0; i < p->total; i++)
        norm += fabs((double)gradients[i]);
    assert_true(norm > 0);
    assert_true(kept == again);
    assert_memory_equal(gradients, p->gradients, bytes);
    assert_true(f.tape.activations.peak < whole * 2 / 3);
    free(gradients);
    tear_down(&f);
}

static void checkpoints_change_memory_but_no_bit(void **state)
{
    (void)state;
    for (int form = 0; form < 4; form++)
        check_checkpoints(form % 2 == 1, form >= 2);
}

static void fresh_adapters_change_nothing_and_merged_ones_what_they_did(void **state)
{
    (void)state;
    for (int form = 0; form < 2; form++) {
        struct fixture f;
        set_up(&f, form == 1);
        float before = run(&f, false);
        adapters_attach(&f.adapters, &f.decoder, 1);
        assert_true(run(&f, false) == before);
        random_fill_normal((struct random_address){1, RANDOM_TEST, 0, 0}, 0,
                           f.adapters.parameters.total, 0.2f, f.adapters.parameters.values);
        float attached = run(&f, false);
        assert_true(fabsf(attached - before) > 1e-3f);
        struct arena owner = {0};
        assert_int_equal(adapters_merge(&f.decoder, NULL, &owner, NULL, NULL), STATUS_OK);
        float merged = run(&f, false);
        if (fabsf(merged - attached) > 1e-5f)
            fail_msg("loss %g with adapters attached, %g with them merged", (double)attached,
                     (double)merged);
        tear_down(&f);
        arena_free(&owner);
    }
}

static void strengths_of_several_sets_add_up(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, false);
    random_fill_normal((struct random_address){1, RANDOM_TEST, 0, 0}, 0,
                       f.adapters.parameters.total, 0.2f, f.adapters.parameters.values);
    adapters_attach(&f.adapters, &f.decoder, 1);
    float once = run(&f, false);
    adapters_detach(&f.decoder);
    struct adapters half;
    assert_int_equal(adapters_create(&f.adapters.settings, &f.decoder, &half, NULL), STATUS_OK);
    assert_int_equal(adapters_declare_all(&half, &f.decoder, NULL), STATUS_OK);
    assert_int_equal(adapters_allocate(&half, NULL), STATUS_OK);
    memcpy(half.parameters.values, f.adapters.parameters.values,
           (size_t)half.parameters.total * sizeof(float));
    adapters_attach(&f.adapters, &f.decoder, 0.25);
    adapters_attach(&half, &f.decoder, 0.75);
    assert_true(fabsf(run(&f, false) - once) < 1e-5f);
    adapters_free(&half);
    tear_down(&f);
}

static void names_of_layers_are_checked(void **state)
{
    (void)state;
    uint32_t targets;
    struct error error;
    assert_int_equal(adapters_parse_targets("query,down", &targets, NULL), STATUS_OK);
    assert_int_equal(targets, 1U << LINEAR_QUERY | 1U << LINEAR_DOWN);
    assert_int_equal(adapters_parse_targets("all-linear", &targets, NULL), STATUS_OK);
    assert_int_equal(targets, (1U << LINEARS) - 1);
    assert_int_equal(adapters_parse_targets("query,no", &targets, &error), STATUS_USAGE);
    assert_non_null(strstr(error.message, "'no'"));
    assert_int_equal(adapters_parse_targets("", &targets, &error), STATUS_USAGE);
}

static void values_are_counted(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, false);
    int64_t counted = 0;
    for (int i = 0; i < f.adapters.parameters.count; i++)
        counted += tensor_count(&f.adapters.parameters.items[i].weight.tensor);
    assert_int_equal(counted, adapters_values(&f.adapters.settings, &f.decoder.config));
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(op_matches_the_reference_over_frozen_weights),
        cmocka_unit_test(factors_train_where_the_input_does_not),
        cmocka_unit_test(checkpoints_change_memory_but_no_bit),
        cmocka_unit_test(fresh_adapters_change_nothing_and_merged_ones_what_they_did),
        cmocka_unit_test(strengths_of_several_sets_add_up),
        cmocka_unit_test(names_of_layers_are_checked),
        cmocka_unit_test(values_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
