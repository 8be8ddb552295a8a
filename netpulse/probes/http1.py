"""HTTP/1.1 answers (RFC 9112), read as curl and browsers read them.

One answer on one connection that closes. Lenient where both of them are (line feeds alone, odd
header names, folded lines, a long header), strict where a body could be cut or misread without
anybody noticing. `docs/verdicts.md` lists every choice.
"""

from __future__ import annotations

import re
from typing import Protocol

HEAD_LIMIT = 262_144
"""Bytes of a status line and headers; browsers allow 256 KiB, curl 300 KB."""
MOST_HEADERS = 5_000
"""As curl has it."""
_LINE_LIMIT = 16_384
_TRAILER_LIMIT = 65_536

_STATUS = re.compile(rb"HTTP/(\d(?:\.\d)?)[ ]+(\d{3})(?!\d)", re.IGNORECASE)
_NUMBER = re.compile(r"\s*\+?(\d+)")
_SIZE = re.compile(rb"0*([0-9a-fA-F]{1,16})[ \t]*(?:;|\r?\Z)")
_SIZE_SO_FAR = re.compile(rb"[0-9a-fA-F]*[ \t]*(?:;.*|\r)?", re.DOTALL)
_BODILESS = frozenset({204, 304})


class Malformed(Exception):
    """It is not HTTP; the message says what is wrong, after "invalid HTTP answer: "."""


class Cut(Exception):
    """The connection ended before the body did."""


class Head:
    """A status line and headers, in their order; names as they were sent."""

    __slots__ = ("_named", "headers", "status", "version")

    def __init__(self, version: str, status: int, headers: tuple[tuple[str, str], ...]) -> None:
        self.version = version
        self.status = status
        self.headers = headers
        # A probe asks for half a dozen of them: the names are folded once.
        self._named: dict[str, list[str]] = {}
        for name, value in headers:
            self._named.setdefault(name.lower(), []).append(value)

    def first(self, name: str) -> str | None:
        """Return the first value of a header (`name` in lower case)."""
        values = self._named.get(name)
        return None if values is None else values[0]

    def all(self, name: str) -> list[str]:
        """Return every value of a header (`name` in lower case)."""
        return self._named.get(name, [])


def head_end(block: bytearray, searched: int) -> int:
    """Return the index behind the blank line that ends the headers, or -1; `searched` bytes were
    looked at before.
    """
    begin = max(0, searched - 3)
    crlf = block.find(b"\n\r\n", begin)
    bare = block.find(b"\n\n", begin)
    if crlf < 0 and bare < 0:
        return -1
    if bare < 0 or 0 <= crlf < bare:
        return crlf + 3
    return bare + 2


def looks_wrong(block: bytearray) -> str | None:
    """Return what is wrong with the beginning of an answer as soon as it shows, else None."""
    begin = bytes(block[:5])
    if not b"HTTP/".startswith(begin.upper()):
        return f"it begins with {shown(bytes(block[:40]))}, not with HTTP/"
    if len(block) > HEAD_LIMIT:
        return f"its headers are longer than {HEAD_LIMIT // 1024} KiB"
    return None


def parse_head(block: bytes) -> Head:
    """Read a status line and headers.

    Raises:
        Malformed: no status line, a NUL byte, too many headers.
    """
    if b"\0" in block:
        raise Malformed("it has a NUL byte in its headers")
    lines = block.split(b"\n")
    status = _STATUS.match(lines[0])
    if status is None:
        raise Malformed(f"its status line is {shown(lines[0].rstrip(bytes([13])))}")
    code = int(status[2])
    if code < 100:
        raise Malformed(f"its status is {code:03d}")
    if len(lines) > MOST_HEADERS:
        raise Malformed(f"it has more than {MOST_HEADERS} headers")
    headers: list[tuple[str, str]] = []
    for line in lines[1:]:
        text = line.removesuffix(b"\r").decode("latin-1")
        if not text:
            continue
        if text[0] in " \t":
            # A folded line (obsolete, RFC 9112, 5.2) goes on with the one before.
            if headers:
                name, value = headers[-1]
                more = text.strip(" \t")
                headers[-1] = (name, f"{value} {more}")
            continue
        name, colon, value = text.partition(":")
        if colon:
            headers.append((name.strip(" \t"), value.strip(" \t")))
    return Head(status[1].decode(), code, tuple(headers))


class Framing(Protocol):
    """Takes the bytes behind the headers apart."""

    done: bool

    def feed(self, data: bytes) -> bytes:
        """Return what `data` has of the body. Raises Malformed."""

    def end(self) -> None:
        """The connection ended. Raises Cut when the body had not."""


class Nothing:
    """No body, whatever follows."""

    done = True

    def feed(self, data: bytes) -> bytes:
        """Ignore it."""
        return b""

    def end(self) -> None:
        """That is fine."""


class UntilClose:
    """A body that ends with the connection."""

    done = False

    def feed(self, data: bytes) -> bytes:
        """Take everything."""
        return data

    def end(self) -> None:
        """That is its end."""


