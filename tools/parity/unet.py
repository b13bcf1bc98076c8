#!/usr/bin/env python3
"""Fixtures of the UNet, made by diffusers' UNet2DConditionModel: tests/fixtures/unet.

    python3 tools/parity/unet.py [CASE ...]                            # small cases
    python3 tools/parity/unet.py --full                                # SD 1.5 at its real size
    python3 tools/parity/unet.py --live build/release/bdpo_test [CASE ...]

Made with diffusers 0.42.1, peft 0.21.2, PyTorch 2.15.0. Weights and inputs are functions of their
names (inputs.py), scaled so that every block's output has a root mean square between 0.1 and 10.
The loss is the mean squared error against a target. Small cases run in double; for the output and
each gradient the fixture holds 64 projections and the length (tests/parity/parity_inputs.h). The
full size runs in f32 and keeps the length, 8 projections and 64 elements. --live writes the
tensors of a case whole into a temporary directory and lets the test compare every element.
tests/parity/test_parity_unet.c is the other side.
"""
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    import diffusers
    import peft
    from diffusers import UNet2DConditionModel
    from diffusers.models.resnet import ResnetBlock2D
    from diffusers.models.transformers.transformer_2d import Transformer2DModel

    import inputs
except ImportError as missing:
    print(f"SKIPPED  live parity: {missing}")
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0 if "--live" in sys.argv else 1)

DIRECTORY = os.path.join(inputs.FIXTURES, "unet")
CROSS, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
UP_CROSS, UP_PLAIN = "CrossAttnUpBlock2D", "UpBlock2D"
TOKENS = 7

# One small model of each family, and one of what the families leave out.
MODELS = {
    "small15": dict(
        block_out_channels=(32, 64, 64),
        down_block_types=(CROSS, CROSS, PLAIN),
        up_block_types=(UP_PLAIN, UP_CROSS, UP_CROSS),
        layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=24,
    ),
    "small21": dict(
        block_out_channels=(32, 64),
        down_block_types=(CROSS, PLAIN),
        up_block_types=(UP_PLAIN, UP_CROSS),
        layers_per_block=2,
        attention_head_dim=(2, 4),
        cross_attention_dim=40,
        use_linear_projection=True,
        upcast_attention=True,
    ),
    "smallxl": dict(
        block_out_channels=(32, 64),
        down_block_types=(PLAIN, CROSS),
        up_block_types=(UP_CROSS, UP_PLAIN),
        layers_per_block=1,
        attention_head_dim=(2, 4),
        cross_attention_dim=24,
        transformer_layers_per_block=(1, 3),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=20 + 6 * 8,
    ),
    "odd": dict(
        block_out_channels=(32, 32, 64),
        down_block_types=(CROSS, PLAIN, PLAIN),
        up_block_types=(UP_PLAIN, UP_PLAIN, UP_CROSS),
        layers_per_block=(1, 2, 1),
        attention_head_dim=(2, 1, 4),
        cross_attention_dim=16,
        in_channels=9,
        center_input_sample=True,
        flip_sin_to_cos=False,
        freq_shift=1,
        mid_block_scale_factor=1.5,
        norm_eps=1e-4,
        time_embedding_dim=96,
        conv_in_kernel=5,
        conv_out_kernel=1,
    ),
}

# case: model, images, height, width, adapter (targets as PEFT wants them, rank, alpha)
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
ALL = ATTENTION + ["ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "conv2"]
ALL += ["conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv"]
CASES = {
    "small15": ("small15", 2, 16, 16, None),
    "small21": ("small21", 1, 16, 24, None),
    "smallxl": ("smallxl", 2, 16, 16, None),
    "odd": ("odd", 2, 13, 18, None),
    "small21_lora": ("small21", 2, 16, 16, (ATTENTION, 4, 4)),
    "small15_lora_all": ("small15", 1, 16, 16, (ALL, 4, 6)),
}
FULL = "sd15"
WEAK = ("conv_in", "proj_in", "conv2", "to_out.0", "ff.net.2", "proj_out", "lora_B")


def values(name, count, scale, shift=0.0):
    """inputs.fill piece by piece, which is many times faster for large weights."""
    out = np.empty(count, np.float32)
    mask, piece = np.uint64(0xFFFF), 1 << 16
    for first in range(0, count, piece):
        b = inputs.bits(name, min(piece, count - first), first)
        total = (b & mask) + ((b >> np.uint64(16)) & mask)
        total += ((b >> np.uint64(32)) & mask) + (b >> np.uint64(48))
        bell = (total.astype(np.int64) - 131070).astype(np.float64) * 2.6429e-5
        out[first : first + bell.size] = shift + scale * bell
    return out


def parameter(case, name, shape):
    """A parameter by its name in our layout: gains near 1, small biases, weights that keep a
    signal's size, and a tenth of that at the end of a residual branch or an adapter, and before
    norms, so that their epsilons count."""
    key, count = f"{case}/{name}", int(np.prod(shape))
    layer = name.removesuffix(".weight")
    if name.endswith("bias"):
        scale, shift = 0.05, 0.0
    elif len(shape) == 1:
        scale, shift = 0.1, 1.0
    else:
        scale, shift = (count / shape[0]) ** -0.5, 0.0
        if layer.endswith(WEAK):
            scale *= 0.1
    return values(key, count, scale, shift).reshape(shape)


def our_layout(t):
    """OIHW weights and NCHW maps as the library keeps them: channels last."""
    return t.permute(0, 2, 3, 1) if t.dim() == 4 else t


def their_layout(a):
    t = torch.from_numpy(a)
    return t.permute(0, 3, 1, 2).contiguous() if t.dim() == 4 else t


def our_name(name):
    """PEFT's names of layers with an adapter."""
    return name.replace(".base_layer", "").replace(".default.weight", ".weight")


def fill(model, case):
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(their_layout(parameter(case, our_name(name), tuple(our_layout(p).shape))))


def build(case, config, adapter, dtype):
    model = UNet2DConditionModel(**config).to(dtype)
    if adapter:
        targets, rank, alpha = adapter
        model.add_adapter(peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets))
        model = model.to(dtype)
        for name, p in model.named_parameters():
            p.requires_grad_("lora_" in name)
    fill(model, case)
    return model


