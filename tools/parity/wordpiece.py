#!/usr/bin/env python3
"""Compares the WordPiece tokenizer with transformers, and writes its committed fixtures.

    python tools/parity/wordpiece.py fixtures          tests/text/wordpiece/: a vocabulary, digests;
                                                       tests/golden-bad/wordpiece/
    python tools/parity/wordpiece.py live DIR [DATA]   the case of the long test; DATA is a folder with
                                                       tokenizers/ and prompts/
    BDPO_LIVE_WORDPIECE_DIR=DIR bdpo_test --tier long wordpiece_live
    python tools/parity/wordpiece.py fast DIR          how a fast tokenizer differs on that case

The first two need the slow BertTokenizer: transformers 4.30.2, Python 3.11 (Unicode 14), as the
image-reward package (1.5) loads it, with its [DEC] and [ENC]. The third runs also under
transformers 5, whose BertTokenizer is the fast one: it tells by character class what differs.
"""
import collections
import hashlib
import json
import os
import shutil
import struct
import sys
import time
import unicodedata

import transformers
from transformers import BertTokenizer

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from inputs import ROOT  # noqa: E402

SMALL = os.path.join(ROOT, "tests", "text", "wordpiece")
PER_DIGEST, N_DIGESTS, N_IDS = 1000, 12, 35
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def generated_texts(n):
    """Those of tests/text/generated_text.c."""
    import importlib
    import types
    for name in ("ftfy", "regex"):  # of which that module's generator needs nothing
        try:
            importlib.import_module(name)
        except ImportError:
            sys.modules[name] = types.ModuleType(name)
    live = importlib.import_module("tokenizers_live")
    return [live.generated(i) for i in range(n)], live


def slow(folder):
    """As ImageReward's init_tokenizer()."""
    tokenizer = BertTokenizer.from_pretrained(folder)
    assert not tokenizer.is_fast, "needs the slow BertTokenizer of transformers 4"
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    tokenizer.add_special_tokens({"additional_special_tokens": ["[ENC]"]})
    return lambda texts: [tokenizer(t, add_special_tokens=False).input_ids for t in texts]


def fast(folder):
    cls = getattr(transformers, "BertTokenizerFast", BertTokenizer)
    tokenizer = cls.from_pretrained(folder)
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    tokenizer.add_special_tokens({"additional_special_tokens": ["[ENC]"]})
    return lambda texts: tokenizer(texts, add_special_tokens=False).input_ids


# ---- texts ---------------------------------------------------------------------------------------

def corner_texts():
    """What the generated texts do not hold."""
    out = [a + b + c for a in ("", "x", " ") for c in ("", "y", " ")
           for b in SPECIALS + ["[DEC]", "[ENC]", "[enc]", "[SE\0P]", "[SEP", "SEP]", "[[SEP]]"]]
    out += ["a" * n for n in (99, 100, 101, 5000)]
    out += ["\u00e9" * 100, "\u00e9" * 101, "e\u0301" * 100, "e\u0301" * 101, "\uac00" * 50]
    out += ["un" * 50 + "x", "\u0301" * 300, "a" + "\u0301" * 300 + "b", "\u0130" * 60]
    out += ["\u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3", "\u03a3", "A\u03a3.", "a\u03a3b"]
    out += ["a\u302e\u302fb", "a\U0001d165\U0001d16d\u0315b", "\u1e9b\u0323", "\u0344", "\u212b"]
    out += ["\n", "a\nB", "A\r\nB\x85C\u2028D\u2029E\x0bF\x0cG\x1cH\x1fI", "x\ufeffy\u200bz"]
    return out


def every_character():
    """Every code point, alone between letters, at an end, and doubled."""
    points = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    return ["A" + chr(c) + "b " + chr(c) + " " + chr(c) * 2 for c in points]


def write_texts(path, texts):
    with open(path, "wb") as f:
        for t in texts:
            data = t.encode()
            f.write(struct.pack("<I", len(data)) + data)


