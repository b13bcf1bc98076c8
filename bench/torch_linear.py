#!/usr/bin/env python3
"""The linear layers of bench_gemm.c in PyTorch 2: output, gradient to the input, gradient to the
weight. PyTorch calls the faster of MKL and oneDNN, as it was built."""
import torch
import torch.nn.functional as F

from torch_lines import Lines

# rows, outputs, inputs
SHAPES = {
    "sd15": [
        (8192, 320, 320), (8192, 2560, 320), (8192, 320, 1280), (2048, 640, 640),
        (2048, 5120, 640), (2048, 640, 2560), (512, 1280, 1280), (512, 10240, 1280),
        (512, 1280, 5120), (128, 1280, 1280), (128, 10240, 1280), (154, 320, 768), (2, 1280, 1280),
    ],
    "sdxl": [
        (8192, 640, 640), (8192, 5120, 640), (8192, 640, 2560), (2048, 1280, 1280),
        (2048, 10240, 1280), (2048, 1280, 5120), (154, 640, 2048), (154, 1280, 2048),
        (2, 1280, 2816),
    ],
    "small": [
        (64, 64, 64), (256, 64, 64), (256, 512, 64), (256, 64, 512), (256, 128, 128),
        (1024, 64, 64), (1024, 1024, 128), (1024, 128, 512),
    ],
}


def main():
    lines = Lines(__doc__)
    for name, shapes in SHAPES.items():
        for rows, outputs, inputs in shapes:
            x = torch.randn(rows, inputs, requires_grad=True)
            w = torch.randn(outputs, inputs, requires_grad=True)
            lines.product(f"bench_gemm/{name}/{rows}x{outputs}x{inputs}", F.linear, x, w)


if __name__ == "__main__":
    main()
