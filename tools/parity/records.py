#!/usr/bin/env python3
"""Writes tests/fixtures/records/: one small set of pairs in every form of data set, and for each form
what a reader must find in it (FORM.expected, a line for each row; see expected()).

    python tools/parity/records.py

pyarrow 26.0, Pillow 13.0; tarfile, csv and json of Python 3.11. The pictures are noise made here.
"""
import csv
import hashlib
import io
import json
import os
import random
import shutil
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/fixtures/records")
NAN = float("nan")

# prompt, label (1: the first picture is preferred; None: nobody chose)
TABLE = [
    ("a red square, on blue", 1.0),
    ('a "quoted" thing, and more', 0.0),
    ("一只橙色的猫坐在窗台上", 0.5),
    (" spaces around ", None),
    ('"G I G G L E" on a sign', 1.0),
    ("an émigré at 5\" screens; naïve ☃", 0.0),
    ("a red square, on blue", 1.0),
]


def picture(seed, kind):
    r = random.Random(seed)
    side = (8 + seed % 5, 6 + seed % 3)
    image = Image.frombytes("RGB", side, bytes(r.randrange(256) for _ in range(3 * side[0] * side[1])))
    out = io.BytesIO()
    image.save(out, kind, **({"quality": 40} if kind == "JPEG" else {}))
    return out.getvalue()


ROWS = []
for i, (prompt, label) in enumerate(TABLE):
    pictures = [picture(2 * i + k, "JPEG") for k in (0, 1)]
    if i == 6:  # the first row again, pictures swapped
        pictures = ROWS[0]["pictures"][::-1]
    ROWS.append(dict(prompt=prompt, label=label, pictures=pictures, uids=["u%d_%d" % (i, k) for k in (0, 1)],
                     models=["sdxl", "dreamlike" if i % 2 else "sd1"], ranking=100 + i, examples=1 + i % 3))


def path(*names):
    whole = os.path.join(OUT, *names)
    os.makedirs(os.path.dirname(whole), exist_ok=True)
    return whole


def write(data, *names):
    with open(path(*names), "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16] if data is not None else "-"


def expected(form, lines):
    """index, label, digests of the pictures, uids, models, prompt as JSON; separated by tabs."""
    write("".join("\t".join(line) + "\n" for line in lines), form + ".expected")


def line(index, row, label="row", uids=True, pictures=True, split="-"):
    label = row["label"] if label == "row" else label
    return ["%d" % index, "%g" % label if label is not None else "nan"] + \
        [digest(p) if pictures else "-" for p in row["pictures"]] + \
        (["%s %s" % tuple(row["uids"]), "%s %s" % tuple(row["models"])] if uids else ["-", "-"]) + \
        [split, json.dumps(row["prompt"], ensure_ascii=False)]


# ---- Pick-a-Pic ----------------------------------------------------------------------------

def pickapic_table(rows, with_pictures=True):
    labels = [r["label"] if r["label"] is not None else 0.5 for r in rows]
    columns = {
        "are_different": pa.array([True] * len(rows)),
        "best_image_uid": pa.array([r["uids"][0] if l == 1 else r["uids"][1] if l == 0 else "tie"
                                    for r, l in zip(rows, labels)]),
        "caption": pa.array([r["prompt"] for r in rows]),
        "created_at": pa.array([1_680_000_000_000_000_000 + i for i in range(len(rows))], pa.timestamp("ns")),
        "has_label": pa.array([r["label"] is not None for r in rows]),
        "image_0_uid": pa.array([r["uids"][0] for r in rows]),
        "image_0_url": pa.array(["https://example.org/%s" % r["uids"][0] for r in rows]),
        "image_1_uid": pa.array([r["uids"][1] for r in rows]),
        "image_1_url": pa.array(["https://example.org/%s" % r["uids"][1] for r in rows]),
        "jpg_0": pa.array([r["pictures"][0] for r in rows], pa.binary()),
        "jpg_1": pa.array([r["pictures"][1] for r in rows], pa.binary()),
        "label_0": pa.array(labels),
        "label_1": pa.array([1 - l for l in labels]),
        "model_0": pa.array([r["models"][0] for r in rows]),
        "model_1": pa.array([r["models"][1] for r in rows]),
        "ranking_id": pa.array([r["ranking"] for r in rows]),
        "user_id": pa.array([7] * len(rows)),
        "num_example_per_prompt": pa.array([r["examples"] for r in rows]),
        "__index_level_0__": pa.array(list(range(len(rows)))),
    }
    if not with_pictures:
        del columns["jpg_0"], columns["jpg_1"]
    return pa.table(columns)


def write_pickapic():
    shards = [("train-00000-of-00002-0a1b", ROWS[:3]), ("train-00001-of-00002-2c3d", ROWS[3:5]),
              ("validation_unique-00000-of-00001-4e5f", ROWS[5:])]
    lines, index = [], 0
    for name, rows in shards:
        pq.write_table(pickapic_table(rows), path("pickapic", "data", name + ".parquet"), row_group_size=2)
        for row in rows:
            lines.append(line(index, row, split=name.split("-")[0]))
            index += 1
    expected("pickapic", lines)
    pq.write_table(pickapic_table(ROWS, False), path("no_images", "train-00000-of-00001.parquet"))
    expected("no_images", [line(i, r, pictures=False, split="train") for i, r in enumerate(ROWS)])


def write_remade():
    """The same after a way through pandas and the datasets library: pictures are groups, numbers with a null
    among them are reals, and columns without any value are of no type."""
    table = pickapic_table(ROWS)
    numbers = {"label_0": table["label_0"], "has_label": table["has_label"].cast(pa.int8()),
               "num_example_per_prompt": table["num_example_per_prompt"], "ranking_id": table["ranking_id"]}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"caption": pa.array([r["prompt"] for r in ROWS], pa.large_string()),
               "jpg_0": pa.array([{"bytes": r["pictures"][0], "path": "x.jpg"} for r in ROWS], image),
               "jpg_1": pa.array([{"bytes": r["pictures"][1], "path": None} for r in ROWS], image),
               "image_0_uid": pa.nulls(len(ROWS)), "model_1": pa.nulls(len(ROWS)),
               **{name: column.cast(pa.float64()) for name, column in numbers.items()}}
    pq.write_table(pa.table(columns), path("remade", "test_unique-00000-of-00001.parquet"))
    expected("remade", [line(i, r, uids=False, split="test_unique") for i, r in enumerate(ROWS)])


