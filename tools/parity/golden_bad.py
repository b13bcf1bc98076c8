#!/usr/bin/env python3
"""Writes tests/golden-bad/: malformed files, and MANIFEST.tsv with what the refusal must say.

    python tools/parity/golden_bad.py

A line of the manifest: KIND, file, a part of the message, separated by tabs. KIND is "tensors" (any
file of tensors), "good" (a sound one) or "config" (JSON, read as tests/formats/test_golden_bad.c says). Python 3 alone:
nothing here needs torch, and nothing written here is executed by anything but pickle readers.
"""
import json
import os
import struct

OUT = os.path.join(os.path.dirname(__file__), "../../tests/golden-bad")
manifest = []


def bad(name, data, message, kind="tensors"):
    with open(os.path.join(OUT, name), "wb") as file:
        file.write(data)
    manifest.append((kind, name, message))


def sound(name, data):
    """A sound file among the others: the forgeries near it fail for the reason that they should."""
    with open(os.path.join(OUT, name), "wb") as file:
        file.write(data)
    manifest.append(("good", name, "-"))


# ---- safetensors ---------------------------------------------------------------------------

def st(header, data=b"", length=None):
    header = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(dtype="U8", shape="[1]", offsets="[0,1]", name="a"):
    return '"%s":{"dtype":"%s","shape":%s,"data_offsets":%s}' % (name, dtype, shape, offsets)


def one(dtype="U8", shape="[1]", offsets="[0,1]", data=b"x"):
    return st("{" + entry(dtype, shape, offsets) + "}", data)


