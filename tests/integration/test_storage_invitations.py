"""Invitations in storage: one link each, used once, and another organization's are unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from netpulse.model.ids import Id, new_id
from netpulse.model.invitation import KEPT, VALID, Invitation
from netpulse.model.org import Org
from netpulse.model.time import DAY
from netpulse.model.user import Role
from netpulse.storage import invitations, orgs
from netpulse.storage.conn import Conn
from netpulse.storage.db import Missing, UniqueConflict
from tests.store import NOW, add_org, add_user, opened


def invite(
    conn: Conn, org: Org, email: str, digest: str, by: Id | None = None, at: int = NOW
) -> Invitation:
    return invitations.insert(
        conn,
        Invitation(
            id=new_id(at),
            org_id=org.id,
            email=email,
            role=Role.VIEWER,
            invited_by=by,
            created_at=at,
            expires_at=NOW + VALID,
        ),
        digest,
    )


async def test_one_link_at_a_time(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        acme, globex = add_org(conn), add_org(conn, "Globex")
        alice = add_user(conn, acme.id, "alice@acme.example")
        made = invite(conn, acme, "dora@x.example", "one", alice.id)
        assert invitations.get(conn, acme.id, made.id) == made
        assert invitations.get(conn, globex.id, made.id) is None
        assert invitations.waiting_for(conn, acme.id, "dora@x.example") == made
        assert invitations.waiting_for(conn, globex.id, "dora@x.example") is None
        assert invitations.by_digest(conn, "one", NOW + VALID - 1) == made
        assert invitations.by_digest(conn, "one", NOW + VALID) is None
        assert invitations.count_open(conn, acme.id, NOW) == 1
        assert invitations.count_open(conn, acme.id, NOW + VALID) == 0
        assert invitations.made_by(conn, acme.id, alice.id, NOW) == [made]
        assert invitations.made_by(conn, globex.id, alice.id, NOW) == []

        again = invitations.renew(
            conn,
            made,
            "two",
            role=Role.ADMIN,
            invited_by=None,
            expires_at=NOW + DAY + VALID,
            now=NOW + DAY,
        )
        assert (again.id, again.role, again.invited_by, again.version) == (
            made.id,
            Role.ADMIN,
            None,
            2,
        )
        assert again.created_at == NOW
        assert invitations.by_digest(conn, "one", NOW) is None
        assert invitations.by_digest(conn, "two", NOW) == again
        assert invitations.made_by(conn, acme.id, alice.id, NOW) == []
        with pytest.raises(UniqueConflict):
            invite(conn, acme, "erin@x.example", "two")

    async with opened(tmp_path) as db:
        await db.write(act)


async def test_accepted_once_and_then_gone_from_the_lists(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        acme = add_org(conn)
        dora = add_user(conn, acme.id, "dora@x.example")
        made = invite(conn, acme, dora.email, "one")
        assert not invitations.accept(conn, made, dora.id, NOW + VALID)
        assert invitations.accept(conn, made, dora.id, NOW)
        assert not invitations.accept(conn, made, dora.id, NOW)
        assert invitations.by_digest(conn, "one", NOW) is None
        assert invitations.get(conn, acme.id, made.id) is None
        assert invitations.page(conn, acme.id).rows == []
        assert invitations.count_open(conn, acme.id, NOW) == 0
        with pytest.raises(Missing):
            invitations.delete(conn, acme.id, made.id)
        with pytest.raises(Missing):
            invitations.renew(
                conn, made, "two", role=Role.VIEWER, invited_by=None, expires_at=NOW, now=NOW
            )

    async with opened(tmp_path) as db:
        await db.write(act)


async def test_withdrawn_listed_and_forgotten(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        acme, globex = add_org(conn), add_org(conn, "Globex")
        first = invite(conn, acme, "dora@x.example", "one")
        second = invite(conn, acme, "erin@x.example", "two", at=NOW + 1)
        assert invitations.page(conn, acme.id, limit=1).rows == [second]
        assert invitations.page(conn, acme.id, offset=1).rows == [first]
        assert invitations.page(conn, acme.id).total == 2
        assert invitations.page(conn, globex.id).total == 0
        with pytest.raises(Missing):
            invitations.delete(conn, globex.id, first.id)
        assert invitations.delete(conn, acme.id, first.id) == first
        assert invitations.by_digest(conn, "one", NOW) is None

        invitations.forget_before(conn, NOW + VALID)
        assert invitations.page(conn, acme.id).total == 1
        invitations.forget_before(conn, NOW + VALID + 1)
        assert invitations.page(conn, acme.id).total == 0
        assert KEPT > VALID

    async with opened(tmp_path) as db:
        await db.write(act)


async def test_a_deleted_organization_lets_nobody_in(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        acme = add_org(conn)
        invite(conn, acme, "dora@x.example", "one")
        assert invitations.by_digest(conn, "one", NOW) is not None
        conn.execute("UPDATE organizations SET deleted_at = ? WHERE id = ?", (NOW, acme.id))
        assert invitations.by_digest(conn, "one", NOW) is None
        with pytest.raises(Missing):
            orgs.replace(conn, acme, None, NOW)

    async with opened(tmp_path) as db:
        await db.write(act)
