"""The pipeline with stages of a few bytes: chain, keys, resume, run folder, dry run."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest

from hcompress.artifacts import folder as artifacts
from hcompress.artifacts.folder import Artifact
from hcompress.artifacts.kinds import Kind
from hcompress.artifacts.source import open_source
from hcompress.compute.lock import hold
from hcompress.errors import EnvironmentFailed, InputRefused, NumericalError, UsageError
from hcompress.formats.open import Source
from hcompress.progress import NoProgress
from hcompress.runs import keys
from hcompress.runs.keys import make_ticket, step_seed
from hcompress.runs.place import Existing
from hcompress.runs.plan import make_plan
from hcompress.runs.recipe import Recipe, load_recipe
from hcompress.runs.runner import StageOptions, check_chain, run_stage
from hcompress.runs.shrink import RunOptions, RunResult, run_recipe
from hcompress.stages.base import Env
from hcompress.stages.codebook import MakeCodebook
from hcompress.strict.schema import Param
from tests.fake_stages import (
    FAKES,
    RECIPE,
    FakeOnnx,
    FakeSlim,
    FakeTrain,
    safetensors_bytes,
    write_recipe,
)


class Listener(NoProgress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def digest(path: Path) -> str:
    return artifacts.path_digest(path)


@pytest.fixture
def teacher(tmp_path: Path) -> Artifact:
    path = tmp_path / "teacher.safetensors"
    path.write_bytes(safetensors_bytes(b"t" * 32))
    return open_source(path)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return load_recipe(write_recipe(tmp_path), FAKES)


Run = Callable[..., tuple[RunResult, list[str]]]


@pytest.fixture
def run(tmp_path: Path, recipe: Recipe) -> Run:
    def call(changed: Recipe | None = None, **options: Any) -> tuple[RunResult, list[str]]:
        listener = Listener()
        whole = RunOptions(progress=listener, digest_data=digest, **options)
        return run_recipe(changed or recipe, None, tmp_path / "run", whole), listener.said

    return call


def test_the_chain_is_checked_before_any_work(tmp_path: Path) -> None:
    slim, onnx = ("slim", FakeSlim()), ("onnx", FakeOnnx())
    check_chain([slim, onnx], Kind.CHECKPOINT)
    with pytest.raises(UsageError, match='stage "slim" takes checkpoint, but stage "onnx" gives'):
        check_chain([onnx, slim], Kind.CHECKPOINT)
    with pytest.raises(UsageError, match="name a model to start from"):
        check_chain([slim], Kind.NOTHING)
    check_chain([slim, onnx], Kind.ONNX)  # to start from, it stands for its checkpoint
    with pytest.raises(UsageError, match='"slim" takes checkpoint, but the run gives engine'):
        check_chain([slim], Kind.ENGINE)
    assert list(tmp_path.iterdir()) == []


def test_pillows_version_is_in_the_key_where_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("data")
    read, none = FakeTrain(data=tmp_path / "a"), FakeSlim()

    def tickets() -> list[Any]:
        return [make_ticket(one, None, None, 1, 1, digest_data=digest) for one in (read, none)]

    before = tickets()
    assert ["pillow" in one.versions for one in before] == [True, False]
    monkeypatch.setattr(keys, "_version", lambda name: "0" if name == "pillow" else "1")
    first = tickets()
    monkeypatch.setattr(keys, "_version", lambda _: "1")
    second = tickets()
    assert [one.key == other.key for one, other in zip(first, second, strict=True)] == [False, True]


def test_the_key_sees_everything_that_matters(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("data")
    (tmp_path / "b").write_text("data")
    (tmp_path / "c").write_text("other")
    base = FakeTrain(data=tmp_path / "a")

    def key(stage: Any = base, parent: Any = None, teacher: Any = None, **more: Any) -> str:
        numbers = {"seed": 1, "threads": 1, **more}
        return make_ticket(stage, parent, teacher, **numbers, digest_data=digest).key

    assert len(key()) == 64
    assert key() == key(dataclasses.replace(base, data=tmp_path / "b"))  # a name is no content
    different = [
        key(),
        key(dataclasses.replace(base, data=tmp_path / "c")),
        key(dataclasses.replace(base, steps=13)),
        key(parent="ab" * 32),
        key(teacher="ab" * 32),
        key(seed=2),
        key(threads=2),
    ]
    assert len(set(different)) == len(different)


@dataclasses.dataclass(frozen=True)
class Several(FakeTrain):
    """Learns from more than one place."""

    more: Annotated[tuple[Path, ...], Param("what else to learn", data=True)] = ()
    words: Annotated[Path | None, Param("a file of words")] = None


def test_the_key_sees_all_data_of_several_and_their_order(tmp_path: Path) -> None:
    def key(*names: str, words: str | None = None) -> str:
        more = tuple(tmp_path / name for name in names)
        stage = Several(
            tmp_path / "a", more=more, words=None if words is None else tmp_path / words
        )
        return make_ticket(stage, None, None, 1, 1, digest_data=lambda path: path.name).key

    (tmp_path / "a").write_text("words")
    (tmp_path / "b").write_text("other words")
    lists = [(), ("a",), ("a", "b"), ("b", "a"), ("a", "b", "a"), ("ab",), ("a", "a")]
    keys = [*(key(*names) for names in lists), *(key(words=name) for name in "ab")]
    assert len(set(keys)) == len(keys)
    (tmp_path / "c").write_text("words")
    assert key(words="a") == key(words="c")  # no data: its very bytes count
    assert key("a") != key("c")  # data: what its digest says


def test_data_are_digested_once_each() -> None:
    asked: list[Path] = []

    def digest_data(path: Path) -> str:
        asked.append(path)
        return path.name

    ask = keys.remembering(digest_data)
    assert [ask(Path(name)) for name in "abab"] == ["a", "b", "a", "b"]
    assert asked == [Path("a"), Path("b")]


def test_the_key_leaves_out_what_changes_no_byte() -> None:
    few, many = MakeCodebook(workers=0), MakeCodebook(workers=4)
    assert make_ticket(few, None, None, 1, 1).key == make_ticket(many, None, None, 1, 1).key
    longer = MakeCodebook(code_length=1024)
    assert make_ticket(few, None, None, 1, 1).key != make_ticket(longer, None, None, 1, 1).key


def test_the_key_sees_stage_versions_and_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    def key() -> str:
        return make_ticket(FakeSlim(), None, None, 1, 1).key

    keys = {key()}
    monkeypatch.setattr(FakeSlim, "version", 2)
    keys.add(key())
    monkeypatch.setattr(FakeSlim, "libraries", ("numpy",))
    keys.add(key())
    monkeypatch.setattr("hcompress.runs.keys._version", lambda _name: "0")
    keys.add(key())
    assert len(keys) == 4


def test_seeds_differ_by_step() -> None:
    seeds = {step_seed(seed, index) for seed in (1, 2) for index in range(20)}
    assert len(seeds) == 40
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_run_leaves_what_the_reports_need(run: Run) -> None:
    result, said = run()
    folder = result.folder
    index = json.loads((folder / "run.json").read_text())
    assert [stage["status"] for stage in index["stages"]] == ["done"] * 3
    assert [stage["folder"] for stage in index["stages"]] == [
        "01-fake-train", "02-slim", "03-fake-onnx",
    ]  # fmt: skip
    assert json.loads((folder / "recipe.json").read_text())["name"] == "tiny"
    manifest = artifacts.read_manifest(folder / "02-slim")
    assert manifest.parent is not None
    assert manifest.parent.stage == "fake-train"
    assert manifest.parent.key == index["stages"][0]["key"]
    assert set(manifest.files) == {"model.safetensors", "extra/notes.txt"}
    assert manifest.breakdown["bytes"] == (folder / "02-slim/model.safetensors").stat().st_size
    assert artifacts.read_manifest(folder / "01-fake-train").report["loss"] is None  # was NaN
    assert result.model == folder / "03-fake-onnx" / "model.onnx"
    assert all(path.exists() for path in result.reports)
    assert not list(folder.glob("*.partial"))
    assert any("slimmed" in line for line in said)


def test_the_second_run_keeps_everything(run: Run) -> None:
    before, _ = run()
    stamps = [path.stat().st_mtime_ns for path in sorted(before.folder.glob("0*/*"))]
    after, said = run()
    assert [stage["status"] for stage in after.stages] == ["kept"] * 3
    assert stamps == [path.stat().st_mtime_ns for path in sorted(before.folder.glob("0*/*"))]
    assert sum("kept" in line for line in said) == 3


@pytest.mark.parametrize("damage", ["flip", "manifest", "missing", "stranger"])
def test_a_damaged_artifact_is_a_miss(run: Run, damage: str) -> None:
    first, _ = run()
    broken = first.folder / "02-slim"
    good = (broken / "model.safetensors").read_bytes()
    if damage == "flip":
        (broken / "model.safetensors").write_bytes(good[:-1] + b"!")
    elif damage == "manifest":
        (broken / "manifest.json").write_text("{")
    elif damage == "missing":
        (broken / "extra" / "notes.txt").unlink()
    else:
        shutil.rmtree(broken)
        broken.write_text("a file where a folder was")
    second, said = run()
    assert [stage["status"] for stage in second.stages] == ["kept", "done", "kept"]
    assert (broken / "model.safetensors").read_bytes() == good
    assert damage == "stranger" or any("02-slim: damaged" in line for line in said)


def test_a_changed_parameter_redoes_from_there_on(run: Run, recipe: Recipe) -> None:
    run()
    first, slim, onnx = recipe.steps
    changed = dataclasses.replace(slim, stage=FakeSlim(layers=("a",)))
    result, said = run(dataclasses.replace(recipe, steps=(first, changed, onnx)))
    assert [stage["status"] for stage in result.stages] == ["kept", "done", "done"]
    assert any("made from other inputs" in line for line in said)


def test_force_makes_everything_anew(run: Run) -> None:
    run()
    result, _ = run(rebuild=True)
    assert [stage["status"] for stage in result.stages] == ["done"] * 3


def test_another_recipe_does_not_take_the_folder(run: Run, recipe: Recipe) -> None:
    run()
    with pytest.raises(UsageError, match='holds a run of the recipe "tiny"'):
        run(dataclasses.replace(recipe, name="other"))


DAMAGED: dict[str, Callable[[Path], object]] = {
    "cut short": lambda path: os.truncate(path, path.stat().st_size - 5),
    "empty": lambda path: path.write_text(""),
    "another's": lambda path: path.write_text("{}"),
    "no JSON": lambda path: path.write_bytes(b"\xff"),
    "a list": lambda path: path.write_text("[]"),
    "no name": lambda path: path.write_text(path.read_text().replace('"recipe"', '"recip"')),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a link to nowhere": lambda path: (path.unlink(), path.symlink_to("nowhere")),
}


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("rebuild", [False, True])
def test_whose_run_it_is_must_be_known(
    run: Run, recipe: Recipe, damage: str, rebuild: bool
) -> None:
    """A file that is damaged is not one that is missing: hours may lie beside it."""
    folder = run()[0].folder
    DAMAGED[damage](folder / "run.json")
    before = {path: path.lstat().st_mtime_ns for path in sorted(folder.rglob("*.*"))}
    for tried in (recipe, dataclasses.replace(recipe, name="other")):
        with pytest.raises(InputRefused, match=r"run\.json: .*whose folder it is can't be told"):
            run(tried, rebuild=rebuild)
        with pytest.raises(InputRefused, match="can't be told"):
            make_plan(tried, None, folder, digest, rebuild=rebuild)
    assert before == {path: path.lstat().st_mtime_ns for path in sorted(folder.rglob("*.*"))}


def test_a_run_without_its_index_is_not_taken_over(run: Run) -> None:
    folder = run()[0].folder
    (folder / "run.json").unlink()
    with pytest.raises(UsageError, match="no run of ours"):
        run()


def test_a_damaged_artifact_of_another_key_is_nobody_elses_to_mend(
    tmp_path: Path, teacher: Artifact
) -> None:
    out = tmp_path / "out"
    made = run_stage(FakeSlim(), teacher, out, StageOptions())
    os.truncate(made.file, made.file.stat().st_size - 1)
    with pytest.raises(UsageError, match="made from other inputs or settings"):
        run_stage(FakeSlim(deep=True), teacher, out, StageOptions())
    assert run_stage(FakeSlim(), teacher, out, StageOptions()).digest == made.digest


def test_another_teacher_does_not_take_the_folder(
    recipe: Recipe, teacher: Artifact, tmp_path: Path
) -> None:
    from_teacher = dataclasses.replace(recipe, steps=recipe.steps[1:])

    def run(**options: Any) -> list[str]:
        whole = RunOptions(digest_data=digest, **options)
        made = run_recipe(from_teacher, teacher.file, tmp_path / "run", whole)
        return [stage["status"] for stage in made.stages]

    assert run() == ["done"] * 2
    assert run() == ["kept"] * 2
    teacher.file.write_bytes(safetensors_bytes(b"another " * 4))
    with pytest.raises(UsageError, match=r"from another teacher, .*teacher\.safetensors"):
        run()
    assert run(rebuild=True) == ["done"] * 2


def test_a_users_folder_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not empty and no run of ours"):
        run()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_one_run_at_a_time(run: Run, tmp_path: Path) -> None:
    run()
    with hold(tmp_path / "run" / ".lock"), pytest.raises(EnvironmentFailed, match="another run"):
        run()


def test_no_room_is_said_before_the_work(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(EnvironmentFailed, match="1 MiB free, 64 MiB needed"):
        run()


def test_a_failing_stage_leaves_nothing_under_its_name(tmp_path: Path, teacher: Artifact) -> None:
    with pytest.raises(NumericalError, match="NaN"):
        run_stage(FakeSlim(fail=True), teacher, tmp_path / "out", StageOptions())
    assert not (tmp_path / "out").exists()


def test_one_stage_alone(tmp_path: Path, teacher: Artifact) -> None:
    made = run_stage(FakeSlim(), teacher, tmp_path / "deep" / "out", StageOptions())
    assert made.path == tmp_path / "deep" / "out"
    assert made.manifest is not None
    assert made.manifest.parent is not None
    assert made.manifest.parent.key == teacher.key
    assert run_stage(FakeSlim(), teacher, made.path, StageOptions()) == made
    with pytest.raises(UsageError, match="made from other inputs or settings"):
        run_stage(FakeSlim(deep=True), teacher, made.path, StageOptions())
    replaced = run_stage(
        FakeSlim(deep=True), teacher, made.path, StageOptions(existing=Existing.REPLACE)
    )
    assert replaced.key != made.key


def test_a_users_partial_folder_is_left_alone(tmp_path: Path, teacher: Artifact) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not ours"):
        run_stage(FakeSlim(), teacher, tmp_path / "out", StageOptions())
    assert (tmp_path / "out.partial" / "thesis.txt").exists()


class InterruptError(Exception):
    pass


class Stopper(NoProgress):
    """Stops the stage at its ninth step."""

    def __init__(self) -> None:
        self.left = 9

    def advance(self, count: int = 1, note: str = "") -> None:
        self.left -= count
        if self.left == 0:
            raise InterruptError(note)


@pytest.mark.parametrize(("steps", "resumed"), [(12, 8), (13, 0)])
def test_snapshots_are_used_by_their_own_key_only(tmp_path: Path, steps: int, resumed: int) -> None:
    write_recipe(tmp_path)
    data = tmp_path / "data.txt"
    options = StageOptions(progress=Stopper(), digest_data=digest)
    with pytest.raises(InterruptError):
        run_stage(FakeTrain(data, steps=12), None, tmp_path / "out", options)
    assert (tmp_path / "out.partial" / "scratch" / "snapshot").exists()
    options = StageOptions(digest_data=digest)
    made = run_stage(FakeTrain(data, steps=steps), None, tmp_path / "out", options)
    assert made.manifest is not None
    assert made.manifest.report["resumed"] == resumed
    assert not (tmp_path / "out.partial").exists()
    whole = run_stage(FakeTrain(data, steps=steps), None, tmp_path / "whole", options)
    assert whole.digest == made.digest


def test_a_stage_that_fails_leaves_nothing_it_could_not_go_on_from(
    tmp_path: Path, teacher: Artifact
) -> None:
    with pytest.raises(NumericalError):
        run_stage(FakeSlim(fail=True), teacher, tmp_path / "out", StageOptions())
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()


def test_a_stage_is_told_its_surroundings(tmp_path: Path, teacher: Artifact) -> None:
    seen: list[Env] = []

    @dataclasses.dataclass(frozen=True)
    class Spy(FakeSlim):
        def run(self, source: Source | None, out: Path, env: Env) -> Any:
            seen.append(env)
            assert env.scratch.is_dir()
            return super().run(source, out, env)

    options = StageOptions(seed=5, threads=3, teacher=teacher)
    run_stage(Spy(), teacher, tmp_path / "out", options)
    assert (seen[0].seed, seen[0].threads, seen[0].teacher) == (5, 3, teacher.opened)
    assert seen[0].provenance.stage == "fake-slim"
    assert seen[0].provenance.parent == teacher.key


def test_a_dry_run_changes_nothing(run: Run, recipe: Recipe, tmp_path: Path) -> None:
    plan = make_plan(recipe, None, tmp_path / "run", digest)
    assert [stage.cached for stage in plan.stages] == [False] * 3
    assert not (tmp_path / "run").exists()
    result, _ = run()
    shutil.rmtree(result.folder / "03-fake-onnx")
    plan = make_plan(recipe, None, tmp_path / "run", digest)
    assert [stage.cached for stage in plan.stages] == [True, True, False]
    assert plan.stages[1].bytes == (result.folder / "02-slim/model.safetensors").stat().st_size
    assert [stage.key for stage in plan.stages] == [stage["key"] for stage in result.stages]
    assert plan.rows()[1][-1] == "finished"


LATE = (
    RECIPE
    + """
