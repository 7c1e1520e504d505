"""The training loop and its losses, on recognisers small enough to train in a second."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hcompress.recognisers.transformer.targets import targets_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hcompress.charset import UnknownCharacter
from hcompress.checkpoints.checkpoint import Checkpoint, save_checkpoint
from hcompress.compress.options import SharedFrom
from hcompress.compress.slim_decoder import with_shared_layers, without_ffn
from hcompress.compute.device import launch
from hcompress.compute.precision import Precision
from hcompress.data.batches import Batch
from hcompress.data.sample import DataSource, Sample
from hcompress.errors import InputRefused, NumericalError, UsageError
from hcompress.heads.hamming.loss import code_cross_entropy, hinge_loss
from hcompress.heads.hamming.module import HAMMING_TEMPERATURE, hamming_scores
from hcompress.heads.softmax import softmax_loss
from hcompress.metrics import similarity
from hcompress.progress import NoProgress, Progress
from hcompress.recognisers.contract import Recogniser
from hcompress.recognisers.rebuild import with_folded_batch_norm, with_temperature
from hcompress.recognisers.transformer.decoder import Route
from hcompress.spec.config import Backbone, BatchNorm, RecogniserConfig
from hcompress.spec.header import Provenance
from hcompress.stages.finetune import Finetune
from hcompress.stages.swap_backbone import SwapBackbone
from hcompress.stages.train import Train
from hcompress.strict.read import read
from hcompress.training.calibration import fitted_temperature
from hcompress.training.character_phase import train_glyphs
from hcompress.training.character_trainer import GlyphTrainer
from hcompress.training.closed_form import fit_head
from hcompress.training.feature_cache import encode_lines
from hcompress.training.finetune import finetune, kept_prefixes, load_teacher
from hcompress.training.lda import feature_length
from hcompress.training.line_phase import train_lines
from hcompress.training.line_trainer import (
    Aim,
    LineTrainer,
    slim_route,
    step_batches,
    validate_lines,
)
from hcompress.training.loop import Loss, Schedule, Task, Validated, train
from hcompress.training.losses import feature_loss, state_loss
from hcompress.training.muon import Muon, orthogonal
from hcompress.training.options import Workplace
from hcompress.training.swap_backbone import swap_backbone
from hcompress.training.train import train_teacher
from tests.models import CHARACTERS, HAMMING, SLIM, SOFTMAX, noise, recogniser
from tests.runs.test_runner import Listener
from tests.special import BOS, EOS, FIRST_READABLE, PAD

REFUSE = UnknownCharacter.REFUSE
NOTHING = NoProgress()
WIDE = replace(SOFTMAX, width=64)
"""Wider than what the backbone's last convolution takes."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums depend on how threads cut them: models to be compared are made and trained on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class MemorySource:
    """Noise images with random texts."""

    digest = "0" * 64

    def __init__(self, count: int = 24, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.images = noise(count, seed)
        letters = CHARACTERS.characters
        self.texts = [
            "".join(letters[i] for i in rng.integers(0, len(letters), rng.integers(1, 6)))
            for _ in range(count)
        ]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.images[index], self.texts[index])


def finetuned(
    stage: Finetune,
    before: Checkpoint,
    folder: Path,
    *,
    teacher: Path | None = None,
    lines: DataSource | None = None,
    progress: Progress = NOTHING,
) -> tuple[Recogniser, dict[str, Any]]:
    """As the stage does it, on lines of its own."""
    told = load_teacher(stage, before, teacher)
    workplace = Workplace(7, 1, progress, folder)
    return finetune(stage, before, told, lines or MemorySource(), None, workplace)


def line_task(trainer: LineTrainer, steps: int, **more: object) -> Task:
    feed = step_batches(MemorySource(), 4, steps, trainer.student.config.preprocessing, 0, 0, 1)
    return Task("lines", trainer, trainer.loss, feed, **more)  # type: ignore[arg-type]


def run(task: Task, schedule: Schedule, folder: Path) -> None:
    fabric = launch(Precision.FP32, 1, accelerator="cpu")
    train(task, schedule, fabric, folder / "lines.safetensors", NoProgress())


class Killed(Exception):
    pass


def killed_after(task: Task, steps: int) -> Task:
    """The same task, struck down while it fetches a later batch."""

    def feed(start: int) -> Iterator[Any]:
        for number, batch in enumerate(task.batches(start)):
            if start + number >= steps:
                raise Killed
            yield batch

    return replace(task, batches=feed)


