"""TOML to stages: strict keys, checked types, paths relative to the recipe. Runs nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import hcompress
from hcompress.artifacts.kinds import Kind
from hcompress.errors import UsageError
from hcompress.runs.keys import step_seed
from hcompress.stages.base import Stage, needs
from hcompress.strict import schema as parameters
from hcompress.strict.schema import MOST_IMAGES
from hcompress.strict.toml import SCHEMA_VERSION, Table, read_toml

DEFAULT_SEED: Final = 7
DEFAULT_THREADS: Final = 1
MOST_SEED: Final = 2**63 - 1
MOST_THREADS: Final = 1024
"""More than a machine has ends in the middle of OpenMP, without a word of ours."""
LABEL: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True)
class Evaluate:
    """Where accuracy is measured: after every readable stage, and at both ends of the run."""

    data: Path
    images: int
    final: Path | None
    """Unseen data for the teacher and the last stage; None leaves ``data`` to serve."""
    final_images: int
    max_loss: float | None
    """Points of accuracy the last stage may lose on the final data."""


@dataclass(frozen=True)
class Step:
    """One entry of a recipe: a stage with its parameters, and the name of its folder."""

    label: str
    stage: Stage
    seed: int | None = None
    """The stage's own, as its command's ``--seed``; None makes one of the recipe's."""


@dataclass(frozen=True)
class Recipe:
    """A checked list of stages."""

    name: str
    summary: str
    seed: int
    threads: int
    teacher: Path | None
    """The checkpoint to start from where the command line names none."""
    evaluate: Evaluate | None
    steps: tuple[Step, ...]
    seeds_by_label: bool = False
    """Each stage draws by its label, not by its place: the same in recipes that differ before
    it, which is what a study compares. No stage then has a seed of its own: a study's vary."""

    def folder_name(self, index: int) -> str:
        """`01-codebook` for the first step."""
        return f"{index + 1:02d}-{self.steps[index].label}"

    def seed_of(self, index: int) -> int:
        """What the step ``index`` draws by."""
        step = self.steps[index]
        if self.seeds_by_label:
            return step_seed(self.seed, step.label)
        return step_seed(self.seed, index) if step.seed is None else step.seed

    @property
    def makes_its_teacher(self) -> bool:
        """It starts from data alone."""
        return self.steps[0].stage.consumes is Kind.NOTHING

    @property
    def needs(self) -> tuple[str, ...]:
        """Distributions its stages need, each once."""
        return tuple(dict.fromkeys(name for step in self.steps for name in needs(step.stage)))

    def to_dict(self) -> dict[str, Any]:
        """The resolved recipe, every default spelt out, as JSON holds it."""
        evaluate = self.evaluate
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "summary": self.summary,
            "seed": self.seed,
            "seeds_by_label": self.seeds_by_label,
            "threads": self.threads,
            "teacher": parameters.plain(self.teacher),
            "evaluate": evaluate and parameters.plain(vars(evaluate)),
            "stages": [
                {
                    "stage": step.stage.name,
                    "label": step.label,
                    "seed": self.seed_of(index),
                    **parameters.values_of(step.stage),
                }
                for index, step in enumerate(self.steps)
            ],
        }


def load_recipe(path: Path, stages: Mapping[str, type[Stage]]) -> Recipe:
    """Read and check a recipe file. Raises UsageError: file, place, what, and what was meant."""
    raw = read_toml(path, "recipe")
    return parse_recipe(raw, stages, str(path), path.parent)


