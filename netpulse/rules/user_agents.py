"""What calls itself what: a browser's or a program's User-Agent in two or three words."""

from __future__ import annotations

import re

_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chromium", "Chromium"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
"""In this order: most of them also claim to be those further down."""
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)
_PRODUCT = re.compile(r"[A-Za-z0-9][\w.+-]{0,39}(?:/[\w.+-]{1,20})?", re.ASCII)


def in_words(user_agent: str | None) -> str:
    """Return who that is, for a list that its owner reads: "Firefox on Linux", "curl/8.5.0".

    It is what the other side says of itself, and proves nothing.
    """
    if not user_agent:
        return "unknown"
    if user_agent.startswith("Mozilla/"):
        browser = next((name for mark, name in _BROWSERS if f"{mark}/" in user_agent), "A browser")
        system = next((name for mark, name in _SYSTEMS if mark in user_agent), None)
        return browser if system is None else f"{browser} on {system}"
    found = _PRODUCT.match(user_agent)
    return found[0] if found is not None else "unknown"
