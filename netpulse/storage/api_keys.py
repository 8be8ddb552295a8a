"""API keys: their digests, and when each was used last."""

from __future__ import annotations

import msgspec

from netpulse.model.api_key import ApiKey
from netpulse.model.ids import Id
from netpulse.model.time import MINUTE, Millis
from netpulse.storage.conn import Conn, Row
from netpulse.storage.table import Page, Table, Values

TOUCH_MS = MINUTE
"""How exact `last_used_at` is: a write for each request would cost more than the request."""

_COLUMNS = (
    "id, org_id, created_by, name, key_prefix, key_digest, scopes, last_used_at, expires_at,"
    " created_at, version"
)
_scopes = msgspec.json.Decoder(tuple[str, ...])


def get(conn: Conn, org_id: Id, key_id: Id) -> ApiKey | None:
    """Return the organization's key, or None."""
    return _TABLE.get(conn, org_id, key_id)


def page(conn: Conn, org_id: Id, *, offset: int = 0, limit: int = 20) -> Page[ApiKey]:
    """Return keys by name, the expired ones too."""
    return _TABLE.page(conn, org_id, offset=offset, limit=limit)


def find(conn: Conn, prefix: str) -> ApiKey | None:
    """Return the key with this prefix, of whatever organization. That the whole key is right is
    the caller's to check."""
    row = conn.one(f"SELECT {_COLUMNS} FROM api_keys WHERE key_prefix = ?", (prefix,))
    return None if row is None else _key(conn, row)


def insert(conn: Conn, key: ApiKey) -> ApiKey:
    """Add a key and return it."""
    _TABLE.insert(conn, key)
    return key


def rotate(
    conn: Conn, org_id: Id, key_id: Id, prefix: str, digest: str, maker: Id, now: Millis
) -> ApiKey:
    """Give a key another secret, made by the user `maker`; the old one ends at once.

    Raises:
        Missing: the organization has no such key.
    """
    _TABLE.expect(conn, org_id, key_id, None)
    conn.execute(
        "UPDATE api_keys SET key_prefix = ?, key_digest = ?, created_by = ?, last_used_at = NULL,"
        " updated_at = ?, version = version + 1 WHERE id = ?",
        (prefix, digest, maker, now, key_id),
    )
    stored = get(conn, org_id, key_id)
    assert stored is not None, "it was just changed in this transaction"
    return stored


def delete(conn: Conn, org_id: Id, key_id: Id) -> ApiKey:
    """Revoke a key and return it as it was.

    Raises:
        Missing: the organization has no such key.
    """
    return _TABLE.delete(conn, org_id, key_id)


def made_by(conn: Conn, org_id: Id, user_id: Id) -> list[ApiKey]:
    """Return the organization's keys that the user has made, the oldest first."""
    rows = conn.all(
        f"SELECT {_COLUMNS} FROM api_keys WHERE org_id = ? AND created_by = ? ORDER BY id",
        (org_id, user_id),
    )
    return [_key(conn, row) for row in rows]


def delete_made_by(conn: Conn, org_id: Id, user_id: Id) -> list[ApiKey]:
    """Revoke the organization's keys that the user has made, and return them as they were."""
    keys = made_by(conn, org_id, user_id)
    conn.execute("DELETE FROM api_keys WHERE org_id = ? AND created_by = ?", (org_id, user_id))
    return keys


def touch(conn: Conn, key_id: Id, now: Millis) -> None:
    """Note that a key was used."""
    conn.execute("UPDATE api_keys SET last_used_at = ? WHERE id = ?", (now, key_id))


def _key(conn: Conn, row: Row) -> ApiKey:
    del conn
    return ApiKey(
        id=row[0],
        org_id=row[1],
        created_by=row[2],
        name=row[3],
        prefix=row[4],
        digest=row[5],
        scopes=_scopes.decode(row[6]),
        last_used_at=row[7],
        expires_at=row[8],
        created_at=row[9],
        version=row[10],
    )


def _values(conn: Conn, key: ApiKey) -> Values:
    del conn
    return {
        "id": key.id,
        "org_id": key.org_id,
        "created_by": key.created_by,
        "name": key.name,
        "key_prefix": key.prefix,
        "key_digest": key.digest,
        "scopes": msgspec.json.encode(key.scopes).decode(),
        "last_used_at": key.last_used_at,
        "expires_at": key.expires_at,
        "created_at": key.created_at,
        "updated_at": key.created_at,
    }


_TABLE: Table[ApiKey] = Table(
    "api_keys",
    noun="API key",
    columns=_COLUMNS,
    read=_key,
    write=_values,
    order="name COLLATE NOCASE, id",
)
