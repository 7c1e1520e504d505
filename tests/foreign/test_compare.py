"""`hcompress compare` of recognisers from elsewhere: lines, frames, characters; unlabelled too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper
from PIL import Image

from hcompress.cli import main
from hcompress.spec.foreign_header import FOREIGN
from tests.foreign.builders import BIAS, WEIGHT, recogniser, saved, stripes

Captured = pytest.CaptureFixture[str]
TRUTHS = ("rgb", "bbg", "r", "rgb" * 9)
"""One is wider than what everything narrower is padded to."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "lines"
    folder.mkdir()
    lines = []
    for number, text in enumerate(TRUTHS):
        Image.fromarray(stripes(text)).save(folder / f"{number}.png")
        lines.append(f"{number}.png\t{text}\n")
    path = folder / "labels.tsv"
    path.write_text("".join(lines))
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A recogniser, and one that takes every b for g."""
    weight = WEIGHT.copy()
    weight[:, 2] = WEIGHT[:, 2] + WEIGHT[:, 3] + np.array([4, 4, -6], np.float32)
    weight[:, 3] = -50
    return saved(recogniser(), tmp_path, "a.onnx"), saved(with_weight(weight), tmp_path, "b.onnx")


def with_weight(weight: Any) -> ModelProto:
    made = recogniser()
    bias = np.where(np.arange(len(BIAS)) == 3, -500, BIAS).astype(np.float32)
    for one, value in zip(made.graph.initializer, (weight, bias), strict=True):
        one.CopyFrom(numpy_helper.from_array(np.asarray(value, np.float32), one.name))
    return made


def compared(capsys: Captured, *words: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["compare", *map(str, words), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["reading"]
    return found


def test_what_is_the_same_is_kept_whatever_its_width(
    pair: tuple[Path, Path], data: Path, capsys: Captured
) -> None:
    found = compared(capsys, pair[0], pair[0], "--data", data)
    assert (found["labelled"], found["a"]["accuracy"], found["change"]) == (True, 1, 0)
    kept = found["kept"]
    assert {entry["share"] for name, entry in kept.items() if "rare" not in name} == {1}
    assert kept["same_text"]["of"] == len(TRUTHS)
    assert kept["sure_characters_kept"]["of"] == sum(map(len, TRUTHS))
    assert kept["frames_kept"]["of"] == 2 * sum(map(len, TRUTHS))  # stripes of two frames


def test_what_is_read_otherwise_is_counted(
    pair: tuple[Path, Path], data: Path, capsys: Captured
) -> None:
    found = compared(capsys, *pair, "--data", data)
    whole, lost = sum(map(len, TRUTHS)), sum(text.count("b") for text in TRUTHS)
    kept = {name: entry["share"] for name, entry in found["kept"].items()}
    assert kept["same_text"] == found["same_text"] == 0.25  # r alone
    for name in ("frames_kept", "sure_frames_kept", "sure_characters_kept"):
        assert kept[name] == pytest.approx(1 - lost / whole), name
    assert (found["lost"], found["won"], found["change"]) == (3, 0, -75)
    assert found["change_low"] < -75 < found["change_high"]
    assert all("ece" in found[side]["confidence"] for side in "ab")
    assert found["worse"][0] == {"index": 0, "truth": "rgb", "a": "rgb", "b": "rgg"}
    assert compared(capsys, *pair, "--data", data, "--images", "1")["a"]["images"] == 1


def test_what_is_ignored_does_not_count_and_is_said(
    pair: tuple[Path, Path], data: Path, capsys: Captured
) -> None:
    data.write_text(data.read_text().replace("\trgb\n", "\tR GB\n"))
    words = [*pair, "--data", data]
    assert compared(capsys, *words)["a"]["accuracy"] == 0.75
    found = compared(capsys, *words, "--ignore-case", "--ignore-space")
    assert found["ignored"] == {"kinds": ["case", "space"], "characters": ""}
    assert found["a"]["accuracy"] == 1
    assert found["worse"][0] == {"index": 0, "truth": "R GB", "a": "rgb", "b": "rgg"}
    found = compared(capsys, *words, "--ignore-characters", "bg")
    assert found["b"]["accuracy"] == 0.75
    assert found["same_text"] == 0.25  # to the very character all the same
    assert main(["compare", *map(str, words), "--ignore-width", "--ignore-characters", "·"]) == 0
    said = capsys.readouterr().out
    assert "not counted: width, ·" in said
    for name in ("same text", "frames kept", "sure frames kept", "rare sure frames kept",
                 "sure characters kept", "calibration error"):  # fmt: skip
        assert name in said


def test_images_without_labels_say_what_is_kept(
    pair: tuple[Path, Path], data: Path, capsys: Captured
) -> None:
    found = compared(capsys, *pair, "--data", data.parent)
    assert found["labelled"] is False
    assert not {"a", "b", "change", "worse"} & found.keys()
    assert (found["images"], found["same_text"]) == (4, 0.25)
    assert found["kept"]["same_text"] == {"share": 0.25, "of": 4}
    assert found["different"][0] == {"index": 0, "a": "rgb", "b": "rgg"}
    assert main(["compare", *map(str, pair), "--data", str(data.parent)]) == 0
    said = capsys.readouterr().out
    assert "4 images without labels: nobody knows what is right" in said
    assert "lines read" not in said


@pytest.mark.parametrize("command", ["eval", "synth"])
def test_where_labels_are_needed_a_folder_of_images_is_told_so(
    command: str, pair: tuple[Path, Path], data: Path, tmp_path: Path, capsys: Captured
) -> None:
    model = [str(pair[0])] if command == "eval" else []
    out = ["--out", str(tmp_path / "out")] if command == "synth" else []
    assert main([command, *model, str(data.parent), *out]) == 3
    said = capsys.readouterr().err
    assert "a folder without data.mdb is no LMDB; labelled lines are wanted" in said
    assert said.count("\n") == 1
    data.unlink()
    for image in data.parent.iterdir():
        image.unlink()
    assert main(["compare", str(pair[0]), str(pair[1]), "--data", str(data.parent)]) == 3
    assert "a folder without images" in capsys.readouterr().err


def test_frames_of_other_classes_are_not_compared(
    pair: tuple[Path, Path], data: Path, tmp_path: Path, capsys: Captured
) -> None:
    other = saved(recogniser(metadata="g\nr\nb"), tmp_path, "other.onnx")
    found = compared(capsys, pair[0], other, "--data", data)
    assert found["kept"] is None
    assert found["same_text"] == 0
    assert main(["compare", str(pair[0]), str(other), "--data", str(data)]) == 0
    assert "same text: 0.00% of lines" in capsys.readouterr().out


def test_rapidocr_beside_a_file_made_from_it_is_its_file(
    pair: tuple[Path, Path], data: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: Captured,
) -> None:  # fmt: skip
    from hcompress.foreign import check

    monkeypatch.setattr(check, "check_reading", lambda *_: check.Checked(0, 0, 0.0, ""))
    out = tmp_path / "out"
    assert main(["import", str(pair[0]), "--out", str(out)]) == 0
    assert f'"format": {FOREIGN}' in json.dumps(json.loads(_header(out / "model.onnx")))
    monkeypatch.setattr(
        "hcompress.artifacts.source.in_package",
        lambda path: pair[0] if str(path) == "rapidocr" else path,
    )
    found = compared(capsys, "rapidocr", out, "--data", data)
    assert found["common"] is None
    assert found["kept"]["frames_kept"]["share"] == 1


def _header(path: Path) -> str:
    import onnx

    return next(one.value for one in onnx.load(path).metadata_props if one.key == "hcompress")


def test_an_original_that_says_nothing_of_its_classes_is_read_as_what_was_made_of_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    from hcompress.foreign import check

    monkeypatch.setattr(check, "check_reading", lambda *_: check.Checked(0, 0, 0.0, ""))
    dumb = saved(recogniser(metadata=None), tmp_path, "dumb.onnx")
    charset, out = tmp_path / "abc" / "charset.txt", tmp_path / "out"
    charset.parent.mkdir()
    charset.write_text("r\ng\nb\n")
    words = ["import", str(dumb), "--charset", str(charset), "--blank", "first"]
    assert main([*words, "--out", str(out)]) == 0
    found = compared(capsys, dumb, out, "--data", data)
    assert (found["a"]["accuracy"], found["kept"]["frames_kept"]["share"]) == (1, 1)
    assert main(["compare", str(dumb), str(out), "--data", str(data)]) == 0
    assert f"read with the charset of {out}" in capsys.readouterr().err
    assert main(["compare", str(dumb), str(dumb), "--data", str(data)]) == 3
    assert "--charset" in capsys.readouterr().err
