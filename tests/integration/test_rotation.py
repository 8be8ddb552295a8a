"""Changing the master key: nothing is lost, the old key is not needed, and every refusal is a line."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import apsw
import msgspec
import pytest

from netpulse.crypto.keys import Masters, load_master
from netpulse.crypto.vault import HEADER_BYTES, SealBroken, Vault
from netpulse.model.user import Actor
from netpulse.storage import audit, audit_chains, channels, directory, meta, rotation, sealed
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database
from netpulse.storage.errors import StartRefused
from netpulse.storage.opening import open_database
from netpulse.storage.rotation import Damaged, Outcome, Progress, Refused
from netpulse.storage.sealed import CHANNEL_CONFIG, COLUMNS, OF_THE_INSTANCE
from tests.conftest import Stage
from tests.store import NOW, add_org
from tests.treasure import Treasure, add_channel, assert_opens, fill

ACTOR = Actor(kind="cli", label="key rotate")
ENV_OLD, ENV_NEW = bytes(range(32)), bytes(range(32, 64))


async def opened(data: Path, masters: Masters, *more: bytes) -> Database:
    """Open the data as a command does."""
    known = masters.load(has_data=True)
    return await open_database(data, Vault(*known, *more, again=masters.again))


async def made(data: Path, env: bytes | None = None, each: int = 3) -> tuple[Masters, Treasure]:
    """Make a data directory with something of everything in it."""
    directory.prepare(data)
    masters = Masters(None if env is None else env.hex(), data / directory.KEY)
    vault = Vault(*masters.load(has_data=False), again=masters.again)
    db = await open_database(data, vault)
    treasure = await db.write(fill, each)
    await db.close()
    return masters, treasure


async def rotated(
    data: Path, masters: Masters, given: bytes | None = None, *, leave_damaged: bool = False
) -> Outcome:
    """Change the key."""
    more = () if given is None or not masters.from_environment else (given,)
    db = await opened(data, masters, *more)
    try:
        return await rotation.rotate(
            db,
            masters,
            given=given,
            actor=ACTOR,
            now=lambda: NOW + 1,
            leave_damaged=leave_damaged,
        )
    finally:
        await db.close()


async def assert_only(data: Path, master: bytes, treasure: Treasure) -> None:
    """With this key alone everything opens, and nothing is sealed with any other."""
    vault = Vault(master)
    db = await open_database(data, vault)
    await db.read(assert_opens, treasure)
    headers = await db.read(headers_of_all)
    assert headers == {vault.header}
    assert await db.read(rotation.record) is None
    await db.close()


def headers_of_all(conn: Conn) -> set[bytes]:
    """Return how sealed values begin, all of them."""
    found = {bytes(meta.get(conn, key) or b"")[:HEADER_BYTES] for key in OF_THE_INSTANCE}  # type: ignore[arg-type]
    for column in COLUMNS:
        after = ""
        while values := sealed.values(conn, column, after):
            found |= {value.sealed[:HEADER_BYTES] for value in values}
            after = values[-1].row_id
    return found


async def refused(data: Path, *masters: bytes) -> str:
    """Return the line with which a start with these keys is refused."""
    with pytest.raises(StartRefused) as refusal:
        await open_database(data, Vault(*masters))
    line = str(refusal.value)
    assert "\n" not in line
    return line


def raw(data: Path, statement: str, *values: object) -> None:
    connection = apsw.Connection(str(data / directory.MAIN))
    connection.execute(statement, values).fetchall()
    connection.close()


# --- the list of what is sealed ---


async def test_every_column_of_bytes_is_on_the_list_or_known_to_be_no_secret(
    tmp_path: Path,
) -> None:
    """A sealed column that rotation does not know would be lost with the old key."""
    no_secrets = {("status_page_logos", "body"): "a picture that the world may see"}
    await made(tmp_path)
    connection = apsw.Connection(str(tmp_path / directory.MAIN))
    found = set()
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
        for name, kind in connection.execute(
            "SELECT name, type FROM pragma_table_info(?)", (table,)
        ):
            if kind.upper() in ("BLOB", "ANY"):
                found.add((table, name))
    keys = {
        row[0] for row in connection.execute("SELECT key FROM meta WHERE typeof(value) = 'blob'")
    }
    connection.close()
    listed = {(column.table, column.column) for column in COLUMNS}
    assert found - {("meta", "value")} == listed | set(no_secrets)
    assert keys == set(OF_THE_INSTANCE)


async def test_the_treasure_of_these_tests_has_something_of_every_column(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path)
    db = await opened(tmp_path, masters)
    counts = await db.read(lambda conn: [sealed.count(conn, column) for column in COLUMNS])
    await db.close()
    assert counts == [3] * len(COLUMNS)
    assert treasure.count == 18


# --- a key in a file ---


async def test_everything_is_sealed_anew_and_the_old_key_is_gone(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path)
    (old,) = masters.load(has_data=True)
    outcome = await rotated(tmp_path, masters)
    assert outcome == Outcome(treasure.count, (), resumed=False, is_new=True)
    (new,) = masters.load(has_data=True)
    assert new != old
    assert stat.S_IMODE(masters.path.stat().st_mode) == 0o600
    assert not masters.next_path.exists()
    assert {file.name for file in tmp_path.iterdir()} == {"netpulse.db", "secret.key"}
    await assert_only(tmp_path, new, treasure)
    assert await refused(tmp_path, old) == (
        f"the encryption key of {tmp_path / directory.MAIN} was changed at "
        "2026-09-21T14:13:20.001Z, and this is the one from before: use the new one "
        "(ENCRYPTION_KEY, or secret.key)"
    )


async def test_it_is_in_the_audit_log_of_the_instance(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path)
    before = Vault(*masters.load(has_data=True)).header[1:].hex()
    await rotated(tmp_path, masters)
    after = Vault(*masters.load(has_data=True)).header[1:].hex()
    db = await opened(tmp_path, masters)
    rows = (await db.read(audit.page, audit.INSTANCE)).rows
    assert [(row.action, row.actor_kind, row.actor_label) for row in rows] == [
        ("key.rotated", "cli", "key rotate"),
        ("key.rotation_started", "cli", "key rotate"),
    ]
    assert msgspec.json.decode(rows[0].payload) == {
        "before": {"key_id": before},
        "after": {"key_id": after, "values": treasure.count, "given_up": []},
    }
    for org_id in (audit.INSTANCE, treasure.org_id):
        assert await db.read(audit_chains.verify, org_id) == []
    assert await db.read(audit_chains.verify_roll) is None
    await db.close()


async def test_again_and_again(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path)
    seen = set()
    for _ in range(3):
        await rotated(tmp_path, masters)
        (key,) = masters.load(has_data=True)
        seen.add(key)
        await assert_only(tmp_path, key, treasure)
    assert len(seen) == 3


async def test_to_a_key_that_is_given(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path)
    await rotated(tmp_path, masters, ENV_NEW)
    assert masters.path.read_text() == ENV_NEW.hex() + "\n"
    await assert_only(tmp_path, ENV_NEW, treasure)
    outcome = await rotated(tmp_path, masters, ENV_NEW)
    assert outcome == Outcome(treasure.count, (), resumed=False, is_new=False)


async def test_progress_is_told(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path)
    db = await opened(tmp_path, masters)
    told: list[Progress] = []
    await rotation.rotate(db, masters, given=None, actor=ACTOR, now=lambda: NOW, told=told.append)
    await db.close()
    assert told[0] == Progress(0, treasure.count)
    assert told[-1] == Progress(treasure.count, treasure.count)
    assert [one.done for one in told] == sorted(one.done for one in told)


# --- beside a running server ---


async def test_a_server_beside_it_opens_and_seals_with_the_new_key_from_its_first_step_on(
    tmp_path: Path,
) -> None:
    """Two processes in one: each has a vault and connections of its own."""
    masters, treasure = await made(tmp_path, each=5)
    server = await opened(tmp_path, masters)
    command = await opened(tmp_path, masters)
    (old,) = masters.load(has_data=True)
    old_header, old_tokens = Vault(old).header, server.vault.derived("access-tokens")
    new = masters.propose(b"n" * 32)
    header = command.vault.add(new)

    before = await server.write(add_channel, treasure.org_id, 100)
    await command.write(rotation.begin, header, ACTOR, NOW)
    # Whatever the server writes now is sealed with the new key, though nobody told it.
    during = await server.write(add_channel, treasure.org_id, 101)
    assert await server.read(header_of, during.id) == header
    assert await server.read(header_of, before.id) == old_header
    assert server.vault.derived("access-tokens") != old_tokens
    await server.read(assert_opens, treasure)
    for column in COLUMNS:
        after: str | None = ""
        while after is not None:
            _, after = await command.write(rotation.reseal, column, old_header, after)
            await server.read(assert_opens, treasure)
    await command.write(rotation.finish, leave_damaged=False, actor=ACTOR, now=NOW)
    await server.read(assert_opens, treasure)
    masters.retire()
    last = await server.write(add_channel, treasure.org_id, 102)
    assert await server.read(header_of, last.id) == header
    await command.close()
    await server.close()
    await assert_only(tmp_path, new, treasure)


def header_of(conn: Conn, channel_id: str) -> bytes:
    row = conn.one("SELECT config FROM alert_channels WHERE id = ?", (channel_id,))
    assert row is not None
    sealed_value: bytes = row[0]
    return sealed_value[:HEADER_BYTES]


async def test_a_server_that_looks_at_nothing_meanwhile_finds_the_key_later(tmp_path: Path) -> None:
    """It wakes up after two changes, and knows neither of the two keys."""
    masters, treasure = await made(tmp_path)
    server = await opened(tmp_path, masters)
    await rotated(tmp_path, masters)
    await rotated(tmp_path, masters)
    await server.read(assert_opens, treasure)
    channel = await server.write(add_channel, treasure.org_id, 7)
    await server.close()
    (key,) = masters.load(has_data=True)
    db = await open_database(tmp_path, Vault(key))
    assert await db.read(header_of, channel.id) == Vault(key).header
    await db.close()


async def test_writers_beside_it_lose_nothing(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path, each=60)
    server = await opened(tmp_path, masters)
    written: list[str] = []
    done = asyncio.Event()

    async def write_on() -> None:
        while not done.is_set() or len(written) < 50:
            channel = await server.write(add_channel, treasure.org_id, len(written))
            written.append(channel.id)

    writing = asyncio.create_task(write_on())
    for _ in range(3):
        await rotated(tmp_path, masters)
    done.set()
    await writing
    await server.close()
    (key,) = masters.load(has_data=True)
    await assert_only(tmp_path, key, treasure)
    db = await open_database(tmp_path, Vault(key))
    for number, channel_id in enumerate(written):
        channel = await db.read(channels.get, treasure.org_id, channel_id)
        assert channel is not None
        assert channel.config.url == f"https://hooks.example/secret-{number}"  # type: ignore[union-attr]
    await db.close()


async def test_a_server_that_cannot_have_the_new_key_seals_nothing(tmp_path: Path) -> None:
    """Better a change that fails than a secret that is thrown away with the old key."""
    masters, treasure = await made(tmp_path)
    server = await opened(tmp_path, Masters(masters.path.read_text().strip(), masters.path))
    await rotated(tmp_path, masters)
    with pytest.raises(SealBroken, match="the new one cannot be read"):
        await server.write(add_channel, treasure.org_id, 9)
    # What needs no key goes on.
    assert (await server.write(add_org, "Other")).name == "Other"
    await server.close()
    await assert_only(tmp_path, masters.load(has_data=True)[0], treasure)


async def test_a_request_that_cannot_be_sealed_is_answered_503(house: Stage) -> None:
    """This house has been handed its key, and cannot look for another one."""
    db = await open_database(house.data, Vault(bytes(range(32)), b"n" * 32))
    await db.write(rotation.begin, Vault(b"n" * 32).header, ACTOR, NOW)
    await db.close()
    alice = house.client(headers=house.cast.alice.headers)
    hook = {"name": "Hook", "type": "webhook", "config": {"url": "https://hooks.example/x"}}
    answer = await alice.post("/v1/alert-channels", json=hook)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "STORAGE_TROUBLE"
    assert (await alice.get("/v1/alert-channels")).json()["data"] == []
    assert "channel.created" not in await house.actions(house.cast.acme.id)


# --- half-way states ---


async def begun(data: Path, masters: Masters, given: bytes | None = None) -> bytes:
    """Leave a change of the key in the middle: some values are sealed anew, others not yet."""
    db = await opened(data, masters, *(() if given is None else (given,)))
    new = masters.propose(b"n" * 32) if given is None else given
    old = db.vault.header
    await db.write(rotation.begin, db.vault.add(new), ACTOR, NOW)
    await db.write(rotation.reseal, CHANNEL_CONFIG, old, "")
    await db.close()
    return new


HALF = (
    "a change of the encryption key was interrupted, and {path} needs the old and the new key "
    "until it is done: run `netpulse key rotate` again, with secret.key and secret.key.next in "
    "their place, or with ENCRYPTION_KEY and NETPULSE_NEW_ENCRYPTION_KEY as they were"
)


async def test_half_way_both_keys_are_needed_and_it_goes_on(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path)
    (old,) = masters.load(has_data=True)
    new = await begun(tmp_path, masters)
    line = HALF.format(path=tmp_path / directory.MAIN)
    assert await refused(tmp_path, old) == line
    assert await refused(tmp_path, new) == line
    db = await opened(tmp_path, masters)
    await db.read(assert_opens, treasure)
    await db.close()
    with pytest.raises(Refused, match="to finish it first"):
        await rotated(tmp_path, masters, ENV_NEW)
    outcome = await rotated(tmp_path, masters)
    assert outcome == Outcome(treasure.count, (), resumed=True, is_new=True)
    await assert_only(tmp_path, new, treasure)


async def test_half_way_with_another_next_key_is_refused(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path)
    await begun(tmp_path, masters)
    kept = masters.next_path.read_text()
    db = await opened(tmp_path, masters)
    masters.next_path.write_text("ab" * 32)
    with pytest.raises(Refused) as refusal:
        await rotation.rotate(db, masters, given=None, actor=ACTOR, now=lambda: NOW)
    assert str(refusal.value) == (
        "a change of the key was interrupted, and it was to another one than this: put that one "
        f"back ({masters.next_path})"
    )
    await db.close()
    masters.next_path.write_text(kept)
    await rotated(tmp_path, masters)
    await assert_only(tmp_path, bytes.fromhex(kept), treasure)


async def test_a_next_key_that_nothing_uses_yet_is_the_one_that_is_changed_to(
    tmp_path: Path,
) -> None:
    masters, treasure = await made(tmp_path)
    (old,) = masters.load(has_data=True)
    new = masters.propose(b"n" * 32)
    await assert_only(tmp_path, old, treasure)
    assert (await rotated(tmp_path, masters)).resumed
    await assert_only(tmp_path, new, treasure)


async def test_a_next_key_that_is_none_is_replaced(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path)
    masters.next_path.write_text("half a k")
    assert not (await rotated(tmp_path, masters)).resumed
    await assert_only(tmp_path, masters.load(has_data=True)[0], treasure)


async def test_finished_but_for_the_place_of_the_new_key(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path)
    (old,) = masters.load(has_data=True)
    new = await begun(tmp_path, masters)
    db = await opened(tmp_path, masters)
    await db.write(rotation.finish, leave_damaged=False, actor=ACTOR, now=NOW)
    await db.close()
    assert masters.load(has_data=True) == (old, new)
    await assert_only(tmp_path, new, treasure)
    outcome = await rotated(tmp_path, masters)
    assert outcome == Outcome(treasure.count, (), resumed=True, is_new=False)
    assert masters.load(has_data=True) == (new,)
    await assert_only(tmp_path, new, treasure)


async def test_only_the_next_key_is_left(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path)
    await rotated(tmp_path, masters)
    masters.path.rename(masters.next_path)
    (key,) = masters.load(has_data=True)
    await assert_only(tmp_path, key, treasure)
    assert (await rotated(tmp_path, masters)).resumed
    assert load_master(None, masters.path, has_data=True) == key


# --- a key from the environment ---


async def test_a_key_from_the_environment(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path, ENV_OLD)
    with pytest.raises(Refused) as refusal:
        await rotated(tmp_path, masters)
    assert str(refusal.value) == (
        "the key comes from the environment: give the new one as NETPULSE_NEW_ENCRYPTION_KEY "
        "(64 hex digits; make one with: openssl rand -hex 32)"
    )
    outcome = await rotated(tmp_path, masters, ENV_NEW)
    assert outcome == Outcome(treasure.count, (), resumed=False, is_new=True)
    assert not list(tmp_path.glob("secret.key*"))
    await assert_only(tmp_path, ENV_NEW, treasure)
    assert "this is the one from before" in await refused(tmp_path, ENV_OLD)
    # The same command once more.
    outcome = await rotated(tmp_path, masters, ENV_NEW)
    assert outcome == Outcome(treasure.count, (), resumed=False, is_new=False)


async def test_a_key_from_the_environment_half_way(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path, ENV_OLD)
    await begun(tmp_path, masters, ENV_NEW)
    line = HALF.format(path=tmp_path / directory.MAIN)
    assert await refused(tmp_path, ENV_OLD) == line
    assert await refused(tmp_path, ENV_NEW) == line
    assert await refused(tmp_path, b"x" * 32) == line
    db = await opened(tmp_path, masters, ENV_NEW)
    with pytest.raises(Refused) as refusal:
        await rotation.rotate(db, masters, given=b"z" * 32, actor=ACTOR, now=lambda: NOW)
    assert str(refusal.value) == (
        "a change of the key was interrupted, and it was to another one than this: put that one "
        "back (NETPULSE_NEW_ENCRYPTION_KEY)"
    )
    await db.close()
    outcome = await rotated(tmp_path, masters, ENV_NEW)
    assert outcome == Outcome(treasure.count, (), resumed=True, is_new=True)
    await assert_only(tmp_path, ENV_NEW, treasure)


async def test_the_environment_against_the_file(tmp_path: Path) -> None:
    """The environment's key counts, and alone: the right one in the file does not make it good."""
    masters, treasure = await made(tmp_path)
    both = Masters(ENV_OLD.hex(), masters.path)
    assert both.load(has_data=True) == (ENV_OLD,)
    assert await refused(tmp_path, *both.load(has_data=True)) == (
        f"the encryption key does not belong to {tmp_path / directory.MAIN}: set ENCRYPTION_KEY, "
        "or restore secret.key, as it was when the data was written"
    )
    same = Masters(masters.path.read_text().strip(), masters.path)
    db = await opened(tmp_path, same)
    await db.read(assert_opens, treasure)
    await db.close()
    masters.propose(b"n" * 32)
    assert both.load(has_data=True) == (ENV_OLD,), "nor does a next key"
    assert both.again() == ()


