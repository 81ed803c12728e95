/* From text to ids: added tokens are found first, the rest is normalized and cut into words, and
 * each word goes to the model of its kind. Words repeat, so each thread remembers the ids of words
 * that it has met. */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer_internal.h"
#include "text/unicode.h"

#define MEMORY_WORD 64                /* longer words are not remembered */
#define MEMORY_IDS ((int64_t)1 << 20) /* ids remembered before the memory is emptied */

void tok_scratch_free(struct tok_scratch *scratch)
{
    table_free(&scratch->words);
    tok_ids_free(&scratch->word_ids);
    free(scratch->nodes);
    free(scratch->heap);
    split_room_free(&scratch->room);
    buffer_free(&scratch->normalized);
    *scratch = (struct tok_scratch){0};
}

enum status tok_reserve(struct tok_scratch *scratch, size_t count, struct error *error)
{
    if (count <= scratch->node_capacity)
        return STATUS_OK;
    int32_t *nodes = realloc(scratch->nodes, 4 * count * sizeof *nodes);
    if (nodes)
        scratch->nodes = nodes;
    uint64_t *heap = realloc(scratch->heap, 3 * count * sizeof *heap);
    if (heap)
        scratch->heap = heap;
    if (!nodes || !heap)
        return error_no_memory(error, count * 40);
    scratch->node_capacity = count;
    return STATUS_OK;
}

enum status tok_unknown(const struct tokenizer *t, const char *character, size_t length,
                        bool joined, struct tok_ids *out, bool *unknown, struct error *error)
{
    enum status status = STATUS_OK;
    bool bytes = t->byte_fallback;
    for (size_t i = 0; i < length && bytes; i++)
        bytes = t->byte_ids[(unsigned char)character[i]] >= 0;
    for (size_t i = 0; i < length && bytes && status == STATUS_OK; i++)
        status = tok_ids_add(out, &t->byte_ids[(unsigned char)character[i]], 1, error);
    *unknown = !bytes && t->unknown >= 0;
    if (*unknown && !(joined && t->fuse_unknown))
        status = tok_ids_add(out, &t->unknown, 1, error);
    return status;
}

static enum status model_word(const struct tokenizer *t, struct tok_scratch *scratch,
                              const char *word, size_t length, struct tok_ids *out,
                              struct error *error)
{
    if (t->kind == TOK_UNIGRAM)
        return tok_unigram_word(t, scratch, word, length, out, error);
    if (t->kind == TOK_WORDPIECE)
        return tok_wordpiece_word(t, word, length, out, error);
    return tok_bpe_word(t, scratch, word, length, out, error);
}

/* Remembered words are looked up, new ones go to the model and are remembered. */
static enum status encode_word(const struct tokenizer *t, struct tok_scratch *scratch,
                               const char *word, size_t length, struct tok_ids *out,
                               struct error *error)
{
    if (length > MEMORY_WORD)
        return model_word(t, scratch, word, length, out, error);
    int64_t *known = table_find(&scratch->words, word, length);
    if (known)
        return (*known & 255) == 0
                   ? STATUS_OK
                   : tok_ids_add(out, scratch->word_ids.items + (*known >> 8), *known & 255, error);
    if (scratch->word_ids.count > MEMORY_IDS) {
        table_clear(&scratch->words);
        scratch->word_ids.count = 0;
    }
    int64_t first = out->count;
    enum status status = model_word(t, scratch, word, length, out, error);
    if (status != STATUS_OK)
        return status;
    int64_t count = out->count - first;
    if (!table_put(&scratch->words, word, length, scratch->word_ids.count << 8 | count))
        return error_no_memory(error, length);
    return count == 0 ? STATUS_OK
                      : tok_ids_add(&scratch->word_ids, out->items + first, count, error);
}

struct encoding {
    const struct tokenizer *tokenizer;
    struct tok_scratch *scratch;
    bool specials;
    struct tok_ids *out;
};

/* Where no piece goes on past the beginning of a word, words can be looked up one by one. */
static enum status marked_words(void *context, const char *text, size_t length, struct error *error)
{
    const struct encoding *e = context;
    const char *mark = UNICODE_SPACE_MARK;
    size_t width = strlen(mark);
    enum status status = STATUS_OK;
    for (size_t at = 0; at < length && status == STATUS_OK;) {
        size_t end = at;
        while (length - end >= width && memcmp(text + end, mark, width) == 0)
            end += width;
        const char *next = memmem(text + end, length - end, mark, width);
        end = next ? (size_t)(next - text) : length;
        status = encode_word(e->tokenizer, e->scratch, text + at, end - at, e->out, error);
        at = end;
    }
    return status;
}

static enum status one_word(void *context, const char *text, size_t length, struct error *error)
{
    const struct encoding *e = context;
    return encode_word(e->tokenizer, e->scratch, text, length, e->out, error);
}

static enum status encode_plain(struct encoding *e, const char *text, size_t length, bool first,
                                struct error *error)
{
    const struct tokenizer *t = e->tokenizer;
    const struct split_pattern *single = pre_single(t->pre);
    if (!single)
        return pre_words(t->pre, &e->scratch->room, text, length, first,
                         t->cut_at_marks ? marked_words : one_word, e, error);
    enum status status = STATUS_OK;
    split_scanner *scan = split_scan(single);
    for (size_t at = 0; at < length && status == STATUS_OK;) {
        size_t end =
            scan ? scan(text, length, at) : split_next(single, &e->scratch->room, text, length, at);
        status = encode_word(t, e->scratch, text + at, end - at, e->out, error);
        at = end;
    }
    return status;
}

