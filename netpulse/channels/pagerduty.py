"""pagerduty: an integration of the Events API v2, which gets every edge singly.

Limits: summary 1,024 characters, dedup_key 255. The incident's id is the key, so that what
triggers, acknowledges and resolves meets in one alert; what has no incident has a key of its own.
202 is the success; 400 is an event that will never be taken, 429 one that came too soon.
"""

from __future__ import annotations

from typing import Any

import msgspec

from netpulse.channels.base import Answer, Carrier, Message
from netpulse.channels.posting import Refusal, Reply, at_base, cut, post_json
from netpulse.model.alert import Event
from netpulse.model.channel import PagerDutyConfig
from netpulse.rules.messages import Words

API = "https://events.pagerduty.com"
SUMMARY = 1_024
KEY = 255
_SEVERITY = {"problem": "critical", "warning": "warning", "recovery": "info", "info": "info"}


async def send(config: PagerDutyConfig, message: Message, carrier: Carrier) -> Answer:
    """Post one event.

    Raises:
        DeliveryError: it was not taken.
    """
    url = at_base(config.api_url or API, "v2/enqueue")
    fields = {"routing_key": config.routing_key, **body(message)}
    return await post_json(carrier, url, fields, secrets=(config.routing_key,), rules=_rules)


def body(message: Message) -> dict[str, Any]:
    """Return the event in PagerDuty's form."""
    words = message.words
    payload: dict[str, Any] = msgspec.json.decode(message.payload)
    monitor = payload.get("monitor") or {}
    action = _action(message.event, words)
    fields: dict[str, Any] = {
        "event_action": action,
        "dedup_key": key(message, payload),
        "client": "NetPulse",
    }
    if words.page_url:
        fields["client_url"] = words.page_url
    links = [
        {"href": url, "text": label}
        for label, url in (("Details", words.page_url), ("Acknowledge", words.acknowledge_url))
        if url
    ]
    if links:
        fields["links"] = links
    fields["payload"] = {
        "summary": cut(words.title, SUMMARY),
        "source": cut(monitor.get("target") or monitor.get("name") or "NetPulse", SUMMARY),
        "severity": _SEVERITY[words.level],
        "timestamp": payload["timestamp"],
        "component": monitor.get("name") or "NetPulse",
        "group": (payload.get("org") or {}).get("name") or "",
        "class": message.event,
        "custom_details": {"text": cut("\n".join(words.lines), 10_000), "notice_id": message.id},
    }
    return fields


def key(message: Message, payload: dict[str, Any]) -> str:
    """Return the key that the events of one trouble share."""
    monitor_id = (payload.get("monitor") or {}).get("id")
    if message.event == Event.MONITOR_FLAPPING:
        return f"netpulse-flapping-{monitor_id}"
    if message.event in {Event.MONITOR_THRESHOLD, Event.CERTIFICATE_EXPIRING}:
        return cut(f"netpulse-{message.event}-{monitor_id}-{message.rule_id or ''}", KEY)
    if message.incident_id is not None:
        return message.incident_id
    if monitor_id is not None:
        return f"netpulse-monitor-{monitor_id}"
    if message.event in {Event.SYSTEM_ISOLATED, Event.SYSTEM_RECOVERED}:
        return f"netpulse-system-{(payload.get('org') or {}).get('id')}"
    return f"netpulse-{message.id}"


def _action(event: str, words: Words) -> str:
    if event == Event.INCIDENT_ACKNOWLEDGED:
        return "acknowledge"
    return "resolve" if words.level == "recovery" else "trigger"


def _rules(reply: Reply) -> Refusal | None:
    if reply.status == 400:
        said = reply.fields.get("errors")
        why = "; ".join(str(one) for one in said) if isinstance(said, list) and said else ""
        why = why or str(reply.fields.get("message") or "a bad request")
        return Refusal(f"PagerDuty answered: {why}", disables="routing_key" in why)
    return None
