#!/usr/bin/env python3
"""`bdpo sample` against diffusers' pipelines, on the small models of `bdpo demo-model`.

    python3 tools/parity/pipelines.py check BDPO [WORD ...]    runs the program BDPO
    python3 tools/parity/pipelines.py golden BDPO [FAMILY ...]   writes tests/fixtures/pipelines

`check` makes a model of each family, loads it with from_pretrained (no key missing or unexpected)
and samples the same prompts, seeds and settings there and here: all samplers, negative prompts,
guidance rescale and none, clip skip, long prompts, batches, other sizes, image to image. It asks
for the same initial noise to the last bit, for latents after every step within 1e-3 (relative L2),
and for pictures within 1/255. WORDs choose cases whose names contain one.

`golden` keeps, of every text-to-image case of one picture, the norm of the latents after each call,
eight projections of the last latents, and 48 bytes of the picture.

Needs (PyPI): torch 2.15, diffusers 0.42, transformers 5.24, safetensors 0.8, numpy, pillow.
"""
import os
import subprocess
import sys
import tempfile
import warnings

import diffusers
import numpy
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file

FAMILIES = ("sd1", "sd2", "sdxl")
STEPS = 20
PROMPT = "a photo of a red fox, oil painting!"
OTHER = "two astronauts riding horses"
LONG = "a castle by the sea, highly detailed, dramatic light " * 12
SEED = 1234

SAMPLERS = {
    "ddpm": ("DDPMScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "pndm": ("PNDMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpmpp-2m": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": False}),
    "dpmpp-2m-karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
}

# name -> (arguments of bdpo sample, arguments of the pipeline). Without a sampler: the model's own.
CASES = {name: (["--sampler", name], {"sampler": name}) for name in SAMPLERS}
CASES.update({
    "own": ([], {}),
    "negative": (["--negative", "blurry, low quality"], {"negative_prompt": "blurry, low quality"}),
    "negative-empty": (["--negative", ""], {"negative_prompt": ""}),
    "rescale": (["--guidance-rescale", "0.7"], {"guidance_rescale": 0.7}),
    "unguided": (["--guidance", "1"], {"guidance_scale": 1.0}),
    "clip-skip": (["--clip-skip", "1", "--negative", "ugly"],
                  {"clip_skip": 1, "negative_prompt": "ugly"}),
    "long": (["--prompt", LONG], {"prompt": LONG}),
    "wide": (["--width", "192", "--height", "128"], {"width": 192, "height": 128}),
    "odd": (["--width", "104", "--height", "152"], {"width": 104, "height": 152}),
    "batch": (["--prompt", PROMPT, "--prompt", OTHER, "--batch", "2", "--sampler", "euler-ancestral"],
              {"prompt": [PROMPT, OTHER], "seeds": [SEED, SEED], "sampler": "euler-ancestral"}),
    "count": (["--count", "2", "--batch", "2", "--negative", "ugly"],
              {"prompt": [PROMPT] * 2, "seeds": [SEED, SEED + 1], "negative_prompt": ["ugly"] * 2}),
    "eta": (["--sampler", "ddim", "--eta", "0.5"], {"sampler": "ddim", "eta": 0.5}),
    "image": (["--image", "START", "--strength", "0.6"], {"image": True, "strength": 0.6}),
    "image-heun": (["--image", "START", "--strength", "0.5", "--sampler", "heun"],
                   {"image": True, "strength": 0.5, "sampler": "heun"}),
    "image-batch": (["--image", "START", "--strength", "0.75", "--count", "2", "--batch", "2",
                     "--sampler", "dpmpp-2m"],
                    {"image": True, "strength": 0.75, "prompt": [PROMPT] * 2,
                     "seeds": [SEED, SEED + 1], "sampler": "dpmpp-2m"}),
})
XL_CASES = {
    "sizes": (["--original-size", "640x512", "--crop", "16x8", "--target-size", "256x192"],
              {"original_size": (512, 640), "crops_coords_top_left": (8, 16),
               "target_size": (192, 256)}),
}
GOLDEN = list(SAMPLERS) + ["negative", "rescale", "unguided", "clip-skip", "odd"]


def cases_of(family):
    return CASES | (XL_CASES if family == "sdxl" else {})


# ---- diffusers -----------------------------------------------------------------------------------


