"""Deleting a client: what ends at once, what stays, and that a crash in between costs nothing."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from netpulse.engine.live import Subscription
from netpulse.model.alert import Event
from netpulse.model.ids import Id
from netpulse.model.incident import IncidentStatus
from netpulse.model.monitor import HttpSpec, Monitor
from netpulse.model.time import HOUR, rfc3339
from netpulse.model.user import Membership, Role
from netpulse.model.watch import Status
from netpulse.storage import (
    alert_rules,
    audit_chains,
    channels,
    closing,
    incident_list,
    incident_story,
    monitors,
    notice_list,
    orgs,
    users,
)
from netpulse.storage.db import Conn
from netpulse.storage.incident_list import IncidentFilter
from tests.api.test_clients import CLIENTS, inside, make_in, new_client, org_of, person_of
from tests.api.test_monitors import fail, make, sent
from tests.cast import PASSWORD
from tests.clock import START
from tests.conftest import WITH_MAIL, Opener, Stage
from tests.home import Home, home, now
from tests.integration.test_private_targets import client_of
from tests.receiver import Receiver

HOOK = {"name": "Hook", "type": "webhook", "config": {"url": "https://hooks.example/x"}}


async def furnished(house: Stage, alice: httpx.AsyncClient) -> Any:
    """Return a client that has one of everything, and two people of its own."""
    made = await new_client(alice)
    there = inside(made)
    monitor = await make_in(alice, made)
    await make_in(alice, made, type="push", target="")
    channel = sent(await alice.post("/v1/alert-channels", json=HOOK, headers=there), 201)
    rule = {"channel_id": channel["id"], "name": "All"}
    sent(await alice.post("/v1/alert-rules", json=rule, headers=there), 201)
    incident = {"title": "Announced", "monitor_ids": []}
    sent(await alice.post("/v1/incidents", json=incident, headers=there), 201)
    plan = {
        "title": "Move",
        "starts_at": rfc3339(START),
        "ends_at": rfc3339(START + HOUR),
        "all": True,
    }
    sent(await alice.post("/v1/maintenance", json=plan, headers=there), 201)
    shown = {"slug": "corner", "title": "Corner", "custom_domain": "status.corner.example"}
    sent(await alice.post("/v1/status-pages", json=shown, headers=there), 201)
    org = await org_of(house, made["id"])
    await person_of(house, org, "dora")
    await house.house.engine.settled()
    return made | {"monitor": monitor["id"], "channel": channel["id"]}


async def test_nothing_of_it_is_left_to_enter(house: Stage, alice: httpx.AsyncClient) -> None:
    made = await furnished(house, alice)
    other = await make(alice, name="Our own")
    dora = await person_of(house, await org_of(house, made["id"]), "eve")
    doras = house.client(headers=dora.headers)
    sent(await doras.get("/v1/monitors"))
    body = {"name": "Key", "scopes": ["monitors:read"]}
    key = sent(await alice.post("/v1/api-keys", json=body, headers=inside(made)), 201)["key"]
    assert "Corner" in (await house.client().get("/status/corner")).text
    answer = await alice.delete(f"{CLIENTS}/{made['id']}")
    assert sent(answer) is None
    random = await alice.get(f"{CLIENTS}/{made['id'][:-4]}0000")
    assert (await alice.get(f"{CLIENTS}/{made['id']}")).content == random.content
    assert sent(await alice.get(CLIENTS)) == []
    assert (await alice.get("/v1/monitors", headers=inside(made))).status_code == 403
    assert (await doras.get("/v1/monitors")).status_code == 401
    login = {"email": dora.email, "password": PASSWORD}
    refused = await house.client().post("/v1/auth/login", json=login)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "LOGIN_FAILED")
    assert (await house.client(headers={"X-API-Key": key}).get("/v1/monitors")).status_code == 401
    assert (await house.client().get("/status/corner")).status_code == 404
    # Its addresses are free for others.
    shown = {"slug": "corner", "title": "Ours", "custom_domain": "status.corner.example"}
    sent(await alice.post("/v1/status-pages", json=shown), 201)
    # Deleted, it cannot be deleted again.
    assert (await alice.delete(f"{CLIENTS}/{made['id']}")).status_code == 404
    await house.house.engine.settled()
    assert [watched.id for watched in house.house.engine.roster] == [other["id"]]
    assert house.house.engine.roster.counts(made["id"]) == dict.fromkeys(Status, 0)


async def test_what_is_stored_of_it(house: Stage, alice: httpx.AsyncClient) -> None:
    made = await furnished(house, alice)
    await fail(house, made["monitor"], START)
    sent(await alice.delete(f"{CLIENTS}/{made['id']}"))
    await house.house.engine.settled()

    def look(conn: Conn) -> dict[str, Any]:
        def count(sql: str) -> int:
            row = conn.one(sql, (made["id"],))
            assert row is not None
            return int(row[0])

        return {
            "members": count("SELECT count(*) FROM memberships WHERE org_id = ?"),
            "keys": count("SELECT count(*) FROM api_keys WHERE org_id = ?"),
            "invitations": count("SELECT count(*) FROM invitations WHERE org_id = ?"),
            "rules": count("SELECT count(*) FROM alert_rules WHERE org_id = ?"),
            "channels": count(
                "SELECT count(*) FROM alert_channels WHERE org_id = ? AND length(config) > 0"
            ),
            "maintenance": count(
                "SELECT count(*) FROM maintenances WHERE org_id = ? AND deleted_at IS NULL"
            ),
            "monitors": count(
                "SELECT count(*) FROM monitors WHERE org_id = ? AND deleted_at IS NULL"
            ),
            "secrets": count(
                "SELECT count(*) FROM monitors WHERE org_id = ? AND secrets IS NOT NULL"
            ),
            "memories": count("SELECT count(*) FROM watches WHERE org_id = ?"),
            "pushes": count("SELECT count(*) FROM pushes WHERE org_id = ?"),
            "status pages": count("SELECT count(*) FROM status_pages WHERE org_id = ?"),
            "waiting": count(
                "SELECT count(*) FROM alert_events WHERE org_id = ? AND status = 'pending'"
            ),
        }

    assert set((await house.house.db.read(look)).values()) == {0}
    found = (await house.house.db.read(incident_list.page, made["id"], IncidentFilter())).rows
    assert sorted((one.title.partition(":")[0], one.resolution) for one in found) == [
        ("Announced", "organization_deleted"),
        ("Shop is down", "organization_deleted"),
    ]
    assert {one.status for one in found} == {IncidentStatus.RESOLVED}
    stories = [
        [line.message for line in await house.house.db.read(incident_story.timeline, one.id)]
        for one in found
    ]
    assert all("Ended because the organization was deleted" in story[-1] for story in stories)
    # The log stays as it is, and ends with what was done.
    assert (await house.actions(made["id"]))[-1] == "org.deleted"
    assert await house.house.db.read(audit_chains.verify, made["id"]) == []
    load = (await house.payloads(made["id"]))[-1]["before"]
    assert load["holdings"] == {
        "monitors": 2,
        "members": 1,
        "accounts": 1,
        "grants": 1,
        "invitations": 0,
        "keys": 0,
        "channels": 1,
        "maintenance": 1,
        "status_pages": 1,
    }
    assert load["members"] == ["dora@corner-shop.example"]
    assert (await house.actions(house.cast.acme.id))[-1] == "client.deleted"


async def test_its_people_are_told(open_stage: Opener) -> None:
    stage = await open_stage(config=WITH_MAIL)
    alice = stage.client(headers=stage.cast.alice.headers)
    made = await new_client(alice)
    await person_of(stage, await org_of(stage, made["id"]), "dora")
    sent(await alice.delete(f"{CLIENTS}/{made['id']}"))
    (letter,) = await stage.letters()
    assert letter.recipient == "dora@corner-shop.example"
    # The name is as it is written, also in the subject.
    assert letter.subject == "NetPulse: your access to Corner Shop has ended: it was deleted"


async def test_the_slug_is_free_again(house: Stage, alice: httpx.AsyncClient) -> None:
    first = await new_client(alice)
    sent(await alice.delete(f"{CLIENTS}/{first['id']}"))
    second = await new_client(alice, slug="corner-shop")
    assert second["id"] != first["id"]
    sent(await alice.delete(f"{CLIENTS}/{second['id']}"))
    assert (await new_client(alice))["slug"] == "corner-shop"


async def test_who_belongs_elsewhere_too_stays(house: Stage, alice: httpx.AsyncClient) -> None:
    made = await new_client(alice)
    org = await org_of(house, made["id"])
    both = await person_of(house, org, "both")

    def join(conn: Conn) -> None:
        users.put_membership(
            conn,
            Membership(user_id=both.id, org_id=house.cast.globex.id, role=Role.VIEWER),
        )

    await house.house.db.write(join)
    boths = house.client(headers=both.headers)
    sent(await alice.delete(f"{CLIENTS}/{made['id']}"))
    # At home in the other organization from now on.
    seen = await house.house.db.read(users.get, both.id)
    assert seen is not None
    assert seen.home_org_id == house.cast.globex.id
    sent(await boths.get("/v1/monitors"))


async def test_a_super_administrator_is_not_deleted_by_the_way(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    made = await new_client(alice)
    root = await person_of(house, await org_of(house, made["id"]), "root", Role.SUPER_ADMIN)
    refused = await alice.delete(f"{CLIENTS}/{made['id']}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "SUPER_ADMIN_AT_HOME")
    sent(await house.client(headers=root.headers).get("/v1/monitors"))


async def test_streams_end_at_once(house: Stage, alice: httpx.AsyncClient) -> None:
    made = await new_client(alice)
    stream: Subscription = house.house.engine.live.subscribe(made["id"])
    own = house.house.engine.live.subscribe(house.cast.acme.id)
    sent(await alice.delete(f"{CLIENTS}/{made['id']}"))
    await house.house.engine.settled()
    assert [event async for event in stream.events()] == []
    assert len(house.house.engine.live) == 1
    own.end()


async def test_a_crash_in_between(open_stage: Opener, tmp_path: Path) -> None:
    """The organization is gone with its first commit; the next start retires what is left."""
    stage = await open_stage()
    alice = stage.client(headers=stage.cast.alice.headers)
    made = await new_client(alice)
    left = [await make_in(alice, made, name=f"Shop {number}") for number in range(3)]
    await make(alice, name="Our own")
    await fail(stage, left[0]["id"], START)
    db = stage.house.db
    # As far as the first commit, and no further.
    await db.write(closing.close, made["id"], START)
    assert await db.read(closing.unfinished) == [made["id"]]
    assert await db.read(monitors.load_one, left[0]["id"]) is None
    assert [one.spec.name for one, _ in await db.read(monitors.load_all)] == ["Our own"]
    await stage.house.engine.start()
    await stage.house.engine.settled()
    assert await db.read(closing.unfinished) == []
    assert await db.read(monitors.count, made["id"]) == 0
    found = (await db.read(incident_list.page, made["id"], IncidentFilter())).rows
    assert [one.resolution for one in found] == ["organization_deleted"]
    assert len(stage.house.engine.roster) == 1


async def test_a_link_to_acknowledge_leads_nowhere(open_stage: Opener) -> None:
    house = await open_stage(config=WITH_MAIL)
    alice = house.client(headers=house.cast.alice.headers)
    made = await furnished(house, alice)
    await fail(house, made["monitor"], START)
    (incident,) = [
        one
        for one in sent(await alice.get("/v1/incidents", headers=inside(made)))
        if one["title"] != "Announced"
    ]
    links, stranger = house.house.links, house.client()
    url = links.acknowledge(incident["id"], made["channel"], now=START)
    assert incident["title"] in (await stranger.get(url)).text
    sent(await alice.delete(f"{CLIENTS}/{made['id']}"))
    await house.house.engine.settled()
    unknown = links.acknowledge(made["id"], made["channel"], now=START)
    for method in ("GET", "POST"):
        refused = await stranger.request(method, url)
        assert refused.status_code == 404
        assert incident["title"] not in refused.text
        assert refused.text == (await stranger.request(method, unknown)).text


def left_behind(conn: Conn, org_id: Id) -> None:
    """Mark an organization as deleted, as if all that it has had come too late for that."""
    conn.execute("UPDATE organizations SET deleted_at = ? WHERE id = ?", (START, org_id))


@pytest.mark.parametrize("other", ["slug", "domain"])
async def test_what_was_left_behind_keeps_no_address(
    house: Stage, alice: httpx.AsyncClient, other: str
) -> None:
    made = await furnished(house, alice)
    await house.house.db.write(left_behind, made["id"])
    shown = {
        "slug": "corner" if other == "slug" else "ours",
        "title": "Ours",
        "custom_domain": "status.corner.example" if other == "domain" else None,
    }
    ours = sent(await alice.post("/v1/status-pages", json=shown), 201)
    assert sent(await alice.get(f"/v1/status-pages/{ours['id']}"))["slug"] == shown["slug"]
    assert (await house.client().get(f"/status/{shown['slug']}")).status_code == 200


async def test_the_next_start_removes_what_was_left_behind(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    made = await furnished(house, alice)
    body = {"name": "Key", "scopes": ["monitors:read"]}
    sent(await alice.post("/v1/api-keys", json=body, headers=inside(made)), 201)
    db = house.house.db
    await db.write(left_behind, made["id"])

    def only_these(conn: Conn) -> None:
        conn.execute(
            "UPDATE monitors SET deleted_at = ? WHERE org_id = ? AND deleted_at IS NULL",
            (START, made["id"]),
        )

    await db.write(only_these)
    assert await db.read(closing.unfinished) == [made["id"]]
    await house.house.engine.start()
    await house.house.engine.settled()
    assert await db.read(closing.unfinished) == []
    gone = await db.read(closing.holdings, made["id"], START)
    assert (gone.channels, gone.maintenance, gone.status_pages, gone.keys) == (0, 0, 0, 0)


async def test_a_thousand_monitors_keep_nobody_waiting(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    made = await new_client(alice)

    def fill(conn: Conn, number: int) -> Id:
        spec = HttpSpec(name=f"Shop {number}", target=f"https://shop.example/{number}")
        draft = Monitor(
            id=f"019b2dcd-7c00-7000-8000-{number:012d}",
            key=0,
            org_id=made["id"],
            spec=spec,
            created_at=START,
        )
        return monitors.insert(conn, draft).id

    ids = await asyncio.gather(*(house.house.db.write(fill, number) for number in range(1_000)))
    for monitor_id in ids:
        house.house.engine.changed(monitor_id)
    await house.house.engine.settled()
    assert len(house.house.engine.roster) == 1_000
    began = time.perf_counter()
    sent(await alice.delete(f"{CLIENTS}/{made['id']}"))
    answered = time.perf_counter() - began
    # While they are retired, others write as ever: no piece is long.
    waits = []
    ending = asyncio.create_task(house.house.engine.settled())
    while not ending.done():
        at = time.perf_counter()
        await house.house.db.write(lambda conn: conn.one("SELECT 1"))
        waits.append(time.perf_counter() - at)
        await asyncio.sleep(0.002)
    assert len(house.house.engine.roster) == 0
    assert await house.house.db.read(monitors.count, made["id"]) == 0
    # By itself the answer takes some milliseconds, and so does a piece. One long piece would leave
    # few turns to others; that a single one of them is slow may be the machine's doing.
    assert answered < 20
    assert len(waits) > 10
    assert statistics.median(waits) < 0.2


@pytest.fixture
async def at(tmp_path: Path) -> Any:
    async with home(tmp_path / "data") as opened:
        yield opened


async def test_no_recovery_is_told(at: Home) -> None:
    """With the real engine: a client that is down is deleted while its notices go out."""
    async with Receiver() as target, Receiver() as told:
        target.answer = lambda _: 500
        client = await client_of(at, private_targets=True)
        channel = await at.channel(told.url, org_id=client.id)
        await at.rule(channel, org_id=client.id, condition="down or up")
        own = await at.channel(told.url, name="Own")
        await at.rule(own, condition="down or up")
        spec = HttpSpec(
            name="Shop", target=target.url, interval_seconds=10, timeout_seconds=2, confirmations=1
        )
        draft = Monitor(
            id="019b2dcd-7c00-7000-8000-000000000001",
            key=0,
            org_id=client.id,
            spec=spec,
            created_at=now(),
        )
        monitor = await at.db.write(monitors.insert, draft)
        at.engine.changed(monitor.id)
        await at.until_status(monitor.id, Status.DOWN)

        async def one() -> bool:
            return len(told.taken) == 1

        await at.until(one, "its outage is told")
        await at.db.write(closing.close, client.id, now())
        at.engine.org_deleted(client.id)
        await at.engine.settled()
        assert at.engine.watch(monitor.id) is None
        target.answer = lambda _: 200
        at.nudge(monitor)
        # Another monitor's whole outage goes by; of the deleted client nothing is heard.
        other = await at.monitor(spec)
        await at.until_status(other.id, Status.UP)
        target.answer = lambda _: 500
        at.nudge(other)
        await at.until_status(other.id, Status.DOWN)

        async def two() -> bool:
            return len(told.taken) == 2

        await at.until(two, "the other's is")
        assert [each.payload["event"] for each in told.taken] == [Event.MONITOR_DOWN.value] * 2
        kept = (await at.db.read(notice_list.page, client.id)).rows
        assert [each.status.value for each in kept] == ["sent"]
        assert (await at.db.read(alert_rules.page, client.id)).total == 0
        assert (await at.db.read(channels.page, client.id)).total == 0
        gone = await at.db.read(orgs.get, client.id)
        assert gone is not None
        assert gone.deleted_at is not None