# --- values that do not open ---


async def test_values_that_do_not_open_stop_it_before_anything_is_done(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path)
    keys = masters.load(has_data=True)
    channel_id = next(iter(treasure.urls))
    raw(tmp_path, "UPDATE alert_channels SET config = ? WHERE id = ?", b"\1" * 60, channel_id)
    with pytest.raises(Damaged) as damaged:
        await rotated(tmp_path, masters)
    (broken,) = damaged.value.values
    assert broken.words == "alert channel Ops 0"
    assert broken.problem == (
        f"the sealed value of alert_channels|config|{channel_id}|{treasure.org_id} was sealed "
        "with another key"
    )
    assert masters.load(has_data=True) == keys
    outcome = await rotated(tmp_path, masters, leave_damaged=True)
    assert outcome.values == treasure.count - 1
    assert masters.load(has_data=True) != keys


async def test_a_value_that_breaks_in_the_middle_keeps_the_old_key(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path)
    await begun(tmp_path, masters)
    user_id = next(iter(treasure.totp))
    flip(tmp_path, "users", "totp_secret", "id", user_id)
    with pytest.raises(Damaged) as damaged:
        await rotated(tmp_path, masters)
    assert [broken.words for broken in damaged.value.values] == [
        "second factor of user0@acme.example"
    ]
    assert len(masters.load(has_data=True)) == 2
    outcome = await rotated(tmp_path, masters, leave_damaged=True)
    assert [broken.words for broken in outcome.damaged] == ["second factor of user0@acme.example"]
    assert outcome.values == treasure.count - 1
    assert len(masters.load(has_data=True)) == 1


