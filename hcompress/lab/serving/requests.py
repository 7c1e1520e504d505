"""Requests as bytes on the wire, good and bad, each with the statuses that may answer it."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw, ImageFont

_LETTERS: Final = "abcdefghijkmnpqrstuvwxyz0123456789"
_HEIGHT: Final = 40
_BUSY: Final = frozenset({429, 504})
"""What may become of any request under too much load."""


@dataclass(frozen=True)
class Request:
    """One request; it may be sent slowly, or end early."""

    kind: str
    data: bytes
    expected: frozenset[int]
    slow: bool = False
    """Whether its last bytes come one at a time."""


def line(rng: random.Random) -> bytes:
    """A PNG of 3 to 9 letters and digits in Pillow's own font."""
    text = "".join(rng.choices(_LETTERS, k=rng.randint(3, 9)))
    font = ImageFont.load_default(28)
    image = Image.new("RGB", (int(font.getlength(text)) + 12, _HEIGHT), "white")
    ImageDraw.Draw(image).text((6, 3), text, fill="black", font=font)
    return _png(image)


def good(image: bytes) -> Request:
    """One image as the body."""
    return Request("good", _post("image/png", image), frozenset({200}))


def mixed(rng: random.Random, lines: Sequence[bytes]) -> Request:
    """Four in five good; the others broken, huge or slow."""
    kinds = {_one: 60, _many: 20, _broken: 10, _huge: 7, _slow: 3}
    (kind,) = rng.choices(list(kinds), list(kinds.values()))
    return kind(rng, lines)


def _one(rng: random.Random, lines: Sequence[bytes]) -> Request:
    request = good(rng.choice(lines))
    return Request("good", request.data, request.expected | _BUSY)


def _many(rng: random.Random, lines: Sequence[bytes]) -> Request:
    images = [base64.b64encode(one).decode() for one in rng.choices(lines, k=rng.randint(2, 6))]
    body = json.dumps({"images": images, "top": 3}).encode()
    return Request("many", _post("application/json", body), _BUSY | {200})


def _broken(rng: random.Random, lines: Sequence[bytes]) -> Request:
    image = rng.choice(lines)
    kind, body = rng.choice(
        (
            ("image/png", image[: len(image) // 2]),
            ("image/png", b""),
            ("image/png", bytes(rng.randrange(256) for _ in range(200))),
            ("application/json", b'{"images": ["' + base64.b64encode(image)[:-3] + b'"]}'),
            ("application/json", b'{"images": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
            ("application/json", b'{"images": [' + b"[]," * 100_000 + b"[]]}"),
            ("application/json", b"\xff\xfe\x00"),
            ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; na"),
        )
    )
    return Request("broken", _post(kind, body), _BUSY | {422})


def _huge(rng: random.Random, _: Sequence[bytes]) -> Request:
    kind, body = rng.choices(
        (("image/png", _bomb()), ("image/png", bytes(17 << 20))), weights=(9, 1)
    )[0]
    return Request("huge", _post(kind, body), _BUSY | {413})


def _slow(rng: random.Random, lines: Sequence[bytes]) -> Request:
    return Request("slow", good(rng.choice(lines)).data, _BUSY | {408}, slow=True)


_BOMB: Final[list[bytes]] = []


def _bomb() -> bytes:
    """A PNG of a few kilobytes and 64 million pixels."""
    if not _BOMB:
        _BOMB.append(_png(Image.new("1", (8000, 8000), 1)))
    return _BOMB[0]


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _post(kind: str, body: bytes) -> bytes:
    head = f"POST /read HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body
