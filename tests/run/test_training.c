/* The trainer: no allocation in a steady state, micro-batches, resuming, breakdowns. */
#include <dlfcn.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/random.h"
#include "run/training.h"
#include "support/check.h"

/* Counting allocations: the C library's functions under the program's own names. Not with
 * sanitizers, which have their own. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTS 1
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static atomic_int allocations;

void *malloc(size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_memalign(alignment, size);
}
#endif

enum { VOCABULARY = 40, WINDOW = 16, BATCH = 6 };

struct fixture {
    char folder[64], shard_path[96], checkpoint[96];
    struct compute compute;
    struct model model;
    struct mixture mixture;
    struct training training;
};

static void set_up(struct fixture *f, int64_t steps, int64_t micro, double rate)
{
    memset(f, 0, sizeof *f);
    strcpy(f->folder, "/tmp/adze-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->shard_path, sizeof f->shard_path, "%s/a.tokens", f->folder);
    snprintf(f->checkpoint, sizeof f->checkpoint, "%s/checkpoint.safetensors", f->folder);
    struct shard_writer writer;
    assert_int_equal(shard_writer_open(&writer, f->shard_path, VOCABULARY, 1, NULL), STATUS_OK);
    for (int d = 0; d < 30; d++) { /* documents that count up, each from another number */
        int32_t ids[50];
        for (int i = 0; i < 50; i++)
            ids[i] = i == 49 ? 0 : 1 + (d * 7 + i) % (VOCABULARY - 1);
        assert_int_equal(shard_writer_add(&writer, ids, 50, 49, NULL), STATUS_OK);
    }
    assert_int_equal(shard_writer_close(&writer, NULL), STATUS_OK);
    assert_int_equal(compute_create(2, MATMUL_F32, &f->compute, NULL), STATUS_OK);
    struct decoder_config config = decoder_config_llama(VOCABULARY, WINDOW, 32, 2, 2);
    config.dropout = 0.1;
    assert_int_equal(decoder_create_random(&config, 3, &f->model.decoder, NULL), STATUS_OK);
    f->mixture = (struct mixture){.count = 1, .window = WINDOW, .seed = 4};
    f->mixture.sources[0].weight = f->mixture.sources[0].final_weight = 1;
    assert_int_equal(shard_open(f->shard_path, &f->mixture.sources[0].shard, NULL), STATUS_OK);
    f->training = (struct training){
        .model = &f->model,
        .compute = &f->compute,
        .mixture = &f->mixture,
        .held_out = &f->mixture.sources[0].shard,
        .held_count = 1,
        .options = {.batch = BATCH,
                    .micro_batch = micro,
                    .window = WINDOW,
                    .steps = steps,
                    .optimizer = {OPTIMIZER_ADAMW, 0.9, 0.95, 1e-8, 0, 0.1, 1},
                    .schedule = {.kind = SCHEDULE_COSINE, .peak = rate, .floor_ratio = 0.1},
                    .warmup_share = 0.1,
                    .seed = 5,
                    .checkpoint_seconds = 1e9,
                    .settings = "{}"},
        .checkpoint = f->checkpoint,
    };
    assert_int_equal(training_create(&f->training, NULL), STATUS_OK);
}

static void tear_down(struct fixture *f)
{
    training_free(&f->training);
    shard_close(&f->mixture.sources[0].shard);
    model_free(&f->model);
    compute_free(&f->compute);
    assert_int_equal(file_remove_tree(f->folder, NULL), STATUS_OK);
}

static void training_learns(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, 150, 0, 0.01);
    assert_int_equal(training_run(&f.training, NULL), STATUS_OK);
    assert_true(f.training.last_evaluation.loss < 0.3); /* log(40) = 3.7 at first */
    tear_down(&f);
}

#ifdef COUNTS
static atomic_int seen_at_step[64];

static void note_allocations(void *context, const struct training_report *report)
{
    (void)context;
    if (report->step < 64)
        atomic_store(&seen_at_step[report->step], atomic_load(&allocations));
}
#endif