def load(path):
    """The pipeline; every weight of the files has its place and the other way round."""
    unet, info = diffusers.UNet2DConditionModel.from_pretrained(path, subfolder="unet",
                                                                output_loading_info=True)
    vae, vae_info = diffusers.AutoencoderKL.from_pretrained(path, subfolder="vae",
                                                            output_loading_info=True)
    texts = {"text_encoder": transformers.CLIPTextModel}
    if os.path.isdir(f"{path}/text_encoder_2"):
        texts["text_encoder_2"] = transformers.CLIPTextModelWithProjection
    infos = {"unet": info, "vae": vae_info}
    for name, kind in texts.items():
        _, infos[name] = kind.from_pretrained(path, subfolder=name, output_loading_info=True)
    for name, found in infos.items():
        for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            assert not found[what], f"{path}/{name}: {what} {found[what]}"
    pipe = diffusers.DiffusionPipeline.from_pretrained(path)
    pipe.set_progress_bar_config(disable=True)
    # diffusers 0.42's clip_skip asks for a module that transformers 5 has merged into its parent.
    if not hasattr(pipe.text_encoder, "text_model"):
        pipe.text_encoder.__dict__["text_model"] = pipe.text_encoder
    return pipe


def sample_there(pipe, own_config, family, arguments, start_image):
    """The latents of every step, and the pictures as bytes."""
    arguments = {"prompt": PROMPT, "guidance_scale": 7.5, "num_inference_steps": STEPS} | arguments
    sampler = arguments.pop("sampler", None)
    seeds = arguments.pop("seeds", [SEED])
    kind, overrides = SAMPLERS[sampler] if sampler else (own_config["_class_name"], {})
    kwargs = dict(pipe.components)
    kwargs["scheduler"] = getattr(diffusers, kind).from_config(own_config, **overrides)
    name = "StableDiffusionXL" if family == "sdxl" else "StableDiffusion"
    name += "Img2ImgPipeline" if arguments.get("image") else "Pipeline"
    if family != "sdxl":
        kwargs["requires_safety_checker"] = False
    pipe = getattr(diffusers, name)(**kwargs)
    pipe.set_progress_bar_config(disable=True)
    if arguments.get("image"):
        arguments["image"] = start_image
    generators = [torch.Generator("cpu").manual_seed(s) for s in seeds]
    steps = []
    prepare = pipe.prepare_latents

    def keep_start(*args, **kwargs):
        latents = prepare(*args, **kwargs)
        steps.append(latents.clone())
        return latents

    def keep(pipeline, i, t, values):
        steps.append(values["latents"].clone())
        return values

    pipe.prepare_latents = keep_start
    with torch.no_grad():
        pictures = pipe(generator=generators if len(seeds) > 1 else generators[0],
                        callback_on_step_end=keep, **arguments).images
    return steps, [numpy.asarray(p) for p in pictures]


# ---- here ----------------------------------------------------------------------------------------


def sample_here(program, model, directory, arguments, start_path):
    out = tempfile.mkdtemp(dir=directory)
    arguments = [start_path if a == "START" else a for a in arguments]
    if "--prompt" not in arguments:
        arguments += ["--prompt", PROMPT]
    if "--guidance" not in arguments:
        arguments += ["--guidance", "7.5"]
    subprocess.run([program, "sample", model, "--quiet", "--steps", str(STEPS), "--rng", "torch",
                    "--seed", str(SEED), "--out", out, "--latents", f"{out}/latents.safetensors",
                    *arguments], check=True, stdout=subprocess.DEVNULL)
    latents = load_file(f"{out}/latents.safetensors")
    steps = [latents["start"]] + [latents[f"call.{i}"] for i in range(1, len(latents))]
    pictures = sorted(p for p in os.listdir(out) if p.endswith(".png"))
    return steps, [numpy.asarray(Image.open(f"{out}/{p}")) for p in pictures]


# ---- comparing -----------------------------------------------------------------------------------


def compare(name, here, there, from_image):
    """One line; True where all holds."""
    (our_steps, our_pictures), (their_steps, their_pictures) = here, there
    assert len(our_steps) == len(their_steps), (name, len(our_steps), len(their_steps))
    assert len(our_pictures) == len(their_pictures), name
    start = torch.equal(our_steps[0], their_steps[0])
    worst = max(float((a - b).double().norm() / b.double().norm())
                for a, b in zip(our_steps, their_steps))
    difference = [numpy.abs(a.astype(int) - b.astype(int))
                  for a, b in zip(our_pictures, their_pictures)]
    most = max(int(d.max()) for d in difference)
    differ = numpy.mean([float((d > 0).mean()) for d in difference])
    spread = float(numpy.std(their_pictures[0]))  # a flat picture would compare nothing
    good = (start or from_image) and worst <= 1e-3 and most <= 1 and spread > 10
    print(f"{name:24} noise {'equal' if start else 'NEAR' if from_image else 'DIFFERS':7} "
          f"latents {worst:.1e}  picture {most}/255 ({100 * differ:.2f} % of values)"
          f"{'' if good else '   FAILED'}", flush=True)
    return good


