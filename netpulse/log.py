"""What NetPulse writes to standard error: one line an event, nothing a target can forge.

`text` is for people, `json` (one object a line) for collectors. Values given as `extra=` become
fields.

The watching goes on whatever becomes of the streams. A reader that went away or a full disk costs
the lines, and so does a reader that sleeps (a terminal that was halted with Ctrl-S, a collector
that hangs): to wait for it would stop everything. The next line that is taken says how many were
not.
"""

from __future__ import annotations

import io
import json
import logging
import os
import select
import sys
from datetime import UTC, datetime
from typing import TextIO

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


_AT_ONCE = 4096
"""PIPE_BUF of Linux, see pipe(7): a pipe that is ready takes so many bytes without waiting."""


class Lines(logging.Handler):
    """Writes each record as a line to a descriptor, and never waits for it."""

    def __init__(self, descriptor: int) -> None:
        """Take what is written to; it stays open."""
        super().__init__()
        self._descriptor = _unwaiting(descriptor)
        self._ready = select.poll()
        self._ready.register(self._descriptor, select.POLLOUT)
        self._lost = 0
        self._is_torn = False
        """The last line of which anything was written was written in part."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line, or drop it where nobody takes it."""
        try:
            said = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
            if self._lost:
                lost = logging.makeLogRecord(
                    {
                        "name": __name__,
                        "levelno": logging.WARNING,
                        "levelname": "WARNING",
                        "msg": f"nobody took what was written here; lines lost: {self._lost}",
                    }
                )
                end = b"\n" if self._is_torn else b""
                said = end + f"{self.format(lost)}\n".encode() + said
            left = self._write(said)
            if left < len(said):
                self._is_torn = left > 0
            self._lost = self._lost + 1 if left else 0
        except Exception:  # noqa: BLE001 - what the logging of Python itself does
            self.handleError(record)

    def _write(self, said: bytes) -> int:
        """Write as much as is taken without waiting; return how many bytes were not."""
        written = 0
        try:
            while written < len(said) and self._ready.poll(0):
                written += os.write(self._descriptor, said[written : written + _AT_ONCE])
        except OSError:  # the reader went away, or the disk is full
            return len(said) - written
        return len(said) - written


def _unwaiting(descriptor: int) -> int:
    """Return another descriptor of a terminal, which is never waited for; any other one as it is.

    A terminal is ready as soon as it takes one letter, and the rest of a line is waited for. Not to
    wait is a property of what was opened, which the shell shares with us: so it is opened anew.
    """
    if not os.isatty(descriptor):
        return descriptor
    try:
        return os.open(
            os.ttyname(descriptor), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        )
    except OSError:  # that of another user, or of another container
        return descriptor


def announce(text: str) -> None:
    """Print `text` on standard output, if somebody is there to read it."""
    _say(sys.stdout, text)


def refuse(text: str) -> None:
    """Print why the program does not start on standard error, if somebody is there to read it."""
    _say(sys.stderr, f"netpulse: {text}\n")


def _say(stream: TextIO, text: str) -> None:
    if not _takes_some(stream):
        logging.getLogger(__name__).info("%s takes nothing: nobody reads it", stream.name)
        return
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        logging.getLogger(__name__).info("%s takes nothing: %s", stream.name, error.strerror)


def _takes_some(stream: TextIO) -> bool:
    """Tell whether a few lines can be written without waiting: a supervisor's pipe outlives us, and
    may be full from the start."""
    try:
        descriptor = stream.fileno()
    except (io.UnsupportedOperation, ValueError):
        return True
    ready = select.poll()
    ready.register(descriptor, select.POLLOUT)
    return bool(ready.poll(0))


def close_streams() -> None:
    """Let go what the streams did not take: at its end Python would try once more, and count the
    failure as one of the program."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)


def configure(level: str, form: str) -> None:
    """Send the records of every logger at or above `level` to standard error as `form`."""
    handler = _handler()
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # A closed or full standard error must not stop the watching.
    logging.raiseExceptions = False
    for chatty in ("asyncio", "aiohttp", "granian", "_granian"):
        logging.getLogger(chatty).setLevel("WARNING")
    logging.captureWarnings(True)


def _handler() -> logging.Handler:
    """Return what writes to standard error; a stand-in that is no file is written to as such."""
    try:
        return Lines(sys.stderr.fileno())
    except (io.UnsupportedOperation, ValueError):
        return logging.StreamHandler(sys.stderr)


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
