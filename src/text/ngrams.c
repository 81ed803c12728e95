/* See ngrams.h. SHA-256 is slow and words repeat: single words and pairs of words are looked up by
 * number, and only new ones are hashed. */
#define OPENSSL_SUPPRESS_DEPRECATED /* the newer interface costs more than hashing a few words */
#include "text/ngrams.h"

#include <openssl/sha.h>

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "text/unicode.h"

#define WORDS_MOST ((uint32_t)4 << 20) /* remembered words and pairs, then a fresh start */
#define PAIRS_MOST ((uint64_t)16 << 20)
#define SHORT_WORD 7 /* bytes */
#define AHEAD 16     /* pairs whose memory is asked for in advance */

void ngram_hasher_init(struct ngram_hasher *h, int most, int64_t buckets)
{
    *h = (struct ngram_hasher){.most = most, .buckets = buckets};
}

void ngram_hasher_free(struct ngram_hasher *h)
{
    table_free(&h->words);
    number_table_free(&h->short_words);
    number_table_free(&h->pairs);
    free(h->word_buckets);
    buffer_free(&h->lower);
    buffer_free(&h->joined);
    free(h->numbers);
    *h = (struct ngram_hasher){0};
}

int64_t ngram_bucket(struct ngram_hasher *h, const char *ngram, size_t length)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    const unsigned size = sizeof digest;
    SHA256_CTX context;
    SHA256_Init(&context);
    SHA256_Update(&context, ngram, length);
    SHA256_Final(digest, &context);
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

enum word_class { WORD_OTHER, WORD_SPACE, WORD_LETTERS };

/* Of ASCII; regular expressions count the separators U+001C to U+001F as white space, too. */
static const unsigned char ascii_classes[128] = {
    [9] = WORD_SPACE,     [10] = WORD_SPACE,    [11] = WORD_SPACE,    [12] = WORD_SPACE,
    [13] = WORD_SPACE,    [28] = WORD_SPACE,    [29] = WORD_SPACE,    [30] = WORD_SPACE,
    [31] = WORD_SPACE,    [' '] = WORD_SPACE,   ['0'] = WORD_LETTERS, ['1'] = WORD_LETTERS,
    ['2'] = WORD_LETTERS, ['3'] = WORD_LETTERS, ['4'] = WORD_LETTERS, ['5'] = WORD_LETTERS,
    ['6'] = WORD_LETTERS, ['7'] = WORD_LETTERS, ['8'] = WORD_LETTERS, ['9'] = WORD_LETTERS,
    ['_'] = WORD_LETTERS, ['a'] = WORD_LETTERS, ['b'] = WORD_LETTERS, ['c'] = WORD_LETTERS,
    ['d'] = WORD_LETTERS, ['e'] = WORD_LETTERS, ['f'] = WORD_LETTERS, ['g'] = WORD_LETTERS,
    ['h'] = WORD_LETTERS, ['i'] = WORD_LETTERS, ['j'] = WORD_LETTERS, ['k'] = WORD_LETTERS,
    ['l'] = WORD_LETTERS, ['m'] = WORD_LETTERS, ['n'] = WORD_LETTERS, ['o'] = WORD_LETTERS,
    ['p'] = WORD_LETTERS, ['q'] = WORD_LETTERS, ['r'] = WORD_LETTERS, ['s'] = WORD_LETTERS,
    ['t'] = WORD_LETTERS, ['u'] = WORD_LETTERS, ['v'] = WORD_LETTERS, ['w'] = WORD_LETTERS,
    ['x'] = WORD_LETTERS, ['y'] = WORD_LETTERS, ['z'] = WORD_LETTERS,
};

/* Of lowered text. */
static enum word_class class_at(const char *text, size_t length, size_t *width)
{
    unsigned char c = (unsigned char)text[0];
    *width = 1;
    if (c < 0x80)
        return (enum word_class)ascii_classes[c];
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
static uint32_t long_word_number(struct ngram_hasher *h, const char *word, size_t length)
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

/* Short words, which most are, are found by their bytes and length as one number. */
static uint32_t word_number(struct ngram_hasher *h, size_t at, size_t length)
{
    const char *word = h->lower.data + at;
    uint64_t key = 0;
    if (length > SHORT_WORD)
        return long_word_number(h, word, length);
    if (at + 8 <= h->lower.length) {
        memcpy(&key, word, 8);
        key &= ((uint64_t)1 << 8 * length) - 1;
    } else {
        memcpy(&key, word, length);
    }
    key |= (uint64_t)length << 56;
    int64_t *number = number_table_put(&h->short_words, key, -1);
    if (number && *number < 0)
        *number = long_word_number(h, word, length);
    return number ? (uint32_t)*number : UINT32_MAX;
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
    number_table_free(&h->short_words);
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
        uint32_t number = word_number(h, begin, at - begin);
        if (number == UINT32_MAX)
            return error_no_memory(error, at - begin);
        h->numbers[(*words)++] = number;
    }
    if (status == STATUS_OK && !add_ngrams(h, *words, list))
        status = error_no_memory(error, (size_t)list->count * sizeof *list->items);
    return status;
}