def flip(data: Path, table: str, column: str, key: str, row_id: str, at: int = 30) -> None:
    """Flip one bit of a sealed value."""
    connection = apsw.Connection(str(data / directory.MAIN))
    select = f"SELECT {column} FROM {table} WHERE {key} = ?"  # noqa: S608 - names of this test's
    ((value,),) = connection.execute(select, (row_id,)).fetchall()
    broken = bytearray(value)
    broken[at] ^= 1
    update = f"UPDATE {table} SET {column} = ? WHERE {key} = ?"  # noqa: S608 - as above
    connection.execute(update, (bytes(broken), row_id)).fetchall()
    connection.close()


@pytest.mark.parametrize("at", [0, 2, 10, 30, -1])
async def test_one_flipped_bit_costs_that_channel_alone(tmp_path: Path, at: int) -> None:
    masters, treasure = await made(tmp_path)
    first, *others = treasure.urls
    flip(tmp_path, "alert_channels", "config", "id", first, at)
    db = await opened(tmp_path, masters)
    broken = await db.read(channels.get, treasure.org_id, first)
    assert broken is not None
    assert broken.damage is not None
    assert broken.damage.startswith("its configuration does not open; enter it again (")
    for channel_id in others:
        channel = await db.read(channels.get, treasure.org_id, channel_id)
        assert channel is not None
        assert channel.damage is None
    await db.close()


