"""Runs stages: checks the chain, keys, resumes, measures, publishes. Knows no stage by name."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hcompress.artifacts import folder as artifacts
from hcompress.artifacts import partial as partials
from hcompress.artifacts.folder import Artifact
from hcompress.artifacts.kinds import MODEL_FILES, Kind
from hcompress.artifacts.manifest import Manifest, Parent, StageRecord
from hcompress.compute.ranks import Ranks
from hcompress.errors import HcompressError, InputRefused, UsageError
from hcompress.formats.open import ModelFile
from hcompress.progress import NoProgress, Progress
from hcompress.runs import place
from hcompress.runs.figures import finite, measure
from hcompress.runs.keys import Digester, Ticket, data_digest, make_ticket, parent_key
from hcompress.runs.place import Existing
from hcompress.spec.header import Provenance
from hcompress.stages.base import Env, Stage, check_inside
from hcompress.strict.schema import describe
from hcompress.strict.write import plain


@dataclass(frozen=True)
class StageOptions:
    """Everything about a stage's run but the stage and its source."""

    seed: int = 7
    threads: int = 1
    teacher: Artifact | None = None
    progress: Progress = field(default_factory=NoProgress)
    rebuild: bool = False
    """Make it again even where a finished one has the key."""
    existing: Existing = Existing.KEEP
    ranks: Ranks = field(default_factory=Ranks)
    digest_data: Digester = data_digest
    shared: Mapping[str, Path] = field(default_factory=dict)
    """Finished artifacts elsewhere by key: one of them is linked in rather than made again."""


def check_chain(steps: Sequence[tuple[str, Stage]], start: Kind) -> None:
    """Raises UsageError where a stage cannot take what the one before makes.

    ``steps`` are labels with their stages; ``start`` is what the first one is given. To start
    from, an ONNX file of ours is as good as the checkpoint whose tensors it holds.
    """
    first = steps[0][1].consumes if steps else Kind.NOTHING
    given, giver = start, "the run"
    if (start, first) == (Kind.ONNX, Kind.CHECKPOINT):
        given = first
    for label, stage in steps:
        if stage.consumes not in (Kind.NOTHING, given):
            hint = ": name a model to start from" if given is Kind.NOTHING else ""
            raise UsageError(
                f'stage "{label}" takes {stage.consumes}, but {giver} gives {given}{hint}'
            )
        given, giver = stage.produces, f'stage "{label}"'


def ticket_for(stage: Stage, parent: str | None, options: StageOptions) -> Ticket:
    """The key of what ``stage`` makes from the artifact with key ``parent``."""
    return make_ticket(
        stage,
        parent,
        options.teacher.digest if options.teacher else None,
        options.seed,
        options.threads,
        options.digest_data,
    )


def find_finished(folder: Path, key: str) -> tuple[Artifact | None, str]:
    """The verified artifact with this key in ``folder``, or None and why there is none."""
    if not folder.exists():
        return None, ""
    try:
        if artifacts.read_manifest(folder).key != key:  # sound or not: nobody else's to mend
            return None, "made from other inputs or settings"
        return artifacts.open_artifact(folder), ""
    except InputRefused as error:
        return None, f"damaged: {error}"


def run_stage(
    stage: Stage, source: Artifact | None, folder: Path, options: StageOptions
) -> Artifact:
    """The artifact of ``stage`` in ``folder``: the finished one with this key, or a new one.

    Raises UsageError where the name is taken, EnvironmentFailed where there is no room, and
    whatever the stage raises; then nothing new is under the final name.
    """
    return settle_stage(stage, source, folder, options)[0]


def settle_stage(
    stage: Stage, source: Artifact | None, folder: Path, options: StageOptions
) -> tuple[Artifact, bool]:
    """As `run_stage`, with whether it was finished before."""
    check_chain([(stage.name, stage)], source.kind if source else Kind.NOTHING)
    if source is not None:
        check_inside(stage, source.opened)
    place.check_apart(folder, inputs_of(stage, source, options.teacher))
    ticket = ticket_for(stage, parent_key(source), options)
    with place.alone(folder) if options.ranks.first else contextlib.nullcontext():
        return _settle(stage, source, folder, options, ticket)


def _settle(
    stage: Stage, source: Artifact | None, folder: Path, options: StageOptions, ticket: Ticket
) -> tuple[Artifact, bool]:
    if options.ranks.agree(lambda: _prepare(source, folder, ticket.key, options)):
        return artifacts.open_artifact(folder, verify=False), True
    work = _Work(stage, source, folder, options, ticket)
    if options.ranks.first:
        work.run_and_publish()
    else:
        work.run_aside()
    options.ranks.wait()
    return artifacts.open_artifact(folder, verify=False), False


