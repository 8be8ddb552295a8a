"""What a status page may be: its address, its domain, and what it shows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from netpulse.model.status_page import RECORD_PREFIX
from netpulse.model.time import DAY, HOUR, MINUTE, Millis
from netpulse.rules.targets import TargetError, host

MOST_SERVICES = 300
MOST_GROUPS = 50

_SLUG = re.compile(r"[a-z0-9-]{2,64}")
_HAND_OVER = 253 - len(RECORD_PREFIX)
"""The longest name below which the proving record still is a name."""
_EXCERPT = 80
_OWN_ENDINGS = ("localhost", "local", "internal", "lan", "home.arpa")
"""Names of networks of one's own, which no stranger can own."""


def slug_problem(slug: str) -> str | None:
    """Return why `slug` cannot be a page's address, or None if it can."""
    if _SLUG.fullmatch(slug):
        return None
    return "must be 2 to 64 characters, each a lower-case letter, a digit or -"


def domain(text: str) -> str:
    """Return a domain as it is stored and compared: ASCII, lower case, without a last dot.

    Raises:
        ValueError: it can be nobody's domain; the text says why.
    """
    written = text.strip()
    if "/" in written or ":" in written or "@" in written:
        raise ValueError("is a name alone, such as status.example.com: no https://, port or path")
    try:
        name = host(written).removesuffix(".")
    except TargetError as error:
        raise ValueError(str(error)) from None
    if "." not in name or name.rpartition(".")[2].isdigit() or ":" in name:
        raise ValueError("must be a domain of your own, such as status.example.com")
    if len(name) > _HAND_OVER:
        raise ValueError("is too long")
    return name


def look_again(claimed_at: Millis, now: Millis) -> Millis:
    """Return when the proof of a claim is looked for again: every minute while somebody sits
    before it, and seldom once they have gone."""
    age = now - claimed_at
    if age < HOUR:
        return now + MINUTE
    return now + (10 * MINUTE if age < DAY else HOUR if age < 7 * DAY else DAY)


def excerpt(text: str) -> str:
    """Return a stranger's text as part of a sentence: one line, printable, not long."""
    shown = "".join(one if one.isprintable() else "�" for one in text)
    return shown if len(shown) <= _EXCERPT else f"{shown[: _EXCERPT - 1]}…"


def hostname(host_header: str) -> str:
    """Return the name in a Host header (lower case, its port and a last dot left out)."""
    name = host_header.strip().lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0].removesuffix(".")


def is_ours(name: str, public_name: str) -> bool:
    """Tell whether a Host that is no page's domain may be answered as NetPulse itself.

    `name` and `public_name` (that of `[server] public_url`, "" where it is not set) are as
    `hostname` returns them. Without a public address nobody knows by which name people come, and
    every one is ours. With one, so are addresses, names without a dot and names of networks of
    one's own: they are how machines behind a proxy, probes and tunnels reach us.
    """
    return not public_name or name == public_name or is_local(name)


def is_local(name: str) -> bool:
    """Tell whether no stranger can own a name (as `hostname` returns it): an address, a name
    without a dot, or one of a network of one's own.

    A page of the internet can have its own name point at a machine of the network it is looked at
    in (DNS rebinding), and then speak to that machine as if it were its own site; but it still
    says that name as Host.
    """
    if "." not in name or name.startswith("[") or name.rpartition(".")[2].isdigit():
        return True
    return any(name == ending or name.endswith(f".{ending}") for ending in _OWN_ENDINGS)


def twice(ids: Iterable[str]) -> set[str]:
    """Return those of `ids` that are there more than once."""
    return {one for one, count in Counter(ids).items() if count > 1}
