#!/usr/bin/env python3
"""Adapters as diffusers, PEFT and kohya's tools write them, merged by `bdpo merge`.

    python3 tools/parity/lora.py BDPO [BDPO_TEST]

For a small random model of each family, adapters made by PEFT on the UNet (attention, feed-forward,
projections, convolutions) and the text encoders are saved in each spelling. `bdpo merge` must give
W + strength alpha / rank B A for every adapted weight, computed here in double, and leave the others
as they are; a file with one tensor too many must be refused. `bdpo sample --lora`, which adds x A B
beside the weights, must paint what diffusers paints after load_lora_weights, within 1/255, on the
models of `bdpo demo-model`; two files together what the model merged with both paints.

With BDPO_TEST, the test program, adapters that our writer made in both styles are loaded into
diffusers: every key must find its place there, and the pictures must be those of `bdpo sample`.

Needs (PyPI): torch 2.15, diffusers 0.42, transformers 5.24, peft 0.21, safetensors 0.8, numpy, pillow.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

import numpy
import torch
from PIL import Image
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from safetensors.torch import load_file, save_file

from checkpoints import load_directory, small_model

STRENGTH = 0.75
UNET = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out",
        "conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv"]
TEXT = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
FAMILIES = ("sd1", "sd2", "sdxl")


class Adapters:
    """Of one component: {layer: (A, B)}, one rank and alpha."""

    def __init__(self, name, module, targets, rank, alpha):
        self.name, self.rank, self.alpha = name, rank, alpha
        self.config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets)
        inject_adapter_in_model(self.config, module)
        for key, p in module.named_parameters():
            if "lora_" in key:
                torch.nn.init.normal_(p, 0, 0.2)
        self.state = {k: v.detach().clone() for k, v in get_peft_model_state_dict(module).items()}
        self.layers = {k[: -len(".lora_A.weight")]: (v, self.state[k.replace("lora_A", "lora_B")])
                       for k, v in self.state.items() if k.endswith(".lora_A.weight")}
        self.layers = {re.sub("^text_model[.]", "", k): v for k, v in self.layers.items()}

    def delta(self, layer, alpha):
        a, b = (x.double() for x in self.layers[layer])
        return alpha / self.rank * (b.flatten(1) @ a.flatten(1)), a.shape[1:]


def adapters_of(pipe, family):
    all_ = [Adapters("unet", pipe.unet, UNET, 3, 5),
            Adapters("text_encoder", pipe.text_encoder, TEXT, 2, 1)]
    if family == "sdxl":
        all_.append(Adapters("text_encoder_2", pipe.text_encoder_2, TEXT, 4, 4))
    return all_


# ---- files -------------------------------------------------------------------------------------


def diffusers_file(pipe, all_, path):
    """By the pipeline's own save_lora_weights, alpha in its metadata."""
    meta = {f"{a.name}_lora_adapter_metadata": a.config.to_dict() for a in all_}
    states = {("unet_lora_layers" if a.name == "unet" else f"{a.name}_lora_layers"): a.state
              for a in all_}
    pipe.save_lora_weights(path, **states, **meta)
    return path


def spelled(all_, path, prefix, down, up, layer_name=lambda a, layer: layer, alpha=True):
    tensors = {}
    for a in all_:
        for layer, (low, high) in a.layers.items():
            name = layer_name(a, layer)
            tensors[prefix(a) + name + down] = low.contiguous()
            tensors[prefix(a) + name + up] = high.contiguous()
            if alpha:
                tensors[prefix(a) + name + ".alpha"] = torch.tensor(float(a.alpha))
    save_file(tensors, path)
    return path


def kohya_prefix(family):
    first = "lora_te1_" if family == "sdxl" else "lora_te_"
    return lambda a: {"unet": "lora_unet_", "text_encoder": first, "text_encoder_2": "lora_te2_"}[a.name]


