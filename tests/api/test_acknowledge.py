"""Acknowledging an incident: by the API, on the page, and by the link in a message."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from netpulse.config import Config, Server
from netpulse.crypto.links import Links
from netpulse.model.alert import Attempt
from netpulse.model.time import DAY, MINUTE, rfc3339
from netpulse.storage import settling
from netpulse.storage.db import Conn
from tests.api.test_monitors import fail, make, sent
from tests.clock import START, FakeClock
from tests.conftest import Opener, Stage

WEBHOOK = {"name": "Ops", "type": "webhook", "config": {"url": "https://hooks.example/ops"}}


async def an_incident(stage: Stage, client: httpx.AsyncClient, **rule: Any) -> tuple[str, str]:
    """Return the ids of an open incident that one channel was told of, and of the channel."""
    channel = sent(await client.post("/v1/alert-channels", json=WEBHOOK), 201)
    body = {"channel_id": channel["id"], "condition": "down", **rule}
    sent(await client.post("/v1/alert-rules", json=body), 201)
    monitor = await make(client)
    await fail(stage, monitor["id"], START + MINUTE)
    (incident,) = sent(await client.get("/v1/incidents", params={"is_open": "true"}))
    return incident["id"], channel["id"]


async def test_by_the_api(
    house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient, charlie: httpx.AsyncClient
) -> None:
    incident_id, channel_id = await an_incident(house, alice, reminder_minutes=30)
    url = f"/v1/incidents/{incident_id}"
    assert (await bob.post(f"{url}/acknowledge")).status_code == 403
    assert (await charlie.post(f"{url}/acknowledge")).status_code == 404
    done = sent(await alice.post(f"{url}/acknowledge"))
    assert done["acknowledged_by"] == "alice@acme.example"
    assert done["acknowledged_via"] == "api"
    assert done["acknowledged_at"] == rfc3339(START)
    assert done["status"] == "investigating"
    # Once more changes nothing and tells nobody.
    assert sent(await alice.post(f"{url}/acknowledge")) == done
    assert await house.outbox() == [
        ("monitor.down", "pending"),
        ("incident.acknowledged", "pending"),
    ]
    (told, _) = sent(await alice.get("/v1/alert-events", params={"incident_id": incident_id}))
    assert (told["event"], told["cause"], told["channel_id"]) == (
        "incident.acknowledged",
        "acknowledgement",
        channel_id,
    )
    story = sent(await bob.get(url))["timeline"]
    assert [line["author"] for line in story if line["kind"] == "acknowledged"] == [
        "alice@acme.example"
    ]
    assert (await house.actions(house.cast.acme.id)).count("incident.acknowledged") == 1
    assert await house.house.db.read(lambda conn: conn.all("SELECT 1 FROM alert_timers")) == []


async def test_what_is_over_is_not_acknowledged(house: Stage, alice: httpx.AsyncClient) -> None:
    made = sent(await alice.post("/v1/incidents", json={"title": "Fire"}), 201)
    url = f"/v1/incidents/{made['id']}"
    sent(await alice.patch(url, json={"status": "resolved"}))
    refused = await alice.post(f"{url}/acknowledge")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "INCIDENT_RESOLVED")
    page = await alice.post(f"/incidents/{made['id']}/acknowledge")
    assert page.headers["location"].endswith("told=over")


async def test_whoever_did_not_hear_of_the_problem_hears_no_acknowledgement(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    incident_id, _ = await an_incident(house, alice, escalation_minutes=30)
    sent(await alice.post(f"/v1/incidents/{incident_id}/acknowledge"))
    assert ("incident.acknowledged", "pending") not in await house.outbox()


async def test_on_the_page(house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    incident_id, _ = await an_incident(house, alice)
    action = f'action="/incidents/{incident_id}/acknowledge"'
    assert action not in (await bob.get(f"/incidents/{incident_id}")).text
    assert action in (await alice.get(f"/incidents/{incident_id}")).text
    done = await alice.post(f"/incidents/{incident_id}/acknowledge")
    assert done.status_code == 303
    shown = await alice.get(done.headers["location"])
    assert "Acknowledged by alice@acme.example" in shown.text
    assert action not in shown.text


class TestLink:
    async def test_with_tls_its_address_goes_nowhere(self, open_stage: Opener) -> None:
        config = Config(server=Server(trusted_proxies=("192.0.2.0/24",)))
        stage = await open_stage(config=config)
        alice = stage.client(headers=stage.cast.alice.headers)
        incident_id, channel_id = await an_incident(stage, alice)
        token = stage.house.links.token(incident_id, channel_id, START + DAY)
        page = await stage.client(headers={"X-Forwarded-Proto": "https"}).get(
            f"/acknowledge/{token}"
        )
        assert page.status_code == 200
        assert page.headers["referrer-policy"] == "no-referrer"

    async def test_the_way(self, house: Stage, alice: httpx.AsyncClient) -> None:
        incident_id, channel_id = await an_incident(house, alice)
        token = house.house.links.token(incident_id, channel_id, START + DAY)
        stranger = house.client()
        # Opening it, as link scanners do, changes nothing.
        for _ in range(2):
            page = await stranger.get(f"/acknowledge/{token}")
            assert page.status_code == 200
            assert "Acknowledging says" in page.text
            assert page.headers["cache-control"] == "no-store"
            # Without TLS a browser leaves the Origin of the form out where it may name no referrer.
            assert page.headers["referrer-policy"] == "strict-origin"
        assert sent(await alice.get(f"/v1/incidents/{incident_id}"))["acknowledged_at"] is None
        done = await stranger.post(f"/acknowledge/{token}")
        assert done.status_code == 200
        assert "Done. Acknowledged by the link sent by Ops" in done.text
        incident = sent(await alice.get(f"/v1/incidents/{incident_id}"))
        assert incident["acknowledged_by"] == "the link sent by Ops"
        assert incident["acknowledged_via"] == "link"
        assert (await house.audit(house.cast.acme.id))[-1] == (
            "incident.acknowledged",
            None,
            "the link sent by Ops",
        )
        # A second press is no mistake, and no second acknowledgement.
        again = await stranger.post(f"/acknowledge/{token}")
        assert "Acknowledged by the link sent by Ops" in again.text
        assert (await house.actions(house.cast.acme.id)).count("incident.acknowledged") == 1

    async def test_it_expires(self, house: Stage, alice: httpx.AsyncClient) -> None:
        incident_id, channel_id = await an_incident(house, alice)
        token = house.house.links.token(incident_id, channel_id, START + DAY)
        clock = house.house.clock
        assert isinstance(clock, FakeClock)
        clock.advance(DAY // 1000 + 1)
        for answer in (
            await house.client().get(f"/acknowledge/{token}"),
            await house.client().post(f"/acknowledge/{token}"),
        ):
            assert answer.status_code == 404
            assert "it has expired" in answer.text

    @pytest.mark.parametrize("change", ["incident", "channel", "until", "tag", "cut"])
    async def test_a_forged_one_is_not_found(
        self, house: Stage, alice: httpx.AsyncClient, change: str
    ) -> None:
        incident_id, channel_id = await an_incident(house, alice)
        made = sent(await alice.post("/v1/incidents", json={"title": "Fire"}), 201)
        parts = house.house.links.token(incident_id, channel_id, START + DAY).split(".")
        if change == "incident":
            parts[0] = made["id"]
        elif change == "channel":
            parts[1] = made["id"]
        elif change == "until":
            parts[2] = str(int(parts[2]) + 1)
        elif change == "tag":
            parts[3] = parts[3][::-1]
        else:
            parts.pop()
        forged = ".".join(parts)
        assert (await house.client().post(f"/acknowledge/{forged}")).status_code == 404
        assert sent(await alice.get(f"/v1/incidents/{incident_id}"))["acknowledged_at"] is None

    @pytest.mark.parametrize(
        "token", ["x", "...", "%00", "a.b.c.d", "é.é.é.é", "1" * 300, "a.b.-1.d"]
    )
    async def test_nonsense_is_not_found(self, house: Stage, token: str) -> None:
        assert (await house.client().get(f"/acknowledge/{token}")).status_code == 404

    async def test_guessing_is_slowed(self, house: Stage) -> None:
        client = house.client("198.51.100.7")
        answers = [(await client.get("/acknowledge/guess")).status_code for _ in range(61)]
        assert answers[:60] == [404] * 60
        assert answers[60] == 429

    async def test_after_the_end(self, house: Stage, alice: httpx.AsyncClient) -> None:
        made = sent(await alice.post("/v1/incidents", json={"title": "Fire"}), 201)
        token = house.house.links.token(made["id"], made["id"], START + DAY)
        sent(await alice.patch(f"/v1/incidents/{made['id']}", json={"status": "resolved"}))
        shown = await house.client().post(f"/acknowledge/{token}")
        assert (shown.status_code, "nothing left to acknowledge" in shown.text) == (200, True)


class TestAlertEvents:
    async def test_list_read_and_resend(
        self,
        house: Stage,
        alice: httpx.AsyncClient,
        bob: httpx.AsyncClient,
        charlie: httpx.AsyncClient,
    ) -> None:
        incident_id, channel_id = await an_incident(house, alice)
        (one,) = sent(await bob.get("/v1/alert-events"))
        assert (one["event"], one["status"], one["reason"], one["attempts"]) == (
            "monitor.down",
            "pending",
            None,
            [],
        )
        assert (one["incident_id"], one["channel_id"]) == (incident_id, channel_id)
        url = f"/v1/alert-events/{one['id']}"
        waits = await alice.post(f"{url}/resend")
        assert (waits.status_code, waits.json()["error"]["code"]) == (409, "NOTICE_PENDING")

        def give_up(conn: Conn) -> None:
            attempt = Attempt(at=START, ok=False, status_code=400, answer="No, token=abc")
            settling.failed(conn, one["id"], attempt, "refused")

        await house.house.db.write(give_up)
        seen = sent(await alice.get(url))
        assert (seen["status"], seen["error"]) == ("failed", "refused")
        assert seen["attempts"] == [
            {
                "at": rfc3339(START),
                "ok": False,
                "status_code": 400,
                "answer": "No, token=abc",
                "latency_ms": None,
            }
        ]
        # What a far side said may quote secrets: viewers get the status alone.
        assert sent(await bob.get(url))["attempts"][0]["answer"] is None
        assert (await bob.post(f"{url}/resend")).status_code == 403
        for answer in (await charlie.get(url), await charlie.post(f"{url}/resend")):
            assert (answer.status_code, answer.json()["error"]["code"]) == (
                404,
                "ALERT_EVENT_NOT_FOUND",
            )
        assert sent(await charlie.get("/v1/alert-events")) == []
        again = sent(await alice.post(f"{url}/resend"))
        assert (again["id"], again["status"]) == (one["id"], "pending")
        assert len(again["attempts"]) == 1
        assert (await house.actions(house.cast.acme.id))[-1] == "alert_event.resent"

    async def test_a_channel_that_is_off(self, house: Stage, alice: httpx.AsyncClient) -> None:
        _, channel_id = await an_incident(house, alice)
        body = {**WEBHOOK, "is_active": False}
        sent(await alice.put(f"/v1/alert-channels/{channel_id}", json=body))
        (one,) = sent(await alice.get("/v1/alert-events"))
        assert (one["status"], one["reason"]) == ("suppressed", "channel_inactive")
        refused = await alice.post(f"/v1/alert-events/{one['id']}/resend")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "CHANNEL_INACTIVE")

    async def test_filters(self, house: Stage, alice: httpx.AsyncClient) -> None:
        incident_id, channel_id = await an_incident(house, alice)

        async def found(**params: str) -> int:
            return len(sent(await alice.get("/v1/alert-events", params=params)))

        assert await found(incident_id=incident_id) == 1
        assert await found(channel_id=channel_id) == 1
        assert await found(incident_id=channel_id) == 0
        assert await found(status="sent") == 0
        assert await found(event="monitor.down") == 1
        assert await found(reason="cooldown") == 0
        wrong = await alice.get("/v1/alert-events", params={"status": "gone"})
        assert wrong.status_code == 400

    async def test_the_page_of_one(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        await an_incident(house, alice)
        (one,) = sent(await alice.get("/v1/alert-events"))
        page = await alice.get(f"/alerts/events/{one['id']}")
        assert page.status_code == 200
        assert "Down: Shop" in page.text
        assert "monitor.down" not in (await bob.get(f"/alerts/events/{one['id']}")).text


class TestPages:
    async def test_announcing_by_hand(
        self, house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
    ) -> None:
        monitor = await make(alice)
        assert (await bob.get("/incidents/new")).status_code == 403
        form = await alice.get(f"/incidents/new?monitor_id={monitor['id']}")
        assert f'value="{monitor["id"]}" selected' in form.text
        wrong = await alice.post("/incidents/new", data={"title": "", "status": "investigating"})
        assert wrong.status_code == 400
        made = await alice.post(
            "/incidents/new",
            data={
                "title": "Wrong <b>prices</b>",
                "status": "identified",
                "impact": "minor",
                "message": "We look at it",
                "monitor_ids": [monitor["id"]],
            },
        )
        assert made.status_code == 303
        shown = await alice.get(made.headers["location"])
        assert "Wrong &lt;b&gt;prices&lt;/b&gt;" in shown.text
        assert "Minor" in shown.text

    async def test_why(self, house: Stage, alice: httpx.AsyncClient) -> None:
        incident_id, _ = await an_incident(house, alice, name="Wake Ops")
        considered = sent(await alice.get(f"/v1/incidents/{incident_id}"))["considered"]
        assert [(one["rule_name"], one["verdict"], one["after"]) for one in considered] == [
            ("Wake Ops", "told", "down")
        ]
        page = (await alice.get(f"/incidents/{incident_id}")).text
        assert "Why somebody was told" in page
        assert "Wake Ops" in page
        # Written is not yet delivered.
        assert "Not taken yet" in page
        (one,) = sent(await alice.get("/v1/alert-events"))

        def give_up(conn: Conn) -> None:
            attempt = Attempt(at=START, ok=False, status_code=400, answer="No")
            settling.failed(conn, one["id"], attempt, "refused for good")

        await house.house.db.write(give_up)
        page = (await alice.get(f"/incidents/{incident_id}")).text
        assert "Could not be told" in page
        assert "Not taken yet" not in page

    async def test_what_another_rule_told_is_no_delivery_of_the_channel(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        channel = sent(await alice.post("/v1/alert-channels", json=WEBHOOK), 201)
        for _ in range(2):
            sent(await alice.post("/v1/alert-rules", json={"channel_id": channel["id"]}), 201)
        monitor = await make(alice)
        await fail(house, monitor["id"], START + MINUTE)
        assert sorted(one["status"] for one in sent(await alice.get("/v1/alert-events"))) == [
            "pending",
            "suppressed",
        ]
        listed = (await alice.get("/alerts")).text.partition('id="deliveries"')[0]
        assert ">Waiting</span>" in listed
        assert "Not sent</span>" not in listed

    async def test_why_of_an_escalation(self, house: Stage, alice: httpx.AsyncClient) -> None:
        incident_id, _ = await an_incident(house, alice, escalation_minutes=5)
        page = (await alice.get(f"/incidents/{incident_id}")).text
        assert "Speaks later, unless acknowledged or over: at " in page


def test_without_an_address_of_its_own_no_message_has_links() -> None:
    links = Links(bytes(32), "")
    assert links.page("/incidents") is None
    assert links.acknowledge("a", "b", now=START) is None