static bool is_word_edge(const struct tokenizer *t, const char *text, size_t length, size_t begin,
                         size_t end)
{
    uint32_t point;
    if (end < length && unicode_decode(text + end, length - end, &point) && unicode_is_word(point))
        return false;
    size_t back = begin;
    while (back > 0 && begin - back < 4) {
        back--;
        if (unicode_decode(text + back, begin - back, &point) == begin - back)
            return !unicode_is_word(point);
    }
    return true;
}

/* The longest added token at text[at], or -1. */
static int32_t added_at(const struct tokenizer *t, const struct trie *trie, const char *text,
                        size_t length, size_t at, bool specials, size_t *end)
{
    int32_t found = -1;
    for (int32_t node = 0; at < length; at++) {
        node = trie_step(trie, node, (unsigned char)text[at]);
        if (node == 0)
            break;
        int32_t id = trie->values[node];
        if (id >= 0 && (specials || !t->pieces[id].special)) {
            found = id;
            *end = at + 1;
        }
    }
    return found;
}

/* Where the white space that ends before `at` begins. */
static size_t space_before(const char *text, size_t least, size_t at)
{
    size_t begin = at;
    for (size_t back = at; back > least && at - back < 4;) {
        uint32_t point;
        back--;
        if (unicode_decode(text + back, at - back, &point) != at - back)
            continue;
        if (!unicode_is_space(point))
            break;
        begin = at = back;
    }
    return begin;
}

static size_t space_behind(const char *text, size_t length, size_t at)
{
    size_t width;
    while (at < length && unicode_class(text + at, length - at, &width) == CHAR_SPACE)
        at += width;
    return at;
}

typedef enum status gap_function(struct encoding *e, const char *text, size_t length, bool first,
                                 struct error *error);

/* Finds added tokens; what lies between them goes to `function`. */
static enum status cut_added(struct encoding *e, const struct trie *trie, const char *text,
                             size_t length, bool first, gap_function *function, struct error *error)
{
    const struct tokenizer *t = e->tokenizer;
    size_t begin = 0, at = 0;
    while (trie->count > 0 && at < length) {
        size_t end = at;
        int32_t id = trie->root[(unsigned char)text[at]]
                         ? added_at(t, trie, text, length, at, e->specials, &end)
                         : -1;
        if (id < 0) {
            at++;
            continue;
        }
        int match = t->pieces[id].match;
        if ((match & TOK_SINGLE_WORD) && !is_word_edge(t, text, length, at, end)) {
            at = end;
            continue;
        }
        size_t from = match & TOK_STRIP_LEFT ? space_before(text, begin, at) : at;
        if (match & TOK_STRIP_RIGHT)
            end = space_behind(text, length, end);
        enum status status = STATUS_OK;
        if (from > begin)
            status = function(e, text + begin, from - begin, first && begin == 0, error);
        if (status == STATUS_OK)
            status = tok_ids_add(e->out, &id, 1, error);
        if (status != STATUS_OK)
            return status;
        begin = at = end;
    }
    return begin < length ? function(e, text + begin, length - begin, first && begin == 0, error)
                          : STATUS_OK;
}

static enum status encode_gap(struct encoding *e, const char *text, size_t length, bool first,
                              struct error *error)
{
    const struct tokenizer *t = e->tokenizer;
    if (t->normalizer) {
        struct buffer *normalized = &e->scratch->normalized;
        enum status status =
            normalizer_run(t->normalizer, &e->scratch->room, text, length, normalized, error);
        if (status != STATUS_OK)
            return status;
        text = normalized->data;
        length = normalized->length;
    }
    return cut_added(e, &t->cooked, text, length, first, encode_plain, error);
}

enum status tok_encode(const struct tokenizer *t, struct tok_scratch *scratch, const char *text,
                       size_t length, bool specials, struct tok_ids *ids, struct error *error)
{
    struct encoding e = {t, scratch, specials, ids};
    enum status status = split_room_prepare(&scratch->room, error);
    return status == STATUS_OK ? cut_added(&e, &t->raw, text, length, true, encode_gap, error)
                               : status;
}

enum status tok_encode_model(const struct tokenizer *t, struct tok_scratch *scratch,
                             const char *text, size_t length, bool specials, bool open,
                             struct tok_ids *ids, struct error *error)
{
    int64_t start = ids->count, count = t->before.count;
    enum status status = tok_ids_add(ids, t->before.ids, count, error);
    if (status == STATUS_OK)
        status = tok_encode(t, scratch, text, length, specials, ids, error);
    if (status != STATUS_OK)
        return status;
    size_t bytes = (size_t)count * sizeof *ids->items;
    if (count > 0 && ids->count - start >= 2 * count &&
        memcmp(ids->items + start, ids->items + start + count, bytes) == 0) {
        ids->count -= count; /* the text brought them along */
        memmove(ids->items + start, ids->items + start + count,
                (size_t)(ids->count - start) * sizeof *ids->items);
    }
    count = open ? 0 : t->behind.count;
    bytes = (size_t)count * sizeof *ids->items;
    bool there = count > 0 && ids->count - start >= t->before.count + count &&
                 memcmp(ids->items + ids->count - count, t->behind.ids, bytes) == 0;
    return there ? STATUS_OK : tok_ids_add(ids, t->behind.ids, count, error);
}
