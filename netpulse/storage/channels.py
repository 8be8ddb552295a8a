"""Alert channels. Their whole configuration is sealed: URLs of webhooks are secrets too."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace as changed

from netpulse.crypto.vault import NoKey, SealBroken
from netpulse.model.alert import Suppressed
from netpulse.model.channel import Channel, ChannelConfig, WebhookConfig
from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.storage.conn import Conn, Row
from netpulse.storage.sealed import CHANNEL_CONFIG
from netpulse.storage.table import Page, Table, Values, listed

COLUMNS = (
    "id, org_id, name, type, config, is_active, retry_for_seconds, max_attempts, created_at,"
    " version, disabled_at, disabled_reason, last_test_at, last_test_ok"
)
_config = msgspec.json.Decoder(ChannelConfig)


def get(conn: Conn, org_id: Id, channel_id: Id) -> Channel | None:
    """Return the organization's channel, or None if it has none with this id (any more)."""
    return _TABLE.get(conn, org_id, channel_id)


def page(conn: Conn, org_id: Id, *, offset: int = 0, limit: int = 20) -> Page[Channel]:
    """Return channels by name."""
    return _TABLE.page(conn, org_id, offset=offset, limit=limit)


def active(conn: Conn, org_id: Id) -> list[Channel]:
    """Return the organization's active channels by name."""
    rows = conn.all(
        f"SELECT {COLUMNS} FROM alert_channels WHERE org_id = ? AND is_active"
        " AND deleted_at IS NULL ORDER BY name COLLATE NOCASE, id",
        (org_id,),
    )
    return [of_row(conn, row) for row in rows]


def active_ids(conn: Conn, ids: frozenset[Id]) -> frozenset[Id]:
    """Return those of `ids` that exist and are active."""
    rows = conn.all(
        "SELECT id FROM alert_channels WHERE id IN (SELECT value FROM json_each(?))"
        " AND is_active AND deleted_at IS NULL",
        (listed(ids),),
    )
    return frozenset(row[0] for row in rows)


def any_posting(conn: Conn) -> bool:
    """Tell whether there is a channel that posts: of any type but mail."""
    return conn.one("SELECT 1 FROM alert_channels WHERE type != 'email' LIMIT 1") is not None


def insert(conn: Conn, channel: Channel) -> Channel:
    """Add a channel and return it."""
    _TABLE.insert(conn, channel)
    return channel


def replace(
    conn: Conn, channel: Channel, *, expected_version: int | None = None, now: Millis
) -> Channel:
    """Put `channel` in the place of the one with its id; returns it with its new version.

    Switched off, its notices that still wait become suppressed (channel_inactive). Switched on,
    it is forgotten why NetPulse had switched it off.

    Raises:
        Missing: the organization has no such channel.
        VersionConflict: somebody has changed it since `expected_version`.
    """
    stored = _TABLE.update(conn, channel, expected_version)
    conn.execute("UPDATE alert_channels SET updated_at = ? WHERE id = ?", (now, channel.id))
    if not stored.is_active:
        silence(conn, stored.id)
        return stored
    conn.execute(
        "UPDATE alert_channels SET refusals = 0, disabled_at = NULL, disabled_reason = NULL"
        " WHERE id = ?",
        (stored.id,),
    )
    return changed(stored, disabled_at=None, disabled_reason=None)


def tested(conn: Conn, org_id: Id, channel_id: Id, *, ok: bool, now: Millis) -> None:
    """Keep when a test message was last sent, and whether it was taken; no new version."""
    conn.execute(
        "UPDATE alert_channels SET last_test_at = ?, last_test_ok = ? WHERE org_id = ? AND id = ?",
        (now, int(ok), org_id, channel_id),
    )


def delete(conn: Conn, org_id: Id, channel_id: Id, *, now: Millis) -> None:
    """Remove a channel, the rules that speak through it, and its configuration.

    Rules that fall back to it stay, without a fallback. Its notices stay, so that what was told can
    still be read.

    Raises:
        Missing: the organization has no such channel.
    """
    _TABLE.expect(conn, org_id, channel_id, None)
    conn.execute("DELETE FROM alert_rules WHERE channel_id = ?", (channel_id,))
    conn.execute(
        "UPDATE alert_rules SET fallback_channel_id = NULL, updated_at = ?, version = version + 1"
        " WHERE fallback_channel_id = ?",
        (now, channel_id),
    )
    conn.execute(
        "UPDATE alert_channels SET deleted_at = ?, updated_at = ?, is_active = 0, config = x'',"
        " version = version + 1 WHERE id = ?",
        (now, now, channel_id),
    )
    silence(conn, channel_id)


def of_row(conn: Conn, row: Row) -> Channel:
    """Return the Channel of a row selected with COLUMNS; what does not open is said in `damage`."""
    config: ChannelConfig = WebhookConfig(url="")
    damage = None
    try:
        config = _config.decode(conn.vault.open(row[4], CHANNEL_CONFIG.context(row[0], row[1])))
    except NoKey as error:
        damage = f"its configuration cannot be read: {error}"
    except (SealBroken, msgspec.MsgspecError) as error:
        damage = f"its configuration does not open; enter it again ({error})"
    return Channel(
        id=row[0],
        org_id=row[1],
        name=row[2],
        type=row[3],
        config=config,
        is_active=bool(row[5]),
        retry_for_seconds=row[6],
        max_attempts=row[7],
        created_at=row[8],
        version=row[9],
        disabled_at=row[10],
        disabled_reason=row[11],
        last_test_at=row[12],
        last_test_ok=None if row[13] is None else bool(row[13]),
        damage=damage,
    )


def _values(conn: Conn, channel: Channel) -> Values:
    sealed = conn.vault.seal(
        msgspec.json.encode(channel.config), CHANNEL_CONFIG.context(channel.id, channel.org_id)
    )
    return {
        "id": channel.id,
        "org_id": channel.org_id,
        "name": channel.name,
        "type": channel.type,
        "config": sealed,
        "is_active": int(channel.is_active),
        "retry_for_seconds": channel.retry_for_seconds,
        "max_attempts": channel.max_attempts,
        "disabled_at": channel.disabled_at,
        "disabled_reason": channel.disabled_reason,
        "created_at": channel.created_at,
        "updated_at": channel.created_at,
    }


def silence(conn: Conn, channel_id: Id) -> None:
    """Suppress what still waits for a channel that is switched off."""
    # In two steps, each of which finds its notices by an index: the log is long.
    for index, which in (("outbox", "IS NULL"), ("held", "IS NOT NULL")):
        conn.execute(
            f"UPDATE alert_events INDEXED BY alert_events_{index} SET status = 'suppressed',"
            " reason = ?, held_for = NULL, next_attempt_at = NULL, fallback_at = NULL,"
            " claimed_by = NULL, claimed_until = NULL"
            f" WHERE channel_id = ? AND status = 'pending' AND held_for {which}",
            (Suppressed.CHANNEL_INACTIVE.value, channel_id),
        )


_TABLE: Table[Channel] = Table(
    "alert_channels",
    noun="alert channel",
    columns=COLUMNS,
    read=of_row,
    write=_values,
    order="name COLLATE NOCASE, id",
    live="deleted_at IS NULL",
)
