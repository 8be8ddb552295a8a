"""Planned maintenance: the plans, and what is to be done next of each.

A plan's row says what is to be done next and when (`next_at`); `keep_up` does what is due, some
rows a transaction, so that a process killed anywhere goes on where it was. Which monitors are in
it then, `maintenance_spans` knows.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from msgspec import Struct
from msgspec.structs import replace as changed

from netpulse.model.ids import Id
from netpulse.model.maintenance import Maintenance, State, Window
from netpulse.model.time import Millis
from netpulse.rules import maintenance as rules
from netpulse.rules.push import ScheduleError
from netpulse.storage import maintenance_spans
from netpulse.storage.conn import Conn
from netpulse.storage.maintenance_rows import COLUMNS, TABLE, as_json, of_row
from netpulse.storage.table import Page

_COVERED = (
    "(?{all} OR m.id IN (SELECT value FROM json_each(?{ids})) OR m.key IN (SELECT t.monitor_key"
    " FROM monitor_tags t WHERE t.org_id = m.org_id"
    " AND t.tag IN (SELECT value FROM json_each(?{tags}))))"
)
_log = logging.getLogger("netpulse.storage")


class MaintenanceFilter(Struct, frozen=True, kw_only=True):
    """Which of them a list has; None leaves a part out."""

    state: State | None = None
    monitor_id: Id | None = None
    """That cover this monitor as it is now."""


# The plans


def get(conn: Conn, org_id: Id, maintenance_id: Id) -> Maintenance | None:
    """Return the organization's maintenance, or None."""
    return TABLE.get(conn, org_id, maintenance_id)


def page(
    conn: Conn,
    org_id: Id,
    wanted: MaintenanceFilter,
    *,
    offset: int = 0,
    limit: int = 20,
) -> Page[Maintenance]:
    """Return them: by the window that lasts or comes next; those that are over at the end."""
    parts: list[str] = ["1"]
    params: list[str] = []
    if wanted.state is not None:
        parts.append(_STATES[wanted.state])
    if wanted.monitor_id is not None:
        parts.append(
            "(covers_all"
            " OR EXISTS (SELECT 1 FROM json_each(maintenances.monitor_ids) WHERE value = ?)"
            " OR EXISTS (SELECT 1 FROM json_each(maintenances.tags) g"
            " JOIN monitor_tags t ON t.tag = g.value"
            " JOIN monitors m ON m.key = t.monitor_key AND m.id = ?))"
        )
        params += [wanted.monitor_id, wanted.monitor_id]
    return TABLE.page(
        conn, org_id, offset=offset, limit=limit, where=" AND ".join(parts), params=params
    )


_STATES = {
    State.ACTIVE: "next_from IS NOT NULL AND next_at > next_from",
    State.PLANNED: "next_from IS NOT NULL AND next_at <= next_from",
    State.OVER: "next_from IS NULL",
}
"""As last looked at: of a window that has begun, the end is awaited."""


def insert(conn: Conn, draft: Maintenance, now: Millis) -> Maintenance:
    """Add a plan. A window that lasts already begins now."""
    TABLE.insert(conn, _planned(draft, now))
    conn.execute(
        "UPDATE maintenances SET since = ?1, updated_at = ?1, next_at = next_from WHERE id = ?2",
        (now, draft.id),
    )
    return _again(conn, draft, now)


def replace(
    conn: Conn, item: Maintenance, *, expected_version: int | None = None, now: Millis
) -> Maintenance:
    """Put `item` in the place of the plan with its id. Other times or other monitors end the
    window that lasts, and begin it anew where it still does.

    Raises:
        Missing: the organization has no such maintenance.
        VersionConflict: somebody has changed it since `expected_version`.
    """
    TABLE.expect(conn, item.org_id, item.id, expected_version)
    old = get(conn, item.org_id, item.id)
    assert old is not None, "it was just found in this transaction"
    if (old.schedule, old.coverage) == (item.schedule, item.coverage):
        stored = TABLE.update(
            conn, changed(item, next=old.next, ended_through=old.ended_through), expected_version
        )
        conn.execute("UPDATE maintenances SET updated_at = ? WHERE id = ?", (now, item.id))
        return stored
    TABLE.update(conn, _planned(changed(item, ended_through=None), now), expected_version)
    _close(conn, item.id, now)
    return _again(conn, item, now)


def end(conn: Conn, item: Maintenance, now: Millis) -> Maintenance:
    """End the window that lasts, as if it had been planned so. One that is once is over then."""
    assert item.next is not None, "it is active"
    schedule = item.schedule
    if schedule.ends_at is not None:
        schedule = changed(schedule, ends_at=now)
    ended = changed(item, schedule=schedule, ended_through=item.next.start)
    TABLE.update(conn, _planned(ended, now), item.version)
    _close(conn, item.id, now)
    return _again(conn, item, now)


def delete(conn: Conn, item: Maintenance, now: Millis) -> None:
    """Remove a plan; a window that lasts ends now. What was maintenance stays so."""
    conn.execute(
        "UPDATE maintenances SET deleted_at = ?1, updated_at = ?1, next_from = NULL,"
        " next_to = NULL, version = version + 1 WHERE id = ?2",
        (now, item.id),
    )
    _close(conn, item.id, now)
    _work_on(conn, item.id, now)


def _planned(item: Maintenance, now: Millis) -> Maintenance:
    return changed(item, next=rules.next_window(item.schedule, now, item.ended_through))


def _close(conn: Conn, maintenance_id: Id, now: Millis) -> None:
    """Have what reaches beyond now end now, and what follows begin no earlier."""
    conn.execute(
        "UPDATE maintenances SET closing_at = ?1, since = ?1, next_at = ?1, updated_at = ?1"
        " WHERE id = ?2",
        (now, maintenance_id),
    )


