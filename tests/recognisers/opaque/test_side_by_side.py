"""A body beside its changed self."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hcompress.recognisers.opaque.body import OpaqueBody
from hcompress.recognisers.opaque.side_by_side import Met, side_by_side
from tests.recognisers.opaque.test_body import held, model, node

RNG = np.random.default_rng(5)


def two_products() -> OpaqueBody:
    nodes = [
        node("MatMul", "x w", "h"),
        node("Relu", "h", "r"),
        node("MatMul", "r v", "y"),
    ]
    return OpaqueBody(model(nodes, [held("w", 6, 5), held("v", 5, 4)], 11), "y")


def test_later_inputs_are_those_of_what_was_changed_before() -> None:
    body = two_products()
    batches = [RNG.normal(size=(1, 3, 12, 6)).astype(np.float32) for _ in range(2)]
    seen: dict[str, Met] = {}

    def halve(name: str, met: Met | None) -> Tensor | None:
        assert met is not None
        seen[name] = met
        return body.weights[name] / 2

    side_by_side(body, batches, halve)
    assert list(seen) == ["w", "v"]
    x = np.concatenate([one.reshape(-1, 6) for one in batches])
    hidden = np.maximum(x @ body.weights["w"].numpy(), 0)
    np.testing.assert_allclose(seen["w"].moment, x.T @ x, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(seen["w"].cross, x.T @ x, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(seen["v"].moment, hidden.T @ hidden / 4, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(seen["v"].cross, hidden.T @ hidden / 2, rtol=1e-4, atol=1e-4)


def test_the_body_itself_is_left_alone() -> None:
    body = two_products()
    before = {name: one.clone() for name, one in body.weights.items()}
    images = RNG.normal(size=(1, 3, 12, 6)).astype(np.float32)
    side_by_side(body, [images], lambda name, _: torch.zeros_like(body.weights[name]))
    assert all(torch.equal(one, before[name]) for name, one in body.weights.items())
