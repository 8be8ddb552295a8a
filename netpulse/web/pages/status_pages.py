"""The builder of status pages: the list, making, changing, previewing and deleting one."""

from __future__ import annotations

import base64
import re
import unicodedata
from typing import Any

from litestar import Response
from litestar.datastructures import UploadFile

from netpulse.model.status_page import StatusPage, Theme
from netpulse.rules import logos
from netpulse.storage import status_pages, subscribers
from netpulse.storage.db import Conn
from netpulse.storage.table import Page
from netpulse.web import languages, resource
from netpulse.web.api import status_page_answers as answers
from netpulse.web.api.status_pages import STATUS_PAGES
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, VIEWER, page
from netpulse.web.errors import ApiError, Problem, invalid, not_found, of_status
from netpulse.web.languages import mark, plural, say
from netpulse.web.pages import forms, render
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.render import redirect
from netpulse.web.status import views
from netpulse.web.status.routes import overview_of, speak

HERE = "/status-pages"
ACTIVE = mark("Status pages")
LIMIT = 20
LABELS = {
    "slug": mark("Address"),
    "title": mark("Title"),
    "text": mark("Text"),
    "language": mark("Language"),
    "branding.theme": mark("Theme"),
    "branding.colors.accent": mark("Links and buttons"),
    "branding.colors.header": mark("Behind the title"),
    "branding.logo": mark("Logo"),
    "custom_domain": mark("Domain"),
    "password": mark("Password"),
    "subscribers": mark("Present subscribers"),
    "groups": mark("Services"),
}
BOXES = ("is_indexed", "takes_subscribers", "figures.uptime", "figures.response_times")
FRESH: dict[str, Any] = {
    "branding.theme": Theme.AUTO.value,
    "is_indexed": True,
    "takes_subscribers": True,
    "figures.uptime": True,
}
THEMES = [
    {"value": Theme.AUTO.value, "label": mark("as the reader's system has it")},
    {"value": Theme.LIGHT.value, "label": mark("light")},
    {"value": Theme.DARK.value, "label": mark("dark")},
]
BECOMES = [
    {"value": "", "label": mark("as it is")},
    {"value": "keep", "label": mark("go on telling them")},
    {"value": "remove", "label": mark("remove them")},
]
"""What becomes of subscribers."""
_TABS = (
    (mark("Settings"), ""),
    (mark("Services"), "/services"),
    (mark("News"), "/news"),
    (mark("Subscribers"), "/subscribers"),
    (mark("Domain"), "/domain"),
)


def tabs(item: StatusPage, active: str) -> list[dict[str, Any]]:
    """Return the tabs of one page's pages."""
    return [
        {"label": say(label), "href": f"{HERE}/{item.id}{path}", "active": label == active}
        for label, path in _TABS
    ]


async def stored(call: Call) -> StatusPage:
    """Return the status page that the address names. Raises ApiError (404) where there is none."""
    item = await call.session.read(status_pages.get, call.id("id", "status page"))
    if item is None:
        raise not_found("status page")
    return item


def head(item: StatusPage) -> dict[str, Any]:
    """Return what the head of every page about one shows."""
    domain = item.domain
    return {
        "id": item.id,
        "title": item.title,
        "path": answers.page_path(item),
        "version": item.version,
        "services": len(item.monitor_ids),
        "has_password": item.password_hash is not None,
        "is_indexed": item.is_indexed,
        "domain": None if domain is None else domain.name,
        "domain_is_active": domain is not None and domain.verified_at is not None,
        "logo": answers.entered(item)["branding"].logo,
    }


# The list


def _listed(conn: Conn, org_id: str, offset: int) -> Page[StatusPage]:
    return status_pages.page(conn, org_id, offset=offset, limit=LIMIT)


@page("GET", HERE, access=VIEWER)
async def list_all(call: Call) -> Response[bytes]:
    """List them, each with what it says now."""
    number = call.request.query_params.get("page", "1")
    at = min(max(int(number), 1), 100_000) if number.isdecimal() and len(number) < 8 else 1
    found = await call.session.read(_listed, (at - 1) * LIMIT)
    rows = []
    for item in found.rows:
        shown = await call.house.shelf.look(item.slug)
        said = None if shown is None else views.headline(shown.board)
        rows.append(head(item) | {"headline": said})
    return await render.page(
        call,
        "status_pages/list.html",
        active=ACTIVE,
        pages=rows,
        pager=pager(HERE, {}, at, LIMIT, found.total),
    )


@page("GET", "/status", access=VIEWER)
async def lead_there(call: Call) -> Response[bytes]:
    """Lead to the builder."""
    del call
    return redirect(HERE)


# Making and changing


@page("GET", f"{HERE}/new", access=ADMIN)
async def new_form(call: Call) -> Response[bytes]:
    """Show an empty form."""
    return await _form(call, None, forms.view(FRESH))


