/* See normalize.h. */
#include "text/normalize.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "text/charsmap.h"
#include "text/normalize_steps.h"
#include "text/unicode.h"

#define STEPS_MOST 32

enum step_kind {
    STEP_FORM,
    STEP_LOWERCASE,
    STEP_DROP_MARKS,
    STEP_STRIP,
    STEP_PREPEND,
    STEP_REPLACE,
    STEP_NMT,
    STEP_CHARSMAP,
    STEP_BERT,
};

struct step {
    enum step_kind kind;
    enum normalize_form form;
    bool left, right;
    char *content;                 /* prepended, or put for what matches */
    struct split_pattern *pattern; /* what is replaced */
    struct bert_rules bert;
    unsigned char *rules; /* the bytes that `map` uses */
    struct charsmap map;
};

struct normalizer {
    struct step steps[STEPS_MOST];
    int count;
    bool longest;
};

static enum status refuse(const char *name, const char *type, struct error *error)
{
    return error_set(error, STATUS_FAILED, "%s: normalizer '%.40s' is not supported", name, type);
}

static enum status read_replace(struct step *step, const json_t *json, const char *name,
                                struct error *error)
{
    const json_t *pattern = json_object_get(json, "pattern");
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));
    const char *plain = json_string_value(json_object_get(pattern, "String"));
    const char *content = json_string_value(json_object_get(json, "content"));
    if ((!regex && !plain) || !content)
        return error_set(error, STATUS_FAILED, "%s: a Replace normalizer lacks pattern or content",
                         name);
    step->kind = STEP_REPLACE;
    step->content = strdup(content);
    if (!step->content)
        return error_no_memory(error, strlen(content));
    return split_create(regex ? regex : plain, !regex, false, &step->pattern, error);
}

static enum status read_rules(struct step *step, const json_t *json, const char *name,
                              struct error *error)
{
    const json_t *text = json_object_get(json, "precompiled_charsmap");
    size_t length = json_string_length(text);
    step->kind = STEP_CHARSMAP;
    if (length == 0) { /* no rules at all */
        step->kind = STEP_PREPEND;
        step->content = strdup("");
        return step->content ? STATUS_OK : error_no_memory(error, 1);
    }
    step->rules = malloc(length + 4);
    if (!step->rules)
        return error_no_memory(error, length);
    int bytes = length <= INT32_MAX
                    ? EVP_DecodeBlock(step->rules, (const unsigned char *)json_string_value(text),
                                      (int)length)
                    : -1;
    for (size_t i = 1; i <= 2 && bytes > 0 && i <= length; i++)
        bytes -= json_string_value(text)[length - i] == '=';
    return charsmap_open(step->rules, bytes > 0 ? (size_t)bytes : 0, name, &step->map, error);
}

static enum status read_step(struct step *step, const json_t *json, const char *name,
                             struct error *error)
{
    static const char *const forms[] = {"NFC", "NFD", "NFKC", "NFKD"};
    const char *type = json_string_value(json_object_get(json, "type"));
    type = type ? type : "";
    for (int i = 0; i < 4; i++)
        if (strcmp(type, forms[i]) == 0) {
            step->kind = STEP_FORM;
            step->form = (enum normalize_form)i;
            return STATUS_OK;
        }
    if (strcmp(type, "Replace") == 0)
        return read_replace(step, json, name, error);
    if (strcmp(type, "Precompiled") == 0)
        return read_rules(step, json, name, error);
    if (strcmp(type, "Lowercase") == 0) {
        step->kind = STEP_LOWERCASE;
    } else if (strcmp(type, "StripAccents") == 0) {
        step->kind = STEP_DROP_MARKS;
    } else if (strcmp(type, "Nmt") == 0) {
        step->kind = STEP_NMT;
    } else if (strcmp(type, "Strip") == 0) {
        step->kind = STEP_STRIP;
        step->left = json_is_true(json_object_get(json, "strip_left"));
        step->right = json_is_true(json_object_get(json, "strip_right"));
    } else if (strcmp(type, "Prepend") == 0) {
        const char *content = json_string_value(json_object_get(json, "prepend"));
        step->kind = STEP_PREPEND;
        step->content = strdup(content ? content : "");
        if (!step->content)
            return error_no_memory(error, 1);
    } else if (strcmp(type, "BertNormalizer") == 0) {
        bool lower = !json_is_false(json_object_get(json, "lowercase"));
        const json_t *accents = json_object_get(json, "strip_accents");
        step->kind = STEP_BERT;
        step->bert =
            (struct bert_rules){!json_is_false(json_object_get(json, "clean_text")),
                                !json_is_false(json_object_get(json, "handle_chinese_chars")),
                                json_is_boolean(accents) ? json_is_true(accents) : lower, lower};
    } else {
        return refuse(name, type, error);
    }
    return STATUS_OK;
}

