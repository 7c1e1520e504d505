"""The command line: contracts, exit codes, one-line errors, what help may import."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hcompress import __version__
from hcompress.cli import main
from hcompress.cli.console import Console
from hcompress.cli.exits import verdict
from hcompress.cli.tables import cells_wide, table_lines
from hcompress.errors import (
    EnvironmentFailed,
    GateFailed,
    HcompressError,
    InputRefused,
    NumericalError,
    UsageError,
)
from hcompress.progress import LineProgress, clock_text
from tests import ROOT
from tests.fake_stages import FAKES, RECIPE, safetensors_bytes, write_recipe

HEAVY = ("torch", "onnx", "onnxruntime", "numpy", "PIL", "lmdb", "matplotlib", "lightning")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Ended]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.delenv("HCOMPRESS_DEBUG", raising=False)

    def run(*arguments: object) -> Ended:
        code = main([str(argument) for argument in arguments], FAKES)
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes(b"w" * 32))
    return path


def python(code: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **env},
    )


IMPORTS = f"""
import sys
from hcompress.cli import main
code = main(sys.argv[1:])
print([name for name in {HEAVY} if name in sys.modules], code, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["shrink", "--help"], ["study", "--help"], ["stages"], ["recipes"]],
)
def test_help_and_listings_import_nothing_heavy(arguments: Sequence[str]) -> None:
    done = python(IMPORTS, *arguments)
    assert done.stderr.splitlines()[-1] == "[] 0"


def test_inspecting_onnx_imports_no_torch(tmp_path: Path) -> None:
    from tests.fake_stages import onnx_bytes

    (tmp_path / "model.onnx").write_bytes(onnx_bytes(b"w" * 32))
    done = python(IMPORTS, "inspect", str(ROOT / "hcompress" / "models" / "gbk21k.onnx"))
    assert done.stderr.splitlines()[-1] == "[] 0"
    done = python(IMPORTS, "inspect", str(tmp_path / "model.onnx"), "--json")
    assert done.stderr.splitlines()[-1] == "['onnx', 'numpy'] 0", "anybody's graph is looked into"
    found = json.loads(done.stdout)
    assert sum(part["bytes"] for part in found["components"]) == found["bytes"]


def test_python_m_works() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hcompress", "--version"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, f"hcompress {__version__}\n", "")


def test_help_fits_eighty_columns(call: Call) -> None:
    for arguments in ([], ["--help"], ["shrink", "-h"], ["fake-train", "-h"]):
        ended = call(*arguments)
        assert ended.code == 0
        assert max(map(len, ended.out.splitlines())) <= 80
    assert "--data" in ended.out
    assert "1 to 1000" in ended.out


USAGE: list[tuple[list[str], str]] = [
    (["shrnk"], "did you mean 'shrink'"),
    (["fake-slim"], "missing"),
    (["fake-slim", "nowhere", "--out", "x"], "nowhere: no such file or folder"),
    (["fake-slim", "x", "--out", "x", "--shade", "pink"], "pink"),
    (["fake-slim", "x", "--out", "x", "--limit", "0"], "limit = 0: must be at least 1"),
    (["fake-train", "--out", "x", "--data", "no.txt"], "no.txt: no such data"),
    (["shrink", "--recipe", "nothing"], "nothing: no recipe of that name"),
    (["study", "no/such.toml"], "no/such.toml: no such study file"),
    (["shrink", "--recipe", "no/such.toml"], "no/such.toml: no such recipe file"),
    (["inspect", "nowhere.onnx"], "nowhere.onnx"),
    (["eval", "nowhere.onnx", "nowhere.txt"], "nowhere"),
    (["read", "nowhere.onnx", "x.png"], "nowhere.onnx"),
    (["read", str(ROOT), "nowhere.png"], "nowhere.png"),
    (["read"], "missing"),
    (["read", "nowhere.png"], "nowhere.png: no such file or folder"),
    (["read", str(ROOT / "recipes/teacher/latin.safetensors")], "give images after it"),
    (["read", str(ROOT / "tests")], "neither a model nor images"),
    (["compare", "nowhere.onnx", "x.onnx"], "nowhere.onnx"),
    (["eval", "x.onnx", "x.txt", "--images", "1000000000"], "--images"),
    (["eval", "x.onnx", "x.txt", "--workers", "257"], "--workers"),
    (["compare", "x.onnx", "x.onnx", "--images", "0"], "--images"),
    (["synth", "x.toml", "--out", "x", "--workers", "1000000"], "--workers"),
    (["synth", "x.toml", "--out", "x", "--count", "1000000000"], "--count"),
    (["stages", "fake-trian"], 'unknown stage "fake-trian"; did you mean "fake-train"?'),
    (["gate", "nowhere.toml"], "nowhere.toml"),
    (["synth", "nowhere.toml", "--out", "x"], "nowhere.toml"),
    (["synth", "x.toml", "--out", "x", "--sheet", str(ROOT / "README.md")], "exists"),
]


