#!/usr/bin/env python3
"""Scores by the packages themselves, on weights made from the parameters' names.

    python tools/parity/scorers.py                      # rewrites tests/fixtures/scorers
    python tools/parity/scorers.py live SEED N DIR      # N pictures x 5 prompts, small models
    python tools/parity/scorers.py full SEED N DIR [NAME ..]   # the same at the published sizes

Pinned: transformers 5.24.0, open_clip_torch 3.3.0, hpsv2 1.2.0 (its wheel unpacked at HPSV2_PATH,
with clint, args, braceexpand, webdataset and einops beside it and the packed vocabulary in
hpsv2/src/open_clip), PyTorch 2.15.0, torchvision 0.29.2, Pillow 13.0.0. VOCABULARY is the path of
bpe_simple_vocab_16e6.txt.gz; its folder holds clip_vocab.json and clip_merges.txt as well.

Each scorer goes through its own package's code:

    pickscore, clip-l  transformers: CLIPModel, the fast CLIPTokenizer, CLIPImageProcessorPil (given
                       RGB pictures: version 5 would lay alpha on white, 4 dropped it)
    clip-h             open_clip's model and tokenizer, hpsv2's transform (as Diffusion-DPO)
    clip-g             open_clip's model, tokenizer and image_transform
    hpsv2, hpsv2.1     hpsv2's own copy of open_clip: model, tokenizer, transform, and its
                       load_state_dict() of the fp16 file
    aesthetic          transformers' CLIPModel and processor, and the predictor's network

The folder gets models as their authors store them (a directory of transformers, a sharded one and
one of .bin; a directory of open_clip, a training checkpoint; the fp16 .pt of hpsv2), pictures of odd
sizes and modes, a configuration for each scorer, and expected.json, which
tests/scorers/test_parity_scorers.c reads.
"""
import json
import math
import os
import random
import shutil
import sys

import numpy as np
import torch
from PIL import Image

import images
import inputs
import model_weights as weights

VOCABULARY = os.environ.get("VOCABULARY", "bpe_simple_vocab_16e6.txt.gz")
LOGIT_SCALE = 4.25
PROMPTS = [
    "a painting of an ocean with clouds and birds, day time, low depth field effect",
    "R\u00e9sum\u00e9 of TOM &amp; Jerry's caf\u00e9!!! \u732b \u30cd\u30b3 (masterpiece:1.2)",
    "",
    "cat " * 90,
    "an oil painting   of a fox\u2019s den \u2014 trending on artstation, 4k",
]

# Sizes: embed, vision (width, layers, heads, mlp, patch), text (width, layers, heads, mlp).
SMALL = {
    "h": dict(embed=64, vision=(160, 3, 2, 320, 32), text=(96, 3, 6, 384), act="gelu"),
    "l": dict(embed=768, vision=(64, 3, 4, 256, 32), text=(64, 2, 4, 128), act="quick_gelu"),
    "g": dict(embed=80, vision=(208, 2, 2, 410, 28), text=(64, 3, 4, 160), act="gelu"),
}
FULL = {
    "h": dict(embed=1024, vision=(1280, 32, 16, 5120, 14), text=(1024, 24, 16, 4096), act="gelu"),
    "l": dict(embed=768, vision=(1024, 24, 16, 4096, 14), text=(768, 12, 12, 3072),
              act="quick_gelu"),
    "g": dict(embed=1280, vision=(1664, 48, 16, 8192, 14), text=(1280, 32, 20, 5120), act="gelu"),
}
NAMES = ("clip-h", "clip-l", "clip-g", "pickscore", "hpsv2", "hpsv2.1", "aesthetic")


# ---- weights -------------------------------------------------------------------------------------

def transformers_config(s):
    from transformers import CLIPConfig
    vw, vl, vh, vm, patch = s["vision"]
    tw, tl, th, tm = s["text"]
    return CLIPConfig(
        projection_dim=s["embed"],
        text_config=dict(hidden_size=tw, intermediate_size=tm, num_hidden_layers=tl,
                         num_attention_heads=th, hidden_act=s["act"], projection_dim=s["embed"],
                         eos_token_id=2, bos_token_id=0, pad_token_id=1),
        vision_config=dict(hidden_size=vw, intermediate_size=vm, num_hidden_layers=vl,
                           num_attention_heads=vh, hidden_act=s["act"], patch_size=patch,
                           image_size=224, projection_dim=s["embed"]))


