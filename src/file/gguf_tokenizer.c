/* Tokenizers in GGUF files, by the keys of llama.cpp: byte-level BPE ("gpt2", whose pre-tokenizer
 * is a name), SentencePiece's BPE ("llama") and Unigram ("t5"), and WordPiece ("bert"). */
#include <math.h>
#include <string.h>

#include "file/model.h"
#include "text/families.h"
#include "text/unicode.h"

#define KEY(name) "tokenizer.ggml." name
#define WHOLE_KEY "tokenizer.huggingface.json" /* all of a tokenizer.json, see docs/formats.md */
#define TOKENS_MOST (1 << 24)

static const char *const model_names[] = {"gpt2", "llama", "t5", "bert"}; /* by enum tok_kind */

struct keys {
    struct gguf *file;
    const struct gguf_value *tokens, *types, *scores, *merges, *rules;
    struct buffer bytes;
    struct error *error;
};

static enum status refuse(const struct keys *k, const char *what)
{
    return error_set(k->error, STATUS_FAILED, "%s: %s", k->file->path, what);
}

static int32_t token_id(const struct keys *k, const char *key, int32_t fallback)
{
    int64_t id;
    if (!gguf_get_int(k->file, key, &id))
        id = fallback;
    return id >= 0 && (uint64_t)id < k->tokens->count ? (int32_t)id : -1;
}

static bool flag(const struct keys *k, const char *key, bool fallback)
{
    bool value;
    return gguf_get_bool(k->file, key, &value) ? value : fallback;
}

static enum tok_type type_of(const struct keys *k, uint64_t index)
{
    double type = k->types ? gguf_array_item(k->types, index) : TOK_NORMAL;
    return type >= TOK_NORMAL && type <= TOK_BYTE ? (enum tok_type)(int)type : TOK_NORMAL;
}

/* Byte-level pieces are written with stand-ins, added tokens as plain text. */
static enum status read_byte_piece(struct keys *k, struct tokenizer *t, int32_t id)
{
    const struct gguf_string *text = &k->tokens->strings[id];
    enum tok_type type = type_of(k, (uint64_t)id);
    if (type == TOK_UNUSED) /* a hole in the ids */
        return STATUS_OK;
    buffer_clear(&k->bytes);
    if (type == TOK_CONTROL || type == TOK_UNKNOWN || type == TOK_USER) {
        enum status status = tok_set_piece(t, id, text->bytes, text->length,
                                           type == TOK_USER ? TOK_USER : TOK_CONTROL, k->error);
        bool piece = type == TOK_USER && unicode_add_bytes(text->bytes, text->length, &k->bytes) &&
                     k->bytes.length > 0;
        if (status == STATUS_OK && piece && !tok_alias(t, id, k->bytes.data, k->bytes.length))
            status = error_no_memory(k->error, text->length);
        return status;
    }
    if (!unicode_add_bytes(text->bytes, text->length, &k->bytes))
        return error_set(k->error, STATUS_FAILED,
                         "%s: token %d contains a character that stands for no byte", k->file->path,
                         (int)id);
    return tok_set_piece(t, id, k->bytes.data ? k->bytes.data : "", k->bytes.length, TOK_NORMAL,
                         k->error);
}

/* Pieces that begin a word are written with a mark, those that go on with one without. */
static enum status read_word_piece(struct keys *k, struct tokenizer *t, int32_t id)
{
    const struct gguf_string *text = &k->tokens->strings[id];
    size_t mark = strlen(UNICODE_SPACE_MARK);
    enum tok_type type = type_of(k, (uint64_t)id);
    bool begins = text->length > mark && memcmp(text->bytes, UNICODE_SPACE_MARK, mark) == 0;
    bool bracketed =
        text->length > 2 && text->bytes[0] == '[' && text->bytes[text->length - 1] == ']';
    buffer_clear(&k->bytes);
    if (type == TOK_NORMAL && !begins && !bracketed)
        buffer_add(&k->bytes, "##", 2);
    size_t skip = type == TOK_NORMAL && begins ? mark : 0;
    buffer_add(&k->bytes, text->bytes + skip, text->length - skip);
    return tok_set_piece(t, id, k->bytes.data, k->bytes.length,
                         type == TOK_UNUSED || type == TOK_BYTE ? TOK_NORMAL : type, k->error);
}