@pytest.mark.parametrize("kill_at", [1, 3, 4, 6])
@pytest.mark.parametrize("matrix_rate", [0.0, 1e-2])
@pytest.mark.parametrize(("slim_routes", "mean"), [(0.0, False), (0.5, True)])
def test_a_resumed_run_ends_in_the_same_bits(
    kill_at: int, matrix_rate: float, slim_routes: float, mean: bool, tmp_path: Path
) -> None:
    schedule = Schedule(
        6, 4, 1e-2, matrix_rate, warmup=2, validate_every=2, snapshot_every=2, weight_averaging=mean
    )
    aim = Aim(CHARACTERS, REFUSE, smoothing=0.1, slim_routes=slim_routes)

    def fresh() -> tuple[LineTrainer, Task]:
        trainer = LineTrainer(recogniser(SOFTMAX), None, aim)

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
        trainer = LineTrainer(recogniser(SOFTMAX), None, Aim(CHARACTERS, REFUSE))
        return line_task(trainer, 2, matrices=("student.decoder.",))

    schedule = Schedule(2, 4, 1e-2, 1e-2)
    run(task(), schedule, tmp_path)
    with pytest.raises(Reached):
        train(
            task(), schedule, cast(Any, Elsewhere()), tmp_path / "lines.safetensors", NoProgress()
        )


def some_too_long(many: int) -> MemorySource:
    source = MemorySource()
    source.texts[:many] = ["a" * SOFTMAX.max_steps] * many
    return source


def test_lines_that_do_not_count_are_counted_and_said(tmp_path: Path) -> None:
    """Drawn or encoded once, killed on the way or not; where none is left the run is refused."""
    told = Provenance("train", "ab" * 32)

    def tuned(many: int, folder: str, lines: int, progress: NoProgress) -> dict[str, Any]:
        stage = Finetune(
            data=Path("d"), steps=12, batch=4, workers=0, distil=0, lines=lines, snapshot_every=1
        )
        before = Checkpoint(recogniser(SLIM), CHARACTERS, told)
        lines = some_too_long(many)
        return finetuned(stage, before, tmp_path / folder, lines=lines, progress=progress)[1]

    class Killer(NoProgress):
        def advance(self, count: int = 1, note: str = "") -> None:  # noqa: ARG002
            self.left = getattr(self, "left", 9) - 1
            if not self.left:
                raise Killed

    listener = Listener()
    assert tuned(5, "whole", 0, listener)["lines_left_out"] == 10  # 24 lines, gone through twice
    assert any("10 of 48 images left out" in line for line in listener.said)
    with pytest.raises(Killed):
        tuned(5, "killed", 0, Killer())
    assert tuned(5, "killed", 0, NoProgress())["lines_left_out"] == 10
    assert tuned(5, "encoded", 24, listener)["lines_left_out"] == 5
    assert any("5 of 24 images left out" in line for line in listener.said)
    assert tuned(0, "all", 0, NoProgress())["lines_left_out"] == 0
    with pytest.raises(InputRefused, match="none of 48 images counts"):
        tuned(24, "none", 0, NoProgress())
    with pytest.raises(InputRefused, match="no line that counts"):
        tuned(24, "none encoded", 24, NoProgress())


def test_a_batch_that_processes_can_not_share_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    for module in ("finetune", "swap_backbone", "train"):  # it would wait for the others
        monkeypatch.setattr(f"hcompress.training.{module}.launch", None)
    told, path = Provenance("train", "ab" * 32), tmp_path / "charset.txt"
    workplace, none = Workplace(7, 1, NoProgress(), tmp_path), cast(Any, None)
    before = Checkpoint(recogniser(SOFTMAX), CHARACTERS, told)
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


def test_training_learns(tmp_path: Path) -> None:
    trainer = LineTrainer(recogniser(HAMMING), None, Aim(CHARACTERS, REFUSE))
    batch = next(line_task(trainer, 1).batches(0))
    before = trainer.loss(trainer, batch).total.item()
    run(line_task(trainer, 60), Schedule(60, 4, 3e-3, warmup=5), tmp_path)
    assert trainer.loss(trainer, batch).total.item() < before * 0.75


def test_a_route_is_the_decoder_that_slim_decoder_cuts() -> None:
    model = recogniser(SOFTMAX).eval()
    memory, ids = torch.randn(2, 6, SOFTMAX.width), torch.tensor([[BOS, 4, 5], [BOS, 6, 3]])
    characters, cross = model.embed(ids, None), model.decoder.cross(memory)
    own = Route(tuple(range(SOFTMAX.depth)), (True,) * SOFTMAX.depth)
    expected = model.features(memory, ids, None)
    assert torch.equal(model.decoder.run(characters, cross, own)[-1], expected)
    for which in (SharedFrom.FIRST, SharedFrom.LAST):
        cut = with_shared_layers(without_ffn(model), which).eval()
        layer = 0 if which is SharedFrom.FIRST else SOFTMAX.depth - 1
        route = Route((layer,) * SOFTMAX.depth, (False,) * SOFTMAX.depth)
        torch.testing.assert_close(
            model.decoder.run(characters, cross, route)[-1], cut.features(memory, ids, None)
        )


def test_slim_routes_of_a_slim_decoder_are_refused() -> None:
    trainer = LineTrainer(recogniser(SLIM), None, Aim(CHARACTERS, REFUSE))
    stage = Finetune(data=Path("lines.toml"), slim_routes=1.0)
    fabric = launch(Precision.FP32, 1, accelerator="cpu")
    none = cast(Any, None)  # refused before anything is asked of it
    with pytest.raises(UsageError, match="slim already"):
        train_lines("finetune", stage, none, none, trainer, fabric, none)