def original_names(bdpo, model, work):
    """Layers of the UNet by the original's names: equal numbers in both layouts."""
    single = os.path.join(work, "single.safetensors")
    subprocess.run([bdpo, "convert", model, single, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    theirs = {v.numpy().tobytes(): k for k, v in load_file(single).items()
              if k.startswith("model.diffusion_model.") and k.endswith(".weight")}
    ours = load_file(os.path.join(model, "unet", "diffusion_pytorch_model.safetensors"))
    return {k[: -len(".weight")]: theirs[v.numpy().tobytes()][22 : -len(".weight")]
            for k, v in ours.items() if k.endswith(".weight") and v.dim() > 1}


def peft_directory(adapter, path):
    os.makedirs(path, exist_ok=True)
    save_file({"base_model.model." + k: v.contiguous() for k, v in adapter.state.items()},
              os.path.join(path, "adapter_model.safetensors"))
    config = {k: v for k, v in adapter.config.to_dict().items() if not isinstance(v, set)}
    with open(os.path.join(path, "adapter_config.json"), "w") as f:
        json.dump(config, f, default=str)
    return path


# ---- the check -----------------------------------------------------------------------------------


def weights(model):
    out = {}
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        folder = os.path.join(model, part)
        if os.path.isdir(folder):
            file = [f for f in os.listdir(folder) if f.endswith(".safetensors")][0]
            tensors = load_file(os.path.join(folder, file))  # transformers 5 leaves text_model. out
            out[part] = {re.sub("^text_model[.]", "", k): v for k, v in tensors.items()}
    return out


def check(bdpo, model, all_, file, work, alphas=True, only=None):
    out = os.path.join(work, "merged")
    subprocess.run([bdpo, "merge", model, out, "--quiet", "--lora", f"{file}:{STRENGTH}"],
                   check=True, stdout=subprocess.DEVNULL)
    before, after = weights(model), weights(out)
    worst, changed = 0.0, 0
    for part, tensors in before.items():
        adapter = next((a for a in all_ if a.name == part and only in (None, part)), None)
        for key, old in tensors.items():
            layer = re.sub(r"\.weight$", "", key)
            new = after[part][key]
            if adapter and layer in adapter.layers and key.endswith(".weight"):
                delta, _ = adapter.delta(layer, adapter.alpha if alphas else adapter.rank)
                want = old.double() + STRENGTH * delta.reshape(old.shape)
                worst = max(worst, ((new.double() - want).norm() / want.norm()).item())
                changed += 1
            else:
                assert torch.equal(old, new), (part, key)
    expected = sum(len(a.layers) for a in all_ if only in (None, a.name))
    assert changed == expected, (changed, expected)
    assert worst < 1e-6, worst  # the product and the sum are rounded to f32 once each
    return worst, changed


def check_refused(bdpo, model, file, work):
    tensors = load_file(file)
    tensors["lora_unet_no_such_layer.lora_down.weight"] = torch.zeros(2, 2)
    bad = os.path.join(work, "bad.safetensors")
    save_file(tensors, bad)
    done = subprocess.run([bdpo, "merge", model, os.path.join(work, "none"), "--lora", bad],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "no_such_layer" in done.stderr, done.stderr
    assert not os.path.exists(os.path.join(work, "none")), "something was written"


def paint(bdpo, model, out, *options):
    subprocess.run([bdpo, "sample", model, "--prompt", "a red fox", "--steps", "5", "--seed", "3",
                    "--rng", "torch", "--quiet", "--out", out, *options],
                   check=True, stdout=subprocess.DEVNULL)
    return numpy.asarray(Image.open(out)).astype(int)


def check_sample(bdpo, family, work):
    model, out = os.path.join(work, "demo"), os.path.join(work, "out.png")
    subprocess.run([bdpo, "demo-model", family, model, "--quiet"], check=True,
                   stdout=subprocess.DEVNULL)
    pipe = load_directory(family, model)
    pipe.set_progress_bar_config(disable=True)
    torch.manual_seed(8)
    all_ = adapters_of(pipe, family)
    file = diffusers_file(pipe, all_, os.path.join(work, "demo_lora"))
    plain, ours = paint(bdpo, model, out), paint(bdpo, model, out, "--lora", f"{file}:{STRENGTH}")
    pipe = load_directory(family, model)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_lora_weights(file)
    pipe.set_adapters(pipe.get_active_adapters(), STRENGTH)
    size = dict(height=ours.shape[0], width=ours.shape[1])
    image = pipe("a red fox", num_inference_steps=5, guidance_scale=5.0 if family == "sdxl" else 7.5,
                 generator=torch.Generator().manual_seed(3), **size).images[0]
    difference = numpy.abs(numpy.asarray(image).astype(int) - ours).max()
    changed = numpy.abs(plain - ours).max()
    assert difference <= 1 and changed > 20, (difference, changed)
    merged = os.path.join(work, "both")
    both = ["--lora", f"{file}:{STRENGTH}", "--lora", f"{file}:-0.5"]
    subprocess.run([bdpo, "merge", model, merged, "--quiet", *both], check=True,
                   stdout=subprocess.DEVNULL)
    stacked = numpy.abs(paint(bdpo, model, out, *both) - paint(bdpo, merged, out)).max()
    assert stacked <= 1, stacked
    return difference, changed, stacked


def check_written(bdpo, tests, family, work):
    model, out = os.path.join(work, "model"), os.path.join(work, "out.png")
    subprocess.run([bdpo, "demo-model", family, model, "--quiet"], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run([tests, "--tier", "long", "adapters_for_other_readers"], check=True,
                   env={**os.environ, "BDPO_LIVE_DIR": work}, stdout=subprocess.DEVNULL)
    plain, pictures = paint(bdpo, model, out), []
    for style in ("diffusers", "kohya"):
        file = os.path.join(work, style + ".safetensors")
        ours = paint(bdpo, model, out, "--lora", f"{file}:{STRENGTH}")
        pipe = load_directory(family, model)
        pipe.set_progress_bar_config(disable=True)
        pipe.load_lora_weights(file)
        pipe.set_adapters(pipe.get_active_adapters(), STRENGTH)
        loaded = sum(key.endswith("lora_A.default_0.weight") for part in
                     (pipe.unet, pipe.text_encoder, getattr(pipe, "text_encoder_2", None)) if part
                     for key, _ in part.named_parameters())
        written = sum(key.endswith(("lora_A.weight", "lora_down.weight")) for key in load_file(file))
        assert loaded == written, (style, loaded, written)
        image = pipe("a red fox", num_inference_steps=5,
                     guidance_scale=5.0 if family == "sdxl" else 7.5, height=ours.shape[0],
                     width=ours.shape[1], generator=torch.Generator().manual_seed(3)).images[0]
        difference = numpy.abs(numpy.asarray(image).astype(int) - ours).max()
        assert difference <= 1, (style, difference)
        pictures.append(ours)
    assert numpy.abs(pictures[0] - pictures[1]).max() <= 1
    changed = numpy.abs(pictures[0] - plain).max()
    assert changed > 20, changed
    return written, changed


def family_files(bdpo, family, model, pipe, all_, work):
    """name, file, whether it tells alpha, the only component it has."""
    dot = lambda a: a.name + "."
    # kohya's tools know text encoders with their text_model.
    flat = lambda a, layer: ("" if a.name == "unet" else "text_model_") + layer.replace(".", "_")
    yield "diffusers", diffusers_file(pipe, all_, os.path.join(work, "diffusers")), True, None
    yield "diffusers, older", spelled(all_, os.path.join(work, "old.safetensors"), dot,
                                      ".lora.down.weight", ".lora.up.weight", alpha=False), False, None
    yield "kohya", spelled(all_, os.path.join(work, "kohya.safetensors"), kohya_prefix(family),
                           ".lora_down.weight", ".lora_up.weight", flat), True, None
    names = original_names(bdpo, model, work)
    original = lambda a, layer: flat(a, names[layer] if a.name == "unet" else layer)
    yield "kohya, original names", spelled(
        all_, os.path.join(work, "original.safetensors"), kohya_prefix(family),
        ".lora_down.weight", ".lora_up.weight", original), True, None
    yield "PEFT directory", peft_directory(all_[0], os.path.join(work, "peft")), True, "unet"


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    bdpo, tests = sys.argv[1], sys.argv[2:]
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as work:
            model = small_model(family, work)
            pipe = load_directory(family, model)
            torch.manual_seed(7)
            all_ = adapters_of(pipe, family)
            file = None
            for name, file, alphas, only in family_files(bdpo, family, model, pipe, all_, work):
                worst, changed = check(bdpo, model, all_, file, work, alphas, only)
                print(f"{family:5} {name:24} {changed:4} layers, relative L2 at most {worst:.1e}",
                      flush=True)
            print(f"{family:5} sample: differs from diffusers by %d/255, from no adapter by %d, "
                  "two from a merge by %d" % check_sample(bdpo, family, work), flush=True)
            with tempfile.TemporaryDirectory() as other:
                for program in tests:
                    print(f"{family:5} written: %d adapters load in diffusers in both styles and paint "
                          "the same, up to %d/255 from none" % check_written(bdpo, program, family, other),
                          flush=True)
            check_refused(bdpo, model, os.path.join(work, "kohya.safetensors"), work)
    print("all adapters act as expected")


if __name__ == "__main__":
    main()
