"""EasyOCR's recognisers: a VGG or a residual net, two LSTMs of both directions, a linear layer.

What their classes stand for is in EasyOCR's own config.py, but for the English list, which is
ASCII and a euro sign.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Final

from hcompress.foreign.checkpoints.architecture import (
    Architecture,
    Listed,
    Shapes,
    Side,
    conv,
    linear,
    lstm,
    norm,
)
from hcompress.foreign.options import Blank

if TYPE_CHECKING:
    from hcompress.foreign.checkpoints.net import Net
    from hcompress.foreign.checkpoints.state import State

_BODY: Final = "FeatureExtraction.ConvNet"
_ENGLISH: Final = string.digits + string.punctuation + " €" + string.ascii_letters.swapcase()
"""Of `english_g2`: capitals first."""
_BLOCKS: Final = (1, 2, 5, 3)
"""Residual blocks of each of generation 1's four layers."""


def _sequence(into: Side) -> Shapes:
    found: dict[str, tuple[Side, ...]] = {}
    for place, before in enumerate((into, "s")):
        name = f"SequenceModeling.{place}"
        found |= {**lstm(f"{name}.rnn", "h", before), **linear(f"{name}.linear", "s", "2h")}
    return {**found, **linear("Prediction", "V", "s")}


def _classes(net: Net, value: str) -> str:
    """[N, C, H, W] to [N, T, V]."""
    value = net.frames(value)
    for place in range(2):
        name = f"SequenceModeling.{place}"
        value = net.linear(net.lstm(value, f"{name}.rnn"), f"{name}.linear")
    return net.linear(net.op("Transpose", value, perm=[1, 0, 2]), "Prediction")


def _second_shapes() -> Shapes:
    plain = ((0, "a", 1), (3, "b", "a"), (6, "c", "b"), (8, "c", "c"))
    found: dict[str, tuple[Side, ...]] = {}
    for place, out, into in plain:
        found |= conv(f"{_BODY}.{place}", out, into, 3, 3)
    for place, into in ((11, "c"), (14, "d")):
        found |= conv(f"{_BODY}.{place}", "d", into, 3, 3, bias=False)
        found |= norm(f"{_BODY}.{place + 1}", "d")
    return {**found, **conv(f"{_BODY}.18", "d", "d", 2, 2), **_sequence("d")}


def _second(net: Net, value: str) -> str:
    def step(value: str, place: int, norm: int | None = None) -> str:
        behind = None if norm is None else f"{_BODY}.{norm}"
        return net.relu(net.conv(value, f"{_BODY}.{place}", behind, padding=(1, 1)))

    value = net.max_pool(step(value, 0))
    value = net.max_pool(step(value, 3))
    value = net.max_pool(step(step(value, 6), 8), (2, 1))
    value = net.max_pool(step(step(value, 11, 12), 14, 15), (2, 1))
    return _classes(net, net.relu(net.conv(value, f"{_BODY}.18")))


def _second_characters(_state: State, classes: int) -> Listed | None:
    if classes != len(_ENGLISH) + 1:
        return None
    return Listed(_ENGLISH, "EasyOCR's list of english_g2, which has so many")


def _first_shapes() -> Shapes:
    found: dict[str, tuple[Side, ...]] = {}

    def both(one: str, behind: str, out: Side, into: Side, side: int = 3) -> None:
        found.update(conv(f"{_BODY}.{one}", out, into, side, side, bias=False))
        found.update(norm(f"{_BODY}.{behind}", out))

    both("conv0_1", "bn0_1", "a", 1)
    both("conv0_2", "bn0_2", "2a", "a")
    width = "2a"
    for layer, (blocks, out) in enumerate(zip(_BLOCKS, ("4a", "8a", "16a", "16a"), strict=True), 1):
        for block in range(blocks):
            name = f"layer{layer}.{block}"
            both(f"{name}.conv1", f"{name}.bn1", out, width)
            both(f"{name}.conv2", f"{name}.bn2", out, out)
            if width != out:
                both(f"{name}.downsample.0", f"{name}.downsample.1", out, width, 1)
            width = out
        if layer < len(_BLOCKS):
            both(f"conv{layer}", f"bn{layer}", out, out)
    for one in (1, 2):
        both(f"conv4_{one}", f"bn4_{one}", "16a", "16a", 2)
    return {**found, **_sequence("16a")}


def _first(net: Net, value: str) -> str:
    def step(value: str, one: str, behind: str) -> str:
        return net.relu(net.conv(value, f"{_BODY}.{one}", f"{_BODY}.{behind}", padding=(1, 1)))

    value = step(step(value, "conv0_1", "bn0_1"), "conv0_2", "bn0_2")
    pools = (((2, 2), (2, 2), (0, 0)), ((2, 2), (2, 2), (0, 0)), ((2, 2), (2, 1), (0, 1)))
    for layer, blocks in enumerate(_BLOCKS, 1):
        if layer < len(_BLOCKS):
            value = net.max_pool(value, *pools[layer - 1])
        for block in range(blocks):
            value = _block(net, value, f"{_BODY}.layer{layer}.{block}")
        if layer < len(_BLOCKS):
            value = step(value, f"conv{layer}", f"bn{layer}")
    for one, stride, padding in ((1, (2, 1), (0, 1)), (2, (1, 1), (0, 0))):
        name = f"{_BODY}.conv4_{one}"
        made = net.conv(value, name, f"{_BODY}.bn4_{one}", stride=stride, padding=padding)
        value = net.relu(made)
    return _classes(net, value)


def _block(net: Net, value: str, name: str) -> str:
    made = net.relu(net.conv(value, f"{name}.conv1", f"{name}.bn1", padding=(1, 1)))
    made = net.conv(made, f"{name}.conv2", f"{name}.bn2", padding=(1, 1))
    if f"{name}.downsample.0.weight" in net.state.tensors:
        value = net.conv(value, f"{name}.downsample.0", f"{name}.downsample.1")
    return net.relu(net.op("Add", made, value))


GENERATION_1: Final = Architecture(
    name="easyocr-g1",
    about="EasyOCR's generation 1: a residual net, 2 bidirectional LSTMs",
    shapes=_first_shapes(),
    head="Prediction.",
    channels=1,
    height=64,
    preprocessing="easyocr",
    blank=Blank.FIRST,
    time_first=False,
    write=_first,
)
GENERATION_2: Final = Architecture(
    name="easyocr-g2",
    about="EasyOCR's generation 2: 7 convolutions, 2 bidirectional LSTMs",
    shapes=_second_shapes(),
    head="Prediction.",
    channels=1,
    height=64,
    preprocessing="easyocr",
    blank=Blank.FIRST,
    time_first=False,
    write=_second,
    characters=_second_characters,
)
