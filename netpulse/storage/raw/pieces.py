"""What holds checks of a stretch of time, and which of it has to be read together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from netpulse.model.time import DAY, Millis
from netpulse.storage.raw.month import Stretch
from netpulse.storage.raw.row import Row


class Piece(Struct, frozen=True):
    """Something that holds checks of a stretch of time: rows of an hour, or a blob."""

    start: Millis
    end: Millis
    age: int
    """The newer, the later it is united: day 0, hour 1, hot and memory 2."""
    rows: Sequence[Row] = ()
    stretch: Stretch | None = None

    @classmethod
    def of(cls, stretch: Stretch) -> Piece:
        """Return the piece of a blob."""
        return cls(stretch.start, stretch.end, 0 if stretch.length == DAY else 1, (), stretch)


def grouped(pieces: Iterable[Piece], newest_first: bool) -> list[list[Piece]]:
    """Return the pieces in groups: what overlaps is in one."""
    groups: list[list[Piece]] = []
    until = -1
    for piece in sorted(pieces, key=lambda piece: (piece.start, -piece.end)):
        if piece.start < until:
            groups[-1].append(piece)
        else:
            groups.append([piece])
        until = max(until, piece.end)
    return groups[::-1] if newest_first else groups
