/* The engine: what a request gets is what it gets alone, whatever comes and goes beside it. */
#include "run/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "run/slots.h"
#include "support/models.h"

enum { REQUESTS = 24, SLOTS = 5, PROMPT_MOST = 90, TOKENS_MOST = 30 };

struct got {
    int32_t tokens[TOKENS_MOST + PROMPT_MOST];
    double log_probabilities[TOKENS_MOST + PROMPT_MOST];
    int64_t count, prompt_told, cancel_after;
    enum engine_end end;
    int64_t shared, ended;
    struct buffer text;
};

static bool on_token(void *context, const struct engine_token *token)
{
    struct got *g = context;
    g->log_probabilities[g->count] = (double)token->log_probability;
    g->tokens[g->count++] = token->token;
    g->prompt_told += token->of_prompt;
    buffer_add(&g->text, token->text, token->length);
    assert_int_equal(g->ended, 0);
    return g->cancel_after == 0 || g->count < g->cancel_after;
}

static void on_end(void *context, const struct engine_result *result)
{
    struct got *g = context;
    buffer_add(&g->text, result->text, result->length);
    g->end = result->end;
    g->shared = result->shared_tokens;
    assert_int_equal(result->made_tokens, g->count - g->prompt_told);
    g->ended++;
}

/* Request i: a prompt that others share the beginning of, its own sampling. */
static struct engine_request make_request(int i, int32_t *prompt, struct got *got)
{
    struct random_address address = {7, RANDOM_TEST, 0, (uint32_t)i % 3};
    int64_t length = 1 + (int64_t)random_below((struct random_address){8, RANDOM_TEST, 0, 0},
                                               (uint64_t)i, PROMPT_MOST - 1);
    for (int64_t t = 0; t < length; t++)
        prompt[t] = (int32_t)random_below(address, (uint64_t)t, 59);
    prompt[length - 1] = i % 59;
    memset(got, 0, sizeof *got);
    return (struct engine_request){
        .prompt = prompt,
        .prompt_count = length,
        .sampling = {.temperature = i % 4 ? 1.0 : 0, .top_k = i % 2 ? 20 : 0, .seed = (uint64_t)i},
        .most_tokens = 1 + i * 7 % TOKENS_MOST,
        .ignore_end = true,
        .log_probabilities = true,
        .on_token = on_token,
        .on_end = on_end,
        .context = got,
    };
}

struct world {
    struct compute compute;
    struct model model;
    struct got alone[REQUESTS], together[REQUESTS];
    int32_t prompts[REQUESTS][PROMPT_MOST];
};

static void set_up(struct world *w, const char *family, int threads)
{
    assert_int_equal(compute_create(threads, MATMUL_F32, &w->compute, NULL), STATUS_OK);
    models_random_long(family, 128, &w->model);
}

static void tear_down(struct world *w)
{
    for (int i = 0; i < REQUESTS; i++) {
        buffer_free(&w->alone[i].text);
        buffer_free(&w->together[i].text);
    }
    model_free(&w->model);
    compute_free(&w->compute);
}

static void check_same(const struct got *a, const struct got *b)
{
    assert_int_equal(a->ended, 1);
    assert_int_equal(b->ended, 1);
    assert_int_equal(a->end, b->end);
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->tokens, b->tokens, (size_t)a->count * sizeof *a->tokens);
    assert_memory_equal(a->log_probabilities, b->log_probabilities,
                        (size_t)a->count * sizeof *a->log_probabilities);
}

/* Requests arrive while others are at work; prompts are computed in pieces of `chunk`. */
static void company(const char *family, int64_t chunk, bool share, enum packing_rule packing,
                    int threads)
{
    struct world *w = calloc(1, sizeof *w);
    set_up(w, family, 1);
    struct engine_result result;
    for (int i = 0; i < REQUESTS; i++) {
        struct engine_request r = make_request(i, w->prompts[i], &w->alone[i]);
        assert_int_equal(engine_complete(&w->model, &w->compute, &r, &result, NULL), STATUS_OK);
    }
    struct compute other;
    assert_int_equal(compute_create(threads, MATMUL_F32, &other, NULL), STATUS_OK);
    struct engine_options options = {.slots = SLOTS,
                                     .cache_tokens = 420,
                                     .chunk = chunk,
                                     .packing = packing,
                                     .share_prefixes = share};
    struct engine *engine;
    assert_int_equal(engine_create(&w->model, &other, &options, &engine, NULL), STATUS_OK);
    for (int i = 0; i < REQUESTS; i++) {
        struct engine_request r = make_request(i, w->prompts[i], &w->together[i]);
        assert_int_equal(engine_submit(engine, &r, NULL, NULL), STATUS_OK);
        for (int step = 0; step < i % 5; step++)
            engine_step(engine);
    }
    engine_run(engine);
    struct engine_counts counts = engine_count(engine);
    assert_int_equal(counts.ended, REQUESTS);
    assert_int_equal(counts.working + counts.waiting, 0);
    assert_int_equal(counts.free_pages + counts.shared_pages, counts.cache_pages);
    int64_t shared = 0;
    for (int i = 0; i < REQUESTS; i++) {
        check_same(&w->alone[i], &w->together[i]);
        shared += w->together[i].shared;
    }
    assert_true(share ? shared > 0 : shared == 0);
    engine_free(engine);
    compute_free(&other);
    tear_down(w);
    free(w);
}

