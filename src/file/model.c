/* See model.h. What loading has in common for all kinds of files. */
#include "file/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "file/kinds.h"
#include "weight/formats.h"

void model_free(struct model *model)
{
    decoder_free(&model->decoder);
    tok_free(&model->tokenizer);
    safetensors_close(&model->safetensors);
    gguf_close(&model->gguf);
    arena_free(&model->owned);
    free(model->path);
    *model = (struct model){0};
}

int64_t model_interleaved_row(int64_t row, int64_t head_width)
{
    int64_t head = row / head_width, at = row % head_width, half = head_width / 2;
    return head * head_width + (at < half ? 2 * at : 2 * (at - half) + 1);
}

/* Whether a stored tensor has the shape that the rule expects of the parameter. */
static bool shape_fits(const struct parameter *p, const struct name_rule *rule,
                       const struct stored_tensor *stored)
{
    int64_t rows = p->weight.rows, columns = p->weight.columns;
    if (p->rank == 1)
        return stored->rows == 1 && stored->columns == columns * rule->parts;
    if (rule->form == NAME_TRANSPOSED)
        return stored->rows == columns && stored->columns == rows * rule->parts;
    return stored->columns == columns && stored->rows == rows * rule->parts;
}

/* Values of the parameter's row as f32. */
static void read_row(const struct parameter *p, const struct name_rule *rule,
                     const struct stored_tensor *stored, int64_t head_width, int64_t row,
                     float *out)
{
    struct weight view = {.format = stored->format,
                          .rows = stored->rows,
                          .columns = stored->columns,
                          .data = stored->data};
    int64_t columns = p->weight.columns;
    if (p->rank == 1) {
        weight_unpack_row(&view, 0, rule->part * columns, columns, out);
    } else if (rule->form == NAME_TRANSPOSED) {
        for (int64_t j = 0; j < columns; j++)
            weight_unpack_row(&view, j, rule->part * p->weight.rows + row, 1, out + j);
    } else {
        int64_t at = rule->form == NAME_INTERLEAVED ? model_interleaved_row(row, head_width) : row;
        weight_unpack_row(&view, rule->part * p->weight.rows + at, 0, columns, out);
    }
}

static void read_all(const struct parameter *p, const struct name_rule *rule,
                     const struct stored_tensor *stored, int64_t head_width, float *out)
{
    for (int64_t row = 0; row < p->weight.rows; row++)
        read_row(p, rule, stored, head_width, row, out + row * p->weight.columns);
    if (p->rank == 1 && rule->form == NAME_INTERLEAVED) { /* a bias: its values are the rows */
        int64_t count = p->weight.columns;
        struct weight view = {
            .format = stored->format, .rows = 1, .columns = stored->columns, .data = stored->data};
        for (int64_t i = 0; i < count; i++)
            weight_unpack_row(&view, 0, model_interleaved_row(i, head_width), 1, out + i);
    }
}

/* Keeps the stored format; rows are copied only where their order or alignment asks for it. */
static enum status bind_frozen(struct model *model, struct parameter *p,
                               const struct name_rule *rule, const struct stored_tensor *stored,
                               struct error *error)
{
    size_t row_bytes;
    enum status status = weight_row_bytes(stored->format, stored->columns, &row_bytes, error);
    if (status != STATUS_OK)
        return status;
    const unsigned char *data = stored->data;
    data += (size_t)(rule->part * p->weight.rows) * row_bytes;
    bool aligned = stored->format->block != 1 || (uintptr_t)data % stored->format->block_bytes == 0;
    if (rule->form == NAME_INTERLEAVED || !aligned) {
        unsigned char *copy = arena_alloc(&model->owned, (size_t)p->weight.rows * row_bytes);
        if (!copy)
            return error_no_memory(error, (size_t)p->weight.rows * row_bytes);
        for (int64_t row = 0; row < p->weight.rows; row++) {
            int64_t from = rule->form == NAME_INTERLEAVED
                               ? model_interleaved_row(row, model->decoder.config.head_width)
                               : row;
            memcpy(copy + (size_t)row * row_bytes, data + (size_t)from * row_bytes, row_bytes);
        }
        data = copy;
    }
    p->weight.format = stored->format;
    p->weight.data = data;
    if (stored->format == &weight_f32)
        p->weight.tensor.data = (float *)(uintptr_t)data;
    return STATUS_OK;
}

