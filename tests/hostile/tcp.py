"""Listeners that are no web servers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.hostile.rows import Chapter, Row, fixed, tcp
from tests.servers import free_port, linger

BANNER = b"220 mail.example ready\r\n"
SOON = {"timeout_seconds": 1}


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say it again, louder."""
    while data := await reader.read(1024):
        writer.write(data.upper())
        await writer.drain()
    writer.close()


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close at once."""
    writer.close()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reset after a moment."""
    await asyncio.sleep(0.05)
    linger(writer)
    writer.transport.abort()


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte of the greeting at a time."""
    for byte in BANNER:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.005)
    await reader.read()


async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The wrong letter, for ever."""
    while True:
        writer.write(b"a" * 65_536)
        await writer.drain()
        await asyncio.sleep(0)


async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The expected text across the 64 KiB."""
    writer.write(b"a" * 65_532 + b"needle")
    await writer.drain()
    await reader.read()


@contextlib.asynccontextmanager
async def nobody() -> AsyncIterator[str]:
    """A port on which nothing listens."""
    yield f"127.0.0.1:{free_port()}"


WORDS = {
    "greets with something else": 'answered "220 mail.example ready',
    "closes without a greeting": 'answered nothing, expected "220"',
    "floods": "in the first 64 KiB",
    "says it too late": "in the first 64 KiB",
    "resets without a greeting": "reset the connection after 0 bytes of answer",
    "is silent": ", waiting for the first byte",
    "is silent to TLS": ", waiting for the TLS handshake",
    "speaks no TLS": "does not speak TLS on this port",
    "answers when it must not": "invert is set",
}


def _row(name: str, script: object, said: str, detail: str | None = None, **fields: object) -> Row:
    words = WORDS.get(name, "")
    every = {**SOON, **fields}
    return Row(name, tcp(script), said, detail, kind="tcp", fields=every, words=words)


CHAPTERS = (
    Chapter(
        "TCP",
        "Up when the connection stands; with `expect`, when that text is in the first 64 KiB.",
        (
            _row("accepts and is silent", None, "up"),
            _row("accepts and closes", closes, "up"),
            _row("greets", BANNER, "up", expect="220 "),
            _row("greets byte by byte", drips, "up", expect="ready"),
            _row("answers what was sent", echo, "up", send="ping\r\n", expect="PING"),
            _row("answers what is not ASCII", echo, "up", send="käse", expect="K"),
            _row("greets with something else", BANNER, "down mismatch", expect="250 "),
            _row("closes without a greeting", closes, "down mismatch", expect="220"),
            _row("floods", floods, "down mismatch", expect="b"),
            _row("says it too late", late, "down mismatch", expect="needle"),
            _row("resets without a greeting", resets, "down reset", "first_byte", expect="220"),
            _row("is silent", None, "down timeout", "first_byte", expect="220"),
            _row("answers when it must not", None, "down mismatch", "inverted", invert=True),
            _row("is silent to TLS", None, "down timeout", "tls", tls=True),
            _row("speaks no TLS", BANNER, "down tls_handshake", "not_tls", tls=True),
            Row("refuses", nobody, "down refused", kind="tcp", words="connection refused by {at}"),
            Row("must refuse and does", nobody, "up", kind="tcp", fields={"invert": True}),
            Row(
                "cloud metadata",
                fixed("169.254.169.254:80"),
                "down blocked",
                kind="tcp",
                blackbox="dials it, and is up in a cloud: it has no list of such addresses",
            ),
            Row("multicast", fixed("224.0.0.1:80"), "down blocked", kind="tcp"),
        ),
    ),
)
