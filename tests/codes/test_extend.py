"""`extend`: new characters get codes, and nothing else in the file changes."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hcompress import sizes
from hcompress.artifacts.source import open_source
from hcompress.charset import UnknownCharacter
from hcompress.checkpoints.checkpoint import (
    MODEL_FILE,
    Checkpoint,
    load_checkpoint,
    read_stored,
    save_checkpoint,
)
from hcompress.cli import main
from hcompress.codes import extend as extend_module
from hcompress.codes.extend_logits import Looks, look
from hcompress.codes.new_codes import new_codes
from hcompress.codes.options import Ballot
from hcompress.codes.repair import least_distance, part, separate
from hcompress.compress.half import halved
from hcompress.data.batches import Batch
from hcompress.errors import InputRefused, UsageError
from hcompress.formats.open import ModelFile
from hcompress.heads.hamming.codebook import Bits, pack, unpack
from hcompress.progress import NoProgress
from hcompress.runs.forecast import after, bytes_of, forecast_of
from hcompress.runs.recipe import parse_recipe
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.spec.config import RecogniserConfig, Weights
from hcompress.spec.header import Provenance
from hcompress.spec.heads import Hamming, HammingInputs
from hcompress.spec.vocabulary import Vocabulary
from hcompress.stages import STAGES
from hcompress.stages.base import Env
from hcompress.stages.extend import Extend
from hcompress.stages.half import Half
from hcompress.stages.int8 import Int8
from tests.builders import CONFIGS, LIGHT, int8, pictures, recogniser
from tests.forcing import forced
from tests.special import EOS

HERE = Provenance("extend", "cd" * 32)
FP32 = replace(LIGHT, weights=Weights.FP32)
CLASSIFIER_ONLY = CONFIGS["hamming-classifier"]


def env(folder: Path) -> Env:
    return Env(7, 1, HERE, NoProgress(), folder)


def saved(folder: Path, made: Checkpoint) -> Path:
    folder.mkdir(exist_ok=True)
    half = frozenset[str]() if made.config.weights is Weights.FP16 else None
    save_checkpoint(
        folder / MODEL_FILE, made.model, made.vocabulary, HERE, half, made.packed or None
    )
    return folder


def lines(folder: Path, texts: list[str], config: RecogniserConfig = LIGHT, seed: int = 3) -> Path:
    """A label file with a picture for every text."""
    folder.mkdir(exist_ok=True)
    for number, picture in enumerate(pictures(len(texts), config, seed)):
        Image.fromarray(picture).save(folder / f"{number}.png")
    path = folder / "lines.txt"
    labels = [f"{number}.png\t{text}\n" for number, text in enumerate(texts)]
    path.write_text("".join(labels), encoding="utf-8")
    return path


def run(stage: Extend, source: Path, out: Path) -> dict[str, Any]:
    out.mkdir()
    return dict(stage.run(source, out, env(out)))


KINDS = {
    "fp32": lambda: recogniser(FP32),
    "fp16": lambda: recogniser(LIGHT),
    "int8": lambda: int8(LIGHT),
    "classifier-fp32": lambda: recogniser(CLASSIFIER_ONLY),
    "classifier-int8": lambda: int8(CLASSIFIER_ONLY),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_other_byte_of_a_weight_changes(kind: str, tmp_path: Path) -> None:
    made = KINDS[kind]()
    source = saved(tmp_path / "model", made)
    run(Extend(data=lines(tmp_path / "d", ["新", "字", "新"])), source, tmp_path / "out")
    before, old = read_stored(source)
    after_, new = read_stored(tmp_path / "out")
    rows = {"codebook"}
    if not kind.startswith("fp"):
        rows |= {"embedding.weight", "embedding.weight.scale"} & old.keys()
    assert old.keys() == new.keys()
    for name, tensor in old.items():
        grown = new[name]
        if name in rows:
            assert len(grown) == len(tensor) + 2
            grown = grown[: len(tensor)]
        assert grown.dtype == tensor.dtype
        assert grown.numpy().tobytes() == tensor.numpy().tobytes(), name
    assert after_.config == before.config
    assert after_.provenance == HERE
    assert after_.vocabulary.characters == (*before.vocabulary.characters, "字", "新")
    load_checkpoint(tmp_path / "out")


def test_islands_of_fp32_stay(tmp_path: Path) -> None:
    made = recogniser(replace(CLASSIFIER_ONLY, weights=Weights.FP32))
    model, islands, _ = halved(made.model, ("decoder.norm", "embedding"), fold=False)
    (tmp_path / "model").mkdir()
    save_checkpoint(tmp_path / "model" / MODEL_FILE, model, made.vocabulary, HERE, islands)
    run(Extend(data=lines(tmp_path / "d", ["新"])), tmp_path / "model", tmp_path / "out")
    _, old = read_stored(tmp_path / "model")
    _, new = read_stored(tmp_path / "out")
    assert {name: t.dtype for name, t in new.items()} == {name: t.dtype for name, t in old.items()}
    assert old["decoder.norm.bias"].dtype == torch.float32


@pytest.mark.parametrize("kind", ["fp16", "int8", "classifier-fp32"])
def test_the_new_character_is_read_in_its_image(kind: str, tmp_path: Path) -> None:
    texts = ["新", "字", "語"]
    source = saved(tmp_path / "model", KINDS[kind]())
    data = lines(tmp_path / "d", texts)
    report = run(Extend(data=data), source, tmp_path / "out")
    found = load_checkpoint(tmp_path / "out")
    images = torch.from_numpy(pictures(3, LIGHT))
    read = found.model.read(images).ids[:, 0, 0].tolist()
    assert [found.vocabulary.name(index) for index in read] == texts
    rows = {row["character"]: row for row in report["new"]}
    for text in texts:
        assert rows[text]["images"] == 1
        assert rows[text]["read"] == 1
        assert 0 < rows[text]["margin"] <= 1
        assert rows[text]["scatter"] == rows[text]["flipped"]
    assert report["passes"] == 1


def test_what_was_known_is_read_as_before_unless_a_new_code_is_nearer(tmp_path: Path) -> None:
    source = saved(tmp_path / "model", recogniser(LIGHT))
    run(Extend(data=lines(tmp_path / "d", ["新"])), source, tmp_path / "out")
    before, found = load_checkpoint(source), load_checkpoint(tmp_path / "out")
    images = torch.from_numpy(pictures(12, LIGHT, seed=5))
    old = before.model.read(images, 1).ids[:, :, 0].tolist()
    new = found.model.read(images, 1).ids[:, :, 0].tolist()
    stranger = found.vocabulary.id_of("新")
    for line, answer in zip(old, new, strict=True):
        until = answer.index(stranger) if stranger in answer else len(answer)
        assert line[:until] == answer[: min(until, len(line))]


def test_a_second_pass_knows_the_code_of_the_character_before(tmp_path: Path) -> None:
    source = saved(tmp_path / "model", recogniser(FP32))
    data = lines(tmp_path / "d", ["一新字"])
    report = run(Extend(data=data, images=1), source, tmp_path / "out")
    assert report["passes"] == 2
    found, before = load_checkpoint(tmp_path / "out"), load_checkpoint(source)
    ids = torch.tensor([[1, *found.vocabulary.encode("一新")]])
    memory = before.model.encode(torch.from_numpy(pictures(1, LIGHT)))
    vectors = torch.cat([before.model.inputs.vectors(), torch.zeros(2, LIGHT.width)])
    zeros = torch.nn.functional.embedding(ids, vectors)
    first = before.model.head.logits(before.model.decoder(zeros, memory))[0, 2] >= 0
    # Nothing new stands before it, so both passes give the first one the same code.
    second = found.model.head.logits(found.model.features(memory, forced(ids)))[0] >= 0
    codes = unpack(found.model.codebook.numpy())
    assert (codes[found.vocabulary.id_of("新")] == second[1].numpy()).all()
    assert (codes[found.vocabulary.id_of("字")] == second[2].numpy()).all()
    assert not torch.equal(first, second[2])


def test_looks_are_counted_and_capped(tmp_path: Path) -> None:
    source = saved(tmp_path / "model", recogniser(LIGHT))
    texts = ["新一新", "一丁", "新", "新字", "字", "字" * 9]
    report = run(Extend(data=lines(tmp_path / "d", texts), images=3), source, tmp_path / "out")
    assert {row["character"]: row["images"] for row in report["new"]} == {"字": 2, "新": 3}
    assert (report["added"], report["looks"], report["lines"]) == (2, 5, 4)


def test_workers_and_neighbouring_lines_do_not_matter(tmp_path: Path) -> None:
    source = saved(tmp_path / "model", recogniser(LIGHT))
    data = lines(tmp_path / "d", ["新", "字新", "語", "字", "一"])
    written = []
    for number, workers in enumerate((0, 0, 2)):
        out = tmp_path / f"out{number}"
        run(Extend(data=data, batch=2, workers=workers), source, out)
        written.append((out / MODEL_FILE).read_bytes())
    assert len(set(written)) == 1


def charset(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("新一", r"new characters: .*twice: '一' \(U\+4E00, place 0\) and '一' .*place 31"),
        ("新\u212b\u00c5", r"equal after NFC: '\u212b' \(U\+212B, .*U\+00C5"),
        ("\ufeff新", "byte order mark"),
        ("", "empty"),
        ("新字", r"no image among 2 shows '字' \(U\+5B57\)"),
        ("語", r"label '新': '新' \(U\+65B0\) is neither"),
    ],
)
def test_what_cannot_be_added_is_refused(named: str, message: str, tmp_path: Path) -> None:
    source = saved(tmp_path / "model", recogniser(LIGHT))
    stage = Extend(
        data=lines(tmp_path / "d", ["新", "一丁"]), characters=charset(tmp_path / "new.txt", named)
    )
    with pytest.raises(InputRefused, match=message):
        run(stage, source, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_character_equal_to_a_known_one_after_nfc_is_refused(tmp_path: Path) -> None:
    made = recogniser(LIGHT, characters=1)
    made = Checkpoint(made.model, Vocabulary("\u00c5"), HERE)
    stage = Extend(data=lines(tmp_path / "d", ["\u212b"]))
    with pytest.raises(InputRefused, match=r"equal after NFC: '\u00c5' .* and '\u212b'"):
        run(stage, saved(tmp_path / "model", made), tmp_path / "out")


def test_lines_with_strangers_may_be_left_out(tmp_path: Path) -> None:
    source = saved(tmp_path / "model", recogniser(LIGHT))
    stage = Extend(
        data=lines(tmp_path / "d", ["新語", "語"]),
        characters=charset(tmp_path / "new.txt", "語"),
        unknown=UnknownCharacter.SKIP_LINE,
    )
    assert run(stage, source, tmp_path / "out")["looks"] == 1


INKLESS = {
    "blank": "新 ",
    "wide blank": "新\u3000",
    "no-break": "\u00a0新",
    "mark": "新\u0301",
    "zero width": "新\u200b",
    "control": "新\x07",
}


@pytest.mark.parametrize("text", INKLESS.values(), ids=INKLESS)
def test_what_has_no_ink_is_no_new_character(text: str, tmp_path: Path) -> None:
    """Its code would be the one of the line's end, and every line would be less sure of that."""
    source = saved(tmp_path / "model", recogniser(LIGHT))
    stage = Extend(data=lines(tmp_path / "d", ["新", text, text, "字"]))
    with pytest.raises(InputRefused, match=r"in 2 labels: .*line 2: .*line 3: "):
        run(stage, source, tmp_path / "out")
    left = run(replace(stage, unknown=UnknownCharacter.SKIP_LINE), source, tmp_path / "left")
    assert left["added"] == 2
    (stranger,) = set(text) - {"新"}
    asked = replace(stage, characters=charset(tmp_path / "new.txt", "新" + stranger))
    with pytest.raises(InputRefused, match=r"new characters: .*without ink"):
        run(asked, source, tmp_path / "named")


