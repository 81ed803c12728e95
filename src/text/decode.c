/* From ids to text. Ids may come one by one: what a piece means for the text depends on whether
 * text came before it, and on nothing else. */
#include <string.h>

#include "text/tokenizer.h"
#include "text/unicode.h"

/* Endings that WordPiece's tidying joins to the word before. */
static bool joins_word(const struct tok_piece *piece)
{
    static const char *const endings[] = {".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"};
    for (int i = 0; i < 9; i++)
        if (piece->length >= strlen(endings[i]) &&
            memcmp(piece->bytes, endings[i], strlen(endings[i])) == 0)
            return true;
    return false;
}

static void add_wordpiece(const struct tokenizer *t, const struct tok_piece *piece, bool started,
                          struct buffer *text)
{
    bool inside = piece->length >= 2 && memcmp(piece->bytes, "##", 2) == 0;
    if (started && !inside && !(t->clean_up && joins_word(piece)))
        buffer_add(text, " ", 1);
    size_t skip = started && inside ? 2 : 0;
    buffer_add(text, piece->bytes + skip, piece->length - skip);
}

static void add_marked(const struct tokenizer *t, const struct tok_piece *piece, bool started,
                       struct buffer *text)
{
    const char *mark = UNICODE_SPACE_MARK;
    size_t width = strlen(mark), skip = 0;
    bool in_front = piece->length >= width && memcmp(piece->bytes, mark, width) == 0;
    if (!started && t->space_in_front && in_front)
        skip = width;
    unicode_unmark_spaces(piece->bytes + skip, piece->length - skip, text);
}

void tok_decode_next(const struct tokenizer *t, const int32_t *ids, int64_t count, bool specials,
                     bool *started, struct buffer *text)
{
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] < 0 || ids[i] >= t->count)
            continue;
        const struct tok_piece *piece = &t->pieces[ids[i]];
        if (!piece->defined || (piece->special && !specials))
            continue;
        int byte = piece->type == TOK_BYTE ? tok_byte_of(piece->bytes, piece->length) : -1;
        if (byte >= 0) {
            char c = (char)byte;
            buffer_add(text, &c, 1);
        } else if (t->kind == TOK_WORDPIECE) {
            add_wordpiece(t, piece, *started, text);
        } else if (t->marked_spaces && !piece->special) {
            add_marked(t, piece, *started, text);
        } else {
            buffer_add(text, piece->bytes, piece->length);
        }
        *started = true;
    }
}

void tok_decode(const struct tokenizer *t, const int32_t *ids, int64_t count, bool specials,
                struct buffer *text)
{
    bool started = false;
    tok_decode_next(t, ids, count, specials, &started, text);
}
