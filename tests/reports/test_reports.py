"""Reports: the table's rows, the model of a run, and the three files that show it."""

from __future__ import annotations

import dataclasses
import hashlib
import html.parser
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hcompress.artifacts.kinds import Kind
from hcompress.artifacts.manifest import FileRecord, Manifest, Parent, StageRecord
from hcompress.errors import InputRefused
from hcompress.metrics import wilson
from hcompress.reports import write_report
from hcompress.reports.caveats import TEACHERS
from hcompress.reports.load import load_report
from hcompress.reports.model import accuracy_change, duration_text
from hcompress.reports.page import render_page
from hcompress.reports.rows import flat
from hcompress.reports.samples import png_uri
from hcompress.reports.size_table import PAPER_TECHNIQUES as TECHNIQUES
from hcompress.reports.size_table import (
    Column,
    markdown_text,
    mib_text,
    table1_markdown,
    table1_rows,
)
from hcompress.sizes import RERANKED, Component
from hcompress.strict.digest import file_digest
from tests import ROOT

HOSTILE = "</script><img src=x onerror=alert(1)>|`$\u202e\x00\"'"
MIB = 1 << 20


def _hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _breakdown(**mib: float) -> dict[str, Any]:
    sizes = {name.replace("_", " "): round(size * MIB) for name, size in mib.items()}
    rows = [{"name": name, "bytes": size, "params": size // 4} for name, size in sizes.items()]
    return {"bytes": sum(sizes.values()), "components": rows}


SOFTMAX = _breakdown(
    backbone=1.9, decoder_attention=5.9, decoder_FFN=5.8, embedding=0.1, classifier=0.1
)
HAMMING = _breakdown(
    backbone=1.9, decoder_attention=2.0, embedding=0.02, classifier=0.5, codebook=0.01
)
HALF = _breakdown(
    backbone=0.95, decoder_attention=1.0, classifier=0.25, codebook=0.01, container=0.02
)
STAGES: list[tuple[str, int, dict[str, Any], dict[str, Any]]] = [
    (
        "codebook",
        0,
        SOFTMAX,
        {
            "code_length": 512,
            "nearest": [
                {
                    "character": "0",
                    "neighbours": [
                        {"character": character, "distance": distance}
                        for character, distance in (("O", 33), ("o", 41), ("Q", 87), ("D", 98))
                    ],
                },
                {"character": HOSTILE, "neighbours": [{"character": "漢", "distance": 3}]},
            ],
            "distance": {"minimum": 33, "mean": 251.4},
            "samples": {"least": 812, "median": 1033},
            "margins": {"mean": 0.81},
            "collisions": {"found": 0, "resolved": 0},
            "unseen": {"count": 1, "characters": ["ß"]},
            "margins_of": None,
        },
    ),
    ("replace-head", 2, _breakdown(backbone=1.9, decoder_attention=5.9, decoder_FFN=5.8), {}),
    ("slim-decoder", 4, HAMMING, {"shared_from": 0}),
    (
        "finetune",
        4,
        HAMMING,
        {
            "steps": 4000,
            "curve": [{"step": 1}, {"step": 2}],
            "device": "cpu",
            "loss": {"first": 9.1, "last": 0.4},
        },
    ),
    ("half", 5, HALF, {}),
    ("onnx", 5, HALF, {"parity": {"lines": 64}, "precision": {"says": "unverified: no GPU"}}),
]


def _manifest(number: int) -> Manifest:
    name, count, breakdown, report = STAGES[number]
    return Manifest(
        stage=StageRecord(name, 1, {"code_length": 512} if name == "codebook" else {}),
        key=_hex(name),
        parent=Parent(STAGES[number - 1][0], _hex(STAGES[number - 1][0])) if number else None,
        kind=Kind.ONNX if name == "onnx" else Kind.CHECKPOINT,
        files={"model.onnx" if name == "onnx" else "model.safetensors": FileRecord(9, _hex("x"))},
        breakdown=breakdown,
        techniques=(TECHNIQUES[0], *TECHNIQUES[1 : count + 1]),
        report=report,
        inputs={"data": _hex("validation")} if name == "finetune" else {},
        seed=7,
        threads=2,
        versions={"torch": "2.13.0"},
        seconds=12.5 * (number + 1),
        finished="2026-01-01T00:00:00+0000",
    )


def _evaluation(data: str, images: int, right: int, reads: dict[int, str]) -> dict[str, Any]:
    accuracy = right / images
    low, high = wilson(right, images)
    truths = {index: f"line {index}" for index in range(24)} | {3: HOSTILE}
    samples = [
        {"index": index, "truth": truth, "read": reads.get(index, truth), "confidence": 0.9}
        for index, truth in truths.items()
    ]
    return {
        "model": "model.safetensors",
        "data": data,
        "data_digest": _hex(Path(data).stem),
        "images": images,
        "accuracy": accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "ned": min(1.0, accuracy + 0.02),
        "confidence": {"mean": 0.93, "ece": 0.021},
        "seconds": 4.0,
        "samples": samples,
        "wrong": [row for row in samples if row["truth"] != row["read"]],
    }


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of six stages, with a hostile charset and hostile labels."""
    folder = tmp_path / "run"
    stages = []
    for number, (name, *_) in enumerate(STAGES):
        where = f"{number + 1:02d}-{name}"
        _write(folder / where / "manifest.json", _manifest(number).to_dict())
        entry = {"folder": where, "label": name, "stage": name, "key": _hex(name)}
        stages.append({**entry, "status": "done"})
    versions = {"hcompress": "0.1.0", "torch": "2.13.0"}
    _write(folder / "run.json", {"teacher": "t", "stages": stages, "versions": versions})
    recipe = {"name": "hamming-ocr-latin", "summary": f"All of it. {HOSTILE}", "seed": 7}
    _write(folder / "recipe.json", recipe)
    teacher = {"path": "latin.safetensors", "digest": _hex("teacher"), "breakdown": SOFTMAX}
    about = {"techniques": [TECHNIQUES[0]], "characters": 20_948}
    _write(folder / "00-teacher.json", {**teacher, **about})
    where = folder / "evaluations"
    for number, right in ((0, 476), (2, 254), (3, 10), (4, 472), (5, 472), (6, 471)):
        name = "00-teacher" if number == 0 else f"{number:02d}-{STAGES[number - 1][0]}"
        reads = {3: "line", 5: ""} if number == 6 else {7: "lime 7"}
        _write(where / f"{name}.json", _evaluation("data/validation.toml", 500, right, reads))
        if number in (0, 6):
            final = _evaluation("data/test.toml", 2000, 4 * right, reads)
            _write(where / f"{name}.final.json", final)
    return folder


def _column(name: str, count: int, **mib: float) -> Column:
    parts = tuple(
        Component(part.replace("_", " "), round(size * MIB), 5) for part, size in mib.items()
    )
    size = sum(part.bytes for part in parts)
    return Column(name, TECHNIQUES[:count], size, parts, characters=20_948)


def test_rows_have_check_marks_groups_total_and_the_papers_sizes() -> None:
    rows = table1_rows(
        [_column("baseline", 0, backbone=175.7, embedding=40.9), _column("light", 1, backbone=2.0)]
    )
    by_name = {row[0]: row[1:] for row in rows}
    assert rows[0] == ["", "baseline", "light"]
    assert by_name["MobileNetV2"] == ["", "✓"]
    assert by_name["Half-Precision Float (FP16)"] == ["", ""]
    assert by_name["backbone, MiB"] == ["175.7", "2.00"]
    assert by_name["embedding, MiB"] == ["40.90", "–"]
    assert "codebook, MiB" not in by_name
    assert by_name["total, MiB"] == ["216.6", "2.00"]
    assert by_name["paper, MiB (20,948 characters)"] == ["305.8", "55.6"]
    assert len({len(row) for row in rows}) == 1


@pytest.mark.parametrize(
    ("techniques", "mib"),
    [
        ((), 305.8),
        (TECHNIQUES, 3.9),
        ((*TECHNIQUES, RERANKED), 3.9),
        (TECHNIQUES[1:3], 226.9),
        (tuple(reversed(TECHNIQUES[1:5])), 187.1),
        (TECHNIQUES[5:], None),
    ],
)
def test_the_papers_size_goes_by_the_set_of_techniques(
    techniques: tuple[str, ...], mib: float | None
) -> None:
    assert Column("any", techniques, 1, characters=20_948).paper_mib == mib


@pytest.mark.parametrize(
    ("characters", "held_against"),
    [(None, False), (94, False), (6_625, False), (20_902, True), (20_951, True), (40_000, False)],
)
def test_the_papers_size_is_for_a_model_of_its_size(
    characters: int | None, held_against: bool
) -> None:
    column = dataclasses.replace(_column("light", 1, backbone=2.0), characters=characters)
    assert column.paper_mib == (55.6 if held_against else None)
    assert any(row[0].startswith("paper") for row in table1_rows([column])) == held_against
    assert column.to_dict()["characters"] == characters


def test_a_technique_the_paper_lacks_gets_a_row_of_its_own() -> None:
    rows = table1_rows([Column("int8", (*TECHNIQUES, "INT8"), 5)])
    assert ["INT8", "✓"] in rows


def test_no_columns_give_no_table() -> None:
    assert table1_rows([]) == []
    assert table1_markdown([]) == ""


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "–"), (1, "<0.01"), (MIB, "1.00"), (-MIB, "−1.00"), (200 * MIB, "200.0")],
)
def test_mib_text(size: int, text: str) -> None:
    assert mib_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(8.25, "8.2 s"), (245, "4 min 05 s"), (3720, "1 h 02 min")]
)
def test_duration_text(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_markdown_text_leaves_nothing_that_markdown_obeys() -> None:
    assert markdown_text("a|b\n<i>`") == "a\\|b‹U+000A›&lt;i\\>\\`"


def test_the_model_holds_columns_accuracies_codes_and_samples(run: Path) -> None:
    report = load_report(run)
    assert [column.name for column in report.columns][:3] == ["teacher", "codebook", "replace-head"]
    assert report.columns[0].accuracy == 476 / 500
    assert report.columns[1].accuracy is None
    assert report.codes is not None
    assert report.codes.nearest[0][1][0].distance == 33
    assert report.codes.figures["unseen"] == {"count": 1, "characters": ["ß"]}
    pair = accuracy_change(report)
    assert pair is not None
    assert (pair[0].images, pair[0].data) == (2000, "data/test.toml")
    assert report.samples is not None
    assert {line.index for line in report.samples.lines if line.before != line.after} == {3, 5, 7}


def test_limits_are_said_from_the_records(run: Path) -> None:
    said = " ".join(load_report(run).limits)
    assert "Not read: codebook." in said
    assert "04-finetune looked at validation.toml itself" in said
    assert "looked at test.toml" not in said
    assert "nothing here was run on a GPU" in said
    assert "06-onnx: unverified: no GPU." in said
    assert "validation.toml, test.toml: text rendered from fonts" in said


def test_a_shipped_teacher_is_said_to_be_what_it_is(run: Path) -> None:
    raw = json.loads((run / "00-teacher.json").read_text(encoding="utf-8"))
    assert not set(TEACHERS.values()) & set(load_report(run).limits)
    digest = file_digest(ROOT / "recipes" / "teacher" / "gbk21k.safetensors")
    _write(run / "00-teacher.json", {**raw, "digest": digest})
    assert TEACHERS[digest] in load_report(run).limits


def test_three_files_are_written_and_nothing_else(run: Path) -> None:
    before = {path.name for path in run.iterdir()}
    paths = write_report(run)
    assert {path.name for path in run.iterdir()} - before == {
        paths.json.name,
        paths.markdown.name,
        paths.html.name,
    }
    raw = json.loads(paths.json.read_text(encoding="utf-8"))
    assert raw["format"] == 1
    assert raw["columns"][0]["paper_mib"] == 55.6
    assert raw["columns"][0]["bytes"] == SOFTMAX["bytes"]
    assert "| total, MiB |" in paths.markdown.read_text(encoding="utf-8")


def test_the_same_run_gives_the_same_bytes(run: Path) -> None:
    pytest.importorskip("matplotlib")
    first = [getattr(write_report(run), kind).read_bytes() for kind in ("json", "markdown", "html")]
    again = [getattr(write_report(run), kind).read_bytes() for kind in ("json", "markdown", "html")]
    assert first == again


class _Page(html.parser.HTMLParser):
    """Tags and addresses of a page; and that every element is closed where it must be."""

    VOID = frozenset({"meta", "img", "link", "br", "path", "use", "rect", "stop"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name in ("src", "href", "xlink:href"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_whole_loads_nothing_and_runs_nothing(run: Path) -> None:
    pytest.importorskip("matplotlib")
    source = write_report(run).html.read_text(encoding="utf-8")
    page = _Page()
    page.feed(source)
    assert page.open == []
    assert "script" not in page.tags
    assert page.tags.count("svg") == 2
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.addresses)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"url\((?!#)|@import|\\x00|\u202e", source)
    assert "&lt;/script&gt;&lt;img" in source


def test_values_are_said_in_short() -> None:
    figures = {"curve": [{"step": 1}, {"step": 2}], "none": None, "loss": {"last": 0.41234567}}
    assert list(flat({**figures, "steps": 20_000, "long": "x" * 999})) == [
        ("curve", "2 entries, in report.json"),
        ("none", "–"),
        ("loss.last", "0.412346"),
        ("steps", "20,000"),
        ("long", "x" * 240 + " …"),
    ]


def test_hostile_labels_leave_the_markdown_a_table(run: Path) -> None:
    source = write_report(run).markdown.read_text(encoding="utf-8")
    assert "<img" not in source
    assert "\u202e" not in source
    rows = [line for line in source.splitlines() if line.startswith("| 3 |")]
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 5


def test_a_dollar_sign_in_a_label_is_no_formula(run: Path) -> None:
    pytest.importorskip("matplotlib")
    report = load_report(run)
    columns = tuple(dataclasses.replace(entry, name=r"$\frac{<b>") for entry in report.columns)
    page = render_page(dataclasses.replace(report, columns=columns))
    assert r"$\frac{&lt;b&gt;" in page
    assert r"<b>$" not in page


def test_without_matplotlib_the_page_says_so(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    source = write_report(run).html.read_text(encoding="utf-8")
    assert "matplotlib is not installed" in source
    assert "<svg" not in source
    assert "total, MiB" in source


def test_images_are_made_again_from_the_data(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    data = tmp_path / "data" / "test.tsv"
    lines = []
    for index in range(24):
        name = f"{index}.png"
        data.parent.mkdir(exist_ok=True)
        Image.new("RGB", (60, 20), (index, 0, 0)).save(data.parent / name)
        lines.append(f"{name}\tline {index}")
    data.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for path in (run / "evaluations").glob("*.final.json"):
        raw = json.loads(path.read_text(encoding="utf-8"))
        _write(path, {**raw, "data": "data/test.tsv", "data_digest": ""})
    monkeypatch.chdir(tmp_path)
    source = write_report(run).html.read_text(encoding="utf-8")
    assert source.count('<img src="data:image/png;base64,') == 18


def test_data_that_is_gone_or_changed_leaves_the_lines_without_images(run: Path) -> None:
    source = write_report(run).html.read_text(encoding="utf-8")
    assert "no images: data/test.toml is not there any more" in source
    (run / "data").mkdir()
    (run / "data" / "test.toml").write_text("broken", encoding="utf-8")
    assert "no images: " in write_report(run).html.read_text(encoding="utf-8")


def test_a_wide_image_is_shrunk() -> None:
    small = png_uri(np.zeros((48, 160, 3), np.uint8))
    wide = png_uri(np.zeros((48, 6400, 3), np.uint8))
    assert small.startswith("data:image/png;base64,")
    assert len(wide) < 2 * len(small)


def test_a_run_cut_short_has_a_report(run: Path) -> None:
    for number, (name, *_) in enumerate(STAGES):
        (run / f"{number + 1:02d}-{name}" / "manifest.json").unlink()
    for path in (run / "evaluations").iterdir():
        path.unlink()
    source = write_report(run).html.read_text(encoding="utf-8")
    assert "No stage has finished" in source
    assert "Accuracy after each stage" not in source


def _replace_text(path: str, text: str) -> Callable[[Path], None]:
    return lambda run: (run / path).write_text(text, encoding="utf-8") and None


def _as_pipe(path: str) -> Callable[[Path], None]:
    return lambda run: (run / path).unlink() or os.mkfifo(run / path)


def _set(path: str, key: str, value: object) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        raw = json.loads((run / path).read_text(encoding="utf-8"))
        _write(run / path, {**raw, key: value})

    return change


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: (run / "run.json").unlink(), "run.json: missing"),
        (_replace_text("recipe.json", "{"), "recipe.json: is not strict JSON"),
        (_replace_text("recipe.json", "[]"), "recipe.json: is a list of 0: must be a table"),
        (_replace_text("run.json", "[" * 100_000), "run.json: JSON is nested too deeply"),
        (_replace_text("evaluations/00-teacher.json", '{"images": NaN}'), "NaN is no number"),
        (_set("evaluations/00-teacher.json", "accuracy", 10**400), "out of range"),
        (_as_pipe("run.json"), "run.json: is a named pipe"),
        (
            _set("evaluations/00-teacher.json", "accuracy", "high"),
            'accuracy = "high": must be a number',
        ),
        (
            _set("evaluations/00-teacher.json", "accuracy", True),
            "accuracy = true: must be a number",
        ),
        (
            _set("run.json", "stages", [{"folder": "../x", "label": "x"}]),
            "not a folder of this run",
        ),
        (_set("00-teacher.json", "breakdown", {"bytes": 3}), "00-teacher.json: breakdown"),
        (_replace_text("01-codebook/manifest.json", "{}"), "manifest.json: format is missing"),
    ],
)
def test_damage_is_refused_in_one_line_and_nothing_is_written(
    run: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(run)
    with pytest.raises(InputRefused, match=re.escape(said)) as caught:
        write_report(run)
    assert "\n" not in str(caught.value)
    assert not (run / "report.json").exists()


def test_a_lone_surrogate_in_a_label_is_written_all_the_same(run: Path) -> None:
    path = run / "evaluations" / "00-teacher.final.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["samples"][0]["truth"] = raw["samples"][0]["read"] = "\ud800"
    _write(path, raw)
    paths = write_report(run)
    assert "‹U+D800›" in paths.html.read_text(encoding="utf-8")
    assert json.loads(paths.json.read_text(encoding="utf-8"))["format"] == 1
