#!/usr/bin/env python3
"""Compares the tokenizer with the real libraries, and writes its committed fixtures.

    python tools/parity/tokenizers_live.py fixtures              tests/text/small/: a vocabulary, digests
    python tools/parity/tokenizers_live.py live DIR [DATA]       cases for the long test; DATA is a folder
                                                            with tokenizers/ and prompts/
    BDPO_LIVE_TOKENIZER_DIR=DIR bdpo_test --tier long tokenizer_live

Libraries: transformers 5.24.0 with tokenizers 0.23.3 (FAST), open_clip 3.3.0 (OPEN_CLIP), ftfy 6.3.1
and regex 2026.11.19, Python 3.11. transformers 4's slow tokenizer and the CLIP package are not
installed beside transformers 5: their cleaning is written out below (class Slow) over the real ftfy,
regex, html and unicodedata.
"""
import collections
import hashlib
import html
import json
import os
import shutil
import struct
import sys
import time
import unicodedata

import ftfy
import regex

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from inputs import ROOT, bits  # noqa: E402

SMALL = os.path.join(ROOT, "tests", "text", "small")
PER_DIGEST, N_DIGESTS = 1000, 12

# As in tests/text/generated_text.c, in this order.
SNIPPETS = [
    "<|endoftext|>", "<|startoftext|>", "<|ENDOFTEXT|>", "<end_of_text>", "<start_of_text>",
    "'s", "'LL", "'ve", "it'\u017f", "!!!", "!", "&amp;", "&amp;amp;", "&eacute;", "&EACUTE;",
    "&#233;", "&#x1F600;", "&#150;", "&copy 2020", "&notit;", "&lt;", "<", "\r\n", "\u2028", "\x85",
    "\x00", "\x1b[31m", "\u200d", "\ufe0f", "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u2764\ufe0f", "\U0001f1e9\U0001f1ea", "\u00c3\u00a9", "\u00e2\u0080\u0099", "\u00c3 la",
    "\u00e2\u20ac\u201c", "\u201cx\u201d", "\ufb01", "\uff21\uff11", "\u0130\u03a3", "A\u03a3 ",
    "\u212a\u212b", "\u0344", "\u1e9b\u0323", "\ufffd", "\u3000", "\u00bd\u2463", "e\u0301",
    "\u4e00\u732b", "\uac00\u1100\u1161\u11a8", "</w>", "\u0420\u045f\u0421\u0402",
]


def generated(index):
    """String number `index`: pieces drawn from splitmix64's output of "tokenizer/INDEX"."""
    stream = iter(int(b) for b in bits("tokenizer/%d" % index, 4096))
    draw = lambda n: next(stream) % n
    out = []
    if index % 500 == 499:
        letter = "ab"[draw(2)]
        return letter * (1000 + draw(3000))
    for _ in range(draw(40)):
        kind = draw(16)
        if kind < 4 or kind == 13:
            first = ord("A") if kind == 13 else ord("a")
            out.append("".join(chr(first + draw(26)) for _ in range(1 + draw(8))))
        elif kind == 4 or kind == 5:
            out.append(" " * (1 + draw(3)))
        elif kind == 6:
            out.append(chr(33 + draw(94)))
        elif kind == 7 or kind == 8:
            c = draw(0x10000 if kind == 7 else 0x110000)
            out.append("x" if 0xD800 <= c <= 0xDFFF else chr(c))
        elif kind == 9:
            out.append(SNIPPETS[draw(len(SNIPPETS))])
        elif kind == 10:
            out.append(chr(0x300 + draw(0x70)))
        elif kind == 11:
            out.append(chr(0x80 + draw(0x500)))
        elif kind == 12:
            out.append(chr(ord("0") + draw(10)))
        elif kind == 14:
            out.append(chr(0x3040 + draw(0x7000)))
        else:
            out.append(chr(0x80 + draw(0x2F80)).encode().decode("latin-1"))
    return "".join(out)


# ---- the pipelines that are not installed --------------------------------------------------------

def byte_runes():
    same = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b]
    rest = [b for b in range(256) if b not in same]
    return {**{b: chr(b) for b in same}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


def is_ideograph(c):
    return any(a <= c <= b for a, b in ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF),
                                        (0x2A700, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)))