def test_slim_routes_vary_and_repeat() -> None:
    batches = [torch.randint(3, 9, (4, 5), generator=torch.manual_seed(n)) for n in range(64)]
    drawn = [slim_route(targets, SOFTMAX) for targets in batches]
    assert drawn == [slim_route(targets, SOFTMAX) for targets in batches]
    assert len({route.layers for route in drawn}) > 15
    bare = sum(not any(route.ffn) for route in drawn)
    assert 64 * 0.4 < bare < 64 * 0.8  # a half, and an eighth of the others


def test_slim_routes_teach_the_cut_decoder(tmp_path: Path) -> None:
    """The losses of the decoder cut to each of its layers, trained with the routes and without."""
    losses = []
    for weight in (0.0, 1.0):
        aim = Aim(CHARACTERS, REFUSE, slim_routes=weight)
        trainer = LineTrainer(recogniser(SOFTMAX), None, aim)
        run(line_task(trainer, 80), Schedule(80, 4, 3e-3, warmup=5), tmp_path / str(weight))
        total = 0.0
        for which in (SharedFrom.FIRST, SharedFrom.MIDDLE, SharedFrom.LAST):
            cut = with_shared_layers(without_ffn(trainer.student), which)
            judge = LineTrainer(cut, None, Aim(CHARACTERS, REFUSE)).eval()
            batches = line_task(judge, 6).batches(0)
            total += sum(judge.loss(judge, batch).total.item() for batch in batches)
        losses.append(total)
    assert losses[1] < 0.95 * losses[0]  # 0.91


def test_a_frozen_backbone_stays_bit_for_bit(tmp_path: Path) -> None:
    model = recogniser(SLIM)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    trainer = LineTrainer(model, None, Aim(CHARACTERS, REFUSE), frozen_backbone=True)
    run(line_task(trainer, 3, freeze=("student.backbone.",)), Schedule(3, 4, 1e-2), tmp_path)
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved
    assert not any(name.startswith(("backbone.", "codebook")) for name in moved)


@pytest.mark.parametrize("family", Backbone)
def test_kept_blocks_stay_bit_for_bit_and_those_after_them_learn(
    family: Backbone, tmp_path: Path
) -> None:
    width = 0.25 if family is Backbone.MOBILENET_V2 else 0.0625
    model = recogniser(replace(SLIM, backbone=family, backbone_width=width))
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


def test_finetune_keeps_blocks_and_makes_a_refined_recogniser(tmp_path: Path) -> None:
    model = recogniser(SLIM)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    stage = Finetune(
        data=Path("d"), steps=2, batch=4, workers=0, distil=0, backbone_rate=1.0, kept_blocks=3,
        code_cross_entropy=1.0, rerank=True,
    )  # fmt: skip
    made = Checkpoint(model, CHARACTERS, Provenance("train", "ab" * 32))
    tuned, _ = finetuned(stage, made, tmp_path)
    assert tuned.config == replace(SLIM, rerank=True)
    moved = {k for k, v in tuned.state_dict().items() if not torch.equal(v, before[k])}
    assert not any(
        name.startswith(kept)
        for name in moved
        for kept in ("backbone.stem.", "backbone.blocks.0.", "backbone.blocks.1.")
    )
    assert any(name.startswith("backbone.blocks.2.") for name in moved)
    # Without the word it stays refined.
    once_more = replace(stage, rerank=False, steps=0)
    again, _ = finetuned(once_more, replace(made, model=tuned), tmp_path)
    assert again.config.rerank


def test_a_choice_asks_for_the_teachers_answer_by_its_share() -> None:
    """(1 - a) of the label's cross-entropy and a of the answer's, over readable characters."""
    model, teacher = recogniser(HAMMING), recogniser(SOFTMAX).requires_grad_(False)
    signs = model.code_signs()
    assert signs is not None
    targets = torch.tensor([[4, 5, EOS], [6, EOS, PAD]])
    drawn = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 3, signs.shape[1], generator=drawn)
    answers = torch.randn(2, 3, len(signs), generator=drawn)

    expected = 0.0
    for row, step in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1)):
        scores = logits[row, step] @ signs[FIRST_READABLE:].T
        scores = scores / (2 * HAMMING_TEMPERATURE * signs.shape[1])
        wanted = 0.4 * torch.softmax(answers[row, step, FIRST_READABLE:], -1)
        wanted[targets[row, step] - FIRST_READABLE] += 0.6
        expected -= float((wanted * torch.log_softmax(scores, -1)).sum())
    found = code_cross_entropy(logits, targets, signs, answers, 0.4)
    assert float(found) == pytest.approx(expected, rel=1e-5)

    images, inputs = torch.from_numpy(noise(2)), torch.tensor([[BOS, 4, 5], [BOS, 6, PAD]])
    for share in (0.4, 0.0):
        aim = Aim(CHARACTERS, REFUSE, code_cross_entropy=1.0, soft_labels=share)
        trainer = LineTrainer(model, teacher, aim).eval()
        wanted_states = trainer.wanted(images, model.encode(images), inputs)
        assert (wanted_states is None) == (share == 0)  # no teacher is asked where none counts
        features = model.features(model.encode(images), inputs, signs)
        own = model.classifier(features)
        told = None
        if wanted_states is not None:
            told = teacher.classifier(teacher.features(teacher.encode(images), inputs, None))
        by_hand = hinge_loss(own, targets, signs, 1.0)
        by_hand = by_hand + code_cross_entropy(own, targets, signs, told, share)
        total = trainer(images, inputs, targets, None)
        assert total.item() == pytest.approx(by_hand.item(), rel=1e-4)


