#!/usr/bin/env python3
"""Five scorers in one `bdpo score` beside their five Python packages, one after another.

    bench/bench_score.py make DIR [--full] [--pictures N]     weights and pictures, once
    bench/bench_score.py run DIR BDPO [--threads N] [--rounds N]

clip-h (open_clip), hpsv2.1 (hpsv2), pickscore and aesthetic (transformers), imagereward
(image-reward): the same random weights in each package's own files, small or of the published
sizes, and pairs of JPEGs of 512 x 512, each pair under a prompt of its own. Each package is a process
that loads its model once and takes pictures in batches of 8; its prompts go in the same batches.

    whole    from the start of the processes to their end; theirs is the sum of the five
    scoring  the same without starting and loading
    memory   the peak of the resident set; theirs is the largest of the five

What the packages need is said in tools/parity/scorers.py and image_reward_package.py; IR_PYTHON
names the interpreter of image-reward's environment (default: this one).
"""
import argparse
import csv
import json
import os
import random
import resource
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools", "parity"))
NAMES = ("clip-h", "hpsv2.1", "pickscore", "aesthetic", "imagereward")
REWARD_PYTHON = os.environ.get("IR_PYTHON", sys.executable)
BATCH = 8


# ---- files ---------------------------------------------------------------------------------------

def make_pictures(folder, count):
    import numpy as np
    from PIL import Image
    noise = np.random.default_rng(0)
    words = random.Random(0)
    os.makedirs(os.path.join(folder, "pictures"), exist_ok=True)
    with open(os.path.join(folder, "pairs.csv"), "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image_0", "image_1", "prompt"])
        for i in range(count // 2):
            names = []
            for k in range(2):
                low = Image.fromarray(noise.integers(0, 256, (24, 24, 3), dtype=np.uint8))
                names.append(f"pictures/{i:05d}_{k}.jpg")
                low.resize((512, 512), Image.Resampling.BICUBIC).save(
                    os.path.join(folder, names[-1]), quality=92)
            colour, thing, place = (words.choice(w) for w in (
                ("red", "blue", "golden", "pale"), ("fox", "castle", "ship", "old man", "teapot"),
                ("in the snow", "by the sea", "at night", "on a hill, oil painting")))
            rows.writerow(names + [f"a {colour} {thing} {place}, number {i}"])


def make(folder, full, count):
    import scorers
    os.makedirs(folder, exist_ok=True)
    work = scorers.Folder(folder, scorers.FULL if full else scorers.SMALL)
    for name in NAMES[:4]:
        work.make(name)
        print(name, flush=True)
    subprocess.run([REWARD_PYTHON, __file__, "make-reward", folder] + ["--full"] * full, check=True)
    make_pictures(folder, count)


def make_reward(folder, full):
    import image_reward
    import image_reward_package as package
    import torch
    target = os.path.join(folder, "reward")
    os.makedirs(target, exist_ok=True)
    sizes = package.PUBLISHED if full else image_reward.SMALL
    vocabulary = image_reward.SMALL_VOCABULARY
    model = image_reward.build("reward", sizes, vocabulary)
    torch.save(model.state_dict(), os.path.join(target, "ImageReward.pt"))
    with open(os.path.join(target, "med_config.json"), "w") as out:
        json.dump(package.med_config(sizes["text"]), out)
    with open(os.path.join(vocabulary, "vocab.txt"), "rb") as source:
        with open(os.path.join(target, "vocab.txt"), "wb") as out:
            out.write(source.read())
    with open(os.path.join(folder, "sizes.json"), "w") as out:
        json.dump(sizes, out)
    with open(os.path.join(folder, "imagereward.json"), "w") as out:
        json.dump({"name": "imagereward", "family": "image-reward",
                   "checkpoint": "reward/ImageReward.pt",
                   "vision_heads": sizes["vision"]["num_heads"]}, out)


# ---- theirs --------------------------------------------------------------------------------------

class Tower:
    """A CLIP of scorers.py, loaded from its files, by batches."""

    def __init__(self, name, folder):
        import torch
        import scorers
        self.torch, self.name = torch, name
        path = lambda *parts: os.path.join(folder, *parts)
        config = json.load(open(path(name + ".json")))
        weights = path(config.get("backbone", config["checkpoint"]))
        if name in ("pickscore", "aesthetic"):
            from transformers import CLIPModel
            self.made = scorers.Transformers(CLIPModel.from_pretrained(weights).eval(), weights)
        elif name == "clip-h":
            from safetensors.torch import load_file
            model = json.load(open(path("laion-h", "open_clip_config.json")))["model_cfg"]
            state = load_file(path("laion-h", "open_clip_model.safetensors"))
            self.made = scorers.OpenClip("bench-h", model, state, True)
        else:
            model = json.load(open(path("laion-h", "open_clip_config.json")))["model_cfg"]
            self.made = scorers.Hps("bench-hps", model, weights)
        self.head = None
        if name == "aesthetic":
            self.head = scorers.aesthetic_network()

    def images(self, pictures):
        made, torch = self.made, self.torch
        if hasattr(made, "transform"):
            pixels = torch.stack([made.transform(p) for p in pictures])
            return made.model.encode_image(pixels, normalize=True)
        pixels = made.processor([p.convert("RGB") for p in pictures], return_tensors="pt")
        out = made.model.get_image_features(pixel_values=pixels["pixel_values"])
        return torch.nn.functional.normalize(getattr(out, "pooler_output", out), dim=-1)

    def texts(self, prompts):
        made, torch = self.made, self.torch
        if hasattr(made, "transform"):
            return made.model.encode_text(made.tokenizer(prompts), normalize=True)
        ids = made.tokenizer(prompts, padding=True, truncation=True, max_length=77,
                             return_tensors="pt")
        out = made.model.get_text_features(**ids)
        return torch.nn.functional.normalize(getattr(out, "pooler_output", out), dim=-1)

    def score(self, pictures, prompts):
        if self.head:
            return self.head(self.images(pictures))[:, 0].tolist()
        values = (self.images(pictures) * self.texts(prompts)).sum(-1)
        return (values * self.made.scale() if self.name == "pickscore" else values).tolist()


class Reward:
    def __init__(self, folder):
        import torch
        import image_reward_package as package
        sizes = json.load(open(os.path.join(folder, "sizes.json")))
        self.model = package.build(sizes, os.path.join(folder, "reward"))
        self.model.load_state_dict(torch.load(os.path.join(folder, "reward", "ImageReward.pt")))

    def score(self, pictures, prompts):
        return [self.model.score(prompt, picture) for picture, prompt in zip(pictures, prompts)]


def theirs(name, folder, threads):
    import torch
    from PIL import Image
    torch.set_num_threads(threads)
    model = Reward(folder) if name == "imagereward" else Tower(name, folder)
    items = []
    for row in csv.DictReader(open(os.path.join(folder, "pairs.csv"), newline="")):
        items += [(row["image_0"], row["prompt"]), (row["image_1"], row["prompt"])]
    scores = []
    begin = time.perf_counter()
    with torch.inference_mode():
        for i in range(0, len(items), BATCH):
            part = items[i:i + BATCH]
            pictures = [Image.open(os.path.join(folder, path)) for path, _ in part]
            scores += model.score(pictures, [prompt for _, prompt in part])
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"scoring": seconds, "peak": peak, "scores": scores}))


