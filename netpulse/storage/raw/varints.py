"""Whole numbers of any size in as few bytes as they need: seven bits each, the lowest first."""

from __future__ import annotations


def write(out: bytearray, value: int) -> None:
    """Append a number that is not negative."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def write_signed(out: bytearray, value: int) -> None:
    """Append a number, the sign in its lowest bit."""
    write(out, value << 1 if value >= 0 else (-value << 1) - 1)


def read(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that `write` wrote at `at`, and where it ends.

    Raises:
        IndexError: it has no end.
    """
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def read_signed(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that `write_signed` wrote at `at`, and where it ends.

    Raises:
        IndexError: it has no end.
    """
    value, at = read(data, at)
    return (value >> 1 if not value & 1 else -((value + 1) >> 1)), at