def _prepare(source: Artifact | None, folder: Path, key: str, options: StageOptions) -> bool:
    """Whether nothing is left to do; otherwise the partial folder is ready for the work."""
    partial = partials.partial_of(folder)
    partials.check(partial)
    found, why = (None, "") if options.rebuild else find_finished(folder, key)
    if found is None and not options.rebuild and _finish_publish(folder, partial, key, options):
        return True
    if found is not None:
        partials.discard(partial)
        artifacts.tidy(folder)
        options.progress.say(f"{folder.name}: finished before, kept")
        return True
    place.clear_name(folder, why, options.existing)
    place.check_room(folder.parent, source.file.stat().st_size if source else 0)
    resumes = partials.prepare(partial, key)
    if why or resumes:
        how = f"{why}: made again" if why else "goes on from its snapshot"
        options.progress.say(f"{folder.name}: {how}")
    return False


def _finish_publish(folder: Path, partial: Path, key: str, options: StageOptions) -> bool:
    """Take over an artifact whose run was killed between its manifest and its rename.

    One that another run has finished is first linked to where this one's would lie.
    """
    how = "finished before, published now"
    complete, _ = find_finished(partial / "out", key)
    if complete is None and key in options.shared:
        made = options.shared[key]
        partials.link_out(partial, made)
        complete, _ = find_finished(partial / "out", key)
        how = f"shared with {made.parent.name}"
    if complete is None:
        return False
    place.clear_name(folder, "", options.existing)
    artifacts.move_in(partial / "out", folder)
    partials.discard(partial)
    options.progress.say(f"{folder.name}: {how}")
    return True


def inputs_of(stage: Stage, *models: Artifact | None) -> list[Path]:
    """Every file and folder that the stage reads, by its parameters and by these models."""
    paths = [model.path for model in models if model is not None]
    for entry in describe(type(stage)):
        value = getattr(stage, entry.name)
        if entry.scalar is Path and value is not None:
            paths += value if entry.many else (value,)
    return paths


@dataclass(frozen=True)
class _Work:
    """One stage that has to be run."""

    stage: Stage
    source: Artifact | None
    folder: Path
    options: StageOptions
    ticket: Ticket

    @property
    def partial(self) -> Path:
        return partials.partial_of(self.folder)

    def run_and_publish(self) -> None:
        started = time.monotonic()
        out = self.partial / "out"
        try:
            figures = self._run(out)
        except HcompressError:
            partials.discard_idle(self.partial)
            raise
        manifest = self._manifest(out, figures, time.monotonic() - started)
        artifacts.publish(out, self.folder, manifest)
        partials.discard(self.partial)

    def run_aside(self) -> None:
        """The other processes' share of the work; what they write is thrown away."""
        with tempfile.TemporaryDirectory(prefix="hcompress-") as aside:
            self._run(Path(aside))

    def _run(self, out: Path) -> Mapping[str, Any]:
        options = self.options
        env = Env(
            seed=options.seed,
            threads=options.threads,
            provenance=Provenance(self.stage.name, parent_key(self.source)),
            progress=options.progress,
            scratch=self.partial / "scratch",
            teacher=options.teacher.opened if options.teacher else None,
        )
        with _threads(self.stage, options.threads), _finished(options.progress):
            return self.stage.run(self.source.opened if self.source else None, out, env)

    def _manifest(self, out: Path, figures: Mapping[str, Any], seconds: float) -> Manifest:
        breakdown, techniques = measure(ModelFile(out / MODEL_FILES[self.stage.produces]))
        return Manifest(
            stage=StageRecord(self.stage.name, self.stage.version, plain(self.stage)),
            key=self.ticket.key,
            parent=Parent(self.source.stage, self.source.key) if self.source else None,
            kind=self.stage.produces,
            files=artifacts.record_files(out),
            breakdown=breakdown,
            techniques=techniques,
            report=finite(plain(figures)),
            inputs=self.ticket.inputs,
            seed=self.options.seed,
            threads=self.options.threads,
            versions=self.ticket.versions,
            seconds=round(seconds, 3),
            finished=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        )


@contextlib.contextmanager
def _threads(stage: Stage, threads: int) -> Iterator[None]:
    """torch computes with this many threads while the stage runs: they decide its bytes."""
    if "torch" not in stage.libraries and "torch" not in sys.modules:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _finished(progress: Progress) -> Iterator[None]:
    try:
        yield
    finally:
        progress.finish()
