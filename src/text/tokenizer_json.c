/* Reading Hugging Face's tokenizer.json: byte-level and character BPE, Unigram, WordPiece. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

#define FILE_LIMIT ((uint64_t)1 << 30)
#define IDS_MOST (1 << 24)
#define SENTENCEPIECE_START 0x0a /* the tag of a piece; no JSON of ours begins with a line end */

/* Bytes of a piece written with stand-ins; false when a character is no stand-in. */
static bool piece_bytes(const char *text, size_t length, struct buffer *bytes)
{
    buffer_clear(bytes);
    return unicode_add_bytes(text, length, bytes);
}

struct reader {
    const char *name;
    json_t *root;
    struct tokenizer *tokenizer;
    struct buffer bytes;
    struct error *error;
};

static enum status refuse(const struct reader *r, const char *what)
{
    return error_set(r->error, STATUS_FAILED, "%s: %s", r->name, what);
}

static const char *type_of(const json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    return type ? type : "";
}

/* Whether a section is of a type, or a sequence with a step of it. */
static bool has_step(const json_t *section, const char *list, const char *type)
{
    const json_t *steps = json_object_get(section, list);
    for (size_t i = 0; i < json_array_size(steps); i++)
        if (strcmp(type_of(json_array_get(steps, i)), type) == 0)
            return true;
    return strcmp(type_of(section), type) == 0;
}

static enum status check_id(const struct reader *r, const json_t *value, const char *text,
                            json_int_t *most)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) >= IDS_MOST)
        return error_set(r->error, STATUS_FAILED, "%s: token \"%.40s\" has no usable id", r->name,
                         text);
    *most = json_integer_value(value) > *most ? json_integer_value(value) : *most;
    return STATUS_OK;
}

/* One more than the largest id, or a refusal. A vocabulary is an object from text to id, or, for
 * Unigram, an array of texts with scores. */
static enum status count_ids(const struct reader *r, const json_t *vocabulary, const json_t *added,
                             int32_t *count)
{
    json_int_t most = (json_int_t)json_array_size(vocabulary) - 1;
    const char *key;
    json_t *value;
    size_t i;
    enum status status = STATUS_OK;
    if (most >= IDS_MOST)
        return refuse(r, "the vocabulary is too large");
    json_object_foreach((json_t *)vocabulary, key, value)
    {
        status = check_id(r, value, key, &most);
        if (status != STATUS_OK)
            return status;
    }
    json_array_foreach((json_t *)added, i, value)
    {
        json_int_t id = json_integer_value(json_object_get(value, "id"));
        if (!json_is_integer(json_object_get(value, "id")) || id < 0 || id >= IDS_MOST ||
            !json_is_string(json_object_get(value, "content")))
            return error_set(r->error, STATUS_FAILED,
                             "%s: added token %llu lacks a usable id or content", r->name,
                             (unsigned long long)i);
        most = id > most ? id : most;
    }
    *count = (int32_t)most + 1;
    return *count > 0 ? STATUS_OK : refuse(r, "the vocabulary is empty");
}

/* What an added token is called and how it is found. */
static enum status read_added(struct reader *r, const json_t *added, const char *unknown)
{
    static const char *const names[] = {"lstrip", "rstrip", "single_word", "normalized"};
    static const enum tok_match bits[] = {TOK_STRIP_LEFT, TOK_STRIP_RIGHT, TOK_SINGLE_WORD,
                                          TOK_NORMALIZED};
    json_t *value;
    size_t i;
    json_array_foreach((json_t *)added, i, value)
    {
        const json_t *content = json_object_get(value, "content"),
                     *special = json_object_get(value, "special");
        const char *text = json_string_value(content);
        int32_t id = (int32_t)json_integer_value(json_object_get(value, "id"));
        enum tok_type type = json_is_false(special) ? TOK_USER : TOK_CONTROL;
        if (unknown && strcmp(text, unknown) == 0) {
            type = TOK_UNKNOWN;
            r->tokenizer->unknown = id;
        }
        enum status status =
            tok_set_piece(r->tokenizer, id, text, json_string_length(content), type, r->error);
        if (status != STATUS_OK)
            return status;
        for (int j = 0; j < 4; j++)
            if (json_is_true(json_object_get(value, names[j])))
                r->tokenizer->pieces[id].match |= (uint8_t)bits[j];
    }
    return STATUS_OK;
}

