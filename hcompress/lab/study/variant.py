"""Variants of a recipe: what is set otherwise, what is left out, and how two of them differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hcompress.errors import UsageError
from hcompress.runs.recipe import Recipe
from hcompress.stages.base import Stage
from hcompress.strict.read import change
from hcompress.strict.schema import describe
from hcompress.strict.show import suggest
from hcompress.strict.write import plain

Settings = Mapping[tuple[str, str], Any]
"""Values, as TOML gives them, by the stage's label and the parameter."""


@dataclass(frozen=True)
class Variant:
    """One side of a comparison."""

    name: str
    recipe: Recipe

    def run_name(self, seed: int) -> str:
        """The folder of its run with this seed."""
        return f"{self.name}-{seed}"

    def run_recipe(self, seed: int) -> Recipe:
        """Its recipe with one of the study's seeds. The study measures, not the run."""
        return replace(
            self.recipe,
            name=self.run_name(seed),
            seed=seed,
            seeds_by_label=True,
            teacher=None,
            evaluate=None,
        )


def settings(raw: Mapping[str, Any], where: str) -> Settings:
    """``"codebook.method" = "lsh"``, with or without its quotes, as TOML has parsed it.

    Raises UsageError where a key is not a label and a parameter.
    """
    found: dict[tuple[str, str], Any] = {}
    for spelling, value in _flat(raw):
        label, dot, name = spelling.rpartition(".")
        if not dot or isinstance(value, dict):
            raise UsageError(f'{where}: "{spelling}": write "LABEL.KEY" = VALUE')
        if (label, name) in found:
            raise UsageError(f'{where}: "{spelling}" stands there twice')
        found[label, name] = value
    return found


def _flat(raw: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Without quotes TOML makes a table of the label."""
    for key, value in raw.items():
        if isinstance(value, dict) and value:
            yield from ((f"{key}.{name}", entry) for name, entry in value.items())
        else:
            yield key, value


def leave_out(recipe: Recipe, labels: Sequence[str], where: str) -> Recipe:
    """The recipe without the stages of these labels. Raises UsageError where one has none."""
    known = [step.label for step in recipe.steps]
    for label in labels:
        if label not in known:
            raise UsageError(
                f'{where}: without: no stage "{label}"{suggest(label, known, "labels")}'
            )
    steps = tuple(step for step in recipe.steps if step.label not in labels)
    if not steps:
        raise UsageError(f"{where}: without: leaves no stages")
    return replace(recipe, steps=steps)


def apply(recipe: Recipe, changes: Settings, where: str, base: Path) -> Recipe:
    """The recipe with these values; stages it does not have are passed over.

    Paths are relative to ``base``. Raises UsageError on an unknown key or a bad value.
    """
    steps = []
    for step in recipe.steps:
        own = {name: value for (label, name), value in changes.items() if label == step.label}
        at = f'{where}: stage "{step.label}"'
        steps.append(replace(step, stage=change(step.stage, own, at, UsageError, base=base)))
    return replace(recipe, steps=tuple(steps))


def check_labels(changes: Settings, recipes: Sequence[Recipe], where: str) -> None:
    """Raises UsageError where a label is no stage's in any of ``recipes``: it would do nothing."""
    known = {step.label for recipe in recipes for step in recipe.steps}
    for label, name in changes:
        if label not in known:
            hint = suggest(label, known, "labels")
            raise UsageError(f'{where}: "{label}.{name}": no stage "{label}"{hint}')


def differences(reference: Recipe, other: Recipe) -> dict[str, Any]:
    """What ``other`` does not do, does besides, and does otherwise: labels, and values by key."""
    ours, theirs = _by_label(reference), _by_label(other)
    changed = {
        f"{label}.{name}": plain(value)
        for label in ours
        if label in theirs and ours[label] != theirs[label]
        for name, value in _changed(ours[label], theirs[label]).items()
    }
    return {
        "without": [label for label in ours if label not in theirs],
        "with": [label for label in theirs if label not in ours],
        "set": changed,
    }


@dataclass(frozen=True)
class Shared:
    """What the variants that have a stage agree on."""

    label: str
    stage: str
    variants: tuple[str, ...]
    """Those that have it."""
    settings: Mapping[str, Any]
    """Every parameter that can change a byte and has one value in all of them, defaults too."""

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "variants": list(self.variants), "settings": dict(self.settings)}


def common(variants: Sequence[Variant]) -> list[Shared]:
    """What variants share, by stage, in the order in which they first have it."""
    holders: dict[tuple[str, type[Stage]], list[tuple[str, Stage]]] = {}
    for variant in variants:
        for step in variant.recipe.steps:
            key = step.label, type(step.stage)
            holders.setdefault(key, []).append((variant.name, step.stage))
    return [
        Shared(
            label,
            kind.name,
            tuple(name for name, _ in found),
            _agreed([stage for _, stage in found]),
        )
        for (label, kind), found in holders.items()
    ]


def varied(reference: Variant, shared: Sequence[Shared]) -> dict[str, Any]:
    """The reference's own values of what is not the same in all variants, by ``LABEL.KEY``."""
    agreed = {entry.label: entry.settings for entry in shared if reference.name in entry.variants}
    return {
        f"{step.label}.{entry.name}": plain(_shown(getattr(step.stage, entry.name)))
        for step in reference.recipe.steps
        for entry in describe(type(step.stage))
        if entry.param.keyed and entry.name not in agreed[step.label]
    }


def _agreed(stages: Sequence[Stage]) -> dict[str, Any]:
    first = stages[0]
    return {
        entry.name: plain(_shown(getattr(first, entry.name)))
        for entry in describe(type(first))
        if entry.param.keyed
        and all(
            _same(getattr(first, entry.name)) == _same(getattr(other, entry.name))
            for other in stages[1:]
        )
    }


def _by_label(recipe: Recipe) -> dict[str, Stage]:
    return {step.label: step.stage for step in recipe.steps}


def _changed(reference: Stage, other: Stage) -> dict[str, Any]:
    """Parameters whose value is another one, spellings of paths and worker processes aside."""
    if type(reference) is not type(other):
        return {"stage": other.name}
    found = {}
    for entry in describe(type(other)):
        before, after = getattr(reference, entry.name), getattr(other, entry.name)
        if entry.param.keyed and _same(before) != _same(after):
            found[entry.name] = _shown(after)
    return found


def _shown(value: Any) -> Any:
    """Of a path its name alone: the rest is somebody's machine."""
    return value.name if isinstance(value, Path) else value


def _same(value: Any) -> Any:
    return value.resolve() if isinstance(value, Path) else value
