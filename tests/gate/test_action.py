"""The ready action: its scripts run, and nothing that a pull request may choose is part of one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests import ROOT

ACTION = (ROOT / "action.yml").read_text(encoding="utf-8")
SCRIPTS = [
    textwrap.dedent(block)
    for block in re.findall(r"^      run: \|\n((?:        .*\n|\n)+)", ACTION, re.MULTILINE)
]


def test_scripts_take_what_is_given_from_the_environment() -> None:
    assert len(SCRIPTS) == 2
    for script in SCRIPTS:
        assert "${{" not in script
        subprocess.run(["bash", "-n", "-c", script], check=True)


@pytest.mark.parametrize(("most", "code"), [("1 KiB", 0), ("1 B", 1), ("1 kilo", 2)])
def test_the_gate_step_ends_as_the_gate_does(most: str, code: int, tmp_path: Path) -> None:
    from tests.model_files import good_safetensors

    (tmp_path / "m.safetensors").write_bytes(good_safetensors())
    (tmp_path / "limits.toml").write_text(
        f'schema_version = 1\n[[artifacts]]\npath = "m.safetensors"\nmax_bytes = "{most}"\n'
    )
    program = tmp_path / "bin" / "hcompress"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hcompress "$@"\n')
    program.chmod(0o755)
    given = {
        "LIMITS": "limits.toml", "BASE": "", "MARKDOWN": "gate.md", "JUNIT": "gate.xml",
        "GITHUB_OUTPUT": str(tmp_path / "out"), "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", SCRIPTS[0]]
    ended = subprocess.run(
        words, cwd=tmp_path, env={**os.environ, **given}, capture_output=True, check=False
    )
    assert ended.returncode == code, ended.stderr
    assert (tmp_path / "out").read_text() == f"exit-code={code}\n"
    for name in ("gate.md", "gate.xml"):
        assert (tmp_path / name).stat().st_size
