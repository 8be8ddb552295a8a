"""Exports: what somebody may read, as a file that is sent in pieces.

Each piece is read and written in a reader's thread, so that neither the event loop nor another
request waits for a long file; before each it is asked again whether its reader may still have it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TypeVar

from litestar.response import Stream

from netpulse.model.time import rfc3339
from netpulse.rules.cells import defused
from netpulse.storage.db import Conn
from netpulse.web import auth
from netpulse.web.call import Call
from netpulse.web.errors import ApiError

C = TypeVar("C")

Piece = Callable[[Conn, C | None], tuple[bytes, C | None]]
"""Writes what comes after a place (None: from the beginning), and returns the place up to which
that was; None: it was the end."""

MEDIA = {"csv": "text/csv", "jsonl": "application/jsonl"}
"""By format."""


class BrokenOff(Exception):
    """An export that is not sent to its end: the process stops, the reader's right has ended, or
    what it is of is gone."""


def answer(call: Call, piece: Piece[C], name: str, kind: str) -> Stream:
    """Return an export as a file `name-<today>.<kind>`, of which `kind` is one of MEDIA."""
    day = rfc3339(call.session.now)[:10]
    return Stream(
        _pieces(call, piece),
        media_type=MEDIA[kind],
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{name}-{day}.{kind}"',
        },
    )


async def _pieces(call: Call, piece: Piece[C]) -> AsyncIterator[bytes]:
    house = call.house
    after: C | None = None
    is_first = True
    while is_first or after is not None:
        # Not a short file that looks whole: the connection breaks off.
        if house.stopping.is_set() or not (is_first or await _may_still(call)):
            raise BrokenOff
        text, after = await house.db.read(piece, after)
        is_first = False
        yield text


async def _may_still(call: Call) -> bool:
    """Tell whether whoever began an export may still read what it is of."""
    try:
        session = await auth.identify(call.request)
    except ApiError:
        return False
    return session.org_id == call.session.org_id and session.role >= call.session.role


def csv_rows(rows: Iterable[Sequence[str | None]]) -> bytes:
    """Write rows as RFC 4180 has it, in UTF-8; no cell is a formula to a spreadsheet."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\r\n")
    for row in rows:
        table.writerow(["" if cell is None else defused(cell) for cell in row])
    return text.getvalue().encode("utf-8", "replace")
