#!/usr/bin/env python3
"""Writes tests/golden-bad/parquet/: malformed files, and MANIFEST.tsv with what the refusal must say.

    python tools/parity/golden_bad_parquet.py

A line of the manifest: KIND, file, a part of the message, separated by tabs. KIND is "bad", "unsupported" (sound,
but not read) or "good" (sound: the forgeries near it fail for the reason that they should). Python 3 alone; files
with Snappy and Zstandard data hold bytes that were made once and are written out here.
"""
import os
import struct
import zlib

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/golden-bad/parquet")
manifest = []

TRUE, FALSE, I32, I64, DOUBLE, BINARY, LIST, STRUCT = 1, 2, 5, 6, 7, 8, 9, 12
BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE_TYPE, BYTES, FIXED = range(8)
REQUIRED, OPTIONAL, REPEATED = range(3)
NONE, SNAPPY, GZIP, LZO, BROTLI, LZ4, ZSTD, LZ4_RAW = range(8)
PLAIN, _, PLAIN_DICTIONARY, RLE, BIT_PACKED, DELTA, DELTA_LENGTH, DELTA_BYTES, DICTIONARY, SPLIT = range(10)


def write(kind, name, data, message):
    with open(os.path.join(OUT, name + ".parquet"), "wb") as file:
        file.write(data)
    manifest.append((kind, name + ".parquet", message))


def bad(name, data, message):
    write("bad", name, data, message)


# ---- Thrift's compact protocol -------------------------------------------------------------

def varint(n):
    out = bytearray()
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def zigzag(n):
    return varint((n << 1 ^ n >> 63) & (1 << 64) - 1)


def value(kind, v):
    if kind in (I32, I64):
        return zigzag(v)
    if kind == BINARY:
        v = v if isinstance(v, bytes) else v.encode()
        return varint(len(v)) + v
    if kind == LIST:  # (type of elements, encoded elements) or (type, elements, a forged number)
        n = v[2] if len(v) > 2 else len(v[1])
        return (bytes([n << 4 | v[0]]) if n < 15 else bytes([0xf0 | v[0]]) + varint(n)) + b"".join(v[1])
    return v  # a struct, encoded already; a boolean has none


def fields(*items):
    """(id, type, value) of one struct, in any order; bytes are taken as they are."""
    out, last = b"", 0
    for item in items:
        if isinstance(item, bytes):
            out += item
            continue
        i, kind, v = item
        out += bytes([i - last << 4 | kind]) if 0 < i - last < 16 else bytes([kind]) + zigzag(i)
        out += b"" if kind in (TRUE, FALSE) else value(kind, v)
        last = i
    return out + b"\0"


def replaced(items, forged):
    """Fields by their number, where `forged` may change, add or (None) remove some."""
    table = {i[0]: i for i in items}
    for i, item in forged.items():
        table.pop(i, None)
        if item is not None:
            table[i] = (i, *item)
    return fields(*[table[i] for i in sorted(table)])


# ---- parts of a file -----------------------------------------------------------------------

def page(body, n, encoding=PLAIN, kind=0, stored=None, plain=None, crc=None, level=RLE, header={}, inner={}):
    """A page of version 1; kind 2 is a dictionary."""
    about = [(1, I32, n), (2, I32, encoding)] + ([(3, I32, level), (4, I32, RLE)] if kind == 0 else [])
    top = [(1, I32, kind), (2, I32, len(body) if plain is None else plain),
           (3, I32, len(body) if stored is None else stored)]
    if crc is not None:
        top.append((4, I32, crc - (1 << 32) if crc >= 1 << 31 else crc))
    top.append((5 if kind == 0 else 7, STRUCT, replaced(about, inner)))
    return replaced(top, header) + body


def page2(levels, body, n, nulls=0, rows=None, encoding=PLAIN, level_bytes=None, repeated=0, plain=None):
    about = fields((1, I32, n), (2, I32, nulls), (3, I32, n if rows is None else rows), (4, I32, encoding),
                   (5, I32, len(levels) if level_bytes is None else level_bytes), (6, I32, repeated))
    size = len(levels) + len(body)
    return fields((1, I32, 3), (2, I32, size if plain is None else plain), (3, I32, size),
                  (8, STRUCT, about)) + levels + body


