/* Unigram (Kudo 2018): of all ways to cut a word into pieces, the one with the highest sum of
 * scores, by dynamic programming over the places where characters begin. A character that no piece
 * covers alone costs more than the worst piece. */
#include <float.h>
#include <string.h>

#include "text/tokenizer_internal.h"
#include "text/unicode.h"

#define UNKNOWN_PENALTY 10.0
#define USER_DISCOUNT 0.1

struct lattice {
    bool single;     /* sums are rounded to single precision, as SentencePiece's are */
    double *scores;  /* of the best way to each place */
    int32_t *starts; /* where its last piece begins, -1: no way yet */
    int32_t *ids;    /* which piece that is, -1: an unknown character */
};

static void offer(struct lattice *lattice, int32_t begin, int32_t end, int32_t id, double score)
{
    score += lattice->scores[begin];
    if (lattice->single)
        score = (double)(float)score;
    if (lattice->starts[end] >= 0 && lattice->scores[end] >= score)
        return;
    lattice->scores[end] = score;
    lattice->starts[end] = begin;
    lattice->ids[end] = id;
}

static double score_of(const struct tokenizer *t, int32_t id)
{
    const struct tok_piece *piece = &t->pieces[id];
    bool sure = piece->type == TOK_USER && t->sentencepiece;
    return sure ? (double)(float)(piece->length * t->highest - USER_DISCOUNT) : piece->score;
}

static void find_best(const struct tokenizer *t, const char *word, int32_t length,
                      struct lattice *lattice)
{
    lattice->starts[0] = 0;
    lattice->scores[0] = 0;
    for (int32_t i = 1; i <= length; i++)
        lattice->starts[i] = -1;
    for (int32_t at = 0; at < length;) {
        int32_t width = (int32_t)unicode_width(word + at, (size_t)(length - at));
        bool single = false;
        for (int32_t node = 0, i = at; i < length; i++) {
            node = trie_step(&t->words, node, (unsigned char)word[i]);
            if (node == 0)
                break;
            int32_t id = t->words.values[node];
            if (id < 0)
                continue;
            offer(lattice, at, i + 1, id, score_of(t, id));
            single = single || i + 1 - at == width;
        }
        if (!single)
            offer(lattice, at, at + width, -1, t->lowest - UNKNOWN_PENALTY);
        at += width;
    }
}

enum status tok_unigram_word(const struct tokenizer *t, struct tok_scratch *scratch,
                             const char *word, size_t length, struct tok_ids *out,
                             struct error *error)
{
    if (length > INT32_MAX / 4)
        return error_set(error, STATUS_FAILED, "a word of %llu bytes is too long to tokenize",
                         (unsigned long long)length);
    enum status status = tok_reserve(scratch, length + 1, error);
    if (status != STATUS_OK)
        return status;
    struct lattice lattice = {t->sentencepiece, (double *)(void *)scratch->heap, scratch->nodes,
                              scratch->nodes + length + 1};
    find_best(t, word, (int32_t)length, &lattice);
    /* The way is known from its end; its places go to where they can be read from the beginning. */
    int32_t *ends = scratch->nodes + 2 * (length + 1), count = 0;
    for (int32_t end = (int32_t)length; end > 0; end = lattice.starts[end])
        ends[count++] = end;
    bool unknown = false;
    for (int32_t begin = 0; count > 0 && status == STATUS_OK; begin = ends[count]) {
        int32_t end = ends[--count];
        if (lattice.ids[end] >= 0) {
            status = tok_ids_add(out, &lattice.ids[end], 1, error);
            unknown = false;
        } else {
            status =
                tok_unknown(t, word + begin, (size_t)(end - begin), unknown, out, &unknown, error);
        }
    }
    return status;
}