[[stages]]
stage = "fake-train"
label = "again"
data = "nope.txt"
"""
)
EVALUATE = RECIPE.replace("seed = 3", "[evaluate]\ndata = 'nope.txt'")


@pytest.mark.parametrize("text", [LATE, EVALUATE])
def test_a_missing_input_is_said_before_any_work(tmp_path: Path, text: str) -> None:
    recipe = load_recipe(write_recipe(tmp_path, text), FAKES)
    with pytest.raises(UsageError, match=r"nope\.txt: no such"):
        run_recipe(recipe, None, tmp_path / "run", RunOptions())
    assert not (tmp_path / "run").exists()


def test_a_dry_run_refuses_the_folder_the_run_would_refuse(recipe: Recipe, tmp_path: Path) -> None:
    taken = tmp_path / "mine"
    taken.write_text("a user's")
    with pytest.raises(UsageError, match="a file is there already"):
        make_plan(recipe, None, taken, digest)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "thesis.txt").write_text("a user's")
    with pytest.raises(UsageError, match="no run of ours"):
        make_plan(recipe, None, folder, digest)


def test_a_dry_run_refuses_another_recipes_run_but_where_it_is_forced(
    run: Run, recipe: Recipe
) -> None:
    folder = run()[0].folder
    other = dataclasses.replace(recipe, name="other")
    with pytest.raises(UsageError, match='holds a run of the recipe "tiny"'):
        make_plan(other, None, folder, digest)
    forced = make_plan(other, None, folder, digest, rebuild=True)
    assert not any(stage.cached for stage in forced.stages)