def safetensors():
    good = one()
    for n, message in ((0, "0 bytes"), (7, "7 bytes"), (8, "the file has 0 after it"),
                       (20, "the file has 12 after it"), (len(good) - 2, "the file has"),
                       (len(good) - 1, "data_offsets 0 to 1, the file has 0 to 0")):
        bad(f"st_cut_{n}.safetensors", good[:n], message)
    bad("st_length_all_ones.safetensors", b"\xff" * 8 + good[8:], "a header of 18446744073709551615")
    bad("st_length_over_limit.safetensors", st("{}", b"", 100000001), "at most 100000000")
    bad("st_length_zero.safetensors", st(""), "found its end, expected '{'")
    cases = {
        "array": (st("[]"), "found '[', expected '{'"),
        "text_after": (st("{} x"), "expected nothing after the object"),
        "zero_after": (st(b"{}\0\0"), "byte 2: found byte 0x00"),
        "bom": (st(b"\xef\xbb\xbf{}"), "found byte 0xef, expected '{'"),
        "not_utf8": (st(b'{"\xff":1}'), "header, byte 2: not UTF-8"),
        "overlong_utf8": (st(b'{"\xc0\x80":1}'), "not UTF-8"),
        "surrogate_utf8": (st(b'{"\xed\xa0\x80":1}'), "not UTF-8"),
        "lone_surrogate": (st('{"\\ud800x":1}'), "second half of a surrogate pair"),
        "swapped_surrogates": (st('{"\\udc00\\ud800":1}'), "second half of a surrogate pair"),
        "zero_in_name": (st('{"a\\u0000":1}'), "no zero character"),
        "control_in_name": (st('{"a\n":1}'), "no control character"),
        "bad_escape": (st('{"\\x41":1}'), "an escape sequence"),
        "short_escape": (st('{"\\u12"}'), "four hexadecimal digits"),
        "open_string": (st('{"abc'), "the end of a string"),
        "open_escape": (st('{"abc\\'), "the end of a string"),
        "open_object": (st("{" + entry(), b"x"), "found its end, expected '}'"),
        "trailing_comma": (st("{" + entry() + ",}", b"x"), "found '}', expected a string"),
        "no_colon": (st('{"a" {}}'), "expected ':'"),
        "entry_array": (st('{"a":["U8",[1],[0,1]]}', b"x"), "found '[', expected '{'"),
        "entry_number": (st('{"a":1}'), "found '1', expected '{'"),
        "entry_empty": (st('{"a":{}}'), "its entry has no dtype"),
        "no_shape": (st('{"a":{"dtype":"U8","data_offsets":[0,1]}}', b"x"), "has no shape"),
        "no_offsets": (st('{"a":{"dtype":"U8","shape":[1]}}', b"x"), "has no data_offsets"),
        "field_twice": (st('{"a":{"dtype":"U8","dtype":"U8"}}'), "occurs twice"),
        "deep_unknown": (st('{"a":{"z":' + "[" * 200 + "]" * 200 + "}}"), "no deeper nesting"),
        "deep_top": (st("[" * 5000), "expected '{'"),
        "nan": (st('{"a":{"z":NaN}}'), "found 'N', expected a value"),
        "leading_zero": (one(shape="[01]"), "an integer from 0"),
        "plus": (one(shape="[+1]"), "an integer from 0"),
        "negative": (one(shape="[-1]"), "found '-', expected an integer"),
        "minus_zero": (one(offsets="[-0,1]"), "found '-', expected an integer"),
        "fraction": (one(shape="[1.0]"), "an integer from 0"),
        "exponent": (one(shape="[1e0]"), "an integer from 0"),
        "text_for_number": (one(offsets='["0",1]'), "an integer from 0"),
        "above_u64": (one(shape="[18446744073709551616]"), "an integer from 0 to 2^64 - 1"),
        "above_i64": (one(shape="[9223372036854775808]"), "a dimension above"),
        "offsets_one": (one(offsets="[0]"), "found ']', expected ','"),
        "offsets_three": (one(offsets="[0,1,2]"), "found ',', expected ']'"),
        "many_dims": (one(shape="[" + ",".join(["1"] * 65) + "]"), "more than 64 dimensions"),
        "product_overflow": (one(shape="[4294967296,4294967296,1]"), "no whole number of bytes"),
        "bits_overflow": (one(dtype="F64", shape="[4611686018427387904]"), "no whole number"),
        "half_byte": (one(dtype="F4", shape="[1]"), "no whole number of bytes"),
        "unknown_dtype": (one(dtype="F128"), 'unknown dtype "F128"'),
        "lower_dtype": (one(dtype="u8"), 'unknown dtype "u8"'),
        "dtype_number": (st('{"a":{"dtype":8}}'), "expected a string"),
        "end_before_begin": (one(offsets="[1,0]"), "data_offsets 1 to 0"),
        "end_outside": (one(shape="[2]", offsets="[0,2]"), "data_offsets 0 to 2, the file has 0 to 1"),
        "end_huge": (one(offsets="[0,18446744073709551615]"), "data_offsets 0 to 18446744073709551615"),
        "size_small": (one(dtype="F32"), "1 bytes of data, F32 [1] takes 4"),
        "hole_at_start": (one(offsets="[1,2]", data=b"xx"), "begins at 1, but what lies before it ends at 0"),
        "hole": (st("{%s,%s}" % (entry(), entry(offsets="[2,3]", name="b")), b"xxx"), "begins at 2"),
        "overlap": (st("{%s,%s}" % (entry(shape="[2]", offsets="[0,2]"),
                                    entry(shape="[2]", offsets="[1,3]", name="b")), b"xxx"), "begins at 1"),
        "same_range": (st("{%s,%s}" % (entry(), entry(name="b")), b"x"), "begins at 0"),
        "empty_inside": (st("{%s,%s}" % (entry(shape="[0]", offsets="[1,1]"),
                                         entry(shape="[2]", offsets="[0,2]", name="b")), b"xx"), "begins at 1"),
        "data_long": (one(data=b"xy"), "2 bytes of data, its tensors take 1"),
        "name_twice": (st("{%s,%s}" % (entry(), entry(offsets="[1,2]")), b"xx"), 'tensor "a" occurs twice'),
        "metadata_list": (st('{"__metadata__":["a"]}'), "found '[', expected '{'"),
        "metadata_number": (st('{"__metadata__":{"a":1}}'), "found '1', expected a string"),
        "metadata_twice": (st('{"__metadata__":{},"__metadata__":{}}'), "__metadata__ occurs twice"),
        "metadata_key_twice": (st('{"__metadata__":{"a":"1","a":"2"}}'), 'value "a" occurs twice'),
        "terminal_name": (st('{"\\u001b[2J\\n":{}}'), '"\\x1b[2J\\x0a": its entry has no dtype'),
    }
    for name, (data, message) in cases.items():
        bad(f"st_{name}.safetensors", data, message)
    bad("not_a_model.bin", b"hello, world, this is text\n", "neither safetensors nor PyTorch")
    bad("lfs_pointer.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "a Git LFS pointer")
    bad("tar.pt", b"pickle".ljust(257, b"\0") + b"ustar\0" + b"00".ljust(255, b"\0"), "a tar file")


# ---- pickles -------------------------------------------------------------------------------

def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def glob(module, name):
    return b"c%s\n%s\n" % (module.encode(), name.encode())


def storage(key="0", numel=4, cls="FloatStorage"):
    return (b"(" + text("storage") + glob("torch", cls) + text(key) + text("cpu") +
            b"J" + struct.pack("<i", numel) + b"tQ")


def ints(*values):
    return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", v) for v in values) + b"t"


def tensor(offset=0, size=(4,), stride=(1,), store=None, hooks=b"N"):
    return (glob("torch._utils", "_rebuild_tensor_v2") + b"(" + (store or storage()) +
            b"\x8a\x08" + struct.pack("<q", offset) + ints(*size) + ints(*stride) + b"\x89" + hooks +
            b"tR")


def state(value, key="w"):
    return b"\x80\x02}" + text(key) + value + b"s."


DATA = struct.pack("<4f", 1, 2, 3, 4)


# ---- zips ----------------------------------------------------------------------------------

class Zip:
    """A zip writer with every field to be forged."""

    def __init__(self):
        self.body = b""
        self.central = b""
        self.count = 0

    def add(self, name, data, method=0, flags=0, offset=None, size=None, packed=None,
            local_name=None, signature=b"PK\3\4", extra=b""):
        name = name if isinstance(name, bytes) else name.encode()
        local = name if local_name is None else local_name
        where = len(self.body)
        size = len(data) if size is None else size
        packed = size if packed is None else packed
        self.body += signature + struct.pack("<HHHHHIIIHH", 20, flags, method, 0, 0, 0,
                                             size & 0xFFFFFFFF, packed & 0xFFFFFFFF, len(local), 0)
        self.body += local + data
        self.central += b"PK\1\2" + struct.pack(
            "<HHHHHHIIIHHHHHII", 20, 20, flags, method, 0, 0, 0, packed & 0xFFFFFFFF,
            size & 0xFFFFFFFF, len(name), len(extra), 0, 0, 0, 0,
            where if offset is None else offset) + name + extra
        self.count += 1
        return self

    def close(self, count=None, size=None, offset=None, comment=b"", comment_size=None,
              disk=0, end64=b"", central=None):
        central = self.central if central is None else central
        count = self.count if count is None else count
        size = len(central) if size is None else size
        offset = len(self.body) if offset is None else offset
        return self.body + central + end64 + b"PK\5\6" + struct.pack(
            "<HHHHIIH", disk, disk, count, count, size, offset,
            len(comment) if comment_size is None else comment_size) + comment


def torch_zip(pickle, data=DATA, **closing):
    return Zip().add("m/data.pkl", pickle).add("m/data/0", data).close(**closing)


def plain():
    return Zip().add("m/data.pkl", state(tensor())).add("m/data/0", DATA)


def zips():
    good = plain().close()
    for n in (4, 30, 60, len(good) - 100, len(good) - 22, len(good) - 1):
        bad(f"zip_cut_{n}.pt", good[:n], "zip: ")
    body = len(plain().body)
    central = len(plain().central)
    end64 = lambda count, size, offset: (
        b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, size, offset))
    locator = lambda where: b"PK\6\7" + struct.pack("<IQI", 0, where, 1)
    cases = {
        "compressed": (Zip().add("m/data.pkl", b"xx", method=8).close(), '"m/data.pkl": compressed'),
        "bomb": (Zip().add("m/data.pkl", b"\0" * 50, method=8, size=4000000000, packed=50).close(),
                 "compressed"),
        "encrypted": (Zip().add("m/data.pkl", b"xx", flags=1).close(), '"m/data.pkl": encrypted'),
        "twice": (plain().add("m/data/0", DATA).close(), '"m/data/0": occurs twice'),
        "two_pickles": (plain().add("n/data.pkl", b"").close(), "two folders with a data.pkl"),
        "no_pickle": (Zip().add("m/x", b"").close(), "a zip without FOLDER/data.pkl"),
        "pickle_at_root": (Zip().add("data.pkl", b"").close(), "a zip without FOLDER/data.pkl"),
        "empty": (Zip().close(), "a zip without FOLDER/data.pkl"),
        "script": (plain().add("m/constants.pkl", b"").close(), "a TorchScript archive"),
        "script_compressed": (Zip().add("m/code/__torch__.py", b"xx", method=8).close(),
                              "a TorchScript archive"),
        "big_endian": (plain().add("m/byteorder", b"big").close(), 'byteorder is "big"'),
        "offset_outside": (Zip().add("m/data.pkl", b"", offset=0x7FFFFFFF).close(), "no local header"),
        "offset_wrong": (Zip().add("m/data.pkl", b"abc", offset=1).close(), "no local header"),
        "offset_in_directory": (plain().add("m/x", b"", offset=body + 33).close(), "no local header"),
        "local_signature": (Zip().add("m/data.pkl", b"", signature=b"PK\3\5").close(),
                            "neither safetensors nor PyTorch"),
        "local_name": (Zip().add("m/data.pkl", b"", local_name=b"m/other.xx").close(), "has another name"),
        "local_name_long": (Zip().add("m/data.pkl", b"", local_name=b"m" * 200).close(),
                            "has another name"),
        "size_outside": (Zip().add("m/data.pkl", b"x", size=100000).close(), "100000 bytes, the file has room"),
        "sizes_differ": (Zip().add("m/data.pkl", b"xyz", packed=2).close(), "its two sizes differ"),
        "same_entry": (plain().add("m/data.pkl2", b"", local_name=b"m/data.pkl2").add(
            "m/data.pkl3", b"", local_name=b"m/data.pkl3", offset=body).close(), "has another name"),
        "overlap": (Zip().add("m/data.pkl", b"x" * 60 + b"PK\3\4" + b"\0" * 22 + b"\3\0\0\0m/x",
                              ).add("m/x", b"", offset=100).close(), '"m/x": overlaps another entry'),
        "zero_in_name": (Zip().add(b"m\0data.pkl", b"").close(), "a zero byte in its name"),
        "count_low": (plain().close(count=1), "more entries than the end record says"),
        "count_high": (plain().close(count=3), "3 entries in a directory of 110 bytes"),
        "count_huge": (plain().close(count=60000), "60000 entries in a directory"),
        "directory_offset": (plain().close(offset=3), "a directory of"),
        "directory_size": (plain().close(size=1), "a directory of 1 bytes"),
        "directory_outside": (plain().close(offset=0xFFFFFFF0), "a directory of"),
        "directory_signature": (plain().close(central=b"PK\1\3" + plain().central[4:]), "malformed"),
        "directory_name_long": (plain().close(central=plain().central[:28] + b"\xff\xff" +
                                              plain().central[30:]), "malformed"),
        "comment_size": (plain().close(comment=b"abc", comment_size=9), "no end record"),
        "split": (plain().close(disk=1), "split over several files"),
        "zip64_missing": (Zip().add("m/data.pkl", b"", size=0xFFFFFFFF, packed=0xFFFFFFFF).close(),
                          "its zip64 field is missing"),
        "zip64_short": (Zip().add("m/data.pkl", b"", size=0xFFFFFFFF, packed=0xFFFFFFFF,
                                  extra=struct.pack("<HHQ", 1, 8, 0)).close(), "zip64 field is too short"),
        "zip64_size": (Zip().add("m/data.pkl", b"", size=0xFFFFFFFF, packed=0xFFFFFFFF,
                                 extra=struct.pack("<HHQQ", 1, 16, 2**63, 2**63)).close(),
                       "9223372036854775808 bytes"),
        "zip64_offset": (Zip().add("m/data.pkl", b"", offset=0xFFFFFFFF,
                                   extra=struct.pack("<HHQ", 1, 8, 2**64 - 8)).close(), "no local header"),
        "zip64_extra_cut": (Zip().add("m/data.pkl", b"", size=0xFFFFFFFF, packed=0xFFFFFFFF,
                                      extra=struct.pack("<HH", 1, 60000)).close(), "zip64 field is missing"),
        "zip64_locator": (plain().close(end64=locator(2**63)), "the zip64 locator does not point"),
        "zip64_locator_near": (plain().close(end64=end64(2, central, body) + locator(body + 1)),
                               "the zip64 locator does not point"),
        "zip64_count": (plain().close(end64=end64(2**62, central, body) + locator(body + central)),
                        "4611686018427387904 entries"),
        "zip64_directory": (plain().close(end64=end64(2, central, 2**64 - 9) + locator(body + central)),
                            "a directory of"),
        "zip64_directory_wraps": (plain().close(end64=end64(2, 2**64 - 1, body + 1) +
                                                locator(body + central)), "a directory of"),
    }
    for name, (data, message) in cases.items():
        bad(f"zip_{name}.pt", data, message)
    pickle = state(tensor())
    sound("zip64_ok.pt", Zip().add(
        "m/data.pkl", pickle, size=0xFFFFFFFF, packed=0xFFFFFFFF, offset=0xFFFFFFFF,
        extra=struct.pack("<HHQQQ", 1, 24, len(pickle), len(pickle), 0)).add("m/data/0", DATA).close())


