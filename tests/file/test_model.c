/* Models whose files do not hold together: tensors that are missing, of another shape or format, or
 * too many; tokenizers larger than the vocabulary. Each ends with one line that names the file. */
#include <stdlib.h>
#include <string.h>

#include "support/models.h"
#include "text/tokenizer_train.h"
#include "weight/formats.h"

static const char *const families[] = {"llama", "gpt2"};

static void check_refused(const char *path, const char *what, const char *tensor)
{
    for (int train = 0; train < 2; train++) {
        struct model model;
        struct error error = {0};
        if (model_load(path, train, &model, &error) == STATUS_OK)
            fail_msg("%s of %s was taken", what, tensor);
        models_check_message(&error, path);
        assert_null(model.path);
    }
}

enum change { MISSING, FEWER_ROWS, NO_ROWS, MORE_COLUMNS, THIRD_AXIS, TURNED, CHANGES };
static const char *const change_names[] = {"absence",      "fewer rows", "no rows",
                                           "more columns", "third axis", "turning"};

/* Writes the file anew with one entry changed; false when the change would change nothing. */
static bool write_changed(const char *from, const char *to, int64_t which, enum change change)
{
    static const float zeros[64 * 1024];
    struct safetensors file;
    assert_int_equal(safetensors_open(from, &file, NULL), STATUS_OK);
    struct safetensors_entry *entry = &file.entries[which];
    int64_t *shape = entry->shape, count = file.count, rows = shape[0];
    entry->data = zeros;
    bool differs = true;
    switch (change) {
    case MISSING:
        *entry = file.entries[--count];
        break;
    case FEWER_ROWS:
        shape[0]--;
        break;
    case NO_ROWS:
        shape[0] = 0;
        break;
    case MORE_COLUMNS:
        shape[entry->rank - 1]++;
        break;
    case THIRD_AXIS:
        entry->rank = 3;
        shape[2] = shape[1] > 0 ? shape[1] : 1;
        shape[1] = 1;
        break;
    default:
        differs = entry->rank == 2 && rows != shape[1];
        shape[0] = shape[1];
        shape[1] = rows;
    }
    if (differs)
        assert_int_equal(safetensors_write(to, file.entries, count, NULL, NULL, NULL), STATUS_OK);
    safetensors_close(&file);
    return differs;
}

static void folders_with_a_wrong_tensor_are_refused(void **state)
{
    (void)state;
    for (int f = 0; f < 2; f++) {
        struct models_folder folder;
        struct model model;
        struct safetensors file;
        models_folder_make(&folder);
        models_random(families[f], &model);
        assert_int_equal(model_save_folder(&model, folder.path, NULL), STATUS_OK);
        model_free(&model);
        char *sound = models_path(folder.path, "sound", NULL);
        char *path = models_path(folder.path, "model.safetensors", NULL);
        struct buffer bytes = models_read(path);
        models_write(sound, bytes.data, bytes.length);
        buffer_free(&bytes);
        assert_int_equal(safetensors_open(sound, &file, NULL), STATUS_OK);
        for (int64_t i = 0; i < file.count; i++)
            for (enum change change = 0; change < CHANGES; change++)
                if (write_changed(sound, path, i, change))
                    check_refused(folder.path, change_names[change], file.entries[i].name);
        safetensors_close(&file);
        free(sound);
        free(path);
        models_folder_remove(&folder);
    }
}

static void folders_with_a_tensor_too_many_are_refused(void **state)
{
    (void)state;
    static const struct {
        int family;
        const char *name;
        bool fine;
    } cases[] = {
        {0, "model.layers.0.self_attn.q_norm.weight", false},
        {0, "model.layers.2.self_attn.q_proj.weight", false},
        {0, "model.layers.0.self_attn.rotary_emb.inv_freq", true},
        {1, "transformer.h.0.attn.bias", true},
        {1, "h.1.attn.masked_bias", true},
        {1, "lm_head.weight", true}, /* tied */
        {1, "score.weight", false},
    };
    const float values[4] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct models_folder folder;
        struct model model;
        struct safetensors file;
        struct error error = {0};
        models_folder_make(&folder);
        models_random(families[cases[i].family], &model);
        assert_int_equal(model_save_folder(&model, folder.path, NULL), STATUS_OK);
        model_free(&model);
        char *path = models_path(folder.path, "model.safetensors", NULL);
        assert_int_equal(safetensors_open(path, &file, NULL), STATUS_OK);
        struct safetensors_entry more[64] = {0};
        memcpy(more, file.entries, (size_t)file.count * sizeof *more);
        more[file.count] = (struct safetensors_entry){
            .name = cases[i].name, .format = &weight_f32, .rank = 1, .shape = {4}, .data = values};
        assert_int_equal(safetensors_write(path, more, file.count + 1, NULL, NULL, NULL),
                         STATUS_OK);
        safetensors_close(&file);
        enum status status = model_load(folder.path, false, &model, &error);
        if ((status == STATUS_OK) != cases[i].fine)
            fail_msg("with %s: %s", cases[i].name, error.message);
        if (status == STATUS_OK)
            model_free(&model);
        else
            assert_non_null(strstr(error.message, cases[i].name));
        free(path);
        models_folder_remove(&folder);
    }
}

/* The place of a tensor's rank in the file's list of tensors. */
static char *find_tensor(struct buffer *bytes, const char *name)
{
    char key[128];
    uint64_t length = strlen(name);
    memcpy(key, &length, 8);
    memcpy(key + 8, name, length);
    char *at = memmem(bytes->data, bytes->length, key, 8 + length);
    assert_non_null(at);
    return at + 8 + length;
}

static void add(char *at, size_t width, int64_t amount)
{
    uint64_t value = 0;
    memcpy(&value, at, width);
    value += (uint64_t)amount;
    memcpy(at, &value, width);
}

