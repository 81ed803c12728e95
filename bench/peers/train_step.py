"""Times whole training steps of a Llama-style decoder in PyTorch, as bench/train_step.c does.

  train_step.py LAYERS WIDTH HEADS HIDDEN CONTEXT BATCH VOCABULARY f32|bf16 THREADS STEPS [MICRO]

STEPS 0 makes one step for each line on standard input. MICRO is the number of sequences in a
forward and backward pass; by default the whole batch, which PyTorch does best with.
"""
import json
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


def peak_mebibytes():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


class Layer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.RMSNorm(width, eps=1e-5)
        self.mlp_norm = nn.RMSNorm(width, eps=1e-5)
        self.query, self.key, self.value, self.output = (
            nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x, cosines, sines):
        batch, length, width = x.shape
        normed = self.attention_norm(x)

        def split(values):
            return values.view(batch, length, self.heads, -1).transpose(1, 2)

        def rotate(values):
            low, high = values.chunk(2, dim=-1)
            return values * cosines + torch.cat((-high, low), dim=-1) * sines

        query, key = rotate(split(self.query(normed))), rotate(split(self.key(normed)))
        value = split(self.value(normed))
        mixed = F.scaled_dot_product_attention(query.to(value.dtype), key.to(value.dtype), value,
                                               is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).reshape(batch, length, width))
        normed = self.mlp_norm(x)
        return x + self.down(F.silu(self.gate(normed)) * self.up(normed))


class Decoder(nn.Module):
    def __init__(self, layers, width, heads, hidden, context, vocabulary):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(Layer(width, heads, hidden) for _ in range(layers))
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.head = nn.Linear(width, vocabulary, bias=False)
        half = width // heads // 2
        angles = torch.outer(torch.arange(context), 10000.0 ** (-torch.arange(half) / half))
        self.register_buffer("cosines", torch.cat((angles, angles), dim=-1).cos())
        self.register_buffer("sines", torch.cat((angles, angles), dim=-1).sin())
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                into_stream = name.endswith(("output.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * layers) ** 0.5 if into_stream else 0.02)

    def forward(self, tokens):
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x, self.cosines, self.sines)
        return self.head(self.norm(x))


def main():
    layers, width, heads, hidden, context, batch, vocabulary = map(int, sys.argv[1:8])
    half, threads, steps = sys.argv[8] == "bf16", int(sys.argv[9]), int(sys.argv[10])
    micro = int(sys.argv[11]) if len(sys.argv) > 11 else batch
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    empty = peak_mebibytes()
    model = Decoder(layers, width, heads, hidden, context, vocabulary)
    matrices = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=3e-4, betas=(0.9, 0.95), eps=1e-8, fused=True)
    ids = torch.randint(vocabulary, (batch * context + 1,))
    tokens, targets = ids[:-1].view(batch, context), ids[1:].view(batch, context)

    def step():
        begin, total = time.perf_counter(), 0.0
        optimizer.zero_grad(set_to_none=True)
        for at in range(0, batch, micro):
            part = slice(at, at + micro)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = model(tokens[part])
                loss = F.cross_entropy(logits.view(-1, vocabulary), targets[part].reshape(-1),
                                       reduction="sum") / (batch * context)
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return time.perf_counter() - begin, total

    _, first_loss = step()
    times = []
    if steps == 0:
        print(json.dumps({"ready": True}), flush=True)
        for _ in sys.stdin:
            seconds, last_loss = step()
            times.append(seconds)
            print(json.dumps({"seconds": seconds}), flush=True)
    for _ in range(steps):
        seconds, last_loss = step()
        times.append(seconds)
    seconds = sorted(times)[len(times) // 2]
    print(json.dumps({
        "parameters": sum(p.numel() for p in model.parameters()), "threads": threads,
        "steps": len(times), "seconds": seconds, "tokens_per_second": batch * context / seconds,
        "peak_mib": peak_mebibytes(), "library_mib": empty, "first_loss": first_loss,
        "last_loss": last_loss, "version": torch.__version__}))


main()
