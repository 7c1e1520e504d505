"""RapidOCR with a file of ours in its recogniser's place, beside RapidOCR as it comes.

python docs/rapidocr_reads.py MODEL [IMAGE ...]: lines drawn for tests if no image is given.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rapidocr import RapidOCR

from hcompress.data.source import open_data

LINES = 12
DRAWN = Path(__file__).parent.parent / "recipes" / "data" / "everyday-test.toml"


def read(engine: RapidOCR, image: Any) -> str:
    """What RapidOCR's recogniser makes of one line, RGB."""
    bgr = np.ascontiguousarray(image[:, :, ::-1])
    found = engine(bgr, use_det=False, use_cls=False, use_rec=True)
    return found.txts[0] if found.txts else ""


def main(model: str, *paths: str) -> None:
    as_it_comes = RapidOCR(params={"Global.log_level": "critical"})
    smaller = RapidOCR(params={"Global.log_level": "critical", "Rec.model_path": model})
    if paths:
        images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    else:
        source = open_data(DRAWN)
        images = [source[place].image for place in range(LINES)]
    same = 0
    print(f"RapidOCR as it comes, and with Rec.model_path = {model}:")
    for image in images:
        before, after = read(as_it_comes, image), read(smaller, image)
        same += before == after
        print(f"  {'=' if before == after else '≠'} {before}  |  {after}")
    print(f"{same} of {len(images)} texts are the same")


if __name__ == "__main__":
    main(*sys.argv[1:])
