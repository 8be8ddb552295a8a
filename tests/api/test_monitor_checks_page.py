"""A monitor's page: all its checks, its notices, and another one made from it."""

from __future__ import annotations

import re

import httpx

from netpulse.model.check import Check, Failure, Result
from netpulse.model.time import MINUTE
from netpulse.storage import monitors
from tests.api.test_monitors import fail, make
from tests.clock import START
from tests.conftest import Stage

COUNT = 120


async def checked(house: Stage, alice: httpx.AsyncClient) -> str:
    """Make a monitor with two hours of checks behind it, the third of each ten down."""
    made = await make(alice, is_paused=True)
    found = await house.house.db.read(monitors.get, house.cast.acme.id, made["id"])
    assert found is not None
    house.house.raw.append(
        [
            (
                found.key,
                Check(
                    due_at=START - number * MINUTE,
                    started_at=START - number * MINUTE,
                    result=Result.DOWN if number % 10 == 3 else Result.UP,
                    failure=Failure.REFUSED if number % 10 == 3 else None,
                    message="nobody is there" if number % 10 == 3 else None,
                    response_time_ms=number,
                ),
            )
            for number in range(COUNT, 0, -1)
        ]
    )
    await house.house.raw.flush()
    return str(made["id"])


def rows(page: str) -> int:
    return page.count('<th scope="row" class="np-nowrap">')


async def test_all_checks_page_by_page(
    house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient, charlie: httpx.AsyncClient
) -> None:
    monitor_id = await checked(house, alice)
    url = f"/monitors/{monitor_id}/checks"
    assert f'href="{url}"' in (await bob.get(f"/monitors/{monitor_id}")).text
    first = (await bob.get(url)).text
    assert rows(first) == 50
    assert "1 to 50 of 120 checks" in first
    last = (await bob.get(f"{url}?page=3")).text
    assert rows(last) == 20
    assert 'rel="next"' not in last

    down = (await bob.get(f"{url}?status=down")).text
    assert (rows(down), down.count("nobody is there")) == (12, 12)
    # Minutes, in UTC: the clock of the tests stands at 2025-12-17 19:33:20.
    some = (await bob.get(f"{url}?from=2025-12-17T19:00&to=2025-12-17T19:05")).text
    assert rows(some) == 5
    none = (await bob.get(f"{url}?from=2025-12-18T00:00")).text
    assert "No check fits this filter" in none
    wrong = await bob.get(f"{url}?from=yesterday&status=sad")
    assert wrong.status_code == 400
    assert rows(wrong.text) == 0
    assert (await charlie.get(url)).status_code == 404


async def test_notices_about_it(house: Stage, alice: httpx.AsyncClient) -> None:
    made = await make(alice)
    page = (await alice.get(f"/monitors/{made['id']}")).text
    assert "Nobody was told about this monitor yet." in page
    config = {"url": "https://hooks.example/x"}
    channel = {"name": "On call", "type": "webhook", "config": config}
    channel_id = (await alice.post("/v1/alert-channels", json=channel)).json()["data"]["id"]
    await alice.post("/v1/alert-rules", json={"name": "All", "channel_id": channel_id})
    await fail(house, made["id"], START + MINUTE)
    told = (await alice.get(f"/monitors/{made['id']}?part=notices")).text
    assert re.search(r'<a href="/alerts/events/[^"]+">Down</a>', told)
    assert "by On call" in told


async def test_duplicating(
    house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient, charlie: httpx.AsyncClient
) -> None:
    auth = {"type": "basic", "username": "ops", "password": "hunter2hunter2"}
    made = await make(alice, name="Shop", tags=["prod"], interval_seconds=300, auth=auth)
    before = await house.audit(house.cast.acme.id)
    url = f"/monitors/new?copy={made['id']}"
    assert f'href="{url}"' in (await alice.get(f"/monitors/{made['id']}")).text
    form = (await alice.get(url)).text
    assert "With what Shop has. Its secrets are not copied: enter them again." in form
    assert "hunter2" not in form
    for value in ('value="Shop (copy)"', 'value="300"', 'value="prod"', 'value="ops"'):
        assert value in form, value
    assert await house.audit(house.cast.acme.id) == before
    assert (await bob.get(url)).status_code == 403
    assert "?copy=" not in (await bob.get(f"/monitors/{made['id']}")).text
    assert (await charlie.get(url)).status_code == 404
    assert (await alice.get("/monitors/new?copy=nonsense")).status_code == 404
