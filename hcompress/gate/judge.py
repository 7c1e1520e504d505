"""Limits and a baseline against what was measured: rows with a status, and a verdict.

Pure. It fails closed: what is missing, damaged or cannot be compared fails; only something the
baseline has not seen yet is "new" and passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hcompress.gate.accuracy import Evaluation, judge_accuracy
from hcompress.gate.baseline import Baseline, BaselineEntry, identity
from hcompress.gate.findings import Findings, check_bytes
from hcompress.gate.limits import ArtifactLimits, Bounds, BudgetLimits, Limits
from hcompress.gate.verdict import BUDGET, TOTAL, Row, Status, Verdict
from hcompress.sizes.groups import GROUPS
from hcompress.strict.files import quoted

_NAMED = 3
"""Files of a budget that grew and are named."""


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
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class MeasuredBudget:
    """The files of one budget as found, with their bytes, or the problem that kept them away."""

    files: Mapping[str, int] = field(default_factory=dict)
    problem: str | None = None
    digest: str | None = None

    @property
    def bytes(self) -> int:
        return sum(self.files.values())


@dataclass(frozen=True, slots=True)
class _Before:
    """What the baseline has of an artifact."""

    entry: BaselineEntry | None = None
    is_new: bool = False
    problem: str | None = None
    remark: str = ""
    claimed: str | None = None
    """The name of an entry that is this artifact's under another name."""


def judge(
    limits: Limits,
    baseline: Baseline | None,
    measured: Mapping[str, Measured],
    budgets: Mapping[str, MeasuredBudget] | None = None,
    ref: str | None = None,
) -> Verdict:
    """Judge every artifact and budget of the limits. ``measured`` and ``budgets`` are keyed as
    they are.

    ``baseline`` None: there is none, and no limit may need one (`run_gate` sees to that). ``ref``:
    the commit that it is of.
    """
    rows: list[Row] = []
    wanted = {artifact.key for artifact in limits.artifacts}
    entries = baseline.artifacts if baseline else {}
    missing = Measured(problem="was not measured")
    found = {one.key: measured.get(one.key, missing) for one in limits.artifacts}
    gone = _gone(limits, entries, found, wanted)
    by_digest: dict[str | None, str] = {
        e.digest: path for path, e in entries.items() if e.digest and path not in wanted
    }
    for artifact in limits.artifacts:
        before = _before(artifact, baseline, found[artifact.key], gone, by_digest)
        rows += _judge_artifact(artifact, before, found[artifact.key])
    for path in gone:
        note = "in the baseline, no longer in the limits"
        rows.append(Row(path, TOTAL, Status.REMOVED, None, entries[path].bytes, note))
    return Verdict((*rows, *_judge_budgets(limits, baseline, budgets or {})), ref)


def _gone(
    limits: Limits,
    entries: Mapping[str, BaselineEntry],
    found: Mapping[str, Measured],
    wanted: set[str],
) -> list[str]:
    """Entries that no artifact has, under its name, its former name or another with its bytes."""
    renamed = {identity(one.renamed_from) for one in limits.artifacts if one.renamed_from}
    digests = {found[key].digest for key in wanted if key not in entries} - {None}
    return [
        path for path, entry in entries.items()
        if path not in wanted and path not in renamed and entry.digest not in digests
    ]  # fmt: skip


def _before(
    artifact: ArtifactLimits,
    baseline: Baseline | None,
    found: Measured,
    gone: Sequence[str],
    by_digest: Mapping[str | None, str],
) -> _Before:
    """The entry to compare with, by name, former name or digest, or why there is none."""
    if baseline is None:
        return _Before()
    own = baseline.artifacts.get(artifact.key)
    if artifact.renamed_from is not None:
        return _renamed(artifact.renamed_from, own, baseline)
    if own is not None:
        return _Before(own)
    same = by_digest.get(found.digest) if found.digest else None
    if same is not None:
        remark = f"is {quoted(same)} of the baseline under another name, by its digest"
        return _Before(baseline.artifacts[same], remark=remark)
    return _Before(None, is_new=True, problem=_unseen(artifact, baseline, gone))


