"""The documentation of the stages, from their dataclasses: it cannot say anything else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hcompress.artifacts.kinds import Kind
from hcompress.reports.size_table import markdown_text
from hcompress.stages.base import Stage
from hcompress.strict.schema import Parameter, describe

_HEAD = """\
# Stages

A stage turns one finished artifact folder into another. Its parameters are keys of a recipe's
`[[stages]]` table and, with dashes, options of the command of the same name. If the stage starts
from something, give that, an artifact folder or a model file, as the command's argument. Besides
its parameters a command has `--out`, `--seed`, `--threads`, `--force` and `--json`. One that takes
a checkpoint has `--teacher` too: the softmax recogniser that `finetune` learns from if `distil` or
`soft_labels` is above 0. In a recipe that is what the run started from.

This page is written by `hcompress stages --markdown`.
"""
_NOUNS = {Kind.CHECKPOINT: "a checkpoint", Kind.ONNX: "an ONNX file", Kind.ENGINE: "an engine"}


def stages_markdown(kinds: Iterable[type[Stage]]) -> str:
    """One page: a section a stage, a row a parameter."""
    return "\n".join([_HEAD, *(block for kind in kinds for block in _stage(kind))])


def _stage(kind: type[Stage]) -> Iterator[str]:
    takes = "data alone" if kind.consumes is Kind.NOTHING else _NOUNS[kind.consumes]
    yield f"## {kind.name}\n"
    yield f"{_sentence(kind.summary)} Takes {takes}, makes {_NOUNS[kind.produces]}.\n"
    rows = [_row(spec) for spec in sorted(describe(kind), key=lambda spec: not spec.required)]
    if rows:
        yield "| key | type | default | meaning |\n| --- | --- | --- | --- |"
        yield "\n".join(rows) + "\n"
    else:
        yield "It has no parameters.\n"


def _sentence(text: str) -> str:
    return markdown_text(text[:1].upper() + text[1:].rstrip(".")) + "."


def _row(spec: Parameter) -> str:
    kind = ", ".join(part for part in (spec.type_text, spec.bounds_text) if part)
    default = "required" if spec.required else spec.default_text
    cells = (kind, default, spec.param.help)
    return f"| `{spec.name}` | " + " | ".join(markdown_text(cell) for cell in cells) + " |"
