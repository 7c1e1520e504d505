"""What can't be looked at is not absent, and what the machine does not give is not damaged."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from hcompress.errors import EnvironmentFailed, HcompressError, InputRefused, UsageError
from hcompress.strict.atomic import sync, write_bytes
from hcompress.strict.files import is_there, open_regular, read_small, spelt, stat_of
from hcompress.strict.json import read_if_there, recall

MACHINE = [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, 999]


def failing(number: int) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", MACHINE)
@pytest.mark.parametrize("step", ["stat", "open", "read"])
def test_trouble_of_the_machine_is_neither_absence_nor_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, step: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    if step == "read":
        monkeypatch.setattr("hcompress.strict.files.read_exactly", failing(number))
    else:
        monkeypatch.setattr(os, step, failing(number))
    for look in (
        lambda: read_small(path, 10),
        lambda: read_if_there(dict[str, str], path),
        lambda: recall(dict[str, str], path),
    ):
        with pytest.raises(EnvironmentFailed, match=r"a\.json.*: "):
            look()


@pytest.mark.timeout(20)
def test_a_path_that_turns_into_a_pipe_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at it and its opening."""
    path, plain = tmp_path / "a", tmp_path / "plain"
    plain.write_bytes(b"x")
    os.mkfifo(path)
    monkeypatch.setattr("hcompress.strict.files.stat_of", lambda _: plain.stat())
    with pytest.raises(InputRefused, match="/a: is a named pipe"), open_regular(path):
        pass


def test_what_is_no_plain_file_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To open a device may be to set it going."""
    os.mkfifo(tmp_path / "a")
    monkeypatch.setattr(os, "open", failing(errno.EIO))
    with pytest.raises(InputRefused, match="/a: is a named pipe"), open_regular(tmp_path / "a"):
        pass


def test_whether_it_is_there_is_not_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    assert not is_there(path)
    assert not is_there(path / "b")
    path.symlink_to("nowhere")
    assert is_there(path)
    with pytest.raises(UsageError, match="too long: check the path"):
        is_there(tmp_path / ("x" * 300))
    monkeypatch.setattr(Path, "lstat", failing(errno.EACCES))
    with pytest.raises(EnvironmentFailed, match="/a: permission denied"):
        is_there(path)


@pytest.mark.parametrize(
    ("text", "error"),
    [(None, None), ("", InputRefused), ("{", InputRefused), ("[]", InputRefused), ("{}", None)],
)
def test_only_what_is_absent_is_none(
    tmp_path: Path, text: str | None, error: type[HcompressError] | None
) -> None:
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)
    if error is None:
        assert read_if_there(dict[str, str], path) == (None if text is None else {})
    else:
        with pytest.raises(error, match=r"a\.json"):
            read_if_there(dict[str, str], path)
        assert recall(dict[str, str], path) is None


def test_a_path_that_nobody_can_spell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert spelt("~/x") == Path("/home/me/x")
    for text in ("", "a\0b", "~nosuchuser/x", "\ud800"):
        with pytest.raises(ValueError):  # noqa: PT011
            spelt(text)
    assert stat_of(Path("/")).st_mode


def test_trouble_while_it_is_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    trouble = pytest.raises(EnvironmentFailed, match="/a: cannot be read: input/output error")
    with trouble, open_regular(path):
        raise OSError(errno.EIO, "Input/output error")


def test_a_failed_sync_names_what_was_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder too: some disks have no fsync of folders, and then nothing is safe."""
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    with pytest.raises(OSError, match="Invalid") as caught:
        sync(tmp_path)
    assert caught.value.filename == str(tmp_path)
    with pytest.raises(OSError, match="Invalid") as caught:
        write_bytes(tmp_path / "a", b"x")
    assert caught.value.filename == str(tmp_path / "a")
