"""Makes the figures of tests/file/test_adapters.c with transformers and peft: tiny random models of
three families, a LoRA on each, the logits with it, and the gradients of the mean loss. Run in this
folder; needs torch, transformers, peft and safetensors. What it makes is free of others' rights."""
import os
import shutil

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import (GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM,
                          Qwen3_5ForCausalLM, Qwen3_5TextConfig)

torch.manual_seed(7)
LLAMA = LlamaForCausalLM(LlamaConfig(
    vocab_size=48, hidden_size=32, intermediate_size=40, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32,
    tie_word_embeddings=False, bos_token_id=1, eos_token_id=2))
GPT2 = GPT2LMHeadModel(GPT2Config(
    vocab_size=48, n_embd=32, n_layer=2, n_head=4, n_positions=32, bos_token_id=1, eos_token_id=2))


def qwen35():
    torch.manual_seed(8)
    return Qwen3_5ForCausalLM(Qwen3_5TextConfig(
        vocab_size=48, hidden_size=32, intermediate_size=40, num_hidden_layers=4, head_dim=8,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32,
        linear_num_key_heads=2, linear_num_value_heads=6, linear_key_head_dim=8,
        linear_value_head_dim=8, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
        pad_token_id=0))


FAMILIES = {
    "llama": (LLAMA, dict(target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj",
                                          "up_proj", "down_proj"], use_rslora=True)),
    "gpt2": (GPT2, dict(target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)),
    "qwen35": (qwen35, dict(target_modules=["k_proj", "v_proj", "o_proj", "out_proj", "gate_proj",
                                            "up_proj", "down_proj"])),
}

for name, (model, options) in FAMILIES.items():
    model = model() if model is qwen35 else model
    shutil.rmtree(name, ignore_errors=True)
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.2)
    model.save_pretrained(name, safe_serialization=True)
    tuned = get_peft_model(model, LoraConfig(r=4, lora_alpha=6, task_type="CAUSAL_LM", **options))
    for key, value in tuned.named_parameters():
        if "lora_" in key:
            torch.nn.init.normal_(value, std=0.2)
    tuned.save_pretrained(os.path.join(name, "adapter"))
    os.remove(os.path.join(name, "adapter", "README.md"))
    tuned.eval()
    tokens = torch.arange(20)[None] * 7 % 48
    output = tuned(tokens, labels=tokens)
    output.loss.backward()
    expected = {"logits": output.logits.detach()[0].contiguous()}
    for key, value in tuned.named_parameters():
        if "lora_" in key:
            expected[key.replace(".default", "")] = value.grad.contiguous()
    save_file(expected, os.path.join(name, "expected.safetensors"))
