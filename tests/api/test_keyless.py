"""The web without the encryption key: who can sign in, what is refused and how, and what pages say."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from netpulse.config import Config, Metrics
from netpulse.model.status_page import StatusPage
from netpulse.storage import known_addresses, status_pages, subscribers, users
from netpulse.storage.db import Conn
from tests.cast import PASSWORD
from tests.clock import START
from tests.conftest import WITH_MAIL, Opener, Stage
from tests.sign_ins import RECOVERY, arm, code, login

WORDS = "NetPulse runs without its encryption key"
BANNER = "Nobody is told of anything."
HOOK = {"name": "Hook", "type": "webhook", "config": {"url": "https://hooks.example/x"}}
SHOP = {"type": "http", "name": "Shop", "target": "http://192.0.2.1/"}
GUARDED = SHOP | {"name": "Guarded", "auth": {"type": "basic", "username": "a", "password": "b"}}
JOB = {"type": "push", "name": "Job"}


@pytest.fixture
async def before(open_stage: Opener) -> Stage:
    """The instance with its key."""
    return await open_stage(config=WITH_MAIL)


@pytest.fixture
async def known(before: Stage) -> dict[str, str]:
    """Make something of everything, and say where it is."""
    alice = before.client(headers=before.cast.alice.headers)

    async def made(path: str, body: Any) -> Any:
        answer = await alice.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["data"]

    found = {
        "monitor": (await made("/v1/monitors", SHOP))["id"],
        "guarded": (await made("/v1/monitors", GUARDED))["id"],
        "ping": (await made("/v1/monitors", JOB))["ping_url"],
        "channel": (await made("/v1/alert-channels", HOOK))["id"],
        "key": (await made("/v1/api-keys", {"name": "Robot", "scopes": ["monitors:read"]}))["key"],
        "link": (
            await made("/v1/org/members/invite", {"email": "new@example.com", "role": "viewer"})
        )["url"].removeprefix("https://netpulse.example"),
    }
    await before.house.engine.settled()
    return found


@pytest.fixture
async def lost(open_stage: Opener, before: Stage, known: dict[str, str]) -> Stage:
    """The same data, started without the key."""
    assert known, "made before the key was lost"
    return await open_stage(data=before.data, keyless=True, config=WITH_MAIL, start=True)


def refused(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    error = answer.json()["error"]
    assert error["code"] == "ENCRYPTION_KEY_MISSING"
    assert error["message"].startswith(WORDS)


@pytest.fixture
async def admin(lost: Stage) -> httpx.AsyncClient:
    return lost.client(headers=lost.cast.alice.headers)


async def test_whatever_would_store_a_secret_is_refused(
    lost: Stage, admin: httpx.AsyncClient, known: dict[str, str]
) -> None:
    bare = {key: value for key, value in GUARDED.items() if key != "auth"}
    for path, body in (
        ("/v1/alert-channels", HOOK),
        ("/v1/monitors", GUARDED),
        ("/v1/monitors", JOB),
        ("/v1/api-keys", {"name": "Another", "scopes": ["monitors:read"]}),
        ("/v1/org/members/invite", {"email": "other@example.com", "role": "viewer"}),
        ("/v1/auth/2fa/setup", {"current_password": PASSWORD}),
        # Whoever changes their password is told by letter, and letters are sealed.
        (
            "/v1/auth/password",
            {"current_password": PASSWORD, "new_password": "eight calm badgers"},
        ),
    ):
        refused(await admin.post(path, json=body))
    refused(await admin.put(f"/v1/alert-channels/{known['channel']}", json=HOOK))
    refused(await admin.put(f"/v1/monitors/{known['guarded']}", json=bare))
    # Nothing of it was done.
    assert (await admin.get("/v1/alert-channels")).json()["meta"]["total"] == 1
    assert (await admin.get("/v1/monitors")).json()["meta"]["total"] == 3
    assert (await admin.get("/v1/api-keys")).json()["meta"]["total"] == 1


async def test_what_needs_no_secret_goes_on(
    lost: Stage, admin: httpx.AsyncClient, known: dict[str, str]
) -> None:
    assert (await admin.post("/v1/monitors", json=SHOP | {"name": "New"})).status_code == 201
    changed = await admin.put(f"/v1/monitors/{known['monitor']}", json=SHOP | {"name": "Store"})
    assert changed.json()["data"]["name"] == "Store"
    paused = await admin.post(f"/v1/monitors/{known['guarded']}/pause")
    assert paused.json()["data"]["is_paused"] is True
    listed = (await admin.get("/v1/alert-channels")).json()["data"]
    assert [(one["config"], WORDS in one["problem"]) for one in listed] == [(None, True)]
    rule = {"channel_id": known["channel"], "condition": "down"}
    assert (await admin.post("/v1/alert-rules", json=rule)).status_code == 201
    assert "monitor.updated" in await lost.actions(lost.cast.acme.id)


async def test_strangers_with_something_that_only_the_key_can_tell(
    lost: Stage, known: dict[str, str]
) -> None:
    """They are asked to come again, and learn nothing of how it is with us."""
    anybody = lost.client()
    answers = [
        await anybody.get("/v1/monitors", headers={"X-API-Key": known["key"]}),
        await anybody.get(known["ping"]),
        await anybody.post(f"{known['ping']}/fail"),
        await anybody.get("/ping/nobodys-token"),
        await anybody.get(known["link"]),
        await anybody.get("/acknowledge/a.b.1.c"),
        await anybody.get("/subscriptions/a.b/confirm"),
        await anybody.post(
            "/v1/auth/password/reset", json={"token": "x" * 43, "password": "eight calm badgers"}
        ),
    ]
    for answer in answers:
        assert answer.status_code == 503, (answer.url, answer.text)
        assert "encryption" not in answer.text
        assert "right now" in answer.text
    # A key that nobody has is none, as ever.
    stray = await anybody.get("/v1/monitors", headers={"X-API-Key": "np_live_" + "x" * 40})
    assert stray.status_code == 401
    # Of a forgotten password everybody hears the same, whoever they are.
    for email in (lost.cast.alice.email, "nobody@example.com"):
        forgot = await anybody.post("/v1/auth/password/forgot", json={"email": email})
        assert (forgot.status_code, forgot.json()["error"]["code"]) == (503, "MAIL_NOT_CONFIGURED")


async def test_readyz_says_why_to_who_may_know(open_stage: Opener, before: Stage) -> None:
    stage = await open_stage(data=before.data, keyless=True, config=WITH_MAIL, start=True)
    answer = await stage.client().get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "not ready"})
    known = await stage.client(headers=stage.cast.bob.headers).get("/readyz")
    assert known.status_code == 503
    assert known.json()["encryption_key"] == "missing or another one: nobody is told"
    assert known.json()["database"] == "writable"
    right = await before.client(headers=before.cast.bob.headers).get("/readyz")
    assert right.json()["encryption_key"] == "in use"


async def test_the_figures_say_that_nobody_is_told(open_stage: Opener, before: Stage) -> None:
    config = Config(metrics=Metrics(allow=("192.0.2.0/24",)))
    stage = await open_stage(data=before.data, keyless=True, config=config)
    named = stage.client(base="http://127.0.0.1")
    assert "\nnetpulse_telling 0\n" in (await named.get("/metrics")).text
    right = await open_stage(data=before.data, config=config)
    figures = await right.client(base="http://127.0.0.1").get("/metrics")
    assert "\nnetpulse_telling 1\n" in figures.text


async def test_a_password_alone_lets_in(lost: Stage) -> None:
    """Through the API and on the pages; what was signed in with the key is not known any more."""
    bob = lost.cast.bob
    answer = await login(lost.client(), bob.email)
    token = answer.json()["data"]["access_token"]
    fresh = lost.client(headers={"Authorization": f"Bearer {token}"})
    assert (await fresh.get("/v1/auth/me")).json()["data"]["user"]["email"] == bob.email
    browser = lost.client()
    entered = await browser.post("/login", data={"email": bob.email, "password": PASSWORD})
    assert entered.status_code == 303
    for path in ("/dashboard", "/monitors", "/incidents", "/alerts", "/settings/about", "/profile"):
        page = await browser.get(path)
        assert page.status_code == 200
        assert BANNER in page.text, path
    assert BANNER not in (await lost.client().get("/login")).text


async def test_a_second_factor_that_cannot_be_checked_lets_nobody_in(
    open_stage: Opener, before: Stage
) -> None:
    await arm(before, before.cast.alice)
    stage = await open_stage(data=before.data, keyless=True, config=WITH_MAIL)
    email = before.cast.alice.email
    for text in (code(before), RECOVERY[0], "000000"):
        answer = await login(stage.client(), email, totp_code=text)
        assert (answer.status_code, answer.json()["error"]["code"]) == (
            503,
            "ENCRYPTION_KEY_MISSING",
        )
        assert "cannot check your code" in answer.json()["error"]["message"]
    # No attempt was counted, and no code used up: with the key all is as it was.
    for _ in range(6):
        await login(stage.client(), email, totp_code="000000")
    assert (await login(before.client(), email, totp_code=RECOVERY[0])).status_code == 200


async def test_a_sign_in_from_elsewhere_is_told_with_the_key(
    open_stage: Opener, before: Stage
) -> None:
    bob = before.cast.bob
    assert (await login(before.client(ip="192.0.2.1"), bob.email)).status_code == 200
    written = len(await before.letters())
    stage = await open_stage(data=before.data, keyless=True, config=WITH_MAIL)
    assert (await login(stage.client(ip="198.51.100.7"), bob.email)).status_code == 200
    assert len(await stage.letters()) == written

    def is_known(conn: Conn) -> bool:
        return known_addresses.is_known(conn, bob.id, "198.51.100.7")

    assert not await stage.house.db.read(is_known)
    assert (await login(before.client(ip="198.51.100.7"), bob.email)).status_code == 200
    assert len(await before.letters()) == written + 1
    assert await before.house.db.read(is_known)


async def test_what_a_page_says_where_a_secret_cannot_be_stored(
    lost: Stage, known: dict[str, str]
) -> None:
    browser = lost.client(headers={"Accept-Language": "de"})
    alice = lost.cast.alice.email
    await browser.post("/login", data={"email": alice, "password": PASSWORD})
    form = {"action": "save", "name": "Hook", "type": "webhook", "is_active": "true"}
    form |= {"config.url": "https://hooks.example/y", "retry_for_seconds": "86400"}
    saved = await browser.post("/alerts/channels/new?type=webhook", data=form)
    assert saved.status_code == 503
    assert "NetPulse läuft ohne seinen Schlüssel" in saved.text
    shown = await browser.get(f"/monitors/{known['guarded']}")
    assert "look at every field and save it again" not in shown.text
    assert "Niemand wird benachrichtigt" in shown.text


async def test_nobody_can_subscribe_or_confirm(open_stage: Opener, before: Stage) -> None:
    acme = before.cast.acme.id

    def publish(conn: Conn) -> StatusPage:
        return status_pages.insert(
            conn,
            StatusPage(
                id="0" * 8 + "-0000-7000-8000-" + "0" * 12,
                org_id=acme,
                slug="acme",
                title="Acme",
                takes_subscribers=True,
                created_at=START,
                updated_at=START,
            ),
        )

    page = await before.house.db.write(publish)
    stage = await open_stage(data=before.data, keyless=True, config=WITH_MAIL, start=True)
    reader = stage.client()
    shown = await reader.get("/status/acme")
    assert shown.status_code == 200
    assert "encryption" not in shown.text
    for _ in range(2):
        asked = await reader.post(
            "/status/acme/subscribe", data={"kind": "email", "address": "reader@example.com"}
        )
        assert asked.status_code == 503
    assert await stage.house.db.read(subscribers.count, page.id) == (0, 0)
    assert await stage.house.db.read(users.count) == 3
