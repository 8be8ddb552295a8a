"""What a provider's list of clients costs: each client's people are found by an index."""

from __future__ import annotations

from pathlib import Path

from netpulse.model.ids import new_id
from netpulse.model.org import Org
from netpulse.model.user import Membership, Role
from netpulse.storage import clients, orgs, users
from netpulse.storage.conn import Conn
from tests.plans import Planned
from tests.store import NOW, add_org, add_user, opened

CLIENTS = 100
"""With few of them SQLite chooses the index anyway."""


async def test_people_are_found_by_organization_and_kind(tmp_path: Path) -> None:
    def act(conn: Conn) -> list[str]:
        msp = add_org(conn)
        add_user(conn, msp.id, "root@acme.example")
        # What SQLite knows of a table may be from the day when there was hardly anything in it.
        conn.execute("ANALYZE")
        for number in range(CLIENTS):
            shop = Org(
                id=new_id(NOW),
                name=f"Shop {number}",
                slug=f"shop-{number}",
                parent_id=msp.id,
                created_at=NOW,
            )
            orgs.insert(conn, shop)
            ann = add_user(conn, msp.id, f"ann{number}@acme.example")
            add_user(conn, shop.id, f"bob{number}@shop.example")
            grant = Membership(user_id=ann.id, org_id=shop.id, role=Role.ADMIN, is_grant=True)
            users.put_membership(conn, grant)
        planned = Planned(conn)
        found = clients.page(planned, msp.id, limit=CLIENTS, now=NOW)
        assert [(len(one.grants), one.used.users) for one in found.rows] == [(1, 1)] * CLIENTS
        return planned.plans

    async with opened(tmp_path) as db:
        plans = await db.write(act)
    found = "memberships_org (org_id=? AND kind=?)"
    of_people = [line for line in plans if line.startswith("SEARCH m ") and "kind" in line]
    assert of_people == [f"SEARCH m USING COVERING INDEX {found}", f"SEARCH m USING INDEX {found}"]
    assert {line for line in plans if line.startswith("SCAN")} == {
        "SCAN json_each VIRTUAL TABLE INDEX 1:"
    }
    assert [line for line in plans if line.startswith("SEARCH u ")] == [
        "SEARCH u USING PRIMARY KEY (id=?)"
    ]
