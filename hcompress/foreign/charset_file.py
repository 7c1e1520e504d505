"""Lists of classes in files of many kinds: text, YAML, a list in a Python file, JSON.

Nothing is run, and of YAML no more is read than a list of scalars.
"""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from hcompress.artifacts.beside import MOST_LIST_BYTES, lists_near
from hcompress.errors import EnvironmentFailed, InputRefused, UsageError
from hcompress.spec.foreign_header import CHARACTERS, MOST_CLASSES, lines_of
from hcompress.strict.files import read_small, shown
from hcompress.strict.json import strict_json
from hcompress.strict.show import show

MOST_TEXT_BYTES: Final = 1 << 28
"""Of a text whose characters are wanted."""
_KEYS: Final = ("character_dict", "charset", CHARACTERS, "characters", "alphabet")
"""What a list of classes is called in a table."""
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")
_SIMPLE: Final = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f",
    "r": "\r", "e": "\x1b", " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0",
    "L": "\u2028", "P": "\u2029",
}  # fmt: skip


def charset_lists(path: Path) -> dict[str, list[str]]:
    """The lists of classes in a file, by name; a file that holds one list calls it "".

    Raises UsageError if there is no such file, InputRefused if it holds no list.
    """
    if not path.is_file():
        raise UsageError(f"{shown(path)}: no such charset file")
    where = shown(path)
    text = utf8_text(path, MOST_LIST_BYTES)
    kinds = {
        ".py": _python, ".json": _json, ".yml": _yaml, ".yaml": _yaml,
    }  # fmt: skip
    found = kinds.get(path.suffix.lower(), _text)(text, where)
    if not found:
        raise InputRefused(f"{where}: holds no list of characters")
    for listing in found.values():
        if len(listing) > MOST_CLASSES:
            raise InputRefused(f"{where}: {len(listing):,} classes: Unicode has fewer characters")
        for place, one in enumerate(listing):
            if any("\ud800" <= character <= "\udfff" for character in one):
                raise InputRefused(f"{where}: class {place}: a lone surrogate: no character")
    return found


