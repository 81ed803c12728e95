/* BPE. Words are merged by scanning for the lowest rank when short, and with a heap of candidate
 * pairs when long, so that no input takes quadratic time. A word starts as its bytes or as its
 * characters; a character that has no piece is kept as a negative number that says where it is. */
#include <string.h>

#include "text/tokenizer_internal.h"
#include "text/unicode.h"

#define SHORT_WORD 24 /* bytes; scanning beats the heap below */
#define NO_RANK INT64_MAX
#define MERGED INT32_MIN /* in place of an id: merged away */

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

struct merge_list {
    const struct tokenizer *tokenizer;
    int32_t *ids, *next, *previous; /* linked by position; id MERGED: merged away */
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

/* Unknown characters: -2 minus where in the word they begin. */
static int32_t first_ids(const struct tokenizer *t, const char *word, size_t length, int32_t *ids)
{
    int32_t count = 0;
    if (t->kind == TOK_BYTE_BPE) {
        for (size_t i = 0; i < length; i++) {
            ids[count] = t->byte_ids[(unsigned char)word[i]];
            count += ids[count] >= 0; /* see check_bytes */
        }
        return count;
    }
    for (size_t at = 0; at < length;) {
        size_t width = unicode_width(word + at, length - at);
        const int64_t *id = table_find(&t->ids, word + at, width);
        ids[count++] = id ? (int32_t)*id : -2 - (int32_t)at;
        at += width;
    }
    return count;
}

/* Appends ids, and what stands for the unknown characters among them. */
static enum status put_ids(const struct tokenizer *t, const char *word, size_t length,
                           const int32_t *ids, int32_t count, struct tok_ids *out,
                           struct error *error)
{
    if (t->kind == TOK_BYTE_BPE)
        return tok_ids_add(out, ids, count, error);
    enum status status = STATUS_OK;
    bool unknown = false;
    for (int32_t i = 0; i < count && status == STATUS_OK; i++) {
        if (ids[i] >= 0) {
            status = tok_ids_add(out, &ids[i], 1, error);
            unknown = false;
            continue;
        }
        size_t at = (size_t)(-2 - ids[i]);
        status = tok_unknown(t, word + at, unicode_width(word + at, length - at), unknown, out,
                             &unknown, error);
    }
    return status;
}

static enum status merge_long(const struct tokenizer *t, struct tok_scratch *scratch,
                              const char *word, size_t length, struct tok_ids *out,
                              struct error *error)
{
    if (length > INT32_MAX / 4)
        return error_set(error, STATUS_FAILED, "a word of %llu bytes is too long to tokenize",
                         (unsigned long long)length);
    enum status status = tok_reserve(scratch, length, error);
    if (status != STATUS_OK)
        return status;
    struct merge_list list = {
        t, scratch->nodes, scratch->nodes + length, scratch->nodes + 2 * length, scratch->heap, 0};
    int32_t count = first_ids(t, word, length, list.ids);
    for (int32_t i = 0; i < count; i++) {
        list.next[i] = i + 1 < count ? i + 1 : -1;
        list.previous[i] = i - 1;
    }
    for (int32_t i = 0; i + 1 < count; i++)
        offer(&list, i);
    while (list.heap_count > 0) {
        uint64_t top = heap_pop(list.heap, &list.heap_count);
        int32_t left = (int32_t)(top & 0xffffffff),
                right = list.ids[left] == MERGED ? -1 : list.next[left];
        int64_t rank = right < 0 ? NO_RANK : pair_rank(t, list.ids[left], list.ids[right]);
        if (rank == NO_RANK || (uint64_t)rank >> 32 != top >> 32)
            continue; /* the pair has changed since it was offered */
        list.ids[left] = (int32_t)(rank & 0xffffffff);
        list.ids[right] = MERGED;
        list.next[left] = list.next[right];
        if (list.next[left] >= 0)
            list.previous[list.next[left]] = left;
        offer(&list, list.previous[left]);
        offer(&list, left);
    }
    int32_t kept = 0;
    for (int32_t i = count > 0 ? 0 : -1; i >= 0; i = list.next[i])
        list.ids[kept++] = list.ids[i];
    return put_ids(t, word, length, list.ids, kept, out, error);
}

enum status tok_bpe_word(const struct tokenizer *t, struct tok_scratch *scratch, const char *word,
                         size_t length, struct tok_ids *out, struct error *error)
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
    int32_t ids[SHORT_WORD], count = first_ids(t, word, length, ids);
    return put_ids(t, word, length, ids, merge_short(t, ids, count), out, error);
}