def read_texts(path):
    data, at, out = open(path, "rb").read(), 0, []
    while at < len(data):
        (n,) = struct.unpack_from("<I", data, at)
        out.append(data[at + 4 : at + 4 + n].decode())
        at += 4 + n
    return out


def write_ids(path, rows):
    with open(path, "wb") as f:
        for row in rows:
            f.write(struct.pack(f"<{len(row) + 1}I", len(row), *row))


def read_ids(path):
    data, at, out = open(path, "rb").read(), 0, []
    while at < len(data):
        (n,) = struct.unpack_from("<I", data, at)
        out.append(list(struct.unpack_from(f"<{n}I", data, at + 4)))
        at += 4 + 4 * n
    return out


def live(out, data):
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    shutil.copy(data + "/tokenizers/bert_base_uncased_vocab.txt", out + "/vocab.txt")
    made, tokenizers_live = generated_texts(PER_DIGEST * N_DIGESTS)
    prompts = tokenizers_live.prompts(data)
    texts = prompts + made + corner_texts() + every_character()
    write_texts(out + "/strings.bin", texts)
    start = time.time()
    write_ids(out + "/expected.bin", slow(out)(texts))
    print(f"{len(prompts)} prompts and {len(texts) - len(prompts)} made texts in {out}, "
          f"{time.time() - start:.1f} s")


# ---- fast ----------------------------------------------------------------------------------------

def classify(text):
    """The rarest kinds of character in a text, which is what the two differ by."""
    kinds = collections.Counter()
    for c in text:
        if ord(c) > 0x7F or unicodedata.category(c) == "Cc":
            kinds[unicodedata.category(c)] += 1
    return "+".join(sorted(kinds))


def compare_fast(folder):
    import tokenizers
    texts, expected = read_texts(folder + "/strings.bin"), read_ids(folder + "/expected.bin")
    found = fast(folder)(texts)
    differing = [(t, a, b) for t, a, b in zip(texts, expected, found) if a != b]
    print(f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}: "
          f"{len(differing)} of {len(texts)} texts differ")
    single = [t for t, _, _ in differing if len(t) == 8 and t[0] == "A" and t[2:4] == "b "]
    by_kind = collections.defaultdict(list)
    for t in single:
        by_kind[unicodedata.category(t[1])].append(ord(t[1]))
    for kind, points in sorted(by_kind.items()):
        shown = " ".join("%04X" % p for p in points[:12])
        print(f"  {kind}: {len(points)} characters, {shown}{' ..' if len(points) > 12 else ''}")
    alone = set(single)
    rest = [x for x in differing if x[0] not in alone]
    known = {chr(p) for points in by_kind.values() for p in points}
    other = [x for x in rest if not known & set(x[0])]
    print(f"  of {len(rest)} other texts {len(other)} hold none of these characters")
    for t, a, b in other[:20]:
        print("   ", ascii(t[:60]), classify(t), a[:12], b[:12])


# ---- fixtures ------------------------------------------------------------------------------------

def write_small():
    """A vocabulary of our own: words of these pages, letters of many scripts, their pieces."""
    words = collections.Counter()
    for name in ("docs/architecture.md", "docs/pitfalls.md", "CONTRIBUTING.md"):
        text = open(os.path.join(ROOT, name), encoding="utf-8").read().lower()
        words.update("".join(c if c.isalpha() else " " for c in text).split())
    letters = [chr(c) for c in range(33, 127) if not 65 <= c <= 90]
    letters += [chr(c) for c in range(0xA1, 0x530) if chr(c).lower() == chr(c)
                and unicodedata.normalize("NFD", chr(c)) == chr(c)
                and unicodedata.category(chr(c))[0] in "LPS"]
    letters += [chr(c) for c in range(0x1100, 0x1200, 2)] + [chr(c) for c in range(0x3041, 0x30FF)]
    letters += [chr(c) for c in range(0x4E00, 0x9FFF, 97)] + [chr(0x1F600), chr(0x2764)]
    tokens = list(SPECIALS)
    tokens += [w for w, n in words.most_common(300)]
    tokens += ["##" + w[-3:] for w, n in words.most_common(200) if len(w) > 5]
    tokens += letters + ["##" + c for c in letters if unicodedata.category(c)[0] == "L"][::2]
    tokens = list(dict.fromkeys(tokens))
    os.makedirs(SMALL, exist_ok=True)
    with open(SMALL + "/vocab.txt", "w", encoding="utf-8") as f:
        f.write("".join(t + "\n" for t in tokens))
    return tokens


