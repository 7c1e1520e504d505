"""`hcompress read` on files and folders."""

from __future__ import annotations

import errno
import io
import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hcompress.cli import main
from hcompress.cli.read_command import _readings, _Refused, image_files
from hcompress.data.source import open_images
from hcompress.errors import UsageError
from hcompress.progress import NoProgress
from hcompress.runtime.reading import Reading
from tests.builders import LIGHT, recogniser
from tests.foreign.builders import recogniser as theirs
from tests.foreign.builders import saved, stripes
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
    by_name = ["a.bmp", "b.png", "a/z.jpg", "a/b/c.PNG", "alone/odd.dat", "c/d.webp"]
    assert found == ["alone/odd.dat", *by_name]


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


@pytest.mark.parametrize("as_json", [True, False])
def test_a_name_forges_no_reading_and_commands_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    model = exported(tmp_path, recogniser(LIGHT))
    odd = ["\n", "\r", "\x1b[2K", "\x9b", "\x85", "\u2028", "\u202e", "\u2066", "\u200f", "\x7f"]
    names = [f"{n:02}{mark}paid.png  0.999  PAID.png" for n, mark in enumerate(odd)]
    for name in names:
        picture(tmp_path / "images" / name)
    (tmp_path / "images" / "x\x1b\n0.png").write_bytes(b"no image")
    assert main(["read", str(model), str(tmp_path / "images"), *["--json"][:as_json]]) == 3
    out = capsys.readouterr()
    assert all(character.isprintable() for character in (out.out + out.err).replace("\n", ""))
    lines = out.out.splitlines()
    assert len(lines) == len(names)
    assert len(out.err.splitlines()) == 2
    if as_json:
        assert [Path(json.loads(line)["image"]).name for line in lines] == names
    else:
        assert all(len(line.split("  ", 2)) == 3 for line in lines)
        assert not any(line.split("  ")[1] == "0.999" for line in lines)


def test_images_come_through_pipes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, image = exported(tmp_path, recogniser(LIGHT)), picture(tmp_path / "a.png")
    assert main(["read", str(model), str(image)]) == 0
    said = capsys.readouterr().out.split("  ", 1)[1]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(image.read_bytes(),))
    writer.start()
    assert main(["read", str(model), str(pipe)]) == 0
    writer.join()
    assert capsys.readouterr().out == f"{pipe}  {said}"
    for content, code in ((image.read_bytes(), 0), (b"", 3), (b"no image", 3)):
        stdin = SimpleNamespace(buffer=io.BytesIO(content))
        monkeypatch.setattr("sys.stdin", stdin)
        assert main(["read", str(model), "-"]) == code
        out = capsys.readouterr()
        assert (out.out == f"-  {said}") if code == 0 else "standard input: " in out.err
    assert main(["read", str(model), "/dev/zero"]) == 3
    assert "neither a file nor a pipe" in capsys.readouterr().err


def test_a_folder_is_read_as_its_files_are_and_says_what_it_leaves_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, folder = exported(tmp_path, recogniser(LIGHT)), tmp_path / "images"
    kinds = {
        "a.png": "PNG", "b.jfif": "JPEG", "c.jpe": "JPEG", "d.pbm": "PPM", "e.dib": "BMP",
        "f": "PNG", "g.scan": "JPEG", "h.bin": "TIFF", "i.old": "GIF", "j.x": "WEBP", "k.y": "BMP",
        "l.z": "PPM",
    }  # fmt: skip
    folder.mkdir()
    for name, kind in kinds.items():
        shade = Image.new("1" if name.endswith("pbm") else "RGB", (40, 16))
        shade.save(folder / name, kind)
    picture(tmp_path / "elsewhere" / "e.png")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "pipe.png")
    for name in ("notes.txt", "BMI.txt", "P1", "empty", "II"):
        (folder / name).write_text({"P1": "P1x", "empty": ""}.get(name, name[:3]))
    assert main(["read", str(model), str(folder)]) == 0
    out = capsys.readouterr()
    assert [Path(line.split("  ")[0]).name for line in out.out.splitlines()] == list(kinds)
    assert set(out.err.splitlines()) == {
        f"left out: {folder / 'link'}: a link to a folder, which is not followed",
        f"left out: {folder / 'pipe.png'}: no plain file",
        f"left out: {folder / 'BMI.txt'}, {folder / 'II'}, {folder / 'P1'} and 2 more: no image",
    }
    said: list[str] = []
    (folder / "dead.png").symlink_to("nowhere")
    assert len(open_images(folder, said.append)) == len(kinds)
    assert any("leads nowhere" in line for line in said)


