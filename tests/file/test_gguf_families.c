/* Every family that adze writes as GGUF against llama.cpp: tests/golden/families has what it
 * computes of the files that adze makes of the models of tests/golden/models (make_golden.py). The
 * files are made here anew, read, and held to those figures. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run/embedding.h"
#include "support/models.h"
#include "weight/formats.h"

#define ROOT TEST_ROOT "/golden/families"
#define EMBEDDED 24

/* The text's first `words` words (0: all), with what llama.cpp puts around every text. */
static struct tok_ids encode_text(int64_t words)
{
    struct tokenizer tokenizer;
    struct tok_scratch scratch = {0};
    struct tok_ids ids = {0};
    assert_int_equal(model_load_tokenizer(ROOT "/tokenizer.json", &tokenizer, NULL), STATUS_OK);
    struct buffer text = models_read(ROOT "/text.txt");
    size_t length = words > 0 ? 2 * (size_t)words - 1 : text.length;
    assert_true(length <= text.length);
    assert_int_equal(
        tok_encode_model(&tokenizer, &scratch, text.data, length, true, false, &ids, NULL),
        STATUS_OK);
    tok_scratch_free(&scratch);
    buffer_free(&text);
    tok_free(&tokenizer);
    return ids;
}

/* The golden model, written as GGUF and read again. */
static void load_written(const char *name, struct model *model)
{
    struct models_folder folder;
    struct error error;
    models_folder_make(&folder);
    char *golden = models_path(TEST_ROOT "/golden/models", name, NULL);
    char *path = models_path(folder.path, "x.gguf", NULL);
    struct model original;
    if (model_load(golden, false, &original, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    if (strcmp(name, "mistral") == 0 || strcmp(name, "phi3") == 0)
        original.decoder.config.window = 0; /* llama.cpp has none there */
    if (model_save_gguf(&original, path, NULL, "test", &error) != STATUS_OK)
        fail_msg("%s", error.message);
    model_free(&original);
    if (model_load(path, false, model, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    free(golden);
    free(path);
    models_folder_remove(&folder);
}

/* llama.cpp takes the exact GELU for the tanh form, and looks that up in f16; and it rounds
 * activations to the format of matrices. */
static double tolerance(const struct decoder *decoder)
{
    bool rounded = decoder->layers[0].output.weight->format != &weight_f32;
    return rounded || decoder->config.mlp != MODEL_MLP_SWIGLU ? 1e-3 : 5e-6;
}

static void check_perplexity(struct compute *compute, const char *name, int64_t context,
                             double want)
{
    struct model model;
    load_written(name, &model);
    struct tok_ids ids = encode_text(0);
    assert_int_equal(ids.count, 2050);
    double got = models_perplexity(compute, &model, &ids, context);
    print_message("%s: %.4f, llama.cpp %.4f: %.2g\n", name, got, want, fabs(got / want - 1));
    if (!(fabs(got / want - 1) < tolerance(&model.decoder)))
        fail_msg("%s: perplexity %.4f, llama.cpp %.4f", name, got, want);
    tok_ids_free(&ids);
    model_free(&model);
}

static void check_embedding(struct compute *compute, const char *name, const json_t *want)
{
    struct model model;
    struct tape tape;
    load_written(name, &model);
    tape_init(&tape, compute);
    struct tok_ids ids = encode_text(EMBEDDED);
    assert_int_equal(ids.count, EMBEDDED + 2);
    int64_t width = model.decoder.config.width;
    float *got = malloc((size_t)width * sizeof *got);
    double worst = 0;
    assert_int_equal(embed_tokens(&model.decoder, &tape, ids.items, ids.count, got, NULL),
                     STATUS_OK);
    assert_int_equal(json_array_size(want), width);
    for (int64_t i = 0; i < width; i++)
        worst =
            fmax(worst, fabs((double)got[i] - json_real_value(json_array_get(want, (size_t)i))));
    print_message("%s: embeddings differ by %.2g\n", name, worst);
    if (!(worst < tolerance(&model.decoder)))
        fail_msg("%s: embeddings differ by %g", name, worst);
    free(got);
    tok_ids_free(&ids);
    tape_free(&tape);
    model_free(&model);
}

static void figures_are_those_of_llama_cpp(void **state)
{
    (void)state;
    struct compute compute;
    const char *name;
    json_t *want, *root = json_load_file(ROOT "/figures.json", 0, NULL);
    assert_non_null(root);
    int64_t context = json_integer_value(json_object_get(root, "context"));
    assert_true(json_object_size(json_object_get(root, "figures")) >= 31);
    assert_int_equal(compute_create(2, MATMUL_F32, &compute, NULL), STATUS_OK);
    json_object_foreach(json_object_get(root, "figures"), name, want)
    {
        if (json_is_array(want))
            check_embedding(&compute, name, want);
        else
            check_perplexity(&compute, name, context, json_real_value(want));
    }
    compute_free(&compute);
    json_decref(root);
}

/* Qwen3.5's files say -exp(rate): what does not lie below 0 has no rate. */
static void decays_that_cannot_be_are_refused(void **state)
{
    (void)state;
    const float values[] = {1.0f, 0.0f, NAN, -0.5f};
    for (int i = 0; i < 4; i++) {
        struct models_folder folder;
        struct model model;
        struct gguf file;
        struct error error = {0};
        models_folder_make(&folder);
        char *path = models_path(folder.path, "x.gguf", NULL);
        assert_int_equal(model_load(TEST_ROOT "/golden/models/qwen35-even", false, &model, NULL),
                         STATUS_OK);
        assert_int_equal(model_save_gguf(&model, path, NULL, "test", NULL), STATUS_OK);
        model_free(&model);
        struct buffer bytes = models_read(path);
        assert_int_equal(gguf_open(path, &file, NULL), STATUS_OK);
        const struct gguf_tensor *rates = gguf_tensor_find(&file, "blk.1.ssm_a");
        assert_non_null(rates);
        size_t at = (size_t)((const char *)rates->data - (const char *)file.map.data);
        gguf_close(&file);
        memcpy(bytes.data + at, &values[i], sizeof values[i]);
        models_write(path, bytes.data, bytes.length);
        buffer_free(&bytes);
        enum status status = model_load(path, false, &model, &error);
        assert_int_equal(status, i == 3 ? STATUS_OK : STATUS_FAILED);
        if (status == STATUS_OK)
            model_free(&model);
        else
            assert_non_null(strstr(error.message, "blk.1.ssm_a"));
        free(path);
        models_folder_remove(&folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_those_of_llama_cpp),
        cmocka_unit_test(decays_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
