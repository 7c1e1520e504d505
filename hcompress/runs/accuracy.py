"""Accuracy along a run: measured once per model and data, kept in `evaluations/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hcompress.artifacts.folder import Artifact
from hcompress.errors import NumericalError
from hcompress.evaluation.evaluate import evaluate
from hcompress.evaluation.readers import open_reader
from hcompress.progress import Progress
from hcompress.runs.recipe import Evaluate
from hcompress.strict.atomic import write_json
from hcompress.strict.json import recall

if TYPE_CHECKING:
    from hcompress.data.sample import DataSource


@dataclass(frozen=True)
class Accuracy:
    """Measures models as a recipe's [evaluate] says; without one it measures nothing."""

    plan: Evaluate | None
    folder: Path
    progress: Progress
    _opened: dict[Path, DataSource] = field(default_factory=dict)
    """By path: a digest over gigabytes is taken once a run, not once a stage."""

    def after_stage(self, name: str, model: Artifact) -> float | None:
        """The fraction of validation lines read exactly."""
        self._forget_others(name, model.digest)
        if self.plan is None:
            return None
        found = self._measure(f"{name}.json", model, self.plan.data, self.plan.images)
        return float(found["accuracy"])

    def final(self, name: str, model: Artifact) -> Mapping[str, Any] | None:
        """The evaluation on the final data."""
        if self.plan is None:
            return None
        data = self.plan.final or self.plan.data
        return self._measure(f"{name}-final.json", model, data, self.plan.final_images)

    def check_loss(self, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> None:
        """Raises NumericalError where more was lost than the recipe allows."""
        if self.plan is None or self.plan.max_loss is None or before is None or after is None:
            return
        lost = 100 * (before["accuracy"] - after["accuracy"])
        if lost > self.plan.max_loss + 1e-9:
            raise NumericalError(
                f"accuracy: {lost:.2f} points lost on {after['images']} images, where the recipe"
                f" allows {self.plan.max_loss:g}: the report has the lines that were misread"
            )

    def _forget_others(self, name: str, digest: str) -> None:
        """Evaluations of what this name used to stand for would be taken for the new model's."""
        for path in (self.folder / f"{name}.json", self.folder / f"{name}-final.json"):
            if path.exists() and (_recalled(path) or {}).get("model_digest") != digest:
                path.unlink()

    def _measure(self, name: str, model: Artifact, data: Path, images: int) -> Mapping[str, Any]:
        source = self._open(data)
        wanted = (model.digest, source.digest, min(images, len(source)))
        found = self._known(wanted)
        if found is None:
            reader = open_reader(model.opened)
            self.progress.say(f"reading {wanted[2]} images of {data.name} with {model.stage}")
            found = evaluate(
                reader,
                source,
                images,
                model=str(model.path),
                model_digest=model.digest,
                data=str(data.resolve()),
                progress=self.progress,
            )
        self.folder.mkdir(exist_ok=True)
        if _recalled(self.folder / name) != found:
            write_json(self.folder / name, found)
        return found

    def _open(self, data: Path) -> DataSource:
        from hcompress.data.source import open_data

        if data not in self._opened:
            self._opened[data] = open_data(data)
        return self._opened[data]

    def _known(self, wanted: tuple[str, str, int]) -> Mapping[str, Any] | None:
        for path in sorted(self.folder.glob("*.json")):
            raw = _recalled(path)
            fields = ("model_digest", "data_digest", "images")
            if raw is not None and tuple(raw.get(name) for name in fields) == wanted:
                return raw
        return None


def _recalled(path: Path) -> dict[str, Any] | None:
    return recall(dict[str, Any], path)
