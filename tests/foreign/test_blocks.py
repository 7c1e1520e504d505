"""Bodies cut across where everything passes through one value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper

from hcompress.errors import InputRefused
from hcompress.foreign.blocks import Front, blocks, check_stored, cut_before
from hcompress.foreign.edit import with_floats
from hcompress.foreign.features import Features
from hcompress.foreign.model import ForeignModel
from hcompress.foreign.open import open_stored
from hcompress.progress import NoProgress
from hcompress.training.body_part import features_of, part_of
from tests.foreign.builders import features, model, saved, stripes, tensor
from tests.foreign.test_chain import convolutional


def residual() -> ModelProto:
    """`deep` with a way around its second convolution."""
    rng = np.random.Generator(np.random.PCG64(3))
    kernels = {name: rng.standard_normal((4, 4, 1, 1)) for name in ("c2", "c3")}
    nodes = [
        helper.make_node("Conv", ["x", "c1"], ["v1"]),
        helper.make_node("Conv", ["v1", "c2"], ["v2"]),
        helper.make_node("Add", ["v1", "v2"], ["v3"]),
        helper.make_node("Conv", ["v3", "c3"], ["v4"]),
        *features(),
        helper.make_node("MatMul", ["h", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["a"]),
        helper.make_node("Softmax", ["a"], ["y"], axis=2),
    ]
    nodes[4].input[0] = "v4"
    held = [tensor(name, value) for name, value in kernels.items()]
    held += [
        tensor("c1", rng.standard_normal((4, 3, 1, 1))),
        tensor("w", rng.standard_normal((4, 4))),
        tensor("b", np.array([1e3, 0, 0, 0])),
    ]
    return model(nodes, held, metadata={"character": "r\ng\nb"})


@pytest.fixture
def opened(tmp_path: Path) -> tuple[ForeignModel, ModelProto]:
    return open_stored(saved(residual(), tmp_path))


def test_a_block_ends_where_everything_passes(opened: tuple[ForeignModel, ModelProto]) -> None:
    found = blocks(opened[0])
    assert [one.start for one in found] == ["x", "v1", "v3"]
    assert [one.weights for one in found] == [("c1",), ("c2",), ("c3",)]


@pytest.mark.parametrize("last", [1, 2, 3])
def test_the_two_halves_make_the_whole(last: int, opened: tuple[ForeignModel, ModelProto]) -> None:
    found, _ = opened
    halves = cut_before(found, last)
    assert halves.weights == ("c1", "c2", "c3")[-last:]
    pictures = [stripes(text) for text in ("rg", "bgr", "r")]
    values = Front(halves, found).of(pictures, "values", NoProgress())
    made = features_of(part_of(halves, found, 1), values, 2)
    wanted = Features(found).of(pictures, "features", NoProgress())
    for one, other in zip(made, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_cut_is_refused(
    opened: tuple[ForeignModel, ModelProto], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, stored = opened
    with pytest.raises(InputRefused, match="--blocks 4: the body has 3"):
        cut_before(found, 4)
    halves = cut_before(found, 2)
    check_stored(halves, stored)
    with pytest.raises(InputRefused, match="in few bits already"):
        check_stored(halves._replace(weights=("gone",)), stored)
    monkeypatch.setattr("hcompress.foreign.blocks.MOST_BYTES", 10)
    with pytest.raises(InputRefused, match="give fewer --images"):
        Front(halves, found).of([stripes("rg")], "values", NoProgress())


def test_a_weight_that_the_front_has_too_stays(tmp_path: Path) -> None:
    proto = residual()
    proto.graph.node[3].input[1] = "c2"
    found, _ = open_stored(saved(proto, tmp_path))
    with pytest.raises(InputRefused, match="no weights of their own"):
        cut_before(found, 1)


def test_numbers_are_put_back_in_their_types() -> None:
    proto = convolutional()
    shift = np.arange(64, dtype=np.float32)
    made = with_floats(proto, {"shift": shift})
    held = {one.name: one for one in made.graph.initializer}
    assert held["shift"].data_type == 1
    assert np.frombuffer(held["shift"].raw_data, np.float32).tolist() == shift.tolist()
