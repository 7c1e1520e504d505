"""Limits and a baseline against what was measured: rows with a status, and a verdict.

Pure but for the thin edge at the end. It fails closed: what is missing, damaged or cannot be
compared fails; only something the baseline has not seen yet is "new" and passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from hcompress.gate.baseline import EVERYTHING_COUNTS, Baseline, BaselineEntry, NotCounted
from hcompress.gate.limits import AccuracyLimits, ArtifactLimits, Bounds, Limits
from hcompress.gate.verdict import ACCURACY, TOTAL, Row, Status, Verdict
from hcompress.sizes.groups import GROUPS
from hcompress.strict.files import quoted


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the gate reads of an `hcompress eval --json` result. ``accuracy``: 0 to 1."""

    accuracy: Decimal
    images: int
    data_digest: str | None
    ignored: NotCounted = EVERYTHING_COUNTS


@dataclass(frozen=True, slots=True)
class Measured:
    """One artifact as found: its bytes by component, or the problem that kept them away."""

    bytes: int = 0
    components: Mapping[str, int] = field(default_factory=dict)
    problem: str | None = None
    evaluation: Evaluation | None = None
    evaluation_problem: str | None = None
    name: str | None = None
    """The file's, if the limits have a pattern for it."""


@dataclass(slots=True)
class _Findings:
    """What is held against one number."""

    fails: list[str] = field(default_factory=list)
    warns: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def status(self, is_new: bool) -> Status:
        if self.fails:
            return Status.FAIL
        if self.warns:
            return Status.WARN
        return Status.NEW if is_new else Status.PASS

    @property
    def note(self) -> str:
        return "; ".join([*self.fails, *self.warns, *self.remarks])


def judge(limits: Limits, baseline: Baseline | None, measured: Mapping[str, Measured]) -> Verdict:
    """Judge every artifact of the limits. ``measured`` is keyed as they are.

    ``baseline`` None: there is none, and no limit may need one (`run_gate` sees to that).
    """
    rows: list[Row] = []
    wanted = {artifact.key for artifact in limits.artifacts}
    entries = baseline.artifacts if baseline else {}
    gone = [path for path in entries if path not in wanted]
    for artifact in limits.artifacts:
        entry = entries.get(artifact.key)
        found = measured.get(artifact.key, Measured(problem="was not measured"))
        is_new = baseline is not None and entry is None
        if baseline is not None and is_new and found.problem is None:
            found = replace(found, problem=_unseen(artifact, baseline, gone))
        rows += _named(_judge_sizes(artifact, entry, found, is_new), found.name)
        if artifact.accuracy is not None:
            rows.append(_judge_accuracy(artifact.path, artifact.accuracy, entry, found, is_new))
    for path in gone:
        note = "in the baseline, no longer in the limits"
        rows.append(Row(path, TOTAL, Status.REMOVED, None, entries[path].bytes, note))
    return Verdict(tuple(rows))


def _named(rows: list[Row], name: str | None) -> list[Row]:
    """With the name of the file that fitted a pattern in the first row's note."""
    if name is None:
        return rows
    first, *rest = rows
    return [
        replace(first, note="; ".join(filter(None, (first.note, f"it is {quoted(name)}")))),
        *rest,
    ]


def _unseen(artifact: ArtifactLimits, baseline: Baseline, gone: Sequence[str]) -> str | None:
    """Why an artifact without an entry can't be new; None if it can.

    A new name must not get a model, or what it has lost, past a limit that compares.
    """
    if not artifact.compares:
        return None
    if artifact.key in baseline.recorded:
        return "its entry is gone from the baseline, whose history has it: update the baseline"
    if gone:
        return (
            f"not in the baseline, and {quoted(gone[0])}, which is, no longer in the limits: if it"
            " was renamed, rename it there too, or update the baseline"
        )
    return None


def _judge_sizes(
    limits: ArtifactLimits, entry: BaselineEntry | None, found: Measured, is_new: bool
) -> list[Row]:
    if found.problem is not None:
        base = entry.bytes if entry else None
        return [Row(limits.path, TOTAL, Status.FAIL, None, base, found.problem)]
    known = {TOTAL: entry.bytes, **entry.components} if entry else {}
    sizes = {TOTAL: found.bytes, **{k: v for k, v in found.components.items() if v}}
    bounds = {TOTAL: limits.bounds, **limits.components}
    names = [name for name in (TOTAL, *GROUPS) if name in {*known, *sizes, *bounds}]
    return [
        _judge_bytes(
            (limits.path, name), sizes.get(name), known.get(name), bounds.get(name), entry, is_new
        )
        for name in names
    ]


def _judge_bytes(
    place: tuple[str, str],
    size: int | None,
    base: int | None,
    bounds: Bounds | None,
    entry: BaselineEntry | None,
    is_new: bool,
) -> Row:
    if size is None and bounds is not None and bounds.max_bytes == 0:
        size, base = 0, base or 0  # asked to have none, and has none
    if size is None:
        if bounds is not None:
            return Row(*place, Status.FAIL, None, base, "component is missing")
        return Row(*place, Status.REMOVED, None, base, "in the baseline, no longer in the file")
    if base is None and entry is not None and bounds is not None and bounds.relative:
        base = 0  # the file in the baseline had none: a baseline lists no empty rows
    findings = _Findings()
    if bounds is not None:
        _check_absolute(size, bounds, findings)
    if base is not None:
        _check_growth(size, base, bounds or Bounds(), findings)
    unseen = is_new or (entry is not None and base is None)
    if unseen:
        findings.remarks.append("not in the baseline yet")
    return Row(*place, findings.status(unseen), size, base, findings.note)


