/* Models in GGUF files, for the Llama and GPT-2 architectures. */
#include <stdlib.h>
#include <string.h>

#include "file/kinds.h"
#include "weight/formats.h"

/* Reading. */

static int64_t arch_int(const struct gguf *file, const char *arch, const char *key,
                        int64_t fallback)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    int64_t value;
    return gguf_get_int(file, name, &value) ? value : fallback;
}

static double arch_real(const struct gguf *file, const char *arch, const char *key, double fallback)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    double value;
    return gguf_get_real(file, name, &value) ? value : fallback;
}

static int64_t token_id(const struct gguf *file, const char *key)
{
    int64_t id;
    return gguf_get_int(file, key, &id) && id >= 0 && id <= INT32_MAX ? id : -1;
}

/* What a file of these architectures may ask for and adze does not compute must not be passed over:
 * the model would load and be wrong. */
static enum status check_supported(struct gguf *file, const char *arch, int64_t head_width,
                                   struct error *error)
{
    char name[128];
    snprintf(name, sizeof name, "%s.rope.scaling.type", arch);
    const char *scaling = gguf_get_text(file, name), *problem = NULL;
    if ((scaling && strcmp(scaling, "none") != 0) || gguf_tensor_find(file, "rope_freqs.weight") ||
        arch_real(file, arch, "rope.scale_linear", 1) != 1)
        problem = "scaled rotary positions";
    else if (arch_int(file, arch, "rope.dimension_count", head_width) != head_width)
        problem = "rotary positions on a part of a head";
    else if (arch_int(file, arch, "attention.value_length", head_width) != head_width)
        problem = "values of another width than keys";
    else if (arch_int(file, arch, "expert_count", 0) > 0)
        problem = "a mixture of experts";
    if (!problem)
        return STATUS_OK;
    return error_set(error, STATUS_FAILED, "%s: %s: not supported", file->path, problem);
}

enum status gguf_read_config(struct gguf *file, struct decoder_config *c, struct error *error)
{
    const char *arch = gguf_get_text(file, "general.architecture");
    if (!arch || !names_gguf(arch))
        return error_set(error, STATUS_FAILED, "%s: architecture '%.40s' is not supported",
                         file->path, arch ? arch : "");
    const struct gguf_tensor *table = gguf_tensor_find(file, "token_embd.weight");
    if (!table)
        return error_set(error, STATUS_FAILED, "%s: tensor 'token_embd.weight' is missing",
                         file->path);
    bool gpt2 = strcmp(arch, "gpt2") == 0;
    int64_t width = arch_int(file, arch, "embedding_length", 0);
    int64_t heads = arch_int(file, arch, "attention.head_count", 0);
    int64_t context = arch_int(file, arch, "context_length", 0);
    int64_t layers = arch_int(file, arch, "block_count", 0);
    *c = gpt2 ? decoder_config_gpt2(table->shape[1], context, width, layers, heads)
              : decoder_config_llama(table->shape[1], context, width, layers, heads);
    c->hidden = arch_int(file, arch, "feed_forward_length", 0);
    c->kv_heads = arch_int(file, arch, "attention.head_count_kv", heads);
    c->head_width = arch_int(file, arch, "attention.key_length", c->head_width);
    c->norm_epsilon =
        arch_real(file, arch,
                  gpt2 ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", 1e-5);
    c->rope_base = arch_real(file, arch, "rope.freq_base", 10000.0);
    c->tied = !gguf_tensor_find(file, "output.weight");
    if (!gpt2) {
        c->attention_bias = gguf_tensor_find(file, "blk.0.attn_q.bias") != NULL;
        c->output_bias = gguf_tensor_find(file, "blk.0.attn_output.bias") != NULL;
        c->mlp_bias = gguf_tensor_find(file, "blk.0.ffn_up.bias") != NULL;
    }
    c->bos_token = token_id(file, "tokenizer.ggml.bos_token_id");
    c->eos_token = token_id(file, "tokenizer.ggml.eos_token_id");
    enum status status = decoder_config_check(c, file->path, error);
    if (status == STATUS_OK && !gpt2)
        status = check_supported(file, arch, c->head_width, error);
    return status;
}

static enum status find_stored(const struct model *model, const struct parameter *parameter,
                               struct stored_tensor *stored, struct error *error)
{
    const struct name_table *table = names_gguf(model->decoder.config.family);
    stored->rule = names_find(table, parameter->name, stored->name, sizeof stored->name);
    const char *name = stored->rule ? stored->name : parameter->name;
    const struct gguf_tensor *tensor = stored->rule ? gguf_tensor_find(&model->gguf, name) : NULL;
    if (!tensor)
        return error_set(error, STATUS_FAILED, "%s: tensor '%s' is missing", model->path, name);
    if (tensor->shape[2] != 1 || tensor->shape[3] != 1)
        return error_set(error, STATUS_FAILED, "%s: tensor '%s' has more than two axes",
                         model->path, name);
    stored->format = tensor->format;
    stored->data = tensor->data;
    stored->rows = tensor->shape[1];
    stored->columns = tensor->shape[0];
    return STATUS_OK;
}

static enum status bind_file(struct model *model, bool train, struct error *error)
{
    struct table used = {0};
    enum status status = model_bind_all(model, model->path, find_stored, train, &used, error);
    for (int64_t i = 0; i < model->gguf.tensor_count && status == STATUS_OK; i++) {
        const char *name = model->gguf.tensors[i].name;
        if (!table_find(&used, name, strlen(name)))
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
    return status;
}

/* Writing. */

static void put_int(struct gguf_writer *w, const char *arch, const char *key, int64_t value)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    gguf_put_u32(w, name, (uint32_t)value);
}

static void put_real(struct gguf_writer *w, const char *arch, const char *key, double value)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    gguf_put_f32(w, name, (float)value);
}

