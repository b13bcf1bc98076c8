#!/usr/bin/env python3
"""The work of bench_norm.c in PyTorch 2: the same shapes and threads, the better of NCHW and
channels_last for the group norms, tokens for the rest."""
import torch
import torch.nn.functional as F
from torch import nn

from torch_lines import Lines

SHAPES = [("sd15", 2, 64, 320), ("sd15", 2, 32, 640), ("sd15", 2, 16, 1280), ("sd15", 2, 8, 1280),
          ("sdxl", 2, 128, 320), ("sdxl", 2, 64, 640), ("sdxl", 2, 32, 1280),
          ("small", 16, 16, 64), ("small", 16, 8, 128)]


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
    for set_name, n, size, c in SHAPES:
        shape = f"{set_name}_n{n}_{size}_{c}"
        for layout in (torch.contiguous_format, torch.channels_last):
            x = torch.randn(n, c, size, size).to(memory_format=layout).requires_grad_()
            lines.pair(f"bench_norm/group_norm/{shape}", nn.GroupNorm(32, c), (x,))
            lines.pair(f"bench_norm/group_norm_silu/{shape}", NormSilu(c), (x,))
        x = torch.randn(n, size * size, c, requires_grad=True)
        lines.pair(f"bench_norm/layer_norm/{shape}", nn.LayerNorm(c), (x,))
        lines.pair(f"bench_norm/silu/{shape}", F.silu, (x,))
        x = torch.randn(n, size * size, 8 * c, requires_grad=True)
        lines.pair(f"bench_norm/geglu/{set_name}_n{n}_{size}_{8 * c}", geglu, (x,))


if __name__ == "__main__":
    main()
