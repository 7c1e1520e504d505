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
from tests.test_runtime_steps import exported
from tests.tiny_recognisers import LIGHT, recogniser


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


def test_a_folder_without_images_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    model = tmp_path / "model.onnx"
    model.write_bytes(b"not looked at")
    assert main(["read", str(model), str(tmp_path / "empty")]) == UsageError.exit_code
