"""The pages that change a monitor: making, changing, trying, pausing and deleting it."""

from __future__ import annotations

from typing import Any

from litestar import Response

from netpulse.model.ids import Id, is_id
from netpulse.model.monitor import MonitorSpec
from netpulse.storage import alert_rules, monitor_list, parents
from netpulse.storage.db import Conn
from netpulse.storage.monitor_rows import MonitorRow
from netpulse.web import limits, resource
from netpulse.web.api import monitors as api
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.errors import ApiError, not_found
from netpulse.web.figures import listed
from netpulse.web.languages import plural, say
from netpulse.web.pages import forms, monitor_form, render
from netpulse.web.pages.monitor_tested import tested
from netpulse.web.pages.monitors import in_full, stored
from netpulse.web.pages.render import redirect

NAME_CHARS = 180
"""Of the name of a monitor that is copied: with what is added it still is one."""


@page("GET", "/monitors/new", access=ADMIN)
async def new_form(call: Call) -> Response[bytes]:
    """Show an empty form, or one with what the monitor has that `copy` names: all but secrets,
    which are never shown again."""
    wanted = call.request.query_params.get("copy")
    if wanted is None:
        return await _form(call, None, monitor_form.FRESH)
    row = await call.session.read(api.MONITORS.get, wanted) if is_id(wanted) else None
    if row is None:
        raise not_found("monitor")
    entered = monitor_form.entered(row.monitor.spec)
    name = f"{row.monitor.spec.name[:NAME_CHARS]} (copy)"
    return await _form(call, None, entered | {"name": name}, copied=row)


@page("POST", "/monitors/new", access=ADMIN)
async def create(call: Call) -> Response[bytes]:
    """Make one, or try it."""
    form = await forms.read(call)
    try:
        spec = monitor_form.spec(form)
        if form.text("action") == "test":
            return await _tried(call, form, None, spec)
        row = await resource.create(api.MONITORS, call.house, call.session, spec)
    except ApiError as error:
        return await _refused(call, form, None, error)
    told = "saved" if row.monitor.spec.is_paused else "watching"
    return redirect(f"/monitors/{row.monitor.id}", told)


@page("GET", "/monitors/{id:str}/edit", access=ADMIN)
async def edit_form(call: Call) -> Response[bytes]:
    """Show the form with what is stored."""
    row = await stored(call)
    return await _form(call, row, monitor_form.entered(row.monitor.spec))


@page("POST", "/monitors/{id:str}/edit", access=ADMIN)
async def replace(call: Call) -> Response[bytes]:
    """Change it, or try the change."""
    row = await stored(call)
    form = await forms.read(call)
    version = form.number("version")
    try:
        spec = monitor_form.spec(form)
        if form.text("action") == "test":
            return await _tried(call, form, row, spec)
        await resource.replace(
            api.MONITORS,
            call.house,
            call.session,
            row.monitor.id,
            spec,
            version if isinstance(version, int) else None,
        )
    except ApiError as error:
        return await _refused(call, form, row, error)
    return redirect(f"/monitors/{row.monitor.id}", "saved")


async def _tried(
    call: Call, form: forms.Form, row: MonitorRow | None, spec: MonitorSpec
) -> Response[bytes]:
    api.refuse_push(spec)
    # Trying sends the stored secrets, so that it obeys what saving does.
    spec = api.checked(spec) if row is None else api.kept(spec, row.monitor.spec)
    monitor_id = None if row is None else row.monitor.id
    await call.session.read(api.refuse_parent, monitor_id, spec)
    limits.run_counts(call)
    reading, _, check = await call.house.engine.test(call.session.org_id, spec)
    shown = form.again(monitor_form.BOXES, monitor_form.SECRETS, "headers")
    return await _form(call, row, shown, result=tested(spec, check, reading))


async def _refused(
    call: Call, form: forms.Form, row: MonitorRow | None, error: ApiError
) -> Response[bytes]:
    found = forms.problems(error, monitor_form.LABELS)
    call.headers.update(error.headers)
    shown = form.again(monitor_form.BOXES, monitor_form.SECRETS, "headers")
    return await _form(call, row, shown, found, status=error.status)


