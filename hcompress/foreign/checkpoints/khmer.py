"""khmer-ocr-ocm: six convolutions, two LSTMs of both directions; lines drawn out to 48 x 512."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hcompress.foreign.checkpoints.architecture import (
    Architecture,
    Listed,
    conv,
    linear,
    lstm,
    norm,
)
from hcompress.foreign.options import Blank

if TYPE_CHECKING:
    from hcompress.foreign.checkpoints.net import Net
    from hcompress.foreign.checkpoints.state import State

_HALVED: Final = (0, 5, 13, 21)
"""Convolutions behind which there is a pool: the first two halve both sides, others heights."""
_LAYERS: Final = ((0, "a", 1), (5, "b", "a"), (10, "c", "b"), (13, "c", "c"), (18, "d", "c"),
                  (21, "d", "d"))  # fmt: skip
"""By their place: channels out, and in."""
_LAST: Final = 26
"""The convolution of 2 x 2 behind them."""


def _shapes() -> dict[str, tuple[int | str, ...]]:
    found: dict[str, tuple[int | str, ...]] = {}
    for place, out, into in _LAYERS:
        found |= {**conv(f"cnn.{place}", out, into, 3, 3), **norm(f"cnn.{place + 1}", out)}
    found |= {**conv(f"cnn.{_LAST}", "e", "d", 2, 2), **norm(f"cnn.{_LAST + 1}", "e")}
    return {**found, **lstm("rnn", "h", "e", "2h"), **linear("fc", "V", "2h")}


def _write(net: Net, value: str) -> str:
    for place, _, _ in _LAYERS:
        value = net.relu(net.conv(value, f"cnn.{place}", f"cnn.{place + 1}", padding=(1, 1)))
        if place in _HALVED:
            value = net.max_pool(value, (2, 2) if place in _HALVED[:2] else (2, 1))
    value = net.relu(net.conv(value, f"cnn.{_LAST}", f"cnn.{_LAST + 1}"))
    value = net.frames(value)
    for layer in range(2):
        value = net.lstm(value, "rnn", layer)
    return net.linear(value, "fc")


def _characters(state: State, classes: int) -> Listed | None:
    """`char2idx`: a class for each character, from 1 on."""
    said = state.said.get("char2idx")
    if not isinstance(said, dict):
        return None
    places = {
        place: one
        for one, place in said.items()
        if isinstance(one, str) and one and type(place) is int
    }
    if len(said) != len(places) or places.keys() != set(range(1, classes)):
        return None
    return Listed([places[place] for place in range(1, classes)], "the checkpoint's char2idx")


KHMER: Final = Architecture(
    name="khmer-ocr-ocm",
    about="khmer-ocr-ocm's CRNN: 7 convolutions, 2 bidirectional LSTMs",
    shapes=_shapes(),
    head="fc.",
    channels=1,
    height=48,
    preprocessing="khmer-ocr-ocm",
    blank=Blank.FIRST,
    time_first=True,
    write=_write,
    characters=_characters,
)
