/* Writing tokenizers into GGUF by the keys of llama.cpp. They say less than a tokenizer.json does:
 * where something would be lost, a copy of the tokenizer.json goes along, under the key that the
 * GGUF specification has for it. */
#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "file/model.h"
#include "text/families.h"
#include "text/unicode.h"

#define KEY(name) "tokenizer.ggml." name

struct writing {
    struct gguf_writer *writer;
    const struct tokenizer *tokenizer;
    int64_t vocabulary;
    bool exact; /* the keys say everything */
    float *scores;
    struct error *error;
};

static bool starts_with(const struct tok_piece *piece, const char *text)
{
    size_t length = strlen(text);
    return piece->length >= length && memcmp(piece->bytes, text, length) == 0;
}

static void add_text(struct writing *w, const struct tok_piece *piece, struct buffer *text)
{
    enum tok_kind kind = w->tokenizer->kind;
    bool plain = piece->special || piece->type == TOK_USER;
    size_t skip = 0;
    if (kind == TOK_BYTE_BPE && !plain) {
        for (uint32_t i = 0; i < piece->length; i++) {
            char c[4];
            buffer_add(text, c, unicode_encode(unicode_of_byte((unsigned char)piece->bytes[i]), c));
        }
        return;
    }
    if (kind == TOK_WORDPIECE && !plain) {
        skip = starts_with(piece, "##") ? 2 : 0;
        if (skip == 0)
            buffer_add_text(text, UNICODE_SPACE_MARK);
        else if (piece->length == 2 || starts_with(piece, "##" UNICODE_SPACE_MARK))
            w->exact = false; /* would be read as another piece */
    }
    buffer_add(text, piece->bytes + skip, piece->length - skip);
}

static int piece_type(const struct tokenizer *t, const struct tok_piece *piece)
{
    return t->kind == TOK_BYTE_BPE && piece->special ? TOK_CONTROL : piece->type;
}

/* Ids of the model beyond the tokenizer's are named as unused. */
static void put_tokens(struct writing *w)
{
    const struct tokenizer *t = w->tokenizer;
    struct buffer text = {0};
    gguf_put_array(w->writer, KEY("tokens"), GGUF_STRING, (uint64_t)w->vocabulary);
    for (int64_t id = 0; id < w->vocabulary; id++) {
        buffer_clear(&text);
        if (id < t->count && t->pieces[id].defined)
            add_text(w, &t->pieces[id], &text);
        else
            buffer_printf(&text, "<unused%lld>", (long long)id);
        gguf_item_text(w->writer, text.data ? text.data : "", text.length);
    }
    gguf_put_array(w->writer, KEY("token_type"), GGUF_I32, (uint64_t)w->vocabulary);
    for (int64_t id = 0; id < w->vocabulary; id++) {
        bool known = id < t->count && t->pieces[id].defined;
        gguf_item_i32(w->writer, known ? piece_type(t, &t->pieces[id]) : TOK_UNUSED);
        w->exact &= !known || (t->pieces[id].match & ~TOK_NORMALIZED) == 0;
    }
    w->writer->keys.failed |= text.failed;
    buffer_free(&text);
}

static void put_merges(struct writing *w)
{
    const struct tokenizer *t = w->tokenizer;
    struct buffer text = {0};
    gguf_put_array(w->writer, KEY("merges"), GGUF_STRING, (uint64_t)t->merge_count);
    for (int32_t i = 0; i < t->merge_count; i++) {
        buffer_clear(&text);
        add_text(w, &t->pieces[t->merge_order[i] >> 32], &text);
        buffer_add(&text, " ", 1);
        add_text(w, &t->pieces[t->merge_order[i] & 0xffffffff], &text);
        gguf_item_text(w->writer, text.data, text.length);
    }
    w->writer->keys.failed |= text.failed;
    buffer_free(&text);
}

static int32_t merged_id(const struct tokenizer *t, int32_t index)
{
    return (int32_t)(*number_table_find(&t->merges, t->merge_order[index]) & 0xffffffff);
}

