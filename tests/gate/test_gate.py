"""The gate: what passes, what fails, and that whatever is missing or malformed fails."""

from __future__ import annotations

import codecs
import hashlib
import json
import math
import os
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hcompress.cli.tables import table_lines
from hcompress.errors import EnvironmentFailed, HcompressError, InputRefused, UsageError
from hcompress.gate.accuracy import Evaluation
from hcompress.gate.baseline import Baseline, BaselineEntry, NotCounted, parse_baseline
from hcompress.gate.judge import Measured, judge
from hcompress.gate.limits import (
    AccuracyLimits,
    ArtifactLimits,
    Bounds,
    Limits,
    WideInterval,
    read_limits,
)
from hcompress.gate.measure import read_evaluation
from hcompress.gate.outputs import append_summary
from hcompress.gate.run import run_gate, update, update_gate
from hcompress.gate.show import HEADER, NAMES, cells, markdown
from hcompress.gate.verdict import Status, Verdict
from hcompress.metrics import READING
from tests import model_files as make

EVALUATION = Evaluation(Decimal("0.95"), 2000, "d" * 64)


def judged(
    bounds: Bounds | None = None,
    size: int = 1000,
    base: int | None = None,
    **limits: Any,
) -> Verdict:
    """One artifact, one component, one baseline."""
    artifact = ArtifactLimits(path="m.onnx", **asdict(bounds or Bounds()), **limits)
    entry = None if base is None else BaselineEntry(base, {"backbone": base})
    baseline = Baseline({"m.onnx": entry}) if entry else None
    measured = Measured(size, {"backbone": size}, evaluation=EVALUATION)
    return judge(Limits((artifact,)), baseline, {"m.onnx": measured})


def total(verdict: Verdict) -> tuple[Status, str]:
    return verdict.rows[0].status, verdict.rows[0].note


@pytest.mark.parametrize(
    ("bounds", "size", "status", "note"),
    [
        (Bounds(max_bytes=1000), 1000, "pass", ""),
        (Bounds(max_bytes=1000), 1001, "fail", "1 bytes over max_bytes = 1,000"),
        (Bounds(max_bytes=1000, warn_bytes=900), 900, "pass", ""),
        (Bounds(max_bytes=1000, warn_bytes=900), 901, "warn", "over warn_bytes = 900"),
        (Bounds(max_bytes=1000, warn_bytes=900), 1001, "fail", "1 bytes over"),
        (Bounds(min_bytes=1000), 1000, "pass", ""),
        (Bounds(min_bytes=1000), 400, "fail", "600 bytes under min_bytes"),
    ],
)
def test_absolute_limits(bounds: Bounds, size: int, status: str, note: str) -> None:
    found = total(judged(bounds, size))
    assert found[0] == status
    assert note in found[1]


@pytest.mark.parametrize(
    ("percent", "floor", "base", "size", "status"),
    [
        ("1", 0, 1000, 1010, "pass"),  # the limit itself is allowed
        ("1", 0, 1000, 1011, "fail"),
        ("1", 11, 1000, 1011, "pass"),  # over one percent, but not over eleven bytes
        ("1", 10, 1000, 1011, "fail"),
        ("0", 0, 1000, 1001, "fail"),
        ("0", 0, 1000, 1000, "pass"),
        ("0", 0, 1000, 10, "pass"),
        ("0.1", 0, 1000, 1001, "pass"),
        ("0.1", 0, 3_000, 3_003, "pass"),  # 0.1 * 3000 / 100 is above 3 in floats
        ("1", 0, 0, 1, "fail"),
    ],
)
def test_growth(percent: str, floor: int, base: int, size: int, status: str) -> None:
    bounds = Bounds(max_growth_percent=Decimal(percent), growth_floor_bytes=floor)
    assert total(judged(bounds, size, base))[0] == status


def test_growth_warns_first() -> None:
    bounds = Bounds(warn_growth_percent=Decimal(1), max_growth_percent=Decimal(5))
    assert total(judged(bounds, 1020, 1000)) == (
        Status.WARN,
        "grew by 20 bytes (2.00%), warn_growth_percent = 1",
    )
    assert total(judged(bounds, 1060, 1000))[0] == "fail"


def test_all_that_is_wrong_is_said_at_once() -> None:
    bounds = Bounds(max_bytes=900, max_growth_percent=Decimal(0))
    note = total(judged(bounds, 1000, 950))[1]
    assert note.startswith("100 bytes over max_bytes = 900; grew by 50 bytes")


