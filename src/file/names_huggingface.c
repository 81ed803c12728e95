/* Names in Hugging Face folders; see names.h. Families that differ only in which tensors there are
 * share a table. */
#include "file/names.h"

/* Llama, Mistral, Qwen 2 and 3, SmolLM3, Granite, OLMoE. */
static const struct name_rule huggingface_llama_rules[] = {
    {"embedding", "model.embed_tokens.weight", NAME_PLAIN},
    {"final_norm.weight", "model.norm.weight", NAME_PLAIN},
    {"head.weight", "lm_head.weight", NAME_PLAIN},
    {"*attention_norm.weight", "*input_layernorm.weight", NAME_PLAIN},
    {"*attention.query.weight", "*self_attn.q_proj.weight", NAME_PLAIN},
    {"*attention.query.bias", "*self_attn.q_proj.bias", NAME_PLAIN},
    {"*attention.key.weight", "*self_attn.k_proj.weight", NAME_PLAIN},
    {"*attention.key.bias", "*self_attn.k_proj.bias", NAME_PLAIN},
    {"*attention.value.weight", "*self_attn.v_proj.weight", NAME_PLAIN},
    {"*attention.value.bias", "*self_attn.v_proj.bias", NAME_PLAIN},
    {"*attention.output.weight", "*self_attn.o_proj.weight", NAME_PLAIN},
    {"*attention.output.bias", "*self_attn.o_proj.bias", NAME_PLAIN},
    {"*attention.query_norm.weight", "*self_attn.q_norm.weight", NAME_PLAIN},
    {"*attention.key_norm.weight", "*self_attn.k_norm.weight", NAME_PLAIN},
    {"*mlp_norm.weight", "*post_attention_layernorm.weight", NAME_PLAIN},
    {"*mlp.gate.weight", "*mlp.gate_proj.weight", NAME_PLAIN},
    {"*mlp.gate.bias", "*mlp.gate_proj.bias", NAME_PLAIN},
    {"*mlp.up.weight", "*mlp.up_proj.weight", NAME_PLAIN},
    {"*mlp.up.bias", "*mlp.up_proj.bias", NAME_PLAIN},
    {"*mlp.down.weight", "*mlp.down_proj.weight", NAME_PLAIN},
    {"*mlp.router.weight", "*mlp.gate.weight", NAME_PLAIN},
    {"*experts.#.gate.weight", "*mlp.experts.#.gate_proj.weight", NAME_PLAIN},
    {"*experts.#.up.weight", "*mlp.experts.#.up_proj.weight", NAME_PLAIN},
    {"*experts.#.down.weight", "*mlp.experts.#.down_proj.weight", NAME_PLAIN},
    {"*mlp.down.bias", "*mlp.down_proj.bias", NAME_PLAIN},
    {NULL, NULL, NAME_PLAIN},
};

const struct name_table names_huggingface_llama = {"model.layers.%d.", huggingface_llama_rules,
                                                   false};

/* Gemma 2 and 3: norms are stored less 1, and there are four. */
static const struct name_rule huggingface_gemma_rules[] = {
    {"embedding", "model.embed_tokens.weight", NAME_PLAIN},
    {"final_norm.weight", "model.norm.weight", NAME_LESS_ONE},
    {"head.weight", "lm_head.weight", NAME_PLAIN},
    {"*attention_norm.weight", "*input_layernorm.weight", NAME_LESS_ONE},
    {"*attention.query.weight", "*self_attn.q_proj.weight", NAME_PLAIN},
    {"*attention.query.bias", "*self_attn.q_proj.bias", NAME_PLAIN},
    {"*attention.key.weight", "*self_attn.k_proj.weight", NAME_PLAIN},
    {"*attention.key.bias", "*self_attn.k_proj.bias", NAME_PLAIN},
    {"*attention.value.weight", "*self_attn.v_proj.weight", NAME_PLAIN},
    {"*attention.value.bias", "*self_attn.v_proj.bias", NAME_PLAIN},
    {"*attention.output.weight", "*self_attn.o_proj.weight", NAME_PLAIN},
    {"*attention.output.bias", "*self_attn.o_proj.bias", NAME_PLAIN},
    {"*attention.query_norm.weight", "*self_attn.q_norm.weight", NAME_LESS_ONE},
    {"*attention.key_norm.weight", "*self_attn.k_norm.weight", NAME_LESS_ONE},
    {"*attention_after.weight", "*post_attention_layernorm.weight", NAME_LESS_ONE},
    {"*mlp_norm.weight", "*pre_feedforward_layernorm.weight", NAME_LESS_ONE},
    {"*mlp.gate.weight", "*mlp.gate_proj.weight", NAME_PLAIN},
    {"*mlp.up.weight", "*mlp.up_proj.weight", NAME_PLAIN},
    {"*mlp.down.weight", "*mlp.down_proj.weight", NAME_PLAIN},
    {"*mlp_after.weight", "*post_feedforward_layernorm.weight", NAME_LESS_ONE},
    {NULL, NULL, NAME_PLAIN},
};

