/* See difference.h: what models are made of. How they behave is in divergence.c. */
#include "run/difference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "model/adapters.h"
#include "run/examples.h"

static void add(json_t *list, const char *field, json_t *a, json_t *b)
{
    if (!json_equal(a, b))
        json_array_append_new(list, json_pack("{s:s,s:O,s:O}", "field", field, "a", a, "b", b));
    json_decref(a);
    json_decref(b);
}

static void add_int(json_t *list, const char *field, int64_t a, int64_t b)
{
    add(list, field, json_integer(a), json_integer(b));
}

static void add_real(json_t *list, const char *field, double a, double b)
{
    if (fabs(a - b) > 1e-6 * fmax(fabs(a), fabs(b)))
        add(list, field, json_real(a), json_real(b));
}

void difference_configs(const struct decoder_config *a, const struct decoder_config *b,
                        json_t *list)
{
    add(list, "family", json_string(a->family), json_string(b->family));
    add_int(list, "vocabulary", a->vocabulary, b->vocabulary);
    add_int(list, "context", a->context, b->context);
    add_int(list, "width", a->width, b->width);
    add_int(list, "layers", a->layers, b->layers);
    add_int(list, "heads", a->heads, b->heads);
    add_int(list, "kv_heads", a->kv_heads, b->kv_heads);
    add_int(list, "head_width", a->head_width, b->head_width);
    add_int(list, "hidden", a->hidden, b->hidden);
    add_int(list, "norm", a->norm, b->norm);
    add_real(list, "norm_epsilon", a->norm_epsilon, b->norm_epsilon);
    add_int(list, "positions", a->positions, b->positions);
    add_real(list, "rope_base", a->rope.base, b->rope.base);
    add_int(list, "rope_scaling", a->rope.scaling, b->rope.scaling);
    add_int(list, "window", a->window, b->window);
    add_int(list, "block", a->block, b->block);
    add_int(list, "query_norm", a->query_norm, b->query_norm);
    add_int(list, "mlp", a->mlp, b->mlp);
    add_int(list, "tied", a->tied, b->tied);
    add_int(list, "attention_bias", a->attention_bias, b->attention_bias);
    add_int(list, "output_bias", a->output_bias, b->output_bias);
    add_int(list, "mlp_bias", a->mlp_bias, b->mlp_bias);
    add_real(list, "attention_softcap", a->attention_softcap, b->attention_softcap);
    add_real(list, "logit_softcap", a->logit_softcap, b->logit_softcap);
    add_int(list, "bos_token", a->bos_token, b->bos_token);
    add_int(list, "eos_token", a->eos_token, b->eos_token);
    if (json_array_size(list) == 0 && !model_configs_agree(a, b))
        add(list, "other details", json_string("as in a"), json_string("as in b"));
}

/* The id of a special token and its name. */
static json_t *token(const struct tokenizer *t, int32_t id)
{
    if (id < 0 || id >= t->count)
        return json_null();
    return json_pack("[i,o]", (int)id, json_text(t->pieces[id].bytes, t->pieces[id].length));
}

static json_t *around(const struct tokenizer *t, const struct tok_around *a)
{
    json_t *list = json_array();
    for (int i = 0; i < a->count; i++)
        json_array_append_new(list, token(t, a->ids[i]));
    return list;
}

static void compare_ends(const struct tokenizer *a, const struct tokenizer *b, json_t *list)
{
    add(list, "bos", token(a, a->bos), token(b, b->bos));
    add(list, "eos", token(a, a->eos), token(b, b->eos));
    add(list, "put before a text", around(a, &a->before), around(b, &b->before));
    add(list, "put behind a text", around(a, &a->behind), around(b, &b->behind));
}

static bool same_piece(const struct tok_piece *a, const struct tok_piece *b)
{
    return a->length == b->length && a->special == b->special &&
           memcmp(a->bytes, b->bytes, a->length) == 0;
}

