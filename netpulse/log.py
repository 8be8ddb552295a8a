"""What NetPulse writes to standard error: one line an event, nothing a target can forge.

`text` is for people, `json` (one object a line) for collectors. Values given as `extra=` become
fields.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str, form: str) -> None:
    """Send the records of every logger at or above `level` to standard error as `form`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # A closed or full standard error must not stop the watching.
    logging.raiseExceptions = False
    for chatty in ("asyncio", "aiohttp", "granian", "_granian"):
        logging.getLogger(chatty).setLevel("WARNING")
    logging.captureWarnings(True)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _OWN}


def _when(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(record.msecs):03d}Z"


class TextLines(logging.Formatter):
    """`2026-01-01T12:00:00.000Z INFO engine: 12 monitors loaded (took_ms=3)`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line (a traceback adds its own, indented)."""
        name = record.name.removeprefix("netpulse.")
        text = f"{_when(record)} {record.levelname} {name}: {_one_line(record.getMessage())}"
        fields = _fields(record)
        if fields:
            inner = " ".join(f"{key}={_one_line(str(value))}" for key, value in fields.items())
            text += f" ({inner})"
        if record.exc_info:
            # An error's own words may come from a target or a stranger.
            for line in self.formatException(record.exc_info).split("\n"):
                text += f"\n  {_one_line(line)}"
        return text


class JsonLines(logging.Formatter):
    """`{"at": …, "level": …, "logger": …, "message": …, …}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one JSON object."""
        entry: dict[str, object] = {
            "at": _when(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update(_fields(record))
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def _one_line(text: str) -> str:
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