def calls():
    mark = lambda *parts: b"(" + b"".join(parts) + b"t"
    unicode8 = lambda s: b"\x8c" + bytes([len(s)]) + s.encode()
    cases = {
        "os_system": (glob("os", "system") + mark(text("true")) + b"R", 'calls "os.system"'),
        "posix_system": (glob("posix", "system") + mark(text("true")) + b"R", 'calls "posix.system"'),
        "eval": (glob("builtins", "eval") + mark(text("1")) + b"R", 'calls "builtins.eval"'),
        "eval2": (glob("__builtin__", "eval") + mark(text("1")) + b"R", 'calls "__builtin__.eval"'),
        "exec": (glob("builtins", "exec") + mark(text("1")) + b"R", 'calls "builtins.exec"'),
        "getattr": (glob("builtins", "getattr") + mark(text("a"), text("b")) + b"R", "getattr"),
        "import": (glob("builtins", "__import__") + mark(text("os")) + b"R", "__import__"),
        "subprocess": (glob("subprocess", "Popen") + mark(text("true")) + b"R", "subprocess.Popen"),
        "torch_load": (glob("torch", "load") + mark(text("x")) + b"R", 'calls "torch.load"'),
        "torch_dotted": (glob("torch", "serialization.os.system") + mark(text("x")) + b"R",
                         "torch.serialization.os.system"),
        "module_shift": (glob("torch._utils._rebuild_tensor_v2.x", "y") + b")R", "calls"),
        "stack_global": (b"\x8c\x05posix\x8c\x06system\x93" + mark(text("true")) + b"R",
                         'calls "posix.system"'),
        "stack_global_memo": (unicode8("posix") + b"\x94" + unicode8("system") + b"\x94" + b"h\x00h\x01\x93)R",
                              'calls "posix.system"'),
        "stack_global_kinds": (b"K\1K\2\x93", "a name made of an integer and an integer"),
        "stack_global_zero": (b"\x8c\x09torch\0ab." + b"\x8c\x01x\x93", "calls"),
        "copyreg": (glob("copyreg", "_reconstructor") + b")R", 'calls "copyreg._reconstructor"'),
        "newobj": (glob("collections", "deque") + b")\x81", 'calls "collections.deque"'),
        "newobj_ex": (glob("collections", "OrderedDict") + b")}\x92", "opcode 0x92"),
        "inst": (b"(ios\nsystem\n", "opcode 0x69"),
        "obj": (b"(" + glob("os", "system") + b"o", "calls"),
        "ext1": (b"\x82\x01", "opcode 0x82"),
        "ext2": (b"\x83\x01\x00", "opcode 0x83"),
        "ext4": (b"\x84\x01\x00\x00\x00", "opcode 0x84"),
        "persid_text": (b"Pstorage\n", "opcode 0x50"),
        "dup": (b"N2", "opcode 0x32"),
        "int_text": (b"I1\n", "opcode 0x49"),
        "next_buffer": (b"\x97", "opcode 0x97"),
        "long_name": (glob("a" * 300, "b"), "calls"),
        "name_terminal": (glob("a\x1b[2J", "b"), 'calls "a\\x1b[2J.b"'),
        "call_of_list": (b"])R", "calls a list"),
        "call_of_dtype": (glob("torch", "float32") + b")R", "calls torch.float32"),
        "call_of_storage": (glob("torch", "FloatStorage") + b"K\4\x85R", "calls torch.FloatStorage"),
        "arguments_list": (glob("collections", "OrderedDict") + b"]R", "a list for its arguments"),
        "build_tensor": (tensor() + b"}b", "sets attributes of a tensor"),
        "build_list": (b"]}b", "sets attributes of a list"),
        "quantized": (glob("torch._utils", "_rebuild_qtensor") + b")R", "_rebuild_qtensor"),
        "script_class": (glob("__torch__.a", "B") + b")\x81", "a TorchScript archive"),
        "encode_utf": (glob("_codecs", "encode") + mark(text("\u20ac"), text("latin1")) + b"R",
                       "characters below 256"),
        "id_none": (b"NQ", "a persistent id that is None"),
        "id_empty": (b")Q", "a persistent id that is a tuple"),
        "id_module": (mark(text("module"), b"N", b"N", b"N") + b"Q", 'of kind "module"'),
        "id_kind": (mark(b"K\1") + b"Q", "of kind an integer"),
        "id_short": (mark(text("storage")) + b"Q", "a persistent id of 1 parts"),
        "id_class": (mark(text("storage"), b"N", text("0"), text("cpu"), b"K\4") + b"Q",
                     "expected a class of storages"),
        "id_key": (mark(text("storage"), glob("torch", "FloatStorage"), b"K\0", text("cpu"), b"K\4") +
                   b"Q", "a storage's key is an integer"),
        "id_size": (mark(text("storage"), glob("torch", "FloatStorage"), text("0"), text("cpu"),
                         b"J\xff\xff\xff\xff") + b"Q", "a storage's size is an integer"),
        "id_view": (mark(text("storage"), glob("torch", "FloatStorage"), text("0"), text("cpu"), b"K\4",
                         ints(1, 1, 1)) + b"Qa", "items for a list are added to"),
        "id_view_outside": (mark(text("storage"), glob("torch", "FloatStorage"), text("0"), text("cpu"),
                                 b"K\4", mark(text("v"), b"K\3", b"K\2")) + b"Q", "a view of 2 elements at 3"),
    }
    for name, (value, message) in cases.items():
        bad(f"pickle_{name}.pt", torch_zip(state(value)), message)


