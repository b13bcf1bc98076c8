#!/usr/bin/env python3
"""The work of bench_blocks.c in PyTorch 2: the same blocks, shapes and threads.

    bench/torch_blocks.py [--threads N] [--seconds S] [--csv FILE] [--memory] [--cpu-time] [WORD ...]

Fused attention (F.scaled_dot_product_attention), the better of NCHW and channels_last, best of
several samples. Run it under the environment that bench/compare.sh sets: without a tuned
allocator PyTorch pays page faults for every large tensor. Gradients accumulate, as ours do.

Memory: the peak of what a step adds to the resident set when the gradients exist already, in a
process of its own whose allocator gives memory back at once; of the layout that is faster.
"""
import argparse
import math
import os
import time

import torch
import torch.nn.functional as F
from torch import nn

from torch_measure import best_seconds, measure_memory, peak_of


class Residual(nn.Module):
    def __init__(self, channels, time_width, groups=32):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels, eps=1e-5)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.time = nn.Linear(time_width, channels)
        self.norm2 = nn.GroupNorm(groups, channels, eps=1e-5)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x, temb):
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time(F.silu(temb))[:, :, None, None]
        return x + self.conv2(F.silu(self.norm2(h)))


class Attention(nn.Module):
    def __init__(self, width, context_width, heads):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=False)
        self.k = nn.Linear(context_width, width, bias=False)
        self.v = nn.Linear(context_width, width, bias=False)
        self.out = nn.Linear(width, width)

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x, context):
        q, k, v = self.split(self.q(x)), self.split(self.k(context)), self.split(self.v(context))
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Transformer(nn.Module):
    def __init__(self, width, context_width, heads, groups=32):
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.attn1 = Attention(width, width, heads)
        self.attn2 = Attention(width, context_width, heads)
        self.ff_in, self.ff_out = nn.Linear(width, 8 * width), nn.Linear(4 * width, width)
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x, context):
        n, c, height, width = x.shape
        h = self.proj_in(self.norm(x)).permute(0, 2, 3, 1).reshape(n, height * width, c)
        y = self.norm1(h)
        h = h + self.attn1(y, y)
        h = h + self.attn2(self.norm2(h), context)
        value, gate = self.ff_in(self.norm3(h)).chunk(2, -1)
        h = h + self.ff_out(value * F.gelu(gate))
        h = h.reshape(n, height, width, c).permute(0, 3, 1, 2).contiguous()
        return x + self.proj_out(h)


SD15 = dict(n=2, heads=8, time_width=1280, context_width=768)
SMALL = dict(n=16, heads=4, time_width=256, context_width=128)
CASES = {}
for c, size in ((320, 64), (640, 32), (1280, 16), (1280, 8)):
    for kind in ("residual", "transformer"):
        CASES[f"bench_blocks/sd15/{kind}_{c}_{size}"] = dict(SD15, kind=kind, c=c, size=size)
for c, size in ((64, 16), (128, 8)):
    for kind in ("residual", "transformer"):
        CASES[f"bench_blocks/small/{kind}_{c}_{size}"] = dict(SMALL, kind=kind, c=c, size=size)


def build(case, channels_last):
    """Forward without a graph, and forward + backward."""
    torch.manual_seed(0)
    n, c, size = case["n"], case["c"], case["size"]
    if case["kind"] == "residual":
        module = Residual(c, case["time_width"])
        other = torch.randn(n, case["time_width"], requires_grad=True)
    else:
        module = Transformer(c, case["context_width"], case["heads"])
        other = torch.randn(n, 77, case["context_width"])
    layout = torch.channels_last if channels_last else torch.contiguous_format
    module = module.to(memory_format=layout)
    x = torch.randn(n, c, size, size).to(memory_format=layout).requires_grad_()
    dy = torch.randn(n, c, size, size).to(memory_format=layout)

    def forward():
        with torch.no_grad():
            module(x, other)

    def both():
        (module(x, other) * dy).sum().backward()

    return forward, both


def peak_bytes(case, channels_last):
    """Of a step, when the gradients exist already."""
    _, both = build(case, channels_last)
    both()  # loads the libraries' code and makes the gradients
    return peak_of(both)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=1.0, help="of samples for each line")
    parser.add_argument("--csv")
    parser.add_argument("--memory", action="store_true", help="measure memory too")
    parser.add_argument("--cpu-time", action="store_true", help="processor time: one thread only")
    parser.add_argument("--peak", choices=["first", "last"], help="print one block's peak bytes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        print(peak_bytes(CASES[options.words[0]], options.peak == "last"))
        return
    clock = time.process_time if options.cpu_time else time.perf_counter
    csv = open(options.csv, "w") if options.csv else None
    for name, case in CASES.items():
        lines = f"{name}/forward {name}/both {name}/memory"
        if options.words and not any(word in lines for word in options.words):
            continue
        found = {"forward": math.inf, "both": math.inf}
        for channels_last in (False, True):
            forward, both = build(case, channels_last)
            seconds = best_seconds(forward, clock, options.seconds)
            found["forward"] = min(found["forward"], seconds)
            seconds = best_seconds(both, clock, options.seconds)
            if seconds < found["both"]:
                found["both"], faster = seconds, channels_last
        if options.memory:
            found["memory"] = measure_memory(__file__, name, faster, options.threads)
        line = f"{name:44} forward {found['forward'] * 1e3:9.2f} ms"
        line += f"  both {found['both'] * 1e3:9.2f} ms"
        if options.memory:
            line += f"  {found['memory'] / 2**20:8.1f} MiB"
        print(line, flush=True)
        for part, value in found.items():
            if csv:
                csv.write(f"{name}/{part},{value:.9f}\n")


if __name__ == "__main__":
    main()
