"""icmp and dns monitors over the API and the pages: made, tried, shown, edited."""

from __future__ import annotations

import socket
import time
from typing import Any

import httpx
import pytest

from tests.clock import START, ShiftedClock
from tests.conftest import Opener, Stage
from tests.nameserver import NameServer, can_ping

PING = {"type": "icmp", "name": "Ping", "target": "127.0.0.1"}
NAME = {"type": "dns", "name": "Name", "target": "shop.example"}
ZONE = {"shop.example": {"A": ["192.0.2.1"], "MX": ["10 mail.example."]}}


@pytest.fixture
async def house(open_stage: Opener) -> Stage:
    """A stage on which time passes: probes keep deadlines."""
    return await open_stage(clock=ShiftedClock(START - int(time.time() * 1000)))


def sent(response: httpx.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.json()["data"]


async def test_create(alice: httpx.AsyncClient) -> None:
    ping = sent(await alice.post("/v1/monitors", json=PING), 201)
    assert {
        name: ping[name]
        for name in ("type", "packets", "max_loss_percent", "degraded_loss_percent")
    } == {
        "type": "icmp",
        "packets": 3,
        "max_loss_percent": 100,
        "degraded_loss_percent": 50,
    }
    name = sent(
        await alice.post(
            "/v1/monitors",
            json=NAME
            | {
                "record_type": "MX",
                "expected_value": ["mail.example"],
                "match": "any",
                "nameserver": "192.0.2.53:5353",
            },
        ),
        201,
    )
    assert name["expected_value"] == ["mail.example"]
    assert (name["record_type"], name["match"], name["nameserver"]) == (
        "MX",
        "any",
        "192.0.2.53:5353",
    )
    again = sent(await alice.put(f"/v1/monitors/{name['id']}", json=name))
    assert again["expected_value"] == ["mail.example"]
    assert again["version"] == 2
    listed = sent(await alice.get("/v1/monitors", params={"type": "dns"}))
    assert [each["id"] for each in listed] == [name["id"]]


async def test_refused(alice: httpx.AsyncClient) -> None:
    for body, path in (
        (PING | {"packets": 21}, "$.packets"),
        (PING | {"target": "127.0.0.1:80"}, "$.target"),
        (NAME | {"record_type": "ANY"}, "$.record_type"),
        (NAME | {"expected_value": "x"}, "$.expected_value"),
        (NAME | {"nameserver": "ns.example"}, "$.nameserver"),
        (NAME | {"packets": 3}, "$.packets"),
    ):
        response = await alice.post("/v1/monitors", json=body)
        assert response.status_code == 400, body
        assert response.json()["error"]["details"]["errors"][0]["path"].startswith(path)


@pytest.mark.skipif(
    not can_ping(socket.AF_INET),
    reason="no ICMP socket is permitted here: run as root, or set net.ipv4.ping_group_range",
)
async def test_a_tried_ping(alice: httpx.AsyncClient) -> None:
    tried = sent(await alice.post("/v1/monitors/test", json=PING | {"packets": 2}))
    assert tried["status"] == "up"
    assert tried["response_time_ms"] is not None
    packets = tried["packets"]
    assert (packets["sent"], packets["received"], packets["loss_percent"]) == (2, 2, 0.0)
    assert packets["min_ms"] <= packets["average_ms"] <= packets["max_ms"]
    assert tried["answers"] == []


async def test_a_tried_name(alice: httpx.AsyncClient) -> None:
    async with NameServer(ZONE) as server:
        body = NAME | {"nameserver": server.address, "expected_value": "192.0.2.1"}
        tried = sent(await alice.post("/v1/monitors/test", json=body))
        assert (tried["status"], tried["answers"], tried["packets"]) == ("up", ["192.0.2.1"], None)
        tried = sent(
            await alice.post("/v1/monitors/test", json=body | {"expected_value": "192.0.2.9"})
        )
        assert (tried["status"], tried["failure"]) == ("down", "mismatch")
        assert tried["answers"] == ["192.0.2.1"]
        made = sent(await alice.post("/v1/monitors", json=body), 201)
        checked = sent(await alice.post(f"/v1/monitors/{made['id']}/check"))
        assert checked["status"] == "up"
        assert server.hits == 3


def _form(kind: str, target: str, **more: str) -> dict[str, str]:
    return {
        "type": kind,
        "name": "Seen",
        "target": target,
        "interval_seconds": "60",
        "timeout_seconds": "2",
        "confirmations": "2",
        "recoveries": "1",
        "action": "save",
    } | more


async def test_pages(house: Stage) -> None:
    alice = house.client(headers=house.cast.alice.headers | {"Accept": "text/html"})
    page = await alice.get("/monitors/new")
    assert page.status_code == 200
    for field in (
        "packets",
        "max_loss_percent",
        "degraded_loss_percent",
        "record_type",
        "expected_value",
        "match",
        "nameserver",
    ):
        assert f'name="{field}"' in page.text
    async with NameServer(ZONE) as server:
        form = _form(
            "dns",
            "shop.example",
            record_type="MX",
            match="any",
            expected_value="mail.example\r\n20 b.example",
            nameserver=server.address,
        )
        tried = await alice.post("/monitors/new", data=form | {"action": "test"})
        assert tried.status_code == 200
        assert ">10 mail.example</div>" in tried.text
        assert f">{server.host}</dd>" in tried.text
        made = await alice.post("/monitors/new", data=form)
    assert made.status_code in {302, 303}, made.text
    where = made.headers["location"].partition("?")[0]
    detail = (await alice.get(where)).text
    assert "any of mail.example, 20 b.example" in detail
    assert server.address in detail
    edit = (await alice.get(f"{where}/edit")).text
    assert "mail.example\n20 b.example" in edit
    wrong = await alice.post("/monitors/new", data=form | {"nameserver": "ns.example"})
    assert wrong.status_code == 400
    assert "Name server: ns.example is a name; write the name server" in wrong.text


@pytest.mark.skipif(
    not can_ping(socket.AF_INET),
    reason="no ICMP socket is permitted here: run as root, or set net.ipv4.ping_group_range",
)
async def test_ping_pages(house: Stage) -> None:
    alice = house.client(headers=house.cast.alice.headers | {"Accept": "text/html"})
    form = _form(
        "icmp", "127.0.0.1", packets="2", max_loss_percent="80", degraded_loss_percent="20"
    )
    tried = await alice.post("/monitors/new", data=form | {"action": "test"})
    assert "2 of 2 came back, 0% lost" in tried.text
    assert "round trip: least " in tried.text
    made = await alice.post("/monitors/new", data=form)
    where = made.headers["location"].partition("?")[0]
    assert "degraded at 20%, down at 80%" in (await alice.get(where)).text
    assert 'value="80"' in (await alice.get(f"{where}/edit")).text
