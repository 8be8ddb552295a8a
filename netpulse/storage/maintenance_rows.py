"""Rows of planned maintenance: a plan in, a plan out."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from netpulse.model.maintenance import Coverage, Maintenance, Schedule, Window
from netpulse.storage.conn import Conn, Row
from netpulse.storage.table import Table, Values

COLUMNS = (
    "id, org_id, title, description, starts_at, ends_at, rrule, cron, timezone, duration_minutes,"
    " covers_all, monitor_ids, tags, is_public, next_from, next_to, ended_through, created_by,"
    " created_at, version"
)
"""A select list that `of_row` takes."""

_words = msgspec.json.Decoder(tuple[str, ...])


def as_json(words: Iterable[str]) -> str:
    """Return words as a JSON list, as the columns monitor_ids and tags have them."""
    return msgspec.json.encode(list(words)).decode()


def of_row(conn: Conn, row: Row) -> Maintenance:
    """Return the Maintenance of a row selected with COLUMNS."""
    del conn
    return Maintenance(
        id=row[0],
        org_id=row[1],
        title=row[2],
        description=row[3],
        schedule=Schedule(
            starts_at=row[4],
            ends_at=row[5],
            rrule=row[6],
            cron=row[7],
            timezone=row[8],
            duration_minutes=row[9],
        ),
        coverage=Coverage(
            all=bool(row[10]), monitor_ids=_words.decode(row[11]), tags=_words.decode(row[12])
        ),
        is_public=bool(row[13]),
        next=None if row[14] is None else Window(row[14], row[15]),
        ended_through=row[16],
        created_by=row[17],
        created_at=row[18],
        version=row[19],
    )


def _values(conn: Conn, item: Maintenance) -> Values:
    del conn
    return {
        "id": item.id,
        "org_id": item.org_id,
        "title": item.title,
        "description": item.description,
        "starts_at": item.schedule.starts_at,
        "ends_at": item.schedule.ends_at,
        "rrule": item.schedule.rrule,
        "cron": item.schedule.cron,
        "timezone": item.schedule.timezone,
        "duration_minutes": item.schedule.duration_minutes,
        "covers_all": int(item.coverage.all),
        "monitor_ids": as_json(item.coverage.monitor_ids),
        "tags": as_json(item.coverage.tags),
        "is_public": int(item.is_public),
        "next_from": None if item.next is None else item.next.start,
        "next_to": None if item.next is None else item.next.end,
        "ended_through": item.ended_through,
        "created_by": item.created_by,
        "created_at": item.created_at,
    }


TABLE: Table[Maintenance] = Table(
    "maintenances",
    noun="maintenance",
    columns=COLUMNS,
    read=of_row,
    write=_values,
    order="next_from IS NULL, next_from, starts_at DESC, id",
    live="deleted_at IS NULL",
)
