"""From a template and what it shows to an answer; and what every page shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from litestar import Response
from litestar.types import Scope

from netpulse.model.time import rfc3339
from netpulse.model.user import Role
from netpulse.model.watch import Status
from netpulse.web import packing, page_org
from netpulse.web.call import Call
from netpulse.web.errors import NO_ROUTE, ApiError
from netpulse.web.languages import mark, say
from netpulse.web.pages import switcher, templates
from netpulse.web.pages.switcher import Around
from netpulse.web.pages.templates import environment
from netpulse.web.phrases import refusal
from netpulse.web.session import OrgSession

FLASH = {
    "saved": ("success", mark("Saved.")),
    "watching": ("success", mark("Saved. The first check runs now.")),
    "signed-out": (
        "info",
        mark("You were signed out by now, and nothing was saved. Sign in to go on where you were."),
    ),
    "watching-many": ("success", mark("Added. The first checks run now.")),
    "none-chosen": ("warning", mark("Nothing was done: tick the monitors first, or all that fit.")),
    "no-tag": ("warning", mark("Nothing was done: say which tag, in at most 64 characters.")),
    "chosen-gone": (
        "warning",
        mark(
            "Nothing was done: of what was chosen, something is not there any more. Choose again."
        ),
    ),
    "bulk-running": (
        "warning",
        mark(
            "Nothing was done: another change of many monitors is under way. Wait until it is done."
        ),
    ),
    "checked": (
        "success",
        mark("Checked. The result is among the recent checks, marked “by hand”."),
    ),
    "paused": ("success", mark("Paused. It is not checked, and nobody is told of it.")),
    "resumed": ("success", mark("Resumed. It is checked now.")),
    "first-rule": (
        "success",
        mark("Saved. Send a test to be sure that it arrives."),
    ),
    "badges-on": ("success", mark("Switched on. Copy what you need below.")),
    "badges-moved": (
        "success",
        mark("They have a new address; the old one leads nowhere any more."),
    ),
    "badges-off": ("success", mark("Switched off. Their address leads nowhere any more.")),
    "deleted": ("success", mark("Deleted.")),
    "removed": ("success", mark("Removed. They are out at once.")),
    "withdrawn": ("success", mark("Withdrawn. The link leads nowhere any more.")),
    "revoked": ("success", mark("Revoked. The next request with the key is refused.")),
    "joined": ("success", mark("You are in. Welcome.")),
    "second-factor-reset": (
        "success",
        mark("Reset. Their sessions have ended; they sign in with the password alone."),
    ),
    "client-made": ("success", mark("Added. Open it to invite its people and to watch something.")),
    "taken-back": ("success", mark("Taken back. They are out of it at once.")),
    "added": ("success", mark("Added to the story.")),
    "announced": ("success", mark("Announced. Add to its story as you learn more.")),
    "password-set": (
        "success",
        mark("Your new password is set, and all sign-ins have ended. Sign in."),
    ),
    "password-changed": (
        "success",
        mark("Your password is changed; all your other sessions have ended."),
    ),
    "two-factor-off": (
        "success",
        mark("Two-factor authentication is off; all your other sessions have ended."),
    ),
    "begin-again": ("warning", mark("That took too long, or was done already. Begin again.")),
    "ended-session": ("success", mark("Ended. Whoever used it has to sign in again.")),
    "ended-sessions": ("success", mark("Ended. Only this session is left.")),
    "acknowledged": ("success", mark("Acknowledged. Whoever was told of it hears so.")),
    "ended": ("success", mark("Ended. What is watched shows its own state again.")),
    "page-made": ("success", mark("Made. Now choose what it shows.")),
    "page-announced": ("success", mark("Announced: the page tells it now.")),
    "unsubscribed": ("success", mark("Removed. It is told nothing more.")),
    "domain-proved": ("success", mark("Proved. The domain leads to the page now.")),
    "domain-not-proved": (
        "warning",
        mark("Looked, and it is not proved yet; what was found is below."),
    ),
    "over": ("info", mark("This incident is over already.")),
    "resent": ("success", mark("It is sent once more.")),
    "not-resent": (
        "warning",
        mark("It cannot be sent again: it waits anyway, or its channel is off."),
    ),
}
"""What a page says after a change: it is named in the address by its key, never by its text."""


async def page(
    call: Call, template: str, *, active: str = "", status: int = 200, **shown: Any
) -> Response[bytes]:
    """Return a page for somebody who is signed in. `active` names the entry of the navigation."""
    return (await _drawing(call, template, active, status, shown))()


async def long_page(call: Call, template: str, **shown: Any) -> Response[bytes]:
    """Return a page as `page` does, drawn in a thread, for it would hold up the event loop."""
    return await asyncio.to_thread(await _drawing(call, template, "", 200, shown))


async def _drawing(
    call: Call, template: str, active: str, status: int, shown: dict[str, Any]
) -> Callable[[], Response[bytes]]:
    session = call.session
    await templates.ready(template)
    around = await session.read(switcher.look, session)
    context = _signed_in(call, session, around, active) | shown

    def draw() -> Response[bytes]:
        text = environment().get_template(template).render(context)
        return _answer(call, page_org.marked(text, session.org_id), status)

    return draw


def outside(call: Call, template: str, *, status: int = 200, **shown: Any) -> Response[bytes]:
    """Return a page for a stranger."""
    context = _stranger(rfc3339(call.now), encrypted=call.origin.is_https)
    context |= {"flash": _flash(call)} | shown
    return _answer(call, environment().get_template(template).render(context), status)


def _answer(call: Call, text: str, status: int) -> Response[bytes]:
    body, headers = text.encode(), {"Vary": "Accept-Encoding"}
    taken = packing.takes_gzip(call.request.headers.get("accept-encoding", ""))
    # What answers a form may hold what is shown once: it goes as it is.
    if taken and call.request.method == "GET" and len(body) > packing.WORTH:
        body = packing.packed(body)
        headers["Content-Encoding"] = "gzip"
    return Response(body, status_code=status, media_type="text/html", headers=headers)


def with_secret_address(call: Call, answer: Response[bytes]) -> Response[bytes]:
    """Return a page whose address is a capability so that no cache, no search engine and no other
    page learns it.

    Without TLS browsers name the sender of a form by its Origin alone, and with no-referrer they
    leave that out: then the form would be refused as another site's. strict-origin keeps it, and
    tells nobody the path either.
    """
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Referrer-Policy"] = "no-referrer" if call.origin.is_https else "strict-origin"
    answer.headers["X-Robots-Tag"] = "noindex"
    return answer


def redirect(to: str, told: str | None = None) -> Response[bytes]:
    """Return a 303 to `to`, a path of ours; `told` is a key of FLASH."""
    if told is not None:
        to += ("&" if "?" in to else "?") + "told=" + told
    return Response(b"", status_code=303, media_type="text/html", headers={"Location": to})


def error_page(error: ApiError, scope: Scope) -> str:
    """Return the page of an error outside /v1."""
    state = scope["state"]
    origin = state.get("origin")
    context = _stranger("", encrypted=origin is not None and origin.is_https)
    signed_in = state.get("session")
    if signed_in is not None:
        # The organization's name would need the database, which may be what failed.
        context["user"] = None
    title, action = _BY_CODE.get(error.code) or _TITLES.get(error.status, _OTHER)
    # The rest of that sentence is for programs; what a handler says of its own is for people.
    message = say(_NOTHING) if error.message == NO_ROUTE else refusal(error)
    home = {"href": "/dashboard", "label": say("To the dashboard")}
    if error.code == "ORGANIZATION_CHANGED":
        home = {"href": "/switch", "label": say("Choose an organization")}
    if state.get("page_domain"):
        # A status page's own domain: NetPulse itself is nowhere to be seen there.
        home, action = {"href": "/", "label": say("To the status page")}, None
    return (
        environment()
        .get_template("error.html")
        .render(
            context
            | {
                "status_code": error.status,
                "title": say(title),
                "message": message + ".",
                "action": None if action is None else say(action),
                "home": home,
                "retry_url": _asked(scope) if error.status in {429, 503} else None,
                "request_id": state.get("request_id") if error.status >= 500 else None,
            }
        )
    )


def _asked(scope: Scope) -> str:
    """Return the path that was asked for as a link leads to it: never to another host, and on a
    status page's own domain as it is called there (`status.door`)."""
    path = scope.get("path", "/")
    if scope["state"].get("page_domain") and path.startswith("/status/"):
        path = "/" + "/".join(path.split("/")[3:])
    return quote("/" + path.lstrip("/"))


