"""Opening the main file: what is made, what is refused and in which words."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest

from netpulse.crypto.vault import Vault
from netpulse.storage import alive, directory, meta, opening
from netpulse.storage import lock as lock_module
from netpulse.storage.db import FEW, Conn, StartRefused
from netpulse.storage.lock import DataLock
from netpulse.storage.migrations import LATEST
from netpulse.storage.opening import open_database
from tests.store import MASTER, add_monitor, add_org, opened


async def refused(data: Path, master: bytes = MASTER) -> str:
    """Return the line that the start is refused with."""
    with pytest.raises(StartRefused) as refusal:
        async with opened(data, master):
            pass
    line = str(refusal.value)
    assert "\n" not in line
    return line


async def made(data: Path) -> Path:
    """Make a data directory with a main file in it; returns the file."""
    async with opened(data) as db:
        await db.write(add_org)
    return data / directory.MAIN


def look(path: Path, sql: str) -> list[tuple[str, ...]]:
    connection = apsw.Connection(str(path))
    rows = connection.execute(sql).fetchall()
    connection.close()
    return [tuple(map(str, row)) for row in rows]


def raw(path: Path, *statements: str) -> None:
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement).fetchall()
    connection.close()


async def test_first_start_makes_a_closed_directory_and_file(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"
    old = os.umask(0)
    try:
        async with opened(data) as db:
            assert await db.read(meta.schema_version) == LATEST
            await db.write(add_org)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in data.iterdir()}
    finally:
        os.umask(old)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert modes == {"netpulse.db": 0o600, "netpulse.db-wal": 0o600, "netpulse.db-shm": 0o600}
    assert [path.name for path in data.iterdir()] == ["netpulse.db"]


async def test_settings_of_the_connections(tmp_path: Path) -> None:
    def pragma(conn: Conn, name: str) -> object:
        row = conn.one(f"PRAGMA {name}")
        assert row is not None
        return row[0]

    async with opened(tmp_path / "data") as db:
        for name, value in {
            "journal_mode": "wal",
            "synchronous": 2,
            "foreign_keys": 1,
            "busy_timeout": 5000,
            "journal_size_limit": 4 * 1024 * 1024,
            "trusted_schema": 0,
            "mmap_size": 0,
        }.items():
            assert await db.write(pragma, name) == value, name
        assert await db.write(pragma, "cache_size") == -4_000
        assert await db.read(pragma, "query_only") == 1
        assert await db.read(pragma, "cache_size") == -512
        assert await db.read(lambda conn: conn._raw.cache_stats()["size"]) == 512
        assert await db.read(pragma, "busy_timeout") == 5000
        assert await db.read(pragma, "trusted_schema") == 0


async def test_sizes_of_tables_with_hardly_a_row_are_not_kept(tmp_path: Path) -> None:
    main = await made(tmp_path)
    sizes = look(main, "SELECT tbl, stat FROM sqlite_stat1")
    assert sizes, "the migrations are more than a few"
    assert [size for size in sizes if int(size[1].split()[0]) < FEW] == []
    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        for _ in range(FEW):
            await db.write(add_monitor, org.id)
    told = look(main, "SELECT DISTINCT tbl FROM sqlite_stat1")
    assert ("monitors",) in told
    assert ("organizations",) not in told


async def test_a_loose_file_is_closed_to_others(tmp_path: Path) -> None:
    main = await made(tmp_path / "data")
    main.chmod(0o644)
    main.parent.chmod(0o755)
    async with opened(main.parent):
        assert stat.S_IMODE(main.stat().st_mode) == 0o600
        assert stat.S_IMODE(main.parent.stat().st_mode) == 0o700


async def test_a_foreign_directory_keeps_its_rights(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    tmp_path.chmod(0o755)
    async with opened(tmp_path):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
        assert stat.S_IMODE((tmp_path / directory.MAIN).stat().st_mode) == 0o600


async def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    await made(tmp_path)
    async with opened(tmp_path) as db:
        assert await db.read(lambda conn: conn.all("SELECT name FROM organizations")) == [("Acme",)]


async def test_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    main = await made(tmp_path)
    raw(main, f"PRAGMA user_version = {LATEST + 1}")
    before = main.read_bytes()
    assert await refused(tmp_path) == (
        f"{main} was written by a newer NetPulse (its layout is version {LATEST + 1}, this program "
        f"knows up to {LATEST}): install that version again"
    )
    assert main.read_bytes() == before


async def test_wrong_key_is_refused(tmp_path: Path) -> None:
    main = await made(tmp_path)
    assert await refused(tmp_path, b"\0" * 32) == (
        f"the encryption key does not belong to {main}: set ENCRYPTION_KEY, or restore secret.key, "
        "as it was when the data was written"
    )


def test_old_sqlite_is_refused() -> None:
    for fine in ("3.51.3", "3.52.0", "3.54.1", "4.0.0"):
        opening.refuse_old_sqlite(fine)
    with pytest.raises(StartRefused) as refusal:
        opening.refuse_old_sqlite("3.51.2")
    assert str(refusal.value) == (
        "SQLite 3.51.2 can damage databases (WAL reset); NetPulse needs 3.51.3 or later: "
        "install a newer apsw"
    )


async def test_an_empty_main_file_is_refused(tmp_path: Path) -> None:
    main = await made(tmp_path)
    os.truncate(main, 0)
    assert await refused(tmp_path) == (
        f"{main} is empty: restore it from a backup, or choose an empty --data"
    )
    assert main.stat().st_size == 0


async def test_garbage_is_refused_and_left_alone(tmp_path: Path) -> None:
    main = tmp_path / directory.MAIN
    main.write_bytes(b"this is no database" * 1000)
    line = await refused(tmp_path)
    assert line.startswith(f"{main} is damaged (")
    assert line.endswith("): keep a copy of it and restore a backup")
    assert main.read_bytes() == b"this is no database" * 1000


async def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    main = tmp_path / directory.MAIN
    raw(main, "CREATE TABLE theirs (x)")
    assert "is not a NetPulse database" in await refused(tmp_path)
    connection = apsw.Connection(str(main))
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    connection.close()


async def test_damaged_pages_are_refused(tmp_path: Path) -> None:
    main = await made(tmp_path)
    size = main.stat().st_size
    with main.open("r+b") as file:
        for page in range(2, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    assert "is damaged (" in await refused(tmp_path)


async def test_half_a_file_is_refused(tmp_path: Path) -> None:
    main = await made(tmp_path)
    os.truncate(main, main.stat().st_size // 2)
    assert "is damaged (" in await refused(tmp_path)


@pytest.mark.parametrize("left", ["secret.key", "checks/2026-11.db", "hot/2026112320.db"])
async def test_never_a_new_file_beside_what_is_left(tmp_path: Path, left: str) -> None:
    (tmp_path / left).parent.mkdir(exist_ok=True)
    (tmp_path / left).write_text("kept")
    main = tmp_path / directory.MAIN
    assert await refused(tmp_path) == (
        f"{main} is missing, but {tmp_path} holds an encryption key or results of an earlier run: "
        "restore it from a backup, or choose an empty --data"
    )
    assert not main.exists()
    assert directory.has_data(tmp_path) is (left != "secret.key")


async def test_a_first_start_killed_after_the_key_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    directory.prepare(data)
    (data / directory.KEY).write_text(MASTER.hex())
    (data / f"{directory.MAIN}.new").write_bytes(b"half a database")
    assert not directory.has_data(data)
    async with opened(data):
        assert directory.has_data(data)
    assert sorted(path.name for path in data.iterdir()) == ["netpulse.db", "secret.key"]
    (data / directory.MAIN).unlink()
    assert "is missing, but" in await refused(data)


async def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert await refused(tmp_path / "data") == (
        f"{tmp_path / 'data'} is not a directory; choose another --data"
    )


_AS_NOBODY = """
import os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
# Imported as root: the interpreter may live where nobody else may look.
from netpulse.storage import directory
from netpulse.storage.db import StartRefused
os.setgid(65534); os.setuid(65534)
try:
    directory.prepare(Path({data!r}))