static enum status read_piece(struct reader *r, const char *text, size_t length, int32_t id,
                              double score, const char *unknown)
{
    struct tokenizer *t = r->tokenizer;
    const char *bytes = text;
    bool is_unknown = unknown && strcmp(text, unknown) == 0;
    bool added = t->pieces[id].defined; /* listed among the added tokens as well */
    if (added)
        t->pieces[id].score = score;
    if (added && (t->kind != TOK_BYTE_BPE || t->pieces[id].special))
        return STATUS_OK;
    if (t->kind == TOK_BYTE_BPE) {
        bool bytewise = piece_bytes(text, length, &r->bytes);
        if (added)
            return !bytewise || tok_alias(t, id, r->bytes.data, r->bytes.length)
                       ? STATUS_OK
                       : error_no_memory(r->error, length);
        if (!bytewise)
            return error_set(r->error, STATUS_FAILED,
                             "%s: token %d contains a character that stands for no byte", r->name,
                             (int)id);
        bytes = r->bytes.data ? r->bytes.data : "";
        length = r->bytes.length;
    }
    bool byte = t->byte_fallback && tok_byte_of(text, length) >= 0;
    enum status status =
        tok_set_piece(t, id, bytes, length, byte ? TOK_BYTE : TOK_NORMAL, r->error);
    if (status == STATUS_OK) {
        t->pieces[id].score = score;
        if (is_unknown) {
            t->unknown = id;
            t->pieces[id].type = TOK_UNKNOWN;
        }
    }
    return status;
}

static enum status read_vocabulary(struct reader *r, const json_t *vocabulary, const char *unknown)
{
    const char *key;
    json_t *value;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < json_array_size(vocabulary) && status == STATUS_OK; i++) {
        value = json_array_get(vocabulary, i);
        const json_t *text = json_array_get(value, 0), *score = json_array_get(value, 1);
        if (!json_is_string(text) || !json_is_number(score))
            status = error_set(r->error, STATUS_FAILED, "%s: token %llu has no text or no score",
                               r->name, (unsigned long long)i);
        else
            status = read_piece(r, json_string_value(text), json_string_length(text), (int32_t)i,
                                json_number_value(score), unknown);
    }
    bool *named = calloc((size_t)r->tokenizer->count + 1, sizeof *named);
    if (!named)
        return error_no_memory(r->error, (size_t)r->tokenizer->count);
    json_object_foreach((json_t *)vocabulary, key, value)
    {
        int32_t id = (int32_t)json_integer_value(value);
        if (status == STATUS_OK && named[id]) /* one of the texts would be decoded to the other */
            status =
                error_set(r->error, STATUS_FAILED, "%s: token \"%.40s\" has the id %d of another",
                          r->name, key, (int)id);
        if (status == STATUS_OK)
            status = read_piece(r, key, strlen(key), id, 0, unknown);
        named[id] = true;
    }
    free(named);
    return status;
}

/* The two sides of a merge: "a b" in one string, or ["a", "b"]. */
static bool merge_sides(const json_t *merge, const char *side[2], size_t length[2])
{
    if (json_is_string(merge)) {
        const char *text = json_string_value(merge), *gap = strchr(text, ' ');
        if (!gap)
            return false;
        side[0] = text;
        length[0] = (size_t)(gap - text);
        side[1] = gap + 1;
        length[1] = strlen(gap + 1);
        return true;
    }
    for (int i = 0; i < 2; i++) {
        const json_t *part = json_array_get(merge, (size_t)i);
        if (!json_is_string(part))
            return false;
        side[i] = json_string_value(part);
        length[i] = json_string_length(part);
    }
    return true;
}

