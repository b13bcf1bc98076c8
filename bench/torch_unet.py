#!/usr/bin/env python3
"""The work of bench_unet.c in diffusers: SD 1.5's UNet, two latents of 64 x 64, f32, forward.

    bench/torch_unet.py [--threads N] [--seconds S] [--csv FILE] [--memory] [WORD ...]

Weights as diffusers makes them; the better of NCHW and channels_last. Memory as in torch_blocks.py:
the peak of what a run adds to the resident set, of the layout that is faster.
"""
import argparse
import math
import os
import time

import torch
from diffusers import UNet2DConditionModel

from torch_measure import best_seconds, measure_memory, peak_of

NAME = "bench_unet/sd15"


def build(channels_last):
    model = UNet2DConditionModel(cross_attention_dim=768).eval()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = model.to(memory_format=layout)
    context = torch.randn(2, 77, 768)

    def forward(size=64):
        sample = torch.randn(2, 4, size, size).to(memory_format=layout)
        with torch.inference_mode():
            model(sample, torch.tensor([300, 7]), context)

    return forward


def peak_bytes(channels_last):
    forward = build(channels_last)
    forward(8)  # loads the libraries' code
    return peak_of(forward)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=1.0, help="of samples for each layout")
    parser.add_argument("--csv")
    parser.add_argument("--memory", action="store_true", help="measure memory too")
    parser.add_argument("--peak", choices=["first", "last"], help="print the peak bytes of a run")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        print(peak_bytes(options.peak == "last"))
        return
    lines = f"{NAME}/forward {NAME}/memory"
    if options.words and not any(word in lines for word in options.words):
        return
    found = {"forward": math.inf}
    for channels_last in (False, True):
        seconds = best_seconds(build(channels_last), time.perf_counter, options.seconds)
        if seconds < found["forward"]:
            found["forward"], faster = seconds, channels_last
    print(f"{NAME:44} forward {found['forward'] * 1e3:9.2f} ms", flush=True)
    if options.memory:
        found["memory"] = measure_memory(__file__, NAME, faster, options.threads)
        print(f"{NAME:44} memory {found['memory'] / 2**20:10.1f} MiB", flush=True)
    if options.csv:
        with open(options.csv, "w") as csv:
            for part, value in found.items():
                csv.write(f"{NAME}/{part},{value:.9f}\n")


if __name__ == "__main__":
    main()
