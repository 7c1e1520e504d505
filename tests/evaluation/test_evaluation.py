"""What is measured of a reader: accuracy, interval, 1-NED, calibration, comparisons."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcompress.artifacts.source import open_source
from hcompress.data import order
from hcompress.data.batches import in_groups
from hcompress.data.sample import Sample
from hcompress.errors import InputRefused, NumericalError
from hcompress.evaluation.compare import characters, paired
from hcompress.evaluation.evaluate import (
    Line,
    calibration_error,
    evaluate,
    of_characters,
    summarise,
)
from hcompress.foreign.options import AS_FOUND, Blank, ImportOptions
from hcompress.metrics import Ignore, Ignored, folded, misread, similarity, wilson
from hcompress.metrics import paired as paired_share
from hcompress.progress import NoProgress
from hcompress.runs import accuracy as runs_accuracy
from hcompress.runs.accuracy import Accuracy
from hcompress.runs.recipe import Evaluate
from tests.data.numbers import Numbers
from tests.fake_stages import onnx_bytes, write_recipe


@dataclass(frozen=True)
class Read:
    text: str
    confidence: float
    candidates: Sequence[Any] = ()


class Parrot:
    """Reads the number that an image holds, and misreads every third."""

    characters = "0123456789"

    def read(self, images: Any) -> list[Read]:
        assert all(image.shape == (48, 160, 3) for image in images)
        numbers = [int(image[0, 0, 0]) for image in images]
        return [Read(f"{n}x" if n % 3 == 0 else str(n), 0.75) for n in numbers]


def lines(*pairs: tuple[str, str]) -> list[Line]:
    return [Line(n, truth, read, 0.5) for n, (truth, read) in enumerate(pairs)]


def test_evaluate_has_every_key_of_the_contract() -> None:
    found = evaluate(Parrot(), Numbers(90), model="m", data="d")
    assert set(found) == {
        "model", "model_digest", "reading", "data", "data_digest", "images", "accuracy",
        "accuracy_low", "accuracy_high", "ned", "confidence", "seconds", "samples", "wrong",
    }  # fmt: skip
    assert found["images"] == 90
    assert found["accuracy"] == pytest.approx(60 / 90)
    assert found["accuracy_low"] < found["accuracy"] < found["accuracy_high"]
    assert found["confidence"] == {"mean": 0.75, "ece": pytest.approx(abs(0.75 - 2 / 3))}
    assert len(found["samples"]) == 24
    assert found["samples"][1] == {"index": 1, "truth": "1", "read": "1", "confidence": 0.75}
    assert found["wrong"][0] == {"index": 0, "truth": "0", "read": "0x"}
    assert len(found["wrong"]) == 30


def test_evaluate_says_which_lines_it_took_and_which_labels_cannot_be_read() -> None:
    """Of sorted data, the same ones each time, and not the first."""
    found = [evaluate(Parrot(), Numbers(90), 10) for _ in range(2)]
    assert found[0]["order"] == 1
    indices = [line["index"] for line in found[0]["samples"]]
    assert indices == sorted(indices) == [line["index"] for line in found[1]["samples"]]
    assert max(indices) > 45
    assert "order" not in evaluate(Parrot(), Numbers(90), 90)
    watched = Parrot()
    watched.characters = "12345678"
    wrong = evaluate(watched, Numbers(90))["unmatched"]
    assert wrong["characters"] == {"0": 3, "9": 3}  # of the lines misread, every third


def test_evaluate_reads_so_many_images() -> None:
    assert evaluate(Parrot(), Numbers(90), 7)["images"] == 7
    assert evaluate(Parrot(), Numbers(5), 7)["images"] == 5
    with pytest.raises(InputRefused, match="no images"):
        evaluate(Parrot(), Numbers(0))


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluate_reads_images_as_they_are_a_few_large_ones_at_a_time(workers: int) -> None:
    sizes = [(48, 3000), (20, 20), (1000, 1500)] * 2

    class Sizes(Numbers):
        def __getitem__(self, index: int) -> Sample:
            return Sample(np.zeros((*sizes[index], 3), np.uint8), str(index))

    seen: list[list[Any]] = []

    class Watcher:
        characters = "0123456789"

        def read(self, images: Any) -> list[Read]:
            seen.append([image.shape[:2] for image in images])
            return [Read("", 1.0) for _ in images]

    found = evaluate(Watcher(), Sizes(6), workers=workers)
    assert [size for group in seen for size in group] == sizes
    assert [one["truth"] for one in found["samples"]] == list("012345")
    large = list(in_groups([np.zeros((1000, 1500, 3), np.uint8)] * 7, lambda image: image, 32))
    assert [len(group) for group in large] == [3, 3, 1]


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (85, 100, 0.7672, 0.9069), (1, 1, 0.2065, 1.0)],
)
def test_wilson_agrees_with_the_textbook(right: int, count: int, low: float, high: float) -> None:
    assert wilson(right, count) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_wilson_holds_the_fraction(count: int, share: float) -> None:
    right = round(share * count)
    low, high = wilson(right, count)
    assert 0 <= low <= right / count + 1e-12
    assert right / count - 1e-12 <= high <= 1


def test_similarity_is_one_minus_ned() -> None:
    assert similarity("", "") == 1
    assert similarity("abc", "") == 0
    assert similarity("abcd", "abxd") == 0.75
    assert similarity("漢字", "漢") == 0.5


def test_calibration_of_the_certain_and_the_sure_but_wrong() -> None:
    assert calibration_error([Line(0, "a", "a", 1.0)]) == 0
    assert calibration_error([Line(0, "a", "b", 1.0)]) == 1
    half = [Line(0, "a", "a", 0.5), Line(1, "a", "b", 0.5)]
    assert calibration_error(half) == 0
    apart = [Line(0, "a", "b", 0.95), Line(1, "a", "a", 0.05)]  # right on average, and never
    assert calibration_error(apart) == pytest.approx(0.95)


def test_paired_change_and_its_interval() -> None:
    before = lines(("a", "a"), ("b", "b"), ("c", "x"), ("d", "x"))
    after = lines(("a", "a"), ("b", "x"), ("c", "c"), ("d", "d"))
    found = paired(before, after)
    assert (found["lost"], found["won"], found["change"]) == (1, 2, 25.0)
    assert found["change_low"] < 0 < found["change"] < found["change_high"]
    # By hand: (15.5 - 5.5) / 102 and 1.96 * sqrt(21 - 100 / 102) / 102.
    read = [("a", "x")] * 15 + [("a", "a")] * 5 + [("a", "a")] * 80
    read_later = [("a", "a")] * 15 + [("a", "x")] * 5 + [("a", "a")] * 80
    many = paired(lines(*read), lines(*read_later))
    assert many["change"] == 10
    assert many["change_low"] == pytest.approx(1.2064, abs=1e-3)
    assert many["change_high"] == pytest.approx(18.4015, abs=1e-3)
    same = paired(before, before)
    assert same["change"] == 0
    assert same["change_low"] == -same["change_high"]


def test_the_paired_share_is_the_change_in_hundredths() -> None:
    before, after = [True, True, False, False], [True, False, True, True]
    found = paired_share(before, after)
    assert found[0] == 0.25
    assert found[1] < 0 < found[2]
    swapped = paired_share(after, before)
    assert swapped == pytest.approx((-found[0], -found[2], -found[1]))
    with pytest.raises(ValueError, match="argument 2"):
        paired_share([True], [True, False])


@pytest.mark.parametrize(
    ("text", "same", "kinds", "characters"),
    [
        ("TOTAL42", "total42", {Ignore.CASE}, ""),
        ("Straße", "STRASSE", {Ignore.CASE}, ""),
        (" 1\u3000000 ", "1000", {Ignore.SPACE}, ""),
        ("ＡＢ，１", "AB,1", {Ignore.WIDTH}, ""),
        ("“$1.00”，~", "100", {Ignore.PUNCTUATION}, ""),
        ("京A·12345", "京A12345", set(), "·"),
        ("a．b", "ab", {Ignore.WIDTH}, "."),
        ("It's £5!", "its5", {Ignore.CASE, Ignore.SPACE, Ignore.PUNCTUATION}, ""),
    ],
)
def test_what_is_ignored_makes_no_difference(
    text: str, same: str, kinds: set[Ignore], characters: str
) -> None:
    ignored = Ignored(frozenset(kinds), characters)
    assert folded(text, ignored) == folded(same, ignored)
    assert folded(text, Ignored()) == text != same
    assert folded(f"{text}x", ignored) != folded(same, ignored)


def test_ignoring_a_character_ignores_no_part_of_what_it_stands_for() -> None:
    ignored = Ignored(frozenset({Ignore.WIDTH}), "…")
    assert folded("a…b.", ignored) == "ab."


def test_evaluate_counts_without_what_is_ignored_and_says_so() -> None:
    plain = evaluate(Parrot(), Numbers(9))
    found = evaluate(Parrot(), Numbers(9), ignored=Ignored(characters="x"), of=frozenset("3"))
    assert found["accuracy"] == found["ned"] == 1
    assert found["wrong"] == []
    assert found["samples"] == plain["samples"]
    assert found["ignored"] == {"kinds": [], "characters": "x"}
    assert found["of"]["these"]["right"] == 1
    # An empty charset's reading of "X" alone: truth and reading may both come to nothing.
    blank = evaluate(Parrot(), Numbers(9), ignored=Ignored(frozenset(Ignore), "0123456789x"))
    assert blank["accuracy"] == 1


def test_characters_that_got_worse_come_first() -> None:
    before = lines(("abc", "abc"), ("aab", "aab"), ("cc", "xx"))
    after = lines(("abc", "xbc"), ("aab", "xxb"), ("cc", "cc"))
    assert characters(before, after) == [
        {"character": "a", "count": 3, "wrong_before": 0, "wrong_after": 3},
        {"character": "c", "count": 3, "wrong_before": 2, "wrong_after": 0},
    ]


def test_misread_marks_what_was_replaced_or_lost() -> None:
    assert misread("abc", "abc") == [False] * 3
    assert misread("abc", "ac") == [False, True, False]
    assert misread("abc", "abbc") == [False] * 3
    assert misread("abc", "") == [True] * 3


def test_chosen_characters_are_counted_apart() -> None:
    read = lines(("ab", "ax"), ("ba", "a"), ("cc", "cc"))
    found = of_characters(read, frozenset("bz"))
    assert found["these"] == {"count": 2, "right": 0, "accuracy": 0.0}
    assert found["others"] == {"count": 4, "right": 4, "accuracy": 1.0}
    assert of_characters(read, frozenset("z"))["these"]["accuracy"] is None
    plain = evaluate(Parrot(), Numbers(9))
    apart = evaluate(Parrot(), Numbers(9), of=frozenset("3"))
    assert set(apart) - set(plain) == {"of"}
    assert apart["of"]["these"]["count"] + apart["of"]["others"]["count"] == 9


def test_summarise_is_finite() -> None:
    found = summarise(lines(("", "")))
    assert found["accuracy"] == found["ned"] == 1.0
    assert all(math.isfinite(found[key]) for key in ("accuracy_low", "accuracy_high"))


class Counted:
    """Stands in for `evaluate`, and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(
        self, _reader: Any, source: Any, images: int, *, ignored: Ignored, **more: Any
    ) -> dict[str, Any]:
        self.calls += 1
        count = min(images, len(source))
        return {**more, "progress": None, "ignored": ignored.to_dict() if ignored else None,
                "reading": runs_accuracy.READING, "images": count,
                "order": order.sampled(source, count), "data_digest": source.digest,
                "accuracy": 0.9}  # fmt: skip


