#!/usr/bin/env python3
"""Attention in PyTorch at the shapes of bench_attention.c: forward and backward, milliseconds.

OMP_NUM_THREADS sets the threads. To limit PyTorch to AVX2:
ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2
"""
import os
import time

import torch
import torch.nn.functional as F

THREADS = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
# n, queries, keys, heads, head size
SHAPES = [
    (2, 4096, 4096, 8, 40), (2, 1024, 1024, 8, 80), (2, 256, 256, 8, 160), (2, 64, 64, 8, 160),
    (2, 4096, 77, 8, 40), (2, 1024, 77, 8, 80), (2, 256, 77, 8, 160),
    (16, 256, 256, 4, 16), (16, 64, 64, 4, 32), (16, 256, 256, 4, 32), (16, 64, 64, 4, 16),
]


def best(call, seconds=0.7):
    call()
    least, runs, start = float("inf"), 0, time.perf_counter()
    while runs < 3 or (runs < 200 and time.perf_counter() - start < seconds):
        before = time.perf_counter()
        call()
        least, runs = min(least, time.perf_counter() - before), runs + 1
    return least


def main():
    torch.set_num_threads(THREADS)
    for n, tq, tk, heads, d in SHAPES:
        def tokens(t):
            # [n, heads, t, d] seen through a transposition, as a model's projections give it
            return torch.randn(n, t, heads, d, requires_grad=True)

        q, k, v = tokens(tq), tokens(tk), tokens(tk)

        def attend(q, k, v):
            y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2),
                                               v.transpose(1, 2))
            return y.transpose(1, 2)

        with torch.no_grad():
            forward = best(lambda: attend(q, k, v))
        y = attend(q, k, v)
        dy = torch.randn(n, tq, heads, d)
        backward = best(lambda: torch.autograd.grad(y, (q, k, v), dy, retain_graph=True), 1.0)
        flop = 4.0 * n * heads * tq * tk * d
        print(f"torch attention n{n} {tq}x{tk} heads {heads} d {d}: "
              f"forward {forward * 1e3:.3f} ms {flop / forward * 1e-9:.0f} GFLOP/s, "
              f"backward {backward * 1e3:.3f} ms {2.5 * flop / backward * 1e-9:.0f} GFLOP/s",
              flush=True)


if __name__ == "__main__":
    main()
