"""New characters of a foreign recogniser: columns from a few lines, all else as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from hcompress.charset import UnknownCharacter
from hcompress.compress.options import Ids
from hcompress.errors import InputRefused, UsageError
from hcompress.foreign.forecast import forecast_of
from hcompress.foreign.open import open_foreign, teacher_for
from hcompress.formats.open import ModelFile
from hcompress.runtime.foreign_reader import ForeignReader
from hcompress.stages.distil_body import DistilBody
from hcompress.stages.encode_head import EncodeHead
from hcompress.stages.extend_head import ExtendHead
from hcompress.stages.prune import Prune
from tests.foreign.builders import COLOURS, many, saved, striped, stripes
from tests.foreign.test_prune import listed, ran, scores

NEW = "yc"
"""Yellow and cyan, which the recogniser takes for blank."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(many(), tmp_path_factory.mktemp("original"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return striped(tmp_path_factory.mktemp("others"), 24)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines")
    texts = ["ryg", "cb", "gyb", "grc", "bcr", "y", "rgy", "rcb"]
    for number, text in enumerate(texts):
        Image.fromarray(stripes(text)).save(folder / f"{number}.png")
    label = folder / "labels.tsv"
    label.write_text("".join(f"{number}.png\t{text}\n" for number, text in enumerate(texts)))
    return label


def read(file: Path, *texts: str) -> list[str]:
    return [one.text for one in ForeignReader(file).read([stripes(text) for text in texts])]


def test_new_characters_are_read(original: Path, lines: Path, others: Path, tmp_path: Path) -> None:
    assert set(NEW) <= set(COLOURS)
    file = ran(ExtendHead(data=lines, others=others), original, tmp_path / "out")
    assert read(file, "yc", "ryc", "rgb", "cgy") == ["yc", "ryc", "rgb", "cgy"]
    before, after = open_foreign(original), open_foreign(file)
    assert after.spec.classes == (*before.spec.classes, "c", "y")
    assert after.spec.origin == (*range(40), -1, -1)
    np.testing.assert_array_equal(scores(file)[:, :40], scores(original))
    said = {one.key: one.value for one in onnx.load(file).metadata_props}["character"]
    assert said.split("\n")[-2:] == ["c", "y"]


@pytest.mark.parametrize("first", [EncodeHead("int8"), Prune(ids=Ids.KEEP, keep=Path())])
def test_behind_other_stages(
    first: EncodeHead | Prune, original: Path, lines: Path, others: Path, tmp_path: Path
) -> None:
    if isinstance(first, Prune):
        first = Prune(ids=Ids.KEEP, keep=listed(tmp_path, ["r", "g", "b"]))
    else:
        first = EncodeHead("int8", data=others, images=24)
    file = ran(first, original, tmp_path / "first")
    file = ran(ExtendHead(data=lines, others=others), file, tmp_path / "out")
    assert read(file, "yc", "ryc", "rgb") == ["yc", "ryc", "rgb"]
    left = ran(Prune(keep=listed(tmp_path, ["r", "y"])), file, tmp_path / "left")
    assert read(left, "ryr") == ["ryr"]
    teacher = teacher_for(open_foreign(left), original)
    assert teacher.spec.classes == ("", "r", "y")


def test_a_list_that_leaves_out_the_space_goes_on_doing_so(
    lines: Path, others: Path, tmp_path: Path
) -> None:
    proto = many()
    names = [chr(0x4E00 + i) for i in range(35)]  # of 40 classes blank and space go without saying
    proto.metadata_props[0].value = "\n".join(["r", "g", "b", *names])
    file = ran(ExtendHead(data=lines, others=others), saved(proto, tmp_path), tmp_path / "out")
    assert open_foreign(file).spec.classes[-3:] == ("c", "y", " ")
    said = {one.key: one.value for one in onnx.load(file).metadata_props}["character"]
    assert said.split("\n") == ["r", "g", "b", *names, "c", "y"]
    assert read(file, "yc", "rgb") == ["yc", "rgb"]


def test_what_it_has_can_be_learnt_again(
    original: Path, lines: Path, others: Path, tmp_path: Path
) -> None:
    asked = listed(tmp_path, ["y", "c", "r"])
    stage = ExtendHead(data=lines, characters=asked, others=others)
    with pytest.raises(InputRefused, match="again = true"):
        ran(stage, original, tmp_path / "out")
    again = ExtendHead(data=lines, characters=asked, others=others, again=True, steps=400)
    file = ran(again, original, tmp_path / "out")
    assert open_foreign(file).spec.classes[-3:] == ("y", "c", "r")
    assert read(file, "rgy") == ["rgy"]


def test_what_it_refuses(original: Path, lines: Path, others: Path, tmp_path: Path) -> None:
    for name, characters, error in (
        ("ink", ["\u200d"], "no ink"),
        ("absent", ["z", "y", "c"], "no line shows 'z'"),
        ("neither", ["y"], "neither known nor to be added"),
    ):
        stage = ExtendHead(data=lines, characters=listed(tmp_path, characters), others=others)
        with pytest.raises(InputRefused, match=error):
            ran(stage, original, tmp_path / name)
    with pytest.raises(UsageError, match="nothing to add"):
        ran(ExtendHead(data=others, others=others), original, tmp_path / "nothing")
    left = ExtendHead(
        data=lines, characters=listed(tmp_path, ["y"]), others=others,
        unknown=UnknownCharacter.SKIP_LINE,
    )  # fmt: skip
    assert open_foreign(ran(left, original, tmp_path / "left")).spec.classes[-1] == "y"


def test_a_dry_run_says_how_large_it_will_be(original: Path, lines: Path, tmp_path: Path) -> None:
    known = forecast_of(ModelFile(original))
    assert known is not None
    stage = ExtendHead(data=lines, characters=listed(tmp_path, ["y", "c"]))
    said = stage.foreseen_foreign(known)
    assert said is not None
    assert said.bytes == known.bytes + 2 * (4 * 17 + 4)
    assert ExtendHead(data=lines).foreseen_foreign(known) is None


def test_a_teacher_without_them_may_judge(
    original: Path, lines: Path, others: Path, tmp_path: Path
) -> None:
    file = ran(ExtendHead(data=lines, others=others), original, tmp_path / "out")
    stage = DistilBody(
        data=others, steps=1, batch=4, images=16, validation_images=8, validate_every=1,
        calibration=16, group=16, bits=8,
    )  # fmt: skip
    assert read(ran(stage, file, tmp_path / "body", original), "yc")
