/* Models in GGUF files, for the Llama and GPT-2 architectures. */
#include <stdlib.h>
#include <string.h>

#include "file/kinds.h"
#include "model/mixes.h"
#include "text/unicode.h"
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

/* Bytes of a piece from GGUF's text form; control tokens are plain text. */
static enum status set_piece(struct tokenizer *t, int32_t id, const struct gguf_string *text,
                             bool control, struct buffer *bytes, const char *path,
                             struct error *error)
{
    if (control)
        return tok_set_piece(t, id, text->bytes, text->length, true, error);
    buffer_clear(bytes);
    if (!unicode_add_bytes(text->bytes, text->length, bytes))
        return error_set(error, STATUS_FAILED,
                         "%s: token %d contains a character that stands for no byte", path,
                         (int)id);
    return tok_set_piece(t, id, bytes->data ? bytes->data : "", bytes->length, false, error);
}

static int64_t *piece_id(const struct tokenizer *t, const char *text, size_t length,
                         struct buffer *bytes)
{
    size_t start = bytes->length;
    if (!unicode_add_bytes(text, length, bytes))
        return NULL;
    return bytes->data ? table_find(&t->ids, bytes->data + start, bytes->length - start) : NULL;
}

static enum status read_merges(const struct gguf_value *merges, struct tokenizer *t,
                               struct buffer *bytes, const char *path, struct error *error)
{
    enum status status = STATUS_OK;
    for (uint64_t i = 0; i < merges->count && status == STATUS_OK; i++) {
        const struct gguf_string *text = &merges->strings[i];
        const char *gap = text->length ? memchr(text->bytes, ' ', text->length) : NULL;
        int64_t *left = NULL, *right = NULL, *merged = NULL;
        buffer_clear(bytes);
        if (gap) {
            size_t width = (size_t)(gap - text->bytes);
            left = piece_id(t, text->bytes, width, bytes);
            right = piece_id(t, gap + 1, text->length - width - 1, bytes);
            merged = bytes->data ? table_find(&t->ids, bytes->data, bytes->length) : NULL;
        }
        if (!left || !right || !merged)
            return error_set(error, STATUS_FAILED,
                             "%s: merge %llu joins pieces that are not in the vocabulary", path,
                             (unsigned long long)i);
        status = tok_add_merge(t, (int32_t)*left, (int32_t)*right, (int32_t)*merged, error);
    }
    return status;
}

enum status gguf_read_tokenizer(struct gguf *file, struct tokenizer *t, struct error *error)
{
    const char *model = gguf_get_text(file, "tokenizer.ggml.model");
    const char *pre = gguf_get_text(file, "tokenizer.ggml.pre");
    const struct gguf_value *tokens = gguf_find(file, "tokenizer.ggml.tokens");
    const struct gguf_value *types = gguf_find(file, "tokenizer.ggml.token_type");
    const struct gguf_value *merges = gguf_find(file, "tokenizer.ggml.merges");
    if (!model || strcmp(model, "gpt2") != 0 || (pre && strcmp(pre, "gpt-2") != 0))
        return error_set(error, STATUS_FAILED,
                         "%s: tokenizer '%.40s' with pre-tokenizer '%.40s' is not supported",
                         file->path, model ? model : "", pre ? pre : "");
    if (!tokens || !tokens->strings || !merges || !merges->strings || tokens->count > 1 << 24)
        return error_set(error, STATUS_FAILED, "%s: the tokenizer's tokens or merges are missing",
                         file->path);
    enum status status = tok_begin(t, (int32_t)tokens->count, SPLIT_GPT2, error);
    struct buffer bytes = {0};
    for (uint64_t i = 0; i < tokens->count && status == STATUS_OK; i++) {
        double type = types ? gguf_array_item(types, i) : 1;
        if (type == 5) /* unused: a hole in the ids */
            continue;
        status = set_piece(t, (int32_t)i, &tokens->strings[i], type == 3 || type == 4, &bytes,
                           file->path, error);
    }
    if (status == STATUS_OK)
        status = read_merges(merges, t, &bytes, file->path, error);
    if (status == STATUS_OK)
        status = tok_finish(t, file->path, error);
    if (status == STATUS_OK) {
        int64_t bos = token_id(file, "tokenizer.ggml.bos_token_id");
        int64_t eos = token_id(file, "tokenizer.ggml.eos_token_id");
        t->bos = bos < t->count ? (int32_t)bos : -1;
        t->eos = eos < t->count ? (int32_t)eos : -1;
    } else {
        tok_free(t);
    }
    buffer_free(&bytes);
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

static void add_text(const struct tok_piece *piece, struct buffer *text)
{
    for (uint32_t i = 0; i < piece->length; i++) {
        char c[4];
        if (piece->special)
            buffer_add(text, piece->bytes + i, 1);
        else
            buffer_add(text, c, unicode_encode(unicode_of_byte((unsigned char)piece->bytes[i]), c));
    }
}

/* Ids of the model beyond the tokenizer's are named as unused. */
static void put_tokens(struct gguf_writer *w, const struct tokenizer *t, int64_t vocabulary)
{
    struct buffer text = {0};
    gguf_put_array(w, "tokenizer.ggml.tokens", GGUF_STRING, (uint64_t)vocabulary);
    for (int64_t id = 0; id < vocabulary; id++) {
        buffer_clear(&text);
        if (id < t->count && t->pieces[id].defined)
            add_text(&t->pieces[id], &text);
        else
            buffer_printf(&text, "<unused%lld>", (long long)id);
        gguf_item_text(w, text.data ? text.data : "", text.length);
    }
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, (uint64_t)vocabulary);
    for (int64_t id = 0; id < vocabulary; id++) {
        bool known = id < t->count && t->pieces[id].defined;
        gguf_item_i32(w, !known ? 5 : t->pieces[id].special ? 3 : 1);
    }
    gguf_put_array(w, "tokenizer.ggml.merges", GGUF_STRING, (uint64_t)t->merge_count);
    for (int32_t i = 0; i < t->merge_count; i++) {
        buffer_clear(&text);
        add_text(&t->pieces[t->merge_order[i] >> 32], &text);
        buffer_add(&text, " ", 1);
        add_text(&t->pieces[t->merge_order[i] & 0xffffffff], &text);
        gguf_item_text(w, text.data, text.length);
    }
    w->keys.failed |= text.failed;
    buffer_free(&text);
}

static void put_tokenizer(struct gguf_writer *w, const struct tokenizer *t, int64_t vocabulary)
{
    gguf_put_text(w, "tokenizer.ggml.model", "gpt2");
    gguf_put_text(w, "tokenizer.ggml.pre", "gpt-2");
    put_tokens(w, t, vocabulary);
    if (t->bos >= 0)
        gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)t->bos);
    else if (t->eos >= 0) /* as GPT-2 itself does; nothing is put before a text */
        gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)t->eos);
    if (t->eos >= 0)
        gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)t->eos);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
    gguf_put_bool(w, "tokenizer.ggml.add_eos_token", false);
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
            put_tokenizer(&writer, &model->tokenizer, c->vocabulary);
        for_tensors(&plan, false);
        gguf_writer_begin_data(&writer);
        for_tensors(&plan, true);
        status = gguf_writer_close(&writer, error);
    }
    free(plan.values);
    free(plan.blocks);
    return status;
}
