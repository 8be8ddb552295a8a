"""Small pictures, made byte by byte, with and without what a logo does not need."""

from __future__ import annotations

import struct
import zlib

SECRET = b"GPS 52.5200 N 13.4050 E"
"""What a camera writes into a photograph."""


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack("!I", len(body)) + kind + body + struct.pack("!I", zlib.crc32(kind + body))


def png(width: int = 2, height: int = 2, *, extra: bytes = b"", after: bytes = b"") -> bytes:
    """Return a red PNG."""
    head = struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = min(height, 4)
    data = zlib.compress(b"".join(b"\0" + b"\xff\0\0" * width for _ in range(rows)))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + extra
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
        + after
    )


def jpeg(*, frame: int = 0xC0) -> bytes:
    """Return the skeleton of a JPEG with EXIF, a comment, and a restart marker in its scan."""
    frame_body = struct.pack("!BHHB", 8, 3, 5, 1) + b"\x01\x11\x00"
    return (
        b"\xff\xd8"
        + _segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0")
        + _segment(0xE1, b"Exif\0\0" + SECRET)
        + _segment(0xE2, b"MPF\0" + SECRET)
        + _segment(0xFE, SECRET)
        + _segment(0xDB, bytes(65))
        + _segment(frame, frame_body)
        + _segment(0xC4, bytes(20))
        + _segment(0xDA, b"\x01\x01\x00\x00\x3f\x00")
        + b"\x12\xff\x00\x34\xff\xd0\x56"
        + b"\xff\xd9"
        + SECRET
    )


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack("!H", len(body) + 2) + body


def gif() -> bytes:
    """Return a GIF of 3 x 2 pixels with a comment, an unknown application and a loop."""
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", 3, 2, 0x80, 0, 0)
        + bytes(6)
        + b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
        + b"\x21\xfe"
        + bytes((len(SECRET),))
        + SECRET
        + b"\x00"
        + b"\x21\xff\x0bXMP DataXMP\x04evil\x00"
        + b"\x21\xf9\x04\x00\x00\x00\x00\x00"
        + b"\x2c"
        + struct.pack("<HHHHB", 0, 0, 3, 2, 0)
        + b"\x02\x02\x44\x01\x00"
        + b"\x3b"
        + SECRET
    )


def webp() -> bytes:
    """Return the skeleton of a lossless WebP of 7 x 4 pixels with EXIF."""
    bits = struct.pack("<I", (7 - 1) | (4 - 1) << 14)
    head = bytes((0x08,)) + bytes(3) + (6).to_bytes(3, "little") + (3).to_bytes(3, "little")
    inner = (
        b"WEBP"
        + _riff(b"VP8X", head)
        + _riff(b"VP8L", b"\x2f" + bits + b"\0")
        + _riff(b"EXIF", SECRET)
    )
    return b"RIFF" + struct.pack("<I", len(inner)) + inner + SECRET


def _riff(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
