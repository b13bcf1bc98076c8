#!/usr/bin/env python3
"""Writes tests/fixtures/formats/: files of the real libraries, and what they hold.

    python tools/parity/formats.py                    writes the fixtures
    python tools/parity/formats.py check FILE...      reads files that we wrote, prints what is in them

Made with torch 2.15.0, safetensors 0.8.0. For FILE there is FILE.txt, line by line:
    tensor NAME DTYPE SHAPE HASH    SHAPE "2,3" or "-" for a scalar; HASH is FNV-1a (64 bits) over
                                    the dense bytes in the file's dtype
    f32 NAME HASH                   the same tensor converted to f32
    value NAME KIND TEXT            what a PyTorch file holds beside tensors
Names are written as JSON strings. The legacy files hold addresses as keys, so their bytes, not their
content, differ from run to run.
"""
import argparse
import collections
import json
import os
import sys
import types

import numpy as np
import safetensors.torch
import torch

OUT = os.path.join(os.path.dirname(__file__), "../../tests/fixtures/formats")
DTYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
          torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
          torch.uint8: "U8", torch.bool: "BOOL", torch.uint16: "U16", torch.uint32: "U32",
          torch.uint64: "U64", torch.float8_e4m3fn: "F8_E4M3", torch.complex64: "C64"}
UNUSABLE = (torch.float8_e4m3fn, torch.complex64)


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return "%016x" % value


def dense_bytes(tensor):
    return bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())


def as_f32(tensor):
    if tensor.dtype in (torch.uint16, torch.uint32, torch.uint64):
        return dense_bytes(torch.from_numpy(tensor.numpy().astype(np.float32)))
    return dense_bytes(tensor.to(torch.float32))


def flat(value, name=""):
    """(name, leaf) of nested containers, as bdpo names them."""
    if isinstance(value, (dict, list, tuple)) and not isinstance(value, torch.Size):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if not isinstance(key, (str, int)):
                continue  # a class, say: what it leads to is not listed
            yield from flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def describe(root):
    for name, leaf in flat(root):
        quoted = json.dumps(name)
        if isinstance(leaf, torch.Tensor):
            shape = ",".join(map(str, leaf.shape)) or "-"
            yield f"tensor {quoted} {DTYPES[leaf.dtype]} {shape} {fnv1a(dense_bytes(leaf))}"
            if leaf.dtype not in UNUSABLE:
                yield f"f32 {quoted} {fnv1a(as_f32(leaf))}"
        elif type(leaf) in (bool, int, float, str):  # numpy's float64 is a float too
            yield f"value {quoted} {type(leaf).__name__} {json.dumps(leaf)}"


def write_description(name, root):
    with open(os.path.join(OUT, name + ".txt"), "w") as file:
        file.write("".join(line + "\n" for line in describe(root)))


def every_dtype():
    base = torch.arange(-4, 8).reshape(3, 4)
    out = collections.OrderedDict()
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        out[f"float.{dtype}"[6:]] = (base.double() / 3 * 1.0000001).to(dtype)
    for dtype in (torch.int64, torch.int32, torch.int16, torch.int8):
        out[f"{dtype}"[6:]] = (base * 9).to(dtype)
    out["uint8"] = (base + 200).to(torch.uint8)
    out["bool"] = base % 3 == 0
    out["uint16"] = (base + 60000).to(torch.uint16)
    out["uint32"] = (base + 4000000000).to(torch.uint32)
    out["uint64"] = (base + 2**40).to(torch.uint64)
    out["large"] = torch.tensor([2**53 + 1, -(2**62) - 1, 16777217])
    out["specials.half"] = torch.tensor([float("inf"), -0.0, 6e-8, 65504.0], dtype=torch.float16)
    out["specials.f64"] = torch.tensor([1e300, -1e-300, 1 + 2**-24, 1 + 3 * 2**-24]).double()
    out["scalar"] = torch.tensor(0.07)
    out["empty"] = torch.zeros(0, 4)
    return out


def views():
    base = torch.arange(60, dtype=torch.float32)
    half = torch.arange(24).to(torch.float16).reshape(2, 3, 4)
    return collections.OrderedDict([
        ("base", base), ("offset", base[7:19]), ("transposed", base[:12].reshape(3, 4).t()),
        ("strided", base[::7]), ("block", base.reshape(5, 12)[1:4, 2:9:3]),
        ("expanded", base[3:4].expand(4)), ("expanded2", base[2:5].unsqueeze(1).expand(3, 2)),
        ("permuted", half.permute(2, 0, 1)), ("channels_last", torch.arange(48).float()
            .reshape(1, 3, 4, 4).contiguous(memory_format=torch.channels_last)),
        ("odd_one", base[5:6].as_strided((1, 3), (999, 2))), ("scalar", base[11]),
        ("parameter", torch.nn.Parameter(base[20:24].clone())), ("empty", base[:0].reshape(0, 3)),
    ])


def checkpoint():
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    for i, tensor in enumerate(module.state_dict().values()):
        tensor.copy_((torch.arange(tensor.numel()).reshape(tensor.shape) + i) % 7)
    return {"state_dict": module.state_dict(), "global_step": 470000, "epoch": 12, "lr": 1e-4,
            "done": False, "name": "bär", "big": 2**40, "minus": -129, "sizes": torch.Size([3, 4]),
            "groups": [{"lr": 0.5, "params": [0, 1]}, ("a", None)], 7: torch.ones(2),
            "tied": module.state_dict()["0.weight"], "words": {"x"}, "dtype": torch.float16,
            "raw": b"\x00\xffab", "device": torch.device("cpu")}


