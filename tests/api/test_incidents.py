"""Incidents: automatic and manual ones, their story, and what may be changed of them."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import httpx

from netpulse.model.time import HOUR, MINUTE, rfc3339
from tests.api.test_monitors import errors, fail, make, sent
from tests.clock import START, FakeClock
from tests.conftest import Stage


async def test_by_hand(house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    one, two = await make(alice), await make(alice, name="Two")
    response = await alice.post(
        "/v1/incidents",
        json={
            "title": " Fire ",
            "monitor_id": one["id"],
            "monitor_ids": [one["id"], two["id"]],
            "message": "We look at it",
            "impact": "critical",
        },
    )
    made = sent(response, 201)
    assert made == {
        "id": made["id"],
        "org_id": house.cast.acme.id,
        "title": "Fire",
        "status": "investigating",
        "origin": "manual",
        "impact": "critical",
        "monitor_id": made["monitor_ids"][0],
        "monitor_ids": made["monitor_ids"],
        "status_page_ids": [],
        "started_at": rfc3339(START),
        "resolved_at": None,
        "duration_seconds": 0,
        "reason": None,
        "failure": None,
        "resolution": None,
        "root_cause": None,
        "acknowledged_at": None,
        "acknowledged_by": None,
        "acknowledged_via": None,
        "created_at": rfc3339(START),
        "version": 1,
    }
    assert sorted(made["monitor_ids"]) == sorted([one["id"], two["id"]])
    url = f"/v1/incidents/{made['id']}"
    entry = sent(
        await alice.post(f"{url}/updates", json={"message": "Found", "status": "identified"}), 201
    )
    assert (entry["kind"], entry["status"], entry["user_id"], entry["author"]) == (
        "update",
        "identified",
        house.cast.alice.id,
        house.cast.alice.email,
    )
    # As the story tells it.
    assert sent(await alice.get(url))["timeline"][-1] == entry
    patched = sent(await alice.patch(url, json={"root_cause": "A candle", "title": "Smoke"}))
    assert (patched["root_cause"], patched["title"], patched["version"]) == ("A candle", "Smoke", 3)
    ended = sent(await alice.patch(url, json={"status": "resolved"}))
    assert (ended["status"], ended["resolution"]) == ("resolved", "manual")
    story = sent(await bob.get(url))["timeline"]
    assert [(line["kind"], line["message"], line["author"]) for line in story] == [
        ("opened", "We look at it", "alice@acme.example"),
        ("update", "Found", "alice@acme.example"),
        ("root_cause", "A candle", "alice@acme.example"),
        ("status", "", "alice@acme.example"),
    ]
    assert await house.actions(house.cast.acme.id) == [
        "monitor.created",
        "monitor.created",
        "incident.created",
        "incident.update_added",
        "incident.updated",
        "incident.updated",
    ]
    assert await house.outbox() == []


async def test_the_answer_can_be_sent_back(alice: httpx.AsyncClient) -> None:
    made = sent(await alice.post("/v1/incidents", json={"title": "Fire"}), 201)
    body = {key: value for key, value in made.items() if key in ("title", "status", "root_cause")}
    url = f"/v1/incidents/{made['id']}"
    stale = await alice.patch(url, json=body, headers={"If-Match": '"7"'})
    assert stale.status_code == 412
    assert sent(await alice.patch(url, json=body))["version"] == 2


async def test_lists(house: Stage, alice: httpx.AsyncClient) -> None:
    monitor = await make(alice)
    for number in range(3):
        body: dict[str, Any] = {"title": f"Fire {number}"}
        if number == 1:
            body["monitor_id"] = monitor["id"]
        if number == 2:
            body["status"] = "monitoring"
        sent(await alice.post("/v1/incidents", json=body), 201)

    async def titles(**params: Any) -> list[str]:
        return sorted(row["title"] for row in sent(await alice.get("/v1/incidents", params=params)))

    assert await titles() == ["Fire 0", "Fire 1", "Fire 2"]
    assert await titles(status="monitoring") == ["Fire 2"]
    assert await titles(monitor_id=monitor["id"]) == ["Fire 1"]
    assert await titles(is_open="true") == ["Fire 0", "Fire 1", "Fire 2"]
    assert await titles(is_open="false") == []
    assert (await alice.get("/v1/incidents?limit=2")).json()["meta"] == {
        "page": 1,
        "limit": 2,
        "total": 3,
    }


async def test_searching(
    house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
) -> None:
    monitor = await make(alice, name="Müller's shop", tags=["prod"])
    await fail(house, monitor["id"], START + HOUR)
    theirs = await make(charlie, name="Müller elsewhere")
    await fail(house, theirs["id"], START)
    made = sent(await alice.post("/v1/incidents", json={"title": "100% of_it"}), 201)
    fire = f"/v1/incidents/{made['id']}"
    sent(await alice.patch(fire, json={"root_cause": "A cable"}))

    async def found(**params: Any) -> list[str]:
        listed = sent(await alice.get("/v1/incidents", params=params))
        pages = await alice.get("/incidents", params=params)
        for row in listed:
            assert f"/incidents/{row['id']}" in pages.text
        return [row["origin"] for row in listed]

    assert await found() == ["check", "manual"]
    assert await found(origin="check") == ["check"]
    assert await found(origin="manual") == ["manual"]
    assert await found(q="MÜLLER") == ["check"]
    assert await found(q="prod") == ["check"]
    assert await found(q=" cable ") == ["manual"]
    assert await found(q="100% of_") == ["manual"]
    assert await found(q="100_") == []
    assert await found(**{"from": rfc3339(START + 1)}) == ["check"]
    assert await found(to=rfc3339(START + HOUR)) == ["manual"]
    assert errors(await alice.get("/v1/incidents?from=soon")) == [
        ("?from", "'soon' is not a time such as 2026-01-01T12:00:00Z")
    ]
    assert errors(await alice.get("/v1/incidents?origin=x"))[0][0] == "?origin"


async def test_the_list_of_a_page(house: Stage, alice: httpx.AsyncClient) -> None:
    monitor = await make(alice, name="Shop")
    await fail(house, monitor["id"], START)
    other = await make(alice, name="Other")

    async def page(query: str) -> str:
        response = await alice.get(f"/incidents?{query}")
        assert response.status_code == 200
        return unescape(response.text)

    shown = await page(f"monitor_id={monitor['id']}&status=open")
    assert "Only incidents of Shop." in shown
    assert "Open (1)" in shown
    assert "Resolved (0)" in shown
    assert f"/incidents?status=all&monitor_id={monitor['id']}" in shown
    shown = await page(f"monitor_id={other['id']}")
    assert "No incident fits this filter" in shown
    assert "Open (0)" in shown
    shown = await page("from=2025-12-17&to=2025-12-17")
    assert "Shop is down" in shown
    assert "No incident fits this filter" in await page("to=2025-12-16")
    # What is no filter is none.
    shown = await page("from=nonsense&origin=x&status=y&monitor_id=z&page=-1")
    assert "Shop is down" in shown
    assert ">Clear</a>" not in shown


async def test_a_down_monitors_incident_is_not_resolved_by_hand(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    made = await make(alice)
    await fail(house, made["id"], START + MINUTE)
    clock = house.house.clock
    assert isinstance(clock, FakeClock)
    clock.advance(90)
    (incident,) = sent(await alice.get("/v1/incidents"))
    assert incident["duration_seconds"] == 30
    assert (incident["origin"], incident["monitor_id"]) == ("check", made["id"])
    assert incident["reason"] == "connection refused"
    assert incident["failure"] == "refused"
    url = f"/v1/incidents/{incident['id']}"
    before = await house.actions(house.cast.acme.id)
    refused = await alice.patch(url, json={"status": "resolved"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "MONITOR_DOWN")
    body = {"message": "done", "status": "resolved"}
    assert (await alice.post(f"{url}/updates", json=body)).status_code == 409
    assert await house.actions(house.cast.acme.id) == before
    assert sent(await alice.patch(url, json={"status": "identified"}))["status"] == "identified"
    # The story names the steps of the machine and of people.
    kinds = [line["kind"] for line in sent(await alice.get(url))["timeline"]]
    assert kinds[0] == "opened"
    assert {"confirmed", "status"} <= set(kinds)


async def test_an_automatic_incident_that_is_over_stays_so(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    made = await make(alice)
    await fail(house, made["id"], START + MINUTE)
    sent(await alice.post(f"/v1/monitors/{made['id']}/pause"))
    (incident,) = sent(await alice.get("/v1/incidents"))
    again = await alice.patch(f"/v1/incidents/{incident['id']}", json={"status": "monitoring"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "INCIDENT_RESOLVED")


async def test_problems(alice: httpx.AsyncClient) -> None:
    assert errors(await alice.post("/v1/incidents", json={"status": "gone", "x": 1})) == [
        ("$.x", "there is no such field here"),
        ("$.title", "this field is required"),
        ("$.status", "'gone' is none of investigating, identified, monitoring, resolved"),
    ]
    assert errors(await alice.post("/v1/incidents", json={"title": "  "})) == [
        ("$.title", "the title is empty")
    ]
    made = sent(await alice.post("/v1/incidents", json={"title": "Fire"}), 201)
    url = f"/v1/incidents/{made['id']}"
    assert errors(await alice.patch(url, json={"impact": "minor"})) == [
        ("$.impact", "there is no such field here")
    ]
    assert errors(await alice.post(f"{url}/updates", json={"message": " "})) == [
        ("$.message", "the message is empty")
    ]


async def test_its_course_as_a_picture(house: Stage, alice: httpx.AsyncClient) -> None:
    clock = house.house.clock
    assert isinstance(clock, FakeClock)
    made = sent(await alice.post("/v1/incidents", json={"title": "Fire"}), 201)
    url = f"/v1/incidents/{made['id']}"
    page = unescape((await alice.get(f"/incidents/{made['id']}")).text)
    assert "<dt>Acknowledged after</dt><dd>not yet</dd>" in page
    assert "Certain after" not in page
    clock.advance(60)
    sent(await alice.post(f"{url}/acknowledge"))
    clock.advance(60)
    body = {"message": "It is the oven", "status": "identified"}
    sent(await alice.post(f"{url}/updates", json=body), 201)
    clock.advance(120)
    sent(await alice.patch(url, json={"status": "resolved"}))
    clock.advance(60)
    page = unescape((await alice.get(f"/incidents/{made['id']}")).text)
    assert "<dt>Acknowledged after</dt><dd>1 min</dd>" in page
    assert "<dt>Over after</dt><dd>4 min</dd>" in page
    assert re.findall(r'class="np-i-(\w+)" x="(\d+)" y="7" width="(\d+)"', page) == [
        ("investigating", "0", "500"),
        ("identified", "500", "500"),
    ]
    assert "<title>after 2 min: It is the oven</title>" in page
    assert "M250 0v24" in page


async def test_the_course_of_an_outage(house: Stage, alice: httpx.AsyncClient) -> None:
    monitor = await make(alice, name="Shop")
    channel = {"name": "Hook", "type": "webhook", "config": {"url": "https://hooks.example/x"}}
    channel_id = sent(await alice.post("/v1/alert-channels", json=channel), 201)["id"]
    sent(await alice.post("/v1/alert-rules", json={"channel_id": channel_id}), 201)
    await fail(house, monitor["id"], START)
    (incident,) = sent(await alice.get("/v1/incidents"))
    page = unescape((await alice.get(f"/incidents/{incident['id']}")).text)
    assert "<dt>Certain after</dt><dd>0 s</dd>" in page
    assert "<dt>First told after</dt><dd>not yet</dd>" in page
    # It began at this very moment: all of the strip is one state.
    assert re.findall(r'class="np-i-(\w+)" x="(\d+)" y="7" width="(\d+)"', page) == [
        ("investigating", "0", "1000")
    ]
