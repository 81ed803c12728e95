/* Hugging Face folders: the tensors, of one file or several, and what lies beside them. What
 * config.json says is in huggingface_config.c. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file/families.h"
#include "file/kinds.h"
#include "weight/formats.h"

/* Loading. */

/* Files of the base classes leave the first word of the names out, as GPT-2's own do. */
static const struct safetensors_entry *find_entry(const struct model *model, const char *name,
                                                  const char **path)
{
    const char *rest = strchr(name, '.');
    for (int whole = 1; whole >= 0; whole--)
        for (int64_t i = 0; i < model->shard_count; i++) {
            const char *wanted = whole ? name : rest ? rest + 1 : NULL;
            const struct safetensors_entry *entry =
                wanted ? safetensors_find(&model->shards[i], wanted) : NULL;
            if (entry) {
                *path = model->shards[i].path;
                return entry;
            }
        }
    return NULL;
}

static enum status find_stored(const struct model *model, const struct parameter *parameter,
                               struct stored_tensor *stored, struct error *error)
{
    const struct family *family = family_by_name(model->decoder.config.family);
    bool known = names_find(family->huggingface, &model->decoder, parameter, &stored->group);
    const char *name = known ? stored->group.stored : parameter->name,
               *path = model->shards[0].path;
    const struct safetensors_entry *entry = known ? find_entry(model, name, &path) : NULL;
    if (!entry)
        return error_set(error, STATUS_FAILED, "%s: tensor '%s' is missing", path, name);
    bool kernel = stored->group.rule->form == NAME_CHANNELS && entry->rank == 3;
    if (entry->rank > 2 && !kernel)
        return error_set(error, STATUS_FAILED, "%s: tensor '%s' has %d axes", path, name,
                         entry->rank);
    snprintf(stored->name, sizeof stored->name, "%s", entry->name);
    stored->format = entry->format;
    stored->data = entry->data;
    stored->columns = entry->rank > 0 ? entry->shape[entry->rank - 1] : 1;
    stored->rows = entry->rank > 1 ? entry->shape[0] : 1;
    if (kernel) { /* as one vector */
        stored->columns *= entry->shape[0] * entry->shape[1];
        stored->rows = 1;
    }
    return STATUS_OK;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcmp(text + length - tail, ending) == 0;
}

/* What older files carry beside the parameters: causal masks, rotation frequencies, and a tied
 * output projection once more. */
static bool is_spare(const struct decoder_config *c, const char *name)
{
    static const char *const buffers[] = {".attn.bias", ".attn.masked_bias", ".attention.bias",
                                          ".attention.masked_bias", ".rotary_emb.inv_freq"};
    bool fused = strcmp(c->family, "gpt2") == 0 || strcmp(c->family, "gptneox") == 0;
    for (size_t i = fused ? 0 : 4; i < sizeof buffers / sizeof *buffers; i++)
        if (ends_with(name, buffers[i]))
            return true;
    /* Of an encoder what stands on it: poolers, heads that predict masked words. */
    static const char *const heads[] = {"pooler.", "bert.pooler.", "cls.",
                                        "head.",   "decoder.",     "classifier."};
    for (size_t i = 0; c->bidirectional && i < sizeof heads / sizeof *heads; i++)
        if (strncmp(name, heads[i], strlen(heads[i])) == 0)
            return true;
    if (strcmp(c->family, "qwen35") == 0 && strncmp(name, "mtp.", 4) == 0)
        return true; /* predicts further tokens */
    if (c->bidirectional && ends_with(name, "embeddings.position_ids"))
        return true;
    return c->tied &&
           (strcmp(name, "lm_head.weight") == 0 || strcmp(name, "embed_out.weight") == 0);
}

static enum status bind_files(struct model *model, bool train, struct error *error)
{
    struct table used = {0};
    enum status status =
        model_bind_all(model, model->shards[0].path, find_stored, train, &used, error);
    for (int64_t s = 0; s < model->shard_count && status == STATUS_OK; s++) {
        const struct safetensors *file = &model->shards[s];
        for (int64_t i = 0; i < file->count && status == STATUS_OK; i++) {
            const char *name = file->entries[i].name;
            if (!table_find(&used, name, strlen(name)) && !is_spare(&model->decoder.config, name))
                status = model_unused_tensor(file->path, name, error);
        }
    }
    table_free(&used);
    return status;
}