/* The bytes of one side of a merge, appended to `joined`, and its id; NULL when it is no piece. */
static const int64_t *merge_side(struct reader *r, const char *text, size_t length,
                                 struct buffer *joined)
{
    const struct tokenizer *t = r->tokenizer;
    if (t->kind == TOK_BYTE_BPE) {
        if (!piece_bytes(text, length, &r->bytes))
            return NULL;
        text = r->bytes.data;
        length = r->bytes.length;
    }
    if (length == 0)
        return NULL;
    buffer_add(joined, text, length);
    return tok_merge_part(t, text, length);
}

static enum status read_merges(struct reader *r, const json_t *merges)
{
    const json_t *merge;
    struct buffer joined = {0};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < json_array_size(merges) && status == STATUS_OK; i++) {
        merge = json_array_get(merges, i);
        const char *side[2];
        size_t length[2];
        const int64_t *ids[3] = {NULL, NULL, NULL};
        bool fine = merge_sides(merge, side, length);
        buffer_clear(&joined);
        for (int j = 0; fine && j < 2; j++)
            ids[j] = merge_side(r, side[j], length[j], &joined);
        if (ids[0] && ids[1])
            ids[2] = tok_merge_part(r->tokenizer, joined.data, joined.length);
        if (!ids[0] || !ids[1] || !ids[2])
            status = error_set(r->error, STATUS_FAILED,
                               "%s: merge %llu joins pieces that are not in the vocabulary",
                               r->name, (unsigned long long)i);
        else
            status = tok_add_merge(r->tokenizer, (int32_t)*ids[0], (int32_t)*ids[1],
                                   (int32_t)*ids[2], r->error);
    }
    buffer_free(&joined);
    return status;
}

/* Names under which families list the token that ends a document, and that which begins one. */
static void find_ends(struct tokenizer *t)
{
    static const char *const ends[] = {"<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>",
                                       "[SEP]"};
    static const char *const begins[] = {"<s>", "<|begin_of_text|>", "<bos>", "<|startoftext|>",
                                         "[CLS]"};
    static const char *const pads[] = {"<pad>", "[PAD]", "<|padding|>", "<|pad|>"};
    for (int i = 0; i < 5; i++) {
        t->eos = t->eos < 0 ? tok_special(t, ends[i]) : t->eos;
        t->bos = t->bos < 0 ? tok_special(t, begins[i]) : t->bos;
        t->pad = t->pad < 0 && i < 4 ? tok_special(t, pads[i]) : t->pad;
    }
}

static enum status read_sections(struct reader *r)
{
    static const char *const names[] = {"normalizer", "pre_tokenizer", "post_processor", "decoder"};
    enum status status = STATUS_OK;
    for (int i = 0; i < TOK_SECTIONS && status == STATUS_OK; i++) {
        const json_t *section = json_object_get(r->root, names[i]);
        if (!section || json_is_null(section))
            continue;
        char *text = json_dumps(section, JSON_COMPACT);
        status = text ? tok_set_section(r->tokenizer, (enum tok_section)i, text, r->error)
                      : error_no_memory(r->error, 1024);
        free(text);
    }
    return status;
}