def test_accuracy_is_measured_once_per_model_and_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recipe(tmp_path)
    counted = Counted()
    monkeypatch.setattr("hcompress.runs.accuracy.evaluate", counted)
    monkeypatch.setattr("hcompress.runs.accuracy.open_reader", lambda *_: None)
    (tmp_path / "a.onnx").write_bytes(onnx_bytes(b"a" * 32))
    (tmp_path / "b.onnx").write_bytes(onnx_bytes(b"b" * 32))
    first, second = open_source(tmp_path / "a.onnx"), open_source(tmp_path / "b.onnx")
    plan = Evaluate(tmp_path / "data.txt", 500, None, 500, max_loss=1.0)
    accuracy = Accuracy(plan, tmp_path / "evaluations", NoProgress())
    assert accuracy.after_stage("01-a", first) == 0.9
    assert accuracy.after_stage("02-copy", first) == 0.9  # the same bytes
    assert accuracy.final("01-a", first)["accuracy"] == 0.9  # the same data  # type: ignore[index]
    assert counted.calls == 1
    assert accuracy.after_stage("02-copy", second) == 0.9  # now another model has the name
    assert counted.calls == 2
    names = sorted(path.name for path in (tmp_path / "evaluations").iterdir())
    assert names == ["01-a-final.json", "01-a.json", "02-copy.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"accuracy": None}, {"accuracy": 0.75}, {"samples": ["x"]}, {"seal": "ab"}, {"seal": None},
        {"more": 1},
    ],
)  # fmt: skip
def test_a_changed_evaluation_is_measured_anew(
    change: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recipe(tmp_path)
    counted = Counted()
    monkeypatch.setattr("hcompress.runs.accuracy.evaluate", counted)
    monkeypatch.setattr("hcompress.runs.accuracy.open_reader", lambda *_: None)
    (tmp_path / "a.onnx").write_bytes(onnx_bytes(b"a" * 32))
    model = open_source(tmp_path / "a.onnx")
    plan = Evaluate(tmp_path / "data.txt", 500, None, 500)
    accuracy = Accuracy(plan, tmp_path / "evaluations", NoProgress())
    path = tmp_path / "evaluations" / "01-a.json"
    for calls in (1, 2):
        assert accuracy.after_stage("01-a", model) == 0.9
        assert accuracy.after_stage("01-a", model) == 0.9
        assert counted.calls == calls
        raw = {**json.loads(path.read_text()), **change}
        path.write_text(json.dumps({key: raw[key] for key in raw if raw[key] is not None}))


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Measure a model as a new run would; whether it was read for that."""
    write_recipe(tmp_path)
    (tmp_path / "data.txt").write_text("line.ppm\tab\n" * 4)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.onnx").write_bytes(onnx_bytes(b"a" * 32))
    counted = Counted()
    monkeypatch.setattr("hcompress.runs.accuracy.evaluate", counted)
    monkeypatch.setattr("hcompress.runs.accuracy.open_reader", lambda *_: None)

    def call(options: ImportOptions = AS_FOUND, **change: Any) -> bool:
        before = counted.calls
        plan = replace(Evaluate(tmp_path / "data.txt", 2, None, 2), **change)
        model = open_source(tmp_path / "below" / "a.onnx")
        Accuracy(plan, tmp_path / "evaluations", NoProgress(), options).after_stage("01-a", model)
        return counted.calls > before

    return call


@pytest.mark.parametrize(
    "change",
    [
        {"images": 3}, {"ignore": (Ignore.CASE,)}, {"ignore_characters": "-"},
        {"options": ImportOptions(blank=Blank.LAST)},
    ],
)  # fmt: skip
def test_what_was_asked_otherwise_is_measured_anew(
    change: dict[str, Any], measure: Callable[..., bool]
) -> None:
    assert measure()
    assert not measure()
    assert measure(**change)
    assert not measure(**change)
    assert measure()


def test_what_was_read_of_other_files_is_measured_anew(
    tmp_path: Path, measure: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert measure()
    (tmp_path / "data.txt").write_text("line.ppm\tac\n" * 4)
    assert measure()
    (tmp_path / "below" / "a.onnx").write_bytes(onnx_bytes(b"b" * 32))
    assert measure()
    (tmp_path / "below" / "charset.txt").write_text("abc")  # may name its classes
    assert measure()
    assert not measure()
    monkeypatch.setattr(order, "VERSION", order.VERSION + 1)  # other lines by chance
    assert measure()
    monkeypatch.setattr(runs_accuracy, "READING", runs_accuracy.READING + 1)
    assert measure()
    charset = ImportOptions(charset=tmp_path / "said.txt")
    for text in ("abc", "abd"):
        (tmp_path / "said.txt").write_text(text)
        assert measure(charset)
        assert not measure(charset)


def test_what_a_name_used_to_stand_for_leaves_no_evaluation(
    tmp_path: Path, measure: Callable[..., bool]
) -> None:
    """Not even where nothing is measured any more: a report would show it."""
    assert measure()
    folder = tmp_path / "evaluations"
    kept = (folder / "01-a.json").read_text()
    names = ["01-a-final.json", "01-a.json", "02-b-final.json", "02-b.json"]

    def left(name: str, weights: bytes) -> list[str]:
        (tmp_path / "b.onnx").write_bytes(onnx_bytes(weights))
        model = open_source(tmp_path / "b.onnx")
        assert Accuracy(None, folder, NoProgress()).after_stage(name, model) is None
        return sorted(path.name for path in folder.iterdir())

    for text in (kept, kept[:-20], "{}"):
        for name in names:
            (folder / name).write_text(text)
        assert left("01-a", b"b" * 32) == names[2:]
    for name in names:
        (folder / name).write_text(kept)
    assert left("01-a", b"a" * 32) == names  # the same model


def test_too_much_lost_is_numerical() -> None:
    plan = Evaluate(Path("d"), 5, None, 5, max_loss=1.0)
    accuracy = Accuracy(plan, Path("e"), NoProgress())
    before = {"accuracy": 0.9, "images": 2000}
    accuracy.check_loss(before, {"accuracy": 0.89, "images": 2000})
    accuracy.check_loss(before, None)
    with pytest.raises(NumericalError, match=r"1\.50 points lost on 2000 images"):
        accuracy.check_loss(before, {"accuracy": 0.885, "images": 2000})


@pytest.mark.parametrize("right", [0, 1])
def test_wilson_never_leaves_the_share_at_its_ends(right: int) -> None:
    for count in range(1, 3000):
        low, high = wilson(right * count, count)
        assert low <= right <= high
