"""The application, asked in process: answers, refusals, limits, and what it says of itself."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

pytest.importorskip("starlette")
httpx = pytest.importorskip("httpx")

from hcompress.errors import InputRefused  # noqa: E402
from hcompress.runtime.reading import Candidate, Reading  # noqa: E402
from hcompress.serve.app import Service, build_app  # noqa: E402
from hcompress.serve.batcher import Batcher  # noqa: E402
from hcompress.serve.engine import Engine, Watch  # noqa: E402
from hcompress.serve.limits import Limits  # noqa: E402
from hcompress.serve.metrics import Metrics  # noqa: E402
from tests.serve.test_order import as_form, as_json, png  # noqa: E402

Asking = Callable[[Any], Awaitable[None]]


class Widths:
    """Reads an image as its width; waits, or fails, if told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.batches: list[int] = []
        self.seconds = 0.0

    def read(self, images: Sequence[Any]) -> list[Reading]:
        self.batches.append(len(images))
        assert self.go.wait(30)
        time.sleep(self.seconds)
        widths = [image.shape[1] for image in images]
        if 13 in widths:
            raise InputRefused("not thirteen")
        if 666 in widths:
            raise RuntimeError("a bug")
        step = [Candidate(character="x", confidence=0.5)]
        return [Reading(str(width), 0.5, [step]) for width in widths]


def ask(
    asking: Asking,
    limits: Limits | None = None,
    reader: Widths | None = None,
    stopping: Callable[[], bool] = lambda: False,
    watch: Watch | None = None,
) -> None:
    """Runs ``asking`` with a client of a fresh service."""
    limits = limits or Limits()

    async def run() -> None:
        batcher: Any = Batcher(limits.queue, limits.batch)
        engine = Engine(reader or Widths(), batcher, 1, watch)
        app = build_app(Service(engine, limits, Metrics("m.onnx", "0", "1"), "m.onnx", stopping))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://test", timeout=30
            ) as client,
        ):
            await asking(client)

    asyncio.run(asyncio.wait_for(run(), 60))


def error_of(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["message"]
    assert error["request"] == response.headers["x-request-id"]
    return str(error["code"])


def test_images_come_back_in_order() -> None:
    async def asking(client: Any) -> None:
        images = [png(width) for width in (300, 20, 90)]
        files = [("images", image) for image in images]
        for response in (
            await client.post("/read?top=1", json=None, content=as_json(*images),
                              headers={"content-type": "application/json"}),
            await client.post("/read", files=files, data={"top": "1"}),
        ):  # fmt: skip
            assert response.status_code == 200, response.text
            readings = response.json()["readings"]
            assert [one["text"] for one in readings] == ["300", "20", "90"]
            assert readings[0]["candidates"] == [[{"character": "x", "confidence": 0.5}]]
        response = await client.post("/read", content=png(77), headers={"x-request-id": "a-1"})
        assert error_of(response, 415) == "unknown_type"
        response = await client.post(
            "/read", content=png(77), headers={"content-type": "image/png", "x-request-id": "a-1"}
        )
        assert response.json() == {
            "model": "m.onnx", "readings": [{"text": "77", "confidence": 0.5}]
        }  # fmt: skip
        assert response.headers["x-request-id"] == "a-1"

    ask(asking)


def test_too_large_a_body_is_refused_declared_or_not() -> None:
    async def asking(client: Any) -> None:
        kind = {"content-type": "image/png"}
        response = await client.post("/read", content=bytes(2000), headers=kind)
        assert error_of(response, 413) == "body_too_large"

        async def chunks() -> Any:
            for _ in range(20):
                yield bytes(100)

        response = await client.post("/read", content=chunks(), headers=kind)
        assert error_of(response, 413) == "body_too_large"

    ask(asking, Limits(body=1000))


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def asking(client: Any) -> None:
        async def chunks() -> Any:
            yield png()[:9]
            await asyncio.sleep(1)
            yield png()[9:]

        response = await client.post(
            "/read", content=chunks(), headers={"content-type": "image/png"}
        )
        assert error_of(response, 408) == "slow_body"
        assert response.headers["connection"] == "close"

    ask(asking, Limits(seconds=0.2))


def test_a_full_queue_says_so_and_loses_nobody() -> None:
    reader = Widths()
    reader.go.clear()

    async def asking(client: Any) -> None:
        async def one(width: int) -> Any:
            return await client.post("/read", files={"images": png(width)})

        first = asyncio.create_task(one(1))
        while not reader.batches:
            await asyncio.sleep(0.01)
        others = [asyncio.create_task(one(width)) for width in range(2, 8)]
        done, waiting = await asyncio.wait(others, timeout=1)
        assert [error_of(task.result(), 429) for task in done] == ["busy"] * 3
        assert all(task.result().headers["retry-after"] == "1" for task in done)
        reader.go.set()
        answers = [(await task).json()["readings"][0]["text"] for task in (first, *waiting)]
        assert len(set(answers)) == 4
        assert reader.batches == [1, 3]

    ask(asking, Limits(queue=3), reader)


def test_what_is_not_read_in_time_is_given_up() -> None:
    reader = Widths()
    reader.go.clear()

    async def asking(client: Any) -> None:
        both = await asyncio.gather(
            *(client.post("/read", files={"images": png()}) for _ in range(2))
        )
        assert [error_of(response, 504) for response in both] == ["too_late"] * 2
        reader.go.set()
        response = await client.post("/read", files={"images": png(44)})
        assert response.json()["readings"][0]["text"] == "44"

    ask(asking, Limits(seconds=0.3), reader)


def test_what_would_be_too_late_is_refused_at_once() -> None:
    reader = Widths()

    async def asking(client: Any) -> None:
        async def one() -> Any:
            return await client.post("/read", files={"images": png()})

        reader.seconds = 0.3
        assert [(await one()).status_code for _ in range(2)] == [200, 200]  # the pace is known
        answers = await asyncio.gather(*(one() for _ in range(40)))
        statuses = Counter(response.status_code for response in answers)
        assert set(statuses) == {200, 429}
        assert statuses[429] > 5

    ask(asking, Limits(seconds=1.5, batch=1), reader)


def test_an_image_that_cannot_be_read_takes_no_other_with_it() -> None:
    async def asking(client: Any) -> None:
        response = await client.post(
            "/read", files=[("images", png(width)) for width in (20, 13, 30)]
        )
        texts = [one.get("text") or one["error"]["code"] for one in response.json()["readings"]]
        assert texts == ["20", "failed", "30"]
        assert error_of(await client.post("/read", files={"images": png(13)}), 500) == "failed"

    ask(asking)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_of_the_reader_ends_the_worker_and_nobody_hangs() -> None:
    broken = threading.Event()

    async def asking(client: Any) -> None:
        assert error_of(await client.post("/read", files={"images": png(666)}), 500) == "failed"
        assert await asyncio.to_thread(broken.wait, 5)
        assert (await client.get("/healthz")).status_code == 503
        assert error_of(await client.post("/read", files={"images": png()}), 503) == "stopping"

    ask(asking, watch=Watch(broken=broken.set))


def test_health_readiness_and_stopping() -> None:
    stopping: list[bool] = []

    async def asking(client: Any) -> None:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).status_code == 200
        stopping.append(True)
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        response = await client.post("/read", files={"images": png(5)})
        assert response.status_code == 200
        assert response.headers["connection"] == "close"

    ask(asking, stopping=lambda: bool(stopping))


