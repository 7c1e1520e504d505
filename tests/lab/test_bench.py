"""The benchmark at tiny sizes: what it measures, what it says, and what it does without peers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hcompress.cli import main
from hcompress.lab.bench import growth, heads, image, models, run, search, show, timing
from hcompress.progress import NoProgress
from hcompress.runtime import OnnxReader
from hcompress.spec.config import TransformerConfig
from hcompress.training.options import Shape
from tests.special import EOS

BITS = 256
TINY = timing.Effort(0.0, 2, 2)
SHAPE = TransformerConfig(backbone_width=0.1, width=16, ffn_width=16, heads=2, depth=2, max_steps=6)
CHARACTERS = tuple(map(chr, range(0x4E00, 0x4E00 + 60)))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> models.Exports:
    folder = tmp_path_factory.mktemp("models")
    return models.build(folder, CHARACTERS, SHAPE, NoProgress(), code_length=BITS)


@pytest.fixture
def charset(tmp_path: Path) -> Path:
    file = tmp_path / "charset.txt"
    file.write_text("".join(CHARACTERS), encoding="utf-8")
    return file


def plan(charset: Path) -> run.Plan:
    return run.Plan(
        effort=TINY, counts=(1, 3), widths=(16,), searched=(1, 4), batches=(1, 2),
        characters=(20, 90), loads=1, code_length=BITS, charset=charset, shape=SHAPE,
    )  # fmt: skip


class _Clock:
    """Each call takes what its contender says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def taking(self, seconds: float) -> Any:
        def answer(_query: object) -> None:
            self.now += seconds

        return answer


def test_rounds_are_pairs_on_the_same_fresh_query() -> None:
    seen: dict[str, list[int]] = {"a": [], "b": []}
    numbers: Iterator[int] = iter(range(100))
    effort = timing.Effort(0.0, 3, 3)
    times = timing.interleave(
        {name: seen[name].append for name in seen}, lambda: next(numbers), effort
    )
    assert seen["a"] == seen["b"] == [0, 1, 2, 3, 4, 5]  # untimed, timed, ...
    assert {name: len(found) for name, found in times.items()} == {"a": 3, "b": 3}


def test_times_are_the_contenders_own() -> None:
    clock = _Clock()
    contenders = {"slow": clock.taking(4.0), "fast": clock.taking(0.5)}
    times = timing.interleave(contenders, lambda: None, timing.Effort(0.0, 4, 9), clock)
    assert times == {"slow": [4.0] * 4, "fast": [0.5] * 4}


def test_rounds_stop_at_the_most() -> None:
    times = timing.interleave({"a": print}, str, timing.Effort(1e9, 1, 5))
    assert len(times["a"]) == 5


def test_figures_are_medians_minima_and_ratios_of_pairs() -> None:
    times = {"softmax": [4.0, 9.0, 8.0], "native": [2.0, 3.0, 1.0]}
    names = ("softmax", "native", "portable")
    pairs = (("softmax", "native"), ("softmax", "portable"))
    assert timing.figures(times, names, "us", 10.0, pairs) == {
        "softmax_us": 80.0,
        "native_us": 20.0,
        "portable_us": None,
        "minima": {"softmax": 40.0, "native": 10.0},
        "ratios": {"softmax/native": 3.0},  # of 2, 3, 8
        "rounds": 3,
    }


def test_the_three_heads_answer_alike() -> None:
    shape = heads.Shape(300, 16, 64)
    features = heads.fresh_features(5, 16)()
    ids, chances = heads.native_head(shape)(features)
    plain, plain_chances = heads.portable_head(shape)(features)
    assert (ids == plain).all()
    np.testing.assert_allclose(chances, plain_chances, rtol=1e-4)
    assert [a.shape for a in heads.softmax_head(shape)(features)] == [(5, 5), (5, 5)]


def test_head_rows() -> None:
    rows = heads.head_rows(heads.Shape(100, 16, 64), (1, 4), TINY)
    assert [(row["n"], row["d"]) for row in rows] == [(1, 16), (4, 16)]
    assert all(row[f"{name}_us"] > 0 for row in rows for name in heads.NAMES)
    assert set(rows[0]["ratios"]) == {"softmax/native", "softmax/portable"}


def test_queries_are_fresh_codes_with_bits_flipped() -> None:
    codes = search.random_codes(50, 512)
    fresh = search.fresh_queries(codes, 8)
    one, two = fresh(), fresh()
    assert one.shape == (8, 64)
    assert (one != two).any()
    distances = np.bitwise_count(one[:, None] ^ codes[None]).sum(axis=2).min(axis=1)
    assert 0 < distances.mean() < 100


def test_without_faiss_its_figure_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "has_faiss", lambda: False)
    row = search.search_row(search.random_codes(100, 64), 3, TINY)
    assert row["faiss_us"] is None
    assert row["native_us"] > 0
    assert any(line.startswith("faiss") for line in run.left_out())
    assert "–" in show.search_rows([row])[1]


def test_a_peer_that_cannot_be_imported_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("faiss", "rapidocr"):
        monkeypatch.setitem(sys.modules, name, None)
    assert not search.has_faiss()
    assert not image.has_rapidocr()
    assert {line.split(":")[0] for line in run.left_out()} >= {"faiss", "RapidOCR"}


