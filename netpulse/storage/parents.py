"""What a monitor depends on: `parent_id`, its chain, and until when a child's notice waits for it.

A child that fails may fail because its parent does. Its notice waits while any monitor of the
chain is down; else for the parent's verdict, at most until a deadline; and after the chain has
recovered for a check of its own, at most until another.
"""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import MINUTE, SECOND, Millis
from netpulse.model.watch import Status
from netpulse.rules.holding import LOOK_AGAIN
from netpulse.storage.conn import Conn

DEEPEST = 20
"""Longer chains are not followed."""
_MOST_FOR_A_VERDICT = 120 * SECOND
_MOST_FOR_A_CHECK = 15 * MINUTE
_SLACK = 5 * SECOND


class Ancestor(Struct, frozen=True):
    """A monitor of the chain that is neither deleted nor paused."""

    id: Id
    is_down: bool
    """By its last confirmed state, which an unknown one keeps."""
    recovered_at: Millis | None
    """When it was certain that its last outage was over."""


class Heard(Struct, frozen=True, kw_only=True):
    """What is known beyond the file: checks leave no row there."""

    own_check_at: Millis | None = None
    """When a failing check of the monitor itself began, if that is what makes us look."""
    parent_good_at: Millis | None = None
    """When the parent's last conclusive check began, if it was good."""


NOTHING_HEARD = Heard()


def until(
    conn: Conn,
    monitor_id: Id,
    *,
    since: Millis,
    decided_at: Millis,
    now: Millis,
    heard: Heard = NOTHING_HEARD,
) -> Millis | None:
    """Return until when a notice of the monitor waits for what it depends on, or None.

    Args:
        conn: the file.
        monitor_id: the child.
        since: when its first failing check began.
        decided_at: when its failure was certain.
        now: the moment, Unix milliseconds.
        heard: what its own or its parent's checks have just said.
    """
    chain = ancestors(conn, monitor_id)
    if not chain:
        return None
    if any(one.is_down for one in chain):
        return now + LOOK_AGAIN
    if decided_at > now:
        return None  # the clock was set back: nobody knows how long this has waited
    recoveries = [one.recovered_at for one in chain if one.recovered_at is not None]
    recovered_at = max(recoveries, default=None)
    if recovered_at is not None and since <= recovered_at <= now:
        if heard.own_check_at is not None and heard.own_check_at >= recovered_at:
            return None
        return _after(recovered_at + _check_wait(conn, monitor_id), now)
    if heard.parent_good_at is not None and heard.parent_good_at > since:
        return None
    return _after(decided_at + _verdict_wait(conn, chain[0].id), now)


def ancestors(conn: Conn, monitor_id: Id) -> list[Ancestor]:
    """Return the chain of a monitor, the nearest first; paused ones are passed over."""
    found: list[Ancestor] = []
    seen = {monitor_id}
    at = monitor_id
    while len(seen) <= DEEPEST:
        row = conn.one(
            "SELECT p.id, p.is_paused, w.settled FROM monitors m"
            " JOIN monitors p ON p.id = m.parent_id AND p.deleted_at IS NULL"
            " JOIN watches w ON w.monitor_id = p.id WHERE m.id = ?",
            (at,),
        )
        if row is None or row[0] in seen:
            break
        at = row[0]
        seen.add(at)
        if not row[1]:
            found.append(Ancestor(at, row[2] == Status.DOWN, _recovered_at(conn, at)))
    return found


def problem(conn: Conn, org_id: Id, monitor_id: Id | None, parent_id: Id) -> str | None:
    """Return what is wrong with a monitor's (None: a new one's) depending on another, or None."""
    found = conn.one(
        "SELECT 1 FROM monitors WHERE org_id = ? AND id = ? AND deleted_at IS NULL",
        (org_id, parent_id),
    )
    if found is None:
        return "there is no such monitor"
    if monitor_id is not None:
        if parent_id == monitor_id:
            return "a monitor cannot depend on itself"
        if parent_id in descendants(conn, monitor_id):
            return "that monitor depends on this one already"
    depth, at = 0, parent_id
    while depth < DEEPEST:
        row = conn.one("SELECT parent_id FROM monitors WHERE id = ?", (at,))
        if row is None or row[0] is None:
            return None
        depth, at = depth + 1, row[0]
    return f"a chain of more than {DEEPEST} monitors is not followed"