def test_components() -> None:
    bounds = {"backbone": Bounds(max_bytes=10), "codebook": Bounds(min_bytes=1)}
    rows = {row.subject: row for row in judged(components=bounds).rows}
    assert rows["total"].status == "pass"
    assert rows["backbone"].status == "fail"
    assert (rows["codebook"].status, rows["codebook"].note) == ("fail", "component is missing")


def test_a_component_may_be_asked_not_to_exist() -> None:
    none = {"decoder FFN": Bounds(max_bytes=0)}
    for base in (None, 1000):
        verdict = judged(components=none, base=base)
        row = next(row for row in verdict.rows if row.subject == "decoder FFN")
        assert (row.status, row.value) == ("pass", 0)
    verdict = judged(components={"backbone": Bounds(max_bytes=0)})
    assert verdict.failed


def test_new_and_removed() -> None:
    limits = Limits(tuple(ArtifactLimits(path=p, max_bytes=9999) for p in ("new", "old")))
    baseline = Baseline(
        {
            "old": BaselineEntry(30, {"backbone": 10, "decoder FFN": 20}),
            "gone": BaselineEntry(5, {"container": 5}),
        }
    )
    measured = {
        "new": Measured(7, {"container": 7}),
        "old": Measured(30, {"backbone": 10, "codebook": 20}),
    }
    verdict = judge(limits, baseline, measured)
    found = {(row.artifact, row.subject): str(row.status) for row in verdict.rows}
    assert found == {
        ("new", "total"): "new",
        ("new", "container"): "new",
        ("old", "total"): "pass",
        ("old", "backbone"): "pass",
        ("old", "decoder FFN"): "removed",
        ("old", "codebook"): "new",
        ("gone", "total"): "removed",
    }
    assert not verdict.failed
    assert verdict.summary == "gate passed: 3 new, 2 removed, 2 pass"


@pytest.mark.parametrize(("size", "status"), [(100, "pass"), (101, "fail")])
def test_a_component_that_comes_from_nothing_has_grown(size: int, status: str) -> None:
    bounds = Bounds(max_growth_percent=Decimal(1), growth_floor_bytes=100)
    limits = Limits((ArtifactLimits(path="m", components={"decoder FFN": bounds}),))
    baseline = Baseline({"m": BaselineEntry(9, {"backbone": 9})})
    found = Measured(9 + size, {"backbone": 9, "decoder FFN": size})
    row = next(r for r in judge(limits, baseline, {"m": found}).rows if r.subject == "decoder FFN")
    assert (row.status, row.baseline) == (status, 0)
    assert "from nothing" in row.note


def test_new_does_not_hide_a_fail() -> None:
    limits = Limits((ArtifactLimits(path="m", max_bytes=5),))
    verdict = judge(limits, Baseline({}), {"m": Measured(7, {"container": 7})})
    assert total(verdict)[0] == "fail"


def test_what_was_not_measured_fails() -> None:
    limits = Limits(
        (ArtifactLimits(path="m", max_bytes=5, accuracy=AccuracyLimits("e", Decimal(0))),)
    )
    for measured in ({}, {"m": Measured(problem="m: no such file")}):
        verdict = judge(limits, None, measured)
        assert [row.status for row in verdict.rows] == ["fail", "fail"]
        assert verdict.failed


@pytest.mark.parametrize(
    ("limits", "status", "note"),
    [
        ({"min_accuracy": "0.95"}, "pass", ""),
        ({"min_accuracy": "0.951"}, "fail", "under min_accuracy = 0.951"),
        ({"warn_accuracy": "0.96"}, "warn", "under warn_accuracy"),
        ({"warn_accuracy": "0.95"}, "pass", ""),
        ({"max_accuracy_drop": "1"}, "pass", "lost 1 points"),
        ({"max_accuracy_drop": "0.99"}, "fail", "lost 1 points, max_accuracy_drop = 0.99"),
        ({"warn_accuracy_drop": "0.5", "max_accuracy_drop": "2"}, "warn", "lost 1 points"),
        ({"warn_accuracy_drop": "1"}, "pass", "lost 1 points"),
    ],
)
def test_accuracy(limits: dict[str, str], status: str, note: str) -> None:
    wanted = AccuracyLimits("e.json", **{key: Decimal(v) for key, v in limits.items()})
    entry = BaselineEntry(1000, {"backbone": 1000}, Decimal("0.96"), 2000, "d" * 64)
    row = accuracy_row(wanted, entry)
    assert row.status == status
    assert note in row.note


