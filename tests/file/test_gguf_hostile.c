/* Damaged and hostile GGUF files end with one line that names them, never with a crash. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/models.h"
#include "weight/formats.h"

/* A file with two keys and one or two tensors, any number of which can be wrong. */
struct sketch {
    const char *what;
    const char *magic;
    uint32_t version;
    uint64_t tensor_count, key_count;
    uint64_t key_length; /* of the first key's name; 0: right */
    uint32_t key_type;
    uint64_t text_length; /* of the first key's text; 0: right */
    uint32_t item_type;   /* of the array under the second key */
    uint64_t item_count;
    uint32_t alignment;
    const char *second_key;
    uint32_t rank;
    uint64_t shape[5];
    uint32_t type;
    uint64_t offset;
    const char *second_tensor;
    uint64_t data; /* bytes */
};

static const struct sketch sound = {
    .magic = "GGUF",
    .version = 3,
    .tensor_count = 1,
    .key_count = 3,
    .key_type = GGUF_STRING,
    .item_type = GGUF_I32,
    .item_count = 2,
    .alignment = 32,
    .second_key = "list",
    .rank = 2,
    .shape = {32, 2, 1, 1, 1},
    .data = 256,
};

static void put_u32(struct buffer *out, uint32_t value)
{
    buffer_add(out, &value, sizeof value);
}

static void put_u64(struct buffer *out, uint64_t value)
{
    buffer_add(out, &value, sizeof value);
}

static void put_text(struct buffer *out, const char *text, uint64_t length)
{
    put_u64(out, length ? length : strlen(text));
    buffer_add(out, text, strlen(text));
}

static void put_tensor(struct buffer *out, const struct sketch *s, const char *name)
{
    put_text(out, name, 0);
    put_u32(out, s->rank);
    for (uint32_t i = 0; i < s->rank && i < 5; i++)
        put_u64(out, s->shape[i]);
    put_u32(out, s->type);
    put_u64(out, s->offset);
}

static void draw(const struct sketch *s, const char *path)
{
    struct buffer out = {0};
    buffer_add(&out, s->magic, 4);
    put_u32(&out, s->version);
    put_u64(&out, s->tensor_count);
    put_u64(&out, s->key_count);
    put_text(&out, "text", s->key_length);
    put_u32(&out, s->key_type);
    put_text(&out, "value", s->text_length);
    put_text(&out, s->second_key, 0);
    put_u32(&out, GGUF_ARRAY);
    put_u32(&out, s->item_type);
    put_u64(&out, s->item_count);
    put_u64(&out, 0);
    put_text(&out, "general.alignment", 0);
    put_u32(&out, GGUF_U32);
    put_u32(&out, s->alignment);
    put_tensor(&out, s, "first");
    if (s->second_tensor)
        put_tensor(&out, s, s->second_tensor);
    while (out.length % 32 != 0)
        buffer_add(&out, "", 1);
    for (uint64_t i = 0; i < s->data; i++)
        buffer_add(&out, "\1", 1);
    models_write(path, out.data, out.length);
    buffer_free(&out);
}

#define WITH(text, ...)                                                                            \
    {                                                                                              \
        .what = text, .magic = "GGUF", .version = 3, .tensor_count = 1, .key_count = 3,            \
        .key_type = GGUF_STRING, .item_type = GGUF_I32, .item_count = 2, .alignment = 32,          \
        .second_key = "list", .rank = 2, .shape = {32, 2, 1, 1, 1}, .data = 256, __VA_ARGS__       \
    }

#pragma GCC diagnostic ignored "-Woverride-init"
#ifdef __clang__
#pragma clang diagnostic ignored "-Winitializer-overrides"
#endif
static const struct sketch hostile[] = {
    WITH("another magic", .magic = "GGML"),
    WITH("version 1", .version = 1),
    WITH("big-endian version", .version = 0x03000000),
    WITH("2^64 - 1 tensors", .tensor_count = UINT64_MAX),
    WITH("2^63 tensors", .tensor_count = (uint64_t)1 << 63),
    WITH("more tensors than fit", .tensor_count = 100000),
    WITH("a tensor that is not there", .tensor_count = 2, .data = 0),
    WITH("2^64 - 1 keys", .key_count = UINT64_MAX),
    WITH("counts whose sum wraps around", .key_count = UINT64_MAX, .tensor_count = 1),
    WITH("one key too many", .key_count = 4),
    WITH("a key of 2^64 - 1 bytes", .key_length = UINT64_MAX),
    WITH("a key of 2^63 bytes", .key_length = (uint64_t)1 << 63),
    WITH("a key as long as the file", .key_length = 600),
    WITH("an unknown type", .key_type = 13),
    WITH("a type of 2^32 - 1", .key_type = UINT32_MAX),
    WITH("a text of 2^64 - 1 bytes", .text_length = UINT64_MAX),
    WITH("a text longer than the file", .text_length = 10000),
    WITH("an array of arrays", .item_type = GGUF_ARRAY),
    WITH("an array of an unknown type", .item_type = 99),
    WITH("an array of 2^64 - 1", .item_count = UINT64_MAX),
    WITH("an array whose bytes wrap around", .item_count = ((uint64_t)1 << 62) + 2),
    WITH("an array longer than the file", .item_count = 1000),
    WITH("2^60 texts", .item_type = GGUF_STRING, .item_count = (uint64_t)1 << 60),
    WITH("texts longer than the file", .item_type = GGUF_STRING, .item_count = 40),
    WITH("two values for a key", .second_key = "text"),
    WITH("alignment 0", .alignment = 0),
    WITH("alignment 3", .alignment = 3),
    WITH("alignment 2^31", .alignment = (uint32_t)1 << 31),
    WITH("five axes", .rank = 5),
    WITH("2^32 - 1 axes", .rank = UINT32_MAX),
    WITH("a shape whose product wraps around", .shape = {(uint64_t)1 << 32, (uint64_t)1 << 32}),
    WITH("an axis of 2^63", .shape = {(uint64_t)1 << 63, 1}),
    WITH("bytes that wrap around", .shape = {(uint64_t)1 << 62, 1}),
    WITH("bytes beyond the file", .shape = {32, 3}),
    WITH("a row of 33 in blocks of 32", .type = 8, .shape = {33, 32}),
    WITH("an offset beyond the file", .offset = 1 << 20),
    WITH("an offset of 2^64 - 32", .offset = UINT64_MAX - 31),
    WITH("an offset near the end", .offset = 32),
    WITH("an offset off the alignment", .offset = 4, .data = 512),
    WITH("two tensors of a name", .tensor_count = 2, .second_tensor = "first"),
    WITH("a tensor's name over two lines", .tensor_count = 2, .second_tensor = "a\nb",
         .shape = {32, 3}),
    WITH("no data", .data = 0),
};

