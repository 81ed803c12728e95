/* See names.h. */
#include "file/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct name_rule huggingface_llama[] = {
    {"embedding", "model.embed_tokens.weight", NAME_PLAIN, 0, 1},
    {"final_norm.weight", "model.norm.weight", NAME_PLAIN, 0, 1},
    {"head.weight", "lm_head.weight", NAME_PLAIN, 0, 1},
    {"*attention_norm.weight", "*input_layernorm.weight", NAME_PLAIN, 0, 1},
    {"*attention.query.weight", "*self_attn.q_proj.weight", NAME_PLAIN, 0, 1},
    {"*attention.query.bias", "*self_attn.q_proj.bias", NAME_PLAIN, 0, 1},
    {"*attention.key.weight", "*self_attn.k_proj.weight", NAME_PLAIN, 0, 1},
    {"*attention.key.bias", "*self_attn.k_proj.bias", NAME_PLAIN, 0, 1},
    {"*attention.value.weight", "*self_attn.v_proj.weight", NAME_PLAIN, 0, 1},
    {"*attention.value.bias", "*self_attn.v_proj.bias", NAME_PLAIN, 0, 1},
    {"*attention.output.weight", "*self_attn.o_proj.weight", NAME_PLAIN, 0, 1},
    {"*attention.output.bias", "*self_attn.o_proj.bias", NAME_PLAIN, 0, 1},
    {"*mlp_norm.weight", "*post_attention_layernorm.weight", NAME_PLAIN, 0, 1},
    {"*mlp.gate.weight", "*mlp.gate_proj.weight", NAME_PLAIN, 0, 1},
    {"*mlp.gate.bias", "*mlp.gate_proj.bias", NAME_PLAIN, 0, 1},
    {"*mlp.up.weight", "*mlp.up_proj.weight", NAME_PLAIN, 0, 1},
    {"*mlp.up.bias", "*mlp.up_proj.bias", NAME_PLAIN, 0, 1},
    {"*mlp.down.weight", "*mlp.down_proj.weight", NAME_PLAIN, 0, 1},
    {"*mlp.down.bias", "*mlp.down_proj.bias", NAME_PLAIN, 0, 1},
    {NULL, NULL, NAME_PLAIN, 0, 0},
};

static const struct name_rule huggingface_gpt2[] = {
    {"embedding", "transformer.wte.weight", NAME_PLAIN, 0, 1},
    {"positions", "transformer.wpe.weight", NAME_PLAIN, 0, 1},
    {"final_norm.weight", "transformer.ln_f.weight", NAME_PLAIN, 0, 1},
    {"final_norm.bias", "transformer.ln_f.bias", NAME_PLAIN, 0, 1},
    {"head.weight", "lm_head.weight", NAME_PLAIN, 0, 1},
    {"*attention_norm.weight", "*ln_1.weight", NAME_PLAIN, 0, 1},
    {"*attention_norm.bias", "*ln_1.bias", NAME_PLAIN, 0, 1},
    {"*attention.query.weight", "*attn.c_attn.weight", NAME_TRANSPOSED, 0, 3},
    {"*attention.key.weight", "*attn.c_attn.weight", NAME_TRANSPOSED, 1, 3},
    {"*attention.value.weight", "*attn.c_attn.weight", NAME_TRANSPOSED, 2, 3},
    {"*attention.query.bias", "*attn.c_attn.bias", NAME_PLAIN, 0, 3},
    {"*attention.key.bias", "*attn.c_attn.bias", NAME_PLAIN, 1, 3},
    {"*attention.value.bias", "*attn.c_attn.bias", NAME_PLAIN, 2, 3},
    {"*attention.output.weight", "*attn.c_proj.weight", NAME_TRANSPOSED, 0, 1},
    {"*attention.output.bias", "*attn.c_proj.bias", NAME_PLAIN, 0, 1},
    {"*mlp_norm.weight", "*ln_2.weight", NAME_PLAIN, 0, 1},
    {"*mlp_norm.bias", "*ln_2.bias", NAME_PLAIN, 0, 1},
    {"*mlp.up.weight", "*mlp.c_fc.weight", NAME_TRANSPOSED, 0, 1},
    {"*mlp.up.bias", "*mlp.c_fc.bias", NAME_PLAIN, 0, 1},
    {"*mlp.down.weight", "*mlp.c_proj.weight", NAME_TRANSPOSED, 0, 1},
    {"*mlp.down.bias", "*mlp.c_proj.bias", NAME_PLAIN, 0, 1},
    {NULL, NULL, NAME_PLAIN, 0, 0},
};

