"""Numbers in as few bits as most of them need; the few that are larger stand beside them.

An hour of one monitor has too few checks for a compressor to learn anything from: its tables would
cost more than they save. Latencies that vary by a tenth fill their range evenly enough for this to
come within half a bit a number of what is possible at all.
"""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

_LANE = 32
"""Bits of a lane of its own that a number is moved to, to be told apart."""
_MOST = 256
"""Numbers that are moved at most: a power of two."""


class Squeezed(NamedTuple):
    """Numbers of which each has its low `width` bits in `data`."""

    width: int
    larger: list[tuple[int, int]]
    """(place, what is left of the number above those bits), ascending by place."""
    data: bytes


def squeeze(numbers: Sequence[int]) -> Squeezed:
    """Return `numbers` (none negative) in the width at which they take the fewest bytes."""
    lengths = [number.bit_length() for number in numbers]
    width = _best_width(lengths)
    larger = [(place, numbers[place] >> width) for place, n in enumerate(lengths) if n > width]
    if not width:
        return Squeezed(0, larger, b"")
    mask = (1 << width) - 1
    form = f"0{width}b"
    digits = "".join([format(number & mask, form) for number in numbers])
    return Squeezed(width, larger, int(digits, 2).to_bytes(length_of(width, len(numbers)), "big"))


def spread(squeezed: Squeezed, count: int) -> list[int]:
    """Return the `count` numbers that were squeezed."""
    width, larger, data = squeezed
    if not width:
        numbers = [0] * count
    elif width <= _LANE and count <= _MOST:
        numbers = _apart(int.from_bytes(data, "big"), width, count)
    else:
        digits = format(int.from_bytes(data, "big"), f"0{count * width}b")
        numbers = [int(digits[at : at + width], 2) for at in range(0, count * width, width)]
    for place, rest in larger:
        numbers[place] |= rest << width
    return numbers


def _apart(together: int, width: int, count: int) -> list[int]:
    """Return the numbers that stand in `together` without a gap, the first one highest.

    Their upper half is moved away from the lower one, then the upper half of each half, and so on,
    until each has a lane.
    """
    for half, upper in _upper_halves(width):
        if half < count:
            moved = together & upper
            together ^= moved ^ moved << half * (_LANE - width)
    numbers = array("I", together.to_bytes(_LANE // 8 * count, "big"))
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers.tolist()


@cache
def _upper_halves(width: int) -> list[tuple[int, int]]:
    """Return how many numbers half of them are, and the bits of each upper half, step by step."""
    found = []
    half = _MOST
    while half > 1:
        half //= 2
        lower = (1 << half * width) - 1
        each = (lower << half * width).to_bytes(2 * half * _LANE // 8, "little")
        found.append((half, int.from_bytes(each * (_MOST // (2 * half)), "little")))
    return found


def length_of(width: int, count: int) -> int:
    """Return how many bytes `count` numbers of `width` bits take."""
    return (width * count + 7) // 8


def _best_width(lengths: Sequence[int]) -> int:
    """Return the width at which numbers of these lengths (in bits) take the fewest bytes."""
    longest = max(lengths)
    of = Counter(lengths)
    best, least, beside = longest, length_of(longest, len(lengths)), 0
    for width in range(longest - 1, -1, -1):
        beside += of[width + 1]
        # Its place and its rest, seven bits a byte.
        cost = length_of(width, len(lengths)) + beside * (1 + (longest - width + 6) // 7)
        if cost < least:
            best, least = width, cost
    return best
