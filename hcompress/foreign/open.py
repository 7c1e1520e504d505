"""Opens a recogniser from elsewhere: what it is, found out or asked for, and said how.

A file that was made here from one says it all in its header, and nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

from hcompress.compute.session import Session
from hcompress.errors import InputRefused, NumericalError
from hcompress.foreign.checkpoints.open import open_checkpoint
from hcompress.foreign.classes import Classes, Listing, answered, find_listing, name_classes
from hcompress.foreign.graph import load_graph, load_stored, parsed, rounds_activations
from hcompress.foreign.header import foreign_header
from hcompress.foreign.identify import PRODUCTS, Ends, NoClassifierError, find_classifier
from hcompress.foreign.inputs import choose
from hcompress.foreign.measure import NARROW, Measured, flat_images, measure
from hcompress.foreign.model import Classifier, ForeignModel
from hcompress.foreign.options import AS_FOUND, Blank, ImportOptions
from hcompress.foreign.reclassed import with_classes_of
from hcompress.formats.open import ModelFile, Source, open_file, path_of
from hcompress.spec.exported import ONNX_FILE
from hcompress.spec.foreign import Answers, ForeignSpec, ImageInput
from hcompress.spec.foreign_header import CHARACTERS, ForeignHeader
from hcompress.strict.files import quoted, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WHITE: Final = 255
_FEWEST_FRAMES: Final = 4
"""Of an image 320 pixels wide: what has fewer reads no line."""


@dataclass(frozen=True)
class Opened:
    """A foreign recogniser, and how what is known of it was found."""

    model: ForeignModel
    found: tuple[str, ...]
    """Lines for people."""
    believed: bool = False
    """Its framework says so: neither classes nor preprocessing were guessed, or asked for."""


def open_foreign(source: Source, options: ImportOptions = AS_FOUND) -> ForeignModel:
    """The recogniser in an ONNX file, opened or not, in a folder with a `model.onnx`, or in a
    checkpoint that is known.

    Raises InputRefused if it is none, and says what it is; or if something can't be told, and
    says which option does.
    """
    return examine(source, options).model


def open_stored(source: Source) -> tuple[ForeignModel, ModelProto]:
    """The recogniser with every weight a float, and its graph as the file stores it.

    Weights that were packed here keep their names: they are values of the stored graph, and
    initialisers of the other. A file from elsewhere is brought into one form first. Raises as
    `open_foreign`.
    """
    file = open_file(source, ONNX_FILE, "ONNX file")
    model = open_foreign(file)
    return model, model.proto if foreign_header(file) is None else load_stored(file)


def teacher_for(model: ForeignModel, original: Source | None) -> ForeignModel:
    """Whose answers count: the original's, if it is given; its own else.

    What the original does not say of itself, its charset perhaps, is as in ``model``, which was
    made of it. Of an original with other classes those of ``model`` are taken, and new ones from
    it. Raises InputRefused if it is another recogniser.
    """
    if original is None:
        return model
    file = open_file(original, ONNX_FILE, "ONNX file")
    if foreign_header(file) is None:
        proto, where = load_graph(file), shown(file.path)
        try:
            teacher = ForeignModel(proto, find_classifier(proto, where).classifier, model.spec)
        except NoClassifierError:
            raise InputRefused(f"{where}: the teacher has no product onto classes") from None
    else:
        teacher = open_foreign(file)
    found = with_classes_of(model, teacher, said=foreign_header(file) is not None)
    if found is None:
        raise InputRefused(f"{path_of(original)}: the teacher is another recogniser")
    return found


def examine(source: Source, options: ImportOptions = AS_FOUND) -> Opened:
    """As `open_foreign`, and says how it was found."""
    file = open_file(source, ONNX_FILE, "ONNX file")
    if file.bare:
        model, found, believed = open_checkpoint(file, options)
        return Opened(model, found, believed)
    header = foreign_header(file)
    proto = load_graph(file)
    where = shown(file.path)
    if header is not None:
        model = ForeignModel(proto, _classifier(proto, header, where), header.spec)
        _check_finite(proto, model.classifier, where)
        return Opened(model, ("all of it: from its header",))
    session = Session(proto.SerializeToString(), where=where)
    measured = measure(proto, session, where)
    ends = _recogniser(proto, measured, where)
    _check_finite(proto, ends.classifier, where)
    named = _named(file, proto, session, measured, ends, options)
    if not rounds_activations(parsed(file)):
        return named
    return Opened(named.model, (*named.found, "weights: of int8; activations, which the file rounds"
                                " too, are left in float"))  # fmt: skip


def _classifier(proto: ModelProto, header: ForeignHeader, where: str) -> Classifier:
    """By structure, as in any file: a header may lie. Raises InputRefused if they disagree."""
    try:
        found = find_classifier(proto, where).classifier
    except NoClassifierError:
        raise InputRefused(f"{where}: damaged: no product onto classes at its end") from None
    if found.classes != len(header.spec.classes):
        raise InputRefused(
            f"{where}: damaged: its header lists {len(header.spec.classes):,} classes, its"
            f" classifier has {found.classes:,}"
        )
    return found


def _check_finite(proto: ModelProto, part: Classifier, where: str) -> None:
    """Raises NumericalError if what is multiplied with is NaN or infinite somewhere."""
    products = (node for node in proto.graph.node if node.op_type in PRODUCTS)
    wanted = {name for node in products for name in node.input} | {part.weight, part.bias}
    for one in proto.graph.initializer:
        known = one.name in wanted and one.data_type == TensorProto.FLOAT
        if known and not np.isfinite(numpy_helper.to_array(one)).all():
            raise NumericalError(f"{where}: weights {quoted(one.name)} are damaged: not finite")


def _recogniser(proto: ModelProto, measured: Measured, where: str) -> Ends:
    """Where its classifier is. Raises InputRefused, naming what it is, if it is no recogniser."""
    shape = list(measured.shape)
    seen = f"its output for an image of {measured.height}×{measured.width or NARROW} is {shape}"
    if len(shape) == 4:
        raise InputRefused(f"{where}: a detector: {seen}, a map of the image: give the recogniser")
    if measured.outputs > 1:
        raise InputRefused(
            f"{where}: a detector: it has {measured.outputs} outputs, and a recogniser has one"
        )
    try:
        ends = find_classifier(proto, where)
    except NoClassifierError:
        raise InputRefused(
            f"{where}: a detector, or no CTC recogniser: {seen}, and no product onto classes"
        ) from None
    flat = measured.width is not None and measured.width == measured.height
    rank = 2 if ends.answers is Answers.IDS else 3
    still = measured.width is None and not measured.grows
    if len(shape) < rank or still or flat:
        raise InputRefused(
            f"{where}: an image classifier: {seen}, and has no axis that grows with the width"
        )
    if rank == 3 and shape[-1] != ends.classifier.classes:
        raise InputRefused(
            f"{where}: {seen}: its {ends.classifier.classes:,} classes are not the last axis"
        )
    return ends


def _time(measured: Measured) -> int:
    """The axis of the frames: 0 or 1."""
    if measured.grows:
        return measured.grows[0]
    return 0 if measured.shape[1] == 1 else 1  # one width alone: one image, so the other axis


def _named(
    file: ModelFile,
    proto: ModelProto,
    session: Session,
    measured: Measured,
    ends: Ends,
    options: ImportOptions,
) -> Opened:
    """What goes in, and what the classes stand for."""
    where = shown(file.path)
    time = _time(measured)
    if len(measured.grows) > 1 or time > 1 or measured.shape[time] < _FEWEST_FRAMES:
        raise InputRefused(f"{where}: its output {list(measured.shape)} has no axis of frames")
    name, image = choose(options.preprocessing, measured.channels, measured.height, where)
    image = replace(image, single=measured.single)
    if measured.width is not None:
        image = replace(image, minimum_width=measured.width, maximum_width=measured.width)
    count = ends.classifier.classes
    said = file.layout.properties.get(CHARACTERS)
    listing = find_listing(count, options, said, file.path, where)
    classes = _classes(listing, session, measured, ends, image, options.blank, where)
    spec = ForeignSpec(
        classes.classes, classes.blank, ends.answers, time == 0, image, name, classes.source
    )
    found = _remarks(measured, ends, classes, name, options)
    return Opened(ForeignModel(proto, ends.classifier, spec), found)


def _classes(
    listing: Listing,
    session: Session,
    measured: Measured,
    ends: Ends,
    image: ImageInput,
    blank: Blank | None,
    where: str,
) -> Classes:
    mean, std = image.mean[0], image.std[0]
    values = [(level / _WHITE - mean) / std for level in (_WHITE, _WHITE // 2, 0)]
    outputs: list[NDArray[np.generic]] = [
        session.run([ends.output], {measured.input: one})[0]
        for one in flat_images(measured, values)
    ]
    nothing = answered(outputs, ends.answers)
    return name_classes(listing, ends.classifier.classes, blank, nothing, where)


def _remarks(
    measured: Measured, ends: Ends, classes: Classes, name: str, options: ImportOptions
) -> tuple[str, ...]:
    part = ends.classifier
    lines = [
        f"classifier: {ends.product}, {part.width} features to {part.classes:,} classes: the last"
        f" product in the graph ({part.weight})"
    ]
    if ends.before is not None:
        lines.append(
            f"  two matrices in a row: the one before it, onto {ends.before}, stays in the body"
        )
    step = "" if measured.step is None else f", one every {measured.step:g} pixels"
    lines += [
        f"transcription: ctc, {ends.answers} of frames{step} (measured at two widths)"
        if step
        else f"transcription: ctc, {ends.answers} of frames (it takes one width)",
        f"blank: class {classes.blank}: {classes.blank_how}",
        f"charset: {classes.source}",
    ]
    how = "as asked" if options.preprocessing else f"guessed from {measured.channels} channels"
    lines.append(f"input: {name} at a height of {measured.height}: {how}")
    return tuple(lines)
