#!/usr/bin/env python3
"""Scores of the image-reward package: the committed fixture, and cases for the live test.

    python tools/parity/image_reward.py fixtures            tests/fixtures/image_reward: a small model
    python tools/parity/image_reward.py live DIR [DATA]     200 pictures x 5 prompts by the small model
    python tools/parity/image_reward.py full DIR [DATA]     20 pictures by one of the published size
    BDPO_LIVE_IMAGE_REWARD_DIR=DIR bdpo_test --tier long image_reward_live

Runs with the package itself: see image_reward_package.py for the versions and how to install them.
Weights are functions of their names (model_weights.py). The live cases are whole folders as the
package's: ImageReward.pt as torch.save writes it, med_config.json, vocab.txt, pictures of odd sizes
and all modes, prompts.json, and the package's scores as a fixture (tests/parity/fixture.h) with a
key for each picture. DATA is a folder with images/, prompts/ and tokenizers/.
"""
import json
import os
import random
import shutil
import sys
import time

import numpy as np
import torch
from PIL import Image, ImageDraw

import image_reward_package as package
import inputs
import model_weights as weights

SMALL = dict(
    vision=dict(embed_dim=64, depth=2, num_heads=4, img_size=224, patch_size=32),
    text=dict(hidden_size=48, intermediate_size=160, num_hidden_layers=2, num_attention_heads=4,
              vocab_size=0, max_position_embeddings=40))
SMALL_VOCABULARY = os.path.join(inputs.ROOT, "tests", "text", "wordpiece")
PICTURES = os.path.join(inputs.FIXTURES, "images")
# Also in tests/scorers/test_image_reward.c.
PROMPTS = ["the plan of a graph", "", "Caf\u00e9 \u4e00 [SEP] \u0434\u0430!",
           "a store, a node and a kernel " * 8, "\u0000\u200b\ufffd x"]


def build(case, sizes, vocabulary):
    with open(vocabulary + "/vocab.txt", encoding="utf-8") as f:
        sizes["text"]["vocab_size"] = len(f.read().rstrip("\n").split("\n")) + 2
    return weights.fill(package.build(sizes, vocabulary), case)


def score_all(m, folder, names, prompts, origin, path):
    """Writes the fixture; pictures that Pillow does not open are left out."""
    out = inputs.Fixture(path, origin)
    start = time.time()
    for name in names:
        try:
            image = Image.open(os.path.join(folder, name))
            image.load()
        except OSError as error:
            print(f"{name} is left out: {error}")
            continue
        with torch.no_grad():
            out.add(name, [m.score(p, image) for p in prompts])
    out.write()
    values = np.array([v for _, v in out.tensors])
    print(f"{len(values)} pictures x {len(prompts)} prompts in {time.time() - start:.1f} s; scores "
          f"{values.min():.3f} to {values.max():.3f}; deviation over pictures "
          f"{values.std(0).min():.4f}, over prompts {values.std(1).mean():.4f}")


def fixtures():
    m = build("image_reward", SMALL, SMALL_VOCABULARY)
    names = sorted(n for n in os.listdir(PICTURES) if not n.endswith(".txt"))
    score_all(m, PICTURES, names, PROMPTS,
              [f"tools/parity/image_reward.py, {package.origin()}",
               "of each picture of tests/fixtures/images: the scores of 5 prompts"],
              os.path.join(inputs.FIXTURES, "image_reward", "image_reward"))


# ---- pictures ------------------------------------------------------------------------------------

MODES = ["RGB", "RGB", "RGB", "RGBA", "L", "LA", "P", "1", "CMYK"]
KINDS = {"RGB": ("png", "jpg", "webp"), "RGBA": ("png", "webp"), "L": ("png", "jpg"),
         "LA": ("png",), "P": ("png",), "1": ("png",), "CMYK": ("jpg",)}


