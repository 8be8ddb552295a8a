"""What a grant gives, and when it gives nothing: it counts as long as its user is an active member
of the provider."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from netpulse.model.ids import Id, new_id
from netpulse.model.org import Org
from netpulse.model.user import Actor, Membership, Role, User
from netpulse.storage import audit, audit_chains, orgs, users
from netpulse.storage.conn import Conn
from netpulse.storage.users import Reach
from tests.store import NOW, add_org, add_user, opened


class Scene:
    """An MSP with a client, somebody of the MSP with a grant there, and people who have none."""

    def __init__(self, conn: Conn) -> None:
        self.conn = conn
        self.msp = add_org(conn, "Acme")
        self.other = add_org(conn, "Globex")
        self.client = orgs.insert(
            conn,
            Org(id=new_id(NOW), name="Shop", slug="shop", parent_id=self.msp.id, created_at=NOW),
        )
        self.alice = add_user(conn, self.msp.id, "alice@acme.example")
        self.bob = add_user(conn, self.msp.id, "bob@acme.example")
        self.carol = add_user(conn, self.client.id, "carol@shop.example", Role.VIEWER)
        self.root = add_user(conn, self.other.id, "root@globex.example", Role.SUPER_ADMIN)
        self.grant(self.alice, Role.ADMIN)

    def grant(self, user: User, role: Role) -> None:
        users.put_membership(
            self.conn,
            Membership(user_id=user.id, org_id=self.client.id, role=role, is_grant=True),
        )

    def reached(self, user: User, org: Org | None = None) -> Reach | None:
        return users.reached(self.conn, user, (org or self.client).id)


async def play(tmp_path: Path, act: Callable[[Scene], None]) -> None:
    async with opened(tmp_path) as db:
        await db.write(lambda conn: act(Scene(conn)))


async def test_who_reaches_a_client(tmp_path: Path) -> None:
    def act(at: Scene) -> None:
        assert at.reached(at.alice) == Reach(Role.ADMIN, at.msp.id)
        assert at.reached(at.bob) is None
        assert at.reached(at.carol) == Reach(Role.VIEWER)
        assert at.reached(at.carol, at.msp) is None
        assert at.reached(at.alice, at.msp) == Reach(Role.ADMIN)
        assert at.reached(at.alice, at.other) is None
        # A super administrator is everywhere, and a member where they are one.
        assert at.reached(at.root) == Reach(Role.SUPER_ADMIN, at.other.id)
        assert at.reached(at.root, at.other) == Reach(Role.SUPER_ADMIN)
        users.put_membership(
            at.conn, Membership(user_id=at.root.id, org_id=at.client.id, role=Role.VIEWER)
        )
        assert at.reached(at.root) == Reach(Role.SUPER_ADMIN)
        assert users.reach(at.conn, at.alice, at.client.id) is Role.ADMIN
        assert users.reach(at.conn, at.bob, at.client.id) is None

    await play(tmp_path, act)


def removed(at: Scene) -> None:
    users.drop_membership(at.conn, at.alice.id, at.msp.id)


def disabled(at: Scene) -> None:
    users.put_membership(
        at.conn,
        Membership(user_id=at.alice.id, org_id=at.msp.id, role=Role.ADMIN, is_active=False),
    )


def switched_off(at: Scene) -> None:
    users.set_active(at.conn, at.alice.id, False, NOW)


def grant_itself_off(at: Scene) -> None:
    users.put_membership(
        at.conn,
        Membership(
            user_id=at.alice.id,
            org_id=at.client.id,
            role=Role.ADMIN,
            is_active=False,
            is_grant=True,
        ),
    )


def client_deleted(at: Scene) -> None:
    at.conn.execute("UPDATE organizations SET deleted_at = 1 WHERE id = ?", (at.client.id,))


def provider_deleted(at: Scene) -> None:
    at.conn.execute("UPDATE organizations SET deleted_at = 1 WHERE id = ?", (at.msp.id,))


def another_provider(at: Scene) -> None:
    at.conn.execute(
        "UPDATE organizations SET parent_id = ? WHERE id = ?", (at.other.id, at.client.id)
    )


def only_a_grant_there_too(at: Scene) -> None:
    users.put_membership(
        at.conn,
        Membership(user_id=at.alice.id, org_id=at.msp.id, role=Role.ADMIN, is_grant=True),
    )


@pytest.mark.parametrize(
    "happens",
    [
        removed,
        disabled,
        switched_off,
        grant_itself_off,
        client_deleted,
        provider_deleted,
        another_provider,
        only_a_grant_there_too,
    ],
)
async def test_a_grant_ends_with_what_it_stands_on(
    tmp_path: Path, happens: Callable[[Scene], None]
) -> None:
    def act(at: Scene) -> None:
        assert at.reached(at.alice) is not None
        happens(at)
        alice = users.get(at.conn, at.alice.id)
        assert alice is not None
        assert users.reached(at.conn, alice, at.client.id) is None
        listed = [one for one in users.memberships(at.conn, alice.id) if one.org_id == at.client.id]
        assert [one.is_active for one in listed] in ([], [False]) or not alice.is_active
        assert users.landing(at.conn, alice) != at.client.id
        # The client's own people stay.
        if happens is not client_deleted:
            assert at.reached(at.carol) == Reach(Role.VIEWER)

    await play(tmp_path, act)


async def test_a_disabled_member_comes_back_with_their_grants(tmp_path: Path) -> None:
    def act(at: Scene) -> None:
        disabled(at)
        assert at.reached(at.alice) is None
        users.put_membership(
            at.conn, Membership(user_id=at.alice.id, org_id=at.msp.id, role=Role.VIEWER)
        )
        # What they may do in the client is the grant's to say, not their role in the MSP.
        assert at.reached(at.alice) == Reach(Role.ADMIN, at.msp.id)

    await play(tmp_path, act)


async def test_the_members_list_shows_who_has_access(tmp_path: Path) -> None:
    def act(at: Scene) -> None:
        def seen() -> list[tuple[str, bool, bool]]:
            return [
                (one.user.email, one.membership.is_grant, one.membership.is_active)
                for one in users.page(at.conn, at.client.id).rows
            ]

        assert seen() == [
            ("alice@acme.example", True, True),
            ("carol@shop.example", False, True),
        ]
        disabled(at)
        assert seen()[0] == ("alice@acme.example", True, False)

    await play(tmp_path, act)


async def test_who_acts_from_elsewhere_is_named_with_their_organization(tmp_path: Path) -> None:
    def row(conn: Conn, org_id: Id, actor: Actor) -> tuple[str, object]:
        made = audit.append(conn, org_id, actor, "x.changed", "x", None, 1, 2, NOW)
        return made.actor_label, msgspec.json.decode(made.payload)

    def act(at: Scene) -> None:
        alice = Actor(
            kind="user",
            user_id=at.alice.id,
            label=at.alice.email,
            org_id=at.msp.id,
            org_name=at.msp.name,
        )
        assert row(at.conn, at.client.id, alice) == (
            "alice@acme.example (Acme)",
            {"before": 1, "after": 2, "actor_org": {"id": at.msp.id, "name": "Acme"}},
        )
        # In the organization itself, and of people who are at home, nothing is added.
        assert row(at.conn, at.msp.id, alice) == (
            "alice@acme.example",
            {"before": 1, "after": 2},
        )
        carol = Actor(kind="user", user_id=at.carol.id, label=at.carol.email)
        assert row(at.conn, at.client.id, carol) == (
            "carol@shop.example",
            {"before": 1, "after": 2},
        )
        for org in (at.client, at.msp):
            assert audit_chains.verify(at.conn, org.id) == []

    await play(tmp_path, act)