def _again(conn: Conn, item: Maintenance, now: Millis) -> Maintenance:
    """Do what is due of a plan that was just written, and return it as it is stored."""
    _work_on(conn, item.id, now)
    stored = get(conn, item.org_id, item.id)
    assert stored is not None, "it was just written in this transaction"
    return stored


# What is due


def keep_up(conn: Conn, now: Millis) -> bool:
    """Do some of what is due at `now`; False when there was nothing. Call it until then.

    Windows begin and end; monitors enter them and leave them.
    """
    row = conn.one(
        "SELECT id FROM maintenances WHERE next_at <= ? ORDER BY next_at, id LIMIT 1", (now,)
    )
    if row is not None:
        _work_on(conn, row[0], now)
        return True
    rows = conn.all(
        "SELECT id FROM monitors WHERE maintained_until <= ? ORDER BY maintained_until LIMIT ?",
        (now, maintenance_spans.ROWS_AT_ONCE),
    )
    maintenance_spans.look_again(conn, [one[0] for one in rows], now)
    return bool(rows)


def next_due(conn: Conn) -> Millis | None:
    """Return when `keep_up` is to be called next, or None while nothing is planned."""
    row = conn.one(
        "SELECT min(at) FROM (SELECT min(next_at) AS at FROM maintenances"
        " WHERE next_at IS NOT NULL UNION ALL SELECT min(maintained_until) FROM monitors"
        " WHERE maintained_until IS NOT NULL)"
    )
    return None if row is None else row[0]


class _Due(Struct, frozen=True):
    item: Maintenance
    since: Millis
    closing_at: Millis | None
    deleted: bool


def _work_on(conn: Conn, maintenance_id: Id, now: Millis) -> None:
    """Do what is due of one plan, for a bounded number of monitors."""
    row = conn.one(
        f"SELECT since, closing_at, deleted_at, {COLUMNS} FROM maintenances WHERE id = ?",
        (maintenance_id,),
    )
    assert row is not None, "plans are marked as deleted, and stay"
    due = _Due(of_row(conn, row[3:]), row[0], row[1], row[2] is not None)
    if due.closing_at is not None:
        if not maintenance_spans.end_some(conn, maintenance_id, due.closing_at, now):
            return
        conn.execute("UPDATE maintenances SET closing_at = NULL WHERE id = ?", (maintenance_id,))
    window = None if due.deleted else _coming(due.item, now)
    next_at = None if window is None else window.start
    if window is not None and window.start <= now:
        next_at = window.end if _begin_some(conn, due, window, now) else now
    conn.execute(
        "UPDATE maintenances SET next_from = ?, next_to = ?, next_at = ? WHERE id = ?",
        (
            None if window is None else window.start,
            None if window is None else window.end,
            next_at,
            maintenance_id,
        ),
    )


def _coming(item: Maintenance, now: Millis) -> Window | None:
    if item.next is not None and item.next.end > now:
        return item.next
    if item.next is None or item.schedule.ends_at is not None:
        return None
    try:
        return rules.next_window(item.schedule, now, item.ended_through)
    except ScheduleError as trouble:
        _log.error("maintenance %s does not come any more: %s", item.id, trouble)
        return None


def _begin_some(conn: Conn, due: _Due, window: Window, now: Millis) -> bool:
    """Let monitors enter a window that lasts; True when none is left outside."""
    item = due.item
    rows = conn.all(
        "SELECT m.id, m.created_at FROM monitors m WHERE m.org_id = ?1 AND m.deleted_at IS NULL"
        f" AND {_COVERED.format(all=2, ids=3, tags=4)}"
        " AND NOT EXISTS (SELECT 1 FROM maintenance_spans s WHERE s.monitor_id = m.id"
        " AND s.maintenance_id = ?5 AND s.from_ms >= ?6 AND s.to_ms > ?7) LIMIT ?8",
        (
            item.org_id,
            int(item.coverage.all),
            as_json(item.coverage.monitor_ids),
            as_json(item.coverage.tags),
            item.id,
            window.start,
            now,
            maintenance_spans.ROWS_AT_ONCE,
        ),
    )
    begun = max(window.start, due.since)
    maintenance_spans.enter(
        conn, item.id, [(row[0], min(now, max(begun, row[1]))) for row in rows], window.end
    )
    maintenance_spans.look_again(conn, [row[0] for row in rows], now)
    return len(rows) < maintenance_spans.ROWS_AT_ONCE


# Monitors that come, change and go


def fit(conn: Conn, org_id: Id, monitor_id: Id, tags: Collection[str], now: Millis) -> None:
    """Have a monitor that is new, or whose tags changed, in those windows that cover it."""
    held = {
        row[0]
        for row in conn.all(
            "SELECT maintenance_id FROM maintenance_spans WHERE monitor_id = ?1"
            " AND from_ms <= ?2 AND to_ms > ?2",
            (monitor_id, now),
        )
    }
    left = set(held)
    for row in conn.all(
        f"SELECT {COLUMNS} FROM maintenances WHERE org_id = ?1 AND deleted_at IS NULL"
        " AND next_from <= ?2 AND next_to > ?2",
        (org_id, now),
    ):
        item = of_row(conn, row)
        assert item.next is not None, "it was selected so"
        if rules.covers(item.coverage, monitor_id, tags):
            left.discard(item.id)
            if item.id not in held:
                maintenance_spans.enter(conn, item.id, [(monitor_id, now)], item.next.end)
    maintenance_spans.leave_some(conn, monitor_id, left, now)
