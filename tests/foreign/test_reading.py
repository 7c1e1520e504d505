"""Images to texts: the input as the vendor makes it, frames, confidences, and a batch's peace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from PIL import Image

from hcompress.errors import InputRefused
from hcompress.evaluation.readers import open_reader
from hcompress.foreign.check import check_reading, common
from hcompress.foreign.frames import Frames
from hcompress.foreign.inputs import PREPROCESSINGS, batches, opencv_linear, prepared, size_of
from hcompress.foreign.open import open_foreign
from hcompress.foreign.options import ImportOptions, split_charset
from hcompress.runtime.foreign_reader import ForeignReader
from tests.foreign.builders import STEP, recogniser, saved, stripes
from tests.foreign.conftest import Real
from tests.foreign.test_open import best_alone, convolution, gemm

PPOCR = PREPROCESSINGS["ppocr"]


def test_resizing_is_opencvs() -> None:
    """Held against what OpenCV 5.0 gave for the same image, to a grey level."""
    plain = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3).astype(int) * 2
    image = (plain**2 % 251).astype(np.uint8)
    smaller = [[16, 139, 79, 87], [43, 172, 117, 131], [112, 100, 198, 155]]
    found = opencv_linear(image, 3, 4)[:, :, 0].astype(int)
    assert np.abs(found - smaller).max() <= 1
    larger = [
        [4, 44, 122, 186, 149, 168, 88, 76, 189], [81, 121, 151, 154, 118, 139, 120, 121, 161],
        [175, 216, 185, 110, 75, 97, 158, 175, 122], [136, 179, 148, 74, 40, 63, 125, 143, 91],
        [102, 145, 116, 60, 88, 50, 96, 115, 64], [72, 116, 87, 68, 219, 60, 72, 92, 41],
        [50, 94, 130, 162, 216, 156, 118, 76, 27], [35, 80, 165, 234, 204, 230, 156, 66, 17],
    ]  # fmt: skip
    found = opencv_linear(image, 8, 9)[:, :, 1].astype(int)
    assert np.abs(found - larger).max() <= 1


@pytest.mark.parametrize(
    ("shape", "width", "padded"),
    [
        ((48, 100), 100, 320),
        ((31, 100), 155, 320),  # rounded up: 154.8
        ((48, 320), 320, 320),
        ((31, 300), 464, 464),  # cut: 464.5
        ((100, 1), 1, 320),
        ((1, 40_000), 8_192, 8_192),
    ],
)
def test_widths_are_ppocrs(shape: tuple[int, int], width: int, padded: int) -> None:
    found = size_of((*shape, 3), PPOCR)
    assert (found.width, found.padded) == (width, padded)


def test_values_channels_and_padding_are_ppocrs() -> None:
    image = np.zeros((48, 10, 3), np.uint8)
    image[:, :, 0] = 255  # red
    made = prepared(image, PPOCR)
    assert made.shape == (3, 48, 320)
    np.testing.assert_array_equal(made[:, 0, 9], [-1, -1, 1])
    np.testing.assert_array_equal(made[:, :, 10:], 0)


def test_ddddocrs_input_is_its_own() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 101, 3), dtype=np.uint8)
    there = Image.fromarray(image).resize((int(101 * (64 / 30)), 64), Image.Resampling.LANCZOS)
    wanted = np.asarray(there.convert("L"), np.float32) / 255
    np.testing.assert_allclose(prepared(image, PREPROCESSINGS["ddddocr"])[0], wanted, atol=1e-6)


def test_only_images_of_one_width_run_together() -> None:
    pictures = [stripes("rgb" * n) for n in (1, 9, 2, 9)]
    found = [(places, one.shape) for places, one in batches(pictures, PPOCR, 16)]
    assert found == [([0, 2], (2, 3, 48, 320)), ([1, 3], (2, 3, 48, 880))]
    alone = [places for places, _ in batches(pictures, replace(PPOCR, single=True), 16)]
    assert alone == [[0], [2], [1], [3]]


@pytest.mark.parametrize("made", [recogniser, gemm, convolution, best_alone])
def test_texts_are_read_whatever_the_output_holds(made, tmp_path: Path) -> None:
    reader = open_reader(saved(made(), tmp_path))
    assert isinstance(reader, ForeignReader)
    assert reader.characters == ("r", "g", "b")
    texts = ["rgb", "", "bbrrg" * 5, "g"]
    found = reader.read([stripes(text) for text in texts])
    assert [one.text for one in found] == texts
    assert found[1].confidence == 1
    assert all(0.9 < one.confidence <= 1 for one in found)
    assert [len(one.candidates) for one in found] == [3, 0, 25, 1]


def test_candidates_come_best_first_and_confidence_is_their_product(tmp_path: Path) -> None:
    reader = ForeignReader(saved(recogniser(), tmp_path))
    image = np.full((48, 64, 3), 255, np.uint8)
    image[:, 16:24] = (255, 90, 90)  # pink: red for the most part
    image[:, 40:48] = (80, 80, 255)
    (found,) = reader.read([image])
    assert found.text == "rb"
    chances = [[one["confidence"] for one in place] for place in found.candidates]
    assert all(place == sorted(place, reverse=True) for place in chances)
    assert all(sum(place) == pytest.approx(1, abs=1e-5) for place in chances)
    assert found.candidates[0][1]["character"] == "<blank>"
    assert found.confidence == pytest.approx(chances[0][0] * chances[1][0])


@pytest.mark.parametrize("made", [recogniser, gemm, convolution])
def test_frames_are_as_many_as_the_width_has(made, tmp_path: Path) -> None:
    path = saved(made(), tmp_path)
    frames = Frames(path, open_foreign(path).spec)
    ids, chances = frames.frames([stripes("rg"), stripes("rgb" * 9)])
    assert [len(one) for one in ids] == [320 // STEP, 880 // STEP]
    assert [one.shape for one in chances] == [one.shape for one in ids]
    assert all(0 < one.min() <= one.max() <= 1.000001 for one in chances)
    (places, output), *_ = frames.outputs([stripes("rg")])
    assert (places, output.shape) == ([0], (1, 40, 4))


def test_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    path = saved(recogniser(), tmp_path)
    spec = open_foreign(path).spec
    frames = Frames(path, replace(spec, classes=("", "a", "b")))
    with pytest.raises(InputRefused, match="where frames of 3 classes are expected"):
        frames.lines([stripes("r")])


def test_what_everybody_trains_on_is_drawn() -> None:
    assert common(["A", "中", "彆", "·", "1", *"bcdefghijk"]) == ["A", "中", "1", *"bcdefghijk"]
    assert common(["彆", "a"]) == ["彆", "a"]


READ = ("v6-small", "v4", "v6-tiny", "v6-tiny-int8", "v5", "plates")


@pytest.mark.parametrize("name", READ)
def test_a_real_file_reads_its_own_characters(name: str, real: Real) -> None:
    pytest.importorskip("fontTools")
    path = real(name)
    found = check_reading(Frames(path, open_foreign(path).spec))
    assert found.lines == 64
    assert found.right > 48
    assert found.similarity > 0.95


def test_a_wrong_list_is_caught(real: Real) -> None:
    pytest.importorskip("fontTools")
    path = real("v6-small")
    spec = open_foreign(path).spec
    shifted = replace(spec, classes=("", *spec.classes[2:], spec.classes[1]))
    with pytest.raises(InputRefused, match="reads 0 of 64 lines of its own charset"):
        check_reading(Frames(path, shifted))
    path = real("ddddocr")
    for name, right in (("CHARSET_OLD", False), ("CHARSET_BETA", True)):
        options = ImportOptions(*split_charset(f"{path.parent / 'charsets.py'}:{name}"))
        frames = Frames(path, open_foreign(path, options).spec)
        if right:
            assert check_reading(frames).right > 48
        else:
            with pytest.raises(InputRefused, match="reads 0 of 64"):
                check_reading(frames)


def test_texts_are_those_of_rapidocr(real: Real) -> None:
    """Its own recogniser, a line at a time."""
    pytest.importorskip("cv2")
    rapidocr = pytest.importorskip("rapidocr")
    pytest.importorskip("fontTools")
    from rapidocr.ch_ppocr_rec import TextRecInput

    from hcompress.data.render.charset_lines import charset_lines
    from hcompress.data.render.spec import Split

    path = real("v6-small")
    reader = ForeignReader(path)
    source = charset_lines(reader.characters, 24, 3, Split.UNSEEN)
    images = [source[place].image for place in range(len(source))]
    engine = rapidocr.RapidOCR(params={"Global.log_level": "critical"})
    alone = {"use_det": False, "use_cls": False, "use_rec": True}
    engine(np.zeros((48, 160, 3), np.uint8), **alone)  # it loads its model with the first image
    theirs = [
        engine.text_rec(TextRecInput(img=np.ascontiguousarray(image[:, :, ::-1]))).txts[0]
        for image in images
    ]
    assert [one.text for one in reader.read(images)] == theirs


def test_a_graph_of_one_axis_too_few_is_refused(tmp_path: Path) -> None:
    proto = recogniser()
    proto.graph.node.append(helper.make_node("ReduceMean", ["a"], ["flat"], axes=[1], keepdims=0))
    path = saved(proto, tmp_path)
    spec = open_foreign(path).spec
    proto.graph.output[0].name = "flat"
    with pytest.raises(InputRefused, match=r"answers \(1, 4\) where frames"):
        Frames(saved(proto, tmp_path, "flat.onnx"), spec).lines([stripes("r")])
