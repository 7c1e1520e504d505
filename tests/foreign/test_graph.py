"""One form for everybody's graph: the same numbers, every weight a float initialiser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper

from hcompress.compute.session import Session
from hcompress.errors import InputRefused
from hcompress.foreign.graph import load_graph, normalised
from hcompress.formats.open import ModelFile
from tests.foreign.builders import BIAS, WEIGHT, features, model, recogniser, saved, tensor
from tests.foreign.conftest import Real

RECOGNISERS = ("v6-small", "v4", "v6-tiny", "v5", "v6-tiny-int8", "ddddocr", "plates")


def answer(proto: ModelProto, width: int = 64, height: int = 48, channels: int = 3) -> np.ndarray:
    session = Session(proto.SerializeToString())
    image = np.random.default_rng(0).normal(size=(1, channels, height, width)).astype(np.float32)
    name = next(iter(session.inputs))
    return session.run([next(iter(session.outputs))], {name: image})[0]


def kinds(proto: ModelProto) -> set[str]:
    return {node.op_type for node in proto.graph.node}


def check(proto: ModelProto) -> ModelProto:
    """The normal form, which answers the same."""
    made = normalised(proto)
    np.testing.assert_allclose(answer(made), answer(proto), atol=1e-5)
    return made


def tail(weight: str, bias: str) -> list:
    return [
        helper.make_node("MatMul", ["h", weight], ["m"]),
        helper.make_node("Add", ["m", bias], ["a"]),
        helper.make_node("Softmax", ["a"], ["y"], axis=2),
    ]


def test_constants_become_initialisers() -> None:
    nodes = [
        helper.make_node("Constant", [], ["w"], value=tensor("", WEIGHT)),
        helper.make_node("Constant", [], ["b"], value=tensor("", BIAS)),
        *features(),
        *tail("w", "b"),
    ]
    made = check(model(nodes, []))
    assert "Constant" not in kinds(made)
    assert {one.name for one in made.graph.initializer} == {"w", "b"}


def test_a_vendors_int8_becomes_floats() -> None:
    nodes = [
        helper.make_node("Cast", ["q"], ["f"], to=1),
        helper.make_node("Mul", ["f", "scale"], ["w"]),
        *features(),
        *tail("w", "b"),
    ]
    held = [tensor("q", WEIGHT, np.int8), tensor("scale", np.full((1, 4), 0.9)), tensor("b", BIAS)]
    made = check(model(nodes, held))
    assert kinds(made) == {"AveragePool", "Squeeze", "Transpose", "MatMul", "Add", "Softmax"}
    assert {one.data_type for one in made.graph.initializer} == {1}


def test_dequantised_weights_become_floats() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["w"], axis=1),
        *features(),
        *tail("w", "b"),
    ]
    held = [
        tensor("q", WEIGHT, np.int8), tensor("scale", [1, 0.9, 0.8, 0.7]),
        tensor("zero", [0, 0, 0, 0], np.int8), tensor("b", BIAS),
    ]  # fmt: skip
    assert "DequantizeLinear" not in kinds(check(_of_opset_13(nodes, held)))


def _of_opset_13(nodes: list, held: list) -> ModelProto:
    """With axes as an input."""
    rest = [node for node in nodes if node.op_type != "Squeeze"]
    place = next(i for i, node in enumerate(rest) if node.op_type == "AveragePool")
    rest.insert(place + 1, helper.make_node("Squeeze", ["p", "axes"], ["s"]))
    return model(rest, [*held, tensor("axes", [2], np.int64)], opset=13)


def test_what_only_renames_and_what_is_dead_goes() -> None:
    nodes = [
        *features(),
        helper.make_node("Identity", ["h"], ["h1"]),
        helper.make_node("Identity", ["h1"], ["h2"]),
        helper.make_node("MatMul", ["h2", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["nobody"]),
        helper.make_node("Softmax", ["a"], ["soft"], axis=2),
        helper.make_node("Identity", ["soft"], ["y"]),
    ]
    held = [tensor("w", WEIGHT), tensor("b", BIAS), tensor("unused", [1.0])]
    made = check(model(nodes, held))
    assert not {"Identity", "Relu"} & kinds(made)
    assert [one.name for one in made.graph.output] == ["y"]
    assert {one.name for one in made.graph.initializer} == {"w", "b"}


def test_initialisers_listed_as_inputs_are_none() -> None:
    proto = recogniser()
    proto.graph.input.append(helper.make_tensor_value_info("w", 1, [3, 4]))
    assert [one.name for one in normalised(proto).graph.input] == ["x"]


@pytest.mark.parametrize("opset", [8, 22])
def test_an_opset_that_nobody_tested_is_refused(opset: int, tmp_path: Path) -> None:
    proto = recogniser()
    proto.opset_import[0].version = opset
    with pytest.raises(InputRefused, match=f"opset {opset}: 9 to 21 are known"):
        load_graph(ModelFile(saved(proto, tmp_path)))


def test_products_of_integers_are_refused_by_name(tmp_path: Path) -> None:
    proto = recogniser()
    proto.graph.node.append(helper.make_node("ConvInteger", ["x", "w"], ["z"]))
    with pytest.raises(InputRefused, match=r"quantised with its activations \(ConvInteger"):
        load_graph(ModelFile(saved(proto, tmp_path)))


def test_external_data_outside_of_the_folder_are_not_opened(tmp_path: Path) -> None:
    proto = recogniser()
    held = proto.graph.initializer[0]
    held.ClearField("raw_data")
    held.data_location = 1
    entry = held.external_data.add()
    entry.key, entry.value = "location", "../secret"
    with pytest.raises(InputRefused, match="nothing was opened"):
        load_graph(ModelFile(saved(proto, tmp_path)))


@pytest.mark.parametrize("name", RECOGNISERS)
def test_a_real_file_computes_what_it_did(name: str, real: Real) -> None:
    file = ModelFile(real(name))
    made = load_graph(file)
    before = Session(file.path)
    ((_, shape),) = before.inputs.values()
    height = shape[2] if isinstance(shape[2], int) and shape[2] > 0 else 48
    image = np.random.default_rng(0).normal(size=(1, shape[1], height, 160)).astype(np.float32)
    after = Session(made.SerializeToString())
    old, new = (
        one.run([next(iter(one.outputs))], {next(iter(one.inputs)): image})[0]
        for one in (before, after)
    )
    np.testing.assert_allclose(new, old, atol=1e-5)
    assert not {"Constant", "Identity"} & kinds(made)
    assert {one.data_type for one in made.graph.initializer} <= {1, 7}