const struct name_table names_huggingface_gemma = {"model.layers.%d.", huggingface_gemma_rules,
                                                   false};

/* Phi-3 and 4: query, key and value are one tensor, gate and up another. */
static const struct name_rule huggingface_phi3_rules[] = {
    {"embedding", "model.embed_tokens.weight", NAME_PLAIN},
    {"final_norm.weight", "model.norm.weight", NAME_PLAIN},
    {"head.weight", "lm_head.weight", NAME_PLAIN},
    {"*attention_norm.weight", "*input_layernorm.weight", NAME_PLAIN},
    {"*attention.query.weight", "*self_attn.qkv_proj.weight", NAME_PLAIN},
    {"*attention.key.weight", "*self_attn.qkv_proj.weight", NAME_PLAIN},
    {"*attention.value.weight", "*self_attn.qkv_proj.weight", NAME_PLAIN},
    {"*attention.output.weight", "*self_attn.o_proj.weight", NAME_PLAIN},
    {"*mlp_norm.weight", "*post_attention_layernorm.weight", NAME_PLAIN},
    {"*mlp.gate.weight", "*mlp.gate_up_proj.weight", NAME_PLAIN},
    {"*mlp.up.weight", "*mlp.gate_up_proj.weight", NAME_PLAIN},
    {"*mlp.down.weight", "*mlp.down_proj.weight", NAME_PLAIN},
    {NULL, NULL, NAME_PLAIN},
};

const struct name_table names_huggingface_phi3 = {"model.layers.%d.", huggingface_phi3_rules,
                                                  false};

/* GPT-2: matrices are transposed. */
static const struct name_rule huggingface_gpt2_rules[] = {
    {"embedding", "transformer.wte.weight", NAME_PLAIN},
    {"positions", "transformer.wpe.weight", NAME_PLAIN},
    {"final_norm.weight", "transformer.ln_f.weight", NAME_PLAIN},
    {"final_norm.bias", "transformer.ln_f.bias", NAME_PLAIN},
    {"head.weight", "lm_head.weight", NAME_PLAIN},
    {"*attention_norm.weight", "*ln_1.weight", NAME_PLAIN},
    {"*attention_norm.bias", "*ln_1.bias", NAME_PLAIN},
    {"*attention.query.weight", "*attn.c_attn.weight", NAME_TRANSPOSED},
    {"*attention.query.bias", "*attn.c_attn.bias", NAME_PLAIN},
    {"*attention.key.weight", "*attn.c_attn.weight", NAME_TRANSPOSED},
    {"*attention.key.bias", "*attn.c_attn.bias", NAME_PLAIN},
    {"*attention.value.weight", "*attn.c_attn.weight", NAME_TRANSPOSED},
    {"*attention.value.bias", "*attn.c_attn.bias", NAME_PLAIN},
    {"*attention.output.weight", "*attn.c_proj.weight", NAME_TRANSPOSED},
    {"*attention.output.bias", "*attn.c_proj.bias", NAME_PLAIN},
    {"*mlp_norm.weight", "*ln_2.weight", NAME_PLAIN},
    {"*mlp_norm.bias", "*ln_2.bias", NAME_PLAIN},
    {"*mlp.up.weight", "*mlp.c_fc.weight", NAME_TRANSPOSED},
    {"*mlp.up.bias", "*mlp.c_fc.bias", NAME_PLAIN},
    {"*mlp.down.weight", "*mlp.c_proj.weight", NAME_TRANSPOSED},
    {"*mlp.down.bias", "*mlp.c_proj.bias", NAME_PLAIN},
    {NULL, NULL, NAME_PLAIN},
};

