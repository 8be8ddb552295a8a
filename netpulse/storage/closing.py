"""Closing an organization: what goes at once, in one transaction, and what is retired after it.

`close` takes everything that somebody could enter by or be told through; from its commit on the
organization exists for nobody. Its monitors are retired after that in small pieces (a thousand
take seconds, and nobody else's edge may wait for them); a piece that is lost with its process is
done by the next one.
"""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.incident import IncidentStatus, Origin
from netpulse.model.letter import LetterKind
from netpulse.model.time import Millis
from netpulse.storage import (
    badges,
    channels,
    edges,
    incident_list,
    incident_story,
    incidents,
    invitations,
    letters,
    maintenances,
    members,
    monitors,
    status_pages,
    users,
)
from netpulse.storage.conn import Conn
from netpulse.storage.incident_list import IncidentFilter
from netpulse.storage.maintenances import MaintenanceFilter

AT_ONCE = 25
"""Monitors that are retired in one transaction: some 50 ms."""
MOST = 1_000_000
_LEFT = (
    ("monitors", " AND t.deleted_at IS NULL"),
    ("alert_channels", " AND t.deleted_at IS NULL"),
    ("alert_rules", ""),
    ("maintenances", " AND t.deleted_at IS NULL"),
    ("status_pages", ""),
    ("api_keys", ""),
)
_WITHDRAWN = "the organization was deleted"


class Holdings(Struct, frozen=True, kw_only=True):
    """What an organization has that goes with it."""

    monitors: int
    members: int
    accounts: int
    """People who belong nowhere else: their accounts go too."""
    grants: int
    invitations: int
    keys: int
    channels: int
    maintenance: int
    status_pages: int


def holdings(conn: Conn, org_id: Id, now: Millis) -> Holdings:
    """Return what would go."""
    alone = conn.one(
        "SELECT count(*) FROM memberships m WHERE m.org_id = ? AND m.kind = 'member' AND NOT EXISTS"
        " (SELECT 1 FROM memberships e JOIN organizations o ON o.id = e.org_id"
        " WHERE e.user_id = m.user_id AND e.org_id <> m.org_id AND e.kind = 'member'"
        " AND o.deleted_at IS NULL)",
        (org_id,),
    )
    return Holdings(
        monitors=monitors.count(conn, org_id),
        members=_count(conn, "memberships", org_id, "kind = 'member'"),
        accounts=int(alone[0]) if alone else 0,
        grants=_count(conn, "memberships", org_id, "kind = 'grant'"),
        invitations=invitations.count_open(conn, org_id, now),
        keys=_count(conn, "api_keys", org_id),
        channels=_count(conn, "alert_channels", org_id, "deleted_at IS NULL"),
        maintenance=_count(conn, "maintenances", org_id, "deleted_at IS NULL"),
        status_pages=_count(conn, "status_pages", org_id),
    )


def close(conn: Conn, org_id: Id, now: Millis) -> None:
    """Delete an organization for everybody. Its audit log stays, and its slug is free again.

    `retire_some` ends its monitors afterwards.
    """
    _silence(conn, org_id, now)
    for incident in incident_list.page(conn, org_id, IncidentFilter(is_open=True), 0, MOST).rows:
        if incident.origin is not Origin.MANUAL:
            continue  # it ends with its monitor
        incidents.close(conn, incident, now, edges.CLOSED, now)
        incident_story.tell(
            conn,
            incident.id,
            "resolved",
            now,
            "Ended because the organization was deleted",
            status=IncidentStatus.RESOLVED,
        )
    for invitation in invitations.page(conn, org_id, limit=MOST).rows:
        letters.recall(conn, org_id, LetterKind.INVITATION, invitation.email, _WITHDRAWN)
        invitations.delete(conn, org_id, invitation.id)
    for member in users.page(conn, org_id, limit=MOST).rows:
        members.leave(conn, org_id, member.user.id, now)
    # No slug has a space in it: nobody can take this one.
    conn.execute(
        "UPDATE organizations SET deleted_at = ?1, updated_at = ?1, version = version + 1,"
        " slug = 'deleted ' || id WHERE id = ?2",
        (now, org_id),
    )


def _silence(conn: Conn, org_id: Id, now: Millis) -> None:
    """Remove what an organization is told through, shown on and entered by with a key."""
    for channel in channels.page(conn, org_id, limit=MOST).rows:
        channels.delete(conn, org_id, channel.id, now=now)
    conn.execute("DELETE FROM alert_rules WHERE org_id = ?", (org_id,))
    for plan in maintenances.page(conn, org_id, MaintenanceFilter(), limit=MOST).rows:
        maintenances.delete(conn, plan, now)
    for shown in status_pages.page(conn, org_id, limit=MOST).rows:
        status_pages.delete(conn, shown)
    badges.remove_all(conn, org_id)
    conn.execute("DELETE FROM api_keys WHERE org_id = ?", (org_id,))


def retire_some(conn: Conn, org_id: Id, now: Millis) -> bool:
    """Retire some monitors of a deleted organization, and what else it still has; return whether
    any are left."""
    _silence(conn, org_id, now)
    rows = conn.all(
        "SELECT id FROM monitors WHERE org_id = ? AND deleted_at IS NULL ORDER BY key LIMIT ?",
        (org_id, AT_ONCE),
    )
    for (monitor_id,) in rows:
        edges.retire(conn, org_id, monitor_id, now, resolution=edges.CLOSED)
    return len(rows) == AT_ONCE


def unfinished(conn: Conn) -> list[Id]:
    """Return the deleted organizations that still have monitors or something to be told through,
    shown on or entered by."""
    left = " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} t WHERE t.org_id = o.id{living})" for table, living in _LEFT
    )
    rows = conn.all(f"SELECT o.id FROM organizations o WHERE o.deleted_at IS NOT NULL AND ({left})")
    return [row[0] for row in rows]


def _count(conn: Conn, table: str, org_id: Id, condition: str = "1") -> int:
    row = conn.one(f"SELECT count(*) FROM {table} WHERE org_id = ? AND {condition}", (org_id,))
    return int(row[0]) if row else 0
