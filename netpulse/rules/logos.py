"""Pictures that people upload: read piece by piece, and put together again from what draws.

PNG (ISO/IEC 15948), JPEG (ITU-T T.81), GIF89a and WebP (RFC 9649) only; SVG is a document that can
carry scripts. What the picture does not need (the place where a photograph was taken, comments,
whatever stands behind its end) is left out. The pixels themselves are not decoded: that is the
reader's browser's work, which is why their number is bounded.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

MOST_BYTES = 256 * 1024
MOST_SIDE = 4_096
MOST_PIXELS = 4_000_000

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT"}
)
_JPEG_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive: what browsers draw."""
_JPEG_KEPT = frozenset({0xDB, 0xC4, 0xDD, 0xDA, 0xE0, 0xE2, 0xEE}) | _JPEG_FRAMES
"""Tables, restart interval, scans, JFIF, ICC profile, and Adobe's word on the colours."""
_WEBP_KEPT = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"})
_WEBP_FLAGS = 0xFF ^ 0x08 ^ 0x04
"""Without those that announce EXIF and XMP."""


class Picture(Struct, frozen=True):
    """A picture that may be served."""

    media_type: str
    body: bytes
    width: int
    height: int


class PictureRefused(ValueError):
    """It is no picture that may be served; the text says why."""


def picture(data: bytes) -> Picture:
    """Return the picture in `data` without what it does not need.

    Raises:
        PictureRefused: it is too large, none of the formats, or broken.
    """
    if len(data) > MOST_BYTES:
        raise PictureRefused(f"is larger than {MOST_BYTES // 1024} KiB")
    for begins, read in _READERS:
        if begins(data):
            try:
                found = read(data)
            except IndexError:
                raise PictureRefused("is cut short") from None
            break
    else:
        raise PictureRefused("is neither PNG, JPEG, GIF nor WebP")
    if not (0 < found.width <= MOST_SIDE and 0 < found.height <= MOST_SIDE):
        raise PictureRefused(f"is wider or higher than {MOST_SIDE} pixels, or empty")
    if found.width * found.height > MOST_PIXELS:
        raise PictureRefused(f"has more than {MOST_PIXELS // 1_000_000} million pixels")
    return found


class _Bytes:
    """A place in some bytes; taking more than there is raises IndexError."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise IndexError
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, count: int, order: Literal["big", "little"] = "big") -> int:
        return int.from_bytes(self.take(count), order)

    @property
    def is_at_end(self) -> bool:
        return self.at >= len(self.data)


def _png(data: bytes) -> Picture:
    source = _Bytes(data)
    out = [source.take(8)]
    width = height = 0
    drawn = False
    while True:
        length = source.number(4)
        kind = source.take(4)
        body = source.take(length)
        check = source.number(4)
        if zlib.crc32(kind + body) != check:
            raise PictureRefused("is damaged: a checksum does not fit")
        if len(out) == 1:
            if kind != b"IHDR" or length != 13:
                raise PictureRefused("is damaged: it does not begin as a PNG does")
            width, height = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
        drawn = drawn or kind == b"IDAT"
        if kind in _PNG_KEPT:
            out += [length.to_bytes(4, "big"), kind, body, check.to_bytes(4, "big")]
        if kind == b"IEND":
            break
    if not drawn:
        raise PictureRefused("is damaged: there is no picture in it")
    return Picture("image/png", b"".join(out), width, height)


def _jpeg(data: bytes) -> Picture:
    source = _Bytes(data)
    out = [source.take(2)]
    width = height = 0
    drawn = False
    while True:
        if source.number(1) != 0xFF:
            raise PictureRefused("is damaged: a marker is missing")
        marker = source.number(1)
        while marker == 0xFF:  # fill bytes
            marker = source.number(1)
        if marker == 0xD9:
            out.append(b"\xff\xd9")
            break
        if marker == 0x01 or 0xD0 <= marker <= 0xD8 or marker == 0:
            raise PictureRefused("is damaged: a marker is out of place")
        length = source.number(2)
        body = source.take(length - 2)
        if marker in _JPEG_FRAMES:
            height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
        elif 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            raise PictureRefused("is a kind of JPEG that browsers do not draw")
        if marker == 0xE2 and not body.startswith(b"ICC_PROFILE\0"):
            continue
        if marker in _JPEG_KEPT:
            out += [bytes((0xFF, marker)), length.to_bytes(2, "big"), body]
        if marker == 0xDA:
            drawn = True
            out.append(_scan(source))
    if not drawn:
        raise PictureRefused("is damaged: there is no picture in it")
    return Picture("image/jpeg", b"".join(out), width, height)


def _scan(source: _Bytes) -> bytes:
    """Take what follows a scan's header: up to a marker that is neither stuffing nor a restart."""
    start = at = source.at
    data = source.data
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            raise IndexError
        if data[at + 1] == 0 or 0xD0 <= data[at + 1] <= 0xD7:
            at += 2
            continue
        source.at = at
        return data[start:at]