def test_a_column_is_remarked_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, tall = exported(tmp_path, recogniser(LIGHT)), tmp_path / "tall.png"
    pixels = np.full((200, 40, 3), 255, np.uint8)
    pixels[10:190:40, 8:30] = pixels[14:194:40, 8:12] = pixels[18:198:40, 8:30] = 0
    Image.fromarray(pixels).save(tall)
    assert main(["read", str(model), str(tall), "--json"]) == 0
    out = capsys.readouterr()
    assert "turn it" in json.loads(out.out)["remark"]
    assert out.err.startswith(f"{tall}: taller than wide")


def test_a_file_of_several_pictures_is_remarked_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ink may be on any of them: an empty text of the first is not sure."""
    model = exported(tmp_path, recogniser(LIGHT))
    blank = Image.new("RGB", (60, 30), "white")
    inked = Image.open(picture(tmp_path / "i.png", 60)).resize((60, 30))
    for kind, first, then in (
        ("tif", blank, [inked]), ("gif", inked, [blank]), ("webp", blank, [inked]),
        ("png", blank, [inked]), ("tif", blank, []), ("mpo", inked, [blank]),
    ):  # fmt: skip
        file = tmp_path / f"x.{kind}"
        first.save(file, save_all=bool(then), **({"append_images": then} if then else {}))
        assert main(["read", str(model), str(file), "--json"]) == 0
        out = capsys.readouterr()
        entry = json.loads(out.out)
        several = bool(then) and kind != "mpo"
        assert ("more than one picture" in entry.get("remark", "")) is several, kind
        assert ("more than one picture" in out.err) is several, kind
        assert entry["text"].strip() or not several or entry["confidence"] <= 0.1


def test_a_folder_that_cannot_be_opened_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = exported(tmp_path, recogniser(LIGHT))
    for name in ("a.png", "shut/b.png"):
        picture(tmp_path / "images" / name)
    scan = os.scandir

    def shut(path: str) -> Any:
        if str(path).endswith("shut"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", shut)
    assert main(["read", str(model), str(tmp_path / "images")]) == 4
    out = capsys.readouterr()
    assert len(out.out.splitlines()) == 1
    assert "shut: permission denied" in out.err
    (tmp_path / "images" / "c.png").write_text("none")
    assert main(["read", str(model), str(tmp_path / "images")]) == 3


def test_large_images_are_not_held_together(tmp_path: Path) -> None:
    held: list[int] = []

    class Watcher:
        def read(self, images: list[Any]) -> list[Reading]:
            held.append(len(images))
            return [Reading("", 1.0, []) for _ in images]

    Image.new("L", (2000, 1500), 255).save(tmp_path / "0.png")
    for number in range(1, 6):
        os.link(tmp_path / "0.png", tmp_path / f"{number}.png")
    paths = sorted(tmp_path.glob("*.png"))
    refused = _Refused(6, print)
    assert len(list(_readings(Watcher(), paths, NoProgress(), refused))) == 6
    assert max(held) == 2


def test_a_torch_file_that_is_not_known_is_measured_and_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model.pt"
    model.write_bytes(good_pt())
    assert main(["inspect", str(model)]) == 0
    assert main(["read", str(model), str(picture(tmp_path / "a.png"))]) == 3
    assert "a checkpoint of no recogniser that is known" in capsys.readouterr().err


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


def test_answers_are_restricted_and_unsure_ones_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(theirs(), tmp_path)
    Image.fromarray(stripes("rgbg")).save(tmp_path / "a.png")
    asked = ["read", str(model), str(tmp_path / "a.png"), "--json"]
    for words, text, said in (
        ([], "rgbg", ""),
        (["--threads", "2", "--provider", "cpu", "--only", "rgb"], "rgbg", ""),
        (["--only", "g", "--only", "digits"], "gg", "left out what is likelier"),
        (["--only", "lower", "--min-confidence", "0.5"], "rgbg", ""),
        (["--only", "gx", "--min-confidence", "0.5"], "", 'less sure than 0.5: "gg"'),
    ):
        assert main([*asked, *words], stages={}) == 0, words
        out = capsys.readouterr()
        found = json.loads(out.out)
        assert (found["text"], said in found.get("remark", "")) == (text, True)
        assert ("does not answer x" in out.err) == ("gx" in words)
    for words, code, said in (
        (["--only", "digits"], 2, "the model answers none of these"),
        (["--provider", "nobody"], 2, "onnxruntime knows none"),
        (["--min-confidence", "2"], 2, "--min-confidence"),
    ):
        assert main([*asked, *words], stages={}) == code
        assert said in capsys.readouterr().err
