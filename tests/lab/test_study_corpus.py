"""A corpus: a study's data in place of its own, and one command for each packaged study."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hcompress.cli import main
from hcompress.errors import UsageError
from hcompress.lab.study.corpus import Corpus, load_corpus, packaged_corpora
from hcompress.lab.study.spec import Study, load_study, packaged_studies
from hcompress.runs.recipe import load_recipe, packaged_folder, packaged_recipes
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.stages import STAGES as REAL
from hcompress.stages.finetune import Finetune
from hcompress.stages.initialise import Initialise
from tests.cjk_fonts import use_cjk_fonts
from tests.fake_study import STAGES, write_files

CORPUS = """
schema_version = 1
name = "other"
summary = "other lines"

[data]
"lines.txt" = "more.txt"

[set]
"tune.margin" = 4.0
"codes.shade" = "dark"
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "more.txt").write_text("line.ppm\tb\n" * 3, encoding="utf-8")
    return write_files(tmp_path)


def load(folder: Path, good: str = "", bad: str = "") -> Study:
    assert good in CORPUS
    path = folder / "corpus.toml"
    path.write_text(CORPUS.replace(good, bad) if good else CORPUS)
    return load_study(folder / "study.toml", STAGES, load_corpus(str(path)))


def test_a_study_moves_with_all_its_data(files: Path) -> None:
    study = load(files)
    assert (study.name, study.summary) == ("tiny-other", "fakes | beside fakes: other lines")
    assert study.teacher is None  # its own knows other characters
    assert [lines.data for lines in study.tests] == [(files / "more.txt").resolve()]
    tuned: list[Any] = [variant.recipe.steps[-2].stage for variant in study.variants]
    assert [stage.data for stage in tuned] == [(files / "more.txt").resolve()] * 2
    codes: Any = study.variants[0].recipe.steps[0].stage
    assert codes.shade == "dark"
    assert (study.seeds, study.reference) == ((7, 8), "whole")


def test_what_the_study_is_about_stays_the_studys(files: Path) -> None:
    tuned: list[Any] = [variant.recipe.steps[-2].stage for variant in load(files).variants]
    assert [stage.margin for stage in tuned] == [4.0, 2.0]  # "wide" sets its own


def test_a_study_without_a_corpus_is_as_it_was(files: Path) -> None:
    study = load_study(files / "study.toml", STAGES)
    assert study.name == "tiny"
    assert study.tests[0].data == files / "lines.txt"


@pytest.mark.parametrize(
    ("good", "bad", "line"),
    [
        ('"lines.txt" =', '"line.txt" =', "data: nothing in the study reads"),
        ('"more.txt"', "3", 'data."lines.txt" = 3: must be a path'),
        ('"more.txt"', '""', "not a path"),
        ("tune.margin", "tone.margin", '"tone.margin": no stage "tone"; did you mean "tune"?'),
        ("tune.margin", "tune.margn", 'unknown key "margn"; did you mean "margin"'),
        ("[data]", "[dta]", 'unknown key "dta"; did you mean "data"?'),
        ('summary = "other lines"', "seeds = [1]", 'unknown key "seeds"'),
        ('name = "other"', 'name = "../x"', "must do as the name of a folder"),
        ("schema_version = 1", "schema_version = 2", "this hcompress reads 1 only"),
    ],
)
def test_mistakes_are_named(files: Path, good: str, bad: str, line: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(files, good, bad)
    message = str(caught.value)
    assert line in message
    assert message.startswith(str(files / "corpus.toml"))
    assert "\n" not in message


def test_the_command_takes_one_and_wants_a_teacher(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(files)
    command = ["study", str(files / "study.toml"), "--corpus", str(files / "corpus.toml")]
    command += ["--out", str(files / "out"), "--dry-run", "--json"]
    assert main(command, STAGES) == 2
    assert "no teacher: name a checkpoint" in capsys.readouterr().err
    assert main([*command, str(files / "teacher.safetensors")], STAGES) == 0
    assert json.loads(capsys.readouterr().out)["study"] == "tiny-other"
    assert main([*command[:3], "oter", *command[4:]], STAGES) == 2
    assert "oter: no corpus of that name" in capsys.readouterr().err


def gbk21k() -> Corpus:
    return load_corpus("gbk21k")


LABELS = {step.label for step in load_recipe(packaged_recipes()["hamming-ocr"], REAL).steps}


def test_the_main_recipe_on_gbk21k_is_the_recipe_gbk21k_without_its_long_part() -> None:
    """Studies read by distances alone, as the paper does, keep the backbone, and train shortly."""
    main_recipe, own = (
        load_recipe(packaged_recipes()[name], REAL) for name in ("hamming-ocr", "gbk21k")
    )
    moved = gbk21k().moved(gbk21k().adapt(main_recipe))
    at_own_place = gbk21k().moved(own)  # spells the same paths the same way
    assert [(step.label, step.stage) for step in moved.steps] == [
        (step.label, as_studied(resolved(step.stage)))
        for step in at_own_place.steps
        if step.label in LABELS
    ]


def as_studied(stage: Any) -> Any:
    if not isinstance(stage, Finetune):
        return stage
    return replace(stage, rerank=False, lines=8192, steps=1000, validate_every=500)


def resolved(stage: Any) -> Any:
    paths = {key: value for key, value in vars(stage).items() if isinstance(value, Path)}
    return replace(stage, **{key: value.resolve() for key, value in paths.items()})


@pytest.mark.parametrize("name", packaged_studies())
def test_every_packaged_study_moves_to_every_packaged_corpus(name: str) -> None:
    assert packaged_corpora()
    for corpus in map(load_corpus, packaged_corpora()):
        study = load_study(packaged_studies()[name], REAL, corpus)
        texts = [str(variant.recipe.to_dict()["stages"]) for variant in study.variants]
        assert "latin" not in str(texts) + str(study.tests)
        # What a corpus sets must not make two variants one.
        assert len(set(texts)) == len(texts)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,948 characters and nothing learnt; small, but wide enough for figure4's p = 128."""
    shape = Initialise(
        charset=packaged_folder() / "charsets" / "gbk21k.txt",
        backbone_width=0.1,
        width=128,
        ffn_width=128,
        depth=2,
    )
    return run_stage(
        shape, None, tmp_path_factory.mktemp("untrained") / "made", StageOptions()
    ).file


@pytest.mark.slow
@pytest.mark.parametrize("name", packaged_studies())
def test_every_packaged_study_plans_a_teacher_of_gbk21k(
    name: str,
    untrained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("jieba")
    use_cjk_fonts(monkeypatch)
    command = ["study", name, str(untrained), "--corpus", "gbk21k", "--dry-run", "--json"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["study"] == f"{name}-gbk21k"
    study = load_study(packaged_studies()[name], REAL, gbk21k())
    assert Counter(run["variant"] for run in found["runs"]) == {
        variant.name: len(study.seeds) for variant in study.variants
    }
    assert not (tmp_path / "out").exists()
