/* See ngrams.h. SHA-256 is slow and words repeat: single words and pairs of words are looked up by
 * number, and only new ones are hashed. The tables are as small as can be, because most of the time
 * goes into waiting for their memory. */
#define OPENSSL_SUPPRESS_DEPRECATED /* the newer interface costs more than hashing a few words */
#include "text/ngrams.h"

#include <endian.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/pages.h"

/* Words and pairs that are remembered, then there is a fresh start. In a pair's slot a word takes
 * 20 bits, and a bucket 24. */
#define WORD_BITS 20
#define WORDS_MOST (((uint32_t)1 << WORD_BITS) - 1)
#define PAIRS_MOST ((uint64_t)16 << 20)
#define BUCKET_BITS 24
#define BUCKET_MASK (((uint64_t)1 << BUCKET_BITS) - 1)
#define SHORT_WORD 15 /* bytes */
#define AHEAD 16      /* words and pairs whose memory is asked for in advance */
#define FEW_SLOTS ((uint64_t)1 << 16)
#define MANY_SLOTS ((uint64_t)1 << 20)

void ngram_hasher_init(struct ngram_hasher *h, int most, int64_t buckets)
{
    *h = (struct ngram_hasher){.most = most, .buckets = (uint64_t)buckets};
    words_init(&h->text);
    h->powers[7] = 1;
    for (int i = 6; i >= 0; i--)
        h->powers[i] = (h->powers[i + 1] << 32) % h->buckets;
}

static void forget(struct ngram_hasher *h)
{
    free(h->short_words.slots);
    free(h->pairs.slots);
    table_free(&h->long_words);
    h->word_count = 0;
    h->short_words = (struct short_words){0};
    h->pairs = (struct pairs){0};
}

void ngram_hasher_free(struct ngram_hasher *h)
{
    forget(h);
    words_free(&h->text);
    free(h->word_buckets);
    buffer_free(&h->joined);
    free(h->numbers);
    *h = (struct ngram_hasher){0};
}

/* The blocks are padded here and handed to the library one by one: its own buffering takes longer
 * than hashing a few words. */
int64_t ngram_bucket(const struct ngram_hasher *h, const char *ngram, size_t length)
{
    SHA256_CTX context;
    SHA256_Init(&context);
    size_t rest = length % SHA256_CBLOCK, whole = length - rest;
    for (size_t at = 0; at < whole; at += SHA256_CBLOCK)
        SHA256_Transform(&context, (const unsigned char *)ngram + at);
    unsigned char last[2 * SHA256_CBLOCK] = {0};
    size_t end = rest + 9 <= SHA256_CBLOCK ? SHA256_CBLOCK : 2 * SHA256_CBLOCK;
    uint64_t bits = htobe64((uint64_t)length * 8);
    memcpy(last, ngram + whole, rest);
    last[rest] = 0x80;
    memcpy(last + end - 8, &bits, 8);
    for (size_t at = 0; at < end; at += SHA256_CBLOCK)
        SHA256_Transform(&context, last + at);
    uint64_t sum = 0; /* below 8 * 2^32 * 2^24 */
    for (int i = 0; i < 8; i++)
        sum += context.h[i] * h->powers[i];
    return (int64_t)(sum % h->buckets);
}

/* Gives a word that was not met before its number, and hashes it; UINT32_MAX when out of memory. */
static uint32_t new_word(struct ngram_hasher *h, const char *word, size_t length)
{
    if (h->word_count == h->word_capacity) {
        uint32_t capacity = h->word_count * 2 + 1024;
        uint32_t *grown = realloc(h->word_buckets, capacity * sizeof *grown);
        if (!grown)
            return UINT32_MAX;
        h->word_buckets = grown;
        h->word_capacity = capacity;
    }
    h->word_buckets[h->word_count] = (uint32_t)ngram_bucket(h, word, length);
    return h->word_count++;
}

static uint32_t long_word_number(struct ngram_hasher *h, const char *word, size_t length)
{
    int64_t *number = table_put(&h->long_words, word, length, -1);
    if (!number)
        return UINT32_MAX;
    if (*number < 0) {
        uint32_t fresh = new_word(h, word, length);
        if (fresh == UINT32_MAX)
            return UINT32_MAX;
        *number = fresh;
    }
    return (uint32_t)*number;
}

/* Slots of a table that is half full. Small ones grow faster: moving them costs more than room. */
static uint64_t more_slots(uint64_t count)
{
    return count == 0 ? FEW_SLOTS : count < MANY_SLOTS ? count * 4 : count * 2;
}

/* Short words, which most are, are found by their bytes and length as two numbers. */