@page("POST", f"{HERE}/new", access=ADMIN)
async def create(call: Call) -> Response[bytes]:
    """Make one; its services come next."""
    form = await forms.read(call)
    try:
        draft = STATUS_PAGES.read_spec(_values(form, None))
        item = await resource.create(STATUS_PAGES, call.house, call.session, draft)
    except ApiError as error:
        found = forms.problems(error, LABELS)
        shown = forms.view(form.again(BOXES, ("password",)), _placed(error, found))
        return await _form(call, None, shown, status=error.status)
    return redirect(f"{HERE}/{item.id}/services", "page-made")


@page("GET", f"{HERE}/{{id:str}}", access=ADMIN)
async def edit_form(call: Call) -> Response[bytes]:
    """Show the form with what is stored."""
    item = await stored(call)
    return await _form(call, item, forms.view(_entered(item), secrets=_secrets(item)))


@page("POST", f"{HERE}/{{id:str}}", access=ADMIN)
async def replace(call: Call) -> Response[bytes]:
    """Change it."""
    item = await stored(call)
    form = await forms.read(call)
    version = form.number("version")
    try:
        await put(call, item, _values(form, item), version if isinstance(version, int) else None)
    except ApiError as error:
        found = _placed(error, forms.problems(error, LABELS))
        shown = forms.view(form.again(BOXES, ("password",)), found, _secrets(item))
        return await _form(call, item, shown, status=error.status)
    return redirect(f"{HERE}/{item.id}", "saved")


async def put(
    call: Call, item: StatusPage, values: dict[str, Any], version: int | None = None
) -> StatusPage:
    """Store `values` (a whole body of the API) in place of a page; raises what the API raises."""
    draft = STATUS_PAGES.read_spec(values)
    return await resource.replace(
        STATUS_PAGES, call.house, call.session, item.id, draft, version or item.version
    )


def as_body(item: StatusPage) -> dict[str, Any]:
    """Return a stored page as the body that would leave it as it is."""
    found = answers.entered(item)
    branding = found["branding"]
    return found | {
        "branding": {
            "logo": branding.logo,
            "theme": branding.theme.value,
            "colors": {"accent": branding.colors.accent, "header": branding.colors.header},
        },
        "figures": {
            "uptime": found["figures"].uptime,
            "response_times": found["figures"].response_times,
        },
        "groups": [
            {
                "name": group.name,
                "monitors": [
                    {"monitor_id": one.monitor_id, "public_name": one.public_name}
                    for one in group.monitors
                ],
            }
            for group in item.groups
        ],
    }


def _values(form: forms.Form, item: StatusPage | None) -> dict[str, Any]:
    """Return the sent form as a body; what has its own page stays as it is stored."""
    kept: dict[str, Any] = {"branding": {"logo": None}, "groups": []}
    if item is not None:
        kept = as_body(item)
    title = form.text("title")
    return {
        "slug": form.text("slug") or _slug(title),
        "title": title,
        "text": form.text("text"),
        "language": form.optional("language"),
        "branding": {
            "logo": kept["branding"]["logo"],
            "theme": form.text("branding.theme") or Theme.AUTO.value,
            "colors": {
                "accent": form.optional("branding.colors.accent"),
                "header": form.optional("branding.colors.header"),
            },
        },
        "custom_domain": form.optional("custom_domain"),
        "password": form.secret("password"),
        "is_indexed": form.checked("is_indexed"),
        "takes_subscribers": form.checked("takes_subscribers"),
        "subscribers": form.optional("subscribers"),
        "figures": {
            "uptime": form.checked("figures.uptime"),
            "response_times": form.checked("figures.response_times"),
        },
        "groups": kept["groups"],
    }


def _slug(title: str) -> str:
    """Return the address that a title suggests: "Café Müller" is at cafe-mueller."""
    spelt = unicodedata.normalize("NFKD", title.lower().translate(_SPELT))
    bare = "".join(each for each in spelt if not unicodedata.combining(each))
    return re.sub(r"[^a-z0-9]+", "-", bare).strip("-")[:64].strip("-")


_SPELT = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "o", "œ": "oe", "ł": "l"}
)


def _entered(item: StatusPage) -> dict[str, Any]:
    colors = item.branding.colors
    return {
        "slug": item.slug,
        "title": item.title,
        "text": item.text,
        "language": item.language or "",
        "branding.theme": item.branding.theme.value,
        "branding.colors.accent": colors.accent or "",
        "branding.colors.header": colors.header or "",
        "custom_domain": "" if item.domain is None else item.domain.name,
        "is_indexed": item.is_indexed,
        "takes_subscribers": item.takes_subscribers,
        "figures.uptime": item.figures.uptime,
        "figures.response_times": item.figures.response_times,
    }


def _secrets(item: StatusPage) -> set[str]:
    return set() if item.password_hash is None else {"password"}


