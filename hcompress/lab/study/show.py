"""A study's figures as rows of text: the same for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hcompress.lab.study.plan import FINISHED, SHARED, TO_RUN
from hcompress.progress import clock_text
from hcompress.reports import caveats
from hcompress.reports.size_table import markdown_table, markdown_text, mib_text, percent_text

Rows = list[list[str]]
NOTHING = "–"
COMMON = "Common settings"
"""The heading over what all variants share."""


def tables(result: Mapping[str, Any]) -> Iterator[tuple[str, Rows]]:
    """Titles with their tables: what each variant costs, then a test set each."""
    yield "Sizes and training", cost_rows(result)
    for name, lines in result["tests"].items():
        yield f"{name}: {lines['images']:,} lines of {lines['data']}", accuracy_rows(result, name)


def cost_rows(result: Mapping[str, Any]) -> Rows:
    """Bytes and parameters of the models, images and time of the training (means over seeds)."""
    rows = [["variant", "bytes", "MiB", "parameters", "images trained on", "training"]]
    rows.append([*_size("teacher", result["teacher"]), NOTHING, NOTHING])
    for entry in result["variants"]:
        images, seconds = entry["images_trained"], entry["training_seconds"]
        time = clock_text(seconds) if images else NOTHING
        rows.append([*_size(entry["name"], entry), f"{images:,.0f}" if images else NOTHING, time])
    return rows


def _size(name: str, entry: Mapping[str, Any]) -> list[str]:
    return [name, f"{entry['bytes']:,}", mib_text(entry["bytes"]), f"{entry['params']:,}"]


def accuracy_rows(result: Mapping[str, Any], test: str) -> Rows:
    """Accuracy on one test set in percent, each seed's beside it, and both differences."""
    against = f"against {result['reference']}"
    rows = [["variant", "lines read, %", "each seed", against, "against teacher", "1-NED"]]
    taught = result["teacher"]["tests"][test]
    share = percent_text(taught["accuracy"])
    rows.append(["teacher", share, NOTHING, NOTHING, NOTHING, f"{taught['ned']:.4f}"])
    for entry in result["variants"]:
        found = entry["tests"][test]
        rows.append(
            [
                entry["name"],
                percent_text(found["accuracy"]),
                " ".join(percent_text(share) for share in found["seeds"]),
                difference_text(found["to_reference"]),
                difference_text(found["to_teacher"]),
                f"{found['ned']:.4f}",
            ]
        )
    return rows


def difference_text(found: Mapping[str, float] | None) -> str:
    """`-1.20 (-1.85 to -0.55)` points; a dash for the reference itself."""
    if found is None:
        return NOTHING
    change, low, high = (_signed(found[name]) for name in ("change", "change_low", "change_high"))
    return f"{change} ({low} to {high})"


def _signed(points: float) -> str:
    return f"{round(points, 2) + 0.0:+.2f}".replace("-", "−")


def differs_text(entry: Mapping[str, Any]) -> str:
    """What a variant does otherwise than the reference."""
    differs = entry["differs"]
    parts = [f"{word} {', '.join(differs[word])}" for word in ("without", "with") if differs[word]]
    parts += [_setting(key, value) for key, value in differs["set"].items()]
    return "; ".join(parts) or "the reference"


def _setting(key: str, value: object) -> str:
    """As a recipe has it."""
    if value is None:
        return f"{key} = none"
    return f"{key} = {str(value).lower() if isinstance(value, bool) else value}"


def votes_text(votes: Mapping[str, Any]) -> str:
    """How many features voted for a character's code."""
    return (
        f"votes a character: median {votes['median']:g}, none for {votes['none']:,} characters,"
        f" one for {votes['one']:,}"
    )


def common_lines(result: Mapping[str, Any]) -> list[str]:
    """What the variants share, a line a stage: every parameter that could change a byte."""
    everybody = [entry["name"] for entry in result["variants"]]
    return [_common_line(entry, everybody) for entry in result["common"]]


def _common_line(entry: Mapping[str, Any], everybody: Sequence[str]) -> str:
    notes = [entry["stage"]] if entry["stage"] != entry["label"] else []
    if entry["variants"] != everybody:
        notes.append(f"in {', '.join(entry['variants'])}")
    where = f" ({'; '.join(notes)})" if notes else ""
    settings = "; ".join(_setting(key, value) for key, value in entry["settings"].items())
    return f"{entry['label']}{where}: {settings or 'no parameters'}"


def study_markdown(result: Mapping[str, Any]) -> str:
    """The whole study, to be committed under `reports/`: no path of this machine is in it."""
    return "\n".join(block.rstrip("\n") + "\n" for block in _blocks(result) if block)


def _blocks(result: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {markdown_text(result['study'])}"
    yield markdown_text(result["summary"])
    seeds = ", ".join(map(str, result["seeds"]))
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    teacher = result["teacher"]
    yield _list(
        [
            f"teacher: {teacher['name']}, SHA-256 {teacher['digest'][:16]}…",
            f"seeds: {seeds}; threads: {result['threads']}",
            f"versions: {versions}",
            *(_variant_line(entry, result) for entry in result["variants"]),
        ]
    )
    yield from map(markdown_text, caveats.teacher(teacher["digest"]))
    yield f"## {COMMON}"
    yield _list(common_lines(result))
    for title, rows in tables(result):
        yield f"## {markdown_text(title)}"
        yield markdown_table(rows)
    yield markdown_text(result["method"])


def _variant_line(entry: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """What it does otherwise; of the reference, its own values of what others have otherwise."""
    parts = [differs_text(entry)]
    if entry["name"] == result["reference"]:
        parts += [_setting(key, value) for key, value in result["varied"].items()]
    parts += [votes_text(entry["votes"])] if entry["votes"] else []
    return f"{entry['name']}: {'; '.join(parts)}"


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {markdown_text(line)}" for line in lines)


def plan_rows(plan: Mapping[str, Any]) -> Rows:
    """A dry run: how many stages of each run are in which state, and what has been read."""
    tests = list(plan["teacher"]["tests"])
    rows = [["run", FINISHED, SHARED, "to run", *(f"reads {name}" for name in tests)]]
    rows.append(["teacher", NOTHING, NOTHING, NOTHING, *_read(plan["teacher"], tests)])
    for run in plan["runs"]:
        states = [stage["state"] for stage in run["stages"]]
        counts = [str(states.count(state)) for state in (FINISHED, SHARED, TO_RUN)]
        rows.append([run["run"], *counts, *_read(run, tests)])
    return rows


def _read(entry: Mapping[str, Any], tests: Sequence[str]) -> list[str]:
    return [FINISHED if entry["tests"][name] == FINISHED else "to run" for name in tests]
