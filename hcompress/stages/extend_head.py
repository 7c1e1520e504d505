"""`extend-head`: new characters for a foreign recogniser from a few images each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.charset import UnknownCharacter
from hcompress.foreign.forecast import ForeignForecast
from hcompress.formats.open import Source
from hcompress.spec.exported import ONNX_FILE
from hcompress.stages.base import Env
from hcompress.strict.schema import MOST_IMAGES, Param


@dataclass(frozen=True, kw_only=True)
class ExtendHead:
    """Fit columns for new characters; no other column and no weight of the body is touched."""

    data: Annotated[
        Path, Param("labelled images: lines that have the new characters in them", data=True)
    ]
    characters: Annotated[
        Path | None,
        Param("UTF-8 file of the new characters; without: those of the labels that it lacks"),
    ] = None
    images: Annotated[int, Param("times that a new character is looked at", 1)] = 5
    lines: Annotated[int, Param("lines of the data that are looked through", 1)] = 4096
    others: Annotated[
        Path | None,
        Param("lines without them, labelled or not, that must read as before; drawn if not given",
              data=True),
    ] = None  # fmt: skip
    other_lines: Annotated[int, Param("of those, so many", 1, MOST_IMAGES)] = 1500
    steps: Annotated[int, Param("steps of the fit", 0, 100_000)] = 100
    again: Annotated[
        bool, Param("characters that it lists, and doesn't read, may be among the new ones")
    ] = False
    unknown: Annotated[
        UnknownCharacter, Param("what a character neither known nor to be added does")
    ] = UnknownCharacter.REFUSE

    name: ClassVar[str] = "extend-head"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "give a foreign recogniser new characters from a few images"
    consumes: ClassVar[Kind] = Kind.ONNX
    produces: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "numpy")

    def foreseen_foreign(self, known: ForeignForecast) -> ForeignForecast | None:
        """Without a list of them only the images' labels say how many characters there will be."""
        named = self.named()
        return None if named is None else known.with_more(len(named))

    def named(self) -> tuple[str, ...] | None:
        """The characters asked for; None: those of the labels."""
        from hcompress.charset import read_charset

        return None if self.characters is None else read_charset(self.characters)

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.compress.extend_head import Wanted, extended, shown, sighted
        from hcompress.compress.new_columns import fitted, judged
        from hcompress.compress.prune import without
        from hcompress.data.source import open_data
        from hcompress.foreign.edit import with_bias
        from hcompress.foreign.features import Features
        from hcompress.foreign.lines import line_source, taken
        from hcompress.foreign.open import open_stored
        from hcompress.foreign.write import with_header
        from hcompress.strict.atomic import write_bytes

        assert source is not None
        model, stored = with_bias(*open_stored(source))
        named = self.named()
        if self.again:
            model, stored = without(model, stored, named or ())
        data = open_data(self.data)
        wanted = Wanted(named, self.images, self.lines, self.unknown)
        found = sighted(wanted, data, model.spec, str(self.data))
        given = line_source(self.others, model.spec, self.other_lines, env.seed, env.progress.say)
        others = [
            one.image
            for one in taken(given, 0, self.other_lines)
            if not set(one.text) & set(found.characters)
        ]
        new = shown(model, data, found, self.images, env.threads, env.progress)
        weight, bias = model.class_weights()
        features = Features(model, env.threads).of(others, "other lines", env.progress)
        known = judged([*features, new.rest], weight, bias, model.spec.blank)
        count = len(found.characters)
        columns = fitted(new.own, new.which, count, known, weight, self.steps, env.progress)
        grown, made = extended(model, stored, found.characters, columns)
        data_out = with_header(made, grown.spec, env.provenance, asdict(grown.classifier))
        write_bytes(out / ONNX_FILE, data_out)
        return {
            "new": count,
            "frames": len(new.which),
            "fewest": int(new.counts.min()),
            "classes": grown.classifier.classes,
            "other_frames": len(known.ids),
        }
