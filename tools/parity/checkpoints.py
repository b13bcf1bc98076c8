#!/usr/bin/env python3
"""Checkpoints against diffusers: names, and models that travel both ways.

    python3 tools/parity/checkpoints.py keys            writes tests/fixtures/checkpoints/names.txt
    python3 tools/parity/checkpoints.py check BDPO      runs the program BDPO on small random models

`keys` builds the three real families without memory, writes down every name of the originals
(CompVis stable-diffusion, generative-models, open_clip, spelled out below from their module lists)
and lets diffusers' own converters map them: each must arrive at one diffusers name, each diffusers
name must be reached, and open_clip's stacked q, k, v must be cut where we cut them.

`check` makes a small random model of each family with diffusers, converts it with `bdpo convert` to
a single file and back, loads what was written with from_single_file and from_pretrained, and asks
for the same tensors, no name missing or unexpected, and the same picture to the bit.

Needs (PyPI): torch 2.15, diffusers 0.42, transformers 5.24, safetensors 0.8, numpy.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

import torch
import diffusers
import transformers
from diffusers.loaders import single_file_utils as their
from safetensors.torch import load_file, save_file

import inputs

# ---- the names of the originals ------------------------------------------------------------------


def resnet(prefix, wide):
    """ResBlock of openaimodel.py; `wide`: it changes the number of channels."""
    leaves = ["in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3"]
    leaves += ["skip_connection"] if wide else []
    return [f"{prefix}.{leaf}.{kind}" for leaf in leaves for kind in ("weight", "bias")]


def transformer(prefix, depth):
    """SpatialTransformer of attention.py."""
    names = [f"{prefix}.{m}.{k}" for m in ("norm", "proj_in", "proj_out") for k in ("weight", "bias")]
    for i in range(depth):
        block = f"{prefix}.transformer_blocks.{i}"
        for attention in ("attn1", "attn2"):
            names += [f"{block}.{attention}.to_{x}.weight" for x in "qkv"]
            names += [f"{block}.{attention}.to_out.0.{k}" for k in ("weight", "bias")]
        for m in ("ff.net.0.proj", "ff.net.2", "norm1", "norm2", "norm3"):
            names += [f"{block}.{m}.{k}" for k in ("weight", "bias")]
    return names


def unet_names(multipliers, depths, middle, label):
    """UNetModel of openaimodel.py: its constructor's loop, with names in place of modules.

    depths: transformer layers at each level, 0 where there is no attention.
    """
    pair = lambda m: [m + ".weight", m + ".bias"]
    names = pair("time_embed.0") + pair("time_embed.2") + pair("input_blocks.0.0")
    if label:
        names += pair("label_emb.0.0") + pair("label_emb.0.2")
    channels, at, stack, width = 1, 1, [1], 1
    for level, m in enumerate(multipliers):
        for _ in range(2):
            names += resnet(f"input_blocks.{at}.0", width != m)
            width = m
            if depths[level]:
                names += transformer(f"input_blocks.{at}.1", depths[level])
            stack.append(m)
            at += 1
        if level < len(multipliers) - 1:
            names += pair(f"input_blocks.{at}.0.op")
            stack.append(m)
            at += 1
    names += resnet("middle_block.0", False) + transformer("middle_block.1", middle)
    names += resnet("middle_block.2", False)
    at = 0
    for level in reversed(range(len(multipliers))):
        for i in range(3):
            stack.pop()
            names += resnet(f"output_blocks.{at}.0", True)  # it takes the skip besides
            if depths[level]:
                names += transformer(f"output_blocks.{at}.1", depths[level])
            if level and i == 2:
                names += pair(f"output_blocks.{at}.{2 if depths[level] else 1}.conv")
            at += 1
    return names + pair("out.0") + pair("out.2")


def vae_names():
    """Encoder and Decoder of ddpm's autoencoder, ch_mult 1, 2, 4, 4."""
    pair = lambda m: [m + ".weight", m + ".bias"]
    names = pair("quant_conv") + pair("post_quant_conv")

    def block(prefix, wide):
        leaves = ["norm1", "conv1", "norm2", "conv2"] + (["nin_shortcut"] if wide else [])
        return [n for leaf in leaves for n in pair(f"{prefix}.{leaf}")]

    for half in ("encoder", "decoder"):
        names += pair(f"{half}.conv_in") + pair(f"{half}.norm_out") + pair(f"{half}.conv_out")
        names += block(f"{half}.mid.block_1", False) + block(f"{half}.mid.block_2", False)
        names += [n for m in ("norm", "q", "k", "v", "proj_out") for n in pair(f"{half}.mid.attn_1.{m}")]
    for level in range(4):
        for j in range(2):
            names += block(f"encoder.down.{level}.block.{j}", j == 0 and level in (1, 2))
        for j in range(3):
            names += block(f"decoder.up.{level}.block.{j}", j == 0 and level in (0, 1))
        names += pair(f"encoder.down.{level}.downsample.conv") if level < 3 else []
        names += pair(f"decoder.up.{level}.upsample.conv") if level > 0 else []
    return names