@pytest.mark.parametrize(
    ("teacher", "changes", "line"),
    [
        (None, {}, "soft_labels asks for a teacher"),
        (None, {"distil": 4.0}, "distil asks for a teacher"),
        (HAMMING, {}, "the teacher answers in codes"),
    ],
)
def test_what_answers_asks_for_is_said(
    teacher: RecogniserConfig | None, changes: dict[str, float], line: str, tmp_path: Path
) -> None:
    told = Provenance("train", "ab" * 32)
    if teacher is not None:
        save_checkpoint(tmp_path / "teacher.safetensors", recogniser(teacher), CHARACTERS, told)
    path = tmp_path / "teacher.safetensors" if teacher is not None else None
    stage = replace(
        Finetune(data=Path("d"), distil=0, code_cross_entropy=1, soft_labels=0.5), **changes
    )
    before = Checkpoint(recogniser(HAMMING), CHARACTERS, told)
    with pytest.raises(UsageError, match=line):
        finetuned(stage, before, tmp_path, teacher=path)


def test_answers_alone_bind_no_states(tmp_path: Path) -> None:
    """A teacher of other layers and another width answers all the same, whatever distil_layers."""
    told, path = Provenance("train", "ab" * 32), tmp_path / "teacher.safetensors"
    save_checkpoint(path, recogniser(replace(WIDE, depth=2)), CHARACTERS, told)
    before = Checkpoint(recogniser(HAMMING), CHARACTERS, told)
    stage = Finetune(
        data=Path("d"), steps=1, batch=4, workers=0, distil=0, code_cross_entropy=1, soft_labels=0.5
    )
    assert stage.distil_layers > 0
    _, figures = finetuned(stage, before, tmp_path, teacher=path)
    assert figures["steps"] == 1


def swap(path: Path, config: RecogniserConfig, **changes: Any) -> Recogniser:
    stage = SwapBackbone(
        data=path, backbone_width=0.25, batch=4, workers=0, precision=Precision.FP32, **changes
    )
    told = Provenance("train", "ab" * 32)
    before = Checkpoint(recogniser(config), CHARACTERS, told)
    return swap_backbone(stage, before, MemorySource(), None, Workplace(7, 1, NOTHING, path))[0]


@pytest.mark.parametrize("changes", [{"temperature": 1.7}, {"batch_norm": BatchNorm.FOLDED}])
def test_a_trained_backbone_is_not_swapped_for_an_untrained_one_like_it(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="has this backbone already"):
        swap(tmp_path, replace(SOFTMAX, **changes), width=32, ffn_width=64, steps=0)


def test_a_backbone_of_another_width_learns_the_teachers_answers(tmp_path: Path) -> None:
    images, inputs = torch.from_numpy(noise(2)), torch.tensor([[BOS, 4, 5], [BOS, 6, PAD]])
    targets = torch.tensor([[4, 5, EOS], [6, EOS, PAD]])

    def answers(model: Recogniser) -> torch.Tensor:
        features = model.features(model.encode(images), inputs, None)
        return torch.log_softmax(model.classifier(features), -1)[targets != PAD]

    teacher = recogniser(SOFTMAX).requires_grad_(False)
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
            LineTrainer(made, teacher, aim).eval()(images, inputs, targets, None).item()
            for aim in aims
        )
        assert told - plain == pytest.approx(9 * far[-1], rel=1e-3)
    assert far[1] < 0.9 * far[0]


def test_answers_are_refused_where_nothing_is_chosen_among_codes(tmp_path: Path) -> None:
    told = Provenance("train", "ab" * 32)
    path = tmp_path / "teacher.safetensors"
    save_checkpoint(path, recogniser(SOFTMAX), CHARACTERS, told)
    before = Checkpoint(recogniser(SOFTMAX), CHARACTERS, told)
    stage = Finetune(data=Path("d"), distil=0, code_cross_entropy=1, soft_labels=0.5)
    with pytest.raises(UsageError, match="code_cross_entropy among codes"):
        finetuned(stage, before, tmp_path, teacher=path)


def encoded_task(model: Recogniser, teacher: Recogniser, steps: int) -> tuple[LineTrainer, Task]:
    aim = Aim(CHARACTERS, REFUSE, distil=1.0, distil_layers=0.5)
    trainer = LineTrainer(model, teacher, aim, encode_once=True, frozen_backbone=True)
    lines = encode_lines(trainer, MemorySource(), 20, 0, 3, NoProgress())
    task = Task("lines", trainer, lines.loss, lines.batches(4, steps, 0, 1), freeze=("student.ba",))
    return trainer, task


