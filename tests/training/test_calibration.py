"""The confidence temperature: the likeliest there is, whatever the head."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from hcompress.heads.contract import Head, Losses
from hcompress.recognisers.contract import Recogniser, Targets
from hcompress.recognisers.rebuild import with_temperature
from hcompress.spec.config import RecogniserConfig
from hcompress.spec.heads import Hamming, Learned, Softmax
from hcompress.training.calibration import fitted_temperature
from hcompress.training.line_trainer import Aim, LineTrainer, step_batches
from hcompress.training.loop import Schedule
from tests.builders import CHARACTERS, HAMMING, SLIM, SOFTMAX, untrained
from tests.special import PAD
from tests.training.tasks import REFUSE, MemorySource, line_task, run, some_too_long


def whole(model: Recogniser, source: MemorySource) -> tuple[torch.Tensor, Targets, torch.Tensor]:
    """The memory of all lines at once, what they ask for, and the ids [M] of what counts."""
    batch = next(step_batches(source, 24, 1, SOFTMAX.preprocessing, 0, 0, 1, seed=1)(0))
    asked = model.targets(batch.texts, CHARACTERS, REFUSE)
    with torch.inference_mode():
        memory = model.encode(torch.from_numpy(batch.images))
    return memory, asked, asked.ids[asked.ids != PAD]


def test_the_fitted_temperature_is_the_likeliest(tmp_path: Path) -> None:
    model, source = untrained(SOFTMAX), MemorySource()
    trainer = LineTrainer(model, None, Aim(CHARACTERS, REFUSE))
    run(line_task(trainer, 30), Schedule(30, 4, 3e-3, warmup=5), tmp_path)
    model.eval()
    best = fitted_temperature(model, CHARACTERS, source, 24, 8)
    memory, asked, wanted = whole(model, source)
    with torch.inference_mode():
        h = model.features(memory, asked)[asked.counted]
        scores = model.head.scores(model.head.logits(h))

    def cost(temperature: float) -> float:
        return float(nn.functional.cross_entropy(scores / temperature, wanted))

    assert cost(best) <= min(cost(best * factor) for factor in (0.8, 0.95, 1.05, 1.25)) + 1e-6


@pytest.mark.parametrize(
    "config",
    [
        SOFTMAX,
        SLIM,
        replace(SLIM, head=Hamming(64, rerank=True)),
        replace(SOFTMAX, head=Softmax(8), inputs=Learned(8)),
    ],
    ids=["softmax", "hamming", "reranking", "bottleneck"],
)
def test_the_temperature_is_fitted_on_few_scores_at_a_time(
    config: RecogniserConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As all at once would have it, and tried one by one."""
    model, source = untrained(config), MemorySource()
    memory, asked, wanted = whole(model, source)
    with torch.inference_mode():
        logits = model.head.logits(model.features(memory, asked)[asked.counted])
        scores = model.head.scores(logits).double()
        ids = model.head.best(scores, 5)[0]
        rerank = isinstance(config.head, Hamming) and config.head.rerank
        agreement = model.head.agreement(logits, ids) if rerank else None

    def cost(log_temperature: float) -> float:
        chances = torch.softmax(scores / math.exp(log_temperature), -1)
        if agreement is not None:
            shares = torch.softmax(agreement.double() / 2 / math.exp(log_temperature), -1)
            chances = chances.scatter(1, ids, shares * chances.gather(1, ids).sum(1, keepdim=True))
        return -float(chances.gather(1, wanted[:, None]).log().mean())

    low, high = math.log(0.05), math.log(500.0)
    for _ in range(60):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if cost(left) <= cost(right) else (left, high)

    seen: list[int] = []
    real = Head.scores
    monkeypatch.setattr(Head, "scores", lambda *given: seen.append(len(given[1])) or real(*given))
    monkeypatch.setattr("hcompress.training.calibration.SCORES", 4 * model.vocabulary)
    found = fitted_temperature(model, CHARACTERS, source, 24, 8)
    assert found == pytest.approx(math.exp(low), rel=1e-4)
    assert max(seen) == 4 < len(wanted)


def test_a_temperature_that_no_line_says_anything_of_stays() -> None:
    model = untrained(replace(SOFTMAX, temperature=1.7))
    assert fitted_temperature(model, CHARACTERS, some_too_long(24), 24, 8) == 1.7


def test_the_fitted_temperature_of_a_reranking_recogniser_is_the_likeliest(tmp_path: Path) -> None:
    model, source = untrained(replace(HAMMING, head=Hamming(64, rerank=True))), MemorySource()
    trainer = LineTrainer(model, None, Aim(CHARACTERS, REFUSE, Losses(code_cross_entropy=1.0)))
    run(line_task(trainer, 30), Schedule(30, 4, 3e-3, warmup=5), tmp_path)
    model.eval()
    best = fitted_temperature(model, CHARACTERS, source, 24, 8)
    memory, asked, wanted = whole(model, source)

    def cost(temperature: float) -> float:
        """By what `read` answers: every id's probability, the five nearest ones refined."""
        told = with_temperature(model, temperature)
        with torch.inference_mode():
            logits = told.head.logits(told.features(memory, asked)[asked.counted])
            scores = told.head.scores(logits)
            chances = torch.softmax(scores / temperature, -1)
            ids, refined = told.head.refine(logits, *told.head.best(scores, 5))
        assert torch.allclose(refined.sum(1), chances.gather(1, ids).sum(1))
        chances = chances.scatter(1, ids, refined)
        return -float(chances.gather(1, wanted[:, None]).log().mean())

    assert cost(best) <= min(cost(best * factor) for factor in (0.8, 0.95, 1.05, 1.25)) + 1e-6
