"""A dry run's sizes against the files that the stages then write."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hcompress.artifacts.source import open_source
from hcompress.checkpoints.checkpoint import save_checkpoint
from hcompress.codes.options import Method
from hcompress.errors import EnvironmentFailed, InputRefused, UsageError
from hcompress.runs.forecast import after, bytes_of, forecast_of
from hcompress.runs.plan import make_plan
from hcompress.runs.recipe import load_recipe
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.runs.shrink import RunOptions, run_recipe
from hcompress.spec.config import BatchNorm, TransformerConfig, Weights
from hcompress.spec.forecast import Forecast
from hcompress.spec.header import Provenance
from hcompress.spec.heads import Hamming, HammingInputs
from hcompress.stages import STAGES
from hcompress.stages.base import Stage
from hcompress.stages.codebook import MakeCodebook
from hcompress.stages.extend import Extend
from hcompress.stages.factorise import Factorise
from hcompress.stages.half import Half
from hcompress.stages.initialise import Initialise
from hcompress.stages.int8 import Int8
from hcompress.stages.recode import Recode
from hcompress.stages.regrow import Regrow
from hcompress.stages.replace_head import ReplaceHead
from hcompress.stages.slim_decoder import SlimDecoder
from hcompress.stages.swap_backbone import SwapBackbone
from tests.builders import HAMMING as HAMMING_CONFIG
from tests.builders import SOFTMAX, recogniser
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


HAMMING = {"head": Hamming(64), "inputs": HammingInputs(64)}


@pytest.mark.parametrize(
    ("stage", "config", "said"),
    [
        (Half(), {"weights": Weights.FP16}, "fp16 already"),
        (Half(), {"batch_norm": BatchNorm.FOLDED}, "folded already"),
        (Int8(), {"weights": Weights.INT8, "batch_norm": BatchNorm.FOLDED}, "int8 already"),
        (SlimDecoder(), {"ffn": False}, "no feed-forward"),
        (SlimDecoder(), {"shared_layers": True}, "shared already"),
        (MakeCodebook(), HAMMING, "whole softmax"),
        (Recode(data=Path()), {}, "no codes to move"),
        (Extend(data=Path()), {}, "only a Hamming classifier"),
        (SwapBackbone(), HAMMING, "comes before replace-head"),
        (ReplaceHead(), {}, "no codebook lies beside"),
        (ReplaceHead(), HAMMING, "codes are made from a whole softmax"),
        (ReplaceHead(classifier=False), HAMMING, "codes replace a whole one"),
        (Regrow(), {}, "nothing to give back"),
        (Regrow(matrices=False, layers=False, ffn=False), HAMMING, "nothing to give back"),
        (Regrow(), {"batch_norm": BatchNorm.FOLDED}, "measured on images"),
    ],
)
def test_what_the_stage_will_refuse_is_refused_in_its_plan(
    stage: Stage, config: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        after(stage, Forecast(replace(TransformerConfig(), **config), 100, 0))


def test_a_dry_run_looks_into_the_model_before_it_looks_for_data(tmp_path: Path) -> None:
    """What the run refuses in its first stage, the dry run refuses, and the run does so at once."""
    recipe = load_recipe(_half_of(tmp_path), STAGES)
    file = save_checkpoint_of(tmp_path / "model.safetensors")
    make_plan(recipe, file, tmp_path / "run")
    whole = file.read_bytes()
    for old, new, said in (
        (b"backbone.blocks.0", b"backbone.blockz.0", "tensor backbone.block.* is"),
        (b'"hcompress"', b'"hcompresz"', "no hcompress metadata"),
    ):
        file.write_bytes(whole.replace(old, new))
        with pytest.raises(InputRefused, match=said):
            make_plan(recipe, file, tmp_path / "run")
        with pytest.raises(InputRefused, match=said):
            run_recipe(recipe, file, tmp_path / "run", RunOptions())
        assert not (tmp_path / "run").exists()
    with pytest.raises(InputRefused, match="no hcompress metadata"):
        make_plan(recipe, file, tmp_path / "run", digest_data=_without_fonts)
    with pytest.raises(InputRefused, match="no hcompress metadata"):
        run_recipe(recipe, file, tmp_path / "run", RunOptions(digest_data=_without_fonts))


def test_codes_are_left_behind_by_every_stage_but_theirs(tmp_path: Path) -> None:
    """`replace-head` finds none after it: the run would say so hours later."""
    known = Forecast(TransformerConfig(), 100, 0)
    coded = after(MakeCodebook(method=Method.COLUMNS), known)
    assert isinstance(coded, Forecast)
    assert after(ReplaceHead(), coded) is not None
    with pytest.raises(UsageError, match="no codebook lies beside"):
        after(ReplaceHead(), after(SlimDecoder(), coded))
    embedded = after(ReplaceHead(classifier=False), coded)
    assert after(ReplaceHead(embedding=False), embedded) is not None
    made = run_stage(
        MakeCodebook(method=Method.COLUMNS, code_length=64),
        open_source(save_checkpoint_of(tmp_path / "model.safetensors")),
        tmp_path / "coded",
        StageOptions(),
    )
    found = forecast_of(made.opened)
    assert isinstance(found, Forecast)
    assert found.code_length == 64
    (tmp_path / "coded" / "codebook.safetensors").write_bytes(b"damaged")
    found = forecast_of(made.opened)
    assert isinstance(found, Forecast)
    assert found.code_length is None


@pytest.mark.parametrize(
    ("stage", "option"),
    [("finetune", "data"), ("finetune", "validation"), ("codebook", "data"), ("extend", "data")],
)
def test_a_dry_run_refuses_the_labels_that_the_run_will_refuse(
    tmp_path: Path, stage: str, option: str
) -> None:
    known, strange = picture(tmp_path), tmp_path / "strange.tsv"
    strange.write_text("one.png\ta\n" * 3, encoding="utf-8")
    values = {"data": known, option: known if stage == "extend" else strange}
    file = save_checkpoint_of(
        tmp_path / "model.safetensors", HAMMING_CONFIG if stage == "extend" else SOFTMAX
    )
    more = "".join(f'{name} = "{path}"\n' for name, path in values.items())
    more += "distil = 0\n" if stage == "finetune" else ""
    path = tmp_path / "r.toml"
    path.write_text(f'schema_version = 1\nname = "x"\n[[stages]]\nstage = "{stage}"\n{more}')
    with pytest.raises((InputRefused, UsageError)) as planned:
        make_plan(load_recipe(path, STAGES), file, tmp_path / "run")
    with pytest.raises((InputRefused, UsageError)) as run:
        run_recipe(load_recipe(path, STAGES), file, tmp_path / "run", RunOptions())
    assert str(planned.value) == str(run.value)


def _without_fonts(_: Path) -> str:
    raise EnvironmentFailed("no fonts")


def _half_of(folder: Path) -> Path:
    path = folder / "half.toml"
    data = f'[evaluate]\ndata = "{picture(folder)}"\n'
    path.write_text(f'schema_version = 1\nname = "x"\n{data}[[stages]]\nstage = "half"\n')
    return path


def save_checkpoint_of(path: Path, config: TransformerConfig = SOFTMAX) -> Path:
    made = recogniser(config)
    save_checkpoint(path, made.model, made.vocabulary, Provenance("train", None))
    return path
