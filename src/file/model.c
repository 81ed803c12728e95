/* See model.h. What loading has in common for all kinds of files. */
#include "file/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "file/kinds.h"
#include "weight/formats.h"

void model_free(struct model *model)
{
    decoder_free(&model->decoder);
    tok_free(&model->tokenizer);
    for (int64_t i = 0; i < model->shard_count; i++)
        safetensors_close(&model->shards[i]);
    free(model->shards);
    gguf_close(&model->gguf);
    json_decref(model->chat.generation);
    json_decref(model->chat.tokenizer);
    arena_free(&model->owned);
    free(model->path);
    *model = (struct model){0};
}

/* Whether a stored tensor has the shape that its group of parameters makes. */
static bool shape_fits(const struct parameter *p, const struct stored_tensor *stored)
{
    int64_t columns = p->weight.columns, outputs = names_stored_outputs(&stored->group);
    if (p->rank == 1)
        return stored->rows == 1 && stored->columns == outputs;
    if (stored->group.rule->form == NAME_TRANSPOSED)
        return stored->rows == columns && stored->columns == outputs;
    return stored->columns == columns && stored->rows == outputs;
}

/* A row of a matrix, with its inputs in our order. */
static void read_row(const struct weight *view, const struct name_group *group, int64_t row,
                     float *out)
{
    int64_t run = names_input_run(group);
    for (int64_t j = 0; j < view->columns; j += run)
        weight_unpack_row(view, row, names_input_place(group, j), run, out + j);
}

/* Values of a parameter as f32. */
static void read_values(const struct parameter *p, const struct stored_tensor *stored, float *out)
{
    const struct name_group *group = &stored->group;
    struct weight view = {.format = stored->format,
                          .rows = stored->rows,
                          .columns = stored->columns,
                          .data = stored->data};
    int64_t columns = p->weight.columns, outputs = names_outputs(p);
    for (int64_t o = 0; o < outputs; o++) {
        int64_t at = names_place(group, group->index, o);
        if (p->rank == 1) {
            weight_unpack_row(&view, 0, at, 1, out + o);
            out[o] = names_from_stored(group, out[o]);
        } else if (group->rule->form != NAME_TRANSPOSED) {
            read_row(&view, group, at, out + o * columns);
        }
    }
    for (int64_t j = 0; p->rank == 2 && group->rule->form == NAME_TRANSPOSED && j < columns; j++)
        for (int64_t o = 0; o < outputs; o++)
            weight_unpack_row(&view, j, names_place(group, group->index, o), 1,
                              out + o * columns + j);
}

/* A row as it is stored, with its inputs in our order. */
static void copy_row(const struct name_group *group, const struct weight_format *format,
                     int64_t columns, const unsigned char *from, unsigned char *to)
{
    int64_t run = names_input_run(group), block = format->block;
    for (int64_t j = 0; j < columns; j += run)
        memcpy(to + (size_t)(j / block) * format->block_bytes,
               from + (size_t)(names_input_place(group, j) / block) * format->block_bytes,
               (size_t)(run / block) * format->block_bytes);
}

