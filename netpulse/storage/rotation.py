"""Changing the master key: everything that is sealed is sealed anew with another one.

It goes in steps, each of which leaves a state that every process can work with, so that it may be
killed at any moment and run again, and a server may run beside it:

1. The new key is laid down beside the old one (`secret.key.next`; with keys from the environment
   the command is given both). Nothing uses it yet.
2. One transaction seals the kept keys and the check value with the new key, and records which two
   keys are at work. From here on everybody seals with the new key: a writer looks at the check
   value at the beginning of each transaction (`Database`), and reads the key files again when it
   names a key that is not known. So from here on no value is sealed with the old key.
3. All other values are sealed anew, AT_ONCE a transaction.
4. One transaction makes sure that no value needs the old key, and ends the record.
5. The new key takes the place of the old one, by one rename. The old one is gone.

Killed before 2, the new key lies about unused; between 2 and 4, both keys are needed and there;
between 4 and 5, the old one is not needed any more. Run again, it goes on where it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from netpulse.crypto import keys
from netpulse.crypto.keys import Masters
from netpulse.crypto.vault import HEADER_BYTES, SealBroken, Vault
from netpulse.model.time import Millis, rfc3339
from netpulse.model.user import Actor
from netpulse.storage import audit, kept_keys, meta, sealed
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database
from netpulse.storage.errors import StartRefused, StorageTrouble, TroubleKind
from netpulse.storage.sealed import Broken, Column, Value

RECORD = "key_rotation"
"""Under this name `meta` has the record of a change that is under way."""
_RETIRED = "key_retired"
_SOURCE = "key_source"
_ENVIRONMENT = "environment"
_VERSION = b"\x01"
_PATIENCE = 20
"""How often a step waits (5 s each) for a writer that holds the file."""

T = TypeVar("T")


class Refused(Exception):
    """The key cannot be changed; the text is one line: why, and what to do. Nothing was lost."""


class Damaged(Refused):
    """Some sealed values do not open, and would be lost for good with the old key."""

    def __init__(self, values: list[Broken]) -> None:
        """Take what does not open."""
        super().__init__("some sealed values do not open")
        self.values = values


class Record(Struct, frozen=True):
    """A change of the key that is under way, as `meta` has it."""

    old: str
    """Id of the key that is on its way out, hex."""
    new: str
    at: Millis

    @property
    def old_header(self) -> bytes:
        """How values begin that the old key sealed."""
        return _VERSION + bytes.fromhex(self.old)


class Retired(Struct, frozen=True):
    """The key that was in force before."""

    id: str
    at: Millis


class Progress(Struct, frozen=True):
    """How far it is."""

    done: int
    total: int


class Outcome(Struct, frozen=True):
    """What came of it."""

    values: int
    """Sealed values that the new key opens."""
    damaged: tuple[Broken, ...]
    """What did not open before either, and was left as it was."""
    resumed: bool
    """It had been begun before."""
    is_new: bool
    """False: nothing had to be encrypted anew any more."""


def key_problem(conn: Conn, path: Path) -> str | None:
    """Make the key that the data names the one that seals; returns why it is not to be had, in one
    line, or None. `path` names the file to people.

    Raises:
        StartRefused: the value that names the key is missing or damaged.
    """
    check = check_value(conn, path)
    vault = conn.vault
    under_way = record(conn)
    known = vault.follow(check)
    if under_way is not None and not (known and vault.knows(under_way.old_header)):
        return (
            f"a change of the encryption key was interrupted, and {path} needs the old and the new "
            "key until it is done: run `netpulse key rotate` again, with secret.key and "
            "secret.key.next in their place, or with ENCRYPTION_KEY and "
            "NETPULSE_NEW_ENCRYPTION_KEY as they were"
        )
    if not known:
        before = retired(conn)
        if before is not None and vault.knows(_VERSION + bytes.fromhex(before.id)):
            return (
                f"the encryption key of {path} was changed at {rfc3339(before.at)}, and this is "
                "the one from before: use the new one (ENCRYPTION_KEY, or secret.key)"
            )
        return (
            f"the encryption key does not belong to {path}: set ENCRYPTION_KEY, or restore "
            "secret.key, as it was when the data was written"
        )
    if not vault.accepts(check):
        raise StartRefused(_damaged(path))
    return None


def check_value(conn: Conn, path: Path) -> bytes:
    """Return the value by which the data knows its key.

    Raises:
        StartRefused: it is missing, or has not even the shape of one.
    """
    check = meta.get(conn, "vault_check")
    if check is None:
        raise StartRefused(f"{path} is not a whole NetPulse database: restore it from a backup")
    if not isinstance(check, bytes) or len(check) < HEADER_BYTES:
        raise StartRefused(_damaged(path))
    return check


def record(conn: Conn) -> Record | None:
    """Return the change of the key that is under way, or None."""
    text = meta.get(conn, RECORD)
    return msgspec.json.decode(text, type=Record) if isinstance(text, str) else None


def retired(conn: Conn) -> Retired | None:
    """Return the key that was in force before the last change, or None."""
    text = meta.get(conn, _RETIRED)
    return msgspec.json.decode(text, type=Retired) if isinstance(text, str) else None


def note_source(conn: Conn, *, from_environment: bool) -> None:
    """Keep where the running server has its key from: a server whose key is the environment's
    cannot be given another one while it runs."""
    meta.put(conn, _SOURCE, _ENVIRONMENT if from_environment else "file")


def server_has_environment_key(conn: Conn) -> bool:
    """Tell whether the server that started last had its key from the environment."""
    return meta.get(conn, _SOURCE) == _ENVIRONMENT


async def rotate(
    db: Database,
    masters: Masters,
    *,
    given: bytes | None,
    actor: Actor,
    now: Callable[[], Millis],
    leave_damaged: bool = False,
    told: Callable[[Progress], None] = lambda progress: None,
) -> Outcome:
    """Change the master key, or go on with a change that was interrupted.

    `given` is the new key; None makes one (keys in files only). Nobody else may be at it at the
    same time (`lock.ROTATION`), and with a key from the environment no server may run.

    Raises:
        Refused: it cannot be done like this; what was begun may be gone on with later.
        Damaged: values do not open, unless `leave_damaged` gives them up.
        KeyTrouble: a key file cannot be written.
        StorageTrouble: the main file cannot be written.
    """
    vault = db.vault
    masters.clear()
    under_way = await db.read(record)
    new = _choice(masters, vault, given, under_way)
    header = vault.add(new)
    resumed = under_way is not None
    if under_way is None:
        if header == await db.read(_current):
            values = await db.read(_total, header)
            waited = masters.following() is not None
            masters.retire()
            return Outcome(values, (), resumed=waited, is_new=False)
        if not leave_damaged:
            broken = await db.read(lambda conn: list(sealed.broken(conn)))
            if broken:
                raise Damaged(broken)
        if not masters.from_environment:
            resumed = masters.following() is not None
            new = masters.propose(new)
        under_way = await _patiently(lambda: db.write(begin, header, actor, now()))
    old, done, total = under_way.old_header, 0, await db.read(_total, under_way.old_header)
    for column in sealed.COLUMNS:
        after: str | None = ""
        while after is not None:
            told(Progress(done, total))
            step = partial(db.write, reseal, column, old, after)
            count, after = await _patiently(step)
            done += count
    told(Progress(done, total))
    damaged = await _patiently(
        lambda: db.write(finish, leave_damaged=leave_damaged, actor=actor, now=now())
    )
    values = await db.read(_total, header)
    masters.retire()
    return Outcome(values, tuple(damaged), resumed=resumed, is_new=True)


def begin(conn: Conn, header: bytes, actor: Actor, now: Millis) -> Record:
    """Step 2: from this transaction on everybody seals with the key of `header`.

    Raises:
        SealBroken: the kept keys do not open.
    """
    old = _current(conn)
    under_way = Record(_id(old), _id(header), now)
    conn.vault.use(header)
    kept_keys.seal_anew(conn)
    meta.put(conn, RECORD, msgspec.json.encode(under_way).decode())
    _note(conn, actor, "key.rotation_started", under_way, {"key_id": under_way.new}, now)
    return under_way


def reseal(conn: Conn, column: Column, old: bytes, after: str) -> tuple[int, str | None]:
    """Step 3: seal the next values of a column anew; returns how many, and the id to go on after,
    or None at the end. What does not open is left as it is."""
    found = sealed.values(conn, column, after, old)
    for value in found:
        _reseal(conn, value)
    return len(found), found[-1].row_id if found else None


def finish(conn: Conn, *, leave_damaged: bool, actor: Actor, now: Millis) -> list[Broken]:
    """Step 4: make sure that nothing needs the old key, and end the record; returns what does not
    open and is given up.

    Raises:
        Damaged: something does not open, and it is not to be given up.
    """
    under_way = record(conn)
    assert under_way is not None, "only what has begun is finished"
    damaged = []
    for column in sealed.COLUMNS:
        after = ""
        while found := sealed.values(conn, column, after, under_way.old_header):
            damaged += [broken for value in found if (broken := _reseal(conn, value)) is not None]
            after = found[-1].row_id
    if damaged and not leave_damaged:
        raise Damaged(damaged)
    conn.execute("DELETE FROM meta WHERE key = ?", (RECORD,))
    meta.put(conn, _RETIRED, msgspec.json.encode(Retired(under_way.old, now)).decode())
    after_all = {
        "key_id": under_way.new,
        "values": _total(conn, _VERSION + bytes.fromhex(under_way.new)),
        "given_up": [broken.words for broken in damaged],
    }
    _note(conn, actor, "key.rotated", under_way, after_all, now)
    return damaged


def _choice(masters: Masters, vault: Vault, given: bytes | None, under_way: Record | None) -> bytes:
    """Return the key to change to.

    Raises:
        Refused: none can be told, or another one is being changed to already.
    """
    wanted = given
    if masters.from_environment:
        if given is None:
            raise Refused(
                "the key comes from the environment: give the new one as "
                "NETPULSE_NEW_ENCRYPTION_KEY (64 hex digits; make one with: openssl rand -hex 32)"
            )
    else:
        following = masters.following()
        if following is not None and given is not None and given != following:
            raise Refused(
                f"a change to the key in {masters.next_path} has begun: run it again without "
                "NETPULSE_NEW_ENCRYPTION_KEY to finish it first"
            )
        wanted = following or given
    if under_way is not None:
        header = None if wanted is None else vault.add(wanted)
        if header is None or _id(header) != under_way.new:
            where = (
                "NETPULSE_NEW_ENCRYPTION_KEY"
                if masters.from_environment
                else str(masters.next_path)
            )
            raise Refused(
                "a change of the key was interrupted, and it was to another one than this: put "
                f"that one back ({where})"
            )
    return wanted or keys.fresh()


def _reseal(conn: Conn, value: Value) -> Broken | None:
    """Seal one value anew; returns what is wrong with it where it does not open."""
    plain = sealed.opened(conn, value)
    if isinstance(plain, Broken):
        return plain
    again = conn.vault.seal(plain, value.context)
    if conn.vault.open(again, value.context) != plain:
        raise SealBroken(f"the new seal of {value.context} does not open")
    column = value.column
    conn.execute(
        f"UPDATE {column.table} SET {column.column} = ? WHERE {column.row} = ?",
        (again, value.row_id),
    )
    return None


async def _patiently(step: Callable[[], Awaitable[T]]) -> T:
    """Do a step, again while another writer does not let us in."""
    for _ in range(_PATIENCE - 1):
        try:
            return await step()
        except StorageTrouble as trouble:
            if trouble.kind is not TroubleKind.BUSY:
                raise
    return await step()


def _current(conn: Conn) -> bytes:
    check = meta.get(conn, "vault_check")
    assert isinstance(check, bytes), "a file without it was not opened"
    return check[:HEADER_BYTES]


def _total(conn: Conn, header: bytes) -> int:
    return sum(sealed.count(conn, column, header) for column in sealed.COLUMNS)


def _note(
    conn: Conn, actor: Actor, action: str, under_way: Record, after: object, now: Millis
) -> None:
    before = {"key_id": under_way.old}
    audit.append(conn, audit.INSTANCE, actor, action, "key", None, before, after, now)


def _id(header: bytes) -> str:
    return header[len(_VERSION) :].hex()


def _damaged(path: Path) -> str:
    return (
        f"{path} is damaged: the value by which it knows its key does not open; restore it from a "
        "backup"
    )
