#!/usr/bin/env python3
"""Writes tests/golden-bad/tokenizer/: folders and packed files that must be refused.

    python tools/parity/tokenizers_bad.py

A folder NAME holds a small vocabulary with one fault; NAME.gz is a packed file.
"""
import gzip
import json
import os
import shutil
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUT = os.path.join(ROOT, "tests", "golden-bad", "tokenizer")
BEGIN, END = "<|startoftext|>", "<|endoftext|>"


def folder(name, vocab, merges="#version: 0.2\na b</w>\n", **others):
    path = os.path.join(OUT, name)
    os.makedirs(path)
    with open(path + "/vocab.json", "w") as f:
        f.write(vocab if isinstance(vocab, str) else json.dumps(vocab))
    with open(path + "/merges.txt", "w") as f:
        f.write(merges)
    for file, value in others.items():
        with open(f"{path}/{file}.json", "w") as f:
            json.dump(value, f)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    good = {"a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "ab</w>": 4, BEGIN: 5, END: 6}
    without = lambda *keys: {k: v for k, v in good.items() if k not in keys}
    folder("array", [1, 2])
    folder("not_json", '{"a": 0,')
    folder("empty", {})
    folder("id_string", dict(good, b="1"))
    folder("id_twice", dict(good, b=0))
    folder("id_negative", dict(good, b=-1))
    folder("id_huge", dict(good, b=1 << 40))
    folder("key_twice", '{"a": 0, "a": 1}')
    folder("no_end", without(END))
    folder("no_begin", without(BEGIN))
    folder("merge_unknown", good, "#version: 0.2\na c</w>\n")
    folder("merge_result", without("ab</w>"))
    folder("merge_one_word", good, "#version: 0.2\nab\n")
    folder("merge_three_words", good, "#version: 0.2\na b c\n")
    folder("pad_missing", good, special_tokens_map={"pad_token": "<pad>"})
    folder("pad_number", good, special_tokens_map={"pad_token": 0})
    folder("added_id", good, added_tokens={"<x>": 9})
    folder("length", good, tokenizer_config={"model_max_length": 1})
    folder("left", good, tokenizer_config={"padding_side": "left"})
    folder("no_unknown", good, tokenizer_config={"unk_token": "<unk>", "added_tokens_decoder": {}})
    packed = lambda name, data: open(f"{OUT}/{name}.gz", "wb").write(data)
    packed("short", gzip.compress(b"version\na b\n", mtime=0))
    packed("truncated", gzip.compress(b"version\n" + bytes(range(256)) * 8, mtime=0)[:-30])
    packed("no_gzip", b"version\na b\n")
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed("bomb", squeeze.compress(bytes(17 << 20)) + squeeze.flush())


if __name__ == "__main__":
    main()
