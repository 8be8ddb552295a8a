"""What an organization may have, and whether there is room for one more.

Ask for room in the transaction that takes it: the one writer then lets no two in at once.
"""

from __future__ import annotations

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.org import Quotas
from netpulse.model.time import Millis
from netpulse.rules import quotas as rules
from netpulse.storage.conn import Conn
from netpulse.storage.errors import QuotaReached
from netpulse.storage.table import listed

_MEMBERS = (
    "(SELECT count(*) FROM memberships m WHERE m.org_id = o.id AND m.kind = 'member')"
    " + (SELECT count(*) FROM invitations i WHERE i.org_id = o.id AND i.accepted_at IS NULL"
    " AND i.expires_at > ?)"
)
"""Members, the disabled ones too, and invitations that can still be accepted. People of the MSP
who have a grant take no place."""
_MONITORS = "ifnull((SELECT m.monitors FROM monitor_tallies m WHERE m.org_id = o.id), 0)"
_OPEN = "(o.private_targets AND (p.id IS NULL OR p.private_targets))"
"""A client may not reach further than its MSP."""


class Used(Struct, frozen=True, kw_only=True, gc=False):
    """How much of its quotas an organization uses."""

    monitors: int = 0
    users: int = 0


def of(conn: Conn, org_id: Id) -> Quotas:
    """Return what is in effect for the organization: its own quotas, and no private targets where
    its MSP may reach none. One that does not exist may have nothing."""
    row = conn.one(
        f"SELECT o.max_monitors, o.max_users, o.retention_days, {_OPEN} FROM organizations o"
        " LEFT JOIN organizations p ON p.id = o.parent_id WHERE o.id = ?",
        (org_id,),
    )
    if row is None:
        return Quotas(monitors=0, users=0, retention_days=0, private_targets=False)
    return Quotas(
        monitors=row[0], users=row[1], retention_days=row[2], private_targets=bool(row[3])
    )


def used(conn: Conn, org_ids: list[Id], now: Millis) -> dict[Id, Used]:
    """Return how much each of the organizations uses."""
    rows = conn.all(
        f"SELECT o.id, {_MONITORS}, {_MEMBERS} FROM organizations o"
        " WHERE o.id IN (SELECT value FROM json_each(?))",
        (now, listed(org_ids)),
    )
    found = {row[0]: Used(monitors=row[1], users=row[2]) for row in rows}
    return {org_id: found.get(org_id, Used()) for org_id in org_ids}


def room_for_monitor(conn: Conn, org_id: Id) -> None:
    """Make sure that the organization may have one more monitor; paused ones count too.

    Raises:
        QuotaReached: it has as many as it may.
    """
    row = conn.one(
        f"SELECT o.max_monitors, p.name, {_MONITORS} FROM organizations o"
        " LEFT JOIN organizations p ON p.id = o.parent_id"
        " WHERE o.id = ? AND o.max_monitors IS NOT NULL",
        (org_id,),
    )
    if row is not None and not rules.fits(row[0], row[2]):
        raise QuotaReached("monitors", row[0], row[2], row[1])


def room_for_user(conn: Conn, org_id: Id, now: Millis) -> None:
    """Make sure that the organization may have one more member or open invitation.

    Raises:
        QuotaReached: it has as many as it may.
    """
    row = conn.one(
        f"SELECT o.max_users, p.name, {_MEMBERS} FROM organizations o"
        " LEFT JOIN organizations p ON p.id = o.parent_id"
        " WHERE o.id = ? AND o.max_users IS NOT NULL",
        (now, org_id),
    )
    if row is not None and not rules.fits(row[0], row[2]):
        raise QuotaReached("users", row[0], row[2], row[1])


def shown_from(conn: Conn, org_id: Id, now: Millis) -> Millis:
    """Return the moment from which on raw results of the organization are shown."""
    return rules.shown_from(of(conn, org_id), now)


def confined(conn: Conn) -> frozenset[Id]:
    """Return the organizations that may reach public addresses only."""
    rows = conn.all(
        f"SELECT o.id FROM organizations o LEFT JOIN organizations p ON p.id = o.parent_id"
        f" WHERE NOT {_OPEN}"
    )
    return frozenset(row[0] for row in rows)
