"""`factorise`: two thin matrices for a large one, from the best start to the files made of it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hcompress import sizes
from hcompress.charset import UnknownCharacter
from hcompress.checkpoints.checkpoint import (
    MODEL_FILE,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from hcompress.cli import main
from hcompress.codes.options import Method
from hcompress.compress import replace_head as surgery
from hcompress.compress.factorise import (
    RIDGE,
    Moment,
    truncated,
    with_factorised_classifier,
    with_factorised_embedding,
)
from hcompress.data.feed import drawn_images
from hcompress.data.source import open_data
from hcompress.errors import InputRefused, UsageError
from hcompress.export.onnx import export
from hcompress.export.parity import decode_torch
from hcompress.formats.open import ModelFile
from hcompress.heads.hamming.codebook import Codebook
from hcompress.progress import NoProgress
from hcompress.recognisers.observe import observe
from hcompress.recognisers.transformer.model import Recogniser
from hcompress.runs.forecast import after, bytes_of, forecast_of
from hcompress.runs.recipe import load_recipe
from hcompress.runtime.onnx_reader import OnnxReader
from hcompress.runtime.serving import ServingPair
from hcompress.spec.config import TransformerConfig
from hcompress.spec.exported import ENCODER_FILE, STEP_FILE
from hcompress.spec.flat import config_from_flat, config_to_flat
from hcompress.spec.forecast import Forecast
from hcompress.spec.header import Provenance
from hcompress.spec.heads import Hamming, Learned, Softmax
from hcompress.stages import STAGES
from hcompress.stages.base import Env, Stage
from hcompress.stages.codebook import MakeCodebook
from hcompress.stages.extend import Extend
from hcompress.stages.factorise import Factorise
from hcompress.stages.finetune import Finetune
from hcompress.stages.half import Half
from hcompress.stages.int8 import Int8
from hcompress.stages.slim_decoder import SlimDecoder
from hcompress.stages.swap_backbone import SwapBackbone
from hcompress.strict.digest import file_digest
from hcompress.training.finetune import finetune, load_teacher
from hcompress.training.options import Workplace
from tests import ROOT
from tests.builders import CONFIGS, SMALL, pictures, recogniser

HERE = Provenance("factorise", "cd" * 32)
RECIPES = ROOT / "recipes"


def env(folder: Path) -> Env:
    return Env(7, 1, HERE, NoProgress(), folder)


def saved(folder: Path, made: Checkpoint) -> Path:
    folder.mkdir(exist_ok=True)
    save_checkpoint(folder / MODEL_FILE, made.model, made.vocabulary, HERE)
    return folder


def ran(stage: Stage, source: Path, out: Path) -> Checkpoint:
    out.mkdir()
    stage.run(source, out, env(out))
    return load_checkpoint(out)


def lines(folder: Path, made: Checkpoint, texts: list[str]) -> Path:
    """A label file with a picture for every text."""
    folder.mkdir(exist_ok=True)
    for number, picture in enumerate(pictures(len(texts), made.config)):
        Image.fromarray(picture).save(folder / f"{number}.png")
    path = folder / "lines.txt"
    labels = [f"{number}.png\t{text}\n" for number, text in enumerate(texts)]
    path.write_text("".join(labels), encoding="utf-8")
    return path


def texts_of(made: Checkpoint, count: int) -> list[str]:
    rng, letters = np.random.default_rng(5), made.vocabulary.characters
    return ["".join(rng.choice(list(letters), rng.integers(1, 6))) for _ in range(count)]


def random_matrix(seed: int, shape: tuple[int, int]) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, np.float32))


sizes_ = st.tuples(st.integers(1, 40), st.integers(1, 12), st.integers(1, 12))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), sizes_)
def test_the_start_is_the_best_of_its_rank(seed: int, size: tuple[int, int, int]) -> None:
    rows, width, bottleneck = size[0], size[1], min(size[1:])
    matrix = random_matrix(seed, (rows, width))
    table, projection = truncated(matrix, bottleneck)
    assert table.shape == (rows, bottleneck)
    # Eckart and Young: no product of this rank is nearer than the singular values left out.
    left = np.linalg.svd(matrix.double().numpy(), compute_uv=False)[bottleneck:]
    error = float((matrix.double() - table.double() @ projection.double()).norm())
    assert error == pytest.approx(float(np.linalg.norm(left)), rel=1e-4, abs=1e-4)
    torch.testing.assert_close(projection @ projection.T, torch.eye(bottleneck))
    assert bool((projection.gather(1, projection.abs().argmax(1, keepdim=True)) > 0).all())
    again = truncated(matrix, bottleneck)
    assert torch.equal(again[0], table)
    assert torch.equal(again[1], projection)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), sizes_)
def test_with_features_their_products_move_least(seed: int, size: tuple[int, int, int]) -> None:
    rows, width, bottleneck = size[0], size[1], min(size[1:])
    matrix = random_matrix(seed, (rows, width))
    features = random_matrix(seed + 1, (50, width)) * torch.logspace(0, -1, width)
    counted = Moment.none(width)
    for part in features.split(20):
        counted.add(part, torch.zeros(len(part)))
    moment = counted.mean()
    torch.testing.assert_close(moment, features.double().T @ features.double() / 50)
    table, projection = truncated(matrix, bottleneck, moment)
    torch.testing.assert_close(projection @ projection.T, torch.eye(bottleneck))
    ridge = RIDGE * moment.diagonal().mean() * torch.eye(width, dtype=torch.float64)
    root = torch.linalg.cholesky(moment + ridge).numpy()
    left = np.linalg.svd(matrix.double().numpy() @ root, compute_uv=False)[bottleneck:]
    moved = (matrix.double() - table.double() @ projection.double()).numpy() @ root
    assert np.linalg.norm(moved) == pytest.approx(np.linalg.norm(left), rel=1e-3, abs=1e-4)


def test_a_bottleneck_of_all_features_changes_no_answer(tmp_path: Path) -> None:
    made = recogniser(SMALL)
    images = torch.from_numpy(pictures(6, SMALL))
    expected = made.model.read(images)
    data = lines(tmp_path / "lines", made, texts_of(made, 4))
    source = saved(tmp_path / "before", made)
    for number, stage in enumerate(
        (Factorise(bottleneck=SMALL.width), Factorise(bottleneck=SMALL.width, data=data, workers=0))
    ):
        found = ran(stage, source, tmp_path / str(number)).model.read(images)
        assert found.ids.tolist() == expected.ids.tolist()
        torch.testing.assert_close(found.probabilities, expected.probabilities, atol=1e-4, rtol=0)


class Kept:
    """All features that were observed."""

    def __init__(self) -> None:
        self.features: list[torch.Tensor] = []

    def add(self, features: torch.Tensor, ids: torch.Tensor) -> None:
        assert len(features) == len(ids)
        self.features.append(features)


def test_lines_decide_what_the_softmax_keeps(tmp_path: Path) -> None:
    made = recogniser(SMALL)
    texts = texts_of(made, 30)
    data = lines(tmp_path / "lines", made, [*texts, "never seen"])
    source = saved(tmp_path / "before", made)
    feed, kept = drawn_images(open_data(data), 31, 64, SMALL.preprocessing), Kept()
    skip = UnknownCharacter.SKIP_LINE
    observe(made.model, made.vocabulary, feed, kept, skip, "lines", NoProgress())
    features = torch.cat(kept.features)
    assert len(features) == sum(len(text) + 1 for text in texts)
    wanted = made.model.classifier(features).detach()

    def moved(stage: Factorise, name: str) -> float:
        found = ran(stage, source, tmp_path / name).model.classifier(features)
        return float((found.detach() - wanted).norm())

    plain = Factorise(bottleneck=6, embedding=False)
    assert moved(replace(plain, data=data, workers=0), "data") < 0.9 * moved(plain, "plain")
    unknown = lines(tmp_path / "unknown", made, ["xyz"])
    with pytest.raises(InputRefused, match="no line whose characters are all known"):
        replace(plain, data=unknown, workers=0).run(source, tmp_path, env(tmp_path))
    with pytest.raises(UsageError, match="classifier is off"):
        Factorise(classifier=False, data=data).run(source, tmp_path, env(tmp_path))


@pytest.mark.parametrize("parts", [(True, True), (True, False), (False, True)])
def test_the_file_holds_two_thin_matrices_and_not_a_byte_else(
    parts: tuple[bool, bool], tmp_path: Path
) -> None:
    made = recogniser(SMALL, characters=200)
    source = saved(tmp_path / "before", made)
    stage = Factorise(bottleneck=5, classifier=parts[0], embedding=parts[1])
    after_ = ran(stage, source, tmp_path / "after")
    whole = 4 * 203 * SMALL.width
    thin = 4 * 5 * (203 + SMALL.width)
    before = sizes.breakdown(source / MODEL_FILE)
    found = sizes.breakdown(tmp_path / "after" / MODEL_FILE)
    assert sum(part.bytes for part in found.components) == found.bytes
    for name, there in zip(("classifier", "embedding"), parts, strict=True):
        assert before.component(name).bytes == whole
        assert found.component(name).bytes == (thin if there else whole)
    for name in ("backbone", "decoder attention", "decoder FFN"):
        assert found.component(name).bytes == before.component(name).bytes
    assert found.component("other").bytes == 0
    named = ["Factorised Softmax (p = 5)", "Factorised Embedding (p = 5)"]
    expected = [name for name, there in zip(named, parts, strict=True) if there]
    assert sizes.techniques_of(tmp_path / "after" / MODEL_FILE) == ["MobileNetV2", *expected]
    again = ran(stage, source, tmp_path / "again")
    assert again.config == after_.config
    first, second = (tmp_path / name / MODEL_FILE for name in ("after", "again"))
    assert first.read_bytes() == second.read_bytes()


def test_an_engines_sidecar_names_the_bottleneck(tmp_path: Path) -> None:
    plan = tmp_path / "model.plan"
    plan.write_bytes(b"ftrt")
    known = ["MobileNetV2", "Factorised Softmax (p = 64)"]
    said = [*known, "Factorised Softmax (p = 0)", "Factorised X (p = 4)", 5]
    sidecar = {"plan": {"sha256": file_digest(plan)}, "techniques": said}
    plan.with_name("model.plan.json").write_text(json.dumps(sidecar))
    assert sizes.techniques_of(plan) == known


def test_configurations_say_a_bottleneck_only_where_there_is_one() -> None:
    plain = config_to_flat(TransformerConfig())
    assert plain is not None
    assert not any("bottleneck" in key for key in plain)
    config = CONFIGS["factorised"]
    told = config_to_flat(config)
    assert told is not None
    assert told["classifier_bottleneck"] == 12
    assert config_from_flat(told) == config
    for change in (
        {"classifier_bottleneck": 0},
        {"classifier_bottleneck": 257},
        {"embedding_bottleneck": -1},
        {"embedding_bottleneck": 10**12},
        {"embedding_bottleneck": "8"},
        {"embedding_bottleneck": True},
        {"classifier_bottleneck": 8, "classifier": "hamming", "code_length": 64},
        {"embedding_bottleneck": 8, "embedding": "hamming", "code_length": 64},
    ):
        with pytest.raises(InputRefused, match="bottleneck"):
            config_from_flat(plain | change)


def codebook_for(model: Recogniser) -> Codebook:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (model.vocabulary, 8), dtype=np.uint8)
    return Codebook(codes, rng.standard_normal((model.config.width, 64), dtype=np.float32))


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    made = recogniser(CONFIGS["factorised"])
    model, source = made.model, saved(tmp_path / "factorised", made)
    hamming = recogniser(CONFIGS["hamming-classifier"]).model
    half_hamming = saved(tmp_path / "half", recogniser(CONFIGS["factorised-embedding"]))
    data = lines(tmp_path / "lines", made, texts_of(made, 2))
    stages = {
        "nothing to do": Factorise(classifier=False, embedding=False),
        "the classifier is factorised already": Factorise(bottleneck=4),
        "embedding is factorised already": Factorise(bottleneck=4, classifier=False),
        "codes are made from a whole softmax": MakeCodebook(method=Method.COLUMNS),
        "the classifier is a softmax": Extend(data=data),
        "comes before factorise": SwapBackbone(steps=0),
    }
    changes: dict[str, Callable[[], Any]] = {
        "is a Hamming one": lambda: with_factorised_classifier(hamming, 4),
        "must be 1 to 32": lambda: with_factorised_embedding(hamming, 33),
        "take the recogniser from before": lambda: surgery.with_hamming_classifier(
            model, codebook_for(model)
        ),
        "codes replace a whole one": lambda: surgery.with_hamming_embedding(
            model, codebook_for(model).codes
        ),
        "the embedding is factorised: a new": lambda: Extend(data=data).run(
            half_hamming, tmp_path, env(tmp_path)
        ),
    }
    changes |= {
        message: lambda stage=stage: stage.run(source, tmp_path, env(tmp_path))
        for message, stage in stages.items()
    }
    for message, change in changes.items():
        with pytest.raises(UsageError, match=message):
            change()


@pytest.mark.parametrize("bottleneck", [0, 33, 5000])
def test_a_bad_bottleneck_exits_2(
    bottleneck: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = saved(tmp_path / "before", recogniser(SMALL)), tmp_path / "out"
    words = ["factorise", source / MODEL_FILE, "--bottleneck", bottleneck, "--out", out]
    assert main([str(word) for word in words], STAGES) == 2
    assert "must be 1 to" in capsys.readouterr().err
    recipe = tmp_path / "recipe.toml"
    stage = f'[[stages]]\nstage = "factorise"\nbottleneck = {bottleneck}\n'
    recipe.write_text(f'schema_version = 1\nname = "thin"\n{stage}')
    words = ["shrink", source / MODEL_FILE, "--recipe", recipe, "--out", out, "--dry-run"]
    assert main([str(word) for word in words], STAGES) == 2
    assert "must be" in capsys.readouterr().err
    assert not out.exists()


def test_forecasts_follow_the_files(tmp_path: Path) -> None:
    made = recogniser(replace(SMALL, width=64), characters=3000)
    source = saved(tmp_path / "0", made)
    known = forecast_of(ModelFile(source / MODEL_FILE))
    chain: tuple[Stage, ...] = (
        Factorise(bottleneck=8, embedding=False),
        Factorise(bottleneck=16, classifier=False),
        SlimDecoder(),
        Half(),
    )
    for number, stage in enumerate(chain, 1):
        found = ran(stage, source, tmp_path / str(number))
        source, known = tmp_path / str(number), after(stage, known)
        assert isinstance(known, Forecast)
        assert known.config == found.config
        actual = (source / MODEL_FILE).stat().st_size
        assert bytes_of(known) == pytest.approx(actual, rel=0.02, abs=20_000), stage.name
    assert after(Factorise(), None) is None


def test_fine_tuning_learns_both_matrices(tmp_path: Path) -> None:
    teacher = recogniser(SMALL)
    source = saved(tmp_path / "teacher", teacher)
    data = lines(tmp_path / "lines", teacher, texts_of(teacher, 16))
    student = ran(Factorise(bottleneck=6), source, tmp_path / "factorised")
    before = {name: value.clone() for name, value in student.model.state_dict().items()}
    for number, more in enumerate(({"lines": 16}, {"distil_layers": 0.0})):
        stage = Finetune(data=data, steps=6, batch=8, workers=0, matrix_rate=1e-3, **more)
        scratch = tmp_path / f"scratch{number}"
        scratch.mkdir()
        told = load_teacher(stage, student, source / MODEL_FILE)
        workplace = Workplace(7, 1, NoProgress(), scratch)
        model, figures = finetune(stage, student, told, open_data(data), None, workplace)
        assert figures["steps"] == 6
        assert (model.config.head, model.config.inputs) == (Softmax(6), Learned(6))
        for name in (n for n in before if n.startswith(("classifier.", "embedding."))):
            assert not torch.equal(model.state_dict()[name], before[name]), name


def test_texts_are_the_same_in_every_file_after_every_stage(tmp_path: Path) -> None:
    made = recogniser(SMALL)
    images = pictures(6, SMALL)
    source = saved(tmp_path / "before", made)
    names = ["factorised", "slim", "half", "int8"]
    for name, stage in zip(
        names, (Factorise(bottleneck=16), SlimDecoder(), Half(), Int8()), strict=True
    ):
        found = ran(stage, source, tmp_path / name)
        source = tmp_path / name
        files = export(found, HERE, images).files
        expected = decode_torch(found.model, images).ids[:, :, 0]
        (tmp_path / "model.onnx").write_bytes(files["model.onnx"])
        for steps in (True, False):
            read = OnnxReader(tmp_path / "model.onnx", steps=steps).decode(images)[0][:, :, 0]
            np.testing.assert_array_equal(read, expected[:, : read.shape[1]])
        if name in ("factorised", "slim"):  # FP16's serving form is held against torch by export
            served = ServingPair(files[ENCODER_FILE], files[STEP_FILE]).decode(images)[0][:, :, 0]
            np.testing.assert_array_equal(served, expected[:, : served.shape[1]])
        grouped = sizes.breakdown(tmp_path / "model.onnx")
        for part in ("classifier", "embedding"):
            assert grouped.component(part).params >= 16 * (len(made.vocabulary) + SMALL.width)
    assert found.packed.keys() >= {"classifier.columns.weight", "embedding.projection.weight"}


@pytest.mark.parametrize("bottleneck", [16, 32, 64, 128])
def test_recipes_differ_from_the_main_one_by_the_head_alone(bottleneck: int) -> None:
    path = RECIPES / f"factorised-{bottleneck}.toml"
    load_recipe(path, STAGES)
    mine, main_one = (
        tomllib.loads(p.read_text(encoding="utf-8")) for p in (path, RECIPES / "hamming-ocr.toml")
    )
    assert [entry["bottleneck"] for entry in mine["stages"][:2]] == [bottleneck] * 2
    slim, finetune = main_one["stages"][3:5], main_one["stages"][5]
    finetune.pop("fit_lines")  # which only codes have
    assert mine["stages"][2:5] == [*slim, finetune]
    assert mine["stages"][5:] == main_one["stages"][6:]
    assert (mine["seed"], mine["threads"]) == (main_one["seed"], main_one["threads"])
    codebook = main_one["stages"][0]
    assert mine["stages"][0]["data"] == codebook["data"], "as many lines as the codes had"
    assert mine["stages"][0]["images"] == codebook["images"]


def test_a_hybrid_of_codes_and_a_factorised_embedding_reads() -> None:
    made = recogniser(CONFIGS["factorised-embedding"])
    assert (made.config.head, made.config.inputs) == (Hamming(64), Learned(8))
    read = made.model.read(torch.from_numpy(pictures(6, made.config))).ids[:, :, 0]
    assert len({tuple(line) for line in read.tolist()}) > 1
