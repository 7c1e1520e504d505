"""A new kind of head takes its spec, its module and one line: nothing else changes for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from onnx import NodeProto, helper
from torch import Tensor, nn

from hcompress import sizes
from hcompress.artifacts.source import open_source
from hcompress.checkpoints.checkpoint import load_checkpoint
from hcompress.compress.options import Scale
from hcompress.compress.replace_head import with_hamming_classifier
from hcompress.errors import InputRefused, UsageError
from hcompress.heads import build
from hcompress.heads.contract import Head, Losses, Ranked, Setting
from hcompress.heads.hamming.codebook import Codebook
from hcompress.heads.ranked import FLOAT, ranked, top
from hcompress.heads.softmax import softmax_loss
from hcompress.onnx_writer.graph import Graph
from hcompress.spec.families import config_from_dict, config_to_dict
from hcompress.spec.heads import HEADS, HeadSpec, Stored, Tensors
from hcompress.stages.int8 import Int8
from hcompress.stages.onnx import OnnxStage
from tests.builders import SMALL, recogniser
from tests.walk import COUNT, Lines, assert_read_alike, inspected, walked, went


@dataclass(frozen=True)
class Cosine(HeadSpec):
    """A direction for each class, and a byte that says how common it is."""

    sharpness: float = 16.0
    """What a cosine is multiplied by."""

    kind: ClassVar[str] = "cosine"

    def tensors(self, vocabulary: int, width: int) -> Tensors:
        return {
            "classifier.directions.weight": Stored((vocabulary, width)),
            "classifier.common": Stored((vocabulary,), packed=True),
        }

    def techniques(self) -> tuple[str, ...]:
        return ("Cosines",)

    def check(self, width: int) -> None:  # noqa: ARG002
        if not 1 <= self.sharpness <= 100:
            raise InputRefused(f"sharpness = {self.sharpness}: must be 1 to 100")


class CosineHead(Head):
    spec: Cosine
    common: Tensor

    def __init__(self, spec: Cosine, setting: Setting) -> None:
        super().__init__(spec, setting)
        self.directions = nn.Linear(setting.width, setting.vocabulary, bias=False)
        common = torch.full((setting.vocabulary,), 128, dtype=torch.uint8)
        self.register_buffer("common", common)

    def forward(self, h: Tensor) -> Tensor:
        cosines = unit(h) @ unit(self.directions.weight).T
        return self.spec.sharpness * cosines + (self.common.float() - 128) / 16

    def all_scores(self, logits: Tensor) -> Tensor:
        return logits

    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        counted: Tensor,
        losses: Losses,
        soft: Callable[[], Tensor] | None = None,  # noqa: ARG002
    ) -> Tensor:
        return softmax_loss(logits, targets, counted, losses.smoothing)

    def undecided(self, h: Tensor, one: int, other: int, rounding: float) -> bool:
        logits = self.logits(h)
        return abs(float(logits[one] - logits[other])) <= self.rounding(logits, rounding)

    def fit(self, h: Tensor, ids: Tensor) -> None:
        """Class means, and how often each class was there."""
        times = torch.bincount(ids, minlength=self.setting.vocabulary)
        old = self.directions.weight
        means = torch.zeros_like(old).index_add_(0, ids, unit(h).float())
        old.copy_(torch.where(times[:, None] > 0, means, old))
        self.common.copy_((128 + 16 * torch.log1p(times)).clamp(max=255).round())

    def graph(self, g: Graph, h: str, prepared: Any) -> Ranked:  # noqa: ARG002
        columns = g.call("Unit", g.weight("classifier.directions.weight", FLOAT), body=unit_nodes)
        common = g.op("Sub", g.to(g.raw("classifier.common"), FLOAT), g.number(128))
        bias = g.op("Div", common, g.number(16))
        seen = g.call("Unit", h, body=unit_nodes)
        logits = g.op("Gemm", seen, columns, bias, transB=1, alpha=self.spec.sharpness)
        first = g.ints(self.setting.first_answer), g.ints(2**31 - 1), g.ints(1)
        readable = g.op("Slice", logits, *first)
        scaled = g.op("Div", readable, g.number(self.setting.temperature))
        return ranked(g, self.setting, top(g, self.setting, readable), scaled, None)


def unit(vectors: Tensor) -> Tensor:
    return nn.functional.normalize(vectors, dim=-1)


def unit_nodes() -> tuple[list[str], list[NodeProto]]:
    return ["x"], [helper.make_node("LpNormalization", ["x"], ["y"], axis=-1, p=2)]


CONFIG = replace(SMALL, head=Cosine(sharpness=12.0))


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    build.register(Cosine, CosineHead)
    yield
    del HEADS[Cosine.kind], build._MODULES[Cosine]


def test_a_new_head_goes_all_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    way = walked(CONFIG, tmp_path, longest=4)
    head = way.learnt.model.head
    assert isinstance(head, CosineHead)
    assert int(head.common.max()) > 128, "it was fitted"
    told = ["MobileNetV2", "Half-Precision Float (FP16)", "Cosines"]
    assert sizes.techniques_of(way.half.opened) == told
    found = inspected(way.exported, capsys)
    assert found["techniques"] == told
    rows = {row["name"]: row["bytes"] for row in found["components"]}
    assert rows["classifier"] == 13 * (2 * CONFIG.width + 1)
    assert way.report["serving"]["parity"]["texts_different"] == 0
    small = went(Int8(scale=Scale.MAX_ABS), open_source(way.path), tmp_path / "int8")
    assert "classifier.directions.weight" in load_checkpoint(small.file).packed
    exported = went(OnnxStage(images=6), small, tmp_path / "int8-onnx")
    assert_read_alike(small, exported, Lines(CONFIG, COUNT, 4))


def test_what_asks_for_another_head_says_that_it_is_none() -> None:
    model = recogniser(CONFIG).model
    codes = np.zeros((model.vocabulary, 8), np.uint8)
    codebook = Codebook(codes, np.zeros((CONFIG.width, 64), np.float32))
    with pytest.raises(UsageError, match="the classifier is a cosine one, and codes are made from"):
        with_hamming_classifier(model, codebook)
    with pytest.raises(UsageError, match="the classifier is a cosine one: nothing to give back"):
        model.head.grown_back()


def test_a_file_may_name_it_only_where_it_is_registered() -> None:
    raw = config_to_dict(CONFIG)
    assert raw["head"] == {"kind": "cosine", "sharpness": 12.0}
    assert config_from_dict(raw) == CONFIG
    for odd in (0.5, "12", None):
        with pytest.raises(InputRefused, match=r"configuration: (head: )?sharpness = "):
            config_from_dict(raw | {"head": {"kind": "cosine", "sharpness": odd}})
    known = dict(HEADS)
    del HEADS["cosine"]
    with pytest.raises(InputRefused, match='head: kind = "cosine"; one of: hamming, softmax'):
        config_from_dict(raw)
    HEADS.update(known)