def element(name, kind=None, repetition=REQUIRED, children=None, length=None, forged={}):
    items = [(3, I32, repetition), (4, BINARY, name)]
    if kind is not None:
        items.append((1, I32, kind))
    if length is not None:
        items.append((2, I32, length))
    if children is not None:
        items.append((5, I32, children))
    return replaced(items, forged)


def chunk(kind, codec, n, start, size, forged={}, outer={}):
    meta = [(1, I32, kind), (2, LIST, (I32, [zigzag(0)])), (3, LIST, (BINARY, [value(BINARY, "a")])),
            (4, I32, codec), (5, I64, n), (6, I64, size), (7, I64, size), (9, I64, start)]
    return replaced([(2, I64, 0), (3, STRUCT, replaced(meta, forged))], outer)


def tail(footer, length=None, magic=b"PAR1"):
    return footer + struct.pack("<I", len(footer) if length is None else length) + magic


def table(pages, n=3, kind=INT32, repetition=OPTIONAL, codec=NONE, length=None, forged={}, outer={}, top={},
          group={}, schema=None, groups=None):
    """A file of one column "a" with one row group of `n` rows."""
    data = b"PAR1" + pages
    one = replaced([(1, LIST, (STRUCT, [chunk(kind, codec, n, 4, len(pages), forged, outer)])),
                    (2, I64, len(pages)), (3, I64, n)], group)
    schema = schema or [element("schema", children=1), element("a", kind, repetition, length=length)]
    footer = replaced([(1, I32, 2), (2, LIST, (STRUCT, schema)), (3, I64, n),
                       (4, LIST, (STRUCT, [one] if groups is None else groups)), (6, BINARY, "by hand")], top)
    return data + tail(footer)


def v1(levels, values):
    return struct.pack("<I", len(levels)) + levels + values


PRESENT = b"\6\1"                       # a run of three ones
INTS = struct.pack("<3i", 1, 2, 3)
GOOD = page(v1(PRESENT, INTS), 3)


def ints(body, n=3, encoding=PLAIN, **options):
    """A required column, whose pages are values alone."""
    return table(page(body, n, encoding), n, repetition=REQUIRED, **options)


def texts(*values):
    return b"".join(struct.pack("<I", len(v)) + v for v in values)


# ---- the files -----------------------------------------------------------------------------

def cuts():
    good = table(GOOD)
    write("good", "good", good, "-")
    for n, message in ((0, "it has 0 bytes"), (4, "it has 4 bytes"), (11, "it has 11 bytes"),
                       (len(good) - 1, "a Parquet file that was cut"), (len(good) - 8, "a Parquet file that was cut"),
                       (30, "a Parquet file that was cut")):
        bad(f"cut_{n}" if n < 40 else f"cut_end_{len(good) - n}", good[:n], message)
    bad("no_magic", b"PAR2" + good[4:], "it does not begin with PAR1")
    footer = good[4 + len(GOOD):-8]
    body = good[:4 + len(GOOD)]
    for name, length, message in (("huge", 0xffffffff, "a footer of 4294967295 bytes"),
                                  ("long", len(good) - 11, "the file has"), ("zero", 0, "footer, byte 0"),
                                  ("short", len(footer) - 3, "footer, byte"),
                                  ("into_page", len(footer) + 9, "the schema, is missing")):
        bad("footer_length_" + name, body + tail(footer, length), message)
    bad("footer_cut", body + tail(footer[:-20]), "it ends inside a value")
    write("unsupported", "encrypted_footer", body + tail(footer, magic=b"PARE"), "whose footer is encrypted")
    bad("page_missing", b"PAR1" + good[4 + len(GOOD):], "the data ends at 4")


