/* GGUF files against llama.cpp: tests/golden/gguf holds two small models and what llama.cpp makes
 * of them (make_golden.py). Files are written here by adze's own functions, so that writing,
 * reading and computing are all held to those figures. */
#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "support/models.h"
#include "weight/formats.h"

#define ROOT TEST_ROOT "/golden/gguf"

static const char *const families[] = {"llama", "gpt2"};

/* The stored models are f16; `train` widens them to f32. */
static void load_golden(const char *family, bool train, struct model *model)
{
    char name[32];
    struct error error;
    snprintf(name, sizeof name, "%s.gguf", family);
    char *path = models_path(ROOT, name, NULL);
    if (model_load(path, train, model, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    free(path);
}

static json_t *load_figures(void)
{
    json_t *figures = json_load_file(ROOT "/figures.json", 0, NULL);
    assert_non_null(figures);
    return figures;
}

static const json_t *figure(const json_t *figures, const char *family, const char *name)
{
    const json_t *models = json_object_get(figures, "models");
    const json_t *value = json_object_get(json_object_get(models, family), name);
    assert_non_null(value);
    return value;
}

static struct tok_ids encode_text(const struct model *model)
{
    struct tok_ids ids = {0};
    struct tok_scratch scratch = {0};
    struct buffer text = models_read(ROOT "/text.txt");
    assert_int_equal(
        tok_encode(&model->tokenizer, &scratch, text.data, text.length, false, &ids, NULL),
        STATUS_OK);
    tok_scratch_free(&scratch);
    buffer_free(&text);
    return ids;
}

static void tokens_are_those_of_llama_cpp(void **state)
{
    (void)state;
    json_t *figures = load_figures();
    for (int f = 0; f < 2; f++) {
        struct model model;
        load_golden(families[f], false, &model);
        struct tok_ids ids = encode_text(&model);
        const json_t *want = json_object_get(figures, "tokens");
        assert_true(ids.count > 2000);
        assert_int_equal(ids.count, json_array_size(want));
        for (int64_t i = 0; i < ids.count; i++)
            assert_int_equal(ids.items[i], json_integer_value(json_array_get(want, (size_t)i)));
        tok_ids_free(&ids);
        model_free(&model);
    }
    json_decref(figures);
}

static void perplexity_is_that_of_llama_cpp(void **state)
{
    (void)state;
    json_t *figures = load_figures();
    int64_t context = json_integer_value(json_object_get(figures, "context"));
    struct models_folder folder;
    struct compute compute;
    models_folder_make(&folder);
    assert_int_equal(compute_create(2, MATMUL_F32, &compute, NULL), STATUS_OK);
    char *path = models_path(folder.path, "model.gguf", NULL);
    for (int f = 0; f < 2; f++) {
        struct model wide, model;
        load_golden(families[f], true, &wide);
        struct tok_ids ids = encode_text(&wide);
        int compared = 0;
        for (int k = 0; weight_formats[k]; k++) {
            const char *name = weight_formats[k]->name;
            double want =
                json_real_value(json_object_get(figure(figures, families[f], "perplexity"), name));
            if (want == 0) /* these models are too narrow for super-blocks */
                continue;
            compared++;
            assert_int_equal(model_save_gguf(&wide, path, weight_formats[k], "test", NULL),
                             STATUS_OK);
            assert_int_equal(model_load(path, false, &model, NULL), STATUS_OK);
            assert_ptr_equal(model.decoder.layers[0].down.weight->format, weight_formats[k]);
            double got = models_perplexity(&compute, &model, &ids, context);
            if (!(fabs(got / want - 1) < 0.002))
                fail_msg("%s in %s: %.4f, llama.cpp %.4f", families[f], name, got, want);
            print_message("%s %s: %.4f, llama.cpp %.4f\n", families[f], name, got, want);
            model_free(&model);
        }
        assert_int_equal(compared, json_object_size(figure(figures, families[f], "perplexity")));
        tok_ids_free(&ids);
        model_free(&wide);
    }
    free(path);
    compute_free(&compute);
    models_folder_remove(&folder);
    json_decref(figures);
}

static void hash(const void *data, size_t length, char hex[65])
{
    unsigned char digest[32];
    unsigned int size = 0;
    assert_int_equal(EVP_Digest(data, length, digest, &size, EVP_sha256(), NULL), 1);
    for (unsigned int i = 0; i < size; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static void packed_blocks_are_those_of_llama_quantize(void **state)
{
    (void)state;
    json_t *figures = load_figures();
    struct models_folder folder;
    models_folder_make(&folder);
    char *path = models_path(folder.path, "model.gguf", NULL);
    const struct weight_format *const formats[] = {&weight_q8_0, &weight_q4_0};
    for (int f = 0; f < 2; f++)
        for (int k = 0; k < 2; k++) {
            struct model wide;
            struct gguf file;
            load_golden(families[f], true, &wide);
            assert_int_equal(model_save_gguf(&wide, path, formats[k], "test", NULL), STATUS_OK);
            assert_int_equal(gguf_open(path, &file, NULL), STATUS_OK);
            json_t *blocks =
                json_object_get(figure(figures, families[f], "blocks"), formats[k]->name);
            assert_true(json_object_size(blocks) >= 9);
            const char *name;
            json_t *want;
            json_object_foreach(blocks, name, want)
            {
                const struct gguf_tensor *tensor = gguf_tensor_find(&file, name);
                assert_non_null(tensor);
                char hex[65];
                hash(tensor->data, tensor->bytes, hex);
                if (strcmp(hex, json_string_value(want)) != 0)
                    fail_msg("%s %s: blocks of %s differ", families[f], formats[k]->name, name);
            }
            gguf_close(&file);
            model_free(&wide);
        }
    free(path);
    models_folder_remove(&folder);
    json_decref(figures);
}

static void what_is_written_gives_the_same_logits_bit_for_bit(void **state)
{
    (void)state;
    struct models_folder folder;
    struct compute compute;
    models_folder_make(&folder);
    assert_int_equal(compute_create(2, MATMUL_F32, &compute, NULL), STATUS_OK);
    char *path = models_path(folder.path, "model.gguf", NULL);
    int32_t tokens[40];
    for (int i = 0; i < 40; i++)
        tokens[i] = i * 17 % 60;
    for (int variant = 0; variant < 8; variant++) {
        struct model model, back;
        if (variant & 2)
            load_golden(families[variant & 1], true, &model);
        else
            models_random(families[variant & 1], &model);
        size_t bytes = (size_t)(40 * model.decoder.config.vocabulary) * sizeof(float);
        float *want = models_logits(&compute, &model, tokens, 2, 20);
        assert_int_equal(model_save_gguf(&model, path, NULL, "test", NULL), STATUS_OK);
        assert_int_equal(model_load(path, variant & 4, &back, NULL), STATUS_OK);
        float *got = models_logits(&compute, &back, tokens, 2, 20);
        assert_memory_equal(got, want, bytes);
        free(got);
        free(want);
        model_free(&back);
        model_free(&model);
    }
    free(path);
    compute_free(&compute);
    models_folder_remove(&folder);
}

/* A frozen model's blocks go through a file unchanged. */
static void packed_weights_survive_a_round_trip(void **state)
{
    (void)state;
    struct models_folder folder;
    models_folder_make(&folder);
    char *first = models_path(folder.path, "first.gguf", NULL);
    char *second = models_path(folder.path, "second.gguf", NULL);
    for (int f = 0; f < 2; f++)
        for (int k = 0; weight_formats[k]; k++) {
            struct model model;
            load_golden(families[f], true, &model);
            assert_int_equal(model_save_gguf(&model, first, weight_formats[k], "test", NULL),
                             STATUS_OK);
            model_free(&model);
            assert_int_equal(model_load(first, false, &model, NULL), STATUS_OK);
            assert_int_equal(model_save_gguf(&model, second, NULL, "test", NULL), STATUS_OK);
            model_free(&model);
            struct buffer a = models_read(first), b = models_read(second);
            assert_int_equal(a.length, b.length);
            assert_memory_equal(a.data, b.data, a.length);
            buffer_free(&a);
            buffer_free(&b);
        }
    free(first);
    free(second);
    models_folder_remove(&folder);
}

static void what_gguf_cannot_say_is_not_written(void **state)
{
    (void)state;
    for (int variant = 0; variant < 3; variant++) {
        struct model model;
        struct error error = {0};
        models_random(variant == 2 ? "llama" : "gpt2", &model);
        if (variant == 0)
            model.decoder.config.mlp = MODEL_MLP_GELU; /* llama.cpp computes the tanh form */
        if (variant == 1)
            model.decoder.config.kv_heads = 2;
        if (variant == 2)
            model.decoder.config.norm = MODEL_NORM_LAYER;
        assert_int_equal(model_save_gguf(&model, "/nowhere/x.gguf", NULL, "test", &error),
                         STATUS_FAILED);
        models_check_message(&error, "/nowhere/x.gguf");
        assert_non_null(strstr(error.message, "cannot be written"));
        model_free(&model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_those_of_llama_cpp),
        cmocka_unit_test(perplexity_is_that_of_llama_cpp),
        cmocka_unit_test(packed_blocks_are_those_of_llama_quantize),
        cmocka_unit_test(what_is_written_gives_the_same_logits_bit_for_bit),
        cmocka_unit_test(packed_weights_survive_a_round_trip),
        cmocka_unit_test(what_gguf_cannot_say_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
