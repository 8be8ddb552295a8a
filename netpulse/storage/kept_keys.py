"""The keys that stay when the master key is changed, sealed with it.

Sessions, refresh tokens, API keys and push tokens are found by digests under them, links that were
sent carry their signature, and so do the ends of the audit log. A file from before there were kept
keys gets those that were derived from its master key, so that everything stored stays valid.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from netpulse.crypto.vault import AUDIT, FOUND_TOKENS, LINKS, STORED_TOKENS, SealBroken
from netpulse.storage import audit_heads, meta
from netpulse.storage.conn import Conn
from netpulse.storage.errors import StartRefused

_KEY = "kept_keys"
_CONTEXT = "meta|kept_keys|-|-"
_DERIVED = (FOUND_TOKENS, STORED_TOKENS, LINKS)
"""Those that were derived from the master key once."""
_NAMES = (*_DERIVED, AUDIT)
_BYTES = 32

_decoder = msgspec.json.Decoder(dict[str, str])


def settle(conn: Conn, path: Path, *, is_new: bool) -> None:
    """Hand the kept keys to the vault; where there are none yet, store them first: random ones in a
    new file.

    Needs a transaction that may write, unless `are_kept` says that there is nothing to write.

    Raises:
        StartRefused: they were taken away, or do not open.
    """
    if not are_kept(conn):
        if conn.vault.is_keeping(_check(conn)):
            raise StartRefused(
                f"{path} is not whole: the keys kept in it are missing; restore it from a backup"
            )
        keys = {name: secrets.token_bytes(_BYTES) for name in _NAMES}
        if not is_new:
            keys |= {name: conn.vault.derived(name) for name in _DERIVED}
        _put(conn, keys)
        conn.vault.keep(keys)
        audit_heads.sign_all(conn)
        return
    try:
        conn.vault.keep(_stored(conn))
    except (SealBroken, msgspec.MsgspecError, ValueError) as error:
        raise StartRefused(
            f"{path} is damaged: the keys kept in it do not open ({error}); restore it from a "
            "backup"
        ) from None


def are_kept(conn: Conn) -> bool:
    """Tell whether there are kept keys."""
    return meta.get(conn, _KEY) is not None


def seal_anew(conn: Conn) -> None:
    """Seal the kept keys, and the value by which a key is known to fit, with the key that seals
    now; from this transaction on everybody seals with it.

    Raises:
        SealBroken: they do not open.
    """
    _put(conn, _stored(conn))


def _put(conn: Conn, keys: dict[str, bytes]) -> None:
    text = msgspec.json.encode({name: key.hex() for name, key in keys.items()})
    meta.put(conn, _KEY, conn.vault.seal(text, _CONTEXT))
    meta.put(conn, "vault_check", conn.vault.check_value(keeping=True))


def _stored(conn: Conn) -> dict[str, bytes]:
    sealed = meta.get(conn, _KEY)
    if not isinstance(sealed, bytes):
        raise SealBroken(f"the sealed value of {_CONTEXT} has an unknown format")
    found = _decoder.decode(conn.vault.open(sealed, _CONTEXT))
    keys = {name: bytes.fromhex(text) for name, text in found.items()}
    missing = [name for name in _NAMES if len(keys.get(name, b"")) != _BYTES]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing")
    return keys


def _check(conn: Conn) -> bytes:
    value = meta.get(conn, "vault_check")
    return value if isinstance(value, bytes) else b""
