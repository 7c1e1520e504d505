"""From texts to what a decoder is given and asked for."""

from __future__ import annotations

import pytest

from hcompress.charset import UnknownCharacter
from hcompress.errors import InputRefused
from hcompress.recognisers.transformer.forcing import forced
from tests.builders import CHARACTERS
from tests.special import BOS, EOS, PAD


def test_targets_end_in_eos_and_long_or_unknown_lines_do_not_count() -> None:
    texts = ["ab", "abcdefgh0", "a?"]
    inputs, targets, counted = forced(texts, CHARACTERS, 9, UnknownCharacter.SKIP_LINE)
    assert inputs.tolist() == [[BOS, 3, 4], [BOS, PAD, PAD], [BOS, PAD, PAD]]
    assert targets.tolist() == [[3, 4, EOS], [PAD] * 3, [PAD] * 3]
    assert counted.tolist() == [[True] * 3, [False] * 3, [False] * 3]
    with pytest.raises(InputRefused, match=r"'a\?'"):
        forced(texts, CHARACTERS, 9, UnknownCharacter.REFUSE)
