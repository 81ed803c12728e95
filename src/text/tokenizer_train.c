/* See tokenizer_train.h. Counts of pairs are kept exact; the heap may hold outdated counts, which
 * are only ever too high and are put right when they come to the top. */
#include "text/tokenizer_train.h"

#include <stdlib.h>
#include <string.h>

enum status tok_count(struct tok_counter *counter, const char *text, size_t length,
                      struct error *error)
{
    if (!counter->split) {
        enum status status = split_create(SPLIT_GPT2, false, true, &counter->split, error);
        if (status != STATUS_OK)
            return status;
    }
    for (size_t at = 0; at < length;) {
        size_t end = split_next(counter->split, NULL, text, length, at);
        int64_t *count = table_put(&counter->words, text + at, end - at, 0);
        if (!count)
            return error_no_memory(error, end - at);
        ++*count;
        at = end;
    }
    return STATUS_OK;
}

enum status tok_counter_merge(struct tok_counter *counter, struct tok_counter *other,
                              struct error *error)
{
    for (uint32_t i = 0; i < other->words.count; i++) {
        const struct table_entry *entry = &other->words.entries[i];
        int64_t *count = table_put(&counter->words, entry->key, entry->length, 0);
        if (!count)
            return error_no_memory(error, entry->length);
        *count += entry->value;
    }
    tok_counter_free(other);
    return STATUS_OK;
}

void tok_counter_free(struct tok_counter *counter)
{
    table_free(&counter->words);
    split_free(counter->split);
    *counter = (struct tok_counter){0};
}

struct word {
    int32_t *ids;
    int32_t length;
    int64_t count;
};

struct pair {
    uint64_t key; /* left << 32 | right */
    int64_t count;
    uint32_t *words; /* in which it stands or stood, ascending */
    uint32_t word_count, word_capacity;
    bool touched; /* its count has grown in the current merge */
};

struct candidate {
    int64_t count;
    uint64_t key;
    uint32_t pair;
};

struct trainer {
    struct word *words;
    uint32_t word_count;
    int32_t *ids;              /* of all words */
    struct number_table index; /* key -> pair */
    struct pair *pairs;
    uint32_t pair_count, pair_capacity;
    struct candidate *heap;
    size_t heap_count, heap_capacity;
    uint32_t *touched;
    uint32_t touched_count, touched_capacity;
};

static void trainer_free(struct trainer *t)
{
    for (uint32_t i = 0; i < t->pair_count; i++)
        free(t->pairs[i].words);
    free(t->words);
    free(t->ids);
    free(t->pairs);
    free(t->heap);
    free(t->touched);
    number_table_free(&t->index);
}

/* Makes room for one more item of an array that doubles. */
static bool reserve_one(void **items, size_t count, size_t capacity, size_t size,
                        size_t *new_capacity)
{
    *new_capacity = capacity;
    if (count < capacity)
        return true;
    *new_capacity = capacity ? capacity * 2 : 4;
    void *grown = realloc(*items, *new_capacity * size);
    if (!grown)
        return false;
    *items = grown;
    return true;
}

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->count != b->count ? a->count > b->count : a->key < b->key;
}

static bool push(struct trainer *t, uint32_t pair)
{
    size_t capacity;
    if (!reserve_one((void **)&t->heap, t->heap_count, t->heap_capacity, sizeof *t->heap,
                     &capacity))
        return false;
    t->heap_capacity = capacity;
    struct candidate item = {t->pairs[pair].count, t->pairs[pair].key, pair};
    size_t at = t->heap_count++;
    while (at > 0 && before(&item, &t->heap[(at - 1) / 2])) {
        t->heap[at] = t->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    t->heap[at] = item;
    return true;
}

static struct candidate pop(struct trainer *t)
{
    struct candidate top = t->heap[0], item = t->heap[--t->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= t->heap_count)
            break;
        if (child + 1 < t->heap_count && before(&t->heap[child + 1], &t->heap[child]))
            child++;
        if (!before(&t->heap[child], &item))
            break;
        t->heap[at] = t->heap[child];
        at = child;
    }
    if (t->heap_count > 0)
        t->heap[at] = item;
    return top;
}