def test_a_character_whose_images_end_the_line_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the labels had a character more than the images show: its looks are those of EOS."""
    made = recogniser(LIGHT)
    signs = made.model.signs()[EOS].numpy()

    def seen_as_the_end(*_: object) -> Looks:
        return Looks(np.zeros(2, np.int64), np.stack([signs, signs]), led=False)

    monkeypatch.setattr(extend_module, "look", seen_as_the_end)
    stage = Extend(data=lines(tmp_path / "d", ["一新"]))
    with pytest.raises(InputRefused, match=r"'新' \(U\+65B0\): .* look like the end of a line"):
        run(stage, saved(tmp_path / "model", made), tmp_path / "out")


def test_a_character_that_its_own_images_are_not_read_as_is_named() -> None:
    said: list[str] = []

    class Hears(NoProgress):
        def say(self, message: str) -> None:
            said.append(message)

    rows = [
        {"character": "新", "read": 0.4, "nearest": "一"},
        {"character": "字", "read": 0.8, "nearest": "一"},
    ]
    extend_module._say_unread(rows, Hears())
    assert said == [
        "'新' (U+65B0): only 40% of its own images are nearest to its code, others look like '一':"
        " give more images of it, or check their labels"
    ]


@pytest.mark.parametrize("name", ["softmax", "hamming-embedding"])
def test_a_softmax_cannot_grow(name: str, tmp_path: Path) -> None:
    source = saved(tmp_path / "model", recogniser(CONFIGS[name]))
    stage = Extend(data=lines(tmp_path / "d", ["新"]))
    with pytest.raises(UsageError, match="softmax: a new character needs a new column"):
        run(stage, source, tmp_path / "out")


def test_nothing_to_add_and_lines_too_long(tmp_path: Path) -> None:
    source = saved(tmp_path / "model", recogniser(LIGHT))
    for texts, message in ((["一"], "nothing to add"), (["新" * 9], "nothing to add")):
        with pytest.raises(UsageError, match=message):
            run(Extend(data=lines(tmp_path / "d", texts)), source, tmp_path / texts[0])


def test_more_characters_than_codes_are_refused(tmp_path: Path) -> None:
    made = recogniser(replace(LIGHT, head=Hamming(8), inputs=HammingInputs(8)), characters=252)
    source = saved(tmp_path / "model", made)
    with pytest.raises(InputRefused, match="8 bits make 256 codes"):
        run(Extend(data=lines(tmp_path / "d", ["新", "字"])), source, tmp_path / "out")
    stage = Extend(data=lines(tmp_path / "e", ["新"]))
    assert run(stage, source, tmp_path / "one")["collisions"]["found"] in (0, 1)


# Codes


def looks_of(logits: list[list[float]], ids: list[int]) -> Looks:
    return Looks(np.array(ids), np.array(logits, np.float32), led=False)


def test_a_bit_is_the_side_that_its_images_are_on_with_no_image_counting_more_than_1() -> None:
    looks = looks_of([[1, 1, -1, 0.5], [1, -3, -1, -0.1], [-5, 0, 2, 0]], [0, 0, 1])
    none = np.zeros((0, 4), np.bool_)
    codes = new_codes(looks, none, 2, 1)
    assert codes.voted.tolist() == [[True, True, False, True], [False, True, True, True]]
    np.testing.assert_allclose(codes.margins, [[1, 0, 1, 0.2], [1, 0, 1, 0]], atol=1e-6)
    assert codes.tied_bits == 3
    assert codes.seen.tolist() == [2, 1]
    voted = new_codes(looks, none, 2, 1, Ballot.VOTES)
    assert voted.margins.tolist() == [[1, 0, 1, 0], [1, 1, 1, 1]]
    assert (voted.tied_bits, voted.voted.all()) == (2, False)


def test_collisions_and_near_collisions_flip_the_bits_that_were_least_sure() -> None:
    old = np.zeros((2, 128), np.bool_)
    old[1, :64] = True
    logits = np.full((2, 128), -9.0)
    logits[0, [3, 70]] = -0.1  # least sure; equal to the first old code
    logits[1, :63] = 9.0  # one bit from the second, which has the 63rd too
    logits[1, 100] = -0.2
    codes = new_codes(looks_of(logits.tolist(), [0, 1]), old, 2, least_distance(128))
    assert codes.collisions == ((2, 0),)
    assert [tuple(pair) for pair in codes.near] == [(3, 1, 1, 1)]
    assert np.flatnonzero(codes.bits[2] != codes.voted[0]).tolist() == [3, 70]
    assert np.flatnonzero(codes.bits[3] != codes.voted[1]).tolist() == [100]
    assert (codes.bits[:2] == old).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from([16, 64]), st.integers(2, 40), st.integers(1, 6))
@settings(max_examples=40)
def test_codes_are_parted_and_the_ones_in_use_stay(
    seed: int, length: int, count: int, apart: int
) -> None:
    rng = np.random.default_rng(seed)
    first = int(rng.integers(0, count))
    centre = rng.integers(0, 2, (1, length)).astype(np.bool_)
    bits: Bits = centre ^ (rng.random((count, length)) < 0.1)
    bits[:first] = rng.integers(0, 2, (first, length)).astype(np.bool_)
    margins = rng.random((count, length))
    apart_, _ = separate(bits, margins, first)
    assert (apart_[:first] == bits[:first]).all()
    parted, found = part(apart_, margins, apart, first)
    assert (parted[:first] == bits[:first]).all()
    moved = {pair.changed: pair for pair in found}
    for index in range(first, count):
        near = (parted[:index] != parted[index]).sum(1)
        if index in moved and not moved[index].flipped:
            assert (parted[index] == apart_[index]).all()
        elif index:
            assert near.min() >= apart
        assert index in moved or (parted[index] == apart_[index]).all()
    assert all(pair.kept < pair.changed and pair.distance < apart for pair in found)


def test_equal_codes_in_use_are_left_alone() -> None:
    bits = np.zeros((3, 64), np.bool_)
    changed, pairs = separate(bits, np.ones((3, 64)), first=2)
    assert pairs == ((2, 1),)
    assert not changed[:2].any()


def test_where_no_code_is_far_enough_it_stays_and_is_counted() -> None:
    bits = np.array([[p >> k & 1 for k in range(8)] for p in (0, 0b111, 0b1)], np.bool_)
    parted, found = part(bits, np.ones((3, 8)), 8, 2)
    assert (parted == bits).all()
    assert [tuple(pair) for pair in found] == [(2, 0, 1, 0)]


def test_looks_come_from_where_the_character_stands() -> None:
    made = recogniser(FP32)
    vocabulary = Vocabulary((*made.vocabulary.characters, "新"))
    images = pictures(2, LIGHT)
    vectors = torch.cat([made.model.inputs.vectors(), torch.zeros(1, LIGHT.width)]).detach()
    feed = [Batch(images, ["一新", "丁七"], [0, 1])]
    looks = look(made.model, vectors, vocabulary, 5, feed, NoProgress())
    memory = made.model.encode(torch.from_numpy(images[:1]))
    asked = forced(torch.tensor([[1, 3]]))
    wanted = made.model.head.logits(made.model.features(memory, asked))[0, 1]
    np.testing.assert_allclose(looks.logits[0], wanted.detach().numpy(), rtol=1e-4, atol=1e-4)
    assert looks.ids.tolist() == [0]
    assert not looks.led


def test_a_learned_embedding_gets_a_vector_near_those_of_near_codes() -> None:
    model = recogniser(CLASSIFIER_ONLY).model
    signs = model.signs()
    with torch.no_grad():
        found = model.inputs.new_vectors(signs[[5, 9]])
        wanted = model.inputs.vectors()[[5, 9]]
    away = (found - wanted).norm() / wanted.norm()
    assert float(away) < 0.1  # 33 characters, 64 bits: the fit is all but exact


# As a stage among stages


def test_it_goes_on_to_fp16_onnx_and_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["新", "字", "語"]
    data = lines(tmp_path / "d", texts)
    source = saved(tmp_path / "model", recogniser(FP32))
    model = source / MODEL_FILE

    def call(*arguments: object) -> Any:
        assert main([str(argument) for argument in arguments]) == 0
        return capsys.readouterr().out

    made = [tmp_path / name for name in ("extended", "half", "onnx")]
    first = json.loads(call("extend", model, "--data", data, "--out", made[0], "--json"))
    assert first["report"]["added"] == 3
    assert first["techniques"] == list(sizes.techniques_of(model))
    key = json.loads(call("extend", model, "--data", data, "--out", made[0], "--json"))["key"]
    assert key == first["key"]
    call("half", made[0], "--no-fold-batch-norm", "--out", made[1])
    call("onnx", made[1], "--data", data, "--out", made[2])
    for folder in made:
        seen = json.loads(call("inspect", folder, "--json"))
        assert sum(part_["bytes"] for part_ in seen["components"]) == seen["bytes"]
    found = json.loads(call("eval", made[2], data, "--json"))
    assert [row["read"][0] for row in found["samples"]] == texts
    read = call("read", made[2], *(data.parent / f"{n}.png" for n in range(3)), "--json")
    assert [json.loads(line)["text"][0] for line in read.splitlines()] == texts


def test_a_recipe_may_have_it_and_a_dry_run_knows_the_size(tmp_path: Path) -> None:
    source = saved(tmp_path / "model", recogniser(FP32, characters=400))
    texts = [chr(0x7000 + n) for n in range(60)]
    data = lines(tmp_path / "d", texts)
    named = charset(tmp_path / "new.txt", "".join(texts))
    text = f"""
        schema_version = 1
        name = "grow"
        [[stages]]
        stage = "extend"
        data = "{data}"
        characters = "{named}"
        images = 2
        apart = 3
    """
    recipe = parse_recipe(tomllib.loads(text), STAGES, "here", tmp_path)
    stage = recipe.steps[0].stage
    assert stage == Extend(data=data, characters=named, images=2, apart=3)
    known = after(stage, forecast_of(ModelFile(source / MODEL_FILE)))
    assert known is not None
    made = run_stage(stage, open_source(source / MODEL_FILE), tmp_path / "out", StageOptions())
    assert bytes_of(known) == pytest.approx(made.file.stat().st_size, abs=400)
    assert made.manifest is not None
    rows = made.manifest.breakdown["components"]
    assert next(row["bytes"] for row in rows if row["name"] == "codebook") == 463 * 8
    codes = load_checkpoint(made.file).model.codebook.numpy()
    away = (unpack(codes)[403:, None] != unpack(codes)[None]).sum(-1)
    away[np.arange(60), np.arange(403, 463)] = 64
    assert away.min() >= 3
    assert (pack(unpack(codes)) == codes).all()
    assert after(replace(stage, characters=None), known) is None
    assert isinstance(after(Half(fold_batch_norm=False), known), type(known))
    assert isinstance(after(Int8(), known), type(known))


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--images", "0"], 2, "images"),
        (["--characters", "nowhere.txt"], 2, "no such"),
        ([], 3, "neither"),
    ],
)
def test_the_command_says_what_is_wrong_in_a_line(
    options: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = saved(tmp_path / "model", recogniser(LIGHT)) / MODEL_FILE
    data = lines(tmp_path / "d", ["新", "字"])
    given_ = options or ["--characters", str(charset(tmp_path / "new.txt", "新"))]
    arguments = ["extend", str(model), "--data", str(data), "--out", str(tmp_path / "o"), *given_]
    assert main(arguments) == code
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error")]
    assert message in line
    assert not (tmp_path / "o").exists()