def teacher_and_student() -> tuple[Recogniser, Recogniser]:
    teacher, student = recogniser(SOFTMAX), recogniser(SLIM)
    student.backbone.load_state_dict(teacher.backbone.state_dict())
    return teacher, student


@pytest.mark.parametrize("config", [WIDE, replace(SLIM, width=64)])
def test_a_narrow_memory_gives_the_states_of_the_memory(config: RecogniserConfig) -> None:
    model = with_folded_batch_norm(recogniser(config).eval())
    images, ids = torch.from_numpy(noise(3)), torch.tensor([[BOS, 4, 5, 9]] * 3)
    narrow = model.encode_narrow(images)
    assert narrow is not None
    assert narrow.rows.shape[-1] < model.config.width
    memory = model.encode(images)
    torch.testing.assert_close(narrow.memory(), memory, rtol=1e-4, atol=1e-5)
    signs = model.code_signs()
    found, expected = model.states(narrow, ids, signs), model.states(memory, ids, signs)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)
    weights = list(model.decoder.parameters())
    wanted = torch.autograd.grad(expected[-1].square().sum(), weights)
    grads = torch.autograd.grad(found[-1].square().sum(), weights)
    for mine, theirs in zip(grads, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)


def test_no_narrow_memory_where_nothing_is_saved() -> None:
    images = torch.from_numpy(noise(1))
    assert recogniser(WIDE).encode_narrow(images) is None  # normalisation is still live
    narrow = with_folded_batch_norm(recogniser(replace(WIDE, width=16)).eval())
    assert narrow.encode_narrow(images) is None


@pytest.mark.parametrize("wide", [False, True])
def test_encoded_lines_have_the_loss_of_their_images(wide: bool) -> None:
    config = WIDE if wide else SOFTMAX
    teacher = recogniser(config)
    student = recogniser(replace(SLIM, width=config.width, backbone_width=config.backbone_width))
    student.backbone.load_state_dict(teacher.backbone.state_dict())
    trainer, _ = encoded_task(student, teacher, 1)
    lines = encode_lines(trainer, MemorySource(), 4, 0, 0, NoProgress())
    found = lines.loss(trainer, lines.lines)
    batch = next(step_batches(MemorySource(), 4, 1, SLIM.preprocessing, 0, 0, 1)(0))
    expected = trainer.loss(trainer, batch)
    assert found.targets == expected.targets
    assert found.total.item() == pytest.approx(expected.total.item(), rel=2e-3)


def test_encoded_lines_take_turns_and_resume_in_the_same_bits(tmp_path: Path) -> None:
    teacher, student = teacher_and_student()
    trainer, task = encoded_task(student, teacher, 10)
    seen = [id(line) for batch in task.batches(0) for line in batch]
    assert len(set(seen[:20])) == len(set(seen[20:])) == 20
    assert seen[:20] != seen[20:]
    assert [id(line) for batch in task.batches(7) for line in batch] == seen[28:]
    schedule = Schedule(10, 4, 1e-2, warmup=2, snapshot_every=3)
    run(task, schedule, tmp_path / "whole")
    broken, task = encoded_task(teacher_and_student()[1], teacher, 10)
    with pytest.raises(Killed):
        run(killed_after(task, 7), schedule, tmp_path / "broken")
    resumed, task = encoded_task(teacher_and_student()[1], teacher, 10)
    run(task, schedule, tmp_path / "broken")
    del broken
    for name, value in trainer.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_fitted_head_is_the_best_w_for_its_lines() -> None:
    """No other W, near or far, has a smaller weighed distance to the codes."""
    teacher, student = teacher_and_student()
    trainer, _ = encoded_task(student, teacher, 1)
    lines = encode_lines(trainer, MemorySource(), 20, 0, 0, NoProgress())
    untouched = {k: v.clone() for k, v in student.state_dict().items() if "classifier" not in k}
    fit_head(lines, 20)
    assert all(torch.equal(student.state_dict()[k], v) for k, v in untouched.items())
    inputs, targets, encoded = lines.together(lines.lines)
    signs = student.code_signs()
    with torch.no_grad():
        cross = student.decoder.cross(encoded.memory)
        h = student.decoder.run(student.embed(inputs, signs), cross)[-1][targets != PAD]
    y = targets[targets != PAD]
    weights = torch.bincount(y).float()[y] ** -0.5
    assert signs is not None

    def distance(w: torch.Tensor) -> float:
        return float((weights * (h @ w.T - signs[y]).square().sum(1)).sum())

    solved = student.classifier.projection.weight.detach()
    rng = torch.manual_seed(0)
    for size in (1.0, 0.1):
        other = solved + size * torch.randn(solved.shape, generator=rng)
        assert distance(solved) < distance(other)
    assert distance(solved) < 0.7 * distance(torch.zeros_like(solved))


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
    made = Checkpoint(recogniser(config), CHARACTERS, Provenance("train", "ab" * 32))
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


