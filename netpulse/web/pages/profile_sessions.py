"""Where somebody is signed in, and the end of it."""

from __future__ import annotations

from typing import Any

from litestar import Response

from netpulse.model.time import Millis, rfc3339
from netpulse.rules.user_agents import in_words
from netpulse.storage.sign_ins import SignInKind
from netpulse.web import tokens
from netpulse.web.api import sign_ins as api
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.languages import mark, say
from netpulse.web.pages import render
from netpulse.web.pages.monitors import pager
from netpulse.web.pages.profile import tabs
from netpulse.web.pages.render import redirect
from netpulse.web.resource import ListQuery

HERE = "/profile/sessions"
LIMIT = 50

_KINDS = {SignInKind.PAGE: mark("Browser"), SignInKind.API: mark("Program")}


@page("GET", HERE, access=VIEWER)
async def show(call: Call) -> Response[bytes]:
    """List them."""
    asked = call.request.query_params.get("page", "")
    at = int(asked) if asked.isascii() and asked.isdecimal() and 0 < len(asked) < 7 else 1
    found = await api.listed(call, ListQuery(page=max(1, at), limit=LIMIT))
    return await render.page(
        call,
        "profile/sessions.html",
        tabs=tabs("Sessions"),
        sessions=[_row(each, call.now) for each in found.rows],
        others=found.total > 1,
        pager=pager(HERE, {}, max(1, at), LIMIT, found.total),
    )


def _row(each: api.SessionAnswer, now: Millis) -> dict[str, Any]:
    # What is stored of its use may be some minutes old, and this page is one.
    last_seen_at = rfc3339(now) if each.is_current else each.last_seen_at
    return {
        "id": each.id,
        "kind_label": say(_KINDS[each.kind]),
        "who": in_words(each.user_agent),
        "user_agent": each.user_agent,
        "ip": each.ip,
        "created_at": each.created_at,
        "last_seen_at": last_seen_at,
        "expires_at": each.expires_at,
        "is_current": each.is_current,
    }


@page("GET", f"{HERE}/{{id:str}}/delete", access=VIEWER)
async def end_form(call: Call) -> Response[bytes]:
    """Ask, and say what follows."""
    row = api.shown(call.session, await api.one(call))
    who = in_words(row.user_agent)
    follows = say("Whoever uses it has to sign in again.")
    if row.is_current:
        follows = say("It is the one you are looking at: you will have to sign in again.")
    return await render.page(
        call,
        "delete.html",
        question=say("End the session of %(who)s from %(ip)s?", who=who, ip=row.ip)
        if row.ip
        else say("End the session of %(who)s?", who=who),
        consequences=[follows],
        action=f"{HERE}/{row.id}/delete",
        button=say("End it"),
        back=HERE,
    )


@page("POST", f"{HERE}/{{id:str}}/delete", access=VIEWER, any_org=True)
async def end(call: Call) -> Response[bytes]:
    """End it."""
    ended = await api.end_one(call)
    if ended.digest is not None and ended.digest == call.session.cookie_digest:
        call.cookies.append(tokens.session_cookie(None, call.origin.is_https))
        return redirect("/login")
    return redirect(HERE, "ended-session")


@page("GET", f"{HERE}/delete", access=VIEWER)
async def end_others_form(call: Call) -> Response[bytes]:
    """Ask, and say what follows."""
    return await render.page(
        call,
        "delete.html",
        question=say("End all other sessions?"),
        consequences=[
            say(
                "Every other browser and every program that is signed in as you has to sign in"
                " again."
            ),
            say("API keys go on."),
        ],
        action=f"{HERE}/delete",
        button=say("End them"),
        back=HERE,
    )


@page("POST", f"{HERE}/delete", access=VIEWER, any_org=True)
async def end_others(call: Call) -> Response[bytes]:
    """End them."""
    await api.end_all_others(call)
    return redirect(HERE, "ended-sessions")


ROUTES = (show, end_form, end, end_others_form, end_others)
