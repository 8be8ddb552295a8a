"""What storage keeps of second factors: sealed, used once, and forgotten when turned off."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from netpulse.crypto.vault import SealBroken
from netpulse.model.letter import LetterKind
from netpulse.model.time import DAY
from netpulse.model.user import Actor, User
from netpulse.storage import letters, second_factors, sessions, users
from netpulse.storage.conn import Conn
from netpulse.web import security_notes
from tests.store import NOW, add_org, add_user, opened

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def alice(conn: Conn) -> User:
    return add_user(conn, add_org(conn).id, "alice@acme.example")


def armed(conn: Conn) -> User:
    """Alice with a second factor that is on."""
    user = alice(conn)
    assert second_factors.begin(conn, user.id, SECRET, NOW)
    assert second_factors.turn_on(conn, user.id, 100, NOW)
    second_factors.put_codes(conn, user.id, ["a" * 64, "b" * 64])
    return user


async def test_a_secret_counts_once_it_is_turned_on(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        user = alice(conn)
        assert second_factors.secret(conn, user.id) is None
        assert not second_factors.turn_on(conn, user.id, 7, NOW), "there is nothing to turn on"
        assert second_factors.begin(conn, user.id, "AAAA", NOW)
        assert second_factors.begin(conn, user.id, SECRET, NOW), "it may be begun anew"
        assert second_factors.secret(conn, user.id) == SECRET
        assert not second_factors.spend_step(conn, user.id, 7), "it does not count yet"
        found = users.get(conn, user.id)
        assert found is not None
        assert not found.totp_enabled
        assert second_factors.turn_on(conn, user.id, 7, NOW)
        assert not second_factors.turn_on(conn, user.id, 8, NOW)
        assert not second_factors.begin(conn, user.id, "AAAA", NOW), "it is on"
        assert second_factors.secret(conn, user.id) == SECRET
        found = users.get(conn, user.id)
        assert found is not None
        assert found.totp_enabled
        assert not second_factors.spend_step(conn, user.id, 7), "the code that turned it on"

    async with opened(tmp_path / "data") as db:
        await db.write(act)


async def test_a_secret_is_sealed_for_its_user_alone(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        user = armed(conn)
        other = add_user(conn, user.home_org_id, "bob@acme.example")
        (sealed,) = conn.one("SELECT totp_secret FROM users WHERE id = ?", (user.id,)) or (b"",)
        assert SECRET.encode() not in sealed
        conn.execute("UPDATE users SET totp_secret = ? WHERE id = ?", (sealed, other.id))
        with pytest.raises(SealBroken):
            second_factors.secret(conn, other.id)

    async with opened(tmp_path / "data") as db:
        await db.write(act)


async def test_of_twenty_at_once_one_gets_the_step_and_one_the_code(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as db:
        user = await db.write(armed)
        steps = await asyncio.gather(
            *(db.write(second_factors.spend_step, user.id, 101) for _ in range(20))
        )
        assert steps.count(True) == 1
        codes = await asyncio.gather(
            *(db.write(second_factors.spend_code, user.id, "a" * 64, NOW) for _ in range(20))
        )
        assert codes.count(True) == 1
        assert not await db.write(second_factors.spend_step, user.id, 100), "an older one"
        assert await db.write(second_factors.spend_step, user.id, 102)
        assert not await db.write(second_factors.spend_code, user.id, "c" * 64, NOW)
        assert await db.read(second_factors.codes_left, user.id) == 1


async def test_a_clock_that_was_wrong_keeps_nobody_out(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        user = armed(conn)
        far = 1_000_000
        assert second_factors.spend_step(conn, user.id, far), "a year ahead"
        for back in range(21):
            assert not second_factors.spend_step(conn, user.id, far - back)
        assert second_factors.spend_step(conn, user.id, 101), "the clock is right again"
        assert not second_factors.spend_step(conn, user.id, 101)
        assert not second_factors.spend_step(conn, user.id, 100)
        assert second_factors.spend_step(conn, user.id, 102)

    async with opened(tmp_path / "data") as db:
        await db.write(act)


async def test_new_codes_replace_the_old_ones(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        user = armed(conn)
        other = add_user(conn, user.home_org_id, "bob@acme.example")
        second_factors.put_codes(conn, user.id, ["d" * 64])
        assert not second_factors.spend_code(conn, user.id, "a" * 64, NOW)
        assert not second_factors.spend_code(conn, other.id, "d" * 64, NOW), "somebody else's"
        assert second_factors.spend_code(conn, user.id, "d" * 64, NOW)

    async with opened(tmp_path / "data") as db:
        await db.write(act)


async def test_reset_forgets_everything_and_ends_the_sessions(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        user = armed(conn)
        sessions.create(
            conn, "digest", user.id, user.home_org_id, NOW, NOW + DAY, "192.0.2.1", None
        )
        family = sessions.start_family(conn, user.id, "refresh", NOW, NOW + DAY)
        conn.execute("INSERT INTO account_failures VALUES (?, 'totp', ?)", (user.id, NOW))
        assert second_factors.reset(conn, user.id, NOW)
        assert second_factors.secret(conn, user.id) is None
        assert second_factors.codes_left(conn, user.id) == 0
        assert conn.all("SELECT * FROM account_failures") == []
        assert sessions.find(conn, "digest", NOW) is None
        assert not sessions.family_stands(conn, family)
        found = users.get(conn, user.id)
        assert found is not None
        assert not found.totp_enabled
        assert not second_factors.reset(conn, user.id, NOW), "it was off"

    async with opened(tmp_path / "data") as db:
        await db.write(act)


async def test_the_letter_says_what_when_by_whom_and_from_where(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        user = alice(conn)
        own = Actor(kind="user", user_id=user.id, label=user.email, ip="192.0.2.1")
        admin = Actor(kind="user", user_id="x", label="dora@acme.example", ip="2001:db8::1")
        stranger = Actor(kind="user", ip="203.0.113.9")
        for actor in (own, admin, stranger, Actor(kind="cli", label="user password")):
            security_notes.write(conn, user, "Your password was changed.", actor, NOW)
        written = letters.due(conn, NOW)
        assert {letter.kind for letter in written} == {LetterKind.SECURITY}
        assert {letter.recipient for letter in written} == {user.email}
        assert {letter.user_id for letter in written} == {user.id}
        assert {letter.expires_at for letter in written} == {NOW + 2 * DAY}
        assert {letter.subject for letter in written} == {"NetPulse: your password was changed"}
        assert written[0].text.startswith(
            "Your password was changed.\n\nWhen: 2026-09-21T14:13:20Z\nBy: "
        )
        by = {line for each in written for line in each.text.splitlines() if line[:3] == "By:"}
        assert by == {
            "By: your own account from 192.0.2.1",
            "By: dora@acme.example from 2001:db8::1",
            "By: somebody who was not signed in from 203.0.113.9",
            "By: the command line",
        }

    async with opened(tmp_path / "data") as db:
        await db.write(act)
