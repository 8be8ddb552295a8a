"""The form of a status page: making and changing one, and its logo."""

from __future__ import annotations

import base64
import re
import unicodedata
from typing import Any

from litestar import Response
from litestar.datastructures import UploadFile

from netpulse.model.status_page import StatusPage, Theme
from netpulse.rules import logos
from netpulse.storage import subscribers
from netpulse.web import languages, resource
from netpulse.web.api.status_pages import STATUS_PAGES
from netpulse.web.call import Call
from netpulse.web.endpoint import ADMIN, page
from netpulse.web.errors import ApiError, Problem, invalid, of_status
from netpulse.web.languages import mark, say
from netpulse.web.pages import forms, render
from netpulse.web.pages import status_pages as builder
from netpulse.web.pages.render import redirect

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


@page("GET", f"{builder.HERE}/new", access=ADMIN)
async def new_form(call: Call) -> Response[bytes]:
    """Show an empty form."""
    return await _form(call, None, forms.view(FRESH))


@page("POST", f"{builder.HERE}/new", access=ADMIN)
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
    return redirect(f"{builder.HERE}/{item.id}/services", "page-made")


@page("GET", f"{builder.HERE}/{{id:str}}", access=ADMIN)
async def edit_form(call: Call) -> Response[bytes]:
    """Show the form with what is stored."""
    item = await builder.stored(call)
    return await _form(call, item, forms.view(_entered(item), secrets=_secrets(item)))


@page("POST", f"{builder.HERE}/{{id:str}}", access=ADMIN)
async def replace(call: Call) -> Response[bytes]:
    """Change it."""
    item = await builder.stored(call)
    form = await forms.read(call)
    version = form.number("version")
    try:
        await builder.put(
            call, item, _values(form, item), version if isinstance(version, int) else None
        )
    except ApiError as error:
        found = _placed(error, forms.problems(error, LABELS))
        shown = forms.view(form.again(BOXES, ("password",)), found, _secrets(item))
        return await _form(call, item, shown, status=error.status)
    return redirect(f"{builder.HERE}/{item.id}", "saved")


def _values(form: forms.Form, item: StatusPage | None) -> dict[str, Any]:
    """Return the sent form as a body; what has its own page stays as it is stored."""
    kept: dict[str, Any] = {"branding": {"logo": None}, "groups": []}
    if item is not None:
        kept = builder.as_body(item)
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
        active=builder.ACTIVE,
        status=status,
        page=None if item is None else builder.head(item),
        tabs=[] if item is None else builder.tabs(item, "Settings"),
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


@page("POST", f"{builder.HERE}/{{id:str}}/logo", access=ADMIN)
async def put_logo(call: Call) -> Response[bytes]:
    """Take a file as the logo; none takes the logo away."""
    item = await builder.stored(call)
    body = builder.as_body(item)
    try:
        picture = await _file(call)
        body["branding"]["logo"] = None if picture is None else _data_url(picture)
        await builder.put(call, item, body)
    except ApiError as error:
        found = forms.problems(error, LABELS)
        shown = forms.view(_entered(item), found, _secrets(item))
        return await _form(call, item, shown, status=error.status)
    return redirect(f"{builder.HERE}/{item.id}", "saved")


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


ROUTES = (new_form, create, edit_form, replace, put_logo)