def thrift():
    bad("footer_field_twice", table(GOOD)[:4 + len(GOOD)] + tail(
        fields((3, I64, 3), (3, I64, 3))), "field 3 occurs twice")
    bad("footer_wrong_type", table(GOOD, top={3: (I32, 3)}), "field 3 has type 5, expected 6")
    bad("footer_unknown_type", b"PAR1" + tail(b"\x1d\0"), "a value of type 13")
    bad("footer_long_varint", b"PAR1" + tail(b"\x36" + b"\xff" * 11 + b"\0"), "more than 64 bits")
    bad("footer_count_huge", table(GOOD, top={4: (LIST, (STRUCT, [], 1 << 40))}), "it ends inside a value")
    bad("footer_list_of_ints", table(GOOD, top={4: (LIST, (I32, [b"\2"]))}), "field 4 lists type 5, expected 12")
    bad("footer_text_huge", b"PAR1" + tail(b"\x68" + varint(1 << 62)), "it ends inside a value")
    deep = fields((1, STRUCT, b"\x1c" * 60 + b"\0" * 61))
    bad("footer_deep", table(GOOD, top={15: (STRUCT, deep)}), "nested deeper than 32")
    many = fields((1, LIST, (LIST, [], 1 << 30)))
    bad("footer_lists_bomb", table(GOOD, top={15: (STRUCT, many)}), "it ends inside a value")
    for i, what in ((2, "the schema"), (3, "the number of rows"), (4, "the row groups")):
        message = "the schema before it 0" if i == 2 else f"footer: field {i}, {what}, is missing"
        bad(f"footer_without_{i}", table(GOOD, top={i: None}), message)


def schemas():
    root, a = element("schema", children=1), element("a", INT32, OPTIONAL)

    def forged(name, schema, message):
        bad("schema_" + name, table(GOOD, schema=schema), message)

    bad("schema_empty", table(GOOD, top={2: (LIST, (STRUCT, []))}), "the schema is empty")
    forged("root_leaf", [a], "the root of the schema is no group")
    forged("children_missing", [element("schema", children=2), a], "1 children of a group are missing")
    forged("children_huge", [element("schema", children=2 ** 31 - 1), a], "2147483646 children of a group are missing")
    forged("children_negative", [root, element("g", children=-1)], '"g": a negative number of children')
    forged("root_negative", [element("schema", children=-1), a], "the root of the schema is no group")
    forged("behind", [root, a, element("b", INT32)], "\"b\": it is behind the schema's last group")
    forged("deep", [root] + [element(f"g{i}", children=1) for i in range(70)] + [a], "nested deeper than 64 groups")
    forged("type", [root, element("a", 8, OPTIONAL)], '"a": a type that the format does not have')
    forged("no_type", [root, element("a", None, OPTIONAL)], '"a": neither a type nor children')
    forged("both", [root, element("a", INT32, OPTIONAL, children=1), a], "a group with a type of its own")
    forged("fixed_zero", [root, element("a", FIXED, OPTIONAL, length=0)], "fixed length with a length that is none")
    forged("fixed_negative", [root, element("a", FIXED, OPTIONAL, length=-5)], "a length that is none")
    forged("repetition", [root, element("a", INT32, 7)], "neither required nor optional nor repeated")
    forged("no_name", [root, element("a", INT32, forged={4: None})], "a schema element without a name")
    forged("zero_in_name", [root, element(b"a\0b", INT32)], "a zero character in its name")
    forged("name_long", [root, element("n" * 2000, INT32)], "longer than 1022 bytes")
    forged("terminal_name", [root, element("\033[2Ja", 9)], "\\x1b[2Ja")
    forged("columns", [element("schema", children=2), a, element("b", INT32)],
           "row group 0 has 1 columns, the schema before it 2")
    forged("list", [element("schema", children=1), element("a", INT32, REPEATED)], "is repeated, in a list or a map")
    manifest[-1] = ("unsupported",) + manifest[-1][1:]


def counts():
    bad("rows_negative", table(GOOD, top={3: (I64, -3)}, group={3: (I64, -3)}), "row group 0 of -3 rows")
    bad("rows_differ", table(GOOD, top={3: (I64, 4)}), "4 rows, those of its row groups are 3")
    one = fields((1, LIST, (STRUCT, [chunk(INT32, NONE, 2 ** 62, 4, 5)])), (3, I64, 2 ** 62))
    bad("rows_overflow", table(GOOD, groups=[one] * 2), "row group 1 of 4611686018427387904 rows")
    bad("rows_huge", table(GOOD, forged={5: (I64, 2 ** 60)}, top={3: (I64, 2 ** 60)}, group={3: (I64, 2 ** 60)}),
        "its pages hold 3 of 1152921504606846976 rows")
    bad("values_fewer", table(GOOD, forged={5: (I64, 2)}), "2 values, the row group has 3 rows")
    bad("group_without_rows", table(GOOD, group={3: None}), "a row group without a number of rows")
    bad("group_without_columns", table(GOOD, group={1: None}), "a row group without columns")
    bad("group_columns_none", table(GOOD, group={1: (LIST, (STRUCT, []))}), "row group 0 has 0 columns")


