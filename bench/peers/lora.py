"""Times whole steps of tuning by adapters with peft on PyTorch, as bench/lora.c does.

  lora.py FOLDER f32|bf16 RANK CONTEXT BATCH MICRO THREADS STEPS

FOLDER is the same model as a Hugging Face folder. STEPS 0 makes one step for each line on standard
input.
"""
import json
import statistics
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM


def peak_mebibytes():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def main():
    folder, kind = sys.argv[1:3]
    rank, context, batch, micro, threads, steps = map(int, sys.argv[3:9])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    model = get_peft_model(model, LoraConfig(r=rank, lora_alpha=16, lora_dropout=0.0,
                                             target_modules="all-linear", task_type="CAUSAL_LM"))
    model.train()
    trained = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-4)
    tokens = torch.randint(0, model.config.vocab_size, (batch, context))

    def step():
        begin = time.perf_counter()
        total = 0.0
        for at in range(0, batch, micro):
            part = tokens[at:at + micro]
            loss = model(input_ids=part, labels=part).loss * (len(part) / batch)
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - begin, total

    _, first = step()
    last, times = first, []
    if steps == 0:
        print(json.dumps({"ready": True}), flush=True)
        for _ in sys.stdin:
            seconds, last = step()
            times.append(seconds)
            print(json.dumps({"seconds": seconds}), flush=True)
    for _ in range(steps):
        seconds, last = step()
        times.append(seconds)
    median = statistics.median(times) if times else 0
    print(json.dumps({"seconds": median,
                      "tokens_per_second": batch * context / median if median else 0,
                      "peak_mebibytes": peak_mebibytes(), "first_loss": first,
                      "last_loss": last}), flush=True)


main()