def accuracy_row(
    limits: AccuracyLimits, entry: BaselineEntry, evaluation: Evaluation = EVALUATION
) -> Any:
    artifact = ArtifactLimits(path="m", accuracy=limits)
    measured = Measured(1000, {"backbone": 1000}, evaluation=evaluation)
    return judge(Limits((artifact,)), Baseline({"m": entry}), {"m": measured}).rows[-1]


@pytest.mark.parametrize(
    ("right", "images", "lost", "status"),
    [
        (152, 300, 3, "pass"),  # 0.5066666666666667 and 0.49666666666666665: 1 point, written so
        (1151, 2300, 23, "pass"),
        (1151, 2300, 24, "fail"),
        (10**7, 10**7, 10**5 + 1, "fail"),  # one line of ten million
        (10**7, 10**7, 10**5, "pass"),
        (152, 300, -30, "pass"),  # a gain
    ],
)
def test_a_drop_is_counted_in_lines_and_not_in_digits(
    right: int, images: int, lost: int, status: str
) -> None:
    then, now = (Decimal(str(count / images)) for count in (right, right - lost))
    entry = BaselineEntry(1000, {"backbone": 1000}, then, images, "d" * 64)
    limits = AccuracyLimits("e", max_accuracy_drop=Decimal(1), wide_interval=WideInterval.PASS)
    row = accuracy_row(limits, entry, Evaluation(now, images, "d" * 64))
    assert row.status == status
    assert ("lost" in row.note) == (lost > 0)


@pytest.mark.parametrize(("least", "status"), [(1999, "pass"), (2000, "pass"), (2001, "fail")])
def test_as_many_images_as_the_limit_suffice(least: int, status: str) -> None:
    entry = BaselineEntry(1000, {"backbone": 1000}, Decimal("0.95"), 2000, "d" * 64)
    row = accuracy_row(AccuracyLimits("e", min_images=least), entry)
    assert (row.status, row.note) == (
        status,
        "" if status == "pass" else "2000 images, min_images = 2001",
    )


def test_accuracies_compare_over_the_same_images_only() -> None:
    entry = BaselineEntry(1000, {"backbone": 1000}, Decimal("0.95"), 2000, "d" * 64)
    limits = AccuracyLimits("e", max_accuracy_drop=Decimal(50))
    assert accuracy_row(limits, entry).status == "pass"
    for other in (replace(entry, images=500), replace(entry, data_digest="e" * 64)):
        row = accuracy_row(limits, other)
        assert row.status == "fail"
        assert "other data" in row.note
    # A floor alone compares with nothing.
    floor = AccuracyLimits("e", min_accuracy=Decimal("0.9"))
    assert accuracy_row(floor, replace(entry, images=500)).status == "pass"
    fewest = AccuracyLimits("e", min_images=2001)
    assert accuracy_row(fewest, entry).status == "fail"


def test_accuracies_compare_by_the_same_rules_only() -> None:
    case = NotCounted(("case",), "·")
    entry = BaselineEntry(1000, {"backbone": 1000}, Decimal("0.95"), 2000, "d" * 64, case)
    row = accuracy_row(AccuracyLimits("e", max_accuracy_drop=Decimal(50)), entry)
    assert row.status == "fail"
    assert "other things ignored than the baseline (nothing, then case, ·)" in row.note
    assert accuracy_row(AccuracyLimits("e", min_accuracy=Decimal("0.9")), entry).status == "pass"


def test_an_accuracy_the_baseline_lacks_is_new_unless_it_is_compared() -> None:
    entry = BaselineEntry(1000, {"backbone": 1000})
    assert accuracy_row(AccuracyLimits("e", Decimal("0.9")), entry).status == "new"
    row = accuracy_row(AccuracyLimits("e", max_accuracy_drop=Decimal(100)), entry)
    assert (row.status, row.note.partition(":")[0]) == (
        "fail",
        "the baseline has no accuracy of it",
    )


