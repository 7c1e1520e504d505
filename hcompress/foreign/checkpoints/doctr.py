"""docTR's CRNNs: VGG-16 or MobileNetV3 over lines 32 high, two LSTMs, a linear layer.

Later pools, and later strides, halve heights alone.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from hcompress.foreign.checkpoints.architecture import (
    Architecture,
    Shapes,
    Side,
    conv,
    linear,
    lstm,
    norm,
)
from hcompress.foreign.checkpoints.mobilenet import LARGE, SMALL, mobilenet, mobilenet_shapes
from hcompress.foreign.options import Blank

if TYPE_CHECKING:
    from collections.abc import Callable

    from hcompress.foreign.checkpoints.net import Net

_BODY: Final = "feat_extractor"
_POOL: Final = ""
_VGG: Final = ("a", "a", _POOL, "2a", "2a", _POOL, "4a", "4a", "4a", _POOL, "8a", "8a", "8a", _POOL,
               "8a", "8a", "8a", _POOL)  # fmt: skip
"""Channels of each convolution, where VGG-16 has an a of 64."""
_SQUARE: Final = 2
"""Pools that halve both sides."""


def _vgg_shapes() -> Shapes:
    found: dict[str, tuple[Side, ...]] = {}
    place = 0
    into: Side = 3
    for out in _VGG:
        if out:
            found |= conv(f"{_BODY}.{place}", out, into, 3, 3)
            found |= norm(f"{_BODY}.{place + 1}", out)
            into = out
        place += 3 if out else 1
    return found


def _vgg(net: Net, value: str) -> str:
    place, pools = 0, 0
    for out in _VGG:
        if out:
            name, behind = f"{_BODY}.{place}", f"{_BODY}.{place + 1}"
            value = net.relu(net.conv(value, name, behind, padding=(1, 1)))
        else:
            value = net.max_pool(value, (2, 2) if pools < _SQUARE else (2, 1))
            pools += 1
        place += 3 if out else 1
    return value


def _read(body: Callable[[Net, str], str], net: Net, value: str) -> str:
    """[N, 3, 32, W] to [N, T, V]: the body leaves a height of one."""
    value = net.frames(body(net, value))
    for layer in range(2):
        value = net.lstm(value, "decoder", layer)
    return net.linear(net.op("Transpose", value, perm=[1, 0, 2]), "linear")


def _crnn(name: str, about: str, body: Shapes, width: Side, write: Callable[[Net, str], str]) -> (
    Architecture
):  # fmt: skip
    return Architecture(
        name=name,
        about=f"docTR's CRNN: {about}, 2 bidirectional LSTMs",
        shapes={**body, **lstm("decoder", "h", width, "2h"), **linear("linear", "V", "2h")},
        head="linear.",
        channels=3,
        height=32,
        preprocessing="doctr",
        blank=Blank.LAST,
        time_first=False,
        write=partial(_read, write),
    )


CRNN_VGG: Final = _crnn("doctr-crnn-vgg16", "VGG-16 with BatchNorm", _vgg_shapes(), "8a", _vgg)
CRNN_SMALL: Final = _crnn(
    "doctr-crnn-mobilenet-small",
    "MobileNetV3 small",
    mobilenet_shapes(_BODY, SMALL),
    SMALL.width,
    partial(mobilenet, _BODY, SMALL),
)
CRNN_LARGE: Final = _crnn(
    "doctr-crnn-mobilenet-large",
    "MobileNetV3 large",
    mobilenet_shapes(_BODY, LARGE),
    LARGE.width,
    partial(mobilenet, _BODY, LARGE),
)