/* Adds `change` occurrences of a pair in a word. */
static bool change_pair(struct trainer *t, int32_t left, int32_t right, uint32_t word,
                        int64_t change)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    int64_t *slot = number_table_put(&t->index, key, t->pair_count);
    if (!slot)
        return false;
    size_t capacity;
    if (*slot == t->pair_count) {
        if (!reserve_one((void **)&t->pairs, t->pair_count, t->pair_capacity, sizeof *t->pairs,
                         &capacity))
            return false;
        t->pair_capacity = (uint32_t)capacity;
        t->pairs[t->pair_count++] = (struct pair){.key = key};
    }
    struct pair *pair = &t->pairs[*slot];
    pair->count += change;
    if (change < 0)
        return true;
    if (!pair->touched) {
        pair->touched = true;
        if (!reserve_one((void **)&t->touched, t->touched_count, t->touched_capacity,
                         sizeof *t->touched, &capacity))
            return false;
        t->touched_capacity = (uint32_t)capacity;
        t->touched[t->touched_count++] = (uint32_t)*slot;
    }
    if (pair->word_count > 0 && pair->words[pair->word_count - 1] == word)
        return true;
    if (!reserve_one((void **)&pair->words, pair->word_count, pair->word_capacity,
                     sizeof *pair->words, &capacity))
        return false;
    pair->word_capacity = (uint32_t)capacity;
    pair->words[pair->word_count++] = word;
    return true;
}

static bool offer_touched(struct trainer *t)
{
    for (uint32_t i = 0; i < t->touched_count; i++) {
        struct pair *pair = &t->pairs[t->touched[i]];
        pair->touched = false;
        if (pair->count > 0 && !push(t, t->touched[i]))
            return false;
    }
    t->touched_count = 0;
    return true;
}

static bool load_words(struct trainer *t, const struct tok_counter *counter,
                       const int32_t *byte_ids)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < counter->words.count; i++)
        bytes += counter->words.entries[i].length;
    t->words = malloc(((size_t)counter->words.count + 1) * sizeof *t->words);
    t->ids = malloc((bytes + 1) * sizeof *t->ids);
    if (!t->words || !t->ids)
        return false;
    int32_t *ids = t->ids;
    for (uint32_t i = 0; i < counter->words.count; i++) {
        const struct table_entry *entry = &counter->words.entries[i];
        if (entry->length > INT32_MAX)
            continue;
        struct word *word = &t->words[t->word_count++];
        *word = (struct word){ids, (int32_t)entry->length, entry->value};
        for (uint32_t j = 0; j < entry->length; j++)
            *ids++ = byte_ids[(unsigned char)entry->key[j]];
        for (int32_t j = 0; j + 1 < word->length; j++)
            if (!change_pair(t, word->ids[j], word->ids[j + 1], t->word_count - 1, word->count))
                return false;
    }
    return offer_touched(t);
}

/* Replaces the pair in one word and moves the counts of its neighbors along. */
static bool merge_in_word(struct trainer *t, uint32_t index, int32_t left, int32_t right,
                          int32_t merged)
{
    struct word *word = &t->words[index];
    int32_t *ids = word->ids, out = 0;
    for (int32_t i = 0; i < word->length; i++) {
        if (i + 1 >= word->length || ids[i] != left || ids[i + 1] != right) {
            ids[out++] = ids[i];
            continue;
        }
        if (out > 0 && !(change_pair(t, ids[out - 1], left, index, -word->count) &&
                         change_pair(t, ids[out - 1], merged, index, word->count)))
            return false;
        if (i + 2 < word->length && !(change_pair(t, right, ids[i + 2], index, -word->count) &&
                                      change_pair(t, merged, ids[i + 2], index, word->count)))
            return false;
        ids[out++] = merged;
        i++;
    }
    word->length = out;
    return true;
}

static bool merge_everywhere(struct trainer *t, uint32_t pair, int32_t merged)
{
    uint32_t *words = t->pairs[pair].words, count = t->pairs[pair].word_count;
    uint64_t key = t->pairs[pair].key;
    t->pairs[pair].words = NULL;
    t->pairs[pair].word_count = t->pairs[pair].word_capacity = 0;
    bool fine = true;
    for (uint32_t i = 0; fine && i < count; i++)
        fine =
            merge_in_word(t, words[i], (int32_t)(key >> 32), (int32_t)(key & 0xffffffff), merged);
    free(words);
    t->pairs[pair].count = 0;
    return fine && offer_touched(t);
}