def transformers_model(case, s):
    from transformers import CLIPModel
    model = CLIPModel(transformers_config(s)).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name == "logit_scale":
                p.fill_(LOGIT_SCALE)
                continue
            values = weights.parameter(case, name, tuple(weights.our_layout(p).shape))
            p.copy_(weights.their_layout(values))
    return model


LAYER = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj",
         "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
REST = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "logit_scale": "logit_scale",
}


def open_clip_state(theirs):
    """open_clip's names and shapes of a transformers state."""
    out = {REST[k]: v for k, v in theirs.items() if k in REST}
    out["text_projection"] = theirs["text_projection.weight"].T.contiguous()
    out["visual.proj"] = theirs["visual_projection.weight"].T.contiguous()
    for k, v in theirs.items():
        if ".layers." not in k:
            continue
        half, rest = k.split(".encoder.layers.")
        number, rest = rest.split(".", 1)
        stem = "visual." if half == "vision_model" else ""
        stem += f"transformer.resblocks.{number}."
        if "q_proj" in rest:
            parts = [theirs[k.replace("q_proj", f"{c}_proj")] for c in "qkv"]
            out[stem + "attn.in_proj_" + rest.rsplit(".", 1)[1]] = torch.cat(parts)
        elif "k_proj" not in rest and "v_proj" not in rest:
            name, end = rest.rsplit(".", 1)
            out[stem + LAYER[name] + "." + end] = v
    return out


def open_clip_config(s):
    vw, vl, vh, vm, patch = s["vision"]
    tw, tl, th, tm = s["text"]
    config = dict(embed_dim=s["embed"],
                  vision_cfg=dict(image_size=224, layers=vl, width=vw, head_width=vw // vh,
                                  mlp_ratio=vm / vw + 1e-9, patch_size=patch),
                  text_cfg=dict(context_length=77, vocab_size=49408, width=tw, heads=th, layers=tl))
    if tm != 4 * tw:  # hpsv2's copy knows no other
        config["text_cfg"]["mlp_ratio"] = tm / tw + 1e-9
    if s["act"] == "quick_gelu":
        config["quick_gelu"] = True
    return config


# ---- the packages --------------------------------------------------------------------------------

def tokenizer_folder(folder):
    base = os.path.dirname(os.path.abspath(VOCABULARY))
    shutil.copy(os.path.join(base, "clip_vocab.json"), os.path.join(folder, "vocab.json"))
    shutil.copy(os.path.join(base, "clip_merges.txt"), os.path.join(folder, "merges.txt"))


class Transformers:
    """PickScore's and Diffusion-DPO's use of a CLIPModel."""

    def __init__(self, model, folder):
        from transformers import CLIPTokenizerFast
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
        self.model, self.processor = model, CLIPImageProcessorPil()
        self.tokenizer = CLIPTokenizerFast.from_pretrained(folder)

    @torch.no_grad()
    def image(self, picture):
        pixels = self.processor(picture.convert("RGB"), return_tensors="pt")["pixel_values"]
        out = self.model.get_image_features(pixel_values=pixels)
        out = getattr(out, "pooler_output", out)
        return out / torch.norm(out, dim=-1, keepdim=True)

    @torch.no_grad()
    def text(self, prompt):
        ids = self.tokenizer(prompt, padding=True, truncation=True, max_length=77,
                             return_tensors="pt")
        out = self.model.get_text_features(**ids)
        out = getattr(out, "pooler_output", out)
        return out / torch.norm(out, dim=-1, keepdim=True)

    def scale(self):
        return self.model.logit_scale.exp().detach()


