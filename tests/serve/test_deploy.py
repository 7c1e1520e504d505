"""The container's files: as much as can be known of them without building anything."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT

DEPLOY = ROOT / "deploy"
yaml = pytest.importorskip("yaml")


def loaded(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def test_the_image_is_slim_and_not_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["python:${PYTHON}-slim"] * 2
    last = text.rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d*$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert "/healthz" in last
    assert "-c constraints.txt" in text


def test_what_the_build_needs_is_in_its_context() -> None:
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    named = [line[1:] for line in lines if line.startswith("!")]
    assert {"hcompress", "recipes", "pyproject.toml", "constraints.txt", "README.md"} <= set(named)
    assert all((ROOT / name).exists() for name in named)


def test_the_compose_file_starts_what_prometheus_asks() -> None:
    compose = loaded("compose.yaml")
    serve = compose["services"]["serve"]
    assert (DEPLOY / serve["build"]["context"] / serve["build"]["dockerfile"]).is_file()
    assert serve["read_only"] is True
    assert serve["cap_drop"] == ["ALL"]
    for mount in compose["services"]["prometheus"]["volumes"]:
        source = Path(mount.split(":")[0])
        assert (DEPLOY / source).is_file() or str(source) in compose["volumes"]
    (job,) = loaded("prometheus.yml")["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["serve:8000"]}]


def test_alerts_ask_for_metrics_that_there_are() -> None:
    source = (ROOT / "hcompress" / "serve" / "metrics.py").read_text(encoding="utf-8")
    (group,) = loaded("alerts.yml")["groups"]
    asked = {name for rule in group["rules"] for name in re.findall(r"hcompress_\w+", rule["expr"])}
    for name in asked:
        assert f'"{re.sub("_(total|bucket)$", "", name)}"' in source
