/* See ngrams.h. SHA-256 is slow and words repeat: single words and pairs of words are looked up by
 * number, and only new ones are hashed. */
#include "text/ngrams.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "text/unicode.h"

#define WORDS_MOST ((uint32_t)4 << 20) /* remembered words and pairs, then a fresh start */
#define PAIRS_MOST ((uint64_t)16 << 20)
#define AHEAD 8 /* pairs whose memory is asked for in advance */

enum status ngram_hasher_create(struct ngram_hasher *h, int most, int64_t buckets,
                                struct error *error)
{
    *h = (struct ngram_hasher){.most = most, .buckets = buckets};
    h->digest = EVP_MD_fetch(NULL, "SHA256", NULL);
    h->context = EVP_MD_CTX_new();
    if (h->digest && h->context)
        return STATUS_OK;
    ngram_hasher_free(h);
    return error_set(error, STATUS_FAILED, "the OpenSSL library offers no SHA-256");
}

void ngram_hasher_free(struct ngram_hasher *h)
{
    EVP_MD_free(h->digest);
    EVP_MD_CTX_free(h->context);
    table_free(&h->words);
    number_table_free(&h->pairs);
    free(h->word_buckets);
    buffer_free(&h->lower);
    buffer_free(&h->joined);
    free(h->numbers);
    *h = (struct ngram_hasher){0};
}

int64_t ngram_bucket(struct ngram_hasher *h, const char *ngram, size_t length)
{
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    unsigned size = 0;
    EVP_DigestInit_ex2(h->context, h->digest, NULL);
    EVP_DigestUpdate(h->context, ngram, length);
    EVP_DigestFinal_ex(h->context, digest, &size);
    /* Four bytes at a time: the rest has at most 24 bits. */
    uint64_t rest = 0;
    for (unsigned i = 0; i < size; i += 4) {
        uint32_t part = (uint32_t)digest[i] << 24 | (uint32_t)digest[i + 1] << 16 |
                        (uint32_t)digest[i + 2] << 8 | digest[i + 3];
        rest = (rest << 32 | part) % (uint64_t)h->buckets;
    }
    return (int64_t)rest;
}

/* Lowercasing of the characters beyond ASCII. */

static bool is_cased(uint32_t point)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
    return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
           category == UTF8PROC_CATEGORY_LT;
}

static bool is_case_ignorable(uint32_t point)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
    return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME ||
           category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_LM ||
           category == UTF8PROC_CATEGORY_SK || point == '\'' || point == '.' || point == ':' ||
           point == 0xb7 || point == 0x2019;
}

/* A capital sigma ends a word when a cased letter stands before it and none behind it. */
static bool is_final_sigma(const char *text, size_t length, size_t at)
{
    uint32_t point = 0;
    size_t begin = at;
    bool before = false;
    while (begin > 0) {
        do
            begin--;
        while (begin > 0 && ((unsigned char)text[begin] & 0xc0) == 0x80);
        if (unicode_decode(text + begin, length - begin, &point) == 0 ||
            !is_case_ignorable(point)) {
            before = is_cased(point);
            break;
        }
    }
    size_t end = at + 2;
    while (before && end < length) {
        size_t width = unicode_decode(text + end, length - end, &point);
        if (width == 0)
            break;
        if (!is_case_ignorable(point))
            return !is_cased(point);
        end += width;
    }
    return before;
}

static void add_lower(struct buffer *out, const char *text, size_t length, size_t at,
                      uint32_t point)
{
    char bytes[4];
    if (point == 0x130) { /* capital I with dot: i and a combining dot */
        buffer_add(out, "i\xcc\x87", 3);
        return;
    }
    if (point == 0x3a3)
        point = is_final_sigma(text, length, at) ? 0x3c2 : 0x3c3;
    else
        point = (uint32_t)utf8proc_tolower((utf8proc_int32_t)point);
    buffer_add(out, bytes, unicode_encode(point, bytes));
}

/* The text in lower case; bytes that are no UTF-8 become U+FFFD. */
static void lower_text(const char *text, size_t length, struct buffer *out)
{
    buffer_clear(out);
    if (!buffer_reserve(out, length + 8))
        return;
    for (size_t at = 0; at < length;) {
        unsigned char c = (unsigned char)text[at];
        if (c < 0x80) {
            char low = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
            if (out->length + 1 < out->capacity)
                out->data[out->length++] = low;
            else
                buffer_add(out, &low, 1);
            at++;
            continue;
        }
        uint32_t point;
        size_t width = unicode_decode(text + at, length - at, &point);
        if (width == 0)
            buffer_add(out, "\xef\xbf\xbd", 3);
        else
            add_lower(out, text, length, at, point);
        at += width ? width : 1;
    }
}

enum word_class { WORD_SPACE, WORD_LETTERS, WORD_OTHER };

