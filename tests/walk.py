"""The way that every recogniser goes: learnt, fitted, stored, exported, read, weighed."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from hcompress import sizes
from hcompress.artifacts.folder import Artifact
from hcompress.artifacts.source import open_source
from hcompress.charset import UnknownCharacter
from hcompress.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from hcompress.cli import main
from hcompress.compute.device import launch
from hcompress.compute.precision import Precision
from hcompress.data.batches import Batch
from hcompress.data.sample import Sample
from hcompress.evaluation.evaluate import evaluate
from hcompress.evaluation.torch_reader import TorchReader
from hcompress.formats.open import open_file
from hcompress.progress import NoProgress
from hcompress.recognisers.build import build
from hcompress.recognisers.contract import Recogniser
from hcompress.reports.size_table import column, table1_rows
from hcompress.runs.forecast import after, bytes_of, forecast_of
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.runtime import OnnxReader
from hcompress.spec.config import RecogniserConfig
from hcompress.spec.header import Provenance
from hcompress.spec.vocabulary import Vocabulary
from hcompress.stages.base import Stage
from hcompress.stages.half import Half
from hcompress.stages.onnx import OnnxStage
from hcompress.training.finetune import finetune
from hcompress.training.line_phase import train_lines
from hcompress.training.line_trainer import Aim, LineTrainer
from hcompress.training.options import FinetuneOptions, LineTraining, Workplace

LETTERS = "abcdefgh漢字"
COUNT = 16
"""Lines that are learnt, and read again."""
REFUSE = UnknownCharacter.REFUSE
HERE = Provenance("train", None)


class Lines:
    """Lines in memory, all they hold drawn by chance: a character is a few blocks of its colours.

    ``longest`` characters fill a line; a place for another is white.
    """

    digest = "0" * 64

    def __init__(self, config: RecogniserConfig, count: int, longest: int, seed: int = 5) -> None:
        size, random = config.preprocessing, np.random.default_rng(seed)
        pitch = size.width // longest
        glyphs = random.integers(0, 256, (len(LETTERS), size.height // 8, 1, 3), np.uint8)
        glyphs = glyphs.repeat(8, 1).repeat(8, 2)
        self.images: NDArray[np.uint8] = np.full((count, size.height, size.width, 3), 255, np.uint8)
        self.texts = []
        for image in self.images:
            letters = random.integers(0, len(LETTERS), random.integers(1, longest + 1)).tolist()
            self.texts.append("".join(LETTERS[letter] for letter in letters))
            for place, letter in enumerate(letters):
                image[:, place * pitch : place * pitch + 8] = glyphs[letter]

    def written(self, folder: Path) -> Path:
        """The same as a label file."""
        folder.mkdir()
        for place, image in enumerate(self.images):
            Image.fromarray(image).save(folder / f"{place}.png")
        labels = [f"{place}.png\t{text}\n" for place, text in enumerate(self.texts)]
        (folder / "lines.tsv").write_text("".join(labels), encoding="utf-8")
        return folder / "lines.tsv"

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.images[index], self.texts[index])


@dataclass(frozen=True)
class Walk:
    """What came out on the way."""

    learnt: Checkpoint
    path: Path
    """Where it was stored."""
    half: Artifact
    exported: Artifact
    report: dict[str, Any]
    """Of the export."""


def walked(config: RecogniserConfig, folder: Path, longest: int) -> Walk:
    """Go all the way with a recogniser of ``config``, checking it at every step."""
    vocabulary = Vocabulary(LETTERS, config.transcription)
    lines = Lines(config, COUNT, longest)
    learnt = fitted(trained(config, vocabulary, lines, folder), lines, folder)
    path = folder / "learnt.safetensors"
    save_checkpoint(path, learnt.model, vocabulary, HERE)
    assert_kept(path, learnt, lines)
    half = went(Half(), open_source(path), folder / "half")
    exported = went(OnnxStage(images=6), half, folder / "onnx")
    assert exported.manifest is not None
    report = dict(exported.manifest.report)
    assert report["parity"]["texts_different"] == 0
    assert_read_alike(half, exported, lines)
    assert_weighed(half, exported)
    return Walk(learnt, path, half, exported, report)


def trained(
    config: RecogniserConfig, vocabulary: Vocabulary, lines: Lines, folder: Path
) -> Checkpoint:
    """With labels alone; it learns something."""
    torch.manual_seed(3)
    model = build(config, len(vocabulary))
    before = loss_of(model, vocabulary, lines)
    options = LineTraining(
        steps=40, batch=8, learning_rate=1e-2, validate_every=20, workers=0,
        precision=Precision.FP32,
    )  # fmt: skip
    tuned, figures = train_lines(
        "toy", options, lines, lines, LineTrainer(model, None, Aim(vocabulary, REFUSE)),
        launch(Precision.FP32, 1, accelerator="cpu"), workplace(folder / "training"),
    )  # fmt: skip
    assert [entry["step"] for entry in figures["curve"]] == [20, 40]
    assert tuned.config.temperature == figures["temperature"] != config.temperature
    assert loss_of(tuned, vocabulary, lines) < 0.5 * before
    return Checkpoint(tuned, vocabulary, HERE)


def fitted(learnt: Checkpoint, lines: Lines, folder: Path) -> Checkpoint:
    """Its head made anew in closed form, if there is one, and tuned on lines encoded once."""
    options = FinetuneOptions(
        data=Path(), distil=0.0, steps=2, batch=4, learning_rate=1e-4, workers=0, lines=COUNT,
        fit_lines=COUNT if learnt.model.head.has_closed_form else 0, precision=Precision.FP32,
    )  # fmt: skip
    tuned, figures = finetune(options, learnt, None, lines, lines, workplace(folder / "tuning"))
    assert figures["steps"] == 2
    return Checkpoint(tuned, learnt.vocabulary, HERE)


def loss_of(model: Recogniser, vocabulary: Vocabulary, lines: Lines) -> float:
    trainer = LineTrainer(model, None, Aim(vocabulary, REFUSE)).eval()
    batch = Batch(lines.images, lines.texts, list(range(len(lines))))
    return trainer.loss(trainer, batch).total.item()


def assert_kept(path: Path, made: Checkpoint, lines: Lines) -> None:
    """A file gives back the model, and says in format 2 what it is."""
    opened = open_file(path, "model.safetensors", "checkpoint")
    assert opened.header is not None
    assert opened.header["format"] == 2
    loaded = load_checkpoint(opened)
    assert (loaded.config, loaded.vocabulary) == (made.config, made.vocabulary)
    images = torch.from_numpy(lines.images)
    found, expected = loaded.model.read(images), made.model.read(images)
    assert torch.equal(found.ids, expected.ids)
    torch.testing.assert_close(found.probabilities, expected.probabilities)


def assert_read_alike(half: Artifact, exported: Artifact, lines: Lines) -> None:
    """The same texts by torch, by the file, and of images of other sizes."""
    reader, torch_reader = OnnxReader(exported.file), TorchReader(half.file)
    seen = [*lines.images, *(image[::2, 1:] for image in lines.images)]
    found, expected = reader.read(seen), torch_reader.read(seen)
    assert [one.text for one in found] == [one.text for one in expected]
    assert len({one.text for one in found}) > 2
    for one, other in zip(found, expected, strict=True):
        assert one.confidence == pytest.approx(other.confidence, rel=1e-2, abs=1e-4)
        assert [step[0]["character"] for step in one.candidates] == list(one.text)
    right = sum(one.text == text for one, text in zip(found, lines.texts, strict=False))
    assert evaluate(reader, lines)["accuracy"] == right / len(lines)


def assert_weighed(half: Artifact, exported: Artifact) -> None:
    """Sizes add up, of what was foreseen too, and the table says what is in force."""
    known = forecast_of(half.opened)
    assert known is not None
    assert bytes_of(known) == half.file.stat().st_size
    columns = []
    for artifact in (half, exported):
        assert artifact.manifest is not None
        found = sizes.breakdown(artifact.opened)
        assert found.bytes == artifact.file.stat().st_size
        assert sum(part.bytes for part in found.components) == found.bytes
        assert found.component("other").bytes < 3000, "every weight has its row"
        in_force = sizes.techniques_of(artifact.opened)
        columns.append(column(artifact.manifest.stage.name, in_force, found.to_dict()))
    rows = table1_rows(columns)
    assert rows[0] == ["", "half", "onnx"]
    assert {row[0] for row in rows} >= set(sizes.techniques_of(half.opened))


def went(stage: Stage, source: Artifact, out: Path) -> Artifact:
    """Through the pipeline, as a recipe would; what comes out weighs what was foreseen."""
    foreseen = after(stage, forecast_of(source.opened))
    made = run_stage(stage, source, out, StageOptions())
    if foreseen is not None and made.file.suffix == ".safetensors":
        assert bytes_of(foreseen) == pytest.approx(made.file.stat().st_size, rel=0.1)
        config = load_checkpoint(made.file).config
        assert config == replace(foreseen.config, temperature=config.temperature)  # it is fitted
    return made


def inspected(artifact: Artifact, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What the command line says of it."""
    assert main(["inspect", str(artifact.file), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def workplace(folder: Path) -> Workplace:
    folder.mkdir()
    return Workplace(7, 1, NoProgress(), folder)
