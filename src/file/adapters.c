/* See adapters.h. Reading and writing share one idea of a stored adapter: the pair that belongs to
 * a stored tensor, made of the pairs of all parameters in it. */
#include "file/adapters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file/families.h"
#include "file/kinds.h"
#include "weight/formats.h"

#define RANK_MOST 65536

/* How adapters are called in one kind of file. */
struct layout {
    bool gguf;
    const struct name_table *table;
};

/* An open file of adapters. */
struct source {
    const char *path;
    struct layout layout;
    struct safetensors tensors;
    struct gguf gguf;
    json_t *config;
    struct table used; /* names of tensors that have found their place */
};

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), width = strlen(end);
    return length >= width && strcmp(text + length - width, end) == 0;
}

static struct layout layout_of(const char *path, const struct decoder *decoder)
{
    const struct family *family = family_by_name(decoder->config.family);
    bool gguf = ends_with(path, ".gguf");
    return (struct layout){gguf, gguf ? family->gguf : family->huggingface};
}

/* The stored tensor in which the matrix of a linear layer lies. */
static bool find_group(const struct layout *layout, const struct decoder *decoder, int64_t layer,
                       enum decoder_linear which, struct name_group *group)
{
    char name[80];
    bool delta = which == LINEAR_OUTPUT && decoder_layer_is_delta(&decoder->config, layer);
    snprintf(name, sizeof name, "layers.%lld.%s.weight", (long long)layer,
             delta ? "delta.output" : decoder_linear_names[which]);
    const struct parameter *p = parameters_find(&decoder->parameters, name);
    return p && names_find(layout->table, decoder, p, group);
}

/* "base_model.model.<module>.lora_A.weight", or "<tensor>.lora_a". */
static void pair_name(const struct layout *layout, const char *stored, char part, char *out,
                      size_t size)
{
    if (layout->gguf)
        snprintf(out, size, "%s.lora_%c", stored, part);
    else
        snprintf(out, size, "base_model.model.%.*s.lora_%c.weight", (int)strlen(stored) - 7, stored,
                 part - 'a' + 'A');
}

/* Reading. */

/* A stored matrix as a weight; false when there is none of that name. */
static bool find_matrix(struct source *source, const char *name, struct weight *weight)
{
    *weight = (struct weight){0};
    if (source->layout.gguf) {
        const struct gguf_tensor *t = gguf_tensor_find(&source->gguf, name);
        if (!t)
            return false;
        if (t->shape[2] == 1 && t->shape[3] == 1)
            *weight = (struct weight){
                .format = t->format, .rows = t->shape[1], .columns = t->shape[0], .data = t->data};
        return true;
    }
    const struct safetensors_entry *e = safetensors_find(&source->tensors, name);
    if (e && e->rank == 2)
        *weight = (struct weight){
            .format = e->format, .rows = e->shape[0], .columns = e->shape[1], .data = e->data};
    return e != NULL;
}

struct stored_pair {
    char names[2][2 * NAME_LENGTH];
    struct weight a, b;
};

static enum status find_pair(struct source *source, const struct name_group *group,
                             struct stored_pair *pair, bool *found, struct error *error)
{
    pair_name(&source->layout, group->stored, 'a', pair->names[0], sizeof pair->names[0]);
    pair_name(&source->layout, group->stored, 'b', pair->names[1], sizeof pair->names[1]);
    *found = find_matrix(source, pair->names[0], &pair->a);
    bool second = find_matrix(source, pair->names[1], &pair->b);
    if (!*found && !second)
        return STATUS_OK;
    if (!*found || !second)
        return error_set(error, STATUS_FAILED, "%s: tensor '%s' is missing", source->path,
                         pair->names[*found]);
    if (!pair->a.format || !pair->b.format)
        return error_set(error, STATUS_FAILED,
                         "%s: tensor '%s' is in a format that adze cannot read", source->path,
                         pair->names[pair->a.format != NULL]);
    if (pair->a.columns != group->parts[0]->weight.columns || pair->a.rows < 1 ||
        pair->a.rows > RANK_MOST || pair->b.columns != pair->a.rows ||
        pair->b.rows != names_stored_outputs(group))
        return error_set(error, STATUS_FAILED,
                         "%s: '%s' (%lld x %lld and %lld x %lld) does not fit the model's %lld x "
                         "%lld",
                         source->path, pair->names[0], (long long)pair->a.rows,
                         (long long)pair->a.columns, (long long)pair->b.rows,
                         (long long)pair->b.columns, (long long)names_stored_outputs(group),
                         (long long)group->parts[0]->weight.columns);
    for (int i = 0; i < 2; i++)
        if (!table_put(&source->used, pair->names[i], strlen(pair->names[i]), 1))
            return error_no_memory(error, sizeof pair->names[i]);
    return STATUS_OK;
}

