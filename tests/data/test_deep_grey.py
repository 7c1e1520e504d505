"""Greys and colours of more than 8 bits: scaled where white is sure, refused elsewhere."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hcompress.data.images import decode_image
from hcompress.errors import InputRefused

GREYS = np.add.outer(np.arange(8) * 3, np.arange(16) * 10).astype(np.float64) + 60  # up to 231


def scaled(most: int) -> NDArray[np.float64]:
    return np.round(GREYS * most / 255)


def pgm(most: int, magic: bytes = b"P5", channels: int = 1) -> bytes:
    values = np.repeat(scaled(most).astype(">u2" if most > 255 else "u1"), channels, 1)
    body = values.tobytes()
    if magic in (b"P2", b"P3"):
        body = " ".join(map(str, values.ravel())).encode()
    return magic + b"\n16 8\n%d\n" % most + body


def tiff(bits: int, kind: int, data: bytes, photometric: int = 1, most: int | None = None) -> bytes:
    """One strip. ``kind``: 1 unsigned, 2 signed, 3 floats; ``most``: MaxSampleValue."""
    tags = [
        (256, 4, 16), (257, 4, 8), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 8),
        (277, 3, 1), (278, 4, 8), (279, 4, len(data)),
        *([] if most is None else [(281, 3, most)]), (339, 3, kind),
    ]  # fmt: skip
    body = b"".join(struct.pack("<HHII", tag, of, 1, value) for tag, of, value in tags)
    ifd = struct.pack("<H", len(tags)) + body + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + ifd


def png16(values: NDArray[np.float64], colour: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", 16, 8, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )


def packed12() -> bytes:
    values = scaled(4095).astype(np.uint16)
    first, second = values[:, ::2], values[:, 1::2]
    three = [first >> 4, ((first & 15) << 4) | (second >> 8), second & 255]
    return np.stack(three, -1).astype(np.uint8).tobytes()


def same_greys(data: bytes) -> None:
    found = decode_image(data, "x").astype(int)
    assert np.abs(found - GREYS[..., None]).max() <= 9, data[:20]  # 15 levels are 17 apart


def test_greys_of_any_declared_depth_are_the_same_picture() -> None:
    for most in (15, 255, 1000, 1023, 4095, 65535):
        for data in (pgm(most), pgm(most, b"P2"), pgm(most, b"P6", 3), pgm(most, b"P3", 3)):
            same_greys(data)
    full = scaled(65535)
    same_greys(tiff(16, 1, full.astype("<u2").tobytes()))
    same_greys(tiff(16, 1, (65535 - full).astype("<u2").tobytes(), photometric=0))
    same_greys(tiff(12, 1, packed12()))
    same_greys(tiff(16, 1, scaled(1023).astype("<u2").tobytes(), most=1023))
    same_greys(tiff(32, 1, scaled(2**32 - 1).astype("<u4").tobytes()))
    same_greys(tiff(32, 3, (GREYS / 255).astype("<f4").tobytes()))
    same_greys(b"Pf\n16 8\n-1.0\n" + (GREYS[::-1] / 255).astype("<f4").tobytes())
    same_greys(png16(full, 0))
    same_greys(png16(np.repeat(full, 3, 1), 2))


def test_numbers_of_which_none_is_white_for_sure_are_refused() -> None:
    unsure = {
        "32 bits, signed": tiff(32, 2, GREYS.astype("<i4").tobytes()),
        "16 bits, signed": tiff(16, 2, GREYS.astype("<i2").tobytes()),
        "floats up to 255": tiff(32, 3, GREYS.astype("<f4").tobytes()),
        "negative floats": tiff(32, 3, (GREYS / 255 - 0.5).astype("<f4").tobytes()),
        "no numbers": tiff(32, 3, (GREYS * np.nan).astype("<f4").tobytes()),
        "10 bits in 16": tiff(16, 1, scaled(1023).astype("<u2").tobytes()),
        "8 bits in 32": tiff(32, 1, GREYS.astype("<u4").tobytes()),
        "12 bits in a PNG": png16(scaled(4095), 0),
        "8 bits in a PNG of 16, in colour": png16(np.repeat(GREYS, 3, 1), 2),
        "10 bits in a colour PPM of 16": b"P6\n16 8\n65535\n"
        + np.repeat(scaled(1023), 3, 1).astype(">u2").tobytes(),
    }
    for what, data in unsure.items():
        with pytest.raises(InputRefused, match=r"^x: .*save it with 8 bits"):
            print(what, decode_image(data, "x"))


def test_bytes_the_wrong_way_round_are_told_by_the_maximum() -> None:
    values = scaled(1023)
    same_greys(b"P5\n16 8\n1023\n" + values.astype("<u2").tobytes())
    for kind in ("<u2", ">u2"):
        values[0, :2] = 1024, 4
        with pytest.raises(InputRefused, match="a number above 1023"):
            decode_image(b"P5\n16 8\n1023\n" + values.astype(kind).tobytes(), "x")
    with pytest.raises(InputRefused, match="truncated"):
        decode_image(pgm(1023)[:-1], "x")


def test_a_blank_page_of_many_bits_is_blank() -> None:
    for shade in (0, 65535):
        page = np.full((8, 16), shade, np.uint16)
        held = io.BytesIO()
        Image.fromarray(page).save(held, "PNG")
        assert (decode_image(held.getvalue(), "x") == shade // 257).all()


def test_black_letters_cut_out_in_16_bits_are_no_dark_picture() -> None:
    def cut_out(grey: int, alpha: NDArray[np.float64]) -> bytes:
        return png16(np.stack([np.full((8, 16), grey), alpha], -1).reshape(8, 32), 4)

    alpha = np.where(np.arange(16) % 4 < 2, 65535.0, 0.0) * np.ones((8, 1))
    found = decode_image(cut_out(0, alpha), "x")[0, :, 0]
    assert found.tolist() == [0, 0, 255, 255] * 4
    for grey, seen in ((9 * 257, alpha), (0, alpha / 257 / 4)):
        with pytest.raises(InputRefused, match="fewer bits"):
            decode_image(cut_out(grey, seen), "x")
