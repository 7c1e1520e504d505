"""Checkpoints that people have, where their package is installed."""

from __future__ import annotations

import numpy as np
import torch

from hcompress.compute.session import Session
from hcompress.foreign.checkpoints.convert import converted
from hcompress.foreign.open import open_foreign
from hcompress.formats.open import ModelFile
from tests.foreign.conftest import Real


def test_khmer_ocr_ocm_computes_what_the_package_does(real: Real) -> None:
    path = real("khmer")
    from khmer_ocr_ocm.model import CRNN  # type: ignore[import-not-found]

    module = CRNN().eval()
    stored = torch.load(path, map_location="cpu", weights_only=True)
    module.load_state_dict(stored["model_state_dict"])
    session = Session(converted(ModelFile(path)).proto.SerializeToString())
    images = np.random.default_rng(0).uniform(-1, 1, (2, 1, 48, 512)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(images)).numpy()
    answer = session.run(["logits"], {"image": images})[0]
    np.testing.assert_allclose(answer, expected, atol=1e-4)
    spec = open_foreign(path).spec
    assert len(spec.classes) == 984
    assert spec.classes[1:4] == ("\t", " ", "!")