def chunks():
    for name, forged, message in (
            ("offset_negative", {9: (I64, -4)}, "bytes from -4 on"), ("offset_zero", {9: (I64, 0)}, "bytes from 0 on"),
            ("offset_outside", {9: (I64, 1 << 40)}, "bytes from 1099511627776 on"),
            ("size_negative", {7: (I64, -1)}, "-1 bytes from 4 on"),
            ("size_outside", {7: (I64, 10 ** 6)}, "1000000 bytes from 4 on"),
            ("size_overflow", {7: (I64, 2 ** 63 - 1)}, "9223372036854775807 bytes from 4 on"),
            ("size_small", {7: (I64, 10)}, "its header goes past the end of the column chunk"),
            ("size_zero", {7: (I64, 0)}, "its pages hold 0 of 3 rows"),
            ("type", {1: (I32, INT64)}, "its type is not that of the schema"),
            ("without_codec", {4: None}, "a column chunk without field 4"),
            ("without_offset", {9: None}, "a column chunk without field 9"),
            ("dictionary_outside", {11: (I64, 3)}, "bytes from 3 on")):
        bad("chunk_" + name, table(GOOD, forged=forged), message)
    write("unsupported", "chunk_codec", table(GOOD, codec=99), "codec 99;")
    for codec, name in ((LZO, "LZO"), (BROTLI, "BROTLI"), (LZ4, "LZ4")):
        write("unsupported", "chunk_" + name.lower(), table(GOOD, codec=codec), f"codec {codec}, {name};")
    write("unsupported", "chunk_encrypted", table(GOOD, outer={8: (STRUCT, b"\0")}), "it is encrypted")
    write("unsupported", "chunk_elsewhere", table(GOOD, outer={1: (BINARY, "part-1.parquet")}), "lie in another file")
    bad("chunk_without_metadata", table(GOOD, outer={3: None}), "a column chunk without field 3")


def doubles():
    """What the names of two columns, and metadata, get wrong."""
    a = element("a", INT32, OPTIONAL)
    both = (LIST, (STRUCT, [chunk(INT32, NONE, 3, 4, len(GOOD))] * 2))
    bad("schema_twice", table(GOOD, schema=[element("schema", children=2), a, a], group={1: both}),
        'column "a" is there twice')
    bad("metadata_without_key", table(GOOD, top={5: (LIST, (STRUCT, [b"\0"] * 3))}), "metadata without a key")
    bad("chunk_empty", table(GOOD, group={1: (LIST, (STRUCT, [b"\0"] * 9))}), "a column chunk without field 3")