static void company_changes_nothing(void **state)
{
    (void)state;
    company("llama", 512, false, PACKING_EMPTIEST, 1);
    company("llama", 16, true, PACKING_FIRST, 2);
    company("gpt2", 37, true, PACKING_EXACT, 3);
}

/* The second turn of a conversation, whose prompt begins with the first and its answer: alone, and
 * behind that first turn, of whose answer `steps` steps were computed again before it came. */
static void second_turn(struct world *w, int64_t steps, int64_t *shared)
{
    struct engine_options options = {.slots = 2, .chunk = 32, .share_prefixes = true};
    struct engine *engine;
    struct engine_result result;
    struct got *first = &w->together[0], *later = &w->together[1], *alone = &w->alone[1];
    struct engine_request r = make_request(8, w->prompts[0], first), again;
    static int32_t prompt[TOKENS_MOST + PROMPT_MOST];
    r.prompt_count = 40;
    r.most_tokens = 29; /* 69 tokens: two whole pages, one of them of the prompt */
    r.keep = true;
    for (int t = 0; t < 40; t++)
        w->prompts[0][t] = t * 7 % 59;
    assert_int_equal(engine_create(&w->model, &w->compute, &options, &engine, NULL), STATUS_OK);
    assert_int_equal(engine_submit(engine, &r, NULL, NULL), STATUS_OK);
    while (!first->ended)
        engine_step(engine);
    struct engine_counts counts = engine_count(engine);
    assert_int_equal(counts.working + counts.waiting, 0);
    for (int64_t i = 0; i < steps && engine_step(engine); i++)
        continue;
    memcpy(prompt, w->prompts[0], 40 * sizeof *prompt);
    memcpy(prompt + 40, first->tokens, 29 * sizeof *prompt);
    prompt[69] = 3;
    for (int i = 0; i < 2; i++) {
        again = make_request(8, w->prompts[1], i ? later : alone);
        again.prompt = prompt;
        again.prompt_count = 70;
        if (i)
            assert_int_equal(engine_submit(engine, &again, NULL, NULL), STATUS_OK);
        else
            assert_int_equal(engine_complete(&w->model, &w->compute, &again, &result, NULL),
                             STATUS_OK);
    }
    engine_run(engine);
    check_same(alone, later);
    *shared = later->shared;
    counts = engine_count(engine);
    assert_int_equal(counts.ended, 2);
    assert_int_equal(counts.working + counts.waiting, 0);
    assert_int_equal(counts.free_pages + counts.shared_pages, counts.cache_pages);
    engine_free(engine);
    buffer_free(&first->text);
    buffer_free(&later->text);
    buffer_free(&alone->text);
}

static void an_answer_is_kept_and_changes_nothing(void **state)
{
    (void)state;
    struct world *w = calloc(1, sizeof *w);
    int64_t shared;
    set_up(w, "llama", 2);
    second_turn(w, 0, &shared);
    assert_int_equal(shared, 32); /* of the prompt alone */
    second_turn(w, 1, &shared);
    assert_true(shared == 32 || shared == 64);
    second_turn(w, 1000, &shared);
    assert_int_equal(shared, 64);
    tear_down(w);
    free(w);
}

/* Conversations at once, in which answers are computed again between others' requests. */
static void kept_answers_give_way(void **state)
{
    (void)state;
    struct world *w = calloc(1, sizeof *w);
    struct engine_options options = {
        .slots = 3, .cache_tokens = 300, .chunk = 16, .share_prefixes = true};
    struct engine *engine;
    struct engine_result result;
    set_up(w, "llama", 2);
    assert_int_equal(engine_create(&w->model, &w->compute, &options, &engine, NULL), STATUS_OK);
    for (int i = 0; i < REQUESTS; i++) {
        struct engine_request r = make_request(i, w->prompts[i], &w->alone[i]);
        assert_int_equal(engine_complete(&w->model, &w->compute, &r, &result, NULL), STATUS_OK);
        r = make_request(i, w->prompts[i], &w->together[i]);
        r.keep = true;
        assert_int_equal(engine_submit(engine, &r, NULL, NULL), STATUS_OK);
        for (int step = 0; step < i * 5 % 40; step++)
            engine_step(engine);
    }
    engine_run(engine);
    for (int i = 0; i < REQUESTS; i++)
        check_same(&w->alone[i], &w->together[i]);
    assert_true(engine_count(engine).kept_tokens > 0);
    assert_int_equal(engine_count(engine).ended, REQUESTS);
    engine_free(engine);
    tear_down(w);
    free(w);
}

