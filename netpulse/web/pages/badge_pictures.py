"""A monitor's badges on pages: the picture, and what to copy to show it elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import Any

from netpulse.model.badge import Badge
from netpulse.rules import badges as rules
from netpulse.storage.monitor_rows import MonitorRow
from netpulse.web.api import badges as api
from netpulse.web.languages import mark, say

ON_ITS_PAGE = ("status", "uptime-90d", "response-time")
"""Those that the monitor's own page shows."""
_WORDS = {
    "status": mark("State"),
    "uptime-24h": mark("Uptime over 24 hours"),
    "uptime-7d": mark("Uptime over 7 days"),
    "uptime-30d": mark("Uptime over 30 days"),
    "uptime-90d": mark("Uptime over 90 days"),
    "response-time": mark("Response time"),
}
_MARKED = re.compile(r"([\\\[\]`*_<>&!])")
"""What means something in the text of a Markdown picture."""


def pictures(
    badge: Badge, row: MonitorRow, names: Iterable[str] = rules.NAMES
) -> list[dict[str, str]]:
    """Return the pictures of a monitor's badges: {name, word, path, text}."""
    label = badge.label or row.monitor.spec.name
    paths = api.shown(badge).paths
    return [
        {
            "name": name,
            "word": say(_WORDS[name]),
            "path": paths[name],
            "text": f"{label}: {say(_WORDS[name])}",
        }
        for name in names
    ]


def snippets(picture: dict[str, str], base: str) -> list[dict[str, Any]]:
    """Return what to copy for one of them, ways first that most people need: {label, text}.

    `base` is the address that the picture's path is below.
    """
    url, said = base + picture["path"], picture["text"]
    marked = _MARKED.sub(r"\\\1", said)
    return [
        {"label": "Markdown", "text": f"![{marked}]({url})"},
        {"label": "HTML", "text": f'<img src="{escape(url)}" alt="{escape(said)}">'},
        {"label": say("Address"), "text": url},
    ]