_OTHER = (mark("That did not work"), None)
_BY_CODE = {
    "ORGANIZATION_CHANGED": (
        mark("Another organization is open"),
        mark("What you have entered is still there when you go back in this tab."),
    ),
}
_NOTHING = mark("There is nothing at this address")
_TITLES: dict[int, tuple[str, str | None]] = {
    403: (mark("Not allowed"), None),
    404: (mark("Not found"), mark("Check the address, or go back to the dashboard.")),
    405: (mark("Not like this"), mark("Go back and use the page's own buttons.")),
    413: (mark("Too much at once"), None),
    429: (mark("Too many attempts"), None),
    500: (mark("A mistake of ours"), mark("Try again; if it stays, the log says more.")),
    503: (mark("Not possible right now"), None),
}


def _stranger(now: str, *, encrypted: bool) -> dict[str, Any]:
    return {
        "now": now,
        "nav": [],
        "user": None,
        "org": None,
        "switcher": None,
        "visit": None,
        "keyless_since": None,
        "encrypted": encrypted,
        "flash": [],
    }


def _signed_in(call: Call, session: OrgSession, around: Around, active: str) -> dict[str, Any]:
    engine = call.house.engine
    down = engine.roster.counts(session.org_id)[Status.DOWN]
    keyless_since = engine.keyless_since
    return {
        "now": rfc3339(call.now),
        "nav": [
            _entry(mark("Dashboard"), "/dashboard", "layout-dashboard", active),
            _entry(mark("Monitors"), "/monitors", "activity-heartbeat", active)
            | {"badge": down, "badge_live": "down", "badge_label": say("down")},
            _entry(mark("Incidents"), "/incidents", "alert-triangle", active),
            _entry(mark("Alerts"), "/alerts", "bell", active),
            _entry(mark("Maintenance"), "/maintenance", "tool", active),
            _entry(mark("Status pages"), "/status-pages", "broadcast", active),
            *(
                [_entry(mark("Clients"), "/clients", "building", active)]
                if around.has_clients
                else []
            ),
            _entry(mark("Settings"), "/settings", "settings", active),
        ],
        "user": {
            "email": session.user.email,
            "role": session.role.word,
            "role_label": say(switcher.ROLE_LABELS[session.role]),
            "can_write": session.role >= Role.ADMIN,
        },
        "org": {"id": session.org.id, "name": session.org.name},
        "switcher": switcher.menu(session, around),
        "visit": switcher.visit(session),
        "keyless_since": None if keyless_since is None else rfc3339(keyless_since),
        "encrypted": call.origin.is_https,
        "flash": _flash(call),
    }


def _flash(call: Call) -> list[dict[str, str]]:
    told = FLASH.get(call.request.query_params.get("told", ""))
    return [] if told is None else [{"kind": told[0], "text": say(told[1])}]


def _entry(label: str, href: str, icon: str, active: str) -> dict[str, Any]:
    return {
        "label": say(label),
        "href": href,
        "icon": icon,
        "active": label == active,
        "badge": None,
        "badge_live": None,
        "badge_label": "",
    }