/* Keeps the stored format; rows are copied only where their order or alignment asks for it. */
static enum status bind_frozen(struct model *model, struct parameter *p,
                               const struct stored_tensor *stored, struct error *error)
{
    const struct name_group *group = &stored->group;
    size_t row_bytes;
    enum status status = weight_row_bytes(stored->format, stored->columns, &row_bytes, error);
    if (status != STATUS_OK)
        return status;
    const unsigned char *rows = stored->data, *data = rows;
    data += (size_t)names_place(group, group->index, 0) * row_bytes;
    bool aligned = stored->format->block != 1 || (uintptr_t)data % stored->format->block_bytes == 0;
    int64_t run = names_input_run(group), columns = p->weight.columns;
    if (run % stored->format->block != 0)
        return error_set(error, STATUS_FAILED, "%s: tensor '%s' has blocks across heads",
                         model->path, stored->name);
    if (!names_contiguous(group) || run < columns || !aligned) {
        unsigned char *copy = arena_alloc(&model->owned, (size_t)p->weight.rows * row_bytes);
        if (!copy)
            return error_no_memory(error, (size_t)p->weight.rows * row_bytes);
        for (int64_t row = 0; row < p->weight.rows; row++)
            copy_row(group, stored->format, columns,
                     rows + (size_t)names_place(group, group->index, row) * row_bytes,
                     copy + (size_t)row * row_bytes);
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
    if (!shape_fits(p, stored))
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
    if (!train && !vector && stored->group.rule->form != NAME_TRANSPOSED)
        return bind_frozen(model, p, stored, error);
    float *values = p->weight.tensor.data;
    size_t bytes = (size_t)(p->weight.rows * p->weight.columns) * sizeof(float);
    if (!train) {
        values = arena_alloc(&model->owned, bytes);
        if (!values)
            return error_no_memory(error, bytes);
        p->weight = weight_over_f32(values, p->weight.rows, p->weight.columns);
    }
    read_values(p, stored, values);
    for (int64_t i = 0; stored->group.rule->form == NAME_NEGATED_EXP && i < p->weight.columns; i++)
        if (!isfinite(values[i]))
            return error_set(error, STATUS_FAILED,
                             "%s: tensor '%s' has a value that is not below 0", model->path,
                             stored->name);
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

static bool reals_agree(double a, double b)
{
    return fabs(a - b) <= 1e-6 * fmax(fabs(a), fabs(b));
}

/* A scale that is not given is 1. */
static bool scales_agree(double a, double b)
{
    return reals_agree(a > 0 ? a : 1, b > 0 ? b : 1);
}

static bool patterns_agree(const struct layer_pattern *a, const struct layer_pattern *b,
                           int64_t layers)
{
    for (int64_t i = 0; i < layers; i++)
        if (layer_pattern_has(a, i) != layer_pattern_has(b, i))
            return false;
    return true;
}

static bool deltas_agree(const struct decoder_config *a, const struct decoder_config *b)
{
    return a->delta.value_heads == 0 ||
           (a->delta.key_heads == b->delta.key_heads && a->delta.key_width == b->delta.key_width &&
            a->delta.value_width == b->delta.value_width && a->delta.kernel == b->delta.kernel &&
            patterns_agree(&a->delta.attention, &b->delta.attention, a->layers));
}

/* All tables of rotations come out the same. */
static bool rotations_agree(const struct decoder_config *a, const struct decoder_config *b)
{
    double left[ROPE_PAIRS_MOST], right[ROPE_PAIRS_MOST], left_size, right_size;
    int64_t pairs = decoder_rope_width(a) / 2;
    if (a->positions != MODEL_POSITIONS_ROTARY)
        return true;
    if (decoder_rope_width(b) / 2 != pairs || (a->rope.local_base > 0) != (b->rope.local_base > 0))
        return false;
    bool longer = a->rope.scaling == ROPE_SCALING_LONG || b->rope.scaling == ROPE_SCALING_LONG;
    if (longer &&
        (a->rope.scaling != b->rope.scaling || a->rope.first_context != b->rope.first_context))
        return false;
    for (int kind = 0; kind < 3; kind++) {
        decoder_rope_speeds(a, kind == 1, kind == 2, left, &left_size);
        decoder_rope_speeds(b, kind == 1, kind == 2, right, &right_size);
        for (int64_t j = 0; j < pairs; j++)
            if (!reals_agree(left[j], right[j]) || !reals_agree(left_size, right_size))
                return false;
    }
    return true;
}

bool model_configs_agree(const struct decoder_config *a, const struct decoder_config *b)
{
    double usual = 1 / sqrt((double)a->head_width);
    bool sizes = a->vocabulary == b->vocabulary && a->context == b->context &&
                 a->width == b->width && decoder_embedding_width(a) == decoder_embedding_width(b) &&
                 a->layers == b->layers && a->heads == b->heads && a->kv_heads == b->kv_heads &&
                 a->head_width == b->head_width && a->hidden == b->hidden &&
                 a->bos_token == b->bos_token && a->eos_token == b->eos_token &&
                 a->position_offset == b->position_offset;
    bool kinds = a->norm == b->norm && a->positions == b->positions && a->block == b->block &&
                 a->query_norm == b->query_norm && a->mlp == b->mlp && a->tied == b->tied &&
                 a->attention_bias == b->attention_bias && a->output_bias == b->output_bias &&
                 a->mlp_bias == b->mlp_bias && a->bidirectional == b->bidirectional &&
                 a->embedding_norm == b->embedding_norm && a->first_bare == b->first_bare &&
                 a->token_types == b->token_types && a->experts == b->experts &&
                 a->experts_used == b->experts_used &&
                 (a->experts == 0 || a->experts_whole == b->experts_whole);
    if (!sizes || !kinds || a->window != b->window)
        return false;
    if (a->attention_gate != b->attention_gate || a->delta.value_heads != b->delta.value_heads ||
        !deltas_agree(a, b))
        return false;
    return patterns_agree(&a->unrotated, &b->unrotated, a->layers) &&
           (a->window == 0 || patterns_agree(&a->global, &b->global, a->layers)) &&
           rotations_agree(a, b) && reals_agree(a->norm_epsilon, b->norm_epsilon) &&
           reals_agree(a->attention_scale > 0 ? a->attention_scale : usual,
                       b->attention_scale > 0 ? b->attention_scale : usual) &&
           reals_agree(a->attention_softcap, b->attention_softcap) &&
           reals_agree(a->logit_softcap, b->logit_softcap) &&
           scales_agree(a->embedding_scale, b->embedding_scale) &&
           scales_agree(a->residual_scale, b->residual_scale) &&
           scales_agree(a->logit_scale, b->logit_scale);
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

bool model_is_stopped(const struct model *model)
{
    return model->stop && *model->stop;
}
