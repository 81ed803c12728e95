/* See tokenizer.h. Building and look-ups; encoding is in encode.c, decoding in decode.c. */
#include "text/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

#include "text/unicode.h"

#define MERGED_MOST 256 /* bytes of a piece that is made by merges from scores */

enum status tok_ids_add(struct tok_ids *ids, const int32_t *items, int64_t count,
                        struct error *error)
{
    if (ids->count + count > ids->capacity) {
        int64_t capacity = (ids->count + count) * 2 + 64;
        int32_t *grown = realloc(ids->items, (size_t)capacity * sizeof *grown);
        if (!grown)
            return error_no_memory(error, (size_t)capacity * sizeof *grown);
        ids->items = grown;
        ids->capacity = capacity;
    }
    if (count > 0)
        memcpy(ids->items + ids->count, items, (size_t)count * sizeof *items);
    ids->count += count;
    return STATUS_OK;
}

void tok_ids_free(struct tok_ids *ids)
{
    free(ids->items);
    *ids = (struct tok_ids){0};
}

void tok_free(struct tokenizer *t)
{
    free(t->pieces);
    free(t->merge_order);
    table_free(&t->ids);
    table_free(&t->added);
    trie_free(&t->raw);
    trie_free(&t->cooked);
    trie_free(&t->words);
    number_table_free(&t->merges);
    normalizer_free(t->normalizer);
    pre_free(t->pre);
    arena_free(&t->arena);
    *t = (struct tokenizer){0};
}

enum status tok_begin(struct tokenizer *t, enum tok_kind kind, int32_t count, struct error *error)
{
    *t = (struct tokenizer){
        .kind = kind, .bos = -1, .eos = -1, .unknown = -1, .pad = -1, .longest_word = 100};
    for (int byte = 0; byte < 256; byte++)
        t->byte_ids[byte] = -1;
    t->pieces = calloc((size_t)count + 1, sizeof *t->pieces);
    if (!t->pieces)
        return error_no_memory(error, (size_t)count * sizeof *t->pieces);
    t->count = count;
    return STATUS_OK;
}

