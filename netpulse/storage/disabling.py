"""Disabling: a channel whose far side refuses for good is switched off, and somebody is told."""

from __future__ import annotations

from netpulse.model.alert import Cause, Event, Notice, NoticeStatus
from netpulse.model.ids import Id, derived_id
from netpulse.model.time import Millis
from netpulse.model.user import Actor
from netpulse.rules import alerting, outbox
from netpulse.storage import alert_rules, audit, channels, fallbacks, notice_rows, orgs
from netpulse.storage.conn import Conn

_ACTOR = Actor(kind="system", label="NetPulse")


def refused(conn: Conn, channel_id: Id, why: str, now: Millis, *, disables: bool) -> bool:
    """Note that a channel refused a message for good; tell whether that switched it off.

    It does at once where the refusal speaks of the channel (`disables`), else the fifth time in a
    row. `why` is a sentence.
    """
    conn.execute("UPDATE alert_channels SET refusals = refusals + 1 WHERE id = ?", (channel_id,))
    row = conn.one(
        "SELECT org_id, name, refusals FROM alert_channels"
        " WHERE id = ? AND is_active AND deleted_at IS NULL",
        (channel_id,),
    )
    if row is None:
        return False
    org_id, name, refusals = row
    if not disables and refusals < outbox.REFUSALS:
        return False
    reason = why if disables else f"{refusals} notices in a row were refused, the last one: {why}"
    conn.execute(
        "UPDATE alert_channels SET is_active = 0, disabled_at = ?1, disabled_reason = ?2,"
        " updated_at = ?1, version = version + 1 WHERE id = ?3",
        (now, reason, channel_id),
    )
    audit.append(
        conn,
        org_id,
        _ACTOR,
        "alert_channel.disabled",
        "alert_channel",
        channel_id,
        {"is_active": True},
        {"is_active": False, "reason": reason},
        now,
    )
    # What waits for it would be lost without a word: the rules' fallback channels get it.
    for (notice_id,) in conn.all(
        "SELECT id FROM alert_events INDEXED BY alert_events_fallback"
        " WHERE channel_id = ? AND status = 'pending' AND fallback_at IS NOT NULL ORDER BY seq",
        (channel_id,),
    ):
        fallbacks.tell(conn, notice_id, now)
    channels.silence(conn, channel_id)
    _tell(conn, org_id, channel_id, f"The channel {name} was switched off: {reason}", now)
    return True


def _tell(conn: Conn, org_id: Id, channel_id: Id, sentence: str, now: Millis) -> None:
    """Tell of it through other channels."""
    org = orgs.get(conn, org_id)
    assert org is not None, "a channel's organization exists (foreign key)"
    for other_id, rule_id in _others(conn, org_id, channel_id):
        notice_id = derived_id(now, channel_id, other_id, rule_id or "")
        notice_rows.write(
            conn,
            Notice(
                id=notice_id,
                org_id=org_id,
                event=Event.CHANNEL_DISABLED,
                rule_id=rule_id,
                channel_id=other_id,
                monitor_id=None,
                incident_id=None,
                status=NoticeStatus.PENDING,
                payload=alerting.payload(
                    notice_id, Event.CHANNEL_DISABLED, org, at=now, reason=sentence
                ),
                created_at=now,
                next_attempt_at=now,
                cause=Cause.SYSTEM,
            ),
        )


def _others(conn: Conn, org_id: Id, channel_id: Id) -> list[tuple[Id, Id | None]]:
    """Return the active channels that are told, with the rule that says so: those of `system`
    rules, else the fallback channels of the rules that use the channel, else the oldest one."""
    active = {
        row[0]
        for row in conn.all(
            "SELECT id FROM alert_channels WHERE org_id = ? AND is_active"
            " AND deleted_at IS NULL AND id <> ?",
            (org_id, channel_id),
        )
    }
    of_system: dict[Id, Id | None] = {}
    for rule in alert_rules.for_system(conn, org_id):
        if rule.channel_id in active:
            of_system.setdefault(rule.channel_id, rule.id)
    if of_system:
        return list(of_system.items())
    instead: dict[Id, Id | None] = {}
    for rule_id, fallback_id in conn.all(
        "SELECT id, fallback_channel_id FROM alert_rules WHERE channel_id = ? AND is_active"
        " AND fallback_channel_id IS NOT NULL ORDER BY created_at, id",
        (channel_id,),
    ):
        if fallback_id in active:
            instead.setdefault(fallback_id, rule_id)
    if instead:
        return list(instead.items())
    oldest = conn.one(
        "SELECT id FROM alert_channels WHERE org_id = ? AND is_active AND deleted_at IS NULL"
        " AND id <> ? ORDER BY created_at, id LIMIT 1",
        (org_id, channel_id),
    )
    return [] if oldest is None else [(oldest[0], None)]
