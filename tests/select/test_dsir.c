/* DSIR: the worked example of its card, the properties that must hold, and the stage as a whole. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/random.h"
#include "methods/select/dsir.h"
#include "support/check.h"

static const char *const raw[] = {"The cat sat on the mat.", "Stock prices fell 3% today!",
                                  "A cat and a dog sat.", "Prices of stock rose."};
static const char *const target[] = {"The dog sat on the cat.", "A dog, a cat."};

struct example {
    struct dsir_model model;
    struct ngram_list lists[4];
};

static void add(struct ngram_hasher *h, const char *text, struct ngram_list *list, double *counts,
                double *total)
{
    int64_t words;
    assert_int_equal(ngram_hash(h, text, strlen(text), list, &words, NULL), STATUS_OK);
    for (int64_t i = 0; i < list->count; i++)
        counts[list->items[i]]++;
    *total += (double)list->count;
}

static void set_up(struct example *e)
{
    struct ngram_hasher h;
    memset(e, 0, sizeof *e);
    assert_int_equal(dsir_create(&e->model, 16, NULL), STATUS_OK);
    ngram_hasher_init(&h, 2, 16);
    for (int i = 0; i < 4; i++)
        add(&h, raw[i], &e->lists[i], e->model.pool, &e->model.pool_total);
    for (int i = 0; i < 2; i++) {
        struct ngram_list list = {0};
        add(&h, target[i], &list, e->model.target, &e->model.target_total);
        free(list.items);
    }
    ngram_hasher_free(&h);
}

static void tear_down(struct example *e)
{
    for (int i = 0; i < 4; i++)
        free(e->lists[i].items);
    dsir_free(&e->model);
}

static void near(double got, double want)
{
    if (!(fabs(got - want) < 1e-6))
        fail_msg("%.9g instead of %.9g", got, want);
}

static void the_worked_example_comes_out(void **state)
{
    (void)state;
    struct example e;
    const double first[] = {3, 0, 0, 0, 1, 1, 2, 0, 1, 2, 0, 0, 0, 0, 1, 2};
    const double plain[] = {-15.8115682, -62.1474391, -14.3119453, -62.6819811};
    const double smooth[] = {-1.8865115, -3.9577560, -1.0392137, -4.5816814};
    double counts[16] = {0}, selected[16] = {0};
    set_up(&e);
    for (int64_t i = 0; i < e.lists[0].count; i++)
        counts[e.lists[0].items[i]]++;
    for (int b = 0; b < 16; b++)
        near(counts[b], first[b]);
    dsir_fit(&e.model, 0, 1e-8);
    for (int i = 0; i < 4; i++)
        near(dsir_log_weight(&e.model, e.lists[i].items, e.lists[i].count), plain[i]);
    dsir_fit(&e.model, 1, 1e-8);
    for (int i = 0; i < 4; i++)
        near(dsir_log_weight(&e.model, e.lists[i].items, e.lists[i].count), smooth[i]);
    near(dsir_divergence(&e.model, e.model.pool, e.model.pool_total, 1e-8), 1.5285302);
    double total = 0;
    for (int i = 0; i < 4; i += 2)
        for (int64_t j = 0; j < e.lists[i].count; j++, total++)
            selected[e.lists[i].items[j]]++;
    near(dsir_divergence(&e.model, selected, total, 1e-8), 2.0363347);
    tear_down(&e);
}

static void a_target_like_the_pool_gives_no_preference(void **state)
{
    (void)state;
    struct example e;
    set_up(&e);
    memcpy(e.model.target, e.model.pool, 16 * sizeof(double));
    e.model.target_total = e.model.pool_total;
    dsir_fit(&e.model, 0, 1e-8);
    for (int i = 0; i < 4; i++)
        assert_true(fabs(dsir_log_weight(&e.model, e.lists[i].items, e.lists[i].count)) <
                    1e-12 * (double)e.lists[i].count);
    tear_down(&e);
}

static void lengths_are_word_counts(void **state)
{
    (void)state;
    for (int64_t words = 1; words < 50; words++)
        assert_int_equal(dsir_length(2 * words - 1, 2), words);
    assert_int_equal(dsir_length(0, 2), 0);
}

/* Weights 1:2:3:4: the first pick in proportion, and pairs as for drawing without replacement. */
static void noise_draws_in_proportion_to_the_weights(void **state)
{
    (void)state;
    const double weights[] = {log(1), log(2), log(3), log(4)};
    const double pairs[] = {0.2345238, 0.4412698, 0.6083333, 0.7158730};
    enum { DRAWS = 100000 };
    double first[4] = {0}, both[4] = {0}, square = 0;
    for (uint32_t draw = 0; draw < DRAWS; draw++) {
        struct topk top;
        struct random_address address = {draw, RANDOM_SELECT, 0, 0};
        assert_int_equal(topk_create(&top, 2, NULL), STATUS_OK);
        for (int i = 0; i < 4; i++)
            topk_offer(&top, weights[i] + random_gumbel(address, (uint64_t)i), i);
        topk_sort(&top);
        first[top.items[0].index]++;
        both[top.items[0].index]++;
        both[top.items[1].index]++;
        topk_free(&top);
    }
    for (int i = 0; i < 4; i++) {
        double expected = DRAWS * (i + 1) / 10.0;
        square += (first[i] - expected) * (first[i] - expected) / expected;
        assert_true(fabs(both[i] / DRAWS - pairs[i]) < 0.006);
    }
    assert_true(square < 16.27); /* chi-square with 3 degrees of freedom, p = 0.001 */
}

