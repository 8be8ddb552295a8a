"""Turns: who is looked at where there are too many to look at all of them at a time."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection

from netpulse.model.ids import Id


class Turns:
    """Groups that stay as they are: what was told of some together is told again together."""

    def __init__(self, shuffle: Callable[[list[dict[Id, None]]], None] = random.shuffle) -> None:
        """Begin with nobody; `shuffle` makes the order of a round."""
        self._groups: list[dict[Id, None]] = []
        self._shuffle = shuffle
        self._left: list[dict[Id, None]] = []
        """Those that have their turn later in this round."""

    def next(self, waiting: Collection[Id], most: int) -> list[Id]:
        """Return the up to `most` whose turn it is.

        Who waits no more leaves his group, and who is new joins one with room.
        """
        for group in self._groups:
            for gone in [one for one in group if one not in waiting]:
                del group[gone]
        self._groups = [group for group in self._groups if group]
        known = set().union(*self._groups)
        for one in waiting:
            if one not in known:
                self._with_room(most)[one] = None
        self._left = [group for group in self._left if group]
        if not self._left:
            # In another order each time: a channel may be told something each half minute, and that
            # must not always fall to the same group.
            self._left = self._groups.copy()
            self._shuffle(self._left)
        return list(self._left.pop()) if self._left else []

    def _with_room(self, most: int) -> dict[Id, None]:
        for group in self._groups:
            if len(group) < most:
                return group
        self._groups.append({})
        return self._groups[-1]
