"""A corpus file: what a study reads in place of its own data, and what suits that data.

One file takes every study that was written for one set of data to another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from hcompress.errors import UsageError
from hcompress.lab.study.variant import Settings, apply, settings
from hcompress.runs.recipe import Recipe, find_file, packaged_folder
from hcompress.stages.base import Stage
from hcompress.strict.read import change
from hcompress.strict.schema import Param, describe
from hcompress.strict.toml import Named, read_file, read_toml


@dataclass(frozen=True)
class Corpus:
    """A checked corpus file."""

    name: str
    summary: str
    where: str
    base: Path
    """What its settings' paths are relative to."""
    settings: Settings
    """Before those of the study: its own question is the study's to ask."""
    data: Mapping[Path, Path]
    """What is read in place of what, both resolved."""

    def adapt(self, recipe: Recipe) -> Recipe:
        """The recipe as this corpus has it, before a study or a variant sets anything."""
        return apply(recipe, self.settings, f"{self.where}: set", self.base)

    def moved(self, recipe: Recipe) -> Recipe:
        """The recipe with this corpus's data in place of what it replaces."""
        steps = (replace(step, stage=self._moved_stage(step.stage)) for step in recipe.steps)
        return replace(recipe, steps=tuple(steps))

    def _moved_stage(self, stage: Stage) -> Stage:
        places = {name: str(self.place(path)) for name, path in _data(stage)}
        return change(stage, places, f"{self.where}: data", UsageError)

    def place(self, data: Path) -> Path:
        """What is read instead; ``data`` itself where nothing replaces it."""
        return self.data.get(data.resolve(), data)

    def check_used(self, recipes: list[Recipe], tests: list[Path]) -> None:
        """Raises UsageError on data that is replaced and that nothing reads."""
        read = {path.resolve() for path in tests}
        for recipe in recipes:
            read |= {path.resolve() for step in recipe.steps for _, path in _data(step.stage)}
        for path in self.data:
            if path not in read:
                raise UsageError(f"{self.where}: data: nothing in the study reads {path}")


@dataclass(frozen=True, kw_only=True)
class _CorpusFile(Named):
    """A corpus file's keys."""

    data: Mapping[str, Path]
    common: Annotated[Mapping[str, Any], Param(key="set")] = field(default_factory=dict)


def packaged_corpora() -> dict[str, Path]:
    """The packaged corpora by name, in order."""
    return {path.stem: path for path in sorted((packaged_folder() / "corpora").glob("*.toml"))}


def load_corpus(spelling: str) -> Corpus:
    """A corpus file by its path, or a packaged one by its name. Raises UsageError: one line."""
    path = find_file(spelling, packaged_corpora(), "corpus", Path())
    return parse_corpus(read_toml(path, "corpus"), str(path), path.parent)


def parse_corpus(raw: Mapping[str, Any], where: str, base: Path) -> Corpus:
    """A corpus from its parsed TOML; paths are relative to ``base``. Raises UsageError."""
    file = read_file(_CorpusFile, raw, where, base)
    data = {(base / old).resolve(): new.resolve() for old, new in file.data.items()}
    common = settings(file.common, f"{where}: set")
    return Corpus(file.name, file.summary, where, base, common, data)


def _data(stage: Stage) -> Iterator[tuple[str, Path]]:
    """A stage's data: parameters and what they say."""
    for entry in describe(type(stage)):
        value = getattr(stage, entry.name)
        if entry.param.data and isinstance(value, Path):
            yield entry.name, value
