"""The audit log: complete, chained, and not to be changed unseen."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import apsw
import msgspec
import pytest

from netpulse.model.user import Actor
from netpulse.storage import audit, audit_chains, audit_heads
from netpulse.storage.audit import FIRST, AuditFilter
from netpulse.storage.audit_chains import Break
from netpulse.storage.conn import Conn
from tests.store import CLI, NOW, add_org, opened

ALICE = Actor(
    kind="user", user_id="u1", label="alice@example.com", ip="192.0.2.1", user_agent="Firefox"
)


COPIED = tuple(audit.COLUMNS.split(", ")[1:])
"""The columns of a row but its id."""


def slipped_in(number: int) -> str:
    """Return the statement that copies row 2 to another number."""
    columns = ", ".join(COPIED).replace("seq", f"{number}", 1)
    return f"INSERT INTO audit_logs SELECT 'x', {columns} FROM audit_logs WHERE seq = 2"  # noqa: S608


def note(conn: Conn, org_id: str, number: int = 1) -> audit.AuditRow:
    before, after = {"name": "Shop"}, {"name": f"Störe {number}"}
    return audit.append(
        conn, org_id, ALICE, "monitor.updated", "monitor", "m1", before, after, NOW + number
    )


def tamper(path: Path, *statements: str) -> None:
    """Change the file as somebody with the disk in hand would: triggers and all."""
    connection = apsw.Connection(str(path / "netpulse.db"))
    for trigger in ("audit_logs_keep", "audit_logs_stay"):
        connection.execute(f"DROP TRIGGER {trigger}")
    for statement in statements:
        connection.execute(statement).fetchall()
    connection.close()


async def test_a_row_says_who_what_when_and_where(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        row = await db.write(note, org.id)
        assert (row.seq, row.prev_hash, row.actor_kind, row.user_id) == (1, FIRST, "user", "u1")
        assert (row.actor_label, row.ip_address) == ("alice@example.com", "192.0.2.1")
        assert msgspec.json.decode(row.payload) == {
            "before": {"name": "Shop"},
            "after": {"name": "Störe 1"},
        }
        second = await db.write(
            audit.append, org.id, CLI, "org.exported", "org", None, None, None, NOW
        )
        assert (second.seq, second.prev_hash) == (2, row.hash)
        page = await db.read(audit.page, org.id)
        assert page.rows == [second, row]
        assert page.total == 2
        assert (await db.read(audit.page, org.id, AuditFilter(resource_type="monitor"))).rows == [
            row
        ]
        assert (await db.read(audit.page, org.id, AuditFilter(resource_id="m2"))).total == 0
        assert (await db.read(audit.page, org.id, AuditFilter(user_id="u1"), offset=1)).rows == []
        assert await db.read(audit_chains.verify, org.id) == []


async def test_the_hash_can_be_computed_elsewhere(tmp_path: Path) -> None:
    """By the recipe in the documentation: canonical JSON of the fields, with prev_hash."""
    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        row = await db.write(note, org.id)
    fields = {**msgspec.structs.asdict(row), "payload": bytes(row.payload).decode()}
    del fields["hash"]
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == row.hash


async def test_chains_are_apart_and_whole_under_load(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        one, two = await db.write(add_org), await db.write(add_org, "Other")
        await asyncio.gather(
            *(db.write(note, org_id, n) for n in range(300) for org_id in (one.id, two.id))
        )
        await db.write(note, audit.INSTANCE)
        for org_id, total in ((one.id, 300), (two.id, 300), (audit.INSTANCE, 1)):
            assert await db.read(audit_chains.verify, org_id) == []
            assert (await db.read(audit.page, org_id)).total == total
        assert await db.read(audit_chains.verify, "nobody") == []


async def test_a_row_that_was_undone_leaves_no_hole(tmp_path: Path) -> None:
    def undone(conn: Conn, org_id: str) -> None:
        note(conn, org_id)
        raise LookupError

    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        with pytest.raises(LookupError):
            await db.write(undone, org.id)
        assert (await db.write(note, org.id)).seq == 1
        assert await db.read(audit_chains.verify, org.id) == []


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_logs SET action = 'x'", "DELETE FROM audit_logs"]
)
async def test_the_program_itself_cannot_change_it(tmp_path: Path, statement: str) -> None:
    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        await db.write(note, org.id)
        with pytest.raises(apsw.ConstraintError, match="the audit log is append-only"):
            await db.write(lambda conn: conn.execute(statement))


UNSIGNED = "the end of the chain was here once, and is not signed by this instance"


@pytest.mark.parametrize(
    ("statements", "breaks"),
    [
        (
            ("UPDATE audit_logs SET actor_label = 'mallory' WHERE seq = 2",),
            [Break(2, "its content was changed")],
        ),
        (
            ("UPDATE audit_logs SET payload = '{}' WHERE seq = 4",),
            [Break(4, "its content was changed")],
        ),
        (("DELETE FROM audit_logs WHERE seq IN (2, 3)",), [Break(2, "rows 2 to 3 are missing")]),
        (("DELETE FROM audit_logs WHERE seq = 1",), [Break(1, "row 1 is missing")]),
        (
            ("DELETE FROM audit_logs WHERE seq = 4",),
            [Break(4, "the end of the chain is not where it was left")],
        ),
        (
            ("UPDATE audit_logs SET prev_hash = hash WHERE seq = 3",),
            [Break(3, "it does not follow the row before it"), Break(3, "its content was changed")],
        ),
        (
            ("DELETE FROM audit_logs", "DELETE FROM audit_heads WHERE seq < 0"),
            [Break(1, "the end of the chain is not where it was left")],
        ),
        (
            ("DELETE FROM audit_heads",),
            [Break(1, "the end of the chain is missing")],
        ),
        (
            # Two rows change places.
            (
                "UPDATE audit_logs SET seq = 9 WHERE seq = 2",
                "UPDATE audit_logs SET seq = 2 WHERE seq = 3",
                "UPDATE audit_logs SET seq = 3 WHERE seq = 9",
            ),
            [
                Break(2, "it does not follow the row before it"),
                Break(2, "its content was changed"),
                Break(3, "it does not follow the row before it"),
                Break(3, "its content was changed"),
                Break(4, "it does not follow the row before it"),
            ],
        ),
        (
            # Slipped in where no number is.
            (slipped_in(0),),
            [Break(0, "it was slipped in: its number is taken, or none")],
        ),
        (
            # Behind the end.
            (slipped_in(5),),
            [Break(5, "it was added behind the end of the chain")],
        ),
        (
            # Cut off, and the head put where the end is now: it cannot be signed.
            (
                "DELETE FROM audit_logs WHERE seq = 4",
                "UPDATE audit_heads SET seq = 3, hash = (SELECT hash FROM audit_logs WHERE seq = 3)",
            ),
            [Break(3, UNSIGNED)],
        ),
        (("UPDATE audit_heads SET mac = NULL",), [Break(4, UNSIGNED)]),
        (("UPDATE audit_heads SET mac = ''",), [Break(4, UNSIGNED)]),
        (
            ("UPDATE audit_logs SET actor_label = CAST(x'ff' AS TEXT) WHERE seq = 3",),
            [Break(1, "it, or one of those after it, is no text")],
        ),
    ],
)  # fmt: skip
async def test_tampering_is_seen(
    tmp_path: Path, statements: tuple[str, ...], breaks: list[Break]
) -> None:
    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        for number in range(4):
            await db.write(note, org.id, number)
    tamper(tmp_path, *statements)
    async with opened(tmp_path) as db:
        assert await db.read(audit_chains.verify, org.id) == breaks


async def test_a_slipped_in_row_with_a_number_that_is_taken_is_seen(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        for number in range(4):
            await db.write(note, org.id, number)
    connection = apsw.Connection(str(tmp_path / "netpulse.db"))
    columns = ("id", *COPIED)
    connection.execute(
        f"CREATE TABLE loose AS SELECT {', '.join(columns)} FROM audit_logs;"  # noqa: S608 - ours
        " INSERT INTO loose SELECT * FROM loose WHERE seq = 2;"
        " DROP TABLE audit_logs; ALTER TABLE loose RENAME TO audit_logs"
    ).fetchall()
    connection.close()
    async with opened(tmp_path) as db:
        assert await db.read(audit_chains.verify, org.id) == [
            Break(2, "it was slipped in: its number is taken, or none")
        ]


def rewritten(conn: apsw.Connection) -> None:
    """Change row 2 and compute the whole chain anew, as somebody who has read this program would."""
    columns = audit.COLUMNS
    rows = conn.execute(f"SELECT {columns} FROM audit_logs ORDER BY seq").fetchall()  # noqa: S608
    conn.execute("DELETE FROM audit_logs")
    prev = FIRST
    for row in rows:
        fields = list(row[:-1])
        if fields[2] == 2:
            fields[8] = "mallory"
        fields[13] = prev
        prev = audit.row_hash(tuple(fields))
        marks = ", ".join("?" * 15)
        conn.execute(f"INSERT INTO audit_logs ({columns}) VALUES ({marks})", (*fields, prev))  # noqa: S608
    conn.execute("UPDATE audit_heads SET hash = ?", (prev,))


async def test_a_chain_that_was_computed_anew_is_seen_and_never_blessed(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        for number in range(4):
            await db.write(note, org.id, number)
    connection = apsw.Connection(str(tmp_path / "netpulse.db"))
    for trigger in ("audit_logs_keep", "audit_logs_stay"):
        connection.execute(f"DROP TRIGGER {trigger}")
    rewritten(connection)
    connection.close()
    async with opened(tmp_path) as db:
        assert await db.read(audit_chains.verify, org.id) == [Break(4, UNSIGNED)]
        # A row that comes after it does not sign what was done before it.
        await db.write(note, org.id, 5)
        await db.write(note, org.id, 6)
        assert await db.read(audit_chains.verify, org.id) == [Break(4, UNSIGNED)]


GONE = "a chain was taken away as a whole, added, or put back to an earlier end"
ROLL = "the roll of all chains is not signed by this instance"


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        (("DELETE FROM audit_logs", "DELETE FROM audit_heads"), GONE),
        (("UPDATE meta SET value = '0|0|0' WHERE key = 'audit_roll'",), ROLL),
        (("DELETE FROM meta WHERE key = 'audit_roll'",), ROLL),
        (("UPDATE meta SET value = replace(value, '5|', '4|') WHERE key = 'audit_roll'",), ROLL),
    ],
)
async def test_a_chain_that_was_taken_away_is_seen(
    tmp_path: Path, statements: tuple[str, ...], problem: str
) -> None:
    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        for number in range(5):
            await db.write(note, org.id, number)
        assert await db.read(audit_chains.verify_roll) is None
    tamper(tmp_path, *statements)
    async with opened(tmp_path) as db:
        assert await db.read(audit_chains.verify_roll) == problem
        await db.write(note, org.id, 7)
        assert await db.read(audit_chains.verify_roll) == problem, "and stays so"


async def test_an_end_that_was_put_back_is_seen_by_the_roll(tmp_path: Path) -> None:
    """An earlier head was signed once; somebody who has kept it puts it back."""
    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        for number in range(3):
            await db.write(note, org.id, number)
        head = await db.read(audit_heads.head, org.id)
        assert head is not None
        await db.write(note, org.id, 4)
    tamper(
        tmp_path,
        "DELETE FROM audit_logs WHERE seq = 4",
        f"UPDATE audit_heads SET seq = 3, hash = '{head.hash}', mac = '{head.mac}'",  # noqa: S608
    )
    async with opened(tmp_path) as db:
        assert await db.read(audit_chains.verify, org.id) == []
        assert await db.read(audit_chains.verify_roll) == GONE


NONE = "there is an end of a chain that belongs to none"
LAX = (
    "CREATE TABLE lax (org_id, seq, hash, mac)",
    "INSERT INTO lax SELECT org_id, seq, hash, mac FROM audit_heads",
    "DROP TABLE audit_heads",
    "ALTER TABLE lax RENAME TO audit_heads",
)
"""The ends without the rules of their table."""


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ("org_id = NULL", NONE),
        ("org_id = ''", NONE),
        ("org_id = CAST(org_id AS BLOB)", NONE),
        ("org_id = 'instance'", "an end of a chain is not signed by this instance"),
        ("org_id = 'nobody'", "an end of a chain is not signed by this instance"),
        ("seq = 0", NONE),
        ("seq = 'many'", NONE),
        ("hash = x'00'", NONE),
        ("mac = CAST(mac AS BLOB)", NONE),
        ("mac = NULL", "an end of a chain is not signed by this instance"),
    ],
)
async def test_an_end_that_nobody_walks_does_not_stand_for_its_chain(
    tmp_path: Path, changed: str, problem: str
) -> None:
    """The rows go, and the end stays where it counts in the roll and is not found."""
    async with opened(tmp_path) as db:
        await db.write(note, audit.INSTANCE)
        org = await db.write(add_org)
        for number in range(5):
            await db.write(note, org.id, number)
        assert await db.read(audit_chains.verify_roll) is None
    where = f"org_id = '{org.id}'"
    tamper(
        tmp_path,
        f"DELETE FROM audit_logs WHERE {where}",  # noqa: S608
        *LAX,
        f"UPDATE audit_heads SET {changed} WHERE {where}",  # noqa: S608
    )
    async with opened(tmp_path) as db:
        assert await db.read(audit_chains.verify_roll) == problem
        for each in await db.read(audit_chains.chains):
            await db.read(audit_chains.verify, each.head.org_id)


async def test_an_end_that_is_there_twice_is_seen(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        await db.write(note, audit.INSTANCE)
    tamper(tmp_path, *LAX, "INSERT INTO audit_heads SELECT * FROM audit_heads")
    async with opened(tmp_path) as db:
        assert await db.read(audit_chains.verify_roll) == NONE


async def test_all_chains_are_found(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        assert await db.read(audit_chains.chains) == []
        one, two = await db.write(add_org), await db.write(add_org, "Other")
        for org_id in (two.id, one.id, audit.INSTANCE, one.id):
            await db.write(note, org_id)
        found = await db.read(audit_chains.chains)
        assert {(each.head.org_id, each.rows, each.last) for each in found} == {
            (one.id, 2, 2),
            (two.id, 1, 1),
            (audit.INSTANCE, 1, 1),
        }
        assert len(found) == 3


async def test_rows_that_are_added_meanwhile_are_no_break(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        for number in range(3):
            await db.write(note, org.id, number)
        seen = await db.read(audit_chains.chain, org.id)
        await db.write(note, org.id, 4)
        breaks: list[Break] = []
        assert await db.read(lambda conn: list(audit_chains.walk(conn, seen, breaks))) == [3]
        assert breaks == []
