"""A subcommand for each stage, made from its dataclass."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hcompress.artifacts.kinds import Kind
from hcompress.cli.state import Json, State, state_of
from hcompress.errors import UsageError
from hcompress.runs.recipe import DEFAULT_SEED, DEFAULT_THREADS, MOST_SEED, MOST_THREADS
from hcompress.stages.base import JUDGED_BY_ORIGINAL, Stage, needs
from hcompress.strict.read import read
from hcompress.strict.schema import Parameter, describe

if TYPE_CHECKING:
    from hcompress.artifacts.folder import Artifact

_CONTEXT = "context"
_COMMON = ("source", "out", "seed", "threads", "teacher", "force", "json_output")


def add_stage(app: typer.Typer, kind: type[Stage]) -> None:
    """Give ``app`` the stage's command. Raises TypeError if a field has a common name."""
    specs = describe(kind)
    taken = {spec.name for spec in specs} & {_CONTEXT, *_COMMON}
    if taken:
        raise TypeError(f"{kind.__name__}: fields {sorted(taken)} are the command's own options")
    short = f"Stage: {kind.summary}"
    app.command(kind.name, help=_help(kind), short_help=short)(_command(kind, specs))


def _help(kind: type[Stage]) -> str:
    takes = "data alone" if kind.consumes is Kind.NOTHING else f"a {kind.consumes} (SOURCE)"
    return f"{kind.summary}\n\nTakes {takes}, makes a {kind.produces} in the folder OUT."


def _command(kind: type[Stage], specs: tuple[Parameter, ...]) -> Callable[..., None]:
    names = [spec.name for spec in specs]

    def command(**values: Any) -> None:
        state = state_of(values[_CONTEXT])
        own = {name: _unlist(values[name]) for name in names}
        _run(kind, own, {name: values.get(name) for name in _COMMON}, state)

    entries = [
        inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
        *_common(kind),
        *(_option(spec) for spec in specs),
    ]
    entries = [entry.replace(kind=inspect.Parameter.KEYWORD_ONLY) for entry in entries]
    vars(command)["__signature__"] = inspect.Signature(entries)
    command.__annotations__ = {entry.name: entry.annotation for entry in entries}
    command.__name__ = kind.name.replace("-", "_")
    return command


def _common(kind: type[Stage]) -> list[inspect.Parameter]:
    source = typer.Argument(
        metavar="SOURCE",
        help=f"The {kind.consumes} to start from: an artifact folder or a file."
        + (" An ONNX file of ours will do." if kind.consumes is Kind.CHECKPOINT else ""),
    )
    teacher = typer.Option(
        "--teacher", help="The recogniser to distil from, or to be held against."
    )
    options = [
        _entry("out", Annotated[Path, typer.Option("--out", help="The artifact's folder.")]),
        _entry(
            "seed",
            Annotated[int, typer.Option("--seed", min=0, max=MOST_SEED, help="Seed.")],
            DEFAULT_SEED,
        ),
        _entry(
            "threads",
            Annotated[
                int, typer.Option("--threads", min=1, max=MOST_THREADS, help="Threads torch uses.")
            ],
            DEFAULT_THREADS,
        ),
        _entry(
            "force",
            Annotated[
                bool,
                typer.Option(
                    "--force/--resume",
                    help="Make it again, replacing an artifact of ours; or keep what is finished.",
                ),
            ],
            False,
        ),
        _entry("json_output", Json, False),
    ]
    if kind.consumes is Kind.NOTHING:
        return options
    with_teacher = [_entry("teacher", Annotated[Path | None, teacher], None)]
    return [
        _entry("source", Annotated[Path, source]),
        *options,
        *(with_teacher if takes_teacher(kind) else []),
    ]


def takes_teacher(kind: type[Stage]) -> bool:
    """Whether a stage may be held against another model than its source."""
    return kind.consumes is Kind.CHECKPOINT or kind.name in JUDGED_BY_ORIGINAL


def _entry(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
    )


def _option(spec: Parameter) -> inspect.Parameter:
    annotation: Any = list[spec.scalar] if spec.many else spec.scalar  # type: ignore[name-defined]
    name = f"{spec.option}/--no-{spec.option[2:]}" if spec.scalar is bool else spec.option
    bounds = f" ({spec.bounds_text})" if spec.bounds_text else ""
    info = typer.Option(name, help=f"{spec.param.help}{bounds}")
    default = list(spec.default) if spec.many and spec.default is not None else spec.default
    if spec.optional or (spec.many and not spec.required):
        annotation = annotation | None
    return _entry(
        spec.name,
        Annotated[annotation, info],
        inspect.Parameter.empty if spec.required else default,
    )


def _unlist(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _run(
    kind: type[Stage], own: Mapping[str, Any], common: Mapping[str, Any], state: State
) -> None:
    source, made = run_alone(read(kind, own, kind.name, UsageError), common, state)
    show_made(made, source, common["json_output"], state)


def run_alone(
    stage: Stage, common: Mapping[str, Any], state: State
) -> tuple[Artifact | None, Artifact]:
    """What a stage was given and what it made, by the options that every stage has."""
    from hcompress.artifacts.source import open_source
    from hcompress.compute.libraries import require
    from hcompress.runs.place import Existing, apart_from_runs, named
    from hcompress.runs.runner import StageOptions, run_stage

    require(stage.name, needs(stage))
    source = open_source(common["source"]) if common["source"] else None
    out = named(common["out"])
    options = StageOptions(
        seed=common["seed"],
        threads=common["threads"],
        teacher=open_source(common["teacher"]) if common.get("teacher") else None,
        progress=state.console.progress(),
        rebuild=common["force"],
        existing=Existing.REPLACE if common["force"] else Existing.KEEP,
        ranks=state.ranks,
    )
    with apart_from_runs(out) if state.ranks.first else contextlib.nullcontext():
        return source, run_stage(stage, source, out, options)


def show_made(made: Any, source: Any, as_json: bool, state: State) -> None:
    """Prints what a stage made, and what it weighs beside its source."""
    from hcompress.foreign.header import is_foreign
    from hcompress.reports.size_table import column, table1_rows
    from hcompress.sizes import characters_of

    if as_json:
        state.console.json({"path": str(made.path), **made.manifest.to_dict()})
        return
    columns = [
        column(
            entry.path.name,
            entry.manifest.techniques,
            entry.manifest.breakdown,
            characters=characters_of(entry.file),
            foreign=is_foreign(entry.opened),
        )
        for entry in (source, made)
        if entry is not None and entry.manifest is not None
    ]
    state.console.table(table1_rows(columns), talk=True)
    state.console.out(str(made.file))
