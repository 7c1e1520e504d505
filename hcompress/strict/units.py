"""Numbers of bytes as people write them: "3.9 MiB", "512 KB", "100_000"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

UNITS: Final[Mapping[str, int]] = {
    "B": 1,
    "bytes": 1,
    **{f"{letter}iB": 1 << (10 * power) for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
    "kB": 1000,
}
"""As the standards have them: KiB is 1,024 bytes and KB 1,000."""
_WRITTEN: Final = re.compile(r"([0-9][0-9_]{0,30}(?:\.[0-9]{1,30})?) *([A-Za-z]+)?")
HELP: Final = 'a whole number of bytes, or a text with a unit, such as "3.9 MiB" or "512 KB"'


def bytes_at_most(text: str) -> int | None:
    """The bytes that ``text`` says, a fraction of one left out; None if it says none."""
    found = _exactly(text)
    return None if found is None else int(found.to_integral_value(ROUND_FLOOR))


def bytes_at_least(text: str) -> int | None:
    """As `bytes_at_most`, with a fraction of a byte as a whole one."""
    found = _exactly(text)
    return None if found is None else int(found.to_integral_value(ROUND_CEILING))


def _exactly(text: str) -> Decimal | None:
    found = _WRITTEN.fullmatch(text.strip())
    unit = UNITS.get(found[2] or "B") if found else None
    if found is None or unit is None:
        return None
    return Decimal(found[1].replace("_", "")) * unit
