"""From a request's body to the pictures to be read, and what is asked of them. All of it hostile.

Three ways to give images: base64 in JSON, a form's files, or one file as the body.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hcompress.data.images import TooManyPixels, decode_image
from hcompress.errors import InputRefused
from hcompress.serve.answers import MOST_ONLY, Asked
from hcompress.serve.limits import Limits
from hcompress.serve.multipart import Part, parts_of
from hcompress.serve.refused import Code, Refused
from hcompress.spec.config import CANDIDATES
from hcompress.strict.json import strict_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

JSON: Final = "application/json"
FORM: Final = "multipart/form-data"
BYTES: Final = "application/octet-stream"
IMAGES: Final = "images"
"""The JSON's key, and the name that a form's files have by custom; any other will do."""
OPTIONS: Final = ("top", "min_confidence", "only")
MOST_VALUES: Final = 8192
"""Commas and brackets of a JSON body: a list of empty lists is fifty times as large in memory."""
_DATA_URL: Final = 64
"""Bytes in which the head of a data: URL ends."""


@dataclass(frozen=True)
class Picture:
    """An image that can be read."""

    pixels: NDArray[np.uint8]
    """h x w x 3, RGB."""
    remarks: tuple[str, ...] = ()

    @property
    def area(self) -> int:
        height, width = self.pixels.shape[:2]
        return int(height * width)


@dataclass(frozen=True)
class Order:
    """A request that was understood."""

    asked: Asked
    pictures: list[Picture | Refused] = field(default_factory=list)
    """One an image, in the order of the request."""


@dataclass(frozen=True)
class Body:
    """A request's body and what its headers and its address say of it."""

    data: bytes
    kind: str
    """The Content-Type without parameters, in small letters."""
    boundary: bytes = b""
    query: Mapping[str, str] = field(default_factory=dict)


def order_of(body: Body, limits: Limits) -> Order:
    """Raises Refused if the request can't be understood, or none of its images is one."""
    images: Sequence[bytes | Refused]
    options: Mapping[str, Any]
    if body.kind == JSON:
        images, options = _from_json(body.data, limits)
    elif body.kind == FORM:
        images, options = _from_form(body, limits)
    elif body.kind == BYTES or body.kind.startswith("image/"):
        images, options = [body.data], {}
    else:
        raise Refused(
            Code.UNKNOWN_TYPE, f"takes {JSON}, {FORM}, image/* and {BYTES}, not {body.kind[:80]!r}"
        )
    if not images:
        raise Refused(Code.BAD_BODY, "no images in the request")
    if len(images) > limits.images:
        raise Refused(Code.TOO_MANY_IMAGES, f"{len(images)} images, of {limits.images} at most")
    asked = asked_of({**body.query, **options})
    pictures = _pictures(images, limits)
    failed = [one for one in pictures if isinstance(one, Refused)]
    if len(failed) == len(pictures):
        raise failed[0]
    return Order(asked, pictures)


def asked_of(options: Mapping[str, Any]) -> Asked:
    """Raises Refused (422) for an option that is not known or out of its bounds."""
    unknown = next((name for name in options if name not in OPTIONS), None)
    if unknown is not None:
        raise Refused(Code.BAD_OPTION, f"no option {unknown[:40]!r}: there is {', '.join(OPTIONS)}")
    only = options.get("only")
    if only is not None and not (isinstance(only, str) and 0 < len(only) <= MOST_ONLY):
        raise Refused(Code.BAD_OPTION, f"only: takes 1 to {MOST_ONLY} characters, or a class")
    return Asked(
        int(_number("top", options.get("top", 0), CANDIDATES, whole=True)),
        _number("min_confidence", options.get("min_confidence", 0.0), 1),
        only,
    )


def _number(name: str, value: Any, most: int, *, whole: bool = False) -> float:
    """0 to ``most``; as text too, as addresses and forms have it."""
    try:
        number = float(value) if not isinstance(value, bool) else -1.0
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if not 0 <= number <= most or (whole and not number.is_integer()):
        raise Refused(Code.BAD_OPTION, f"{name}: takes a number from 0 to {most}")
    return number


def _from_json(data: bytes, limits: Limits) -> tuple[Sequence[bytes | Refused], dict[str, Any]]:
    if sum(map(data.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise Refused(Code.BAD_BODY, f"JSON of more than {MOST_VALUES} values")
    try:
        value = strict_json(data, "the body")
    except InputRefused as error:
        raise Refused(Code.BAD_BODY, str(error)) from None
    if not isinstance(value, dict):
        raise Refused(Code.BAD_BODY, f'the body is no JSON object: give {{"{IMAGES}": [...]}}')
    images = value.pop(IMAGES, None)
    if not (isinstance(images, list) and all(isinstance(image, str) for image in images)):
        raise Refused(Code.BAD_BODY, f'"{IMAGES}" is no list of images in base64')
    if len(images) > limits.images:  # before work goes into them
        raise Refused(Code.TOO_MANY_IMAGES, f"{len(images)} images, of {limits.images} at most")
    return [_from_base64(image, place) for place, image in enumerate(images)], value


def _from_base64(text: str, place: int) -> bytes | Refused:
    """Of a data: URL too."""
    if text.startswith("data:"):
        head, comma, rest = text[:_DATA_URL].partition(",")
        text = rest + text[_DATA_URL:] if comma and head.endswith(";base64") else text
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        return Refused(Code.BAD_IMAGE, f"image {place}: not base64: {str(error)[:80]}")


def _from_form(body: Body, limits: Limits) -> tuple[Sequence[bytes | Refused], dict[str, Any]]:
    if not body.boundary:
        raise Refused(Code.BAD_BODY, f"{FORM} without a boundary")
    parts = parts_of(body.data, body.boundary, limits.images)
    options = {part.name: _text(part) for part in parts if not _is_image(part)}
    return [bytes(part.data) for part in parts if _is_image(part)], options


def _is_image(part: Part) -> bool:
    return part.is_file or part.name == IMAGES


def _text(part: Part) -> str:
    try:
        return part.data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(Code.BAD_OPTION, f"{part.name[:40]}: is not UTF-8") from None


def _pictures(images: Sequence[bytes | Refused], limits: Limits) -> list[Picture | Refused]:
    """Raises Refused (413) as soon as they are too many pixels together."""
    pictures: list[Picture | Refused] = []
    most = limits.held_pixels // 2
    for place, image in enumerate(images):
        found = _picture(image, place, limits)
        pictures.append(found)
        most -= found.area if isinstance(found, Picture) else 0
        if most < 0:
            raise Refused(Code.IMAGE_TOO_LARGE, "too many pixels in one request: send fewer images")
    return pictures


def _picture(image: bytes | Refused, place: int, limits: Limits) -> Picture | Refused:
    if isinstance(image, Refused):
        return image
    remarks: list[str] = []
    try:
        pixels = decode_image(image, f"image {place}", remarks.append, limits.pixels)
    except TooManyPixels as error:
        return Refused(Code.IMAGE_TOO_LARGE, str(error))
    except InputRefused as error:
        return Refused(Code.BAD_IMAGE, str(error))
    return Picture(pixels, tuple(remarks))
