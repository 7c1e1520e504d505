"""Tests: folders mirror the package's; what several need lies here."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
