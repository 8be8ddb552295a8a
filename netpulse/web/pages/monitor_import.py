"""Adding many monitors: a pasted list, what each line becomes, and making them in one go."""

from __future__ import annotations

from typing import Any

from litestar import Response

from netpulse.storage import monitor_list
from netpulse.web import reading
from netpulse.web.api import monitor_import as api
from netpulse.web.api.monitor_import import ImportListAnswer, ImportListSpec
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.errors import ApiError
from netpulse.web.languages import mark, say
from netpulse.web.pages import forms, monitor_form, render
from netpulse.web.pages.forms import Form
from netpulse.web.pages.render import redirect
from netpulse.web.phrases import phrase

LABELS = {
    "text": mark("List"),
    "host_type": mark("A host alone"),
    "interval_seconds": mark("Check every"),
    "group": mark("Group"),
    "tags": mark("Tags"),
}
HOST_TYPES = [
    {"value": "icmp", "label": mark("is pinged")},
    {"value": "https", "label": mark("is asked for its page at https://")},
]
FRESH: dict[str, Any] = {"interval_seconds": "60", "host_type": "icmp"}
WORDS = {each["value"]: each["label"] for each in monitor_form.TYPES}


@page("GET", "/monitors/add-many", access=ADMIN)
async def show(call: Call) -> Response[bytes]:
    """Show an empty form."""
    return await _form(call, FRESH)


@page("POST", "/monitors/add-many", access=ADMIN)
async def send(call: Call) -> Response[bytes]:
    """Say what the lines become, or make them."""
    form = await forms.read(call)
    entered = form.again(("is_paused",), ())
    previewed: ImportListAnswer | None = None
    try:
        spec = reading.into(ImportListSpec, _values(form, dry_run=True))
        previewed = await api.create(call, spec)
        errors = _problems(previewed)
        action = form.text("action")
        wrong = _wrong(previewed)
        # Only what somebody has seen is left out: the list may be another since.
        is_meant = not wrong or (action == "save-good" and form.text("left_out") == _listed(wrong))
        if action not in {"save", "save-good"} or errors or not is_meant:
            status = 400 if errors or action in {"save", "save-good"} else 200
            return await _form(call, entered, errors, previewed, status=status)
        asked = _values(form, dry_run=False)
        asked["text"] = _without(asked["text"], wrong)
        made = await api.create(call, reading.into(ImportListSpec, asked))
    except ApiError as error:
        found = forms.problems(error, LABELS)
        call.headers.update(error.headers)
        return await _form(call, entered, found, previewed, status=error.status)
    told = "saved" if form.checked("is_paused") else "watching-many"
    return redirect(f"/monitors?sort=-created_at&limit={50 if made.created > 20 else 20}", told)


def _values(form: Form, *, dry_run: bool) -> dict[str, Any]:
    return {
        "text": form.raw("text"),
        "host_type": form.text("host_type") or "icmp",
        "interval_seconds": form.number("interval_seconds") or 60,
        "group": form.text("group"),
        "tags": [each.strip() for each in form.text("tags").split(",") if each.strip()],
        "is_paused": form.checked("is_paused"),
        "dry_run": dry_run,
    }


def _wrong(previewed: ImportListAnswer) -> list[int]:
    """Return the numbers of the lines that cannot be."""
    return [each.line for each in previewed.lines if each.problems]


def _listed(numbers: list[int]) -> str:
    return ",".join(map(str, numbers))


def _without(text: str, wrong: list[int]) -> str:
    """Return the list with the lines of these numbers, which begin at 1, left empty."""
    gone = set(wrong)
    lines = text.splitlines()
    return "\n".join("" if at in gone else line for at, line in enumerate(lines, 1))


def _problems(previewed: ImportListAnswer) -> dict[str, str]:
    """Return what is wrong with all of it, by field."""
    found: dict[str, str] = {}
    for each in previewed.problems:
        field = each.path.removeprefix("$.").partition("[")[0]
        found.setdefault(field, f"{say(LABELS[field])}: {phrase(each.message)}.")
    return found


async def _form(
    call: Call,
    entered: dict[str, Any],
    errors: dict[str, str] | None = None,
    previewed: ImportListAnswer | None = None,
    *,
    status: int = 200,
) -> Response[bytes]:
    lines = [] if previewed is None else previewed.lines
    wrong = [] if previewed is None else _wrong(previewed)
    return await render.page(
        call,
        "monitors/add_many.html",
        active="Monitors",
        status=status,
        form=forms.view(entered, errors),
        host_types=forms.options(HOST_TYPES),
        groups=await call.session.read(monitor_list.groups),
        lines=[
            {
                "line": each.line,
                "type_label": say(WORDS[each.type]),
                "name": each.name,
                "target": each.target,
                "problems": [_said(problem.path, problem.message) for problem in each.problems],
            }
            for each in lines
        ],
        wrong=len(wrong),
        left_out=_listed(wrong),
    )


def _said(path: str, message: str) -> str:
    field = path.removeprefix("$.")
    label = monitor_form.LABELS.get(field)
    said = phrase(message)
    return said if field == "target" or label is None else f"{say(label)}: {said}"


ROUTES = (show, send)