/* Of a module with an alpha of its own, that alpha over the common one. */
static double alpha_factor(const struct source *source, const char *stored, double alpha)
{
    const char *key;
    json_t *value;
    char module[NAME_LENGTH];
    snprintf(module, sizeof module, "%.*s", (int)strlen(stored) - 7, stored);
    json_object_foreach(json_object_get(source->config, "alpha_pattern"), key, value)
    {
        size_t length = strlen(module), tail = strlen(key);
        if (ends_with(module, key) && (length == tail || module[length - tail - 1] == '.'))
            return json_number_value(value) / alpha;
    }
    return 1;
}

/* Whether a scale can be written as f32, too. */
static bool usable_alpha(double alpha)
{
    return fabs(alpha) >= 1e-9 && fabs(alpha) <= 1e9;
}

static enum status check_finite(const struct source *source, const struct adapter_item *item,
                                const char *name, struct error *error)
{
    const struct weight *const both[] = {item->adapter.a, item->adapter.b};
    for (int i = 0; i < 2; i++)
        for (int64_t j = 0; j < both[i]->rows * both[i]->columns; j++)
            if (!isfinite(both[i]->tensor.data[j]))
                return error_set(error, STATUS_FAILED, "%s: '%s' holds values that are no numbers",
                                 source->path, name);
    return STATUS_OK;
}

/* Copies one part's share of a stored pair. */
static void take_values(const struct stored_pair *pair, const struct name_group *group,
                        double factor, struct adapter_item *item)
{
    int64_t rank = pair->a.rows;
    float *a = item->adapter.a->tensor.data, *b = item->adapter.b->tensor.data;
    int64_t columns = pair->a.columns, run = names_input_run(group);
    for (int64_t i = 0; i < rank * columns; i += run)
        weight_unpack_row(&pair->a, i / columns, names_input_place(group, i % columns), run, a + i);
    for (int64_t o = 0; o < item->adapter.b->rows; o++) {
        weight_unpack_row(&pair->b, names_place(group, group->index, o), 0, rank, b + o * rank);
        for (int64_t r = 0; factor != 1 && r < rank; r++)
            b[o * rank + r] = (float)(factor * (double)b[o * rank + r]);
    }
}

/* Whether a matrix can have an adapter. */
static bool is_target(struct decoder *decoder, int64_t layer, const struct parameter *matrix)
{
    for (int which = 0; which < LINEARS; which++) {
        const struct linear *linear = decoder_linear(decoder, layer, which);
        if (linear && linear->weight == &matrix->weight)
            return true;
    }
    return false;
}

/* A stored pair may also change matrices that have no adapters, as Qwen3.5's gates of attention. */
static enum status check_parts(const struct source *source, struct decoder *decoder, int64_t layer,
                               const struct name_group *group, const struct stored_pair *pair,
                               struct error *error)
{
    for (int i = 0; i < group->count; i++) {
        if (is_target(decoder, layer, group->parts[i]))
            continue;
        for (int64_t o = 0; o < names_outputs(group->parts[i]); o++)
            for (int64_t r = 0; r < pair->b.columns; r++) {
                float value;
                weight_unpack_row(&pair->b, names_place(group, i, o), r, 1, &value);
                if (value != 0)
                    return error_set(error, STATUS_FAILED, "%s: '%s' changes %s, which adze cannot",
                                     source->path, pair->names[1], group->parts[i]->name);
            }
    }
    return STATUS_OK;
}

