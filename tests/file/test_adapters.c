/* Adapters on disk: read and used as peft does it (figures from golden/adapters/make.py), written
 * in both layouts and read again, and refused when they do not fit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "file/adapters.h"
#include "support/models.h"
#include "weight/formats.h"

enum { LENGTH = 20, VOCABULARY = 48 };

struct fixture {
    char *folder;
    struct model model;
    struct adapters adapters;
    struct safetensors expected;
    struct compute compute;
    struct tape tape;
    int32_t tokens[LENGTH], targets[LENGTH];
    float weights[LENGTH];
};

static void set_up(struct fixture *f, const char *family)
{
    *f = (struct fixture){.folder = models_path(TEST_ROOT "/golden/adapters", family, NULL)};
    char *adapter = models_path(f->folder, "adapter", NULL);
    char *expected = models_path(f->folder, "expected.safetensors", NULL);
    assert_int_equal(compute_create(2, MATMUL_F32, &f->compute, NULL), STATUS_OK);
    tape_init(&f->tape, &f->compute);
    struct error error = {0};
    if (model_load(f->folder, false, &f->model, &error) != STATUS_OK ||
        adapters_load(adapter, &f->model.decoder, &f->adapters, &error) != STATUS_OK ||
        safetensors_open(expected, &f->expected, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    for (int i = 0; i < LENGTH; i++) {
        f->tokens[i] = i * 7 % VOCABULARY;
        f->targets[i] = (i + 1) * 7 % VOCABULARY;
        f->weights[i] = i + 1 < LENGTH ? 1.0f : 0.0f;
    }
    free(adapter);
    free(expected);
}

static void tear_down(struct fixture *f)
{
    adapters_free(&f->adapters);
    model_free(&f->model);
    safetensors_close(&f->expected);
    tape_free(&f->tape);
    compute_free(&f->compute);
    free(f->folder);
}

/* Largest difference to an expected array, relative to its largest value. */
static double difference(const struct fixture *f, const char *name, const float *got)
{
    const struct safetensors_entry *entry = safetensors_find(&f->expected, name);
    assert_non_null(entry);
    const float *want = entry->data;
    double worst = 0, largest = 0;
    for (size_t i = 0; i < entry->bytes / sizeof *want; i++) {
        worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
        largest = fmax(largest, fabs((double)want[i]));
    }
    return worst / largest;
}

static void logits_are_those_of_peft(void **state)
{
    (void)state;
    const char *const families[] = {"llama", "gpt2", "qwen35"};
    for (int i = 0; i < 3; i++) {
        struct fixture f;
        set_up(&f, families[i]);
        float *plain = models_logits(&f.compute, &f.model, f.tokens, 1, LENGTH);
        adapters_attach(&f.adapters, &f.model.decoder, 1);
        float *logits = models_logits(&f.compute, &f.model, f.tokens, 1, LENGTH);
        assert_true(difference(&f, "logits", plain) > 0.01);
        assert_true(difference(&f, "logits", logits) < 1e-5);
        free(plain);
        free(logits);
        tear_down(&f);
    }
}

