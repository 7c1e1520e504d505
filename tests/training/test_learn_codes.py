"""Learning codes with a recogniser: what comes out, what does not; a kill changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hcompress.checkpoints.checkpoint import Checkpoint
from hcompress.codes.distances import distances
from hcompress.codes.similarity import similarity_report
from hcompress.compute.precision import Precision
from hcompress.errors import UsageError
from hcompress.heads.emu.options import ClassNet, Sharpness
from hcompress.heads.hamming.codebook import Codebook, pack
from hcompress.progress import NoProgress, Progress
from hcompress.recognisers.build import build
from hcompress.recognisers.contract import Recogniser
from hcompress.spec.ctc import CtcConfig
from hcompress.spec.forecast import Forecast
from hcompress.spec.heads import Hamming, HammingInputs, Learned, Softmax, with_learnt_codes
from hcompress.spec.vocabulary import Vocabulary
from hcompress.stages.learn_codes import LearnCodes
from hcompress.training.code_options import Start
from hcompress.training.learn_codes import beginning, beta_report, learn_codes
from hcompress.training.options import Workplace
from tests.builders import CHARACTERS, SLIM, SOFTMAX, untrained
from tests.training.tasks import TOLD, Killed, Killer, MemorySource

STAGE = LearnCodes(
    data=Path("d"), steps=6, batch=4, workers=0, code_length=64, snapshot_every=1,
    precision=Precision.FP32, validation_images=8, beta_rate=20, beta_weight=1e-4,
)  # fmt: skip
AUXILIARY = ("learner", "class_net", "beta_net", "sharp")


def learnt(
    stage: LearnCodes, model: Recogniser, folder: Path, progress: Progress | None = None
) -> tuple[Recogniser, dict[str, Any]]:
    before = Checkpoint(model, CHARACTERS, TOLD)
    workplace = Workplace(7, 1, progress or NoProgress(), folder)
    return learn_codes(stage, before, None, None, MemorySource(), None, workplace)


def same(one: Recogniser, other: Recogniser) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


@pytest.mark.parametrize("lines", [0, 24])
def test_a_softmax_becomes_a_hamming_recogniser_and_a_kill_changes_no_bit(
    lines: int, tmp_path: Path
) -> None:
    stage = replace(STAGE, lines=lines)
    made, report = learnt(stage, untrained(SOFTMAX), tmp_path / "whole")
    assert made.config == replace(
        SOFTMAX, head=Hamming(64), inputs=HammingInputs(64), temperature=made.config.temperature
    )
    assert not any(word in name for name in made.state_dict() for word in AUXILIARY)
    codes = made.codebook.numpy()
    apart = distances(codes, codes)[~np.eye(len(codes), dtype=bool)]
    assert apart.min() >= report["near_collisions"]["apart"]
    with pytest.raises(Killed):
        learnt(stage, untrained(SOFTMAX), tmp_path / "killed", Killer(4 + bool(lines)))
    again, _ = learnt(stage, untrained(SOFTMAX), tmp_path / "killed")
    assert same(made, again)
    assert report["right"].keys() == {"relaxed", "signs", "repaired"}
    assert sum(report["beta"]["histogram"].values()) == report["decisions"] > 0
    assert report["similarity"]["pairs"] == len(codes) * (len(codes) - 1) // 2


def test_a_frozen_backbone_and_body_stay_bit_for_bit(tmp_path: Path) -> None:
    model = untrained(SLIM)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    made, _ = learnt(replace(STAGE, body_rate=0.0, steps=2), model, tmp_path)
    moved = {k for k, v in made.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {"classifier.projection.weight", "embedding.projection.weight", "codebook"} or (
        moved == {"classifier.projection.weight", "embedding.projection.weight"}
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"class_net": ClassNet.MLP, "start": Start.CHANCE},
        {"sharpness": Sharpness.SCHEDULE, "embedding": False},
        {"sharpness": Sharpness.FIXED, "rerank": True},
        {"backbone_rate": 1.0, "start": Start.CHANCE},
    ],
)
def test_every_way_comes_to_its_end(changes: dict[str, Any], tmp_path: Path) -> None:
    stage = replace(STAGE, steps=2, **changes)
    made, report = learnt(stage, untrained(SOFTMAX), tmp_path)
    assert made.config.head == Hamming(64, rerank=stage.rerank)
    assert made.config.inputs == (HammingInputs(64) if stage.embedding else Learned())
    assert report["steps"] == 2


def test_codes_begin_as_those_that_are_there() -> None:
    coded = untrained(SLIM)
    _, logits = beginning(STAGE, coded, None, 7)
    assert torch.equal(logits > 0, coded.signs() > 0)
    waiting = np.random.default_rng(0).integers(0, 2, (len(CHARACTERS), 32)).astype(np.bool_)
    projection = np.ones((SOFTMAX.width, 32), np.float32)
    begun, logits = beginning(STAGE, untrained(SOFTMAX), Codebook(pack(waiting), projection), 7)
    assert np.array_equal(logits.numpy() > 0, waiting)
    assert begun.config.code_length == 32
    chance, logits = beginning(replace(STAGE, start=Start.CHANCE), untrained(SLIM), None, 7)
    assert not torch.equal(logits > 0, coded.signs() > 0)
    assert torch.equal(chance.signs() > 0, logits > 0)


def test_codes_are_learnt_that_read_blocks_under_ctc(tmp_path: Path) -> None:
    """Untrained columns and a neck, noise for images: the loss falls, and nothing else is left."""
    config = CtcConfig(width=32, backbone_width=0.2, max_steps=160, pitch=8, neck=1, neck_width=16)
    characters = Vocabulary(CHARACTERS.characters, config.transcription)
    torch.manual_seed(0)
    model = build(config, len(characters)).eval()
    source = MemorySource()
    source.texts = [text[:2] for text in source.texts]
    stage = replace(STAGE, steps=12, learning_rate=3e-3)
    listener = Losses()
    made, report = learn_codes(
        stage, Checkpoint(model, characters, TOLD), None, None, source, None,
        Workplace(7, 1, listener, tmp_path),
    )  # fmt: skip
    assert made.config == replace(config, head=Hamming(64), temperature=made.config.temperature)
    assert not any(word in name for name in made.state_dict() for word in AUXILIARY)
    assert listener.losses[-1] < 0.7 * listener.losses[0]
    assert report["decisions"] > 0


class Losses(NoProgress):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def advance(self, count: int = 1, note: str = "") -> None:  # noqa: ARG002
        if note.startswith("loss"):
            self.losses.append(float(note.split()[1].rstrip(",")))


def test_what_it_will_be_is_foreseen() -> None:
    assert STAGE.foreseen(None) is None
    foreseen = STAGE.foreseen(Forecast(SOFTMAX, len(CHARACTERS), 0))
    assert foreseen is not None
    assert foreseen.config == replace(SOFTMAX, head=Hamming(64), inputs=HammingInputs(64))
    waiting = STAGE.foreseen(Forecast(SOFTMAX, len(CHARACTERS), 0, code_length=32))
    assert waiting is not None
    assert waiting.config.head == Hamming(32)
    head, inputs = with_learnt_codes(Softmax(), Learned(), 64, embedding=True, rerank=True)
    assert (head, inputs) == (Hamming(64, rerank=True), HammingInputs(64))
    assert with_learnt_codes(Hamming(32), Learned(), 64, embedding=False, rerank=False) == (
        Hamming(32),
        Learned(),
    )
    with pytest.raises(UsageError, match="factorised already"):
        with_learnt_codes(Softmax(8), Learned(), 64, embedding=True, rerank=False)
    with pytest.raises(UsageError, match="replace-head gives both the same"):
        with_learnt_codes(Softmax(), HammingInputs(64), 64, embedding=True, rerank=False)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"code_length": 12}, "multiple of 8"),
        ({"lines": 4, "backbone_rate": 1.0}, "encodings that stay"),
        ({"slim_routes": 1.0, "body_rate": 0.0}, "a decoder that learns"),
    ],
)
def test_what_rules_out_what(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        replace(STAGE, **changes)


def test_reports_of_few_numbers() -> None:
    assert beta_report(np.zeros(0, np.float32), 1.5) == {"codes": 1.5}
    found = beta_report(np.array([1.2, 1.6, 1000.0], np.float32), 2.0)
    assert found["histogram"]["1"] == found["histogram"]["1.5"] == found["histogram"]["512"] == 1
    bits = torch.ones(3, 16, dtype=torch.bool)
    bits[1, :4] = bits[2, 8:] = False
    made = similarity_report(pack(bits.numpy()), str)
    assert made["pairs"] == 3
    assert made["greatest"] == 0.5
    assert made["most_alike"][0] == ["0", "1", 0.5]
    assert made["mean"] == pytest.approx((0.5 + 0 - 0.5) / 3)
    assert sum(made["histogram"].values()) == 3
    assert similarity_report(pack(bits[:1].numpy()), str) == {"pairs": 0}
