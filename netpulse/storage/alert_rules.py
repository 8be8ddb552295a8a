"""Alert rules: who is told about what."""

from __future__ import annotations

import logging
from collections.abc import Collection

import msgspec

from netpulse.model.alert import Event, QuietHours, Rule
from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.rules import condition
from netpulse.storage.conn import Conn, Row
from netpulse.storage.table import Page, Table, Values, listed

_log = logging.getLogger("netpulse.storage")

_COLUMNS = (
    "id, org_id, name, is_active, monitor_id, tag, channel_id, condition, cooldown_seconds,"
    " notify_recovery, created_at, version, escalation_minutes, reminder_minutes, quiet_hours,"
    " fallback_channel_id, message"
)
_quiet_hours = msgspec.json.Decoder(QuietHours)
_OF_ALIAS = ", ".join(f"r.{column}" for column in _COLUMNS.split(", "))


def get(conn: Conn, org_id: Id, rule_id: Id) -> Rule | None:
    """Return the organization's rule, or None."""
    return _TABLE.get(conn, org_id, rule_id)


def page(
    conn: Conn,
    org_id: Id,
    *,
    monitor_id: Id | None = None,
    channel_id: Id | None = None,
    offset: int = 0,
    limit: int = 20,
) -> Page[Rule]:
    """Return rules by name, of one monitor (bound to it) or one channel if asked for."""
    where = "(?2 IS NULL OR monitor_id = ?2) AND (?3 IS NULL OR channel_id = ?3)"
    return _TABLE.page(
        conn, org_id, offset=offset, limit=limit, where=where, params=(monitor_id, channel_id)
    )


def falling_back_to(conn: Conn, org_id: Id, channel_id: Id, *, limit: int = 20) -> Page[Rule]:
    """Return the rules by name whose fallback is a channel."""
    where = "fallback_channel_id = ?"
    return _TABLE.page(conn, org_id, limit=limit, where=where, params=(channel_id,))


def insert(conn: Conn, rule: Rule) -> Rule:
    """Add a rule and return it. That its monitor and channel are the organization's own is the
    caller's to check, in the same transaction."""
    _TABLE.insert(conn, rule)
    return rule


def replace(conn: Conn, rule: Rule, *, expected_version: int | None = None, now: Millis) -> Rule:
    """Put `rule` in the place of the one with its id; returns it with its new version.

    Raises:
        Missing: the organization has no such rule.
        VersionConflict: somebody has changed it since `expected_version`.
    """
    stored = _TABLE.update(conn, rule, expected_version)
    conn.execute("UPDATE alert_rules SET updated_at = ? WHERE id = ?", (now, rule.id))
    return stored


def delete(conn: Conn, org_id: Id, rule_id: Id) -> Rule:
    """Remove a rule and return it as it was; notices it has written are still sent.

    Raises:
        Missing: the organization has no such rule.
    """
    return _TABLE.delete(conn, org_id, rule_id)


def covering(conn: Conn, org_id: Id, monitor_id: Id, tags: Collection[str]) -> list[Rule]:
    """Return the rules that cover the monitor, inactive ones too: by its id, by a tag, or as any
    of the org.

    One whose condition cannot be read (any more) is left out and logged: it must not keep a
    monitor's edges from being written.
    """
    rows = conn.all(
        f"SELECT {_COLUMNS} FROM alert_rules WHERE org_id = ?"
        " AND (monitor_id = ? OR (monitor_id IS NULL"
        " AND (tag IS NULL OR tag IN (SELECT value FROM json_each(?))))) ORDER BY id",
        (org_id, monitor_id, listed(tags)),
    )
    return [rule for rule in (_rule(conn, row) for row in rows) if _is_readable(rule)]


def for_monitor(conn: Conn, org_id: Id, monitor_id: Id, tags: Collection[str]) -> list[Rule]:
    """Return the active rules that cover the monitor."""
    return [rule for rule in covering(conn, org_id, monitor_id, tags) if rule.is_active]