def open_clip_names(layers):
    names = ["positional_embedding", "token_embedding.weight", "ln_final.weight", "ln_final.bias"]
    names += ["text_projection"]
    for i in range(layers):
        block = f"transformer.resblocks.{i}"
        names += [f"{block}.attn.in_proj_weight", f"{block}.attn.in_proj_bias"]
        for m in ("ln_1", "ln_2", "attn.out_proj", "mlp.c_fc", "mlp.c_proj"):
            names += [f"{block}.{m}.weight", f"{block}.{m}.bias"]
    return names


# ---- the real configurations ---------------------------------------------------------------------

CROSS, PLAIN = "CrossAttn%sBlock2D", "%sBlock2D"


def blocks(way, *attends):
    return [(CROSS if a else PLAIN) % way for a in attends]


SD1 = dict(
    sample_size=64, block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=768,
    attention_head_dim=8, down_block_types=blocks("Down", 1, 1, 1, 0),
    up_block_types=blocks("Up", 0, 1, 1, 1),
)
SD2 = dict(
    SD1, sample_size=96, cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20),
    use_linear_projection=True, upcast_attention=True,
)
SDXL = dict(
    sample_size=128, block_out_channels=(320, 640, 1280), cross_attention_dim=2048,
    attention_head_dim=(5, 10, 20), down_block_types=blocks("Down", 0, 1, 1),
    up_block_types=blocks("Up", 1, 1, 0), transformer_layers_per_block=(1, 2, 10),
    use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256,
    projection_class_embeddings_input_dim=2816,
)
VAE = dict(
    block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
    down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
)
UNETS = {
    "sd1": (SD1, unet_names((1, 2, 4, 4), (1, 1, 1, 0), 1, False)),
    "sd2": (SD2, unet_names((1, 2, 4, 4), (1, 1, 1, 0), 1, False)),
    "sdxl": (SDXL, unet_names((1, 2, 4), (0, 2, 10), 10, True)),
}
TEXTS = {"sd2": (23, 1024, 512, False), "sdxl": (32, 1280, 1280, True)}  # layers, width, projection


def numbered(names, prefix, shape_of):
    """A state dict in which each tensor holds its own number, without memory for its elements."""
    return {
        prefix + n: torch.tensor([float(i)]).expand(shape_of(n)) for i, n in enumerate(names)
    }


def pairs_of(mapped, originals):
    """(diffusers name, original) for a converted state dict of numbered()."""
    out = []
    for name, tensor in sorted(mapped.items()):
        values = tensor.unique()
        assert len(values) == 1, name
        out.append((name, originals[int(values[0])]))
    return out


def check_complete(pairs, model, originals, unused=()):
    names = set(model.state_dict())
    got = {n for n, _ in pairs}
    assert got == names, sorted(got ^ names)[:10]
    missing = set(originals) - {o for _, o in pairs} - set(unused)
    assert not missing, sorted(missing)[:10]


def unet_pairs(family):
    config, originals = UNETS[family]
    with torch.device("meta"):
        model = diffusers.UNet2DConditionModel(**config)
    state = numbered(originals, "model.diffusion_model.", lambda n: (1,))
    pairs = pairs_of(their.convert_ldm_unet_checkpoint(state, model.config), originals)
    check_complete(pairs, model, originals)
    return pairs


def vae_pairs():
    with torch.device("meta"):
        model = diffusers.AutoencoderKL(**VAE)
    originals = vae_names()
    attention = re.compile(r"attn_1\.(q|k|v|proj_out)\.weight")
    shape = lambda n: (512, 512, 1, 1) if attention.search(n) else (1,)
    state = numbered(originals, "first_stage_model.", shape)
    mapped = their.convert_ldm_vae_checkpoint(state, model.config)
    for name, tensor in mapped.items():
        if re.search(r"attentions\.0\.(to_|query|key|value|proj_attn)\S*weight", name):
            assert tensor.dim() == 2, name  # they too drop the kernel
    pairs = pairs_of(mapped, originals)
    check_complete(pairs, model, originals)
    return pairs


