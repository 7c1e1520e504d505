"""Model cards: what they say, what they refuse to say, and which files they replace."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hcompress.artifacts.kinds import Kind
from hcompress.artifacts.manifest import FileRecord, Manifest, StageRecord
from hcompress.cli import main
from hcompress.data.source import open_data
from hcompress.errors import InputRefused, UsageError
from hcompress.reports import caveats
from hcompress.reports.card import MARK, Card, Data, Font, fonts_text, kinds_text, render_card
from hcompress.reports.card_data import make_card
from hcompress.sizes import breakdown
from hcompress.strict.digest import file_digest
from tests.builders import LIGHT, recogniser
from tests.runtime.test_stepwise import exported

HOSTILE = "<b>|`x`\n# owned"
SPEC = 'schema_version = 1\nseed = {seed}\ncount = 8\ncharset = "digits"\nfonts = "{fonts}"\n'


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return exported(tmp_path, recogniser(LIGHT))


def spec(path: Path, fonts: str, seed: int = 1) -> Path:
    path.write_text(SPEC.format(fonts=fonts, seed=seed), encoding="utf-8")
    return path


def photographs(folder: Path) -> Path:
    """A label file of two images."""
    for name in "ab":
        Image.new("RGB", (32, 16), "white").save(folder / f"{name}.png")
    labels = folder / "photographs.tsv"
    labels.write_text("a.png\t一\nb.png\t丁\n", encoding="utf-8")
    return labels


@pytest.fixture
def measure(capsys: pytest.CaptureFixture[str]) -> Callable[[Path, Path], Path]:
    """The file with what `hcompress eval --json` says."""

    def run(model: Path, data: Path) -> Path:
        capsys.readouterr()
        assert main(["eval", str(model), str(data), "--json"]) == 0
        out = data.with_suffix(".json")
        out.write_text(capsys.readouterr().out, encoding="utf-8")
        return out

    return run


def rows(page: str, first: str) -> list[str]:
    """The cells of the table row that begins with ``first``."""
    line = next(line for line in page.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_card_says_what_was_measured(
    model: Path, tmp_path: Path, measure: Callable[[Path, Path], Path]
) -> None:
    train = spec(tmp_path / "train.toml", "train")
    data = (spec(tmp_path / "new.toml", "unseen"), spec(tmp_path / "old.toml", "train", 2))
    evaluations = [measure(model, path) for path in (*data, photographs(tmp_path))]
    out = tmp_path / "cards" / "CARD.md"
    arguments = [word for path in evaluations for word in ("--eval", str(path))]
    arguments += ["--trained-on", str(train), "--licence", "OFL-1.1", "--out", str(out)]
    assert main(["card", str(model), *arguments]) == 0
    page = out.read_text(encoding="utf-8")
    assert page.startswith(MARK)
    assert f"- SHA-256: {file_digest(model)}" in page
    assert f"- Bytes: {model.stat().st_size:,} (" in page
    assert "- Characters: 30: 30 Chinese characters" in page
    assert "- Licence: OFL-1.1" in page
    assert "Half-Precision Float (FP16)" in page
    for part in breakdown(model).components:
        assert rows(page, part.name)[1] == f"{part.bytes:,}"
    assert rows(page, "total")[1] == f"{model.stat().st_size:,}"
    found = json.loads(evaluations[0].read_text(encoding="utf-8"))
    low, high = (100 * found[f"accuracy_{end}"] for end in ("low", "high"))
    new = rows(page, "new.toml")
    assert new[1:4] == [
        "never seen",
        "8",
        f"{100 * found['accuracy']:.2f} ({low:.2f} to {high:.2f})",
    ]
    assert new[4] == f"{100 * found['ned']:.2f}"
    assert new[5:] == [f"{found['confidence'][key]:.3f}" for key in ("mean", "ece")]
    assert rows(page, "old.toml")[1] == "seen in training"
    assert rows(page, "photographs.tsv")[1] == "–"
    assert rows(page, "Roboto")[1:] == ["✓", "✓", "Apache-2.0"]
    assert rows(page, "Ubuntu")[1:] == ["", "✓", "UFL-1.0"]
    assert open_data(train).digest in page
    assert "new.toml, old.toml: text rendered from fonts." in page
    assert "not told here" not in page
    assert str(tmp_path) not in page
    assert [path.name for path in out.parent.iterdir()] == ["CARD.md"]


def test_a_card_is_replaced_and_nothing_else_is(
    model: Path,
    tmp_path: Path,
    measure: Callable[[Path, Path], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    evaluation = str(measure(model, photographs(tmp_path)))
    out = tmp_path / "CARD.md"
    command = ["card", str(model), "--eval", evaluation, "--out"]
    assert main([*command, str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    first = out.read_bytes()
    assert main([*command, str(out), "--licence", "MIT"]) == 0
    assert b"Licence: MIT" in out.read_bytes()
    assert main([*command, str(out)]) == 0
    assert out.read_bytes() == first, "the same facts, the same bytes"
    mine, link = tmp_path / "thesis.md", tmp_path / "link.md"
    mine.write_text("years of work")
    link.symlink_to("nowhere.md")
    for taken in (mine, link, tmp_path, model):
        before = taken.read_bytes() if taken.is_file() else b""
        assert main([*command, str(taken)]) == UsageError.exit_code
        assert "choose another --out" in capsys.readouterr().err
        assert not taken.is_file() or taken.read_bytes() == before
    assert link.is_symlink()


def changed(path: Path, **values: Any) -> Path:
    """The evaluation with other values in it."""
    found = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**found, **values}), encoding="utf-8")
    return path


def test_what_does_not_belong_together_is_refused(
    model: Path, tmp_path: Path, measure: Callable[[Path, Path], Path]
) -> None:
    labels = photographs(tmp_path)
    evaluation = measure(model, labels)
    make_card(model, [evaluation])
    (tmp_path / "other").mkdir()
    other = exported(tmp_path / "other", recogniser(LIGHT, seed=1))
    with pytest.raises(InputRefused, match="was not the model"):
        make_card(other, [evaluation])
    with pytest.raises(InputRefused, match="was not the model"):
        make_card(exported(tmp_path, recogniser(LIGHT, seed=1)), [evaluation])  # the same path
    assert exported(tmp_path, recogniser(LIGHT)) == model
    with pytest.raises(InputRefused, match="accuracy = null: must be a number"):
        make_card(model, [changed(measure(model, labels), accuracy=None)])
    with pytest.raises(UsageError, match="nowhere, which is not here"):
        make_card(model, [changed(measure(model, labels), data="nowhere")])
    with pytest.raises(UsageError, match="no such evaluation"):
        make_card(model, [tmp_path / "nowhere.json"])
    with pytest.raises(UsageError, match="no such data"):
        make_card(model, [measure(model, labels)], [tmp_path / "nowhere.toml"])
    evaluation = measure(model, labels)
    labels.write_text("a.png\t丁\nb.png\t丁\n", encoding="utf-8")
    with pytest.raises(InputRefused, match="is no longer what it measured"):
        make_card(model, [evaluation])


def test_a_card_needs_an_evaluation(model: Path, tmp_path: Path) -> None:
    assert main(["card", str(model), "--out", str(tmp_path / "CARD.md")]) == UsageError.exit_code
    assert not (tmp_path / "CARD.md").exists()


def run_folder(folder: Path, digest: str, looked_at: str) -> Path:
    """A run of one stage that wrote a model of this digest."""
    sizes, twice = (
        {"bytes": size, "components": [{"name": "other", "bytes": size, "params": 1}]}
        for size in (3 << 20, 6 << 20)
    )
    manifest = Manifest(
        stage=StageRecord("onnx", 1, {}),
        key="ab" * 32,
        parent=None,
        kind=Kind.ONNX,
        files={"model.onnx": FileRecord(9, digest)},
        breakdown=sizes,
        techniques=(),
        report={},
        inputs={"data": looked_at},
        seed=7,
        threads=2,
        versions={},
        seconds=90.0,
        finished="2026-01-01T00:00:00+0000",
    )
    entry = {"folder": "01-onnx", "label": "onnx", "stage": "onnx", "key": "ab" * 32}
    files = {
        "run.json": {"stages": [entry]},
        "recipe.json": {"name": "tiny"},
        "00-teacher.json": {"breakdown": twice, "techniques": []},
        "01-onnx/manifest.json": manifest.to_dict(),
    }
    for name, value in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
    return folder


def test_a_run_is_shown_where_it_made_the_model(
    model: Path, tmp_path: Path, measure: Callable[[Path, Path], Path]
) -> None:
    labels = photographs(tmp_path)
    evaluation, seen = measure(model, labels), open_data(labels).digest
    run = run_folder(tmp_path / "run", file_digest(model), seen)
    page = render_card(make_card(model, [evaluation], run=run))
    assert "- Recipe: tiny" in page
    assert "6.00 → 3.00 MiB, 2.0 times smaller" in page
    assert rows(page, "total, MiB")[1:] == ["6.00", "3.00"]
    assert "01-onnx looked at photographs.tsv itself" in page
    another = run_folder(tmp_path / "another", "cd" * 32, seen)
    with pytest.raises(InputRefused, match="another: its last stage made another model"):
        make_card(model, [evaluation], run=another)


def test_a_card_says_which_teacher_a_model_was_made_from(
    model: Path,
    tmp_path: Path,
    measure: Callable[[Path, Path], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evaluation = measure(model, photographs(tmp_path))
    (tmp_path / "t").mkdir()
    teacher = exported(tmp_path / "t", recogniser(LIGHT, seed=1))
    digest = file_digest(teacher)
    page = render_card(make_card(model, [evaluation], teacher=teacher))
    assert f"- Teacher: model.onnx, SHA-256 {digest}" in page
    monkeypatch.setattr(caveats, "TEACHERS", {digest: "It is a fake."})
    page = render_card(make_card(model, [evaluation], teacher=teacher))
    assert "\n- It is a fake.\n" in page
    run = run_folder(tmp_path / "run", file_digest(model), "00" * 32)
    assert "- Teacher:" not in render_card(make_card(model, [evaluation], run=run))
    said = json.loads((run / "00-teacher.json").read_text(encoding="utf-8"))
    said |= {"model": "somewhere/mine.safetensors", "digest": digest}
    (run / "00-teacher.json").write_text(json.dumps(said), encoding="utf-8")
    page = render_card(make_card(model, [evaluation], run=run))
    assert f"- Teacher: mine.safetensors, SHA-256 {digest}" in page
    with pytest.raises(InputRefused, match="not the teacher of the run"):
        make_card(model, [evaluation], run=run, teacher=model)


@pytest.fixture
def card(model: Path, tmp_path: Path, measure: Callable[[Path, Path], Path]) -> Card:
    return make_card(model, [measure(model, photographs(tmp_path))])


def test_what_is_not_known_is_said(card: Card) -> None:
    page = render_card(card)
    assert "- Licence: not stated" in page
    assert "- What it was trained on is not told here." in page
    assert "font family" not in page
    assert "rendered" not in page.lower()
    assert "How it was made" not in page


def test_training_data_is_no_test(card: Card) -> None:
    learnt = dataclasses.replace(card, trained_on=(card.measured[0].data,))
    assert "Training looked at photographs.tsv itself" in render_card(learnt)


def test_nothing_foreign_is_obeyed(card: Card) -> None:
    data = Data(HOSTILE, "ab" * 32, 3, (Font(HOSTILE, HOSTILE),), (1, 2))
    page = render_card(dataclasses.replace(card, name=HOSTILE, licence=HOSTILE, trained_on=(data,)))
    assert "<b>" not in page
    assert "\n# owned" not in page
    assert "`x`" not in page.replace("\\`", "")


@pytest.mark.parametrize(
    ("families", "trained", "said"),
    [
        ("ab", "abc", "seen in training"),
        ("ab", "bc", "some seen in training"),
        ("ab", "cd", "never seen"),
        ("ab", "", "–"),
        ("", "ab", "–"),
    ],
)
def test_whether_fonts_were_seen(
    card: Card, families: Sequence[str], trained: Sequence[str], said: str
) -> None:
    def drawn(names: Sequence[str]) -> Data:
        return Data("d", "00" * 32, 1, tuple(Font(name, "OFL-1.1") for name in names), (1, 1))

    known = dataclasses.replace(card, trained_on=(drawn(trained),) if trained else ())
    assert fonts_text(drawn(families), known) == said


def test_characters_are_counted_by_kind() -> None:
    assert kinds_text("一丁七aZé09!") == "9: 3 Chinese characters, 3 letters, 2 digits, 1 signs"