static void check_refused(const char *path, const char *what)
{
    struct gguf file;
    struct error error = {0};
    if (gguf_open(path, &file, &error) == STATUS_OK)
        fail_msg("%s: was taken", what);
    models_check_message(&error, path);
    assert_null(file.path);
}

static void hostile_files_are_refused(void **state)
{
    (void)state;
    struct models_folder folder;
    models_folder_make(&folder);
    char *path = models_path(folder.path, "hostile.gguf", NULL);
    struct gguf file;
    draw(&sound, path);
    assert_int_equal(gguf_open(path, &file, NULL), STATUS_OK); /* else all below says nothing */
    gguf_close(&file);
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        draw(&hostile[i], path);
        check_refused(path, hostile[i].what);
    }
    models_write(path, "", 0);
    check_refused(path, "an empty file");
    check_refused("/nowhere/at/all.gguf", "a missing file");
    free(path);
    models_folder_remove(&folder);
}

static void unusual_files_are_taken(void **state)
{
    (void)state;
    static const struct sketch unusual[] = {
        WITH("version 2", .version = 2),
        WITH("a tensor without rows", .shape = {32, 0}),
        WITH("a tensor without columns", .shape = {0, 32}),
        WITH("no axes", .rank = 0),
        WITH("an unknown format", .type = 1000, .shape = {1 << 20, 1 << 20}),
        WITH("alignment 1", .alignment = 1, .data = 512),
        WITH("two texts", .item_type = GGUF_STRING, .item_count = 1),
        WITH("a whole row of blocks", .type = 8, .shape = {32, 7}),
    };
    struct models_folder folder;
    models_folder_make(&folder);
    char *path = models_path(folder.path, "unusual.gguf", NULL);
    for (size_t i = 0; i < sizeof unusual / sizeof *unusual; i++) {
        struct gguf file;
        struct error error = {0};
        draw(&unusual[i], path);
        if (gguf_open(path, &file, &error) != STATUS_OK)
            fail_msg("%s: %s", unusual[i].what, error.message);
        assert_string_equal(gguf_get_text(&file, "text"), "value");
        assert_non_null(gguf_tensor_find(&file, "first"));
        gguf_close(&file);
    }
    free(path);
    models_folder_remove(&folder);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct models_folder folder;
    models_folder_make(&folder);
    char *path = models_path(folder.path, "cut.gguf", NULL);
    struct model model;
    models_random("llama", &model);
    assert_int_equal(model_save_gguf(&model, path, NULL, "test", NULL), STATUS_OK);
    model_free(&model);
    struct gguf file;
    assert_int_equal(gguf_open(path, &file, NULL), STATUS_OK);
    size_t length = file.map.length;
    size_t data = (size_t)((const unsigned char *)file.tensors[0].data - file.map.data);
    gguf_close(&file);
    while (length > 0) { /* the data only here and there */
        length -= length > data + 500 ? 491 : 1;
        assert_int_equal(truncate(path, (off_t)length), 0);
        check_refused(path, "cut off");
    }
    free(path);
    models_folder_remove(&folder);
}

/* Every byte before the data changed in turn: the model loads, or one line says why not. */
static void a_changed_byte_never_crashes(void **state)
{
    (void)state;
    struct models_folder folder;
    models_folder_make(&folder);
    char *path = models_path(folder.path, "changed.gguf", NULL);
    for (int family = 0; family < 2; family++) {
        struct model model;
        models_random(family ? "gpt2" : "llama", &model);
        assert_int_equal(model_save_gguf(&model, path, NULL, "test", NULL), STATUS_OK);
        model_free(&model);
        struct gguf file;
        assert_int_equal(gguf_open(path, &file, NULL), STATUS_OK);
        size_t data = (size_t)((const unsigned char *)file.tensors[0].data - file.map.data);
        gguf_close(&file);
        struct buffer bytes = models_read(path);
        int loaded = 0;
        for (size_t i = 0; i < data; i++) {
            char old = bytes.data[i];
            bytes.data[i] = (char)(i % 2 ? old ^ 1 : 0xff);
            models_write(path, bytes.data, bytes.length);
            bytes.data[i] = old;
            struct error error = {0};
            if (model_load(path, i % 3 == 0, &model, &error) == STATUS_OK) {
                loaded++;
                model_free(&model);
            } else {
                models_check_message(&error, path);
            }
        }
        assert_true(loaded > 0 && (size_t)loaded < data); /* names of unread keys may change */
        buffer_free(&bytes);
    }
    free(path);
    models_folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_files_are_refused),
        cmocka_unit_test(unusual_files_are_taken),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(a_changed_byte_never_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
