"""Another backbone: what is refused, and what it learns from the one before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hcompress.checkpoints.checkpoint import Checkpoint
from hcompress.compute.precision import Precision
from hcompress.errors import UsageError
from hcompress.recognisers.contract import Recogniser
from hcompress.spec.config import BatchNorm, RecogniserConfig
from hcompress.stages.swap_backbone import SwapBackbone
from hcompress.training.line_trainer import Aim, LineTrainer
from hcompress.training.options import Workplace
from hcompress.training.swap_backbone import swap_backbone
from tests.builders import CHARACTERS, SOFTMAX, noise, untrained
from tests.forcing import forced
from tests.special import BOS, EOS, PAD
from tests.training.tasks import NOTHING, REFUSE, TOLD, MemorySource


def swap(path: Path, config: RecogniserConfig, **changes: Any) -> Recogniser:
    stage = SwapBackbone(
        data=path, backbone_width=0.25, batch=4, workers=0, precision=Precision.FP32, **changes
    )
    before = Checkpoint(untrained(config), CHARACTERS, TOLD)
    return swap_backbone(stage, before, MemorySource(), None, Workplace(7, 1, NOTHING, path))[0]


@pytest.mark.parametrize("changes", [{"temperature": 1.7}, {"batch_norm": BatchNorm.FOLDED}])
def test_a_trained_backbone_is_not_swapped_for_an_untrained_one_like_it(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="has this backbone already"):
        swap(tmp_path, replace(SOFTMAX, **changes), width=32, ffn_width=64, steps=0)


def test_a_backbone_of_another_width_learns_the_teachers_answers(tmp_path: Path) -> None:
    images = torch.from_numpy(noise(2))
    targets = torch.tensor([[4, 5, EOS], [6, EOS, PAD]])
    asked = forced(torch.tensor([[BOS, 4, 5], [BOS, 6, PAD]]), targets)

    def answers(model: Recogniser) -> torch.Tensor:
        features = model.features(model.encode(images), asked)
        return torch.log_softmax(model.head.logits(features), -1)[targets != PAD]

    teacher = untrained(SOFTMAX).requires_grad_(False)
    far = []
    for steps in (0, 12):
        made = swap(
            tmp_path / str(steps), SOFTMAX, width=64, ffn_width=64, steps=steps, distil=9.0
        ).eval()
        apart = nn.functional.kl_div(
            answers(made), answers(teacher), log_target=True, reduction="sum"
        )
        far.append(apart.item())
        aims = (Aim(CHARACTERS, REFUSE, distil=weight) for weight in (0.0, 9.0))
        plain, told = (
            LineTrainer(made, teacher, aim).eval()(images, asked, None).item() for aim in aims
        )
        assert told - plain == pytest.approx(9 * far[-1], rel=1e-3)
    assert far[1] < 0.9 * far[0]
