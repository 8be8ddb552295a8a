"""Status pages as people meet them: the page, its history, feeds, badges, logo and style sheet.

On a page's own domain the same routes answer, reached by `door`: `base` is then "", and else
/status/<slug>. Nothing here looks at a sign-in.
"""

from __future__ import annotations

import re

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from netpulse.model.board import BoardService
from netpulse.model.ids import is_id
from netpulse.model.status_page import StatusPage
from netpulse.storage import status_pages
from netpulse.web import languages
from netpulse.web.api.status_page_answers import logo_name
from netpulse.web.call import Call
from netpulse.web.endpoint import PUBLIC, page
from netpulse.web.errors import ApiError, of_status
from netpulse.web.languages import say
from netpulse.web.pages import forms
from netpulse.web.phrases import refusal
from netpulse.web.status import gate, sending, views
from netpulse.web.status.shelf import Rendered, Shown, rendered

FOR_EVER = "public, max-age=31536000, immutable"
BADGE = sending.ANYWHERE | sending.PICTURE
_HOST = re.compile(r"[a-z0-9.-]{1,253}(?::[0-9]{1,5})?|\[[0-9a-f:.]{2,45}\](?::[0-9]{1,5})?")


def base_of(call: Call) -> str:
    """Return what the addresses of the page begin with: "" on its own domain."""
    if call.request.scope["state"].get("page_domain"):
        return ""
    return f"/status/{call.request.path_params['slug']}"


def origin_of(call: Call, page: StatusPage) -> str:
    """Return scheme and host for addresses that leave the page, as in a feed.

    On the page's own domain that; else the configured one; without that what the reader used.
    """
    scheme = "https" if call.origin.is_https else "http"
    if call.request.scope["state"].get("page_domain") and page.domain is not None:
        return f"{scheme}://{page.domain.name}"
    public_url = call.house.config.server.public_url.rstrip("/")
    if public_url:
        return public_url
    host = call.origin.host
    return f"{scheme}://{host}" if _HOST.fullmatch(host) else ""


def speak(call: Call, page: StatusPage | None = None) -> None:
    """Speak the page's one language, if it has one, else that which the browser asks for: what
    somebody has chosen for NetPulse itself is no matter of a status page."""
    chosen = "" if page is None or page.language is None else page.language
    languages.use(languages.of_request(call.request.headers.get("accept-language", ""), chosen))


async def _visited(call: Call) -> Shown | Response[bytes]:
    """Return the page, or what asks for its password."""
    speak(call)
    shown = await gate.found(call, call.request.path_params["slug"])
    speak(call, shown.page)
    if gate.is_open(call, shown.page):
        return shown
    return asked_password(call, shown.page)


def asked_password(
    call: Call, page: StatusPage, error: str = "", status: int = 401
) -> Response[bytes]:
    """Return what asks for the page's password."""
    body = views.password(page, base_of(call), error).encode()
    headers = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"}
    if status == 401:
        headers["WWW-Authenticate"] = "Cookie"
    return Response(body, status_code=status, media_type=views.HTML, headers=headers)


async def _opened(call: Call) -> Shown | Response[bytes]:
    """Return the page for a program: a reader of feeds, or of badges."""
    try:
        return await gate.opened(call, call.request.path_params["slug"])
    except ApiError as error:
        if error.status != 401:
            raise
        # Outside /v1 a 401 would lead to the sign-in of NetPulse itself.
        headers = {**error.headers, "X-Robots-Tag": "noindex"}
        body = b"password required\n"
        return Response(body, status_code=401, media_type="text/plain", headers=headers)


@page("GET", "/status/{slug:str}", access=PUBLIC, counts=False)
async def overview(call: Call) -> Response[bytes]:
    """Show the page, or ask for its password."""
    shown = await _visited(call)
    if isinstance(shown, Response):
        return shown
    return sending.answer(call, shown, await overview_of(call, shown, base_of(call)))


async def overview_of(call: Call, shown: Shown, base: str) -> Rendered:
    """Return the page itself in the language of this request."""
    name = f"page {languages.code()}{base}"
    return await call.house.shelf.render(shown, name, views.overview(base))


@page("POST", "/status/{slug:str}", access=PUBLIC)
async def enter(call: Call) -> Response[bytes]:
    """Take the password."""
    speak(call)
    shown = await gate.found(call, call.request.path_params["slug"])
    speak(call, shown.page)
    form = await forms.read(call)
    try:
        is_in = await gate.admit(call, shown.page, form.raw("password"))
    except ApiError as error:
        call.headers.update(error.headers)
        return asked_password(call, shown.page, refusal(error) + ".", error.status)
    if not is_in:
        return asked_password(call, shown.page, say("This is not the password."))
    headers = {"Location": base_of(call) or "/", "Cache-Control": "no-store"}
    return Response(b"", status_code=303, media_type=views.HTML, headers=headers)


