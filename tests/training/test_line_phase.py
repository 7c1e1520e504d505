"""The line phase: what it counts and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from hcompress.checkpoints.checkpoint import Checkpoint
from hcompress.compute.device import launch
from hcompress.compute.precision import Precision
from hcompress.errors import InputRefused, UsageError
from hcompress.progress import NoProgress
from hcompress.stages.finetune import Finetune
from hcompress.training.line_phase import train_lines
from hcompress.training.line_trainer import Aim, LineTrainer
from tests.builders import CHARACTERS, SLIM, untrained
from tests.runs.test_runner import Listener
from tests.training.tasks import REFUSE, TOLD, Killed, Killer, finetuned, some_too_long


def test_lines_that_do_not_count_are_counted_and_said(tmp_path: Path) -> None:
    """Drawn or encoded once, killed on the way or not; where none is left the run is refused."""

    def tuned(many: int, folder: str, lines: int, progress: NoProgress) -> dict[str, Any]:
        stage = Finetune(
            data=Path("d"), steps=12, batch=4, workers=0, distil=0, lines=lines, snapshot_every=1
        )
        before = Checkpoint(untrained(SLIM), CHARACTERS, TOLD)
        source = some_too_long(many)
        return finetuned(stage, before, tmp_path / folder, lines=source, progress=progress)[1]

    listener = Listener()
    assert tuned(5, "whole", 0, listener)["lines_left_out"] == 10  # 24 lines, gone through twice
    assert any("10 of 48 images left out" in line for line in listener.said)
    with pytest.raises(Killed):
        tuned(5, "killed", 0, Killer(9))
    assert tuned(5, "killed", 0, NoProgress())["lines_left_out"] == 10
    assert tuned(5, "encoded", 24, listener)["lines_left_out"] == 5
    assert any("5 of 24 images left out" in line for line in listener.said)
    assert tuned(0, "all", 0, NoProgress())["lines_left_out"] == 0
    with pytest.raises(InputRefused, match="none of 48 images counts"):
        tuned(24, "none", 0, NoProgress())
    with pytest.raises(InputRefused, match="no line that counts"):
        tuned(24, "none encoded", 24, NoProgress())


def test_slim_routes_of_a_slim_decoder_are_refused() -> None:
    trainer = LineTrainer(untrained(SLIM), None, Aim(CHARACTERS, REFUSE))
    stage = Finetune(data=Path("lines.toml"), slim_routes=1.0)
    fabric = launch(Precision.FP32, 1, accelerator="cpu")
    none = cast(Any, None)  # refused before anything is asked of it
    with pytest.raises(UsageError, match="slim already"):
        train_lines("finetune", stage, none, none, trainer, fabric, none)
