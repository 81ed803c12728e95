/* See shard.h. */
#include "data/shard.h"

#include <stdlib.h>
#include <string.h>

#define HEADER 64

static uint64_t read_u64(const unsigned char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint32_t read_u32(const unsigned char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static bool sizes_fit(const struct shard *shard, uint64_t length)
{
    uint64_t tokens = (uint64_t)shard->tokens, documents = (uint64_t)shard->documents;
    uint64_t stretches = (uint64_t)shard->stretches;
    if (tokens > length || documents > length || stretches > length)
        return false;
    uint64_t ids = (tokens * (uint64_t)shard->id_bytes + 7) / 8 * 8;
    return HEADER + ids + documents * 8 + stretches * 16 == length;
}

/* Stretches must follow one another within the tokens. */
static bool stretches_fit(const struct shard *shard)
{
    uint64_t last = 0;
    for (int64_t i = 0; i < 2 * shard->stretches; i++) {
        if (shard->stretch_bounds[i] < last || shard->stretch_bounds[i] > (uint64_t)shard->tokens)
            return false;
        last = shard->stretch_bounds[i];
    }
    return true;
}

enum status shard_open(const char *path, struct shard *shard, struct error *error)
{
    *shard = (struct shard){0};
    enum status status = file_map_open(path, &shard->map, error);
    if (status != STATUS_OK)
        return status;
    const unsigned char *data = shard->map.data;
    if (shard->map.length < HEADER || memcmp(data, "ADZETOK1", 8) != 0) {
        shard_close(shard);
        return error_set(error, STATUS_FAILED, "%s: not a shard of token ids", path);
    }
    shard->vocabulary = read_u32(data + 8);
    shard->id_bytes = (int)read_u32(data + 12);
    shard->tokens = (int64_t)read_u64(data + 16);
    shard->documents = (int64_t)read_u64(data + 24);
    shard->text_bytes = (int64_t)read_u64(data + 32);
    shard->tokenizer_hash = read_u64(data + 40);
    shard->stretches = (int64_t)read_u64(data + 48);
    if ((shard->id_bytes != 2 && shard->id_bytes != 4) || !sizes_fit(shard, shard->map.length)) {
        shard_close(shard);
        return error_set(error, STATUS_FAILED, "%s: damaged: its sizes do not fit its length",
                         path);
    }
    shard->ids = data + HEADER;
    uint64_t ids = ((uint64_t)shard->tokens * (uint64_t)shard->id_bytes + 7) / 8 * 8;
    shard->document_ends = (const uint64_t *)(const void *)(data + HEADER + ids);
    uint64_t last = 0;
    for (int64_t i = 0; i < shard->documents; i++) {
        uint64_t end = shard->document_ends[i];
        if (end < last || end > (uint64_t)shard->tokens ||
            (i + 1 == shard->documents && end != (uint64_t)shard->tokens)) {
            shard_close(shard);
            return error_set(error, STATUS_FAILED, "%s: damaged: document %lld ends out of order",
                             path, (long long)i);
        }
        last = end;
    }
    shard->stretch_bounds = shard->document_ends + shard->documents;
    if (!stretches_fit(shard)) {
        shard_close(shard);
        return error_set(error, STATUS_FAILED, "%s: damaged: its stretches are out of order", path);
    }
    return STATUS_OK;
}

void shard_close(struct shard *shard)
{
    file_map_close(&shard->map);
    free(shard->rows);
    *shard = (struct shard){0};
}

enum status shard_ids(const struct shard *shard, int64_t begin, int64_t count, int32_t *ids,
                      struct error *error)
{
    const unsigned char *from = shard->ids + begin * shard->id_bytes;
    for (int64_t i = 0; i < count; i++) {
        uint32_t id = 0;
        memcpy(&id, from + i * shard->id_bytes, (size_t)shard->id_bytes);
        if (id >= (uint64_t)shard->vocabulary)
            return error_set(error, STATUS_FAILED,
                             "damaged token data: id %u at %lld is outside the vocabulary of %lld",
                             id, (long long)(begin + i), (long long)shard->vocabulary);
        ids[i] = (int32_t)id;
    }
    return STATUS_OK;
}

void shard_weigh(const struct shard *shard, int64_t begin, int64_t count, float *weights)
{
    if (shard->stretches == 0)
        return;
    int64_t low = 0, high = shard->stretches;
    while (low < high) { /* the first stretch that ends behind `begin` */
        int64_t middle = low + (high - low) / 2;
        if (shard->stretch_bounds[2 * middle + 1] > (uint64_t)begin)
            high = middle;
        else
            low = middle + 1;
    }
    for (int64_t i = 0; i < count; i++) {
        uint64_t at = (uint64_t)(begin + i);
        while (low < shard->stretches && shard->stretch_bounds[2 * low + 1] <= at)
            low++;
        if (low == shard->stretches || shard->stretch_bounds[2 * low] > at)
            weights[i] = 0;
    }
}

enum status shard_pack(struct shard *shard, int64_t window, struct error *error)
{
    int64_t most = shard->documents + shard->tokens / window + 1;
    int64_t *rows = malloc((size_t)most * 2 * sizeof *rows);
    if (!rows)
        return error_no_memory(error, (size_t)most * 2 * sizeof *rows);
    free(shard->rows);
    shard->rows = rows;
    shard->packed_window = window;
    shard->row_count = 0;
    int64_t begin = 0, end = 0;
    for (int64_t i = 0; i < shard->documents; i++) {
        int64_t next = (int64_t)shard->document_ends[i];
        if (next - begin > window + 1 && end > begin) { /* the row before is full */
            rows[2 * shard->row_count] = begin;
            rows[2 * shard->row_count++ + 1] = end;
            begin = end;
        }
        for (; next - begin > window + 1; begin += window) { /* too long for one row */
            rows[2 * shard->row_count] = begin;
            rows[2 * shard->row_count++ + 1] = begin + window + 1;
        }
        end = next;
    }
    if (end - begin > 1) {
        rows[2 * shard->row_count] = begin;
        rows[2 * shard->row_count++ + 1] = end;
    }
    return STATUS_OK;
}

int64_t shard_document_start(const struct shard *shard, int64_t position)
{
    int64_t low = 0, high = shard->documents;
    while (low < high) { /* the first document that ends behind `position` */
        int64_t middle = low + (high - low) / 2;
        if (shard->document_ends[middle] > (uint64_t)position)
            high = middle;
        else
            low = middle + 1;
    }
    return low > 0 ? (int64_t)shard->document_ends[low - 1] : 0;
}

enum status shard_writer_open(struct shard_writer *writer, const char *path, int64_t vocabulary,
                              uint64_t tokenizer_hash, struct error *error)
{
    *writer = (struct shard_writer){.vocabulary = vocabulary, .tokenizer_hash = tokenizer_hash};
    writer->id_bytes = vocabulary <= 65536 ? 2 : 4;
    enum status status = file_writer_open(&writer->file, path, error);
    const char zeros[HEADER] = {0};
    if (status == STATUS_OK)
        fwrite(zeros, 1, HEADER, writer->file.stream);
    return status;
}

enum status shard_writer_add(struct shard_writer *writer, const int32_t *ids, int64_t count,
                             int64_t text_bytes, struct error *error)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t id = (uint32_t)ids[i];
        fwrite(&id, 1, (size_t)writer->id_bytes, writer->file.stream);
    }
    writer->tokens += count;
    writer->text_bytes += text_bytes;
    uint64_t end = (uint64_t)writer->tokens;
    buffer_add(&writer->ends, &end, sizeof end);
    return buffer_check(&writer->ends, error);
}