void difference_tokenizers(const struct tokenizer *a, const struct tokenizer *b, json_t *list)
{
    static const char *const sections[] = {"normalizer", "pre_tokenizer", "post_processor",
                                           "decoder"};
    int32_t least = a->count < b->count ? a->count : b->count, different = 0, first = -1;
    int64_t merges = a->merge_count < b->merge_count ? a->merge_count : b->merge_count, same = 0;
    add_int(list, "kind", a->kind, b->kind);
    add_int(list, "tokens", a->count, b->count);
    compare_ends(a, b, list);
    add(list, "unknown", token(a, a->unknown), token(b, b->unknown));
    add(list, "pad", token(a, a->pad), token(b, b->pad));
    for (int32_t i = 0; i < least; i++)
        if (!same_piece(&a->pieces[i], &b->pieces[i])) {
            first = different++ == 0 ? i : first;
        }
    if (different > 0) {
        add(list, "first differing token", token(a, first), token(b, first));
        add_int(list, "differing tokens", 0, different);
    }
    add_int(list, "merges", a->merge_count, b->merge_count);
    while (same < merges && a->merge_order[same] == b->merge_order[same])
        same++;
    if (same < merges)
        add_int(list, "merges that agree, from the first", merges, same);
    for (int i = 0; i < TOK_SECTIONS; i++)
        add(list, sections[i], json_name(a->sections[i]), json_name(b->sections[i]));
}

void difference_texts(const char *a, const char *b, json_t *list)
{
    if (!a || !b) {
        if (a || b)
            json_array_append_new(list,
                                  json_pack("{s:i,s:o,s:o}", "line", 1, "a",
                                            a ? json_text(a, strcspn(a, "\n")) : json_null(), "b",
                                            b ? json_text(b, strcspn(b, "\n")) : json_null()));
        return;
    }
    for (int line = 1, found = 0; (*a || *b) && found < 10; line++) {
        size_t left = strcspn(a, "\n"), right = strcspn(b, "\n");
        if (left != right || memcmp(a, b, left) != 0 || (a[left] != b[right])) {
            json_array_append_new(list, json_pack("{s:i,s:o,s:o}", "line", line, "a",
                                                  json_text(a, left), "b", json_text(b, right)));
            found++;
        }
        a += left + (a[left] != 0);
        b += right + (b[right] != 0);
    }
}

/* A tensor that only one of the models has; the other's is NULL. */
static void missing(json_t *list, const char *name, const struct parameter *a,
                    const struct parameter *b)
{
    json_array_append_new(list,
                          json_pack("{s:s,s:o,s:o}", "tensor", name, "a",
                                    a ? json_string(a->weight.format->name) : json_null(), "b",
                                    b ? json_string(b->weight.format->name) : json_null()));
}

/* `adapter`: the first of those that a's values are meant with, or NULL. */
static enum status compare_tensor(const struct parameter *a, const struct adapter *adapter,
                                  const struct parameter *b, json_t *list, struct error *error)
{
    int64_t rows = a->weight.rows, columns = a->weight.columns;
    double largest = 0, sum = 0, squares = 0, norm = 0;
    if (rows != b->weight.rows || columns != b->weight.columns) {
        json_array_append_new(list,
                              json_pack("{s:s,s:[I,I],s:[I,I]}", "tensor", a->name, "a",
                                        (json_int_t)rows, (json_int_t)columns, "b",
                                        (json_int_t)b->weight.rows, (json_int_t)b->weight.columns));
        return STATUS_OK;
    }
    float *x = malloc((size_t)columns * sizeof *x), *y = malloc((size_t)columns * sizeof *y);
    double *sums = malloc((size_t)columns * sizeof *sums);
    for (int64_t r = 0; x && y && sums && r < rows; r++) {
        adapters_fold_row(&a->weight, adapter, r, x, sums);
        weight_unpack_row(&b->weight, r, 0, columns, y);
        for (int64_t j = 0; j < columns; j++) {
            double change = fabs((double)x[j] - (double)y[j]);
            largest = change > largest ? change : largest;
            sum += change;
            squares += change * change;
            norm += (double)x[j] * (double)x[j];
        }
    }
    bool done = x && y && sums;
    free(x);
    free(y);
    free(sums);
    if (!done)
        return error_no_memory(error, (size_t)columns * 2 * (sizeof *x + sizeof *y));
    if (largest > 0)
        json_array_append_new(list,
                              json_pack("{s:s,s:s,s:s,s:f,s:f,s:f}", "tensor", a->name, "a",
                                        a->weight.format->name, "b", b->weight.format->name,
                                        "largest", largest, "mean", sum / (double)(rows * columns),
                                        "relative", norm > 0 ? sqrt(squares / norm) : 1.0));
    return STATUS_OK;
}

