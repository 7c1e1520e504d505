"""Logs as lines of JSON on stderr: one an event, whatever is in it."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
import traceback
from typing import Final

_OURS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "color_message", "taskName"}
"""What every record has; all else was said with `extra`."""


class JsonLines(logging.Formatter):
    """A record as one line. What is not ASCII is an escape: no name or text can break a line or
    turn the writing round."""

    def format(self, record: logging.LogRecord) -> str:
        seconds, fraction = divmod(record.created, 1)
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        line = {
            "time": f"{when}.{int(fraction * 1000):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "pid": os.getpid(),
            **{name: value for name, value in vars(record).items() if name not in _OURS},
        }
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, default=str)


def log_as_json(level: str) -> None:
    """Have everything that this process logs come as lines of JSON on stderr, and what ends a
    thread too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its starts and ends: ours say them
    threading.excepthook = _thread_ended


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None:
        name = "?" if ended.thread is None else ended.thread.name
        logging.getLogger("hcompress.serve").critical(
            "a thread ended", exc_info=ended.exc_value, extra={"thread_name": name}
        )
