"""Why a request, or one of its images, was not answered."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from hcompress.errors import InputRefused


class Code(StrEnum):
    """What a program may tell refusals apart by."""

    SLOW_BODY = "slow_body"
    BODY_TOO_LARGE = "body_too_large"
    TOO_MANY_IMAGES = "too_many_images"
    IMAGE_TOO_LARGE = "image_too_large"
    UNKNOWN_TYPE = "unknown_type"
    BAD_BODY = "bad_body"
    BAD_OPTION = "bad_option"
    BAD_IMAGE = "bad_image"
    BUSY = "busy"
    FAILED = "failed"
    STOPPING = "stopping"
    TOO_LATE = "too_late"


STATUS: Final[dict[Code, int]] = {
    Code.SLOW_BODY: 408,
    Code.BODY_TOO_LARGE: 413,
    Code.TOO_MANY_IMAGES: 413,
    Code.IMAGE_TOO_LARGE: 413,
    Code.UNKNOWN_TYPE: 415,
    Code.BAD_BODY: 422,
    Code.BAD_OPTION: 422,
    Code.BAD_IMAGE: 422,
    Code.BUSY: 429,
    Code.FAILED: 500,
    Code.STOPPING: 503,
    Code.TOO_LATE: 504,
}
"""The HTTP status of each."""
RETRY_AFTER: Final = 1
"""Seconds after which a busy service is worth another try."""


class Refused(InputRefused):
    """A request, or one image of it, is not answered."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def status(self) -> int:
        return STATUS[self.code]

    def as_json(self) -> dict[str, Any]:
        return {"code": str(self.code), "message": str(self)}
