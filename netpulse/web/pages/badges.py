"""A monitor's own badges: switching them on and off, how they look, and what to copy."""

from __future__ import annotations

from typing import Any

from litestar import Response

from netpulse.storage.monitor_rows import MonitorRow
from netpulse.web.api import badges as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, page
from netpulse.web.errors import ApiError
from netpulse.web.languages import mark, say
from netpulse.web.pages import forms, render
from netpulse.web.pages.badge_pictures import pictures, snippets
from netpulse.web.pages.monitors import stored
from netpulse.web.pages.render import redirect

LABELS = {"label": mark("Label")}


def _here(row: MonitorRow) -> str:
    return f"/monitors/{row.monitor.id}/badges"


@page("GET", "/monitors/{id:str}/badges", access=VIEWER)
async def look(call: Call) -> Response[bytes]:
    """Show them, or that they are off."""
    row = await stored(call)
    badge = await call.session.read(api.find, row.monitor.id)
    label = "" if badge is None else badge.label or ""
    return await _page(call, row, forms.view({"label": label}))


@page("POST", "/monitors/{id:str}/badges", access=ADMIN)
async def put(call: Call) -> Response[bytes]:
    """Switch them on, or set their label."""
    row = await stored(call)
    form = await forms.read(call)
    was_on = await call.session.read(api.find, row.monitor.id) is not None
    try:
        spec = api.spec_of(form.text("label"))
        await api.put(call.house, call.session, row.monitor.id, spec)
    except ApiError as error:
        shown = forms.view(form.again([], []), forms.problems(error, LABELS))
        return await _page(call, row, shown, status=error.status)
    return redirect(_here(row), "saved" if was_on else "badges-on")


async def _page(
    call: Call, row: MonitorRow, form: dict[str, Any], *, status: int = 200
) -> Response[bytes]:
    badge = await call.session.read(api.find, row.monitor.id)
    shown: list[dict[str, Any]] = []
    if badge is not None:
        shown = [one | {"snippets": snippets(one, call.base)} for one in pictures(badge, row)]
    return await render.page(
        call,
        "monitors/badges.html",
        active="Monitors",
        status=status,
        monitor={"id": row.monitor.id, "name": row.monitor.spec.name},
        badges=shown,
        json_url=None if badge is None else call.base + api.shown(badge).paths["json"],
        knows_its_name=bool(call.house.config.server.public_url),
        form=form,
    )


@page("GET", "/monitors/{id:str}/badges/rotate", access=ADMIN)
async def rotate_form(call: Call) -> Response[bytes]:
    """Ask, and say what follows."""
    return await _ask(
        call,
        mark("Give the badges of %(name)s another address?"),
        mark("Wherever they are shown now, they are missing until the new address is put there."),
        act="rotate",
        symbol="refresh",
        button=mark("New address"),
    )


@page("POST", "/monitors/{id:str}/badges/rotate", access=ADMIN)
async def rotate(call: Call) -> Response[bytes]:
    """Give them another address."""
    row = await stored(call)
    await api.rotate(call.house, call.session, row.monitor.id)
    return redirect(_here(row), "badges-moved")


@page("GET", "/monitors/{id:str}/badges/delete", access=ADMIN)
async def remove_form(call: Call) -> Response[bytes]:
    """Ask, and say what follows."""
    return await _ask(
        call,
        mark("Switch off the badges of %(name)s?"),
        mark(
            "Wherever they are shown now, they are missing. Switched on again, they have another"
            " address."
        ),
        act="delete",
        symbol="x",
        button=mark("Switch them off"),
    )


@page("POST", "/monitors/{id:str}/badges/delete", access=ADMIN)
async def remove(call: Call) -> Response[bytes]:
    """Switch them off."""
    row = await stored(call)
    await api.remove(call.house, call.session, row.monitor.id)
    return redirect(_here(row), "badges-off")


async def _ask(
    call: Call, question: str, consequence: str, *, act: str, symbol: str, button: str
) -> Response[bytes]:
    row = await stored(call)
    if await call.session.read(api.find, row.monitor.id) is None:
        raise api.off()
    return await render.page(
        call,
        "delete.html",
        active="Monitors",
        question=say(question, name=row.monitor.spec.name),
        consequences=[say(consequence)],
        action=f"{_here(row)}/{act}",
        symbol=symbol,
        button=say(button),
        back=_here(row),
    )


ROUTES = (look, put, rotate_form, rotate, remove_form, remove)