/* Whether merging by these scores is merging in the tokenizer's order. */
static enum status merges_follow(const struct writing *w, bool *follow)
{
    const struct tokenizer *t = w->tokenizer;
    struct tokenizer other;
    enum status status = tok_begin(&other, t->kind, t->count, w->error);
    for (int32_t id = 0; id < t->count && status == STATUS_OK; id++) {
        const struct tok_piece *piece = &t->pieces[id];
        if (piece->defined)
            status = tok_set_piece(&other, id, piece->bytes, piece->length,
                                   (enum tok_type)piece->type, w->error);
        other.pieces[id].score = (double)w->scores[id];
    }
    if (status == STATUS_OK)
        status = tok_merge_by_score(&other, w->error);
    *follow = status == STATUS_OK && other.merge_count == t->merge_count;
    for (int32_t i = 0; *follow && i < t->merge_count; i++)
        *follow = merged_id(t, i) == merged_id(&other, i);
    tok_free(&other);
    return status;
}

/* The pieces' own scores, or, of BPE that knows merges alone, minus the rank of the first merge
 * that gives the piece. */
static enum status put_scores(struct writing *w)
{
    const struct tokenizer *t = w->tokenizer;
    enum status status = STATUS_OK;
    if (t->kind == TOK_CHARACTER_BPE && !t->sentencepiece) {
        for (int32_t i = t->merge_count - 1; i >= 0; i--)
            w->scores[merged_id(t, i)] = -(float)i;
        bool follow;
        status = merges_follow(w, &follow);
        w->exact &= follow && t->merge_count < 1 << 24;
    } else {
        for (int32_t id = 0; id < t->count; id++) {
            w->scores[id] = (float)t->pieces[id].score;
            w->exact &= (double)w->scores[id] == t->pieces[id].score;
        }
    }
    gguf_put_array(w->writer, KEY("scores"), GGUF_F32, (uint64_t)w->vocabulary);
    for (int64_t id = 0; id < w->vocabulary; id++) {
        float score = id < t->count ? w->scores[id] : 0;
        buffer_add(&w->writer->keys, &score, sizeof score);
    }
    return status;
}

/* What the sections of a tokenizer that is read from the keys would be. */
static bool same_sections(const struct tokenizer *t, const struct tokenizer *other)
{
    for (int i = TOK_NORMALIZER; i <= TOK_PRE_TOKENIZER; i++) {
        const char *a = t->sections[i], *b = other->sections[i];
        if (!a != !b || (a && strcmp(a, b) != 0))
            return false;
    }
    return true;
}

/* The rules of a normalizer, in base64; borrowed. */
static const char *find_rules(const json_t *normalizer)
{
    const json_t *list = json_object_get(normalizer, "normalizers");
    const char *found = json_string_value(json_object_get(normalizer, "precompiled_charsmap"));
    for (size_t i = 0; !found && i < json_array_size(list); i++)
        found = find_rules(json_array_get(list, i));
    return found;
}

static void put_rules(struct writing *w, struct tok_spaces *spaces, struct buffer *rules)
{
    const char *section = w->tokenizer->sections[TOK_NORMALIZER];
    json_t *json = section ? json_loads(section, JSON_DECODE_ANY, NULL) : NULL;
    const char *text = find_rules(json);
    size_t length = text ? strlen(text) : 0;
    if (length > 0 && buffer_reserve(rules, length)) {
        int bytes =
            EVP_DecodeBlock((unsigned char *)rules->data, (const unsigned char *)text, (int)length);
        for (size_t i = 1; i <= 2 && bytes > 0 && i <= length; i++)
            bytes -= text[length - i] == '=';
        rules->length = bytes > 0 ? (size_t)bytes : 0;
    }
    json_decref(json);
    if (rules->length > 0) {
        gguf_put_array(w->writer, KEY("precompiled_charsmap"), GGUF_U8, rules->length);
        buffer_add(&w->writer->keys, rules->data, rules->length);
    }
    spaces->rules = rules->data;
    spaces->rule_bytes = rules->length;
}

static enum status put_spaced(struct writing *w)
{
    const struct tokenizer *t = w->tokenizer;
    const char *section = t->sections[TOK_NORMALIZER] ? t->sections[TOK_NORMALIZER] : "";
    struct tokenizer other;
    struct buffer rules = {0};
    struct tok_spaces spaces = {.collapse = strstr(section, " {2,}") != NULL,
                                .prefix = t->space_in_front};
    enum status status = put_scores(w);
    put_rules(w, &spaces, &rules);
    gguf_put_bool(w->writer, KEY("add_space_prefix"), spaces.prefix);
    gguf_put_bool(w->writer, KEY("remove_extra_whitespaces"), spaces.collapse);
    if (status == STATUS_OK)
        status = tok_begin(&other, t->kind, 0, w->error);
    if (status == STATUS_OK) {
        status = tok_set_spaces(&other, &spaces, w->error);
        w->exact &= status == STATUS_OK && same_sections(t, &other) && !t->whole_words;
        w->exact &= t->kind == TOK_CHARACTER_BPE || t->sentencepiece;
        tok_free(&other);
    }
    for (int byte = 0; byte < 256; byte++)
        w->exact &= (t->byte_ids[byte] >= 0) == t->byte_fallback;
    buffer_free(&rules);
    return status;
}

