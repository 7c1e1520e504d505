"""What the gate says: a row for each number that was judged, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

TOTAL = "total"
ACCURACY = "accuracy"


class Status(StrEnum):
    """How one row came out."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    NEW = "new"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Row:
    """One judged number. ``subject``: "total", a component or "accuracy"."""

    artifact: str
    subject: str
    status: Status
    value: int | Decimal | None
    baseline: int | Decimal | None
    note: str

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON wants it."""
        return {
            "artifact": self.artifact,
            "subject": self.subject,
            "status": str(self.status),
            "value": _number(self.value),
            "baseline": _number(self.baseline),
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every row, in the order of the limits file."""

    rows: tuple[Row, ...]

    @property
    def failed(self) -> bool:
        """Whether the build must fail."""
        return any(row.status is Status.FAIL for row in self.rows)

    def count(self, status: Status) -> int:
        """How many rows came out so."""
        return sum(row.status is status for row in self.rows)

    @property
    def summary(self) -> str:
        """One line: "gate failed: 1 fail, 12 pass"."""
        counts = ", ".join(f"{self.count(s)} {s}" for s in _SEVERITY if self.count(s))
        return f"gate {'failed' if self.failed else 'passed'}: {counts}"

    def to_dict(self) -> dict[str, Any]:
        """``{"failed", "counts": {status: n}, "rows": [...]}``, as JSON wants it."""
        return {
            "failed": self.failed,
            "counts": {str(status): self.count(status) for status in Status},
            "rows": [row.to_dict() for row in self.rows],
        }


_SEVERITY = (Status.FAIL, Status.WARN, Status.NEW, Status.REMOVED, Status.PASS)


def _number(value: int | Decimal | None) -> int | float | None:
    return float(value) if isinstance(value, Decimal) else value
