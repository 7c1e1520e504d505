"""Loops and branches as a layout tells them: a bound that is not sure is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcompress.errors import InputRefused
from hcompress.formats.layout import Control, Layout
from hcompress.formats.open import ModelFile
from hcompress.runtime.validate import check_turns
from tests import model_files as make

INT64, INT32 = 7, 6


def count(name: str, value: int, kind: int = INT64, dims: tuple[int, ...] = ()) -> bytes:
    width = 8 if kind == INT64 else 4
    return make.o_tensor(name, dims, value.to_bytes(width, "little", signed=True), kind)


def node(operator: str, *inputs: str, body: bytes | None = None, output: str = "y") -> bytes:
    parts = [*(make.message(1, name.encode()) for name in inputs), make.message(2, output.encode())]
    parts.append(make.message(4, operator.encode()))
    if body is not None:
        parts.append(make.message(5, make.message(6, body)))
    return b"".join(parts)


def late(*inputs: str) -> bytes:
    """A loop whose operator stands before its inputs."""
    return make.message(4, b"Loop") + b"".join(make.message(1, name.encode()) for name in inputs)


def function(*nodes: bytes) -> bytes:
    return make.message(25, make.message(1, b"f"), *(make.message(7, one) for one in nodes))


LOOP = node("Loop", "n", "go")
INNER = make.message(1, node("Loop", "n", "go", output="z"))
CONSTANT = make.message(2, b"n") + make.message(4, b"Constant")
CASES: dict[str, tuple[bytes, list[tuple[str, int | None]]]] = {
    "none": (make.onnx_bytes(count("n", 9), nodes=[node("Add", "n", "n")]), []),
    "one": (make.onnx_bytes(count("n", 9), nodes=[LOOP]), [("Loop", 9)]),
    "of one element": (make.onnx_bytes(count("n", 9, dims=(1,)), nodes=[LOOP]), [("Loop", 9)]),
    "endless": (make.onnx_bytes(count("n", 1 << 62), nodes=[LOOP]), [("Loop", 1 << 62)]),
    "no count": (make.onnx_bytes(nodes=[node("Loop", "", "go")]), [("Loop", None)]),
    "no input": (make.onnx_bytes(nodes=[node("Loop")]), [("Loop", None)]),
    "worked out": (
        make.onnx_bytes(nodes=[node("Mul", "a", "a", output="n"), LOOP]), [("Loop", None)],
    ),
    "made again": (
        make.onnx_bytes(count("n", 9), nodes=[node("Mul", "a", "a", output="n"), LOOP]),
        [("Loop", None)],
    ),
    "a constant's own name": (
        make.onnx_bytes(nodes=[CONSTANT + make.message(5, make.message(5, count("m", 9))), LOOP]),
        [("Loop", None)],
    ),
    "of 32 bits": (make.onnx_bytes(count("n", 9, INT32), nodes=[LOOP]), [("Loop", None)]),
    "two counts": (
        make.onnx_bytes(count("n", 9), count("n", 1 << 62), nodes=[LOOP]), [("Loop", None)],
    ),
    "operator first": (make.onnx_bytes(count("n", 9), nodes=[late("n", "go")]), [("Loop", None)]),
    "inside another": (
        make.onnx_bytes(count("n", 9), nodes=[node("Loop", "n", "go", body=INNER)]),
        [("Loop", 9), ("Loop", None)],
    ),
    "in a function": (
        make.onnx_bytes(count("n", 9), extra=function(LOOP)), [("Loop", None)],
    ),
    "branches": (
        make.onnx_bytes(count("n", 9), nodes=[node("If", "n"), node("Scan", "n"),
                                              node("SequenceMap", "n")]),
        [("If", None), ("Scan", None), ("SequenceMap", None)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_loops_are_told_with_a_bound_if_it_is_sure(name: str, tmp_path: Path) -> None:
    data, wanted = CASES[name]
    (tmp_path / "m.onnx").write_bytes(data)
    found = ModelFile(tmp_path / "m.onnx").layout
    assert found.control == tuple(Control(*one) for one in wanted)
    ours = [count for _, count in wanted] in ([], [9])
    if ours:
        check_turns(found, 9)
    else:
        with pytest.raises(InputRefused, match="not run"):
            check_turns(found, 9)


def test_a_loop_turns_no_more_than_the_longest_line_has_steps() -> None:
    for turns in (0, 9):
        check_turns(Layout(Path("m"), 0, (), control=(Control("Loop", turns),)), 9)
    with pytest.raises(InputRefused, match="Loop of 10 turns, where one Loop of 9"):
        check_turns(Layout(Path("m"), 0, (), control=(Control("Loop", 10),)), 9)
