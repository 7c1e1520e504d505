"""Which extra brings which library, and what is installed. Imports none of them.

Names are those of distributions, as pip has them. `pyproject.toml` says the same, with versions.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterable, Mapping
from typing import Final

from hcompress.errors import EnvironmentFailed

CORE: Final = ("typer", "rich", "numpy", "pillow", "onnxruntime", "rapidfuzz", "onnx")
EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "train": ("torch", "lightning-fabric", "safetensors", "onnxsim"),
    "synth": ("fonttools", "matplotlib"),
    "synth-cjk": ("mplfonts", "jieba"),
    "report": ("matplotlib",),
    "bench": ("faiss-cpu", "rapidocr"),
    "tensorrt": ("tensorrt-rtx",),
    "serve": (
        "starlette",
        "uvicorn",
        "httptools",
        "uvloop",
        "python-multipart",
        "prometheus-client",
    ),
    "dev": ("pytest", "hypothesis", "mypy", "ruff", "lmdb"),
}
"""Of `synth` and `synth-cjk` without the fonts, which say themselves where they come from."""
_BROUGHT: Final = frozenset(name for brought in EXTRAS.values() for name in brought)
_MODULES: Final = {"pillow": "PIL", "fonttools": "fontTools", "faiss-cpu": "faiss"}
"""Modules that are not called as their distribution is."""
_INSTEAD: Final = {"tensorrt-rtx": "tensorrt"}
"""What will do in a distribution's place."""


def version(name: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def require(who: str, names: Iterable[str]) -> None:
    """Raise EnvironmentFailed if ``who`` lacks one of the distributions that our extras bring."""
    missing = [name for name in names if name in _BROUGHT and not _is_there(name)]
    if missing:
        raise lacks(who, missing)


def lacks(who: str, missing: list[str]) -> EnvironmentFailed:
    """The error that names the first of the ``missing`` distributions, and how to get them all."""
    return EnvironmentFailed(f"{who} needs {missing[0]}: {install(missing)}")


def install(names: Iterable[str]) -> str:
    """What to type for these distributions: one extra if one has them all."""
    wanted = set(names)
    if wanted <= set(CORE):
        return f"pip install {' '.join(sorted(wanted))}"
    having = [extra for extra, brought in EXTRAS.items() if wanted & set(brought)]
    one = [extra for extra in having if wanted <= set(EXTRAS[extra])]
    return f'pip install "hcompress[{",".join(one[:1] or having)}]"'


def distribution_of(module: str) -> str | None:
    """The distribution of ours that has a module, which may lie deep in it; None for a stranger."""
    top = module.partition(".")[0]
    return next((name for name in (*CORE, *_BROUGHT) if _module(name) == top), None)


def _module(name: str) -> str:
    return _MODULES.get(name, name.replace("-", "_"))


def _is_there(name: str) -> bool:
    """Whether it, or what will do in its place, can be found; nothing is imported."""
    modules = [_module(name)] + ([_module(_INSTEAD[name])] if name in _INSTEAD else [])
    return any(importlib.util.find_spec(module) is not None for module in modules)
