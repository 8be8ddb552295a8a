"""Lanes: what is told of one monitor on one channel, in the order in which it was begun."""

from __future__ import annotations

from collections.abc import Iterable

from netpulse.model.ids import Id

Lane = tuple[Id, Id | None]
"""A channel and a monitor."""


class Lanes:
    """The numbers of what is in each lane, the earliest first. A digest is in several."""

    def __init__(self) -> None:
        """Begin with all of them free."""
        self._numbers: dict[Lane, list[int]] = {}

    @property
    def busy(self) -> frozenset[Lane]:
        """Those with something in them."""
        return frozenset(self._numbers)

    def enter(self, number: int, lanes: Iterable[Lane]) -> None:
        """Go in behind all others."""
        for lane in lanes:
            self._numbers.setdefault(lane, []).append(number)

    def leave(self, number: int, lanes: Iterable[Lane]) -> None:
        """Make way for those behind."""
        for lane in lanes:
            numbers = self._numbers[lane]
            numbers.remove(number)
            if not numbers:
                del self._numbers[lane]

    def is_first(self, number: int, lanes: Iterable[Lane]) -> bool:
        """Tell whether nothing earlier is in any of these lanes."""
        return all(self._numbers[lane][0] == number for lane in lanes)
