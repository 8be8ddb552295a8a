"""Numbers side by side in one large integer, so that one addition adds to all of them.

Each has a lane of four bytes, of which it may use all bits but the highest: Python works through
such an integer at about a nanosecond a number, and through a list of them at twenty and more. A set
of lanes is a 1 in each of them.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence

LANE = 4
BITS = 8 * LANE
LARGEST = (1 << (BITS - 1)) - 1
"""The largest number that there may be in a lane."""
LARGEST_SUM = (1 << BITS) - 1
"""And the largest that numbers there may add up to."""


def joined(planes: Sequence[bytes], count: int) -> int:
    """Return `count` numbers, whose lowest bytes are the first of `planes`, and so on, in lanes."""
    cells = bytearray(LANE * count)
    for place, plane in enumerate(planes):
        cells[place::LANE] = plane
    return int.from_bytes(cells, "little")


def planes_of(lanes: int, count: int) -> list[bytes]:
    """Return the planes that `count` lanes are joined of."""
    data = lanes.to_bytes(LANE * count, "little")
    return [data[place::LANE] for place in range(LANE)]


def apart(lanes: int, count: int) -> list[int]:
    """Return the numbers that stand in `count` lanes."""
    numbers = array("I", lanes.to_bytes(LANE * count, "little"))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def ones(count: int) -> int:
    """Return the set of `count` lanes."""
    return int.from_bytes(b"\x01\x00\x00\x00" * count, "little")


def filled(some: int) -> int:
    """Return `LARGEST` in each of some lanes."""
    return (some << (BITS - 1)) - some


def larger(some: int, others: int, tops: int) -> int:
    """Return the larger one of two numbers in each lane; `tops` has the highest bit of each."""
    tops &= (some | tops) - others  # Where it is not smaller the top bit is not borrowed from.
    return others ^ ((some ^ others) & (tops - (tops >> (BITS - 1))))
