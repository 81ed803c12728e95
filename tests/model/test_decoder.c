/* The decoder as a whole, for both families and their options. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "model/adapters.h"
#include "support/check.h"

enum { VOCABULARY = 50, CONTEXT = 24, WITH_ADAPTERS = 10, VARIANTS = 12 };

/* What further families add to a Llama. */
static void add_traits(int variant, struct decoder_config *c)
{
    if (variant == 4) { /* Gemma 3 */
        c->block = MODEL_BLOCK_SANDWICH;
        c->mlp = MODEL_MLP_GEGLU_TANH;
        c->query_norm = MODEL_QUERY_NORM_HEAD;
        c->window = 5;
        c->global = (struct layer_pattern){2, 1};
        c->rope.local_base = 100;
        c->embedding_scale = 1.5;
        c->attention_softcap = 2;
        c->logit_softcap = 3;
    } else if (variant == 5) { /* GPT-NeoX */
        c->block = MODEL_BLOCK_PARALLEL;
        c->norm = MODEL_NORM_LAYER;
        c->mlp = MODEL_MLP_GELU;
        c->rope.width = 2;
        c->attention_bias = c->output_bias = c->mlp_bias = true;
    } else if (variant == 6) { /* Granite, with OLMoE's norms and SmolLM3's rotations */
        c->attention_scale = 0.3;
        c->residual_scale = 0.5;
        c->logit_scale = 0.25;
        c->query_norm = MODEL_QUERY_NORM_WHOLE;
        c->unrotated = (struct layer_pattern){2, 1};
    } else if (variant == 8) { /* Mixtral */
        c->experts = 5;
        c->experts_used = 2;
        c->experts_whole = true;
        c->tied = false;
    } else if (variant == 9) { /* Qwen3.5 */
        c->query_norm = MODEL_QUERY_NORM_HEAD;
        c->attention_gate = true;
        c->rope.width = 4;
        c->delta = (struct delta_config){2, 4, 5, 7, 3, {2, 1}};
    } else { /* OPT */
        c->norm = MODEL_NORM_LAYER;
        c->positions = MODEL_POSITIONS_LEARNED;
        c->position_offset = 2;
        c->mlp = MODEL_MLP_RELU;
        c->output_bias = c->mlp_bias = true;
        if (variant == 11) { /* OPT-350M */
            c->block = MODEL_BLOCK_POST;
            c->embedding_width = 10;
        }
    }
}

static struct decoder_config make_config(int variant)
{
    struct decoder_config config = variant % 2 && variant < 4
                                       ? decoder_config_gpt2(VOCABULARY, CONTEXT, 24, 2, 4)
                                       : decoder_config_llama(VOCABULARY, CONTEXT, 24, 2, 4);
    config.hidden = 40;
    if (variant >= 2) {
        config.kv_heads = 2;
        config.tied = !config.tied;
        config.attention_bias = !config.attention_bias;
        config.mlp = config.mlp == MODEL_MLP_SWIGLU ? MODEL_MLP_SWIGLU : MODEL_MLP_GELU;
    }
    if (variant >= 4 && variant != WITH_ADAPTERS)
        add_traits(variant, &config);
    return config;
}

struct fixture {
    struct compute compute;
    struct tape tape;
    struct decoder decoder;
    struct adapters adapters;
    int32_t tokens[4 * CONTEXT], targets[4 * CONTEXT];
};

static void set_up(struct fixture *f, int variant)
{
    assert_int_equal(compute_create(2, MATMUL_F32, &f->compute, NULL), STATUS_OK);
    tape_init(&f->tape, &f->compute);
    struct decoder_config config = make_config(variant);
    assert_int_equal(decoder_config_check(&config, "test", NULL), STATUS_OK);
    assert_int_equal(decoder_create_random(&config, 5, &f->decoder, NULL), STATUS_OK);
    /* Values of ordinary size, so that no gradient drowns in rounding. */
    for (int64_t i = 0; i < f->decoder.parameters.total; i++)
        f->decoder.parameters.values[i] *= 6;
    f->adapters = (struct adapters){0};
    if (variant == WITH_ADAPTERS) {
        struct adapter_settings settings = {.rank = 3, .alpha = 6, .targets = 0x7f};
        assert_int_equal(adapters_create(&settings, &f->decoder, &f->adapters, NULL), STATUS_OK);
        assert_int_equal(adapters_declare_all(&f->adapters, &f->decoder, NULL), STATUS_OK);
        assert_int_equal(adapters_allocate(&f->adapters, NULL), STATUS_OK);
        random_fill_normal((struct random_address){8, RANDOM_TEST, 0, 0}, 0,
                           f->adapters.parameters.total, 0.1f, f->adapters.parameters.values);
        adapters_attach(&f->adapters, &f->decoder, 1);
    }
    for (int i = 0; i < 4 * CONTEXT; i++) {
        f->tokens[i] = i * 7 % VOCABULARY;
        f->targets[i] = (i * 11 + 3) % VOCABULARY;
    }
}

