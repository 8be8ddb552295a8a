"""What `netpulse doctor` looks at, one function a thing. Nothing here changes anything."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from netpulse import __version__
from netpulse.config import Loaded
from netpulse.crypto.keys import KeyTrouble, Masters
from netpulse.crypto.vault import Vault
from netpulse.engine.clock import Clock
from netpulse.model.time import DAY, MINUTE, Millis, rfc3339
from netpulse.rules.letters import news
from netpulse.storage import directory, examining, keyless, letters, meta, opening
from netpulse.storage.audit import INSTANCE
from netpulse.storage.conn import Conn
from netpulse.storage.errors import StartRefused, StorageTrouble
from netpulse.storage.lock import holder
from netpulse.storage.migrations import LATEST

State = Literal["ok", "note", "attention"]
Told = Callable[[int, int], None]

LITTLE_BYTES = 500_000_000
"""Less free space than this needs attention: the reserve and a month's results want room."""
BUILT: Millis = 1_764_000_000_000
"""November 2025: a clock that stands before the program was written is wrong."""
SLACK = 5 * MINUTE
LETTERS_SINCE = 7 * DAY
MOST_LETTERS = 100


class Finding(Struct, frozen=True):
    """What one look came to."""

    name: str
    state: State
    text: str
    details: tuple[str, ...] = ()


class ChainEnd(Struct, frozen=True):
    """Where a chain of the audit log ends. Kept elsewhere, it shows later whether the log was put
    back to an earlier state."""

    org_id: str
    name: str
    entries: int
    hash: str


