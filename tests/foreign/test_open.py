"""What a foreign file is: found by structure and by running it, asked for, or refused by name."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, helper

from hcompress.errors import InputRefused, UsageError
from hcompress.foreign.open import examine, open_foreign
from hcompress.foreign.options import Blank, ImportOptions, split_charset
from hcompress.foreign.write import with_header
from hcompress.formats.open import ModelFile
from hcompress.spec.foreign import Answers, Channels
from hcompress.spec.header import Provenance
from tests.foreign.builders import (
    BIAS,
    CLASSES,
    WEIGHT,
    features,
    model,
    recogniser,
    saved,
    tensor,
)
from tests.foreign.conftest import Real

HELD = (tensor("w", WEIGHT), tensor("b", BIAS))
CHARACTERS = {"character": "r\ng\nb"}


def with_tail(nodes: list[NodeProto], held: tuple = HELD, **given: object) -> ModelProto:
    return model([*features(), *nodes], held, metadata=CHARACTERS, **given)


def gemm() -> ModelProto:
    """As torch exports it: frames in one heap, and the classes' rows."""
    nodes = [
        helper.make_node("Transpose", ["h"], ["t"], perm=[1, 0, 2]),
        helper.make_node("Reshape", ["t", "flat"], ["f"]),
        helper.make_node("Gemm", ["f", "rows", "b"], ["g"], transB=1),
        helper.make_node("Reshape", ["g", "back"], ["y"]),
    ]
    held = (
        tensor("rows", WEIGHT.T), HELD[1], tensor("flat", [-1, 3], np.int64),
        tensor("back", [-1, 1, 4], np.int64),
    )  # fmt: skip
    return with_tail(nodes, held, size=(1, 3, 48, "W"), output=(1, "false"))


def convolution() -> ModelProto:
    nodes = [
        features()[0],
        helper.make_node("Conv", ["p", "kernel", "b"], ["c"]),
        helper.make_node("Squeeze", ["c"], ["s"], axes=[2]),
        helper.make_node("Transpose", ["s"], ["t"], perm=[0, 2, 1]),
        helper.make_node("LogSoftmax", ["t"], ["y"], axis=2),
    ]
    held = (tensor("kernel", WEIGHT.T[:, :, None, None]), HELD[1])
    return model(nodes, held, metadata=CHARACTERS)


def best_alone() -> ModelProto:
    nodes = [
        helper.make_node("MatMul", ["h", "w"], ["m"]),
        helper.make_node("Add", ["b", "m"], ["a"]),
        helper.make_node("Softmax", ["a"], ["soft"], axis=2),
        helper.make_node("ArgMax", ["soft"], ["y"], axis=2, keepdims=0),
    ]
    made = with_tail(nodes, output=("N", "T"))
    made.graph.output[0].type.tensor_type.elem_type = 7
    return made


def two_in_a_row() -> ModelProto:
    nodes = [
        helper.make_node("MatMul", ["h", "first"], ["n"]),
        helper.make_node("Add", ["n", "zero"], ["z"]),
        helper.make_node("MatMul", ["z", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["y"]),
    ]
    held = (tensor("first", np.eye(3)), tensor("zero", np.zeros(3)), *HELD)
    return with_tail(nodes, held)


@pytest.mark.parametrize(
    ("made", "answers", "time_first", "rows"),
    [
        (recogniser, Answers.PROBABILITIES, False, False),
        (gemm, Answers.LOGITS, True, True),
        (convolution, Answers.LOG_PROBABILITIES, False, True),
        (best_alone, Answers.IDS, False, False),
        (two_in_a_row, Answers.LOGITS, False, False),
    ],
)
def test_the_classifier_is_found_by_structure(
    made, answers: Answers, time_first: bool, rows: bool, tmp_path: Path
) -> None:
    found = open_foreign(saved(made(), tmp_path))
    assert found.spec.answers is answers
    assert found.spec.time_first is time_first
    assert found.spec.image.single is time_first
    assert found.classifier.rows is rows
    assert (found.classifier.classes, found.classifier.width) == (4, 3)
    weights, biases = found.class_weights()
    np.testing.assert_array_equal(weights, WEIGHT.T)
    np.testing.assert_array_equal(biases, BIAS)
    assert found.spec.classes == CLASSES
    nodes = [found.proto.graph.node[place] for place in found.classifier.nodes]
    assert found.classifier.features == nodes[0].input[0]
    assert found.classifier.scores == nodes[-1].output[0]


def test_two_matrices_in_a_row_are_said(tmp_path: Path) -> None:
    found = examine(saved(two_in_a_row(), tmp_path))
    assert found.model.classifier.weight == "w"
    assert any("two matrices in a row" in line for line in found.found)


def test_a_width_that_is_fixed_is_kept(tmp_path: Path) -> None:
    image = open_foreign(saved(recogniser(size=(1, 3, 48, 320)), tmp_path)).spec.image
    assert (image.minimum_width, image.maximum_width, image.single) == (320, 320, True)


def detector() -> ModelProto:
    return model([helper.make_node("Sigmoid", ["x"], ["y"])], [])


def boxes() -> ModelProto:
    return model(
        [
            helper.make_node("Reshape", ["x", "rows"], ["r"]),
            helper.make_node("Concat", ["r", "r"], ["y"], axis=2),
        ],
        [tensor("rows", [1, -1, 3], np.int64)],
    )


def angles() -> ModelProto:
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["y"]),
    ]
    return model(nodes, HELD, output=("N", 4))


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (detector, "a detector: its output for an image of 48×320 is"),
        (boxes, "a detector, or no CTC recogniser"),
        (angles, "an image classifier: .* no axis that grows with the width"),
    ],
)
def test_what_is_no_recogniser_is_refused_by_name(made, what: str, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=what):
        open_foreign(saved(made(), tmp_path))