static void tear_down(struct fixture *f)
{
    decoder_free(&f->decoder);
    adapters_free(&f->adapters);
    tape_free(&f->tape);
    compute_free(&f->compute);
}

static void parameter_counts_are_what_is_allocated(void **state)
{
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++) {
        struct fixture f;
        set_up(&f, variant);
        int64_t count = 0;
        for (int i = 0; i < f.decoder.parameters.count; i++)
            count += tensor_count(&f.decoder.parameters.items[i].weight.tensor);
        assert_int_equal(count, decoder_count(&f.decoder.config).parameters);
        tear_down(&f);
    }
}

/* The tangent of the loss along a direction, by forward mode, is the gradient's product with that
 * direction: reverse and forward mode share no code for derivatives of attention and loss. */
static void forward_and_reverse_mode_agree(void **state)
{
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++) {
        struct fixture f;
        set_up(&f, variant);
        struct parameters *p = &f.decoder.parameters;
        assert_int_equal(parameters_train(p, NULL), STATUS_OK);
        float *direction = check_normal(1, p->total, 1);
        for (int i = 0; i < p->count; i++)
            p->items[i].weight.tensor.tangent = direction + p->items[i].offset;
        struct decoder_batch batch = {.batch = 3, .length = CONTEXT, .tokens = f.tokens};
        struct loss_target target = {.ids = f.targets, .scale = 1.0 / (3 * CONTEXT)};
        f.tape.recording = f.tape.forward_mode = true;
        struct tensor *loss = decoder_loss(&f.decoder, &f.tape, &batch, &target);
        assert_non_null(loss);
        tape_backward(&f.tape, loss);
        double product = 0, size = 0;
        for (int i = 0; i < p->count; i++)
            for (int64_t j = 0; j < tensor_count(&p->items[i].weight.tensor); j++) {
                int64_t at = p->items[i].offset + j;
                product += (double)p->gradients[at] * direction[at];
                size += fabs((double)p->gradients[at] * direction[at]);
            }
        assert_true(fabs(product - loss->tangent[0]) < 2e-6 * size);
        free(direction);
        tear_down(&f);
    }
}

static void cached_generation_equals_the_whole_pass(void **state)
{
    (void)state;
    for (int variant = 0; variant < VARIANTS * 3; variant++) {
        struct fixture f;
        set_up(&f, variant / 3);
        enum kv_format format = (enum kv_format)(variant % 3);
        struct decoder_batch batch = {.batch = 1, .length = 20, .tokens = f.tokens};
        struct tensor *hidden = decoder_hidden(&f.decoder, &f.tape, &batch);
        float whole[20 * VOCABULARY], step[20 * VOCABULARY];
        linear_logits(&f.compute, hidden, 0, 20, &f.decoder.head, whole);
        tape_reset(&f.tape);
        struct kv_cache cache;
        struct kv_sequence sequence = {0};
        assert_int_equal(kv_cache_create(&f.decoder.config, format, 40, &cache, NULL), STATUS_OK);
        const int pieces[] = {7, 1, 1, 3, 8};
        double worst = 0, largest = 0;
        for (int i = 0; i < 20 * VOCABULARY; i++)
            largest = fmax(largest, fabs((double)whole[i]));
        for (int i = 0, done = 0; i < 5; i++) {
            struct decoder_run run = {&sequence, f.tokens + done, pieces[i],
                                      i == 2,    pieces[i],       false};
            assert_int_equal(kv_sequence_reserve(&cache, &sequence, pieces[i], NULL), STATUS_OK);
            assert_int_equal(decoder_step(&f.decoder, &f.tape, &cache, &run, 1, step, NULL, NULL),
                             STATUS_OK);
            for (int j = 0; j < VOCABULARY * pieces[i]; j++)
                worst = fmax(worst, fabs((double)step[j] - (double)whole[done * VOCABULARY + j]));
            done += pieces[i];
        }
        double allowed = format == KV_F32 ? 1e-5 : format == KV_F16 ? 2e-2 : 0.3;
        if (!(worst < allowed * largest))
            fail_msg("variant %d, format %d: logits of %g differ by %g", variant / 3, (int)format,
                     largest, worst);
        struct error error = {0};
        assert_int_equal(kv_sequence_reserve(&cache, &sequence, 45, &error), STATUS_NO_MEMORY);
        assert_non_null(strstr(error.message, "cache is full"));
        kv_sequence_clear(&cache, &sequence);
        assert_int_equal(cache.free_count, cache.pages);
        kv_cache_free(&cache);
        tear_down(&f);
    }
}

/* Three sequences of different lengths, alone and in company: the same bits, whether tokens come
 * one by one, in pieces, or beside others. */