@pytest.mark.parametrize(("arguments", "said"), USAGE)
def test_usage_errors_are_one_line_and_two(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = call(*arguments)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert said.lower() in ended.err.lower()
    assert list(tmp_path.iterdir()) == []


FAILURES: list[tuple[BaseException, int, str]] = [
    (GateFailed("too big"), 1, "error: too big"),
    (UsageError("x: wrong"), 2, "error: x: wrong"),
    (InputRefused("x: damaged"), 3, "error: x: damaged"),
    (EnvironmentFailed("no disk"), 4, "error: no disk"),
    (OSError(errno.ENOSPC, "No space left on device", "/x"), 4, "error: /x: No space left"),
    *(
        (OSError(number, os.strerror(number), "/x"), 4, f"error: /x: {os.strerror(number)}")
        for number in (
            errno.EFBIG,
            errno.ENOLCK,
            errno.EOPNOTSUPP,
            errno.ESTALE,
            errno.ENFILE,
            errno.EINVAL,
            errno.EAGAIN,
            errno.EIO,
            errno.ETIMEDOUT,
            errno.EBUSY,
            errno.ENXIO,
            999,
        )
    ),
    (OSError(errno.ESPIPE, "Illegal seek"), 4, "error: Illegal seek"),
    (OSError(errno.ENOENT, "No usable temporary directory"), 4, "error: No usable temporary"),
    (OSError(errno.EIO, "Input/output error", b"/x\xff"), 4, "error: /x\\udcff: Input/output"),
    (OSError(errno.EIO, "Input/output error", 7), 4, "error: Input/output error"),
    (OSError("cannot load\nand more"), 4, "error: cannot load\n"),
    (OSError(), 4, "error: OSError"),
    (shutil.Error([("a", "/b", "[Errno 28] No space")]), 4, "error: /b: [Errno 28] No space"),
    (RuntimeError("/dev/shm/x: No space left on device (28)"), 4, "error: No space left on dev"),
    (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), 2, "error: xxx"),
    (FileExistsError(errno.EEXIST, "File exists", "a"), 2, "error: a: file exists"),
    (BrokenPipeError(errno.EPIPE, "Broken pipe", "a"), 4, "error: a: Broken pipe"),
    (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a"), 2, "error: a: not a directory"),
    (RuntimeError("[pair.cc:553] Connection closed by peer [::1]:9"), 4, "error: another process"),
    (
        RuntimeError("[gloo/transport/tcp/pair.cc:537] Read error: Connection reset by peer"),
        4,
        "error: another process",
    ),
    (
        RuntimeError(
            "[/pytorch/third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:78] Timed out"
        ),
        4,
        "error: another process",
    ),
    (
        type("DistNetworkError", (RuntimeError,), {})("the client socket has failed"),
        4,
        "error: another process",
    ),
    (RuntimeError("NCCL error in: x.cpp:1, remote process exited"), 4, "error: another process"),
    (RuntimeError("shapes do not fit"), 70, "error: internal: RuntimeError: shapes"),
    (MemoryError(), 4, "error: out of memory"),
    (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory."), 4, "error: out of memo"),
    (ModuleNotFoundError("no", name="tensorrt"), 4, "error: the Python package tensorrt is"),
    (ModuleNotFoundError("no", name="torch.nn"), 4, 'error: doctor needs torch: pip install "hcom'),
    (ImportError("libc.so", name="onnx.defs"), 4, "error: doctor needs onnx, which is broken: lib"),
    (ModuleNotFoundError("no", name="hcompress.x"), 70, "error: internal: ModuleNotFoundError: no"),
    (NumericalError("w: NaN"), 5, "error: w: NaN"),
    (HcompressError("odd"), 70, "error: internal: HcompressError: odd: a bug of ours; --debug"),
    (ValueError("two\nlines"), 70, "error: internal: ValueError: two lines: a bug of ours"),
]


@pytest.mark.parametrize(("error", "code", "line"), FAILURES)
def test_every_failure_has_its_code_and_one_line(
    call: Call, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("hcompress.doctor.examine", fail)
    ended = call("doctor")
    assert ended.code == code
    assert ended.err.startswith(line)
    assert ended.err.count("\n") == 1


def test_what_a_later_stage_would_refuse_is_refused_before_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.txt").write_text("ab")
    (tmp_path / "i.png").write_bytes(b"never looked at")
    (tmp_path / "l.txt").write_text("i.png\tab\n")
    recipe = tmp_path / "r.toml"
    train = 'stage = "train"\ndata = "l.txt"\ncharset = "c.txt"\nsteps = 2\nglyph_steps = 0\n'
    for odd, said in (("code_length = 17", "multiple of 8"), ("method = 'x'", "method")):
        recipe.write_text(
            f"schema_version = 1\nname = 'n'\n[[stages]]\n{train}"
            f"[[stages]]\nstage = 'codebook'\ndata = 'l.txt'\n{odd}\n"
        )
        assert main(["shrink", "--recipe", str(recipe), "--out", str(tmp_path / "run")]) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / "run").exists()


def test_where_torch_finds_no_memory_the_machine_is_short_of_it() -> None:
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert verdict(caught.value) == (4, "error: out of memory: take a smaller batch")
    assert verdict(torch.cuda.OutOfMemoryError("CUDA out of memory."))[0] == 4


def test_debug_shows_the_traceback_wherever_it_stands(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ValueError("inside")

    monkeypatch.setattr("hcompress.doctor.examine", fail)
    assert "Traceback" in call("doctor", "--debug").err
    assert "Traceback" in call("--debug", "doctor").err
    assert "Traceback" not in call("doctor").err


def test_a_closed_pipe_ends_quietly() -> None:
    code = "from hcompress.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "doctor"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize(
    ("redirected", "code"),
    [
        ("inspect MODEL >&-", 141),
        ("inspect MODEL --json 1</dev/null", 141),
        ("--help >&-", 141),
        ("inspect MODEL <&- >&- 2>&-", 141),
        ("inspect MODEL 2>&-", 0),
        ("inspect nowhere 2>&-", 2),
        ("inspect nowhere 2>/dev/full", 2),
        ("inspect nowhere --debug 2>/dev/full", 2),
        ("inspect MODEL 2>/dev/full", 0),
    ],
)
def test_closed_or_full_streams_end_it_quietly(redirected: str, code: int, model: Path) -> None:
    """As a closed pipe does where they are stdout; without talk where they are stderr.

    No number is 1, which is a gate that failed.
    """
    command = f"{shlex.quote(sys.executable)} -m hcompress {redirected}"
    done = subprocess.run(
        ["sh", "-c", command.replace("MODEL", shlex.quote(str(model)))],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, "")
    assert bool(done.stdout) == (code == 0)


@pytest.mark.parametrize("command", ["inspect MODEL", "--help", "stages --json", "--version"])
def test_a_full_disk_under_stdout_is_the_machines_fault(command: str, model: Path) -> None:
    """And the interpreter does not trip over what is left to be written."""
    command = f"{shlex.quote(sys.executable)} -m hcompress {command} >/dev/full"
    done = subprocess.run(
        ["sh", "-c", command.replace("MODEL", shlex.quote(str(model)))],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 4
    assert done.stderr.endswith("No space left on device\n")
    assert done.stderr.count("\n") == 1


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """A library that prints would write into it."""
    code = (
        "import os, sys; from hcompress.cli import main; main(['--version']);"
        "file = open(sys.argv[1], 'w'); sys.exit(file.fileno())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "file")]
    done = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *command], check=False, cwd=ROOT)
    assert done.returncode > 2


def test_a_stage_by_its_options(call: Call, tmp_path: Path, model: Path) -> None:
    out = tmp_path / "slim"
    options = ["--shade", "dark", "--layers", "a", "--layers", "b", "--limit", 3, "--deep"]
    ended = call("fake-slim", model, "--out", out, *options, "--seed", 9, "--json")
    assert ended.code == 0, ended.err
    assert ended.json["stage"]["parameters"] == {
        "shade": "dark", "layers": ["a", "b"], "limit": 3, "deep": True, "fail": False,
    }  # fmt: skip
    assert ended.json["seed"] == 9
    assert ended.json["path"] == str(out)
    assert "slimmed with seed 9" in ended.err
    again = call("fake-slim", model, "--out", out, *options, "--seed", 9)
    assert again.code == 0
    assert "finished before, kept" in again.err
    assert again.out == f"{out / 'model.safetensors'}\n"
    other = call("fake-slim", model, "--out", out)
    assert other.code == 2
    assert "--force" in other.err
    assert call("fake-slim", model, "--out", out, "--force").code == 0
    assert not list(tmp_path.glob("*.lock"))


def test_a_users_files_are_never_overwritten(call: Call, tmp_path: Path, model: Path) -> None:
    mine = tmp_path / "thesis.txt"
    mine.write_text("years of work")
    for out in (mine, tmp_path):
        for force in ([], ["--force"]):
            ended = call("fake-slim", model, "--out", out, *force)
            assert ended.code == 2, ended.err
    recipe = write_recipe(tmp_path)
    for out in (mine, tmp_path):
        ended = call("shrink", "--recipe", recipe, "--out", out, "--force")
        assert ended.code == 2, ended.err
    assert mine.read_text() == "years of work"
    assert model.exists()


@pytest.mark.parametrize(
    ("out", "said"),
    [(".", "would be replaced"), ("/", "no folder that"), ("a/..", "no folder that")],
)
def test_an_out_without_a_name_of_its_own(
    call: Call, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, out: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = call("fake-slim", model, "--out", out)
    assert (ended.code, said in ended.err) == (2, True), ended.err
    assert model.exists()


def test_a_damaged_source_is_refused(call: Call, tmp_path: Path, model: Path) -> None:
    call("fake-slim", model, "--out", tmp_path / "a")
    raw = bytearray((tmp_path / "a" / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "a" / "model.safetensors").write_bytes(raw)
    ended = call("fake-slim", tmp_path / "a", "--out", tmp_path / "b")
    assert ended.code == 3
    assert "model.safetensors: damaged" in ended.err
    assert not (tmp_path / "b").exists()


def test_shrink_in_json_and_in_words(call: Call, tmp_path: Path) -> None:
    recipe, out = write_recipe(tmp_path), tmp_path / "run"
    plan = call("shrink", "--recipe", recipe, "--out", out, "--dry-run", "--json").json
    assert [stage["cached"] for stage in plan["stages"]] == [False] * 3
    assert plan["disk"]["free"] > plan["disk"]["needed"] > 0
    assert not out.exists()
    ended = call("shrink", "--recipe", recipe, "--out", out, "--json")
    assert ended.code == 0, ended.err
    assert ended.json["model"] == str(out / "03-fake-onnx" / "model.onnx")
    assert [stage["status"] for stage in ended.json["stages"]] == ["done"] * 3
    assert ended.err.count("total, MiB") == 2  # the table as it grows
    again = call("shrink", "--recipe", recipe, "--out", out)
    assert again.err.count("finished before, kept") == 3
    assert again.out.splitlines()[-1] == f"model: {out / '03-fake-onnx' / 'model.onnx'}"
    dry = call("shrink", "--recipe", recipe, "--out", out, "--dry-run").out
    assert "3 of 3 stages are finished" in dry


def test_a_recipes_mistake_is_said_in_full(call: Call, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, RECIPE.replace("steps", "step_s"))
    ended = call("shrink", "--recipe", recipe, "--out", tmp_path / "run")
    assert ended.code == 2
    assert ended.err == (
        f'error: {recipe}: stage "fake-train": unknown key "step_s"; did you mean "steps"?\n'
    )


def test_a_stage_in_trouble_ends_with_its_code(call: Call, tmp_path: Path, model: Path) -> None:
    ended = call("fake-slim", model, "--out", tmp_path / "out", "--fail")
    assert ended.code == 5
    assert ended.err.splitlines()[-1] == "error: backbone.weight: NaN"
    assert not (tmp_path / "out").exists()


def test_stages_are_listed_from_their_fields(call: Call) -> None:
    listed = call("stages", "fake-train", "--json").json
    assert [key["key"] for key in listed[0]["parameters"]] == ["data", "steps", "every", "rate"]
    assert listed[0]["parameters"][1] == {
        "key": "steps", "option": "--steps", "type": "int", "required": False, "default": 12,
        "minimum": 1, "maximum": 1000, "help": "how long to learn",
    }  # fmt: skip
    assert "steps: how long to learn [int, 1 to 1000, default 12]" in call("stages").out


def test_inspect_and_compare(call: Call, tmp_path: Path, model: Path) -> None:
    found = call("inspect", model, "--json").json
    assert found["bytes"] == model.stat().st_size
    assert sum(part["bytes"] for part in found["components"]) == found["bytes"]
    assert "backbone" in call("inspect", model).out
    larger = tmp_path / "larger.safetensors"
    larger.write_bytes(safetensors_bytes(b"w" * 64))
    compared = call("compare", model, larger, "--json").json
    assert compared["differences"][-1]["delta"] == 32 + (
        larger.stat().st_size - model.stat().st_size - 32
    )
    assert call("compare", model, larger).code == 0


def test_doctor(call: Call) -> None:
    found = call("doctor", "--json").json
    assert found["hcompress"] == __version__
    assert found["missing"] == []
    assert found["cpu"]["cores"] >= 1


def test_gate_fails_with_one(call: Call, tmp_path: Path, model: Path) -> None:
    limits = tmp_path / "limits.toml"
    text = f'schema_version = 1\n[[artifacts]]\npath = "{model.name}"\nmax_bytes = 10\n'
    limits.write_text(text)
    ended = call("gate", limits, "--json")
    assert ended.code == 1, ended.err
    assert ended.json["failed"] is True
    limits.write_text(text.replace("= 10", "= 1000"))
    assert call("gate", limits).code == 0


def test_tables_are_cut_and_never_cropped() -> None:
    header = ["", *(f"{n:02d}-some-stage" for n in range(9))]
    rows = [header, ["decoder attention, MiB", *("12.34" for _ in range(9))]]
    lines = table_lines(rows, 80)
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert all(name in text for name in header)
    assert text.count("decoder attention, MiB") == text.count("12.34") // 9 + 2
    wide = table_lines([["", "x" * 200], ["a", "b"]], 80)
    assert "x" * 200 in wide[0]


def test_wide_characters_take_two_cells_and_escapes_none() -> None:
    assert cells_wide("漢字ab") == 6
    lines = table_lines([["truth", "read"], ["漢字", "\x1b[31m"]], 80)
    assert "\x1b" not in "".join(lines)


def test_plain_progress_is_rate_limited_and_says_what_is_left() -> None:
    lines: list[str] = []
    now = 0.0
    progress = LineProgress(lines.append, clock=lambda: now)
    progress.start("finetune", 200, 100)
    for _ in range(100):
        now += 1.0
        progress.advance(1, "loss 0.12")
    progress.finish()
    assert lines[0] == "finetune: 102/200 (51%), 1:38 left, loss 0.12"
    assert len(lines) == 11
    assert lines[-1] == "finetune: 200 in 1:40"
    assert clock_text(3725) == "1:02:05"


def test_quick_work_says_nothing() -> None:
    lines: list[str] = []
    progress = LineProgress(lines.append, clock=lambda: 0.0)
    progress.start("x", 3)
    progress.advance(3)
    progress.finish()
    assert lines == []


def test_other_processes_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    console.say("hidden")
    console.out("hidden")
    console.table([["hidden"]])
    console.json({})
    console.progress().say("hidden")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
