/* The sections of tokenizer.json that say what is put around a text and how ids become text. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer_internal.h"
#include "text/unicode.h"

static enum status refuse(const char *name, const char *what, const char *type, struct error *error)
{
    return error_set(error, STATUS_FAILED, "%s: %s '%.40s' is not supported", name, what,
                     type ? type : "");
}

static json_t *section_json(const struct tokenizer *t, enum tok_section section)
{
    const char *text = t->sections[section];
    return text ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
}

static const char *type_of(const json_t *step)
{
    const char *type = json_string_value(json_object_get(step, "type"));
    return type ? type : "";
}

static enum status put_around(const struct tokenizer *t, struct tok_around *around,
                              const json_t *number, const char *name, struct error *error)
{
    json_int_t id = json_integer_value(number);
    if (!json_is_integer(number) || id < 0 || id >= t->count || around->count == TOK_AROUND_MOST)
        return error_set(error, STATUS_FAILED, "%s: the post-processor names no usable token",
                         name);
    around->ids[around->count++] = (int32_t)id;
    return STATUS_OK;
}

static enum status read_template(struct tokenizer *t, const json_t *step, const char *name,
                                 struct error *error)
{
    const json_t *single = json_object_get(step, "single");
    struct tok_around *around = &t->before;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < json_array_size(single) && status == STATUS_OK; i++) {
        const json_t *part = json_array_get(single, i);
        const char *key =
            json_string_value(json_object_get(json_object_get(part, "SpecialToken"), "id"));
        if (!key) {
            around = &t->behind;
            continue;
        }
        const json_t *ids =
            json_object_get(json_object_get(json_object_get(step, "special_tokens"), key), "ids");
        for (size_t j = 0; j < json_array_size(ids) && status == STATUS_OK; j++)
            status = put_around(t, around, json_array_get(ids, j), name, error);
    }
    return status;
}

static enum status read_processor(struct tokenizer *t, const json_t *step, const char *name,
                                  struct error *error)
{
    const char *type = type_of(step);
    if (strcmp(type, "ByteLevel") == 0)
        return STATUS_OK;
    if (strcmp(type, "TemplateProcessing") == 0)
        return read_template(t, step, name, error);
    if (strcmp(type, "BertProcessing") == 0 || strcmp(type, "RobertaProcessing") == 0) {
        enum status status =
            put_around(t, &t->before, json_array_get(json_object_get(step, "cls"), 1), name, error);
        return status == STATUS_OK
                   ? put_around(t, &t->behind, json_array_get(json_object_get(step, "sep"), 1),
                                name, error)
                   : status;
    }
    return refuse(name, "post-processor", type, error);
}

enum status tok_read_around(struct tokenizer *t, const char *name, struct error *error)
{
    json_t *section = section_json(t, TOK_POST_PROCESSOR);
    const json_t *list = json_object_get(section, "processors");
    enum status status = STATUS_OK;
    t->before.count = t->behind.count = 0;
    if (json_is_array(list))
        for (size_t i = 0; i < json_array_size(list) && status == STATUS_OK; i++)
            status = read_processor(t, json_array_get(list, i), name, error);
    else if (section && !json_is_null(section))
        status = read_processor(t, section, name, error);
    json_decref(section);
    return status;
}

static enum status read_decoder_step(struct tokenizer *t, const json_t *step, const char *name,
                                     struct error *error)
{
    const char *type = type_of(step);
    if (strcmp(type, "Replace") == 0) {
        const char *from =
            json_string_value(json_object_get(json_object_get(step, "pattern"), "String"));
        const char *to = json_string_value(json_object_get(step, "content"));
        if (!from || !to || strcmp(from, UNICODE_SPACE_MARK) != 0 || strcmp(to, " ") != 0)
            return refuse(name, "decoder", type, error);
        t->marked_spaces = true;
    } else if (strcmp(type, "Strip") == 0) {
        t->space_in_front = json_integer_value(json_object_get(step, "start")) > 0;
    } else if (strcmp(type, "Metaspace") == 0) {
        const char *scheme = json_string_value(json_object_get(step, "prepend_scheme"));
        t->marked_spaces = true;
        t->space_in_front = scheme ? strcmp(scheme, "never") != 0
                                   : !json_is_false(json_object_get(step, "add_prefix_space"));
    } else if (strcmp(type, "WordPiece") == 0) {
        t->clean_up = !json_is_false(json_object_get(step, "cleanup"));
    } else if (strcmp(type, "ByteLevel") != 0 && strcmp(type, "ByteFallback") != 0 &&
               strcmp(type, "Fuse") != 0) {
        return refuse(name, "decoder", type, error);
    }
    return STATUS_OK;
}

enum status tok_read_decoder(struct tokenizer *t, const char *name, struct error *error)
{
    json_t *section = section_json(t, TOK_DECODER);
    const json_t *list = json_object_get(section, "decoders");
    enum status status = STATUS_OK;
    if (json_is_array(list))
        for (size_t i = 0; i < json_array_size(list) && status == STATUS_OK; i++)
            status = read_decoder_step(t, json_array_get(list, i), name, error);
    else if (section && !json_is_null(section))
        status = read_decoder_step(t, section, name, error);
    json_decref(section);
    return status;
}

/* Writes JSON, which is let go, into a section. */
static enum status set_json(struct tokenizer *t, enum tok_section section, json_t *json,
                            struct error *error)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    enum status status =
        text ? tok_set_section(t, section, text, error)
             : error_set(error, STATUS_FAILED, "a token of the tokenizer is no UTF-8 text");
    free(text);
    json_decref(json);
    return status;
}