static void put_config(struct gguf_writer *w, const struct decoder_config *c, const char *name)
{
    const char *arch = c->family;
    gguf_put_text(w, "general.architecture", arch);
    gguf_put_text(w, "general.type", "model");
    gguf_put_text(w, "general.name", name);
    put_int(w, arch, "context_length", c->context);
    put_int(w, arch, "embedding_length", c->width);
    put_int(w, arch, "block_count", c->layers);
    put_int(w, arch, "feed_forward_length", c->hidden);
    put_int(w, arch, "attention.head_count", c->heads);
    put_int(w, arch, "attention.head_count_kv", c->kv_heads);
    if (c->norm == MODEL_NORM_LAYER) {
        put_real(w, arch, "attention.layer_norm_epsilon", c->norm_epsilon);
        return;
    }
    put_real(w, arch, "attention.layer_norm_rms_epsilon", c->norm_epsilon);
    put_int(w, arch, "vocab_size", c->vocabulary);
    put_int(w, arch, "attention.key_length", c->head_width);
    put_int(w, arch, "attention.value_length", c->head_width);
    put_int(w, arch, "rope.dimension_count", c->head_width);
    put_real(w, arch, "rope.freq_base", c->rope_base);
}

/* The format that a parameter is stored in: vectors and positions stay f32. */
static const struct weight_format *stored_format(const struct parameter *p,
                                                 const struct weight_format *wanted)
{
    if (p->weight.format != &weight_f32 || !wanted || p->rank == 1 ||
        strcmp(p->name, "positions") == 0 || p->weight.columns % wanted->block != 0)
        return p->weight.format;
    return wanted;
}

static void write_parameter(struct gguf_writer *w, const struct parameter *p,
                            const struct name_rule *rule, const struct weight_format *format,
                            int64_t head_width, float *values, unsigned char *blocks)
{
    int64_t columns = p->weight.columns;
    size_t row_bytes = (size_t)(columns / format->block) * format->block_bytes;
    /* Row i as stored is the decoder's row from[i]; interleaving is turned around here. */
    for (int64_t i = 0; i < p->weight.rows; i++) {
        int64_t row = i;
        if (rule->form == NAME_INTERLEAVED && p->rank == 2) {
            int64_t head = i / head_width, at = i % head_width;
            row = head * head_width + (at % 2 ? head_width / 2 : 0) + at / 2;
        }
        if (format == p->weight.format) {
            gguf_write_data(w, (const unsigned char *)p->weight.data + (size_t)row * row_bytes,
                            row_bytes);
            continue;
        }
        weight_unpack_row(&p->weight, row, 0, columns, values);
        format->pack(values, columns, blocks);
        gguf_write_data(w, blocks, row_bytes);
    }
}