def start_image(path):
    """A picture whose size is not a multiple of 8: it is resized on both sides."""
    y, x = numpy.mgrid[0:133, 0:150]
    pixels = numpy.stack([x * 255 // 149, y * 255 // 132, (x * y) % 256], axis=-1)
    picture = Image.fromarray(pixels.astype(numpy.uint8))
    picture.save(path)
    return picture


def check(program, words):
    good = total = 0
    with tempfile.TemporaryDirectory() as directory:
        start_path = f"{directory}/start.png"
        picture = start_image(start_path)
        for family in FAMILIES:
            names = [n for n in cases_of(family)
                     if not words or any(w in f"{family}/{n}" for w in words)]
            if not names:
                continue
            model = f"{directory}/{family}"
            subprocess.run([program, "demo-model", family, model], check=True,
                           stdout=subprocess.DEVNULL)
            pipe = load(model)
            own = pipe.scheduler.config
            for name in names:
                ours, theirs = cases_of(family)[name]
                there = sample_there(pipe, own, family, dict(theirs), picture)
                here = sample_here(program, model, directory, list(ours), start_path)
                good += compare(f"{family}/{name}", here, there, "image" in theirs)
                total += 1
    print(f"{good} of {total} cases agree")
    return good == total


# ---- the fixture ---------------------------------------------------------------------------------


def projections(latents):
    """Eight sums with signs from an integer hash of the position, over [h, w, c]."""
    values = latents[0].permute(1, 2, 0).reshape(-1).double().numpy()
    index = numpy.arange(values.size, dtype=numpy.uint64)
    sums = []
    for k in range(8):
        mixed = (index * 2654435761 + k * 40503) & 0xffffffff
        mixed = (mixed ^ (mixed >> 15)) * 2246822519 & 0xffffffff
        sums.append(float(values[(mixed >> 31) == 0].sum() - values[(mixed >> 31) == 1].sum()))
    return sums


def golden(program, families):
    folder = os.path.join(os.path.dirname(__file__), "../../tests/fixtures/pipelines")
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        for family in families or FAMILIES:
            model = f"{directory}/{family}"
            subprocess.run([program, "demo-model", family, model], check=True,
                           stdout=subprocess.DEVNULL)
            pipe = load(model)
            lines, values = [], []
            for name in GOLDEN:
                steps, pictures = sample_there(pipe, pipe.scheduler.config, family,
                                               dict(cases_of(family)[name][1]), None)
                parts = {
                    "norms": [float(s.double().norm()) for s in steps],
                    "last": projections(steps[-1]),
                    "picture": pictures[0].reshape(-1)[:: pictures[0].size // 48][:48],
                }
                for part, numbers in parts.items():
                    numbers = numpy.asarray(numbers, dtype="<f4")
                    lines.append(f"{name}/{part} {numbers.size}")
                    values.append(numbers.tobytes())
            with open(f"{folder}/{family}.txt", "w", encoding="ascii") as file:
                file.write("bdpo fixture 1\n# made by tools/parity/pipelines.py golden with torch "
                           f"{torch.__version__.split('+')[0]}, diffusers {diffusers.__version__}, "
                           f"transformers {transformers.__version__}\n")
                file.write("\n".join(lines) + "\n")
            with open(f"{folder}/{family}.f32", "wb") as file:
                file.write(b"".join(values))


def main():
    warnings.filterwarnings("ignore")
    diffusers.logging.set_verbosity_error()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    diffusers.logging.disable_progress_bar()
    torch.set_num_threads(1)  # small models: threads cost more than they give
    if len(sys.argv) >= 3 and sys.argv[1] == "check":
        sys.exit(0 if check(os.path.abspath(sys.argv[2]), sys.argv[3:]) else 1)
    if len(sys.argv) >= 3 and sys.argv[1] == "golden":
        return golden(os.path.abspath(sys.argv[2]), sys.argv[3:])
    sys.exit(__doc__)


if __name__ == "__main__":
    main()
