"""`hcompress read` on files and folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hcompress.cli import main
from hcompress.cli.read_command import image_files
from hcompress.errors import UsageError
from tests.builders import LIGHT, recogniser
from tests.model_files import good_pt
from tests.runtime.test_stepwise import exported


def picture(path: Path, width: int = 40) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(width).integers(0, 256, (16, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_folders_are_walked_in_the_order_of_names(tmp_path: Path) -> None:
    names = ["b.png", "a/z.jpg", "a/b/c.PNG", "c/d.webp", "a.bmp"]
    for name in names:
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    single = picture(tmp_path / "alone" / "odd.png").rename(tmp_path / "alone" / "odd.dat")
    found = [p.relative_to(tmp_path).as_posix() for p in image_files([single, tmp_path])]
    assert found == ["alone/odd.dat", "a.bmp", "b.png", "a/z.jpg", "a/b/c.PNG", "c/d.webp"]


def test_a_folder_is_read_line_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = exported(tmp_path, recogniser(LIGHT))
    for number in range(21):
        picture(tmp_path / "images" / f"{number:02}.png", width=20 + 17 * number)
    assert main(["read", str(model), str(tmp_path / "images"), "--json"]) == 0
    out = capsys.readouterr()
    lines = [json.loads(line) for line in out.out.splitlines()]
    assert [Path(line["image"]).name for line in lines] == [f"{n:02}.png" for n in range(21)]
    for line in lines:
        assert set(line) == {"image", "text", "confidence", "candidates"}
        assert len(line["candidates"]) == len(line["text"])
    assert main(["read", str(model), str(tmp_path / "images")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 21


def test_a_torch_file_is_measured_and_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model.pt"
    model.write_bytes(good_pt())
    assert main(["inspect", str(model)]) == 0
    assert main(["read", str(model), str(picture(tmp_path / "a.png"))]) == 3
    assert "models are loaded from .safetensors or .onnx" in capsys.readouterr().err


def test_a_folder_without_images_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    model = tmp_path / "model.onnx"
    model.write_bytes(b"not looked at")
    assert main(["read", str(model), str(tmp_path / "empty")]) == UsageError.exit_code


@pytest.mark.parametrize("as_json", [True, False])
def test_images_that_cannot_be_read_are_named_and_the_others_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    model = exported(tmp_path, recogniser(LIGHT))
    folder = tmp_path / "images"
    for number in range(20):
        picture(folder / f"{number:02}.png", width=20 + number)
    (folder / "03.png").write_bytes(b"no image")
    (folder / "18.png").unlink()
    (folder / "18.png").symlink_to("nowhere.png")
    assert main(["read", str(model), str(folder), *["--json"][:as_json]]) == 3
    out = capsys.readouterr()
    lines = out.out.splitlines()
    names = [json.loads(line)["image"] if as_json else line.split("  ")[0] for line in lines]
    assert [Path(name).stem for name in names] == [f"{n:02}" for n in range(20) if n not in (3, 18)]
    damaged, absent, last = out.err.splitlines()
    assert damaged.startswith(f"{folder / '03.png'}: not a readable image")
    assert absent == f"{folder / '18.png'}: no such image file"
    assert last == "error: 2 of 20 images could not be read: see above"


def test_one_image_that_cannot_be_read_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = exported(tmp_path, recogniser(LIGHT))
    (tmp_path / "odd.png").write_bytes(b"no image")
    assert main(["read", str(model), str(tmp_path / "odd.png")]) == 3
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.startswith(f"error: {tmp_path / 'odd.png'}: not a readable image")
    assert out.err.count("\n") == 1


def test_a_damaged_model_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = exported(tmp_path, recogniser(LIGHT))
    model.write_bytes(model.read_bytes().replace(b"step.bit_logits", b"step.bit_log\xffts"))
    assert main(["read", str(model), str(picture(tmp_path / "a.png"))]) == 3
    out = capfd.readouterr()
    assert out.out == ""
    assert out.err.startswith(f"error: {model}: broken protobuf: ")
    assert out.err.count("\n") == 1


def test_eval_ignores_what_it_is_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = exported(tmp_path, recogniser(LIGHT))
    picture(tmp_path / "a.png")
    data = tmp_path / "lines.tsv"
    data.write_text("a.png\tAb ·1\n", encoding="utf-8")
    options = ["--ignore-case", "--ignore-space", "--ignore-width", "--ignore-punctuation"]
    asked = ["eval", str(model), str(data), *options, "--ignore-characters", "·七"]
    assert main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ignored"] == {
        "kinds": ["case", "punctuation", "space", "width"],
        "characters": "·七",
    }
    assert found["samples"][0]["truth"] == "Ab ·1"
    assert main(asked) == 0
    assert "not counted: case, punctuation, space, width, ·, 七" in capsys.readouterr().out


def test_eval_counts_chosen_characters_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = exported(tmp_path, recogniser(LIGHT))
    for name in "ab":
        picture(tmp_path / f"{name}.png")
    data = tmp_path / "lines.tsv"
    data.write_text("a.png\t一七\nb.png\t一\n", encoding="utf-8")
    chosen = tmp_path / "chosen.txt"
    chosen.write_text("一\n", encoding="utf-8")
    assert main(["eval", str(model), str(data), "--of", str(chosen), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["of"]
    assert (found["these"]["count"], found["others"]["count"]) == (2, 1)
    assert main(["eval", str(model), str(data), "--of", str(chosen)]) == 0
    assert "chosen.txt" in capsys.readouterr().out
    chosen.write_bytes(b"\xff")
    assert main(["eval", str(model), str(data), "--of", str(chosen)]) == 3