static json_t *replacement(const char *kind, const char *pattern, const char *content)
{
    return json_pack("{s:s,s:{s:s},s:s}", "type", "Replace", "pattern", kind, pattern, "content",
                     content);
}

static json_t *rules_json(const struct tok_spaces *spaces)
{
    size_t room = (spaces->rule_bytes + 2) / 3 * 4 + 1;
    unsigned char *text = spaces->rule_bytes <= INT32_MAX / 2 ? malloc(room) : NULL;
    if (text)
        EVP_EncodeBlock(text, spaces->rules, (int)spaces->rule_bytes);
    json_t *json =
        text ? json_pack("{s:s,s:s}", "type", "Precompiled", "precompiled_charsmap", (char *)text)
             : NULL;
    free(text);
    return json;
}

enum status tok_set_spaces(struct tokenizer *t, const struct tok_spaces *spaces,
                           struct error *error)
{
    const char *mark = UNICODE_SPACE_MARK;
    json_t *steps = json_array(), *decoders = json_array();
    if (spaces->rule_bytes > 0)
        json_array_append_new(steps, rules_json(spaces));
    if (spaces->collapse) {
        json_array_append_new(steps, replacement("Regex", "\\A +", ""));
        json_array_append_new(steps, replacement("Regex", " {2,}", " "));
        json_array_append_new(steps, replacement("Regex", "[ " UNICODE_SPACE_MARK "]+\\z", ""));
    }
    if (spaces->prefix)
        json_array_append_new(steps, json_pack("{s:s,s:s}", "type", "Prepend", "prepend", mark));
    json_array_append_new(steps, replacement("String", " ", mark));
    json_array_append_new(decoders, replacement("String", mark, " "));
    json_array_append_new(decoders, json_pack("{s:s}", "type", "ByteFallback"));
    json_array_append_new(decoders, json_pack("{s:s}", "type", "Fuse"));
    if (spaces->prefix)
        json_array_append_new(decoders, json_pack("{s:s,s:s,s:i,s:i}", "type", "Strip", "content",
                                                  " ", "start", 1, "stop", 0));
    enum status status = set_json(
        t, TOK_NORMALIZER, json_pack("{s:s,s:o}", "type", "Sequence", "normalizers", steps), error);
    json_t *decoder = json_pack("{s:s,s:o}", "type", "Sequence", "decoders", decoders);
    if (status == STATUS_OK)
        return set_json(t, TOK_DECODER, decoder, error);
    json_decref(decoder);
    return status;
}

