"""Which head it is, and which ids are special, is data of the spec's: nobody else asks."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from hcompress.heads import build, contract, softmax
from hcompress.heads.hamming import module
from hcompress.spec.heads import HEADS, INPUTS
from tests.test_house import FILES

AT_HOME = ("hcompress.heads.", "hcompress.spec.")
KINDS = {*HEADS, *INPUTS}
CLASSES = {spec.__name__ for spec in (*HEADS.values(), *INPUTS.values())} | {
    name
    for part in (build, contract, softmax, module)
    for name, found in vars(part).items()
    if isinstance(found, type) and issubclass(found, contract.Head | contract.Inputs)
    and found not in (contract.Head, contract.Inputs)
}  # fmt: skip
SPECIAL = {"PAD", "BOS", "EOS", "SPECIALS", "FIRST_READABLE"}


def nodes() -> Iterator[tuple[str, ast.AST]]:
    """All there is, with its place."""
    for name, file in FILES.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            yield f"{name}:{getattr(node, 'lineno', 0)}", node


def named(node: ast.AST) -> set[str]:
    """The classes and kinds of heads in an expression."""
    words = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    words |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    texts = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
    return (words & CLASSES) | (texts & KINDS)


def asks(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in ("isinstance", "issubclass") and bool(named(node))
    return isinstance(node, ast.Compare | ast.match_case) and bool(
        named(node.pattern if isinstance(node, ast.match_case) else node)
    )


def test_what_is_looked_for_is_there() -> None:
    assert {"Softmax", "HammingHead", "HammingInputsModule", "FactorisedHead"} <= CLASSES
    asked = "isinstance(x, Hamming)", "type(x) is Softmax", "x.kind == 'hamming'"
    assert all(any(map(asks, ast.walk(ast.parse(text)))) for text in asked)
    assert any(map(asks, ast.walk(ast.parse("match x:\n case Learned(p): pass"))))


def test_nobody_else_asks_which_head_it_is() -> None:
    places = [place for place, node in nodes() if asks(node)]
    assert [place for place in places if not place.startswith(AT_HOME)] == []
    assert places, "at home it is asked"


def test_nobody_else_knows_a_special_id_by_name() -> None:
    found = [
        place
        for place, node in nodes()
        if (isinstance(node, ast.Name) and node.id in SPECIAL)
        or (isinstance(node, ast.alias) and node.name in SPECIAL)
    ]
    # The name of a scheme is one of the words.
    assert [place for place in found if not place.startswith("hcompress.spec.transcription")] == []
