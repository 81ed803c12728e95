/* Shards: the token ids of a corpus in one file, mapped into memory when read. Documents lie one
 * after the other, each closed by the end-of-text token. Little-endian:
 *
 *   0   8  "ADZETOK1"
 *   8   4  vocabulary size        12  4  bytes of an id, 2 or 4
 *   16  8  ids                    24  8  documents
 *   32  8  bytes of text          40  8  hash of the tokenizer
 *   48  8  stretches to learn       56  8  zero
 *   64     the ids, then zeros up to a multiple of 8, then for each document (8 bytes) where it
 *          ends, counted in ids; then for each stretch (8 + 8 bytes) where it begins and ends
 *
 * Without stretches everything is learned. With them, such as the assistant's turns of
 * conversations, only tokens in them are; the rest is context.
 */
#ifndef DATA_SHARD_H
#define DATA_SHARD_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/file.h"

/* Tokens [begin, end). */
struct stretch {
    int64_t begin, end;
};

struct shard {
    struct file_map map;
    const unsigned char *ids;
    int id_bytes;
    int64_t vocabulary, tokens, documents, text_bytes;
    const uint64_t *document_ends;
    int64_t stretches;
    const uint64_t *stretch_bounds; /* (stretches, 2) */
    uint64_t tokenizer_hash;
    int64_t *rows; /* of shard_pack: (row_count, 2), first token and end */
    int64_t row_count, packed_window;
};

/* Maps and checks a shard; every size is held against the file's real length. */
enum status shard_open(const char *path, struct shard *shard, struct error *error);
void shard_close(struct shard *shard);

/* Copies ids [begin, begin + count); fails when one is outside the vocabulary. */
enum status shard_ids(const struct shard *shard, int64_t begin, int64_t count, int32_t *ids,
                      struct error *error);
/* Sets the weights of tokens [begin, begin + count) that are not to be learned to 0. */
void shard_weigh(const struct shard *shard, int64_t begin, int64_t count, float *weights);
/* Lays documents whole into rows of at most `window` + 1 tokens, one after the other, as many as
 * fit; longer ones take rows of their own. For examples, which make no sense from the middle. */
enum status shard_pack(struct shard *shard, int64_t window, struct error *error);
/* The document that holds token `position`: its first token. */
int64_t shard_document_start(const struct shard *shard, int64_t position);

struct shard_writer {
    struct file_writer file;
    int id_bytes;
    int64_t vocabulary, tokens, text_bytes;
    uint64_t tokenizer_hash;
    struct buffer ends;      /* uint64_t, one a document */
    struct buffer stretches; /* struct stretch */
};
enum status shard_writer_open(struct shard_writer *writer, const char *path, int64_t vocabulary,
                              uint64_t tokenizer_hash, struct error *error);
/* One document; `ids` includes its closing token. */
enum status shard_writer_add(struct shard_writer *writer, const int32_t *ids, int64_t count,
                             int64_t text_bytes, struct error *error);
/* A stretch to learn of the document that is added next, counted from its first token. */
enum status shard_writer_stretch(struct shard_writer *writer, struct stretch stretch,
                                 struct error *error);
enum status shard_writer_close(struct shard_writer *writer, struct error *error);
void shard_writer_abort(struct shard_writer *writer);

#endif