async def _form(
    call: Call,
    row: MonitorRow | None,
    shown: dict[str, Any],
    errors: dict[str, str] | None = None,
    *,
    result: dict[str, Any] | None = None,
    copied: MonitorRow | None = None,
    status: int = 200,
) -> Response[bytes]:
    stored = () if row is None else monitor_form.stored_secrets(row.monitor.spec)
    monitor = None
    if row is not None:
        spec = row.monitor.spec
        monitor = {"id": row.monitor.id, "name": spec.name, "version": row.monitor.version}
    return await render.page(
        call,
        "monitors/form.html",
        active="Monitors",
        status=status,
        monitor=monitor,
        copy_of=None
        if copied is None
        else {
            "name": copied.monitor.spec.name,
            "has_secrets": bool(monitor_form.stored_secrets(copied.monitor.spec)),
        },
        form=forms.view(shown, errors, stored),
        types=forms.options(monitor_form.TYPES),
        methods=monitor_form.METHODS,
        records=monitor_form.RECORDS,
        groups=await call.session.read(monitor_list.groups),
        parents=await _parents(call, row, shown),
        tested=result,
        request_open=monitor_form.request_open(shown, errors or {}),
        advanced_open=monitor_form.advanced_open(shown, errors or {}),
    )


async def _parents(
    call: Call, row: MonitorRow | None, shown: dict[str, Any]
) -> list[dict[str, str]]:
    """Return what the monitor may be said to depend on."""
    monitor_id = None if row is None else row.monitor.id
    chosen = str(shown.get("parent_id") or "") or None
    found = await call.session.read(parents.choices, monitor_id, chosen)
    return [
        {"value": "", "label": say("Nothing")},
        *({"value": parent_id, "label": name} for parent_id, name in found),
    ]


# Acts


@page("POST", "/monitors/{id:str}/check", access=ADMIN)
async def check_now(call: Call) -> Response[bytes]:
    """Check it now, by hand."""
    row = await stored(call)
    api.refuse_push(row.monitor.spec)
    limits.run_counts(call)
    await call.house.engine.check_now(call.session.org_id, row.monitor)
    await call.house.raw.flush()
    return redirect(f"/monitors/{row.monitor.id}", "checked")


@page("POST", "/monitors/{id:str}/pause", access=ADMIN)
async def pause(call: Call) -> Response[bytes]:
    """Pause it."""
    row = await api.pause(call.house, call.session, call.id("id", "monitor"))
    return redirect(f"/monitors/{row.monitor.id}", "paused")


@page("POST", "/monitors/{id:str}/resume", access=ADMIN)
async def resume(call: Call) -> Response[bytes]:
    """Resume it."""
    row = await api.resume(call.house, call.session, call.id("id", "monitor"))
    return redirect(f"/monitors/{row.monitor.id}", "resumed")


@page("GET", "/monitors/{id:str}/delete", access=ADMIN)
async def delete_form(call: Call) -> Response[bytes]:
    """Ask, and name what goes."""
    row = await stored(call)
    return await render.page(
        call,
        "monitors/delete.html",
        active="Monitors",
        monitor=in_full(call, row, covered=True),
        consequences=await call.session.read(_consequences, row),
    )


def _consequences(conn: Conn, org_id: Id, row: MonitorRow) -> list[str]:
    found = [say("Its figures and checks leave the lists.")]
    if row.watch.incident_id is not None:
        found.append(say("Its open incident is resolved; no recovery is told."))
    bound = alert_rules.page(conn, org_id, monitor_id=row.monitor.id, limit=5)
    if bound.total:
        found.append(
            plural(
                bound.total,
                "%(num)s rule names only this monitor and goes with it: %(names)s.",
                "%(num)s rules go with it: %(names)s.",
                names=listed((rule.name for rule in bound.rows), bound.total - len(bound.rows)),
            )
        )
    return found


@page("POST", "/monitors/{id:str}/delete", access=ADMIN)
async def delete(call: Call) -> Response[bytes]:
    """Delete it."""
    await resource.delete(api.MONITORS, call.house, call.session, call.id("id", "monitor"))
    return redirect("/monitors", "deleted")


ROUTES = (
    new_form,
    create,
    edit_form,
    replace,
    check_now,
    pause,
    resume,
    delete_form,
    delete,
)