def test_accuracies_on_data_that_nobody_names_do_not_compare() -> None:
    entry = BaselineEntry(1000, {"backbone": 1000}, Decimal("0.95"), 2000, "d" * 64)
    limits = AccuracyLimits("e", max_accuracy_drop=Decimal(100))
    for then in (None, "", "d" * 64):
        for now in (None, "", "d" * 64):
            artifact = ArtifactLimits(path="m", accuracy=limits)
            evaluation = replace(EVALUATION, data_digest=now)
            measured = Measured(1000, {"backbone": 1000}, evaluation=evaluation)
            baseline = Baseline({"m": replace(entry, data_digest=then)})
            row = judge(Limits((artifact,)), baseline, {"m": measured}).rows[-1]
            assert row.status == ("pass" if then and now else "fail")
            whose = "the baseline" if now else "the evaluation"
            said = (
                f"{whose} does not say on which data, by a data_digest: evaluate it again, or"
                " update the baseline"
            )
            assert row.note == ("" if then and now else said)


def relative(*paths: str) -> Limits:
    return Limits(tuple(ArtifactLimits(path=p, max_growth_percent=Decimal(1)) for p in paths))


def test_another_spelling_is_the_same_artifact() -> None:
    measured = {"a/m": Measured(200, {"container": 200})}
    text = json.dumps(
        {
            "schema_version": 1,
            "artifacts": {"./a//m": {"bytes": 100, "components": {"container": 100}}},
            "history": [],
        }
    )
    baseline = parse_baseline(text, "b")
    for path in ("a/m", "./a/m", "a//m", "a/../a/m", "a/m/"):
        row = judge(relative(path), baseline, measured).rows[0]
        assert (row.status, row.artifact) == ("fail", path)
        assert row.note.startswith("grew by 100 bytes")
    with pytest.raises(UsageError, match="twice"):
        relative("m", "./m")
    twice = text.replace('"./a//m": {', '"a/m": {"bytes": 0, "components": {}}, "./a//m": {')
    with pytest.raises(InputRefused, match="twice"):
        parse_baseline(twice, "b")


def test_a_new_name_gets_nothing_past_a_limit_that_compares() -> None:
    entry = BaselineEntry(100, {"container": 100})
    measured = {"new": Measured(900, {"container": 900}), "old": Measured(100, {"container": 100})}
    renamed = judge(relative("new"), Baseline({"old": entry}), measured)
    assert renamed.rows[0].status == "fail"
    assert 'not in the baseline, and "old", which is' in renamed.rows[0].note
    added = judge(relative("new", "old"), Baseline({"old": entry}), measured)
    assert not added.failed
    history = ({"changes": {"./new": {"before": None, "after": 100}}},)
    cut = judge(relative("new", "old"), Baseline({"old": entry}, history), measured)
    assert "whose history has it" in cut.rows[0].note
    removed = ({"changes": {"new": {"before": 100, "after": None}}},)
    again = judge(relative("new", "old"), Baseline({"old": entry}, (*history, *removed)), measured)
    assert not again.failed


def test_many_artifacts_take_no_more_than_their_number() -> None:
    limits = Limits(tuple(ArtifactLimits(path=f"a{i}", max_bytes=1) for i in range(20_000)))
    baseline = Baseline({f"b{i}": BaselineEntry(0, {}) for i in range(20_000)})
    assert len(judge(limits, baseline, {}).rows) == 40_000


# ---- the limits file

LIMITS = """
schema_version = 1
baseline = "baseline.json"

[[artifacts]]
path = "model.safetensors"
max_bytes = 100_000
min_bytes = 100
max_growth_percent = 1.5
growth_floor_bytes = 64

[artifacts.components.codebook]
max_bytes = 6

[artifacts.components."decoder FFN"]
max_bytes = 0x20

[artifacts.accuracy]
evaluation = "eval.json"
min_accuracy = 0.93
max_accuracy_drop = 1
"""


def limits_file(folder: Path, text: str = LIMITS) -> Path:
    path = folder / "limits.toml"
    path.write_text(text)
    return path


