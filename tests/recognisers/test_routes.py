"""Ways through the decoder: what slim-decoder cuts it to, drawn from the batch."""

from __future__ import annotations

import pytest
import torch

from hcompress.compress.options import SharedFrom
from hcompress.compress.slim_decoder import with_shared_layers, without_ffn
from hcompress.recognisers.transformer.decoder import Route
from hcompress.recognisers.transformer.routes import slim_route
from tests.builders import SOFTMAX, untrained
from tests.forcing import forced
from tests.special import BOS

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_route_is_the_decoder_that_slim_decoder_cuts() -> None:
    model = untrained(SOFTMAX).eval()
    memory = torch.randn(2, 6, SOFTMAX.width)
    asked = forced(torch.tensor([[BOS, 4, 5], [BOS, 6, 3]]))
    characters, cross = model.embed(asked.inputs), model.decoder.cross(memory)
    own = Route(tuple(range(SOFTMAX.depth)), (True,) * SOFTMAX.depth)
    expected = model.features(memory, asked)
    assert torch.equal(model.decoder.run(characters, cross, own)[-1], expected)
    for which in (SharedFrom.FIRST, SharedFrom.LAST):
        cut = with_shared_layers(without_ffn(model), which).eval()
        layer = 0 if which is SharedFrom.FIRST else SOFTMAX.depth - 1
        route = Route((layer,) * SOFTMAX.depth, (False,) * SOFTMAX.depth)
        torch.testing.assert_close(
            model.decoder.run(characters, cross, route)[-1], cut.features(memory, asked)
        )


def test_slim_routes_vary_and_repeat() -> None:
    batches = [torch.randint(3, 9, (4, 5), generator=torch.manual_seed(n)) for n in range(64)]
    drawn = [slim_route(targets, SOFTMAX) for targets in batches]
    assert drawn == [slim_route(targets, SOFTMAX) for targets in batches]
    assert len({route.layers for route in drawn}) > 15
    bare = sum(not any(route.ffn) for route in drawn)
    assert 64 * 0.4 < bare < 64 * 0.8  # a half, and an eighth of the others
