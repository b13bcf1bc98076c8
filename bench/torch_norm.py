#!/usr/bin/env python3
"""The work of bench_norm.c in PyTorch 2: the same shapes and threads, the better of NCHW and
channels_last for the group norms, tokens for the rest."""
import torch
import torch.nn.functional as F
from torch import nn

from torch_lines import Lines

SHAPES = [(2, 64, 320), (2, 32, 640), (2, 16, 1280), (2, 8, 1280), (16, 16, 64), (16, 8, 128)]


class NormSilu(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = nn.GroupNorm(32, c)

    def forward(self, x):
        return F.silu(self.norm(x))


def geglu(x):
    value, gate = x.chunk(2, -1)
    return value * F.gelu(gate)


def main():
    lines = Lines(__doc__)
    for n, size, c in SHAPES:
        for layout in (torch.contiguous_format, torch.channels_last):
            x = torch.randn(n, c, size, size).to(memory_format=layout).requires_grad_()
            lines.pair(f"bench_norm/group_norm/n{n}_{size}_{c}", nn.GroupNorm(32, c), (x,))
            lines.pair(f"bench_norm/group_norm_silu/n{n}_{size}_{c}", NormSilu(c), (x,))
        x = torch.randn(n, size * size, c, requires_grad=True)
        lines.pair(f"bench_norm/layer_norm/n{n}_{size}_{c}", nn.LayerNorm(c), (x,))
        lines.pair(f"bench_norm/silu/n{n}_{size}_{c}", F.silu, (x,))
        x = torch.randn(n, size * size, 8 * c, requires_grad=True)
        lines.pair(f"bench_norm/geglu/n{n}_{size}_{8 * c}", geglu, (x,))


if __name__ == "__main__":
    main()
