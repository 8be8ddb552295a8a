"""API keys: made once, shown once, bound to their scopes, organization and maker."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from netpulse.model.letter import LetterKind
from netpulse.model.time import DAY, MINUTE, rfc3339
from netpulse.model.user import Role
from netpulse.storage.db import Conn
from tests import people
from tests.api.test_monitors import SPEC, errors, make, sent
from tests.clock import START, FakeClock
from tests.conftest import WITH_MAIL, Opener, Stage

MONITORS = {"name": "Deploy", "scopes": ["monitors:write"]}


async def a_key(client: httpx.AsyncClient, *scopes: str, **more: Any) -> Any:
    body = {"name": "Deploy", "scopes": list(scopes), **more}
    return sent(await client.post("/v1/api-keys", json=body), 201)


def signed(house: Stage, key: str, **more: str) -> httpx.AsyncClient:
    return house.client(headers={"X-API-Key": key, **more})


async def test_it_is_shown_once(
    house: Stage, alice: httpx.AsyncClient, charlie: httpx.AsyncClient
) -> None:
    made = await a_key(alice, "monitors:read", "alerts:write")
    assert re.fullmatch(r"np_[a-z0-9]{8}_[0-9A-Za-z]{43}", made["key"])
    assert made["key"].startswith(made["prefix"] + "_")
    (listed,) = sent(await alice.get("/v1/api-keys"))
    assert listed == {name: value for name, value in made.items() if name != "key"}
    assert listed["scopes"] == ["alerts:write", "monitors:read"]
    assert sent(await charlie.get("/v1/api-keys")) == []
    stored = await house.house.db.read(lambda conn: conn.all("SELECT * FROM api_keys"))
    assert made["key"] not in str(stored)
    assert made["key"] not in str(await house.payloads(house.cast.acme.id))
    assert await house.actions(house.cast.acme.id) == ["api_key.created"]


async def test_it_does_what_its_scopes_say(house: Stage, alice: httpx.AsyncClient) -> None:
    monitor = await make(alice)
    reader = signed(house, (await a_key(alice, "monitors:read"))["key"])
    writer = signed(house, (await a_key(alice, "monitors:write"))["key"])
    assert sent(await reader.get(f"/v1/monitors/{monitor['id']}"))["name"] == "Shop"
    refused = await reader.post("/v1/monitors", json=SPEC)
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        403,
        "This API key lacks the scope monitors:write",
    )
    assert sent(await writer.get(f"/v1/monitors/{monitor['id']}"))["name"] == "Shop"
    made = sent(await writer.post("/v1/monitors", json=SPEC), 201)
    assert made["created_by"] == house.cast.alice.id
    for path in ("/v1/incidents", "/v1/alert-channels", "/v1/alert-events", "/v1/maintenance"):
        assert (await writer.get(path)).status_code == 403
    rows = await house.house.db.read(
        lambda conn: conn.all(
            "SELECT actor_kind, actor_label FROM audit_logs WHERE action = 'monitor.created'"
            " ORDER BY seq"
        )
    )
    assert rows[0][0] == "user"
    assert rows[1][0] == "api_key"
    assert rows[1][1].startswith("Deploy (np_")


async def test_pages_signing_in_and_keys_take_none(house: Stage, alice: httpx.AsyncClient) -> None:
    key = await a_key(alice, "org:write", "monitors:write")
    client = signed(house, key["key"])
    for path in ("/v1/auth/me", "/v1/api-keys"):
        assert (await client.get(path)).status_code in {403, 404}
    assert (await client.get("/v1/api-keys")).status_code == 403
    assert (await client.post("/v1/api-keys", json=MONITORS)).status_code == 403
    assert (await client.get("/monitors")).status_code == 403
    assert (await client.get("/live")).status_code == 403


async def test_metrics(house: Stage, alice: httpx.AsyncClient) -> None:
    await make(alice)
    reader = signed(house, (await a_key(alice, "metrics:read"))["key"])
    assert "netpulse_monitor_up" in (await reader.get("/metrics")).text
    other = signed(house, (await a_key(alice, "monitors:read"))["key"])
    assert (await other.get("/metrics")).status_code == 403


async def test_rotating_and_revoking_end_the_old_one_at_once(
    house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient, charlie: httpx.AsyncClient
) -> None:
    made = await a_key(alice, "monitors:read")
    url = f"/v1/api-keys/{made['id']}"
    for stranger, status in ((bob, 403), (charlie, 404)):
        assert (await stranger.post(f"{url}/rotate")).status_code == status
        assert (await stranger.delete(url)).status_code == status
    old = signed(house, made["key"])
    assert (await old.get("/v1/monitors")).status_code == 200
    again = sent(await alice.post(f"{url}/rotate"))
    assert (again["id"], again["version"]) == (made["id"], 2)
    assert again["key"] != made["key"]
    assert (await old.get("/v1/monitors")).status_code == 401
    new = signed(house, again["key"])
    assert (await new.get("/v1/monitors")).status_code == 200
    assert sent(await alice.delete(url)) is None
    assert (await new.get("/v1/monitors")).status_code == 401
    assert (await alice.delete(url)).json()["error"]["code"] == "API_KEY_NOT_FOUND"
    assert await house.actions(house.cast.acme.id) == [
        "api_key.created",
        "api_key.rotated",
        "api_key.revoked",
    ]


async def test_it_expires(house: Stage, alice: httpx.AsyncClient) -> None:
    key = await a_key(alice, "monitors:read", expires_at=rfc3339(START + DAY))
    client = signed(house, key["key"])
    assert (await client.get("/v1/monitors")).status_code == 200
    clock = house.house.clock
    assert isinstance(clock, FakeClock)
    clock.advance(DAY // 1000)
    assert (await client.get("/v1/monitors")).status_code == 401


async def test_it_is_never_more_than_its_maker(house: Stage, alice: httpx.AsyncClient) -> None:
    client = signed(house, (await a_key(alice, "monitors:write"))["key"])
    assert (await client.post("/v1/monitors", json=SPEC)).status_code == 201

    def lower(conn: Conn) -> None:
        conn.execute(
            "UPDATE memberships SET role = ? WHERE user_id = ?",
            (Role.VIEWER.word, house.cast.alice.id),
        )

    await house.house.db.write(lower)
    assert (await client.post("/v1/monitors", json=SPEC)).status_code == 403
    assert (await client.get("/v1/monitors")).status_code == 200
    for change in ("UPDATE users SET is_active = 0", "DELETE FROM memberships"):
        await house.house.db.write(lambda conn, sql=change: conn.execute(sql))
        assert (await client.get("/v1/monitors")).status_code == 401


async def test_who_rotates_it_is_its_maker(house: Stage, alice: httpx.AsyncClient) -> None:
    """Nobody gets at more than they may by rotating the key of somebody who may more."""
    root = await people.add(house, "root", Role.SUPER_ADMIN)
    made = await a_key(people.client(house, root), "org:write")
    again = sent(await alice.post(f"/v1/api-keys/{made['id']}/rotate"))
    assert (made["created_by"], again["created_by"]) == (root.id, house.cast.alice.id)
    key = signed(house, again["key"])
    answer = await key.patch(f"/v1/org/members/{root.id}", json={"role": "viewer"})
    assert answer.status_code == 403
    # It falls with whoever took it over, and not with whoever made it first.
    other = people.client(house, root)
    sent(await other.patch(f"/v1/org/members/{house.cast.alice.id}", json={"is_active": False}))
    assert (await key.get("/v1/org")).status_code == 401
    rows = await house.payloads(house.cast.acme.id)
    assert [row["after"]["created_by"] for row in rows[:2]] == [root.id, house.cast.alice.id]


async def test_an_expired_one_is_not_rotated(house: Stage, alice: httpx.AsyncClient) -> None:
    """It would be another dead one."""
    made = await a_key(alice, "monitors:read", expires_at=rfc3339(START + MINUTE))
    clock = house.house.clock
    assert isinstance(clock, FakeClock)
    clock.advance(60)
    answer = await alice.post(f"/v1/api-keys/{made['id']}/rotate")
    assert (answer.status_code, answer.json()["error"]) == (
        409,
        {
            "code": "API_KEY_EXPIRED",
            "message": "This API key has expired; make another",
            "details": {},
        },
    )
    refused = await signed(house, made["key"]).get("/v1/monitors")
    assert refused.json()["error"]["message"] == "This API key has expired; make another"
    assert await house.actions(house.cast.acme.id) == ["api_key.created"]


async def test_its_organization_is_its_own(house: Stage, alice: httpx.AsyncClient) -> None:
    key = (await a_key(alice, "monitors:read"))["key"]
    acme, globex = house.cast.acme.id, house.cast.globex.id
    assert (await signed(house, key, **{"X-Org-Id": acme}).get("/v1/monitors")).status_code == 200
    assert (await signed(house, key, **{"X-Org-Id": globex}).get("/v1/monitors")).status_code == 403


async def test_last_use_is_noted_to_the_minute(house: Stage, alice: httpx.AsyncClient) -> None:
    client = signed(house, (await a_key(alice, "monitors:read"))["key"])

    async def last() -> str | None:
        return sent(await alice.get("/v1/api-keys"))[0]["last_used_at"]

    assert await last() is None
    await client.get("/v1/monitors")
    assert await last() == rfc3339(START)
    clock = house.house.clock
    assert isinstance(clock, FakeClock)
    clock.advance(30)
    await client.get("/v1/monitors")
    assert await last() == rfc3339(START)
    clock.advance(30)
    await client.get("/v1/monitors")
    assert await last() == rfc3339(START + MINUTE)


@pytest.mark.parametrize(
    "key",
    ["", "np_", "np_aaaaaaaa_" + "a" * 43, "np_AAAAAAAA_" + "a" * 43, "x" * 5000, "np_é"],
)
async def test_a_wrong_one_is_refused(house: Stage, alice: httpx.AsyncClient, key: str) -> None:
    # Beside a sign-in that stands, too: who sends a key means the key.
    headers = {**house.cast.alice.headers, "X-API-Key": key.encode()}
    answer = await house.client(headers=headers).get("/v1/monitors")
    assert answer.status_code == 401


async def test_one_wrong_character_is_enough(house: Stage, alice: httpx.AsyncClient) -> None:
    key = (await a_key(alice, "monitors:read"))["key"]
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    assert (await signed(house, wrong).get("/v1/monitors")).status_code == 401


async def test_problems(house: Stage, alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    assert (await bob.post("/v1/api-keys", json=MONITORS)).status_code == 403
    found = errors(
        await alice.post(
            "/v1/api-keys",
            json={"name": " ", "scopes": ["monitors:eat"], "expires_at": rfc3339(START)},
        )
    )
    assert [path for path, _ in found] == ["$.name", "$.expires_at", "$.scopes[0]"]
    assert found[1][1] == "must be in the future"
    assert [path for path, _ in errors(await alice.post("/v1/api-keys", json={"name": "x"}))] == [
        "$.scopes"
    ]


async def test_its_maker_hears_of_it_by_mail(open_stage: Opener) -> None:
    stage = await open_stage(config=WITH_MAIL)
    alice = stage.client(headers=stage.cast.alice.headers)
    made = await a_key(alice, "monitors:read", name="Deploy\u202e " + "x" * 100)
    name = f"Deploy {'x' * 52}… ({made['prefix']}…)"
    (letter,) = await stage.letters()
    assert (letter.recipient, letter.kind) == ("alice@acme.example", LetterKind.SECURITY)
    assert letter.subject == f"NetPulse: the API key {name} was made in your name"
    assert letter.text.startswith(
        f"The API key {name} was made in your name.\n\n"
        "When: 2025-12-17T19:33:20Z\nBy: your own account from 192.0.2.10\n\n"
    )
    assert made["key"] not in letter.text
    assert isinstance(stage.house.clock, FakeClock)
    stage.house.clock.advance(1)
    sent(await alice.post(f"/v1/api-keys/{made['id']}/rotate"))
    _, second = await stage.letters()
    assert (
        second.subject
        == f"NetPulse: the API key {name} that was made in your name was given another secret"
    )


async def test_without_a_mail_server_no_letter_is_written(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    made = await a_key(alice, "monitors:read")
    sent(await alice.post(f"/v1/api-keys/{made['id']}/rotate"))
    assert await house.letters() == []
