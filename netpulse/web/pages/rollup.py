"""The roll-up: every client that somebody may enter, the worst first, and what is down there."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from litestar import Response
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import rfc3339
from netpulse.model.user import Role
from netpulse.model.watch import Status
from netpulse.storage import clients
from netpulse.storage.clients import Down, Entry
from netpulse.storage.db import Conn
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.languages import mark, plural, say
from netpulse.web.pages import render, switcher
from netpulse.web.pages.dashboard import trouble_text
from netpulse.web.pages.monitors import pager
from netpulse.web.session import OrgSession

LIMIT = 50
NAMED = 3
"""Monitors that are named of those that are down in one client; its own page has the rest."""
_WORST = (Status.DOWN, Status.DEGRADED, Status.UNKNOWN)
_QUIET = (
    (Status.PENDING, mark("The first checks are under way")),
    (Status.MAINTENANCE, mark("All that is watched for clients is in maintenance")),
    (Status.PAUSED, mark("All that is watched for clients is paused")),
)
"""What the headline says where nothing is up and nothing is wrong."""

Counts = dict[Status, int]


class _Seen(Struct, frozen=True):
    entries: list[Entry]
    all_total: int
    """Of the provider's clients, those too that the person may not enter."""


def _entries(conn: Conn, org_id: Id, session: OrgSession, q: str) -> _Seen:
    as_super = Role.SUPER_ADMIN if session.role is Role.SUPER_ADMIN else None
    return _Seen(
        clients.entered_by(conn, org_id, session.user.id, all_as=as_super, q=q),
        clients.count(conn, org_id),
    )


def _down(conn: Conn, org_id: Id, shown: list[Id]) -> dict[Id, list[Down]]:
    del org_id  # the clients were found in it
    return {client_id: clients.down_in(conn, client_id, NAMED) for client_id in shown}


def state_of(counts: Counts) -> str:
    """Return the one state that stands for a client: its worst."""
    for status in (*_WORST, Status.UP, Status.MAINTENANCE, Status.PENDING):
        if counts[status]:
            return status.value
    return Status.PAUSED.value if counts[Status.PAUSED] else "none"


def counted(counts: Counts) -> list[dict[str, Any]]:
    """Return the states that there are, the worst first."""
    order = (*_WORST, Status.UP, Status.MAINTENANCE, Status.PAUSED, Status.PENDING)
    return [{"status": each.value, "count": counts[each]} for each in order if counts[each]]


@page("GET", "/clients", access=VIEWER)
async def rollup(call: Call) -> Response[bytes]:
    """Show it, or the part that `part` names."""
    given, session = call.request.query_params, call.session
    q = given.get("q", "").strip()[:200]
    number = given.get("page", "1")
    at = min(max(int(number), 1), 100_000) if number.isdecimal() and len(number) < 8 else 1
    seen = await session.read(_entries, session, q)
    roster = call.house.engine.roster
    known = [(entry, roster.counts(entry.id)) for entry in seen.entries]
    # Stable: within the same trouble they stay by name.
    known.sort(key=lambda one: tuple(-one[1][status] for status in _WORST))
    shown = known[(at - 1) * LIMIT : at * LIMIT]
    troubled = [entry.id for entry, counts in shown if counts[Status.DOWN]]
    down = await session.read(_down, troubled) if troubled else {}
    totals = {status: sum(counts[status] for _, counts in known) for status in Status}
    listed: dict[str, Any] = {
        "clients": [_row(entry, counts, down.get(entry.id, [])) for entry, counts in shown],
        "headline": _headline(known),
        "totals": {status.value: count for status, count in totals.items()},
        "pager": pager("/clients", {"q": q}, at, LIMIT, len(known)),
        "q": q,
        "all_total": seen.all_total,
        "is_client": session.org.parent_id is not None,
    }
    if given.get("part") == "list":
        return await render.page(call, "clients/_list.html", active="Clients", **listed)
    here = {"q": q} if q else {}
    self_url = "/clients?" + urlencode(here | {"part": "list", "page": at})
    return await render.page(
        call, "clients/rollup.html", active="Clients", self_url=self_url, **listed
    )


def _row(entry: Entry, counts: Counts, down: list[Down]) -> dict[str, Any]:
    return {
        "id": entry.id,
        "name": entry.name,
        "role_label": say(switcher.ROLE_LABELS[entry.role]),
        "status": state_of(counts),
        "counts": counted(counts),
        "down": [{"id": one.id, "name": one.name, "since": rfc3339(one.since)} for one in down],
        "more_down": max(0, counts[Status.DOWN] - len(down)),
    }


def _headline(known: list[tuple[Entry, Counts]]) -> dict[str, str]:
    for status in _WORST:
        touched = [counts[status] for _, counts in known if counts[status]]
        if touched:
            text = plural(
                len(touched),
                "%(trouble)s, in %(num)s client",
                "%(trouble)s, in %(num)s clients",
                trouble=trouble_text(status, sum(touched)),
            )
            return {"status": status.value, "text": text}
    if any(counts[Status.UP] for _, counts in known):
        return {"status": "up", "text": say("Everything that is watched for clients is up")}
    for status, text in _QUIET:
        if any(counts[status] for _, counts in known):
            return {"status": status.value, "text": say(text)}
    return {"status": "pending", "text": say("Nothing is watched for clients yet")}


ROUTES = (rollup,)
