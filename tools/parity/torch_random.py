#!/usr/bin/env python3
"""Writes tests/fixtures/torch_random.txt: what PyTorch's CPU generator gives.

    python tools/parity/torch_random.py > tests/fixtures/torch_random.txt

Format, line by line:
    seed S                          a generator seeded with S; the calls below it follow each other
    OP COUNT HASH WORD WORD ...     what a call gave: OP is rand, randn or randint:LOW:HIGH
HASH is FNV-1a (64 bits) over the 32-bit words of all values, little end first; the words of up to
32 values follow in hexadecimal. randint's values are hashed and written as their low 32 bits.
"""
import sys

import numpy as np
import torch

SIZES = (1, 2, 7, 15, 16, 17, 31, 32, 100, 1000, 4096, 16384 + 5)
SEEDS = (0, 1, 42, 2**32 + 1, 2**64 - 1, 1234567890123)
MIXED = (("randn", 7), ("randn", 16), ("randn", 1), ("rand", 3), ("randn", 3), ("randn", 20),
         ("randint:0:1000", 5), ("randn", 1), ("rand", 1000), ("randn", 15), ("randn", 4096),
         ("randint:-5:3000000000", 5), ("randn", 2), ("randn", 33), ("randn", 1))


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def call(generator, op, count):
    if op == "rand":
        return torch.rand(count, generator=generator).numpy().view(np.uint32)
    if op == "randn":
        return torch.randn(count, generator=generator).numpy().view(np.uint32)
    low, high = (int(x) for x in op.split(":")[1:])
    values = torch.randint(low, high, (count,), generator=generator).numpy()
    return (values & 0xFFFFFFFF).astype(np.uint32)


def write_call(generator, op, count):
    words = call(generator, op, count)
    shown = words if count <= 32 else []
    print(op, count, "%016x" % fnv1a(words.tobytes()), *("%08x" % w for w in shown))


def manual(seed):
    return torch.Generator().manual_seed(seed if seed < 2**63 else seed - 2**64)


def main():
    print("# torch", torch.__version__, "cpu capability", torch.backends.cpu.get_cpu_capability())
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        sys.exit("this machine runs PyTorch without AVX2: randn would be that of another path")
    for seed in SEEDS:
        for size in SIZES:
            print("seed", seed)
            write_call(manual(seed), "randn", size)
        print("seed", seed)
        generator = manual(seed)
        write_call(generator, "rand", 32)
        print("seed", seed)
        generator = manual(seed)
        for op, count in MIXED:
            write_call(generator, op, count)


if __name__ == "__main__":
    main()