class OpenClip:
    """open_clip 3.3, with a transform of its own or hpsv2's."""

    def __init__(self, name, config, state, hps):
        import open_clip
        path = os.path.join("/tmp", name + ".json")
        with open(path, "w") as file:
            json.dump(config, file)
        open_clip.add_model_config(path)
        self.model = open_clip.create_model(name, pretrained=None).eval()
        self.model.load_state_dict(state)
        self.tokenizer = open_clip.get_tokenizer("ViT-B-32")
        self.transform = hps_transform() if hps else open_clip.image_transform(
            224, is_train=False, mean=open_clip.OPENAI_DATASET_MEAN,
            std=open_clip.OPENAI_DATASET_STD)

    @torch.no_grad()
    def image(self, picture):
        return self.model.encode_image(self.transform(picture)[None], normalize=True)

    @torch.no_grad()
    def text(self, prompt):
        return self.model.encode_text(self.tokenizer([prompt]), normalize=True)


def hpsv2_package():
    sys.path.insert(0, os.environ["HPSV2_PATH"])
    import hpsv2.src.open_clip as package
    return package


def hps_transform():
    """hpsv2's, for any mode: it keeps four channels of RGBA, which its model then refuses, and pads
    nothing where the longest side is 224 already, which its model refuses too."""
    theirs = hpsv2_package().image_transform(224, is_train=False, resize_longest_max=True)

    def transform(picture):
        x = theirs(picture.convert("RGB"))
        if x.shape[1:] == (224, 224):
            return x
        import preprocess
        return torch.from_numpy(preprocess.hps(picture.convert("RGB"), 224, True)).permute(2, 0, 1)

    return transform


class Hps:
    """hpsv2's img_score.py without CUDA, where its autocast does nothing."""

    def __init__(self, name, config, path):
        package = hpsv2_package()
        file = os.path.join("/tmp", name + ".json")
        with open(file, "w") as out:
            json.dump(config, out)
        package.add_model_config(file)
        self.model, _, _ = package.create_model_and_transforms(
            name, None, precision="amp", device="cpu", jit=False, force_quick_gelu=False,
            force_custom_text=False, force_patch_dropout=False, force_image_size=None,
            pretrained_image=False, image_mean=None, image_std=None, light_augmentation=True,
            aug_cfg={}, output_dict=True, with_score_predictor=False, with_region_predictor=False)
        self.model.load_state_dict(torch.load(path, map_location="cpu")["state_dict"])
        self.model.eval()
        self.tokenizer, self.transform = package.get_tokenizer("ViT-H-14"), hps_transform()

    @torch.no_grad()
    def image(self, picture):
        return self.model.encode_image(self.transform(picture)[None], normalize=True)

    @torch.no_grad()
    def text(self, prompt):
        return self.model.encode_text(self.tokenizer([prompt]), normalize=True)


def aesthetic_network():
    """The predictor's layers; dropouts carry no weights but their numbers."""
    layer = torch.nn.Linear
    drop = torch.nn.Dropout(0)
    net = torch.nn.Sequential(layer(768, 1024), drop, layer(1024, 128), drop, layer(128, 64), drop,
                              layer(64, 16), layer(16, 1))
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(torch.from_numpy(weights.parameter("head", "layers." + name, tuple(p.shape))))
        net[0].weight.mul_(768 ** 0.5)  # of an input of length 1
        net[7].bias.fill_(5)  # scores as those of the real one
    return net.eval()


# ---- models on disk ------------------------------------------------------------------------------

def write_json(path, value):
    with open(path, "w") as file:
        json.dump(value, file, indent=1)