static struct short_word short_key(const char *word, uint32_t length)
{
    static const unsigned char keep[2 * (SHORT_WORD + 1)] = {255, 255, 255, 255, 255, 255, 255, 255,
                                                             255, 255, 255, 255, 255, 255, 255};
    uint64_t bytes[2], mask[2];
    memcpy(bytes, word, sizeof bytes); /* the text's padding is behind its last word */
    memcpy(mask, keep + SHORT_WORD - length, sizeof mask);
    uint64_t high = (bytes[1] & mask[1]) | htole64((uint64_t)length << 56);
    return (struct short_word){bytes[0] & mask[0], high, UINT32_MAX};
}

static struct short_word *first_slot(const struct short_words *table, const struct short_word *key)
{
    uint64_t hash = key->low ^ key->high * 0x9e3779b97f4a7c15u;
    return &table->slots[(hash ^ hash >> 32) * 0xd6e8feb86659fd93u >> table->shift];
}

/* Where the key is, or would be. */
static struct short_word *find_short(const struct short_words *table, const struct short_word *key)
{
    struct short_word *slot = first_slot(table, key), *end = table->slots + table->slot_count;
    while (slot->high != 0 && (slot->low != key->low || slot->high != key->high))
        slot = slot + 1 < end ? slot + 1 : table->slots;
    return slot;
}

