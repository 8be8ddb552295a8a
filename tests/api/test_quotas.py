"""Quotas as people meet them: what is refused, in which words, and what is no longer shown."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from netpulse.model.check import Check, Result
from netpulse.model.ids import Id
from netpulse.model.time import DAY, HOUR, rfc3339
from netpulse.storage import monitors, quotas
from netpulse.storage.db import Conn
from tests.api.test_monitors import errors, make, sent
from tests.api.test_page_forms import CHANNEL_FORM, HTTP_FORM
from tests.api.test_pages import problems, text_of
from tests.clock import START
from tests.conftest import Stage
from tests.sign_ins import clock_of

ONLY = "this organization may only reach public addresses"
FULL = (
    "This organization may have 2 monitors: delete one that is not needed any more, or ask Globex, "
    "who set this quota, for more"
)


async def limit(
    house: Stage,
    *,
    max_monitors: int | None = None,
    max_users: int | None = None,
    retention_days: int | None = None,
    private_targets: bool = True,
) -> None:
    """Make Acme a client of Globex, with these quotas."""

    def write(conn: Conn) -> None:
        conn.execute(
            "UPDATE organizations SET parent_id = ?, max_monitors = ?, max_users = ?,"
            " retention_days = ?, private_targets = ? WHERE id = ?",
            (
                house.cast.globex.id,
                max_monitors,
                max_users,
                retention_days,
                int(private_targets),
                house.cast.acme.id,
            ),
        )

    await house.house.db.write(write)
    house.house.engine.org_changed(house.cast.acme.id, private_targets=private_targets)


class TestMonitors:
    """At most so many."""

    async def test_the_answer(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await limit(house, max_monitors=2)
        await make(alice)
        await make(alice, is_paused=True)
        refused = await alice.post(
            "/v1/monitors", json={"name": "One more", "type": "http", "target": "https://x.example"}
        )
        assert refused.status_code == 409
        assert refused.json()["error"] == {
            "code": "QUOTA_REACHED",
            "message": FULL,
            "details": {"quota": "monitors", "limit": 2, "used": 2},
        }
        assert await house.actions(house.cast.acme.id) == ["monitor.created"] * 2

    async def test_many_at_once(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await limit(house, max_monitors=5)
        body = {"name": "Shop", "type": "http", "target": "https://x.example"}
        answers = await asyncio.gather(*(alice.post("/v1/monitors", json=body) for _ in range(30)))
        assert sorted(each.status_code for each in answers) == [201] * 5 + [409] * 25
        assert await house.house.db.read(monitors.count, house.cast.acme.id) == 5

    async def test_the_page(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await limit(house, max_monitors=2)
        await make(alice)
        await make(alice)
        refused = await alice.post("/monitors/new", data=HTTP_FORM)
        assert problems(refused, 409) == [f"{FULL}."]
        assert "https://shop.example/" in refused.text

    async def test_others_are_not_in_its_way(
        self, house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
    ) -> None:
        await limit(house, max_monitors=1)
        await make(alice)
        await make(charlie)
        await make(charlie)

    async def test_who_deletes_one_may_make_another(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        await limit(house, max_monitors=1)
        made = await make(alice)
        changed = {"name": "Other", "type": "tcp", "target": "x.example:1"}
        sent(await alice.put(f"/v1/monitors/{made['id']}", json=changed))
        sent(await alice.delete(f"/v1/monitors/{made['id']}"))
        await make(alice)


class TestPrivateTargets:
    """An organization that may reach public addresses only."""

    @pytest.mark.parametrize(
        ("spec", "problem"),
        [
            (
                {"type": "http", "target": "http://10.0.0.1/"},
                ("$.target", f"10.0.0.1 is a private address: {ONLY}"),
            ),
            (
                {"type": "tcp", "target": "localhost:22"},
                ("$.target", f"127.0.0.1 is a loopback address: {ONLY}"),
            ),
            (
                {"type": "dns", "target": "shop.example", "nameserver": "192.168.1.1"},
                ("$.nameserver", f"192.168.1.1 is a private address: {ONLY}"),
            ),
        ],
    )
    async def test_saving(
        self,
        house: Stage,
        alice: httpx.AsyncClient,
        charlie: httpx.AsyncClient,
        spec: dict[str, Any],
        problem: tuple[str, str],
    ) -> None:
        made = await make(alice)
        await limit(house, private_targets=False)
        assert errors(await alice.post("/v1/monitors", json={"name": "x", **spec})) == [problem]
        replaced = await alice.put(f"/v1/monitors/{made['id']}", json={"name": "x", **spec})
        assert errors(replaced) == [problem]
        # Who may reach more may save it.
        await make(charlie, **spec)

    async def test_the_page(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await limit(house, private_targets=False)
        form = HTTP_FORM | {"target": "http://127.0.0.1/"}
        refused = await alice.post("/monitors/new", data=form)
        assert problems(refused) == [f"Target: 127.0.0.1 is a loopback address: {ONLY}."]

    async def test_testing(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await limit(house, private_targets=False)
        body = {"name": "x", "type": "http", "target": "http://127.0.0.1:9/"}
        found = sent(await alice.post("/v1/monitors/test", json=body))
        assert (found["status"], found["failure"], found["error_message"]) == (
            "down",
            "blocked",
            f"127.0.0.1 is a loopback address: {ONLY}",
        )
        form = HTTP_FORM | {"target": "http://127.0.0.1:9/", "action": "test"}
        assert f"127.0.0.1 is a loopback address: {ONLY}" in text_of(
            await alice.post("/monitors/new", data=form)
        )

    @pytest.mark.parametrize(
        ("channel", "path", "said"),
        [
            (
                {"type": "webhook", "config": {"url": "http://127.0.0.1/x"}},
                "$.config.url",
                f"127.0.0.1 is a loopback address: {ONLY}",
            ),
            (
                {"type": "slack", "config": {"webhook_url": "https://10.1.2.3/x"}},
                "$.config.webhook_url",
                f"10.1.2.3 is a private address: {ONLY}",
            ),
            (
                {
                    "type": "pagerduty",
                    "config": {"routing_key": "R" * 32, "api_url": "http://[::1]:9/"},
                },
                "$.config.api_url",
                f"::1 is a loopback address: {ONLY}",
            ),
            (
                {
                    "type": "email",
                    "config": {
                        "to": ["ops@acme.example"],
                        "smtp": {"host": "localhost", "from": "np@acme.example"},
                    },
                },
                "$.config.smtp.host",
                f"127.0.0.1 is a loopback address: {ONLY}",
            ),
        ],
    )
    async def test_channels(
        self,
        house: Stage,
        alice: httpx.AsyncClient,
        channel: dict[str, Any],
        path: str,
        said: str,
    ) -> None:
        body = {"name": "Ops", **channel}
        made = sent(await alice.post("/v1/alert-channels", json=body), 201)
        await limit(house, private_targets=False)
        assert errors(await alice.post("/v1/alert-channels", json=body)) == [(path, said)]
        url = f"/v1/alert-channels/{made['id']}"
        # A secret address that is left out is the stored one, which may not be reached either.
        assert errors(await alice.put(url, json=body)) == [(path, said)]
        tried = sent(await alice.post(f"{url}/test"))
        assert (tried["ok"], tried["status_code"]) == (False, None)
        assert said.partition(" ")[2] in tried["error"]

    async def test_a_kept_secret_address(self, house: Stage, alice: httpx.AsyncClient) -> None:
        body = {"name": "Ops", "type": "slack", "config": {"webhook_url": "https://10.1.2.3/x"}}
        made = sent(await alice.post("/v1/alert-channels", json=body), 201)
        await limit(house, private_targets=False)
        kept = {"name": "Renamed", "type": "slack", "config": {}}
        assert errors(await alice.put(f"/v1/alert-channels/{made['id']}", json=kept)) == [
            ("$.config.webhook_url", f"10.1.2.3 is a private address: {ONLY}")
        ]

    async def test_the_page_of_a_channel(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await limit(house, private_targets=False)
        form = CHANNEL_FORM | {"config.url": "http://127.0.0.1/"}
        refused = await alice.post("/alerts/channels/new", data=form)
        assert problems(refused) == [f"Address: 127.0.0.1 is a loopback address: {ONLY}."]


async def aged(house: Stage, alice: httpx.AsyncClient) -> dict[str, Any]:
    """Return a monitor that was made 30 days ago, was up since, and was checked every 12 hours."""
    made: dict[str, Any] = await make(alice)
    begun = START - 30 * DAY

    def age(conn: Conn) -> int:
        row = conn.one("SELECT key FROM monitors WHERE id = ?", (made["id"],))
        assert row is not None
        conn.execute("UPDATE monitors SET created_at = ? WHERE id = ?", (begun, made["id"]))
        conn.execute(
            "UPDATE spans SET from_ms = ?, status = 'up' WHERE monitor_id = ?", (begun, made["id"])
        )
        return int(row[0])

    key = await house.house.db.write(age)
    house.house.raw.append(
        [(key, check(START - number * 12 * HOUR)) for number in range(60, 0, -1)]
    )
    await house.house.raw.flush()
    return made


def check(at: int) -> Check:
    return Check(due_at=at, started_at=at, result=Result.UP, response_time_ms=20)


class TestRetention:
    """How far back raw results are shown; the files keep them."""

    async def times(self, client: httpx.AsyncClient, monitor_id: Id, **query: str) -> list[str]:
        url = f"/v1/monitors/{monitor_id}/checks"
        found = (await client.get(url, params={"limit": "100", **query})).json()
        assert found["meta"]["total"] == len(found["data"])
        return [row["checked_at"] for row in found["data"]]

    async def test_checks(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        made = await aged(house, alice)
        assert len(await self.times(bob, made["id"])) == 60
        await limit(house, retention_days=3)
        for client in (alice, bob):
            seen = await self.times(client, made["id"])
            assert (len(seen), seen[-1]) == (6, rfc3339(START - 3 * DAY))
            # Neither a start nor a cursor leads further back.
            early = await self.times(client, made["id"], **{"from": rfc3339(START - 20 * DAY)})
            assert early == seen
        url = f"/v1/monitors/{made['id']}/checks"
        back = await bob.get(url, params={"cursor": str(START - 3 * DAY)})
        assert (back.json()["data"], back.json()["meta"]["next_cursor"]) == ([], None)
        to = await bob.get(url, params={"to": rfc3339(START - 10 * DAY)})
        assert to.json()["data"] == []
        await limit(house, retention_days=None)
        assert len(await self.times(bob, made["id"])) == 60

    async def test_uptime_and_chart(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await aged(house, alice)
        url = f"/v1/monitors/{made['id']}/uptime"
        whole = sent(await alice.get(url, params={"period": "90d"}))
        assert whole["from"] == rfc3339(START - 30 * DAY)
        await limit(house, retention_days=3)
        for query in ({"period": "90d"}, {"from": rfc3339(START - 20 * DAY)}):
            found = sent(await alice.get(url, params=query))
            assert (found["from"], found["to"]) == (rfc3339(START - 3 * DAY), rfc3339(START))
            assert found["checks"] == 6
        chart = (await alice.get(f"/monitors/{made['id']}/chart.json?period=30d")).json()
        assert chart["from"] == (START - 3 * DAY) // 1000
        assert sum(value is not None for value in chart["total"]["values"]) == 6

    async def test_the_page(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await aged(house, alice)
        page = text_of(await alice.get(f"/monitors/{made['id']}"))
        old, new = (rfc3339(START - days * DAY)[:10] for days in (20, 2))
        assert f"{old}: up" in page
        await limit(house, retention_days=3)
        page = text_of(await alice.get(f"/monitors/{made['id']}"))
        assert f"{old}: no data" in page
        assert f"{new}: up" in page

    async def test_its_status_page(self, house: Stage, alice: httpx.AsyncClient) -> None:
        """Of the days that the organization may not look back to, it tells the world nothing."""
        globex = house.client(headers=house.cast.charlie.headers)
        made = await aged(house, alice)
        services = [{"name": "", "monitors": [{"monitor_id": made["id"]}]}]
        shown = {"slug": "corner", "title": "Corner", "groups": services}
        sent(await alice.post("/v1/status-pages", json=shown), 201)
        assert await self.told(house) == 31
        await limit(house)
        url = f"/v1/org/clients/{house.cast.acme.id}"
        for retention, days in ((3, 3), (1, 1), (None, 31), (365, 31)):
            spec = {"name": "Acme", "quotas": {"retention_days": retention}}
            sent(await globex.put(url, json=spec))
            clock_of(house).advance(30)
            assert await self.told(house) == days

    async def told(self, house: Stage) -> int:
        """Return of how many days the page tells something."""
        body = sent(await house.client().get("/v1/public/status/corner"))
        (service,) = body["services"]
        assert len(service["days"]) == 90
        known = [day["status"] != "unknown" for day in service["days"]]
        assert known == [False] * known.count(False) + [True] * known.count(True)
        return known.count(True)


async def test_what_is_in_effect(house: Stage) -> None:
    await limit(house, max_monitors=2, max_users=3, retention_days=7, private_targets=False)
    found = await house.house.db.read(quotas.of, house.cast.acme.id)
    assert (found.monitors, found.users, found.retention_days, found.private_targets) == (
        2,
        3,
        7,
        False,
    )
