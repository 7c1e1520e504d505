"""The error tree and the exit code each branch ends the process with.

Code raises; only the command line prints, once, one line: what, where, what to do.
Anything that is not one of these is our bug and exits 70.
"""

from __future__ import annotations


class HcompressError(Exception):
    """Base of every error a user may be shown without a traceback."""

    exit_code: int = 70


class GateFailed(HcompressError):
    """A size or accuracy limit was broken."""

    exit_code = 1


class UsageError(HcompressError):
    """The command, the recipe or a path in them is wrong."""

    exit_code = 2


class InputRefused(HcompressError):
    """A file was read and is not what it must be: damaged, hostile or mismatched."""

    exit_code = 3


class EnvironmentFailed(HcompressError):
    """The machine lacks something: disk, a lock, a GPU, a library."""

    exit_code = 4


class NumericalError(HcompressError):
    """NaN, lost parity or lost accuracy."""

    exit_code = 5
