"""Undoing content encodings a piece at a time, never further than asked: a bomb stays packed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

import brotli  # type: ignore[import-untyped]  # it ships no types

STEP = 65_536
"""Most bytes that come out of a decoder at once."""
_SLICE = 8_192
"""Bytes that a layer takes of another at once. Each empty member of gzip, of which there may be one
every 20 bytes, copies what is behind it."""
MOST_LAYERS = 5
"""Encodings on top of each other; browsers have the same limit or a lower one."""


class BadEncoding(Exception):
    """The body is not what its Content-Encoding says."""


class Decoder(Protocol):
    """One layer."""

    given: int
    """Bytes that came out of it so far."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decodes to, at most STEP bytes at a time."""


class Gzip:
    """gzip (RFC 1952): members one after the other; what follows the last is ignored."""

    name = "gzip"

    def __init__(self) -> None:
        self.given = 0
        self._inflater = zlib.decompressobj(wbits=31)
        self._over = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decodes to."""
        while data and not self._over:
            if self._inflater.eof:
                if data[:1] != b"\x1f":
                    # Padding, or garbage that browsers ignore.
                    self._over = True
                    return
                self._inflater = zlib.decompressobj(wbits=31)
            try:
                piece = self._inflater.decompress(data, STEP)
            except zlib.error as error:
                raise BadEncoding(f"its gzip data is damaged ({_why(error)})") from None
            if piece:
                yield piece
            inflater = self._inflater
            # The next member may also begin with what comes next.
            data = inflater.unused_data if inflater.eof else inflater.unconsumed_tail


class Deflate:
    """deflate: zlib's format (RFC 1950), or the bare one (RFC 1951) that some servers send."""

    name = "deflate"

    def __init__(self) -> None:
        self.given = 0
        self._inflater = zlib.decompressobj()
        self._begun = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decodes to."""
        while data and not self._inflater.eof:
            try:
                piece = self._inflater.decompress(data, STEP)
            except zlib.error as error:
                if self._begun:
                    raise BadEncoding(f"its deflate data is damaged ({_why(error)})") from None
                self._begun = True
                self._inflater = zlib.decompressobj(wbits=-15)
                continue
            if piece:
                self._begun = True
                yield piece
            data = self._inflater.unconsumed_tail


class Brotli:
    """br (RFC 7932)."""

    name = "br"

    def __init__(self) -> None:
        self.given = 0
        self._decompressor = brotli.Decompressor()

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decodes to."""
        while not self._decompressor.is_finished():
            try:
                piece: bytes = self._decompressor.process(data, output_buffer_limit=STEP)
            except brotli.error as error:
                raise BadEncoding(f"its brotli data is damaged ({error})") from None
            data = b""
            if not piece:
                return
            yield piece


DECODERS: dict[str, type[Gzip] | type[Deflate] | type[Brotli]] = {
    "gzip": Gzip,
    "x-gzip": Gzip,
    "deflate": Deflate,
    "br": Brotli,
}
ACCEPTED = "gzip, deflate, br"


def _why(error: zlib.error) -> str:
    return str(error).rpartition(": ")[2]


def layers(codings: str) -> list[Decoder]:
    """Return the decoders for a Content-Encoding, outermost first.

    A coding that is unknown is passed through, as browsers do.

    Raises:
        BadEncoding: there are too many.
    """
    words = [word.strip().lower() for word in codings.split(",")]
    found: list[Decoder] = [DECODERS[word]() for word in reversed(words) if word in DECODERS]
    if len(found) > MOST_LAYERS:
        raise BadEncoding(f"it is encoded {len(found)} times over")
    return found


def decoded(data: bytes, stack: list[Decoder]) -> Iterator[bytes]:
    """Yield what `data` decodes to through all of `stack`; stop asking and nothing more unpacks.

    Before a layer takes what another one gave b"" comes: gigabytes between the layers may decode to
    nothing in the end.
    """
    if not stack:
        yield data
        return
    for piece in stack[0].pieces(data):
        stack[0].given += len(piece)
        if len(stack) == 1:
            yield piece
            continue
        for begin in range(0, len(piece), _SLICE):
            yield b""
            yield from decoded(piece[begin : begin + _SLICE], stack[1:])
