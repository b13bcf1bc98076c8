#!/usr/bin/env python3
"""Makes tests/golden-bad/images: pictures that must be refused, and MANIFEST, which says how.

    python tools/parity/golden_bad_images.py

Pinned: Pillow 13.0.0. MANIFEST, a line each: FILE STATUS PART, where PART, up to the line's end,
must stand in the message. Files whose names begin with text_ have sound pixels: there the text
"parameters" is asked for. Also makes the corpus of tests/fuzz/image.
"""
import io
import os
import struct
import zlib

from PIL import Image

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUT = os.path.join(ROOT, "tests", "golden-bad", "images")
SIGNATURE = b"\x89PNG\r\n\x1a\n"
manifest = []


def bad(name, data, part, status="BAD_FILE"):
    with open(os.path.join(OUT, name), "wb") as file:
        file.write(data)
    manifest.append(f"{name} {status} {part}\n")


def saved(kind, mode="RGB", side=24, **options):
    pixels = bytes((i * i >> 3) % 256 for i in range(side * side * len(mode)))
    buffer = io.BytesIO()
    Image.frombytes(mode, (side, side), pixels).save(buffer, kind, **options)
    return bytearray(buffer.getvalue())


def chunk(name, content, crc=None):
    return (struct.pack(">I", len(content)) + name + content +
            struct.pack(">I", zlib.crc32(name + content) if crc is None else crc))


def png(width, height, depth=8, color=2, idat=b"", chunks=b"", end=True):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return SIGNATURE + head + chunks + chunk(b"IDAT", idat) + (chunk(b"IEND", b"") if end else b"")