const struct name_table names_huggingface_gpt2 = {"transformer.h.%d.", huggingface_gpt2_rules,
                                                  false};

/* GPT-NeoX and Pythia: query, key and value are interwoven by head. */
static const struct name_rule huggingface_neox_rules[] = {
    {"embedding", "gpt_neox.embed_in.weight", NAME_PLAIN},
    {"final_norm.weight", "gpt_neox.final_layer_norm.weight", NAME_PLAIN},
    {"final_norm.bias", "gpt_neox.final_layer_norm.bias", NAME_PLAIN},
    {"head.weight", "embed_out.weight", NAME_PLAIN},
    {"*attention_norm.weight", "*input_layernorm.weight", NAME_PLAIN},
    {"*attention_norm.bias", "*input_layernorm.bias", NAME_PLAIN},
    {"*attention.query.weight", "*attention.query_key_value.weight", NAME_BY_HEAD},
    {"*attention.query.bias", "*attention.query_key_value.bias", NAME_BY_HEAD},
    {"*attention.key.weight", "*attention.query_key_value.weight", NAME_BY_HEAD},
    {"*attention.key.bias", "*attention.query_key_value.bias", NAME_BY_HEAD},
    {"*attention.value.weight", "*attention.query_key_value.weight", NAME_BY_HEAD},
    {"*attention.value.bias", "*attention.query_key_value.bias", NAME_BY_HEAD},
    {"*attention.output.weight", "*attention.dense.weight", NAME_PLAIN},
    {"*attention.output.bias", "*attention.dense.bias", NAME_PLAIN},
    {"*mlp_norm.weight", "*post_attention_layernorm.weight", NAME_PLAIN},
    {"*mlp_norm.bias", "*post_attention_layernorm.bias", NAME_PLAIN},
    {"*mlp.up.weight", "*mlp.dense_h_to_4h.weight", NAME_PLAIN},
    {"*mlp.up.bias", "*mlp.dense_h_to_4h.bias", NAME_PLAIN},
    {"*mlp.down.weight", "*mlp.dense_4h_to_h.weight", NAME_PLAIN},
    {"*mlp.down.bias", "*mlp.dense_4h_to_h.bias", NAME_PLAIN},
    {NULL, NULL, NAME_PLAIN},
};

const struct name_table names_huggingface_neox = {"gpt_neox.layers.%d.", huggingface_neox_rules,
                                                  false};

static const struct name_rule huggingface_opt_rules[] = {
    {"embedding", "model.decoder.embed_tokens.weight", NAME_PLAIN},
    {"embedding_in.weight", "model.decoder.project_in.weight", NAME_PLAIN},
    {"embedding_out.weight", "model.decoder.project_out.weight", NAME_PLAIN},
    {"positions", "model.decoder.embed_positions.weight", NAME_PLAIN},
    {"final_norm.weight", "model.decoder.final_layer_norm.weight", NAME_PLAIN},
    {"final_norm.bias", "model.decoder.final_layer_norm.bias", NAME_PLAIN},
    {"head.weight", "lm_head.weight", NAME_PLAIN},
    {"*attention_norm.weight", "*self_attn_layer_norm.weight", NAME_PLAIN},
    {"*attention_norm.bias", "*self_attn_layer_norm.bias", NAME_PLAIN},
    {"*attention.query.weight", "*self_attn.q_proj.weight", NAME_PLAIN},
    {"*attention.query.bias", "*self_attn.q_proj.bias", NAME_PLAIN},
    {"*attention.key.weight", "*self_attn.k_proj.weight", NAME_PLAIN},
    {"*attention.key.bias", "*self_attn.k_proj.bias", NAME_PLAIN},
    {"*attention.value.weight", "*self_attn.v_proj.weight", NAME_PLAIN},
    {"*attention.value.bias", "*self_attn.v_proj.bias", NAME_PLAIN},
    {"*attention.output.weight", "*self_attn.out_proj.weight", NAME_PLAIN},
    {"*attention.output.bias", "*self_attn.out_proj.bias", NAME_PLAIN},
    {"*mlp_norm.weight", "*final_layer_norm.weight", NAME_PLAIN},
    {"*mlp_norm.bias", "*final_layer_norm.bias", NAME_PLAIN},
    {"*mlp.up.weight", "*fc1.weight", NAME_PLAIN},
    {"*mlp.up.bias", "*fc1.bias", NAME_PLAIN},
    {"*mlp.down.weight", "*fc2.weight", NAME_PLAIN},
    {"*mlp.down.bias", "*fc2.bias", NAME_PLAIN},
    {NULL, NULL, NAME_PLAIN},
};

