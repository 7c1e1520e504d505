"""Reads the pickle of a torch.save file without being able to run anything.

Python's unpickler calls what the file names. This one has no call at all: it is a small
stack machine that builds dicts, lists, numbers and texts, and knows by name the few things
torch.save refers to. Every other name is refused, and said.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from typing import Any

from hcompress.errors import InputRefused
from hcompress.formats.torchsave_types import (
    GLOBALS,
    Global,
    Packed,
    StorageRef,
    TensorRef,
    rebuild,
)
from hcompress.strict.files import quoted

# Some 30 operations and 250 bytes a tensor: room for 15,000 of them.
MAX_BYTES = 4 << 20
MAX_OPERATIONS = 500_000
_MARK = object()
_CONSTANTS = frozenset(
    ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE",
     "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
)  # fmt: skip
_ENGINE = "torch.ScriptObject"
_IGNORED = frozenset(("PROTO", "FRAME"))


def load(data: bytes, where: str) -> Any:
    """The structure in a pickle: dict, list, tuple, scalars, ``TensorRef``.

    Raises InputRefused, its line starting with ``where``, on anything else.
    """
    if len(data) > MAX_BYTES:
        raise InputRefused(f"{where}: pickle of {len(data)} bytes; {MAX_BYTES} are the most")
    machine = _Machine(where)
    try:
        for operation, argument, position in pickletools.genops(io.BytesIO(data)):
            machine.step(operation.name, argument)
            if operation.name == "STOP" and position != len(data) - 1:
                raise InputRefused(f"{where}: bytes follow the end of the pickle")
    except (ValueError, OverflowError) as error:
        detail = quoted(str(error) or "malformed", 120)[1:-1]
        raise InputRefused(f"{where}: broken pickle: {detail}") from None
    return machine.result()


class _Machine:
    """The pickle machine: a stack, a memo, and one method an operation."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._steps = 0
        self._operations: dict[str, Callable[[Any], None]] = {
            "STOP": lambda _: None,
            "MARK": lambda _: self._stack.append(_MARK),
            "NONE": lambda _: self._stack.append(None),
            "NEWTRUE": lambda _: self._stack.append(True),
            "NEWFALSE": lambda _: self._stack.append(False),
            "EMPTY_DICT": lambda _: self._stack.append({}),
            "EMPTY_LIST": lambda _: self._stack.append([]),
            "EMPTY_SET": lambda _: self._stack.append([]),
            "EMPTY_TUPLE": lambda _: self._stack.append(()),
            "TUPLE": lambda _: self._stack.append(tuple(self._marked())),
            "TUPLE1": lambda _: self._tuple(1),
            "TUPLE2": lambda _: self._tuple(2),
            "TUPLE3": lambda _: self._tuple(3),
            "APPEND": lambda _: self._extend([self._pop()]),
            "APPENDS": lambda _: self._extend(self._marked()),
            "ADDITEMS": lambda _: self._extend(self._marked()),
            "SETITEM": lambda _: self._set([self._pop(), self._pop()][::-1]),
            "SETITEMS": lambda _: self._set(self._marked()),
            "BINPUT": self._put,
            "LONG_BINPUT": self._put,
            "MEMOIZE": lambda _: self._put(len(self._memo)),
            "BINGET": self._get,
            "LONG_BINGET": self._get,
            "GLOBAL": lambda argument: self._global(*argument.split(" ", 1)),
            "STACK_GLOBAL": lambda _: self._global(*[self._pop(), self._pop()][::-1]),
            "REDUCE": lambda _: self._reduce(),
            "NEWOBJ": lambda _: self._new(),
            "BUILD": lambda _: self._build(),
            "BINPERSID": lambda _: self._persistent(self._pop()),
        }

    def step(self, name: str, argument: Any) -> None:
        """Carry out one operation."""
        self._steps += 1
        if self._steps > MAX_OPERATIONS:
            raise self._refused(f"more than {MAX_OPERATIONS} pickle operations")
        if name in _IGNORED:
            return
        if name in _CONSTANTS:
            self._constant(argument)
            return
        operation = self._operations.get(name)
        if operation is None:
            raise self._refused(f"pickle operation {name} is not allowed in a checkpoint")
        operation(argument)

    def result(self) -> Any:
        """What the pickle leaves on the stack."""
        if len(self._stack) != 1:
            raise self._refused("broken pickle: its stack does not end with one value")
        return self._pop()

    def _refused(self, what: str) -> InputRefused:
        return InputRefused(f"{self._where}: {what}")

    def _constant(self, value: Any) -> None:
        if isinstance(value, int) and value.bit_length() > 64:
            raise self._refused("a number of more than 64 bits")
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise self._refused("broken pickle: nothing on its stack")
        return self._stack.pop()

    def _marked(self) -> list[Any]:
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] is _MARK:
                values = self._stack[index + 1 :]
                del self._stack[index:]
                return values
        raise self._refused("broken pickle: no mark on its stack")

    def _tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._stack.append(tuple(reversed(values)))

    def _extend(self, values: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise self._refused("broken pickle: appends to what is no list")
        target.extend(values)

    def _set(self, values: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, dict) or len(values) % 2:
            raise self._refused("broken pickle: sets items of what is no dict")
        for key, value in zip(values[::2], values[1::2], strict=True):
            # Hashing a tuple walks all of it, however deep the file made it.
            if not isinstance(key, (str, int, float, bytes, type(None))):
                raise self._refused(f"a dict key is a {type(key).__name__}, not text or number")
            target[key] = value

    def _top(self) -> Any:
        value = self._pop()
        self._stack.append(value)
        return value

    def _put(self, index: int) -> None:
        self._memo[index] = self._top()

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise self._refused("broken pickle: refers to what it never stored")
        self._stack.append(self._memo[index])

    def _global(self, module: Any, name: Any = None) -> None:
        # Whatever lies on the stack can be given as a name: written out, it may have no end.
        if not (isinstance(module, str) and isinstance(name, str)):
            raise self._refused("pickle names what is no text, which is not allowed")
        full = f"{module}.{name}"
        found = GLOBALS.get(full)
        if found is None:
            raise self._refused(
                f"pickle names {quoted(full)}, which is not allowed: nothing was run; "
                "save the state_dict alone with torch.save"
            )
        self._stack.append(found)

    def _reduce(self) -> None:
        arguments, target = self._pop(), self._pop()
        if not isinstance(target, Global) or not isinstance(arguments, tuple):
            raise self._refused("broken pickle: calls what is no known name")
        self._stack.append(rebuild(target, arguments, self._where))

    def _new(self) -> None:
        """An object without its __init__: of torch's engine, and of nobody else's."""
        arguments, target = self._pop(), self._pop()
        if target != GLOBALS[_ENGINE] or not isinstance(arguments, tuple):
            raise self._refused("pickle operation NEWOBJ is not allowed in a checkpoint")
        self._stack.append(rebuild(target, arguments, self._where))

    def _build(self) -> None:
        """State set on an object: torch hangs ``_metadata`` on a state_dict. It is dropped, but
        for what an object of torch's engine holds."""
        state = self._pop()
        target = self._top()
        if isinstance(target, Packed):
            target.state.append(state)
        elif not isinstance(target, (dict, TensorRef)):
            raise self._refused("broken pickle: sets the state of what has none")

    def _persistent(self, value: Any) -> None:
        match value:
            case ("storage", Global(kind="storage") as kind, str(key), str(), int(count)):
                if isinstance(count, bool) or count < 0:
                    raise self._refused(f"storage {quoted(key)}: element count {count}")
                self._stack.append(StorageRef(key, kind.type, count))
            case _:
                raise self._refused("pickle refers to something that is no storage")