enum status difference_tensors(const struct decoder *a, const struct decoder *b,
                               const volatile sig_atomic_t *stop, json_t *list, struct error *error)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < a->parameters.count && status == STATUS_OK; i++) {
        const struct parameter *p = &a->parameters.items[i];
        const struct parameter *q = parameters_find(&b->parameters, p->name);
        if (q)
            status = compare_tensor(p, adapters_on(a, &p->weight), q, list, error);
        else
            missing(list, p->name, p, NULL);
        if (status == STATUS_OK && stop && *stop)
            status = error_set(error, STATUS_INTERRUPTED, "stopped while comparing");
    }
    for (int i = 0; i < b->parameters.count && status == STATUS_OK; i++)
        if (!parameters_find(&a->parameters, b->parameters.items[i].name))
            missing(list, b->parameters.items[i].name, NULL, &b->parameters.items[i]);
    return status;
}

/* Ids of a probe, as a model gets them. */
static json_t *probe_ids(const struct tokenizer *t, const char *text, bool specials,
                         enum status *status, struct error *error)
{
    struct tok_ids ids = {0};
    struct tok_scratch scratch = {0};
    json_t *list = json_array();
    if (*status == STATUS_OK)
        *status = tok_encode_model(t, &scratch, text, strlen(text), specials, true, &ids, error);
    for (int64_t i = 0; i < ids.count; i++)
        json_array_append_new(list, json_integer(ids.items[i]));
    tok_ids_free(&ids);
    tok_scratch_free(&scratch);
    return list;
}

/* A conversation through a model's own template; NULL where that is not possible. */
static char *render_probe(const struct model *model)
{
    json_t *messages = json_pack("[{s:s,s:s}]", "role", "user", "content", "Hello, who are you?");
    struct examples e;
    struct buffer text = {0};
    struct error ignored;
    bool done = messages && examples_create(model, NULL, &e, &ignored) == STATUS_OK;
    if (done) {
        struct chat_options options = {.add_generation_prompt = true,
                                       .bos = e.names[0],
                                       .eos = e.names[1],
                                       .unknown = e.names[2],
                                       .pad = e.names[3]};
        done = e.has_template &&
               chat_render(&e.template, messages, &options, &text, &ignored) == STATUS_OK;
        buffer_add(&text, "", 1);
        done = done && buffer_check(&text, &ignored) == STATUS_OK;
        examples_free(&e);
    }
    json_decref(messages);
    if (done)
        return text.data;
    buffer_free(&text);
    return NULL;
}

/* The tokens that end generation, wherever the files name them, from the least on. */
static json_t *generation_ends(const struct model *model)
{
    json_t *list = json_array();
    for (int32_t token = 0; token < model->decoder.config.vocabulary; token++)
        if (model_is_end(model, token) || token == model->decoder.config.eos_token)
            json_array_append_new(list, json_integer(token));
    return list;
}

enum status difference_in_use(const struct model *a, const struct model *b, json_t *list,
                              struct error *error)
{
    static const char *const probes[] = {"Hello world", " two  spaces\n\n\ttab",
                                         "na\xc3\xafve 123"};
    enum status status = STATUS_OK;
    add(list, "chat template", json_name(model_chat_template(a, NULL)),
        json_name(model_chat_template(b, NULL)));
    add_int(list, "tokenizer", a->has_tokenizer, b->has_tokenizer);
    add(list, "ends of generation", generation_ends(a), generation_ends(b));
    if (!a->has_tokenizer || !b->has_tokenizer)
        return STATUS_OK;
    /* GGUF gives byte-level models a bos that they do not have; unless it is put somewhere, that is
     * none. */
    struct tokenizer left_ends = a->tokenizer, right_ends = b->tokenizer;
    if (left_ends.before.count == 0 && right_ends.before.count == 0 &&
        (left_ends.bos < 0 || right_ends.bos < 0))
        left_ends.bos = right_ends.bos = -1;
    compare_ends(&left_ends, &right_ends, list);
    for (int i = 0; i < 3; i++) {
        char field[64];
        snprintf(field, sizeof field, "ids of the probe '%.20s'", i == 1 ? "spaces" : probes[i]);
        json_t *left = probe_ids(&a->tokenizer, probes[i], false, &status, error);
        add(list, field, left, probe_ids(&b->tokenizer, probes[i], false, &status, error));
    }
    char *left = render_probe(a), *right = render_probe(b);
    if (left && right) {
        json_t *ids = probe_ids(&a->tokenizer, left, true, &status, error);
        add(list, "ids of a conversation", ids,
            probe_ids(&b->tokenizer, right, true, &status, error));
    }
    free(left);
    free(right);
    return status;
}