def _gif(data: bytes) -> Picture:
    source = _Bytes(data)
    out = [source.take(6)]
    screen = source.take(7)
    width, height = int.from_bytes(screen[:2], "little"), int.from_bytes(screen[2:4], "little")
    out += [screen, _table(source, screen[4])]
    drawn = False
    while True:
        kind = source.number(1)
        if kind == 0x3B:
            out.append(b"\x3b")
            break
        if kind == 0x21:
            label = source.take(1)
            blocks = _blocks(source)
            # Timing and transparency, and how often it is shown again.
            if label == b"\xf9" or (label == b"\xff" and blocks[1:12] == b"NETSCAPE2.0"):
                out += [b"\x21", label, blocks]
        elif kind == 0x2C:
            frame = source.take(9)
            out += [b"\x2c", frame, _table(source, frame[8]), source.take(1), _blocks(source)]
            drawn = True
        else:
            raise PictureRefused("is damaged: a block is unknown")
    if not drawn:
        raise PictureRefused("is damaged: there is no picture in it")
    return Picture("image/gif", b"".join(out), width, height)


def _table(source: _Bytes, flags: int) -> bytes:
    return source.take(3 << (flags & 7) + 1) if flags & 0x80 else b""


def _blocks(source: _Bytes) -> bytes:
    start = source.at
    while (size := source.number(1)) != 0:
        source.take(size)
    return source.data[start : source.at]


def _webp(data: bytes) -> Picture:
    source = _Bytes(data)
    source.take(4)
    whole = source.number(4, "little")
    source.take(4)
    source.data = data[: 8 + whole]
    out: list[bytes] = []
    size: tuple[int, int] | None = None
    drawn = False
    while not source.is_at_end:
        kind = source.take(4)
        length = source.number(4, "little")
        body = source.take(length)
        if length % 2 and not source.is_at_end:
            source.take(1)
        if kind == b"VP8X":
            body = bytes((body[0] & _WEBP_FLAGS,)) + body[1:]
        drawn = drawn or kind in {b"VP8 ", b"VP8L", b"ANMF"}
        size = size or _webp_size(kind, body)
        if kind in _WEBP_KEPT:
            out += [kind, len(body).to_bytes(4, "little"), body, b"\0" * (len(body) % 2)]
    if size is None or not drawn:
        raise PictureRefused("is damaged: there is no picture in it")
    inner = b"WEBP" + b"".join(out)
    return Picture("image/webp", b"RIFF" + len(inner).to_bytes(4, "little") + inner, *size)


def _webp_size(kind: bytes, body: bytes) -> tuple[int, int] | None:
    source = _Bytes(body)
    if kind == b"VP8X":
        source.take(4)
        return source.number(3, "little") + 1, source.number(3, "little") + 1
    if kind == b"VP8 ":
        if source.take(6)[3:] != b"\x9d\x01\x2a":
            raise PictureRefused("is damaged: it does not begin with a key frame")
        return source.number(2, "little") & 0x3FFF, source.number(2, "little") & 0x3FFF
    if kind == b"VP8L":
        source.take(1)
        bits = source.number(4, "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


_READERS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Picture]], ...] = (
    (lambda data: data.startswith(_PNG), _png),
    (lambda data: data.startswith(b"\xff\xd8\xff"), _jpeg),
    (lambda data: data.startswith((b"GIF87a", b"GIF89a")), _gif),
    (lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", _webp),
)