def pages():
    body = v1(PRESENT, INTS)
    for name, data, message in (
            ("stored_long", page(body, 3, stored=500, plain=500), "500 bytes, the column chunk has 18 more"),
            ("stored_negative", page(body, 3, stored=-1), "a page of -1 bytes"),
            ("plain_negative", page(body, 3, plain=-1), "decompressed -1"),
            ("plain_differs", page(body, 3, plain=50), "18 bytes in UNCOMPRESSED cannot be 50"),
            ("values_negative", page(body, -3), "a page of -3 values"),
            ("values_more", page(body, 4), "more values than the row group has rows"),
            ("values_huge", page(body, 2 ** 31 - 1), "more values than the row group has rows"),
            ("values_fewer", page(body, 2), "its pages hold 2 of 3 rows"),
            ("without_header", page(body, 3, header={5: None}), "a page of type 0 without field 5"),
            ("without_size", page(body, 3, header={3: None}), "a page header lacks type or size"),
            ("without_count", page(body, 3, inner={1: None}), "a data page's header lacks a field"),
            ("v2_without_header", page(body, 3, header={1: (I32, 3)}), "a page of type 3 without field 8"),
            ("wrong_type", page(body, 3, header={2: (I64, 18)}), "header, byte 3: field 2 has type 6"),
            ("crc", page(body, 3, crc=zlib.crc32(body) ^ 1), "its checksum is"),
            ("encoding_for_type", page(body, 3, DELTA_LENGTH), "an encoding that its type cannot have"),
            ("unknown_only", page(body, 3, header={1: (I32, 77)}), "its pages hold 0 of 3 rows")):
        bad("page_" + name, table(data), message)
    write("good", "page_crc_right", table(page(body, 3, crc=zlib.crc32(body))), "-")
    write("good", "page_unknown_before", table(page(b"??", 9, header={1: (I32, 77)}) + GOOD), "-")
    write("unsupported", "page_encoding", table(page(body, 3, 42)), "encoding 42, which is not read")
    write("unsupported", "page_bit_packed", table(page(body, 3, BIT_PACKED)), "encoding 4, BIT_PACKED")
    write("unsupported", "page_levels_bit_packed", table(page(body, 3, level=BIT_PACKED)),
          "definition levels in another encoding than RLE")
    write("unsupported", "page_2_gib", table(page(body, 3, plain=2 ** 31 - 1), codec=SNAPPY),
          "decompressed 2147483647; at most 1073741824 are read")


def levels():
    for name, data, message in (
            ("long", struct.pack("<I", 1000) + PRESENT + INTS, "its definition levels are longer than the page"),
            ("all_ones", b"\xff" * 4 + PRESENT + INTS, "its definition levels are longer than the page"),
            ("no_length", b"\2\0", "its definition levels are longer than the page"),
            ("none", v1(b"", INTS), "its definition levels run out"),
            ("few", v1(b"\4\1", INTS), "its definition levels run out"),
            ("run_cut", v1(b"\6", INTS), "its definition levels run out"),
            ("packed_cut", v1(b"\3", INTS), "its definition levels run out"),
            ("varint", v1(b"\xff" * 11, INTS), "its definition levels run out"),
            ("high", v1(b"\6\2", INTS), "a definition level above the schema's"),
            ("empty_runs", v1(b"\0\1" * 9, INTS), "its definition levels run out"),
            ("more_than_values", v1(PRESENT, INTS[:8]), "its values run out")):
        bad("levels_" + name, table(page(data, 3)), message)
    for name, data, message in (
            ("long", page2(PRESENT, INTS, 3, level_bytes=100), "its levels are longer than the page"),
            ("negative", page2(PRESENT, INTS, 3, level_bytes=-2), "its levels are longer than the page"),
            ("repeated", page2(PRESENT, INTS, 3, repeated=2 ** 31 - 1), "its levels are longer than the page"),
            ("nulls", page2(PRESENT, INTS, 3, nulls=1), "1 nulls, its levels say 0"),
            ("nulls_more", page2(PRESENT, INTS, 3, nulls=4), "a page of 3 values and 4 nulls"),
            ("rows", page2(PRESENT, INTS, 3, rows=2), "another number of rows than of values"),
            ("plain_small", page2(PRESENT, INTS, 3, plain=1), "its levels are longer than the page")):
        bad("v2_levels_" + name, table(data), message)
    write("good", "v2_good", table(page2(PRESENT, INTS, 3)), "-")
    bad("v2_null_in_required", table(page2(b"", INTS, 3, nulls=1), repetition=REQUIRED), "1 nulls, its levels say 0")


# "abcabcabc..." of 120 bytes in Snappy and in Zstandard (by pyarrow 26.0.1).
SNAPPY_120 = bytes.fromhex("7808616263fe0300d20300")
ZSTD_120 = bytes.fromhex("28b52ffd2078550000186162630100d2d40d01")


