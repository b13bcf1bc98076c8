#!/usr/bin/env python3
"""Fixtures of 20 optimiser steps by the real libraries: tests/fixtures/optimizers/optimizers.

    python3 tools/parity/optimizers.py

AdamW is torch.optim.AdamW, the 8-bit one bitsandbytes' AdamW8bit, Adafactor transformers'; all on
the CPU in f32. Parameters and gradients are functions of names (inputs.py); convolution weights
go in as OIHW, as a checkpoint has them, and come out in the library's order. For each parameter,
and for each state tensor at the end, the fixture holds 64 projections and the length.

bitsandbytes rounds a moment to its code differently on its devices. Its CPU library first rounds
to a grid of 65536 points; `adamw_8bit_grid` is AdamW8bit as it runs here. Its other code takes
the nearest level, as its CUDA kernels do; `adamw_8bit` is AdamW8bit with that code of its own,
bitsandbytes::quantize_blockwise as registered for all devices, in place of the CPU library's.
"""
import os

import numpy as np
import torch
import bitsandbytes
import bitsandbytes.backends.cpu.ops as bitsandbytes_cpu
import transformers
from transformers.optimization import Adafactor

import inputs

SHAPES = {
    "conv": (24, 3, 3, 20),  # more than 4096 elements, no whole number of blocks
    "conv_small": (6, 3, 5, 7),
    "pointwise": (80, 1, 1, 60),
    "linear": (96, 80),
    "linear_small": (32, 48),
    "bias": (37,),
    "vector": (5003,),
}
STEPS = 20


def rate(step):
    """The learning rate of a step, 1 .. STEPS, as f32."""
    return float(np.float32(0.01 * (1 - step / 40)))


def clip(step):
    """What the gradient is multiplied with; a power of 2, so that nothing is rounded."""
    return 0.5 if step % 3 == 0 else 1.0


def gradient(name, step):
    """Noise of this step times the square of a size that stays; one element in 11 is zero."""
    shape = SHAPES[name]
    size = inputs.fill(f"optimizers/{name}/size", shape, 0.1)
    noise = inputs.fill(f"optimizers/{name}/{step}", shape)
    g = size * size * noise
    flat = g.reshape(-1)
    flat[np.arange(flat.size) % 11 == step % 11] = 0
    return g


def oihw(a):
    t = torch.from_numpy(a)
    return t.permute(0, 3, 1, 2).contiguous() if t.dim() == 4 else t.clone()


def ours(t):
    return (t.permute(0, 2, 3, 1) if t.dim() == 4 else t).contiguous().numpy()


def nearest(A, code, absmax_out, out, blocksize):
    everywhere = torch._C.DispatchKeySet(torch._C.DispatchKey.CompositeExplicitAutograd)
    quantize = torch.ops.bitsandbytes.quantize_blockwise.default
    codes, absmax = quantize.redispatch(everywhere, A, code, blocksize)
    out.copy_(codes)
    absmax_out.copy_(absmax)


ADAMW = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}
PLAIN = {"lr": rate(1), "scale_parameter": False, "relative_step": False}


def configurations():
    """name, optimiser, whether the learning rate is ours to set"""
    yield "adamw", lambda p: torch.optim.AdamW(p, **ADAMW, foreach=False), True
    yield "adamw_other", lambda p: torch.optim.AdamW(
        p, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.0, foreach=False
    ), True
    yield "adamw_8bit_grid", lambda p: bitsandbytes.optim.AdamW8bit(p, **ADAMW), True
    yield "adamw_8bit", lambda p: bitsandbytes.optim.AdamW8bit(p, **ADAMW), True
    yield "adafactor", lambda p: Adafactor(p, **PLAIN, weight_decay=0.01), True
    yield "adafactor_relative", Adafactor, False
    yield "adafactor_warmup", lambda p: Adafactor(
        p, warmup_init=True, clip_threshold=0.5, decay_rate=-0.7, eps=(1e-12, 1e-2)
    ), False


# Our name of a state tensor and its name in each library.
STATES = {
    "m": ("exp_avg", "state1"),
    "v": ("exp_avg_sq", "state2"),
    "m_absmax": ("absmax1",),
    "v_absmax": ("absmax2",),
    "row": ("exp_avg_sq_row",),
    "column": ("exp_avg_sq_col",),
}


def states(config, state):
    """Our name and the values of each state tensor; Adafactor's full second moment is a row."""
    for name, theirs in STATES.items():
        for key in theirs:
            if key in state:
                name = "row" if config.startswith("adafactor") and key == "exp_avg_sq" else name
                values = state[key]
                # moments lie as the parameter; factors and maxima as they are in the checkpoint
                yield name, ours(values) if name in ("m", "v") else values.numpy()


def add(out, key, values):
    projections, length = inputs.project(values)
    out.add(key, np.append(projections, length))


def run(out, config, make, rate_is_ours):
    params = {n: torch.nn.Parameter(oihw(inputs.fill(f"optimizers/{n}", s, 0.05)))
              for n, s in SHAPES.items()}
    optimizer = make(list(params.values()))
    for step in range(1, STEPS + 1):
        for group in optimizer.param_groups:
            if rate_is_ours:
                group["lr"] = rate(step)
        for name, p in params.items():
            p.grad = oihw(gradient(name, step)) * clip(step)
        optimizer.step()
        if step in (1, STEPS):
            for name, p in params.items():
                add(out, f"{config}/{name}/param/{step}", ours(p.detach()))
    for name, p in params.items():
        for state, values in states(config, optimizer.state[p]):
            add(out, f"{config}/{name}/{state}/{STEPS}", values)


def main():
    origin = [
        f"tools/parity/optimizers.py, PyTorch {torch.__version__}, bitsandbytes "
        f"{bitsandbytes.__version__}, transformers {transformers.__version__}",
        "adamw_8bit: bitsandbytes' AdamW8bit with its own rounding for all devices",
    ]
    out = inputs.Fixture(os.path.join(inputs.FIXTURES, "optimizers", "optimizers"), origin)
    library = bitsandbytes_cpu._quant_blockwise_fp32_direct
    for config, make, rate_is_ours in configurations():
        is_nearest = config == "adamw_8bit"
        bitsandbytes_cpu._quant_blockwise_fp32_direct = nearest if is_nearest else library
        run(out, config, make, rate_is_ours)
    out.write()


if __name__ == "__main__":
    main()
