/* Writing tokenizer.json so that Hugging Face's tokenizers reads the same ids from it. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

/* The text of a piece in the vocabulary: byte-level kinds write stand-ins for bytes. */
static void piece_text(const struct tokenizer *t, const struct tok_piece *piece,
                       struct buffer *text)
{
    buffer_clear(text);
    bool plain = t->kind != TOK_BYTE_BPE || piece->special || piece->type == TOK_USER;
    if (plain)
        buffer_add(text, piece->bytes, piece->length);
    for (uint32_t i = 0; !plain && i < piece->length; i++) {
        char c[4];
        buffer_add(text, c, unicode_encode(unicode_of_byte((unsigned char)piece->bytes[i]), c));
    }
}

static bool is_added(const struct tokenizer *t, int32_t id)
{
    const struct tok_piece *piece = &t->pieces[id];
    const int64_t *found =
        piece->defined ? table_find(&t->added, piece->bytes, piece->length) : NULL;
    return found && *found == id;
}

static json_t *added_tokens(const struct tokenizer *t)
{
    json_t *list = json_array();
    for (int32_t id = 0; id < t->count; id++) {
        const struct tok_piece *piece = &t->pieces[id];
        int match = piece->match;
        if (is_added(t, id))
            json_array_append_new(list, json_pack("{s:i,s:s%,s:b,s:b,s:b,s:b,s:b}", "id", (int)id,
                                                  "content", piece->bytes, (size_t)piece->length,
                                                  "single_word", (match & TOK_SINGLE_WORD) != 0,
                                                  "lstrip", (match & TOK_STRIP_LEFT) != 0, "rstrip",
                                                  (match & TOK_STRIP_RIGHT) != 0, "normalized",
                                                  (match & TOK_NORMALIZED) != 0, "special",
                                                  piece->special));
    }
    return list;
}

static json_t *vocabulary_object(const struct tokenizer *t, struct buffer *text)
{
    json_t *object = json_object();
    for (int32_t id = 0; id < t->count; id++) {
        if (!t->pieces[id].defined)
            continue;
        piece_text(t, &t->pieces[id], text);
        json_object_set_new(object, text->data ? text->data : "", json_integer(id));
    }
    return object;
}

/* Unigram's ids are places in a list, so holes are filled with what no text contains. */
static json_t *scored_list(const struct tokenizer *t, struct buffer *text)
{
    json_t *list = json_array();
    for (int32_t id = 0; id < t->count; id++) {
        const struct tok_piece *piece = &t->pieces[id];
        buffer_clear(text);
        if (piece->defined)
            buffer_add(text, piece->bytes, piece->length);
        else
            buffer_printf(text, "<unused%d>", (int)id);
        json_array_append_new(list, json_pack("[s%,f]", text->data, text->length,
                                              piece->defined ? piece->score : 0.0));
    }
    return list;
}

static json_t *merge_list(const struct tokenizer *t, struct buffer *text)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < t->merge_count; i++) {
        json_t *merge = json_array();
        for (int side = 0; side < 2; side++) {
            uint64_t id = side ? t->merge_order[i] & 0xffffffff : t->merge_order[i] >> 32;
            piece_text(t, &t->pieces[id], text);
            json_array_append_new(merge, json_string(text->data));
        }
        json_array_append_new(list, merge);
    }
    return list;
}

static json_t *unknown_text(const struct tokenizer *t)
{
    if (t->unknown < 0)
        return json_null();
    const struct tok_piece *piece = &t->pieces[t->unknown];
    return json_stringn(piece->bytes, piece->length);
}

static json_t *model_object(const struct tokenizer *t, struct buffer *text)
{
    if (t->kind == TOK_UNIGRAM)
        return json_pack("{s:s,s:o,s:o,s:b}", "type", "Unigram", "unk_id",
                         t->unknown < 0 ? json_null() : json_integer(t->unknown), "vocab",
                         scored_list(t, text), "byte_fallback", t->byte_fallback);
    if (t->kind == TOK_WORDPIECE)
        return json_pack("{s:s,s:o,s:s,s:i,s:o}", "type", "WordPiece", "unk_token", unknown_text(t),
                         "continuing_subword_prefix", "##", "max_input_chars_per_word",
                         (int)t->longest_word, "vocab", vocabulary_object(t, text));
    return json_pack("{s:s,s:n,s:o,s:n,s:n,s:b,s:b,s:b,s:o,s:o}", "type", "BPE", "dropout",
                     "unk_token", unknown_text(t), "continuing_subword_prefix",
                     "end_of_word_suffix", "fuse_unk", t->fuse_unknown, "byte_fallback",
                     t->byte_fallback, "ignore_merges", t->whole_words, "vocab",
                     vocabulary_object(t, text), "merges", merge_list(t, text));
}

static json_t *section(const struct tokenizer *t, enum tok_section which)
{
    const char *text = t->sections[which];
    json_t *json = text ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
    return json ? json : json_null();
}

enum status tok_write(const struct tokenizer *t, struct buffer *out, struct error *error)
{
    struct buffer text = {0};
    json_t *root = json_pack(
        "{s:s,s:n,s:n,s:o,s:o,s:o,s:o,s:o,s:o}", "version", "1.0", "truncation", "padding",
        "added_tokens", added_tokens(t), "normalizer", section(t, TOK_NORMALIZER), "pre_tokenizer",
        section(t, TOK_PRE_TOKENIZER), "post_processor", section(t, TOK_POST_PROCESSOR), "decoder",
        section(t, TOK_DECODER), "model", model_object(t, &text));
    char *json = root ? json_dumps(root, JSON_INDENT(1) | JSON_ENSURE_ASCII) : NULL;
    if (json)
        buffer_add_text(out, json);
    enum status status = buffer_check(&text, error);
    if (status == STATUS_OK)
        status = buffer_check(out, error);
    if (status == STATUS_OK && !json)
        status = error_set(error, STATUS_FAILED, "the tokenizer cannot be written as JSON");
    free(json);
    json_decref(root);
    buffer_free(&text);
    return status;
}

enum status tok_save(const struct tokenizer *t, const char *path, struct error *error)
{
    struct buffer json = {0};
    enum status status = tok_write(t, &json, error);
    if (status == STATUS_OK)
        status = file_write_atomic(path, json.data, json.length, error);
    buffer_free(&json);
    return status;
}
