"""Migrations over the real adapter: order, versions, the copy, and death in the middle."""

from __future__ import annotations

import os
import signal
import sqlite3  # noqa: TID251 - its exceptions, which sqlite-utils catches
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
import sqlite_utils

from netpulse.crypto.vault import Vault
from netpulse.storage import directory, opening
from netpulse.storage.adapter import wrapped
from netpulse.storage.db import StartRefused
from netpulse.storage.lock import DataLock
from netpulse.storage.migrations import LATEST, STEPS, Step, migrations
from tests.store import MASTER, add_org, opened

ROOT = Path(__file__).resolve().parents[2]


def add_column(db: sqlite_utils.Database) -> None:
    db.execute("ALTER TABLE organizations ADD COLUMN motto TEXT")
    db.execute("UPDATE organizations SET motto = 'up'")


def fails(db: sqlite_utils.Database) -> None:
    add_column(db)
    raise RuntimeError("a mistake in the step")


def later(*steps: tuple[str, Step]) -> tuple[tuple[str, Step], ...]:
    return (*STEPS, *steps)


def migrate(path: Path, steps: tuple[tuple[str, Step], ...]) -> None:
    opening._existing(path, Vault(MASTER), steps).close()


def look(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = apsw.Connection(str(path))
    rows = connection.execute(sql).fetchall()
    connection.close()
    return rows


def run(code: str) -> int:
    return subprocess.run([sys.executable, "-c", code], check=False).returncode


async def made(data: Path) -> Path:
    async with opened(data) as db:
        await db.write(add_org)
    return data / directory.MAIN


def test_steps_are_numbered_without_a_hole() -> None:
    assert [name[:4] for name, _ in STEPS] == [f"{n:04}" for n in range(1, LATEST + 1)]


async def test_a_new_file_has_every_step_on_record(tmp_path: Path) -> None:
    main = await made(tmp_path)
    assert look(main, "SELECT name FROM _sqlite_migrations") == [(name,) for name, _ in STEPS]
    assert look(main, "PRAGMA user_version") == [(LATEST,)]
    assert look(main, "PRAGMA foreign_key_check") == []


async def test_a_step_keeps_a_copy_and_counts_the_version(tmp_path: Path) -> None:
    main = await made(tmp_path)
    migrate(main, later(("0002_motto", add_column)))
    assert look(main, "PRAGMA user_version") == [(LATEST + 1,)]
    assert look(main, "SELECT motto FROM organizations") == [("up",)]
    copy = tmp_path / f"netpulse.db.v{LATEST}"
    assert look(copy, "PRAGMA user_version") == [(LATEST,)]
    assert look(copy, "SELECT name FROM organizations") == [("Acme",)]
    assert copy.stat().st_mode & 0o077 == 0
    assert not list(tmp_path.glob("*.part"))
    before = copy.stat().st_mtime_ns
    migrate(main, later(("0002_motto", add_column)))
    assert copy.stat().st_mtime_ns == before, "nothing to do, nothing done"


async def test_a_failing_step_leaves_the_version_before_it(tmp_path: Path) -> None:
    main = await made(tmp_path)
    steps = later(
        (
            "0002_fine",
            lambda db: db.executescript("CREATE TABLE fine (x); CREATE INDEX f ON fine (x);"),
        ),
        ("0003_fails", fails),
        ("0004_never", add_column),
    )
    with pytest.raises(RuntimeError, match="a mistake"):
        migrate(main, steps)
    assert look(main, "PRAGMA user_version") == [(LATEST + 1,)]
    assert look(main, "SELECT count(*) FROM fine") == [(0,)]
    assert look(
        main, "SELECT count(*) FROM pragma_table_info('organizations') WHERE name = 'motto'"
    ) == [(0,)]
    migrate(main, (*steps[: LATEST + 1], ("0003_fails", add_column)))
    assert look(main, "SELECT motto FROM organizations") == [("up",)]


async def test_no_migration_under_a_running_instance(tmp_path: Path) -> None:
    main = await made(tmp_path)
    with DataLock.acquire(tmp_path):
        (tmp_path / "netpulse.lock").write_text("7 1790000000000 web1\n")
        with pytest.raises(StartRefused) as refusal:
            migrate(main, later(("0002_motto", add_column)))
        assert str(refusal.value) == (
            f"{main} must be brought to a new layout, but another NetPulse (process 7 on web1) is "
            "using it: stop that one first"
        )
        (tmp_path / "netpulse.lock").write_text(f"{os.getpid()} 1790000000000 here\n")
        migrate(main, later(("0002_motto", add_column)))
    assert look(main, "SELECT motto FROM organizations") == [("up",)]


_KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from netpulse.crypto.vault import Vault
from netpulse.storage import opening
from netpulse.storage.migrations import STEPS

def big(db):
    db.execute("CREATE TABLE big (x)")
    db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)"
               " INSERT INTO big SELECT hex(randomblob(40)) FROM n")
    if {inside}:
        os.kill(os.getpid(), signal.SIGKILL)

