"""The one atomic write: whole or not at all, whoever interferes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcompress.strict.atomic import is_temporary, sweep, write_bytes, write_json, write_text
from hcompress.strict.json import read_json
from tests import ROOT
from tests.durable import recorded


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for data in (b"one", b"", b"x" * 100_000):
        write_bytes(path, data)
        assert path.read_bytes() == data
        assert list(tmp_path.iterdir()) == [path]
    write_text(path, "ü\udcff\n")  # a byte that is no UTF-8, as a path may have it
    assert path.read_bytes() == "ü".encode() + b"\\udcff\n"
    for odd in ("\udcff", "\ud800", 'a"\ud83d', "\\udcff"):
        write_json(path, odd)
        assert read_json(path) == odd
    write_json(path, {"ü": [1]})
    assert path.read_text(encoding="utf-8") == '{\n  "ü": [\n    1\n  ]\n}\n'


@pytest.mark.parametrize("value", [float("nan"), {"a": object()}, b"x"])
def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "a.json"
    write_json(path, 1)
    with pytest.raises((TypeError, ValueError)):
        write_json(path, value)
    assert path.read_text() == "1\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    path = tmp_path / "a"
    write_bytes(path, b"old")

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(error)) as caught:
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    if isinstance(caught.value, OSError):
        assert caught.value.filename == str(path)


def test_trouble_is_named_by_the_file_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "a"
    with pytest.raises(FileNotFoundError) as caught:
        write_bytes(path, b"x")
    assert caught.value.filename == str(path)


def test_a_link_in_the_way_is_replaced_and_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    path = tmp_path / "a"
    path.symlink_to(mine)
    write_bytes(path, b"new")
    assert not path.is_symlink()
    monkeypatch.setattr(os, "urandom", bytes)  # somebody foresees the name after all
    trap = tmp_path / f".a.{'00' * 8}.tmp"
    trap.symlink_to(mine)
    with pytest.raises(FileExistsError):
        write_bytes(path, b"newer")
    assert (mine.read_bytes(), path.read_bytes()) == (b"mine", b"new")
    assert trap.is_symlink()


KILLED = """
import os, signal, sys
from pathlib import Path
from hcompress.strict.atomic import write_bytes
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
write_bytes(Path(sys.argv[1]), b"new")
"""


def test_what_a_kill_leaves_is_swept(tmp_path: Path) -> None:
    path, kept = tmp_path / "a.json", tmp_path / ".a.json.tmp"
    write_bytes(path, b"old")
    kept.write_bytes(b"a user's")
    subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=ROOT, check=False)
    assert path.read_bytes() == b"old"
    (left,) = set(tmp_path.iterdir()) - {path, kept}
    assert is_temporary(left.name)
    sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {path, kept}
    sweep(tmp_path / "nowhere")


@given(st.text(st.characters(exclude_characters="/\0"), min_size=1))
def test_only_our_own_names_are_temporary(name: str) -> None:
    assert not is_temporary(name)
    assert is_temporary(f".{name}.0123456789abcdef.tmp")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_bytes(path, b"x" * 10),
        lambda path: write_text(path, "x" * 10),
        lambda path: write_json(path, "x" * 7),
    ],
)
def test_it_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    """All of it, and the name afterwards: a power cut at any time leaves the old or the new."""
    path = tmp_path / "a"
    done = recorded(monkeypatch)
    write(path)
    (file, synced, size), (same, renamed, _), (folder, parent, _) = done
    assert (file, same, folder) == ("fsync", "replace", "fsync")
    assert synced == renamed
    assert is_temporary(Path(synced).name)
    assert size == 10
    assert parent == str(tmp_path)


def test_no_one_is_let_in_by_a_name_that_was_foreseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that lies in wait is neither written to nor taken away."""
    monkeypatch.setattr(os, "urandom", bytes)
    trap = tmp_path / f".a.{'00' * 8}.tmp"
    trap.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        write_bytes(tmp_path / "a", b"new")
    assert trap.read_bytes() == b"mine"
