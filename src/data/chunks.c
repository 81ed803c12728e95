/* See chunks.h. */
#include "data/chunks.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum status chunks_open(const char *const *paths, int64_t count,
                        const struct chunk_options *options, struct chunks *chunks,
                        struct error *error)
{
    *chunks = (struct chunks){.options = *options};
    return corpus_open(paths, count, &options->corpus, &chunks->corpus, error);
}

void chunks_close(struct chunks *chunks)
{
    corpus_close(chunks->corpus);
    free(chunks->items);
    number_table_free(&chunks->seen);
    *chunks = (struct chunks){0};
}

static bool is_space(char c)
{
    return c == ' ' || (c >= 9 && c <= 13);
}

/* Hash of the text with case and runs of white space leveled. */
static uint64_t level_hash(const char *text, size_t length)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return 0;
    XXH3_64bits_reset(state);
    char part[512];
    size_t filled = 0;
    bool gap = false, any = false;
    for (size_t i = 0; i < length; i++) {
        if (is_space(text[i])) {
            gap = any;
            continue;
        }
        if (filled + 2 > sizeof part) {
            XXH3_64bits_update(state, part, filled);
            filled = 0;
        }
        if (gap)
            part[filled++] = ' ';
        part[filled++] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
        gap = false;
        any = true;
    }
    XXH3_64bits_update(state, part, filled);
    uint64_t hash = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return hash == UINT64_MAX ? 0 : hash;
}

static enum status add_piece(struct chunks *c, const char *text, size_t length, uint64_t origin,
                             struct error *error)
{
    if (c->options.dedup) {
        uint64_t known = c->seen.count;
        if (!number_table_put(&c->seen, level_hash(text, length), 0))
            return error_no_memory(error, (size_t)known * 16);
        if (c->seen.count == known) {
            c->duplicates++;
            return STATUS_OK;
        }
    }
    if (c->count == c->capacity) {
        int64_t capacity = c->capacity ? c->capacity * 2 : 4096;
        struct document *grown = realloc(c->items, (size_t)capacity * sizeof *grown);
        if (!grown)
            return error_no_memory(error, (size_t)capacity * sizeof *grown);
        c->items = grown;
        c->capacity = capacity;
    }
    c->items[c->count++] = (struct document){
        .text = text, .length = length, .index = c->next_index++, .origin = origin};
    return STATUS_OK;
}

static enum status cut_document(struct chunks *c, const struct document *document,
                                struct error *error)
{
    uint64_t origin = document_hash(document->text, document->length);
    if (c->options.words <= 0)
        return add_piece(c, document->text, document->length, origin, error);
    const char *text = document->text;
    enum status status = STATUS_OK;
    size_t begin = 0, at = 0;
    int64_t words = 0;
    while (at < document->length && status == STATUS_OK) {
        while (at < document->length && is_space(text[at]))
            at++;
        words += at < document->length;
        while (at < document->length && !is_space(text[at]))
            at++;
        if (words < c->options.words && at < document->length)
            continue;
        if (words * 2 >= c->options.words)
            status = add_piece(c, text + begin, at - begin, origin, error);
        else if (words > 0)
            c->dropped++;
        begin = at;
        words = 0;
    }
    return status;
}

enum status chunks_next(struct chunks *c, struct thread_pool *pool,
                        const struct document **documents, int64_t *count, struct error *error)
{
    c->count = 0;
    while (c->count == 0) {
        const struct document *whole;
        int64_t wholes;
        enum status status = corpus_next(c->corpus, pool, &whole, &wholes, error);
        for (int64_t i = 0; i < wholes && status == STATUS_OK; i++)
            status = cut_document(c, &whole[i], error);
        if (status != STATUS_OK)
            return status;
        if (wholes == 0)
            break;
    }
    *documents = c->items;
    *count = c->count;
    return STATUS_OK;
}
