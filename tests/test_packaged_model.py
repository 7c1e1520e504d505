"""The model in the package: `hcompress read IMAGE...`, what finds it, and what says it is there."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hcompress import models
from hcompress.artifacts.kinds import MODEL_FILES, SUFFIXES
from hcompress.artifacts.source import names_a_model
from hcompress.charset import read_charset
from hcompress.cli import main
from hcompress.doctor import examine, summary_rows
from hcompress.errors import EnvironmentFailed
from hcompress.runtime import OnnxReader
from hcompress.strict.digest import file_digest
from tests import ROOT
from tests.builders import LIGHT, recogniser
from tests.cli.test_read_command import picture
from tests.runtime.test_stepwise import exported

MOST_BYTES = int(3.90 * (1 << 20))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package's folder for models: empty, and not ours."""
    made = tmp_path / "package"
    made.mkdir()
    monkeypatch.setattr(models, "FOLDER", made)
    return made


@pytest.fixture
def packaged(folder: Path) -> Path:
    """The same with a small model in it."""
    return exported(folder, recogniser(LIGHT)).rename(folder / models.FILE)


def test_images_alone_are_read_with_the_packaged_model(
    packaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [picture(tmp_path / "images" / f"{n}.png", width=30 + 9 * n) for n in range(3)]
    for chosen in ([images[0]], images, [images[0].parent]):
        assert main(["read", *map(str, chosen), "--json"]) == 0
        without = capsys.readouterr()
        assert main(["read", str(packaged), *map(str, chosen), "--json"]) == 0
        assert without == capsys.readouterr()
    assert [json.loads(line)["image"] for line in without.out.splitlines()] == [*map(str, images)]


@pytest.mark.usefixtures("folder")
def test_an_artifact_folder_first_is_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As before: refused for what it is, not taken for a folder of images."""
    (tmp_path / "artifact").mkdir()
    exported(tmp_path / "artifact", recogniser(LIGHT))
    picture(tmp_path / "artifact" / "a.png")
    assert main(["read", str(tmp_path / "artifact"), str(picture(tmp_path / "b.png"))]) == 3
    assert "not a finished artifact" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_without_a_packaged_model_one_line_says_what_to_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["read", str(picture(tmp_path / "a.png"))]) == EnvironmentFailed.exit_code
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.startswith("error: ")
    assert out.err.count("\n") == 1
    assert "hcompress read MODEL IMAGE..." in out.err
    with pytest.raises(EnvironmentFailed, match="without a model"):
        models.packaged_model()


def test_another_onnx_in_the_folder_is_not_taken_for_it(folder: Path, tmp_path: Path) -> None:
    exported(folder, recogniser(LIGHT))  # model.onnx
    assert main(["read", str(picture(tmp_path / "a.png"))]) == EnvironmentFailed.exit_code


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_of_a_model_names_one(suffix: str, tmp_path: Path) -> None:
    assert names_a_model(Path(f"nowhere{suffix}"))
    assert names_a_model(Path(f"nowhere{suffix.upper()}"))
    assert not names_a_model(Path(f"nowhere{suffix}.png"))
    assert not names_a_model(tmp_path)


@pytest.mark.parametrize("name", ["manifest.json", *MODEL_FILES.values()])
def test_a_folder_that_holds_a_model_names_one(name: str, tmp_path: Path) -> None:
    made = tmp_path / "pages.onnx"
    made.mkdir()
    picture(made / "a.png")
    assert not names_a_model(made), "a folder of images, whatever its name"
    (made / name).touch()
    assert names_a_model(made)


def test_the_doctor_says_whether_it_is_there(folder: Path) -> None:
    found = examine()
    assert found["model"] is None
    assert dict(summary_rows(found))["model"].startswith("none")  # type: ignore[arg-type]
    made = exported(folder, recogniser(LIGHT)).rename(folder / models.FILE)
    found = examine()
    size, digest = made.stat().st_size, file_digest(made)
    assert found["model"] == {"name": models.FILE, "bytes": size, "sha256": digest}
    row = dict(summary_rows(found))["model"]  # type: ignore[arg-type]
    assert row == f"{models.FILE}, {size:,} bytes, SHA-256 {digest}"


def test_reading_with_it_imports_neither_torch_nor_onnx(packaged: Path, tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from hcompress import models; from hcompress.cli import main;"
        "models.FOLDER = pathlib.Path(sys.argv[1]); code = main(['read', sys.argv[2]]);"
        "print([m for m in ('torch', 'onnx') if m in sys.modules], code)"
    )
    image = picture(tmp_path / "a.png")
    out = subprocess.run(
        [sys.executable, "-c", program, str(packaged.parent), str(image)],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    first, last = out.stdout.splitlines()
    assert first.startswith(str(image))
    assert last == "[] 0"


def test_model_and_card_travel_in_the_wheel() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    patterns = tool["setuptools"]["package-data"]["hcompress.models"]
    for name in (models.FILE, models.CARD):
        assert any(fnmatch(name, pattern) for pattern in patterns), name


@pytest.fixture
def ours() -> Path:
    """The model that travels, where this checkout has it."""
    try:
        return models.packaged_model()
    except EnvironmentFailed as error:
        pytest.skip(str(error))


Check = Callable[[Path], None]


def check_size(model: Path) -> None:
    assert model.stat().st_size <= MOST_BYTES


def check_charset(model: Path) -> None:
    charset = read_charset(ROOT / "recipes" / "charsets" / "gbk21k.txt")
    assert OnnxReader(model).vocabulary.characters == charset


def check_card(model: Path) -> None:
    """Of this file and no earlier one."""
    card = model.with_name(models.CARD).read_text(encoding="utf-8")
    assert file_digest(model) in card


def check_readme(model: Path) -> None:
    """What the README shows of it is what it reads."""
    image = np.asarray(Image.open(ROOT / "docs" / "chinese.png").convert("RGB"))
    text = OnnxReader(model).read([image])[0].text
    assert f"  {text}\n" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("check", [check_size, check_charset, check_card, check_readme])
def test_what_travels_is_what_it_must_be(ours: Path, check: Check) -> None:
    check(ours)
