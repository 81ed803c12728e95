/* Encoding with BPE. Words repeat, so each thread remembers the ids of words that it has met. New
 * words are merged by scanning for the lowest rank when short, and with a heap of candidate pairs
 * when long, so that no input takes quadratic time. */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

#define SHORT_WORD 24                 /* bytes; scanning beats the heap below */
#define MEMORY_WORD 64                /* longer words are not remembered */
#define MEMORY_IDS ((int64_t)1 << 20) /* ids remembered before the memory is emptied */
#define NO_RANK INT64_MAX

void tok_scratch_free(struct tok_scratch *scratch)
{
    table_free(&scratch->words);
    tok_ids_free(&scratch->word_ids);
    free(scratch->nodes);
    free(scratch->heap);
    *scratch = (struct tok_scratch){0};
}

/* rank << 32 | merged id, or NO_RANK. */
static int64_t pair_rank(const struct tokenizer *t, int32_t left, int32_t right)
{
    int64_t *value =
        number_table_find(&t->merges, (uint64_t)(uint32_t)left << 32 | (uint32_t)right);
    return value ? *value : NO_RANK;
}

/* Merges in place; returns the number of ids left. */
static int merge_short(const struct tokenizer *t, int32_t *ids, int count)
{
    int64_t ranks[SHORT_WORD];
    for (int i = 0; i + 1 < count; i++)
        ranks[i] = pair_rank(t, ids[i], ids[i + 1]);
    while (count > 1) {
        int best = 0;
        for (int i = 1; i + 1 < count; i++)
            if (ranks[i] < ranks[best])
                best = i;
        if (ranks[best] == NO_RANK)
            break;
        ids[best] = (int32_t)(ranks[best] & 0xffffffff);
        count--;
        memmove(ids + best + 1, ids + best + 2, (size_t)(count - best - 1) * sizeof *ids);
        if (count > best + 2)
            memmove(ranks + best + 1, ranks + best + 2, (size_t)(count - best - 2) * sizeof *ranks);
        if (best > 0)
            ranks[best - 1] = pair_rank(t, ids[best - 1], ids[best]);
        if (best + 1 < count)
            ranks[best] = pair_rank(t, ids[best], ids[best + 1]);
    }
    return count;
}

/* A binary heap of rank << 32 | position, least first: ties go to the leftmost pair. */
static void heap_push(uint64_t *heap, size_t *count, uint64_t value)
{
    size_t at = (*count)++;
    while (at > 0 && heap[(at - 1) / 2] > value) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = value;
}

static uint64_t heap_pop(uint64_t *heap, size_t *count)
{
    uint64_t top = heap[0], value = heap[--*count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= *count)
            break;
        if (child + 1 < *count && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= value)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = value;
    return top;
}

static enum status reserve_nodes(struct tok_scratch *scratch, size_t count, struct error *error)
{
    if (count <= scratch->node_capacity)
        return STATUS_OK;
    int32_t *nodes = realloc(scratch->nodes, 3 * count * sizeof *nodes);
    if (nodes)
        scratch->nodes = nodes;
    uint64_t *heap = realloc(scratch->heap, 3 * count * sizeof *heap);
    if (heap)
        scratch->heap = heap;
    if (!nodes || !heap)
        return error_no_memory(error, count * 36);
    scratch->node_capacity = count;
    return STATUS_OK;
}

struct merge_list {
    const struct tokenizer *tokenizer;
    int32_t *ids, *next, *previous; /* linked by position; id -1: merged away */
    uint64_t *heap;
    size_t heap_count;
};

static void offer(struct merge_list *list, int32_t left)
{
    int32_t right = left < 0 ? -1 : list->next[left];
    if (right < 0)
        return;
    int64_t rank = pair_rank(list->tokenizer, list->ids[left], list->ids[right]);
    if (rank != NO_RANK)
        heap_push(list->heap, &list->heap_count, ((uint64_t)rank >> 32) << 32 | (uint32_t)left);
}

static enum status merge_long(const struct tokenizer *t, struct tok_scratch *scratch,
                              const char *word, size_t length, struct tok_ids *out,
                              struct error *error)
{
    if (length > INT32_MAX / 4)
        return error_set(error, STATUS_FAILED, "a word of %llu bytes is too long to tokenize",
                         (unsigned long long)length);
    enum status status = reserve_nodes(scratch, length, error);
    if (status != STATUS_OK)
        return status;
    struct merge_list list = {
        t, scratch->nodes, scratch->nodes + length, scratch->nodes + 2 * length, scratch->heap, 0};
    int32_t count = (int32_t)length;
    for (int32_t i = 0; i < count; i++) {
        list.ids[i] = t->byte_ids[(unsigned char)word[i]];
        list.next[i] = i + 1 < count ? i + 1 : -1;
        list.previous[i] = i - 1;
    }
    for (int32_t i = 0; i + 1 < count; i++)
        offer(&list, i);
    while (list.heap_count > 0) {
        uint64_t top = heap_pop(list.heap, &list.heap_count);
        int32_t left = (int32_t)(top & 0xffffffff),
                right = list.ids[left] < 0 ? -1 : list.next[left];
        int64_t rank = right < 0 ? NO_RANK : pair_rank(t, list.ids[left], list.ids[right]);
        if (rank == NO_RANK || (uint64_t)rank >> 32 != top >> 32)
            continue; /* the pair has changed since it was offered */
        list.ids[left] = (int32_t)(rank & 0xffffffff);
        list.ids[right] = -1;
        list.next[left] = list.next[right];
        if (list.next[left] >= 0)
            list.previous[list.next[left]] = left;
        offer(&list, list.previous[left]);
        offer(&list, left);
    }
    for (int32_t i = 0; i >= 0 && status == STATUS_OK; i = list.next[i])
        status = tok_ids_add(out, &list.ids[i], 1, error);
    return status;
}

