"""What the limits ask for, as it lies on disk: bytes, digests and evaluations, or why not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hcompress.artifacts.beside import lists_digest
from hcompress.artifacts.source import open_model
from hcompress.errors import HcompressError, InputRefused, UsageError
from hcompress.foreign.parts import parts_of
from hcompress.gate.accuracy import Evaluation
from hcompress.gate.baseline import EVERYTHING_COUNTS, Images, NotCounted, Share, identity
from hcompress.gate.budget import measure_budget
from hcompress.gate.find import find, find_all, is_pattern
from hcompress.gate.judge import Measured, MeasuredBudget
from hcompress.gate.limits import AccuracyLimits, ArtifactLimits, Limits
from hcompress.metrics import READING, contradiction
from hcompress.sizes import breakdown
from hcompress.strict.files import quoted, shown
from hcompress.strict.json import read_json
from hcompress.strict.read import read


@dataclass(frozen=True, slots=True)
class Target:
    """An artifact of the limits, and where it lies, or why it was not found."""

    limits: ArtifactLimits
    place: Path | None = None
    problem: str | None = None
    name: str | None = None
    """The file's, if the limits have a pattern for this one file."""


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that a limits file names, measured."""

    limits: Limits
    """With an artifact for each file that a pattern with `each` fits."""
    artifacts: dict[str, Measured]
    budgets: dict[str, MeasuredBudget]


def measure_all(limits: Limits, root: Path) -> Found:
    """Every artifact and budget as it lies on disk. Raises UsageError if two patterns claim one
    file."""
    targets = _targets(limits, root)
    budgets = {one.name: measure_budget(root, one.paths) for one in limits.budgets}
    wanted = replace(limits, artifacts=tuple(one.limits for one in targets))
    return Found(wanted, {one.limits.key: _measure(root, one) for one in targets}, budgets)


def _targets(limits: Limits, root: Path) -> list[Target]:
    """Patterns with `each` as what fits them, but for files that have limits of their own."""
    own = {one.key for one in limits.artifacts if not one.each}
    claimed: dict[str, str] = {}
    targets: list[Target] = []
    for artifact in limits.artifacts:
        if not artifact.each:
            targets.append(_target(artifact, root))
            continue
        try:
            names = find_all(root, artifact.path)
        except HcompressError as error:
            targets.append(Target(artifact, problem=str(error)))
            continue
        for name in names:
            key = identity(name)
            if key in own:
                continue
            if claimed.setdefault(key, artifact.path) != artifact.path:
                raise UsageError(
                    f"{quoted(name)} fits two patterns, {quoted(claimed[key])} and"
                    f" {quoted(artifact.path)}: give it limits of its own"
                )
            targets.append(Target(replace(artifact, path=name, each=False), root / name))
    return targets


def _target(artifact: ArtifactLimits, root: Path) -> Target:
    try:
        place = find(root, artifact.path)
    except HcompressError as error:
        return Target(artifact, problem=str(error))
    return Target(artifact, place, name=place.name if is_pattern(artifact.path) else None)


def _measure(root: Path, target: Target) -> Measured:
    size, components, problem = 0, {}, target.problem
    digest: str | None = None
    lists: str | None = None
    accuracy = target.limits.accuracy
    if target.place is not None:
        try:
            file = open_model(target.place)
            found = breakdown(file, parts_of(file).groups)
            size, components = found.bytes, {row.name: row.bytes for row in found.components}
            digest = file.digest
            lists = None if accuracy is None else lists_digest(file)
        except HcompressError as error:
            problem = str(error)
    evaluation, evaluation_problem = _evaluation(root, accuracy, digest, lists)
    return Measured(
        size, components, problem, evaluation, evaluation_problem, target.name,
        None if problem else digest,
    )  # fmt: skip


def _evaluation(
    root: Path, accuracy: AccuracyLimits | None, digest: str | None, lists: str | None
) -> tuple[Evaluation | None, str | None]:
    """The evaluation that is asked for, or why there is none."""
    if accuracy is None:
        return None, None
    try:
        return read_evaluation(find(root, accuracy.evaluation), digest, lists), None
    except HcompressError as error:
        return None, str(error)


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
