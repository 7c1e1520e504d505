"""What a study found, as numbers: a row a variant, seeds averaged line by line. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hcompress.lab.study.pairs import averaged, paired_difference
from hcompress.lab.study.readings import Reading
from hcompress.lab.study.spec import Study
from hcompress.lab.study.variant import Variant, common, differences, varied
from hcompress.metrics import mean

FORMAT: Final = 1
_VOTES: Final = ("median", "none", "one")
METHOD: Final = (
    "A line counts for the share of seeds that read it exactly. Differences are paired line by"
    " line; their 95% intervals come from the differences' standard error (normal). They say how"
    " far other lines could have moved a figure, not how far other seeds could have."
)


@dataclass(frozen=True)
class Weighed:
    """A model file."""

    digest: str
    bytes: int
    params: int

    def to_dict(self) -> dict[str, Any]:
        return {"digest": self.digest, "bytes": self.bytes, "params": self.params}


@dataclass(frozen=True)
class Run:
    """One finished run: its last model, what it cost, and how it read, by test set."""

    seed: int
    folder: str
    model: Weighed
    images_trained: int
    training_seconds: float
    readings: Mapping[str, Reading]
    votes: Mapping[str, Any] | None = None
    """How many features voted for a character's code, if any did: a codebook's figures."""


@dataclass(frozen=True)
class Teacher:
    """What every run started from."""

    name: str
    model: Weighed
    readings: Mapping[str, Reading]


def trained(report: Any) -> int:
    """Images that a stage's figures say were learnt from: of every phase with steps."""
    return sum(entry["images"] for entry in _phases(report))


def voted(report: Any) -> Mapping[str, Any] | None:
    """Votes a character, of a stage's figures: median, and characters with none and with one."""
    samples = report.get("samples") if isinstance(report, Mapping) else None
    if not isinstance(samples, Mapping) or not {*_VOTES} <= set(samples):
        return None
    return {name: samples[name] for name in _VOTES}


def _phases(report: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(report, Mapping):
        return
    if all(type(report.get(name)) is int for name in ("steps", "images")):
        yield report
    for value in report.values():
        yield from _phases(value)


def make_result(
    study: Study,
    teacher: Teacher,
    runs: Mapping[str, Sequence[Run]],
    digests: Mapping[str, str],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """`study.json`. ``runs`` are by variant, in the order of the seeds; ``digests`` by test set."""
    reference = next(entry for entry in study.variants if entry.name == study.reference)
    shared = common(study.variants)
    reads = {
        variant: {lines.name: _by_line(found, lines.name) for lines in study.tests}
        for variant, found in runs.items()
    }
    return {
        "format": FORMAT,
        "study": study.name,
        "summary": study.summary,
        "seeds": list(study.seeds),
        "threads": reference.recipe.threads,
        "reference": study.reference,
        "common": [entry.to_dict() for entry in shared],
        "varied": varied(reference, shared),
        "method": METHOD,
        "tests": {
            lines.name: {
                "data": lines.data.name,
                "data_digest": digests[lines.name],
                "images": len(teacher.readings[lines.name].right),
            }
            for lines in study.tests
        },
        "teacher": {
            "name": teacher.name,
            **teacher.model.to_dict(),
            "tests": {name: dict(found.figures) for name, found in teacher.readings.items()},
        },
        "variants": [
            {
                "name": variant.name,
                **_cost(variant, reference, runs[variant.name]),
                "tests": {
                    lines.name: _accuracy(
                        runs[variant.name],
                        lines.name,
                        reads[variant.name][lines.name],
                        None if variant is reference else reads[reference.name][lines.name],
                        teacher.readings[lines.name],
                    )
                    for lines in study.tests
                },
                "runs": [_run(found) for found in runs[variant.name]],
            }
            for variant in study.variants
        ],
        "versions": dict(versions),
    }


def _by_line(runs: Sequence[Run], lines: str) -> list[float]:
    return averaged([run.readings[lines].right for run in runs])


def _cost(variant: Variant, reference: Variant, runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "stages": [step.label for step in variant.recipe.steps],
        "differs": differences(reference.recipe, variant.recipe),
        "bytes": max(run.model.bytes for run in runs),
        "params": max(run.model.params for run in runs),
        "images_trained": mean(run.images_trained for run in runs),
        "training_seconds": mean(run.training_seconds for run in runs),
        "votes": runs[0].votes,
    }


def _accuracy(
    runs: Sequence[Run],
    lines: str,
    reads: Sequence[float],
    reference: Sequence[float] | None,
    teacher: Reading,
) -> dict[str, Any]:
    taught = averaged([teacher.right])
    return {
        "accuracy": mean(reads),
        "seeds": [run.readings[lines].figures["accuracy"] for run in runs],
        "ned": mean(run.readings[lines].figures["ned"] for run in runs),
        "to_reference": None if reference is None else paired_difference(reference, reads),
        "to_teacher": paired_difference(taught, reads),
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "seed": run.seed,
        "folder": run.folder,
        **run.model.to_dict(),
        "images_trained": run.images_trained,
        "training_seconds": run.training_seconds,
    }
