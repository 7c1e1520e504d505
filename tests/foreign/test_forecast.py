"""A dry run's sizes of foreign files against what the stages then write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper

from hcompress.artifacts.source import open_source
from hcompress.cli import main
from hcompress.compress.body_bytes import body_bytes
from hcompress.errors import UsageError
from hcompress.foreign.forecast import forecast_of
from hcompress.formats.open import ModelFile
from hcompress.heads.encodings.encode import Evidence, Teacher, encoded
from hcompress.heads.encodings.menu import menu, stored_bytes
from hcompress.runs.forecast import AnyForecast, after, bytes_of
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.stages.base import Stage
from hcompress.stages.distil_body import DistilBody
from hcompress.stages.drop_in import DropIn
from hcompress.stages.encode_head import EncodeHead
from hcompress.stages.half import Half
from hcompress.stages.import_model import ImportModel
from hcompress.stages.quantise import Quantise
from tests.foreign.builders import BIAS, WEIGHT, features, model, recogniser, saved, striped, tensor

WIDE = 256


def wide() -> ModelProto:
    """As `deep`, with a convolution of 65,536 numbers: not too small for few bits."""
    rng = np.random.Generator(np.random.PCG64(3))
    mixed = rng.standard_normal((WIDE, 3)).astype(np.float32)
    back = np.linalg.pinv(mixed).T.astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "c"], ["v"], kernel_shape=[1, 1]),
        helper.make_node("Conv", ["v", "e"], ["u"], kernel_shape=[1, 1]),
        *features(),
        helper.make_node("MatMul", ["h", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["a"]),
        helper.make_node("Softmax", ["a"], ["y"], axis=2),
    ]
    nodes[2].input[0] = "u"
    held = [
        tensor("c", mixed[:, :, None, None]), tensor("e", np.eye(WIDE)[:, :, None, None]),
        tensor("w", back @ WEIGHT), tensor("b", BIAS),
    ]  # fmt: skip
    return model(nodes, held, metadata={"character": "r\ng\nb"})


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from hcompress.foreign import check

    monkeypatch.setattr(check, "check_reading", lambda *_: check.Checked(0, 0, 0.0, ""))
    return saved(wide(), tmp_path)


def test_sizes_are_foreseen_from_the_vendors_file_and_from_each_of_ours(
    source: Path, tmp_path: Path
) -> None:
    data = striped(tmp_path, 12)
    chain: tuple[Stage, ...] = (
        ImportModel(),
        EncodeHead(encoding="int8", data=data, images=12),
        Quantise(bits=5, images=0),
        DropIn(data=data, images=2),
    )
    made = open_source(source)
    known: AnyForecast | None = forecast_of(made.opened)
    for number, stage in enumerate(chain):
        from_here = after(stage, forecast_of(made.opened))
        made = run_stage(stage, made, tmp_path / str(number), StageOptions())
        known = after(stage, known)
        for found in (known, from_here):
            assert found is not None
            actual = made.file.stat().st_size
            assert bytes_of(found) == pytest.approx(actual, rel=0.02, abs=5_000), stage.name


TABLE = 2 * 2**7
"""Bytes of a table of levels at most: which levels suit shows on the weights alone."""
CLASSES = 600
"""And as many bytes again, if a bias or a scale that takes one byte mostly takes two."""


@pytest.mark.parametrize("width", [16, 24])
def test_every_encodings_bytes_are_foreseen(width: int) -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    weight = rng.standard_normal((CLASSES, width)).astype(np.float32)
    bias = rng.standard_normal(CLASSES).astype(np.float32)
    teacher = Teacher(weight, bias, (0,), np.arange(0))
    evidence = Evidence.of(rng.standard_normal((64, width)).astype(np.float32), teacher)
    for one in menu(width):
        made = encoded(teacher, evidence, one.fit)
        foreseen = stored_bytes(one.name, CLASSES, width)
        assert foreseen == pytest.approx(made.bytes, rel=0.01, abs=100 + TABLE + CLASSES)


def test_bodies_bytes_are_foreseen() -> None:
    assert body_bytes([(64, 128, 3, 3)], 4, 64) == 64 * 128 * 9 // 2 + 64 * (18 + 2)
    assert body_bytes([(256, 64)], 3.5, 64) == round(256 * 64 * 3.5 / 8) + 64 * (4 + 2)
    assert body_bytes([(512, 1, 5, 5)], 4, 32) == 512 * 25 + 2 * 512  # depthwise: 8 bits
    assert body_bytes([(16, 16)], 4, 16) == 256 + 2 * 16  # small
    assert body_bytes([(96,), (1, 96, 1, 1), (8,), ()], 4, 64) == 2 * 96 + 2 * 96 + 4 * 8 + 4


def test_what_is_not_told_is_unknown(source: Path, tmp_path: Path) -> None:
    known = forecast_of(ModelFile(source))
    assert known is not None
    assert after(EncodeHead(), known) is None  # auto: on lines alone it shows which
    assert after(Half(), known) is None  # no stage for it
    with pytest.raises(UsageError, match="products-7"):
        after(EncodeHead(encoding="products-7"), known)
    small = after(EncodeHead(encoding="int4"), known)
    assert small is not None
    assert after(EncodeHead(encoding="int4"), small) is None
    mean, whole = (after(DistilBody(bits=4, mean_bits=bits), known) for bits in (3.5, None))
    assert mean is not None
    assert whole is not None
    assert bytes_of(mean) < bytes_of(whole) < bytes_of(known)
    damaged = recogniser()
    del damaged.graph.node[-3].input[1]
    assert forecast_of(ModelFile(saved(damaged, tmp_path, "damaged.onnx"))) is None


def test_a_dry_run_says_so(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "tiny.toml"
    stages = ('stage = "import"', 'stage = "encode-head"\nencoding = "int8"', 'stage = "quantise"')
    recipe.write_text(
        'schema_version = 1\nname = "tiny"\n' + "".join(f"[[stages]]\n{one}\n" for one in stages)
    )
    words = ["shrink", str(source), "--recipe", str(recipe), "--out", str(tmp_path / "run")]
    assert main([*words, "--dry-run", "--json"]) == 0
    sizes = [stage["bytes"] for stage in json.loads(capsys.readouterr().out)["stages"]]
    assert sizes[0] > sizes[1] > 2 * sizes[2] > 0