/* Walks all linear layers: declares the adapters that the file has, or gives them their values. */
static enum status read_pairs(struct source *source, struct decoder *decoder,
                              struct adapters *adapters, bool values, struct error *error)
{
    int next = 0;
    enum status status = STATUS_OK;
    for (int64_t layer = 0; layer < decoder->config.layers; layer++)
        for (int which = 0; which < LINEARS && status == STATUS_OK; which++) {
            struct name_group group;
            struct stored_pair pair;
            bool found;
            if (!find_group(&source->layout, decoder, layer, which, &group))
                continue;
            status = find_pair(source, &group, &pair, &found, error);
            if (status != STATUS_OK || !found)
                continue;
            if (!values) {
                status = check_parts(source, decoder, layer, &group, &pair, error);
                if (status != STATUS_OK)
                    break;
                status = adapters_declare(adapters, decoder, layer, which, pair.a.rows, error);
                continue;
            }
            struct adapter_item *item = &adapters->items[next++];
            take_values(&pair, &group, alpha_factor(source, group.stored, adapters->settings.alpha),
                        item);
            status = check_finite(source, item, pair.names[0], error);
        }
    return status;
}

static enum status check_unused(struct source *source, struct error *error)
{
    int64_t count = source->layout.gguf ? source->gguf.tensor_count : source->tensors.count;
    for (int64_t i = 0; i < count; i++) {
        const char *name =
            source->layout.gguf ? source->gguf.tensors[i].name : source->tensors.entries[i].name;
        if (!table_find(&source->used, name, strlen(name)))
            return model_unused_tensor(source->path, name, error);
    }
    return STATUS_OK;
}

static enum status refuse(const struct source *source, const char *what, struct error *error)
{
    return error_set(error, STATUS_FAILED, "%s: %s, which adze cannot apply", source->path, what);
}

static enum status read_config(struct source *source, struct adapters *adapters,
                               struct error *error)
{
    struct adapter_settings *s = &adapters->settings;
    const json_t *c = source->config;
    const char *type = json_string_value(json_object_get(c, "peft_type"));
    const char *bias = json_string_value(json_object_get(c, "bias"));
    if (!type || strcmp(type, "LORA") != 0)
        return refuse(source, "it is no LoRA", error);
    if (json_is_true(json_object_get(c, "use_dora")))
        return refuse(source, "it is a DoRA", error);
    if (bias && strcmp(bias, "none") != 0)
        return refuse(source, "it has biases of its own", error);
    if (json_array_size(json_object_get(c, "modules_to_save")) > 0)
        return refuse(source, "it replaces whole modules", error);
    s->rank = json_integer_value(json_object_get(c, "r"));
    s->alpha = json_number_value(json_object_get(c, "lora_alpha"));
    s->rank_stabilized = json_is_true(json_object_get(c, "use_rslora"));
    s->dropout = json_number_value(json_object_get(c, "lora_dropout"));
    if (!usable_alpha(s->alpha) || !(s->dropout >= 0 && s->dropout < 1))
        return error_set(error, STATUS_FAILED, "%s: its lora_alpha or lora_dropout is unusable",
                         source->path);
    return STATUS_OK;
}

static enum status read_keys(struct source *source, const struct decoder *decoder,
                             struct adapters *adapters, struct error *error)
{
    struct gguf *file = &source->gguf;
    const struct family *family = family_by_name(decoder->config.family);
    const char *kind = gguf_get_text(file, "general.type");
    const char *type = gguf_get_text(file, "adapter.type");
    const char *arch = gguf_get_text(file, "general.architecture");
    if (!kind || strcmp(kind, "adapter") != 0 || !type || strcmp(type, "lora") != 0)
        return error_set(error, STATUS_FAILED, "%s: it is no LoRA", source->path);
    if (!arch || !family->arch || strcmp(arch, family->arch) != 0)
        return error_set(error, STATUS_FAILED, "%s: is for models of architecture %.40s",
                         source->path, arch ? arch : "unknown");
    if (!gguf_get_real(file, "adapter.lora.alpha", &adapters->settings.alpha) ||
        !usable_alpha(adapters->settings.alpha))
        return error_set(error, STATUS_FAILED, "%s: its adapter.lora.alpha is unusable",
                         source->path);
    return STATUS_OK;
}

