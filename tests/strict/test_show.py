"""Texts from outside as people and machines are shown them: nothing in them is obeyed."""

from __future__ import annotations

import json
import sys

import pytest

from hcompress.cli.console import Console, complain
from hcompress.cli.tables import pair_lines, table_lines
from hcompress.gate.show import cells, markdown
from hcompress.gate.verdict import Row, Status, Verdict
from hcompress.reports.page import text
from hcompress.reports.size_table import markdown_text
from hcompress.strict.json import json_text
from hcompress.strict.show import visible

ODD = "".join(chr(code) for code in range(sys.maxunicode + 1) if not chr(code).isprintable())
"""Controls, line ends, marks that turn the writing round, surrogates, what is in no font."""


def harmless(shown: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in shown)


def test_what_cannot_be_seen_is_its_code() -> None:
    assert visible("a b漢é") == "a b漢é"
    assert visible("a\n\x1b[2K\u202e\x9b") == "a‹U+000A›‹U+001B›[2K‹U+202E›‹U+009B›"
    for shown in (visible(ODD[:3000]), text(ODD[:3000]), markdown_text(ODD[:3000])):
        assert shown.isprintable()


@pytest.mark.parametrize("indent", [None, 2])
def test_json_holds_it_as_escapes(indent: int | None) -> None:
    odd = {"漢\n": [ODD[:500], ODD[-500:], "\U000e0001", "é漢"]}
    shown = json_text(odd, indent)
    assert json.loads(shown) == odd
    assert harmless(shown)
    assert shown.count("\n") == (0 if indent is None else 7)
    assert "é漢" in shown
    assert json_text(odd, ascii_only=True).isascii()
    with pytest.raises(ValueError, match="JSON"):
        json_text(float("nan"))


def test_a_line_on_the_console_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.out("p.png  0.100  a\nother.png  1.000  forged")
    console.say("x\nerror: forged")
    complain("x\nerror: forged")
    out = capsys.readouterr()
    assert out.out.count("\n") == 1
    assert out.err.count("\n") == 2
    console.lines("ours\n\nto the end")
    console.json(["\x9b\u202e"], indent=None)
    assert capsys.readouterr().out == 'ours\n\nto the end\n["\\u009b\\u202e"]\n'


def test_tables_and_the_gates_summary_too() -> None:
    name = "m\x1b[31m\u202e\u2066\x9b"
    row = Row(name, name, Status.FAIL, 1, 2, name)
    verdict = Verdict((row,))
    for shown in (
        markdown(verdict, name),
        "\n".join(table_lines(cells(verdict), 80)),
        "\n".join(pair_lines([[name, name]])),
    ):
        assert harmless(shown)
