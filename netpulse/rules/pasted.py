"""A pasted list of what is to be watched: one thing a line, as people keep such lists.

A line is a URL, `host:port` or a host, with `name,` before it where it should have a name of its
own. Empty lines and those that begin with # are passed over.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from netpulse.rules import targets

MOST_LINES = 500
"""Monitors of one list: they are made in one transaction, for which everybody else waits."""

HostType = Literal["icmp", "https"]
"""What a host alone becomes: something to ping, or the page at https://."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]+):[0-9]+")
_NAME_LENGTH = 200


class Line(Struct, frozen=True, kw_only=True):
    """One line that names something."""

    number: int
    """As an editor counts them, from 1."""
    text: str
    type: str
    name: str
    target: str
    same_as: int | None = None
    """The number of an earlier line that names the same."""


def lines(text: str, host_type: HostType) -> list[Line]:
    """Return what the list names, in its order. Nothing is judged here: what a type makes of its
    target is said by `rules.monitors`."""
    found: list[Line] = []
    first: dict[tuple[str, str], int] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        written = raw.strip()
        if not written or written.startswith("#"):
            continue
        name, target = _parted(written)
        kind, target = _kind(target, host_type)
        same_as = first.setdefault((kind, target.lower()), number)
        found.append(
            Line(
                number=number,
                text=written,
                type=kind,
                name=name or _usual_name(kind, target),
                target=target,
                same_as=None if same_as == number else same_as,
            )
        )
    return found


def _parted(written: str) -> tuple[str, str]:
    """Return (name, target). A comma inside a URL is the URL's own."""
    name, comma, rest = written.partition(",")
    if not comma or _SCHEME.match(written):
        return "", written.rstrip(",")
    return name.strip(), rest.strip()


def _kind(target: str, host_type: HostType) -> tuple[str, str]:
    scheme = _SCHEME.match(target)
    if scheme is not None:
        # Another scheme is refused by the rules of http, which say what there is.
        return ("https" if scheme[1].lower() == "https" else "http"), target
    if _PORT.fullmatch(target):
        return "tcp", target
    if "/" in target:
        return "https", f"https://{target}"
    return (host_type, target) if host_type == "icmp" else ("https", f"https://{target}/")


def _usual_name(kind: str, target: str) -> str:
    """Return a name for what has none: the target without its scheme, and without a password."""
    if kind not in {"http", "https"}:
        return target[:_NAME_LENGTH]
    try:
        url = targets.url(target)
    except targets.TargetError:
        return target.rpartition("@")[2][:_NAME_LENGTH]
    path = url.path if url.path != "/" else ""
    port = f":{url.explicit_port}" if url.explicit_port is not None else ""
    return f"{url.host or ''}{port}{path}"[:_NAME_LENGTH]