static enum status open_source(struct source *source, const struct decoder *decoder,
                               struct adapters *adapters, struct error *error)
{
    enum status status;
    if (source->layout.gguf) {
        if (!source->layout.table)
            return refuse(source, "GGUF has no place for this family's adapters", error);
        status = gguf_open(source->path, &source->gguf, error);
        return status == STATUS_OK ? read_keys(source, decoder, adapters, error) : status;
    }
    char *config = file_join(source->path, "adapter_config.json");
    char *tensors = file_join(source->path, "adapter_model.safetensors");
    if (!config || !tensors)
        status = error_no_memory(error, strlen(source->path));
    else
        status = huggingface_read_json(config, &source->config, error);
    if (status == STATUS_OK)
        status = read_config(source, adapters, error);
    if (status == STATUS_OK)
        status = safetensors_open(tensors, &source->tensors, error);
    free(config);
    free(tensors);
    return status;
}

enum status adapters_load(const char *path, struct decoder *decoder, struct adapters *adapters,
                          struct error *error)
{
    struct source source = {.path = path, .layout = layout_of(path, decoder)};
    enum status status = adapters_create(&(struct adapter_settings){0}, decoder, adapters, error);
    if (status == STATUS_OK)
        status = open_source(&source, decoder, adapters, error);
    if (status == STATUS_OK)
        status = read_pairs(&source, decoder, adapters, false, error);
    if (status == STATUS_OK && adapters->count == 0)
        status = error_set(error, STATUS_FAILED, "%s: holds no adapter for this model", path);
    if (status == STATUS_OK)
        status = check_unused(&source, error);
    if (status == STATUS_OK)
        status = adapters_allocate(adapters, error);
    if (status == STATUS_OK)
        status = read_pairs(&source, decoder, adapters, true, error);
    if (status == STATUS_OK && adapters->settings.rank < 1)
        adapters->settings.rank = adapters->items[0].adapter.a->rows;
    safetensors_close(&source.tensors);
    gguf_close(&source.gguf);
    json_decref(source.config);
    table_free(&source.used);
    if (status != STATUS_OK)
        adapters_free(adapters);
    return status;
}

/* Writing. */

static const struct adapter_item *item_of(const struct adapters *adapters,
                                          const struct decoder *decoder,
                                          const struct parameter *matrix)
{
    for (int i = 0; i < adapters->count; i++) {
        const struct adapter_item *item = &adapters->items[i];
        const struct linear *linear =
            decoder_linear((struct decoder *)(uintptr_t)decoder, item->layer, item->which);
        if (linear->weight == &matrix->weight)
            return item;
    }
    return NULL;
}

/* The stored pair of a group, in f32: A (R, I) and B (stored outputs, R). */
static enum status join_pair(const struct adapters *adapters, const struct decoder *decoder,
                             const struct name_group *group, struct arena *arena,
                             struct stored_pair *pair, struct error *error)
{
    const struct adapter_item *items[NAME_PARTS_MOST];
    int64_t rank = 0, columns = group->parts[0]->weight.columns, at = 0;
    int64_t outputs = names_stored_outputs(group);
    for (int i = 0; i < group->count; i++) {
        items[i] = item_of(adapters, decoder, group->parts[i]);
        rank += items[i] ? items[i]->adapter.a->rows : 0;
    }
    float *a = arena_calloc(arena, (size_t)(rank * columns), sizeof *a);
    float *b = arena_calloc(arena, (size_t)(outputs * rank), sizeof *b);
    if (!a || !b)
        return error_no_memory(error, (size_t)(rank * (columns + outputs)) * sizeof *a);
    for (int i = 0; i < group->count; i++) {
        if (!items[i])
            continue;
        const struct weight *ia = items[i]->adapter.a, *ib = items[i]->adapter.b;
        /* Whoever reads the file scales by the joint rank. */
        double factor = adapters_scale(&adapters->settings, ia->rows) /
                        adapters_scale(&adapters->settings, rank);
        for (int64_t r = 0; r < ia->rows; r++)
            for (int64_t j = 0; j < columns; j++)
                a[(at + r) * columns + names_input_place(group, j)] =
                    ia->tensor.data[r * columns + j];
        for (int64_t o = 0; o < ib->rows; o++)
            for (int64_t r = 0; r < ib->columns; r++)
                b[names_place(group, i, o) * rank + at + r] =
                    (float)(factor * (double)ib->tensor.data[o * ib->columns + r]);
        at += ia->rows;
    }
    for (int64_t i = 0; i < outputs * rank; i++)
        if (!isfinite(b[i]))
            return error_set(error, STATUS_FAILED,
                             "the adapter of %s has values too large to write", group->stored);
    pair->a = weight_over_f32(a, rank, columns);
    pair->b = weight_over_f32(b, outputs, rank);
    return STATUS_OK;
}

