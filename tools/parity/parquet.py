#!/usr/bin/env python3
"""Compares the reader and the writer of Parquet with pyarrow, and writes the reader's fixtures.

    python tools/parity/parquet.py fixtures             tests/fixtures/parquet/: small files, NAME.expected beside
    python tools/parity/parquet.py seeds                tests/fuzz/parquet/: seeds for mutation
    python tools/parity/parquet.py live DIR             every combination of types, encodings, codecs, ...
    BDPO_LIVE_PARQUET_DIR=DIR bdpo_test --tier long test_parquet
    python tools/parity/parquet.py shared DATA          tests/fixtures/parquet/shared.tsv: digests of what pyarrow
                                                        reads in DATA/good (apache/parquet-testing)
    python tools/parity/parquet.py written DIR          reads what BDPO_PARQUET_WRITE_DIR=DIR made bdpo_test write
    python tools/parity/parquet.py large FILE [GB]      a file shaped like Pick-a-Pic's, for measuring memory

NAME.expected holds all values as tests/formats/parquet_dump.h says. Libraries: pyarrow 26.0.1, numpy 2.4.6;
`written` also pandas 3.1.1, datasets 5.2.0 and fastparquet 2026.9.0. Python 3.11.
"""
import datetime
import decimal
import hashlib
import itertools
import os
import random
import struct
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
FIXTURES = os.path.join(ROOT, "tests/fixtures/parquet")


# ---- what pyarrow reads, as bytes ----------------------------------------------------------