static void gguf_files_with_a_wrong_tensor_are_refused(void **state)
{
    (void)state;
    for (int f = 0; f < 2; f++) {
        struct models_folder folder;
        struct model model;
        struct gguf file;
        models_folder_make(&folder);
        models_random(families[f], &model);
        char *path = models_path(folder.path, "model.gguf", NULL);
        assert_int_equal(model_save_gguf(&model, path, NULL, "test", NULL), STATUS_OK);
        model_free(&model);
        struct buffer bytes = models_read(path);
        assert_int_equal(gguf_open(path, &file, NULL), STATUS_OK);
        for (int64_t i = 0; i < file.tensor_count; i++) {
            const char *name = file.tensors[i].name;
            char *rank = find_tensor(&bytes, name);
            size_t rows = (size_t)file.tensors[i].rank * 8 - 4; /* behind the rank: shape, type */
            const struct {
                const char *what;
                char *at;
                size_t width;
                int64_t amount;
            } changes[] = {
                {"renaming", rank - 1, 1, 1},
                {"an axis less", rank + rows, 8, -1},
                {"an unknown format", rank + rows + 8, 4, 1000},
            };
            for (int k = 0; k < 3; k++) {
                /* A tied model's vocabulary is what its embedding has. */
                if (k == 1 && f == 1 && strcmp(name, "token_embd.weight") == 0)
                    continue;
                add(changes[k].at, changes[k].width, changes[k].amount);
                models_write(path, bytes.data, bytes.length);
                add(changes[k].at, changes[k].width, -changes[k].amount);
                check_refused(path, changes[k].what, name);
            }
        }
        gguf_close(&file);
        buffer_free(&bytes);
        free(path);
        models_folder_remove(&folder);
    }
}

/* A tokenizer of 258 or so ids from bytes and two merges. */
static void make_tokenizer(struct tokenizer *tokenizer)
{
    struct tok_counter counter = {0};
    const char text[] = "abab abab abab cd cd abab";
    const char *const specials[] = {"<|endoftext|>"};
    struct tok_train_options options = {.vocabulary = 260,
                                        .least_count = 1,
                                        .specials = specials,
                                        .special_count = 1,
                                        .eos = specials[0]};
    assert_int_equal(tok_count(&counter, text, sizeof text - 1, NULL), STATUS_OK);
    assert_int_equal(tok_train(&counter, &options, tokenizer, NULL), STATUS_OK);
    tok_counter_free(&counter);
}

static void random_with_tokenizer(struct model *model, int64_t vocabulary)
{
    struct decoder_config config = decoder_config_llama(vocabulary, 16, 32, 1, 2);
    *model = (struct model){.has_tokenizer = true};
    assert_int_equal(decoder_create_random(&config, 4, &model->decoder, NULL), STATUS_OK);
    make_tokenizer(&model->tokenizer);
}

static void tokenizers_larger_than_the_vocabulary_are_refused(void **state)
{
    (void)state;
    struct models_folder folder;
    struct model model, back;
    models_folder_make(&folder);
    char *hugging = models_path(folder.path, "folder", NULL);
    char *path = models_path(folder.path, "model.gguf", NULL);
    random_with_tokenizer(&model, 300);
    int32_t count = model.tokenizer.count;
    assert_int_equal(model_save_folder(&model, hugging, NULL), STATUS_OK);
    assert_int_equal(model_save_gguf(&model, path, NULL, "test", NULL), STATUS_OK);
    for (int kind = 0; kind < 2; kind++) { /* fewer ids than the vocabulary are fine */
        assert_int_equal(model_load(kind ? path : hugging, false, &back, NULL), STATUS_OK);
        assert_true(back.has_tokenizer);
        assert_int_equal(back.tokenizer.eos, model.tokenizer.eos);
        for (int32_t id = 0; id < back.tokenizer.count; id++)
            assert_int_equal(back.tokenizer.pieces[id].defined, id < count);
        model_free(&back);
    }
    model_free(&model);
    random_with_tokenizer(&model, count - 1);
    model.has_tokenizer = false; /* the folder keeps the tokenizer.json of before */
    assert_int_equal(model_save_folder(&model, hugging, NULL), STATUS_OK);
    check_refused(hugging, "a tokenizer that is too large", "the folder");
    model_free(&model);
    struct buffer bytes = models_read(path);
    for (int tensor = 0; tensor < 2; tensor++) {
        const char *const names[] = {"token_embd.weight", "output.weight"};
        add(find_tensor(&bytes, names[tensor]) + 12, 8, -1);
    }
    models_write(path, bytes.data, bytes.length);
    check_refused(path, "a tokenizer that is too large", "the file");
    buffer_free(&bytes);
    free(hugging);
    free(path);
    models_folder_remove(&folder);
}

static void a_path_without_a_model_is_refused(void **state)
{
    (void)state;
    struct models_folder folder;
    models_folder_make(&folder);
    check_refused(folder.path, "an empty folder", "nothing");
    char *path = models_path(folder.path, "absent", NULL);
    check_refused(path, "an absent file", "nothing");
    char *config = models_path(folder.path, "config.json", NULL);
    models_write(config, "{\n\"model_type\": ", 16);
    check_refused(folder.path, "half a config.json", "nothing");
    free(path);
    free(config);
    models_folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_with_a_wrong_tensor_are_refused),
        cmocka_unit_test(folders_with_a_tensor_too_many_are_refused),
        cmocka_unit_test(gguf_files_with_a_wrong_tensor_are_refused),
        cmocka_unit_test(tokenizers_larger_than_the_vocabulary_are_refused),
        cmocka_unit_test(a_path_without_a_model_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