_TAKEN = {"SLUG_TAKEN": "slug", "DOMAIN_TAKEN": "custom_domain"}


def _placed(error: ApiError, found: dict[str, str]) -> dict[str, str]:
    """Return the problems of a form with a conflict at the field it is about."""
    field = _TAKEN.get(error.code)
    return found if field is None else {field: f"{say(LABELS[field])}: {found['']}"}


async def _form(
    call: Call, item: StatusPage | None, form: dict[str, Any], *, status: int = 200
) -> Response[bytes]:
    told = 0
    if item is not None:
        told, _ = await call.house.db.read(subscribers.count, item.id)
    return await render.page(
        call,
        "status_pages/form.html",
        active=ACTIVE,
        status=status,
        page=None if item is None else head(item),
        tabs=[] if item is None else tabs(item, "Settings"),
        form=form,
        themes=forms.options(THEMES),
        languages=[
            {"value": "", "label": say("each reader's own")},
            *({"value": code, "label": name} for code, name in languages.LANGUAGES.items()),
        ],
        told=told,
        becomes=forms.options(BECOMES),
        base=call.base,
        logo_kib=logos.MOST_BYTES // 1024,
    )


# The logo


@page("POST", f"{HERE}/{{id:str}}/logo", access=ADMIN)
async def put_logo(call: Call) -> Response[bytes]:
    """Take a file as the logo; none takes the logo away."""
    item = await stored(call)
    body = as_body(item)
    try:
        picture = await _file(call)
        body["branding"]["logo"] = None if picture is None else _data_url(picture)
        await put(call, item, body)
    except ApiError as error:
        found = forms.problems(error, LABELS)
        shown = forms.view(_entered(item), found, _secrets(item))
        return await _form(call, item, shown, status=error.status)
    return redirect(f"{HERE}/{item.id}", "saved")


async def _file(call: Call) -> bytes | None:
    """Return the file in a form (multipart/form-data), or None where none was chosen.

    Raises:
        ApiError: 415 for another form, 400 for a file that is too large.
    """
    media = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "multipart/form-data":
        raise of_status(415)
    sent = (await call.request.form()).get("logo")
    if not isinstance(sent, UploadFile):
        return None
    body = await sent.read(logos.MOST_BYTES + 1)
    if len(body) > logos.MOST_BYTES:
        why = say("is larger than %(kib)s KiB", kib=logos.MOST_BYTES // 1024)
        raise invalid([Problem("$.branding.logo", why)])
    return body or None


def _data_url(picture: bytes) -> str:
    # What kind of picture it is, the bytes say, not the browser.
    return f"data:image/*;base64,{base64.b64encode(picture).decode()}"


# Looking and deleting


@page("GET", f"{HERE}/{{id:str}}/preview", access=VIEWER)
async def preview(call: Call) -> Response[bytes]:
    """Show the page as strangers see it, whether it has a password or not."""
    item = await stored(call)
    shown = await call.house.shelf.look(item.slug)
    if shown is None:
        raise not_found("status page")
    speak(call, item)
    made = await overview_of(call, shown, answers.page_path(item))
    return Response(made.body, media_type=made.media_type, headers={"Cache-Control": "no-store"})


@page("GET", f"{HERE}/{{id:str}}/delete", access=ADMIN)
async def delete_form(call: Call) -> Response[bytes]:
    """Ask, and say what follows."""
    item = await stored(call)
    where = answers.page_path(item)
    consequences = [
        say(
            "%(where)s is no more, nor are its feeds and badges; another page may take its"
            " address.",
            where=where,
        ),
        say("Its announcements go with it; monitors, incidents and maintenance stay."),
    ]
    told, _ = await call.house.db.read(subscribers.count, item.id)
    if told:
        consequences.append(
            plural(
                told,
                "The addresses of its subscriber are forgotten, and nobody tells them.",
                "The addresses of its %(num)s subscribers are forgotten, and nobody tells them.",
            )
        )
    if item.domain is not None:
        consequences.insert(1, say("%(name)s leads nowhere any more.", name=item.domain.name))
    return await render.page(
        call,
        "delete.html",
        active=ACTIVE,
        question=say("Delete the status page %(title)s?", title=item.title),
        consequences=consequences,
        action=f"{HERE}/{item.id}/delete",
        button=say("Delete the page"),
        back=f"{HERE}/{item.id}",
    )


@page("POST", f"{HERE}/{{id:str}}/delete", access=ADMIN)
async def delete(call: Call) -> Response[bytes]:
    """Delete it."""
    page_id = call.id("id", "status page")
    await resource.delete(STATUS_PAGES, call.house, call.session, page_id)
    return redirect(HERE, "deleted")


ROUTES = (
    list_all,
    lead_there,
    new_form,
    create,
    edit_form,
    replace,
    put_logo,
    preview,
    delete_form,
    delete,
)
