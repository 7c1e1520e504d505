"""The gate's edge: reads the files, asks `gate.judge`, and writes what there is to write."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hcompress.artifacts.beside import lists_digest
from hcompress.artifacts.source import open_model
from hcompress.errors import EnvironmentFailed, HcompressError, InputRefused, UsageError
from hcompress.foreign.parts import parts_of
from hcompress.gate.baseline import (
    EVERYTHING_COUNTS,
    SCHEMA_VERSION,
    Baseline,
    Images,
    NotCounted,
    Share,
    parse_baseline,
)
from hcompress.gate.find import find, is_pattern
from hcompress.gate.judge import Evaluation, Measured, judge
from hcompress.gate.limits import AccuracyLimits, Limits, read_limits
from hcompress.gate.verdict import Verdict
from hcompress.metrics import READING, contradiction
from hcompress.sizes import breakdown
from hcompress.strict.atomic import write_text
from hcompress.strict.files import read_small, shown
from hcompress.strict.json import read_json
from hcompress.strict.read import read

MAX_BASELINE_BYTES = 16 << 20
MAX_REASON = 500


def run_gate(
    limits_path: Path, baseline_path: Path | None = None, root: Path | None = None
) -> Verdict:
    """Judge the artifacts a limits file names.

    ``baseline_path``: given, else the limits file's ``baseline``; it may be absent only where
    no limit compares with it. ``root``: what paths in the limits are relative to; the limits
    file's folder unless given. Raises UsageError (limits, missing baseline) and InputRefused
    (damaged baseline); damaged artifacts and evaluations are rows that fail.
    """
    limits = read_limits(limits_path)
    place = baseline_file(limits, limits_path, baseline_path)
    baseline = read_baseline(place) if place is not None and place.exists() else None
    if baseline is None and (limits.relative or baseline_path is not None):
        named = shown(place) if place is not None else shown(limits_path)
        raise UsageError(
            f"{named}: no baseline to compare growth with: "
            f'make one with `hcompress gate {shown(limits_path)} --update --reason "…"`'
        )
    return judge(limits, baseline, measure(limits, _root(limits_path, root)))


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
    text = update(old, measure(limits, _root(limits_path, root)), reason, date)
    try:
        write_text(place, text)
    except OSError as error:
        raise EnvironmentFailed(f"{shown(place)}: cannot be written: {error.strerror}") from None
    return place


def update(old: Baseline, measured: Mapping[str, Measured], reason: str, date: str) -> str:
    """The new baseline's text: what was measured, and one more line of history. Pure."""
    reason = " ".join(reason.split())
    if not reason or len(reason) > MAX_REASON:
        raise UsageError(f"--reason: say in 1 to {MAX_REASON} characters why the baseline changes")
    artifacts: dict[str, Any] = {}
    for path, found in measured.items():
        problem = found.problem or found.evaluation_problem
        if problem:
            raise InputRefused(f"{path}: {problem}: no baseline can be made of it")
        artifacts[path] = _entry(found)
    changes = {
        path: {"before": before, "after": after}
        for path in sorted({*old.artifacts, *artifacts})
        if (before := _bytes_before(old, path)) != (after := artifacts.get(path, {}).get("bytes"))
    }
    line = {"date": date, "reason": reason, "changes": changes}
    content = {
        "schema_version": SCHEMA_VERSION,
        "artifacts": artifacts,
        "history": [*old.history, line],
    }
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def measure(limits: Limits, root: Path) -> dict[str, Measured]:
    """Every artifact of the limits as it lies on disk; what cannot be read says why."""
    return {item.key: _measure(root, item.path, item.accuracy) for item in limits.artifacts}


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