def test_metrics_count_what_was_answered() -> None:
    async def asking(client: Any) -> None:
        await client.post("/read", files={"images": png(5)})
        await client.post("/read", content=b"{", headers={"content-type": "application/json"})
        text = (await client.get("/metrics")).text
        assert 'hcompress_requests_total{code="ok",status="200"} 1.0' in text
        assert 'hcompress_requests_total{code="bad_body",status="422"} 1.0' in text
        assert 'hcompress_images_total{outcome="read"} 1.0' in text
        assert "hcompress_requests_in_flight 0.0" in text

    ask(asking)


def test_the_document_says_what_is_answered_and_the_page_fetches_nothing() -> None:
    async def asking(client: Any) -> None:
        document = (await client.get("/openapi.json")).json()
        assert document["openapi"] == "3.1.0"
        read = document["paths"]["/read"]["post"]
        assert set(read["responses"]) == {
            "200", "408", "413", "415", "422", "429", "500", "503", "504"
        }  # fmt: skip
        for path, methods in document["paths"].items():
            if "get" in methods:
                assert (await client.get(path)).status_code == 200
        schemas = document["components"]["schemas"]
        answer = (await client.post("/read?top=2", files={"images": png()})).json()
        assert set(answer) == set(schemas["Answer"]["properties"])
        assert set(answer["readings"][0]) < set(schemas["Reading"]["properties"])
        page = await client.get("/", follow_redirects=True)
        assert "/read" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "<script" not in page.text
        assert "src=" not in page.text
        hostile = await client.get("/docs", headers={"host": "<b>x"})
        assert "<b>x" not in hostile.text

    ask(asking)


def test_requests_at_a_time_have_an_end() -> None:
    reader = Widths()
    reader.go.clear()

    async def asking(client: Any) -> None:
        first = asyncio.create_task(client.post("/read", files={"images": png()}))
        while not reader.batches:
            await asyncio.sleep(0.01)
        assert error_of(await client.post("/read", files={"images": png()}), 429) == "busy"
        reader.go.set()
        assert (await first).status_code == 200

    ask(asking, Limits(requests=1), reader)


def test_each_request_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def asking(client: Any) -> None:
        await client.post("/read", files={"images": png()}, headers={"x-request-id": "bad id\x7f"})

    with caplog.at_level(logging.INFO, "hcompress.serve"):
        began = time.monotonic()
        ask(asking)
    (record,) = [one for one in caplog.records if one.getMessage() == "read"]
    said = vars(record)
    assert (said["status"], said["code"], said["images"], said["batch"]) == (200, "ok", 1, 1)
    assert 0 <= said["queue_ms"] <= said["ms"] <= 1000 * (time.monotonic() - began)
    assert "bad id" not in said["request"]


def test_a_form_takes_the_options_of_the_form() -> None:
    async def asking(client: Any) -> None:
        response = await client.post(
            "/read",
            content=as_form(png(8), min_confidence="0.9"),
            headers={"content-type": "multipart/form-data; boundary=x"},
        )
        assert response.json()["readings"] == [{"text": None, "confidence": 0.5}]

    ask(asking)
