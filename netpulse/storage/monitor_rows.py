"""Rows of monitors: a spec in with its secrets sealed, a Monitor out with them opened."""

from __future__ import annotations

import sys

import msgspec
from msgspec import Struct
from msgspec.structs import replace as changed

from netpulse.crypto.vault import NoKey, SealBroken
from netpulse.model.check import LOCAL
from netpulse.model.ids import Id
from netpulse.model.maintenance import Window, shown
from netpulse.model.monitor import TYPES, HttpSpec, Monitor, MonitorSpec, PushSpec, type_of
from netpulse.model.watch import Watch
from netpulse.rules.monitors import join_secrets, split_secrets
from netpulse.storage import pushes, watches
from netpulse.storage.conn import Conn, Row
from netpulse.storage.sealed import MONITOR_SECRETS

COLUMNS = (
    "m.id, m.key, m.org_id, m.config, m.secrets, m.is_paused, m.created_by, m.created_at,"
    " m.deleted_at, m.version, m.source, m.external_id, m.managed_by,"
    " (SELECT p.token FROM pushes p WHERE p.monitor_id = m.id), m.parent_id"
)
"""A select list (table alias `m`) that `of_row` takes."""

_WIDTH = 15

WATCHED = f" CROSS JOIN watches w ON w.monitor_id = m.id AND w.region = '{LOCAL}'"
"""What follows `monitors m` in a FROM: first the monitors are found, and only then their watches,
whatever SQLite knows of either."""

SELECTED = f"SELECT {COLUMNS}, {watches.COLUMNS}, m.maintained_from, m.maintained_until"
"""A SELECT without its FROM that `joined` takes the rows of."""

JOINED = f"{SELECTED} FROM monitors m{WATCHED}"
"""The same without its WHERE."""

_spec = msgspec.json.Decoder(MonitorSpec)
_secrets = msgspec.json.Decoder(dict[str, str])
_tags = msgspec.json.Decoder(tuple[str, ...])
_UNREADABLE = (msgspec.MsgspecError, ValueError)


class MonitorRow(Struct, frozen=True):
    """A monitor with what is remembered of it."""

    monitor: Monitor
    watch: Watch
    maintained: Window | None = None
    """The stretch of maintenance it is in, as last looked at."""

    @property
    def shown(self) -> Watch:
        """What people see: the watch, or maintenance over it."""
        return shown(self.watch, self.maintained)


def of_row(conn: Conn, row: Row) -> Monitor:
    """Return the Monitor of a row selected with COLUMNS.

    A configuration that cannot be read, or secrets that do not open, are said in `damage`: one bad
    row must not hide the others. In place of what cannot be read stands what the list's columns
    still say of the monitor.
    """
    damage = None
    try:
        spec = _spec.decode(row[3])
    except _UNREADABLE as error:
        spec = _remains(conn, row[0])
        damage = f"its configuration cannot be read; enter it again ({error})"
    if row[4] is not None and damage is None:
        try:
            opened = conn.vault.open(row[4], MONITOR_SECRETS.context(row[0], row[2]))
            spec = join_secrets(spec, _secrets.decode(opened))
        except NoKey as error:
            damage = f"its secrets cannot be read: {error}"
        except (SealBroken, *_UNREADABLE) as error:
            damage = f"its secrets do not open; enter them again ({error})"
    if conn.vault.is_lost and isinstance(spec, PushSpec) and damage is None:
        damage = f"it cannot be told whose a ping is: {NoKey()}"
    if spec.is_paused != bool(row[5]):
        spec = changed(spec, is_paused=bool(row[5]))
    if spec.parent_id != row[14]:
        spec = changed(spec, parent_id=row[14])
    authority: str | None = getattr(spec, "ca_certificate", None)
    if authority is not None:
        # Who has an authority of their own has many monitors that trust it.
        spec = changed(spec, ca_certificate=sys.intern(authority))
    return Monitor(
        id=row[0],
        key=row[1],
        # One and the same text for all monitors of an organization: each check asks for it.
        org_id=sys.intern(row[2]),
        spec=spec,
        created_by=row[6],
        created_at=row[7],
        deleted_at=row[8],
        version=row[9],
        source=row[10],
        external_id=row[11],
        managed_by=row[12],
        damage=damage,
        ping_token=pushes.opened(conn, row[0], row[2], row[13]),
    )


def _remains(conn: Conn, monitor_id: Id) -> MonitorSpec:
    """Return what the columns beside an unreadable configuration still say of a monitor."""
    row = conn.one(
        "SELECT type, name, target, group_name, tags, interval_seconds, timeout_seconds"
        " FROM monitors WHERE id = ?",
        (monitor_id,),
    )
    assert row is not None, "its row was just read in this transaction"
    try:
        tags = _tags.decode(row[4])
    except _UNREADABLE:
        tags = ()
    return TYPES.get(row[0], HttpSpec)(
        name=row[1],
        target=row[2],
        group=row[3],
        tags=tags,
        interval_seconds=row[5],
        timeout_seconds=row[6],
    )


def joined(conn: Conn, row: Row) -> MonitorRow:
    """Return the MonitorRow of a row selected with SELECTED."""
    begun, until = row[_WIDTH + watches.WIDTH :]
    return MonitorRow(
        of_row(conn, row[:_WIDTH]),
        watches.of_row(row[_WIDTH:]),
        None if until is None else Window(begun, until),
    )


def values(
    conn: Conn, monitor_id: Id, org_id: Id, spec: MonitorSpec
) -> tuple[str | int | bytes | None, ...]:
    """Return the columns name to parent_id that follow from a spec, its secrets sealed."""
    bare, secrets = split_secrets(spec)
    sealed = None
    if secrets:
        sealed = conn.vault.seal(
            msgspec.json.encode(secrets), MONITOR_SECRETS.context(monitor_id, org_id)
        )
    return (
        bare.name,
        type_of(bare),
        bare.target,
        bare.group,
        msgspec.json.encode(bare.tags).decode(),
        "\n".join((bare.name, bare.target, bare.group, *bare.tags)).casefold(),
        bare.interval_seconds,
        bare.timeout_seconds,
        # A column of its own says what it depends on: that may be deleted.
        msgspec.json.encode(changed(bare, parent_id=None)).decode(),
        sealed,
        bare.parent_id,
    )


def put_tags(conn: Conn, key: int, org_id: Id, spec: MonitorSpec) -> None:
    """Keep the tags of a monitor, in place of those it had."""
    conn.execute("DELETE FROM monitor_tags WHERE monitor_key = ?", (key,))
    conn.many(
        "INSERT OR IGNORE INTO monitor_tags (monitor_key, tag, org_id) VALUES (?, ?, ?)",
        [(key, tag, org_id) for tag in spec.tags],
    )
