"""Manifests, digests and publishing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from hcompress.artifacts import folder as artifacts
from hcompress.artifacts.beside import lists_digest
from hcompress.artifacts.kinds import Kind
from hcompress.artifacts.manifest import Manifest, Parent, StageRecord
from hcompress.artifacts.source import open_model, open_source
from hcompress.errors import InputRefused, UsageError
from hcompress.strict.digest import file_digest
from tests import model_files
from tests.durable import places, recorded
from tests.fake_stages import safetensors_bytes

KEY = "ab" * 32


def a_manifest(folder: Path, **changes: Any) -> Manifest:
    manifest = Manifest(
        stage=StageRecord("half", 1, {"keep": ["norm"]}),
        key=KEY,
        parent=Parent("finetune", "cd" * 32),
        kind=Kind.CHECKPOINT,
        files=artifacts.record_files(folder),
        breakdown={
            "bytes": 10,
            "components": [{"name": "backbone", "bytes": 10, "params": 5}],
        },
        techniques=("MobileNetV2",),
        report={"loss": 0.5},
        inputs={"data": "ef" * 32},
        seed=7,
        threads=2,
        versions={"torch": "2.13.0"},
        seconds=1.5,
        finished="2026-01-01T00:00:00+0000",
    )
    return dataclasses.replace(manifest, **changes)


def a_partial(folder: Path, weights: bytes = b"weights") -> Path:
    (folder / "serving").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(safetensors_bytes(weights))
    (folder / "serving" / "more.bin").write_bytes(b"more")
    return folder


@pytest.fixture
def published(tmp_path: Path) -> Path:
    partial = a_partial(tmp_path / "x.partial")
    artifacts.publish(partial, tmp_path / "x", a_manifest(partial))
    return tmp_path / "x"


def test_publish_then_open(published: Path) -> None:
    found = artifacts.open_artifact(published)
    assert (found.kind, found.key, found.stage) == (Kind.CHECKPOINT, KEY, "half")
    assert found.file == published / "model.safetensors"
    assert found.digest == hashlib.sha256(found.file.read_bytes()).hexdigest()
    assert set(found.manifest.files) == {"model.safetensors", "serving/more.bin"}  # type: ignore[union-attr]
    assert not published.with_name("x.partial").exists()


def test_manifest_survives_json(published: Path) -> None:
    manifest = artifacts.read_manifest(published)
    again = Manifest.from_dict(json.loads(json.dumps(manifest.to_dict())), "x")
    assert again == manifest


@pytest.mark.parametrize("name", ["model.safetensors", "serving/more.bin"])
def test_a_flipped_byte_is_refused_by_name(published: Path, name: str) -> None:
    raw = bytearray((published / name).read_bytes())
    raw[-1] ^= 1
    (published / name).write_bytes(raw)
    with pytest.raises(InputRefused, match=name):
        artifacts.open_artifact(published)


def test_a_truncated_or_missing_file_is_refused(published: Path) -> None:
    (published / "serving/more.bin").write_bytes(b"mor")
    with pytest.raises(InputRefused, match="3 bytes where the manifest says 4"):
        artifacts.open_artifact(published)
    (published / "serving/more.bin").unlink()
    with pytest.raises(InputRefused, match="missing"):
        artifacts.open_artifact(published)


HOSTILE: list[tuple[str, Any, str]] = [
    ("format", 2, "format"),
    ("format", True, "format"),
    ("key", "AB" * 32, "key"),
    ("key", "ab", "key"),
    ("kind", "pickle", "kind"),
    ("stage", [], "stage"),
    ("stage", {"name": "x", "version": 1}, "stage.parameters"),
    ("parent", {"stage": "x", "key": 1}, "parent.key"),
    ("files", {"../x": {"bytes": 1, "sha256": KEY}}, "files"),
    ("files", {"/etc/passwd": {"bytes": 1, "sha256": KEY}}, "files"),
    ("files", {"a\\b": {"bytes": 1, "sha256": KEY}}, "files"),
    ("files", {"model.safetensors": {"bytes": "1", "sha256": KEY}}, "bytes"),
    ("files", {}, "files"),
    ("techniques", [1], "techniques"),
    ("breakdown", {"bytes": 3, "components": []}, "breakdown"),
    ("breakdown", {"bytes": 0, "components": [{"name": "x"}]}, "breakdown"),
    (
        "breakdown",
        {
            "bytes": 0,
            "components": [
                {"name": "x", "bytes": -5, "params": 0},
                {"name": "y", "bytes": 5, "params": 0},
            ],
        },
        "x.bytes",
    ),
    ("inputs", {"a": 1}, "inputs"),
    ("seed", 1.5, "seed"),
    ("seconds", "1", "seconds"),
    ("seconds", 10**400, "out of range"),
    ("seconds", float("nan"), "NaN"),
    ("surprise", 1, "surprise"),
]


@pytest.mark.parametrize(("field", "value", "named"), HOSTILE, ids=lambda value: repr(value)[:20])
def test_hostile_manifests_are_refused_by_field(
    published: Path, field: str, value: Any, named: str
) -> None:
    path = published / "manifest.json"
    raw = json.loads(path.read_text())
    raw[field] = value
    del raw["seal"]  # as the first were: what is wrong with it is said, not that it was changed
    path.write_text(json.dumps(raw))
    with pytest.raises(InputRefused, match=r"manifest\.json") as caught:
        artifacts.open_artifact(published)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "[" * 100_000, '{"format": 1}', "\0\xff", "1" * 5000]
)
def test_manifests_that_are_none(published: Path, text: str) -> None:
    (published / "manifest.json").write_text(text)
    with pytest.raises(InputRefused, match="manifest"):
        artifacts.open_artifact(published)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("techniques", ["INT8"]), ("report", {"loss": 0.25}), ("seconds", 2.5), ("seal", "ab"),
        ("breakdown", {"bytes": 10, "components": [{"name": "other", "bytes": 10, "params": 5}]}),
    ],
)  # fmt: skip
def test_a_manifest_that_was_changed_is_refused(published: Path, field: str, value: Any) -> None:
    path = published / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}, indent=1))
    with pytest.raises(InputRefused, match="changed since it was written"):
        artifacts.open_artifact(published)


def test_every_field_is_needed(published: Path) -> None:
    path = published / "manifest.json"
    raw = json.loads(path.read_text())
    for field in raw.keys() - {"seal"}:
        path.write_text(json.dumps({key: value for key, value in raw.items() if key != field}))
        with pytest.raises(InputRefused, match=field):
            artifacts.open_artifact(published)


def test_a_users_folder_and_file_are_left_alone(tmp_path: Path) -> None:
    partial = a_partial(tmp_path / "x.partial")
    mine = tmp_path / "x"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="no artifact of ours"):
        artifacts.publish(partial, mine, a_manifest(partial))
    (mine / "manifest.json").write_text('{"name": "a web app"}')
    with pytest.raises(UsageError, match="no artifact of ours"):
        artifacts.publish(partial, mine, a_manifest(partial))
    assert (mine / "thesis.txt").read_text() == "years of work"
    with pytest.raises(UsageError, match="a file is there"):
        artifacts.check_replaceable(mine / "thesis.txt")


def test_an_artifact_of_ours_is_replaced_whole(published: Path) -> None:
    partial = a_partial(published.with_name("x.partial"), b"newer")
    artifacts.publish(partial, published, a_manifest(partial, key="ef" * 32))
    assert artifacts.open_artifact(published).key == "ef" * 32
    assert [path.name for path in published.parent.iterdir()] == ["x"]
    assert not (published / ".replaced").exists()


@pytest.mark.parametrize("replacing", [False, True])
def test_the_final_name_is_absent_or_complete_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replacing: bool
) -> None:
    """Stop at each fsync, replace and rename in turn: what has the final name always verifies."""
    operations = 0
    limit = 0

    class Killed(BaseException):
        pass

    def counted(real: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal operations
            operations += 1
            if operations == limit:
                raise Killed
            return real(*arguments, **named)

        return call

    for name in ("fsync", "replace", "rename"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    finished = False
    while not finished:
        limit += 1
        operations = 0
        folder = tmp_path / str(limit)
        if replacing:
            old = a_partial(folder / "old")
            operations = -1000
            artifacts.publish(old, folder / "x", a_manifest(old))
            operations = 0
        partial = a_partial(folder / "x.partial", b"newer")
        try:
            artifacts.publish(partial, folder / "x", a_manifest(partial))
            finished = True
        except Killed:
            pass
        if (folder / "x").exists():
            artifacts.open_artifact(folder / "x")
        elif replacing:
            artifacts.open_artifact(partial / ".replaced")  # nothing is lost in between
    assert limit > 8


def test_sources(published: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.safetensors"
    bare.write_bytes(safetensors_bytes(b"x"))
    found = open_source(bare)
    assert found.manifest is None
    assert found.key == found.digest == file_digest(bare)
    assert open_source(published).key == KEY
    with pytest.raises(UsageError, match="no such file"):
        open_source(tmp_path / "nowhere")
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(InputRefused, match="not a model file"):
        open_source(tmp_path / "x.txt")
    with pytest.raises(InputRefused, match="not a finished artifact"):
        open_source(tmp_path)


def test_a_file_of_an_artifact_is_checked_too(published: Path) -> None:
    file = published / "model.safetensors"
    assert open_source(file) == open_source(published)
    more = published / "serving" / "more.bin"
    assert open_model(more).path == more
    (published / "serving" / "more.bin").write_bytes(b"evil")
    with pytest.raises(InputRefused, match=r"more\.bin: damaged"):
        open_model(more)
    assert open_model(file).path == file  # what is looked at is the file alone
    file.write_bytes(safetensors_bytes(b"WEIGHTS"))
    with pytest.raises(InputRefused, match=r"model\.safetensors: damaged"):
        open_source(file)


def test_a_folder_needs_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="manifest"):
        open_model(tmp_path)
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(InputRefused, match="named pipe"):
        open_model(tmp_path)
    with pytest.raises(UsageError, match="no such file"):
        open_model(tmp_path / "nowhere")


def test_a_pipe_in_a_folder_above_is_not_waited_for(tmp_path: Path) -> None:
    bare = tmp_path / "folder" / "bare.safetensors"
    bare.parent.mkdir()
    bare.write_bytes(safetensors_bytes(b"x"))
    os.mkfifo(tmp_path / "manifest.json")
    (bare.parent / "manifest.json").write_text('{"name": "a web app\'s", "icons": []}')
    assert open_source(bare).manifest is None


@pytest.mark.parametrize("harm", ["cut", "empty", "no key", "a folder", "a link to nothing"])
def test_a_damaged_manifest_is_not_an_absent_one(published: Path, harm: str) -> None:
    manifest = published / "manifest.json"
    text = manifest.read_text()
    manifest.unlink()
    if harm == "a folder":
        manifest.mkdir()
    elif harm == "a link to nothing":
        manifest.symlink_to("nowhere")
    else:
        cut = {"cut": text[:-3], "empty": "", "no key": text.replace('"key"', '"kay"', 1)}
        manifest.write_text(cut[harm])
    for name in ("model.safetensors", "serving/more.bin"):
        for look in (open_model, open_source):
            if (look, name) != (open_source, "serving/more.bin"):
                with pytest.raises(InputRefused, match=r"manifest\.json"):
                    look(published / name)


def test_a_manifest_that_leaves_its_model_out_is_damaged(published: Path) -> None:
    manifest = published / "manifest.json"
    raw = json.loads(manifest.read_text())
    del raw["files"]["model.safetensors"], raw["seal"]
    manifest.write_text(json.dumps(raw))
    with pytest.raises(InputRefused, match=r"model\.safetensors is missing"):
        open_model(published / "model.safetensors")


def test_a_link_is_checked_where_it_leads(published: Path, tmp_path: Path) -> None:
    link = tmp_path / "latest.safetensors"
    link.symlink_to(published / "model.safetensors")
    assert open_source(link) == open_source(published)
    (published / "model.safetensors").write_bytes(safetensors_bytes(b"WEIGHTS"))
    with pytest.raises(InputRefused, match="damaged"):
        open_model(link)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """An ONNX file whose weights lie beside it."""
    folder = tmp_path / "outside"
    folder.mkdir()
    tensor = model_files.o_external("fc.weight", [2], location="w.bin", length="8")
    (folder / "model.onnx").write_bytes(model_files.onnx_bytes(tensor))
    (folder / "w.bin").write_bytes(b"weights!")
    return folder


def test_the_digest_covers_external_data(outside: Path) -> None:
    before = open_source(outside / "model.onnx")
    first = before.digest
    assert before.key == first != before.opened.own_digest == file_digest(before.file)
    (outside / "w.bin").write_bytes(b"weights?")
    after = open_source(outside / "model.onnx")
    assert after.key == after.digest != first
    assert after.opened.own_digest == before.opened.own_digest


def test_an_artifact_lists_what_holds_its_weights(outside: Path, tmp_path: Path) -> None:
    unlisted = a_manifest(outside, kind=Kind.ONNX)
    files = {name: unlisted.files[name] for name in ("model.onnx",)}
    artifacts.publish(outside, tmp_path / "a", dataclasses.replace(unlisted, files=files))
    for path in (tmp_path / "a", tmp_path / "a" / "model.onnx"):
        with pytest.raises(InputRefused, match=r"w\.bin: holds weights"):
            open_model(path)
    (tmp_path / "a" / "manifest.json").write_text(json.dumps(unlisted.to_dict()))
    found = open_source(tmp_path / "a")
    (tmp_path / "a" / "w.bin").write_bytes(b"weights?")
    assert found.digest != found.opened.own_digest
    with pytest.raises(InputRefused, match=r"w\.bin: damaged"):
        open_model(tmp_path / "a" / "model.onnx")


@pytest.mark.parametrize("name", ["m.pt", "m.PTH", "m.safetensors"])
def test_what_torch_saved_passes_for_the_graph_that_it_stands_for(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(model_files.good_pt())
    assert open_source(tmp_path / name).kind is Kind.ONNX
    (tmp_path / name).write_bytes(b"\x80\x02 a bare pickle")
    with pytest.raises(InputRefused, match=r"header|was not read"):
        open_source(tmp_path / name)


def test_a_bare_file_is_checked_before_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_bytes(b"x" * 100)[:-1])
    with pytest.raises(InputRefused, match="truncated"):
        open_source(path)


def test_the_key_of_a_bare_file_covers_what_is_taken_from_beside_it(
    published: Path, outside: Path, tmp_path: Path
) -> None:
    (tmp_path / "bare").mkdir()
    bare = tmp_path / "bare" / "x.safetensors"
    bare.write_bytes(safetensors_bytes(b"x"))
    serving = outside / "serving"
    serving.mkdir()
    for model, other in (
        (bare, bare.with_name("codebook.safetensors")),
        (published, published / "codebook.safetensors"),
        (outside / "model.onnx", outside / "codebook.safetensors"),
        (outside / "model.onnx", serving / "encoder.onnx"),
        (outside / "model.onnx", serving / "decoder-step.onnx"),
        (outside / "model.onnx", outside / "my_dict.txt"),
        (outside / "model.onnx", outside.parent / "labels.txt"),
    ):
        keys = [open_source(model).key]
        for text in ("one", "two"):
            other.write_text(text)
            keys.append(open_source(model).key)
        assert len(set(keys)) == 3, other
        other.unlink()
        assert open_source(model).key == keys[0]


def test_codes_that_the_manifest_lists_are_in_its_key(tmp_path: Path) -> None:
    partial = a_partial(tmp_path / "y.partial")
    (partial / "codebook.safetensors").write_bytes(b"codes")
    artifacts.publish(partial, tmp_path / "y", a_manifest(partial))
    assert open_source(tmp_path / "y").key == KEY


def test_lists_beside_a_model_that_names_its_classes_are_nobodys(outside: Path) -> None:
    (outside / "my_dict.txt").write_text("a")
    assert lists_digest(open_model(outside / "model.onnx")) is not None
    for entry in (
        model_files.o_pair(14, "character", "a"),
        model_files.o_pair(14, "hcompress", "{}"),
    ):
        (outside / "model.onnx").write_bytes(model_files.onnx_bytes(extra=entry))
        assert lists_digest(open_model(outside / "model.onnx")) is None


def test_path_digest_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = artifacts.path_digest(tmp_path)
    (tmp_path / "a").write_text("2")
    second = artifacts.path_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, artifacts.path_digest(tmp_path)}) == 3


@pytest.mark.parametrize("replacing", [False, True])
def test_all_of_it_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replacing: bool
) -> None:
    """Files, folders and manifest, whole; and the name itself afterwards."""
    work, final = tmp_path / "w" / "x", tmp_path / "x"
    if replacing:
        old = a_partial(tmp_path / "old")
        artifacts.publish(old, final, a_manifest(old))
    a_partial(work)
    sizes = {path: path.stat().st_size for path in work.rglob("*") if path.is_file()}
    done = recorded(monkeypatch)
    artifacts.publish(work, final, a_manifest(work, key="ef" * 32))
    (named,) = places(done, "rename", work)
    manifest = final / artifacts.MANIFEST
    sizes[work / artifacts.MANIFEST] = manifest.stat().st_size
    for path, size in sizes.items():
        assert ("fsync", str(path), size) in done[:named], path
    for folder in (work, work / "serving"):
        assert min(places(done, "fsync", folder)) < named, folder
    for folder in (final.parent, work.parent):
        assert max(places(done, "fsync", folder)) > named, folder
    if replacing:
        (swapped,) = places(done, "rename", final)
        assert max(places(done, "fsync", work)) < swapped < named
        assert not (final / ".replaced").exists()
