"""Bytes as people write them: exact, and nothing else."""

from __future__ import annotations

import pytest

from hcompress.strict.units import bytes_at_least, bytes_at_most


@pytest.mark.parametrize(
    ("text", "most", "least"),
    [
        ("3.9 MiB", 4_089_446, 4_089_447),
        ("512 KB", 512_000, 512_000),
        ("512kB", 512_000, 512_000),
        ("1_000", 1000, 1000),
        ("0 B", 0, 0),
        (" 2 GiB ", 2 << 30, 2 << 30),
        ("0.1 KiB", 102, 103),
        ("7 bytes", 7, 7),
        ("1.5 TB", 1_500_000_000_000, 1_500_000_000_000),
    ],
)
def test_units(text: str, most: int, least: int) -> None:
    assert (bytes_at_most(text), bytes_at_least(text)) == (most, least)


@pytest.mark.parametrize(
    "text",
    ["", "MiB", "-1 MiB", "1e5", "3,9 MiB", "3.9 Mib", "3.9 mb", "nan", "1 MiB 2", "٣ MiB", "1..2",
     ".5 MiB", "+1", "0x10", "1 M", "9" * 40],
)  # fmt: skip
def test_what_is_no_number_of_bytes(text: str) -> None:
    assert bytes_at_most(text) is None
