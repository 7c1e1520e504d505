"""Answers restricted before one is chosen, and what is said where too few are kept to choose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from onnx import helper
from onnx.helper import make_node

from hcompress.checkpoints.checkpoint import MODEL_FILE, save_checkpoint
from hcompress.cli.reading_options import OnlyThese
from hcompress.errors import UsageError
from hcompress.evaluation.readers import open_reader
from hcompress.heads.native import CodeRanker
from hcompress.runtime import OnnxReader, readings
from hcompress.runtime.foreign_reader import ForeignReader
from hcompress.runtime.only import CLASSES, allowed, among_candidates, key_of, lacking
from hcompress.runtime.options import ReadOptions
from hcompress.runtime.reading import Reading, surely
from hcompress.spec.header import ModelMetadata, Provenance
from hcompress.spec.heads import Hamming, HeadSpec, Softmax
from hcompress.spec.transcription import Scheme, Transcription
from hcompress.spec.vocabulary import Vocabulary
from tests import ROOT
from tests.builders import CONFIGS, LIGHT, pictures, recogniser
from tests.foreign import builders
from tests.recognisers.ctc import test_graph as ctc
from tests.runtime.test_stepwise import exported

IDEOGRAPHS = [chr(0x4E00 + place) for place in range(ctc.VOCABULARY - 1)]
CTC = Transcription(Scheme.CTC, ("<blank>",), blank=0)


@pytest.mark.parametrize(
    ("only", "kept"),
    [
        ("digits", "07"),
        ("upper", "AÉЖ"),
        ("latin", "AzÉ"),
        ("han", "漢"),
        ("kana", "あ"),
        ("A7", "7A"),
        (["digits", "z!"], "07z!"),
        ("punctuation", "!"),
    ],
)
def test_characters_and_classes(only: str | list[str], kept: str) -> None:
    classes = list("07AzÉЖ漢あ!")
    found = allowed(classes, key_of(only) or ())
    assert "".join(one for one, yes in zip(classes, found, strict=True) if yes) == kept


def test_what_is_named_and_not_there() -> None:
    for nothing in ("", [], [""]):
        with pytest.raises(UsageError, match="no character and no class"):
            key_of(nothing)
    with pytest.raises(UsageError, match="the model answers none of these"):
        allowed(["a", ""], ["digits"])
    assert lacking("ab", ["digits", "abc"]) == "c"
    assert key_of(None) is None
    assert all(not within("\u0378") for name, within in CLASSES.items() if name != "ascii")
    assert allowed(["🇦🇧", "ab", "a1"], ["ab"]).tolist() == [False, True, False]


@pytest.mark.parametrize("name", ["light", "reranked"])
def test_the_search_among_some_codes_is_that_among_all_without_the_others(name: str) -> None:
    config = CONFIGS[name]
    assert isinstance(config.head, Hamming)
    rng = np.random.default_rng(3)
    packed = rng.integers(0, 256, (40, config.head.length // 8), np.uint8)
    logits = rng.standard_normal((20, config.head.length)).astype(np.float32)
    mask = rng.random(40) < 0.3
    mask[:3] = True
    whole = CodeRanker(config.head, config, packed)
    first = config.transcription.first_answer
    every, some = whole.rank(logits, 40 - first, 1, "m"), whole.restricted(mask)
    count = int(mask[first:].sum())
    found = some.rank(logits, 40, 1, "m")
    assert found.ids.shape == (20, count)
    for row in range(20):
        wanted = [i for i in every.ids[row].tolist() if mask[i]]
        assert found.ids[row].tolist() == wanted
        if not config.head.rerank:
            chances = [p for i, p in zip(every.ids[row], every.probabilities[row], strict=True)
                       if mask[i]]  # fmt: skip
            np.testing.assert_allclose(found.probabilities[row], chances, rtol=1e-5, atol=1e-9)
    again = whole.rank(logits, 40 - first, 1, "m")  # what was asked of others changed nothing
    np.testing.assert_array_equal(again.ids, every.ids)


@pytest.mark.parametrize("name", ["light", "softmax", "reranked"])
def test_ours_answer_what_is_asked_for_alone(name: str, tmp_path: Path) -> None:
    made = recogniser(CONFIGS[name])
    path = exported(tmp_path, made)
    images = list(pictures(9, made.config))
    plain = OnnxReader(path).read(images)
    several = {c for one in plain for c in one.text}
    assert len(several) > 2
    wanted = "".join(sorted(several)[:2])
    reader = OnnxReader(path, only=wanted)
    assert reader.stepwise
    found = reader.read(images)
    for one, before in zip(found, plain, strict=True):
        assert set(one.text) <= set(wanted)
        assert len(one.candidates) == len(one.text)
        assert all(c["character"] in {*wanted, "<EOS>"} for step in one.candidates for c in step)
        if set(before.text) <= set(wanted):
            assert (one.text, one.confidence) == (before.text, pytest.approx(before.confidence))
        # Where the graph itself keeps too few, it is said.
        assert not one.remark or name == "softmax"
    for one in (OnnxReader(path), reader):
        every = one.read(images, only=made.vocabulary.characters)
        assert [found.text for found in every] == [before.text for before in plain]
        assert [found.confidence for found in every] == pytest.approx(
            [before.confidence for before in plain], rel=1e-3
        )
    with pytest.raises(UsageError, match="answers none"):
        OnnxReader(path, only="☃")


def test_a_loop_and_a_checkpoint_say_that_they_chose_afterwards(tmp_path: Path) -> None:
    made = recogniser(LIGHT)
    path = exported(tmp_path, made)
    provenance = Provenance("train", None)
    save_checkpoint(tmp_path / MODEL_FILE, made.model, made.vocabulary, provenance, frozenset())
    images = list(pictures(9, made.config))
    wanted = sorted({c for one in OnnxReader(path).read(images) for c in one.text})[:2]
    chosen = ReadOptions(only=tuple(wanted))
    for reader in (
        OnnxReader(path, steps=False, only=wanted),
        open_reader(tmp_path / MODEL_FILE, reading=chosen),
    ):
        found = reader.read(images)
        assert all(set(one.text) <= set(wanted) for one in found)
        said = {one.remark for one in found}  # type: ignore[attr-defined]
        assert any("read without the restriction" in one for one in said)
    with pytest.raises(UsageError, match="providers are for ONNX files"):
        open_reader(tmp_path / MODEL_FILE, reading=ReadOptions(providers=("cuda",)))


def test_a_place_of_which_no_candidate_is_left_is_left_out_and_said() -> None:
    ids = np.array([[[3, 4], [5, 4], [2, 3]]])
    chances = np.array([[[0.5, 0.2], [0.6, 0.3], [0.9, 0.1]]], np.float32)
    mask = np.array([True, True, True, True, False, False])
    (one,) = readings(ids, chances, Vocabulary("abc"), mask)
    assert (one.text, one.confidence) == ("a", pytest.approx(0.5 * 0.1 * 0.9))
    assert "none of the best 2 answers is among those asked for: 1 place" in one.remark
    assert one.candidates == [[{"character": "a", "confidence": 0.5}]]
    # Columns: no character, and no blank that was not read; what stands on either side is two.
    ids = np.array([[[1, 0], [2, 3], [1, 0]]])
    (one,) = readings(ids, chances, Vocabulary("abc", CTC), np.array([True, True, False, False]))
    assert (one.text, one.confidence) == ("aa", 0)
    assert one.remark
    chosen = among_candidates(ids, chances, np.array([True, False, False, True]))
    assert chosen.ids[0, :, 0].tolist() == [0, 3, 0]
    assert (chosen.lost.any(), chosen.moved.all()) == (False, True)


@pytest.mark.parametrize("tail", ["Softmax", "LogSoftmax", "none"])
def test_theirs_choose_among_all_classes(tail: str, tmp_path: Path) -> None:
    made = builders.recogniser()
    if tail == "LogSoftmax":
        made.graph.node[-1].op_type = tail
    elif tail == "none":
        del made.graph.node[-1]
        made.graph.node[-1].output[0] = "y"
    reader = ForeignReader(builders.saved(made, tmp_path))
    image = builders.stripes("rgbg")
    (whole,) = reader.read([image])
    assert whole.text == "rgbg"
    (green,) = reader.read([image], only="g")
    assert set(green.text) == {"g"}
    assert green.confidence < 0.01 < whole.confidence
    assert "left out what is likelier than all that is asked for, at " in green.remark
    assert reader.read([image], only="rgb") == [whole]
    sure = ForeignReader(tmp_path / "rec.onnx", only=("r", "g", "b"), min_confidence=1)
    (same,) = sure.read([image])
    assert (same.text, same.confidence) == ("", whole.confidence)
    assert 'less sure than 1: "rgbg"' in same.remark
    with pytest.raises(UsageError):
        reader.read([image], only="digits")


def test_a_graph_that_answers_ids_alone_leaves_others_out(tmp_path: Path) -> None:
    made = builders.recogniser()
    made.graph.node[-1].CopyFrom(make_node("ArgMax", ["a"], ["y"], axis=2, keepdims=0))
    del made.graph.output[:]
    made.graph.output.append(helper.make_tensor_value_info("y", 7, ["N", "T"]))
    reader = ForeignReader(builders.saved(made, tmp_path))
    image = builders.stripes("rgbg")
    assert reader.read([image])[0].text == "rgbg"
    (green,) = reader.read([image], only="g")
    assert green.text == "gg"
    assert "left out what is likelier than all that is asked for" in green.remark
    assert green.confidence == 0


def test_an_unsure_reading_has_no_text() -> None:
    reading = Reading("ab", 0.4, [])
    assert surely(reading, 0.4) is reading
    left = surely(reading, 0.5)
    assert (left.text, left.confidence) == ("", 0.4)
    assert left.remark == 'left out, being less sure than 0.5: "ab"'


@pytest.mark.parametrize("head", [Hamming(32), Softmax()])
def test_columns_are_restricted_before_they_collapse(head: HeadSpec, tmp_path: Path) -> None:
    config = replace(ctc.SMALL, head=head)
    model, vocabulary = ctc.made(config), Vocabulary(IDEOGRAPHS, CTC)
    text = ModelMetadata(config, vocabulary, Provenance("onnx", None)).to_json()
    path = tmp_path / "model.onnx"
    path.write_bytes(model.graph(text, store_half=False).SerializeToString())
    images = list(np.random.default_rng(5).integers(0, 256, (4, 32, 160, 3), np.uint8))
    plain = OnnxReader(path)
    before = plain.read(images)
    wanted = sorted({c for one in before for c in one.text})[:3]
    found = plain.read(images, only=wanted)
    assert any(one.text for one in found)
    assert all(set(one.text) <= set(wanted) for one in found)
    for one, other in zip(found, before, strict=True):
        assert one == other or one.confidence <= other.confidence + 1e-3 or one.remark


def test_help_and_docs_name_every_class() -> None:
    page = (ROOT / "docs" / "runtime.md").read_text(encoding="utf-8")
    said = str(get_args(OnlyThese)[1].help)
    for name in CLASSES:
        assert name in said
        assert f"`{name}`" in page
