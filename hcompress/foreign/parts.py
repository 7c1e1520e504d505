"""Which of a foreign file's tensors are its classifier's: the rest is body. For size tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hcompress.errors import InputRefused
from hcompress.foreign.header import foreign_header, is_foreign
from hcompress.foreign.in_force import techniques
from hcompress.formats.open import ModelFile
from hcompress.sizes.groups import BACKBONE, CLASSIFIER, OTHER, group_of
from hcompress.sizes.shapes import classifiers
from hcompress.spec.foreign_header import CHARACTERS
from hcompress.strict.files import quoted, shown

if TYPE_CHECKING:
    from onnx import ModelProto

SMALL: Final = 0.02
"""Of a file's bytes: weights of unknown parts that nobody need hear of."""
_NAMES: Final = ("weight", "bias")
"""What a header's classifier calls its tensors; how they are stored may add to the names."""
_PACKED: Final = "classifier."
"""What a packed classifier's tensors begin with, whatever it was called."""


@dataclass(frozen=True)
class Parts:
    """A group for each tensor's name, and how it was told, for people. Empty for files of ours and
    engines."""

    groups: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    """How its weights are stored, if it was made here."""


def parts_of(file: ModelFile) -> Parts:
    """Body and classifier: by the header of a file made here, by the structure of another.

    Where no classifier is found names decide, as in any file. Raises InputRefused if the file is
    damaged.
    """
    if file.bare:
        return _of_checkpoint(file)
    if not is_foreign(file):
        return Parts()
    header = foreign_header(file)
    named: Mapping[str, Any] = {} if header is None else header.classifier or {}
    own = [named[key] for key in _NAMES if isinstance(named.get(key), str)]
    how = "classifier: as its header says"
    if not own:
        try:
            own, how = _by_structure(file)
        except InputRefused as error:
            what = str(error).removeprefix(f"{shown(file.path)}: ")
            return Parts({}, (f"parts by their names alone, which is a guess: {what}",))
    names = {piece.name for piece in file.layout.pieces}
    prefixes = tuple(f"{one}." for one in own) + (() if header is None else (_PACKED,))
    groups = {
        name: CLASSIFIER if name in own or name.startswith(prefixes) else BACKBONE for name in names
    }
    stored = () if header is None else techniques(file.layout.pieces, groups)
    return Parts(groups, (how, *_charset(file)), stored)


def _of_checkpoint(file: ModelFile) -> Parts:
    """By what is known of its kind, or else by names and shapes."""
    from hcompress.foreign.checkpoints.known import recognised
    from hcompress.foreign.checkpoints.state import read_state

    try:
        known = recognised(read_state(file))
    except InputRefused:
        return _by_shape(file)
    groups = {}
    for piece in file.layout.pieces:
        own = any(f".{piece.name}".endswith(f".{name}") for name in known.of_head)
        groups[piece.name] = CLASSIFIER if own else BACKBONE
    remark = f"checkpoint: {known.name}: {known.about}"
    return Parts(groups, (remark, f"classifier: its tensors {', '.join(known.of_head)}"))


def _by_shape(file: ModelFile) -> Parts:
    """By names, which say all of checkpoints of ours, and by shape where they say nothing."""
    pieces = file.layout.pieces
    unsaid = [piece for piece in pieces if group_of(piece.name) == OTHER]
    found = classifiers(pieces)
    held = {one.name for pair in found for one in pair}
    remarks = [
        f"classifier: guessed by shape, {quoted(pair.weight.name)} and {quoted(pair.bias.name)}:"
        f" {pair.classes:,} classes"
        for pair in found
    ]
    left = [piece for piece in unsaid if piece.name not in held]
    if sum(piece.bytes for piece in left) > SMALL * file.layout.bytes:
        largest = max(left, key=lambda piece: piece.bytes)
        more = f" and {len(left) - 1:,} more" if len(left) > 1 else ""
        remarks.append(
            f"other: {quoted(largest.name)}{more}: names that say nothing; the rest is a guess too"
        )
    return Parts(dict.fromkeys(held, CLASSIFIER), tuple(remarks))


def _by_structure(file: ModelFile) -> tuple[list[str], str]:
    from hcompress.foreign.graph import load_graph, parsed
    from hcompress.foreign.identify import NoClassifierError, find_classifier

    try:
        ends = find_classifier(load_graph(file), shown(file.path))
    except NoClassifierError:
        raise InputRefused("no product onto classes at its end") from None
    part = ends.classifier
    held = [part.weight] if part.bias is None else [part.weight, part.bias]
    how = f"classifier: guessed by structure, the last product ({ends.product}, {part.weight})"
    return sorted(_origins(parsed(file), held)), how


def _origins(proto: ModelProto, names: Iterable[str]) -> set[str]:
    """The tensors in the file that these values are worked out from."""
    makers = {name: node for node in proto.graph.node for name in node.output}
    held = {one.name for one in proto.graph.initializer}
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name in found:
            continue
        node = makers.get(name)
        if name in held or (node is not None and node.op_type == "Constant"):
            found.add(name)
        elif node is not None:
            left += node.input
    return found


def _charset(file: ModelFile) -> tuple[str, ...]:
    said = file.layout.properties.get(CHARACTERS)
    if said is None:
        return ()
    return (
        f"container: {len(said.encode()):,} bytes of it are the charset (metadata {CHARACTERS})",
    )