except StartRefused as refusal:
    print(refusal)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="takes the role of another user: run as root")
def test_an_unwritable_directory_names_path_and_uid(tmp_path: Path) -> None:
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(0o755)
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    (data / "theirs").touch()
    root = str(Path(__file__).resolve().parents[2])
    for place, line in (
        (
            data,
            f"{data} is not writable for uid 65534: change its owner, or choose another --data",
        ),
        (
            data / "new",
            (
                f"cannot use {data / 'new'} as data directory: Permission denied (uid 65534); "
                "change its owner, or choose another --data"
            ),
        ),
    ):
        code = _AS_NOBODY.format(root=root, data=str(place))
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == line


MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:50 / /srv rw,relatime shared:1 - nfs4 server:/export rw
41 40 0:51 / /srv/local\\040disk rw,relatime - xfs /dev/sdb rw
42 27 0:52 / /mnt/box rw - fuse.sshfs box: rw
43 27 0:53 / /mnt/box rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/netpulse", None),
        ("/srv", "nfs4"),
        ("/srv/data", "nfs4"),
        ("/srvdata", None),
        ("/srv/local disk/data", None),
        ("/mnt/box/data", None),
    ],
)
def test_network_file_systems_are_seen(path: str, kind: str | None) -> None:
    assert directory.network_file_system(Path(path), MOUNTS) == kind