def codecs():
    plain = texts(b"abc" * 38 + b"ab")  # 4 + 116 bytes; what the codecs hold is compared by length only
    size = len(plain)

    def one(data, codec, plain_bytes, n=1):
        return table(page(data, n, plain=plain_bytes), n, kind=BYTES, repetition=REQUIRED, codec=codec)

    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    gzip = deflate.compress(plain) + deflate.flush()
    write("good", "gzip_good", one(gzip, GZIP, size), "-")
    write("good", "gzip_two_members", one(gzip + gzip, GZIP, 2 * size, 2), "-")
    for name, data, codec, plain_bytes, message in (
            ("gzip_more", gzip, GZIP, size - 1, "its GZIP data are damaged, or not"),
            ("gzip_fewer", gzip, GZIP, size + 1, "its GZIP data are damaged, or not"),
            ("gzip_cut", gzip[:-3], GZIP, size, "its GZIP data are damaged, or not"),
            ("gzip_crc", gzip[:-8] + bytes([gzip[-8] ^ 1]) + gzip[-7:], GZIP, size, "its GZIP data are damaged"),
            ("gzip_behind", gzip + b"xx", GZIP, size, "its GZIP data are damaged, or not"),
            ("gzip_empty", b"", GZIP, size, "0 bytes in GZIP cannot be 120"),
            ("snappy_length", SNAPPY_120, SNAPPY, 121, "its SNAPPY data are damaged, or not 121"),
            ("snappy_cut", SNAPPY_120[:-2], SNAPPY, 120, "its SNAPPY data are damaged, or not 120"),
            ("snappy_huge", b"\xff\xff\xff\xff\x0f" + SNAPPY_120[1:], SNAPPY, 120, "its SNAPPY data are damaged"),
            ("snappy_ratio", SNAPPY_120, SNAPPY, 10 ** 9, "11 bytes in SNAPPY cannot be 1000000000"),
            ("zstd_length", ZSTD_120, ZSTD, 119, "its ZSTD data are damaged, or not 119"),
            ("zstd_magic", b"\0" + ZSTD_120[1:], ZSTD, 120, "its ZSTD data are damaged, or not 120"),
            ("zstd_ratio", ZSTD_120, ZSTD, 10 ** 9, "19 bytes in ZSTD cannot be 1000000000"),
            ("lz4_damaged", b"\xff" * 20, LZ4_RAW, 120, "its LZ4_RAW data are damaged, or not 120"),
            ("lz4_fewer", b"\x50hello", LZ4_RAW, 120, "its LZ4_RAW data are damaged, or not 120"),
            ("lz4_ratio", b"\x50hello", LZ4_RAW, 10 ** 9, "6 bytes in LZ4_RAW cannot be 1000000000")):
        bad("codec_" + name, one(data, codec, plain_bytes), message)
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = bomb.compress(b"\0" * (8 << 20)) + bomb.flush()
    bad("codec_gzip_bomb", one(bomb, GZIP, 1000), "its GZIP data are damaged, or not 1000")
    bad("codec_gzip_bomb_said", one(bomb, GZIP, 1 << 30), "bytes in GZIP cannot be 1073741824")
    # Frame without a size: window of 128 KiB; blocks that repeat one byte 128 KiB times.
    block = (0 | 1 << 1 | 0x20000 << 3).to_bytes(3, "little") + b"\0"
    last = (1 | 1 << 1 | 0x20000 << 3).to_bytes(3, "little") + b"\0"
    frame = bytes.fromhex("28b52ffd0038") + block * 63 + last
    bad("codec_zstd_bomb", one(frame, ZSTD, 1000), "its ZSTD data are damaged, or not 1000")


def plain_values():
    bad("values_ints_cut", ints(INTS[:-1]), "its values run out")
    bad("values_none", ints(b""), "its values run out")
    text = dict(kind=BYTES)
    bad("text_length_huge", ints(b"\xff" * 4 + b"abc" * 4, **text), "its values run out")
    bad("text_length_long", ints(texts(b"a", b"b") + struct.pack("<I", 3) + b"xy", **text), "its values run out")
    bad("text_length_cut", ints(texts(b"abcd", b"b") + b"\0", **text), "its values run out")
    bad("bits_cut", table(page(b"\1", 9), 9, kind=BOOLEAN, repetition=REQUIRED), "its values run out")
    bad("fixed_cut", ints(b"abcdefgh", kind=FIXED, length=3), "its values run out")
    bad("int96_range", ints(b"\0" * 8 + b"\xff" * 4 + b"\0" * 24, kind=INT96), "an INT96 timestamp beyond")
    runs = struct.pack("<I", 2) + b"\6\1"
    write("good", "bool_runs_good", ints(runs, encoding=RLE, kind=BOOLEAN), "-")
    for name, data, message in (("long", b"\xff" + runs[1:], "its runs are longer than the page"),
                                ("no_length", b"\2", "its runs are longer than the page"),
                                ("few", struct.pack("<I", 2) + b"\4\1", "its values run out"),
                                ("two", struct.pack("<I", 2) + b"\6\2", "neither 0 nor 1")):
        bad("bool_runs_" + name, ints(data, encoding=RLE, kind=BOOLEAN), message)


