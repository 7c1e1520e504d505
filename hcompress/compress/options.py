"""Choices of the stages that compress, torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hcompress.errors import UsageError
from hcompress.spec.config import BatchNorm, RecogniserConfig, TransformerConfig


class Scale(StrEnum):
    """How a channel's scale is chosen."""

    LEAST_ERROR = "least-error"
    """So that the output, or without data the weight, moves least: a few may be clipped."""
    MAX_ABS = "max-abs"
    """So that nothing is clipped."""


class SharedFrom(StrEnum):
    """Which layer every layer becomes."""

    FIRST = "first"
    MIDDLE = "middle"
    LAST = "last"
    MEAN = "mean"


class Ids(StrEnum):
    """What becomes of the ids of classes when some are dropped."""

    RENUMBER = "renumber"
    """Those that stay are counted anew, in their order."""
    KEEP = "keep"
    """All stay as they are; a dropped one is never answered, and is not stored."""


class Unlisted(StrEnum):
    """What a character does that the recogniser has no class for."""

    REFUSE = "refuse"
    """Stop, naming every one."""
    SKIP = "skip"
    """Go on without it, naming every one."""


class Alike(StrEnum):
    """Which classes look alike, if nobody names them."""

    NFKC = "nfkc"
    """Equal after NFKC, full-width forms among them; not circled, raised or squared ones."""
    NFC = "nfc"
    """Equal after NFC: one character in two code points."""


class Scores(StrEnum):
    """What classes that answer as one score."""

    AUTO = "auto"
    """The greatest; of one that is never answered the column goes."""
    MAXIMUM = "maximum"
    """The greatest of theirs: all columns stay, and stand for one string."""
    KEPT = "kept"
    """What the one that answers scores: the others' columns go."""


@dataclass(frozen=True)
class Parts:
    """What `regrow` may give back."""

    matrices: bool = True
    layers: bool = True
    ffn: bool = True
    batch_norm: bool = True

    def lacking(self, config: RecogniserConfig) -> Parts:
        """Those of them that a recogniser lacks. Raises UsageError if it lacks none."""
        body = config if isinstance(config, TransformerConfig) else None
        missing = Parts(
            matrices=self.matrices and config.uses_codes,
            layers=self.layers and body is not None and body.shared_layers,
            ffn=self.ffn and body is not None and not body.ffn,
            batch_norm=self.batch_norm and config.batch_norm is BatchNorm.FOLDED,
        )
        if missing == Parts(False, False, False, False):
            raise UsageError("the recogniser has all the parts asked for: nothing to give back")
        return missing