/* The stage, on a pool of two kinds of text in a file. */

static char folder[64];

static void write_lines(const char *name, int count, int kind)
{
    struct buffer text = {0};
    char path[128];
    for (int i = 0; i < count; i++) {
        buffer_add_text(&text, "{\"text\": \"");
        for (int j = 0; j < 120; j++) {
            struct random_address address = {9, RANDOM_TEST, (uint32_t)i, (uint32_t)kind};
            uint32_t word = random_word(address, (uint64_t)j) % 30;
            buffer_printf(&text, "%s%u ", (kind == 2 ? i % 4 == 0 : kind) ? "red" : "blue", word);
        }
        buffer_add_text(&text, "\"}\n");
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(file_write_atomic(path, text.data, text.length, NULL), STATUS_OK);
    buffer_free(&text);
}

static enum status run_stage(int threads, int64_t count, const char *method,
                             struct select_result *result, struct error *error)
{
    char pool[128], sample[128], output[128];
    snprintf(pool, sizeof pool, "%s/pool.jsonl", folder);
    snprintf(sample, sizeof sample, "%s/target.jsonl", folder);
    snprintf(output, sizeof output, "%s/out.jsonl", folder);
    const char *pools[] = {pool}, *samples[] = {sample};
    const struct select_method *chosen = select_method_by_name(method);
    struct arena arena = {0};
    struct option_set set = {.arena = &arena};
    void *options = calloc(1, chosen->options_size + 1);
    if (chosen->options)
        assert_int_equal(option_add(&set, NULL, chosen->options, options, NULL), STATUS_OK);
    struct select_job job = {.pool_paths = pools,
                             .pool_count = 1,
                             .target_paths = samples,
                             .target_count = 1,
                             .count = count,
                             .share = 0.125,
                             .seed = 3,
                             .chunks = {.dedup = true}};
    assert_int_equal(thread_pool_create(threads, &job.threads, NULL), STATUS_OK);
    enum status status = select_run(chosen, &job, options, output, result, error);
    thread_pool_free(job.threads);
    free(options);
    arena_free(&arena);
    return status;
}

static int make_files(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/adze-dsir-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    write_lines("pool.jsonl", 400, 2);
    write_lines("target.jsonl", 40, 1);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    return file_remove_tree(folder, NULL) != STATUS_OK;
}

static void the_stage_finds_the_domain_whatever_the_threads(void **state)
{
    (void)state;
    struct select_result one, three, random;
    assert_int_equal(run_stage(1, 80, "dsir", &one, NULL), STATUS_OK);
    assert_int_equal(run_stage(3, 80, "dsir", &three, NULL), STATUS_OK);
    assert_int_equal(run_stage(2, 80, "random", &random, NULL), STATUS_OK);
    assert_int_equal(one.chosen.count, 80);
    assert_memory_equal(one.chosen.items, three.chosen.items, 80 * sizeof *one.chosen.items);
    int red = 0, chance = 0;
    for (int i = 0; i < 80; i++) {
        red += one.chosen.items[i].index % 4 == 0;
        chance += random.chosen.items[i].index % 4 == 0;
    }
    assert_int_equal(red, 80);
    assert_true(chance > 5 && chance < 40);
    assert_true(json_number_value(json_object_get(one.metrics, "kl_reduction")) > 0.5);
    assert_int_equal(one.warning[0], 0);
    select_result_free(&one);
    select_result_free(&three);
    select_result_free(&random);
}

static void wanting_more_than_there_is_names_both_numbers(void **state)
{
    (void)state;
    struct select_result result;
    struct error error;
    assert_int_equal(run_stage(2, 500, "dsir", &result, &error), STATUS_FAILED);
    assert_non_null(strstr(error.message, "500 documents are wanted, but only 400"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worked_example_comes_out),
        cmocka_unit_test(a_target_like_the_pool_gives_no_preference),
        cmocka_unit_test(lengths_are_word_counts),
        cmocka_unit_test(noise_draws_in_proportion_to_the_weights),
        cmocka_unit_test(the_stage_finds_the_domain_whatever_the_threads),
        cmocka_unit_test(wanting_more_than_there_is_names_both_numbers),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
