"""The service from its model to its end: what `hcompress serve` calls."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from hcompress.errors import EnvironmentFailed, UsageError
from hcompress.evaluation.readers import Reader, open_reader
from hcompress.foreign.header import is_foreign
from hcompress.foreign.options import AS_FOUND, ImportOptions
from hcompress.formats.open import Format, ModelFile
from hcompress.serve.limits import Settings
from hcompress.serve.shares import Shares
from hcompress.serve.workers import Workers
from hcompress.strict.digest import file_digest

NEEDS: Final = ("starlette", "uvicorn", "prometheus-client", "python-multipart")
"""Distributions of the extra."""
_LOG: Final = logging.getLogger("hcompress.serve")
SHARED: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus-client knows the folder that workers share."""
_BACKLOG: Final = 512
"""Connections that no worker has taken yet."""
_LAST: Final = 5.0
"""Seconds that a worker may take beyond its last request's."""


def serve(
    file: ModelFile,
    settings: Settings,
    address: tuple[str, int],
    workers: int,
    options: ImportOptions = AS_FOUND,
) -> None:
    """Serve an ONNX file until a signal says to stop.

    Raises UsageError for a checkpoint of ours, EnvironmentFailed if the address can't be had, and
    as `open_reader`.
    """
    if file.format is not Format.ONNX and not is_foreign(file):
        raise UsageError(f"{file.path}: a service reads ONNX files: export it with hcompress onnx")
    listener = listen(*address)
    with listener, tempfile.TemporaryDirectory(prefix="hcompress-") as folder:
        # prometheus-client looks at it when it is imported.
        os.environ[SHARED] = folder
        from prometheus_client.multiprocess import mark_process_dead

        from hcompress.serve.server import Place, work

        settings = replace(settings, model=file.path.name, digest=file_digest(file.path))
        reader = open_reader(file, options)
        warm(reader)
        _LOG.info("serving", extra=_said(settings, listener, workers))
        shares = Shares(workers)

        forget: Callable[[int], None] = mark_process_dead

        def gone(number: int, process: int) -> None:
            shares.gone(number)
            forget(process)

        Workers(
            listener,
            workers,
            lambda number: work(reader, Place(listener, number, shares), settings),
            gone,
            settings.drain + settings.limits.seconds + _LAST,
        ).run()
    _LOG.info("stopped")


def warm(reader: Reader) -> None:
    """Read once, before there are workers: what is made on the way is shared by them all, the first
    request waits for none of it, and a model that can't be run is refused at the start."""
    import numpy as np
    from PIL import features  # the codecs that a first image would load

    features.get_supported()
    page = np.full((48, 160, 3), 255, np.uint8)
    page[12:36, 20:24] = 0
    reader.read([page])


def _said(settings: Settings, listener: socket.socket, workers: int) -> dict[str, Any]:
    host, port = listener.getsockname()[:2]
    return {
        "model": settings.model,
        "sha256": settings.digest,
        "host": host,
        "port": port,
        "workers": workers,
        "threads": settings.threads,
    }


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises EnvironmentFailed if the address can't be had."""
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise EnvironmentFailed(f"{host}: {error.strerror or error}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise EnvironmentFailed(f"{host}, port {port}: {error.strerror or error}") from None
    return listener