class Folder:
    """The scorers of a live run, their files and their references."""

    def __init__(self, root, sizes):
        self.root, self.sizes = root, sizes
        os.makedirs(root, exist_ok=True)

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def transformers(self, case, size, how):
        folder = self.path(case)
        model = transformers_model(case, self.sizes[size])
        if how == "sharded":
            model.save_pretrained(folder, max_shard_size="5MB" if self.sizes is SMALL else "1GB")
        elif how == "bin":
            os.makedirs(folder, exist_ok=True)
            torch.save(model.state_dict(), os.path.join(folder, "pytorch_model.bin"))
            model.config.save_pretrained(folder)
        else:
            model.save_pretrained(folder)
        config = json.load(open(os.path.join(folder, "config.json")))
        config["architectures"] = ["CLIPModel"]
        write_json(os.path.join(folder, "config.json"), config)
        tokenizer_folder(folder)
        return Transformers(model, folder)

    def state(self, case, size):
        model = transformers_model(case, self.sizes[size])
        return open_clip_state({k: v.detach().clone() for k, v in model.state_dict().items()
                                if "position_ids" not in k})

    def scorer(self, name, **fields):
        preset = {"clip-h": ("open-clip", "hps", "cosine"),
                  "clip-l": ("fast", "clip-image-processor", "cosine"),
                  "clip-g": ("open-clip", "torchvision", "cosine"),
                  "pickscore": ("fast", "clip-image-processor", "logit-scale"),
                  "hpsv2": ("open-clip", "hps", "cosine"),
                  "hpsv2.1": ("open-clip", "hps", "cosine")}
        config = dict(name=name, family="aesthetic" if name == "aesthetic" else "clip", **fields)
        if name in preset:
            config.update(zip(("pipeline", "preprocess", "scale"), preset[name]))
        else:
            config["preprocess"] = "clip-image-processor"
        write_json(self.path(name + ".json"), config)

    def make(self, name):
        """Writes the files; returns the function (picture, prompt) -> score, in parts."""
        if name == "pickscore":
            made = self.transformers("pick", "h", "sharded")
            self.scorer(name, checkpoint="pick")
            return made, made.scale()
        if name == "clip-l":
            made = self.transformers("openai", "l", "bin")
            self.scorer(name, checkpoint="openai")
            return made, 1
        if name == "aesthetic":
            made = self.transformers("openai", "l", "bin")
            head = aesthetic_network()
            torch.save({"layers." + k: v for k, v in head.state_dict().items()},
                       self.path("head.pth"))
            self.scorer(name, checkpoint="head.pth", backbone="openai")
            return (made, head), None
        if name == "clip-h":
            state = self.state("laion-h", "h")
            os.makedirs(self.path("laion-h"), exist_ok=True)
            from safetensors.torch import save_file
            save_file(state, self.path("laion-h", "open_clip_model.safetensors"))
            config = open_clip_config(self.sizes["h"])
            write_json(self.path("laion-h", "open_clip_config.json"), {"model_cfg": config})
            self.scorer(name, checkpoint="laion-h", tokenizer=os.path.abspath(VOCABULARY))
            return OpenClip("parity-h", config, state, True), 1
        if name == "clip-g":
            state = self.state("laion-g", "g")
            config = open_clip_config(self.sizes["g"])
            training = {"epoch": 3, "name": "run", "optimizer": {"step": 7},
                        "state_dict": {"module." + k: v for k, v in state.items()}}
            torch.save(training, self.path("epoch_3.pt"))
            write_json(self.path("g_config.json"), config)
            self.scorer(name, checkpoint="epoch_3.pt", model_config="g_config.json",
                        tokenizer=os.path.abspath(VOCABULARY))
            return OpenClip("parity-g", config, state, False), 1
        case = "hps-21" if "." in name else "hps-20"
        state = {k: v.half() for k, v in self.state(case, "h").items()}
        folder = self.path(case)
        os.makedirs(folder, exist_ok=True)
        file = os.path.join(folder, "HPS_v2.1_compressed.pt" if "." in name
                            else "HPS_v2_compressed.pt")
        torch.save({"state_dict": state}, file)
        config = open_clip_config(self.sizes["h"])
        fields = dict(checkpoint=os.path.relpath(file, self.root),
                      tokenizer=os.path.abspath(VOCABULARY))
        if self.sizes is SMALL:
            write_json(os.path.join(folder, "open_clip_config.json"), {"model_cfg": config})
        else:
            fields.update(activation="gelu")  # the sizes show in the tensors
        self.scorer(name, **fields)
        return Hps("parity-" + case, config, file), 1


# ---- scores --------------------------------------------------------------------------------------

