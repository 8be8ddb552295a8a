"""Turns: who is looked at where there are too many to look at all of them at a time."""

from __future__ import annotations

from collections.abc import Collection

from netpulse.model.ids import Id


class Turns:
    """Groups that stay as they are: what was told of some together is told again together."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._groups: list[dict[Id, None]] = []
        self._turn = 0

    @property
    def are_several(self) -> bool:
        """Tell whether others wait than those whose turn it is."""
        return len(self._groups) > 1

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
        if not self._groups:
            return []
        self._turn = (self._turn + 1) % len(self._groups)
        return list(self._groups[self._turn])

    def _with_room(self, most: int) -> dict[Id, None]:
        for group in self._groups:
            if len(group) < most:
                return group
        self._groups.append({})
        return self._groups[-1]