def make_png():
    good = bytes(saved("PNG"))
    bad("png_signature_only.png", SIGNATURE, "truncated")
    bad("png_half_header.png", good[:20], "truncated")
    bad("png_half_pixels.png", good[: len(good) // 2], "truncated")
    bad("png_no_end.png", good[:-12], "truncated")
    at = good.index(b"IDAT")
    bad("png_idat_crc.png", good[: at + 40] + bytes([good[at + 40] ^ 1]) + good[at + 41:], "PNG:")
    bad("png_header_crc.png", good[:18] + bytes([good[18] ^ 1]) + good[19:], "CRC error")
    bad("png_zero_width.png", png(0, 5), "PNG:")
    bad("png_zero_height.png", png(5, 0), "PNG:")
    bad("png_depth_3.png", png(5, 5, depth=3), "PNG:")
    bad("png_color_5.png", png(5, 5, color=5), "PNG:")
    bad("png_side.png", png(70000, 1, idat=zlib.compress(b"\0" * 210001)), "PNG:")
    bad("png_bomb.png", png(20000, 20000, depth=1, color=0,
                            idat=zlib.compress(b"\0" * (2501 * 20000), 9)), "at most 89478485")
    bad("png_promise.png", png(9000, 9000, idat=zlib.compress(b"\0" * 100)), "truncated")
    bad("png_few_rows.png", png(8, 8, idat=zlib.compress(b"\0" * 25 * 3)), "PNG:")
    bad("png_no_palette.png", png(8, 8, color=3, idat=zlib.compress(b"\0" * 72)), "PNG:")
    bad("png_not_zlib.png", png(8, 8, idat=b"these are no compressed bytes"), "PNG:")
    bad("png_huge_chunk.png", SIGNATURE + b"\xff\xff\xff\xf0IHDR" + b"\0" * 40, "PNG:")
    pixels = zlib.compress(b"\0" * 25 * 8)
    bad("text_crc.png", png(8, 8, idat=pixels, chunks=chunk(b"tEXt", b"parameters\0abc", 5)),
        "PNG text:")
    bad("text_bomb.png", png(8, 8, idat=pixels, chunks=chunk(
        b"zTXt", b"parameters\0\0" + zlib.compress(b"a" * (4 << 20), 9))), "PNG text:")
    bad("text_not_zlib.png", png(8, 8, idat=pixels, chunks=chunk(
        b"zTXt", b"parameters\0\0" + b"no compressed bytes")), "PNG text:")
    bad("text_utf8.png", png(8, 8, idat=pixels, chunks=chunk(
        b"iTXt", b"parameters\0\0\0\0\0" + b"\xff\xfe")), "not UTF-8")
    bad("text_length.png", png(8, 8, idat=pixels, chunks=struct.pack(">I", 99999) + b"tEXtpara"),
        "a chunk of 99999 bytes")


def make_jpeg():
    good = bytes(saved("JPEG"))
    start = good.index(b"\xff\xc0")  # the frame: length 2, precision 1, height 2, width 2
    frame = lambda width, height: good[: start + 5] + struct.pack(">HH", height, width) + \
        good[start + 9:]
    bad("jpeg_start_only.jpg", good[:3], "truncated")
    bad("jpeg_half_header.jpg", good[:200], "truncated")
    bad("jpeg_half_pixels.jpg", good[: len(good) - 60], "truncated")
    bad("jpeg_half_then_end.jpg", good[: len(good) - 120] + b"\xff\xd9", "premature end")
    bad("jpeg_zero_width.jpg", frame(0, 24), "JPEG:")
    bad("jpeg_zero_height.jpg", frame(24, 0), "JPEG:")
    bad("jpeg_forged_size.jpg", frame(60000, 60000), "truncated")
    bad("jpeg_no_pixels.jpg", good[: good.index(b"\xff\xda")] + b"\xff\xd9", "JPEG:")
    bad("jpeg_12_bits.jpg", good[: start + 4] + b"\x0c" + good[start + 5:], "precision")
    bad("jpeg_two_components.jpg", two_components(good, start), "2 components", "UNSUPPORTED")
    comment = b"UNICODE\0" + b"\xd8\x00\x00A"
    exif = Image.Exif()
    exif[0x8769] = {0x9286: comment}
    bad("text_surrogate.jpg", bytes(saved("JPEG", exif=exif)), "stray unit")
    exif[0x8769] = {0x9286: b"JIS\0\0\0\0\0abc"}
    bad("text_charset.jpg", bytes(saved("JPEG", exif=exif)), "unknown charset")


def two_components(good, start):
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 14, 8, 24, 24, 2) + b"\x01\x11\0\x02\x11\0"
    scan = b"\xff\xda" + struct.pack(">HB", 10, 2) + b"\x01\0\x02\0\0\x3f\0"
    return good[:start] + frame + good[start + 19: good.index(b"\xff\xda")] + scan + b"\0" * 200


def make_webp():
    lossy, lossless = bytes(saved("WEBP", quality=80)), bytes(saved("WEBP", lossless=True))
    bad("webp_header_only.webp", lossy[:12], "truncated")
    bad("webp_half.webp", lossy[: len(lossy) // 2], "truncated")
    bad("webp_half_lossless.webp", lossless[: len(lossless) // 2], "truncated")
    bad("webp_no_start_code.webp", lossy[:23] + b"\0\0\0" + lossy[26:], "damaged")
    bad("webp_unknown_chunk.webp", lossy[:12] + b"VP8Z" + lossy[16:], "WebP:")
    bomb = struct.pack("<I", 16383 - 1 | (16383 - 1) << 14)
    bad("webp_bomb.webp", lossless[:21] + bomb + lossless[25:], "at most 89478485")
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    bad("webp_animated.webp", buffer.getvalue(), "animated", "UNSUPPORTED")


def make_fuzz_corpus():
    """Sound pictures with EXIF blocks that are not: none of it may matter."""
    entry = lambda tag, kind, count, value: struct.pack("<HHII", tag, kind, count, value)
    blocks = {
        "loop": b"II*\0\x08\0\0\0\x01\0" + entry(0x8769, 4, 1, 8) + b"\0" * 4,
        "count": b"II*\0\x08\0\0\0\xff\xff" + entry(0x0112, 3, 0xFFFFFFFF, 6),
        "offset": b"II*\0\xf0\xff\xff\xff\x01\0" + entry(0x0112, 3, 1, 6),
        "comment": b"II*\0\x08\0\0\0\x01\0" + entry(0x8769, 4, 1, 26) + b"\0" * 4 +
                   b"\x01\0" + entry(0x9286, 7, 0xFFFFFFF0, 20),
    }
    folder = os.path.join(ROOT, "tests", "fuzz", "image")
    os.makedirs(folder, exist_ok=True)
    for name, block in blocks.items():
        for kind, ending in (("JPEG", "jpg"), ("WEBP", "webp"), ("PNG", "png")):
            with open(os.path.join(folder, f"exif_{name}.{ending}"), "wb") as file:
                file.write(saved(kind, side=8, exif=b"Exif\0\0" + block))


def main():
    os.makedirs(OUT, exist_ok=True)
    bad("empty.png", b"", "empty")
    bad("gif.png", b"GIF89a" + b"\0" * 20, "0x47 0x49", "UNSUPPORTED")
    bad("one_byte.png", b"\x89", "0x89 0x00", "UNSUPPORTED")
    make_png()
    make_jpeg()
    make_webp()
    make_fuzz_corpus()
    with open(os.path.join(OUT, "MANIFEST"), "w") as file:
        file.writelines(manifest)


main()
