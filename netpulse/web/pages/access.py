"""The pages before one is in: the way to the right one, setting up, signing in and out."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from litestar import Response

from netpulse.crypto import passwords
from netpulse.model.user import User
from netpulse.storage import users
from netpulse.web import password_resets, reading, sign_in, tickets, tokens
from netpulse.web.api import auth as api
from netpulse.web.auth import identify
from netpulse.web.call import Call
from netpulse.web.endpoint import PUBLIC, page
from netpulse.web.errors import ApiError, unauthorized
from netpulse.web.languages import mark
from netpulse.web.pages import forms
from netpulse.web.pages.render import outside, redirect
from netpulse.web.phrases import phrase

TOO_LATE = mark("That took too long; sign in again")

_SETUP_LABELS = {
    "setup_token": mark("Setup token"),
    "org_name": mark("Organization"),
    "email": mark("Your email address"),
    "password": mark("Password"),
}


@page("GET", "/", access=PUBLIC)
async def home(call: Call) -> Response[bytes]:
    """Lead to the setup while there is nobody, else in."""
    if await call.house.db.read(users.count) == 0:
        return redirect("/setup")
    return redirect("/dashboard")


@page("GET", "/setup", access=PUBLIC)
async def setup_form(call: Call) -> Response[bytes]:
    """Show the setup, as long as nobody has done it."""
    if await call.house.db.read(users.count) > 0:
        return redirect("/login")
    return _setup(call, forms.view({}))


@page("POST", "/setup", access=PUBLIC)
async def setup(call: Call) -> Response[bytes]:
    """Make the first administrator and sign them in."""
    form = await forms.read(call)
    if await call.house.db.read(users.count) > 0:
        return redirect("/login")
    given = {
        "email": form.text("email"),
        "password": form.raw("password"),
        "org_name": form.text("org_name"),
        "setup_token": form.text("setup_token"),
    }
    try:
        wanted = reading.into(api.Registration, given)
        user, _, _ = await api.found(call.house, call.stranger, wanted)
    except ApiError as error:
        if error.code == "REGISTRATION_CLOSED":
            return redirect("/login")
        found = forms.problems(error, _SETUP_LABELS)
        if error.status == 403:
            found = {"setup_token": phrase(error.message) + "."}
        # The token is shown again where it was the right one: it is to be had in one place only.
        secrets = ["password", "setup_token"] if error.status == 403 else ["password"]
        shown = form.again([], secrets)
        return _setup(call, forms.view(shown, found), status=error.status)
    token = await sign_in.open_page_session(call.house, call.stranger, user)
    call.cookies.append(tokens.session_cookie(token, call.origin.is_https))
    return redirect("/setup/alerts")


def _setup(call: Call, form: dict[str, object], status: int = 200) -> Response[bytes]:
    least = passwords.MIN_LENGTH
    return outside(call, "setup.html", status=status, form=form, password_min_length=least)


@page("GET", "/login", access=PUBLIC)
async def login_form(call: Call) -> Response[bytes]:
    """Show the sign-in, or lead in whoever is in already."""
    wanted = local(call.request.query_params.get("next", ""))
    try:
        await identify(call.request)
    except ApiError:
        if await call.house.db.read(users.count) == 0:
            return redirect("/setup")
        return outside(call, "login.html", form=forms.view({}), **_first_step(call, wanted))
    return redirect(wanted or "/dashboard")


@page("POST", "/login", access=PUBLIC)
async def login(call: Call) -> Response[bytes]:
    """Sign in: the first step takes the password, and where there is a second factor the next one
    takes the code, with a ticket for what the first has shown."""
    form = await forms.read(call)
    wanted = local(form.text("next"))
    if "ticket" in form:
        return await _second_step(call, form, wanted)
    email = form.text("email")
    try:
        user = await sign_in.check_password(call.house, call.stranger, email, form.raw("password"))
        if not user.totp_enabled:
            return await _enter(call, user, wanted)
    except ApiError as error:
        return _refused(call, "login.html", error, {"email": email}, **_first_step(call, wanted))
    given = tickets.ticket(call.house, tickets.SIGN_IN, user, call.now)
    return _ask(call, forms.view({}), given, wanted)


def _first_step(call: Call, wanted: str) -> dict[str, Any]:
    return {"next": wanted, "can_reset": password_resets.is_possible(call.house)}


async def _second_step(call: Call, form: forms.Form, wanted: str) -> Response[bytes]:
    given = form.text("ticket")
    user = await tickets.redeem(call.house, tickets.SIGN_IN, given, call.now)
    if user is None or not user.totp_enabled:
        error = unauthorized(TOO_LATE)
        return _refused(call, "login.html", error, {}, **_first_step(call, wanted))
    by_recovery = form.text("with") == "recovery"
    if form.text("action") == "other":
        return _ask(call, forms.view({}), given, wanted, not by_recovery)
    try:
        await sign_in.check_code(call.house, call.stranger, user, form.text("code"))
        return await _enter(call, user, wanted)
    except ApiError as error:
        shown = {"ticket": given, "next": wanted, "by_recovery": by_recovery}
        return _refused(call, "login_code.html", error, {}, **shown)


def _ask(
    call: Call, form: dict[str, object], given: str, wanted: str, by_recovery: bool = False
) -> Response[bytes]:
    shown: dict[str, Any] = {"ticket": given, "next": wanted, "by_recovery": by_recovery}
    return outside(call, "login_code.html", form=form, **shown)


def _refused(
    call: Call, template: str, error: ApiError, entered: dict[str, str], **shown: Any
) -> Response[bytes]:
    """Show a step again with what is wrong."""
    form = forms.view(entered, forms.problems(error, {}))
    call.headers.update(error.headers)
    # A browser is to show the page, not to ask by itself.
    call.headers.pop("WWW-Authenticate", None)
    return outside(call, template, status=error.status, form=form, **shown)


async def _enter(call: Call, user: User, wanted: str) -> Response[bytes]:
    old = call.request.cookies.get(tokens.session_cookie_name(call.origin.is_https))
    token = await sign_in.open_page_session(call.house, call.stranger, user, replacing=old)
    call.cookies.append(tokens.session_cookie(token, call.origin.is_https))
    return redirect(wanted or "/dashboard")


@page("POST", "/logout", access=PUBLIC)
async def logout(call: Call) -> Response[bytes]:
    """End the sign-in of this browser."""
    await api.end_sign_in(call)
    return redirect("/login")


def local(wanted: str) -> str:
    """Return `wanted` if it is a path on this host, else "".

    Browsers read `//host`, `/\\host` and addresses with control characters as other hosts.
    """
    if not wanted.startswith("/") or wanted.startswith("//") or not wanted.isprintable():
        return ""
    if "\\" in wanted or len(wanted) > 2000:
        return ""
    parts = urlsplit(wanted)
    return "" if parts.scheme or parts.netloc else wanted


ROUTES = (home, setup_form, setup, login_form, login, logout)