static enum status put_bert(struct writing *w)
{
    const struct tokenizer *t = w->tokenizer;
    struct tokenizer other;
    bool small = true, same = false;
    enum status status = STATUS_OK;
    for (int i = 0; i < 2 && !same && status == STATUS_OK; i++) {
        status = tok_begin(&other, t->kind, 0, w->error);
        if (status == STATUS_OK)
            status = tok_set_bert(&other, i == 0, w->error);
        same = status == STATUS_OK && same_sections(t, &other);
        small = same ? i == 0 : true;
        tok_free(&other);
    }
    gguf_put_bool(w->writer, KEY("normalizer.lowercase"), small);
    w->exact &= same && t->longest_word == 100;
    return status;
}

static void put_byte_level(struct writing *w)
{
    const struct tokenizer *t = w->tokenizer;
    const struct tok_family *family = tok_family_of(t, t->before.count > 0);
    gguf_put_text(w->writer, KEY("pre"), family ? family->names[0] : "gpt-2");
    w->exact &= family != NULL;
    put_merges(w);
}

static void put_id(struct writing *w, const char *key, int32_t id)
{
    if (id >= 0)
        gguf_put_u32(w->writer, key, (uint32_t)id);
}

static void put_ends(struct writing *w)
{
    const struct tokenizer *t = w->tokenizer;
    bool bert = t->kind == TOK_WORDPIECE;
    const struct tok_around *before = &t->before, *behind = &t->behind;
    int32_t bos = before->count == 1 ? before->ids[0] : t->bos;
    int32_t eos = behind->count == 1 ? behind->ids[0] : t->eos;
    bool byte_level = t->kind == TOK_BYTE_BPE;
    w->exact &= before->count <= 1 && behind->count <= 1;
    w->exact &= (bos == t->bos || t->bos < 0) && (eos == t->eos || t->eos < 0);
    /* As GPT-2 itself does: nothing is put before a text. */
    put_id(w, KEY("bos_token_id"), bos < 0 && byte_level ? t->eos : bos);
    put_id(w, KEY("eos_token_id"), eos);
    put_id(w, KEY("unknown_token_id"), t->unknown);
    put_id(w, KEY("padding_token_id"), t->pad);
    if (bert) {
        put_id(w, KEY("cls_token_id"), bos);
        put_id(w, KEY("seperator_token_id"), eos);
        put_id(w, KEY("mask_token_id"), tok_special(t, "[MASK]"));
        gguf_put_bool(w->writer, KEY("add_sep_token"), behind->count > 0);
    }
    gguf_put_bool(w->writer, KEY("add_bos_token"), before->count > 0);
    gguf_put_bool(w->writer, KEY("add_eos_token"), behind->count > 0);
}

enum status gguf_put_tokenizer(struct gguf_writer *writer, const struct tokenizer *t,
                               int64_t vocabulary, struct error *error)
{
    static const char *const models[] = {"gpt2", "llama", "t5", "bert"}; /* by enum tok_kind */
    struct writing w = {writer, t, vocabulary, true, NULL, error};
    struct buffer json = {0};
    w.scores = calloc((size_t)t->count + 1, sizeof *w.scores);
    if (!w.scores)
        return error_no_memory(error, (size_t)t->count * sizeof *w.scores);
    enum status status = STATUS_OK;
    gguf_put_text(writer, KEY("model"), models[t->kind]);
    if (t->kind != TOK_BYTE_BPE)
        gguf_put_text(writer, KEY("pre"), "default");
    put_tokens(&w);
    if (t->kind == TOK_BYTE_BPE)
        put_byte_level(&w);
    else if (t->kind == TOK_WORDPIECE)
        status = put_bert(&w);
    else
        status = put_spaced(&w);
    put_ends(&w);
    if (status == STATUS_OK && !w.exact)
        status = tok_write(t, &json, error);
    if (status == STATUS_OK && !w.exact)
        gguf_put_text(writer, "tokenizer.huggingface.json", json.data);
    buffer_free(&json);
    free(w.scores);
    return status;
}
