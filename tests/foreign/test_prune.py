"""Fewer classes of a foreign recogniser: those that stay answer as before."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from hcompress.artifacts.source import open_source
from hcompress.compress.encode_head import with_head
from hcompress.compress.options import Ids, Unlisted
from hcompress.compress.plan_head import teacher_of
from hcompress.compress.prune import entries, in_text
from hcompress.errors import HcompressError, InputRefused, UsageError
from hcompress.foreign.edit import with_bias
from hcompress.foreign.forecast import forecast_of
from hcompress.foreign.open import open_foreign, open_stored, teacher_for
from hcompress.foreign.relist import relisted
from hcompress.foreign.write import with_header
from hcompress.formats.open import ModelFile
from hcompress.heads.encodings.encode import Evidence, encoded
from hcompress.heads.encodings.menu import encoding
from hcompress.progress import NoProgress
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.runtime.foreign_reader import ForeignReader
from hcompress.spec.foreign import ForeignSpec
from hcompress.spec.header import Provenance
from hcompress.stages.base import Stage
from hcompress.stages.drop_in import DropIn
from hcompress.stages.encode_head import EncodeHead
from hcompress.stages.prune import Prune
from hcompress.stages.quantise import Quantise
from tests.foreign.builders import many, saved, striped, stripes
from tests.foreign.conftest import Real

Temporary = pytest.TempPathFactory
CLASSES = 40
KEPT = ["r", "b", "丁", "七", "不", "丐"]


def ran(stage: Stage, source: Path, out: Path, teacher: Path | None = None) -> Path:
    given = None if teacher is None else open_source(teacher)
    options = StageOptions(progress=NoProgress(), teacher=given)
    return run_stage(stage, open_source(source), out, options).file


def listed(folder: Path, characters: list[str]) -> Path:
    path = folder / f"keep-{len(characters)}.txt"
    path.write_text("\n".join(characters) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(many(CLASSES), tmp_path_factory.mktemp("original"))


@pytest.fixture(
    scope="module", params=["float", "fp16", "int4", "by-use-3.5", "products-4", "signs-32"]
)
def head(request: pytest.FixtureRequest, original: Path, tmp_path_factory: Temporary) -> Path:
    """The same recogniser, its classes in an encoding; a third of them as if never trained."""
    model, stored = open_stored(original)
    model, stored = with_bias(model, stored)
    folder = tmp_path_factory.mktemp("head")
    if request.param == "float":
        return original
    teacher = teacher_of(model)
    teacher = type(teacher)(teacher.weight, teacher.bias, teacher.special, np.arange(28, 40))
    evidence = Evidence.of(
        np.random.default_rng(2).normal(size=(64, 16)).astype(np.float32), teacher
    )
    made = encoded(teacher, evidence, encoding(request.param, 16).fit)
    data = with_header(
        with_head(model, stored, made),
        model.spec,
        Provenance("encode-head", None),
        asdict(model.classifier),
    )
    path = folder / "model.onnx"
    path.write_bytes(data)
    return path


def scores(file: Path) -> NDArray[np.float32]:
    """Of three lines, before what stands behind the classifier: [frames, V]."""
    made = onnx.load(file)
    softmax = made.graph.node[-1]
    assert softmax.op_type == "Softmax"
    del made.graph.output[:]
    made.graph.output.append(onnx.helper.make_empty_tensor_value_info(softmax.input[0]))
    session = onnxruntime.InferenceSession(made.SerializeToString())
    lines = [stripes(text) for text in ("rgb", "brg", "bgr")]
    inputs = np.stack([line.transpose(2, 0, 1)[::-1] / 127.5 - 1 for line in lines])
    answer: NDArray[np.float32] = session.run(None, {"x": inputs.astype(np.float32)})[0]
    return answer.reshape(-1, answer.shape[-1])


@pytest.mark.parametrize("ids", Ids)
def test_what_stays_scores_as_before(head: Path, ids: Ids, tmp_path: Path) -> None:
    file = ran(Prune(keep=listed(tmp_path, KEPT), ids=ids), head, tmp_path / "out")
    before, after = scores(head), scores(file)
    spec = open_foreign(head).spec
    kept = [place for place, one in enumerate(spec.classes) if one in (*KEPT, "")]
    if ids is Ids.RENUMBER:
        assert after.shape[-1] == len(kept)
        np.testing.assert_array_equal(after, before[:, kept])
        assert open_foreign(file).spec.classes == tuple(spec.classes[place] for place in kept)
        return
    np.testing.assert_array_equal(after[:, kept], before[:, kept])
    out = np.setdiff1d(np.arange(CLASSES), kept)
    blank = after[:, [spec.blank]]
    np.testing.assert_allclose(
        after[:, out], np.broadcast_to(blank - 60, (len(after), len(out))), atol=1e-3
    )
    found = open_foreign(file).spec
    assert found.classes == spec.classes
    assert set(found.characters) == set(KEPT)


@pytest.mark.parametrize("ids", Ids)
def test_it_drops_in_and_is_smaller(head: Path, ids: Ids, tmp_path: Path) -> None:
    file = ran(Prune(keep=listed(tmp_path, KEPT), ids=ids), head, tmp_path / "out")
    if ids is Ids.RENUMBER:
        assert file.stat().st_size < head.stat().st_size
    lines = [stripes(text) for text in ("rb", "brb", "")]
    assert [one.text for one in ForeignReader(file).read(lines)] == ["rb", "brb", ""]
    output = onnx.load(file).graph.output[0].type.tensor_type.shape.dim[2].dim_value
    assert output == (7 if ids is Ids.RENUMBER else CLASSES)
    said = {one.key: one.value for one in onnx.load(file).metadata_props}["character"]
    assert said.split("\n") == (
        KEPT if ids is Ids.RENUMBER else list(open_foreign(head).spec.classes[1:])
    )


@pytest.mark.parametrize("ids", Ids)
def test_any_order_of_stages(original: Path, ids: Ids, tmp_path: Path) -> None:
    """Before an encoding or after it, and held against the original in the end."""
    data = striped(tmp_path, 24)
    prune = Prune(keep=listed(tmp_path, ["r", "g", "b"]), ids=ids)
    encode = EncodeHead("int8", data=data, images=24)
    for name, stages in {"before": [prune, encode], "after": [encode, prune]}.items():
        file = original
        for place, stage in enumerate(
            [*stages, Quantise(bits=8, group=3, images=0), DropIn(data=data, images=8)]
        ):
            file = ran(stage, file, tmp_path / f"{name}-{place}", original)
        assert [one.text for one in ForeignReader(file).read([stripes("rgb")])] == ["rgb"]
        model = open_foreign(file)
        assert teacher_for(model, original).spec == model.spec
        again = ran(Prune(keep=listed(tmp_path, ["r", "g"])), file, tmp_path / f"{name}-again")
        assert open_foreign(again).spec.classes == ("", "r", "g")
        with pytest.raises(InputRefused, match="no class for: 'b'"):
            ran(Prune(keep=listed(tmp_path, ["r", "b"])), again, tmp_path / f"{name}-refused")


def test_what_it_has_not_is_refused_or_passed_over(original: Path, tmp_path: Path) -> None:
    keep = listed(tmp_path, ["r", "b", "Ω", "鿿"])
    with pytest.raises(InputRefused, match="2 characters that the recogniser has no class for"):
        ran(Prune(keep=keep), original, tmp_path / "out")
    file = ran(Prune(keep=keep, unknown=Unlisted.SKIP), original, tmp_path / "out")
    assert open_foreign(file).spec.classes == ("", "r", "b")
    with pytest.raises(InputRefused, match="nothing is left"):
        ran(Prune(keep=listed(tmp_path, ["Ω"]), unknown=Unlisted.SKIP), original, tmp_path / "none")
    with pytest.raises(UsageError, match="one of them"):
        Prune()


def test_a_corpus_says_what_stays(original: Path, tmp_path: Path) -> None:
    text = tmp_path / "corpus.txt"
    text.write_text("b r\nrr 丁\r\n", encoding="utf-8")
    file = ran(Prune(corpus=text), original, tmp_path / "out")
    assert open_foreign(file).spec.classes == ("", "r", "b", "丁")


def test_classes_are_strings() -> None:
    known = ["", "a", "b", "ab", "🇨🇳", " "]
    assert entries(["ab", "ba", "a"], known, text=True) == ["ab", "b", "a"]
    assert entries(["ba"], known, text=False) == ["ba"]
    assert in_text("a 🇨🇳\n", known) == ["a", "🇨🇳"]


def test_a_dry_run_says_how_large_it_will_be(original: Path, tmp_path: Path) -> None:
    stage = Prune(keep=listed(tmp_path, KEPT))
    known = forecast_of(ModelFile(original))
    assert known is not None
    file = ran(stage, original, tmp_path / "out")
    said, found = stage.foreseen_foreign(known), forecast_of(ModelFile(file))
    assert found is not None
    assert said.head == pytest.approx(found.head, abs=4 * 17 * 2)


@pytest.mark.parametrize(
    ("said", "made"),
    [("r\ng\nb", "r\nb"), ("r\r\ng\r\nb\r\n", "r\r\nb\r\n"), ("-\nr\ng\nb", "-\nr\nb"), ("x", "x")],
)
def test_a_list_keeps_its_form(said: str, made: str, original: Path) -> None:
    spec = open_foreign(original).spec
    old, new = (_of(spec, classes) for classes in (("", "r", "g", "b"), ("", "r", "b")))
    assert relisted(said, old, new) == made


def test_a_list_that_leaves_out_the_space_needs_it_last(original: Path) -> None:
    spec = open_foreign(original).spec
    old = _of(spec, ("", "r", "g", " "))
    assert relisted("r\ng", old, _of(spec, ("", "g", " "))) == "g"
    with pytest.raises(HcompressError, match="space"):
        relisted("r\ng", old, _of(spec, ("", " ", "g")))


def _of(spec: ForeignSpec, classes: tuple[str, ...]) -> ForeignSpec:
    from dataclasses import replace

    return replace(spec, classes=classes)


def test_a_real_file(real: Real, tmp_path: Path) -> None:
    path = real("v6-small")
    wanted = [one for one in open_foreign(path).spec.classes if one][:3500]
    file = ran(Prune(keep=listed(tmp_path, wanted)), path, tmp_path / "out")
    assert path.stat().st_size - file.stat().st_size > 7_000_000
    session = onnxruntime.InferenceSession(file)
    image = np.random.default_rng(1).normal(size=(1, 3, 48, 320)).astype(np.float32)
    answers = session.run(None, {"x": image})[0]
    assert answers.shape == (1, 40, 3502)
    said = {one.key: one.value for one in onnx.load(file).metadata_props}["character"]
    assert said.split("\n") == wanted
