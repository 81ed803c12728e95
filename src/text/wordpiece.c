/* WordPiece (Devlin et al. 2019): the longest piece that a word begins with, then the longest that
 * goes on from there, whose name has "##" before it. A word that cannot be covered so is unknown as
 * a whole. */
#include "text/tokenizer_internal.h"
#include "text/unicode.h"

enum status tok_wordpiece_word(const struct tokenizer *t, const char *word, size_t length,
                               struct tok_ids *out, struct error *error)
{
    int32_t characters = 0, inside = 0;
    int64_t first = out->count;
    for (size_t at = 0; at < length && characters <= t->longest_word; characters++)
        at += unicode_width(word + at, length - at);
    bool covered = characters <= t->longest_word;
    inside = trie_step(&t->words, 0, '#');
    inside = inside ? trie_step(&t->words, inside, '#') : 0;
    for (size_t at = 0; at < length && covered;) {
        int32_t id = -1, node = at ? inside : 0;
        size_t end = at;
        if (at == 0 || inside != 0)
            for (size_t i = at; i < length; i++) {
                node = trie_step(&t->words, node, (unsigned char)word[i]);
                if (node == 0)
                    break;
                if (t->words.values[node] >= 0) {
                    id = t->words.values[node];
                    end = i + 1;
                }
            }
        covered = id >= 0;
        enum status status = covered ? tok_ids_add(out, &id, 1, error) : STATUS_OK;
        if (status != STATUS_OK)
            return status;
        at = end;
    }
    if (covered)
        return STATUS_OK;
    out->count = first;
    return t->unknown >= 0 ? tok_ids_add(out, &t->unknown, 1, error) : STATUS_OK;
}
