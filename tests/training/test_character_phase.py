"""Characters by and by: some first, then all of them, with columns made from means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hcompress.charset import UnknownCharacter, read_charset
from hcompress.compute.precision import Precision
from hcompress.data.source import open_data, open_optional
from hcompress.errors import InputRefused, UsageError
from hcompress.progress import NoProgress
from hcompress.recognisers.contract import Recogniser
from hcompress.spec.vocabulary import Vocabulary
from hcompress.stages.train import Train
from hcompress.training.options import Workplace
from hcompress.training.train import train_teacher
from tests.runs.test_runner import Listener
from tests.training.tasks import Killed, Killer

CHARACTERS = "0123456789AB"
SPEC = """
schema_version = 1
seed = 1
count = 100_000
mode = "{mode}"
charset = "charset.txt"
max_length = 4
even = true
glyph_width = 32
"""


def stage(folder: Path, **more: int) -> Train:
    (folder / "charset.txt").write_text(CHARACTERS, encoding="utf-8")
    for mode in ("lines", "glyphs"):
        (folder / f"{mode}.toml").write_text(SPEC.format(mode=mode), encoding="utf-8")
    few = {"glyph_first": 5, "glyph_first_steps": 5, "glyph_means": 2, "glyph_steps": 5, "steps": 2}
    return Train(
        data=folder / "lines.toml",
        charset=folder / "charset.txt",
        glyphs=folder / "glyphs.toml",
        glyph_width=32,
        glyph_batch=8,
        backbone_width=0.25,
        width=32,
        ffn_width=64,
        heads=4,
        batch=2,
        snapshot_every=2,
        workers=0,
        precision=Precision.FP32,
        **(few | more),  # type: ignore[arg-type]
    )


def learnt(
    made: Train, scratch: Path, progress: NoProgress
) -> tuple[Recogniser, Vocabulary, dict[str, Any]]:
    """As the stage does it."""
    vocabulary = Vocabulary(read_charset(made.charset))
    lines, glyphs = open_data(made.data), open_optional(made.glyphs_first)
    workplace = Workplace(1, 1, progress, scratch)
    model, report = train_teacher(made, vocabulary, lines, None, glyphs, workplace)
    return model, vocabulary, report


def trained(made: Train, scratch: Path, progress: NoProgress) -> dict[str, torch.Tensor]:
    model, _, report = learnt(made, scratch, progress)
    assert report["glyphs"]["first"] == {"steps": 5, "images": 40}
    return model.state_dict()


def test_growth_resumes_in_the_same_bits_from_anywhere(tmp_path: Path) -> None:
    """5 steps on some, 3 batches of means, 5 steps on all, 2 on lines: 15 reports."""
    made = stage(tmp_path)
    whole = trained(made, tmp_path / "whole", NoProgress())
    for at in (4, 7, 12, 15):
        scratch = tmp_path / str(at)
        with pytest.raises(Killed):
            trained(made, scratch, Killer(at))
        resumed = trained(made, scratch, NoProgress())
        assert all(torch.equal(value, resumed[name]) for name, value in whole.items()), at


def test_columns_from_means_are_handed_over_untrained(tmp_path: Path) -> None:
    model = trained(stage(tmp_path, glyph_steps=0), tmp_path / "scratch", NoProgress())
    assert len(model["classifier.weight"]) == 3 + len(CHARACTERS)
    assert torch.isfinite(model["classifier.weight"]).all()


def test_no_more_characters_first_than_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="glyph_first = 12: the single characters are 12"):
        trained(stage(tmp_path, glyph_first=12), tmp_path / "scratch", NoProgress())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("even = true", "even = false"),
        ('"glyphs"', '"lines"'),
        ('"charset.txt"', '"digits"'),
        ("100_000", "11"),
    ],
)
def test_columns_are_made_from_every_character_alike(old: str, new: str, tmp_path: Path) -> None:
    made = stage(tmp_path)
    spec = tmp_path / "glyphs.toml"
    spec.write_text(spec.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(UsageError, match="even = true over the model's whole charset"):
        trained(made, tmp_path / "scratch", NoProgress())


def test_characters_to_be_left_out_reach_the_single_ones(tmp_path: Path) -> None:
    """A charset without some of what the spec shows."""
    made = replace(stage(tmp_path, glyph_first=0, steps=0), unknown=UnknownCharacter.SKIP_LINE)
    made.charset.write_text(CHARACTERS[:-2], encoding="utf-8")
    glyphs = tmp_path / "glyphs.toml"
    (tmp_path / "all.txt").write_text(CHARACTERS, encoding="utf-8")
    glyphs.write_text(glyphs.read_text().replace("charset.txt", "all.txt"), encoding="utf-8")
    listener = Listener()
    learnt(made, tmp_path / "scratch", listener)
    # 40 of a deck of 12, three whole turns and 4 more: two of each turn are not there.
    assert any("of 40 images left out" in line for line in listener.said)


def test_only_rendered_characters_can_be_left_out(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (32, 48)).save(tmp_path / "a.png")
    labels = tmp_path / "labels.txt"
    labels.write_text("a.png\t0\n", encoding="utf-8")
    with pytest.raises(InputRefused, match="must be a rendered-text spec"):
        trained(replace(stage(tmp_path), glyphs=labels), tmp_path / "scratch", NoProgress())