def test_a_limits_file_is_read_exactly(tmp_path: Path) -> None:
    limits = read_limits(limits_file(tmp_path))
    assert limits.baseline == "baseline.json"
    assert limits.relative
    (artifact,) = limits.artifacts
    assert artifact.bounds == Bounds(100_000, 100, None, Decimal("1.5"), None, 64)
    assert artifact.components["decoder FFN"] == Bounds(max_bytes=32)
    assert artifact.accuracy == AccuracyLimits(
        "eval.json", Decimal("0.93"), max_accuracy_drop=Decimal(1)
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max_bytes = 100_000", "max_byte = 100_000", 'did you mean "max_bytes"?'),
        ("components.codebook", "components.codebok", 'did you mean "codebook"?'),
        ("min_accuracy = 0.93", "min_acuracy = 0.93", 'did you mean "min_accuracy"?'),
        ("baseline =", "base =", "unknown key"),
        ("schema_version = 1", "schema_version = 2", "schema_version"),
        ("schema_version = 1", "schema_version = true", "schema_version"),
        ("schema_version = 1\n", "\n", "schema_version"),
        ("100_000", "true", "max_bytes = true: must be a whole number, at least 0"),
        ("100_000", "-1", "max_bytes = -1: must be at least 0"),
        ("100_000", "1e5", "max_bytes = 1E+5: must be a whole number, at least 0"),
        ("100_000", '"100 kilos"', 'max_bytes = "100 kilos": must be a whole number'),
        ("100_000", "99", "min_bytes is above max_bytes"),
        ("= 1.5", "= nan", "max_growth_percent = NaN: must be 0 to 1000000"),
        ("= 1.5", "= inf", "max_growth_percent = Infinity: must be 0 to 1000000"),
        ("= 1.5", "= -1", "max_growth_percent = -1: must be 0 to 1000000"),
        ("= 1.5", "= true", "max_growth_percent = true: must be a number"),
        ("= 1.5", "= 1e400000", "max_growth_percent = 1E+400000: must be 0 to 1000000"),
        ("max_growth_percent = 1.5", "", "growth_floor_bytes does nothing"),
        ("0.93", "93", '"model.safetensors".accuracy.min_accuracy = 93: must be 0 to 1'),
        ('evaluation = "eval.json"', "", "evaluation is missing"),
        ("min_accuracy = 0.93\nmax_accuracy_drop = 1", "", "sets no limit"),
        (
            "[artifacts.components.codebook]\nmax_bytes = 6",
            "[artifacts.components.codebook]",
            "no limit",
        ),
        ('path = "model.safetensors"', "", "artifacts[0].path is missing"),
        ("[[artifacts]]", "[artifacts]", "artifacts = a table: must be a list, each a table"),
        ("schema_version = 1", "schema_version = ", "is not TOML"),
        ("schema_version = 1", "x = " + "[" * 3000, "is not TOML"),
    ],
)
def test_a_wrong_limits_file_is_a_usage_error(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    assert old in LIMITS
    with pytest.raises(UsageError) as caught:
        read_limits(limits_file(tmp_path, LIMITS.replace(old, new, 1)))
    assert said in str(caught.value)
    assert "limits.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_limits_that_check_nothing_are_refused(tmp_path: Path) -> None:
    for text in (
        "schema_version = 1",
        "schema_version = 1\nartifacts = []",
        'schema_version = 1\n[[artifacts]]\npath = "m.onnx"',
    ):
        with pytest.raises(UsageError):
            read_limits(limits_file(tmp_path, text))
    twice = "schema_version = 1\n" + '[[artifacts]]\npath = "m"\nmax_bytes = 1\n' * 2
    with pytest.raises(UsageError, match="twice"):
        read_limits(limits_file(tmp_path, twice))


# ---- the edge

EVAL = {"accuracy": 0.95, "images": 2000, "data_digest": "d" * 64, "ned": 0.99}
DIGEST = hashlib.sha256(make.good_safetensors()).hexdigest()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    made(tmp_path, make.good_safetensors())
    limits_file(tmp_path)
    return tmp_path


def made(project: Path, model: bytes) -> None:
    """The model and what `eval` says of it."""
    (project / "model.safetensors").write_bytes(model)
    digest = hashlib.sha256(model).hexdigest()
    (project / "eval.json").write_text(json.dumps({**EVAL, "model_digest": digest}))


def updated(project: Path, reason: str = "first release") -> Path:
    return update_gate(project / "limits.toml", None, reason, "2025-01-31")


def test_a_first_baseline_then_a_pass(project: Path) -> None:
    with pytest.raises(UsageError, match="no baseline"):
        run_gate(project / "limits.toml")
    assert updated(project) == project / "baseline.json"
    verdict = run_gate(project / "limits.toml")
    assert not verdict.failed
    assert {row.status for row in verdict.rows} == {Status.PASS}
    assert verdict.rows[-1].subject == "accuracy"
    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    moved = limits_file(elsewhere)
    again = run_gate(moved, project / "baseline.json", project)
    assert again == verdict


def test_byte_order_marks_are_passed_over(project: Path) -> None:
    """Editors write them, and shells that `eval --json` is piped through."""
    updated(project)
    for name in ("limits.toml", "baseline.json", "eval.json"):
        file = project / name
        file.write_bytes(codecs.BOM_UTF8 + file.read_bytes())
        assert not run_gate(project / "limits.toml").failed, name


def test_a_pattern_is_the_one_file_that_fits(project: Path) -> None:
    text = LIMITS.replace('"model.safetensors"', '"built/rec-*.safetensors"')
    limits = limits_file(project, text.replace('"eval.json"', '"eval-?[0-9a-f]*.json"'))
    (project / "built").mkdir()
    (project / "model.safetensors").rename(project / "built" / "rec-1f3a9c.safetensors")
    (project / "eval.json").rename(project / "eval-1f3a9c.json")
    updated(project)
    held = parse_baseline((project / "baseline.json").read_text(), "b").artifacts
    assert list(held) == ["built/rec-*.safetensors"]
    # Another build: the name is another, the entry in the baseline is the same.
    (project / "built" / "rec-1f3a9c.safetensors").rename(
        project / "built" / "rec-22bb.safetensors"
    )
    verdict = run_gate(limits)
    assert {row.status for row in verdict.rows} == {Status.PASS}
    assert verdict.rows[0].note == 'it is "rec-22bb.safetensors"'
    assert verdict.rows[0].artifact == "built/rec-*.safetensors"
    # A file left from before: nobody can tell which one is meant.
    (project / "built" / "rec-1f3a9c.safetensors").write_bytes(make.good_safetensors())
    row = run_gate(limits).rows[0]
    assert row.status == "fail"
    assert 'several fit, "rec-1f3a9c.safetensors", "rec-22bb.safetensors"' in row.note
    for path in (project / "built").iterdir():
        path.unlink()
    row = run_gate(limits).rows[0]
    assert (row.status, "no file or folder fits" in row.note) == ("fail", True)


def test_a_name_that_looks_like_a_pattern_is_a_name(project: Path) -> None:
    limits_file(project, LIMITS.replace('"model.safetensors"', '"m[1].safetensors"'))
    (project / "model.safetensors").rename(project / "m[1].safetensors")
    updated(project)
    assert not run_gate(project / "limits.toml").failed
    (project / "m1.safetensors").write_bytes(make.good_safetensors())
    assert "several fit" in run_gate(project / "limits.toml").rows[0].note


def test_a_model_that_grew_fails_and_an_update_says_why(project: Path) -> None:
    updated(project)
    data = bytes(range(110)) + bytes(4000)
    header = json.loads(make.good_safetensors()[8:].rpartition(b"}")[0] + b"}")
    header["classifier.more"] = make.tensor_entry(110, 4110, [1000])
    made(project, make.safetensors_bytes(header, data))
    verdict = run_gate(project / "limits.toml")
    assert verdict.failed
    assert [r.subject for r in verdict.rows if r.status is Status.FAIL] == ["total"]
    assert [r.subject for r in verdict.rows if r.status is Status.NEW] == ["classifier"]
    for empty in ("", "  \n", "x" * 501):
        with pytest.raises(UsageError, match="--reason"):
            updated(project, empty)
    updated(project, "  a better\nclassifier ")
    assert not run_gate(project / "limits.toml").failed
    baseline = parse_baseline((project / "baseline.json").read_text(), "b")
    assert [line["reason"] for line in baseline.history] == ["first release", "a better classifier"]
    change = baseline.history[1]["changes"]["model.safetensors"]
    assert change["after"] - change["before"] > 4000
    assert baseline.history[0]["date"] == "2025-01-31"


def test_missing_and_damaged_files_fail(project: Path) -> None:
    updated(project)
    model = (project / "model.safetensors").read_bytes()
    for content in (None, model[:-1], b"", b"nonsense"):
        (project / "model.safetensors").unlink(missing_ok=True)
        if content is not None:
            (project / "model.safetensors").write_bytes(content)
        verdict = run_gate(project / "limits.toml")
        assert total(verdict)[0] == "fail"
        assert "model.safetensors" in verdict.rows[0].note
        with pytest.raises(InputRefused, match="no baseline can be made"):
            updated(project)


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "[]",
        "null",
        "{",
        '{"accuracy": NaN, "images": 2000}',
        '{"accuracy": Infinity, "images": 2000}',
        '{"accuracy": 1e999, "images": 2000}',
        '{"accuracy": true, "images": 2000}',
        '{"accuracy": "0.95", "images": 2000}',
        '{"accuracy": 95, "images": 2000}',
        '{"accuracy": -0.1, "images": 2000}',
        '{"images": 2000}',
        '{"accuracy": 0.95}',
        '{"accuracy": 0.95, "images": 0}',
        '{"accuracy": 0.95, "images": true}',
        '{"accuracy": 0.95, "images": 2000.0}',
        '{"accuracy": 0.95, "accuracy": 0.99, "images": 2000}',
        '{"accuracy": 0.95, "images": 2000, "data_digest": 5}',
        '{"accuracy": 0.95, "images": 2000, "model_digest": null}',
        '{"accuracy": 0.9503, "images": 2000}',
        '{"accuracy": 0.95, "images": 2000, "ned": 0.94}',
        '{"accuracy": 0.95, "images": 2000, "accuracy_low": 0.95}',
        '{"accuracy": 0.95, "images": 2000, "accuracy_high": 0.95}',
        '{"accuracy": 0.95, "images": 2000, "wrong": [{}]}',
        "[" * 100_000,
    ],
)
def test_a_missing_or_malformed_evaluation_fails(content: str | None, project: Path) -> None:
    updated(project)
    (project / "eval.json").unlink()
    if content is not None:
        of_it = f'{{"model_digest": "{DIGEST}", '  # so that nothing else is wrong with it
        told = "model_digest" in content
        (project / "eval.json").write_text(content if told else content.replace('{"', of_it + '"'))
    verdict = run_gate(project / "limits.toml")
    assert verdict.rows[-1].status == "fail"
    assert "eval.json" in verdict.rows[-1].note
    assert [row.status for row in verdict.rows[:-1]] == ["pass"] * (len(verdict.rows) - 1)


