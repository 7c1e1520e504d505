"""What an LSTM's weights are given, against the equations written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper

from hcompress.recognisers.opaque.body import OpaqueBody
from hcompress.recognisers.opaque.operators import OPERATORS
from hcompress.recognisers.opaque.recurrent import recurrent_inputs, recurrent_moments

RNG = np.random.default_rng(12)
STEPS, LINES, WIDE, HIDDEN = 5, 2, 6, 4


def floats(*shape: int) -> np.ndarray:
    return (RNG.normal(size=shape) / 2).astype(np.float32)


def walked(
    x: np.ndarray, w: np.ndarray, r: np.ndarray, b: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """States before each step [T, N, H], of one direction; ONNX's gates are i, o, f, c."""
    before, h, c = [], start, np.zeros_like(start)
    for step in x:
        before.append(h)
        i, o, f, g = np.split(step @ w.T + h @ r.T + b[: 4 * HIDDEN] + b[4 * HIDDEN :], 4, axis=1)
        i, o, f = (1 / (1 + np.exp(-gate)) for gate in (i, o, f))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
    return np.stack(before)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("started", [False, True])
def test_states_are_those_before_each_step(directions: int, started: bool) -> None:
    x, w = floats(STEPS, LINES, WIDE), floats(directions, 4 * HIDDEN, WIDE)
    r, b = floats(directions, 4 * HIDDEN, HIDDEN), floats(directions, 8 * HIDDEN)
    start = floats(directions, LINES, HIDDEN) if started else np.zeros((directions, LINES, HIDDEN))
    start = start.astype(np.float32)
    given = [torch.from_numpy(one) for one in (x, w, r, b)]
    whole = [*given, None, torch.from_numpy(start)] if started else given
    seen, states = recurrent_inputs({"opset": 12}, whole)
    np.testing.assert_array_equal(seen.numpy(), x.reshape(1, -1, WIDE))
    wanted = [walked(x, w[0], r[0], b[0], start[0])]
    if directions == 2:
        wanted.append(walked(x[::-1], w[1], r[1], b[1], start[1])[::-1])
    np.testing.assert_allclose(
        states.numpy(), np.stack(wanted).reshape(directions, -1, HIDDEN), atol=1e-5
    )


def model() -> ModelProto:
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["x", "to"], ["t"]),
            helper.make_node("LSTM", ["t", "w", "r", "b"], ["y"], direction="bidirectional",
                             hidden_size=HIDDEN),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 12, "W"])],
        [helper.make_empty_tensor_value_info("y")],
        [
            numpy_helper.from_array(np.array([-1, LINES, WIDE], np.int64), "to"),
            numpy_helper.from_array(floats(2, 4 * HIDDEN, WIDE), "w"),
            numpy_helper.from_array(floats(2, 4 * HIDDEN, HIDDEN), "r"),
            numpy_helper.from_array(floats(2, 8 * HIDDEN), "b"),
        ],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7)


def test_moments_add_up_over_batches() -> None:
    body = OpaqueBody(model(), "y")
    images = floats(2, 3, 12, 10)
    once, twice = recurrent_moments(body, [images]), recurrent_moments(body, [images, images])
    assert once.keys() == {"w", "r"}
    assert (once["w"].shape, once["r"].shape) == ((1, WIDE, WIDE), (2, HIDDEN, HIDDEN))
    x = images.reshape(-1, WIDE)
    np.testing.assert_allclose(once["w"][0], x.T @ x, rtol=1e-4, atol=1e-4)
    made = OPERATORS["LSTM"]({"opset": 12}, [
        torch.from_numpy(images.reshape(-1, LINES, WIDE)), *(body.weights[one] for one in "wrb"),
    ]).numpy()  # fmt: skip
    forward = made[:-1, 0].reshape(-1, HIDDEN)
    np.testing.assert_allclose(once["r"][0], forward.T @ forward, rtol=1e-4, atol=1e-4)
    for name in once:
        np.testing.assert_allclose(twice[name], 2 * once[name], rtol=1e-6)


def test_errors_of_an_lstm_are_made_good() -> None:
    """Rounded with its inputs' moments, what it computes is nearer to what it computed."""
    from hcompress.compress.quantise_body import _Weight
    from hcompress.recognisers.opaque.side_by_side import Met, side_by_side

    body = OpaqueBody(model(), "y")
    # Inputs that depend on one another.
    inputs = RNG.normal(size=(2400, 2)) @ RNG.normal(size=(2, WIDE)) + floats(2400, WIDE) / 10
    lines = inputs.reshape(40, 3, 12, 10).astype(np.float32)
    wanted, errors, asked = body(torch.from_numpy(lines)), [], []
    for known in (False, True):
        new = {}

        def replace(name: str, met: Met | None, known: bool = known, new: dict = new) -> object:
            asked.append(name)
            weight = _Weight(body.weights[name].numpy(), False, False)
            new[name] = torch.from_numpy(weight.packed(3, WIDE, met if known else None).floats())
            return new[name]

        side_by_side(body, [lines], replace)
        errors.append(float((body(torch.from_numpy(lines), new) - wanted).square().mean()))
    assert asked == ["w", "r", "w", "r"]
    assert errors[1] < 0.7 * errors[0]
