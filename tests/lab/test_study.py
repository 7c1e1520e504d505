"""Studies: what a file may say, and what of it reaches the stages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hcompress.errors import UsageError
from hcompress.lab.study.corpus import load_corpus
from hcompress.lab.study.show import common_lines
from hcompress.lab.study.spec import find_study, load_study, packaged_studies
from hcompress.lab.study.variant import common, differences
from hcompress.reports.size_table import markdown_text
from hcompress.runs.recipe import Recipe, load_recipe, packaged_folder
from hcompress.runs.shrink import RunOptions, stage_options
from hcompress.stages import STAGES as REAL
from tests import ROOT
from tests.fake_study import RECIPE, STAGES, FakeTune, load, write_files


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def test_settings_reach_the_stage_and_nothing_else(files: Path) -> None:
    study = load(files)
    whole, wide = (variant.recipe for variant in study.variants)
    assert whole.steps[2].stage == FakeTune(data=files / "lines.txt")
    assert wide.steps[1].stage == FakeTune(data=files / "lines.txt", margin=2.0)
    assert [step.label for step in wide.steps] == ["codes", "tune", "onnx"]
    assert whole.steps[:2] == load_recipe(files / "base.toml", STAGES).steps[:2]
    assert (study.seeds, study.reference, study.tests[0].images) == ((7, 8), "whole", 10)
    assert {recipe.threads for recipe in (whole, wide)} == {2}


@pytest.mark.parametrize(
    "spelling", ['"tune.margin" = 3', "tune.margin = 3", "tune = {margin = 3}"]
)
def test_settings_have_three_spellings(files: Path, spelling: str) -> None:
    study = load(files, '"tune.margin" = 2.0', spelling)
    assert study.variants[1].recipe.steps[1].stage == FakeTune(data=files / "lines.txt", margin=3)


def test_the_variants_own_setting_is_the_last_word(files: Path) -> None:
    study = load(files, "[set]", '[set]\n"tune.margin" = 5.0')
    margins = [variant.recipe.steps[-2].stage for variant in study.variants]
    assert [getattr(stage, "margin", None) for stage in margins] == [5.0, 2.0]


def test_a_stage_draws_the_same_wherever_it_stands(files: Path) -> None:
    def seed(recipe: Recipe, label: str) -> int:
        index = [step.label for step in recipe.steps].index(label)
        return stage_options(recipe, index, None, RunOptions()).seed

    whole, wide = (variant.run_recipe(7) for variant in load(files).variants)
    assert seed(whole, "tune") == seed(wide, "tune")
    assert seed(whole, "tune") != seed(whole, "onnx")
    assert seed(whole, "tune") != seed(load(files).variants[0].run_recipe(8), "tune")


MISTAKES: list[tuple[str, str, str]] = [
    ("seeds = [7, 8]", "", "seeds is missing"),
    ("seeds = [7, 8]", "seeds = []", "must be 1 to 100 whole numbers"),
    ("seeds = [7, 8]", "seeds = [7, 7]", "7 stands there twice"),
    ("seeds = [7, 8]", "seeds = [7, true]", "seeds[1] = true: must be a whole number"),
    ("seeds = [7, 8]", "seeds = [-1]", "seeds[0] = -1: must be 0 to"),
    ("seeds = [7, 8]", "seds = [7]", 'unknown key "seds"; did you mean "seeds"?'),
    ("schema_version = 1", "schema_version = 2", "this hcompress reads 1 only"),
    ('name = "tiny"', 'name = "../x"', "must do as the name of a folder"),
    ('"base.toml"', '"bas.toml"', "bas.toml: no such recipe file"),
    ('"base.toml"', '"hamming-ocrr"', 'no recipe of that name; did you mean "hamming-ocr"?'),
    ('name = "wide"', 'name = "whole"', 'variants: "whole" stands there twice'),
    ('name = "wide"', 'name = "teacher"', '"teacher" is taken'),
    ('name = "wide"', 'name = "Wide"', "lower-case letters"),
    ('name = "wide"', 'name = "../x"', "lower-case letters"),
    ('name = "wide"', "", "variants[1].name is missing"),
    (
        'name = "wide"',
        'name = "wide"\nwithot = []',
        '"variants.wide.withot"; did you mean "without"',
    ),
    ('["slim"]', '["slm"]', 'variant "wide": without: no stage "slm"; did you mean "slim"?'),
    ('["slim"]', "[3]", "variants.wide.without[0] = 3: must be a string"),
    ('["slim"]', '["codes", "slim", "tune", "onnx"]', "leaves no stages"),
    ('"tune.margin"', '"tone.margin"', '"tone.margin": no stage "tone"; did you mean "tune"?'),
    ('"tune.margin"', '"slim.shade"', 'no stage "slim"; labels: codes, onnx, tune'),
    ('"tune.margin"', '"tune.margn"', 'stage "tune": unknown key "margn"; did you mean "margin"'),
    ('"tune.margin" = 2.0', '"tune.margin" = -1', "margin = -1: must be at least 0"),
    ('"tune.margin" = 2.0', '"margin" = 1', '"margin": write "LABEL.KEY" = VALUE'),
    ('"tune.margin" = 2.0', "tune.margin.x = 1", '"tune.margin": write "LABEL.KEY" = VALUE'),
    ('"tune.margin" = 2.0', '"tune.margin" = 2\ntune.margin = 3', "stands there twice"),
    ('"tune.data"', '"tone.data"', 'set: "tone.data": no stage "tone"; did you mean "tune"?'),
    ("[tests.known]", "[tests.'Un known']", "lower-case letters"),
    ("[tests.known]", "[test.known]", 'unknown key "test"; did you mean "tests"?'),
    (
        '[tests.known]\ndata = "lines.txt"',
        "[tests.known]",
        "tests.known.data is missing: the lines to read",
    ),
    ("images = 10", "images = 0", "tests.known.images = 0: must be 1 to 100000000"),
    ("[set]", 'reference = "wid"\n[set]', 'reference = "wid": no such variant; did you mean'),
    ("[[variants]]", "[variants]", "not TOML"),
    ("seeds = [7, 8]", "seeds = [", "not TOML"),
]


@pytest.mark.parametrize(("good", "bad", "line"), MISTAKES)
def test_mistakes_are_named(files: Path, good: str, bad: str, line: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(files, good, bad)
    message = str(caught.value)
    assert line in message
    assert message.startswith(str(files))
    assert "\n" not in message


def test_a_study_starts_from_its_teacher(files: Path) -> None:
    train = '[[stages]]\nstage = "fake-train"\ndata = "lines.txt"\n\n'
    with pytest.raises(UsageError, match="variants share a teacher"):
        load(files, recipe=RECIPE.replace("[[stages]]", train + "[[stages]]", 1))


def test_installed_studies_travel_with_the_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.toml").write_text("")
    monkeypatch.setattr("hcompress.lab.study.spec.packaged_folder", lambda: tmp_path)
    assert packaged_studies() == {"mine": tmp_path / "studies" / "mine.toml"}
    assert find_study("mine") == tmp_path / "studies" / "mine.toml"


def test_packaged_studies_compare_like_with_like() -> None:
    """Where two variants both fine-tune, nothing differs but what the study is about."""
    about = {
        "figure4": set(),
        "rates": {"finetune.learning_rate", "finetune.matrix_rate"},
        "retraining": {
            f"finetune.{key}" for key in ("code_cross_entropy", "distil", "margin", "soft_labels")
        },
        "table2": set(),
        "table3": {"codebook.method"},
        "table4": {"codebook.code_length"},
    }
    head = ["factorised-softmax", "factorised-embedding"]
    assert set(packaged_studies()) >= set(about)
    for name, path in packaged_studies().items():
        study = load_study(path, REAL)
        reference = next(entry for entry in study.variants if entry.name == study.reference)
        assert study.teacher is not None
        assert study.teacher.is_file()
        for variant in study.variants:
            differs = differences(reference.recipe, variant.recipe)
            assert set(differs["set"]) <= about[name], (name, variant.name)
            assert differs["with"] in ([], head if name in ("figure4", "rates") else [])


def test_documented_studies_are_studies(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    corpora = [block for block in blocks if "[data]" in block]
    studies = [block for block in blocks if block not in corpora]
    assert corpora
    assert studies
    for block in studies:
        (tmp_path / "study.toml").write_text(block)
        load_study(tmp_path / "study.toml", REAL)
    (tmp_path / "recipes").symlink_to(packaged_folder())  # as in a checkout
    for block in corpora:
        (tmp_path / "corpus.toml").write_text(block)
        corpus = load_corpus(str(tmp_path / "corpus.toml"))
        for path in packaged_studies().values():
            load_study(path, REAL, corpus)
    assert [name for name in packaged_studies() if f"`{name}`" not in page] == []


@pytest.mark.parametrize("name", [*packaged_studies()])
def test_committed_tables_say_what_their_variants_share(name: str) -> None:
    """`code_cross_entropy`, ours, is on in all of them but the study about it."""
    study = load_study(find_study(name), REAL, load_corpus("gbk21k"))
    shared = common(study.variants)
    page = (ROOT / "reports" / f"{study.name}.md").read_text(encoding="utf-8")
    result = {
        "common": [entry.to_dict() for entry in shared],
        "variants": [{"name": variant.name} for variant in study.variants],
    }
    lines = common_lines(result)
    assert [line for line in lines if f"\n- {markdown_text(line)}\n" not in page] == []
    everywhere = any("code_cross_entropy = 1.0" in line for line in lines)
    assert everywhere == (name != "retraining")
