"""All checks of a monitor: by verdict and time, page by page."""

from __future__ import annotations

import re

from litestar import Response

from netpulse.model.check import Result
from netpulse.storage import quotas
from netpulse.web import reading
from netpulse.web.api import checks as api
from netpulse.web.api.checks import ChecksQuery
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.errors import ApiError
from netpulse.web.languages import mark
from netpulse.web.pages import forms, render
from netpulse.web.pages.monitors import in_full, pager, stored

LIMIT = 50
LABELS = {"from": mark("From"), "to": mark("To"), "status": mark("Verdict")}
_MINUTE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")


@page("GET", "/monitors/{id:str}/checks", access=VIEWER)
async def checks(call: Call) -> Response[bytes]:
    """List them, the newest first."""
    row = await stored(call)
    given = call.request.query_params
    filters = {name: str(given.get(name, ""))[:40] for name in ("status", "from", "to")}
    number = given.get("page", "1")
    last_page = api.LAST_PAGED_ROW // LIMIT
    at = min(max(int(number), 1), last_page) if number.isdecimal() and len(number) < 8 else 1
    asked: dict[str, object] = {"page": at, "limit": LIMIT}
    asked |= {name: _moment(filters[name]) for name in ("from", "to") if filters[name]}
    if filters["status"]:
        asked["status"] = filters["status"]
    errors: dict[str, str] = {}
    found, total = [], 0
    shown_from = await call.session.read(quotas.shown_from, call.now)
    try:
        query = reading.into(ChecksQuery, asked)
        answer = await api.page_of_checks(call.house.raw, row.monitor, query, call.now, shown_from)
        found, total = answer.data, answer.meta.total or 0
    except ApiError as error:
        errors = forms.problems(error, LABELS)
    pages = pager(f"/monitors/{row.monitor.id}/checks", filters, at, LIMIT, total)
    if at == last_page:
        pages["next_url"] = None
    return await render.page(
        call,
        "monitors/checks.html",
        active="Monitors",
        status=400 if errors else 200,
        monitor=in_full(call, row, covered=True),
        form=forms.view({}, errors),
        filters=filters,
        results=[each.value for each in Result],
        checks=found,
        raw_days=call.house.config.retention.raw_days,
        pager=pages | {"is_cut": total > api.LAST_PAGED_ROW, "last_row": api.LAST_PAGED_ROW},
    )


def _moment(text: str) -> str:
    """Return what a browser sends for a minute as the API takes it: they are in UTC."""
    return f"{text}:00Z" if _MINUTE.fullmatch(text) else text


ROUTES = (checks,)