/* All stored pairs, in order. */
struct stored_pairs {
    struct stored_pair *items;
    char (*stored)[NAME_LENGTH];
    int count;
};

static enum status join_all(const struct adapters *adapters, const struct decoder *decoder,
                            const struct layout *layout, struct arena *arena,
                            struct stored_pairs *pairs, struct error *error)
{
    pairs->items = arena_calloc(arena, (size_t)adapters->count, sizeof *pairs->items);
    pairs->stored = arena_calloc(arena, (size_t)adapters->count, sizeof *pairs->stored);
    enum status status =
        pairs->items && pairs->stored ? STATUS_OK : error_no_memory(error, sizeof *pairs->items);
    for (int i = 0; i < adapters->count && status == STATUS_OK; i++) {
        struct name_group group;
        bool known =
            find_group(layout, decoder, adapters->items[i].layer, adapters->items[i].which, &group);
        if (!known)
            return error_set(error, STATUS_FAILED, "the family's files have no tensor for %s",
                             decoder_linear_names[adapters->items[i].which]);
        bool again = false; /* another part of a pair that is there */
        for (int j = 0; j < pairs->count; j++)
            again = again || strcmp(pairs->stored[j], group.stored) == 0;
        if (again)
            continue;
        struct stored_pair *pair = &pairs->items[pairs->count];
        snprintf(pairs->stored[pairs->count++], NAME_LENGTH, "%s", group.stored);
        pair_name(layout, group.stored, 'a', pair->names[0], sizeof pair->names[0]);
        pair_name(layout, group.stored, 'b', pair->names[1], sizeof pair->names[1]);
        status = join_pair(adapters, decoder, &group, arena, pair, error);
    }
    return status;
}

static enum status save_gguf(const struct adapters *adapters, const struct decoder *decoder,
                             const char *base, const struct stored_pairs *pairs, const char *path,
                             struct error *error)
{
    struct gguf_writer writer;
    enum status status = gguf_writer_open(&writer, path, error);
    if (status != STATUS_OK)
        return status;
    /* llama.cpp always scales by alpha / rank. */
    double alpha = adapters_scale(&adapters->settings, adapters->settings.rank) *
                   (double)adapters->settings.rank;
    gguf_put_text(&writer, "general.architecture", family_by_name(decoder->config.family)->arch);
    gguf_put_text(&writer, "general.type", "adapter");
    gguf_put_text(&writer, "general.name", base);
    gguf_put_text(&writer, "adapter.type", "lora");
    gguf_put_f32(&writer, "adapter.lora.alpha", (float)alpha);
    for (int i = 0; i < 2 * pairs->count; i++) {
        const struct stored_pair *pair = &pairs->items[i / 2];
        const struct weight *w = i % 2 ? &pair->b : &pair->a;
        const int64_t shape[2] = {w->rows, w->columns};
        gguf_put_tensor(&writer, pair->names[i % 2], 2, shape, &weight_f32);
    }
    gguf_writer_begin_data(&writer);
    for (int i = 0; i < 2 * pairs->count; i++) {
        const struct weight *w = i % 2 ? &pairs->items[i / 2].b : &pairs->items[i / 2].a;
        gguf_write_data(&writer, w->data, (size_t)(w->rows * w->columns) * sizeof(float));
        gguf_end_tensor(&writer);
    }
    return gguf_writer_close(&writer, error);
}