def scores(reference, scale, pictures):
    if scale is None:
        made, head = reference
        with torch.no_grad():
            return [[float(head(made.image(p)))] * len(PROMPTS) for p in pictures]
    texts = torch.cat([reference.text(t) for t in PROMPTS])
    return [(scale * (texts @ reference.image(p).T)).reshape(-1).tolist() for p in pictures]


def picture(generator, index):
    """Odd sizes and modes; smooth enough that scores differ."""
    mode = generator.choice(("RGB", "RGB", "RGB", "L", "LA", "RGBA", "P", "1", "CMYK"))
    width, height = generator.randint(1, 700), generator.randint(1, 700)
    if index % 10 == 0:
        width = 224
    if index % 10 == 1:
        width, height = 224, 224
    if index == 2:
        width = height = 1
    if min(width, height) * 224 / max(width, height) < 1.5:
        width = height
    low = images.generated("RGB", generator.randint(1, 9), generator.randint(1, 9),
                           generator.randrange(2**31))
    whole = low.resize((width, height), Image.Resampling.BILINEAR)
    if mode == "P":
        return whole.quantize(64)
    if mode in ("LA", "RGBA"):
        alpha = low.getchannel(1).resize((width, height), Image.Resampling.BILINEAR)
        whole = whole.convert("L" if mode == "LA" else "RGB")
        whole.putalpha(alpha)
        return whole
    return whole.convert(mode)


def write_pictures(folder, seed, count):
    generator = random.Random(seed)
    os.makedirs(os.path.join(folder, "images"), exist_ok=True)
    names, opened = [], []
    for i in range(count):
        image = picture(generator, i)
        name = f"images/{i:04d}." + ("jpg" if image.mode == "CMYK" else
                                     generator.choice(("png", "jpg", "webp"))
                                     if image.mode == "RGB" else "png")
        options = dict(quality=90) if name.endswith("jpg") else {}
        image.save(os.path.join(folder, name), **options)
        names.append(name)
        opened.append(Image.open(os.path.join(folder, name)))
    return names, opened


def live(sizes, seed, count, root, names):
    folder = Folder(root, sizes)
    files, pictures = write_pictures(root, seed, count)
    expected = dict(images=files, prompts=PROMPTS, scorers=[])
    for name in names:
        reference, scale = folder.make(name)
        made = scores(reference, scale, pictures)
        del reference
        expected["scorers"].append(dict(config=name + ".json", scores=made))
        flat = np.asarray(made)
        print(f"{name}: {flat.min():.4f} .. {flat.max():.4f}", flush=True)
        write_json(os.path.join(root, "expected.json"), expected)


# ---- the committed fixture -----------------------------------------------------------------------

def fixture():
    """Small models that the test itself writes, and pictures that it generates."""
    made = []
    generator = random.Random(5)
    pictures = []
    for mode, width, height in (("RGB", 40, 30), ("L", 23, 61), ("RGBA", 300, 224), ("P", 57, 91),
                                ("LA", 225, 227), ("CMYK", 31, 31), ("1", 64, 48), ("RGB", 1, 1),
                                ("RGB", 224, 100), ("RGB", 500, 13)):
        seed = generator.randrange(2**31)
        pictures.append((mode, width, height, seed, images.generated(mode, width, height, seed)))
    folder = "/tmp/bdpo-scorers-fixture"
    os.makedirs(folder, exist_ok=True)
    work = Folder(folder, SMALL)
    for name in NAMES:
        if name == "hpsv2.1":
            continue  # hpsv2 under another name
        reference, scale = work.make(name)
        made.append(dict(name=name, scores=scores(reference, scale, [p[4] for p in pictures])))
    out = os.path.join(inputs.FIXTURES, "scorers")
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "scores.json"), "w") as file:
        json.dump(dict(prompts=PROMPTS, images=[list(p[:4]) for p in pictures], scorers=made,
                       logit_scale=LOGIT_SCALE), file, indent=0)


if __name__ == "__main__":
    torch.manual_seed(0)
    if len(sys.argv) > 1:
        live(SMALL if sys.argv[1] == "live" else FULL, int(sys.argv[2]), int(sys.argv[3]),
             sys.argv[4], sys.argv[5:] or NAMES)
    else:
        fixture()
