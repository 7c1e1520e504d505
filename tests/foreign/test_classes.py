"""Lists of classes in files of many kinds, what is added to them, and the blank."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hcompress.errors import InputRefused, UsageError
from hcompress.foreign.charset_file import charset_list, charset_lists
from hcompress.foreign.classes import Listing, answered, find_listing, name_classes
from hcompress.foreign.dead import dead_classes
from hcompress.foreign.options import AS_FOUND, Blank, split_charset
from hcompress.spec.foreign import Answers

HARD = ["'", '"', "\\", "\u3000", "#", "🇩🇪", "-", ":"]


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


YAML = """\
Global:
  model_name: x
PostProcess:
  name: CTCLabelDecode
  character_dict:
  - ''''
  - '"'
  - \\
  - "\\u3000"
  - '#'
  - "\\U0001F1E9\\U0001F1EA"
  - '-'
  - ':'
Other: 1
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "\n".join(HARD) + "\n"),
        ("a.txt", "\ufeff" + "\r\n".join(HARD) + "\r\n"),
        ("a.txt", "\n".join(HARD)),
        ("a.json", json.dumps(HARD)),
        ("a.json", json.dumps({"charset": HARD, "word": False})),
        ("a.yml", YAML),
        ("a.yml", YAML.replace("\n", "\r\n")),
        ("a.py", f"import os\nCHARSET = {HARD!r}\nx = 3\n"),
    ],
)
def test_a_list_is_read_from_any_kind_of_file(name: str, text: str, tmp_path: Path) -> None:
    assert list(charset_lists(write(tmp_path, name, text)).values()) == [HARD]


def test_a_python_file_is_never_run(tmp_path: Path) -> None:
    bomb = f"open({str(tmp_path / 'ran')!r}, 'w')\nA = ['a', 'b']\nB = list('ab')\n"
    assert charset_lists(write(tmp_path, "a.py", bomb)) == {"A": ["a", "b"]}
    assert not (tmp_path / "ran").exists()


def test_of_several_lists_the_one_that_fits_is_taken_or_one_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.py", "A = ['a', 'b', 'c']\nB = ['x']\nC = ['p', 'q', 'r']\n")
    assert charset_list(path, "C", 4) == ["p", "q", "r"]
    assert charset_list(path, None, 2) == ["x"]
    with pytest.raises(UsageError, match=r"several lists: A \(3\), B \(1\), C \(3\): give"):
        charset_list(path, None, 4)
    with pytest.raises(UsageError, match='no list called "D": it has A, B, C'):
        charset_list(path, "D", 4)


def test_the_option_names_a_file_and_perhaps_a_list(tmp_path: Path) -> None:
    odd = write(tmp_path, "a:b", "x")
    assert split_charset(str(odd)) == (odd, None)
    assert split_charset("c.py:NAME") == (Path("c.py"), "NAME")


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("a.txt", "", "is empty"),
        ("a.json", "{}", "no list of characters"),
        ("a.json", '["a", 1]', "no list of characters"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.py", "(" * 100_000, "not Python"),
        ("a.py", "def f(:", "not Python"),
        ("a.yml", "a: 1\n", "no list of characters"),
        ("a.yml", "character_dict:\n- !!python/object x\n", "more of YAML than a list"),
        ("a.yml", 'character_dict:\n- "\\ud800"\n', "no character"),
        ("a.yml", 'character_dict:\n- "\\q"\n', "no escape"),
    ],
)
def test_what_is_no_list_is_refused(name: str, text: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=what):
        charset_lists(write(tmp_path, name, text))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\n\xff\n")
    with pytest.raises(InputRefused, match="not UTF-8 at byte 2"):
        charset_lists(path)


def named(entries: list[str], count: int, blank: Blank | None = None, measured: int | None = 0):
    return name_classes(Listing(entries, "here"), count, blank, measured, "m.onnx")


def test_what_a_list_lacks_is_added_and_said() -> None:
    whole = named(["", "a", "b"], 3, measured=None)
    assert (whole.classes, whole.blank, whole.source) == (("", "a", "b"), 0, "here")
    less = named(["a", "b"], 3)
    assert (less.classes, less.source) == (("", "a", "b"), "here, blank added")
    least = named(["a", "b"], 4)
    assert (least.classes, least.source) == (("", "a", "b", " "), "here, blank and space added")


def test_the_blank_is_last_if_it_was_said_or_measured() -> None:
    assert named(["a", "b"], 3, Blank.LAST).classes == ("a", "b", "")
    assert named(["a", "b"], 3, measured=2).classes == ("a", "b", "")
    assert named(["a", "b", "<blank>"], 3, measured=None).classes == ("a", "b", "")


def test_classes_may_be_alike_and_of_several_characters() -> None:
    assert named(["郎", "郎", "ll"], 4).classes == ("", "郎", "郎", "ll")


def test_a_list_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputRefused, match="here has 2 entries for 9 classes: a list of 7 to 9"):
        named(["a", "b"], 9)
    with pytest.raises(InputRefused, match="class 2 must not be empty"):
        named(["a", "", "c"], 4)


def test_a_list_beside_the_model_is_taken_if_it_fits(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "rec"
    folder.mkdir(parents=True)
    model = folder / "m.onnx"
    write(tmp_path / "models", "my_dict.txt", "a\nb\n")
    write(tmp_path / "models", "other_dict.txt", "a\nb\nc\nd\ne\nf\n")
    write(tmp_path / "models", "notes.txt", "a\nc\n")
    found = find_listing(4, AS_FOUND, None, model, "m")
    assert found == Listing(["a", "b"], "my_dict.txt beside the model, whose length fits")
    write(tmp_path / "models", "third_dict.txt", "a\nc\n")
    with pytest.raises(InputRefused, match=r"--charset .*my_dict.txt or .*third_dict.txt"):
        find_listing(4, AS_FOUND, None, model, "m")
    assert find_listing(4, AS_FOUND, "x\r\ny\r\n", model, "m").entries == ["x", "y"]


def test_what_is_answered_for_nothing_is_counted() -> None:
    scores = np.zeros((1, 10, 4))
    scores[:, :6, 3] = 1
    assert answered([scores], Answers.LOGITS) == 3
    assert answered([np.array([[1, 2, 3, 3]])], Answers.IDS) == 3
    assert answered([np.array([[1, 2, 3, 4]])], Answers.IDS) is None


def test_columns_left_at_one_vector_are_dead() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(40, 8)).astype(np.float32)
    biases = rng.normal(size=40).astype(np.float32)
    assert len(dead_classes(weights, biases)) == 0
    weights[10:20], biases[10:20] = weights[10], biases[10]
    weights[12] += 1e-4
    assert dead_classes(weights, biases).tolist() == list(range(10, 20))
    assert dead_classes(weights, biases, blank=10).tolist() == list(range(11, 20))


def test_of_equal_columns_the_one_with_the_greatest_bias_lives() -> None:
    weights = np.eye(4, dtype=np.float32)
    weights[2] = weights[1]
    assert dead_classes(weights, np.array([0, 1, 2, 0], np.float32)).tolist() == [1]
    assert dead_classes(weights, np.zeros(4, np.float32)).tolist() == [2]


def test_lists_in_tables_of_a_python_file_go_by_their_tables_names(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_text(
        "import os\nmodels = {'gen2': {'a_g2': {'url': 'u', 'characters': 'abc'},"
        " 'b_g2': {'characters': os.name, 'more': [1]}, 'c_g2': {'characters': ['x', 'yz']}},"
        " **os.environ}\nplain = ['p', 'q']\n"
    )
    assert charset_lists(path) == {
        "a_g2": ["a", "b", "c"],
        "c_g2": ["x", "yz"],
        "plain": ["p", "q"],
    }
