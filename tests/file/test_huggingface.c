/* Hugging Face folders: the goldens are tiny models with the logits that transformers computes
 * (tests/golden/models/make_golden.py). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "file/kinds.h"
#include "support/check.h"
#include "support/models.h"

static const char *const names[] = {
    "llama-grouped",    "llama-tied",   "llama-biased", "llama-head-width", "llama-rope-base",
    "llama-f16",        "llama-bf16",   "gpt2",         "gpt2-gelu",        "gpt2-untied",
    "gpt2-plain-names", "llama-linear", "llama-llama3", "llama-yarn",       "llama-sharded",
    "mistral",          "qwen2",        "qwen3",        "gemma2",           "gemma3",
    "smollm3",          "phi3",         "phi3-long",    "granite",          "gptneox",
    "gptneox-serial",   "opt",          "opt-350m",     "mixtral",          "olmoe",
    "olmoe-even",       "qwen3moe",     "bert",         "qwen35",           "qwen35-even",
    "modernbert",
};
#define NAMES ((int)(sizeof names / sizeof *names))
#define ROOT TEST_ROOT "/golden/models"

/* Largest difference between the logits of the model at `path` and the golden ones. */
static double worst_difference(struct compute *compute, const char *path, const char *golden,
                               bool train, struct error *error)
{
    struct model model;
    struct safetensors expected;
    if (model_load(path, train, &model, error) != STATUS_OK)
        fail_msg("%s", error->message);
    char *file = models_path(golden, "expected.safetensors", NULL);
    assert_int_equal(safetensors_open(file, &expected, error), STATUS_OK);
    const struct safetensors_entry *tokens = safetensors_find(&expected, "tokens");
    const struct safetensors_entry *logits = safetensors_find(&expected, "logits");
    assert_non_null(tokens);
    assert_non_null(logits);
    bool encoder = model.decoder.config.bidirectional; /* then the golden is its hidden states */
    assert_int_equal(logits->shape[2],
                     encoder ? model.decoder.config.width : model.decoder.config.vocabulary);
    size_t count = logits->bytes / sizeof(float);
    int32_t *ids = memcpy(malloc(tokens->bytes), tokens->data, tokens->bytes);
    float *want = memcpy(malloc(logits->bytes), logits->data, logits->bytes);
    float *got = models_logits(compute, &model, ids, tokens->shape[0], tokens->shape[1]);
    double worst = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
        largest = fmax(largest, fabs((double)want[i]));
        assert_true(isfinite(got[i]));
    }
    assert_true(largest > 1); /* else equal logits would say nothing */
    free(got);
    free(want);
    free(ids);
    free(file);
    safetensors_close(&expected);
    model_free(&model);
    return worst;
}

static void logits_are_those_of_transformers(void **state)
{
    (void)state;
    struct error error;
    struct compute compute;
    assert_int_equal(compute_create(2, MATMUL_F32, &compute, NULL), STATUS_OK);
    for (int i = 0; i < NAMES; i++)
        for (int train = 0; train < 2; train++) {
            char *path = models_path(ROOT, names[i], NULL);
            double worst = worst_difference(&compute, path, path, train, &error);
            if (!(worst < 1e-4))
                fail_msg("%s: logits differ by %g", names[i], worst);
            free(path);
        }
    compute_free(&compute);
}