@pytest.mark.parametrize(
    ("key", "at", "line"),
    [
        ("vault_check", 30, "{path} is damaged: the value by which it knows its key does not open; restore it from a backup"),
        ("vault_check", 2, "the encryption key does not belong to {path}: set ENCRYPTION_KEY, or restore secret.key, as it was when the data was written"),
        ("kept_keys", 30, "{path} is damaged: the keys kept in it do not open (the sealed value of meta|kept_keys|-|- is damaged); restore it from a backup"),
        ("kept_keys", 2, "{path} is damaged: the keys kept in it do not open (the sealed value of meta|kept_keys|-|- was sealed with another key); restore it from a backup"),
    ],
)  # fmt: skip
async def test_one_flipped_bit_of_the_instances_own(
    tmp_path: Path, key: str, at: int, line: str
) -> None:
    masters, _ = await made(tmp_path)
    flip(tmp_path, "meta", "value", "key", key, at)
    assert await refused(tmp_path, *masters.load(has_data=True)) == line.format(
        path=tmp_path / directory.MAIN
    )


# --- keys that are kept ---


async def test_a_file_from_before_keeps_the_keys_it_had(tmp_path: Path) -> None:
    """Its tokens were digested under keys derived from the master key: they must still be found."""
    masters, treasure = await made(tmp_path)
    (master,) = masters.load(has_data=True)
    older(tmp_path, master)
    db = await opened(tmp_path, masters)
    before = Vault(master)
    for name in ("found-tokens", "stored-tokens", "links"):
        assert db.vault.kept(name) == before.kept(name)
    assert db.vault.digest("token") == before.digest("token")
    assert db.vault.kept("audit") != before.kept("audit"), "nobody had that one before"
    await db.close()
    await rotated(tmp_path, masters)
    db = await opened(tmp_path, masters)
    assert db.vault.digest("token") == before.digest("token")
    # What was in the audit log before is valid, and signed now.
    assert await db.read(audit_chains.verify, treasure.org_id) == []
    assert await db.read(audit_chains.verify_roll) is None
    await db.close()


