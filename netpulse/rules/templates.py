"""A rule's own message: fixed text with a closed set of placeholders, and nothing else.

There is no engine behind it. One expression finds the placeholders, each is replaced once, and
what was put in is never read again; everything else stays as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

LONGEST_TEMPLATE = 4_000
LONGEST_BYTES = 65_536
"""What a filled template may grow to, in UTF-8."""

PLACEHOLDERS: dict[str, str] = {
    "monitor": "the monitor's name",
    "target": "what it watches, without user name and password",
    "type": "http, tcp, icmp, dns, ssl or push",
    "event": "what happened, such as monitor.down",
    "reason": "why, in a sentence",
    "since": "when it began, by the organization's clock",
    "duration": "how long it has lasted, or lasted",
    "organization": "the organization's name",
    "incident_url": "the address of the incident's page",
    "acknowledge_url": "the address to acknowledge the incident at",
    "time": "when the message is sent, by the organization's clock",
}
"""Every placeholder, and what it stands for."""

SAMPLES: dict[str, str] = {
    "monitor": "Shop",
    "target": "https://shop.example",
    "type": "https",
    "event": "monitor.down",
    "reason": "shop.example answered 503 Service Unavailable; expected 200-299",
    "since": "2026-03-01 14:07:00 CET (13:07:00 UTC)",
    "duration": "12 min",
    "organization": "Example Ltd",
    "incident_url": "https://status.example/incidents/019b2dcd-7c37-7df4-a095-8fb2bc0e4842",
    "acknowledge_url": "https://status.example/acknowledge/…",
    "time": "2026-03-01 14:19:00 CET (13:19:00 UTC)",
}

_PLACEHOLDER = re.compile(r"(?<!\{)\{(" + "|".join(PLACEHOLDERS) + r")\}(?!\})")
_NAMED = re.compile(r"(?<!\{)\{([A-Za-z_][A-Za-z0-9_]*)\}(?!\})")


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return the template with each placeholder replaced by its value, at most 64 KiB of it."""
    filled = _PLACEHOLDER.sub(lambda found: values[found[1]], template)
    raw = filled.encode("utf-8", "replace")
    return raw[:LONGEST_BYTES].decode("utf-8", "ignore")


def problem(template: str) -> str | None:
    """Return what is wrong with a template, with its place, or None."""
    for found in _NAMED.finditer(template):
        if found[1] not in PLACEHOLDERS:
            known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            line = template.count("\n", 0, found.start()) + 1
            column = found.start() - template.rfind("\n", 0, found.start())
            where = f"column {column}" if "\n" not in template else f"line {line}, column {column}"
            return f"{where}: {found[0]} is no placeholder; there are {known}"
    largest = len(fill(template, dict.fromkeys(PLACEHOLDERS, "x" * 200)).encode())
    if len(template) > LONGEST_TEMPLATE or largest >= LONGEST_BYTES:
        return f"it is too long; a message has at most {LONGEST_TEMPLATE:,} characters"
    return None


def preview(template: str) -> str:
    """Return the template filled with sample values."""
    return fill(template, SAMPLES)
