/* safetensors files: what is written is read back; damaged and hostile files end with one line that
 * names them. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/models.h"
#include "weight/formats.h"

static void put_file(const char *path, uint64_t length, const char *header, size_t data)
{
    struct buffer bytes = {0};
    buffer_add(&bytes, &length, sizeof length);
    buffer_add(&bytes, header, strlen(header));
    for (size_t i = 0; i < data; i++)
        buffer_add(&bytes, "\1", 1);
    models_write(path, bytes.data, bytes.length);
    buffer_free(&bytes);
}

static void check_refused(const char *path, const char *what)
{
    struct safetensors file;
    struct error error = {0};
    if (safetensors_open(path, &file, &error) == STATUS_OK)
        fail_msg("%s: was taken", what);
    models_check_message(&error, path);
    assert_null(file.entries); /* nothing is left to be freed */
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    struct models_folder folder;
    models_folder_make(&folder);
    char *path = models_path(folder.path, "a.safetensors", NULL);
    const float values[6] = {1, -2, 3.5f, 0, 1e30f, -1e-30f};
    const uint16_t halves[5] = {0x3c00, 0, 0x8000, 0x7bff, 1};
    const struct safetensors_entry entries[] = {
        {.name = "b \"quoted\" \xc3\xa9",
         .format = &weight_f32,
         .rank = 2,
         .shape = {2, 3},
         .data = values},
        {.name = "a", .format = &weight_f16, .rank = 1, .shape = {5}, .data = halves},
        {.name = "scalar", .format = &weight_f32, .rank = 0, .data = values},
        {.name = "nothing", .format = &weight_bf16, .rank = 2, .shape = {0, 7}, .data = values},
    };
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    assert_int_equal(safetensors_write(path, entries, 4, metadata, NULL, NULL), STATUS_OK);
    json_decref(metadata);
    struct safetensors file;
    assert_int_equal(safetensors_open(path, &file, NULL), STATUS_OK);
    assert_int_equal(file.count, 4);
    assert_string_equal(json_string_value(json_object_get(file.metadata, "format")), "pt");
    for (int i = 0; i < 4; i++) {
        const struct safetensors_entry *entry = safetensors_find(&file, entries[i].name);
        assert_non_null(entry);
        assert_ptr_equal(entry->format, entries[i].format);
        assert_int_equal(entry->rank, entries[i].rank);
        assert_memory_equal(entry->shape, entries[i].shape, sizeof entry->shape);
        assert_memory_equal(entry->data, entries[i].data, entry->bytes);
    }
    assert_int_equal(safetensors_find(&file, "a")->bytes, sizeof halves);
    assert_null(safetensors_find(&file, "b"));
    safetensors_close(&file);
    free(path);
    models_folder_remove(&folder);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct models_folder folder;
    models_folder_make(&folder);
    char *path = models_path(folder.path, "cut.safetensors", NULL);
    const float values[6] = {0};
    const struct safetensors_entry entries[] = {
        {.name = "a", .format = &weight_f32, .rank = 2, .shape = {2, 3}, .data = values},
        {.name = "b", .format = &weight_bf16, .rank = 1, .shape = {3}, .data = values},
    };
    assert_int_equal(safetensors_write(path, entries, 2, NULL, NULL, NULL), STATUS_OK);
    struct buffer whole = models_read(path);
    for (size_t length = whole.length; length-- > 0;) {
        assert_int_equal(truncate(path, (off_t)length), 0);
        check_refused(path, "cut off");
    }
    buffer_free(&whole);
    free(path);
    models_folder_remove(&folder);
}

static void tensors_that_share_bytes_are_refused(void **state)
{
    (void)state;
    struct models_folder folder;
    models_folder_make(&folder);
    char *path = models_path(folder.path, "shared.safetensors", NULL);
    const char *const headers[] = {
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
        "{\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
        "\"z\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
    };
    for (int i = 0; i < 2; i++) {
        struct buffer file = {0};
        uint64_t length = strlen(headers[i]);
        buffer_add(&file, &length, sizeof length);
        buffer_add_text(&file, headers[i]);
        buffer_add(&file, "12345678", 8);
        assert_int_equal(file_write_atomic(path, file.data, file.length, NULL), STATUS_OK);
        check_refused(path, "overlap");
        buffer_free(&file);
    }
    free(path);
    models_folder_remove(&folder);
}

static void hostile_headers_are_refused(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "[]",
        "null",
        "1",
        "",
        "{",
        "{\"a\": 1}",
        "{\"a\": []}",
        "{\"a\": {}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,16]}}",
        "{\"a\":{\"shape\":[4],\"data_offsets\":[0,16]}}",
        "{\"a\":{\"dtype\":7,\"shape\":[4],\"data_offsets\":[0,16]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":4,\"data_offsets\":[0,16]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-4],\"data_offsets\":[0,16]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4.0],\"data_offsets\":[0,16]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[0,16]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,16]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[16,0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[-16,0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[4,20]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16,32]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,\"16\"]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,9223372036854775807]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,99999999999999999999]}}",
        /* Products that wrap around to 16 or 0 bytes. */
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,4],\"data_offsets\":[0,16]}}",
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}"),
        "{\"a\":{\"dtype\":\"AVERYLONGTYPE\",\"shape\":[4],\"data_offsets\":[0,16]}}",
        "{\"__metadata__\":7}",
        "{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}",
        "{\"\xff\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}",
        "{\"two\\nlines\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[0,16]}}",
        "{\n\n  \"a\" 1}",
    };
    struct models_folder folder;
    models_folder_make(&folder);
    char *path = models_path(folder.path, "hostile.safetensors", NULL);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        put_file(path, strlen(headers[i]), headers[i], 16);
        check_refused(path, headers[i]);
    }
    struct buffer deep = {0};
    for (int i = 0; i < 100000; i++)
        buffer_add(&deep, "[", 1);
    buffer_add(&deep, "", 1);
    put_file(path, deep.length - 1, deep.data, 0);
    check_refused(path, "deep nesting");
    buffer_free(&deep);
    const uint64_t lengths[] = {3, 200, 1 << 30, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        put_file(path, lengths[i], "{\"a\":{}}", 0);
        check_refused(path, "a wrong header length");
    }
    check_refused("/nowhere/at/all.safetensors", "a missing file");
    free(path);
    models_folder_remove(&folder);
}

static void unusual_headers_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        int64_t count;
    } cases[] = {
        {"{}", 0},
        {"  {}   ", 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 1},
        {"{\"a\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[0,16]}}", 1},
        {"{\"a\":{\"dtype\":\"F8_E9\",\"shape\":[2],\"data_offsets\":[0,16]}}", 1},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[1,13]}}", 1},
    };
    struct models_folder folder;
    models_folder_make(&folder);
    char *path = models_path(folder.path, "odd.safetensors", NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct safetensors file;
        struct error error = {0};
        put_file(path, strlen(cases[i].header), cases[i].header, 16);
        if (safetensors_open(path, &file, &error) != STATUS_OK)
            fail_msg("%s", error.message);
        assert_int_equal(file.count, cases[i].count);
        safetensors_close(&file);
    }
    free(path);
    models_folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(tensors_that_share_bytes_are_refused),
        cmocka_unit_test(hostile_headers_are_refused),
        cmocka_unit_test(unusual_headers_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
