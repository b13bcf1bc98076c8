#!/usr/bin/env python3
"""Writes tests/golden-bad/records/: data sets and prompt sets of which a row must be refused, and
MANIFEST.tsv with a part of the message; and the seeds of tests/fuzz/records_*.

    python tools/parity/golden_bad_records.py

A line of the manifest: KIND, file, part of the message, separated by tabs. KIND is "records", read
strictly with the pictures of tests/fixtures/records, or "prompts". Python 3 alone.
"""
import gzip
import io
import json
import os
import shutil
import tarfile

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests")
OUT = os.path.join(TESTS, "golden-bad", "records")
manifest = []


def write(data, *names):
    whole = os.path.join(*names)
    os.makedirs(os.path.dirname(whole), exist_ok=True)
    with open(whole, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def bad(name, data, part, kind="records"):
    write(data, OUT, name)
    manifest.append((kind, name, part))


def seed(name, data):
    write(data, TESTS, "fuzz", "records_" + name.split(".")[-1], name)


# ---- tables --------------------------------------------------------------------------------

PAIR = "image_0,image_1,prompt,label\n"
ROW = "0_0.jpg,0_1.jpg,x,1\n"


def csvs():
    bad("empty.csv", "", "is empty, expected a header")
    bad("open_header.csv", '"image,prompt\n', "line 1: the header opens a quote that is never closed")
    bad("short_row.csv", PAIR + "0_0.jpg,0_1.jpg,x\n", "line 2: malformed row: has 3 fields, the header has 4")
    bad("long_row.csv", PAIR + ROW + "0_0.jpg,0_1.jpg,x,1,2\n", "line 3: malformed row: has 5 fields")
    bad("open_quote.csv", PAIR + ROW + '0_0.jpg,0_1.jpg,"x,1\n', "line 3: malformed row: opens a quote")
    bad("zero_byte.csv", PAIR.encode() + b"0_0.jpg,0_1.jpg,x\0y,1\n", "line 2: malformed row: holds a zero byte")
    bad("label_word.csv", PAIR + "0_0.jpg,0_1.jpg,x,first\n", 'label: found "first", expected a number')
    bad("label_high.csv", PAIR + "0_0.jpg,0_1.jpg,x,1.5\n", "a label of 1.5, expected 0 to 1")
    bad("labels_sum.csv", "image_0,image_1,prompt,label_0,label_1\n0_0.jpg,0_1.jpg,x,1,1\n",
        "labels 1 and 1, expected a sum of 1")
    bad("no_image_column.csv", "prompt\nx\n", "its header names no picture, expected image")
    bad("no_prompt_column.csv", "image,words\n0_0.jpg,x\n", "its header names no prompt, caption or text")
    bad("no_partner.csv", PAIR + "0_0.jpg,,x,1\n", "no picture: picture 1")
    bad("missing.csv", PAIR + "0_0.jpg,gone.jpg,x,1\n", "gone.jpg: no such file")
    bad("folder.csv", PAIR + "0_0.jpg,.,x,1\n", "is not a file")
    bad("control.csv", PAIR + '0_0.jpg,"\x1b[2J\n",x,1\n', "/?[2J?: no such file")
    bad("empty_prompt.csv", PAIR + "0_0.jpg,0_1.jpg,,1\n", "line 2: empty prompt")
    bad("latin1.csv", PAIR.encode() + b"0_0.jpg,0_1.jpg,\xe9t\xe9,1\n", "line 2: prompt is not UTF-8")
    bad("utf16.csv", (PAIR + ROW).encode("utf-16"), "its header names no picture")
    bad("open_quote.tsv", (PAIR + "0_0.jpg,0_1.jpg\n").replace(",", "\t"), "line 2: malformed row: has 2 fields")
    seed("sound.csv", PAIR + ROW + '"1_0.jpg",1_1.jpg,"a ""q"",\nb",\n1_0.jpg,1_1.jpg,tie,tie\n')
    seed("bad.csv", PAIR + ROW + 'a,"b\n')
    seed("header.csv", '"image,prompt\n')
    seed("single.csv", "\ufefffile_name,caption,uid,model,split\r\n0_0.jpg,x,u,m,train\r\n\r\n0_1.jpg,y,u,m,test\r\n")
    seed("sound.tsv", "chosen\trejected\tprompt\n0_0.jpg\t0_1.jpg\t\"a\" b\n")
    seed("quoted.tsv", "chosen\trejected\tprompt\n0_0.jpg\t0_1.jpg\t\"a \"\"x\"\"\tb\"\n")
    seed("label.tsv", "image_0\timage_1\tprompt\tlabel\n0_0.jpg\t0_1.jpg\tx\t7\n")
    seed("bad.tsv", "chosen\trejected\tprompt\n0_0.jpg\t0_1.jpg\n")


def lines(*records):
    return "".join((r if isinstance(r, str) else json.dumps(r, ensure_ascii=False)) + "\n" for r in records)


def jsons():
    fine = {"image_0": "0_0.jpg", "image_1": "0_1.jpg", "prompt": "x", "label": 1}
    bad("cut.jsonl", lines(fine) + '{"image_0": "0_0', "line 2: malformed row")
    bad("array_line.jsonl", lines(fine, "[1]"), "line 2: malformed row: expected an object in braces")
    bad("twice.jsonl", lines('{"prompt":"a","prompt":"b","image":"0_0.jpg"}'), "line 1: malformed row")
    bad("number_prompt.jsonl", lines(dict(fine, prompt=5)), "prompt: expected a string")
    bad("number_image.jsonl", lines(dict(fine, image_0=5)), "image_0: expected a string")
    bad("label_list.jsonl", lines(dict(fine, label=[1])), "label: expected a number")
    bad("label_negative.jsonl", lines(dict(fine, label=-1)), "a label of -1")
    bad("count.jsonl", lines(dict(fine, ranking_id=1.5)), "ranking_id: found 1.5, expected a whole number")
    bad("chosen_label.jsonl", lines({"chosen": "0_0.jpg", "rejected": "0_1.jpg", "prompt": "x", "label": 0}),
        "names a chosen picture and has the label 0")
    bad("null.jsonl", lines(dict(fine, image_1=None)), "no picture: picture 1")
    bad("lone_surrogate.jsonl", lines('{"image":"0_0.jpg","prompt":"\\ud800"}'), "line 1: malformed row")
    bad("not_utf8.jsonl", b'{"image":"0_0.jpg","prompt":"\xff"}\n', "line 1: malformed row")
    bad("deep.jsonl", "{\"a\":" + "[" * 5000 + "]" * 5000 + "}\n", "line 1: malformed row")
    bad("cut_array.json", json.dumps([fine, fine])[:-1], "cut_array.json[1]: malformed row: the file ends inside")
    bad("cut_element.json", json.dumps([fine, fine])[:-9], "cut_element.json[1]: malformed row: the file ends inside")
    bad("no_comma.json", "[" + json.dumps(fine) + " " + json.dumps(fine) + "]", "malformed row")
    bad("trailing_comma.json", "[" + json.dumps(fine) + ",]", "malformed row")
    bad("more.json", json.dumps([fine]) + "x", "[1]: malformed row: the array is ended, and more follows")
    bad("brace.json", "[" + json.dumps(fine) + "}", "[1]: malformed row: expected ',' or ']'")
    train = {"prompt": "x", "file_path": ["0_0.jpg", "0_1.jpg"], "human_preference": [1, 0]}
    test = {"prompt": "x", "image_path": ["0_0.jpg", "0_1.jpg", "1_0.jpg"], "rank": [1, 2, 2]}
    bad("hpd_names.json", json.dumps([train, dict(train, file_path=["0_0.jpg"])]), "[1]: malformed row: expected file_path")
    bad("hpd_choice.json", json.dumps([dict(train, human_preference=[1, 1])]), "expected human_preference [1, 0] or")
    bad("hpd_ranks.json", json.dumps([dict(test, rank=[1, 2])]), "expected rank with a number for each")
    bad("hpd_rank_text.json", json.dumps([dict(test, rank=[1, 2, "3"])]), "expected rank with a number for each")
    bad("hpd_one.json", json.dumps([dict(test, image_path=["a"], rank=[1])]), "expected image_path with 2 to 1000")
    bad("hpd_dots.json", json.dumps([dict(train, file_path=["../images/0_0.jpg", "0_1.jpg"])]), "path leaves the folder")
    bad("hpd_absolute.json", json.dumps([dict(test, image_path=["/etc/passwd", "a", "b"])]), "path leaves the folder")
    bad("hpd_prompt.json", json.dumps([dict(train, prompt=["x"])]), "prompt: expected a string")
    seed("sound.jsonl", lines(fine, dict(fine, label=None, image_0_uid="u", model_0="m"), {"image": "1_0.jpg", "text": "y"}))
    seed("bad.jsonl", lines(fine, "{"))
    seed("single.jsonl", lines({"file_name": "0_0.jpg", "caption": "一 \"x\"", "split": "train"}))
    seed("label.jsonl", lines(dict(fine, label=7)))
    seed("sound.json", json.dumps([fine, dict(fine, label=0.5)], indent=1))
    seed("train.json", json.dumps([train, dict(train, human_preference=[0, 1])]))
    seed("test.json", json.dumps([test, train]))
    seed("cut.json", json.dumps([fine, fine])[:-1])
    seed("bad.json", json.dumps([test, dict(train, prompt=5)]))


# ---- tar -----------------------------------------------------------------------------------

def tar(members, format=tarfile.USTAR_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if data is LINK:
                info.type, info.linkname, info.size, data = tarfile.SYMTYPE, "/etc/passwd", 0, b""
            archive.addfile(info, io.BytesIO(data))
    whole = out.getvalue().rstrip(b"\0")
    return whole + bytes(-len(whole) % 512 + 1024)


LINK = b"link"
JPEG = b"\xff\xd8\xff\xe0 not looked into"


def fix_checksum(block):
    block = bytearray(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def tars():
    row = [("a.jpg", JPEG), ("a.txt", b"x")]
    pair = [("b.0.jpg", JPEG), ("b.1.png", JPEG), ("b.json", b'{"prompt":"x","label":1}')]
    whole = tar(row + pair)
    bad("no.tar", "this is no archive, whatever its name says" * 30, "expected a tar archive: Unrecognized")
    bad("cut_data.tar", tar([("a.txt", b"x" * 2000)])[:1100], "malformed row")
    bad("cut_header.tar", whole[:2048 + 100], "malformed row")
    bad("checksum.tar", whole[:1024 + 20] + b"!" + whole[1024 + 21:], "malformed row")
    huge = bytearray(tar(row)[:512])
    huge[124:136] = b"77777777777\0"
    bad("huge_member.tar", fix_checksum(huge) + JPEG, 'malformed row: ')
    bad("dots.tar", tar([("../a.jpg", JPEG), ("../a.txt", b"x")]), "path leaves the folder")
    bad("absolute.tar", tar([("/tmp/a.jpg", JPEG), ("/tmp/a.txt", b"x")]), "path leaves the folder")
    bad("link.tar", tar([("a.jpg", LINK), ("a.txt", b"x")]), "no picture: picture 0")
    bad("second_part.tar", tar([("a.jpg", JPEG), ("a.png", JPEG), ("a.txt", b"x")]), 'a second "a.png"')
    bad("one_of_two.tar", tar([("a.0.jpg", JPEG), ("a.txt", b"x")]), "no partner picture: has picture 0 only")
    bad("no_prompt.tar", tar([("a.jpg", JPEG)]), "empty prompt")
    bad("empty_picture.tar", tar([("a.jpg", b""), ("a.txt", b"x")]), "no picture: picture 0")
    bad("bad_json.tar", tar([("a.jpg", JPEG), ("a.json", b"{")]), "a.json")
    bad("json_list.tar", tar([("a.jpg", JPEG), ("a.json", b"[]")]), "expected an object in braces")
    bad("not_utf8.tar", tar([("a.jpg", JPEG), ("a.txt", b"\xff")]), "prompt is not UTF-8")
    packed = gzip.compress(whole, mtime=0)
    bad("cut.tar.gz", packed[:len(packed) // 2], "truncated gzip input")
    large = gzip.compress(tar([("a.jpg", JPEG), ("a.txt", b"x" * (2 << 20))]), mtime=0)
    bad("large_text.tar.gz", large, 'too large: "a.txt" has more than 1048576 bytes')
    seed("sound.tar", whole)
    seed("pax.tar", tar(row + [("集/c.jpg", JPEG), ("集/c.txt", b"x")], tarfile.PAX_FORMAT))
    seed("gnu.tar", tar([("d" * 120 + ".jpg", JPEG), ("d" * 120 + ".txt", b"x")], tarfile.GNU_FORMAT))
    seed("dots.tar", tar([("../a.jpg", JPEG), ("../a.txt", b"x")]))
    seed("bad.tar", whole[:2048 + 100])


def prompts():
    bad("prompts_latin1.txt", b"fine\nn\xe9e\n", "line 2: found bytes that are not UTF-8", "prompts")
    bad("prompts_zero.txt", b"fi\0ne\n", "line 1: found a zero byte", "prompts")
    bad("prompts_blank.txt", " \n\n", "has no prompt", "prompts")
    bad("prompts_column.csv", "id\n1\n", "has no column prompt, caption or text", "prompts")
    bad("prompts_fields.tsv", "Prompt\tCategory\na\n", "line 2: has 1 fields", "prompts")
    bad("prompts_mixed.json", '["a", {"prompt": "b"}]', "[1]: expected a text", "prompts")
    bad("prompts_cut.json", '["a", "b', "prompts_cut.json", "prompts")
    bad("prompts_object.json", '{"prompts": ["a"]}', "has no prompt", "prompts")
    bad("prompts_cut.jsonl", '{"prompt": "a"}\n{"prompt": ', "line 2", "prompts")
    bad("prompts_footer.parquet", "PAR1", "prompts_footer.parquet", "prompts")


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    csvs(), jsons(), tars(), prompts()
    write("# Written by tools/parity/golden_bad_records.py\n" +
          "".join("\t".join(m) + "\n" for m in manifest), OUT, "MANIFEST.tsv")