def test_an_evaluation_of_what_the_model_was_before_fails(project: Path) -> None:
    updated(project)
    assert not run_gate(project / "limits.toml").failed
    made(project, b"another")
    stale = (project / "eval.json").read_bytes()
    made(project, make.good_safetensors())
    (project / "eval.json").write_bytes(stale)
    row = run_gate(project / "limits.toml").rows[-1]
    assert (row.subject, row.status) == ("accuracy", "fail")
    assert "is not of this model" in row.note
    with pytest.raises(InputRefused, match="is not of this model"):
        updated(project)


def test_an_evaluation_is_of_this_model_with_these_lists(tmp_path: Path) -> None:
    path = tmp_path / "eval.json"

    def fits(model: str | None, lists: str | None, **said: Any) -> bool:
        path.write_text(json.dumps({**EVAL, **said}))
        try:
            return read_evaluation(path, model, lists).images == EVAL["images"]
        except InputRefused:
            return False

    assert fits("m", None, model_digest="m")
    assert fits("m", "l", model_digest="m", lists_digest="l")
    assert not fits("m", "l", model_digest="m")
    assert not fits("m", "l", model_digest="m", lists_digest="k")
    assert not fits("m", None, model_digest="m", lists_digest="l")
    assert not fits("m", None, model_digest="n")
    assert fits("m", None, model_digest="m", reading=READING)
    assert not fits("m", None, model_digest="m", reading=READING - 1)
    assert not fits("m", None)
    assert not fits(None, None)  # no model, no evaluation of it


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"schema_version": True},
        {"artifacts": []},
        {"history": {}},
        {"history": ["x"]},
        {"more": 1},
        {"artifacts": {"m": {"bytes": 5}}},
        {"artifacts": {"m": {"bytes": True, "components": {"container": 1}}}},
        {"artifacts": {"m": {"bytes": 5, "components": {"container": 4}}}},
        {"artifacts": {"m": {"bytes": 5, "components": {"container": 5}, "acc": 1}}},
        {"artifacts": {"m": {"bytes": 5, "components": {"container": 5}, "accuracy": math.nan}}},
        {"artifacts": {"m": {"bytes": 5, "components": {"container": 5}, "accuracy": True}}},
        {"artifacts": {"m": {"bytes": -5, "components": {"container": -5}}}},
        {"artifacts": {"m": {"bytes": 5, "components": {"container": 5}, "images": 5}}},
        {"artifacts": {"m": {"bytes": 5, "components": {"container": 5}, "accuracy": 0.5}}},
        {"artifacts": {"m": {"bytes": 5, "components": {"container": 5}, "data_digest": "d"}}},
    ],
)
def test_a_damaged_baseline_is_refused(change: dict[str, Any], project: Path) -> None:
    path = updated(project)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputRefused, match=r"baseline\.json"):
        run_gate(project / "limits.toml")
    before = path.read_bytes()
    with pytest.raises(InputRefused, match=r"baseline\.json"):
        updated(project)
    assert path.read_bytes() == before


