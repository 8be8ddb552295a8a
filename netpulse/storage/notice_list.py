"""Lists of notices: the newest first among those of years, and how many there are.

No rows are read but those of the page. What a list has is found in an index that says enough of
each notice, and counted by `alert_tallies` unless it is of one monitor, incident or rule.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from msgspec import Struct

from netpulse.model.alert import Event, Notice, NoticeStatus, Suppressed
from netpulse.model.ids import Id
from netpulse.storage.conn import Conn
from netpulse.storage.notice_rows import COLUMNS, of_row
from netpulse.storage.table import Page


class NoticeFilter(Struct, frozen=True, kw_only=True):
    """Which notices a list has; None leaves a part out."""

    status: NoticeStatus | None = None
    event: Event | None = None
    reason: Suppressed | None = None
    rule_id: Id | None = None
    channel_id: Id | None = None
    monitor_id: Id | None = None
    incident_id: Id | None = None


ANY = NoticeFilter()
MERGED = 100
"""Parts that one query merges; SQLite takes 500."""


class _Part(Struct, frozen=True):
    """Notices that lie together in an index: which one, and what they have in common."""

    index: str
    where: str
    params: tuple[str, ...]
    total: int | None = None
    """How many there are, where it is known without counting them."""


def page(
    conn: Conn, org_id: Id, wanted: NoticeFilter = ANY, *, offset: int = 0, limit: int = 20
) -> Page[Notice]:
    """Return notices of the organization, the newest first."""
    parts = _parts(conn, org_id, wanted)
    total = sum(_count(conn, part) for part in parts)
    if offset >= total:
        return Page([], total)
    if len(parts) <= MERGED:
        return Page(_rows(conn, _newest(conn, parts, limit, offset)), total)
    few = (parts[first : first + MERGED] for first in range(0, len(parts), MERGED))
    newest = [seq for some in few for seq in _newest(conn, some, offset + limit)]
    newest.sort(reverse=True)
    return Page(_rows(conn, newest[offset : offset + limit]), total)


def last(
    conn: Conn, org_id: Id, channel_id: Id, statuses: Collection[NoticeStatus]
) -> Notice | None:
    """Return the newest notice of a channel that has one of `statuses`, or None."""
    parts = [
        _in_list(org_id, NoticeFilter(channel_id=channel_id, status=status)) for status in statuses
    ]
    newest = _newest(conn, parts, 1)
    return _rows(conn, newest)[0] if newest else None


def _parts(conn: Conn, org_id: Id, wanted: NoticeFilter) -> list[_Part]:
    if wanted.incident_id is not None:
        return [_conditions("alert_events_incident", org_id, wanted)]
    if wanted.monitor_id is not None:
        return [_conditions("alert_events_monitor", org_id, wanted)]
    where, params = ["org_id = ?"], [org_id]
    for column in ("channel_id", "status", "event", "reason"):
        value = getattr(wanted, column)
        if value is not None:
            where.append(f"{column} = ?")
            params.append(str(value))
    # Those of one channel and status have an order. A list has few of both, and goes on with as
    # many of each as could be on its page.
    rows = conn.all(
        "SELECT channel_id, status, sum(notices) FROM alert_tallies"
        f" WHERE {' AND '.join(where)} GROUP BY 1, 2 HAVING sum(notices) > 0",
        params,
    )
    return [
        _in_list(
            org_id,
            NoticeFilter(
                channel_id=channel_id,
                status=NoticeStatus(status),
                event=wanted.event,
                reason=wanted.reason,
                rule_id=wanted.rule_id,
            ),
            total if wanted.rule_id is None else None,
        )
        for channel_id, status, total in rows
    ]


def _in_list(org_id: Id, wanted: NoticeFilter, total: int | None = None) -> _Part:
    return _conditions("alert_events_listed", org_id, wanted, total)


def _conditions(index: str, org_id: Id, wanted: NoticeFilter, total: int | None = None) -> _Part:
    where, params = ["org_id = ?"], [org_id]
    for column in wanted.__struct_fields__:
        value = getattr(wanted, column)
        if value is not None:
            where.append(f"{column} = ?")
            params.append(str(value))
    return _Part(index, " AND ".join(where), tuple(params), total)


def _count(conn: Conn, part: _Part) -> int:
    if part.total is not None:
        return part.total
    row = conn.one(
        f"SELECT count(*) FROM alert_events INDEXED BY {part.index} WHERE {part.where}",
        part.params,
    )
    return int(row[0]) if row else 0


def _newest(conn: Conn, parts: list[_Part], limit: int, offset: int = 0) -> list[int]:
    """Return the numbers (`seq`) of the newest, from the index alone where it says enough.

    SQLite merges what comes in order from each part: no more is read than the page and what is
    before it.
    """
    rows = conn.all(
        " UNION ALL ".join(
            f"SELECT seq FROM alert_events INDEXED BY {part.index} WHERE {part.where}"
            for part in parts
        )
        + " ORDER BY seq DESC LIMIT ? OFFSET ?",
        (*(value for part in parts for value in part.params), limit, offset),
    )
    return [row[0] for row in rows]


def _rows(conn: Conn, numbers: list[int]) -> list[Notice]:
    rows = conn.all(
        f"SELECT {COLUMNS} FROM json_each(?) few CROSS JOIN alert_events e ON e.seq = few.value"
        " ORDER BY e.seq DESC",
        (msgspec.json.encode(numbers).decode(),),
    )
    return [of_row(row) for row in rows]