def dictionaries():
    words = page(texts(b"x", b"yy"), 2, PLAIN, kind=2)
    indices = b"\1\3\5"  # width 1, one group of eight: 1, 0, 1, 0, ...

    def words_table(data, **options):
        return table(data, 3, kind=BYTES, repetition=REQUIRED, **options)

    used = page(indices, 3, DICTIONARY)
    write("good", "dictionary_good", words_table(words + used), "-")
    write("good", "dictionary_no_bits", words_table(words + page(b"\0", 3, DICTIONARY)), "-")
    for name, data, message in (
            ("index_outside", words + page(b"\2\6\2", 3, DICTIONARY), "an index past the end of its dictionary"),
            ("index_huge", words + page(b"\x20\6\xff\xff\xff\xff", 3, DICTIONARY), "an index past the end"),
            ("width_33", words + page(b"\x21\6" + b"\0" * 9, 3, DICTIONARY), "indices of more than 32 bits"),
            ("width_255", words + page(b"\xff\6" + b"\0" * 40, 3, DICTIONARY), "indices of more than 32 bits"),
            ("indices_few", words + page(b"\1\4\1", 3, DICTIONARY), "its dictionary indices run out"),
            ("indices_none", words + page(b"\1", 3, DICTIONARY), "its dictionary indices run out"),
            ("no_width", words + page(b"", 3, DICTIONARY), "its values run out"),
            ("missing", used, "indices without a dictionary before them"),
            ("behind", used + words, "indices without a dictionary before them"),
            ("twice", words + words + used, "a second dictionary in the column chunk"),
            ("encoding", page(texts(b"x", b"yy"), 2, DELTA_LENGTH, kind=2) + used, "in another encoding than PLAIN"),
            ("few", page(texts(b"x"), 2, PLAIN, kind=2) + used, "its values run out"),
            ("count_negative", page(texts(b"x"), -1, PLAIN, kind=2) + used, "a page of -1 values"),
            ("count_huge", page(texts(b"x"), 2 ** 31 - 1, PLAIN, kind=2) + used, "its values run out"),
            ("text_long", page(texts(b"x") + b"\xff" * 8, 2, PLAIN, kind=2) + used, "its values run out"),
            ("empty", page(b"", 0, PLAIN, kind=2) + used, "an index past the end of its dictionary"),
            ("only", words, "its pages hold 0 of 3 rows"),
            ("without_count", page(texts(b"x"), 1, PLAIN, kind=2, inner={1: None}) + used,
             "a dictionary page's header lacks a field")):
        bad("dictionary_" + name, words_table(data), message)
    bad("dictionary_of_bools", table(page(b"\1", 2, PLAIN, kind=2) + used, 3, kind=BOOLEAN, repetition=REQUIRED),
        "a dictionary of booleans")
    bad("dictionary_ints_few", table(page(INTS, 4, PLAIN, kind=2) + used, 3, repetition=REQUIRED),
        "its values run out")


