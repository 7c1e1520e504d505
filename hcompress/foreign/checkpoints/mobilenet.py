"""MobileNetV3 (Howard et al., 2019) as torchvision names its tensors, with strides for lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hcompress.foreign.checkpoints.architecture import Shapes, Side, conv, norm

if TYPE_CHECKING:
    from hcompress.foreign.checkpoints.net import Net

_EPSILON: Final = 1e-3
_STEM: Final = 16


@dataclass(frozen=True)
class _Block:
    """An inverted residual."""

    kernel: int
    inner: int
    out: int
    squeezed: bool
    hard: bool
    """HardSwish in place of ReLU."""
    stride: tuple[int, int] = (1, 1)

    @property
    def narrow(self) -> int:
        """Channels of the squeeze: a fourth, in eights, no more than a tenth below."""
        fourth = self.inner // 4
        eights = max(8, (fourth + 4) // 8 * 8)
        return eights + 8 if eights < 0.9 * fourth else eights


@dataclass(frozen=True)
class Variant:
    """One of the paper's two networks."""

    blocks: tuple[_Block, ...]
    width: int
    """Channels at its end."""


_BOTH: Final = (2, 2)
_HEIGHT: Final = (2, 1)
SMALL: Final = Variant(
    (
        _Block(3, 16, 16, True, False, _BOTH),
        _Block(3, 72, 24, False, False, _HEIGHT),
        _Block(3, 88, 24, False, False),
        _Block(5, 96, 40, True, True, _HEIGHT),
        _Block(5, 240, 40, True, True),
        _Block(5, 240, 40, True, True),
        _Block(5, 120, 48, True, True),
        _Block(5, 144, 48, True, True),
        _Block(5, 288, 96, True, True, _HEIGHT),
        _Block(5, 576, 96, True, True),
        _Block(5, 576, 96, True, True),
    ),
    576,
)
LARGE: Final = Variant(
    (
        _Block(3, 16, 16, False, False),
        _Block(3, 64, 24, False, False, _BOTH),
        _Block(3, 72, 24, False, False),
        _Block(5, 72, 40, True, False, _HEIGHT),
        _Block(5, 120, 40, True, False),
        _Block(5, 120, 40, True, False),
        _Block(3, 240, 80, False, True, _HEIGHT),
        _Block(3, 200, 80, False, True),
        _Block(3, 184, 80, False, True),
        _Block(3, 184, 80, False, True),
        _Block(3, 480, 112, True, True),
        _Block(3, 672, 112, True, True),
        _Block(5, 672, 160, True, True, _HEIGHT),
        _Block(5, 960, 160, True, True),
        _Block(5, 960, 160, True, True),
    ),
    960,
)


def mobilenet_shapes(body: str, variant: Variant) -> Shapes:
    """Its tensors, ``body`` before their names."""
    found: dict[str, tuple[Side, ...]] = {}

    def normed(name: str, out: int, into: int, kernel: int) -> None:
        found.update(conv(f"{name}.0", out, into, kernel, kernel, bias=False))
        found.update(norm(f"{name}.1", out))

    normed(f"{body}.0", _STEM, 3, 3)
    into = _STEM
    for place, block in enumerate(variant.blocks, 1):
        part = _parts(f"{body}.{place}.block", block, into)
        if "expand" in part:
            normed(part["expand"], block.inner, into, 1)
        normed(part["deep"], block.inner, 1, block.kernel)
        if "squeeze" in part:
            found.update(conv(f"{part['squeeze']}.fc1", block.narrow, block.inner, 1, 1))
            found.update(conv(f"{part['squeeze']}.fc2", block.inner, block.narrow, 1, 1))
        normed(part["project"], block.out, block.inner, 1)
        into = block.out
    normed(f"{body}.{len(variant.blocks) + 1}", variant.width, into, 1)
    return found


def mobilenet(body: str, variant: Variant, net: Net, value: str) -> str:
    """[N, 3, 32, W] to [N, width, 1, W / 4]."""
    value = _normed(net, value, f"{body}.0", (3, 3), _BOTH, hard=True)
    into = _STEM
    for place, block in enumerate(variant.blocks, 1):
        value = _block(net, value, _parts(f"{body}.{place}.block", block, into), block, into)
        into = block.out
    return _normed(net, value, f"{body}.{len(variant.blocks) + 1}", (1, 1), hard=True)


def _parts(name: str, block: _Block, into: int) -> dict[str, str]:
    """What stands at each place of a block."""
    roles = ["expand"] if block.inner != into else []
    roles += ["deep", "squeeze", "project"] if block.squeezed else ["deep", "project"]
    return {role: f"{name}.{place}" for place, role in enumerate(roles)}


def _block(net: Net, value: str, part: dict[str, str], block: _Block, into: int) -> str:
    made = value
    if "expand" in part:
        made = _normed(net, made, part["expand"], (1, 1), hard=block.hard)
    sides = (block.kernel, block.kernel)
    made = _normed(net, made, part["deep"], sides, block.stride, block.hard, block.inner)
    if "squeeze" in part:
        made = net.op("Mul", made, _squeezed(net, made, part["squeeze"]))
    made = net.conv(made, f"{part['project']}.0", f"{part['project']}.1", epsilon=_EPSILON)
    return net.op("Add", made, value) if block.stride == (1, 1) and into == block.out else made


def _squeezed(net: Net, value: str, name: str) -> str:
    """[N, C, 1, 1], from 0 to 1."""
    inner = net.relu(net.conv(net.op("GlobalAveragePool", value), f"{name}.fc1"))
    return net.op("HardSigmoid", net.conv(inner, f"{name}.fc2"), alpha=1 / 6, beta=0.5)


def _normed(
    net: Net,
    value: str,
    name: str,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    hard: bool = False,
    groups: int = 1,
) -> str:
    padding = [side // 2 for side in kernel]
    made = net.conv(
        value, f"{name}.0", f"{name}.1", stride=stride, padding=padding, groups=groups,
        epsilon=_EPSILON,
    )  # fmt: skip
    return net.op("HardSwish", made) if hard else net.relu(made)
