/* The field reader agrees with a general JSON parser on every record, valid or broken. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_field.h"
#include "base/random.h"
#include "support/check.h"

/* What a general parser makes of the record. */
static void agree(const char *record, size_t length)
{
    char *out = malloc(length + 1);
    size_t got_length = 0;
    enum json_field got = json_field_text(record, length, "text", out, &got_length);
    json_t *root = json_loadb(record, length, JSON_ALLOW_NUL, NULL);
    const json_t *text = json_object_get(root, "text");
    if (!json_is_object(root)) {
        if (got != JSON_FIELD_BROKEN)
            fail_msg("accepted: %.*s", (int)length, record);
    } else if (!json_is_string(text)) {
        if (got != JSON_FIELD_MISSING)
            fail_msg("%d instead of missing: %.*s", got, (int)length, record);
    } else {
        if (got != JSON_FIELD_FOUND)
            fail_msg("refused: %.*s", (int)length, record);
        assert_int_equal(got_length, json_string_length(text));
        assert_memory_equal(out, json_string_value(text), got_length);
    }
    json_decref(root);
    free(out);
}

static void chosen_records_agree(void **state)
{
    (void)state;
    const char *const records[] = {
        "{\"text\": \"plain\"}",
        "{}",
        " { } ",
        "{\"text\": 3, \"other\": \"x\"}",
        "{\"text\": \"one\", \"text\": \"two\"}",
        "{\"text\": \"one\", \"text\": null}",
        "{\"a\": {\"text\": \"inner\"}, \"text\": \"outer\"}",
        "{\"a\": [1, -2.5e+3, true, false, null, [], {}], \"text\": \"x\"}",
        "{\"te\\u0078t\": \"escaped key\"}",
        "{\"text\": \"\\\" \\\\ \\/ \\b\\f\\n\\r\\t \\u00e9 \\ud83d\\ude00 \\u0000 end\"}",
        "{\"text\": \"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"}",
        "{\"text\": \"\\ud83d\"}",
        "{\"text\": \"\\ude00\"}",
        "{\"text\": \"\\ud83d\\u0041\"}",
        "{\"text\": \"\\x\"}",
        "{\"text\": \"bad utf \xff\"}",
        "{\"text\": \"overlong \xc0\xaf\"}",
        "{\"text\": \"half \xc3\"}",
        "{\"text\": \"line\nbreak\"}",
        "{\"text\": \"open",
        "{\"text\": \"x\"",
        "{\"text\": \"x\"}}",
        "{\"text\": \"x\"} trailing",
        "{\"text\": \"x\",}",
        "{,}",
        "{\"text\" \"x\"}",
        "{\"text\": 01}",
        "{\"text\": -}",
        "{\"text\": 1.}",
        "{\"text\": 1e}",
        "{\"text\": tru}",
        "[\"text\"]",
        "\"text\"",
        "",
        "   ",
        "{\"text\": \"\x7f\"}",
        "{\"a\": [1, 2}, \"text\": \"x\"}",
    };
    for (size_t i = 0; i < sizeof records / sizeof *records; i++)
        agree(records[i], strlen(records[i]));
}

static void every_cut_and_every_flipped_byte_agrees(void **state)
{
    (void)state;
    const char record[] = "{\"a\": [1.5, {\"b\": \"\\u00e9\\n\"}], \"text\": \"some \\\"text\\\" "
                          "\xc3\xa9\\ud83d\\ude00 of length\", \"z\": {\"text\": true}}";
    char copy[sizeof record];
    for (size_t i = 0; i < sizeof record; i++)
        agree(record, i);
    for (size_t i = 0; i + 1 < sizeof record; i++)
        for (int byte = 0; byte < 256; byte++) {
            memcpy(copy, record, sizeof record);
            copy[i] = (char)byte;
            agree(copy, sizeof record - 1);
        }
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    char record[4096], out[4097];
    size_t length = 0;
    memset(record, '[', sizeof record);
    memcpy(record, "{\"a\":", 5);
    assert_int_equal(json_field_text(record, sizeof record, "text", out, &length),
                     JSON_FIELD_BROKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chosen_records_agree),
        cmocka_unit_test(every_cut_and_every_flipped_byte_agrees),
        cmocka_unit_test(deep_nesting_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