# ---- both ----------------------------------------------------------------------------------------

def run_theirs(folder, threads):
    total = {"whole": 0, "scoring": 0, "peak": 0, "scores": {}}
    for name in NAMES:
        python = REWARD_PYTHON if name == "imagereward" else sys.executable
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MALLOC_MMAP_MAX_="0",
                           MALLOC_TRIM_THRESHOLD_=str(1 << 36))
        begin = time.perf_counter()
        done = subprocess.run([python, __file__, "theirs", folder, name, "--threads", str(threads)],
                              check=True, stdout=subprocess.PIPE, env=environment)
        seconds = time.perf_counter() - begin
        told = json.loads(done.stdout.splitlines()[-1])
        print(f"  {name:12} {seconds:8.2f} s, scoring {told['scoring']:8.2f} s, "
              f"{told['peak'] / 1e6:7.0f} MB", flush=True)
        total["whole"] += seconds
        total["scoring"] += told["scoring"]
        total["peak"] = max(total["peak"], told["peak"])
        total["scores"][name] = told["scores"]
    return total


def run_ours(program, folder, threads):
    store = os.path.join(folder, "bench.db")
    for end in ("", "-wal", "-shm"):
        if os.path.exists(store + end):
            os.remove(store + end)
    configs = " ".join(name + ".json" for name in NAMES)
    command = [program, "score", "pairs.csv", "-o", "bench.db", "--threads", str(threads), "--json",
               "-q", "--scorer", configs]
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder)
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - begin
    if status != 0:
        sys.exit(f"{program} score failed")
    told = json.loads(out)
    return {"whole": seconds, "scoring": told["seconds"], "peak": usage.ru_maxrss * 1024}


def compare_scores(program, folder, scores):
    """The largest difference, relative to the spread of a scorer's scores."""
    out = subprocess.run([program, "store", "bench.db", "export", "--pairs", "--format", "csv"],
                         cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = list(csv.DictReader(out.splitlines()))
    for name in NAMES:
        columns = [c for c in rows[0] if c.split("@")[0].rsplit("_", 1)[0] == name]
        ours = [float(row[c]) for row in rows for c in columns[:2]]
        spread = max(scores[name]) - min(scores[name])
        worst = max(abs(a - b) for a, b in zip(ours, scores[name]))
        print(f"  {name:12} largest difference {worst:.2e}, of a spread of {spread:.2e}")


def run(program, folder, threads, rounds):
    program, folder = os.path.abspath(program), os.path.abspath(folder)
    count = 2 * (sum(1 for _ in open(os.path.join(folder, "pairs.csv"))) - 1)
    best = {}
    for _ in range(rounds):
        found = {"theirs": run_theirs(folder, threads), "ours": run_ours(program, folder, threads)}
        for side, value in found.items():
            if side not in best or value["whole"] < best[side]["whole"]:
                best[side] = value
    compare_scores(program, folder, best["theirs"]["scores"])
    ours, peer = best["ours"], best["theirs"]
    print(f"{count} pictures x {len(NAMES)} scorers, {threads} threads")
    for part in ("whole", "scoring"):
        print(f"{part:8} {ours[part]:8.2f} s, {count / ours[part]:8.2f} pictures/s; theirs "
              f"{peer[part]:8.2f} s, {count / peer[part]:8.2f}: x {peer[part] / ours[part]:.2f}")
    print(f"memory   {ours['peak'] / 1e6:8.0f} MB; theirs {peer['peak'] / 1e6:8.0f} MB: "
          f"x {peer['peak'] / ours['peak']:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "make-reward", "theirs", "run"])
    parser.add_argument("folder")
    parser.add_argument("name", nargs="?", help="run: the program; theirs: the scorer")
    parser.add_argument("--full", action="store_true", help="the published sizes")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    o = parser.parse_args()
    if o.what == "make":
        make(o.folder, o.full, o.pictures)
    elif o.what == "make-reward":
        make_reward(o.folder, o.full)
    elif o.what == "theirs":
        theirs(o.name, o.folder, o.threads)
    else:
        run(o.name, o.folder, o.threads, o.rounds)


if __name__ == "__main__":
    main()
