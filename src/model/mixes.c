/* See mixes.h. */
#include "model/mixes.h"

#include <stdio.h>
#include <string.h>

#include "weight/formats.h"

/* Numbers as in llama.cpp's list of file types. */
enum {
    MIX_Q2_K = 10,
    MIX_Q3_K_S = 11,
    MIX_Q3_K_M = 12,
    MIX_Q3_K_L = 13,
    MIX_Q4_K_S = 14,
    MIX_Q4_K_M = 15,
    MIX_Q5_K_S = 16,
    MIX_Q5_K_M = 17,
    MIX_Q6_K = 18,
};

const struct mix mixes[] = {
    {"f16", &weight_f16, 1, false},
    {"bf16", &weight_bf16, 32, false},
    {"q8_0", &weight_q8_0, 7, false},
    {"q4_0", &weight_q4_0, 2, false},
    {"q4_1", &weight_q4_1, 3, false},
    {"q5_0", &weight_q5_0, 8, false},
    {"q5_1", &weight_q5_1, 9, false},
    {"q2_K", &weight_q2_k, MIX_Q2_K, true},
    {"q3_K_S", &weight_q3_k, MIX_Q3_K_S, true},
    {"q3_K_M", &weight_q3_k, MIX_Q3_K_M, true},
    {"q3_K_L", &weight_q3_k, MIX_Q3_K_L, true},
    {"q4_K_S", &weight_q4_k, MIX_Q4_K_S, true},
    {"q4_K_M", &weight_q4_k, MIX_Q4_K_M, true},
    {"q5_K_S", &weight_q5_k, MIX_Q5_K_S, true},
    {"q5_K_M", &weight_q5_k, MIX_Q5_K_M, true},
    {"q6_K", &weight_q6_k, MIX_Q6_K, true},
    {NULL, NULL, 0, false},
};

const struct mix *mix_by_name(const char *name)
{
    for (int i = 0; mixes[i].name; i++)
        if (strcmp(mixes[i].name, name) == 0)
            return &mixes[i];
    return NULL;
}

/* The first and last eighth of the layers, and every third between. */
static bool more_bits(int64_t layer, int64_t layers)
{
    return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

static const struct weight_format *value_format(const struct mix *mix,
                                                const struct decoder_config *c, int64_t layer)
{
    bool shared = c->heads / c->kv_heads >= 4; /* few values serve many heads */
    switch (mix->file_type) {
    case MIX_Q2_K:
        return shared ? &weight_q4_k : &weight_q3_k;
    case MIX_Q3_K_M:
        return layer < 2 ? &weight_q5_k : &weight_q4_k;
    case MIX_Q3_K_L:
        return &weight_q5_k;
    case MIX_Q4_K_S:
        return layer < 4 ? &weight_q5_k : mix->base;
    case MIX_Q4_K_M:
    case MIX_Q5_K_M:
        return more_bits(layer, c->layers) ? &weight_q6_k : mix->base;
    default:
        return mix->base;
    }
}

static const struct weight_format *down_format(const struct mix *mix, int64_t layer, int64_t layers)
{
    switch (mix->file_type) {
    case MIX_Q2_K:
        return &weight_q3_k;
    case MIX_Q3_K_M:
        return layer < layers / 16 ? &weight_q5_k : &weight_q4_k;
    case MIX_Q3_K_L:
        return &weight_q5_k;
    case MIX_Q4_K_S:
        return layer < layers / 8 ? &weight_q5_k : mix->base;
    case MIX_Q4_K_M:
    case MIX_Q5_K_M:
        return more_bits(layer, layers) ? &weight_q6_k : mix->base;
    default:
        return mix->base;
    }
}

static const struct weight_format *output_format(const struct mix *mix)
{
    switch (mix->file_type) {
    case MIX_Q2_K:
        return &weight_q3_k;
    case MIX_Q3_K_M:
        return &weight_q4_k;
    case MIX_Q3_K_L:
        return &weight_q5_k;
    default:
        return mix->base;
    }
}

static const struct weight_format *wanted(const struct mix *mix, const struct decoder_config *c,
                                          const struct parameter *parameter)
{
    long long layer;
    char part[40];
    if (sscanf(parameter->name, "layers.%lld.%39s", &layer, part) != 2) /* a table */
        return c->tied || strcmp(parameter->name, "head.weight") == 0 ? &weight_q6_k : mix->base;
    bool attends =
        strcmp(part, "attention.query.weight") == 0 || strcmp(part, "attention.key.weight") == 0;
    bool joined = strcmp(c->family, "gpt2") == 0; /* its files keep the three in one tensor */
    if (strcmp(part, "attention.value.weight") == 0 || (attends && joined))
        return value_format(mix, c, layer);
    if (strcmp(part, "mlp.down.weight") == 0)
        return down_format(mix, layer, c->layers);
    if (strcmp(part, "attention.output.weight") == 0)
        return output_format(mix);
    return mix->base;
}

/* What fits rows of any number of blocks of 32, or of any length. */
static const struct weight_format *fallback(const struct weight_format *format, int64_t columns)
{
    if (columns % format->block == 0)
        return format;
    if (columns % 32 != 0)
        return &weight_f16;
    return format == &weight_q6_k   ? &weight_q8_0
           : format == &weight_q5_k ? &weight_q5_1
           : format == &weight_q4_k ? &weight_q5_0
                                    : &weight_q4_0;
}

const struct weight_format *mix_format(const struct mix *mix, const struct decoder_config *config,
                                       const struct parameter *parameter)
{
    if (parameter->rank == 1 || strcmp(parameter->name, "positions") == 0)
        return &weight_f32;
    if (mix->varied)
        return fallback(wanted(mix, config, parameter), parameter->weight.columns);
    bool table =
        parameter->kind == PARAMETER_EMBEDDING || strcmp(parameter->name, "head.weight") == 0;
    /* Tables suffer most from few bits. */
    const struct weight_format *format = table && mix->base->block == 32 ? &weight_q8_0 : mix->base;
    return fallback(format, parameter->weight.columns);
}
