"""A study file: TOML to variants, seeds and test sets. Strict as recipes are; runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from hcompress.errors import UsageError
from hcompress.lab.study.corpus import Corpus
from hcompress.lab.study.variant import Settings, Variant, apply, check_labels, leave_out, settings
from hcompress.runs.recipe import (
    LABEL,
    MOST_SEED,
    MOST_THREADS,
    Recipe,
    find_file,
    load_recipe,
    packaged_folder,
    packaged_recipes,
)
from hcompress.stages.base import Stage
from hcompress.strict.schema import MOST_IMAGES, suggest
from hcompress.strict.toml import Table, read_toml

MOST_SEEDS: Final = 100
DEFAULT_IMAGES: Final = 2000
TEACHER: Final = "teacher"
"""The first row of every table: no variant may have its name."""
OpenRecipe = Callable[[str], Recipe]


@dataclass(frozen=True)
class Lines:
    """A test set: the first lines of some data, which teacher and variants read."""

    name: str
    data: Path
    images: int


@dataclass(frozen=True)
class Study:
    """A checked comparison."""

    name: str
    summary: str
    teacher: Path | None
    """What all variants start from, where the command line names nothing."""
    seeds: tuple[int, ...]
    tests: tuple[Lines, ...]
    variants: tuple[Variant, ...]
    reference: str
    """The variant that the others are compared with."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Distributions its variants' stages need, each once."""
        return tuple(dict.fromkeys(name for v in self.variants for name in v.recipe.needs))

    def runs(self) -> list[tuple[Variant, int]]:
        """Every run: all variants with the first seed, then with the next."""
        return [(variant, seed) for seed in self.seeds for variant in self.variants]


def packaged_studies() -> dict[str, Path]:
    """The packaged studies by name, in order."""
    return {path.stem: path for path in sorted((packaged_folder() / "studies").glob("*.toml"))}


def find_study(spelling: str) -> Path:
    """A study file by its path, or a packaged one by its name. Raises UsageError."""
    return find_file(spelling, packaged_studies(), "study", Path())


def load_study(
    path: Path, stages: Mapping[str, type[Stage]], corpus: Corpus | None = None
) -> Study:
    """Read and check a study file and the recipes it names, and take it to another corpus.

    Raises UsageError: one line.
    """

    def open_recipe(spelling: str) -> Recipe:
        try:
            found = find_file(spelling, packaged_recipes(), "recipe", path.parent)
        except UsageError as error:
            raise UsageError(f"{path}: recipe: {error}") from None
        recipe = load_recipe(found, stages)
        return recipe if corpus is None else corpus.adapt(recipe)

    study = parse_study(read_toml(path, "study"), str(path), path.parent, open_recipe)
    return study if corpus is None else moved(study, corpus)


def moved(study: Study, corpus: Corpus) -> Study:
    """The study on another corpus. Its teacher is not of that corpus: it has none.

    Raises UsageError where the corpus sets or replaces what the study does not have.
    """
    recipes = [variant.recipe for variant in study.variants]
    check_labels(corpus.settings, recipes, f"{corpus.where}: set")
    corpus.check_used(recipes, [lines.data for lines in study.tests])
    return replace(
        study,
        name=f"{study.name}-{corpus.name}",
        summary=f"{study.summary}: {corpus.summary}",
        teacher=None,
        tests=tuple(replace(lines, data=corpus.place(lines.data)) for lines in study.tests),
        variants=tuple(
            replace(variant, recipe=corpus.moved(variant.recipe)) for variant in study.variants
        ),
    )


def parse_study(raw: Mapping[str, Any], where: str, base: Path, open_recipe: OpenRecipe) -> Study:
    """A study from its parsed TOML; paths are relative to ``base``. Raises UsageError."""
    table = Table(raw, where, base)
    table.check_version()
    name = table.folder_name("name")
    summary = table.take("summary", str, "")
    recipe = open_recipe(table.take("recipe", str))
    teacher = table.path("teacher")
    threads = table.count("threads", recipe.threads, 1, MOST_THREADS)
    seeds = _seeds(table)
    reference = table.take("reference", str, None)
    common = table.take("set", dict, {})
    tests = table.take("tests", dict)
    entries = table.take("variants", list)
    table.close()
    shared = settings(common, f"{where}: set")
    reader = _Variants(where, base, open_recipe, replace(recipe, threads=threads), shared)
    variants = tuple(reader.read(entry, number) for number, entry in enumerate(entries, 1))
    reader.check(variants)
    return Study(
        name,
        summary,
        teacher or recipe.teacher,
        seeds,
        _tests(tests, f"{where}: [tests", base),
        variants,
        _reference(reference, [variant.name for variant in variants], where),
    )