def for_system(conn: Conn, org_id: Id | None = None) -> list[Rule]:
    """Return the active rules that tell of NetPulse itself, of one organization or of all."""
    rows = conn.all(
        f"SELECT {_COLUMNS} FROM alert_rules WHERE is_active AND (?1 IS NULL OR org_id = ?1)"
        " ORDER BY id",
        (org_id,),
    )
    return [
        rule for rule in (_rule(conn, row) for row in rows) if Event.SYSTEM_ISOLATED in events(rule)
    ]


def with_terms(conn: Conn, org_id: Id | None = None) -> list[Rule]:
    """Return the active rules that speak of a measure, of one organization or of all."""
    rows = conn.all(
        f"SELECT {_COLUMNS} FROM alert_rules WHERE is_active AND (?1 IS NULL OR org_id = ?1)"
        " ORDER BY id",
        (org_id,),
    )
    rules = [_rule(conn, row) for row in rows]
    return [rule for rule in rules if _is_readable(rule) and condition.parse(rule.condition).terms]


def telling_of_down(conn: Conn, org_id: Id) -> list[Rule]:
    """Return the organization's active rules on active channels that tell of a monitor's being
    down."""
    rows = conn.all(
        f"SELECT {_OF_ALIAS} FROM alert_rules r JOIN alert_channels c ON c.id = r.channel_id"
        " WHERE r.org_id = ? AND r.is_active AND c.is_active AND c.deleted_at IS NULL",
        (org_id,),
    )
    return [
        rule for rule in (_rule(conn, row) for row in rows) if Event.MONITOR_DOWN in events(rule)
    ]


def events(rule: Rule) -> frozenset[Event]:
    """Return what the rule's condition reacts to. Conditions are checked when they are saved; one
    that cannot be read (any more) reacts to nothing."""
    try:
        return condition.parse(rule.condition).events
    except ValueError:
        return frozenset()


def _is_readable(rule: Rule) -> bool:
    try:
        condition.parse(rule.condition)
    except ValueError as error:
        _log.error("alert rule %s tells nobody, its condition cannot be read: %s", rule.id, error)
        return False
    return True


def _rule(conn: Conn, row: Row) -> Rule:
    return Rule(
        id=row[0],
        org_id=row[1],
        name=row[2],
        is_active=bool(row[3]),
        monitor_id=row[4],
        tag=row[5],
        channel_id=row[6],
        condition=row[7],
        cooldown_seconds=row[8],
        notify_recovery=bool(row[9]),
        created_at=row[10],
        version=row[11],
        escalation_minutes=row[12],
        reminder_minutes=row[13],
        quiet_hours=_quiet(row[0], row[14]),
        fallback_channel_id=row[15],
        message=row[16],
    )


def _quiet(rule_id: Id, stored: str | None) -> QuietHours | None:
    """Return stored quiet hours; those that cannot be read (any more) silence nothing."""
    if stored is None:
        return None
    try:
        return _quiet_hours.decode(stored)
    except msgspec.MsgspecError as error:
        _log.error("the quiet hours of alert rule %s cannot be read: %s", rule_id, error)
        return None


def _values(conn: Conn, rule: Rule) -> Values:
    return {
        "id": rule.id,
        "org_id": rule.org_id,
        "name": rule.name,
        "is_active": int(rule.is_active),
        "monitor_id": rule.monitor_id,
        "tag": rule.tag,
        "channel_id": rule.channel_id,
        "condition": rule.condition,
        "cooldown_seconds": rule.cooldown_seconds,
        "notify_recovery": int(rule.notify_recovery),
        "escalation_minutes": rule.escalation_minutes,
        "reminder_minutes": rule.reminder_minutes,
        "quiet_hours": None
        if rule.quiet_hours is None
        else msgspec.json.encode(rule.quiet_hours).decode(),
        "fallback_channel_id": rule.fallback_channel_id,
        "message": rule.message,
        "created_at": rule.created_at,
        "updated_at": rule.created_at,
    }


_TABLE: Table[Rule] = Table(
    "alert_rules",
    noun="alert rule",
    columns=_COLUMNS,
    read=_rule,
    write=_values,
    order="name COLLATE NOCASE, id",
)