def utf8_text(path: Path, most: int = MOST_TEXT_BYTES) -> str:
    """A file's text. Raises UsageError if there is no such file, InputRefused if it is none."""
    if not path.is_file():
        raise UsageError(f"{shown(path)}: no such file")
    try:
        return read_small(path, most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputRefused(f"{shown(path)}: not UTF-8 at byte {error.start}") from None


def the_list(path: Path) -> list[str]:
    """The one list that a file holds. Raises as `charset_lists`, and UsageError for several."""
    found = charset_lists(path)
    if len(found) > 1:
        raise UsageError(f"{shown(path)}: has several lists ({', '.join(found)}): leave one in it")
    return next(iter(found.values()))


def charset_list(path: Path, name: str | None, count: int) -> list[str]:
    """The list called ``name`` in a file, or its only one, for a classifier of ``count`` classes.

    Of several lists the one whose length fits. Raises as `charset_lists`, and UsageError if none
    or several do.
    """
    found = charset_lists(path)
    if name is not None:
        if name not in found:
            known = ", ".join(one or "one without a name" for one in found)
            raise UsageError(f"{shown(path)}: no list called {show(name)}: it has {known}")
        return found[name]
    fitting = {key: one for key, one in found.items() if fits(len(one), count)}
    if len(found) > 1 and len(fitting) != 1:
        names = ", ".join(f"{key} ({len(one):,})" for key, one in found.items())
        raise UsageError(f"{shown(path)}: has several lists: {names}: give --charset FILE:NAME")
    return next(iter((fitting or found).values()))


def fits(length: int, count: int) -> bool:
    """Whether a list can be that of ``count`` classes: all, or without blank, or without space."""
    return count - 2 <= length <= count


def _text(text: str, where: str) -> dict[str, list[str]]:
    lines = lines_of(text)
    if any("\r" in line and len(line) > 1 for line in lines):
        raise InputRefused(
            f"{where}: a carriage return within a line: if lines end in CR alone, save it with LF"
        )
    if len(lines) == 1 and len(lines[0]) > 1:
        lines = list(lines[0])  # all of them on one line
    return {"": lines} if lines else {}


def _json(text: str, where: str) -> dict[str, list[str]]:
    value = strict_json(text.removeprefix("\ufeff"), where)
    if isinstance(value, dict):
        named = {str(key): _strings(value[key]) for key in _KEYS if key in value}
        return {key: one for key, one in named.items() if one}
    own = _strings(value)
    return {"": own} if own else {}


def _python(text: str, where: str) -> dict[str, list[str]]:
    """Lists that are assigned to a name at the top, as literals, and those under `characters` in
    tables of literals, as EasyOCR's config.py has them; nothing is executed."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputRefused(f"{where}: not Python that can be parsed") from None
    found: dict[str, list[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            inner = _tabled(name, node.value) if isinstance(node.value, ast.Dict) else {}
            own = [] if inner else _literal(node.value)
            found |= {**inner, name: own} if own else inner
    return found


def _literal(node: ast.expr) -> list[str]:
    try:
        return _strings(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return []


def _tabled(name: str, table: ast.Dict) -> dict[str, list[str]]:
    """Lists by the name of the table that has one; what is no literal is left out."""
    found: dict[str, list[str]] = {}
    pending = [(name, table)]
    while pending:
        name, table = pending.pop()
        for key, value in zip(table.keys, table.values, strict=True):
            if not isinstance(key, ast.Constant):
                continue
            if isinstance(value, ast.Dict):
                pending.append((str(key.value), value))
            elif key.value in _KEYS and (own := _literal(value)):
                found[name] = own
    return found


def _strings(value: Any) -> list[str]:
    """A list of strings, or a string's characters; nothing of anything else."""
    if isinstance(value, str):
        return list(value) if len(value) > 1 else []
    if not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
        return []
    return [str(one) for one in value]


def _yaml(text: str, where: str) -> dict[str, list[str]]:
    """The scalars in the block sequence under `character_dict`: as PaddleX writes inference.yml."""
    lines = iter(re.split(r"\r?\n", text))
    for line in lines:
        key = line.strip().removesuffix(":")
        if line.rstrip().endswith(":") and key in _KEYS:
            indent = len(line) - len(line.lstrip(" "))
            return {key: list(_items(lines, indent, where))}
    return {}


def _items(lines: Iterator[str], indent: int, where: str) -> Iterator[str]:
    for line in lines:
        own = len(line) - len(line.lstrip(" "))
        if not line.strip(" "):
            continue
        entry = line[own:]
        if own < indent or not (entry == "-" or entry.startswith("- ")):
            return
        yield _scalar(entry[2:].strip(" "), where)


def _scalar(text: str, where: str) -> str:
    if text[:1] == "'" and text[-1:] == "'" and len(text) > 1:
        return text[1:-1].replace("''", "'")
    if text[:1] == '"' and text[-1:] == '"' and len(text) > 1:
        return _ESCAPE.sub(lambda found: _unescaped(found, where), text[1:-1])
    if text[:1] in ("'", '"', "&", "*", "|", ">", "!", "[", "{") and len(text) > 1:
        raise InputRefused(f"{where}: {show(text)}: more of YAML than a list of characters")
    return text


def _unescaped(found: re.Match[str], where: str) -> str:
    code = found[1] or found[2] or found[3]
    if code is not None:
        value = int(code, 16)
        if value > 0x10FFFF or 0xD800 <= value <= 0xDFFF:
            raise InputRefused(f"{where}: {show(found[0])}: no character")
        return chr(value)
    if found[4] not in _SIMPLE:
        raise InputRefused(f"{where}: {show(found[0])}: no escape of YAML's")
    return _SIMPLE[found[4]]


def beside(model: Path, count: int) -> Mapping[str, list[str]]:
    """Lists near a model that fit its classes, by FILE or FILE:NAME: of its folder, or else of
    the one above and that one's folders of dictionaries."""
    own, above = lists_near(model)
    return _fitting(own, count) or _fitting(above, count)


def _fitting(paths: Sequence[Path], count: int) -> dict[str, list[str]]:
    found = {}
    for path in paths:
        with contextlib.suppress(EnvironmentFailed, InputRefused, UsageError):
            for name, listing in charset_lists(path).items():
                if fits(len(listing), count):
                    plain = path.suffix.lower() != ".py" or not name
                    found[str(path) if plain else f"{path}:{name}"] = listing
    return found
