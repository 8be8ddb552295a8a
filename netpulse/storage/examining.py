"""Looking at a main file without changing anything: beside a running server, or at rest.

A connection that only reads would still lay down a log and its index beside a file without one. So
a file without a log is opened as one that nobody changes; should somebody begin to write meanwhile,
what was seen may be wrong, and is looked at once more with the log.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import apsw
from msgspec import Struct

from netpulse.crypto.vault import Vault
from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.storage import audit_chains, kept_keys, meta, opening, rotation, sealed
from netpulse.storage.audit_chains import Break, Chain
from netpulse.storage.conn import Conn
from netpulse.storage.errors import StartRefused
from netpulse.storage.sealed import Broken


class Disturbed(Exception):
    """Somebody began to write into a file that was at rest: look once more."""


class Secrets(Struct, frozen=True):
    """What is kept sealed."""

    counts: dict[str, int]
    """Values by table."""
    broken: tuple[Broken, ...]


@contextmanager
def looking(path: Path, vault: Vault, *, at_rest: bool) -> Iterator[Conn]:
    """Open the file for looking only; `at_rest` says that nobody is expected to write.

    Raises:
        StartRefused: it cannot be opened.
        Disturbed: at the end, when it was not at rest after all.
    """
    before = _stamp(path)
    raw = _open(path, at_rest=at_rest)
    try:
        yield Conn(raw, vault)
    except apsw.Error as error:
        raise opening.refusal(path, error) from error
    finally:
        raw.close()
        if at_rest and (_stamp(path) != before or not is_at_rest(path)):
            # Whatever came of it, it may be wrong.
            raise Disturbed


def is_at_rest(path: Path) -> bool:
    """Tell whether there is no log beside the file, or one with nothing in it."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size == 0
    except OSError:
        return True


def layout(conn: Conn) -> int | None:
    """Return the version of the file's layout, or None if it is no NetPulse database."""
    known = conn.one("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'")
    return None if known is None else meta.schema_version(conn)


def key_problem(conn: Conn, path: Path) -> str | None:
    """Return why the keys at hand do not fit the file, in one line, or None; has the vault use the
    kept keys where they do."""
    try:
        problem = rotation.key_problem(conn, path)
        if problem is None and kept_keys.are_kept(conn):
            kept_keys.settle(conn, path, is_new=False)
    except StartRefused as refusal:
        return str(refusal)
    return problem


def secrets(conn: Conn) -> Secrets:
    """Open every sealed value there is."""
    counts = {column.table: sealed.count(conn, column) for column in sealed.COLUMNS}
    return Secrets(counts, tuple(sealed.broken(conn)))


def chains(conn: Conn) -> tuple[list[Chain], str | None]:
    """Return all chains of the audit log as they stand, and what is wrong with them as a whole."""
    conn.execute("BEGIN")
    try:
        return audit_chains.chains(conn), audit_chains.verify_roll(conn)
    finally:
        conn.execute("ROLLBACK")


def breaks(conn: Conn, chain: Chain) -> Iterator[tuple[int, list[Break]]]:
    """Read a chain through; yields after each piece how many rows were read, and the breaks so
    far."""
    found: list[Break] = []
    yield 0, found
    for read in audit_chains.walk(conn, chain, found):
        yield read, found
    yield chain.rows, found


def unvouched(conn: Conn) -> int:
    """Return how many entries of the audit log were written without the key, and are not signed
    yet."""
    return audit_chains.unvouched(conn)


def names(conn: Conn) -> dict[Id, str]:
    """Return the names of the organizations, those that are gone too."""
    return {row[0]: row[1] for row in conn.all("SELECT id, name FROM organizations")}


def last_seen(conn: Conn) -> Millis | None:
    """Return when a server last said that it watches, by the clock of then; None: never."""
    row = conn.one("SELECT max(seen_at) FROM runs")
    return None if row is None or row[0] is None else int(row[0])


def troubles(conn: Conn) -> list[str]:
    """Return what is wrong with the watching itself, as it was last written, in words."""
    rows = conn.all("SELECT kind, detail FROM troubles WHERE ended_at IS NULL ORDER BY since")
    return [f"{row[0]}: {row[1]}" if row[1] else str(row[0]) for row in rows]


def _open(path: Path, *, at_rest: bool) -> apsw.Connection:
    try:
        if not path.stat().st_size:
            raise StartRefused(f"{path} is empty: restore it from a backup")
        name = f"file:{quote(str(path.absolute()))}?mode=ro{'&immutable=1' if at_rest else ''}"
        raw = apsw.Connection(
            name, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI, statementcachesize=200
        )
        try:
            opening.tune(raw)
            raw.execute("PRAGMA query_only = ON").fetchall()
            raw.execute("SELECT count(*) FROM sqlite_master").fetchall()
        except BaseException:
            raw.close()
            raise
    except apsw.Error as error:
        raise opening.refusal(path, error) from error
    except OSError as error:
        raise StartRefused(f"cannot open {path}: {error.strerror} (uid {os.getuid()})") from None
    return raw


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        info = path.stat()
    except OSError:
        return (0, 0, 0)
    return (info.st_ino, info.st_size, info.st_mtime_ns)
