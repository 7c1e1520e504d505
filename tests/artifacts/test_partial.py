"""Work in progress: what a kill leaves is taken up, cleared, or thrown away in an order."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from hcompress.artifacts import folder as artifacts
from hcompress.artifacts import partial as partials
from hcompress.strict.atomic import is_temporary
from tests.artifacts.test_artifact import a_manifest, a_partial
from tests.durable import places, recorded

KEY = "ab" * 32


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    """What a killed stage left."""
    folder = tmp_path / "x.partial"
    assert not partials.prepare(folder, KEY)
    (folder / "scratch" / "snapshot").write_text("hours")
    (folder / "out" / "half").write_text("half a file")
    return folder


def test_the_same_key_keeps_snapshots_and_nothing_else(partial: Path) -> None:
    left = [f".{name}.{'0' * 16}.tmp" for name in ("key", "snapshot")]
    assert all(map(is_temporary, left))
    (partial / left[0]).write_text("x")
    (partial / "scratch" / left[1]).write_text("x")
    assert partials.prepare(partial, KEY)
    assert sorted(path.name for path in partial.iterdir()) == ["key", "out", "scratch"]
    assert [path.name for path in (partial / "scratch").iterdir()] == ["snapshot"]
    assert list((partial / "out").iterdir()) == []


@pytest.mark.parametrize("key", ["cd" * 32, KEY[:-1], KEY + "a", "", None])
def test_another_key_keeps_nothing(partial: Path, key: str | None) -> None:
    """Nor does none: what lies there is nobody's."""
    if key is None:
        (partial / "key").unlink()
    else:
        (partial / "key").write_text(key)
    assert not partials.prepare(partial, KEY)
    assert list((partial / "scratch").iterdir()) == []
    assert (partial / "key").read_text() == KEY
    partials.prepare(partial, KEY)
    (partial / "scratch" / "mine").write_text("x")
    assert partials.prepare(partial, KEY)


def test_the_key_is_on_the_disk_before_the_work_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = recorded(monkeypatch)
    partials.prepare(tmp_path / "x.partial", KEY)
    assert [(name, size) for name, path, size in done if is_temporary(Path(path).name)] == [
        ("fsync", len(KEY)), ("replace", len(KEY)),
    ]  # fmt: skip
    assert places(done, "fsync", tmp_path / "x.partial")


def test_the_key_is_removed_first(partial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a folder with its key would be taken for the whole."""
    real, seen = shutil.rmtree, list[bool]()

    def rmtree(path: Path) -> None:
        seen.append((partial / "key").exists())
        real(path)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    partials.discard(partial)
    assert seen == [False]
    assert not partial.exists()
    partials.discard(partial)


def test_of_a_failed_stage_only_snapshots_are_kept(partial: Path) -> None:
    partials.discard_idle(partial)
    assert (partial / "scratch" / "snapshot").exists()
    (partial / "scratch" / "snapshot").unlink()
    partials.discard_idle(partial)
    assert not partial.exists()


@pytest.mark.parametrize("links", [True, False])
def test_a_finished_artifact_is_linked_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Copied from another disk."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    made = tmp_path / "made"
    work = a_partial(tmp_path / "work")
    artifacts.publish(work, made, a_manifest(work))
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    partial = tmp_path / "x.partial"
    (partial / "out").mkdir(parents=True)
    (partial / "out" / "old").write_text("x")
    partials.link_out(partial, made)
    found = artifacts.open_artifact(partial / "out")
    assert found.file.samefile(made / "model.safetensors") == links
    assert not (partial / "out" / "old").exists()


def test_of_a_link_no_more_than_the_link_is_removed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    for name in ("file", "folder", "nothing"):
        target = {"file": "mine/thesis.txt", "folder": "mine", "nothing": "nowhere"}[name]
        (tmp_path / name).symlink_to(target)
        partials.remove(tmp_path / name)
        partials.remove(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine" / "thesis.txt").exists()
