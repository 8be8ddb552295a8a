"""The page of the audit log: what people read there, filter, and take with them."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from typing import Any

import httpx
import pytest

from netpulse.model.time import DAY, rfc3339
from netpulse.model.user import Role
from netpulse.storage import audit
from netpulse.storage.db import Conn
from tests.api.test_audit_logs import enter
from tests.api.test_monitors import make, sent
from tests.clock import START
from tests.conftest import Stage

PAGE = "/settings/audit"


async def seen(client: httpx.AsyncClient, **query: Any) -> str:
    answer = await client.get(PAGE, params=query)
    assert answer.status_code == 200, answer.text
    return answer.text


def entries(text: str) -> list[int]:
    """Return the numbers of the entries that are shown, in their order."""
    return [int(number) for number in re.findall(r'<tr id="entry-(\d+)">', text)]


def words(text: str) -> str:
    """Return the text of a page without its tags, spaces as one."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


async def test_what_changed_is_readable(house: Stage, alice: httpx.AsyncClient) -> None:
    alice.headers["User-Agent"] = "Firefox/140"
    monitor = await make(alice)
    spec = {"name": "Shop", "type": "http", "target": "https://new.example/", "timeout_seconds": 5}
    sent(await alice.put(f"/v1/monitors/{monitor['id']}", json=spec))
    text = await seen(alice)
    assert entries(text) == [2, 1]
    (first, second) = text.split('<tr id="entry-')[1:3]
    shown = words(first)
    assert "monitor.updated Shop" in shown
    assert "alice@acme.example" in shown
    assert "192.0.2.10 Firefox/140" in shown
    assert "target was https://shop.example/ → is now https://new.example/" in shown
    assert "timeout_seconds was 10 → is now 5" in shown
    assert "version" not in shown
    # Of what was made, its fields; most of them fold out.
    assert "name is now Shop" in words(second)
    assert re.search(r"and \d+ more fields", words(second))
    assert f"{PAGE}?resource_id={monitor['id']}" in first
    assert f"{PAGE}?user_id={house.cast.alice.id}" in first


async def test_nothing_on_it_is_run(house: Stage, alice: httpx.AsyncClient) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    await enter(
        house, label=evil, user_agent=evil, ip=evil, action=evil, before={evil: evil}, after={"name": evil, evil: "x"}
    )  # fmt: skip
    text = await seen(alice)
    assert "<script>alert" not in text
    assert "<img" not in text
    assert text.count("&lt;script&gt;alert(1)") >= 5
    assert "<img" not in await seen(alice, q=evil, actor=evil)


async def test_filters_and_pages(house: Stage, alice: httpx.AsyncClient) -> None:
    for number in range(60):
        await enter(house, at=START + number * 1000, ip=f"192.0.2.{number % 2}")
    await enter(house, at=START + DAY, action="key.rotated", kind="cli", label="key rotate")
    text = await seen(alice)
    assert entries(text) == list(range(61, 11, -1))
    assert "1 to 50 of 61 entries" in words(text)
    assert entries(await seen(alice, page=2)) == list(range(11, 0, -1))
    text = await seen(alice, action="key.rotated")
    assert entries(text) == [61]
    assert "<option selected>key.rotated</option>" in text
    assert "key rotate cli key.rotated" in words(text)
    assert "this machine" in words(text)
    assert entries(await seen(alice, actor="KEY")) == [61]
    assert entries(await seen(alice, ip="192.0.2.1"))[:2] == [60, 58]
    day, following = rfc3339(START)[:10], rfc3339(START + DAY)[:10]
    assert len(entries(await seen(alice, **{"from": day, "to": day}))) == 50
    assert entries(await seen(alice, **{"from": following})) == [61]
    # The next page keeps the filter.
    text = await seen(alice, ip="192.0.2.1", q="shop")
    assert entries(text) == list(range(60, 0, -2))
    text = html.unescape(await seen(alice, to=day))
    assert f"{PAGE}?to={day}&page=2" in text
    # What is no day, no page and no filter of ours is left out.
    text = await seen(alice, **{"from": "soon", "page": "x", "who": "z"})
    assert len(entries(text)) == 50
    assert 'name="from" value=""' in text
    text = await seen(alice, q="Zaphod")
    assert "No entry fits" in text
    assert 'value="Zaphod"' in text
    assert "Only things of the type" not in text
    text = await seen(alice, resource_type="monitor", user_id="01")
    assert "Only things of the type monitor, and what was done by the person 01." in words(text)


