#!/usr/bin/env python3
"""What the libraries make of pictures on their way into an image tower.

    python tools/parity/preprocess.py                  # rewrites tests/fixtures/preprocess
    python tools/parity/preprocess.py live SEED N DIR  # N random pictures, for a live run

Pinned: Pillow 13.0.0, torchvision 0.29.2, PyTorch 2.15.0, transformers 5.24.0
(CLIPImageProcessorPil, the slow one of 4.x), numpy 2.4.6. With hpsv2 1.2.0 on the path
(HPSV2_PATH) its own transform serves, else its steps over torchvision's resize; both give the same.

vectors.txt, a line each: KIND MODE WIDTH HEIGHT SEED SIZE BYTES FLOATS. The picture is the noise of
images.py. BYTES is the SHA-256 of the RGB bytes after the last step on bytes, FLOATS that of the
f32 result, channels last. For kind "hps" (antialiased) and "hps-plain" BYTES is "-" and FLOATS
counts the values, evenly spaced over the result, that follow in vectors.f32. For kind
"clip-on-white" the processor gets the picture as it is and lays alpha on white, as transformers 5
does; else it gets convert("RGB") of it, which 4 did itself.
"""
import os
import random
import sys

import numpy as np
import torch
import torchvision.transforms.functional as F
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import images
import inputs

OUT = os.path.join(inputs.FIXTURES, "preprocess")
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
ENTRIES = 96
KINDS = ("clip-image-processor", "torchvision", "hps", "hps-plain", "clip-on-white")
Image.MAX_IMAGE_PIXELS = None


def to_rgb(image):
    return image.convert("RGB")


def clip_image_processor(image, size):
    options = dict(size={"shortest_edge": size}, crop_size={"height": size, "width": size},
                   image_mean=MEAN, image_std=STD)
    whole = CLIPImageProcessorPil(**options)(image, return_tensors="np")["pixel_values"][0]
    part = CLIPImageProcessorPil(do_rescale=False, do_normalize=False, **options)
    data = part(image, return_tensors="np")["pixel_values"][0]
    return data.transpose(1, 2, 0).astype(np.uint8), whole.transpose(1, 2, 0)


def torchvision_pil(image, size):
    """The transform of OpenAI's CLIP, open_clip, BLIP and ImageReward."""
    first = Compose([Resize(size, interpolation=InterpolationMode.BICUBIC), CenterCrop(size), to_rgb])
    rgb = first(image)
    whole = Compose([ToTensor(), Normalize(MEAN, STD)])(rgb)
    return np.asarray(rgb), whole.permute(1, 2, 0).numpy()


class ResizeMaxSize(torch.nn.Module):
    """The steps of hpsv2's module of this name, with torchvision's antialias as a choice. A picture
    whose longest side is `size` already is padded too, which hpsv2 forgets."""

    def __init__(self, size, antialias):
        super().__init__()
        self.size, self.antialias = size, antialias

    def forward(self, x):
        height, width = x.shape[1:]
        scale = self.size / float(max(height, width))
        new = [round(height * scale), round(width * scale)]
        if scale != 1.0:
            x = F.resize(x, new, InterpolationMode.BICUBIC, antialias=self.antialias)
        h, w = self.size - new[0], self.size - new[1]
        return F.pad(x, [w // 2, h // 2, w - w // 2, h - h // 2], fill=0)


def hps(image, size, antialias):
    steps = Compose([to_rgb, ToTensor(), ResizeMaxSize(size, antialias), Normalize(MEAN, STD)])
    return steps(image).permute(1, 2, 0).numpy()


def hpsv2_transform(size):
    """hpsv2's own; None where it is not installed."""
    if not os.environ.get("HPSV2_PATH"):
        return None
    sys.path.insert(0, os.environ["HPSV2_PATH"])
    from hpsv2.src.open_clip.transform import image_transform
    return image_transform(size, is_train=False, mean=MEAN, std=STD, resize_longest_max=True)


def sizes_of(kind, size, generator):
    """Odd sizes: near the target, narrow, wide, small."""
    pick = generator.randrange(8)
    if pick == 0:
        return generator.randint(1, 12), generator.randint(1, 12)
    if pick == 1:
        return size + generator.randint(-3, 3), size + generator.randint(-3, 3)
    if pick == 2:
        return size, generator.randint(max(1, size // 3), 3 * size)
    if pick == 3:
        return generator.randint(max(1, size // 3), 3 * size), size
    if pick == 4:
        width = generator.randint(1, 6)
        return (width, generator.randint(1, 40 * width))[:: generator.choice((1, -1))]
    return generator.randint(1, 5 * size), generator.randint(1, 5 * size)


def case(kind, mode, width, height, seed, size, own):
    image = images.generated(mode, width, height, seed)
    head = f"{kind} {mode} {width} {height} {seed} {size}"
    if kind.startswith("hps"):
        scale = size / max(width, height)
        # PyTorch 2.15 repeats the first row of a picture that becomes one pixel wide.
        if round(width * scale) < 2 or round(height * scale) < 1:
            return None
        values = hps(image, size, kind == "hps")
        if own and kind == "hps" and max(width, height) != size:
            theirs = own(image.convert("RGB")).permute(1, 2, 0).numpy()
            assert np.array_equal(theirs, values), head
        flat = values.reshape(-1)
        return f"{head} - {ENTRIES}\n", flat[np.arange(ENTRIES) * flat.size // ENTRIES]
    if kind == "clip-image-processor":
        image = to_rgb(image)
    data, values = (torchvision_pil if kind == "torchvision" else clip_image_processor)(image, size)
    assert data.shape == values.shape == (size, size, 3) and values.dtype == np.float32
    floats = np.ascontiguousarray(values).tobytes()
    return f"{head} {images.sha(np.ascontiguousarray(data).tobytes())} {images.sha(floats)}\n", None


def write(folder, cases):
    os.makedirs(folder, exist_ok=True)
    count = 0
    with open(os.path.join(folder, "vectors.txt"), "w") as text, \
            open(os.path.join(folder, "vectors.f32"), "wb") as data:
        for made in cases:
            if made is None:
                continue
            text.write(made[0])
            if made[1] is not None:
                data.write(made[1].astype("<f4").tobytes())
            count += 1
    print(count, "cases in", folder)


def random_cases(seed, count, size_of, modes=tuple(images.CHANNELS)):
    generator = random.Random(seed)
    own = {}
    for i in range(count):
        size = size_of(generator)
        own.setdefault(size, hpsv2_transform(size))
        kind = KINDS[i % len(KINDS)]
        width, height = sizes_of(kind, size, generator)
        yield case(kind, generator.choice(modes), width, height, generator.randrange(2**31), size,
                   own[size])


def fixture_cases():
    yield from random_cases(1, 90, lambda generator: generator.choice((24, 32)))
    for kind in KINDS:
        yield case(kind, "RGB", 1, 1, 5, 224, None)
    yield case("clip-image-processor", "L", 20000, 3, 6, 224, None)
    yield case("torchvision", "P", 20000, 3, 7, 224, None)
    yield case("torchvision", "LA", 3, 9001, 8, 224, None)
    yield case("hps", "L", 20000, 60, 9, 224, None)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        write(sys.argv[4], random_cases(int(sys.argv[2]), int(sys.argv[3]),
                                        lambda generator: generator.choice((224, 224, 224, 37))))
    else:
        write(OUT, fixture_cases())
