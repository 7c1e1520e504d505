"""A CTC recogniser goes the way that every recogniser goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hcompress import sizes
from hcompress.artifacts.source import open_source
from hcompress.checkpoints.checkpoint import load_checkpoint
from hcompress.runtime import OnnxReader
from hcompress.spec.ctc import CtcConfig
from hcompress.spec.heads import Hamming
from hcompress.spec.preprocessing import AnyWidth
from hcompress.stages.codebook import MakeCodebook
from hcompress.stages.onnx import OnnxStage
from hcompress.stages.replace_head import ReplaceHead
from tests.walk import COUNT, Lines, assert_read_alike, walked, went

SMALL = CtcConfig(
    width=24,
    max_steps=16,
    preprocessing=AnyWidth(height=16, width=64, bucket=16),
    backbone_width=0.5,
    neck=1,
    neck_width=16,
    ffn_width=32,
    heads=2,
)


@pytest.mark.parametrize(("neck", "pitch", "longest"), [(1, 4, 4)])
def test_it_goes_all_the_way(neck: int, pitch: int, longest: int, tmp_path: Path) -> None:
    """Trained, fitted, halved, exported for any width; then with codes in place of its softmax."""
    config = replace(SMALL, neck=neck, pitch=pitch, max_steps=64 // pitch)
    way = walked(config, tmp_path, longest)
    assert way.report["serving"] == {}, "one file is all there is"
    learnt = open_source(way.path)
    lines = Lines(config, COUNT, longest)
    stage = MakeCodebook(data=lines.written(tmp_path / "lines"), code_length=64, workers=0)
    codes = went(stage, learnt, tmp_path / "codes")
    coded = went(ReplaceHead(embedding=False), codes, tmp_path / "coded")
    exported = went(OnnxStage(images=6), coded, tmp_path / "coded-onnx")
    assert load_checkpoint(coded.file).config.head == Hamming(64)
    assert exported.manifest is not None
    parity = exported.manifest.report["parity"]
    assert parity["texts_different"] == 0
    assert parity["bits"] == 6 * config.max_steps * 64
    assert OnnxReader(exported.file).stepwise, "the codes are searched beside the graph"
    assert not OnnxReader(exported.file, steps=False).stepwise
    assert_same(OnnxReader(exported.file), OnnxReader(exported.file, steps=False), lines)
    assert_read_alike(coded, exported, lines)
    assert "Hamming Classifier" in sizes.techniques_of(exported.opened)


def assert_same(one: OnnxReader, other: OnnxReader, lines: Lines) -> None:
    """The graph's own answers and those searched beside it."""
    ids, chances = one.decode(lines.images)
    expected, beside = other.decode(lines.images)
    assert (ids == expected).all()
    assert chances == pytest.approx(beside, abs=1e-5)
