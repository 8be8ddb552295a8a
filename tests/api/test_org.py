"""The organization: what it calls itself, what it has, and that a change counts at once."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from netpulse.model.org import Org, Quotas
from netpulse.model.time import MINUTE, rfc3339
from netpulse.model.user import Role
from netpulse.storage import claims, orgs
from netpulse.storage.db import Conn
from tests import people
from tests.api.test_monitors import errors, fail, make, sent
from tests.clock import START
from tests.conftest import Stage

SPEC = {"name": "Acme & Sons", "timezone": "Europe/Berlin", "locale": "en"}


async def test_everybody_reads_it(
    house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    await make(alice)
    found = await bob.get("/v1/org")
    assert sent(found) == {
        "id": house.cast.acme.id,
        "name": "Acme",
        "slug": "acme",
        "timezone": "UTC",
        "locale": "en",
        "plan": "free",
        "quotas": {
            "monitors": None,
            "users": None,
            "retention_days": None,
            "private_targets": True,
        },
        "usage": {"monitors": 1, "users": 2},
        "parent_id": None,
        "provider": None,
        "created_at": rfc3339(START),
        "version": 1,
    }
    assert found.headers["etag"] == '"1"'
    invited = {"email": "dora@x.example"}
    sent(await alice.post("/v1/org/members/invite", json=invited), 201)
    assert sent(await alice.get("/v1/org"))["usage"] == {"monitors": 1, "users": 3}


async def test_a_client_sees_its_provider_and_its_limits(house: Stage) -> None:
    client = await people.add_org(house, "Initech", parent=house.cast.acme)
    dora = await people.add(house, "dora", Role.ADMIN, client)

    def limit(conn: Conn) -> Org:
        quotas = Quotas(monitors=5, users=2, retention_days=30, private_targets=False)
        return orgs.replace(conn, msgspec.structs.replace(client, quotas=quotas), None, START)

    await house.house.db.write(limit)
    found = sent(await people.client(house, dora).get("/v1/org"))
    assert (found["parent_id"], found["provider"]) == (house.cast.acme.id, "Acme")
    assert found["quotas"] == {
        "monitors": 5,
        "users": 2,
        "retention_days": 30,
        "private_targets": False,
    }
    assert found["usage"] == {"monitors": 0, "users": 1}


async def test_an_administrator_changes_it(
    house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    assert (await bob.put("/v1/org", json=SPEC)).status_code == 403
    read = await alice.get("/v1/org")
    # The answer can be sent back as it is: what is only read is not looked at.
    body = sent(read) | {"name": "  Acme & Sons ", "timezone": "Europe/Berlin", "slug": "other"}
    changed = await alice.put("/v1/org", json=body, headers={"If-Match": read.headers["etag"]})
    assert (sent(changed)["name"], sent(changed)["slug"]) == ("Acme & Sons", "acme")
    assert (sent(changed)["version"], changed.headers["etag"]) == (2, '"2"')
    stale = await alice.put("/v1/org", json=SPEC, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "VERSION_CONFLICT")
    assert await house.audit(house.cast.acme.id) == [
        ("org.updated", house.cast.alice.id, house.cast.alice.email)
    ]
    assert await house.payloads(house.cast.acme.id) == [
        {
            "before": {"name": "Acme", "timezone": "UTC", "locale": "en"},
            "after": {"name": "Acme & Sons", "timezone": "Europe/Berlin", "locale": "en"},
        }
    ]
    assert await house.audit(house.cast.globex.id) == []


@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        ({"name": "  "}, "$.name", "the name is empty"),
        ({"name": "A\nB"}, "$.name", "has a line break or another control character"),
        ({"name": "x" * 201}, "$.name", "must have at most 200 characters"),
        (
            {"timezone": "Mars/Olympus"},
            "$.timezone",
            "Mars/Olympus is no time zone; write an IANA name such as Europe/Berlin",
        ),
        (
            {"timezone": "../../etc/passwd"},
            "$.timezone",
            "../../etc/passwd is no time zone; write an IANA name such as Europe/Berlin",
        ),
        ({"locale": "de"}, "$.locale", "'de' is none of en"),
        ({"name": None}, "$.name", "must be text, not null"),
        ({"colour": "red"}, "$.colour", "there is no such field here"),
        ({"quota": {}}, "$.quota", "there is no such field here"),
        ({"deleted_at": 1}, "$.deleted_at", "there is no such field here"),
        ({"max_users": 1000}, "$.max_users", "there is no such field here"),
    ],
)
async def test_problems(
    house: Stage, alice: httpx.AsyncClient, change: dict[str, Any], path: str, said: str
) -> None:
    assert errors(await alice.put("/v1/org", json=SPEC | change)) == [(path, said)]
    assert await house.actions(house.cast.acme.id) == []


async def test_nobody_gives_themselves_more(house: Stage, alice: httpx.AsyncClient) -> None:
    """What only a provider or the product sets is not taken, whoever sends it."""
    more = {
        "quotas": {"monitors": 999},
        "plan": "gold",
        "parent_id": house.cast.globex.id,
        "id": house.cast.globex.id,
        "version": 99,
    }
    found = sent(await alice.put("/v1/org", json=SPEC | more))
    assert (found["id"], found["plan"], found["parent_id"], found["version"]) == (
        house.cast.acme.id,
        "free",
        None,
        2,
    )
    assert found["quotas"]["monitors"] is None


async def test_the_next_message_says_so(house: Stage, alice: httpx.AsyncClient) -> None:
    """Nothing between the database and a message remembers the old name or zone."""
    monitor = (await make(alice))["id"]
    hook = {"name": "Hook", "type": "webhook", "config": {"url": "https://hooks.example/x"}}
    channel = sent(await alice.post("/v1/alert-channels", json=hook), 201)["id"]
    rule = {"channel_id": channel, "monitor_id": monitor}
    sent(await alice.post("/v1/alert-rules", json=rule), 201)
    sent(await alice.put("/v1/org", json=SPEC))
    await fail(house, monitor, START + MINUTE)
    (claimed,) = await house.house.db.write(
        claims.claim, "here", START + MINUTE, limit=5, lease_ms=MINUTE
    )
    assert claimed.timezone == "Europe/Berlin"
    (notice,) = claimed.notices
    assert msgspec.json.decode(notice.payload)["org"]["name"] == "Acme & Sons"


async def test_a_key(house: Stage, alice: httpx.AsyncClient) -> None:
    async def key(*scopes: str) -> httpx.AsyncClient:
        body = {"name": "Ops", "scopes": list(scopes)}
        made = sent(await alice.post("/v1/api-keys", json=body), 201)
        return house.client(headers={"X-API-Key": made["key"]})

    reader, writer = await key("org:read"), await key("org:write")
    assert sent(await reader.get("/v1/org"))["name"] == "Acme"
    assert (await reader.put("/v1/org", json=SPEC)).status_code == 403
    assert sent(await writer.put("/v1/org", json=SPEC))["name"] == "Acme & Sons"
    assert (await (await key("monitors:write")).get("/v1/org")).status_code == 403
