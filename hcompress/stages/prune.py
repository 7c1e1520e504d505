"""`prune`: a foreign recogniser with fewer classes; those that stay answer as before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.compress.options import Ids, Unlisted
from hcompress.errors import UsageError
from hcompress.foreign.forecast import ForeignForecast
from hcompress.formats.open import Source
from hcompress.spec.exported import ONNX_FILE
from hcompress.stages.base import Env
from hcompress.strict.schema import Param


@dataclass(frozen=True)
class Prune:
    """Keep blank, space and the classes that a list or a text names."""

    keep: Annotated[
        Path | None, Param("lists the characters that stay: txt, yaml, json, a list in a py file")
    ] = None
    corpus: Annotated[Path | None, Param("a UTF-8 text: the characters it has stay")] = None
    ids: Annotated[Ids, Param("count classes anew, or leave every id as it is")] = Ids.RENUMBER
    unknown: Annotated[
        Unlisted, Param("what a character does that the recogniser has no class for")
    ] = Unlisted.REFUSE

    name: ClassVar[str] = "prune"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "drop classes of a foreign recogniser; the others answer as before"
    consumes: ClassVar[Kind] = Kind.ONNX
    produces: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "numpy")

    def __post_init__(self) -> None:
        if (self.keep is None) == (self.corpus is None):
            raise UsageError("prune: what stays: give --keep FILE or --corpus FILE, one of them")

    def foreseen_foreign(self, known: ForeignForecast) -> ForeignForecast:
        return known.with_classes(len(self.wanted(())) + 2, renumbered=self.ids is Ids.RENUMBER)

    def wanted(self, classes: tuple[str, ...]) -> list[str]:
        """What stays, of a recogniser of these classes. Raises UsageError if there is no such
        file, InputRefused if it names nothing."""
        from hcompress.compress.prune import entries, in_text
        from hcompress.foreign.charset_file import the_list, utf8_text

        if self.keep is not None:
            plain = self.keep.suffix.lower() not in (".py", ".json", ".yml", ".yaml")
            return entries(the_list(self.keep), classes, text=plain)
        assert self.corpus is not None
        return in_text(utf8_text(self.corpus), classes)

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.compress.prune import kept_classes, pruned
        from hcompress.foreign.open import open_stored
        from hcompress.foreign.write import with_header
        from hcompress.strict.atomic import write_bytes

        assert source is not None
        model, stored = open_stored(source)
        wanted = self.wanted(model.spec.classes)
        kept = kept_classes(model.spec, wanted, self.unknown, env.progress)
        left, made = pruned(model, stored, kept, self.ids)
        data = with_header(made, left.spec, env.provenance, asdict(left.classifier))
        write_bytes(out / ONNX_FILE, data)
        return {
            "classes": {"before": model.classifier.classes, "kept": len(kept)},
            "ids": str(self.ids),
            "bytes": len(data),
        }