/* Regular expressions count the separators U+001C to U+001F as white space, too. */
static enum word_class class_at(const char *text, size_t length, size_t *width)
{
    unsigned char c = (unsigned char)text[0];
    *width = 1;
    if (c < 0x80) {
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || (c >= 'A' && c <= 'Z'))
            return WORD_LETTERS;
        return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31) ? WORD_SPACE : WORD_OTHER;
    }
    switch (unicode_class(text, length, width)) {
    case CHAR_LETTER:
    case CHAR_NUMBER:
        return WORD_LETTERS;
    case CHAR_SPACE:
        return WORD_SPACE;
    default:
        return WORD_OTHER;
    }
}

/* The number of a word, new words being hashed; UINT32_MAX when out of memory. */
static uint32_t word_number(struct ngram_hasher *h, const char *word, size_t length)
{
    uint32_t known = h->words.count;
    int64_t *number = table_put(&h->words, word, length, known);
    if (!number)
        return UINT32_MAX;
    if (h->words.count == known)
        return (uint32_t)*number;
    if (h->words.count > h->word_capacity) {
        uint32_t capacity = h->words.count * 2 + 1024;
        uint32_t *grown = realloc(h->word_buckets, capacity * sizeof *grown);
        if (!grown)
            return UINT32_MAX;
        h->word_buckets = grown;
        h->word_capacity = capacity;
    }
    h->word_buckets[known] = (uint32_t)ngram_bucket(h, word, length);
    return known;
}

static bool add_bucket(struct ngram_list *list, uint32_t bucket)
{
    if (list->count == list->capacity) {
        int64_t capacity = list->capacity ? list->capacity * 2 : 256;
        uint32_t *grown = realloc(list->items, (size_t)capacity * sizeof *grown);
        if (!grown)
            return false;
        list->items = grown;
        list->capacity = capacity;
    }
    list->items[list->count++] = bucket;
    return true;
}

/* Bucket of words [first, first + n) written out. */
static int64_t joined_bucket(struct ngram_hasher *h, int64_t first, int n)
{
    buffer_clear(&h->joined);
    for (int i = 0; i < n; i++) {
        const struct table_entry *word = &h->words.entries[h->numbers[first + i]];
        if (i > 0)
            buffer_add(&h->joined, " ", 1);
        buffer_add(&h->joined, word->key, word->length);
    }
    return h->joined.failed ? -1 : ngram_bucket(h, h->joined.data, h->joined.length);
}

static uint64_t pair_key(const struct ngram_hasher *h, int64_t first)
{
    return (uint64_t)h->numbers[first] << 32 | h->numbers[first + 1];
}

static bool add_ngrams(struct ngram_hasher *h, int64_t words, struct ngram_list *list)
{
    bool fine = true;
    for (int64_t i = 0; fine && i < words; i++)
        fine = add_bucket(list, h->word_buckets[h->numbers[i]]);
    for (int64_t i = 0; fine && h->most >= 2 && i + 1 < words; i++) {
        uint64_t key = pair_key(h, i);
        if (i + AHEAD + 1 < words)
            number_table_prefetch(&h->pairs, pair_key(h, i + AHEAD));
        int64_t *bucket = number_table_put(&h->pairs, key, -1);
        if (bucket && *bucket < 0)
            *bucket = joined_bucket(h, i, 2);
        fine = bucket && *bucket >= 0 && add_bucket(list, (uint32_t)*bucket);
    }
    for (int n = 3; n <= h->most; n++)
        for (int64_t i = 0; fine && i + n <= words; i++) {
            int64_t bucket = joined_bucket(h, i, n);
            fine = bucket >= 0 && add_bucket(list, (uint32_t)bucket);
        }
    return fine;
}

/* Forgets what was met when it has grown too much. */
static void limit_memory(struct ngram_hasher *h)
{
    if (h->words.count < WORDS_MOST && h->pairs.count < PAIRS_MOST)
        return;
    table_clear(&h->words);
    number_table_free(&h->pairs);
}

enum status ngram_hash(struct ngram_hasher *h, const char *text, size_t length,
                       struct ngram_list *list, int64_t *words, struct error *error)
{
    *words = 0;
    limit_memory(h);
    lower_text(text, length, &h->lower);
    if (h->lower.length + 1 > h->number_capacity) {
        uint32_t *grown = realloc(h->numbers, (h->lower.length + 1) * sizeof *grown);
        if (!grown)
            return error_no_memory(error, h->lower.length * sizeof *grown);
        h->numbers = grown;
        h->number_capacity = h->lower.length + 1;
    }
    enum status status = buffer_check(&h->lower, error);
    const char *lower = h->lower.data;
    for (size_t at = 0; status == STATUS_OK && at < h->lower.length;) {
        size_t width, begin = at;
        enum word_class class = class_at(lower + at, h->lower.length - at, &width);
        at += width;
        if (class == WORD_SPACE)
            continue;
        while (at < h->lower.length && class_at(lower + at, h->lower.length - at, &width) == class)
            at += width;
        uint32_t number = word_number(h, lower + begin, at - begin);
        if (number == UINT32_MAX)
            return error_no_memory(error, at - begin);
        h->numbers[(*words)++] = number;
    }
    if (status == STATUS_OK && !add_ngrams(h, *words, list))
        status = error_no_memory(error, (size_t)list->count * sizeof *list->items);
    return status;
}