const struct name_table names_huggingface_opt = {"model.decoder.layers.%d.", huggingface_opt_rules,
                                                 false};

static const struct name_rule huggingface_mixtral_rules[] = {
    {"embedding", "model.embed_tokens.weight", NAME_PLAIN},
    {"final_norm.weight", "model.norm.weight", NAME_PLAIN},
    {"head.weight", "lm_head.weight", NAME_PLAIN},
    {"*attention_norm.weight", "*input_layernorm.weight", NAME_PLAIN},
    {"*attention.query.weight", "*self_attn.q_proj.weight", NAME_PLAIN},
    {"*attention.key.weight", "*self_attn.k_proj.weight", NAME_PLAIN},
    {"*attention.value.weight", "*self_attn.v_proj.weight", NAME_PLAIN},
    {"*attention.output.weight", "*self_attn.o_proj.weight", NAME_PLAIN},
    {"*mlp_norm.weight", "*post_attention_layernorm.weight", NAME_PLAIN},
    {"*mlp.router.weight", "*block_sparse_moe.gate.weight", NAME_PLAIN},
    {"*experts.#.gate.weight", "*block_sparse_moe.experts.#.w1.weight", NAME_PLAIN},
    {"*experts.#.up.weight", "*block_sparse_moe.experts.#.w3.weight", NAME_PLAIN},
    {"*experts.#.down.weight", "*block_sparse_moe.experts.#.w2.weight", NAME_PLAIN},
    {NULL, NULL, NAME_PLAIN},
};

const struct name_table names_huggingface_mixtral = {"model.layers.%d.", huggingface_mixtral_rules,
                                                     false};

/* BERT and MiniLM: norms stand behind the sums. */
static const struct name_rule huggingface_bert_rules[] = {
    {"embedding", "bert.embeddings.word_embeddings.weight", NAME_PLAIN},
    {"positions", "bert.embeddings.position_embeddings.weight", NAME_PLAIN},
    {"token_types", "bert.embeddings.token_type_embeddings.weight", NAME_PLAIN},
    {"embedding_norm.weight", "bert.embeddings.LayerNorm.weight", NAME_PLAIN},
    {"embedding_norm.bias", "bert.embeddings.LayerNorm.bias", NAME_PLAIN},
    {"*attention.query.weight", "*attention.self.query.weight", NAME_PLAIN},
    {"*attention.query.bias", "*attention.self.query.bias", NAME_PLAIN},
    {"*attention.key.weight", "*attention.self.key.weight", NAME_PLAIN},
    {"*attention.key.bias", "*attention.self.key.bias", NAME_PLAIN},
    {"*attention.value.weight", "*attention.self.value.weight", NAME_PLAIN},
    {"*attention.value.bias", "*attention.self.value.bias", NAME_PLAIN},
    {"*attention.output.weight", "*attention.output.dense.weight", NAME_PLAIN},
    {"*attention.output.bias", "*attention.output.dense.bias", NAME_PLAIN},
    {"*attention_norm.weight", "*attention.output.LayerNorm.weight", NAME_PLAIN},
    {"*attention_norm.bias", "*attention.output.LayerNorm.bias", NAME_PLAIN},
    {"*mlp.up.weight", "*intermediate.dense.weight", NAME_PLAIN},
    {"*mlp.up.bias", "*intermediate.dense.bias", NAME_PLAIN},
    {"*mlp.down.weight", "*output.dense.weight", NAME_PLAIN},
    {"*mlp.down.bias", "*output.dense.bias", NAME_PLAIN},
    {"*mlp_norm.weight", "*output.LayerNorm.weight", NAME_PLAIN},
    {"*mlp_norm.bias", "*output.LayerNorm.bias", NAME_PLAIN},
    {NULL, NULL, NAME_PLAIN},
};

