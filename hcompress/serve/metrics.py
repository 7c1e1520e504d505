"""What Prometheus is told. With several workers each answers for all: PROMETHEUS_MULTIPROC_DIR."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

TYPE: Final = CONTENT_TYPE_LATEST
_SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The figures of one service."""

    def __init__(self, model: str, digest: str, version: str) -> None:
        own = CollectorRegistry()
        self._registry = own
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            self._registry = CollectorRegistry()
            shared: Callable[[CollectorRegistry], object] = MultiProcessCollector
            shared(self._registry)
        self.requests = Counter(
            "hcompress_requests", "Answers to POST /read.", ["status", "code"], registry=own
        )
        self.seconds = Histogram(
            "hcompress_request_seconds", "From a request's headers to its answer, of those read.",
            buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self.images = Counter(
            "hcompress_images", "Images, by what became of them.", ["outcome"], registry=own
        )
        self.queued = Histogram(
            "hcompress_queue_seconds", "How long images waited to be read.",
            buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self.batch = Histogram(
            "hcompress_batch_images", "Images read together.", buckets=_SIZES, registry=own
        )
        self.batch_seconds = Histogram(
            "hcompress_batch_seconds", "How long a batch took.", buckets=_SECONDS, registry=own
        )
        self.waiting = Gauge(
            "hcompress_waiting_images", "Images that wait to be read.",
            multiprocess_mode="livesum", registry=own,
        )  # fmt: skip
        self.in_flight = Gauge(
            "hcompress_requests_in_flight", "Requests that are being answered.",
            multiprocess_mode="livesum", registry=own,
        )  # fmt: skip
        # prometheus-client's Info knows nothing of several processes.
        Gauge(
            "hcompress_model", "1; the labels say what is served.", ["file", "sha256", "version"],
            multiprocess_mode="max", registry=own,
        ).labels(model, digest, version).set(1)  # fmt: skip

    def page(self) -> bytes:
        return generate_latest(self._registry)
