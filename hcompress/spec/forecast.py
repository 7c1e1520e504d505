"""A model that may not exist yet: what a stage can say of what it will make. Torch-free."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from hcompress.spec.config import RecogniserConfig, Weights
from hcompress.spec.vocabulary import Vocabulary


@dataclass(frozen=True)
class Forecast:
    """Its configuration, and the bytes that no configuration decides."""

    config: RecogniserConfig
    size: int
    """V: characters and specials."""
    rest: int
    """Bytes of everything no configuration decides: charset, header, small tensors."""
    code_length: int | None = None
    """Bits of the codes that lie beside the model, waiting for a head."""
    vocabulary: Vocabulary | None = None
    """The characters themselves, where it is known which."""

    def asked(self, **changes: Any) -> Forecast:
        """The same in a folder of its own: no codes lie beside it. Its configuration is changed.

        Raises UsageError if there is no such recogniser.
        """
        return dataclasses.replace(self, config=self.config.asked(**changes), code_length=None)

    def as_floats(self, **changes: Any) -> Forecast:
        """After a stage that writes every weight as FP32, its configuration changed as asked."""
        return self.asked(weights=Weights.FP32, **changes)
