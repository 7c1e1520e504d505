"""Fine-tuning: what stays, what a teacher is asked for, what can't be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hcompress.checkpoints.checkpoint import Checkpoint, save_checkpoint
from hcompress.errors import UsageError
from hcompress.spec.config import Backbone, RecogniserConfig
from hcompress.spec.heads import Hamming
from hcompress.stages.finetune import Finetune
from hcompress.strict.read import read
from hcompress.training.finetune import kept_prefixes
from hcompress.training.line_trainer import Aim, LineTrainer
from hcompress.training.loop import Schedule
from tests.builders import CHARACTERS, HAMMING, SLIM, SOFTMAX, untrained
from tests.training.tasks import REFUSE, TOLD, WIDE, finetuned, line_task, run


@pytest.mark.parametrize("family", [one for one in Backbone if one is not Backbone.NRTR])
def test_kept_blocks_stay_bit_for_bit_and_those_after_them_learn(
    family: Backbone, tmp_path: Path
) -> None:
    width = 0.25 if family is Backbone.MOBILENET_V2 else 0.0625
    model = untrained(replace(SLIM, backbone=family, backbone_width=width))
    path = model.backbone.path()
    named = {name for name, _ in model.backbone.named_parameters()}
    assert named == {n for part in path for n in named if n.startswith(part + ".")}
    before = {k: v.clone() for k, v in model.backbone.state_dict().items()}
    trainer = LineTrainer(model, None, Aim(CHARACTERS, REFUSE))
    kept = kept_prefixes(3, model)
    run(line_task(trainer, 2, freeze=kept), Schedule(2, 4, 1e-2), tmp_path)
    moved = {k for k, v in model.backbone.state_dict().items() if not torch.equal(v, before[k])}
    first, rest = path[:3], path[3:]
    assert not any(name.startswith(f"{part}.") for name in moved for part in first)
    assert all(any(name.startswith(f"{part}.") for name in moved) for part in rest)


def test_finetune_keeps_blocks_and_makes_a_reranking_recogniser(tmp_path: Path) -> None:
    model = untrained(SLIM)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    stage = Finetune(
        data=Path("d"), steps=2, batch=4, workers=0, distil=0, backbone_rate=1.0, kept_blocks=3,
        code_cross_entropy=1.0, rerank=True,
    )  # fmt: skip
    made = Checkpoint(model, CHARACTERS, TOLD)
    tuned, _ = finetuned(stage, made, tmp_path)
    assert tuned.config == replace(SLIM, head=Hamming(64, rerank=True))
    moved = {k for k, v in tuned.state_dict().items() if not torch.equal(v, before[k])}
    assert not any(
        name.startswith(kept)
        for name in moved
        for kept in ("backbone.stem.", "backbone.blocks.0.", "backbone.blocks.1.")
    )
    assert any(name.startswith("backbone.blocks.2.") for name in moved)
    # Without the word it goes on reranking.
    once_more = replace(stage, rerank=False, steps=0)
    again, _ = finetuned(once_more, replace(made, model=tuned), tmp_path)
    assert again.config.head == Hamming(64, rerank=True)


@pytest.mark.parametrize(
    ("teacher", "changes", "line"),
    [
        (None, {}, "soft_labels asks for a teacher"),
        (None, {"distil": 4.0}, "distil asks for a teacher"),
        (HAMMING, {}, "the teacher answers in codes"),
    ],
)
def test_what_soft_labels_ask_for_is_said(
    teacher: RecogniserConfig | None, changes: dict[str, float], line: str, tmp_path: Path
) -> None:
    if teacher is not None:
        save_checkpoint(tmp_path / "teacher.safetensors", untrained(teacher), CHARACTERS, TOLD)
    path = tmp_path / "teacher.safetensors" if teacher is not None else None
    stage = replace(
        Finetune(data=Path("d"), distil=0, code_cross_entropy=1, soft_labels=0.5), **changes
    )
    before = Checkpoint(untrained(HAMMING), CHARACTERS, TOLD)
    with pytest.raises(UsageError, match=line):
        finetuned(stage, before, tmp_path, teacher=path)


def test_soft_labels_alone_bind_no_states(tmp_path: Path) -> None:
    """A teacher of other layers and another width answers all the same, whatever distil_layers."""
    path = tmp_path / "teacher.safetensors"
    save_checkpoint(path, untrained(replace(WIDE, depth=2)), CHARACTERS, TOLD)
    before = Checkpoint(untrained(HAMMING), CHARACTERS, TOLD)
    stage = Finetune(
        data=Path("d"), steps=1, batch=4, workers=0, distil=0, code_cross_entropy=1, soft_labels=0.5
    )
    assert stage.distil_layers > 0
    _, figures = finetuned(stage, before, tmp_path, teacher=path)
    assert figures["steps"] == 1


def test_soft_labels_are_refused_where_nothing_is_chosen_among_codes(tmp_path: Path) -> None:
    path = tmp_path / "teacher.safetensors"
    save_checkpoint(path, untrained(SOFTMAX), CHARACTERS, TOLD)
    before = Checkpoint(untrained(SOFTMAX), CHARACTERS, TOLD)
    stage = Finetune(data=Path("d"), distil=0, code_cross_entropy=1, soft_labels=0.5)
    with pytest.raises(UsageError, match="code_cross_entropy among codes"):
        finetuned(stage, before, tmp_path, teacher=path)


@pytest.mark.parametrize(
    ("config", "stage", "complaint"),
    [
        (SOFTMAX, Finetune(data=Path("d"), lines=4, fit_lines=4, distil=0), "a Hamming classifier"),
        (SOFTMAX, Finetune(data=Path("d"), rerank=True, distil=0), "a Hamming classifier"),
        (
            SLIM,
            Finetune(data=Path("d"), kept_blocks=16, backbone_rate=1.0, distil=0),
            "backbone has 16",
        ),
    ],
)
def test_what_finetune_can_not_do(
    config: RecogniserConfig, stage: Finetune, complaint: str
) -> None:
    made = Checkpoint(untrained(config), CHARACTERS, TOLD)
    with pytest.raises(UsageError, match=complaint):
        finetuned(stage, made, Path())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"soft_labels": 0.5}, "soft_labels is a share of code_cross_entropy"),
        ({"kept_blocks": 3}, "set backbone_rate above 0"),
        ({"lines": 4, "backbone_rate": 0.5}, "set backbone_rate = 0"),
        ({"lines": 4, "fit_lines": 5}, "set lines to as many"),
        ({"weight_averaging": True}, "set validation"),
        ({"weight_averaging": True, "validation": "v", "validate_every": 0}, "set validation"),
    ],
)
def test_parameters_that_rule_each_other_out_are_refused_before_any_work(
    changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(UsageError, match=f"here: .*{complaint}"):
        read(Finetune, {"data": "d", **changes}, "here", UsageError)
