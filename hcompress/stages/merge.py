"""`merge`: classes of a foreign recogniser that look alike answer as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.compress.options import Alike, Scores
from hcompress.foreign.forecast import ForeignForecast
from hcompress.formats.open import Source
from hcompress.spec.exported import ONNX_FILE
from hcompress.stages.base import Env
from hcompress.strict.schema import Param


@dataclass(frozen=True)
class Merge:
    """Let one class of each group stand for all of them; no other class changes."""

    groups: Annotated[
        Path | None,
        Param("UTF-8 file, a group a line, the one that answers first; without: by alike"),
    ] = None
    alike: Annotated[
        Alike,
        Param("nfkc takes full-width forms in as well; nfc one character in two code points alone"),
    ] = Alike.NFKC
    scores: Annotated[
        Scores, Param("the greatest of a group's, or those of the one that answers alone")
    ] = Scores.AUTO

    name: ClassVar[str] = "merge"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "let classes of a foreign recogniser that look alike answer as one"
    consumes: ClassVar[Kind] = Kind.ONNX
    produces: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "numpy")

    def foreseen_foreign(self, known: ForeignForecast) -> ForeignForecast:
        """A few rows less at most."""
        return known

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.compress.merge import chosen, look_alikes, merged, named_groups
        from hcompress.foreign.charset_file import utf8_text
        from hcompress.foreign.open import open_stored
        from hcompress.foreign.write import with_header
        from hcompress.spec.foreign_header import lines_of
        from hcompress.strict.atomic import write_bytes

        assert source is not None
        model, stored = open_stored(source)
        classes = model.spec.classes
        groups = (
            look_alikes(model.spec, self.alike)
            if self.groups is None
            else named_groups(lines_of(utf8_text(self.groups)), model.spec)
        )
        which = chosen(model, groups, self.scores)
        told = [
            {"class": classes[one.place], "as": classes[one.into], "scores": str(one.scores),
             "why": one.why}
            for one in which
        ]  # fmt: skip
        for line in told:
            env.progress.say(f"{line['class']} as {line['as']}: {line['scores']}: {line['why']}")
        left, made = merged(model, stored, which)
        data = with_header(made, left.spec, env.provenance, asdict(left.classifier))
        write_bytes(out / ONNX_FILE, data)
        return {"groups": len(groups), "classes": left.classifier.classes, "merged": told}