def test_a_baseline_that_was_named_must_be_there(project: Path) -> None:
    text = 'schema_version = 1\n[[artifacts]]\npath = "model.safetensors"\nmax_bytes = 9999\n'
    limits = limits_file(project, text)
    assert not run_gate(limits).failed  # nothing to compare with, nothing asked
    with pytest.raises(UsageError, match="no baseline"):
        run_gate(limits, project / "gone.json")
    with pytest.raises(UsageError, match="names no baseline"):
        update_gate(limits, None, "why", "2025-01-31")


def test_the_same_measurements_write_the_same_baseline(project: Path) -> None:
    first = updated(project).read_text()
    (project / "baseline.json").unlink()
    assert updated(project).read_text() == first
    assert first.endswith("}\n")


def test_update_is_pure_and_drops_what_left_the_limits() -> None:
    old = Baseline({"gone": BaselineEntry(5, {"container": 5})})
    text = update(old, {"m": Measured(7, {"container": 7})}, "why", "2025-01-31")
    new = parse_baseline(text, "b")
    assert set(new.artifacts) == {"m"}
    assert new.history[-1]["changes"] == {
        "gone": {"before": 5, "after": None},
        "m": {"before": None, "after": 7},
    }


# ---- what is shown


def test_rows_json_and_markdown(project: Path) -> None:
    updated(project)
    verdict = run_gate(project / "limits.toml")
    table = cells(verdict)
    assert table[0] == HEADER
    assert {len(row) for row in table} == {len(HEADER)}
    assert table[-1][3:6] == ("95.00%", "95.00%", "+0.00 points")
    text = json.dumps(verdict.to_dict(), allow_nan=False)
    assert json.loads(text)["counts"]["pass"] == len(verdict.rows)
    assert json.loads(text)["failed"] is False
    shown = markdown(verdict)
    assert "**gate passed: 7 pass**" in shown
    lines = [line for line in shown.splitlines() if line.startswith("|")]
    assert len(lines) == len(verdict.rows) + 2