def test_nan_stops_with_the_tensors_name(tmp_path: Path) -> None:
    model = recogniser(SOFTMAX)
    with torch.no_grad():
        model.decoder.norm.weight[3] = math.nan
    trainer = LineTrainer(model, None, Aim(CHARACTERS, REFUSE))
    with pytest.raises(NumericalError, match=r"step 0.*student\.decoder\.norm\.weight"):
        run(line_task(trainer, 2), Schedule(2, 4, 1e-3), tmp_path)


def test_validation_is_the_share_read_and_1_ned() -> None:
    model, source = recogniser(SOFTMAX), MemorySource()
    found = validate_lines(model, CHARACTERS, source, 8, 3)
    pixels = torch.from_numpy(np.stack(source.images[:8]))
    ids = model.read(pixels, candidates=1).ids[:, :, 0].tolist()
    pairs = [(CHARACTERS.decode(i), t) for i, t in zip(ids, source.texts[:8], strict=True)]
    assert found.accuracy == sum(read == text for read, text in pairs) / 8
    assert found.ned == pytest.approx(sum(similarity(text, read) for read, text in pairs) / 8)
    assert 0 <= found.accuracy <= found.ned < 1


def test_it_stops_on_a_plateau_and_keeps_the_best(tmp_path: Path) -> None:
    accuracies = iter([0.1, 0.5, 0.4, 0.3, 0.2, 0.1])
    trainer = LineTrainer(recogniser(SOFTMAX), None, Aim(CHARACTERS, REFUSE))
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
    trainer = LineTrainer(recogniser(SOFTMAX), None, Aim(CHARACTERS, REFUSE))
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
    trainer = LineTrainer(recogniser(SOFTMAX), None, Aim(CHARACTERS, REFUSE))
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
    trainer = LineTrainer(recogniser(SOFTMAX), None, Aim(CHARACTERS, REFUSE))
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


@given(st.integers(0, 10**6), st.floats(0, 3))
@settings(max_examples=25)
def test_hinge_is_equation_6(seed: int, margin: float) -> None:
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 8, generator=rng)
    eta = torch.randint(0, 2, (7, 8), generator=rng).float()
    targets = torch.randint(0, 7, (2, 3), generator=rng)
    expected = 0.0
    for place in range(2):
        for step in range(3):
            if targets[place, step] == PAD:
                continue
            for bit in range(8):
                z, wanted = logits[place, step, bit].item(), eta[targets[place, step], bit].item()
                expected += max(0, margin - z) * wanted + max(0, margin + z) * (1 - wanted)
    found = hinge_loss(logits, targets, eta * 2 - 1, margin)
    assert found.item() == pytest.approx(expected / 8, rel=1e-5, abs=1e-5)


@given(st.integers(0, 10**6))
@settings(max_examples=25)
def test_choice_is_the_cross_entropy_of_the_nearest_code(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (9, 16), generator=rng).float() * 2 - 1
    targets = torch.tensor([[4, 8, EOS], [7, EOS, PAD]])
    # Bits that are all as sure: agreement is then the Hamming distance, and the loss `scores`'s.
    logits = 1.0 * (torch.randint(0, 2, (2, 3, 16), generator=rng).float() * 2 - 1)
    scores = hamming_scores(logits, signs) / (HAMMING_TEMPERATURE * 16)
    expected = -torch.log_softmax(scores[..., FIRST_READABLE:], -1)
    places = (targets - FIRST_READABLE).clamp(min=0)[..., None]
    wanted = expected.gather(-1, places)[..., 0][targets != PAD].sum()
    assert code_cross_entropy(logits, targets, signs).item() == pytest.approx(
        wanted.item(), rel=1e-4
    )


def test_padding_never_counts() -> None:
    targets = torch.tensor([[4, EOS, PAD], [PAD, PAD, PAD]])
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 8, generator=rng)
    other = logits.clone()
    other[0, 2], other[1] = 100, -100
    signs = torch.ones(8, 8)
    for loss in (
        lambda z: softmax_loss(z, targets, 0.1),
        lambda z: hinge_loss(z, targets, signs, 1.0),
        lambda z: code_cross_entropy(z, targets, signs),
        lambda z: feature_loss(z, torch.zeros(2, 3, 8), targets),
    ):
        assert loss(logits).item() == pytest.approx(loss(other).item())


def test_targets_end_in_eos_and_long_or_unknown_lines_do_not_count() -> None:
    texts = ["ab", "abcdefgh0", "a?"]
    inputs, targets = targets_of(texts, CHARACTERS, 9, UnknownCharacter.SKIP_LINE)
    assert inputs.tolist() == [[BOS, 3, 4], [BOS, PAD, PAD], [BOS, PAD, PAD]]
    assert targets.tolist() == [[3, 4, EOS], [PAD] * 3, [PAD] * 3]
    with pytest.raises(InputRefused, match=r"'a\?'"):
        targets_of(texts, CHARACTERS, 9, REFUSE)


