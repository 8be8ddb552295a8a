"""Pings through the whole application: our own addresses and those of other products."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpulse.rules import push
from netpulse.storage import pushes
from netpulse.web.pings import LONGEST_RUN_MS, _go_duration, _milliseconds, gatus_key
from tests.conftest import Opener, Stage

PUSH = {"type": "push", "name": "Nightly backup", "interval_seconds": 3600, "grace_seconds": 300}


async def made(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/monitors", json=PUSH | fields)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


async def checks(
    house: Stage, client: httpx.AsyncClient, monitor: dict[str, Any]
) -> list[dict[str, Any]]:
    await house.house.raw.flush()
    answer = await client.get(f"/v1/monitors/{monitor['id']}/checks")
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def state(client: httpx.AsyncClient, monitor: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/v1/monitors/{monitor['id']}")).json()["data"]
    return found


def tick(house: Stage, seconds: float = 1.0) -> None:
    house.house.clock.advance(seconds)  # type: ignore[attr-defined]


async def test_a_push_monitor_says_where_to_ping(
    house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    monitor = await made(alice)
    assert monitor["ping_url"].startswith("/ping/")
    assert len(monitor["ping_url"]) == len("/ping/") + 32
    assert monitor["confirmations"] == 1
    assert (monitor["cron"], monitor["timezone"], monitor["grace_seconds"]) == (None, "UTC", 300)
    assert (await state(alice, monitor))["ping_url"] == monitor["ping_url"], "it can be shown again"
    seen = await state(bob, monitor)
    assert seen["ping_url"] is None
    other = await made(alice)
    assert other["ping_url"] != monitor["ping_url"]
    http = {"type": "http", "name": "x", "target": "https://x.example/"}
    assert "ping_url" not in (await alice.post("/v1/monitors", json=http)).json()["data"]


async def test_the_token_is_in_no_file_and_in_no_audit_row(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    token = (await made(alice))["ping_url"].removeprefix("/ping/")
    assert token not in str(await house.payloads(house.cast.acme.id))
    for file in house.data.rglob("netpulse.db*"):
        assert token.encode() not in file.read_bytes()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_a_ping_is_a_check(house: Stage, alice: httpx.AsyncClient, method: str) -> None:
    monitor = await made(alice)
    answer = await house.client().request(method, monitor["ping_url"])
    assert answer.status_code == 200
    assert answer.text == ("" if method == "HEAD" else "OK")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "set-cookie" not in answer.headers
    seen = await state(alice, monitor)
    assert seen["status"] == "up"
    assert seen["last_check"]["status"] == "up"
    assert seen["last_check"]["response_time_ms"] is None
    assert len(await checks(house, alice, monitor)) == 1


async def test_start_and_end_give_the_run_time(house: Stage, alice: httpx.AsyncClient) -> None:
    monitor = await made(alice)
    client = house.client()
    assert (await client.get(monitor["ping_url"] + "/start")).text == "OK"
    assert (await state(alice, monitor))["status"] == "pending", "a start is no verdict"
    tick(house, 42.5)
    await client.get(monitor["ping_url"])
    last = (await state(alice, monitor))["last_check"]
    assert last["response_time_ms"] == 42_500
    tick(house)
    await client.get(monitor["ping_url"])
    assert (await state(alice, monitor))["last_check"]["response_time_ms"] is None


async def test_failures_and_exit_statuses(house: Stage, alice: httpx.AsyncClient) -> None:
    monitor = await made(alice)
    client = house.client()
    url = monitor["ping_url"]
    await client.post(url + "/fail", content=b"disk\nfull \xff\x00")
    seen = await state(alice, monitor)
    assert seen["status"] == "down"
    assert seen["last_check"]["failure"] == "status"
    assert seen["last_check"]["failure_detail"] == "fail"
    assert seen["last_check"]["error_message"] == "the job says that it failed: disk full \ufffd"
    incidents = (await alice.get("/v1/incidents")).json()["data"]
    assert [one["status"] for one in incidents] == ["investigating"]
    tick(house)
    await client.get(url + "/0")
    assert (await state(alice, monitor))["status"] == "up"
    tick(house)
    await client.post(url + "/137", content=b"killed")
    seen = (await state(alice, monitor))["last_check"]
    assert (seen["failure"], seen["failure_detail"]) == ("status", "exit_status")
    assert seen["error_message"] == "the job ended with exit status 137: killed"
    assert [one["status"] for one in await checks(house, alice, monitor)] == ["down", "up", "down"]


async def test_a_log_is_kept_and_counts_for_nothing(house: Stage, alice: httpx.AsyncClient) -> None:
    monitor = await made(alice)
    client = house.client()
    await client.post(monitor["ping_url"] + "/log", content=b"step 1\nstep 2")
    assert (await state(alice, monitor))["status"] == "pending"
    (row,) = await checks(house, alice, monitor)
    assert (row["counted"], row["failure_detail"], row["error_message"]) == (
        False,
        "log",
        "step 1\nstep 2",
    )
    page = await alice.get(f"/monitors/{monitor['id']}?part=checks")
    assert "step 1" in page.text


async def test_long_bodies(house: Stage, alice: httpx.AsyncClient) -> None:
    monitor = await made(alice)
    client = house.client()
    assert (
        await client.post(monitor["ping_url"] + "/fail", content=b"x" * 65_536)
    ).status_code == 200
    last = (await state(alice, monitor))["last_check"]
    assert len(last["error_message"]) == 4096 + len("the job says that it failed: ")
    answer = await client.post(monitor["ping_url"], content=b"x" * 65_537)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "path",
    [
        "/ping/nobody",
        "/ping/019b0000-0000-7000-8000-00000000dead",
        "/ping/" + "x" * 500,
        "/ping/%00",
        "/ping/nobody/start",
        "{url}/256",
        "{url}/-1",
        "{url}/stop",
        "{url}/fail/now",
        "{url}x",
    ],
)
async def test_what_nobody_knows_is_an_address_that_does_not_exist(
    house: Stage, alice: httpx.AsyncClient, path: str
) -> None:
    monitor = await made(alice)
    client = house.client()
    nowhere = await client.get("/ping/nowhere/at/all")
    for method in ("GET", "POST"):
        answer = await client.request(method, path.format(url=monitor["ping_url"]))
        assert (answer.status_code, answer.content) == (404, nowhere.content)
    assert (await state(alice, monitor))["status"] == "pending"


async def test_a_deleted_monitors_token_leads_nowhere(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    monitor = await made(alice)
    await alice.delete(f"/v1/monitors/{monitor['id']}")
    assert (await house.client().get(monitor["ping_url"])).status_code == 404
    assert await house.house.db.read(pushes.beats) == {}


async def test_another_organization_can_ping_what_it_knows_and_see_nothing(
    house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
) -> None:
    """The token is the right; whose session comes along changes nothing."""
    monitor = await made(alice)
    assert (await charlie.get(f"/v1/monitors/{monitor['id']}")).status_code == 404
    assert (await charlie.get(monitor["ping_url"])).text == "OK"
    assert (await charlie.get("/ping/guess")).content == (
        await house.client().get("/ping/guess")
    ).content


async def test_pings_from_a_page_of_another_site_are_pings(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    monitor = await made(alice)
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert (await house.client().post(monitor["ping_url"], headers=foreign)).status_code == 200
    assert (await house.client().post("/login", headers=foreign)).status_code == 403


async def test_a_paused_monitor_ignores_pings(house: Stage, alice: httpx.AsyncClient) -> None:
    monitor = await made(alice)
    await alice.post(f"/v1/monitors/{monitor['id']}/pause")
    assert (await house.client().get(monitor["ping_url"] + "/fail")).text == "OK"
    assert await checks(house, alice, monitor) == []
    assert (await alice.post(f"/v1/monitors/{monitor['id']}/resume")).json()["data"]["ping_url"]
    await house.client().get(monitor["ping_url"])
    assert (await state(alice, monitor))["status"] == "up"


async def test_too_many(house: Stage, alice: httpx.AsyncClient) -> None:
    monitor = await made(alice)
    other = await made(alice)
    client = house.client()
    for _ in range(120):
        assert (await client.get(monitor["ping_url"] + "/log")).status_code == 200
    answer = await client.get(monitor["ping_url"])
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 65
    assert (await client.get(other["ping_url"])).status_code == 200, "others are not held up"
    codes = [(await client.get(f"/ping/guess{number}")).status_code for number in range(61)]
    assert codes == [404] * 60 + [429]
    assert (await client.get(other["ping_url"])).status_code == 200, "nor by a stranger beside them"


async def test_another_type_and_back(house: Stage, alice: httpx.AsyncClient) -> None:
    monitor = await made(alice)
    path = f"/v1/monitors/{monitor['id']}"
    kept = (
        await alice.put(path, json=PUSH | {"cron": "0 2 * * *", "timezone": "Europe/Berlin"})
    ).json()["data"]
    assert kept["ping_url"] == monitor["ping_url"], "a change keeps the address"
    http = {"type": "tcp", "name": "x", "target": "127.0.0.1:1"}
    assert "ping_url" not in (await alice.put(path, json=http)).json()["data"]
    assert (await house.client().get(monitor["ping_url"])).status_code == 404
    again = (await alice.put(path, json=PUSH)).json()["data"]
    assert again["ping_url"] not in {None, monitor["ping_url"]}


async def test_there_is_nothing_to_check(house: Stage, alice: httpx.AsyncClient) -> None:
    monitor = await made(alice)
    answer = await alice.post(f"/v1/monitors/{monitor['id']}/check")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "NOTHING_TO_CHECK")
    assert (await alice.post("/v1/monitors/test", json=PUSH)).status_code == 409


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"interval_seconds": 9}, "$.interval_seconds"),
        ({"interval_seconds": 31_536_001}, "$.interval_seconds"),
        ({"cron": "nonsense"}, "$.cron"),
        ({"timezone": "Mars/Olympus"}, "$.timezone"),
        ({"grace_seconds": -1}, "$.grace_seconds"),
        ({"ping_token": "mine"}, "$.ping_token"),
    ],
)
async def test_mistakes(alice: httpx.AsyncClient, fields: dict[str, Any], path: str) -> None:
    answer = await alice.post("/v1/monitors", json=PUSH | fields)
    assert answer.status_code == 400
    assert [one["path"] for one in answer.json()["error"]["details"]["errors"]] == [path]


async def test_a_year_is_a_fine_interval(alice: httpx.AsyncClient) -> None:
    assert (await made(alice, interval_seconds=31_536_000))["interval_seconds"] == 31_536_000


class TestOthers:
    async def test_uptime_kuma(self, house: Stage, alice: httpx.AsyncClient) -> None:
        monitor = await made(alice)
        url = monitor["ping_url"].replace("/ping/", "/api/push/")
        client = house.client()
        answer = await client.get(url, params={"status": "up", "msg": "OK", "ping": "17.3"})
        assert (answer.status_code, answer.json()) == (200, {"ok": True})
        assert (await state(alice, monitor))["last_check"]["response_time_ms"] == 17
        tick(house)
        assert (await client.get(url + "?status=down&msg=no+route&ping=")).json() == {"ok": True}
        seen = await state(alice, monitor)
        assert seen["status"] == "down"
        assert seen["last_check"]["error_message"] == "the job says that it failed: no route"
        tick(house)
        assert (await client.post(url)).json() == {"ok": True}
        assert (await state(alice, monitor))["status"] == "up"
        for ping in ("nan", "-1", "1e400", "x"):
            tick(house)
            assert (await client.get(url, params={"ping": ping})).status_code == 200
            assert (await state(alice, monitor))["last_check"]["response_time_ms"] is None
        answer = await client.get("/api/push/nobody?status=up")
        assert (answer.status_code, answer.json()["ok"]) == (404, False)

    async def test_gatus(self, house: Stage, alice: httpx.AsyncClient) -> None:
        monitor = await made(alice, name="Nightly backup", group="Core/DB")
        token = monitor["ping_url"].removeprefix("/ping/")
        client = house.client(headers={"Authorization": f"Bearer {token}"})
        url = "/api/v1/endpoints/core-db_nightly-backup/external"
        answer = await client.post(url, params={"success": "true", "duration": "1m2.5s"})
        assert answer.status_code == 200
        assert (await state(alice, monitor))["last_check"]["response_time_ms"] == 62_500
        tick(house)
        await client.post(url, params={"success": "false", "error": "tape is full"})
        seen = await state(alice, monitor)
        assert (seen["status"], seen["last_check"]["error_message"]) == (
            "down",
            "the job says that it failed: tape is full",
        )
        for params in ({}, {"success": "perhaps"}, {"success": "true", "duration": "soon"}):
            assert (await client.post(url, params=params)).status_code == 400
        ok = {"success": "true"}
        assert (
            await client.post("/api/v1/endpoints/core_other/external", params=ok)
        ).status_code == 404
        stranger = house.client()
        assert (await stranger.post(url, params=ok)).status_code == 401
        wrong = {"Authorization": "Bearer nobody"}
        assert (await stranger.post(url, params=ok, headers=wrong)).status_code == 404
        assert (await client.get(url)).status_code == 405

    async def test_healthchecks(self, house: Stage, alice: httpx.AsyncClient) -> None:
        """A token that came from there, as an importer will set it."""
        monitor = await made(alice)
        uuid = "5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278"

        def move(conn: Any) -> None:
            conn.execute(
                "UPDATE pushes SET digest = ? WHERE monitor_id = ?",
                (conn.vault.digest(uuid), monitor["id"]),
            )

        await house.house.db.write(move)
        client = house.client()
        for path in (
            f"/ping/{uuid}/start",
            f"/ping/{uuid}",
            f"/ping/{uuid.upper()}",
            f"/ping/{uuid}/0",
        ):
            tick(house)
            assert (await client.get(path)).text == "OK"
        assert (
            await client.get(f"/ping/{uuid}?rid=123e4567-e89b-12d3-a456-426614174000")
        ).text == "OK"
        assert (await state(alice, monitor))["status"] == "up"


def test_what_gatus_makes_of_names() -> None:
    assert gatus_key("Core", "My API, v2.0 #1") == "core_my-api--v2-0--1"
    assert gatus_key("", "a_b") == "_a-b"


@pytest.mark.parametrize(
    ("text", "took"),
    [
        ("250ms", 250),
        ("1m30s", 90_000),
        ("1.5s", 1500),
        ("2h", 7_200_000),
        ("10", None),
        ("", None),
        ("1s1", None),
        ("9" * 40 + "h", None),
    ],
)
def test_go_durations(text: str, took: float | None) -> None:
    assert _go_duration(text) == took


class TestPages:
    async def test_the_page_shows_how_to_ping(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        monitor = await made(alice)
        page = (await alice.get(f"/monitors/{monitor['id']}")).text
        assert f"http://netpulse.example{monitor['ping_url']}" in page
        assert 'data-copy="ping-url"' in page
        assert "Check now" not in page
        page = (await bob.get(f"/monitors/{monitor['id']}")).text
        assert monitor["ping_url"] not in page
        assert "An administrator sees the address" in page

    async def test_the_form(self, house: Stage, alice: httpx.AsyncClient) -> None:
        form = {
            "type": "push",
            "name": "Nightly",
            "push_target": "db1",
            "push_interval_seconds": "86400",
            "cron": "30 2 * * *",
            "timezone": "Europe/Berlin",
            "grace_seconds": "600",
            "push_confirmations": "1",
            "recoveries": "1",
        }
        answer = await alice.post("/monitors/new", data=form)
        assert answer.status_code == 303, answer.text
        page = (await alice.get(answer.headers["location"].partition("?")[0] + "/edit")).text
        for text in ("30 2 * * *", "Europe/Berlin", 'value="600"', 'value="db1"'):
            assert text in page
        answer = await alice.post("/monitors/new", data=form | {"cron": "x"})
        assert answer.status_code == 400
        assert "Crontab: a crontab has five fields" in answer.text

    async def test_the_form_of_a_certificate(self, alice: httpx.AsyncClient) -> None:
        form = {
            "type": "ssl",
            "name": "Shop",
            "target": "shop.example:8443",
            "interval_seconds": "3600",
            "timeout_seconds": "10",
            "confirmations": "2",
            "recoveries": "1",
            "ssl_days": "30",
            "server_name": "www.shop.example",
            "is_paused": "true",
        }
        answer = await alice.post("/monitors/new", data=form)
        assert answer.status_code == 303, answer.text
        where = answer.headers["location"].partition("?")[0]
        shown = (await alice.get(f"/v1{where}")).json()["data"]
        assert (shown["target"], shown["port"], shown["check_chain"]) == (
            "shop.example",
            8443,
            False,
        )
        assert (shown["alert_days_before_expiry"], shown["server_name"]) == (30, "www.shop.example")
        page = (await alice.get(where + "/edit")).text
        assert 'value="8443"' in page
        assert "not verified" in (await alice.get(where)).text


async def test_a_ping_right_after_the_making(open_stage: Opener) -> None:
    """The engine takes a new monitor over in its own time; its first ping waits for that."""
    house = await open_stage(start=False)
    alice = house.client(headers=house.cast.alice.headers)
    for _ in range(5):
        monitor = await made(alice)
        assert (await house.client().get(monitor["ping_url"])).text == "OK"
        assert (await state(alice, monitor))["status"] == "up"


@given(st.text(max_size=200))
def test_foreign_words_break_nothing(text: str) -> None:
    took = _go_duration(text)
    assert took is None or took >= 0
    found = _milliseconds(text)
    assert found is None or 0 <= found <= LONGEST_RUN_MS
    assert len(push.shortened(text * 30).encode()) <= push.LONGEST_TEXT
    assert "\x00" not in push.shortened(text)
    assert gatus_key(text, text).count("_") == 1