const struct name_table names_huggingface_bert = {"bert.encoder.layer.%d.", huggingface_bert_rules,
                                                  false};

static const struct name_rule huggingface_modernbert_rules[] = {
    {"embedding", "model.embeddings.tok_embeddings.weight", NAME_PLAIN},
    {"embedding_norm.weight", "model.embeddings.norm.weight", NAME_PLAIN},
    {"final_norm.weight", "model.final_norm.weight", NAME_PLAIN},
    {"*attention_norm.weight", "*attn_norm.weight", NAME_PLAIN},
    {"*attention.query.weight", "*attn.Wqkv.weight", NAME_PLAIN},
    {"*attention.key.weight", "*attn.Wqkv.weight", NAME_PLAIN},
    {"*attention.value.weight", "*attn.Wqkv.weight", NAME_PLAIN},
    {"*attention.output.weight", "*attn.Wo.weight", NAME_PLAIN},
    {"*mlp_norm.weight", "*mlp_norm.weight", NAME_PLAIN},
    {"*mlp.gate.weight", "*mlp.Wi.weight", NAME_PLAIN},
    {"*mlp.up.weight", "*mlp.Wi.weight", NAME_PLAIN},
    {"*mlp.down.weight", "*mlp.Wo.weight", NAME_PLAIN},
    {NULL, NULL, NAME_PLAIN},
};

const struct name_table names_huggingface_modernbert = {"model.layers.%d.",
                                                        huggingface_modernbert_rules, false};

/* Qwen3.5: layers of the delta rule between layers of attention. */
static const struct name_rule huggingface_qwen35_rules[] = {
    {"embedding", "model.embed_tokens.weight", NAME_PLAIN},
    {"final_norm.weight", "model.norm.weight", NAME_LESS_ONE},
    {"head.weight", "lm_head.weight", NAME_PLAIN},
    {"*attention_norm.weight", "*input_layernorm.weight", NAME_LESS_ONE},
    {"*attention.query.weight", "*self_attn.q_proj.weight", NAME_BY_HEAD},
    {"*attention.gate.weight", "*self_attn.q_proj.weight", NAME_BY_HEAD},
    {"*attention.key.weight", "*self_attn.k_proj.weight", NAME_PLAIN},
    {"*attention.value.weight", "*self_attn.v_proj.weight", NAME_PLAIN},
    {"*attention.query_norm.weight", "*self_attn.q_norm.weight", NAME_LESS_ONE},
    {"*attention.key_norm.weight", "*self_attn.k_norm.weight", NAME_LESS_ONE},
    {"*delta.input.weight", "*linear_attn.in_proj_qkv.weight", NAME_MIXED_HEADS},
    {"*delta.gate.weight", "*linear_attn.in_proj_z.weight", NAME_VALUE_HEADS},
    {"*delta.beta.weight", "*linear_attn.in_proj_b.weight", NAME_VALUE_HEADS},
    {"*delta.decay.weight", "*linear_attn.in_proj_a.weight", NAME_VALUE_HEADS},
    {"*delta.kernel", "*linear_attn.conv1d.weight", NAME_CHANNELS},
    {"*delta.rate", "*linear_attn.A_log", NAME_VALUE_HEADS},
    {"*delta.bias", "*linear_attn.dt_bias", NAME_VALUE_HEADS},
    {"*delta.norm.weight", "*linear_attn.norm.weight", NAME_PLAIN},
    {"*mlp_norm.weight", "*post_attention_layernorm.weight", NAME_LESS_ONE},
    {"*mlp.gate.weight", "*mlp.gate_proj.weight", NAME_PLAIN},
    {"*mlp.up.weight", "*mlp.up_proj.weight", NAME_PLAIN},
    {"*mlp.down.weight", "*mlp.down_proj.weight", NAME_PLAIN},
    {"*attention.output.weight", "*self_attn.o_proj.weight", NAME_PLAIN},
    {"*delta.output.weight", "*linear_attn.out_proj.weight", NAME_VALUE_INPUTS},
    {NULL, NULL, NAME_PLAIN},
};

const struct name_table names_huggingface_qwen35 = {"model.layers.%d.", huggingface_qwen35_rules,
                                                    false};
