"""What is held against one number, as it is found: checks, and what people are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from hcompress.gate.limits import Bounds
from hcompress.gate.verdict import Check, Number, Status


@dataclass(slots=True)
class Findings:
    """Grows while one number is judged."""

    checks: list[Check] = field(default_factory=list)
    fails: list[str] = field(default_factory=list)
    warns: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def passed(self, rule: str, limit: Number, headroom: Number | None) -> None:
        """A limit that is held."""
        self.checks.append(Check(rule, limit, headroom))

    def broken(self, rule: str, limit: Number, headroom: Number | None, said: str) -> None:
        """A limit that is not, with what is said of it; those on `warn_…` keys warn."""
        warns = rule.startswith("warn_")
        status = Status.WARN if warns else Status.FAIL
        self.checks.append(Check(rule, limit, headroom, status))
        (self.warns if warns else self.fails).append(said)

    def status(self, is_new: bool) -> Status:
        if self.fails:
            return Status.FAIL
        if self.warns:
            return Status.WARN
        return Status.NEW if is_new else Status.PASS

    @property
    def note(self) -> str:
        return "; ".join([*self.fails, *self.warns, *self.remarks])


def check_bytes(size: int, base: int | None, bounds: Bounds, findings: Findings) -> None:
    """Hold ``size`` against its bounds, and against ``base`` if there is one."""
    _check_most(size, bounds, findings)
    if bounds.min_bytes is not None:
        short = bounds.min_bytes - size
        if short > 0:
            said = (
                f"{short:,} bytes under min_bytes = {bounds.min_bytes:,}: has something been lost?"
            )
            findings.broken("min_bytes", bounds.min_bytes, -short, said)
        else:
            findings.passed("min_bytes", bounds.min_bytes, -short)
    if base is not None:
        _check_growth(size, base, bounds, findings)


def _check_most(size: int, bounds: Bounds, findings: Findings) -> None:
    most, warn = bounds.max_bytes, bounds.warn_bytes
    if most is not None and size > most:
        said = f"{size - most:,} bytes over max_bytes = {most:,}"
        findings.broken("max_bytes", most, most - size, said)
        return
    if most is not None:
        findings.passed("max_bytes", most, most - size)
    if warn is not None and size > warn:
        findings.broken("warn_bytes", warn, warn - size, f"over warn_bytes = {warn:,}")
    elif warn is not None:
        findings.passed("warn_bytes", warn, warn - size)


def _check_growth(size: int, base: int, bounds: Bounds, findings: Findings) -> None:
    delta = size - base
    grew = ""
    if delta < 0:
        findings.remarks.append(f"shrank by {-delta:,} bytes")
    elif delta > 0:
        percent = f"{100 * delta / base:.2f}%" if base else "from nothing"
        grew = f"grew by {delta:,} bytes ({percent})"
    told = False
    for rule in ("max_growth_percent", "warn_growth_percent"):
        limit: Decimal | None = getattr(bounds, rule)
        if limit is None:
            continue
        room = max(int(base * limit / 100), bounds.growth_floor_bytes) - delta
        if room >= 0:
            findings.passed(rule, limit, room)
        elif not told:
            told = True
            findings.broken(rule, limit, room, f"{grew}, {rule} = {limit}")
    if grew and not told:
        findings.remarks.append(grew)