def _check_absolute(size: int, bounds: Bounds, findings: _Findings) -> None:
    if bounds.max_bytes is not None and size > bounds.max_bytes:
        over = size - bounds.max_bytes
        findings.fails.append(f"{over:,} bytes over max_bytes = {bounds.max_bytes:,}")
    elif bounds.warn_bytes is not None and size > bounds.warn_bytes:
        findings.warns.append(f"over warn_bytes = {bounds.warn_bytes:,}")
    if bounds.min_bytes is not None and size < bounds.min_bytes:
        short = bounds.min_bytes - size
        findings.fails.append(
            f"{short:,} bytes under min_bytes = {bounds.min_bytes:,}: has something been lost?"
        )


def _check_growth(size: int, base: int, bounds: Bounds, findings: _Findings) -> None:
    delta = size - base
    if delta < 0:
        findings.remarks.append(f"shrank by {-delta:,} bytes")
        return
    if delta == 0:
        return
    percent = f"{100 * delta / base:.2f}%" if base else "from nothing"
    grew = f"grew by {delta:,} bytes ({percent})"
    counted = delta > bounds.growth_floor_bytes
    if counted and _exceeds(delta, base, bounds.max_growth_percent):
        findings.fails.append(f"{grew}, max_growth_percent = {bounds.max_growth_percent}")
    elif counted and _exceeds(delta, base, bounds.warn_growth_percent):
        findings.warns.append(f"{grew}, warn_growth_percent = {bounds.warn_growth_percent}")
    else:
        findings.remarks.append(grew)


def _exceeds(delta: int, base: int, percent: Decimal | None) -> bool:
    return percent is not None and Decimal(delta) * 100 > base * percent


def _judge_accuracy(
    path: str,
    limits: AccuracyLimits,
    entry: BaselineEntry | None,
    found: Measured,
    is_new: bool,
) -> Row:
    base = entry.accuracy if entry else None
    result = found.evaluation
    if result is None:
        problem = found.evaluation_problem or "was not evaluated"
        return Row(path, ACCURACY, Status.FAIL, None, base, problem)
    findings = _Findings()
    if limits.min_images is not None and result.images < limits.min_images:
        findings.fails.append(f"{result.images} images, min_images = {limits.min_images}")
    if limits.min_accuracy is not None and result.accuracy < limits.min_accuracy:
        findings.fails.append(f"under min_accuracy = {limits.min_accuracy}")
    elif limits.warn_accuracy is not None and result.accuracy < limits.warn_accuracy:
        findings.warns.append(f"under warn_accuracy = {limits.warn_accuracy}")
    if entry is not None and limits.relative:
        _check_drop(result, entry, limits, findings)
    if result.ignored != EVERYTHING_COUNTS:
        findings.remarks.append(f"not counted: {result.ignored}")
    unseen = is_new or (entry is not None and base is None)
    if unseen:
        findings.remarks.append("not in the baseline yet")
    return Row(path, ACCURACY, findings.status(unseen), result.accuracy, base, findings.note)


def _check_drop(
    result: Evaluation, entry: BaselineEntry, limits: AccuracyLimits, findings: _Findings
) -> None:
    """Two accuracies compare only over the same images, and by the same rules."""
    if entry.accuracy is None:
        findings.fails.append("the baseline has no accuracy of it: update the baseline")
        return
    if not (result.data_digest and entry.data_digest):
        whose = "the baseline" if result.data_digest else "the evaluation"
        findings.fails.append(
            f"{whose} does not say on which data, by a data_digest: evaluate it again, or update"
            " the baseline"
        )
        return
    if (result.data_digest, result.images) != (entry.data_digest, entry.images):
        findings.fails.append(
            f"evaluated on other data than the baseline ({result.images} images, then "
            f"{entry.images}): evaluate on the same, or update the baseline"
        )
        return
    if result.ignored != entry.ignored:
        findings.fails.append(
            f"evaluated with other things ignored than the baseline ({result.ignored}, then"
            f" {entry.ignored}): evaluate alike, or update the baseline"
        )
        return
    points = (entry.accuracy - result.accuracy) * 100
    # A fraction printed in 17 digits is off by less than this; no evaluation is finer.
    points = points.quantize(Decimal("1e-9"))
    lost = f"lost {points.normalize():f} points"
    if limits.max_accuracy_drop is not None and points > limits.max_accuracy_drop:
        findings.fails.append(f"{lost}, max_accuracy_drop = {limits.max_accuracy_drop}")
    elif limits.warn_accuracy_drop is not None and points > limits.warn_accuracy_drop:
        findings.warns.append(f"{lost}, warn_accuracy_drop = {limits.warn_accuracy_drop}")
    elif points > 0:
        findings.remarks.append(lost)
