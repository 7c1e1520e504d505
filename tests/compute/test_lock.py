"""The lock: one at a time, whoever forks, removes or lies in wait."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hcompress.compute import lock as locks
from hcompress.compute.lock import check_not_held, hold, holds
from hcompress.errors import EnvironmentFailed, UsageError

HOLDER = """
import sys, time
from pathlib import Path
from hcompress.compute.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_run_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(EnvironmentFailed, match=f"process {process.pid} on .+ since 20"),
            hold(lock),
        ):
            pass
    finally:
        process.kill()
        process.wait()
    with hold(lock):  # a killed holder holds nothing
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert not lock.exists()


def test_a_users_file_is_no_lock(tmp_path: Path) -> None:
    mine = tmp_path / "poetry.lock"
    mine.write_text("[[package]]")
    with pytest.raises(UsageError, match="a file of yours"), hold(mine):
        pass
    assert mine.read_text() == "[[package]]"


def test_a_forked_worker_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    reader, writer = os.pipe()
    with hold(lock):
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)  # outlive the parent's hold
            os._exit(0)
    with hold(lock):
        pass
    os.close(writer)
    os.waitpid(child, 0)
    os.close(reader)


MINE = json.dumps({"pid": 1, "host": "h", "since": "then"})
ODD: dict[str, Callable[[Path, Path], object]] = {
    "a link": lambda lock, mine: lock.symlink_to(mine),
    "a link to nothing": lambda lock, _: lock.symlink_to("nowhere"),
    "a second name": lambda lock, mine: lock.hardlink_to(mine),
    "a folder": lambda lock, _: lock.mkdir(),
    "a pipe": lambda lock, _: os.mkfifo(lock),
    "deep": lambda lock, _: lock.write_text("[" * 4096),
    "deep in a lock": lambda lock, _: lock.write_text(MINE[:-1] + ', "x": ' + "[" * 4000),
    "long": lambda lock, _: lock.write_text(MINE + " " * 5000),
    "a number": lambda lock, _: lock.write_text("1" * 4000),
    "a list": lambda lock, _: lock.write_text("[1]"),
    "another table": lambda lock, _: lock.write_text('{"pid": 1}'),
    "with more keys": lambda lock, _: lock.write_text(MINE[:-1] + ', "x": 1}'),
    "bytes": lambda lock, _: lock.write_bytes(b"\xff\xfe"),
    "zeros": lambda lock, _: lock.write_bytes(bytes(100)),
    "a surrogate": lambda lock, _: lock.write_text('{"pid": "\\ud800"}'),
}  # fmt: skip


def state(path: Path) -> tuple[int, ...]:
    """Of a path itself; not when it was last read."""
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_nlink, found.st_size, found.st_mtime_ns


@pytest.mark.timeout(20)  # nobody writes into the pipe
@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_lock_of_ours_is_left_as_it_is(tmp_path: Path, kind: str) -> None:
    mine, lock = tmp_path / "mine", tmp_path / "x.lock"
    mine.write_text("")  # as a lock has it that was just made
    ODD[kind](lock, mine)
    before = state(lock)
    with pytest.raises(UsageError, match="has the name of our lock"), hold(lock):
        pass
    check_not_held(lock)
    assert state(lock) == before
    assert mine.read_text() == ""
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO])
def test_a_disk_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", fail)
    with (
        pytest.raises(EnvironmentFailed, match=r"x\.lock: can't be locked: "),
        hold(tmp_path / "x.lock"),
    ):
        pass


def test_a_lock_that_was_removed_meanwhile_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last holder removes it between open and lock: a lock on no name guards nothing."""
    lock = tmp_path / "x.lock"
    real, left = fcntl.flock, [1]

    def flock(handle: int, how: int) -> None:
        if left:
            left.pop()
            lock.unlink()
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with hold(lock):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
        with pytest.raises(EnvironmentFailed), hold(lock):
            pass


def test_a_lock_that_was_replaced_meanwhile_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same name, another inode: it is the other file that has to be locked."""
    lock = tmp_path / "x.lock"
    real, left = fcntl.flock, [1]

    def flock(handle: int, how: int) -> None:
        real(handle, how)
        if left:
            left.pop()
            lock.unlink()
            lock.write_text("")

    monkeypatch.setattr(fcntl, "flock", flock)
    with hold(lock), pytest.raises(EnvironmentFailed), hold(lock):
        pass
    assert not lock.exists()


def test_the_next_ones_lock_is_not_removed(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    with hold(lock):
        lock.unlink()  # by somebody who knew better
        lock.write_text("")
    assert lock.exists()


def test_the_name_goes_before_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other way round, another run would take a lock whose name we then remove."""
    lock = tmp_path / "x.lock"
    real = os.close
    seen: list[bool] = []

    def close(handle: int) -> None:
        with contextlib.suppress(OSError):
            if os.fstat(handle).st_ino == inode:
                seen.append(lock.exists())
        real(handle)

    with hold(lock):
        inode = lock.stat().st_ino
        monkeypatch.setattr(os, "close", close)
    assert seen == [False]


def test_a_lock_is_held_until_its_block_ends(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    with hold(lock):
        assert holds(lock)
        with pytest.raises(EnvironmentFailed):
            check_not_held(lock)
        with pytest.raises(EnvironmentFailed, match=f"process {os.getpid()} on"), hold(lock):
            pass
        assert holds(lock)
        assert lock.exists()
    assert not holds(lock)
    assert locks._held == set()
    with contextlib.suppress(ZeroDivisionError), hold(lock):
        raise ZeroDivisionError
    assert locks._held == set()
    assert not lock.exists()
    check_not_held(lock)


def test_a_forked_worker_leaves_the_lock_to_its_parent(tmp_path: Path) -> None:
    """It neither holds it nor takes it away."""
    lock = tmp_path / "x.lock"
    with hold(lock):
        child = os.fork()
        if child == 0:
            os._exit(int(locks._held != set()))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(EnvironmentFailed), hold(lock):
            pass


def test_a_program_that_is_started_does_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    with hold(lock):
        (handle,) = locks._held
        assert not os.get_inheritable(handle)


def _handles() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_no_handle_is_left_open(tmp_path: Path) -> None:
    before = _handles()
    lock = tmp_path / "x.lock"
    with hold(lock):
        for _ in range(3):
            with contextlib.suppress(EnvironmentFailed), hold(lock):
                pass
    (tmp_path / "y.lock").write_text("mine")
    with contextlib.suppress(UsageError), hold(tmp_path / "y.lock"):
        pass
    check_not_held(tmp_path / "y.lock")
    assert _handles() == before


def test_a_worker_that_outlives_a_killed_parent_holds_nothing(tmp_path: Path) -> None:
    """Nobody has removed the name: it is the same file that the next one locks."""
    lock = tmp_path / "x.lock"
    handle = locks._acquire(lock)
    locks._held.add(handle)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    locks._held.discard(handle)
    os.close(handle)  # as the kernel does for who was killed
    try:
        for _ in range(100):  # the child may not have begun yet
            with contextlib.suppress(EnvironmentFailed), hold(lock):
                break
            time.sleep(0.05)
        else:
            pytest.fail("the worker holds it")
    finally:
        os.close(writer)
        os.waitpid(child, 0)
        os.close(reader)


def test_what_a_killed_holder_wrote_is_replaced_whole(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    lock.write_text(json.dumps({"pid": 1, "host": "h" * 300, "since": "then"}))
    with hold(lock):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