def pickles():
    bomb = b"]q\0" + b"".join(b"](h%ch%ce" % (i, i) + b"q%c" % (i + 1) for i in range(60))
    big = 2**62
    mark = lambda *parts: b"(" + b"".join(parts) + b"t"
    cases = {
        "empty": (b"", "0 are left"),
        "protocol_0": (b"(dp0\n.", "no pickle of protocol 2 to 5"),
        "protocol_9": (b"\x80\x09N.", "no pickle of protocol 2 to 5"),
        "no_stop": (b"\x80\x02}", "ends without STOP"),
        "stop_at_once": (b"\x80\x02.", "STOP with 0 values"),
        "stop_with_two": (b"\x80\x02NN.", "STOP with 2 values"),
        "stop_in_mark": (b"\x80\x02N(.", "STOP inside a mark"),
        "underflow": (b"\x80\x02\x85.", "takes 1 values, the stack has 0"),
        "below_mark": (b"\x80\x02N(\x85.", "takes 1 values, the stack has 0"),
        "no_mark": (b"\x80\x02NNt.", "takes a mark"),
        "memo_empty": (b"\x80\x02h\x07.", "memo place 7 is empty"),
        "memo_huge": (b"\x80\x02Nr\xff\xff\xff\xff.", "memo place 4294967295 after"),
        "memo_get_huge": (b"\x80\x02j\xff\xff\xff\xff.", "memo place 4294967295 is empty"),
        "text_long": (b"\x80\x02X\xff\xff\xff\x7fab.", "2147483647 bytes are announced"),
        "text_long8": (b"\x80\x04\x8d" + b"\xff" * 8 + b"ab.", "18446744073709551615 bytes"),
        "bytes_long": (b"\x80\x03B\xff\xff\xff\xffab.", "4294967295 bytes are announced"),
        "long4_long": (b"\x80\x02\x8b\xff\xff\xff\x7f.", "2147483647 bytes are announced"),
        "frame_long": (b"\x80\x04\x95" + b"\xff" * 8 + b"N.", "a frame of 18446744073709551615"),
        "cut_in_int": (b"\x80\x02J\1\2", "4 bytes are announced, 2 are left"),
        "cut_in_name": (b"\x80\x02ctorch\nFlo", "a name without its end"),
        "odd_items": (b"\x80\x02}(" + text("a") + b"u.", "a key without a value"),
        "odd_dict": (b"\x80\x02(" + text("a") + b"d.", "a key without a value"),
        "items_to_int": (b"\x80\x02K\1NNs.", "items for a dict are added to an integer"),
        "append_to_dict": (b"\x80\x02}Na.", "items for a list are added to a dict"),
        "deep_marks": (b"\x80\x02" + b"(" * 300 + b".", "nested more than 256 deep"),
        "deep_lists": (b"\x80\x02" + b"]" * 100 + b"a" * 99 + b".", "containers nested more than 64"),
        "deep_dicts": (b"\x80\x02" + (b"}" + text("k")) * 100 + b"N" + b"s" * 100 + b".",
                       "containers nested more than 64"),
        "cycle_list": (b"\x80\x02]q\0h\0a.", "contains itself"),
        "cycle_dict": (b"\x80\x02}q\0" + text("me") + b"h\0s.", '"me" contains itself'),
        "cycle_two": (b"\x80\x02]q\0]q\1h\0aa.", "contains itself"),
        "memo_bomb": (b"\x80\x02" + bomb + b".", "STOP with"),
        "memo_bomb_list": (b"\x80\x02" + b"(" + b"K\1q\0" + b"".join(
            b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(60)) + b"l.",
                           "the list would not end"),
        "root_int": (b"\x80\x02K\1.", "holds an integer"),
        "root_none": (b"\x80\x02N.", "holds None"),
        "root_name": (b"\x80\x02" + glob("torch", "float32") + b".", "holds a name"),
        "zero_in_key": (state(b"K\1", "a\0b"), "a zero byte in a key"),
        "long_key": (state(b"K\1", "k" * 3000), "a name longer than 2048 bytes"),
        "key_twice": (b"\x80\x02}" + (text("w") + tensor() + b"s") * 2 + b".", 'tensor "w" occurs twice'),
        "key_twice_dotted": (b"\x80\x02}" + text("a.w") + tensor() + b"s" + text("a") + b"}" + text("w") +
                             tensor() + b"ss.", 'tensor "a.w" occurs twice'),
        "tensor_outside": (state(tensor(1)), "[4] at 1 reaches beyond its storage of 4"),
        "tensor_offset_huge": (state(tensor(2**63 - 1)), "reaches beyond its storage"),
        "tensor_offset_negative": (state(tensor(-1)), "argument 2 is an integer, expected"),
        "tensor_stride_huge": (state(tensor(0, (2,), (2**62,))), "reaches beyond its storage"),
        "tensor_stride_wraps": (state(tensor(0, (5, 5), (2**62, 2**62))), "reaches beyond its storage"),
        "tensor_stride_negative": (state(tensor(3, (4,), (-1,))), "expected an integer that is not negative"),
        "tensor_size_negative": (state(tensor(0, (-4,), (1,))), "expected an integer that is not negative"),
        "tensor_size_overflow": (state(tensor(0, (big, big), (0, 0))), "overflows"),
        "tensor_dims_strides": (state(tensor(0, (2, 2), (1,))), "2 dimensions, but 1 strides"),
        "tensor_many_dims": (state(tensor(0, (1,) * 65, (1,) * 65)), "65 dimensions, at most 64"),
        "tensor_no_storage": (state(tensor(store=b"N")), "argument 1 is None, expected a storage"),
        "tensor_arguments": (state(glob("torch._utils", "_rebuild_tensor_v2") + b")R"),
                             "0 arguments, expected 6 to 7"),
        "tensor_conjugate": (state(glob("torch._utils", "_rebuild_tensor_v2") + mark(
            storage(), b"K\0", ints(4), ints(1), b"\x89N", b"}" + text("conj") + b"\x88s") + b"R"),
                             "expected no metadata"),
        "tensor_v3_dtype": (state(glob("torch._utils", "_rebuild_tensor_v3") + mark(
            storage(), b"K\0", ints(4), ints(1), b"\x89NN") + b"R"), "expected a dtype"),
        "tensor_v3_typed": (state(glob("torch._utils", "_rebuild_tensor_v3") + mark(
            storage(), b"K\0", ints(4), ints(1), b"\x89N", glob("torch", "float32")) + b"R"),
                            "a storage of the wrong kind"),
        "parameter_list": (state(glob("torch._utils", "_rebuild_parameter") + mark(b"]\x89N") + b"R"),
                           "expected a tensor"),
        "dict_of_ints": (state(glob("collections", "OrderedDict") + b"](K\1e\x85R"), "a list of pairs"),
        "storage_missing": (state(tensor(store=storage("7"))), 'storage "7" is not in the file'),
        "storage_escape": (state(tensor(store=storage("../data.pkl"))), 'storage "../data.pkl" is not'),
        "storage_size": (state(tensor(store=storage(numel=5))), "has 16 bytes, the pickle says 5 of F32"),
        "storage_dtype": (state(tensor(store=storage(cls="DoubleStorage"))), "the pickle says 4 of F64"),
    }
    for name, (data, message) in cases.items():
        bad(f"torch_{name}.pt", torch_zip(data), message)
    bad("torch_storage_truncated.pt", torch_zip(state(tensor()), DATA[:-1]), "has 15 bytes")


