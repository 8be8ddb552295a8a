"""Quotas in the transaction that takes from them: parallel creates do not exceed them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from netpulse.model.ids import new_id
from netpulse.model.org import Org, Quotas
from netpulse.model.user import Membership, Role
from netpulse.storage import edges, orgs, quotas, users
from netpulse.storage.conn import Conn
from netpulse.storage.db import QuotaReached
from netpulse.storage.quotas import Used
from tests.store import NOW, add_monitor, add_org, add_user, opened


def client(conn: Conn, parent: Org, name: str = "Client", **limits: object) -> Org:
    org_id = new_id(NOW)
    return orgs.insert(
        conn,
        Org(
            id=org_id,
            name=name,
            slug=f"client-{org_id[-8:]}",
            parent_id=parent.id,
            quotas=Quotas(**limits),  # type: ignore[arg-type]
            created_at=NOW,
        ),
    )


def invite(conn: Conn, org: Org, *, expires_at: int, accepted_at: int | None = None) -> None:
    invitation_id = new_id(NOW)
    conn.execute(
        "INSERT INTO invitations (id, org_id, email, role, token_digest, created_at, expires_at,"
        " accepted_at, updated_at) VALUES (?, ?, 'new@client.example', 'viewer', ?, ?, ?, ?, ?)",
        (invitation_id, org.id, invitation_id, NOW, expires_at, accepted_at, NOW),
    )


async def test_parallel_creates_do_not_exceed_the_monitors(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        parent = await db.write(add_org)
        org = await db.write(client, parent, monitors=3)
        tries = [db.write(add_monitor, org.id) for _ in range(20)]
        made = await asyncio.gather(*tries, return_exceptions=True)
        reached = [each for each in made if isinstance(each, QuotaReached)]
        assert len(reached) == 17
        assert {(each.quota, each.limit, each.used) for each in reached} == {("monitors", 3, 3)}
        assert str(reached[0]) == (
            "This organization may have 3 monitors: delete one that is not needed any more, or ask "
            "Acme, who set this quota, for more"
        )
        assert (await db.read(quotas.used, [org.id], NOW))[org.id] == Used(monitors=3)
        # Nobody else is in its way, and who deletes one has room again.
        await db.write(add_monitor, parent.id)
        kept = next(each for each in made if not isinstance(each, BaseException))
        await db.write(edges.pause, org.id, kept.id, NOW)
        with pytest.raises(QuotaReached):
            await db.write(add_monitor, org.id)
        await db.write(edges.retire, org.id, kept.id, NOW)
        await db.write(add_monitor, org.id)


async def test_members_and_open_invitations_take_places(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        parent = add_org(conn)
        org = client(conn, parent, users=3)
        quotas.room_for_user(conn, org.id, NOW)
        add_user(conn, org.id, "one@client.example")
        disabled = add_user(conn, org.id, "two@client.example")
        users.put_membership(
            conn,
            Membership(user_id=disabled.id, org_id=org.id, role=Role.VIEWER, is_active=False),
        )
        # The provider's people take none; nor do invitations that nobody can accept any more.
        granted = add_user(conn, parent.id, "alice@acme.example")
        users.put_membership(
            conn,
            Membership(user_id=granted.id, org_id=org.id, role=Role.ADMIN, is_grant=True),
        )
        invite(conn, org, expires_at=NOW)
        invite(conn, org, expires_at=NOW + 1, accepted_at=NOW - 1)
        assert quotas.used(conn, [org.id], NOW)[org.id] == Used(users=2)
        quotas.room_for_user(conn, org.id, NOW)
        invite(conn, org, expires_at=NOW + 1)
        with pytest.raises(QuotaReached) as caught:
            quotas.room_for_user(conn, org.id, NOW)
        assert str(caught.value) == (
            "This organization may have 3 users: remove somebody or withdraw an invitation, or ask "
            "Acme, who set this quota, for more"
        )
        quotas.room_for_user(conn, org.id, NOW + 1)
        quotas.room_for_user(conn, parent.id, NOW)

    async with opened(tmp_path) as db:
        await db.write(act)


async def test_who_may_reach_public_addresses_only(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        open_ = add_org(conn, "Open")
        closed = orgs.insert(
            conn,
            Org(
                id=new_id(NOW),
                name="Closed",
                slug="closed",
                quotas=Quotas(private_targets=False),
                created_at=NOW,
            ),
        )
        free = client(conn, open_)
        held = client(conn, open_, private_targets=False)
        # What an MSP may not, its clients may not.
        beneath = client(conn, closed)
        assert quotas.confined(conn) == {closed.id, held.id, beneath.id}
        for org, may in ((open_, True), (free, True), (held, False), (beneath, False)):
            assert quotas.of(conn, org.id).private_targets is may
        assert quotas.of(conn, new_id(NOW)) == Quotas(
            monitors=0, users=0, retention_days=0, private_targets=False
        )
        assert quotas.shown_from(conn, free.id, NOW) == 0

    async with opened(tmp_path) as db:
        await db.write(act)
