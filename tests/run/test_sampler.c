/* Samplers: each stage keeps what it says it keeps, and draws follow the probabilities. */
#include <math.h>
#include <string.h>

#include "run/sampler.h"
#include "support/check.h"

enum { V = 6, DRAWS = 40000 };

static const float logits[V] = {1.0f, 3.0f, 2.0f, -1.0f, 0.0f, 2.5f};

static void draw_many(struct sampling_options o, const int32_t *recent, int64_t count,
                      double shares[V])
{
    struct sampler s;
    memset(shares, 0, V * sizeof *shares);
    o.seed = 17;
    if (o.repetition_penalty == 0)
        o.repetition_penalty = 1;
    if (o.top_p == 0)
        o.top_p = 1;
    assert_int_equal(sampler_create(&o, V, &s, NULL), STATUS_OK);
    for (int i = 0; i < DRAWS; i++) {
        float copy[V];
        memcpy(copy, logits, sizeof copy);
        int32_t token = sampler_draw(&s, copy, recent, count, count);
        assert_true(token >= 0 && token < V);
        shares[token] += 1.0 / DRAWS;
    }
    sampler_free(&s);
}

/* Softmax over the allowed tokens. */
static void expect(const double shares[V], double temperature, const bool allowed[V],
                   const float *own)
{
    double sum = 0;
    for (int i = 0; i < V; i++)
        sum += allowed[i] ? exp((double)own[i] / temperature) : 0;
    for (int i = 0; i < V; i++) {
        double want = allowed[i] ? exp((double)own[i] / temperature) / sum : 0;
        if (fabs(shares[i] - want) > (want == 0 ? 0 : 0.012))
            fail_msg("token %d has share %.4f instead of %.4f", i, shares[i], want);
    }
}

static void draws_follow_the_temperature(void **state)
{
    (void)state;
    double shares[V];
    const bool all[V] = {true, true, true, true, true, true};
    draw_many((struct sampling_options){.temperature = 1}, NULL, 0, shares);
    expect(shares, 1, all, logits);
    draw_many((struct sampling_options){.temperature = 2.5}, NULL, 0, shares);
    expect(shares, 2.5, all, logits);
    draw_many((struct sampling_options){.temperature = 0}, NULL, 0, shares);
    assert_true(shares[1] > 0.999);
}

static void stages_cut_what_they_should(void **state)
{
    (void)state;
    double shares[V];
    draw_many((struct sampling_options){.temperature = 1, .top_k = 2}, NULL, 0, shares);
    expect(shares, 1, (const bool[V]){false, true, false, false, false, true}, logits);
    /* probabilities 0.43, 0.26, 0.16, ...: 0.6 is reached with two, 0.8 with three */
    draw_many((struct sampling_options){.temperature = 1, .top_p = 0.6}, NULL, 0, shares);
    expect(shares, 1, (const bool[V]){false, true, false, false, false, true}, logits);
    draw_many((struct sampling_options){.temperature = 1, .top_p = 0.8}, NULL, 0, shares);
    expect(shares, 1, (const bool[V]){false, true, true, false, false, true}, logits);
    /* relative to the best: 1, 0.61, 0.37, 0.14, 0.05, 0.02 */
    draw_many((struct sampling_options){.temperature = 1, .min_p = 0.1}, NULL, 0, shares);
    expect(shares, 1, (const bool[V]){true, true, true, false, false, true}, logits);
    draw_many((struct sampling_options){.temperature = 1, .min_p = 1}, NULL, 0, shares);
    assert_true(shares[1] > 0.999);
    /* an entropy of 1.38 nats: most typical is token 5 (1.34), which min_p then leaves alone */
    draw_many((struct sampling_options){.temperature = 1, .typical_p = 0.2, .min_p = 0.9}, NULL, 0,
              shares);
    assert_true(shares[5] > 0.999);
}

static void recent_tokens_are_punished_once(void **state)
{
    (void)state;
    double shares[V];
    const bool all[V] = {true, true, true, true, true, true};
    const int32_t recent[] = {5, 1, 3, 1, 1};
    const float punished[V] = {1.0f, 1.5f, 2.0f, -2.0f, 0.0f, 2.5f};
    draw_many((struct sampling_options){.temperature = 1,
                                        .repetition_penalty = 2,
                                        .repetition_window = 4},
              recent, 5, shares);
    expect(shares, 1, all, punished); /* token 5 lies outside the window */
}

