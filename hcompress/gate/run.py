"""The gate's edge: reads the files, asks `gate.judge`, and writes the baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hcompress.errors import EnvironmentFailed, InputRefused, UsageError
from hcompress.gate.baseline import EVERYTHING_COUNTS, SCHEMA_VERSION, Baseline, parse_baseline
from hcompress.gate.git import file_at
from hcompress.gate.judge import Measured, MeasuredBudget, judge
from hcompress.gate.limits import Limits, read_limits
from hcompress.gate.measure import measure_all
from hcompress.gate.verdict import Verdict
from hcompress.strict.atomic import write_text
from hcompress.strict.files import read_small, shown

MAX_BASELINE_BYTES = 16 << 20
MAX_REASON = 500


def run_gate(
    limits_path: Path,
    baseline_path: Path | None = None,
    root: Path | None = None,
    base: str | None = None,
) -> Verdict:
    """Judge the artifacts a limits file names.

    ``baseline_path``: given, else the limits file's ``baseline``; it may be absent only where
    no limit compares with it. ``root``: what paths in the limits are relative to; the limits
    file's folder unless given. ``base``: a git ref, of which the baseline is read in place of the
    file. Raises UsageError (limits, missing baseline) and InputRefused (damaged baseline); damaged
    artifacts and evaluations are rows that fail.
    """
    limits = read_limits(limits_path)
    place = baseline_file(limits, limits_path, baseline_path)
    baseline, ref = _baseline(place, base, limits_path)
    if baseline is None and (limits.relative or baseline_path is not None or base is not None):
        named = shown(place) if place is not None else shown(limits_path)
        then = f" at {shown(base)}" if base is not None else ""
        raise UsageError(
            f"{named}: no baseline to compare growth with{then}: "
            f'make one with `hcompress gate {shown(limits_path)} --update --reason "…"`'
        )
    found = measure_all(limits, _root(limits_path, root))
    return judge(found.limits, baseline, found.artifacts, found.budgets, ref)


def _baseline(
    place: Path | None, base: str | None, limits_path: Path
) -> tuple[Baseline | None, str | None]:
    """The baseline, and the commit that it is of if ``base`` asks for one."""
    if base is None:
        there = place is not None and place.exists()
        return (read_baseline(place) if there and place else None), None
    if place is None:
        raise UsageError(f"{shown(limits_path)}: names no baseline to be read at {shown(base)}")
    held = file_at(base, place, MAX_BASELINE_BYTES)
    if held.data is None:
        return None, held.commit
    return parse_baseline(held.data, f"{shown(place)} at {shown(base)}"), held.commit


def update_gate(
    limits_path: Path,
    baseline_path: Path | None,
    reason: str,
    date: str,
    root: Path | None = None,
) -> Path:
    """Write what is measured now as the new baseline; returns its path.

    ``date``: ISO 8601, kept in the history with ``reason``. Raises UsageError where the reason
    is empty or no baseline is named, InputRefused where something cannot be measured.
    """
    limits = read_limits(limits_path)
    place = baseline_file(limits, limits_path, baseline_path)
    if place is None:
        raise UsageError(
            f'{shown(limits_path)}: names no baseline: add baseline = "FILE" or --baseline'
        )
    old = read_baseline(place) if place.exists() else Baseline({})
    found = measure_all(limits, _root(limits_path, root))
    text = update(old, found.artifacts, reason, date, found.budgets)
    try:
        write_text(place, text)
    except OSError as error:
        raise EnvironmentFailed(f"{shown(place)}: cannot be written: {error.strerror}") from None
    return place


def update(
    old: Baseline,
    measured: Mapping[str, Measured],
    reason: str,
    date: str,
    budgets: Mapping[str, MeasuredBudget] | None = None,
) -> str:
    """The new baseline's text: what was measured, and one more line of history. Pure."""
    budgets = budgets or {}
    reason = " ".join(reason.split())
    if not reason or len(reason) > MAX_REASON:
        raise UsageError(f"--reason: say in 1 to {MAX_REASON} characters why the baseline changes")
    artifacts: dict[str, Any] = {}
    for path, found in measured.items():
        problem = found.problem or found.evaluation_problem
        if problem:
            raise InputRefused(f"{path}: {problem}: no baseline can be made of it")
        artifacts[path] = _entry(found)
    for name, budget in budgets.items():
        if budget.problem:
            raise InputRefused(f"{name}: {budget.problem}: no baseline can be made of it")
    before = {path: entry.bytes for path, entry in old.artifacts.items()}
    after = {path: entry["bytes"] for path, entry in artifacts.items()}
    line: dict[str, Any] = {"date": date, "reason": reason, "changes": _changes(before, after)}
    then = {name: entry.bytes for name, entry in old.budgets.items()}
    now = {name: budget.bytes for name, budget in budgets.items()}
    if then or now:
        line["budgets"] = _changes(then, now)
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "artifacts": artifacts,
        "history": [*old.history, line],
    }
    if budgets:
        content["budgets"] = {
            name: {"bytes": budget.bytes, "files": dict(budget.files)}
            for name, budget in budgets.items()
        }
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def baseline_file(limits: Limits, limits_path: Path, given: Path | None) -> Path | None:
    """Where the baseline is: as given, else as the limits say, beside them."""
    if given is not None:
        return given
    return limits_path.parent / limits.baseline if limits.baseline is not None else None


def read_baseline(path: Path) -> Baseline:
    """Raises UsageError (absent) and InputRefused (not one we wrote)."""
    return parse_baseline(read_small(path, MAX_BASELINE_BYTES), shown(path))


def _root(limits_path: Path, root: Path | None) -> Path:
    return limits_path.parent if root is None else root


def _entry(found: Measured) -> dict[str, Any]:
    entry: dict[str, Any] = {"bytes": found.bytes, "components": dict(found.components)}
    if found.digest is not None:
        entry["digest"] = found.digest
    if found.evaluation is not None:
        entry["accuracy"] = float(found.evaluation.accuracy)
        entry["images"] = found.evaluation.images
        if found.evaluation.data_digest is not None:
            entry["data_digest"] = found.evaluation.data_digest
        if found.evaluation.ignored != EVERYTHING_COUNTS:
            entry["ignored"] = asdict(found.evaluation.ignored)
    return entry


def _changes(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, Any]:
    return {
        name: {"before": before.get(name), "after": after.get(name)}
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    }
