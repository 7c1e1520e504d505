"""Files that parse and yet are damaged: a line of why, never a traceback and never a long wait."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import ModelProto

from hcompress.cli import main
from hcompress.foreign.damage import damage
from tests.foreign.builders import deep, recogniser, saved


def _short(made: ModelProto) -> None:
    del made.graph.node[-3].input[1]  # MatMul


def _circle(made: ModelProto) -> None:
    made.graph.node[-2].input[0] = made.graph.node[-2].output[0]  # Add


def _no_opset(made: ModelProto) -> None:
    made.graph.node[-3].op_type = "MatMulInteger"
    del made.graph.node[-3].input[1]
    del made.opset_import[:]


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (_short, "without its inputs"),
        (_circle, "go round in a circle"),
        (_no_opset, "without its inputs"),
    ],
)
def test_broken_wires(
    break_it: object, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = recogniser()
    assert callable(break_it)
    break_it(made)
    file = str(saved(made, tmp_path))
    assert main(["import", file, "--dry-run"]) == 3
    assert said in capsys.readouterr().err
    assert main(["inspect", file]) == 0
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("place", ["output", "op_type", "name", "initializer"])
def test_names_that_are_not_utf_8(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = recogniser()
    node = made.graph.node[0]
    if place == "output":
        node.output[0] = made.graph.node[1].input[0] = "p@@"
    elif place == "initializer":
        made.graph.initializer[0].doc_string = "p@@"
    else:
        setattr(node, place, "p@@")
    file = saved(made, tmp_path)
    file.write_bytes(file.read_bytes().replace(b"p@@", b"p\xb8@"))
    assert main(["import", str(file), "--dry-run"]) == 3
    said = capsys.readouterr().err
    assert "not UTF-8" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("made", [recogniser(), deep()])
def test_what_is_sound_is_not_damaged(made: ModelProto) -> None:
    assert damage(made) is None
    made.graph.node[0].domain = "com.example"  # whose operators nobody knows
    del made.graph.node[0].input[1:]
    made.opset_import.add(domain="com.example", version=1)
    assert damage(made) is None


def test_a_gemm_by_a_vector_is_no_classifier(tmp_path: Path) -> None:
    from tests.foreign.test_open import gemm

    made = gemm()
    weight = next(one for one in made.graph.initializer if len(one.dims) == 2)
    count = weight.dims[0] * weight.dims[1]
    del weight.dims[:]
    weight.dims.append(count)
    assert main(["inspect", str(saved(made, tmp_path))]) == 0
