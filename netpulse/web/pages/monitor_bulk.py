"""What the list does with many monitors at once: the form around it, the question before deleting,
and how far a long change is.
"""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlencode

from litestar import Response
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.storage import monitor_list, monitors
from netpulse.storage.db import Conn
from netpulse.web import reading
from netpulse.web.api import monitor_bulk as api
from netpulse.web.api.monitor_bulk import BulkFilter, BulkSpec
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, page
from netpulse.web.errors import ApiError, not_found
from netpulse.web.pages import forms, render
from netpulse.web.pages.forms import Form
from netpulse.web.pages.monitor_list import FILTERS, filters_of, job_of
from netpulse.web.pages.render import redirect

NAMED = 10
"""Monitors that are named before they are deleted; the others are counted."""
KEPT = "f_"
"""Before the names of the fields that say what the list was filtered by."""


@page("POST", "/monitors/bulk", access=ADMIN)
async def begin(call: Call) -> Response[bytes]:
    """Do what was chosen to what was chosen; deleting asks first."""
    form = await forms.read(call)
    filters = filters_of({name: form.text(KEPT + name) for name in (*FILTERS, "sort", "limit")})
    back = "/monitors?" + urlencode({name: value for name, value in filters.items() if value})
    ids = form.every("monitor_ids")
    everything = form.checked("all")
    if not everything and not ids:
        return redirect(back, "none-chosen")
    chosen: dict[str, Any] = {"monitor_ids": ids}
    if everything:
        wanted = {name: filters[name] for name in FILTERS if filters[name]}
        chosen = {"filter": wanted}
    confirmed: list[Id] | None = None
    if form.text("action") == "delete":
        asked = await call.session.read(_asked, everything, chosen)
        if form.text("confirmed") != asked.mark:
            return await _ask(call, form, asked, back, filters)
        confirmed = asked.ids
    tag = form.optional("tag") if form.text("action") in {"add_tag", "remove_tag"} else None
    try:
        spec = reading.into(BulkSpec, chosen | {"action": form.text("action"), "tag": tag})
        job = await api.begin(call, spec, confirmed)
    except ApiError as error:
        told = _told(error)
        if told is None:
            raise
        return redirect(back, told)
    return redirect(f"{back}&job={job.id}")


def _told(error: ApiError) -> str | None:
    """Return the key of what the list says about a refusal, or None for what is no such thing."""
    if error.code == "BULK_RUNNING":
        return "bulk-running"
    paths = {each["path"].partition("[")[0] for each in error.details.get("errors", ())}
    if "$.tag" in paths:
        return "no-tag"
    return "chosen-gone" if paths == {"$.monitor_ids"} else None


class _Asked(Struct, frozen=True):
    """What is to be deleted."""

    ids: list[Id]
    names: list[str]
    incidents: int
    rules: int

    @property
    def mark(self) -> str:
        """What tells these monitors from others, were there as many: states change by the minute,
        and with them what fits a filter."""
        return hashlib.sha256(" ".join(sorted(self.ids)).encode()).hexdigest()


def _asked(
    conn: Conn,
    org_id: Id,
    everything: bool,
    chosen: dict[str, Any],
) -> _Asked:
    if everything:
        picked = reading.into(BulkFilter, chosen["filter"])
        ids = monitor_list.matching(conn, org_id, picked.wanted)
    else:
        there = monitors.present(conn, org_id, chosen["monitor_ids"][: api.MOST_IDS])
        ids = [each for each in chosen["monitor_ids"] if each in there]
    names = [row.monitor.spec.name for row in monitor_list.rows_of(conn, org_id, ids[:NAMED])]
    return _Asked(ids, names, *monitors.bound_to(conn, org_id, ids))


async def _ask(
    call: Call, form: Form, asked: _Asked, back: str, filters: dict[str, str]
) -> Response[bytes]:
    if not asked.ids:
        return redirect(back, "chosen-gone")
    return await render.page(
        call,
        "monitors/bulk_delete.html",
        active="Monitors",
        total=len(asked.ids),
        mark=asked.mark,
        names=asked.names,
        incidents=asked.incidents,
        rules=asked.rules,
        monitor_ids=[] if form.checked("all") else form.every("monitor_ids"),
        everything=form.checked("all"),
        is_filtered=any(filters[name] for name in FILTERS),
        filters={name: value for name, value in filters.items() if value},
        back=back,
    )


@page("GET", "/monitors/bulk/{id:str}", access=VIEWER)
async def progress(call: Call) -> Response[bytes]:
    """Say how far a change of many is: the part of the list that shows it."""
    job = job_of(call, call.id("id", "bulk change"))
    if job is None:
        raise not_found("bulk change")
    return await render.page(call, "monitors/_job.html", job=job)


ROUTES = (begin, progress)