def sides(draw, i):
    special = [(1, 1), (1, 300), (1000, 3), (224, 224), (224, 500), (223, 225), (2000, 31), (7, 7)]
    return special[i] if i < len(special) else (draw.randint(20, 700), draw.randint(20, 700))


def picture(draw, i):
    """Shapes over a gradient, in one of the modes."""
    w, h = sides(draw, i)
    across = np.linspace(0, 255, w)[None, :, None] * np.array(draw.choices(range(3), k=3)) / 2
    down = np.linspace(0, 255, h)[:, None, None] * np.array(draw.choices(range(3), k=3)) / 2
    image = Image.fromarray(((across + down) % 256).astype(np.uint8), "RGB")
    pen = ImageDraw.Draw(image)
    for _ in range(draw.randint(0, 12)):
        x, y, r = draw.randint(0, w), draw.randint(0, h), draw.randint(1, max(w, h) // 3 + 1)
        shape = pen.ellipse if draw.random() < 0.5 else pen.rectangle
        shape((x - r, y - r, x + r, y + r), fill=tuple(draw.choices(range(256), k=3)))
    mode = MODES[i % len(MODES)]
    if mode in ("RGBA", "LA"):
        alpha = Image.new("L", (w, h), draw.randint(0, 255))
        ImageDraw.Draw(alpha).ellipse((0, 0, w // 2 + 1, h // 2 + 1), fill=draw.randint(0, 255))
        image = image.convert("RGB" if mode == "RGBA" else "L").convert(mode)
        image.putalpha(alpha)
        return image
    return image.quantize(draw.randint(2, 256)) if mode == "P" else image.convert(mode)


def write_pictures(folder, n, data):
    """Those of the data folder, then made ones."""
    os.makedirs(folder)
    names = []
    for name in sorted(os.listdir(data + "/images")):
        if not name.endswith(".json"):
            shutil.copy(os.path.join(data, "images", name), folder)
            names.append(name)
    draw = random.Random(5)
    for i in range(n - len(names)):
        image = picture(draw, i)
        name = f"made_{i}.{draw.choice(KINDS[image.mode])}"
        image.save(os.path.join(folder, name))
        names.append(name)
    return names[:n]


def some_prompts(data):
    lines = open(data + "/prompts/PartiPrompts.tsv", encoding="utf-8").read().split("\n")
    return [lines[5].split("\t")[0], lines[900].split("\t")[0], "", "\u4e00\u53ea\u732b caf\u00e9",
            "a painting of an ocean with clouds and birds, day time, low depth field effect " * 4]


def live(out, data, sizes, n):
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    shutil.copy(data + "/tokenizers/bert_base_uncased_vocab.txt", out + "/vocab.txt")
    m = build("image_reward_live", sizes, out)
    print(f"{sum(p.numel() for p in m.parameters()):,} parameters")
    torch.save(m.state_dict(), out + "/ImageReward.pt")
    json.dump(package.med_config(sizes["text"]), open(out + "/med_config.json", "w"))
    json.dump({"name": "live-reward", "family": "image-reward",
               "vision_heads": sizes["vision"]["num_heads"]}, open(out + "/scorer.json", "w"))
    prompts = some_prompts(data)
    json.dump(prompts, open(out + "/prompts.json", "w"))
    names = write_pictures(out + "/pictures", n, data)
    score_all(m, out + "/pictures", names, prompts,
              [f"tools/parity/image_reward.py, {package.origin()}"], out + "/scores")


def main():
    torch.set_num_threads(2)
    torch.manual_seed(0)
    arguments = sys.argv[1:]
    data = arguments[2] if len(arguments) > 2 else os.path.join(inputs.ROOT, "../shared/data")
    if arguments[:1] == ["fixtures"]:
        fixtures()
    elif arguments[:1] == ["live"] and len(arguments) > 1:
        live(arguments[1], data, SMALL, 200)
    elif arguments[:1] == ["full"] and len(arguments) > 1:
        live(arguments[1], data, package.PUBLISHED, 20)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