def test_a_pointer_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "rec.onnx"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 21234383\n")
    with pytest.raises(InputRefused, match="a Git LFS pointer"):
        open_foreign(path)


def test_what_cannot_be_told_is_asked_for_by_its_option(tmp_path: Path) -> None:
    path = saved(recogniser(metadata=None), tmp_path)
    with pytest.raises(InputRefused, match="name their list with --charset FILE"):
        open_foreign(path)
    bias = tensor("b", [0, 0, 0, 0])
    held = (HELD[0], bias)
    nodes = [
        helper.make_node("MatMul", ["h", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["y"]),
    ]
    path = saved(with_tail(nodes, held), tmp_path)
    with pytest.raises(InputRefused, match="say --blank first or --blank last"):
        open_foreign(path)
    assert open_foreign(path, ImportOptions(blank=Blank.LAST)).spec.classes == ("r", "g", "b", "")


def test_channels_nobody_knows_are_asked_for(tmp_path: Path) -> None:
    nodes = [*features(), *recogniser().graph.node[3:]]
    weight = np.concatenate([WEIGHT, WEIGHT[:1]])
    made = model(nodes, [tensor("w", weight), HELD[1]], size=("N", 4, 48, "W"), metadata=CHARACTERS)
    with pytest.raises(InputRefused, match="name one of --preprocessing ppocr, ppocr-rgb, ddddocr"):
        open_foreign(saved(made, tmp_path))


def test_preprocessing_is_as_asked(tmp_path: Path) -> None:
    path = saved(recogniser(), tmp_path)
    image = open_foreign(path, ImportOptions(preprocessing="ppocr-rgb")).spec.image
    assert image.channels is Channels.RGB
    with pytest.raises(InputRefused, match="makes 1 channels"):
        open_foreign(path, ImportOptions(preprocessing="ddddocr"))
    with pytest.raises(UsageError, match="--preprocessing pporc: one of"):
        open_foreign(path, ImportOptions(preprocessing="pporc"))


def test_a_file_made_here_is_read_back_from_its_header(tmp_path: Path) -> None:
    first = open_foreign(saved(recogniser(), tmp_path), ImportOptions(preprocessing="ppocr-rgb"))
    data = with_header(
        first.proto, first.spec, Provenance("import", None), asdict(first.classifier)
    )
    path = tmp_path / "again.onnx"
    path.write_bytes(data)
    again = examine(path)
    assert again.model.spec == first.spec
    assert again.model.classifier == first.classifier
    assert again.found == ("all of it: from its header",)
    header = ModelFile(path).header
    assert header is not None
    assert header["foreign"]["classes"] is None, "metadata say them already"


REAL = {
    "v6-small": (
        18_710,
        120,
        "ppocr",
        48,
        Answers.PROBABILITIES,
        'metadata "character", blank and',
    ),
    "v4": (6_625, 120, "ppocr", 48, Answers.PROBABILITIES, 'metadata "character", blank and space'),
    "v6-tiny": (6_906, 80, "ppocr", 48, Answers.PROBABILITIES, "inference.yml beside the model"),
    "v5": (18_385, 120, "ppocr", 48, Answers.PROBABILITIES, 'metadata "character", blank and'),
    "v6-tiny-int8": (6_906, 80, "ppocr", 48, Answers.PROBABILITIES, 'metadata "character"'),
    "plates": (73, 96, "ppocr", 32, Answers.PROBABILITIES, "clp_dict.txt beside the model"),
}


@pytest.mark.parametrize("name", REAL)
def test_a_real_recogniser_is_told(name: str, real: Real) -> None:
    found = open_foreign(real(name))
    classes, width, preprocessing, height, answers, source = REAL[name]
    assert (found.classifier.classes, found.classifier.width) == (classes, width)
    assert (found.spec.preprocessing, found.spec.image.height) == (preprocessing, height)
    assert (found.spec.answers, found.spec.blank, found.spec.time_first) == (answers, 0, False)
    assert found.spec.source.startswith(source)
    assert len(found.spec.classes) == classes


def test_ddddocr_is_told_but_which_of_its_two_lists(real: Real) -> None:
    path = real("ddddocr")
    with pytest.raises(InputRefused, match=r"--charset .*CHARSET_OLD or .*CHARSET_BETA"):
        open_foreign(path)
    options = ImportOptions(*split_charset(f"{path.parent / 'charsets.py'}:CHARSET_BETA"))
    found = open_foreign(path, options)
    assert (found.classifier.classes, found.classifier.width) == (8_210, 1_024)
    assert found.spec.answers is Answers.LOGITS
    assert found.spec.time_first
    assert found.spec.image.single
    assert (found.spec.preprocessing, found.spec.image.height) == ("ddddocr", 64)
    assert max(map(len, found.spec.classes)) == 2, "a class of two characters"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("detector", "a detector: "),
        ("plate-detector", "a detector: "),
        ("ddddocr-detector", "a detector, or"),
        ("angles", "an image classifier: "),
    ],
)
def test_a_real_file_that_is_no_recogniser_is_refused_by_name(
    name: str, what: str, real: Real
) -> None:
    with pytest.raises(InputRefused, match=what):
        open_foreign(real(name))
