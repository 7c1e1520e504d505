"""A card's facts, from the model file, its evaluations and its data: each checked against the rest.

A card must not say of one model what was measured of another, or on other data.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hcompress import sizes
from hcompress.artifacts.folder import Artifact
from hcompress.artifacts.kinds import Kind
from hcompress.artifacts.source import open_source
from hcompress.errors import InputRefused, UsageError
from hcompress.foreign.parts import parts_of
from hcompress.reports.card import MARK, Card, Data, Font, Measured, Teacher
from hcompress.reports.figures import short_name
from hcompress.reports.load import Evaluation, load_report, read_accuracy, read_view
from hcompress.reports.model import RunReport
from hcompress.spec.header import ModelMetadata, read_header
from hcompress.strict.atomic import write_text


def make_card(
    model: Path,
    evaluations: Iterable[Path],
    trained_on: Iterable[Path] = (),
    run: Path | None = None,
    licence: str | None = None,
    teacher: Path | None = None,
) -> Card:
    """The card of ``model`` from what `hcompress eval --json` said of it.

    Raises UsageError if a path leads nowhere, that of data which an evaluation names included;
    InputRefused if a file is damaged, an evaluation or ``run`` is of another model, ``teacher`` is
    not the run's, or the data is no longer what was read; EnvironmentFailed if fonts are missing.
    """
    found = open_source(model)
    report = None if run is None else _run(run, found)
    parts = parts_of(found.opened)
    return Card(
        name=found.file.name,
        digest=found.digest,
        breakdown=sizes.breakdown(found.opened, parts.groups),
        techniques=(*sizes.techniques_of(found.opened), *parts.techniques),
        metadata=_metadata(found),
        measured=tuple(_measured(path, found) for path in evaluations),
        trained_on=tuple(_data(path) for path in trained_on),
        run=report,
        teacher=_teacher(teacher, report),
        licence=licence,
    )


def _metadata(found: Artifact) -> ModelMetadata:
    if found.kind is Kind.ENGINE:
        raise InputRefused(f"{found.file}: an engine has no card of its own: give its ONNX file")
    return read_header(found.opened)


def _measured(path: Path, found: Artifact) -> Measured:
    """One evaluation, which has to be of this model and of data that is as it was then."""
    if not path.is_file():
        raise UsageError(f"{path}: no such evaluation: hcompress eval MODEL DATA --json prints one")
    entry, (of, _) = read_accuracy(path, 0), read_view(Evaluation, path)
    if of.model_digest != found.digest:
        raise InputRefused(
            f"{path}: what it measured, {of.model}, was not the model {found.file}: measure again"
        )
    if not Path(entry.data).exists():
        raise UsageError(f"{path}: it names {entry.data}, which is not here: go where it was made")
    data = _data(Path(entry.data))
    if data.digest != entry.data_digest:
        raise InputRefused(f"{path}: {entry.data} is no longer what it measured: measure again")
    return Measured(data, entry)


def _data(path: Path) -> Data:
    from hcompress.data.render.source import RenderedSource
    from hcompress.data.source import open_data

    source = open_data(path)
    name = short_name(str(path))
    if not isinstance(source, RenderedSource):
        return Data(name, source.digest, len(source))
    fonts = tuple(Font(family.name, family.licence) for family in source.families)
    return Data(name, source.digest, len(source), fonts, source.lengths)


def _teacher(path: Path | None, report: RunReport | None) -> Teacher | None:
    """The file named, or what the run says that it started from."""
    said = None if report is None else report.teacher.get("digest")
    if path is None:
        name = None if report is None else report.teacher.get("model")
        known = isinstance(said, str) and isinstance(name, str)
        return Teacher(short_name(str(name)), str(said)) if known else None
    digest = open_source(path).digest
    if said not in (None, digest):
        raise InputRefused(f"{path}: not the teacher of the run, whose SHA-256 is {said}")
    return Teacher(short_name(str(path)), digest)


def _run(run: Path, found: Artifact) -> RunReport:
    report = load_report(run)
    made = report.stages[-1].files.values() if report.stages else ()
    if found.digest not in {digest for _, digest in made}:
        raise InputRefused(f"{run}: its last stage made another model than {found.file}")
    return report


def check_out(out: Path) -> None:
    """Raises UsageError where ``out`` is there and no card of ours."""
    if not (out.exists() or out.is_symlink()):
        return
    if out.is_file():
        with out.open("rb") as stream:
            if stream.read(len(MARK)) == MARK.encode():
                return
    raise UsageError(f"{out}: there already, and no model card: choose another --out")


def write_card(out: Path, text: str) -> None:
    """Make ``text`` the card ``out``, whole or not at all. Raises as `check_out`."""
    check_out(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, text)
