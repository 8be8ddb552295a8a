"""The webhook channel against a real receiver, verified by the specification's own library."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from typing import get_args

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from netpulse.channels import CHANNELS, Carrier, DeliveryError, Message, deliver, send_test, webhook
from netpulse.egress.connect import Egress
from netpulse.model.channel import Channel, ChannelConfig, WebhookConfig
from netpulse.model.ids import new_id
from netpulse.model.org import Org
from netpulse.rules.messages import Words
from tests.receiver import Receiver

SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-four..").decode()
PAYLOAD = b'{"event":"monitor.down","name":"sch\xc3\xb6n"}'
ORG = Org(id=new_id(1), name="Acme", slug="acme", created_at=1)


def now() -> int:
    return time.time_ns() // 1_000_000


def message(notice_id: str = "019b2dcd-7c37-7df4-a095-8fb2bc0e4842") -> Message:
    return Message(
        id=notice_id,
        event="monitor.down",
        payload=PAYLOAD,
        speak=lambda: Words(title="Down: schön"),
        created_at=now(),
        attempted_at=now(),
    )


def channel(config: WebhookConfig, kind: str = "webhook") -> Channel:
    return Channel(id=new_id(1), org_id=ORG.id, name="Hook", type=kind, config=config, created_at=1)


@pytest.fixture
async def carrier() -> AsyncIterator[Carrier]:
    way_out = Egress()
    yield Carrier(egress=way_out)
    await way_out.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as listening:
        yield listening


async def test_the_specifications_library_verifies_our_signature(
    carrier: Carrier, receiver: Receiver
) -> None:
    answer = await webhook.send(WebhookConfig(url=receiver.url, secret=SECRET), message(), carrier)
    (got,) = receiver.taken
    assert Webhook(SECRET).verify(got.body, got.headers) == json.loads(PAYLOAD)
    assert got.body == PAYLOAD
    assert got.headers["content-type"] == "application/json"
    assert got.headers["webhook-id"] == message().id
    assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < 5
    assert (answer.status_code, answer.text) == (200, "thank you")
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(got.body + b" ", got.headers)


def test_the_signature_is_the_specifications() -> None:
    ours = webhook.signature(SECRET, "msg_1", 1_700_000_000, PAYLOAD)
    from datetime import UTC, datetime

    at = datetime.fromtimestamp(1_700_000_000, UTC)
    assert ours == Webhook(SECRET).sign("msg_1", at, PAYLOAD.decode())


async def test_without_a_secret_it_is_unsigned(carrier: Carrier, receiver: Receiver) -> None:
    await webhook.send(WebhookConfig(url=receiver.url), message(), carrier)
    (got,) = receiver.taken
    assert "webhook-signature" not in got.headers
    assert got.headers["webhook-id"]


async def test_own_headers_are_sent_and_cannot_replace_ours(
    carrier: Carrier, receiver: Receiver
) -> None:
    headers = {"X-Team": "blue", "Webhook-Id": "forged", "Content-Type": "text/plain"}
    await webhook.send(WebhookConfig(url=receiver.url, headers=headers), message(), carrier)
    (got,) = receiver.taken
    assert got.headers["x-team"] == "blue"
    assert got.headers["webhook-id"] == message().id
    assert got.headers["content-type"] == "application/json"


async def test_a_secret_that_is_no_base64_is_final(carrier: Carrier) -> None:
    config = WebhookConfig(url="http://127.0.0.1:1/", secret="whsec_%%%")
    with pytest.raises(DeliveryError) as caught:
        await webhook.send(config, message(), carrier)
    assert caught.value.permanent
    assert str(caught.value) == "the signing secret is not whsec_ followed by Base64"


@pytest.mark.parametrize(
    ("status", "permanent", "text"),
    [
        (400, True, "the receiver answered HTTP 400: it does not accept this message"),
        (401, True, "the receiver answered HTTP 401: it does not accept our credentials"),
        (404, True, "the receiver answered HTTP 404: there is no such address; check the URL"),
        (410, True, "the receiver answered HTTP 410: there is no such address; check the URL"),
        (
            302,
            True,
            "the receiver answered HTTP 302: redirects are not followed; enter the final URL",
        ),
        (429, False, "the receiver answered HTTP 429: too many requests"),
        (500, False, "the receiver answered HTTP 500: it is in trouble"),
        (503, False, "the receiver answered HTTP 503: it is in trouble"),
    ],
)
async def test_what_is_tried_again(
    carrier: Carrier, receiver: Receiver, status: int, permanent: bool, text: str
) -> None:
    receiver.answer = lambda _: status
    receiver.answer_headers = {"Location": "http://127.0.0.1:1/", "Retry-After": "120"}
    with pytest.raises(DeliveryError) as caught:
        await webhook.send(WebhookConfig(url=receiver.url), message(), carrier)
    assert caught.value.permanent is permanent
    assert caught.value.disables is (status in {302, 401, 404, 410})
    assert str(caught.value) == text
    assert caught.value.status_code == status
    assert caught.value.answer == "thank you"
    assert caught.value.retry_after_seconds == (None if permanent else 120)
    assert len(receiver.ledger) == 1


async def test_retry_after_is_at_most_an_hour(carrier: Carrier, receiver: Receiver) -> None:
    receiver.answer = lambda _: 503
    receiver.answer_headers = {"Retry-After": "86400"}
    with pytest.raises(DeliveryError) as caught:
        await webhook.send(WebhookConfig(url=receiver.url), message(), carrier)
    assert caught.value.retry_after_seconds == 3600


async def test_nobody_there_is_tried_again(carrier: Carrier, receiver: Receiver) -> None:
    await receiver.close()
    with pytest.raises(DeliveryError) as caught:
        await webhook.send(WebhookConfig(url=receiver.url), message(), carrier)
    assert not caught.value.permanent
    assert caught.value.status_code is None
    assert "refused" in str(caught.value)


async def test_a_cloud_metadata_address_is_final(carrier: Carrier) -> None:
    config = WebhookConfig(url="http://169.254.169.254/latest/meta-data/")
    with pytest.raises(DeliveryError) as caught:
        await webhook.send(config, message(), carrier)
    assert caught.value.permanent


async def test_a_huge_answer_is_cut(carrier: Carrier, receiver: Receiver) -> None:
    receiver.answer_text = "x" * 1_000_000
    answer = await webhook.send(WebhookConfig(url=receiver.url), message(), carrier)
    assert len(answer.text) == 4096


async def test_a_test_message_has_neither_monitor_nor_incident(
    carrier: Carrier, receiver: Receiver
) -> None:
    config = WebhookConfig(url=receiver.url, secret=SECRET)
    answer = await send_test(channel(config), ORG, carrier, now=now())
    (got,) = receiver.taken
    body = Webhook(SECRET).verify(got.body, got.headers)
    assert body["event"] == "test"
    assert body["monitor"] is None
    assert body["incident"] is None
    assert body["org"] == {"id": ORG.id, "name": "Acme"}
    assert body["id"] == got.headers["webhook-id"]
    assert answer.status_code == 200


async def test_an_unknown_type_of_channel_is_final(carrier: Carrier) -> None:
    strange = channel(WebhookConfig(url="http://127.0.0.1:1/"), kind="pigeon")
    with pytest.raises(DeliveryError) as caught:
        await deliver(strange, message(), carrier)
    assert caught.value.permanent
    assert str(caught.value) == ("this version of NetPulse cannot send through 'pigeon' channels")


def test_every_channel_is_registered() -> None:
    kinds = {one.__struct_config__.tag for one in get_args(ChannelConfig)}
    assert set(CHANNELS) == kinds
