"""The command as a process: workers, signals, hostile connections."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

import contextlib

from hcompress.cli import main
from hcompress.lab.serving.service import Service, running
from hcompress.models import packaged_model
from hcompress.serve.run import listen
from tests.serve.test_order import as_json, png


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running(["--workers", "2", "--timeout", "3"]) as started:
        yield started


def asked(service: Service, body: bytes, kind: str = "application/json") -> tuple[int, bytes]:
    client = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    try:
        client.request("POST", "/read", body, {"content-type": kind})
        response = client.getresponse()
        return response.status, response.read()
    finally:
        client.close()


def told(service: Service) -> bytes:
    client = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    try:
        client.request("GET", "/metrics")
        return client.getresponse().read()
    finally:
        client.close()


def test_the_packaged_model_answers(service: Service) -> None:
    status, body = asked(service, as_json(png(), b"no image"))
    assert status == 200
    first, second = json.loads(body)["readings"]
    assert first["text"] == ""
    assert second["error"]["code"] == "bad_image"
    assert asked(service, bytes(17 << 20), "image/png")[0] == 413  # heard, though all of it is sent


def test_a_killed_worker_is_replaced_while_the_others_answer(service: Service) -> None:
    assert len(service.workers) == 2
    killed = service.kill_one()
    for _ in range(8):
        assert asked(service, as_json(png()))[0] == 200
    ends = time.monotonic() + 10
    while (len(service.workers) < 2 or killed in service.workers) and time.monotonic() < ends:
        time.sleep(0.05)
    assert len(service.workers) == 2
    # Either worker tells of both, and of the dead one.
    assert b'hcompress_requests_total{code="ok",status="200"}' in told(service)


@pytest.mark.parametrize("said", [b"", b"POST /read HTT", b"POST /read HTTP/1.1\r\nHost: x\r\n"])
def test_who_says_nothing_is_hung_up_on(service: Service, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=15) as silent:
        silent.sendall(said)
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""


def test_a_stop_loses_no_request_that_was_taken() -> None:
    answers: list[int] = []
    with running(["--workers", "1", "--timeout", "60", "--batch", "1"]) as service:
        body = as_json(*[png(1000, 40)] * 8)

        def ask() -> None:
            answers.append(asked(service, body)[0])

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        while b"in_flight 3.0" not in told(service):
            time.sleep(0.02)
        assert service.stop() == 0
        for thread in threads:
            thread.join()
    assert answers == [200] * 3


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    probe = listen("127.0.0.1", 0)
    port = probe.getsockname()[1]
    probe.close()
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "hcompress", "serve", "--workers", "2", "--port", str(port)],
            stderr=said,
        )
        service = Service(process, port)
        workers = service.workers
        process.send_signal(signal.SIGKILL)
        process.wait()
    ends = time.monotonic() + 15
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < ends:
        time.sleep(0.1)
    left = [worker for worker in workers if Path(f"/proc/{worker}").exists()]
    for worker in left:
        os.kill(worker, signal.SIGKILL)
    assert left == []
    for line in (tmp_path / "said").read_text().splitlines():
        assert {"time", "level", "event", "pid"} <= json.loads(line).keys()


def test_what_cannot_be_served(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    taken = listen("127.0.0.1", 0)
    port = str(taken.getsockname()[1])
    with taken:
        assert main(["serve", str(packaged_model()), "--port", port]) == 4
    assert main(["serve", "--host", "no.such.host.invalid"]) == 4
    assert main(["serve", str(tmp_path / "absent.onnx")]) == 2
    assert main(["serve", "--log-level", "loud"]) == 2
    checkpoint = Path(__file__).parents[2] / "recipes" / "teacher" / "latin.safetensors"
    assert main(["serve", str(checkpoint)]) == 2
    said = capsys.readouterr().err
    assert "in use" in said
    assert "hcompress onnx" in said
