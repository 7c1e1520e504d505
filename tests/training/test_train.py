"""Training from data alone, and what every training asks of its processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from hcompress.checkpoints.checkpoint import Checkpoint
from hcompress.errors import UsageError
from hcompress.progress import NoProgress
from hcompress.stages.finetune import Finetune
from hcompress.stages.swap_backbone import SwapBackbone
from hcompress.stages.train import Train
from hcompress.training.character_phase import train_glyphs
from hcompress.training.options import Workplace
from hcompress.training.swap_backbone import swap_backbone
from hcompress.training.train import train_teacher
from tests.builders import CHARACTERS, SOFTMAX, untrained
from tests.training.tasks import TOLD, MemorySource, finetuned


def test_a_batch_that_processes_can_not_share_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    for module in ("finetune", "swap_backbone", "train"):  # it would wait for the others
        monkeypatch.setattr(f"hcompress.training.{module}.launch", None)
    path, none = tmp_path / "charset.txt", cast(Any, None)
    workplace = Workplace(7, 1, NoProgress(), tmp_path)
    before = Checkpoint(untrained(SOFTMAX), CHARACTERS, TOLD)
    learn = Train(data=path, charset=path, batch=4, glyph_batch=8)
    for call in (
        lambda: finetuned(Finetune(data=path, batch=4, distil=0), before, tmp_path),
        lambda: swap_backbone(
            SwapBackbone(data=path, batch=4), before, MemorySource(), None, workplace
        ),
        lambda: train_teacher(learn, CHARACTERS, MemorySource(), None, None, workplace),
    ):
        with pytest.raises(UsageError, match=r"^batch = 4 can't be shared by 3"):
            call()
    with pytest.raises(UsageError, match=r"^glyph_batch = 8 can't be shared by 3"):
        train_glyphs(learn, MemorySource(), none, none, none, workplace)
