/* Names in GGUF files; see names.h. */
#include "file/names.h"

/* Query, key and value apart. llama.cpp rotates neighbors for some families, and halves for others.
 */
static const struct name_rule split_rules[] = {
    {"embedding", "token_embd.weight", NAME_PLAIN},
    {"final_norm.weight", "output_norm.weight", NAME_PLAIN},
    {"head.weight", "output.weight", NAME_PLAIN},
    {"*attention_norm.weight", "*attn_norm.weight", NAME_PLAIN},
    {"*attention.query.weight", "*attn_q.weight", NAME_ROTATED},
    {"*attention.query.bias", "*attn_q.bias", NAME_ROTATED},
    {"*attention.key.weight", "*attn_k.weight", NAME_ROTATED},
    {"*attention.key.bias", "*attn_k.bias", NAME_ROTATED},
    {"*attention.value.weight", "*attn_v.weight", NAME_PLAIN},
    {"*attention.value.bias", "*attn_v.bias", NAME_PLAIN},
    {"*attention.output.weight", "*attn_output.weight", NAME_PLAIN},
    {"*attention.output.bias", "*attn_output.bias", NAME_PLAIN},
    {"*attention.query_norm.weight", "*attn_q_norm.weight", NAME_PLAIN},
    {"*attention.key_norm.weight", "*attn_k_norm.weight", NAME_PLAIN},
    {"*attention_after.weight", "*post_attention_norm.weight", NAME_PLAIN},
    {"*mlp_norm.weight", "*ffn_norm.weight", NAME_PLAIN},
    {"*mlp.gate.weight", "*ffn_gate.weight", NAME_PLAIN},
    {"*mlp.gate.bias", "*ffn_gate.bias", NAME_PLAIN},
    {"*mlp.up.weight", "*ffn_up.weight", NAME_PLAIN},
    {"*mlp.up.bias", "*ffn_up.bias", NAME_PLAIN},
    {"*mlp.down.weight", "*ffn_down.weight", NAME_PLAIN},
    {"*mlp.down.bias", "*ffn_down.bias", NAME_PLAIN},
    {"*mlp.router.weight", "*ffn_gate_inp.weight", NAME_PLAIN},
    {"*experts.#.gate.weight", "*ffn_gate_exps.weight", NAME_STACKED},
    {"*experts.#.up.weight", "*ffn_up_exps.weight", NAME_STACKED},
    {"*experts.#.down.weight", "*ffn_down_exps.weight", NAME_STACKED},
    {"*mlp_after.weight", "*post_ffw_norm.weight", NAME_PLAIN},
    {NULL, NULL, NAME_PLAIN},
};

const struct name_table names_gguf_llama = {"blk.%d.", split_rules, true};

const struct name_table names_gguf_plain = {"blk.%d.", split_rules, false};

/* GPT-2 and GPT-NeoX. */
static const struct name_rule gguf_fused_rules[] = {
    {"embedding", "token_embd.weight", NAME_PLAIN},
    {"positions", "position_embd.weight", NAME_PLAIN},
    {"final_norm.weight", "output_norm.weight", NAME_PLAIN},
    {"final_norm.bias", "output_norm.bias", NAME_PLAIN},
    {"head.weight", "output.weight", NAME_PLAIN},
    {"*attention_norm.weight", "*attn_norm.weight", NAME_PLAIN},
    {"*attention_norm.bias", "*attn_norm.bias", NAME_PLAIN},
    {"*attention.query.weight", "*attn_qkv.weight", NAME_PLAIN},
    {"*attention.query.bias", "*attn_qkv.bias", NAME_PLAIN},
    {"*attention.key.weight", "*attn_qkv.weight", NAME_PLAIN},
    {"*attention.key.bias", "*attn_qkv.bias", NAME_PLAIN},
    {"*attention.value.weight", "*attn_qkv.weight", NAME_PLAIN},
    {"*attention.value.bias", "*attn_qkv.bias", NAME_PLAIN},
    {"*attention.output.weight", "*attn_output.weight", NAME_PLAIN},
    {"*attention.output.bias", "*attn_output.bias", NAME_PLAIN},
    {"*mlp_norm.weight", "*ffn_norm.weight", NAME_PLAIN},
    {"*mlp_norm.bias", "*ffn_norm.bias", NAME_PLAIN},
    {"*mlp.up.weight", "*ffn_up.weight", NAME_PLAIN},
    {"*mlp.up.bias", "*ffn_up.bias", NAME_PLAIN},
    {"*mlp.down.weight", "*ffn_down.weight", NAME_PLAIN},
    {"*mlp.down.bias", "*ffn_down.bias", NAME_PLAIN},
    {NULL, NULL, NAME_PLAIN},
};

const struct name_table names_gguf_fused = {"blk.%d.", gguf_fused_rules, false};

static const struct name_rule gguf_phi3_rules[] = {
    {"embedding", "token_embd.weight", NAME_PLAIN},
    {"final_norm.weight", "output_norm.weight", NAME_PLAIN},
    {"head.weight", "output.weight", NAME_PLAIN},
    {"*attention_norm.weight", "*attn_norm.weight", NAME_PLAIN},
    {"*attention.query.weight", "*attn_qkv.weight", NAME_PLAIN},
    {"*attention.key.weight", "*attn_qkv.weight", NAME_PLAIN},
    {"*attention.value.weight", "*attn_qkv.weight", NAME_PLAIN},
    {"*attention.output.weight", "*attn_output.weight", NAME_PLAIN},
    {"*mlp_norm.weight", "*ffn_norm.weight", NAME_PLAIN},
    {"*mlp.gate.weight", "*ffn_up.weight", NAME_PLAIN},
    {"*mlp.up.weight", "*ffn_up.weight", NAME_PLAIN},
    {"*mlp.down.weight", "*ffn_down.weight", NAME_PLAIN},
    {NULL, NULL, NAME_PLAIN},
};