# ---- HPDv2 ---------------------------------------------------------------------------------

def write_hpd():
    train, lines = [], []
    names = {}
    for i, row in enumerate(ROWS):
        for k in (0, 1):
            names[i, k] = "%05d_%d.jpg" % (i, k)
    ranked = [(0, 0), (1, 0), (2, 0), (3, 0)]  # of ranks 2, 1, 2, 4
    ranks = [2, 1, 2, 4]
    for place in ranked:
        write(ROWS[place[0]]["pictures"][place[1]], "hpd", "test", names[place])
    test = [{"prompt": "four of them", "image_path": [names[p] for p in ranked], "rank": ranks,
             "raw_annotations": [{"rank": ranks, "user_hash": "x"}]}]
    index = 0
    for i in range(4):
        for j in range(i + 1, 4):
            if ranks[i] != ranks[j]:
                pair = dict(prompt="four of them", label=1.0 if ranks[i] < ranks[j] else 0.0,
                            pictures=[ROWS[ranked[i][0]]["pictures"][0], ROWS[ranked[j][0]]["pictures"][0]],
                            uids=[names[ranked[i]], names[ranked[j]]])
                lines.append(line(index, pair, uids=False, split="test"))
            index += 1
    for i, row in enumerate(ROWS):
        if row["label"] not in (0.0, 1.0):
            continue
        train.append({"prompt": row["prompt"], "file_path": [names[i, 0], names[i, 1]],
                      "human_preference": [int(row["label"]), 1 - int(row["label"])], "user_hash": "y"})
        for k in (0, 1):
            write(row["pictures"][k], "hpd", "train", names[i, k])
        lines.append(line(index, row, uids=False, split="train"))
        index += 1
    write(json.dumps(test, indent=1), "hpd", "test.json")
    write(json.dumps(train, ensure_ascii=False), "hpd", "train.json")
    expected("hpd", lines)


# ---- folders -------------------------------------------------------------------------------

def write_folders():
    records = []
    for i, row in enumerate(ROWS):
        for k in (0, 1):
            write(row["pictures"][k], "imagefolder", "images", "%d_%d.jpg" % (i, k))
            write(row["pictures"][k], "paired", ("left", "right")[k], "p%d.jpg" % i)
        write(row["prompt"] + "\n", "paired", "left", "p%d.txt" % i)
        record = {"image_0_file_name": "images/%d_0.jpg" % i, "image_1_file_name": "images/%d_1.jpg" % i,
                  "prompt": row["prompt"], "label": row["label"], "image_0_uid": row["uids"][0],
                  "image_1_uid": row["uids"][1], "model_0": row["models"][0], "model_1": row["models"][1]}
        records.append(record)
    write("".join(json.dumps(r) + "\n" for r in records), "imagefolder", "metadata.jsonl")
    expected("imagefolder", [line(i, r) for i, r in enumerate(ROWS)])
    expected("paired", [line(i, r, None, False) for i, r in enumerate(ROWS)])
    for i, row in enumerate(ROWS[:3]):
        write(row["pictures"][0], "captions", "c%d.JPG" % i)
        write(row["prompt"], "captions", "c%d.txt" % i)
    expected("captions", [[str(i), "nan", digest(r["pictures"][0]), "-", "-", "-", "-",
                           json.dumps(r["prompt"], ensure_ascii=False)] for i, r in enumerate(ROWS[:3])])
    write("".join(json.dumps({"file_name": "%d_0.jpg" % i, "text": r["prompt"]}) + "\n"
                  for i, r in enumerate(ROWS)), "singles.jsonl")
    expected("singles", [[str(i), "nan", digest(r["pictures"][0]), "-", "-", "-", "-",
                          json.dumps(r["prompt"], ensure_ascii=False)] for i, r in enumerate(ROWS)])


