#!/usr/bin/env python3
"""Makes the model folders of this directory: tiny random Hugging Face models, each with the logits
that transformers computes for some tokens. Needs torch, transformers and safetensors.

    python3 make_golden.py [FOLDER [NAME ...]]     # default: the script's own folder, all models
"""
import json
import pathlib
import sys

import safetensors.torch
import torch
import transformers

VOCABULARY, BATCH, LENGTH = 48, 2, 12


def llama(**changes):
    values = dict(vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
                  num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32,
                  rms_norm_eps=1e-5, tie_word_embeddings=False, initializer_range=0.25,
                  bos_token_id=None, eos_token_id=3)
    values.update(changes)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**values))


def gpt2(**changes):
    values = dict(vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=4, n_positions=32,
                  activation_function="gelu_new", initializer_range=0.25, bos_token_id=None,
                  eos_token_id=3)
    values.update(changes)
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**values))


SMALL = dict(vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=4,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32,
             initializer_range=0.25, bos_token_id=None, eos_token_id=3, pad_token_id=0)


def other(name, **fixed):
    """A builder for a family of transformers: its classes are called NameConfig, NameForCausalLM."""
    def build(**changes):
        values = {**SMALL, **fixed, **changes}
        config = getattr(transformers, name + "Config")(**values)
        return getattr(transformers, name + "ForCausalLM")(config)
    return build


def gemma3(**changes):
    values = {**SMALL, "num_hidden_layers": 7, **changes}
    return transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(**values))


def opt(**changes):
    values = dict(vocab_size=VOCABULARY, hidden_size=16, ffn_dim=24, num_hidden_layers=2,
                  num_attention_heads=4, max_position_embeddings=32, word_embed_proj_dim=16,
                  init_std=0.25, bos_token_id=2, eos_token_id=3, pad_token_id=1)
    values.update(changes)
    return transformers.OPTForCausalLM(transformers.OPTConfig(**values))


def encoder(name, **fixed):
    """An encoder: what is compared are its final hidden states."""
    def build(**changes):
        values = {**SMALL, **fixed, **changes}
        for key in ("num_key_value_heads", "bos_token_id", "eos_token_id"):
            values.pop(key)
        if name == "ModernBert":  # its default ids lie outside of this vocabulary
            values.update({key: 3 for key in ("bos_token_id", "eos_token_id", "cls_token_id",
                                              "sep_token_id")})
        return getattr(transformers, name + "Model")(
            getattr(transformers, name + "Config")(**values))
    return build


def qwen35(**changes):
    values = {**SMALL, "head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
              "linear_key_head_dim": 6, "linear_value_head_dim": 10, "linear_conv_kernel_dim": 4,
              **changes}
    return transformers.Qwen3_5ForCausalLM(transformers.Qwen3_5TextConfig(**values))


LONG = dict(rope_type="longrope", rope_theta=10000.0, short_factor=[1.0, 1.2],
            long_factor=[1.5, 3.0], original_max_position_embeddings=8)

