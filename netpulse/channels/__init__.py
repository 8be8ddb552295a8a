"""Ways of telling somebody: one file each. A new one is a file and an entry here."""

from __future__ import annotations

from functools import partial

from netpulse.channels import (
    discord,
    email,
    gotify,
    ntfy,
    pagerduty,
    pushover,
    slack,
    sms,
    teams,
    telegram,
    webhook,
)
from netpulse.channels.base import Answer, Carrier, DeliveryError, Mail, Message, Send, Twilio
from netpulse.model.alert import Cause, Event
from netpulse.model.channel import Channel
from netpulse.model.ids import new_id
from netpulse.model.org import Org
from netpulse.model.time import Millis
from netpulse.rules import alerting, messages

__all__ = [
    "CHANNELS",
    "Answer",
    "Carrier",
    "DeliveryError",
    "Mail",
    "Message",
    "Send",
    "Twilio",
    "deliver",
    "send_test",
]

CHANNELS: dict[str, Send] = {
    "discord": discord.send,
    "email": email.send,
    "gotify": gotify.send,
    "ntfy": ntfy.send,
    "pagerduty": pagerduty.send,
    "pushover": pushover.send,
    "slack": slack.send,
    "sms": sms.send,
    "teams": teams.send,
    "telegram": telegram.send,
    "webhook": webhook.send,
}


async def deliver(channel: Channel, message: Message, carrier: Carrier) -> Answer:
    """Make one attempt to deliver a message through a channel of whatever type.

    Raises:
        DeliveryError: it was not taken, or this build knows no such type of channel (final).
    """
    if channel.damage is not None:
        raise DeliveryError(f"the channel needs attention: {channel.damage}", permanent=True)
    send = CHANNELS.get(channel.type)
    if send is None:
        raise DeliveryError(
            f"this version of NetPulse cannot send through {channel.type!r} channels",
            permanent=True,
        )
    return await send(channel.config, message, carrier)


async def send_test(channel: Channel, org: Org, carrier: Carrier, *, now: Millis) -> Answer:
    """Send the event `test` (neither monitor nor incident) through a channel, once.

    Returns what the far side answered. Nothing is recorded and nothing is tried again.

    Raises:
        DeliveryError: it was not taken.
    """
    notice_id = new_id(now)
    payload = bytes(
        alerting.payload(
            notice_id, Event.TEST, org, at=now, reason=f"A test of the channel {channel.name}"
        )
    )
    message = Message(
        id=notice_id,
        event=Event.TEST.value,
        payload=payload,
        speak=partial(
            messages.compose,
            payload,
            template=None,
            cause=Cause.SYSTEM,
            created_at=now,
            now=now,
            zone=org.timezone,
            page_url=None,
            acknowledge_url=None,
        ),
        created_at=now,
        attempted_at=now,
    )
    return await deliver(channel, message, carrier)