def older(data: Path, master: bytes) -> None:
    """Make the file one from before there were kept keys and signatures."""
    raw(data, "DELETE FROM meta WHERE key IN ('kept_keys', 'audit_roll')")
    raw(data, "UPDATE audit_heads SET mac = NULL")
    raw(data, "UPDATE meta SET value = ? WHERE key = 'vault_check'", Vault(master).check_value())


async def test_a_new_file_keeps_random_keys(tmp_path: Path) -> None:
    masters, treasure = await made(tmp_path)
    derived = Vault(*masters.load(has_data=True))
    assert len(set(treasure.kept.values())) == 4
    for name, key in treasure.kept.items():
        assert key != derived.kept(name)


async def test_kept_keys_that_were_taken_away_are_not_made_anew(tmp_path: Path) -> None:
    """Otherwise whoever takes them away has a rewritten audit log signed."""
    masters, _ = await made(tmp_path)
    raw(tmp_path, "DELETE FROM meta WHERE key = 'kept_keys'")
    main = tmp_path / directory.MAIN
    assert await refused(tmp_path, *masters.load(has_data=True)) == (
        f"{main} is not whole: the keys kept in it are missing; restore it from a backup"
    )


async def test_no_change_of_the_key_on_a_file_without_its_check_value(tmp_path: Path) -> None:
    masters, _ = await made(tmp_path)
    raw(tmp_path, "DELETE FROM meta WHERE key = 'vault_check'")
    main = tmp_path / directory.MAIN
    assert await refused(tmp_path, *masters.load(has_data=True)) == (
        f"{main} is not a whole NetPulse database: restore it from a backup"
    )
