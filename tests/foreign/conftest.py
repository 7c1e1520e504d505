"""Real files of recognisers, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.foreign.real_files import real_or_skip

Real = Callable[[str], Path]


@pytest.fixture
def real() -> Real:
    """The path of a real model; the test is skipped where nobody has it."""
    return real_or_skip
