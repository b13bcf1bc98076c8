#!/usr/bin/env python3
"""The work of bench_attention.c in PyTorch 2's fused attention, the same shapes and threads."""
import torch
import torch.nn.functional as F

from torch_lines import Lines

SHAPES = {
    "sd15": [(2, 4096, 4096, 8, 40), (2, 1024, 1024, 8, 80), (2, 256, 256, 8, 160),
             (2, 64, 64, 8, 160), (2, 4096, 77, 8, 40), (2, 1024, 77, 8, 80),
             (2, 256, 77, 8, 160), (2, 64, 77, 8, 160)],
    "sdxl": [(2, 4096, 4096, 10, 64), (2, 1024, 1024, 20, 64), (2, 4096, 77, 10, 64),
             (2, 1024, 77, 20, 64)],
    "small": [(16, 256, 256, 4, 16), (16, 64, 64, 4, 32), (16, 256, 256, 4, 32),
              (16, 64, 64, 4, 16)],
}


def attend(q, k, v):
    y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return y.transpose(1, 2)


def main():
    lines = Lines(__doc__)
    for name, shapes in SHAPES.items():
        for n, tq, tk, heads, d in shapes:
            # [n, t, heads, d], as a model's projections give it
            q, k, v = (torch.randn(n, t, heads, d, requires_grad=True) for t in (tq, tk, tk))
            lines.pair(f"bench_attention/{name}/n{n}_{tq}x{tk}_h{heads}_d{d}", attend, (q, k, v))


if __name__ == "__main__":
    main()
