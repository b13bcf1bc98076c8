#!/usr/bin/env python3
"""Convolutions in PyTorch (oneDNN) at the shapes of bench_conv.c: output, gradient to the input,
gradient to the weight, each the better of its two layouts, in GFLOP/s.

OMP_NUM_THREADS sets the threads. To limit PyTorch to AVX2:
ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2
"""
import os
import sys
import time

import torch
import torch.nn.functional as F

THREADS = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
# n, input and output channels, size, kernel, stride
SHAPES = [
    (2, 320, 320, 64, 3, 1), (2, 960, 320, 64, 3, 1), (2, 320, 640, 32, 3, 1),
    (2, 640, 640, 32, 3, 1), (2, 1280, 640, 32, 3, 1), (2, 1280, 1280, 16, 3, 1),
    (2, 2560, 1280, 16, 3, 1), (2, 1280, 1280, 8, 3, 1), (2, 2560, 1280, 8, 3, 1),
    (2, 320, 320, 64, 3, 2), (2, 640, 640, 32, 3, 2), (2, 1280, 1280, 16, 3, 2),
    (2, 4, 320, 64, 3, 1), (2, 320, 4, 64, 3, 1), (2, 640, 640, 32, 1, 1),
    (16, 32, 32, 32, 3, 1), (16, 64, 64, 16, 3, 1), (16, 128, 128, 8, 3, 1),
    (16, 64, 64, 32, 3, 1), (16, 128, 128, 16, 3, 1),
]


def best(call, seconds=0.5):
    call()
    least, runs, start = float("inf"), 0, time.perf_counter()
    while runs < 4 or (runs < 200 and time.perf_counter() - start < seconds):
        before = time.perf_counter()
        call()
        least, runs = min(least, time.perf_counter() - before), runs + 1
    return least


def measure(n, ci, co, size, kernel, stride, layout):
    pad = kernel // 2
    x = torch.randn(n, ci, size, size).to(memory_format=layout).requires_grad_()
    w = torch.randn(co, ci, kernel, kernel).to(memory_format=layout).requires_grad_()
    with torch.no_grad():
        forward = best(lambda: F.conv2d(x, w, stride=stride, padding=pad))
    y = F.conv2d(x, w, stride=stride, padding=pad)
    dy = torch.randn_like(y)
    times = [forward]
    for operand in (x, w):
        times.append(best(lambda: torch.autograd.grad(y, operand, dy, retain_graph=True)))
    return times, 2.0 * y.numel() * ci * kernel * kernel


def main():
    torch.set_num_threads(THREADS)
    for shape in SHAPES:
        name = "n{} {}->{}@{} k{} s{}".format(*shape)
        if len(sys.argv) > 1 and not any(word in name for word in sys.argv[1:]):
            continue
        rates = []
        for layout in (torch.contiguous_format, torch.channels_last):
            times, flop = measure(*shape, layout)
            rates.append([flop / t * 1e-9 for t in times])
        y, dx, dw = (max(pair) for pair in zip(*rates))
        print(f"torch conv {name}: y {y:.0f}, dx {dx:.0f}, dw {dw:.0f} GFLOP/s", flush=True)


if __name__ == "__main__":
    main()