def _seeds(table: Table) -> tuple[int, ...]:
    seeds = table.take("seeds", list)
    where = f"{table.where}: seeds"
    if not 1 <= len(seeds) <= MOST_SEEDS:
        raise UsageError(f"{where}: must be 1 to {MOST_SEEDS} whole numbers")
    for seed in seeds:
        if type(seed) is not int or not 0 <= seed <= MOST_SEED:
            raise UsageError(f"{where}: {seed!r}: must be a whole number of 0 to {MOST_SEED}")
        if seeds.count(seed) > 1:
            raise UsageError(f"{where}: {seed} stands there twice")
    return tuple(seeds)


def _tests(raw: Mapping[str, Any], where: str, base: Path) -> tuple[Lines, ...]:
    if not raw:
        raise UsageError(f"{where}]: no test set: write [tests.NAME]")
    found = []
    for name, entry in raw.items():
        at = f"{where}.{name}]"
        if not isinstance(entry, dict):
            raise UsageError(f"{at}: must be a table")
        if not LABEL.fullmatch(name):
            raise UsageError(f"{at}: {_NAMING}")
        table = Table(entry, at, base)
        data = table.path("data")
        if data is None:
            raise UsageError(f"{at}: data is missing: the lines to read")
        images = table.count("images", DEFAULT_IMAGES, 1, MOST_IMAGES)
        table.close()
        found.append(Lines(name, data, images))
    return tuple(found)


def _reference(asked: str | None, names: list[str], where: str) -> str:
    if asked is not None and asked not in names:
        raise UsageError(
            f'{where}: reference = "{asked}": no such variant{suggest(asked, names, "variants")}'
        )
    return asked or names[0]


_NAMING: Final = "a name has lower-case letters, digits, dots and dashes only"


@dataclass(frozen=True)
class _Variants:
    """Reads ``[[variants]]``: what they have in common is here."""

    where: str
    base: Path
    open_recipe: OpenRecipe
    recipe: Recipe
    """Of variants that name none. All have its threads."""
    common: Settings
    """For every variant that has the stage."""

    def read(self, raw: object, number: int) -> Variant:
        if not isinstance(raw, dict):
            raise UsageError(f"{self.where}: variants: entry {number} is not a table")
        table = Table(raw, f"{self.where}: variants: entry {number}", self.base)
        name = table.take("name", str)
        table.where = at = f'{self.where}: variant "{name}"'
        if not LABEL.fullmatch(name) or name == TEACHER:
            taken = f'"{TEACHER}" is taken' if name == TEACHER else _NAMING
            raise UsageError(f"{self.where}: variants: name = {name!r}: {taken}")
        spelling = table.take("recipe", str, None)
        recipe = self.recipe if spelling is None else self.open_recipe(spelling)
        without = table.take("without", list, [])
        changes = settings(table.take("set", dict, {}), f"{at}: set")
        table.close()
        if not all(isinstance(label, str) for label in without):
            raise UsageError(f"{at}: without = {without!r}: must be a list of labels")
        recipe = leave_out(recipe, without, at)
        if recipe.makes_its_teacher:
            raise UsageError(f"{at}: starts from data alone: a study's variants share a teacher")
        check_labels(changes, [recipe], f"{at}: set")
        recipe = replace(recipe, threads=self.recipe.threads)
        return Variant(name, apply(recipe, {**self.common, **changes}, at, self.base))

    def check(self, variants: tuple[Variant, ...]) -> None:
        """Raises UsageError on names used twice and on settings that reach no variant."""
        if not variants:
            raise UsageError(f"{self.where}: no [[variants]]: a study needs one at least")
        seen: set[str] = set()
        for variant in variants:
            if variant.name in seen:
                raise UsageError(f'{self.where}: variant "{variant.name}" stands there twice')
            seen.add(variant.name)
        check_labels(self.common, [variant.recipe for variant in variants], f"{self.where}: set")