def deltas():
    head = varint(128) + varint(4) + varint(3) + zigzag(7)  # block, miniblocks, values, the first
    good = head + zigzag(1) + b"\0\0\0\0"
    write("good", "delta_good", ints(good, encoding=DELTA), "-")
    no_header = "its deltas have no valid header"
    for name, data, message in (
            ("empty", b"", no_header), ("cut", head[:3], no_header),
            ("block_zero", varint(0) + varint(4) + varint(3) + zigzag(7), no_header),
            ("block_huge", varint(1 << 60) + varint(4) + varint(3) + zigzag(7), no_header),
            ("miniblocks_zero", varint(128) + varint(0) + varint(3) + zigzag(7), no_header),
            ("miniblocks_uneven", varint(128) + varint(3) + varint(3) + zigzag(7), no_header),
            ("miniblocks_small", varint(128) + varint(128) + varint(3) + zigzag(7), no_header),
            ("miniblocks_many", varint(1 << 30) + varint(1 << 25) + varint(3) + zigzag(7) + b"\0\0", "its values run out"),
            ("count", varint(128) + varint(4) + varint(4) + zigzag(7), "another number of deltas than of values"),
            ("count_huge", varint(128) + varint(4) + varint((1 << 64) - 1) + zigzag(7), "another number of deltas"),
            ("no_block", head, "its values run out"), ("no_widths", head + zigzag(1) + b"\0\0", "its values run out"),
            ("width_65", head + zigzag(1) + b"\x41\0\0\0" + b"\0" * 300, "its values run out"),
            ("bits_cut", head + zigzag(1) + b"\x20\0\0\0" + b"\0" * 127, "its values run out")):
        bad("delta_" + name, ints(data, encoding=DELTA), message)

    def lengths(*values):
        """A width of 32 bits for all; the differences to the smallest delta 0 must not be negative."""
        differences = [b - a for a, b in zip(values, values[1:])]
        least = min(differences)
        packed = b"".join(struct.pack("<I", d - least) for d in differences).ljust(128, b"\0")
        return varint(128) + varint(4) + varint(len(values)) + zigzag(values[0]) + zigzag(least) + b"\x20\0\0\0" + packed

    write("good", "delta_lengths_good", ints(lengths(1, 2, 1) + b"abbc", encoding=DELTA_LENGTH, kind=BYTES), "-")
    for name, data, message in (("long", lengths(1, 2, 2) + b"abbc", "its values run out"),
                                ("negative", lengths(1, -2, 1) + b"abbc", "its values run out"),
                                ("huge", lengths(1, 2 ** 31, 1) + b"abbc", "its values run out"),
                                ("cut", lengths(1, 2, 1)[:-1], "its lengths run out")):
        bad("delta_lengths_" + name, ints(data, encoding=DELTA_LENGTH, kind=BYTES), message)
    suffixes = lengths(2, 1, 1) + b"abcd"
    write("good", "delta_bytes_good", ints(lengths(0, 1, 2) + suffixes, encoding=DELTA_BYTES, kind=BYTES), "-")
    for name, data, message in (("prefix_long", lengths(0, 3, 0) + suffixes, "a prefix longer than the value before"),
                                ("prefix_first", lengths(1, 0, 0) + suffixes, "a prefix longer than the value before"),
                                ("prefix_negative", lengths(0, -1, 0) + suffixes, "a prefix longer than the value"),
                                ("suffix_long", lengths(0, 1, 2) + lengths(2, 1, 9) + b"abcd", "its values run out"),
                                ("suffix_missing", lengths(0, 1, 2), "its deltas have no valid header")):
        bad("delta_bytes_" + name, ints(data, encoding=DELTA_BYTES, kind=BYTES), message)
    bad("delta_bytes_fixed", ints(lengths(0, 1, 2) + suffixes, encoding=DELTA_BYTES, kind=FIXED, length=2),
        "a value of another length than its type")
    bad("split_uneven", ints(INTS + b"x", encoding=SPLIT), "streams of different lengths")
    bad("split_few", ints(INTS[:8], encoding=SPLIT), "its values run out")
    write("good", "split_good", ints(INTS, encoding=SPLIT), "-")


def main():
    os.makedirs(OUT, exist_ok=True)
    for name in os.listdir(OUT):
        os.unlink(os.path.join(OUT, name))
    for part in (cuts, thrift, schemas, counts, chunks, doubles, pages, levels, codecs, plain_values, dictionaries, deltas):
        part()
    with open(os.path.join(OUT, "MANIFEST.tsv"), "w") as file:
        file.write("# Written by tools/parity/golden_bad_parquet.py\n")
        file.writelines("\t".join(line) + "\n" for line in manifest)
    print(len(manifest), "files")


main()