static void a_steady_step_allocates_nothing(void **state)
{
    (void)state;
#ifdef COUNTS
    struct fixture f;
    set_up(&f, 20, 2, 0.001);
    f.training.checkpoint = NULL;
    f.training.on_step = note_allocations;
    assert_int_equal(training_run(&f.training, NULL), STATUS_OK);
    assert_true(atomic_load(&allocations) > 0);
    assert_int_equal(seen_at_step[19] - seen_at_step[3], 0);
    tear_down(&f);
#else
    skip();
#endif
}

/* Dropout masks are drawn per micro-batch, so this is compared without. */
static void micro_batches_give_the_whole_batch_s_gradient(void **state)
{
    (void)state;
    struct fixture f[2];
    for (int i = 0; i < 2; i++) {
        set_up(&f[i], 5, i ? 1 : BATCH, 0.001);
        f[i].model.decoder.config.dropout = 0;
        double loss;
        assert_int_equal(mixture_next(&f[i].mixture, BATCH, &f[i].training.rows, NULL), STATUS_OK);
        assert_int_equal(training_gradients(&f[i].training, &loss, NULL), STATUS_OK);
    }
    const float *a = f[0].model.decoder.parameters.gradients;
    const float *b = f[1].model.decoder.parameters.gradients;
    double size = 0;
    for (int64_t i = 0; i < f[0].model.decoder.parameters.total; i++)
        size = fmax(size, fabs((double)a[i]));
    for (int64_t i = 0; i < f[0].model.decoder.parameters.total; i++)
        assert_true(fabs((double)a[i] - (double)b[i]) < 1e-5 * size);
    tear_down(&f[0]);
    tear_down(&f[1]);
}

/* The gradient of one example is that of a batch of one row, and a random projection of it needs no
 * matrix in memory: its rows are made again block by block from their address. */
static void an_example_s_gradient_is_projected_without_a_matrix(void **state)
{
    (void)state;
    enum { RANK = 6, BLOCK = 97 };
    struct fixture f;
    set_up(&f, 5, BATCH, 0.001);
    f.model.decoder.config.dropout = 0;
    struct parameters *p = &f.model.decoder.parameters;
    float *sum = calloc((size_t)p->total, sizeof *sum), block[BLOCK];
    struct mixture_rows *rows = &f.training.rows;
    assert_int_equal(mixture_next(&f.mixture, BATCH, rows, NULL), STATUS_OK);
    double weight = 0;
    for (int i = 0; i < BATCH * WINDOW; i++)
        weight += (double)rows->weights[i];
    for (int example = 0; example < BATCH; example++) {
        int64_t at = example * WINDOW;
        struct decoder_batch batch = {1, WINDOW, rows->tokens + at, rows->positions + at,
                                      rows->segment_start + at};
        struct loss_target target = {
            .ids = rows->targets + at, .weights = rows->weights + at, .scale = 1 / weight};
        memset(p->gradients, 0, (size_t)p->total * sizeof *p->gradients);
        tape_reset(&f.training.tape);
        f.training.tape.recording = true;
        tape_backward(&f.training.tape,
                      decoder_loss(&f.model.decoder, &f.training.tape, &batch, &target));
        for (uint32_t j = 0; j < RANK; j++) {
            struct random_address address = {3, RANDOM_PROJECTION, 0, j};
            double blocked = 0, plain = 0, size = 0;
            for (int64_t i = 0; i < p->total; i += BLOCK) {
                int64_t count = p->total - i < BLOCK ? p->total - i : BLOCK;
                random_fill_normal(address, (uint64_t)i, count, 1, block);
                blocked += (double)f.compute.kernels->dot(count, block, p->gradients + i);
            }
            for (int64_t i = 0; i < p->total; i++) {
                double part = random_normal(address, (uint64_t)i) * (double)p->gradients[i];
                plain += part;
                size += fabs(part);
            }
            assert_true(size > 0 && fabs(blocked - plain) < 1e-5 * size);
        }
        for (int64_t i = 0; i < p->total; i++)
            sum[i] += p->gradients[i];
    }
    double loss, most = 0;
    memset(p->gradients, 0, (size_t)p->total * sizeof *p->gradients);
    assert_int_equal(training_gradients(&f.training, &loss, NULL), STATUS_OK);
    for (int64_t i = 0; i < p->total; i++)
        most = fmax(most, fabs((double)sum[i]));
    for (int64_t i = 0; i < p->total; i++)
        assert_true(fabs((double)sum[i] - (double)p->gradients[i]) < 1e-5 * most);
    free(sum);
    tear_down(&f);
}