@page("GET", "/status/{slug:str}/history", access=PUBLIC, counts=False)
async def history(call: Call) -> Response[bytes]:
    """Show the incidents of the last 90 days."""
    shown = await _visited(call)
    if isinstance(shown, Response):
        return shown
    base, spoken = base_of(call), languages.code()
    made = await call.house.shelf.render(shown, f"history {spoken}{base}", views.history(base))
    return sending.answer(call, shown, made)


@page("GET", "/status/{slug:str}/feed.atom", access=PUBLIC, counts=False)
async def atom(call: Call) -> Response[bytes]:
    """Send the Atom feed."""
    return await _feed(call, "atom")


@page("GET", "/status/{slug:str}/feed.rss", access=PUBLIC, counts=False)
async def rss(call: Call) -> Response[bytes]:
    """Send the RSS feed."""
    return await _feed(call, "rss")


async def _feed(call: Call, kind: str) -> Response[bytes]:
    shown = await _opened(call)
    if isinstance(shown, Response):
        return shown
    base, origin = base_of(call), origin_of(call, shown.page)
    render = views.atom(base, origin) if kind == "atom" else views.rss(base, origin)
    made = await call.house.shelf.render(shown, f"{kind} {origin}{base}", render)
    return sending.answer(call, shown, made, sending.ANYWHERE)


# Badges


@page("GET", "/status/{slug:str}/badge.svg", access=PUBLIC, counts=False)
async def badge(call: Call) -> Response[bytes]:
    """Send the badge of the whole page."""
    shown = await _opened(call)
    if isinstance(shown, Response):
        return shown
    made = await call.house.shelf.render(shown, "badge", views.badge)
    return sending.answer(call, shown, made, BADGE)


@page("GET", "/status/{slug:str}/badge/{service:str}/status.svg", access=PUBLIC, counts=False)
async def status_badge(call: Call) -> Response[bytes]:
    """Send the badge of a service's state."""
    shown = await _opened(call)
    if isinstance(shown, Response):
        return shown
    service = _service(call, shown)
    name = f"status badge {service.id}"
    made = await call.house.shelf.render(shown, name, views.status_badge(service))
    return sending.answer(call, shown, made, BADGE)


@page("GET", "/status/{slug:str}/badge/{service:str}/uptime.svg", access=PUBLIC, counts=False)
async def uptime_badge(call: Call) -> Response[bytes]:
    """Send the badge of a service's uptime over 90 days, where the page shows that."""
    shown = await _opened(call)
    if isinstance(shown, Response):
        return shown
    service = _service(call, shown)
    if not shown.page.figures.uptime:
        raise of_status(404)
    name = f"uptime badge {service.id}"
    made = await call.house.shelf.render(shown, name, views.uptime_badge(service))
    return sending.answer(call, shown, made, BADGE)


def _service(call: Call, shown: Shown) -> BoardService:
    wanted = call.request.path_params["service"]
    if is_id(wanted):
        for service in shown.board.services:
            if service.id == wanted:
                return service
    raise of_status(404)


# How it looks: what stands before the password, too


@page("GET", "/status/{slug:str}/style/{name:str}", access=PUBLIC, counts=False)
async def style(call: Call) -> Response[bytes]:
    """Send the page's colours; those of another address (a page from before a change) too."""
    shown = await gate.found(call, call.request.path_params["slug"])
    made = views.style(shown.page)
    asked = f"/style/{call.request.path_params['name']}"
    fresh = FOR_EVER if asked == views.style_path(shown.page) else "no-cache"
    return sending.send(call, made, {"Cache-Control": fresh, "ETag": made.tag})


@page("GET", "/status/{slug:str}/logo/{name:str}", access=PUBLIC, counts=False)
async def logo(call: Call) -> Response[bytes]:
    """Send the page's logo, as a picture that nothing else can be made of."""
    shown = await gate.found(call, call.request.path_params["slug"])
    wanted = shown.page.branding.logo
    if wanted is None or call.request.path_params["name"] != logo_name(wanted):
        raise of_status(404)
    body = await call.house.db.read(status_pages.logo, shown.page.id)
    if body is None:
        raise of_status(404)
    extension = wanted.media_type.partition("/")[2]
    headers = {
        "Cache-Control": FOR_EVER,
        "ETag": f'W/"{wanted.digest[:20]}"',
        "Content-Disposition": f'inline; filename="logo.{extension}"',
    } | sending.PICTURE
    made = rendered(wanted.media_type, body, pack=False)
    return sending.send(call, made, headers)


ROUTES: tuple[HTTPRouteHandler, ...] = (
    overview,
    enter,
    history,
    atom,
    rss,
    badge,
    status_badge,
    uptime_badge,
    style,
    logo,
)