async def test_an_empty_log_says_what_comes(house: Stage, charlie: httpx.AsyncClient) -> None:
    text = await seen(charlie)
    assert "Nothing was done yet" in text
    assert "netpulse doctor" in text
    assert "Export" not in text


async def test_viewers_get_neither_the_page_nor_a_link_to_it(
    house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    for answer in (await bob.get(PAGE), await bob.post(f"{PAGE}/export", data={"format": "csv"})):
        assert answer.status_code == 403
        assert "Your role here is viewer; this needs admin." in answer.text
    assert PAGE not in (await bob.get("/monitors")).text
    assert f'<a href="{PAGE}" aria-current="page">Audit log</a>' in await seen(alice)
    assert await house.actions(house.cast.acme.id) == []


async def test_the_exports_are_of_what_is_shown(house: Stage, alice: httpx.AsyncClient) -> None:
    for number in range(3):
        await enter(house, at=START + number * DAY, action=f"monitor.{number}")
    text = await seen(alice, q="monitor", **{"from": rfc3339(START + DAY)[:10]})
    form = text[text.index(f'action="{PAGE}/export"') :].partition("</form>")[0]
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))
    assert fields == {
        "q": "monitor",
        "from": rfc3339(START + DAY)[:10],
        "np_org": house.cast.acme.id,
    }
    answer = await alice.post(f"{PAGE}/export", data={**fields, "format": "csv"})
    assert answer.status_code == 200
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["action"] for row in rows] == ["monitor.1", "monitor.2"]
    answer = await alice.post(f"{PAGE}/export", data={**fields, "format": "jsonl"})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["action"] for row in lines] == ["monitor.1", "monitor.2"]
    assert await house.actions(house.cast.acme.id) == [
        "monitor.0",
        "monitor.1",
        "monitor.2",
        "audit.exported",
        "audit.exported",
    ]
    # Only a form of our own may have it made.
    foreign = {"Sec-Fetch-Site": "cross-site", "Cookie": "x=y"}
    answer = await alice.post(f"{PAGE}/export", data={"format": "csv"}, headers=foreign)
    assert answer.status_code == 403


@pytest.mark.parametrize("log", ["", "instance"])
async def test_the_log_of_the_instance(house: Stage, alice: httpx.AsyncClient, log: str) -> None:
    await enter(house, log=audit.INSTANCE, action="key.rotated", resource=("key", None))
    await enter(house, action="monitor.paused")
    assert "The instance" not in await seen(alice, log="instance")
    assert "monitor.paused" in await seen(alice, log="instance"), "an admin has their own alone"
    answer = await alice.post(f"{PAGE}/export", data={"format": "csv", "log": "instance"})
    assert answer.status_code == 403

    def promote(conn: Conn) -> None:
        conn.execute(
            "UPDATE memberships SET role = ? WHERE user_id = ?",
            (Role.SUPER_ADMIN.word, house.cast.alice.id),
        )

    await house.house.db.write(promote)
    text = await seen(alice, log=log)
    assert ("key.rotated" in text, "monitor.paused" in text) == (bool(log), not log)
    active = "The instance" if log else "This organization"
    assert re.search(f'aria-current="true">{active}<', text)
    answer = await alice.post(f"{PAGE}/export", data={"format": "csv", "log": log})
    assert ("key.rotated" in answer.text) is bool(log)
