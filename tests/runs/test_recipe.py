"""Parameters from dataclasses, and recipes from TOML: every mistake named, with its cure."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from hcompress.errors import UsageError
from hcompress.runs.keys import step_seed
from hcompress.runs.recipe import find_recipe, load_recipe, packaged_recipes, parse_recipe
from hcompress.strict.read import read
from hcompress.strict.schema import describe
from tests.fake_stages import FAKES, RECIPE, FakeSlim, FakeTrain, Shade, write_recipe


def test_describe_reads_the_fields() -> None:
    found = {spec.name: spec for spec in describe(FakeSlim)}
    assert found["shade"].choices == ("light", "dark")
    assert found["shade"].default is Shade.LIGHT
    assert found["layers"].many
    assert found["layers"].type_text == "list of str"
    assert found["limit"].optional
    assert found["limit"].bounds_text == "at least 1"
    assert found["deep"].scalar is bool
    train = {spec.name: spec for spec in describe(FakeTrain)}
    assert train["data"].required
    assert train["data"].param.data
    assert train["steps"].bounds_text == "1 to 1000"
    assert train["steps"].option == "--steps"


def test_a_recipe_resolves(tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path), FAKES)
    assert (recipe.name, recipe.seed, recipe.threads) == ("tiny", 3, 1)
    train, slim, _ = (step.stage for step in recipe.steps)
    assert train == FakeTrain(data=tmp_path / "data.txt", steps=12)
    assert slim == FakeSlim(shade=Shade.DARK)
    assert [recipe.folder_name(n) for n in range(3)] == ["01-fake-train", "02-slim", "03-fake-onnx"]
    resolved = recipe.to_dict()["stages"][1]
    assert resolved == {
        "stage": "fake-slim", "label": "slim", "seed": step_seed(3, 1), "shade": "dark",
        "layers": [], "limit": None, "deep": False, "fail": False,
    }  # fmt: skip


def test_a_stage_may_have_a_seed_of_its_own(tmp_path: Path) -> None:
    """As its command's --seed; a study's seeds go before it."""
    path = write_recipe(tmp_path)
    path.write_text(path.read_text().replace('label = "slim"', 'label = "slim"\nseed = 9'))
    recipe = load_recipe(path, FAKES)
    assert [recipe.seed_of(n) for n in range(3)] == [step_seed(3, 0), 9, step_seed(3, 2)]
    assert recipe.to_dict()["stages"][1]["seed"] == 9
    studied = dataclasses.replace(recipe, seeds_by_label=True)
    assert studied.seed_of(1) == step_seed(3, "slim")


STAGE = "[[stages]]\n"
MISTAKES: list[tuple[str, str, str]] = [
    ("steps = 12", "stepz = 12", 'stage "fake-train": unknown key "stepz"; did you mean "steps"?'),
    ("steps = 12", "zzz = 12", 'unknown key "zzz"; keys: data, every, rate, steps'),
    ("steps = 12", 'steps = "12"', 'steps = "12": must be a whole number'),
    ("steps = 12", "steps = true", "steps = true: must be a whole number"),
    ("steps = 12", "steps = 1.0", "steps = 1.0: must be a whole number"),
    ("steps = 12", "steps = 0", "steps = 0: must be 1 to 1000"),
    ("steps = 12", "rate = nan", "rate = nan: must be 0 to 1"),
    ("steps = 12", 'rate = "fast"', 'rate = "fast": must be a number'),
    ('data = "data.txt"', "", "data is missing: what to learn"),
    ('data = "data.txt"', 'data = ""', 'data = "": not a path'),
    ('data = "data.txt"', "data = 3", "data = 3: must be a path"),
    ('"dark"', '"drak"', 'shade = "drak"; did you mean "dark"?'),
    ('"dark"', "3", "shade = 3; one of: dark, light"),
    ('shade = "dark"', "deep = 1", "deep = 1: must be true or false"),
    ('shade = "dark"', 'layers = "a"', 'layers = "a": must be a list, each a string'),
    ('shade = "dark"', "layers = [1]", "layers[0] = 1: must be a string"),
    ('shade = "dark"', "limit = 0", "limit = 0: must be at least 1"),
    ('"fake-slim"', '"fake-slm"', 'unknown stage "fake-slm"; did you mean "fake-slim"?'),
    ('stage = "fake-slim"', "", 'stages: entry 2: stage is missing: write stage = "NAME"'),
    ('label = "slim"', 'label = "../x"', 'label = "../x": must be lower-case letters'),
    ('label = "slim"', 'label = "fake-train"', 'label "fake-train" is used twice'),
    ("seed = 3", "sed = 3", 'unknown key "sed"; did you mean "seed"?'),
    ("seed = 3", 'seed = "3"', 'seed = "3": must be a whole number'),
    ('label = "slim"', "seed = -1", 'stage "fake-slim": seed = -1: must be 0 to 9'),
    ('label = "slim"', 'seed = "a"', 'seed = "a": must be a whole number'),
    ("seed = 3", "threads = 0", "threads = 0: must be 1 to 1024"),
    ("schema_version = 1", "schema_version = 2", "schema_version = 2: this hcompress reads 1"),
    ("schema_version = 1", "schema_verison = 1", "schema_version is missing"),
    ('name = "tiny"', "", "name is missing"),
    (STAGE, "[[stagez]]\n", 'unknown key "stagez"; did you mean "stages"?'),
    ("seed = 3", "seed = ", "not TOML"),
    ("seed = 3", "seed = " + "9" * 5000, "not TOML: Exceeds the limit"),
    ("seed = 3", "[evaluate]\nimages = 5\n", "[evaluate]: data is missing: the validation data"),
    ("seed = 3", '[evaluate]\ndata = "x"\nmaxloss = 1\n', 'did you mean "max_loss"?'),
    (
        "seed = 3",
        '[evaluate]\ndata = "x"\nmax_loss = -1\n',
        "max_loss = -1: must be 0 to 100",
    ),
    (
        "seed = 3",
        '[evaluate]\ndata = "x"\nimages = 0\n',
        "images = 0: must be 1 to 100000000",
    ),
    ("seed = 3", '[evaluate]\ndata = "x"\nimages = 1_000_000_000\n', "must be 1 to 100000000"),
]


@pytest.mark.parametrize(("good", "bad", "line"), MISTAKES)
def test_mistakes_are_named(tmp_path: Path, good: str, bad: str, line: str) -> None:
    assert good in RECIPE
    path = write_recipe(tmp_path, RECIPE.replace(good, bad))
    with pytest.raises(UsageError) as caught:
        load_recipe(path, FAKES)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert line in message
    assert "\n" not in message


def test_the_error_of_the_design(tmp_path: Path) -> None:
    """Word for word, but for the names."""
    path = write_recipe(tmp_path, RECIPE.replace("steps =", "step_s ="))
    with pytest.raises(UsageError) as caught:
        load_recipe(path, FAKES)
    expected = f'{path}: stage "fake-train": unknown key "step_s"; did you mean "steps"?'
    assert str(caught.value) == expected


@pytest.mark.parametrize(("raw", "value"), [(3, 3.0), (0.25, 0.25)])
def test_whole_numbers_are_numbers(raw: Any, value: float) -> None:
    stage = read(FakeTrain, {"data": "x", "rate": min(raw, 1)}, "here", UsageError)
    assert isinstance(stage, FakeTrain)
    assert stage.rate == min(value, 1.0)
    assert type(stage.rate) is float


def test_finding_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_recipe(tmp_path)
    assert find_recipe(str(path)) == path
    monkeypatch.setattr("hcompress.runs.recipe.packaged_folder", lambda: tmp_path)
    assert packaged_recipes() == {"tiny": path}
    assert find_recipe("tiny") == path
    with pytest.raises(UsageError, match='no recipe of that name; did you mean "tiny"'):
        find_recipe("tiyn")
    with pytest.raises(UsageError, match="no such recipe file"):
        find_recipe("somewhere/tiny.toml")
    assert capsys.readouterr().out == ""


def test_an_installed_package_has_its_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a wheel lays them out: inside of the package, with nothing of a checkout around."""
    inside = tmp_path / "hcompress" / "recipes"
    inside.mkdir(parents=True)
    write_recipe(inside)
    monkeypatch.setattr("hcompress.__file__", str(tmp_path / "hcompress" / "__init__.py"))
    assert [path.parent for path in packaged_recipes().values()] == [inside]


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/x", "a/b", "a\x1b[31m", "a\0b"])
def test_a_name_that_is_no_folders_name_is_refused(name: str) -> None:
    raw = {"schema_version": 1, "name": name, "stages": [{"stage": "fake-slim"}]}
    with pytest.raises(UsageError, match=r"name = .*: must do as the name of a folder"):
        parse_recipe(raw, FAKES, "here", Path())


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [("seed", 2**63, "0 to 9223372036854775807"), ("threads", 10**6, "1 to 1024")],
)
def test_numbers_that_would_stop_a_library_are_refused(key: str, value: int, allowed: str) -> None:
    raw = {"schema_version": 1, "name": "x", key: value, "stages": [{"stage": "fake-slim"}]}
    with pytest.raises(UsageError, match=f"{key} = {value}: must be {allowed}"):
        parse_recipe(raw, FAKES, "here", Path())
