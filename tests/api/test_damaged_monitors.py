"""A stored monitor that cannot be read is shown as damaged, and hides none of the others."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from netpulse.storage.db import Conn
from tests.conftest import Stage

SHOP = {"type": "http", "name": "Shop", "target": "http://192.0.2.1/", "tags": ["front"]}
WAYS = {
    "no JSON": "UPDATE monitors SET config = '{' WHERE id = ?",
    "an unknown type": """UPDATE monitors SET type = 'gopher', config = '{"type":"gopher"}'
        WHERE id = ?""",
    "an unknown field": """UPDATE monitors SET config = json_set(config, '$.later', 1)
        WHERE id = ?""",
    "tags too": "UPDATE monitors SET config = '', tags = '' WHERE id = ?",
    "another key": "UPDATE monitors SET secrets = x'00' WHERE id = ?",
}
BAD = "Mail gate"


def sent(response: httpx.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.json()


async def made(house: Stage, alice: httpx.AsyncClient, how: str, **fields: Any) -> str:
    """Store a good monitor and a bad one; returns the bad one's id."""
    sent(await alice.post("/v1/monitors", json=SHOP), 201)
    bad = {**SHOP, "name": BAD, "auth": {"type": "basic", "username": "a", "password": "b"}}
    found = sent(await alice.post("/v1/monitors", json=fields or bad), 201)["data"]
    await house.house.engine.settled()

    def damage(conn: Conn) -> None:
        conn.execute(WAYS[how], (found["id"],))

    await house.house.db.write(damage)
    return str(found["id"])


@pytest.mark.parametrize("how", WAYS)
async def test_it_is_listed_among_the_others(
    house: Stage, alice: httpx.AsyncClient, how: str
) -> None:
    monitor_id = await made(house, alice, how)
    listed = sent(await alice.get("/v1/monitors"))
    assert listed["meta"]["total"] == 2
    problems = {each["name"]: each["problem"] for each in listed["data"]}
    assert problems["Shop"] is None
    expected = "its secrets do not open" if how == "another key" else "cannot be read"
    assert expected in problems[BAD]
    one = sent(await alice.get(f"/v1/monitors/{monitor_id}"))["data"]
    assert (one["problem"], one["target"]) == (problems[BAD], SHOP["target"])


@pytest.mark.parametrize("how", WAYS)
async def test_the_pages_show_it(house: Stage, alice: httpx.AsyncClient, how: str) -> None:
    monitor_id = await made(house, alice, how)

    def down(conn: Conn) -> None:
        conn.execute("UPDATE watches SET status = 'down'")

    await house.house.db.write(down)
    for path in ("/monitors", "/dashboard", f"/monitors/{monitor_id}"):
        page = await alice.get(path)
        assert page.status_code == 200, path
        assert BAD in page.text
        assert "ot checked: " in page.text, path
    for path in ("edit", "delete"):
        page = await alice.get(f"/monitors/{monitor_id}/{path}")
        assert page.status_code == 200, path


@pytest.mark.parametrize("how", WAYS)
async def test_a_new_configuration_mends_it(
    house: Stage, alice: httpx.AsyncClient, how: str
) -> None:
    monitor_id = await made(house, alice, how)
    path = f"/v1/monitors/{monitor_id}"
    sent(await alice.post(f"{path}/pause"))
    sent(await alice.post(f"{path}/resume"))
    again = {**SHOP, "name": BAD, "auth": {"type": "basic", "username": "a", "password": "c"}}
    assert sent(await alice.put(path, json=again))["data"]["problem"] is None
    listed = sent(await alice.get("/v1/monitors"))["data"]
    assert [each["problem"] for each in listed] == [None, None]


async def test_its_checks_say_what_is_wrong(house: Stage, alice: httpx.AsyncClient) -> None:
    monitor_id = await made(house, alice, "no JSON")
    check = sent(await alice.post(f"/v1/monitors/{monitor_id}/check"))["data"]
    assert (check["status"], check["failure"]) == ("inconclusive", "internal")
    assert "its configuration cannot be read" in check["error_message"]


async def test_a_push_monitor_is_not_missed_by_a_schedule_nobody_can_read(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    monitor_id = await made(house, alice, "no JSON", type="push", name=BAD)
    engine = house.house.engine
    engine.changed(monitor_id)
    await engine.settled()
    watched = engine.roster.get(monitor_id)
    assert watched is not None
    assert not watched.is_push
    assert monitor_id not in engine.pushes
    assert monitor_id in engine.scheduler