# ---- the legacy form -----------------------------------------------------------------------

MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
PROTOCOL = b"\x80\x02M\xe9\x03."


def legacy_parts(little=b"\x88", keys=None, count=4, data=DATA, value=None):
    system = b"\x80\x02}" + text("little_endian") + little + b"s."
    keys = b"\x80\x02](" + text("0") + b"e." if keys is None else keys
    value = value or tensor()
    return [MAGIC, PROTOCOL, system, state(value), keys, struct.pack("<q", count), data]


def legacy():
    parts = legacy_parts()
    for i in range(1, len(parts)):
        cut = b"".join(parts[:i])
        where = "ends before storage" if i == 5 else "elements in 0 bytes" if i == 6 else "0 are left"
        bad(f"legacy_cut_{i}.pt", cut, where)
        bad(f"legacy_cut_{i}_inside.pt", b"".join(parts[:i]) + parts[i][:-1],
            "ends before storage" if i == 5 else "elements in 15 bytes" if i == 6 else "ends without STOP")
    join = b"".join
    cases = {
        "magic": (b"\x80\x02\x8a\x0a" + b"\1" * 10 + b"." + PROTOCOL, "its magic number is missing"),
        "plain_pickle": (b"\x80\x02}" + text("a") + b"K\1s.", "its magic number is missing"),
        "protocol": (MAGIC + b"\x80\x02M\xea\x03.", "expected 1001"),
        "big_endian": (join(legacy_parts(little=b"\x89")), "little_endian is not True"),
        "no_endian": (MAGIC + PROTOCOL + b"\x80\x02}.", "has no little_endian"),
        "call": (MAGIC + PROTOCOL + b"\x80\x02cos\nsystem\n(" + text("true") + b"tR.", 'calls "os.system"'),
        "call_in_keys": (join(legacy_parts(keys=b"\x80\x02cos\nsystem\n)R.")), 'calls "os.system"'),
        "keys_dict": (join(legacy_parts(keys=b"\x80\x02}.")), "its list of storages is not a list"),
        "keys_int": (join(legacy_parts(keys=b"\x80\x02]K\0a.")), "one that no tensor uses"),
        "keys_unknown": (join(legacy_parts(keys=b"\x80\x02]" + text("9") + b"a.")), "one that no tensor uses"),
        "keys_none": (join(legacy_parts(keys=b"\x80\x02].")[:5]), 'storage "0" is not in the file'),
        "keys_twice": (join(legacy_parts(keys=b"\x80\x02](" + text("0") + text("0") + b"e.")) +
                       struct.pack("<q", 4) + DATA, "names one twice"),
        "count_low": (join(legacy_parts(count=3)), "3 elements in 16 bytes"),
        "count_negative": (join(legacy_parts(count=-1)), "18446744073709551615 elements"),
        "count_huge": (join(legacy_parts(count=2**61, value=tensor(store=(
            b"(" + text("storage") + glob("torch", "DoubleStorage") + text("0") + text("cpu") +
            b"\x8a\x08" + struct.pack("<q", 2**61) + b"tQ")))), "2305843009213693952 elements"),
        "data_long": (join(legacy_parts()) + b"x", "1 bytes follow the last storage"),
        "two_ways": (join(legacy_parts(value=b"(" + tensor() + tensor(store=storage(cls="IntStorage")) + b"l")),
                     "is described in two ways"),
    }
    for name, (data, message) in cases.items():
        bad(f"legacy_{name}.pt", data, message)