static volatile sig_atomic_t stop_now;

static void stop_at_seven(void *context, const struct training_report *report)
{
    (void)context;
    stop_now = report->step == 7;
}

static void a_stopped_run_goes_on_bit_for_bit(void **state)
{
    (void)state;
    struct fixture whole, part, rest;
    set_up(&whole, 20, 2, 0.01);
    assert_int_equal(training_run(&whole.training, NULL), STATUS_OK);
    set_up(&part, 20, 2, 0.01);
    part.training.stop = &stop_now;
    part.training.on_step = stop_at_seven;
    assert_int_equal(training_run(&part.training, NULL), STATUS_INTERRUPTED);
    set_up(&rest, 20, 2, 0.01);
    rest.training.checkpoint = part.checkpoint;
    assert_int_equal(training_resume(&rest.training, NULL), STATUS_OK);
    assert_int_equal(rest.training.step, 7);
    assert_int_equal(training_run(&rest.training, NULL), STATUS_OK);
    assert_memory_equal(whole.model.decoder.parameters.values, rest.model.decoder.parameters.values,
                        (size_t)whole.model.decoder.parameters.total * sizeof(float));
    tear_down(&whole);
    tear_down(&rest);
    tear_down(&part);
}

static void a_run_with_other_settings_is_not_resumed(void **state)
{
    (void)state;
    struct fixture f;
    struct error error;
    set_up(&f, 3, 2, 0.01);
    f.training.options.settings = "{\"batch\": 6}";
    assert_int_equal(training_run(&f.training, NULL), STATUS_OK);
    f.training.options.settings = "{\"batch\": 8}";
    assert_int_equal(training_resume(&f.training, &error), STATUS_USAGE);
    assert_non_null(strstr(error.message, "'batch' (6, now 8)"));
    tear_down(&f);
}

static void a_loss_that_is_no_number_ends_the_run_with_advice(void **state)
{
    (void)state;
    struct fixture f;
    struct error error;
    set_up(&f, 50, 0, 0.01);
    f.model.decoder.parameters.values[100] = NAN;
    assert_int_equal(training_run(&f.training, &error), STATUS_FAILED);
    assert_non_null(strstr(error.message, "step 1:"));
    assert_non_null(strstr(error.message, "--rate"));
    tear_down(&f);
}

static void threads_do_not_change_a_run(void **state)
{
    (void)state;
    struct fixture f[2];
    for (int i = 0; i < 2; i++) {
        set_up(&f[i], 8, 2, 0.01);
        compute_free(&f[i].compute);
        assert_int_equal(compute_create(i ? 4 : 1, MATMUL_F32, &f[i].compute, NULL), STATUS_OK);
        assert_int_equal(training_run(&f[i].training, NULL), STATUS_OK);
    }
    assert_memory_equal(f[0].model.decoder.parameters.values, f[1].model.decoder.parameters.values,
                        (size_t)f[0].model.decoder.parameters.total * sizeof(float));
    tear_down(&f[0]);
    tear_down(&f[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_learns),
        cmocka_unit_test(a_steady_step_allocates_nothing),
        cmocka_unit_test(micro_batches_give_the_whole_batch_s_gradient),
        cmocka_unit_test(an_example_s_gradient_is_projected_without_a_matrix),
        cmocka_unit_test(a_stopped_run_goes_on_bit_for_bit),
        cmocka_unit_test(a_run_with_other_settings_is_not_resumed),
        cmocka_unit_test(a_loss_that_is_no_number_ends_the_run_with_advice),
        cmocka_unit_test(threads_do_not_change_a_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
