"""Messages for tests of channels: usual ones, and those that would break a careless channel."""

from __future__ import annotations

from typing import Any

from netpulse.channels import Message
from netpulse.model.alert import Cause, Event
from netpulse.model.ids import new_id
from netpulse.model.org import Org
from netpulse.rules import messages
from netpulse.rules.messages import Words

AT = 1_772_370_420_000
"""2026-03-01 13:07:00 UTC."""
INCIDENT = new_id(5)
MONITOR = new_id(6)
ORG = Org(id=new_id(1), name="Acme", slug="acme", timezone="Europe/Berlin", created_at=1)
PAGE = f"https://status.example/incidents/{INCIDENT}"
ACKNOWLEDGE = f"https://status.example/acknowledge/{INCIDENT}.x.1772629620.tag"
POLYGLOT = (
    (
        "\"'><script>alert(1)</script><img src=x onerror=alert(1)> <!channel> <@U024BE7LH> @everyone"
        " [x](javascript:alert(1)) *b* _i_ `c` ~s~ |p| {{7*7}} {x.__class__} & &amp; %s \\ </b>"
        "\r\nBcc: evil@example.com\r\n\r\n.\r\nHELO \x00\x1b[31m \u202e \ud83d\ude00 äöü 🚨"
    )
    .encode("utf-8", "surrogatepass")
    .decode("utf-8", "replace")
)


def payload(event: Event = Event.MONITOR_DOWN, **more: Any) -> bytes:
    """Return a payload of a monitor; `name`, `target`, `reason`, `seconds` and `at` may be given."""
    import msgspec

    from netpulse.model.time import rfc3339

    at = more.get("at", AT)
    seconds = more.get("seconds", 0)
    monitor = {
        "id": MONITOR,
        "name": more.get("name", "Shop"),
        "type": "https",
        "target": more.get("target", "https://shop.example"),
    }
    incident = {
        "id": INCIDENT,
        "started_at": rfc3339(at - seconds * 1000),
        "duration_seconds": seconds,
    }
    own = event in {Event.SYSTEM_ISOLATED, Event.SYSTEM_RECOVERED, Event.CHANNEL_DISABLED}
    with_incident = event in {
        Event.MONITOR_DOWN,
        Event.MONITOR_UP,
        Event.INCIDENT_ACKNOWLEDGED,
    }
    body = {
        "id": new_id(at),
        "event": event.value,
        "monitor": None if own or event is Event.TEST else monitor,
        "incident": incident if with_incident else None,
        "org": {"id": ORG.id, "name": more.get("organization", ORG.name)},
        "reason": more.get("reason", "shop.example answered 503 Service Unavailable"),
        "timestamp": rfc3339(at),
    }
    return msgspec.json.encode(body)


def words(event: Event = Event.MONITOR_DOWN, **more: Any) -> Words:
    """Return what the notice says; `template`, `cause`, `late` (ms), `zone` may be given too."""
    at = more.get("at", AT)
    return messages.compose(
        payload(event, **more),
        template=more.get("template"),
        cause=more.get("cause", Cause.CHANGE),
        created_at=at,
        now=at + more.get("late", 0),
        zone=more.get("zone", ORG.timezone),
        page_url=more.get("page_url", PAGE),
        acknowledge_url=more.get("acknowledge_url", ACKNOWLEDGE),
    )


def message(event: Event = Event.MONITOR_DOWN, **more: Any) -> Message:
    """Return the notice as it is sent."""
    at = more.get("at", AT)
    return Message(
        id=more.get("id", new_id(at)),
        event=event.value,
        payload=payload(event, **more),
        speak=lambda: more.get("words") or words(event, **more),
        incident_id=INCIDENT if event in {Event.MONITOR_DOWN, Event.MONITOR_UP} else None,
        created_at=at,
        attempted_at=at + more.get("late", 0),
    )


HUGE = "x&<>\"'ä🚨 " * 4_000

MESSAGES: dict[str, Message] = {
    **{event.value: message(event, seconds=720) for event in Event},
    "polyglot": message(name=POLYGLOT, target=POLYGLOT, reason=POLYGLOT, organization=POLYGLOT),
    "polyglot template": message(template=f"{POLYGLOT} {{monitor}}", name=POLYGLOT),
    "huge": message(name=HUGE, target=HUGE, reason=HUGE, organization=HUGE),
    "huge template": message(template="{reason}\n" * 400, reason=HUGE),
    "many lines": message(words=Words(title="T" * 5000, lines=("&<>" * 900,) * 200)),
    "bare": message(words=Words(title="Down")),
    "digest": message(
        words=messages.digest([words(name=f"Shop {n}") for n in range(60)], page_url=PAGE)
    ),
}
