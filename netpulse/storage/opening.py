"""Opening the main file: every refusal is one line, and nothing is made over what was there."""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import apsw

from netpulse.crypto.vault import Vault
from netpulse.storage import directory, kept_keys, meta, rotation
from netpulse.storage.conn import Conn
from netpulse.storage.db import READERS, Database
from netpulse.storage.errors import (
    StartRefused,
    StorageTrouble,
    TroubleKind,
    WrongKey,
    translated,
)
from netpulse.storage.lock import other_holder
from netpulse.storage.migrations import STEPS, Step, migrations

OLDEST_SQLITE = (3, 51, 3)
"""Before it, two connections that write and check the log in at once could damage the file."""

_BUSY_MS = 5_000
_CHECK_SECONDS = 2.0
_LOG_LIMIT = 4 * 1024 * 1024
_CACHE_KB = 4_000
"""What the connection that writes keeps of the file."""
_READERS_CACHE_KB = 512
"""Each commit empties what a reader keeps, and what it fills anew with lies among things that live
on: the more that is, the more of the heap stays torn. The system keeps the file once for all of
them, and to read a page from there takes a microsecond."""
_STATEMENTS = 512
"""How many executions ago a statement may have run to be prepared still (apsw keeps the last ones
in a ring, of this size at most): eight pages that are read in turns run three hundred."""

_INDEX = struct.Struct("=16xI76xI")
"""mxFrame of the index's header, and nBackfill of what follows its two copies."""

_PRAGMAS = (
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA mmap_size = 0",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA foreign_keys = ON",
    f"PRAGMA cache_size = -{_CACHE_KB}",
)
_WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    f"PRAGMA journal_size_limit = {_LOG_LIMIT}",
)


async def open_database(data: Path, vault: Vault) -> Database:
    """Open `<data>/netpulse.db`, made or brought to this program's layout where needed.

    `data` has been through `directory.prepare`, and the caller holds its lock unless another
    process that holds it is at work (then the layout is up to date already).

    Raises:
        WrongKey: the vault's key is not the data's. A `LostVault`'s never is: then nothing that
            has to do with the key is looked at or changed.
        StartRefused: one line for the operator. Nothing was changed, unless a migration failed:
            then the file is as it was before that step.
    """
    path = data / directory.MAIN
    writer, readers = await asyncio.to_thread(_open, data, path, vault)
    return Database(path, vault, writer, readers, partial(reopened, path))


def _open(data: Path, path: Path, vault: Vault) -> tuple[apsw.Connection, list[apsw.Connection]]:
    refuse_old_sqlite(apsw.sqlite_lib_version())
    if not path.exists():
        if not directory.may_create(data):
            raise StartRefused(
                f"{path} is missing, but {data} holds an encryption key or results of an earlier "
                "run: restore it from a backup, or choose an empty --data"
            )
        _create(data, path, vault)
    (data / directory.FRESH).unlink(missing_ok=True)
    try:
        directory.secure(path)
        if path.stat().st_size == 0:
            raise StartRefused(
                f"{path} is empty: restore it from a backup, or choose an empty --data"
            )
        _refuse_lost_log(path)
        writer = _existing(path, vault, STEPS)
        # One more, which always tells the file's version: `Database.version`.
        readers = [_reader(path) for _ in range(READERS + 1)]
    except OSError as error:
        raise StartRefused(f"cannot open {path}: {error.strerror} (uid {os.getuid()})") from None
    return writer, readers


def reopened(path: Path, vfs: str | None = None) -> apsw.Connection:
    """Return another connection for the writer of a main file that was open until now.

    It comes after an error of the disk, so the file is looked through again (for a bounded time),
    and its log is moved into it, which shows whether the disk takes anything.

    Raises:
        StorageTrouble: the file is not sound, or the disk still reports errors.
    """
    raw = None
    try:
        raw = apsw.Connection(
            str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs, statementcachesize=_STATEMENTS
        )
        tune(raw)
        end = time.monotonic() + _CHECK_SECONDS
        problems = quick_check(raw, lambda: time.monotonic() > end)
        if problems:
            raise StorageTrouble(TroubleKind.CORRUPT, problems[0])
        for pragma in _WRITER_PRAGMAS:
            raw.execute(pragma).fetchall()
        raw.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        raw.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    except BaseException as error:
        if raw is not None:
            raw.close(True)
        if isinstance(error, apsw.Error):
            problem = translated(error)
            raise (
                problem
                if isinstance(problem, StorageTrouble)
                else StorageTrouble(TroubleKind.INTERNAL, str(error))
            ) from error
        raise
    return raw


