/* Models in GGUF files: the tensors. The configuration is in gguf_config.c, the tokenizer in
 * gguf_tokenizer.c. */
#include <stdlib.h>
#include <string.h>

#include "file/families.h"
#include "file/kinds.h"
#include "model/mixes.h"
#include "weight/formats.h"

/* Reading. */

static enum status find_stored(const struct model *model, const struct parameter *parameter,
                               struct stored_tensor *stored, struct error *error)
{
    const struct family *family = family_by_name(model->decoder.config.family);
    bool known = names_find(family->gguf, &model->decoder, parameter, &stored->group);
    const char *name = known ? stored->group.stored : parameter->name;
    const struct gguf_tensor *tensor = known ? gguf_tensor_find(&model->gguf, name) : NULL;
    if (!tensor)
        return error_set(error, STATUS_FAILED, "%s: tensor '%s' is missing", model->path, name);
    bool stacked = stored->group.experts > 0 && tensor->shape[2] == stored->group.experts;
    if ((tensor->shape[2] != 1 && !stacked) || tensor->shape[3] != 1)
        return error_set(error, STATUS_FAILED, "%s: tensor '%s' has more axes than it should",
                         model->path, name);
    snprintf(stored->name, sizeof stored->name, "%s", name);
    stored->format = tensor->format;
    stored->data = tensor->data;
    stored->rows = tensor->shape[1] * tensor->shape[2];
    stored->columns = tensor->shape[0];
    if (stored->group.rule->form == NAME_KERNEL && stored->rows == stored->group.channels) {
        stored->columns *= stored->rows; /* as one vector; if that fits, nothing has overflowed */
        stored->rows = 1;
    }
    return STATUS_OK;
}

/* Factors of rotations, and layers behind the last that predict further tokens. */
static bool is_spare(const struct model *model, const char *name)
{
    const struct decoder_config *c = &model->decoder.config;
    return strncmp(name, "rope_f", 6) == 0 ||
           (strcmp(c->family, "qwen35") == 0 && strncmp(name, "blk.", 4) == 0 &&
            strtoll(name + 4, NULL, 10) >= c->layers);
}

static enum status bind_file(struct model *model, bool train, struct error *error)
{
    struct table used = {0};
    enum status status = model_bind_all(model, model->path, find_stored, train, &used, error);
    for (int64_t i = 0; i < model->gguf.tensor_count && status == STATUS_OK; i++) {
        const char *name = model->gguf.tensors[i].name;
        if (!table_find(&used, name, strlen(name)) && !is_spare(model, name))
            status = model_unused_tensor(model->path, name, error);
    }
    table_free(&used);
    return status;
}

enum status model_load_gguf(const char *path, bool train, struct model *model, struct error *error)
{
    struct decoder_config config = {0};
    enum status status = gguf_open(path, &model->gguf, error);
    if (status == STATUS_OK)
        status = gguf_read_config(&model->gguf, &config, error);
    if (status == STATUS_OK)
        status = decoder_create(&config, &model->decoder, error);
    if (status == STATUS_OK)
        status = bind_file(model, train, error);
    if (status == STATUS_OK && gguf_find(&model->gguf, "tokenizer.ggml.tokens")) {
        status = gguf_read_tokenizer(&model->gguf, &model->tokenizer, error);
        model->has_tokenizer = status == STATUS_OK;
    }
    if (status == STATUS_OK && model->has_tokenizer && model->tokenizer.count > config.vocabulary)
        status = error_set(error, STATUS_FAILED,
                           "%s: the tokenizer has %d tokens, but the model's vocabulary %lld", path,
                           (int)model->tokenizer.count, (long long)config.vocabulary);
    if (status == STATUS_OK)
        status = chat_load_gguf(model, error);
    return status;
}

/* Writing. */