/* The id of the pair's joined bytes; a new one unless another merge made the same bytes. */
static enum status joined_piece(struct tokenizer *k, int32_t left, int32_t right, int32_t *next,
                                int32_t *id, struct error *error)
{
    struct buffer bytes = {0};
    buffer_add(&bytes, k->pieces[left].bytes, k->pieces[left].length);
    buffer_add(&bytes, k->pieces[right].bytes, k->pieces[right].length);
    enum status status = buffer_check(&bytes, error);
    int64_t *known = status == STATUS_OK ? table_find(&k->ids, bytes.data, bytes.length) : NULL;
    *id = known ? (int32_t)*known : *next;
    if (status == STATUS_OK && !known) {
        status = tok_set_piece(k, *next, bytes.data, bytes.length, TOK_NORMAL, error);
        ++*next;
    }
    buffer_free(&bytes);
    return status;
}

static enum status learn(struct trainer *t, const struct tok_train_options *options, int32_t next,
                         struct tokenizer *k, struct error *error)
{
    int64_t least = options->least_count > 1 ? options->least_count : 1;
    while (next < options->vocabulary && t->heap_count > 0) {
        struct candidate top = pop(t);
        struct pair *pair = &t->pairs[top.pair];
        if (top.count != pair->count) {
            if (pair->count > 0 && !push(t, top.pair))
                return error_no_memory(error, sizeof top);
            continue;
        }
        if (top.count < least)
            break;
        int32_t id, left = (int32_t)(top.key >> 32), right = (int32_t)(top.key & 0xffffffff);
        enum status status = joined_piece(k, left, right, &next, &id, error);
        if (status == STATUS_OK)
            status = tok_add_merge(k, left, right, id, error);
        if (status != STATUS_OK)
            return status;
        if (!merge_everywhere(t, top.pair, id))
            return error_no_memory(error, (size_t)t->pair_count * sizeof *t->pairs);
        if (options->progress && next % 64 == 0)
            options->progress(options->context, next, options->vocabulary);
    }
    k->count = next;
    return STATUS_OK;
}

/* Specials first, then the bytes in the order of their stand-ins, as Hugging Face numbers them. */
static enum status set_alphabet(const struct tok_train_options *options, struct tokenizer *k,
                                struct error *error)
{
    enum status status = STATUS_OK;
    for (int32_t i = 0; i < options->special_count && status == STATUS_OK; i++)
        status = tok_set_piece(k, i, options->specials[i], strlen(options->specials[i]),
                               TOK_CONTROL, error);
    int32_t next = options->special_count;
    for (int turn = 0; turn < 2; turn++)
        for (int byte = 0; byte < 256 && status == STATUS_OK; byte++) {
            bool itself = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
            char c = (char)byte;
            if (itself == (turn == 0))
                status = tok_set_piece(k, next++, &c, 1, TOK_NORMAL, error);
        }
    if (status == STATUS_OK && options->eos)
        k->eos = tok_special(k, options->eos);
    return status;
}

enum status tok_train(const struct tok_counter *counter, const struct tok_train_options *options,
                      struct tokenizer *k, struct error *error)
{
    int32_t base = options->special_count + 256;
    if (options->vocabulary < base)
        return error_set(error, STATUS_USAGE,
                         "a vocabulary of %d is too small: 256 bytes and %d special tokens need %d",
                         (int)options->vocabulary, (int)options->special_count, (int)base);
    enum status status = tok_begin(k, TOK_BYTE_BPE, options->vocabulary, error);
    if (status == STATUS_OK)
        status = tok_set_gpt2(k, error);
    if (status == STATUS_OK)
        status = set_alphabet(options, k, error);
    if (status == STATUS_OK)
        status = tok_finish(k, "tokenizer", error);
    struct trainer trainer = {0};
    if (status == STATUS_OK && !load_words(&trainer, counter, k->byte_ids))
        status = error_no_memory(error, counter->words.count * sizeof(struct word));
    if (status == STATUS_OK)
        status = learn(&trainer, options, base, k, error);
    trainer_free(&trainer);
    if (status != STATUS_OK)
        tok_free(k);
    return status;
}
