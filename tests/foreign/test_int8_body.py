"""A foreign body's convolutions in whole numbers: the same answers, in a file that drops in."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, helper
from PIL import Image, ImageDraw, ImageFont

from hcompress.artifacts.source import open_source
from hcompress.errors import UsageError
from hcompress.foreign.convolutions import convolutions
from hcompress.foreign.gelu import with_gelus
from hcompress.foreign.graph import normalised
from hcompress.foreign.opset import opset_of
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.runtime.foreign_reader import ForeignReader
from hcompress.stages.base import Stage
from hcompress.stages.drop_in import DropIn
from hcompress.stages.int8_body import Int8Body
from hcompress.stages.quantise import Quantise
from tests.foreign.builders import recogniser, saved, stripes, tensor
from tests.foreign.conftest import Real
from tests.foreign.test_chain import DEPTH, convolutional, read, texts
from tests.foreign.test_graph import answer

RNG = np.random.default_rng(9)


def with_gelu(*, turned: bool = False) -> ModelProto:
    """`convolutional` with a GELU, as exporters write it, and what scales and shifts channels.

    ``turned``: halved before it is multiplied with what came in.
    """
    made = convolutional()
    first, second, *rest = made.graph.node
    factors = ["half", "k"] if turned else ["k", "half"]
    chain = [
        helper.make_node("Add", ["c", "raise"], ["i"]),
        helper.make_node("BatchNormalization", ["i", "scale", "move", "mean", "var"], ["k"]),
        helper.make_node("Div", ["k", "root"], ["g1"]),
        helper.make_node("Erf", ["g1"], ["g2"]),
        helper.make_node("Add", ["g2", "one"], ["g3"]),
        helper.make_node("Mul", ["g3", factors[0]], ["g4"]),
        helper.make_node("Mul", [factors[1], "g4"], ["g5"]),
    ]
    second.input[0] = "g5"
    nodes = [first, *chain, second, *rest]
    held = {
        "raise": RNG.normal(size=(1, DEPTH, 1, 1)), "scale": RNG.uniform(0.5, 2, DEPTH),
        "move": RNG.normal(size=DEPTH), "mean": RNG.normal(size=DEPTH),
        "var": RNG.uniform(0.5, 2, DEPTH), "root": math.sqrt(2), "one": 1.0, "half": 0.5,
    }  # fmt: skip
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del made.graph.node[:]
    made.graph.node.extend(kept)
    made.graph.initializer.extend(tensor(name, value) for name, value in held.items())
    return made


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines")
    for number, text in enumerate(texts(16)):
        Image.fromarray(stripes(text)).save(folder / f"{number:02d}.png")
    return folder


def ran(stage: Stage, source: Path, out: Path) -> Path:
    return run_stage(stage, open_source(source), out, StageOptions()).file


def kinds(file: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(file).graph.node)


def answers(file: Path) -> NDArray[Any]:
    return answer(onnx.load(file))


@pytest.mark.parametrize("turned", [False, True])
def test_a_gelu_becomes_one_operator(*, turned: bool) -> None:
    proto = normalised(with_gelu(turned=turned))
    made = with_gelus(proto)
    assert opset_of(made) == 20
    assert [node.op_type for node in made.graph.node].count("Gelu") == 1
    assert not {"Erf", "Div"} & {node.op_type for node in made.graph.node}
    np.testing.assert_allclose(answer(made), answer(proto), atol=1e-5)


def test_what_is_no_gelu_stays() -> None:
    proto = normalised(with_gelu())
    held = next(one for one in proto.graph.initializer if one.name == "half")
    held.CopyFrom(tensor("half", 0.4))
    assert with_gelus(proto) is proto


def test_what_scales_and_shifts_channels_is_the_convolutions() -> None:
    first, second = convolutions(normalised(with_gelu()))
    assert first.output == "k"
    assert first.outputs == {"c", "i", "k"}
    assert not first.plain
    assert second.output == "t"
    assert second.plain


def test_it_reads_on_and_drops_in(lines: Path, tmp_path: Path) -> None:
    original = saved(convolutional(), tmp_path)
    body = ran(Int8Body(data=lines, images=16, harm=1.0), original, tmp_path / "int8")
    found = kinds(body)
    assert found["QuantizeLinear"] >= 3
    assert found["Conv"] == 2
    assert read(body) == read(original)
    file = ran(DropIn(data=lines, images=8), body, tmp_path / "drop-in")
    assert read(file) == read(original)
    np.testing.assert_allclose(answers(file), answers(original), atol=0.1)
    assert file.stat().st_size < 0.5 * original.stat().st_size


def test_scaled_channels_and_gelus_stay_right(lines: Path, tmp_path: Path) -> None:
    original = saved(with_gelu(), tmp_path)
    body = ran(Int8Body(data=lines, images=16, harm=1.0), original, tmp_path / "int8")
    found = kinds(body)
    assert (found["Gelu"], found["BatchNormalization"], found["Erf"]) == (1, 0, 0)
    apart = np.abs(answers(body) - answers(original))
    assert apart.mean() < 0.01


def test_weights_that_were_packed_stay_as_they_are_stored(lines: Path, tmp_path: Path) -> None:
    original = saved(convolutional(), tmp_path)
    packed = ran(Quantise(bits=5, group=16, images=0), original, tmp_path / "packed")
    body = ran(Int8Body(data=lines, images=16, harm=1.0), packed, tmp_path / "int8")
    assert onnx.load(body).functions
    assert body.stat().st_size < packed.stat().st_size + 4000
    assert read(body) == read(original)
    again = ran(DropIn(data=lines, images=8), body, tmp_path / "drop-in")
    assert kinds(again) == kinds(body)


def test_what_harms_most_stays_in_floats(lines: Path, tmp_path: Path) -> None:
    original = saved(convolutional(), tmp_path)
    with pytest.raises(UsageError, match="stays in floats"):
        ran(Int8Body(data=lines, images=16, harm=0.0), original, tmp_path / "int8")


def test_a_body_without_convolutions_is_refused(lines: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no convolution"):
        ran(Int8Body(data=lines, images=4), saved(recogniser(), tmp_path), tmp_path / "int8")


WORDS = ("Invoice 2031", "TOTAL 18.50", "Room 204", "open 9:00-17:30", "No. 77315", "Thank you")


@pytest.mark.parametrize("name", ["v6-small", "v4"])
def test_real_recognisers_read_on(name: str, real: Real, tmp_path: Path) -> None:
    (tmp_path / "lines").mkdir()
    for word in WORDS:
        image = Image.new("RGB", (24 * len(word), 48), "white")
        ImageDraw.Draw(image).text((8, 4), word, "black", ImageFont.load_default(32))
        image.save(tmp_path / "lines" / f"{word[:4].strip()}.png")
    pictures = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "lines").iterdir())]
    stage = Int8Body(data=tmp_path / "lines", images=6, harm=1.0)
    made = ran(stage, real(name), tmp_path / "int8")
    assert kinds(made)["QuantizeLinear"] > 40
    assert made.stat().st_size < 0.7 * real(name).stat().st_size
    wanted, found = (
        [one.text.replace(" ", "") for one in ForeignReader(file).read(pictures)]
        for file in (real(name), made)
    )  # between words, blank and space are near each other
    assert found == wanted