/* The format that a parameter is stored in: vectors and positions stay f32. */
static const struct weight_format *stored_format(const struct parameter *p,
                                                 const struct weight_format *wanted)
{
    if (p->weight.format != &weight_f32 || !wanted || p->rank == 1 ||
        strcmp(p->name, "positions") == 0 || p->weight.columns % wanted->block != 0)
        return p->weight.format;
    return wanted;
}

struct save_plan {
    const struct model *model;
    const struct family *family;
    const struct weight_format *format;
    struct gguf_writer *writer;
    float *values; /* a row */
    unsigned char *blocks;
    int64_t *origins; /* for each stored output: part << 32 | output of the part */
};

/* One stored output: a row of a matrix, or a value of a vector. */
static void write_output(const struct save_plan *plan, const struct name_group *group,
                         const struct parameter *p, int64_t output,
                         const struct weight_format *format)
{
    int64_t columns = p->rank == 1 ? 1 : p->weight.columns;
    size_t row_bytes = (size_t)(columns / format->block) * format->block_bytes;
    if (p->rank == 2 && format == p->weight.format) {
        gguf_write_data(plan->writer,
                        (const unsigned char *)p->weight.data + (size_t)output * row_bytes,
                        row_bytes);
        return;
    }
    weight_unpack_row(&p->weight, p->rank == 1 ? 0 : output, p->rank == 1 ? output : 0, columns,
                      plan->values);
    if (p->rank == 1)
        plan->values[0] = names_to_stored(group, plan->values[0]);
    format->pack(plan->values, columns, plan->blocks);
    gguf_write_data(plan->writer, plan->blocks, row_bytes);
}

static void write_group(const struct save_plan *plan, const struct name_group *group,
                        const struct weight_format *format)
{
    for (int i = 0; i < names_part_count(group); i++)
        for (int64_t o = 0; o < names_outputs(names_part(group, i)); o++)
            plan->origins[names_place(group, i, o)] = (int64_t)i << 32 | o;
    for (int64_t at = 0; at < names_stored_outputs(group) && !model_is_stopped(plan->model); at++)
        write_output(plan, group, names_part(group, (int)(plan->origins[at] >> 32)),
                     plan->origins[at] & 0xffffffff, format);
}

/* Walks all stored tensors: declares them, or writes their data. */
static void for_tensors(const struct save_plan *plan, bool data)
{
    const struct parameters *parameters = &plan->model->decoder.parameters;
    for (int i = 0; i < parameters->count; i++) {
        const struct parameter *p = &parameters->items[i];
        struct name_group group;
        if (!names_find(plan->family->gguf, &plan->model->decoder, p, &group) || group.index > 0)
            continue;
        const struct weight_format *format = stored_format(p, plan->format);
        if (data) {
            write_group(plan, &group, format);
            gguf_end_tensor(plan->writer);
            continue;
        }
        int64_t shape[3] = {names_stored_outputs(&group), p->weight.columns};
        if (group.experts > 0) {
            shape[2] = shape[1];
            shape[1] = p->weight.rows;
            shape[0] = group.experts;
        }
        int rank = group.experts > 0 ? 3 : p->rank;
        if (group.rule->form == NAME_KERNEL) {
            rank = 2;
            shape[0] = group.channels;
            shape[1] = p->weight.columns / group.channels;
        }
        gguf_put_tensor(plan->writer, group.stored, rank, shape, format);
    }
    struct gguf_rope_tensor rope[2];
    int count = gguf_rope_tensors(&plan->model->decoder.config, rope);
    for (int i = 0; i < count; i++) {
        if (data) {
            gguf_write_data(plan->writer, rope[i].values, (size_t)rope[i].count * sizeof(float));
            gguf_end_tensor(plan->writer);
        } else {
            gguf_put_tensor(plan->writer, rope[i].name, 1, &rope[i].count, &weight_f32);
        }
    }
}

/* llama.cpp's number for a file whose matrices are stored as these are: that of the mix which gives
 * the most of them their format. */
