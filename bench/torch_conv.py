#!/usr/bin/env python3
"""The work of bench_conv.c in PyTorch 2 (oneDNN): output, gradient to the input, gradient to the
weight, each the better of NCHW and channels_last."""
import torch
import torch.nn.functional as F

from torch_lines import Lines

# n, input and output channels, size, kernel, stride
SHAPES = {
    "sd15": [
        (2, 320, 320, 64, 3, 1), (2, 960, 320, 64, 3, 1), (2, 320, 640, 32, 3, 1),
        (2, 640, 640, 32, 3, 1), (2, 1280, 640, 32, 3, 1), (2, 1280, 1280, 16, 3, 1),
        (2, 2560, 1280, 16, 3, 1), (2, 1280, 1280, 8, 3, 1), (2, 2560, 1280, 8, 3, 1),
        (2, 320, 320, 64, 3, 2), (2, 640, 640, 32, 3, 2), (2, 1280, 1280, 16, 3, 2),
        (2, 4, 320, 64, 3, 1), (2, 320, 4, 64, 3, 1), (2, 640, 640, 32, 1, 1),
    ],
    "sdxl": [
        (2, 320, 320, 128, 3, 1), (2, 640, 320, 128, 3, 1), (2, 960, 320, 128, 3, 1),
        (2, 640, 640, 64, 3, 1), (2, 960, 640, 64, 3, 1), (2, 1280, 640, 64, 3, 1),
        (2, 1920, 640, 64, 3, 1), (2, 1280, 1280, 32, 3, 1), (2, 1920, 1280, 32, 3, 1),
        (2, 2560, 1280, 32, 3, 1), (2, 640, 640, 128, 3, 1), (2, 1280, 1280, 64, 3, 1),
        (2, 320, 320, 128, 3, 2), (2, 640, 640, 64, 3, 2), (2, 4, 320, 128, 3, 1),
        (2, 320, 4, 128, 3, 1), (2, 960, 320, 128, 1, 1),
    ],
    "small": [
        (16, 32, 32, 32, 3, 1), (16, 64, 64, 16, 3, 1), (16, 128, 128, 8, 3, 1),
        (16, 64, 64, 32, 3, 1), (16, 128, 128, 16, 3, 1),
    ],
}


def main():
    lines = Lines(__doc__)
    for name, shapes in SHAPES.items():
        for n, ci, co, size, kernel, stride in shapes:
            line = f"bench_conv/{name}/n{n}_{ci}_{co}_{size}_k{kernel}_s{stride}"
            for layout in (torch.contiguous_format, torch.channels_last):
                x = torch.randn(n, ci, size, size).to(memory_format=layout).requires_grad_()
                w = torch.randn(co, ci, kernel, kernel).to(memory_format=layout).requires_grad_()
                convolve = lambda x, w: F.conv2d(x, w, stride=stride, padding=kernel // 2)
                lines.product(line, convolve, x, w)


if __name__ == "__main__":
    main()