def test_markdown_cannot_be_broken_out_of() -> None:
    limits = Limits((ArtifactLimits(path="a|b<img src=x>\n## title", max_bytes=1),))
    shown = markdown(judge(limits, None, {}))
    assert "<img" not in shown
    assert "\n## title" not in shown
    assert "a\\|b" in shown


def test_the_summary_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    append_summary(lambda: "after\n", {"GITHUB_STEP_SUMMARY": str(path)})
    assert path.read_text() == "before\nafter\n"
    append_summary(lambda: "nothing\n", {})
    with pytest.raises(EnvironmentFailed):
        append_summary(lambda: "x", {"GITHUB_STEP_SUMMARY": str(tmp_path)})
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(EnvironmentFailed):  # nobody reads it
        append_summary(lambda: "x", {"GITHUB_STEP_SUMMARY": str(tmp_path / "pipe")})


def test_errors_are_one_line(project: Path) -> None:
    (project / "limits.toml").write_bytes(b'\xff\xfe schema = "\n"')
    with pytest.raises(HcompressError) as caught:
        run_gate(project / "limits.toml")
    assert "\n" not in str(caught.value)


def test_narrow_tables_say_in_every_part_what_a_row_is_of() -> None:
    path = "a/folder/of/some/length/model.onnx"
    limits = Limits((ArtifactLimits(path=path, max_bytes=1),))
    verdict = judge(limits, None, {path: Measured(99, {"container": 99})})
    parts = "\n".join(table_lines(cells(verdict), 80, NAMES)).split("\n\n")
    assert len(parts) > 1
    assert all(path in line for part in parts for line in part.splitlines()[2:])
