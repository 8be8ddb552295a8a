"""What can go wrong in storage, in types that callers may catch."""

from __future__ import annotations

from enum import StrEnum

import apsw

from netpulse.rules import quotas


class StartRefused(Exception):
    """The data cannot be opened; the text is one line for the operator: what and what to do."""


class WrongKey(StartRefused):
    """The encryption key at hand is not the one of the data."""


class TroubleKind(StrEnum):
    """Why the main file cannot be used just now."""

    BUSY = "busy"
    FULL = "full"
    IO = "io"
    CORRUPT = "corrupt"
    READ_ONLY = "read_only"
    LIMIT = "limit"
    CLOSED = "closed"
    INTERNAL = "internal"


_WORDS = {
    TroubleKind.BUSY: "the database is busy: another process holds its lock",
    TroubleKind.FULL: "the disk is full: free some space",
    TroubleKind.IO: "the disk reports errors: it is tried again every minute",
    TroubleKind.CORRUPT: "the database file is damaged: stop, and restore it from a backup",
    TroubleKind.READ_ONLY: "the database has become read-only: check the disk and its rights",
    TroubleKind.LIMIT: "the database has run into a limit of memory or open files",
    TroubleKind.CLOSED: "the database is closed",
    TroubleKind.INTERNAL: "a mistake in NetPulse undid the transaction; please report it",
}


class StorageTrouble(Exception):
    """The database failed for a reason of the machine: never a word about a monitored target."""

    def __init__(self, kind: TroubleKind, detail: str = "") -> None:
        """Take the kind and what SQLite said."""
        super().__init__(f"{_WORDS[kind]} ({detail})" if detail else _WORDS[kind])
        self.kind = kind
        self.detail = detail


class Missing(Exception):
    """What should be changed does not exist (any more) in that organization."""


class VersionConflict(Exception):
    """Somebody else changed it first."""

    def __init__(self, expected: int, actual: int) -> None:
        """Take the version the caller had seen and the one that is stored."""
        super().__init__(f"version {expected} was expected, {actual} is stored")
        self.expected = expected
        self.actual = actual


class UniqueConflict(Exception):
    """Another row has this value already; `columns` says of what (table.column)."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        """Take the columns ("users.email") that must be unique together."""
        super().__init__(f"already taken: {', '.join(columns)}")
        self.columns = columns


class QuotaReached(Exception):
    """An organization has as much of something as it may; `str` says whom to ask."""

    def __init__(self, quota: str, limit: int, used: int, provider: str | None) -> None:
        """Take the quota ("monitors", "users"), its size, what is used of it, and who set it."""
        super().__init__(quotas.reached(quota, limit, provider))
        self.quota = quota
        self.limit = limit
        self.used = used


class AlreadySetUp(Exception):
    """There is a user already: the first owner cannot be made again."""


_KINDS: tuple[tuple[type[apsw.Error], TroubleKind], ...] = (
    (apsw.BusyError, TroubleKind.BUSY),
    (apsw.LockedError, TroubleKind.BUSY),
    (apsw.ProtocolError, TroubleKind.BUSY),
    (apsw.FullError, TroubleKind.FULL),
    (apsw.IOError, TroubleKind.IO),
    (apsw.CantOpenError, TroubleKind.LIMIT),
    (apsw.CorruptError, TroubleKind.CORRUPT),
    (apsw.NotADBError, TroubleKind.CORRUPT),
    (apsw.ReadOnlyError, TroubleKind.READ_ONLY),
    (apsw.NoMemError, TroubleKind.LIMIT),
)

_UNIQUE = frozenset({apsw.SQLITE_CONSTRAINT_UNIQUE, apsw.SQLITE_CONSTRAINT_PRIMARYKEY})


def translated(error: apsw.Error) -> Exception:
    """Return the error of ours that says what `error` says; a mistake of ours stays as it is."""
    if isinstance(error, apsw.IOError) and _extended(error) == apsw.SQLITE_IOERR_SHMSIZE:
        # The index of the log could not grow: that is a full disk too, not a broken one.
        return StorageTrouble(TroubleKind.FULL, str(error))
    for kind, trouble in _KINDS:
        if isinstance(error, kind):
            return StorageTrouble(trouble, str(error))
    if isinstance(error, apsw.ConstraintError) and _extended(error) in _UNIQUE:
        _, _, columns = str(error).partition(": ")
        return UniqueConflict(tuple(part.strip() for part in columns.split(",")))
    return error


def _extended(error: apsw.Error) -> int | None:
    """Return SQLite's extended result code, which apsw sets on the exceptions it raises."""
    code: int | None = getattr(error, "extendedresult", None)
    return code
