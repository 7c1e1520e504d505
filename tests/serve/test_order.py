"""Bodies from anywhere: understood, or refused with the right code."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Mapping

import pytest
from PIL import Image

from hcompress.serve.limits import Limits
from hcompress.serve.order import BYTES, FORM, JSON, Body, Order, Picture, asked_of, order_of
from hcompress.serve.refused import Code, Refused

LIMITS = Limits(images=4, pixels=10_000)


def png(width: int = 60, height: int = 20) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(out, "PNG")
    return out.getvalue()


def as_json(*images: bytes, **options: object) -> bytes:
    coded = [base64.b64encode(image).decode() for image in images]
    return json.dumps({"images": coded, **options}).encode()


def as_form(*images: bytes, **options: str) -> bytes:
    parts = [b'Content-Disposition: form-data; name="images"; filename="a"\r\n\r\n' + one
             for one in images]  # fmt: skip
    parts += [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
              for name, value in options.items()]  # fmt: skip
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + b"--x--\r\n"


def ordered(data: bytes, kind: str, query: Mapping[str, str] | None = None) -> Order:
    return order_of(Body(data, kind, b"x" if kind == FORM else b"", query or {}), LIMITS)


def code_of(data: bytes, kind: str = JSON, query: Mapping[str, str] | None = None) -> Code:
    with pytest.raises(Refused) as caught:
        ordered(data, kind, query)
    return caught.value.code


def test_three_ways_to_give_an_image() -> None:
    one = png()
    for data, kind in ((as_json(one), JSON), (as_form(one), FORM), (one, "image/png"),
                       (one, BYTES)):  # fmt: skip
        (picture,) = ordered(data, kind).pictures
        assert isinstance(picture, Picture)
        assert picture.pixels.shape == (20, 60, 3)


def test_options_come_from_the_address_the_form_or_the_json() -> None:
    wanted = asked_of({"top": 2, "min_confidence": 0.5, "only": "digits"})
    assert wanted.only == "digits"
    said = {"top": "2", "min_confidence": "0.5", "only": "digits"}
    assert ordered(png(), "image/png", said).asked == wanted
    assert ordered(as_form(png(), **said), FORM).asked == wanted
    assert ordered(as_json(png(), top=2, min_confidence=0.5, only="digits"), JSON).asked == wanted


def test_a_data_url_and_wrapped_base64() -> None:
    text = base64.encodebytes(png()).decode()
    for image in (text, "data:image/png;base64," + text):
        (picture,) = ordered(json.dumps({"images": [image]}).encode(), JSON).pictures
        assert isinstance(picture, Picture)


def test_one_bad_image_among_good_ones_is_told_in_its_place() -> None:
    good, bad, again = ordered(as_json(png(), png()[:40], png(200, 100)), JSON).pictures
    assert isinstance(good, Picture)
    assert isinstance(bad, Refused)
    assert isinstance(again, Refused)
    assert (bad.code, again.code) == (Code.BAD_IMAGE, Code.IMAGE_TOO_LARGE)
    assert "image 1" in str(bad)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", Code.BAD_BODY),
        (b"\xff\xfe", Code.BAD_BODY),
        (b"[]", Code.BAD_BODY),
        (b"{}", Code.BAD_BODY),
        (b'{"images": []}', Code.BAD_BODY),
        (b'{"images": [1]}', Code.BAD_BODY),
        (b'{"images": ["\xf0"]}', Code.BAD_BODY),
        (b'{"images": ["x"], "images": ["y"]}', Code.BAD_BODY),
        (b"[" * 5000, Code.BAD_BODY),
        (b'{"images": [' + b"[]," * 9000 + b"[]]}", Code.BAD_BODY),
        (b'{"images": ["not base64"]}', Code.BAD_IMAGE),
        (b'{"images": ["\xc3\xa9"]}', Code.BAD_IMAGE),
        (as_json(b"GIF89a"), Code.BAD_IMAGE),
        (as_json(*[b"x"] * 5), Code.TOO_MANY_IMAGES),
        (as_json(png(1000, 1000)), Code.IMAGE_TOO_LARGE),
        (as_json(png(), topp=1), Code.BAD_OPTION),
        (as_json(png(), top=1.5), Code.BAD_OPTION),
        (as_json(png(), top=6), Code.BAD_OPTION),
        (as_json(png(), top=True), Code.BAD_OPTION),
        (as_json(png(), top=None), Code.BAD_OPTION),
        (as_json(png(), min_confidence="nan"), Code.BAD_OPTION),
        (as_json(png(), only=""), Code.BAD_OPTION),
        (as_json(png(), only=["a"]), Code.BAD_OPTION),
    ],
    ids=range(23),
)
def test_json_that_is_refused(data: bytes, code: Code) -> None:
    assert code_of(data) is code


def test_forms_that_are_refused() -> None:
    assert code_of(as_form(png())[:-30], FORM) is Code.BAD_BODY
    assert code_of(b"nothing", FORM) is Code.BAD_BODY
    assert code_of(as_form(), FORM) is Code.BAD_BODY
    assert code_of(as_form(*[png()] * 30), FORM) is Code.TOO_MANY_IMAGES
    assert code_of(as_form(png(), top="many"), FORM) is Code.BAD_OPTION
    assert code_of(png(), "text/html") is Code.UNKNOWN_TYPE
    assert code_of(png(), "image/png", {"size": "1"}) is Code.BAD_OPTION
    with pytest.raises(Refused, match="without a boundary"):
        order_of(Body(as_form(png()), FORM), LIMITS)


def test_a_bomb_is_not_unpacked() -> None:
    """60 gigapixels in a header of ours; and a chunk that unpacks to more than it is worth."""
    head = b"\x00\x03\xa9\x80\x00\x03\xa9\x80\x08\x02\x00\x00\x00"
    chunk = b"IHDR" + head
    bomb = b"\x89PNG\r\n\x1a\n" + len(head).to_bytes(4, "big") + chunk
    bomb += zlib.crc32(chunk).to_bytes(4, "big")
    assert code_of(bomb, "image/png") in (Code.IMAGE_TOO_LARGE, Code.BAD_IMAGE)


def test_pixels_of_a_request_have_an_end() -> None:
    limits = Limits(images=64, pixels=4_000_000)
    with pytest.raises(Refused, match="too many pixels in one request"):
        order_of(Body(as_json(*[png(2000, 2000)] * 9), JSON), limits)
