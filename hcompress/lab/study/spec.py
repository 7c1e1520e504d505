"""A study file: TOML to variants, seeds and test sets. Strict as recipes are; runs nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final

from hcompress.errors import UsageError
from hcompress.lab.study.corpus import Corpus
from hcompress.lab.study.variant import Variant, apply, check_labels, leave_out, settings
from hcompress.runs.recipe import (
    MOST_SEED,
    MOST_THREADS,
    Label,
    Recipe,
    find_file,
    load_recipe,
    packaged_folder,
    packaged_recipes,
)
from hcompress.stages.base import Stage
from hcompress.strict.schema import MOST_IMAGES, Param
from hcompress.strict.show import show, suggest
from hcompress.strict.toml import Named, read_file, read_toml

MOST_SEEDS: Final = 100
DEFAULT_IMAGES: Final = 2000
TEACHER: Final = "teacher"
"""The first row of every table: no variant may have its name."""
OpenRecipe = Callable[[str], Recipe]


@dataclass(frozen=True)
class Lines:
    """A test set: lines of some data, all or as many by chance, which teacher and variants read."""

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


@dataclass(frozen=True)
class _TestTable:
    """`[tests.NAME]`."""

    data: Annotated[Path, Param("the lines to read")]
    images: Annotated[int, Param("", 1, MOST_IMAGES)] = DEFAULT_IMAGES


@dataclass(frozen=True)
class _VariantTable:
    """An entry of `[[variants]]`."""

    name: Label
    recipe: str | None = None
    without: tuple[str, ...] = ()
    own: Annotated[Mapping[str, Any], Param(key="set")] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name == TEACHER:
            raise UsageError(f'name: "{TEACHER}" is taken')


@dataclass(frozen=True, kw_only=True)
class _StudyFile(Named):
    """A study file's keys."""

    recipe: str
    seeds: Annotated[tuple[int, ...], Param("", 0, MOST_SEED)]
    tests: Mapping[Label, _TestTable]
    variants: tuple[_VariantTable, ...]
    teacher: Path | None = None
    threads: Annotated[int, Param("", 1, MOST_THREADS)] | None = None
    reference: str | None = None
    common: Annotated[Mapping[str, Any], Param(key="set")] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= len(self.seeds) <= MOST_SEEDS:
            raise UsageError(f"seeds: must be 1 to {MOST_SEEDS} whole numbers")
        _check_once(self.seeds, "seeds")
        if not self.tests:
            raise UsageError("tests: no test set: write [tests.NAME]")
        names = [variant.name for variant in self.variants]
        if not names:
            raise UsageError("no [[variants]]: a study needs one at least")
        _check_once(names, "variants")
        if self.reference not in (None, *names):
            hint = suggest(self.reference, names, "variants")
            raise UsageError(f"reference = {show(self.reference)}: no such variant{hint}")


def _check_once(values: Sequence[str | int], what: str) -> None:
    for value, times in Counter(values).items():
        if times > 1:
            raise UsageError(f"{what}: {show(value)} stands there twice")


def parse_study(raw: Mapping[str, Any], where: str, base: Path, open_recipe: OpenRecipe) -> Study:
    """A study from its parsed TOML; paths are relative to ``base``. Raises UsageError."""
    file = read_file(_StudyFile, raw, where, base)
    recipe = open_recipe(file.recipe)
    recipe = replace(recipe, threads=file.threads or recipe.threads)
    common = settings(file.common, f"{where}: set")

    def variant(table: _VariantTable) -> Variant:
        at = f'{where}: variant "{table.name}"'
        own = recipe if table.recipe is None else open_recipe(table.recipe)
        own = replace(leave_out(own, table.without, at), threads=recipe.threads)
        if own.makes_its_teacher:
            raise UsageError(f"{at}: starts from data alone: a study's variants share a teacher")
        changes = settings(table.own, f"{at}: set")
        check_labels(changes, [own], f"{at}: set")
        return Variant(table.name, apply(own, {**common, **changes}, at, base))

    variants = tuple(variant(table) for table in file.variants)
    check_labels(common, [entry.recipe for entry in variants], f"{where}: set")
    return Study(
        file.name,
        file.summary,
        file.teacher or recipe.teacher,
        file.seeds,
        tuple(Lines(name, table.data, table.images) for name, table in file.tests.items()),
        variants,
        file.reference or variants[0].name,
    )
