#!/usr/bin/env python3
"""The work of bench_unet.c in diffusers: SD 1.5's UNet, two latents of 64 x 64, f32, forward.

    bench/torch_unet.py [--threads N] [--csv FILE]

Weights as diffusers makes them; the better of NCHW and channels_last.
"""
import math

import torch
from diffusers import UNet2DConditionModel

from torch_blocks import best_seconds
from torch_lines import Lines

NAME = "bench_unet/sd15/forward"


def main():
    lines = Lines(__doc__)
    if not lines.wanted(NAME):
        return
    model = UNet2DConditionModel(cross_attention_dim=768).eval()
    x, t, context = torch.randn(2, 4, 64, 64), torch.tensor([300, 7]), torch.randn(2, 77, 768)
    best = math.inf
    for layout in (torch.contiguous_format, torch.channels_last):
        model, sample = model.to(memory_format=layout), x.to(memory_format=layout)

        def forward():
            with torch.inference_mode():
                model(sample, t, context)

        seconds = best_seconds(forward, lines.clock)
        print(f"{NAME} ({layout}) {seconds:9.3f} s", flush=True)
        best = min(best, seconds)
    if lines.csv:
        lines.csv.write(f"{NAME},{best:.9f}\n")


if __name__ == "__main__":
    main()
