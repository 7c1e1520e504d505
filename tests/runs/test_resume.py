"""`kill -9` at any durable operation, then the same command: nothing lost, nothing different."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from tests.fake_stages import write_recipe


def harness(folder: Path, command: list[str], points: int, **more: Any) -> dict[str, Any]:
    """What the kill harness saw; everything it ran on one thread."""
    task = {
        "command": command, "folder": str(folder), "points": points, "stages": None,
        **more,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.kill_harness", json.dumps(task)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "HCOMPRESS_DEBUG": "1",
        },
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def check(answer: dict[str, Any]) -> None:
    """Every trial was killed, resumed, redid no finished stage, and made the same bytes."""
    assert answer["whole"]["code"] == 0, answer["whole"]["log"]
    assert answer["weights"]
    for trial in answer["trials"]:
        where = f"killed at operation {trial['limit']}"
        assert trial["killed"]["code"] == -9, where
        assert trial["resumed"]["code"] == 0, f"{where}: {trial['resumed']['log']}"
        assert trial["redone"] == [], where
        assert trial["weights"] == answer["weights"], where


@pytest.mark.slow
def test_killed_anywhere_in_a_run_of_fakes(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    command = ["shrink", "--recipe", str(recipe), "--out", "{out}"]
    answer = harness(tmp_path, command, points=40, stages="tests.fake_stages:FAKES")
    check(answer)
    assert len(answer["trials"]) >= 30
    kept = {len(trial["kept"]) for trial in answer["trials"]}
    assert kept == {0, 1, 2, 3}, "the kills fall into every stage"
    assert any("snapshot" in trial["resumed"]["log"] for trial in answer["trials"])
    assert any("published now" in trial["resumed"]["log"] for trial in answer["trials"])


@pytest.mark.slow
def test_killed_anywhere_in_one_stage(tmp_path: Path) -> None:
    write_recipe(tmp_path)
    command = ["fake-train", "--data", str(tmp_path / "data.txt"), "--out", "{out}"]
    answer = harness(tmp_path, command, points=25, stages="tests.fake_stages:FAKES")
    check(answer)
    assert len(answer["trials"]) >= 20


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_signals_end_with_their_code_and_one_line(tmp_path: Path, number: str) -> None:
    import signal

    write_recipe(tmp_path)
    script = (
        "import sys; from tests.fake_stages import FAKES, slow_down; slow_down();"
        "from hcompress.cli import main; sys.exit(main(sys.argv[1:], FAKES))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "fake-train", "--steps", "1000",
         "--data", str(tmp_path / "data.txt"), "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=ROOT,
    )  # fmt: skip
    assert process.stderr is not None
    assert "left" in process.stderr.readline()
    process.send_signal(getattr(signal, number))
    out, err = process.communicate(timeout=20)
    assert process.returncode == {"SIGINT": 130, "SIGTERM": 143}[number]
    assert out == ""
    assert err.splitlines()[-1] == f"stopped by {number}: the same command goes on from here"
    assert "Traceback" not in err