def sqlite_version() -> str:
    """Return the version of the SQLite library in use."""
    return str(apsw.sqlite_lib_version())


def refuse_old_sqlite(version: str) -> None:
    """Refuse an SQLite library (its version as text) that may damage the file.

    Raises:
        StartRefused: it is older than 3.51.3.
    """
    numbers = tuple(int(part) for part in version.split("."))
    if numbers < OLDEST_SQLITE:
        wanted = ".".join(str(part) for part in OLDEST_SQLITE)
        raise StartRefused(
            f"SQLite {version} can damage databases (WAL reset); NetPulse needs {wanted} or later:"
            " install a newer apsw"
        )


def _existing(path: Path, vault: Vault, steps: tuple[tuple[str, Step], ...]) -> apsw.Connection:
    """Open the writer's connection to a main file, checked and migrated."""
    raw = None
    try:
        # Without CREATE: a file that vanishes meanwhile must not come back empty.
        raw = apsw.Connection(
            str(path), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=_STATEMENTS
        )
        tune(raw)
        version = _version(raw)
        if version > len(steps):
            raise StartRefused(
                f"{path} was written by a newer NetPulse (its layout is version {version}, this "
                f"program knows up to {len(steps)}): install that version again"
            )
        _quick_check(raw, path)
        conn = Conn(raw, vault)
        if vault.is_lost:
            rotation.check_value(conn, path)
        else:
            _refuse_wrong_key(conn, path)
        for pragma in _WRITER_PRAGMAS:
            raw.execute(pragma).fetchall()
        if version < len(steps):
            holder = other_holder(path.parent)
            if holder is not None:
                raise StartRefused(
                    f"{path} must be brought to a new layout, but another NetPulse ({holder}) is "
                    "using it: stop that one first"
                )
            _copy(raw, path.with_name(f"{path.name}.v{version}"))
            _migrate(raw, steps)
        if not vault.is_lost:
            _settle_keys(conn, path, is_new=False)
        # Looking the file through left all of it in the cache.
        raw.execute("PRAGMA shrink_memory").fetchall()
        raw.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        return raw
    except BaseException as error:
        if raw is not None:
            raw.close()
        if isinstance(error, apsw.Error):
            raise refusal(path, error) from error
        raise


def _refuse_lost_log(path: Path) -> None:
    """Refuse a file whose log is gone, as long as the log's index tells of it.

    The index (https://sqlite.org/walformat.html) says how many pages were committed to the log, and
    how many of them are in the file. SQLite itself would go on without a word: what had been
    acknowledged since the log was moved into the file last would not have happened.

    Raises:
        StartRefused: something was in the log that is not in the file.
        OSError: the index cannot be read.
    """
    log, index = Path(f"{path}-wal"), Path(f"{path}-shm")
    if log.exists() or not index.exists():
        return
    with index.open("rb") as file:
        head = file.read(_INDEX.size)
    if len(head) == _INDEX.size:
        committed, moved = _INDEX.unpack(head)
        if committed > moved:
            raise StartRefused(
                f"{log} is missing: NetPulse was ended before what it had written last was moved "
                f"from there into {path.name}. Put it back, or restore a backup; to go on without "
                f"what was in it, delete {index}"
            )


def _migrate(raw: apsw.Connection, steps: tuple[tuple[str, Step], ...]) -> None:
    # With it comes all of sqlite-utils: only where there is something to do.
    from netpulse.storage.adapter import wrapped

    migrations(steps).apply(wrapped(raw))


def _settle_keys(conn: Conn, path: Path, *, is_new: bool) -> None:
    """Have the kept keys in the vault, stored where they are not yet."""
    if kept_keys.are_kept(conn):
        kept_keys.settle(conn, path, is_new=is_new)
        return
    conn.execute("BEGIN IMMEDIATE")
    try:
        kept_keys.settle(conn, path, is_new=is_new)
        conn.execute("COMMIT")
    finally:
        if conn.in_transaction:
            conn.execute("ROLLBACK")