def choices(
    conn: Conn, org_id: Id, monitor_id: Id | None, chosen: Id | None
) -> list[tuple[Id, str]]:
    """Return monitors (id and name) that this one could depend on, by name: the first 500, and
    the one that is chosen."""
    rows = conn.all(
        "SELECT id, name FROM (SELECT id, name FROM monitors INDEXED BY monitors_by_name"
        " WHERE org_id = ?1 AND deleted_at IS NULL AND id IS NOT ?2"
        " ORDER BY name COLLATE NOCASE, key LIMIT 500)"
        " UNION SELECT id, name FROM monitors WHERE org_id = ?1 AND id = ?3"
        " AND deleted_at IS NULL",
        (org_id, monitor_id, chosen),
    )
    return sorted(((row[0], row[1]) for row in rows), key=lambda one: one[1].casefold())


def descendants(conn: Conn, monitor_id: Id) -> list[Id]:
    """Return the monitors that depend on this one, directly or through others."""
    found: list[Id] = []
    seen = {monitor_id}
    level = [monitor_id]
    for _ in range(DEEPEST):
        below: list[Id] = []
        for parent_id in level:
            rows = conn.all(
                "SELECT id FROM monitors WHERE parent_id = ? AND deleted_at IS NULL", (parent_id,)
            )
            below += [row[0] for row in rows if row[0] not in seen]
        seen.update(below)
        found += below
        level = below
        if not level:
            break
    return found


def _recovered_at(conn: Conn, monitor_id: Id) -> Millis | None:
    row = conn.one(
        "SELECT min(decided_at) FROM transitions WHERE monitor_id = ?1"
        " AND after IN ('up', 'degraded') AND seq > (SELECT max(seq) FROM transitions"
        " WHERE monitor_id = ?1 AND after = 'down')",
        (monitor_id,),
    )
    return None if row is None or row[0] is None else int(row[0])


def _verdict_wait(conn: Conn, parent_id: Id) -> Millis:
    """Return how long the parent's verdict may take (milliseconds)."""
    timeout, _, confirmations, _, retry = _pace(conn, parent_id)
    return min((timeout + confirmations * retry) * SECOND + _SLACK, _MOST_FOR_A_VERDICT)


def _check_wait(conn: Conn, monitor_id: Id) -> Millis:
    """Return how long the monitor's own checks may take to say whether it has recovered too."""
    timeout, interval, _, recoveries, _ = _pace(conn, monitor_id)
    return min((timeout + recoveries * interval) * SECOND, _MOST_FOR_A_CHECK) + _SLACK


def _pace(conn: Conn, monitor_id: Id) -> tuple[int, int, int, int, int]:
    """Return timeout, interval, confirmations, recoveries and the retry interval (seconds)."""
    row = conn.one(
        "SELECT timeout_seconds, interval_seconds, config ->> '$.confirmations',"
        " config ->> '$.recoveries', config ->> '$.retry_interval_seconds'"
        # A configuration that cannot be read must not keep anybody's edges from being written.
        " FROM (SELECT timeout_seconds, interval_seconds,"
        " iif(json_valid(config), config, '{}') AS config FROM monitors WHERE id = ?)",
        (monitor_id,),
    )
    assert row is not None, "a monitor of a chain has a row"
    timeout, interval, confirmations, recoveries, retry = row
    return timeout, interval, confirmations or 2, recoveries or 1, min(retry or 10, interval)


def _after(at: Millis, now: Millis) -> Millis | None:
    return at if at > now else None