def watch(model):
    """Asserts that no block's signal dies or grows."""

    def check(module, _, output):
        y = output[0] if isinstance(output, tuple) else output
        y = getattr(y, "sample", y)
        rms = float(y.detach().double().square().mean().sqrt())
        assert 0.1 <= rms <= 10, (type(module).__name__, rms)

    for module in model.modules():
        if isinstance(module, (ResnetBlock2D, Transformer2DModel, UNet2DConditionModel)):
            module.register_forward_hook(check)


def run(case, config, shape, adapter=None, dtype=torch.float64):
    """The output and the gradient of each trained parameter, by name, in our layout."""
    n, height, width = shape
    model = build(case, config, adapter, dtype)
    watch(model)
    c = model.config
    given = lambda name, *s: their_layout(inputs.fill(f"{case}/{name}", s)).to(dtype)
    more = {}
    if c.addition_embed_type:
        ids = c.addition_time_embed_dim * 6
        more["added_cond_kwargs"] = {
            "text_embeds": given("pooled", n, c.projection_class_embeddings_input_dim - ids),
            "time_ids": torch.from_numpy(
                inputs.fill_index(f"{case}/time_ids", (n, 6), 1024).astype(np.float32)
            ),
        }
    y = model(
        given("sample", n, height, width, c.in_channels),
        torch.from_numpy(inputs.fill_index(f"{case}/timestep", (n,), 1000).astype(np.float32)),
        given("context", n, TOKENS, c.cross_attention_dim),
        **more,
    ).sample
    loss = (y - given("target", n, height, width, c.out_channels)).square().mean()
    loss.backward()
    yield "y", our_layout(y.detach()).contiguous().numpy()
    for name, p in model.named_parameters():
        if p.requires_grad:
            yield "d" + our_name(name), our_layout(p.grad).contiguous().numpy()
            p.grad = None


def origin(kept):
    return [
        f"tools/parity/unet.py, diffusers {diffusers.__version__}, peft {peft.__version__}, "
        f"PyTorch {torch.__version__}",
        f"of each tensor: {kept}",
    ]


def small_config(name):
    return dict(MODELS[name], norm_num_groups=8)


def run_case(case):
    model, n, height, width, adapter = CASES[case]
    return run(case, small_config(model), (n, height, width), adapter)


def write_config(name):
    """The configuration as diffusers would save it."""
    path = os.path.join(DIRECTORY, name + ".json")
    config = json.loads(UNet2DConditionModel(**small_config(name)).to_json_string())
    with open(path, "w") as file:
        json.dump(config, file, indent=1, sort_keys=True)
        file.write("\n")


def make_small(case):
    out = inputs.Fixture(os.path.join(DIRECTORY, case), origin("64 projections, then its length"))
    for name, tensor in run_case(case):
        projections, length = inputs.project(tensor)
        out.add(name, np.append(projections, length))
    out.write()
    print(case, len(out.tensors), flush=True)


def summary(name, tensor):
    """The length, 8 projections (the first of the 64) and 64 elements."""
    x = np.asarray(tensor).reshape(-1)
    sums, square, piece = np.zeros(8), 0.0, 1 << 18
    for first in range(0, x.size, piece):
        part = x[first : first + piece].astype(np.float64)
        low = inputs.bits("projection", part.size, first).view(np.uint8).reshape(-1, 8)[:, :1]
        signs = np.unpackbits(low, axis=1, bitorder="little").astype(np.float64) * 2 - 1
        sums += part @ signs
        square += part @ part
    picked = (inputs.bits(name, 64) % np.uint64(x.size)).astype(np.int64)
    return np.concatenate(([square**0.5], sums, x[picked]))


def make_full():
    with open(os.path.join(DIRECTORY, FULL + ".json")) as file:
        config = {k: v for k, v in json.load(file).items() if not k.startswith("_")}
    kept = "its length, 8 projections, 64 elements"
    out = inputs.Fixture(os.path.join(DIRECTORY, FULL), origin(kept))
    for name, tensor in run(FULL, config, (1, 32, 32), dtype=torch.float32):
        out.add(name, summary(name, tensor))
    out.write()


def live(binary, wanted):
    failed = 0
    for case in wanted:
        with tempfile.TemporaryDirectory(prefix="bdpo-live-") as directory:
            out = inputs.Fixture(os.path.join(directory, case), ["tools/parity/unet.py --live"])
            for name, tensor in run_case(case):
                out.add(name, tensor)
            out.write()
            test = [binary, "--tier", "long", "-v", f"parity/test_parity_unet:{case}_live"]
            environment = {**os.environ, "BDPO_LIVE_DIR": directory}
            failed += subprocess.run(test, env=environment, check=False).returncode != 0
    print(f"{len(wanted) - failed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


def main():
    words = sys.argv[1:]
    if words[:1] == ["--live"]:
        live(words[1], words[2:] or list(CASES))
    elif words == ["--full"]:
        make_full()
    else:
        os.makedirs(DIRECTORY, exist_ok=True)
        for model in MODELS:
            write_config(model)
        for case in words or CASES:
            make_small(case)


if __name__ == "__main__":
    main()