static uint32_t file_type(const struct model *model, const struct weight_format *format)
{
    const struct parameters *parameters = &model->decoder.parameters;
    uint32_t best = 0;
    int most = 0;
    for (int m = 0; mixes[m].name; m++) {
        int agreeing = 0;
        for (int i = 0; i < parameters->count; i++) {
            const struct parameter *p = &parameters->items[i];
            if (p->rank > 1 && p->kind == PARAMETER_MATRIX)
                agreeing +=
                    stored_format(p, format) == mix_format(&mixes[m], &model->decoder.config, p);
        }
        if (agreeing > most) {
            most = agreeing;
            best = mixes[m].file_type;
        }
    }
    return best;
}

/* The widest row, and the most outputs that a stored tensor of any group may have. */
static enum status reserve_plan(struct save_plan *plan, struct error *error)
{
    const struct parameters *parameters = &plan->model->decoder.parameters;
    int64_t widest = 1, outputs = 1;
    for (int i = 0; i < parameters->count; i++) {
        const struct parameter *p = &parameters->items[i];
        int64_t parts = plan->model->decoder.config.experts;
        int64_t count = names_outputs(p) * (parts > NAME_PARTS_MOST ? parts : NAME_PARTS_MOST);
        widest = p->weight.columns > widest ? p->weight.columns : widest;
        outputs = count > outputs ? count : outputs;
    }
    plan->values = malloc((size_t)widest * sizeof(float));
    plan->blocks = malloc((size_t)widest * 4); /* no format takes more than f32 */
    plan->origins = malloc((size_t)outputs * sizeof *plan->origins);
    if (plan->values && plan->blocks && plan->origins)
        return STATUS_OK;
    return error_no_memory(error, (size_t)widest * 8 + (size_t)outputs * sizeof *plan->origins);
}

/* The ids of a model that comes without a tokenizer. */
static void put_bare_ends(struct gguf_writer *writer, const struct decoder_config *c)
{
    if (c->bos_token >= 0)
        gguf_put_u32(writer, "tokenizer.ggml.bos_token_id", (uint32_t)c->bos_token);
    if (c->eos_token >= 0)
        gguf_put_u32(writer, "tokenizer.ggml.eos_token_id", (uint32_t)c->eos_token);
}

static enum status write_file(const struct save_plan *plan, const char *path, const char *name,
                              struct error *error)
{
    const struct model *model = plan->model;
    const struct decoder_config *c = &model->decoder.config;
    struct gguf_writer *writer = plan->writer;
    enum status status = gguf_writer_open(writer, path, error);
    if (status != STATUS_OK)
        return status;
    gguf_put_config(writer, c, name);
    gguf_put_u32(writer, "general.file_type", file_type(model, plan->format));
    gguf_put_u32(writer, "general.quantization_version", 2);
    if (model->has_tokenizer)
        status = gguf_put_tokenizer(writer, &model->tokenizer, c->vocabulary, error);
    else
        put_bare_ends(writer, c);
    if (status == STATUS_OK)
        chat_put_gguf(model, writer);
    if (status != STATUS_OK) {
        gguf_writer_abort(writer);
        return status;
    }
    for_tensors(plan, false);
    gguf_writer_begin_data(writer);
    for_tensors(plan, true);
    if (model_is_stopped(model)) {
        gguf_writer_abort(writer);
        return error_set(error, STATUS_INTERRUPTED,
                         "stopped while writing %s: nothing of it is left", path);
    }
    return gguf_writer_close(writer, error);
}

enum status model_save_gguf(const struct model *model, const char *path,
                            const struct weight_format *format, const char *name,
                            struct error *error)
{
    struct gguf_writer writer;
    struct save_plan plan = {.model = model,
                             .family = family_by_name(model->decoder.config.family),
                             .format = format,
                             .writer = &writer};
    enum status status = gguf_check_config(&model->decoder.config, path, error);
    if (status == STATUS_OK)
        status = reserve_plan(&plan, error);
    if (status == STATUS_OK)
        status = write_file(&plan, path, name, error);
    free(plan.values);
    free(plan.blocks);
    free(plan.origins);
    return status;
}