class Counted:
    """A body of so many bytes; what follows is ignored."""

    def __init__(self, length: int) -> None:
        self.length = length
        self._left = length
        self.done = length == 0

    def feed(self, data: bytes) -> bytes:
        """Take what belongs to it."""
        part = data[: self._left]
        self._left -= len(part)
        self.done = self._left == 0
        return part

    def end(self) -> None:
        """Complain when it is short."""
        if not self.done:
            raise Cut(f"after {self.length - self._left:,} of {self.length:,} bytes of its body")


class Chunked:
    """A body in chunks (RFC 9112, 7.1)."""

    def __init__(self) -> None:
        self.done = False
        self._held = b""
        """The beginning of a line."""
        self._left = 0
        self._state = self._size
        self._trailer = 0

    def feed(self, data: bytes) -> bytes:
        """Take the chunks apart."""
        if self._held:
            data, self._held = self._held + data, b""
        parts: list[bytes] = []
        position, size = 0, len(data)
        while position < size and not self.done:
            position = self._state(data, position, parts)
        return b"".join(parts)

    def _size(self, data: bytes, position: int, parts: list[bytes]) -> int:
        end = data.find(b"\n", position)
        if end < 0:
            rest = data[position:]
            if len(rest) > _LINE_LIMIT or not _SIZE_SO_FAR.fullmatch(rest):
                raise Malformed(f"the size of a chunk of its body is {shown(rest)}")
            self._held = rest
            return len(data)
        found = _SIZE.match(data, position, end)
        if found is None:
            line = data[position:end].removesuffix(b"\r")
            raise Malformed(f"the size of a chunk of its body is {shown(line)}")
        self._left = int(found[1], 16)
        begin = end + 1
        if self._left == 0:
            self._state = self._ending
            return begin
        # The usual chunk is here in full.
        stop = begin + self._left
        if data[stop : stop + 2] == b"\r\n":
            parts.append(data[begin:stop])
            return stop + 2
        self._state = self._content
        return begin

    def _content(self, data: bytes, position: int, parts: list[bytes]) -> int:
        part = data[position : position + self._left]
        self._left -= len(part)
        parts.append(part)
        if self._left == 0:
            self._state = self._after
        return position + len(part)

    def _after(self, data: bytes, position: int, parts: list[bytes]) -> int:
        if data[position : position + 1] == b"\n":
            self._state = self._size
            return position + 1
        if data[position : position + 2] == b"\r\n":
            self._state = self._size
            return position + 2
        if data[position:] != b"\r":
            raise Malformed("a chunk of its body is longer than it says")
        self._held = b"\r"
        return len(data)

    def _ending(self, data: bytes, position: int, parts: list[bytes]) -> int:
        """Skip the trailer, up to its blank line."""
        end = data.find(b"\n", position)
        line = data[position : end if end >= 0 else len(data)]
        if self._trailer + len(line) > _TRAILER_LIMIT:
            raise Malformed("its trailer is longer than 64 KiB")
        if end < 0:
            self._held = line
            return len(data)
        self._trailer += len(line) + 1
        self.done = line in {b"", b"\r"}
        return end + 1

    def end(self) -> None:
        """Complain: the last chunk says that it is the last."""
        if not self.done:
            raise Cut("before the last chunk of its body")


def framing(head: Head, method: str) -> Framing:
    """Return how the body behind `head` is framed (RFC 9112, 6.3).

    Raises:
        Malformed: the length is no number, or two different ones.
    """
    if method == "HEAD" or head.status in _BODILESS or head.status < 200:
        return Nothing()
    if "chunked" in transfer_codings(head):
        return Chunked()
    length = content_length(head)
    return UntilClose() if length is None else Counted(length)


def transfer_codings(head: Head) -> list[str]:
    """Return the words of Transfer-Encoding, in lower case and in their order."""
    values = head.all("transfer-encoding")
    if not values:
        return []
    joined = ",".join(values).lower()
    return [word.strip() for word in joined.split(",") if word.strip()]


def content_length(head: Head) -> int | None:
    """Return Content-Length, or None where there is none or one beyond all measure.

    Raises:
        Malformed: it is no number, or two different ones.
    """
    values = [part for value in head.all("content-length") for part in value.split(",")]
    lengths = set()
    for value in values:
        found = _NUMBER.match(value)
        if found is None:
            raise Malformed(f"its Content-Length is {shown(value.strip().encode('latin-1'))}")
        # 20 digits are more than 2**63; they are read until the end, as curl does.
        lengths.add(int(found[1]) if len(found[1]) < 20 else -1)
    if len(lengths) > 1:
        raise Malformed("it has two different Content-Lengths")
    length = lengths.pop() if lengths else None
    return None if length == -1 else length


def shown(data: bytes) -> str:
    """Return foreign bytes as a short, harmless text."""
    text = data[:40].decode("latin-1")
    clean = "".join(char if char.isprintable() else "\N{MIDDLE DOT}" for char in text)
    return f'"{clean}"' + ("…" if len(data) > 40 else "")