enum status tok_set_bert(struct tokenizer *t, bool lowercase, struct error *error)
{
    enum status status =
        set_json(t, TOK_NORMALIZER,
                 json_pack("{s:s,s:b,s:b,s:n,s:b}", "type", "BertNormalizer", "clean_text", 1,
                           "handle_chinese_chars", 1, "strip_accents", "lowercase", lowercase),
                 error);
    if (status == STATUS_OK)
        status =
            set_json(t, TOK_PRE_TOKENIZER, json_pack("{s:s}", "type", "BertPreTokenizer"), error);
    return status == STATUS_OK ? set_json(t, TOK_DECODER,
                                          json_pack("{s:s,s:s,s:b}", "type", "WordPiece", "prefix",
                                                    "##", "cleanup", 1),
                                          error)
                               : status;
}

#define BYTE_LEVEL(trim)                                                                           \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":" trim                    \
    ",\"use_regex\":true}"

enum status tok_set_gpt2(struct tokenizer *t, struct error *error)
{
    enum status status = tok_set_section(t, TOK_PRE_TOKENIZER, BYTE_LEVEL("true"), error);
    if (status == STATUS_OK)
        status = tok_set_section(t, TOK_POST_PROCESSOR, BYTE_LEVEL("false"), error);
    return status == STATUS_OK ? tok_set_section(t, TOK_DECODER, BYTE_LEVEL("false"), error)
                               : status;
}

/* One token of a template, or the text (NULL). */
static json_t *template_part(const struct tok_piece *piece, const char *sequence, int type)
{
    if (!piece)
        return json_pack("{s:{s:s,s:i}}", "Sequence", "id", sequence, "type_id", type);
    return json_pack("{s:{s:s%,s:i}}", "SpecialToken", "id", piece->bytes, (size_t)piece->length,
                     "type_id", type);
}

static void template_text(json_t *list, const struct tok_piece *const around[2],
                          const char *sequence, int type)
{
    if (around[0])
        json_array_append_new(list, template_part(around[0], NULL, type));
    json_array_append_new(list, template_part(NULL, sequence, type));
    if (around[1])
        json_array_append_new(list, template_part(around[1], NULL, type));
}

static json_t *template_json(const struct tokenizer *t, const int32_t ids[2])
{
    const struct tok_piece *around[2];
    json_t *single = json_array(), *pair = json_array(), *tokens = json_object();
    for (int i = 0; i < 2; i++) {
        around[i] = ids[i] >= 0 ? &t->pieces[ids[i]] : NULL;
        if (around[i])
            json_object_set_new(tokens, around[i]->bytes,
                                json_pack("{s:s,s:[i],s:[s]}", "id", around[i]->bytes, "ids",
                                          (int)ids[i], "tokens", around[i]->bytes));
    }
    template_text(single, around, "A", 0);
    template_text(pair, around, "A", 0);
    if (t->kind == TOK_WORDPIECE) /* the first of a pair is not begun again */
        around[0] = NULL;
    template_text(pair, around, "B", 1);
    return json_pack("{s:s,s:o,s:o,s:o}", "type", "TemplateProcessing", "single", single, "pair",
                     pair, "special_tokens", tokens);
}

enum status tok_set_around(struct tokenizer *t, int32_t before, int32_t behind, struct error *error)
{
    const int32_t ids[2] = {before, behind};
    for (int i = 0; i < 2; i++)
        if (ids[i] >= t->count || (ids[i] >= 0 && !t->pieces[ids[i]].defined))
            return error_set(error, STATUS_FAILED, "token %d, put around texts, does not exist",
                             (int)ids[i]);
    if (before < 0 && behind < 0) {
        t->before.count = t->behind.count = 0;
        return tok_set_section(t, TOK_POST_PROCESSOR,
                               t->kind == TOK_BYTE_BPE ? BYTE_LEVEL("false") : NULL, error);
    }
    enum status status = set_json(t, TOK_POST_PROCESSOR, template_json(t, ids), error);
    return status == STATUS_OK ? tok_read_around(t, "post-processor", error) : status;
}
