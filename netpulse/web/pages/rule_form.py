"""The form of a rule: from texts to what the API takes, and from what is stored to texts."""

from __future__ import annotations

import re
from typing import Any

from netpulse.model.alert import QuietHours, Rule
from netpulse.web.api.alert_rules import DAYS
from netpulse.web.languages import mark
from netpulse.web.pages.forms import Form

LABELS = {
    "name": mark("Name"),
    "channel_id": mark("Tell by"),
    "scope": mark("Of"),
    "condition": mark("When"),
    "monitor_id": mark("Monitor"),
    "tag": mark("Tag"),
    "notify_recovery": mark("Tell when it is over"),
    "cooldown_seconds": mark("Then be quiet for"),
    "escalation_minutes": mark("Wait before telling"),
    "reminder_minutes": mark("Remind every"),
    "fallback_channel_id": mark("If that does not work"),
    "quiet_hours": mark("Quiet hours"),
    "quiet_hours.days": mark("On"),
    "quiet_hours.from": mark("From"),
    "quiet_hours.to": mark("To"),
    "quiet_hours.timezone": mark("Time zone"),
    "message": mark("Message"),
    "is_active": mark("Use this rule"),
}
BOXES = ("notify_recovery", "is_active")
CONDITIONS = [
    "down",
    "down or degraded",
    "degraded",
    "up",
    "response_time_ms > 800 for 5m",
    "certificate_days < 14",
    "system",
]
ADVANCED = frozenset(LABELS) - {
    "name",
    "channel_id",
    "scope",
    "condition",
    "monitor_id",
    "tag",
    "notify_recovery",
    "is_active",
}
"""Fields that are folded away until one of them is used, or wrong."""
AROUND = 30
"""How many characters before a mistake are shown with it."""
FRESH: dict[str, Any] = {
    "name": "",
    "scope": "all",
    "condition": "down",
    "cooldown_seconds": "300",
    "notify_recovery": True,
    "is_active": True,
    "quiet_hours": "",
    "quiet_hours.days": DAYS,
    "quiet_hours.from": "22:00",
    "quiet_hours.to": "07:00",
    "quiet_hours.timezone": "UTC",
}


def values(form: Form) -> dict[str, Any]:
    """Return the sent form as the body of POST /v1/alert-rules."""
    scope = form.text("scope")
    found: dict[str, Any] = {
        "name": form.text("name"),
        "channel_id": form.text("channel_id"),
        "condition": form.text("condition"),
        "notify_recovery": form.checked("notify_recovery"),
        "is_active": form.checked("is_active"),
    }
    if scope == "monitor":
        found["monitor_id"] = form.text("monitor_id")
    elif scope == "tag":
        found["tag"] = form.text("tag")
    if form.text("cooldown_seconds"):
        found["cooldown_seconds"] = form.number("cooldown_seconds")
    found["escalation_minutes"] = form.number("escalation_minutes")
    found["reminder_minutes"] = form.number("reminder_minutes")
    found["fallback_channel_id"] = form.optional("fallback_channel_id")
    found["message"] = form.optional("message")
    if form.text("quiet_hours"):
        found["quiet_hours"] = {
            "days": form.every("quiet_hours.days"),
            "from": form.text("quiet_hours.from"),
            "to": form.text("quiet_hours.to"),
            "timezone": form.text("quiet_hours.timezone"),
        }
    return found


def entered(rule: Rule) -> dict[str, Any]:
    """Return a stored rule as the form shows it."""
    scope = "monitor" if rule.monitor_id is not None else "tag" if rule.tag is not None else "all"
    return {
        "name": rule.name,
        "scope": scope,
        "channel_id": rule.channel_id,
        "monitor_id": rule.monitor_id or "",
        "tag": rule.tag or "",
        "condition": rule.condition,
        "cooldown_seconds": str(rule.cooldown_seconds),
        "notify_recovery": rule.notify_recovery,
        "is_active": rule.is_active,
        "escalation_minutes": _number(rule.escalation_minutes),
        "reminder_minutes": _number(rule.reminder_minutes),
        "fallback_channel_id": rule.fallback_channel_id or "",
        "message": rule.message or "",
        **_entered_quiet(rule.quiet_hours),
    }


def _entered_quiet(quiet: QuietHours | None) -> dict[str, Any]:
    if quiet is None:
        return {name: value for name, value in FRESH.items() if name.startswith("quiet_hours")}
    return {
        "quiet_hours": "weekly",
        "quiet_hours.days": quiet.days,
        "quiet_hours.from": quiet.start,
        "quiet_hours.to": quiet.end,
        "quiet_hours.timezone": quiet.timezone,
    }


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def again(form: Form) -> dict[str, Any]:
    """Return what to show again of a form that was sent."""
    days = [day for day in form.every("quiet_hours.days") if day in DAYS]
    return form.again(BOXES, ()) | {"quiet_hours.days": days}


def pointed(text: str, message: str | None) -> dict[str, str] | None:
    """Return the part of `text` around the column that `message` names, and what stands before
    the mark below it; None where it names none."""
    found = re.search(r"column ([0-9]+): ", message or "")
    if found is None:
        return None
    at = int(found[1]) - 1
    begin = max(0, at - AROUND)
    part = re.sub(r"\s", " ", text)[begin : at + AROUND]
    return {"text": ("…" if begin else "") + part, "before": " " * (at - begin + bool(begin))}


def is_advanced(shown: dict[str, Any]) -> bool:
    """Tell whether a form uses something that is folded away."""
    used = ("escalation_minutes", "reminder_minutes", "fallback_channel_id", "message")
    return any(shown.get(name) for name in (*used, "quiet_hours")) or (
        shown.get("cooldown_seconds") != FRESH["cooldown_seconds"]
    )
