"""`train-ctc` from files to a recogniser that reads lines of several widths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hcompress.artifacts.folder import Artifact
from hcompress.checkpoints.checkpoint import load_checkpoint
from hcompress.compute.precision import Precision
from hcompress.errors import UsageError
from hcompress.evaluation.torch_reader import TorchReader
from hcompress.runs.forecast import bytes_of
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.spec.ctc import CtcConfig
from hcompress.spec.preprocessing import AnyWidth
from hcompress.stages.finetune import Finetune
from hcompress.stages.train_ctc import TrainCtc

LETTERS = "abcdefghijkl"
PITCH = 24


def written(folder: Path, name: str, count: int, longest: int) -> Path:
    """Lines of blocks, as wide as their texts: a letter is a pattern of its own."""
    random, glyphs = np.random.default_rng(3), np.random.default_rng(4)
    letters = glyphs.integers(0, 2, (len(LETTERS), 4, 2)).astype(np.uint8) * 200
    labels = []
    for number in range(count):
        text = random.integers(0, len(LETTERS), random.integers(1, longest + 1)).tolist()
        image = np.full((48, PITCH * len(text) + 8, 3), 255, np.uint8)
        for place, letter in enumerate(text):
            blocks = letters[letter].repeat(10, 0).repeat(8, 1)
            image[4:44, 4 + place * PITCH : 20 + place * PITCH] = blocks[..., None]
        Image.fromarray(image).save(folder / f"{name}{number}.png")
        labels.append(f"{name}{number}.png\t{''.join(LETTERS[i] for i in text)}\n")
    (folder / f"{name}.tsv").write_text("".join(labels), encoding="utf-8")
    return folder / f"{name}.tsv"


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Single letters, then lines."""
    folder = tmp_path_factory.mktemp("ctc")
    (folder / "letters.txt").write_text(LETTERS, encoding="utf-8")
    stage = TrainCtc(
        data=written(folder, "lines", 64, 6),
        first=written(folder, "letters", 48, 1),
        charset=folder / "letters.txt",
        width=32,
        backbone_width=0.2,
        pitch=8,
        neck=0,
        max_width=250,
        first_steps=30,
        first_learning_rate=1e-2,
        steps=60,
        batch=16,
        learning_rate=1e-2,
        validate_every=0,
        precision=Precision.FP32,
        workers=0,
    )
    made = run_stage(stage, None, folder / "made", StageOptions())
    foreseen = stage.foreseen(None)
    assert foreseen is not None
    assert bytes_of(foreseen) == pytest.approx(made.file.stat().st_size, abs=30_000)
    return made


def test_it_reads_lines_of_any_width(learnt: Artifact, tmp_path: Path) -> None:
    config = load_checkpoint(learnt.file).config
    assert isinstance(config, CtcConfig)
    assert config.preprocessing == AnyWidth(width=256)
    assert config.max_steps == 32
    assert learnt.manifest is not None
    assert learnt.manifest.report["first"]["steps"] == 30
    lines = written(tmp_path, "seen", 24, 6)
    rows = [row.split("\t") for row in lines.read_text(encoding="utf-8").splitlines()]
    images = [np.asarray(Image.open(tmp_path / name)) for name, _ in rows]
    reader = TorchReader(learnt.file)
    read = [one.text for one in reader.read(images)]
    assert sum(one == text for one, (_, text) in zip(read, rows, strict=True)) >= 20
    alone = [reader.read([image])[0] for image in images]
    assert [one.text for one in alone] == read, "whoever is beside it"
    assert all(one.pieces == 1 for one in alone)


def test_what_it_can_not_do_is_said_in_one_line(learnt: Artifact, tmp_path: Path) -> None:
    lines = written(tmp_path, "lines", 4, 3)
    stage = Finetune(data=lines, slim_routes=1.0, distil=0.0, steps=1, batch=4, workers=0)
    with pytest.raises(UsageError, match="slim_routes is not for a recogniser of the family ctc"):
        run_stage(stage, learnt, tmp_path / "slim", StageOptions())
    with pytest.raises(UsageError, match="pitch = 5: must be 4 or 8"):
        TrainCtc(data=lines, charset=lines, pitch=5).config()
