"""A checkpoint opened as a foreign recogniser: what its framework knows is not guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hcompress.foreign.checkpoints.convert import converted
from hcompress.foreign.classes import Listing, find_listing, name_classes
from hcompress.foreign.graph import normalised
from hcompress.foreign.identify import find_classifier
from hcompress.foreign.inputs import choose
from hcompress.foreign.model import ForeignModel
from hcompress.foreign.options import Blank, ImportOptions
from hcompress.spec.foreign import ForeignSpec
from hcompress.strict.files import shown

if TYPE_CHECKING:
    from hcompress.foreign.checkpoints.convert import Converted
    from hcompress.formats.open import ModelFile


def open_checkpoint(
    file: ModelFile, options: ImportOptions
) -> tuple[ForeignModel, tuple[str, ...], bool]:
    """The recogniser; how what is known of it was found, for people; whether all of it is known.

    Raises as `converted`, and InputRefused if what its classes stand for can't be told.
    """
    where = shown(file.path)
    made = converted(file, options.arch)
    known = made.architecture
    proto = normalised(made.proto)
    part = find_classifier(proto, where)
    count = part.classifier.classes
    blank = options.blank or known.blank
    listing = _listing(made, count, options, file)
    name, image = choose(
        options.preprocessing or known.preprocessing, known.channels, known.height, where
    )
    place = 0 if blank is Blank.FIRST else count - 1
    classes = name_classes(listing, count, blank, place, where)
    spec = ForeignSpec(
        classes.classes, place, part.answers, known.time_first, image, name, classes.source
    )
    told = "" if options.arch is None else ", as asked"
    found = [
        f"checkpoint: {known.name}{told}: {known.about}; its {len(known.shapes)} tensors by name"
        " and shape",
        f"classifier: {part.classifier.width} features to {count:,} classes ({known.classes})",
        f"transcription: ctc, {part.answers} of frames",
        f"blank: class {place}: " + ("as its framework has it" if options.blank is None else
                                     f"--blank {blank}"),
        f"charset: {classes.source}",
        f"input: {name} at a height of {image.height}: "
        + ("as its framework has it" if options.preprocessing is None else "as asked"),
    ]  # fmt: skip
    asked = options.charset is not None or options.preprocessing is not None
    whole = made.listed is not None and not asked
    return ForeignModel(proto, part.classifier, spec), tuple(found), whole


def _listing(made: Converted, count: int, options: ImportOptions, file: ModelFile) -> Listing:
    """That which was asked for, or the checkpoint's, or its framework's, or one beside it."""
    if options.charset is None and made.listed is not None:
        return Listing(list(made.listed.characters), made.listed.source)
    return find_listing(count, options, None, file.path, shown(file.path))
