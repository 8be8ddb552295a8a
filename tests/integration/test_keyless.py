"""Data whose key is not here: what its time leaves in the file, and how that is made good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import msgspec
import pytest
import sqlite_utils

from netpulse.crypto.lost import LostDigester, LostLinks, LostVault
from netpulse.crypto.vault import NoKey
from netpulse.model.monitor import BasicAuth, HttpSpec, PushSpec
from netpulse.storage import (
    audit,
    audit_chains,
    audit_heads,
    channels,
    keyless,
    letters,
    meta,
    monitors,
    opening,
    pushes,
    sealed,
)
from netpulse.storage.audit_chains import Break
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database
from netpulse.storage.errors import StartRefused
from netpulse.storage.migrations import LATEST, STEPS
from netpulse.storage.opening import open_database
from netpulse.storage.sealed import COLUMNS, OF_THE_INSTANCE
from tests.integration.test_rotation import older
from tests.integration.test_storage_audit import GONE, UNSIGNED, note, rewritten
from tests.store import MASTER, NOW, add_channel, add_org, opened
from tests.treasure import assert_opens, fill

WHY = "the encryption key is missing"
LATER = NOW + 3_600_000


@asynccontextmanager
async def without_key(data: Path) -> AsyncIterator[Database]:
    """Open the file as `serve --degraded` does."""
    db = await open_database(data, LostVault(WHY))
    try:
        yield db
    finally:
        await db.close()


def values(conn: Conn) -> list[object]:
    """Return all that is sealed, as it is stored."""
    found: list[object] = [meta.get(conn, key) for key in OF_THE_INSTANCE]
    for column in COLUMNS:
        found += sealed.values(conn, column, "")
    return found


async def test_nothing_sealed_is_opened_or_changed(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        treasure = await db.write(fill)
        before = await db.read(values)
    async with without_key(tmp_path) as db:
        assert db.vault.is_lost
        assert db.vault.why_lost == WHY
        broken = await db.read(lambda conn: list(sealed.broken(conn)))
        assert len(broken) == treasure.count
        with pytest.raises(NoKey):
            await db.write(add_channel, treasure.org_id)
        # What needs no key is written beside it, and its like is refused once more.
        assert (await db.write(add_org, "Other")).name == "Other"
        with pytest.raises(NoKey):
            await db.read(pushes.find, next(iter(treasure.tokens.values())))
        assert await db.read(values) == before
    async with opened(tmp_path) as db:
        assert not db.vault.is_lost
        await db.read(assert_opens, treasure)


async def test_what_cannot_be_read_says_why_and_not_to_enter_it_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        treasure = await db.write(fill)
    async with without_key(tmp_path) as db:
        for monitor_id in treasure.passwords:
            monitor = await db.read(monitors.get, treasure.org_id, monitor_id)
            assert monitor is not None
            assert monitor.damage == (
                "its secrets cannot be read: NetPulse runs without its encryption key"
            )
        for monitor_id in treasure.tokens:
            monitor = await db.read(monitors.get, treasure.org_id, monitor_id)
            assert monitor is not None
            assert monitor.ping_token is None
            assert monitor.damage == (
                "it cannot be told whose a ping is: NetPulse runs without its encryption key"
            )
        for channel_id in treasure.urls:
            channel = await db.read(channels.get, treasure.org_id, channel_id)
            assert channel is not None
            assert channel.damage == (
                "its configuration cannot be read: NetPulse runs without its encryption key"
            )
        waiting = await db.read(letters.due, NOW)
        assert {letter.damage for letter in waiting} == {"NetPulse runs without its encryption key"}


async def test_a_monitor_keeps_its_secrets_from_whoever_edits_it(tmp_path: Path) -> None:
    """They are not in what is shown: stored as it is shown, it would have none."""
    async with opened(tmp_path) as db:
        treasure = await db.write(fill)
    async with without_key(tmp_path) as db:
        monitor_id = next(iter(treasure.passwords))
        bare = HttpSpec(name="Shop", target="https://shop.example/")
        with pytest.raises(NoKey):
            await db.write(monitors.replace, treasure.org_id, monitor_id, bare, None, now=NOW)
        push_id = next(iter(treasure.tokens))
        renamed = PushSpec(name="Nightly", interval_seconds=60)
        await db.write(monitors.replace, treasure.org_id, push_id, renamed, None, now=NOW)
        with_secret = HttpSpec(
            name="Shop", target="https://x.example/", auth=BasicAuth(username="u", password="p")
        )
        with pytest.raises(NoKey):
            await db.write(monitors.replace, treasure.org_id, push_id, with_secret, None, now=NOW)
    async with opened(tmp_path) as db:
        await db.read(assert_opens, treasure)


def test_what_stands_in_for_the_key_knows_nothing() -> None:
    vault = LostVault(WHY)
    for refused in (
        lambda: vault.demand(),
        lambda: vault.seal(b"x", "a|b|c|d"),
        lambda: vault.open(b"x" * 40, "a|b|c|d"),
        lambda: vault.kept("audit"),
        lambda: vault.keep({}),
        lambda: vault.digest("token"),
        lambda: vault.sign("text"),
        lambda: vault.signed("text", "00"),
        lambda: vault.check_value(),
        lambda: LostDigester().digest("token"),
        lambda: LostDigester().matches("token", "00"),
        lambda: LostLinks("https://x.example").token("i", "c", NOW),
        lambda: LostLinks("https://x.example").read("a.b", now=NOW),
        lambda: LostLinks("https://x.example").subscriber("a.b"),
        lambda: LostLinks("https://x.example").signing_key("s"),
    ):
        with pytest.raises(NoKey, match="runs without its encryption key"):
            refused()
    assert LostLinks("https://x.example/").page("/incidents") == "https://x.example/incidents"
    # Two processes share nothing: what one of them has derived ends with it.
    assert vault.derived("stored-tokens") != LostVault(WHY).derived("stored-tokens")
    assert vault.derived("stored-tokens") == vault.derived("stored-tokens")


async def test_since_when_is_kept_until_it_is_made_good(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        assert await db.read(keyless.since) is None
    async with without_key(tmp_path) as db:
        assert await db.write(keyless.begin, NOW) == NOW
        assert await db.write(keyless.begin, LATER) == NOW, "the second start knows of the first"
        assert await db.write(keyless.begin, NOW - 5) == NOW - 5, "the clock was set back"
    async with opened(tmp_path) as db:
        assert await db.read(keyless.since) == NOW - 5
        assert await db.read(keyless.is_left)
        await db.write(keyless.end, LATER)
        assert await db.read(keyless.since) is None
        assert not await db.read(keyless.is_left)


async def test_a_file_that_is_none_is_no_case_for_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        await db.write(meta.put, "vault_check", b"xyz")
    with pytest.raises(StartRefused, match="the value by which it knows its key does not open"):
        await open_database(tmp_path, LostVault(WHY))


# --- the audit log ---


async def filled(tmp_path: Path) -> str:
    """Make a chain of three entries, and return whose it is."""
    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        for number in range(3):
            await db.write(note, org.id, number)
    return org.id


async def grown(tmp_path: Path, org_id: str) -> str:
    """Add two entries without the key, and one in a chain of its own; return whose that is."""
    async with without_key(tmp_path) as db:
        await db.write(note, org_id, 4)
        await db.write(note, org_id, 5)
        other = await db.write(add_org, "Other")
        await db.write(note, other.id, 6)
    return other.id


async def test_it_grows_without_the_key_and_is_signed_with_it(tmp_path: Path) -> None:
    org_id = await filled(tmp_path)
    other_id = await grown(tmp_path, org_id)
    async with opened(tmp_path) as db:
        # Beside a server that runs without, a command with the right key adds to it.
        await db.write(note, org_id, 7)
        assert await db.read(audit_chains.unvouched) == 4
        assert await db.read(keyless.is_left), "whether anybody noted since when or not"
        for one in (org_id, other_id):
            assert await db.read(audit_chains.verify, one) == []
        assert await db.read(audit_chains.verify_roll) is None
        await db.write(keyless.end, LATER)
        assert await db.read(audit_chains.unvouched) == 0
        for one, first, last in ((org_id, 4, 6), (other_id, 1, 1)):
            assert await db.read(audit_chains.verify, one) == []
            (row, *_) = (await db.read(audit.page, one)).rows
            assert (row.action, row.actor_kind, row.seq) == (
                "audit_log.signed_late",
                "system",
                last + 1,
            )
            assert msgspec.json.decode(row.payload)["after"] == {"first": first, "last": last}
        assert await db.read(audit_chains.verify_roll) is None
        await db.write(note, org_id, 8)
        assert await db.read(audit_chains.verify, org_id) == []
        assert await db.read(audit_chains.verify_roll) is None
        await db.write(keyless.end, LATER)
        assert (await db.read(audit.page, other_id)).total == 2, "it is said once"


async def test_again_and_again(tmp_path: Path) -> None:
    org_id = await filled(tmp_path)
    for _ in range(3):
        await grown(tmp_path, org_id)
        async with opened(tmp_path) as db:
            await db.write(keyless.end, LATER)
            assert await db.read(audit_chains.verify, org_id) == []
            assert await db.read(audit_chains.verify_roll) is None


async def test_a_file_from_before_audit_logs_were_signed(tmp_path: Path) -> None:
    """It gets its kept keys, and its first signatures, when the key is back."""
    org_id = await filled(tmp_path)
    older(tmp_path, MASTER)
    await grown(tmp_path, org_id)
    async with opened(tmp_path) as db:
        assert await db.read(audit_chains.verify, org_id) == []
        assert await db.read(audit_chains.verify_roll) is None
        await db.write(keyless.end, LATER)
        assert await db.read(audit_chains.verify, org_id) == []
        assert await db.read(audit_chains.verify_roll) is None


async def test_an_update_without_the_key_migrates_as_ever(tmp_path: Path) -> None:
    """Where the environment is forgotten with a new version, both come together."""
    async with opened(tmp_path) as db:
        treasure = await db.write(fill)
    main = tmp_path / "netpulse.db"

    def widened(db: sqlite_utils.Database) -> None:
        db.execute("CREATE TABLE later (x TEXT) STRICT")

    opening._existing(main, LostVault(WHY), (*STEPS, ("9999_later", widened))).close()
    connection = apsw.Connection(str(main))
    assert connection.execute("PRAGMA user_version").fetchall() == [(LATEST + 1,)]
    connection.execute(f"PRAGMA user_version = {LATEST}").fetchall()
    connection.close()
    async with opened(tmp_path) as db:
        await db.read(assert_opens, treasure)


def in_hand(tmp_path: Path) -> apsw.Connection:
    """Return the file as somebody has it who has the disk in hand."""
    connection = apsw.Connection(str(tmp_path / "netpulse.db"))
    for trigger in ("audit_logs_keep", "audit_logs_stay"):
        connection.execute(f"DROP TRIGGER {trigger}")
    return connection


async def test_what_was_signed_before_cannot_be_written_anew_meanwhile(tmp_path: Path) -> None:
    org_id = await filled(tmp_path)
    await grown(tmp_path, org_id)
    connection = in_hand(tmp_path)
    connection.execute("DELETE FROM audit_logs WHERE org_id <> ?", (org_id,))
    connection.execute("DELETE FROM audit_heads WHERE org_id <> ?", (org_id,))
    rewritten(connection)
    connection.close()
    async with opened(tmp_path) as db:
        assert await db.read(audit_chains.verify, org_id) == [Break(5, UNSIGNED)]
        await db.write(keyless.end, LATER)
        assert await db.read(audit_chains.verify, org_id) == [Break(3, UNSIGNED)]
        await db.write(note, org_id, 8)
        assert await db.read(audit_chains.verify, org_id) == [Break(3, UNSIGNED)], "and stays so"


@pytest.mark.parametrize("claim", ["0||", "earlier"])
async def test_an_end_that_only_says_it_grew_without_the_key_is_seen(
    tmp_path: Path, claim: str
) -> None:
    """Whoever cuts a chain off, and says that what is there came without the key, is found out by
    the roll: that knows how far it was signed."""
    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        await db.write(note, org.id, 1)
        head = await db.read(audit_heads.head, org.id)
        assert head is not None
        for number in range(2, 5):
            await db.write(note, org.id, number)
    said = claim if claim == "0||" else f"{head.seq}|{head.hash}|{head.mac}"
    connection = in_hand(tmp_path)
    connection.execute("UPDATE audit_heads SET mac = ?", (f"without the key since {said}",))
    connection.close()
    async with opened(tmp_path) as db:
        assert await db.read(audit_chains.verify_roll) == GONE
        await db.write(keyless.end, LATER)
        assert await db.read(audit_chains.verify_roll) == GONE, "and stays so"
