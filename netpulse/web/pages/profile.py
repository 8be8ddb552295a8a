"""A person's own account: what is known of it, its password, and from where it may be used."""

from __future__ import annotations

from typing import Any

from litestar import Response
from litestar.datastructures import Cookie

from netpulse.crypto import passwords
from netpulse.model.time import rfc3339
from netpulse.storage import sign_ins
from netpulse.web import languages, tokens
from netpulse.web.api import me
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.errors import ApiError, Problem, invalid
from netpulse.web.languages import mark, say
from netpulse.web.pages import forms, render
from netpulse.web.pages.render import redirect
from netpulse.web.pages.switcher import ROLE_LABELS

TABS = (
    (mark("Account"), "/profile"),
    (mark("Password"), "/profile/password"),
    (mark("Two-factor"), "/profile/two-factor"),
    (mark("Sessions"), "/profile/sessions"),
    (mark("Addresses"), "/profile/addresses"),
)

_PASSWORD_LABELS = {
    "current_password": mark("Your password"),
    "new_password": mark("New password"),
    "again": mark("Once more"),
}
_ADDRESS_LABELS = {"ip_whitelist": mark("Addresses"), "current_password": mark("Your password")}


def tabs(active: str) -> list[dict[str, Any]]:
    """Return the tabs; `active` is the label of the page that is shown."""
    return [{"label": say(label), "href": href, "active": label == active} for label, href in TABS]


@page("GET", "/profile", access=VIEWER)
async def account(call: Call) -> Response[bytes]:
    """Show the account."""
    chosen = call.request.cookies.get(languages.cookie_name(call.origin.is_https), "")
    session = call.session
    facts = await session.read(me.facts, session.user)
    idle = tokens.SESSION_IDLE_MS
    seen = await call.house.db.read(sign_ins.page, session.user.id, call.now, idle_ms=idle, limit=1)
    user = facts.user
    return await render.page(
        call,
        "profile/account.html",
        tabs=tabs("Account"),
        account={
            "email": user.email,
            "totp_enabled": user.totp_enabled,
            "codes_left": facts.codes_left,
            "ip_whitelist": user.ip_whitelist,
            "last_login_at": _time(user.last_login_at),
            "password_changed_at": _time(facts.password_changed_at),
            "created_at": rfc3339(user.created_at),
            "sessions": seen.total,
        },
        places=[
            {
                "name": org.name,
                "role_label": say(ROLE_LABELS[role]),
                "is_here": org.id == session.org_id,
            }
            for org, role in facts.places[:MOST_PLACES]
        ],
        more_places=max(0, len(facts.places) - MOST_PLACES),
        form=forms.view({"language": chosen if chosen in languages.LANGUAGES else ""}),
        languages=[
            {"value": "", "label": say("As the browser asks")},
            *({"value": code, "label": name} for code, name in languages.LANGUAGES.items()),
        ],
    )


MOST_PLACES = 20
"""Organizations that the page names; a super administrator may enter all there are."""


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


@page("POST", "/profile/language", access=VIEWER, any_org=True)
async def choose_language(call: Call) -> Response[bytes]:
    """Let pages speak a language in this browser; "" is what the browser asks for.

    As the theme it is the browser's own: at the next desk somebody may read another one.
    """
    form = await forms.read(call)
    chosen = form.text("language")
    is_known = chosen in languages.LANGUAGES
    call.cookies.append(
        Cookie(
            key=languages.cookie_name(call.origin.is_https),
            value=chosen if is_known else "",
            path="/",
            max_age=languages.COOKIE_SECONDS if is_known else 0,
            httponly=True,
            secure=call.origin.is_https,
            samesite="lax",
        )
    )
    return redirect("/profile", "saved")


# The password


@page("GET", "/profile/password", access=VIEWER)
async def password_form(call: Call) -> Response[bytes]:
    """Show the form."""
    return await _password(call, {})


@page("POST", "/profile/password", access=VIEWER, any_org=True)
async def change_password(call: Call) -> Response[bytes]:
    """Change it."""
    form = await forms.read(call)
    new = form.raw("new_password")
    try:
        if form.raw("again") != new:
            raise invalid([Problem("$.again", mark("this is not the same as the new password"))])
        wanted = me.PasswordChange(current_password=form.raw("current_password"), new_password=new)
        await me.set_password(call, wanted)
    except ApiError as error:
        return await _password(call, forms.problems(error, _PASSWORD_LABELS), error)
    return redirect("/profile", "password-changed")


async def _password(
    call: Call, errors: dict[str, str], error: ApiError | None = None
) -> Response[bytes]:
    return await render.page(
        call,
        "profile/password.html",
        status=refusal(call, error),
        tabs=tabs("Password"),
        form=forms.view({}, errors),
        password_min_length=passwords.MIN_LENGTH,
    )


def refusal(call: Call, error: ApiError | None) -> int:
    """Return the status of a form that is shown (again), and take over the headers of `error`."""
    if error is None:
        return 200
    call.headers.update(error.headers)
    return error.status


# From where it may be used


@page("GET", "/profile/addresses", access=VIEWER)
async def addresses_form(call: Call) -> Response[bytes]:
    """Show the list."""
    listed = "\n".join(call.session.user.ip_whitelist)
    return await _addresses(call, listed, {})


@page("POST", "/profile/addresses", access=VIEWER, any_org=True)
async def change_addresses(call: Call) -> Response[bytes]:
    """Change it."""
    form = await forms.read(call)
    typed = form.raw("ip_whitelist")
    entries = [line.strip() for line in typed.replace(",", "\n").splitlines() if line.strip()]
    password = form.raw("current_password")
    try:
        await me.set_addresses(call, "$.ip_whitelist", entries, password)
    except ApiError as error:
        return await _addresses(call, typed, forms.problems(error, _ADDRESS_LABELS), error)
    return redirect("/profile/addresses", "saved")


async def _addresses(
    call: Call, listed: str, errors: dict[str, str], error: ApiError | None = None
) -> Response[bytes]:
    return await render.page(
        call,
        "profile/addresses.html",
        status=refusal(call, error),
        tabs=tabs("Addresses"),
        form=forms.view({"ip_whitelist": listed}, errors),
        own_ip=call.origin.ip or None,
    )


ROUTES = (
    account,
    choose_language,
    password_form,
    change_password,
    addresses_form,
    change_addresses,
)
