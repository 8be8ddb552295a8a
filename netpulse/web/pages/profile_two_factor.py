"""The second factor, as its owner turns it on and off. What is shown once is shown in the answer to
the form that asked for it, and never by an address.
"""

from __future__ import annotations

from urllib.parse import quote

from litestar import Response
from markupsafe import Markup

from netpulse.storage import second_factors
from netpulse.web import own_account, tickets
from netpulse.web.api import second_factor as api
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.errors import ApiError
from netpulse.web.languages import mark, say
from netpulse.web.pages import forms, render
from netpulse.web.pages.profile import refusal, tabs
from netpulse.web.pages.render import redirect

HERE = "/profile/two-factor"
_LABELS = {"password": mark("Your password"), "code": mark("Code")}
_TAB = mark("Two-factor")


@page("GET", HERE, access=VIEWER)
async def show(call: Call) -> Response[bytes]:
    """Show whether it is on, and what can be done."""
    return await _show(call)


async def _show(
    call: Call, errors: dict[str, str] | None = None, error: ApiError | None = None
) -> Response[bytes]:
    user = call.session.user
    left = await call.house.db.read(second_factors.codes_left, user.id)
    return await render.page(
        call,
        "profile/two_factor.html",
        status=refusal(call, error),
        tabs=tabs(_TAB),
        is_on=user.totp_enabled,
        codes_left=left,
        form=forms.view({}, errors),
    )


@page("POST", f"{HERE}/begin", access=VIEWER, any_org=True)
async def begin(call: Call) -> Response[bytes]:
    """Take the password, and show the secret for the app."""
    form = await forms.read(call)
    try:
        user = await own_account.check_password(call, "$.password", form.raw("password"))
        made = await api.begin(call)
    except ApiError as error:
        return await _show(call, forms.problems(error, _LABELS), error)
    given = tickets.ticket(call.house, tickets.SECOND_FACTOR, user, call.now)
    return await _setup(call, made, given)


@page("POST", f"{HERE}/verify", access=VIEWER, any_org=True)
async def verify(call: Call) -> Response[bytes]:
    """Take a first code, turn it on, and show the recovery codes."""
    form = await forms.read(call)
    given = form.text("ticket")
    user = await tickets.redeem(call.house, tickets.SECOND_FACTOR, given, call.now)
    if user is None or user.id != call.session.user.id:
        return redirect(HERE, "begin-again")
    try:
        fresh = await api.turn_on(call, "$.code", form.text("code"))
    except ApiError as error:
        secret = await call.house.db.read(second_factors.pending, user.id, call.now)
        if error.status not in (400, 429) or secret is None:
            return redirect(HERE, "begin-again")
        made = api.answer_of(user.email, secret)
        return await _setup(call, made, given, forms.problems(error, _LABELS), error)
    return await _codes(call, fresh, is_new=True)


async def _setup(
    call: Call,
    made: api.SetupAnswer,
    given: str,
    errors: dict[str, str] | None = None,
    error: ApiError | None = None,
) -> Response[bytes]:
    return await render.page(
        call,
        "profile/two_factor_setup.html",
        status=refusal(call, error),
        tabs=tabs(_TAB),
        form=forms.view({}, errors),
        secret=made.secret,
        uri=made.otpauth_uri,
        qr=qr_code(made.otpauth_uri),
        ticket=given,
    )


def qr_code(text: str) -> Markup:
    """Return `text` as a QR code (ISO/IEC 18004, level M), an SVG for the middle of a page. It is
    dark on white whatever the theme: many readers take no other."""
    import segno  # seldom wanted, and 2 MB

    drawn = segno.make(text, error="m", micro=False)
    return Markup(  # noqa: S704 - a drawing of ours, with none of the text in it
        drawn.svg_inline(scale=5, border=4, svgclass="np-qr", lineclass=None, light="#fff")
    )


@page("GET", f"{HERE}/codes", access=VIEWER)
async def codes_form(call: Call) -> Response[bytes]:
    """Ask for both factors before new recovery codes are made."""
    return await _prove(call, "codes")


@page("POST", f"{HERE}/codes", access=VIEWER, any_org=True)
async def new_codes(call: Call) -> Response[bytes]:
    """Make new ones, and show them."""
    try:
        fresh = await api.new_codes(call, await _proof(call))
    except ApiError as error:
        return await _prove(call, "codes", error)
    return await _codes(call, fresh, is_new=False)


@page("GET", f"{HERE}/off", access=VIEWER)
async def off_form(call: Call) -> Response[bytes]:
    """Ask for both factors before it is turned off."""
    return await _prove(call, "off")


@page("POST", f"{HERE}/off", access=VIEWER, any_org=True)
async def turn_off(call: Call) -> Response[bytes]:
    """Turn it off."""
    try:
        await api.turn_off(call, await _proof(call))
    except ApiError as error:
        return await _prove(call, "off", error)
    return redirect(HERE, "two-factor-off")


async def _proof(call: Call) -> api.Proof:
    form = await forms.read(call)
    return api.Proof(password=form.raw("password"), code=form.text("code"))


async def _prove(call: Call, what: str, error: ApiError | None = None) -> Response[bytes]:
    if not call.session.user.totp_enabled:
        return redirect(HERE)
    return await render.page(
        call,
        "profile/two_factor_proof.html",
        status=refusal(call, error),
        tabs=tabs(_TAB),
        form=forms.view({}, {} if error is None else forms.problems(error, _LABELS)),
        what=what,
    )


async def _codes(call: Call, fresh: list[str], *, is_new: bool) -> Response[bytes]:
    email = call.session.user.email
    heading = say("Recovery codes of %(email)s for NetPulse, each good for once:", email=email)
    heading += "\n\n"
    text = heading + "\n".join(fresh) + "\n"
    return await render.page(
        call,
        "profile/recovery_codes.html",
        tabs=tabs(_TAB),
        codes=fresh,
        file="data:text/plain;charset=utf-8," + quote(text),
        is_new=is_new,
    )


ROUTES = (show, begin, verify, codes_form, new_codes, off_form, turn_off)
