"""From what was claimed of the outbox to the message that a channel sends."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from netpulse.channels import Message
from netpulse.crypto.links import Links
from netpulse.model.alert import PROBLEMS, Notice
from netpulse.model.time import Millis
from netpulse.rules import messages, outbox
from netpulse.rules.messages import Words
from netpulse.storage.notices import Claimed

FROM_MEMORY = "NetPulse cannot write its database: this is sent from memory, and may come again."


def compose(claim: Claimed, links: Links, now: Millis, *, from_memory: bool = False) -> Message:
    """Return the message of a claim, as it is sent at `now` (Unix milliseconds).

    `links` makes the addresses in it; `from_memory`: it is not in the outbox, and says so.
    """
    notice = claim.notice
    is_digest = len(claim.notices) > 1
    return Message(
        id=claim.id,
        event=notice.event.value,
        payload=bytes(notice.payload),
        # In a storm most of what goes to machines is done without.
        speak=partial(_said, claim, links, now, from_memory=from_memory),
        incident_id=None if is_digest else notice.incident_id,
        rule_id=None if is_digest else notice.rule_id,
        created_at=notice.created_at,
        attempted_at=now,
    )


def _said(claim: Claimed, links: Links, now: Millis, *, from_memory: bool) -> Words:
    words = [_words(claim, one, links, now) for one in claim.notices]
    told = words[0]
    if len(words) > 1:
        told = messages.digest(words, page_url=links.page("/incidents"))
    return replace(told, lines=(*told.lines, FROM_MEMORY)) if from_memory else told


def _words(claim: Claimed, notice: Notice, links: Links, now: Millis) -> Words:
    page_url = acknowledge_url = None
    if notice.incident_id is not None:
        page_url = links.page(f"/incidents/{notice.incident_id}")
        if notice.event in PROBLEMS and notice.incident_id in claim.unacknowledged:
            acknowledge_url = links.acknowledge(notice.incident_id, notice.channel_id, now=now)
    elif notice.monitor_id is not None:
        page_url = links.page(f"/monitors/{notice.monitor_id}")
    return messages.compose(
        bytes(notice.payload),
        template=notice.template,
        cause=notice.cause,
        created_at=outbox.due_at(notice),
        now=now,
        zone=claim.timezone,
        page_url=page_url,
        acknowledge_url=acknowledge_url,
    )
