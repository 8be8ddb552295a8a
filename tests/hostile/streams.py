"""Hosts that are slow, silent, or never come to an end."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import AsyncIterator

import brotli

from tests.hostile.http import CHUNKED, HELLO, OK, encoded
from tests.hostile.rows import Chapter, Row, http, tcp
from tests.servers import Exchange, answer, black_hole, free_port, linger

SOON = {"timeout_seconds": 1}
"""For those who let every check wait until its deadline."""


async def silent(exchange: Exchange) -> None:
    """Say nothing."""
    await exchange.hang()


async def half_a_head(exchange: Exchange) -> None:
    """Begin the headers, and stop."""
    await exchange.send(OK + b"X: 1\r\n")
    await exchange.hang()


async def dripped_head(exchange: Exchange) -> None:
    """A byte of a header at a time."""
    await exchange.drip(OK + b"X: " + b"a" * 500)


async def dripped_body(exchange: Exchange) -> None:
    """A byte of the body at a time."""
    await exchange.send(OK + b"Content-Length: 500\r\n\r\n")
    await exchange.drip(b"a" * 500)


async def endless_chunks(exchange: Exchange) -> None:
    """Small chunks, slowly, for ever."""
    await exchange.send(CHUNKED)
    await exchange.drip(b"1\r\na\r\n" * 500, 0.01)


async def endless_interim(exchange: Exchange) -> None:
    """1xx for ever."""
    while True:
        await exchange.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 10)


async def endless_head(exchange: Exchange) -> None:
    """Headers for ever."""
    await exchange.send(OK)
    while True:
        await exchange.send(b"X: 1\r\n" * 1_000)


async def endless_trailer(exchange: Exchange) -> None:
    """Trailers for ever, after a whole body."""
    await exchange.send(CHUNKED + b"5\r\nhello\r\n0\r\n")
    while True:
        await exchange.send(b"X: 1\r\n" * 1_000)


async def stalled_body(exchange: Exchange) -> None:
    """A part of the body, and silence."""
    await exchange.send(OK + b"Content-Length: 5000\r\n\r\n" + b"a" * 1234)
    await exchange.hang()


async def stalled_chunk(exchange: Exchange) -> None:
    """A part of a chunk, and silence."""
    await exchange.send(CHUNKED + b"50\r\nhello")
    await exchange.hang()


async def silent_after_interim(exchange: Exchange) -> None:
    """100, and silence."""
    await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    await exchange.hang()


async def open_after_the_body(exchange: Exchange) -> None:
    """A whole answer, on a connection that is kept."""
    await exchange.send(OK + HELLO)
    await exchange.hang()


async def slow_but_whole(exchange: Exchange) -> None:
    """Half a second for an answer."""
    await asyncio.sleep(0.5)
    await exchange.send(OK + HELLO)


async def reset_at_once(exchange: Exchange) -> None:
    """Reset instead of an answer."""
    exchange.reset()


async def reset_in_the_head(exchange: Exchange) -> None:
    """Reset among the headers."""
    await exchange.send(OK)
    await asyncio.sleep(0.05)
    exchange.reset()


async def reset_in_the_body(exchange: Exchange) -> None:
    """Reset in a body whose end nobody can tell."""
    await exchange.send(OK + b"\r\nhello")
    await asyncio.sleep(0.05)
    exchange.reset()


async def reset_after_the_body(exchange: Exchange) -> None:
    """Reset after a whole answer."""
    await exchange.send(answer(200, body=b"done"))
    await asyncio.sleep(0.05)
    exchange.reset()


async def reset_unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reset before the request is read."""
    linger(writer)
    writer.transport.abort()


async def endless_body(exchange: Exchange) -> None:
    """A body as fast as it goes, for ever."""
    await exchange.send(OK + b"\r\nneedle")
    while True:
        await exchange.send(b"a" * 65_536)


async def endless_gzip(exchange: Exchange) -> None:
    """Zeros in gzip, for ever."""
    packer = zlib.compressobj(wbits=31)
    await exchange.send(OK + b"Content-Encoding: gzip\r\n\r\n")
    while True:
        await exchange.send(packer.compress(bytes(1 << 20)))
        await asyncio.sleep(0)


async def one_byte_chunks(exchange: Exchange) -> None:
    """Chunks of one byte, as fast as it goes, for ever."""
    await exchange.send(CHUNKED)
    while True:
        await exchange.send(b"1\r\na\r\n" * 10_000)


async def endless_nothing(exchange: Exchange) -> None:
    """gzip that never yields a byte."""
    await exchange.send(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"")[:10])
    while True:
        await exchange.send(b"\x00\x00\x00\xff\xff" * 10_000)


@contextlib.asynccontextmanager
async def full_backlog() -> AsyncIterator[str]:
    """A listener that takes no more connections."""
    with black_hole() as port:
        await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}/"