def _measure(root: Path, path: str, accuracy: AccuracyLimits | None) -> Measured:
    size, components, digest, lists, problem = 0, {}, None, None, None
    name: str | None = None
    try:
        place = find(root, path)
        name = place.name if is_pattern(path) else None
        file = open_model(place)
        found = breakdown(file, parts_of(file).groups)
        size, components = found.bytes, {row.name: row.bytes for row in found.components}
        if accuracy is not None:
            digest, lists = file.digest, lists_digest(file)
    except HcompressError as error:
        problem = str(error)
    evaluation, evaluation_problem = None, None
    if accuracy is not None:
        try:
            evaluation = read_evaluation(find(root, accuracy.evaluation), digest, lists)
        except HcompressError as error:
            evaluation_problem = str(error)
    return Measured(size, components, problem, evaluation, evaluation_problem, name)


@dataclass(frozen=True)
class _EvaluationFile:
    """What the gate asks of an evaluation."""

    accuracy: Share
    images: Images
    data_digest: str | None = None
    model_digest: str | None = None
    reading: int | None = None
    lists_digest: str | None = None
    ignored: NotCounted = EVERYTHING_COUNTS
    accuracy_low: Share | None = None
    accuracy_high: Share | None = None
    ned: Share | None = None
    wrong: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        said = [None if v is None else float(v) for v in (self.accuracy_low, self.accuracy_high)]
        ned = None if self.ned is None else float(self.ned)
        listed = None if self.wrong is None else len(self.wrong)
        fault = contradiction(self.images, float(self.accuracy), (said[0], said[1]), ned, listed)
        if fault is not None:
            raise InputRefused(f"{fault}: evaluate it again")


def read_evaluation(path: Path, model_digest: str | None, lists: str | None = None) -> Evaluation:
    """The figures of an `hcompress eval --json` file.

    Raises UsageError, and InputRefused where it is damaged or of another model, as one is that lay
    there already when the model was made again. ``model_digest`` None: there is no model.
    ``lists``: the digest of the lists beside it, by which it may name its classes.
    """
    found = read(_EvaluationFile, read_json(path), shown(path), only_known=False)
    if model_digest is None or found.model_digest != model_digest:
        raise InputRefused(f"{shown(path)}: is not of this model, by its model_digest: evaluate it")
    if found.lists_digest != lists:
        raise InputRefused(
            f"{shown(path)}: the lists beside the model, which may name its classes, were others"
            " then: evaluate it"
        )
    if found.reading not in (None, READING):
        raise InputRefused(
            f"{shown(path)}: lines were read in another way then ({found.reading}, today"
            f" {READING}): evaluate it again"
        )
    return Evaluation(found.accuracy, found.images, found.data_digest, found.ignored)


def _entry(found: Measured) -> dict[str, Any]:
    entry: dict[str, Any] = {"bytes": found.bytes, "components": dict(found.components)}
    if found.evaluation is not None:
        entry["accuracy"] = float(found.evaluation.accuracy)
        entry["images"] = found.evaluation.images
        if found.evaluation.data_digest is not None:
            entry["data_digest"] = found.evaluation.data_digest
        if found.evaluation.ignored != EVERYTHING_COUNTS:
            entry["ignored"] = asdict(found.evaluation.ignored)
    return entry


def _bytes_before(old: Baseline, path: str) -> int | None:
    entry = old.artifacts.get(path)
    return entry.bytes if entry else None


def append_summary(text: Callable[[], str], environment: Mapping[str, str] = os.environ) -> None:
    """Append Markdown to the file $GITHUB_STEP_SUMMARY names; where it is unset none is made."""
    target = environment.get("GITHUB_STEP_SUMMARY")
    if not target:
        return
    try:
        # O_NONBLOCK: a pipe that nobody reads must not hang a build.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        with os.fdopen(os.open(target, flags, 0o666), "w", encoding="utf-8") as stream:
            stream.write(text())
    except OSError as error:
        raise EnvironmentFailed(
            f"{shown(target)}: GITHUB_STEP_SUMMARY cannot be written: {error.strerror}"
        ) from None
