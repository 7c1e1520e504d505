"""`python -m hcompress`."""

from __future__ import annotations

import sys

from hcompress.cli import main

if __name__ == "__main__":
    sys.exit(main())
