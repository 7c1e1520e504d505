"""--set: a recipe's parameters, said otherwise."""

from __future__ import annotations

import pytest

from hcompress.errors import UsageError
from hcompress.runs.changes import changed

RAW = {
    "name": "r",
    "stages": [
        {"stage": "import"},
        {"stage": "quantise", "bits": 6},
        {"stage": "quantise", "label": "again", "bits": 4},
    ],
}


def test_values_are_toml_or_else_words() -> None:
    made = changed(
        RAW, ["import.batch=3", "again.mean_bits = 4.5", "import.blank=last", 'import.x="a = b"']
    )
    assert made["stages"] == [
        {"stage": "import", "batch": 3, "blank": "last", "x": "a = b"},
        {"stage": "quantise", "bits": 6},
        {"stage": "quantise", "label": "again", "bits": 4, "mean_bits": 4.5},
    ]
    assert RAW["stages"][0] == {"stage": "import"}  # what was read stays


def test_a_stages_name_means_all_of_them_and_nothing_takes_away() -> None:
    made = changed(RAW, ["quantise.bits="])
    assert [entry.get("bits") for entry in made["stages"]] == [None, None, None]


@pytest.mark.parametrize("change", ["bits=5", "quantise.bits", ".bits=5", "quantise.=5", ""])
def test_what_is_no_change_is_refused(change: str) -> None:
    with pytest.raises(UsageError, match=r"STAGE\.KEY=VALUE"):
        changed(RAW, [change])


def test_an_unknown_stage_is_refused_with_what_was_meant() -> None:
    with pytest.raises(UsageError, match="quantise"):
        changed(RAW, ["quantize.bits=5"])


def test_a_recipe_without_stages_is_left_to_its_reader() -> None:
    assert changed({"stages": 3}, ["a.b=1"]) == {"stages": 3}
