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
from netpulse.storage import audit
from netpulse.storage.audit import FIRST, Break
from netpulse.storage.conn import Conn
from tests.store import CLI, NOW, add_org, opened

ALICE = Actor(
    kind="user", user_id="u1", label="alice@example.com", ip="192.0.2.1", user_agent="Firefox"
)


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
        assert (await db.read(audit.page, org.id, resource_type="monitor")).rows == [row]
        assert (await db.read(audit.page, org.id, resource_id="m2")).total == 0
        assert (await db.read(audit.page, org.id, user_id="u1", offset=1)).rows == []
        assert await db.read(audit.verify, org.id) == []


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
            assert await db.read(audit.verify, org_id) == []
            assert (await db.read(audit.page, org_id)).total == total
        assert await db.read(audit.verify, "nobody") == []


async def test_a_row_that_was_undone_leaves_no_hole(tmp_path: Path) -> None:
    def undone(conn: Conn, org_id: str) -> None:
        note(conn, org_id)
        raise LookupError

    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        with pytest.raises(LookupError):
            await db.write(undone, org.id)
        assert (await db.write(note, org.id)).seq == 1
        assert await db.read(audit.verify, org.id) == []


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_logs SET action = 'x'", "DELETE FROM audit_logs"]
)
async def test_the_program_itself_cannot_change_it(tmp_path: Path, statement: str) -> None:
    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        await db.write(note, org.id)
        with pytest.raises(apsw.ConstraintError, match="the audit log is append-only"):
            await db.write(lambda conn: conn.execute(statement))


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
    ],
)
async def test_tampering_is_seen(
    tmp_path: Path, statements: tuple[str, ...], breaks: list[Break]
) -> None:
    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        for number in range(4):
            await db.write(note, org.id, number)
    tamper(tmp_path, *statements)
    async with opened(tmp_path) as db:
        assert await db.read(audit.verify, org.id) == breaks