enum status shard_writer_stretch(struct shard_writer *writer, struct stretch stretch,
                                 struct error *error)
{
    stretch.begin += writer->tokens;
    stretch.end += writer->tokens;
    buffer_add(&writer->stretches, &stretch, sizeof stretch);
    return buffer_check(&writer->stretches, error);
}

static void free_lists(struct shard_writer *writer)
{
    buffer_free(&writer->ends);
    buffer_free(&writer->stretches);
}

enum status shard_writer_close(struct shard_writer *writer, struct error *error)
{
    FILE *stream = writer->file.stream;
    const char zeros[8] = {0};
    size_t ids = (size_t)writer->tokens * (size_t)writer->id_bytes;
    fwrite(zeros, 1, (8 - ids % 8) % 8, stream);
    if (writer->ends.length > 0)
        fwrite(writer->ends.data, 1, writer->ends.length, stream);
    if (writer->stretches.length > 0)
        fwrite(writer->stretches.data, 1, writer->stretches.length, stream);
    unsigned char header[HEADER] = "ADZETOK1";
    uint32_t small[2] = {(uint32_t)writer->vocabulary, (uint32_t)writer->id_bytes};
    uint64_t large[5] = {(uint64_t)writer->tokens, writer->ends.length / sizeof(uint64_t),
                         (uint64_t)writer->text_bytes, writer->tokenizer_hash,
                         writer->stretches.length / sizeof(struct stretch)};
    memcpy(header + 8, small, sizeof small);
    memcpy(header + 16, large, sizeof large);
    rewind(stream);
    fwrite(header, 1, HEADER, stream);
    free_lists(writer);
    return file_writer_commit(&writer->file, error);
}

void shard_writer_abort(struct shard_writer *writer)
{
    file_writer_abort(&writer->file);
    free_lists(writer);
}