/* Penalties of a window of many tokens: quadratic time would take this test many minutes. */
static void a_long_window_takes_as_long_as_its_tokens(void **state)
{
    (void)state;
    enum { MANY = 2000000 };
    struct sampling_options o = {.repetition_penalty = 2,
                                 .repetition_window = MANY,
                                 .presence_penalty = 0.5,
                                 .frequency_penalty = 0.25};
    struct sampler s;
    assert_int_equal(sampler_create(&o, MANY, &s, NULL), STATUS_OK);
    float *many = test_calloc(MANY, sizeof *many);
    int32_t *tokens = test_calloc(MANY, sizeof *tokens);
    for (int32_t i = 0; i < MANY; i++) {
        many[i] = 4;
        tokens[i] = i < MANY - 1 ? i : 7; /* 7 twice, the last of all never */
    }
    assert_int_equal(sampler_draw(&s, many, tokens, MANY, 0), MANY - 1);
    assert_true(many[8] == 4.0f / 2 - 0.75f && many[7] == 4.0f / 2 - 1.0f);
    test_free(many);
    test_free(tokens);
    sampler_free(&s);
}

/* Of tokens whose probabilities follow Zipf's law with exponent 1.2: how many mirostat keeps at its
 * present limit (Basu et al. 2021, algorithms 1 and 2), and what they weigh. */
static int64_t zipf_kept(int64_t version, double limit, int64_t tokens, double *share)
{
    double total = 0, exponent = 1.2;
    int64_t kept = 0;
    for (int64_t i = 0; i < tokens; i++)
        total += pow((double)(i + 1), -exponent);
    if (version == 1)
        kept = llround(pow((exponent - 1) * pow(2, limit) / (1 - pow((double)tokens, 1 - exponent)),
                           1 / exponent));
    else
        while (kept < tokens && -log2(pow((double)(kept + 1), -exponent) / total) <= limit)
            kept++;
    kept = kept < 1 ? 1 : kept > tokens ? tokens : kept;
    *share = 0;
    for (int64_t i = 0; i < kept; i++)
        *share += pow((double)(i + 1), -exponent);
    return kept;
}

static void mirostat_keeps_the_surprise_at_its_goal(void **state)
{
    (void)state;
    enum { TOKENS = 1000, TIMES = 3000 };
    for (int version = 1; version <= 2; version++) {
        struct sampling_options o = {.temperature = 1,
                                     .repetition_penalty = 1,
                                     .mirostat = version,
                                     .mirostat_surprise = 3,
                                     .mirostat_rate = 0.1,
                                     .seed = 5};
        struct sampler s;
        double sum = 0;
        assert_int_equal(sampler_create(&o, TOKENS, &s, NULL), STATUS_OK);
        for (int i = 0; i < TIMES; i++) {
            float values[TOKENS];
            double share;
            for (int j = 0; j < TOKENS; j++)
                values[j] = (float)(-1.2 * log(j + 1));
            int64_t kept = zipf_kept(version, s.limit, TOKENS, &share);
            int32_t token = sampler_draw(&s, values, NULL, 0, 0);
            assert_true(token >= 0 && token <= kept); /* by one at a rounding of k */
            sum -= log2(pow(token + 1, -1.2) / share);
        }
        assert_true(fabs(sum / TIMES - 3) < 0.1);
        sampler_free(&s);
    }
}

static void a_seed_gives_the_same_draws(void **state)
{
    (void)state;
    struct sampling_options o = {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 3};
    struct sampler a, b;
    assert_int_equal(sampler_create(&o, V, &a, NULL), STATUS_OK);
    assert_int_equal(sampler_create(&o, V, &b, NULL), STATUS_OK);
    for (int i = 0; i < 100; i++) {
        float x[V], y[V];
        memcpy(x, logits, sizeof x);
        memcpy(y, logits, sizeof y);
        assert_int_equal(sampler_draw(&a, x, NULL, 0, 0), sampler_draw(&b, y, NULL, 0, 0));
    }
    sampler_free(&a);
    sampler_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_temperature),
        cmocka_unit_test(stages_cut_what_they_should),
        cmocka_unit_test(recent_tokens_are_punished_once),
        cmocka_unit_test(a_long_window_takes_as_long_as_its_tokens),
        cmocka_unit_test(mirostat_keeps_the_surprise_at_its_goal),
        cmocka_unit_test(a_seed_gives_the_same_draws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
