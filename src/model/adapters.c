/* See adapters.h. */
#include "model/adapters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

const char *const decoder_linear_names[LINEARS] = {
    "attention.query", "attention.key", "attention.value", "attention.output",
    "mlp.gate",        "mlp.up",        "mlp.down",
};

/* What users type: the last word of the name. */
static const char *short_name(int which)
{
    return strchr(decoder_linear_names[which], '.') + 1;
}

struct linear *decoder_linear(const struct decoder *decoder, int64_t layer,
                              enum decoder_linear which)
{
    struct decoder_layer *l = &decoder->layers[layer];
    struct linear *const all[LINEARS] = {&l->query, &l->key, &l->value, &l->output,
                                         &l->gate,  &l->up,  &l->down};
    return all[which]->weight ? all[which] : NULL;
}

enum status adapters_parse_targets(const char *text, uint32_t *targets, struct error *error)
{
    *targets = 0;
    while (*text) {
        size_t length = strcspn(text, ",");
        int found = -1;
        if (length == 10 && strncmp(text, "all-linear", 10) == 0)
            *targets = (1U << LINEARS) - 1;
        for (int i = 0; i < LINEARS; i++)
            if (strlen(short_name(i)) == length && strncmp(text, short_name(i), length) == 0)
                found = i;
        if (found >= 0)
            *targets |= 1U << found;
        else if (*targets != (1U << LINEARS) - 1)
            return error_set(error, STATUS_USAGE,
                             "'%.*s' is no kind of layer; there are query, key, value, output, "
                             "gate, up, down, or all-linear",
                             (int)length, text);
        text += length + (text[length] == ',');
    }
    if (*targets == 0)
        return error_set(error, STATUS_USAGE, "no layers are named to adapt");
    return STATUS_OK;
}

double adapters_scale(const struct adapter_settings *s, int64_t rank)
{
    return s->alpha / (s->rank_stabilized ? sqrt((double)rank) : (double)rank);
}

enum status adapters_create(const struct adapter_settings *settings, const struct decoder *decoder,
                            struct adapters *adapters, struct error *error)
{
    int capacity = (int)decoder->config.layers * LINEARS;
    *adapters = (struct adapters){.settings = *settings, .capacity = capacity};
    adapters->items = calloc((size_t)capacity, sizeof *adapters->items);
    if (!adapters->items)
        return error_no_memory(error, (size_t)capacity * sizeof *adapters->items);
    enum status status = parameters_create(&adapters->parameters, 2 * capacity, error);
    if (status != STATUS_OK)
        adapters_free(adapters);
    return status;
}

void adapters_free(struct adapters *adapters)
{
    parameters_free(&adapters->parameters);
    free(adapters->items);
    *adapters = (struct adapters){0};
}

static struct weight *declare_part(struct adapters *adapters, int64_t layer, const char *name,
                                   const char *part, int64_t rows, int64_t columns)
{
    char full[80];
    snprintf(full, sizeof full, "layers.%lld.%s.%s", (long long)layer, name, part);
    return &parameters_declare(&adapters->parameters, full, PARAMETER_MATRIX, rows, columns)
                ->weight;
}

enum status adapters_declare(struct adapters *adapters, struct decoder *decoder, int64_t layer,
                             enum decoder_linear which, int64_t rank, struct error *error)
{
    const char *name = decoder_linear_names[which];
    const struct linear *linear =
        layer >= 0 && layer < decoder->config.layers ? decoder_linear(decoder, layer, which) : NULL;
    if (!linear)
        return error_set(error, STATUS_FAILED, "the model has no layer %lld %s to adapt",
                         (long long)layer, name);
    for (int i = 0; i < adapters->count; i++)
        if (adapters->items[i].layer == layer && adapters->items[i].which == which)
            return error_set(error, STATUS_FAILED, "layer %lld %s is adapted twice",
                             (long long)layer, name);
    struct adapter_item *item = &adapters->items[adapters->count++];
    item->layer = layer;
    item->which = which;
    item->adapter.a = declare_part(adapters, layer, name, "lora_a", rank, linear->weight->columns);
    item->adapter.b = declare_part(adapters, layer, name, "lora_b", linear->weight->rows, rank);
    return STATUS_OK;
}

enum status adapters_declare_all(struct adapters *adapters, struct decoder *decoder,
                                 struct error *error)
{
    enum status status = STATUS_OK;
    for (int64_t layer = 0; layer < decoder->config.layers; layer++)
        for (int which = 0; which < LINEARS && status == STATUS_OK; which++)
            if (adapters->settings.targets >> which & 1 && decoder_linear(decoder, layer, which))
                status = adapters_declare(adapters, decoder, layer, which, adapters->settings.rank,
                                          error);
    if (status == STATUS_OK && adapters->count == 0)
        status = error_set(error, STATUS_USAGE, "the model has none of the layers to adapt");
    return status;
}

enum status adapters_allocate(struct adapters *adapters, struct error *error)
{
    return parameters_allocate(&adapters->parameters, error);
}

void adapters_draw(struct adapters *adapters, uint64_t seed)
{
    for (int i = 0; i < adapters->count; i++) {
        struct weight *a = adapters->items[i].adapter.a;
        struct random_address address = {seed, RANDOM_ADAPTER, 0, (uint32_t)i};
        double bound = 1 / sqrt((double)a->columns);
        for (int64_t j = 0; j < a->rows * a->columns; j++)
            a->tensor.data[j] = (float)(bound * (2 * random_uniform(address, (uint64_t)j) - 1));
    }
}

