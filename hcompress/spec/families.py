"""The families that files may name, and a configuration as a header of format 2 has it. Torch-free.

The head is a tagged union, and so are its inputs.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Mapping
from typing import Any, Final

from hcompress.errors import InputRefused
from hcompress.spec.config import RecogniserConfig, TransformerConfig, table_of, with_halves
from hcompress.spec.ctc import CtcConfig
from hcompress.spec.heads import HEADS, INPUTS
from hcompress.strict.read import read
from hcompress.strict.show import show, suggest

FAMILIES: Final[dict[str, type[RecogniserConfig]]] = {
    kind.family: kind for kind in (TransformerConfig, CtcConfig)
}


def config_to_dict(config: RecogniserConfig) -> dict[str, Any]:
    """Format 2: the configuration as it is, family and kinds as tags."""
    raw = dataclasses.asdict(config)
    raw["family"] = config.family
    raw["head"]["kind"] = config.head.kind
    if config.inputs is not None:
        raw["inputs"]["kind"] = config.inputs.kind
    return raw


def config_from_dict(raw: object) -> RecogniserConfig:
    """Read what `config_to_dict` wrote. Raises InputRefused on any other key, type or value."""
    values = table_of(raw, "configuration")
    for key in ("family", "head", "inputs"):
        if key not in values:
            raise InputRefused(f"configuration: {key} is missing")
    name = values.pop("family")
    family = FAMILIES.get(name) if isinstance(name, str) else None
    if family is None:
        raise InputRefused(
            f"configuration: family = {show(name)}{suggest(name, FAMILIES, 'one of')}"
        )
    head = _tagged(values.pop("head"), HEADS, "head")
    inputs = values.pop("inputs")
    inputs = None if inputs is None else _tagged(inputs, INPUTS, "inputs")
    rest: RecogniserConfig = read(family, values, "configuration")
    return with_halves(rest, head, inputs)


def _tagged(raw: object, kinds: Mapping[str, type[Any]], key: str) -> Any:
    """One of the dataclasses that ``raw`` may be, by its kind."""
    one_of = functools.reduce(operator.or_, kinds.values())
    return read(one_of, raw, f"configuration: {key}")
