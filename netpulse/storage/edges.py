"""Edges: all that must agree when a monitor's confirmed state changes, in one transaction.

The transition with the check that decided it, the span, the incident and its story, the notices
and the monitor's memory are written together or not at all, in one file (a commit over two
attached files is not atomic in WAL mode).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace as changed

from netpulse.model.check import LOCAL
from netpulse.model.edge import Edge, Outcome
from netpulse.model.ids import Id, derived_id
from netpulse.model.incident import Incident, IncidentStatus, Origin
from netpulse.model.monitor import Monitor, MonitorSpec
from netpulse.model.time import Millis
from netpulse.model.watch import Flip, Span, Status, UnknownReason, Watch
from netpulse.rules import incidents as rules
from netpulse.rules.payload import lasting
from netpulse.storage import (
    badges,
    held,
    incident_story,
    incidents,
    monitors,
    spans,
    status_pages,
    telling,
    thresholds,
    timers,
    watches,
)
from netpulse.storage.conn import Conn
from netpulse.storage.errors import Missing
from netpulse.storage.telling import Told

CLOSED = "organization_deleted"
"""The resolution of what was open when its organization was deleted."""

_TITLE_LENGTH = 300


def record_all(conn: Conn, owed: Sequence[Edge]) -> list[Outcome]:
    """Write edges of one monitor in their order, as `record` does each: all of them or none."""
    return [record(conn, edge) for edge in owed]


def record(conn: Conn, edge: Edge) -> Outcome:
    """Write an edge of the engine's, or drop it.

    It is dropped when the monitor is deleted (or its organization is), paused or changed (its
    version is another) since the engine read it: what a check of the old configuration found must
    not be told.
    """
    monitor = edge.monitor
    row = conn.one(
        "SELECT m.version, m.is_paused, m.deleted_at IS NOT NULL OR o.deleted_at IS NOT NULL"
        " FROM monitors m JOIN organizations o ON o.id = m.org_id WHERE m.id = ?",
        (monitor.id,),
    )
    if row is None or row[0] != monitor.version or row[1] or row[2]:
        return Outcome(dropped=True)
    return _write(conn, monitor, edge.watch, edge.flip, parent_good_at=edge.parent_good_at)


def pause(conn: Conn, org_id: Id, monitor_id: Id, now: Millis) -> Outcome:
    """Stop watching a monitor: its open incident ends (`paused`), and no recovery is told.

    Paused already, it stays as it is.

    Raises:
        Missing: the organization has no such monitor.
    """
    monitor, watch = _held(conn, org_id, monitor_id)
    after, flip = rules.pause(watch, now)
    if flip is None:
        return Outcome(watch=watch)
    monitors.set_paused(conn, monitor.key, True, now)
    thresholds.pause(conn, monitor.id)
    return _write(conn, monitor, after, flip, resolution="paused")


def resume(conn: Conn, org_id: Id, monitor_id: Id, now: Millis) -> Outcome:
    """Watch a monitor again, from pending. Not paused, it stays as it is.

    Raises:
        Missing: the organization has no such monitor.
    """
    monitor, watch = _held(conn, org_id, monitor_id)
    after, flip = rules.resume(watch, now)
    if flip is None:
        return Outcome(watch=watch)
    monitors.set_paused(conn, monitor.key, False, now)
    return _write(conn, monitor, after, flip)


def retire(
    conn: Conn, org_id: Id, monitor_id: Id, now: Millis, *, resolution: str = "deleted"
) -> Outcome:
    """Delete a monitor: its open incident ends (with `resolution`), and no recovery is told.

    Its row stays for the names in history, its rules and its memory go.

    Raises:
        Missing: the organization has no such monitor.
    """
    monitor, watch = _held(conn, org_id, monitor_id)
    after, flip = rules.pause(watch, now)
    outcome = Outcome(watch=watch)
    if flip is not None:
        outcome = _write(conn, monitor, after, flip, resolution=resolution)
    monitors.set_deleted(conn, monitor.key, now)
    watches.forget(conn, monitor.id)
    thresholds.retire(conn, monitor.id)
    conn.execute("DELETE FROM alert_rules WHERE monitor_id = ?", (monitor.id,))
    status_pages.forget_monitor(conn, monitor.id)
    badges.remove(conn, monitor.id)
    return outcome


def lapse(
    conn: Conn, org_id: Id, monitor_id: Id, at: Millis, reason: UnknownReason, now: Millis
) -> Outcome:
    """Turn a monitor unknown from `at` on, by what is stored of it.

    Raises:
        Missing: the organization has no such monitor.
    """
    monitor, watch = _held(conn, org_id, monitor_id)
    after, flip = rules.lapse(watch, at, reason, now=now)
    return _write(conn, monitor, after, flip)


def replace(
    conn: Conn,
    org_id: Id,
    monitor_id: Id,
    spec: MonitorSpec,
    expected_version: int | None,
    now: Millis,
) -> tuple[Monitor, Outcome]:
    """Give a monitor another configuration, and pause or resume it if that says so.

    Raises:
        Missing: the organization has no such monitor.
        VersionConflict: somebody has changed it since `expected_version`.
    """
    monitors.replace(conn, org_id, monitor_id, spec, expected_version, now=now)
    held.look_soon(conn, monitor_id, now)
    turn = pause if spec.is_paused else resume
    outcome = turn(conn, org_id, monitor_id, now)
    stored = monitors.get(conn, org_id, monitor_id)
    assert stored is not None, "it was just changed in this transaction"
    return stored, outcome


def _held(conn: Conn, org_id: Id, monitor_id: Id) -> tuple[Monitor, Watch]:
    row = monitors.get_row(conn, org_id, monitor_id)
    if row is None:
        raise Missing("monitor")
    return row.monitor, row.watch


def _write(
    conn: Conn,
    monitor: Monitor,
    watch: Watch,
    flip: Flip | None,
    *,
    resolution: str = "recovered",
    parent_good_at: Millis | None = None,
) -> Outcome:
    """Write the new memory, and with a flip everything that follows from it."""
    # What is on disk says which incident is open: a person may have resolved it meanwhile.
    before = incidents.open_of(conn, monitor.id)
    if flip is None:
        watch = changed(watch, incident_id=None if before is None else before.id)
        watches.save(conn, monitor.org_id, monitor.id, watch)
        return Outcome(watch=watch)
    flip = _fitted(conn, monitor.id, flip, before)
    transition_id = _transition_id(conn, monitor.id, flip)
    incident: Incident | None = None
    if flip.opens:
        incident = _open(
            conn, monitor, flip, derived_id(flip.decided_at, transition_id, "incident")
        )
    elif flip.closes and before is not None:
        incident = _close(conn, before, flip, resolution)
    still_open = incident if flip.opens else None if flip.closes else before
    incident_id = None if still_open is None else still_open.id
    about = incident or before
    told = telling.write(
        conn,
        monitor,
        flip,
        transition_id=transition_id,
        open_before=before,
        incident=about,
        parent_good_at=parent_good_at,
    )
    if flip.opens and incident is not None:
        timers.begin(conn, incident, told.rules, flip.decided_at)
    elif incident is not None:
        timers.end(conn, incident.id)
    about_id = None if about is None else about.id
    _put_transition(conn, monitor, flip, transition_id, about_id, told)
    span = Span(
        at=flip.at,
        status=flip.after,
        reason=flip.reason,
        incident_id=incident_id if flip.after is Status.DOWN else None,
    )
    spans.put(conn, monitor.id, span)
    watch = changed(watch, since=flip.at, incident_id=incident_id)
    watches.save(conn, monitor.org_id, monitor.id, watch)
    held.parent_changed(conn, monitor.id, flip.decided_at)
    return Outcome(
        watch=watch,
        incident=incident,
        notice_ids=told.notice_ids,
        waits_for_parent=told.waits_for_parent,
    )


def _fitted(conn: Conn, monitor_id: Id, flip: Flip, before: Incident | None) -> Flip:
    """Return the flip as it fits what is stored.

    It does not begin before the span in front of it (a clock that was set back), opens an
    incident exactly when the monitor is down without one, and closes only one that is open.
    """
    start = spans.last_start(conn, monitor_id)
    at = flip.at if start is None else max(flip.at, start)
    return changed(
        flip,
        at=at,
        opens=flip.after is Status.DOWN and before is None,
        closes=flip.closes and before is not None,
    )


def _transition_id(conn: Conn, monitor_id: Id, flip: Flip) -> Id:
    """Return the id of a flip: the same whenever this flip is written after the same others.

    What is told of it from memory, while the disk takes nothing, has its ids from here, and they
    are the same when it is written at last.
    """
    span = str(spans.last_start(conn, monitor_id))
    found = derived_id(flip.decided_at, monitor_id, span, flip.before.value, flip.after.value)
    while conn.one("SELECT 1 FROM transitions WHERE id = ?", (found,)) is not None:
        found = derived_id(flip.decided_at, found)
    return found


def _open(conn: Conn, monitor: Monitor, flip: Flip, incident_id: Id) -> Incident:
    check = flip.check
    reason = None if check is None else check.message
    title = f"{monitor.spec.name} is down"
    if reason:
        title = f"{title}: {reason}"
    incident = Incident(
        id=incident_id,
        org_id=monitor.org_id,
        title=title if len(title) <= _TITLE_LENGTH else f"{title[: _TITLE_LENGTH - 1]}…",
        status=IncidentStatus.INVESTIGATING,
        origin=Origin.CHECK,
        monitor_ids=(monitor.id,),
        started_at=flip.at,
        reason=reason,
        failure=None if check is None or check.failure is None else check.failure.value,
        created_at=flip.decided_at,
    )
    incidents.insert(conn, incident, monitor.id)
    incident_story.tell(
        conn,
        incident.id,
        "opened",
        flip.at,
        "The first failing check",
        status=IncidentStatus.INVESTIGATING,
    )
    wanted = monitor.spec.confirmations
    times = f"{wanted} failing checks in a row" if wanted > 1 else "one failing check"
    incident_story.tell(
        conn,
        incident.id,
        "confirmed",
        flip.decided_at,
        f"Confirmed by {times}" + (f": {reason}" if reason else ""),
    )
    return incident


def _close(conn: Conn, before: Incident, flip: Flip, resolution: str) -> Incident:
    incident = incidents.close(conn, before, flip.at, resolution, flip.decided_at)
    words = {
        "recovered": "Recovered",
        "paused": "Ended because the monitor was paused,",
        "deleted": "Ended because the monitor was deleted,",
        CLOSED: "Ended because the organization was deleted,",
    }
    lasted = (incident.resolved_at or flip.at) - incident.started_at
    incident_story.tell(
        conn,
        incident.id,
        "resolved",
        flip.at,
        f"{words[resolution]} after {lasting(lasted)}",
        status=IncidentStatus.RESOLVED,
    )
    return incident


def _put_transition(
    conn: Conn,
    monitor: Monitor,
    flip: Flip,
    transition_id: Id,
    incident_id: Id | None,
    told: Told,
) -> None:
    check = None if flip.check is None else msgspec.json.encode(flip.check).decode()
    conn.execute(
        "INSERT INTO transitions (id, org_id, monitor_id, region, before, after, at, decided_at,"
        " reason, check_json, monitor_version, incident_id, considered)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            transition_id,
            monitor.org_id,
            monitor.id,
            LOCAL if flip.check is None else flip.check.region,
            flip.before.value,
            flip.after.value,
            flip.at,
            flip.decided_at,
            None if flip.reason is None else flip.reason.value,
            check,
            monitor.version,
            incident_id,
            telling.encoded(told.considered),
        ),
    )