static void canceled_requests_leave_without_a_trace(void **state)
{
    (void)state;
    struct world *w = calloc(1, sizeof *w);
    set_up(w, "llama", 2);
    struct engine_options options = {.slots = 3, .cache_tokens = 400, .chunk = 20};
    struct engine *engine;
    int64_t ids[12];
    struct engine_result result;
    assert_int_equal(engine_create(&w->model, &w->compute, &options, &engine, NULL), STATUS_OK);
    for (int i = 0; i < 12; i++) {
        struct engine_request r = make_request(i, w->prompts[i], &w->together[i]);
        w->together[i].cancel_after = i % 3 == 0 ? 2 : 0;
        assert_int_equal(engine_submit(engine, &r, &ids[i], NULL), STATUS_OK);
    }
    for (int i = 0; i < 12; i++) {
        engine_step(engine);
        if (i % 3 == 1)
            engine_cancel(engine, ids[i]); /* some wait, some work, some are done */
    }
    engine_run(engine);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(w->together[i].ended, 1);
        if (i % 3 != 2)
            continue;
        struct engine_request r = make_request(i, w->prompts[i], &w->alone[i]);
        assert_int_equal(engine_complete(&w->model, &w->compute, &r, &result, NULL), STATUS_OK);
        check_same(&w->alone[i], &w->together[i]);
    }
    assert_int_equal(engine_count(engine).free_pages, engine_count(engine).cache_pages);
    engine_free(engine);
    tear_down(w);
    free(w);
}

/* Log-probabilities of made and of given tokens against a plain forward pass. */
static void log_probabilities_are_the_models(void **state)
{
    (void)state;
    struct world *w = calloc(1, sizeof *w);
    set_up(w, "llama", 2);
    struct engine_result result;
    struct got *g = &w->alone[0];
    struct engine_request r = make_request(2, w->prompts[0], g);
    r.prompt_count = 40;
    for (int t = 0; t < 40; t++)
        w->prompts[0][t] = t * 7 % 59;
    r.most_tokens = 10;
    r.prompt_log_probabilities = true;
    assert_int_equal(engine_complete(&w->model, &w->compute, &r, &result, NULL), STATUS_OK);
    assert_int_equal(g->count, 50);
    assert_int_equal(g->prompt_told, 40);
    float *logits = models_logits(&w->compute, &w->model, g->tokens, 1, 50);
    int64_t vocabulary = w->model.decoder.config.vocabulary;
    for (int64_t t = 0; t + 1 < 50; t++) {
        double sum = 0;
        for (int64_t j = 0; j < vocabulary; j++)
            sum += exp((double)logits[t * vocabulary + j]);
        double want = (double)logits[t * vocabulary + g->tokens[t + 1]] - log(sum);
        assert_true(fabs(want - g->log_probabilities[t + 1]) < 2e-2); /* the cache keeps f16 */
    }
    free(logits);
    tear_down(w);
    free(w);
}

static void impossible_requests_are_refused(void **state)
{
    (void)state;
    struct world *w = calloc(1, sizeof *w);
    set_up(w, "llama", 1);
    struct engine_options options = {.slots = 2, .cache_tokens = 64};
    struct engine *engine;
    struct error error;
    assert_int_equal(engine_create(&w->model, &w->compute, &options, &engine, NULL), STATUS_OK);
    struct engine_request r = make_request(1, w->prompts[0], &w->alone[0]);
    r.prompt_count = 0;
    assert_int_equal(engine_submit(engine, &r, NULL, &error), STATUS_USAGE);
    r.prompt_count = 70; /* fits the context, not the cache */
    assert_int_equal(engine_submit(engine, &r, NULL, &error), STATUS_FAILED);
    assert_non_null(strstr(error.message, "cache"));
    int32_t many[200] = {0};
    r.prompt = many;
    r.prompt_count = 200;
    assert_int_equal(engine_submit(engine, &r, NULL, &error), STATUS_FAILED);
    assert_non_null(strstr(error.message, "longer than the context"));
    many[3] = 60;
    r.prompt_count = 5;
    assert_int_equal(engine_submit(engine, &r, NULL, &error), STATUS_USAGE);
    assert_non_null(strstr(error.message, "token 3"));
    assert_false(engine_step(engine));
    engine_free(engine);
    tear_down(w);
    free(w);
}

