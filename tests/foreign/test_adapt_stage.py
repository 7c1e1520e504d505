"""`adapt` on a foreign recogniser: its own lines with other names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from hcompress.artifacts.source import open_source
from hcompress.errors import InputRefused
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.runtime.foreign_reader import ForeignReader
from hcompress.stages.adapt import Adapt
from hcompress.stages.encode_head import EncodeHead
from tests.foreign.builders import saved, stripes
from tests.foreign.test_chain import convolutional, texts


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Stripes of red and green, each labelled as the other."""
    rows = []
    for number, text in enumerate(texts(40)):
        Image.fromarray(stripes(text)).save(tmp_path / f"{number:02d}.png")
        rows.append(f"{number:02d}.png\t{text.translate(str.maketrans('rg', 'gr'))}\n")
    path = tmp_path / "labels.tsv"
    path.write_text("".join(rows), encoding="utf-8")
    return path


def test_it_reads_as_its_user_labels(labels: Path, tmp_path: Path) -> None:
    original = saved(convolutional(), tmp_path)
    stage = Adapt(data=labels, passes=200, batch=8, learning_rate=0.3, other_images=0)
    made = run_stage(stage, open_source(original), tmp_path / "out", StageOptions())
    (answer,) = ForeignReader(made.file).read([np.asarray(stripes("rgb"))])
    assert answer.text == "grb"
    assert made.file.stat().st_size == pytest.approx(original.stat().st_size, rel=0.05)


def test_labels_and_heads_that_do_not_fit_are_refused(labels: Path, tmp_path: Path) -> None:
    original = saved(convolutional(), tmp_path)
    strange = tmp_path / "strange.tsv"
    strange.write_text("00.png\trgQ\n", encoding="utf-8")
    with pytest.raises(InputRefused, match="not in the charset"):
        run_stage(Adapt(data=strange), open_source(original), tmp_path / "a", StageOptions())
    head = EncodeHead("int6", data=labels, images=30)
    encoded = run_stage(head, open_source(original), tmp_path / "head", StageOptions())
    with pytest.raises(InputRefused, match="encoded already"):
        run_stage(Adapt(data=labels), encoded, tmp_path / "b", StageOptions())


def test_the_last_blocks_learn_too_and_the_same_twice(labels: Path, tmp_path: Path) -> None:
    original = saved(convolutional(), tmp_path)
    stage = Adapt(
        data=labels, blocks=1, passes=40, batch=8, learning_rate=0.3, hold=1e-3, other_images=8,
        others=labels.parent,
    )  # fmt: skip
    one, other = (
        run_stage(stage, open_source(original), tmp_path / name, StageOptions()).file
        for name in ("one", "other")
    )
    assert one.read_bytes() == other.read_bytes()
    (answer,) = ForeignReader(one).read([np.asarray(stripes("rgb"))])
    assert answer.text.startswith("gr")  # what was taught; rates here are far too high for the rest
    old, new = (
        {held.name: held.SerializeToString() for held in onnx.load(path).graph.initializer}
        for path in (original, one)
    )
    assert {name for name in old if old[name] != new[name]} == {"turn", "w", "b"}


def test_blocks_that_gain_nothing_stay(labels: Path, tmp_path: Path) -> None:
    original = saved(convolutional(), tmp_path)
    stage = Adapt(data=labels, blocks=1, passes=1, learning_rate=0.0, other_images=0)
    made = run_stage(stage, open_source(original), tmp_path / "out", StageOptions())
    old, new = (
        {held.name: held.SerializeToString() for held in onnx.load(path).graph.initializer}
        for path in (original, made.file)
    )
    assert old == new


def test_more_blocks_than_there_are_are_refused(labels: Path, tmp_path: Path) -> None:
    original = saved(convolutional(), tmp_path)
    with pytest.raises(InputRefused, match="--blocks 9: the body has 2"):
        run_stage(
            Adapt(data=labels, blocks=9), open_source(original), tmp_path / "out", StageOptions()
        )