const struct name_table names_gguf_phi3 = {"blk.%d.", gguf_phi3_rules, false};

static const struct name_rule gguf_bert_rules[] = {
    {"embedding", "token_embd.weight", NAME_PLAIN},
    {"positions", "position_embd.weight", NAME_PLAIN},
    {"token_types", "token_types.weight", NAME_PLAIN},
    {"embedding_norm.weight", "token_embd_norm.weight", NAME_PLAIN},
    {"embedding_norm.bias", "token_embd_norm.bias", NAME_PLAIN},
    {"*attention.query.weight", "*attn_q.weight", NAME_PLAIN},
    {"*attention.query.bias", "*attn_q.bias", NAME_PLAIN},
    {"*attention.key.weight", "*attn_k.weight", NAME_PLAIN},
    {"*attention.key.bias", "*attn_k.bias", NAME_PLAIN},
    {"*attention.value.weight", "*attn_v.weight", NAME_PLAIN},
    {"*attention.value.bias", "*attn_v.bias", NAME_PLAIN},
    {"*attention.output.weight", "*attn_output.weight", NAME_PLAIN},
    {"*attention.output.bias", "*attn_output.bias", NAME_PLAIN},
    {"*attention_norm.weight", "*attn_output_norm.weight", NAME_PLAIN},
    {"*attention_norm.bias", "*attn_output_norm.bias", NAME_PLAIN},
    {"*mlp.up.weight", "*ffn_up.weight", NAME_PLAIN},
    {"*mlp.up.bias", "*ffn_up.bias", NAME_PLAIN},
    {"*mlp.down.weight", "*ffn_down.weight", NAME_PLAIN},
    {"*mlp.down.bias", "*ffn_down.bias", NAME_PLAIN},
    {"*mlp_norm.weight", "*layer_output_norm.weight", NAME_PLAIN},
    {"*mlp_norm.bias", "*layer_output_norm.bias", NAME_PLAIN},
    {NULL, NULL, NAME_PLAIN},
};

const struct name_table names_gguf_bert = {"blk.%d.", gguf_bert_rules, false};

static const struct name_rule gguf_modernbert_rules[] = {
    {"embedding", "token_embd.weight", NAME_PLAIN},
    {"embedding_norm.weight", "token_embd_norm.weight", NAME_PLAIN},
    {"final_norm.weight", "output_norm.weight", NAME_PLAIN},
    {"*attention_norm.weight", "*attn_norm.weight", NAME_PLAIN},
    {"*attention.query.weight", "*attn_qkv.weight", NAME_PLAIN},
    {"*attention.key.weight", "*attn_qkv.weight", NAME_PLAIN},
    {"*attention.value.weight", "*attn_qkv.weight", NAME_PLAIN},
    {"*attention.output.weight", "*attn_output.weight", NAME_PLAIN},
    {"*mlp_norm.weight", "*ffn_norm.weight", NAME_PLAIN},
    {"*mlp.gate.weight", "*ffn_up.weight", NAME_PLAIN},
    {"*mlp.up.weight", "*ffn_up.weight", NAME_PLAIN},
    {"*mlp.down.weight", "*ffn_down.weight", NAME_PLAIN},
    {NULL, NULL, NAME_PLAIN},
};

const struct name_table names_gguf_modernbert = {"blk.%d.", gguf_modernbert_rules, false};

static const struct name_rule gguf_qwen35_rules[] = {
    {"embedding", "token_embd.weight", NAME_PLAIN},
    {"final_norm.weight", "output_norm.weight", NAME_PLAIN},
    {"head.weight", "output.weight", NAME_PLAIN},
    {"*attention_norm.weight", "*attn_norm.weight", NAME_PLAIN},
    {"*attention.query.weight", "*attn_q.weight", NAME_BY_HEAD},
    {"*attention.gate.weight", "*attn_q.weight", NAME_BY_HEAD},
    {"*attention.key.weight", "*attn_k.weight", NAME_PLAIN},
    {"*attention.value.weight", "*attn_v.weight", NAME_PLAIN},
    {"*attention.output.weight", "*attn_output.weight", NAME_PLAIN},
    {"*attention.query_norm.weight", "*attn_q_norm.weight", NAME_PLAIN},
    {"*attention.key_norm.weight", "*attn_k_norm.weight", NAME_PLAIN},
    {"*delta.input.weight", "*attn_qkv.weight", NAME_PLAIN},
    {"*delta.gate.weight", "*attn_gate.weight", NAME_PLAIN},
    {"*delta.beta.weight", "*ssm_beta.weight", NAME_PLAIN},
    {"*delta.decay.weight", "*ssm_alpha.weight", NAME_PLAIN},
    {"*delta.kernel", "*ssm_conv1d.weight", NAME_KERNEL},
    {"*delta.rate", "*ssm_a", NAME_NEGATED_EXP},
    {"*delta.bias", "*ssm_dt.bias", NAME_PLAIN},
    {"*delta.norm.weight", "*ssm_norm.weight", NAME_PLAIN},
    {"*delta.output.weight", "*ssm_out.weight", NAME_PLAIN},
    {"*mlp_norm.weight", "*post_attention_norm.weight", NAME_PLAIN},
    {"*mlp.gate.weight", "*ffn_gate.weight", NAME_PLAIN},
    {"*mlp.up.weight", "*ffn_up.weight", NAME_PLAIN},
    {"*mlp.down.weight", "*ffn_down.weight", NAME_PLAIN},
    {NULL, NULL, NAME_PLAIN},
};

const struct name_table names_gguf_qwen35 = {"blk.%d.", gguf_qwen35_rules, false};
