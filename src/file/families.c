/* See families.h. */
#include "file/families.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void plain(struct decoder_config *c)
{
    (void)c;
}

static void qwen2(struct decoder_config *c)
{
    c->attention_bias = true;
}

static void qwen3(struct decoder_config *c)
{
    c->query_norm = MODEL_QUERY_NORM_HEAD;
}

static void smollm3(struct decoder_config *c)
{
    c->unrotated = (struct layer_pattern){4, 3};
}

static void mixtral(struct decoder_config *c)
{
    c->experts_whole = true;
}

static void olmoe(struct decoder_config *c)
{
    c->query_norm = MODEL_QUERY_NORM_WHOLE;
}

static void qwen3moe(struct decoder_config *c)
{
    qwen3(c);
    c->experts_whole = true;
}

/* Every second layer sees all, from the second on. */
static void gemma2(struct decoder_config *c)
{
    c->mlp = MODEL_MLP_GEGLU_TANH;
    c->block = MODEL_BLOCK_SANDWICH;
    c->embedding_scale = sqrt((double)c->width);
    c->global = (struct layer_pattern){2, 1};
    c->tied = true;
}

static void gemma3(struct decoder_config *c)
{
    gemma2(c);
    c->query_norm = MODEL_QUERY_NORM_HEAD;
    c->global = (struct layer_pattern){6, 5};
    c->rope.local_base = 10000;
}

/* Layer norms and biases throughout. */
static void biased(struct decoder_config *c)
{
    c->norm = MODEL_NORM_LAYER;
    c->attention_bias = c->output_bias = c->mlp_bias = true;
    c->hidden = 4 * c->width;
}

static void gpt2(struct decoder_config *c)
{
    biased(c);
    c->positions = MODEL_POSITIONS_LEARNED;
    c->mlp = MODEL_MLP_GELU_TANH;
    c->tied = true;
}

static void gptneox(struct decoder_config *c)
{
    biased(c);
    c->mlp = MODEL_MLP_GELU;
    c->block = MODEL_BLOCK_PARALLEL;
}

/* The first two rows of the position table are never used. */
static void opt(struct decoder_config *c)
{
    biased(c);
    c->positions = MODEL_POSITIONS_LEARNED;
    c->position_offset = 2;
    c->mlp = MODEL_MLP_RELU;
    c->tied = true;
}

/* Every fourth layer has attention, the others the delta rule. */
static void qwen35(struct decoder_config *c)
{
    qwen3(c);
    c->attention_gate = true;
    c->delta.attention = (struct layer_pattern){4, 3};
}

static void bert(struct decoder_config *c)
{
    biased(c);
    c->positions = MODEL_POSITIONS_LEARNED;
    c->mlp = MODEL_MLP_GELU;
    c->block = MODEL_BLOCK_POST;
    c->bidirectional = c->embedding_norm = c->tied = true;
    c->token_types = 2;
}

/* Every third layer sees all, from the first on. */
static void modernbert(struct decoder_config *c)
{
    c->norm = MODEL_NORM_LAYER_PLAIN;
    c->mlp = MODEL_MLP_GEGLU;
    c->bidirectional = c->embedding_norm = c->first_bare = c->tied = true;
    c->global = (struct layer_pattern){3, 0};
    c->rope.base = 160000;
    c->rope.local_base = 10000;
}

const struct family families[] = {
    {"llama", "llama", "LlamaForCausalLM", "llama", &names_huggingface_llama, &names_gguf_llama,
     true, plain},
    {"mistral", "mistral", "MistralForCausalLM", "llama", &names_huggingface_llama,
     &names_gguf_llama, true, plain},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", "qwen2", &names_huggingface_llama, &names_gguf_plain,
     true, qwen2},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", "qwen3", &names_huggingface_llama, &names_gguf_plain,
     true, qwen3},
    {"gemma2", "gemma2", "Gemma2ForCausalLM", "gemma2", &names_huggingface_gemma, &names_gguf_plain,
     true, gemma2},
    {"gemma3", "gemma3_text", "Gemma3ForCausalLM", "gemma3", &names_huggingface_gemma,
     &names_gguf_plain, true, gemma3},
    {"smollm3", "smollm3", "SmolLM3ForCausalLM", "smollm3", &names_huggingface_llama,
     &names_gguf_llama, true, smollm3},
    {"phi3", "phi3", "Phi3ForCausalLM", "phi3", &names_huggingface_phi3, &names_gguf_phi3, true,
     plain},
    {"granite", "granite", "GraniteForCausalLM", "granite", &names_huggingface_llama,
     &names_gguf_llama, true, plain},
    {"mixtral", "mixtral", "MixtralForCausalLM", "llama", &names_huggingface_mixtral,
     &names_gguf_llama, true, mixtral},
    {"olmoe", "olmoe", "OlmoeForCausalLM", "olmoe", &names_huggingface_llama, &names_gguf_plain,
     true, olmoe},
    {"qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM", "qwen3moe", &names_huggingface_llama,
     &names_gguf_plain, true, qwen3moe},
    {"gpt2", "gpt2", "GPT2LMHeadModel", "gpt2", &names_huggingface_gpt2, &names_gguf_fused, false,
     gpt2},
    {"gptneox", "gpt_neox", "GPTNeoXForCausalLM", "gptneox", &names_huggingface_neox,
     &names_gguf_fused, false, gptneox},
    {"opt", "opt", "OPTForCausalLM", NULL, &names_huggingface_opt, NULL, false, opt},
    {"qwen35", "qwen3_5_text", "Qwen3_5ForCausalLM", "qwen35", &names_huggingface_qwen35,
     &names_gguf_qwen35, true, qwen35},
    {"bert", "bert", "BertModel", "bert", &names_huggingface_bert, &names_gguf_bert, false, bert},
    {"modernbert", "modernbert", "ModernBertModel", "modern-bert", &names_huggingface_modernbert,
     &names_gguf_modernbert, false, modernbert},
    {NULL, NULL, NULL, NULL, NULL, NULL, false, NULL},
};

const struct family *family_by_name(const char *name)
{
    for (const struct family *f = families; f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

const struct family *family_by_model_type(const char *type)
{
    for (const struct family *f = families; f->name; f++)
        if (type && strcmp(f->model_type, type) == 0)
            return f;
    return NULL;
}

const struct family *family_by_arch(const char *arch)
{
    for (const struct family *f = families; f->name; f++)
        if (arch && f->arch && strcmp(f->arch, arch) == 0)
            return f;
    return NULL;
}

struct decoder_config family_config(const struct family *family, int64_t vocabulary,
                                    int64_t context, int64_t width, int64_t layers, int64_t heads)
{
    struct decoder_config config = decoder_config_llama(vocabulary, context, width, layers, heads);
    snprintf(config.family, sizeof config.family, "%s", family->name);
    if (width >= 0 && width <= 1 << 20) /* else refused by decoder_config_check */
        family->traits(&config);
    return config;
}