static enum status add_section(struct normalizer *n, const json_t *section, int depth,
                               const char *name, struct error *error)
{
    const json_t *list = json_object_get(section, "normalizers");
    enum status status = STATUS_OK;
    if (json_is_array(list)) {
        if (depth > 4)
            return refuse(name, "Sequence", error);
        for (size_t i = 0; i < json_array_size(list) && status == STATUS_OK; i++)
            status = add_section(n, json_array_get(list, i), depth + 1, name, error);
        return status;
    }
    if (n->count == STEPS_MOST)
        return error_set(error, STATUS_FAILED, "%s: the normalizer has more than %d steps", name,
                         STEPS_MOST);
    return read_step(&n->steps[n->count++], section, name, error);
}

enum status normalizer_create(const json_t *section, bool longest, const char *name,
                              struct normalizer **result, struct error *error)
{
    *result = NULL;
    if (!section || json_is_null(section))
        return STATUS_OK;
    struct normalizer *n = calloc(1, sizeof *n);
    if (!n)
        return error_no_memory(error, sizeof *n);
    n->longest = longest;
    enum status status = add_section(n, section, 0, name, error);
    if (status == STATUS_OK)
        *result = n;
    else
        normalizer_free(n);
    return status;
}

void normalizer_free(struct normalizer *n)
{
    if (!n)
        return;
    for (int i = 0; i < n->count; i++) {
        free(n->steps[i].content);
        free(n->steps[i].rules);
        split_free(n->steps[i].pattern);
    }
    free(n);
}

bool normalizer_marks_spaces(const struct normalizer *n)
{
    for (int i = 0; n && i < n->count; i++)
        if (n->steps[i].kind == STEP_REPLACE && strcmp(split_text(n->steps[i].pattern), " ") == 0 &&
            strcmp(n->steps[i].content, UNICODE_SPACE_MARK) == 0)
            return true;
    return false;
}

static void replace(const struct step *step, const struct split_room *room, const char *text,
                    size_t length, struct buffer *out)
{
    size_t at = 0, begin, end;
    while (split_find(step->pattern, room, text, length, at, &begin, &end)) {
        buffer_add(out, text + at, begin - at);
        buffer_add_text(out, step->content);
        at = end;
    }
    buffer_add(out, text + at, length - at);
}

static void run_step(const struct normalizer *n, const struct step *step,
                     const struct split_room *room, const char *text, size_t length,
                     struct buffer *out)
{
    switch (step->kind) {
    case STEP_FORM:
        normalize_form(step->form, text, length, out);
        break;
    case STEP_LOWERCASE:
        normalize_lowercase(text, length, out);
        break;
    case STEP_DROP_MARKS:
        normalize_drop_marks(text, length, false, out);
        break;
    case STEP_STRIP:
        normalize_strip(text, length, step->left, step->right, out);
        break;
    case STEP_PREPEND:
        if (length > 0)
            buffer_add_text(out, step->content);
        buffer_add(out, text, length);
        break;
    case STEP_REPLACE:
        replace(step, room, text, length, out);
        break;
    case STEP_NMT:
        normalize_nmt(text, length, out);
        break;
    case STEP_CHARSMAP:
        charsmap_apply(&step->map, n->longest, text, length, out);
        break;
    case STEP_BERT:
        normalize_bert(&step->bert, text, length, out);
        break;
    }
}

enum status normalizer_run(const struct normalizer *n, const struct split_room *room,
                           const char *text, size_t length, struct buffer *out, struct error *error)
{
    struct buffer next = {0};
    for (int i = 0; i < n->count; i++) {
        buffer_clear(&next);
        run_step(n, &n->steps[i], room, i ? out->data : text, i ? out->length : length, &next);
        struct buffer swap = *out;
        *out = next;
        next = swap;
        if (out->length == 0 && !out->data)
            buffer_add(out, "", 0);
    }
    if (n->count == 0) {
        buffer_clear(out);
        buffer_add(out, text, length);
    }
    out->failed |= next.failed;
    buffer_free(&next);
    return buffer_check(out, error);
}
