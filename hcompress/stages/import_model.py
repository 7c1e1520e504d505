"""`import`: a recogniser from elsewhere, looked into and written in one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.foreign.forecast import ForeignForecast
from hcompress.foreign.options import Blank, ImportOptions
from hcompress.formats.open import Source
from hcompress.spec.exported import ONNX_FILE
from hcompress.stages.base import Env
from hcompress.strict.schema import Param

if TYPE_CHECKING:
    from hcompress.foreign.model import ForeignModel


@dataclass(frozen=True)
class ImportModel:
    """Find classifier, charset, blank and input; write the same graph, every weight a float."""

    charset: Annotated[
        Path | None, Param("lists the classes: txt, yaml, json, a list in a py file")
    ] = None
    charset_list: Annotated[str | None, Param("which of several lists in that file")] = None
    preprocessing: Annotated[str | None, Param("ppocr, ppocr-rgb, ddddocr, ...")] = None
    blank: Annotated[Blank | None, Param("which class is blank")] = None
    arch: Annotated[str | None, Param("whose checkpoint it is: khmer-ocr-ocm, easyocr-g2, ...")] = (
        None
    )

    name: ClassVar[str] = "import"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "take a CTC recogniser from elsewhere"
    consumes: ClassVar[Kind] = Kind.ONNX
    produces: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "numpy")

    @property
    def options(self) -> ImportOptions:
        """What was said of the file."""
        return ImportOptions(
            self.charset, self.charset_list, self.preprocessing, self.blank, self.arch
        )

    def foreseen_foreign(self, known: ForeignForecast) -> ForeignForecast:
        return known

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.foreign.check import check_reading
        from hcompress.foreign.frames import Frames
        from hcompress.foreign.open import examine
        from hcompress.foreign.rename import renamed
        from hcompress.foreign.write import with_header
        from hcompress.strict.atomic import write_bytes

        assert source is not None
        opened = examine(source, self.options)
        model = renamed(opened.model)
        data = with_header(model.proto, model.spec, env.provenance, asdict(model.classifier))
        frames = Frames(data, model.spec, env.threads, "the imported model")
        checked = check_reading(frames, opened.believed)
        for line in (*opened.found, checked.remark):
            env.progress.say(line)
        write_bytes(out / ONNX_FILE, data)
        return {**found_in(model), "checked": {"lines": checked.lines, "right": checked.right}}


def found_in(model: ForeignModel) -> dict[str, Any]:
    """What was found in a foreign recogniser, as `import --json` prints it."""
    from hcompress.foreign.dead import dead_classes
    from hcompress.strict.write import plain

    weights, biases = model.class_weights()
    spec, part = model.spec, model.classifier
    held = {
        one.name: len(one.raw_data) or 4 * prod(one.dims) for one in model.proto.graph.initializer
    }
    return {
        "classifier": {
            "classes": part.classes,
            "features": part.width,
            "bytes": held[part.weight] + (held[part.bias] if part.bias else 0),
        },
        "transcription": "ctc",
        "blank": spec.blank,
        "charset": {"classes": len(spec.classes), "source": spec.source},
        "input": {"preprocessing": spec.preprocessing, **plain(spec.image)},
        "answers": str(spec.answers),
        "time_first": spec.time_first,
        "dead_classes": len(dead_classes(weights, biases, spec.blank)),
    }
