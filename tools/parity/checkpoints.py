#!/usr/bin/env python3
"""Checkpoints against diffusers: names, and models that travel both ways.

    python3 tools/parity/checkpoints.py keys            writes tests/fixtures/checkpoints/names.txt
    python3 tools/parity/checkpoints.py golden          writes tests/fixtures/checkpoints/sd2
    python3 tools/parity/checkpoints.py check BDPO      runs the program BDPO on small random models

`keys` builds the three real families without memory, writes down every name of the originals
(CompVis stable-diffusion, generative-models, open_clip, spelled out below from their module lists)
and lets diffusers' own converters map them: each must arrive at one diffusers name, each diffusers
name must be reached, and open_clip's stacked q, k, v must be cut where we cut them.

`golden` lets diffusers write the smallest model of the SD 2 kind, which the C tests read.

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

SMALL_VAE = dict(
    block_out_channels=(8, 16), layers_per_block=2, latent_channels=4, norm_num_groups=4,
    down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
    sample_size=32,
)
SMALL_UNET = dict(
    sample_size=16, block_out_channels=(8, 16), layers_per_block=2, norm_num_groups=4,
    cross_attention_dim=32, attention_head_dim=2,
)
SMALL_UNETS = {
    "sd1": dict(
        SMALL_UNET, down_block_types=blocks("Down", 1, 0), up_block_types=blocks("Up", 0, 1)
    ),
    "sd2": dict(
        SMALL_UNET, down_block_types=blocks("Down", 1, 0), up_block_types=blocks("Up", 0, 1),
        use_linear_projection=True,
    ),
    "sdxl": dict(
        SMALL_UNET, cross_attention_dim=80, down_block_types=blocks("Down", 0, 1),
        up_block_types=blocks("Up", 1, 0), use_linear_projection=True,
        transformer_layers_per_block=(1, 2), addition_embed_type="text_time",
        addition_time_embed_dim=8, projection_class_embeddings_input_dim=48 + 6 * 8,
    ),
}
SCHEDULE = dict(
    beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
    clip_sample=False, set_alpha_to_one=False,
)


def small_text(width, layers, act, projection=None):
    config = transformers.CLIPTextConfig(
        vocab_size=1000, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers,
        num_attention_heads=4, hidden_act=act, projection_dim=projection or width,
        bos_token_id=0, eos_token_id=2, pad_token_id=1,
    )
    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    return kind(config)


def small_tokenizer(directory):
    """Every byte a token, some two-letter merges, and the two marks: enough to load and to run."""
    letters = [chr(c) for c in range(ord("!"), ord("~") + 1)]
    merges = ["c a", "a t</w>"]
    vocab = letters + [c + "</w>" for c in letters] + [m.replace(" ", "") for m in merges]
    vocab += ["<|startoftext|>", "<|endoftext|>"]
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "vocab.json"), "w") as out:
        json.dump({t: i for i, t in enumerate(vocab)}, out)
    with open(os.path.join(directory, "merges.txt"), "w") as out:
        out.write("#version: 0.2\n" + "\n".join(merges) + "\n")
    return transformers.CLIPTokenizer.from_pretrained(directory, model_max_length=77)


def small_model(family, directory):
    """A pipeline of the family with random weights; saved, and returned as diffusers loads it."""
    torch.manual_seed({"sd1": 1, "sd2": 2, "sdxl": 3}[family])
    tokenizer = small_tokenizer(os.path.join(directory, "raw_tokenizer"))
    parts = dict(
        unet=diffusers.UNet2DConditionModel(**SMALL_UNETS[family]),
        vae=diffusers.AutoencoderKL(**SMALL_VAE), tokenizer=tokenizer,
    )
    for model in (parts["unet"], parts["vae"]):
        for p in model.parameters():  # norms begin at 1 and 0: exchanged ones would not show
            torch.nn.init.normal_(p, 0.1, 0.1) if p.dim() == 1 else None
    if family == "sdxl":
        pipe = diffusers.StableDiffusionXLPipeline(
            **parts, text_encoder=small_text(32, 3, "quick_gelu"),
            text_encoder_2=small_text(48, 11, "gelu", 48), tokenizer_2=tokenizer,
            scheduler=diffusers.EulerDiscreteScheduler(
                beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
                timestep_spacing="leading",
            ),
        )
    else:
        act, prediction = ("quick_gelu", "epsilon") if family == "sd1" else ("gelu", "v_prediction")
        scheduler = diffusers.DDIMScheduler(**SCHEDULE, prediction_type=prediction)
        pipe = diffusers.StableDiffusionPipeline(
            **parts, text_encoder=small_text(32, 3, act), scheduler=scheduler,
            safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        )
    path = os.path.join(directory, "model")
    pipe.save_pretrained(path)
    return path


COMPONENTS = ("unet", "vae", "text_encoder", "text_encoder_2")


def states(pipe):
    return {
        f"{c}.{n}": t
        for c in COMPONENTS if getattr(pipe, c, None) is not None
        for n, t in getattr(pipe, c).state_dict().items() if not n.endswith("position_ids")
    }


def picture(pipe):
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    call = dict(num_inference_steps=2, height=32, width=32, generator=generator, output_type="np")
    return torch.from_numpy(pipe("a cat", **call).images)


def same(name, got, expected):
    a, b = states(got), states(expected)
    assert a.keys() == b.keys(), (name, sorted(a.keys() ^ b.keys())[:10])
    different = [k for k in a if not torch.equal(a[k], b[k])]
    assert not different, (name, different[:10])
    assert torch.equal(picture(got), picture(expected)), f"{name}: another picture"
    assert dict(got.scheduler.config) == dict(expected.scheduler.config), f"{name}: the scheduler"
    print(f"{name}: {len(a)} tensors and the picture are the same", flush=True)


class Complaints:
    """What the libraries log while they load: unmatched names are warnings there."""

    def __enter__(self):
        import logging

        self.records, outer = [], self

        class Handler(logging.Handler):
            def emit(self, record):
                outer.records.append(record.getMessage())

        self.handler = Handler()
        for library in ("diffusers", "transformers"):
            logging.getLogger(library).addHandler(self.handler)
        return self

    def __exit__(self, *_):
        import logging

        for library in ("diffusers", "transformers"):
            logging.getLogger(library).removeHandler(self.handler)
        words = ("not used", "newly initialized", "MISSING", "UNEXPECTED", "missing", "mismatch")
        bad = [r for r in self.records if any(w in r for w in words)]
        assert not bad, bad


def pipeline_class(family):
    return diffusers.StableDiffusionXLPipeline if family == "sdxl" else diffusers.StableDiffusionPipeline


def load_directory(family, path, **options):
    with Complaints():
        return pipeline_class(family).from_pretrained(path, local_files_only=True, **options)


def load_single(family, path, config, **options):
    """The names in the file must be those that the model has: they ask nothing of what is left."""
    with Complaints():
        pipe = pipeline_class(family).from_single_file(
            path, config=config, local_files_only=True, **options
        )
    for component in COMPONENTS:
        part = getattr(pipe, component, None)
        for name, tensor in part.state_dict().items() if part is not None else ():
            assert tensor.device.type != "meta", f"{component}.{name} was not in the file"
    return pipe


def check_family(bdpo, family, work):
    run = lambda *a: subprocess.run([bdpo, *a], check=True, stdout=subprocess.DEVNULL)
    path = small_model(family, work)
    original = load_directory(family, path)
    if family == "sd1":
        original.safety_checker = None
    single, back, again = (os.path.join(work, n) for n in ("one.safetensors", "back", "again.safetensors"))
    run("convert", path, single, "--quiet")
    run("convert", single, back, "--config", path, "--quiet")
    run("convert", back, again, "--quiet")
    scheduler = lambda: type(original.scheduler).from_config(original.scheduler.config)
    same(f"{family}, single file", load_single(family, single, path, scheduler=scheduler()), original)
    check_that_checks_fail(family, single, path, work)
    same(f"{family}, directory", load_directory(family, back), original)
    a, b = load_file(single), load_file(again)
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    check_ckpt(run, family, work, single, path, original)
    check_half(run, family, work, path, original)
    check_variants(run, family, work, path, original)


def check_ckpt(run, family, work, single, config, original):
    """The same tensors as a .ckpt, with what training leaves there."""
    state = load_file(single)
    state["betas"] = torch.zeros(1000)
    state["model_ema.num_updates"] = torch.tensor(1)
    if family == "sd1":
        state["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)
    if family == "sd2":  # the block that is not used
        last = "cond_stage_model.model.transformer.resblocks."
        state |= {k.replace(last + "2.", last + "23."): v for k, v in state.items() if k.startswith(last + "2.")}
        state["cond_stage_model.model.text_projection"] = torch.zeros(32, 32)
    path, out = os.path.join(work, "one.ckpt"), os.path.join(work, "from_ckpt")
    torch.save({"state_dict": state, "global_step": 7, "epoch": 1}, path)
    run("convert", path, out, "--config", config, "--quiet")
    same(f"{family}, .ckpt", load_directory(family, out), original)


def check_half(run, family, work, path, original):
    for word, dtype in (("f16", torch.float16), ("bf16", torch.bfloat16)):
        out = os.path.join(work, word)
        run("convert", path, out, "--dtype", word, "--quiet")
        got, expected = states(load_directory(family, out, dtype=dtype)), states(original)
        different = [k for k in expected if not torch.equal(got[k], expected[k].to(dtype))]
        assert not different, (word, different[:10])
        print(f"{family}, {word}: {len(expected)} tensors as PyTorch rounds them", flush=True)


def check_variants(run, family, work, path, original):
    """What diffusers writes in other ways: shards, a variant, pickles, old names of the VAE."""
    from shutil import copytree

    for name, options in (
        ("shards", dict(max_shard_size="100KB")), ("fp16", dict(variant="fp16")),
        ("pickles", dict(safe_serialization=False)),
    ):
        written, out = os.path.join(work, "their_" + name), os.path.join(work, "ours_" + name)
        try:
            original.save_pretrained(written, **options)
        except Exception as error:  # transformers 5 writes no pickles
            print(f"{family}, {name}: not written by this transformers ({type(error).__name__})")
            continue
        run("convert", written, out, "--quiet")
        same(f"{family}, {name} of diffusers", load_directory(family, out), original)
    old, out = os.path.join(work, "old_names"), os.path.join(work, "new_names")
    copytree(path, old)
    weights = os.path.join(old, "vae", "diffusion_pytorch_model.safetensors")
    state = load_file(weights)
    for new, was in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
        state = {k.replace(f"attentions.0.{new}.", f"attentions.0.{was}."): v for k, v in state.items()}
    save_file(state, weights, {"format": "pt"})
    text = os.path.join(old, "text_encoder", "model.safetensors")
    state = {("" if k.startswith("text_model.") else "text_model.") + k: v for k, v in load_file(text).items()}
    save_file(state, text, {"format": "pt"})
    run("convert", old, out, "--quiet")
    same(f"{family}, old names", load_directory(family, out), original)


def write_golden():
    """SD 2 has the most to map: stacked q, k, v and linear projections. In f16, without tokenizer."""
    from shutil import rmtree

    torch.manual_seed(4)
    tiny = dict(layers_per_block=1, norm_num_groups=2, block_out_channels=(4, 4))
    unet = diffusers.UNet2DConditionModel(**dict(SMALL_UNETS["sd2"], **tiny, cross_attention_dim=8))
    vae = diffusers.AutoencoderKL(**dict(SMALL_VAE, **tiny))
    config = transformers.CLIPTextConfig(
        vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=2, projection_dim=8,
        num_attention_heads=2, hidden_act="gelu", bos_token_id=0, eos_token_id=2, pad_token_id=1,
    )
    pipe = diffusers.StableDiffusionPipeline(
        unet=unet, vae=vae, text_encoder=transformers.CLIPTextModel(config), tokenizer=None,
        scheduler=diffusers.DDIMScheduler(**SCHEDULE, prediction_type="v_prediction"),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )
    out = os.path.join(inputs.FIXTURES, "checkpoints", "sd2")
    rmtree(out, ignore_errors=True)
    pipe.to(torch.float16).save_pretrained(out)
    print(f"{out}: {len(states(pipe))} tensors")


def check_that_checks_fail(family, single, config, work):
    """A file with one name wrong must be noticed, or nothing above proves anything."""
    state = load_file(single)
    name = "model.diffusion_model.out.2.bias"
    state["model.diffusion_model.out.2.bios"] = state.pop(name)
    broken = os.path.join(work, "broken.safetensors")
    save_file(state, broken, {"format": "pt"})
    try:
        load_single(family, broken, config)
    except (AssertionError, NotImplementedError):  # ours, or theirs about memory never filled
        return
    sys.exit("a wrong name was not noticed")


def check(bdpo):
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    print(f"torch {torch.__version__}, diffusers {diffusers.__version__}, "
          f"transformers {transformers.__version__}")
    for family in ("sd1", "sd2", "sdxl"):
        with tempfile.TemporaryDirectory() as work:
            check_family(os.path.abspath(bdpo), family, work)
    print("all checkpoints agree")


def main():
    if sys.argv[1:] == ["keys"]:
        write_keys()
    elif sys.argv[1:] == ["golden"]:
        write_golden()
    elif len(sys.argv) == 3 and sys.argv[1] == "check":
        check(sys.argv[2])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
