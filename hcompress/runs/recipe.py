"""TOML to stages: strict keys, checked types, paths relative to the recipe. Runs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import hcompress
from hcompress.artifacts.kinds import Kind
from hcompress.errors import UsageError
from hcompress.foreign.options import AS_FOUND, ImportOptions
from hcompress.metrics import Ignore, Ignored
from hcompress.runs.changes import changed
from hcompress.runs.keys import step_seed
from hcompress.stages.base import Stage, needs
from hcompress.stages.import_model import ImportModel
from hcompress.strict.files import spelt
from hcompress.strict.read import read
from hcompress.strict.schema import MOST_IMAGES, Param, table_of
from hcompress.strict.show import show, suggest
from hcompress.strict.toml import SCHEMA_VERSION, Named, read_file, read_toml
from hcompress.strict.write import plain

DEFAULT_SEED: Final = 7
DEFAULT_THREADS: Final = 1
MOST_SEED: Final = 2**63 - 1
MOST_THREADS: Final = 1024
"""More than a machine has ends in the middle of OpenMP, without a word of ours."""
Label = Annotated[
    str,
    Param("lower-case letters, digits, dots and dashes only", pattern="[a-z0-9][a-z0-9._-]{0,62}"),
]


@dataclass(frozen=True)
class Evaluate:
    """Where accuracy is measured: after every readable stage, and at both ends of the run."""

    data: Annotated[Path, Param("the validation data")]
    images: Annotated[int, Param("", 1, MOST_IMAGES)] = 500
    final: Path | None = None
    """Unseen data for the teacher and the last stage; None leaves ``data`` to serve."""
    final_images: Annotated[int, Param("", 1, MOST_IMAGES)] = 500
    """As many as ``images`` if a recipe says nothing."""
    max_loss: Annotated[float, Param("", 0, 100)] | None = None
    """Points of accuracy the last stage may lose on the final data."""
    ignore: tuple[Ignore, ...] = ()
    """Differences between texts that don't count."""
    ignore_characters: str = ""

    @property
    def ignored(self) -> Ignored:
        """All that does not count."""
        return Ignored(frozenset(self.ignore), self.ignore_characters)


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

    @property
    def import_options(self) -> ImportOptions:
        """What it says of a recogniser from elsewhere, if it takes one."""
        taken = (step.stage for step in self.steps if isinstance(step.stage, ImportModel))
        return next((stage.options for stage in taken), AS_FOUND)

    def saying(self, said: Mapping[str, Any]) -> Recipe:
        """The recipe with parameters of its `import`. Raises UsageError if it has no such stage."""
        if not any(isinstance(step.stage, ImportModel) for step in self.steps):
            raise UsageError(
                f"the recipe {self.name} has no stage import, to be told {', '.join(said)}"
            )
        steps = (
            replace(step, stage=replace(step.stage, **said))
            if isinstance(step.stage, ImportModel)
            else step
            for step in self.steps
        )
        return replace(self, steps=tuple(steps))

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
            "teacher": plain(self.teacher),
            "evaluate": plain(evaluate),
            "stages": [
                {
                    "stage": step.stage.name,
                    "label": step.label,
                    "seed": self.seed_of(index),
                    **plain(step.stage),
                }
                for index, step in enumerate(self.steps)
            ],
        }


@dataclass(frozen=True, kw_only=True)
class _RecipeFile(Named):
    """A recipe's keys; those of a stage are its own."""

    stages: tuple[Mapping[str, Any], ...]
    seed: Annotated[int, Param("", 0, MOST_SEED)] = DEFAULT_SEED
    threads: Annotated[int, Param("", 1, MOST_THREADS)] = DEFAULT_THREADS
    teacher: Path | None = None
    evaluate: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class _Entry:
    """What a `[[stages]]` table says beside the stage's parameters."""

    stage: Annotated[str, Param('write stage = "NAME"')]
    label: Label | None = None
    seed: Annotated[int, Param("", 0, MOST_SEED)] | None = None


def load_recipe(
    path: Path, stages: Mapping[str, type[Stage]], changes: Sequence[str] = ()
) -> Recipe:
    """Read and check a recipe file, with `changed` parameters.

    Raises UsageError: file, place, what, and what was meant.
    """
    raw = changed(read_toml(path, "recipe"), changes)
    return parse_recipe(raw, stages, str(path), path.parent)


def parse_recipe(
    raw: Mapping[str, Any], stages: Mapping[str, type[Stage]], where: str, base: Path
) -> Recipe:
    """A recipe from its parsed TOML; paths are relative to ``base``. Raises UsageError."""
    file = read_file(_RecipeFile, raw, where, base)
    if not file.stages:
        raise UsageError(f"{where}: no [[stages]]: a recipe needs one at least")
    steps = tuple(_step(entry, stages, where, base, n) for n, entry in enumerate(file.stages, 1))
    _check_labels(steps, where)
    evaluate = None if file.evaluate is None else _evaluate(file.evaluate, where, base)
    return Recipe(file.name, file.summary, file.seed, file.threads, file.teacher, evaluate, steps)


def _evaluate(raw: Mapping[str, Any], where: str, base: Path) -> Evaluate:
    values = dict(raw)
    if "images" in values:
        values.setdefault("final_images", values["images"])
    return read(Evaluate, values, f"{where}: [evaluate]", UsageError, base=base)


def _step(
    raw: Mapping[str, Any], stages: Mapping[str, type[Stage]], where: str, base: Path, number: int
) -> Step:
    name = raw.get("stage")
    at = f"{where}: stages: entry {number}" if name is None else f"{where}: stage {show(name)}"
    ours = table_of(_Entry).by_key
    entry = read(_Entry, {key: raw[key] for key in raw if key in ours}, at, UsageError)
    if entry.stage not in stages:
        hint = suggest(entry.stage, stages, "stages")
        raise UsageError(f"{where}: unknown stage {show(name)}{hint}")
    label = entry.stage if entry.label is None else entry.label
    own = {key: value for key, value in raw.items() if key not in ours}
    return Step(label, read(stages[entry.stage], own, at, UsageError, base=base), entry.seed)


def _check_labels(steps: Sequence[Step], where: str) -> None:
    seen: set[str] = set()
    for step in steps:
        if step.label in seen:
            raise UsageError(
                f'{where}: stage "{step.stage.name}": label "{step.label}" is used twice:'
                " give one a label of its own"
            )
        seen.add(step.label)


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
    try:
        path = base / spelt(spelling)
    except ValueError:
        raise UsageError(f"{show(spelling)}: not a path: name a {noun} file") from None
    if path.is_file():
        return path
    if path.suffix == ".toml" or len(Path(spelling).parts) > 1:
        raise UsageError(f"{path}: no such {noun} file")
    if spelling in packaged:
        return packaged[spelling]
    hint = suggest(spelling, packaged, "packaged")
    raise UsageError(f"{spelling}: no {noun} of that name{hint}")
