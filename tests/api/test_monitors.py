"""Monitors: the five verbs and the rest, with their exact audit rows."""

from __future__ import annotations

import asyncio
import time
from typing import Any, ClassVar, get_args

import httpx
import pytest
from msgspec.structs import replace

from netpulse.engine.clock import Clock
from netpulse.model.check import Check, Failure, Result, Timings
from netpulse.model.edge import Edge
from netpulse.model.ids import check_id, is_id
from netpulse.model.monitor import TYPES
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, rfc3339
from netpulse.model.watch import Flip, Status, Watch
from netpulse.storage import edges, monitors, rollups
from netpulse.storage.rollups import Rollup
from netpulse.web.api.monitors import Sort
from tests.clock import START, FakeClock
from tests.conftest import Opener, Stage
from tests.servers import HttpServer, answer
from tests.store import add_monitor

SPEC = {"name": "Shop", "type": "http", "target": "https://shop.example/"}


def sent(response: httpx.Response, status: int = 200) -> Any:
    """Return `data` of an answer that must have this status."""
    assert response.status_code == status, response.text
    return response.json()["data"]


def errors(response: httpx.Response) -> list[tuple[str, str]]:
    """Return (path, message) of every problem of a 400."""
    assert response.status_code == 400, response.text
    body = response.json()["error"]
    assert body["code"] == "VALIDATION_FAILED"
    return [(error["path"], error["message"]) for error in body["details"]["errors"]]


async def make(client: httpx.AsyncClient, **changes: Any) -> Any:
    return sent(await client.post("/v1/monitors", json={**SPEC, **changes}), 201)


