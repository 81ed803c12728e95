/* The paged cache: what is stored is what attention sees, in every format; pages are counted,
 * shared and given back. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/kv_cache.h"
#include "support/check.h"

enum { TOKENS = 700, KV = 2, GROUP = 3, LAYERS = 2 };

struct fixture {
    struct decoder_config config;
    struct attention_shape shape;
    struct kv_cache cache;
    struct kv_sequence sequence;
    float *k, *v, *q;
};

static void set_up(struct fixture *f, const struct compute *compute, enum kv_format format,
                   int64_t width)
{
    *f = (struct fixture){
        .config = decoder_config_llama(10, TOKENS, width * KV * GROUP, LAYERS, KV * GROUP)};
    f->config.kv_heads = KV;
    f->shape = (struct attention_shape){.heads = KV * GROUP,
                                        .kv_heads = KV,
                                        .head_width = width,
                                        .scale = 1.0f / sqrtf((float)width)};
    assert_int_equal(kv_cache_create(&f->config, format, TOKENS + 200, &f->cache, NULL), STATUS_OK);
    f->k = check_normal(1, TOKENS * KV * width, 1);
    f->v = check_normal(2, TOKENS * KV * width, 1);
    f->q = check_normal(3, TOKENS * KV * GROUP * width, 1);
    assert_int_equal(kv_sequence_reserve(&f->cache, &f->sequence, TOKENS, NULL), STATUS_OK);
    for (int64_t at = 0, piece = 1; at < TOKENS; at += piece, piece = piece * 3 % 101) {
        piece = piece < TOKENS - at ? piece : TOKENS - at;
        for (int64_t layer = 0; layer < LAYERS; layer++) /* the other layer holds other values */
            kv_store(compute, &f->cache, layer, &f->sequence,
                     (layer ? f->k : f->v) + at * KV * width,
                     (layer ? f->v : f->k) + at * KV * width, piece);
        f->sequence.length += piece;
    }
}

static void tear_down(struct fixture *f)
{
    kv_sequence_clear(&f->cache, &f->sequence);
    assert_int_equal(f->cache.free_count, f->cache.pages);
    kv_cache_free(&f->cache);
    free(f->k);
    free(f->v);
    free(f->q);
}

/* Attention of query t over the keys that it sees, in double. */
static void reference(const struct fixture *f, int64_t t, int64_t head, double *out)
{
    int64_t width = f->shape.head_width, kv = head / GROUP;
    int64_t first = f->shape.window > 0 && t + 1 > f->shape.window ? t + 1 - f->shape.window : 0;
    double sum = 0, most = -INFINITY, *scores = malloc((size_t)(t + 1) * sizeof *scores);
    memset(out, 0, (size_t)width * sizeof *out);
    for (int64_t j = first; j <= t; j++) {
        scores[j] = 0;
        for (int64_t d = 0; d < width; d++)
            scores[j] += (double)f->q[(t * KV * GROUP + head) * width + d] *
                         (double)f->k[(j * KV + kv) * width + d];
        scores[j] *= (double)f->shape.scale;
        if (f->shape.softcap > 0)
            scores[j] = (double)f->shape.softcap * tanh(scores[j] / (double)f->shape.softcap);
        most = fmax(most, scores[j]);
    }
    for (int64_t j = first; j <= t; j++) {
        double weight = exp(scores[j] - most);
        sum += weight;
        for (int64_t d = 0; d < width; d++)
            out[d] += weight * (double)f->v[(j * KV + kv) * width + d];
    }
    for (int64_t d = 0; d < width; d++)
        out[d] /= sum;
    free(scores);
}

static double worst_of(const struct fixture *f, int64_t t, const float *got)
{
    double want[ATTENTION_HEAD_WIDTH_MOST], worst = 0;
    int64_t width = f->shape.head_width;
    for (int64_t head = 0; head < KV * GROUP; head++) {
        reference(f, t, head, want);
        for (int64_t d = 0; d < width; d++)
            worst = fmax(worst, fabs((double)got[head * width + d] - want[d]));
    }
    return worst;
}

