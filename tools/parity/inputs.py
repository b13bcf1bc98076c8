"""Inputs of the parity tests and the writer of their fixtures.

Every input is a function of its name and index (tests/parity/parity_inputs.h, which this mirrors),
so that a fixture stores results only. Layouts are the library's: channels last, convolution
weights [co, ky, kx, ci].
"""
import os

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FIXTURES = os.path.join(ROOT, "tests", "fixtures")

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def key(name):
    """FNV-1a of the name."""
    h = 14695981039346656037
    for byte in name.encode():
        h = ((h ^ byte) * 1099511628211) & 0xFFFFFFFFFFFFFFFF
    return np.uint64(h)


def bits(name, count, first=0):
    """splitmix64's output for the indices first .. first + count - 1."""
    with np.errstate(over="ignore"):
        z = key(name) + (np.arange(first, first + count, dtype=np.uint64) + np.uint64(1)) * _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def fill(name, shape, scale=1.0, shift=0.0):
    """f32 values near a normal of this deviation and mean."""
    b = bits(name, int(np.prod(shape)))
    m = np.uint64(0xFFFF)
    total = (b & m) + ((b >> np.uint64(16)) & m) + ((b >> np.uint64(32)) & m) + (b >> np.uint64(48))
    bell = (total.astype(np.int64) - 131070).astype(np.float64) * 2.6429e-5
    return (shift + scale * bell).astype(np.float32).reshape(shape)


def fill_index(name, shape, limit):
    """i32 values in [0, limit)."""
    return (bits(name, int(np.prod(shape))) % np.uint64(limit)).astype(np.int32).reshape(shape)


def project(x):
    """The 64 signed sums of parity_inputs.h, and with them the length of x."""
    x = np.asarray(x, np.float64).reshape(-1)
    out = np.zeros(64)
    chunk = 1 << 18
    for begin in range(0, x.size, chunk):
        part = x[begin : begin + chunk]
        words = bits("projection", part.size, begin).view(np.uint8).reshape(-1, 8)
        signs = np.unpackbits(words, axis=1, bitorder="little").astype(np.float64) * 2 - 1
        out += part @ signs
    return out, float(np.sqrt(np.sum(x * x)))


class Fixture:
    """Collects tensors and writes NAME.txt and NAME.f32 (tests/parity/fixture.h)."""

    def __init__(self, path, origin):
        self.path, self.origin, self.tensors = path, origin, []

    def add(self, name, values):
        values = np.ascontiguousarray(np.asarray(values, np.float32).reshape(-1))
        assert np.all(np.isfinite(values)), name
        self.tensors.append((name, values))

    def write(self):
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with open(self.path + ".txt", "w") as index, open(self.path + ".f32", "wb") as data:
            index.write("bdpo fixture 1\n")
            for line in self.origin:
                index.write("# " + line + "\n")
            for name, values in self.tensors:
                index.write(f"{name} {values.size}\n")
                data.write(values.astype("<f4").tobytes())
