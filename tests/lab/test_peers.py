"""RapidOCR beside ours: which lines count, which texts are equal, and what it is handed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from hcompress.cli import main
from hcompress.errors import EnvironmentFailed, InputRefused
from hcompress.evaluation.compare import WITH_PEERS, common_lines, compare_lines
from hcompress.evaluation.evaluate import Line
from hcompress.lab.bench import rapidocr
from hcompress.metrics import folded
from tests.fake_stages import onnx_bytes

TRUTHS = ("AB", "B漢", "A龍", "龍", "B A")
OURS = ("AB", "A漢", "A龍", "漢", "BA")
THEIRS = ("Ａ B", "B漢", "??", "龙", "B")


def lines(truths: Sequence[str], reads: Sequence[str]) -> list[Line]:
    pairs = zip(truths, reads, strict=True)
    return [Line(index, truth, read, 0.5) for index, (truth, read) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("text", "same"),
    [("Ａ１，", "A1,"), ("a\u3000b c", "abc"), ("ﾊﾞ", "バ"), ("龍", "龍"), ("", ""), ("²", "2")],
)
def test_folded_texts_are_what_a_reader_means(text: str, same: str) -> None:
    assert folded(text, WITH_PEERS) == folded(same, WITH_PEERS) == same


def test_only_lines_that_both_could_read_count() -> None:
    # A knows Ａ as A; nobody is blamed for 龍, which B does not know.
    before, after = common_lines(
        lines(TRUTHS, OURS), lines(TRUTHS, THEIRS), ["Ａb漢龍B", ("A", "B", "漢", "!")]
    )
    assert [line.index for line in before] == [line.index for line in after] == [0, 1, 4]
    assert [line.right for line in before] == [True, False, True]
    assert [line.right for line in after] == [True, True, False]
    found = compare_lines(before, after)
    assert (found["lost"], found["won"], found["a"]["images"]) == (1, 1, 3)
    assert [entry["index"] for entry in found["worse"]] == [4]
    assert [entry["index"] for entry in found["better"]] == [1]


def test_a_character_known_only_as_a_part_of_another_is_not_known() -> None:
    with pytest.raises(InputRefused, match="no line has only characters that both know"):
        common_lines(lines(["Ⅳ"], [""]), lines(["Ⅳ"], [""]), ["Ⅳ", "Ⅳ"])
    both = common_lines(lines(["Ⅳ"], ["IV"]), lines(["Ⅳ"], ["Ⅳ"]), ["IV", "IVⅣ"])
    assert [line.right for (line,) in both] == [True, True]


class Ours:
    """Reads the line whose number an image's red is."""

    characters = tuple("AB漢龍")

    def read(self, images: Any) -> list[Any]:
        return [SimpleNamespace(text=OURS[int(image[0, 0, 0])], confidence=1.0) for image in images]


def fake_rapidocr(file: Path, seen: list[Any]) -> ModuleType:
    """The package, as far as it is used. It loads its model with the first image, as 3.10 does."""

    class RapidOCR:
        def __init__(self, params: Mapping[str, Any]) -> None:
            assert params["EngineConfig.onnxruntime.intra_op_num_threads"] == 1
            self.text_rec: Any = None

        def __call__(self, image: Any, **parts: bool) -> Any:
            assert parts == {"use_det": False, "use_cls": False, "use_rec": True}
            assert image.flags.c_contiguous
            if self.text_rec is None:
                self.text_rec = SimpleNamespace(
                    session=SimpleNamespace(session=SimpleNamespace(_model_path=str(file))),
                    postprocess_op=SimpleNamespace(character=["blank", "A", "B", "漢", " "]),
                )
                return SimpleNamespace(txts=None, scores=None)
            seen.append(image)
            return SimpleNamespace(txts=(THEIRS[int(image[0, 0, 2])],), scores=(0.25,))

    module = ModuleType("rapidocr")
    module.RapidOCR = RapidOCR  # type: ignore[attr-defined]
    return module


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Lines of other widths than ours, their number in red."""
    for number in range(len(TRUTHS)):
        image = np.zeros((32, 200, 3), np.uint8)
        image[:, :, 0] = number
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    text = "".join(f"{number}.png\t{truth}\n" for number, truth in enumerate(TRUTHS))
    (tmp_path / "lines.txt").write_text(text, encoding="utf-8")
    return tmp_path / "lines.txt"


def test_a_model_beside_rapidocr(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Any] = []
    (tmp_path / "rec.onnx").write_bytes(onnx_bytes(b"r" * 96))
    (tmp_path / "ours.onnx").write_bytes(onnx_bytes(b"o" * 32))
    monkeypatch.setitem(sys.modules, "rapidocr", fake_rapidocr(tmp_path / "rec.onnx", seen))
    monkeypatch.setattr("hcompress.evaluation.pair.open_reader", lambda *_: Ours())
    command = ["compare", "rapidocr", str(tmp_path / "ours.onnx"), "--data", str(data)]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["a"]["bytes"] == (tmp_path / "rec.onnx").stat().st_size
    assert found["a"]["model"].endswith("rec.onnx")
    reading = found["reading"]
    assert reading["common"] == {
        "read": 5, "counted": 3, "equal_after": "NFKC, without white space"
    }  # fmt: skip
    assert (reading["lost"], reading["won"]) == (1, 1)
    assert {image.shape for image in seen} == {(32, 200, 3)}  # as the data has them, BGR
    assert main(command) == 0
    assert "3 of 5 lines have only characters that both know" in capsys.readouterr().out


def test_two_of_ours_are_held_to_the_very_characters(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ours.onnx").write_bytes(onnx_bytes(b"o" * 32))
    monkeypatch.setattr("hcompress.evaluation.pair.open_reader", lambda *_: Ours())
    ours = str(tmp_path / "ours.onnx")
    assert main(["compare", ours, ours, "--data", str(data), "--json"]) == 0
    reading = json.loads(capsys.readouterr().out)["reading"]
    assert reading["common"] is None
    assert reading["a"]["images"] == len(TRUTHS)
    assert reading["a"]["accuracy"] == 2 / 5  # "BA" is not "B A"


def test_without_rapidocr_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    (tmp_path / "ours.onnx").write_bytes(onnx_bytes(b"o" * 32))
    assert main(["compare", "rapidocr", str(tmp_path / "ours.onnx")]) == 4
    error = capsys.readouterr().err
    assert "pip install 'hcompress[bench]'" in error
    assert error.count("\n") == 1
    with pytest.raises(EnvironmentFailed):
        rapidocr.RapidOcrReader()


def test_a_file_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert rapidocr.is_meant(Path("rapidocr"))
    assert not rapidocr.is_meant(Path("other"))
    Path("rapidocr").mkdir()
    assert not rapidocr.is_meant(Path("rapidocr"))


def test_rapidocr_reads() -> None:
    pytest.importorskip("rapidocr", reason="not installed: pip install 'hcompress[bench]'")
    drawn = Image.new("RGB", (260, 48), "white")
    font = ImageFont.load_default(34)
    ImageDraw.Draw(drawn).text((8, 2), "Hamming 2048", "#103080", font)
    reader = rapidocr.RapidOcrReader()
    (reading,) = reader.read([np.asarray(drawn)])
    assert folded(reading.text, WITH_PEERS) == "Hamming2048"
    assert 0.5 < reading.confidence <= 1
    assert reader.file.suffix == ".onnx"
    assert reader.file.stat().st_size > 10**6
    assert len(reader.characters) > 6000
    assert {"A", "漢", " "} <= set(reader.characters)
    assert "blank" not in reader.characters