void adapters_attach(struct adapters *adapters, struct decoder *decoder, double strength)
{
    for (int i = 0; i < adapters->count; i++) {
        struct adapter_item *item = &adapters->items[i];
        struct linear *linear = decoder_linear(decoder, item->layer, item->which);
        item->adapter.scale =
            (float)(strength * adapters_scale(&adapters->settings, item->adapter.a->rows));
        item->adapter.dropout = (float)adapters->settings.dropout;
        item->adapter.next = linear->adapter;
        linear->adapter = &item->adapter;
    }
}

void adapters_detach(struct decoder *decoder)
{
    for (int64_t layer = 0; layer < decoder->config.layers; layer++)
        for (int which = 0; which < LINEARS; which++) {
            struct linear *linear = decoder_linear(decoder, layer, which);
            if (linear)
                linear->adapter = NULL;
        }
}

/* row += scale * B[output] A. */
static void add_row(const struct adapter *adapter, int64_t output, double *row)
{
    int64_t rank = adapter->a->rows, columns = adapter->a->columns;
    const float *a = adapter->a->tensor.data, *b = adapter->b->tensor.data + output * rank;
    for (int64_t r = 0; r < rank; r++)
        for (int64_t j = 0; j < columns; j++)
            row[j] += (double)adapter->scale * (double)b[r] * (double)a[r * columns + j];
}

const struct adapter *adapters_on(const struct decoder *decoder, const struct weight *weight)
{
    for (int64_t layer = 0; layer < decoder->config.layers; layer++)
        for (int which = 0; which < LINEARS; which++) {
            const struct linear *linear = decoder_linear(decoder, layer, which);
            if (linear && linear->weight == weight)
                return linear->adapter;
        }
    return NULL;
}

void adapters_fold_row(const struct weight *weight, const struct adapter *first, int64_t row,
                       float *values, double *sums)
{
    int64_t columns = weight->columns;
    weight_unpack_row(weight, row, 0, columns, values);
    if (!first)
        return;
    for (int64_t j = 0; j < columns; j++)
        sums[j] = (double)values[j];
    for (const struct adapter *a = first; a; a = a->next)
        add_row(a, row, sums);
    for (int64_t j = 0; j < columns; j++)
        values[j] = (float)sums[j];
}

static enum status merge_one(struct linear *linear, const struct weight_format *format,
                             struct arena *owner, struct error *error)
{
    struct weight *weight = linear->weight;
    int64_t columns = weight->columns;
    size_t row_bytes;
    enum status status = weight_row_bytes(format, columns, &row_bytes, error);
    if (status != STATUS_OK)
        return status;
    unsigned char *packed = arena_alloc(owner, (size_t)weight->rows * row_bytes);
    float *values = calloc((size_t)columns, sizeof *values);
    double *sums = calloc((size_t)columns, sizeof *sums);
    if (!packed || !values || !sums)
        status = error_no_memory(error, (size_t)weight->rows * row_bytes);
    for (int64_t row = 0; row < weight->rows && status == STATUS_OK; row++) {
        adapters_fold_row(weight, linear->adapter, row, values, sums);
        format->pack(values, columns, packed + (size_t)row * row_bytes);
    }
    free(values);
    free(sums);
    if (status != STATUS_OK)
        return status;
    weight->format = format;
    weight->data = packed;
    weight->tensor = (struct tensor){.rank = 2, .shape = {weight->rows, columns}};
    if (format->code == WEIGHT_F32)
        weight->tensor.data = (float *)(void *)packed;
    linear->adapter = NULL;
    return STATUS_OK;
}

enum status adapters_merge(struct decoder *decoder, const struct weight_format *format,
                           struct arena *owner, const volatile sig_atomic_t *stop,
                           struct error *error)
{
    enum status status = STATUS_OK;
    for (int64_t layer = 0; layer < decoder->config.layers; layer++)
        for (int which = 0; which < LINEARS && status == STATUS_OK; which++) {
            struct linear *linear = decoder_linear(decoder, layer, which);
            if (linear && linear->adapter)
                status = merge_one(linear, format ? format : linear->weight->format, owner, error);
            if (status == STATUS_OK && stop && *stop)
                status = error_set(error, STATUS_INTERRUPTED,
                                   "stopped while folding adapters in: nothing is written");
        }
    return status;
}

int64_t adapters_values(const struct adapter_settings *s, const struct decoder_config *c)
{
    int64_t queries = c->heads * c->head_width, keys = c->kv_heads * c->head_width, sum = 0;
    const int64_t shapes[LINEARS][2] = {
        {queries, c->width},   {keys, c->width},      {keys, c->width},     {c->width, queries},
        {c->hidden, c->width}, {c->hidden, c->width}, {c->width, c->hidden}};
    for (int i = 0; i < LINEARS; i++)
        if (s->targets >> i & 1 && (i != LINEAR_GATE || model_mlp_is_gated(c->mlp)))
            sum += s->rank * (shapes[i][0] + shapes[i][1]);
    return sum * c->layers;
}
