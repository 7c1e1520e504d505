"""The benchmark's answer as tables for people. Measures nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Rows = list[list[str]]
MIB: Final = 2**20


def tables(result: Mapping[str, Any]) -> Iterator[tuple[str, Rows]]:
    """A title and its rows, header first, for each part."""
    yield "the head alone, µs a query (times faster than softmax)", head_rows(result["head"])
    yield "the search alone, µs a query", search_rows(result["search"])
    yield "whole images, ms a batch (times faster than softmax)", image_rows(result["image"])
    yield "from the file to the first text", load_rows(result["load"])
    yield "cost growth: one query's head, and the file", growth_rows(result["growth"])


def head_rows(entries: Sequence[Mapping[str, Any]]) -> Rows:
    rows = [["d", "n", "softmax", "native", "portable"]]
    return rows + [
        [str(e["d"]), str(e["n"]), number(e["softmax_us"]), *_faster(e, "us", "native", "portable")]
        for e in entries
    ]


def search_rows(entries: Sequence[Mapping[str, Any]]) -> Rows:
    rows = [["n", "native", "faiss", "the limit", "faiss / native", "native / limit"]]
    return rows + [
        [
            str(entry["n"]),
            *(number(entry[f"{name}_us"]) for name in ("native", "faiss", "limit")),
            *(number(entry["ratios"].get(pair)) for pair in ("faiss/native", "native/limit")),
        ]
        for entry in entries
    ]


def image_rows(entries: Sequence[Mapping[str, Any]]) -> Rows:
    rows = [["batch", "steps", "softmax", "Hamming, native", "Hamming, plain", "RapidOCR"]]
    return rows + [
        [
            str(entry["batch"]),
            str(entry["steps"]),
            number(entry["softmax_ms"]),
            *_faster(entry, "ms", "hamming", "portable"),
            number(entry["rapidocr_ms"]),
        ]
        for entry in entries
    ]


def load_rows(entry: Mapping[str, Any]) -> Rows:
    rows = [["", "ms", "memory, MiB", "file, MiB"]]
    return rows + [
        [
            name,
            number(entry[f"{name}_ms"]),
            f"+{entry[f'{name}_mib']:.1f}",
            _mib(entry[f"{name}_bytes"]),
        ]
        for name in ("softmax", "hamming")
    ]


def growth_rows(entries: Sequence[Mapping[str, Any]]) -> Rows:
    rows = [["characters", "softmax, µs", "native, µs", "softmax, MiB", "Hamming, MiB"]]
    return rows + [
        [
            f"{entry['characters']:,}",
            number(entry["softmax_us"]),
            number(entry["native_us"]),
            _mib(entry["softmax_bytes"]),
            _mib(entry["hamming_bytes"]),
        ]
        for entry in entries
    ]


def _faster(entry: Mapping[str, Any], unit: str, *names: str) -> list[str]:
    """Figures with how many times faster than the softmax they are."""
    return [
        f"{number(entry[f'{name}_{unit}'])} ({entry['ratios'][f'softmax/{name}']:.2f}x)"
        for name in names
    ]


def number(value: float | None) -> str:
    """Three digits, or a dash for what was left out."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _mib(size: int) -> str:
    return f"{size / MIB:.2f}"