class Report(Struct, frozen=True):
    """Everything that was looked at."""

    version: str
    data: str
    checks: tuple[Finding, ...]
    audit_ends: tuple[ChainEnd, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing needs attention."""
        return all(finding.state != "attention" for finding in self.checks)


def examine(loaded: Loaded, told: Told) -> Report:
    """Look at everything; `told` hears how many entries of the audit log were read, and of how
    many."""
    data = Path(loaded.config.storage.data_dir)
    found = [_program(), _configuration(loaded)]
    ends: list[ChainEnd] = []
    if data.is_dir():
        try:
            found += [look(data) for look in (_directory, _files, _space, _server, _results)]
            found += _inside(loaded, data, told, ends)
        except OSError as error:
            text = f"cannot look at {error.filename or data}: {error.strerror} (uid {os.getuid()})"
            found.append(Finding("data directory", "attention", text))
    else:
        text = f"there is none at {data}: start `netpulse serve` once, or name another --data"
        found.append(Finding("data directory", "attention", text))
    return Report(__version__, str(data), tuple(found), tuple(ends))


# Around the data


def _program() -> Finding:
    version = opening.sqlite_version()
    try:
        opening.refuse_old_sqlite(version)
    except StartRefused as refusal:
        return Finding("program", "attention", str(refusal))
    return Finding("program", "ok", f"NetPulse {__version__}, SQLite {version}")


def _configuration(loaded: Loaded) -> Finding:
    if loaded.warnings:
        text = _count(len(loaded.warnings), "warning", "warnings")
        return Finding("configuration", "attention", text, loaded.warnings)
    return Finding("configuration", "ok", "no warnings")


def _directory(data: Path) -> Finding:
    name = "data directory"
    mode = stat.S_IMODE(data.stat().st_mode)
    if mode & 0o077:
        text = f"others may look into it (mode {mode:04o}); run: chmod 700 {data}"
        return Finding(name, "attention", text)
    system = directory.network_file_system(data)
    if system is not None:
        text = f"it is on a network file system ({system}), where databases get damaged"
        return Finding(name, "attention", text)
    return Finding(name, "ok", f"for its owner only (mode {mode:04o}), on a local disk")


def _files(data: Path) -> Finding:
    owner = data.stat().st_uid
    count, bad = 0, []
    for path in _below(data):
        try:
            info = path.lstat()
        except FileNotFoundError:
            continue  # it came and went: an hour that was sealed
        count += 1
        mode = stat.S_IMODE(info.st_mode)
        if not stat.S_ISLNK(info.st_mode) and mode & 0o077:
            bad.append(f"{path}: others may read or change it (mode {mode:04o})")
        elif info.st_uid != owner:
            bad.append(f"{path}: it belongs to uid {info.st_uid}, the directory to uid {owner}")
    if bad:
        text = f"{len(bad):,} of {count:,} have the wrong rights or owner"
        return Finding("files", "attention", text, tuple(bad))
    return Finding("files", "ok", f"all {count:,} are for their owner only")


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)


def _space(data: Path) -> Finding:
    room = os.statvfs(data)
    free = room.f_bavail * room.f_frsize
    share = 100 * room.f_bavail / max(room.f_blocks, 1)
    text = f"{free / 1e9:.1f} GB free ({share:.0f} %)"
    if free < LITTLE_BYTES:
        text += "; make room before the disk is full"
        return Finding("disk space", "attention", text)
    return Finding("disk space", "ok", text)


def _server(data: Path) -> Finding:
    by = holder(data)
    if by is None:
        return Finding("server", "note", "it does not run")
    return Finding("server", "ok", f"it runs ({by})")


def _results(data: Path) -> Finding:
    damaged = [path for path in _below(data) if ".db.damaged-" in path.name]
    if damaged:
        text = _count(len(damaged), "damaged file was", "damaged files were") + " put aside"
        return Finding("results", "attention", text, tuple(map(str, damaged)))
    months = len(list((data / "checks").glob("*.db"))) if (data / "checks").is_dir() else 0
    return Finding("results", "ok", f"{_count(months, 'month', 'months')}, none put aside")


# Inside


def _inside(loaded: Loaded, data: Path, told: Told, ends: list[ChainEnd]) -> list[Finding]:
    """Look into the main file, once more if somebody began to write into it meanwhile."""
    masters = Masters(loaded.secrets.encryption_key or None, data / directory.KEY)
    main = data / directory.MAIN
    if not main.exists():
        return [Finding("database", "attention", f"{main} is missing: restore it from a backup")]
    place = _place(masters)
    try:
        vault = Vault(*masters.load(has_data=True, only_look=True), again=masters.again)
    except KeyTrouble as trouble:
        place = Finding("key", "attention", str(trouble))
        vault = None
    try:
        at_rest = examining.is_at_rest(main)
        found = _looked(main, vault, told, ends, at_rest=at_rest)
    except examining.Disturbed:
        ends.clear()
        found = _looked(main, vault, told, ends, at_rest=False)
    return [place, *_strays(masters), *found]


def _place(masters: Masters) -> Finding:
    """Say where the key is, and whether that is as it should be."""
    if masters.from_environment:
        if masters.path.exists():
            text = (
                f"ENCRYPTION_KEY counts; {masters.path} lies there too and is not used: remove it "
                "if it is an old one"
            )
            return Finding("key", "note", text)
        return Finding("key", "ok", "from the environment (ENCRYPTION_KEY)")
    if masters.next_path.exists():
        text = (
            f"a change of it was interrupted ({masters.next_path} is there): run `netpulse key "
            "rotate` to finish it"
        )
        return Finding("key", "attention", text)
    text = f"in {masters.path}; keep a copy of it, but not in the same place as the backups"
    return Finding("key", "ok", text)


def _strays(masters: Masters) -> list[Finding]:
    """Name copies of a key that lie about."""
    found = masters.strays()
    if not found:
        return []
    text = (
        f"{_count(len(found), 'draft', 'drafts')} of a key, left by a command that was killed (or "
        "that is just at it): `netpulse key rotate` removes them, or remove them by hand"
    )
    return [Finding("key drafts", "note", text, tuple(str(path) for path in found))]


def _looked(
    main: Path, vault: Vault | None, told: Told, ends: list[ChainEnd], *, at_rest: bool
) -> list[Finding]:
    found: list[Finding] = []
    # Without a key there is still something to see; what is sealed is then not looked at.
    try:
        with examining.looking(main, vault or Vault(bytes(32)), at_rest=at_rest) as conn:
            for look in (_whole, _layout):
                found.append(look(conn, main))
                if found[-1].state == "attention":
                    return found
            found.append(_clock(conn))
            if meta.schema_version(conn) < LATEST:
                text = "not looked at before the layout is up to date"
                return [*found, Finding("stored secrets and audit log", "note", text)]
            found += [_troubles(conn), _letters(conn), *_telling(conn)]
            if vault is None:
                return found
            problem = examining.key_problem(conn, main)
            if problem is not None:
                return [*found, Finding("key fits", "attention", problem)]
            found.append(Finding("key fits", "ok", "it opens what it should"))
            found += [_secrets(conn), *_audit(conn, told, ends)]
    except (StartRefused, StorageTrouble) as trouble:
        found.append(Finding("database", "attention", str(trouble)))
    return found


def _whole(conn: Conn, main: Path) -> Finding:
    problems = meta.quick_check(conn)
    if problems:
        text = f"{main} is damaged: keep a copy of it and restore a backup"
        return Finding("database", "attention", text, tuple(problems))
    return Finding("database", "ok", f"whole ({main.stat().st_size / 1e6:.1f} MB)")


def _layout(conn: Conn, main: Path) -> Finding:
    version = examining.layout(conn)
    if version is None:
        return Finding("layout", "attention", f"{main} is not a NetPulse database")
    if version > LATEST:
        text = f"version {version}; this program knows up to {LATEST}: install the newer one again"
        return Finding("layout", "attention", text)
    if version < LATEST:
        text = f"version {version}; the next start brings it to {LATEST}, and keeps a copy"
        return Finding("layout", "note", text)
    return Finding("layout", "ok", f"version {version}, the latest")


def _clock(conn: Conn) -> Finding:
    now = Clock().now()
    if now < BUILT:
        text = f"it says {rfc3339(now)}, which is before this program was written: set it"
        return Finding("clock", "attention", text)
    seen = examining.last_seen(conn)
    if seen is not None and seen > now + SLACK:
        text = (
            f"it says {rfc3339(now)}, but a server was last seen at {rfc3339(seen)}: it was set "
            "back, or was wrong then"
        )
        return Finding("clock", "attention", text)
    return Finding("clock", "ok", f"it says {rfc3339(now)}, after all that was written")


def _troubles(conn: Conn) -> Finding:
    found = examining.troubles(conn)
    if found:
        return Finding("watching", "attention", "it is in trouble itself", tuple(found))
    return Finding("watching", "ok", "no trouble of its own is on record")


def _letters(conn: Conn) -> Finding:
    """Say which mail from NetPulse itself is not taken. To whom it was is no business of this."""
    since = Clock().now() - LETTERS_SINCE
    # What was never tried and waits no more was recalled.
    tried = [one for one in letters.unsent(conn, since, MOST_LETTERS) if one.attempt_count]
    if not tried:
        return Finding("mail", "ok", "no letter of the last 7 days is in trouble")
    text = f"{_count(len(tried), 'letter', 'letters')} of the last 7 days could not be sent"
    details = tuple(
        f"{one.kind.value.replace('_', ' ')} of {rfc3339(one.created_at)}: {news(one)}"
        for one in tried
    )
    return Finding("mail", "attention", text, details)


def _telling(conn: Conn) -> list[Finding]:
    """Say that nobody is told of anything, where that is so."""
    since = keyless.since(conn)
    if since is None:
        return []
    text = (
        f"since {rfc3339(since)} nobody is told of anything: NetPulse was started without its "
        "encryption key; put the right key back and start it again"
    )
    return [Finding("telling", "attention", text)]


def _secrets(conn: Conn) -> Finding:
    found = examining.secrets(conn)
    total = sum(found.counts.values())
    if not found.broken:
        text = f"all {total:,} open" if total else "there are none"
        return Finding("stored secrets", "ok", text)
    text = f"{len(found.broken):,} of {total:,} do not open"
    details = tuple(f"{broken.words}: {broken.column.then}" for broken in found.broken)
    return Finding("stored secrets", "attention", text, details)


def _audit(conn: Conn, told: Told, ends: list[ChainEnd]) -> list[Finding]:
    """Read all chains; a finding for each that does not hold, one for those that do."""
    chains, whole = examining.chains(conn)
    names = examining.names(conn) | {INSTANCE: "the instance"}
    total, before = sum(chain.rows for chain in chains), 0
    found = []
    for chain in chains:
        name = names.get(chain.head.org_id, chain.head.org_id)
        breaks = []
        for read, so_far in examining.breaks(conn, chain):
            told(before + read, total)
            breaks = so_far
        before += chain.rows
        ends.append(ChainEnd(chain.head.org_id, name, chain.head.seq, chain.head.hash))
        if breaks:
            text = f"of {name} does not hold, first at entry {min(one.seq for one in breaks):,}"
            details = tuple(f"entry {one.seq:,}: {one.problem}" for one in breaks)
            found.append(Finding("audit log", "attention", text, details))
    if whole is not None:
        found.append(Finding("audit log", "attention", whole))
    if not found:
        text = f"{_count(total, 'entry', 'entries')} in {_count(len(chains), 'chain', 'chains')}"
        unvouched = examining.unvouched(conn)
        if not unvouched:
            found.append(Finding("audit log", "ok", f"{text}, all as they were written"))
        elif keyless.since(conn) is not None:
            text += (
                f"; nobody vouches for {unvouched:,} of them, written without the key, which the "
                "next start with it will say there; all others are as they were written"
            )
            found.append(Finding("audit log", "note", text))
        else:
            # Whoever has the file in hand can claim it, and nothing that follows is signed.
            text = (
                f"{_count(unvouched, 'entry is', 'entries are')} not signed, as if NetPulse had "
                "run without its key, and no such run is noted: look at the newest ones; the next "
                "start signs them, and says there which ones they are"
            )
            found.append(Finding("audit log", "attention", text))
    return found


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
