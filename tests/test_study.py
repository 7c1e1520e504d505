"""Studies: what a file may say, what is run and shared, and what the table says of it."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar

import pytest

from hcompress.cli import main
from hcompress.errors import EnvironmentFailed, HcompressError, InputRefused, UsageError
from hcompress.recipe import Recipe, load_recipe
from hcompress.recogniser.config import Preprocessing
from hcompress.shrink import RunOptions
from hcompress.stages.base import Env, Param, Stage
from hcompress.study import readings
from hcompress.study.run import StudyResult, run_study
from hcompress.study.spec import Study, find_study, load_study, packaged_studies
from tests.fake_stages import FakeOnnx, FakeSlim, FakeTrain, safetensors_bytes, weights_of

CALLS: list[str] = []
"""Stages that were really run, in order."""
LINES = 12


@dataclass(frozen=True)
class FakeTune(FakeSlim):
    """Learns: another margin, other weights."""

    margin: Annotated[float, Param("how far apart", 0)] = 1.0
    data: Annotated[Path | None, Param("what to learn", data=True)] = None

    name: ClassVar[str] = "fake-tune"

    def run(self, source: Path | None, out: Path, env: Env) -> Mapping[str, Any]:
        assert source is not None
        CALLS.append(f"{self.name} {self.margin:g}")
        if self.margin == 13:
            raise EnvironmentFailed("no room")
        made = hashlib.sha256(weights_of(source) + f"{env.seed} {self.margin}".encode()).digest()
        (out / "model.safetensors").write_bytes(safetensors_bytes(made))
        return {"steps": 5, "images": 40}


STAGES: dict[str, type[Stage]] = {
    kind.name: kind for kind in (FakeTrain, FakeSlim, FakeTune, FakeOnnx)
}
RECIPE = """
schema_version = 1
name = "base"
seed = 3
threads = 2

[[stages]]
stage = "fake-slim"
label = "codes"

[[stages]]
stage = "fake-slim"
label = "slim"
shade = "dark"

[[stages]]
stage = "fake-tune"
label = "tune"

[[stages]]
stage = "fake-onnx"
label = "onnx"
"""
STUDY = """
schema_version = 1
name = "tiny"
summary = "fakes | beside fakes"
recipe = "base.toml"
teacher = "teacher.safetensors"
seeds = [7, 8]

[set]
"tune.data" = "lines.txt"

[tests.known]
data = "lines.txt"
images = 10

[[variants]]
name = "whole"