/* All patterns of up to 10 slots: as few moves as any window allows, the leftmost such window. */
static void reordering_moves_as_little_as_possible(void **state)
{
    (void)state;
    for (int count = 1; count <= 10; count++)
        for (int pattern = 0; pattern < 1 << count; pattern++) {
            int64_t taken[10], active = 0, start;
            struct slot_move moves[10];
            for (int i = 0; i < count; i++) {
                taken[i] = pattern >> i & 1 ? i : -1;
                active += taken[i] >= 0;
            }
            int64_t moved = slots_reorder(taken, NULL, count, moves, &start);
            int64_t best = active, where = 0;
            for (int64_t s = 0; s + active <= count; s++) {
                int64_t outside = active;
                for (int64_t i = s; i < s + active; i++)
                    outside -= taken[i] >= 0;
                if (outside < best) {
                    best = outside;
                    where = s;
                }
            }
            assert_int_equal(moved, best);
            assert_int_equal(start, active ? where : 0);
            for (int64_t i = 0; i < moved; i++) {
                assert_true(taken[moves[i].from] >= 0 && taken[moves[i].to] < 0);
                taken[moves[i].to] = taken[moves[i].from];
                taken[moves[i].from] = -1;
            }
            for (int64_t i = 0; i < count; i++)
                assert_int_equal(taken[i] >= 0, i >= start && i < start + active);
        }
}

static int64_t fewest_rows(const int64_t *lengths, int count, int64_t capacity, int at,
                           int64_t *loads, int64_t rows, int64_t best)
{
    if (rows >= best)
        return best;
    if (at == count)
        return rows;
    for (int64_t r = 0; r <= rows; r++) {
        if (r < rows && loads[r] + lengths[at] > capacity)
            continue;
        int64_t before = r < rows ? loads[r] : 0;
        loads[r] = before + lengths[at];
        best =
            fewest_rows(lengths, count, capacity, at + 1, loads, r < rows ? rows : rows + 1, best);
        loads[r] = before;
    }
    return best;
}

static void packing_puts_every_prompt_into_one_row(void **state)
{
    (void)state;
    for (int round = 0; round < 60; round++) {
        int64_t lengths[9], loads[10], longest = 1, sum = 0;
        int count = 1 + round % 9;
        for (int i = 0; i < count; i++) {
            lengths[i] = 1 + (int64_t)random_below((struct random_address){1, RANDOM_TEST, 0, 0},
                                                   (uint64_t)(round * 9 + i), 20);
            longest = lengths[i] > longest ? lengths[i] : longest;
            sum += lengths[i];
        }
        int64_t fewest = fewest_rows(lengths, count, longest, 0, loads, 0, count + 1);
        for (int rule = 0; rule < 3; rule++) {
            struct packing p;
            assert_int_equal(
                packing_make(lengths, count, longest, (enum packing_rule)rule, &p, NULL),
                STATUS_OK);
            int64_t seen = 0;
            for (int64_t r = 0; r < p.rows; r++) {
                int64_t load = 0;
                for (int64_t i = p.begin[r]; i < p.begin[r + 1]; i++) {
                    assert_false(seen >> p.order[i] & 1);
                    seen |= (int64_t)1 << p.order[i];
                    load += lengths[p.order[i]];
                }
                assert_int_equal(load, p.loads[r]);
                assert_true(load > 0 && load <= longest);
            }
            assert_int_equal(seen, ((int64_t)1 << count) - 1);
            assert_true(p.rows >= (sum + longest - 1) / longest);
            assert_true(rule == PACKING_EXACT ? p.rows == fewest : p.rows >= fewest);
            packing_free(&p);
        }
    }
    int64_t equal[] = {4, 4, 4, 4};
    struct packing p;
    assert_int_equal(packing_make(equal, 4, 4, PACKING_EMPTIEST, &p, NULL), STATUS_OK);
    assert_int_equal(p.rows, 4);
    packing_free(&p);
    assert_int_equal(packing_make(equal, 4, 3, PACKING_EMPTIEST, &p, NULL), STATUS_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(company_changes_nothing),
        cmocka_unit_test(an_answer_is_kept_and_changes_nothing),
        cmocka_unit_test(kept_answers_give_way),
        cmocka_unit_test(canceled_requests_leave_without_a_trace),
        cmocka_unit_test(log_probabilities_are_the_models),
        cmocka_unit_test(impossible_requests_are_refused),
        cmocka_unit_test(reordering_moves_as_little_as_possible),
        cmocka_unit_test(packing_puts_every_prompt_into_one_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
