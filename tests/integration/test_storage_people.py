"""People, their organizations and what they are signed in with: what goes in comes out, and what has
ended is not found any more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from netpulse.model.ids import new_id
from netpulse.model.org import Org
from netpulse.model.time import DAY, HOUR
from netpulse.model.user import Membership, Role, User
from netpulse.storage import (
    audit,
    audit_chains,
    login_attempts,
    orgs,
    sessions,
    setup,
    users,
)
from netpulse.storage.conn import Conn
from netpulse.storage.db import AlreadySetUp, Missing, UniqueConflict
from netpulse.storage.sessions import Rotated
from tests.store import (
    CLI,
    MINUTE,
    NOW,
    add_org,
    add_user,
    opened,
    play,
)


async def test_organizations(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        parent = add_org(conn)
        org = Org(
            id=new_id(NOW),
            name="Client",
            slug="client",
            parent_id=parent.id,
            timezone="Europe/Berlin",
            locale="de",
            created_at=NOW,
        )
        orgs.insert(conn, org)
        assert orgs.get(conn, org.id) == org
        assert orgs.by_slug(conn, "client") == org
        assert orgs.get(conn, "nobody") is None
        assert orgs.by_slug(conn, "nobody") is None
        assert orgs.count(conn) == 2
        assert orgs.all(conn) == sorted([parent, org], key=lambda one: one.id)
        assert orgs.free_slug(conn, "client") == "client-2"
        assert orgs.free_slug(conn, "fresh") == "fresh"
        with pytest.raises(UniqueConflict) as taken:
            orgs.insert(conn, replace(org, id=new_id(NOW)))
        assert taken.value.columns == ("organizations.slug",)

    await play(tmp_path, act)


async def test_people_and_memberships(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org, other = add_org(conn), add_org(conn, "Other")
        alice = add_user(conn, org.id, " Alice@Example.com ")
        assert alice.email == "alice@example.com"
        assert users.by_email(conn, "ALICE@example.com") == alice
        assert users.get(conn, alice.id) == alice
        assert users.get(conn, "x") is None
        with pytest.raises(UniqueConflict) as taken:
            add_user(conn, other.id, "alice@EXAMPLE.com")
        assert taken.value.columns == ("users.email",)
        users.put_membership(conn, Membership(user_id=alice.id, org_id=other.id, role=Role.VIEWER))
        assert {one.org_id: one.role for one in users.memberships(conn, alice.id)} == {
            org.id: Role.ADMIN,
            other.id: Role.VIEWER,
        }
        users.put_membership(
            conn, Membership(user_id=alice.id, org_id=other.id, role=Role.SUPER_ADMIN)
        )
        found = users.membership(conn, alice.id, other.id)
        assert found is not None
        assert found.role is Role.SUPER_ADMIN
        bob = add_user(conn, org.id, "bob@example.com", Role.VIEWER)
        assert users.membership(conn, bob.id, other.id) is None
        assert users.count(conn) == 2
        assert users.all(conn) == [alice, bob]
        page = users.page(conn, org.id, offset=1, limit=1)
        assert [(one.user, one.membership.role) for one in page.rows] == [(bob, Role.VIEWER)]
        assert page.total == 2
        users.set_password(conn, bob.id, "$new", NOW)
        users.touch_login(conn, bob.id, NOW + 5)
        users.set_active(conn, bob.id, False, NOW)
        changed = users.get(conn, bob.id)
        assert changed == replace(bob, password_hash="$new", last_login_at=NOW + 5, is_active=False)
        for deed in (users.set_password, users.set_active):
            with pytest.raises(Missing):
                deed(conn, "nobody", True, NOW)  # type: ignore[operator]

    await play(tmp_path, act)


async def test_fifty_first_owners_make_one(tmp_path: Path) -> None:
    async def claim(number: int) -> User:
        org = Org(id=new_id(NOW), name="Acme", slug=f"acme-{number}", created_at=NOW)
        user = User(
            id=new_id(NOW),
            email=f"owner{number}@example.com",
            password_hash="$",
            home_org_id=org.id,
            created_at=NOW,
        )
        return await db.write(setup.first_owner, org, user, CLI, NOW)

    async with opened(tmp_path) as db:
        results = await asyncio.gather(*map(claim, range(50)), return_exceptions=True)
        won = [one for one in results if isinstance(one, User)]
        assert len(won) == 1
        assert sum(isinstance(one, AlreadySetUp) for one in results) == 49
        assert await db.read(users.count) == 1
        assert await db.read(orgs.count) == 1
        (member,) = await db.read(users.memberships, won[0].id)
        assert member.role is Role.SUPER_ADMIN
        log = await db.read(audit.page, member.org_id)
        assert [row.action for row in log.rows] == ["user.created", "org.created"]
        assert await db.read(audit_chains.verify, member.org_id) == []


async def test_page_sessions(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org = add_org(conn)
        alice = add_user(conn, org.id, "alice@example.com")
        made = sessions.create(
            conn, "d1", alice.id, org.id, NOW, NOW + HOUR, "192.0.2.1", "Firefox"
        )
        assert sessions.find(conn, "d1", NOW) == made
        assert sessions.find(conn, "d1", NOW + HOUR) is None
        assert sessions.find(conn, "d2", NOW) is None
        sessions.touch(conn, "d1", NOW + 5)
        found = sessions.find(conn, "d1", NOW + 6)
        assert found == replace(made, last_seen_at=NOW + 5)
        users.set_active(conn, alice.id, False, NOW)
        assert sessions.find(conn, "d1", NOW) is None
        users.set_active(conn, alice.id, True, NOW)
        sessions.create(conn, "d2", alice.id, org.id, NOW, NOW + HOUR, None, None)
        sessions.create(conn, "d3", alice.id, org.id, NOW, NOW + HOUR, None, None)
        sessions.end(conn, "d1")
        assert sessions.find(conn, "d1", NOW) is None
        sessions.end_all(conn, alice.id, NOW, keep="d3")
        assert sessions.find(conn, "d2", NOW) is None
        assert sessions.find(conn, "d3", NOW) is not None
        sessions.end_all(conn, alice.id, NOW)
        assert sessions.find(conn, "d3", NOW) is None

    await play(tmp_path, act)


async def test_refresh_tokens_rotate_and_reuse_revokes(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org = add_org(conn)
        alice = add_user(conn, org.id, "alice@example.com")
        family = sessions.start_family(conn, alice.id, "r1", NOW, NOW + DAY)
        assert sessions.family_stands(conn, family)
        assert sessions.family_of(conn, "r1") == family
        first = sessions.rotate(conn, "r1", "r2", NOW + 1, NOW + DAY)
        assert (first.outcome, first.family_id, first.user_id) == (Rotated.OK, family, alice.id)
        assert sessions.rotate(conn, "r9", "r3", NOW, NOW).outcome is Rotated.UNKNOWN
        assert sessions.rotate(conn, "r2", "r3", NOW + DAY, NOW).outcome is Rotated.EXPIRED
        reused = sessions.rotate(conn, "r1", "r3", NOW + 2, NOW + DAY)
        assert (reused.outcome, reused.user_id) == (Rotated.REUSED, alice.id)
        assert not sessions.family_stands(conn, family)
        assert sessions.rotate(conn, "r2", "r3", NOW + 3, NOW + DAY).outcome is Rotated.REVOKED
        assert sessions.revoke_family(conn, family, NOW) is None
        second = sessions.start_family(conn, alice.id, "s1", NOW, NOW + DAY)
        assert sessions.revoke_family(conn, second, NOW) == alice.id
        third = sessions.start_family(conn, alice.id, "t1", NOW, NOW + DAY)
        users.set_active(conn, alice.id, False, NOW)
        assert not sessions.family_stands(conn, third)
        assert sessions.rotate(conn, "t1", "t2", NOW, NOW + DAY).outcome is Rotated.REVOKED

    await play(tmp_path, act)


async def test_one_refresh_token_twenty_times_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        org = await db.write(add_org)
        alice = await db.write(add_user, org.id, "alice@example.com")
        await db.write(sessions.start_family, alice.id, "r1", NOW, NOW + DAY)
        rotations = await asyncio.gather(
            *(db.write(sessions.rotate, "r1", f"n{n}", NOW, NOW + DAY) for n in range(20))
        )
        outcomes = [rotation.outcome for rotation in rotations]
        assert outcomes.count(Rotated.OK) == 1
        assert outcomes.count(Rotated.REUSED) == 19


async def test_expired_sign_ins_are_forgotten(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        org = add_org(conn)
        alice = add_user(conn, org.id, "alice@example.com")
        sessions.create(conn, "d1", alice.id, org.id, NOW, NOW + HOUR, None, None)
        sessions.create(conn, "d2", alice.id, org.id, NOW, NOW + DAY, None, None)
        old = sessions.start_family(conn, alice.id, "r1", NOW, NOW + HOUR)
        new = sessions.start_family(conn, alice.id, "s1", NOW, NOW + HOUR)
        sessions.rotate(conn, "s1", "s2", NOW, NOW + DAY)
        sessions.forget_expired(conn, NOW + HOUR)
        assert conn.all("SELECT token_digest FROM sessions") == [("d2",)]
        assert not sessions.family_stands(conn, old)
        assert sessions.family_stands(conn, new)
        assert conn.all("SELECT digest FROM refresh_tokens ORDER BY 1") == [("s1",), ("s2",)]

    await play(tmp_path, act)


async def test_five_failures_close_the_door_across_restarts(tmp_path: Path) -> None:
    def fail(conn: Conn) -> None:
        for number in range(5):
            assert login_attempts.blocked_until(conn, "192.0.2.1", NOW + number) is None
            login_attempts.failed(conn, "192.0.2.1", NOW + number)
        login_attempts.failed(conn, "192.0.2.2", NOW)

    async with opened(tmp_path) as db:
        await db.write(fail)
    async with opened(tmp_path) as db:
        blocked = login_attempts.blocked_until
        assert await db.read(blocked, "192.0.2.1", NOW + MINUTE) == NOW + 10 * MINUTE
        assert await db.read(blocked, "192.0.2.2", NOW + MINUTE) is None
        assert await db.read(blocked, "192.0.2.1", NOW + 10 * MINUTE - 1) is not None
        assert await db.read(blocked, "192.0.2.1", NOW + 10 * MINUTE) is None
        assert await db.read(blocked, "192.0.2.1", NOW - HOUR) is None, "a clock set back"
        await db.write(login_attempts.forget_before, NOW + 5)
        assert await db.read(lambda conn: conn.all("SELECT 1 FROM login_failures")) == []