/* Opens one more file of the folder. */
static enum status open_shard(struct model *model, const char *folder, const char *name,
                              struct error *error)
{
    char *path = file_join(folder, name);
    struct safetensors *more =
        realloc(model->shards, (size_t)(model->shard_count + 1) * sizeof *more);
    enum status status = STATUS_OK;
    if (more)
        model->shards = more;
    if (!path || !more)
        status = error_no_memory(error, sizeof *more);
    else
        status = safetensors_open(path, &more[model->shard_count], error);
    model->shard_count += status == STATUS_OK;
    free(path);
    return status;
}

/* A name of a file in the folder itself: an index may not lead elsewhere. */
static bool is_file_name(const char *name)
{
    return name && *name && name[0] != '.' && !strchr(name, '/');
}

/* model.safetensors, or the files that model.safetensors.index.json lists. */
static enum status open_weights(struct model *model, const char *folder, struct error *error)
{
    char *index_path = file_join(folder, "model.safetensors.index.json");
    if (!index_path)
        return error_no_memory(error, strlen(folder));
    json_t *root = NULL;
    struct table opened = {0};
    enum status status = STATUS_OK;
    if (!file_exists(index_path)) {
        status = open_shard(model, folder, "model.safetensors", error);
    } else {
        status = huggingface_read_json(index_path, &root, error);
        const char *key;
        json_t *value;
        json_object_foreach(json_object_get(root, "weight_map"), key, value)
        {
            const char *name = json_string_value(value);
            if (status == STATUS_OK && !is_file_name(name))
                status = error_set(error, STATUS_FAILED, "%s: '%.80s' is in no file of the folder",
                                   index_path, key);
            if (status != STATUS_OK || table_find(&opened, name, strlen(name)))
                continue;
            status = table_put(&opened, name, strlen(name), 1)
                         ? open_shard(model, folder, name, error)
                         : error_no_memory(error, 64);
        }
        if (status == STATUS_OK && model->shard_count == 0)
            status = error_set(error, STATUS_FAILED, "%s: lists no files", index_path);
    }
    table_free(&opened);
    json_decref(root);
    free(index_path);
    return status;
}

static enum status load_tokenizer(struct model *model, const char *folder, struct error *error)
{
    enum status status =
        model_folder_tokenizer(folder, &model->tokenizer, &model->has_tokenizer, error);
    if (status != STATUS_OK || !model->has_tokenizer)
        return status;
    const struct decoder_config *c = &model->decoder.config;
    if (model->tokenizer.count > c->vocabulary)
        return error_set(error, STATUS_FAILED,
                         "%s: the tokenizer has %d tokens, but the model's vocabulary %lld", folder,
                         (int)model->tokenizer.count, (long long)c->vocabulary);
    if (c->eos_token >= 0 && c->eos_token < model->tokenizer.count)
        model->tokenizer.eos = (int32_t)c->eos_token;
    if (c->bos_token >= 0 && c->bos_token < model->tokenizer.count)
        model->tokenizer.bos = (int32_t)c->bos_token;
    return STATUS_OK;
}

enum status model_load_folder(const char *folder, bool train, struct model *model,
                              struct error *error)
{
    char *config_path = file_join(folder, "config.json");
    struct decoder_config config;
    enum status status = STATUS_OK;
    if (!config_path)
        status = error_no_memory(error, strlen(folder));
    if (status == STATUS_OK)
        status = huggingface_read_config(config_path, &config, error);
    if (status == STATUS_OK)
        status = open_weights(model, folder, error);
    if (status == STATUS_OK)
        status = decoder_create(&config, &model->decoder, error);
    if (status == STATUS_OK)
        status = bind_files(model, train, error);
    if (status == STATUS_OK)
        status = load_tokenizer(model, folder, error);
    if (status == STATUS_OK)
        status = chat_load_folder(model, folder, error);
    free(config_path);
    return status;
}

/* Saving. */

/* The stored form of a group of parameters, in f32. */
static float *gather(const struct name_group *group, struct arena *arena)
{
    const struct parameter *first = group->parts[0];
    int64_t in = first->rank == 1 ? 1 : first->weight.columns, out = names_stored_outputs(group);
    bool turned = group->rule->form == NAME_TRANSPOSED;
    float *values = arena_alloc(arena, (size_t)(in * out) * sizeof(float));
    float *row = arena_alloc(arena, (size_t)in * sizeof(float));
    if (!values || !row)
        return NULL;
    for (int i = 0; i < names_part_count(group); i++) {
        const struct parameter *part = names_part(group, i);
        for (int64_t o = 0; o < names_outputs(part); o++) {
            int64_t at = names_place(group, i, o);
            weight_unpack_row(&part->weight, part->rank == 1 ? 0 : o, part->rank == 1 ? o : 0, in,
                              row);
            if (part->rank == 1)
                row[0] = names_to_stored(group, row[0]);
            for (int64_t j = 0; j < in; j++)
                values[turned ? j * out + at : at * in + names_input_place(group, j)] = row[j];
        }
    }
    return values;
}