@given(st.integers(0, 5), st.sampled_from([1, 2, 4]), st.sampled_from([None, 3]))
@settings(max_examples=12)
def test_processes_share_a_step_and_resume_anywhere(
    start: int, world: int, drawn_by: int | None
) -> None:
    size, source = SOFTMAX.preprocessing, MemorySource(10)
    alone = [b.indices for b in step_batches(source, 4, 6, size, 0, 0, 1, drawn_by)(0)]
    shared = [
        [b.indices for b in step_batches(source, 4, 6, size, 0, rank, world, drawn_by)(start)]
        for rank in range(world)
    ]
    for step in range(start, 6):
        together = [i for rank in range(world) for i in shared[rank][step - start]]
        assert sorted(together) == sorted(alone[step])


def test_drawn_images_come_in_no_order() -> None:
    size, source = SOFTMAX.preprocessing, MemorySource(10)
    drawn = [
        [i for b in step_batches(source, 4, 30, size, 0, 0, 1, seed)(0) for i in b.indices]
        for seed in (3, 4)
    ]
    assert drawn[0] != drawn[1]
    assert set(drawn[0]) == set(range(10))
    assert max(drawn[0].count(i) for i in range(10)) > min(drawn[0].count(i) for i in range(10))


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


def test_single_characters_hand_their_columns_over(tmp_path: Path) -> None:
    model = recogniser(SOFTMAX)
    trainer = GlyphTrainer(model, CHARACTERS)
    images = noise(len(CHARACTERS.characters))
    batch = Batch(images, list(CHARACTERS.characters), list(range(len(images))))

    def loss(module: nn.Module, batch: Batch) -> Loss:
        return trainer.loss(module, batch)

    def feed(start: int) -> Iterator[Batch]:
        return iter([batch] * (20 - start))

    first = trainer.loss(trainer, batch).total.item()
    run(Task("glyphs", trainer, loss, feed), Schedule(20, 18, 1e-2, warmup=2), tmp_path)
    assert trainer.loss(trainer, batch).total.item() < first
    trainer.hand_over(feature_length(trainer, [batch]))
    ratio = model.classifier.weight[3:] / trainer.columns[3:]
    assert torch.allclose(ratio, ratio[0, 0], rtol=1e-4)
    trainer.eval()
    model.eval()
    with torch.no_grad():
        single = (trainer.features(torch.from_numpy(images)) @ trainer.columns.T).argmax(1)
        memory = model.encode(torch.from_numpy(images))
        begun = torch.full((len(images), 1), BOS)
        line = model.classifier(model.features(memory, begun, None))[:, 0]
        alike = (line.argmax(1) == single).double().mean().item()
    assert alike > 0.5, "no line seen yet, and most are read as single characters are"


def test_the_fitted_temperature_is_the_likeliest(tmp_path: Path) -> None:
    model, source = recogniser(SOFTMAX), MemorySource()
    trainer = LineTrainer(model, None, Aim(CHARACTERS, REFUSE))
    run(line_task(trainer, 30), Schedule(30, 4, 3e-3, warmup=5), tmp_path)
    model.eval()
    best = fitted_temperature(model, CHARACTERS, source, 24, 8)
    signs = model.code_signs()
    batch = next(step_batches(source, 24, 1, SOFTMAX.preprocessing, 0, 0, 1)(0))
    inputs, targets = targets_of(batch.texts, CHARACTERS, SOFTMAX.max_steps, REFUSE)
    with torch.inference_mode():
        features = model.features(model.encode(torch.from_numpy(batch.images)), inputs, signs)
        scores = model.scores(features, signs)[targets != PAD]

    def cost(temperature: float) -> float:
        loss = nn.functional.cross_entropy(scores / temperature, targets[targets != PAD])
        return float(loss)

    assert cost(best) <= min(cost(best * factor) for factor in (0.8, 0.95, 1.05, 1.25)) + 1e-6


BOTTLENECKS = {"classifier_bottleneck": 8, "embedding_bottleneck": 8}


