"""The delivery log: notices as people look them up, with every attempt."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from netpulse.model.alert import Attempt, Notice
from netpulse.model.ids import Id
from netpulse.storage import notice_list
from netpulse.storage.conn import Conn
from netpulse.storage.notice_list import NoticeFilter
from netpulse.storage.notice_rows import COLUMNS, of_row
from netpulse.storage.table import Page, listed


class Logged(Struct, frozen=True):
    """A notice and what was tried."""

    notice: Notice
    attempts: Sequence[Attempt]


def page(
    conn: Conn, org_id: Id, wanted: NoticeFilter, offset: int = 0, limit: int = 20
) -> Page[Logged]:
    """Return notices of the organization with their attempts, the newest first."""
    found = notice_list.page(conn, org_id, wanted, offset=offset, limit=limit)
    tried = attempts(conn, [notice.id for notice in found.rows])
    return Page([Logged(notice, tried.get(notice.id, ())) for notice in found.rows], found.total)


def get(conn: Conn, org_id: Id, notice_id: Id) -> Logged | None:
    """Return the organization's notice with its attempts, or None."""
    row = conn.one(
        f"SELECT {COLUMNS} FROM alert_events e WHERE e.org_id = ? AND e.id = ?",
        (org_id, notice_id),
    )
    if row is None:
        return None
    return Logged(of_row(row), attempts(conn, [notice_id]).get(notice_id, ()))


def attempts(conn: Conn, notice_ids: Sequence[Id]) -> dict[Id, list[Attempt]]:
    """Return the attempts made for each notice, the first one first."""
    found: dict[Id, list[Attempt]] = {}
    for row in conn.all(
        "SELECT notice_id, at, ok, status_code, answer, latency_ms FROM alert_attempts"
        " WHERE notice_id IN (SELECT value FROM json_each(?)) ORDER BY id",
        (listed(notice_ids),),
    ):
        found.setdefault(row[0], []).append(
            Attempt(
                at=row[1], ok=bool(row[2]), status_code=row[3], answer=row[4], latency_ms=row[5]
            )
        )
    return found


def in_digest(conn: Conn, org_id: Id, digest_id: Id) -> int:
    """Return how many notices of the organization were told in one message."""
    row = conn.one(
        "SELECT count(*) FROM alert_events WHERE org_id = ? AND digest_id = ?", (org_id, digest_id)
    )
    return int(row[0]) if row else 0