static enum status describe_entry(const struct name_group *group, struct safetensors_entry *entry,
                                  struct arena *arena, struct error *error)
{
    const struct parameter *p = group->parts[0];
    int64_t outputs = names_stored_outputs(group);
    bool as_it_is = names_part_count(group) == 1 && names_contiguous(group) &&
                    names_input_run(group) == p->weight.columns &&
                    group->rule->form != NAME_LESS_ONE && p->weight.format == &weight_f32;
    entry->name = arena_strdup(arena, group->stored);
    entry->format = &weight_f32;
    entry->data = as_it_is ? p->weight.data : gather(group, arena);
    entry->rank = p->rank;
    entry->shape[0] = outputs;
    entry->shape[1] = p->weight.columns;
    if (p->rank == 2 && group->rule->form == NAME_TRANSPOSED) {
        entry->shape[0] = p->weight.columns;
        entry->shape[1] = outputs;
    }
    if (group->rule->form == NAME_CHANNELS) {
        entry->rank = 3;
        entry->shape[0] = group->channels;
        entry->shape[1] = 1;
        entry->shape[2] = outputs / group->channels;
    }
    if (entry->data && entry->name)
        return STATUS_OK;
    return error_no_memory(error, (size_t)(outputs * p->weight.columns) * sizeof(float));
}

static enum status save_weights(const struct model *model, const char *path, struct error *error)
{
    const struct parameters *parameters = &model->decoder.parameters;
    const struct family *family = family_by_name(model->decoder.config.family);
    struct arena arena = {.block_bytes = (size_t)16 << 20};
    struct safetensors_entry *entries =
        arena_calloc(&arena, (size_t)parameters->count + 1, sizeof *entries);
    int64_t count = 0;
    enum status status = entries ? STATUS_OK : error_no_memory(error, sizeof *entries);
    for (int i = 0; i < parameters->count && status == STATUS_OK; i++) {
        struct name_group group;
        if (names_find(family->huggingface, &model->decoder, &parameters->items[i], &group) &&
            group.index == 0)
            status = describe_entry(&group, &entries[count++], &arena, error);
        if (status == STATUS_OK && model_is_stopped(model))
            status = error_set(error, STATUS_INTERRUPTED,
                               "stopped while writing %s: nothing of it is left", path);
    }
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    if (status == STATUS_OK)
        status = safetensors_write(path, entries, count, metadata, model->stop, error);
    json_decref(metadata);
    arena_free(&arena);
    return status;
}

static enum status save_part(const struct model *model, const char *folder, const char *name,
                             struct error *error)
{
    const struct decoder_config *c = &model->decoder.config;
    char *path = file_join(folder, name);
    if (!path)
        return error_no_memory(error, strlen(folder));
    enum status status = STATUS_OK;
    if (strcmp(name, "config.json") == 0)
        status = huggingface_write_config(c, path, error);
    else if (strcmp(name, "model.safetensors") == 0)
        status = save_weights(model, path, error);
    else if (strcmp(name, "tokenizer.json") == 0)
        status = model->has_tokenizer ? tok_save(&model->tokenizer, path, error) : STATUS_OK;
    else if (strcmp(name, "tokenizer_config.json") == 0)
        status = chat_save_tokenizer(model, path, error);
    else if (strcmp(name, "chat_template.jinja") == 0)
        status = chat_save_template(model, path, error);
    else
        status = chat_save_generation(model, path, error);
    free(path);
    return status;
}

enum status model_save_folder(const struct model *model, const char *folder, struct error *error)
{
    const char *const parts[] = {"model.safetensors",      "config.json",
                                 "generation_config.json", "tokenizer.json",
                                 "tokenizer_config.json",  "chat_template.jinja"};
    enum status status = file_make_folders(folder, error);
    for (size_t i = 0; i < sizeof parts / sizeof *parts && status == STATUS_OK; i++)
        status = save_part(model, folder, parts[i], error);
    if (status == STATUS_INTERRUPTED)
        rmdir(folder); /* when it was made here: it is empty then, and only then this succeeds */
    return status;
}
