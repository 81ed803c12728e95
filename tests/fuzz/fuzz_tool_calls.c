/* Answers with calls of tools: the first byte says in which form. However an answer is cut into
 * pieces, it gives the same text and calls; without calls the text is the answer; and what is told
 * as arguments is JSON. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "text/tool_calls.h"

static const char tools_text[] =
    "[{\"function\":{\"name\":\"f\",\"parameters\":{\"properties\":{\"a\":{\"type\":\"string\"},"
    "\"b\":{\"type\":\"integer\"},\"c\":{}}}}}]";

static void read_pieces(enum tool_form form, const uint8_t *data, size_t size, size_t most,
                        struct tool_reader *reader, struct buffer *text)
{
    json_t *tools = json_loads(tools_text, 0, NULL);
    *reader = (struct tool_reader){.form = form, .tools = tools};
    for (size_t at = 0; at < size; at += most)
        tool_reader_add(reader, (const char *)data + at, size - at < most ? size - at : most, text);
    tool_reader_finish(reader, text);
    if (reader->failed || text->failed)
        abort();
    json_decref(tools);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tool_reader whole, cut;
    struct buffer text = {0}, other = {0};
    if (size < 2)
        return 0;
    enum tool_form form = (enum tool_form)(data[0] % (TOOL_FORM_DEEPSEEK + 1));
    size_t most = 1 + data[1] % 8;
    read_pieces(form, data + 2, size - 2, size, &whole, &text);
    read_pieces(form, data + 2, size - 2, most, &cut, &other);
    if (text.length != other.length ||
        (text.length > 0 && memcmp(text.data, other.data, text.length) != 0) ||
        json_array_size(whole.calls) != json_array_size(cut.calls) ||
        (whole.calls && !json_equal(whole.calls, cut.calls)))
        abort();
    if (json_array_size(whole.calls) == 0 &&
        (text.length != size - 2 || (size > 2 && memcmp(text.data, data + 2, size - 2) != 0)))
        abort();
    for (size_t i = 0; i < json_array_size(whole.calls); i++) {
        const json_t *call = json_array_get(whole.calls, i);
        json_t *arguments =
            json_loads(json_string_value(json_object_get(call, "arguments")), JSON_ALLOW_NUL, NULL);
        if (!json_is_object(arguments) || json_string_length(json_object_get(call, "name")) == 0)
            abort();
        json_decref(arguments);
    }
    tool_reader_free(&whole);
    tool_reader_free(&cut);
    buffer_free(&text);
    buffer_free(&other);
    return 0;
}