static void check_format(struct compute *compute, enum kv_format format, int64_t width,
                         int64_t window, double allowed)
{
    struct fixture f;
    set_up(&f, compute, format, width);
    f.shape.window = window;
    f.shape.softcap = window ? 2 : 0;
    int64_t row = KV * GROUP * width;
    float *out = malloc((size_t)(TOKENS * row) * sizeof *out);
    const int64_t places[] = {0, 1, 31, 32, 33, 255, 256, 600, TOKENS - 1};
    struct kv_query queries[9];
    for (int i = 0; i < 9; i++)
        queries[i] = (struct kv_query){&f.sequence, places[i] + 1, f.q + places[i] * row,
                                       out + places[i] * row};
    float *space = malloc((size_t)kv_attend_space(&f.shape, queries, 9) * sizeof *space);
    kv_attend(compute, &f.cache, 1, &f.shape, queries, 9, space);
    for (int i = 0; i < 9; i++)
        if (!(worst_of(&f, places[i], queries[i].out) < allowed))
            fail_msg("format %d, width %lld, query %lld: off by %g", (int)format, (long long)width,
                     (long long)places[i], worst_of(&f, places[i], queries[i].out));
    f.sequence.length = 30; /* as if the rest were being added */
    kv_attend_rows(compute, &f.cache, 1, &f.shape, &f.sequence, f.q + 30 * row, TOKENS - 30,
                   out + 30 * row);
    for (int64_t t = 30; t < TOKENS; t += 67)
        assert_true(worst_of(&f, t, out + t * row) < allowed);
    f.sequence.length = TOKENS;
    free(space);
    free(out);
    tear_down(&f);
}

static void check_formats(struct compute *compute)
{
    const int64_t widths[] = {6, 32, 80};
    for (int i = 0; i < 3; i++) {
        check_format(compute, KV_F32, widths[i], 0, 1e-5);
        check_format(compute, KV_F32, widths[i], 40, 1e-5);
        check_format(compute, KV_F16, widths[i], 0, 2e-3);
        check_format(compute, KV_Q8_0, widths[i], 300, 4e-2);
    }
}

static void attention_over_pages_matches_its_definition(void **state)
{
    (void)state;
    check_levels(check_formats);
}

static void shared_pages_are_never_written(void **state)
{
    (void)state;
    struct compute compute;
    struct fixture f;
    struct kv_sequence fork = {0};
    assert_int_equal(compute_create(1, MATMUL_F32, &compute, NULL), STATUS_OK);
    set_up(&f, &compute, KV_F32, 8);
    assert_int_equal(kv_sequence_fork(&f.cache, &f.sequence, 70, &fork, NULL), STATUS_OK);
    assert_int_equal(fork.page_count, 3);
    int64_t before = f.cache.free_count;
    assert_int_equal(kv_sequence_reserve(&f.cache, &fork, 1, NULL), STATUS_OK);
    assert_int_equal(f.cache.free_count, before - 1); /* the page of tokens 64.. was copied */
    kv_store(&compute, &f.cache, 0, &fork, f.q, f.q, 1);
    float out[KV * GROUP * 8];
    struct kv_query query = {&f.sequence, TOKENS, f.q + (TOKENS - 1) * KV * GROUP * 8, out};
    float *space = malloc((size_t)kv_attend_space(&f.shape, &query, 1) * sizeof *space);
    kv_attend(&compute, &f.cache, 1, &f.shape, &query, 1, space);
    assert_true(worst_of(&f, TOKENS - 1, out) < 1e-5);
    free(space);
    kv_sequence_truncate(&f.cache, &fork, 40);
    assert_int_equal(fork.page_count, 2);
    kv_sequence_clear(&f.cache, &fork);
    tear_down(&f);
    compute_free(&compute);
}

static void a_full_cache_takes_nothing(void **state)
{
    (void)state;
    struct compute compute;
    struct fixture f;
    struct kv_sequence other = {0};
    struct error error = {0};
    assert_int_equal(compute_create(1, MATMUL_F32, &compute, NULL), STATUS_OK);
    set_up(&f, &compute, KV_F16, 8);
    int64_t before = f.cache.free_count;
    assert_int_equal(kv_sequence_reserve(&f.cache, &other, before * KV_PAGE + 1, &error),
                     STATUS_NO_MEMORY);
    assert_non_null(strstr(error.message, "cache is full"));
    assert_int_equal(f.cache.free_count, before);
    assert_int_equal(kv_sequence_reserve(&f.cache, &other, before * KV_PAGE, NULL), STATUS_OK);
    assert_int_equal(f.cache.free_count, 0);
    kv_sequence_clear(&f.cache, &other);
    tear_down(&f);
    compute_free(&compute);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_over_pages_matches_its_definition),
        cmocka_unit_test(shared_pages_are_never_written),
        cmocka_unit_test(a_full_cache_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
