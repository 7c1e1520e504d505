"""Pointers and pages in the place of files: named by whatever reads a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hcompress.charset import read_charset
from hcompress.data.images import read_image
from hcompress.data.source import open_data
from hcompress.errors import InputRefused
from hcompress.foreign.charset_file import charset_lists
from hcompress.gate.limits import read_limits
from hcompress.sizes import breakdown
from hcompress.stand_in import is_text, stand_in
from hcompress.strict.json import read_json
from tests import model_files as make

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 4053254\n" % 0
ANNEX = b"/annex/objects/SHA256E-s5--0.onnx\n"
PAGES = (
    b"<!DOCTYPE html>\n<html></html>", b"\n\n <HTML lang=en>", b"\xef\xbb\xbf<!doctype html>",
    b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
)  # fmt: skip
WHAT = {
    POINTER: "git lfs pull", POINTER.replace(b"\n", b"\r\n"): "git lfs pull",
    POINTER.replace(b"git-lfs.github", b"hawser.github"): "git lfs pull",
    ANNEX: "git annex get", **dict.fromkeys(PAGES, "a page of HTML or XML"),
}  # fmt: skip


@pytest.mark.parametrize("data", WHAT)
@pytest.mark.parametrize(
    ("name", "read"),
    [
        *((f"m.{suffix}", breakdown) for suffix in ("onnx", "safetensors", "pt", "bin", "plan")),
        ("m.engine", breakdown), ("m", breakdown), ("i.png", read_image), ("l.txt", open_data),
        ("l.tsv", open_data), ("d.toml", open_data), ("limits.toml", read_limits),
        ("c.txt", read_charset), ("c.yml", charset_lists), ("b.json", read_json),
        ("lmdb/data.mdb", lambda file: open_data(file.parent)),
    ],
)  # fmt: skip
def test_whatever_reads_a_file_names_it(
    name: str, read: Callable[[Path], object], data: bytes, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)
    with pytest.raises(InputRefused, match=WHAT[data]) as refused:
        read(file)
    assert file.name in str(refused.value)


@pytest.mark.parametrize(
    "data", [b'{"error":"Not found"}', b"404: Not Found", "не найдено".encode()]
)
def test_text_is_no_engine(data: bytes, tmp_path: Path) -> None:
    for name in ("m.plan", "m.engine", "m.trt"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputRefused, match="holds text, and is no engine"):
            breakdown(tmp_path / name)


def test_weights_beside_a_model_are_no_pointer(tmp_path: Path) -> None:
    """Short enough weights would be read from the pointer's text."""
    (tmp_path / "w.bin").write_bytes(POINTER)
    (tmp_path / "m.onnx").write_bytes(make.onnx_bytes(make.o_external("w", [4], location="w.bin")))
    with pytest.raises(InputRefused, match=r"w\.bin: a Git LFS pointer"):
        breakdown(tmp_path / "m.onnx")


def test_real_beginnings_are_neither() -> None:
    for start in (b"ftrt" + bytes(60), b"\x08\x0a\x12\x07pytorch", b"\x89PNG\r\n\x1a\n", bytes(8)):
        assert stand_in(start) is None
        assert not is_text(start)
    assert stand_in(b"<\n!\nd\no\n") is None  # a charset, a character a line
