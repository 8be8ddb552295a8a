"""Every channel that posts, against a sink that takes only what the service would take."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from netpulse.channels import CHANNELS, Carrier, DeliveryError, Twilio, posting
from netpulse.egress.connect import Egress
from netpulse.model import channel as model
from netpulse.model.alert import Event
from netpulse.rules.addresses import AddressPolicy
from tests import sinks
from tests.noticed import ACKNOWLEDGE, INCIDENT, MESSAGES, POLYGLOT, message
from tests.sinks import Asked, Service, Sink

SECRET = "B00000000-XXXXXXXXXXXXXXXXXXXXXXXX"


@dataclass
class Kind:
    """A channel, its service, and its configuration for a sink at a URL."""

    word: str
    service: Service
    config: Callable[[str], Any]


KINDS = [
    Kind(
        "slack",
        sinks.slack,
        lambda url: model.SlackConfig(webhook_url=f"{url}/services/T00000000/{SECRET}"),
    ),
    Kind(
        "discord",
        sinks.discord,
        lambda url: model.DiscordConfig(webhook_url=f"{url}/api/webhooks/112233/{SECRET}"),
    ),
    Kind(
        "teams",
        sinks.teams,
        lambda url: model.TeamsConfig(webhook_url=f"{url}/workflows/{SECRET}?sig=a-signature"),
    ),
    Kind(
        "telegram",
        sinks.telegram,
        lambda url: model.TelegramConfig(
            bot_token=f"110201543:{SECRET}", chat_id="-1001234", api_url=url
        ),
    ),
    Kind(
        "sms",
        sinks.twilio,
        lambda url: model.SmsConfig(
            to=("+491701234567",),
            sender="+15005550006",
            account_sid="AC" + "0" * 32,
            auth_token="a-token-of-twilio",
            api_url=url,
        ),
    ),
    Kind(
        "pagerduty",
        sinks.pagerduty,
        lambda url: model.PagerDutyConfig(routing_key="R" * 32, api_url=url),
    ),
    Kind(
        "ntfy",
        sinks.ntfy,
        lambda url: model.NtfyConfig(url=url, topic="alerts", token="tk_a-token"),
    ),
    Kind(
        "gotify",
        sinks.gotify,
        lambda url: model.GotifyConfig(url=f"{url}/", token="A-gotify-token"),
    ),
    Kind(
        "pushover",
        sinks.pushover,
        lambda url: model.PushoverConfig(user="u" * 30, token="a" * 30, api_url=url),
    ),
]
BY_WORD = {kind.word: kind for kind in KINDS}


@pytest.fixture
async def carrier() -> AsyncIterator[Carrier]:
    egress = Egress()
    yield Carrier(egress=egress)
    await egress.close()


@pytest.fixture(params=KINDS, ids=lambda kind: kind.word)
async def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
async def sink(kind: Kind) -> AsyncIterator[Sink]:
    async with Sink(kind.service) as listening:
        yield listening


async def refused(kind: Kind, sink: Sink, carrier: Carrier) -> DeliveryError:
    """Send the usual message and return how it fails."""
    with pytest.raises(DeliveryError) as caught:
        await CHANNELS[kind.word](kind.config(sink.url), message(), carrier)
    return caught.value


@pytest.mark.parametrize("what", MESSAGES)
async def test_the_service_takes_every_message(
    kind: Kind, sink: Sink, carrier: Carrier, what: str
) -> None:
    answer = await CHANNELS[kind.word](kind.config(sink.url), MESSAGES[what], carrier)
    assert sink.wrong == []
    assert len(sink.taken) == 1
    assert answer.status_code is not None
    assert 200 <= answer.status_code < 300
    assert answer.address == "127.0.0.1"


async def test_what_a_person_must_know_is_in_it(kind: Kind, sink: Sink, carrier: Carrier) -> None:
    await CHANNELS[kind.word](kind.config(sink.url), message(seconds=720), carrier)
    (asked,) = sink.taken
    said = json.dumps(asked.json) if asked.body[:1] == b"{" else json.dumps(asked.form)
    for part in ("Down: Shop (https://shop.example)", "503 Service Unavailable", "12 min"):
        assert part in said.replace("\\\\", ""), part
    assert ACKNOWLEDGE in said


async def test_too_many_is_tried_again_when_the_service_says(
    kind: Kind, sink: Sink, carrier: Carrier
) -> None:
    sink.script = (429, "slow down", {"Retry-After": "77"})
    error = await refused(kind, sink, carrier)
    assert (error.permanent, error.disables, error.retry_after_seconds) == (False, False, 77)
    assert error.status_code == 429


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_trouble_is_tried_again(
    kind: Kind, sink: Sink, carrier: Carrier, status: int
) -> None:
    sink.script = (status, "<h1>oops", {"Retry-After": "9"})
    error = await refused(kind, sink, carrier)
    assert (error.permanent, error.disables, error.retry_after_seconds) == (False, False, 9)


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 410])
async def test_what_speaks_of_the_channel_disables_it(
    kind: Kind, sink: Sink, carrier: Carrier, status: int
) -> None:
    sink.script = (status, "no", {"Location": f"{sink.url}/elsewhere"})
    error = await refused(kind, sink, carrier)
    assert (error.permanent, error.disables) == (True, True)
    assert len(sink.asked) == 1, "no redirect is followed"


async def test_what_speaks_of_the_message_does_not(
    kind: Kind, sink: Sink, carrier: Carrier
) -> None:
    sink.script = (400, "what is this", {})
    error = await refused(kind, sink, carrier)
    assert (error.permanent, error.disables) == (True, False)


async def test_silence_is_tried_again(
    kind: Kind, sink: Sink, carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "SEND_SECONDS", 0.3)
    sink.script = sinks.hang
    error = await refused(kind, sink, carrier)
    assert not error.permanent
    assert "did not answer within 0.3 s" in str(error)


async def test_what_is_no_http_is_tried_again(kind: Kind, sink: Sink, carrier: Carrier) -> None:
    async def garbage(_: Asked) -> web.StreamResponse:
        raise ConnectionResetError

    sink.script = garbage
    assert not (await refused(kind, sink, carrier)).permanent


async def test_addresses_that_may_not_be_dialled(kind: Kind, carrier: Carrier) -> None:
    for config in (
        kind.config("http://169.254.169.254"),
        kind.config("http://[fd00:ec2::254]"),
    ):
        with pytest.raises(DeliveryError) as caught:
            await CHANNELS[kind.word](config, message(), carrier)
        assert (caught.value.permanent, caught.value.disables) == (True, True)
    async with Sink(kind.service) as sink:
        strangers = Carrier(egress=carrier.egress.under(AddressPolicy(allow_private=False)))
        error = await refused(kind, sink, strangers)
        assert "public addresses" in str(error)
        assert sink.asked == []


async def test_secrets_that_the_far_side_repeats_are_blotted_out(
    kind: Kind, sink: Sink, carrier: Carrier
) -> None:
    async def repeat(asked: Asked) -> web.StreamResponse:
        everything = f"{asked.path} {json.dumps(asked.headers)} {asked.body.decode()}"
        return web.Response(status=400, text=everything)

    sink.script = repeat
    config = kind.config(sink.url)
    error = await refused(kind, sink, carrier)
    shown = f"{error} {error.answer}"
    secrets = [SECRET] if SECRET in repr(config) else []
    for name in ("token", "auth_token", "routing_key"):
        secrets += [value] if (value := getattr(config, name, None)) else []
    assert secrets
    for secret in secrets:
        assert secret not in shown


async def test_a_huge_answer_is_cut(kind: Kind, sink: Sink, carrier: Carrier) -> None:
    sink.script = (500, "x" * 1_000_000, {})
    assert len((await refused(kind, sink, carrier)).answer or "") == 4096


@pytest.mark.parametrize("word", ["no_service", "channel_is_archived", "action_prohibited"])
async def test_slack_says_that_a_webhook_is_gone(carrier: Carrier, word: str) -> None:
    async with Sink(sinks.slack, script=(400, word, {})) as sink:
        error = await refused(BY_WORD["slack"], sink, carrier)
    assert (error.permanent, error.disables) == (True, True)
    assert word in str(error)


async def test_discord_says_in_its_body_how_long_to_wait(carrier: Carrier) -> None:
    said = json.dumps({"message": "You are being rate limited.", "retry_after": 3.25})
    async with Sink(sinks.discord, script=(429, said, {"Retry-After": "1"})) as sink:
        error = await refused(BY_WORD["discord"], sink, carrier)
    assert (error.permanent, error.retry_after_seconds) == (False, 3.25)


async def test_nobody_is_woken_by_a_name(carrier: Carrier) -> None:
    async with Sink(sinks.discord) as sink:
        config = BY_WORD["discord"].config(sink.url)
        await CHANNELS["discord"](config, message(name=POLYGLOT), carrier)
        (asked,) = sink.taken
    assert asked.json["allowed_mentions"] == {"parse": []}


def telegram_says(
    status: int, description: str, **parameters: int
) -> tuple[int, str, dict[str, str]]:
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    if parameters:
        body["parameters"] = parameters
    return status, json.dumps(body), {}


@pytest.mark.parametrize(
    ("script", "disables", "words"),
    [
        (telegram_says(403, "Forbidden: bot was blocked by the user"), True, "blocked by the user"),
        (telegram_says(400, "Bad Request: chat not found"), True, "chat not found"),
        (telegram_says(401, "Unauthorized"), True, "check its token"),
        (
            telegram_says(400, "group chat was upgraded", migrate_to_chat_id=-100777),
            True,
            "-100777",
        ),
        (telegram_says(400, "Bad Request: message is too long"), False, "too long"),
        ((200, "<html>hello", {}), True, "not Telegram"),
    ],
)
async def test_telegrams_refusals(
    carrier: Carrier, script: tuple[int, str, dict[str, str]], disables: bool, words: str
) -> None:
    async with Sink(sinks.telegram, script=script) as sink:
        error = await refused(BY_WORD["telegram"], sink, carrier)
    assert (error.permanent, error.disables) == (True, disables)
    assert words in str(error)


async def test_telegram_says_in_its_body_how_long_to_wait(carrier: Carrier) -> None:
    script = telegram_says(429, "Too Many Requests: retry after 31", retry_after=31)
    async with Sink(sinks.telegram, script=script) as sink:
        error = await refused(BY_WORD["telegram"], sink, carrier)
    assert (error.permanent, error.retry_after_seconds) == (False, 31)


async def test_a_number_that_has_it_is_not_asked_again(carrier: Carrier) -> None:
    good, bad, later = "+491701234567", "+4917", "+491707654321"
    async with Sink(sinks.twilio) as sink:
        config = BY_WORD["sms"].config(sink.url)
        config = model.SmsConfig(
            to=(good, bad, later),
            sender="MG" + "0" * 32,
            account_sid=config.account_sid,
            auth_token=config.auth_token,
            api_url=sink.url,
        )
        notice = message()

        async def busy_for_one(asked: Asked) -> web.StreamResponse:
            said = {"code": 20429, "message": "Too Many Requests", "status": 429}
            busy = asked.form["To"] == later
            return web.Response(
                status=429 if busy else 201, text=json.dumps(said) if busy else "{}"
            )

        sink.script = busy_for_one
        with pytest.raises(DeliveryError) as caught:
            await CHANNELS["sms"](config, notice, carrier)
        assert not caught.value.permanent
        assert f"taken for {good}" in str(caught.value)
        sink.script = None
        sink.asked.clear()
        answer = await CHANNELS["sms"](config, notice, carrier)
        assert [asked.form["To"] for asked in sink.asked] == [later]
        assert f"taken for {good}, {later}; refused for {bad}: Twilio answered 21211" in answer.text


async def test_an_account_that_twilio_does_not_know_disables(carrier: Carrier) -> None:
    async with Sink(sinks.twilio) as sink:
        lender = Carrier(
            egress=carrier.egress,
            twilio=Twilio(account_sid="AC" + "1" * 32, auth_token="wrong", sender="+15005550006"),
        )
        config = model.SmsConfig(to=("+491701234567", "+491701234568"), api_url=sink.url)
        with pytest.raises(DeliveryError) as caught:
            await CHANNELS["sms"](config, message(), lender)
    assert (caught.value.permanent, caught.value.disables) == (True, True)
    assert str(caught.value).startswith("Twilio answered 20003")
    assert len(sink.asked) == 1


async def test_sms_without_an_account(carrier: Carrier) -> None:
    with pytest.raises(DeliveryError) as caught:
        await CHANNELS["sms"](model.SmsConfig(to=("+491701234567",)), message(), carrier)
    assert caught.value.disables
    assert "TWILIO_SID" in str(caught.value)


async def test_pagerdutys_events_meet_in_one_alert(carrier: Carrier) -> None:
    async with Sink(sinks.pagerduty) as sink:
        config = BY_WORD["pagerduty"].config(sink.url)
        for event in (Event.MONITOR_DOWN, Event.MONITOR_UP):
            await CHANNELS["pagerduty"](config, message(event), carrier)
        for event in (Event.MONITOR_THRESHOLD, Event.SYSTEM_ISOLATED, Event.SYSTEM_RECOVERED):
            await CHANNELS["pagerduty"](config, message(event), carrier)
    sent = [(asked.json["event_action"], asked.json["dedup_key"]) for asked in sink.taken]
    assert sent[:2] == [("trigger", INCIDENT), ("resolve", INCIDENT)]
    assert sent[2][0] == "trigger"
    assert sent[2][1] != INCIDENT
    assert [action for action, _ in sent[3:]] == ["trigger", "resolve"]
    assert sent[3][1] == sent[4][1]


async def test_pagerduty_knows_no_such_key(carrier: Carrier) -> None:
    async with Sink(sinks.pagerduty) as sink:
        config = model.PagerDutyConfig(routing_key="short", api_url=sink.url)
        with pytest.raises(DeliveryError) as caught:
            await CHANNELS["pagerduty"](config, message(), carrier)
    assert (caught.value.permanent, caught.value.disables) == (True, True)


async def test_pushover_knows_no_such_user(carrier: Carrier) -> None:
    async with Sink(sinks.pushover) as sink:
        config = model.PushoverConfig(user="nobody", token="a" * 30, api_url=sink.url)
        with pytest.raises(DeliveryError) as caught:
            await CHANNELS["pushover"](config, message(), carrier)
    assert (caught.value.permanent, caught.value.disables) == (True, True)
    assert str(caught.value) == "Pushover answered: user identifier is invalid"


async def test_a_silent_twilio_is_asked_for_one_number_only(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "SEND_SECONDS", 0.2)
    async with Sink(sinks.twilio, script=sinks.hang) as sink:
        one = BY_WORD["sms"].config(sink.url)
        config = model.SmsConfig(
            to=("+491701234567", "+491701234568"),
            sender=one.sender,
            account_sid=one.account_sid,
            auth_token=one.auth_token,
            api_url=sink.url,
        )
        notice = message()
        with pytest.raises(DeliveryError) as caught:
            await CHANNELS["sms"](config, notice, carrier)
        assert not caught.value.permanent
        assert len(sink.asked) == 1
        # Now it is a busy machine that has time.
        monkeypatch.setattr(posting, "SEND_SECONDS", 10.0)
        sink.script = None
        answer = await CHANNELS["sms"](config, notice, carrier)
        assert len(sink.taken) == 2
        assert "taken for +491701234567, +491701234568" in answer.text