int tok_byte_of(const char *text, size_t length)
{
    int value = 0;
    if (length != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    for (int i = 3; i < 5; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

enum status tok_set_piece(struct tokenizer *t, int32_t id, const char *bytes, size_t length,
                          enum tok_type type, struct error *error)
{
    if (id < 0 || id >= t->count)
        return error_set(error, STATUS_FAILED, "token id %d is outside 0 to %d", (int)id,
                         (int)t->count - 1);
    char *copy = length <= UINT32_MAX ? arena_strndup(&t->arena, bytes, length) : NULL;
    if (!copy)
        return error_no_memory(error, length);
    bool special = type == TOK_CONTROL || type == TOK_UNKNOWN, added = special || type == TOK_USER;
    t->pieces[id] = (struct tok_piece){.bytes = copy,
                                       .length = (uint32_t)length,
                                       .type = (uint8_t)type,
                                       .special = special,
                                       .defined = true};
    int byte = type == TOK_BYTE ? tok_byte_of(bytes, length) : -1;
    if (byte >= 0)
        t->byte_ids[byte] = id;
    /* What the user has named may come out of the normalizer, too, and then be merged. */
    bool piece = !special && (type != TOK_USER || t->kind != TOK_BYTE_BPE);
    if ((added && !table_put(&t->added, bytes, length, id)) ||
        (piece && !table_put(&t->ids, bytes, length, id)))
        return error_no_memory(error, length);
    return STATUS_OK;
}

enum status tok_set_section(struct tokenizer *t, enum tok_section section, const char *json,
                            struct error *error)
{
    t->sections[section] = json ? arena_strdup(&t->arena, json) : NULL;
    return !json || t->sections[section] ? STATUS_OK : error_no_memory(error, strlen(json));
}

static enum status add_merge(struct tokenizer *t, uint64_t key, int32_t rank, int32_t merged,
                             struct error *error)
{
    if ((t->merge_count & (t->merge_count + 1)) == 0) {
        size_t capacity = (size_t)(t->merge_count + 1) * 2;
        uint64_t *grown = realloc(t->merge_order, capacity * sizeof *grown);
        if (!grown)
            return error_no_memory(error, capacity * sizeof *grown);
        t->merge_order = grown;
    }
    int64_t *slot = number_table_put(&t->merges, key, (int64_t)rank << 32 | merged);
    if (!slot)
        return error_no_memory(error, sizeof key);
    t->merge_order[t->merge_count++] = key;
    return STATUS_OK;
}

bool tok_alias(struct tokenizer *t, int32_t id, const char *bytes, size_t length)
{
    return table_put(&t->ids, bytes, length, id) != NULL;
}

const int64_t *tok_merge_part(const struct tokenizer *t, const char *bytes, size_t length)
{
    const int64_t *id = table_find(&t->ids, bytes, length);
    return id ? id : table_find(&t->added, bytes, length);
}

enum status tok_add_merge(struct tokenizer *t, int32_t left, int32_t right, int32_t merged,
                          struct error *error)
{
    if (t->pieces[left].special || t->pieces[right].special || t->pieces[merged].special)
        return STATUS_OK;
    return add_merge(t, (uint64_t)(uint32_t)left << 32 | (uint32_t)right, t->merge_count, merged,
                     error);
}

struct scored_merge {
    double score;
    int32_t left, right, merged;
};

static int best_first(const void *a, const void *b)
{
    const struct scored_merge *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    if (x->left != y->left)
        return x->left < y->left ? -1 : 1;
    return x->right < y->right ? -1 : x->right > y->right;
}

/* All pairs of pieces that give a piece. */
static void pairs_of(const struct tokenizer *t, int32_t id, struct buffer *merges)
{
    const struct tok_piece *piece = &t->pieces[id];
    if (!piece->defined || piece->special || piece->type == TOK_BYTE || piece->length == 0 ||
        piece->length > MERGED_MOST)
        return;
    for (size_t at = unicode_width(piece->bytes, piece->length); at < piece->length;
         at += unicode_width(piece->bytes + at, piece->length - at)) {
        const int64_t *left = table_find(&t->ids, piece->bytes, at);
        const int64_t *right =
            left ? table_find(&t->ids, piece->bytes + at, piece->length - at) : NULL;
        if (!right || t->pieces[*left].type == TOK_BYTE || t->pieces[*right].type == TOK_BYTE)
            continue;
        struct scored_merge merge = {piece->score, (int32_t)*left, (int32_t)*right, id};
        buffer_add(merges, &merge, sizeof merge);
    }
}

enum status tok_merge_by_score(struct tokenizer *t, struct error *error)
{
    struct buffer merges = {0};
    for (int32_t id = 0; id < t->count; id++)
        pairs_of(t, id, &merges);
    enum status status = buffer_check(&merges, error);
    struct scored_merge *list = (struct scored_merge *)(void *)merges.data;
    size_t count = merges.length / sizeof *list;
    if (count > 0)
        qsort(list, count, sizeof *list, best_first);
    int32_t rank = 0;
    for (size_t i = 0; i < count && i < INT32_MAX && status == STATUS_OK; i++) {
        rank = i > 0 && list[i].score != list[i - 1].score ? (int32_t)i : rank;
        status = add_merge(t, (uint64_t)(uint32_t)list[i].left << 32 | (uint32_t)list[i].right,
                           rank, list[i].merged, error);
    }
    buffer_free(&merges);
    return status;
}

/* Looking at the whole. */

static enum status compile_sections(struct tokenizer *t, const char *name, struct error *error)
{
    json_t *parts[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++)
        if (t->sections[i])
            parts[i] = json_loads(t->sections[i], JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    enum status status = normalizer_create(parts[0], t->sentencepiece, name, &t->normalizer, error);
    if (status == STATUS_OK)
        status = pre_create(parts[1], name, &t->pre, error);
    json_decref(parts[0]);
    json_decref(parts[1]);
    if (status == STATUS_OK && pre_is_byte_level(t->pre) != (t->kind == TOK_BYTE_BPE))
        status = error_set(error, STATUS_FAILED,
                           "%s: a ByteLevel pre-tokenizer goes with byte-level BPE alone", name);
    return status;
}

static enum status check_bytes(struct tokenizer *t, const char *name, struct error *error)
{
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        const int64_t *id = table_find(&t->ids, &c, 1);
        if (!id && byte >= ' ' && byte <= '~') /* real vocabularies lack bytes that are rare */
            return error_set(error, STATUS_FAILED,
                             "%s: no token for byte 0x%02x, so this is no byte-level BPE", name,
                             byte);
        t->byte_ids[byte] = id ? (int32_t)*id : t->unknown;
    }
    return STATUS_OK;
}

static enum status make_tries(struct tokenizer *t, const char *name, struct error *error)
{
    struct buffer text = {0};
    struct split_room room = {0};
    enum status status = split_room_prepare(&room, error);
    for (uint32_t i = 0; i < t->added.count && status == STATUS_OK; i++) {
        const struct table_entry *entry = &t->added.entries[i];
        const char *key = entry->key;
        size_t length = entry->length;
        bool cooked = t->normalizer && (t->pieces[entry->value].match & TOK_NORMALIZED);
        if (length == 0) {
            status = error_set(error, STATUS_FAILED, "%s: special token %d is empty", name,
                               (int)entry->value);
            break;
        }
        if (cooked) {
            status = normalizer_run(t->normalizer, &room, key, length, &text, error);
            key = text.data;
            length = text.length;
        }
        if (status == STATUS_OK &&
            !trie_put(cooked ? &t->cooked : &t->raw, key, length, (int32_t)entry->value))
            status = error_no_memory(error, length);
    }
    split_room_free(&room);
    buffer_free(&text);
    bool words = t->kind == TOK_UNIGRAM || t->kind == TOK_WORDPIECE;
    for (uint32_t i = 0; words && i < t->ids.count && status == STATUS_OK; i++) {
        const struct table_entry *entry = &t->ids.entries[i];
        int type = t->pieces[entry->value].type;
        bool looked_up = type == TOK_NORMAL || type == TOK_USER;
        if (looked_up && !trie_put(&t->words, entry->key, entry->length, (int32_t)entry->value))
            status = error_no_memory(error, entry->length);
    }
    return status;
}

/* Whether no piece has a mark behind anything but marks: then words can be cut at marks. */
static bool pieces_end_at_marks(const struct tokenizer *t)
{
    const char *mark = UNICODE_SPACE_MARK;
    size_t width = strlen(mark);
    if (!table_find(&t->ids, mark, width))
        return false;
    for (uint32_t i = 0; i < t->ids.count; i++) {
        const struct table_entry *entry = &t->ids.entries[i];
        size_t at = 0;
        while (entry->length - at >= width && memcmp(entry->key + at, mark, width) == 0)
            at += width;
        if (memmem(entry->key + at, entry->length - at, mark, width))
            return false;
    }
    return true;
}

static void find_scores(struct tokenizer *t)
{
    bool first = true;
    for (int32_t id = 0; id < t->count; id++) {
        const struct tok_piece *piece = &t->pieces[id];
        if (!piece->defined || piece->type != TOK_NORMAL)
            continue;
        double score = piece->score;
        t->lowest = first || score < t->lowest ? score : t->lowest;
        t->highest = first || score > t->highest ? score : t->highest;
        first = false;
    }
}

enum status tok_finish(struct tokenizer *t, const char *name, struct error *error)
{
    enum status status = compile_sections(t, name, error);
    if (status == STATUS_OK && t->kind == TOK_BYTE_BPE)
        status = check_bytes(t, name, error);
    if (status == STATUS_OK)
        status = make_tries(t, name, error);
    if (status == STATUS_OK)
        status = tok_read_around(t, name, error);
    if (status == STATUS_OK)
        status = tok_read_decoder(t, name, error);
    if (status != STATUS_OK)
        return status;
    t->marked_spaces |= normalizer_marks_spaces(t->normalizer) || pre_marks_spaces(t->pre);
    /* Unigram's sums of scores are rounded along the whole text, which decides near ties. */
    t->cut_at_marks = t->marked_spaces && t->kind != TOK_UNIGRAM && pieces_end_at_marks(t);
    find_scores(t);
    return STATUS_OK;
}

int32_t tok_special(const struct tokenizer *t, const char *name)
{
    int64_t *id = table_find(&t->added, name, strlen(name));
    return id ? (int32_t)*id : -1;
}