def _renamed(former: str, own: BaselineEntry | None, baseline: Baseline) -> _Before:
    entry = baseline.artifacts.get(identity(former))
    if own is not None and entry is not None:
        return _Before(own, problem=f"renamed_from = {quoted(former)}: the baseline has both")
    if own is not None:
        return _Before(own, remark="renamed_from has done its work: take it out")
    if entry is None:
        why = f"renamed_from = {quoted(former)}: is not in the baseline"
        return _Before(None, is_new=True, problem=why)
    return _Before(entry, remark=f"was {quoted(former)}")


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
            " was renamed, say renamed_from, or update the baseline"
        )
    return None


def _judge_artifact(artifact: ArtifactLimits, before: _Before, found: Measured) -> list[Row]:
    if found.problem is None and before.problem is not None:
        found = replace(found, problem=before.problem)
    rows = _judge_sizes(artifact, before.entry, found, before.is_new)
    called = "" if found.name is None else f"it is {quoted(found.name)}"
    first, *rest = rows
    note = "; ".join(filter(None, (first.note, before.remark, called)))
    rows = [replace(first, note=note), *rest]
    if artifact.accuracy is not None:
        rows.append(
            judge_accuracy(
                artifact.path,
                artifact.accuracy,
                before.entry,
                found.evaluation,
                found.evaluation_problem,
                before.is_new,
            )
        )
    return [replace(row, digest=found.digest) for row in rows]


def _judge_budgets(
    limits: Limits, baseline: Baseline | None, measured: Mapping[str, MeasuredBudget]
) -> list[Row]:
    entries = baseline.budgets if baseline else {}
    wanted = {one.name for one in limits.budgets}
    gone = [name for name in entries if name not in wanted]
    missing = MeasuredBudget(problem="was not measured")
    rows = []
    for budget in limits.budgets:
        found = measured.get(budget.name, missing)
        entry = entries.get(budget.name)
        is_new = baseline is not None and entry is None
        if baseline is not None and is_new and budget.relative and not found.problem:
            found = replace(found, problem=_unseen_budget(budget, baseline, gone))
        base = entry.bytes if entry else None
        if found.problem is not None:
            rows.append(Row(budget.name, BUDGET, Status.FAIL, None, base, found.problem))
            continue
        findings = Findings()
        check_bytes(found.bytes, base, budget.bounds, findings)
        if found.bytes != base:
            findings.remarks += _of_files(found.files, entry.files if entry else None)
        if is_new:
            findings.remarks.append("not in the baseline yet")
        rows.append(
            Row(
                budget.name, BUDGET, findings.status(is_new), found.bytes, base, findings.note,
                tuple(findings.checks), found.digest,
            )
        )  # fmt: skip
    note = "in the baseline, no longer in the limits"
    return rows + [
        Row(name, BUDGET, Status.REMOVED, None, entries[name].bytes, note) for name in gone
    ]


def _unseen_budget(budget: BudgetLimits, baseline: Baseline, gone: Sequence[str]) -> str | None:
    """As `_unseen`."""
    if budget.name in baseline.recorded_budgets:
        return "its entry is gone from the baseline, whose history has it: update the baseline"
    if gone:
        return (
            f"not in the baseline, and the budget {quoted(gone[0])}, which is, no longer in the"
            " limits: update the baseline"
        )
    return None


def _of_files(files: Mapping[str, int], before: Mapping[str, int] | None) -> list[str]:
    """How many there are, and which of them grew most."""
    count = len(files)
    said = [f"{count} file{'' if count == 1 else 's'}"]
    if before is None:
        return said
    grown = {name: size - before.get(name, 0) for name, size in files.items()}
    most = sorted((name for name, more in grown.items() if more > 0), key=lambda n: (-grown[n], n))
    return said + [f"{quoted(name)} {grown[name]:+,}" for name in most[:_NAMED]]


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
    findings = Findings()
    check_bytes(size, base, bounds or Bounds(), findings)
    unseen = is_new or (entry is not None and base is None)
    if unseen:
        findings.remarks.append("not in the baseline yet")
    status, checks = findings.status(unseen), tuple(findings.checks)
    return Row(*place, status, size, base, findings.note, checks)
