"""The loop: what learns, when it ends and with which weights."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from hcompress.compute.device import launch
from hcompress.compute.precision import Precision
from hcompress.errors import NumericalError
from hcompress.progress import NoProgress
from hcompress.training.line_trainer import Aim, LineTrainer
from hcompress.training.loop import Schedule, Validated, train
from tests.builders import CHARACTERS, HAMMING, SLIM, SOFTMAX, untrained
from tests.training.tasks import REFUSE, line_task, run


def test_training_learns(tmp_path: Path) -> None:
    trainer = LineTrainer(untrained(HAMMING), None, Aim(CHARACTERS, REFUSE))
    batch = next(line_task(trainer, 1).batches(0))
    before = trainer.loss(trainer, batch).total.item()
    run(line_task(trainer, 60), Schedule(60, 4, 3e-3, warmup=5), tmp_path)
    assert trainer.loss(trainer, batch).total.item() < before * 0.75


def test_a_frozen_backbone_stays_bit_for_bit(tmp_path: Path) -> None:
    model = untrained(SLIM)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    trainer = LineTrainer(model, None, Aim(CHARACTERS, REFUSE), frozen_backbone=True)
    run(line_task(trainer, 3, freeze=("student.backbone.",)), Schedule(3, 4, 1e-2), tmp_path)
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved
    assert not any(name.startswith(("backbone.", "codebook")) for name in moved)


def test_nan_stops_with_the_tensors_name(tmp_path: Path) -> None:
    model = untrained(SOFTMAX)
    with torch.no_grad():
        model.decoder.norm.weight[3] = math.nan
    trainer = LineTrainer(model, None, Aim(CHARACTERS, REFUSE))
    with pytest.raises(NumericalError, match=r"step 0.*student\.decoder\.norm\.weight"):
        run(line_task(trainer, 2), Schedule(2, 4, 1e-3), tmp_path)


def test_it_stops_on_a_plateau_and_keeps_the_best(tmp_path: Path) -> None:
    accuracies = iter([0.1, 0.5, 0.4, 0.3, 0.2, 0.1])
    trainer = LineTrainer(untrained(SOFTMAX), None, Aim(CHARACTERS, REFUSE))
    kept: list[dict[str, torch.Tensor]] = []

    def validate(_: nn.Module) -> Validated:
        kept.append({k: v.clone() for k, v in trainer.state_dict().items()})
        return Validated(next(accuracies), 0.0)

    task = line_task(trainer, 6, validate=validate)
    schedule = Schedule(6, 4, 1e-2, validate_every=1, patience=2)
    run(task, schedule, tmp_path)
    assert len(kept) == 4, "two validations without a gain"
    for name, value in trainer.state_dict().items():
        assert torch.equal(value, kept[1][name]), name


@pytest.mark.parametrize(("steps", "stopped"), [(6, True), (3, False)])
def test_a_tie_is_kept_and_is_no_gain(steps: int, stopped: bool, tmp_path: Path) -> None:
    """Nor does a run stop early that has come to its end."""
    trainer = LineTrainer(untrained(SOFTMAX), None, Aim(CHARACTERS, REFUSE))
    task = line_task(trainer, steps, validate=lambda _: Validated(0.0, 0.0))
    schedule = Schedule(steps, 4, 1e-2, validate_every=1, patience=2)
    fabric = launch(Precision.FP32, 1, accelerator="cpu")
    state = train(task, schedule, fabric, tmp_path / "lines.safetensors", NoProgress())
    assert (state.step, state.best_step, state.stopped) == (3, 3, stopped)


@pytest.mark.parametrize(("validated", "which"), [(0, 1), (50, 2), (5000, 1)])
def test_a_lead_of_half_way_weights_must_be_more_than_chance(
    validated: int, which: int, tmp_path: Path
) -> None:
    accuracies = iter([0.7, 0.8, 0.76])  # a standard error is 8 points of 50 lines
    trainer = LineTrainer(untrained(SOFTMAX), None, Aim(CHARACTERS, REFUSE))
    kept: list[dict[str, torch.Tensor]] = []

    def validate(_: nn.Module) -> Validated:
        kept.append({k: v.clone() for k, v in trainer.state_dict().items()})
        return Validated(next(accuracies), 0.0)

    task = replace(line_task(trainer, 3, validate=validate), validated=validated)
    run(task, Schedule(3, 4, 1e-2, validate_every=1), tmp_path)
    for name, value in trainer.state_dict().items():
        assert torch.equal(value, kept[which][name]), name


@pytest.mark.parametrize(
    ("before", "read", "taken"),
    [
        (0.8, 0.8, True),
        (0.75, 0.75, True),
        (0.75, 0.6, False),
        (0.6, 0.75, False),  # the steps won more than chance gives, and half would be lost
        (0.6, 0.8, True),
    ],
)
def test_the_mean_with_the_start_is_taken_where_it_reads_as_well(
    before: float, read: float, taken: bool, tmp_path: Path
) -> None:
    accuracies = iter([before, 0.7, 0.8, read])  # a standard error is 8 points of 50 lines
    trainer = LineTrainer(untrained(SOFTMAX), None, Aim(CHARACTERS, REFUSE))
    seen: list[dict[str, torch.Tensor]] = []

    def validate(_: nn.Module) -> Validated:
        seen.append({k: v.clone() for k, v in trainer.state_dict().items()})
        return Validated(next(accuracies), 0.0)

    first = {k: v.clone() for k, v in trainer.state_dict().items()}
    task = replace(line_task(trainer, 2, validate=validate), validated=50)
    run(task, Schedule(2, 4, 1e-2, validate_every=1, weight_averaging=True), tmp_path)
    for name, value in trainer.state_dict().items():
        mean = (first[name] + seen[2][name]) / 2 if value.is_floating_point() else value
        assert torch.equal(seen[0][name], first[name]), name
        assert torch.equal(seen[3][name], mean), name
        assert torch.equal(value, mean if taken else seen[2][name]), name


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    schedule = Schedule(100, 1, 2.0, warmup=10)
    shares = [schedule.share(step) for step in range(101)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == shares[9] == shares[10] == pytest.approx(1.0)
    assert shares[100] == pytest.approx(0)


def test_a_short_run_warms_up_for_half_of_its_steps() -> None:
    schedule = Schedule(8, 1, 1.0)
    shares = [schedule.share(step) for step in range(9)]
    assert shares[:5] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert shares[8] == pytest.approx(0)
    assert Schedule(200, 1, 1.0).share(98) == Schedule(1000, 1, 1.0).share(98) == 0.99