static enum status merge_word(const struct tokenizer *t, struct tok_scratch *scratch,
                              const char *word, size_t length, struct tok_ids *out,
                              struct error *error)
{
    if (t->whole_words) {
        int64_t *id = table_find(&t->ids, word, length);
        if (id) {
            int32_t single = (int32_t)*id;
            return tok_ids_add(out, &single, 1, error);
        }
    }
    if (length > SHORT_WORD)
        return merge_long(t, scratch, word, length, out, error);
    int32_t ids[SHORT_WORD];
    for (size_t i = 0; i < length; i++)
        ids[i] = t->byte_ids[(unsigned char)word[i]];
    return tok_ids_add(out, ids, merge_short(t, ids, (int)length), error);
}

/* Remembered words are looked up, new ones merged and remembered. */
static enum status encode_word(const struct tokenizer *t, struct tok_scratch *scratch,
                               const char *word, size_t length, struct tok_ids *out,
                               struct error *error)
{
    if (length > MEMORY_WORD)
        return merge_word(t, scratch, word, length, out, error);
    int64_t *known = table_find(&scratch->words, word, length);
    if (known)
        return tok_ids_add(out, scratch->word_ids.items + (*known >> 8), *known & 255, error);
    if (scratch->word_ids.count > MEMORY_IDS) {
        table_clear(&scratch->words);
        scratch->word_ids.count = 0;
    }
    int64_t first = out->count;
    enum status status = merge_word(t, scratch, word, length, out, error);
    if (status != STATUS_OK)
        return status;
    int64_t count = out->count - first;
    if (!table_put(&scratch->words, word, length, scratch->word_ids.count << 8 | count))
        return error_no_memory(error, length);
    return tok_ids_add(&scratch->word_ids, out->items + first, count, error);
}

static enum status encode_plain(const struct tokenizer *t, struct tok_scratch *scratch,
                                const char *text, size_t length, struct tok_ids *out,
                                struct error *error)
{
    enum status status = STATUS_OK;
    for (size_t at = 0; at < length && status == STATUS_OK;) {
        size_t end = split_next(t->split, text, length, at);
        status = encode_word(t, scratch, text + at, end - at, out, error);
        at = end;
    }
    return status;
}

/* The special token that starts at text[0], or -1. */
static int32_t special_at(const struct tokenizer *t, const char *text, size_t length)
{
    if (!t->special_starts[(unsigned char)text[0]])
        return -1;
    for (int32_t i = 0; i < t->special_count; i++) {
        const struct tok_piece *piece = &t->pieces[t->special_by_length[i]];
        if (piece->length <= length && memcmp(piece->bytes, text, piece->length) == 0)
            return t->special_by_length[i];
    }
    return -1;
}

static enum status encode_spaced(const struct tokenizer *t, struct tok_scratch *scratch,
                                 const char *text, size_t length, struct tok_ids *ids,
                                 struct error *error)
{
    if (!t->prefix_space || length == 0 || text[0] == ' ')
        return encode_plain(t, scratch, text, length, ids, error);
    struct buffer spaced = {0};
    buffer_add(&spaced, " ", 1);
    buffer_add(&spaced, text, length);
    enum status status = buffer_check(&spaced, error);
    if (status == STATUS_OK)
        status = encode_plain(t, scratch, spaced.data, spaced.length, ids, error);
    buffer_free(&spaced);
    return status;
}

enum status tok_encode(const struct tokenizer *t, struct tok_scratch *scratch, const char *text,
                       size_t length, bool specials, struct tok_ids *ids, struct error *error)
{
    size_t begin = 0;
    for (size_t at = 0; specials && t->special_count > 0 && at < length;) {
        int32_t id = special_at(t, text + at, length - at);
        if (id < 0) {
            at++;
            continue;
        }
        enum status status = encode_spaced(t, scratch, text + begin, at - begin, ids, error);
        if (status == STATUS_OK)
            status = tok_ids_add(ids, &id, 1, error);
        if (status != STATUS_OK)
            return status;
        begin = at += t->pieces[id].length;
    }
    return encode_spaced(t, scratch, text + begin, length - begin, ids, error);
}