def parse_recipe(
    raw: Mapping[str, Any], stages: Mapping[str, type[Stage]], where: str, base: Path
) -> Recipe:
    """A recipe from its parsed TOML; paths are relative to ``base``. Raises UsageError."""
    table = Table(raw, where, base)
    table.check_version()
    name = table.folder_name("name")  # the run's folder is runs/NAME
    summary = table.take("summary", str, "")
    seed = table.count("seed", DEFAULT_SEED, 0, MOST_SEED)
    threads = table.count("threads", DEFAULT_THREADS, 1, MOST_THREADS)
    teacher = table.path("teacher")
    evaluate = table.take("evaluate", dict, None)
    entries = table.take("stages", list)
    table.close()
    if not entries:
        raise UsageError(f"{where}: no [[stages]]: a recipe needs one at least")
    steps = tuple(_step(entry, stages, where, base, n) for n, entry in enumerate(entries, 1))
    _check_labels(steps, where)
    checked = None if evaluate is None else _evaluate(evaluate, f"{where}: [evaluate]", base)
    return Recipe(name, summary, seed, threads, teacher, checked, steps)


def _step(
    raw: object, stages: Mapping[str, type[Stage]], where: str, base: Path, number: int
) -> Step:
    if not isinstance(raw, dict):
        raise UsageError(f"{where}: stages: entry {number} is not a table: write [[stages]]")
    values = dict(raw)
    name = values.pop("stage", None)
    if not isinstance(name, str):
        raise UsageError(f'{where}: stages: entry {number}: no stage = "NAME"')
    if name not in stages:
        raise UsageError(
            f'{where}: unknown stage "{name}"{parameters.suggest(name, stages, "stages")}'
        )
    label = values.pop("label", name)
    at = f'{where}: stage "{name}"'
    if not isinstance(label, str) or not LABEL.fullmatch(label):
        raise UsageError(
            f"{at}: label = {label!r}: lower-case letters, digits, dots and dashes only"
        )
    seed = None
    if "seed" in values:
        own = Table({"seed": values.pop("seed")}, at, base)
        seed = own.count("seed", DEFAULT_SEED, 0, MOST_SEED)
    return Step(label, parameters.build(stages[name], values, at, base), seed)


def _check_labels(steps: Sequence[Step], where: str) -> None:
    seen: set[str] = set()
    for step in steps:
        if step.label in seen:
            raise UsageError(
                f'{where}: stage "{step.stage.name}": label "{step.label}" is used twice:'
                " give one a label of its own"
            )
        seen.add(step.label)


def _evaluate(raw: Mapping[str, Any], where: str, base: Path) -> Evaluate:
    table = Table(raw, where, base)
    data = table.path("data")
    if data is None:
        raise UsageError(f"{where}: data is missing: the validation data")
    images = table.count("images", 500, 1, MOST_IMAGES)
    final = table.path("final")
    final_images = table.count("final_images", images, 1, MOST_IMAGES)
    max_loss = table.take("max_loss", float, None)
    table.close()
    if max_loss is not None and not 0 <= max_loss <= 100:
        raise UsageError(f"{where}: max_loss = {max_loss}: must be 0 to 100 points")
    return Evaluate(data, images, final, final_images, max_loss)


def packaged_folder() -> Path:
    """Where the recipes that travel with the package lie: in it, or beside it in a checkout."""
    package = Path(hcompress.__file__).resolve().parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def packaged_recipes() -> dict[str, Path]:
    """The packaged recipes by name, in order."""
    return {path.stem: path for path in sorted(packaged_folder().glob("*.toml"))}


def find_recipe(spelling: str) -> Path:
    """A recipe file by its path, or a packaged one by its name.

    Raises UsageError where there is neither, with the nearest name.
    """
    return find_file(spelling, packaged_recipes(), "recipe", Path())


def find_file(spelling: str, packaged: Mapping[str, Path], noun: str, base: Path) -> Path:
    """As `find_recipe`, for any kind of file that travels; paths are relative to ``base``."""
    path = base / Path(spelling).expanduser()
    if path.is_file():
        return path
    if path.suffix == ".toml" or len(Path(spelling).parts) > 1:
        raise UsageError(f"{path}: no such {noun} file")
    if spelling in packaged:
        return packaged[spelling]
    hint = parameters.suggest(spelling, packaged, "packaged")
    raise UsageError(f"{spelling}: no {noun} of that name{hint}")
