"""What a Hamming recogniser sees where a new character stands, as bit logits.

V vocabulary before, n new characters, K bits, d features.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from hcompress.charset import UnknownCharacter
from hcompress.recognisers.transformer.model import Transformer
from hcompress.spec.vocabulary import Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from hcompress.data.batches import Batch
    from hcompress.progress import Progress


class Looks(NamedTuple):
    """Every time a new character was seen, in the order of the data."""

    ids: NDArray[np.int64]
    """[looks], counted from the first new character."""
    logits: NDArray[np.float32]
    """[looks, K]: the classifier's bit logits."""
    led: bool
    """Whether a new character was seen behind another: its logits depend on that one's vector."""


@torch.inference_mode()
def look(
    model: Transformer,
    vectors: Tensor,
    vocabulary: Vocabulary,
    most: int,
    batches: Iterable[Batch],
    progress: Progress,
) -> Looks:
    """Teacher forcing over lines with new characters; each character's first ``most`` looks.

    ``vectors`` [V + n, d] are what the decoder is given for each character, ``vocabulary`` those
    of the model with the new ones behind.
    """
    old = model.vocabulary
    seen: Counter[int] = Counter()
    ids: list[int] = []
    logits: list[Tensor] = []
    led = False
    for batch in batches:
        inputs, targets, _ = model.targets(batch.texts, vocabulary, UnknownCharacter.SKIP_LINE)
        memory = model.encode(torch.from_numpy(batch.images))
        characters = torch.nn.functional.embedding(inputs, vectors)
        features = model.decoder(characters, memory)
        for line, step in (targets >= old).nonzero().tolist():
            new = int(targets[line, step]) - old
            if seen[new] < most:
                seen[new] += 1
                ids.append(new)
                logits.append(features[line, step])
                led = led or bool((inputs[line, : step + 1] >= old).any())
        progress.advance(len(batch.texts))
    bits = model.head.logits(torch.stack(logits))
    return Looks(np.array(ids, np.int64), bits.numpy(), led)