static enum status check_stored(const struct parameter *p, const struct stored_tensor *stored,
                                const char *path, struct error *error)
{
    if (!stored->format)
        return error_set(error, STATUS_FAILED,
                         "%s: tensor '%s' is in a format that adze cannot read", path,
                         stored->name);
    if (!shape_fits(p, stored->rule, stored))
        return error_set(error, STATUS_FAILED,
                         "%s: tensor '%s' is %lld x %lld, which does not fit the model's %lld x "
                         "%lld",
                         path, stored->name, (long long)stored->rows, (long long)stored->columns,
                         (long long)p->weight.rows, (long long)p->weight.columns);
    return STATUS_OK;
}

static enum status bind_one(struct model *model, struct parameter *p,
                            const struct stored_tensor *stored, bool train, struct error *error)
{
    bool vector = p->kind == PARAMETER_NORM || p->kind == PARAMETER_BIAS;
    if (!train && !vector && stored->rule->form != NAME_TRANSPOSED)
        return bind_frozen(model, p, stored->rule, stored, error);
    float *values = p->weight.tensor.data;
    size_t bytes = (size_t)(p->weight.rows * p->weight.columns) * sizeof(float);
    if (!train) {
        values = arena_alloc(&model->owned, bytes);
        if (!values)
            return error_no_memory(error, bytes);
        p->weight = weight_over_f32(values, p->weight.rows, p->weight.columns);
    }
    read_all(p, stored->rule, stored, model->decoder.config.head_width, values);
    return STATUS_OK;
}

enum status model_bind_all(struct model *model, const char *path, find_stored_function *find,
                           bool train, struct table *used, struct error *error)
{
    struct parameters *parameters = &model->decoder.parameters;
    struct stored_tensor stored;
    enum status status = STATUS_OK;
    for (int i = 0; i < parameters->count && status == STATUS_OK; i++) {
        status = find(model, &parameters->items[i], &stored, error);
        if (status == STATUS_OK)
            status = check_stored(&parameters->items[i], &stored, path, error);
        if (status == STATUS_OK && !table_put(used, stored.name, strlen(stored.name), i))
            status = error_no_memory(error, sizeof stored.name);
    }
    if (status == STATUS_OK && train)
        status = parameters_allocate(parameters, error);
    for (int i = 0; i < parameters->count && status == STATUS_OK; i++) {
        status = find(model, &parameters->items[i], &stored, error);
        if (status == STATUS_OK)
            status = bind_one(model, &parameters->items[i], &stored, train, error);
    }
    return status;
}

enum status model_unused_tensor(const char *path, const char *name, struct error *error)
{
    return error_set(error, STATUS_FAILED, "%s: tensor '%.80s' has no place in the model", path,
                     name);
}

enum status model_check_expressible(const struct decoder_config *c, bool gguf, const char *path,
                                    struct error *error)
{
    bool gpt2 = strcmp(c->family, "gpt2") == 0, fits;
    if (gpt2)
        fits = c->norm == MODEL_NORM_LAYER && c->positions == MODEL_POSITIONS_LEARNED &&
               c->kv_heads == c->heads && c->attention_bias && c->output_bias && c->mlp_bias &&
               c->head_width * c->heads == c->width &&
               (c->mlp == MODEL_MLP_GELU_TANH || (c->mlp == MODEL_MLP_GELU && !gguf));
    else
        fits = c->norm == MODEL_NORM_RMS && c->positions == MODEL_POSITIONS_ROTARY &&
               c->mlp == MODEL_MLP_SWIGLU && (gguf || c->attention_bias == c->output_bias);
    if (fits)
        return STATUS_OK;
    return error_set(error, STATUS_FAILED,
                     "%s: this mixture of options cannot be written as a %s model%s", path,
                     gpt2 ? "GPT-2" : "Llama", gguf ? " in GGUF" : "");
}

enum status model_load(const char *path, bool train, struct model *model, struct error *error)
{
    *model = (struct model){.path = strdup(path)};
    model->tokenizer.bos = model->tokenizer.eos = -1;
    if (!model->path)
        return error_no_memory(error, strlen(path));
    enum status status;
    if (file_is_folder(path))
        status = model_load_folder(path, train, model, error);
    else
        status = model_load_gguf(path, train, model, error);
    if (status != STATUS_OK)
        model_free(model);
    return status;
}
