"""What lies in many a checkout or download in the place of a file: told by its first bytes."""

from __future__ import annotations

import codecs
from typing import Final

START: Final = 512
"""Bytes of a file's beginning that tell."""
_KINDS: Final = (
    ((b"version https://git-lfs.", b"version https://hawser.", b"version http://git-media."),
     "a Git LFS pointer, not the file it stands for: run `git lfs pull`"),
    ((b"/annex/objects/",),
     "a git-annex pointer, not the file it stands for: run `git annex get`"),
    ((b"<!doctype", b"<html", b"<head", b"<?xml"),
     "a page of HTML or XML, as servers send in place of a file: download it again"),
)  # fmt: skip
_CONTROLS: Final = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1b")


def stand_in(start: bytes) -> str | None:
    """What a file is in truth, and what to do, if it stands for another; None if it doesn't.

    ``start``: its first bytes, `START` at least if it has as many.
    """
    first = start[:START].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    return next((what for marks, what in _KINDS if first.startswith(marks)), None)


def is_text(start: bytes) -> bool:
    """Whether a file's first bytes are nothing but text, as no file of numbers begins."""
    if not _CONTROLS.isdisjoint(start):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return True