def _create(data: Path, path: Path, vault: Vault) -> None:
    """Make a new main file under another name and put it in place whole."""
    draft = path.with_name(f"{path.name}.new")
    raw = None
    try:
        for name in (draft, Path(f"{draft}-wal"), Path(f"{draft}-shm")):
            name.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        raw = apsw.Connection(str(draft), flags=apsw.SQLITE_OPEN_READWRITE)
        tune(raw)
        raw.execute("PRAGMA synchronous = FULL").fetchall()
        _migrate(raw, STEPS)
        conn = Conn(raw, vault)
        meta.put(conn, "vault_check", vault.check_value())
        _settle_keys(conn, path, is_new=True)
        raw.execute("PRAGMA journal_mode = WAL").fetchall()
        raw.close()
        _sync(draft)
        draft.rename(path)
        _sync(data)
    except apsw.Error as error:
        if raw is not None:
            raw.close()
        raise refusal(path, error) from error
    except StorageTrouble as trouble:
        if raw is not None:
            raw.close()
        raise StartRefused(f"cannot write {path}: {trouble}") from None
    except OSError as error:
        raise StartRefused(f"cannot write {path}: {error.strerror} (uid {os.getuid()})") from None


def tune(raw: apsw.Connection) -> None:
    """Give a connection what all of ours have, whatever they do."""
    raw.set_busy_timeout(_BUSY_MS)
    # A mistyped column in double quotes must be an error, not a text.
    raw.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    raw.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
    for pragma in _PRAGMAS:
        raw.execute(pragma).fetchall()


def _reader(path: Path) -> apsw.Connection:
    raw = apsw.Connection(
        str(path), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=_STATEMENTS
    )
    tune(raw)
    raw.pragma("cache_size", -_READERS_CACHE_KB)
    raw.execute("PRAGMA query_only = ON").fetchall()
    return raw


def _version(raw: apsw.Connection) -> int:
    rows = raw.execute("PRAGMA user_version").fetchall()
    return cast(int, rows[0][0])


def _quick_check(raw: apsw.Connection, path: Path) -> None:
    """Look through the file for damage, for at most a few seconds."""
    end = time.monotonic() + _CHECK_SECONDS
    problems = quick_check(raw, lambda: time.monotonic() > end)
    if problems:
        raise StartRefused(
            f"{path} is damaged ({problems[0]}): keep a copy of it and restore a backup"
        )


def quick_check(raw: apsw.Connection, enough: Callable[[], bool]) -> list[str]:
    """Return what `PRAGMA quick_check` finds wrong; when `enough` says so it stops early."""
    raw.set_progress_handler(enough, 10_000)
    try:
        rows = raw.execute("PRAGMA quick_check(10)").fetchall()
    except apsw.InterruptError:
        return []
    finally:
        raw.set_progress_handler(None)
    return [str(row[0]) for row in rows if row[0] != "ok"]


def _refuse_wrong_key(conn: Conn, path: Path) -> None:
    """Make the key that the data names the one that seals.

    Raises:
        WrongKey: it is not among those that we have, or another one is missing that values are
            still sealed with.
        StartRefused: the value that names it is missing or damaged.
    """
    problem = rotation.key_problem(conn, path)
    if problem is not None:
        raise WrongKey(problem)


def _copy(raw: apsw.Connection, target: Path) -> None:
    """Keep a copy of the file as it is before a migration, whole or not at all."""
    draft = target.with_name(f"{target.name}.part")
    try:
        draft.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        copy = apsw.Connection(str(draft), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            with copy.backup("main", raw, "main") as backup:
                while not backup.done:
                    backup.step(-1)
        finally:
            copy.close()
        _sync(draft)
        draft.rename(target)
        _sync(target.parent)
    except OSError as error:
        raise StartRefused(
            f"cannot keep a copy of the database before the migration ({target}): {error.strerror}"
        ) from None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def refusal(path: Path, error: apsw.Error) -> StartRefused:
    """Return the line that says why SQLite cannot use the file."""
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return StartRefused(f"{path} is damaged ({error}): keep a copy of it and restore a backup")
    if isinstance(error, apsw.ReadOnlyError | apsw.CantOpenError | apsw.PermissionsError):
        return StartRefused(
            f"cannot write {path} as uid {os.getuid()} ({error}): change its owner and rights"
        )
    problem = translated(error)
    if isinstance(problem, StorageTrouble):
        return StartRefused(f"cannot open {path}: {problem}")
    if isinstance(error, apsw.SQLError):
        return StartRefused(
            f"{path} is not a NetPulse database this program can read ({error}): restore a backup"
        )
    return StartRefused(f"cannot open {path}: {error}")
