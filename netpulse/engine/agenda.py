"""The agenda: what is due when, in the order of its moments.

Not one heap: to take from it what comes first and to put it back ten seconds later is a look at two
places on each of its levels, and among ten thousand monitors most of those are places in memory
that nobody touched for seconds. Here an item is appended to the others of its fiftieth of a second,
and these are put in order when their time has come.
"""

from __future__ import annotations

import heapq

from netpulse.engine.due import Entry
from netpulse.model.time import Millis

GRAIN = 0.02
"""Seconds that are put in order together."""


Item = tuple[float, int, Entry, Millis | None]
"""A moment of the monotonic clock, a number by which items of one moment are told apart and put in
order, and what is due: a monitor's slot, or its check off the grid (None)."""


class Agenda:
    """Items by their moments."""

    def __init__(self) -> None:
        """Start empty."""
        self._by_grain: dict[int, list[Item]] = {}
        self._grains: list[int] = []
        """A heap of those that have items."""
        self._in_order: list[Item] | None = None
        """The items of the earliest grain, if they are in order: the earliest last."""

    def put(self, item: Item) -> None:
        """Put an item where its moment is."""
        grain = int(item[0] / GRAIN)
        items = self._by_grain.get(grain)
        if items is None:
            self._by_grain[grain] = [item]
            heapq.heappush(self._grains, grain)
            if self._grains[0] == grain:
                self._in_order = None
            return
        items.append(item)
        if items is self._in_order:
            self._in_order = None

    def take(self, now: float) -> Item | None:
        """Take out the earliest item, if its moment is not after `now`."""
        items = self._in_order
        if items is None:
            items = self._earliest()
            if items is None:
                return None
        if items[-1][0] > now:
            return None
        item = items.pop()
        if not items:
            del self._by_grain[heapq.heappop(self._grains)]
            self._in_order = None
        return item

    @property
    def first_at(self) -> float | None:
        """The moment of the earliest item; None where there is none."""
        items = self._earliest()
        return None if items is None else items[-1][0]

    def _earliest(self) -> list[Item] | None:
        if self._in_order is None and self._grains:
            self._in_order = self._by_grain[self._grains[0]]
            self._in_order.sort(reverse=True)
        return self._in_order
