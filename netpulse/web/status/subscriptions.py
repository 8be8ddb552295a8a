"""The pages of subscriptions: the form of a status page, and what stands behind the links that are
sent.

Opening a link changes nothing, so that what looks through mail for bad links does nothing; the
button does. Mail programs with a button of their own send the same POST (RFC 8058).
"""

from __future__ import annotations

from typing import Any

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from netpulse.model.status_page import StatusPage
from netpulse.model.subscriber import SubscriberKind
from netpulse.web.call import Call
from netpulse.web.endpoint import PUBLIC, page
from netpulse.web.errors import ApiError
from netpulse.web.languages import mark
from netpulse.web.pages import forms
from netpulse.web.pages.render import outside, with_secret_address
from netpulse.web.status import gate, subscribing, views
from netpulse.web.status.routes import asked_password, base_of, speak
from netpulse.web.status.subscribing import Found

LABELS = {
    SubscriberKind.EMAIL: {"address": mark("Email address")},
    SubscriberKind.WEBHOOK: {"address": mark("URL")},
}
"""What the form calls the field."""


@page("GET", "/status/{slug:str}/subscribe", access=PUBLIC)
async def form(call: Call) -> Response[bytes]:
    """Show how to be told what the page tells."""
    speak(call)
    shown = await gate.found(call, call.request.path_params["slug"])
    speak(call, shown.page)
    if not gate.is_open(call, shown.page):
        return asked_password(call, shown.page)
    return _form(call, shown.page)


@page("POST", "/status/{slug:str}/subscribe", access=PUBLIC)
async def ask(call: Call) -> Response[bytes]:
    """Ask the owner of an address."""
    speak(call)
    shown = await gate.found(call, call.request.path_params["slug"])
    speak(call, shown.page)
    if not gate.is_open(call, shown.page):
        return asked_password(call, shown.page)
    sent = await forms.read(call)
    kind = SubscriberKind.WEBHOOK if sent.text("kind") == "webhook" else SubscriberKind.EMAIL
    try:
        await subscribing.ask(call, shown.page, kind, sent.text("address"))
    except ApiError as error:
        found = forms.problems(error, LABELS[kind])
        call.headers.update(error.headers)
        return _form(
            call,
            shown.page,
            kind=kind.value,
            address=sent.text("address")[: subscribing.MOST_ADDRESS],
            error=found.get("address") or found.get("", ""),
            status=error.status,
        )
    return _said(call, shown.page, "asked", kind=kind.value)


def _form(
    call: Call,
    page: StatusPage,
    *,
    kind: str = "",
    address: str = "",
    error: str = "",
    status: int = 200,
) -> Response[bytes]:
    offered = subscribing.offer(call.house, page)
    text = views.plain(
        page,
        base_of(call),
        "status/subscribe.html",
        offers={"email": offered.email, "webhook": offered.webhook},
        kind=kind,
        address=address,
        error=error,
    )
    return _answer(text, status)


def _said(call: Call, page: StatusPage, said: str, **shown: Any) -> Response[bytes]:
    text = views.plain(page, base_of(call), "status/subscription.html", said=said, **shown)
    return _answer(text)


def _answer(text: str, status: int = 200) -> Response[bytes]:
    headers = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"}
    return Response(text.encode(), status_code=status, media_type=views.HTML, headers=headers)


# Behind the links


@page("GET", "/subscriptions/{token:str}/confirm", access=PUBLIC)
async def confirm_form(call: Call) -> Response[bytes]:
    """Ask, by a button."""
    found = await subscribing.find(call)
    return _linked(call, found, "confirm" if found.state == "open" else found.state)


@page("POST", "/subscriptions/{token:str}/confirm", access=PUBLIC)
async def confirm(call: Call) -> Response[bytes]:
    """Confirm."""
    found = await subscribing.confirm(call)
    return _linked(call, found, "confirmed" if found.state == "open" else found.state)


@page("GET", "/subscriptions/{token:str}/unsubscribe", access=PUBLIC)
async def end_form(call: Call) -> Response[bytes]:
    """Ask, by a button."""
    found = await subscribing.find(call)
    return _linked(call, found, "gone" if found.subscriber is None else "end")


@page("POST", "/subscriptions/{token:str}/unsubscribe", access=PUBLIC, counts=False)
async def end(call: Call) -> Response[bytes]:
    """End it; once more does no harm. It is not counted on the address it comes from: that may be a
    mail provider's, for all who read their mail there."""
    found = await subscribing.end(call)
    return _linked(call, found, "gone" if found.subscriber is None else "ended")


def _linked(call: Call, found: Found, said: str) -> Response[bytes]:
    """Return what there is to say under the name of the page, or under our own where it is gone."""
    speak(call, found.page)
    if found.page is None:
        return with_secret_address(call, outside(call, "subscription_gone.html"))
    kind = "" if found.subscriber is None else found.subscriber.kind.value
    path = f"/subscriptions/{call.request.path_params['token']}"
    base = f"/status/{found.page.slug}"
    text = views.plain(found.page, base, "status/subscription.html", said=said, kind=kind, at=path)
    return with_secret_address(call, _answer(text))


ROUTES: tuple[HTTPRouteHandler, ...] = (
    form,
    ask,
    confirm_form,
    confirm,
    end_form,
    end,
)
