"""An engine's sidecar: sealed, and refused after any change."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hcompress import sizes
from hcompress.errors import InputRefused, UsageError
from hcompress.formats.engine import PLAN_FILE, SIDECAR_FILE, check_engine, seal, unseal


def sealed(folder: Path, plan: bytes = b"a plan") -> Path:
    (folder / PLAN_FILE).write_bytes(plan)
    recorded = {"bytes": len(plan), "sha256": hashlib.sha256(plan).hexdigest()}
    (folder / SIDECAR_FILE).write_bytes(seal({"plan": recorded, "note": "ü", "n": [1, 2.5]}))
    return folder


def test_a_sealed_engine_is_found_intact(tmp_path: Path) -> None:
    sealed(tmp_path)
    for path in (tmp_path, tmp_path / PLAN_FILE):
        assert check_engine(path)["note"] == "ü"


def test_any_changed_byte_of_the_sidecar_is_refused(tmp_path: Path) -> None:
    path = sealed(tmp_path) / SIDECAR_FILE
    data = path.read_bytes()
    for place in range(len(data)):
        for value in (data[place] ^ 1, data[place] ^ 0x20, 0x20):
            if value == data[place]:
                continue
            path.write_bytes(data[:place] + bytes([value]) + data[place + 1 :])
            with pytest.raises(InputRefused):
                check_engine(tmp_path)
            with pytest.raises(InputRefused):
                sizes.breakdown(tmp_path / PLAN_FILE)
    for other in (data[:-1], data + b" ", b"", b"[]", b"[" * 100_000, b"null", b'{"format":1}'):
        path.write_bytes(other)
        with pytest.raises(InputRefused, match=r"model\.plan\.json"):
            check_engine(tmp_path)


def test_any_changed_byte_of_the_plan_is_refused(tmp_path: Path) -> None:
    path = sealed(tmp_path) / PLAN_FILE
    data = path.read_bytes()
    for other in (*(data[:n] + b"!" + data[n + 1 :] for n in range(len(data))), data + b"x", b""):
        path.write_bytes(other)
        with pytest.raises(InputRefused, match="not the plan its sidecar describes"):
            check_engine(tmp_path)


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such engine"):
        check_engine(tmp_path)
    sealed(tmp_path)
    (tmp_path / SIDECAR_FILE).write_bytes(seal({"plan": 3}))
    with pytest.raises(InputRefused, match="nothing about the plan"):
        check_engine(tmp_path)
    (tmp_path / SIDECAR_FILE).unlink()
    with pytest.raises(InputRefused, match="missing"):
        check_engine(tmp_path)


def test_numbers_json_has_no_words_for_are_refused() -> None:
    text = seal({"n": 1}).replace(b'"n": 1', b'"n": NaN')
    with pytest.raises(InputRefused, match="changed since"):
        unseal(text, "x")
