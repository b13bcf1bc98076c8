#!/usr/bin/env python3
"""A whole `bdpo sample` beside diffusers' pipeline: the same model, prompt, steps and threads.

    bench/bench_sample.py BDPO [--threads N] [--rounds N] [FAMILY ...]

The model is the small one of `bdpo demo-model` (256 pixels). Both sides in turn, best of the rounds:

    process    from the start of the program to its end, with loading and writing the PNG
    call       the pipeline's call alone, warm: of ours text, denoising and decoding
    first      from the start of the command to the first network, of ours

Needs (PyPI): torch, diffusers, transformers.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

PROMPT = "a photo of a red fox, oil painting"
STEPS = 20


def theirs(model, threads, out):
    """Runs in a process of its own; prints the best call's seconds and the peak memory."""
    import torch
    from diffusers import DiffusionPipeline

    torch.set_num_threads(threads)
    pipe = DiffusionPipeline.from_pretrained(model)
    pipe.set_progress_bar_config(disable=True)

    def call():
        return pipe(PROMPT, num_inference_steps=STEPS, guidance_scale=7.5,
                    generator=torch.Generator("cpu").manual_seed(0)).images[0]

    with torch.no_grad():
        call().save(out)
    whole = time.perf_counter()
    best = float("inf")
    with torch.no_grad():
        for _ in range(3):
            begin = time.perf_counter()
            call()
            best = min(best, time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"call": best, "extra": time.perf_counter() - whole, "peak": peak}))


def run_theirs(model, threads, out):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, __file__, "--theirs", model, "--threads", str(threads),
                           "--out", out], check=True, capture_output=True, env=environment)
    seconds = time.perf_counter() - begin
    told = json.loads(done.stdout.splitlines()[-1])
    return {"process": seconds - told["extra"], "call": told["call"], "peak": told["peak"]}


def run_ours(program, model, threads, out):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    begin = time.perf_counter()
    done = subprocess.run([program, "sample", model, "-q", "--json", "-p", PROMPT, "-s", str(STEPS),
                           "-g", "7.5", "--rng", "torch", "--threads", str(threads), "-o", out],
                          check=True, capture_output=True, env=environment)
    seconds = time.perf_counter() - begin
    told = json.loads(done.stdout)
    part = told["seconds"]
    return {"process": seconds, "call": part["text"] + part["denoise"] + part["decode"],
            "first": part["first_kernel"], "peak": told["bytes"]["peak_resident"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("families", nargs="*", default=["sd1", "sd2", "sdxl"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as directory:
        for family in options.families:
            model = f"{directory}/{family}"
            subprocess.run([options.program, "demo-model", family, model, "--size", "small"],
                           check=True, stdout=subprocess.DEVNULL)
            ours, them = [], []
            for _ in range(options.rounds):
                them.append(run_theirs(model, options.threads, f"{directory}/theirs.png"))
                ours += [run_ours(options.program, model, options.threads, f"{directory}/ours.png")
                         for _ in range(3)]
            best = [{k: min(r[k] for r in rows) for k in rows[0]} for rows in (ours, them)]
            for what in ("process", "call"):
                a, b = best[0][what], best[1][what]
                print(f"bench_sample/{family}/{what}: ours {a:.3f} s, diffusers {b:.3f} s, "
                      f"ratio {b / a:.1f}")
            print(f"bench_sample/{family}/first: ours {1e3 * best[0]['first']:.1f} ms")
            print(f"bench_sample/{family}/memory: ours {best[0]['peak'] / 1e6:.0f} MB, diffusers "
                  f"{best[1]['peak'] / 1e6:.0f} MB, ratio {best[1]['peak'] / best[0]['peak']:.1f}",
                  flush=True)


if __name__ == "__main__":
    if "--theirs" in sys.argv:
        worker = argparse.ArgumentParser()
        worker.add_argument("--theirs")
        worker.add_argument("--threads", type=int)
        worker.add_argument("--out")
        arguments = worker.parse_args()
        theirs(arguments.theirs, arguments.threads, arguments.out)
    else:
        main()
