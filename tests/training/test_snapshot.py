"""Going on from a snapshot: in the same bits, on the same device."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

from hcompress.heads.contract import Losses
from hcompress.progress import NoProgress
from hcompress.training.line_trainer import Aim, LineTrainer, validate_lines
from hcompress.training.loop import Schedule, Task, Validated, train
from tests.builders import CHARACTERS, SOFTMAX, untrained
from tests.training.tasks import REFUSE, Killed, MemorySource, killed_after, line_task, run


@pytest.mark.parametrize("kill_at", [1, 3, 4, 6])
@pytest.mark.parametrize("matrix_rate", [0.0, 1e-2])
@pytest.mark.parametrize(("slim_routes", "mean"), [(0.0, False), (0.5, True)])
def test_a_resumed_run_ends_in_the_same_bits(
    kill_at: int, matrix_rate: float, slim_routes: float, mean: bool, tmp_path: Path
) -> None:
    schedule = Schedule(
        6, 4, 1e-2, matrix_rate, warmup=2, validate_every=2, snapshot_every=2, weight_averaging=mean
    )
    aim = Aim(CHARACTERS, REFUSE, Losses(smoothing=0.1), slim_routes=slim_routes)

    def fresh() -> tuple[LineTrainer, Task]:
        trainer = LineTrainer(untrained(SOFTMAX), None, aim)

        def validate(_: nn.Module) -> Validated:
            return validate_lines(trainer.student, CHARACTERS, MemorySource(), 8, 4)

        return trainer, line_task(trainer, 6, validate=validate, matrices=("student.decoder.",))

    whole, task = fresh()
    run(task, schedule, tmp_path / "whole")
    broken, task = fresh()
    if kill_at < 6:
        with pytest.raises(Killed):
            run(killed_after(task, kill_at), schedule, tmp_path / "broken")
    resumed, task = fresh()
    run(task, schedule, tmp_path / "broken")
    del broken
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.filterwarnings("ignore:.*meta parameter")
def test_a_snapshots_optimisers_are_where_the_model_goes(tmp_path: Path) -> None:
    """On a device that this machine needn't have: nothing is computed there."""

    class Reached(Exception):
        pass

    class Elsewhere:
        device = torch.device("meta")

        def setup(self, model: nn.Module, *optimisers: torch.optim.Optimizer) -> None:
            model.to(self.device)
            for optimiser in optimisers:
                assert optimiser.state
                for matrix, slots in optimiser.state.items():
                    at = {slot.device for name, slot in slots.items() if name != "step"}
                    assert at | {matrix.device} == {self.device}
            raise Reached

    def task() -> Task:
        trainer = LineTrainer(untrained(SOFTMAX), None, Aim(CHARACTERS, REFUSE))
        return line_task(trainer, 2, matrices=("student.decoder.",))

    schedule = Schedule(2, 4, 1e-2, 1e-2)
    run(task(), schedule, tmp_path)
    with pytest.raises(Reached):
        train(
            task(), schedule, cast(Any, Elsewhere()), tmp_path / "lines.safetensors", NoProgress()
        )
