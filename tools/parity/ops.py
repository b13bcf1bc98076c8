#!/usr/bin/env python3
"""Fixtures of PyTorch's value and every gradient for each operator: tests/fixtures/ops/.

    python3 tools/parity/ops.py [NAME ...]

Each case is a function of named inputs (inputs.py). PyTorch computes it in double, so that a
fixture differs from the truth by one rounding to f32; the cotangent is the input called "dy".
tests/parity/test_parity_ops.c builds the same cases from the graph's builders.
"""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.embeddings import get_timestep_embedding

import inputs

CASES = {}


def case(name):
    """Registers `name`, "operator/case"."""

    def register(function):
        assert name not in CASES
        CASES[name] = function
        return function

    return register


class Inputs:
    """The named inputs of one case; those of floats get a gradient."""

    def __init__(self, name):
        self.name, self.leaves = name, {}

    def __call__(self, name, *shape, scale=1.0, shift=0.0):
        values = inputs.fill(f"{self.name}/{name}", shape, scale, shift).astype(np.float64)
        self.leaves[name] = torch.tensor(values, requires_grad=True)
        return self.leaves[name]

    def index(self, name, *shape, limit):
        return torch.tensor(inputs.fill_index(f"{self.name}/{name}", shape, limit)).long()


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


# ---- products and convolution ----

ACTIVATIONS = {
    "none": lambda x: x,
    "silu": F.silu,
    "gelu": F.gelu,
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
}

for activation, function in ACTIVATIONS.items():

    @case(f"linear/{activation}")
    def _(i, function=function):
        return function(F.linear(i("x", 3, 11, 40), i("w", 24, 40, scale=0.2), i("b", 24)))


@case("linear/no_bias")
def _(i):
    return F.linear(i("x", 17, 33), i("w", 9, 33, scale=0.2))


for trans_a in (0, 1):
    for trans_b in (0, 1):

        @case(f"matmul/{'nt'[trans_a]}{'nt'[trans_b]}")
        def _(i, trans_a=trans_a, trans_b=trans_b):
            a = i("a", 2, *((9, 7) if trans_a else (7, 9)))
            b = i("b", 2, *((13, 9) if trans_b else (9, 13)))
            return (a.mT if trans_a else a) @ (b.mT if trans_b else b)


@case("matmul/2d")
def _(i):
    return i("a", 19, 8) @ i("b", 8, 5)


def conv(i, h, w, ci, co, kernel, stride=1, pad=(0, 0, 0, 0), bias=True, n=2):
    """pad: top, left, bottom, right."""
    x = nchw(i("x", n, h, w, ci))
    weight = i("w", co, kernel, kernel, ci, scale=(kernel * kernel * ci) ** -0.5)
    b = i("b", co) if bias else None
    x = F.pad(x, (pad[1], pad[3], pad[0], pad[2]))
    return nhwc(F.conv2d(x, weight.permute(0, 3, 1, 2), b, stride))


CONVOLUTIONS = {
    "3x3": dict(h=9, w=8, ci=12, co=10, kernel=3, pad=(1, 1, 1, 1)),
    "3x3_wide": dict(h=8, w=8, ci=32, co=32, kernel=3, pad=(1, 1, 1, 1), n=1),
    "3x3_stride_2": dict(h=9, w=10, ci=8, co=6, kernel=3, stride=2, pad=(1, 1, 1, 1)),
    "3x3_stride_2_asymmetric": dict(h=8, w=8, ci=8, co=6, kernel=3, stride=2, pad=(0, 0, 1, 1)),
    "1x1": dict(h=5, w=7, ci=16, co=9, kernel=1),
    "1x1_no_bias": dict(h=5, w=7, ci=16, co=9, kernel=1, bias=False),
    "4x4_stride_4": dict(h=8, w=12, ci=3, co=20, kernel=4, stride=4, bias=False),
    "few_in": dict(h=8, w=8, ci=4, co=24, kernel=3, pad=(1, 1, 1, 1)),
    "few_out": dict(h=8, w=8, ci=24, co=4, kernel=3, pad=(1, 1, 1, 1)),
}
for shape_name, arguments in CONVOLUTIONS.items():

    @case(f"conv2d/{shape_name}")
    def _(i, arguments=arguments):
        return conv(i, **arguments)


# ---- normalisation ----


def group_norm(i, groups, eps, *shape):
    x = i("x", *shape)
    flat = x.reshape(shape[0], -1, shape[-1]).transpose(1, 2)
    gamma, beta = i("gamma", shape[-1], shift=1.0), i("beta", shape[-1])
    return F.group_norm(flat, groups, gamma, beta, eps).transpose(1, 2).reshape(shape)


@case("group_norm/map")
def _(i):
    return group_norm(i, 4, 1e-5, 2, 5, 6, 20)


@case("group_norm/tokens")
def _(i):
    return group_norm(i, 3, 1e-6, 2, 11, 21)


@case("group_norm/silu")
def _(i):
    return F.silu(group_norm(i, 8, 1e-5, 2, 4, 4, 32))


