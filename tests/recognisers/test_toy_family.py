"""A new family takes its configuration, its module and one line: nothing else changes for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from onnx import ModelProto, TensorProto
from torch import Tensor, nn

from hcompress import sizes
from hcompress.artifacts.source import open_source
from hcompress.charset import UnknownCharacter
from hcompress.checkpoints.checkpoint import load_checkpoint
from hcompress.codes.options import Method
from hcompress.errors import InputRefused, UsageError
from hcompress.heads.contract import Form
from hcompress.heads.ranked import kept_candidates
from hcompress.onnx_writer.graph import Graph, value
from hcompress.recognisers import build
from hcompress.recognisers.backbones.graph import convolution, normalise
from hcompress.recognisers.backbones.layers import Backbone
from hcompress.recognisers.contract import Decoded, Recogniser, Targets
from hcompress.runs.forecast import after, forecast_of
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.runtime import OnnxReader
from hcompress.spec.config import CANDIDATES, RecogniserConfig
from hcompress.spec.exported import HEIGHT
from hcompress.spec.families import FAMILIES, config_from_dict, config_to_dict
from hcompress.spec.heads import Hamming, InputsSpec
from hcompress.spec.preprocessing import Preprocessing
from hcompress.spec.transcription import Scheme, Transcription
from hcompress.spec.vocabulary import Vocabulary
from hcompress.stages.codebook import MakeCodebook
from hcompress.stages.onnx import OnnxStage
from hcompress.stages.replace_head import ReplaceHead
from hcompress.stages.slim_decoder import SlimDecoder
from tests.walk import COUNT, Lines, assert_read_alike, inspected, walked, went

FIXED = Transcription(Scheme.FIXED, ("<PAD>",), pad=0)
CTC = Transcription(Scheme.CTC, ("<blank>",), blank=0)
BOTH = pytest.mark.parametrize(
    ("transcription", "longest"), [(FIXED, 8), (CTC, 4)], ids=["fixed", "ctc"]
)
STRIDE = 8
"""Pixels across that a place has."""


@dataclass(frozen=True, kw_only=True)
class PlacesConfig(RecogniserConfig):
    """An answer for every place along the line, all at once."""

    family: ClassVar[str] = "places"

    inputs: InputsSpec | None = None
    transcription: Transcription = FIXED
    channels: int = 12

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_steps * STRIDE != self.preprocessing.width:
            raise InputRefused(f"max_steps = {self.max_steps}: must be a place in {STRIDE} pixels")


class Strip(Backbone):
    """Two convolutions; of the height nothing is left."""

    def __init__(self, config: PlacesConfig) -> None:
        super().__init__()
        height = config.preprocessing.height // 4
        self.first = nn.Conv2d(3, config.channels, 4, 4)
        self.second = nn.Conv2d(config.channels, config.width, (height, 2), (height, 2))

    def path(self) -> list[str]:
        return ["first", "second"]

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.second(torch.relu(self.first(pixels)))
        return features


class Places(Recogniser):
    config: PlacesConfig
    backbone: Strip

    def __init__(self, config: PlacesConfig, vocabulary: int) -> None:
        super().__init__(config, vocabulary)
        self.backbone = Strip(config)
        self.make_head()

    def targets(
        self, texts: list[str], vocabulary: Vocabulary, unknown: UnknownCharacter
    ) -> Targets:
        """Of CTC, an alignment with a blank after every character."""
        apart = 2 if self.config.transcription.scheme is Scheme.CTC else 1
        ids = torch.zeros(len(texts), self.config.max_steps, dtype=torch.long)
        counted = torch.zeros_like(ids, dtype=torch.bool)
        for line, text in enumerate(texts):
            skipped = unknown is UnknownCharacter.SKIP_LINE and vocabulary.unknown(text)
            if not skipped and apart * len(text) <= self.config.max_steps:
                ids[line, : apart * len(text) : apart] = torch.tensor(vocabulary.encode(text))
                counted[line] = True
        return Targets(ids, ids, counted)

    def encode(self, images: Tensor) -> Tensor:
        features: Tensor = self.backbone(self.normalise(images))
        return features[:, :, 0].transpose(1, 2)

    def states(self, memory: Tensor, targets: Targets) -> list[Tensor]:
        return [memory[:, : targets.ids.shape[1]]]

    @torch.inference_mode()
    def read(self, images: Tensor, candidates: int = CANDIDATES) -> Decoded:
        h = self.encode(images)
        ids, chances = self.head.rank(h.flatten(0, 1), candidates)
        return Decoded(ids.unflatten(0, h.shape[:2]), chances.unflatten(0, h.shape[:2]))

    def graph(
        self,
        metadata: str,
        *,
        store_half: bool,
        weights: Mapping[str, Tensor] | None = None,
        probe: bool = False,
    ) -> ModelProto:
        g = Graph(self.state_dict() if weights is None else weights, store_half=store_half)
        size, width, steps = self.config.preprocessing, self.config.width, self.config.max_steps
        x = convolution(g, self.backbone.first, normalise(g, "images", size), "backbone.first")
        x = convolution(g, self.backbone.second, g.op("Relu", x), "backbone.second")
        x = g.op("Transpose", x, perm=[0, 2, 3, 1])
        h = g.op("Reshape", x, g.ints(-1, width))
        prepared = self.head.prepare(g, Form(serving=False, height=size.height))
        found = self.head.graph(g, h, prepared)
        kept = kept_candidates(self.vocabulary, self.config.transcription.first_answer)
        made = {
            "ids": (found.ids, kept, TensorProto.INT64),
            "probabilities": (found.chances, kept, TensorProto.FLOAT),
        }
        if probe and found.bit_logits is not None:
            made["bit_logits"] = found.bit_logits, self.config.code_length or 0, TensorProto.FLOAT
        for name, (answers, last, _) in made.items():
            g.rename(g.op("Reshape", answers, g.ints(-1, steps, last)), name)
        images = value("images", TensorProto.UINT8, ("N", HEIGHT, size.width, size.channels))
        outputs = [value(name, kind, ("N", steps, last)) for name, (_, last, kind) in made.items()]
        return g.model([images], outputs, metadata)


CONFIG = PlacesConfig(
    width=24, max_steps=8, preprocessing=Preprocessing(height=16, width=8 * STRIDE)
)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    build.register(PlacesConfig, Places)
    yield
    del FAMILIES[PlacesConfig.family], build._FAMILIES[PlacesConfig]


@BOTH
def test_a_new_family_goes_all_the_way(
    transcription: Transcription,
    longest: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = replace(CONFIG, transcription=transcription)
    way = walked(config, tmp_path, longest)
    assert isinstance(way.learnt.model, Places)
    assert way.report["serving"] == {}, "one file is all there is"
    told = ["Half-Precision Float (FP16)"]
    assert inspected(way.exported, capsys)["techniques"] == told
    assert sizes.techniques_of(way.half.opened) == told


@BOTH
def test_codes_take_the_place_of_its_softmax(
    transcription: Transcription, longest: int, tmp_path: Path
) -> None:
    """The stages of a codebook and of the Hamming classifier, then an export that is searched."""
    config = replace(CONFIG, transcription=transcription)
    way = walked(config, tmp_path, longest)
    learnt = open_source(way.path)
    lines = Lines(config, COUNT, longest)
    stage = MakeCodebook(data=lines.written(tmp_path / "lines"), code_length=64, workers=0)
    codes = went(stage, learnt, tmp_path / "codes")
    coded = went(ReplaceHead(embedding=False), codes, tmp_path / "coded")
    exported = went(OnnxStage(images=6), coded, tmp_path / "coded-onnx")
    made = load_checkpoint(coded.file)
    assert made.config.head == Hamming(64)
    assert exported.manifest is not None
    parity = exported.manifest.report["parity"]
    assert parity["texts_different"] == 0
    assert parity["bits"] == 6 * config.max_steps * 64
    assert not OnnxReader(exported.file, steps=True).stepwise, "there are no steps to run"
    assert_read_alike(coded, exported, lines)
    assert sizes.techniques_of(exported.opened) == ["Hamming Classifier"]
    assert way.learnt.vocabulary == made.vocabulary


def test_what_asks_for_another_inside_says_so(tmp_path: Path) -> None:
    way = walked(CONFIG, tmp_path, longest=8)
    with pytest.raises(UsageError, match="a recogniser of the family places has no ffn"):
        after(SlimDecoder(), forecast_of(way.half.opened))
    with pytest.raises(UsageError, match="not for a recogniser of the family places"):
        run_stage(SlimDecoder(), way.half, tmp_path / "slim", StageOptions())
    learnt, stage = open_source(way.path), MakeCodebook(method=Method.COLUMNS, code_length=64)
    codes = went(stage, learnt, tmp_path / "codes")
    with pytest.raises(UsageError, match="the embedding is not there"):
        went(ReplaceHead(), codes, tmp_path / "both")


def test_a_file_may_name_it_only_where_it_is_registered() -> None:
    raw: dict[str, Any] = config_to_dict(CONFIG)
    assert (raw["family"], raw["inputs"]) == ("places", None)
    assert config_from_dict(raw) == CONFIG
    with pytest.raises(InputRefused, match=r"^configuration: max_steps = 9: must be a place"):
        config_from_dict(raw | {"max_steps": 9})
    with pytest.raises(InputRefused, match='unknown key "ffn"'):
        config_from_dict(raw | {"ffn": False})
    known = FAMILIES.pop("places")
    with pytest.raises(InputRefused, match='family = "places"; one of: ctc, transformer'):
        config_from_dict(raw)
    FAMILIES["places"] = known


def test_texts_of_places_are_read_as_their_transcription_has_them() -> None:
    vocabulary = Vocabulary("ab", CTC)
    assert vocabulary.decode([0, 1, 1, 0, 1, 2, 2, 0]) == "aab"
    assert Vocabulary("ab", FIXED).decode([1, 1, 0, 2, 0]) == "aab"
