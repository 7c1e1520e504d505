"""Accuracy along a run: measured once per model and data, kept in `evaluations/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hcompress.artifacts.beside import lists_digest
from hcompress.artifacts.folder import Artifact, path_digest
from hcompress.data.order import sampled
from hcompress.errors import NumericalError
from hcompress.evaluation.evaluate import evaluate
from hcompress.evaluation.labels import said as told
from hcompress.evaluation.readers import open_reader
from hcompress.foreign.options import AS_FOUND, ImportOptions
from hcompress.metrics import READING
from hcompress.progress import Progress
from hcompress.runs.recipe import Evaluate
from hcompress.strict.atomic import write_json
from hcompress.strict.seal import recall_sealed, sealed
from hcompress.strict.write import plain

if TYPE_CHECKING:
    from hcompress.data.sample import DataSource


@dataclass(frozen=True)
class Accuracy:
    """Measures models as a recipe's [evaluate] says; without one it measures nothing."""

    plan: Evaluate | None
    folder: Path
    progress: Progress
    options: ImportOptions = AS_FOUND
    """What a recogniser from elsewhere does not say of itself."""
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
        assert self.plan is not None
        ignored, said = self.plan.ignored, self._said()
        count = min(images, len(source))
        wanted: dict[str, Any] = {
            "model_digest": model.digest,
            "reading": READING,
            "lists_digest": lists_digest(model.opened),
            "data_digest": source.digest,
            "images": count,
            "order": sampled(source, count),
            "ignored": ignored.to_dict() if ignored else None,
            "import": said,
        }
        found = self._known(wanted)
        if found is None:
            reader = open_reader(model.opened, self.options)
            self.progress.say(f"reading {count} images of {data.name} with {model.stage}")
            found = evaluate(
                reader,
                source,
                images,
                model=str(model.path),
                model_digest=model.digest,
                lists_digest=wanted["lists_digest"],
                data=str(data.resolve()),
                progress=self.progress,
                ignored=ignored,
            )
            for line in told(found["unmatched"], count) if "unmatched" in found else ():
                self.progress.say(line)
            found = found if said is None else {**found, "import": said}
        self.folder.mkdir(exist_ok=True)
        if _recalled(self.folder / name) != found:
            write_json(self.folder / name, sealed(found))
        return found

    def _open(self, data: Path) -> DataSource:
        from hcompress.data.source import open_data

        if data not in self._opened:
            self._opened[data] = open_data(data)
        return self._opened[data]

    def _said(self) -> dict[str, Any] | None:
        """What was said of a recogniser from elsewhere, by contents; None if nothing was."""
        charset = self.options.charset
        if self.options == AS_FOUND:
            return None
        found = plain(self.options)
        return {**found, "charset": None if charset is None else path_digest(charset)}

    def _known(self, wanted: Mapping[str, Any]) -> Mapping[str, Any] | None:
        for path in sorted(self.folder.glob("*.json")):
            raw = _recalled(path)
            if raw is not None and all(raw.get(key) == value for key, value in wanted.items()):
                return raw
        return None


def _recalled(path: Path) -> dict[str, Any] | None:
    return recall_sealed(dict[str, Any], path)
