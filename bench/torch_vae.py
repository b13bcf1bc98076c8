#!/usr/bin/env python3
"""The work of bench_vae.c in diffusers' AutoencoderKL, f32.

    bench/torch_vae.py [--threads N] [--seconds S] [--csv FILE] [--memory] [WORD ...]

The better of NCHW and channels_last, best of three runs without gradients. Memory as in
torch_blocks.py: the peak of what a run adds to the resident set, in a process of its own whose
allocator gives memory back at once; of the layout that is faster.
"""
import argparse
import math
import os
import time

import torch
from diffusers import AutoencoderKL

from torch_measure import measure_memory, peak_of

CASES = {
    f"bench_vae/vae/{kind}_{size}": (kind, size) for kind in ("decode", "encode")
    for size in (256, 512)
}


def build(case, channels_last):
    kind, size = case
    torch.manual_seed(0)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
    ).eval()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    vae = vae.to(memory_format=layout)
    decodes = kind == "decode"
    shape = (1, 4, size // 8, size // 8) if decodes else (1, 3, size, size)
    x = torch.randn(shape).to(memory_format=layout)

    def run():
        with torch.no_grad():
            return vae.decode(x).sample if decodes else vae.encode(x).latent_dist.mean

    return run


def peak_bytes(case, channels_last):
    run = build(case, channels_last)
    build((case[0], 64), channels_last)()  # loads the libraries' code
    return peak_of(run)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=1.0, help="accepted: three runs are made")
    parser.add_argument("--csv")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak", choices=["first", "last"], help="print one case's peak bytes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        print(peak_bytes(CASES[options.words[0]], options.peak == "last"))
        return
    csv = open(options.csv, "w") if options.csv else None
    for name, case in CASES.items():
        lines = f"{name}/forward {name}/memory"
        if options.words and not any(word in lines for word in options.words):
            continue
        found = {"forward": math.inf}
        for channels_last in (False, True):
            run = build(case, channels_last)
            run()
            for _ in range(3):
                start = time.perf_counter()
                run()
                seconds = time.perf_counter() - start
                if seconds < found["forward"]:
                    found["forward"], faster = seconds, channels_last
        if options.memory:
            found["memory"] = measure_memory(__file__, name, faster, options.threads)
        line = f"{name:44} forward {found['forward'] * 1e3:9.2f} ms"
        if options.memory:
            line += f"  {found['memory'] / 2**20:8.1f} MiB"
        print(line, flush=True)
        for part, value in found.items():
            if csv:
                csv.write(f"{name}/{part},{value:.9f}\n")


if __name__ == "__main__":
    main()