static const struct name_rule gguf_llama[] = {
    {"embedding", "token_embd.weight", NAME_PLAIN, 0, 1},
    {"final_norm.weight", "output_norm.weight", NAME_PLAIN, 0, 1},
    {"head.weight", "output.weight", NAME_PLAIN, 0, 1},
    {"*attention_norm.weight", "*attn_norm.weight", NAME_PLAIN, 0, 1},
    {"*attention.query.weight", "*attn_q.weight", NAME_INTERLEAVED, 0, 1},
    {"*attention.query.bias", "*attn_q.bias", NAME_INTERLEAVED, 0, 1},
    {"*attention.key.weight", "*attn_k.weight", NAME_INTERLEAVED, 0, 1},
    {"*attention.key.bias", "*attn_k.bias", NAME_INTERLEAVED, 0, 1},
    {"*attention.value.weight", "*attn_v.weight", NAME_PLAIN, 0, 1},
    {"*attention.value.bias", "*attn_v.bias", NAME_PLAIN, 0, 1},
    {"*attention.output.weight", "*attn_output.weight", NAME_PLAIN, 0, 1},
    {"*attention.output.bias", "*attn_output.bias", NAME_PLAIN, 0, 1},
    {"*mlp_norm.weight", "*ffn_norm.weight", NAME_PLAIN, 0, 1},
    {"*mlp.gate.weight", "*ffn_gate.weight", NAME_PLAIN, 0, 1},
    {"*mlp.gate.bias", "*ffn_gate.bias", NAME_PLAIN, 0, 1},
    {"*mlp.up.weight", "*ffn_up.weight", NAME_PLAIN, 0, 1},
    {"*mlp.up.bias", "*ffn_up.bias", NAME_PLAIN, 0, 1},
    {"*mlp.down.weight", "*ffn_down.weight", NAME_PLAIN, 0, 1},
    {"*mlp.down.bias", "*ffn_down.bias", NAME_PLAIN, 0, 1},
    {NULL, NULL, NAME_PLAIN, 0, 0},
};

static const struct name_rule gguf_gpt2[] = {
    {"embedding", "token_embd.weight", NAME_PLAIN, 0, 1},
    {"positions", "position_embd.weight", NAME_PLAIN, 0, 1},
    {"final_norm.weight", "output_norm.weight", NAME_PLAIN, 0, 1},
    {"final_norm.bias", "output_norm.bias", NAME_PLAIN, 0, 1},
    {"head.weight", "output.weight", NAME_PLAIN, 0, 1},
    {"*attention_norm.weight", "*attn_norm.weight", NAME_PLAIN, 0, 1},
    {"*attention_norm.bias", "*attn_norm.bias", NAME_PLAIN, 0, 1},
    {"*attention.query.weight", "*attn_qkv.weight", NAME_PLAIN, 0, 3},
    {"*attention.key.weight", "*attn_qkv.weight", NAME_PLAIN, 1, 3},
    {"*attention.value.weight", "*attn_qkv.weight", NAME_PLAIN, 2, 3},
    {"*attention.query.bias", "*attn_qkv.bias", NAME_PLAIN, 0, 3},
    {"*attention.key.bias", "*attn_qkv.bias", NAME_PLAIN, 1, 3},
    {"*attention.value.bias", "*attn_qkv.bias", NAME_PLAIN, 2, 3},
    {"*attention.output.weight", "*attn_output.weight", NAME_PLAIN, 0, 1},
    {"*attention.output.bias", "*attn_output.bias", NAME_PLAIN, 0, 1},
    {"*mlp_norm.weight", "*ffn_norm.weight", NAME_PLAIN, 0, 1},
    {"*mlp_norm.bias", "*ffn_norm.bias", NAME_PLAIN, 0, 1},
    {"*mlp.up.weight", "*ffn_up.weight", NAME_PLAIN, 0, 1},
    {"*mlp.up.bias", "*ffn_up.bias", NAME_PLAIN, 0, 1},
    {"*mlp.down.weight", "*ffn_down.weight", NAME_PLAIN, 0, 1},
    {"*mlp.down.bias", "*ffn_down.bias", NAME_PLAIN, 0, 1},
    {NULL, NULL, NAME_PLAIN, 0, 0},
};

static const struct name_table tables[2][2] = {
    {{"llama", "model.layers.%d.", huggingface_llama},
     {"gpt2", "transformer.h.%d.", huggingface_gpt2}},
    {{"llama", "blk.%d.", gguf_llama}, {"gpt2", "blk.%d.", gguf_gpt2}},
};

static const struct name_table *find_table(int kind, const char *family)
{
    for (int i = 0; i < 2; i++)
        if (strcmp(tables[kind][i].family, family) == 0)
            return &tables[kind][i];
    return NULL;
}

const struct name_table *names_huggingface(const char *family)
{
    return find_table(0, family);
}

const struct name_table *names_gguf(const char *family)
{
    return find_table(1, family);
}

const struct name_rule *names_find(const struct name_table *table, const char *ours, char *theirs,
                                   size_t size)
{
    bool in_layer = strncmp(ours, "layers.", 7) == 0;
    int layer = in_layer ? atoi(ours + 7) : 0;
    const char *rest = in_layer ? strchr(ours + 7, '.') + 1 : ours;
    for (const struct name_rule *rule = table->rules; rule->ours; rule++) {
        bool starred = rule->ours[0] == '*';
        if (starred != in_layer || strcmp(rule->ours + starred, rest) != 0)
            continue;
        char prefix[40] = "";
        if (starred) /* "%d" replaced by hand: the format is data */
            snprintf(prefix, sizeof prefix, "%.*s%d.", (int)strcspn(table->layer, "%"),
                     table->layer, layer);
        snprintf(theirs, size, "%s%s", prefix, rule->theirs + (rule->theirs[0] == '*'));
        return rule;
    }
    return NULL;
}
