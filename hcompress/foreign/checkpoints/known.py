"""Which recogniser a checkpoint is, by the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from hcompress.errors import InputRefused, UsageError
from hcompress.foreign.checkpoints.architecture import IGNORED, Architecture, check_shapes
from hcompress.foreign.checkpoints.doctr import CRNN_LARGE, CRNN_SMALL, CRNN_VGG
from hcompress.foreign.checkpoints.easyocr import GENERATION_1, GENERATION_2
from hcompress.foreign.checkpoints.khmer import KHMER
from hcompress.foreign.checkpoints.known_decoders import DECODERS
from hcompress.strict.files import quoted
from hcompress.strict.show import show

if TYPE_CHECKING:
    from hcompress.foreign.checkpoints.state import State

ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    one.name: one for one in (KHMER, GENERATION_1, GENERATION_2, CRNN_VGG, CRNN_SMALL, CRNN_LARGE)
}
"""By the name that `--arch` gives."""


def recognised(state: State, asked: str | None = None) -> Architecture:
    """The architecture whose tensors a checkpoint has, all of them and no others.

    ``asked`` names it. Raises UsageError if none is called that, InputRefused if the checkpoint is
    none that is known, or a tensor is missing, left over, or of another shape.
    """
    if asked is not None and asked not in ARCHITECTURES:
        raise UsageError(f"--arch {show(asked)}: one of {', '.join((*ARCHITECTURES, *DECODERS))}")
    found = _nearest(state) if asked is None else ARCHITECTURES[asked]
    names = {name for name in state.tensors if not name.endswith(IGNORED)}
    missing = [name for name in found.shapes if name not in names]
    over = sorted(names.difference(found.shapes))
    if missing or over:
        what = f"has no tensor {quoted(missing[0])}" if missing else f"has {quoted(over[0])} too"
        if asked is not None:
            raise InputRefused(f"{state.where}: no {asked}: {what}")
        raise InputRefused(
            f"{state.where}: a checkpoint of no recogniser that is known by its tensors' names"
            f" ({', '.join(ARCHITECTURES)}): {_tried(state, found, what)}: say --arch NAME to be"
            " told more of one, or export it to ONNX"
        )
    check_shapes(found, state)
    return found


def _nearest(state: State) -> Architecture:
    """That of which it has the largest share of tensors; of equals the first."""
    return max(ARCHITECTURES.values(), key=lambda one: _share(state, one))


def _share(state: State, one: Architecture) -> float:
    """Of the names on either side, those on both."""
    both = len(state.tensors.keys() & one.shapes.keys())
    return both / (len(state.tensors) + len(one.shapes) - both)


def _tried(state: State, nearest: Architecture, what: str) -> str:
    if not state.tensors.keys() & nearest.shapes.keys():
        return f"its first tensor is {quoted(next(iter(state.tensors)))}"
    return f"nearest to {nearest.name}, it {what}"