MODELS = {
    "llama-grouped": (llama, {}, torch.float32),
    "llama-tied": (llama, dict(tie_word_embeddings=True, num_key_value_heads=4), torch.float32),
    "llama-biased": (llama, dict(attention_bias=True, mlp_bias=True, num_key_value_heads=1),
                     torch.float32),
    "llama-head-width": (llama, dict(head_dim=6, rms_norm_eps=1e-6), torch.float32),
    "llama-rope-base": (llama, dict(rope_parameters=dict(rope_type="default",
                                                         rope_theta=500000.0)), torch.float32),
    "llama-f16": (llama, {}, torch.float16),
    "llama-bf16": (llama, dict(tie_word_embeddings=True), torch.bfloat16),
    "gpt2": (gpt2, {}, torch.float32),
    "gpt2-gelu": (gpt2, dict(activation_function="gelu", n_inner=20), torch.float32),
    "gpt2-untied": (gpt2, dict(tie_word_embeddings=False), torch.float32),
    "gpt2-plain-names": (gpt2, {}, torch.float32),
    "llama-linear": (llama, dict(rope_parameters=dict(rope_type="linear", rope_theta=10000.0,
                                                      factor=4.0)), torch.float32),
    "llama-llama3": (llama, dict(rope_parameters=dict(
        rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0,
        high_freq_factor=4.0, original_max_position_embeddings=8192), head_dim=16), torch.float32),
    "llama-yarn": (llama, dict(rope_parameters=dict(
        rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=8),
        head_dim=8), torch.float32),
    "llama-sharded": (llama, {}, torch.float32),
    "mistral": (other("Mistral"), dict(sliding_window=5, head_dim=6), torch.float32),
    "qwen2": (other("Qwen2"), dict(tie_word_embeddings=True), torch.float32),
    "qwen3": (other("Qwen3"), dict(head_dim=8), torch.float32),
    "gemma2": (other("Gemma2"), dict(head_dim=6, sliding_window=4, query_pre_attn_scalar=6,
                                     attn_logit_softcapping=5.0, final_logit_softcapping=4.0),
               torch.float32),
    "gemma3": (gemma3, dict(head_dim=6, sliding_window=4, query_pre_attn_scalar=6), torch.float32),
    "smollm3": (other("SmolLM3"), {}, torch.float32),
    "phi3": (other("Phi3"), dict(tie_word_embeddings=True, partial_rotary_factor=0.5,
                                 sliding_window=6), torch.float32),
    "phi3-long": (other("Phi3"), dict(rope_parameters=LONG, num_key_value_heads=4,
                                      original_max_position_embeddings=8), torch.float32),
    "granite": (other("Granite"), dict(embedding_multiplier=3.0, attention_multiplier=0.4,
                                       residual_multiplier=0.6, logits_scaling=2.0),
                torch.float32),
    "gptneox": (other("GPTNeoX", num_key_value_heads=4), dict(rotary_pct=0.5, hidden_size=32, tie_word_embeddings=False),
                torch.float32),
    "gptneox-serial": (other("GPTNeoX", num_key_value_heads=4), dict(use_parallel_residual=False, rotary_pct=1.0,
                                              tie_word_embeddings=False), torch.float32),
    "opt": (opt, {}, torch.float32),
    "qwen35": (qwen35, {}, torch.float32),
    "bert": (encoder("Bert"), dict(hidden_act="gelu"), torch.float32),
    "modernbert": (encoder("ModernBert"), dict(local_attention=6, num_hidden_layers=5),
                   torch.float32),
    "mixtral": (other("Mixtral"), dict(num_local_experts=4, num_experts_per_tok=2,
                                       num_hidden_layers=2), torch.float32),
    "olmoe": (other("Olmoe"), dict(num_experts=6, num_experts_per_tok=3, num_hidden_layers=2),
              torch.float32),
    "qwen3moe": (other("Qwen3Moe"), dict(num_experts=5, num_experts_per_tok=2, head_dim=8,
                                         moe_intermediate_size=12, norm_topk_prob=True,
                                         num_hidden_layers=2), torch.float32),
    "opt-350m": (opt, dict(do_layer_norm_before=False, word_embed_proj_dim=12), torch.float32),
    "qwen35-even": (qwen35, dict(linear_key_head_dim=8, linear_value_head_dim=8,
                                 linear_num_value_heads=6), torch.float32),
    "olmoe-even": (other("Olmoe"), dict(num_experts=6, num_experts_per_tok=3, num_hidden_layers=2,
                                        num_key_value_heads=4), torch.float32),
}


def make(name, folder):
    build, changes, dtype = MODELS[name]
    model = build(**changes).eval()
    with torch.no_grad():
        for key, value in model.named_parameters():  # biases and norms are constant otherwise
            if value.dim() == 1:
                value.add_(torch.randn_like(value) * 0.2)
    model = model.to(dtype)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, **(dict(max_shard_size="3KB") if "sharded" in name else {}))
    (folder / "generation_config.json").unlink(missing_ok=True)
    path = folder / "model.safetensors"
    tokens = torch.randint(VOCABULARY, (BATCH, LENGTH))
    # Loaded anew in f32: converting the model back would keep the rounded rotation frequencies.
    model = type(model).from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        result = model(tokens)
        logits = result.logits if hasattr(result, "logits") else result.last_hidden_state
    if name == "gpt2-plain-names":  # as in the files of the first GPT-2 models
        tensors = safetensors.torch.load_file(path)
        tensors = {key.removeprefix("transformer."): value for key, value in tensors.items()}
        safetensors.torch.save_file(tensors, path, {"format": "pt"})
    safetensors.torch.save_file({"tokens": tokens.to(torch.int32), "logits": logits.contiguous()},
                                folder / "expected.safetensors")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: {size} bytes, largest logit {logits.abs().max():.3f}")


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__)
    root = root if root.is_dir() else root.parent
    for index, name in enumerate(MODELS):
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        torch.manual_seed(index)
        make(name, root / name)
        config = json.loads((root / name / "config.json").read_text())
        config.pop("transformers_version", None)
        (root / name / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
