"""A framework's encoder–decoder as a recogniser of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from hcompress.charset import read_charset
from hcompress.checkpoints.checkpoint import Checkpoint
from hcompress.errors import InputRefused
from hcompress.foreign.checkpoints.decoders import check_names
from hcompress.recognisers.build import complete, outline
from hcompress.spec.vocabulary import Vocabulary
from hcompress.strict.files import quoted, shown

if TYPE_CHECKING:
    from pathlib import Path

    from hcompress.foreign.checkpoints.decoders import EncoderDecoder
    from hcompress.foreign.checkpoints.state import State
    from hcompress.foreign.options import Asked
    from hcompress.spec.header import Provenance


def imported(
    state: State, known: EncoderDecoder, charset: Path, asked: Asked, provenance: Provenance
) -> tuple[Checkpoint, tuple[str, ...]]:
    """The recogniser, in eval mode, and how what is known of it was found, for people.

    Raises InputRefused if a tensor is missing, left over or of another shape, or the charset has
    another number of characters.
    """
    count = known.characters(state)
    vocabulary = Vocabulary(_characters(charset, count))
    mapped = known.map(state, asked)
    check_names(state, known.name, mapped)
    model = outline(mapped.config, len(vocabulary))
    tensors: dict[str, torch.Tensor] = {}
    for name, wanted in model.state_dict().items():
        taken = mapped.parts[name]
        made = taken.made(state.floats(taken.name))
        if made.shape != wanted.shape:
            raise InputRefused(
                f"{state.where}: tensor {quoted(taken.name)} is"
                f" {list(state.tensors[taken.name].shape)}: does not go with the others of a"
                f" {known.name} of {mapped.config.width} features"
            )
        tensors[name] = torch.from_numpy(made.copy())
    complete(model, tensors)
    found = (
        f"checkpoint: {known.name}: {known.about}; its {len(mapped.parts)} tensors by name",
        f"charset: {count:,} characters: {shown(charset)}",
        *mapped.found,
    )
    return Checkpoint(model.eval(), vocabulary, provenance), found


def _characters(charset: Path, count: int) -> tuple[str, ...]:
    """Those of a file, and a space at their end if one is missing."""
    listed = read_charset(charset)
    if len(listed) == count - 1 and " " not in listed:
        return (*listed, " ")
    if len(listed) != count:
        raise InputRefused(
            f"{shown(charset)}: {len(listed):,} characters; the recogniser has {count:,}"
        )
    return listed
