"""What is asked of the disk, in its order: what a power cut may fall between."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Operation = tuple[str, str, int]
"""What was done, the path it was done to, and the bytes that this has by then."""


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Operation]:
    """A list that grows by each fsync, rename, unlink and rmdir of this process."""
    done: list[Operation] = []

    def note(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Any, *more: Any, **named: Any) -> Any:
            path = f"/proc/self/fd/{target}" if isinstance(target, int) else target
            where = os.path.realpath(path) if isinstance(target, int) else os.fspath(path)
            folder = named.get("dir_fd")
            if folder is not None:  # rmtree's
                where = str(Path(os.path.realpath(f"/proc/self/fd/{folder}")) / where)
            done.append((name, str(where), os.lstat(where).st_size))
            return real(target, *more, **named)

        return call

    for name in ("fsync", "rename", "replace", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, note(name, getattr(os, name)))
    return done


def places(done: list[Operation], name: str, path: Path) -> list[int]:
    """When this was done to that path."""
    return [when for when, entry in enumerate(done) if entry[:2] == (name, str(path))]
