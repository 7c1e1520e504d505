"""import, inspect, read, eval and compare on files from elsewhere, and who refuses them."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from PIL import Image

from hcompress.artifacts.packages import in_package
from hcompress.cli import main
from hcompress.errors import EnvironmentFailed
from hcompress.formats.open import ModelFile
from tests.foreign.builders import recogniser, saved, stripes
from tests.foreign.conftest import Real

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A foreign file, and no fonts: the check on drawn lines is left out, and says so."""
    from hcompress.foreign import check

    def none(_spec: object) -> list:
        raise EnvironmentFailed("no fonts")

    monkeypatch.setattr(check, "_samples", none)
    return saved(recogniser(), tmp_path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    lines = []
    for number, text in enumerate(("rgb", "bbg", "r")):
        Image.fromarray(stripes(text)).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png\t{text}\n")
    path = tmp_path / "labels.tsv"
    path.write_text("".join(lines))
    return path


def test_import_writes_a_drop_in_and_says_what_it_found(
    model: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert main(["import", str(model), "--out", str(tmp_path / "out"), "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["classifier"] == {"classes": 4, "features": 3, "bytes": 64}
    assert (found["transcription"], found["blank"], found["dead_classes"]) == ("ctc", 0, 0)
    assert found["charset"] == {"classes": 4, "source": 'metadata "character", blank added'}
    assert found["input"]["preprocessing"] == "ppocr"
    assert (found["input"]["height"], found["input"]["channels"]) == (48, "bgr")
    assert "classifier: MatMul and Add" in said.err
    assert "not checked on drawn lines: no fonts" in said.err
    made = onnx.load(found["model"])
    metadata = {one.key: one.value for one in made.metadata_props}
    assert metadata["character"] == "r\ng\nb"
    header = json.loads(metadata["hcompress"])
    assert (header["format"], header["provenance"]["stage"]) == (3, "import")
    old = onnx.load(model)
    assert (made.graph.input, made.graph.output) == (old.graph.input, old.graph.output)
    assert found["bytes"] == Path(found["model"]).stat().st_size


def test_a_dry_run_writes_nothing(model: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["import", str(model), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["charset"]["classes"] == 4
    assert [one.name for one in tmp_path.iterdir()] == ["rec.onnx"]
    assert main(["import", str(model)]) == 2
    assert "--out DIR" in capsys.readouterr().err


@pytest.mark.usefixtures("model")
def test_options_say_what_the_file_does_not(tmp_path: Path, capsys: Captured) -> None:
    model = saved(recogniser(metadata=None), tmp_path)
    assert main(["import", str(model), "--dry-run"]) == 3
    assert "name their list with --charset FILE" in capsys.readouterr().err
    lists = tmp_path / "lists.py"
    lists.write_text("A = ['r', 'g', 'b']\nB = ['b', 'g', 'r']\n")
    words = ["import", str(model), "--dry-run", "--json", "--blank", "first"]
    assert main([*words, "--charset", f"{lists}:A"]) == 0
    assert json.loads(capsys.readouterr().out)["charset"]["source"] == (
        "--charset lists.py:A, blank added"
    )
    assert main([*words, "--charset", str(lists)]) == 2
    capsys.readouterr()
    out = tmp_path / "out"
    words = ["import", str(model), "--blank", "first", "--charset", f"{lists}:B", "--out", str(out)]
    assert main([*words, "--json"]) == 0
    assert main(["read", str(out), str(_picture(tmp_path, "rgb")), "--json"]) == 0
    assert '"text": "bgr"' in capsys.readouterr().out


def _picture(folder: Path, text: str) -> Path:
    path = folder / "line.png"
    Image.fromarray(stripes(text)).save(path)
    return path


def test_bench_times_a_foreign_file_alone(model: Path, capsys: Captured) -> None:
    assert main(["bench", str(model), "--quick", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 < found["line"]["graph_ms"] < found["line"]["read_ms"]
    assert found["bytes"] == model.stat().st_size


def test_a_foreign_file_is_read_measured_and_compared(
    model: Path, data: Path, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "out"
    assert main(["import", str(model), "--out", str(out)]) == 0
    capsys.readouterr()
    for one in (model, out, out / "model.onnx"):
        assert main(["read", str(one), str(tmp_path / "0.png"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["text"] == "rgb"
        assert main(["eval", str(one), str(data), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["accuracy"] == 1
    assert main(["compare", str(model), str(out), "--data", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reading"]["change"] == 0


def test_inspect_tells_body_from_classifier_and_says_that_it_guesses(
    model: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert main(["inspect", str(model), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    sizes = {row["name"]: row["bytes"] for row in found["components"]}
    assert sizes["classifier"] == 64
    assert sum(sizes.values()) == found["bytes"] == model.stat().st_size
    assert found["remarks"][0].startswith("classifier: guessed by structure")
    assert found["remarks"][1] == "container: 5 bytes of it are the charset (metadata character)"
    assert main(["import", str(model), "--out", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["remarks"][0] == "classifier: as its header says"


@pytest.mark.parametrize("stage", ["codebook", "half", "int8", "slim-decoder"])
def test_stages_that_need_the_inside_say_who_takes_it(
    stage: str, model: Path, data: Path, tmp_path: Path, capsys: Captured
) -> None:
    words = [stage, str(model), "--out", str(tmp_path / "out")]
    assert main([*words, *(["--data", str(data)] if stage == "codebook" else [])]) == 3
    said = capsys.readouterr().err
    assert f"an opaque body: {stage} needs the inside of a recogniser" in said
    assert "take it" in said
    assert said.count("\n") == 1


def test_the_package_is_a_source(real: Real) -> None:
    there = real("v6-small")
    assert in_package(Path("rapidocr")) == there


def test_a_package_that_is_not_there_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert main(["import", "rapidocr", "--dry-run"]) == 4
    assert "rapidocr is not installed: pip install rapidocr" in capsys.readouterr().err


def test_what_it_says_of_a_real_file(real: Real, capsys: Captured) -> None:
    assert main(["import", str(real("v6-small")), "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classifier"] == {"classes": 18_710, "features": 120, "bytes": 9_055_640}
    assert 5_300 < found["dead_classes"] < 5_500
    assert main(["inspect", str(real("v6-small")), "--json"]) == 0
    sizes = {r["name"]: r["bytes"] for r in json.loads(capsys.readouterr().out)["components"]}
    assert sizes["classifier"] == 9_055_640
    assert "other" not in sizes


def test_int8_of_a_vendors_counts_as_what_it_is(real: Real) -> None:
    from hcompress import sizes
    from hcompress.foreign.parts import parts_of

    file = ModelFile(real("v6-tiny-int8"))
    found = sizes.breakdown(file, parts_of(file).groups)
    assert found.component("classifier").bytes < 6_906 * (80 + 4 + 4) + 100


def test_what_reads_a_file_takes_what_it_does_not_say(
    data: Path, tmp_path: Path, capsys: Captured
) -> None:
    model = saved(recogniser(metadata=None), tmp_path)
    lists = tmp_path / "lists.py"
    lists.write_text("A = ['r', 'g', 'b']\nB = ['b', 'g', 'r']\n")
    image, said = str(data.parent / "0.png"), ["--charset", f"{lists}:A", "--blank", "first"]
    assert main(["read", str(model), image]) == 3
    assert "--charset FILE" in capsys.readouterr().err
    assert main(["read", str(model), image, *said, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "rgb"
    assert main(["eval", str(model), str(data), *said, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] == 1
    assert found["lists_digest"]  # of the list that was named: the gate knows no such evaluation
    pair = ["compare", str(model), str(model), "--data", str(data), *said, "--json"]
    assert main(pair) == 0
    assert json.loads(capsys.readouterr().out)["reading"]["a"]["accuracy"] == 1


@pytest.mark.usefixtures("data")
def test_options_that_would_be_passed_over_are_refused(
    model: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert main(["import", str(model), "--out", str(tmp_path / "out")]) == 0
    assert main(["read", str(tmp_path / "out"), str(tmp_path / "0.png"), "--blank", "last"]) == 2
    assert "says itself what it answers" in capsys.readouterr().err
