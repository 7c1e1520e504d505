"""A checkpoint as the ONNX graph that it stands for, and what its framework knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx import ModelProto, helper

from hcompress.errors import InputRefused
from hcompress.foreign.checkpoints.known import recognised
from hcompress.foreign.checkpoints.known_decoders import decoder_in
from hcompress.foreign.checkpoints.net import Net
from hcompress.foreign.checkpoints.state import read_state
from hcompress.spec.foreign_header import CHARACTERS, lines_of

if TYPE_CHECKING:
    from hcompress.foreign.checkpoints.architecture import Architecture, Listed
    from hcompress.formats.open import ModelFile


@dataclass(frozen=True)
class Converted:
    """A recogniser's graph, every weight a float, and whose it is."""

    proto: ModelProto
    architecture: Architecture
    listed: Listed | None
    """Its classes in order, the blank left out; None if nobody says."""


def converted(file: ModelFile, asked: str | None = None) -> Converted:
    """The graph of the checkpoint in a file of torch.save's or safetensors.

    The same bytes for the same file, always. ``asked`` names its architecture. Raises InputRefused
    if it is an encoder–decoder, none that is known or damaged, NumericalError if a tensor holds
    what is no number.
    """
    state = read_state(file)
    decoder = decoder_in(state, asked)
    if decoder is not None:
        raise InputRefused(
            f"{state.where}: an encoder–decoder, {decoder.name}: import it with --charset FILE and"
            " --out DIR, and give what that makes"
        )
    known = recognised(state, asked)
    classes = state.tensors[known.classes].shape[0]
    net = Net(state)
    scores = known.write(net, "image")
    answer = ("T", "N", classes) if known.time_first else ("N", "T", classes)
    proto = net.model(scores, ("N", known.channels, known.height, "W"), answer)
    listed = known.characters(state, classes)
    # Where other runtimes look for it, as PP-OCR's files have it.
    lines = "" if listed is None else "\n".join(listed.characters)
    if listed is not None and lines_of(lines) == list(listed.characters):
        helper.set_model_props(proto, {CHARACTERS: lines})
    return Converted(proto, known, listed)
