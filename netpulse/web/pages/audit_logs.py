"""The page of the audit log: who did what, when, from where, and what changed."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response
from litestar.response import Stream
from msgspec import Struct

from netpulse.model.audit import AuditRow
from netpulse.model.ids import Id
from netpulse.model.time import rfc3339
from netpulse.model.user import Role
from netpulse.rules.differences import differences
from netpulse.storage import audit
from netpulse.storage.audit import AuditFilter
from netpulse.storage.db import Conn
from netpulse.storage.table import Page
from netpulse.web.api import audit_logs as api
from netpulse.web.api.audit_logs import ExportQuery
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.languages import mark, say
from netpulse.web.pages import date_range, forms, render
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.settings import tabs

LIMIT = 50
SHOWN = 4
"""Fields of an entry that are seen at once; the others fold out."""
LONGEST = 200
"""Characters of a filter that count."""
PATH = "/settings/audit"

_FILTERS = ("q", "action", "actor", "ip", "from", "to", "resource_type", "resource_id", "user_id")
_NAMES = ("name", "email", "title", "label", "slug")
"""What a thing is called, whichever of these it has."""


class _Seen(Struct, frozen=True):
    found: Page[AuditRow]
    actions: list[str]


def _seen(conn: Conn, log: Id, wanted: AuditFilter, offset: int) -> _Seen:
    found = audit.page(conn, log, wanted, offset=offset, limit=LIMIT)
    return _Seen(found, audit.actions(conn, log))


@page("GET", PATH, access=ADMIN)
async def list_all(call: Call) -> Response[bytes]:
    """List the entries, filtered and paged on the server."""
    given = call.request.query_params
    filters = {name: str(given.get(name, "")).strip()[:LONGEST] for name in _FILTERS}
    for name in ("from", "to"):
        filters[name] = date_range.known(filters[name])
    is_super = call.session.role >= Role.SUPER_ADMIN
    log = "instance" if is_super and given.get("log") == "instance" else ""
    number = given.get("page", "1")
    at = min(max(int(number), 1), 1_000_000) if number.isdecimal() and len(number) < 8 else 1
    org_id = api.log_of(call.session, log)
    seen = await call.session.db.read(_seen, org_id, _wanted(filters), (at - 1) * LIMIT)
    kept = filters | {"log": log}
    return await render.page(
        call,
        "settings/audit.html",
        active="Settings",
        tabs=tabs(call.session, "Audit log"),
        entries=[_entry(row, log) for row in seen.found.rows],
        total=seen.found.total,
        actions=seen.actions,
        filters=filters | {"active": any(filters.values())},
        only=[_only(name, filters[name]) for name in _HIDDEN if filters[name]],
        log=log,
        logs=_logs(log) if is_super else [],
        kept={name: value for name, value in kept.items() if value},
        pager=pager(PATH, kept, at, LIMIT, seen.found.total),
    )


@page("POST", f"{PATH}/export", access=ADMIN)
async def export(call: Call) -> Stream:
    """Export what the filters of the page show."""
    form = await forms.read(call)
    filters = {name: form.text(name)[:LONGEST] for name in _FILTERS}
    wanted = _wanted(filters)
    fields: dict[str, Any] = {
        "format": "jsonl" if form.text("format") == "jsonl" else "csv",
        "log": "instance" if form.text("log") == "instance" else "organization",
        "from_": None if wanted.start is None else rfc3339(wanted.start),
        "to": None if wanted.end is None else rfc3339(wanted.end),
    }
    fields |= {name: filters[name] or None for name in _FILTERS if name not in ("from", "to")}
    return await api.exported(call, ExportQuery(**fields))


def _wanted(filters: dict[str, str]) -> AuditFilter:
    start, end = date_range.moments(filters["from"], filters["to"])
    return AuditFilter(
        action=filters["action"] or None,
        resource_type=filters["resource_type"] or None,
        resource_id=filters["resource_id"] or None,
        user_id=filters["user_id"] or None,
        actor=filters["actor"] or None,
        ip=filters["ip"] or None,
        start=start,
        end=end,
        q=filters["q"] or None,
    )


def _logs(log: str) -> list[dict[str, Any]]:
    return [
        {"label": say("This organization"), "href": PATH, "active": not log},
        {"label": say("The instance"), "href": f"{PATH}?log=instance", "active": bool(log)},
    ]


_HIDDEN = {
    "resource_type": mark("things of the type"),
    "resource_id": mark("the thing"),
    "user_id": mark("what was done by the person"),
}


def _only(name: str, value: str) -> dict[str, str]:
    return {"name": name, "text": f"{say(_HIDDEN[name])} {value}"}


def _entry(row: AuditRow, log: str) -> dict[str, Any]:
    payload = msgspec.json.decode(row.payload)
    before, after = payload.get("before"), payload.get("after")
    changed = [
        {"field": each.field, "old": each.old, "new": each.new}
        for each in differences(before, after)
    ]
    own = {"log": log} if log else {}
    return {
        "seq": row.seq,
        "at": rfc3339(row.created_at),
        "action": row.action,
        "resource": row.resource_type.replace("_", " "),
        "name": _name(after) or _name(before),
        "resource_url": None
        if row.resource_id is None
        else f"{PATH}?{urlencode({'resource_id': row.resource_id} | own)}",
        "actor": row.actor_label or row.actor_kind,
        "actor_kind": row.actor_kind.replace("_", " "),
        "actor_url": None
        if row.user_id is None
        else f"{PATH}?{urlencode({'user_id': row.user_id} | own)}",
        "ip": row.ip_address,
        "user_agent": row.user_agent,
        "changes": changed[:SHOWN],
        "more": changed[SHOWN:],
        "hash": row.hash,
    }


def _name(state: Any) -> str | None:
    if not isinstance(state, dict):
        return None
    found = (state.get(name) for name in _NAMES)
    return next((text for text in found if isinstance(text, str) and text), None)


ROUTES = (list_all, export)