static enum status read_pieces(struct keys *k, struct tokenizer *t)
{
    enum status status = STATUS_OK;
    for (int32_t id = 0; id < t->count && status == STATUS_OK; id++) {
        const struct gguf_string *text = &k->tokens->strings[id];
        if (t->kind == TOK_BYTE_BPE)
            status = read_byte_piece(k, t, id);
        else if (t->kind == TOK_WORDPIECE)
            status = read_word_piece(k, t, id);
        else if (text->length > 0) /* an empty one is a hole */
            status =
                tok_set_piece(t, id, text->bytes, text->length, type_of(k, (uint64_t)id), k->error);
        if (status == STATUS_OK && k->scores) {
            double score = gguf_array_item(k->scores, (uint64_t)id);
            t->pieces[id].score = isfinite(score) ? score : 0;
        }
    }
    return status;
}

static const int64_t *piece_id(const struct tokenizer *t, const char *text, size_t length,
                               struct buffer *bytes)
{
    size_t start = bytes->length;
    if (!unicode_add_bytes(text, length, bytes))
        return NULL;
    return bytes->data ? tok_merge_part(t, bytes->data + start, bytes->length - start) : NULL;
}

static enum status read_merges(struct keys *k, struct tokenizer *t)
{
    enum status status = STATUS_OK;
    for (uint64_t i = 0; i < k->merges->count && status == STATUS_OK; i++) {
        const struct gguf_string *text = &k->merges->strings[i];
        const char *gap = text->length ? memchr(text->bytes, ' ', text->length) : NULL;
        const int64_t *left = NULL, *right = NULL, *merged = NULL;
        buffer_clear(&k->bytes);
        if (gap) {
            size_t width = (size_t)(gap - text->bytes);
            left = piece_id(t, text->bytes, width, &k->bytes);
            right = piece_id(t, gap + 1, text->length - width - 1, &k->bytes);
            merged = k->bytes.data ? tok_merge_part(t, k->bytes.data, k->bytes.length) : NULL;
        }
        if (!left || !right || !merged)
            return error_set(k->error, STATUS_FAILED,
                             "%s: merge %llu joins pieces that are not in the vocabulary",
                             k->file->path, (unsigned long long)i);
        status = tok_add_merge(t, (int32_t)*left, (int32_t)*right, (int32_t)*merged, k->error);
    }
    return status;
}

/* What the kinds differ in before the pieces are looked at as a whole. */
static enum status read_byte_level(struct keys *k, struct tokenizer *t, bool *bos)
{
    const char *pre = gguf_get_text(k->file, KEY("pre"));
    const struct tok_family *family = tok_family_find(pre ? pre : "default");
    if (!family)
        return error_set(k->error, STATUS_FAILED, "%s: pre-tokenizer '%.40s' is not supported",
                         k->file->path, pre);
    if (!k->merges || !k->merges->strings)
        return refuse(k, "the tokenizer's merges are missing");
    *bos = family->bos;
    enum status status = tok_set_family(t, family, k->error);
    return status == STATUS_OK ? read_merges(k, t) : status;
}

static enum status read_spaced(struct keys *k, struct tokenizer *t)
{
    bool unigram = t->kind == TOK_UNIGRAM;
    const struct gguf_value *rules = k->rules;
    bool bytes = rules && (rules->item_type == GGUF_U8 || rules->item_type == GGUF_I8);
    struct tok_spaces spaces = {bytes ? rules->data : NULL, bytes ? (size_t)rules->count : 0,
                                flag(k, KEY("remove_extra_whitespaces"), false),
                                flag(k, KEY("add_space_prefix"), true)};
    if (!k->scores)
        return refuse(k, "the tokenizer's scores are missing");
    t->sentencepiece = t->fuse_unknown = t->byte_fallback = true;
    t->unknown = token_id(k, KEY("unknown_token_id"), unigram ? 2 : 0);
    enum status status = tok_set_spaces(t, &spaces, k->error);
    return status == STATUS_OK && !unigram ? tok_merge_by_score(t, k->error) : status;
}

