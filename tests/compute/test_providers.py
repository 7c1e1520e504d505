"""What a session runs on: by name, and never on another in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from hcompress.compute.providers import CPU, full_names
from hcompress.compute.session import Session
from hcompress.errors import EnvironmentFailed, UsageError
from tests.foreign.builders import recogniser, saved


def test_names_are_long_or_short() -> None:
    assert full_names(()) == (CPU,)
    assert full_names(("cpu", CPU, "CPU")) == (CPU,)
    with pytest.raises(UsageError, match='provider "cudas": onnxruntime knows none'):
        full_names(("cudas",))


def test_one_that_is_not_here_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    with pytest.raises(EnvironmentFailed, match="CUDAExecutionProvider is not here") as caught:
        full_names(("cuda", "cpu"))
    assert "pip install onnxruntime-gpu" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_that_does_not_start_is_not_replaced_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime itself warns, and runs on the CPU."""
    path = saved(recogniser(), tmp_path)
    here = ["CUDAExecutionProvider", CPU]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: here)
    whole = onnxruntime.InferenceSession

    def without(source: Any, options: Any, **more: Any) -> Any:
        return whole(source, options, **{**more, "providers": [CPU]})

    monkeypatch.setattr(onnxruntime, "InferenceSession", without)
    with pytest.raises(EnvironmentFailed, match="CUDAExecutionProvider is not here"):
        Session(path, providers=("cuda",))
    assert Session(path, providers=("cpu",)).outputs
