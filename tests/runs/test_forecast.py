"""A dry run's sizes against the files that the stages then write."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from PIL import Image

from hcompress.codes.options import Method
from hcompress.errors import UsageError
from hcompress.runs.forecast import after, bytes_of
from hcompress.runs.plan import make_plan
from hcompress.runs.recipe import load_recipe
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.runs.shrink import RunOptions, run_recipe
from hcompress.spec.config import TransformerConfig
from hcompress.spec.forecast import Forecast
from hcompress.stages import STAGES
from hcompress.stages.base import Stage
from hcompress.stages.codebook import MakeCodebook
from hcompress.stages.factorise import Factorise
from hcompress.stages.half import Half
from hcompress.stages.initialise import Initialise
from hcompress.stages.int8 import Int8
from hcompress.stages.regrow import Regrow
from hcompress.stages.replace_head import ReplaceHead
from hcompress.stages.slim_decoder import SlimDecoder
from hcompress.stages.swap_backbone import SwapBackbone
from tests.fake_stages import FakeSlim


def picture(folder: Path) -> Path:
    """A label file with one picture."""
    Image.new("RGB", (40, 16)).save(folder / "one.png")
    labels = folder / "labels.tsv"
    labels.write_text("one.png\t一\n", encoding="utf-8")
    return labels


def test_sizes_are_foreseen(tmp_path: Path) -> None:
    charset = tmp_path / "charset.txt"
    charset.write_text("".join(chr(0x4E00 + n) for n in range(2000)), encoding="utf-8")
    chain: tuple[Stage, ...] = (
        Initialise(charset=charset, backbone_width=0.25, width=64, ffn_width=128, heads=4),
        SwapBackbone(steps=0, backbone_width=0.5, width=64, ffn_width=256),
        MakeCodebook(method=Method.COLUMNS, code_length=128),
        ReplaceHead(embedding=False),
        ReplaceHead(classifier=False),
        SlimDecoder(share_layers=False),
        SlimDecoder(remove_ffn=False),
        Half(),
        Int8(),
        Regrow(data=picture(tmp_path), workers=0),
    )
    source, known = None, None
    for number, stage in enumerate(chain):
        source = run_stage(stage, source, tmp_path / str(number), StageOptions())
        known = after(stage, known)
        assert isinstance(known, Forecast)
        actual = source.file.stat().st_size
        assert bytes_of(known) == pytest.approx(actual, rel=0.02, abs=40_000), stage.name


RECIPE = """
schema_version = 1
name = "tiny"

[[stages]]
stage = "initialise"
charset = "charset.txt"
backbone_width = 0.25
width = 32
ffn_width = 64
heads = 4

[[stages]]
stage = "codebook"
method = "columns"
code_length = 64

[[stages]]
stage = "replace-head"
"""


def test_codes_that_lie_beside_a_finished_model_are_foreseen(tmp_path: Path) -> None:
    (tmp_path / "charset.txt").write_text("abcdefgh", encoding="utf-8")
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")
    recipe = load_recipe(path, STAGES)
    whole = run_recipe(recipe, None, tmp_path / "run", RunOptions())
    actual = whole.model.stat().st_size
    shutil.rmtree(tmp_path / "run" / "03-replace-head")
    last = make_plan(recipe, None, tmp_path / "run").stages[-1]
    assert not last.cached
    assert last.bytes == pytest.approx(actual, rel=0.02, abs=40_000)


def test_what_no_rule_knows_is_unknown() -> None:
    assert after(FakeSlim(), None) is None
    assert after(ReplaceHead(), None) is None


@pytest.mark.parametrize(
    "stage",
    [Factorise(bottleneck=257), SwapBackbone(width=100), Initialise(charset=Path(), heads=7)],
)
def test_what_no_recogniser_can_be_is_the_users_mistake(tmp_path: Path, stage: Stage) -> None:
    if isinstance(stage, Initialise):
        (tmp_path / "charset.txt").write_text("ab")
        stage = dataclasses.replace(stage, charset=tmp_path / "charset.txt")
    with pytest.raises(UsageError, match="must be"):
        after(stage, Forecast(TransformerConfig(), 100, 0))