# ---- JSON ----------------------------------------------------------------------------------

def index(weights, metadata=None):
    return json.dumps({"metadata": metadata or {}, "weight_map": weights}).encode()


def indices():
    sound("shard_ok.safetensors", one())
    cases = {
        "escape": (index({"a": "../shard_ok.safetensors"}), '"../shard_ok.safetensors" is no name'),
        "absolute": (index({"a": "/etc/passwd"}), '"/etc/passwd" is no name of a file beside it'),
        "backslash": (index({"a": "..\\x"}), "is no name of a file beside it"),
        "dots": (index({"a": ".."}), '".." is no name of a file beside it'),
        "no_name": (index({"a": ""}), '"" is no name of a file beside it'),
        "itself": (index({"a": "index_itself.safetensors.index.json"}), "an index of indices"),
        "missing": (index({"a": "no_such.safetensors"}), 'its shard "no_such.safetensors" is missing'),
        "bad_shard": (index({"a": "st_hole.safetensors"}), "begins at 2"),
        "tensor": (index({"b": "shard_ok.safetensors"}), 'tensor "b" is not in'),
        "number": (index({"a": 3}), "weight_map.a is 3, expected a string"),
        "null": (index({"a": None}), "weight_map.a is missing"),
        "list": (b'{"weight_map": []}', "weight_map is an array of 0, expected an object"),
        "no_map": (b'{"metadata": {}}', "weight_map is missing"),
        "twice": (b'{"weight_map": {"a": "x", "a": "y"}}', "duplicate object key"),
        "cut": (index({"a": "x"})[:-3], "line 1, column"),
        "deep": (b'{"weight_map": ' + b"[" * 5000, "line 1"),
        "control": (b'{"a\nb": 1}', "unexpected newline"),
        "zero": (b'{"a": "\\u0000"}', "line 1"),
    }
    for name, (data, message) in cases.items():
        bad(f"index_{name}.safetensors.index.json", data, message)