/* The last word of a stored tensor's module: what PEFT calls a target. */
static void add_target(json_t *targets, const char *stored)
{
    char module[NAME_LENGTH];
    snprintf(module, sizeof module, "%.*s", (int)strlen(stored) - 7, stored);
    const char *word = strrchr(module, '.') ? strrchr(module, '.') + 1 : module;
    size_t index;
    json_t *value;
    json_array_foreach(targets, index, value)
    {
        if (strcmp(json_string_value(value), word) == 0)
            return;
    }
    json_array_append_new(targets, json_string(word));
}

static json_t *make_config(const struct adapters *adapters, const struct decoder *decoder,
                           const char *base, const struct stored_pairs *pairs)
{
    const struct adapter_settings *s = &adapters->settings;
    json_t *targets = json_array(), *ranks = json_object();
    for (int i = 0; i < pairs->count; i++) {
        const char *stored = pairs->stored[i];
        char module[NAME_LENGTH];
        snprintf(module, sizeof module, "%.*s", (int)strlen(stored) - 7, stored);
        add_target(targets, stored);
        if (pairs->items[i].a.rows != s->rank)
            json_object_set_new(ranks, module, json_integer(pairs->items[i].a.rows));
    }
    return json_pack("{s:s,s:s,s:s,s:I,s:f,s:f,s:b,s:s,s:b,s:b,s:b,s:b,s:n,s:n,s:n,s:o,s:{},s:o}",
                     "peft_type", "LORA", "task_type", "CAUSAL_LM", "base_model_name_or_path", base,
                     "r", (json_int_t)s->rank, "lora_alpha", s->alpha, "lora_dropout", s->dropout,
                     "use_rslora", s->rank_stabilized, "bias", "none", "fan_in_fan_out",
                     strcmp(decoder->config.family, "gpt2") == 0, "use_dora", false,
                     "inference_mode", true, "init_lora_weights", true, "modules_to_save",
                     "layers_to_transform", "layers_pattern", "rank_pattern", ranks,
                     "alpha_pattern", "target_modules", targets);
}

static enum status save_folder(const struct adapters *adapters, const struct decoder *decoder,
                               const char *base, const struct stored_pairs *pairs,
                               struct arena *arena, const char *path, struct error *error)
{
    size_t count = 2 * (size_t)pairs->count;
    struct safetensors_entry *entries = arena_calloc(arena, count, sizeof *entries);
    char *tensors = file_join(path, "adapter_model.safetensors");
    char *config = file_join(path, "adapter_config.json");
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    enum status status = STATUS_OK;
    if (!entries || !tensors || !config || !metadata)
        status = error_no_memory(error, count * sizeof *entries);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        const struct stored_pair *pair = &pairs->items[i / 2];
        const struct weight *w = i % 2 ? &pair->b : &pair->a;
        entries[i] = (struct safetensors_entry){.name = pair->names[i % 2],
                                                .format = &weight_f32,
                                                .rank = 2,
                                                .shape = {w->rows, w->columns},
                                                .data = w->data};
    }
    if (status == STATUS_OK)
        status = file_make_folders(path, error);
    if (status == STATUS_OK)
        status = huggingface_write_json(make_config(adapters, decoder, base, pairs), config, error);
    if (status == STATUS_OK)
        status = safetensors_write(tensors, entries, (int64_t)count, metadata, NULL, error);
    json_decref(metadata);
    free(tensors);
    free(config);
    return status;
}

enum status adapters_save(const struct adapters *adapters, struct decoder *decoder,
                          const char *base, const char *path, struct error *error)
{
    struct layout layout = layout_of(path, decoder);
    struct arena arena = {0};
    struct stored_pairs pairs = {0};
    if (!layout.table)
        return error_set(error, STATUS_FAILED, "%s: GGUF has no place for this family's adapters",
                         path);
    enum status status = join_all(adapters, decoder, &layout, &arena, &pairs, error);
    if (status == STATUS_OK && layout.gguf)
        status = save_gguf(adapters, decoder, base, &pairs, path, error);
    else if (status == STATUS_OK)
        status = save_folder(adapters, decoder, base, &pairs, &arena, path, error);
    arena_free(&arena);
    return status;
}
