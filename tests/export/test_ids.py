"""Best classes and how sure they are, in place of scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, helper

from hcompress.errors import InputRefused
from hcompress.export.options import Outputs
from hcompress.foreign.open import open_foreign
from hcompress.runtime.foreign_reader import ForeignReader
from hcompress.spec.foreign import Answers
from hcompress.stages.drop_in import DropIn
from tests.foreign.builders import deep, saved, striped, stripes
from tests.foreign.test_prune import ran


def ending(kind: str, opset: int) -> ModelProto:
    """The recogniser with that behind its classifier."""
    made = deep()
    last = made.graph.node.pop()
    assert last.op_type == "Softmax"
    made.opset_import[0].version = opset
    if opset > 12:  # Squeeze is given its axes
        squeeze = next(node for node in made.graph.node if node.op_type == "Squeeze")
        del squeeze.attribute[:]
        squeeze.input.append("axes")
        made.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2]), "axes"))
    given = {} if kind == "Identity" else {"axis": 2}
    made.graph.node.append(helper.make_node(kind, [last.input[0]], ["y"], **given))
    return made


@pytest.mark.parametrize("opset", [12, 18])
@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax", "Identity"])
def test_ids_and_how_sure(kind: str, opset: int, tmp_path: Path) -> None:
    original = saved(ending(kind, opset), tmp_path)
    stage = DropIn(data=striped(tmp_path, 12), images=8, outputs=Outputs.IDS)
    file = ran(stage, original, tmp_path / "out", original)
    assert open_foreign(file).spec.answers is Answers.IDS
    lines = [stripes("rgb"), stripes("bb")]
    before, after = (ForeignReader(path).read(lines) for path in (original, file))
    assert [one.text for one in after] == ["rgb", "bb"]
    assert [one.confidence for one in after] == pytest.approx([one.confidence for one in before])
    # What docs/charset.md tells people to write:
    session = onnxruntime.InferenceSession(file)
    inputs = np.stack([lines[0].transpose(2, 0, 1)[::-1] / 127.5 - 1]).astype(np.float32)
    ids, sure = session.run(["ids", "confidence"], {"x": inputs})
    characters = ["", *session.get_modelmeta().custom_metadata_map["character"].split("\n"), " "]
    kept = [t for t, i in enumerate(ids[0]) if i and (t == 0 or ids[0, t - 1] != i)]
    assert "".join(characters[ids[0, t]] for t in kept) == "rgb"
    assert 0.9 < float(np.prod(sure[0, kept])) <= 1
    with pytest.raises(InputRefused, match="already"):
        ran(stage, file, tmp_path / "again")
