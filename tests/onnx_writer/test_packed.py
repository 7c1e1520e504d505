"""Packed weights: what numpy says they stand for is what onnxruntime decodes, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from hcompress.compute.levels import levels
from hcompress.foreign.edit import Stored, with_stored
from hcompress.onnx_writer.decoders import pack_planes, planes_of
from hcompress.onnx_writer.merged import Merged
from hcompress.onnx_writer.packed import (
    Halves,
    LowRank,
    Packed,
    Plain,
    Products,
    Signs,
    Spread,
    Stack,
)
from hcompress.onnx_writer.whole_numbers import Bytes, Ints

RNG = np.random.default_rng(3)


def ints(bits: int, rows: int = 7, columns: int = 12, groups: int = 3) -> Ints:
    half = 1 << (bits - 1)
    values = RNG.integers(-half, half, (rows, columns)).astype(np.int8)
    return Ints(values, RNG.normal(size=(rows, groups)).astype(np.float16), bits)


def rows_alike(rows: int, columns: int, bits: int) -> Ints:
    """One unit for all rows' scales."""
    made = ints(bits, rows, columns, 1)
    shares = RNG.integers(16, 128, (rows, 1)).astype(np.int8)
    return replace(made, scales=np.full((1, 1), 0.01, np.float16), shares=shares)


def halves(rows: int, columns: int) -> Halves:
    return Halves(RNG.normal(size=(rows, columns)).astype(np.float16))


PRODUCTS = Products(
    RNG.integers(0, 9, (11, 4)).astype(np.uint8),
    RNG.normal(size=(4, 9, 3)).astype(np.float16),
)
PACKED: dict[str, Packed] = {
    **{f"{bits} bits": ints(bits) for bits in range(2, 9)},
    "shares": replace(ints(4, groups=1), shares=RNG.integers(-127, 128, (7, 4)).astype(np.int8)),
    **{
        f"{bits} bits, uneven": replace(ints(bits), levels=levels(bits, 1.5).table)
        for bits in range(3, 8)
    },
    "an odd number": ints(3, rows=3, columns=5, groups=1),
    "halves": halves(5, 4),
    "products": PRODUCTS,
    "signs": Signs(RNG.random((5, 11)) < 0.5),
    "low rank": LowRank(ints(4, 6, 8, 2), halves(10, 8)),
    "merged": Merged(
        ints(5, 3, 6, 1),
        Merged(halves(1, 6), ints(3, 2, 6, 1), np.array([0, 1, 0], bool)),
        np.array([1, 0, 0, 1, 0, 1], bool),
    ),
    "across": LowRank(PRODUCTS, ints(5, 12, 10, 2), across=True),
    "one unit": rows_alike(7, 12, 3),
    "bytes": Stack((halves(1, 1), Bytes(RNG.integers(-9, 9, 6).astype(np.int8), np.float16(0.1)))),
    "stack": Stack((halves(3, 6), ints(4, 5, 6, 1), halves(2, 6))),
    "of floats": Spread(Plain(RNG.normal(size=(4, 5)).astype(np.float32)), np.arange(8) % 3 == 0),
    "within": Spread(
        Stack((halves(2, 6), Spread(ints(4, 5, 6, 1), np.array([1, 0, 1, 1, 0, 0, 1], bool)))),
        np.arange(14) % 2 == 1,
    ),
    "spread": Spread(ints(4, 5, 6, 1), np.array([1, 0, 1, 1, 0, 0, 1], bool)),
}


def decoded(how: Stored, opset: int) -> np.ndarray:
    """What onnxruntime gives for the weight in a graph of that opset."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, how.shape, np.zeros(how.shape).ravel())
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6)
    session = onnxruntime.InferenceSession(with_stored(model, {"w": how}).SerializeToString())
    return np.asarray(session.run(None, {"x": np.zeros(1, np.float32)})[0])


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("opset", [11, 14, 21])
def test_onnxruntime_decodes_what_numpy_says(name: str, opset: int) -> None:
    packed = PACKED[name]
    floats = packed.floats()
    for turned in (False, True):
        how = Stored(packed, (floats.T if turned else floats).shape, turned)
        tolerance = 1e-5 if isinstance(packed, LowRank) else 0
        np.testing.assert_allclose(decoded(how, opset), how.floats(), atol=tolerance, rtol=0)


def test_a_convolution_gets_its_shape() -> None:
    packed = ints(6, 4, 18, 2)
    how = Stored(packed, (4, 2, 3, 3))
    np.testing.assert_array_equal(decoded(how, 11), packed.floats().reshape(4, 2, 3, 3))


@pytest.mark.parametrize("bits", range(1, 8))
def test_planes_hold_their_bits_and_no_more(bits: int) -> None:
    assert sum(planes_of(bits)) == bits
    numbers = RNG.integers(0, 1 << bits, 64)
    assert sum(len(data) for _, data in pack_planes(numbers, bits)) == 64 * bits // 8


@pytest.mark.parametrize("name", PACKED)
def test_rows_are_taken_as_they_are_stored(name: str) -> None:
    packed = PACKED[name]
    floats = packed.floats()
    for rows in (np.arange(1, len(floats), 2), np.array([0]), np.arange(len(floats))):
        np.testing.assert_allclose(packed.take(rows).floats(), floats[rows], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", PACKED)
def test_what_was_written_is_read_back(name: str, turned: bool) -> None:
    from hcompress.onnx_writer.unpacked import unpacked

    packed = PACKED[name]
    shape = packed.floats().shape
    weight = helper.make_tensor("w", TensorProto.FLOAT, shape, np.zeros(shape).ravel())
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [], [], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)])
    how = Stored(packed, shape[::-1] if turned else shape, turned)
    found = unpacked(with_stored(model, {"w": how}), "w")
    assert type(found) is type(packed)
    np.testing.assert_array_equal(found.floats(), packed.floats())
    assert found.bytes == packed.bytes
    assert unpacked(model, "w") is None


def test_bytes_are_those_of_the_tensors() -> None:
    """Four bits a weight, and a float16 a group."""
    assert ints(4, 8, 64, 2).bytes == 8 * 64 // 2 + 8 * 2 * 2 + 8


def test_every_decoder_is_known_and_no_other() -> None:
    from hcompress.onnx_writer.decoders import Store
    from hcompress.onnx_writer.known import is_decoder

    store = Store("w")
    for packed in PACKED.values():
        packed.emit(store)
    opsets = [helper.make_opsetid("", 11)]
    functions = store.protos(opsets)
    assert len(functions) >= 12
    assert all(is_decoder(one, opsets) for one in functions)
    functions[0].node[0].op_type = "Tile"
    assert not is_decoder(functions[0], opsets)


def test_a_mask_of_other_rows_is_refused() -> None:
    from hcompress.errors import InputRefused
    from hcompress.onnx_writer.unpacked import unpacked

    packed = PACKED["merged"]
    floats = packed.floats()
    weight = helper.make_tensor("w", TensorProto.FLOAT, floats.shape, floats.ravel())
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)])
    made = with_stored(model, {"w": Stored(packed, floats.shape)})
    name = made.graph.node[-1].input[1]
    found = unpacked(made, name)
    assert found is not None
    np.testing.assert_array_equal(found.floats(), floats)
    for one in made.graph.initializer:
        if one.name.endswith(".mask") and one.dims == [1]:
            one.raw_data = b"\xff"
    with pytest.raises(InputRefused, match="its mask is of other rows"):
        unpacked(made, name)