[[variants]]
name = "wide"
without = ["slim"]
[variants.set]
"tune.margin" = 2.0
"""


class Reader:
    """Reads a line right where a hash of the model's weights says so."""

    preprocessing = Preprocessing(height=8, width=16)

    def __init__(self, model: Path) -> None:
        file = model / "model.onnx" if model.is_dir() else model
        self.chance = random.Random(file.read_bytes()[-32:])

    def read(self, images: Sequence[Any]) -> list[Any]:
        CALLS.append("read")
        texts = ["ab" if self.chance.random() < 0.5 else "a" for _ in images]
        return [SimpleNamespace(text=text, confidence=0.5) for text in texts]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of two variants with all it names; models that read by chance."""
    (tmp_path / "line.ppm").write_bytes(b"P6 2 2 255\n" + bytes(12))
    (tmp_path / "lines.txt").write_text("line.ppm\tab\n" * LINES, encoding="utf-8")
    (tmp_path / "base.toml").write_text(RECIPE)
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "teacher.safetensors").write_bytes(safetensors_bytes(b"t" * 32))
    monkeypatch.setattr(readings, "open_reader", Reader)
    # Each run's own page, and safety from power cuts, are other tests' business and most of the
    # time here.
    monkeypatch.setattr("hcompress.reports.write.render_page", lambda _report: "")
    monkeypatch.setattr("os.fsync", lambda _handle: None)
    CALLS.clear()
    return tmp_path


def load(folder: Path, good: str = "", bad: str = "", recipe: str = RECIPE) -> Study:
    assert good in STUDY
    (folder / "base.toml").write_text(recipe)
    (folder / "study.toml").write_text(STUDY.replace(good, bad) if good else STUDY)
    return load_study(folder / "study.toml", STAGES)


def test_settings_reach_the_stage_and_nothing_else(files: Path) -> None:
    study = load(files)
    whole, wide = (variant.recipe for variant in study.variants)
    assert whole.steps[2].stage == FakeTune(data=files / "lines.txt")
    assert wide.steps[1].stage == FakeTune(data=files / "lines.txt", margin=2.0)
    assert [step.label for step in wide.steps] == ["codes", "tune", "onnx"]
    assert whole.steps[:2] == load_recipe(files / "base.toml", STAGES).steps[:2]
    assert (study.seeds, study.reference, study.tests[0].images) == ((7, 8), "whole", 10)
    assert {recipe.threads for recipe in (whole, wide)} == {2}


@pytest.mark.parametrize(
    "spelling", ['"tune.margin" = 3', "tune.margin = 3", "tune = {margin = 3}"]
)
def test_settings_have_three_spellings(files: Path, spelling: str) -> None:
    study = load(files, '"tune.margin" = 2.0', spelling)
    assert study.variants[1].recipe.steps[1].stage == FakeTune(data=files / "lines.txt", margin=3)


def test_the_variants_own_setting_is_the_last_word(files: Path) -> None:
    study = load(files, "[set]", '[set]\n"tune.margin" = 5.0')
    margins = [variant.recipe.steps[-2].stage for variant in study.variants]
    assert [getattr(stage, "margin", None) for stage in margins] == [5.0, 2.0]


def test_a_stage_draws_the_same_wherever_it_stands(files: Path) -> None:
    from hcompress.shrink import stage_options

    def seed(recipe: Recipe, label: str) -> int:
        index = [step.label for step in recipe.steps].index(label)
        return stage_options(recipe, index, None, RunOptions()).seed

    whole, wide = (variant.run_recipe(7) for variant in load(files).variants)
    assert seed(whole, "tune") == seed(wide, "tune")
    assert seed(whole, "tune") != seed(whole, "onnx")
    assert seed(whole, "tune") != seed(load(files).variants[0].run_recipe(8), "tune")


MISTAKES: list[tuple[str, str, str]] = [
    ("seeds = [7, 8]", "", "seeds is missing"),
    ("seeds = [7, 8]", "seeds = []", "must be 1 to 100 whole numbers"),
    ("seeds = [7, 8]", "seeds = [7, 7]", "7 stands there twice"),
    ("seeds = [7, 8]", "seeds = [7, true]", "True: must be a whole number"),
    ("seeds = [7, 8]", "seeds = [-1]", "-1: must be a whole number"),
    ("seeds = [7, 8]", "seds = [7]", 'seeds is missing; "seds" is there: did you mean it?'),
    ("schema_version = 1", "schema_version = 2", "this hcompress reads 1 only"),
    ('name = "tiny"', 'name = "../x"', "must do as the name of a folder"),
    ('"base.toml"', '"bas.toml"', "bas.toml: no such recipe file"),
    ('"base.toml"', '"hamming-ocrr"', 'no recipe of that name; did you mean "hamming-ocr"?'),
    ('name = "wide"', 'name = "whole"', 'variant "whole" stands there twice'),
    ('name = "wide"', 'name = "teacher"', '"teacher" is taken'),
    ('name = "wide"', 'name = "Wide"', "lower-case letters"),
    ('name = "wide"', 'name = "../x"', "lower-case letters"),
    ('name = "wide"', "", "entry 2: name is missing"),
    ('name = "wide"', 'name = "wide"\nwithot = []', 'unknown key "withot"; did you mean "without"'),
    ('["slim"]', '["slm"]', 'variant "wide": without: no stage "slm"; did you mean "slim"?'),
    ('["slim"]', "[3]", "must be a list of labels"),
    ('["slim"]', '["codes", "slim", "tune", "onnx"]', "leaves no stages"),
    ('"tune.margin"', '"tone.margin"', '"tone.margin": no stage "tone"; did you mean "tune"?'),
    ('"tune.margin"', '"slim.shade"', 'no stage "slim"; labels: codes, onnx, tune'),
    ('"tune.margin"', '"tune.margn"', 'stage "tune": unknown key "margn"; did you mean "margin"'),
    ('"tune.margin" = 2.0', '"tune.margin" = -1', "margin = -1: must be at least 0"),
    ('"tune.margin" = 2.0', '"margin" = 1', '"margin": write "LABEL.KEY" = VALUE'),
    ('"tune.margin" = 2.0', "tune.margin.x = 1", '"tune.margin": write "LABEL.KEY" = VALUE'),
    ('"tune.margin" = 2.0', '"tune.margin" = 2\ntune.margin = 3', "stands there twice"),
    ('"tune.data"', '"tone.data"', 'set: "tone.data": no stage "tone"; did you mean "tune"?'),
    ("[tests.known]", "[tests.'Un known']", "lower-case letters"),
    ("[tests.known]", "[test.known]", "tests is missing"),
    ('[tests.known]\ndata = "lines.txt"', "[tests.known]", "known]: data is missing"),
    ("images = 10", "images = 0", "images = 0: must be at least 1"),
    ("[set]", 'reference = "wid"\n[set]', 'reference = "wid": no such variant; did you mean'),
    ("[[variants]]", "[variants]", "not TOML"),
    ("seeds = [7, 8]", "seeds = [", "not TOML"),
]


@pytest.mark.parametrize(("good", "bad", "line"), MISTAKES)
def test_mistakes_are_named(files: Path, good: str, bad: str, line: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(files, good, bad)
    message = str(caught.value)
    assert line in message
    assert message.startswith(str(files))
    assert "\n" not in message


def test_a_study_starts_from_its_teacher(files: Path) -> None:
    train = '[[stages]]\nstage = "fake-train"\ndata = "lines.txt"\n\n'
    with pytest.raises(UsageError, match="variants share a teacher"):
        load(files, recipe=RECIPE.replace("[[stages]]", train + "[[stages]]", 1))


def run(folder: Path, study: Study | None = None, out: str = "out") -> StudyResult:
    result = run_study(study or load(folder), None, folder / out, RunOptions())
    assert result is not None
    return result


def test_two_variants_with_two_seeds(files: Path) -> None:
    result = run(files)
    assert CALLS.count("fake-tune 1") == CALLS.count("fake-tune 2") == 2
    assert CALLS.count("read") == 5  # the teacher once, and every run
    assert json.loads(result.json.read_text()) == result.figures
    figures = result.figures
    assert set(figures) == {
        "format", "study", "summary", "seeds", "threads", "reference", "method", "tests",
        "teacher", "variants", "versions",
    }  # fmt: skip
    assert figures["tests"]["known"]["images"] == 10
    assert set(figures["teacher"]) == {"name", "digest", "bytes", "params", "tests"}
    whole, wide = figures["variants"]
    assert set(wide) == {
        "name", "stages", "differs", "bytes", "params", "images_trained", "training_seconds",
        "tests", "runs",
    }  # fmt: skip
    assert wide["differs"] == {"without": ["slim"], "with": [], "set": {"tune.margin": 2.0}}
    assert whole["differs"] == {"without": [], "with": [], "set": {}}
    assert wide["images_trained"] == 40
    assert wide["bytes"] == (files / "out/wide-7/03-onnx/model.onnx").stat().st_size
    assert set(wide["tests"]["known"]) == {
        "accuracy", "seeds", "ned", "to_reference", "to_teacher",
    }  # fmt: skip
    assert set(wide["tests"]["known"]["to_teacher"]) == {"change", "change_low", "change_high"}
    assert whole["tests"]["known"]["to_reference"] is None
    assert [entry["folder"] for entry in wide["runs"]] == ["wide-7", "wide-8"]


def test_the_table_adds_up(files: Path) -> None:
    figures = run(files).figures
    whole, wide = (entry["tests"]["known"] for entry in figures["variants"])
    teacher = figures["teacher"]["tests"]["known"]["accuracy"]
    for entry in (whole, wide):
        assert entry["accuracy"] == pytest.approx(sum(entry["seeds"]) / 2)
        change = entry["to_teacher"]["change"]
        assert change == pytest.approx(100 * (entry["accuracy"] - teacher))
        assert entry["to_teacher"]["change_low"] <= change <= entry["to_teacher"]["change_high"]
    change = wide["to_reference"]["change"]
    assert change == pytest.approx(100 * (wide["accuracy"] - whole["accuracy"]))


def test_the_markdown_names_no_place_of_this_machine(files: Path) -> None:
    result = run(files)
    text = result.markdown.read_text()
    assert str(files) not in text + result.json.read_text()
    assert "fakes \\| beside fakes" in text
    assert "wide: without slim; tune.margin = 2.0" in text
    assert text.count("| wide |") == 2


def test_equal_stages_are_made_once(files: Path) -> None:
    run(files)
    first, second = (files / "out" / name / "01-codes" for name in ("whole-7", "wide-7"))
    assert (first / "manifest.json").samefile(second / "manifest.json")
    assert not (files / "out/whole-8/01-codes/manifest.json").samefile(first / "manifest.json")
    assert not list((files / "out").rglob("*.partial"))


def test_a_damaged_shared_stage_is_made_again(files: Path) -> None:
    run(files)
    broken = files / "out/whole-7/01-codes/model.safetensors"
    broken.write_bytes(b"x" + broken.read_bytes()[1:])  # of both: they are one file
    CALLS.clear()
    again = run(files)
    assert CALLS == []
    assert (files / "out/wide-7/01-codes/model.safetensors").read_bytes() == broken.read_bytes()
    assert again.figures["variants"][1]["images_trained"] == 40


def test_the_second_run_only_counts(files: Path) -> None:
    before = run(files)
    CALLS.clear()
    assert run(files).figures == before.figures
    assert CALLS == []


def test_a_failure_in_the_middle_keeps_what_is_finished(files: Path) -> None:
    failing = load(files, '"tune.margin" = 2.0', '"tune.margin" = 13')
    with pytest.raises(HcompressError, match="no room"):
        run(files, failing)
    assert CALLS == ["fake-tune 1", "fake-tune 13"]
    assert not (files / "out" / "study.json").exists()
    CALLS.clear()
    run(files)
    assert CALLS[:3] == ["fake-tune 2", "fake-tune 1", "fake-tune 2"]
    assert CALLS[3:] == ["read"] * 5


def test_a_failure_between_readings_keeps_them(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tired(Reader):
        def read(self, images: Sequence[Any]) -> list[Any]:
            if CALLS.count("read") == 3:
                raise InputRefused("enough")
            return super().read(images)

    monkeypatch.setattr(readings, "open_reader", Tired)
    with pytest.raises(InputRefused, match="enough"):
        run(files)
    monkeypatch.setattr(readings, "open_reader", Reader)
    run(files)
    assert CALLS.count("read") == 5


@pytest.mark.parametrize("damage", ["{", "[]", '{"format": 1}', "null", "other"])
def test_a_damaged_reading_is_made_again(files: Path, damage: str) -> None:
    before = run(files)
    place = files / "out/evaluations/wide-7/known.json"
    if damage == "other":
        raw = json.loads(place.read_text())
        damage = json.dumps({**raw, "lines": [[1, None, "x"], *raw["lines"][1:]]})
    place.write_text(damage)
    CALLS.clear()
    assert run(files).figures == before.figures
    assert CALLS == ["read"]


def test_other_data_and_other_models_are_read_anew(files: Path) -> None:
    run(files)
    CALLS.clear()
    run(files, load(files, "images = 10", "images = 9"))
    assert CALLS == ["read"] * 5
    CALLS.clear()
    run(files, load(files, '"tune.margin" = 2.0', '"tune.margin" = 4.0'))
    assert CALLS.count("fake-tune 4") == 2


def test_empty_data_is_refused_before_the_training(files: Path) -> None:
    (files / "empty.txt").write_text("")
    known = '[tests.known]\ndata = "lines.txt"'
    with pytest.raises(InputRefused, match=r"empty\.txt"):
        run(files, load(files, known, known.replace("lines", "empty")))
    assert CALLS == []


def test_installed_studies_travel_with_the_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.toml").write_text("")
    monkeypatch.setattr("hcompress.study.spec.packaged_folder", lambda: tmp_path)
    assert packaged_studies() == {"mine": tmp_path / "studies" / "mine.toml"}
    assert find_study("mine") == tmp_path / "studies" / "mine.toml"


def test_the_folder_must_be_this_studys(files: Path) -> None:
    (files / "theirs").mkdir()
    (files / "theirs" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not empty and no study of ours"):
        run(files, out="theirs")
    with pytest.raises(UsageError, match="a file is there already"):
        run(files, out="study.toml")
    run(files)
    with pytest.raises(UsageError, match='holds the study "tiny"'):
        run(files, load(files, 'name = "tiny"', 'name = "other"'))


WRONG: list[tuple[str, str, str]] = [
    ('teacher = "teacher.safetensors"', "", "no teacher: name a checkpoint"),
    ('"teacher.safetensors"', '"nobody.safetensors"', "nobody.safetensors: no such file"),
    ('[tests.known]\ndata = "lines.txt"', '[tests.known]\ndata = "no.txt"', "no.txt: no such data"),
    ('"tune.data" = "lines.txt"', '"tune.data" = "no.txt"', 'variant "whole": stage "fake-tune"'),
    ('["slim"]', '[]\nrecipe = "broken.toml"', 'variant "wide": stage "late" takes'),
]


@pytest.mark.parametrize(("good", "bad", "line"), WRONG)
def test_what_is_wrong_is_said_before_any_work(files: Path, good: str, bad: str, line: str) -> None:
    late = '\n[[stages]]\nstage = "fake-slim"\nlabel = "late"\n'
    (files / "broken.toml").write_text(RECIPE + late)
    with pytest.raises(UsageError, match=line):
        run(files, load(files, good, bad))
    assert CALLS == []
    assert not (files / "out").exists()


def test_a_dry_run_runs_nothing(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["study", str(files / "study.toml"), "--out", str(files / "out"), "--dry-run"]

    def dry() -> dict[str, list[str]]:
        assert main([*command, "--json"], STAGES) == 0
        plan = json.loads(capsys.readouterr().out)
        return {
            entry["run"]: [stage["state"] for stage in entry["stages"]] + [entry["tests"]["known"]]
            for entry in plan["runs"]
        }

    fresh = dry()
    assert fresh["whole-7"] == ["run"] * 5
    assert fresh["wide-7"] == ["shared", "run", "run", "run"]
    assert CALLS == []
    assert not (files / "out").exists()
    run(files)
    CALLS.clear()
    assert {state for states in dry().values() for state in states} == {"finished"}
    assert main(command, STAGES) == 0
    assert "wide-8" in capsys.readouterr().out
    assert CALLS == []


def test_the_command_prints_what_it_writes(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teacher = files / "other.safetensors"
    teacher.write_bytes(safetensors_bytes(b"o" * 32))
    command = ["study", str(files / "study.toml"), str(teacher), "--out", str(files / "out")]
    assert main([*command, "--json"], STAGES) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((files / "out" / "study.json").read_text())
    assert printed["teacher"]["name"] == "other.safetensors"
    assert main(command, STAGES) == 0
    shown = capsys.readouterr().out
    assert "against whole" in shown
    assert f"wrote {files / 'out' / 'study.md'}" in shown
    assert main(["study", "tabel2"], STAGES) == 2
    assert 'no study of that name; did you mean "table2"?' in capsys.readouterr().err


def test_packaged_studies_compare_like_with_like() -> None:
    """Where two variants both fine-tune, nothing differs but what the study is about."""
    from hcompress.stages import STAGES as REAL
    from hcompress.study.variant import differences

    assert set(packaged_studies()) >= {"retraining", "table2", "table3", "table4"}
    about = {
        "retraining": {"finetune.distil", "finetune.margin"},
        "table2": set(),
        "table3": {"codebook.method"},
        "table4": {"codebook.code_length"},
    }
    for name, path in packaged_studies().items():
        study = load_study(path, REAL)
        reference = next(entry for entry in study.variants if entry.name == study.reference)
        assert study.teacher is not None
        assert study.teacher.is_file()
        for variant in study.variants:
            differs = differences(reference.recipe, variant.recipe)
            assert set(differs["set"]) <= about[name], (name, variant.name)
            assert differs["with"] == []


def test_documented_studies_are_studies(tmp_path: Path) -> None:
    from hcompress.stages import STAGES as REAL

    page = (Path(__file__).parent.parent / "docs" / "studies.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        (tmp_path / "study.toml").write_text(block)
        load_study(tmp_path / "study.toml", REAL)
    assert [name for name in packaged_studies() if f"`{name}`" not in page] == []