@case("layer_norm/affine")
def _(i):
    return F.layer_norm(i("x", 2, 7, 45), (45,), i("gamma", 45, shift=1.0), i("beta", 45), 1e-5)


@case("layer_norm/plain")
def _(i):
    return F.layer_norm(i("x", 9, 32), (32,), eps=1e-6)


@case("l2_normalize/rows")
def _(i):
    return F.normalize(i("x", 6, 37), dim=-1, eps=1e-12)


# ---- attention and softmax ----


def attention(i, n, tq, tk, heads, size, causal=False, lengths=None, scale=None):
    q, k, v = i("q", n, tq, heads * size), i("k", n, tk, heads * size), i("v", n, tk, heads * size)
    split = lambda z: z.reshape(n, -1, heads, size).transpose(1, 2)
    mask = torch.ones(n, 1, tq, tk, dtype=torch.bool)
    if causal:
        mask = mask & torch.ones(tq, tk, dtype=torch.bool).tril()
    if lengths is not None:
        mask = mask & (torch.arange(tk)[None, :] < lengths[:, None])[:, None, None, :]
    y = F.scaled_dot_product_attention(split(q), split(k), split(v), attn_mask=mask, scale=scale)
    return y.transpose(1, 2).reshape(n, tq, heads * size)


@case("attention/self")
def _(i):
    return attention(i, 2, 23, 23, 2, 20)


@case("attention/cross")
def _(i):
    return attention(i, 2, 18, 13, 3, 8)


@case("attention/causal")
def _(i):
    return attention(i, 1, 21, 21, 2, 16, causal=True)


@case("attention/lengths")
def _(i):
    return attention(i, 3, 9, 14, 2, 12, lengths=i.index("lengths", 3, limit=14) + 1)


@case("attention/scale")
def _(i):
    return attention(i, 1, 8, 8, 1, 24, scale=0.5)


@case("softmax/rows")
def _(i):
    return F.softmax(i("x", 2, 6, 35, scale=3.0), -1)


# ---- activations ----

UNARY = {
    "square": torch.square,
    "silu": F.silu,
    "gelu": F.gelu,
    "quick_gelu": ACTIVATIONS["quick_gelu"],
    "tanh": torch.tanh,
    "exp": torch.exp,
    "sigmoid": torch.sigmoid,
    "log_sigmoid": F.logsigmoid,
    "clamp": lambda x: x.clamp(-1.25, 0.75),
}
for unary_name, unary in UNARY.items():

    @case(f"{unary_name}/rows")
    def _(i, unary=unary):
        return unary(i("x", 5, 61, scale=2.0))


@case("geglu/rows")
def _(i):
    value, gate = i("x", 3, 5, 54).chunk(2, -1)
    return value * F.gelu(gate)


# ---- losses and sums ----


@case("cross_entropy/rows")
def _(i):
    logits = i("logits", 7, 19, scale=2.0)
    return F.cross_entropy(logits, i.index("labels", 7, limit=19), reduction="none")


# ---- arithmetic ----

SPREADS = {
    "same": (2, 3, 4, 10),
    "scalar": (1,),
    "channel": (10,),
    "sample_channel": (2, 10),
    "sample": (2, 1, 1, 1),
    "position": (1, 3, 4, 10),
    "row": (2, 3, 4, 1),
}
BINARY = {"add": torch.add, "sub": torch.sub, "mul": torch.mul}
for binary_name, binary in BINARY.items():
    for spread_name, spread in SPREADS.items():

        @case(f"{binary_name}/{spread_name}")
        def _(i, binary=binary, spread=spread):
            a, b = i("a", 2, 3, 4, 10), i("b", *spread)
            return binary(a, b[:, None, None, :] if len(spread) == 2 else b)


@case("scale/rows")
def _(i):
    return i("x", 5, 13) * -1.75


@case("per_sample_scale/map")
def _(i):
    return i("x", 3, 4, 2, 9) * i("s", 3)[:, None, None, None]


@case("cast/bf16")
def _(i):
    x = i("x", 6, 23)  # PyTorch would round the cotangent too; ours stays in f32
    return x + (x.float().bfloat16().double() - x).detach()


# ---- layout and sampling ----


@case("concat_channels/three")
def _(i):
    return torch.cat([i("a", 2, 3, 8), i("b", 2, 3, 5), i("c", 2, 3, 1)], -1)


@case("concat_batch/two")
def _(i):
    return torch.cat([i("a", 2, 3, 7), i("b", 1, 3, 7)], 0)


@case("split_channels/product")
def _(i):
    a, b, c = i("x", 2, 3, 24).split([8, 8, 8], -1)
    return a * b + c


@case("split_batch/product")
def _(i):
    a, b = i("x", 4, 3, 7).split([2, 2], 0)
    return a * b


@case("slice_channels/middle")
def _(i):
    return i("x", 2, 5, 17)[..., 4:13]


@case("slice_batch/end")
def _(i):
    return i("x", 5, 3, 4)[2:]


