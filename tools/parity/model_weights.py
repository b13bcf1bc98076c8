"""Weights of whole models as functions of their names, and what a fixture keeps of a tensor.

Mirrored by tests/parity/model_parity.c. The rule keeps a signal's size through any depth: weights
are scaled by 1 / sqrt(fan in), what is added to a residual stream by a tenth of that, gains are
near 1, biases small, embeddings of size 1. measure() asserts that it does.
"""
import numpy as np
import torch

import inputs

RESIDUAL_OUTPUTS = ("out_proj.weight", "fc2.weight", "conv2.weight", "to_out.0.weight",
                    "attn.proj.weight")
EMBEDDINGS = ("pos_embed", "cls_token")  # timm's, beside what is called so
COMPACT_ENTRIES, COMPACT_PROJECTIONS = 64, 8


def our_layout(t):
    """OIHW weights and NCHW maps as the library keeps them: channels last."""
    return t.permute(0, 2, 3, 1) if t.dim() == 4 else t


def their_layout(a):
    t = torch.from_numpy(a)
    return t.permute(0, 3, 1, 2).contiguous() if t.dim() == 4 else t


def parameter(case, name, shape):
    """A parameter by its name, in our layout."""
    key = f"{case}/{name}"
    if name.endswith("bias"):
        return inputs.fill(key, shape, 0.1)
    if ("embedding" in name and "patch" not in name) or name.endswith(EMBEDDINGS):
        return inputs.fill(key, shape)
    if len(shape) == 1:
        return inputs.fill(key, shape, 0.1, 1.0)
    scale = float(np.prod(shape[1:])) ** -0.5
    return inputs.fill(key, shape, scale * (0.1 if name.endswith(RESIDUAL_OUTPUTS) else 1.0))


def fill(module, case, our_name=lambda name: name):
    with torch.no_grad():
        for name, p in module.named_parameters():
            values = parameter(case, our_name(name), tuple(our_layout(p).shape))
            p.copy_(their_layout(values))
    return module


def watch(module, kinds):
    """Asserts that what every layer of these kinds puts out has a size between 0.1 and 10."""

    def check(layer, _, out):
        out = out[0] if isinstance(out, tuple) else out
        size = float(out.detach().square().mean().sqrt())
        assert 0.1 < size < 10, (type(layer).__name__, size)

    for layer in module.modules():
        if isinstance(layer, kinds):
            layer.register_forward_hook(check)


def numpy(t):
    return our_layout(t.detach()).contiguous().numpy()


def add_full(fixture, key, values):
    """64 projections and the length."""
    projections, length = inputs.project(values)
    fixture.add(key, np.append(projections, length))


def add_compact(fixture, key, values):
    """8 projections, the length and 64 entries, evenly spaced: for full-size models."""
    projections, length = inputs.project(values)
    flat = np.asarray(values, np.float64).reshape(-1)
    entries = flat[np.arange(COMPACT_ENTRIES) * flat.size // COMPACT_ENTRIES]
    fixture.add(key, np.concatenate([projections[:COMPACT_PROJECTIONS], [length], entries]))