class TestVerbs:
    async def test_create_read_list(self, house: Stage, alice: httpx.AsyncClient) -> None:
        response = await alice.post("/v1/monitors", json={**SPEC, "tags": ["a", "b"]})
        made = sent(response, 201)
        assert response.headers["location"] == f"/v1/monitors/{made['id']}"
        assert response.headers["etag"] == '"1"'
        assert is_id(made["id"])
        assert made == {
            "type": "http",
            "name": "Shop",
            "target": "https://shop.example/",
            "description": "",
            "runbook_url": "",
            "group": "",
            "tags": ["a", "b"],
            "interval_seconds": 60,
            "timeout_seconds": 10,
            "confirmations": 2,
            "recoveries": 1,
            "retry_interval_seconds": None,
            "degraded_after_ms": None,
            "parent_id": None,
            "invert": False,
            "is_paused": False,
            "method": "GET",
            "headers": {},
            "headers_set": {},
            "body": None,
            "expected_status": "200-299",
            "body_match": None,
            "body_not_match": None,
            "body_regex": None,
            "json_path": None,
            "follow_redirects": True,
            "max_redirects": 10,
            "verify_tls": True,
            "ca_certificate": None,
            "client_certificate": None,
            "client_key": None,
            "client_key_set": False,
            "auth": None,
            "ip_version": None,
            "alert_days_before_expiry": None,
            "id": made["id"],
            "org_id": house.cast.acme.id,
            "status": "pending",
            "status_since": rfc3339(START),
            "last_check": None,
            "created_by": house.cast.alice.id,
            "created_at": rfc3339(START),
            "version": 1,
            "problem": None,
        }
        assert sent(await alice.get(f"/v1/monitors/{made['id']}")) == made
        listed = (await alice.get("/v1/monitors")).json()
        assert listed["data"] == [made]
        assert listed["meta"] == {"page": 1, "limit": 20, "total": 1}
        assert await house.audit(house.cast.acme.id) == [
            ("monitor.created", house.cast.alice.id, "alice@acme.example")
        ]
        assert await house.outbox() == []
        assert house.house.engine.roster.get(made["id"]) is not None

    async def test_what_an_answer_has_can_be_sent_back(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await make(alice, auth={"type": "basic", "username": "u", "password": "pw"})
        again = sent(await alice.put(f"/v1/monitors/{made['id']}", json=made))
        assert again == {**made, "version": 2}
        stored = await house.house.db.read(monitors.get, house.cast.acme.id, made["id"])
        assert stored is not None
        assert stored.spec.auth.password == "pw"  # type: ignore[union-attr]
        assert await house.actions(house.cast.acme.id) == ["monitor.created", "monitor.updated"]

    async def test_put_is_the_whole_spec(self, alice: httpx.AsyncClient) -> None:
        made = await make(alice, description="words", interval_seconds=30)
        url = f"/v1/monitors/{made['id']}"
        now = sent(await alice.put(url, json={**SPEC, "name": "Store"}))
        assert (now["name"], now["description"], now["interval_seconds"]) == ("Store", "", 60)
        assert (now["version"], now["created_at"]) == (2, made["created_at"])
        tcp = sent(
            await alice.put(url, json={"name": "x", "type": "tcp", "target": "db.example:5432"})
        )
        assert (tcp["type"], "method" in tcp) == ("tcp", False)

    async def test_versions(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await make(alice)
        url = f"/v1/monitors/{made['id']}"
        ok = await alice.put(url, json=SPEC, headers={"If-Match": '"1"'})
        assert (ok.status_code, ok.headers["etag"]) == (200, '"2"')
        for tag in (
            *('"1"', '"99"', 'W/"2"', "2", '"x"', '"2", "3"', '""', '"-2"', '"²"', '"٢"'),
            *(f'"{2**63}"', '"' + "9" * 5_000 + '"', '"' + "0" * 5_000 + '2"'),
        ):
            sent_tag = {"If-Match": tag.encode()}
            late = await alice.put(url, json=SPEC, headers=sent_tag)
            assert (late.status_code, late.json()["error"]["code"]) == (412, "VERSION_CONFLICT")
            late = await alice.delete(url, headers=sent_tag)
            assert late.status_code == 412
        assert (await alice.put(url, json=SPEC, headers={"If-Match": "*"})).status_code == 200
        actions = await house.actions(house.cast.acme.id)
        assert actions == ["monitor.created", "monitor.updated", "monitor.updated"]

    async def test_delete(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await make(alice)
        hook = {"name": "Hook", "type": "webhook", "config": {"url": "https://h.example/"}}
        channel = sent(await alice.post("/v1/alert-channels", json=hook), 201)
        rule = {"channel_id": channel["id"], "monitor_id": made["id"]}
        sent(await alice.post("/v1/alert-rules", json=rule), 201)
        url = f"/v1/monitors/{made['id']}"
        response = await alice.delete(url)
        assert (response.status_code, response.json()) == (200, {"data": None, "success": True})
        for method in ("GET", "PUT", "DELETE"):
            gone = await alice.request(method, url, json=SPEC)
            assert (gone.status_code, gone.json()["error"]["code"]) == (404, "MONITOR_NOT_FOUND")
        assert (await alice.get("/v1/monitors")).json()["meta"]["total"] == 0
        assert (await alice.get("/v1/alert-rules")).json()["meta"]["total"] == 0
        assert await house.actions(house.cast.acme.id) == [
            "monitor.created",
            "alert_channel.created",
            "alert_rule.created",
            "alert_rule.deleted",
            "monitor.deleted",
        ]
        await house.house.engine.settled()
        assert house.house.engine.roster.get(made["id"]) is None

    async def test_filters_sort_and_pages(self, house: Stage, alice: httpx.AsyncClient) -> None:
        for number in range(25):
            kind = {"type": "tcp", "target": f"db{number}.example:1"} if number % 5 == 0 else SPEC
            extra = {"tags": ["even"] if number % 2 == 0 else [], "group": f"g{number % 3}"}
            await make(alice, **{**kind, "name": f"m{number:02}"}, **extra)

        async def names(**params: Any) -> tuple[list[str], int]:
            body = (await alice.get("/v1/monitors", params=params)).json()
            return [row["name"] for row in body["data"]], body["meta"]["total"]

        assert (await names())[1] == 25
        assert len((await names())[0]) == 20
        assert (await names(page=2))[0] == [f"m{number}" for number in range(20, 25)]
        assert await names(page=9) == ([], 25)
        assert (await names(limit=2, sort="-name"))[0] == ["m24", "m23"]
        assert (await names(type="tcp"))[1] == 5
        assert (await names(tag="even"))[1] == 13
        assert (await names(group="g1"))[1] == 8
        assert (await names(q="DB1"))[0] == ["m10", "m15"]
        assert (await names(q="%"))[1] == 0
        assert (await names(status="pending"))[1] == 25
        assert (await names(status="down"))[1] == 0
        assert (await names(tag="even", type="tcp"))[0] == ["m00", "m10", "m20"]

    async def test_queries_that_make_no_sense(self, alice: httpx.AsyncClient) -> None:
        response = await alice.get(
            "/v1/monitors?page=0&limit=101&status=broken&sort=owner&colour=red&type=a&type=b"
        )
        assert errors(response) == [
            ("?page", "must be at least 1"),
            ("?limit", "must be at most 100"),
            (
                "?status",
                "'broken' is none of pending, up, degraded, down, maintenance, paused, unknown",
            ),
            ("?sort", f"'owner' is none of {', '.join(get_args(Sort))}"),
            ("?colour", "there is no such parameter here"),
            ("?type", "this parameter is given twice"),
        ]


class TestValidation:
    async def test_every_problem_of_types_at_once(self, alice: httpx.AsyncClient) -> None:
        response = await alice.post(
            "/v1/monitors",
            json={
                "type": "http",
                "name": "",
                "interval_seconds": 5,
                "timeout_seconds": "ten",
                "tags": ["ok", 7],
                "colour": "red",
                "auth": {"type": "basic", "username": "u", "pasword": "x"},
            },
        )
        assert errors(response) == [
            ("$.colour", "there is no such field here"),
            ("$.name", "must not be empty"),
            ("$.target", "this field is required"),
            ("$.tags[1]", "must be text, not a whole number"),
            ("$.interval_seconds", "must be at least 10"),
            ("$.timeout_seconds", "must be a whole number, not text"),
            ("$.auth.pasword", "there is no such field here"),
        ]

    async def test_every_problem_of_meaning_at_once(self, alice: httpx.AsyncClient) -> None:
        response = await alice.post(
            "/v1/monitors",
            json={
                **SPEC,
                "target": "https://shop.example:0/",
                "interval_seconds": 10,
                "timeout_seconds": 30,
                "body_regex": "(",
                "expected_status": ["200", "9-1"],
            },
        )
        assert {path for path, _ in errors(response)} >= {
            "$.target",
            "$.timeout_seconds",
            "$.body_regex",
            "$.expected_status[1]",
        }

    async def test_types(self, alice: httpx.AsyncClient) -> None:
        response = await alice.post("/v1/monitors", json={"name": "x"})
        assert errors(response) == [
            ("$.type", "this field is required; the types are " + ", ".join(TYPES)),
            ("$.target", "this field is required"),
        ]
        for kind in ("gopher", 7, None, ["http"]):
            response = await alice.post("/v1/monitors", json={**SPEC, "type": kind})
            assert errors(response)[0][0] == "$.type"
        response = await alice.post(
            "/v1/monitors", json={"name": "x", "type": "tcp", "target": "a:1", "method": "GET"}
        )
        assert errors(response) == [("$.method", "there is no such field here")]

    @pytest.mark.parametrize(
        "target",
        [
            "http://exa mple/",
            "http://example.com\r\nX: y/",
            "http://①②⑦.⓪.⓪.①/",
            "http://[fe80::1%25eth0]/",
            "ftp://example.com/",
            "example.com",
            "http://",
        ],
    )
    async def test_targets(self, alice: httpx.AsyncClient, target: str) -> None:
        response = await alice.post("/v1/monitors", json={**SPEC, "target": target})
        assert errors(response)[0][0] == "$.target"

    async def test_nothing_is_stored(self, house: Stage, alice: httpx.AsyncClient) -> None:
        await alice.post("/v1/monitors", json={**SPEC, "timeout_seconds": 100})
        assert await house.actions(house.cast.acme.id) == []
        assert await house.house.db.read(monitors.count) == 0


class TestSecrets:
    HEADERS: ClassVar = {
        "Authorization": "Bearer s3cret-header",
        "X-Api-Key": "s3cret-key",
        "Accept": "a/b",
    }

    async def test_they_never_come_back(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        made = await make(
            alice,
            target="https://user:s3cret-url@shop.example/",
            headers={"X-Api-Key": "s3cret-key", "Accept": "a/b"},
            body="s3cret-body?",
            method="POST",
        )
        assert made["target"] == "https://shop.example/"
        assert made["auth"] == {
            "type": "basic",
            "username": "user",
            "password": None,
            "password_set": True,
        }
        assert made["headers"] == {"X-Api-Key": None, "Accept": "a/b"}
        assert made["headers_set"] == {"X-Api-Key": True}
        assert made["body"] == "s3cret-body?"
        seen = sent(await bob.get(f"/v1/monitors/{made['id']}"))
        assert (seen["body"], seen["body_set"]) == (None, True)
        listed = (await bob.get("/v1/monitors")).text
        assert "s3cret" not in listed
        assert "s3cret" not in str(await house.payloads(house.cast.acme.id)).replace(
            "s3cret-body?", ""
        )
        files = b"".join(path.read_bytes() for path in house.data.rglob("*") if path.is_file())
        for secret in (b"s3cret-url", b"s3cret-key"):
            assert secret not in files

    async def test_kept_cleared_changed(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await make(alice, headers=self.HEADERS)
        url = f"/v1/monitors/{made['id']}"

        async def stored() -> dict[str, Any]:
            monitor = await house.house.db.read(monitors.get, house.cast.acme.id, made["id"])
            assert monitor is not None
            return dict(monitor.spec.headers)  # type: ignore[union-attr]

        kept = {"Authorization": None, "X-Api-Key": None, "Accept": "c/d"}
        sent(await alice.put(url, json={**SPEC, "headers": kept}))
        assert await stored() == {**self.HEADERS, "Accept": "c/d"}
        sent(await alice.put(url, json={**SPEC, "headers": {**kept, "X-Api-Key": "new"}}))
        assert (await stored())["X-Api-Key"] == "new"
        sent(await alice.put(url, json={**SPEC, "headers": {**kept, "X-Api-Key": ""}}))
        assert "X-Api-Key" not in await stored()
        response = await alice.put(url, json={**SPEC, "headers": {"X-Token": None}})
        assert errors(response) == [("$.headers.X-Token", "has no value")]


async def fail(stage: Stage, monitor_id: str, at: int) -> None:
    """Write the edge that takes a monitor down at `at`, as the engine would."""
    found = await stage.house.db.read(monitors.load_one, monitor_id)
    assert found is not None
    monitor, watch = found
    check = Check(
        due_at=at,
        started_at=at,
        result=Result.DOWN,
        failure=Failure.REFUSED,
        message="connection refused",
    )
    flip = Flip(
        before=watch.status,
        after=Status.DOWN,
        at=at,
        decided_at=at,
        check=check,
        opens=True,
    )
    after = Watch(status=Status.DOWN, since=at, settled=Status.DOWN)
    outcome = await stage.house.db.write(
        edges.record, Edge(monitor=monitor, watch=after, flip=flip)
    )
    assert not outcome.dropped


class TestPause:
    async def test_pause_and_resume(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await make(alice)
        url = f"/v1/monitors/{made['id']}"
        paused = sent(await alice.post(f"{url}/pause"))
        assert (paused["is_paused"], paused["status"], paused["version"]) == (True, "paused", 2)
        again = await alice.post(f"{url}/pause")
        assert sent(again)["version"] == 2
        resumed = sent(await alice.post(f"{url}/resume"))
        assert (resumed["is_paused"], resumed["status"]) == (False, "pending")
        sent(await alice.post(f"{url}/resume"))
        assert await house.actions(house.cast.acme.id) == [
            "monitor.created",
            "monitor.paused",
            "monitor.resumed",
        ]

    async def test_by_put(self, alice: httpx.AsyncClient) -> None:
        made = await make(alice)
        url = f"/v1/monitors/{made['id']}"
        assert sent(await alice.put(url, json={**SPEC, "is_paused": True}))["status"] == "paused"
        assert sent(await alice.put(url, json=SPEC))["status"] == "pending"
        assert (await make(alice, is_paused=True))["status"] == "paused"

    async def test_a_down_monitors_incident_ends_and_nobody_is_told(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        hook = {"name": "Hook", "type": "webhook", "config": {"url": "https://h.example/"}}
        channel = sent(await alice.post("/v1/alert-channels", json=hook), 201)
        sent(await alice.post("/v1/alert-rules", json={"channel_id": channel["id"]}), 201)
        made = await make(alice)
        await fail(house, made["id"], START + MINUTE)
        assert await house.outbox() == [("monitor.down", "pending")]
        shown = sent(await alice.get(f"/v1/monitors/{made['id']}"))
        assert (shown["status"], shown["status_since"]) == ("down", rfc3339(START + MINUTE))
        clock = house.house.clock
        assert isinstance(clock, FakeClock)
        clock.advance(120)
        sent(await alice.post(f"/v1/monitors/{made['id']}/pause"))
        (incident,) = sent(await alice.get("/v1/incidents"))
        assert (incident["status"], incident["resolution"]) == ("resolved", "paused")
        assert incident["duration_seconds"] == 60
        # The problem was not sent yet; what is told of it is as the rules have it, and no recovery.
        assert [event for event, _ in await house.outbox()] == ["monitor.down"]


class TestChecks:
    async def filled(self, stage: Stage, client: httpx.AsyncClient, count: int) -> Any:
        made = await make(client)
        monitor = await stage.house.db.read(monitors.get, stage.cast.acme.id, made["id"])
        assert monitor is not None
        rows = [
            (
                monitor.key,
                Check(
                    due_at=START + number * MINUTE,
                    # Begun a little after its slot, as always.
                    started_at=START + number * MINUTE + 7,
                    result=Result.DOWN if number % 10 == 0 else Result.UP,
                    response_time_ms=None if number % 10 == 0 else 20,
                    failure=Failure.TIMEOUT if number % 10 == 0 else None,
                    detail="connect" if number % 10 == 0 else None,
                    message="no connection within 10 s" if number % 10 == 0 else None,
                    timings=Timings(dns_ms=1.5, connect_ms=10, total_ms=20),
                ),
            )
            for number in range(count)
        ]
        stage.house.raw.append(rows)
        await stage.house.raw.flush()
        clock = stage.house.clock
        assert isinstance(clock, FakeClock)
        clock.advance(count * 60)
        return made

    async def test_answer(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await self.filled(house, alice, 1)
        (row,) = sent(await self.signed(house).get(f"/v1/monitors/{made['id']}/checks"))
        assert row == {
            "id": check_id(made["id"], "local", START + 7),
            "monitor_id": made["id"],
            "status": "down",
            "response_time_ms": None,
            "status_code": None,
            "error_message": "no connection within 10 s",
            "failure": "timeout",
            "failure_detail": "connect",
            "checked_at": rfc3339(START + 7),
            "region": "local",
            "counted": True,
            "timings": {
                "dns_ms": 1.5,
                "connect_ms": 10.0,
                "tls_ms": None,
                "first_byte_ms": None,
                "total_ms": 20.0,
            },
        }

    def signed(self, house: Stage) -> httpx.AsyncClient:
        """Return Bob's client with a token that holds at the advanced clock."""
        from tests.cast import SIGNER

        now = house.house.clock.now()
        claims = SIGNER.read(house.cast.bob.token, START)
        assert claims is not None
        token = SIGNER.issue(claims.user_id, claims.family_id, now)
        return house.client(headers={"Authorization": f"Bearer {token}"})

    async def test_pages_and_cursors(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = await self.filled(house, alice, 95)
        bob = self.signed(house)
        url = f"/v1/monitors/{made['id']}/checks"
        body = (await bob.get(url)).json()
        assert body["meta"]["page"] == 1
        assert (body["meta"]["limit"], body["meta"]["total"]) == (20, 95)
        moments = [row["checked_at"] for row in body["data"]]
        assert moments == sorted(moments, reverse=True)
        assert moments[0] == rfc3339(START + 94 * MINUTE + 7)
        by_page, by_cursor = [], []
        for page in range(1, 7):
            rows = sent(await bob.get(url, params={"page": page}))
            by_page += [row["id"] for row in rows]
        cursor: dict[str, Any] = {}
        while True:
            body = (await bob.get(url, params={"limit": 20, **cursor})).json()
            by_cursor += [row["id"] for row in body["data"]]
            if body["meta"]["next_cursor"] is None:
                break
            cursor = {"cursor": body["meta"]["next_cursor"]}
        assert len(set(by_page)) == 95
        assert by_page == by_cursor
        downs = (await bob.get(url, params={"status": "down", "limit": 3})).json()
        assert [row["status"] for row in downs["data"]] == ["down"] * 3
        assert downs["meta"]["total"] == 10
        assert (await bob.get(url, params={"page": 100, "limit": 100})).status_code == 200
        assert errors(await bob.get(url, params={"page": 101, "limit": 100})) == [
            ("?page", "page reaches row 10,000; go on with cursor from there")
        ]

    async def test_from_and_to_look_at_when_it_began(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        made = await self.filled(house, alice, 30)
        bob = self.signed(house)
        url = f"/v1/monitors/{made['id']}/checks"
        every = sent(await bob.get(url, params={"limit": 100}))
        params = {"from": every[10]["checked_at"], "to": every[4]["checked_at"]}
        assert sent(await bob.get(url, params=params)) == every[5:11]
        found = (await bob.get(url, params={**params, "limit": 2})).json()
        assert found["data"] == every[5:7]
        rest = await bob.get(url, params={**params, "cursor": found["meta"]["next_cursor"]})
        assert sent(rest) == every[7:11]
        assert errors(await bob.get(url, params={"from": "yesterday", "cursor": "x"})) == [
            ("?from", "'yesterday' is not a time such as 2026-01-01T12:00:00Z"),
            ("?cursor", "this is no next_cursor of ours"),
        ]


class TestUptime:
    async def test_the_present_hour_counts_where_raw_results_are_kept_for_a_day(
        self, open_stage: Opener
    ) -> None:
        stage = await open_stage()
        config = stage.house.config
        stage.house.config = replace(config, retention=replace(config.retention, raw_days=1))
        alice = stage.client(headers=stage.cast.alice.headers)
        made = await make(alice)
        monitor = await stage.house.db.read(monitors.get, stage.cast.acme.id, made["id"])
        assert monitor is not None
        at = stage.house.clock.now()
        check = Check(due_at=at, started_at=at, result=Result.UP)
        stage.house.raw.append([(monitor.key, check)])
        assert isinstance(stage.house.clock, FakeClock)
        stage.house.clock.advance(5)
        url = f"/v1/monitors/{made['id']}/uptime"
        found = sent(await alice.get(url, params={"period": "24h"}))
        assert (found["checks"], found["uptime_percent"]) == (1, 100.0)

    async def test_whole_days_come_from_their_sums_and_the_rest_from_the_checks(
        self, open_stage: Opener
    ) -> None:
        stage = await open_stage()
        db, now = stage.house.db, stage.house.clock.now()
        today = now - now % DAY
        first, second = today - 2 * DAY, today - DAY
        born = first - HOUR
        monitor = await db.write(add_monitor, stage.cast.acme.id, None, born)
        # A check on the day of birth, one on a day that nobody has summed up, one today.
        stage.house.raw.append(
            [
                (monitor.key, Check(due_at=at, started_at=at, result=Result.UP))
                for at in (born + SECOND, second + HOUR, now - SECOND)
            ]
        )
        hour = Rollup(
            key=monitor.key, from_ms=first, checks=60, ups=54, degraded=0, downs=6, inconclusive=0
        )
        await db.write(rollups.put_hour, [hour, replace(hour, from_ms=first + 23 * HOUR)])
        await db.write(rollups.fold_days, first, [monitor.key])
        alice = stage.client(headers=stage.cast.alice.headers)
        url = f"/v1/monitors/{monitor.id}/uptime"
        for period in ("7d", "90d"):
            found = sent(await alice.get(url, params={"period": period}))
            assert (found["checks"], found["uptime_percent"]) == (3 + 120, 90.2439)
        # A part of a summed day is counted check by check, of which there are none here.
        part = {"from": rfc3339(first + HOUR), "to": rfc3339(today)}
        found = sent(await alice.get(url, params=part))
        assert (found["checks"], found["uptime_percent"]) == (1, 100.0)

    async def test_the_parts_are_the_period(self, open_stage: Opener) -> None:
        stage = await open_stage()
        clock = stage.house.clock
        assert isinstance(clock, FakeClock)
        alice = stage.client(headers=stage.cast.alice.headers)
        made = await make(alice)
        monitor = await stage.house.db.read(monitors.get, stage.cast.acme.id, made["id"])
        assert monitor is not None
        start = monitor.created_at
        up = Check(due_at=start + SECOND, started_at=start + SECOND, result=Result.UP)
        flip = Flip(
            before=Status.PENDING,
            after=Status.UP,
            at=start + SECOND,
            decided_at=start + SECOND,
            check=up,
        )
        watch = Watch(status=Status.UP, since=start + SECOND, settled=Status.UP)
        await stage.house.db.write(edges.record, Edge(monitor=monitor, watch=watch, flip=flip))
        await fail(stage, made["id"], start + 301 * SECOND)
        stage.house.raw.append(
            [
                (
                    monitor.key,
                    Check(
                        due_at=start + number * MINUTE,
                        started_at=start + number * MINUTE,
                        result=Result.UP if number < 5 else Result.DOWN,
                        response_time_ms=9,
                        counted=number != 1,
                    ),
                )
                for number in range(8)
            ]
        )
        clock.advance(500)
        alice = stage.client(headers=stage.cast.alice.headers)
        url = f"/v1/monitors/{made['id']}/uptime"
        found = sent(await alice.get(url, params={"period": "30d"}))
        (outage,) = found.pop("outages")
        assert found == {
            "from": rfc3339(start),
            "to": rfc3339(start + 500 * SECOND),
            "uptime_percent": 57.1428,
            "uptime_percent_time": 60.1202,
            "checks": 7,
            "downs": 3,
            "up_seconds": 300,
            "degraded_seconds": 0,
            "down_seconds": 199,
            "maintenance_seconds": 0,
            "unknown_seconds": 1,
            "unknown_reasons": {
                "paused": 0,
                "stopped": 0,
                "isolated": 0,
                "starved": 0,
                "stale": 1,
            },
            "coverage_percent": 99.8,
        }
        (incident,) = sent(await alice.get("/v1/incidents"))
        assert outage == {
            "incident_id": incident["id"],
            "started_at": rfc3339(start + 301 * SECOND),
            "ended_at": None,
            "duration_seconds": 199,
            "reason": "connection refused",
        }
        moments = {"from": rfc3339(start + 100 * SECOND), "to": rfc3339(start + 400 * SECOND)}
        part = sent(await alice.get(url, params=moments))
        assert (part["from"], part["to"]) == (moments["from"], moments["to"])
        assert part["up_seconds"] + part["down_seconds"] == 300
        before = sent(await alice.get(url, params={"from": rfc3339(0), "to": rfc3339(DAY)}))
        assert (before["from"], before["to"]) == (rfc3339(start), rfc3339(start))
        assert before["uptime_percent"] is None
        assert before["coverage_percent"] is None

    async def test_mistakes(self, alice: httpx.AsyncClient) -> None:
        made = await make(alice)
        url = f"/v1/monitors/{made['id']}/uptime"
        assert errors(await alice.get(url)) == [
            ("?period", "give period (24h, 7d, 30d, 90d), or from and to")
        ]
        assert errors(await alice.get(url, params={"period": "1y"}))[0][0] == "?period"
        both = {"period": "24h", "from": rfc3339(START)}
        assert errors(await alice.get(url, params=both)) == [
            ("?period", "give period, or from and to, not both")
        ]
        wrong = {"from": rfc3339(START), "to": rfc3339(START - HOUR)}
        assert errors(await alice.get(url, params=wrong)) == [("?to", "to must be later than from")]


class TestByHand:
    async def test_check_now_and_test(self, open_stage: Opener) -> None:
        stage = await open_stage(clock=Clock(), start=True)
        # The cast's tokens were made when the fake clock stood still, long ago.
        alice = stage.client(headers=await fresh(stage))
        async with HttpServer({"/": answer(200, body=b"fine")}) as server:
            made = await make(alice, target=server.url("/"), confirmations=1)
            check = sent(await alice.post(f"/v1/monitors/{made['id']}/check"))
            assert (check["status"], check["status_code"], check["counted"]) == ("up", 200, False)
            assert check["monitor_id"] == made["id"]
            assert is_id(check["id"])
            tested = sent(
                await alice.post(
                    "/v1/monitors/test",
                    json={**SPEC, "target": server.url("/"), "expected_status": 201},
                )
            )
            assert (tested["status"], tested["failure"]) == ("down", "status")
            assert (tested["id"], tested["address"]) == (None, "127.0.0.1")
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                shown = sent(await alice.get(f"/v1/monitors/{made['id']}"))
                if shown["status"] == "up":
                    break
                await asyncio.sleep(0.05)
            assert shown["status"] == "up"
            assert shown["last_check"]["status"] == "up"
            assert shown["last_check"]["counted"] is True
        assert await stage.house.db.read(monitors.count) == 1
        response = await alice.post("/v1/monitors/test", json={**SPEC, "timeout_seconds": 90})
        assert response.status_code == 400
        blocked = sent(
            await alice.post(
                "/v1/monitors/test", json={**SPEC, "target": "http://169.254.169.254/latest"}
            )
        )
        assert blocked["failure"] == "blocked"
        assert await stage.actions(stage.cast.acme.id) == ["monitor.created"]


async def fresh(stage: Stage) -> dict[str, str]:
    """Return headers of Alice's that hold now, on a real clock."""
    from netpulse.storage import sessions
    from tests.cast import SIGNER

    now = stage.house.clock.now()
    alice = stage.cast.alice
    family = await stage.house.db.write(sessions.start_family, alice.id, "another", now, now + DAY)
    return {"Authorization": f"Bearer {SIGNER.issue(alice.id, family, now)}"}
