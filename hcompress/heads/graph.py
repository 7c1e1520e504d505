"""What heads of several kinds write as ONNX nodes.

N lines, d = width, V = vocabulary, p = bottleneck.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import helper

from hcompress.heads.contract import Ranked
from hcompress.heads.ranked import FLOAT, ranked, top
from hcompress.spec.config import SCALE

if TYPE_CHECKING:
    from onnx import NodeProto

    from hcompress.heads.contract import Setting
    from hcompress.onnx_writer.graph import Graph


def softmax_nodes(g: Graph, setting: Setting, h: str, columns: str) -> Ranked:
    """h [N, d] and the weight ``columns`` [V, d]: a softmax's best ids.

    The product is float32 in every form: it decides which character is read.
    """

    def readable() -> tuple[list[str], list[NodeProto]]:
        bounds = {"b": setting.first_answer, "e": 2**31 - 1, "a": 0}
        constants = [
            helper.make_node("Constant", [], [n], value_ints=[v]) for n, v in bounds.items()
        ]
        return ["x"], [*constants, helper.make_node("Slice", ["x", *bounds], ["y"])]

    # The readable ones' columns alone, and the temperature in the product: nothing is left to do
    # for each of V scores but to rank them.
    weight = g.call("Readable", g.weight(columns, FLOAT), body=readable)
    scaled = g.op("Gemm", h, weight, transB=1, alpha=1 / setting.temperature)
    return ranked(g, setting, top(g, setting, scaled), scaled, None)


def rows_nodes(g: Graph, name: str, ids: str) -> str:
    """Rows of a weight as float32; gathered first, so that only those asked for are converted."""
    rows = g.to(g.op("Gather", g.raw(name), ids), FLOAT)
    if not g.is_int8(name):
        return rows
    scales = g.to(g.op("Gather", g.raw(name + SCALE), ids), FLOAT)
    return g.op("Mul", rows, g.op("Unsqueeze", scales, g.ints(1)))


def projected_nodes(g: Graph, rows: str, weight: str, position: str) -> str:
    """rows [N, p] through ``weight`` [d, p], plus the position's vector [d]: float32 [N, d]."""
    if not g.half:
        return g.op("Gemm", rows, weight, position, transB=1)
    return g.op("Add", g.widened(g.op("Gemm", rows, weight, transB=1)), position)
