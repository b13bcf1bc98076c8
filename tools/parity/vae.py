#!/usr/bin/env python3
"""Fixtures of the autoencoder, made by diffusers: tests/fixtures/vae.

    python3 tools/parity/vae.py [--full]      (diffusers 0.42.1, PyTorch 2.15.0)

Small models with weights and inputs as functions of their names (model_weights.py), computed in
double: encode, sample with given noise, decode the sample. The loss is the sum of all outputs times
random cotangents, so that gradients reach the encoder through the sample. For every output and
every parameter's gradient the fixture holds 64 projections and the length; for the tiled decoder
the outputs only. --full instead makes the compact fixture of the real decoder at latent 16x16.
tests/parity/test_parity_vae.c builds the same models.
"""
import os
import sys

import diffusers
import torch
from diffusers import AutoencoderKL
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D

import inputs
import model_weights as weights

SMALL = dict(block_out_channels=(32, 64, 64), layers_per_block=2, latent_channels=4,
             norm_num_groups=8)
MODELS = {
    # As the three families: quant convolutions, attention in the middle.
    "vae_sd": SMALL,
    # 16 channels, no quant convolutions, no attention, two levels.
    "vae_16": dict(block_out_channels=(32, 48), layers_per_block=1, latent_channels=16,
                   norm_num_groups=4, use_quant_conv=False, use_post_quant_conv=False,
                   mid_block_add_attention=False, scaling_factor=1.5305, shift_factor=0.0609),
}
# case: model, images, height, width
CASES = {
    "vae_sd_square": ("vae_sd", 2, 32, 32),
    "vae_sd_wide": ("vae_sd", 1, 24, 40),
    "vae_16_tall": ("vae_16", 2, 20, 12),
}
# case: model, sample_size (tiles of a quarter of it in latents), latent height, width
TILED = {
    "tiled_wide": ("vae_sd", 64, 30, 45),
    "tiled_tall": ("vae_sd", 48, 37, 12),
}
FULL = dict(block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
            norm_num_groups=32)


def model(name, spec, **more):
    levels = len(spec["block_out_channels"])
    m = AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * levels,
                      up_block_types=("UpDecoderBlock2D",) * levels, **spec, **more)
    m = weights.fill(m.double().eval(), name)
    weights.watch(m, (ResnetBlock2D, Attention))
    return m


def given(name, shape):
    """A map [n, h, w, c] by its name, as theirs."""
    return weights.their_layout(inputs.fill(name, shape)).double()


def cotangent(case, name, t):
    n, c, h, w = t.shape
    return given(f"{case}/d{name}", (n, h, w, c))


def run(case):
    name, n, height, width = CASES[case]
    m = model(name, MODELS[name])
    pixels = given(f"{case}/pixels", (n, height, width, 3))
    posterior = m.encode(pixels).latent_dist
    factor = 2 ** (len(MODELS[name]["block_out_channels"]) - 1)
    noise = given(f"{case}/noise", (n, height // factor, width // factor,
                                    MODELS[name]["latent_channels"]))
    z = posterior.mean + posterior.std * noise
    latents = (z - (m.config.shift_factor or 0.0)) * m.config.scaling_factor
    outputs = {
        "mean": posterior.mean,
        "logvar": posterior.logvar,
        "latents": latents,
        "image": m.decode(z).sample,
    }
    sum((t * cotangent(case, key, t)).sum() for key, t in outputs.items()).backward()
    results = {key: weights.numpy(t) for key, t in outputs.items()}
    for key, p in m.named_parameters():
        results["d" + key] = weights.numpy(p.grad)
    return results


def run_tiled(case):
    name, size, height, width = TILED[case]
    m = model(name, MODELS[name], sample_size=size)
    m.enable_tiling()
    z = given(f"{case}/z", (1, height, width, MODELS[name]["latent_channels"]))
    with torch.no_grad():
        return {"image": weights.numpy(m.decode(z).sample)}


def run_full():
    """The decoder alone: the mean of nothing, 16x16 latents."""
    m = model("vae_full", FULL)
    image = m.decode(given("vae_full/z", (1, 16, 16, 4))).sample
    (image * cotangent("vae_full", "image", image)).sum().backward()
    results = {"image": weights.numpy(image)}
    for key, p in m.named_parameters():
        if p.grad is not None:
            results["d" + key] = weights.numpy(p.grad)
    return results


def origin(kept):
    return [
        f"tools/parity/vae.py, diffusers {diffusers.__version__}, "
        f"PyTorch {torch.__version__} in double",
        "of each tensor: " + kept,
    ]


def main():
    torch.set_num_threads(2)
    folder = os.path.join(inputs.FIXTURES, "vae")
    if "--full" in sys.argv[1:]:
        out = inputs.Fixture(os.path.join(folder, "vae_full"),
                             origin("8 projections, its length, 64 entries"))
        for name, values in run_full().items():
            weights.add_compact(out, f"vae_full/{name}", values)
        out.write()
        return
    out = inputs.Fixture(os.path.join(folder, "vae"), origin("64 projections, then its length"))
    results = {case: run(case) for case in CASES}
    results.update({case: run_tiled(case) for case in TILED})
    for case, tensors in results.items():
        for name, values in tensors.items():
            weights.add_full(out, f"{case}/{name}", values)
        print(case, len(tensors), flush=True)
    out.write()


if __name__ == "__main__":
    main()
