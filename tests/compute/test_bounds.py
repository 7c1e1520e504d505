"""What a graph may take: no telemetry, so much memory, so much time, and no longer than asked."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from hcompress.compute import bounds
from hcompress.compute.session import Session
from hcompress.errors import InputRefused
from tests import ROOT

FLOAT, BOOL, INT64 = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64
ONE = {"x": np.zeros(1, np.float32)}
SOON = 10.0
"""Seconds that a busy machine may take for what is over in one."""


def graph(nodes: Sequence[NodeProto], **held: object) -> bytes:
    """One that takes x [N] and gives y [N]."""
    ends = [[helper.make_tensor_value_info(name, FLOAT, ["N"])] for name in ("x", "y")]
    tensors = [numpy_helper.from_array(np.array(value), name) for name, value in held.items()]
    made = helper.make_graph(nodes, "g", *ends, tensors)
    opset = helper.make_opsetid("", 17)
    return bytes(helper.make_model(made, opset_imports=[opset], ir_version=8).SerializeToString())


def endless() -> bytes:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("go", BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", BOOL, []),
            helper.make_tensor_value_info("w", FLOAT, None),
        ],
    )
    loop = helper.make_node("Loop", ["turns", "yes", "x"], ["y"], body=body)
    return graph([loop], turns=np.int64(1 << 62), yes=True)


def test_onnxruntime_writes_nothing_under_home_and_calls_nobody(tmp_path: Path) -> None:
    """In a process of its own: the variable counts before the first import alone, and CI is one of
    those that switch telemetry off too."""
    (tmp_path / "g.onnx").write_bytes(graph([helper.make_node("Identity", ["x"], ["y"])]))
    home = tmp_path / "home"
    home.mkdir()
    quiet = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    environment = {key: value for key, value in os.environ.items() if key not in quiet}
    code = (
        "import sys, numpy; from pathlib import Path;"
        "from hcompress.compute.session import Session;"
        "Session(Path(sys.argv[1])).run(['y'], {'x': numpy.zeros(1, numpy.float32)})"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "g.onnx")],
        env={**environment, "HOME": str(home)}, check=True, timeout=60,
    )  # fmt: skip
    assert list(home.rglob("*")) == []


def test_whoever_imports_onnxruntime_has_asked_for_silence() -> None:
    """Libraries that import it, too."""
    for file in (ROOT / "hcompress").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        first = re.search(r"^ *(import|from) (onnxruntime|onnxsim|rapidocr)\b", text, re.MULTILINE)
        if first is not None and file.name != "bounds.py":
            assert "no_telemetry()" in text[: first.start()], file


@pytest.mark.parametrize(("said", "kept"), [(None, "1"), ("", "1"), ("0", "0"), ("1", "1")])
def test_whoever_wants_telemetry_can_have_it(
    said: str | None, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    if said is not None:
        monkeypatch.setenv("ORT_DISABLE_TELEMETRY", said)
    bounds.no_telemetry()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == kept


BIG = np.array([1 << 30], np.int64)
LARGE = {
    "zeros": ([helper.make_node("ConstantOfShape", ["n"], ["big"])], {"n": BIG}),
    "expand": (
        [helper.make_node("Expand", ["one", "n"], ["big"])], {"n": BIG, "one": np.float32(1)},
    ),
    "tile": ([helper.make_node("Tile", ["x", "n"], ["big"])], {"n": BIG}),
    "product": (
        [
            helper.make_node("ConstantOfShape", ["n"], ["m"]),
            helper.make_node("MatMul", ["m", "m"], ["big"]),
        ],
        {"n": np.array([14_000, 14_000], np.int64)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", LARGE)
def test_a_small_graph_gets_no_more_memory_than_there_is_for_it(kind: str) -> None:
    nodes, held = LARGE[kind]
    end = [helper.make_node("ReduceMax", ["big"], ["most"], keepdims=0),
           helper.make_node("Add", ["x", "most"], ["y"])]  # fmt: skip
    started = time.monotonic()
    with pytest.raises(InputRefused, match="asks for more than 1024 MiB"):
        Session(graph([*nodes, *end], **held), where="small").run(["y"], ONE)
    assert time.monotonic() - started < SOON


def test_what_runs_too_long_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_SECONDS", 0.2)
    session = Session(endless(), where="endless")
    started = time.monotonic()
    with pytest.raises(InputRefused, match=r"endless: .* broken off"):
        session.run(["y"], ONE)
    assert time.monotonic() - started < SOON


def test_a_signal_breaks_off_what_runs() -> None:
    class Asked(Exception):
        pass

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Asked

    before = signal.signal(signal.SIGUSR1, stop)
    session = Session(endless(), where="endless")
    try:
        with bounds.broken_off_by_signals(frozenset({signal.SIGUSR1})):
            timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1))
            timer.start()
            with pytest.raises(Asked):
                session.run(["y"], ONE)
            timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert signal.set_wakeup_fd(-1) == -1


def test_a_worker_that_lives_on_keeps_nobody_waiting() -> None:
    code = (
        "import os, signal, time\n"
        "from hcompress.compute.bounds import broken_off_by_signals\n"
        "with broken_off_by_signals(frozenset({signal.SIGTERM})):\n"
        "    worker = os.fork()\n"
        "    if not worker:\n"
        "        time.sleep(60)\n"
        "        os._exit(0)\n"
        "os.kill(worker, signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
