"""Scene-text LMDB: `num-samples`, `image-%09d`, `label-%09d`, counted from 1."""

from __future__ import annotations

import functools
from pathlib import Path

from hcompress.data.btree import BTree
from hcompress.data.images import decode_image
from hcompress.data.sample import Label, Sample
from hcompress.errors import InputRefused
from hcompress.strict.digest import file_digest

DATA_FILE = "data.mdb"
COUNT_KEY = b"num-samples"
MAX_COUNT = 999_999_999


def image_key(number: int) -> bytes:
    return b"image-%09d" % number


def label_key(number: int) -> bytes:
    return b"label-%09d" % number


class LmdbSource:
    """The images of a scene-text LMDB folder. Writes no lock file; read-only media will do.

    Raises InputRefused where the folder is no such LMDB, or is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tree = BTree(folder / DATA_FILE)
        self._count = self._read_count()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self._count:
            raise IndexError(index)
        image, text = image_key(index + 1), self.text(index)
        return Sample(decode_image(self._value(image), f"{self._folder}: {image.decode()}"), text)

    def text(self, index: int) -> str:
        """What the label says."""
        key = label_key(index + 1)
        try:
            return self._value(key).decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputRefused(
                f"{self._folder}: {key.decode()}: not UTF-8 at byte {error.start}"
            ) from None

    def label(self, index: int) -> Label:
        """The text, and its key."""
        return Label(self.text(index), f"{self._folder}: {label_key(index + 1).decode()}")

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of data.mdb: some seconds for every ten gigabytes, once per run."""
        return file_digest(self._folder / DATA_FILE)

    def _value(self, key: bytes) -> bytes:
        value = self._tree.get(key)
        if value is None:
            raise InputRefused(
                f"{self._folder}: no {key.decode()}, though num-samples is {self._count};"
                " entries count from 1 without gaps"
            )
        return value

    def _read_count(self) -> int:
        raw = self._tree.get(COUNT_KEY)
        if raw is None:
            raise InputRefused(f"{self._folder}: no num-samples: not a scene-text LMDB")
        if not (raw.isdigit() and len(raw) <= 9 and int(raw) > 0):
            raise InputRefused(f"{self._folder}: num-samples is {raw[:20]!r}; 1 to {MAX_COUNT}")
        count = int(raw)
        if 2 * count + 1 > len(self._tree):
            raise InputRefused(
                f"{self._folder}: num-samples is {count}, but with {len(self._tree)} entries"
                f" it can't hold more than {max(0, (len(self._tree) - 1) // 2)}"
            )
        return count
