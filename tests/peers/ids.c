/* adze's ids for comparison with other programs:
 *
 *   peer_ids encode|model|decode TOKENIZER [OUTPUT] < records > records
 *
 * A record is a length (int32) and as many bytes, or ids (int32) where ids are meant. `model` puts
 * around each text what the model expects. With OUTPUT the tokenizer is also written there, as GGUF
 * when the name ends so, else as tokenizer.json. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file/model.h"

#define LENGTH_MOST (1 << 28)

static void *read_record(int32_t *length, size_t size)
{
    if (fread(length, sizeof *length, 1, stdin) != 1 || *length < 0 || *length > LENGTH_MOST)
        return NULL;
    void *bytes = malloc((size_t)*length * size + 1);
    if (bytes && fread(bytes, size, (size_t)*length, stdin) == (size_t)*length)
        return bytes;
    free(bytes);
    return NULL;
}

static void write_record(const void *items, int32_t count, size_t size)
{
    fwrite(&count, sizeof count, 1, stdout);
    fwrite(items, size, (size_t)count, stdout);
}

static enum status write_copy(const struct tokenizer *t, const char *path, struct error *error)
{
    size_t length = strlen(path);
    if (length < 5 || strcmp(path + length - 5, ".gguf") != 0)
        return tok_save(t, path, error);
    struct gguf_writer writer;
    enum status status = gguf_writer_open(&writer, path, error);
    if (status != STATUS_OK)
        return status;
    gguf_put_text(&writer, "general.architecture", "llama");
    status = gguf_put_tokenizer(&writer, t, t->count, error);
    gguf_writer_begin_data(&writer);
    return status == STATUS_OK ? gguf_writer_close(&writer, error) : status;
}

static enum status answer(const struct tokenizer *t, const char *what, struct error *error)
{
    struct tok_scratch scratch = {0};
    struct buffer text = {0};
    enum status status = STATUS_OK;
    bool decode = strcmp(what, "decode") == 0, around = strcmp(what, "model") == 0;
    int32_t length;
    void *record;
    while (status == STATUS_OK && (record = read_record(&length, decode ? sizeof length : 1))) {
        struct tok_ids ids = {0};
        buffer_clear(&text);
        if (decode) {
            tok_decode(t, record, length, false, &text);
            write_record(text.data, (int32_t)text.length, 1);
        } else {
            status = around ? tok_encode_model(t, &scratch, record, (size_t)length, true, false,
                                               &ids, error)
                            : tok_encode(t, &scratch, record, (size_t)length, true, &ids, error);
            write_record(ids.items, (int32_t)ids.count, sizeof *ids.items);
        }
        tok_ids_free(&ids);
        free(record);
    }
    buffer_free(&text);
    tok_scratch_free(&scratch);
    return status;
}

int main(int count, char **arguments)
{
    struct tokenizer tokenizer;
    struct error error;
    if (count != 3 && count != 4) {
        fprintf(stderr, "usage: %s encode|model|decode TOKENIZER [OUTPUT]\n", arguments[0]);
        return 2;
    }
    enum status status = model_load_tokenizer(arguments[2], &tokenizer, &error);
    if (status == STATUS_OK) {
        if (count == 4)
            status = write_copy(&tokenizer, arguments[3], &error);
        if (status == STATUS_OK)
            status = answer(&tokenizer, arguments[1], &error);
        tok_free(&tokenizer);
    }
    if (status != STATUS_OK)
        fprintf(stderr, "%s\n", error.message);
    return status != STATUS_OK;
}
