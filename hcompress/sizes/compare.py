"""Two breakdowns side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hcompress.sizes.breakdown import Breakdown
from hcompress.sizes.groups import GROUPS

TOTAL = "total"


@dataclass(frozen=True, slots=True)
class Difference:
    """One row: bytes before and after. ``percent`` is None where there was nothing before."""

    component: str
    before: int
    after: int

    @property
    def delta(self) -> int:
        """Bytes gained; negative where it shrank."""
        return self.after - self.before

    @property
    def percent(self) -> float | None:
        """Growth in percent of what was there before."""
        return 100.0 * self.delta / self.before if self.before else None

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON wants it."""
        return {
            "component": self.component,
            "before": self.before,
            "after": self.after,
            "delta": self.delta,
            "percent": self.percent,
        }


def compare(before: Breakdown, after: Breakdown) -> tuple[Difference, ...]:
    """A row a component either file has, in the order of ``GROUPS``, and "total" last."""
    rows = [
        Difference(name, before.component(name).bytes, after.component(name).bytes)
        for name in GROUPS
    ]
    kept = [row for row in rows if row.before or row.after]
    return (*kept, Difference(TOTAL, before.bytes, after.bytes))