def configs():
    base = {"in_channels": 4, "block_out_channels": [32, 64], "attention_head_dim": 8,
            "norm_eps": 1e-5, "use_linear_projection": False, "act_fn": "silu"}
    edit = lambda **fields: json.dumps({**base, **fields}).encode()
    cases = {
        "empty": (b"", "line 1, column 0"),
        "array": (b"[]", "the document is an array of 0, expected an object"),
        "word": (b"hello", "line 1"),
        "int_text": (edit(in_channels="4"), 'in_channels is "4", expected an integer from 1 to 64'),
        "int_float": (edit(in_channels=4.5), "in_channels is 4.5, expected an integer"),
        "int_range": (edit(in_channels=65), "in_channels is 65, expected an integer from 1 to 64"),
        "int_bool": (edit(in_channels=True), "in_channels is true, expected"),
        "int_huge": (b'{"in_channels": 99999999999999999999}', "too big integer"),
        "int_null": (edit(in_channels=None), "in_channels is missing"),
        "ints_empty": (edit(block_out_channels=[]), "block_out_channels is an array of 0"),
        "ints_many": (edit(block_out_channels=[8] * 5), "is an array of 5, expected an array of 1 to 4"),
        "ints_int": (edit(block_out_channels=8), "block_out_channels is 8, expected an array"),
        "ints_element": (edit(block_out_channels=[32, "x"]), 'block_out_channels[1] is "x"'),
        "head_count": (edit(attention_head_dim=[8] * 3), "an integer or an array of 2"),
        "double_text": (edit(norm_eps="1e-5"), 'norm_eps is "1e-5", expected a number from 0 to 1'),
        "double_range": (edit(norm_eps=2), "norm_eps is 2, expected a number"),
        "double_inf": (b'{"norm_eps": Infinity}', "line 1"),
        "double_huge": (b'{"norm_eps": 1e999}', "real number overflow"),
        "bool_int": (edit(use_linear_projection=1), "use_linear_projection is 1, expected true or false"),
        "word_unknown": (edit(act_fn="swish2"), 'act_fn is "swish2", expected one of silu, gelu'),
        "terminal": (edit(act_fn="\x1b[2J\n"), 'act_fn is "\\x1b[2J\\x0a"'),
        "comment": (b'{"a": 1} // x', "end of file expected"),
        "not_utf8": (b'{"a": "\xff"}', "unable to decode byte 0xff"),
    }
    for name, (data, message) in cases.items():
        bad(f"config_{name}.json", data, message, "config")


def main():
    os.makedirs(OUT, exist_ok=True)
    for name in os.listdir(OUT):  # folders there are other scripts'
        if os.path.isfile(os.path.join(OUT, name)):
            os.remove(os.path.join(OUT, name))
    for part in (safetensors, zips, calls, pickles, legacy, indices, configs):
        part()
    with open(os.path.join(OUT, "MANIFEST.tsv"), "w") as file:
        file.write("# Written by tools/parity/golden_bad.py\n")
        for row in manifest:
            file.write("\t".join(row) + "\n")


if __name__ == "__main__":
    main()
