/* Reading and writing Hugging Face's tokenizer.json. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

#define FILE_LIMIT ((uint64_t)1 << 30)
#define IDS_MOST (1 << 24)

/* Bytes of a piece written with stand-ins; false when a character is no stand-in. */
static bool piece_bytes(const char *text, size_t length, struct buffer *bytes)
{
    buffer_clear(bytes);
    return unicode_add_bytes(text, length, bytes);
}

static void piece_text(const struct tok_piece *piece, struct buffer *text)
{
    buffer_clear(text);
    for (uint32_t i = 0; i < piece->length; i++) {
        char c[4];
        buffer_add(text, c, unicode_encode(unicode_of_byte((unsigned char)piece->bytes[i]), c));
    }
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

/* The pattern of a pre-tokenizer, which is ByteLevel alone, or a Split before a ByteLevel. */
static enum status read_pattern(const struct reader *r, const json_t *pre, const char **pattern,
                                bool *prefix_space)
{
    *pattern = NULL;
    *prefix_space = false;
    size_t count = 1;
    const json_t *list = NULL;
    if (strcmp(type_of(pre), "Sequence") == 0) {
        list = json_object_get(pre, "pretokenizers");
        count = json_array_size(list);
    }
    bool bytes = false;
    for (size_t i = 0; i < count; i++) {
        const json_t *step = list ? json_array_get(list, i) : pre;
        if (strcmp(type_of(step), "Split") == 0 && !*pattern) {
            *pattern =
                json_string_value(json_object_get(json_object_get(step, "pattern"), "Regex"));
            const char *behavior = json_string_value(json_object_get(step, "behavior"));
            if (!*pattern || !behavior || strcmp(behavior, "Isolated") != 0)
                return refuse(r, "this form of Split pre-tokenizer is not supported");
        } else if (strcmp(type_of(step), "ByteLevel") == 0) {
            bytes = true;
            *prefix_space = json_is_true(json_object_get(step, "add_prefix_space"));
            const json_t *regex = json_object_get(step, "use_regex");
            if (!*pattern && !json_is_false(regex))
                *pattern = SPLIT_GPT2;
        } else {
            return error_set(r->error, STATUS_FAILED, "%s: pre-tokenizer '%s' is not supported",
                             r->name, type_of(step));
        }
    }
    if (!bytes)
        return refuse(r, "only byte-level BPE is supported: there is no ByteLevel pre-tokenizer");
    if (!*pattern)
        *pattern = "[\\s\\S]+";
    return STATUS_OK;
}

/* One more than the largest id, or a refusal. */
static enum status count_ids(const struct reader *r, const json_t *vocabulary, const json_t *added,
                             int32_t *count)
{
    json_int_t most = -1;
    const char *key;
    json_t *value;
    size_t i;
    json_object_foreach((json_t *)vocabulary, key, value)
    {
        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            json_integer_value(value) >= IDS_MOST)
            return error_set(r->error, STATUS_FAILED, "%s: token \"%.40s\" has no usable id",
                             r->name, key);
        most = json_integer_value(value) > most ? json_integer_value(value) : most;
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
    return STATUS_OK;
}

static enum status read_vocabulary(struct reader *r, const json_t *vocabulary, const json_t *added)
{
    const char *key;
    json_t *value;
    size_t i;
    enum status status = STATUS_OK;
    json_array_foreach((json_t *)added, i, value)
    {
        const json_t *content = json_object_get(value, "content");
        status =
            tok_set_piece(r->tokenizer, (int32_t)json_integer_value(json_object_get(value, "id")),
                          json_string_value(content), json_string_length(content), true, r->error);
        if (status != STATUS_OK)
            return status;
    }
    json_object_foreach((json_t *)vocabulary, key, value)
    {
        int32_t id = (int32_t)json_integer_value(value);
        if (r->tokenizer->pieces[id].defined)
            continue; /* listed among the added tokens as well */
        if (!piece_bytes(key, strlen(key), &r->bytes))
            return error_set(r->error, STATUS_FAILED,
                             "%s: token %d contains a character that stands for no byte", r->name,
                             (int)id);
        status = tok_set_piece(r->tokenizer, id, r->bytes.data ? r->bytes.data : "",
                               r->bytes.length, false, r->error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
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

static enum status read_merges(struct reader *r, const json_t *merges)
{
    const json_t *merge;
    struct buffer joined = {0};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < json_array_size(merges) && status == STATUS_OK; i++) {
        merge = json_array_get(merges, i);
        const char *side[2];
        size_t length[2];
        int64_t *ids[3] = {NULL, NULL, NULL};
        bool fine = merge_sides(merge, side, length);
        buffer_clear(&joined);
        for (int j = 0; fine && j < 2; j++) {
            fine = piece_bytes(side[j], length[j], &r->bytes) && r->bytes.length > 0;
            if (fine) {
                ids[j] = table_find(&r->tokenizer->ids, r->bytes.data, r->bytes.length);
                buffer_add(&joined, r->bytes.data, r->bytes.length);
            }
        }
        if (fine)
            ids[2] = table_find(&r->tokenizer->ids, joined.data, joined.length);
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
    const char *const ends[] = {"<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>"};
    const char *const begins[] = {"<s>", "<|begin_of_text|>", "<bos>", "<|startoftext|>"};
    for (int i = 0; i < 4; i++) {
        if (t->eos < 0)
            t->eos = tok_special(t, ends[i]);
        if (t->bos < 0)
            t->bos = tok_special(t, begins[i]);
    }
}

static enum status read_root(struct reader *r)
{
    const json_t *model = json_object_get(r->root, "model");
    const json_t *vocabulary = json_object_get(model, "vocab");
    const json_t *merges = json_object_get(model, "merges");
    const json_t *added = json_object_get(r->root, "added_tokens");
    const json_t *normalizer = json_object_get(r->root, "normalizer");
    if (!json_is_object(vocabulary) || !json_is_array(merges) ||
        (type_of(model)[0] && strcmp(type_of(model), "BPE") != 0))
        return refuse(r, "no BPE model with a vocabulary and merges");
    if (normalizer && !json_is_null(normalizer))
        return error_set(r->error, STATUS_FAILED, "%s: normalizer '%s' is not supported", r->name,
                         type_of(normalizer));
    const char *pattern;
    bool prefix_space;
    int32_t count = 0;
    enum status status =
        read_pattern(r, json_object_get(r->root, "pre_tokenizer"), &pattern, &prefix_space);
    if (status == STATUS_OK)
        status = count_ids(r, vocabulary, added, &count);
    if (status == STATUS_OK)
        status = tok_begin(r->tokenizer, count, pattern, r->error);
    if (status != STATUS_OK)
        return status;
    r->tokenizer->prefix_space = prefix_space;
    r->tokenizer->whole_words = json_is_true(json_object_get(model, "ignore_merges"));
    status = read_vocabulary(r, vocabulary, added);
    if (status == STATUS_OK)
        status = read_merges(r, merges);
    if (status == STATUS_OK)
        status = tok_finish(r->tokenizer, r->name, r->error);
    if (status == STATUS_OK)
        find_ends(r->tokenizer);
    else
        tok_free(r->tokenizer);
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
    if (status == STATUS_OK)
        status = tok_parse(text.data, text.length, path, tokenizer, error);
    buffer_free(&text);
    return status;
}

/* Writing. */

static json_t *added_tokens(const struct tokenizer *t)
{
    json_t *list = json_array();
    for (int32_t id = 0; id < t->count; id++) {
        const struct tok_piece *piece = &t->pieces[id];
        if (piece->defined && piece->special)
            json_array_append_new(list, json_pack("{s:i,s:s%,s:b,s:b,s:b,s:b,s:b}", "id", (int)id,
                                                  "content", piece->bytes, (size_t)piece->length,
                                                  "single_word", 0, "lstrip", 0, "rstrip", 0,
                                                  "normalized", 0, "special", 1));
    }
    return list;
}

static json_t *vocabulary_object(const struct tokenizer *t, struct buffer *text)
{
    json_t *object = json_object();
    for (int32_t id = 0; id < t->count; id++) {
        const struct tok_piece *piece = &t->pieces[id];
        if (!piece->defined)
            continue;
        if (piece->special) {
            json_object_set_new(object, piece->bytes, json_integer(id));
            continue;
        }
        piece_text(piece, text);
        json_object_set_new(object, text->data ? text->data : "", json_integer(id));
    }
    return object;
}

static json_t *merge_list(const struct tokenizer *t, struct buffer *text)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < t->merge_count; i++) {
        json_t *merge = json_array();
        for (int side = 0; side < 2; side++) {
            uint64_t id = side ? t->merge_order[i] & 0xffffffff : t->merge_order[i] >> 32;
            piece_text(&t->pieces[id], text);
            json_array_append_new(merge, json_string(text->data));
        }
        json_array_append_new(list, merge);
    }
    return list;
}

static json_t *pre_tokenizer(const struct tokenizer *t)
{
    bool gpt2 = strcmp(split_text(t->split), SPLIT_GPT2) == 0;
    json_t *bytes = json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel", "add_prefix_space",
                              t->prefix_space, "trim_offsets", 1, "use_regex", gpt2);
    if (gpt2)
        return bytes;
    json_t *split = json_pack("{s:s,s:{s:s},s:s,s:b}", "type", "Split", "pattern", "Regex",
                              split_text(t->split), "behavior", "Isolated", "invert", 0);
    return json_pack("{s:s,s:[o,o]}", "type", "Sequence", "pretokenizers", split, bytes);
}

enum status tok_save(const struct tokenizer *t, const char *path, struct error *error)
{
    struct buffer text = {0};
    json_t *model = json_pack("{s:s,s:n,s:n,s:n,s:n,s:b,s:b,s:b,s:o,s:o}", "type", "BPE", "dropout",
                              "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                              "fuse_unk", 0, "byte_fallback", 0, "ignore_merges", t->whole_words,
                              "vocab", vocabulary_object(t, &text), "merges", merge_list(t, &text));
    json_t *steps = json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel", "add_prefix_space",
                              t->prefix_space, "trim_offsets", 0, "use_regex", 1);
    json_t *root =
        json_pack("{s:s,s:n,s:n,s:o,s:n,s:o,s:O,s:o,s:o}", "version", "1.0", "truncation",
                  "padding", "added_tokens", added_tokens(t), "normalizer", "pre_tokenizer",
                  pre_tokenizer(t), "post_processor", steps, "decoder", steps, "model", model);
    char *json = root ? json_dumps(root, JSON_INDENT(1) | JSON_ENSURE_ASCII) : NULL;
    enum status status = buffer_check(&text, error);
    if (status == STATUS_OK && !json)
        status = error_no_memory(error, (size_t)t->count * 64);
    if (status == STATUS_OK && json)
        status = file_write_atomic(path, json, strlen(json), error);
    free(json);
    json_decref(root);
    buffer_free(&text);
    return status;
}