@contextlib.asynccontextmanager
async def nobody() -> AsyncIterator[str]:
    """A port on which nothing listens."""
    yield f"http://127.0.0.1:{free_port()}/"


BOMB = gzip.compress(bytes(200 << 20), 9)
DOUBLE_BOMB = gzip.compress(BOMB, 9)
DEFLATE_BOMB = zlib.compress(bytes(64 << 20), 9)
BROTLI_BOMB = brotli.compress(bytes(64 << 20), quality=1)
_MANY_NOTHINGS = gzip.compress(gzip.compress(b"") * 500_000, 9)
HOLLOW_BOMB = gzip.compress(_MANY_NOTHINGS * 100, 9)
"""4 KiB: a gigabyte of gzip members between its layers, and not a byte in them."""

BOMBS = (
    ("infinite body", endless_body),
    ("infinite gzip", endless_gzip),
    ("chunks of one byte, for ever", one_byte_chunks),
    ("gzip of nothing, for ever", endless_nothing),
    ("gzip bomb of 200 MiB", encoded("gzip", BOMB)),
    ("bomb in a bomb", encoded("gzip, gzip", DOUBLE_BOMB)),
    ("deflate bomb of 64 MiB", encoded("deflate", DEFLATE_BOMB)),
    ("brotli bomb of 64 MiB", encoded("br", BROTLI_BOMB)),
    ("8 MiB body", answer(200, body=bytes(8 << 20))),
    ("a gigabyte of nothing in a bomb", encoded("gzip, gzip, gzip", HOLLOW_BOMB)),
)

_LATE = "down timeout"
_ENDLESS = frozenset(name for name, _ in BOMBS[:4])
_WAITS = "it reads to the end, which never comes, and gives up at its deadline"

CHAPTERS = (
    Chapter(
        "Silent and slow",
        "The deadline is ours, and the detail names the phase in which it struck.",
        (
            Row(
                "silence",
                http(silent),
                _LATE,
                "first_byte",
                fields=SOON,
                words=", waiting for the first byte",
            ),
            Row("silence after a 100", http(silent_after_interim), _LATE, "headers", fields=SOON),
            Row("half the headers, and silence", http(half_a_head), _LATE, "headers", fields=SOON),
            Row(
                "dripped headers",
                http(dripped_head),
                _LATE,
                "headers",
                fields=SOON,
                words=", waiting for the end of the headers",
            ),
            Row(
                "dripped body",
                http(dripped_body),
                _LATE,
                "body",
                fields=SOON,
                words=" of 500 bytes so far)",
            ),
            Row(
                "stalled body",
                http(stalled_body),
                _LATE,
                "body",
                fields=SOON,
                words=", waiting for the rest of the body (1,234 of 5,000 bytes so far)",
            ),
            Row("stalled chunk", http(stalled_chunk), _LATE, "body", fields=SOON),
            Row(
                "slow chunks for ever",
                http(endless_chunks),
                _LATE,
                "body",
                fields=SOON,
                words=" bytes so far)",
            ),
            Row(
                "1xx for ever",
                http(endless_interim),
                _LATE,
                "headers",
                fields=SOON,
                words=" interim answers (1xx) and no final one",
            ),
            Row(
                "a full backlog",
                full_backlog,
                _LATE,
                "connect",
                fields=SOON,
                words="no answer within 1 s: connecting to {at}",
            ),
            Row("an answer within the deadline", http(slow_but_whole), "up", fields=SOON),
            Row("kept open after the body", http(open_after_the_body), "up", fields=SOON),
        ),
    ),
    Chapter(
        "Refused and reset",
        "What the far side did is told, and where in the answer.",
        (
            Row("nobody listens", nobody, "down refused", words="connection refused by {at}"),
            Row(
                "reset at once",
                http(reset_at_once),
                "down reset",
                "first_byte",
                words="127.0.0.1 reset the connection instead of answering",
            ),
            Row("reset before the request", tcp(reset_unread, "http"), "down reset", "first_byte"),
            Row(
                "reset in the headers",
                http(reset_in_the_head),
                "down reset",
                "headers",
                words="127.0.0.1 reset the connection in the middle of its headers",
            ),
            Row(
                "reset in the body",
                http(reset_in_the_body),
                "down reset",
                "body",
                words="127.0.0.1 reset the connection in the middle of its body",
            ),
            Row("reset after the body", http(reset_after_the_body), "up"),
        ),
    ),
    Chapter(
        "Without end",
        "Decided on the first 1 MiB, decoded; neither memory nor the other checks suffer.",
        (
            *(
                Row(
                    name,
                    http(script),
                    "up",
                    curl=f"is down: {_WAITS}" if name in _ENDLESS else "",
                    blackbox=f"is down: {_WAITS}" if name in _ENDLESS else "",
                )
                for name, script in BOMBS
            ),
            Row("headers for ever", http(endless_head), "down protocol"),
            Row("trailers for ever", http(endless_trailer), "down protocol"),
        ),
    ),
)
