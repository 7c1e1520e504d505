"""onnxruntime, as this tool starts it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hcompress.compute.bounds import (
    MOST_MEMORY,
    MOST_SECONDS,
    Load,
    Run,
    Work,
    bound,
    no_telemetry,
    watched,
)
from hcompress.compute.providers import full_names, lacks
from hcompress.errors import InputRefused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_NO_ROOM: Final = "is smaller than requested bytes of"
"""What onnxruntime says if its arena's limit is reached."""


class Session:
    """One ONNX graph, on the CPU unless told otherwise.

    Raises InputRefused where it can't be loaded or run.
    """

    def __init__(
        self,
        model: Path | bytes,
        threads: int = 1,
        dimensions: Mapping[str, int] | None = None,
        where: str = "the exported graph",
        providers: Sequence[str] = (),
    ) -> None:
        """``dimensions`` tells the session what named dimensions will be: it can do more before
        the first image then. ``where`` is what errors call a model in memory. ``providers``: what
        it runs on, each node on the first that can; the CPU if none are given. Raises UsageError
        for one that nobody knows, EnvironmentFailed if the first is not here."""
        no_telemetry()
        import onnxruntime

        self._where = str(model) if isinstance(model, Path) else where
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised; nothing else is printed
        # Spinning threads cost a busy machine more than they gain.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        for name, size in (dimensions or {}).items():
            options.add_free_dimension_override_by_name(name, size)
        wanted = full_names(providers)
        source = str(model) if isinstance(model, Path) else model
        bound(options)
        load = Load(options)
        with _refusing(self._where, load), watched(load):
            # Its fallback would print to stdout, then try the same provider once more.
            self._session = onnxruntime.InferenceSession(
                source, options, providers=list(wanted), enable_fallback=0
            )
        running = self._session.get_providers()
        if wanted[0] not in running:  # its libraries are missing: onnxruntime only warns of it
            raise lacks(wanted[0], running)

    @property
    def inputs(self) -> dict[str, tuple[str, list[int | str | None]]]:
        """Type and shape by name; texts and None are dimensions known at run time."""
        return self._ends(self._session.get_inputs)

    @property
    def outputs(self) -> dict[str, tuple[str, list[int | str | None]]]:
        return self._ends(self._session.get_outputs)

    def _ends(self, entries: Callable[[], Any]) -> dict[str, tuple[str, list[int | str | None]]]:
        with _refusing(self._where):
            return {entry.name: (entry.type, entry.shape) for entry in entries()}

    def run(
        self, outputs: list[str], inputs: Mapping[str, NDArray[Any]]
    ) -> list[NDArray[np.generic]]:
        run = Run()
        with _refusing(self._where, run), watched(run):
            results: list[NDArray[np.generic]] = self._session.run(
                outputs, dict(inputs), run.options
            )
        if not all(hasattr(result, "dtype") for result in results):
            raise InputRefused(f"{self._where}: an answer is no tensor: export it again")
        return results


@contextmanager
def _refusing(where: str, work: Work | None = None) -> Iterator[None]:
    """onnxruntime's errors as ours, on one line, and what became of ``work``."""
    try:
        yield
    except UnicodeDecodeError:
        # Raised in place of a message that quotes the file, or of a name in it.
        raise InputRefused(f"{where}: onnxruntime refuses it: a name is not UTF-8") from None
    except _errors() as error:
        if work is not None and work.broken_off:
            why = f"it ran for {MOST_SECONDS:g} seconds, and was broken off"
        elif _NO_ROOM in str(error):
            why = f"it asks for more than {MOST_MEMORY >> 20} MiB of memory"
        else:
            why = f"onnxruntime refuses it: {' '.join(str(error).split())[:300]}"
        raise InputRefused(f"{where}: {why}") from None


@functools.cache
def _errors() -> tuple[type[Exception], ...]:
    """They have no base of their own; a few of its checks raise Python's. Looked for once: it
    takes as long as a small graph."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (
        kind for kind in vars(state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    )  # fmt: skip
    return (*own, RuntimeError, ValueError)