/* Along a random direction the gradient of a loaded model's loss is what forward mode says. */
static void check_gradient(struct compute *compute, const char *name)
{
    enum { ROWS = 2, LENGTH = 12 };
    struct model model;
    struct error error;
    struct tape tape;
    int32_t tokens[ROWS * LENGTH], targets[ROWS * LENGTH];
    char *path = models_path(ROOT, name, NULL);
    if (model_load(path, true, &model, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    free(path);
    struct parameters *p = &model.decoder.parameters;
    int64_t vocabulary = model.decoder.config.vocabulary;
    for (int i = 0; i < ROWS * LENGTH; i++) {
        tokens[i] = (int32_t)(8 + i * 7 % (vocabulary - 8)); /* the row of a padding token is 0 */
        targets[i] = (int32_t)((i * 11 + 3) % vocabulary);
    }
    assert_int_equal(parameters_train(p, NULL), STATUS_OK);
    float *direction = check_normal(1, p->total, 1);
    for (int i = 0; i < p->count; i++)
        p->items[i].weight.tensor.tangent = direction + p->items[i].offset;
    tape_init(&tape, compute);
    tape.recording = tape.forward_mode = true;
    struct decoder_batch batch = {.batch = ROWS, .length = LENGTH, .tokens = tokens};
    struct loss_target target = {.ids = targets, .scale = 1.0 / (ROWS * LENGTH)};
    struct tensor *loss = decoder_loss(&model.decoder, &tape, &batch, &target);
    assert_non_null(loss);
    tape_backward(&tape, loss);
    double product = 0, size = 0;
    for (int64_t i = 0; i < p->total; i++) {
        product += (double)p->gradients[i] * (double)direction[i];
        size += fabs((double)p->gradients[i] * (double)direction[i]);
    }
    if (!(size > 0 && fabs(product - (double)loss->tangent[0]) < 1e-5 * size))
        fail_msg("%s: %g along the direction, not %g", name, product, (double)loss->tangent[0]);
    free(direction);
    tape_free(&tape);
    model_free(&model);
}

static void backward_works_through_every_loaded_decoder(void **state)
{
    (void)state;
    struct compute compute;
    assert_int_equal(compute_create(2, MATMUL_F32, &compute, NULL), STATUS_OK);
    for (int i = 0; i < NAMES; i++)
        if (!strstr(names[i], "bert"))
            check_gradient(&compute, names[i]);
    compute_free(&compute);
}

/* The stored values as f32; to be freed. */
static float *entry_values(const struct safetensors_entry *entry, int64_t *count)
{
    *count = 1;
    for (int i = 0; i < entry->rank; i++)
        *count *= entry->shape[i];
    float *values = malloc((size_t)*count * sizeof *values);
    entry->format->unpack(entry->data, *count, values);
    return values;
}

/* Bit for bit, but for Gemma's and Qwen3.5's norms, which lose a rounding when 1 is added and taken
 * away. */
static void compare_files(const char *original, const char *saved)
{
    struct safetensors a, b;
    if (!file_exists(original))
        return; /* in several files; the logits tell */
    assert_int_equal(safetensors_open(original, &a, NULL), STATUS_OK);
    assert_int_equal(safetensors_open(saved, &b, NULL), STATUS_OK);
    bool encoder = strstr(original, "bert") != NULL; /* poolers are left aside */
    assert_true(encoder ? a.count >= b.count : a.count == b.count);
    for (int64_t i = 0; i < a.count; i++) {
        const struct safetensors_entry *from = &a.entries[i];
        const struct safetensors_entry *to = safetensors_find(&b, from->name);
        char name[128];
        static const char *const prefixes[] = {"transformer.", "bert.", "model."};
        for (int prefix = 0; prefix < 3 && !to; prefix++) {
            snprintf(name, sizeof name, "%s%s", prefixes[prefix], from->name);
            to = safetensors_find(&b, name);
        }
        if (encoder && strncmp(from->name, "pooler.", 7) == 0)
            continue;
        if (!to)
            fail_msg("tensor %s is missing", name);
        assert_int_equal(from->rank, to->rank);
        assert_memory_equal(from->shape, to->shape, sizeof from->shape);
        assert_string_equal(to->type, "F32");
        int64_t count;
        float *want = entry_values(from, &count), *got = entry_values(to, &count);
        if (!strstr(original, "gemma") && !strstr(original, "qwen35"))
            assert_memory_equal(got, want, (size_t)count * sizeof *got);
        for (int64_t j = 0; j < count; j++)
            assert_true(fabsf(got[j] - want[j]) <= 2e-7f);
        free(want);
        free(got);
    }
    safetensors_close(&a);
    safetensors_close(&b);
}

static void saving_keeps_every_tensor_and_the_logits(void **state)
{
    (void)state;
    struct error error;
    struct compute compute;
    assert_int_equal(compute_create(2, MATMUL_F32, &compute, NULL), STATUS_OK);
    for (int i = 0; i < NAMES * 2; i++) {
        struct models_folder folder;
        models_folder_make(&folder);
        char *golden = models_path(ROOT, names[i / 2], NULL);
        char *original = models_path(golden, "model.safetensors", NULL);
        char *saved = models_path(folder.path, "sub", "model.safetensors");
        char *path = models_path(folder.path, "sub", NULL);
        struct model model;
        assert_int_equal(model_load(golden, i % 2, &model, NULL), STATUS_OK);
        if (model_save_folder(&model, path, &error) != STATUS_OK)
            fail_msg("%s", error.message);
        model_free(&model);
        compare_files(original, saved);
        assert_true(worst_difference(&compute, path, golden, i % 2, &error) < 1e-4);
        models_folder_remove(&folder);
        free(golden);
        free(original);
        free(saved);
        free(path);
    }
    compute_free(&compute);
}

/* A golden's config.json with one value replaced must be refused, or loaded, as told. */
static enum status read_changed(const char *name, const char *key, const char *json,
                                struct error *error)
{
    struct models_folder folder;
    models_folder_make(&folder);
    char *from = models_path(ROOT, name, "config.json");
    char *to = models_path(folder.path, "config.json", NULL);
    json_t *root = json_load_file(from, 0, NULL);
    assert_non_null(root);
    json_object_set_new(root, key, json_loads(json, JSON_DECODE_ANY, NULL));
    assert_int_equal(json_dump_file(root, to, 0), 0);
    struct decoder_config config;
    enum status status = huggingface_read_config(to, &config, error);
    if (status != STATUS_OK)
        models_check_message(error, to);
    json_decref(root);
    models_folder_remove(&folder);
    free(from);
    free(to);
    return status;
}

/* Into GGUF and back: the same logits, and a configuration that computes the same. */
static void gguf_keeps_every_family(void **state)
{
    (void)state;
    struct error error;
    struct compute compute;
    assert_int_equal(compute_create(2, MATMUL_F32, &compute, NULL), STATUS_OK);
    for (int i = 0; i < NAMES; i++) {
        struct models_folder folder;
        models_folder_make(&folder);
        char *golden = models_path(ROOT, names[i], NULL);
        char *path = models_path(folder.path, "x.gguf", NULL);
        char *again = models_path(folder.path, "again", NULL);
        struct model model;
        assert_int_equal(model_load(golden, false, &model, NULL), STATUS_OK);
        struct decoder_config config = model.decoder.config;
        enum status status = model_save_gguf(&model, path, NULL, "test", &error);
        model_free(&model);
        /* Of these GGUF has no place for what is special. */
        bool lacks = strncmp(names[i], "opt", 3) == 0 || strcmp(names[i], "gpt2-gelu") == 0 ||
                     strcmp(names[i], "qwen35") == 0 || strcmp(names[i], "olmoe") == 0;
        if ((status == STATUS_OK) == lacks)
            fail_msg("%s: %s", names[i], lacks ? "was written" : error.message);
        if (!lacks) {
            assert_true(worst_difference(&compute, path, golden, false, &error) < 1e-4);
            assert_int_equal(model_load(path, false, &model, NULL), STATUS_OK);
            assert_int_equal(model_save_folder(&model, again, NULL), STATUS_OK);
            model_free(&model);
            assert_true(worst_difference(&compute, again, golden, false, &error) < 1e-4);
            assert_int_equal(model_load(again, false, &model, NULL), STATUS_OK);
            assert_true(model_configs_agree(&config, &model.decoder.config));
            model_free(&model);
        }
        models_folder_remove(&folder);
        free(golden);
        free(path);
        free(again);
    }
    compute_free(&compute);
}

/* Options that change what the model computes, and that adze does not have, must not be passed over
 * in silence: the model would load and be wrong. */
static void options_that_adze_lacks_are_refused(void **state)
{
    (void)state;
    const struct {
        const char *name, *key, *json;
        bool fine;
    } cases[] = {
        {"llama-grouped", "hidden_act", "\"mish\"", false},
        {"llama-grouped", "rope_scaling", "{\"rope_type\": \"llama3\", \"factor\": 8.0}", false},
        {"llama-grouped", "rope_scaling", "{\"type\": \"linear\", \"factor\": 2.0}", true},
        {"llama-grouped", "rope_scaling", "{\"type\": \"linear\", \"factor\": 0.0}", false},
        {"llama-grouped", "rope_scaling", "{\"type\": \"dynamic\", \"factor\": 2.0}", false},
        {"llama-grouped", "rope_scaling", "{\"type\": \"longrope\", \"short_factor\": [1]}", false},
        {"llama-grouped", "rope_scaling", "{\"rope_type\": \"default\"}", true},
        {"llama-grouped", "rope_scaling", "null", true},
        {"llama-grouped", "rope_parameters",
         "{\"rope_type\": \"yarn\", \"factor\": 8.0, \"mscale\": 1.0}", false},
        {"llama-grouped", "partial_rotary_factor", "0.5", true},
        {"llama-grouped", "partial_rotary_factor", "1.5", false},
        {"llama-grouped", "sliding_window", "-3", false},
        {"gemma2", "layer_types",
         "[\"full_attention\", \"full_attention\", "
         "\"sliding_attention\", \"sliding_attention\"]",
         false},
        {"gemma2", "layer_types", "[\"full_attention\", \"a\", \"a\", \"a\"]", false},
        {"gemma2", "query_pre_attn_scalar", "-4", false},
        {"llama-grouped", "num_key_value_heads", "3", false},
        {"llama-grouped", "num_attention_heads", "0", false},
        {"llama-grouped", "num_attention_heads", "-4", false},
        {"llama-grouped", "head_dim", "5", false},
        {"llama-grouped", "hidden_size", "9223372036854775807", false},
        {"llama-grouped", "vocab_size", "\"many\"", false},
        {"llama-grouped", "rms_norm_eps", "-1.0", false},
        {"llama-grouped", "eos_token_id", "48", false},
        {"llama-grouped", "eos_token_id", "-7", false},
        {"llama-grouped", "eos_token_id", "[3, 5]", true},
        {"llama-grouped", "model_type", "\"mamba\"", false},
        {"opt", "do_layer_norm_before", "false", true},
        {"opt", "word_embed_proj_dim", "12", true},
        {"opt", "word_embed_proj_dim", "-12", false},
        {"opt", "_remove_final_layer_norm", "true", false},
        {"opt", "enable_bias", "false", false},
        {"gpt2", "activation_function", "\"silu\"", false},
        {"gpt2", "scale_attn_weights", "false", false},
        {"gpt2", "scale_attn_by_inverse_layer_idx", "true", false},
        {"gpt2", "add_cross_attention", "true", false},
        {"gpt2", "n_inner", "null", true},
        {"gpt2", "n_inner", "-8", false},
        {"gpt2", "n_layer", "0", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error;
        enum status status = read_changed(cases[i].name, cases[i].key, cases[i].json, &error);
        if ((status == STATUS_OK) != cases[i].fine)
            fail_msg("%s with %s = %s was %s", cases[i].name, cases[i].key, cases[i].json,
                     cases[i].fine ? "refused" : "taken");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_those_of_transformers),
        cmocka_unit_test(backward_works_through_every_loaded_decoder),
        cmocka_unit_test(saving_keeps_every_tensor_and_the_logits),
        cmocka_unit_test(gguf_keeps_every_family),
        cmocka_unit_test(options_that_adze_lacks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
