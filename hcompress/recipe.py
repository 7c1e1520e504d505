"""TOML to stages: strict keys, checked types, paths relative to the recipe. Runs nothing."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hcompress import parameters
from hcompress.errors import UsageError
from hcompress.stages.base import MOST_IMAGES, Kind, Stage

SCHEMA_VERSION: Final = 1
DEFAULT_SEED: Final = 7
DEFAULT_THREADS: Final = 1
MOST_SEED: Final = 2**63 - 1
MOST_THREADS: Final = 1024
"""More than a machine has ends in the middle of OpenMP, without a word of ours."""
_LABEL: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_RECIPE_BYTES: Final = 1 << 20


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

    def folder_name(self, index: int) -> str:
        """`01-codebook` for the first step."""
        return f"{index + 1:02d}-{self.steps[index].label}"

    @property
    def makes_its_teacher(self) -> bool:
        """It starts from data alone."""
        return self.steps[0].stage.consumes is Kind.NOTHING

    def to_dict(self) -> dict[str, Any]:
        """The resolved recipe, every default spelt out, as JSON holds it."""
        evaluate = self.evaluate
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "summary": self.summary,
            "seed": self.seed,
            "threads": self.threads,
            "teacher": parameters.plain(self.teacher),
            "evaluate": evaluate and parameters.plain(vars(evaluate)),
            "stages": [
                {
                    "stage": step.stage.name,
                    "label": step.label,
                    **parameters.values_of(step.stage),
                }
                for step in self.steps
            ],
        }


def load_recipe(path: Path, stages: Mapping[str, type[Stage]]) -> Recipe:
    """Read and check a recipe file. Raises UsageError: file, place, what, and what was meant."""
    try:
        if path.stat().st_size > _RECIPE_BYTES:
            raise UsageError(f"{path}: larger than {_RECIPE_BYTES >> 20} MiB: not a recipe")
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the recipe: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, too many digits
        raise UsageError(f"{path}: not TOML: {error}") from None
    return parse_recipe(raw, stages, str(path), path.parent)


def parse_recipe(
    raw: Mapping[str, Any], stages: Mapping[str, type[Stage]], where: str, base: Path
) -> Recipe:
    """A recipe from its parsed TOML; paths are relative to ``base``. Raises UsageError."""
    table = _Table(raw, where, base)
    version = table.take("schema_version", int)
    if version != SCHEMA_VERSION:
        raise UsageError(f"{where}: schema_version = {version}: this hcompress reads 1 only")
    name = table.take("name", str)
    if (
        name in ("", "..") or Path(name).name != name or not name.isprintable()
    ):  # the run's folder is runs/NAME
        raise UsageError(f"{where}: name = {name!r}: must do as the name of a folder")
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
    if not isinstance(label, str) or not _LABEL.fullmatch(label):
        raise UsageError(
            f"{at}: label = {label!r}: lower-case letters, digits, dots and dashes only"
        )
    return Step(label, parameters.build(stages[name], values, at, base))


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
    table = _Table(raw, where, base)
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


class _Table:
    """A TOML table read key by key; what is left at the end was mistyped."""

    def __init__(self, raw: Mapping[str, Any], where: str, base: Path) -> None:
        self.raw = dict(raw)
        self.where = where
        self.base = base
        self.known: list[str] = []

    def take(self, key: str, kind: type, default: object = ...) -> Any:
        self.known.append(key)
        value = self.raw.pop(key, default)
        if value is ...:
            raise UsageError(f"{self.where}: {key} is missing{self._mistyped(key)}")
        if value is default:
            return value
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            raise UsageError(f"{self.where}: {key} = {value!r}: must be {_NOUNS[kind]}")
        return value

    def _mistyped(self, key: str) -> str:
        return next(
            (f'; "{other}" is there: did you mean it?' for other in self.raw if _near(key, other)),
            "",
        )

    def count(self, key: str, default: int, minimum: int, most: int) -> int:
        value: int = self.take(key, int, default)
        if value < minimum:
            raise UsageError(f"{self.where}: {key} = {value}: must be at least {minimum}")
        if value > most:
            raise UsageError(f"{self.where}: {key} = {value}: must be at most {most}")
        return value

    def path(self, key: str) -> Path | None:
        value: str | None = self.take(key, str, None)
        return None if value is None else self.base / Path(value).expanduser()

    def close(self) -> None:
        for key in self.raw:
            hint = parameters.suggest(key, self.known, "keys")
            raise UsageError(f'{self.where}: unknown key "{key}"{hint}')


def _near(one: str, other: str) -> bool:
    return "did you mean" in parameters.suggest(one, [other], "")


_NOUNS: Final = {
    int: "a whole number",
    str: "a string",
    float: "a number",
    dict: "a table",
    list: "an array of tables",
}


def packaged_folder() -> Path:
    """Where the recipes that travel with the package lie: in it, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def packaged_recipes() -> dict[str, Path]:
    """The packaged recipes by name, in order."""
    return {path.stem: path for path in sorted(packaged_folder().glob("*.toml"))}


def find_recipe(spelling: str) -> Path:
    """A recipe file by its path, or a packaged one by its name.

    Raises UsageError where there is neither, with the nearest name.
    """
    path = Path(spelling).expanduser()
    if path.is_file():
        return path
    if path.suffix == ".toml" or len(path.parts) > 1:
        raise UsageError(f"{spelling}: no such recipe file")
    packaged = packaged_recipes()
    if spelling in packaged:
        return packaged[spelling]
    hint = parameters.suggest(spelling, packaged, "packaged recipes")
    raise UsageError(f"{spelling}: no recipe of that name{hint}")