def test_this_machines_mounts_can_be_read(tmp_path: Path) -> None:
    assert directory.network_file_system(tmp_path) is None


def test_second_instance_gets_the_holders_pid(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from netpulse.storage.lock import DataLock;"
        f"lock = DataLock.acquire(Path({str(tmp_path)!r})); print('held', flush=True);"
        "sys.stdin.read()"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StartRefused) as refusal:
            DataLock.acquire(tmp_path)
        assert str(refusal.value) == (
            f"another NetPulse (process {holder.pid}) already uses {tmp_path}; "
            "stop it or choose another --data"
        )
        holder.kill()
        holder.wait()
        lock = DataLock.acquire(tmp_path)
        card = (tmp_path / "netpulse.lock").read_text()
        assert re.fullmatch(rf"{os.getpid()} [0-9]{{13}} \S+\n", card)
        assert stat.S_IMODE((tmp_path / "netpulse.lock").stat().st_mode) == 0o600
        lock.release()
        lock.release()
    with DataLock.acquire(tmp_path):
        pass


@pytest.mark.parametrize(
    ("card", "age", "listens"),
    [
        ("7 1790000000000 elsewhere\n", 3, True),
        ("", 3, True),  # a lock that is new beside a sign that is not
        ("7 1790000000000 elsewhere\n", 40, False),
        (f"7 1790000000000 {socket.gethostname()}\n", 3, False),
    ],
)
def test_whoever_was_on_another_machine_is_listened_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, card: str, age: int, listens: bool
) -> None:
    """Nothing more is heard of it: it has crashed, and its place is taken."""
    monkeypatch.setattr(lock_module, "LISTEN_SECONDS", 0.4)
    (tmp_path / "netpulse.lock").write_text(card)
    (tmp_path / alive.NAME).write_text("run 1 noted 2 seen 3")
    os.utime(tmp_path / alive.NAME, (time.time() - age,) * 2)
    began = time.monotonic()
    with DataLock.acquire(tmp_path):
        assert (time.monotonic() - began >= 0.4) == listens
    assert (tmp_path / "netpulse.lock").read_text() != card


def test_lock_in_one_process_too_and_holder_elsewhere(tmp_path: Path) -> None:
    with DataLock.acquire(tmp_path):
        with pytest.raises(StartRefused, match=f"process {os.getpid()}\\)"):
            DataLock.acquire(tmp_path)
        (tmp_path / "netpulse.lock").write_text("7 1790000000000 web1\n")
        with pytest.raises(StartRefused, match=r"process 7 on web1\)"):
            DataLock.acquire(tmp_path)
        (tmp_path / "netpulse.lock").write_text("")
        with pytest.raises(StartRefused, match=r"process unknown\)"):
            DataLock.acquire(tmp_path)


async def test_two_processes_share_one_file(tmp_path: Path) -> None:
    """A command writes while the server runs, and the server sees it at its next read."""
    async with opened(tmp_path) as db:
        other = await open_database(tmp_path, Vault(MASTER))
        await other.write(add_org, "Command")
        await other.close()
        await db.write(add_org, "Server")
        names = await db.read(lambda conn: conn.all("SELECT name FROM organizations ORDER BY 1"))
        assert names == [("Command",), ("Server",)]