def checkpoint_leaves():
    out = checkpoint()
    out["sizes"] = tuple(out["sizes"])
    return out


def lightning_checkpoint():
    """As SD 1.x .ckpt files: a callback's class for a key, scalars of numpy, Namespace."""
    package = "pytorch_lightning.callbacks.model_checkpoint"
    for i in range(package.count(".") + 1):
        name = ".".join(package.split(".")[:i + 1])
        sys.modules[name] = types.ModuleType(name)
    callback = type("ModelCheckpoint", (), {"__module__": package})
    sys.modules[package].ModelCheckpoint = callback
    return {"epoch": 3, "state_dict": {"model.w": torch.arange(6.0).reshape(2, 3)},
            "callbacks": {callback: {"monitor": "val/loss", "best": np.float64(0.25)}},
            "loops": {"score": np.float32(0.5), "state": callback()},
            "hyper_parameters": argparse.Namespace(lr=1e-4)}


def write_torch():
    small = collections.OrderedDict((k, v) for k, v in every_dtype().items()
                                    if v.dtype not in (torch.uint16, torch.uint32, torch.uint64))
    for name, root, options in (
            ("dtypes.pt", every_dtype(), {}),
            ("dtypes_legacy.pt", small, {"_use_new_zipfile_serialization": False}),
            ("views.pt", views(), {}),
            ("views_legacy.pt", views(), {"_use_new_zipfile_serialization": False}),
            ("checkpoint.pt", checkpoint(), {}),
            ("protocol4.pt", checkpoint(), {"pickle_protocol": 4}),
            ("protocol5_legacy.pt", checkpoint(), {"pickle_protocol": 5,
                                                   "_use_new_zipfile_serialization": False}),
            ("tensor.pt", torch.arange(5), {}),
            ("list.pt", [{"x": torch.ones(2)}, {"x": torch.zeros(3)}], {})):
        torch.save(root, os.path.join(OUT, name), **options)
        leaves = checkpoint_leaves() if isinstance(root, dict) and "groups" in root else root
        write_description(name, leaves)
    lightning = lightning_checkpoint()
    torch.save(lightning, os.path.join(OUT, "lightning.pt"))
    write_description("lightning.pt", lightning)
    unusable = {"f8": torch.ones(3).to(torch.float8_e4m3fn), "c": torch.ones(2, dtype=torch.complex64)}
    torch.save(unusable, os.path.join(OUT, "unusable.pt"))
    write_description("unusable.pt", unusable)


def write_safetensors():
    tensors = dict(every_dtype())
    tensors["f8"] = torch.ones(3).to(torch.float8_e4m3fn)
    tensors["näme \"quoted\"\\\n"] = torch.ones(1)
    path = os.path.join(OUT, "dtypes.safetensors")
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    write_description("dtypes.safetensors", {**tensors, "format": "pt"})
    # The library's order of metadata is random: saved until it is the sorted one.
    metadata = {"format": "pt", "alpha": "1", "note": "a\"b\\c\n\x01 é"}
    wanted = b'"__metadata__":{"alpha":"1","format":"pt","note":'
    while True:
        data = safetensors.torch.save({"b": torch.ones(2), "a": torch.zeros(1)}, metadata)
        if wanted in data:
            break
    with open(os.path.join(OUT, "metadata.safetensors"), "wb") as file:
        file.write(data)
    write_description("metadata.safetensors", {"a": torch.zeros(1), "b": torch.ones(2), **metadata})


def write_sharded():
    from huggingface_hub import save_torch_state_dict  # as diffusers deals tensors to shards
    folder = os.path.join(OUT, "sharded")
    os.makedirs(folder, exist_ok=True)
    tensors = {f"layer.{i}.weight": torch.full((n,), float(i)) for i, n in
               enumerate((6, 6, 2, 40, 6, 2, 2, 10, 1))}
    save_torch_state_dict(tensors, folder, filename_pattern="model{suffix}.safetensors",
                          max_shard_size=40, metadata={"format": "pt"})
    # diffusers' index has total_size alone and ends in a newline.
    path = os.path.join(folder, "model.safetensors.index.json")
    with open(path) as file:
        index = json.load(file)
    index["metadata"] = {"total_size": index["metadata"]["total_size"]}
    with open(path, "w") as file:
        file.write(json.dumps(index, indent=2, sort_keys=True) + "\n")
    write_description("sharded/model.safetensors.index.json", tensors)


def check(path):
    """What Python reads from a file of ours, in the form of a description."""
    with safetensors.safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        metadata = file.metadata() or {}
    for line in describe({**dict(sorted(tensors.items())), **dict(sorted(metadata.items()))}):
        print(line)


def main():
    if sys.argv[1:2] == ["check"]:
        for path in sys.argv[2:]:
            check(path)
        return
    os.makedirs(OUT, exist_ok=True)
    write_torch()
    write_safetensors()
    write_sharded()


if __name__ == "__main__":
    main()
