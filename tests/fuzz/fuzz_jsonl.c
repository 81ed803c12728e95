/* JSON lines as a corpus, and the field reader against a general parser. */
#include <jansson.h>
#include <string.h>

#include "base/json_field.h"
#include "data/corpus.h"
#include "fuzz/fuzz.h"

static void compare_readers(const char *record, size_t length)
{
    char *out = malloc(length + 1);
    size_t got = 0;
    enum json_field found = json_field_text(record, length, "text", out, &got);
    json_t *root = json_loadb(record, length, JSON_ALLOW_NUL, NULL);
    const json_t *text = json_object_get(root, "text");
    /* Numbers beyond a double's range are broken for the general parser alone. */
    if (json_is_object(root) && json_is_string(text) &&
        (found != JSON_FIELD_FOUND || got != json_string_length(text) ||
         memcmp(out, json_string_value(text), got) != 0))
        abort();
    json_decref(root);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size, ".jsonl");
    struct corpus *corpus;
    const struct document *documents;
    int64_t count = 1;
    struct error error;
    compare_readers((const char *)data, size);
    if (corpus_open(&path, 1, &(struct corpus_options){0}, &corpus, &error) != STATUS_OK)
        return 0;
    while (corpus_next(corpus, NULL, &documents, &count, &error) == STATUS_OK && count > 0)
        for (int64_t i = 0; i < count; i++)
            if (documents[i].text[documents[i].length] != 0)
                abort();
    corpus_close(corpus);
    return 0;
}
