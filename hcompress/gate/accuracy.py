"""Limits on accuracy, held against an evaluation and the interval that its lines leave open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from hcompress.gate.baseline import EVERYTHING_COUNTS, BaselineEntry, NotCounted
from hcompress.gate.findings import Findings
from hcompress.gate.limits import AccuracyLimits, WideInterval
from hcompress.gate.verdict import ACCURACY, Check, Row, Status
from hcompress.metrics import Z, wilson


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the gate reads of an `hcompress eval --json` result. ``accuracy``: 0 to 1."""

    accuracy: Decimal
    images: int
    data_digest: str | None
    ignored: NotCounted = EVERYTHING_COUNTS

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's, 95%."""
        return wilson(round(self.accuracy * self.images), self.images)


def judge_accuracy(
    path: str,
    limits: AccuracyLimits,
    entry: BaselineEntry | None,
    result: Evaluation | None,
    problem: str | None,
    is_new: bool,
) -> Row:
    """The row of an artifact's accuracy. ``result`` None: ``problem`` says why there is none."""
    base = entry.accuracy if entry else None
    if result is None:
        return Row(path, ACCURACY, Status.FAIL, None, base, problem or "was not evaluated")
    findings = Findings()
    _check_images(result, limits, findings)
    _check_least(result, limits, findings)
    if entry is not None and limits.relative:
        _check_drop(result, entry, limits, findings)
    if result.ignored != EVERYTHING_COUNTS:
        findings.remarks.append(f"not counted: {result.ignored}")
    unseen = is_new or (entry is not None and base is None)
    if unseen:
        findings.remarks.append("not in the baseline yet")
    status, checks = findings.status(unseen), tuple(findings.checks)
    return Row(
        path, ACCURACY, status, result.accuracy, base, findings.note, checks,
        interval=result.interval,
    )  # fmt: skip


def _check_images(result: Evaluation, limits: AccuracyLimits, findings: Findings) -> None:
    least = limits.min_images
    if least is None:
        return
    room = result.images - least
    if room < 0:
        said = f"{result.images} images, min_images = {least}"
        findings.broken("min_images", least, room, said)
    else:
        findings.passed("min_images", least, room)


def _check_least(result: Evaluation, limits: AccuracyLimits, findings: Findings) -> None:
    """The accuracy itself, and the lower end of its interval."""
    told = False
    for rule in ("min_accuracy", "warn_accuracy"):
        least: Decimal | None = getattr(limits, rule)
        if least is None:
            continue
        room = result.accuracy - least
        if room >= 0:
            findings.passed(rule, least, room)
        elif not told:
            told = True
            findings.broken(rule, least, room, f"under {rule} = {least}")
    if limits.min_accuracy is not None:
        _check_telling(result.images, limits.min_accuracy, limits, findings)
    least = limits.min_accuracy_low
    if least is not None:
        low = Decimal(repr(result.interval[0]))
        if low < least:
            said = f"the interval's lower end, {low:.4f}, is under min_accuracy_low = {least}"
            findings.broken("min_accuracy_low", least, low - least, said)
        else:
            findings.passed("min_accuracy_low", least, low - least)


def _check_telling(images: int, least: Decimal, limits: AccuracyLimits, findings: Findings) -> None:
    """So few lines that even all of them read right leave an accuracy below ``least`` open.

    A ``least`` of 1 is about these very lines, and needs no interval.
    """
    if least == 1 or wilson(images, images)[0] >= least:
        return
    needed = math.ceil(Z * Z * float(least) / (1 - float(least)))
    said = (
        f"{images} lines, even all right, don't show min_accuracy = {least}: {needed:,} are needed"
    )
    _too_wide("wide_interval", least, said, limits.wide_interval, findings)


def _too_wide(
    rule: str, limit: Decimal, said: str, becomes: WideInterval, findings: Findings
) -> None:
    if becomes is WideInterval.FAIL:
        findings.broken(rule, limit, None, f'{said}, or wide_interval = "warn"')
    elif becomes is WideInterval.WARN:
        findings.checks.append(Check(rule, limit, None, Status.WARN))
        findings.warns.append(said)
    else:
        findings.remarks.append(said)


def _incomparable(result: Evaluation, entry: BaselineEntry) -> str | None:
    """Why two accuracies don't compare: they do over the same images, and by the same rules."""
    if entry.accuracy is None:
        return "the baseline has no accuracy of it: update the baseline"
    if not (result.data_digest and entry.data_digest):
        whose = "the baseline" if result.data_digest else "the evaluation"
        return (
            f"{whose} does not say on which data, by a data_digest: evaluate it again, or update"
            " the baseline"
        )
    if (result.data_digest, result.images) != (entry.data_digest, entry.images):
        return (
            f"evaluated on other data than the baseline ({result.images} images, then "
            f"{entry.images}): evaluate on the same, or update the baseline"
        )
    if result.ignored != entry.ignored:
        return (
            f"evaluated with other things ignored than the baseline ({result.ignored}, then"
            f" {entry.ignored}): evaluate alike, or update the baseline"
        )
    return None


def _check_drop(
    result: Evaluation, entry: BaselineEntry, limits: AccuracyLimits, findings: Findings
) -> None:
    why = _incomparable(result, entry)
    if why is not None or entry.accuracy is None:
        findings.fails.append(why or "")
        return
    points = (entry.accuracy - result.accuracy) * 100
    # A fraction printed in 17 digits is off by less than this; no evaluation is finer.
    points = points.quantize(Decimal("1e-9"))
    lost = f"lost {points.normalize():f} points"
    told = False
    for rule in ("max_accuracy_drop", "warn_accuracy_drop"):
        most: Decimal | None = getattr(limits, rule)
        if most is None:
            continue
        if points <= most:
            findings.passed(rule, most, most - points)
        elif not told:
            told = True
            findings.broken(rule, most, most - points, f"{lost}, {rule} = {most}")
        _check_width(rule, most, result.images, limits, findings)
    if points > 0 and not told:
        findings.remarks.append(lost)


def _check_width(
    rule: str, most: Decimal, images: int, limits: AccuracyLimits, findings: Findings
) -> None:
    """So few lines that a loss of ``most`` points can't be told from none, even at best.

    At best no line is won back for one that is lost: the 95% interval of paired proportions is
    narrowest then. What is refused hangs on limits and number of lines alone, not on today's
    accuracy. A limit of 0 is about these very lines.
    """
    points = float(most)
    half = _narrowest(points, images)
    if most == 0 or half <= points:
        return
    few, many = images, images * 2
    while _narrowest(points, many) > points:
        few, many = many, many * 2
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if _narrowest(points, middle) > points else (few, middle)
    said = (
        f"{images} lines tell {half:.1f} points at best, {rule} = {most}: {many:,} lines are needed"
    )
    becomes = limits.wide_interval
    if rule.startswith("warn_") and becomes is WideInterval.FAIL:
        becomes = WideInterval.WARN
    _too_wide("wide_interval", most, said, becomes, findings)


def _narrowest(points: float, images: int) -> float:
    """Half of `metrics.paired`'s interval, in points, of so many lost and nothing won."""
    lost, count = points / 100 * images, images + 2
    return 100 * Z * math.sqrt(max(0.0, lost + 1 - lost * lost / count)) / count