/* Settings of the model that change ids and that adze does not know. */
static enum status check_model(const struct reader *r, const json_t *model, enum tok_kind kind)
{
    static const char *const texts[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (int i = 0; i < 2; i++) {
        const char *value = json_string_value(json_object_get(model, texts[i]));
        const char *usual = kind == TOK_WORDPIECE && i == 0 ? "##" : "";
        if (value && strcmp(value, usual) != 0)
            return error_set(r->error, STATUS_FAILED, "%s: %s '%.20s' is not supported", r->name,
                             texts[i], value);
    }
    return STATUS_OK;
}

static enum status find_kind(const struct reader *r, const json_t *model, enum tok_kind *kind)
{
    const json_t *vocabulary = json_object_get(model, "vocab");
    const char *type = type_of(model);
    bool array = json_is_array(vocabulary), object = json_is_object(vocabulary);
    if (strcmp(type, "Unigram") == 0 && array) {
        *kind = TOK_UNIGRAM;
    } else if (strcmp(type, "WordPiece") == 0 && object) {
        *kind = TOK_WORDPIECE;
    } else if ((type[0] == 0 || strcmp(type, "BPE") == 0) && object &&
               json_is_array(json_object_get(model, "merges"))) {
        const json_t *pre = json_object_get(r->root, "pre_tokenizer");
        *kind = has_step(pre, "pretokenizers", "ByteLevel") ? TOK_BYTE_BPE : TOK_CHARACTER_BPE;
    } else {
        return refuse(r, "no BPE, Unigram or WordPiece model with a vocabulary");
    }
    return check_model(r, model, *kind);
}

static const char *unknown_name(const struct reader *r, const json_t *model)
{
    const json_t *id = json_object_get(model, "unk_id");
    const json_t *piece =
        json_is_integer(id) && json_integer_value(id) >= 0
            ? json_array_get(json_object_get(model, "vocab"), (size_t)json_integer_value(id))
            : NULL;
    return piece ? json_string_value(json_array_get(piece, 0))
                 : json_string_value(json_object_get(model, "unk_token"));
}

static enum status read_root(struct reader *r)
{
    const json_t *model = json_object_get(r->root, "model");
    const json_t *vocabulary = json_object_get(model, "vocab");
    const json_t *added = json_object_get(r->root, "added_tokens");
    struct tokenizer *t = r->tokenizer;
    enum tok_kind kind = TOK_BYTE_BPE;
    int32_t count = 0;
    enum status status = find_kind(r, model, &kind);
    if (status == STATUS_OK)
        status = count_ids(r, vocabulary, added, &count);
    if (status == STATUS_OK)
        status = tok_begin(t, kind, count, r->error);
    if (status != STATUS_OK)
        return status;
    const char *unknown = unknown_name(r, model);
    const json_t *longest = json_object_get(model, "max_input_chars_per_word");
    t->whole_words = json_is_true(json_object_get(model, "ignore_merges"));
    t->byte_fallback = json_is_true(json_object_get(model, "byte_fallback"));
    t->fuse_unknown = kind == TOK_UNIGRAM || json_is_true(json_object_get(model, "fuse_unk"));
    if (json_is_integer(longest) && json_integer_value(longest) > 0)
        t->longest_word = json_integer_value(longest) < IDS_MOST
                              ? (int32_t)json_integer_value(longest)
                              : IDS_MOST;
    status = read_sections(r);
    if (status == STATUS_OK)
        status = read_added(r, added, unknown);
    if (status == STATUS_OK)
        status = read_vocabulary(r, vocabulary, unknown);
    if (status == STATUS_OK)
        status = read_merges(r, json_object_get(model, "merges"));
    if (status == STATUS_OK)
        status = tok_finish(t, r->name, r->error);
    if (status == STATUS_OK)
        find_ends(t);
    else
        tok_free(t);
    return status;
}

enum status tok_parse(const char *json, size_t length, const char *name,
                      struct tokenizer *tokenizer, struct error *error)
{
    *tokenizer = (struct tokenizer){.bos = -1, .eos = -1};
    json_error_t problem;
    struct reader reader = {.name = name, .tokenizer = tokenizer, .error = error};
    reader.root = json_loadb(json, length, JSON_ALLOW_NUL, &problem);
    if (!reader.root)
        return error_set(error, STATUS_FAILED, "%s:%d: %s", name, problem.line, problem.text);
    enum status status = read_root(&reader);
    json_decref(reader.root);
    buffer_free(&reader.bytes);
    return status;
}

enum status tok_load(const char *path, struct tokenizer *tokenizer, struct error *error)
{
    *tokenizer = (struct tokenizer){.bos = -1, .eos = -1};
    struct buffer text = {0};
    enum status status = file_read(path, FILE_LIMIT, &text, error);
    if (status == STATUS_OK && text.length == 0)
        status = error_set(error, STATUS_FAILED, "%s: the file is empty", path);
    if (status == STATUS_OK && text.data[0] == SENTENCEPIECE_START)
        status = tok_parse_sentencepiece(text.data, text.length, path, tokenizer, error);
    else if (status == STATUS_OK)
        status = tok_parse(text.data, text.length, path, tokenizer, error);
    buffer_free(&text);
    return status;
}