static enum status read_kind(struct keys *k, struct tokenizer *t)
{
    bool bos = t->kind == TOK_CHARACTER_BPE || t->kind == TOK_WORDPIECE;
    bool eos = t->kind == TOK_UNIGRAM || t->kind == TOK_WORDPIECE, bert = t->kind == TOK_WORDPIECE;
    enum status status;
    if (t->kind == TOK_BYTE_BPE) {
        status = read_byte_level(k, t, &bos);
    } else if (bert) {
        status = tok_set_bert(t, flag(k, KEY("normalizer.lowercase"), true), k->error);
        t->unknown = token_id(k, KEY("unknown_token_id"), 100);
    } else {
        status = read_spaced(k, t);
    }
    if (status == STATUS_OK)
        status = tok_finish(t, k->file->path, k->error);
    if (status != STATUS_OK)
        return status;
    t->bos = token_id(k, KEY("bos_token_id"), -1);
    t->eos = token_id(k, KEY("eos_token_id"), t->kind == TOK_UNIGRAM ? 1 : -1);
    t->pad = token_id(k, KEY("padding_token_id"), -1);
    if (bert) {
        t->bos = token_id(k, KEY("cls_token_id"), t->bos >= 0 ? t->bos : 101);
        t->eos = token_id(k, KEY("seperator_token_id"), t->eos >= 0 ? t->eos : 102);
    }
    bos = flag(k, KEY("add_bos_token"), bos);
    eos = flag(k, KEY("add_eos_token"), eos);
    if (bert)
        eos = flag(k, KEY("add_sep_token"), eos);
    int32_t before = bos && t->bos >= 0 && t->pieces[t->bos].defined ? t->bos : -1;
    int32_t behind = eos && t->eos >= 0 && t->pieces[t->eos].defined ? t->eos : -1;
    return tok_set_around(t, before, behind, k->error);
}

/* A whole tokenizer.json in the file says more than the keys. */
static bool read_whole(struct keys *k, struct tokenizer *t)
{
    const char *json = gguf_get_text(k->file, WHOLE_KEY);
    if (!json || tok_parse(json, strlen(json), k->file->path, t, NULL) != STATUS_OK)
        return false;
    if ((uint64_t)t->count > k->tokens->count) {
        tok_free(t);
        return false;
    }
    int32_t bos = token_id(k, KEY("bos_token_id"), t->bos);
    int32_t eos = token_id(k, KEY("eos_token_id"), t->eos);
    t->bos = bos < t->count ? bos : -1;
    t->eos = eos < t->count ? eos : -1;
    return true;
}

enum status gguf_read_tokenizer(struct gguf *file, struct tokenizer *t, struct error *error)
{
    struct keys k = {file,
                     gguf_find(file, KEY("tokens")),
                     gguf_find(file, KEY("token_type")),
                     gguf_find(file, KEY("scores")),
                     gguf_find(file, KEY("merges")),
                     gguf_find(file, KEY("precompiled_charsmap")),
                     {0},
                     error};
    const char *model = gguf_get_text(file, KEY("model"));
    int kind = 0;
    *t = (struct tokenizer){.bos = -1, .eos = -1};
    while (kind < 4 && (!model || strcmp(model, model_names[kind]) != 0))
        kind++;
    if (kind == 4)
        return error_set(error, STATUS_FAILED, "%s: tokenizer '%.40s' is not supported", file->path,
                         model ? model : "");
    if (!k.tokens || !k.tokens->strings || k.tokens->count > TOKENS_MOST)
        return refuse(&k, "the tokenizer's tokens are missing");
    if (read_whole(&k, t))
        return STATUS_OK;
    enum status status = tok_begin(t, (enum tok_kind)kind, (int32_t)k.tokens->count, error);
    if (status == STATUS_OK)
        status = read_pieces(&k, t);
    if (status == STATUS_OK)
        status = read_kind(&k, t);
    if (status != STATUS_OK)
        tok_free(t);
    buffer_free(&k.bytes);
    return status;
}
