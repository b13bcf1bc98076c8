#!/usr/bin/env python3
"""Fixtures of the SD 1.5 blocks, made by diffusers' own modules: tests/fixtures/blocks.

    python3 tools/parity/blocks.py

ResnetBlock2D and Transformer2DModel at real widths, weights and inputs as functions of their
names (inputs.py), computed by PyTorch in double. For the output and the gradient of every
parameter and input the fixture holds 64 projections and the length (tests/parity/parity_inputs.h
tells what they prove). tests/parity/test_parity_blocks.c builds the same blocks.
"""
import os
import sys

import numpy as np
import torch
import diffusers
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel

import inputs

# kind, images, height = width, channels in, channels out
CASES = {
    "resnet_320_32": ("resnet", 2, 32, 320, 320),
    "resnet_320_640_16": ("resnet", 2, 16, 320, 640),
    "resnet_1280_8": ("resnet", 2, 8, 1280, 1280),
    "transformer_320_32": ("transformer", 1, 32, 320, 320),
    "transformer_1280_8": ("transformer", 2, 8, 1280, 1280),
}
TIME_WIDTH, HEADS, CONTEXT_TOKENS, CONTEXT_WIDTH = 1280, 8, 77, 768


def our_layout(t):
    """OIHW weights and NCHW maps as the library keeps them: channels last."""
    return t.permute(0, 2, 3, 1) if t.dim() == 4 else t


def their_layout(a):
    t = torch.from_numpy(a)
    return t.permute(0, 3, 1, 2).contiguous() if t.dim() == 4 else t


def parameter(case, name, shape):
    """A weight by its name, in our layout; linear and 1x1 weights keep the size of a signal."""
    if name.endswith("bias"):
        return inputs.fill(f"{case}/{name}", shape, 0.1)
    if len(shape) == 1:
        return inputs.fill(f"{case}/{name}", shape, 0.1, 1.0)
    return inputs.fill(f"{case}/{name}", shape, float(np.prod(shape[1:])) ** -0.5)


def module(case, dtype):
    kind, _, _, c_in, c_out = CASES[case] if case in CASES else LIVE[case]
    if kind == "resnet":
        m = ResnetBlock2D(
            in_channels=c_in, out_channels=c_out, temb_channels=TIME_WIDTH, groups=32, eps=1e-5
        )
    else:
        m = Transformer2DModel(
            num_attention_heads=HEADS,
            attention_head_dim=c_in // HEADS,
            in_channels=c_in,
            cross_attention_dim=CONTEXT_WIDTH,
            norm_num_groups=32,
        )
    m = m.to(dtype)
    with torch.no_grad():
        for name, p in m.named_parameters():
            p.copy_(their_layout(parameter(case, name, tuple(our_layout(p).shape))))
    return m


# Full size: tools/parity/live_blocks.py.
LIVE = {
    "resnet_320_64": ("resnet", 2, 64, 320, 320),
    "resnet_640_32": ("resnet", 2, 32, 640, 640),
    "resnet_1280_16": ("resnet", 2, 16, 1280, 1280),
    "transformer_320_64": ("transformer", 1, 64, 320, 320),
    "transformer_640_32": ("transformer", 2, 32, 640, 640),
    "transformer_1280_16": ("transformer", 2, 16, 1280, 1280),
}


def run(case, dtype=torch.float64):
    """Output and gradients by name, in our layout; cotangent and inputs from their names."""
    kind, n, size, c_in, c_out = CASES[case] if case in CASES else LIVE[case]
    given = lambda name, *shape: their_layout(inputs.fill(f"{case}/{name}", shape)).to(dtype)
    m = module(case, dtype)
    x = given("x", n, size, size, c_in).requires_grad_()
    leaves = {"x": x}
    if kind == "resnet":
        leaves["temb"] = given("temb", n, TIME_WIDTH).requires_grad_()
        y = m(x, leaves["temb"])
    else:
        leaves["context"] = given("context", n, CONTEXT_TOKENS, CONTEXT_WIDTH).requires_grad_()
        y = m(x, encoder_hidden_states=leaves["context"]).sample
    y.backward(given("dy", n, size, size, c_out))
    results = {"y": our_layout(y.detach())}
    for name, leaf in list(leaves.items()) + list(m.named_parameters()):
        results["d" + name] = our_layout(leaf.grad)
    return {name: t.contiguous().numpy() for name, t in results.items()}


def main():
    out = inputs.Fixture(
        os.path.join(inputs.FIXTURES, "blocks", "blocks"),
        [
            f"tools/parity/blocks.py, diffusers {diffusers.__version__}, "
            f"PyTorch {torch.__version__} in double",
            "of each tensor: 64 projections, then its length",
        ],
    )
    for case in sys.argv[1:] or CASES:
        for name, values in run(case).items():
            projections, length = inputs.project(values)
            out.add(f"{case}/{name}", np.append(projections, length))
        print(case, flush=True)
    out.write()


if __name__ == "__main__":
    main()
