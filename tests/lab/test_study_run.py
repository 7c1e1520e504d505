"""Studies: what is run, shared, read and kept, and what the table says of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hcompress.cli import main
from hcompress.errors import HcompressError, InputRefused, UsageError
from hcompress.lab.study import readings
from hcompress.lab.study.result import voted
from hcompress.lab.study.run import StudyResult, run_study
from hcompress.lab.study.show import votes_text
from hcompress.lab.study.spec import Study
from hcompress.reports import caveats
from hcompress.runs.shrink import RunOptions
from hcompress.strict.digest import file_digest
from tests.fake_stages import safetensors_bytes
from tests.fake_study import CALLS, RECIPE, STAGES, Reader, load, write_files


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(readings, "open_reader", Reader)
    # Each run's own page, and safety from power cuts, are other tests' business and most of the
    # time here.
    monkeypatch.setattr("hcompress.reports.write.render_page", lambda _report: "")
    monkeypatch.setattr("os.fsync", lambda _handle: None)
    CALLS.clear()
    return write_files(tmp_path)


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
        "format", "study", "summary", "seeds", "threads", "reference", "common", "varied",
        "method", "tests", "teacher", "variants", "versions",
    }  # fmt: skip
    assert figures["tests"]["known"]["images"] == 10
    assert set(figures["teacher"]) == {"name", "digest", "bytes", "params", "tests"}
    whole, wide = figures["variants"]
    assert set(wide) == {
        "name", "stages", "differs", "bytes", "params", "images_trained", "training_seconds",
        "votes", "tests", "runs",
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


def test_what_the_variants_share_stands_in_the_table(files: Path) -> None:
    result = run(files)
    by_label = {entry["label"]: entry for entry in result.figures["common"]}
    assert [*by_label] == ["codes", "slim", "tune", "onnx"]
    tune, slim = by_label["tune"], by_label["slim"]
    assert (tune["stage"], tune["variants"]) == ("fake-tune", ["whole", "wide"])
    assert "margin" not in tune["settings"], "they differ in it"
    assert tune["settings"]["data"] == "lines.txt", "a name, not a path of this machine"
    assert (slim["variants"], slim["settings"]["shade"]) == (["whole"], "dark")
    text = result.markdown.read_text()
    assert result.figures["varied"] == {"tune.margin": 1.0}
    assert "\n- whole: the reference; tune.margin = 1.0\n" in text
    assert "\n## Common settings\n" in text
    assert "\n- slim (fake-slim; in whole): " in text
    assert "data = lines.txt" in text
    assert "shade = dark" in text


def test_votes_and_a_known_teacher_are_told(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"samples": {"median": 1.0, "none": 3936, "one": 7999, "total": 9}}
    told = "votes a character: median 1, none for 3,936 characters, one for 7,999"
    assert votes_text(voted(figures) or {}) == told
    assert voted({"samples": None}) is voted({"samples": {"median": 1.0}}) is voted(None) is None
    digest = file_digest(files / "teacher.safetensors")
    monkeypatch.setattr(caveats, "TEACHERS", {digest: "It is a fake."})
    monkeypatch.setattr("hcompress.lab.study.run.voted", lambda _report: voted(figures))
    text = run(files).markdown.read_text()
    assert f"- whole: the reference; tune.margin = 1.0; {told}\n" in text
    assert "\nIt is a fake.\n" in text


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


@pytest.mark.parametrize("damage", ["{", "[]", '{"format": 1}', "null", "other", "right", "sure"])
def test_a_damaged_reading_is_made_again(files: Path, damage: str) -> None:
    before = run(files)
    place = files / "out/evaluations/wide-7/known.json"
    if damage == "other":
        raw = json.loads(place.read_text())
        damage = json.dumps({**raw, "lines": [[1, None, "x"], *raw["lines"][1:]]})
    if damage in ("right", "sure"):  # what nobody can tell from a reading
        raw = json.loads(place.read_text())
        raw["lines"][0] = [raw["lines"][0][0], *{"right": ["?", 0.5], "sure": ["x", 0.25]}[damage]]
        damage = json.dumps(raw)
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
    CALLS.clear()
    (files / "teacher.safetensors").write_bytes(safetensors_bytes(b"o" * 32))
    with pytest.raises(UsageError, match="holds the study of another teacher"):
        run(files)
    assert CALLS == []


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
    text = (files / "study.toml").read_text()
    (files / "study.toml").write_text(text.replace('"tune.margin" = 2.0', '"tune.margin" = 4.0'))
    changed = dry()
    assert changed["wide-7"][-1] == "run"  # what lies there was read, and is not what is asked for
    assert changed["whole-7"][-1] == "finished"
    (files / "study.toml").write_text(text)
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