# ---- tables --------------------------------------------------------------------------------

def write_tables():
    header = ["image_0", "image_1", "prompt", "label", "image_0_uid", "image_1_uid", "model_0", "model_1",
              "num_example_per_prompt", "ranking_id"]
    rows = [["imagefolder/images/%d_0.jpg" % i, "imagefolder/images/%d_1.jpg" % i, r["prompt"],
             "" if r["label"] is None else r["label"]] + r["uids"] + r["models"] + [r["examples"], r["ranking"]]
            for i, r in enumerate(ROWS)]
    lines = [line(i, r) for i, r in enumerate(ROWS)]
    for name, options in (("pairs.csv", {}), ("quoted.tsv", {"delimiter": "\t"})):
        with open(path(name), "w", newline="", encoding="utf-8") as file:
            csv.writer(file, **options).writerows([header] + rows)
        expected(name, lines)
    write("\n".join("\t".join(map(str, r)) for r in [header] + rows) + "\n", "raw.tsv")
    expected("raw.tsv", lines)
    records = [dict(zip(header, r)) for r in rows]
    for record, row in zip(records, ROWS):
        record["label"] = row["label"]
    write("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), "pairs.jsonl")
    expected("pairs.jsonl", lines)
    write("\ufeff" + json.dumps(records, indent=2), "pairs.json")
    expected("pairs.json", lines)
    chosen = [{"chosen": r["image_%d" % (0 if row["label"] == 1 else 1)],
               "rejected": r["image_%d" % (1 if row["label"] == 1 else 0)], "caption": r["prompt"]}
              for r, row in zip(records, ROWS) if row["label"] in (0.0, 1.0)]
    write("".join(json.dumps(r) + "\n" for r in chosen), "chosen.jsonl")
    flipped = [dict(r, label=1.0, pictures=r["pictures"] if r["label"] == 1 else r["pictures"][::-1])
               for r in ROWS if r["label"] in (0.0, 1.0)]
    expected("chosen.jsonl", [line(i, r, uids=False) for i, r in enumerate(flipped)])


# ---- WebDataset ----------------------------------------------------------------------------

def write_tars():
    lines = []
    for name, rows, mode, form in (("train-0000.tar", ROWS[:3], "w", tarfile.PAX_FORMAT),
                                   ("train-0001.tar", ROWS[3:5], "w", tarfile.GNU_FORMAT),
                                   ("validation-0000.tar", ROWS[5:], "w", tarfile.USTAR_FORMAT)):
        with tarfile.open(path("webdataset", name), mode, format=form) as tar:
            folder = tarfile.TarInfo("set")
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
            for i, row in enumerate(rows):
                index = ROWS.index(row)
                key = "set/%06d" % index if index % 2 else "集/%s_%06d" % ("x" * (90 if form else 20), index)
                meta = {"label": row["label"], "uid_0": row["uids"][0], "uid_1": row["uids"][1],
                        "model_0": row["models"][0], "model_1": row["models"][1]}
                members = [("0.jpg", row["pictures"][0]), ("1.jpg", row["pictures"][1]),
                           ("json", json.dumps(meta).encode()), ("cls", b"3"),
                           ("txt", row["prompt"].encode() + b"\n")]
                for ending, data in members:
                    info = tarfile.TarInfo("%s.%s" % (key, ending))
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
                lines.append(line(index, row, split=name.split("-")[0]))
    expected("webdataset", lines)
    with tarfile.open(path("packed.tar.gz"), "w:gz", compresslevel=9) as tar:
        for i, row in enumerate(ROWS):
            members = [("0.jpg", row["pictures"][0]), ("1.jpg", row["pictures"][1]),
                       ("json", json.dumps({"label": row["label"], "prompt": row["prompt"],
                                            "split": "test"}).encode())]
            for ending, data in members:
                info = tarfile.TarInfo("%03d.%s" % (i, ending))
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    expected("packed", [line(i, r, uids=False, split="test") for i, r in enumerate(ROWS)])


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    write_pickapic()
    write_remade()
    write_hpd()
    write_folders()
    write_tables()
    write_tars()
