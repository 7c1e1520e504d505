"""The reader of structured input: what of each type is read, and how the rest is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcompress.errors import GateFailed, HcompressError, InputRefused, UsageError
from hcompress.strict.json import strict_json
from hcompress.strict.read import change, read, take_version
from hcompress.strict.schema import Param, describe, table_of
from hcompress.strict.show import HUGE, show, suggest
from hcompress.strict.write import plain


class Shade(StrEnum):
    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True)
class Softmax:
    bottleneck: int | None = None

    kind: ClassVar[str] = "softmax"


@dataclass(frozen=True)
class Hamming:
    code_length: Annotated[int, Param("bits of a code", 8, 4096)]
    rerank: Annotated[bool, Param(key="refined")] = False

    kind: ClassVar[str] = "hamming"

    def __post_init__(self) -> None:
        if self.code_length % 8:
            raise UsageError(f"code_length = {self.code_length}: must be a multiple of 8")


@dataclass(frozen=True)
class Part:
    name: str
    bytes: Annotated[int, Param(minimum=0)]


@dataclass(frozen=True)
class Everything:
    """A field of every kind that is read."""

    flag: bool = False
    whole: int = 0
    bounded: Annotated[int, Param("so many", 1, 1000)] = 1
    number: float = 0.0
    share: Annotated[float, Param("of all", 0, 1)] = 0.0
    anything: Annotated[float, Param(finite=False)] = 0.0
    exact: Annotated[Decimal, Param(minimum=0)] = Decimal(0)
    text: str = ""
    maybe: str | None = None
    shade: Shade = Shade.LIGHT
    path: Path | None = None
    seeds: Annotated[tuple[int, ...], Param("seeds", 0, 9)] = ()
    rows: list[tuple[str, float]] = field(default_factory=list)
    parts: tuple[Part, ...] = ()
    by_name: Mapping[str, Part] = field(default_factory=dict)
    head: Softmax | Hamming = Softmax()
    only: Hamming | None = None
    raw: Any = None


@dataclass(frozen=True)
class Needs:
    steps: Annotated[int, Param("how long to learn")]
    part: Part
    parent: Part | None


def refused(raw: object, kind: type[Any] = Everything, **options: Any) -> str:
    with pytest.raises(InputRefused) as caught:
        read(kind, raw, "here", **options)
    line = str(caught.value)
    assert line.startswith("here: ")
    assert line.isprintable()
    assert len(line) < 1000
    return line.removeprefix("here: ")


WHOLE: dict[str, Any] = {
    "flag": True, "whole": -5, "bounded": 1000, "number": 3, "share": 0.25, "anything": 1,
    "exact": 0.95, "text": "ü", "maybe": None, "shade": "dark", "path": "a/b", "seeds": [0, 9],
    "rows": [["a", 1], ["b", 0.5]], "parts": [{"name": "x", "bytes": 1}],
    "by_name": {"decoder FFN": {"name": "y", "bytes": 2}},
    "head": {"kind": "hamming", "code_length": 64, "refined": True},
    "only": {"kind": "hamming", "code_length": 8}, "raw": {"a": [1, None]},
}  # fmt: skip


def test_every_kind_is_read() -> None:
    found = read(Everything, WHOLE, "here")
    assert found == Everything(
        flag=True, whole=-5, bounded=1000, number=3.0, share=0.25, anything=1.0,
        exact=Decimal("0.95"), text="ü", shade=Shade.DARK, path=Path("a/b"), seeds=(0, 9),
        rows=[("a", 1.0), ("b", 0.5)], parts=(Part("x", 1),),
        by_name={"decoder FFN": Part("y", 2)}, head=Hamming(64, rerank=True), only=Hamming(8),
        raw={"a": [1, None]},
    )  # fmt: skip
    assert type(found.number) is float
    assert type(found.shade) is Shade
    assert WHOLE.keys() == table_of(Everything).by_key.keys()


def test_defaults_stand_where_nothing_is_said() -> None:
    assert read(Everything, {}, "here") == Everything()


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (3, "is 3: must be a table of keys"),
        ([], "is a list of 0: must be a table of keys"),
        ({"flg": True}, 'unknown key "flg"; did you mean "flag"?'),
        ({"zzz": 1}, 'unknown key "zzz"; keys: anything, bounded, by_name, exact, flag'),
        ({"flag": 1}, "flag = 1: must be true or false"),
        ({"flag": "true"}, 'flag = "true": must be true or false'),
        ({"whole": True}, "whole = true: must be a whole number"),
        ({"whole": 1.0}, "whole = 1.0: must be a whole number"),
        ({"whole": "1"}, 'whole = "1": must be a whole number'),
        ({"whole": None}, "whole = null: must be a whole number"),
        ({"whole": {}}, "whole = a table: must be a whole number"),
        ({"bounded": 0}, "bounded = 0: must be 1 to 1000"),
        ({"bounded": 1001}, "bounded = 1001: must be 1 to 1000"),
        ({"bounded": "7"}, 'bounded = "7": must be a whole number, 1 to 1000'),
        ({"number": True}, "number = true: must be a number"),
        ({"number": "1.0"}, 'number = "1.0": must be a number'),
        ({"number": math.nan}, "number = nan: must be finite"),
        ({"number": -math.inf}, "number = -inf: must be finite"),
        ({"share": math.nan}, "share = nan: must be 0 to 1"),
        ({"share": 1.5}, "share = 1.5: must be 0 to 1"),
        ({"share": -1}, "share = -1: must be 0 to 1"),
        ({"exact": Decimal("NaN")}, "exact = NaN: must be at least 0"),
        ({"exact": Decimal("sNaN")}, "exact = sNaN: must be at least 0"),
        ({"exact": Decimal("Infinity")}, "exact = Infinity: must be at least 0"),
        ({"exact": "1"}, 'exact = "1": must be a number, at least 0'),
        ({"exact": False}, "exact = false: must be a number, at least 0"),
        ({"text": 3}, "text = 3: must be a string"),
        ({"text": b"x"}, "text = b'x': must be a string"),
        ({"maybe": []}, "maybe = a list of 0: must be a string"),
        ({"shade": "drak"}, 'shade = "drak"; did you mean "dark"?'),
        ({"shade": "LIGHT"}, 'shade = "LIGHT"; one of: dark, light'),
        ({"shade": 3}, "shade = 3; one of: dark, light"),
        ({"shade": {}}, "shade = a table; one of: dark, light"),
        ({"path": ""}, 'path = "": not a path'),
        ({"path": "a\0b"}, 'path = "a\\x00b": not a path'),
        ({"path": "\ud800"}, 'path = "\\ud800": not a path'),
        ({"path": 3}, "path = 3: must be a path"),
        ({"seeds": 3}, "seeds = 3: must be a list, each a whole number"),
        ({"seeds": "12"}, 'seeds = "12": must be a list, each a whole number'),
        ({"seeds": [1, True]}, "seeds[1] = true: must be a whole number, 0 to 9"),
        ({"seeds": [1, 10]}, "seeds[1] = 10: must be 0 to 9"),
        ({"rows": [["a", 1, 2]]}, "rows[0] = a list of 3: must be a list of 2"),
        ({"rows": [["a", "b"]]}, 'rows[0][1] = "b": must be a number'),
        ({"rows": {}}, "rows = a table: must be a list, each a list"),
        ({"parts": {}}, "parts = a table: must be a list, each a table of keys"),
        ({"parts": [3]}, "parts[0] = 3: must be a table of keys"),
        ({"parts": [{"bytes": 1}]}, "parts[0].name is missing"),
        ({"parts": [{"name": "x"}]}, "parts.x.bytes is missing"),
        ({"parts": [{"name": "x y", "bytes": -1}]}, 'parts."x y".bytes = -1: must be at least 0'),
        ({"parts": [{"name": "x", "byts": 1}]}, 'unknown key "parts.x.byts"; did you mean "bytes"'),
        ({"by_name": []}, "by_name = a list of 0: must be a table of keys"),
        ({"by_name": {"a.b": 3}}, 'by_name."a.b" = 3: must be a table of keys'),
        ({"head": {}}, "head.kind is missing; one of: hamming, softmax"),
        ({"head": {"kind": None}}, "head.kind is missing; one of: hamming, softmax"),
        ({"head": {"kind": "hammin"}}, 'head.kind = "hammin"; did you mean "hamming"?'),
        ({"head": {"kind": ["hamming"]}}, "head.kind = a list of 1; one of: hamming, softmax"),
        ({"head": {"kind": "softmax", "code_length": 8}}, 'unknown key "head.code_length"'),
        ({"head": {"kind": "hamming"}}, "head.code_length is missing: bits of a code"),
        ({"head": {"kind": "hamming", "code_length": 9}}, "head: code_length = 9: must be a mult"),
        ({"head": {"kind": "hamming", "code_length": 8, "rerank": 1}}, 'unknown key "head.reran'),
        ({"only": {"code_length": 8}}, "only.kind is missing; one of: hamming"),
        ({"only": {"kind": "softmax"}}, 'only.kind = "softmax"; one of: hamming'),
    ],
)  # fmt: skip
def test_what_is_something_else_is_refused_by_its_place(raw: object, line: str) -> None:
    assert refused(raw).startswith(line)


def test_what_is_missing_is_named_with_what_it_is_for() -> None:
    part = {"name": "x", "bytes": 1}
    good = {"steps": 1, "part": part, "parent": None}
    assert read(Needs, good, "here") == Needs(1, Part("x", 1), None)
    for name, said in (
        ("steps", "steps is missing: how long to learn"),
        ("part", "part is missing"),
        ("parent", "parent is missing"),  # null is a value, nothing is none
    ):
        left = {key: value for key, value in good.items() if key != name}
        assert refused(left, Needs) == said


Digest = Annotated[str, Param("4 hexadecimal digits", pattern="[0-9a-f]{4}")]


@dataclass(frozen=True)
class Files:
    digest: Digest
    files: Mapping[Digest, Digest] = field(default_factory=dict)


def test_texts_and_keys_have_patterns() -> None:
    found = read(Files, {"digest": "00ff", "files": {"1234": "abcd"}}, "here")
    assert found == Files("00ff", {"1234": "abcd"})
    for raw, line in (
        ({"digest": "00FF"}, 'digest = "00FF": must be 4 hexadecimal digits'),
        ({"digest": "00ff\n"}, 'digest = "00ff\\n": must be 4 hexadecimal digits'),
        ({"digest": 1234}, "digest = 1234: must be a string"),
        ({}, "digest is missing: 4 hexadecimal digits"),
        ({"digest": "00ff", "files": {"x": "1234"}}, 'files.x = "x": must be 4 hexadecimal digits'),
        ({"digest": "00ff", "files": {"1234": ""}}, 'files.1234 = "": must be 4 hexadecimal digit'),
    ):
        assert refused(raw, Files).startswith(line)


def test_not_a_number_is_read_where_it_was_asked_for() -> None:
    assert math.isnan(read(Everything, {"anything": math.nan}, "here").anything)
    assert read(Everything, {"anything": -math.inf}, "here").anything == -math.inf


@pytest.mark.parametrize("key", ["whole", "bounded", "number", "share", "exact", "anything"])
def test_huge_numbers_are_refused_and_not_printed(key: str) -> None:
    for value in (HUGE, -HUGE, 10**400, -(10**6000)):
        assert refused({key: value}).startswith(f"{key} = a huge number: must be ")


def test_huge_numbers_where_something_else_should_be() -> None:
    for key, must in (("text", "a string"), ("flag", "true or false"), ("path", "a path")):
        assert refused({key: 10**6000}) == f"{key} = a huge number: must be {must}"
    assert refused({"shade": 10**6000}) == "shade = a huge number; one of: dark, light"
    assert refused({"head": {"kind": 10**6000}}).startswith("head.kind = a huge number")
    assert refused([10**6000]) == "is a list of 1: must be a table of keys"
    assert read(Everything, {"whole": HUGE - 1, "number": HUGE - 1}, "here").whole == HUGE - 1


@pytest.mark.parametrize(
    "text", ["x" * 10_000_000, "\ud800\x1b[31m\n", "\u202e" * 100], ids=["long", "control", "bidi"]
)
def test_hostile_keys_and_values_stay_on_one_short_line(text: str) -> None:
    refused({text: 1})
    refused({"shade": text})
    refused({"parts": [{"name": text, "bytes": -1}]})
    refused({"by_name": {text: text}})
    refused({"head": {"kind": text}})
    assert read(Everything, {"text": text}, "here").text == text


def test_depth_costs_nothing() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"only": [deep]}
    assert refused({"only": deep}) == "only.kind is missing; one of: hamming"
    assert read(Everything, {"raw": deep}, "here").raw is deep


def test_keys_of_others_are_passed_over_where_that_was_asked_for() -> None:
    raw = {"steps": 1, "part": {"name": "x", "bytes": 1, "more": 1}, "parent": None, "more": {}}
    assert read(Needs, raw, "here", only_known=False) == Needs(1, Part("x", 1), None)
    refused(raw, Needs)
    refused({**raw, "steps": "1"}, Needs, only_known=False)


@pytest.mark.parametrize("error", [UsageError, InputRefused, GateFailed])
def test_the_caller_chooses_the_error(error: type[HcompressError]) -> None:
    for raw in ({"flag": 1}, {"flg": 1}, {"only": {"kind": "hamming", "code_length": 9}}, 3):
        with pytest.raises(error, match=r"^here: "):
            read(Everything, raw, "here", error)


def test_the_top_may_be_anything_too() -> None:
    heads: Any = Softmax | Hamming
    assert read(heads, {"kind": "hamming", "code_length": 8}, "here") == Hamming(8)
    assert read(tuple[int, ...], [1, 2], "here") == (1, 2)
    assert read(Mapping[str, Part], {"a": {"name": "x", "bytes": 1}}, "here")["a"].bytes == 1
    assert refused([True], tuple[int, ...]) == "[0] = true: must be a whole number"
    assert refused("x", int) == 'is "x": must be a whole number'


def test_paths_are_relative_to_their_file() -> None:
    assert read(Everything, {"path": "a"}, "here", base=Path("/x")).path == Path("/x/a")
    assert read(Everything, {"path": "/a"}, "here", base=Path("/x")).path == Path("/a")
    assert read(Everything, {"path": Path("a")}, "here").path == Path("a")
    assert read(Everything, {"path": "~"}, "here", base=Path("x")).path == Path.home()


def test_a_change_keeps_the_rest() -> None:
    whole = read(Everything, WHOLE, "here")
    changed = change(whole, {"whole": 7, "seeds": []}, "here")
    assert changed == dataclasses.replace(whole, whole=7, seeds=())
    assert change(Hamming(64), {"refined": True}, "here") == Hamming(64, rerank=True)
    for raw in ({"whol": 1}, {"whole": "1"}):
        with pytest.raises(UsageError, match=r"^here: "):
            change(whole, raw, "here", UsageError)
    with pytest.raises(UsageError, match="here: code_length = 9: must be a multiple"):
        change(Hamming(64), {"code_length": 9}, "here", UsageError)


def test_versions_are_looked_at_first() -> None:
    assert take_version({"format": 2, "x": 1}, "format", (1, 2), "here") == (2, {"x": 1})
    for raw, line in (
        ({"format": 3}, "format = 3: this hcompress reads 1, 2 only"),
        ({"format": True}, "format = true: this hcompress reads 1, 2 only"),
        ({"format": 1.0}, "format = 1.0: this hcompress reads 1, 2 only"),
        ({"format": 10**6000}, "format = a huge number: this hcompress reads 1, 2 only"),
        ({"x": 1}, "format is missing: this hcompress reads 1, 2 only"),
        ({"fromat": 1}, 'format is missing; "fromat" is there: did you mean it?'),
        ([], "is a list of 0: must be a table of keys"),
        (None, "is null: must be a table of keys"),
    ):
        with pytest.raises(InputRefused) as caught:
            take_version(raw, "format", (1, 2), "here")
        assert str(caught.value) == f"here: {line}"


@pytest.mark.parametrize(
    "hint",
    [int | str, tuple[int, ...] | str, set[int], bytes, dict[int, str], object, Softmax | Part],
)
def test_a_field_that_nothing_can_be_read_as_is_our_bug(hint: Any) -> None:
    kind = dataclasses.make_dataclass("Bad", [("field", hint)])
    with pytest.raises(TypeError, match=r"Bad\.field"):
        read(kind, {}, "here")
    with pytest.raises(TypeError, match="not a dataclass"):
        table_of(int)


def test_a_recipe_holds_less_than_a_file() -> None:
    for hint in (Any, Part, Decimal, dict[str, int], tuple[int, int], tuple[tuple[int, ...], ...]):
        with pytest.raises(TypeError, match=r"Bad\.field: a recipe cannot hold it"):
            describe(dataclasses.make_dataclass("Bad", [("field", hint)]))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from(["hamming", "softmax", "dark", 10**400, -1, 8]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["kind", "code_length", "name", "bytes", "refined"]) | st.text(), inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
KEYS = st.sampled_from(list(table_of(Everything).by_key))


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_anything_is_read_or_refused_in_one_line(raw: dict[str, Any]) -> None:
    try:
        found = read(Everything, raw, "here")
    except InputRefused as error:
        line = str(error)
        assert line.startswith("here: ")
        assert line.isprintable()
        assert len(line) < 1000
    else:
        assert read(Everything, {**plain(found), "exact": found.exact}, "here") == found or (
            math.isnan(found.anything)
        )


PARTS = st.builds(Part, st.text(), st.integers(0, HUGE - 1))
HEADS = st.builds(Softmax, st.none() | st.integers(-9, 9)) | st.builds(
    Hamming, st.integers(1, 512).map(lambda n: 8 * n), st.booleans()
)


@given(
    st.builds(
        Everything,
        number=st.floats(allow_nan=False, allow_infinity=False),
        shade=st.sampled_from(Shade),
        text=st.text(),
        maybe=st.none() | st.text(),
        seeds=st.lists(st.integers(0, 9)).map(tuple),
        rows=st.lists(st.tuples(st.text(), st.floats(-1, 1))),
        parts=st.lists(PARTS, max_size=3).map(tuple),
        by_name=st.dictionaries(st.text(), PARTS, max_size=3),
        head=HEADS,
    )
)
def test_what_is_written_is_read_back(value: Everything) -> None:
    raw = {**plain(value), "exact": 0}
    assert read(Everything, strict_json(json.dumps(raw), "here"), "here") == value


@given(st.text() | st.integers() | st.floats() | st.lists(st.integers()) | st.none())
def test_what_is_shown_is_short_and_printable(value: Any) -> None:
    assert show(value).isprintable()
    assert len(show(value)) < 800


def test_suggestions() -> None:
    assert suggest("stepz", ["steps", "rate"], "keys") == '; did you mean "steps"?'
    assert suggest("zzz", ["steps", "rate"], "keys") == "; keys: rate, steps"
    assert suggest("zzz", [], "keys") == "; it has no keys"
    assert suggest(10**6000, ["steps"], "keys") == "; keys: steps"