def test_without_the_extension_there_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    from hcompress.search import backend

    monkeypatch.setattr(backend, "native", None)
    monkeypatch.setattr(backend, "instruction_sets", lambda: (backend.NUMPY,))
    row = search.search_row(search.random_codes(100, 64), 3, TINY)
    assert row["limit_us"] is None
    assert row["native_us"] > 0
    assert any("numpy searches" in line for line in run.left_out())


def test_an_endless_model_takes_every_step(built: models.Exports, tmp_path: Path) -> None:
    for model in (built.softmax, built.hamming):
        endless = models.endless(model, tmp_path / model.name)
        assert endless.stat().st_size == model.stat().st_size
        reader = OnnxReader(endless)
        ids, _ = reader.decode(image.fresh_images(20, SHAPE.preprocessing)())
        assert ids.shape[1] == SHAPE.max_steps
        assert (ids[:, :, 0] != EOS).all()


def test_the_softmax_is_the_hamming_models_teacher(built: models.Exports) -> None:
    softmax, hamming = OnnxReader(built.softmax), OnnxReader(built.hamming)
    assert softmax.vocabulary == hamming.vocabulary
    assert not softmax.stepwise
    assert hamming.stepwise
    assert softmax.config.ffn
    assert not hamming.config.ffn


def test_bytes_worked_out_are_those_of_a_real_file(built: models.Exports, tmp_path: Path) -> None:
    few = growth.charset_of(25, CHARACTERS)
    real = models.build(tmp_path, few, SHAPE, NoProgress(), code_length=BITS)
    for name in ("softmax", "hamming"):
        weight = growth.weight_of(getattr(built, name), CHARACTERS)
        size = getattr(real, name).stat().st_size
        # Nothing but the lengths that tensors and texts are written with may differ.
        assert abs(weight.bytes(few) - size) < 40
    assert models.row_bytes(built.hamming, len(CHARACTERS) + 3) == BITS / 8
    assert models.row_bytes(built.softmax, len(CHARACTERS) + 3) == 2 * 2 * 16


def test_a_charset_is_made_longer_with_new_characters() -> None:
    charset = growth.charset_of(100, CHARACTERS)
    assert charset[:60] == CHARACTERS
    assert len(set(charset)) == 100


def test_the_whole_result(charset: Path) -> None:
    result = run.run_bench(plan(charset), NoProgress())
    assert json.loads(json.dumps(result)) == result
    assert {"machine", "versions", "head", "search", "image", "load", "growth"} <= set(result)
    assert result["machine"]["threads"] == 1
    assert len(result["head"]) == 2
    assert {"n", "d", "softmax_us", "native_us", "portable_us"} <= set(result["head"][0])
    assert {"n", "native_us", "faiss_us", "limit_us"} <= set(result["search"][0])
    assert [row["batch"] for row in result["image"]] == [1, 2]
    assert {"softmax_ms", "hamming_ms"} <= set(result["image"][0])
    assert all(row["steps"] == SHAPE.max_steps for row in result["image"])
    assert result["load"]["hamming_ms"] > 0
    assert result["load"]["hamming_mib"] > 0
    assert [row["characters"] for row in result["growth"]] == [20, 90]
    assert abs(result["growth_check"]["hamming_off"]) < 40
    for _, rows in show.tables(result):
        assert len({len(row) for row in rows}) == 1


def test_the_command_takes_a_model_and_writes_a_figure(
    built: models.Exports,
    tmp_path: Path,
    charset: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(run, "QUICK_PLAN", plan(charset))
    for name in ("faiss", "rapidocr"):
        monkeypatch.setitem(sys.modules, name, None)
    out = tmp_path / "out"
    code = main(["bench", str(built.hamming), "--quick", "--json", "--out", str(out)])
    said = capsys.readouterr()
    assert code == 0, said.err
    result = json.loads(said.out)
    assert "faiss" in said.err
    assert result["model"] == str(built.hamming)
    assert result["search"][0]["faiss_us"] is None
    assert result["image"][0]["rapidocr_ms"] is None
    assert len(result["left_out"]) >= 2
    assert json.loads((out / "bench.json").read_text(encoding="utf-8")) == result
    assert (out / "growth.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_a_softmax_model_is_refused(
    built: models.Exports, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(built.softmax)]) == 2
    assert "its classifier is a softmax" in capsys.readouterr().err


def test_out_must_be_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert main(["bench", "--out", str(tmp_path / "file")]) == 2
    assert "not a folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["bench.json", "growth.svg"])
def test_out_is_never_written_over(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    def measured(*_: object) -> None:
        raise AssertionError("measured before it was refused")

    monkeypatch.setattr(run, "run_bench", measured)
    (tmp_path / name).write_text("before")
    assert main(["bench", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path / name}: exists")
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "before"


def test_the_twin_has_the_shape_it_is_compared_with() -> None:
    assert Shape.like(SHAPE).config() == SHAPE
    assert Shape.like(TransformerConfig()).config() == TransformerConfig()


def test_a_checkpoint_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(tmp_path / "none.onnx")]) == 2
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert main(["bench", str(tmp_path / "model.safetensors")]) == 3
    capsys.readouterr()
