/* The tokenizer of whatever has one. A folder's tokenizer.json says everything; of a
 * tokenizer.model alone, tokenizer_config.json says which tokens are put around a text. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "file/kinds.h"

static bool wanted(const json_t *config, const char *key, bool usual)
{
    const json_t *value = json_object_get(config, key);
    return json_is_boolean(value) ? json_is_true(value) : usual;
}

static enum status apply_config(struct tokenizer *t, const char *path, struct error *error)
{
    json_error_t problem;
    json_t *config = json_load_file(path, 0, &problem);
    if (!config)
        return error_set(error, STATUS_FAILED, "%s:%d: %s", path, problem.line, problem.text);
    bool before = wanted(config, "add_bos_token", t->before.count > 0) && t->bos >= 0;
    bool behind = wanted(config, "add_eos_token", t->behind.count > 0) && t->eos >= 0;
    json_decref(config);
    return tok_set_around(t, before ? t->bos : -1, behind ? t->eos : -1, error);
}

enum status model_folder_tokenizer(const char *folder, struct tokenizer *t, bool *found,
                                   struct error *error)
{
    char *json = file_join(folder, "tokenizer.json"),
         *pieces = file_join(folder, "tokenizer.model");
    char *config = file_join(folder, "tokenizer_config.json");
    enum status status = STATUS_OK;
    *found = false;
    if (!json || !pieces || !config) {
        status = error_no_memory(error, strlen(folder));
    } else if (file_exists(json)) {
        status = tok_load(json, t, error);
        *found = status == STATUS_OK;
    } else if (file_exists(pieces)) {
        status = tok_load(pieces, t, error);
        *found = status == STATUS_OK;
        if (*found && file_exists(config))
            status = apply_config(t, config, error);
        if (*found && status != STATUS_OK)
            tok_free(t);
        *found = status == STATUS_OK;
    }
    free(json);
    free(pieces);
    free(config);
    return status;
}

static bool is_gguf(const char *path)
{
    char start[4] = "";
    FILE *file = fopen(path, "rb");
    bool same = file && fread(start, 1, 4, file) == 4 && memcmp(start, "GGUF", 4) == 0;
    if (file)
        fclose(file);
    return same;
}

enum status model_load_tokenizer(const char *path, struct tokenizer *t, struct error *error)
{
    *t = (struct tokenizer){.bos = -1, .eos = -1};
    if (file_is_folder(path)) {
        bool found;
        enum status status = model_folder_tokenizer(path, t, &found, error);
        if (status == STATUS_OK && !found)
            status = error_set(error, STATUS_FAILED,
                               "%s: there is neither a tokenizer.json nor a tokenizer.model", path);
        return status;
    }
    if (!is_gguf(path))
        return tok_load(path, t, error);
    struct gguf file;
    enum status status = gguf_open(path, &file, error);
    if (status != STATUS_OK)
        return status;
    status = gguf_read_tokenizer(&file, t, error);
    gguf_close(&file);
    return status;
}
