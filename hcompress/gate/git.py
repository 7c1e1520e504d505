"""A file as it was at a ref of git, read out of the repository: nothing is checked out."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hcompress.errors import EnvironmentFailed, InputRefused, UsageError
from hcompress.strict.files import quoted, shown

SECONDS: Final = 60
_QUIET: Final = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
_ABSENT: Final = ("does not exist in", "exists on disk, but not in")
"""What git says of a path that a commit lacks."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a commit has of a file; ``data`` None: nothing."""

    commit: str
    data: bytes | None


def file_at(ref: str, path: Path, most: int) -> Held:
    """The bytes of ``path`` at ``ref``, as they were committed.

    Raises UsageError if there is no such ref, or ``path`` lies in no repository; InputRefused if it
    is no file there, or larger than ``most`` bytes; EnvironmentFailed if git is missing or fails.
    """
    folder = path.parent
    if not ref or ref.startswith("-"):
        raise UsageError(f"--base {quoted(ref)}: not the name of a branch, tag or commit")
    found = _git(
        folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
    )
    commit = found.stdout.decode("ascii", "replace").strip()
    if found.returncode or not commit:
        why = found.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        hint = f" ({why})" if why else ": fetch it, with `git fetch origin REF` or fetch-depth: 0"
        raise UsageError(f"--base {quoted(ref)}: no such commit is here{hint}")
    name = f"{commit}:./{path.name}"
    size = _git(folder, "cat-file", "-s", name)
    if size.returncode:
        said = size.stderr.decode("utf-8", "replace")
        if any(absent in said for absent in _ABSENT):
            return Held(commit, None)
        raise EnvironmentFailed(f"{shown(path)} at {quoted(ref)}: git: {quoted(said.strip(), 200)}")
    if int(size.stdout) > most:
        raise InputRefused(
            f"{shown(path)} at {quoted(ref)}: {int(size.stdout)} bytes where at most {most} are"
            " expected"
        )
    # What `git show` says of a file, without what a user's settings make of it.
    blob = _git(folder, "cat-file", "blob", name)
    if blob.returncode:
        raise InputRefused(f"{shown(path)} at {quoted(ref)}: is no file there")
    return Held(commit, blob.stdout)


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            env={**os.environ, **_QUIET},
        )
    except FileNotFoundError:
        raise EnvironmentFailed("--base needs git, which is not here: install it") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFailed(f"--base: git: {error}") from None
