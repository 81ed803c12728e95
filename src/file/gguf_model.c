/* Models in GGUF files: the tensors and the tokenizer. The configuration is in gguf_config.c. */
#include <stdlib.h>
#include <string.h>

#include "file/families.h"
#include "file/kinds.h"
#include "text/unicode.h"
#include "weight/formats.h"

/* Reading. */

static int64_t token_id(const struct gguf *file, const char *key)
{
    int64_t id;
    return gguf_get_int(file, key, &id) && id >= 0 && id <= INT32_MAX ? id : -1;
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
    const struct family *family = family_by_name(model->decoder.config.family);
    bool known = names_find(family->gguf, &model->decoder, parameter, &stored->group);
    const char *name = known ? stored->group.stored : parameter->name;
    const struct gguf_tensor *tensor = known ? gguf_tensor_find(&model->gguf, name) : NULL;
    if (!tensor)
        return error_set(error, STATUS_FAILED, "%s: tensor '%s' is missing", model->path, name);
    if (tensor->shape[2] != 1 || tensor->shape[3] != 1)
        return error_set(error, STATUS_FAILED, "%s: tensor '%s' has more than two axes",
                         model->path, name);
    snprintf(stored->name, sizeof stored->name, "%s", name);
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
        if (!table_find(&used, name, strlen(name)) && strncmp(name, "rope_f", 6) != 0)
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
static void write_output(const struct save_plan *plan, const struct parameter *p, int64_t output,
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
    format->pack(plan->values, columns, plan->blocks);
    gguf_write_data(plan->writer, plan->blocks, row_bytes);
}

static void write_group(const struct save_plan *plan, const struct name_group *group,
                        const struct weight_format *format)
{
    for (int i = 0; i < group->count; i++)
        for (int64_t o = 0; o < names_outputs(group->parts[i]); o++)
            plan->origins[names_place(group, i, o)] = (int64_t)i << 32 | o;
    for (int64_t at = 0; at < names_stored_outputs(group); at++)
        write_output(plan, group->parts[plan->origins[at] >> 32], plan->origins[at] & 0xffffffff,
                     format);
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
        int64_t shape[2] = {names_stored_outputs(&group), p->weight.columns};
        gguf_put_tensor(plan->writer, group.stored, p->rank, shape, format);
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

/* The widest row, and the most outputs that a stored tensor of any group may have. */
static enum status reserve_plan(struct save_plan *plan, struct error *error)
{
    const struct parameters *parameters = &plan->model->decoder.parameters;
    int64_t widest = 1, outputs = 1;
    for (int i = 0; i < parameters->count; i++) {
        const struct parameter *p = &parameters->items[i];
        int64_t count = names_outputs(p) * NAME_PARTS_MOST;
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
        put_tokenizer(writer, &model->tokenizer, c->vocabulary);
    for_tensors(plan, false);
    gguf_writer_begin_data(writer);
    for_tensors(plan, true);
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
