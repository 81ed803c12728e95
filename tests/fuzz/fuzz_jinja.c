/* Chat templates: whatever the source, parsing and rendering end within the limits, and what is
 * rendered is UTF-8. */
#include "fuzz/fuzz.h"
#include "text/chat.h"

static const char messages_text[] =
    "[{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": \"user\", \"content\": "
    "\"h\\u00e9 "
    "\\u6771\"}, {\"role\": \"assistant\", \"content\": \"<think>x</think>y\", \"tool_calls\": [{"
    "\"id\": \"123456789\", \"function\": {\"name\": \"f\", \"arguments\": {\"a\": [1, 2.5, "
    "null]}}}]}]";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jinja jinja;
    struct error error;
    if (jinja_parse((const char *)data, size, "input", &jinja, &error) != STATUS_OK)
        return 0;
    json_t *messages = json_loads(messages_text, 0, NULL);
    struct chat_options options = {.tools = messages, .bos = "<s>", .eos = "</s>"};
    struct buffer text = {0};
    struct jinja_ranges answers = {0};
    options.add_generation_prompt = size % 2;
    if (chat_render(&jinja, messages, &options, &text, &error) == STATUS_OK && text.length > 0) {
        json_t *again = json_stringn(text.data, text.length);
        if (!again)
            abort();
        json_decref(again);
    }
    buffer_clear(&text);
    if (size % 4 == 0 &&
        chat_render_answers(&jinja, messages, &options, &text, &answers, &error) == STATUS_OK)
        for (size_t i = 0; i < answers.count; i++)
            if (answers.items[i].begin > answers.items[i].end || answers.items[i].end > text.length)
                abort();
    free(answers.items);
    buffer_free(&text);
    json_decref(messages);
    jinja_free(&jinja);
    return 0;
}
