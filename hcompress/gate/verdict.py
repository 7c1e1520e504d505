"""What the gate says: a row for each number that was judged, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

TOTAL = "total"
ACCURACY = "accuracy"
BUDGET = "budget"


class Status(StrEnum):
    """How one row came out."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    NEW = "new"
    REMOVED = "removed"


SEVERITY: Final = (Status.FAIL, Status.WARN, Status.NEW, Status.REMOVED, Status.PASS)
"""The worst first: the order in which people are told."""
Number = int | Decimal


@dataclass(frozen=True, slots=True)
class Check:
    """One limit held against a number."""

    rule: str
    """The limit's key in the limits file."""
    limit: Number
    headroom: Number | None = None
    """What is left up to the limit, in bytes, images, a share or points, as the rule has it;
    negative if it is broken, None if it can't be told."""
    status: Status = Status.PASS

    def to_dict(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "limit": _number(self.limit),
            "headroom": _number(self.headroom),
            "status": str(self.status),
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One judged number. ``subject``: "total", a component, "accuracy" or "budget"."""

    artifact: str
    subject: str
    status: Status
    value: Number | None
    baseline: Number | None
    note: str
    checks: tuple[Check, ...] = ()
    """Every limit that was held against it, in the order of the keys."""
    digest: str | None = None
    """SHA-256 of what was measured."""
    interval: tuple[float, float] | None = None
    """An accuracy's, 95%, 0 to 1."""

    @property
    def delta(self) -> Number | None:
        """Against the baseline; None if one of the two is not known."""
        if self.value is None or self.baseline is None:
            return None
        return self.value - self.baseline

    @property
    def decisive(self) -> Check | None:
        """The limit that made the row what it is; of those that all passed the first."""
        return min(self.checks, key=_severity, default=None)

    @property
    def unchanged(self) -> bool:
        """Whether nobody has to look at it: it passes, with nothing said of it, and is what it was
        or has nothing to be compared with."""
        return self.status is Status.PASS and not self.delta and not self.note

    def to_dict(self, ref: str | None = None) -> dict[str, Any]:
        """The row as JSON wants it. ``ref``: the commit that the baseline is of."""
        decisive = self.decisive
        interval = {"interval": list(self.interval)} if self.interval else {}
        return {
            "artifact": self.artifact,
            "subject": self.subject,
            "status": str(self.status),
            "value": _number(self.value),
            "baseline": _number(self.baseline),
            "delta": _number(self.delta),
            "rule": decisive.rule if decisive else None,
            "limit": _number(decisive.limit) if decisive else None,
            "headroom": _number(decisive.headroom) if decisive else None,
            "checks": [check.to_dict() for check in self.checks],
            "digest": self.digest,
            "ref": ref,
            "note": self.note,
            **interval,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every row, in the order of the limits file. ``ref``: the commit that the baseline is of."""

    rows: tuple[Row, ...]
    ref: str | None = None

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
        counts = ", ".join(f"{self.count(s)} {s}" for s in SEVERITY if self.count(s))
        return f"gate {'failed' if self.failed else 'passed'}: {counts}"

    @property
    def by_severity(self) -> list[Row]:
        """The rows with the failures first; those of one status in the order of the limits."""
        return sorted(self.rows, key=lambda row: SEVERITY.index(row.status))

    def to_dict(self) -> dict[str, Any]:
        """``{"failed", "ref", "counts": {status: n}, "rows": [...]}``, as JSON wants it."""
        return {
            "failed": self.failed,
            "ref": self.ref,
            "counts": {str(status): self.count(status) for status in Status},
            "rows": [row.to_dict(self.ref) for row in self.rows],
        }


def _severity(check: Check) -> int:
    return SEVERITY.index(check.status)


def _number(value: Number | None) -> int | float | None:
    return float(value) if isinstance(value, Decimal) else value
