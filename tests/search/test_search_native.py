"""The C code by itself: built with warnings as errors, with sanitizers, and as AVX-512 emulated."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import hcompress.search

HERE = Path(__file__).parent / "native"
SOURCES = Path(hcompress.search.__file__).parent / "native"
PARTS = ("search.c", "portable.c", "avx2.c", "avx512.c", "neon.c", "limits.c")
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
EMULATED = ('-DHCOMPRESS_EMULATED_AVX512="emulated_avx512.h"', f"-I{HERE}")


def compiler(*names: str) -> str:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no compiler: none of {', '.join(names)}")
    return found


def build(cc: str, program: Path, *options: str) -> None:
    sources = [str(HERE / "check.c"), *(str(SOURCES / part) for part in PARTS)]
    command = [cc, *WARNINGS, *options, f"-I{SOURCES}", *sources, "-lm", "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def check(*command: str) -> list[str]:
    """The instruction sets that were checked."""
    # Sanitizers' runtimes must come first; whatever is preloaded here is no part of the check.
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()


def needs_sanitizers(cc: str, folder: Path) -> None:
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    command = [cc, *SANITIZED, str(folder / "empty.c"), "-o", str(folder / "empty")]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip(f"{cc} has no address sanitizer")


def test_avx512_emulated(tmp_path: Path) -> None:
    cc = compiler("cc", "gcc", "clang")
    build(cc, tmp_path / "check", "-O2", *EMULATED)
    sets = check(str(tmp_path / "check"))
    if "avx2" not in sets:
        pytest.skip("the emulated AVX-512 needs AVX2 beside it")
    assert sets[0] == "avx512-vpopcntdq"


@pytest.mark.slow
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    cc = compiler("cc", "gcc", "clang")
    needs_sanitizers(cc, tmp_path)
    build(cc, tmp_path / "check", *SANITIZED)
    assert "portable" in check(str(tmp_path / "check"))
    build(cc, tmp_path / "emulated", *SANITIZED, *EMULATED)
    assert "portable" in check(str(tmp_path / "emulated"))


@pytest.mark.slow
def test_neon_under_qemu(tmp_path: Path) -> None:
    cc, qemu = compiler("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if qemu is None:
        pytest.skip("no qemu-aarch64 to run it")
    build(cc, tmp_path / "check", "-O2", "-static")
    assert check(qemu, str(tmp_path / "check")) == ["neon", "portable"]