static bool grow_short_words(struct short_words *table)
{
    struct short_words bigger = {.count = table->count};
    bigger.slot_count = more_slots(table->slot_count);
    bigger.shift = 64 - __builtin_ctzll(bigger.slot_count);
    bigger.slots = pages_take(bigger.slot_count * sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    memset(bigger.slots, 0, bigger.slot_count * sizeof *bigger.slots);
    for (uint64_t i = 0; i < table->slot_count; i++)
        if (table->slots[i].high != 0)
            *find_short(&bigger, &table->slots[i]) = table->slots[i];
    free(table->slots);
    *table = bigger;
    return true;
}

static uint32_t short_word_number(struct ngram_hasher *h, const struct short_word *key,
                                  const char *word, uint32_t length)
{
    struct short_word *slot = find_short(&h->short_words, key);
    if (slot->high == 0) {
        uint32_t number = new_word(h, word, length);
        if (number == UINT32_MAX)
            return number;
        *slot = *key;
        slot->number = number;
        h->short_words.count++;
    }
    return slot->number;
}

/* Numbers of the text's words [begin, begin + count): first all ask for their memory, then they
 * look into it. */
static bool number_words(struct ngram_hasher *h, int64_t begin, int64_t count)
{
    struct short_word keys[AHEAD];
    const struct word *words = h->text.items + begin;
    const char *text = h->text.lower.data;
    struct short_words *table = &h->short_words;
    if ((table->count + AHEAD) * 2 >= table->slot_count && !grow_short_words(table))
        return false;
    for (int64_t i = 0; i < count; i++)
        if (words[i].length <= SHORT_WORD) {
            keys[i] = short_key(text + words[i].begin, words[i].length);
            __builtin_prefetch(first_slot(table, &keys[i]));
        }
    for (int64_t i = 0; i < count; i++) {
        const char *word = text + words[i].begin;
        uint32_t length = words[i].length;
        uint32_t number = length <= SHORT_WORD ? short_word_number(h, &keys[i], word, length)
                                               : long_word_number(h, word, length);
        if (number == UINT32_MAX)
            return false;
        h->numbers[begin + i] = number;
    }
    return true;
}

/* Room for all n-grams of that many words. */
static bool make_room(struct ngram_list *list, int64_t words, int most)
{
    int64_t wanted = list->count + words * most;
    if (wanted <= list->capacity)
        return true;
    uint32_t *grown = realloc(list->items, (size_t)wanted * sizeof *grown);
    if (!grown)
        return false;
    list->items = grown;
    list->capacity = wanted;
    return true;
}

/* Bucket of the text's words [first, first + n), written out. */
static int64_t joined_bucket(struct ngram_hasher *h, int64_t first, int n)
{
    const struct word *words = h->text.items + first;
    size_t length = 0;
    for (int i = 0; i < n; i++)
        length += words[i].length + 1;
    buffer_clear(&h->joined);
    if (!buffer_reserve(&h->joined, length))
        return -1;
    char *out = h->joined.data;
    for (int i = 0; i < n; i++) {
        memcpy(out, h->text.lower.data + words[i].begin, words[i].length);
        out += words[i].length;
        *out++ = ' ';
    }
    return ngram_bucket(h, h->joined.data, length - 1);
}

/* Pairs of numbers below WORDS_MOST: a slot holds the key, which is not 0, above its bucket. */

static uint64_t pair_key(uint32_t first, uint32_t second)
{
    return (uint64_t)(first + 1) << WORD_BITS | second;
}

static uint64_t pair_slot(const struct pairs *pairs, uint64_t key)
{
    return (key ^ key >> WORD_BITS) * 0x9e3779b97f4a7c15u >> pairs->shift;
}

static void put_pair(struct pairs *pairs, uint64_t key, uint64_t bucket)
{
    uint64_t slot = pair_slot(pairs, key);
    while (pairs->slots[slot] != 0)
        slot = (slot + 1) & (pairs->slot_count - 1);
    pairs->slots[slot] = key << BUCKET_BITS | bucket;
}

static bool grow_pairs(struct pairs *pairs)
{
    struct pairs bigger = {.count = pairs->count};
    bigger.slot_count = more_slots(pairs->slot_count);
    bigger.shift = 64 - __builtin_ctzll(bigger.slot_count);
    bigger.slots = pages_take(bigger.slot_count * sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    memset(bigger.slots, 0, bigger.slot_count * sizeof *bigger.slots);
    for (uint64_t i = 0; i < pairs->slot_count; i++)
        if (pairs->slots[i] != 0)
            put_pair(&bigger, pairs->slots[i] >> BUCKET_BITS, pairs->slots[i] & BUCKET_MASK);
    free(pairs->slots);
    *pairs = bigger;
    return true;
}

static void prefetch_pair(const struct pairs *pairs, const uint32_t numbers[2])
{
    if (pairs->slot_count > 0)
        __builtin_prefetch(&pairs->slots[pair_slot(pairs, pair_key(numbers[0], numbers[1]))]);
}

/* Bucket of a pair, remembered or hashed now; -1 when out of memory. */
static int64_t pair_bucket(struct ngram_hasher *h, int64_t first)
{
    struct pairs *pairs = &h->pairs;
    uint32_t one = h->numbers[first], two = h->numbers[first + 1];
    if (one >= WORDS_MOST || two >= WORDS_MOST) /* of a text of so many different words */
        return joined_bucket(h, first, 2);
    if (pairs->count * 2 >= pairs->slot_count && !grow_pairs(pairs))
        return -1;
    uint64_t key = pair_key(one, two), slot = pair_slot(pairs, key);
    for (; pairs->slots[slot] != 0; slot = (slot + 1) & (pairs->slot_count - 1))
        if (pairs->slots[slot] >> BUCKET_BITS == key)
            return (int64_t)(pairs->slots[slot] & BUCKET_MASK);
    int64_t bucket = joined_bucket(h, first, 2);
    if (bucket >= 0) {
        pairs->slots[slot] = key << BUCKET_BITS | (uint64_t)bucket;
        pairs->count++;
    }
    return bucket;
}

static bool add_ngrams(struct ngram_hasher *h, int64_t words, struct ngram_list *list)
{
    if (!make_room(list, words, h->most))
        return false;
    uint32_t *out = list->items + list->count;
    for (int64_t i = 0; i < words; i++)
        *out++ = h->word_buckets[h->numbers[i]];
    for (int n = 2; n <= h->most; n++)
        for (int64_t i = 0; i + n <= words; i++) {
            if (n == 2 && i + AHEAD + 1 < words)
                prefetch_pair(&h->pairs, h->numbers + i + AHEAD);
            int64_t bucket = n == 2 ? pair_bucket(h, i) : joined_bucket(h, i, n);
            if (bucket < 0)
                return false;
            *out++ = (uint32_t)bucket;
        }
    list->count = out - list->items;
    return true;
}

/* Forgets what was met when it has grown too much. */
static void limit_memory(struct ngram_hasher *h)
{
    if (h->word_count >= WORDS_MOST || h->pairs.count >= PAIRS_MOST)
        forget(h);
}

enum status ngram_hash(struct ngram_hasher *h, const char *text, size_t length,
                       struct ngram_list *list, int64_t *words, struct error *error)
{
    *words = 0;
    limit_memory(h);
    enum status status = words_cut(&h->text, text, length, error);
    if (status != STATUS_OK)
        return status;
    int64_t count = h->text.count;
    if (count > h->number_capacity) {
        uint32_t *grown = realloc(h->numbers, (size_t)count * 2 * sizeof *grown);
        if (!grown)
            return error_no_memory(error, (size_t)count * 2 * sizeof *grown);
        h->numbers = grown;
        h->number_capacity = count * 2;
    }
    bool fine = true;
    for (int64_t i = 0; fine && i < count; i += AHEAD)
        fine = number_words(h, i, count - i < AHEAD ? count - i : AHEAD);
    if (!fine || !add_ngrams(h, count, list))
        return error_no_memory(error, (size_t)count * sizeof *list->items);
    *words = count;
    return STATUS_OK;
}