static void company_changes_no_bit(void **state)
{
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++) {
        struct fixture f;
        set_up(&f, variant);
        struct kv_cache cache;
        struct kv_sequence alone[3] = {{0}}, together[3] = {{0}};
        const int prompts[] = {9, 1, 14};
        static float a[3][6][VOCABULARY], b[3][VOCABULARY];
        assert_int_equal(kv_cache_create(&f.decoder.config, KV_F16, 400, &cache, NULL), STATUS_OK);
        for (int s = 0; s < 3; s++)
            for (int t = 0; t < 6; t++) {
                struct decoder_run run = {&alone[s],
                                          f.tokens + 10 * s + (t ? prompts[s] + t - 1 : 0),
                                          t ? 1 : prompts[s],
                                          t > 0,
                                          1,
                                          false};
                assert_int_equal(kv_sequence_reserve(&cache, &alone[s], run.count, NULL),
                                 STATUS_OK);
                decoder_step(&f.decoder, &f.tape, &cache, &run, 1, a[s][t], NULL, NULL);
            }
        /* The same again: each sequence enters a step later than the one before, its prompt in two
         * pieces where it can be cut. */
        int made[3] = {0}, fed[3] = {0};
        for (int step = 0; step < 12; step++) {
            struct decoder_run runs[3];
            int which[3], count = 0;
            for (int pass = 1; pass >= 0; pass--)
                for (int s = 0; s < 3; s++) {
                    bool single = fed[s] == prompts[s];
                    if (step < s || made[s] == 6 || single != (pass == 1))
                        continue;
                    int piece = single        ? 1
                                : fed[s] == 0 ? (prompts[s] + 1) / 2
                                              : prompts[s] - fed[s];
                    int at = single ? prompts[s] + made[s] - 1 : fed[s];
                    runs[count] = (struct decoder_run){
                        &together[s], f.tokens + 10 * s + at, piece, single, 1, false};
                    which[count++] = s;
                    assert_int_equal(kv_sequence_reserve(&cache, &together[s], piece, NULL),
                                     STATUS_OK);
                }
            decoder_step(&f.decoder, &f.tape, &cache, runs, count, b[0], NULL, NULL);
            for (int i = 0; i < count; i++) {
                int s = which[i];
                fed[s] += runs[i].single ? 0 : (int)runs[i].count;
                if (fed[s] == prompts[s])
                    assert_memory_equal(a[s][made[s]++], b[i], sizeof b[i]);
            }
        }
        for (int s = 0; s < 3; s++) {
            assert_int_equal(made[s], 6);
            kv_sequence_clear(&cache, &alone[s]);
            kv_sequence_clear(&cache, &together[s]);
        }
        kv_cache_free(&cache);
        tear_down(&f);
    }
}

static void packed_documents_do_not_see_each_other(void **state)
{
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++) {
        struct fixture f;
        set_up(&f, variant);
        int32_t positions[20], start[20];
        for (int t = 0; t < 20; t++) {
            start[t] = t < 8 ? 0 : 8;
            positions[t] = t - start[t];
        }
        struct decoder_batch packed = {1, 20, f.tokens, positions, start};
        struct decoder_batch alone = {.batch = 1, .length = 12, .tokens = f.tokens + 8};
        struct tensor *a = decoder_hidden(&f.decoder, &f.tape, &packed);
        struct tensor *b = decoder_hidden(&f.decoder, &f.tape, &alone);
        int64_t width = tensor_columns(b);
        for (int64_t i = 0; i < 12 * width; i++)
            assert_true(fabsf(a->data[8 * width + i] - b->data[i]) < 1e-4f);
        tear_down(&f);
    }
}

static void memory_is_estimated_within_a_tenth(void **state)
{
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++) {
        struct fixture f;
        set_up(&f, 0);
        decoder_free(&f.decoder);
        struct decoder_config config = variant == 1 ? decoder_config_gpt2(2000, 128, 128, 4, 4)
                                                    : decoder_config_llama(2000, 128, 192, 3, 3);
        if (variant >= 4 && variant != WITH_ADAPTERS)
            add_traits(variant, &config);
        assert_int_equal(decoder_create_random(&config, 5, &f.decoder, NULL), STATUS_OK);
        assert_int_equal(parameters_train(&f.decoder.parameters, NULL), STATUS_OK);
        int32_t *ids = calloc(1024, sizeof *ids);
        struct decoder_batch batch = {.batch = 8, .length = 128, .tokens = ids};
        struct loss_target target = {.ids = ids, .scale = 1};
        f.tape.recording = true;
        tape_backward(&f.tape, decoder_loss(&f.decoder, &f.tape, &batch, &target));
        double used = (double)f.tape.activations.peak + (double)f.tape.buffers.peak;
        double estimate = (double)decoder_activation_bytes(
            &config, &(struct decoder_work){.batch = 8, .length = 128});
        assert_true(fabs(estimate / used - 1) < 0.1);
        free(ids);
        tear_down(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameter_counts_are_what_is_allocated),
        cmocka_unit_test(forward_and_reverse_mode_agree),
        cmocka_unit_test(cached_generation_equals_the_whole_pass),
        cmocka_unit_test(company_changes_no_bit),
        cmocka_unit_test(packed_documents_do_not_see_each_other),
        cmocka_unit_test(memory_is_estimated_within_a_tenth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