def text_pairs(family):
    """With the third of a stacked tensor: "attn.in_proj_weight/1" are the rows of k."""
    layers, width, projection, projects = TEXTS[family]
    config = transformers.CLIPTextConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
        num_attention_heads=width // 64, hidden_act="gelu", projection_dim=projection,
    )
    with torch.device("meta"):
        model = transformers.CLIPTextModelWithProjection(config)
    prefix = {"sd2": "cond_stage_model.model.", "sdxl": "conditioner.embedders.1.model."}[family]
    originals = open_clip_names(layers + (not projects))  # SD 2: with the block that is not used
    state = {}
    for i, name in enumerate(originals):
        if "in_proj" in name:
            shape = (3 * width, width) if name.endswith("weight") else (3 * width,)
            rows = torch.arange(3).repeat_interleave(width) / 4 + i
            state[prefix + name] = (rows[:, None] if len(shape) == 2 else rows).expand(shape)
        else:
            shape = (width, projection) if name == "text_projection" else (width,)
            state[prefix + name] = torch.tensor([float(i)]).expand(shape)
    mapped = their.convert_open_clip_checkpoint(model, state, prefix=prefix)
    out = []
    for name, tensor in sorted(mapped.items()):
        values = tensor.unique()
        assert len(values) == 1, name
        number, third = int(values[0]), round((float(values[0]) % 1) * 4)
        suffix = f"/{third}" if "in_proj" in originals[number] else ""
        out.append((name, originals[number] + suffix))
    names = set(model.state_dict()) - (set() if projects else {"text_projection.weight"})
    assert {n for n, _ in out} == names, sorted({n for n, _ in out} ^ names)[:10]
    return out


# ---- the fixture ---------------------------------------------------------------------------------


def folded(pairs):
    """One line for weight and bias, and one for blocks that differ in their number only."""
    merged = {}
    for name, original in pairs:
        for kind in (".weight", ".bias"):
            if name.endswith(kind) and original.endswith(kind):
                merged.setdefault((name[: -len(kind)], original[: -len(kind)]), []).append(kind[1:])
                break
        else:
            merged[name, original] = [""]
    runs = {}
    number = re.compile(r"(transformer_blocks|layers|resblocks)\.(\d+)\.")
    for (name, original), kinds in merged.items():
        found = number.search(name), number.search(original)
        assert bool(found[0]) == bool(found[1]), name
        at = int(found[0][2]) if found[0] else -1
        assert at < 0 or at == int(found[1][2]), name
        key = number.sub(r"\1.#.", name), number.sub(r"\1.#.", original), "+".join(sorted(kinds))
        runs.setdefault(key, []).append(at)
    lines = []
    for (name, original, kinds), numbers in sorted(runs.items()):
        assert numbers == [-1] or sorted(numbers) == list(range(len(numbers))), name
        count = 0 if numbers == [-1] else len(numbers)
        lines.append(f"{name} {original} {kinds or '-'} {count}")
    return lines


def write_keys():
    directory = os.path.join(inputs.FIXTURES, "checkpoints")
    os.makedirs(directory, exist_ok=True)
    assert unet_pairs("sd1") == unet_pairs("sd2")
    sections = {
        "unet sd1 sd2": unet_pairs("sd1"), "unet sdxl": unet_pairs("sdxl"),
        "vae sd1 sd2 sdxl": vae_pairs(), "text_encoder sd2": text_pairs("sd2"),
        "text_encoder_2 sdxl": text_pairs("sdxl"),
    }
    with open(os.path.join(directory, "names.txt"), "w") as out:
        out.write("# tools/parity/checkpoints.py keys, diffusers %s\n" % diffusers.__version__)
        out.write("# diffusers name, original name (/third of a stacked tensor), endings, count of #\n")
        for title, pairs in sections.items():
            out.write(f"[{title} {len(pairs)}]\n")
            out.write("".join(line + "\n" for line in folded(pairs)))
            print(f"{title}: {len(pairs)} tensors")


# ---- small models --------------------------------------------------------------------------------