@pytest.mark.parametrize(
    "config",
    [SOFTMAX, SLIM, replace(SLIM, rerank=True), replace(SOFTMAX, **BOTTLENECKS)],
    ids=["softmax", "hamming", "refined", "bottleneck"],
)
def test_the_temperature_is_fitted_on_few_scores_at_a_time(
    config: RecogniserConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As all at once would have it, and tried one by one."""
    model, source = recogniser(config), MemorySource()
    signs = model.code_signs()
    batch = next(step_batches(source, 24, 1, SOFTMAX.preprocessing, 0, 0, 1)(0))
    inputs, targets = targets_of(batch.texts, CHARACTERS, SOFTMAX.max_steps, REFUSE)
    wanted = targets[targets != PAD]
    with torch.inference_mode():
        memory = model.encode(torch.from_numpy(batch.images))
        h = model.features(memory, inputs, signs)[targets != PAD]
        scores = model.scores(h, signs).double()
        ids = model.rank(scores, 5)[0]
        agreement = model.agreement(h, signs, ids) if config.rerank and signs is not None else None

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
    real = Recogniser.scores
    monkeypatch.setattr(
        Recogniser, "scores", lambda *given: seen.append(len(given[1])) or real(*given)
    )
    monkeypatch.setattr("hcompress.training.calibration.SCORES", 4 * model.vocabulary)
    found = fitted_temperature(model, CHARACTERS, source, 24, 8)
    assert found == pytest.approx(math.exp(low), rel=1e-4)
    assert max(seen) == 4 < len(wanted)


def test_a_temperature_that_no_line_says_anything_of_stays() -> None:
    model = recogniser(replace(SOFTMAX, temperature=1.7))
    assert fitted_temperature(model, CHARACTERS, some_too_long(24), 24, 8) == 1.7


def test_the_fitted_temperature_of_a_refined_recogniser_is_the_likeliest(tmp_path: Path) -> None:
    model, source = recogniser(replace(HAMMING, rerank=True)), MemorySource()
    trainer = LineTrainer(model, None, Aim(CHARACTERS, REFUSE, code_cross_entropy=1.0))
    run(line_task(trainer, 30), Schedule(30, 4, 3e-3, warmup=5), tmp_path)
    model.eval()
    best = fitted_temperature(model, CHARACTERS, source, 24, 8)
    signs = model.code_signs()
    assert signs is not None
    batch = next(step_batches(source, 24, 1, SOFTMAX.preprocessing, 0, 0, 1)(0))
    inputs, targets = targets_of(batch.texts, CHARACTERS, SOFTMAX.max_steps, REFUSE)
    wanted = targets[targets != PAD]

    def cost(temperature: float) -> float:
        """By what `read` answers: every id's probability, the five nearest ones refined."""
        told = with_temperature(model, temperature)
        with torch.inference_mode():
            features = told.features(told.encode(torch.from_numpy(batch.images)), inputs, signs)
            h = features[targets != PAD]
            scores = told.scores(h, signs)
            chances = torch.softmax(scores / temperature, -1)
            ids, refined = told.refine(h, signs, *told.rank(scores, 5))
        assert torch.allclose(refined.sum(1), chances.gather(1, ids).sum(1))
        chances = chances.scatter(1, ids, refined)
        return -float(chances.gather(1, wanted[:, None]).log().mean())

    assert cost(best) <= min(cost(best * factor) for factor in (0.8, 0.95, 1.05, 1.25)) + 1e-6


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
@settings(max_examples=30)
def test_an_orthogonal_update_keeps_directions_and_evens_out_sizes(
    rows: int, columns: int, seed: int
) -> None:
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    update = orthogonal(matrix * 1e-3)
    assert update.shape == matrix.shape
    left, sizes, right = torch.linalg.svd(matrix, full_matrices=False)
    inside = left.T @ update @ right.T
    diagonal = torch.diagonal(inside)
    assert torch.allclose(inside - torch.diag(diagonal), torch.zeros_like(inside), atol=2e-3)
    large = sizes > 0.05 * sizes.norm()
    assert ((diagonal[large] > 0.6) & (diagonal[large] < 1.3)).all()
    assert (diagonal < 1.3).all()


def test_muon_takes_every_gradient_and_moves_every_other_step() -> None:
    def after(*gradients: torch.Tensor) -> list[torch.Tensor]:
        matrix = torch.nn.Parameter(torch.zeros(6, 4))
        optimiser, places = Muon([matrix], lr=0.1), []
        for gradient in gradients:
            matrix.grad = gradient
            optimiser.step()
            places.append(matrix.detach().clone())
        return places

    one, other, third = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(3))
    first, second, last = after(one, other, third)
    assert first.abs().max() > 0
    assert torch.equal(first, second)
    assert not torch.equal(second, last)
    assert not torch.equal(after(one, -other, third)[2], last)  # the second one was not lost
    # A move is worth two steps at the rate asked for: 0.2 as AdamW's usual one is.
    size = first.square().mean().sqrt().item()
    assert size == pytest.approx(2 * 0.1 * 0.2, rel=0.25)


def test_muon_takes_the_matrices_and_adamw_the_rest(tmp_path: Path) -> None:
    model = recogniser(HAMMING)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    task = line_task(
        LineTrainer(model, None, Aim(CHARACTERS, REFUSE)), 1, matrices=("student.decoder.",)
    )
    run(task, Schedule(1, 4, 0.0, 1e-2, warmup=1, weight_decay=0.0), tmp_path)
    moved = {
        k for k, v in model.state_dict().items()
        if v.is_floating_point() and not torch.equal(v, before[k]) and "running" not in k
    }  # fmt: skip
    assert moved == {
        name for name, p in model.named_parameters() if name.startswith("decoder.") and p.ndim == 2
    }


def test_the_state_loss_counts_every_layer_the_same() -> None:
    wanted = torch.randn(2, 3, 4, 5) * torch.tensor([1.0, 100.0])[:, None, None, None]
    targets = torch.tensor([[5, 2, 0, 0], [5, 5, 2, 0], [2, 0, 0, 0]])
    counted = int((targets != PAD).sum())
    assert state_loss(wanted, wanted, targets).item() == 0
    assert state_loss(wanted * 0, wanted, targets).item() == pytest.approx(2 * counted, rel=1e-4)
    first = state_loss(wanted[:1] * 0, wanted[:1], targets).item()
    assert first == pytest.approx(counted, rel=1e-4)
