"""The step after the setup: a channel and a rule about everything, by one small form."""

from __future__ import annotations

import httpx
import pytest

from netpulse.config import Config
from tests.api.test_monitors import SPEC, sent
from tests.api.test_pages import led_to, problems, text_of
from tests.conftest import WITH_MAIL, Opener, Stage
from tests.receiver import Receiver

HERE = "/setup/alerts"


def signed_in(stage: Stage) -> tuple[httpx.AsyncClient, dict[str, str]]:
    """Return a client of the administrator's, and what each form sends."""
    client = stage.client()
    client.headers.update(stage.cast.alice.headers)
    return client, {"np_org": stage.cast.acme.id}


async def test_a_webhook(house: Stage) -> None:
    alice, form = signed_in(house)
    sent(await alice.post("/v1/monitors", json=SPEC), 201)
    page = text_of(await alice.get(HERE))
    assert "NetPulse has no mail server yet. Put one into the section <code>[smtp]</code>" in page
    assert 'value="mail" id="f-how" disabled' in page
    async with Receiver() as receiver:
        body = form | {"how": "webhook", "url": receiver.url}
        assert led_to(await alice.post(HERE, data=body)) == f"{HERE}?told=first-rule"
        (channel,) = sent(await alice.get("/v1/alert-channels"))
        (rule,) = sent(await alice.get("/v1/alert-rules"))
        assert (channel["name"], channel["type"]) == ("Webhook", "webhook")
        assert channel["config"]["url"] == receiver.url
        assert (rule["name"], rule["condition"]) == ("Anything is down", "down")
        assert (rule["monitor_id"], rule["tag"]) == (None, None)
        assert rule["channel_id"] == channel["id"]
        assert rule["notify_recovery"] is True
        assert (await house.actions(house.cast.acme.id))[-2:] == [
            "alert_channel.created",
            "alert_rule.created",
        ]
        page = text_of(await alice.get(f"{HERE}?told=first-rule"))
        assert "Saved. Send a test to be sure that it arrives." in page
        there = f"/setup/channels/{channel['id']}/test"
        assert f'action="{there}"' in page
        page = text_of(await alice.post(there, data=form))
        assert "Webhook took the test: HTTP 200" in page
        assert len(receiver.taken) == 1
        receiver.answer = lambda _: 404
        page = text_of(await alice.post(there, data=form))
        assert "Webhook did not take the test" in page
    assert led_to(await alice.get(there)) == HERE
    dashboard = text_of(await alice.get("/dashboard"))
    assert "Nobody is told" not in dashboard
    assert "Three steps" not in dashboard


async def test_mail(open_stage: Opener) -> None:
    stage = await open_stage(config=WITH_MAIL)
    alice, form = signed_in(stage)
    page = text_of(await alice.get(HERE))
    assert 'value="mail" id="f-how" checked' in page
    assert f'value="{stage.cast.alice.email}"' in page
    body = form | {"how": "mail", "to": "ops@acme.example", "url": ""}
    assert led_to(await alice.post(HERE, data=body)) == f"{HERE}?told=first-rule"
    (channel,) = sent(await alice.get("/v1/alert-channels"))
    assert channel["name"] == "Mail to ops@acme.example"
    assert channel["config"] == {"to": ["ops@acme.example"], "smtp": None}


async def test_both_are_named_in_one_language(house: Stage) -> None:
    alice, form = signed_in(house)
    alice.headers["Accept-Language"] = "de"
    body = form | {"how": "webhook", "url": "https://hooks.example/x"}
    assert led_to(await alice.post(HERE, data=body)) == f"{HERE}?told=first-rule"
    (rule,) = sent(await alice.get("/v1/alert-rules"))
    assert rule["name"] == "Irgendetwas ist ausgefallen"


@pytest.mark.parametrize(
    ("with_mail", "entered", "wrong"),
    [
        (True, {"how": "mail", "to": "nobody"}, "Mail address: nobody is no mail address"),
        (True, {"how": "mail", "to": ""}, "Mail address: is empty;"),
        (True, {"how": "webhook", "url": ""}, "Address of the webhook: "),
        (True, {"how": "webhook", "url": "ftp://x/"}, "Address of the webhook: "),
        (False, {"how": "mail", "to": "ops@acme.example"}, "Address of the webhook: "),
        (False, {}, "Address of the webhook: "),
    ],
)
async def test_mistakes_make_nothing(
    open_stage: Opener, with_mail: bool, entered: dict[str, str], wrong: str
) -> None:
    stage = await open_stage(config=WITH_MAIL if with_mail else Config())
    alice, form = signed_in(stage)
    (problem,) = problems(await alice.post(HERE, data=form | entered))
    assert problem.startswith(wrong)
    assert sent(await alice.get("/v1/alert-channels")) == []
    assert sent(await alice.get("/v1/alert-rules")) == []


async def test_it_is_for_administrators(house: Stage, bob: httpx.AsyncClient) -> None:
    form = {"np_org": house.cast.acme.id, "how": "webhook", "url": "https://hooks.example/x"}
    assert (await bob.get(HERE)).status_code == 403
    assert (await bob.post(HERE, data=form)).status_code == 403


async def test_the_first_steps_lead_here(house: Stage) -> None:
    alice, _ = signed_in(house)
    assert f'href="{HERE}">Add a channel' in text_of(await alice.get("/dashboard"))