class Slow:
    """CLIPTokenizer of transformers 4 (slow), and OpenAI's SimpleTokenizer."""

    def __init__(self, folder, pipeline, added=()):
        self.vocab = json.load(open(folder + "/vocab.json", encoding="utf-8"))
        lines = open(folder + "/merges.txt", encoding="utf-8").read().strip().split("\n")[1:]
        self.ranks = {tuple(line.split()): i for i, line in enumerate(lines)}
        self.pipeline, self.added, self.bytes = pipeline, list(added), byte_runes()
        self.cache = {}
        marks = (r"<start_of_text>|<end_of_text>" if pipeline == "open-clip"
                 else r"<\|startoftext\|>|<\|endoftext\|>")
        self.ids = ({"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
                    if pipeline == "open-clip" else
                    {m: m for m in ("<|startoftext|>", "<|endoftext|>")})
        self.pattern = regex.compile(marks + r"|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]"
                                     r"|[^\s\p{L}\p{N}]+", regex.IGNORECASE)

    def clean(self, text):
        if self.pipeline == "slow-ftfy":
            return regex.sub(r"\s+", " ", ftfy.fix_text(text)).strip().lower()
        if self.pipeline == "slow":
            kept = []
            for c in text:
                if c in "\t\n\r" or unicodedata.category(c) == "Zs":
                    kept.append(" ")
                elif is_ideograph(ord(c)):
                    kept.append(" " + c + " ")
                elif c != "\ufffd" and not unicodedata.category(c).startswith("C"):
                    kept.append(c)
            words = unicodedata.normalize("NFC", "".join(kept)).split()
            return " ".join(w.lower() for w in words)
        text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
        return regex.sub(r"\s+", " ", text).strip().lower()

    def bpe(self, word):
        if word in self.cache:
            return self.cache[word]
        s = [self.bytes[b] for b in word.encode()]
        s[-1] += "</w>"
        while len(s) > 1:
            best = min(zip(s, s[1:]), key=lambda p: self.ranks.get(p, 1 << 40))
            if best not in self.ranks:
                break
            merged, i = [], 0
            while i < len(s):
                if tuple(s[i:i + 2]) == best:
                    merged.append(s[i] + s[i + 1])
                    i += 2
                else:
                    merged.append(s[i])
                    i += 1
            s = merged
        self.cache[word] = [self.vocab[x] for x in s]
        return self.cache[word]

    def split(self, text):
        """Longest added token first from the left."""
        if not self.added:
            return [(text, False)]
        out, begin, i = [], 0, 0
        while i < len(text):
            found = max((a for a in self.added if text.startswith(a, i)), key=len, default="")
            if found:
                out += [(text[begin:i], False), (found, True)]
                begin = i = i + len(found)
            else:
                i += 1
        return out + [(text[begin:], False)]

    def __call__(self, text):
        ids = []
        for part, is_added in self.split(text):
            if is_added:
                ids.append(self.vocab[part])
                continue
            for word in self.pattern.findall(self.clean(part)):
                ids += [self.vocab[self.ids[word]]] if word in self.ids else self.bpe(word)
        return ids


# ---- real libraries ------------------------------------------------------------------------------

def fast(folder):
    from transformers import CLIPTokenizer
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    return lambda texts: [ids[1:-1] for ids in tokenizer(texts).input_ids]


def open_clip_real(path):
    from open_clip.tokenizer import SimpleTokenizer
    tokenizer = SimpleTokenizer(path)
    return lambda texts: [tokenizer.encode(t) for t in texts]


# ---- folders -------------------------------------------------------------------------------------

def token(content, normalized=True):
    return {"content": content, "lstrip": False, "normalized": normalized, "rstrip": False,
            "single_word": False}


BEGIN, END = "<|startoftext|>", "<|endoftext|>"
CONFIG = {"add_prefix_space": False, "bos_token": dict(token(BEGIN), __type="AddedToken"),
          "do_lower_case": True, "eos_token": dict(token(END), __type="AddedToken"),
          "errors": "replace", "model_max_length": 77, "pad_token": END,
          "tokenizer_class": "CLIPTokenizer", "unk_token": dict(token(END), __type="AddedToken")}
MAP = {"bos_token": token(BEGIN), "eos_token": token(END), "pad_token": END,
       "unk_token": token(END)}
DECODER = dict(CONFIG, bos_token=BEGIN, eos_token=END, unk_token=END, pad_token="!",
               added_tokens_decoder={"0": dict(token("!", False), special=True),
                                     "49406": dict(token(BEGIN), special=True),
                                     "49407": dict(token(END), special=True)})
FOLDERS = {  # as published with the models: SD1.5, SD2.1, SDXL's second; and corner cases
    "sd15": (CONFIG, MAP, None), "sd21": (CONFIG, dict(MAP, pad_token="!"), None),
    "sdxl2": (DECODER, dict(MAP, pad_token="!"), None), "bare": (None, None, None),
    "inversion": (CONFIG, MAP, {"<Cat-Toy>": 49408, "<b>": 49409}),
    "no_lower": (dict(CONFIG, do_lower_case=False), MAP, None),
    "extra": (dict(CONFIG, additional_special_tokens=["<X>", "x y"]), MAP, None),
}


def write_folder(path, source, parts):
    os.makedirs(path)
    shutil.copy(source + "/vocab.json", path + "/vocab.json")
    shutil.copy(source + "/merges.txt", path + "/merges.txt")
    names = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
    for name, value in zip(names, parts):
        if value is not None:
            json.dump(value, open(f"{path}/{name}", "w"))


def write_strings(path, texts):
    with open(path, "wb") as f:
        for t in texts:
            data = t.encode()
            f.write(struct.pack("<I", len(data)) + data)


def write_case(path, pipeline, ids):
    open(path + "/pipeline", "w").write(pipeline)
    with open(path + "/expected.bin", "wb") as f:
        for row in ids:
            f.write(struct.pack(f"<{len(row) + 1}I", len(row), *row))


def prompts(data):
    lines = open(data + "/prompts/PartiPrompts.tsv", encoding="utf-8").read().split("\n")[1:]
    out = [line.split("\t")[0] for line in lines if line]
    for name in ("anime", "concept-art", "paintings", "photo"):
        out += json.load(open(f"{data}/prompts/hpdv2_benchmark_{name}.json"))
    sample = open(data + "/prompts/pickapic_prompts_filtered_sample.txt", encoding="utf-8").read()
    return out + sample.rstrip("\n").split("\n")


def live(out, data):
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    source = out + "/source"
    os.makedirs(source)
    shutil.copy(data + "/tokenizers/clip_vocab.json", source + "/vocab.json")
    shutil.copy(data + "/tokenizers/clip_merges.txt", source + "/merges.txt")
    texts = prompts(data)
    n_prompts = len(texts)
    texts += [generated(i) for i in range(PER_DIGEST * N_DIGESTS)]
    texts += ["x <Cat-Toy> y <cat-toy> <B>", "<X> <x> x y X Y", "a" * 20000, "\u0301" * 5000, "x"]
    write_strings(out + "/strings.bin", texts)
    for name, parts in FOLDERS.items():
        path = f"{out}/{name}"
        write_folder(path, source, parts)
        start = time.time()
        ids = fast(path)(texts)
        print(f"{name}: fast, {len(texts)} texts in {time.time() - start:.2f} s")
        write_case(path, "fast", ids)
    write_folder(out + "/saved", source, (None, None, None))
    from transformers import CLIPTokenizer
    CLIPTokenizer.from_pretrained(out + "/sd21").save_pretrained(out + "/saved")
    os.remove(out + "/saved/vocab.json")
    os.remove(out + "/saved/merges.txt")
    write_case(out + "/saved", "fast", fast(out + "/saved")(texts))
    others = {"slow-ftfy": ("sd15", (BEGIN, END)), "slow-ftfy-bang": ("sd21", (BEGIN, END, "!")),
              "slow": ("sd15", (BEGIN, END)), "openai": ("bare", ()), "open-clip": ("bare", ())}
    for name, (folder, added) in others.items():
        pipeline = name.replace("-bang", "")
        write_folder(f"{out}/{name}", source, FOLDERS[folder])
        if name == "open-clip":
            ids = open_clip_real(data + "/tokenizers/bpe_simple_vocab_16e6.txt.gz")(texts)
        else:
            tokenizer = Slow(source, pipeline, added)
            ids = [tokenizer(t) for t in texts]
        write_case(f"{out}/{name}", pipeline, ids)
    print(f"{n_prompts} prompts and {len(texts) - n_prompts} made texts in {out}")


# ---- fixtures ------------------------------------------------------------------------------------

def train(text, n_merges):
    """Merges in the order of their count, ties in the order of spelling."""
    runes, words = byte_runes(), collections.Counter(regex.findall(r"\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", text))
    spelled = {w: [runes[b] for b in w.encode()] for w in words}
    for s in spelled.values():
        s[-1] += "</w>"
    merges = []
    for _ in range(n_merges):
        pairs = collections.Counter()
        for w, s in spelled.items():
            for p in zip(s, s[1:]):
                pairs[p] += words[w]
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        for s in spelled.values():
            i = 0
            while i + 1 < len(s):
                if (s[i], s[i + 1]) == best:
                    s[i : i + 2] = [s[i] + s[i + 1]]
                i += 1
    return merges


def write_small():
    names = ("docs/architecture.md", "docs/pitfalls.md", "CONTRIBUTING.md")
    text = "".join(open(os.path.join(ROOT, n), encoding="utf-8").read() for n in names).lower()
    merges = train(text, 486)
    runes = byte_runes()
    order = sorted(runes, key=lambda b: ord(runes[b]))
    tokens = [runes[b] for b in order] + [runes[b] + "</w>" for b in order]
    tokens += [a + b for a, b in merges] + [BEGIN, END]
    os.makedirs(SMALL, exist_ok=True)
    with open(SMALL + "/vocab.json", "w", encoding="utf-8") as f:
        json.dump({t: i for i, t in enumerate(tokens)}, f, ensure_ascii=False)
    with open(SMALL + "/merges.txt", "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    for name, value in (("tokenizer_config.json", CONFIG), ("special_tokens_map.json", MAP)):
        with open(f"{SMALL}/{name}", "w") as f:
            json.dump(value, f)


def padded(ids, begin, end, pad):
    row = [begin] + ids[:75] + [end]
    return struct.pack("<77i", *(row + [pad] * (77 - len(row))))


def fixtures():
    import tokenizers
    import transformers
    if not os.path.exists(SMALL + "/vocab.json"):
        write_small()
    texts = [generated(i) for i in range(PER_DIGEST * N_DIGESTS)]
    vocab = json.load(open(SMALL + "/vocab.json", encoding="utf-8"))
    begin, end = vocab[BEGIN], vocab[END]
    with open(SMALL + "/digests.txt", "w") as f:
        f.write(f"# transformers {transformers.__version__}, tokenizers {tokenizers.__version__}, ftfy "
                f"{ftfy.__version__}, regex {regex.__version__}: tools/parity/tokenizers_live.py\n"
                f"# pipeline, then SHA-256 over the 77 ids of each {PER_DIGEST} texts\n")
        for pipeline in ("fast", "slow-ftfy", "slow", "openai", "open-clip"):
            if pipeline == "fast":
                ids = fast(SMALL)(texts)
            else:
                added = (BEGIN, END) if pipeline.startswith("slow") else ()
                tokenizer = Slow(SMALL, pipeline, added)
                ids = [tokenizer(t) for t in texts]
            pad = end if pipeline in ("fast", "slow", "slow-ftfy") else 0
            for k in range(N_DIGESTS):
                part = ids[k * PER_DIGEST : (k + 1) * PER_DIGEST]
                digest = hashlib.sha256(b"".join(padded(x, begin, end, pad) for x in part))
                f.write(f"{pipeline} {digest.hexdigest()}\n")


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1] == "fixtures":
        fixtures()
    elif len(sys.argv) >= 3 and sys.argv[1] == "live":
        live(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else os.path.join(ROOT, "../shared/data"))
    else:
        sys.exit(__doc__)