static void gradients_are_those_of_peft(void **state)
{
    (void)state;
    static const char *const modules[] = {
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
        "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
    struct fixture f;
    set_up(&f, "llama");
    adapters_attach(&f.adapters, &f.model.decoder, 1);
    assert_int_equal(parameters_train(&f.adapters.parameters, NULL), STATUS_OK);
    struct decoder_batch batch = {.batch = 1, .length = LENGTH, .tokens = f.tokens};
    struct loss_target target = {
        .ids = f.targets, .weights = f.weights, .scale = 1.0 / (LENGTH - 1)};
    f.tape.recording = true;
    tape_backward(&f.tape, decoder_loss(&f.model.decoder, &f.tape, &batch, &target));
    assert_int_equal(tape_check(&f.tape, NULL), STATUS_OK);
    assert_int_equal(f.adapters.count, 2 * LINEARS);
    for (int i = 0; i < f.adapters.count; i++) {
        const struct adapter_item *item = &f.adapters.items[i];
        for (int part = 0; part < 2; part++) {
            char name[160];
            snprintf(name, sizeof name, "base_model.model.model.layers.%d.%s.lora_%c.weight",
                     (int)item->layer, modules[item->which], part ? 'B' : 'A');
            const struct weight *w = part ? item->adapter.b : item->adapter.a;
            if (difference(&f, name, w->tensor.gradient) > 1e-4)
                fail_msg("%s differs by %g", name, difference(&f, name, w->tensor.gradient));
        }
    }
    tear_down(&f);
}

static void what_is_written_acts_the_same_when_read(void **state)
{
    (void)state;
    const char *const families[] = {"llama", "gpt2", "qwen35"};
    const char *const names[] = {"peft", "lora.gguf"};
    struct models_folder folder;
    models_folder_make(&folder);
    for (int i = 0; i < 6; i++) {
        struct fixture f;
        set_up(&f, families[i / 2]);
        char *path = models_path(folder.path, names[i % 2], NULL);
        struct adapters again;
        struct error error = {0};
        if (adapters_save(&f.adapters, &f.model.decoder, "base", path, &error) != STATUS_OK ||
            adapters_load(path, &f.model.decoder, &again, &error) != STATUS_OK)
            fail_msg("%s", error.message);
        adapters_attach(&again, &f.model.decoder, 1);
        float *logits = models_logits(&f.compute, &f.model, f.tokens, 1, LENGTH);
        assert_true(difference(&f, "logits", logits) < 1e-5);
        free(logits);
        adapters_free(&again);
        free(path);
        tear_down(&f);
    }
    models_folder_remove(&folder);
}

static void expect_refusal(struct fixture *f, const char *path, const char *word)
{
    struct adapters adapters;
    struct error error = {0};
    assert_int_not_equal(adapters_load(path, &f->model.decoder, &adapters, &error), STATUS_OK);
    models_check_message(&error, word);
}

static void others_adapters_are_refused(void **state)
{
    (void)state;
    struct fixture f, other;
    set_up(&f, "llama");
    set_up(&other, "gpt2");
    char *adapter = models_path(other.folder, "adapter", NULL);
    expect_refusal(&f, adapter, "adapter");
    struct models_folder folder;
    models_folder_make(&folder);
    char *gguf = models_path(folder.path, "other.gguf", NULL);
    assert_int_equal(adapters_save(&other.adapters, &other.model.decoder, "base", gguf, NULL),
                     STATUS_OK);
    expect_refusal(&f, gguf, "gpt2");
    expect_refusal(&f, folder.path, "adapter_config.json");
    /* A whole file, then every shorter one. */
    assert_int_equal(adapters_save(&f.adapters, &f.model.decoder, "base", gguf, NULL), STATUS_OK);
    struct buffer bytes = models_read(gguf);
    for (size_t length = 0; length < bytes.length; length += 1 + length / 4) {
        models_write(gguf, bytes.data, length);
        expect_refusal(&f, gguf, "other.gguf");
    }
    buffer_free(&bytes);
    models_folder_remove(&folder);
    free(gguf);
    free(adapter);
    tear_down(&f);
    tear_down(&other);
}

/* Qwen3.5 keeps queries and the gates of attention in one tensor; the gates have no adapters here.
 */
static void adapters_of_gates_are_refused(void **state)
{
    (void)state;
    const char *const prefix = "base_model.model.model.layers.3.self_attn.q_proj";
    for (int changed = 0; changed < 64; changed += 9) {
        struct models_folder folder;
        struct fixture f;
        struct safetensors file;
        struct adapters adapters;
        struct error error = {0};
        struct safetensors_entry more[64] = {{0}};
        float a[32] = {0}, b[64] = {0};
        char names[2][96];
        models_folder_make(&folder);
        set_up(&f, "qwen35");
        char *from = models_path(f.folder, "adapter", "adapter_model.safetensors");
        char *to = models_path(folder.path, "adapter_model.safetensors", NULL);
        char *config = models_path(f.folder, "adapter", "adapter_config.json");
        struct buffer bytes = models_read(config);
        free(config);
        config = models_path(folder.path, "adapter_config.json", NULL);
        models_write(config, bytes.data, bytes.length);
        buffer_free(&bytes);
        assert_int_equal(safetensors_open(from, &file, NULL), STATUS_OK);
        assert_true(file.count + 2 <= 64);
        memcpy(more, file.entries, (size_t)file.count * sizeof *more);
        b[changed] = 1; /* of each head 8 rows of queries, then 8 of gates */
        for (int part = 0; part < 2; part++) {
            snprintf(names[part], sizeof names[part], "%s.lora_%c.weight", prefix, "AB"[part]);
            more[file.count + part] =
                (struct safetensors_entry){.name = names[part],
                                           .format = &weight_f32,
                                           .rank = 2,
                                           .shape = {part ? 64 : 1, part ? 1 : 32},
                                           .data = part ? b : a};
        }
        assert_int_equal(safetensors_write(to, more, file.count + 2, NULL, NULL, NULL), STATUS_OK);
        bool gate = changed / 8 % 2 == 1;
        assert_int_equal(adapters_load(folder.path, &f.model.decoder, &adapters, &error),
                         gate ? STATUS_FAILED : STATUS_OK);
        if (gate)
            models_check_message(&error, "changes layers.3.attention.gate.weight");
        else
            adapters_free(&adapters);
        safetensors_close(&file);
        free(from);
        free(to);
        free(config);
        tear_down(&f);
        models_folder_remove(&folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_those_of_peft),
        cmocka_unit_test(gradients_are_those_of_peft),
        cmocka_unit_test(what_is_written_acts_the_same_when_read),
        cmocka_unit_test(others_adapters_are_refused),
        cmocka_unit_test(adapters_of_gates_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