static void interleave_bias(struct gguf_writer *w, const struct parameter *p, int64_t head_width)
{
    const float *values = p->weight.data;
    for (int64_t i = 0; i < p->weight.columns; i++) {
        int64_t head = i / head_width, at = i % head_width;
        int64_t from = head * head_width + (at % 2 ? head_width / 2 : 0) + at / 2;
        gguf_write_data(w, &values[from], sizeof *values);
    }
}

struct save_plan {
    const struct model *model;
    const struct name_table *table;
    const struct weight_format *format;
    struct gguf_writer *writer;
    float *values;
    unsigned char *blocks;
};

/* Walks all stored tensors: declares them, or writes their data. */
static void for_tensors(const struct save_plan *plan, bool data)
{
    const struct parameters *parameters = &plan->model->decoder.parameters;
    int64_t head_width = plan->model->decoder.config.head_width;
    for (int i = 0; i < parameters->count; i++) {
        const struct parameter *p = &parameters->items[i];
        char name[128];
        const struct name_rule *rule = names_find(plan->table, p->name, name, sizeof name);
        if (!rule || rule->part > 0)
            continue;
        const struct weight_format *format = stored_format(p, plan->format);
        if (!data) {
            int64_t shape[2] = {p->weight.rows * rule->parts, p->weight.columns};
            if (p->rank == 1)
                shape[0] = p->weight.columns * rule->parts;
            gguf_put_tensor(plan->writer, name, p->rank, shape, format);
            continue;
        }
        int step = rule->parts > 1 && plan->model->decoder.config.attention_bias ? 2 : 1;
        for (int part = 0; part < rule->parts; part++) {
            const struct parameter *piece = p + part * step;
            if (p->rank == 1 && rule->form == NAME_INTERLEAVED)
                interleave_bias(plan->writer, piece, head_width);
            else
                write_parameter(plan->writer, piece, rule, format, head_width, plan->values,
                                plan->blocks);
        }
        gguf_end_tensor(plan->writer);
    }
}

/* llama.cpp's number for what most of the file consists of. */
static uint32_t file_type(const struct model *model, const struct weight_format *format)
{
    const struct weight_format *main = model->decoder.layers[0].down.weight->format;
    if (main == &weight_f32 && format)
        main = format;
    if (main == &weight_f16)
        return 1;
    if (main == &weight_q4_0)
        return 2;
    if (main == &weight_q8_0)
        return 7;
    return main == &weight_bf16 ? 32 : 0;
}

enum status model_save_gguf(const struct model *model, const char *path,
                            const struct weight_format *format, const char *name,
                            struct error *error)
{
    const struct decoder_config *c = &model->decoder.config;
    struct gguf_writer writer;
    struct save_plan plan = {
        .model = model, .table = names_gguf(c->family), .format = format, .writer = &writer};
    int64_t widest = c->width > c->hidden ? c->width : c->hidden;
    widest = widest > c->heads * c->head_width ? widest : c->heads * c->head_width;
    if (!plan.table)
        return error_set(error, STATUS_FAILED, "%s: family '%s' cannot be written as GGUF", path,
                         c->family);
    enum status status = model_check_expressible(c, true, path, error);
    if (status != STATUS_OK)
        return status;
    plan.values = malloc((size_t)widest * sizeof(float));
    plan.blocks = malloc((size_t)widest * 4);
    if (!plan.values || !plan.blocks)
        status = error_no_memory(error, (size_t)widest * 8);
    if (status == STATUS_OK)
        status = gguf_writer_open(&writer, path, error);
    if (status == STATUS_OK) {
        put_config(&writer, c, name);
        gguf_put_u32(&writer, "general.file_type", file_type(model, format));
        gguf_put_u32(&writer, "general.quantization_version", 2);
        if (model->has_tokenizer)
            status = gguf_put_tokenizer(&writer, &model->tokenizer, c->vocabulary, error);
        if (status == STATUS_OK) {
            for_tensors(&plan, false);
            gguf_writer_begin_data(&writer);
            for_tensors(&plan, true);
            status = gguf_writer_close(&writer, error);
        } else {
            gguf_writer_abort(&writer);
        }
    }
    free(plan.values);
    free(plan.blocks);
    return status;
}
