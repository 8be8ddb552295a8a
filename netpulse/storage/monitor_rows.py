"""Rows of monitors: a spec in with its secrets sealed, a Monitor out with them opened."""

from __future__ import annotations

import msgspec
from msgspec import Struct
from msgspec.structs import replace as changed

from netpulse.crypto.vault import SealBroken
from netpulse.model.check import LOCAL
from netpulse.model.ids import Id
from netpulse.model.monitor import Monitor, MonitorSpec, type_of
from netpulse.model.watch import Watch
from netpulse.rules.monitors import join_secrets, split_secrets
from netpulse.storage import pushes, watches
from netpulse.storage.conn import Conn, Row

COLUMNS = (
    "m.id, m.key, m.org_id, m.config, m.secrets, m.is_paused, m.created_by, m.created_at,"
    " m.deleted_at, m.version, m.source, m.external_id, m.managed_by,"
    " (SELECT p.token FROM pushes p WHERE p.monitor_id = m.id)"
)
"""A select list (table alias `m`) that `of_row` takes."""

_WIDTH = 14

JOINED = (
    f"SELECT {COLUMNS}, {watches.COLUMNS} FROM monitors m"
    f" JOIN watches w ON w.monitor_id = m.id AND w.region = '{LOCAL}'"
)
"""A SELECT without its WHERE that `joined` takes the rows of."""

_spec = msgspec.json.Decoder(MonitorSpec)
_secrets = msgspec.json.Decoder(dict[str, str])


class MonitorRow(Struct, frozen=True):
    """A monitor with what is remembered of it."""

    monitor: Monitor
    watch: Watch


def of_row(conn: Conn, row: Row) -> Monitor:
    """Return the Monitor of a row selected with COLUMNS; what does not open is said in `damage`."""
    spec, damage = _spec.decode(row[3]), None
    if row[4] is not None:
        try:
            opened = conn.vault.open(row[4], _context(row[0], row[2]))
            spec = join_secrets(spec, _secrets.decode(opened))
        except (SealBroken, msgspec.MsgspecError) as error:
            damage = f"its secrets do not open; enter them again ({error})"
    if spec.is_paused != bool(row[5]):
        spec = changed(spec, is_paused=bool(row[5]))
    return Monitor(
        id=row[0],
        key=row[1],
        org_id=row[2],
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


def joined(conn: Conn, row: Row) -> MonitorRow:
    """Return the MonitorRow of a row selected with JOINED."""
    return MonitorRow(of_row(conn, row[:_WIDTH]), watches.of_row(row[_WIDTH:]))


def values(
    conn: Conn, monitor_id: Id, org_id: Id, spec: MonitorSpec
) -> tuple[str | int | bytes | None, ...]:
    """Return the columns name to secrets that follow from a spec, its secrets sealed."""
    bare, secrets = split_secrets(spec)
    sealed = None
    if secrets:
        sealed = conn.vault.seal(msgspec.json.encode(secrets), _context(monitor_id, org_id))
    return (
        bare.name,
        type_of(bare),
        bare.target,
        bare.group,
        msgspec.json.encode(bare.tags).decode(),
        "\n".join((bare.name, bare.target, bare.group, *bare.tags)).casefold(),
        bare.interval_seconds,
        bare.timeout_seconds,
        msgspec.json.encode(bare).decode(),
        sealed,
    )


def put_tags(conn: Conn, key: int, org_id: Id, spec: MonitorSpec) -> None:
    """Keep the tags of a monitor, in place of those it had."""
    conn.execute("DELETE FROM monitor_tags WHERE monitor_key = ?", (key,))
    conn.many(
        "INSERT OR IGNORE INTO monitor_tags (monitor_key, tag, org_id) VALUES (?, ?, ?)",
        [(key, tag, org_id) for tag in spec.tags],
    )


def _context(monitor_id: Id, org_id: Id) -> str:
    return f"monitors|secrets|{monitor_id}|{org_id}"
