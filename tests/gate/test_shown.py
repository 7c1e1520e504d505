"""What bots read: rows of JSON, Markdown, JUnit's XML, GitHub's annotations."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from hcompress.errors import EnvironmentFailed
from hcompress.gate.accuracy import Evaluation
from hcompress.gate.baseline import Baseline, BaselineEntry, BudgetEntry
from hcompress.gate.git import file_at
from hcompress.gate.judge import Measured, MeasuredBudget, judge
from hcompress.gate.limits import (
    AccuracyLimits,
    ArtifactLimits,
    BudgetLimits,
    Limits,
    WideInterval,
)
from hcompress.gate.outputs import Outputs
from hcompress.gate.run import update
from hcompress.gate.show import annotated, annotation_of_error, junit, markdown, notes
from hcompress.gate.verdict import Status, Verdict

ONE, TWO = "1" * 64, "2" * 64
ODD = 'a,b:c%|<b>&"\n::error::x\x1b\ufffe'


def sized(size: int, digest: str | None = None) -> Measured:
    return Measured(size, {"container": size}, digest=digest)


def entry(size: int, digest: str | None = None) -> BaselineEntry:
    return BaselineEntry(size, {"container": size}, digest=digest)


def grown(path: str = "m", **limits: Any) -> Verdict:
    """Of 1,000 bytes that were 950."""
    asked: dict[str, Any] = {
        "max_bytes": 2000, "max_growth_percent": Decimal(1), "growth_floor_bytes": 20, **limits,
    }  # fmt: skip
    artifact = ArtifactLimits(path=path, **asked)
    baseline = Baseline({path: entry(950)})
    return judge(Limits((artifact,)), baseline, {path: sized(1000, ONE)}, ref="f" * 40)


def test_a_row_of_the_json_says_what_decided() -> None:
    row = grown().to_dict()["rows"][0]
    wanted = {
        "status": "fail", "rule": "max_growth_percent", "limit": 1.0, "delta": 50,
        "headroom": -30, "digest": ONE, "ref": "f" * 40, "value": 1000, "baseline": 950,
    }  # fmt: skip
    assert {key: row[key] for key in wanted} == wanted
    assert [(c["rule"], c["headroom"], c["status"]) for c in row["checks"]] == [
        ("max_bytes", 1000, "pass"),
        ("max_growth_percent", -30, "fail"),
    ]
    json.dumps(row, allow_nan=False)
    passed = grown(max_growth_percent=Decimal(10)).to_dict()["rows"][0]
    assert (passed["rule"], passed["limit"], passed["headroom"]) == ("max_bytes", 2000, 1000)


@pytest.mark.parametrize(("percent", "floor"), [(1, 0), (1, 20), (0, 0), (7, 3)])
def test_headroom_is_what_may_be_added(percent: int, floor: int) -> None:
    bounds = ArtifactLimits(path="m", max_growth_percent=Decimal(percent), growth_floor_bytes=floor)
    limits, baseline = Limits((bounds,)), Baseline({"m": entry(950)})
    (check,) = judge(limits, baseline, {"m": sized(1000)}).rows[0].checks
    most = 1000 + int(check.headroom or 0)
    for size, status in ((most, "pass"), (most + 1, "fail")):
        assert judge(limits, baseline, {"m": sized(size)}).rows[0].status == status


def accurate(images: int, wide: WideInterval, drop: str = "1", accuracy: str = "0.95") -> Any:
    limits = AccuracyLimits("e", max_accuracy_drop=Decimal(drop), wide_interval=wide)
    then = replace(entry(9), accuracy=Decimal("0.95"), images=images, data_digest=ONE)
    found = replace(sized(9), evaluation=Evaluation(Decimal(accuracy), images, ONE))
    artifact = ArtifactLimits(path="m", accuracy=limits)
    return judge(Limits((artifact,)), Baseline({"m": then}), {"m": found}).rows[-1]


def test_a_limit_that_the_lines_cannot_tell() -> None:
    refused = accurate(300, WideInterval.FAIL)
    assert (refused.status, refused.decisive.rule) == ("fail", "wide_interval")
    assert "300 lines tell 1.3 points at best, max_accuracy_drop = 1: 460 lines" in refused.note
    assert accurate(300, WideInterval.WARN).status == "warn"
    passed = accurate(300, WideInterval.PASS)
    assert (passed.status, "460 lines are needed" in passed.note) == ("pass", True)
    assert accurate(460, WideInterval.FAIL).status == "pass"
    assert accurate(459, WideInterval.FAIL).status == "fail"
    # None may be lost of these very lines: there is nothing to be told.
    assert accurate(20, WideInterval.FAIL, drop="0").status == "pass"
    assert accurate(20, WideInterval.FAIL, drop="0", accuracy="0.9").status == "fail"
    low, high = passed.to_dict()["interval"]
    assert low == pytest.approx(0.919, abs=1e-3)
    assert high == pytest.approx(0.969, abs=1e-3)


def test_the_lower_end_of_the_interval_has_a_limit_of_its_own() -> None:
    for images, status in ((200, "fail"), (2000, "pass")):
        limits = AccuracyLimits("e", min_accuracy_low=Decimal("0.93"))
        found = replace(sized(9), evaluation=Evaluation(Decimal("0.95"), images, None))
        artifact = ArtifactLimits(path="m", accuracy=limits)
        row = judge(Limits((artifact,)), None, {"m": found}).rows[-1]
        assert (row.status, row.decisive.rule) == (status, "min_accuracy_low")  # type: ignore[union-attr]


def test_a_rename_is_followed_by_digest_and_by_word() -> None:
    strict = {"max_growth_percent": Decimal(1)}
    baseline = Baseline({"old": entry(100, ONE)})
    by_digest = judge(
        Limits((ArtifactLimits(path="new", **strict),)), baseline, {"new": sized(100, ONE)}
    )
    assert [(row.status, row.baseline) for row in by_digest.rows] == [("pass", 100)] * 2
    assert 'is "old" of the baseline under another name' in by_digest.rows[0].note
    said = ArtifactLimits(path="new", renamed_from="./old", **strict)
    for size, status in ((101, "pass"), (102, "fail")):
        verdict = judge(Limits((said,)), baseline, {"new": sized(size, TWO)})
        assert (verdict.rows[0].status, verdict.rows[0].baseline) == (status, 100)
        assert not verdict.count(Status.REMOVED)
    done = Baseline({"new": entry(100, TWO)})
    note = judge(Limits((said,)), done, {"new": sized(100, TWO)}).rows[0].note
    assert note == "renamed_from has done its work: take it out"


def test_a_budget_is_of_all_files_together() -> None:
    budget = BudgetLimits(name="app", paths=("a",), max_growth_percent=Decimal(10))
    baseline = Baseline({}, budgets={"app": BudgetEntry(100, {"a": 60, "b": 40})})
    for files, status in (({"a": 40, "b": 70}, "pass"), ({"a": 60, "b": 40, "c": 11}, "fail")):
        found = {"app": MeasuredBudget(files)}
        row = judge(Limits((), budgets=(budget,)), baseline, {}, found).rows[0]
        assert row.status == status
    assert '3 files; "c" +11' in row.note
    text = update(baseline, {}, "why", "2025-01-31", {"app": MeasuredBudget({"a": 9})})
    assert json.loads(text)["budgets"] == {"app": {"bytes": 9, "files": {"a": 9}}}
    assert json.loads(text)["history"][0]["budgets"] == {"app": {"before": 100, "after": 9}}


def many() -> Verdict:
    """A pass that grew, 20 that are as they were, a warning and a failure, in that order."""
    names = ["grew", *(f"same{n}" for n in range(20)), "warns", ODD]
    artifacts = [ArtifactLimits(path=name, max_bytes=2000) for name in names[:-2]]
    artifacts += [
        ArtifactLimits(path="warns", warn_bytes=1),
        ArtifactLimits(path=ODD, max_bytes=1),
    ]
    measured = {one.key: sized(110 if one.path == "grew" else 100) for one in artifacts}
    entries = {one.key: entry(100) for one in artifacts}
    return judge(Limits(tuple(artifacts)), Baseline(entries), measured, ref="c" * 40)


def test_markdown_has_failures_first_and_folds_what_is_unchanged() -> None:
    text = markdown(many())
    head, folded = text.split("<details>")
    rows = [line for line in head.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert ["fail" in rows[0], "warn" in rows[1], "grew" in rows[2]] == [True] * 3
    assert "<summary>42 rows unchanged" in folded
    assert "same19" in folded
    assert "same19" not in head
    assert "cccccccccccc" in head
    assert "<b>" not in text
    assert "\n::error::x" not in text


def test_junit_is_xml_whatever_the_names(tmp_path: Path) -> None:
    verdict = many()
    root = ElementTree.fromstring(junit(verdict))
    assert root.attrib["failures"] == "1"
    cases = root.findall("testcase")
    assert len(cases) == len(verdict.rows) == int(root.attrib["tests"])
    (failure,) = root.iter("failure")
    assert failure.attrib["type"] == "max_bytes"
    assert any("<b>" in case.attrib["classname"] for case in cases)
    with pytest.raises(EnvironmentFailed, match="cannot be written"):
        Outputs(tmp_path / "l.toml", junit=tmp_path / "no" / "j.xml").begin()


def test_annotations_are_one_command_each() -> None:
    lines = annotated(many(), "limits, of:all.toml", {"warns": 7})
    assert [line.partition(" ")[0] for line in lines] == ["::error", "::warning"]
    assert not any("\n" in line or "\r" in line for line in lines)
    assert all(line.count("::") == 2 or "%3A" in line for line in lines)
    assert lines[0].startswith("::error file=limits%2C of%3Aall.toml,title=a%2Cb%3Ac%25")
    assert ",line=7,title=warns%3A total::" in lines[1]
    assert annotation_of_error("100% wrong", "l").endswith("::100%25 wrong")


def test_notes_lose_no_name() -> None:
    verdict = grown("a/very/long/" + "folder/" * 20 + "model.onnx")
    assert verdict.rows[0].artifact in notes(verdict)[0]


def test_git_that_is_not_here_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFailed, match="needs git"):
        file_at("main", tmp_path / "b.json", 9)