def serialized(tokens):
    """A tokenizer.json as transformers 5 stores it."""
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {t: i for i, t in enumerate(tokens)}},
    }


def write_small_json(tokens):
    os.makedirs(SMALL + "/json", exist_ok=True)
    with open(SMALL + "/json/tokenizer.json", "w", encoding="utf-8") as f:
        json.dump(serialized(tokens), f, ensure_ascii=False)


def write_bad():
    """tests/golden-bad/wordpiece: files that must be refused."""
    named = "".join(t + "\n" for t in SPECIALS).encode()
    files = {
        "empty.txt": b"", "blank_line.txt": named + b"a\n\nb\n", "latin1.txt": named + b"caf\xe9\n",
        "zero_byte.txt": named + b"a\0b\n", "twice.txt": named + b"a\nb\na\n",
        "no_unknown.txt": named.replace(b"[UNK]\n", b"") + b"a\n",
        "no_mask.txt": named.replace(b"[MASK]\n", b"") + b"a\n", "array.json": b"[1, 2]\n",
        "cased/vocab.txt": named + b"a\n",
        "cased/tokenizer_config.json": b'{"do_lower_case": false}\n',
    }
    ids = {t: i for i, t in enumerate(SPECIALS)}
    for name, normalizer, model in (
            ("bpe", {}, {"type": "BPE"}), ("cased", {"lowercase": False}, {}),
            ("accents", {"strip_accents": False}, {}),
            ("id_text", {}, {"vocab": dict(ids, **{"[UNK]": "1"})}),
            ("id_negative", {}, {"vocab": dict(ids, **{"[UNK]": -1})}),
            ("no_vocab", {}, {"vocab": None})):
        spec = serialized(SPECIALS)
        spec["normalizer"].update(normalizer)
        spec["model"].update(model)
        files[name + ".json"] = json.dumps(spec).encode() + b"\n"
    for name, content in files.items():
        path = os.path.join(ROOT, "tests", "golden-bad", "wordpiece", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "wb").write(content)


def padded(ids):
    row = [2] + ids[: N_IDS - 2] + [3]
    return struct.pack(f"<{N_IDS + 1}i", *(row + [0] * (N_IDS - len(row))), len(row))


def fixtures():
    write_small_json(write_small())
    write_bad()
    ids = slow(SMALL)(generated_texts(PER_DIGEST * N_DIGESTS)[0])
    with open(SMALL + "/digests.txt", "w") as f:
        f.write(f"# transformers {transformers.__version__}, slow: tools/parity/wordpiece.py\n"
                f"# SHA-256 over the {N_IDS} ids and the length of each {PER_DIGEST} texts\n")
        for k in range(N_DIGESTS):
            part = ids[k * PER_DIGEST : (k + 1) * PER_DIGEST]
            f.write(hashlib.sha256(b"".join(map(padded, part))).hexdigest() + "\n")


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1] == "fixtures":
        fixtures()
    elif len(sys.argv) >= 3 and sys.argv[1] == "live":
        live(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else os.path.join(ROOT, "../shared/data"))
    elif len(sys.argv) == 3 and sys.argv[1] == "fast":
        compare_fast(sys.argv[2])
    else:
        sys.exit(__doc__)
