"""Classes that look alike answer as one, and no other class changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from hcompress.compress.merge import look_alikes, named_groups
from hcompress.compress.options import Alike, Scores
from hcompress.errors import InputRefused
from hcompress.foreign.open import open_foreign, teacher_for
from hcompress.runtime.foreign_reader import ForeignReader
from hcompress.stages.drop_in import DropIn
from hcompress.stages.merge import Merge
from tests.foreign.builders import many, saved, striped, stripes
from tests.foreign.test_prune import ran, scores


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of its classes Ｒ and ｇ look like r and g; ｇ's column is g's own, a little lower."""
    proto = many()
    names = proto.metadata_props[0].value.split("\n")
    names[3:5] = ["ｒ", "ｇ"]
    proto.metadata_props[0].value = "\n".join(names)
    held = {one.name: one for one in proto.graph.initializer}
    weight = onnx.numpy_helper.to_array(held["w"]).copy()
    bias = onnx.numpy_helper.to_array(held["b"]).copy()
    weight[:, 5], bias[5] = weight[:, 2], bias[2] - 1
    weight[:, 4], bias[4] = 1.2 * weight[:, 1], bias[1]
    held["w"].CopyFrom(onnx.numpy_helper.from_array(weight, "w"))
    held["b"].CopyFrom(onnx.numpy_helper.from_array(bias, "b"))
    return saved(proto, tmp_path_factory.mktemp("original"))


def read(file: Path) -> list[str]:
    return [one.text for one in ForeignReader(file).read([stripes("rgb"), stripes("bgr")])]


@pytest.mark.parametrize("how", Scores)
def test_look_alikes_answer_as_one(how: Scores, original: Path, tmp_path: Path) -> None:
    assert read(original) == ["ｒgb", "bgｒ"]
    file = ran(Merge(scores=how), original, tmp_path / "out")
    assert read(file) == ["rgb", "bgr"]
    gone = {Scores.AUTO: [5], Scores.MAXIMUM: [], Scores.KEPT: [4, 5]}[how]
    kept = np.setdiff1d(np.arange(40), gone)
    np.testing.assert_array_equal(scores(file), scores(original)[:, kept])
    spec = open_foreign(file).spec
    assert spec.classes.count("r") == 2 - (4 in gone)
    assert "ｒ" not in spec.classes
    held = ran(DropIn(data=striped(tmp_path, 12), images=8), file, tmp_path / "held", original)
    assert read(held) == ["rgb", "bgr"]
    assert teacher_for(open_foreign(file), original).spec == spec


def test_groups_by_name(original: Path, tmp_path: Path) -> None:
    groups = tmp_path / "groups.txt"
    groups.write_text("bｒ\n", encoding="utf-8")
    file = ran(Merge(groups=groups, scores=Scores.MAXIMUM), original, tmp_path / "out")
    assert read(file) == ["bgb", "bgb"]
    spec = open_foreign(original).spec
    assert named_groups(["r b", "g"], spec) == [[1, 3]]
    with pytest.raises(InputRefused, match="no class"):
        named_groups(["r Z"], spec)
    with pytest.raises(InputRefused, match="two groups"):
        named_groups(["rb", "br"], spec)


def test_what_looks_alike(original: Path) -> None:
    spec = open_foreign(original).spec
    classes = ("", "1", "①", "²", "2", "２", "Å", "\u212b", "郎", "\uf92c", "ab", "ａｂ")
    spec = replace(spec, classes=classes)
    assert look_alikes(spec, Alike.NFKC) == [[4, 5], [6, 7], [8, 9], [10, 11]]
    assert look_alikes(spec, Alike.NFC) == [[6, 7], [8, 9]]
