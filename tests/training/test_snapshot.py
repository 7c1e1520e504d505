"""Going on from a snapshot: in the same bits, on the same device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

from hcompress.compute.device import launch
from hcompress.compute.precision import Precision
from hcompress.heads.contract import Losses
from hcompress.progress import LineProgress, NoProgress
from hcompress.training.line_trainer import Aim, LineTrainer, validate_lines
from hcompress.training.loop import Schedule, Task, Validated, train
from hcompress.training.snapshot import Snapshot, agreed, load_snapshot
from tests.builders import CHARACTERS, SLIM, SOFTMAX, untrained
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
        world_size = 1

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


def _flip(data: bytearray, at: int) -> None:
    data[at] ^= 0x20


def _header(data: bytes) -> int:
    return 8 + int.from_bytes(data[:8], "little")


def _renamed(data: bytearray, name: bytes) -> None:
    _flip(data, data.index(name))


def _stepped(data: bytearray) -> None:
    at = data.index(b'step\\": ') + len(b'step\\": ')
    data[at] = ord("1")


DAMAGE: dict[str, Callable[[bytearray], object]] = {
    "a tensor's bit": lambda data: _flip(data, (_header(data) + len(data)) // 2),
    "the last bit": lambda data: _flip(data, len(data) - 1),
    "a slot's name": lambda data: _renamed(data, b"exp_avg_sq"),
    "a weight's name": lambda data: _renamed(data, b"model.student"),
    "another type": lambda data: data.__setitem__(data.index(b"F32"), ord("I")),
    "the state": _stepped,
    "the seal": lambda data: _flip(data, data.index(b"sha256") + 12),
    "no seal": lambda data: _renamed(data, b"sha256"),
    "cut short": lambda data: data.__delitem__(slice(len(data) - 5, None)),
    "longer": lambda data: data.extend(b"x"),
    "nothing": lambda data: data.clear(),
}  # fmt: skip


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run of four steps leaves that is killed in the third."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(Killed):
        run(killed_after(_a_task(), 2), SHORT, folder)
    return folder / "lines.safetensors"


SHORT = Schedule(4, 4, 1e-2, snapshot_every=2)


def _a_task() -> Task:
    trainer = LineTrainer(untrained(SOFTMAX), None, Aim(CHARACTERS, REFUSE))
    return line_task(trainer, 4)


def _taken(path: Path, task: Task | None = None) -> Snapshot | None:
    model = (task or _a_task()).model
    return load_snapshot(path, model, [torch.optim.AdamW(model.parameters())])


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_snapshot_is_no_snapshot(damage: str, stopped: Path, tmp_path: Path) -> None:
    sound = _taken(stopped)
    assert sound is not None
    assert sound.state.step == 2
    assert type(sound.state.step) is int
    data = bytearray(stopped.read_bytes())
    DAMAGE[damage](data)
    path = tmp_path / "lines.safetensors"
    path.write_bytes(data)
    assert _taken(path) is None


def test_a_run_begins_anew_from_a_damaged_snapshot_and_says_so(
    stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = _a_task()
    run(whole, SHORT, tmp_path / "whole")
    data = bytearray(stopped.read_bytes())
    _flip(data, (_header(data) + len(data)) // 2)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "lines.safetensors").write_bytes(data)
    again = _a_task()
    fabric = launch(Precision.FP32, 1, accelerator="cpu")
    place = tmp_path / "broken" / "lines.safetensors"
    train(again, SHORT, fabric, place, LineProgress(print))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name
    assert "its snapshot is damaged: it begins anew" in capsys.readouterr().out


def test_a_snapshot_of_another_model_or_a_folder_is_none(stopped: Path, tmp_path: Path) -> None:
    trainer = LineTrainer(untrained(SLIM), None, Aim(CHARACTERS, REFUSE))
    assert _taken(stopped, line_task(trainer, 4)) is None
    assert _taken(tmp_path) is None
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert _taken(tmp_path / "link") is None


class _Two:
    """Fabric's part of it, on the second of two processes, of which the first has ``seal``."""

    world_size = 2
    device = torch.device("cpu")

    def __init__(self, seal: str) -> None:
        self.seal = seal

    def broadcast(self, _: str) -> str:
        return self.seal

    def all_reduce(self, same: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "sum"
        return 1 + same  # the first agrees with itself


def test_processes_go_on_from_one_snapshot_or_from_none(stopped: Path) -> None:
    mine = _taken(stopped)
    assert mine is not None
    for seal, expected in ((mine.seal, mine), ("other", None), ("", None)):
        assert agreed(mine, cast(Any, _Two(seal))) is expected
    assert agreed(None, cast(Any, _Two(mine.seal))) is None
