"""What is refused is in the audit log: who, what, from where; and no flood of it fills the log."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from netpulse.model.ids import new_id
from netpulse.storage import users
from netpulse.storage.errors import StorageTrouble, TroubleKind
from netpulse.web.repeats import MOST_KEPT, QUIET_SECONDS, Repeats
from tests.api.test_api_keys import a_key
from tests.api.test_monitors import sent
from tests.clock import START
from tests.conftest import Stage

ACTION = "access.refused"
SPEC = {"name": "Shop", "type": "http", "target": "https://shop.example/"}
VIEWER = "Your role here is viewer; this needs admin. Ask an administrator of the organization"


async def denials(alice: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Return the rows of refusals as the API shows them, the oldest first."""
    answer = sent(await alice.get("/v1/audit-logs", params={"action": ACTION, "limit": 100}))
    return list(reversed(answer))


async def refused(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> str:
    answer = await client.request(method, path, **more)
    assert answer.status_code == 403, answer.text
    return str(answer.json()["error"]["message"])


async def test_a_role_that_is_too_low(
    house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    bob.headers["User-Agent"] = "curl/8"
    assert await refused(bob, "POST", "/v1/monitors?q=hidden", json=SPEC) == VIEWER
    [row] = await denials(alice)
    assert row["actor"] == {"kind": "user", "label": house.cast.bob.email}
    assert (row["user_id"], row["ip_address"], row["user_agent"]) == (
        house.cast.bob.id,
        "192.0.2.10",
        "curl/8",
    )
    assert (row["resource_type"], row["resource_id"]) == ("route", None)
    told = {"method": "POST", "path": "/v1/monitors", "reason": VIEWER, "left_out": 0}
    assert row["payload"] == {"before": None, "after": told}


async def test_a_page_is_a_route_like_others(
    house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    assert (await bob.get("/settings/audit")).status_code == 403
    [row] = await denials(alice)
    assert row["payload"]["after"]["path"] == "/settings/audit"


async def test_what_a_handler_refuses(
    house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    message = await refused(alice, "GET", "/v1/audit-logs", params={"log": "instance"})
    [row] = await denials(alice)
    assert row["payload"]["after"]["reason"] == message
    assert row["actor"]["label"] == house.cast.alice.email


async def test_a_key_without_the_scope(house: Stage, alice: httpx.AsyncClient) -> None:
    made = await a_key(alice, "monitors:read")
    client = house.client(headers={"X-API-Key": made["key"]})
    assert await refused(client, "POST", "/v1/monitors", json=SPEC) == (
        "This API key lacks the scope monitors:write"
    )
    await refused(client, "GET", "/v1/monitors", headers={"X-Org-Id": house.cast.globex.id})
    rows = await denials(alice)
    assert [row["actor"]["kind"] for row in rows] == ["api_key", "api_key"]
    assert all(row["actor"]["label"].startswith("Deploy (") for row in rows)
    assert all(made["key"] not in str(row) for row in rows)


async def test_another_organization_hears_nothing(house: Stage, alice: httpx.AsyncClient) -> None:
    """It is told where the person is at home, for an organization that exists as for none."""
    message = "You are not a member of this organization; see X-Org-Id"
    for org_id in (house.cast.globex.id, new_id(START)):
        assert await refused(alice, "GET", "/v1/org", headers={"X-Org-Id": org_id}) == message
    globex = house.client(headers=house.cast.charlie.headers)
    assert await denials(globex) == []
    [row] = await denials(alice)
    assert row["actor"]["label"] == house.cast.alice.email


async def test_an_address_that_is_not_allowed(
    house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    await house.house.db.write(
        users.set_ip_whitelist, house.cast.bob.id, ("198.51.100.0/24",), START
    )
    await refused(bob, "GET", "/v1/monitors")
    [row] = await denials(alice)
    assert (row["actor"]["label"], row["ip_address"]) == (house.cast.bob.email, "192.0.2.10")


async def test_the_same_again_and_again_is_one_row(
    house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    for _ in range(5):
        await refused(bob, "DELETE", f"/v1/monitors/{new_id(START)}")
    await refused(bob, "POST", "/v1/monitors", json=SPEC)
    assert len(await denials(alice)) == 2
    house.house.clock.advance(QUIET_SECONDS)  # type: ignore[attr-defined]  # the tests' clock
    await refused(bob, "DELETE", f"/v1/monitors/{new_id(START)}")
    assert [row["payload"]["after"]["left_out"] for row in await denials(alice)] == [0, 0, 4]


async def test_the_addresses_of_one_network_are_one(house: Stage, alice: httpx.AsyncClient) -> None:
    """Whoever has a network of IPv6 has an address for every request."""
    for n in range(3):
        client = house.client(ip=f"2001:db8::{n + 1:x}", headers=house.cast.bob.headers)
        await refused(client, "POST", "/v1/monitors", json=SPEC)
    other = house.client(ip="2001:db8:0:1::1", headers=house.cast.bob.headers)
    await refused(other, "POST", "/v1/monitors", json=SPEC)
    seen = [row["ip_address"] for row in await denials(alice)]
    assert seen == ["2001:db8::1", "2001:db8:0:1::1"]


async def test_strangers_and_what_does_not_exist_write_nothing(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    stranger = house.client()
    assert (await stranger.get("/v1/monitors")).status_code == 401
    assert (await alice.get(f"/v1/monitors/{new_id(START)}")).status_code == 404
    assert (await stranger.post("/v1/auth/register", json={})).status_code in (400, 403)
    rows = await house.house.db.read(lambda conn: conn.all("SELECT action FROM audit_logs"))
    assert rows == []


async def test_without_room_for_the_row_it_stays_a_refusal(
    house: Stage, bob: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    async def full(*_: Any) -> None:
        raise StorageTrouble(TroubleKind.FULL)

    monkeypatch.setattr(house.house.db, "write", full)
    assert await refused(bob, "POST", "/v1/monitors", json=SPEC) == VIEWER
    assert "a refused request is not in the audit log" in caplog.text


def test_what_is_remembered_has_an_end() -> None:
    repeats = Repeats()
    for n in range(MOST_KEPT + 1):
        assert repeats.left_out(n, 0.0) == 0
    assert repeats.left_out(MOST_KEPT, 1.0) is None
    assert repeats.left_out(0, 1.0) == 0, "the oldest was forgotten"