def integers(column):
    """A column as Python integers or None, in the unit in which it is stored."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_time64(kind):
        column = column.cast(pa.int64())
    elif pa.types.is_date32(kind) or pa.types.is_time32(kind):
        column = column.cast(pa.int32())
    return [None if v is None else int(v) for v in column.to_pylist()]


def decimals(column, leaf):
    """The unscaled integers, stored as big-endian bytes or as integers."""
    out = []
    for value in column.to_pylist():
        if value is None:
            out.append(None)
            continue
        unscaled = int(value.scaleb(column.type.scale))
        if leaf.physical_type in ("INT32", "INT64"):
            out.append(unscaled)
        elif leaf.physical_type == "BYTE_ARRAY":
            size = max(1, (unscaled.bit_length() + 8) // 8)
            out.append(unscaled.to_bytes(size, "big", signed=True))
        else:
            out.append(unscaled.to_bytes(leaf.length, "big", signed=True))
    return out


def kind_of(leaf):
    if leaf.physical_type in ("FLOAT", "DOUBLE"):
        return "d"
    return "b" if leaf.physical_type in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY") else "i"


def values_of(column, leaf):
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_decimal(kind):
        return decimals(column, leaf)
    if kind_of(leaf) == "i":
        return integers(column)
    if pa.types.is_float16(kind):
        return [None if v is None else np.float16(v).tobytes() for v in column.to_pylist()]
    if pa.types.is_floating(kind):
        return column.to_pylist()
    return [v.encode() if isinstance(v, str) else v for v in column.to_pylist()]


def leaf_column(table, leaf):
    """The values of a leaf inside structs, null where a struct around is."""
    parts = leaf.path.split(".")
    array = table.column(parts[0]).combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    for part in parts[1:]:
        array = pa.compute.struct_field(array, part)
    return array


def put_value(out, kind, value):
    if value is None:
        out.append(b"\0")
    elif kind == "i":
        out.append(b"\1" + struct.pack("<Q", value & (1 << 64) - 1))
    elif kind == "d":
        out.append(b"\1" + struct.pack("<d", value))
    else:
        out.append(b"\1" + struct.pack("<I", len(value)) + value)


def dump(path, read=None):
    import pyarrow.compute  # noqa: F401, registers pa.compute
    file = pq.ParquetFile(path, page_checksum_verification=True)
    schema = file.schema
    table = read or file.read()
    out = [b"BDPQ", struct.pack("<IQ", len(schema), file.metadata.num_rows)]
    for i in range(len(schema)):
        leaf = schema.column(i)
        name = leaf.path.encode()
        kind = "u" if leaf.max_repetition_level else kind_of(leaf)
        out.append(struct.pack("<I", len(name)) + name + kind.encode())
        if kind != "u":
            for value in values_of(leaf_column(table, leaf), leaf):
                put_value(out, kind, value)
    return b"".join(out)


# ---- tables --------------------------------------------------------------------------------

def strings(rng, n, distinct):
    pool = ["", "a", "žluťoučký kůň", "一只猫", "x" * 300] + [
        "".join(rng.choice("abcdefgh ") for _ in range(rng.randrange(1, 40))) for _ in range(distinct)]
    return [rng.choice(pool) for _ in range(n)]


def prefixed(rng, n):
    return sorted("prefix/" * rng.randrange(4) + str(rng.randrange(10 ** 6)) for _ in range(n))


def whole(rng, n, bits, signed):
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    edge = [low, high, 0, 1, low + 1, high - 1]
    near = rng.randrange(low, high)
    return [rng.choice(edge) if rng.random() < 0.2 else
            min(high, max(low, near + rng.randrange(-9, 9))) if rng.random() < 0.5 else
            rng.randrange(low, high + 1) for _ in range(n)]


def reals(rng, n, dtype):
    special = [0.0, -0.0, float("inf"), float("-inf"), 1.5]
    return np.array([rng.choice(special) if rng.random() < 0.2 else rng.gauss(0, 100)
                     for _ in range(n)], dtype=dtype)


def columns(rng, n):
    """Name, pyarrow type and values (without nulls) of one column of each kind."""
    yield "bool", pa.bool_(), [rng.random() < 0.3 for _ in range(n)]
    yield "bool_runs", pa.bool_(), [i // 50 % 2 == 0 for i in range(n)]
    for bits in (8, 16, 32, 64):
        for signed in (True, False):
            name = f"{'' if signed else 'u'}int{bits}"
            yield name, getattr(pa, name)(), whole(rng, n, bits, signed)
    yield "counter", pa.int64(), list(range(10 ** 12, 10 ** 12 + n))
    yield "one", pa.int32(), [7] * n
    yield "float16", pa.float16(), list(reals(rng, n, np.float16))
    yield "float32", pa.float32(), list(reals(rng, n, np.float32))
    yield "float64", pa.float64(), list(reals(rng, n, np.float64))
    yield "string", pa.string(), strings(rng, n, 10)
    yield "many_strings", pa.large_string(), strings(rng, n, 10 * n)
    yield "prefixed", pa.string(), prefixed(rng, n)
    yield "binary", pa.binary(), [rng.randbytes(rng.choice((0, 3, 20, 700))) for _ in range(n)]
    yield "fixed5", pa.binary(5), [rng.randbytes(5) if rng.random() < 0.5 else b"abcde" for _ in range(n)]
    yield "date", pa.date32(), [rng.randrange(-10000, 30000) for _ in range(n)]
    yield "time_ms", pa.time32("ms"), [rng.randrange(86400000) for _ in range(n)]
    yield "time_ns", pa.time64("ns"), [rng.randrange(86400000000000) for _ in range(n)]
    for unit in ("ms", "us", "ns"):
        yield "ts_" + unit, pa.timestamp(unit), [rng.randrange(-10 ** 12, 10 ** 15) for _ in range(n)]
    yield "ts_utc", pa.timestamp("us", tz="UTC"), [rng.randrange(10 ** 15) for _ in range(n)]
    yield "decimal", pa.decimal128(20, 3), [
        decimal.Decimal(rng.randrange(-10 ** 18, 10 ** 18)).scaleb(-3) for _ in range(n)]
    yield "small_decimal", pa.decimal128(7, 2), [
        decimal.Decimal(rng.randrange(-10 ** 6, 10 ** 6)).scaleb(-2) for _ in range(n)]


def null_mask(rng, nulls, n):
    if nulls == "some":
        return [rng.random() < 0.3 for _ in range(n)]
    if nulls == "runs":
        return [i // 37 % 3 == 1 for i in range(n)]
    return [nulls == "all"] * n


def nested(rng, n):
    """Two columns that are read by the names of their fields, and three that are not read."""
    inner = [None if rng.random() < 0.2 else
             {"bytes": None if rng.random() < 0.2 else rng.randbytes(9), "path": str(i)} for i in range(n)]
    yield "image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]), inner
    yield "deep", pa.struct([("a", pa.struct([("b", pa.int32())]))]), [
        None if i % 5 == 0 else {"a": None if i % 3 == 0 else {"b": None if i % 2 else i}} for i in range(n)]
    yield "list", pa.list_(pa.int32()), [[1] * rng.randrange(4) for _ in range(n)]
    yield "map", pa.map_(pa.string(), pa.int64()), [[("a", 1)] * rng.randrange(2) for _ in range(n)]
    yield "list_of_structs", pa.list_(pa.struct([("x", pa.int8())])), [[{"x": 1}] for _ in range(n)]


def table(rng, n, nulls, with_nested=True):
    fields, arrays = [], []
    for name, kind, data in columns(rng, n):
        mask = None if nulls in ("none", "required") else np.array(null_mask(rng, nulls, n), dtype=bool)
        arrays.append(pa.array(data, kind) if mask is None else
                      pa.array([None if m else v for v, m in zip(data, mask)], kind))
        fields.append(pa.field(name, kind, nullable=nulls != "required"))
    if with_nested:
        for name, kind, data in nested(rng, n):
            arrays.append(pa.array(data, kind))
            fields.append(pa.field(name, kind))
        arrays.append(pa.nulls(n))
        fields.append(pa.field("nothing", pa.null()))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


# ---- encodings -----------------------------------------------------------------------------

DELTA = {"bool": "RLE", "bool_runs": "RLE", "string": "DELTA_LENGTH_BYTE_ARRAY",
         "many_strings": "DELTA_BYTE_ARRAY", "prefixed": "DELTA_BYTE_ARRAY",
         "binary": "DELTA_LENGTH_BYTE_ARRAY", "fixed5": "DELTA_BYTE_ARRAY",
         "decimal": "DELTA_BYTE_ARRAY"}
SPLIT = {"bool": "RLE", "binary": "DELTA_BYTE_ARRAY"}
SPLIT_TYPES = ("INT32", "INT64", "FLOAT", "DOUBLE", "FIXED_LEN_BYTE_ARRAY")


def encodings(name, t):
    """Arguments of write_table that give every column of the table an encoding of this family."""
    if name == "dictionary":
        return {"use_dictionary": True}
    if name == "plain":
        return {"use_dictionary": False}
    sink = pa.BufferOutputStream()
    pq.write_table(t.slice(0, 0), sink)
    chosen = {}
    for leaf in pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema:
        if name == "delta":
            fallback = "DELTA_BINARY_PACKED" if leaf.physical_type in ("INT32", "INT64") else "PLAIN"
            chosen[leaf.path] = DELTA.get(leaf.path, fallback)
        else:
            fallback = "BYTE_STREAM_SPLIT" if leaf.physical_type in SPLIT_TYPES else "PLAIN"
            chosen[leaf.path] = SPLIT.get(leaf.path, fallback)
    return {"use_dictionary": False, "column_encoding": chosen}


def write(path, t, family, **options):
    pq.write_table(t, path, **encodings(family, t), **options)
    with open(path[:-len(".parquet")] + ".expected", "wb") as file:
        file.write(dump(path))


# ---- the commands --------------------------------------------------------------------------

CODECS = ("NONE", "SNAPPY", "GZIP", "ZSTD", "LZ4")
FAMILIES = ("dictionary", "plain", "delta", "split")
NULLS = ("required", "none", "some", "runs", "all")
# Rows of a row group; bytes of a page and of a dictionary, values between looks at them.
GROUPS = (1000, 137)
PAGES = ((1 << 20, 1 << 20, 1024), (2000, 500, 10), (1, 1, 1))


def live(folder):
    os.makedirs(folder, exist_ok=True)
    n_files, used = 0, set()
    for nulls, n in itertools.product(NULLS, (400, 1, 0)):
        t = table(random.Random(f"{nulls} {n}"), n, nulls)
        for codec, family, version, rows, pages in itertools.product(
                CODECS, FAMILIES, ("1.0", "2.0"), GROUPS, PAGES):
            if n < 2 and (rows != GROUPS[0] or pages != PAGES[0]):
                continue
            checksum = n_files % 2 == 0
            path = os.path.join(folder, f"t{n_files:05d}.parquet")
            write(path, t, family, compression=codec, data_page_version=version, row_group_size=rows,
                  data_page_size=pages[0], dictionary_pagesize_limit=pages[1], write_batch_size=pages[2],
                  write_page_checksum=checksum, write_page_index=n_files % 3 == 0,
                  write_statistics=n_files % 5 != 0, store_decimal_as_integer=n_files % 7 == 0)
            used.update(e for g in range(min(1, pq.read_metadata(path).num_row_groups))
                        for c in range(pq.read_metadata(path).num_columns)
                        for e in pq.read_metadata(path).row_group(g).column(c).encodings)
            n_files += 1
    for i, extra in enumerate(special()):
        extra(os.path.join(folder, f"special{i}.parquet"))
        n_files += 1
    print(f"{n_files} files, encodings: {' '.join(sorted(used))}")


def special():
    """Files that other options make."""
    rng = random.Random(7)
    times = pa.table({"t": pa.array([rng.randrange(-10 ** 18, 4 * 10 ** 18) if i % 7 else None
                                     for i in range(300)], pa.timestamp("ns"))})
    plain = table(rng, 2500, "some", with_nested=False)
    yield lambda p: write(p, times, "dictionary", use_deprecated_int96_timestamps=True)
    yield lambda p: write(p, times, "plain", use_deprecated_int96_timestamps=True, data_page_size=100,
                          write_batch_size=1)
    yield lambda p: write(p, plain, "dictionary", version="1.0", coerce_timestamps="us",
                          allow_truncated_timestamps=True)
    yield lambda p: write(p, plain, "dictionary", version="2.4", use_byte_stream_split=False,
                          dictionary_pagesize_limit=700, write_batch_size=50, coerce_timestamps="ms",
                          allow_truncated_timestamps=True)
    yield lambda p: write(p, plain, "plain", use_content_defined_chunking=True)
    yield lambda p: write(p, pa.table({"a": pa.array(["x", None, "y"]).dictionary_encode()}), "dictionary")
    yield lambda p: write(p, pick_a_pic(random.Random(3), 1203, 2000), "dictionary",
                          compression="SNAPPY", row_group_size=500)
    yield lambda p: write(p, pick_a_pic(random.Random(4), 60, 400000), "dictionary",
                          compression="SNAPPY", row_group_size=20)


def jpeg(rng, size):
    """Bytes that begin and end as a JPEG and do not compress."""
    return b"\xff\xd8\xff\xe0\x00\x10JFIF" + rng.randbytes(rng.randrange(size // 2, size)) + b"\xff\xd9"


def pick_a_pic(rng, n, image_bytes):
    """The columns of Pick-a-Pic v2."""
    uid = [[f"{rng.getrandbits(128):032x}" for _ in range(n)] for _ in range(2)]
    label = [rng.choice((0.0, 0.5, 1.0)) for _ in range(n)]
    models = ["stabilityai/stable-diffusion-xl-base-1.0", "dreamlike-art/dreamlike-photoreal-2.0"]
    return pa.table({
        "are_different": pa.array([True] * n),
        "best_image_uid": pa.array([uid[0][i] if label[i] == 1 else uid[1][i] if label[i] == 0 else "tie"
                                    for i in range(n)]),
        "caption": pa.array([rng.choice(("a cat", "一只猫", "castle, oil on canvas")) + f" {i // 4}"
                             for i in range(n)]),
        "created_at": pa.array([1672531200000000000 + 10 ** 12 * i + i for i in range(n)], pa.timestamp("ns")),
        "has_label": pa.array([rng.random() < 0.9 for _ in range(n)]),
        "image_0_uid": pa.array(uid[0]),
        "image_0_url": pa.array(["https://example.org/0/" + u for u in uid[0]]),
        "image_1_uid": pa.array(uid[1]),
        "image_1_url": pa.array(["https://example.org/1/" + u for u in uid[1]]),
        "jpg_0": pa.array([jpeg(rng, image_bytes) for _ in range(n)], pa.binary()),
        "jpg_1": pa.array([jpeg(rng, image_bytes) for _ in range(n)], pa.binary()),
        "label_0": pa.array(label),
        "label_1": pa.array([1 - x for x in label]),
        "model_0": pa.array([rng.choice(models) for _ in range(n)]),
        "model_1": pa.array([None if rng.random() < 0.01 else rng.choice(models) for _ in range(n)]),
        "ranking_id": pa.array(range(10 ** 6, 10 ** 6 + n)),
        "user_id": pa.array([rng.randrange(5000) for _ in range(n)]),
        "num_example_per_prompt": pa.array([rng.randrange(1, 9) for _ in range(n)]),
        "__index_level_0__": pa.array(range(n)),
    })


def fixtures():
    os.makedirs(FIXTURES, exist_ok=True)
    small = (300, 200, 8)
    for i, (family, codec) in enumerate(itertools.product(FAMILIES, CODECS)):
        nulls = NULLS[i % len(NULLS)]
        version = "2.0" if i % 2 else "1.0"
        t = table(random.Random(i), 40, nulls, with_nested=i % 4 == 0)
        names = [c for j, c in enumerate(t.column_names) if (j + i) % 3 == 0 or family == "delta"]
        write(os.path.join(FIXTURES, f"{family}_{codec.lower()}_{nulls}_v{version[0]}.parquet"),
              t.select(names), family, compression=codec, data_page_version=version, row_group_size=25,
              data_page_size=small[0], dictionary_pagesize_limit=small[1], write_batch_size=small[2],
              write_page_checksum=True, store_schema=False, write_statistics=False)
    write(os.path.join(FIXTURES, "pick_a_pic.parquet"), pick_a_pic(random.Random(5), 30, 300), "dictionary",
          compression="SNAPPY", row_group_size=12, store_schema=False, write_statistics=False)


def seeds():
    """For the fuzz target: small, each encoding bare and in each codec, and without checksums, behind which no
    damage would get further than these."""
    folder = os.path.join(ROOT, "tests/fuzz/parquet")
    os.makedirs(folder, exist_ok=True)
    wanted = ["bool", "int32", "uint16", "counter", "float64", "string", "prefixed", "fixed5", "ts_ns", "deep"]
    for i, (family, codec) in enumerate(itertools.product(FAMILIES, CODECS)):
        t = table(random.Random(i), 12, ("some", "required", "runs")[i % 3])
        names = wanted if codec == "NONE" else wanted[i % 3::3]
        pq.write_table(t.select(names), os.path.join(folder, f"{family}_{codec.lower()}.parquet"),
                       **encodings(family, t.select(names)), compression=codec,
                       data_page_version="2.0" if i % 2 else "1.0", row_group_size=7, data_page_size=60,
                       write_batch_size=4, store_schema=False, write_statistics=i % 5 == 4)
    times = pa.table({"t": pa.array([5, None, 7 * 10 ** 17], pa.timestamp("ns"))})
    pq.write_table(times, os.path.join(folder, "int96.parquet"), use_deprecated_int96_timestamps=True,
                   store_schema=False, write_statistics=False, compression="NONE", use_dictionary=False)


def shared(folder):
    lines = []
    for name in sorted(os.listdir(os.path.join(folder, "good"))):
        if not name.endswith(".parquet"):
            continue
        try:
            data = dump(os.path.join(folder, "good", name))
            lines.append(f"{name}\t{hashlib.sha256(data).hexdigest()}")
        except Exception as e:
            lines.append(f"{name}\t-\t{type(e).__name__}: {str(e)[:80]}")
    with open(os.path.join(FIXTURES, "shared.tsv"), "w") as file:
        file.write("# Written by tools/parity/parquet.py shared\n" + "\n".join(lines) + "\n")


def large(path, gigabytes=5.0):
    rng = random.Random(1)
    t = pick_a_pic(rng, 500, 335000)
    n_groups = int(gigabytes * 1e9 / t.nbytes) + 1
    with pq.ParquetWriter(path, t.schema, compression="SNAPPY") as writer:
        for _ in range(n_groups):
            writer.write_table(t, row_group_size=500)
    print(f"{path}: {os.path.getsize(path)} bytes, {500 * n_groups} rows in {n_groups} row groups")


# ---- what we write -------------------------------------------------------------------------

WRITTEN = pa.schema([("flag", pa.bool_()), ("count", pa.int64()), ("score", pa.float64()),
                     ("text", pa.string()), ("bytes", pa.binary()), ("time", pa.timestamp("ns")),
                     pa.field("id", pa.int64(), nullable=False),
                     pa.field("known", pa.bool_(), nullable=False)])


def written_row(i):
    """The rows of tests/formats/test_parquet_write.c."""
    row = [i % 3 == 0, (i - 5) * 1234567890123, -0.0 if i % 11 == 0 else i / 7,
           "" if i % 13 == 0 else f"row {i} 一只猫",
           bytes((i * 31 + k * k * 7 + (k >> 8)) & 255 for k in range(i * 37 % 4096)),
           1672531200000000000 + i * 1000000007, i, i % 2 == 1]
    return [None if c < 6 and (i % (5 + c) == 2 or 100 <= i < 200) else v for c, v in enumerate(row)]


def same(found, expected):
    """Equal, also in the sign of a zero."""
    if isinstance(expected, float):
        return struct.pack("<d", found) == struct.pack("<d", expected)
    return found == expected


def written(folder):
    import datasets
    import fastparquet
    import pandas
    rows = [written_row(i) for i in range(5000)]
    for name in sorted(os.listdir(folder)):
        path, n = os.path.join(folder, name), int(name.split("_")[1])
        file = pq.ParquetFile(path, page_checksum_verification=True)
        t = file.read()
        assert t.schema.remove_metadata().equals(WRITTEN), t.schema
        assert t.schema.metadata == {b"made by": b"bdpo_test"}, t.schema.metadata
        assert file.metadata.created_by == "bdpo" and t.num_rows == n
        t.validate(full=True)
        for c, column in enumerate(WRITTEN.names):
            values = t.column(column)
            values = (values.cast(pa.int64()) if column == "time" else values).to_pylist()
            assert all(same(v, rows[i][c]) for i, v in enumerate(values)), column
        frame = pandas.read_parquet(path)
        assert frame["time"].dtype == "datetime64[ns]" and len(frame) == n
        for c, column in enumerate(WRITTEN.names):
            for i, v in enumerate(frame[column]):
                e = rows[i][c]
                assert pandas.isna(v) if e is None else (v.value if column == "time" else v) == e, column
        fast = fastparquet.ParquetFile(path).to_pandas() if n else frame
        assert [x for x in fast["text"] if x is not None and x == x] == [
            r[3] for r in rows[:n] if r[3] is not None]
        assert list(fast["id"]) == [r[6] for r in rows[:n]]
        if n:
            hf = datasets.Dataset.from_parquet(path, cache_dir=os.path.join("/tmp", "datasets-cache"))
            assert hf.num_rows == n and hf[n - 1]["text"] == rows[n - 1][3] and hf["bytes"][:] == [
                r[4] for r in rows[:n]]
        print(f"{name}: equal in pyarrow, pandas" + (", fastparquet, datasets" if n else ""))


if __name__ == "__main__":
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "large":
        large(arguments[0], float(arguments[1]) if len(arguments) > 1 else 5.0)
    else:
        {"live": live, "fixtures": fixtures, "seeds": seeds, "shared": shared, "written": written}[command](*arguments)