@case("reshape/view")
def _(i):
    return i("x", 2, 12, 10).reshape(2, 3, 4, 10)


@case("reshape/slice")
def _(i):
    return i("x", 2, 12, 10)[..., 2:8].reshape(2, 72)


@case("transpose/0213")
def _(i):
    return i("x", 2, 5, 3, 7).permute(0, 2, 1, 3)


@case("transpose/0312")
def _(i):
    return i("x", 2, 5, 3, 7).permute(0, 3, 1, 2)


@case("upsample_nearest2x/map")
def _(i):
    return nhwc(F.interpolate(nchw(i("x", 2, 3, 5, 6)), scale_factor=2.0, mode="nearest"))


@case("upsample_bilinear2x/map")
def _(i):
    x = nchw(i("x", 2, 3, 5, 6))
    return nhwc(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False))


@case("avg_pool/2")
def _(i):
    return nhwc(F.avg_pool2d(nchw(i("x", 2, 6, 7, 5)), 2))


@case("avg_pool/3")
def _(i):
    return nhwc(F.avg_pool2d(nchw(i("x", 1, 9, 6, 5)), 3))


# ---- reductions, embedding ----

KEEPS = {
    "none": ((0, 1, 2, 3), (1,)),
    "sample": ((1, 2, 3), (2,)),
    "sample_channel": ((1, 2), (2, 7)),
    "channel": ((0, 1, 2), (7,)),
    "row": ((3,), (2, 3, 5)),
    "position": ((0,), (1, 3, 5, 7)),
}
for keep_name, (axes, kept_shape) in KEEPS.items():

    @case(f"reduce_sum/{keep_name}")
    def _(i, axes=axes, kept_shape=kept_shape):
        return i("x", 2, 3, 5, 7).sum(axes).reshape(kept_shape)

    @case(f"reduce_mean/{keep_name}")
    def _(i, axes=axes, kept_shape=kept_shape):
        return i("x", 2, 3, 5, 7).mean(axes).reshape(kept_shape)


for reduction in ("sum", "mean"):

    @case(f"squared_errors/{reduction}")
    def _(i, reduction=reduction):
        error = F.mse_loss(i("a", 3, 4, 5, 2), i("b", 3, 4, 5, 2), reduction="none")
        return getattr(error, reduction)((1, 2, 3))


@case("error_margins/mean")
def _(i):
    a, b, target = i("a", 3, 4, 5, 2), i("b", 3, 4, 5, 2), i("target", 3, 4, 5, 2)
    return ((a - target) ** 2 - (b - target) ** 2).mean((1, 2, 3))


@case("binary_cross_entropy/soft")
def _(i):
    targets = i("targets", 5, 13, scale=0.14, shift=0.5)
    return F.binary_cross_entropy_with_logits(i("logits", 5, 13, scale=4.0), targets, reduction="none")


@case("expm1_ratio/rows")
def _(i):
    x = i("x", 5, 61, scale=2.0)
    return x / torch.expm1(x) - 1


@case("embedding/ids")
def _(i):
    return F.embedding(i.index("ids", 2, 9, limit=11), i("table", 11, 14))


@case("gather_rows/rows")
def _(i):
    x = i("x", 3, 6, 10)
    return x[torch.arange(3), i.index("index", 3, limit=6)]


@case("timestep_embedding/sd")
def _(i):
    t = i("t", 5, scale=150.0, shift=500.0).detach()
    i.leaves.clear()  # no gradient
    return get_timestep_embedding(t, 320, flip_sin_to_cos=True, downscale_freq_shift=0)


@case("timestep_embedding/odd")
def _(i):
    t = i("t", 3, scale=0.3, shift=1.0).detach()
    i.leaves.clear()
    return get_timestep_embedding(t, 34, downscale_freq_shift=1, scale=100, max_period=5000)


def fixture_of(operator):
    names = [name for name in CASES if name.split("/")[0] == operator]
    out = inputs.Fixture(
        os.path.join(inputs.FIXTURES, "ops", operator),
        [f"tools/parity/ops.py {operator}, PyTorch {torch.__version__} in double"],
    )
    for name in names:
        given = Inputs(name)
        y = CASES[name](given)
        dy = inputs.fill(f"{name}/dy", tuple(y.shape)).astype(np.float64)
        out.add(f"{name}/y", y.detach().numpy())
        if not given.leaves:
            continue
        y.backward(torch.tensor(dy))
        for leaf_name, leaf in given.leaves.items():
            out.add(f"{name}/d{leaf_name}", leaf.grad.numpy())
    out.write()
    return sum(values.size for _, values in out.tensors)


def main():
    torch.set_num_threads(1)
    operators = list(dict.fromkeys(name.split("/")[0] for name in CASES))
    total = 0
    for operator in sys.argv[1:] or operators:
        count = fixture_of(operator)
        total += count
        print(f"{operator}: {4 * count} bytes")
    print(f"{4 * total} bytes in all")


if __name__ == "__main__":
    main()