def last(db):
    if not {inside}:
        os.kill(os.getpid(), signal.SIGKILL)

opening._existing(Path({path!r}), Vault(bytes(range(32))),
                  (*STEPS, ("0002_big", big), ("0003_last", last)))
"""


@pytest.mark.parametrize("inside", [True, False])
async def test_a_killed_migration_is_whole_or_not_there(tmp_path: Path, inside: bool) -> None:
    main = await made(tmp_path)
    code = _KILLED.format(root=str(ROOT), path=str(main), inside=inside)
    assert run(code) == -signal.SIGKILL
    assert look(main, "PRAGMA integrity_check") == [("ok",)]
    assert look(main, "PRAGMA user_version") == [(LATEST if inside else LATEST + 1,)]
    tables = look(main, "SELECT name FROM sqlite_master WHERE name = 'big'")
    assert tables == ([] if inside else [("big",)])
    assert look(tmp_path / f"netpulse.db.v{LATEST}", "PRAGMA integrity_check") == [("ok",)]
    if inside:
        async with opened(tmp_path) as db:
            await db.write(add_org, "Later")


# --- the adapter: what sqlite-utils does with it ---


def adapted() -> tuple[apsw.Connection, sqlite_utils.Database]:
    raw = apsw.Connection(":memory:")
    raw.execute("PRAGMA foreign_keys = ON").fetchall()
    return raw, wrapped(raw)


def test_rows_in_and_out() -> None:
    raw, db = adapted()
    db["people"].insert_all([{"id": 1, "name": "Alice"}, {"id": 2, "name": "Bob"}], pk="id")
    db["people"].upsert({"id": 2, "name": "Bobby"}, pk="id")
    assert list(db["people"].rows) == [{"id": 1, "name": "Alice"}, {"id": 2, "name": "Bobby"}]
    assert list(db.query("SELECT name FROM people WHERE id = ?", [1])) == [{"name": "Alice"}]
    assert list(db.query("SELECT name FROM people WHERE id = :id", {"id": 9})) == []
    assert db["people"].insert({"name": "Carol"}).last_pk == 3
    assert db["people"].count == 3
    assert not raw.in_transaction


def test_transform_keeps_foreign_keys_and_rows() -> None:
    raw, db = adapted()
    db["orgs"].insert({"id": 1}, pk="id")
    db["people"].insert(
        {"id": 1, "org": 1, "age": "7"}, pk="id", foreign_keys=[("org", "orgs", "id")]
    )
    db["people"].transform(types={"age": int}, rename={"age": "years"}, not_null={"org"})
    assert list(db["people"].rows) == [{"id": 1, "org": 1, "years": 7}]
    assert db["people"].foreign_keys[0].other_table == "orgs"
    with pytest.raises(sqlite3.IntegrityError):
        db["people"].insert({"id": 2, "org": 9, "years": 1})
    assert raw.execute("PRAGMA foreign_key_check").fetchall() == []


def test_full_text_search_with_triggers() -> None:
    _, db = adapted()
    db["notes"].insert({"id": 1, "text": "the shop is down"}, pk="id")
    db["notes"].enable_fts(["text"], create_triggers=True)
    db["notes"].insert({"id": 2, "text": "the shop is up"})
    assert [row["id"] for row in db["notes"].search("up")] == [2]


def test_a_transaction_rolls_back_and_nests() -> None:
    raw, db = adapted()
    db["t"].create({"x": int})

    def fail_after(number: int) -> None:
        with db.atomic():
            db["t"].insert({"x": number})
            raise LookupError

    with pytest.raises(LookupError):
        fail_after(1)
    with db.atomic():
        db["t"].insert({"x": 2})
        with pytest.raises(LookupError):
            fail_after(3)
    assert raw.execute("SELECT x FROM t").fetchall() == [(2,)]


def test_errors_are_the_ones_sqlite_utils_knows() -> None:
    _, db = adapted()
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        db.execute("SELECT * FROM nowhere")
    db["t"].create({"id": int}, pk="id")
    db["t"].insert({"id": 1})
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        db["t"].insert({"id": 1})


def test_functions_of_ours_in_sql() -> None:
    _, db = adapted()
    db.register_function(lambda text: text.upper(), name="shout", deterministic=True)
    assert db.execute("SELECT shout('up')").fetchone() == ("UP",)


def test_the_set_refuses_a_name_twice() -> None:
    with pytest.raises(ValueError, match="already registered"):
        migrations((*STEPS, STEPS[0]))
