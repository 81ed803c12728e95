/* Shards: the token ids of a corpus in one file, mapped into memory when read. Documents lie one
 * after the other, each closed by the end-of-text token. Little-endian:
 *
 *   0   8  "ADZETOK1"
 *   8   4  vocabulary size        12  4  bytes of an id, 2 or 4
 *   16  8  ids                    24  8  documents
 *   32  8  bytes of text          40  8  hash of the tokenizer
 *   48  16 zero
 *   64     the ids, then zeros up to a multiple of 8, then for each document (8 bytes) where it
 *          ends, counted in ids
 */
#ifndef DATA_SHARD_H
#define DATA_SHARD_H

#include <stdint.h>

#include "base/error.h"
#include "base/file.h"

struct shard {
    struct file_map map;
    const unsigned char *ids;
    int id_bytes;
    int64_t vocabulary, tokens, documents, text_bytes;
    const uint64_t *document_ends;
    uint64_t tokenizer_hash;
};

/* Maps and checks a shard; every size is held against the file's real length. */
enum status shard_open(const char *path, struct shard *shard, struct error *error);
void shard_close(struct shard *shard);

/* Copies ids [begin, begin + count); fails when one is outside the vocabulary. */
enum status shard_ids(const struct shard *shard, int64_t begin, int64_t count, int32_t *ids,
                      struct error *error);
/* The document that holds token `position`: its first token. */
int64_t shard_document_start(const struct shard *shard, int64_t position);

struct shard_writer {
    struct file_writer file;
    int id_bytes;
    int64_t vocabulary, tokens, text_bytes;
    uint64_t tokenizer_hash;
    uint64_t *ends;
    int64_t documents, capacity;
};
enum status shard_writer_open(struct shard_writer *writer, const char *path, int64_t vocabulary,
                              uint64_t tokenizer_hash, struct error *error);
/* One document; `ids` includes its closing token. */
enum status shard_writer_add(struct shard_writer *writer, const int32_t *ids, int64_t count,
                             int64_t text_bytes, struct error *error);
enum status shard_writer_close(struct shard_writer *writer, struct error *error);
void shard_writer_abort(struct shard_writer *writer);

#endif
